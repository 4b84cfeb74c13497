"""The structure of a PDF, for those who hear it: what is a heading, a list, a table, and what a figure shows, in words.

A browser marks it in each page that it prints; pypdf leaves it behind when it joins them. Here it is joined, too.
"""

from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    ByteStringObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    TextStringObject,
)

# In PDF pages and links have a number each, under which `/ParentTree` keeps the elements that they are in.


def record(**entries):
    return DictionaryObject({NameObject(f"/{key}"): value for key, value in entries.items()})


def elements(tree):
    """All elements at and below one, none before what it is in."""
    todo = [tree]
    while todo:
        here = todo.pop().get_object()
        if isinstance(here, list):
            todo += here
        elif isinstance(here, dict) and "/S" in here:
            yield here
            todo += [here["/K"]] if "/K" in here else []


def prune(found):
    """Leave out elements that hold nothing and say nothing: most of what a browser marks."""

    def says(kid):
        kid = kid.get_object()
        return not isinstance(kid, dict) or "/K" in kid or "/Alt" in kid or kid.get("/S") != "/NonStruct"

    for element in reversed(found):
        kids = element.get("/K")
        if isinstance(kids, list):
            kids[:] = filter(says, kids)
            if not kids:
                del element["/K"]


class Structure:
    """The joined structure of all that was appended to a pypdf.PdfWriter."""

    def __init__(self, writer):
        self.writer = writer
        self.parts, self.numbers, self.names, self.next = [], [], [], 0
        self.language = None

    def take(self, printed, start):
        """Join that of a printed page, whose pages begin at number `start` of the writer."""
        root = printed.trailer["/Root"]["/StructTreeRoot"].clone(self.writer)
        self.language = self.language or printed.trailer["/Root"].get("/Lang")
        links = {}
        for page, before in zip(self.writer.pages[start:], printed.pages, strict=False):
            if "/StructParents" in before:
                page[NameObject("/StructParents")] = NumberObject(self.next + before["/StructParents"])
            found = [link for link in page.get("/Annots", []) if "/StructParent" in link.get_object()]
            links |= {link.get_object()["/StructParent"]: link for link in found}
        numbers = root["/ParentTree"]["/Nums"]
        for number, element in zip(numbers[::2], numbers[1::2], strict=True):
            self.numbers += [NumberObject(self.next + number), element]
            if isinstance(element.get_object(), dict):  # of a link: of a page it is a list
                self.lead(element.get_object(), links)
        for number, link in links.items():
            link.get_object()[NameObject("/StructParent")] = NumberObject(self.next + number)
        self.next += root["/ParentTreeNextKey"]
        found = list(elements(root["/K"]))
        self.name(found)
        prune(found)
        self.parts.append(root["/K"])

    def lead(self, element, links):
        """The element of a link, which has one for each of its lines, holds those that there are now."""
        kept = ArrayObject()
        for kid in element["/K"] if isinstance(element["/K"], list) else [element["/K"]]:
            held = kid.get_object()
            if isinstance(held, dict) and "/Obj" in held:
                link = links.get(held["/Obj"]["/StructParent"])
                if link is None:
                    continue
                held[NameObject("/Obj")] = link
            kept.append(kid)
        element[NameObject("/K")] = kept

    def name(self, found):
        """Cells of a table go by the names of their heads, which each printed page counts from the same number."""

        def other(name):
            name = name.decode() if isinstance(name, ByteStringObject) else name
            return TextStringObject(f"{len(self.parts):04d}-{name}")

        for element in found:
            if "/ID" in element:
                element[NameObject("/ID")] = other(element["/ID"])
                self.names.append((element["/ID"], element.indirect_reference))
            for said in element.get("/A", []):
                said = said.get_object()
                if "/Headers" in said:
                    said[NameObject("/Headers")] = ArrayObject(map(other, said["/Headers"]))

    def write(self):
        """Into the writer: one document, whose parts are the printed pages."""
        root = record(Type=NameObject("/StructTreeRoot"), ParentTreeNextKey=NumberObject(self.next))
        root = self.writer._add_object(root)
        whole = record(Type=NameObject("/StructElem"), S=NameObject("/Document"), P=root, K=ArrayObject())
        whole = self.writer._add_object(whole)
        for part in self.parts:
            for kid in part if isinstance(part, list) else [part]:
                kid = kid.get_object()
                kid.update(record(S=NameObject("/Part"), P=whole))
                whole["/K"].append(kid.indirect_reference)
        names = [part for pair in sorted(self.names) for part in pair]
        root.get_object().update(
            record(
                K=ArrayObject([whole]),
                ParentTree=self.writer._add_object(record(Nums=ArrayObject(self.numbers))),
                IDTree=self.writer._add_object(record(Names=ArrayObject(names))),
            )
        )
        self.writer.root_object.update(record(StructTreeRoot=root, MarkInfo=record(Marked=BooleanObject(True))))
        if self.language:
            self.writer.root_object.update(record(Lang=self.language))

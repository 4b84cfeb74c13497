"""Check the built book: its pages and their titles are there, no cell failed, links inside it lead somewhere, images
say what they show and how large they are, opening a page asks no other host; each page has its head and foot, its
notebook and script, its figures as files, and its place in the map of the site. A published page tells its own address
and the date of its last change, its statements lead to their lines in the sources, and the page for wrong addresses
works at any address.

Run as `python -m book.check_book [_build/html]`.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import yaml

ROOT = Path(__file__).resolve().parents[1]

# What a browser fetches by itself on opening a page. Links to follow (a href) may lead anywhere.
FETCHED = {
    "script": ["src"],
    "img": ["src", "srcset"],
    "source": ["src", "srcset"],
    "iframe": ["src"],
    "video": ["src"],
    "audio": ["src"],
    "embed": ["src"],
    "object": ["data"],
    "image": ["href", "xlink:href"],
    "use": ["href"],
}
FETCHED_LINKS = {"stylesheet", "preload", "prefetch", "modulepreload", "icon", "shortcut", "preconnect", "dns-prefetch"}
REMOTE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
LINE = re.compile(r"/blob/[^/]+/(.+)\?plain=1#L(\d+)$")  # a line of the sources
CHANGED = re.compile(r"\bLast changed (\d{4}-\d\d-\d\d)\.")
REMOTE_IN_CSS = re.compile(r"""(?:url\(\s*|@import\s+)['"]?(?:https?:)?//[^'")\s]*""", re.IGNORECASE)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.title, self.remote, self._in_title, self._in_style = "", [], False, False
        self.ids, self.links, self.pictures = set(), [], []
        self.metas, self.icon, self.canonical, self.licences, self.classes = [], "", "", 0, set()
        self.first, self.base, self.source, self.lines = "", "", "", []
        self.changed = (CHANGED.findall(text) or [""])[-1]
        self.figures = []  # for each the kinds of files that its caption offers
        self._figures = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = {k: v or "" for k, v in attrs}
        self.ids.add(attrs.get("id"))
        self.classes |= set(attrs.get("class", "").split())
        self._surroundings(tag, attrs)
        if tag == "a" and not re.match(r"\w+:|$", attrs.get("href", "")):
            self.links.append(unquote(attrs["href"]))
        if tag == "img":
            self.pictures += lacking(attrs)
        self._in_title = self._in_title or (tag == "h1" and not self.title)
        self._in_style = tag == "style"
        wanted = FETCHED.get(tag, [])
        if tag == "link" and FETCHED_LINKS & set(attrs.get("rel", "").lower().split()):
            wanted = ["href"]
        self.remote += [attrs[name] for name in wanted if REMOTE.match(attrs.get(name, ""))]
        self.remote += REMOTE_IN_CSS.findall(attrs.get("style", ""))

    def _surroundings(self, tag, attrs):
        rel = attrs.get("rel", "").split()
        if tag == "meta":
            self.metas.append((attrs.get("name") or attrs.get("property", ""), attrs.get("content", "")))
        if tag == "link" and "icon" in rel:
            self.icon = attrs["href"].partition("?")[0]
        if tag == "link" and "canonical" in rel:
            self.canonical = attrs["href"]
        address = attrs.get("href", attrs.get("src", ""))
        self.first = self.first or address
        if tag == "base":
            self.base = address
        if tag == "a" and "page-source" in attrs.get("class", "").split():
            self.source = address
        if tag == "a" and (line := LINE.search(address)):
            self.lines.append((line[1], int(line[2])))
        self.licences += tag == "a" and "license" in rel
        if tag == "figure":
            self._figures.append([])
            if "live-figure" not in attrs.get("class", "").split():  # it computes in the page, and has no files
                self.figures.append(self._figures[-1])
        if tag == "a" and self._figures and "download" in attrs:
            self._figures[-1].append(attrs["href"].rpartition(".")[2])

    def handle_endtag(self, tag):
        if tag == "figure" and self._figures:
            self._figures.pop()
        if tag == "h1":
            self._in_title = False
        if tag == "style":
            self._in_style = False

    def handle_data(self, data):
        if self._in_title:
            self.title += data
        if self._in_style:
            self.remote += REMOTE_IN_CSS.findall(data)


def lacking(image):
    """A complaint about what an image should say and does not. Without a text docutils takes its address for one."""
    source = image.get("src", "")
    untold = [name for name in ("alt", "width", "height") if name not in image]
    untold += ["a text of its own"] if image.get("alt") and image["alt"].endswith(source.split("/")[-1]) else []
    if untold:
        yield f"its image {source} has no {', '.join(untold)}"


def surroundings(page, written, drawn=True):
    """What a page lacks in its head and at its foot; written: whether it is one of the book's own pages; drawn: whether
    its figures are drawn by its cells, and have numbers.
    """
    told = [name for name, content in page.metas if content]
    if told.count("viewport") != 1:
        yield f"has {told.count('viewport')} viewports, not one"
    wanted = ["og:title", "og:image", *(["description", "og:description"] if written else [])]
    yield from (f"its head has no {name}" for name in wanted if name not in told)
    if not page.icon:
        yield "has no favicon"
    if "page-foot" not in page.classes or page.licences != 2:
        yield "its foot does not have the two licences"
    if written and not {"page-cite", "page-source"} <= page.classes:
        yield "its foot does not say how to cite it and where its source is"
    if page.canonical and written and "og:url" not in told:
        yield "its head has no og:url"
    for kinds in page.figures:
        if set(kinds) != ({"svg", "csv"} if drawn else {"svg"}):
            yield f"a figure offers {kinds or 'no file'}, not SVG{' and CSV' if drawn else ''}"


def beside(html, name, canonical):
    """What is lacking beside a page: its executed notebook and its script; its place in the map of the site."""
    source, kept = html / "_sources" / f"{name}.md", html / "_sources" / name
    if source.exists() and "{code-cell}" in source.read_text(encoding="utf-8"):
        notebook = kept.with_name(f"{kept.name}.ipynb")
        if not notebook.exists() or '"execution_count": 1' not in notebook.read_text(encoding="utf-8"):
            yield "offers no executed notebook"
        if not kept.with_name(f"{kept.name}.py").exists():
            yield "offers no script"
    known = html / "sitemap.xml"
    if canonical and (not known.exists() or f"<loc>{canonical}</loc>" not in known.read_text(encoding="utf-8")):
        yield "is not in the map of the site"


def at_its_address(page, name, base, known):
    """What is wrong with the address and the date that a published page tells; known: the text of the map of the site.
    Without a base, the address of the book, a page tells no address.
    """
    wanted = f"{base}{name}.html" if base else ""
    if page.canonical != wanted:
        yield f"its canonical address is {page.canonical or 'not there'}, not {wanted or 'left out'}"
    if base:
        dates = re.findall(rf"<loc>{re.escape(wanted)}</loc><lastmod>([^<]*)", known)
        if dates != ([page.changed] if page.changed else []):
            yield f"its last change is {page.changed or 'not there'}, in the map of the site {dates}"


def led_to_lines(page, html, claims):
    """What is wrong with the links from statements to their lines, where the sources have an address."""
    if "/blob/" not in page.source:
        return
    labels = set()
    for path, number in page.lines:
        text = (html / "_sources" / path).read_text(encoding="utf-8") if (html / "_sources" / path).exists() else ""
        head = "\n".join(text.split("\n")[number - 1 : number + 3])
        found = re.match(r"`{3,}\{prf:.*\n(?::.*\n)*?:label: *(\S+)", head)
        if found is None:
            yield f"line {number} of {path}, to which it leads, states nothing"
        else:
            labels.add(found[1])
    yield from (f"no link leads to the line of {claim}" for claim in sorted((claims & page.ids) - labels))


def anywhere(page, base):
    """What is wrong with the page for wrong addresses, which is shown at any of them."""
    if page.canonical:
        yield f"it tells {page.canonical} as its address"
    if page.base != base or (base and page.first != base):
        begin, wanted = (address or "where it is shown" for address in (page.base, base))
        yield f"its links begin at {begin}, not first of all at {wanted}"


def listed(toc, root=ROOT):
    """The names of all pages of a table of contents; those of a pattern in their order."""
    names = [toc[key] for key in ("root", "file") if key in toc]
    if "glob" in toc:
        names += sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.glob(toc["glob"] + ".md"))
    for key in ("parts", "chapters", "sections"):
        for entry in toc.get(key, []):
            names += listed(entry, root)
    return names


def words(text):
    """The plain words of a heading: without mathematics, code, roles and signs, which are rendered differently."""
    text = re.sub(r"\{[\w:]+\}`[^`]*`|\$[^$]*\$|`[^`]*`", " ", text)
    return re.findall(r"\w+", text)


def source_title(name, root=ROOT):
    text = (root / f"{name}.md").read_text(encoding="utf-8")
    return next(line[2:] for line in text.split("\n") if line.startswith("# "))


def faults(html, root=ROOT):
    names = listed(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")), root)
    claims = set(yaml.safe_load((root / "claims.yml").read_text(encoding="utf-8")) or {})
    for name in names:
        built = html / f"{name}.html"
        if not built.exists() or not built.stat().st_size:
            yield f"{built}: missing or empty"
            continue
        shown = set(words(Page(built.read_text(encoding="utf-8")).title))
        lost = [word for word in words(source_title(name, root)) if word not in shown]
        if lost:
            yield f"{built}: its title lacks {lost}"
    yield from (f"{html / name}.html: missing" for name in ("404", "prf-prf") if not (html / f"{name}.html").exists())
    pages = {built: built.read_text(encoding="utf-8") for built in sorted(html.rglob("*.html"))}
    read = {built.resolve(): Page(text) for built, text in pages.items()}
    own = {(html / f"{name}.html").resolve(): name for name in names}
    first, wrong = (html / f"{names[0]}.html").resolve(), (html / "404.html").resolve()
    base = read[first].canonical.removesuffix(f"{names[0]}.html") if first in read else ""
    known = html / "sitemap.xml"
    known = known.read_text(encoding="utf-8") if known.exists() else ""
    for built, page in read.items():
        if "_static" in built.relative_to(html.resolve()).parts:
            continue
        for complaint in surroundings(page, built in own, drawn=own.get(built, "").startswith("chapters/")):
            yield f"{built}: {complaint}"
        if built in own:
            for complaint in (
                *beside(html, own[built], page.canonical),
                *at_its_address(page, own[built], base, known),
                *led_to_lines(page, html, claims),
            ):
                yield f"{built}: {complaint}"
        if built == wrong:
            yield from (f"{built}: {complaint}" for complaint in anywhere(page, base))
    for built, page in read.items():
        for link in page.links:
            path, _, anchor = link.partition("#")
            target = (built.parent / path).resolve() if path else built
            if not target.exists() or (anchor and target in read and anchor not in read[target].ids):
                yield f"{built}: its link {link} leads nowhere"
    for built, text in pages.items():
        if re.search(r'class="[^"]*\boutput traceback\b', text):
            yield f"{built}: shows the traceback of a failed cell"
        for complaint in read[built.resolve()].pictures:
            yield f"{built}: {complaint}"
        for address in read[built.resolve()].remote:
            yield f"{built}: fetches {address}"
    for sheet in sorted(html.rglob("*.css")):
        for address in REMOTE_IN_CSS.findall(sheet.read_text(encoding="utf-8")):
            yield f"{sheet}: fetches {address}"


def main():
    html = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "_build" / "html"
    found = list(faults(html))
    for fault in found:
        print(fault, file=sys.stderr)
    if found:
        sys.exit(1)
    count = len(list(html.rglob("*.html")))
    print(
        f"checked {count} pages: all there, each with its head, its foot and its files, no failed cell, no dead link, "
        "no mute image, nothing fetched from elsewhere"
    )


if __name__ == "__main__":
    main()

"""References of a page that lead nowhere: to a statement, a figure, an exercise, a target, a page, a paper.

They are told in an instant, with the name that may be meant; `make book`, which resolves them, has the last word, and
the only one on anchors, `](page#anchor)`. Labels are looked for in all pages as they are written; those that only a
build makes, such as those of the ledger, are not known here, and no page needs them.
"""

import posixpath
import re
from difflib import get_close_matches
from functools import cache

from book import symbols

FENCED = re.compile(r"^ *(`{3,})(?:\{(?:code-cell|math)\}|\w).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
HEADER = re.compile(r"\{code-cell\}[^\n]*\n---\n.*?^---$", re.MULTILINE | re.DOTALL)  # has captions
UNREAD = re.compile(r"(?<!`)(`{2,})(?!`)[^\n]*?[^`]\1(?!`)|^%[^\n]*|<!--.*?-->", re.MULTILINE | re.DOTALL)
STATED = re.compile(r"^ *(?:`{3,}|:{3,})\{prf:\w+\}[^\n]*\n(?: *:\w+:[^\n]*\n)*? *:label: *(\S+)", re.MULTILINE)
LABEL = re.compile(
    r"^ *:(?:label|name): *(\S+)|^ +name: *(\S+)$|^ *\(([^()\s]+)\)=|^ *\$\$ *\(([^()\s]+)\) *$", re.MULTILINE
)
PAPER = re.compile(r"^@\w+\{ *([^,\s]+) *,", re.MULTILINE)
ROLE = re.compile(r"(?<!`)\{(prf:ref|numref|ref|eq|doc|cite(?::\w+)?)\}`([^`]+)`")
NAMED = re.compile(r"<([^<>]+)>\s*$")  # in `a text <name>`
LINK = re.compile(r"\]\(([^()\s:]+)\)")
LIKE_LINKS = re.compile(r"`[^`\n]*`|" + symbols.MATH.pattern, re.DOTALL)  # f[0](x)


def blank(found):
    """As long, and as many lines, with nothing on them."""
    return re.sub(r"[^\n]", " ", found[0])


def prose(text):
    """The text without its code, but for captions, and without remarks."""

    def code(found):
        head = HEADER.search(found[0])
        end = head.end() if head else 0
        return found[0][:end] + re.sub(r"[^\n]", " ", found[0][end:])

    return UNREAD.sub(blank, FENCED.sub(code, text))


def labels_of(text):
    """(labels of statements, all labels) of a page."""
    return set(STATED.findall(text)), {"".join(found) for found in LABEL.findall(text)}


@cache
def read(path, stamp):
    """The same of a file, once, until it changes."""
    return labels_of(path.read_text(encoding="utf-8"))


def documents(root):
    """The file of each page, by the name that a link gives it."""
    files = [*root.glob("index.md"), *root.glob("chapters/*.md"), *root.glob("reference/*.md")]
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in files}


def papers(root):
    file = root / "references.bib"
    return set(PAPER.findall(file.read_text(encoding="utf-8"))) if file.exists() else set()


def labels(pages, text):
    """Those of all pages, and of this text of one of them."""
    found = [labels_of(text)]
    for path in pages.values():
        status = path.stat()
        found.append(read(path, (status.st_mtime_ns, status.st_size)))
    statements, every = (set().union(*each) for each in zip(*found, strict=True))
    return statements, {name.lower() for name in every} | {"genindex", "modindex", "search"}  # Sphinx has these


def absolute(name, page):
    """What a link on this page names, from the book's folder."""
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(page), name)).lstrip("/")


def names(role, target):
    """What the role names: most name one thing, a citation several."""
    if role.startswith("cite"):
        return [key.strip() for key in re.sub(r"\{[^{}]*\}", "", target).split(",")]
    shown = NAMED.search(target)
    return [" ".join((shown[1] if shown else target).split()).lstrip("!~")]


def meant(name, known):
    near = get_close_matches(name, sorted(known), 1)
    return f"; is it `{near[0]}`?" if near else ""


def page_meant(name, page, pages):
    """The page with that last part of its name, or nearly that, as this page has to write it."""
    last, stems = posixpath.basename(name), {posixpath.basename(known): known for known in pages}
    near = get_close_matches(last, sorted(stems), 1)  # itself, if it is elsewhere
    return f"; is it `{posixpath.relpath(stems[near[0]], posixpath.dirname(page) or '.')}`?" if near else ""


def dead(root, page, text):
    """(place, what is said) of each reference in this text of a page, such as chapters/noise, that leads nowhere."""
    pages = documents(root)
    (statements, every), cited, shown = labels(pages, text), papers(root), prose(text)
    for found in ROLE.finditer(shown):
        role = found[1]
        for name in names(role, found[2]):
            nowhere = f"{{{role}}}`{name}` leads nowhere"
            if role == "doc":
                if absolute(name, page) not in {*pages, page}:
                    yield found.start(), nowhere + page_meant(name, page, pages)
            elif role == "prf:ref" and name not in statements and name.lower() in every:
                yield found.start(), f"{nowhere}: that is no statement; write {{numref}} or {{ref}}"
            else:
                known = statements if role == "prf:ref" else cited if role.startswith("cite") else every
                if (name.lower() if known is every else name) not in known:
                    yield found.start(), nowhere + meant(name, known)
    for found in LINK.finditer(LIKE_LINKS.sub(blank, shown)):
        name = found[1].partition("#")[0].removesuffix(".md")
        there = absolute(name, page)
        if name and there not in {*pages, page} and name.lower() not in every and not (root / there).exists():
            yield found.start(), f"]({found[1]}) leads nowhere{page_meant(name, page, pages)}"

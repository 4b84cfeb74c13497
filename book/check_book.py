"""Check the built book: its pages and their titles are there, no cell failed, links inside it lead somewhere, images
say what they show and how large they are, and opening a page asks no other host.

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
REMOTE_IN_CSS = re.compile(r"""(?:url\(\s*|@import\s+)['"]?(?:https?:)?//[^'")\s]*""", re.IGNORECASE)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.title, self.remote, self._in_title, self._in_style = "", [], False, False
        self.ids, self.links, self.pictures = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = {k: v or "" for k, v in attrs}
        self.ids.add(attrs.get("id"))
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

    def handle_endtag(self, tag):
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


def source_title(name):
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    return next(line[2:] for line in text.split("\n") if line.startswith("# "))


def faults(html):
    for name in listed(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))):
        built = html / f"{name}.html"
        if not built.exists() or not built.stat().st_size:
            yield f"{built}: missing or empty"
            continue
        shown = set(words(Page(built.read_text(encoding="utf-8")).title))
        lost = [word for word in words(source_title(name)) if word not in shown]
        if lost:
            yield f"{built}: its title lacks {lost}"
    pages = {built: built.read_text(encoding="utf-8") for built in sorted(html.rglob("*.html"))}
    read = {built.resolve(): Page(text) for built, text in pages.items()}
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
        f"checked {count} pages: all there, no failed cell, no dead link, no mute image, nothing fetched from elsewhere"
    )


if __name__ == "__main__":
    main()

"""The whole book as one PDF, _build/book.pdf, from the built pages: python -m book.pdf

A browser prints one page after the other, as it prints them for a reader: assets/print.css. Then they are joined: a
title and the contents before them, page numbers that run on, and links from page to page that lead within the book.
What is a heading, a list or a table, and what a figure shows in words, is marked for those who hear it.
"""

import sys
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import yaml

from book import chromium, frame

ROOT = Path(__file__).resolve().parents[1]
LAST = "Statements", ["prf-prf"]  # a part that _toc.yml does not hold

# All that a link from another page may lead to gets a link, unseen: a browser keeps the places that links lead to.
READ = """async () => {
    if (window.MathJax?.startup) await MathJax.startup.promise;
    await document.fonts.ready;
    const article = document.querySelector("article");
    const links = document.body.appendChild(document.createElement("div"));
    links.hidden = true;
    for (const place of article.querySelectorAll("[id]:not(mjx-container *)")) {
        links.appendChild(document.createElement("a")).href = "#" + encodeURIComponent(place.id);
    }
    const words = (heading) => {
        const copy = heading.cloneNode(true);
        for (const extra of copy.querySelectorAll("a.headerlink")) extra.remove();
        return copy.textContent.trim().replace(/\\s+/g, " ");
    };
    return {
        title: words(article.querySelector("h1")),
        sections: [...article.querySelectorAll("h2")].map((h2) => [words(h2), h2.closest("[id]")?.id ?? ""]),
        home: document.querySelector("link[rel=canonical]")?.href ?? "",
    };
}"""

FRONT = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
@page {{ margin: 22mm; @bottom-center {{ content: counter(page, lower-roman); font: 8pt sans-serif; color: #555; }} }}
@page :first {{ @bottom-center {{ content: none; }} }}
body {{ font: 10.5pt/1.45 sans-serif; margin: 0; }}
h1 {{ font-size: 28pt; line-height: 1.2; margin: 60mm 0 8mm; }}
h2 {{ break-before: page; font-size: 18pt; }}
h3 {{ break-after: avoid; font-size: 10.5pt; margin: 4mm 0 1mm; }}
footer {{ margin-top: 50mm; font-size: 9pt; color: #444; overflow-wrap: anywhere; }}
ol {{ list-style: none; margin: 0; padding: 0; }}
li a {{ display: flex; justify-content: space-between; gap: 1em; color: inherit; text-decoration: none; }}
</style></head><body><h1>{title}</h1><p>{authors}</p><footer>{notes}</footer><h2>Contents</h2>{contents}
</body></html>"""


@dataclass
class Page:
    """A page of the book as it was printed. start: its first page number."""

    path: str
    title: str
    sections: list
    home: str
    start: int
    printed: object
    places: dict = field(default_factory=dict)  # name to (page of `printed`, left, top)

    def __post_init__(self):
        for name, place in self.printed.named_destinations.items():
            at = self.printed.get_destination_page_number(place)
            self.places[unquote(name.lstrip("/"))] = at, float(place.left or 0), float(place.top or 0)


def plan(toc):
    """The parts of the book, (caption, names of pages) each, from _toc.yml; the front page has a part of its own."""
    parts = [(part["caption"], [entry["file"] for entry in part["chapters"]]) for part in toc["parts"]]
    return [("", [toc["root"]]), *parts]


def on_paper(start, title):
    """Style of one page of the book: its numbers run on, its title is above all but the first of them."""
    title = title.replace("\\", "").replace('"', "'")
    return f"""html {{ counter-reset: page {start - 1}; }}
        .bd-main footer.bd-footer-content {{ display: none !important; }}
        @page {{ @top-right {{ content: "{title}"; font: 8pt sans-serif; color: #555; }} }}
        @page :first {{ @top-right {{ content: none; }} }}"""


def to_paper(tab):
    from pypdf import PdfReader

    return PdfReader(BytesIO(tab.pdf(format="A4", prefer_css_page_size=True, tagged=True)))


def printed(tab, origin, name, start):
    tab.goto(f"{origin}/{name}.html", wait_until="load")
    read = tab.evaluate(READ)
    tab.add_style_tag(content=on_paper(start, read["title"]))
    return Page(f"{name}.html", **read, start=start, printed=to_paper(tab))


def front(origin, title, cited, parts, pages):
    """The title and the contents, in HTML."""
    authors = frame.names(cited["authors"]) if cited else ""
    notes = [f"Version {cited['version']}"] if cited else []
    notes += frame.how_to_cite(cited, title, title, "", "")[1:]  # the paper
    notes += [pages["index"].home, "Text and figures: CC BY 4.0. Code: MIT License."]
    lines = []
    for caption, names in parts:
        lines.append(f"<h3>{escape(caption)}</h3><ol>" if caption else "<ol>")
        for page in map(pages.get, names):
            line = f"<span>{escape(page.title)}</span><span>{page.start}</span>"
            lines.append(f'<li><a href="{origin}/{page.path}">{line}</a></li>')
        lines.append("</ol>")
    notes = "".join(f"<p>{escape(note)}</p>" for note in notes if note)
    return FRONT.format(title=escape(title), authors=escape(authors), notes=notes, contents="\n".join(lines))


class Binding:
    """The joined pages: `writer` holds them, `starts` says where in it each begins."""

    def __init__(self, origin, front, pages):
        from pypdf import PdfWriter

        self.origin, self.pages = origin, {page.path: page for page in pages}
        self.writer, self.starts = PdfWriter(), {}
        self.printed = [front, *(page.printed for page in pages)]
        self.front = len(front.pages)
        for path, printed in zip(["", *self.pages], self.printed, strict=True):
            self.starts[path] = len(self.writer.pages)
            self.writer.append(printed, import_outline=False)
        home = next((page.home for page in pages if page.path == "index.html"), "")
        self.home = home.removesuffix("index.html")

    def place(self, path, name=""):
        """Where a place of a page is, as PDF tells it: a page, left and top; None if there is no such page."""
        from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject

        if path not in self.pages:
            return None
        whole = 0, 0.0, float(self.pages[path].printed.pages[0].mediabox.top)
        at, left, top = self.pages[path].places.get(name, whole)
        target = self.writer.pages[self.starts[path] + at].indirect_reference
        return ArrayObject([target, NameObject("/XYZ"), FloatObject(left), FloatObject(top), NullObject()])

    def lead(self, link, path):
        """Make a link of a page lead within the book, or to the published book; False if it leads nowhere."""
        from pypdf.generic import NameObject, TextStringObject

        action = link.get("/A", {})
        if "/Dest" in link:
            target = path, unquote(str(link["/Dest"]).lstrip("/"))
        elif str(action.get("/URI", "")).startswith(self.origin):
            file, name = urldefrag(str(action["/URI"]).removeprefix(self.origin + "/"))
            target = file or "index.html", unquote(name)
        else:
            return True
        if place := self.place(*target):
            link.pop("/A", None)
            link[NameObject("/Dest")] = place
        elif self.home:
            action[NameObject("/URI")] = TextStringObject(urljoin(self.home, target[0]))
        return bool(place or self.home)

    def lead_all(self):
        ends = [(start, path) for path, start in self.starts.items()]
        for i, page in enumerate(self.writer.pages):
            path = max(end for end in ends if end[0] <= i)[1]
            links = page.get("/Annots", [])
            for link in [link for link in links if not self.lead(link.get_object(), path)]:
                links.remove(link)

    def structure(self):
        from book import tags

        joined = tags.Structure(self.writer)
        for printed, start in zip(self.printed, self.starts.values(), strict=True):
            joined.take(printed, start)
        joined.write()

    def outline(self, parts):
        """Parts, pages and their sections, at the side."""

        from pypdf.generic import Fit

        def add(title, parent, path, name=""):
            target, _, left, top, _ = self.place(path, name)
            return self.writer.add_outline_item(title=title, page_number=target, parent=parent, fit=Fit.xyz(left, top))

        for caption, names in parts:
            part = add(caption, None, f"{names[0]}.html") if caption else None
            for page in (self.pages[f"{name}.html"] for name in names):
                above = add(page.title, part, page.path)
                for title, name in page.sections:
                    add(title, above, page.path, name)

    def write(self, path, title, author):
        self.writer.set_page_label(0, self.front - 1, style="/r")
        self.writer.set_page_label(self.front, len(self.writer.pages) - 1, style="/D", start=1)
        self.writer.add_metadata({"/Title": title, "/Author": author})
        self.writer.compress_identical_objects()
        self.writer.write(path)


def make(site, parts, cited, title, target, say=print):
    """Print the pages of a built site and bind them. Returns the number of pages."""
    pages = {}
    with chromium.served(site) as origin, chromium.opened() as browser:
        tab = browser.new_context(color_scheme="light").new_page()
        tab.set_default_timeout(chromium.PATIENCE)
        start = 1
        for name in (name for _, names in parts for name in names):
            pages[name] = printed(tab, origin, name, start)
            say(f"{start:4d}  {pages[name].title}")
            start += len(pages[name].printed.pages)
        tab.set_content(front(origin, title, cited, parts, pages))
        binding = Binding(origin, to_paper(tab), list(pages.values()))
    binding.lead_all()
    binding.outline(parts)
    binding.structure()
    binding.write(target, title, frame.names(cited["authors"]) if cited else "")
    return len(binding.writer.pages)


def main(site=ROOT / "_build" / "html", target=ROOT / "_build" / "book.pdf"):
    reason = chromium.lacking("pypdf")
    if not (site / "index.html").exists():
        reason = "there is no built book: make book"
    if reason:
        print(f"The book was not printed: {reason}.", file=sys.stderr)
        return 1
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    title = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    count = make(site, [*plan(toc), LAST], frame.citation(ROOT), title, target)
    print(f"{count} pages: {target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

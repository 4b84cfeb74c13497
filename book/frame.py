"""Sphinx extension: what surrounds each page.

- In its head: what the page is about, its question, for search engines and for previews of links; a favicon.
- At its foot: how to cite it, when it last changed, where its source is, authors and licences.
- Beside the pages: a page for addresses that lead nowhere, and a map of the site where the book's address is known.
"""

import re
from html import escape
from pathlib import Path
from urllib.parse import quote

import yaml
from docutils import nodes
from markupsafe import Markup

from book import plain, published

TEMPLATES = str(Path(__file__).parent / "templates")
MISSING = "404"
CARD = "card.png"  # the picture in previews of links; made by tools/picture.py
CARD_SIZE = 1200, 630


def about(app, doctree):
    """Keep what the first paragraph below a page's title begins with: its question."""
    section = next(iter(doctree.findall(nodes.section)), None)
    first = next((node for node in section.children if isinstance(node, nodes.paragraph)), None) if section else None
    if first is not None:
        words = plain.line(first, plain.macros_of(app.config))
        app.env.metadata[app.env.docname]["question"] = plain.beginning(words, 200)


def citation(root):
    """CITATION.cff, or nothing in a book without one."""
    path = Path(root) / "CITATION.cff"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def names(authors):
    """Authors as in a list of references."""
    found = [author.get("name") or f"{author['given-names']} {author['family-names']}" for author in authors]
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def how_to_cite(cited, title, book, address, year):
    """A line for this page, and one for the paper that it is about. Plain text."""
    if not cited:
        return []
    version = f"version {cited['version']}"
    where = f"{title}. In: {book}" if title != book else book
    lines = [f"{names(cited['authors'])} ({year}). {where}, {version}." + (f" {address}" if address else "")]
    if paper := cited.get("preferred-citation"):
        where = ", ".join([paper.get("collection-title", ""), *(i["value"] for i in paper.get("identifiers", []))])
        lines.append(f"{names(paper['authors'])} ({paper['year']}). {paper['title']}. {where}.")
    return lines


def words(title):
    """A title without its tags, on one line."""
    return str(Markup(title).striptags())


def meta(kind, name, content):
    return f'<meta {kind}="{name}" content="{escape(content)}" />\n'


def head(app, pagename, templatename, context, doctree):
    """Description and preview of a page."""
    title = words(context.get("title", "")) or app.config.project
    book = app.config.html_title or app.config.project
    question = app.env.metadata[pagename].get("question", "") if doctree is not None else ""
    base = app.config.html_baseurl if pagename == MISSING else ""
    # docutils tells the viewport too, after Sphinx.
    given = re.sub(r"<meta\b[^>]*\bname=\"viewport\"[^>]*>\s*", "", context.get("metatags", ""))
    context["metatags"] = given + "".join(
        [
            # The page is shown at any address; its own links begin at the book's.
            f'<base href="{escape(base)}" />\n' if base else "",
            meta("name", "description", question) if question else "",
            meta("property", "og:title", title),
            meta("property", "og:description", question) if question else "",
            meta("property", "og:type", "website" if pagename == app.config.root_doc else "article"),
            meta("property", "og:site_name", book),
            meta("property", "og:url", context["pageurl"]) if context.get("pageurl") else "",
            # Previews ask for a whole address; without one the picture is at least where the page is.
            meta("property", "og:image", picture(app, context)),
            meta("property", "og:image:width", str(CARD_SIZE[0])),
            meta("property", "og:image:height", str(CARD_SIZE[1])),
            meta("name", "twitter:card", "summary_large_image"),
        ]
    )
    if pagename == MISSING:
        context["pageurl"] = None


def picture(app, context):
    base = app.config.html_baseurl
    return f"{base}_static/{CARD}" if base else context["pathto"](f"_static/{CARD}", 1)


def foot(app, pagename, templatename, context, doctree):
    """What the template page-foot.html shows."""
    root, file = app.srcdir, ""
    if doctree is not None:
        file = Path(app.env.doc2path(pagename)).relative_to(root).as_posix()
    changed = published.last_change(str(root), file) if file else ""
    title = words(context.get("title", ""))
    context["foot"] = {
        "cite": how_to_cite(
            app.config.book_citation, title, app.config.html_title or app.config.project, context.get("pageurl"),
            changed[:4] or app.config.copyright,
        ) if file else [],
        "changed": changed,
        "version": published.version(str(root)),
        "source": (published.source(app, file) or context["pathto"](f"_sources/{file}", 1)) if file else "",
        "repository": app.config.book_repository,
        # The workflow that publishes the book puts it there.
        "pdf": f"{app.config.html_baseurl}book.pdf" if app.config.html_baseurl else "",
    }  # fmt: skip


def missing(app):
    """A page for addresses that lead nowhere."""
    yield MISSING, {"title": "There is no such page"}, "missing.html"


def site_map(app, exception):
    """The addresses of all pages, for search engines."""
    if exception is not None or not app.config.html_baseurl or app.builder.format != "html":
        return
    lines = ['<?xml version="1.0" encoding="utf-8"?>', '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">']
    for docname in sorted(app.env.found_docs):
        file = Path(app.env.doc2path(docname)).relative_to(app.srcdir).as_posix()
        changed = published.last_change(str(app.srcdir), file)
        address = escape(app.config.html_baseurl + quote(app.builder.get_target_uri(docname)))
        lines.append(f"<url><loc>{address}</loc>" + (f"<lastmod>{changed}</lastmod>" if changed else "") + "</url>")
    (Path(app.outdir) / "sitemap.xml").write_text("\n".join([*lines, "</urlset>", ""]), encoding="utf-8")


def settle(app, config):
    config.book_citation = citation(app.srcdir)  # as a setting: when it changes, all pages are written again
    if TEMPLATES not in config.templates_path:
        config.templates_path = [TEMPLATES, *config.templates_path]


def setup(app):
    app.add_config_value("book_citation", {}, "html", [dict])
    app.connect("config-inited", settle)
    app.connect("doctree-read", about)
    app.connect("html-page-context", head)
    app.connect("html-page-context", foot)
    app.connect("html-collect-pages", missing)
    app.connect("build-finished", site_map)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

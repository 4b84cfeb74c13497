"""Sphinx extension: what goes with a figure.

- Its image has an alternative text: the `alt` given in the cell or block, else the first sentence of its caption.
- Below its caption are links to the image and to the numbers behind it, as files to keep: `plotting.FigureData` of the
  next cell is written to `_data/PAGE/NAME.csv`, and the page does not carry it.
- Every image of a page says how large it is, so that text does not jump while images come in; and a drawing, from
  which width on its smallest text can be read. Where there is less room, it scrolls in its own place: `.drawing` in
  custom.css.
"""

import base64
import math
import re
from html import escape, unescape
from pathlib import Path
from urllib.parse import quote, unquote

from docutils import nodes
from sphinx.util import logging
from sphinx.util.images import get_image_size

from book import plain

SMALLEST = 9  # pixels of text that can be read
logger = logging.getLogger(__name__)
DATA = re.compile(r'<a class="figure-data" download="([^"]+)" href="data:text/csv;base64,([^"]*)"')


def describe(figure, macros):
    """Give the image of a figure its alternative text."""
    caption = next(iter(figure.findall(nodes.caption)), None)
    for image in figure.findall(nodes.image):
        if not image.get("alt") and caption is not None:
            image["alt"] = plain.sentence(plain.line(caption, macros))
        if not image.get("alt"):
            logger.warning("a figure has neither a caption nor an alternative text", location=figure)


def written(found, app, docname):
    """Write a table of numbers to its file; a link to it."""
    name, table = unescape(found[1]), base64.b64decode(found[2])
    target = Path(app.outdir) / "_data" / docname / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(table)
    address = f"{'../' * docname.count('/')}_data/{docname}/{quote(name)}"
    return f'<a href="{escape(address)}" download aria-label="CSV, the numbers of this figure">CSV</a>'


def picture(image, app, docname, figure):
    """A link to an image, under the figure's name, to keep it by."""
    known = app.env.images.get(image["uri"])
    if known is None or not known[1].endswith(".svg"):
        return []
    address = f"{'../' * docname.count('/')}_images/{quote(known[1])}"
    name = escape(f"{figure['names'][0].removeprefix('fig-')}.svg" if figure["names"] else known[1])
    return [f'<a href="{address}" download="{name}" aria-label="SVG, this figure as a file">SVG</a>']


def complete(app, doctree, docname):
    """Go along the page: the numbers of a figure are the next that are shown after it."""
    figure, links = None, {}
    for node in list(doctree.findall(lambda node: isinstance(node, (nodes.figure, nodes.raw)))):
        if isinstance(node, nodes.figure):
            figure = node
            describe(figure, plain.macros_of(app.config))
            links[figure] = [
                link for image in figure.findall(nodes.image) for link in picture(image, app, docname, figure)
            ]
        elif found := DATA.search(node.astext()):
            link = written(found, app, docname)
            if figure is None:
                node.parent.replace(node, nodes.raw("", f'<p class="figure-files">{link}</p>', format="html"))
            else:
                links[figure].append(link)
                drop(node)
    for figure, found in links.items():
        if found:
            text = f'<p class="figure-files">{" &middot; ".join(found)}</p>'
            legend = next(iter(figure.findall(nodes.legend)), None)
            if legend is None:
                legend = nodes.legend()
                figure.append(legend)
            legend.append(nodes.raw("", text, format="html"))


def drop(node):
    """Take a node away, and the boxes of its cell that nothing else is in."""
    parent = node.parent
    parent.remove(node)
    while isinstance(parent, nodes.container) and not parent.children:
        node, parent = parent, parent.parent
        parent.remove(node)


def texts(svg):
    """The sizes of the texts in a drawing of matplotlib's, in its own units: of text, and of glyphs drawn as paths."""
    glyphs = re.findall(r"<g transform=\"[^\"]*\bscale\(([\d.]+) -[\d.]+\)", svg)  # a hundredth of the size
    return [100 * float(scale) for scale in glyphs] + [float(size) for size in re.findall(r"font: ([\d.]+)px", svg)]


def legible(svg):
    """The width in pixels from which on the smallest text of a drawing can be read, or None if it has none."""
    box, found = re.search(r'viewBox="\S+ \S+ (\S+) ', svg), texts(svg)
    return math.ceil(SMALLEST * float(box[1]) / min(found)) if box and found else None


def sizes(app, pagename, templatename, context, doctree):
    """Give every image of a page its width and height."""
    sources = {name: uri for uri, (_, name) in app.env.images.items()}

    def sized(match):
        source = re.search(r'\bsrc="(?:[^"]*/)?_images/([^"]+)"', match[0])
        uri = sources.get(unquote(source[1])) if source else None
        if uri is None or re.search(r"\b(width|height)=", match[0]):
            return match[0]
        path = Path(app.srcdir) / uri
        size = get_image_size(str(path))
        if size is None:
            return match[0]
        image = f'<img width="{size[0]}" height="{size[1]}"{match[1]}'
        least = legible(path.read_text(encoding="utf-8")) if path.suffix == ".svg" else None
        return f'<span class="drawing" style="--least: {least}px">{image}</span>' if least else image

    if context.get("body"):
        context["body"] = re.sub(r"<img\b([^>]*>)", sized, context["body"])


def setup(app):
    app.connect("doctree-resolved", complete)
    app.connect("html-page-context", sizes)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Sphinx extension: figures that one can move, and that compute in the page. Directive:

{live} NAME        `assets/live/NAME.js` builds it. Options: `:name:`, as of any figure, and `:alt:`, what it is, for
                   whoever does not see it. Its content is its caption. `:data:` is the name of a file of
                   `chapters/data`, without its end, that it reads: `figure.data`.

How such a file is written stands at the head of `assets/live/kit.js`. A page loads what its figures need, and no other
page does. A notebook has one line in the figure's place.
"""

import json
import re
from html import escape
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)
FOLDER = "live"  # below assets, and below _static in the built book
SHARED = ("kit.js", "theory.js")
BLOCK = re.compile(r"^(`{3,})\{live\} *\S+\n(?P<body>.*?)^\1 *$", re.DOTALL | re.MULTILINE)
OPTION = re.compile(r"^:\w+:.*\n", re.MULTILINE)
LOST = "This figure is drawn by a script, and none has run here."
ELSEWHERE = "This figure moves on the page of the book that this notebook is of."


def place(name, key, alt, given=None):
    """Where a script builds the figure: at once, so that nothing jumps after it; with the data that it is given."""
    data = f'data-live="{escape(name)}" data-key="{escape(key)}"'
    return (
        f'<div class="live" {data} role="group" aria-label="{escape(alt)}">'
        f'<p class="live-lost">{LOST}</p>{embedded(given)}</div><script>window.live && live.here()</script>'
    )


def embedded(given):
    """Data within a page, as one that is opened as a file can fetch none."""
    if given is None:
        return ""
    text = json.dumps(given, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


class Live(SphinxDirective):
    required_arguments = 1
    has_content = True
    needs: ClassVar = {"name": directives.unchanged_required, "alt": directives.unchanged_required}
    option_spec: ClassVar = needs | {"data": directives.unchanged_required}

    def run(self):
        name = self.arguments[0]
        script = Path(self.env.srcdir) / "assets" / FOLDER / f"{name}.js"
        lacking = [f":{option}:" for option in self.needs if not self.options.get(option)]
        if not script.exists() or lacking or not self.content:
            what = f"no {' and no '.join(lacking)}" if lacking else "no caption" if script.exists() else f"no {script}"
            raise self.error(f"a figure that moves has {what}")
        key = self.options["name"].removeprefix("fig-")
        given = None
        if "data" in self.options:
            file = Path(self.env.srcdir) / "chapters" / "data" / f"{self.options['data']}.json"
            self.env.note_dependency(str(file))
            given = json.loads(file.read_text(encoding="utf-8"))
        figure = nodes.figure(classes=["live-figure"])
        figure += nodes.raw("", place(name, key, self.options["alt"], given), format="html", live=name)
        self.set_source_info(figure)
        self.add_name(figure)
        content = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, content)
        first, *others = content.children
        figure += nodes.caption(first.rawsource, "", *first.children)
        if others:
            figure += nodes.legend("", *others)
        return [figure]


def load(app, pagename, templatename, context, doctree):
    """The scripts of the figures of a page, before its text."""
    found = {node["live"] for node in doctree.findall(nodes.raw) if "live" in node} if doctree is not None else ()
    if found:
        app.add_css_file(f"{FOLDER}/live.css")
        for name in (*SHARED, *(f"{name}.js" for name in sorted(found))):
            app.add_js_file(f"{FOLDER}/{name}")


def in_words(text):
    """Markdown with a line of words in the place of each such figure: its caption, and that it moves elsewhere."""

    def line(match):
        caption = OPTION.sub("", match["body"]).strip()
        return f"*{ELSEWHERE}* {caption}"

    return BLOCK.sub(line, text)


def setup(app):
    app.add_directive("live", Live)
    app.connect("html-page-context", load)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

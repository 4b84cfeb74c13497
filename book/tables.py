"""Sphinx extension: tables of text, which are too wide for a phone.

There each row is a card, and each cell says first which column it is of: see `table.cards` in custom.css. A table of
short entries, such as numbers, stays one, and scrolls in its own place. So does one that a cell prints: its columns
are made of spaces, and its lines would break them.
"""

import re
from html import escape, unescape

from docutils import nodes

from book import plain

SHORT = 24  # characters of an entry that needs no card
PRINTED = re.compile(r'<div class="output (?=[^"]*"><div class="highlight"><pre>(.*?)</pre>)', re.DOTALL)


def cells(row):
    return [cell for cell in row.children if isinstance(cell, nodes.entry)]


def name_columns(app, doctree):
    macros = plain.macros_of(app.config)
    for table in doctree.findall(nodes.table):
        head, body = next(iter(table.findall(nodes.thead)), None), next(iter(table.findall(nodes.tbody)))
        rows = [cells(row) for row in body.findall(nodes.row)]
        if not any(len(plain.line(cell, macros)) > SHORT for row in rows for cell in row):
            continue
        table["classes"].append("cards")
        names = [plain.line(cell, macros) for cell in cells(head[0])] if head is not None else []
        for row in rows:
            for name, cell in zip(names, row, strict=False):  # a cell that spans columns leaves fewer
                if name and cell.astext().strip():
                    cell["label"] = name


def visit_entry(self, node):
    start = len(self.body)
    type(self).visit_entry(self, node)
    if "label" in node:
        self.body[start] = self.body[start].replace("<td", f'<td data-label="{escape(node["label"])}"', 1)


def depart_entry(self, node):
    type(self).depart_entry(self, node)


def has_columns(text):
    """Whether a text is a table: three lines or more, most of them with two wide spaces or more."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return len(lines) > 2 and 3 * sum(len(re.findall(" {2,}", line)) > 1 for line in lines) >= 2 * len(lines)


def keep_columns(app, pagename, templatename, context, doctree):
    def marked(match):
        text = unescape(re.sub("<[^>]*>", "", match[1]))
        return match[0] + "columns " if has_columns(text) else match[0]

    context["body"] = PRINTED.sub(marked, context.get("body", ""))


def setup(app):
    app.add_node(nodes.entry, override=True, html=(visit_entry, depart_entry))
    app.connect("doctree-read", name_columns)
    app.connect("html-page-context", keep_columns)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

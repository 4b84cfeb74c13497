"""Sphinx extension: one kind of fold for what a reader may want to skip.

- A cell tagged `check` is folded under the line that it prints, its result: "Checked: 2,000 draws, 0 failures".
- The code of a figure (tag `hide-input`) is folded, below the figure.
- Hints and solutions of class `dropdown` are folded, as proofs are by their `{dropdown}`.
"""

import re
from html import escape

from docutils import nodes
from sphinx.util import logging
from sphinx_exercise.nodes import solution_node

logger = logging.getLogger(__name__)
CHECK = "tag_check"
POWER = re.compile(r"\d[\d.]*e[-+]\d+")


def folded(summary, children, *classes):
    """The children under a line that opens them. summary: HTML."""
    fold = nodes.container(classes=["fold-content"])
    fold += children
    opening = f'<details class="{" ".join(["fold", *classes])}"><summary>{summary}</summary>'
    return [nodes.raw("", opening, format="html"), fold, nodes.raw("", "</details>", format="html")]


def unbroken(line):
    """HTML of the line, where numbers such as 3e-09 stay whole: a browser may end a line after their hyphen."""
    return POWER.sub(r'<span class="text-nowrap">\g<0></span>', escape(line))


def result(output):
    """The one line that a checking cell prints, or a complaint."""
    lines = output.astext().strip().split("\n") if output is not None else []
    if len(lines) != 1 or not lines[0]:
        raise ValueError(f"a cell tagged `check` prints one line, its result; got {len(lines)} lines")
    return lines[0]


def cells(app, doctree):
    """Fold the code of cells, with the links that the ledger has added."""
    for cell in list(doctree.findall(lambda node: node.get("nb_element") == "cell_code" if is_box(node) else False)):
        parts = {part.get("nb_element"): part for part in cell.children if is_box(part)}
        code, output = parts.get("cell_code_source"), parts.get("cell_code_output")
        if code is None:
            continue
        if CHECK in cell["classes"]:
            try:
                line = result(output)
            except ValueError as fault:
                logger.warning("%s", fault, location=cell)
                continue
            links = [part for part in cell.children if part not in (code, output)]
            cell.children = []
            cell += folded(f'<span class="fold-verdict">Checked:</span> {unbroken(line)}', [code, *links], "check")
        elif cell.attributes.pop("hide_mode", None) == "input":
            cell.children = []
            cell += ([output] if output is not None else []) + folded("Code", [code], "code")


def answers(app, doctree, docname):
    """Fold hints and solutions. In print they are open: a style sheet's business."""
    for kind, summary in ((nodes.hint, "Hint"), (solution_node, "Solution")):
        for node in list(doctree.findall(kind)):
            if "dropdown" in node.get("classes", []):
                node["classes"].remove("dropdown")
                node.parent.replace(node, folded(summary, [node.deepcopy()], summary.lower()))


def is_box(node):
    return isinstance(node, nodes.container)


def setup(app):
    app.connect("doctree-read", cells, priority=900)
    app.connect("doctree-resolved", answers, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

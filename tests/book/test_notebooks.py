"""The notebooks offered for download are executed, and define the TeX macros that only the book knows."""

import re
from pathlib import Path

import nbformat
import yaml
from test_freshness import build

from book.notebooks import definitions, with_macros

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
MACROS = CONFIG["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]


def test_a_page_offers_its_executed_notebook(book):
    _, page = build(book)
    notebook = nbformat.read(book / "_build" / "html" / "_sources" / "chapters" / "01_page.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert 'href="../_sources/chapters/01_page.ipynb"' in page
    first, title, code = notebook.cells
    assert first.source.split("\n") == [f"${definition}$" for definition in definitions(MACROS)]
    assert title.source == "# A page" and code.outputs[0].text == "the answer is 41\n"


def test_definitions_are_those_of_the_book():
    found = list(definitions({"R": "\\mathbb{R}", "norm": ["\\lVert #1 \\rVert", 1]}))
    assert found == ["\\newcommand{\\R}{\\mathbb{R}}", "\\newcommand{\\norm}[1]{\\lVert #1 \\rVert}"]
    empty = nbformat.v4.new_notebook()
    assert with_macros(empty, {}).cells == []


def test_every_macro_of_the_book_is_used():
    """One that no page uses is a name misspelt, or left behind."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "chapters").glob("*.md"))
    assert [name for name in MACROS if not re.search(rf"\\{name}(?![a-zA-Z])", text)] == []

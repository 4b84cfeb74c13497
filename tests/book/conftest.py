"""Small books, with the settings of the real one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""
PAGE = (
    HEADER
    + """\
# A page

```{code-cell}
import glalib
print("the answer is", glalib.answer())
```
"""
)


def make_book(folder):
    for name in ("_config.yml", "requirements.lock", "references.bib", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "book", folder / "book")
    (folder / "claims.yml").write_text("{}\n")
    (folder / "assets").mkdir()
    (folder / "assets" / "custom.css").touch()
    (folder / "assets" / "wide.js").touch()
    shutil.copy(ROOT / "assets" / "favicon.svg", folder / "assets")
    (folder / "glalib" / "deep").mkdir(parents=True)
    (folder / "glalib" / "__init__.py").write_text("from .deep.answer import answer\n")
    (folder / "glalib" / "deep" / "answer.py").write_text("def answer():\n    return 41\n")
    (folder / "chapters" / "data").mkdir(parents=True)
    (folder / "chapters" / "data" / "table.csv").write_text("1,2\n")
    (folder / "chapters" / "01_page.md").write_text(PAGE)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: chapters/01_page\n")
    return folder


def build_strictly(book):
    environment = os.environ | {"PYTHONPATH": str(book), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "book.build"], cwd=book, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def header():
    """What every page begins with."""
    return HEADER


@pytest.fixture
def page():
    """The text of a page with one cell, which prints a number of the package."""
    return PAGE


@pytest.fixture
def book(tmp_path):
    """A book of one page, with the settings of the real one and a package that it can change."""
    return make_book(tmp_path)


@pytest.fixture(scope="session")
def strictly():
    """Builds a book as `make book` does."""
    return build_strictly


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """The same book, one for all tests of a module."""
    return make_book(tmp_path_factory.mktemp("book"))

"""A figure that one can move has its place, its number and its scripts on the page; a notebook has words for it."""

import json
import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from book import check_book, live

ROOT = Path(__file__).resolve().parents[2]
FIGURE = """
```{live} halves
:name: fig-halves
:alt: A bar & a slider.

Half of $n$ is left, as in {ref}`there <there>`. Then nothing.

More words.
```

See {numref}`fig-halves`.
"""
MUTE = "\n```{live} halves\n:name: fig-mute\n\nIt says nothing.\n```\n"
BARE = "\n```{live} halves\n:name: fig-bare\n:alt: A bar.\n```\n"
LOST = "\n```{live} quarters\n:name: fig-lost\n:alt: A bar.\n\nIt is not there.\n```\n"


@pytest.fixture(scope="module")
def built(small_book, strictly):
    """A page with such a figure, and one without; and what the build says of three that lack something."""
    book = small_book
    (book / "assets" / "live").mkdir()
    for name in ("kit.js", "theory.js", "live.css"):
        shutil.copy(ROOT / "assets" / "live" / name, book / "assets" / "live")
    shutil.copy(ROOT / "tests" / "pages" / "halves.js", book / "assets" / "live")
    page = (book / "chapters" / "01_page.md").read_text()
    (book / "chapters" / "01_page.md").write_text(page + "\n(there)=\n## There\n" + FIGURE)
    (book / "plain.md").write_text("# Plain\n\nWords.\n")
    (book / "_toc.yml").write_text("format: jb-book\nroot: chapters/01_page\nchapters:\n  - file: plain\n")
    good = strictly(book)
    assert good.returncode == 0, good.stdout[-3000:]
    html = {name: (book / "_build" / "html" / f"{name}.html").read_text() for name in ("chapters/01_page", "plain")}
    notebook = json.loads((book / "_build" / "html" / "_sources" / "chapters" / "01_page.ipynb").read_text())
    (book / "plain.md").write_text("# Plain\n" + MUTE + BARE + LOST)
    bad = strictly(book)
    return html, notebook, bad


def test_it_is_a_figure_with_a_number_and_a_caption(built):
    page = BeautifulSoup(built[0]["chapters/01_page"], "html.parser")
    figure = page.find("figure", id="fig-halves")
    place = figure.find(class_="live")
    assert {key: place[key] for key in ("data-live", "data-key", "role", "aria-label")} == {
        "data-live": "halves",
        "data-key": "halves",
        "role": "group",
        "aria-label": "A bar & a slider.",
    }
    assert place.get_text() == live.LOST
    caption = figure.find("figcaption")
    assert caption.find(class_="caption-number").get_text(strip=True) == "Fig. 1"
    assert caption.find(class_="math") and caption.find("a", href="#there")
    assert caption.find(class_="legend").get_text(strip=True) == "More words."
    assert (
        page.find("a", href="#fig-halves", string="Fig. 1") or page.find("a", href="#fig-halves").get_text() == "Fig. 1"
    )
    assert check_book.Page(built[0]["chapters/01_page"]).figures == []  # it has no files


def test_scripts_are_where_they_are_needed(built):
    for name, needed in (("chapters/01_page", ["kit.js", "theory.js", "halves.js"]), ("plain", [])):
        page = BeautifulSoup(built[0][name], "html.parser")
        scripts = [script["src"].partition("?")[0] for script in page.find_all("script", src=True)]
        assert [src.rpartition("/")[2] for src in scripts if "/live/" in src] == needed
        sheets = [link["href"] for link in page.find_all("link", rel="stylesheet")]
        assert any("live/live.css" in sheet for sheet in sheets) == bool(needed)
    head = BeautifulSoup(built[0]["chapters/01_page"], "html.parser").head  # before the place that they fill
    assert len([script for script in head.find_all("script", src=True) if "/live/" in script["src"]]) == 3
    assert not any(script.has_attr("defer") or script.has_attr("type") for script in head.find_all("script", src=True)
                   if "/live/" in script["src"])  # fmt: skip


def test_a_notebook_has_words_for_it(built):
    text = "".join("".join(cell["source"]) for cell in built[1]["cells"] if cell["cell_type"] == "markdown")
    assert f"*{live.ELSEWHERE}* Half of $n$ is left" in text and "More words.\n\nSee" in text
    assert "{live}" not in text and ":alt:" not in text


def test_words_alone_are_left_as_they_are():
    text = "Before.\n\n```{note}\nA note.\n```\n"
    assert live.in_words(text) == text


def test_what_is_lacking_is_told(built):
    bad = built[2]
    assert bad.returncode
    for complaint in ("has no :alt:", "has no caption", "quarters.js"):
        assert complaint in bad.stdout, bad.stdout[-3000:]

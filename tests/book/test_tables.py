"""On a phone the rows of a table of text are cards, whose entries say which column they are of."""

import pytest
from bs4 import BeautifulSoup

from book.tables import keep_columns

TABLES = r"""
| | with $\omega_i \le 1$ | and *more* |
|---|---|---|
| first | a text that is longer than a number | |
| second | short | b |

| n | risk |
|---|---|
| 1 | 0.5 |
"""


@pytest.fixture(scope="module")
def tables(small_book, strictly):
    page = small_book / "chapters" / "01_page.md"
    page.write_text(page.read_text() + TABLES)
    done = strictly(small_book)
    assert done.returncode == 0, done.stdout
    html = (small_book / "_build" / "html" / "chapters" / "01_page.html").read_text()
    return BeautifulSoup(html, "html.parser").article.select("table")


def test_each_entry_of_a_card_has_the_name_of_its_column(tables):
    rows = [[cell.get("data-label") for cell in row.select("td")] for row in tables[0].select("tbody tr")]
    assert rows == [[None, "with ω_i ≤ 1", None], [None, "with ω_i ≤ 1", "and more"]]
    assert "cards" in tables[0]["class"]


def test_a_table_of_numbers_stays_one(tables):
    assert "cards" not in tables[1]["class"] and not tables[1].select("[data-label]")


def test_a_table_that_is_printed_keeps_its_columns():
    context = {
        "body": "".join(
            f'<div class="output stream"><div class="highlight"><pre><span></span>{text}\n</pre></div></div>'
            for text in (
                "   n   risk   best\n  10   0.50   0.40\n 100   0.25   0.20",
                "a  text\nof three\nlines",
                "one",
            )
        )
    }
    keep_columns(None, "page", "page.html", context, None)
    found = BeautifulSoup(context["body"], "html.parser").select(".output")
    assert ["columns" in output["class"] for output in found] == [True, False, False]

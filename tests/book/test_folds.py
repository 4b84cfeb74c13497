"""One kind of fold for checks, code, hints and solutions, and the mark beside a claim's title."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from book import browsers, build
from book.folds import unbroken

ROOT = Path(__file__).resolve().parents[2]
FOLDED = """
```{prf:theorem} One
:label: thm-one

It is one.
```

````{dropdown} Why it is true
(proof-thm-one)=
```{prf:proof}
Look at it.
```
````

```{code-cell}
:tags: [check, asserts-thm-one]

tried = 20
assert tried == 20
print(f"{tried} draws, a<b in all")
```

```{code-cell}
:tags: [hide-input]

print("drawn")
```

```{code-cell}
print("as it is")
```

```{exercise} By hand: one
:label: ex-one

Which?
```

```{hint}
:class: dropdown

Look again.
```

```{solution} ex-one
:class: dropdown

One.
```

```{hint}
This one stays open.
```
"""
CLAIM = """\
thm-one: {mark: derived, says: it is one., tolerance: none}
"""
TEST = """\
import pytest


@pytest.mark.claim("thm-one")
def test_it_is_one():
    assert 1 == 1
"""
SILENT = "\n```{code-cell}\n:tags: [check]\n\nassert 1 == 1\n```\n"
TALKS = '\n```{code-cell}\n:tags: [check]\n\nassert 1 == 1\nprint("one")\nprint("two")\n```\n'
LEDGER = "# The ledger\n\n```{claims}\n```\n"
TESTS = "# The tests\n\n```{claim-tests}\n```\n"


@pytest.fixture(scope="module")
def built(small_book, strictly):
    """A book with a page of everything that is folded, and one whose two checks do not say what they saw."""
    book = small_book
    page = (book / "chapters" / "01_page.md").read_text()
    (book / "claims.yml").write_text(CLAIM)
    (book / "tests").mkdir()
    (book / "tests" / "test_one.py").write_text(TEST)
    (book / "reference").mkdir()
    (book / "reference" / "ledger.md").write_text(LEDGER)
    (book / "reference" / "tests.md").write_text(TESTS)
    for name, text in (("folded", FOLDED), ("wrong", SILENT + TALKS)):
        (book / "chapters" / f"{name}.md").write_text(page + text)
    pages = ("chapters/folded", "chapters/wrong", "reference/ledger", "reference/tests")
    files = "".join(f"- file: {name}\n" for name in pages)
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: chapters/01_page\nchapters:\n{files}")
    return book, strictly(book)


@pytest.fixture(scope="module")
def article(built):
    html = (built[0] / "_build" / "html" / "chapters" / "folded.html").read_text()
    return BeautifulSoup(html, "html.parser").article


def folds(article, kind):
    return article.select(f"details.fold.{kind}")


def words(node):
    return " ".join(node.get_text().split())


def test_a_check_is_folded_under_the_line_that_it_prints(article):
    (fold,) = folds(article, "check")
    assert words(fold.summary) == "Checked: 20 draws, a<b in all"
    assert not fold.has_attr("open")
    assert "assert tried == 20" in fold.select_one(".fold-content").get_text()
    assert words(article).count("20 draws, a") == 1  # the output itself is not shown again


def test_numbers_in_the_line_of_a_check_stay_whole():
    assert unbroken("x < 3e-09, not 2.5e+10") == (
        'x &lt; <span class="text-nowrap">3e-09</span>, not <span class="text-nowrap">2.5e+10</span>'
    )
    assert unbroken("one-sided, 1-2 of -3.5") == "one-sided, 1-2 of -3.5"


def test_a_folded_check_links_to_its_statement(article):
    (fold,) = folds(article, "check")
    assert fold.select_one('.claim-links a[href$="#thm-one"]')
    cell = fold.find_parent(class_="cell")
    link = article.select_one(f'a[href$="#{cell["id"]}"]')
    assert link.get_text() == "asserted" and link.find_parent(class_="theorem")
    # Its source has no address on a machine of one's own.
    assert not article.select_one("#thm-one .claim-links").find("a", string="source")


def test_the_code_of_a_figure_is_folded_below_what_it_shows(article):
    (fold,) = folds(article, "code")
    assert words(fold.summary) == "Code" and 'print("drawn")' in fold.get_text()
    assert "drawn" in words(fold.find_previous_sibling(class_="cell_output"))


def test_other_code_is_shown(article):
    (shown,) = [code for code in article.select(".cell_input") if 'print("as it is")' in code.get_text()]
    assert not shown.find_parent("details")


@pytest.mark.parametrize("kind, inside", [("hint", "Look again."), ("solution", "One.")])
def test_hints_and_solutions_of_class_dropdown_are_folded(article, kind, inside):
    (fold,) = folds(article, kind)
    assert words(fold.summary) == kind.capitalize() and inside in words(fold) and not fold.has_attr("open")


def test_another_hint_stays_open(article):
    (hint,) = [hint for hint in article.select(".hint") if "stays open" in hint.get_text()]
    assert not hint.find_parent("details")


def test_a_check_that_does_not_print_one_line_fails_the_strict_build(built):
    _, done = built
    assert done.returncode != 0
    told = build.COLOURS.sub("", done.stdout).rstrip().split("\nThe book was not built whole.\n")[1]
    found = re.findall(r"(\w+)\.md:(\d+): WARNING: a cell tagged `check` .*; got (\d) lines", told)
    assert [(page, int(count)) for page, _, count in found] == [("wrong", 0), ("wrong", 2)]
    assert told.count("WARNING") == 2  # and nothing else does


def test_a_statement_wears_the_mark_of_its_claim(article):
    theorem = article.select_one("#thm-one")
    (mark,) = theorem.select("a.mark")
    assert mark.get_text() == "derived" and "mark-derived" in mark["class"]
    assert mark["href"] == "../reference/ledger.html#marks"


def test_the_mark_leads_to_where_marks_are_explained():
    assert "\n(marks)=\n" in (ROOT / "reference" / "ledger.md").read_text(encoding="utf-8")


def test_a_test_is_folded_and_its_anchor_opens_it(built):
    html = (built[0] / "_build" / "html" / "reference" / "tests.html").read_text()
    (fold,) = BeautifulSoup(html, "html.parser").article.select("details.fold")
    assert (
        fold.select_one(".fold-content")["id"] == "test-one-test-it-is-one" and "def test_it_is_one" in fold.get_text()
    )
    assert fold.select_one('a[href$="#thm-one"]')


def test_a_page_without_formulas_loads_nothing_that_sets_them(built):
    pages = built[0] / "_build" / "html" / "reference"
    assert "tex-chtml" not in (pages / "tests.html").read_text()
    assert "fontawesome.js" not in (pages / "ledger.html").read_text()


def test_code_has_elements_only_where_it_has_colours(article):
    assert article.select(".highlight .k, .highlight .mi") and not article.select(".highlight :is(.n, .p, .w)")


def test_a_formula_and_the_sign_after_it_stay_on_one_line():
    formula = r'<span class="math notranslate nohighlight">\(a &lt; b\)</span>'
    context = {"body": f"Let ({formula}), then {formula} and {formula}."}
    browsers.with_joined_signs(None, "page", "page.html", context, None)
    joined = [span.get_text() for span in BeautifulSoup(context["body"], "html.parser").select(".joined")]
    assert joined == [r"(\(a < b\)),", r"\(a < b\)."]

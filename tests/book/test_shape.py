"""Every page has the shape that `book.shape` says, and what one lacks is told with its line and what to do."""

import re
from collections import Counter
from pathlib import Path

import pytest

from book import new, pairs, shape, symbols

ROOT = Path(__file__).parents[2]
PAGES = sorted(pairs.chapters(ROOT))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_its_shape(name):
    if faults := shape.faults(name):
        pytest.fail("\n".join(faults), pytrace=False)


def test_a_letter_has_one_meaning_in_the_whole_book():
    """Two rows of the symbol table share a letter only where one says that it is of the other's family."""
    table, owner = symbols.read(ROOT), {}
    for symbol in table.values():
        for letter in symbols.letters(symbol.symbol) - symbols.RUNNING:
            first = owner.setdefault(letter, symbol.id)
            assert first in (symbol.id, *symbol.of.split()), f"{letter}: {first} and {symbol.id}"


@pytest.mark.parametrize(
    "math, found",
    [
        (r"no math here, but $\omega_i \le s_{\max}$", {r"\omega", "s"}),
        (r"$\operatorname{gap}(R) \, \text{of } A'$ and $$\tr(\Sigma Q^\top)$$", {"R", "A", r"\Sigma", "Q"}),
        (r"$\mathrm{gap}(\Sigma) + \norm{P}_F^2$", {r"\Sigma", "P"}),
        (
            r"$w_{\mathcal C} + F_{\mathcal S}$ on $\mathcal C$, with $\mathrm{K}_\nu(z)$",
            {"w", "F", r"\mathcal C", "z"},
        ),
    ],
)
def test_letters_of_a_formula(math, found):
    assert symbols.letters(math) - symbols.RUNNING == found


def test_no_two_pages_share_a_label():
    """Of a statement, an exercise or a figure: a link would lead to either."""
    labels = [
        label
        for page in ((ROOT / "chapters" / f"{name}.md").read_text(encoding="utf-8") for name in PAGES)
        for label in re.findall(r"^ *:label: (\S+)$|^(?: +|:)name: (fig-\S+)$", page, re.MULTILINE)
    ]
    twice = [label for label, times in Counter(map("".join, labels)).items() if times > 1]
    assert not twice, f"labels that stand twice in the book, so that a link would lead to either: {twice}"


STATED = """
```{prf:lemma} A lemma
:label: lem-a

**One plain line.**

With $Z$.
```
"""


@pytest.mark.parametrize(
    "change, complaint",
    [
        (("one sentence?", "one sentence."), "the first paragraph is the page's question"),
        (("\n# TODO", "\n## TODO"), "a page begins with a title"),
        (("  figure:\n", "  image:\n"), "no figure: a page has one near its top"),
        (("\n```{code-cell}", f"\n{'word ' * 500}\n```{{code-cell}}"), "characters stand before it"),
        (("plotting.FigureData(", "dict("), "fig-fresh-page lacks its numbers: the next cell, tagged remove-input"),
        ((":tags: [remove-input]\n", ""), "fig-fresh-page lacks its numbers"),
        (("## Break it", "```{code-cell}\n" + "x = 1\n" * 26 + "```\n"), "a cell that is shown has 26 lines"),
        (("\nassert ", "\nholds = "), "a cell tagged check asserts nothing"),
        (('\nprint(f"the risk', '\nrepr(f"the risk'), "a cell tagged check prints no result"),
        (('\nprint(f"the risk', '\nprint("all is well")\n# ("'), "a cell tagged check prints words alone"),
        (("{exercise} Compute", "{exercise} Think"), "no exercise of the kind 'Compute'"),
        (("```{hint}\n", "```{note}\n"), "2 folded hints for 3 exercises"),
        (("{solution} ex-fresh-page-hand", "{solution} ex-other"), "ex-fresh-page-hand has no solution"),
        (("```python", "```text"), "the solution of ex-fresh-page-compute has no code to run"),
        (("```{symbols}", "```{note}"), "no {symbols} block"),
        (
            ("{symbols}\n", "{symbols}\nX "),
            "'X', which is no row of symbols.yml (rows, not letters: X is shown by `x`)",
        ),
        (("{symbols}\n", "{symbols}\nomga "), "{symbols} names 'omga', which is no row of symbols.yml; is it `omega`?"),
        (("## Break it", STATED), "lem-a uses $Z$, a letter of symbols.yml: if it is meant, name its row, Z,"),
        (("## Break it", STATED.replace("**", "")), "lem-a begins with one plain line in bold"),
        (("## Break it", STATED.replace("plain", "$a$, $b$, $c$")), "the first line of lem-a has more than two"),
        (("## Break it", "It is 0.4426 there.\n"), "0.4426 is typed: let a cell `glue` it"),
    ],
)
def test_what_a_page_lacks_is_told_with_its_line(tmp_path, change, complaint):
    whole = new.text("fresh_page")
    assert change[0] in whole
    told = {}
    (tmp_path / "chapters").mkdir()
    for kind, text in (("whole", whole), ("broken", whole.replace(*change, 1))):
        (tmp_path / "chapters" / "fresh_page.md").write_text(text)
        told[kind] = [f for f in shape.faults("fresh_page", tmp_path) if "left to write" not in f]
    assert told["whole"] == []
    assert any(complaint in fault for fault in told["broken"]), told["broken"]
    assert all(re.match(r"chapters/fresh_page\.md:[1-9]\d*: ", fault) for fault in told["broken"])


def test_rows_of_letters_that_are_not_listed_can_be_pasted():
    page = shape.Page(
        "\n```{symbols}\nr\n```\n" + STATED.replace("$Z$", r"$Z$, $\Sigma$ and $C$") + STATED.replace("lem-a", "lem-b")
    )
    *told, (place, last) = shape.letters(page)
    assert [said.split()[0] for _, said in told] == ["lem-a", "lem-a", "lem-a", "lem-b"]
    assert last == "if all these letters are meant, add to {symbols}: C Sigma Z"
    assert place == max(place for place, _ in told)
    added = shape.Page(page.text.replace("}\nr\n", f"}}\nr {last.partition(': ')[2]}\n", 1))
    assert list(shape.letters(added)) == []


def test_all_faults_are_told_and_in_the_order_of_the_page(tmp_path):
    (tmp_path / "chapters").mkdir()
    text = new.text("fresh_page").replace("one sentence?", "one sentence.").replace("\nassert ", "\nholds = ")
    (tmp_path / "chapters" / "fresh_page.md").write_text(text)
    told = [f for f in shape.faults("fresh_page", tmp_path) if "left to write" not in f]
    assert [("question" in fault, "asserts nothing" in fault) for fault in told] == [(True, False), (False, True)]


def test_typed_numbers_are_found():
    page = "The risk is 0.4426, or 12% less, {glue:text}`a:.2f` here, 37 standard errors; see `f(0.77)` and 0.2.\n\n"
    page += "```{code-cell}\nr = 0.2\n```\n"
    found = [said.split()[0] for _, said in shape.typed_numbers(shape.Page(page))]
    assert found == ["0.4426", "12", "37"]

"""Every page has the shape that readers learn once: a question, a picture, statements with a plain first line, short
code, folded checks that say what they saw, and exercises of three kinds.

A page that is looked up, not read, has a table where others have a picture, and nothing to practise; all else is the
same.
"""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from book import pairs, symbols

ROOT = Path(__file__).parents[2]
PAGES = sorted(pairs.chapters(ROOT))
LOOKED_UP = ["from_fla"]
READ = sorted(set(PAGES) - set(LOOKED_UP))
STATEMENT = re.compile(r"^(`{3,})\{prf:(?!proof)\w+\}[^\n]*\n:label: *(\S+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
PROOF = re.compile(r"^(`{3,})\{prf:proof\}[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
EXERCISE = re.compile(r"^(`{3,})\{exercise\} *([^\n]*)\n:label: *(\S+)\n.*?^\1$", re.MULTILINE | re.DOTALL)
KINDS = ("By hand", "Compute", "Explore")
MOST_LINES = 25  # of a cell that is shown
LONGEST_WAY = 2500  # characters that a reader passes before the first figure or table: about two screens


@cache
def text(name):
    return (ROOT / "chapters" / f"{name}.md").read_text(encoding="utf-8")


def code_cells(name):
    return [cell for cell in pairs.notebook(ROOT / "chapters" / f"{name}.md").cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


@pytest.mark.parametrize("name", PAGES)
def test_it_begins_with_a_question(name):
    first = re.search(r"^# [^\n]*\n\n(.+?)\n\n", text(name), re.MULTILINE | re.DOTALL).group(1)
    assert first.rstrip().endswith("?") and len(first) < 300, first


@pytest.mark.parametrize("name", PAGES)
def test_its_figure_or_table_comes_soon(name):
    body = text(name).partition("\n# ")[2]
    looked_for = r"^\|(?:---\|)+$" if name in LOOKED_UP else r"^ +figure:$|^`{3,}\{(?:figure|live)\}"
    figure = re.search(looked_for, body, re.MULTILINE)
    assert figure, "no table" if name in LOOKED_UP else "no figure"
    before = re.sub(r"^(`{3,})\{(?:symbols|dropdown)\}.*?^\1$", "", body[: figure.start()], flags=re.M | re.S)
    # A cell that is folded or not shown costs its reader a line.
    folded = r"^```\{code-cell\}\n:tags: \[[^\]]*(?:check|remove-input)[^\]]*\]\n.*?^```$"
    before = re.sub(folded, "", before, flags=re.M | re.S)
    assert len(before) < LONGEST_WAY, f"{len(before)} characters before it"


@pytest.mark.parametrize("name", PAGES)
def test_shown_code_is_short(name):
    for cell in code_cells(name):
        if not tags(cell) & {"check", "hide-input", "remove-input", "remove-cell"}:
            lines = cell.source.count("\n") + 1
            assert lines <= MOST_LINES, f"{lines} lines: {cell.source[:80]}"


@pytest.mark.parametrize("name", PAGES)
def test_a_folded_check_asserts_and_says_what_it_saw(name):
    for cell in code_cells(name):
        if "check" in tags(cell):
            assert re.search(r"\bassert\b|pytest\.raises", cell.source), cell.source[:200]
            assert re.search(r"^print\(", cell.source, re.MULTILINE), cell.source[:200]
            assert not re.search(r'^print\("[^{}]*"\)$', cell.source, re.MULTILINE), "a result that was not computed"


@pytest.mark.parametrize("name", PAGES)
def test_statements_have_a_plain_first_line(name):
    for _, label, body in STATEMENT.findall(text(name)):
        first = body.strip().split("\n\n")[0]
        assert re.fullmatch(r"\*\*[^*]+\*\*", first, re.DOTALL), f"{label}: {first[:80]}"
        assert "$" not in first or len(re.findall(r"\$[^$]+\$", first)) <= 2, f"{label}: too many formulas in {first}"


@pytest.mark.parametrize("name", READ)
def test_exercises_are_of_three_kinds_with_hints_and_solutions(name):
    found = EXERCISE.findall(text(name))
    for kind in KINDS:
        assert any(title.startswith(kind) for _, title, _ in found), f"no exercise {kind!r}"
    hints = re.findall(r"^`{3,}\{hint\}[^\n]*\n:class: dropdown$", text(name), re.MULTILINE)
    assert len(hints) >= len(found), f"{len(hints)} hints for {len(found)} exercises"
    for _, title, label in found:
        solution = re.search(
            rf"^(`{{3,}})\{{solution\}} {label}\n:class: dropdown\n(.*?)^\1$", text(name), re.MULTILINE | re.DOTALL
        )
        assert solution, f"{label} has no folded solution"
        if not title.startswith("By hand"):
            assert "```python" in solution.group(2), f"{label}: a solution to run"


@pytest.mark.parametrize("name", PAGES)
def test_letters_of_the_symbol_table_in_statements_and_proofs_are_listed_on_the_page(name):
    """So that a proof which takes one of them for something else shows itself: the page does not list that row."""
    block = re.search(r"^```\{symbols\}\n(.*?)^```$", text(name), re.MULTILINE | re.DOTALL)
    assert block, "no symbol table"
    table = symbols.read(ROOT)
    listed = set().union(*(symbols.letters(table[key].symbol) for key in block.group(1).split()))
    reserved = set().union(*(symbols.letters(symbol.symbol) for symbol in table.values())) - symbols.RUNNING
    proofs = [("", "a proof", body) for _, body in PROOF.findall(text(name))]
    for _, label, body in STATEMENT.findall(text(name)) + proofs:
        unknown = symbols.letters(body) & reserved - listed
        assert not unknown, f"{label}: {unknown} mean something in the book that the page's table does not list"


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
        for name in PAGES
        for label in re.findall(r"^ *:label: (\S+)$|^(?: +|:)name: (fig-\S+)$", text(name), re.MULTILINE)
    ]
    assert [label for label, times in Counter(map("".join, labels)).items() if times > 1] == []

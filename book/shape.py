"""The shape of a page, which readers learn once: a question, a picture, statements with a plain first line, short code,
folded checks that say what they saw, exercises of three kinds; letters, numbers and references that the book knows.

`faults` lists all that a page lacks of it, each with its line and what to do. A page that is looked up, not read, has a
table where others have a picture, and nothing to practise; all else is the same.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path

from book import answers, pairs, references, symbols

ROOT = Path(__file__).resolve().parents[1]
LOOKED_UP = ["from_fla"]
STATEMENT = re.compile(r"^(`{3,})\{prf:(?!proof)\w+\}[^\n]*\n:label: *(\S+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
PROOF = re.compile(r"^(`{3,})\{prf:(proof)\}[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
SYMBOLS = re.compile(r"^```\{symbols\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CELLS = re.compile(r"^```(?:\{code-cell\}|python).*?^```$", re.MULTILINE | re.DOTALL)
KINDS = ("By hand", "Compute", "Explore")
MOST_LINES = 25  # of a cell that is shown
LONGEST_WAY = 2500  # characters that a reader passes before the first figure or table: about two screens


@dataclass
class Page:
    text: str
    looked_up: bool = False

    def line(self, place):
        return self.text.count("\n", 0, place) + 1

    @cached_property
    def cells(self):
        """(place in the text, source, tags, display settings) of each cell of code."""
        found, place = [], 0
        for cell in pairs.notebook("page.md", self.text).cells:
            if cell.cell_type == "code":
                place = max(self.text.find(cell.source, place), place)
                found.append((place, cell.source, set(cell.metadata.get("tags", [])), cell.metadata.get("mystnb", {})))
        return found


@cache
def table(root=ROOT):
    return symbols.read(root)


def question(page):
    begun = re.search(r"^# [^\n]*\n\n(.+?)\n\n", page.text, re.MULTILINE | re.DOTALL)
    if not begun:
        yield 0, "a page begins with a title, `# Title`, and its question in the paragraph below"
    elif not begun[1].rstrip().endswith("?") or len(begun[1]) >= 300:
        yield begun.start(1), "the first paragraph is the page's question: one sentence, under 300 characters, with a ?"


def picture(page):
    head, _, body = page.text.partition("\n# ")
    wanted = r"^\|(?:---\|)+$" if page.looked_up else r"^ +figure:$|^`{3,}\{(?:figure|live)\}"
    found = re.search(wanted, body, re.MULTILINE)
    if not found:
        kind = "table" if page.looked_up else "figure"
        yield 0, f'no {kind}: a page has one near its top; CONTRIBUTING.md, "Add a figure", says how a cell becomes one'
        return
    before = re.sub(r"^(`{3,})\{(?:symbols|dropdown)\}.*?^\1$", "", body[: found.start()], flags=re.M | re.S)
    # A cell that is folded or not shown costs its reader a line.
    folded = r"^```\{code-cell\}\n:tags: \[[^\]]*(?:check|remove-input)[^\]]*\]\n.*?^```$"
    before = re.sub(folded, "", before, flags=re.M | re.S)
    if len(before) >= LONGEST_WAY:
        yield len(head) + 3 + found.start(), f"{len(before)} characters stand before it; at most {LONGEST_WAY}"


def numbers_of_figures(page):
    """The next cell of code has them."""
    for (place, _, _, shown), follower in pairwise([*page.cells, (0, "", set(), {})]):
        if "figure" in shown and not ("FigureData(" in follower[1] and "remove-input" in follower[2]):
            name = shown["figure"].get("name", "a figure")
            yield place, f"{name} lacks its numbers: the next cell, tagged remove-input, is plotting.FigureData(...)"


def code(page):
    for place, source, tags, _ in page.cells:
        lines = source.count("\n") + 1
        if lines > MOST_LINES and not tags & {"check", "hide-input", "remove-input", "remove-cell"}:
            yield place, f"a cell that is shown has {lines} lines; at most {MOST_LINES}: split it, or fold or tag it"
        if "check" in tags:
            if not re.search(r"\bassert\b|pytest\.raises", source):
                yield place, "a cell tagged check asserts nothing: add an `assert`, or take the tag away"
            if not re.search(r"^print\(", source, re.MULTILINE):
                yield place, "a cell tagged check prints no result: end it with print(f'...'), its folded line"
            if re.search(r'^print\("[^{}]*"\)$', source, re.MULTILINE):
                yield place, "a cell tagged check prints words alone: put a number that it computed into the line"


def statements(page):
    for found in STATEMENT.finditer(page.text):
        first = found[3].strip().split("\n\n")[0]
        if not re.fullmatch(r"\*\*[^*]+\*\*", first, re.DOTALL):
            yield found.start(), f"{found[2]} begins with one plain line in bold, **...**; it has {first[:60]!r}"
        elif len(re.findall(r"\$[^$]+\$", first)) > 2:
            yield found.start(), f"the first line of {found[2]} has more than two formulas; say it in words"


def exercises(page):
    if page.looked_up:
        return
    found = list(answers.EXERCISE.finditer(page.text))
    for kind in KINDS:
        if not any(exercise[2].startswith(kind) for exercise in found):
            yield len(page.text), f"no exercise of the kind {kind!r}: add {{exercise}} {kind}: ..."
    hints = re.findall(r"^`{3,}\{hint\}[^\n]*\n:class: dropdown$", page.text, re.MULTILINE)
    if len(hints) < len(found):
        yield len(page.text), f"{len(hints)} folded hints for {len(found)} exercises: {{hint}} with `:class: dropdown`"
    solutions = {block[2]: block[0] for block in answers.SOLUTION.finditer(page.text)}
    for exercise in found:
        solution = solutions.get(exercise[3], "")
        if not re.match(r"`{3,}\{solution\} \S+\n:class: dropdown\n", solution):
            yield exercise.start(), f"{exercise[3]} has no solution: {{solution}} {exercise[3]} with `:class: dropdown`"
        elif not exercise[2].startswith("By hand") and "```python" not in solution:
            yield exercise.start(), f"the solution of {exercise[3]} has no code to run, ```python"


def letters(page):
    """A proof that takes a letter of the table for something else shows itself: the page does not list that row."""
    block = SYMBOLS.search(page.text)
    if not block:
        yield 0, "no {symbols} block: it names the rows of symbols.yml whose letters the page uses"
        return
    listed = set()
    for name in block[1].split():
        if name in table():
            listed |= symbols.letters(table()[name].symbol)
        else:
            yield block.start(), f"{{symbols}} names {name!r}, which is no row of symbols.yml{meant(name)}"
    owners = {}
    for row in table().values():
        for letter in symbols.letters(row.symbol) - symbols.RUNNING:
            owners.setdefault(letter, []).append(row.id)
    used = {}  # row: the place of the last that uses it
    for found in [*STATEMENT.finditer(page.text), *PROOF.finditer(page.text)]:
        for letter in sorted(symbols.letters(found[3]) & set(owners) - listed):
            used[owners[letter][0]] = max(found.start(), used.get(owners[letter][0], 0))
            rows = " or ".join(owners[letter])
            yield (
                found.start(),
                f"{found[2]} uses ${letter}$, a letter of symbols.yml: if it is meant, name its row, "
                f"{rows}, in {{symbols}}; if not, take another letter",
            )
    if len(used) > 1:
        yield max(used.values()), f"if all these letters are meant, add to {{symbols}}: {' '.join(sorted(used))}"


def meant(name):
    """Which row it might be."""
    shown = [row.id for row in table().values() if {name, f"\\{name}"} & symbols.letters(row.symbol)]
    if shown:
        return f" (rows, not letters: {name} is shown by {' or '.join(f'`{row}`' for row in shown)})"
    near = get_close_matches(name, table(), 1)
    return f"; is it `{near[0]}`?" if near else ""


def typed_numbers(page):
    """A decimal, a percentage or a multiple in prose is either glued from the code or stands in a cell of its page."""
    text = page.text
    inputs = {float(n) for cell in CELLS.findall(text) for n in re.findall(r"\d+\.?\d*(?:e-?\d+)?", cell)}
    for unread in (
        re.compile(r"\A---.*?^---$", re.DOTALL | re.MULTILINE),
        CELLS,
        re.compile(r"^(?:- )? *(?:value|within|above|below|at): .*$", re.MULTILINE),  # of answers
        re.compile(r"\{[\w:]+\}`[^`]*`|\[[^\]]*\]\([^)]*\)|`[^`\n]*`"),
    ):
        text = unread.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for found in re.finditer(r"\d*\.\d+|\d+(?=(?:\\?%| times| standard errors| percent| per cent))", text):
        if float(found[0]) not in inputs:
            yield found.start(), f"{found[0]} is typed: let a cell `glue` it, and write {{glue:text}}`name:.2f`"


def unwritten(page):
    """What `book.new` left to be written."""
    for found in re.finditer(r"^.*\bTODO\b.*$", page.text, re.MULTILINE):
        yield found.start(), f"left to write: {found[0].strip()[:90]}"


CHECKS = (
    question, picture, numbers_of_figures, code, statements, exercises, letters, typed_numbers, unwritten,
)  # fmt: skip


def faults(name, root=ROOT):
    """All that the page lacks, in the order of its lines."""
    text = (root / "chapters" / f"{name}.md").read_text(encoding="utf-8")
    page = Page(text, name in LOOKED_UP)
    found = [(page.line(place), said) for check in CHECKS for place, said in check(page)]
    found += [(page.line(place), said) for place, said in references.dead(root, f"chapters/{name}", text)]
    found.sort(key=lambda fault: fault[0])  # those of a line in the order in which they are told
    return [f"chapters/{name}.md:{line}: {said}" for line, said in found]

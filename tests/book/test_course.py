"""What the course says of reading times, of its code and of the exercises after each meeting stays true."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from book import pairs

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "reference" / "course.md"
TEXT = COURSE.read_text(encoding="utf-8")
MEETING = re.compile(r"^## (Meeting \d)[^\n]*\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
MEETINGS = dict(MEETING.findall(TEXT))
ROW = re.compile(r"^\| \{doc\}`(?P<page>[^`]+)` \| (?P<read>[^|]*) \| (?P<minutes>\d+) \|", re.MULTILINE)
TIMES = re.compile(r"^\| *(\d+) to (\d+) *\|", re.MULTILINE)
FOLDED = re.compile(r"^(`{3,})\{(?:dropdown|hint|solution|symbols)\}.*?^\1$", re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r"^ *\$\$$.*?^ *\$\$$", re.MULTILINE | re.DOTALL)
# What the page itself says of how it counts.
WORDS, LINES, GLANCE = 100, 15, 0.5  # words and lines of code a minute; minutes for a picture or a displayed formula


def minutes(cell):
    """How long it takes to read this cell with its folds closed."""
    if cell.cell_type == "code":
        tags = set(cell.metadata.get("tags", []))
        if tags & {"check", "remove-input"}:
            return 0.0
        caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
        lines = 0 if "hide-input" in tags else sum(bool(line.strip()) for line in cell.source.splitlines())
        return len(caption.split()) / WORDS + GLANCE * ("hide-input" in tags) + lines / LINES
    shown = FOLDED.sub("", cell.source)
    prose, formulas = FORMULA.subn("", shown)
    prose = re.sub(r"^(?:`{3,}.*|:\w+:.*)$", "", prose, flags=re.MULTILINE)
    return sum(bool(re.search(r"[A-Za-z]{2}|\$", word)) for word in prose.split()) / WORDS + GLANCE * formulas


def file(page):
    """The source of a page, by its name in a link of the course."""
    return (COURSE.parent / f"{page}.md").resolve()


@cache
def sections(page):
    """Heading and minutes, in the order of the page; exercises are left out."""
    found = [["", 0.0]]
    for cell in pairs.notebook(file(page)).cells:
        parts = [cell.source] if cell.cell_type == "code" else re.split(r"^(?=## )", cell.source, flags=re.MULTILINE)
        for part in parts:
            if cell.cell_type == "markdown" and part.startswith("## "):
                found.append([part.splitlines()[0].removeprefix("## "), 0.0])
            piece = cell.copy()
            piece.source = part
            found[-1][1] += minutes(piece)
    return [(name, time) for name, time in found if name != "Exercises"]


def to_read(page, what):
    """Minutes of the page, or of what the row says: "up to *Heading*", "without *Heading*"."""
    found = sections(page)
    for word, names in re.findall(r"(up to|without) ((?:\*[^*]+\*(?: and )?)+)", what):
        for name in re.findall(r"\*([^*]+)\*", names):
            places = [i for i, (heading, _) in enumerate(found) if heading == name]
            assert places, f"{page} has no section {name!r}"
            found = found[: places[0]] if word == "up to" else found[: places[0]] + found[places[0] + 1 :]
    return sum(time for _, time in found)


ROWS = [(page, read, int(told)) for page, read, told in ROW.findall(TEXT)]


def test_there_are_three_meetings_with_reading():
    assert len(MEETINGS) == 3 and len(ROWS) == 18
    assert all(ROW.search(meeting) for meeting in MEETINGS.values())


@pytest.mark.parametrize(("page", "read", "told"), ROWS)
def test_the_minutes_of_reading_are_those_of_the_page(page, read, told):
    measured = to_read(page, read)
    # Readers differ by more than this, and pages grow by a sentence now and then.
    assert abs(told - measured) <= max(2, measured / 5), f"it says {told}, the page has {measured:.1f}"


@pytest.mark.parametrize("name", MEETINGS)
def test_nobody_reads_for_more_than_an_hour(name):
    everyone, _, lots = MEETINGS[name].partition("*By lot,*")
    most = max((int(row["minutes"]) for row in ROW.finditer(lots)), default=0)
    assert sum(int(row["minutes"]) for row in ROW.finditer(everyone)) + most <= 60


@pytest.mark.parametrize(("name", "length"), [*((name, 90) for name in MEETINGS), ("In one hour", 60)])
def test_a_plan_fills_its_time(name, length):
    body = re.search(rf"^## {name}[^\n]*\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL).group(1)
    plan = [(int(start), int(end)) for start, end in TIMES.findall(body)]
    assert plan[0][0] == 0 and plan[-1][1] == length
    assert all(end > start for start, end in plan)
    assert all(before[1] == after[0] for before, after in pairwise(plan))


@pytest.mark.parametrize("name", MEETINGS)
def test_it_ends_with_three_exercises_from_the_pages_that_were_read(name):
    last = re.search(r"\*\*Afterwards\*\*.*?(?=\n\n)", MEETINGS[name], re.DOTALL).group()
    labels = re.findall(r"\{ref\}`[^`]*<(ex-[\w-]+)>`", last)
    assert len(labels) == 3
    everyone, _, _ = MEETINGS[name].partition("*By lot,*")
    read = [file(row["page"]).read_text(encoding="utf-8") for row in ROW.finditer(everyone)]
    for label in labels:
        assert any(f":label: {label}\n" in page for page in read), label


def run(number, capsys, **changes):
    """What the block of code with this number prints, a list of words a line, after these changes of its arguments."""
    code = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[number]
    for name, value in changes.items():
        code, times = re.subn(rf"\b{name}=(?:\([^)]*\)|\w+)", f"{name}={value}", code)
        assert times == 1
    exec(code, {})
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_orders_show_what_is_told(capsys):
    lines = run(0, capsys)
    equal, forgets, free = zip(*(map(float, line[-3:]) for line in lines), strict=True)
    assert len(lines) == 4
    assert forgets[0] == free[0] < equal[0]  # the better task last: one gate a token is enough
    assert equal[1] == forgets[1] == free[1]  # both alike: nothing to gain
    assert equal[2] == forgets[2] > free[2]  # the better task first: nothing without a second channel
    assert equal[3] == forgets[3] > free[3]  # of opposite signs: nothing either

    equal, forgets, _ = zip(*(map(float, line[-3:]) for line in run(0, capsys, counts=(20, 80))), strict=True)
    assert [e > f for e, f in zip(equal, forgets, strict=True)] == [True, False, False, True]


def test_the_spread_of_the_features_shows_what_is_told(capsys):
    lines = run(1, capsys)
    assert [line[1:] for line in lines] == [
        ["3", "False", "False"],
        ["1", "False", "False"],  # one point, and no condition that says so
        ["1", "False", "True"],
        ["1", "False", "True"],
    ]


# A line that somebody is told to change, and its page.
CHANGED = {
    "ten_minutes": "[1, 1, 1, 0.25, 1, 1, 1]",
    "when_gating_helps": "counts=(50, 50)",
    "uniqueness": "(0.3**0.5, 0.7**0.5)",
}


@pytest.mark.parametrize("page", CHANGED)
def test_what_is_to_be_changed_is_there_once(page):
    assert f"`{CHANGED[page]}`" in TEXT
    cells = [cell.source for cell in pairs.notebook(ROOT / "chapters" / f"{page}.md").cells if cell.cell_type == "code"]
    at = {"when_gating_helps": "equal_sizes = "}.get(page, "fig, ax = ")
    (cell,) = [source for source in cells if CHANGED[page] in source and at in source]
    assert cell.count(CHANGED[page]) == 1

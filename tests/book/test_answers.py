"""Exercises that grade themselves: their blocks, what is stored of them, the fields, the list, the notebook's cells.

That the stored numbers are those of the pages' code is held where that runs, by `pytest chapters`.
"""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from test_freshness import build

from book import answers, pairs
from book.exercises import checks, form, listed
from glalib.exercises.verdicts import WORDS

ROOT = Path(__file__).parents[2]
PAGES = sorted(pairs.chapters(ROOT))


def text(page):
    return (ROOT / "chapters" / f"{page}.md").read_text(encoding="utf-8")


def lacking(page):
    """The exercises of a page that no answer is of."""
    labels = [label for label, _ in answers.exercises(text(page))]
    asked = {answers.exercise_of(name, labels) for name in answers.blocks(text(page))}
    return [label for label in labels if label not in asked]


@pytest.mark.parametrize("page", PAGES)
def test_every_exercise_grades_itself(page):
    assert not lacking(page), f"chapters/{page}.md: exercises without a block {{answer}}: {lacking(page)}"


@pytest.mark.parametrize("page", PAGES)
def test_what_is_stored_is_what_the_blocks_say(page):
    """But for the numbers, which the chapter runner computes."""
    blocks, stored = answers.blocks(text(page)), answers.stored(ROOT, page)
    assert set(stored) == set(blocks), f"others are stored of {page}: python -m book.answers {page}"
    for name, block in blocks.items():
        answer = stored[name]
        said = {key: block.get(key) for key in ("asks", "minutes", "level", "then", "choices")}
        assert said == {key: answer.get(key) for key in said}, f"{name}: python -m book.answers {page}"
        if "value" in block:
            assert answer["to"] == str(block.get("within", "1%"))
            assert [w["says"] for w in answer["wrong"]] == [w["says"] for w in block.get("wrong", [])], name
        assert list(answers.faults(answer)) == [], name


@pytest.mark.parametrize("page", PAGES)
def test_an_answer_knows_what_readers_would_get_wrong(page):
    for name, block in answers.blocks(text(page)).items():
        if "value" in block:
            assert sum("value" in wrong for wrong in block.get("wrong", [])) >= 2, f"{name}: two wrong answers or more"


def test_names_are_of_one_page_and_files_of_a_page():
    names = [name for page in PAGES for name in answers.stored(ROOT, page)]
    assert len(names) == len(set(names)) > 0
    assert {path.stem for path in (ROOT / "glalib" / "exercises" / "answers").glob("*")} <= set(PAGES)


EXERCISE = """
```{exercise} By hand: one
:label: ex-one

What is it?
```

%s

````{solution} ex-one
:class: dropdown

Four.

```python
x = 2
```
````
"""
BLOCK = """```{answer} ex-one
asks: How long?
value: x**2
within: 0.1
wrong:
- value: x
  says: That is not squared.
- value: x**3
  says: That is cubed.
minutes: 3
level: 2
```"""


def values(block, **known):
    return eval(answers.expressions(block), known)


def test_a_block_is_computed_and_its_faults_are_named():
    block = answers.blocks(EXERCISE % BLOCK)["ex-one"]
    steps = [step[1:] for step in answers.steps(EXERCISE % BLOCK)]
    assert steps == [("x = 2\n", "solution"), ("ex-one", "answer")]
    answer = answers.record(block, values(block, x=2))
    assert answer["value"] == [4.0] and answer["within"] == 0.1 and not answer["relative"] and answer["to"] == "0.1"
    assert list(answers.faults(answer)) == []
    # x = 1: all are the same. x = 1.04: the wrong ones are right, nearly.
    assert any("twice the tolerance" in fault for fault in answers.faults(answers.record(block, values(block, x=1))))
    (same, *_) = answers.faults(answer | {"wrong": [answer["wrong"][0], {"value": [2.05], "says": "Another."}]})
    assert "another one's sentence" in same
    assert list(answers.faults(answer | {"wrong": [{"above": 3.0, "says": "No."}]})) == ["the answer itself is above 3"]
    zero = answer | {"value": [0.0], "relative": True, "wrong": []}
    assert "the tolerance of a zero cannot be relative: give `within` as a number" in list(answers.faults(zero))
    formula = block | {"at": [{"n": 1}, {"n": 2}]}
    formula = answers.record(formula, [lambda n: n + 2, lambda n: 3 * n, lambda n: n])
    assert any("at the first setting a wrong formula is right" in fault for fault in answers.faults(formula))


@pytest.mark.parametrize(
    "change, complaint",
    [
        (("asks: How long?", "ask: How long?"), "a block has"),
        (("ex-one\nasks", "ex-two\nasks"), "ex-two: its name must be"),
        (("level: 2", "level: 4"), "level is 1, 2 or 3"),
        (("  says: That is cubed.", "  say: That is cubed."), "a wrong answer has `says`"),
        (("How long?", "How long is $x$?"), "plain text"),
        (("asks: How", "asks: : How"), "no YAML"),
        (("value: x**2\n", "value: x\nchoices: [{text: a}]\n"), "either a value or choices"),
        (("value: x**2\n", "choices: [{text: a}, {text: b}]\n"), "each choice has a `text`"),
    ],
)
def test_a_block_that_is_not_well_formed_is_named(change, complaint):
    with pytest.raises(answers.Fault, match=re.escape(complaint)):
        answers.blocks(EXERCISE % BLOCK.replace(*change))


def test_a_stored_answer_that_the_code_no_longer_gives_is_old(tmp_path):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "glalib" / "exercises" / "answers").mkdir(parents=True)
    (tmp_path / "chapters" / "page.md").write_text(EXERCISE % BLOCK)
    block = answers.blocks(EXERCISE % BLOCK)["ex-one"]
    with pytest.raises(
        answers.Fault, match=r"ex-one: glalib/exercises/answers/page.json is old: python -m book.answers page"
    ):
        answers.hold("page", "ex-one", values(block, x=2), tmp_path)
    answer = answers.computed("page", "ex-one", values(block, x=2), tmp_path)
    answers.stored_at(tmp_path, "page").write_text(json.dumps({"ex-one": answer}))
    answers.hold("page", "ex-one", values(block, x=2), tmp_path)
    answers.hold("page", "ex-one", values(block, x=2 + 1e-6), tmp_path)  # rounding may differ
    with pytest.raises(answers.Fault, match="is old"):
        answers.hold("page", "ex-one", values(block, x=2.01), tmp_path)


def test_answers_are_stored_anew_where_they_changed_and_dropped_with_their_blocks(tmp_path):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "glalib" / "exercises").mkdir(parents=True)
    page, path = tmp_path / "chapters" / "page.md", answers.stored_at(tmp_path, "page")
    second = BLOCK.replace("{answer} ex-one", "{answer} ex-one-more")
    page.write_text(EXERCISE % f"{BLOCK}\n\n{second}")
    block = answers.blocks(EXERCISE % BLOCK)["ex-one"]
    for name in ("ex-one", "ex-one-more"):
        answers.keep("page", name, values(block, x=2), tmp_path)
    first = path.read_text()
    assert {name: answer["value"] for name, answer in json.loads(first).items()} == {"ex-one": [4], "ex-one-more": [4]}
    answers.keep("page", "ex-one", values(block, x=2 + 1e-6), tmp_path)  # rounding may differ
    assert path.read_text() == first
    answers.keep("page", "ex-one", values(block, x=3), tmp_path)
    answers.tidy("page", tmp_path)
    assert {name: a["value"] for name, a in answers.stored(tmp_path, "page").items()} == {
        "ex-one": [9],
        "ex-one-more": [4],
    }
    page.write_text(EXERCISE % BLOCK)
    answers.tidy("page", tmp_path)
    assert set(answers.stored(tmp_path, "page")) == {"ex-one"}
    page.write_text(EXERCISE % "")
    answers.tidy("page", tmp_path)
    assert not path.exists()


def test_a_page_has_its_fields_and_what_they_judge_by(book):
    page = book / "chapters" / "01_page.md"
    page.write_text(page.read_text() + EXERCISE % BLOCK)
    (book / "glalib" / "exercises").mkdir()
    for name in ("_check", "exercises/__init__", "exercises/grade", "exercises/verdicts"):
        shutil.copy(ROOT / "glalib" / f"{name}.py", book / "glalib" / f"{name}.py")
    shutil.copytree(ROOT / "assets" / "live", book / "assets" / "live")
    answers.stored_at(book, "01_page").parent.mkdir(parents=True)
    block = answers.blocks(page.read_text())["ex-one"]
    stored = {"ex-one": answers.record(block, values(block, x=2))}
    answers.stored_at(book, "01_page").write_text(json.dumps(stored))
    _, html = build(book)
    soup = BeautifulSoup(html, "html.parser")
    (field,) = soup.select("form.answer")
    assert field["data-answer"] == "ex-one" and field.has_attr("hidden")
    assert soup.find(id=field.label["for"]).name == "input" and field.label.text == "How long?"
    data = json.loads(soup.find("script", id="answers").string)
    assert data == {"words": WORDS, "answers": stored}
    assert any("live/exercises.js" in script.get("src", "") for script in soup.find_all("script"))
    assert "live/exercises.js" not in (book / "_build" / "html" / "search.html").read_text()
    notebook = nbformat.read(book / "_build" / "html" / "_sources" / "chapters" / "01_page.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells if "check(" in cell.source] == [
        'from glalib import check\n\n# How long?\ncheck("ex-one", ...)'
    ]
    assert not any("{answer}" in cell.source for cell in notebook.cells)


def test_a_field_says_its_kind():
    common = {"asks": "A < B?", "minutes": 1, "level": 1}
    choice = form("ex-a", common | {"kind": "choice", "choices": [{"text": "a"}, {"text": "b"}]})
    choice = BeautifulSoup(choice, "html.parser")
    assert choice.find(id=choice.fieldset["aria-labelledby"]).text == "A < B?"
    assert [field["value"] for field in choice.find_all("input")] == ["0", "1"]
    formula = BeautifulSoup(form("ex-a", common | {"kind": "formula", "settings": ["n = 2", "n = 3"]}), "html.parser")
    assert formula.label.text == "A < B? Here: its value at n = 2."


def test_the_list_has_every_exercise_with_its_minutes():
    heading, found = listed(ROOT, "chapters/ten_minutes")
    assert heading == "In ten minutes"
    assert [title for label, title, own in found["By hand"]] == ["Read the gates"]
    assert set(found["By hand"][0][2]) == {"ex-ten-read", "ex-ten-read-first"}
    count = sum(len(entries) for page in PAGES for entries in listed(ROOT, f"chapters/{page}")[1].values())
    assert count == sum(len(answers.exercises(text(page))) for page in PAGES) >= 3 * (len(PAGES) - 1)


def test_only_the_first_cell_of_a_notebook_imports_check():
    cells = [nbformat.v4.new_markdown_cell(EXERCISE % BLOCK), nbformat.v4.new_markdown_cell(EXERCISE % BLOCK)]
    made = [cell.source for cell in checks(cells)]
    assert [source for source in made if "check(" in source] == [
        'from glalib import check\n\n# How long?\ncheck("ex-one", ...)', '# How long?\ncheck("ex-one", ...)'
    ]  # fmt: skip
    assert "What is it?" in made[0] and "Four." in made[2]

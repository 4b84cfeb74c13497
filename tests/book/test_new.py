"""A chapter that was begun runs, has its shape and grades its exercises; a name that cannot be is told why."""

import re
import shutil
from pathlib import Path

import matplotlib
import pytest
import yaml

from book import answers, letters, new, page, pairs, shape, symbols

ROOT = Path(__file__).resolve().parents[2]
CONTENTS = """\
format: jb-book
root: index
parts:
  - caption: One
    chapters:
      - file: chapters/noise
      - file: chapters/noise_more
  - caption: Two
    chapters:
      - file: chapters/depth
  - caption: Three
    chapters:
      - file: reference/paper
      - file: chapters/compare
"""


@pytest.fixture
def book(tmp_path):
    (tmp_path / "chapters").mkdir()
    for name in ("noise", "compare"):
        for kind in ("md", "py"):
            shutil.copy(ROOT / "chapters" / f"{name}.{kind}", tmp_path / "chapters")
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    (tmp_path / "_toc.yml").write_text(CONTENTS)
    return tmp_path


def files(book, part):
    toc = yaml.safe_load((book / "_toc.yml").read_text())
    return [entry["file"].split("/")[1] for entry in toc["parts"][part]["chapters"]]


def test_it_comes_after_the_page_that_is_named_or_last_of_the_chapters(book):
    new.begin("first_page", after="noise", root=book)
    new.begin("second", root=book)
    new.begin("third", after="compare", root=book)
    assert files(book, 0) == ["noise", "first_page", "noise_more"]
    assert files(book, 1) == ["depth", "second"]
    assert files(book, 2) == ["paper", "compare", "third"]
    lines = (book / "_toc.yml").read_text().splitlines()
    assert [line for line in lines if not line.endswith(("page", "second", "third"))] == CONTENTS.splitlines()


@pytest.mark.parametrize(
    "name, after, complaint",
    [
        ("noise", None, "There is a chapter noise already"),
        ("Two words", None, "'Two words' is no name of a chapter: small letters and digits"),
        ("two-words", None, "is no name of a chapter"),
        ("fresh.md", None, "is no name of a chapter"),
        ("fresh", "nois", "There is no chapter chapters/nois; is it noise"),
        ("fresh", "unlisted", "_toc.yml has no line `- file: chapters/unlisted`"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(book, name, after, complaint):
    shutil.copy(book / "chapters" / "noise.md", book / "chapters" / "unlisted.md")
    before = {path: path.read_bytes() for path in book.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        new.begin(name, after, book)
    assert complaint in str(ended.value)
    assert {path: path.read_bytes() for path in book.rglob("*") if path.is_file()} == before


def test_it_has_its_shape_but_for_what_is_left_to_write(book):
    new.begin("fresh_page", root=book)
    md, py = (book / "chapters" / f"fresh_page.{kind}" for kind in ("md", "py"))
    assert pairs.text_of(md, "py") == py.read_text() and pairs.text_of(py, "md") == md.read_text()
    assert pairs.lacking(pairs.notebook(md).metadata) == ""
    told, text = shape.faults("fresh_page", book), md.read_text()
    assert all("left to write: " in fault for fault in told)
    assert len(told) == sum("TODO" in line for line in text.splitlines()) > 20
    assert letters.misuses(text, symbols.read(ROOT)) == []
    assert set(answers.blocks(text)) == {label for label, _ in answers.exercises(text)}
    assert len(answers.blocks(text)) == 3


@pytest.mark.parametrize("check", ["kept", "written"])
def test_its_code_is_clean_before_and_after_its_check_is_written(book, check):
    """The check is the first thing to be replaced, and takes with it what no other cell needs."""
    new.begin("fresh_page", root=book)
    md = book / "chapters" / "fresh_page.md"
    if check == "written":
        text, times = re.subn(r"^# TODO what the page claims.*?(?=^```$)", "", md.read_text(), flags=re.M | re.S)
        md.write_text(text)
        assert times == 1
    code = pairs.text_of(md, "py")
    said, fine = page.ruff("check", "--stdin-filename", "chapters/fresh_page.py", "-", root=ROOT, text=code)
    assert fine, said


def test_its_code_runs_and_its_exercises_are_graded(book):
    matplotlib.use("Agg")
    text, known = new.text("fresh_page"), {}
    for _, source, _, _ in shape.Page(text).cells:
        exec(source, known)
    found = answers.blocks(text)
    for _, content, kind in answers.steps(text):
        if kind == "solution":
            exec(content, known)
        else:
            answer = answers.record(found[content], eval(answers.expressions(found[content]), known))
            assert list(answers.faults(answer)) == [], content

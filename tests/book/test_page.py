"""One command says all that a page lacks: a cell that fails, an answer, the shape; and mends what can be mended."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from book import new, page, pairs

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", ".venv", ".zoo", "_build", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of this tree, with one more chapter, that was begun."""
    tree = tmp_path_factory.mktemp("tree") / "book"
    shutil.copytree(ROOT, tree, ignore=lambda folder, names: SKIPPED & set(names))
    new.begin("fresh_page", after="compare", root=tree)
    return tree


def run(tree, *words, module="page"):
    """What the command prints, its lines, and its exit status."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", f"book.{module}", *words]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines(), done.returncode


def test_faults_come_in_one_list_and_what_can_be_mended_is(tree):
    md, stored = tree / "chapters" / "fresh_page.md", tree / "glalib" / "exercises" / "answers" / "fresh_page.json"
    text = md.read_text()
    for old, new_text in (
        ("TODO ", ""),
        ("gained = equal.risk - best.risk", "gained=equal.risk-best.risk"),  # in a solution
        ("error = abs(", "error = -abs("),
        ("error < 1e-10", "error < -1"),
        ("value: without", "value: witout"),
        ("Drop an assumption", "Drop 0.4426 of it"),
    ):
        assert old in text
        text = text.replace(old, new_text)
    md.write_text(text)
    lines, code = run(tree, "fresh_page")
    told, text = "\n".join(lines), md.read_text()
    assert code == 1 and "left to do: 4" in lines[-1], lines
    line = text[: text.index("# what the page claims")].count("\n") + 1
    assert (
        f"chapters/fresh_page.md:{line}: cell 3: assert error < -1" in told and "AssertionError: saw error < -1" in told
    )
    line = text[: text.index("```{answer} ex-fresh-page-explore")].count("\n") + 1
    assert f"chapters/fresh_page.md:{line}: answer ex-fresh-page-explore: NameError: name 'witout'" in told
    assert "0.4426 is typed" in told
    assert "gained = equal.risk - best.risk" in md.read_text()
    assert pairs.cells(md) == pairs.cells(md.with_suffix(".py"))
    assert stored.read_text().count('"asks"') == 2

    md.write_text(md.read_text().replace("minutes: 10", "minutes: 1000"))
    lines, code = run(tree, "fresh_page", module="answers")
    assert code == 1 and "ex-fresh-page-explore: level is 1, 2 or 3, and minutes are 1 to 120" in lines[-1]


def test_what_did_not_come_to_its_end_does_not_hold(monkeypatch, tmp_path):
    """Tests that were interrupted, and a page that Sphinx could not build while an older one is there."""
    monkeypatch.setattr(page.pairs, "sync", lambda *_, **__: [])
    monkeypatch.setattr(page, "formatted", lambda *_: [])
    monkeypatch.setattr(page.answers, "tidy", lambda *_: None)
    monkeypatch.setattr(page.pytest, "main", lambda *_, **__: pytest.ExitCode.INTERRUPTED)
    (fault,) = page.work("prompts", tmp_path)
    assert "did not come to its end" in fault
    old = tmp_path / "_build" / "preview" / "_build" / "html" / "chapters" / "prompts.html"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    monkeypatch.setattr(page.build, "BUILD", "raise SystemExit('no theme')")
    with pytest.raises(SystemExit, match="could not be built\nno theme"):
        page.preview("prompts", tmp_path)


def test_the_end_says_whether_all_holds_and_where_to_look(monkeypatch, capsys):
    for faults, code, end in (([], 0, "all holds"), (["a", "b"], 1, "left to do: 2")):
        monkeypatch.setattr(page, "work", lambda name, faults=faults: faults)
        assert page.show("prompts") == code
        assert capsys.readouterr().out.splitlines() == [
            *faults,
            f"chapters/prompts: {end}; make page NAME=prompts BUILD=1 shows the page.",
        ]


def test_names_and_edits_that_leave_a_doubt_are_told(tree):
    assert run(tree, "compar") == (["There is no chapter chapters/compar; is it compare?"], 1)
    for kind in ("md", "py"):
        path = tree / "chapters" / f"compare.{kind}"
        path.write_text(path.read_text().replace("import", f"# {kind}\nimport", 1))
    assert "compare: both files were edited; say which one wins" in "\n".join(run(tree, "compare")[0])


def test_every_test_of_the_whole_book_that_it_runs_is_there():
    sources = "".join((ROOT / test).read_text(encoding="utf-8") for test in page.TESTS)
    for word in page.WHOLE:
        assert sources.count(f"{word}") == 1, word


def test_a_page_is_built_alone(book, capsys):
    """Also where it lists what other pages have; what else the build complains of is told."""
    source = book / "chapters" / "01_page.md"
    source.write_text(source.read_text() + "\n{ref}`elsewhere`\n\n```{exercises}\n```\n\n```{nowhere}\n```\n")
    html = page.preview("01_page", book).read_text()
    assert "the answer is 41" in html
    told = capsys.readouterr().out
    assert "nowhere" in told and "elsewhere" not in told, told

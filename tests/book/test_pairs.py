"""The two files of every chapter agree, whatever their file times; and no notebook is committed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import jupytext
import pytest
import yaml

from book import contents, pairs
from book.check_book import listed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", pairs.chapters())
def test_both_files_hold_the_same_cells(name):
    md, py = (ROOT / "chapters" / f"{name}.{kind}" for kind in ("md", "py"))
    assert md.exists() and py.exists(), f"chapters/{name} lacks a file; run make sync"
    left, right = pairs.cells(md), pairs.cells(py)
    for number, (a, b) in enumerate(zip(left, right, strict=False)):
        assert a == b, f"cell {number} of chapters/{name} differs between .md and .py; run make sync"
    assert len(left) == len(right), f"chapters/{name}: one file has more cells than the other; run make sync"


@pytest.mark.parametrize("name", pairs.chapters())
def test_a_file_is_written_in_one_way_only(name):
    """Its text is what is written from it, and from the other file."""
    md, py = (ROOT / "chapters" / f"{name}.{kind}" for kind in ("md", "py"))
    for target in (md, py):
        for source in (md, py):
            same = pairs.text_of(source, target.suffix[1:]) == target.read_text(encoding="utf-8")
            assert same, f"{target.name} is not as it is written from {source.name}; run make sync"


@pytest.mark.parametrize("name", pairs.chapters())
def test_the_header_makes_the_page_executable_and_says_what_it_settles(name):
    lacking = pairs.lacking(jupytext.read(ROOT / "chapters" / f"{name}.md").metadata)
    assert not lacking, f"the header of chapters/{name}.md lacks {lacking}"


@pytest.mark.parametrize(
    "left_out, told",
    [
        ("settles", "`settles: ...`, half a line for lists of pages"),
        ("jupytext", "`jupytext:` as other chapters have it, with format_name: myst"),
        ("kernelspec", "`kernelspec:` as other chapters have it, with name: python3"),
    ],
)
def test_a_header_that_lacks_something_is_told_what(left_out, told):
    head = {
        "jupytext": {"text_representation": {"format_name": "myst"}},
        "kernelspec": {"name": "python3"},
        "settles": "what it settles",
    }
    assert pairs.lacking(head) == ""
    assert pairs.lacking(head | {left_out: None}) == told
    del head[left_out]
    assert pairs.lacking(head) == told


def test_every_chapter_is_in_the_table_of_contents():
    pages = listed(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    unlisted = {f"chapters/{name}" for name in pairs.chapters()} - set(pages)
    assert not unlisted, f"_toc.yml, which has the order of the pages, does not list {sorted(unlisted)}"
    assert len(pages) == len(set(pages)), "_toc.yml lists a page twice"


def test_a_part_is_listed_in_its_order_with_what_each_page_settles():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"][:5]:
        lines = list(contents.rows(ROOT, part["caption"]))
        assert [line.partition("): ")[0] for line in lines] == [f"- [](/{page['file']}" for page in part["chapters"]]
    with pytest.raises(LookupError, match="has no part 'Nowhere'"):
        list(contents.rows(ROOT, "Nowhere"))


def test_a_page_is_found_by_its_file(tmp_path):
    (tmp_path / "chapters").mkdir()
    for name in ("10_ten.md", "02_two.md", "02_two.py", "notes.txt"):
        (tmp_path / "chapters" / name).touch()
    toc = {"root": "index", "parts": [{"chapters": [{"glob": "chapters/*"}]}, {"chapters": [{"file": "last"}]}]}
    assert listed(toc, tmp_path) == ["index", "chapters/02_two", "chapters/10_ten", "last"]


def test_stored_outputs_belong_to_chapters():
    for store in (ROOT / "chapters" / "outputs").glob("*"):
        assert store.suffix == ".json" and store.stem in pairs.chapters(), f"{store} belongs to no chapter"
        assert json.loads(store.read_text(encoding="utf-8")), f"{store} is empty"


def test_no_notebook_is_committed():
    command = ["git", "ls-files", "*.ipynb"]
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    assert subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout == ""


CHAPTER = """\
# Title

```{code-cell}
:tags: [hide-input]

x = 1
```

More prose.

```{code-cell}
---
mystnb:
  figure:
    caption: A caption that is long enough to be broken into two lines, as the writer
      of the header of a cell breaks it after eighty characters.
---
def f():
    return x
```

```{code-cell}
# of a class
class A:
    pass
```
"""


@pytest.fixture
def book(tmp_path, header):
    """A tree with one pair that agrees, committed."""
    (tmp_path / "chapters").mkdir()
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    (tmp_path / "chapters" / "01_one.md").write_text(header + CHAPTER)
    assert pairs.sync(tmp_path) == []
    return tmp_path


@pytest.mark.parametrize(
    "kind, old, new",
    [
        ("md", "as the writer\n      of", "as\n      the writer of"),
        ("md", "\nMore prose.\n", "\n\n\nMore prose.\n"),
        ("py", "\n\n\n# %% mystnb", "\n\n# %% mystnb"),
        ("py", "\n\n\n# %% [markdown]", "\n\n\n\n\n# %% [markdown]"),
        ("py", "\n\n\n# %%\n# of", "\n# %%\n# of"),
    ],
)
def test_where_cells_agree_each_file_is_put_into_its_one_form(book, kind, old, new):
    files = [book / "chapters" / f"01_one.{kind}" for kind in ("md", "py")]
    assert pairs.sync(book) == []
    first = [path.read_text() for path in files]
    path = book / "chapters" / f"01_one.{kind}"
    assert old in path.read_text()
    edit(path, old, new)
    assert pairs.cells(files[0]) == pairs.cells(files[1])
    assert pairs.sync(book) == [] and [path.read_text() for path in files] == first
    times = [path.stat().st_mtime_ns for path in files]
    assert pairs.sync(book) == [] and [path.stat().st_mtime_ns for path in files] == times


def edit(path, old, new, age=0):
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime - age))


def test_the_missing_file_is_written_and_writing_again_changes_nothing(book):
    md, py = book / "chapters" / "01_one.md", book / "chapters" / "01_one.py"
    first = py.read_text()
    assert pairs.cells(md) == pairs.cells(py)
    md.unlink()
    assert pairs.sync(book) == []
    written = md.read_text()
    assert pairs.cells(md) == pairs.cells(py)
    py.unlink()
    assert pairs.sync(book) == []
    assert (py.read_text(), md.read_text()) == (first, written)


@pytest.mark.parametrize("kind", ["md", "py"])
def test_the_edited_file_wins_even_if_it_looks_older(book, kind):
    files = {k: book / "chapters" / f"01_one.{k}" for k in ("md", "py")}
    edit(files[kind], "x = 1", "x = 2", age=3600)
    assert pairs.sync(book) == []
    assert all("x = 2" in path.read_text() for path in files.values())


def test_two_edits_are_left_alone_until_one_is_chosen(book, capsys):
    md, py = book / "chapters" / "01_one.md", book / "chapters" / "01_one.py"
    edit(md, "x = 1", "x = 2")
    edit(py, "x = 1", "x = 3")
    assert pairs.sync(book) == ["01_one"]
    assert "x = 2" in md.read_text() and "x = 3" in py.read_text()
    assert pairs.sync(book, ["01_one"], wins="py") == []
    assert "x = 3" in md.read_text()


def test_what_a_page_settles_is_carried_over(book):
    files = [book / "chapters" / f"01_one.{kind}" for kind in ("md", "py")]
    edit(files[0], "kernelspec:", "settles: 'one thing: this'\nkernelspec:")
    assert pairs.sync(book) == []
    assert all("settles: 'one thing: this'" in path.read_text() for path in files)
    edit(files[1], "one thing", "another thing")
    assert pairs.sync(book) == []
    assert "another thing" in files[0].read_text()


@pytest.fixture
def git(book):
    """Runs git there, where all is committed."""
    if shutil.which("git") is None:
        pytest.skip("needs git")

    def run(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=book, check=True, capture_output=True)

    run("init")
    run("add", "chapters")
    run("commit", "-m", "one")
    return run


@pytest.mark.parametrize("kind", ["md", "py"])
def test_a_checkout_is_no_edit(book, git, kind):
    """After it both files differ from when they last agreed, but one is that of the last commit."""
    files = {k: book / "chapters" / f"01_one.{k}" for k in ("md", "py")}
    edit(files[kind], "x = 1", "x = 2")
    assert pairs.sync(book) == []
    git("checkout", "chapters")
    edit(files[kind], "x = 1", "x = 3")
    assert pairs.sync(book) == []
    assert all("x = 3" in path.read_text() for path in files.values())
    edit(files["md"], "x = 3", "x = 4")  # neither is old
    edit(files["py"], "x = 3", "x = 5")
    assert pairs.sync(book) == ["01_one"]


def test_the_record_goes_before_the_commit(book, git):
    """A file that an edit took back to the last commit is the edited one: the other has not moved since they agreed."""
    md, py = book / "chapters" / "01_one.md", book / "chapters" / "01_one.py"
    edit(md, "x = 1", "x = 2")
    assert pairs.sync(book) == []
    edit(md, "x = 2", "x = 1")
    assert pairs.sync(book) == [] and "x = 1" in py.read_text()


def test_a_misspelt_name_is_told_the_nearest(book):
    with pytest.raises(SystemExit, match=r"There is no chapter chapters/01_won; is it 01_one\?"):
        pairs.sync(book, ["01_won"])


def test_without_a_memory_the_last_commit_tells_which_file_is_old(book, git):
    shutil.rmtree(book / "_build")
    md, py = book / "chapters" / "01_one.md", book / "chapters" / "01_one.py"
    edit(py, "x = 1", "x = 2", age=3600)
    assert pairs.sync(book) == []
    assert "x = 2" in md.read_text()

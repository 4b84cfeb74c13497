"""A build that fails says where and why in a few lines."""

import pytest

from book import build

REPORT = """\
Traceback (most recent call last):
  File "somewhere/client.py", line 918, in _check_raise_for_error
    raise CellExecutionError.from_cell_and_msg(cell, exec_reply_content)
nbclient.exceptions.CellExecutionError: An error occurred while executing the following cell:
------------------
x = 3
assert x < 2
------------------


\x1b[31m---------------------------------------------------------------------------\x1b[39m
\x1b[31mAssertionError\x1b[39m                            Traceback (most recent call last)
\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[1]\x1b[39m\x1b[32m, line 2\x1b[39m
\x1b[32m      1\x1b[39m x = \x1b[32m3\x1b[39m
\x1b[32m----> \x1b[39m\x1b[32m2\x1b[39m \x1b[38;5;28;01massert\x1b[39;00m x < \x1b[32m2\x1b[39m

\x1b[31mAssertionError\x1b[39m: saw x < 2, where x = 3
"""


def test_the_page_the_cell_the_assertion_and_what_it_saw(tmp_path):
    report = tmp_path / "_build" / "html" / "reports" / "chapters" / "02_two.err.log"
    report.parent.mkdir(parents=True)
    report.write_text(REPORT)
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "02_two.md").write_text("# Two\n\n```{code-cell}\nx = 3\nassert x < 2\n```\n")
    assert list(build.summary(tmp_path)) == [
        "chapters/02_two.md, cell at line 4:",
        "    assert x < 2",
        "    AssertionError: saw x < 2, where x = 3",
    ]


def test_traces_are_left_to_the_end():
    lines = [
        "reading sources... chapters/02_two\n",
        "\x1b[91m/book/chapters/02_two.md: WARNING: Executing notebook failed: CellExecutionError\n",
        *(line + "\n" for line in REPORT.splitlines()),
        " [mystnb.exec]\n",
        "/book/chapters/02_two.md: WARNING: Notebook exception traceback saved in: x [mystnb.exec]\n",
        "/book/chapters/01_one.md: WARNING: a reference leads nowhere\n",
        "Traceback (most recent call last):\n",
        '  File "somewhere.py", line 1, in read\n',
        "    read()\n",
        "\n",
        "ScannerError: a tab in _config.yml\n",
        "\n",
        "During handling of the above exception, another exception occurred:\n",
        "Traceback (most recent call last):\n",
        "  ...\n",
        "RuntimeError: no book\n",
        "/book/chapters/03_three.md: WARNING: another reference\n",
    ]
    assert list(build.lines_to_show(lines)) == [
        "reading sources... chapters/02_two\n",
        "/book/chapters/02_two.md: a cell failed; more below\n",
        "/book/chapters/01_one.md: WARNING: a reference leads nowhere\n",
        "ScannerError: a tab in _config.yml\n",
        "\n",
        "RuntimeError: no book\n",
        "/book/chapters/03_three.md: WARNING: another reference\n",
    ]


def test_the_end_repeats_warnings_and_errors_once(tmp_path):
    told = "/book/01_one.md:3: WARNING: a reference leads nowhere"
    lines = [
        "reading sources\n",
        f"\x1b[91m{told}\x1b[39m\n",
        f"{told}\n",
        "ScannerError: a tab\n",
        "Extension error:\n",
        "no\n",
    ]
    assert list(build.summary(tmp_path, lines)) == [told, "ScannerError: a tab", "Extension error:\nno"]


def test_an_error_of_another_kind_is_shown_too():
    place, what = build.failure("no cell here\nMemoryError: too large")
    assert place == "" and what == ["MemoryError: too large"]


def test_the_line_is_that_of_the_whole_cell():
    """Not of an earlier cell that holds the same text."""
    source = "```{code-cell}\ny = x = 3\nassert x < 2, y\n```\n\n```{code-cell}\nx = 3\nassert x < 2\n```\n"
    assert build.failure(REPORT, source)[0] == ", cell at line 7"


def test_an_assertion_in_a_function_is_shown_with_the_call():
    deeper = REPORT.replace("assert\x1b[39;00m x < \x1b[32m2", "f(x)").replace(
        "\n\n\x1b[31mAssertionError\x1b[39m: ",
        "\n\nCell In[1], line 9, in f(y)\n----> 9 assert y < 2\n\nAssertionError: ",
    )
    assert build.failure(deeper)[1][1:] == ["assert y < 2", "AssertionError: saw x < 2, where x = 3"]


@pytest.fixture
def failed(book, page, strictly):
    """A book of which one page fails, built; its output."""
    (book / "chapters" / "02_two.md").write_text(page + "\n```{code-cell}\nx = 3.25\nassert 3 < x < 3.2\n```\n")
    (book / "_toc.yml").write_text("format: jb-book\nroot: chapters/01_page\nchapters:\n- file: chapters/02_two\n")
    return book, strictly(book)


def test_a_book_with_a_failing_cell_is_built_but_for_its_page_and_ends_in_a_few_lines(failed):
    book, done = failed
    assert done.returncode != 0 and "Traceback" not in done.stdout + done.stderr
    told = build.COLOURS.sub("", done.stdout).rstrip().split("\nThe book was not built whole.\n")[1]
    assert told.splitlines() == [
        "chapters/02_two.md, cell at line 20:",
        "    assert 3 < x < 3.2",
        "    AssertionError: saw x < 3.2, where x = 3.25",
        "Everything, with traces: _build/build.log",
    ]
    assert "the answer is 41" in (book / "_build" / "html" / "chapters" / "01_page.html").read_text()
    assert "nbclient" in (book / "_build" / "build.log").read_text()


@pytest.mark.parametrize("change", ["none", "gone", "come"])
def test_a_page_that_has_gone_leaves_nothing_behind(change, tmp_path):
    html, doctrees = tmp_path / "_build" / "html" / "chapters", tmp_path / "_build" / ".doctrees"
    for folder in (html, doctrees, tmp_path / "chapters"):
        folder.mkdir(parents=True)
    for name in ("one", "two"):
        (html / f"{name}.html").touch()
        (tmp_path / "chapters" / f"{name}.md").touch()
    if change == "gone":
        (tmp_path / "chapters" / "two.md").unlink()
    if change == "come":
        (tmp_path / "chapters" / "three.md").touch()
    build.forget_pages(tmp_path)
    assert (html / "one.html").exists() and (html / "two.html").exists() == (change != "gone")
    assert doctrees.exists() == (change == "none")

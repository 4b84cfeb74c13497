"""A build that fails says where and why in a few lines."""

import build

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
        "RuntimeError\n",
    ]
    assert list(build.lines_to_show(lines)) == [
        "reading sources... chapters/02_two\n",
        "/book/chapters/02_two.md: a cell failed; more below\n",
        "/book/chapters/01_one.md: WARNING: a reference leads nowhere\n",
    ]


def test_an_error_of_another_kind_is_shown_too():
    place, what = build.failure("no cell here\nMemoryError: too large")
    assert place == "" and what == ["MemoryError: too large"]

"""Pages whose cells must run do so side by side, and what they give is what one page after another would give."""

import shutil

import pytest

from book.execution import available

MEETING = """\
# The page {me}

```{{code-cell}}
import time
from pathlib import Path

Path("{me}.here").touch()
until = time.monotonic() + 60
while not Path("{other}.here").exists():
    assert time.monotonic() < until, "nobody else is running"
    time.sleep(0.05)
print("{me} has met {other}")
```
"""
FAILING = """\
# A page that fails

```{code-cell}
total = 2
assert total == 3
```
"""


@pytest.fixture
def larger_book(book, header):
    for me, other in [("one", "two"), ("two", "one")]:
        (book / "chapters" / f"{me}.md").write_text(header + MEETING.format(me=me, other=other))
    (book / "_toc.yml").write_text(
        "format: jb-book\nroot: chapters/01_page\nchapters:\n- file: chapters/one\n- file: chapters/two\n"
    )
    return book


@pytest.mark.skipif(available() < 2, reason="one processor")
def test_two_pages_meet_and_are_kept(larger_book, strictly):
    run = strictly(larger_book)
    assert run.returncode == 0, run.stdout
    assert "executing pages" in run.stdout
    for me, other in [("one", "two"), ("two", "one")]:
        assert f"{me} has met {other}" in (larger_book / f"_build/html/chapters/{me}.html").read_text()
        (larger_book / "chapters" / f"{me}.here").unlink()
    # Sphinx reads all pages again, and no cell runs again.
    shutil.rmtree(larger_book / "_build" / ".doctrees")
    run = strictly(larger_book)
    assert run.returncode == 0, run.stdout
    assert "executing pages" not in run.stdout and run.stdout.count("Using cached notebook") == 3
    assert not list((larger_book / "chapters").glob("*.here"))


def test_a_page_that_fails_is_told_as_ever_and_the_others_are_there(larger_book, header, strictly):
    (larger_book / "chapters" / "two.md").write_text(header + FAILING)
    (larger_book / "chapters" / "two.here").touch()
    run = strictly(larger_book)
    assert run.returncode != 0
    assert "chapters/two.md, cell at line" in run.stdout and "assert total == 3" in run.stdout
    assert "one has met two" in (larger_book / "_build/html/chapters/one.html").read_text()

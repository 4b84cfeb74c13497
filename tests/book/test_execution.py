"""Pages whose cells must run do so side by side, and what they give is what one page after another would give."""

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
print("{me} has met {other}", 6 * 7)
```
"""
FAILING = """\
# A page that fails

```{code-cell}
total = 2
assert total == 3
```
"""
PAGES = "format: jb-book\nroot: chapters/01_page\nchapters:\n" + "".join(
    f"- file: chapters/{name}\n" for name in ("one", "two", "three")
)


@pytest.mark.skipif(available() < 2, reason="one processor")
def test_two_pages_meet_and_are_kept_and_one_that_fails_is_told_as_ever(book, header, strictly):
    for me, other in [("one", "two"), ("two", "one")]:
        (book / "chapters" / f"{me}.md").write_text(header + MEETING.format(me=me, other=other))
    (book / "chapters" / "three.md").write_text(header + FAILING)
    (book / "_toc.yml").write_text(PAGES)
    run = strictly(book)
    assert run.returncode != 0 and "executing pages" in run.stdout
    assert "chapters/three.md, cell at line" in run.stdout and "assert total == 3" in run.stdout
    met = list((book / "chapters").glob("*.here"))
    assert len(met) == 2
    for mark in met:
        mark.unlink()
    # After a failure Sphinx reads all pages again. What ran well does not run again.
    (book / "chapters" / "three.md").write_text(header + FAILING.replace("total = 2", "total = 3"))
    run = strictly(book)
    assert run.returncode == 0, run.stdout
    for me, other in [("one", "two"), ("two", "one")]:
        for shown in (f"chapters/{me}.html", f"_sources/chapters/{me}.ipynb"):
            assert f"{me} has met {other} 42" in (book / "_build" / "html" / shown).read_text()
    assert not list((book / "chapters").glob("*.here"))

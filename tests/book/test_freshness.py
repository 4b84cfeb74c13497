"""No page shows a result of code, data or versions that have since changed."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from book.freshness import fingerprint, versions


@pytest.mark.parametrize(
    "name", ["glalib/__init__.py", "glalib/deep/answer.py", "chapters/data/table.csv", "requirements.lock"]
)
def test_the_fingerprint_sees_every_change_of_content(book, name):
    before = fingerprint(book)
    assert fingerprint(book) == before
    path = book / name
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_text(path.read_text() + "\n")
    os.utime(path, ns=times)
    assert fingerprint(book) != before


def test_the_fingerprint_sees_new_and_renamed_files_and_versions(book):
    seen = [fingerprint(book)]
    (book / "glalib" / "new.py").touch()
    seen.append(fingerprint(book))
    (book / "glalib" / "new.py").rename(book / "glalib" / "newer.py")
    seen.append(fingerprint(book))
    seen.append(fingerprint(book, [*versions(), "numpy==99"]))
    assert len(set(seen)) == 4


def test_the_fingerprint_leaves_the_chapters_to_the_cache(book, page):
    before = fingerprint(book)
    (book / "chapters" / "01_page.md").write_text(page + "\nMore prose.\n")
    (book / "chapters" / "01_page.py").write_text("# its twin\n")
    (book / "glalib" / "exercises" / "answers").mkdir(parents=True)
    (book / "glalib" / "exercises" / "answers" / "01_page.json").touch()
    (book / "glalib" / "__pycache__").mkdir()
    (book / "glalib" / "__pycache__" / "answer.pyc").touch()
    (book / "chapters" / ".ruff_cache").mkdir()
    (book / "chapters" / ".ruff_cache" / "entry").touch()
    assert fingerprint(book) == before


# Reads what a build needs, of this project nothing, once for many builds: that takes seconds. Each build branches off.
BUILDER = """
import json, os, signal, sys
import jupyter_book.sphinx, myst_nb.sphinx_ext, sphinx.builders.html, sphinx_book_theme
import sphinx_comments, sphinx_copybutton, sphinx_design, sphinx_exercise, sphinx_external_toc, sphinx_proof
import sphinx_togglebutton, sphinx.ext.intersphinx
import sphinxcontrib.bibtex, nbclient, sqlalchemy.dialects.sqlite, ipykernel, jupytext
from jupyter_book.cli.main import main

for line in sys.stdin:
    folder, log, environment = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # seconds, which end what hangs
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path.insert(0, folder)
        sys.argv = ["jupyter-book", "build", "."]
        for stream in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def builder(folder):
    """It ends with this process, which closes its input."""
    command = [sys.executable, "-BP", "-c", BUILDER]
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def build(book):
    log = book / "build.log"
    log.unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": str(book), "PYTHONDONTWRITEBYTECODE": "1"}
    server = builder(Path(tempfile.gettempdir()))
    print(json.dumps([str(book), str(log), environment]), file=server.stdin, flush=True)
    code, told = server.stdout.readline(), log.read_text()
    assert code == "0\n", told
    return told, (book / "_build" / "html" / "chapters" / "01_page.html").read_text()


def test_a_change_in_the_package_reaches_the_page_of_a_book_that_was_built_before(book):
    log, page = build(book)
    assert "the answer is 41" in page and "Executed notebook" in log

    answer = book / "glalib" / "deep" / "answer.py"
    times = answer.stat().st_atime_ns, answer.stat().st_mtime_ns
    answer.write_text("def answer():\n    return 42\n")
    os.utime(answer, ns=times)
    log, page = build(book)
    assert "the answer is 42" in page and "Executed notebook" in log
    assert len(list((book / "_build" / ".jupyter_cache").iterdir())) == 1

    with (book / "chapters" / "01_page.md").open("a") as file:
        file.write("\nMore prose.\n")
    log, page = build(book)
    assert "More prose" in page and "Using cached notebook" in log and "Executed notebook" not in log

"""Builds of small books that branch off one process, which has read what a build needs: that takes seconds."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Of this project it reads nothing, so each build has the code of its own book. Where it is strict, it is that of
# `make book`: `book.build`, of which the process that it starts branches off as well.
BUILDER = """
import json, os, signal, subprocess, sys
import jupyter_book.sphinx, myst_nb.sphinx_ext, sphinx.builders.html, sphinx_book_theme
import sphinx_comments, sphinx_copybutton, sphinx_design, sphinx_exercise, sphinx_external_toc, sphinx_proof
import sphinx_togglebutton, sphinx.ext.intersphinx
import sphinxcontrib.bibtex, nbclient, sqlalchemy.dialects.sqlite, ipykernel, jupytext
from jupyter_book.cli.main import main


class Branch:
    def __init__(self, command, stdout, stderr, encoding, errors):
        assert command[:3] == [sys.executable, "-u", "-c"] and stdout == subprocess.PIPE and stderr == subprocess.STDOUT
        ours, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            write_to(theirs)
            os.close(ours)
            sys.argv = ["jupyter-book", *command[4:]]
            main()
        os.close(theirs)
        self.stdout = open(ours, encoding=encoding, errors=errors)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stdout.close()
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def write_to(file):
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.stdout.reconfigure(write_through=True)  # in the order in which it is said


for line in sys.stdin:
    folder, log, environment, strict = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(300)  # seconds, which end what hangs
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path.insert(0, folder)
        sys.argv = ["jupyter-book", "build", "."]
        write_to(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        if strict:
            import book.build
            sys.argv = ["book.build"]
            book.build.subprocess = type("", (), dict(vars(subprocess), Popen=Branch))
            sys.exit(book.build.main())
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def builder(folder):
    """It ends with this process, which closes its input."""
    command = [sys.executable, "-BP", "-c", BUILDER]
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def environment(book):
    return os.environ | {"PYTHONPATH": str(book), "PYTHONDONTWRITEBYTECODE": "1"}


def branch(book, strict):
    """Build the book; the exit status and what was said."""
    log = book / "build.log"
    log.unlink(missing_ok=True)
    server = builder(Path(tempfile.gettempdir()))
    print(json.dumps([str(book), str(log), environment(book), strict]), file=server.stdin, flush=True)
    return int(server.stdout.readline()), log.read_text()


def build(book):
    """As `jupyter-book build .` does; what was said, and the page."""
    code, told = branch(book, strict=False)
    assert code == 0, told
    return told, (book / "_build" / "html" / "chapters" / "01_page.html").read_text()


def build_strictly(book):
    """As `make book` does; its `returncode` and `stdout`."""
    code, told = branch(book, strict=True)
    return subprocess.CompletedProcess("book.build", code, told, "")


def build_apart(book):
    """The same by the command itself."""
    return subprocess.run(
        [sys.executable, "-m", "book.build"],
        cwd=book, env=environment(book), capture_output=True, text=True, timeout=300,
    )  # fmt: skip

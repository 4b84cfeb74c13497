"""All that concerns one page, in one go.

    python -m book.page NAME             all faults of the page, in one list
    python -m book.page NAME --build     and the page as HTML, alone, in seconds

It brings the two files of the page in step, formats its code, that of solutions too, runs every cell, stores the
answers of the exercises anew, and runs those of the book's tests that see the page.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from book import answers, build, pairs

ROOT = Path(__file__).resolve().parents[1]
TESTS = [f"tests/book/test_{name}.py" for name in ("pairs", "symbols", "shape", "claims", "answers", "figures")]
# Those of the whole book that one page can make fail.
WHOLE = ("table_of_contents", "share_a_label", "every_promise_is_kept", "names_are_of_one_page")
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"not found|undefined label|unknown document|nonexist|could not find|citation")


class OnePage:
    """A plugin of pytest: of what is collected, the cells and tests of one page; and what of them failed."""

    def __init__(self, name):
        self.name, self.faults = name, []

    def pytest_collection_modifyitems(self, items):
        cells, parameter = ROOT / "chapters" / f"{self.name}.md", f"[{self.name}]"
        items[:] = [
            item
            for item in items
            if item.path == cells or item.name.endswith(parameter) or any(word in item.name for word in WHOLE)
        ]

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.faults += told(report.longrepr, report.nodeid).splitlines()

    pytest_collectreport = pytest_runtest_logreport


def told(failure, name):
    """The report of a test or cell that failed, without its trace."""
    crash = getattr(failure, "reprcrash", None)
    text = crash.message if crash else str(failure)
    if cell := re.match(r"(chapters/\S+), (.*) \(line (\d+)\): ", text):
        *statements, error = build.failure(text)[1]
        shown = statements[-1:] if not cell[2].startswith("answer") else []  # not ours, which ask for it
        return f"{cell[1]}:{cell[3]}: {cell[2]}: " + ": ".join([*shown, " ".join(error.split())])
    said = re.sub(r"^(?:AssertionError|Failed): ", "", text).partition("\nassert ")[0]
    return f"{name}: {said}" if re.match(r"assert |\w+(?:Error|Exception)\b", said) else said  # not made to be read


def ruff(*words, root, text=None):
    """(what it says, whether it is content)"""
    command = [sys.executable, "-m", "ruff", *words]
    done = subprocess.run(command, cwd=root, input=text, capture_output=True, text=True, encoding="utf-8")
    return done.stdout + done.stderr * (done.returncode != 0), done.returncode == 0


def formatted(name, root):
    """Format the code of the page, and of its solutions; yields what `ruff` cannot read, and what `ruff check` says."""
    file, page = f"chapters/{name}.py", root / "chapters" / f"{name}.md"
    said, fine = ruff("format", "--quiet", file, root=root)
    if not fine:
        yield said.strip()
        return
    pairs.sync(root, [name], wins="py")

    def tidy(block):
        said, fine = ruff("format", "--quiet", "--stdin-filename", file, "-", root=root, text=block[1])
        return f"```python\n{said}```" if fine else block[0]  # what it cannot read fails as a solution that runs

    old = page.read_text(encoding="utf-8")
    new = answers.SOLUTION.sub(lambda solution: CODE.sub(tidy, solution[0]), old)
    if new != old:
        page.write_text(new, encoding="utf-8")
        pairs.sync(root, [name], wins="md")
    said, fine = ruff("check", "--quiet", "--output-format", "concise", file, root=root)
    if not fine:
        yield from said.strip().splitlines()


def work(name, root=ROOT):
    """All of it; the faults that are left."""
    if pairs.sync(root, [name]):
        return [f"chapters/{name}: both files were edited; say which one wins: python -m book.pairs --from md {name}"]
    faults = list(formatted(name, root))
    try:
        answers.tidy(name, root)
    except answers.Fault as fault:
        return [*faults, f"chapters/{name}.md: {fault}"]
    one, cells = OnePage(name), str(root / "chapters" / f"{name}.md")
    options = ["-qq", "--tb=short", "--no-header", "--no-summary", "--update-answers", "--rootdir", str(root)]
    status = pytest.main([*options, cells, *(str(root / test) for test in TESTS)], plugins=[one])
    if status and not one.faults:
        one.faults.append(f"chapters/{name}.md: pytest did not come to its end, and says {int(status)}; run it again")
    return list(dict.fromkeys(faults + one.faults))


def preview(name, root=ROOT):
    """The page, built alone: links to other pages lead nowhere. Prints what else the build complains of."""
    folder = root / "_build" / "preview"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toc.yml").write_text(f"format: jb-book\nroot: chapters/{name}\n")
    options = ["build", "-q", "--toc", str(folder / "toc.yml"), "--path-output", str(folder), str(root)]
    command = [sys.executable, "-c", build.BUILD, *options]
    page = folder / "_build" / "html" / "chapters" / f"{name}.html"
    page.unlink(missing_ok=True)
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8")
    said = build.COLOURS.sub("", done.stdout + done.stderr)
    if done.returncode or not page.exists():
        raise SystemExit("\n".join([f"chapters/{name}: the page could not be built", *said.splitlines()[-5:]]))
    for line in dict.fromkeys(re.findall(r"^.*\b(?:WARNING|ERROR): .*$", said, re.MULTILINE)):
        if not ELSEWHERE.search(line):
            print(line)
    return page


def show(name, look=False):
    """Do all of it, and print what is left and where to look; the exit status."""
    faults = work(name)
    for fault in faults:
        print(fault)
    end = f"chapters/{name}: " + (f"left to do: {len(faults)}" if faults else "all holds")
    print(f"{end}. Look at it: {preview(name)}" if look else f"{end}; make page NAME={name} BUILD=1 shows the page.")
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", help="a chapter, such as prompts")
    parser.add_argument("--build", action="store_true", help="build the page alone, to look at")
    args = parser.parse_args()
    return show(pairs.known(args.name), args.build)


if __name__ == "__main__":
    raise SystemExit(main())

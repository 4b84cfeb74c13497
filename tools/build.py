"""Build the book strictly; a failure ends with the page, the cell, the assertion and what it saw.

    python tools/build.py [--all and other options of `jupyter-book build`]

Pages whose cells hold are built whatever happens to the others. The log with every trace is _build/build.log.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
BUILD = "from jupyter_book.cli.main import main; main()"


def lines_to_show(lines):
    """The build's own lines without the traces of failed cells, which the end of the run sums up."""
    inside = False
    for line in lines:
        plain = COLOURS.sub("", line)
        if "WARNING: Executing notebook failed" in plain:
            inside = True
            yield plain.partition(": WARNING")[0] + ": a cell failed; more below\n"
        if plain.startswith("Traceback (most recent call last)") and not inside:
            inside = True
        if not inside and "Notebook exception traceback saved" not in plain:
            yield line
        if "[mystnb.exec]" in plain:
            inside = False


def failure(report, source=""):
    """From the report of a failed page: its cell (by line), the statement, and the error with what it saw."""
    report = COLOURS.sub("", report)
    cell = re.search(r"^-{10,}\n(.*?)\n-{10,}$", report, re.DOTALL | re.MULTILINE)
    place = ""
    if cell and cell.group(1) in source:
        place = f", cell at line {source[: source.index(cell.group(1))].count(chr(10)) + 1}"
    statement = re.search(r"^-+> *\d+ (.*)$", report, re.MULTILINE)
    errors = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Warning|Loss)\b.*$", report, re.MULTILINE)
    what = ([statement.group(1).strip()] if statement else []) + [errors[-1] if errors else report.strip()[-300:]]
    return place, what


def summary(root=ROOT):
    """What failed in the last build, a few lines a page."""
    reports = root / "_build" / "html" / "reports"
    for path in sorted(reports.rglob("*.err.log")):
        page = path.relative_to(reports).as_posix().removesuffix(".err.log")
        source = root / f"{page}.md"
        place, what = failure(path.read_text(encoding="utf-8"), source.read_text("utf-8") if source.exists() else "")
        yield f"{page}.md{place}:"
        yield from (f"    {line[:400]}" for line in what)


def main():
    reports = ROOT / "_build" / "html" / "reports"
    for old in reports.rglob("*.err.log"):
        old.unlink()
    (ROOT / "_build").mkdir(exist_ok=True)
    command = [sys.executable, "-u", "-c", BUILD, "build", "-W", "-n", "--keep-going", *sys.argv[1:], str(ROOT)]
    with (
        open(ROOT / "_build" / "build.log", "w", encoding="utf-8") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
        ) as build,
    ):

        def logged():
            for line in build.stdout:
                log.write(COLOURS.sub("", line))
                yield line

        for line in lines_to_show(logged()):
            print(line, end="", flush=True)
    if build.returncode:
        failed = list(summary())
        print("\nThe book was not built whole: " + ("these cells failed." if failed else "see the warnings above."))
        print("\n".join(failed) + "\n" * bool(failed) + "All traces: _build/build.log")
    return build.returncode


if __name__ == "__main__":
    raise SystemExit(main())

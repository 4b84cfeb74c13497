"""Build the book strictly; a failure ends with the page, the cell, the assertion and what it saw.

    python -m book.build [--all and other options of `jupyter-book build`]

Pages whose cells hold are built whatever happens to the others. The log with every trace is _build/build.log.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
BETWEEN = re.compile(
    r"The above exception was the direct|During handling of the above|.*Notebook exception traceback saved"
)
BUILD = "from jupyter_book.cli.main import main; main()"


def lines_to_show(lines):
    """The build's own lines without traces: the end sums up failed cells, other errors keep their last line."""
    cell = trace = False
    for line in lines:
        plain = COLOURS.sub("", line)
        if "WARNING: Executing notebook failed" in plain:
            cell = True
            yield plain.partition(": WARNING")[0] + ": a cell failed; more below\n"
        if cell:
            cell = "[mystnb.exec]" not in plain
            continue
        # A trace ends with the error: its first line that is neither indented nor empty.
        trace = plain.startswith("Traceback (most recent call last)") or (trace and (not plain or plain[0].isspace()))
        if not trace and not BETWEEN.match(plain):
            yield line


def failure(report, source=""):
    """From the report of a failed page: its cell (by line), the statements down to the assertion, and what it saw."""
    report = COLOURS.sub("", report)
    cell = re.search(r"^-{10,}\n(.*?)\n-{10,}$", report, re.DOTALL | re.MULTILINE)
    start = source.find(f"\n{cell.group(1)}\n```") if cell else -1
    place = f", cell at line {source.count(chr(10), 0, start + 1) + 1}" if start >= 0 else ""
    statements = [statement.strip() for statement in re.findall(r"^-+> *\d+ (.*)$", report, re.MULTILINE)]
    errors = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Warning|Loss|Fault)\b.*$", report, re.MULTILINE)
    # The cell's own statement, and the one that it led to, which is another if that is in a function.
    return place, [*dict.fromkeys(statements[:1] + statements[-1:]), errors[-1] if errors else report.strip()[-300:]]


def summary(root=ROOT, lines=()):
    """What failed in the last build, a few lines a page, and the warnings among the lines that it showed."""
    reports = root / "_build" / "html" / "reports"
    for path in sorted(reports.rglob("*.err.log")):
        page = path.relative_to(reports).as_posix().removesuffix(".err.log")
        source = root / f"{page}.md"
        place, what = failure(path.read_text(encoding="utf-8"), source.read_text("utf-8") if source.exists() else "")
        yield f"{page}.md{place}:"
        yield from (f"    {line[:400]}" for line in what)
    text = COLOURS.sub("", "".join(lines))
    # Sphinx puts what an error says on the next line.
    told = r"^.*\b(?:WARNING|ERROR|CRITICAL): .*$|^\w[\w.]*(?:Error|Exception): \S.*$|^\w+ error:\n.*$"
    for line in dict.fromkeys(re.findall(told, text, re.MULTILINE)):
        yield line[:400].rstrip()


def forget_pages(root=ROOT):
    """Where pages have come or gone since the last build: take away those that have no source, and have Sphinx read all
    anew. It would know a label that moved to another page twice. Cells do not run again for that.
    """
    html = root / "_build" / "html"
    built = {path for folder in ("chapters", "reference") for path in (html / folder).glob("*.html")}
    gone = {path for path in built if not (root / path.relative_to(html)).with_suffix(".md").exists()}
    for path in gone:
        path.unlink()
    come = {path for path in root.glob("chapters/*.md") if not (html / "chapters" / f"{path.stem}.html").exists()}
    if gone or come:
        shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)


def main():
    forget_pages()
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

        shown = []
        try:
            for line in lines_to_show(logged()):
                shown.append(line)
                print(line, end="", flush=True)
        except KeyboardInterrupt:
            build.wait()
            print("\nInterrupted. Pages that ran are kept; the next build goes on from there.")
            return 130
    if build.returncode:
        print(
            "\nThe book was not built whole.",
            *summary(lines=shown),
            "Everything, with traces: _build/build.log",
            sep="\n",
        )
    return build.returncode


if __name__ == "__main__":
    raise SystemExit(main())

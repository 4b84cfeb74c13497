"""Keep the two files of each chapter, NAME.md and NAME.py, in step.

    python -m book.pairs                  bring every pair in step
    python -m book.pairs --from md NAME   the .md of this chapter wins (or --from py)

Which of the two was edited is never read off file times, which a checkout or a copy changes. The file whose cells
are those of the last time the two agreed is the old one; if that tells nothing, the one whose cells are those of
the last commit. If both were edited, nothing is written and you are asked which one wins.

A file is written in one way only: its text follows from its cells. Where the two agree, each is put into that form.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from difflib import get_close_matches
from pathlib import Path

import jupytext
from jupytext.config import load_jupytext_config

ROOT = Path(__file__).resolve().parents[1]
FORMATS = {"md": "md:myst", "py": "py:percent"}
# Two empty lines before a cell that begins with a definition, as `ruff format` has them, where jupytext writes one.
DEFINITION = re.compile(r"\n+(# %%[^\n]*\n(?:#[^\n]*\n)*(?:def |class |@|async def ))")


def notebook(path, text=None):
    """The chapter in this file; empty lines around a cell are no part of it."""
    text = Path(path).read_text(encoding="utf-8") if text is None else text
    read = jupytext.reads(text, fmt=FORMATS[Path(path).suffix[1:]])
    for cell in read.cells:
        cell.source = cell.source.strip("\n")
    return read


def cells(path, text=None):
    """What the two files of a chapter must agree on: what it settles, then each cell's type, source, tags and display
    settings.
    """
    read = notebook(path, text)
    return [
        ("header", read.metadata.get("settles", ""), [], {}),
        *(
            (cell.cell_type, cell.source, sorted(cell.metadata.get("tags", [])), cell.metadata.get("mystnb", {}))
            for cell in read.cells
        ),
    ]


def chapters(root=ROOT):
    """The names of all chapters of which at least one file exists."""
    return sorted({p.stem for kind in FORMATS for p in (root / "chapters").glob(f"*.{kind}")})


def known(name, root=ROOT):
    """The chapter of this name, which may be given as that of a file; ends with the nearest names if there is none."""
    stem, there = Path(name).stem, chapters(root)
    if stem not in there:
        near = get_close_matches(stem, there)
        sys.exit(f"There is no chapter chapters/{stem}" + (f"; is it {' or '.join(near)}?" if near else ""))
    return stem


def lacking(header):
    """What the header of a page still needs, or ""."""
    if (header.get("jupytext") or {}).get("text_representation", {}).get("format_name") != "myst":
        return "`jupytext:` as other chapters have it, with format_name: myst"
    if (header.get("kernelspec") or {}).get("name") != "python3":
        return "`kernelspec:` as other chapters have it, with name: python3"
    return "" if header.get("settles") else "`settles: ...`, half a line for lists of pages"


def digest(path, text=None):
    return hashlib.sha256(json.dumps(cells(path, text)).encode()).hexdigest()


def committed(path, root):
    """The digest of the file in the last commit, or None."""
    show = subprocess.run(["git", "show", f"HEAD:./{path.relative_to(root).as_posix()}"], cwd=root, capture_output=True)
    return digest(path, show.stdout.decode("utf-8")) if show.returncode == 0 else None


def edited(files, last, root):
    """Which of two files that differ holds the edit: 'md', 'py', or None when both may."""
    now = {kind: digest(path) for kind, path in files.items()}
    for known in (dict.fromkeys(files, last), {kind: committed(path, root) for kind, path in files.items()}):
        edited_ones = [kind for kind in files if now[kind] != known[kind]]
        if len(edited_ones) == 1:
            return edited_ones[0]
    return None


def text_of(source, kind):
    """The text of a chapter as a file of this kind, from either of its files."""
    read = notebook(source)
    for cell in read.cells:
        cell.metadata.pop("lines_to_next_cell", None)  # a memory of how many empty lines there were
    text = jupytext.writes(read, fmt=FORMATS[kind], config=load_jupytext_config(str(source.resolve())))
    return DEFINITION.sub(r"\n\n\n\1", text) if kind == "py" else text


def write(target, text):
    """Write the file if that changes it; whether it did."""
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return False
    target.write_text(text, encoding="utf-8")
    return True


def sync(root=ROOT, names=None, wins=None):
    """Bring pairs in step; returns the names of those that could not be."""
    memory = root / "_build" / "pairs.json"
    last = json.loads(memory.read_text()) if memory.exists() else {}
    undecided = []
    for name in [known(name, root) for name in names or []] or chapters(root):
        files = {kind: root / "chapters" / f"{name}.{kind}" for kind in FORMATS}
        present = [kind for kind, path in files.items() if path.exists()]
        if len(present) == 1:
            kind = present[0]
        elif digest(files["md"]) == digest(files["py"]):
            last[name] = digest(files["md"])
            for kind, path in files.items():
                if write(path, text_of(path, kind)):
                    print(f"{path.relative_to(root)} tidied")
            continue
        else:
            kind = wins or edited(files, last.get(name), root)
        if kind is None:
            undecided.append(name)
            continue
        other = files["py" if kind == "md" else "md"]
        for target in (other, files[kind]):
            write(target, text_of(files[kind], target.suffix[1:]))
        last[name] = digest(files[kind])
        print(f"{other.relative_to(root)} written from {files[kind].relative_to(root)}")
    memory.parent.mkdir(exist_ok=True)
    memory.write_text(json.dumps(last, indent=1))
    return undecided


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="chapters, such as prompts")
    parser.add_argument("--from", dest="wins", choices=FORMATS, help="the file that wins")
    args = parser.parse_args()
    if args.wins and not args.names:
        parser.error("--from needs the names of the chapters for which that file wins")
    undecided = sync(names=args.names, wins=args.wins)
    for name in undecided:
        print(
            f"chapters/{name}: the .md and the .py both differ from when they last agreed; nothing was written.\n"
            f"  Compare them, then: python -m book.pairs --from md {name}   (or --from py)",
            file=sys.stderr,
        )
    sys.exit(1 if undecided else 0)


if __name__ == "__main__":
    main()

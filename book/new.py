"""Begin a chapter.

    python -m book.new NAME [--after OTHER]    write chapters/NAME.md and .py, and put NAME into _toc.yml after OTHER

What it writes, `templates/chapter.md`, runs and has the shape of a page. What is left to write is marked TODO, and is
listed until it is written. Without OTHER the page comes last of the chapters.
"""

import argparse
import re
import sys
from pathlib import Path

import yaml

from book import page, pairs

ROOT = Path(__file__).resolve().parents[1]


def text(name):
    """What a page of this name begins as."""
    template = (ROOT / "book" / "templates" / "chapter.md").read_text(encoding="utf-8")
    return template.replace("NAME", name).replace("LABEL", name.replace("_", "-"))


def listed(contents, name, after=None):
    """The table of contents, a text, with this chapter after that one, or last in the last part of chapters alone."""
    if after is None:
        parts = [[entry["file"] for entry in part["chapters"]] for part in yaml.safe_load(contents)["parts"]]
        after = [files for files in parts if all(file.startswith("chapters/") for file in files)][-1][-1].split("/")[1]
    made, times = re.subn(rf"^( *- file: chapters/){after}$", rf"\g<0>\n\g<1>{name}", contents, flags=re.MULTILINE)
    if times != 1:
        sys.exit(f"_toc.yml has no line `- file: chapters/{after}` to put the new page after; give another --after")
    return made


def begin(name, after=None, root=ROOT):
    """Write the page and its line in the table of contents; ends, with nothing written, where that cannot be."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", name):
        sys.exit(f"{name!r} is no name of a chapter: small letters and digits, words joined by _, as in when_to_forget")
    if name in pairs.chapters(root):
        sys.exit(f"There is a chapter {name} already; choose another name, or edit it, then: make page NAME={name}")
    after = None if after is None else pairs.known(after, root)
    toc = root / "_toc.yml"
    contents = listed(toc.read_text(encoding="utf-8"), name, after)
    (root / "chapters" / f"{name}.md").write_text(text(name), encoding="utf-8")
    toc.write_text(contents, encoding="utf-8")
    pairs.sync(root, [name], wins="md")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", help="of the new chapter, such as when_to_forget")
    parser.add_argument("--after", metavar="OTHER", help="the chapter that it comes after")
    args = parser.parse_args()
    begin(args.name, args.after)
    print(f"Write it, in chapters/{args.name}.md or .py, and then: make page NAME={args.name}")
    page.show(args.name)  # what is left is no fault yet


if __name__ == "__main__":
    main()

"""Sphinx extension: lists of pages. Directive:

{pages} PART       the pages of that part of the table of contents, and what the header of each says that it settles
"""

from pathlib import Path

import yaml

from book import pairs
from book.generated import Generated


def rows(root, part):
    """The list in Markdown, a line a page, in the order of the table of contents."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found = [entry for entry in toc["parts"] if entry["caption"] == part]
    if not found:
        raise LookupError(f"_toc.yml has no part {part!r}")
    for file in (entry["file"] for entry in found[0]["chapters"]):
        header = pairs.notebook(root / f"{file}.md").metadata
        yield f"- [](/{file}): {header.get('settles', '')}"


class Pages(Generated):
    required_arguments = 1
    final_argument_whitespace = True

    def lines(self, claims):
        return rows(Path(self.env.srcdir), self.arguments[0])


def setup(app):
    app.add_directive("pages", Pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

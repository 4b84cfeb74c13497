"""Sphinx extension: the front page's table of chapters. Directive:

{chapters}         every chapter, and what its header says that it settles
"""

from pathlib import Path

from book import pairs
from book.generated import Generated


def rows(root):
    """The table in MyST, a line a chapter, in their order."""
    yield "| page | what it settles |"
    yield "|---|---|"
    for name in pairs.chapters(root):
        header = pairs.notebook(root / "chapters" / f"{name}.md").metadata
        yield f"| [](/chapters/{name}) | {header.get('settles', '')} |"


class Chapters(Generated):
    def lines(self, claims):
        return rows(Path(self.env.srcdir))


def setup(app):
    app.add_directive("chapters", Chapters)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

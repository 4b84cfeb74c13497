"""Sphinx extension: the front page's table of chapters. Directive:

{chapters}         every chapter, and what its header says that it settles
"""

from pathlib import Path

from book import pairs
from book.generated import Generated


def settles(path):
    """What a chapter settles, in half a line; empty if its header does not say."""
    return pairs.notebook(path).metadata.get("settles", "")


class Chapters(Generated):
    """The chapters in their order."""

    def lines(self, claims):
        yield "| page | what it settles |"
        yield "|---|---|"
        root = Path(self.env.srcdir)
        for name in pairs.chapters(root):
            yield f"| [](/chapters/{name}) | {settles(root / 'chapters' / f'{name}.md')} |"


def setup(app):
    app.add_directive("chapters", Chapters)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

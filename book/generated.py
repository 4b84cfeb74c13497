"""What pages that are made from the claims and the symbols have in common: a directive that writes MyST."""

from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from book import claims

logger = logging.getLogger(__name__)


def claims_of(app):
    """Read once a build."""
    if not hasattr(app, "claims"):
        app.claims, faults = claims.read(Path(app.srcdir))
        for fault in faults:
            logger.warning("%s", fault)
    return app.claims


def evidence_files(app):
    """What the pages below are made from: Sphinx reads them again when one of these changes."""
    root = Path(app.srcdir)
    return [
        root / "claims.yml",
        root / "symbols.yml",
        *claims.test_files(root),
        *(root / "chapters").glob("*.md"),
    ]


class Generated(SphinxDirective):
    """A directive whose content is made from the claims: it writes MyST, which the page's own parser reads."""

    def run(self):
        for path in evidence_files(self.env.app):
            self.env.note_dependency(str(path))
        text = "\n".join(self.lines(claims_of(self.env.app)))
        node = nodes.container(classes=["generated"])
        self.state.nested_parse(StringList(text.split("\n"), source=self.env.docname), self.content_offset, node)
        return node.children

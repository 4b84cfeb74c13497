"""Sphinx extension: the claims ledger, and the links between a claim's statement, proof, cells, tests and row.

Nothing here is typed: the evidence comes from `claims`. Directives:

    {claims}           the ledger, all claims with marks, tolerances and evidence
    {claim-tests}      the source of every test that carries a claim's marker, with links back
    {claim-counts}     how many claims there are, by their marks, and how much holds them
    {paper-map}        the paper's numbers, in their order, and where each stands in the book

A build fails, as a warning under -W, when a promise in claims.yml is not kept.
"""

from pathlib import Path

from docutils import nodes
from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, String, Text

from book import claims as evidence
from book import published
from book.generated import Generated, claims_of

LEDGER, TESTS = "reference/ledger", "reference/tests"
PLAIN = "python-plain"
MARKS = {"paper": "[paper]", "derived": "[derived]", "new": "[new]"}


class Claims(Generated):
    """The ledger."""

    def lines(self, claims):
        yield "| claim | mark and place | evidence |"
        yield "|---|---|---|"
        for claim in claims.values():
            statement, proof, cells, tests = links(claim, LEDGER)
            says = f'<span id="claim-{claim.id}"></span>**{claim.title}.** {claim.says}'
            if claim.tolerance:
                says += f'<br><span class="claim-tolerance">Tolerance: {claim.tolerance}.</span>'
            place = MARKS[claim.mark] + (f"<br>{claim.place}" if claim.place else "")
            held = " &middot; ".join(x for x in (statement, proof, cells) if x)
            held += f"<br>tests: {tests}" if tests else ""
            if not claim.asserted:
                held = "not yet" + (f"; tests so far: {tests}" if claim.tests else "")
            yield "| " + " | ".join(cell.replace("|", r"\|") for cell in (says, place, held)) + " |"


def links(claim, here):
    """Statement, proof, cells and tests of a claim as links from the page `here`; empty where there is none."""
    up = "../" * here.count("/")
    statement = f'<a href="{up}{claim.page}.html#{claim.id}">statement</a>' if claim.page else ""
    proof = f'<a href="{up}{claim.page}.html#proof-{claim.id}">proof</a>' if claim.proof else ""
    cells = ", ".join(
        f'<a href="{up}{page}.html#{cell_anchor(claim.id, i)}">cell{f" {i + 1}" if i else ""}</a>'
        for i, page in enumerate(claim.cells)
    )
    tests = ", ".join(
        f'<a href="{up}{TESTS}.html#{test.anchor}">{test.name.removeprefix("test_").replace("_", " ")}</a>'
        for test in claim.tests
    )
    return statement, proof, cells, tests


def cell_anchor(claim, i):
    return f"asserts-{claim}" + (f"-{i + 1}" if i else "")


class PlainPython(PythonLexer):
    """Python in few colours: a page of many thousand lines would have an element for every sign in them."""

    coloured = (Keyword, String, Comment, Name.Function)

    def get_tokens_unprocessed(self, *given):
        for index, kind, value in super().get_tokens_unprocessed(*given):
            yield index, kind if any(kind in kept for kept in self.coloured) else Text, value


class ClaimTests(Generated):
    """The tests behind the claims, each once and folded, in the order of the files."""

    def lines(self, claims):
        holds = {}
        for claim in claims.values():
            for test in claim.tests:
                holds.setdefault(test.anchor, (test, []))[1].append(claim)
        file = None
        for anchor, (test, held) in sorted(holds.items(), key=lambda item: (item[1][0].file, item[1][0].line)):
            if test.file != file:
                file = test.file
                yield f"## {file}"
                yield ""
            back = ", ".join(
                f"{claim.title} ("
                + (f'<a href="../{claim.page}.html#{claim.id}">statement</a>, ' if claim.page else "")
                + f'<a href="../{LEDGER}.html#claim-{claim.id}">ledger</a>)'
                for claim in held
            )
            # An anchor inside the fold makes browsers open it on the way there.
            yield f'<details class="fold"><summary>{test.name.removeprefix("test_").replace("_", " ")}</summary>'
            yield f'<div class="fold-content" id="{anchor}">'
            yield ""
            yield f"Line {test.line}. Holds: {back}."
            yield ""
            yield f"```{PLAIN}"
            yield from test.source.split("\n")
            yield "```"
            yield ""
            yield "</div></details>"
            yield ""


class ClaimCounts(Generated):
    """One line of numbers."""

    def lines(self, claims):
        asserted = [claim for claim in claims.values() if claim.asserted]
        marks = [sum(claim.mark == mark for claim in asserted) for mark in ("paper", "derived", "new")]
        cells = sum(len(claim.cells) for claim in asserted)
        tests = len({test.anchor for claim in asserted for test in claim.tests})
        kinds = f"{marks[0]} of the paper's own, {marks[1]} derived here, {marks[2]} new"
        yield f"**{len(asserted)} claims**: {kinds}."
        yield f"{cells} cells of these pages and {tests} tests check them; each claim names its own."


class PaperMap(Generated):
    """The paper's own numbers, as far as they are known, and what stands for each in this book."""

    def lines(self, claims):
        yield "| in the paper | here | how number and content are known | corrections |"
        yield "|---|---|---|---|"
        # A place of an unknown kind is a fault of the ledger, which has been told.
        rows = [claim for claim in claims.values() if claim.place and evidence.in_the_paper(claim.place)]
        for claim in sorted(rows, key=lambda claim: evidence.in_the_paper(claim.place)):
            statement, *_ = links(claim, LEDGER)
            here = f"{claim.title}" + (f" ({statement})" if statement else "")
            yield f"| {claim.place} | {here} | {claim.known} | |"


def set_anchors(app, doctree):
    """Give every asserting cell, and every proof, the anchor that the ledger links to, and a link to the statement."""
    claims, here = claims_of(app), app.env.docname
    for node in list(doctree.findall(nodes.Element)):
        # sphinx-proof writes no id for a proof. Inside the fold, an anchor makes browsers open it on the way there.
        proved = [claims[name[6:]] for name in node.get("ids", []) if name.startswith("proof-") and name[6:] in claims]
        for claim in proved:
            node["ids"].remove(f"proof-{claim.id}")
            node.insert(0, nodes.raw("", f'<span id="proof-{claim.id}"></span>', format="html"))
        if proved:
            node.append(back("proves", proved, here))
    seen = {}
    for cell in doctree.findall(lambda node: isinstance(node, nodes.container) and "cell" in node.get("classes", [])):
        tags = [name.removeprefix("tag_" + evidence.TAG) for name in cell["classes"]]
        asserted = [claims[name] for name in tags if name in claims]
        for claim in asserted:
            # The same claim may be asserted by cells of several pages: the ledger numbers them through.
            cell["ids"].append(cell_anchor(claim.id, claim.cells.index(here) + seen.get(claim.id, 0)))
            seen[claim.id] = seen.get(claim.id, 0) + 1
        if asserted:
            cell.append(back("asserts", asserted, here))
    for path in (Path(app.srcdir) / "claims.yml", *evidence.test_files(Path(app.srcdir))):
        if seen:
            app.env.note_dependency(str(path))


def back(verb, claims, here):
    """A line of links from a proof or a cell to the statements it is for."""
    up = "../" * here.count("/")
    named = [
        f'<a href="{up}{claim.page or LEDGER}.html#{claim.id if claim.page else "claim-" + claim.id}">{claim.title}</a>'
        for claim in claims
    ]
    return nodes.raw("", f'<p class="claim-links">{verb} {", ".join(named)}</p>', format="html")


def link_statements(app, doctree, docname):
    """Under every statement: its proof, the cell that asserts it, its tests, its row of the ledger and, where that has
    an address, its line in the sources.
    """
    up = "../" * docname.count("/")
    stated = {claim.id: claim for claim in claims_of(app).values() if claim.page == docname}
    for node in list(doctree.findall(nodes.Element)):
        claim = next((stated.pop(name) for name in node.get("ids", []) if name in stated), None)
        if claim is None:
            continue
        _, proof, cells, _ = links(claim, docname)
        tests = f'<a href="{up}{TESTS}.html#{claim.tests[0].anchor}">tested</a>' if claim.tests else ""
        row = f'<a href="{up}{LEDGER}.html#claim-{claim.id}">in the ledger</a>'
        cells = cells.replace(">cell", ">asserted")
        source = published.source(app, f"{claim.page}.md?plain=1#L{claim.line}")
        source = f'<a href="{source}">source</a>' if source else ""
        text = " &middot; ".join(x for x in (proof, cells, tests, row, source) if x)
        node.insert(0, nodes.raw("", badge(claim.mark, up), format="html"))
        node.append(nodes.raw("", f'<p class="claim-links">{text}</p>', format="html"))


def badge(mark, up):
    """The mark of a statement, beside its title; it leads to where marks are explained."""
    return f'<a class="mark mark-{mark}" href="{up}{LEDGER}.html#marks">{mark}</a>'


def setup(app):
    app.add_lexer(PLAIN, PlainPython)
    app.add_directive("claims", Claims)
    app.add_directive("claim-tests", ClaimTests)
    app.add_directive("claim-counts", ClaimCounts)
    app.add_directive("paper-map", PaperMap)
    app.connect("doctree-read", set_anchors)
    app.connect("doctree-resolved", link_statements)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

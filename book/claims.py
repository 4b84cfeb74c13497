"""The claims of the book, and what asserts each: read from claims.yml, the chapters' cells and the tests' markers.

python -m book.claims                   print the ledger as text
python -m book.claims --new ID NAME     print what a new claim ID, stated on the page NAME, adds, and where
"""

from __future__ import annotations

import argparse
import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import jupytext
import yaml

ROOT = Path(__file__).resolve().parents[1]
TAG = "asserts-"
STATEMENT = re.compile(r"^`{3,}\{prf:(?!proof)\w+\} *([^\n]*)\n:label: *(\S+)", re.MULTILINE)
TARGET = re.compile(r"^\((\S+)\)=$", re.MULTILINE)
# What a place in the paper may begin with, in the order in which the map of the paper lists them.
PLACES = (
    "abstract", "Section", "Definition", "Eq.", "Assumption", "Lemma", "Proposition", "Theorem", "Corollary", "Table",
    "Figure", "the figure", "Appendix", "answer",
)  # fmt: skip


@dataclass
class Test:
    """A test that carries the marker of a claim."""

    file: str
    name: str
    line: int
    source: str

    @property
    def anchor(self):
        return f"{Path(self.file).stem}-{self.name}".replace("_", "-")


@dataclass
class Claim:
    id: str
    mark: str
    says: str
    title: str = ""  # that of its statement, unless claims.yml has another
    place: str = ""
    known: str = ""
    tolerance: str = ""
    asserted: bool = True
    page: str | None = None  # the chapter that states it
    line: int = 0  # and where in its file
    proof: bool = False
    cells: list[str] = field(default_factory=list)  # the chapters with a cell that asserts it
    tests: list[Test] = field(default_factory=list)


def read(root=ROOT):
    """All claims with their evidence, and the faults: what is promised and not kept, or names no claim."""
    listed = yaml.safe_load((root / "claims.yml").read_text(encoding="utf-8"))
    claims = {name: Claim(id=name, **entry) for name, entry in listed.items()}
    faults = []

    def find(name, place):
        if name not in claims:
            faults.append(f"{place} names the claim {name!r}, which claims.yml does not list")
        return claims.get(name)

    for path in sorted((root / "chapters").glob("*.md")):
        text, page = path.read_text(encoding="utf-8"), f"chapters/{path.stem}"
        for found in STATEMENT.finditer(text):
            if claim := find(found[2], f"the statement in {page}"):
                claim.page, claim.title = page, claim.title or found[1].strip()
                claim.line = text.count("\n", 0, found.start()) + 1
        for target in TARGET.findall(text):
            if target.startswith("proof-") and (claim := find(target.removeprefix("proof-"), f"the proof in {page}")):
                claim.proof = True
        for cell in jupytext.reads(text, fmt="md:myst").cells:
            for tag in cell.metadata.get("tags", []):
                if tag.startswith(TAG) and (claim := find(tag.removeprefix(TAG), f"a cell in {page}")):
                    claim.cells.append(page)
    for test, name in marked(root):
        if claim := find(name, f"{test.file}, {test.name}"):
            claim.tests.append(test)

    for claim in claims.values():
        faults += [f"claim {claim.id}: {fault}" for fault in _unkept(claim)]
    return claims, faults


def in_the_paper(place):
    """A key that sorts places by kind, then by number or letter (Section 3.10 after 3.9); None for an unknown kind."""
    kind = next((i for i, word in enumerate(PLACES) if re.match(rf"{re.escape(word)}(?!\w)", place)), None)
    if kind is None:
        return None
    first = re.match(r"\W*\(?((?:[A-Z]|\d+)(?:\.\d+)*)?(?!\w)", place[len(PLACES[kind]) :]).group(1) or ""
    return kind, [(not part.isdigit(), int(part) if part.isdigit() else ord(part)) for part in first.split(".") if part]


def _unkept(claim):
    """What a claim lacks, by its own words."""
    if claim.place and in_the_paper(claim.place) is None:
        yield f"place must begin with one of {', '.join(PLACES)}; got {claim.place!r}"
    if claim.mark not in ("paper", "derived", "new"):
        yield f"mark must be paper, derived or new; got {claim.mark!r}"
    if not claim.title:
        yield "neither a statement on a page nor claims.yml gives its title"
    if not claim.asserted:
        if claim.page or claim.cells:
            yield f"{claim.page or claim.cells[0]} states or asserts it, but claims.yml has `asserted: false`"
        return
    # The authors' table and the figures have no statement in a box; the cell that asserts them stands for it.
    if claim.page is None and not claim.id.startswith(("table-", "fig-")):
        yield "no page states it"
    if claim.id.startswith(("thm-", "prop-", "lem-", "cor-")) and not claim.proof:
        yield "no proof is marked (proof-ID)="
    if not claim.cells:
        yield "no cell asserts it"
    if not claim.tests:
        yield "no test asserts it"
    if not claim.tolerance:
        yield "no tolerance is given"


def test_files(root=ROOT):
    return sorted((root / "tests").rglob("test_*.py"))


def marked(root=ROOT):
    """Pairs (test, claim) for every @pytest.mark.claim("ID", ...) in the tests."""
    for path in test_files(root):
        file, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.claim":
                    first = min(d.lineno for d in node.decorator_list)
                    source = "\n".join(text.split("\n")[first - 1 : node.end_lineno])
                    for argument in decorator.args:
                        yield Test(file, node.name, first, source), ast.literal_eval(argument)


def snippets(name, page):
    """What a new claim adds, file by file."""
    kind, _, words = name.partition("-")
    kinds = {"thm": "theorem", "prop": "proposition", "cor": "corollary", "lem": "lemma", "def": "definition"}
    if kind not in kinds or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", words):
        raise SystemExit(f"{name!r} must be one of {', '.join(kinds)}, then words joined by -")
    if name in read()[0]:
        raise SystemExit(f"{name!r} is a claim already")
    if not (ROOT / "chapters" / f"{page}.md").exists():
        raise SystemExit(f"there is no chapters/{page}.md")
    text = (ROOT / "book" / "templates" / "claim.md").read_text(encoding="utf-8")
    return Template(text).substitute(ID=name, NAME=page, KIND=kinds[kind], WORDS=words.replace("-", "_"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new", nargs=2, metavar=("ID", "NAME"))
    if new := parser.parse_args().new:
        print(snippets(*new), end="")
        return 0
    claims, faults = read()
    for claim in claims.values():
        state = "asserted" if claim.asserted else "not yet"
        print(f"{state:9} {claim.mark:8} {claim.id:24} {len(claim.cells)} cells, {len(claim.tests)} tests")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The ledger keeps its word: what is said to be asserted is, and what asserts something is said to."""

import ast
import functools
import re
import shutil
from pathlib import Path

import pytest

from book import claims

ROOT = Path(__file__).parents[2]


def test_every_promise_is_kept_and_every_marker_names_a_claim():
    _, faults = claims.read(ROOT)
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


@pytest.fixture(scope="module")
def parsed_once():
    """Of the copies, files that are alike are parsed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims.jupytext, "reads", functools.cache(claims.jupytext.reads))
        patch.setattr(claims.ast, "parse", functools.cache(ast.parse))
        yield


@pytest.fixture
def copy(tmp_path, parsed_once):
    """A copy of all that the ledger reads, to break."""
    shutil.copy(ROOT / "claims.yml", tmp_path)
    for path in [*(ROOT / "chapters").glob("*.md"), *claims.test_files(ROOT)]:
        copied = tmp_path / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)
    return tmp_path


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    "file, old, new, complaint",
    [
        ("chapters/gates_are_weights.md", "asserts-thm-gla-is-wpgd, ", "", "thm-gla-is-wpgd: no cell asserts it"),
        ("chapters/gates_are_weights.md", "asserts-thm-gla", "asserts-thm-gal", "names the claim 'thm-gal-is-wpgd'"),
        ("chapters/gates_are_weights.md", ":label: thm-gla-is-wpgd", "", "thm-gla-is-wpgd: no page states it"),
        ("chapters/gates_are_weights.md", "(proof-thm-gla-is-wpgd)=", "", "thm-gla-is-wpgd: no proof is marked"),
        (
            "claims.yml",
            "  place: Theorem 1\n",
            "  place: Theorem 1\n  asserted: false\n",
            "states or asserts it, but claims.yml has `asserted: false`",
        ),
        ("tests/units/test_model.py", '"thm-gla-is-wpgd", ', "", "thm-gla-is-wpgd: no test asserts it"),
        ("tests/units/test_model.py", '"thm-gla-is-wpgd"', '"theorem-one"', "names the claim 'theorem-one'"),
        (
            "claims.yml",
            "  title: The figure on depth\n",
            "",
            "fig-2: neither .* gives its title",
        ),
        ("claims.yml", "place: Theorem 3", "place: Fact 3", "place must begin with one of abstract, .*; got 'Fact 3'"),
        ("claims.yml", "mark: new", "mark: novel", "mark must be paper, derived or new; got 'novel'"),
        ("claims.yml", "  tolerance: 1e-12 relative, with Theorem 1\n", "", "def-construction: no tolerance is given"),
    ],
)
def test_a_broken_promise_is_found(copy, file, old, new, complaint):
    replace(copy / file, old, new)
    _, faults = claims.read(copy)
    assert any(re.search(complaint, fault) for fault in faults), faults


def test_places_are_in_the_order_of_the_paper():
    """Every kind of place has its turn, and numbers count as numbers."""
    ordered = [
        "abstract", "Section 3", "Section 3.9", "Section 3.10", "Definition 3, Eq. (13)", "Eq. (GLA)",
        "Eq. (9)", "Eq. (15)", "Assumption 3", "Lemma 2", "Proposition 1", "Theorem 2", "Theorem 10",
        "Corollary 2, Eq. (24)", "Table 1", "Figure 1", "the figure with one to three layers", "Appendix", "Appendix A",
        "Appendix B.2", "answer to the second review",
    ]  # fmt: skip
    assert sorted(sorted(ordered, reverse=True), key=claims.in_the_paper) == ordered
    assert claims.in_the_paper("Fact 3") is None and claims.in_the_paper("Tables") is None


def test_what_a_new_claim_adds_is_told_whole(copy):
    """Put where it says, nothing is missing."""
    told = claims.snippets("cor-two-words", "noise")
    assert re.findall(r"^\w+/[\w/]+\.\w+", told, re.MULTILINE) == [
        *["chapters/noise.md"] * 2,
        "tests/claims/test_noise.py",
    ]
    pieces = [
        re.sub("^    ", "", piece, flags=re.MULTILINE) for piece in re.split(r"^\S.*\n", told, flags=re.MULTILINE)
    ]
    entry, stated, tags, test = pieces[1:5]
    for file, piece in (
        ("claims.yml", entry),
        ("chapters/noise.md", f"\n{stated}\n```{{code-cell}}\n{tags}\nx = 1\n```\n"),
        ("tests/claims/test_price_of_mask.py", f"\n\n{test}    pass\n"),
    ):
        with open(copy / file, "a", encoding="utf-8") as out:
            out.write(piece)
    found, faults = claims.read(copy)
    assert faults == [] and found["cor-two-words"].page == "chapters/noise"
    assert found["cor-two-words"].tests[-1].name == "test_two_words"


@pytest.mark.parametrize("name", ["two-words", "cor-", "cor-Two", "cor-two_words"])
def test_a_claim_of_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(SystemExit, match="must be one of thm, prop"):
        claims.snippets(name, "noise")


def test_a_claim_that_is_there_and_a_page_that_is_not_are_refused():
    with pytest.raises(SystemExit, match="'thm-gla-is-wpgd' is a claim already"):
        claims.snippets("thm-gla-is-wpgd", "noise")
    with pytest.raises(SystemExit, match=r"no chapters/noize\.md"):
        claims.snippets("cor-two-words", "noize")

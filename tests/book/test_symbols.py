"""The symbol table, the code and the docstrings say the same."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml

from book import letters, pairs, symbols

ROOT = Path(__file__).parents[2]
TABLE = symbols.read(ROOT)
IN_CODE = {name: symbol for name, symbol in TABLE.items() if symbol.code}


@pytest.mark.parametrize("symbol", IN_CODE.values(), ids=IN_CODE)
def test_every_symbol_is_in_the_code_with_its_shape(symbol):
    owner = symbols.owner_of(symbol)
    doc = " ".join(inspect.getdoc(owner).split())
    name = symbol.code.rpartition(".")[2]
    if name not in (getattr(owner, "__name__", None), getattr(getattr(owner, "fget", None), "__name__", None)):
        if not hasattr(owner, "func"):  # a cached property explains itself
            assert re.search(rf"\b{name}\b", doc), f"{symbol.code}: the docstring does not name it"
    assert symbol.shape in doc, f"{symbol.code}: the docstring does not give the shape {symbol.shape}"


@pytest.mark.parametrize(
    "code, complaint",
    [
        ("wpgd_step.tau", "wpgd_step has no tau"),
        ("tau", "glalib has no tau"),
        ("risk.tau", "glalib.risk has no tau"),
        ("training.fit.tau", "fit has no tau"),
    ],
)
def test_a_symbol_that_is_not_in_the_code_is_found(code, complaint):
    with pytest.raises(LookupError, match=complaint):
        symbols.owner_of(symbols.Symbol("tau", "$x$", code, "nothing"))


@pytest.mark.parametrize(
    "code, anchor",
    [
        ("baselines.ridge.penalty", "glalib.baselines.ridge"),
        ("training.Recipe.lr", "glalib.training.Recipe"),
        ("token_free.token_free_losses.batch", "glalib.token_free.token_free_losses"),
        ("spectra.psd_root", "glalib.spectra.psd_root"),
        ("wpgd_step.omega", "glalib.wpgd_step"),
        ("gla.q", "glalib.gla"),
    ],
)
def test_every_module_may_have_symbols(code, anchor):
    """A module of glalib, or a name that glalib itself exports, as `wpgd_step`."""
    assert symbols.anchor(symbols.Symbol("a", "$a$", code, "a")) == anchor


def words(page):
    """What a reader of the page reads: all but its code, and the captions of its figures."""
    text = page.read_text(encoding="utf-8")
    captions = re.findall(r"^ +caption: (?:'|\|-\s)?(.*?)'?\n(?:---| {0,4}\S)", text, re.MULTILINE | re.DOTALL)
    cells = re.compile(r"^(`{3,})(?:\{code-cell\}|python)\n.*?^\1$", re.MULTILINE | re.DOTALL)
    return "\n\n".join([cells.sub("", text), *captions])


@pytest.mark.parametrize("name", sorted(pairs.chapters(ROOT)))
def test_a_letter_of_the_table_is_brought_in_only_as_what_it_is(name):
    misused = letters.misuses(words(ROOT / "chapters" / f"{name}.md"), TABLE)
    if misused:
        told = "; in symbols.yml it is something else: take another letter, or add to `called` or `made` of its row"
        pytest.fail("\n".join(f"chapters/{name}.md: {misuse}{told}" for misuse in misused), pytrace=False)


def test_so_it_is_where_claims_and_other_pages_speak_of_it():
    for page in sorted((ROOT / "reference").glob("*.md")):
        assert letters.misuses(words(page), TABLE) == [], page.name
    for name, claim in yaml.safe_load((ROOT / "claims.yml").read_text(encoding="utf-8")).items():
        assert letters.misuses(str(claim.get("says", "")), TABLE) == [], name


@pytest.mark.parametrize(
    "text",
    [
        r"Let $q = 2$ be the size of a step.",
        r"Let $v = \sum_i \theta_i u_i$ be their sum.",
        r"For $\Sigma > 0$ this is clear.",
        r"For every $R < 1$ there is a gate.",
        r"With $Q = \frac12$ it is half of that.",
        r"There is a constant $\kappa$ such that it falls.",
        r"Take a vector $\gamma$ of weights.",
        r"Any function $\lambda$ of the gate will do.",
        r"the degree of the polynomial $F$",
        r"with rank $\rho$",
        r"Let $G$ be the polynomial of these roots.",
        r"Let $X$ be a number in $(0, 1)$.",
        r"Let $\psi$ be any angle between them.",
        r"and $\hat K = H^{-1/2} T$ is their coupling",
        r"Write $\mathcal C = \{1, 2\}$ for the pair.",
        r"Put $\Lambda_i = \theta^i$.",
        r"where $N = \lfloor \alpha \rfloor$ and $b$ is one",
        r"Let $B \in (0, 1)$.",
        r"Let $h \in \R^n$.",
        r"Choose $\rho = (1, 2)$.",
        "a\nconstant $M$",
    ],
)
def test_a_letter_of_the_table_with_another_meaning_is_found(text):
    assert len(letters.misuses(text, TABLE)) == 1


@pytest.mark.parametrize(
    "text",
    [
        r"Let $Q = \Sigma_x^{1/2} P\, \Sigma_x^{1/2}$, with $\Sigma_x = C = I$ and $r \ne 0$.",
        r"For $\sigma > 0$ and every $\rho \in (0, 1)$ let $N = M + 1$.",
        r"With $\omega = (1, 0)$ and $\omega_1 > 0$, any matrix $P$ and a vector $q$, some number $h > 0$.",
        r"A constant $c > 9$, a vector $u = v_1$: letters of this page alone, and indices $k \le l$.",
    ],
)
def test_a_letter_with_its_own_meaning_passes(text):
    assert letters.misuses(text, TABLE) == []


def test_every_letter_of_the_table_says_what_it_may_be_called():
    """A row that shares its letter may leave that to the first one."""
    known = set().union(*(symbols.letters(row.symbol) for row in TABLE.values() if row.called))
    for row in TABLE.values():
        assert symbols.letters(row.symbol) - symbols.RUNNING <= known | {r"\risk"}, row.id


def test_the_page_of_the_package_names_what_is_there():
    """The build would stop at a name that has moved, after all pages have run."""
    blocks = re.findall(r"^`{3,}\{api\} (\S+)\n(.*?)^`{3,}$", (ROOT / "reference" / "api.md").read_text(), re.M | re.S)
    named = [(module, name) for module, names in blocks for name in names.split() if not name.startswith(":")]
    assert len(named) > 50
    assert [pair for pair in named if not hasattr(importlib.import_module(pair[0]), pair[1])] == []

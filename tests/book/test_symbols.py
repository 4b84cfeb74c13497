"""The symbol table, the code and the docstrings say the same."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from book import symbols

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


def test_pages_use_symbols_of_the_table():
    used = set()
    for path in sorted((ROOT / "chapters").glob("*.md")):
        for block in re.findall(r"^```\{symbols\}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S):
            used |= set(block.split())
    assert used and used <= set(TABLE), used - set(TABLE)


def test_the_page_of_the_package_names_what_is_there():
    """The build would stop at a name that has moved, after all pages have run."""
    blocks = re.findall(r"^`{3,}\{api\} (\S+)\n(.*?)^`{3,}$", (ROOT / "reference" / "api.md").read_text(), re.M | re.S)
    named = [(module, name) for module, names in blocks for name in names.split() if not name.startswith(":")]
    assert len(named) > 50
    assert [pair for pair in named if not hasattr(importlib.import_module(pair[0]), pair[1])] == []

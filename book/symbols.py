"""The symbol table, read from symbols.yml and resolved in glalib."""

import importlib
import inspect
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Symbol:
    id: str
    symbol: str
    code: str  # empty for what stands in formulas alone
    meaning: str
    shape: str = ""
    place: str = ""
    of: str = ""  # the row whose letter it shares, as P_q that of P
    called: dict = field(default_factory=dict)  # of each letter, what a page may call it where it brings it in
    made: str = ""  # the letters of which it may be made there

    @property
    def shown(self):
        """The name as a reader of code meets it: `dist.n`, `prompts.x`, or an argument's own name."""
        owner, _, name = self.code.rpartition(".")
        return {"PromptDistribution": "dist.", "Prompts": "prompts.", "WPGD": "point."}.get(owner, "") + name


GREEK = re.compile(
    r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|varphi|"
    r"chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|risk)(?![A-Za-z])"
)
MATH = re.compile(r"\$\$(.*?)\$\$|\$([^$]+)\$", re.DOTALL)
WORDS = re.compile(r"\\(?:operatorname|mathrm|text|textrm|mathbf|label|ref|eqref|begin|end)\*?\s*\{[^{}]*\}")
# Running indices and dummies, the same everywhere; E, d and others in \operatorname are words.
RUNNING = set("ijklmte")
CALLIGRAPHIC = re.compile(r"\\mathcal\s*\{?([A-Za-z])\}?")  # letters of their own: $\mathcal C$ is not $C$


def letters(text):
    """The letters of the formulas in a text, without their indices, accents and words: $\\hat P_{ij}$ has P."""
    found = set()
    for display, inline in MATH.findall(text):
        formula = re.sub(r"_(?:\\mathcal *\w|\\\w+|\w|\{[^{}]*\})", " ", WORDS.sub(" ", display or inline))
        found |= {rf"\mathcal {letter}" for letter in CALLIGRAPHIC.findall(formula)}
        formula = CALLIGRAPHIC.sub(" ", formula)
        found |= set(GREEK.findall(formula))
        found |= set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", formula)))
    return found


def anchor(symbol):
    """The name under which the page on the package explains the symbol: that of its owner."""
    owner, name = owner_of(symbol), symbol.code.rpartition(".")[2]
    own_name = getattr(getattr(owner, "func", owner), "__name__", name)
    return "glalib." + (symbol.code if name == own_name else symbol.code.rpartition(".")[0])


def read(root=ROOT):
    listed = yaml.safe_load((root / "symbols.yml").read_text(encoding="utf-8"))
    table = {name: Symbol(id=name, **entry) for name, entry in listed.items()}
    for symbol in table.values():
        if isinstance(symbol.called, str):  # said once for all letters of the row
            symbol.called = dict.fromkeys(letters(symbol.symbol), symbol.called)
    return table


def owner_of(symbol):
    """The object of glalib whose docstring explains the symbol; LookupError if the code has no such name."""
    here = package = importlib.import_module("glalib")
    for part in symbol.code.split("."):
        if here is package and part not in package.__all__ and find_spec(f"glalib.{part}"):
            here = importlib.import_module(f"glalib.{part}")
        elif inspect.ismodule(here):
            if not hasattr(here, part):
                raise LookupError(f"{symbol.code}: {here.__name__} has no {part}")
            here = getattr(here, part)
        elif inspect.isclass(inspect.getattr_static(here, part, None)):
            here = getattr(here, part)
        elif part in (getattr(here, "__dataclass_fields__", ()) or ()):
            return here
        elif hasattr(here, part):
            here = getattr(here, part)
        elif part in inspect.signature(here).parameters or f"self.{part}" in inspect.getsource(here):
            return here
        else:
            raise LookupError(f"{symbol.code}: {here.__name__} has no {part}")
    return here

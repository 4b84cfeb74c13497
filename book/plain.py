"""Plain text of what a page holds, for places that show no formulas: alternative texts, descriptions, lists, search."""

import re
import unicodedata

from docutils import nodes

SIGNS = {
    "le": "≤", "ge": "≥", "ne": "≠", "in": "∈", "times": "×", "cdot": "·", "to": "→", "infty": "∞", "approx": "≈",
    "pm": "±", "sqrt": "√", "sum": "Σ", "odot": "⊙", "top": "ᵀ", "dots": "…", "cdots": "…", "ldots": "…", "subset": "⊂",
    "ones": "1", "varphi": "φ", "varepsilon": "ε", "lVert": "‖", "rVert": "‖", "min": "min", "max": "max", "log": "log",
}  # fmt: skip
RAISED = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
LOWERED = str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋")
# Where a sentence ends: not after an abbreviation, and before what can begin the next one.
END = re.compile(r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")


def command(match):
    """A command of TeX as a sign, a Greek letter or a word, or as nothing where it only says how to set something."""
    name = match[1]
    if name in SIGNS:
        return SIGNS[name] + match[2]
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    greek = {"lambda": "lamda"}.get(name.lower(), name.lower())
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {greek}")
    except KeyError:
        return ""


def formula(tex, macros=None):
    r"""TeX as one would type it in a letter: \omega_{ti} \le 1/2 is ω_ti ≤ 1/2. macros: MathJax's."""
    for name, meaning in (macros or {}).items():
        if isinstance(meaning, str):
            tex = re.sub(rf"\\{name}(?![a-zA-Z])", lambda _, meaning=meaning: meaning, tex)
    tex = re.sub(r"\\[td]?frac\s*(\{[^{}]*\}|\d)\s*(\{[^{}]*\}|\d)", r"\1/\2", tex)
    tex = re.sub(r"\\([a-zA-Z]+)(\s*)", command, tex)
    tex = re.sub(r"\\[,;:! ]", " ", tex).replace("\\", "")
    tex = re.sub(r"\^(?:\{([-+\d]+)\}|(\d))", lambda found: (found[1] or found[2]).translate(RAISED), tex)
    tex = re.sub(r"_(?:\{([-+\d]+)\}|([-+\d]))", lambda found: (found[1] or found[2]).translate(LOWERED), tex)
    tex = re.sub(r"\s*([≤≥≠∈→≈⊂=])\s*", r" \1 ", tex)
    return " ".join(re.sub(r"[{}]", "", tex).split())


def text(node, macros=None):
    """The words of a node; formulas as `formula` has them. What is raw, such as a link, is no word."""
    if isinstance(node, (nodes.math, nodes.math_block)):
        return formula(node.astext(), macros)
    if isinstance(node, nodes.raw):
        return ""
    if isinstance(node, nodes.Text):
        return str(node)
    return "".join(text(child, macros) for child in node.children)


def line(node, macros=None):
    """The words of a node on one line."""
    return " ".join(text(node, macros).split())


def sentence(words):
    """The first sentence of a text."""
    return END.split(words.strip(), maxsplit=1)[0]


def beginning(words, longest):
    """The first sentences of a text, as many as are not longer together; the first in any case."""
    first, *others = END.split(words.strip())
    for other in others:
        if len(first) + 1 + len(other) > longest:
            break
        first += f" {other}"
    return first


def macros_of(config):
    return (config.mathjax3_config or {}).get("tex", {}).get("macros", {})

"""Plain text of what a page holds, for places that show no formulas: alternative texts, descriptions, lists, search."""

import re
import unicodedata

from docutils import nodes

SIGNS = {
    "le": "≤", "ge": "≥", "ne": "≠", "neq": "≠", "in": "∈", "times": "×", "cdot": "·", "to": "→", "mapsto": "↦",
    "infty": "∞", "approx": "≈", "pm": "±", "sqrt": "√", "sum": "Σ", "prod": "Π", "int": "∫", "odot": "⊙", "circ": "∘",
    "top": "ᵀ", "star": "*", "perp": "⊥", "dots": "…", "cdots": "…", "ldots": "…", "subset": "⊂", "subseteq": "⊆",
    "cap": "∩", "sim": "~", "propto": "∝", "ll": "≪", "gg": "≫", "ell": "ℓ", "partial": "∂", "nabla": "∇", "mid": "|",
    "uparrow": "↑", "downarrow": "↓", "ones": "1", "varphi": "φ", "varepsilon": "ε", "lVert": "‖", "rVert": "‖",
    "lvert": "|", "rvert": "|", "langle": "⟨", "rangle": "⟩", "lceil": "⌈", "rceil": "⌉", "lfloor": "⌊", "rfloor": "⌋",
    "quad": " ", "qquad": " ", "mp": "∓", "succeq": "⪰", "preceq": "⪯", "varrho": "ϱ", "varsigma": "ς",
    "limsup": "lim sup", "liminf": "lim inf", "leftarrow": "←", "Pr": "Pr", "tag": "",
    **{name: name for name in ("min", "max", "inf", "sup", "lim", "log", "ln", "exp", "det", "dim")},
    **{name: name for name in ("sin", "cos", "tan", "cot", "coth", "arccos", "sinh", "cosh", "tanh")},
}  # fmt: skip
ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "dot": "\u0307"}
# Commands that say how something is set, and nothing else.
SILENT = {
    "mathrm", "mathbf", "mathbb", "mathcal", "operatorname", "text", "textstyle", "left", "right", "big", "Big",
    "bigl", "bigr", "Bigl", "Bigr",
}  # fmt: skip
# A group in braces, with groups in it that have none.
GROUP = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
PART = rf"(?:{GROUP}|\d|\\[a-zA-Z]+)"
RAISED = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
LOWERED = str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋")
# Where a sentence ends: not after an abbreviation, and before what can begin the next one.
END = re.compile(r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bEq\.)(?<!\bEqs\.)(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")


def command(match):
    """A command of TeX as a sign, a Greek letter or its name, or as nothing where it only says how to set something."""
    name, space = match[1], match[2]
    if name in SIGNS:
        return SIGNS[name] + space
    if name in SILENT:
        return ""
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    greek = {"lambda": "lamda"}.get(name.lower(), name.lower())
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {greek}") + space
    except KeyError:
        return name + space


def whole(part):
    """A part of a formula in parentheses, if it has several terms."""
    part = part.strip().removeprefix("{").removesuffix("}").strip()
    return f"({part})" if re.search(r"[-+ ]", re.sub(r"[_^]\{[^{}]*\}|\\[a-zA-Z]+ ?", "", part)) else part


def formula(tex, macros=None):
    r"""TeX as one would type it in a letter: \omega_{ti} \le 1/2 is ω_ti ≤ 1/2. macros: MathJax's."""
    for name, meaning in (macros or {}).items():
        if isinstance(meaning, str):
            tex = re.sub(rf"\\{name}(?![a-zA-Z])", lambda _, meaning=meaning: meaning, tex)
        else:
            tex = re.sub(rf"\\{name}\s*({GROUP})", lambda m, meaning=meaning: meaning[0].replace("#1", m[1][1:-1]), tex)
    tex = re.sub(r"\\(?:begin|end)\{[a-z*]+\}|(?<!\\)&", " ", tex).replace("\\\\", "; ")
    for name, accent in ACCENTS.items():
        tex = re.sub(rf"\\{name}\s*(?:\{{(\w)\}}|(\w|\\[a-zA-Z]+))", rf"\1\2{accent}", tex)
    tex = re.sub(rf"\\[td]?frac\s*({PART})\s*({PART})", lambda m: f"{whole(m[1])}/{whole(m[2])}", tex)
    tex = re.sub(rf"\\sqrt\s*({GROUP})", lambda m: "√" + whole(m[1]), tex)
    tex = re.sub(r"\\([a-zA-Z]+)(\s*)", command, tex)
    tex = re.sub(r"\\[,;:! ]", " ", tex).replace("\\", "")
    tex = re.sub(r"\^(?:\{([-+\d]+)\}|(\d))", lambda found: (found[1] or found[2]).translate(RAISED), tex)
    tex = re.sub(r"_(?:\{([-+\d]+)\}|([-+\d]))", lambda found: (found[1] or found[2]).translate(LOWERED), tex)
    tex = re.sub(r"‖ ([^‖]*) ‖", r"‖\1‖", tex)
    tex = re.sub(r"\^?ᵀ", "ᵀ", re.sub(r"\s*([≤≥≠∈→≈⊂=])\s*", r" \1 ", tex))
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

"""What a page says where it brings in a letter: "let $q$ be", "a constant $c$", "for $h > 0$", "with $Q = ...$".

A letter of the symbol table may be brought in again, for a reader who begins here, but only as what it is: a vector is
not called a constant, set to a number or compared with one, and is made of what the table makes it of. That is as much
of a meaning as the words and formulas of a page can show.
"""

import re

from book.symbols import RUNNING, letters

WORD = r"let|put|write|set|call|define|where|with|and|for|every|any|some|take|choose|fix|given|an?"
NOUN = {  # as it stands before a letter, to the word of the table
    rf"{noun}{plural}": noun
    for noun in "constant number integer vector function polynomial map angle exponent variable rank cone".split()
    for plural in ("", "s")
} | {"matrix": "matrix", "matrices": "matrix"}
BROUGHT_IN = re.compile(rf"\b({WORD}|{'|'.join(NOUN)})\s+\$([^$]+)\$(?!\$)(?=([^$.;]{{0,40}}))", re.IGNORECASE)
# An accent, the letter, its indices, and what is said of it.
HEAD = re.compile(
    r"(?:\\(?:hat|bar|tilde)\s*\{?)?(\\mathcal\s*\w|\\[A-Za-z]+|[A-Za-z])\}?"
    r"((?:\s*[_^](?:\{[^{}]*\}|\\\w+|\w)|')*)\s*(=|:=|>|<|\\geq?\b|\\leq?\b|\\in\b|$)(.*)",
    re.DOTALL,
)
NUMBER = re.compile(r"[-+]?(?:\d|\\[td]?frac|\\sqrt|\\infty|\\pi\b)")
LISTED = re.compile(r"(?:\\\{|[\[(])\s*-?\d[\d.\s]*,")  # a vector by its entries, or a set
BE_A = re.compile(rf"\s*be (?:an?|the|any|some|one) (?:[a-z-]+ )?({'|'.join(NOUN)})\b")


def compared_or_set(called, indices, sign, right, made):
    """Why a letter that is `called` so cannot be `sign` to `right`; "" if it can."""
    entry = "_" in indices or "'" in indices  # of a vector, or a slope: a number
    right = re.sub(r"\\[,;! ]", "", right).strip()
    of = letters(f"${right}$") - RUNNING
    number = NUMBER.match(right) and not of and r"\ones" not in right
    if sign in ("=", ":="):
        if number and right not in ("0", "1") and "number" not in called and not entry:  # these two: in one dimension
            return "is set to a number"
        if LISTED.match(right) and "vector" not in called:
            return "is set to a list of numbers"
        if of - {"I"} and not of & made:
            return f"is made of {' '.join(sorted(of))}"
    elif sign == r"\in":
        if not (entry or "number" in called) and re.match(r"[\[(]|\\R(?!\^)", right):
            return "is taken from an interval"
        if re.match(r"\\R\^", right) and not {"vector", "matrix"} & called:
            return "is taken from a space of vectors"
    elif sign and "number" not in called and not entry:
        return "is compared in size"
    return ""


def misuses(text, table):
    """Where a text brings in a letter of the table as something else than it is: one line each."""
    kinds = {}
    for symbol in table.values():
        for letter in letters(symbol.symbol) - RUNNING:
            called, made = kinds.setdefault(letter, (set(), {letter}))
            called |= set(symbol.called.get(letter, "").split())
            made |= letters(f"${symbol.made}$")
    found = []
    for word, formula, after in BROUGHT_IN.findall(text):
        head = HEAD.match(formula.strip())
        letter = head and re.sub(r"\\mathcal\s*", r"\\mathcal ", head[1])
        called, made = kinds.get(letter, (set(), set()))
        if not called:
            continue  # not of the table, or a running index
        noun = NOUN.get(word.lower()) or (NOUN.get(be[1]) if (be := BE_A.match(after)) and not head[4] else None)
        why = compared_or_set(called, *head.groups()[1:], made)
        if noun and noun not in called:
            why = f"is called a {noun}"
        if why:
            found.append(f"{word} ${' '.join(formula.split())}$: {letter} {why}")
    return found

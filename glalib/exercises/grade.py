"""`check`: the exercises of the book grade an answer, and say what is wrong with it.

What is right, and what the usual slips lead to, stands in `answers`, a file a page, which `python -m book.answers`
computes from the pages. `verdicts` says what is wrong with one.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
import numbers
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _check
from .verdicts import WORDS, Answer, choose, count, judge

# Commas part thousands where there are several, or a point after them; else one is a decimal comma.
GROUPS = r"[1-9]\d{0,2}(?:(?:,\d{3}){2,}|(?:,\d{3})+[.]\d*)"
NUMBER = rf"[+-]?(?:{GROUPS}|\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?"
READABLE = re.compile(rf"({NUMBER})(?:/({NUMBER}))?(%?)", re.ASCII)
# 1,000 is a thousand to some and one to others: it is not read, but asked about.
UNSURE = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
SEPARATORS = r"\s*;\s*", r"\s*,\s+|\s+", r"\s*[,;]\s*|\s+"


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `check` says of an answer: whether it is right, and a sentence. It shows itself as that sentence."""

    name: str
    right: bool
    says: str

    def __repr__(self) -> str:
        return self.says


def check(name: str, answer: Any = ...) -> Verdict:
    """Whether that is the answer of the exercise of this name, such as "ex-ten-read", and if it is not, why.

    answer: a number, a sequence of numbers, a function, or the letter of a choice, as the exercise asks; numbers may
    be texts such as "4/7" or "57%".
    """
    asked = _asked(_check.instance("name", name, str, "the name of an exercise, a str"))
    if answer is ... or (isinstance(answer, str) and not answer.strip()):
        return Verdict(name, False, WORDS["blank"])
    if asked["kind"] == "choice":
        return Verdict(name, *choose(asked, answer))
    given = _given(asked, answer)
    return Verdict(name, False, given) if isinstance(given, str) else Verdict(name, *judge(asked, given))


def read(text: str) -> float | None:
    """The number that a text says, or None: 0.57, 0,57, 57%, 4/7, 1e-3, 1,000.5."""
    found = READABLE.fullmatch(_plain(text))
    if found is None or any(UNSURE.fullmatch(part or "") for part in found.groups()[:2]):
        return None
    above, below = (_number(part or "1") for part in found.groups()[:2])
    return None if below == 0 else above / below / (100 if found[3] else 1)


def read_all(text: str, count: int) -> list[float] | None:
    """The numbers of a text, of which `count` are looked for; None if it cannot be read."""
    text, found = _bare(text), None
    for separator in SEPARATORS:
        parts = [read(part) for part in re.split(separator, text)]
        numbers_read = [part for part in parts if part is not None]
        if len(numbers_read) == len(parts):
            if len(parts) == count:
                return numbers_read
            found = numbers_read
    return found


def unsure(text: str, count: int) -> str:
    """What to say of the first number that may be thousands or decimals. 1,250 alone may be two that are asked for."""
    parts = re.split(SEPARATORS[0 if ";" in text else 1], _bare(text))
    found = [each for part in parts for each in re.split("[/%]", _plain(part)) if UNSURE.fullmatch(each)]
    if not found or (len(parts) == 1 and count > 1):
        return ""
    words = {"thousands": found[0].replace(",", ""), "decimal": found[0].replace(",", ".")}
    return str(WORDS["unsure"].format(part=found[0], **words))


def _number(part: str) -> float:
    grouped = "." in part or part.count(",") > 1
    return float(part.replace(",", "" if grouped else "."))


def _joined(text: str) -> str:
    """Without the spaces around a stroke and before a percent sign; with one for several."""
    return re.sub(r" ?(/) ?| (%)", r"\1\2", re.sub(r"\s+", " ", text.strip()))


def _bare(text: str) -> str:
    """Without the brackets around it."""
    return _joined(re.sub(r"^[(\[]|[)\]]$", "", text.strip()))


def _plain(text: str) -> str:
    return _joined(text).lower().replace("−", "-")


@functools.cache
def answers() -> dict[str, Answer]:
    """All that is known of answers: the name of an exercise to what it asks for."""
    found: dict[str, Answer] = {}
    for path in sorted((Path(__file__).parent / "answers").glob("*.json")):
        found |= json.loads(path.read_text(encoding="utf-8"))
    return found


def _asked(name: str) -> Answer:
    known = answers()
    if name not in known:
        near = difflib.get_close_matches(name, known, cutoff=0.4) or sorted(known)[:3]
        expected = "the name of an exercise that can be checked, such as " + ", ".join(map(repr, near))
        raise _check.fail("name", expected, _check.short(name))
    return known[name]


def _given(asked: Answer, answer: Any) -> list[float] | str:
    """The numbers that were given, or what is wrong with them."""
    formula = asked["kind"] == "formula"
    if isinstance(answer, str):
        wanted = 1 if formula else len(asked["value"])
        if which := unsure(answer, wanted):
            return which
        found = read_all(answer, wanted)
        return str(WORDS["unreadable"]) if found is None or (formula and len(found) > 1) else found
    if callable(answer) and formula:
        return _evaluated(asked, answer)
    answer = getattr(answer, "tolist", lambda: answer)()
    entries: list[Any] = list(answer) if isinstance(answer, (list, tuple)) else [answer]
    if len(entries) == 1 and isinstance(entries[0], (list, tuple)):  # a matrix of one row
        entries = list(entries[0])
    entries = [entry.item() if getattr(entry, "ndim", None) == 0 else entry for entry in entries]
    strange = [e for e in entries if isinstance(e, bool) or not isinstance(e, numbers.Real)]
    if strange or not entries or (formula and len(entries) > 1):
        answer = strange[0] if strange else answer
        return str(WORDS["not_numbers"].format(wanted=_wanted(asked), got=_named(answer)))
    return [_float(entry) for entry in entries]


def _evaluated(asked: Answer, function: Callable[..., Any]) -> list[float] | str:
    found = []
    for at, values in zip(asked["settings"], asked["at"], strict=True):
        try:
            found.append(_float(function(*values)))
        except Exception as error:
            return str(WORDS["raised"].format(at=at, error=f"{type(error).__name__}: {error}"))
    return found


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _named(value: object) -> str:
    return "nothing" if value in ([], ()) else f"a {type(value).__name__}"


def _wanted(asked: Answer) -> str:
    if asked["kind"] == "formula":
        return str(WORDS["function"].format(names=", ".join(asked["names"]), at=asked["settings"][0]))
    return count(len(asked["value"]))

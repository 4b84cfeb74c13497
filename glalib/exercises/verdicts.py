"""What is said of an answer to an exercise: right, or what is wrong with it, from the numbers that `grade` read.

`assets/live/exercises.js` judges by the same rules, in the same order and with the same words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import _check

Answer = dict[str, Any]

WORDS: dict[str, Any] = {
    "right": "Right.",
    "not_yet": "Not yet. ",
    "blank": "Write your answer first.",
    "unreadable": "That is no number that can be read here: write 0.57, 4/7, 57% or 1e-3.",
    "unsure": "{part} may be {thousands} or {decimal}. Write which.",
    "not_numbers": "The answer is asked for as {wanted}; this is {got}.",
    "one": "one number",
    "several": "{n} numbers",
    "function": "a function of {names}, or its value at {at}",
    "choice": "one of the letters {letters}",
    "count": "The answer has {wanted}; this has {got}.",
    "nan": "That is not a number (NaN). Is there a division of zero by zero on the way?",
    "infinite": "That is infinite. Is there a division by zero on the way?",
    "raised": "At {at} your function raised {error}.",
    "sign": "The size is right, the sign is not.",
    "factors": [
        [2.0, "That is twice what it should be."],
        [0.5, "That is half of what it should be."],
        [100.0, "That is a hundred times what it should be: a percentage, where a fraction is asked for?"],
        [0.01, "That is a hundredth of what it should be: a fraction, where per cent are asked for?"],
        [10.0, "That is ten times what it should be."],
        [0.1, "That is a tenth of what it should be."],
        [1000.0, "That is a thousand times what it should be."],
        [0.001, "That is a thousandth of what it should be. (A comma is read as a decimal point.)"],
        [4.0, "That is four times what it should be."],
        [0.25, "That is a quarter of what it should be."],
        [3.0, "That is three times what it should be."],
        [1 / 3, "That is a third of what it should be."],
    ],
    "reversed": "The right numbers, in reverse order.",
    "order": "The right numbers, in another order.",
    "square": "That is the square of what it should be.",
    "root": "That is the square root of what it should be.",
    "rest": "That is what is missing to one: one minus the answer.",
    "inverse": "That is one over the answer.",
    "rounded": "Rounded too far: the answer is asked for to within {within}.",
    "close": "Close, but the answer is asked for to within {within}.",
    "entry": "Entry {i} is not right yet.",
    "entries": "No entry is right yet.",
    "setting": "Right at {right}, but not at {wrong}.",
    "settings": "It is wrong already at {wrong}.",
    "positive": "The answer is positive.",
    "negative": "The answer is negative.",
    "far_above": "That is more than ten times too large.",
    "far_below": "That is more than ten times too small.",
    "above": "That is too large.",
    "below": "That is too small.",
    "no": "That is not it.",
}


def judge(asked: Answer, given: list[float]) -> tuple[bool, str]:
    """Right or not, and what to say, of numbers: one, several, or a function's values at the settings that it has."""
    wanted = asked["value"]
    if asked["kind"] == "formula" and len(given) == 1:  # its value at the first setting
        asked = {**asked, "value": wanted[:1], "wrong": [_first(wrong) for wrong in asked["wrong"]]}
        wanted = wanted[:1]
    if len(given) != len(wanted):
        return False, WORDS["count"].format(wanted=count(len(wanted)), got=count(len(given)))
    for word, bad in (("nan", math.isnan), ("infinite", math.isinf)):
        if any(map(bad, given)):
            return False, WORDS[word]
    if all(_near(asked, g, w) for g, w in zip(given, wanted, strict=True)):
        return True, f"{WORDS['right']} {asked.get('then', '')}".strip()
    says = _listed(asked, given) or _slip(asked, given) or _coarse(asked, given) or _where(asked, given)
    return False, WORDS["not_yet"] + says


def choose(asked: Answer, given: Any) -> tuple[bool, str]:
    """The same of a choice, by its letter or its words."""
    choices = asked["choices"]
    letters = [chr(ord("a") + i) for i in range(len(choices))]
    known = {letter: choice for letter, choice in zip(letters, choices, strict=True)}
    known |= {choice["text"].lower(): choice for choice in choices}
    chosen = known.get(given.strip().lower()) if isinstance(given, str) else None
    if chosen is None:
        wanted = WORDS["choice"].format(letters=", ".join(letters))
        return False, WORDS["not_numbers"].format(wanted=wanted, got=_check.short(given))
    if "says" in chosen:
        return False, WORDS["not_yet"] + chosen["says"]
    return True, f"{WORDS['right']} {asked.get('then', '')}".strip()


def count(n: int) -> str:
    """In words."""
    return str(WORDS["one"] if n == 1 else WORDS["several"].format(n=n))


def _first(wrong: Answer) -> Answer:
    return {**wrong, "value": wrong["value"][:1]} if "value" in wrong else wrong


def _near(asked: Answer, given: float, wanted: float, most: float = math.inf) -> bool:
    """Within the tolerance of the answer, and within `most` of the size of what is wanted."""
    within = asked["within"] * (abs(wanted) if asked["relative"] else 1)
    allowed = within * (1 + 1e-9)
    return bool(abs(given - wanted) <= (allowed if most == math.inf else min(allowed, most * abs(wanted))))


def _listed(asked: Answer, given: list[float]) -> str:
    """What the page says of this wrong answer, if it knows it."""
    for wrong in asked["wrong"]:
        if "value" in wrong and all(_near(asked, g, w) for g, w in zip(given, wrong["value"], strict=True)):
            return str(wrong["says"])
        if any(g > wrong.get("above", math.inf) or g < wrong.get("below", -math.inf) for g in given):
            return str(wrong["says"])
    return ""


def _slip(asked: Answer, given: list[float]) -> str:
    """What such numbers have in common with the right ones: sign, factor, order, and the like."""
    wanted = asked["value"]

    def like(other: Callable[[float], float], most: float = 0.01) -> bool:
        return all(_near(asked, g, other(w), most) for g, w in zip(given, wanted, strict=True))

    if not any(wanted):
        return ""
    if like(lambda w: -w, 0.1):
        return str(WORDS["sign"])
    for factor, says in WORDS["factors"]:
        if like(lambda w, factor=factor: factor * w, 0.1):  # type: ignore[misc]
            return str(says)
    if asked["kind"] == "numbers":
        for word, order in (("reversed", given[::-1]), ("order", sorted(given))):
            target = wanted if word == "reversed" else sorted(wanted)
            if all(_near(asked, g, w) for g, w in zip(order, target, strict=True)):
                return str(WORDS[word])
    others: dict[str, Callable[[float], float]] = {
        "square": lambda w: w * w,
        "root": lambda w: math.sqrt(abs(w)),
        "rest": lambda w: 1 - w,
        "inverse": lambda w: 1 / w if w else math.nan,
    }
    return next((str(WORDS[word]) for word, other in others.items() if like(other)), "")


def _coarse(asked: Answer, given: list[float]) -> str:
    """Whether these are the right numbers with too few digits, or nearly right."""
    for digits in (1, 2, 3):
        if all(_is_rounded(g, w, digits) for g, w in zip(given, asked["value"], strict=True)):
            return str(WORDS["rounded"].format(within=asked["to"]))
    wider = {**asked, "within": 5 * asked["within"]}
    if all(_near(wider, g, w, 0.1) for g, w in zip(given, asked["value"], strict=True)):
        return str(WORDS["close"].format(within=asked["to"]))
    return ""


def _is_rounded(given: float, wanted: float, digits: int) -> bool:
    if not wanted:
        return given == 0
    unit: float = 10.0 ** (math.floor(math.log10(abs(wanted))) - digits + 1)
    return abs(given - wanted) <= 0.5000001 * unit and abs(given / unit - round(given / unit)) < 1e-6


def _where(asked: Answer, given: list[float]) -> str:
    """Which entry or setting is wrong, or on which side a number is."""
    good = [_near(asked, g, w) for g, w in zip(given, asked["value"], strict=True)]
    if asked["kind"] == "numbers":
        return str(WORDS["entry"].format(i=good.index(False) + 1) if any(good) else WORDS["entries"])
    if len(given) > 1:
        at = asked["settings"]
        where = {word: at[good.index(state)] for word, state in (("right", True), ("wrong", False)) if state in good}
        return str(WORDS["setting" if "right" in where else "settings"].format(**where))
    (g,), w = given, asked["value"][0]
    if w == 0:
        return str(WORDS["no"])
    if g * w < 0:
        return str(WORDS["positive" if w > 0 else "negative"])
    far = "far_" if w > 0 and not w <= 10 * g <= 100 * w else ""
    return str(WORDS[far + ("above" if g > w else "below")])

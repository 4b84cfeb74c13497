"""`check` grades an answer, and says what is wrong with it."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from glalib.exercises import check, grade
from glalib.exercises.grade import read, read_all
from glalib.exercises.verdicts import WORDS

COMMON = {"asks": "?", "minutes": 1, "level": 1, "within": 0.01, "relative": True, "to": "1%", "wrong": []}
ASKED = {
    "ex-one": COMMON
    | {
        "kind": "number",
        "value": [0.566],
        "wrong": [{"value": [0.32], "says": "That is the squared length."}, {"above": 3.0, "says": "Longer than all."}],
        "then": "So it is.",
    },
    "ex-one-coarse": COMMON | {"kind": "number", "value": [0.566], "within": 0.2, "relative": False, "to": "0.2"},
    "ex-zero": COMMON | {"kind": "number", "value": [0.0], "within": 0.01, "relative": False, "to": "0.01"},
    "ex-several": COMMON
    | {"kind": "numbers", "value": [0.25, 0.5, 1.0], "wrong": [{"value": [0.5, 0.5, 1.0], "says": "Its own gate."}]},
    "ex-formula": COMMON
    | {
        "kind": "formula",
        "value": [5.0, 8.0, 5.0],
        "names": ["n", "d"],
        "at": [[2, 1], [2, 2], [1, 2]],
        "settings": ["n = 2, d = 1", "n = 2, d = 2", "n = 1, d = 2"],
        "wrong": [{"value": [4.0, 8.0, 4.0], "says": "A square is missing."}],
    },
    "ex-choice": {"asks": "?", "minutes": 1, "level": 1, "kind": "choice"}
    | {"choices": [{"text": "The first"}, {"text": "the second", "says": "It acts on what is there."}]},
}


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    monkeypatch.setattr(grade, "answers", lambda: ASKED)


@pytest.mark.parametrize(
    "given",
    [0.566, 0.57, "0.566", "0,566", " 56.6% ", "566/1000", ".566", "5.66e-1", "5.66E-1", Fraction(566, 1000), [0.566],
     np.float32(0.566), np.array(0.566), np.array([0.566]), np.array([[0.566]]), [np.array(0.566)],
     torch.tensor(0.566, requires_grad=True)],
)  # fmt: skip
def test_a_right_number_in_any_dress_passes(given):
    verdict = check("ex-one", given)
    assert verdict.right is True and repr(verdict) == verdict.says == "Right. So it is." and verdict.name == "ex-one"


@pytest.mark.parametrize(
    "name, given, says",
    [
        ("ex-one", 0.32, "That is the squared length."),
        ("ex-one", 3.5, "Longer than all."),
        ("ex-one", -0.566, WORDS["sign"]),
        ("ex-one", 2 * 0.566, "twice"),
        ("ex-one", 0.566 / 2, "half"),
        ("ex-one", "0.566%", "hundredth"),
        ("ex-one-coarse", 56.6, "hundred times"),
        ("ex-one", 0.566**0.5, WORDS["root"]),
        ("ex-one", 1 - 0.566, WORDS["rest"]),
        ("ex-one", 1 / 0.566, WORDS["inverse"]),
        ("ex-one", 0.6, "Rounded too far: the answer is asked for to within 1%."),
        ("ex-one", 0.58, "Close, but the answer is asked for to within 1%."),
        ("ex-one", 0.05, WORDS["far_below"]),
        ("ex-one", 0.2, WORDS["below"]),
        ("ex-one", 0.9, WORDS["above"]),
        ("ex-one-coarse", 5.9, WORDS["far_above"]),
        ("ex-one", -0.4, WORDS["positive"]),
        ("ex-zero", 0.5, WORDS["no"]),
        ("ex-several", (0.5, 0.5, 1), "Its own gate."),
        ("ex-several", (1, 0.5, 0.25), WORDS["reversed"]),
        ("ex-several", (0.5, 0.25, 1), WORDS["order"]),
        ("ex-several", np.array([0.5, 1, 2]), "twice"),
        ("ex-several", "1/4; 1/3; 1", "Entry 2"),
        ("ex-several", "9 9 9", WORDS["entries"]),
        ("ex-formula", lambda n, d: 2 * n * d, "A square is missing."),
        ("ex-formula", lambda n, d: 2 * (n * n + d * d), "twice"),
        ("ex-formula", lambda n, d: n * n + d, "Right at n = 2, d = 1, but not at n = 2, d = 2."),
        ("ex-formula", lambda n, d: 77, "It is wrong already at n = 2, d = 1."),
        ("ex-formula", 4, "A square is missing."),
        ("ex-formula", "10", "twice"),
        ("ex-choice", "b", "It acts on what is there."),
        ("ex-choice", "The Second", "It acts on what is there."),
    ],
)
def test_a_wrong_answer_is_told_why(name, given, says):
    verdict = check(name, given)
    assert not verdict.right and verdict.says.startswith("Not yet. ") and says in verdict.says, verdict


@pytest.mark.parametrize(
    "name, given, says",
    [
        ("ex-one", ..., WORDS["blank"]),
        ("ex-one", " ", WORDS["blank"]),
        ("ex-one", "about half", WORDS["unreadable"]),
        ("ex-one", "1/0", WORDS["unreadable"]),
        ("ex-one", float("nan"), WORDS["nan"]),
        ("ex-one", torch.tensor(float("inf")), WORDS["infinite"]),
        ("ex-one", 10**400, WORDS["infinite"]),
        ("ex-one", True, "The answer is asked for as one number; this is a bool."),
        ("ex-one", 1j, "this is a complex."),
        ("ex-one", None, "this is a NoneType."),
        ("ex-one", [], "this is nothing."),
        ("ex-one", {"a": 1}, "this is a dict."),
        ("ex-one", lambda: 1, "this is a function."),
        ("ex-one", (1, 2), "The answer has one number; this has 2 numbers."),
        ("ex-several", 0.25, "The answer has 3 numbers; this has one number."),
        ("ex-several", np.eye(3), "asked for as 3 numbers; this is a list."),
        ("ex-several", (0.25, float("nan"), 1), WORDS["nan"]),
        ("ex-formula", (1, 2), "a function of n, d, or its value at n = 2, d = 1"),
        ("ex-formula", lambda n: n, "At n = 2, d = 1 your function raised TypeError"),
        ("ex-formula", lambda n, d: 1 / (2 - d), "At n = 2, d = 2 your function raised ZeroDivisionError"),
        ("ex-formula", lambda n, d: float("nan"), WORDS["nan"]),
        ("ex-choice", "c", "one of the letters a, b; this is 'c'."),
        ("ex-choice", 1, "one of the letters a, b; this is 1."),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_named(name, given, says):
    verdict = check(name, given)
    assert not verdict.right and says in verdict.says, verdict


@pytest.mark.parametrize(
    "name, given",
    [("ex-several", "(0.25, 0.5, 1)"), ("ex-several", "1/4 1/2 1"), ("ex-several", "25%;50%;100%"),
     ("ex-several", "0,25 0,5 1"), ("ex-several", "0.25,0.5,1"), ("ex-several", torch.tensor([0.25, 0.5, 1])),
     ("ex-formula", lambda n, d: n * n + d * d), ("ex-formula", lambda n, d: torch.tensor(n * n + d * d)),
     ("ex-formula", 5), ("ex-formula", "10/2"), ("ex-choice", " A "), ("ex-choice", "the first"), ("ex-zero", 0)],
)  # fmt: skip
def test_several_numbers_formulas_and_choices_pass(name, given):
    assert check(name, given).right, check(name, given)


def test_right_and_wrong_are_parted_by_the_tolerance():
    for relative, scale in ((True, 0.566), (False, 1.0)):
        asked = ASKED["ex-one"] | {"relative": relative, "wrong": []}
        for side in (-1, 1):
            assert grade.judge(asked, [0.566 + side * 0.0099 * scale])[0]
            assert not grade.judge(asked, [0.566 + side * 0.0101 * scale])[0]


def test_numbers_are_read():
    assert read("1,000") is None and read("0,125") == 0.125 and read("1,000,000") == 1e6 and read("1,000.5") == 1000.5
    assert read("−3/4") == -0.75 and read("+.5") == 0.5 and read("1,5e-1") == 0.15 and read("3 / 4") == 0.75
    assert read("50 %") == 0.5 and read_all("[50 %, 1 / 4]", 2) == [0.5, 0.25]
    for text in ("", "1e", "1/2/3", "nan", "inf", "0x1", "1_000", "٣", "--1", "sqrt 2"):
        assert read(text) is None, text
    assert read_all("1, 2", 3) == [1, 2] and read_all("1,2", 2) == [1, 2] and read_all("1,2", 1) == [1.2]
    assert read_all("1, two", 2) is None


def test_an_unknown_name_lists_those_that_are_near():
    with pytest.raises(ValueError, match=r"name must be .* such as 'ex-one', .*; got 'ex-onee'"):
        check("ex-onee", 1)
    with pytest.raises(ValueError, match="name must be"):
        check("", 1)
    with pytest.raises(TypeError, match=r"name must be the name of an exercise, a str; got int"):
        check(1, 1)


def test_the_book_s_own_answers_are_there(monkeypatch):
    monkeypatch.undo()
    assert check("ex-ten-read", (0.25, 0.5, 0.5, 1, 1)).right
    assert "its own gate" in check("ex-ten-read", (0.25, 0.25, 0.5, 0.5, 1)).says

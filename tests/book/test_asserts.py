"""An assertion that fails prints what it saw, means what it meant, and its margin can be listed."""

import ast
import json
import math

import numpy as np
import pytest
import torch

from book import asserts, margins
from book.recorder import Recorder


def run(source, log=None, **names):
    tree = ast.fix_missing_locations(asserts.Explain("here").visit(ast.parse(source)))
    exec(
        compile(tree, "here", "exec"),
        names | {asserts.NAME: Recorder(log), "np": np, "math": math, "torch": torch},
    )


@pytest.mark.parametrize(
    "source, saw",
    [
        ("x = 3.25\nassert x < 2", "saw x < 2, where x = 3.25"),
        ("x = 3\nassert x == 2, 'no two'", "no two | saw x == 2, where x = 3"),
        ("a, b = 1.0, 0.5\nassert a < 2 and a < b", "saw a < b, where a = 1, b = 0.5"),
        ("assert all(x < 3 for x in range(9))", "saw x < 3, where x = 3"),
        ("x = np.array([1.0, 7.0, 8.0])\nassert (x < 2).all()", "x = 7 at (1,) of shape (3,), one of 2"),
        ("x = np.array([1.0, 7.0])\nassert np.all(x < 2)", "x = 7 at (1,) of shape (2,), one of 1"),
        (
            "x = np.ones(2)\nassert np.allclose(x, 1.5 * x, rtol=1e-3)",
            "a largest difference of 0.5, tolerance 0.0015 there",
        ),
        ("assert math.isclose(1.0, 1.1)", "a largest difference of 0.1"),
        ("x = torch.ones(2)\nassert (x > 1).all()", "x = 1 at (0,) of shape (2,), one of 2"),
        ("assert 0 < 5 < 3", "saw 5 < 3, where both are constants"),
        ("x = 4\nassert 0 < x < 3", "saw x < 3, where x = 4"),
        ("x = ''\nassert x", "it is false"),
        ("x = 1\nassert not x < 2", "it is false"),
    ],
)
def test_a_failure_shows_what_was_compared(source, saw):
    with pytest.raises(AssertionError) as caught:
        run(source)
    assert saw in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "x = None\nassert x is None or x < 3",
        "x = []\nassert not (x and x[0] < 1)",
        "assert 1 < 2 <= 2 != 3",
        "assert (lambda: 1 < 2)()",
        "assert all(a < b for a, b in [(1, 2), (2, 3)] if a < 2)",
        "assert any(x > 2 for x in range(4))",
        "x = {1, 2}\nassert 1 in x and x >= {1}",
        "def f(y):\n    assert y < 2\n    return y\nassert f(1) == 1",
        "assert 'a' < 'b'",
        "assert (np.zeros((0, 2)) < 1).all()",
        "assert 1 < 2 if True else 2 < 1",
        "assert not 3 < 2 < 1 / 0",
    ],
)
def test_what_holds_still_holds(source):
    run(source)


@pytest.mark.parametrize(
    "source",
    [
        "worst = 0.0\nfor x in (1e-9, math.nan, 1e-8):\n    worst = max(worst, x)\nassert worst < 1",
        "assert max(abs(x) for x in (0.5, np.float64(np.nan))) < 1",
        "def least(found):\n    return min(found, key=lambda x: -x)\nassert least([0.5, math.nan, 0.1]) < 1",
        "assert all(max(0.0, *row) < 1 for row in ((0.5,), (0.2, math.nan)))",
    ],
)
def test_no_nan_slips_through_an_extreme(source):
    """Python's own max and min lose it, so that the plain assertions hold."""
    exec(source, {"np": np, "math": math})
    with pytest.raises(AssertionError, match="nan"):
        run(source)


def test_extremes_are_what_they_were():
    run("assert max([], default=3) == 3 and min('ab', 'b', key=len) == 'b' and max(x for x in (1, 4, 2)) == 4")


def test_margins_are_listed(tmp_path):
    log = tmp_path / "margins.jsonl"
    source = """
tight, loose, moving = 9e-13, 1e-14, 0.5
assert tight < 1e-12
assert loose < 1e-12
assert 0.99 < 1.0
assert np.allclose(1.0, 1.0 + 5e-6)
for x in (1e-3, 8e-3):
    assert x < 1e-2
"""
    run(source, log=log)
    lines = list(margins.report([log]))
    assert [line.split(":")[1].split()[0] for line in lines] == ["3", "5", "6", "8"]
    assert "0.008 against 0.01, 80% used" in lines[-1]
    other = tmp_path / "other.jsonl"
    run("x = 2e-13\n\nassert x < 1e-12", log=log)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records[-1]["where"] == "here:3" and records[-1]["used"] == pytest.approx(0.2)
    run("x = 1e-14\n\nassert x < 1e-12", log=other)
    assert any(line.startswith("here:3  x < 1e-12") and "from 1%" in line for line in margins.report([log, other]))

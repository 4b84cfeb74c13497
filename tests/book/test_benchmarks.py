"""The benchmarks run, and what they compare agrees. No time is judged here, and no ratio."""

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from runs import one_thread

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("speed", ROOT / "benchmarks" / "speed.py")
speed = importlib.util.module_from_spec(spec)
spec.loader.exec_module(speed)

ABOUT_A_RATIO = {"ratio", "ratio_min", "ratio_max", "target", "above_seconds", "below_seconds"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A quick run of the parts that compare forms, in a process of its own; it fails where two forms differ."""
    file = tmp_path_factory.mktemp("speed") / "speed.json"
    parts = ["forward_backward", "delta", "sampling", "floors"]
    command = [sys.executable, "benchmarks/speed.py", "--quick", "--only", *parts, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert "[4/4] floors" in done.stderr
    return json.loads(file.read_text(encoding="utf-8"))


def test_the_file_says_where_and_when_it_was_made(quick):
    assert quick["quick"] is True and quick["date"].endswith("UTC")
    assert {"cpu", "cores", "threads", "torch", "numpy", "python", "glalib", "code"} <= set(quick["machine"])
    assert quick["machine"]["threads"] == 1
    assert {"load_before", "load_after"} <= set(quick)


def test_every_form_is_compared(quick):
    rows = quick["forward_backward"]
    compared = {(row["form"], row["gate"], row["against"]) for row in rows}
    forms = [("tokens", "loop"), ("tokens", "lean_loop"), ("readout", "loop"), ("readout", "lean_loop")]
    assert compared == {(f, g, a) for f, a in [*forms, ("chunked", "loop")] for g in ("scalar", "key")}
    assert [(row["form"], row["against"]) for row in quick["delta"]] == [("delta", "loop"), ("gate", "delta")] * 2
    parts = [*rows, *quick["delta"], *quick["sampling"]["throughput"], *quick["sampling"]["token_free"]]
    for row in parts:
        assert set(row) >= ABOUT_A_RATIO and row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
        assert row["target"] is None  # a quick run measures nothing
    for floor in ("gemm_gflops", "normal_million_per_second", "copy_gb_per_second"):
        assert quick["floors"][floor] > 0


def test_stored_numbers_have_the_same_shape(quick):
    stored = json.loads((ROOT / "chapters" / "data" / "speed.json").read_text(encoding="utf-8"))
    assert stored["quick"] is False
    assert (set(stored) | {"delta"}) - {"tables"} == {*quick, "memory", "reference", "task"}
    for part in ("forward_backward", "memory", "reference", "task"):
        assert stored[part] and len({frozenset(row) for row in stored[part]}) == 1
    assert set(stored["forward_backward"][0]) == set(quick["forward_backward"][0])
    for part in quick["sampling"]:
        assert {frozenset(row) for row in stored["sampling"][part]} == {frozenset(quick["sampling"][part][0])}
    delta = json.loads((ROOT / "chapters" / "data" / "speed_delta.json").read_text(encoding="utf-8"))
    assert set(delta) == set(quick) - {"forward_backward", "sampling", "floors"} and delta["quick"] is False
    assert {frozenset(row) for row in delta["delta"]} == {frozenset(row) for row in quick["delta"]}
    lengths = [row["n"] for row in stored["sampling"]["token_free"]]
    assert lengths == sorted(set(lengths))  # one row each: a step on tokens against one without


def test_a_form_that_differs_is_not_timed():
    right = speed.forms("chunked", 3, 5, 2, "scalar", torch.float64)["loop"]()
    speed.hold_together(right, right, 1e-8)
    wrong = [right[0], right[1] * (1 + 1e-7), *right[2:]]
    with pytest.raises(AssertionError):
        speed.hold_together(right, wrong, 1e-8)
    with pytest.raises(AssertionError):
        speed.hold_together(right, [x * float("nan") for x in right], 1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_free_layer_learns_a_single_task(seed):
    """From a random start to 1% above 1 - n / (n + d + 1) at most; a gate that reads labels may go a little below."""
    run = speed.single_task_run(seed, draws=6000)
    assert run["stderr"] < 0.01 / 3
    assert -0.03 < run["excess"] < 0.01


def test_copies_together_are_compared_with_one_by_one(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # where it finds `speed`
    with one_thread():
        importlib.import_module("many").main(["--quick"])
    assert capsys.readouterr().err.count("one_by_one / together = ") == 2

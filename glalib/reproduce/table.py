"""The authors' table, trained again: d = 100, two independent tasks of n/2 examples, r = (0.2, 0.8), no noise.

Two recipes. "context-gate": the gate reads context coordinates only, all other weights are free, and the error is
drawn without tokens. "all-weights": every weight is free and prompts are plain tokens, as in the authors' answer to
their second review. Both start from random weights, are trained by `fit`, and are evaluated on fresh tokens.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from .. import _check
from ..attention import Gate
from ..distribution import PromptDistribution
from ..layout import DELIMITED
from ..model import GLA
from ..optima import optimal_wpgd
from ..training import Recipe, orthogonal_start
from .one_run import Row, changed, evaluated, mean_risk, numbers, spelled_out, summarised, swept, train_and_try
from .sweep import Backend

Model = Literal["linear", "gla"]

D, R, LENGTHS, MODELS = 100, (0.2, 0.8), (100, 200, 400, 1000), ("linear", "gla")

# risk / d as printed by the authors, four decimals: (trained, theory).
AUTHORS = {
    ("linear", 100): (0.8322, 0.8344),
    ("linear", 200): (0.7525, 0.7512),
    ("linear", 400): (0.6706, 0.6678),
    ("linear", 1000): (0.5891, 0.5840),
    ("gla", 100): (0.7749, 0.7748),
    ("gla", 200): (0.6619, 0.6617),
    ("gla", 400): (0.5481, 0.5482),
    ("gla", 1000): (0.4355, 0.4343),
}

RECIPES = {
    "context-gate": Recipe(steps=1500, batch=512, lr=0.005, gate_lr=5.0, token_free=True),
    "all-weights": Recipe(steps=3000, batch=128, queries=64, lr=0.005, gate_lr=5.0),
}
GATE_BIAS = 6.0
EVALUATION = {"draws": 4000, "queries": 64}


def train_cell(
    model: Model,
    d: int,
    n: int,
    seed: int,
    all_weights: bool = False,
    r: Sequence[float] = R,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
    progress: bool = False,
) -> Row:
    """Train and evaluate one cell; a dict with its risk / d, standard error, theory, seconds, and how it was made.

    recipe, evaluation: changes to the `Recipe` of `fit` and to the arguments of `simulate_risk`. The standard error is
    that of the difference to the WPGD optimum, with equal (linear) or free weights, on the same prompts; training and
    evaluation draw from seeds apart. Seconds are those of training, over all interruptions.
    """
    _check.option("model", model, MODELS)
    all_weights = _check.flag("all_weights", all_weights)
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    n = _check.integer("n", n, 2, "an integer >= 2")
    dist = PromptDistribution(d, (n // 2, n - n // 2), r)
    plan = changed(_recipe(all_weights), recipe, seed)
    evaluation = evaluated(EVALUATION, evaluation)
    best = optimal_wpgd(dist, "uniform" if model == "linear" else "free")
    net = start(dist, model, seed)
    row = train_and_try(
        net,
        dist,
        plan,
        best,
        tokens=DELIMITED,
        evaluation=evaluation,
        of=train_cell,
        checkpoint=checkpoint,
        every=every,
        progress=progress,
    )
    row["configuration"] |= {"all_weights": all_weights, "gate_bias": GATE_BIAS, "warm_start": None}
    return {"model": model, "d": d, "n": n, "r": list(r), "seed": seed} | row


def _recipe(all_weights: bool) -> Recipe:
    return RECIPES["all-weights" if all_weights else "context-gate"]


def start(dist: PromptDistribution, model: Model, seed: int) -> GLA:
    """Random weights and outputs divided by n; a gate near one at every token."""
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    _check.option("model", model, MODELS)
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    p = 2 * dist.K + 1
    generator = torch.Generator().manual_seed(seed)
    gate: Gate | None = None if model == "linear" else "scalar"
    net = GLA(
        dist.d + 1 + p,
        gate,
        context_width=p,
        scale=1 / dist.n,
        gate_bias=GATE_BIAS,
        generator=generator,
        dtype=torch.float32,
    )
    return orthogonal_start(net, generator)


def table(
    all_weights: bool = False,
    seeds: int = 1,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **changes: Any,
) -> list[Row]:
    """All cells of the table, the longest first, by `sweep`; `changes` go to `train_cell`. In the order of printing."""
    all_weights = _check.flag("all_weights", all_weights)
    recipe, evaluation = spelled_out(changes, EVALUATION, more=("r",))
    changes |= {"recipe": numbers(_recipe(all_weights).replace(**recipe)), "evaluation": evaluation}
    cells = [
        {"model": model, "d": D, "n": n, "seed": seed, "all_weights": all_weights} | changes
        for n in sorted(LENGTHS, reverse=True)
        for model in reversed(MODELS)
        for seed in range(_check.positive_int("seeds", seeds))
    ]
    rows = swept(train_cell, cells, jobs, backend, folder, progress)
    return sorted(rows, key=lambda row: (MODELS.index(row["model"]), row["n"], row["seed"]))


def summary(rows: Sequence[Row]) -> str:
    """The table for reading: means over seeds beside the authors' sixteen numbers."""
    if not isinstance(rows, (list, tuple)):
        raise TypeError(f"rows must be a list of dicts; got {type(rows).__name__}")
    for i, row in enumerate(rows):
        _check.instance(f"rows[{i}]", row, dict, "a dict")
        needed = {"model", "n", "seed"} | ({"error"} if "error" in row else {"risk", "stderr", "theory"})
        if not needed <= set(row) or row["model"] not in MODELS:
            raise _check.fail(f"rows[{i}]", f"a row of the table, with {', '.join(sorted(needed))}", _check.short(row))
    head = (
        f"{'model':7}{'n':>6}{'risk / d':>11}{'s.e.':>9}{'theory':>10}{'excess':>9}   {'authors: trained':>16}"
        f"{'theory':>8}{'excess':>8}{'seeds':>7}"
    )

    def line(runs: list[Row]) -> str:
        (risk, stderr), theory = mean_risk(runs), runs[0]["theory"]
        trained, theirs = AUTHORS.get((runs[0]["model"], runs[0]["n"]), (np.nan, np.nan))
        return (
            f"{risk:11.5f}{stderr:9.5f}{theory:10.5f}{risk / theory - 1:+9.2%}   {trained:16.4f}"
            f"{theirs:8.4f}{trained / theirs - 1:+8.2%}{len(runs):7}"
        )

    ordered = sorted(rows, key=lambda row: (MODELS.index(row["model"]), row["n"]))
    return summarised(ordered, head, ("model", "n"), "{:7}{:6}", line)

"""Below the line: layers whose gates read features and labels, over dimensions and seeds, each tried with parts shut.

Two independent tasks of 2d examples, r = (0.2, 0.8), no noise. Every weight is free, training is on tokens. The trained
layer, and copies of it whose gate no longer sees a part of its token, are tried on the same prompts as the line, so
that differences are known far better than risks.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .. import _check
from ..checkpoint import seconds_spent
from ..distribution import PromptDistribution
from ..layout import DELIMITED
from ..model import GLA
from ..optima import optimal_wpgd
from ..risk import WPGD
from ..simulate import as_predictor
from ..training import Recipe, fit
from .contents import contents, rounded
from .figure1 import start
from .provenance import load_average, provenance, versions
from .runs import CHANGES, Row, known_changes, numbers
from .sweep import Backend, sweep

R, DIMENSIONS = (0.2, 0.8), (5, 10, 20)
SHUT = ("label", "features", "context")  # what a copy's gate no longer sees
RECIPE = Recipe(steps=1000, batch=128, queries=32, lr=0.01)
EVALUATION = {"draws": 16_000, "queries": 32}


def below_distribution(d: int) -> PromptDistribution:
    """The prompts of that dimension."""
    return PromptDistribution(_check.positive_int("d", d), (2 * d, 2 * d), R)


def train_below(
    d: int,
    seed: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 200,
    progress: bool = False,
) -> Row:
    """Train one layer and try it; `excess` over the line, and `without` each part of the gate's input, all / d.

    Each is [mean, standard error] of a difference on the same prompts: of the layer to the line, and of a copy whose
    gate does not see that part to the layer. recipe, evaluation: changes to `RECIPE` and to `EVALUATION`.
    """
    dist, seed = below_distribution(d), _check.integer("seed", seed, 0, "an integer >= 0")
    plan = RECIPE.replace(**known_changes("recipe", recipe, CHANGES), seed=seed)
    trial = EVALUATION | known_changes("evaluation", evaluation, tuple(EVALUATION))
    net, line, load, began = (
        start(dist, "gla", seed),
        optimal_wpgd(dist, "monotone"),
        load_average(),
        time.perf_counter(),
    )
    fit(net, dist, plan, tokens=DELIMITED, checkpoint=checkpoint, every=every, progress=progress)
    seconds = time.perf_counter() - began if checkpoint is None else seconds_spent(checkpoint)
    generator = torch.Generator().manual_seed(10**6 + seed)
    nets = [net, *(shut(net, dist, part) for part in SHUT)]
    errors = squared_errors([line, *nets], dist, **trial, generator=generator) / d
    kept = contents(net)
    return {
        "d": d,
        "n": dist.n,
        "r": list(R),
        "seed": seed,
        "theory": line.risk / d,
        "excess": rounded(mean_and_error(errors[1] - errors[0])),
        "without": {part: rounded(mean_and_error(e - errors[1])) for part, e in zip(SHUT, errors[2:], strict=True)},
        "gate": {"W_g": kept["W_g"], "b_g": kept["b_g"]},
        "seconds": round(seconds, 2),
        "configuration": numbers(plan) | {f"evaluation_{key}": value for key, value in trial.items()},
        "versions": versions(),
        "provenance": provenance(train_below, load),
    }


@torch.no_grad()
def shut(net: GLA, dist: PromptDistribution, part: str) -> GLA:
    """A copy whose gate does not see the label, the features or the context of its token."""
    _check.option("part", part, SHUT)
    net, d = copy.deepcopy(net), dist.d
    rows = {"label": slice(d, d + 1), "features": slice(0, d), "context": slice(d + 1, None)}[part]
    for layer in net.layers:
        if layer.W_g is not None:
            layer.W_g[rows] = 0
    return net


@torch.no_grad()
def squared_errors(
    predictors: Sequence[GLA | WPGD],
    dist: PromptDistribution,
    draws: int,
    queries: int,
    generator: torch.Generator,
    batch: int = 500,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Of each predictor on each prompt, (predictors, draws): the same prompts for all, a mean over queries."""
    options = [(None if isinstance(p, WPGD) else DELIMITED) for p in predictors]
    predict = [as_predictor(p, dist, queries, o, torch.float32)[0] for p, o in zip(predictors, options, strict=True)]
    parts = []
    for left in range(draws, 0, -batch):
        drawn = dist.sample(min(batch, left), generator, queries, torch.float32)
        parts.append([((drawn.y_query - f(drawn)) ** 2).double().mean(1).numpy() for f in predict])
    return np.concatenate(parts, axis=1)


def mean_and_error(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """The mean of independent values, and its standard error."""
    return [float(values.mean()), float(values.std() / len(values) ** 0.5)]


def below(
    seeds: int = 5,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    dimensions: Sequence[int] = DIMENSIONS,
    **changes: Any,
) -> list[Row]:
    """All dimensions and seeds, by `sweep`; `changes` go to `train_below`."""
    known_changes("changes", changes, ("recipe", "evaluation"))
    # Spelled out, so that what is kept in `folder` goes by the numbers in use and not by their names.
    plan = numbers(RECIPE.replace(**known_changes("recipe", changes.get("recipe"), CHANGES)))
    evaluation = EVALUATION | known_changes("evaluation", changes.get("evaluation"), tuple(EVALUATION))
    cells = [
        {"d": d, "seed": seed, "recipe": plan, "evaluation": evaluation}
        for d in dimensions
        for seed in range(_check.positive_int("seeds", seeds))
    ]
    done = sweep(train_below, cells, folder=folder, jobs=jobs, backend=backend, progress=progress)
    return [cell | result if "error" in result else result for cell, result in zip(cells, done, strict=True)]


def below_summary(rows: Sequence[Row]) -> str:
    """For reading: of every run, its excess over the line, and what shutting each part of the gate's input costs."""
    head = f"{'d':>4}{'seed':>5}{'line':>10}{'excess':>10}{'s.e.':>9}"
    lines = [head + "".join(f"{part:>12}" for part in SHUT)]
    for row in rows:
        place = f"{row['d']:4}{row['seed']:5}"
        if "error" in row:
            lines.append(f"{place}  stopped: {row['error']}")
            continue
        excess, error = (x / row["theory"] for x in row["excess"])
        costs = "".join(f"{row['without'][part][0] / row['theory']:+12.3%}" for part in SHUT)
        lines.append(f"{place}{row['theory']:10.5f}{excess:+10.3%}{error:9.3%}{costs}")
    return "\n".join(lines)

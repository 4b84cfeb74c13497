"""Below the line: layers whose gates read features and labels, over dimensions and seeds, each tried with parts shut.

Two independent tasks of 2d examples, r = (0.2, 0.8), no noise. Every weight is free and training is on tokens. From a
random start that arrives up to d = 20 or so; beyond, what is left to learn hides what labels gain. So layers start from
the line as well: at Eq. (9) with the best P, and a gate near the best that reads labels a bit. The trained layer, and
copies of it whose gate no longer sees a part of its token, are tried on the same prompts, so that differences are known
far better than risks.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import ttest_1samp

from .. import _check
from ..distribution import PromptDistribution
from ..layout import DELIMITED
from ..model import GLA
from ..optima import optimal_wpgd
from ..risk import WPGD
from ..simulate import as_predictor
from ..training import Recipe
from .circuit import circuit, rounded
from .figure1 import start
from .one_run import Row, changed, evaluated, numbers, spelled_out, summarised, swept, train_and_try
from .sweep import Backend

Beginning = Literal["random", "line"]

R = (0.2, 0.8)
DIMENSIONS = {"random": (5, 10, 20), "line": (5, 10, 20, 50, 100)}
SHUT = ("label", "features", "context")  # what a copy's gate no longer sees
RECIPES = {
    "random": Recipe(steps=1000, batch=128, queries=32, lr=0.01),
    "line": Recipe(steps=400, batch=64, queries=32, lr=0.00002, gate_lr=1000.0, warmup=0.1),
}
# The step sizes of a start at the line, SHRINK and PUSH were settled by trying seed 0 of each dimension.
# Of a start at the line: what gates below one take off a weight over its block; and how much a label of one standard
# deviation moves a gate's logit. A label and its negative are alike, so a gate that does not read has no way to go.
SHRINK, PUSH = 0.03, 0.5
EVALUATION = {"draws": 8_000, "queries": 32}


def below_distribution(d: int) -> PromptDistribution:
    """The prompts of that dimension."""
    return PromptDistribution(_check.positive_int("d", d), (2 * d, 2 * d), R)


def train_below(
    d: int,
    beginning: Beginning,
    seed: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 200,
    progress: bool = False,
) -> Row:
    """Train one layer and try it beside the line; and `without` each part of the gate's input, over d.

    `without` has [mean, standard error] of what a copy loses whose gate does not see that part, on the same prompts.
    recipe, evaluation: changes to `RECIPES` and to `EVALUATION`. Seconds are those on tokens.
    """
    _check.option("beginning", beginning, tuple(RECIPES))
    dist, seed = below_distribution(d), _check.integer("seed", seed, 0, "an integer >= 0")
    plan, trial = changed(RECIPES[beginning], recipe, seed), evaluated(EVALUATION, evaluation)
    line, net = optimal_wpgd(dist, "monotone"), begin(dist, beginning, seed)
    how: dict[str, Any] = {"tokens": DELIMITED, "evaluation": trial, "of": train_below, "progress": progress}
    row = train_and_try(net, dist, plan, line, checkpoint=checkpoint, every=every, **how)
    generator = torch.Generator().manual_seed(10**6 + seed)
    whole, *others = squared_errors(
        [net, *(shut(net, dist, part) for part in SHUT)], dist, **trial, generator=generator
    )
    without = {part: mean_and_error((e - whole) / dist.d) for part, e in zip(SHUT, others, strict=True)}
    kept = circuit(net)
    more = {"without": rounded(without), "gate": {"W_g": kept["W_g"], "b_g": kept["b_g"]}}
    return {"d": d, "n": dist.n, "r": list(R), "beginning": beginning, "seed": seed} | row | more


@torch.no_grad()
def begin(dist: PromptDistribution, beginning: Beginning, seed: int) -> GLA:
    """The layer before training: that of Figure 1, or Eq. (9) with the best P and gates near the best.

    Where the best gates are one these are a little below: a sigmoid at one would not learn.
    """
    _check.option("beginning", beginning, tuple(RECIPES))
    net = start(dist, "gla", seed)
    if beginning == "line":
        line, layer, d = optimal_wpgd(dist, "monotone"), net.layers[0], dist.d
        P_q = torch.eye(d, net.width) * (dist.n * line.omega[-1] * np.trace(line.P) / d) ** 0.5
        layer.construct(P_q, P_q, net.h)
        ratios = torch.from_numpy(line.omega[:-1] / line.omega[1:])
        after = slice(d + 1 + dist.K, d + 2 * dist.K)  # the context coordinates of the delimiters between blocks
        if layer.W_g is not None and layer.b_g is not None:
            layer.b_g.fill_(np.log(2 * d / SHRINK))
            layer.W_g[after, 0] = torch.logit(ratios).float() - layer.b_g
            layer.W_g[d] = PUSH / d**0.5
    return net


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
    **changes: Any,
) -> list[Row]:
    """All beginnings, dimensions and seeds, by `sweep`, the longest runs first; `changes` go to `train_below`.

    Rows come in the order of beginnings, dimensions and seeds; a run that failed has `error` in place of results.
    """
    recipe, evaluation = spelled_out(changes, EVALUATION)
    cells = [
        {"d": d, "beginning": beginning, "seed": seed}
        | {"recipe": numbers(plan.replace(**recipe)), "evaluation": evaluation}
        for beginning, plan in RECIPES.items()
        for d in DIMENSIONS[beginning]
        for seed in range(_check.positive_int("seeds", seeds))
    ]
    rows = swept(train_below, cells[::-1], jobs, backend, folder, progress)
    return rows[::-1]


def below_summary(rows: Sequence[Row]) -> str:
    """For reading: of each beginning and dimension, over seeds, the mean excess over the line with its standard error
    and a one-sided t-test; and what shutting each part of the gate's input costs."""
    head = f"{'start':9}{'d':>4}{'line':>10}{'excess':>10}{'s.e.':>9}{'p':>9}{'seeds':>7}"

    def line(runs: list[Row]) -> str:
        theory, excess = runs[0]["theory"], np.array([row["risk"] / row["theory"] - 1 for row in runs])
        spread, p = np.nan, np.nan
        if len(runs) > 1:
            spread, p = excess.std(ddof=1) / len(runs) ** 0.5, ttest_1samp(excess, 0, alternative="less")[1]
        costs = "".join(f"{np.mean([row['without'][part][0] for row in runs]) / theory:+12.3%}" for part in SHUT)
        return f"{theory:10.5f}{excess.mean():+10.3%}{spread:9.3%}{p:9.0e}{len(runs):7}{costs}"

    head += "".join(f"{'no ' + part:>12}" for part in SHUT)
    return summarised(rows, head, ("beginning", "d"), "{:9}{:4}", line)

"""How long linear attention waits before it learns, from several starts, over dimensions."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from .. import _check
from ..distribution import PromptDistribution
from ..layout import Layout
from ..model import GLA
from ..optima import optimal_wpgd
from ..training import Recipe, fit_many
from .circuit import circuit, rounded, visible
from .inside import Model, begin
from .one_run import CHANGES, Row, known_changes, numbers
from .provenance import load_average, provenance, versions

Start = Literal["random", "closed", "orthogonal"]

STARTS: tuple[Start, ...] = ("random", "closed", "orthogonal")
DIMENSIONS = (5, 10, 30, 100)
PLATEAU = Recipe(steps=600, batch=64, lr=0.02, warmup=0.04, token_free=True)
WINDOW = 20  # steps to a mean of losses


@torch.no_grad()
def begin_from(dist: PromptDistribution, model: Model, beginning: Start, seed: int) -> GLA:
    """A layer before training: `begin`, or "closed", that is "random" with w_x = 0 and A_xy = 0, as in Eq. (9).

    Then values hold no features and keys no label.
    """
    _check.option("beginning", beginning, STARTS)
    net = begin(dist, model, "orthogonal" if beginning == "orthogonal" else "random", seed)
    if beginning == "closed":
        net.layers[0].W_v[: dist.d] = 0
        net.layers[0].W_k[dist.d] = 0
    return net


def plateau_distribution(d: int) -> PromptDistribution:
    """Prompts of that dimension, four times as long."""
    return PromptDistribution(_check.positive_int("d", d), (2 * d, 2 * d), (0.2, 0.8))


def train_plateau(
    d: int,
    rate: float,
    seeds: int,
    recipe: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Row:
    """Train linear attention from every start, all seeds at once; a dict with `runs`.

    Each has losses / d, means of `WINDOW` steps, and `label`, its share of the mean square of a value at the end.
    rate: times the recipe's lr. checkpoint: not used.
    """
    dist, seeds = plateau_distribution(d), _check.positive_int("seeds", seeds)
    rate = _check.real("rate", rate, 0.0, 1e6, "a number from 0 to 1e6")
    plan = PLATEAU.replace(**known_changes("recipe", recipe, CHANGES))
    plan = plan.replace(lr=rate * plan.lr)
    load, began = load_average(), time.perf_counter()
    places: list[tuple[Start, int]] = [(beginning, seed) for beginning in STARTS for seed in range(seeds)]
    nets = [begin_from(dist, "linear", beginning, seed) for beginning, seed in places]
    losses = fit_many(nets, dist, plan, [seed for _, seed in places], tokens=Layout()) / d
    means = losses[:, : plan.steps // WINDOW * WINDOW].reshape(len(nets), -1, WINDOW).mean(2)
    runs = []
    for (beginning, seed), net, curve in zip(places, nets, means, strict=True):
        w, _ = visible(circuit(net), dist)
        ends = {"label": float(w[d] ** 2 / (w @ w)), "losses": curve.tolist()}
        runs.append({"beginning": beginning, "seed": seed} | rounded(ends))
    return {
        "d": d,
        "rate": rate,
        "theory": optimal_wpgd(dist, "uniform").risk / d,
        "runs": runs,
        "seconds": round(time.perf_counter() - began, 2),
        "configuration": numbers(plan),
        "versions": versions(),
        "provenance": provenance(train_plateau, load),
    }


def half_way(losses: Sequence[float], theory: float) -> int | None:
    """Steps to the first mean below half the way from 1, the risk / d of predicting zero, to the line; None if none."""
    below = np.flatnonzero(np.array(losses) < (1 + theory) / 2)
    return int(below[0] + 1) * WINDOW if below.size else None

"""What a trained layer has learned: one layer, every weight free, trained and looked into, over settings and seeds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from .. import _check
from ..distribution import PromptDistribution
from ..layout import DELIMITED, Layout
from ..model import GLA
from ..optima import Weights, optimal_wpgd
from ..probe import effective_weights
from ..training import Recipe
from .circuit import circuit, rounded
from .figure1 import blinded
from .figure1 import start as figure_start
from .one_run import Row, changed, evaluated, numbers, spelled_out, summarised, swept, train_and_try, tried
from .sweep import Backend

Model = Literal["linear", "gla-context", "gla"]
Beginning = Literal["orthogonal", "random"]

SETTINGS = {
    "two": PromptDistribution(10, (20, 20), (0.2, 0.8)),  # panel (b) of Figure 1
    "three": PromptDistribution(5, (15, 15, 15), (0.2, 0.5, 0.8), Sx=np.diag([2.5, 1.5, 0.5, 0.3, 0.2])),
}
MODELS: dict[str, tuple[Layout, Weights]] = {  # tokens, class of weights whose best is the line
    "linear": (Layout(), "uniform"),
    "gla-context": (DELIMITED, "monotone"),
    "gla": (DELIMITED, "monotone"),
}
BEGINNINGS = ("orthogonal", "random")
RECIPES = {
    "linear": Recipe(steps=800, batch=128, queries=16, lr=0.01),
    "gla-context": Recipe(steps=800, batch=256, lr=0.01, token_free=True),
    "gla": Recipe(steps=800, batch=128, queries=16, lr=0.01),
}
EVALUATION = {"draws": 8_000, "queries": 32, "probed": 4_000}  # probed: prompts for `effective_weights`


def train_inside(
    model: Model,
    setting: str,
    beginning: Beginning,
    seed: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 200,
    progress: bool = False,
) -> Row:
    """Train one layer, try it, and look inside; a dict with its risk / d, line, `inside` and `effective`.

    `inside`: `circuit` of the layer. `effective`: what `effective_weights` finds, with errors.
    `blind`: the risk / d where the gate's rows for features and label are zero; None without a gate.
    """
    _check.option("model", model, tuple(MODELS))
    _check.option("setting", setting, tuple(SETTINGS))
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    dist, (tokens, weights) = SETTINGS[setting], MODELS[model]
    plan = changed(RECIPES[model], recipe, seed)
    trial = evaluated(EVALUATION, evaluation)
    probed = trial.pop("probed")
    line, net = optimal_wpgd(dist, weights), begin(dist, model, beginning, seed)
    how: dict[str, Any] = {"tokens": tokens, "evaluation": trial, "of": train_inside, "progress": progress}
    row = train_and_try(net, dist, plan, line, checkpoint=checkpoint, every=every, **how)
    blind = tried(blinded(net, dist), dist, line, tokens, trial, seed).risk / dist.d if model == "gla" else None
    found = effective_weights(
        net, dist, probed, generator=torch.Generator().manual_seed(2 * 10**6 + seed), tokens=tokens
    )
    row["configuration"] |= {"token_free": plan.token_free, "probed": probed}
    place = {"setting": setting, "model": model, "beginning": beginning, "seed": seed}
    return place | row | {"blind": blind, "effective": rounded(found.to_dict()), "inside": circuit(net)}


@torch.no_grad()
def begin(dist: PromptDistribution, model: Model, beginning: Beginning, seed: int) -> GLA:
    """A layer before training: that of Figure 1, "orthogonal", W_q = W_k, or with W_q and W_k drawn apart, "random"."""
    _check.option("model", model, tuple(MODELS))
    _check.option("beginning", beginning, BEGINNINGS)
    net = figure_start(dist, "linear" if model == "linear" else "gla", seed)
    if beginning == "random":
        generator = torch.Generator().manual_seed(3 * 10**6 + seed)
        for W in (net.layers[0].W_q, net.layers[0].W_k):
            W.copy_(torch.randn(W.shape, generator=generator) / len(W) ** 0.5)
    return net


def inside(
    seeds: int = 5,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **changes: Any,
) -> list[Row]:
    """All models and settings by `sweep`, those on tokens from both beginnings; `changes` go to `train_inside`."""
    recipe, evaluation = spelled_out(changes, EVALUATION)
    plans = {model: numbers(plan.replace(**recipe)) for model, plan in RECIPES.items()}
    cells = [
        {"model": model, "setting": setting, "beginning": beginning, "seed": seed}
        | {"recipe": plans[model], "evaluation": evaluation}
        for setting in SETTINGS
        for model in MODELS
        for beginning in BEGINNINGS
        if beginning == "orthogonal" or model != "gla-context"
        for seed in range(_check.positive_int("seeds", seeds))
    ]
    return swept(train_inside, cells, jobs, backend, folder, progress)


def inside_summary(rows: Sequence[Row]) -> str:
    """For reading: of each setting, model and beginning, means over seeds of the excess and of the share explained."""
    head = f"{'setting':9}{'model':13}{'beginning':12}{'excess':>9}{'worst':>9}{'explained':>11}{'seeds':>7}"

    def line(runs: list[Row]) -> str:
        excess = [row["risk"] / row["theory"] - 1 for row in runs]
        explained = np.mean([row["effective"]["explained"] for row in runs])
        return f"{np.mean(excess):+9.2%}{max(excess):+9.2%}{explained:11.4f}{len(runs):7}"

    return summarised(rows, head, ("setting", "model", "beginning"), "{:9}{:13}{:12}", line)

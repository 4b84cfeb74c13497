"""The paper's Figure 1, trained: d = 10, four panels, one layer with and without gates; every weight is free.

Nothing is held at Eq. (9). Training draws plain tokens, the start is random, and the line of each model is the exact
risk of the best weights of its class. Delimiters and context coordinates are the paper's own devices; a model without
them sees examples and no more.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, Literal

import torch

from .. import _check
from ..attention import Gate
from ..distribution import PromptDistribution
from ..layout import DELIMITED, Layout
from ..model import GLA
from ..optima import Weights, optimal_wpgd
from ..training import Recipe, orthogonal_start
from .one_run import Row, changed, evaluated, mean_risk, numbers, spelled_out, summarised, swept, train_and_try, tried
from .panels import PANELS, checked_lengths, checked_panels, panel_distribution
from .sweep import Backend

Model = Literal["linear", "gla", "gla-no-delimiters", "gla-vector"]

LENGTHS = (10, 20, 40, 70, 100, 150, 200)
MODELS: dict[str, tuple[Gate | None, Layout, Weights]] = {  # gate, tokens, class of weights whose best is the line
    "linear": (None, Layout(), "uniform"),
    "gla": ("scalar", DELIMITED, "monotone"),
    "gla-no-delimiters": ("scalar", Layout(), "constant-gate"),
    "gla-vector": ("value", DELIMITED, "free"),
}
ONLY_IN_D = "gla-vector"  # elsewhere a scalar gate has all that a vector gate has

RECIPES = {model: Recipe(steps=300, batch=64, queries=32, lr=0.02) for model in MODELS}
BATCHES = (64, 128)  # for long and for short prompts, whose gradients are noisier; in between EXAMPLES a step
EXAMPLES = 6400
LABEL_ROW = (2.0, -1.0)  # of W_v for a vector gate: what its two channels write of the label
GATE_BIAS = 5.0
EVALUATION = {"draws": 1000, "queries": 64}


def train_point(
    model: Model,
    panel: str,
    n: int,
    seed: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 200,
    progress: bool = False,
) -> Row:
    """Train and try one model at one length of one panel; a dict with its risk / d, standard error and line.

    recipe, evaluation: changes to the `Recipe` of `fit` and to the arguments of `simulate_risk`. The standard error is
    that of the difference to the line's predictor on the same prompts. `blind` is the risk / d of the trained model
    where its gates' rows for features and label are zero, so that they read context or nothing; None without a gate.
    """
    _check.option("model", model, tuple(MODELS))
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    dist = panel_distribution(panel, n)
    plan = changed(planned(model, dist.n), recipe, seed)
    evaluation = evaluated(EVALUATION, evaluation)
    _, tokens, weights = MODELS[model]
    line, net = optimal_wpgd(dist, weights), start(dist, model, seed)
    row = train_and_try(
        net,
        dist,
        plan,
        line,
        tokens=tokens,
        evaluation=evaluation,
        of=train_point,
        checkpoint=checkpoint,
        every=every,
        progress=progress,
    )
    if MODELS[model][0] is not None:
        row["configuration"] |= {"gate_bias": GATE_BIAS}
        row["blind"] = tried(blinded(net, dist), dist, line, tokens, evaluation, seed).risk / dist.d
    return {"panel": panel, "model": model, "d": dist.d, "n": dist.n, "r": list(PANELS[panel]), "seed": seed} | row


def planned(model: str, n: int) -> Recipe:
    """The recipe of a model for prompts of n examples."""
    few, many = BATCHES
    return RECIPES[model].replace(batch=min(max(EXAMPLES // n, few), many))


def start(dist: PromptDistribution, model: Model, seed: int) -> GLA:
    """Random weights, outputs divided by n, gates near one at every token.

    W_q = W_k with orthonormal columns, so P has the sign of what is written of the label: a positive one, as a P that
    has to turn takes long. A vector gate acts on two value channels, which write the label with unlike signs: channels
    of one sign can do no more together than a scalar gate, and training has no reason to part them.
    """
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    _check.option("model", model, tuple(MODELS))
    generator = torch.Generator().manual_seed(_check.integer("seed", seed, 0, "an integer >= 0"))
    gate, tokens, _ = MODELS[model]
    width = tokens.width(dist)
    net = GLA(
        width,
        gate,
        value_width=len(LABEL_ROW) if gate == "value" else None,
        context_width=width - dist.d - 1,
        scale=1 / dist.n,
        gate_bias=GATE_BIAS,
        generator=generator,
        dtype=torch.float32,
    )
    with torch.no_grad():
        label = net.layers[0].W_v[dist.d]  # what the channels write of it
        if gate == "value":
            label[:] = torch.tensor(LABEL_ROW)
        else:
            label[dist.d].abs_()
    return orthogonal_start(net, generator)


@torch.no_grad()
def blinded(net: GLA, dist: PromptDistribution) -> GLA:
    """A copy whose gates read neither features nor label."""
    net = copy.deepcopy(net)
    for layer in net.layers:
        if layer.W_g is not None:
            layer.W_g[: dist.d + 1] = 0
    return net


def figure1(
    panels: str = "abcd",
    lengths: Sequence[int] = LENGTHS,
    seeds: int = 5,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **changes: Any,
) -> list[Row]:
    """All points of these panels, the longest prompts first, by `sweep`; `changes` go to `train_point`.

    Rows come in the order of panels, models, lengths and seeds; a run that failed has `error` in place of results.
    """
    panels, lengths = checked_panels(panels), checked_lengths(lengths)
    recipe, evaluation = spelled_out(changes, EVALUATION)
    plans = {(model, n): numbers(planned(model, n).replace(**recipe)) for model in MODELS for n in lengths}
    cells = [
        {"model": model, "panel": panel, "n": n, "seed": seed, "recipe": plans[model, n], "evaluation": evaluation}
        for n in sorted(lengths, reverse=True)
        for model in reversed(MODELS)
        for panel in panels
        if model != ONLY_IN_D or panel == "d"
        for seed in range(_check.positive_int("seeds", seeds))
    ]
    rows = swept(train_point, cells, jobs, backend, folder, progress)
    names = list(MODELS)
    return sorted(rows, key=lambda row: (row["panel"], names.index(row["model"]), row["n"], row["seed"]))


def figure1_summary(rows: Sequence[Row]) -> str:
    """For reading: of each panel and model, line and mean excess over seeds at every length."""
    head = f"{'panel':6}{'model':18}{'n':>4}{'risk / d':>10}{'s.e.':>9}{'line':>9}{'excess':>9}{'seeds':>7}"

    def line(runs: list[Row]) -> str:
        (risk, stderr), theory = mean_risk(runs), runs[0]["theory"]
        return f"{risk:10.5f}{stderr:9.5f}{theory:9.5f}{risk / theory - 1:+9.2%}{len(runs):7}"

    return summarised(rows, head, ("panel", "model", "n"), "{:6}{:18}{:4}", line)

"""What a trained layer has learned: every weight free, trained on tokens, and what of it reaches a prediction.

The prediction of one layer depends on its matrices through two things only: what a value passes on, w = W_v psi, and
how a query scores a key, A = W_q W_k^T. These are kept, with the gates, so that all that a page says of a trained layer
can be computed from its row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from .. import _check
from ..distribution import PromptDistribution
from ..gates import widen
from ..layout import DELIMITED, Layout
from ..model import GLA
from ..optima import Weights, optimal_wpgd
from ..probe import effective_weights
from ..training import Recipe
from .figure1 import blinded
from .figure1 import start as figure_start
from .runs import CHANGES, Row, known_changes, numbers, train_and_try, tried
from .sweep import Backend, sweep

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

    `inside`: `contents` of the layer. `effective`: what `effective_weights` finds, with errors.
    `blind`: the risk / d where the gate's rows for features and label are zero; None without a gate.
    """
    _check.option("model", model, tuple(MODELS))
    _check.option("setting", setting, tuple(SETTINGS))
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    dist, (tokens, weights) = SETTINGS[setting], MODELS[model]
    plan = RECIPES[model].replace(**known_changes("recipe", recipe, CHANGES), seed=seed)
    trial = EVALUATION | known_changes("evaluation", evaluation, tuple(EVALUATION))
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
    return place | row | {"blind": blind, "effective": rounded(found.to_dict()), "inside": contents(net)}


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


@torch.no_grad()
def contents(net: GLA) -> dict[str, Any]:
    """All that the prediction of one layer depends on, and how large its matrices are.

    value (width,): what a value passes on of each coordinate of its token, W_v psi times the scale. scores
    (width, width): W_q W_k^T, rows for the query's coordinates. rows: lengths of the rows of W_q, W_k and W_v.
    W_g (width,) and b_g: None without a gate.
    """
    layer = net.layers[0]
    W_q, W_k, W_v = (W.double() for W in layer.matrices())
    rows = {name: W.norm(dim=1).tolist() for name, W in (("W_q", W_q), ("W_k", W_k), ("W_v", W_v))}
    gate = (None, None) if layer.W_g is None or layer.b_g is None else (layer.W_g[:, 0].tolist(), layer.b_g.item())
    value = net.scale * W_v @ widen(net.h).double()
    out: dict[str, Any] = {
        "value": value.tolist(),
        "scores": (W_q @ W_k.mT).tolist(),
        "rows": rows,
        "W_g": gate[0],
        "b_g": gate[1],
    }
    return {key: rounded(each) for key, each in out.items()}


def rounded(value: Any) -> Any:
    """Floats to six digits, in dicts and lists too: what is printed and stored of numbers known less exactly."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def layer_of(row: Row) -> GLA:
    """A layer in float64 that predicts as the trained one of this row: W_k = I, W_q the scores, one value channel."""
    dist, kept = SETTINGS[row["setting"]], row["inside"]
    width, kind = len(kept["value"]), dict[str, Any](dtype=torch.float64)
    net = GLA(width, None if kept["W_g"] is None else "scalar", value_width=1, context_width=width - dist.d - 1, **kind)
    layer = net.layers[0]
    with torch.no_grad():
        net.h.fill_(1.0)
        layer.W_q.copy_(torch.tensor(kept["scores"], **kind))
        layer.W_k.copy_(torch.eye(width, **kind))
        layer.W_v.copy_(torch.tensor(kept["value"], **kind)[:, None])
        if layer.W_g is not None and layer.b_g is not None:
            layer.W_g.copy_(torch.tensor(kept["W_g"], **kind)[:, None])
            layer.b_g.fill_(kept["b_g"])
    return net


def inside(
    seeds: int = 5,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **changes: Any,
) -> list[Row]:
    """All models and settings by `sweep`, those trained on tokens from both beginnings; `changes` go to `train_inside`."""
    known_changes("changes", changes, ("recipe", "evaluation"))
    recipe = known_changes("recipe", changes.get("recipe"), CHANGES)
    # Spelled out, so that what is kept in `folder` goes by the numbers in use and not by their names.
    plans = {model: numbers(plan.replace(**recipe)) for model, plan in RECIPES.items()}
    evaluation = EVALUATION | known_changes("evaluation", changes.get("evaluation"), tuple(EVALUATION))
    cells = [
        {"model": model, "setting": setting, "beginning": beginning, "seed": seed}
        | {"recipe": plans[model], "evaluation": evaluation}
        for setting in SETTINGS
        for model in MODELS
        for beginning in BEGINNINGS
        if beginning == "orthogonal" or model != "gla-context"
        for seed in range(_check.positive_int("seeds", seeds))
    ]
    done = sweep(train_inside, cells, folder=folder, jobs=jobs, backend=backend, progress=progress)
    return [cell | result if "error" in result else result for cell, result in zip(cells, done, strict=True)]


def inside_summary(rows: Sequence[Row]) -> str:
    """For reading: of each setting, model and beginning, means over seeds of the excess and of the share explained."""
    lines = [f"{'setting':9}{'model':13}{'beginning':12}{'excess':>9}{'worst':>9}{'explained':>11}{'seeds':>7}"]
    for key in dict.fromkeys((row["setting"], row["model"], row["beginning"]) for row in rows):
        runs = [row for row in rows if (row["setting"], row["model"], row["beginning"]) == key]
        failed = [row for row in runs if "error" in row]
        runs = [row for row in runs if "error" not in row]
        place = f"{key[0]:9}{key[1]:13}{key[2]:12}"
        if runs:
            excess = [row["risk"] / row["theory"] - 1 for row in runs]
            explained = np.mean([row["effective"]["explained"] for row in runs])
            lines.append(f"{place}{np.mean(excess):+9.2%}{max(excess):+9.2%}{explained:11.4f}{len(runs):7}")
        lines += [f"{place}  seed {row['seed']} stopped: {row['error']}" for row in failed]
    return "\n".join(lines)

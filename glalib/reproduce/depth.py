"""Depth, trained: stacks of one, two and three layers, without noise.

The paper has a second figure, on one to three layers. Its panels and lengths are not known to us: those of Figure 1 and
these lengths are our choice. Every weight is free and training draws plain tokens. The residual stream is that of
Theorem 6: a token keeps what it holds, each layer adds to it, and the prediction is what all layers wrote at the query.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import torch

from .. import _check
from ..baselines import bayes, bayes_risk
from ..distribution import PromptDistribution
from ..layout import Layout
from ..model import GLA
from ..optima import optimal_wpgd
from ..risk import WPGD
from ..simulate import Estimate, chosen_batch
from ..training import Recipe, orthogonal_start
from ..wpgd import wpgd_step
from .figure1 import MODELS as ONE_LAYER
from .one_run import Row, changed, evaluated, mean_risk, numbers, spelled_out, summarised, swept, train_and_try
from .panels import PANELS, checked_lengths, checked_panels, panel_distribution
from .sweep import Backend

Model = Literal["linear", "gla"]

LAYERS, LENGTHS, MODELS = (1, 2, 3), (20, 40, 100, 200), ("linear", "gla")
STEPS = {1: 400, 2: 500}  # 600 for more layers
RECIPE = Recipe(steps=600, queries=16, lr=0.015, warmup=0.1)
# A stack of L layers is of degree 3^L in its tokens: from a start that is not small, losses explode. With keys of size
# sqrt(n) the own term of a token, its key times its query over n, starts alike at every length.
START = {"keys": 0.08, "values": 0.02}
GATE_BIAS = 6.0
EVALUATION = {"draws": 4000, "queries": 32}


def train_stack(
    model: Model,
    panel: str,
    layers: int,
    n: int,
    seed: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
    progress: bool = False,
) -> Row:
    """Train and try one stack; a dict with its risk / d and standard error, beside one layer's optimum and Bayes'.

    `theory` is the least risk / d of one layer's class of weights (`figure1.MODELS`), `bayes` the Bayes risk / d.
    recipe, evaluation: changes to the `Recipe` of `fit`, and to the draws and queries of `beside_bayes`.
    """
    _check.option("model", model, MODELS)
    layers = _check.positive_int("layers", layers)
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    dist = panel_distribution(panel, n)
    plan = changed(recipe_for(layers, n), recipe, seed)
    evaluation = evaluated(EVALUATION, evaluation)
    _, tokens, weights = ONE_LAYER[model]
    row = train_and_try(
        start_stack(dist, model, layers, seed),
        dist,
        plan,
        optimal_wpgd(dist, weights),
        tokens=tokens,
        evaluation=evaluation,
        of=train_stack,
        trial=beside_bayes,
        checkpoint=checkpoint,
        every=every,
        progress=progress,
    )
    row["configuration"] |= {f"start_{key}": value for key, value in START.items()} | {"gate_bias": GATE_BIAS}
    place = {"panel": panel, "model": model, "layers": layers, "d": dist.d, "n": n, "r": list(PANELS[panel])}
    return place | {"seed": seed} | row | {"bayes": bayes_risk(dist).risk / dist.d}


def recipe_for(layers: int, n: int) -> Recipe:
    """More steps for more layers, and about as many tokens in every step."""
    return RECIPE.replace(steps=STEPS.get(layers, RECIPE.steps), batch=min(96, max(24, 4800 // n)))


def start_stack(dist: PromptDistribution, model: Model, layers: int, seed: int) -> GLA:
    """Random weights, small ones; outputs divided by n; gates near one at every token."""
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    _check.option("model", model, MODELS)
    generator = torch.Generator().manual_seed(_check.integer("seed", seed, 0, "an integer >= 0"))
    gate, tokens, _ = ONE_LAYER[model]
    width = tokens.width(dist)
    net = GLA(
        width,
        gate,
        layers,
        context_width=width - dist.d - 1,
        scale=1 / dist.n,
        gate_bias=GATE_BIAS,
        generator=generator,
        dtype=torch.float32,
    )
    orthogonal_start(net, generator)
    with torch.no_grad():
        for layer in net.layers:
            for W in (layer.W_q, layer.W_k):
                W.mul_(START["keys"] * dist.n**0.5)
            layer.W_v.mul_(START["values"])
    return net


@torch.no_grad()
def beside_bayes(
    net: torch.nn.Module, dist: PromptDistribution, line: WPGD, tokens: Layout, evaluation: dict[str, Any], seed: int
) -> Estimate:
    """The risk on fresh prompts: the Bayes risk, which is known, plus the mean squared distance to that predictor.

    The same distance of `line` is known too, so what the prompts make of it corrects the other: the more alike the two
    are, the more sampling error goes. Labels of the query play no part, and their noise is none of the estimate's.
    """
    draws, queries = evaluation["draws"], evaluation["queries"]
    generator = torch.Generator().manual_seed(10**6 + seed)
    best, least, omega = bayes(dist), bayes_risk(dist).risk, dist.expand(line.omega)
    parts: list[torch.Tensor] = []
    while (left := draws - sum(map(len, parts))) > 0:
        drawn = dist.sample(min(chosen_batch(dist, queries), left), generator, queries, torch.float64)
        Z = tokens(drawn).to(next(net.parameters()).dtype)
        predictions = net(Z, queries=queries).double(), wpgd_step(drawn.x, drawn.y, drawn.x_query, line.P, omega)
        target = best(drawn)
        parts.append(torch.stack([((f - target) ** 2).mean(1) for f in predictions], 1))
    distance, known = torch.cat(parts).unbind(1)
    share = torch.cov(torch.stack([distance, known]))[0, 1] / known.var()
    corrected = distance - share * (known - (line.risk - least))
    if not corrected.isfinite().all():
        raise FloatingPointError("predictions of the trained stack are not finite on fresh prompts")
    return Estimate(least + corrected.mean().item(), corrected.std().item() / draws**0.5, draws)


def depth(
    layers: Sequence[int] = LAYERS,
    panels: str = "abcd",
    lengths: Sequence[int] = LENGTHS,
    seeds: int = 3,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    models: Sequence[str] = MODELS,
    **changes: Any,
) -> list[Row]:
    """All stacks of these panels by `sweep`, seed after seed, the longest runs first; `changes` go to `train_stack`.

    Rows come in the order of panels, models, layers, lengths and seeds; a run that failed has `error` in place of
    results.
    """
    panels, lengths, layers = checked_panels(panels), checked_lengths(lengths), _checked_layers(layers)
    models = _checked_models(models)
    recipe, evaluation = spelled_out(changes, EVALUATION)
    cells = [
        {"model": model, "panel": panel, "layers": L, "n": n, "seed": seed}
        | {"recipe": numbers(recipe_for(L, n).replace(**recipe)), "evaluation": evaluation}
        for seed in range(_check.positive_int("seeds", seeds))
        for L in sorted(layers, reverse=True)
        for n in sorted(lengths, reverse=True)
        for model in reversed(models)
        for panel in panels
    ]
    rows = swept(train_stack, cells, jobs, backend, folder, progress)
    keys = ("panel", "model", "layers", "n", "seed")
    return sorted(rows, key=lambda row: [row[key] for key in keys])


def _checked_layers(layers: Sequence[int]) -> list[int]:
    """Numbers of layers, each once."""
    if not isinstance(layers, (list, tuple)):
        raise TypeError(f"layers must be a list of positive integers; got {_check.short(layers)}")
    each = [_check.positive_int(f"layers[{i}]", L) for i, L in enumerate(layers)]
    if not each or len(set(each)) < len(each):
        raise _check.fail("layers", "some positive integers, each once", _check.short(layers))
    return each


def _checked_models(models: Sequence[str]) -> list[str]:
    """Some of `MODELS`, each once."""
    if not isinstance(models, (list, tuple)):
        raise TypeError(f"models must be a list of strings; got {_check.short(models)}")
    if not models or set(models) - set(MODELS) or len(set(models)) < len(models):
        raise _check.fail("models", f"some of {', '.join(MODELS)}, each once", _check.short(list(models)))
    return list(models)


def depth_summary(rows: Sequence[Row]) -> str:
    """For reading: of each panel, model, depth and length, the mean over seeds beside one layer's optimum."""
    head = (
        f"{'panel':6}{'model':7}{'layers':>6}{'n':>5}{'risk / d':>11}{'s.e.':>9}{'one layer':>11}{'Bayes':>9}"
        f"{'of the way':>12}{'seeds':>7}"
    )

    def line(runs: list[Row]) -> str:
        (risk, stderr), theory, best = mean_risk(runs), runs[0]["theory"], runs[0]["bayes"]
        way = (theory - risk) / (theory - best)
        return f"{risk:11.5f}{stderr:9.5f}{theory:11.5f}{best:9.5f}{way:12.1%}{len(runs):7}"

    return summarised(rows, head, ("panel", "model", "layers", "n"), "{:6}{:7}{:6}{:5}", line)

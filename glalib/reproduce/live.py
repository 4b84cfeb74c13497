"""Small trained layers to try out on a page: linear attention, three gates and the delta rule, at d = 5.

Two tasks of twenty examples, the better one last or first. Starts and recipes are those of Figure 1, and for the delta
rule those of its page; the weights are kept, in float32, so that the page computes what the layer does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import torch

from .. import _check
from ..delta.model import DeltaRule
from ..delta.risk import optimal_delta_rule
from ..distribution import PromptDistribution
from ..layout import Layout
from ..model import GLA
from ..optima import optimal_wpgd
from ..simulate import Estimate, simulate_risk
from ..training import Recipe, orthogonal_start
from .figure1 import MODELS, planned
from .figure1 import start as figure_start
from .one_run import Row, changed, evaluated, mean_risk, numbers, spelled_out, summarised, swept, train_and_try, tried
from .sweep import Backend

Model = Literal["linear", "gla", "gla-no-delimiters", "gla-vector", "delta"]
Order = Literal["last", "first"]

NAMES = (*MODELS, "delta")
ORDERS = {  # where the better task comes
    "last": PromptDistribution(5, (20, 20), (0.2, 0.8)),
    "first": PromptDistribution(5, (20, 20), (0.8, 0.2)),
}
MARKED = Layout(context=True)  # of the delta rule: which block it is, and no delimiters
DELTA = Recipe(steps=150, batch=128, queries=8, lr=0.03)
EVALUATION = {"draws": 4000, "queries": 32}


def train_live(
    model: Model,
    order: Order,
    seed: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 200,
    progress: bool = False,
) -> Row:
    """Train one layer; a dict with its risk / d, the line of its class, its scale, and its weights as rows of text."""
    _check.option("model", model, NAMES)
    _check.option("order", order, tuple(ORDERS))
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    dist, net = ORDERS[order], begin(model, order, seed)
    plan = changed(recipe_of(model, order), recipe, seed)
    trial = evaluated(EVALUATION, evaluation)
    line: Any = optimal_delta_rule(dist) if model == "delta" else optimal_wpgd(dist, MODELS[model][2])
    row = train_and_try(
        net,
        dist,
        plan,
        line,
        tokens=tokens_of(model),
        evaluation=trial,
        of=train_live,
        trial=tried_alone if model == "delta" else tried,
        checkpoint=checkpoint,
        every=every,
        progress=progress,
    )
    place = {"model": model, "order": order, "seed": seed}
    return place | row | {"scale": getattr(net, "scale", 1.0), "weights": written(net)}


def tokens_of(model: str) -> Layout:
    """How a layer reads prompts."""
    return MARKED if model == "delta" else MODELS[model][1]


def recipe_of(model: str, order: str) -> Recipe:
    """How it is trained."""
    return DELTA if model == "delta" else planned(model, ORDERS[order].n)


def begin(model: Model, order: Order, seed: int) -> GLA | DeltaRule:
    """A layer before training."""
    if model != "delta":
        return figure_start(ORDERS[order], model, seed)
    generator = torch.Generator().manual_seed(seed)
    width = MARKED.width(ORDERS[order])
    rule = DeltaRule(width, "context", context_width=width - ORDERS[order].d - 1, generator=generator)
    return orthogonal_start(rule, generator)


def tried_alone(net: Any, dist: Any, line: Any, tokens: Any, evaluation: dict[str, Any], seed: int) -> Estimate:
    """The risk on fresh prompts, with no line on the same ones."""
    return simulate_risk(net, dist, **evaluation, generator=torch.Generator().manual_seed(10**6 + seed), tokens=tokens)


def written(net: torch.nn.Module) -> dict[str, list[str]]:
    """Every weight by name: its rows (one, of a vector or a number) as text, in as many digits as float32 has."""
    out = {}
    for name, value in net.state_dict().items():
        rows = value.float().reshape(-1, value.shape[-1] if value.ndim else 1).numpy()
        out[name.removeprefix("layers.0.")] = [" ".join(str(number) for number in row) for row in rows]
    return out


def read(row: Row) -> GLA | DeltaRule:
    """The layer of a row of `live`."""
    net = begin(row["model"], row["order"], row["seed"])
    state = net.state_dict()
    for name, like in state.items():
        rows = row["weights"][name.removeprefix("layers.0.")]
        state[name] = torch.tensor([[float(x) for x in line.split()] for line in rows]).reshape(like.shape)
    net.load_state_dict(state)
    return net


def live(
    seeds: int = 1,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **changes: Any,
) -> list[Row]:
    """All layers, for both orders of the tasks, by `sweep`; `changes` go to `train_live`."""
    recipe, evaluation = spelled_out(changes, EVALUATION)
    cells = [
        {"model": model, "order": order, "seed": seed}
        | {"recipe": numbers(recipe_of(model, order).replace(**recipe)), "evaluation": evaluation}
        for model in NAMES
        for order in ORDERS
        for seed in range(_check.positive_int("seeds", seeds))
    ]
    return swept(train_live, cells, jobs, backend, folder, progress)


def live_summary(rows: Sequence[Row]) -> str:
    """For reading: of each layer and order the mean risk over seeds, the line, and the excess."""
    head = f"{'model':18}{'order':7}{'risk / d':>10}{'s.e.':>9}{'line':>9}{'excess':>9}{'seeds':>7}"

    def line(runs: list[Row]) -> str:
        (risk, stderr), theory = mean_risk(runs), runs[0]["theory"]
        return f"{risk:10.4f}{stderr:9.4f}{theory:9.4f}{risk / theory - 1:+9.2%}{len(runs):7}"

    return summarised(rows, head, ("model", "order"), "{:18}{:7}", line)

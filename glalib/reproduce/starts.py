"""From which starts training gets there: five features, two tasks, one scalar gate; starts, step sizes, gate biases.

All runs of a cell train at once, without tokens: gates read context only, so the line is the least risk of the class
and no run can pass below it. Runs that are not there train on, and once more: what is slow is told from what is stuck.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import torch

from .. import _check
from .._check import Array
from ..distribution import PromptDistribution
from ..layout import DELIMITED
from ..model import GLA
from ..optima import optimal_wpgd
from ..risk import WPGD, best_P, population_risk
from ..token_free import losses_of_normals, normals
from ..training import Recipe, fit_many
from .circuit import circuit, rounded, step_inside, visible
from .one_run import CHANGES, Row, evaluated, known_changes, numbers, spelled_out, swept
from .plateau import DIMENSIONS, PLATEAU, STARTS, Start, begin_from, half_way, train_plateau
from .provenance import load_average, provenance, versions
from .sweep import Backend

Parameters = Literal["apart", "merged"]

DIST = PromptDistribution(5, (20, 20), (0.2, 0.8))
PARAMETERS = ("apart", "merged")  # W_q and W_k; or their product, W_k = I held
GATE_BIASES = (-2.0, 0.0, 2.0, 4.0, 6.0, 8.0)
RATES = (1 / 3, 1.0, 3.0)  # times the recipe's lr
RECIPE = Recipe(steps=400, batch=32, lr=0.02, warmup=0.1, token_free=True)
PHASES = (1, 1, 2)  # times the recipe's steps, each with its schedule begun anew, for runs that are not there
MARGIN = 0.05  # of the gap between linear attention's line and the optimum: what is above that is not there
EVALUATION = {"draws": 4000}
SEVERAL = 5  # seeds of a plateau, at most


def train_starts(
    parameters: Parameters,
    beginning: Start,
    rate: float,
    seeds: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Row:
    """Train every gate bias and seed of a cell at once; a dict with `runs`, each with what was `seen` after each phase.

    rate: times the recipe's lr. seeds: how many of each gate bias, its own, so that all runs of a cell are independent.
    A run whose excess over the line is at most `MARGIN` times the gap trains no further.
    `shown`: `circuit` of the first run that was there after the first phase and of the first that was not.
    checkpoint: not used; a cell takes a minute.
    """
    _check.option("parameters", parameters, PARAMETERS)
    _check.option("beginning", beginning, STARTS)
    rate = _check.real("rate", rate, 0.0, 1e6, "a number from 0 to 1e6")
    seeds = _check.positive_int("seeds", seeds)
    plan = RECIPE.replace(**known_changes("recipe", recipe, CHANGES))
    plan = plan.replace(lr=rate * plan.lr)
    trial = evaluated(EVALUATION, evaluation)
    load, began, line = load_average(), time.perf_counter(), optimal_wpgd(DIST, "monotone")
    places = [(b, i * seeds + s) for i, b in enumerate(GATE_BIASES) for s in range(seeds)]
    nets = {(b, s): begin_at(parameters, beginning, b, s) for b, s in places}
    seen, shown = _train(nets, plan, judge(line, trial["draws"]))
    return {
        "parameters": parameters,
        "beginning": beginning,
        "rate": rate,
        "theory": line.risk / DIST.d,
        "linear": line.risk / DIST.d + linear_gap(),
        "runs": [{"gate_bias": b, "seed": s, "seen": seen[b, s]} for b, s in nets],
        "shown": shown,
        "seconds": round(time.perf_counter() - began, 2),
        "configuration": numbers(plan) | {f"evaluation_{key}": value for key, value in trial.items()},
        "versions": versions(),
        "provenance": provenance(train_starts, load),
    }


def _train(
    nets: dict[tuple[float, int], GLA], plan: Recipe, seen_of: Callable[[GLA], Row]
) -> tuple[dict[tuple[float, int], list[Row]], Row]:
    """Train them, those longer that are not there; what was seen of each after each phase, and the contents of two."""
    seen: dict[tuple[float, int], list[Row]] = {place: [] for place in nets}
    left, shown = list(nets), dict[str, Any]()
    for phase, times in enumerate(PHASES):
        drawn = [10**5 * phase + seed for _, seed in left]  # fresh prompts in every phase
        longer = plan.replace(steps=times * plan.steps)
        fit_many([nets[place] for place in left], DIST, longer, drawn, tokens=DELIMITED)
        for place in left:
            seen[place].append(seen_of(nets[place]))
        if phase == 0:
            for place in left:
                name = "there" if is_there(seen[place][0]) else "not there"
                shown.setdefault(name, {"gate_bias": place[0], "seed": place[1], "inside": circuit(nets[place])})
        left = [place for place in left if not is_there(seen[place][-1])]
        if not left:
            break
    return seen, shown


@cache
def linear_gap() -> float:
    """What the gate is worth: linear attention's line less the optimum, / d."""
    return (optimal_wpgd(DIST, "uniform").risk - optimal_wpgd(DIST, "monotone").risk) / DIST.d


@torch.no_grad()
def begin_at(parameters: Parameters, beginning: Start, gate_bias: float, seed: int) -> GLA:
    """A layer before training: `begin_from`, all gates at sigmoid(gate_bias).

    "merged" starts as the same function as "apart": W_q is the product W_q W_k^T, and W_k = I stays.
    """
    net = begin_from(DIST, "gla", beginning, seed)
    layer = net.layers[0]
    if layer.b_g is not None:
        layer.b_g.fill_(gate_bias)
    if parameters == "merged":
        layer.W_q.copy_(layer.W_q @ layer.W_k.mT)
        layer.W_k.copy_(torch.eye(len(layer.W_k)))
        layer.W_k.requires_grad_(False)
    return net


def judge(line: WPGD, draws: int) -> Callable[[GLA], Row]:
    """A function of a layer: its excess over the line / d, where that comes from, and what the layer holds.

    The same draws for all layers and for the line, so the excess is known far better than either risk. One draw is two
    prompts for values of two signs (`token_free`), so a layer is tried beside the line whose values have its sign.
    """
    exact = GLA.from_wpgd(line, DIST, tokens=DELIMITED).with_computed_gates(DIST).float()
    drawn = normals(DIST, draws, torch.Generator().manual_seed(10**6), torch.float32)
    one = DELIMITED(DIST.sample(1, torch.Generator().manual_seed(0), dtype=torch.float32))
    example = ~DELIMITED.blocks(DIST.counts)[1]

    @torch.no_grad()
    def losses(net: GLA) -> Array:
        out: Array = losses_of_normals(net, DIST, drawn, DELIMITED).double().numpy() / DIST.d
        return out

    known = {1: losses(exact), -1: losses(turned(exact))}

    @torch.no_grad()
    def seen(net: GLA) -> Row:
        sign = 1 if (net.layers[0].W_v @ net.h)[DIST.d] >= 0 else -1
        difference = losses(net) - known[sign]
        omega = torch.as_tensor(net.weights(one))[0, 0].double().numpy()[example]
        excess = {"excess": float(difference.mean()), "stderr": float(difference.std() / draws**0.5)}
        out: Row = rounded(excess | look(net, omega, line))
        return out

    return seen


@torch.no_grad()
def turned(net: GLA) -> GLA:
    """A layer that predicts the same, with the signs of scores and values changed."""
    net = copy.deepcopy(net)
    net.layers[0].W_q.neg_()
    net.layers[0].W_v.neg_()
    return net


def look(net: GLA, omega: Array, line: WPGD) -> Row:
    """Of the excess / d what the weights cost, and at these weights the step; and what decides on the step.

    eigenvalues: of the symmetric part of P, the best being one. label: its share of the mean square of a value.
    ratio: mean weight of the first block over that of the second.
    """
    kept, d = circuit(net), DIST.d
    P, best, (w, _) = step_inside(kept, d), best_P(DIST, omega), visible(kept, DIST)
    scaled = P * np.abs(omega).max() / np.trace(best.P) * d  # the weights of `best` have largest size one
    first, second = np.split(omega, [DIST.counts[0]])
    return {
        "weights": (best.risk - line.risk) / d,
        "step": (population_risk(DIST, P, omega) - best.risk) / d,
        "eigenvalues": np.linalg.eigvalsh((scaled + scaled.T) / 2).tolist(),
        "label": float(w[d] ** 2 / (w @ w)),
        "ratio": float(first.mean() / second.mean()),
    }


def is_there(seen: Row) -> bool:
    """Whether the excess is within the margin."""
    return bool(seen["excess"] <= MARGIN * linear_gap())


def outcome(run: Row) -> str:
    """What became of a run: "there" after the first phase, "slow" if after a later one, or "stuck"."""
    if not is_there(run["seen"][-1]):
        return "stuck"
    return "there" if len(run["seen"]) == 1 else "slow"


def starts(
    seeds: int = 10,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **changes: Any,
) -> list[Row]:
    """All cells, then the plateau at every dimension, by `sweep`; `changes` go to `train_starts`.

    Those of the recipe go to `train_plateau` as well.
    """
    seeds = _check.positive_int("seeds", seeds)
    recipe, evaluation = spelled_out(changes, EVALUATION)
    cells = [
        {"parameters": parameters, "beginning": beginning, "rate": rate, "seeds": seeds}
        | {"recipe": numbers(RECIPE.replace(**recipe)), "evaluation": evaluation}
        for beginning in STARTS
        for parameters in PARAMETERS
        for rate in RATES
    ]
    plateaus = [
        {"d": d, "rate": rate, "seeds": min(seeds, SEVERAL), "recipe": numbers(PLATEAU.replace(**recipe))}
        for d in DIMENSIONS
        for rate in RATES[:2]
    ]
    how = (jobs, backend, folder, progress)
    return swept(train_starts, cells, *how) + swept(train_plateau, plateaus, *how)


def starts_summary(rows: Sequence[Row]) -> str:
    """For reading: of every cell how many runs were there, slow and stuck; of every plateau when half was learned."""
    lines = [f"{'':12}{'beginning':12}{'rate':>6}{'there':>8}{'slow':>6}{'stuck':>7}"]
    for row in rows:
        place = f"d = {row['d']}" if "d" in row else row["parameters"]
        if "error" in row:
            lines.append(f"{place:12}{row.get('beginning', ''):12}{row['rate']:6.2f}  stopped: {row['error']}")
        elif "d" not in row:
            found = [outcome(run) for run in row["runs"]]
            counts = "".join(f"{found.count(name):{size}}" for name, size in (("there", 8), ("slow", 6), ("stuck", 7)))
            lines.append(f"{place:12}{row['beginning']:12}{row['rate']:6.2f}{counts}")
        else:
            for beginning in STARTS:
                steps = [half_way(run["losses"], row["theory"]) for run in row["runs"] if run["beginning"] == beginning]
                lines.append(f"{place:12}{beginning:12}{row['rate']:6.2f}  {_when(steps)}")
    return "\n".join(lines)


def _when(steps: Sequence[int | None]) -> str:
    """In words, after how many steps each run had learned half; None is a run that never had."""
    reached = [str(step) for step in steps if step is not None]
    if not reached:
        return f"half learned by none of {len(steps)} runs"
    never = f", never by {len(steps) - len(reached)} of {len(steps)} runs" if len(reached) < len(steps) else ""
    return f"half learned after {', '.join(reached)} steps{never}"

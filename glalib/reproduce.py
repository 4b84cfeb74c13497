"""The authors' table, trained again: d = 100, two independent tasks of n/2 examples, r = (0.2, 0.8), no noise.

Two recipes. "context": the gate reads context coordinates only, all other weights are free, and the error is drawn
without tokens. "free": every weight is free and prompts are plain tokens, as in the authors' answer to their second
review. Both start from random weights, are trained by `fit`, and are evaluated on fresh tokens.
"""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from . import __version__, _check
from .distribution import PromptDistribution
from .layout import DELIMITED
from .model import GLA
from .optima import optimal_wpgd
from .simulate import simulate_risk
from .training import code_fingerprint, fit, orthogonal_start, seconds_spent, sweep

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
    "context": {"steps": 1500, "batch": 512, "lr": 0.005, "gate_lr": 5.0},
    "free": {"steps": 3000, "batch": 128, "queries": 64, "lr": 0.005, "gate_lr": 5.0},
}
RECIPE = ("steps", "batch", "queries", "lr", "gate_lr", "warmup", "every")  # what a recipe may say to `fit`
GATE_BIAS = 6.0
EVALUATION = {"prompts": 4000, "queries": 64}


def train_cell(model, d, n, seed, free=False, r=R, recipe=None, evaluation=None, checkpoint=None, progress=False):
    """Train and evaluate one cell; a dict with its risk / d, standard error, theory, seconds, and how it was made.

    recipe, evaluation: changes to the arguments of `fit` and of `simulate_risk`. The standard error is that of the
    difference to the WPGD optimum, with equal (linear) or free weights, on the same prompts; training and evaluation
    draw from seeds apart. Seconds are those of training, over all interruptions.
    """
    _check.option("model", model, MODELS)
    _check.option("free", free, (True, False))
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    n = _check.integer("n", n, 2, "an integer >= 2")
    dist = PromptDistribution(d, (n // 2, n - n // 2), r)
    recipe = RECIPES["free" if free else "context"] | _changes("recipe", recipe, RECIPE)
    evaluation = EVALUATION | _changes("evaluation", evaluation, tuple(EVALUATION))
    best = optimal_wpgd(dist, "uniform" if model == "linear" else "free")
    net = start(dist, model, seed)
    load, began = load_average(), time.perf_counter()
    fit(net, dist, **recipe, tokens=DELIMITED, token_free=not free, seed=seed, checkpoint=checkpoint, progress=progress)
    seconds = time.perf_counter() - began if checkpoint is None else seconds_spent(checkpoint)
    estimate = simulate_risk(
        net,
        dist,
        **evaluation,
        generator=torch.Generator().manual_seed(10**6 + seed),
        tokens=DELIMITED,
        against=best,
    )
    return {
        "model": model,
        "d": d,
        "n": n,
        "r": list(r),
        "seed": seed,
        "risk": estimate.risk / d,
        "stderr": estimate.stderr / d,
        "theory": best.risk / d,
        "seconds": round(seconds, 2),
        "configuration": recipe
        | {f"evaluation_{key}": value for key, value in evaluation.items()}
        | {"free": free, "gate_bias": GATE_BIAS, "warm_start": None},
        "versions": versions(),
        "provenance": {
            "code": code_fingerprint(train_cell),
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load_before": load,
            "load_after": load_average(),
        },
    }


def _changes(name, value, known):
    """A dict with known keys only; None is an empty one."""
    _check.instance(name, value, (dict, type(None)), "a dict or None")
    for key in value or {}:
        if key not in known:
            raise _check.fail(name, f"with keys among {', '.join(known)}", _check.short(key))
    return value or {}


def start(dist, model, seed):
    """Random weights and outputs divided by n; a gate near one at every token."""
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    _check.option("model", model, MODELS)
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    p = 2 * dist.K + 1
    generator = torch.Generator().manual_seed(seed)
    gate = None if model == "linear" else "scalar"
    net = GLA(
        dist.d + 1 + p,
        gate,
        context=p,
        scale=1 / dist.n,
        gate_bias=GATE_BIAS,
        generator=generator,
        dtype=torch.float32,
    )
    return orthogonal_start(net, generator)


def table(free=False, seeds=1, jobs=None, backend="loky", folder=None, progress=True, **changes) -> list[dict]:
    """All cells of the table, the longest first, by `sweep`; `changes` go to `train_cell`. In the order of printing."""
    _check.option("free", free, (True, False))
    _changes("changes", changes, ("r", "recipe", "evaluation"))
    # Spelled out, so that what is kept in `folder` goes by the numbers in use and not by their names.
    changes["recipe"] = RECIPES["free" if free else "context"] | _changes("recipe", changes.get("recipe"), RECIPE)
    changes["evaluation"] = EVALUATION | _changes("evaluation", changes.get("evaluation"), tuple(EVALUATION))
    cells = [
        {"model": model, "d": D, "n": n, "seed": seed, "free": free} | changes
        for n in sorted(LENGTHS, reverse=True)
        for model in reversed(MODELS)
        for seed in range(_check.positive_int("seeds", seeds))
    ]
    done = sweep(train_cell, cells, folder=folder, jobs=jobs, backend=backend, progress=progress)
    rows = [cell | result if "error" in result else result for cell, result in zip(cells, done, strict=True)]
    return sorted(rows, key=lambda row: (MODELS.index(row["model"]), row["n"], row["seed"]))


def summary(rows) -> str:
    """The table for reading: means over seeds beside the authors' sixteen numbers."""
    if not isinstance(rows, (list, tuple)):
        raise TypeError(f"rows must be a list of dicts; got {type(rows).__name__}")
    for i, row in enumerate(rows):
        _check.instance(f"rows[{i}]", row, dict, "a dict")
        needed = {"model", "n", "seed"} | ({"error"} if "error" in row else {"risk", "stderr", "theory"})
        if not needed <= set(row) or row["model"] not in MODELS:
            raise _check.fail(f"rows[{i}]", f"a row of the table, with {', '.join(sorted(needed))}", _check.short(row))
    lines = [
        f"{'model':7}{'n':>6}{'risk / d':>11}{'s.e.':>9}{'theory':>10}{'excess':>9}   {'authors: trained':>16}"
        f"{'theory':>8}{'excess':>8}{'seeds':>7}"
    ]
    for model, n in sorted({(row["model"], row["n"]) for row in rows}, key=lambda c: (MODELS.index(c[0]), c[1])):
        runs = [row for row in rows if (row["model"], row["n"]) == (model, n)]
        failed = [row for row in runs if "error" in row]
        runs = [row for row in runs if "error" not in row]
        if runs:
            trained, theirs = AUTHORS.get((model, n), (np.nan, np.nan))
            risk, theory = np.mean([row["risk"] for row in runs]), runs[0]["theory"]
            stderr = np.sqrt(np.mean([row["stderr"] ** 2 for row in runs]) / len(runs))
            lines.append(
                f"{model:7}{n:6}{risk:11.5f}{stderr:9.5f}{theory:10.5f}{risk / theory - 1:+9.2%}   {trained:16.4f}"
                f"{theirs:8.4f}{trained / theirs - 1:+8.2%}{len(runs):7}"
            )
        lines += [f"{model:7}{n:6}  seed {row['seed']} stopped: {row['error']}" for row in failed]
    return "\n".join(lines)


def versions() -> dict:
    return {
        "glalib": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def processor() -> str:
    """The name of this machine's processor, as far as the system tells."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def load_average() -> list[float] | None:
    """How many processes wanted to run, over the last 1, 5 and 15 minutes; None where the system does not count."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None

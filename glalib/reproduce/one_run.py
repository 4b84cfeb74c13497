"""One run of a recipe: a model is trained, tried on fresh prompts beside its line, and how that was done is said."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from .. import _check
from ..distribution import PromptDistribution
from ..layout import Layout
from ..risk import WPGD
from ..simulate import Estimate, simulate_risk
from ..training import Recipe, fit
from ..training.checkpoint import seconds_spent
from .provenance import load_average, provenance, versions
from .sweep import Backend, sweep

Row = dict[str, Any]

CHANGES = ("steps", "batch", "queries", "lr", "gate_lr", "warmup")  # what may be changed of a recipe


def train_and_try(
    net: torch.nn.Module,
    dist: Any,
    recipe: Recipe,
    line: WPGD,
    *,
    tokens: Any,
    evaluation: dict[str, Any],
    of: Callable[..., Any],
    trial: Callable[..., Estimate] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
    progress: bool = False,
) -> Row:
    """Train `net` in place; a dict with its risk / d, standard error, line, seconds, and how it was made.

    dist, tokens: a PromptDistribution and a Layout, or others for a `trial` of one's own.
    line: the predictor whose risk is `theory`. evaluation: draws and queries of the trial on fresh prompts, which is
    `tried` if None is given. of: the function whose result this is, for its `code_fingerprint`. Seconds are those of
    training, over all interruptions.
    """
    load, began = load_average(), time.perf_counter()
    fit(net, dist, recipe, tokens=tokens, checkpoint=checkpoint, every=every, progress=progress)
    seconds = time.perf_counter() - began if checkpoint is None else seconds_spent(checkpoint)
    estimate = (trial or tried)(net, dist, line, tokens, evaluation, recipe.seed)
    return {
        "risk": estimate.risk / dist.d,
        "stderr": estimate.stderr / dist.d,
        "theory": line.risk / dist.d,
        "seconds": round(seconds, 2),
        "configuration": numbers(recipe) | {f"evaluation_{key}": value for key, value in evaluation.items()},
        "versions": versions(),
        "provenance": provenance(of, load),
    }


def tried(
    net: torch.nn.Module, dist: PromptDistribution, line: WPGD, tokens: Layout, evaluation: dict[str, Any], seed: int
) -> Estimate:
    """The risk on fresh prompts, as that of `line` and the difference to it on the same prompts.

    Training and evaluation draw from seeds apart; two models with one seed are tried on the same prompts.
    """
    generator = torch.Generator().manual_seed(10**6 + seed)
    return simulate_risk(net, dist, **evaluation, generator=generator, tokens=tokens, against=line)


def swept(
    function: Callable[..., Row],
    cells: list[dict[str, Any]],
    jobs: int | None,
    backend: Backend,
    folder: str | os.PathLike[str] | None,
    progress: bool,
) -> list[Row]:
    """The rows of these cells, by `sweep`; of a run that failed its cell, and `error` in place of results."""
    done = sweep(function, cells, folder=folder, jobs=jobs, backend=backend, progress=progress)
    return [cell | result if "error" in result else result for cell, result in zip(cells, done, strict=True)]


def numbers(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe may be changed, with its values; without tokens there are no queries."""
    kept = [key for key in CHANGES if key != "queries" or not recipe.token_free]
    return {key: asdict(recipe)[key] for key in kept}


def changed(recipe: Recipe, changes: dict[str, Any] | None, seed: int) -> Recipe:
    """The recipe of the run with that seed."""
    return recipe.replace(**known_changes("recipe", changes, CHANGES), seed=seed)


def evaluated(evaluation: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
    """How a run is tried: an evaluation and what is to change of it."""
    return evaluation | known_changes("evaluation", changes, tuple(evaluation))


def spelled_out(
    changes: dict[str, Any], evaluation: dict[str, Any], more: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is to change of the recipes, and the whole evaluation; there may be `more` among the changes.

    Spelled out, so that what is kept in a folder goes by the numbers in use and not by their names.
    """
    known_changes("changes", changes, (*more, "recipe", "evaluation"))
    return known_changes("recipe", changes.get("recipe"), CHANGES), evaluated(evaluation, changes.get("evaluation"))


def known_changes(name: str, value: Any, known: tuple[str, ...]) -> dict[str, Any]:
    """A dict with known keys only; None is an empty one."""
    _check.instance(name, value, (dict, type(None)), "a dict or None")
    for key in value or {}:
        if key not in known:
            raise _check.fail(name, f"with keys among {', '.join(known)}", _check.short(key))
    return value or {}


def summarised(
    rows: Sequence[Row], head: str, keys: Sequence[str], place: str, line: Callable[[list[Row]], str]
) -> str:
    """For reading: below `head` a line on the runs of each place that ended well, and one on each that did not.

    A place is what rows with the same values of `keys` share; `place` is the form it is written in.
    """
    lines = [head]
    for values in dict.fromkeys(tuple(row[key] for key in keys) for row in rows):
        runs = [row for row in rows if tuple(row[key] for key in keys) == values]
        ended = [row for row in runs if "error" not in row]
        at = place.format(*values)
        lines += [at + line(ended)] if ended else []
        lines += [f"{at}  seed {row['seed']} stopped: {row['error']}" for row in runs if "error" in row]
    return "\n".join(lines)


def mean_risk(runs: Sequence[Row]) -> tuple[float, float]:
    """Of runs that differ in their seeds, and the standard error of trying them."""
    stderr = np.sqrt(np.mean([row["stderr"] ** 2 for row in runs]) / len(runs))
    return float(np.mean([row["risk"] for row in runs])), float(stderr)

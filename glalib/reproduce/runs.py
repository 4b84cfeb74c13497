"""One run of a recipe: a model is trained, tried on fresh prompts beside its line, and how that was done is said."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from .. import _check
from ..checkpoint import seconds_spent
from ..distribution import PromptDistribution
from ..layout import Layout
from ..risk import WPGD
from ..simulate import Estimate, simulate_risk
from ..training import Recipe, fit
from .provenance import load_average, provenance, versions

Row = dict[str, Any]

CHANGES = ("steps", "batch", "queries", "lr", "gate_lr", "warmup")  # what may be changed of a recipe


def train_and_try(
    net: torch.nn.Module,
    dist: PromptDistribution,
    recipe: Recipe,
    line: WPGD,
    *,
    tokens: Layout,
    evaluation: dict[str, Any],
    of: Callable[..., Any],
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
    progress: bool = False,
) -> Row:
    """Train `net` in place; a dict with its risk / d, standard error, line, seconds, and how it was made.

    line: the predictor whose risk is `theory`. evaluation: draws and queries of `simulate_risk`. of: the function whose
    result this is, for its `code_fingerprint`. Seconds are those of training, over all interruptions.
    """
    load, began = load_average(), time.perf_counter()
    fit(net, dist, recipe, tokens=tokens, checkpoint=checkpoint, every=every, progress=progress)
    seconds = time.perf_counter() - began if checkpoint is None else seconds_spent(checkpoint)
    estimate = tried(net, dist, line, tokens, evaluation, recipe.seed)
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


def numbers(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe may be changed, with its values; without tokens there are no queries."""
    kept = [key for key in CHANGES if key != "queries" or not recipe.token_free]
    return {key: asdict(recipe)[key] for key in kept}


def known_changes(name: str, value: Any, known: tuple[str, ...]) -> dict[str, Any]:
    """A dict with known keys only; None is an empty one."""
    _check.instance(name, value, (dict, type(None)), "a dict or None")
    for key in value or {}:
        if key not in known:
            raise _check.fail(name, f"with keys among {', '.join(known)}", _check.short(key))
    return value or {}

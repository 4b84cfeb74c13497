"""Gates on text: small models of characters, trained on strips of four languages, and looked at where these change.

Trained with a mark at every change of language, or with a space there as between words. With one gate a head, one a key
channel, or none (linear attention), in one layer or two.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from .. import _check
from ..files import as_path, check_writable
from ..progress import said
from ..training.checkpoint import Run, state_fingerprint
from ..training.fingerprints import package_fingerprint
from ..training.fitting import Recipe, adam, check_finite, differentiate, set_rates
from .characters import CharacterModel, TextGate
from .crossing import averaged, contexts, measures, strip_shown
from .messages import ALPHABET, Strips, messages
from .one_run import Row, evaluated, known_changes, summarised, swept
from .provenance import load_average, provenance, versions
from .sweep import Backend

MODELS: tuple[tuple[TextGate, int], ...] = (("none", 1), ("scalar", 1), ("none", 2), ("scalar", 2), ("key", 2))
T = 128  # characters of a strip in training
# Of two step sizes, 0.003 and 0.01, the one with the smaller held-out loss of one run, before anything else
# was seen. Steps and the length T were cut for time, after one look at the results.
RECIPE = Recipe(steps=600, batch=16, queries=1, lr=0.01, gate_lr=1.0, warmup=0.05)
CHANGES = ("steps", "batch", "lr", "gate_lr", "warmup")
EVALUATION = {"strips": 100, "pieces": 192}  # held out: for the loss of all places; for what happens at boundaries
SHOWN = ("scalar", 2, 0)  # of these runs, gate, layers and seed, a strip is kept


def train_text(
    marked: bool,
    gate: TextGate,
    layers: int,
    seed: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
) -> Row:
    """Train one model and look at its boundaries; a dict with its held-out `bits` a character and all of `measures`.

    recipe, evaluation: changes to `RECIPE` and to `EVALUATION`. Seconds are those of training, over all interruptions.
    """
    marked, seed = _check.flag("marked", marked), _check.integer("seed", seed, 0, "an integer >= 0")
    plan = RECIPE.replace(**known_changes("recipe", recipe, CHANGES), seed=seed)
    trial, load, text = evaluated(EVALUATION, evaluation), load_average(), messages()
    net = begin_text(gate, layers, seed)
    run = fit_text(net, Strips(text.train), marked, plan, text.digest, checkpoint, every)
    held_out = Strips(text.test)
    kinds = contexts(held_out, marked, trial["pieces"])
    row = {
        "marked": marked,
        "gate": gate,
        "layers": layers,
        "seed": seed,
        "bits": bits(net, held_out, marked, trial["strips"]),
        "seconds": round(run.seconds, 2),
        **measures(net, kinds),
        "configuration": planned(plan) | {"T": T} | {f"evaluation_{key}": value for key, value in trial.items()},
        "text": text.describe(),
        "versions": versions(),
        "provenance": provenance(train_text, load),
    }
    return row | ({"strip": strip_shown(net, kinds, 0)} if (gate, layers, seed) == SHOWN else {})


def begin_text(gate: TextGate, layers: int, seed: int) -> CharacterModel:
    """The model before training."""
    return CharacterModel(len(ALPHABET), gate, layers, generator=torch.Generator().manual_seed(10**6 + seed))


def planned(plan: Recipe) -> dict[str, Any]:
    """What of the recipe counts here."""
    return {key: getattr(plan, key) for key in CHANGES}


def fit_text(
    net: CharacterModel,
    strips: Strips,
    marked: bool,
    plan: Recipe,
    digest: str = "",
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
) -> Run:
    """Train `net` in place on fresh strips, on the loss of the next character; the run at its end.

    digest: of the text. checkpoint: as in `fit`: written every `every` steps, and gone on from if it is there.
    """
    every, path = _check.positive_int("every", every), None if checkpoint is None else as_path("checkpoint", checkpoint)
    weights: dict[str, Any] = dict(net.named_parameters())
    identity = planned(plan) | {"seed": plan.seed, "phases": [plan.steps], "marked": marked, "text": digest}
    identity |= {"model": repr(net), "start": state_fingerprint(net), "code": package_fingerprint()}
    generator, history = torch.Generator().manual_seed(plan.seed), np.full(plan.steps, np.nan)
    run = Run(json.loads(json.dumps(identity)), net, weights, adam(weights, plan), generator, history)
    if path is not None:
        check_writable("checkpoint", path.parent)
        run.load(path)
    began = time.perf_counter() - run.seconds
    while run.step < plan.steps:
        _step(run, strips, marked, plan)
        said.step(run.step, plan.steps)
        run.seconds = time.perf_counter() - began
        if path is not None and (run.step % every == 0 or run.step == plan.steps):
            run.save(Path(path))
    return run


def _step(run: Run, strips: Strips, marked: bool, plan: Recipe) -> None:
    """One step of Adam, or NonFiniteLoss."""
    begin, end = run.phase
    set_rates(run.optimizer, plan, run.step - begin, end - begin)
    text = torch.from_numpy(strips.draw(plan.batch, T + 1, marked, run.generator))
    loss = cross_entropy(run.model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
    differentiate(loss, list(run.weights.values()))
    size = torch.stack([p.grad.norm() for p in run.weights.values() if p.grad is not None]).norm().item()
    run.history[run.step] = loss.item()
    check_finite(loss.item(), size, run.step, plan)
    run.optimizer.step()
    run.step += 1


@torch.no_grad()
def bits(net: CharacterModel, strips: Strips, marked: bool, count: int) -> list[float]:
    """The loss in bits a character over that many strips, the same for every model, and its standard error."""
    generator = torch.Generator().manual_seed(2 * 10**6)
    text = torch.from_numpy(strips.draw(_check.positive_int("strips", count), T + 1, marked, generator))
    losses = cross_entropy(net(text[:, :-1]).transpose(1, 2), text[:, 1:], reduction="none")
    return averaged(losses.mean(1) / np.log(2))


def text(
    seeds: int = 3,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **changes: Any,
) -> list[Row]:
    """All models, with marks and without, by `sweep`, the longest runs first; `changes` go to `train_text`.

    Rows come in the order of marks, models and seeds; a run that failed has `error` in place of results.
    """
    known_changes("changes", changes, ("recipe", "evaluation"))
    recipe = planned(RECIPE) | known_changes("recipe", changes.get("recipe"), CHANGES)
    evaluation = evaluated(EVALUATION, changes.get("evaluation"))
    seeds = _check.positive_int("seeds", seeds)
    messages()  # complain now where there is no text
    cells = [
        {"marked": marked, "gate": gate, "layers": layers, "seed": seed, "recipe": recipe, "evaluation": evaluation}
        for gate, layers in MODELS
        for marked in (True, False)
        for seed in range(seeds)
    ]
    return swept(train_text, cells[::-1], jobs, backend, folder, progress)[::-1]


def text_summary(rows: Sequence[Row]) -> str:
    """For reading: of each model, over seeds, the loss, what is kept across a boundary and within text, and what
    setting the state back there changes of the loss of the next two characters, with its standard error over seeds."""
    head = f"{'marked':8}{'gate':8}{'layers':>6}{'bits':>8}{'kept':>9}{'in text':>9}{'reset':>9}{'s.e.':>8}{'seeds':>7}"

    def line(runs: list[Row]) -> str:
        crossed, within = (
            np.mean([max(pair[0] for pair in row["slowest"][kind]) if row["slowest"] else 1.0 for row in runs])
            for kind in ("other", "own")
        )
        reset, loss = np.array([row["gap"]["fresh"][0][0] for row in runs]), np.mean([row["bits"][0] for row in runs])
        spread = reset.std(ddof=1) / len(reset) ** 0.5 if len(reset) > 1 else np.nan
        return f"{loss:8.3f}{crossed:9.4f}{within:9.4f}{reset.mean():+9.3f}{spread:8.3f}{len(runs):7}"

    return summarised(rows, head, ("marked", "gate", "layers"), "{!s:8}{:8}{:6}", line)

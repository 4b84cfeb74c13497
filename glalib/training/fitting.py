"""Fitting a model to a distribution of prompts.

A run is a function of its arguments: it can be interrupted at any step and goes on from its last checkpoint to the
same numbers.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from .. import _check
from .._check import Array
from ..delta.model import DeltaRule
from ..distribution import PromptDistribution
from ..files import as_path, check_writable
from ..gates import widen
from ..layout import Layout
from ..model import GLA
from ..progress import said
from ..prompts import Sampler
from ..simulate import check_sampler
from .checkpoint import Run, state_fingerprint
from .fingerprints import package_fingerprint
from .objective import Objective, checked_tokens, objective, trained_weights

Model = TypeVar("Model", GLA, DeltaRule)
BETAS = (0.9, 0.99)  # Adam; a short memory of the squares, as gradients fall by orders of magnitude during a run


class NonFiniteLoss(FloatingPointError):
    """The loss or its gradient is NaN or infinite; the model keeps the weights it had before that step."""


@dataclass(frozen=True)
class Recipe:
    """How `fit` trains: with the model's start, the distribution, the tokens and the code, all that a run is.

    - steps, batch, queries: steps; prompts a step; queries on each prompt, which share its context.
    - lr: largest learning rate: reached after the share `warmup` of the steps, then a cosine to zero. Gate parameters
      (names that end in W_g or b_g, and all of a gate of one's own) learn `gate_lr` times as fast.
    - token_free: draw the error itself (`token_free_losses`), for tokens of a `Layout`; `queries` plays no part.
    - seed: of the generator that draws the prompts. The start is the model's own.

    Raises ValueError or TypeError, naming the argument.
    """

    steps: int = 1000
    batch: int = 256
    queries: int = 16
    lr: float = 0.005
    gate_lr: float = 5.0
    warmup: float = 0.03
    token_free: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self.__dict__.update(
            steps=_check.positive_int("steps", self.steps),
            batch=_check.positive_int("batch", self.batch),
            queries=_check.positive_int("queries", self.queries),
            lr=_check.real("lr", self.lr, 0.0, 1e30, "a number from 0 to 1e30"),  # beyond, no numbers in float32
            gate_lr=_check.real("gate_lr", self.gate_lr, 0.0, 1e6, "a number from 0 to 1e6"),
            warmup=_check.real("warmup", self.warmup, 0.0, 1.0, "a number from 0 to 1"),
            token_free=_check.flag("token_free", self.token_free),
            seed=_check.integer("seed", self.seed, 0, "an integer >= 0"),
        )

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with some numbers changed, as in `recipe.replace(steps=2000)`."""
        for name in changes:
            _check.option("the name of a change", name, tuple(self.__dataclass_fields__))
        return replace(self, **changes)


def fit(
    model: torch.nn.Module,
    dist: Sampler,
    recipe: Recipe = Recipe(),
    *,
    tokens: Callable[[Any], torch.Tensor] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
    progress: bool = False,
) -> Array:
    """Train `model` in place with Adam on the squared error of fresh prompts; returns the training losses (steps,).

    - model: called as model(Z) for one query, else model(Z, queries=queries); it returns (batch,) or (batch, queries).
      Weights of 16 bits are rounded, after every step, from copies in float32 that Adam moves. It trains on the device
      it is on; prompts, and the tokens made of them, are drawn on the CPU, the same for every device, and moved there.
      A random GLA often does not arrive: take `layers[0].construct(P_q, P_k, model.h)` or `orthogonal_start(model)`.
    - dist: a `PromptDistribution`, or another `Sampler`; only token_free asks for the former. A checkpoint knows the
      latter by its repr alone, which must then be its own. Prompts come from a generator of `Recipe(seed=)`, and the
      start from the one that made the model: fit takes none.
    - tokens: how prompts become Z: a `Layout`, or another callable on what `dist.sample` returns; Layout() if None.
    - checkpoint: path of a .npz file, written every `every` steps and at the end. If it is there the run goes on from
      it, to the same numbers as without a break; if it belongs to another run ValueError says in what. A finished run
      goes on where only `steps` has grown: from its weights, with the schedule begun anew over the steps that are left.
      It holds plain arrays, so a run may go on on another device: then to numbers that differ by rounding.
      Of `tokens` it knows whether they are a Layout, and which; of a module it keeps the trained weights, not buffers
      that training changes, nor the state of a generator that the module draws from by itself (dropout).
      A file that was edited is refused, as its digest does not fit. `seconds_spent` reads how long the run took.
    - progress: show a progress bar.

    Raises NonFiniteLoss where the loss or its gradient is not finite.
    """
    _check.instance("model", model, torch.nn.Module, "a torch module")
    check_sampler(dist)
    _check.instance("recipe", recipe, Recipe, "a Recipe")
    every, progress = _check.positive_int("every", every), _check.flag("progress", progress)
    path = None if checkpoint is None else as_path("checkpoint", checkpoint)
    tokens = checked_tokens(tokens, dist, recipe.token_free)
    trained = trained_weights(model)
    errors = objective(model, dist, tokens, recipe.batch, recipe.queries, recipe.token_free)
    run = _run(model, trained, dist, recipe, tokens)
    if path is not None:
        if type(dist).__repr__ is object.__repr__:  # an address: another one in every process
            expected = "a sampler with a __repr__ of its own where a checkpoint is kept, which knows it by that"
            raise _check.fail("dist", expected, repr(dist))
        check_writable("checkpoint", path.parent)
        run.load(path)
        _round(run, trained)
    began = time.perf_counter() - run.seconds
    # No bar at all where none is shown: tqdm makes a semaphore, which a worker that is ended would leave behind.
    bar = tqdm(total=recipe.steps, initial=run.step, unit="step", desc="fit") if progress else contextlib.nullcontext()
    with bar:
        while run.step < recipe.steps:
            _step(run, trained, recipe, errors)
            said.step(run.step, recipe.steps)
            if isinstance(bar, tqdm):
                _show(bar, run)
            if path is not None and (run.step % every == 0 or run.step == recipe.steps):
                run.seconds = time.perf_counter() - began
                run.save(path)
    return run.history


def orthogonal_start(model: Model, generator: torch.Generator | None = None) -> Model:
    """Draw W_q = W_k with orthonormal columns (or rows) in every layer of a `GLA` or `DeltaRule`; returns the model.

    Then P = W_q W_k^T starts as the identity on what tokens show. With W_q and W_k drawn apart, P starts with
    eigenvalues of both signs, and those that must pass through zero take long.
    """
    _check.instance("model", model, (GLA, DeltaRule), "a GLA or a DeltaRule")
    _check.generator(generator)
    with torch.no_grad():
        for layer in model.layers:
            start = torch.empty_like(widen(layer.W_q), device="cpu" if generator is None else generator.device)
            torch.nn.init.orthogonal_(start, generator=generator)
            layer.W_q.copy_(start)
            layer.W_k.copy_(start)
    return model


def _run(model: torch.nn.Module, trained: dict[str, torch.nn.Parameter], dist: Any, recipe: Recipe, tokens: Any) -> Run:
    """The run at its first step."""
    law: Any = repr(dist)
    if isinstance(dist, PromptDistribution):
        law = [dist.d, dist.counts, dist.sigma, *(a.tolist() for a in (dist.r, dist.R, dist.Sx, dist.C))]
    identity = asdict(recipe) | {
        "phases": [recipe.steps],
        "tokens": [tokens.delimiters, tokens.context] if isinstance(tokens, Layout) else "given",
        "model": repr(model),
        "dtype": str(next(iter(trained.values())).dtype),
        "dist": law,
        "trained": list(trained),
        "start": state_fingerprint(model),
        "code": package_fingerprint(),
    }
    weights = {name: p if widen(p) is p else widen(p.detach()) for name, p in trained.items()}
    return Run(
        identity=json.loads(json.dumps(identity)),
        model=model,
        weights=weights,
        optimizer=adam(weights, recipe),
        generator=torch.Generator().manual_seed(recipe.seed),
        history=np.full(recipe.steps, np.nan),
    )


def adam(weights: dict[str, torch.Tensor], recipe: Recipe) -> torch.optim.Adam:
    """Adam on named weights; `set_rates` says how fast they learn, at every step."""
    groups = [
        {"params": [p], "factor": recipe.gate_lr if name.endswith(("W_g", "b_g")) or ".own.gate." in name else 1.0}
        for name, p in weights.items()
    ]
    return torch.optim.Adam(groups, recipe.lr, BETAS)


def set_rates(optimizer: torch.optim.Optimizer, recipe: Recipe, step: int, steps: int) -> None:
    """The learning rates of that step of a schedule over so many."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * group["factor"] * _schedule(step, steps, recipe.warmup)


def _step(run: Run, trained: dict[str, torch.nn.Parameter], recipe: Recipe, errors: Objective) -> None:
    """One step of Adam, or NonFiniteLoss."""
    begin, end = run.phase
    set_rates(run.optimizer, recipe, run.step - begin, end - begin)
    loss = errors(*errors.draw(run.generator)).mean()
    differentiate(loss, list(trained.values()))
    for name, p in trained.items():
        run.weights[name].grad = None if p.grad is None else widen(p.grad)
    sizes = [p.grad.detach().norm().to(loss.device) for p in run.weights.values() if p.grad is not None]
    size, run.history[run.step] = torch.stack(sizes).norm().item(), loss.item()
    check_finite(loss.item(), size, run.step, recipe)
    run.optimizer.step()
    _round(run, trained)
    run.step += 1


def check_finite(loss: float, size: float, step: int, recipe: Recipe, of: str = "") -> None:
    """Complain of a loss, or of a gradient of that size, that is not finite."""
    if not (math.isfinite(loss) and math.isfinite(size)):
        raise NonFiniteLoss(
            f"the loss{of} is {loss:g} and the norm of its gradient {size:g} at step {step} of {recipe.steps}; "
            f"lr = {recipe.lr:g} may be too large, or the weights too large at the start"
        )


def differentiate(loss: torch.Tensor, weights: Sequence[torch.Tensor]) -> None:
    """The gradients of the loss to the weights, or a complaint where it has none: training cannot change it."""
    for p in weights:
        p.grad = None
    if loss.requires_grad:
        loss.backward()
    if all(p.grad is None for p in weights):
        raise _check.fail("the model's output", "such that it has gradients to the weights", "one without")


@torch.no_grad()
def _round(run: Run, trained: dict[str, torch.nn.Parameter]) -> None:
    """Give the model what Adam has moved, where that is a copy in a higher precision."""
    for name, p in trained.items():
        if run.weights[name] is not p:
            p.copy_(run.weights[name])


def _schedule(step: int, steps: int, warmup: float) -> float:
    """A ramp over the share `warmup`, then a cosine to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _show(bar: tqdm[Any], run: Run) -> None:
    bar.update()
    if run.step % 20 == 1:
        bar.set_postfix(loss=f"{run.history[max(0, run.step - 21) : run.step].mean():.5g}", refresh=False)

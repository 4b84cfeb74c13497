"""Seeds trained together: many copies of a small model, each as `fit` would train it, in the steps of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from tqdm import tqdm

from .. import _check
from .._check import Array
from ..gates import widen
from ..progress import said
from ..prompts import Sampler
from ..simulate import check_sampler
from .fitting import Recipe, adam, check_finite, differentiate, set_rates
from .objective import Objective, checked_tokens, objective, trained_weights


def fit_many(
    models: Sequence[torch.nn.Module],
    dist: Sampler,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    tokens: Callable[[Any], Tensor] | None = None,
    progress: bool = False,
) -> Array:
    """Train every model in place, as `fit` does with its seed, all at once; returns the losses (copies, steps).

    - models: copies of one architecture: alike but for their numbers, with no weight in common. `torch.func.vmap` runs
      them as one, so that a module must neither draw numbers by itself (dropout) nor branch on numbers.
    - seeds: one for each model, in the place of `recipe.seed`.
    - dist, tokens, progress: as in `fit`; what tokens returns is a tensor, of one shape for all copies.

    The numbers are those of `fit`, up to rounding: sums over many copies are taken in another order.

    It saves what a step costs beside its arithmetic, so it pays where steps are small. With eight copies of d = 5 and
    10, n = 40 and 100, on one thread, it was 2 to 3 times as fast as `fit` one by one at 16 prompts a step, 1.5 to 2
    times at 64, and hardly faster at 256, where drawing and arithmetic are all; without tokens 3.5 to 4.5 times at 16
    and 128, and 2.4 to 2.7 at 512. Processes on as many idle cores gain their number instead, so on two cores it beats
    them without tokens only, or at 16 prompts. `benchmarks/many.py` measures this anew.

    Raises NonFiniteLoss, naming the copy, where the loss of one or its gradient is not finite; all models then keep the
    weights they had before that step.
    """
    check_sampler(dist)
    _check.instance("recipe", recipe, Recipe, "a Recipe")
    progress = _check.flag("progress", progress)
    tokens = checked_tokens(tokens, dist, recipe.token_free)
    models, seeds = _checked_copies(models, seeds)
    errors, *_ = (objective(m, dist, tokens, recipe.batch, recipe.queries, recipe.token_free) for m in models)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    trained = trained_weights(models[0])
    weights = {name: widen(_stack(models, name)).requires_grad_() for name in trained}
    others = {f"model.{name}": _stack(models, name) for name in _tensors(models[0]) if name not in trained}
    optimizer, history = adam(weights, recipe), np.full((len(models), recipe.steps), np.nan)

    def loss(weights: dict[str, Tensor], others: dict[str, Tensor], drawn: tuple[Tensor, ...]) -> Tensor:
        losses: Tensor = functional_call(errors, (weights, others), drawn)
        return losses.mean()

    try:
        for step in tqdm(range(recipe.steps), "fit_many", unit="step", disable=not progress):
            set_rates(optimizer, recipe, step, recipe.steps)
            rounded = {f"model.{name}": w.to(trained[name].dtype) for name, w in weights.items()}
            losses = torch.vmap(loss)(rounded, others, _drawn(errors, generators))
            history[:, step] = losses.detach().cpu()
            differentiate(losses.sum(), list(weights.values()))  # each to its own weights: no loss depends on another's
            _check_each(losses, weights, seeds, step, recipe)
            optimizer.step()
            said.step(step + 1, recipe.steps)
    finally:
        with torch.no_grad():
            for i, model in enumerate(models):
                for name, p in model.named_parameters():
                    if name in weights:
                        p.copy_(weights[name][i])
    return history


def _drawn(errors: Objective, generators: list[torch.Generator]) -> tuple[Tensor, ...]:
    """What every copy draws, stacked."""
    out = []
    for parts in zip(*[errors.draw(generator) for generator in generators], strict=True):
        first = _check.tensor("what tokens returns", parts[0], finite=False)
        if any(part.shape != first.shape for part in parts):
            shapes = sorted({tuple(part.shape) for part in parts})
            raise _check.fail("what tokens returns", "of one shape for all copies", f"shapes {shapes}")
        out.append(torch.stack(parts))
    return tuple(out)


def _check_each(losses: Tensor, weights: dict[str, Tensor], seeds: Sequence[int], step: int, recipe: Recipe) -> None:
    """Complain of a copy whose loss, or its gradient, is not finite."""
    grads = [w.grad.reshape(len(seeds), -1) for w in weights.values() if w.grad is not None]
    sizes = torch.stack([grad.norm(dim=1) for grad in grads]).norm(dim=0)
    for i, (loss, size) in enumerate(zip(losses.tolist(), sizes.tolist(), strict=True)):
        check_finite(loss, size, step, recipe, f" of copy {i} (seed {seeds[i]})")


def _checked_copies(models: Any, seeds: Any) -> tuple[list[torch.nn.Module], list[int]]:
    """As lists, or a complaint where they cannot be trained together."""
    for name, value in (("models", models), ("seeds", seeds)):
        if not isinstance(value, (list, tuple, range, torch.nn.ModuleList, np.ndarray)):
            raise TypeError(f"{name} must be a sequence, of one for each copy; got {type(value).__name__}")
    models = list(models)
    seeds = [_check.integer(f"seeds[{i}]", seed, 0, "an integer >= 0") for i, seed in enumerate(seeds)]
    if not models or len(models) != len(seeds):
        raise _check.fail("models and seeds", "as many as each other, and some", f"{len(models)} and {len(seeds)}")
    seen: set[int] = set()
    for i, model in enumerate(models):
        _check.instance(f"models[{i}]", model, torch.nn.Module, "a torch module")
        trained_weights(model, f"models[{i}]")
        if _architecture(model) != _architecture(models[0]):
            raise _check.fail(f"models[{i}]", "like models[0] but for its numbers", f"{model!r} beside {models[0]!r}")
        own = {id(p) for p in model.parameters()}
        if own & seen:
            raise _check.fail(f"models[{i}]", "a model of its own", "one that shares weights with an earlier one")
        seen |= own
    return models, seeds


def _architecture(model: torch.nn.Module) -> object:
    tensors = [(name, t.shape, t.dtype, t.device, t.requires_grad) for name, t in _tensors(model).items()]
    return type(model), repr(model), model.training, tensors


def _tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _stack(models: list[torch.nn.Module], name: str) -> Tensor:
    return torch.stack([_tensors(model)[name].detach() for model in models])

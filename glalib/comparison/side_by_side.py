"""Layers of any make beside what theory says is possible: `compare`.

All predictors meet the same prompts, so that a difference is known better than either risk.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from .. import _check
from .._check import Array
from ..baselines import bayes, bayes_risk
from ..delta.model import DeltaRule
from ..delta.risk import optimal_delta_rule
from ..distribution import PromptDistribution
from ..layout import Layout
from ..optima import Weights, optimal_wpgd
from ..probe import effective_weights
from ..prompts import PARTS, Prompts, Sampler
from ..simulate import UNHEEDED, Predictor, as_predictor, check_sampler, chosen_batch, draw, of_queries, repeats
from .readers import check_alone, named, readers_of
from .result import Compared, Comparison, Optimum

Best = Literal["linear attention", "constant gate", "scalar gate", "best weights", "delta rule", "Bayes"]
OPTIMA: tuple[Best, ...] = get_args(Best)
CLASSES: dict[str, Weights] = {
    "linear attention": "uniform",
    "constant gate": "constant-gate",
    "scalar gate": "monotone",
    "best weights": "free",
}
FEWEST = 1000  # draws: squared errors have heavy tails, and with fewer their errors are of little use
ROUNDING = 1e-12  # of the size of the squared errors: luck below it is none
MOST_AT_ONCE = 1024  # prompts: a layer of unknown make may hold T x T numbers of each


def compare(
    layers: Any,
    dist: Sampler,
    tokens: Any = None,
    draws: int = 10_000,
    generator: torch.Generator | None = None,
    twin: PromptDistribution | None = None,
    optima: Sequence[Best] = OPTIMA,
    weights: bool = True,
) -> Comparison:
    """Risks of layers on the same prompts as the optima of theory, and the weights that the layers effectively use.

    - layers: a dict from names to layers, or one layer, which is then called "layer". A layer is what `simulate_risk`
      takes: a torch module from tokens to predictions (batch,), a `WPGD` record or a pair (P, omega), or a callable on
      prompts; or a module from tokens (batch, T, D) to the same shape, whose prediction is column d at the last token,
      where labels stand in a `Layout`; tokens that have them elsewhere are refused. A module gets tokens in its own
      precision, on its own device, and is asked in evaluation mode, without dropout; its mode is put back. `InContext`
      makes a predictor of layers of another width.
    - dist: a `PromptDistribution`, or another `Sampler`.
    - tokens: how prompts become tokens: a `Layout` or another callable, for all modules; or a dict from names of layers
      to such. Layout() if None. Only modules get tokens.
    - draws: prompts, at least 1000; for the effective weights, at least 2 (n + d^2).
    - generator: torch.Generator; the same state gives the same record. None: torch's own.
    - twin: where `dist` is a sampler of one's own, the `PromptDistribution` that supplies the theory, of the same n and
      d. Without it layers are only simulated, and there are no optima.
    - optima: which to compare with. "linear attention", "constant gate", "scalar gate" (weights that never fall from
      task to task) and "best weights" are those of `optimal_wpgd`; "delta rule" that of `optimal_delta_rule`, one step
      per task, with features for keys; "Bayes" that of `bayes`, which no predictor beats.
    - weights: whether to estimate the `effective_weights` of each layer, often most of the time and of the memory. They
      come from further prompts, the same for every layer. Where a layer has none the record says why.

    On a `PromptDistribution` the risks of the optima are known. What the prompts make of them corrects the risks of the
    layers (control variates, by least squares), so that a layer near an optimum has a small standard error. On prompts
    of another sampler nothing is corrected, as a twin may be wrong: optima are simulated too, beside their formulas.

    Raises ValueError or TypeError for bad arguments, and, by the layer's name, where a layer returns the wrong type or
    shape, numbers that are not finite, or predictions that depend on the other prompts of their batch. This book's
    addition.
    """
    check_sampler(dist)
    if _check.positive_int("draws", draws) < FEWEST:
        raise _check.fail("draws", f"at least {FEWEST}", draws)
    _check.generator(generator)
    weights, law = _check.flag("weights", weights), _law(dist, twin)
    if law is None and tuple(optima) not in (OPTIMA, ()):
        raise _check.fail("optima", "left out where no `twin` supplies the theory", _check.short(optima))
    each = named(layers, OPTIMA)
    readers = readers_of(each, law, tokens)
    modules = [layer for layer in each.values() if isinstance(layer, nn.Module)]
    with torch.no_grad(), _evaluating(modules), warnings.catch_warnings():
        warnings.filterwarnings("ignore", f".*{UNHEEDED}")  # the record says so, once for all layers
        return _compared(readers, dist, law, draws, generator, optima, weights)


def _compared(
    readers: dict[str, Predictor],
    dist: Sampler,
    law: PromptDistribution | None,
    draws: int,
    generator: torch.Generator | None,
    optima: Any,
    weights: bool,
) -> Comparison:
    # Seeds, so that the prompts are the same whatever else is asked for, and those of the weights for every layer.
    cpu = torch.device("cpu")  # where theory is
    device = cpu if generator is None else generator.device
    seeds = torch.randint(2**62, (2,), generator=generator, device=device).tolist()
    with torch.random.fork_rng(devices=[]), cpu:  # a module that is built draws, from torch's own generator
        formulas, best = _optima(law, optima, torch.Generator().manual_seed(seeds[0]))
    predictors = [(f"what layer {name!r} returns", read, False) for name, read in readers.items()]
    predictors += [(f"the prediction of {name!r}", predict, True) for name, predict in best.items()]
    f, y = _predictions(predictors, dist, law, draws, generator)
    exact, m = isinstance(dist, PromptDistribution), len(readers)
    risks = _Risks((y[:, None] - f) ** 2, formulas, corrected=exact)
    compared: dict[str, Compared] = {}
    for j, (name, read) in enumerate(readers.items()):
        gaps = {other: risks.of(j, m + k) for k, other in enumerate(formulas)}
        probed, same = None, np.ptp(f[:, j]) == 0
        if weights and not same:
            drawn = torch.Generator(device).manual_seed(seeds[1])
            probed = effective_weights(read, dist, draws, batch=_at_once(dist), generator=drawn)
        reason = "its predictions are all the same" if weights and same else None
        compared[name] = Compared.of(risks.of(j), gaps, probed, formulas, reason)
    found = {name: replace(formulas[name], seen=risks.of(m + k)) for k, name in enumerate(formulas)}
    zero = law.M if exact and law else float(np.mean(y**2))
    return Comparison(compared, found, repr(dist), zero, draws, exact, exact or repeats(dist, generator))


@contextmanager
def _evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Dropout and running means at rest; every part's mode is put back."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training


class _Risks:
    """Squared errors (draws, m + o) of m layers and o optima, less what the known risks of the optima tell of luck.

    An optimum whose risk L is known has the error e - L that is the prompts' alone. The least-squares combination of
    such errors is taken off every column: its mean is zero, whatever the coefficients. But they are fitted to these
    very prompts, and most of all to those with much luck, where residuals are then too small. So standard errors are of
    the jackknife: how far the corrected mean moves as each prompt in its turn is left out, coefficients and all. For a
    prompt with the residual e, the leverage h and the weight w in that mean it is w e / (1 - h).
    """

    def __init__(self, losses: Array, formulas: dict[str, Optimum], corrected: bool) -> None:
        o, draws = len(formulas), len(losses)
        self.each, self.moves = losses, np.full(draws, 1 / (draws - 1))
        self.shares, self.errors = np.zeros((o, losses.shape[1])), np.zeros(o)
        if corrected and o:
            luck = losses[:, -o:] - [optimum.risk for optimum in formulas.values()]
            self.errors = np.array([optimum.stderr for optimum in formulas.values()])
            U, S, V = np.linalg.svd(luck - luck.mean(0), full_matrices=False)
            kept = S > ROUNDING * np.linalg.norm(losses)  # optima may be one and the same
            U, V = U[:, kept], V[kept] / S[kept, None]
            self.shares = V.T @ (U.T @ (losses - losses.mean(0)))
            self.each = losses - luck @ self.shares
            self.moves = (1 / draws - U @ (V @ luck.mean(0))) / (1 - 1 / draws - np.sum(U**2, 1))

    def of(self, j: int, less: int | None = None) -> tuple[float, float]:
        """The mean of column j, or of its difference to another, and the standard error."""
        each, shares = self.each[:, j], self.shares[:, j]
        if less is not None:
            each, shares = each - self.each[:, less], shares - self.shares[:, less]
        moved = self.moves * (each - each.mean())
        return float(each.mean()), float(np.sqrt(np.sum(moved**2) + np.sum((shares * self.errors) ** 2)))


def _law(dist: Any, twin: Any) -> PromptDistribution | None:
    """The distribution that closed forms are of, if there is one."""
    if isinstance(dist, PromptDistribution):
        if twin is not None:
            raise _check.fail("twin", "None where dist is a PromptDistribution, its own theory", _check.short(twin))
        return dist
    return _check.instance("twin", twin, (PromptDistribution, type(None)), "a PromptDistribution or None")


def _at_once(dist: Sampler) -> int:
    return min(chosen_batch(dist, 1), MOST_AT_ONCE)


def _optima(
    law: PromptDistribution | None, optima: Any, generator: torch.Generator
) -> tuple[dict[str, Optimum], dict[str, Predictor]]:
    """What theory says of each optimum, and a predictor that attains it."""
    if not isinstance(optima, (list, tuple)):
        raise TypeError(f"optima must be a list of names; got {_check.short(optima)}")
    for name in optima:
        _check.option("each of optima", name, OPTIMA)
    formulas: dict[str, Optimum] = {}
    predictors: dict[str, Predictor] = {}
    for name in OPTIMA if law else ():
        if name not in optima or law is None:
            continue
        if name in CLASSES:
            best = optimal_wpgd(law, CLASSES[name])
            formulas[name] = Optimum(best.risk, 0.0, law.expand(best.omega))
            predictors[name] = as_predictor(best, law, 1, None, torch.float64)[0]
        elif name == "delta rule":
            rule = optimal_delta_rule(law)
            formulas[name] = Optimum(rule.risk, 0.0)
            predictors[name] = _on_tokens(DeltaRule.from_steps(rule, law))
        else:
            least = bayes_risk(law, generator=generator)
            formulas[name] = Optimum(least.risk, least.stderr)
            predictors[name] = bayes(law)
    return formulas, predictors


def _on_tokens(model: nn.Module) -> Predictor:
    return lambda drawn: model(Layout()(drawn))


def _predictions(
    predictors: list[tuple[str, Predictor, bool]],
    dist: Sampler,
    law: PromptDistribution | None,
    draws: int,
    generator: torch.Generator | None,
) -> tuple[Array, Array]:
    """(draws, predictors) and the labels of the queries (draws,), or a complaint of predictions that are none."""
    parts, left = [], draws
    while left > 0:
        drawn: Any = draw(dist, min(_at_once(dist), left), generator, 1, torch.float64)
        as_of_law = None if law is None else _as_of(law, drawn)
        columns = [drawn.y_query[:, 0]]
        for what, predict, of_theory in predictors:
            value = _check.tensor(what, predict(as_of_law if of_theory else drawn))
            columns.append(of_queries(what, value, drawn.y_query)[:, 0])
            if left == draws and isinstance(drawn, Prompts) and not of_theory:
                check_alone(what, predict, drawn, columns[-1])
        parts.append(np.stack([_check.array("predictions", column) for column in columns], 1))
        left -= len(drawn.y_query)
    y, *f = np.concatenate(parts).T
    return np.stack(f, 1), y


def _as_of(law: Any, drawn: Any) -> Prompts:
    """These prompts as those of the distribution that supplies the theory, whose blocks they need not know of; on the
    CPU, where theory is."""
    if isinstance(drawn, Prompts) and drawn.counts == law.counts and drawn.x.shape[2] == law.d:
        return drawn if drawn.x.is_cpu else drawn.to("cpu")
    x = _check.tensor("x of what dist.sample returns", drawn.x, 3)
    counts = getattr(drawn, "counts", None)
    if x.shape[1:] != (law.n, law.d) or counts not in (None, law.counts, (law.n,), (1,) * law.n):
        expected = f"of the prompts' n = {x.shape[1]}, d = {x.shape[2]} and counts = {counts}"
        raise _check.fail("twin", expected, repr(law))
    x, y, x_query, y_query = (getattr(drawn, name).cpu() for name in PARTS)
    beta = x.new_zeros(len(x), law.K + 1, law.d)
    return Prompts(x, y, x_query, y_query, beta[:, 1:], beta[:, 0], law.counts)

"""The delta rule: its exact risk on multitask prompts, and its best steps. No torch.

A layer that erases before it writes, with the features as keys and queries, keeps an estimate of the task,

    b_i = alpha_i b_{i-1} + beta_i (y_i - alpha_i x_i^T b_{i-1}) x_i,    b_0 = 0,    prediction = scale x^T b_n,

where beta is the size of a step and alpha a decay; alpha = 1 is the delta rule, other decays make it the gated one.
With normalised=True keys and queries are x_i / |x_i| and x / |x| in place of x_i and x, as in layers that are trained.

How the risk follows from these is in `law`; the search for the best is in `steps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._records import Record
from ..distribution import PromptDistribution
from ..risk import check_distribution
from ..spectra import frozen
from .law import Law, UnitLaw
from .steps import best_steps

Per = Literal["prompt", "task", "example"]
PER = ("prompt", "task", "example")


@dataclass(frozen=True, eq=False)
class BestDeltaRule(Record):
    """The best steps of a delta rule, and its risk.

    beta and alpha are of shape (), (K,) or (n,): one for the prompt, one per task, or one per example; steps and
    decays. The prediction is scale x^T b. risk is the population risk, not divided by d. certificate says by what this
    is known to be the best of its class, or how it was searched for.
    """

    beta: Array
    alpha: Array
    scale: float
    risk: float
    certificate: str


def delta_rule_risk(
    dist: PromptDistribution,
    beta: ArrayLike,
    alpha: ArrayLike = 1.0,
    scale: float | None = None,
    normalised: bool = False,
) -> float:
    """The exact risk E (y - scale x^T b_n)^2 of the delta rule b <- alpha b + beta (y_i - alpha x_i^T b) x_i.

    - beta: the step, of any sign: one number, one per task, (K,), or one per example, (n,).
    - alpha: the decay, in [0, 1], before the example is read; the same shapes. 1 is the delta rule without decay.
    - scale: of the prediction; the best one if None.
    - normalised: whether keys and the query are x / |x|, of length one, in place of x; labels are what they were.

    Once Sx is diagonal, the cost is proportional to n, to the number of tasks, and to the number of distinct
    eigenvalues of Sx; for normalised keys to its square. Rounding is at the scale of M. For keys and queries W x, W
    invertible, take the distribution with W Sx W^T and W^-T C W^-1 for Sx and C.

    Raises ValueError or TypeError for wrong shapes, decays outside [0, 1], and steps so large that float64 overflows.
    This book's addition.
    """
    check_distribution(dist)
    steps, decays = _per_example(dist, "beta", beta), _per_example(dist, "alpha", alpha)
    _check.unit_interval("alpha", decays)
    scale = None if scale is None else _check.real("scale", scale)
    law = UnitLaw(dist) if _check.flag("normalised", normalised) else Law(dist)
    with np.errstate(over="ignore", invalid="ignore"):  # complained of below
        steps = steps * law.top
        size = np.abs(steps).max() or 1.0  # what is written is divided by it, that tiny steps do not underflow
        overlap, energy = law.moments(steps / size, steps, decays)
        if scale is None:
            factor = overlap / energy if energy > 0 else 0.0
        else:
            factor = size * scale
        risk = float(dist.M * (1 - 2 * factor * overlap + factor * (factor * energy)))
    if not np.isfinite(risk):
        raise _check.fail("beta and scale", "small enough for a finite risk in float64", f"a risk of {risk}")
    return max(risk, dist.sigma**2)


def optimal_delta_rule(
    dist: PromptDistribution, per: Per = "task", decay: bool = False, normalised: bool = False
) -> BestDeltaRule:
    """The best delta rule with one step for the prompt, one per task, or one per example; the scale is always free.

    - per: how many steps there are to choose, and how many decays.
    - decay: whether decays in [0, 1] are chosen too (the gated delta rule); else they are 1.
    - normalised: whether keys and the query are x / |x|.

    Steps may have either sign. For one task with Sx a multiple of the identity, and a step per example or no noise and
    plain keys, the optimum is known in closed form: beta_i = e / (xi (d + 2) e + sigma^2), where e, the error per
    direction of the task, falls from tr C / d by e <- e - xi e^2 / (xi (d + 2) e + sigma^2); similar for normalised
    keys. Else it is searched for, by quasi-Newton steps with exact gradients from several starts, and `certificate`
    says so. What that guarantees: the risk is the exact one of the steps and decays that are returned; decays are never
    worse than none, and steps per example never worse than what was found per task. What it does not: that nothing is
    better. Brute force agreed to 1e-6 M in all cases tried without decays, and with them in small ones; where r has
    both signs and there are many examples, decays per example have many maxima, and a better one can be missed.
    Where small steps are best, the infimum is that of one weighted step with P a multiple of the identity; then beta is
    small and scale large.

    Raises ValueError or TypeError for unknown options. This book's addition.
    """
    check_distribution(dist)
    _check.option("per", per, PER)
    decay = _check.flag("decay", decay)
    law = UnitLaw(dist) if _check.flag("normalised", normalised) else Law(dist)
    shape = {"prompt": (), "task": (dist.K,), "example": (dist.n,)}[per]
    if not dist.r.any():
        steps, decays, certificate = np.zeros(shape), np.ones(shape), "r = 0: no example tells of the query's task"
    elif dist.K == 1 and len(law.xi) == 1 and (per == "example" or (dist.sigma == 0 and not normalised)):
        steps = law.riccati() if per == "example" else np.broadcast_to(law.riccati()[0], shape)
        decays, certificate = np.ones(shape), "closed form: no steps and no decays do better"
    else:
        found, searches = best_steps(law, per, decay)
        steps, decays = (value.reshape(shape) for value in found)
        certificate = f"the best of {searches} local searches; no proof that it is global"
    each = _per_example(dist, "beta", steps)
    overlap, energy = law.moments(each, each, _per_example(dist, "alpha", decays))
    scale = float(overlap / energy) if energy > 0 else 0.0
    risk = max(dist.M * (1 - float(overlap) * scale), dist.sigma**2)
    beta, alpha = (frozen(value).reshape(shape) for value in (steps / law.top, decays))
    return BestDeltaRule(beta, alpha, scale, risk, certificate)


def _per_example(dist: PromptDistribution, name: str, value: ArrayLike) -> Array:
    """(n,) from one number, one per task or one per example, or a complaint."""
    array = _check.array(name, value)
    if array.shape not in ((), (dist.K,), (dist.n,)):
        expected = f"a number, or of shape ({dist.K},), per task, or ({dist.n},), per example"
        raise _check.misshaped(name, expected, array)
    return np.full(dist.n, array) if array.shape == () else dist.expand(array)

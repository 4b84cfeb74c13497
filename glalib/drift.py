"""Prompts whose task drifts, and the decay that suits them. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _check
from ._check import Array
from .distribution import PromptDistribution


def drifting(
    rho: float,
    n: int,
    d: int,
    sigma: float = 0.0,
    Sx: ArrayLike | None = None,
    C: ArrayLike | None = None,
) -> PromptDistribution:
    """n tasks of one example each, each task rho times the one before and news; the query's is one step on.

    So R_ij = rho^|i - j| and r_i = rho^(n + 1 - i), for a rho from -1 to 1. All else is as in `PromptDistribution`.

    Raises ValueError or TypeError, naming the argument, for a rho that is no correlation, and as that does.
    """
    rho = _check.real("rho", rho, -1.0, 1.0, "a number from -1 to 1")
    i = np.arange(_check.positive_int("n", n))
    R = rho ** np.abs(i[:, None] - i)
    return PromptDistribution(d, (1,) * len(i), rho ** (n - 1.0 * i), R=R, sigma=sigma, Sx=Sx, C=C)


def right_decay(rho: ArrayLike, N: ArrayLike) -> Array:
    """The best constant gate for long prompts of tasks that drift by rho, where one example carries the noise N.

    It is the g in (0, 1) with (1 - g)^2 / g = (1 - rho)^2 / rho + (1 - rho^2) / (N rho), for 0 < rho < 1 and N > 0.
    N is d + 1 + sigma^2 for white features and tasks, and 1 / h2(dist, gamma) at the optimum for others. Both may be
    arrays; the result has their common shape.

    Raises ValueError or TypeError, naming the argument, for values outside these ranges.
    """
    rho, N = _check.array("rho", rho), _check.array("N", N)
    if not ((rho > 0) & (rho < 1)).all():
        raise _check.fail("rho", "between 0 and 1", _check.short(rho))
    if not (N > 0).all():
        raise _check.fail("N", "positive", _check.short(N))
    e = ((1 - rho) ** 2 + (1 - rho**2) / N) / rho
    return np.asarray(2 / (2 + e + np.sqrt(e * (e + 4))))  # the root of (1 - g)^2 = e g, without cancellation near 1

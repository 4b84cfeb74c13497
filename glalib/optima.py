"""The best WPGD predictor of each class of weights: stationary points and optima (Theorems 2 to 4). No torch.

For weights in a cone, and P free, all stationary points are fixed points of a function that does not decrease; so they
can be enumerated, and none is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from . import _check
from ._check import Array
from .constant_gate import constant_gate, geometric
from .distribution import PromptDistribution
from .fixed_points import fixed_points
from .risk import WPGD, best_omega, best_P, check_distribution, h1, h2, predictor, unit
from .spectra import EPS, psd_root

Weights = Literal["free", "uniform", "monotone", "constant-gate"]
WEIGHTS = ("free", "uniform", "monotone", "constant-gate")


def optimal_wpgd(dist: PromptDistribution, weights: Weights | Array | Sequence[float] = "free") -> WPGD:
    """The best WPGD predictor for a class of weights, or for given weights: P and the scale are always free.

    - "free": any weights; the global minimum, also where several stationary points exist (Theorem 2).
    - "uniform": all weights equal; linear attention (Corollary 3 for Sx = C = I).
    - "monotone": 0 <= omega_1 <= ... <= omega_K, what a scalar gate reaches with delimiters (Theorem 4).
    - "constant-gate": omega_i = g^(n+1-i), one gate value g for all tokens. Where the infimum lies at g = 0, gate is 0
      and omega the limit of the normalised weights, all on the last example.
    - an array (K,) or (n,), per task or per example, not all zero: these weights, with the best P for them.

    Where no predictor beats zero (r = 0, say), P = 0 and the risk is M. The record's `certificate` says by what the
    optimum is known to be one: for "free" and "monotone", an enumeration of all fixed points of a monotone map; for
    "constant-gate", branch and bound.
    Raises ValueError or TypeError for an unknown class and for bad arrays.
    """
    check_distribution(dist)
    if weights is not None and not isinstance(weights, str):
        return best_P(dist, _some(dist, weights))
    _check.option("weights", weights, WEIGHTS)
    if not dist.r.any() and weights != "constant-gate":
        return best_P(dist, np.ones(dist.K), "r = 0: no weights tell of the query's task")
    if weights == "uniform":
        return best_P(dist, np.ones(dist.K))
    if weights == "free":
        return stationary_points(dist)[0]
    if weights == "monotone":
        # P may have either sign, so weights and their negatives are equally good: solve for r and for -r.
        return min(monotone_points(dist, dist.r) + monotone_points(dist, -dist.r), key=lambda point: point.risk)
    return _constant_gate(dist)


def stationary_points(dist: PromptDistribution) -> list[WPGD]:
    """All non-trivial stationary points of the risk, up to scale, by increasing risk (Theorem 2).

    Each is a fixed point gamma of F(gamma) = 1 + h1(h2(gamma)), with

        omega = (h R + I)^-1 r at h = h2(gamma),    P prop. C (M I + gamma Sx C)^-1.

    F does not decrease, so the enumeration by bisection is complete to the resolution of `fixed_points`: a pair of
    points closer to each other than about 1e-7, relative to gamma, counts as one touch, and a triple closer than about
    1e-4 as one point; else there is no point too few and none too many. Empty if r = 0. The first is the global
    minimum.
    """
    check_distribution(dist)
    if not dist.r.any():
        return []
    lam, _ = dist.task_spectrum

    def F(gamma: Array) -> Array:
        return 1 + h1(dist, h2(dist, gamma))

    found = fixed_points(F, 1.0, 1.0 + lam.max())
    certificate = f"all {len(found)} stationary points enumerated"
    points = [best_P(dist, best_omega(dist, float(h2(dist, gamma))), certificate) for gamma in found]
    return sorted(points, key=lambda point: point.risk)


def _some(dist: PromptDistribution, weights: object) -> Array:
    """Given weights as an array, complained of if they are all zero or of the wrong shape."""
    omega = _check.array("weights", weights)
    if omega.shape not in ((dist.K,), (dist.n,)):
        expected = f"a class of weights or of shape ({dist.K},), per task, or ({dist.n},), per example"
        raise _check.misshaped("weights", expected, omega)
    if not omega.any():
        raise _check.fail("weights", "not all zero", "zeros")
    return omega


def monotone_points(dist: PromptDistribution, r: Array) -> list[WPGD]:
    """Stationary points over the cone 0 <= omega_1 <= ... <= omega_K, for weights with r^T w > 0.

    For a fixed h the best weights minimise w^T (h R + I) w - 2 r^T w over the cone: a convex problem, non-negative
    least squares in the increments z >= 0 of omega = L z. The map gamma -> 1 + w^T R w / |w|^2 does not decrease
    (as without the cone), so its fixed points can be enumerated in the same way.
    """
    from scipy.optimize import nnls  # here, as it takes a while to load

    counts = np.array(dist.counts, dtype=np.float64)
    L = np.tril(np.ones((dist.K, dist.K)))
    gain = L.T @ (counts * r)
    if (gain <= dist.K * EPS * (L.T @ (counts * np.abs(r)))).all():  # no weights in the cone have r^T w > 0
        return []
    # |sqrt(N) (omega - r)|^2 + h |R^1/2 N omega|^2 is the objective, up to a constant.
    own, shared = np.sqrt(counts)[:, None] * L, psd_root(dist.R) @ (counts[:, None] * L)
    target = np.concatenate([np.sqrt(counts) * unit(r), np.zeros(dist.K)])
    target /= np.linalg.norm(target)

    def omega(h: float) -> Array:
        A = np.concatenate([own, np.sqrt(h) * shared])
        scale = 1 / np.linalg.norm(A, axis=0)
        z, _ = nnls(A * scale, target, maxiter=30 * dist.K)
        if not z.any():  # all that can be gained is below nnls's tolerance: any way up will do
            z = np.eye(dist.K)[np.argmax(gain * scale)]
        weights: Array = L @ (scale * z)
        return weights

    def F(gamma: Array) -> Array:
        out = []
        for h in h2(dist, gamma):
            _, ww, wRw = dist.moments(unit(omega(h)))
            out.append(1 + wRw / ww)
        return np.array(out)

    top = 1 + dist.task_spectrum[0].max()
    # Least squares in turns over active sets knows omega less well than a formula would.
    found = fixed_points(F, 1.0, top, resolution=1e-6, rounding=1e-12)
    certificate = "all stationary points over the cone enumerated, for P of either sign"
    return [best_P(dist, omega(float(h2(dist, gamma))), certificate) for gamma in found]


def _constant_gate(dist: PromptDistribution) -> WPGD:
    """The best over one gate value; what is known of it stands in the certificate."""
    if not dist.r.any():
        return _constant(dist, 0.0, "r = 0: no weights tell of the query's task")
    found = constant_gate(dist)
    point = _constant(dist, found.t, "")
    return replace(point, certificate=found.certificate(dist, point.risk))


def _constant(dist: PromptDistribution, t: float, certificate: str) -> WPGD:
    """The best predictor with the constant gate e^-t; at t = inf, all weight on the last example, the limit."""
    last = np.append(np.zeros(dist.K - 1), 1.0)
    if t == np.inf:
        return predictor(dist, last, 1.0, partial(_last_alone, dist.n), certificate, 0.0)
    counts = np.array(dist.counts, dtype=np.float64)
    age = dist.n - np.cumsum(counts) + 1  # of each block's last example, as its gates' number
    sums, ww = np.exp(-age * t) * geometric(counts, t), float(np.exp(-2 * t) * geometric(float(dist.n), 2 * t))
    return predictor(dist, sums, ww, partial(_geometric_weights, dist.n, t), certificate, float(np.exp(-t)))


def _last_alone(n: int) -> Array:
    return np.append(np.zeros(n - 1), 1.0)


def _geometric_weights(n: int, t: float) -> Array:
    return np.exp(-t * np.arange(n, 0, -1.0))

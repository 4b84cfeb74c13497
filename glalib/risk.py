"""Closed forms: the population risk of WPGD, and the two half-problems of Theorem 2. No torch.

Everything rests on two spectra: s, the eigenvalues of Sigma = Sx^1/2 C Sx^1/2, and lambda, the non-zero eigenvalues
of the correlation matrix of the examples, which are those of the K x K matrix D R D, D = diag(sqrt(counts)). So the
cost depends on the number of tasks, not on the number of examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import _check
from ._check import Array
from ._records import plain, table
from .distribution import PromptDistribution
from .prompts import Drawn, check_prompts
from .spectra import psd_root
from .wpgd import wpgd_step

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False, repr=False)
class WPGD:
    """A WPGD predictor x^T P X^T (omega * y) and its risk.

    P (d, d); omega (K,), one weight per task, or (n,), one per example, if the weights come from a constant gate.
    gamma = 1 + w^T R w / |w|^2, in [1, 1 + lambda_max], is what P needs to know of the weights (Theorem 2).
    risk is the population risk, not divided by d. gate is the constant gate, or None.
    certificate says by what this is known to be the best of its class, and to what accuracy.

    Only P times omega matters. Here omega has largest absolute value 1, so that it can be a product of gates.
    """

    P: Array
    weights: Array | Callable[[], Array]  # omega, or what makes it when it is first asked for
    gamma: float
    risk: float
    certificate: str
    gate: float | None = None

    @cached_property
    def omega(self) -> Array:
        omega = self.weights() if callable(self.weights) else self.weights
        omega.flags.writeable = False  # the risk is that of these weights
        return omega

    def __call__(self, prompts: Drawn) -> torch.Tensor:
        """Predictions (batch, queries) on prompts; omega per task goes by their counts."""
        check_prompts(prompts)
        counts, omega = getattr(prompts, "counts", None), self.omega
        if counts is not None and len(counts) == len(omega):
            omega = np.repeat(omega, counts)
        if len(omega) != prompts.x.shape[1]:
            expected = f"of counts for {len(omega)} tasks, or of {len(omega)} examples, as there are weights"
            raise _check.fail("prompts", expected, f"counts = {counts}, {prompts.x.shape[1]} examples")
        return wpgd_step(prompts.x, prompts.y, prompts.x_query, self.P, omega)

    def to_dict(self) -> dict[str, Any]:
        """P, omega, gamma, risk, certificate and gate as JSON values."""
        return plain(self, "P", "omega", "gamma", "risk", "certificate", "gate")

    def _shown(self) -> dict[str, Any]:
        if self.gate is None:
            weights = {"omega": np.array2string(self.omega, precision=4, threshold=6, edgeitems=3, separator=", ")}
        else:
            weights = {"gate": f"{self.gate:.6g}"}
        return {"risk": f"{self.risk:.6g}", "gamma": f"{self.gamma:.6g}", **weights}

    def __repr__(self) -> str:
        return f"WPGD({', '.join(f'{name}={value}' for name, value in self._shown().items())}, P: {self.P.shape})"

    def _repr_html_(self) -> str:
        return table("WPGD", self._shown() | {"P": self.P.shape, "certificate": self.certificate})


def population_risk(dist: PromptDistribution, P: ArrayLike, omega: ArrayLike) -> float:
    """The exact risk E (y - x^T P X^T (omega * y))^2 of a WPGD predictor.

        L(P, w) = M - 2 (r^T w) tr(Sigma Q) + M |w|^2 tr(Q^T Q) + (|w|^2 + w^T R w) tr(Sigma Q^T Q),

    with Q = Sx^1/2 P Sx^1/2. P (d, d), symmetric or not; omega (K,), per task, or (n,), per example.
    Raises ValueError or TypeError for wrong shapes and entries that are not finite.

    As derived here; Theorem 2 is about its stationary points.
    """
    check_distribution(dist)
    P, omega = _check.array("P", P, (dist.d, dist.d)), _check.array("omega", omega)
    # Only P times omega matters: a power of two goes from one to the other, so that no square leaves the range.
    power = np.frexp(np.abs(omega).max(initial=0.0))[1]
    P, omega = np.ldexp(P, power), np.ldexp(omega, -power)
    sums, ww = dist.block_sums(omega)
    rw, own = dist.r @ sums, _own(dist, sums, ww)
    half_Sx, half_C = psd_root(dist.Sx), psd_root(dist.C)
    with np.errstate(over="ignore", invalid="ignore"):  # complained of below
        # Sx^1/2 (I - rw P Sx) C^1/2 and Sx^1/2 P Sx C^1/2 are (I - rw Q) Sigma^1/2 and Q Sigma^1/2, up to a rotation.
        PSx = P @ dist.Sx
        bias = np.sum((half_Sx @ (np.eye(dist.d) - rw * PSx) @ half_C) ** 2)
        trace_QQ = np.sum((half_Sx @ P @ half_Sx) ** 2)
        trace_SQQ = np.sum((half_Sx @ PSx @ half_C) ** 2)
        # The formula above with its square completed: a sum of terms >= 0, which keeps the digits of a small risk.
        risk = float(dist.sigma**2 + bias + dist.M * ww * trace_QQ + own * trace_SQQ)
    if not np.isfinite(risk):
        raise _check.fail("P and omega", "small enough for a finite risk in float64", f"a risk of {risk}")
    return risk


def h1(dist: PromptDistribution, h: ArrayLike) -> Array:
    """w^T R w / |w|^2 at w = (h R + I)^-1 r; h may be an array. The first of the two functions of Theorem 2.

    h1(h) = [sum lambda_i a_i^2 / (1 + lambda_i h)^2] / [sum a_i^2 / (1 + lambda_i h)^2], a = E^T D r.
    """
    h = _numbers(dist, "h", h)
    lam, a = dist.task_spectrum
    terms = (unit(a) / (1 + lam * h[..., None])) ** 2
    mean: Array = terms @ lam / terms.sum(-1)
    return mean


def h2(dist: PromptDistribution, gamma: ArrayLike) -> Array:
    """tr(Sigma Q^2) / (M tr Q^2 + tr(Sigma Q^2)) at the best Q for gamma; gamma may be an array.

    h2(gamma) = 1 / (1 + M [sum s_i^2 / (M + gamma s_i)^2] / [sum s_i^3 / (M + gamma s_i)^2]).
    """
    gamma = _numbers(dist, "gamma", gamma)
    s, times = dist.signal_values
    terms = s / (dist.M + gamma[..., None] * s)
    terms = times * (terms / terms.max(-1, keepdims=True)) ** 2
    m: Array = terms @ s / terms.sum(-1)
    return m / (dist.M + m)


def slope(dist: PromptDistribution, gamma: float) -> float:
    """F'(gamma), the slope of F = 1 + h1(h2(gamma)): below one at a minimum of the risk, above one at a saddle.

    h1' = -2 Cov_u(lambda, lambda / (1 + lambda h)) and h2' = -2 M / (M + m)^2 Cov_v(s, s / (M + gamma s)), where u and
    v are the weights of the means h1 and m (Theorem 2), so F' >= 0. The index is this book's addition.
    """
    given = _numbers(dist, "gamma", gamma)
    if given.ndim:
        raise _check.misshaped("gamma", "one number", given)
    gamma, h = float(given), float(h2(dist, given))
    lam, a = dist.task_spectrum
    s, _ = dist.signal_spectrum
    M = dist.M
    dh1 = -2 * _covariance(lam, lam / (1 + lam * h), (unit(a) / (1 + lam * h)) ** 2)
    v = (s / (M + gamma * s)) ** 2
    m = v @ s / v.sum()
    dh2 = -2 * M / (M + m) ** 2 * _covariance(s, s / (M + gamma * s), v)
    return float(dh1 * dh2)


def _numbers(dist: PromptDistribution, name: str, value: ArrayLike) -> Array:
    """Arguments of h1, h2 and slope, which are not defined at r = 0."""
    check_distribution(dist)
    if not dist.r.any():
        raise _check.fail("dist", "a distribution whose r is not zero", repr(dist))
    value = _check.array(name, value)
    if value.size and not 0 <= value.min() <= value.max() <= 1e50:
        raise _check.fail(name, "from 0 to 1e50", f"values from {value.min():.3g} to {value.max():.3g}")
    return value


def _covariance(x: Array, y: Array, weights: Array) -> float:
    weights = weights / weights.sum()
    return float(weights @ ((x - weights @ x) * (y - weights @ y)))


# The two half-problems: the best weights for a given h, the best P for given weights.


def best_omega(dist: PromptDistribution, h: float) -> Array:
    """(h R + I)^-1 r for the n weights, written for the K: the counts N weigh the columns, (h R N + I) omega = r."""
    A = h * dist.R * np.array(dist.counts, dtype=np.float64) + np.eye(dist.K)
    return np.asarray(np.linalg.solve(A, unit(dist.r)), np.float64)


def _own(dist: PromptDistribution, sums: Array, ww: float) -> float:
    """|w|^2 + w^T (R - r r^T) w: what the weights gather besides the query's task. No cancellation of large numbers."""
    return ww + max(0.0, float(sums @ (dist.R - np.outer(dist.r, dist.r)) @ sums))


def best_P(
    dist: PromptDistribution, omega: Array, certificate: str = "the best P for these weights, in closed form"
) -> WPGD:
    """The best predictor with given weights, per task or per example."""
    omega = unit(omega)
    return predictor(dist, *dist.block_sums(omega), omega, certificate)


def predictor(
    dist: PromptDistribution,
    sums: Array,
    ww: float,
    omega: Array | Callable[[], Array],
    certificate: str,
    gate: float | None = None,
) -> WPGD:
    """P = (r^T w)/|w|^2 C (M I + gamma Sx C)^-1, gamma = 1 + w^T R w / |w|^2, from the block sums of w and |w|^2.

    Its risk is M - (r^T w)^2/|w|^2 T(gamma), T(gamma) = sum s_i^2/(M + gamma s_i), in a form that keeps its digits near
    zero: sigma^2 + sum s_i (M + own/|w|^2 s_i)/(M + gamma s_i), with own = |w|^2 + w^T (R - r r^T) w.
    """
    gamma = 1 + max(0.0, float(sums @ dist.R @ sums)) / ww
    s, B = dist.signal_spectrum
    denominator = dist.M + gamma * s
    P = (B * (float(dist.r @ sums) / ww / denominator)) @ B.T
    P.flags.writeable = False
    risk = dist.sigma**2 + np.sum(s * ((dist.M + _own(dist, sums, ww) / ww * s) / denominator))
    return WPGD(P, omega, float(gamma), float(min(risk, dist.M)), certificate, gate)


def unit(vector: Array) -> Array:
    """Only the direction of r matters for the weights; at unit scale no square underflows."""
    direction: Array = vector / np.abs(vector).max()
    return direction


def check_distribution(dist: object) -> None:
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")

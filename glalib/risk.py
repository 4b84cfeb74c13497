"""Closed forms: the population risk of WPGD, its stationary points, and its optima (Theorems 2 to 4). No torch.

Everything rests on two spectra: s, the eigenvalues of Sigma = Sx^1/2 C Sx^1/2, and lambda, the non-zero eigenvalues
of the correlation matrix of the examples, which are those of the K x K matrix D R D, D = diag(sqrt(counts)). So the
cost depends on the number of tasks, not on the number of examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq, nnls

from . import _check
from ._records import plain, table
from .constant_gate import constant_gate
from .prompts import PromptDistribution, Prompts, check_prompts
from .spectra import EPS, psd_root
from .wpgd import wpgd

if TYPE_CHECKING:
    import torch

WEIGHTS = ("free", "uniform", "monotone", "constant-gate")


@dataclass(frozen=True, eq=False, repr=False)
class WPGD:
    """A WPGD predictor x^T P X^T (omega * y) and its risk.

    P (d, d); omega (K,), one weight per task, or (n,), one per example, if the weights come from a constant gate.
    gamma = 1 + w^T R w / |w|^2, in [1, 1 + lambda_max], is what P needs to know of the weights (Theorem 2).
    risk is the population risk, not divided by d. gate is the constant gate, or None.
    certificate says by what this is known to be the best of its class, and to what accuracy.

    Only P times omega matters. Here omega has largest absolute value 1, so that it can be a product of gates.
    """

    P: np.ndarray
    weights: np.ndarray | Callable[[], np.ndarray]  # omega, or what makes it when it is first asked for
    gamma: float
    risk: float
    certificate: str
    gate: float | None = None

    @cached_property
    def omega(self) -> np.ndarray:
        omega = self.weights() if callable(self.weights) else self.weights
        omega.flags.writeable = False  # the risk is that of these weights
        return omega

    def __call__(self, prompts: Prompts) -> torch.Tensor:
        """Predictions (batch, queries) on prompts; omega per task goes by their counts."""
        check_prompts(prompts)
        counts, omega = prompts.counts, self.omega
        if counts is not None and len(counts) == len(omega):
            omega = np.repeat(omega, counts)
        if len(omega) != prompts.x.shape[1]:
            expected = f"of counts for {len(omega)} tasks, or of {len(omega)} examples, as there are weights"
            raise _check.fail("prompts", expected, f"counts = {counts}, {prompts.x.shape[1]} examples")
        return wpgd(prompts.x, prompts.y, prompts.x_query, self.P, omega)

    def to_dict(self) -> dict:
        """P, omega, gamma, risk, certificate and gate as JSON values."""
        return plain(self, "P", "omega", "gamma", "risk", "certificate", "gate")

    def _shown(self) -> dict:
        if self.gate is None:
            weights = {"omega": np.array2string(self.omega, precision=4, threshold=6, edgeitems=3, separator=", ")}
        else:
            weights = {"gate": f"{self.gate:.6g}"}
        return {"risk": f"{self.risk:.6g}", "gamma": f"{self.gamma:.6g}", **weights}

    def __repr__(self):
        return f"WPGD({', '.join(f'{name}={value}' for name, value in self._shown().items())}, P: {self.P.shape})"

    def _repr_html_(self):
        return table("WPGD", self._shown() | {"P": self.P.shape, "certificate": self.certificate})


@dataclass(frozen=True)
class Uniqueness:
    """What is known of the uniqueness of the minimiser, up to scale: gap_Sigma, gap_R, bounds and verdicts.

    The fields are explained in `uniqueness`.
    """

    gap_Sigma: float
    gap_R: float
    bound_paper: float
    bound_sharp: float
    holds_paper: bool
    holds_sharp: bool

    def to_dict(self) -> dict:
        """The fields as JSON values."""
        return plain(self)


def population_risk(dist: PromptDistribution, P, omega) -> float:
    """The exact risk E (y - x^T P X^T (omega * y))^2 of a WPGD predictor.

        L(P, w) = M - 2 (r^T w) tr(Sigma Q) + M |w|^2 tr(Q^T Q) + (|w|^2 + w^T R w) tr(Sigma Q^T Q),

    with Q = Sx^1/2 P Sx^1/2. P (d, d), symmetric or not; omega (K,), per task, or (n,), per example.
    Raises ValueError or TypeError for wrong shapes and entries that are not finite.

    As derived here; Theorem 2 is about its stationary points.
    """
    _check_distribution(dist)
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


def optimal_wpgd(dist: PromptDistribution, weights="free") -> WPGD:
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
    _check_distribution(dist)
    if weights is not None and not isinstance(weights, str):
        return _best_P(dist, _some(dist, weights))
    _check.option("weights", weights, WEIGHTS)
    if not dist.r.any() and weights != "constant-gate":
        return _best_P(dist, np.ones(dist.K), "r = 0: no weights tell of the query's task")
    if weights == "uniform":
        return _best_P(dist, np.ones(dist.K))
    if weights == "free":
        return stationary_points(dist)[0]
    if weights == "monotone":
        # P may have either sign, so weights and their negatives are equally good: solve for r and for -r.
        return min(_monotone_points(dist, dist.r) + _monotone_points(dist, -dist.r), key=lambda point: point.risk)
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
    _check_distribution(dist)
    if not dist.r.any():
        return []
    lam, _ = dist.task_spectrum

    def F(gamma):
        return 1 + h1(dist, h2(dist, gamma))

    found = fixed_points(F, 1.0, 1.0 + lam.max())
    certificate = f"all {len(found)} stationary points enumerated"
    points = [_best_P(dist, _best_omega(dist, h2(dist, gamma)), certificate) for gamma in found]
    return sorted(points, key=lambda point: point.risk)


def h1(dist: PromptDistribution, h):
    """w^T R w / |w|^2 at w = (h R + I)^-1 r; h may be an array. The first of the two functions of Theorem 2.

    h1(h) = [sum lambda_i a_i^2 / (1 + lambda_i h)^2] / [sum a_i^2 / (1 + lambda_i h)^2], a = E^T D r.
    """
    h = _numbers(dist, "h", h)
    lam, a = dist.task_spectrum
    terms = (_unit(a) / (1 + lam * h[..., None])) ** 2
    return terms @ lam / terms.sum(-1)


def h2(dist: PromptDistribution, gamma):
    """tr(Sigma Q^2) / (M tr Q^2 + tr(Sigma Q^2)) at the best Q for gamma; gamma may be an array.

    h2(gamma) = 1 / (1 + M [sum s_i^2 / (M + gamma s_i)^2] / [sum s_i^3 / (M + gamma s_i)^2]).
    """
    gamma = _numbers(dist, "gamma", gamma)
    s, _ = dist.signal_spectrum
    terms = s / (dist.M + gamma[..., None] * s)
    terms = (terms / terms.max(-1, keepdims=True)) ** 2
    m = terms @ s / terms.sum(-1)
    return m / (dist.M + m)


def slope(dist: PromptDistribution, gamma: float) -> float:
    """F'(gamma), the slope of F = 1 + h1(h2(gamma)): below one at a minimum of the risk, above one at a saddle.

    h1' = -2 Cov_u(lambda, lambda / (1 + lambda h)) and h2' = -2 M / (M + m)^2 Cov_v(s, s / (M + gamma s)), where u and
    v are the weights of the means h1 and m (Theorem 2), so F' >= 0. The index is this book's addition.
    """
    gamma = _numbers(dist, "gamma", gamma)
    if gamma.ndim:
        raise _check.fail("gamma", "one number", f"shape {gamma.shape}")
    h = float(h2(dist, gamma))
    lam, a = dist.task_spectrum
    s, _ = dist.signal_spectrum
    M = dist.M
    dh1 = -2 * _covariance(lam, lam / (1 + lam * h), (_unit(a) / (1 + lam * h)) ** 2)
    v = (s / (M + gamma * s)) ** 2
    m = v @ s / v.sum()
    dh2 = -2 * M / (M + m) ** 2 * _covariance(s, s / (M + gamma * s), v)
    return float(dh1 * dh2)


def _numbers(dist, name, value):
    """Arguments of h1, h2 and slope, which are not defined at r = 0."""
    _check_distribution(dist)
    if not dist.r.any():
        raise _check.fail("dist", "a distribution whose r is not zero", repr(dist))
    value = _check.array(name, value)
    if value.size and not 0 <= value.min() <= value.max() <= 1e50:
        raise _check.fail(name, "from 0 to 1e50", f"values from {value.min():.3g} to {value.max():.3g}")
    return value


def _covariance(x, y, weights):
    weights = weights / weights.sum()
    return weights @ ((x - weights @ x) * (y - weights @ y))


def uniqueness(dist: PromptDistribution) -> Uniqueness:
    """Is the minimiser unique up to scale? The paper's sufficient condition, and this book's (Theorems A and B).

    - gap_Sigma, gap_R: effective spectral gaps, largest minus smallest non-zero eigenvalue (Definition 3).
    - holds_paper: gap_Sigma gap_R < bound_paper = M + s_min (Theorem 3).
    - holds_sharp: gap_Sigma gap_R < bound_sharp = (8/M)(M + Lambda_- s_+)(M + Lambda_+ s_-) (Theorem A),
      or Sigma has at most five non-zero eigenvalues (Theorem B).

    Both conditions are sufficient; neither is necessary. At r = 0 the minimisers are many, P = 0 or omega = 0 with the
    other anything, so that neither holds.
    """
    _check_distribution(dist)
    s, lam = (values[values > 0] for values in (dist.signal_spectrum[0], dist.task_spectrum[0]))
    M, s_min, s_max, Lam_min, Lam_max = dist.M, s.min(), s.max(), 1 + lam.min(), 1 + lam.max()
    gap_Sigma, gap_R = s_max - s_min, Lam_max - Lam_min
    bound_paper = M + s_min
    bound_sharp = 8 / M * (M + Lam_min * s_max) * (M + Lam_max * s_min)
    return Uniqueness(
        gap_Sigma=float(gap_Sigma),
        gap_R=float(gap_R),
        bound_paper=float(bound_paper),
        bound_sharp=float(bound_sharp),
        holds_paper=bool(dist.r.any() and gap_Sigma * gap_R < bound_paper),
        holds_sharp=bool(dist.r.any() and (gap_Sigma * gap_R < bound_sharp or len(s) <= 5)),
    )


# The two half-problems: the best weights for a given h, the best P for given weights.


def _best_omega(dist, h):
    """(h R + I)^-1 r for the n weights, written for the K: the counts N weigh the columns, (h R N + I) omega = r."""
    return np.linalg.solve(h * dist.R * np.array(dist.counts, dtype=np.float64) + np.eye(dist.K), _unit(dist.r))


def _own(dist, sums, ww):
    """|w|^2 + w^T (R - r r^T) w: what the weights gather besides the query's task. No cancellation of large numbers."""
    return ww + max(0.0, float(sums @ (dist.R - np.outer(dist.r, dist.r)) @ sums))


def _best_P(dist, omega, certificate="the best P for these weights, in closed form"):
    """The best predictor with given weights, per task or per example."""
    omega = _unit(omega)
    return _predictor(dist, *dist.block_sums(omega), omega, certificate)


def _predictor(dist, sums, ww, omega, certificate, gate=None):
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


def _constant(dist, t, certificate):
    """The best predictor with the constant gate e^-t; at t = inf, all weight on the last example, the limit."""
    last = np.append(np.zeros(dist.K - 1), 1.0)
    if t == np.inf:
        return _predictor(dist, last, 1.0, partial(_last_alone, dist.n), certificate, 0.0)
    counts = np.array(dist.counts, dtype=np.float64)
    after = dist.n - np.cumsum(counts)  # examples after each block

    def geometric(m, t):  # e^-t + ... + e^-mt
        return m if t == 0 else np.exp(-t) * np.expm1(-m * t) / np.expm1(-t)

    sums, ww = np.exp(-after * t) * geometric(counts, t), geometric(float(dist.n), 2 * t)
    return _predictor(dist, sums, ww, partial(_geometric_weights, dist.n, t), certificate, float(np.exp(-t)))


def _last_alone(n):
    return np.append(np.zeros(n - 1), 1.0)


def _geometric_weights(n, t):
    return np.exp(-t * np.arange(n, 0, -1.0))


def _some(dist, weights):
    """Given weights as an array, complained of if they are all zero or of the wrong shape."""
    weights = _check.array("weights", weights)
    if weights.shape not in ((dist.K,), (dist.n,)):
        expected = f"a class of weights or of shape ({dist.K},), per task, or ({dist.n},), per example"
        raise _check.fail("weights", expected, f"shape {weights.shape}")
    if not weights.any():
        raise _check.fail("weights", "not all zero", "zeros")
    return weights


def _unit(vector):
    """Only the direction of r matters for the weights; at unit scale no square underflows."""
    return vector / np.abs(vector).max()


def fixed_points(F, low, high, resolution=1e-7, rounding=64 * EPS):
    """All fixed points of a non-decreasing function F on [low, high], with F(low) >= low and F(high) <= high.

    A fixed point in [a, b] lies in [F(a), F(b)] too. So every interval is cut to its intersection with that, dropped
    if nothing is left, and halved, until it is relatively shorter than `resolution`. No fixed point can be lost; what
    is left covers all of them. F takes arrays to arrays, and is known to a relative `rounding`.

    What is left is read as follows. Between two places where F(x) - x has clear and opposite signs lies one point;
    between equal signs none, or a touch where F(x) = x to rounding. So points are told apart, and from none, where
    |F(x)/x - 1| between them exceeds four times the rounding: two at relative distances of some 1e-7, three at some
    1e-4, times powers of the curvature; nearer ones count as one. Where F(x) = x to rounding on a long stretch, the
    resolution is as much coarser as 2^17 intervals ask for.

    Raises ValueError or TypeError for bad bounds, and where F does not map [low, high] into itself.
    """
    low = _check.real("low", low, 0.0, expected="a finite number >= 0")
    high = _check.real("high", high, low, expected=f"a finite number >= low = {low:g}")
    resolution = _check.real("resolution", resolution, 1e-14, 1.0, "a number from 1e-14 to 1")
    rounding = _check.real("rounding", rounding, 0.0, 0.1, "a number from 0 to 0.1")

    def part_of(x):
        out = F(x)
        if np.shape(out) != x.shape:
            raise _check.fail("F", "a function from arrays to arrays of one shape", f"{x.shape} to {np.shape(out)}")
        return out

    def values(x):  # in parts, as F may need much memory for every number
        return np.concatenate([part_of(part) for part in np.array_split(x, 1 + x.size // 4096)])

    first, last = values(np.array([low, high]))
    if first < low * (1 - resolution) or last > high * (1 + resolution):
        expected = "such that F(low) >= low and F(high) <= high"
        raise _check.fail("F", expected, f"F({low:g}) = {first:g} and F({high:g}) = {last:g}")

    a, b, ends = np.array([low]), np.array([high]), [low, high]
    while a.size:
        Fa, Fb = np.split(values(np.concatenate([a, b])), 2)
        if not np.isfinite([Fa, Fb]).all():
            raise FloatingPointError("the fixed-point map is not finite: the distribution is out of float64's range")
        a, b = np.maximum(a, Fa * (1 - rounding)), np.minimum(b, Fb * (1 + rounding))
        # Next to zero no length is relatively short; there the smallest normal number is short enough.
        done = (b - a <= np.maximum(resolution * b, np.finfo(np.float64).tiny)) | (a.size > 2**17)
        ends += [*a[done & (a <= b)], *b[done & (a <= b)]]
        a, b = a[~done], b[~done]
        middle = (a + b) / 2
        a, b = np.concatenate([a, middle]), np.concatenate([middle, b])

    x = np.unique(ends)
    excess = values(x) - x
    # F(low) >= low and F(high) <= high, whatever rounding says: a clear sign before the first place and after the last.
    clear = np.flatnonzero(np.abs(excess) > 4 * rounding * x)
    signs = [1, *np.sign(excess[clear]), -1]
    found = []
    for (i, j), (before, after) in zip(pairwise([-1, *clear, len(x)]), pairwise(signs), strict=True):
        a, b = max(i, 0), min(j, len(x) - 1)
        nearest = a + np.argmin(np.abs(excess[a : b + 1]))
        if before == after:  # at most one point, as rounding cannot tell more apart
            if abs(excess[nearest]) <= rounding * x[nearest]:
                found.append(x[nearest])
        else:
            found.append(_crossing(F, x[a], x[b]) if excess[a] * excess[b] < 0 else x[nearest])
    return np.array(found)


def _crossing(F, a, b):
    """The fixed point between a and b, where F(x) - x changes its sign."""

    def excess(x):
        return float(F(np.array([x]))[0]) - x

    if excess(a) * excess(b) >= 0:  # one place alone is rounded otherwise than among many
        return min(a, b, key=lambda x: abs(excess(x)))
    return brentq(excess, a, b, xtol=EPS, rtol=4 * EPS)


def _monotone_points(dist, r):
    """Stationary points over the cone 0 <= omega_1 <= ... <= omega_K, for weights with r^T w > 0.

    For a fixed h the best weights minimise w^T (h R + I) w - 2 r^T w over the cone: a convex problem, non-negative
    least squares in the increments z >= 0 of omega = L z. The map gamma -> 1 + w^T R w / |w|^2 does not decrease
    (as without the cone), so its fixed points can be enumerated in the same way.
    """
    counts = np.array(dist.counts, dtype=np.float64)
    L = np.tril(np.ones((dist.K, dist.K)))
    gain = L.T @ (counts * r)
    if (gain <= dist.K * EPS * (L.T @ (counts * np.abs(r)))).all():  # no weights in the cone have r^T w > 0
        return []
    # |sqrt(N) (omega - r)|^2 + h |R^1/2 N omega|^2 is the objective, up to a constant.
    own, shared = np.sqrt(counts)[:, None] * L, psd_root(dist.R) @ (counts[:, None] * L)
    target = np.concatenate([np.sqrt(counts) * _unit(r), np.zeros(dist.K)])
    target /= np.linalg.norm(target)

    def omega(h):
        A = np.concatenate([own, np.sqrt(h) * shared])
        scale = 1 / np.linalg.norm(A, axis=0)
        z, _ = nnls(A * scale, target, maxiter=30 * dist.K)
        if not z.any():  # all that can be gained is below nnls's tolerance: any way up will do
            z = np.eye(dist.K)[np.argmax(gain * scale)]
        return L @ (scale * z)

    def F(gamma):
        out = []
        for h in h2(dist, gamma):
            _, ww, wRw = dist.moments(_unit(omega(h)))
            out.append(1 + wRw / ww)
        return np.array(out)

    top = 1 + dist.task_spectrum[0].max()
    # Least squares in turns over active sets knows omega less well than a formula would.
    found = fixed_points(F, 1.0, top, resolution=1e-6, rounding=1e-12)
    certificate = "all stationary points over the cone enumerated, for P of either sign"
    return [_best_P(dist, omega(h2(dist, gamma)), certificate) for gamma in found]


def _constant_gate(dist):
    """The best over one gate value; what is known of it stands in the certificate."""
    if not dist.r.any():
        return _constant(dist, 0.0, "r = 0: no weights tell of the query's task")
    found = constant_gate(dist)
    point = _constant(dist, found.t, "")
    return replace(point, certificate=found.certificate(dist, point.risk))


def _check_distribution(dist):
    if not isinstance(dist, PromptDistribution):
        raise TypeError(f"dist must be a PromptDistribution; got {type(dist).__name__}")

"""The best constant gate, with a certificate: branch and bound over the gate value. No torch.

With one gate g for all tokens an example of age a = 0, ..., n-1 has the weight g^a, up to a factor. With the best
P the risk is M - G(g),

    G = p^2 T,    T(V, W) = sum_i s_i^2 / ((M + s_i) V + s_i W),    p = r^T w,    V = |w|^2,    W = w^T R w,

and p, V, W come from K sums over blocks, which are geometric. What bounds G between two gates g1 < g2 is a chord:

1. g^a is convex, so on [g1, g2] w lies below the straight line between w(g1) and w(g2), by e >= 0 with
   e_a <= (g2 - g1)^2/8 a (a - 1) g2^(a-2). Sums of powers are known, finite or not, so |e|_1 <= e1 and |e|_2 <= e2.
2. So |p| is above the line between its ends by at most |r^T e| <= min(max|r| e1, |r| e2). And sqrt(e^T R e) is at most
   E = min(e1, sqrt(lam) e2), where lam is the largest sum of |R_ij| in a row; hence W is below its line by at most
   (w2 - w1)^T R (w2 - w1)/4 + 2 E sqrt(max(W1, W2)). V is so by at most (g2 - g1)^2/8 max V'', again a known sum.
3. 1/T is a harmonic sum of linear functions, hence concave in (V, W), so p^2 T is convex where p, V and W run along
   straight lines: it is largest at an end. The bound is the larger of G's values at the two ends with the errors in.

Errors are of second order in g2 - g1, at the scale of what is nearby. A cell of gates whose bound is no better than the
best value found is done; the others are halved. Rounding is bounded and counted in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _check
from ._check import Array
from .distribution import PromptDistribution
from .fixed_points import root
from .spectra import EPS

TOLERANCE = 1e-9  # of the gain M - risk
LARGEST = 5 * 10**7  # numbers in all points evaluated, a bound on time and memory; what was reached by then is said


@dataclass(frozen=True)
class ConstantGate:
    """The best constant gate exp(-t), and a number that no constant gate's risk is below; 1 at t = 0, 0 at t = inf."""

    t: float
    bound: float
    evaluations: int

    def certificate(self, dist: PromptDistribution, risk: float) -> str:
        """What is known of a predictor with this gate and that risk. Its digits are rounded up."""
        reached = max(TOLERANCE, 1.06 * (risk - self.bound) / dist.M)
        return f"branch and bound over the gate: no constant gate has a risk more than {reached:.1e} M below this one"


class Points(NamedTuple):
    """At gates 1 - c, of which there are m: block sums S of the weights (m, K), R S (m, K), and all else (m,)."""

    c: Array
    S: Array
    RS: Array
    p: Array
    V: Array
    W: Array
    gain: Array

    def at(self, index: Any) -> Points:
        return Points(*(value[index] for value in self))


class Objective:
    """G as a function of c = 1 - g, and its bounds. Gates next to one keep their digits.

    The largest |r_k| and the largest s_i are taken out: G is `unit` times what is computed.
    """

    def __init__(self, dist: PromptDistribution) -> None:
        counts = np.array(dist.counts, dtype=np.float64)
        size = np.abs(dist.r).max()
        self.r, self.R, self.counts, self.n = dist.r / size, dist.R, counts, float(dist.n)
        self.after = float(dist.n) - np.cumsum(counts)  # examples after each block
        s, self.times = np.unique(dist.signal_spectrum[0], return_counts=True)
        self.unit, self.s, self.own = s[-1] * size**2, s / s[-1], dist.M / s[-1] + s / s[-1]
        self.lam = (np.abs(dist.R) @ counts).max()
        # A sum of K products is good to K half EPS of the sum of their sizes; geometric sums lose 8 half EPS.
        self.rounding = (dist.K + len(s) + 16) * EPS

    def gain(self, p: Array, V: Array, W: Array) -> Array:
        G: Array = p**2 * ((self.times * self.s**2) / (self.own * V[..., None] + self.s * W[..., None])).sum(-1)
        return G

    def points(self, c: Array) -> Points:
        with np.errstate(divide="ignore"):
            t = np.minimum(-np.log1p(-c), 800.0)  # at 800 all powers but the zeroth are zero
        S = np.exp(-self.after * t[:, None]) * geometric(self.counts, t[:, None])
        RS, V = S @ self.R, geometric(self.n, 2 * t)
        p, W = S @ self.r, np.maximum(np.sum(S * RS, axis=1), 0.0)
        return Points(c, S, RS, p, V, W, self.gain(p, V, W))

    def errors(self, low: Points, high: Points) -> tuple[Array, Array, Array]:
        """Between gates 1 - high.c < 1 - low.c: how far |p| may be above, V and W below, the lines between the ends."""
        n, c = self.n, low.c
        y, square = (1 - c) ** 2, (high.c - c) ** 2 / 8
        with np.errstate(divide="ignore", over="ignore"):
            q = 1 / (c * (2 - c))  # 1 / (1 - y)
            # Of a (a-1) g2^(a-2): the sum, and the root of the sum of squares. Then the sum of 2a (2a-1) g2^(2a-2).
            one = np.minimum(2 / c**3, n * (n - 1) * (n - 2) / 3)
            two = np.minimum(4 * (1 + 4 * y + y**2) * q**5, n * (n - 1) * (n - 2) * (3 * n**2 - 6 * n + 1) / 15) ** 0.5
            three = np.minimum((2 + 6 * y) * q**3, n * (n - 1) * (4 * n - 5) / 3)
        e1, e2 = square * one, square * two
        chord = np.sum((high.S - low.S) * (high.RS - low.RS), axis=1)
        E = np.minimum(e1, np.sqrt(self.lam) * e2)
        off_p = np.minimum(e1, np.sqrt(self.counts @ self.r**2) * e2)
        return off_p, square * three, chord / 4 + 2 * E * np.sqrt(np.maximum(low.W, high.W))

    def bounds(self, low: Points, high: Points) -> tuple[Array, NDArray[np.bool_]]:
        """An upper bound of G on each cell, and whether rounding is most of its errors."""
        off_p, off_V, off_W = self.errors(low, high)
        total = low.S.sum(axis=1)  # the larger of both ends
        slack_p, slack_W = self.rounding * total, self.rounding * total**2
        exhausted = (off_p <= slack_p) & (off_V <= self.rounding * low.V) & (off_W <= slack_W)
        p, V, W = (np.stack(ends) for ends in ((low.p, high.p), (low.V, high.V), (low.W, high.W)))
        p = np.abs(p) + off_p + slack_p
        # Where an error is not small beside the value itself, a constant: V rises with g, and W >= 0.
        V = np.where(off_V < V[1] / 2, V - off_V, V[1]) * (1 - self.rounding)
        W = W - off_W - slack_W
        W = np.where(W.min(axis=0) > 0, W, 0.0)
        return self.gain(p, V, W).max(axis=0) * (1 + self.rounding), exhausted

    def slope(self, t: float) -> float:
        """d log G / dt at a gate exp(-t), 0 < t < inf."""
        S, V = np.exp(-self.after * t) * geometric(self.counts, t), geometric(self.n, 2 * t)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            dS = S * (self.counts / np.expm1(self.counts * t) - 1 / np.expm1(t) - self.after)
            dV = V * 2 * (self.n / np.expm1(2 * self.n * t) - 1 / np.expm1(2 * t))
            line = self.own * V + self.s * (S @ self.R @ S)
            change = self.own * dV + self.s * 2 * (dS @ self.R @ S)
            of = self.times * (self.s / line) ** 2  # d log T = -sum of * change / sum of * line
            return float(2 * (self.r @ dS) / (self.r @ S) - of @ change / (of @ line))


def constant_gate(dist: PromptDistribution) -> ConstantGate:
    """The gate value exp(-t) of the largest gain; t = 0 and t = inf, its ends, are among those tried. r is not zero."""
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    if not dist.r.any():
        raise _check.fail("dist", "a distribution whose r is not zero", repr(dist))
    objective = Objective(dist)
    start = np.append(0.0, 0.5 ** np.arange(np.ceil(np.log2(dist.n)), -1, -1.0))
    points = objective.points(start)
    low, high = points.at(slice(None, -1)), points.at(slice(1, None))
    seen, best, upper = [(points.c, points.gain)], points.gain.max(), 0.0
    numbers = points.S.size + 10 * len(start)
    while low.c.size:
        bounds, done = objective.bounds(low, high)
        done |= bounds <= best * (1 + TOLERANCE)
        numbers += int(np.count_nonzero(~done)) * (dist.K + 10)
        if numbers > LARGEST:
            done[:] = True
        upper = max(upper, bounds[done].max(initial=0.0))
        low, high = low.at(~done), high.at(~done)
        middle = objective.points((low.c + high.c) / 2)
        seen.append((middle.c, middle.gain))
        best = max(best, middle.gain.max(initial=0.0))
        low, high = (Points(*map(np.concatenate, zip(*pair, strict=True))) for pair in ((low, middle), (middle, high)))
    c, gain = (np.concatenate(values) for values in zip(*seen, strict=True))
    t, largest = _refined(objective, c, gain)
    bound = dist.M * (1 - EPS) - objective.unit * max(upper, largest)
    return ConstantGate(t, max(0.0, float(bound)), len(c))


def _refined(objective: Objective, c: Array, gain: Array) -> tuple[float, float]:
    """t and gain of the best point: an end that rounding cannot tell from it, else where the slope is zero nearby."""
    order = np.argsort(c)
    c, gain = c[order], gain[order]
    i = int(np.argmax(gain))
    with np.errstate(divide="ignore"):
        t = -np.log1p(-c)
    found = [(t[i], gain[i])]
    # Closer to the ends the slope is lost in rounding, and the value does not change.
    around = np.clip(t[[max(i - 1, 0), min(i + 1, len(c) - 1)]], 1e-6 / objective.n, 36.0)
    slopes = [objective.slope(end) for end in around]
    if around[0] < around[1] and slopes[0] > 0 > slopes[1]:
        best = root(objective.slope, around[0], around[1], xtol=1e-300)
        found.append((best, objective.points(-np.expm1([-best])).gain[0]))
    enough = max(value for _, value in found) * (1 - objective.rounding)
    return next(
        (float(at), value) for at, value in ((t[0], gain[0]), (t[-1], gain[-1]), *found[::-1]) if value >= enough
    )


def geometric(m: Array | float, t: Array | float) -> Array:
    """1 + e^-t + ... + e^-(m-1)t for m and t that broadcast."""
    with np.errstate(invalid="ignore"):
        return np.where(t > 0, np.expm1(-m * t) / np.expm1(-t), m)

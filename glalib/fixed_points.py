"""All fixed points of a function that does not decrease. No torch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from . import _check
from ._check import Array
from .spectra import EPS


def fixed_points(
    F: Callable[[Array], Array], low: float, high: float, resolution: float = 1e-7, rounding: float = 64 * EPS
) -> Array:
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

    def part_of(x: Array) -> Array:
        out = F(x)
        if np.shape(out) != x.shape:
            raise _check.fail("F", "a function from arrays to arrays of one shape", f"{x.shape} to {np.shape(out)}")
        return out

    def values(x: Array) -> Array:  # in parts, as F may need much memory for every number
        return np.concatenate([part_of(part) for part in np.array_split(x, 1 + x.size // 4096)])

    first, last = values(np.array([low, high]))
    if first < low * (1 - resolution) or last > high * (1 + resolution):
        expected = "such that F(low) >= low and F(high) <= high"
        raise _check.fail("F", expected, f"F({low:g}) = {first:g} and F({high:g}) = {last:g}")

    x = _covering(values, low, high, resolution, rounding)
    excess = values(x) - x
    # F(low) >= low and F(high) <= high, whatever rounding says: a clear sign before the first place and after the last.
    clear = np.flatnonzero(np.abs(excess) > 4 * rounding * x)
    signs = [1, *np.sign(excess[clear]), -1]
    found = []
    for (i, j), (before, after) in zip(pairwise([-1, *clear, len(x)]), pairwise(signs), strict=True):
        start, stop = max(i, 0), min(j, len(x) - 1)
        nearest = start + int(np.argmin(np.abs(excess[start : stop + 1])))
        if before == after:  # at most one point, as rounding cannot tell more apart
            if abs(excess[nearest]) <= rounding * x[nearest]:
                found.append(x[nearest])
        else:
            found.append(_crossing(F, x[start], x[stop]) if excess[start] * excess[stop] < 0 else x[nearest])
    return np.array(found)


def _covering(values: Callable[[Array], Array], low: float, high: float, resolution: float, rounding: float) -> Array:
    """The ends of short intervals that cover all fixed points."""
    a, b = np.array([low]), np.array([high])
    ends = [low, high]
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
    return np.unique(ends)


def _crossing(F: Callable[[Array], Array], a: float, b: float) -> float:
    """The fixed point between a and b, where F(x) - x changes its sign."""

    def excess(x: float) -> float:
        return float(F(np.array([x]))[0]) - x

    if excess(a) * excess(b) >= 0:  # one place alone is rounded otherwise than among many
        return min(a, b, key=lambda x: abs(excess(x)))
    return root(excess, a, b, EPS)


def root(f: Callable[[float], float], a: float, b: float, xtol: float) -> float:
    """Where f is zero between a and b, by Brent's method, to xtol or 4 EPS of it."""
    from scipy.optimize import root_scalar  # here, as it takes a while to load

    return float(root_scalar(f, bracket=(a, b), method="brentq", xtol=xtol, rtol=4 * EPS).root)

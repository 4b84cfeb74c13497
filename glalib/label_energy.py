"""What labels tell of a task's size, and what the best use of that gains: closed forms for white features.

S = sum y_i^2 over a block of n examples of one task in d dimensions, Sigma_x = C = I, no noise. S = V s with
independent chi-squared V and s of n and d degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.special import kve
from scipy.stats import chi2

from ._check import Array


def count_hat(S: Array, n: int, d: int) -> Array:
    """E[S / |beta|^2 | S] = z K_{p+1}(z) / K_p(z), z = sqrt(S), p = (n - d) / 2, of the shape of S."""
    p, z = abs(n - d) / 2, np.sqrt(S)
    order = p % 1 - (n < d)  # from there upwards, which loses no digits
    ratio: Array = z * kve(abs(order + 1), z) / kve(abs(order), z)
    while order < p - (n < d) - 0.25:
        order += 1
        ratio = 2 * order + S / ratio
    return ratio if n >= d else S / ratio


@cache
def nodes(k: int, points: int = 200) -> tuple[Array, Array]:
    """Values and weights for means over chi-squared with k degrees of freedom."""
    low, high = np.log(chi2.ppf(1e-17, k)), np.log(chi2.isf(1e-17, k))
    t, w = np.polynomial.legendre.leggauss(points)
    x = np.exp(low + (high - low) * (t + 1) / 2)
    return x, w * (high - low) / 2 * x * chi2.pdf(x, k)


def energies(n: int, d: int, tilt: int = 0) -> tuple[Array, Array]:
    """Values and weights of S = V s; with tilt = 2, each prompt counted S times."""
    (V, w), (s, u) = nodes(n + tilt), nodes(d + tilt)
    return np.outer(V, s), np.outer(w, u)


def gain(n: int, d: int) -> float:
    """What reading S gains in the risk, for r = 1: a mean of 1/U less 1/(mean of U)."""
    S, w = energies(n, d, tilt=2)
    U = count_hat(S, n, d) + d - 1
    return float(n * d * (w * (U - (n + d + 1)) ** 2 / U).sum() / (n + d + 1) ** 2)


def energy_risk(d: int, counts: Sequence[int], r: Sequence[float]) -> float:
    """The least risk of weights that read label energies: that of the best fixed ones, less sum r_k^2 gain(n_k, d)."""
    fixed = d - sum(share**2 * n * d / (n + d + 1) for n, share in zip(counts, r, strict=True))
    return fixed - sum(share**2 * gain(n, d) for n, share in zip(counts, r, strict=True))

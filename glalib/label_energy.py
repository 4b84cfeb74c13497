"""What labels tell of a task's size, what the best use of that gains, and what causal gates get: white features.

S = sum y_i^2 over a block of n examples of one task in d dimensions, Sigma_x = C = I, no noise. S = V s with
independent chi-squared V and s of n and d degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
from scipy.special import expit, gammainccinv, gammaincinv, gammaln, kve

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
    low, high = np.log(2 * gammaincinv(k / 2, 1e-17)), np.log(2 * gammainccinv(k / 2, 1e-17))
    t, w = np.polynomial.legendre.leggauss(points)
    x = np.exp(low + (high - low) * (t + 1) / 2)
    density = np.exp(k / 2 * np.log(x / 2) - x / 2 - gammaln(k / 2))  # of log x
    return x, w * (high - low) / 2 * density


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


def block_sums(gate: Callable[[Array], Array], n: int, d: int) -> list[float]:
    """E sum w_i y_i^2, E |sum w_i y_i x_i|^2, E prod g, E prod g^2, with g_j = gate(y_j) and w_i = prod_{j>i} g_j."""
    s, w = nodes(d, 60)
    at, weight = np.polynomial.hermite_e.hermegauss(60)
    y = np.sqrt(s)[:, None] * at  # the labels, given |beta|^2
    g = gate(y)
    one, two, mixed = ((v * weight).sum(1) / weight.sum() for v in (g, g * g, g * y * y))
    once, twice = (m[:, None] ** np.arange(n) for m in (one, two))
    pairs = (np.cumsum(once, 1)[:, :-1] * twice[:, -2::-1]).sum(1) if n > 1 else 0
    square = 3 * s * twice.sum(1) + 2 * mixed * pairs + (d - 1) * s * twice.sum(1)
    return [float(w @ v) for v in (s * once.sum(1), square, one**n, two**n)]


def both_sums(gate: Callable[[Array, Array], Array], n: int, d: int) -> list[float]:
    """The same sums for g_j = gate(|x_j|^2, y_j), which is even in the label and d at least 2."""
    s, w = nodes(d, 60)
    at, weight = np.polynomial.hermite_e.hermegauss(60)  # x along the task; across it, chi-squared
    at, weight = at[30:, None], 2 * weight[30:, None] / weight.sum()
    across, share = nodes(d - 1, 60)
    y, law = np.sqrt(s)[:, None, None] * at, weight * share
    g = np.broadcast_to(gate(at**2 + across, y), (len(s), len(at), len(across)))
    one, two, mixed = ((v * law).sum((1, 2)) for v in (g, g * g, g * y * y))
    told, square = np.zeros_like(s), np.zeros_like(s)
    for _ in range(n):  # the state meets a gate, then the example is written
        told, square = one * told + s, two * square + 2 * mixed * told / s + (d + 2) * s
    return [float(w @ v) for v in (told, square, one**n, two**n)]


def gate_risk(d: int, r: Sequence[float], sums: Sequence[Sequence[float]]) -> float:
    """The risk of causal gates with these sums in each block; delimiters and P at best."""
    risk, one, two = float(d), 1.0, 1.0  # one, two: what later gates do to a block, and to its square
    for share, (told, square, g, gg) in reversed(list(zip(r, sums, strict=True))):
        risk -= share**2 * (one * told) ** 2 / (two * square)
        one, two = one * g, two * gg
    return risk


def sigmoid_risk(d: int, counts: Sequence[int], r: Sequence[float], logits: Sequence[float], slope: float) -> float:
    """The risk of gates sigmoid(logit_k + slope y) in block k; delimiters and P at best."""
    blocks = zip(counts, logits, strict=True)
    return gate_risk(d, r, [block_sums(partial(_sigmoid, logit, slope), n, d) for n, logit in blocks])


def _sigmoid(logit: float, slope: float, y: Array) -> Array:
    g: Array = expit(logit + slope * y)
    return g


def best_sigmoid(d: int, counts: Sequence[int], r: Sequence[float]) -> tuple[float, Array]:
    """The least risk over the logits and one slope, and where it is."""
    from scipy.optimize import minimize  # here, as it takes a while to load

    start = [*(np.log(2 * n * d) + 1 for n in counts), 1.2 / np.sqrt(d)]
    options = {"xatol": 1e-4, "fatol": 1e-8, "maxiter": 600}
    found = minimize(lambda x: sigmoid_risk(d, counts, r, x[:-1], x[-1]), start, method="Nelder-Mead", options=options)
    return float(found.fun), found.x

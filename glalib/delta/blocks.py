"""Two independent tasks, white features, one step for each task: the delta rule's gain as a formula. No torch.

With one step a block of n examples, started at zero, has the overlap 1 - theta with its task and some energy, per
dimension. What was there before it multiplies by theta in overlap and by mu in energy. So with relevances r and a decay
at the switch

    gain / d = (decay r_1 theta_2 (1 - theta_1) + r_2 (1 - theta_2))^2 / (decay^2 mu_2 energy_1 + energy_2),

where the gain is M - risk at the best scale. All is for arrays of cases; `risk` has single ones, for any prompts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array

Pair = tuple[ArrayLike, ArrayLike]
COARSE = 30  # steps of each task where the search begins
ROUNDS = 30  # of Newton's method


def block(step: ArrayLike, n: ArrayLike, d: ArrayLike, noise: ArrayLike = 0.0) -> tuple[Array, Array, Array]:
    """theta, mu and energy of a block: (1 - step)^n, ((1 - step)^2 + (d + 1) step^2)^n, and the energy of its estimate.

    - step: in (0, 1). n, d: how many examples and features. noise: sigma^2. All broadcast; so do the results.

    Raises ValueError or TypeError for steps outside (0, 1), n and d that are not positive, and noise below zero.
    """
    step, n, d, noise = (_check.array(*pair) for pair in (("step", step), ("n", n), ("d", d), ("noise", noise)))
    for name, value, low in (("step", step, 0), ("n", n, 0), ("d", d, 0)):
        if not (value > low).all():
            raise _check.fail(name, "positive", _check.short(value))
    if not (step < 1).all():
        raise _check.fail("step", "below one", _check.short(step))
    if not (noise >= 0).all():
        raise _check.fail("noise", "zero or more", _check.short(noise))
    return _block(step, n, d, noise)


def _block(step: Array, n: Array, d: Array, noise: Array) -> tuple[Array, Array, Array]:
    log = np.log1p(-step)
    grow = np.log1p((d + 1) * (step / (1 - step)) ** 2)  # mu = theta^2 exp(n grow)
    with np.errstate(over="ignore", invalid="ignore"):  # a step that long gains nothing
        theta, mu = np.exp(n * log), np.exp(n * (grow + 2 * log))
        short = -np.expm1(grow + 2 * log)
        kept = np.where(short == 0, n, -np.expm1(n * (grow + 2 * log)) / np.where(short == 0, 1.0, short))
        energy = np.expm1(n * log) ** 2 - mu * np.expm1(-n * grow) + noise * step**2 * kept
    return theta, mu, energy


def two_block_gain(
    r: Pair, steps: Pair, n: Pair, d: ArrayLike, noise: ArrayLike = 0.0, decay: ArrayLike = 1.0
) -> Array:
    """(M - risk) / d for two blocks, at the best scale; r, steps and n are pairs, (first, last). All broadcast.

    - decay: what the estimate is multiplied by between the blocks.

    Raises ValueError or TypeError as `block`, and for decays outside [0, 1].
    """
    decay = _check.array("decay", decay)
    _check.unit_interval("decay", decay)
    r1, r2 = (_check.array("r", value) for value in r)
    theta1, _, energy1 = block(steps[0], n[0], d, noise)
    theta2, mu2, energy2 = block(steps[1], n[1], d, noise)
    return _gain((r1, r2), (theta1, energy1), (theta2, mu2, energy2), decay)


def _gain(r: tuple[Array, Array], first: tuple[Array, ...], last: tuple[Array, ...], decay: Array) -> Array:
    (theta1, energy1), (theta2, mu2, energy2) = first, last
    with np.errstate(over="ignore", invalid="ignore"):
        overlap = decay * r[0] * theta2 * (1 - theta1) + r[1] * (1 - theta2)
        out: Array = overlap**2 / (decay**2 * mu2 * energy1 + energy2)
    return np.where(np.isfinite(out), out, 0.0)


def best_two_blocks(r: Pair, n: Pair, d: ArrayLike, noise: ArrayLike = 0.0) -> tuple[Array, Array, Array]:
    """The largest (M - risk) / d without decay, and the steps of the first and the last block. All broadcast.

    Looked for on a grid of steps, of the size of 1 / n to that of 1 / d, and from its best point by Newton's method,
    which follows ridges for up to some thousand examples. No proof that it is global; where no steps are best, it is
    near the weighted step's gain.

    Raises ValueError or TypeError as `block`.
    """
    block(0.5, n[0], d, noise)
    block(0.5, n[1], d, noise)
    names = ("r", "r", "n", "n", "d", "noise")
    values = [_check.array(name, value) for name, value in zip(names, (*r, *n, d, noise), strict=True)]
    r1, r2, n1, n2, D, s = np.broadcast_arrays(*values)

    def gain(z: Array) -> Array:
        """z (2, ...): logarithms of steps / (1 - steps)."""
        wide = (...,) + (None,) * (z.ndim - 1 - D.ndim)
        a, b = 1 / (1 + np.exp(-z))
        theta1, _, energy1 = _block(a, n1[wide], D[wide], s[wide])
        return _gain((r1[wide], r2[wide]), (theta1, energy1), _block(b, n2[wide], D[wide], s[wide]), np.ones(()))

    low = np.minimum(-7.0, np.log(0.01 * (D + 1) / np.maximum(n1, n2)))[..., None]
    line = low + np.linspace(0.0, 1.0, COARSE) * (1 - low) - np.log(D + 1)[..., None]
    grid = gain(np.stack(np.broadcast_arrays(line[..., :, None], line[..., None, :])))
    i, j = np.unravel_index(grid.reshape(*D.shape, -1).argmax(-1), (COARSE, COARSE))
    z = np.stack([np.take_along_axis(line, k[..., None], -1)[..., 0] for k in (i, j)])
    value = gain(z)
    for _ in range(ROUNDS):
        move = _newton(gain, z)
        for share in (1.0, 0.3, 0.1, 0.01):
            moved = gain(z + share * move)
            better = moved > value
            z, value = np.where(better, z + share * move, z), np.where(better, moved, value)
            move = np.where(better, 0.0, move)
    first, last = 1 / (1 + np.exp(-z))
    return value, first, last


def _newton(gain: Any, z: Array) -> Array:
    """Newton's step for the logarithm of the gain, by differences; upwards also where it is not concave."""
    h = 1e-3
    one, two = (np.reshape(v, (2,) + (1,) * (z.ndim - 1)) for v in ([h, 0.0], [0.0, h]))
    middle, a, b, c, e, f, g = (np.log(gain(z + v)) for v in (0 * one, one, -one, two, -two, one + two, -one - two))
    slope = np.stack([a - b, c - e], axis=-1) / (2 * h)
    xx, yy, xy = a + b - 2 * middle, c + e - 2 * middle, (f + g - a - b - c - e + 2 * middle) / 2
    values, vectors = np.linalg.eigh(np.stack([xx, xy, xy, yy], axis=-1).reshape(*xx.shape, 2, 2) / h**2)
    along = np.einsum("...ij,...i->...j", vectors, slope) / np.maximum(np.abs(values), 1e-12)
    step = np.einsum("...ij,...j->i...", vectors, along)
    out: Array = step * np.minimum(1.0, 0.5 / np.maximum(np.abs(step).max(0), 1e-300))
    return out

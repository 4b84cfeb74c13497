"""A search for the best steps of the delta rule, in the moments of `law`. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import Array
from .law import Law

STARTS = 64  # random ones that are looked at; searches begin at the best few of all
SEARCHES = 6
MOST, MANY = 16, 300  # further starts of the search for decays per example, and numbers in all of them


def best_steps(law: Law, per: str, decay: bool) -> tuple[tuple[Array, Array], int]:
    """Steps and decays, one for each of `per`, and the number of searches.

    What is found per task begins the search per example, and what is found without decay that with it.
    """
    starts = _starts(law, per)
    if per == "example":
        (steps, _), _ = best_steps(law, "task", False)
        starts = np.concatenate([starts[:1], steps[None, law.dist.task_index] / law.unit])
    found = [_search(law, per, start) for start in starts]
    if decay:
        first = max(found, key=lambda pair: pair[0])[1]
        size, rng = len(first), np.random.default_rng(0)
        if per == "example":  # erasing stays what it is, or falls to zero, in even steps
            more = [np.concatenate([first, share]) for share in (np.eye(size)[-1], np.ones(size) / size)]
            shape, count = (16 * STARTS, size), min(MOST, MANY // size)  # where steps differ in sign, many maxima
            steps = 10 ** rng.uniform(-2, 0.3, size=(shape[0], 1)) * rng.normal(size=shape)
            tried = np.hstack([steps, 2 / size * rng.random(shape)])
            more += [*_best_of(law, per, tried)[: count - count // 4], *tried[: count // 4]]
        else:
            more = [np.concatenate([first, np.full(size, share)]) for share in (1.0, 0.9)]
            tried = np.hstack([_random(law, per, 4 * STARTS), rng.random((4 * STARTS, size))])
            more += [*_best_of(law, per, tried)[:SEARCHES], *tried[:SEARCHES]]
        found += [_search(law, per, start) for start in more]
    _, best = max(found, key=lambda pair: pair[0])
    return _steps_and_decays(law, per, best, len(starts[0])), len(found)


def _steps_and_decays(law: Law, per: str, z: Array, size: int) -> tuple[Array, Array]:
    steps, rest = z[:size] * law.unit, z[size:]
    if not len(rest):
        return steps, np.ones(size)
    if per != "example":
        return steps * _before(law, per, rest), rest
    share = _shares(rest)
    share = np.maximum(share, 1e-9 * share[0])  # where nothing is to be erased, next to nothing
    return steps * share, share / np.concatenate([share[:1], share[:-1]])


def _starts(law: Law, per: str) -> Array:
    """The best few of many steps, in units of law.unit: shares of the best weights of small steps, and random ones."""
    omega = np.ones(1) if per == "prompt" else law.limit()[0]
    tried = np.concatenate([np.outer((0.01, 0.1, 0.3, 1.0), omega), _random(law, per, STARTS)])
    best = _best_of(law, per.replace("example", "task"), tried)[:SEARCHES]
    return best[:, law.dist.task_index] if per == "example" else best


def _random(law: Law, per: str, times: int) -> Array:
    """Steps for the prompt or per task, most of them of the signs that small steps have."""
    rng, omega = np.random.default_rng(0), np.ones(1) if per == "prompt" else law.limit()[0]
    shape = (times, len(omega))
    return 10 ** rng.uniform(-2, 0.2, size=shape) * np.where((rng.random(shape) < 0.8) == (omega >= 0), 1, -1)


def _best_of(law: Law, per: str, tried: Array) -> Array:
    """The same, the largest gains first; steps for the prompt, per task or per example, and decays if there are any."""
    size = {"prompt": 1, "task": law.dist.K, "example": law.dist.n}[per]
    gains = _gain(law, per, tried[:, :size] * law.unit, tried[:, size:])
    return tried[np.argsort(-gains, kind="stable")]


def _gain(law: Law, per: str, write: Any, rest: Any) -> Any:
    """The gain in the variables of the search."""
    if not rest.shape[-1]:
        steps = _expand(law, per, write)
        return law.gain(steps, steps, np.ones(1))
    if per == "example":
        return law.gain(write, write * _shares(rest), np.ones(1))
    steps = _expand(law, per, write * _before(law, per, rest))
    return law.gain(steps, steps, _expand(law, per, rest))


def _before(law: Law, per: str, decays: Any) -> Any:
    """A at the first example of each task, by which its step is divided where it writes."""
    if per == "prompt":
        return np.ones_like(decays)
    blocks = np.cumprod(decays[..., :-1] ** np.array(law.dist.counts[:-1]), axis=-1)
    return decays * np.concatenate([np.ones_like(decays[..., :1]), blocks], axis=-1)


def _expand(law: Law, per: str, z: Any) -> Any:
    """(..., n) from one number for the prompt or one per task; from what is per example, itself."""
    if per == "example":
        return z
    return z[..., 0 * law.dist.task_index if per == "prompt" else law.dist.task_index]


def _shares(falls: Any) -> Any:
    """Erasing as a share of writing, (..., n), that falls from example to example by given amounts >= 0."""
    return np.cumsum(falls[..., ::-1], axis=-1)[..., ::-1]


def _search(law: Law, per: str, start: Array) -> tuple[float, Array]:
    """The gain and the place of a maximum near a start: steps in units of law.unit and, if given, decays.

    With A_i = alpha_1 ... alpha_i the estimate b / A writes beta / A and erases beta: a decay lets erasing fall beside
    writing, and does nothing else. So the variables are what is written, beta / A (per task, at its first example), and
    decays, or per example the falls of A. Where later examples should erase nothing, A = 0 is a point like others then.
    """
    from scipy.optimize import minimize  # here, as it takes a while to load

    size = {"prompt": 1, "task": law.dist.K, "example": law.dist.n}[per]

    def loss(z: Array) -> tuple[float, Array]:
        # The gain is a rational function: its derivatives are imaginary parts at a tiny imaginary distance, exactly.
        moved = z + 1e-30j * np.eye(len(z))
        gain = _gain(law, per, moved[:, :size] * law.unit, moved[:, size:])
        return -float(gain[0].real), -gain.imag / 1e-30

    within = (0.0, None) if per == "example" else (1e-6, 1.0)
    bounds = [(None, None)] * size + [within] * (len(start) - size)
    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 20}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return -float(found.fun), found.x

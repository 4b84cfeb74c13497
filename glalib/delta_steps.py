"""How far the delta rule's steps lead, in moments that close, and a search for the best steps. No torch.

The estimate is b <- alpha b + beta (y_i - alpha x_i^T b) x_i, and the prediction scale x^T b.
Of the eigenvalues xi_j of Sx only the distinct ones count, with their multiplicities m_j and with tau_j, the trace of C
on the eigenspace of xi_j: what lies off these diagonal blocks never comes back to them. With u_j the trace of
E b b^T there and E[b beta_k^T] = sum_j g_kj Pi_j C, Pi_j the projections, an example of task k makes of u and g

    e_j = tau_j (1 - 2 alpha g_kj) + alpha^2 u_j,
    u_j <- alpha^2 u_j + 2 alpha beta xi_j (tau_j g_kj - alpha u_j) + beta^2 xi_j (2 xi_j e_j + m_j (xi^T e + sigma^2)),
    g_lj <- alpha (1 - beta xi_j) g_lj + beta R_lk xi_j    for every task l, the query's too,

by the fourth moments of Gaussian features. The risk is M - 2 scale (xi tau)^T g_query + scale^2 xi^T u.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._check import Array
from .distribution import PromptDistribution
from .risk import best_omega
from .spectra import eigh, joint

STARTS = 64  # random ones that are looked at; searches begin at the best few of all
SEARCHES = 6
MANY = 300  # numbers in all further starts of the search for decays per example


class Law:
    """What the delta rule sees of a distribution, in units where the largest eigenvalue of Sx, and M, are one.

    xi, times and tau (q,): the distinct positive eigenvalues of Sx, their multiplicities, and the traces of C there.
    top: the largest eigenvalue, by which a step has to be multiplied.
    """

    def __init__(self, dist: PromptDistribution) -> None:
        values, vectors = eigh(dist.Sx)
        xi, place, times = np.unique(values, return_inverse=True, return_counts=True)
        tau = np.bincount(place, weights=np.sum(vectors * (dist.C @ vectors), axis=0))
        self.top, live = float(xi[-1]), xi > 0
        self.xi, self.times = xi[live] / self.top, times[live].astype(np.float64)
        self.tau = np.maximum(tau[live], 0.0) * (self.top / dist.M)
        self.noise = dist.sigma**2 / dist.M
        self.dist, self.index, self.joint = dist, dist.task_index, joint(dist.R, dist.r)
        self.unit = 1 / (self.xi @ self.times + 2 * self.xi.max())  # near the longest step that helps

    def moments(self, write: Any, erase: Any, decay: Any) -> tuple[Any, Any]:
        """tr(Sx E[b beta^T]) and tr(Sx E[b b^T]) in units of M.

        Of b <- alpha b + x_i (write y_i - erase alpha x_i^T b), all (..., n), real or complex. The delta rule is
        write = erase = beta.
        """
        xi, tau, K = self.xi, self.tau, self.dist.K
        write, erase, decay = np.broadcast_arrays(write, erase, decay)
        u = np.zeros((*write.shape[:-1], len(xi)), dtype=write.dtype)
        g = np.zeros((*write.shape[:-1], K + 1, len(xi)), dtype=write.dtype)
        for i, k in enumerate(self.index):
            w, v, alpha = write[..., i, None], erase[..., i, None], decay[..., i, None]
            g = alpha[..., None] * g
            u = alpha**2 * u
            seen = tau * g[..., k, :]
            e = w**2 * tau - 2 * w * v * seen + v**2 * u
            square = (e @ xi + self.noise * w[..., 0] ** 2)[..., None]  # of what is added, but for x_i
            u = u + 2 * xi * (w * seen - v * u) + xi * (2 * xi * e + self.times * square)
            g = (1 - v * xi)[..., None, :] * g + self.joint[:, k, None] * (w * xi)[..., None, :]
        return g[..., K, :] @ (xi * tau), u @ xi

    def gain(self, write: Any, erase: Any, decay: Any) -> Any:
        """1 - risk / M at the best scale; nothing where the numbers overflow."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            overlap, energy = self.moments(write, erase, decay)
            gain = overlap**2 / energy
        return np.where(np.isfinite(gain), gain, 0.0)

    def riccati(self) -> Array:
        """The best steps, (n,), for one task and one positive eigenvalue."""
        m, steps = float(self.times[0]), np.empty(self.dist.n)
        e = float(self.tau[0]) / m
        for i in range(self.dist.n):
            steps[i] = e / ((m + 2) * e + self.noise)
            e -= e * steps[i]
        return steps

    def limit(self) -> tuple[Array, float]:
        """The best weights per task, (K,), of one weighted step with P a multiple of I, and its gain / M."""
        t1, t2, t3 = self.tau @ self.xi**2, self.times @ self.xi**2, self.tau @ self.xi**3
        omega = best_omega(self.dist, float(t3 / (t2 + t3)))
        rw, ww, wRw = self.dist.moments(omega)
        return omega / np.abs(omega).max(), float((rw * t1) ** 2 / (ww * t2 + (ww + wRw) * t3))


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
            for _ in range(MANY // size):  # where steps differ in sign, there are many maxima
                more += [
                    np.concatenate([10 ** rng.uniform(-2, 0.3) * rng.normal(size=size), 2 / size * rng.random(size)])
                ]
        else:
            more = [np.concatenate([first, np.full(size, share)]) for share in (1.0, 0.9)]
            tried = np.hstack([_random(law, per, 4 * STARTS), rng.random((4 * STARTS, size))])
            more += [*_best_of(law, per, tried), *tried[:SEARCHES]]
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
    best = _best_of(law, per.replace("example", "task"), tried)
    return best[:, law.dist.task_index] if per == "example" else best


def _random(law: Law, per: str, times: int) -> Array:
    """Steps for the prompt or per task, most of them of the signs that small steps have."""
    rng, omega = np.random.default_rng(0), np.ones(1) if per == "prompt" else law.limit()[0]
    shape = (times, len(omega))
    return 10 ** rng.uniform(-2, 0.2, size=shape) * np.where((rng.random(shape) < 0.8) == (omega >= 0), 1, -1)


def _best_of(law: Law, per: str, tried: Array) -> Array:
    """Those of the largest gains; steps for the prompt or per task, and decays if there are any."""
    size = 1 if per == "prompt" else law.dist.K
    gains = _gain(law, per, tried[:, :size] * law.unit, tried[:, size:])
    return tried[np.argsort(-gains, kind="stable")[:SEARCHES]]


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
    return np.cumprod(decays ** np.array(law.dist.counts), axis=-1) / decays ** (np.array(law.dist.counts) - 1)


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

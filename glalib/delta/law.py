"""How far the delta rule's steps lead, in moments that close. No torch.

The estimate is b <- alpha b + beta (y_i - alpha k_i^T b) k_i, where the key k_i is the feature x_i, or x_i / |x_i|, and
the prediction is scale k^T b with the query's key. Sx has distinct positive eigenvalues xi_j with multiplicities m_j
and projections Pi_j, and tau_j is the trace of Pi_j C. A feature turned within an eigenspace has the same law, so that
only these of its moments count:

    E k k^T = sum_j p_j Pi_j,    E x k^T = sum_j q_j Pi_j,    A^t_jl = E |Pi_j k|^2 |Pi_l k|^2 (|x| / |k|)^t / m_l.

With u_j the trace of E b b^T on the eigenspace and E[b beta_k^T] = sum_j g_kj Pi_j C, an example of task k makes

    u <- alpha^2 u + 2 alpha beta (q tau g_k - alpha p u)
         + beta^2 (A^2 tau - 2 alpha A^1 (tau g_k) + alpha^2 A^0 u + sigma^2 p m),
    g_l <- alpha (1 - beta p) g_l + beta R_lk q    for every task l, the query's too.

The risk is M - 2 scale (q tau)^T g_query + scale^2 p^T u. Where k = x, p = q = xi, and all A^t are m_j xi_j xi_l, and
2 xi_j^2 more if j = l.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import Array
from ..distribution import PromptDistribution
from ..risk import best_omega
from ..spectra import eigh, joint


class Law:
    """What the delta rule sees of a distribution, in units where the largest eigenvalue of Sx, and M, are one.

    xi, times and tau (q,): the distinct positive eigenvalues of Sx, their multiplicities, and the traces of C there.
    read and cross (q,): the p and q of this module. top: what a step has to be multiplied by, in these units.
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
        self.read = self.cross = self.xi

    def fourth(self, labels: Any, both: Any, state: Any) -> Any:
        """A^2 labels - 2 A^1 both + A^0 state, all (..., q)."""
        e = labels - 2 * both + state
        out: Array = self.xi * (2 * self.xi * e + self.times * (e @ self.xi)[..., None])
        return out

    def moments(self, write: Any, erase: Any, decay: Any) -> tuple[Any, Any]:
        """E y k^T b and E (k^T b)^2 for the query's label and key, in units of M.

        Of b <- alpha b + k_i (write y_i - erase alpha k_i^T b), all (..., n), real or complex. The delta rule is
        write = erase = beta.
        """
        read, cross, tau, K = self.read, self.cross, self.tau, self.dist.K
        write, erase, decay = np.broadcast_arrays(write, erase, decay)
        u = np.zeros((*write.shape[:-1], len(tau)), dtype=write.dtype)
        g = np.zeros((*write.shape[:-1], K + 1, len(tau)), dtype=write.dtype)
        for i, k in enumerate(self.index):
            w, v, alpha = write[..., i, None], erase[..., i, None], decay[..., i, None]
            g = alpha[..., None] * g
            u = alpha**2 * u
            seen = tau * g[..., k, :]
            added = self.fourth(w**2 * tau, w * v * seen, v**2 * u) + self.noise * w**2 * (read * self.times)
            u = u + 2 * (w * cross * seen - v * read * u) + added
            g = (1 - v * read)[..., None, :] * g + self.joint[:, k, None] * (w * cross)[..., None, :]
        return g[..., K, :] @ (cross * tau), u @ read

    def gain(self, write: Any, erase: Any, decay: Any) -> Any:
        """1 - risk / M at the best scale; nothing where the numbers overflow."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            overlap, energy = self.moments(write, erase, decay)
            gain = overlap**2 / energy
        return np.where(np.isfinite(gain), gain, 0.0)

    def riccati(self) -> Array:
        """The best steps, (n,), for one task and one positive eigenvalue.

        The estimate is of (q / p) beta, and e its error per direction. What a label says beside that is noise.
        """
        aim, p, one = self.cross[0] / self.read[0], self.read[0], np.ones(1)
        fourth = float(self.fourth(0 * one, 0 * one, one)[0])
        news = float(self.fourth(one, aim * one, aim**2 * one)[0] * self.tau[0] / self.times[0] + self.noise * p)
        e, steps = aim**2 * float(self.tau[0] / self.times[0]), np.empty(self.dist.n)
        for i in range(self.dist.n):
            steps[i] = p * e / (fourth * e + news)
            e -= p * e * steps[i]
        return steps

    def limit(self) -> tuple[Array, float]:
        """The best weights per task, (K,), of one weighted step with keys k and P a multiple of I, and its gain / M."""
        signal, zero = self.cross**2 * self.tau, np.zeros(len(self.tau))
        once = self.fourth(self.tau, zero, zero) + self.noise * self.read * self.times  # of E y^2 k k^T
        t1, t3, t4 = signal.sum(), self.read @ signal, self.read @ once
        omega = best_omega(self.dist, float(t3 / (t4 - t3)))
        rw, ww, wRw = self.dist.moments(omega)
        return omega / np.abs(omega).max(), float((rw * t1) ** 2 / (ww * t4 + (wRw - ww) * t3))


class UnitLaw(Law):
    """The same where keys are features divided by their length, as of the query; labels are what they were.

    A length in a denominator is an integral of exp(-t |x|^2): with f_j = xi_j / (1 + 2 t xi_j), the mean of
    exp(-t |x|^2) times two coordinates is f, times four m_j f_j f_l + 2 f_j^2 at j = l, as if k = x, for features of
    covariance f; all of them times prod_j (1 + 2 t xi_j)^(-m_j / 2).
    """

    def __init__(self, dist: PromptDistribution) -> None:
        super().__init__(dist)
        self.top = self.unit = 1.0
        # The trapezoid rule on log t: integrands are analytic within a distance of pi / 2, and fall at both ends.
        z = np.arange(-80.0, 80.0 - np.log(self.xi.min()), 0.25)
        t = np.exp(z)[:, None]
        f = self.xi / (1 + 2 * t * self.xi)
        mean = np.exp(-0.5 * np.log1p(2 * t * self.xi) @ self.times)
        # 1 / |x|^s = integral of t^(s/2 - 1) exp(-t |x|^2) / Gamma(s / 2), and dt = t dz
        gamma = (np.sqrt(np.pi), 1.0, np.sqrt(np.pi) / 2, 1.0)  # Gamma(s / 2) for s = 1, 2, 3, 4
        by = [0.25 * mean * np.exp(z * s / 2) / gamma[s - 1] for s in (1, 2, 3, 4)]
        self.cross, self.read = by[0] @ f, by[1] @ f
        pairs = [self.times[:, None] * (f.T * w @ f) + 2 * np.diag(w @ f**2) for w in by[1:]]
        self.pairs = pairs  # A^2, A^1, A^0

    def fourth(self, labels: Any, both: Any, state: Any) -> Any:
        two, one, none = self.pairs
        out: Array = labels @ two.T - 2 * (both @ one.T) + state @ none.T
        return out

"""Predictors that see the prompt: least squares, ridge, and the Bayes predictor with its risk.

Linear attention at its best is a WPGD predictor, `optimal_wpgd(dist, "uniform")`.

Each is a callable from a `Prompts` record to predictions (batch, queries), so `simulate_risk` takes it as it takes a
model. All three are one least-squares problem: find theta that minimises |A theta - y|^2 + penalty |theta|^2.
Prompts of 16 bits are solved in float32, and predictions rounded once, to their dtype.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from . import _check
from ._check import Array
from .distribution import PromptDistribution
from .gates import widen
from .prompts import Drawn, Prompts, check_prompts
from .simulate import Estimate
from .spectra import EPS, psd_root


def least_squares(prompts: Drawn) -> torch.Tensor:
    """Ordinary least squares over all examples, as if they shared one task; minimum norm if n < d. (batch, queries)."""
    return ridge(0.0)(prompts)


def ridge(penalty: float) -> Callable[[Drawn], torch.Tensor]:
    """Ridge regression over all examples: the predictor that minimises |X beta - y|^2 + penalty |beta|^2."""
    penalty = _check.real("penalty", penalty, low=0.0, expected="a finite number >= 0")

    def predictor(prompts: Drawn) -> torch.Tensor:
        check_prompts(prompts)
        return _predict(prompts, _solve(prompts.x, prompts.y, penalty))

    return predictor


def bayes(dist: PromptDistribution) -> Callable[[Prompts], torch.Tensor]:
    """The Bayes predictor E[y_query | prompt]: the smallest risk any predictor can have.

    Tasks and labels are jointly Gaussian given the features, so it is linear in y: write the tasks as
    beta_k = C^1/2 sum_j F_kj theta_j with F F^T = R and theta standard normal; its posterior mean is ridge regression
    on the features C^1/2 x_i F_kj with penalty sigma^2, and the query's task is C^1/2 sum_j (F^+ r)_j theta_j.
    Directions of features below the precision of the prompts times the largest count as zero.
    """
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    F, half_C, query = _roots(dist)

    def predictor(prompts: Prompts) -> torch.Tensor:
        dist.check(prompts)

        def like(array: Array) -> torch.Tensor:
            return torch.as_tensor(array, dtype=x.dtype, device=x.device)

        x = widen(prompts.x)
        x = x @ like(half_C)
        A = torch.einsum("bnd,np->bnpd", x, like(F[dist.task_index])).flatten(2)
        theta = _solve(A, prompts.y, dist.sigma**2).unflatten(1, (dist.K, dist.d))
        return _predict(prompts, torch.einsum("de,p,bpe->bd", like(half_C), like(query), theta))

    return predictor


def bayes_risk(dist: PromptDistribution, draws: int = 1000, generator: torch.Generator | None = None) -> Estimate:
    """The risk of `bayes`, the least of all predictors: exact where it is known, else a mean over drawn features.

    Given the features X, the posterior covariance of the query's task depends on no label. With A (n, K d) the matrix
    of the least-squares problem of `bayes`, its singular values s_j and right singular vectors v_j, and T theta the
    part of the query's task that its theta tells,

        risk = M - E_X sum_j s_j^2 / (s_j^2 + sigma^2) |Sx^1/2 T v_j|^2.

    So only features are drawn: labels and queries add no error. With independent tasks, no noise and Sx^1/2 C Sx^1/2 a
    multiple of the identity nothing is drawn at all: n_k examples tell the share min(n_k / d, 1) of task k, and the
    risk is M (1 - sum_k r_k^2 min(n_k / d, 1)), with stderr = 0 and draws = 0.

    - draws: of features, at least 2; each takes a singular value decomposition of A, n K d min(n, K d) operations.
    - generator: torch.Generator; the same state gives the same estimate. None: torch's own.

    Rounding is at the scale of M. Raises TypeError or ValueError, naming the argument. This book's addition.
    """
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    if _check.positive_int("draws", draws) < 2:
        raise _check.fail("draws", "at least 2, for a standard error", draws)
    _check.generator(generator)
    s, _ = dist.signal_spectrum
    if dist.sigma == 0 and s.min() == s.max() and np.array_equal(dist.R, np.eye(dist.K)):
        told = sum(r**2 * min(count / dist.d, 1.0) for r, count in zip(dist.r.tolist(), dist.counts, strict=True))
        return Estimate(max(dist.M * (1 - told), 0.0), 0.0, 0)
    batch, parts = max(1, 2_000_000 // (dist.n * dist.K * dist.d)), list[torch.Tensor]()
    while (left := draws - sum(map(len, parts))) > 0:
        parts.append(_told(dist, dist.sample(min(batch, left), generator, dtype=torch.float64).x))
    told = torch.cat(parts)
    return Estimate(max(dist.M - told.mean().item(), dist.sigma**2), told.std().item() / draws**0.5, draws)


def _roots(dist: PromptDistribution) -> tuple[Array, Array, Array]:
    """F (K, K) and C^1/2 (d, d) that make tasks of theta, and F^+ r (K,), what makes the query's."""
    F = psd_root(dist.R)
    return F, psd_root(dist.C), np.linalg.pinv(F) @ dist.r


def _told(dist: PromptDistribution, x: torch.Tensor) -> torch.Tensor:
    """(batch,): the variance of the query's x^T beta that labels at these features x (batch, n, d) explain."""
    F, half_C, query = _roots(dist)
    T = torch.tensor(psd_root(dist.Sx) @ np.kron(query, half_C))
    A = torch.einsum("bnd,np->bnpd", x @ torch.tensor(half_C), torch.tensor(F[dist.task_index])).flatten(2)
    _, s, Vh = torch.linalg.svd(A, full_matrices=False)
    seen = s > EPS * max(A.shape[1:]) * s[:, :1]
    kept = torch.where(seen, s**2 / (s**2 + dist.sigma**2), 0.0)
    told: torch.Tensor = (kept * (Vh @ T.mT).square().sum(-1)).sum(-1)
    return told


def _solve(A: torch.Tensor, y: torch.Tensor, penalty: float) -> torch.Tensor:
    """The theta that minimises |A theta - y|^2 + penalty |theta|^2; of minimum norm where several do. (batch, p)."""
    A, y = widen(A), widen(y)
    if penalty > 0:
        most = torch.finfo(A.dtype).max
        if penalty**0.5 > most:
            raise _check.fail("penalty", f"below {most:.2g}^2, the range of {A.dtype}", penalty)
        rows = penalty**0.5 * torch.eye(A.shape[-1], dtype=A.dtype, device=A.device).expand(len(A), -1, -1)
        A, y = torch.cat([A, rows], dim=1), torch.nn.functional.pad(y, (0, A.shape[-1]))
    solution: torch.Tensor = torch.linalg.lstsq(A, y[..., None], driver="gelsd").solution
    return solution[..., 0]


def _predict(prompts: Drawn, beta: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bqd,bd->bq", widen(prompts.x_query), beta).to(prompts.x.dtype)

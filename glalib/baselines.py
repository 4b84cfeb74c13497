"""Predictors that see the prompt: least squares, ridge, and the Bayes predictor.

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
from .prompts import Prompts, check_prompts
from .spectra import psd_root


def least_squares(prompts: Prompts) -> torch.Tensor:
    """Ordinary least squares over all examples, as if they shared one task; minimum norm if n < d. (batch, queries)."""
    return ridge(0.0)(prompts)


def ridge(penalty: float) -> Callable[[Prompts], torch.Tensor]:
    """Ridge regression over all examples: the predictor that minimises |X beta - y|^2 + penalty |beta|^2."""
    penalty = _check.real("penalty", penalty, low=0.0, expected="a finite number >= 0")

    def predictor(prompts: Prompts) -> torch.Tensor:
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
    F, half_C = psd_root(dist.R), psd_root(dist.C)
    query = np.linalg.pinv(F) @ dist.r

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


def _predict(prompts: Prompts, beta: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bqd,bd->bq", widen(prompts.x_query), beta).to(prompts.x.dtype)

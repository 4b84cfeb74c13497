"""Inside a model: the weighted step that its predictions are nearest to, whatever the model is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from . import _check
from ._check import Array
from ._records import Record
from .distribution import PromptDistribution
from .prompts import Sampler
from .simulate import Predictor, as_predictor, check_sampler, chosen_batch, draw, of_queries

GROUPS = 20  # of draws: leaving out one at a time gives standard errors to a sixth
STARTS = 3  # singular vectors to start from: the nearest step may have rivals
ROUNDS = 500  # at most, of alternating least squares: a handful where one step stands out


@dataclass(frozen=True, eq=False, repr=False)
class EffectiveWeights(Record):
    """The weighted step x^T P X^T (omega * y) nearest to a model's prediction, estimated from `draws` prompts.

    P (d, d); omega (n,), one weight per example; explained, the share of the prediction's variance that the step
    explains, 1 - Var(f - f_P) / Var(f); and their standard errors, of the same shapes.

    Only P times omega matters. Here omega has mean square 1 and P a trace >= 0. (The largest weight, which is 1 in a
    `WPGD` record, would not do: the largest of many estimates is the one with the largest error.)
    """

    P: Array
    omega: Array
    explained: float
    P_stderr: Array
    omega_stderr: Array
    explained_stderr: float
    draws: int

    def scaled_to(self, omega: ArrayLike) -> EffectiveWeights:
        """The same step, its omega scaled to be nearest to these weights (n,), as those of an optimum, and P to match.

        The errors are scaled along: that of the scale itself is of second order where the weights are alike.
        """
        scale = float(_check.array("omega", omega, self.omega.shape) @ self.omega / (self.omega @ self.omega))
        if scale == 0:
            raise _check.fail("omega", "weights that are not orthogonal to the estimated ones", _check.short(omega))
        more, errors = replace(self, omega=scale * self.omega, P=self.P / scale), abs(scale)
        return replace(more, omega_stderr=errors * self.omega_stderr, P_stderr=self.P_stderr / errors)

    def __repr__(self) -> str:
        share = f"explained={self.explained:.6g} +- {self.explained_stderr:.2g}"
        return f"EffectiveWeights(omega: {self.omega.shape}, P: {self.P.shape}, {share}, {self.draws} prompts)"


def effective_weights(
    predictor: Any,
    dist: Sampler,
    draws: int = 10_000,
    batch: int | None = None,
    generator: torch.Generator | None = None,
    tokens: Any = None,
    by: Literal["regression", "autograd"] = "regression",
) -> EffectiveWeights:
    """The weighted step f_P = x^T P X^T (omega * y) nearest to a prediction f on prompts of `dist`.

    - "regression" fits f itself: it minimises E (f - f_P)^2 over omega and P, from values of f alone.
    - "autograd" fits derivatives of f: it minimises E (D - f_P(X, y', x'))^2, D = sum_ia y'_i x'_a d^2 f / dy_i dx_a,
      where labels y' and query x' are drawn anew for the same X, from the law of y and x.

    On prompts of Definition 2 both have the same minimisers, for every f smooth in y and x. Given X, y ~ N(0, K)
    and x ~ N(0, Sx) are independent, so by Stein's lemma, in y and in x, E[f y x^T | X] = K E[d^2 f / dy dx | X] Sx =
    E[D y' x'^T | X]: f and D have the same products with all y_i x_i x^T, and the two losses differ by a constant.
    Where f is linear in y and in x, D is f(X, y', x'). Autograd does not see jumps, or kinks as of a ReLU. Where two
    steps are equally near, or some directions of x_i or x are never drawn, P and omega are one choice of many.

    - predictor, dist, tokens: as in `simulate_risk`. "autograd" needs a `PromptDistribution`, by whose law y' is drawn.
    - draws, batch: prompts drawn in all, at least 2 (n + d^2), and at a time (chosen if None). All are kept:
      draws n d numbers in float64, where the model is; a fit takes draws (n^2 + d^4) operations a few times over.
    - generator: torch.Generator; the same state gives the same estimate. None: torch's own.

    Standard errors are of the jackknife, which leaves out a twentieth of the prompts at a time; it also takes from
    `explained` what the fit owes to its own draws. Raises ValueError or TypeError for bad arguments, and where
    predictions have the wrong type or shape, do not depend on the prompt, or have no gradients for "autograd".

    Theorem 1 read backwards, as derived here: a layer of Eq. (9) with a scalar gate is such a step, and explained = 1.
    """
    check_sampler(dist)
    _check.option("by", by, ("regression", "autograd"))
    if by == "autograd":
        _check.instance("dist", dist, PromptDistribution, 'a PromptDistribution where by="autograd"')
    left = draws = _check.positive_int("draws", draws)
    batch = chosen_batch(dist, 1) if batch is None else _check.positive_int("batch", batch)
    predict, dtype = as_predictor(predictor, dist, 1, tokens, torch.float64)
    parts: list[tuple[Tensor, ...]] = []
    while left > 0:
        drawn: Any = draw(dist, min(batch, left), generator, 1, dtype, first=not parts)
        n, d = _check.tensor("x of what dist.sample returns", drawn.x, 3).shape[1:]
        if draws < (fewest := 2 * max(n + d * d, GROUPS)):
            raise _check.fail("draws", f"at least {fewest}, for n = {n} and d = {d}", draws)
        if parts and (n, d) != parts[0][2].shape[1:]:
            raise _check.fail("x of what dist.sample returns", "of the same n and d each time", f"n = {n}, d = {d}")
        again = draw(dist, len(drawn.x), generator, 1, dtype) if by == "autograd" else None
        seen = _seen(predict, drawn, again)
        parts.append(tuple(value.detach().double().to(seen[0].device) for value in seen))
        left -= len(drawn.x)
    return _estimate(*map(torch.cat, zip(*parts, strict=True)))


def _seen(predict: Predictor, drawn: Any, again: Any) -> tuple[Tensor, ...]:
    """f (batch,) at y (batch, n), X (batch, n, d), x (batch, d): (f, y, X, x), then what is fitted: (f, y, x), or
    (D, y', x') with the labels of X by the tasks and the noise of the prompts `again`, and their query."""
    what = "the predictor's output"
    y, x = drawn.y, drawn.x_query
    if again is not None:
        y, x = y.requires_grad_(), x.requires_grad_()
        drawn = replace(drawn, y=y, x_query=x)
    with torch.set_grad_enabled(again is not None):
        f = of_queries(what, _check.tensor(what, predict(drawn)), drawn.y_query)[:, 0]
        if again is None:
            return f, y, drawn.x, x[:, 0], f, y, x[:, 0]
        if not f.requires_grad:
            raise _check.fail(what, 'differentiable in labels and query where by="autograd"', "no gradients")
        tasks = torch.repeat_interleave(again.beta, torch.tensor(again.counts, device=again.beta.device), 1)
        new_y, new_x = again.y + ((drawn.x - again.x) * tasks).sum(-1), again.x_query
        (slope,) = torch.autograd.grad(f.sum(), x, create_graph=True, materialize_grads=True)
        along, mixed = (slope * new_x).sum(), torch.zeros_like(y)
        if along.requires_grad:
            (mixed,) = torch.autograd.grad(along, y, materialize_grads=True)
    return f, y, drawn.x, x[:, 0], (mixed * new_y).sum(-1), new_y, new_x[:, 0]


def _estimate(f: Tensor, y: Tensor, X: Tensor, x: Tensor, t: Tensor, u: Tensor, v: Tensor) -> EffectiveWeights:
    """The step fitted to t (draws,) at labels u (draws, n) and query v (draws, d); what it explains of f at y and x."""
    what = "the predictor's output"
    if not (f.isfinite().all() and t.isfinite().all()):
        raise _check.fail(what, "finite", "NaN or infinity")
    products = torch.einsum("si,sia,sb->iab", t[:, None] * u, X, v).flatten(1)
    U, S, _ = torch.linalg.svd(products, full_matrices=False)
    if (t == t[0]).all() or S[0] == 0:
        raise _check.fail(what, "one that depends on labels and query", "none of that in any prompt")

    def estimates(kept: Tensor, starts: Tensor) -> list[Tensor]:
        """Of the prompts kept: omega, P and the share explained, by the nearest step found from these omegas."""
        fy, yy, XX, xx, tt, uu, vv = (value[kept] for value in (f, y, X, x, t, u, v))
        found = (_nearest(tt, uu, XX, vv, omega) for omega in starts)
        omega, P = min(found, key=lambda best: float((tt - _step(uu, XX, vv, *best)).square().sum()))
        return [omega, P, 1 - (fy - _step(yy, XX, xx, omega, P)).var() / fy.var()]

    group = torch.arange(len(X), device=f.device) % GROUPS
    whole = estimates(group >= 0, U.mT[:STARTS][S[:STARTS] > 1e-9 * S[0]])
    without = [estimates(group != g, whole[0][None]) for g in range(GROUPS)]
    omega, P, share = (value.cpu().numpy() for value in whole)
    parts = [torch.stack(list(values)).cpu().numpy() for values in zip(*without, strict=True)]
    errors = [(GROUPS - 1) ** 0.5 * part.std(0) for part in parts]
    sign = -1.0 if np.trace(P) < 0 else 1.0
    explained = float(GROUPS * share - (GROUPS - 1) * parts[2].mean())
    return EffectiveWeights(sign * P, sign * omega, explained, errors[1], errors[0], float(errors[2]), len(X))


def _nearest(t: Tensor, u: Tensor, X: Tensor, v: Tensor, omega: Tensor) -> tuple[Tensor, Tensor]:
    """omega and P of the step nearest to t, by alternating least squares: each in its turn, the other held."""

    def least(A: Tensor) -> Tensor:  # (columns,): the best combination of columns of A, which come in any units
        size = torch.linalg.vector_norm(A, dim=0)
        A = A / (units := torch.where(size > 0, size, 1.0))
        best: Tensor = torch.linalg.pinv(A.mT @ A, rtol=1e-12, hermitian=True) @ (A.mT @ t) / units
        return best

    P = omega.new_zeros(())
    for _ in range(ROUNDS):
        P = least((v[:, :, None] * ((omega * u)[:, None] @ X)).flatten(1)).reshape(v.shape[1], -1)
        before, omega = omega, least(u * (X @ (v @ P)[..., None])[..., 0])
        omega = omega / omega.square().mean().sqrt()
        if (omega - before).abs().max() < 1e-10:
            break
    return omega, P


def _step(u: Tensor, X: Tensor, v: Tensor, omega: Tensor, P: Tensor) -> Tensor:
    """v^T P X^T (omega * u) of each prompt."""
    return ((v @ P) * ((omega * u)[:, None] @ X)[:, 0]).sum(1)

"""Exact draws of a layer's squared error without drawing tokens, where the gate reads context coordinates only.

A block of m examples of task beta, with known weights D = diag(omega_i), enters one layer through the values
v_i = t^T x_i + w_y sigma e_i + nu, t = w_x + w_y beta, and the three sums X^T D v, e^T D v and 1^T D v. With
u = t / |t|, features X = g u^T + (part orthogonal to u), g ~ N(0, I_m), and v depends on g and e alone, so that

    X^T D v  =  (g^T D v) u + |D v| (I - u u^T) f,    f ~ N(0, I_d),

in law, jointly with the other two sums: m + d random numbers (twice m with noise) in place of m d. Where t = 0 any u
will do. The query is not drawn at all: its error is a cubic polynomial in x, whose second moment is closed-form.

Gradients are pathwise, through u as well. They are unbiased where Sigma has rank two at least, or Sx rank one, and have
a finite variance where Sigma has rank three at least, or Sx rank one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from . import _check
from ._check import Array
from .distribution import PromptDistribution
from .gates import gates_to_weights, widen
from .layout import DELIMITED, Layout
from .model import GLA


def token_free_losses(
    model: GLA,
    dist: PromptDistribution,
    batch: int,
    generator: torch.Generator | None = None,
    tokens: Layout = DELIMITED,
) -> torch.Tensor:
    """E[(y - prediction)^2 | prompt] for `batch` prompts, (batch,), with gradients to the model's weights.

    The law is that of `dist.sample` and of `tokens`, a `Layout`, averaged over the query.

    - model: a `GLA` of one layer with gate None or "scalar", computed, that reads context coordinates only: the rows
      of W_g for features and label are zero (and their gradient here is zero). All other weights are free; but where
      gradients are wanted, values must read the features or the label, as the path has a corner at t = 0.
      With weights of 16 bits all is computed in float32, and so are the losses.

    Raises ValueError or TypeError for other models.
    """
    _, c = checked_layer(model, dist, tokens)
    batch = _check.positive_int("batch", batch)
    _check.generator(generator)
    drawn = [x.to(c.device) for x in normals(dist, batch, generator, c.dtype)]
    return losses_of_normals(model, dist, drawn, tokens)


def normals(
    dist: PromptDistribution, batch: int, generator: torch.Generator | None, dtype: torch.dtype
) -> list[torch.Tensor]:
    """The standard normal numbers of `batch` prompts, where the generator is: of the tasks, then of every block.

    Tasks (batch, K + 1, d); of a block of m examples g (batch, m), f (batch, d) and, with noise, e (batch, m).
    """
    shapes: list[tuple[int, ...]] = [(dist.K + 1, dist.d)]
    for m in dist.counts:
        shapes += [(m,), (dist.d,), *([(m,)] if dist.sigma > 0 else [])]
    device = "cpu" if generator is None else generator.device
    return [torch.randn(batch, *shape, generator=generator, dtype=dtype, device=device) for shape in shapes]


def losses_of_normals(
    model: GLA, dist: PromptDistribution, drawn: Sequence[torch.Tensor], tokens: Layout
) -> torch.Tensor:
    """`token_free_losses` of what `normals` has drawn."""
    layer, c = checked_layer(model, dist, tokens)
    d, normal = dist.d, iter(drawn)

    def constant(array: Array) -> torch.Tensor:
        return torch.as_tensor(array, dtype=c.dtype, device=c.device)

    # Features are Sx^1/2 times white ones: the root goes into the weights that read features, and into the tasks.
    mix, half_Sx, half_C = dist.factors
    tasks = constant(mix) @ next(normal)
    for root in (half_C, half_Sx):
        tasks = tasks if root is None else tasks @ constant(root)

    def rows(W: torch.Tensor) -> Rows:
        return Rows(W[:d] if half_Sx is None else constant(half_Sx) @ W[:d], W[d], c @ W[d + 1 :])

    W_q, W_k, W_v = layer.matrices()
    q, k, v = rows(W_q), rows(W_k), rows(model.scale * (W_v @ widen(model.h)))
    if v.y.requires_grad and _check.look(lambda: not (v.y.any() or v.x.any())):
        expected = "with values that read the features or the label, where gradients are wanted"
        raise _check.fail("model", expected, "values that read neither")
    block, is_delimiter = tokens.blocks(dist.counts)
    kind = torch.from_numpy(block + dist.K * is_delimiter).to(c.device)
    between, examples = (torch.from_numpy(np.flatnonzero(i)).to(c.device) for i in (is_delimiter, ~is_delimiter))
    if model.gate is None:
        omega = c.new_ones(len(kind))
    else:
        gates = torch.sigmoid(c @ widen(layer.W_g)[d + 1 :] + widen(layer.b_g))[:, 0]
        omega = gates_to_weights(torch.cat([gates[kind], gates[-1:]]))

    # Phi = sum_i omega_i v_i k_i: the row h^T S of the state.
    Phi = (omega * v.c[kind])[between] @ k.c[kind[between]]
    weights = torch.split(omega[examples], list(dist.counts))
    for b, D in enumerate(weights):
        Phi = Phi + _write(normal, tasks[:, b], D, dist.sigma, k, v, b)
    return _second_moment(tasks[:, dist.K], Phi, q, k, v) + dist.sigma**2


class Rows(NamedTuple):
    """What a matrix (or vector) does to white features, to the label, and to each kind of context."""

    x: torch.Tensor
    y: torch.Tensor
    c: torch.Tensor


def _write(
    normal: Iterator[torch.Tensor], beta: torch.Tensor, D: torch.Tensor, sigma: float, k: Rows, v: Rows, b: int
) -> torch.Tensor:
    """What block b, with task beta (batch, d) and weights D (m,), adds to Phi, in law."""
    t = v.x + v.y * beta
    size = t.norm(dim=-1, keepdim=True)
    u = t / size.clamp_min(torch.finfo(t.dtype).tiny)
    g, f = next(normal), next(normal)
    values = size * g + v.c[b]
    e_sum: torch.Tensor | float = 0.0
    if sigma > 0:
        e = next(normal)
        values = values + (v.y * sigma) * e
        e_sum = sigma * (e * D * values).sum(-1)
    Dv = D * values
    f = f - (f * u).sum(-1, keepdim=True) * u
    x_sum = (g * Dv).sum(-1, keepdim=True) * u + Dv.norm(dim=-1, keepdim=True) * f
    y_sum = (x_sum * beta).sum(-1) + e_sum
    written: torch.Tensor = x_sum @ k.x + y_sum[:, None] * k.y + Dv.sum(-1, keepdim=True) * k.c[b]
    return written


def _second_moment(beta: torch.Tensor, Phi: torch.Tensor, q: Rows, k: Rows, v: Rows) -> torch.Tensor:
    """E (beta . x - prediction)^2 over the query's x ~ N(0, I). (batch,).

    y - prediction = line . x + const + x^T A x - (v.x . x)(x^T H x): the query's own write is
    (v.x . x + nu)(x^T H x + b . x + c_0).
    """
    q_0, nu = q.c[-1], v.c[-1]
    H = (k.x @ q.x.T + q.x @ k.x.T) / 2
    b, c_0 = k.x @ q_0 + q.x @ k.c[-1], k.c[-1] @ q_0
    line = beta - Phi @ q.x.T - (nu * b + c_0 * v.x)
    const = -(Phi @ q_0) - nu * c_0
    A = -nu * H - (torch.outer(v.x, b) + torch.outer(b, v.x)) / 2
    Hw, trace = H @ v.x, H.trace()
    even = (const + A.trace()) ** 2 + 2 * (A**2).sum()
    odd = (line**2).sum(-1) - 2 * trace * (line @ v.x) - 4 * (line @ Hw)
    cubic = (v.x @ v.x) * (trace**2 + 2 * (H**2).sum()) + 4 * trace * (v.x @ Hw) + 8 * (Hw @ Hw)
    return even + odd + cubic


def checked_layer(model: Any, dist: PromptDistribution, tokens: Layout) -> tuple[Any, torch.Tensor]:
    """The layer and the context vectors (kinds, p), or a complaint."""
    _check.instance("model", model, GLA, "a GLA")
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    _check.instance("tokens", tokens, Layout, "a Layout")
    vectors = tokens.vectors(dist.K)
    if len(model.layers) != 1 or model.gate not in (None, "scalar"):
        raise _check.fail("model", "of one layer with gate None or 'scalar'", repr(model))
    layer = model.layers[0]
    if model.width != dist.d + 1 + vectors.shape[1]:
        raise _check.fail("model", f"of width d + 1 + p = {dist.d + 1 + vectors.shape[1]}", f"width {model.width}")
    if not model.causal or layer.given is not None:
        raise _check.fail("model", "causal, with gates that it computes", repr(model))
    if layer.own is not None:
        raise _check.fail("model", "with gates that W_g and b_g make", repr(model))
    if model.gate == "scalar" and _check.look(lambda: bool(layer.W_g[: dist.d + 1].any())):
        raise _check.fail("model", "with zero rows of W_g for features and label", "a gate that reads them")
    return layer, torch.as_tensor(vectors, dtype=widen(layer.W_q).dtype, device=layer.W_q.device)

"""Exact draws of a layer's squared error without drawing tokens, where the gate reads context coordinates only.

A block of m examples of task beta, with known weights D = diag(omega_i), enters one layer through the values
v_i = t^T x_i + w_y sigma e_i + nu, t = w_x + w_y beta, and the three sums X^T D v, e^T D v and 1^T D v. With
u = t / |t|, features X = g u^T + (part orthogonal to u), g ~ N(0, I_m), and v depends on g and e alone, so that

    X^T D v  =  (g^T D v) u + |D v| (I - u u^T) f,    f ~ N(0, I_d),

in law, jointly with the other two sums: m + d random numbers (twice m with noise) in place of m d. Where t = 0 any u
will do. The query is not drawn at all: its error is a cubic polynomial in x, whose second moment is closed-form.

Gradients are pathwise, through u as well. They are unbiased where Sigma has rank two at least, or Sx rank one, and have
a finite variance where Sigma has rank three at least, or Sx rank one. (Chapter 15.)
"""

from __future__ import annotations

import torch

from . import _check
from .distribution import PromptDistribution
from .gates import gates_to_weights, widen
from .layout import DELIMITED, Layout
from .model import GLA


def token_free_losses(model, dist, batch, generator=None, tokens=DELIMITED):
    """E[(y - prediction)^2 | prompt] for `batch` prompts, (batch,), with gradients to the model's weights.

    The law is that of `dist.sample` and of `tokens`, a `Layout`, averaged over the query.

    - model: a `GLA` of one layer with gate None or "scalar", computed, that reads context coordinates only: the rows
      of W_g for features and label are zero (and their gradient here is zero). All other weights are free; but where
      gradients are wanted, values must read the features or the label, as the path has a corner at t = 0.
      With weights of 16 bits all is computed in float32, and so are the losses.

    Raises ValueError or TypeError for other models.
    """
    layer, c = _layer(model, dist, tokens)
    batch = _check.positive_int("batch", batch)
    _check.generator(generator)
    dtype, d, K = widen(layer.W_q).dtype, dist.d, dist.K

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    def constant(array):
        return torch.as_tensor(array, dtype=dtype)

    # Features are Sx^1/2 times white ones: the root goes into the weights that read features, and into the tasks.
    mix, half_Sx, half_C = dist.factors
    tasks = constant(mix) @ normal(batch, K + 1, d)
    tasks = tasks if half_C is None else tasks @ constant(half_C)
    tasks = tasks if half_Sx is None else tasks @ constant(half_Sx)

    def rows(W):
        """What a matrix (or vector) does to white features, to the label, and to each kind of context."""
        return (W[:d] if half_Sx is None else constant(half_Sx) @ W[:d]), W[d], c @ W[d + 1 :]

    W_q, W_k, W_v = layer.matrices()
    Q_x, _, Q_c = rows(W_q)
    K_x, K_y, K_c = rows(W_k)
    w_x, w_y, w_c = rows(model.scale * (W_v @ widen(model.h)))
    if w_y.requires_grad and _check.look(lambda: not (w_y.any() or w_x.any())):
        expected = "with values that read the features or the label, where gradients are wanted"
        raise _check.fail("model", expected, "values that read neither")

    _, is_delimiter = tokens.blocks(dist.counts)
    kind = torch.from_numpy(tokens.kinds(dist.counts, queries=0))
    if model.gate is None:
        omega = torch.ones(len(kind), dtype=dtype)
    else:
        gates = torch.sigmoid(c @ widen(layer.W_g)[d + 1 :] + widen(layer.b_g))[:, 0]
        omega = gates_to_weights(torch.cat([gates[kind], gates[-1:]]))

    # Phi = sum_i omega_i v_i k_i: the row h^T S of the state.
    Phi = (omega * w_c[kind])[is_delimiter] @ K_c[kind[is_delimiter]]
    for k, D in enumerate(omega[torch.from_numpy(~is_delimiter)].split(dist.counts)):
        beta = tasks[:, k]
        t = w_x + w_y * beta
        size = t.norm(dim=-1, keepdim=True)
        u = t / size.clamp_min(torch.finfo(dtype).tiny)
        g, f = normal(batch, len(D)), normal(batch, d)
        v = size * g + w_c[k]
        e_sum = 0.0
        if dist.sigma > 0:
            e = normal(batch, len(D))
            v = v + (w_y * dist.sigma) * e
            e_sum = dist.sigma * (e * D * v).sum(-1)
        Dv = D * v
        f = f - (f * u).sum(-1, keepdim=True) * u
        x_sum = (g * Dv).sum(-1, keepdim=True) * u + Dv.norm(dim=-1, keepdim=True) * f
        y_sum = (x_sum * beta).sum(-1) + e_sum
        Phi = Phi + x_sum @ K_x + y_sum[:, None] * K_y + Dv.sum(-1, keepdim=True) * K_c[k]

    # y - prediction = line . x + const + x^T A x - (w_x . x)(x^T H x) + noise; the query's own write is
    # (w_x . x + nu)(x^T H x + b . x + c_0).
    q_0, nu = Q_c[-1], w_c[-1]
    H = (K_x @ Q_x.T + Q_x @ K_x.T) / 2
    b, c_0 = K_x @ q_0 + Q_x @ K_c[-1], K_c[-1] @ q_0
    line = tasks[:, K] - Phi @ Q_x.T - (nu * b + c_0 * w_x)
    const = -(Phi @ q_0) - nu * c_0
    A = -nu * H - (torch.outer(w_x, b) + torch.outer(b, w_x)) / 2
    Hw, trace = H @ w_x, H.trace()
    even = (const + A.trace()) ** 2 + 2 * (A**2).sum()
    odd = (line**2).sum(-1) - 2 * trace * (line @ w_x) - 4 * (line @ Hw)
    cubic = (w_x @ w_x) * (trace**2 + 2 * (H**2).sum()) + 4 * trace * (w_x @ Hw) + 8 * (Hw @ Hw)
    return even + odd + cubic + dist.sigma**2


def _layer(model, dist, tokens):
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
    if model.gate == "scalar" and _check.look(lambda: layer.W_g[: dist.d + 1].any()):
        raise _check.fail("model", "with zero rows of W_g for features and label", "a gate that reads them")
    return layer, torch.as_tensor(vectors, dtype=widen(layer.W_q).dtype)

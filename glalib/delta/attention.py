"""The gated delta rule, which erases before it writes, token by token and in chunks.

    S_i = g_i S_{i-1} + beta_i (v_i - g_i S_{i-1} k_i) k_i^T,   o_i = S_i q_i       (the state is value x key)

A chunk of tokens is a triangular system. With D[t, i] = prod_{i<j<=t} g_j, P_t = D[t, 0] and S the state before it,
what token t writes is u_t k_t^T, where

    u_t + beta_t sum_{i<t} D[t, i] (k_i^T k_t) u_i = beta_t (v_t - P_t S k_t):

so u = a - w S^T with a and w that do not depend on S (the WY form of a product of I - beta k k^T), and the state after
the chunk is S (p I - w^T (R * k)) + a^T (R * k), R what is left of each write. As in `attention`, gates are multiplied,
never divided by, so zeros are like any other gate; and 16 bits are computed with in float32.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch.nn.functional import pad

from .. import _check
from ..attention import apply_state, arguments, chunk_length, decays_of, unrounded, within
from ..gates import widen

Form = Literal["recurrent", "chunked"]
FORMS = ("recurrent", "chunked")


@overload
def gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    gates: Tensor | None = None,
    form: Form = "recurrent",
    initial_state: Tensor | None = None,
    output_final_state: Literal[False] = False,
    chunk: int | None = None,
) -> Tensor: ...


@overload
def gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    gates: Tensor | None = None,
    form: Form = "recurrent",
    initial_state: Tensor | None = None,
    *,
    output_final_state: Literal[True],
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]: ...


def gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    gates: Tensor | None = None,
    form: Form = "recurrent",
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    chunk: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Outputs o (..., T, dv) of the gated delta rule at all positions; with output_final_state, the pair (o, S_T).

    q, k: (..., T, dk); v: (..., T, dv); beta: steps of any sign, (..., T); gates in [0, 1]: (..., T), or None for the
    delta rule without decay. Leading axes broadcast. Keys are taken as they are: where beta |k|^2 > 2 a write grows
    what it should erase. `form` changes cost only; `chunk` is the length of a chunk, chosen if None.

    initial_state: S_0 (..., dv, dk), zero if None; a sequence cut anywhere goes on from the final state of the part
    before. Types, dtypes, devices and errors are as in `gla`; beta's dtype as that of gates.
    """
    _check.option("form", form, FORMS)
    _check.option("output_final_state", output_final_state, (True, False))
    dtype, inputs, _ = arguments("q", q, k, v, gates, "scalar", initial_state)
    b = _steps(beta, q, k, v, gates, initial_state)
    chunk = None if chunk is None else _check.positive_int("chunk", chunk)
    with unrounded(k):
        q, k, v, g, S = inputs
        o, S = _recurrent(q, k, v, b, g, S) if form == "recurrent" else chunked(q, k, v, b, g, S, chunk)
    return (o.to(dtype), S) if output_final_state else o.to(dtype)


def _steps(beta: Tensor, q: Tensor, k: Tensor, v: Tensor, gates: Tensor | None, S: Tensor | None) -> Tensor:
    """beta (..., T, 1) to compute with, or a complaint."""
    _check.tensor("beta", beta)
    if beta.shape[-1] != k.shape[-2]:
        raise _check.misshaped("beta", f"of shape (..., {k.shape[-2]}) to go with k of shape {tuple(k.shape)}", beta)
    wide = (k.dtype,) if k.dtype.itemsize > 2 else (k.dtype, torch.float32)
    _check.alike("beta", beta, "k's", wide, k.device)
    leading = [x.shape[:-2] for x in (q, k, v, S) if x is not None] + ([] if gates is None else [gates.shape[:-1]])
    try:
        torch.broadcast_shapes(*leading, beta.shape[:-1])
    except RuntimeError:
        raise _check.misshaped("beta", "of leading axes that broadcast with those of the others", beta) from None
    return widen(beta)[..., None]


def _recurrent(q: Tensor, k: Tensor, v: Tensor, b: Tensor, g: Tensor, S: Tensor | None) -> tuple[Tensor, Tensor]:
    state, o = v.new_zeros(v.shape[-1], k.shape[-1]) if S is None else S, []
    for q_i, k_i, v_i, b_i, g_i in zip(*(x.unbind(-2) for x in (q, k, v, b, g)), strict=True):
        state = g_i[..., None] * state
        error = v_i - (state @ k_i[..., None])[..., 0]
        state = state + (b_i * error)[..., :, None] * k_i[..., None, :]
        o.append((state @ q_i[..., None])[..., 0])
    return torch.stack(o, -2), state


def chunked(
    q: Tensor | None, k: Tensor, v: Tensor, b: Tensor, g: Tensor, S: Tensor | None = None, chunk: int | None = None
) -> tuple[Any, Tensor]:
    """Outputs (..., T, dv), None without queries, and the final state; b and g (..., T, 1)."""
    T, dk, dv = k.shape[-2], k.shape[-1], v.shape[-1]
    C = min(T, chunk) if chunk else chunk_length(T, dk, dv, "scalar")
    fill = -T % C  # tokens after the last that write nothing and forget nothing
    k, v, b = (pad(x, (0, 0, 0, fill)).unflatten(-2, (-1, C)) for x in (k, v, b))
    g = pad(g, (0, 0, 0, fill), value=1.0).unflatten(-2, (-1, C))
    D, P, R, p = decays_of(g)
    D = D[..., 0]

    system = b * (D * (k @ k.mT))  # its diagonal is taken to be one, and what is above it zero
    a, w = (torch.linalg.solve_triangular(system, b * x, upper=False, unitriangular=True) for x in (v, P * k))
    kept, after = p[..., None] * torch.eye(dk, dtype=k.dtype, device=k.device) - w.mT @ (R * k), a.mT @ (R * k)
    state = v.new_zeros(dv, dk) if S is None else S
    state = state.expand(torch.broadcast_shapes(state.shape, *((*x.shape[:-3], 1, 1) for x in (kept, after))))
    seen = []
    for M, write in zip(kept.unbind(-3), after.unbind(-3), strict=True):
        seen.append(state)
        state = write + state @ M
    if q is None:
        return None, state
    before = torch.stack(seen, -3)
    q = pad(q, (0, 0, 0, fill)).unflatten(-2, (-1, C))
    o = within(q, k, a - w @ before.mT, D[..., None], "scalar") + apply_state(before, q, P, "scalar")
    return o.flatten(-3, -2)[..., :T, :], state

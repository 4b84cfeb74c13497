"""The recurrence that holds all others: a diagonal less a matrix of rank one, token by token.

    S_i = S_{i-1} (diag(w_i) - a_i b_i^T) + v_i k_i^T,   o_i = S_i q_i,   S_0 = 0       (the state is value x key)

`gla` with a key gate is a = 0, and `gated_delta_rule` w = g, a = beta g k, b = k, with values beta v. Those have forms
that are fast. This one goes token by token and is slow: it is for layers that need all of it, a decay for each key
channel beside the delta rule, or two different vectors.
"""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from .. import _check
from ..attention import arguments, unrounded
from ..gates import widen


@overload
def general_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    a: Tensor,
    b: Tensor,
    initial_state: Tensor | None = None,
    output_final_state: Literal[False] = False,
) -> Tensor: ...


@overload
def general_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    a: Tensor,
    b: Tensor,
    initial_state: Tensor | None = None,
    *,
    output_final_state: Literal[True],
) -> tuple[Tensor, Tensor]: ...


def general_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    a: Tensor,
    b: Tensor,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Outputs o (..., T, dv) at all positions; with output_final_state, the pair (o, S_T). Sequential, so slow.

    q, k, a, b: (..., T, dk); v: (..., T, dv); decay w in [0, 1]: (..., T, dk). Leading axes broadcast.

    initial_state: S_0 (..., dv, dk), zero if None. Types, dtypes, devices and errors are as in `gla`.
    """
    _check.option("output_final_state", output_final_state, (True, False))
    _check.tensor("k", k, 2)
    for name, x in (("decay", decay), ("a", a), ("b", b)):
        _check.tensor(name, x, 2)
        if x.shape[-2:] != k.shape[-2:]:
            raise _check.misshaped(name, f"of shape (..., {k.shape[-2]}, {k.shape[-1]}), the last axes of k", x)
        _check.alike(name, x, "k's", (k.dtype,), k.device)
    _check.unit_interval("decay", decay)
    dtype, inputs, _ = arguments("q", q, k, v, decay, "key", initial_state)
    with unrounded(k):
        q, k, v, w, S = inputs
        S = v.new_zeros(v.shape[-1], k.shape[-1]) if S is None else S
        rows, o = (q, k, v, w, widen(a), widen(b)), []
        for q_i, k_i, v_i, w_i, a_i, b_i in zip(*(x.unbind(-2) for x in rows), strict=True):
            erased = (S @ a_i[..., None])[..., 0]
            S = S * w_i[..., None, :] - erased[..., :, None] * b_i[..., None, :] + v_i[..., :, None] * k_i[..., None, :]
            o.append((S @ q_i[..., None])[..., 0])
        out = torch.stack(o, -2).to(dtype)
    return (out, S) if output_final_state else out

"""The gated recurrence and its equal forms.

    S_i = G_i * S_{i-1} + v_i k_i^T,   o_i = S_i q_i,   S_0 = 0        (* is elementwise; the state is value x key)

| gate   | G_i             | gates         |
|--------|-----------------|---------------|
| none   | 1 1^T           | None          |
| scalar | g_i 1 1^T       | (..., T)      |
| key    | 1 a_i^T         | (..., T, dk)  |
| value  | a_i 1^T         | (..., T, dv)  |

The recurrent form is the contract; the others are held to it in outputs and gradients. All of them multiply gates
and never divide by one or take its logarithm, in the backward pass too, so exact zeros are like any other gate. The
read-out multiplies as well, but in its backward pass `torch.cumprod` divides by gates where none of them is zero, and
takes another path where one is: gradients are right at zeros; but a weight that underflows (below 1e-38 in float32)
takes what it adds to the gradient with it.

Inputs of 16 bits, bfloat16 or float16, are computed with in float32: outputs round once, at the end, to the dtype of k.
Gates may then be float32 too, and near one they should be: see `gates`. States between calls are float32 and unrounded.

Autocast changes nothing here: the dtype of the inputs counts. Checks of numbers step aside while torch traces, as under
`torch.compile`, `torch.export` and `torch.func.vmap`.

Inside the module gates have a channel axis, (..., T, m): m = 1 for a scalar gate, else dk or dv.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import _check
from .gates import later_products, widen

Gate = Literal["scalar", "key", "value"]
Form = Literal["recurrent", "parallel", "chunked"]
GATES = ("scalar", "key", "value")


@overload
def gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor | None = None,
    gate: Gate = "scalar",
    form: Form = "recurrent",
    initial_state: Tensor | None = None,
    output_final_state: Literal[False] = False,
) -> Tensor: ...


@overload
def gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor | None = None,
    gate: Gate = "scalar",
    form: Form = "recurrent",
    initial_state: Tensor | None = None,
    *,
    output_final_state: Literal[True],
) -> tuple[Tensor, Tensor]: ...


def gla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor | None = None,
    gate: Gate = "scalar",
    form: Form = "recurrent",
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Outputs o (..., T, dv) of gated linear attention at all positions; with output_final_state, the pair (o, S_T).

    q, k: (..., T, dk); v: (..., T, dv); gates in [0, 1]: (..., T), (..., T, dk) or (..., T, dv) by `gate`, or None
    for linear attention. Leading axes broadcast. `form` changes cost only, per prompt and with gradients:

    | form      | memory, scalar           | memory, vector gate of m channels | loop over        |
    |-----------|--------------------------|-----------------------------------|------------------|
    | recurrent | O(T dk dv)               | O(T dk dv)                        | T tokens         |
    | parallel  | O(T^2)                   | O(T^2 m)                          | T rows of decays |
    | chunked   | O(T C + (T / C) dk dv)   | O(T C m + (T / C) dk dv)          | C, then T / C    |

    The chunk length C is about (dk dv)^(1/4), times 4.5 for a scalar gate.

    initial_state: S_0 (..., dv, dk), zero if None. So a sequence cut anywhere goes on from the final state of the part
    before: `o, S = gla(*first, output_final_state=True)`, then `gla(*second, initial_state=S)`.

    q, k and v have one dtype, that of o; gates and initial_state too, or float32 where the others have 16 bits, and
    float32 is then the dtype of S_T. Its leading axes are those of k, v, gates and initial_state.

    Raises TypeError or ValueError for wrong types, shapes or options, NaN, or gates outside [0, 1]. An output too large
    for its dtype is infinite or NaN, as in all of torch.
    """
    _check.option("form", form, tuple(FORMS))
    _check.option("output_final_state", output_final_state, (True, False))
    dtype, inputs, gate = arguments("q", q, k, v, gates, gate, initial_state)
    with unrounded(k):
        o, S = FORMS[form](*inputs, gate, output_final_state)
    return (o.to(dtype), S) if output_final_state else o.to(dtype)


def gla_readout(q_last: Tensor, k: Tensor, v: Tensor, gates: Tensor | None = None, gate: Gate = "scalar") -> Tensor:
    """The output at the last position alone, (..., dv), for its query q_last (..., dk): O(T (dk + dv)) in all.

    o_T = sum_i (Omega_i * v_i k_i^T) q, with Omega_i = prod_{j>i} G_j the weights of Theorem 1. Other arguments and
    errors as in `gla`.
    """
    dtype, (q, k, v, g, _), gate = arguments("q_last", q_last, k, v, gates, gate)
    with unrounded(k):
        omega = later_products(g, -2)
        if gate == "key":
            k = omega * k
        score = q[..., None, :] @ k.mT  # (..., 1, T): a batched product with rows first is the fast layout
        if gate == "value":
            v = omega * v
        elif gate == "scalar":
            score = score * omega.mT
        o: Tensor = (score @ v)[..., 0, :]
        return o.to(dtype)


def unrounded(x: Tensor) -> AbstractContextManager[object]:
    """Where autocast is on, it steps aside: it would round the state at every product."""
    kind = x.device.type
    on = kind != "meta" and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else nullcontext()


def _recurrent(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, S: Tensor | None, gate: Gate, final: bool
) -> tuple[Tensor, Tensor]:
    state, o = v.new_zeros(v.shape[-1], k.shape[-1]) if S is None else S, []
    for q_i, k_i, v_i, G_i in zip(*(x.unbind(-2) for x in (q, k, v)), _on_state(g, gate).unbind(-3), strict=True):
        state = G_i * state + v_i[..., :, None] * k_i[..., None, :]
        o.append((state @ q_i[..., :, None])[..., 0])
    return torch.stack(o, -2), state


def _parallel(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, S: Tensor | None, gate: Gate, final: bool
) -> tuple[Tensor, Any]:
    D, P, R, p = decays_of(g)
    o = within(q, k, v, D, gate)
    after = writes(k, v, R, gate) if final else None
    if S is not None:
        o = o + apply_state(S, q, P, gate)
        after = None if after is None else torch.addcmul(after, _on_state(p, gate), S)
    return o, after


def within(q: Tensor, k: Tensor, v: Tensor, D: Tensor, gate: Gate) -> Tensor:
    """o_t = sum_i D[t, i] * (v_i k_i^T) q_t with decays D (..., T, T, m): every pair of tokens at once."""
    if gate == "scalar":
        return ((q @ k.mT) * D.squeeze(-1)) @ v
    if gate == "key":
        return ((D * k[..., None, :, :]) @ q[..., None])[..., 0] @ v
    return ((q @ k.mT)[..., None, :] @ (D * v[..., None, :, :]))[..., 0, :]


def decays_of(g: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gate products over a span of C tokens, from its gates (..., C, m): D, P, R and p.

    D[t, i] = prod_{i<j<=t} g_j   (..., C, C, m), zero for i > t: what token t sees of the write of token i
    P[t]    = prod_{j<=t} g_j     (..., C, m): what token t sees of the state before the span
    R[i]    = prod_{j>i} g_j      (..., C, m): what is left of write i after the span
    p       = prod_j g_j          (..., m)

    Row by row, D[t] = g_t D[t-1] + e_t. A cumulative product would do, but its backward pass divides by the gates
    and takes a slow path at zeros.
    """
    e = torch.eye(g.shape[-2], dtype=g.dtype, device=g.device)[..., None]
    row, product = torch.zeros_like(e[0]), g.new_ones(1)
    D, P = [], []
    for g_t, e_t in zip(g.unbind(-2), e.unbind(0), strict=True):
        row = torch.addcmul(e_t, row, g_t[..., None, :])
        product = product * g_t
        D.append(row)
        P.append(product)
    return torch.stack(D, -3), torch.stack(P, -2), row, product


def chunk_length(T: int, dk: int, dv: int, gate: Gate) -> int:
    """Tokens per chunk: balances the C (times m) decays a token costs in its chunk with its dk dv / C of state.

    At least two tokens and two chunks as soon as T allows. A near divisor of T needs no copies for filling up.
    """
    C = math.ceil((4.5 if gate == "scalar" else 1) * (dk * dv) ** 0.25)
    C = min(max(2, C), math.ceil(T / 2))
    best: int = math.ceil(T / math.ceil(T / C))
    off = math.inf
    for c in range(max(2, 2 * C // 3), min(3 * C // 2, T // 2) + 1):  # not min: older torch.compile knows no key
        if T % c == 0 and max(c / C, C / c) < off:
            best, off = c, max(c / C, C / c)
    return best


def chunked(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, S: Tensor | None, gate: Gate, final: bool = True
) -> tuple[Tensor, Tensor]:
    """Outputs (..., T, dv) and the final state (..., dv, dk): all pairs within a chunk, the state between chunks."""
    T = q.shape[-2]
    C = chunk_length(T, k.shape[-1], v.shape[-1], gate)
    fill = -T % C
    if fill:  # up with tokens that write nothing and forget nothing, after the last
        q, k, v = (pad(x, (0, 0, 0, fill)) for x in (q, k, v))
        g = pad(g, (0, 0, 0, fill), value=1.0)
    q, k, v, g = (x.unflatten(-2, (-1, C)) for x in (q, k, v, g))
    D, P, R, p = decays_of(g)

    written, decays = writes(k, v, R, gate), _on_state(p, gate)
    S = v.new_zeros(v.shape[-1], k.shape[-1]) if S is None else S
    S = S.expand(torch.broadcast_shapes(S.shape, *(x.select(-3, 0).shape for x in (written, decays))))
    seen = []
    for write, decay in zip(written.unbind(-3), decays.unbind(-3), strict=True):
        seen.append(S)
        S = torch.addcmul(write, decay, S)
    before = torch.stack(seen, -3)

    o = within(q, k, v, D, gate) + apply_state(before, q, P, gate)
    o = o.flatten(-3, -2)
    return (o[..., :T, :] if fill else o), S


FORMS: dict[str, Callable[..., Any]] = {"recurrent": _recurrent, "parallel": _parallel, "chunked": chunked}


def writes(k: Tensor, v: Tensor, R: Tensor, gate: Gate) -> Tensor:
    """What is left of all writes of a span after it, (..., dv, dk), by R of `decays_of`."""
    return v.mT @ (R * k) if gate == "key" else (R * v).mT @ k


def apply_state(S: Tensor, q: Tensor, g: Tensor, gate: Gate) -> Tensor:
    """(G_t * S) q_t for one state (..., dv, dk) and many queries (..., t, dk) with their gates (..., t, m)."""
    return (g * q) @ S.mT if gate == "key" else g * (q @ S.mT)


def _on_state(g: Tensor, gate: Gate) -> Tensor:
    """Gates (..., m) as factors of the state: (..., 1, dk) or (..., dv, 1) or (..., 1, 1)."""
    return g[..., None, :] if gate == "key" else g[..., :, None]


def arguments(
    name: str, q: Tensor, k: Tensor, v: Tensor, gates: Tensor | None, gate: Gate, S: Tensor | None = None
) -> tuple[torch.dtype, list[Any], Gate]:
    """Check all arguments. The dtype of the output; q, k, v, gates and S to compute with, and what the gates act on.

    The gates have a channel axis; no gates are a scalar gate of ones.
    """
    _check.option("gate", gate, GATES)
    _check.tensor(name, q, 2 if name == "q" else 1)
    _check.tensor("k", k, 2)
    _check.tensor("v", v, 2)
    T, dk, dv = k.shape[-2], k.shape[-1], v.shape[-1]
    if T < 1:
        raise _check.misshaped("k", "of shape (..., T, dk) with at least one token", k)
    dtype, leading = k.dtype, k.shape[:-2]

    def fits(argument: str, x: Tensor, tail: tuple[int, ...], dtypes: tuple[torch.dtype, ...]) -> torch.Size:
        """`x` has these last axes, one of the dtypes and k's device; its other axes broadcast with `leading`."""
        split = x.ndim - len(tail)
        if x.shape[split:] != tail:
            expected = f"of shape (..., {', '.join(map(str, tail))}) to go with k of shape {tuple(k.shape)}"
            raise _check.misshaped(argument, expected, x)
        _check.alike(argument, x, "k's", dtypes, k.device)
        try:
            return torch.Size(torch.broadcast_shapes(leading, x.shape[:split]))
        except RuntimeError:
            raise _check.misshaped(argument, f"of leading axes that broadcast with {tuple(leading)}", x) from None

    leading = fits(name, q, (T, dk) if name == "q" else (dk,), (dtype,))
    leading = fits("v", v, (T, dv), (dtype,))
    wide = (dtype,) if dtype.itemsize > 2 else (dtype, torch.float32)
    if gates is None:
        g, gate = k.new_ones(T, 1), "scalar"
    else:
        _check.tensor("gates", gates, finite=False)
        channels = {"scalar": (T,), "key": (T, dk), "value": (T, dv)}[gate]
        leading = fits("gates", gates, channels, wide)
        _check.unit_interval("gates", gates)
        g = gates[..., None] if gate == "scalar" else gates
    if S is not None:
        fits("initial_state", _check.tensor("initial_state", S, 2), (dv, dk), wide)
        S = widen(S)
    return dtype, [*map(widen, (q, k, v, g)), S], gate

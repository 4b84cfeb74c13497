"""From weights to gate values and back: what a gate can reach (Theorems 1, 4 and 5, as derived here).

The weight of token i is the product of the gates that act after its write, omega_i = prod_{j>i} g_j: token i's own
gate does not act on its own write, and the query's own gate counts. Both directions take a numpy array or a torch
tensor and return the same kind; numpy input does not import torch.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from . import _check
from ._check import Array

if TYPE_CHECKING:
    import torch


@overload
def weights_to_gates(omega: torch.Tensor, axis: int = -1) -> torch.Tensor: ...


@overload
def weights_to_gates(omega: ArrayLike, axis: int = -1) -> Array: ...


def weights_to_gates(omega: Any, axis: int = -1) -> Any:
    """Scalar gates (..., n+1) that give the context tokens the weights omega (..., n).

    omega_i = prod_{j=i+1..n+1} g_j, so g_{i+1} = omega_i / omega_{i+1} and g_{n+1} = omega_n; g_1 acts on an empty
    state and is set to 1, and so is 0/0. The inverse of `gates_to_weights`. A vector gate is one scalar gate per
    channel: give omega as (..., n, m) with axis=-2.

    Raises ValueError unless 0 <= omega_1 <= ... <= omega_n <= 1 (within 64 units of rounding; one, of 16 bits).
    """
    xp, omega = _array("omega", omega, axis)
    kind, omega = omega.dtype, widen(omega)
    one = xp.ones_like(_part(omega, axis, 0, 1))
    later = xp.concatenate((_part(omega, axis, 1, None), one), axis)
    slack = max(64 * xp.finfo(omega.dtype).eps, xp.finfo(kind).eps)

    if _check.look(lambda: bool((omega < -slack).any() or (omega > later * (1 + slack)).any())):
        expected = "non-decreasing along the context and in [0, 1], because a scalar gate reaches such weights only"
        raise _check.fail("omega", expected, _check.short(omega.tolist()))
    safe = xp.where(later > 0, later, xp.ones_like(later))
    ratio = xp.where(later > 0, xp.clip(omega / safe, 0, 1), xp.ones_like(later))
    return _as(kind, xp.concatenate((one, ratio), axis))


@overload
def signed_weights_to_gates(omega: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


@overload
def signed_weights_to_gates(omega: ArrayLike) -> tuple[Array, Array]: ...


def signed_weights_to_gates(omega: Any) -> Any:
    """Two channels for weights (..., n) of any sign and order: gates (..., n+1, 2) and a scale (...) with

        omega = scale * (Omega[..., 0] - Omega[..., 1]),    Omega = gates_to_weights(gates, axis=-2).

    The rises of omega go to one channel, its falls to the other (Jordan decomposition), so each is monotone.
    The construction of Theorem 5 (vector gates), as derived here.
    """
    xp, omega = _array("omega", omega, -1)
    kind, omega = omega.dtype, widen(omega)
    rises = xp.concatenate((omega[..., :1], omega[..., 1:] - omega[..., :-1]), -1)
    up, down = (xp.cumsum(xp.clip(sign * rises, 0, None), -1) for sign in (1, -1))
    scale = xp.maximum(up[..., -1], down[..., -1])
    if _check.look(lambda: bool(xp.isfinite(_as(kind, scale)).all())) is False:
        expected = f"such that the sum of its rises is finite in {kind}"
        raise _check.fail("omega", expected, _check.short(omega.tolist()))
    safe = xp.where(scale > 0, scale, xp.ones_like(scale))[..., None, None]
    return _as(kind, weights_to_gates(xp.stack((up, down), -1) / safe, axis=-2)), _as(kind, scale)


@overload
def gates_to_weights(gates: torch.Tensor, axis: int = -1) -> torch.Tensor: ...


@overload
def gates_to_weights(gates: ArrayLike, axis: int = -1) -> Array: ...


def gates_to_weights(gates: Any, axis: int = -1) -> Any:
    """Weights (..., n) that the gates (..., n+1) of a prompt and its query give the context tokens.

    omega_i = prod_{j=i+1..n+1} g_j. For vector gates (..., n+1, m) say axis=-2: the weights are (..., n, m), the
    rows Omega_i of Theorem 1.
    """
    _, gates = _array("gates", gates, axis)
    if gates.shape[axis] < 2:
        raise _check.fail("gates", "for at least one token and the query", f"shape {tuple(gates.shape)}, axis {axis}")
    _check.unit_interval("gates", gates)
    return _part(later_products(gates, axis), axis, 0, -1)


@overload
def suffix_products(gates: torch.Tensor, axis: int = -1) -> torch.Tensor: ...


@overload
def suffix_products(gates: ArrayLike, axis: int = -1) -> Array: ...


def suffix_products(gates: Any, axis: int = -1) -> Any:
    """prod_{j>i} g_j for every i along `axis`; the last is the empty product, 1. Exact zeros are harmless."""
    _, gates = _array("gates", gates, axis)
    return later_products(gates, axis)


def later_products(gates: Any, axis: int) -> Any:
    """`suffix_products` of an array or tensor that has been checked."""
    xp = array_module(gates)
    kind, g = gates.dtype, widen(gates)
    later = xp.concatenate((_part(g, axis, 1, None), xp.ones_like(_part(g, axis, 0, 1))), axis)
    return _as(kind, xp.flip(xp.cumprod(xp.flip(later, (axis,)), axis), (axis,)))


@overload
def widen(value: torch.Tensor) -> torch.Tensor: ...


@overload
def widen(value: Array) -> Array: ...


def widen(value: Any) -> Any:
    """A torch tensor of 16 bits in float32, where its sums and products are taken; anything else as it is."""
    return value.float() if value.dtype.itemsize < 4 and array_module(value) is not np else value


def _as(dtype: Any, value: Any) -> Any:
    return value if value.dtype == dtype else value.to(dtype)


def _part(value: Any, axis: int, start: int, stop: int | None) -> Any:
    """value[start:stop] along one axis."""
    axis = axis % value.ndim
    return value[(slice(None),) * axis + (slice(start, stop),)]


def array_module(value: object) -> Any:
    """torch for its tensors, else numpy; a tensor can only exist once torch is imported."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(value, torch.Tensor) else np


def _array(name: str, value: Any, axis: int) -> tuple[Any, Any]:
    value, axis = _check.array_or_tensor(name, value), _check.integer("axis", axis)
    if not -value.ndim <= axis < value.ndim or value.shape[axis] == 0:
        raise _check.misshaped(name, f"an array with entries along axis {axis}", value)
    return array_module(value), value

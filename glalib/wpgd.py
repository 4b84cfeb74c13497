"""The algorithm itself: one step of weighted preconditioned gradient descent (WPGD)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from . import _check
from ._check import Array
from .gates import array_module, widen

if TYPE_CHECKING:
    import torch


@overload
def wpgd_step(
    x: torch.Tensor, y: torch.Tensor, x_query: torch.Tensor, P: ArrayLike, omega: ArrayLike
) -> torch.Tensor: ...


@overload
def wpgd_step(x: ArrayLike, y: ArrayLike, x_query: ArrayLike, P: ArrayLike, omega: ArrayLike) -> Array: ...


def wpgd_step(x: Any, y: Any, x_query: Any, P: Any, omega: Any) -> Any:
    """Predict the query's label by x^T P X^T (omega * y): one WPGD step from zero.

    The step is taken on the weighted least-squares loss 1/2 sum_i omega_i (y_i - beta^T x_i)^2 at beta = 0, with
    preconditioner P. There is no 1/n: the scale is part of P.

    Shapes: x (..., n, d), y (..., n), x_query (..., queries, d), P (d, d), omega (n,) or (..., n);
    returns (..., queries). NumPy arrays, in float64, or torch tensors, in x's dtype; all follow the kind of x. Where x
    has 16 bits, sums are taken in float32, with P and omega in float32, and the result is rounded once.

    Raises ValueError or TypeError where shapes disagree or an entry is not finite, or not in the range of x's dtype. A
    prediction too large for it is infinite or NaN.
    Paper: the predictor that Theorem 1 finds inside gated linear attention.
    """
    given = x
    x, y, x_query, P, omega = _alike(x=x, y=y, x_query=x_query, P=P, omega=omega)
    if x.ndim < 2:
        raise _check.misshaped("x", "of shape (..., n, d)", x)
    *lead, n, d = x.shape
    queries = max(1, x_query.shape[-2]) if x_query.ndim > 1 else 1
    for name, value, shape in (("y", y, (*lead, n)), ("x_query", x_query, (*lead, queries, d)), ("P", P, (d, d))):
        if tuple(value.shape) != shape:
            expected = "(..., queries, d)" if name == "x_query" else str(shape)
            raise _check.misshaped(name, f"of shape {expected}, as x has shape {tuple(x.shape)}", value)
    if tuple(omega.shape) not in ((n,), tuple(y.shape)):
        raise _check.misshaped("omega", f"of shape ({n},) or {tuple(y.shape)}", omega)

    gradient = ((omega * y)[..., None, :] @ x).swapaxes(-1, -2)  # X^T (omega * y), (..., d, 1)
    prediction = (x_query @ (P @ gradient))[..., 0]
    return prediction if isinstance(prediction, np.ndarray) else prediction.to(given.dtype)


def _alike(**values: Any) -> Any:
    """All arguments as finite arrays of the kind of x: NumPy float64, or torch tensors to compute with."""
    x = values["x"]
    if array_module(x) is np:
        return [_check.array(name, value) for name, value in values.items()]
    import torch

    dtype = widen(_check.tensor("x", x)).dtype

    def like_x(name: str, value: Any) -> torch.Tensor:
        if not (isinstance(value, torch.Tensor) and value.is_floating_point()):
            value = torch.from_numpy(_check.array(name, value))
        if value.is_meta and not x.is_meta:
            raise _check.fail(name, f"a tensor with numbers in it, as x is on {x.device}", "a meta tensor")
        return _check.cast(name, _check.tensor(name, value, ndim=0), dtype).to(x.device)

    return [like_x(name, value) for name, value in values.items()]

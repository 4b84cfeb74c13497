"""The algorithm itself: one step of weighted preconditioned gradient descent (WPGD)."""

from __future__ import annotations

from . import _check


def wpgd(x, y, x_query, P, omega):
    """Predict the query's label by x^T P X^T (omega * y): one WPGD step from zero.

    The step is taken on the weighted least-squares loss 1/2 sum_i omega_i (y_i - beta^T x_i)^2 at beta = 0, with
    preconditioner P. There is no 1/n: the scale is part of P.

    Shapes: x (..., n, d), y (..., n), x_query (..., queries, d), P (d, d), omega (n,) or (..., n);
    returns (..., queries). NumPy arrays or torch tensors; P and omega follow the type and precision of x.

    Raises ValueError or TypeError where shapes disagree or an entry is not finite.
    Paper: the predictor that Theorem 1 finds inside gated linear attention.
    """
    x, y, x_query, P, omega = _alike(x=x, y=y, x_query=x_query, P=P, omega=omega)
    if x.ndim < 2:
        raise _check.fail("x", "of shape (..., n, d)", f"shape {tuple(x.shape)}")
    *lead, n, d = x.shape
    queries = max(1, x_query.shape[-2]) if x_query.ndim > 1 else 1
    for name, value, shape in (
        ("y", y, (*lead, n)),
        ("x_query", x_query, (*lead, queries, d)),
        ("P", P, (d, d)),
    ):
        if tuple(value.shape) != shape:
            expected = "(..., queries, d)" if name == "x_query" else str(shape)
            raise _check.fail(
                name, f"of shape {expected}, as x has shape {tuple(x.shape)}", f"shape {tuple(value.shape)}"
            )
    if tuple(omega.shape) not in ((n,), tuple(y.shape)):
        raise _check.fail("omega", f"of shape ({n},) or {tuple(y.shape)}", f"shape {tuple(omega.shape)}")

    gradient = ((omega * y)[..., None, :] @ x).swapaxes(-1, -2)  # X^T (omega * y), (..., d, 1)
    return (x_query @ (P @ gradient))[..., 0]


def _alike(**values):
    """All arguments as finite arrays of the kind of x: NumPy float64, or torch tensors of x's dtype."""
    x = values["x"]
    if type(x).__module__.split(".")[0] != "torch":
        return [_check.array(name, value) for name, value in values.items()]
    import torch

    def like_x(name, value):
        if not (isinstance(value, torch.Tensor) and value.is_floating_point()):
            value = torch.from_numpy(_check.array(name, value))
        return _check.tensor(name, value.to(x.device, x.dtype), ndim=0)

    _check.tensor("x", x)
    return [like_x(name, value) for name, value in values.items()]

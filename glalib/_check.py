"""Every argument check of the package: each error names the argument, what was given and what was expected."""

from __future__ import annotations

import numbers

import numpy as np


def fail(name: str, expected: str, given) -> ValueError:
    """The one sentence in which the package complains."""
    return ValueError(f"{name} must be {expected}; got {given}")


def positive_int(name: str, value) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a positive integer; got {value!r}")
    if value < 1:
        raise fail(name, "a positive integer", repr(value))
    return int(value)


def real(name: str, value, low: float = -np.inf, high: float = np.inf, expected: str = "a finite number") -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {expected}; got {value!r}")
    if not (np.isfinite(value) and low <= value <= high):
        raise fail(name, expected, repr(value))
    return float(value)


def option(name: str, value, options: tuple) -> None:
    if not any(value is o or (isinstance(value, str) and value == o) for o in options):
        raise fail(name, "one of " + ", ".join(map(repr, options)), repr(value))


def array(name: str, value, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A finite float64 array of that shape."""
    try:
        out = np.asarray(value)
        if out.dtype.kind not in "iuf":
            raise TypeError
        out = out.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of real numbers; got {_short(value)}") from None
    if shape is not None and out.shape != shape:
        raise fail(name, f"of shape {shape}", f"shape {out.shape}")
    if not np.isfinite(out).all():
        raise fail(
            name, "finite", "NaN or infinity at index " + str(tuple(map(int, np.argwhere(~np.isfinite(out))[0])))
        )
    return out


def tensor(name: str, value, ndim: int = 1):
    """A finite floating-point torch tensor with at least `ndim` axes."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor; got {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor; got {value.dtype}")
    if value.ndim < ndim:
        raise fail(name, f"a tensor with at least {ndim} axes", f"shape {tuple(value.shape)}")
    # One pass over memory in the good case: any NaN or infinity shows in the sum. A sum may also overflow,
    # so only the slow look condemns.
    if not value.detach().sum().isfinite() and not value.isfinite().all():
        raise fail(name, "finite", "a tensor with NaN or infinity in it")
    return value


def unit_interval(name: str, value) -> None:
    """Gates are numbers in [0, 1]; `value` is a numpy array or a torch tensor."""
    if 0 in value.shape:
        return
    low, high = value.min().item(), value.max().item()
    if not (low >= 0 and high <= 1):
        raise fail(name, "in [0, 1]", f"values from {low:g} to {high:g}")


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""The words of every complaint (the argument, what was given, what was expected), and the checks that rooms share.

What one function alone asks of its arguments is checked where that function is.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]
T = TypeVar("T")


def fail(name: str, expected: str, given: object) -> ValueError:
    """The one sentence in which the package complains."""
    return ValueError(f"{name} must be {expected}; got {given}")


def misshaped(name: str, expected: str, given: Any) -> ValueError:
    """The same of an array or a tensor whose shape is wrong."""
    return fail(name, expected, f"shape {tuple(given.shape)}")


def instance(name: str, value: object, kinds: type[T] | tuple[type[T], ...], expected: str) -> T:
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {expected}; got {type(value).__name__}")
    return value


def integer(name: str, value: Any, low: int | None = None, expected: str = "an integer") -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be {expected}; got {short(value)}")
    if low is not None and int(value) < low:
        raise fail(name, expected, short(value))
    if not -(2**63) <= int(value) < 2**63:
        raise fail(name, f"{expected} that fits in 64 bits", short(value))
    return int(value)


def positive_int(name: str, value: Any) -> int:
    return integer(name, value, 1, "a positive integer")


def positive_ints(name: str, value: Any) -> tuple[int, ...]:
    """A sequence of at least one positive integer, as a tuple."""
    try:
        if isinstance(value, (set, frozenset, dict, bytes, bytearray)):  # no order, equal ones lost, or characters
            raise TypeError
        out = tuple(value)
    except TypeError:
        raise TypeError(f"{name} must be a sequence of positive integers; got {value!r}") from None
    if not out:
        raise fail(name, "a non-empty sequence of positive integers", "()")
    return tuple(positive_int(f"{name}[{k}]", entry) for k, entry in enumerate(out))


def real(name: str, value: Any, low: float = -np.inf, high: float = np.inf, expected: str = "a finite number") -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {expected}; got {short(value)}")
    try:
        out = float(value)
    except OverflowError:
        out = np.inf
    if not (np.isfinite(out) and low <= out <= high):
        raise fail(name, expected, short(value))
    return out


def option(name: str, value: Any, options: tuple[object, ...]) -> None:
    value = bool(value) if isinstance(value, np.bool_) else value
    if not any(value is o or (isinstance(value, str) and value == o) for o in options):
        raise fail(name, "one of " + ", ".join(map(repr, options)), short(value))


def flag(name: str, value: Any) -> bool:
    option(name, value, (True, False))
    return bool(value)


def array(name: str, value: Any, shape: tuple[int, ...] | None = None) -> Array:
    """A finite float64 array of that shape; of a tensor, its values without their history."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be an array without a mask; got {short(value)}")
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu().resolve_neg()
            value = value.double() if value.is_floating_point() else value  # numpy has no bfloat16
        out = np.asarray(value)
        if out.dtype.kind not in "iuf":
            raise TypeError
        out = out.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be an array of real numbers; got {short(value)}") from None
    if shape is not None and out.shape != shape:
        raise misshaped(name, f"of shape {shape}", out)
    if not np.isfinite(out).all():
        first = tuple(map(int, np.argwhere(~np.isfinite(out))[0]))
        raise fail(name, "finite", f"NaN or infinity at index {first}")
    return out


def tensor(name: str, value: object, ndim: int = 1, finite: bool = True) -> torch.Tensor:
    """A finite dense floating-point torch tensor with at least `ndim` axes. finite=False leaves numbers to another."""
    import torch

    value = instance(name, value, torch.Tensor, "a torch tensor")
    if not _computes(value.dtype) or value.layout != torch.strided or value.is_nested:
        expected = "a floating-point tensor, dense and of 16 bits or more"
        raise TypeError(f"{name} must be {expected}; got {value.dtype}, {value.layout}")
    if value.ndim < ndim:
        raise misshaped(name, f"a tensor with at least {ndim} axes", value)
    if finite and look(lambda: _is_finite(value)) is False:
        raise fail(name, "finite", "a tensor with NaN or infinity in it")
    return value


def alike(name: str, value: torch.Tensor, whose: str, dtypes: tuple[torch.dtype, ...], device: torch.device) -> None:
    """Complain unless the tensor has one of the dtypes and the device of another, whose they are."""
    if value.dtype not in dtypes or value.device != device:
        expected = f"of {whose} dtype and device, {' or '.join(map(str, dtypes))} on {device}"
        raise fail(name, expected, f"{value.dtype} on {value.device}")


def look(question: Callable[[], T]) -> T | None:
    """The answer of question() on the numbers in an array or a tensor, or None where there are none to look at.

    So it is while torch compiles or exports, inside `torch.func.vmap`, and for fake and meta tensors: a branch on
    numbers would end the trace, so checks of numbers step aside. Checks of types and shapes remain.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.compiler.is_compiling():
        return None
    try:
        return question()
    except RuntimeError:  # torch's answer to a look at numbers in every other case
        return None


def _is_finite(value: torch.Tensor) -> bool:
    """One pass over memory in the good case: any NaN or infinity shows in the sum. A sum may also overflow, so only
    the slow look condemns."""
    return math.isfinite(value.detach().sum().item()) or bool(value.detach().isfinite().all())


def cast(name: str, value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A finite tensor in that dtype, if its largest entry is in the dtype's range: not infinite there, nor zero."""
    in_range(name, look(lambda: value.detach().abs().max().item()) if value.numel() else None, dtype)
    return value.to(dtype)


def in_range(name: str, largest: float | None, dtype: torch.dtype) -> None:
    """Complain of a largest entry, if it is known, that is infinite in that dtype, or is zero there and not here."""
    import torch

    limits = torch.finfo(dtype)
    if largest and not limits.tiny <= largest <= limits.max:
        expected = f"in the range of {dtype}, {limits.tiny:.2g} to {limits.max:.2g}"
        raise fail(name, expected, f"a largest entry of {largest:.3g}")


def array_or_tensor(name: str, value: Any) -> Any:
    """A torch tensor as in `tensor`, of any number of axes; anything else as in `array`."""
    torch = sys.modules.get("torch")  # a tensor can only exist once torch is imported
    return tensor(name, value, 0) if torch is not None and isinstance(value, torch.Tensor) else array(name, value)


def torch_for(what: str) -> Any:
    """The module torch, or a complaint that says what needs it."""
    try:
        import torch
    except ImportError:
        raise ImportError(f"{what} needs torch, which is not installed here: pip install 'glalib[torch]'") from None
    return torch


def dtype(name: str, value: Any) -> None:
    import torch

    if value is not None and not (isinstance(value, torch.dtype) and _computes(value)):
        raise TypeError(f"{name} must be a floating-point torch dtype of 16 bits or more, or None; got {short(value)}")


def generator(value: object) -> None:
    import torch

    if not isinstance(value, (torch.Generator, type(None))):
        kind = type(value)  # numpy's has the same name
        given = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise TypeError(f"generator must be a torch.Generator or None; got {given}")


def unit_interval(name: str, value: Any, most: float = 1.0) -> None:
    """Gates are numbers in [0, 1], or [0, most]; `value` is a numpy array or a torch tensor. NaN is not in [0, 1]."""
    if 0 in value.shape:
        return
    if isinstance(value, np.ndarray):
        low, high = value.min().item(), value.max().item()
    else:
        low, high = look(lambda: tuple(end.item() for end in value.detach().aminmax())) or (0, most)
    if low >= 0 and high <= most:
        return
    if math.isnan(low) or math.isnan(high):
        raise fail(name, "finite", "a tensor with NaN in it")
    raise fail(name, f"in [0, {most:g}]", f"values from {low!r} to {high!r}")


def _computes(dtype: torch.dtype) -> bool:
    """Not the 8-bit formats, which store numbers only."""
    return dtype.is_floating_point and dtype.itemsize > 1


def short(value: object) -> str:
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of thousands of digits
        text = f"{type(value).__name__} too long to print"
    return text if len(text) <= 60 else text[:57] + "..."

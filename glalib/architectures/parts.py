"""What layers in use share: their shapes and gates checked, heads moved, a state read early, normalisers in range.

Shapes are named by letters, as in `forms`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from .. import _check
from ..attention import gla


def before(q: Tensor, k: Tensor, v: Tensor, gates: Tensor, gate: str = "scalar") -> Tensor:
    """`gla`, read before the token writes and forgets: its inputs come a token later, after one that writes nothing."""
    k, v = (pad(x, (0, 0, 1, 0))[..., :-1, :] for x in (k, v))
    if gate == "key":
        return gla(q, k, v, pad(gates, (0, 0, 1, 0))[..., :-1, :], "key")
    return gla(q, k, v, pad(gates, (1, 0))[..., :-1])


@torch.no_grad()
def largest(log_g: Tensor, log_write: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithm of the largest weight that a token has, before each token and after it, (..., T) both.

    m is what it is before the first: m_t = max(log_g_t + m_{t-1}, log_write_t), and m if the largest is never below.
    """
    log_g, least = log_g.expand_as(log_write), m
    found = [m]
    for t in range(log_write.shape[-1]):
        m = torch.maximum(torch.maximum(log_g[..., t] + m, log_write[..., t]), least)
        found.append(m)
    every = torch.stack(found, -1)
    return every[..., :-1], every[..., 1:]


def and_one(v: Tensor) -> Tensor:
    """Values with one more channel, of ones: its output is q . n."""
    return pad(v, (0, 1), value=1.0)


def with_total(o: Tensor) -> tuple[Tensor, Tensor]:
    return o[..., :-1], o[..., -1:]


def scaled(q: Tensor, scale: float | None) -> Tensor:
    return q * (q.shape[-1] ** -0.5 if scale is None else _check.real("scale", scale))


def heads_first(*tensors: Tensor) -> list[Tensor]:
    """(B, T, H, ...) as (B, H, T, ...)."""
    return [x.transpose(1, 2) for x in tensors]


def tokens_first(o: Tensor) -> Tensor:
    return o.transpose(1, 2)


def exp(name: str, log: Tensor) -> Tensor:
    """Gates from their logarithms, or a complaint."""
    if _check.look(lambda: log.detach().amax().item() > 0):
        raise _check.fail(name, "a logarithm of gates in (0, 1], at most 0", f"values up to {log.detach().max():.3g}")
    return log.exp()


def steps(name: str, dt: Tensor) -> None:
    """A complaint if a step goes back."""
    if _check.look(lambda: dt.detach().amin().item() < 0):
        raise _check.fail(name, "steps, at least 0", f"values down to {dt.detach().min():.3g}")


def shapes(**tensors: tuple[Tensor | None, str]) -> dict[str, int]:
    """The sizes that letters stand for, if all tensors that are given have their axes, and q's dtype and device, or
    those of whichever is first. A digit stands for itself."""
    size = {digit: int(digit) for digit in "2"}
    first = example = None
    for name, (given, axes) in tensors.items():
        if given is None and name in ("decay", "D"):
            continue
        x = _check.tensor(name, given)
        known = ", ".join(f"{letter} = {size[letter]}" for letter in axes if letter in size and letter.isalpha())
        wrong = x.ndim != len(axes) or 0 in x.shape
        if wrong or any(size.setdefault(letter, n) != n for letter, n in zip(axes, x.shape, strict=True)):
            expected = f"of shape ({', '.join(axes)})" + (f" with {known}" if known else "")
            raise _check.misshaped(name, expected, x)
        first, example = first or name, x if example is None else example
        _check.alike(name, x, f"{first}'s", (example.dtype,), example.device)
    return size

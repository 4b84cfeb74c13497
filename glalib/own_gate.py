"""A gate of one's own: any torch module that says its name and what it acts on, and reads tokens.

    class Decay(torch.nn.Module):
        name, acts_on = "fixed decay", "scalar"

        def __init__(self, rate):
            super().__init__()
            self.rate = rate

        def forward(self, Z):
            return Z.new_full(Z.shape[:-1], self.rate)

    GLA(width, gate=Decay(0.9))

Each layer has a copy, with weights of its own. A gate may also say how much of its value a token writes: a method
`write`, whose factors stand before the write of the token, S_i = G_i * S_{i-1} + u_i v_i k_i^T.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from . import _check
from .attention import GATES, Gate
from .gates import widen


class TokenGate(Protocol):
    """What a module has to have to be the `gate` of a `GLA`.

    - name: what it is called in messages. acts_on: "scalar", "key" or "value".
    - forward(Z): gates in [0, 1] of tokens Z (..., T, width), in their dtype: (..., T) if it acts as a scalar gate,
      else (..., T, m) with the width m of keys or values. It is called with the context, T = n, and with each query
      alone, T = 1: so queries never see each other, and a gate that mixes tokens mixes those of the context.
    - write(Z), if there is such a method: factors u >= 0, (..., T), of what the tokens write, asked for likewise.
    """

    @property
    def name(self) -> str: ...
    @property
    def acts_on(self) -> str: ...
    def forward(self, Z: Tensor, /) -> Tensor: ...


class OwnGate(nn.Module):
    """A layer's copy of a gate of one's own, `gate`, and a check of what it returns.

    In a model of 16 bits its weights stay in float32, as it is asked for gates in float32 there.
    """

    def __init__(self, gate: TokenGate, channels: int, like: Tensor, most: float = 1.0) -> None:
        super().__init__()
        self.most = most
        self.channels = () if gate.acts_on == "scalar" else (channels,)
        self.writes = hasattr(gate, "write")
        self.gate = copy.deepcopy(cast(nn.Module, gate)).to(like.device, widen(like).dtype)

    def forward(self, Z: Tensor) -> Tensor:
        """Its gates (..., T, m), m = 1 for a scalar gate, of tokens (..., T, width)."""
        what = f"what gate {self.gate.name!r} returns"
        g = _fitting(what, self.gate(Z), Z, self.channels)
        _check.unit_interval(what, g, self.most)
        return g if self.channels else g[..., None]

    def write(self, Z: Tensor) -> Tensor:
        """Its factors (..., T, 1) of what tokens (..., T, width) write."""
        what = f"what write of gate {self.gate.name!r} returns"
        u = _fitting(what, cast(Any, self.gate).write(Z), Z, ())
        if _check.look(lambda: bool((u.isfinite() & (u >= 0)).all())) is False:
            raise _check.fail(what, "finite and not negative", _check.short(u.tolist()))
        return u[..., None]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> OwnGate:
        """`.half()` and `.bfloat16()` round nothing here."""

        def wide(x: Tensor) -> Tensor:
            y = fn(x)
            return x.to(y.device, torch.float32) if y.is_floating_point() and y.dtype.itemsize < 4 else y

        super()._apply(wide, recurse)  # type: ignore[no-untyped-call]
        return self

    def __repr__(self) -> str:
        """All numbers and words among its attributes: two gates that differ in one are not the same."""
        shown: dict[str, Any] = {"name": self.gate.name, "acts_on": self.gate.acts_on}
        for path, module in self.gate.named_modules():
            for key, value in vars(module).items():
                if isinstance(value, (bool, int, float, str)) and key != "training" and not key.startswith("_"):
                    shown[f"{path}.{key}" if path else key] = value
        return f"{type(self.gate).__name__}({', '.join(f'{key}={value!r}' for key, value in shown.items())})"


def _fitting(what: str, value: Tensor, Z: Tensor, channels: tuple[int, ...]) -> Tensor:
    """A value for each of the tokens (..., T, width), and channel, in their dtype, or a complaint."""
    value = _check.tensor(what, value, finite=False)
    if value.shape != (shape := (*Z.shape[:-1], *channels)):
        raise _check.misshaped(what, f"of shape {tuple(shape)} for tokens {tuple(Z.shape)}", value)
    _check.alike(what, value, "the tokens'", (Z.dtype,), Z.device)
    return value


def acts_on(gate: Any) -> Gate | None:
    """What the argument `gate` of a `GLA` acts on, or a complaint."""
    if not isinstance(gate, nn.Module):
        if not isinstance(gate, (str, type(None))):
            expected = f"None, one of {', '.join(map(repr, GATES))}, or a torch module with `name` and `acts_on`"
            raise TypeError(f"gate must be {expected}; got {_check.short(gate)}")
        _check.option("gate", gate, (None, *GATES))
        return cast("Gate | None", gate)
    name = getattr(gate, "name", None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"gate.name must be a string that is not empty; got {_check.short(name)}")
    _check.option("gate.acts_on", getattr(gate, "acts_on", None), GATES)
    if not callable(getattr(gate, "write", str)):
        raise TypeError(f"gate.write must be a method of tokens; got {_check.short(gate.write)}")
    return cast(Gate, gate.acts_on)

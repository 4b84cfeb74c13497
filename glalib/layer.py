"""One layer of gated linear attention on tokens: its weights, its gates, what it writes, and what a query reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import _check
from ._check import Array
from .attention import Gate, apply_state, chunked, writes
from .gates import later_products, widen
from .own_gate import OwnGate, TokenGate

if TYPE_CHECKING:
    from .model import GLA


class Given(nn.Module):
    """A module with given numbers, such as gates, or None, in the buffer `given`."""

    given: Tensor | None

    def _apply(self, fn: Any, recurse: bool = True) -> Given:
        """`.half()` and `.bfloat16()` leave given numbers in float32: gates near one would become one."""
        given = self.given
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if given is not None and self.given is not None and self.given.dtype.itemsize < 4:
            self.given = given.to(self.given.device, torch.float32)
        return self


class Layer(Given):
    """W_q, W_k, W_v, and W_o if more layers follow; gates given, of W_g and b_g, or of `own`. See `model.GLA`."""

    gate: Gate | None

    def __init__(
        self,
        model: GLA,
        last: bool,
        given: Any,
        own: TokenGate | None,
        gate_bias: float,
        generator: torch.Generator | None,
        **kind: Any,
    ) -> None:
        super().__init__()
        width, dk, dv = model.width, model.key_width, model.value_width

        def draw(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(normal(rows, columns, generator=generator, **kind) / rows**0.5)

        self.gate, self.causal = model.gate, model.causal
        self.W_q, self.W_k, self.W_v = draw(width, dk), draw(width, dk), draw(width, dv)
        self.W_o = None if last or dv == width else draw(dv, width)
        channels = {None: 0, "scalar": 1, "key": dk, "value": dv}[self.gate]
        computed = self.gate is not None and given is None and own is None
        self.W_g = nn.Parameter(torch.zeros(width, channels, **kind)) if computed else None
        self.b_g = nn.Parameter(torch.full((channels,), gate_bias, **kind)) if computed else None
        if given is not None:
            given = copied("gates", given, (None,) if self.gate == "scalar" else (None, channels))
            _check.unit_interval("gates", given)
            given = given.to(widen(self.W_q)).reshape(-1, channels)
        self.register_buffer("given", given)
        self.own = None if own is None else OwnGate(own, channels, self.W_q)

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        super()._load_from_state_dict(*args, **options)
        if self.given is not None:
            _check.unit_interval("gates", self.given)

    def matrices(self) -> tuple[Tensor, Tensor, Tensor]:
        """W_q, W_k, W_v to compute with."""
        return widen(self.W_q), widen(self.W_k), widen(self.W_v)

    @torch.no_grad()
    def construct(self, P_q: Tensor, P_k: Tensor, v: Tensor) -> None:
        """Eq. (9): queries and keys read the features, by P_q and P_k (d, m); values are v times the label."""
        for W in (self.W_q, self.W_k, self.W_v):
            W.zero_()
        d = len(P_q)
        self.W_q[:d], self.W_k[:d], self.W_v[d] = P_q, P_k, v

    def split_gates(self, Z: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Gates of the context (..., n, m) and of the queries (..., queries, m); ones without a gate.

        The sigmoid stands in `token_free` too, its inverse in `compute_gates`.
        """
        if self.own is not None:  # asked for each query alone: one may not see another
            return self.own(Z[..., :n, :]), self.own(Z[..., n:, None, :])[..., 0, :]
        if self.gate is None:
            g = Z.new_ones(n + 1, 1)
        elif self.W_g is not None and self.b_g is not None:
            g = torch.sigmoid(Z @ widen(self.W_g) + widen(self.b_g))
        elif self.given is not None and self.given.shape[0] == n + 1:
            g = self.given
        else:
            tokens = 0 if self.given is None else len(self.given)
            expected = f"prompts of {tokens} tokens, the query among them, as the given gates are"
            raise _check.fail("Z", expected, f"{n + 1} tokens")
        return g[..., :n, :], g[..., n:, :]

    def write_gate(self, Z: Tensor, n: int) -> Tensor | None:
        """Factors (..., n + queries, 1) of what tokens write, where a gate of one's own has a `write`; else None."""
        if self.own is None or not self.own.writes:
            return None
        return torch.cat([self.own.write(Z[..., :n, :]), self.own.write(Z[..., n:, None, :])[..., 0, :]], -2)

    def compute_gates(self, kind: NDArray[np.intp], vectors: Array) -> None:
        """Put gates computed from context vectors (kinds, p) in place of those given for tokens of these kinds (T,)."""
        eps, given = torch.finfo(widen(self.W_q).dtype).eps, _check.array("gates", self.given)
        g = given[len(kind) - 1 - np.unique(kind[::-1], return_index=True)[1]]  # of the last token of each kind
        if np.abs(given - g[kind])[1:].max() > eps:  # the first of all gates acts on an empty state
            raise _check.fail("gates", "the same for all tokens of one kind, from the second on", _check.short(given))
        with np.errstate(divide="ignore"):
            logits = np.clip(np.log(g) - np.log1p(-g), np.log(eps / 64), np.log(64 / eps))
        bias = float(vectors.shape[1] < len(vectors))  # zero where context alone can do: W_g is then a table of logits
        read = np.column_stack([vectors, np.full(len(vectors), bias)])
        W = torch.from_numpy(np.linalg.lstsq(read, logits, rcond=None)[0]).to(self.W_q)
        off = np.abs(1 / (1 + np.exp(-read @ _check.array("W_g", W))) - g).max()
        if off > torch.finfo(W.dtype).eps ** 0.5:
            expected = "of context vectors that tell apart kinds of token with unlike gates, as independent ones do"
            raise _check.fail("tokens", expected, f"gates that miss the given ones by {off:.2g}")
        self.given, self.b_g = None, nn.Parameter(W[-1].clone())
        self.W_g = nn.Parameter(torch.cat([W.new_zeros(len(self.W_q) - len(W) + 1, W.shape[1]), W[:-1]]))

    def write(self, Z: Tensor, n: int) -> Tensor:
        """Outputs (..., n + queries, value_width) of the context and of each query as its (n+1)-th token."""
        g, g_q = self.split_gates(Z, n)
        q, k, v = (Z @ W for W in self.matrices())
        if (let_in := self.write_gate(Z, n)) is not None:
            v = let_in * v
        gate: Gate = self.gate or "scalar"
        if not self.causal:
            k, v, omega = k[..., :n, :], v[..., :n, :], later_products(g, -2)
            S = writes(k, v, omega, gate)
            return torch.cat([q[..., :n, :] @ S.mT, apply_state(S, q[..., n:, :], g_q, gate)], -2)
        o, S = chunked(q[..., :n, :], k[..., :n, :], v[..., :n, :], g, None, gate)
        q, k, v = (x[..., n:, :] for x in (q, k, v))
        own = v * (k * q).sum(-1, keepdim=True)
        return torch.cat([o, apply_state(S, q, g_q, gate) + own], -2)

    def read(self, Z: Tensor, n: int, h: Tensor) -> Tensor:
        """h^T o (..., queries) at each query: the row h^T S takes the place of the state (Theorem 1).

        h^T (G_q * S) q + (h^T v_q) (k_q^T q), where row i of Omega, times the gate of its write if there is one, weighs
        write i and S = sum_i (Omega_i * v_i k_i^T).
        """
        W_q, W_k, W_v = self.matrices()
        X, X_q = Z[..., :n, :], Z[..., n:, :]
        u, u_q = (Z @ (W_v @ h)).split((n, X_q.shape[-2]), -1)
        q = X_q @ W_q
        q_token = q @ W_k.mT  # k^T q = z^T W_k q: keys that no gate touches need not be formed
        own = u_q * (X_q * q_token).sum(-1) if self.causal else 0.0  # the query's own write
        g, g_q = self.split_gates(Z, n)
        omega = later_products(g, -2)
        if (let_in := self.write_gate(Z, n)) is not None:
            omega, own = let_in[..., :n, :] * omega, let_in[..., n:, 0] * own
        if self.gate == "key":
            return _rows(u[..., None, :], omega * (X @ W_k), g_q * q) + own
        if self.gate == "value":
            return _rows((h * g_q) @ (omega * (X @ W_v)).mT, X, q_token) + own
        return g_q[..., 0] * _rows((omega[..., 0] * u)[..., None, :], X, q_token) + own


def _rows(u: Tensor, k: Tensor, q: Tensor) -> Tensor:
    """(sum_i u_i k_i)^T q for u (..., 1 or queries, n), k (..., n, m), q (..., queries, m)."""
    return ((u @ k) * q).sum(-1)


def normal(
    *shape: int,
    generator: torch.Generator | None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Standard normal numbers, drawn where the generator is, so that they are the same on every device."""
    if generator is None:
        return torch.randn(*shape, dtype=dtype, device=device)
    drawn = torch.randn(*shape, generator=generator, dtype=dtype, device=generator.device)
    return drawn.to(torch.get_default_device() if device is None else device)


def per_layer(gates: Any, layers: int) -> list[Any]:
    """The gates of every layer in a list, all None or none of them."""
    try:
        out = [None] * layers if gates is None else list(gates)
    except TypeError:
        out = []
    if len(out) != layers:
        raise _check.fail("gates", f"a sequence of {layers} gate arrays, one per layer", _check.short(gates))
    if 0 < sum(g is None for g in out) < layers:
        expected = "given for every layer or for none (gates of one are linear attention)"
        raise _check.fail("gates", expected, _check.short(gates))
    return out


def is_sequence(name: str, P: Any) -> bool:
    """A list, tuple or stack of matrices rather than one matrix (which may be a list of rows)."""
    if isinstance(P, (list, tuple)):
        return len(P) > 0 and _check.array_or_tensor(name, P[0]).ndim == 2
    return getattr(P, "ndim", 2) == 3 and len(P) > 0


def copied(
    name: str, value: Any, shape: tuple[int | None, ...] = (None, None), dtype: torch.dtype | None = None
) -> Tensor:
    """A copy as a finite tensor of that shape (None: any positive size), from a numpy array, nested lists or a tensor.

    Of another dtype if one is given, with its largest entry in that one's range.
    """
    value = value.detach() if isinstance(value, torch.Tensor) else torch.from_numpy(_check.array(name, value))
    _check.tensor(name, value)
    if value.is_meta:
        raise _check.fail(name, "a tensor with numbers in it", "a meta tensor")
    if value.ndim != len(shape) or any(a != b if b else a < 1 for a, b in zip(value.shape, shape, strict=True)):
        expected = "of shape (" + ", ".join("T or d" if b is None else str(b) for b in shape) + ")"
        raise _check.misshaped(name, expected, value)
    return (value if dtype is None else _check.cast(name, value, dtype)).clone()

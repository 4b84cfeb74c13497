"""Gated linear attention as a module, from tokens to predictions, and the constructions that make it the algorithm.

Z (n+1, width) holds one token per row: the features x (d columns), the label y (one), then context coordinates; the
last row is the query, with label 0. A layer writes o_i = S_i q_i into the residual stream, with q, k, v = W^T z and
gates sigmoid(W_g^T z + b_g); the state S is value x key. The prediction is h^T (what all layers wrote at the query).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import _check
from ._records import table
from .attention import GATES, Gate, unrounded
from .distribution import PromptDistribution
from .gates import later_products, signed_weights_to_gates, weights_to_gates, widen
from .layer import Layer, copied, is_sequence, per_layer
from .layout import DELIMITED, Layout
from .own_gate import TokenGate, acts_on
from .risk import WPGD


class GLA(nn.Module):
    """Tokens Z (..., n + queries, width) to predictions (..., queries); every weight is a free parameter.

    gate         "scalar", "key", "value", or None for linear attention; or a `TokenGate`, a torch module of one's own,
                 copied into each layer as `layers[l].own.gate`; the attribute is then what it acts on
    layers       Z^{l+1} = Z^l + GLA_l(Z^l); all layers but the last go through W_o unless value_width == width
    key_width, value_width     columns of W_q and W_k, and of W_v: `width` each if not given
    context_width     context coordinates after the label: h starts at the label coordinate, width - 1 - context_width,
                 or constant with norm 1 where the values do not live in token space
    gate_bias    start of b_g; W_g starts at zero, so every gate starts at sigmoid(gate_bias)
    gates        given gate values, used as they are in place of computed ones: (T,), (T, key_width) or
                 (T, value_width) for prompts of T = n + 1 tokens; with several layers, a sequence, of one for each
    causal       True: token i reads the state after its own write. False: every token reads the state after the last
                 example, through its own gate if it is a query; queries write nothing
    scale        constant factor of every o_i: 1 in the paper; 1 / n makes sums over n examples means, which train well
    generator    draws W_q, W_k, W_v (and W_o), standard normal / sqrt(rows): a start from which many do not arrive. So
                 begin with `layers[0].construct(P_q, P_k, model.h)`, or `orthogonal_start(model)` of `glalib.training`
    dtype, device     of the weights; torch's defaults if None

    A gate acts on every token, whatever the token writes: a row of zeros inside the context, as of padding, writes
    nothing but multiplies the state by sigmoid(b_g), or by its given gate, and so shifts predictions of a gated layer.
    Put prompts of one length into a batch, or fill up in front: there the state is still empty.

    With weights of 16 bits, bfloat16 or float16, the layer computes in float32, gates and the tokens between layers
    too, and rounds predictions once, at the end; given gates stay in float32, where those near one are not one.

    Raises TypeError or ValueError for arguments, and prompts, of the wrong kind.
    """

    gate: Gate | None

    def __init__(
        self,
        width: int,
        gate: Gate | TokenGate | None = "scalar",
        layers: int = 1,
        key_width: int | None = None,
        value_width: int | None = None,
        *,
        context_width: int = 0,
        gate_bias: float = 5.0,
        gates: Any = None,
        causal: bool = True,
        scale: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.width = _check.positive_int("width", width)
        self.gate, own = acts_on(gate), None if gate is None or isinstance(gate, str) else gate
        layers = _check.positive_int("layers", layers)
        self.key_width = _check.positive_int("key_width", width if key_width is None else key_width)
        self.value_width = _check.positive_int("value_width", width if value_width is None else value_width)
        self.causal = _check.flag("causal", causal)
        if _check.integer("context_width", context_width, 0, "an integer >= 0") > max(0, width - 2):
            raise _check.fail("context_width", f"at most width - 2 = {width - 2}", context_width)
        if gates is not None and (gate is None or own is not None):
            raise _check.fail("gates", "None when gate is None or a module", _check.short(gates))
        _check.generator(generator)
        _check.dtype("dtype", dtype)
        stored = dtype or torch.get_default_dtype()
        most = torch.finfo(stored).max
        gate_bias = _check.real("gate_bias", gate_bias, -most, most, f"a finite number in the range of {stored}")
        self.scale = _check.real("scale", scale)
        _check.in_range("scale", abs(self.scale), torch.float32 if stored.itemsize < 4 else stored)
        given = [gates] if layers == 1 else per_layer(gates, layers)
        self.layers: Sequence[Layer] = nn.ModuleList(  # type: ignore[assignment]  # to checkers a list of layers
            Layer(self, l == layers - 1, given[l], own, gate_bias, generator, dtype=dtype, device=device)
            for l in range(layers)
        )
        h = torch.full((self.value_width,), self.value_width**-0.5, dtype=dtype, device=device)
        if self.value_width == self.width:
            h = torch.eye(self.width, dtype=dtype, device=device)[self.width - 1 - context_width]
        self.h = nn.Parameter(h.clone())

    def forward(self, Z: Tensor, queries: int = 1) -> Tensor:
        """Predictions (..., queries) for Z (..., n + queries, width), n >= 1.

        The last `queries` rows are alternative queries: each is the (n+1)-th token of its own prompt. They share the
        state of the context and never see each other. One layer costs O(n width (key_width + value_width)) or less
        and forms neither a T x T matrix nor the state.
        """
        with unrounded(self.h):
            written, streams, n = self._through(Z, queries)
            return (written + self.scale * self.layers[-1].read(streams[-1], n, widen(self.h))).to(Z.dtype)

    def gates(self, Z: Tensor, queries: int = 1) -> Tensor | list[Tensor]:
        """The gate values that act on these tokens: (..., n + queries), or (..., n + queries, m) for a vector gate.

        One tensor, or a list of one per layer; in float32 for a model of 16 bits. Without a gate they are ones.
        """
        return self._by_layer(lambda g, g_q, u: torch.cat([g, g_q], -2), Z, queries)

    def weights(self, Z: Tensor, queries: int = 1) -> Tensor | list[Tensor]:
        """Each query's weights of the context tokens: (..., queries, n), or (..., queries, n, m) for a vector gate.

        omega_i = prod_{j>i} g_j, the query's own gate included, channel by channel (Theorem 1), times u_i where a gate
        of one's own has a `write`. One tensor, or a list of one per layer; dtypes as in `gates`.
        """

        def made(g: Tensor, g_q: Tensor, u: Tensor) -> Tensor:
            weights: Tensor = (u * later_products(g, -2))[..., None, :, :] * g_q[..., :, None, :]
            return weights

        return self._by_layer(made, Z, queries)

    def _by_layer(self, made_of: Callable[..., Tensor], Z: Tensor, queries: int) -> Tensor | list[Tensor]:
        """made_of(gates of context, of queries, of context's writes) of every layer; an axis of one channel goes."""
        out = []
        with unrounded(self.h):
            _, streams, n = self._through(Z, queries)
            for layer, tokens in zip(self.layers, streams, strict=True):
                g, g_q = (g.expand(*Z.shape[:-2], -1, -1) for g in layer.split_gates(tokens, n))
                u = layer.write_gate(tokens, n)
                u = g.new_ones(()) if u is None else u[..., :n, :]
                made = made_of(g, g_q.expand(*Z.shape[:-2], queries, -1), u)
                out.append(made if self.gate in ("key", "value") else made[..., 0])
        return out[0] if len(out) == 1 else out

    def _through(self, Z: Tensor, queries: int) -> tuple[Tensor | float, list[Tensor], int]:
        """What all layers but the last wrote at the queries, read by h; the tokens that enter each layer; and n."""
        queries = _check.positive_int("queries", queries)
        if hasattr(Z, "x") and hasattr(Z, "y"):
            _check.instance("Z", Z, Tensor, "tokens, a torch tensor, as `Layout()(prompts)` makes")
        n = _check.tensor("Z", Z, 2).shape[-2] - queries
        if n < 1 or Z.shape[-1] != self.width:
            why = "" if n < 1 else f", {self.width} the model's width (tokens of d features and a label have d + 1)"
            raise _check.misshaped("Z", f"of shape (..., n + {queries}, {self.width}) with n >= 1{why}", Z)
        _check.alike("Z", Z, "the model's", (self.h.dtype,), self.h.device)
        written: Tensor | float = 0.0
        streams, h = [widen(Z)], widen(self.h)
        for layer in self.layers[:-1]:
            o = self.scale * layer.write(streams[-1], n)
            written = written + o[..., n:, :] @ h
            streams.append(streams[-1] + (o if layer.W_o is None else o @ widen(layer.W_o)))
        return written, streams, n

    @classmethod
    def from_matrices(
        cls,
        P_q: Any,
        P_k: Any,
        gates: Any = None,
        gate: Gate | None = "scalar",
        context_width: int = 0,
        causal: bool = True,
    ) -> GLA:
        """The GLA that performs weighted preconditioned gradient descent: Eq. (9) and Theorem 6, as derived here.

        One layer, P_q and P_k (d, m): W_q = [[P_q], [0]], W_k = [[P_k], [0]] and W_v = [[0, 0], [0, 1]], all with
        zero rows for context coordinates. Keys have width m: the paper's square matrices have d + 1 columns, the
        others zero. Given gates with weights Omega (Theorem 1), f(Z) = x^T P_q (X P_k * Omega)^T y.

        Sequences P_q, P_k (and gates) build one layer from each entry. With several layers W_v has -1 at the label:
        each token's label coordinate is then y_i - x_i^T beta_i^l (Theorem 6), and h reads minus the label.

        Matrices and gates are numpy arrays or torch tensors; dtype and device as in P_q. gates None means linear
        attention in all layers; for linear attention in one layer among gated ones, give it gates of one.
        """
        _check.option("gate", gate, (None, *GATES))
        context_width = _check.integer("context_width", context_width, 0, "an integer >= 0")
        if not is_sequence("P_q", P_q):
            P_q, P_k, gates = [P_q], [P_k], [gates]
        elif not is_sequence("P_k", P_k) or len(P_k) != len(P_q):
            raise _check.fail("P_k", f"a sequence of {len(P_q)} matrices, like P_q", _check.short(P_k))
        layers = len(P_q)
        gates = per_layer(gates, layers)
        first = copied("P_q", P_q[0])
        (d, m), dtype = first.shape, first.dtype
        P_q = [copied("P_q", P, (d, m), dtype) for P in P_q]
        P_k = [copied("P_k", P, (d, m), dtype) for P in P_k]
        gate, gates = (None, None) if gates[0] is None else (gate, gates[0] if layers == 1 else gates)
        kind: dict[str, Any] = {"causal": causal, "dtype": dtype, "device": first.device}
        model = cls(d + 1 + context_width, gate, layers, m, context_width=context_width, gates=gates, **kind)
        sign = 1 if layers == 1 else -1
        for layer, Pq, Pk in zip(model.layers, P_q, P_k, strict=True):
            layer.construct(Pq, Pk, sign * model.h)
        with torch.no_grad():
            model.h.mul_(sign)
        return model

    @classmethod
    def from_weights(cls, P: Any, omega: Any, gate: Gate = "scalar", context_width: int = 0) -> GLA:
        """The one-layer GLA that computes x^T P X^T (omega * y): Theorems 4 and 5, as derived here.

        P (d, d); omega (T,), one weight per context token (`Layout.weights` has delimiters' too).

        - "scalar": 0 <= omega_1 <= ... <= omega_T up to a positive factor; other weights raise ValueError.
        - "value": any signed weights. Two value channels hold the label, and h takes their difference.
        - "key": any signed weights. 2d key channels, P_q P_k^T = c [P, -P] [I, I]^T with the gates on the two halves.
        """
        _check.option("gate", gate, GATES)
        P = copied("P", P)
        d, dtype = len(P), P.dtype
        P = widen(copied("P", P, (d, d)))
        omega = copied("omega", omega, (None,), P.dtype).to(P.device)
        eye = torch.eye(d, dtype=P.dtype, device=P.device)

        def scaled(scale: Tensor | float) -> Tensor:
            name, product = "P times the largest weight", scale * P.double()
            if scale > 0 and P.any() and not product.any():
                raise _check.fail(name, "in the range of torch.float64", "a product that rounds to zero")
            return _check.cast(name, _check.tensor(name, product), dtype)

        if gate == "scalar":
            scale = omega.max() if omega.max() > 0 else 1.0
            try:
                gates = weights_to_gates(omega / scale)
            except ValueError:
                expected = "such that 0 <= omega_1 <= ... <= omega_T for a scalar gate; 'value' and 'key' take others"
                raise _check.fail("omega", expected, _check.short(omega.tolist())) from None
            return cls.from_matrices(scaled(scale), eye, gates, context_width=context_width)
        gates, scale = signed_weights_to_gates(omega)
        if gate == "key":
            halves = torch.cat([scaled(scale), -scaled(scale)], 1), torch.cat([eye, eye], 1)
            return cls.from_matrices(*halves, gates.repeat_interleave(d, -1), "key", context_width)
        options: dict[str, Any] = {"key_width": d, "value_width": 2, "gates": gates, "dtype": dtype, "device": P.device}
        model = cls(d + 1 + context_width, "value", **options)
        model.layers[0].construct(scaled(scale), eye, model.h.new_ones(2))
        with torch.no_grad():
            model.h.copy_(torch.tensor([1.0, -1.0]))
        return model

    @classmethod
    def from_wpgd(
        cls, best: WPGD, dist: PromptDistribution, gate: Gate = "scalar", tokens: Layout | None = None
    ) -> GLA:
        """The one-layer GLA that performs a `WPGD` record on prompts of `dist`, with given gates: see `from_weights`.

        tokens: the `Layout` in which it reads them, Layout() if None. Delimiters get the weights of `Layout.weights`.
        """
        tokens = Layout() if tokens is None else tokens
        for name, value, kind in (("best", best, WPGD), ("dist", dist, PromptDistribution), ("tokens", tokens, Layout)):
            _check.instance(name, value, kind, f"a {kind.__name__}")
        P = _check.array("best.P", best.P, (dist.d, dist.d))
        return cls.from_weights(P, tokens.weights(dist, best.omega), gate, tokens.width(dist) - dist.d - 1)

    def with_computed_gates(self, dist: PromptDistribution, tokens: Layout = DELIMITED) -> GLA:
        """The same layers with gates sigmoid(W_g^T z + b_g) computed from context, in place of given ones.

        For gates given for prompts of `dist` in the `Layout` tokens, equal on all tokens of a kind: the examples of a
        block, a delimiter, the query (Theorems 4 and 5). The gate of the very first token, on an empty state, is free.

        A sigmoid is never 0 nor 1. Gates nearer to them than eps / 64 move to that distance, so a gate of one is one
        after rounding (eps of what is computed in: float32 for 16 bits). Raises ValueError where gates of a kind differ
        or the context vectors do not let all gates come within sqrt(eps), eps of the weights.
        """
        _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
        _check.instance("tokens", tokens, Layout, "a Layout")
        kind = tokens.kinds(dist.counts)
        if any(layer.given is None or len(layer.given) != len(kind) for layer in self.layers):
            raise _check.fail("model", f"with gates given for {len(kind)} tokens, as dist and tokens have", repr(self))
        if self.width != tokens.width(dist):
            raise _check.fail("model", f"of width {tokens.width(dist)}, as dist and tokens have", f"width {self.width}")
        out = copy.deepcopy(self)
        for layer in out.layers:
            layer.compute_gates(kind, tokens.vectors(dist.K))
        return out

    def _shown(self) -> dict[str, Any]:
        given = self.layers[0].given
        sizes = {"layers": len(self.layers), "key_width": self.key_width, "value_width": self.value_width}
        more = ({} if self.causal else {"causal": False}) | ({} if self.scale == 1 else {"scale": f"{self.scale:g}"})
        gate = repr(self.gate if self.layers[0].own is None else self.layers[0].own)
        gate += "" if given is None else f" (given for {len(given)} tokens)"
        return {"width": self.width, "gate": gate} | sizes | more

    def __repr__(self) -> str:
        return f"GLA({', '.join(f'{name}={value}' for name, value in self._shown().items())})"

    def _repr_html_(self) -> str:
        return table("GLA", self._shown())

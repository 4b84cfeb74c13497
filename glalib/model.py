"""Gated linear attention as a module, from tokens to predictions, and the constructions that make it the algorithm.

Z (n+1, width) holds one token per row: the features x (d columns), the label y (one), then context coordinates; the
last row is the query, with label 0. A layer writes o_i = S_i q_i into the residual stream, with q, k, v = W^T z and
gates sigmoid(W_g^T z + b_g); the state S is value x key. The prediction is h^T (what all layers wrote at the query).
"""

from __future__ import annotations

import torch
from torch import nn

from . import _check
from .attention import GATES, apply_state, chunked
from .gates import later_products, signed_weights_to_gates, weights_to_gates, widen


class GLA(nn.Module):
    """Tokens Z (..., n + queries, width) to predictions (..., queries); every weight is a free parameter.

    gate         "scalar", "key", "value", or None for linear attention
    layers       Z^{l+1} = Z^l + GLA_l(Z^l); all layers but the last go through W_o unless value_width == width
    key_width, value_width     columns of W_q and W_k, and of W_v: `width` each if not given
    context      context coordinates after the label: h starts at the label coordinate, width - 1 - context, or
                 constant with norm 1 where the values do not live in token space
    gate_bias    start of b_g; W_g starts at zero, so every gate starts at sigmoid(gate_bias)
    gates        given gate values, used as they are in place of computed ones: (T,), (T, key_width) or
                 (T, value_width) for prompts of T = n + 1 tokens; with several layers, a sequence of one per layer,
                 for every layer
    causal       True: token i reads the state after its own write. False: every token reads the state after the last
                 example, through its own gate if it is a query; queries write nothing
    scale        constant factor of every o_i: 1 in the paper; 1 / n makes sums over n examples means, which train well
    generator    draws W_q, W_k, W_v (and W_o), standard normal / sqrt(rows)

    A gate acts on every token, whatever the token writes: a row of zeros inside the context, as of padding, writes
    nothing but multiplies the state by sigmoid(b_g), or by its given gate, and so shifts predictions of a gated layer.
    Put prompts of one length into a batch, or fill up in front: there the state is still empty.

    With weights of 16 bits, bfloat16 or float16, the layer computes in float32, gates and the tokens between layers
    too, and rounds predictions once, at the end; given gates stay in float32, where those near one are not one.

    Raises TypeError or ValueError for arguments, and prompts, of the wrong kind.
    """

    def __init__(
        self,
        width,
        gate="scalar",
        layers=1,
        key_width=None,
        value_width=None,
        *,
        context=0,
        gate_bias=5.0,
        gates=None,
        causal=True,
        scale=1.0,
        generator=None,
        dtype=None,
    ):
        super().__init__()
        self.width = _check.positive_int("width", width)
        _check.option("gate", gate, (None, *GATES))
        layers = _check.positive_int("layers", layers)
        self.key_width = _check.positive_int("key_width", width if key_width is None else key_width)
        self.value_width = _check.positive_int("value_width", width if value_width is None else value_width)
        _check.option("causal", causal, (True, False))
        if _check.integer("context", context, 0, "an integer >= 0") > max(0, width - 2):
            raise _check.fail("context", f"at most width - 2 = {width - 2}", context)
        if gates is not None and gate is None:
            raise _check.fail("gates", "None when gate is None", _check.short(gates))
        _check.generator(generator)
        _check.dtype("dtype", dtype)
        stored = dtype or torch.get_default_dtype()
        most = torch.finfo(stored).max
        gate_bias = _check.real("gate_bias", gate_bias, -most, most, f"a finite number in the range of {stored}")
        self.scale = _check.real("scale", scale)
        _check.cast("scale", torch.tensor(self.scale, dtype=torch.float64), widen(torch.empty(0, dtype=stored)).dtype)
        given = [gates] if layers == 1 else _per_layer(gates, layers)
        self.gate, self.causal = gate, bool(causal)
        self.layers = nn.ModuleList(
            _Layer(self, last=l == layers - 1, given=given[l], gate_bias=gate_bias, generator=generator, dtype=dtype)
            for l in range(layers)
        )
        h = torch.full((self.value_width,), self.value_width**-0.5, dtype=dtype)
        if self.value_width == self.width:
            h = torch.eye(self.width, dtype=dtype)[self.width - 1 - context]
        self.h = nn.Parameter(h.clone())

    def forward(self, Z, queries=1):
        """Predictions (..., queries) for Z (..., n + queries, width), n >= 1.

        The last `queries` rows are alternative queries: each is the (n+1)-th token of its own prompt. They share the
        state of the context and never see each other. One layer costs O(n width (key_width + value_width)) or less
        and forms neither a T x T matrix nor the state.
        """
        queries = _check.positive_int("queries", queries)
        _check.tensor("Z", Z, 2)
        n = Z.shape[-2] - queries
        if n < 1 or Z.shape[-1] != self.width:
            expected = f"of shape (..., n + {queries}, {self.width}) with n >= 1"
            raise _check.fail("Z", expected, f"shape {tuple(Z.shape)}")
        if Z.dtype != self.h.dtype or Z.device != self.h.device:
            expected = f"of the model's dtype and device, {self.h.dtype} on {self.h.device}"
            raise _check.fail("Z", expected, f"{Z.dtype} on {Z.device}")
        dtype, Z, h, written = Z.dtype, widen(Z), widen(self.h), 0
        for layer in self.layers[:-1]:
            o = self.scale * layer.write(Z, n)
            written = written + o[..., n:, :] @ h
            Z = Z + (o if layer.W_o is None else o @ widen(layer.W_o))
        return (written + self.scale * self.layers[-1].read(Z, n, h)).to(dtype)

    @classmethod
    def from_wpgd(cls, P_q, P_k, gates=None, gate="scalar", context=0, causal=True):
        """The GLA that performs weighted preconditioned gradient descent: Eq. (9) and Theorem 6, as derived here.

        One layer, P_q and P_k (d, m): W_q = [[P_q], [0]], W_k = [[P_k], [0]] and W_v = [[0, 0], [0, 1]], all with
        zero rows for context coordinates. Keys have width m: the paper's square matrices have d + 1 columns, the
        others zero. Given gates with weights Omega (Theorem 1), f(Z) = x^T P_q (X P_k * Omega)^T y.

        Sequences P_q, P_k (and gates) build one layer from each entry. With several layers W_v has -1 at the label:
        each token's label coordinate is then y_i - x_i^T beta_i^l (Theorem 6), and h reads minus the label.

        Matrices and gates are numpy arrays or torch tensors; dtype as in P_q. gates None means linear attention in
        all layers; for linear attention in one layer among gated ones, give it gates of one.
        """
        _check.option("gate", gate, (None, *GATES))
        context = _check.integer("context", context, 0, "an integer >= 0")
        if not _is_sequence("P_q", P_q):
            P_q, P_k, gates = [P_q], [P_k], [gates]
        elif not _is_sequence("P_k", P_k) or len(P_k) != len(P_q):
            raise _check.fail("P_k", f"a sequence of {len(P_q)} matrices, like P_q", _check.short(P_k))
        layers = len(P_q)
        gates = _per_layer(gates, layers)
        P_q = [_tensor("P_q", P) for P in P_q]
        d, m = P_q[0].shape
        dtype = P_q[0].dtype
        P_q = [_tensor("P_q", P, (d, m), dtype) for P in P_q]
        P_k = [_tensor("P_k", P, (d, m), dtype) for P in P_k]
        ungated = all(g is None for g in gates)
        model = cls(
            d + 1 + context,
            gate=None if ungated else gate,
            layers=layers,
            key_width=m,
            context=context,
            gates=None if ungated else gates[0] if layers == 1 else gates,
            causal=causal,
            dtype=dtype,
        )
        sign = 1 if layers == 1 else -1
        with torch.no_grad():
            for layer, Pq, Pk in zip(model.layers, P_q, P_k, strict=True):
                for W in (layer.W_q, layer.W_k, layer.W_v):
                    W.zero_()
                layer.W_q[:d] = Pq
                layer.W_k[:d] = Pk
                layer.W_v[d, d] = sign
            model.h.mul_(sign)
        return model

    @classmethod
    def from_weights(cls, P, omega, gate="scalar", context=0):
        """The one-layer GLA that computes x^T P X^T (omega * y): Theorems 4 and 5, as derived here.

        P (d, d); omega (T,), one weight per context token (`Layout.weights` has delimiters' too).

        - "scalar": 0 <= omega_1 <= ... <= omega_T up to a positive factor; other weights raise ValueError.
        - "value": any signed weights. Two value channels hold the label, and h takes their difference.
        - "key": any signed weights. 2d key channels, P_q P_k^T = c [P, -P] [I, I]^T with the gates on the two halves.
        """
        _check.option("gate", gate, GATES)
        P = _tensor("P", P)
        d, dtype = len(P), P.dtype
        P = widen(_tensor("P", P, (d, d)))
        omega = _tensor("omega", omega, (None,), P.dtype)
        eye = torch.eye(d, dtype=P.dtype)

        def scaled(scale):
            name, product = "P times the largest weight", scale * P.double()
            if scale > 0 and P.any() and not product.any():
                raise _check.fail(name, "in the range of torch.float64", "a product that rounds to zero")
            return _check.cast(name, _check.tensor(name, product), dtype)

        if gate == "scalar":
            scale = omega.max() if omega.max() > 0 else 1.0
            return cls.from_wpgd(scaled(scale), eye, weights_to_gates(omega / scale), context=context)
        gates, scale = signed_weights_to_gates(omega)
        if gate == "key":
            halves = torch.cat([scaled(scale), -scaled(scale)], 1), torch.cat([eye, eye], 1)
            return cls.from_wpgd(*halves, gates.repeat_interleave(d, -1), "key", context)
        model = cls(d + 1 + context, "value", key_width=d, value_width=2, gates=gates, dtype=dtype)
        layer = model.layers[0]
        with torch.no_grad():
            for W in (layer.W_q, layer.W_k, layer.W_v):
                W.zero_()
            layer.W_q[:d], layer.W_k[:d], layer.W_v[d] = scaled(scale), eye, 1.0
            model.h.copy_(torch.tensor([1.0, -1.0]))
        return model

    def __repr__(self):
        given = [layer.given.shape[0] for layer in self.layers if layer.given is not None]
        held = f" (given for {given[0]} tokens)" if given else ""
        more = ("" if self.causal else ", causal=False") + ("" if self.scale == 1 else f", scale={self.scale:g}")
        return (
            f"GLA(width={self.width}, gate={self.gate!r}{held}, layers={len(self.layers)}, "
            f"key_width={self.key_width}, value_width={self.value_width}{more})"
        )


class _Layer(nn.Module):
    def __init__(self, model, last, given, gate_bias, generator, dtype):
        super().__init__()
        width, dk, dv = model.width, model.key_width, model.value_width

        def draw(rows, columns):
            return nn.Parameter(torch.randn(rows, columns, generator=generator, dtype=dtype) / rows**0.5)

        self.gate, self.causal = model.gate, model.causal
        self.W_q, self.W_k, self.W_v = draw(width, dk), draw(width, dk), draw(width, dv)
        self.W_o = None if last or dv == width else draw(dv, width)
        channels = {None: 0, "scalar": 1, "key": dk, "value": dv}[self.gate]
        computed = self.gate is not None and given is None
        self.W_g = nn.Parameter(torch.zeros(width, channels, dtype=dtype)) if computed else None
        self.b_g = nn.Parameter(torch.full((channels,), gate_bias, dtype=dtype)) if computed else None
        if given is not None:
            given = _tensor("gates", given, (None,) if self.gate == "scalar" else (None, channels))
            _check.unit_interval("gates", given)
            given = given.to(widen(self.W_q).dtype).reshape(-1, channels)
        self.register_buffer("given", given)

    def _apply(self, fn, recurse=True):
        """`.half()` and `.bfloat16()` leave given gates in float32: those near one would become one."""
        given = self.given
        super()._apply(fn, recurse)
        if given is not None and self.given.dtype.itemsize < 4:
            self.given = given.to(self.given.device)
        return self

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        if self.given is not None:
            _check.unit_interval("gates", self.given)

    def weights(self):
        """W_q, W_k, W_v to compute with."""
        return widen(self.W_q), widen(self.W_k), widen(self.W_v)

    def gates(self, Z, n):
        """Gates of the context (..., n, m) and of the queries (..., queries, m); ones without a gate."""
        if self.gate is None:
            g = Z.new_ones(n + 1, 1)
        elif self.given is None:
            return torch.sigmoid(Z @ widen(self.W_g) + widen(self.b_g)).split((n, Z.shape[-2] - n), -2)
        elif self.given.shape[0] == n + 1:
            g = self.given
        else:
            expected = f"prompts of {self.given.shape[0]} tokens, the query among them, as the given gates are"
            raise _check.fail("Z", expected, f"{n + 1} tokens")
        return g[..., :n, :], g[..., n:, :]

    def write(self, Z, n):
        """Outputs (..., n + queries, value_width) of the context and of each query as its (n+1)-th token."""
        g, g_q = self.gates(Z, n)
        q, k, v = (Z @ W for W in self.weights())
        gate = self.gate or "scalar"
        if not self.causal:
            k, v, omega = k[..., :n, :], v[..., :n, :], later_products(g, -2)
            S = v.mT @ (omega * k) if gate == "key" else (omega * v).mT @ k
            return torch.cat([q[..., :n, :] @ S.mT, apply_state(S, q[..., n:, :], g_q, gate)], -2)
        o, S = chunked(q[..., :n, :], k[..., :n, :], v[..., :n, :], g, None, gate)
        q, k, v = (x[..., n:, :] for x in (q, k, v))
        own = v * (k * q).sum(-1, keepdim=True)
        return torch.cat([o, apply_state(S, q, g_q, gate) + own], -2)

    def read(self, Z, n, h):
        """h^T o (..., queries) at each query: the row h^T S takes the place of the state (Theorem 1).

        h^T (G_q * S) q + (h^T v_q) (k_q^T q), where row i of Omega weighs write i and S = sum_i (Omega_i * v_i k_i^T).
        """
        W_q, W_k, W_v = self.weights()
        X, X_q = Z[..., :n, :], Z[..., n:, :]
        u, u_q = (Z @ (W_v @ h)).split((n, X_q.shape[-2]), -1)
        q = X_q @ W_q
        q_token = q @ W_k.mT  # k^T q = z^T W_k q: keys that no gate touches need not be formed
        own = u_q * (X_q * q_token).sum(-1) if self.causal else 0.0  # the query's own write
        g, g_q = self.gates(Z, n)
        if self.gate is None:
            return _rows(u[..., None, :], X, q_token) + own
        omega = later_products(g, -2)
        if self.gate == "scalar":
            return g_q[..., 0] * _rows((omega[..., 0] * u)[..., None, :], X, q_token) + own
        if self.gate == "key":
            return _rows(u[..., None, :], omega * (X @ W_k), g_q * q) + own
        return _rows((h * g_q) @ (omega * (X @ W_v)).mT, X, q_token) + own


def _rows(u, k, q):
    """(sum_i u_i k_i)^T q for u (..., 1 or queries, n), k (..., n, m), q (..., queries, m)."""
    return ((u @ k) * q).sum(-1)


def _per_layer(gates, layers):
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


def _is_sequence(name, P):
    """A list, tuple or stack of matrices rather than one matrix (which may be a list of rows)."""
    if isinstance(P, (list, tuple)):
        return len(P) > 0 and _check.array_or_tensor(name, P[0]).ndim == 2
    return getattr(P, "ndim", 2) == 3 and len(P) > 0


def _tensor(name, value, shape=(None, None), dtype=None):
    """A copy as a finite tensor of that shape (None: any positive size), from a numpy array, nested lists or a tensor.

    Of another dtype if one is given, with its largest entry in that one's range.
    """
    value = value.detach() if isinstance(value, torch.Tensor) else torch.from_numpy(_check.array(name, value))
    _check.tensor(name, value)
    if value.is_meta:
        raise _check.fail(name, "a tensor with numbers in it", "a meta tensor")
    if value.ndim != len(shape) or any(a != b if b else a < 1 for a, b in zip(value.shape, shape, strict=True)):
        expected = "of shape (" + ", ".join("T or d" if b is None else str(b) for b in shape) + ")"
        raise _check.fail(name, expected, f"shape {tuple(value.shape)}")
    return (value if dtype is None else _check.cast(name, value, dtype)).clone()

"""The gated delta rule as a module beside `GLA`, and the construction that makes it the rule of `risk`.

Tokens, weights, residual stream and read-out are those of `model`. Steps and decays come from what a token shows, or
are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from .. import _check
from ..attention import unrounded
from ..distribution import PromptDistribution
from ..gates import widen
from ..layer import Given, copied, normal
from ..layout import Layout
from ..own_gate import OwnGate, TokenGate, acts_on
from .attention import chunked
from .risk import BestDeltaRule

Reads = Literal["tokens", "context"]
READS = ("tokens", "context")


class PerToken(Given):
    """A number for every token: most * sigmoid(W_g^T z + b_g), that of a module of one's own, or given ones."""

    def __init__(self, name: str, source: Any, model: DeltaRule, most: float, bias: float, like: Tensor) -> None:
        super().__init__()
        self.door, self.most, self.own, given = name, most, None, None
        self.W_g: nn.Parameter | None = None
        self.b_g: nn.Parameter | None = None
        if isinstance(source, str):
            _check.option(name, source, READS)
            reads = model.width if source == "tokens" else model.context_width
            self.W_g, self.b_g = nn.Parameter(like.new_zeros(reads)), nn.Parameter(like.new_full((), bias))
        elif isinstance(source, nn.Module):
            if acts_on(source) != "scalar":
                raise _check.fail(f"{name}.acts_on", "'scalar'", repr(acts_on(source)))
            self.own = OwnGate(cast(TokenGate, source), 1, like, most)
        else:
            number = getattr(source, "ndim", int(isinstance(source, Sequence))) == 0
            given = copied(name, [source] if number else source, (None,)).to(widen(like))
            if name == "alpha":
                _check.unit_interval(name, given)
        self.register_buffer("given", given)

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        super()._load_from_state_dict(*args, **options)
        if self.given is not None and self.door == "alpha":
            _check.unit_interval("alpha", self.given)

    def forward(self, Z: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Those of the context (..., n, 1) and of the queries (..., queries, 1), each of which is alone."""
        if self.own is not None:
            return self.own(Z[..., :n, :]), self.own(Z[..., n:, None, :])[..., 0, :]
        if self.W_g is not None and self.b_g is not None:
            reads = Z[..., Z.shape[-1] - len(self.W_g) :]
            x = self.most * torch.sigmoid(reads @ widen(self.W_g) + widen(self.b_g))[..., None]
            return x[..., :n, :], x[..., n:, :]
        assert self.given is not None
        if len(self.given) not in (1, n + 1):
            tokens = f"prompts of {len(self.given)} tokens, the query among them, as the given steps or decays are"
            raise _check.fail("Z", tokens, f"{n + 1} tokens")
        given = self.given.expand(n + 1)[:, None]
        return given[:n], given[n:]

    def __repr__(self) -> str:
        if self.own is not None:
            return repr(self.own)
        if self.W_g is not None:
            return f"{self.most:g} sigmoid({len(self.W_g)})"
        return f"{self.given.item():g}" if self.given is not None and len(self.given) == 1 else "given"


class DeltaLayer(nn.Module):
    """W_q, W_k, W_v, and W_o if more layers follow; `beta` and `alpha` make steps and decays."""

    def __init__(
        self,
        model: DeltaRule,
        last: bool,
        beta: Any,
        alpha: Any,
        start: tuple[float, float],
        generator: Any,
        **kind: Any,
    ) -> None:
        super().__init__()
        width, dk, dv = model.width, model.key_width, model.value_width

        def draw(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(normal(rows, columns, generator=generator, **kind) / rows**0.5)

        self.normalised = model.normalised
        self.W_q, self.W_k, self.W_v = draw(width, dk), draw(width, dk), draw(width, dv)
        self.W_o = None if last or dv == width else draw(dv, width)
        self.beta = PerToken("beta", beta, model, model.max_beta, start[0], self.W_q)
        self.alpha = None if alpha is None else PerToken("alpha", alpha, model, 1.0, start[1], self.W_q)

    def forward(self, Z: Tensor, n: int, h: Tensor | None = None) -> Tensor:
        """Outputs (..., n + queries, value_width); given h, what it reads at the queries alone, (..., queries).

        The rule acts on every row of the state alike, so h^T S is the state of values h^T v, one row.
        """
        W_v = widen(self.W_v)
        q, k, v = Z @ widen(self.W_q), Z @ widen(self.W_k), Z @ (W_v if h is None else (W_v @ h)[:, None])
        k = nn.functional.normalize(k, dim=-1) if self.normalised else k
        b, b_q = self.beta(Z, n)
        g, g_q = (Z.new_ones(n, 1), Z.new_ones(1, 1)) if self.alpha is None else self.alpha(Z, n)
        (q, q_q), (k, k_q), (v, v_q) = (x.tensor_split((n,), -2) for x in (q, k, v))
        o, S = chunked(q if h is None else None, k, v, b, g)
        decayed = g_q * (q_q @ S.mT)
        own = b_q * (v_q - g_q * (k_q @ S.mT)) * (k_q * q_q).sum(-1, keepdim=True)  # each query's own write
        return (decayed + own)[..., 0] if o is None else torch.cat([o, decayed + own], -2)


class DeltaRule(nn.Module):
    """Tokens Z (..., n + queries, width) to predictions (..., queries), by layers that erase before they write.

        S_i = alpha_i S_{i-1} + beta_i (v_i - alpha_i S_{i-1} k_i) k_i^T,    o_i = S_i q_i

    beta        the step of a token: "tokens" or "context" for max_beta * sigmoid(W_g^T z + b_g), where z is the token
                or its `context_width` last coordinates; a `TokenGate` that acts as a scalar, in [0, max_beta]; or
                given: a number of any sign, or (T,) of them for prompts of T = n + 1 tokens, the query's last
    alpha       the decay, likewise, in [0, 1]; None for none
    max_beta    the bound of a computed beta; at 2 and with keys of length one a write may turn what it erases around
    beta_bias, alpha_bias     start of b_g; W_g starts at zero. Steps with beta |k|^2 > 2 blow up: start with small ones
    normalised  divide keys by their lengths
    layers, key_width, value_width, context_width, generator, dtype, device     as in `GLA`; every weight is free

    Weights of 16 bits are computed with in float32. Raises TypeError or ValueError for arguments, and prompts, of the
    wrong kind.
    """

    def __init__(
        self,
        width: int,
        beta: Reads | TokenGate | Any = "tokens",
        alpha: Reads | TokenGate | Any = None,
        layers: int = 1,
        key_width: int | None = None,
        value_width: int | None = None,
        *,
        context_width: int = 0,
        max_beta: float = 1.0,
        beta_bias: float = -3.0,
        alpha_bias: float = 5.0,
        normalised: bool = False,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.width = _check.positive_int("width", width)
        layers = _check.positive_int("layers", layers)
        self.key_width = _check.positive_int("key_width", width if key_width is None else key_width)
        self.value_width = _check.positive_int("value_width", width if value_width is None else value_width)
        self.context_width = _check.integer("context_width", context_width, 0, "an integer >= 0")
        if self.context_width > max(0, width - 2):
            raise _check.fail("context_width", f"at most width - 2 = {width - 2}", context_width)
        self.normalised = _check.flag("normalised", normalised)
        self.max_beta = _check.real("max_beta", max_beta, 2.0**-10, 2.0, "a number from 2^-10 to 2, such as 1 or 2")
        start = (_check.real("beta_bias", beta_bias), _check.real("alpha_bias", alpha_bias))
        _check.generator(generator)
        _check.dtype("dtype", dtype)
        # A list of layers, as checkers of types should see it.
        self.layers: Sequence[DeltaLayer] = nn.ModuleList(  # type: ignore[assignment]
            DeltaLayer(self, l == layers - 1, beta, alpha, start, generator, dtype=dtype, device=device)
            for l in range(layers)
        )
        h = torch.full((self.value_width,), self.value_width**-0.5, dtype=dtype, device=device)
        if self.value_width == self.width:
            h = torch.eye(self.width, dtype=dtype, device=device)[self.width - 1 - self.context_width]
        self.h = nn.Parameter(h.clone())

    def forward(self, Z: Tensor, queries: int = 1) -> Tensor:
        """Predictions (..., queries) for Z (..., n + queries, width), n >= 1; the last rows are alternative queries."""
        queries = _check.positive_int("queries", queries)
        n = _check.tensor("Z", Z, 2).shape[-2] - queries
        if n < 1 or Z.shape[-1] != self.width:
            raise _check.misshaped("Z", f"of shape (..., n + {queries}, {self.width}) with n >= 1", Z)
        _check.alike("Z", Z, "the model's", (self.h.dtype,), self.h.device)
        with unrounded(self.h):
            stream, h = widen(Z), widen(self.h)
            written: Tensor | float = 0.0
            for layer in self.layers[:-1]:
                o = layer(stream, n)
                written = written + o[..., n:, :] @ h
                stream = stream + (o if layer.W_o is None else o @ widen(layer.W_o))
            out: Tensor = written + self.layers[-1](stream, n, h)
            return out.to(Z.dtype)

    @classmethod
    def from_steps(cls, best: BestDeltaRule, dist: PromptDistribution, tokens: Layout | None = None) -> DeltaRule:
        """The layer that performs a `BestDeltaRule` on prompts of `dist`: keys and queries x, values scale times y.

        tokens: the `Layout` in which it reads them, Layout() if None. Delimiters and the query write nothing.
        """
        tokens = Layout() if tokens is None else tokens
        _check.instance("best", best, BestDeltaRule, "a BestDeltaRule")
        _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
        _check.instance("tokens", tokens, Layout, "a Layout")
        example = np.append(~tokens.blocks(dist.counts)[1], False)
        beta, alpha = np.zeros(len(example)), np.ones(len(example))
        for values, each in ((beta, best.beta), (alpha, best.alpha)):
            values[example] = dist.expand(each) if each.ndim else each
        width, d = tokens.width(dist), dist.d
        model = cls(width, beta, alpha, key_width=d, context_width=width - d - 1, dtype=torch.float64)
        layer = model.layers[0]
        with torch.no_grad():
            for W in (layer.W_q, layer.W_k, layer.W_v):
                W.zero_()
            layer.W_q[:d] = layer.W_k[:d] = torch.eye(d)
            layer.W_v[d] = best.scale * model.h
        return model

    def __repr__(self) -> str:
        """All that training depends on but for the weights."""
        first = self.layers[0]
        doors = {"beta": first.beta, "alpha": first.alpha}
        shown: dict[str, Any] = {"width": self.width, "layers": len(self.layers), "key_width": self.key_width}
        shown |= {"value_width": self.value_width, "max_beta": self.max_beta, "normalised": self.normalised}
        return f"DeltaRule({', '.join(f'{name}={value}' for name, value in (doors | shown).items())})"

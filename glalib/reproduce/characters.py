"""A small model of characters whose layers are gated linear attention, and what can be read of it: gates and weights.

A layer adds to the residual stream what its heads read, each normalised, and then a small network of two matrices.
Gates are a sigmoid of the token, as in `layer`, one for each head or one for each key channel of it. There is no
convolution and no position: what a character knows of those before it has come through the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from .. import _check
from ..attention import chunked

TextGate = Literal["none", "scalar", "key"]
TEXT_GATES = ("none", "scalar", "key")


@dataclass(frozen=True)
class Seen:
    """What one layer did on strips of T characters: q, k, v (B, heads, T, m) and gates g (B, heads, T, 1 or m)."""

    q: Tensor
    k: Tensor
    v: Tensor
    g: Tensor

    def decays(self, at: int) -> Tensor:
        """prod_{i < j <= at} g_j for every i <= at, (B, heads, at + 1, 1 or m): what is left of write i at `at`."""
        later = self.g[..., 1 : at + 1, :].flip(-2).cumprod(-2).flip(-2)
        return torch.cat([later, torch.ones_like(self.g[..., :1, :])], -2)

    def weights(self, at: int) -> Tensor:
        """The size of what each write i <= at adds to the output at `at`, (B, heads, at + 1): |(D k_i)^T q| |v_i|."""
        scores = (self.decays(at) * self.k[..., : at + 1, :] * self.q[..., at, None, :]).sum(-1)
        sizes: Tensor = scores.abs() * self.v[..., : at + 1, :].norm(dim=-1)
        return sizes


class Mixer(nn.Module):
    """One layer: heads of gated linear attention, then two matrices with a GELU between them; both are added on."""

    def __init__(self, width: int, heads: int, gate: TextGate, generator: torch.Generator | None) -> None:
        super().__init__()

        def draw(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator) / rows**0.5)

        self.heads, self.gate = heads, gate
        self.W_q, self.W_k, self.W_v, self.W_o = (draw(width, width) for _ in range(4))
        self.W_up, self.W_down = draw(width, 2 * width), draw(2 * width, width)
        channels = {"none": 0, "scalar": 1, "key": width // heads}[gate]
        if channels:  # the heads begin with memories of several lengths, half-lives of 2 to 38 characters
            self.W_g = nn.Parameter(torch.zeros(width, heads * channels))
            self.b_g = nn.Parameter(torch.linspace(1, 4, heads).repeat_interleave(channels))

    def read(self, Z: Tensor) -> Seen:
        """Queries, keys, values and gates of tokens Z (B, T, width); keys have the scale m^(-1/2)."""
        normed = layer_norm(Z, Z.shape[-1:])

        def split(x: Tensor) -> Tensor:
            each: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            return each

        q, k, v = (split(normed @ W) for W in (self.W_q, self.W_k, self.W_v))
        g = q.new_ones(*q.shape[:-1], 1) if self.gate == "none" else split(torch.sigmoid(normed @ self.W_g + self.b_g))
        return Seen(q, k / q.shape[-1] ** 0.5, v, g)

    def forward(self, Z: Tensor) -> tuple[Tensor, Seen]:
        seen = self.read(Z)
        o = chunked(seen.q, seen.k, seen.v, seen.g, None, "key" if self.gate == "key" else "scalar", final=False)[0]
        o = layer_norm(o, o.shape[-1:]).transpose(-2, -3).flatten(-2)
        Z = Z + o @ self.W_o
        up = nn.functional.gelu(layer_norm(Z, Z.shape[-1:]) @ self.W_up)
        return Z + up @ self.W_down, seen


class CharacterModel(nn.Module):
    """Characters (B, T), integers below `alphabet`, to logits (B, T, alphabet) of the next one.

    gate: "none", "scalar" for one gate a head, or "key" for one a key channel. width: a multiple of heads.

    Raises ValueError or TypeError, naming the argument.
    """

    def __init__(
        self,
        alphabet: int,
        gate: TextGate = "scalar",
        layers: int = 2,
        width: int = 64,
        heads: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check.option("gate", gate, TEXT_GATES)
        alphabet, layers = _check.positive_int("alphabet", alphabet), _check.positive_int("layers", layers)
        width, heads = _check.positive_int("width", width), _check.positive_int("heads", heads)
        if width % heads:
            raise _check.fail("width", f"a multiple of heads, {heads}", width)
        _check.generator(generator)
        self.embed = nn.Parameter(torch.randn(alphabet, width, generator=generator))
        self.layers = nn.ModuleList(Mixer(width, heads, gate, generator) for _ in range(layers))
        self.W_out = nn.Parameter(torch.randn(width, alphabet, generator=generator) / width**0.5)

    def forward(self, text: Tensor) -> Tensor:
        return self.look(self.embed[text])[0]

    def look(self, Z: Tensor) -> tuple[Tensor, list[Seen]]:
        """Logits from embedded characters Z (B, T, width), and what every layer did."""
        inside = []
        for layer in self.layers:
            Z, seen = layer(Z)
            inside.append(seen)
        return layer_norm(Z, Z.shape[-1:]) @ self.W_out, inside

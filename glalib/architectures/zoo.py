"""Layers of real architectures, (batch, T, width) to the same, as maintained implementations have them.

They come from transformers, the optional extra `zoo` (`pip install 'glalib[zoo]'`): nothing of them is copied here. A
tiny whole model is built and its mixer taken, as some mixers hold numbers that only the whole model draws. Nothing is
downloaded. Where a layer has gates, `Layer.declared` says what they are on given tokens, in the words of this book.
"""

from __future__ import annotations

import importlib
import math
import os
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .. import _check

TRANSFORMERS = "5.24.0"  # the version these layers were tried with; in another, a layer may have other insides


@dataclass(frozen=True)
class Declared:
    """What a layer says of itself on given tokens: decays in [0, 1], and the factors of what tokens write.

    decay, write: (batch, T, channels), or None where the layer has none. A token's weight is its write times all later
    decays, for each channel.
    """

    decay: Tensor | None
    write: Tensor | None

    def weights(self) -> Tensor:
        """Weights of all tokens but the last, at the last, (batch, T - 1, channels)."""
        if self.decay is None:
            raise _check.fail("decay", "of a layer that declares one", "None")
        kept = self.decay.flip(1).cumprod(1).flip(1)[:, 1:]  # products of later decays, the last token's among them
        return kept if self.write is None else kept * self.write[:, :-1]


class Layer(nn.Module):
    """A mixer of an architecture, freshly drawn: called on (batch, T, width) it returns the same shape.

    name: its entry of `NAMES`; mixer: the module of transformers.
    """

    mixer: Any
    taken: tuple[str, ...] = ()  # what was taken out of it

    def __init__(self, name: str, width: int, heads: int) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, T, width)."""
        out: Tensor = self.mixer(x)
        return out

    def declared(self, x: Tensor) -> Declared:
        """The gates on x (batch, T, width), from the layer's own projections of it."""
        return Declared(None, None)

    def extra_repr(self) -> str:
        """A checkpoint knows a model by its repr."""
        return self.name


def layer(name: str, width: int = 32, heads: int = 2, seed: int = 0) -> Layer:
    """The layer of that name, freshly drawn.

    - name: one of `NAMES`. "fixed-decay" is MiniMax's lightning attention (RetNet's decays), "rg-lru" the recurrent
      block of Griffin, "mlstm" that of xLSTM, "softmax" causal attention. Names that begin with "mamba2-" are Mamba-2
      with a part taken out: the step no longer scales what is written ("mamba2-write"), no branch multiplies the
      output, and nothing normalises it ("mamba2-branch"), the convolution is linear ("mamba2-silu"), or all three
      ("mamba2-bare"); or all but the one that "mamba2-only-write", "mamba2-only-branch" or "mamba2-only-silu" names.
    - width: of the tokens it takes, a multiple of heads and of 8. Heads share the width, or twice the width where the
      architecture expands; "rg-lru" has channels, and heads only in the matrices that make its gates.
    - seed: of its start, as its own library draws it; but where decays would begin near zero (Gated DeltaNet) steps are
      drawn as those of Mamba-2.

    Raises ImportError where transformers is missing or of another version, ValueError or TypeError for bad arguments.
    """
    _check.option("name", name, NAMES)
    width, heads = _check.positive_int("width", width), _check.positive_int("heads", heads)
    if width % math.lcm(heads, 8):
        raise _check.fail("width", f"a multiple of 8 and of heads = {heads}", width)
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    require()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _MAKE[name](name, width, heads)


def require() -> None:
    """Complain, and say what to do, where the extra `zoo` is missing or of another version."""
    try:
        found = version("transformers")
    except PackageNotFoundError:
        raise ImportError("real layers need transformers; install it with: pip install 'glalib[zoo]'") from None
    if found != TRANSFORMERS:
        raise ImportError(
            f"real layers were tried with transformers {TRANSFORMERS} and found {found}; pip install 'glalib[zoo]'"
        )


def _part(model: str) -> Any:
    """The module of that architecture, without a look at any hub and without advice to install kernels."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    importlib.import_module("transformers.utils.logging").set_verbosity_error()
    return importlib.import_module(f"transformers.models.{model}.modeling_{model}")


class _FixedDecay(Layer):
    def __init__(self, name: str, width: int, heads: int) -> None:
        super().__init__(name, width, heads)
        part = _part("minimax")
        config = part.MiniMaxConfig(
            hidden_size=width, num_hidden_layers=2, layer_types=["linear_attention", "full_attention"], vocab_size=8,
            num_attention_heads=heads, num_key_value_heads=heads, head_dim=width // heads, intermediate_size=8,
            num_local_experts=2, num_experts_per_tok=1,
        )  # fmt: skip
        self.mixer = part.MiniMaxModel(config).layers[0].self_attn

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mixer(x, position_embeddings=None, attention_mask=None)[0]
        return out

    def declared(self, x: Tensor) -> Declared:
        return Declared(torch.exp(-self.mixer.slope_rate[:, 0, 0]).expand(*x.shape[:2], -1), None)


class _Mamba2(Layer):
    def __init__(self, name: str, width: int, heads: int) -> None:
        super().__init__(name, width, heads)
        self.taken = TAKEN[name]
        part = _part("mamba2")
        config = part.Mamba2Config(
            hidden_size=width, state_size=16, num_heads=heads, head_dim=2 * width // heads, n_groups=1, vocab_size=8,
            num_hidden_layers=1, chunk_size=28, hidden_act="linear" if "silu" in self.taken else "silu",
        )  # fmt: skip
        self.mixer = part.Mamba2Model(config).layers[0].mixer
        if "branch" in self.taken:
            self.mixer.norm.register_forward_hook(_untouched)

    def forward(self, x: Tensor) -> Tensor:
        if "write" not in self.taken:
            return super().forward(x)
        part = _part("mamba2")
        with patch.object(part, "mamba2_chunk_scan", partial(_unscaled, part.mamba2_chunk_scan)):
            return super().forward(x)

    def declared(self, x: Tensor) -> Declared:
        m = self.mixer
        dt = softplus(m.in_proj(x)[..., -m.num_heads :] + m.dt_bias).clamp(*m.time_step_limit)
        return Declared(torch.exp(-dt * m.A_log.exp()), None if "write" in self.taken else dt)


def _untouched(norm: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    """What enters a normalisation, in place of what leaves it: Mamba-2's also multiplies by the branch."""
    return inputs[0]


def _unscaled(scan: Any, values: Tensor, dt: Tensor, *rest: Any, **more: Any) -> Tensor:
    """Mamba-2's scan where the step decides what is kept, and no longer the size of what is written."""
    step = softplus(dt + more["dt_bias"]).clamp(*more["dt_limit"])
    through = values * more["D"][:, None]  # no step scales this part
    out: Tensor = through + scan(values / step[..., None], dt, *rest, **(more | {"D": None}))
    return out


class _GatedDeltaNet(Layer):
    def __init__(self, name: str, width: int, heads: int) -> None:
        super().__init__(name, width, heads)
        part, each = _part("qwen3_next"), width // heads
        config = part.Qwen3NextConfig(
            hidden_size=width, num_hidden_layers=1, layer_types=["linear_attention"], vocab_size=8, num_experts=2,
            linear_num_key_heads=heads, linear_num_value_heads=heads, linear_key_head_dim=each,
            linear_value_head_dim=each, num_experts_per_tok=1, intermediate_size=8, moe_intermediate_size=8,
            shared_expert_intermediate_size=8, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        )  # fmt: skip
        self.mixer = part.Qwen3NextModel(config).layers[0].linear_attn
        with torch.no_grad():  # its own start forgets all but the last tokens
            self.mixer.A_log.zero_()
            dt = torch.exp(torch.empty(heads).uniform_(math.log(0.001), math.log(0.1)))
            self.mixer.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(self, x: Tensor) -> Tensor:
        part = _part("qwen3_next")
        # Chunks of 64 would be filled up with zeros; the numbers do not depend on their length.
        shorter = {"chunk_size": min(64, 1 << (x.shape[1] - 1).bit_length())}
        name = "torch_chunk_gated_delta_rule"
        with patch.object(part, name, partial(getattr(part, name), **shorter)):
            return super().forward(x)

    def declared(self, x: Tensor) -> Declared:
        m = self.mixer
        write, step = m.in_proj_ba(x).unflatten(-1, (m.num_k_heads, 2)).unbind(-1)
        return Declared(torch.exp(-m.A_log.exp() * softplus(step + m.dt_bias)), write.sigmoid())


class _RGLRU(Layer):
    def __init__(self, name: str, width: int, heads: int) -> None:
        super().__init__(name, width, heads)
        part = _part("recurrent_gemma")
        config = part.RecurrentGemmaConfig(
            hidden_size=width, lru_width=2 * width, num_hidden_layers=1, block_types=["recurrent"], vocab_size=8,
            num_attention_heads=heads, intermediate_size=16, head_dim=8,
        )  # fmt: skip
        self.mixer = part.RecurrentGemmaModel(config).layers[0].temporal_block

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
        out: Tensor = self.mixer(x, places, None, use_cache=False)[0]
        self.mixer.rg_lru.recurrent_states = None  # it would keep the graph
        return out

    def declared(self, x: Tensor) -> Declared:
        m, lru, (batch, T, _) = self.mixer, self.mixer.rg_lru, x.shape
        inner = m.conv_1d(m.linear_x(x).transpose(1, 2))[..., :T].transpose(1, 2)
        split = inner.reshape(batch * T, lru.num_attention_heads, -1).permute(1, 0, 2)

        def gate(bias: Tensor, weight: Tensor) -> Tensor:
            each: Tensor = torch.baddbmm(bias[:, None], split, weight).sigmoid().transpose(0, 1)
            return each.reshape(batch, T, -1)

        opened = gate(lru.recurrent_gate_bias, lru.recurrent_gate_weight)
        decay = torch.exp(-8.0 * opened * softplus(lru.recurrent_param))
        # The first token is written whole.
        size = torch.cat([torch.ones_like(decay[:, :1]), (1 - decay[:, 1:] ** 2).sqrt()], 1)
        return Declared(decay, gate(lru.input_gate_bias, lru.input_gate_weight) * size)


class _MLSTM(Layer):
    chunk = 16

    def __init__(self, name: str, width: int, heads: int) -> None:
        super().__init__(name, width, heads)
        part = _part("xlstm")
        config = part.xLSTMConfig(
            hidden_size=width, embedding_dim=width, num_hidden_layers=1, num_blocks=1, num_heads=heads, vocab_size=8,
            chunk_size=self.chunk, mode="train", return_last_states=True, autocast_kernel_dtype="float32",
        )  # fmt: skip
        self.mixer = part.xLSTMModel(config).blocks[0].mlstm_layer

    def forward(self, x: Tensor) -> Tensor:
        T = x.shape[1]  # it wants whole chunks; what is added at the end cannot be seen before
        out: Tensor = self.mixer(nn.functional.pad(x, (0, 0, 0, -T % self.chunk)))[0]
        return out[:, :T]

    def declared(self, x: Tensor) -> Declared:
        m, cap = self.mixer, self.mixer.config.gate_soft_cap
        opened, kept = (cap * torch.tanh(f(x) / cap) for f in (m.igate_preact, m.fgate_preact))
        return Declared(kept.sigmoid(), opened.exp())


class _Softmax(Layer):
    def __init__(self, name: str, width: int, heads: int) -> None:
        super().__init__(name, width, heads)
        self.mixer = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        out: Tensor = self.mixer(x, x, x, attn_mask=later, need_weights=False)[0]
        return out


_MAKE: dict[str, type[Layer]] = {
    "fixed-decay": _FixedDecay,
    "rg-lru": _RGLRU,
    "mlstm": _MLSTM,
    "mamba2": _Mamba2,
    "gated-deltanet": _GatedDeltaNet,
    "softmax": _Softmax,
}
PARTS = ("write", "branch", "silu")
TAKEN: dict[str, tuple[str, ...]] = {  # what is taken out of Mamba-2
    "mamba2": (),
    **{f"mamba2-{part}": (part,) for part in PARTS},
    **{f"mamba2-only-{part}": tuple(other for other in PARTS if other != part) for part in PARTS},
    "mamba2-bare": PARTS,
}
_MAKE |= dict.fromkeys(TAKEN, _Mamba2)
NAMES = tuple(_MAKE)

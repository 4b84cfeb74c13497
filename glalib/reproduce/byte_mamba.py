"""The trained Mamba that the package typeseg ships: its weights, its steps on a text, and what it predicts.

Six bidirectional layers of Mamba's first kind on bytes, trained by others to say of each byte of a text what kind of
content it is: Python, CSS, prose and so on. A layer of it is `gla`, twice, once from each end, with the same steps:
its 256 channels are heads that share queries C_t and keys B_t of 16 numbers; the value of channel c is one number,
Delta_tc u_tc, and its key gates are exp(-A_cj Delta_tc) with A > 0.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv1d, layer_norm, pad, silu, softplus

from ..attention import gla

VERSION = "0.2.7"  # of typeseg, whose file of weights is that of DIGEST
DIGEST = "36c1f318b149d5508fedf127e2ffc0854c6eced79c815677f03fe8c43cb22a44"
SPARE = 1e-4  # what typeseg adds to each step
STRANGE = 0xA4  # stands for every byte that is not printable ASCII
Change = Callable[[int, Tensor], tuple[Tensor, Tensor]]


class Reading(NamedTuple):
    """Of a text of T bytes: logits (T, labels), steps (layers, T, channels), and the size |u| |B| of what a step of one
    would write, of the same shape."""

    logits: Tensor
    steps: Tensor
    sizes: Tensor


@dataclass(frozen=True)
class ByteMamba:
    """weights: by the names of typeseg's file; labels: the kinds it tells apart; version, digest: of that file."""

    weights: dict[str, Tensor]
    labels: tuple[str, ...]
    version: str
    digest: str

    def of(self, layer: int, name: str) -> Tensor:
        """A weight of one layer."""
        return self.weights[f"CheckpointMambaBlock1D_{layer}__{name}"]

    @property
    def layers(self) -> int:
        return sum(name.endswith("A_log") for name in self.weights)

    def rates(self) -> Tensor:
        """A (layers, channels, states), positive: a step Delta multiplies a state by exp(-A Delta)."""
        return torch.stack([self.of(layer, "A_log").exp() for layer in range(self.layers)])

    @torch.no_grad()
    def __call__(self, tokens: Tensor, change: Change | None = None) -> Reading:
        """What the model says of bytes (T,), and the steps Delta that it takes.

        change: from layer and steps to the steps that write and the steps that forget; both are Delta if None.
        """
        table, steps, sizes = self.weights["Embed_0__embedding"], [], []
        known = tokens.clamp(max=len(table) - 2)  # all bytes beyond ASCII have one row, the last but one
        x = table[known]
        for layer in range(self.layers):
            x, step, size = self._layer(layer, x, change)
            steps.append(step)
            sizes.append(size)
        x = _normalised(x, self.weights["LayerNorm_0__scale"], self.weights["LayerNorm_0__bias"])
        logits = x @ self.weights["Dense_0__kernel"] + self.weights["Dense_0__bias"]
        return Reading(logits, torch.stack(steps), torch.stack(sizes))

    def _layer(self, layer: int, x: Tensor, change: Change | None) -> tuple[Tensor, Tensor, Tensor]:
        def dense(name: str, h: Tensor) -> Tensor:
            return h @ self.of(layer, f"{name}__kernel") + self.of(layer, f"{name}__bias")

        A, kernel = self.of(layer, "A_log").exp(), self.of(layer, "Conv_0__kernel")
        h = _normalised(x, self.of(layer, "LayerNorm_0__scale"), self.of(layer, "LayerNorm_0__bias"))
        u, z = dense("Dense_0", h).chunk(2, -1)
        around = pad(u.mT[None], ((len(kernel) - 1) // 2, len(kernel) // 2))  # one byte before and two after
        u = conv1d(around, kernel.permute(2, 1, 0), self.of(layer, "Conv_0__bias"), groups=len(A))[0].mT
        u = silu(u)
        low, B, C = dense("Dense_1", u).split((self.of(layer, "Dense_2__kernel").shape[0], *A.shape[1:] * 2), -1)
        step = softplus(dense("Dense_2", low)) + SPARE
        write, forget = (step, step) if change is None else change(layer, step)
        gates = (-forget.mT[..., None] * A[:, None]).exp()  # (channels, T, states)
        heads = (C[None], B[None], (write * u).mT[..., None], gates)
        q, k, v, g = (torch.stack((part, part.flip(-2))) for part in heads)
        there, back = gla(q, k, v, g, "key")[..., 0]
        y = (there + back.flip(-1)).mT + 2 * u * self.of(layer, "D")
        return x + dense("Dense_3", y * silu(z)), step, u.abs() * B.norm(dim=1, keepdim=True)


def _normalised(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return layer_norm(x, scale.shape, scale, bias, 1e-6)


@cache
def byte_mamba() -> ByteMamba:
    """The model, from the files of typeseg, which need not run. Raises ImportError where it is not installed."""
    spec = find_spec("typeseg")
    if spec is None or spec.origin is None:
        raise ImportError(
            "the trained Mamba comes with the package typeseg, which is not installed here: "
            f"pip install --no-deps typeseg=={VERSION}"
        )
    folder = Path(spec.origin).parent / "data"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    file = (folder / manifest["mamba"]["file"]).read_bytes()
    with np.load(io.BytesIO(file)) as arrays:
        weights = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    try:
        known = version("typeseg")
    except PackageNotFoundError:  # a folder on the path
        known = "unknown"
    return ByteMamba(weights, tuple(manifest["labels"]), known, hashlib.sha256(file).hexdigest())


def as_bytes(text: str) -> Tensor:
    """The tokens of a text: its bytes in UTF-8, those that are not printable ASCII, tab or line end as `STRANGE`."""
    raw = torch.from_numpy(np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64))
    allowed = ((raw >= 0x20) & (raw < 0x7F)) | (raw == 9) | (raw == 10) | (raw == 13)
    return torch.where(allowed, raw, STRANGE)


def agreement(text: str) -> float:
    """The largest difference to the logits of typeseg's own code on a text, relative to the largest logit."""
    theirs, model, tokens = import_module("typeseg._numpy_backend"), byte_mamba(), as_bytes(text)
    weights = theirs.Weights({name.replace("__", "/"): value.numpy() for name, value in model.weights.items()})
    wanted = theirs.mamba_forward(weights, tokens.numpy(), n_layers=model.layers)
    return float(abs(model(tokens).logits.numpy() - wanted).max() / abs(wanted).max())


def held(places: NDArray[np.int64], length: int) -> Change:
    """A change that forgets nothing at the four bytes on each side of the places."""
    at = torch.zeros(length, dtype=torch.bool)
    at[torch.from_numpy((places[:, None] + np.arange(-4, 4)).ravel())] = True
    return lambda layer, step: (step, step.masked_fill(at[:, None], 0.0))


def steady(step: Tensor) -> Tensor:
    """Each channel's mean step, at every byte."""
    return step.mean(0, keepdim=True).expand_as(step)

"""A predictor on prompts from any layer that maps a sequence of vectors to one: `InContext`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import _check
from .layer import normal


class InContext(nn.Module):
    """Tokens Z (..., n + queries, tokens) to predictions (..., queries), by copies of a layer (B, T, D) -> (B, T, D).

    A token z enters as W_in^T z. The prediction is w_out^T (what all layers wrote at the query, the last token). With
    several layers, each adds what it writes to the residual stream: h^{l+1} = h^l + mixer_l(h^l).

    mixer        a torch module, called as mixer(h) on h (B, T, width), that returns a tensor of that shape: attention,
                 a recurrence, a convolution. It is copied, and every layer has a copy of its own, of the same start
    tokens       columns of a token, d + 1 without context coordinates: `Layout.width`
    width        D, columns of what the mixer sees
    layers       copies of the mixer
    label        column of the label, d in a `Layout`: w_out then starts along what the label enters as, so that labels
                 which the mixer only adds up come out with their own sign; None: at random
    generator    draws W_in (tokens, width) and w_out (width,), standard normal / sqrt(rows); torch's own if None
    dtype        of these two; that of the mixer's weights if None, and torch's default if it has none

    Whatever the mixer lets a token see, also of later tokens, the query sees no other query: each is run as the last
    token of a prompt of its own. So several queries cost as much as several prompts, as a layer of unknown make cannot
    share their context.

    Raises TypeError or ValueError for arguments of the wrong kind, and where the mixer returns anything but such a
    tensor: a tuple of it and a state, as many layers do, is refused.
    """

    def __init__(
        self,
        mixer: nn.Module,
        tokens: int,
        width: int,
        layers: int = 1,
        *,
        label: int | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check.instance("mixer", mixer, nn.Module, "a torch module")
        self.tokens, self.width = _check.positive_int("tokens", tokens), _check.positive_int("width", width)
        layers = _check.positive_int("layers", layers)
        if label is not None and _check.integer("label", label, 0, "an integer >= 0 or None") >= tokens:
            raise _check.fail("label", f"a column of the tokens, below {tokens}", label)
        _check.generator(generator)
        _check.dtype("dtype", dtype)
        if dtype is None:
            dtype = next((p.dtype for p in mixer.parameters() if p.is_floating_point()), torch.get_default_dtype())

        def draw(rows: int, *columns: int) -> nn.Parameter:
            return nn.Parameter(normal(rows, *columns, generator=generator, dtype=dtype) / rows**0.5)

        self.W_in, self.w_out = draw(tokens, width), draw(width)
        if label is not None:
            with torch.no_grad():
                self.w_out.copy_(self.W_in[label] / torch.linalg.vector_norm(self.W_in[label]))
        # A list of layers, as checkers of types should see it.
        self.mixers: Sequence[nn.Module] = nn.ModuleList(  # type: ignore[assignment]
            copy.deepcopy(mixer) for _ in range(layers)
        )

    def forward(self, Z: Tensor, queries: int = 1) -> Tensor:
        """Predictions (..., queries) for Z (..., n + queries, tokens); the last `queries` rows are alternatives."""
        queries = _check.positive_int("queries", queries)
        _check.tensor("Z", Z, 2, finite=False)
        n = Z.shape[-2] - queries
        if n < 1 or Z.shape[-1] != self.tokens:
            raise _check.misshaped("Z", f"of shape (..., n + {queries}, {self.tokens}) with n >= 1", Z)
        _check.alike("Z", Z, "the model's", (self.W_in.dtype,), self.W_in.device)
        shape = (*Z.shape[:-2], queries, n, self.tokens)
        each = torch.cat([Z[..., None, :n, :].expand(shape), Z[..., n:, None, :]], -2)  # (..., queries, n + 1, tokens)
        stream = each.flatten(0, -3) @ self.W_in
        written = torch.zeros_like(stream[:, -1])
        for mixer in self.mixers:
            out = self._mixed(mixer, stream)
            stream, written = stream + out, written + out[:, -1]
        return (written @ self.w_out).reshape(*Z.shape[:-2], queries)

    def _mixed(self, mixer: nn.Module, stream: Tensor) -> Tensor:
        """What a mixer makes of h (B, T, width), of the same shape, or a complaint."""
        what = "what the mixer returns"
        try:
            out = mixer(stream)
        except Exception as error:
            error.add_note(f"the mixer was called on h of shape {tuple(stream.shape)}: is `width` what it takes?")
            raise
        if isinstance(out, (tuple, list)):
            kind = f"{type(out).__name__} of {len(out)}"
            raise TypeError(f"{what} must be its tensor alone, so wrap a layer that returns more; got a {kind}")
        made = _check.tensor(what, out, finite=False)
        if made.shape != stream.shape:
            raise _check.misshaped(what, f"of shape {tuple(stream.shape)}, that of its input", made)
        return made

    def extra_repr(self) -> str:
        """Sizes: a checkpoint knows a model by its repr, which has the mixers too."""
        return f"tokens={self.tokens}, width={self.width}"


def read_label(what: str, out: Any, Z: Tensor, d: int) -> Any:
    """Predictions (B,) from what a layer returns on tokens Z (B, T, D): its label coordinate at the last token.

    What has fewer axes than tokens is taken for predictions already, and handed on.
    """
    if isinstance(out, (tuple, list)):
        raise TypeError(f"{what} must be one tensor, so wrap a layer that returns more; got {type(out).__name__}")
    if not isinstance(out, Tensor) or out.ndim < 3:
        return out
    if out.shape != Z.shape:
        raise _check.misshaped(what, f"of the shape of tokens, {tuple(Z.shape)}, or (batch,)", out)
    return out[:, -1, d]

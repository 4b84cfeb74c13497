"""Layers of any make as callables from prompts to predictions, for `compare`, or a complaint that names the cause."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import _check
from ..distribution import PromptDistribution
from ..in_context import read_label
from ..layout import Layout
from ..prompts import Prompts
from ..risk import WPGD
from ..simulate import TOKENS, Predictor, as_predictor, telling


def named(layers: Any, taken: Sequence[str]) -> dict[str, Any]:
    """Layers by name, none of which is taken; one layer alone is called "layer"."""
    if isinstance(layers, (list, tuple)) and not _is_pair(layers):
        raise TypeError(
            f"layers must be a dict from names to layers, or one layer; got a {type(layers).__name__} of {len(layers)}"
        )
    each = layers if isinstance(layers, dict) else {"layer": layers}
    if not each:
        raise _check.fail("layers", "a layer, or a dict with at least one", "an empty dict")
    for name in each:
        _check.instance("each name in layers", name, str, "a string")
        if name in taken:
            raise _check.fail("each name in layers", "none of an optimum's", repr(name))
    return each


def readers_of(layers: dict[str, Any], law: PromptDistribution | None, tokens: Any) -> dict[str, Predictor]:
    """By name, each layer as a callable from drawn prompts to predictions, or a complaint."""
    modules = [name for name, layer in layers.items() if isinstance(layer, nn.Module)]
    if isinstance(tokens, dict):
        _check_names(layers, modules, tokens)
    elif tokens is not None and not modules:
        expected = "None where no layer is a torch module, as all others get the prompts themselves"
        raise _check.fail("tokens", expected, _check.short(tokens))
    makers = tokens if isinstance(tokens, dict) else dict.fromkeys(modules, tokens)
    return {name: _reader(name, layer, law, makers.get(name)) for name, layer in layers.items()}


def check_alone(what: str, predict: Predictor, drawn: Prompts, together: Tensor) -> None:
    """Complain of predictions that are others where a prompt is alone."""
    alone = predict(drawn[-1:]).reshape(-1).to(together)
    # Rounding grows with the spread of predictions; a batch that is mixed moves them by about as much as they spread.
    if abs(alone[0] - together[-1]) > 1e-2 * together.std():
        expected = "the same for a prompt alone as in a batch (is the first axis taken for tokens? see batch_first)"
        raise _check.fail(what, expected, f"{alone[0].item():.6g} alone, {together[-1].item():.6g} in its batch")


def _check_names(layers: dict[str, Any], modules: Sequence[str], tokens: dict[Any, Any]) -> None:
    """Complain unless a dict of tokens has an entry for every module, and for nothing else."""
    for name in modules:
        if name not in tokens:
            raise _check.fail("tokens", "with an entry for every torch module where it is a dict", f"none for {name!r}")
    for name, make in tokens.items():
        if name not in layers:
            raise _check.fail("each name in tokens", "that of a layer", repr(name))
        if make is not None and name not in modules:
            raise _check.fail(f"tokens of {name!r}", "None, as it is no torch module", _check.short(make))


def _is_pair(layer: Any) -> bool:
    """Whether it may be (P, omega), two arrays: nothing that could be a layer."""
    arrays = isinstance(layer, (list, tuple)) and len(layer) == 2
    return arrays and not any(callable(part) or isinstance(part, WPGD) for part in layer)


def _reader(name: str, layer: Any, law: PromptDistribution | None, tokens: Any) -> Predictor:
    """Any layer as a callable from drawn prompts to predictions."""
    if isinstance(layer, nn.Module):
        if tokens is not None and (not callable(tokens) or isinstance(tokens, type)):
            raise TypeError(f"tokens must be {TOKENS}; got {type(tokens).__name__}")
        return _of_module(name, layer, tokens)
    if law is not None and (isinstance(layer, WPGD) or _is_pair(layer)):
        with telling(f"layer {name!r} is a weighted step, of the n and d of {law!r}"):
            return as_predictor(layer, law, 1, None, torch.float64)[0]
    if callable(layer) and not isinstance(layer, type):

        def read(drawn: Any) -> Any:
            # A record, too, is called: nobody asks it for its blocks. A copy, as a callable may write to its prompts.
            with telling(f"layer {name!r} is no torch module: it was called on prompts, a {type(drawn).__name__}"):
                return layer(copy.deepcopy(drawn))

        return read
    expected = "a torch module, a WPGD record, a (P, omega) pair (with a PromptDistribution) or a callable on prompts"
    raise TypeError(f"layer {name!r} must be {expected}; got {type(layer).__name__}")


def _of_module(name: str, layer: nn.Module, tokens: Any) -> Predictor:
    """What a module predicts from the tokens of prompts, in its own precision and on its own device."""
    make = Layout() if tokens is None else tokens
    origin = f"{_check.short(make)}{', as no `tokens` were given' if tokens is None else ''}"
    weights = next((p for p in layer.parameters() if p.is_floating_point()), None)

    def read(drawn: Any) -> Any:
        with telling(f"tokens for layer {name!r} are made by {origin}{_without_counts(make, drawn)}"):
            Z = _check.tensor("what tokens returns", make(drawn), finite=False)
        if weights is not None:
            Z = Z.to(weights.device, weights.dtype)
        with telling(f"layer {name!r} was called on tokens of shape {tuple(Z.shape)}, made by {origin}"):
            out = layer(Z)
        if isinstance(out, Tensor) and out.ndim > 2 and not isinstance(make, Layout):
            _check_label(Z, drawn)
        return read_label(f"what layer {name!r} returns", out, Z, drawn.x.shape[-1])

    return read


def _without_counts(make: Any, drawn: Any) -> str:
    """What to add where a layout asks for blocks, and the record does not know of any."""
    asks = isinstance(make, Layout) and (make.delimiters or make.context is not False)
    known = getattr(drawn, "counts", None) is not None
    return "; a record without `counts` has no delimiters or context in a Layout" if asks and not known else ""


def _check_label(Z: Tensor, drawn: Any) -> None:
    """Complain unless the labels of the first prompt stand where a layer of tokens to tokens is read."""
    d, y = drawn.x.shape[-1], drawn.y[0].to(Z)
    # Rounded twice, to the precision of the tokens' maker and of the layer.
    if Z.shape[-1] <= d or not torch.isclose(Z[0, :, d], y[:, None], rtol=1e-2, atol=0).any(1).all():
        expected = f"with the labels in column d = {d}, where a layer from tokens to tokens is read"
        raise _check.fail("what tokens returns", f"{expected} (let others return predictions)", "others there")

"""What a step of training makes small: squared errors of fresh prompts, as a function of a model's weights.

An objective is a module around the model: `draw` takes numbers from a generator, forward makes losses of them. Drawing
stands apart so that `torch.func` can put many weights, and many draws, into one forward. Numbers are drawn where the
generator is and moved to the model, so they are the same on every device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _check
from ..distribution import PromptDistribution
from ..gates import widen
from ..layout import Layout
from ..prompts import Sampler
from ..simulate import BARE, asking, check_makes_tokens, check_read_out, draw, of_queries, query_option
from ..token_free import checked_layer, losses_of_normals, normals

PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class TokenErrors(torch.nn.Module):
    """(y - prediction)^2, (batch, queries), of the prompts that `draw` returns as tokens Z and labels."""

    def __init__(self, model: torch.nn.Module, dist: Sampler, batch: int, queries: int, tokens: Any) -> None:
        super().__init__()
        own = next(p for p in model.parameters() if p.requires_grad)
        self.dtype, self.drawn, self.device = own.dtype, widen(own).dtype, own.device
        self.model, self.dist, self.batch, self.queries, self.tokens = model, dist, batch, queries, tokens
        self.options, self.first = query_option(model, queries), True

    def draw(self, generator: torch.Generator) -> tuple[Any, Tensor]:
        drawn = draw(self.dist, self.batch, generator, self.queries, self.drawn, self.first)
        self.first = False
        Z = self.tokens(drawn)
        if Z is None:
            raise TypeError("what tokens returns must be tokens; got None")
        if isinstance(Z, Tensor):
            Z = Z.to(self.device, self.dtype if self.dtype != self.drawn else None)
        return Z, drawn.y_query

    def forward(self, Z: Any, y: Tensor) -> Tensor:
        what = "the model's output"
        with asking(self.tokens, Z):
            predictions = self.model(Z, **self.options)
        check_read_out(what, predictions, y)
        predictions = of_queries(what, _check.instance(what, predictions, Tensor, "a torch tensor"), y)
        if predictions.is_complex():
            raise _check.fail(what, "of real numbers", str(predictions.dtype))
        errors: Tensor = y.to(predictions.device) - predictions
        return errors**2


class TokenFreeErrors(torch.nn.Module):
    """`token_free_losses`, (batch,), of the normal numbers that `draw` returns."""

    def __init__(self, model: Any, dist: PromptDistribution, batch: int, tokens: Layout) -> None:
        super().__init__()
        self.model, self.dist, self.batch, self.tokens = model, dist, batch, tokens
        _, context = checked_layer(model, dist, tokens)
        self.dtype, self.device = context.dtype, context.device

    def draw(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        return tuple(x.to(self.device) for x in normals(self.dist, self.batch, generator, self.dtype))

    def forward(self, *drawn: Tensor) -> Tensor:
        return losses_of_normals(self.model, self.dist, drawn, self.tokens)


Objective = TokenErrors | TokenFreeErrors


def objective(model: torch.nn.Module, dist: Any, tokens: Any, batch: int, queries: int, token_free: bool) -> Objective:
    """The objective of a recipe with these numbers; tokens as `checked_tokens` returns them."""
    if token_free:
        return TokenFreeErrors(model, dist, batch, tokens)
    return TokenErrors(model, dist, batch, queries, tokens)


def checked_tokens(tokens: Any, dist: Any, token_free: bool) -> Any:
    """What makes tokens, Layout() if None, or a complaint where an objective cannot do with it."""
    check_makes_tokens(tokens)
    tokens = BARE if tokens is None else tokens
    if token_free and not isinstance(tokens, Layout):
        raise _check.fail("tokens", "a Layout where token_free is True", type(tokens).__name__)
    if token_free:
        _check.instance("dist", dist, PromptDistribution, "a PromptDistribution where token_free is True")
    return tokens


def trained_weights(model: torch.nn.Module, name: str = "model") -> dict[str, torch.nn.Parameter]:
    """The weights to train, by name, or a complaint of weights that cannot be trained or kept."""
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise _check.fail(name, "a module with weights to train", "one without")
    for key, p in model.state_dict().items():
        if torch.nn.parameter.is_lazy(p):
            raise _check.fail(name, "with weights that have been made", f"a lazy one without shape in {key}")
        if p.is_meta:
            raise _check.fail(name, "on a device that holds numbers", f"{key} on {p.device}")
    for key, p in trained.items():
        if p.dtype not in PRECISIONS:
            raise _check.fail(name, "with weights to train of 16, 32 or 64 bits", f"{p.dtype} in {key}")
        if not p.isfinite().all():
            raise _check.fail(name, "with finite weights", f"NaN or infinity in {key}")
    return trained

"""What a character model does where one language gives way to another: gates, weights, influence and loss.

Pairs of strips end alike: after text of another language, "other", and after their own, "own". Where the model was
trained with a mark, the first have it, and a third kind lacks it, "removed". "fresh" is the end alone, which is what
the model does where every layer's state is set back to zero at the boundary.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .. import _check
from .._check import Array
from .characters import CharacterModel, Seen
from .messages import MARKED, SPACE, Strips, crossings, decode

REACH = 64  # characters on either side of the boundary
BINS = (0, 2, 4, 8, 16, REACH)  # of characters after it, for the loss
AFTER = (0, 2, 8, 24)  # reading places after it; at 0 the boundary's own character reads
LOOK = 8  # the place where curves are read, and how many gates `kept` multiplies after the boundary's
PROFILE = 24  # characters before the boundary that curves show


def contexts(strips: Strips, marked: bool, pieces: int) -> dict[str, Tensor]:
    """Strips (pieces, 2 REACH + 1) of each kind, the boundary in the middle; "fresh" has (pieces, REACH + 1).

    pieces: how many at most; those taken lie evenly among all, and so among languages.
    """
    other, own = (torch.from_numpy(part) for part in crossings(strips, REACH))
    taken = torch.linspace(0, len(own) - 1, min(_check.positive_int("pieces", pieces), len(own))).long()
    other, own = other[taken], own[taken]
    kinds = {"other": other.clone(), "own": own, "fresh": other[:, REACH:].clone()}
    if marked:
        kinds["removed"] = other
        kinds["other"][:, REACH] = kinds["fresh"][:, 0] = MARKED
    return kinds


def measures(net: CharacterModel, kinds: dict[str, Tensor]) -> dict[str, Any]:
    """What is measured at boundaries; pairs of numbers are a mean and its standard error over pieces.

    - loss: of each kind in bits a character, over `BINS` of characters after the boundary; `gap`: of each kind less
      that of "other", on the same characters.
    - gates: means by layer and head, at the boundary of each kind but "fresh", and in "other" at spaces and elsewhere.
      kept: by layer and head, the mean product of the gates at the boundary and at the `LOOK` characters after it;
      `slowest`: pairs of that, for the head of each layer whose product is largest in "own", and of how much less it is
      in "other", as "fall". All None without a gate.
    - share: by kind, layer and place of `AFTER`, how much of a head's weight lies before the boundary, a mean over
      heads; `influence`: the same of the norms of the loss's gradients to embedded characters, in the whole model.
    - pull: by kind, the parts that the characters seen from `LOOK` have of this influence, from `PROFILE` before the
      boundary on; means alone.
    """
    with torch.no_grad():
        looks = {kind: net.look(net.embed[text]) for kind, text in kinds.items()}
    losses = {kind: _losses(looks[kind][0], kinds[kind]) for kind in kinds}
    long = {kind: looks[kind][1] for kind in kinds if kind != "fresh"}
    pulls = {kind: [influence(net, kinds[kind], REACH + m) for m in AFTER] for kind in long}
    return {
        "loss": {kind: _binned(x) for kind, x in losses.items()},
        "gap": {kind: _binned(x - losses["other"]) for kind, x in losses.items() if kind != "other"},
        **_of_gates(long, kinds["other"]),
        "share": {
            kind: [[averaged(share(seen.weights(REACH + m), REACH).mean(1)) for m in AFTER] for seen in layers]
            for kind, layers in long.items()
        },
        "influence": {kind: [averaged(share(pull, REACH)) for pull in pulls[kind]] for kind in long},
        "pull": {kind: _parts(pulls[kind][AFTER.index(LOOK)]) for kind in long},
    }


def _of_gates(long: dict[str, list[Seen]], text: Tensor) -> dict[str, Any]:
    """`gates`, `kept` and `slowest` of `measures`."""
    if all(seen.g.eq(1).all() for seen in long["own"]):
        return {"gates": None, "kept": None, "slowest": None}
    gates = {kind: [_short(seen.g[:, :, REACH].mean((0, 2))) for seen in layers] for kind, layers in long.items()}
    spaces, middle = text == SPACE, torch.arange(text.shape[1]) == REACH
    for name, at in (("space", spaces & ~middle), ("else", ~spaces & ~middle)):
        gates[name] = [_short(seen.g.mean(3).transpose(1, 2)[at].mean(0)) for seen in long["other"]]
    products = {kind: [kept(seen, REACH, LOOK) for seen in layers] for kind, layers in long.items()}
    slow = [int(product.mean(0).argmax()) for product in products["own"]]
    slowest = {kind: [p[:, h] for p, h in zip(each, slow, strict=True)] for kind, each in products.items()}
    slowest["fall"] = [own - other for own, other in zip(slowest["own"], slowest["other"], strict=True)]
    return {
        "gates": gates,
        "kept": {kind: [_short(product.mean(0)) for product in each] for kind, each in products.items()},
        "slowest": {kind: [averaged(product) for product in each] for kind, each in slowest.items()},
    }


def influence(net: CharacterModel, text: Tensor, at: int) -> Tensor:
    """How much each character i <= at moves the loss at place `at`: the norm of its gradient to it, (B, at + 1)."""
    Z = net.embed.detach()[text[:, : at + 1]].requires_grad_()
    loss = cross_entropy(net.look(Z)[0][:, at], text[:, at + 1], reduction="sum")
    sizes: Tensor = torch.autograd.grad(loss, Z)[0].norm(dim=-1)
    return sizes


def share(weights: Tensor, at: int) -> Tensor:
    """How much of weights (..., T) lies before place `at`."""
    return weights[..., :at].sum(-1) / weights.sum(-1)


def kept(seen: Seen, at: int, more: int) -> Tensor:
    """The product of the gates at `at` and at `more` places after it, a mean over channels, (B, heads)."""
    crossed = seen.g[..., at : at + more + 1, :]
    products: Tensor = crossed.prod(-2).mean(-1)
    return products


def averaged(values: Tensor | Array) -> list[float]:
    """The mean of values of pieces (B,) and its standard error."""
    x = np.asarray(values, dtype=float)
    return _short([x.mean(), x.std(ddof=1) / len(x) ** 0.5])


def _short(values: Iterable[Any]) -> list[float]:
    """Numbers to three digits."""
    return [float(f"{float(value):.3g}") for value in values]


def _losses(logits: Tensor, text: Tensor) -> Array:
    """Bits of every character after the boundary, (B, REACH)."""
    ends = logits[:, -REACH - 1 : -1].transpose(1, 2), text[:, -REACH:]
    bits: Array = cross_entropy(*ends, reduction="none").double().numpy() / np.log(2)
    return bits


def _binned(losses: Array) -> list[list[float]]:
    return [averaged(losses[:, low:high].mean(1)) for low, high in pairwise(BINS)]


def _parts(weights: Tensor) -> list[float]:
    """What part of all weight each character of (B, T) has, a mean over strips, from `PROFILE` before the boundary."""
    return _short((weights / weights.sum(-1, keepdim=True)).mean(0)[REACH - PROFILE :])


def strip_shown(net: CharacterModel, kinds: dict[str, Tensor], number: int) -> dict[str, Any]:
    """One strip around its boundary: its characters, gates by layer and head, and weights.

    Weights are those that the place `LOOK` after the boundary gives them, by layer and head, over their sum.
    """
    number = _check.integer("number", number, 0, "an integer >= 0")
    text = kinds["other"][number : number + 1]
    around = slice(REACH - PROFILE, REACH + LOOK + 1)
    with torch.no_grad():
        layers = net.look(net.embed[text])[1]
    weights = [seen.weights(REACH + LOOK)[0] for seen in layers]
    return {
        "text": decode(text[0, around].numpy()),
        "gates": [[_short(head) for head in seen.g[0].mean(-1)[:, around]] for seen in layers],
        "weights": [[_short(head[REACH - PROFILE :] / head.sum()) for head in w] for w in weights],
    }

"""Prompts whose query names its task, and their tokens: a distribution of one's own, made of Definition 2's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from .. import _check
from ..distribution import PromptDistribution
from ..layout import DELIMITED
from ..prompts import Prompts


@dataclass(frozen=True, repr=False)
class NamedPrompts(Prompts):
    """Prompts whose query names its task; named (batch,): the number of its block."""

    named: torch.Tensor | None = None

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Prompts:
        parts = {f.name: change(getattr(self, f.name)) for f in fields(self) if f.name != "counts"}
        return NamedPrompts(**parts, counts=self.counts)


@dataclass(frozen=True)
class NamedQuery:
    """Two equal, independent tasks, and a query of one of them: of either, equally likely, or of the `asked` one."""

    d: int
    n: int
    asked: int | None = None

    def __post_init__(self) -> None:
        _check.option("asked", self.asked, (None, 0, 1))

    def sample(
        self,
        batch: int,
        generator: torch.Generator | None = None,
        queries: int = 1,
        dtype: torch.dtype | None = None,
    ) -> NamedPrompts:
        """Prompts whose query belongs to the first task; then, where it should be the second, the blocks exchanged."""
        half = self.n // 2
        p = PromptDistribution(self.d, (half, half), (1.0, 0.0)).sample(batch, generator, queries, dtype)
        second = torch.rand(batch, generator=generator, device=p.x.device) < (0.5 if self.asked is None else self.asked)

        def exchanged(part: torch.Tensor, by: int) -> torch.Tensor:
            return torch.where(second.view(-1, *[1] * (part.ndim - 1)), part.roll(by, 1), part)

        x, y, beta = exchanged(p.x, half), exchanged(p.y, half), exchanged(p.beta, 1)
        return NamedPrompts(x, y, p.x_query, p.y_query, beta, p.beta_query, p.counts, second.long())


def named_tokens(prompts: NamedPrompts) -> torch.Tensor:
    """Tokens with delimiters and one-hot context; the query's names its block in two more columns."""
    Z, queries = DELIMITED(prompts), prompts.x_query.shape[1]
    name = Z.new_zeros(*Z.shape[:2], 2)
    if prompts.named is None:
        raise _check.fail("prompts", "such that queries name their task", "named = None")
    name[:, -queries:] = torch.nn.functional.one_hot(prompts.named, 2).to(Z)[:, None]
    return torch.cat([Z, name], -1)

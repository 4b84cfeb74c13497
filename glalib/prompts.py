"""A batch of prompts, and `Sampler`: what a distribution of one's own must do to be trained and simulated on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

from . import _check

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, repr=False)
class Prompts:
    """A batch of prompts, as drawn by `PromptDistribution.sample`.

    Shapes: x (batch, n, d), y (batch, n), x_query (batch, queries, d), y_query (batch, queries);
    beta (batch, K, d) holds the tasks of the blocks, beta_query (batch, d) the query's own. counts (K,), the examples
    of each block, tells what is made of them where the blocks end; None for prompts of unknown origin.
    """

    x: torch.Tensor
    y: torch.Tensor
    x_query: torch.Tensor
    y_query: torch.Tensor
    beta: torch.Tensor
    beta_query: torch.Tensor
    counts: tuple[int, ...] | None = None

    def __len__(self) -> int:
        """The number of prompts."""
        return len(self.x)

    def __getitem__(self, index: int | slice) -> Prompts:
        """One prompt or a slice of them: a batch again, also of one."""
        if not isinstance(index, slice):
            i, batch = _check.integer("index", index, expected="an integer or a slice"), len(self)
            if not -batch <= i < batch:  # what ends a loop over prompts
                raise IndexError(f"index must be from {-batch} to {batch - 1}; got {i}")
            index = slice(i % batch, i % batch + 1)
        return self._each(lambda part: part[index])

    def to(self, *args: Any, **kwargs: Any) -> Prompts:
        """The same prompts on another device or in another floating-point dtype: arguments of `torch.Tensor.to`."""
        out = self._each(lambda part: part.to(*args, **kwargs))
        check_prompts(out)
        return out

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Prompts:
        parts = {f.name: change(getattr(self, f.name)) for f in fields(self) if f.name != "counts"}
        return Prompts(**parts, counts=self.counts)

    def __repr__(self) -> str:
        (batch, n, d), queries = self.x.shape, self.x_query.shape[1]
        return f"Prompts(batch={batch}, n={n}, d={d}, queries={queries}, dtype={self.x.dtype})"


PARTS = ("x", "y", "x_query", "y_query")


class Drawn(Protocol):
    """What a `Sampler` returns at least: `Prompts`, or a record of one's own with these shapes, of one dtype.

    x (batch, n, d), y (batch, n), x_query (batch, queries, d), y_query (batch, queries); and `counts`, the examples of
    each block, if a `Layout` with delimiters or context is to read it.
    """

    @property
    def x(self) -> torch.Tensor: ...
    @property
    def y(self) -> torch.Tensor: ...
    @property
    def x_query(self) -> torch.Tensor: ...
    @property
    def y_query(self) -> torch.Tensor: ...


class Sampler(Protocol):
    """Whatever draws prompts, to train on or to simulate: `PromptDistribution`, or a distribution of one's own."""

    def sample(self, batch: int, generator: torch.Generator | None, queries: int, dtype: torch.dtype | None) -> Drawn:
        """Draw `batch` prompts with `queries` queries each, from the generator, in that dtype."""
        ...


def check_parts(name: str, value: Any) -> None:
    """Complain unless `value` has the parts of a record of prompts."""
    lost = [part for part in PARTS if not hasattr(value, part)]
    if isinstance(value, type) or lost:
        why = ", whose parts are keys and not attributes" if isinstance(value, dict) else ""
        why = f": it lacks {', '.join(lost)}" if 0 < len(lost) < len(PARTS) else why
        expected = f"a Prompts record or an object with {', '.join(PARTS)}"
        raise TypeError(f"{name} must be {expected}; got {type(value).__name__}{why}")


def check_prompts(value: Any) -> None:
    """Complain unless `value` is a record of prompts, whole and of one precision: `Prompts`, or one's own (`Drawn`)."""
    check_parts("prompts", value)
    x = _check.tensor("prompts.x", value.x, 3)
    _check.tensor("prompts.x_query", value.x_query, 3)
    (batch, n, d), queries = x.shape, value.x_query.shape[1]
    shapes: dict[str, tuple[int, ...]] = {"x_query": (batch, queries, d), "y": (batch, n), "y_query": (batch, queries)}
    if isinstance(value, Prompts):
        tasks = _check.tensor("prompts.beta", value.beta, 3).shape[1]
        shapes |= {"beta": (batch, tasks, d), "beta_query": (batch, d)}
    for name, shape in shapes.items():
        part = _check.tensor(f"prompts.{name}", getattr(value, name), len(shape))
        if part.shape != shape or part.dtype != x.dtype:
            given = f"shape {tuple(part.shape)}, {part.dtype}"
            raise _check.fail(f"prompts.{name}", f"of shape {shape} and {x.dtype}", given)

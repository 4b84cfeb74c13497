"""From prompts to tokens: delimiters between the blocks, and context coordinates that a gate can read.

The paper's prompt (Definition 2) is the one without either; this layout of delimiters and context is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import _check
from .distribution import PromptDistribution
from .prompts import Drawn, check_prompts

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike, NDArray

    from ._check import Array


@dataclass(frozen=True, init=False)
class Layout:
    """Prompts as tokens Z (batch, T + queries, width): a token is a row, the label's column after the features'.

    Columns: x (d), y (1), then p context coordinates. Rows: the T context tokens, which are the examples in order,
    then one row (x, 0) per query; the last `queries` rows are alternatives to each other. With delimiters, a row with
    x = 0, y = 0 follows every block, so that a gate can act between tasks.

    - delimiters: bool.
    - context: False for none; True for one-hot vectors; or an array (kinds, p) whose rows are the context vectors of
      the K blocks, then of the K delimiters if there are any, then of the query.

    A layout is called on a `Prompts` record, or on another with its first four parts. It is a value: two of equal
    arguments are equal, with one hash.
    Raises ValueError or TypeError, naming the argument, for bad ones and for prompts that do not say where blocks end.
    """

    delimiters: bool
    context: bool | tuple[tuple[float, ...], ...]

    def __init__(self, delimiters: bool = False, context: ArrayLike | None = False) -> None:
        delimiters = _check.flag("delimiters", delimiters)
        if context is None or isinstance(context, (bool, np.bool_)):
            kept: object = bool(context)
        else:
            rows = _check.array("context", context)
            if rows.ndim != 2:
                raise _check.misshaped("context", "of shape (kinds, p), one row per kind of token", rows)
            kept = tuple(map(tuple, rows.tolist()))
        self.__dict__.update(delimiters=delimiters, context=kept)

    def __call__(self, prompts: Drawn) -> torch.Tensor:
        """The tokens Z (batch, T + queries, width) of these prompts, in their dtype and on their device."""
        import torch

        check_prompts(prompts)
        counts = getattr(prompts, "counts", None)
        if counts is None:  # of unknown origin: one block will do where blocks do not show
            if self.delimiters or self.context is not False:
                raise _check.fail("prompts", "with counts, the examples of each block", "counts = None")
            counts = (prompts.x.shape[1],)
        x, d, queries = prompts.x, prompts.x.shape[2], prompts.x_query.shape[1]
        _, is_delimiter = self.blocks(counts)
        n, vectors = len(is_delimiter), self.vectors(len(counts))
        example = torch.from_numpy(np.flatnonzero(~is_delimiter)).to(x.device)
        Z = x.new_zeros(len(x), n + queries, d + 1 + vectors.shape[1])  # filled in place: large parts are copied once
        Z[:, example, :d], Z[:, example, d], Z[:, n:, :d] = x, prompts.y, prompts.x_query
        if vectors.size:
            of_kind = torch.from_numpy(vectors[self.kinds(counts, queries)])
            Z[..., d + 1 :] = _check.cast("context", of_kind, Z.dtype).to(Z.device)
        return Z

    def weights(self, dist: PromptDistribution, omega: ArrayLike) -> Array:
        """Weights of the context tokens, (T,): what `gates.weights_to_gates` needs.

        omega (K,), per task, or (n,), per example. A delimiter carries the weight of the next block (1 after the
        last), so that the gate that tells two blocks apart falls on the delimiter between them.
        """
        each = dist.expand(_check.array("omega", omega))
        if each.ndim != 1:
            raise _check.misshaped("omega", f"of shape ({dist.K},) or ({dist.n},)", each)
        _, is_delimiter = self.blocks(dist.counts)
        out = np.ones(len(is_delimiter))
        out[~is_delimiter] = each
        before_last = np.flatnonzero(is_delimiter[:-1])
        out[before_last] = out[before_last + 1]
        return out

    def width(self, dist: PromptDistribution) -> int:
        """Columns of the tokens of such prompts: d + 1 + p."""
        return dist.d + 1 + len(self.vectors(dist.K)[0])

    def blocks(self, counts: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Of every context token, (T,): its block, and whether it is a delimiter."""
        sizes = np.array(counts) + self.delimiters
        is_delimiter = np.zeros(sizes.sum(), dtype=bool)
        if self.delimiters:
            is_delimiter[np.cumsum(sizes) - 1] = True
        return np.repeat(np.arange(len(counts)), sizes), is_delimiter

    def kinds(self, counts: tuple[int, ...], queries: int = 1) -> NDArray[np.intp]:
        """Of every token, (T + queries,): the row of its context vector in `vectors`."""
        block, is_delimiter = self.blocks(counts)
        K = len(counts)
        return np.append(block + K * is_delimiter, np.full(queries, K * (2 if self.delimiters else 1)))

    def vectors(self, K: int) -> Array:
        """Context vectors (kinds, p): of the K blocks, of the delimiters if there are any, of the query."""
        kinds = K * (2 if self.delimiters else 1) + 1
        if isinstance(self.context, bool):
            return np.eye(kinds, kinds * self.context)
        vectors = np.array(self.context).reshape(len(self.context), -1)
        if len(vectors) != kinds:
            raise _check.misshaped("context", f"of shape ({kinds}, p), one row per kind of token", vectors)
        return vectors


DELIMITED = Layout(delimiters=True, context=True)  # what a gate needs to tell blocks and delimiters apart

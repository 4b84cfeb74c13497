"""What the commands of `glalib reproduce` do, once their options are read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import _check
from ..files import check_writable, replacing
from .below import below, below_summary
from .depth import depth, depth_summary
from .figure1 import figure1, figure1_summary
from .inside import inside, inside_summary
from .runs import Row
from .starts import starts, starts_summary
from .sweep import Backend
from .table import summary, table

MOST_SEEDS = 10_000  # more is a slip: years of work


def reproduce_table(
    all_weights: bool,
    seeds: int,
    jobs: int | None,
    backend: Backend,
    folder: str | os.PathLike[str],
    json_file: Path | None,
) -> tuple[str, int]:
    """Train the table, and write its cells to a file if one is given; the table to print, and 1 where a run failed."""
    return _made(lambda: table(all_weights, seeds, jobs, backend, folder), summary, seeds, json_file)


def reproduce_figure1(
    panels: str,
    lengths: Sequence[int],
    seeds: int,
    jobs: int | None,
    backend: Backend,
    folder: str | os.PathLike[str],
    json_file: Path | None,
) -> tuple[str, int]:
    """The same for Figure 1."""
    return _made(lambda: figure1(panels, lengths, seeds, jobs, backend, folder), figure1_summary, seeds, json_file)


def reproduce_depth(
    layers: Sequence[int],
    panels: str,
    lengths: Sequence[int],
    seeds: int,
    jobs: int | None,
    backend: Backend,
    folder: str | os.PathLike[str],
    json_file: Path | None,
) -> tuple[str, int]:
    """The same for the figure on depth."""
    return _made(lambda: depth(layers, panels, lengths, seeds, jobs, backend, folder), depth_summary, seeds, json_file)


def reproduce_inside(
    seeds: int, jobs: int | None, backend: Backend, folder: str | os.PathLike[str], json_file: Path | None
) -> tuple[str, int]:
    """The same for the page on what a trained layer has learned."""
    return _made(lambda: inside(seeds, jobs, backend, folder), inside_summary, seeds, json_file)


def reproduce_below(
    seeds: int, jobs: int | None, backend: Backend, folder: str | os.PathLike[str], json_file: Path | None
) -> tuple[str, int]:
    """The same for the page on layers below the line."""
    return _made(lambda: below(seeds, jobs, backend, folder), below_summary, seeds, json_file)


def reproduce_starts(
    seeds: int, jobs: int | None, backend: Backend, folder: str | os.PathLike[str], json_file: Path | None
) -> tuple[str, int]:
    """The same for the page on starts."""
    return _made(lambda: starts(seeds, jobs, backend, folder), starts_summary, seeds, json_file)


def _made(
    rows_of: Callable[[], list[Row]], text: Callable[[list[Row]], str], seeds: int, json_file: Path | None
) -> tuple[str, int]:
    """Run it, and write its rows to the file, if one is given; what to print, and 1 where a run failed."""
    if seeds > MOST_SEEDS:
        raise _check.fail("seeds", f"at most {MOST_SEEDS} here", _check.short(seeds))
    if json_file is not None:  # complain now rather than after the work
        if json_file.is_dir():
            raise _check.fail("json", "a file", f"the folder {json_file}")
        check_writable("json", json_file.parent, given=json_file, make=False)
    rows = rows_of()
    if json_file is not None:
        with replacing(json_file) as part:
            part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return text(rows), int(any("error" in row for row in rows))

"""What `glalib reproduce table` does, once its options are read."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .. import _check
from ..files import check_writable, replacing
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
    if seeds > MOST_SEEDS:
        raise _check.fail("seeds", f"at most {MOST_SEEDS} here", _check.short(seeds))
    if json_file is not None:  # complain now rather than after the work
        if json_file.is_dir():
            raise _check.fail("json", "a file", f"the folder {json_file}")
        check_writable("json", json_file.parent, given=json_file, make=False)
    rows = table(all_weights, seeds, jobs, backend, folder)
    if json_file is not None:
        with replacing(json_file) as part:
            part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return summary(rows), int(any("error" in row for row in rows))

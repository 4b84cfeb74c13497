"""What the commands of `glalib reproduce` do, once their options are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import _check
from ..files import check_writable, replacing
from .architectures import architectures, architectures_summary
from .below import below, below_summary
from .depth import depth, depth_summary
from .figure1 import figure1, figure1_summary
from .inside import inside, inside_summary
from .live import live, live_summary
from .one_run import Row
from .pretrained import pretrained, pretrained_summary
from .starts import starts, starts_summary
from .table import summary, table
from .text import text, text_summary

MOST_SEEDS = 10_000  # more is a slip: years of work

COMMANDS: dict[str, tuple[Callable[..., list[Row]], Callable[[list[Row]], str]]] = {
    "table": (table, summary),
    "figure1": (figure1, figure1_summary),
    "depth": (depth, depth_summary),
    "inside": (inside, inside_summary),
    "live": (live, live_summary),
    "below": (below, below_summary),
    "starts": (starts, starts_summary),
    "pretrained": (pretrained, pretrained_summary),
    "architectures": (architectures, architectures_summary),
    "text": (text, text_summary),
}


def reproduce(what: str, json_file: Path | None, seeds: int, **options: Any) -> tuple[str, int]:
    """Run a command, and write its rows to a file, if one is given; what to print, and 1 where a run failed.

    options: those of the function of that name, such as `table`.
    """
    _check.option("what", what, tuple(COMMANDS))
    if seeds > MOST_SEEDS:
        raise _check.fail("seeds", f"at most {MOST_SEEDS} here", _check.short(seeds))
    if json_file is not None:  # complain now rather than after the work
        if json_file.is_dir():
            raise _check.fail("json", "a file", f"the folder {json_file}")
        check_writable("json", json_file.parent, given=json_file, make=False)
    make, summary_of = COMMANDS[what]
    rows = make(seeds=seeds, **options)
    if json_file is not None:
        with replacing(json_file) as part:
            part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return summary_of(rows), int(any("error" in row for row in rows))

"""The authors' table, trained again; and what that takes: a sweep over many runs, and how each number was made.

The rooms:

    sweep       many runs at a time, each kept as it ends; half a run is a checkpoint of `fit`; bar shows how far
                they are
    code        a short name for the code that a result depends on
    provenance  code, versions and machine behind a number
    table       the authors' numbers, and recipes, cells and summary of their table
    command     what `glalib reproduce table` does
"""

from ..fingerprints import fingerprint
from .code import code_fingerprint
from .command import reproduce_table
from .provenance import load_average, processor, versions
from .sweep import sweep
from .table import AUTHORS, EVALUATION, RECIPES, start, summary, table, train_cell

__all__ = [
    "AUTHORS",
    "EVALUATION",
    "RECIPES",
    "code_fingerprint",
    "fingerprint",
    "load_average",
    "processor",
    "reproduce_table",
    "start",
    "summary",
    "sweep",
    "table",
    "train_cell",
    "versions",
]

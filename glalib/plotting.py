"""One style for all figures: legible in print, in light and in dark mode, and without colour.

Needs matplotlib: `pip install 'glalib[plot]'`.
"""

from __future__ import annotations

import base64
import csv
import io
import numbers
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler

from . import _check

# Okabe and Ito's palette, told apart by colour-blind readers. Each idea of the book has one colour, dash and width:
# a wide line lies under a narrow one, so that curves which coincide are both seen.
STYLES = {
    "linear attention": {"color": "#0072B2", "linestyle": (0, (5, 1.5)), "linewidth": 3.4},
    "weighted optimum": {"color": "#D55E00", "linestyle": "-", "linewidth": 1.8},
    "constant gate": {"color": "#009E73", "linestyle": (0, (1, 1.2)), "linewidth": 2.4},
    "predict zero": {"color": "#666666", "linestyle": (0, (1, 3)), "linewidth": 1.2},
}
TASKS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
TASK_MARKERS = ["o", "^", "s", "D", "v", "P"]
# Ink on paper: zero is the colour of the page, also where dark mode inverts a figure. No value at all is nothing.
SEQUENTIAL = mpl.colormaps["Blues"].with_extremes(bad=(1, 1, 1, 0))


def use_style() -> None:
    """Set matplotlib's defaults for the book, and vector figures where it runs in a notebook."""
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.4),
            "figure.constrained_layout.use": True,
            # On a phone, whose width a figure of 6.4 inches takes, its text is 9 pixels high.
            "font.size": 12,
            "axes.titlesize": "medium",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.alpha": 0.25,
            "legend.frameon": False,
            "axes.prop_cycle": cycler(color=TASKS),
            "svg.hashsalt": "glalib",  # the same figure is the same file
            "savefig.transparent": True,
        }
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    set_matplotlib_formats("svg", metadata={"Date": None})


def beside(*tables: dict[str, Any]) -> dict[str, list[Any]]:
    """The columns of tables of different lengths, as those of one table; the shorter ones end in empty entries.

    tables : each a dict, name to array, all of one size. So the curves and the marks of a figure are one file.

    Raises ValueError if columns of one table differ in length, or two columns have one name.
    """
    columns: dict[str, list[Any]] = {}
    for table in tables:
        for key, values in _columns(table).items():
            if key in columns:
                raise _check.fail("each name in tables", "that of one column", _check.short(key))
            columns[key] = list(values)
    most = max(map(len, columns.values()), default=0)
    return {key: values + [None] * (most - len(values)) for key, values in columns.items()}


class FigureData:
    """The numbers behind a figure, shown in a notebook as a link that downloads them as CSV.

    name : file name without ending. columns : name to array, all of one size: numbers, words, or some of each.
    Fractions have ten digits and integers all of theirs; None is an empty entry.
    settings : whatever made the numbers, the seed among it; written as comment lines at the head of the file.

    Raises ValueError if columns differ in length or have several axes, TypeError for what is neither number nor word.
    """

    def __init__(self, name: str, columns: dict[str, Any], **settings: object) -> None:
        _check.instance("name", name, str, "a string")
        if not name or set(name) & set('/\\\0\n"'):
            raise _check.fail("name", "a file name without ending", _check.short(name))
        columns = _columns(columns)
        head = "".join(f"# {_line(key)}: {_line(value)}\n" for key, value in settings.items())
        body = io.StringIO()
        table = csv.writer(body, lineterminator="\n")  # quotes what holds a comma, a quote or a line break
        table.writerow(map(_entry, columns))
        for row in zip(*columns.values(), strict=True):
            table.writerow(map(_entry, row))
        self.name, self.csv = name, head + body.getvalue()

    def __repr__(self) -> str:
        return f"FigureData({self.name}.csv, {self.csv.count(chr(10))} lines)"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.csv.encode()).decode()
        return (
            f'<a class="figure-data" download="{escape(self.name)}.csv" href="data:text/csv;base64,{data}">'
            f"The figure's data: {escape(self.name)}.csv</a>"
        )


def _line(value: object) -> str:
    """As text without line breaks."""
    return " ".join(str(value).split())


def _columns(columns: Any) -> dict[str, Any]:
    """Columns of one length."""
    _check.instance("columns", columns, dict, "a dict of columns")
    for key in columns:
        _check.instance("each name in columns", key, str, "a string")
    columns = {key: _column(key, values) for key, values in columns.items()}
    if len({values.size for values in columns.values()}) != 1:
        sizes = {key: values.size for key, values in columns.items()}
        raise ValueError(f"columns must be of one length; got {sizes}")
    return columns


def _column(key: str, values: Any) -> Any:
    """One column as it is; numpy would make words of numbers that stand beside words."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"columns[{key!r}] must be without a mask; got {_check.short(values)}")
    mixed = isinstance(values, (list, tuple)) and any(value is None or isinstance(value, str) for value in values)
    values = getattr(values, "detach", lambda: values)()  # numbers of torch, without their history
    try:
        column = np.asarray(values, dtype=object if mixed else None)
    except ValueError:  # rows of different lengths
        raise TypeError(f"columns[{key!r}] must be of numbers and words; got {_check.short(values)}") from None
    if column.ndim != 1:
        raise _check.misshaped(f"columns[{key!r}]", "one column, of one axis", column)
    for value in column:
        if not (value is None or isinstance(value, (str, numbers.Real, np.bool_))):
            raise TypeError(f"columns[{key!r}] must be of numbers and words; got {_check.short(value)}")
    return column


def _entry(value: Any) -> str | None:
    """As it stands in the file. A word that begins with # would be taken for a comment without its space."""
    if value is None or isinstance(value, str):
        return f" {value}" if (value or "").startswith("#") else value
    return f"{value:.10g}" if not isinstance(value, (numbers.Integral, np.bool_)) else str(int(value))

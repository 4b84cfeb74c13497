"""One style for all figures: legible in print, in light and in dark mode, and without colour.

Needs matplotlib: `pip install 'glalib[plot]'`.
"""

from __future__ import annotations

import base64
import csv
import io
import numbers
from collections.abc import Iterator
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib import collections, colors, container, contour, lines, patches

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


def series(panel: Any) -> Iterator[tuple[str, Any, list[Any]]]:
    """(what it is, its artist, [x, y, value]) of all that a panel of a figure shows. None: it has no such number.

    The value is that of bars, of steps or of an image, the level of contours, and half the length of error bars. Boxes,
    arrows and words are no series.
    """
    if panel.get_label() == "<colorbar>":
        return
    parts: set[Any] = set()  # artists that belong to others
    for group in panel.containers:
        if _is(group, container.BarContainer):
            flat = group.orientation == "horizontal"
            middles = [
                bar.get_y() + bar.get_height() / 2 if flat else bar.get_x() + bar.get_width() / 2 for bar in group
            ]
            sizes = [bar.get_width() if flat else bar.get_height() for bar in group]
            yield "bars", group.patches[0], [None, middles, sizes] if flat else [middles, None, sizes]
        elif _is(group, container.ErrorbarContainer):
            _, caps, bars = group.lines
            parts.update(caps, bars)
            for bar in bars:
                ends = np.array([segment for segment in bar.get_segments() if len(segment) == 2])
                if len(ends):
                    yield "error bars", bar, [*ends.mean(axis=1).T, np.ptp(ends, axis=1).max(axis=1) / 2]
    for line in panel.lines:
        if line not in parts and not _is(line, lines.AxLine):
            points = line.get_xdata(orig=False), line.get_ydata(orig=False)
            yield "line", line, [*_placed(line.get_transform(), panel, *points), None]
    for patch in panel.patches:
        if _is(patch, patches.StepPatch):
            yield "steps", patch, [patch.get_data().edges[:-1], None, patch.get_data().values]
        elif _is(patch, patches.Polygon):
            yield "area", patch, [*_placed(patch.get_transform(), panel, *patch.get_xy().T), None]
    for picture in panel.images:
        rows, columns = np.indices(picture.get_array().shape[:2])
        yield "image", picture, [columns, rows, picture.get_array()]
    for artist in panel.collections:
        if artist in parts:
            continue
        if _is(artist, contour.ContourSet):
            paths = artist.get_paths()
            levels = np.repeat(artist.levels[: len(paths)], [len(path) for path in paths])
            yield "contours", artist, [*np.concatenate([path.vertices for path in paths]).T, levels]
        elif _is(artist, collections.QuadMesh):
            rows, columns = np.indices(np.shape(artist.get_array()))
            yield "image", artist, [columns, rows, artist.get_array()]
        elif _is(artist, collections.PathCollection):
            centres = np.ma.asarray(artist.get_offsets()).T
            yield "marks", artist, [*_placed(artist.get_offset_transform(), panel, *centres), None]
        elif _is(artist, collections.LineCollection):
            ends = np.concatenate(artist.get_segments()).T
            yield "lines", artist, [*_placed(artist.get_transform(), panel, *ends), None]
        elif _is(artist, collections.PolyCollection):
            for path in artist.get_paths():
                yield "area", artist, [*_placed(artist.get_transform(), panel, *path.vertices.T), None]


def shown(figure: Any) -> dict[str, list[Any]]:
    """Columns for the panel, the series, x, y and the value of all that a figure shows (see `series`), point by point.

    A series is called by its label, or by what it is and its colour.
    """
    columns: dict[str, list[Any]] = {f"shown_{key}": [] for key in ("panel", "series", "x", "y", "value")}
    for number, panel in enumerate(figure.axes, 1):
        for count, (what, artist, points) in enumerate(series(panel), 1):
            label = str(artist.get_label())
            name = f"{what} {count}, {_colour(artist)}" if label.startswith("_") or not label else label
            given: list[Any] = [
                np.nan if part is None else np.ma.filled(np.ma.asarray(part, dtype=float), np.nan) for part in points
            ]
            for point in zip(*map(np.ravel, np.broadcast_arrays(*given)), strict=True):
                entries = [None if np.isnan(entry) else entry for entry in point]
                for key, entry in zip(columns, [number, name, *entries], strict=True):
                    columns[key].append(entry)
    return {key: values for key, values in columns.items() if any(value is not None for value in values)}


def _is(artist: Any, kind: Any) -> bool:
    """isinstance, after which an artist is still any artist to those who check types."""
    return isinstance(artist, kind)


def _placed(transform: Any, panel: Any, x: Any, y: Any) -> list[Any]:
    """Coordinates, without those that are places in a panel and no numbers of the figure."""
    in_data = transform.contains_branch_seperately(panel.transData)
    return [values if is_data else None for values, is_data in zip((x, y), in_data, strict=True)]


def _colour(artist: Any) -> str:
    """The colour of an artist, as #rrggbb."""
    for name in ("get_color", "get_facecolor", "get_edgecolor"):
        colour: Any = getattr(artist, name, lambda: None)()
        if np.ndim(colour) == 2:  # of a collection
            colour = tuple(colour[0]) if len(colour) else None
        if colour is not None and colors.is_color_like(colour):
            return str(colors.to_hex(colour))
    return "of many colours"


class FigureData:
    """The numbers behind a figure, shown in a notebook as a link that downloads them as CSV.

    name : file name without ending. columns : name to array, all of one size: numbers, words, or some of each.
    Fractions have ten digits and integers all of theirs; None is an empty entry.
    settings : whatever made the numbers, the seed among it; written as comment lines at the head of the file.
    figure : a figure of matplotlib's, if all that it shows is to stand beside the columns, as `shown` tells it.

    Raises ValueError if columns differ in length or have several axes, TypeError for what is neither number nor word.
    """

    def __init__(self, name: str, columns: dict[str, Any], *, figure: Any = None, **settings: object) -> None:
        _check.instance("name", name, str, "a string")
        if not name or set(name) & set('/\\\0\n"'):
            raise _check.fail("name", "a file name without ending", _check.short(name))
        columns = _columns(columns if figure is None else beside(columns, shown(figure)))
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
    found: dict[str, Any] = {key: _column(key, values) for key, values in columns.items()}
    if len({values.size for values in found.values()}) != 1:
        sizes = {key: values.size for key, values in found.items()}
        raise ValueError(f"columns must be of one length; got {sizes}")
    return found


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

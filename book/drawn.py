"""The CSV file of a figure holds every series that the figure shows.

The kernels of tests and book load this (`freshness.use_own_kernel`). They keep the figures that a cell has drawn, and
the next `FigureData` is held to them: the coordinates of a line or of marks stand in two of its columns, row by row;
heights of bars and of steps, values of an image and lengths of error bars stand in one; both edges of an area do. What
has one value alone, such as a line across a panel, may be a setting. Boxes, arrows and words are no series.
"""

import ast
import builtins
import csv
import re
import sys

import numpy as np

NAME = "__held__"  # under which a cell finds what holds a table to its figure
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
PLAIN = {"0", "1"}  # lines at these are marks of a scale


def key(value):
    """A number as it stands in the file, a word as it is."""
    try:
        return f"{float(value) + 0.0:.10g}"
    except (TypeError, ValueError):
        return str(value).strip()


class Table:
    """A CSV file of `FigureData`: its columns, and the numbers of its settings."""

    def __init__(self, text):
        lines = text.splitlines(keepends=True)
        head = [line for line in lines if line.startswith("#")]
        rows = [[key(entry) for entry in row] for row in csv.reader(lines[len(head) :])]
        self.columns = [set(column) for column in zip(*rows[1:], strict=True)]
        self.rows = rows[1:]
        self.single = PLAIN.union(*self.columns, map(key, NUMBER.findall("".join(head))))

    def holds(self, what, *coordinates):
        """Whether the points with these coordinates stand in its rows."""
        wanted = [list(map(key, values)) for values in coordinates]
        various = [values for values in wanted if len(set(values)) > 1]
        if not all(set(values) <= self.single for values in wanted if len(set(values)) == 1):
            return False
        if not various:
            return True
        if what in ("an area", "lines"):  # their ends are of different columns
            return all(self.single.issuperset(values) for values in various)
        found = [[i for i, column in enumerate(self.columns) if column.issuperset(values)] for values in various]
        if len(various) == 1:
            return bool(found[0])
        points = set(zip(*various, strict=True))
        return any(points <= {(row[i], row[j]) for row in self.rows} for i in found[0] for j in found[1])


def seen(*coordinates):
    """Without points that are not shown, as a coordinate is no number."""
    values = [np.ma.filled(np.ma.asarray(given, dtype=float).ravel(), np.nan) for given in coordinates]
    shown = np.all(np.isfinite(values), axis=0)
    return [column[shown] for column in values]


def placed(artist, transform, x, y):
    """Of two coordinates those that are numbers of the figure, and not places in a panel."""
    in_data = transform.contains_branch_seperately(artist.axes.transData)
    return [values for values, is_data in zip(seen(x, y), in_data, strict=True) if is_data]


def series(panel):
    """(what it is, its coordinates) of all that a panel shows."""
    from matplotlib import collections, container, image, lines, patches
    from matplotlib.contour import ContourSet

    own = set()  # artists that are part of others
    for group in panel.containers:
        if isinstance(group, container.BarContainer):
            flat = group.orientation == "horizontal"
            yield "bars", seen([bar.get_width() if flat else bar.get_height() for bar in group.patches])
        if isinstance(group, container.ErrorbarContainer):
            _, caps, bars = group.lines
            own.update(caps, bars)
            for bar in bars:
                ends = np.array([segment for segment in bar.get_segments() if len(segment) == 2])
                if len(ends):
                    yield "error bars", [np.ptp(ends, axis=1).max(axis=1) / 2]
    for line in panel.lines:
        if line not in own and not isinstance(line, lines.AxLine):
            yield "a line", placed(line, line.get_transform(), line.get_xdata(orig=False), line.get_ydata(orig=False))
    for patch in panel.patches:
        if isinstance(patch, patches.StepPatch):
            yield "steps", seen(patch.get_data().values)
        elif isinstance(patch, patches.Polygon):
            yield "an area", placed(patch, patch.get_transform(), *patch.get_xy().T)
    for picture in panel.images:
        if isinstance(picture, image.AxesImage):
            yield "an image", seen(picture.get_array())
    for artist in panel.collections:
        if artist in own:
            continue
        if isinstance(artist, ContourSet):
            yield "contours", [np.array([artist.zmin, artist.zmax])]
        elif isinstance(artist, collections.PathCollection):
            yield "marks", placed(artist, artist.get_offset_transform(), *np.ma.asarray(artist.get_offsets()).T)
        elif isinstance(artist, collections.QuadMesh):
            yield "an image", seen(artist.get_array())
        elif isinstance(artist, collections.LineCollection):
            ends = np.concatenate(artist.get_segments())
            yield "lines", placed(artist, artist.get_transform(), *ends.T)
        elif isinstance(artist, collections.PolyCollection):
            for path in artist.get_paths():
                yield "an area", placed(artist, artist.get_transform(), *path.vertices.T)


def lacking(figures, table):
    """What figures show and a table does not hold."""
    for figure in figures:
        for number, panel in enumerate(figure.axes, 1):
            if panel.get_label() == "<colorbar>":
                continue
            for what, coordinates in series(panel):
                if not table.holds(what, *coordinates):
                    values = "; ".join(
                        ", ".join(map(key, part[:4])) + ", ..." * (len(part) > 4) for part in coordinates
                    )
                    yield f"{what} of panel {number} at {values}"


class Shown:
    """The figures that the last cell with any has drawn, until a table is held to them."""

    def __init__(self):
        self.figures = []

    def keep(self):
        """After a cell, before its figures are shown and closed."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot and pyplot.get_fignums():
            self.figures = [pyplot.figure(number) for number in pyplot.get_fignums()]

    def held(self, data):
        """The table, if it holds what the figures show."""
        found, self.figures = list(lacking(self.figures, Table(data.csv))), []
        if found:
            raise AssertionError(f"{data.name}.csv does not hold " + "; nor ".join(found))
        return data


class Hold(ast.NodeTransformer):
    """A cell that ends with `FigureData(...)`, which it shows, ends with that table held to the figure."""

    def visit_Module(self, tree):
        last = tree.body[-1].value if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        if isinstance(last, ast.Call) and getattr(last.func, "attr", getattr(last.func, "id", "")) == "FigureData":
            held = ast.Attribute(ast.Name(NAME, ast.Load()), "held", ast.Load())
            tree.body[-1].value = ast.copy_location(ast.Call(held, [last], []), last)
        return ast.fix_missing_locations(tree)


def in_kernel():
    """Hold every table that this IPython shows from now on."""
    from IPython import get_ipython

    shown = Shown()
    setattr(builtins, NAME, shown)
    get_ipython().ast_transformers.append(Hold())
    # Figures are shown and closed on the same event, by what registers later.
    get_ipython().events.register("post_execute", shown.keep)

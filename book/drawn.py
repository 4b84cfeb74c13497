"""The CSV file of a figure holds every series that the figure shows.

The kernels of tests and book load this (`freshness.use_own_kernel`). They keep the figures that a cell has drawn, and
the next `FigureData` is held to them: the coordinates of a line or of marks stand in two of its columns, row by row;
heights of bars and of steps, values of an image or below contours and lengths of error bars stand in one. What
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
APART = {"area", "lines"}
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

    def holds(self, what, coordinates, limits=()):
        """Whether the points with these coordinates stand in its rows. limits: of the panel, where ends may be, too."""
        wanted = [list(map(key, values)) for values in coordinates]
        various = [values for values in wanted if len(set(values)) > 1]
        ends = self.single.union(map(key, limits))
        if not all(ends.issuperset(values) for values in wanted if values not in various):
            return False
        # A line straight across or up has its ends, and an area its edges, in different columns.
        if len(various) < len(wanted) or what in APART:
            return all(ends.issuperset(values) for values in various)
        found = [[i for i, column in enumerate(self.columns) if column.issuperset(values)] for values in various]
        if len(various) == 1:
            return bool(found[0])
        points = set(zip(*various, strict=True))
        return any(points <= {(row[i], row[j]) for row in self.rows} for i in found[0] for j in found[1])


def seen(coordinates):
    """Coordinates without the points that are not shown, as one of theirs is no number."""
    values = [np.ma.filled(np.ma.asarray(given, dtype=float).ravel(), np.nan) for given in coordinates]
    return [column[np.all(np.isfinite(values), axis=0)] for column in values]


def lacking(figures, table):
    """What figures show and a table does not hold."""
    from glalib.plotting import series

    for figure in figures:
        for number, panel in enumerate(figure.axes, 1):
            limits = *panel.get_xlim(), *panel.get_ylim()
            for what, artist, (x, y, value) in series(panel):
                told = seen([part for part in ((x, y) if value is None else (value,)) if part is not None])
                # Contours are known by what they were made of, or by where they run.
                made = what == "contours" and table.holds(what, [[artist.zmin, artist.zmax]], limits)
                if what == "contours":
                    told = seen([x, y])
                if not made and not table.holds(what, told, limits):
                    yield f"{what} of panel {number} at " + "; ".join(", ".join(map(key, part[:4])) for part in told)


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
            more = f"; {len(found) - 3} more" if len(found) > 3 else ""
            raise AssertionError(f"{data.name}.csv does not hold the " + "; the ".join(found[:3]) + more)
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

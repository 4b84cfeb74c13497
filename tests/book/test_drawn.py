"""The CSV file of a figure holds every series that the figure shows; one that it lacks fails the cell."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from book import build
from book.drawn import Table, lacking
from glalib.plotting import FigureData

ROOT = Path(__file__).resolve().parents[2]
X = np.array([1.0, 2.0, 3.5])
COLUMNS = {"x": X, "y": X**2, "z": 1 / X, "e": X / 30, "word": ["a", "b", "c"]}
GRID = np.array([[0.1, np.nan], [0.3, 0.7]])

# What a panel shows, and what it would show that no table has.
HELD = {
    "a line": lambda ax, wrong: ax.plot(X, X**2 + wrong),
    "a line, its rows in another order": lambda ax, wrong: ax.semilogx(
        X[::-1], (X**2)[[2, 1, 0] if not wrong else [0, 1, 2]]
    ),
    "one mark": lambda ax, wrong: ax.plot(2.0, 0.5 + wrong, "o"),
    "marks": lambda ax, wrong: ax.scatter(X, 1 / X + wrong),
    "bars": lambda ax, wrong: ax.bar(["a", "b", "c"], X + wrong),
    "bars that lie": lambda ax, wrong: ax.barh(range(3), X + wrong),
    "error bars": lambda ax, wrong: ax.errorbar(X, X**2, X / 30 + wrong, capsize=3),
    "steps": lambda ax, wrong: ax.stairs(X + wrong, range(4)),
    "a line across": lambda ax, wrong: ax.axhline(0.25 + wrong),
    "a line up": lambda ax, wrong: ax.axvline(0.25 + wrong),
    "lines": lambda ax, wrong: ax.hlines(X + wrong, 0, 1),
    "an area": lambda ax, wrong: ax.fill_between(X, X**2, 1 / X + wrong),
    "a shape": lambda ax, wrong: ax.fill(X, X**2 + wrong),
    "an image": lambda ax, wrong: ax.imshow(GRID + wrong),
    "a mesh": lambda ax, wrong: ax.pcolormesh(GRID + wrong),
    "contours": lambda ax, wrong: ax.contourf(GRID.clip(0) + wrong, levels=[0.2, 0.5]),
    "what is no series": lambda ax, wrong: (ax.axhline(0), ax.axline((0, 0), slope=1), ax.text(0.3, 0.4, "x")),
}


def lacks(draw, wrong):
    panel = Figure().subplots(2, squeeze=False)[1, 0]
    draw(panel, wrong)
    data = FigureData("f", COLUMNS | {"v": [0.1, 0.3, 0.7]}, risk=0.25)
    return list(lacking([panel.figure], Table(data.csv)))


@pytest.mark.parametrize("kind", HELD)
def test_what_the_table_holds(kind):
    assert lacks(HELD[kind], 0) == []


@pytest.mark.parametrize("kind", [kind for kind in HELD if kind != "what is no series"])
def test_what_it_does_not_hold_is_seen(kind):
    (found,) = lacks(HELD[kind], 0.01)
    assert " of panel 2 at " in found


def test_a_missing_value_is_none_to_hold():
    assert lacks(lambda ax, wrong: ax.plot([1.0, np.nan, 3.5], [1.0, 5.0, 12.25]), 0) == []


FIGURE = """
```{{code-cell}}
import matplotlib.pyplot as plt
_ = plt.plot([1, 2], [3, 4.5])
```

```{{code-cell}}
from glalib.plotting import FigureData
FigureData("steps", {{"x": [1, 2], "y": [3, {y}]}}, seed=3)
```
"""


def test_a_series_that_is_not_in_the_file_fails_the_build(book, strictly, page):
    """Of two pages it is the one that is told."""
    for name in ("plotting.py", "_check.py"):
        shutil.copy(ROOT / "glalib" / name, book / "glalib")
    (book / "chapters" / "01_page.md").write_text(page + FIGURE.format(y=4.5))
    (book / "chapters" / "02_less.md").write_text(page + FIGURE.format(y=4))
    (book / "_toc.yml").write_text("format: jb-book\nroot: chapters/01_page\nchapters:\n- file: chapters/02_less\n")
    done = strictly(book)
    told = build.COLOURS.sub("", done.stdout).rstrip().split("\nThe book was not built whole.\n")[1]
    assert done.returncode != 0 and "chapters/02_less.md, cell at line" in told and "01_page" not in told
    assert "steps.csv does not hold the line of panel 1 at 1, 2; 3, 4.5" in told

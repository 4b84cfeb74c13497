"""The data of figures as files."""

import csv
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from glalib.plotting import FigureData, beside


def test_figure_data_is_csv():
    """Commas, quotes and line breaks in names and values come back as they were."""
    data = FigureData("a", {"x, y": [1.5, np.nan], 'say "a"': ["one, two", "three\nfour"]}, note="two\nlines", seed=3)
    head, body = data.csv.split("\n", 1)[0], data.csv.split("\n", 2)[2]
    assert head == "# note: two lines"
    assert list(csv.reader(io.StringIO(body))) == [
        ["x, y", 'say "a"'], ["1.5", "one, two"], ["nan", "three\nfour"],
    ]  # fmt: skip


def test_figure_data_keeps_numbers_and_words_apart():
    """Integers of any length, fractions beside words, nothing at all, yes and no."""
    data = FigureData(
        "mixed",
        {
            "seed": [12345678901, 2, -1],
            "value": [0.1 + 0.2, "unknown", None],
            "yes": [True, False, True],
            "32": np.array([0.5, 1e-30, np.inf], dtype=np.float32),
            "word": np.array(["a", "#b", ""]),
        },
    )
    assert list(csv.reader(io.StringIO(data.csv)))[1:] == [
        ["12345678901", "0.3", "1", "0.5", "a"],
        ["2", "unknown", "0", "1.000000003e-30", " #b"],
        ["-1", "", "1", "inf", ""],
    ]


def test_figure_data_has_no_line_that_a_name_could_hide():
    data = FigureData("a", {"#x": [1], "y": [2]}, **{"two\nlines": 3})
    assert data.csv == "# two lines: 3\n #x,y\n1,2\n"


def test_tables_of_different_lengths_are_one():
    columns = beside({"x": np.arange(3), "y": [0.5, 1.5, 2.5]}, {"mark": (7,), "word": ["a"]})
    assert list(csv.reader(io.StringIO(FigureData("a", columns).csv))) == [
        ["x", "y", "mark", "word"], ["0", "0.5", "7", "a"], ["1", "1.5", "", ""], ["2", "2.5", "", ""],
    ]  # fmt: skip


def test_what_a_figure_shows_stands_beside_its_columns():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.plot([1, 2, 3], [0.5, np.nan, 2.5], color="#0072B2", label="a curve")
    left.axhline(0.25, color="k")
    right.bar([1, 2], [5, 7], color="#1f77b4")  # the style of other tests may be in force
    right.errorbar([4], [6], yerr=[0.5], color="#d55e00", fmt="o")
    data = FigureData("a", {"n": [9]}, figure=figure, seed=3)
    assert list(csv.reader(io.StringIO(data.csv.partition("\n")[2]))) == [
        ["n", "shown_panel", "shown_series", "shown_x", "shown_y", "shown_value"],
        ["9", "1", "a curve", "1", "0.5", ""],
        ["", "1", "a curve", "2", "", ""],
        ["", "1", "a curve", "3", "2.5", ""],
        ["", "1", "line 2, #000000", "", "0.25", ""],
        ["", "1", "line 2, #000000", "", "0.25", ""],
        ["", "2", "bars 1, #1f77b4", "1", "", "5"],
        ["", "2", "bars 1, #1f77b4", "2", "", "7"],
        ["", "2", "error bars 2, #d55e00", "4", "6", "0.5"],
        ["", "2", "line 3, #d55e00", "4", "6", ""],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tables", "error", "words"),
    [
        (({"x": [1]}, {"x": [2, 3]}), ValueError, "each name in tables must be that of one column; got 'x'"),
        (({"x": [1], "y": [1, 2]},), ValueError, "columns must be of one length; got {'x': 1, 'y': 2}"),
        (([1, 2],), TypeError, "columns must be a dict of columns; got list"),
    ],
)
def test_tables_that_do_not_go_together(tables, error, words):
    with pytest.raises(error, match=re.escape(words)):
        beside(*tables)


@pytest.mark.parametrize(
    ("name", "columns", "error", "words"),
    [
        ("a", {}, ValueError, "columns must be of one length; got {}"),
        ("a", {"x": [1], "y": [1, 2]}, ValueError, "columns must be of one length; got {'x': 1, 'y': 2}"),
        ("a", [1, 2], TypeError, "columns must be a dict of columns; got list"),
        ("a", {"x": [1j]}, TypeError, "columns['x'] must be of numbers and words; got"),
        ("a", {"x": [{}]}, TypeError, "columns['x'] must be of numbers and words; got {}"),
        ("a", {"x": [[1], [1, 2]]}, TypeError, "columns['x'] must be of numbers and words; got [[1], [1, 2]]"),
        ("a", {"x": [[1, 2], [3, 4]]}, ValueError, "columns['x'] must be one column, of one axis; got shape (2, 2)"),
        ("a", {"x": 3.0}, ValueError, "columns['x'] must be one column, of one axis; got shape ()"),
        ("a", {3: [1]}, TypeError, "each name in columns must be a string; got int"),
        ("a", {"x": np.ma.masked_invalid([1.0, np.nan])}, TypeError, "columns['x'] must be without a mask; got"),
        ("", {"x": [1]}, ValueError, "name must be a file name without ending; got ''"),
        ("a/b", {"x": [1]}, ValueError, "name must be a file name without ending; got 'a/b'"),
        (3, {"x": [1]}, TypeError, "name must be a string; got int"),
    ],
)
def test_figure_data_names_bad_input(name, columns, error, words):
    with pytest.raises(error, match=re.escape(words)):
        FigureData(name, columns)

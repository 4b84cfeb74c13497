"""What a user of the installed package meets first: imports, the version, the command line."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

import glalib
from glalib.cli import main


def run(code, cwd):
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_the_closed_forms_import_no_torch(tmp_path):
    code = """
import sys
from glalib import PromptDistribution, optimal_wpgd, population_risk, stationary_points, uniqueness, wpgd
import numpy as np
dist = PromptDistribution(3, (4, 5), (0.2, 0.8))
for weights in ("free", "uniform", "monotone", "constant-gate"):
    point = optimal_wpgd(dist, weights)
    population_risk(dist, point.P, point.omega)
stationary_points(dist), uniqueness(dist), wpgd(np.ones((2, 3)), np.ones(2), np.ones((1, 3)), np.eye(3), np.ones(2))
from glalib.cli import main
main(["risk", "--d", "3", "--counts", "2,2", "--r", "0.2,0.8"])
print("torch" in sys.modules)
"""
    assert run(code, tmp_path).splitlines()[-1] == "False"


def test_every_public_name_is_there(tmp_path):
    assert set(glalib.__all__) <= set(dir(glalib))
    for name in glalib.__all__:
        assert getattr(glalib, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = glalib.nothing


def test_version_and_type_marker():
    assert glalib.__version__ == importlib.metadata.version("glalib")
    assert (Path(glalib.__file__).parent / "py.typed").exists()


COMMAND = ["risk", "--d", "100", "--counts", "50,50", "--r", "0.2,0.8"]


def test_command_line_in_an_empty_folder(tmp_path):
    command = Path(sys.executable).with_name("glalib")
    out = subprocess.run([command, *COMMAND, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    report = json.loads(out.stdout)
    assert list(report) == ["linear", "optimum", "gamma", "omega", "unique"]
    assert round(report["linear"] / 100, 4) == 0.8344 and round(report["optimum"] / 100, 4) == 0.7748
    assert report["gamma"] == pytest.approx(51) and report["omega"] == pytest.approx([0.25, 1])
    assert report["unique"] is True and not list(tmp_path.iterdir())


def test_command_line_for_people(capsys):
    assert main([*COMMAND, "--sigma", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "linear attention" in out and "optimum" in out and "yes, up to scale" in out


def test_command_line_options(capsys):
    assert main(["risk", "--d", "5", "--counts", "3,3", "--r", "-0.2,0.5", "--R", "1,-0.5;-0.5,1", "--json"]) == 0
    dist = glalib.PromptDistribution(5, (3, 3), (-0.2, 0.5), R=[[1, -0.5], [-0.5, 1]])
    assert json.loads(capsys.readouterr().out)["optimum"] == glalib.optimal_wpgd(dist).risk
    assert main(["risk", "--d", "5", "--counts", "3", "--r", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unique"] is False


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--d", "100", "--counts", "50,50", "--r", "0.9,0.8"], "R and r must be such that"),
        (["--d", "0", "--counts", "50,50", "--r", "0.2,0.8"], "d must be a positive integer; got 0"),
        (["--d", "3", "--counts", "5,5", "--r", "nan,0.8"], "r must be finite"),
        (["--d", "3", "--counts", "5,5", "--r", "0.2"], r"r must be of shape (2,)"),
        (["--d", "3", "--counts", "5,5", "--r", "0.2,0.8", "--R", "1,0;0"], "R must be an array"),
        (["--d", "3", "--counts", "5,x", "--r", "0.2"], "expected integers with commas between them"),
        (["--d", "3", "--counts", "5_0,5", "--r", "0,1"], "expected integers with commas between them; got '5_0,5'"),
        (["--d", "3_0", "--counts", "5", "--r", "1"], "--d: expected an integer; got '3_0'"),
        (["--d", "3", "--counts", "5", "--r", "1", "--sigma", "x"], "--sigma: expected a number; got 'x'"),
        (["--d", "3", "--counts", "5", "--r", "1", "--sigma", "-1e-5"], "sigma must be a finite number >= 0; got"),
        (["--d", "3", "--counts", "-5,5", "--r", "0,1"], "counts[0] must be a positive integer; got -5"),
        (["--d", "3", "--counts", "5,5", "--r", "-inf,1"], "r must be finite"),
        (["--d", "-3", "--counts", "5,5", "--r", "0,1"], "d must be a positive integer; got -3"),
        (["--d", "100000", "--counts", "5", "--r", "1"], "d must be at most 10000 here, as d x d matrices are formed"),
        (["--d", "3", "--counts", "5," + "1" * 30, "--r", "0,1"], "counts[1] must be a positive integer that fits in"),
    ],
)
def test_command_line_names_bad_input(arguments, complaint, capsys):
    try:
        status = main(["risk", *arguments])
    except SystemExit as stop:
        status = stop.code
    assert status == 2 and complaint in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError("no room"), OverflowError("no room")])
def test_command_line_says_what_is_too_large(error, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("glalib.cli.PromptDistribution", fail)
    assert main(["risk", *COMMAND[1:]]) == 2
    assert "glalib risk: these sizes or numbers are too large here: no room" in capsys.readouterr().err

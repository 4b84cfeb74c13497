"""What a user of the installed package meets first: imports, the version, the command line."""

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from runs import status_of

import glalib
from glalib import PromptDistribution, uniqueness
from glalib.cli import main


def run(code, cwd):
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_the_closed_forms_import_no_torch(tmp_path):
    code = """
import sys
from glalib import PromptDistribution, optimal_wpgd, population_risk, stationary_points, uniqueness, wpgd_step
import numpy as np
dist = PromptDistribution(3, (4, 5), (0.2, 0.8))
for weights in ("free", "uniform", "monotone", "constant-gate"):
    point = optimal_wpgd(dist, weights)
    population_risk(dist, point.P, point.omega)
stationary_points(dist), uniqueness(dist)
wpgd_step(np.ones((2, 3)), np.ones(2), np.ones((1, 3)), np.eye(3), np.ones(2))
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


def test_star_imports_work_without_torch(tmp_path):
    """The names that need torch are then left out."""
    code = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else find(name, *rest)
sys.modules["torch"] = None
from glalib import *
print(optimal_wpgd(PromptDistribution(3, (4, 5), (0.2, 0.8))).gamma > 1, "GLA" in globals())
import glalib
try:
    glalib.GLA
except ImportError as error:
    print(error)
"""
    seen, complaint = run(code, tmp_path).splitlines()
    assert seen == "True False"
    assert complaint == "glalib.GLA needs torch, which is not installed here: pip install 'glalib[torch]'"


WITHOUT = """
import importlib.util, sys
for name in ("torch", "tqdm", "joblib"):
    sys.modules[name] = None
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import glalib; glalib.PromptDistribution(3, (4,), (1,)).sample(2)", "sample needs torch, which is not"),
        ("from glalib.training import fit", "glalib.training needs torch"),
        ("import glalib.reproduce", "glalib.training needs torch"),
        (
            "from glalib.cli import main; sys.exit(main(['reproduce', 'table']))",
            "glalib reproduce: training needs torch",
        ),
    ],
)
def test_what_needs_torch_says_so(code, said, tmp_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT + code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and said in done.stderr and done.stderr.rstrip().endswith("pip install 'glalib[torch]'")


def test_numpy_users_need_no_torch(tmp_path):
    """Closed forms, weights and gates, one step, figures' data, and the command."""
    code = """
import numpy as np, glalib
from glalib.cli import main
from glalib.gates import weights_to_gates, gates_to_weights
from glalib.plotting import FigureData
from glalib.layout import DELIMITED
dist = glalib.PromptDistribution(3, (4, 5), (0.2, 0.8), sigma=0.5)
for weights in ("free", "uniform", "monotone", "constant-gate"):
    best = glalib.optimal_wpgd(dist, weights)
    assert abs(glalib.population_risk(dist, best.P, best.omega) / best.risk - 1) < 1e-9
    best.to_dict(), best._repr_html_()
gates = weights_to_gates(DELIMITED.weights(dist, (0.25, 1.0)))
assert np.allclose(gates_to_weights(gates)[:4], 0.25)
x, y = np.ones((2, 9, 3)), np.ones((2, 9))
assert glalib.wpgd_step(x, y, x[:, :1], np.eye(3), np.ones(9)).shape == (2, 1)
assert glalib.uniqueness(dist).holds_sharp and glalib.stationary_points(dist)
FigureData("a", {"x": [1.0]})
assert main(["risk", "--d", "3", "--counts", "4,5", "--r", "0.2,0.8"]) == 0
assert sys.modules["torch"] is None
"""
    assert "optimum" in run(WITHOUT + code, tmp_path)


def test_a_checker_of_types_knows_what_loads_on_first_use():
    """From the same modules; without them it takes every option of these names for right."""
    tree = ast.parse(Path(glalib.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    typed = {name.name: line.module for line in block.body for name in line.names}
    assert typed == glalib._NEED_TORCH and set(typed) < set(glalib.__all__)


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
    assert status_of(["risk", *arguments]) == 2 and complaint in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError("no room"), OverflowError("no room")])
def test_command_line_says_what_is_too_large(error, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("glalib.cli.PromptDistribution", fail)
    assert main(["risk", *COMMAND[1:]]) == 2
    assert "glalib risk: these sizes or numbers are too large here: no room" in capsys.readouterr().err


@pytest.mark.parametrize(
    "sigma, shown",
    [("1e60", "1.00000e+120"), ("1e-15", "0.834437"), ("30", "997.621"), ("1000", "1.00010e+06")],
)
def test_command_line_numbers_of_any_size(sigma, shown, capsys):
    """Neither a hundred digits nor zeros for what is not zero."""
    assert main([*COMMAND, "--sigma", sigma]) == 0
    printed = capsys.readouterr().out
    assert shown in printed and max(map(len, printed.splitlines())) < 60


def test_a_small_risk_is_not_printed_as_zero(capsys):
    assert main(["risk", "--d", "1", "--counts", "1000000000000000", "--r", "1"]) == 0
    assert "2.00000e-15" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["risk", "--d", "3", "--count", "2,2", "--r", "0.2,0.8"], ["reproduce", "table", "--seed", "2"], ["--vers"],
     ["reproduce", "table", "--folder", ""], ["reproduce", "table", "--json", ""]],
)  # fmt: skip
def test_options_are_whole_and_paths_not_empty(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_nothing_can_be_written():
    command = [sys.executable, "-m", "glalib.cli", *COMMAND]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("glalib risk: standard output: ")
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as piped:
        piped.stdout.close()
        assert piped.stderr.read() == ""


def test_the_command_line_and_the_package_agree_where_nothing_is_relevant(capsys):
    """At r = 0 the minimiser is not unique, and both say so."""
    assert main(["risk", "--d", "3", "--counts", "2,2", "--r", "0,0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unique"] is False
    record = uniqueness(PromptDistribution(3, (2, 2), (0, 0)))
    assert not record.holds_paper and not record.holds_sharp

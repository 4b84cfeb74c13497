"""The command line where input is odd, output goes nowhere, or work is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import status_of

from glalib import PromptDistribution, optimal_wpgd, uniqueness
from glalib.cli import main
from glalib.reproduce import EVALUATION, RECIPES, summary
from glalib.reproduce.command import COMMANDS
from glalib.training import Recipe

RISK = ["risk", "--d", "3", "--counts", "5,5", "--r", "0.2,0.8"]


@pytest.mark.parametrize("sigma", ["1e60", "1e-160", "2e5", "0.001", "0"])
def test_numbers_of_every_size_have_digits(sigma, capsys):
    assert main([*RISK, "--sigma", sigma]) == 0
    out = capsys.readouterr().out
    dist = PromptDistribution(3, (5, 5), (0.2, 0.8), sigma=float(sigma))
    for line, weights in zip(out.splitlines()[1:3], ("uniform", "free"), strict=True):
        risk, over_d = map(float, line[18:].split())
        assert risk == pytest.approx(optimal_wpgd(dist, weights).risk, rel=1e-5)
        assert over_d == pytest.approx(risk / 3, rel=1e-5)


@pytest.mark.parametrize("r", ["0,0", "0.2,0.8", "0,1"])
def test_what_is_unique_is_what_uniqueness_says(r, capsys):
    certain = uniqueness(PromptDistribution(3, (5, 5), [float(x) for x in r.split(",")]))
    unique = certain.holds_paper or certain.holds_sharp
    assert main(["risk", "--d", "3", "--counts", "5,5", "--r", r, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unique"] is unique
    assert unique == (r != "0,0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: command"),
        (["price"], "invalid choice: 'price'"),
        (["risk", "--d", "3", "--count", "5,5", "--r", "0,1"], "the following arguments are required: --counts"),
        ([*RISK, "--sig", "1"], "unrecognized arguments: --sig"),
        ([*RISK, "--js"], "unrecognized arguments: --js"),
        ([*RISK, "--sigma", "nan"], "sigma must be a finite number >= 0; got nan"),
        ([*RISK, "--sigma", ""], "expected a number; got ''"),
        ([*RISK, "--sigma", "1e400"], "sigma must be a finite number >= 0; got inf"),
        ([*RISK, "--sigma", "1e200"], "sigma"),
        ([*RISK, "--R", ""], "expected numbers with commas between them; got ''"),
        ([*RISK, "--R", "1,2;3,4"], "R must be"),
        (["risk", "--d", "3", "--counts", "", "--r", "0,1"], "expected integers with commas between them; got ''"),
        (["risk", "--d", "3", "--counts", "5;5", "--r", "0,1"], "expected integers with commas"),
        (["risk", "--d", "3", "--counts", "5.0,5", "--r", "0,1"], "expected integers with commas"),
        (["risk", "--d", "3", "--counts", "5,0", "--r", "0,1"], "counts[1] must be a positive integer; got 0"),
        (["risk", "--d", "1" * 5000, "--counts", "5", "--r", "1"], "expected an integer"),
        (["risk", "--d", "3", "--counts", "5,5", "--r", "0.2,,0.8"], "expected numbers with commas"),
        (["risk", "--d", "3", "--counts", "5,5", "--r", "2,0"], "R and r must be such that"),
        (["reproduce"], "the following arguments are required: what"),
        (["reproduce", "figure"], "invalid choice: 'figure'"),
        (["reproduce", "table", "--seed", "3"], "unrecognized arguments: --seed"),
        (["reproduce", "table", "--fold", "x"], "unrecognized arguments: --fold"),
        (["reproduce", "table", "--folder", ""], "--folder: expected a path; got ''"),
        (["reproduce", "table", "--json", ""], "--json: expected a path; got ''"),
        (["reproduce", "table", "--folder", "/proc/runs"], "folder must be in a folder that can be written to"),
        (["reproduce", "table", "--seeds", "x"], "expected an integer; got 'x'"),
        (["reproduce", "table", "--seeds", "1000000000000"], "seeds must be at most 10000 here; got 1000000000000"),
        (["reproduce", "table", "--jobs", "1.5"], "expected an integer; got '1.5'"),
        (["reproduce", "table", "--jobs", "-1"], "jobs must be a positive integer; got -1"),
        (["reproduce", "table", "--backend", ""], "backend must be one of"),
        (["reproduce", "table", "--json", "/proc/no/t.json"], "json must be in a folder that can be written to; got"),
        ([*RISK, "--sigma", "0", "--sigma", "1"], "argument --sigma: given twice"),
        ([*RISK, "--r=0.2,0.7"], "argument --r: given twice"),
        (["reproduce", "table", "--json", "a", "--json", "b"], "argument --json: given twice"),
        (["reproduce", "table", "--seeds", "1", "--seeds", "3"], "argument --seeds: given twice"),
    ],
)
def test_bad_input_is_named(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status_of(words) == 2
    assert said in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.name != "glalib-runs"]


def apart(words, **options):
    # Ctrl-C means what it means in a terminal, also where the tests were started with it ignored.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from glalib.cli import main; sys.exit(main())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment, text=True, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["risk", "--help"]])
def test_help_that_cannot_be_written(words):
    with open("/dev/full", "w") as full:
        process = apart(words, stdout=full, stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=600)
    assert process.returncode == 1
    assert said.startswith("glalib: standard output: ") and said.count("\n") == 1


def test_an_interrupt_says_how_to_go_on_and_leaves_no_empty_file(tmp_path):
    file, folder = tmp_path / "table.json", tmp_path / "runs"
    words = ["reproduce", "table", "--jobs", "1", "--json", str(file), "--folder", str(folder)]
    process = apart(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 600  # this only ends what hangs
    while not list(folder.glob("*.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    end = "glalib reproduce: interrupted; the same command goes on where it stopped"
    assert said.rstrip().endswith(end) and "Traceback" not in said
    assert not file.exists()


def test_a_table_that_was_there_stays_until_the_new_one_is_whole(tmp_path, monkeypatch, capsys):
    file = tmp_path / "table.json"
    file.write_text("[]")

    def table(**_):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "table", (table, summary))
    assert main(["reproduce", "table", "--json", str(file), "--folder", str(tmp_path)]) == 130
    assert file.read_text() == "[]" and [path.name for path in tmp_path.iterdir()] == ["table.json"]


def test_a_cell_that_fails_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, "context-gate", Recipe(steps=1, batch=1, token_free=True))
    monkeypatch.setitem(EVALUATION, "draws", 1)
    assert main(["reproduce", "table", "--jobs", "1", "--folder", str(tmp_path)]) == 2
    assert "in cells[0] of the sweep, {'model': 'gla', 'd': 100" in capsys.readouterr().err

"""From which starts training gets there: the stored runs, the commands that make them, and what a start can know."""

import json
from importlib import import_module

import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution, optimal_wpgd, simulate_risk
from glalib.cli import main
from glalib.layout import DELIMITED
from glalib.reproduce import starts_summary, train_plateau, train_starts
from glalib.reproduce.contents import contents
from glalib.reproduce.plateau import WINDOW, begin_from, half_way, plateau_distribution
from glalib.reproduce.starts import DIST, MARGIN, begin_at, is_there, judge, linear_gap, outcome

starts_room, plateau_room = (import_module(f"glalib.reproduce.{name}") for name in ("starts", "plateau"))


@pytest.fixture
def small(monkeypatch):
    """Two cells and two plateaus, a few steps each."""
    monkeypatch.setattr(starts_room, "RECIPE", starts_room.RECIPE.replace(steps=3, batch=4))
    monkeypatch.setattr(starts_room, "EVALUATION", {"draws": 50})
    for name, value in {"STARTS": ("random",), "RATES": (0.5, 1.0), "PARAMETERS": ("merged",)}.items():
        monkeypatch.setattr(starts_room, name, value)
    monkeypatch.setattr(starts_room, "GATE_BIASES", (0.0, 6.0))
    monkeypatch.setattr(starts_room, "DIMENSIONS", (3,))
    for room in (starts_room, plateau_room):
        monkeypatch.setattr(room, "PLATEAU", plateau_room.PLATEAU.replace(steps=2 * WINDOW, batch=4))


@pytest.mark.parametrize("beginning", ["random", "closed", "orthogonal"])
def test_both_parameterisations_start_as_one_function(beginning):
    """The same predictions, to rounding; gates at the sigmoid of their bias; of W_k = I nothing is trained."""
    apart, merged = (begin_at(parameters, beginning, -2.0, 3) for parameters in ("apart", "merged"))
    prompts = DIST.sample(50, torch.Generator().manual_seed(0), dtype=torch.float32)
    Z = DELIMITED(prompts)
    assert (apart(Z) - merged(Z)).abs().max() < 1e-4 * apart(Z).abs().max()
    assert torch.allclose(apart.gates(Z), torch.sigmoid(torch.tensor(-2.0)))
    assert not merged.layers[0].W_k.requires_grad and merged.layers[0].W_q.requires_grad
    assert torch.equal(merged.layers[0].W_k, torch.eye(merged.width))


def test_closed_starts_hold_no_features_in_values_and_no_label_in_keys():
    dist = plateau_distribution(4)
    closed, as_drawn = (begin_from(dist, "linear", name, 2) for name in ("closed", "random"))
    kept = contents(closed)
    assert not np.any(kept["value"][:4]) and not np.any(np.array(kept["scores"])[:, 4])
    assert np.allclose(np.array(kept["scores"])[:, :4], np.array(contents(as_drawn)["scores"])[:, :4])
    assert kept["value"][4] == contents(as_drawn)["value"][4]


def test_the_line_itself_has_no_excess_and_linear_attention_the_gap():
    """What the judge sees of exact layers, to six digits and rounding to float32; and its parts."""
    line = optimal_wpgd(DIST, "monotone")
    see = judge(line, 2000)

    def layer(best):
        return GLA.from_wpgd(best, DIST, tokens=DELIMITED).with_computed_gates(DIST).float()

    seen = see(layer(line))
    assert abs(seen["excess"]) < 1e-5 and is_there(seen)
    assert np.allclose([seen["weights"], seen["step"]], 0, atol=1e-5)
    assert np.allclose(seen["eigenvalues"], 1, atol=1e-4) and seen["label"] > 1 - 1e-6
    assert seen["ratio"] == pytest.approx(0.25, rel=1e-3)
    other = see(layer(optimal_wpgd(DIST, "uniform")))
    assert abs(other["excess"] - linear_gap()) < 4 * other["stderr"] and not is_there(other)
    assert other["weights"] == pytest.approx(linear_gap(), rel=1e-3) and abs(other["step"]) < 1e-5


def test_the_excess_is_that_of_prompts():
    """Of a random layer the exact draws and drawn tokens agree to four standard errors; its parts never exceed it."""
    line, net = optimal_wpgd(DIST, "monotone"), begin_at("apart", "random", 2.0, 1)
    seen = judge(line, 4000)(net)
    drawn = simulate_risk(net, DIST, 4000, queries=8, generator=torch.Generator().manual_seed(0), tokens=DELIMITED)
    error = np.hypot(seen["stderr"], drawn.stderr / DIST.d)
    assert abs(seen["excess"] - (drawn.risk - line.risk) / DIST.d) < 4 * error
    assert 0 <= seen["weights"] and 0 <= seen["step"]
    assert seen["weights"] + seen["step"] < seen["excess"] + 4 * seen["stderr"]


def test_outcomes():
    """There at once, later, or never; and half of the way, in steps."""
    near, far = {"excess": 0.9 * MARGIN * linear_gap()}, {"excess": 1.1 * MARGIN * linear_gap()}
    found = [outcome({"seen": seen}) for seen in ([near], [far, near], [far, far, near], [far, far, far])]
    assert found == ["there", "slow", "slow", "stuck"]
    assert half_way([1.1, 0.9, 0.79, 0.7], 0.6) == 3 * WINDOW and half_way([1.0, 0.9], 0.6) is None


@pytest.mark.parametrize(
    ("function", "change", "said"),
    [
        (train_starts, {"parameters": "joined"}, "parameters must be one of 'apart', 'merged'; got 'joined'"),
        (train_starts, {"beginning": "warm"}, "beginning must be one of 'random', 'closed', 'orthogonal'; got 'warm'"),
        (train_starts, {"rate": -1.0}, "rate must be a number from 0 to 1e6; got -1.0"),
        (train_starts, {"seeds": 0}, "seeds must be a positive integer; got 0"),
        (train_starts, {"recipe": {"step": 3}}, "recipe must be with keys among steps"),
        (train_starts, {"evaluation": {"queries": 3}}, "evaluation must be with keys among draws"),
        (train_plateau, {"d": 0}, "d must be a positive integer; got 0"),
        (train_plateau, {"rate": float("nan")}, "rate must be a number from 0 to 1e6; got nan"),
        (train_plateau, {"seeds": 0}, "seeds must be a positive integer; got 0"),
        (train_plateau, {"recipe": {"step": 3}}, "recipe must be with keys among steps"),
    ],
)
def test_bad_input(function, change, said):
    good = {"rate": 1.0, "seeds": 1} | (
        {"d": 3} if function is train_plateau else {"parameters": "apart", "beginning": "random"}
    )
    with pytest.raises(ValueError, match=said):
        function(**good | change)


def test_the_command_trains_and_goes_on(small, tmp_path, capsys):
    file, folder = tmp_path / "rows.json", tmp_path / "runs"
    words = ["reproduce", "starts", "--seeds", "2", "--jobs", "1", "--json", str(file), "--folder", str(folder)]
    assert main(words) == 0
    rows, said = json.loads(file.read_text()), capsys.readouterr().out
    assert starts_summary(rows) in said and len(rows) == 4
    for row in rows[:2]:
        assert [(run["gate_bias"], run["seed"]) for run in row["runs"]] == [(0.0, 0), (0.0, 1), (6.0, 2), (6.0, 3)]
        assert all(len(run["seen"]) == 3 for run in row["runs"]) and set(row["shown"]) == {"not there"}
    for row in rows[2:]:
        assert len(row["runs"]) == 6 and all(len(run["losses"]) == 2 for run in row["runs"])
        assert row["theory"] == pytest.approx(
            optimal_wpgd(PromptDistribution(3, (6, 6), (0.2, 0.8)), "uniform").risk / 3
        )
    for row in rows:
        assert {"versions", "provenance", "configuration", "seconds"} <= set(row)
    sorted(folder.glob("*.json"))[0].unlink()  # as if it had been interrupted before this one
    assert main(words) == 0
    assert [row["runs"] for row in json.loads(file.read_text())] == [row["runs"] for row in rows]


def test_a_run_that_breaks_off_is_said(small, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(starts_room, "RATES", (1e6,))
    assert main(["reproduce", "starts", "--seeds", "1", "--jobs", "1", "--folder", str(tmp_path)]) == 1
    assert "stopped: NonFiniteLoss" in capsys.readouterr().out

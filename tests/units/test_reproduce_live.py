"""Small trained layers for a page: the runs that are stored, and the command that makes them."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch

from glalib import GLA, optimal_delta_rule, optimal_wpgd, simulate_risk
from glalib.cli import main
from glalib.reproduce import live_summary, train_live
from glalib.reproduce.figure1 import MODELS
from glalib.reproduce.live import NAMES, ORDERS, begin, read, tokens_of

room = import_module("glalib.reproduce.live")
FILE = Path(__file__).parents[2] / "chapters" / "data" / "live_layers.json"
TINY = {"recipe": {"steps": 2, "batch": 4}, "evaluation": {"draws": 20, "queries": 2}}


def stored():
    return json.loads(FILE.read_text(encoding="utf-8"))


def test_what_is_stored_is_whole_light_and_beside_the_theory():
    rows = stored()
    assert [(row["model"], row["order"], row["seed"]) for row in rows] == [(m, o, 0) for m in NAMES for o in ORDERS]
    assert FILE.stat().st_size <= 40_000
    for row in rows:
        dist = ORDERS[row["order"]]
        best = optimal_delta_rule(dist) if row["model"] == "delta" else optimal_wpgd(dist, MODELS[row["model"]][2])
        assert row["theory"] == pytest.approx(best.risk / dist.d, rel=1e-9)
        assert {"versions", "provenance", "configuration", "seconds"} <= set(row)
        # A short training: within a tenth of its line. Below it a gate that reads labels may be, and not by much.
        assert -0.05 < row["risk"] / row["theory"] - 1 < 0.1, (row["model"], row["order"])


def test_stored_layers_have_the_stored_risk():
    """Built from their rows, on prompts of their own: five standard errors, ten times, so once in 100,000 streams."""
    for row in stored():
        net, dist = read(row), ORDERS[row["order"]]
        assert getattr(net, "scale", 1.0) == row["scale"]
        found = simulate_risk(net, dist, 2000, 16, None, torch.Generator().manual_seed(7), tokens_of(row["model"]))
        off = abs(found.risk / dist.d - row["risk"])
        assert off < 5 * (found.stderr / dist.d + row["stderr"]), (row["model"], row["order"])


@pytest.mark.parametrize("model", NAMES)
def test_a_row_is_its_layer(model):
    row = train_live(model, "first", 3, **TINY)
    net, dist = read(json.loads(json.dumps(row))), ORDERS["first"]
    assert isinstance(net, GLA) == (model != "delta")
    again = simulate_risk(net, dist, 20, 2, None, torch.Generator().manual_seed(10**6 + 3), tokens_of(model))
    # The estimate of a layer beside its line is another one; the delta rule's is plain.
    if model == "delta":
        assert again.risk / dist.d == pytest.approx(row["risk"], rel=1e-9)
    else:
        state = begin(model, "first", 3).state_dict()
        assert any(not torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert {name: value.dtype for name, value in net.state_dict().items()} == {
        name: torch.float32 for name in net.state_dict()
    }


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(room, "recipe_of", lambda model, order: room.DELTA.replace(steps=2, batch=4, queries=2))
    monkeypatch.setitem(room.EVALUATION, "draws", 20)
    file = tmp_path / "live.json"
    assert main(["reproduce", "live", "--jobs", "1", "--json", str(file), "--folder", str(tmp_path / "runs")]) == 0
    rows = json.loads(file.read_text(encoding="utf-8"))
    assert len(rows) == len(NAMES) * len(ORDERS)
    assert live_summary(rows) in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, said",
    [
        ({"model": "softmax"}, "model must be one of 'linear', 'gla', 'gla-no-delimiters', 'gla-vector', 'delta'"),
        ({"order": "middle"}, "order must be one of 'last', 'first'; got 'middle'"),
        ({"seed": -1}, "seed must be an integer >= 0; got -1"),
        ({"recipe": {"step": 3}}, "recipe must be with keys among steps"),
    ],
)
def test_bad_arguments_are_named(change, said):
    with pytest.raises(ValueError) as error:
        train_live(**{"model": "delta", "order": "last", "seed": 0} | change)
    assert said in str(error.value)

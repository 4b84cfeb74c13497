"""Layers below the line: what is shut is not seen, differences are paired, and the command trains and goes on."""

import copy
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import kv

from glalib import PromptDistribution, optimal_wpgd, population_risk, wpgd_step
from glalib.cli import main
from glalib.label_energy import (
    best_sigmoid,
    block_sums,
    both_sums,
    count_hat,
    energies,
    energy_risk,
    gain,
    gate_risk,
    sigmoid_risk,
)
from glalib.layout import DELIMITED
from glalib.reproduce import below_summary, train_below
from glalib.reproduce.below import SHUT, begin, mean_and_error, shut, squared_errors
from glalib.reproduce.figure1 import start
from glalib.reproduce.one_run import numbers

room = import_module("glalib.reproduce.below")
DATA = Path(__file__).parents[2] / "chapters" / "data" / "below.json"
DIST = PromptDistribution(3, (4, 4), (0.2, 0.8))


@pytest.fixture
def small(monkeypatch):
    for name in room.RECIPES:
        monkeypatch.setitem(room.RECIPES, name, room.RECIPES[name].replace(steps=6, batch=8, queries=2))
    monkeypatch.setattr(room, "EVALUATION", {"draws": 60, "queries": 2})
    monkeypatch.setattr(room, "DIMENSIONS", {"random": (3,), "line": (3, 4)})


@pytest.mark.parametrize("part", SHUT)
def test_a_part_that_is_shut_does_not_reach_the_gate(part):
    net = start(DIST, "gla", 0)
    with torch.no_grad():
        net.layers[0].W_g.normal_(generator=torch.Generator().manual_seed(0))
    Z = DELIMITED(DIST.sample(5, torch.Generator().manual_seed(1), dtype=torch.float32))
    moved = Z.clone()
    moved[..., {"label": slice(3, 4), "features": slice(0, 3), "context": slice(4, None)}[part]] += 1.0
    closed = shut(net, DIST, part)
    assert torch.equal(closed.gates(Z), closed.gates(moved)) and not torch.equal(net.gates(Z), net.gates(moved))


def test_errors_are_those_of_the_same_prompts():
    """Twice the same predictor: no difference at all; the line's mean error is its risk, to four standard errors."""
    line = optimal_wpgd(DIST)
    errors = squared_errors([line, line], DIST, 3000, 4, torch.Generator().manual_seed(0), batch=700)
    assert errors.shape == (2, 3000) and np.array_equal(errors[0], errors[1])
    mean, error = mean_and_error(errors[0])
    assert abs(mean - line.risk) < 4 * error


@pytest.mark.parametrize("n, d", [(1, 3), (4, 2), (20, 10)])
def test_label_energies_against_bessel_functions_and_sums(n, d):
    """kv straight; and the gain as a difference of risks that were not subtracted by hand."""
    S = n * d * np.array([0.3, 1.0, 2.0])
    z, p = np.sqrt(S), (n - d) / 2
    assert np.allclose(count_hat(S, n, d), z * kv(p + 1, z) / kv(p, z), rtol=1e-10)
    values, weights = energies(n, d)
    reads = (weights * values / (count_hat(values, n, d) + d - 1)).sum()
    assert gain(n, d) == pytest.approx(reads - n * d / (n + d + 1), abs=1e-9)
    assert energy_risk(d, (n, n), (0.2, 0.8)) == pytest.approx(d - 0.68 * reads, rel=1e-9)


def test_gates_that_read_nothing_are_forgetting_at_a_steady_rate():
    """With slope zero weights do not read: the exact risk of fixed weights; with a slope, by simulation."""
    dist, logits = PromptDistribution(3, (2, 4), (0.6, 0.5)), (1.0, 0.5)
    g = 1 / (1 + np.exp(-np.array(logits)))
    weights = [g[0] ** np.arange(2)[::-1], g[1] ** np.arange(4)[::-1]]
    best = [r * w.sum() / (w.sum() ** 2 + (3 + 1) * (w @ w)) for r, w in zip(dist.r, weights, strict=True)]
    fixed = population_risk(dist, np.eye(3), np.concatenate([c * w for c, w in zip(best, weights, strict=True)]))
    assert sigmoid_risk(3, dist.counts, dist.r, logits, 0.0) == pytest.approx(fixed, rel=1e-9)
    assert best_sigmoid(3, (4, 4), (0.2, 0.8))[0] < optimal_wpgd(DIST).risk
    rng = np.random.default_rng(0)
    beta, x = rng.normal(size=(100_000, 3)), rng.normal(size=(100_000, 4, 3))
    y = np.einsum("bnd,bd->bn", x, beta)
    gates = 1 / (1 + np.exp(-0.5 - 0.8 * y))
    omega = np.cumprod(np.concatenate([np.ones((100_000, 1)), gates[:, :0:-1]], 1), 1)[:, ::-1]
    step = ((omega * y)[..., None] * x).sum(1)
    sampled = (beta * step).sum(1), (step * step).sum(1), gates.prod(1), (gates**2).prod(1)
    for values, exact in zip(sampled, block_sums(lambda y: 1 / (1 + np.exp(-0.5 - 0.8 * y)), 4, 3), strict=True):
        assert abs(values.mean() - exact) < 4 * values.std() / 100_000**0.5


def test_sums_of_gates_that_read_features_too():
    """Of gates that read labels alone, the sums of those; of others by simulation; later gates count for a block."""
    soft = lambda y: 1 / (1 + np.exp(-2 - 0.4 * y)) / 2 + 1 / (1 + np.exp(-2 + 0.4 * y)) / 2  # noqa: E731
    for n, d in ((5, 2), (3, 6)):
        labels = block_sums(soft, n, d)
        assert np.allclose(both_sums(lambda q, y: soft(y), n, d), labels, rtol=1e-5)
        blind = gate_risk(d, (0.3, 0.8), [labels] * 2)
        told, square, one, two = labels
        by_hand = d - (0.3**2 * one**2 / two + 0.8**2) * told**2 / square
        assert blind == pytest.approx(by_hand, rel=1e-12)
    rng, draws = np.random.default_rng(0), 100_000
    beta, x = rng.normal(size=(draws, 3)), rng.normal(size=(draws, 4, 3))
    y, q = np.einsum("bnd,bd->bn", x, beta), (x**2).sum(2)

    def gate(q, y):
        return 1 / (1 + 0.1 * q + 0.3 * y**2 / (1 + q))

    gates = gate(q, y)
    omega = np.cumprod(np.concatenate([np.ones((draws, 1)), gates[:, :0:-1]], 1), 1)[:, ::-1]
    step = ((omega * y)[..., None] * x).sum(1)
    sampled = (beta * step).sum(1), (step * step).sum(1), gates.prod(1), (gates**2).prod(1)
    for values, exact in zip(sampled, both_sums(gate, 4, 3), strict=True):
        assert abs(values.mean() - exact) < 4 * values.std() / draws**0.5


def test_what_is_stored_is_whole_and_passes_below_the_line():
    """Lines recomputed; from the line every run is below up to d = 20, and none below what labels give at best."""
    rows = json.loads(DATA.read_text(encoding="utf-8"))
    places = [(row["beginning"], row["d"], row["seed"]) for row in rows]
    seeds = max(place[2] for place in places) + 1
    assert places == [(b, d, seed) for b in room.RECIPES for d in room.DIMENSIONS[b] for seed in range(seeds)]
    for row in rows:
        dist = PromptDistribution(row["d"], (2 * row["d"],) * 2, row["r"])
        assert row["theory"] == pytest.approx(optimal_wpgd(dist, "monotone").risk / row["d"], rel=1e-12)
        assert row["configuration"].items() >= numbers(room.RECIPES[row["beginning"]]).items()
        assert {"versions", "provenance", "seconds"} <= set(row) and set(row["without"]) == set(SHUT)
        if row["beginning"] == "line":
            assert row["risk"] > energy_risk(row["d"], dist.counts, row["r"]) / row["d"] - 4 * row["stderr"]
            assert row["d"] > 20 or row["risk"] < row["theory"]


@pytest.mark.claim("prop-even-reading")
@pytest.mark.parametrize("sigma", [0.0, 0.6])
def test_the_risk_is_even_in_what_a_gate_reads(sigma):
    """The layer itself, at Eq. (9): prompts whose tasks, or whose features, are turned, and a gate turned with them."""
    dist = PromptDistribution(3, (2, 3), (0.4, 0.6), R=[[1, 0.3], [0.3, 1]], sigma=sigma)
    net = start(dist, "gla", 0).double()
    generator, width = torch.Generator().manual_seed(1), net.width
    with torch.no_grad():
        net.layers[0].construct(torch.randn(3, width, generator=generator), torch.eye(3, width), net.h)
        net.layers[0].W_g.normal_(generator=generator)
    Z, label, features = DELIMITED(dist.sample(50, generator, dtype=torch.float64)), slice(3, 4), slice(0, 3)

    def turned(*parts):
        """Predictions where these parts of tokens change sign, and with them the gate's rows for them."""
        other, prompts = copy.deepcopy(net), Z.clone()
        with torch.no_grad():
            for part in parts:
                prompts[..., part] *= -1
                other.layers[0].W_g[part] *= -1
            return other(prompts)

    with torch.no_grad():
        whole = net(Z)
    assert torch.allclose(turned(label), -whole, rtol=1e-12)
    assert torch.allclose(turned(label, features), -whole, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d": 0}, "d must be a positive integer; got 0"),
        ({"beginning": "warm"}, "beginning must be one of 'random', 'line'; got 'warm'"),
        ({"seed": -1}, "seed must be an integer >= 0; got -1"),
        ({"recipe": {"step": 3}}, "recipe must be with keys among steps"),
        ({"evaluation": {"probed": 3}}, "evaluation must be with keys among draws, queries"),
    ],
)
def test_bad_input(change, said):
    with pytest.raises(ValueError, match=said):
        train_below(**{"d": 3, "beginning": "random", "seed": 0} | change)


def test_the_command_trains_and_goes_on(small, tmp_path, capsys):
    file, folder = tmp_path / "rows.json", tmp_path / "runs"
    words = ["reproduce", "below", "--seeds", "1", "--jobs", "1", "--json", str(file), "--folder", str(folder)]
    assert main(words) == 0
    rows, said = json.loads(file.read_text()), capsys.readouterr().out
    assert [(row["beginning"], row["d"]) for row in rows] == [("random", 3), ("line", 3), ("line", 4)]
    assert below_summary(rows) in said
    for row in rows:
        dist = PromptDistribution(row["d"], (2 * row["d"],) * 2, row["r"])
        assert row["theory"] == pytest.approx(optimal_wpgd(dist, "monotone").risk / row["d"], rel=1e-12)
        assert set(row["without"]) == set(SHUT) and {"versions", "provenance", "configuration"} <= set(row)
    sorted(folder.glob("*.json"))[0].unlink()  # as if it had been interrupted before this one
    assert main(words) == 0
    again = json.loads(file.read_text())
    assert [row["risk"] for row in again] == [row["risk"] for row in rows]


def test_but_for_its_push_a_start_at_the_line_is_a_step_whose_weights_do_not_read():
    """Of its own gates' weights, exactly; these gates are near the best, so the risk is within 3% of the line."""
    net, line = shut(begin(DIST, "line", 0), DIST, "label").double(), optimal_wpgd(DIST, "monotone")
    prompts = DIST.sample(50, torch.Generator().manual_seed(1), dtype=torch.float64)
    Z = DELIMITED(prompts)
    with torch.no_grad():
        omega, predictions = net.weights(Z)[0, 0, ~DELIMITED.blocks(DIST.counts)[1]].numpy(), net(Z)[:, 0]
    P = line.omega[-1] * line.P
    step = wpgd_step(prompts.x, prompts.y, prompts.x_query, P, omega)[:, 0]
    assert torch.allclose(predictions, step, rtol=1e-4, atol=1e-5)  # its weights are in float32
    assert 0.2 < omega[0] / omega[-1] < 0.25  # the best ratio, less what gates below one take off
    assert line.risk < population_risk(DIST, P, omega) < 1.03 * line.risk


def test_the_summary_is_of_means_over_seeds():
    row = {"beginning": "random", "d": 5, "theory": 0.5, "without": {part: [0.005, 0.001] for part in SHUT}}
    rows = [row | {"seed": seed, "risk": risk} for seed, risk in enumerate((0.495, 0.4975))]
    said = below_summary([*rows, row | {"seed": 2, "error": "no"}]).splitlines()
    assert said[1].split()[:6] == ["random", "5", "0.50000", "-0.750%", "0.250%", "1e-01"]
    assert said[1].split()[6:] == ["2", "+1.000%", "+1.000%", "+1.000%"]
    assert said[2].split() == ["random", "5", "seed", "2", "stopped:", "no"]

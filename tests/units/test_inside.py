"""What trained layers have learned: the runs that are stored, the commands that make them, and how a layer is read."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from glalib import PromptDistribution, optimal_wpgd, population_risk, simulate_risk
from glalib.cli import main
from glalib.layout import DELIMITED
from glalib.reproduce import inside as inside_name
from glalib.reproduce import inside_summary, train_inside
from glalib.reproduce.circuit import circuit, layer_of, rounded, step_inside, visible
from glalib.reproduce.inside import MODELS, RECIPES, SETTINGS, begin

DATA = Path(__file__).parents[2] / "chapters" / "data"
TINY = {"recipe": {"steps": 6, "batch": 8}, "evaluation": {"draws": 60, "queries": 2, "probed": 300}}
SMALL = {"two": PromptDistribution(3, (4, 4), (0.2, 0.8)), "three": PromptDistribution(2, (3, 3, 3), (0.2, 0.5, 0.8))}


def stored(name):
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def small(monkeypatch):
    """Small settings and short runs."""
    for name, dist in SMALL.items():
        monkeypatch.setitem(SETTINGS, name, dist)
    for name in RECIPES:
        monkeypatch.setitem(RECIPES, name, RECIPES[name].replace(steps=6, batch=8))
    for name, value in TINY["evaluation"].items():
        monkeypatch.setitem(__import__("importlib").import_module("glalib.reproduce.inside").EVALUATION, name, value)


def test_what_is_stored_is_whole_and_stands_beside_the_theory():
    """Lines recomputed; from W_q = W_k every layer ends within 1.5% of its line, below only where the gate reads."""
    rows = stored("inside")
    places = {(r["setting"], r["model"], r["beginning"], r["seed"]) for r in rows}
    assert len(places) == len(rows) and {(s, m) for s, m, _, _ in places} == {(s, m) for s in SETTINGS for m in MODELS}
    for row in rows:
        dist = SETTINGS[row["setting"]]
        line = optimal_wpgd(dist, MODELS[row["model"]][1])
        assert row["theory"] == pytest.approx(line.risk / dist.d, rel=1e-12)
        assert {"versions", "provenance", "configuration", "seconds"} <= set(row)
        excess = row["risk"] / row["theory"] - 1
        if row["beginning"] == "orthogonal":
            assert excess < 0.015 and (excess > -4 * row["stderr"] / row["theory"] or row["model"] == "gla")


def test_stored_layers_have_the_stored_risk():
    """The layer built from a row, on prompts of its own: four standard errors."""
    rows = [
        r for r in stored("inside") if r["seed"] == 0 and r["setting"] == "three" and r["beginning"] == "orthogonal"
    ]
    assert len(rows) == len(MODELS)
    for row in rows:
        dist, tokens = SETTINGS["three"], MODELS[row["model"]][0]
        line = optimal_wpgd(dist, MODELS[row["model"]][1])
        generator = torch.Generator().manual_seed(5)
        seen = simulate_risk(
            layer_of(row["inside"], dist), dist, 4000, queries=16, generator=generator, tokens=tokens, against=line
        )
        assert abs(seen.risk / dist.d - row["risk"]) < 4 * np.hypot(seen.stderr / dist.d, row["stderr"])


@pytest.mark.parametrize("model", MODELS)
def test_a_layer_is_what_its_circuit_says(model):
    """Predictions to the six digits kept; mean squares of values and scores to the errors of a sample."""
    dist = PromptDistribution(3, (4, 6), (0.2, 0.8), sigma=0.5, Sx=np.diag([2.0, 1.0, 0.5]))
    tokens, net = MODELS[model][0], begin(dist, model, "random", 0).double()
    kept = circuit(net)
    prompts = dist.sample(20_000, torch.Generator().manual_seed(0), dtype=torch.float64)
    Z = tokens(prompts)
    with torch.no_grad():
        exact, built = net(Z), layer_of(kept, dist)(Z)
    assert (exact - built).abs().max() < 1e-4 * exact.abs().max()
    w, A = visible(kept, dist)
    example = torch.from_numpy(~tokens.blocks(dist.counts)[1])
    tokens_of_examples, query = Z[:, :-1][:, example], Z[:, -1]
    values = tokens_of_examples @ torch.tensor(kept["value"], dtype=torch.float64)
    scores = torch.einsum("ba,ac,bnc->bn", query, torch.tensor(kept["scores"], dtype=torch.float64), tokens_of_examples)
    for seen, entries in ((values, w), (scores, A)):
        squares = seen.square().mean(1)
        assert abs(squares.mean() - (entries**2).sum()) < 4 * squares.std() / len(squares) ** 0.5


def test_the_step_inside_is_the_part_that_counts():
    """Without a gate: the risk is that of the step and of what other terms add, which is not negative."""
    dist = PromptDistribution(2, (5,), (1.0,))
    net = begin(dist, "linear", "random", 1).double()
    step = population_risk(dist, step_inside(circuit(net), 2), np.ones(5))
    seen = simulate_risk(net, dist, 20_000, queries=4, generator=torch.Generator().manual_seed(0))
    assert seen.risk > step - 4 * seen.stderr


def test_rounding_keeps_six_digits_in_lists_and_dicts():
    assert rounded({"a": [1 / 3, 2], "b": None}) == {"a": [0.333333, 2], "b": None}


@pytest.mark.claim("thm-best-layers")
@pytest.mark.parametrize("K", [1, 2])
def test_at_eq_9_the_derivative_sees_all_that_must_be_zero(K):
    """The rank of the derivative of predictions to (w, A): the number of entries that prompts show, less the scale."""
    d, generator = 2, torch.Generator().manual_seed(0)
    dist = PromptDistribution(d, (3,) * K, (0.5,) * K, sigma=0.2)
    Z = DELIMITED(dist.sample(400, generator, dtype=torch.float64))
    width = Z.shape[2]
    w, A = torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64)
    w[d], A[:d, :d] = 0.7, torch.tensor([[1.0, 0.2], [0.1, 0.5]])
    example = torch.from_numpy(~DELIMITED.blocks(dist.counts)[1])
    omega = torch.ones(Z.shape[1], dtype=torch.float64)
    omega[:-1][example] = torch.linspace(0.2, 0.9, 3 * K, dtype=torch.float64)

    def predictions(w, A):
        return (omega * (Z @ w) * torch.einsum("ba,ac,bnc->bn", Z[:, -1], A, Z)).sum(1)

    by_w, by_A = torch.autograd.functional.jacobian(predictions, (w, A))
    rank = torch.linalg.matrix_rank(torch.cat([by_w, by_A.flatten(1)], 1), rtol=1e-10)
    shown_by_examples, shown_by_query = d + 1 + K, d + 1
    assert rank == (shown_by_examples + 1) + shown_by_query * shown_by_examples - 1


@pytest.mark.claim("prop-wrong-way-round")
def test_labels_in_keys_make_a_step_of_rank_one():
    """Steps of rank one as a generalised eigenvalue problem, and at random, against the formula."""
    rng, d = np.random.default_rng(0), 3
    dist = PromptDistribution(d, (4, 4), (0.3, 0.6), R=[[1, 0.4], [0.4, 1]], Sx=np.diag([1.5, 1.0, 0.4]))
    omega, R = np.repeat([0.5, 1.0], 4), np.kron(dist.R, np.ones((4, 4)))
    agree, gamma = (np.repeat(dist.r, 4) @ omega) ** 2 / (omega @ omega), 1 + omega @ R @ omega / (omega @ omega)
    level = dist.M - agree * 1.5**2 / (dist.M + gamma * 1.5)
    top = max(np.linalg.eigvals(np.linalg.solve(dist.M * np.eye(d) + gamma * dist.Sx, dist.Sx @ dist.Sx)).real)
    assert dist.M - agree * top == pytest.approx(level, rel=1e-12)
    for _ in range(20):
        P = np.outer(*rng.normal(size=(2, d))) / 5
        assert population_risk(dist, P, omega) >= level
    best = np.zeros((d, d))
    best[0, 0] = (np.repeat(dist.r, 4) @ omega) / (omega @ omega) / (dist.M + gamma * 1.5)
    assert population_risk(dist, best, omega) == pytest.approx(level, rel=1e-12)


@pytest.mark.claim("prop-wrong-way-valley")
@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_the_wrong_way_round_is_a_valley_or_a_saddle(sigma):
    """The second derivative by Monte Carlo, two correlated tasks: what is left for w_y at the best A_xx, to 5% of a."""
    d, n, s = 2, 4, np.array([1.0, 0.6])
    dist = PromptDistribution(d, (2, 2), (0.5, 0.7), R=[[1, 0.5], [0.5, 1]], sigma=sigma, Sx=np.diag(s))
    R, M = np.kron(dist.R, np.ones((2, 2))), dist.M
    gamma, eta = 1 + R.sum() / n, (R**2).sum() / n**2
    V = (1 + 2 / n) * M**2 + 2 * (eta + 2 / n) * (s**2).sum()
    a = (s[0] / (M + gamma * s[0])) ** 2 * (V - (n * M + 2 * s[0]) ** 2 / (n * (n + 2)))
    b = (s[1:] ** 2).sum() / n
    p = dist.sample(400_000, torch.Generator().manual_seed(0), dtype=torch.float64)
    x, y, query, answer = (t.numpy() for t in (p.x, p.y, p.x_query[:, 0], p.y_query[:, 0]))
    mean = dist.r.mean()
    c = mean * n / (M + gamma * s[0])
    yx = np.einsum("bn,bnc->bc", y, x) / n
    by_w = c * query[:, 0] * (y**2).sum(1) / n
    by_A = query * (x[:, :, :1] * x).sum(1) / n
    gains = ((answer - c * query[:, 0] * yx[:, 0])[:, None] * query * yx).mean(0)
    cross, own = (by_w[:, None] * by_A).mean(0) - gains, by_A.T @ by_A / len(y)
    left = (by_w**2).mean() - cross @ np.linalg.solve(own, cross)
    assert left * s[0] / (mean * n) ** 2 == pytest.approx(a - b, abs=0.05 * a)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "mamba"}, "model must be one of"),
        ({"setting": "four"}, "setting must be one of"),
        ({"beginning": "warm"}, "beginning must be one of"),
        ({"seed": -1}, "seed must be an integer >= 0; got -1"),
        ({"recipe": {"step": 3}}, "recipe must be with keys among steps"),
        ({"evaluation": {"draw": 3}}, "evaluation must be with keys among draws, queries, probed"),
    ],
)
def test_bad_input(change, said):
    with pytest.raises(ValueError, match=said):
        train_inside(**{"model": "linear", "setting": "two", "beginning": "random", "seed": 0} | change)


def test_the_command_trains_and_goes_on(small, tmp_path, capsys):
    file, folder = tmp_path / "rows.json", tmp_path / "runs"
    words = ["reproduce", "inside", "--seeds", "1", "--jobs", "1", "--json", str(file), "--folder", str(folder)]
    assert main(words) == 0
    rows, said = json.loads(file.read_text()), capsys.readouterr().out
    assert len(rows) == 10 and inside_summary(rows) in said
    assert all(r["blind"] is None or r["model"] == "gla" for r in rows)
    kept = sorted(folder.glob("*.json"))
    kept[0].unlink()  # as if it had been interrupted before this one
    assert main(words) == 0
    again = json.loads(file.read_text())
    assert [{k: v for k, v in r.items() if k not in ("seconds", "provenance")} for r in again] == [
        {k: v for k, v in r.items() if k not in ("seconds", "provenance")} for r in rows
    ]
    assert inside_name(1, jobs=1, folder=folder, progress=False) == again

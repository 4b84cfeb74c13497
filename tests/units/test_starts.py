"""From which starts training gets there: the stored runs, the commands that make them, and what a start can know."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution, optimal_wpgd, population_risk, simulate_risk
from glalib.cli import main
from glalib.layout import DELIMITED
from glalib.reproduce import starts_summary, train_plateau, train_starts
from glalib.reproduce.circuit import circuit, step_inside
from glalib.reproduce.plateau import WINDOW, begin_from, half_way, plateau_distribution
from glalib.reproduce.starts import DIST, MARGIN, begin_at, is_there, judge, linear_gap, outcome, turned
from glalib.training import fit_many

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
    kept = circuit(closed)
    assert not np.any(kept["value"][:4]) and not np.any(np.array(kept["scores"])[:, 4])
    assert np.allclose(np.array(kept["scores"])[:, :4], np.array(circuit(as_drawn)["scores"])[:, :4])
    assert kept["value"][4] == circuit(as_drawn)["value"][4]


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
    again = see(turned(layer(line)))
    assert abs(again["excess"]) < 1e-5 and again["stderr"] < 1e-5
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


def test_what_is_stored_is_whole_and_stands_beside_the_theory():
    """Lines recomputed, every cell and seed once, no run below its line, runs trained on until there, provenance."""
    rows = json.loads((Path(__file__).parents[2] / "chapters/data/starts.json").read_text(encoding="utf-8"))
    cells, plateaus = ([row for row in rows if ("d" in row) == with_d] for with_d in (False, True))
    assert len({(row["parameters"], row["beginning"], row["rate"]) for row in cells}) == len(cells) == 18
    assert len({(row["d"], row["rate"]) for row in plateaus}) == len(plateaus) == 8
    for row in rows:
        assert {"versions", "provenance", "configuration", "seconds"} <= set(row)
    for row in cells:
        lines = [optimal_wpgd(DIST, name).risk / DIST.d for name in ("monotone", "uniform")]
        assert [row["theory"], row["linear"]] == pytest.approx(lines, rel=1e-12)
        assert len({run["seed"] for run in row["runs"]}) == 60
        for run in row["runs"]:
            *early, last = run["seen"]
            assert not any(map(is_there, early)) and (is_there(last) or len(run["seen"]) == 3)
            for seen in run["seen"]:
                assert seen["excess"] > -4 * seen["stderr"] and min(seen["weights"], seen["step"]) > -1e-6
                assert seen["weights"] + seen["step"] < seen["excess"] + 4 * seen["stderr"]
    for row in plateaus:
        line = optimal_wpgd(plateau_distribution(row["d"]), "uniform").risk / row["d"]
        assert row["theory"] == pytest.approx(line, rel=1e-12) and len(row["runs"]) == 15
        for run in row["runs"]:  # batches of 64 prompts and twenty steps: never far below the line
            assert min(run["losses"]) > 0.9 * line


def test_outcomes():
    """There at once, later, or never; and half of the way, in steps."""
    near, far = {"excess": 0.9 * MARGIN * linear_gap()}, {"excess": 1.1 * MARGIN * linear_gap()}
    found = [outcome({"seen": seen}) for seen in ([near], [far, near], [far, far, near], [far, far, far])]
    assert found == ["there", "slow", "slow", "stuck"]
    assert half_way([1.1, 0.9, 0.79, 0.7], 0.6) == 3 * WINDOW and half_way([1.0, 0.9], 0.6) is None


def test_a_plateau_in_words():
    """After how many steps, by run; how many never; and no "after" where there is none."""
    curves = {"early": [0.7], "late": [1.0, 0.7], "never": [1.0, 0.9]}
    for names, said in {
        ("early", "late"): f"half learned after {WINDOW}, {2 * WINDOW} steps",
        ("never", "late"): f"half learned after {2 * WINDOW} steps, never by 1 of 2 runs",
        ("never", "never"): "half learned by none of 2 runs",
    }.items():
        runs = [{"beginning": "random", "losses": curves[name]} for name in names]
        row = {"d": 5, "rate": 1.0, "theory": 0.6, "runs": runs}
        assert starts_summary([row]).split("\n")[1].endswith(f"random        1.00  {said}")


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


def test_the_command_trains_and_goes_on(small, tmp_path, capsys, monkeypatch):
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
    trained = []

    def counted(nets, dist, *more, **options):
        trained.append(dist.d)
        return fit_many(nets, dist, *more, **options)

    for room in (starts_room, plateau_room):
        monkeypatch.setattr(room, "fit_many", counted)
    lost = next(path for path in folder.glob("*.json") if "d" in json.loads(path.read_text())["result"])
    lost.unlink()  # as if it had been interrupted before this one
    assert main(words) == 0
    again = json.loads(file.read_text())
    assert trained == [3] and [row["runs"] for row in again] == [row["runs"] for row in rows]
    assert sum(row == was for row, was in zip(again, rows, strict=True)) >= 3  # dates and seconds too
    assert main(words) == 0
    assert trained == [3] and json.loads(file.read_text()) == again  # all are read, and none is trained


def test_a_run_that_breaks_off_is_said(small, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(starts_room, "RATES", (1e6,))
    assert main(["reproduce", "starts", "--seeds", "1", "--jobs", "1", "--folder", str(tmp_path)]) == 1
    assert "stopped: NonFiniteLoss" in capsys.readouterr().out


@pytest.mark.claim("prop-random-start")
def test_a_random_start_knows_one_part_in_the_square_of_the_dimension():
    """Layers of `begin_from`, random and closed: means over 400 starts to four standard errors; one if W_q = W_k."""
    d = 3
    dist = plateau_distribution(d)

    def shares(beginning, starts):
        steps = [step_inside(circuit(begin_from(dist, "linear", beginning, seed)), d) for seed in range(starts)]
        return np.array([np.trace(P) ** 2 / (d * (P**2).sum()) for P in steps])

    for beginning in ("random", "closed"):
        found = shares(beginning, 400)
        # To a quarter of it; the page draws more matrices, without layers, and sees a tenth.
        assert abs(found.mean() - 1 / d**2) < 4 * found.std() / 400**0.5
    assert np.allclose(shares("orthogonal", 3), 1, atol=1e-5)  # float32, six digits
    omega, seen = np.array([0.4, 1.0]), np.random.default_rng(0).normal(size=(5, d, d))
    least = optimal_wpgd(dist, omega).risk
    for P in seen:  # the best scale by a parabola through three risks
        at = [population_risk(dist, c * P, omega) for c in (-1.0, 0.0, 1.0)]
        gain = ((at[2] - at[0]) / 2) ** 2 / (2 * (at[0] + at[2] - 2 * at[1]))
        share = np.trace(P) ** 2 / (d * (P**2).sum())
        assert gain == pytest.approx(share * (dist.M - least), rel=1e-8)


@pytest.mark.claim("prop-first-gradient")
def test_the_first_gradient_by_automatic_differentiation():
    """Of the squared error itself, on a grid with the moments of Gaussian numbers up to the fifth: exact."""
    d, w, r, R = 2, np.array([0.5, 1.0]), np.array([0.5, 0.7]), np.array([[1, 0.4], [0.4, 1]])
    node, shares = np.array([-(3**0.5), 0.0, 3**0.5]), np.array([1, 4, 1]) / 6
    at = np.indices((3,) * (6 * d)).reshape(6 * d, -1).T  # two examples and a query, with their tasks
    z, chance = torch.from_numpy(node[at]).reshape(-1, 6, d), torch.from_numpy(shares[at].prod(1))
    root = np.linalg.cholesky(np.block([[R, r[:, None]], [r, 1.0]]))
    x, tasks = z[:, :3], torch.einsum("kl,bld->bkd", torch.from_numpy(root), z[:, 3:])
    y = (x * tasks).sum(2)
    P = torch.zeros(len(z), d, d, dtype=torch.float64, requires_grad=True)
    step = torch.einsum("n,bn,bnj->bj", torch.from_numpy(w), y[:, :2], x[:, :2])
    predicted = torch.einsum("bi,bij,bj->b", x[:, 2], P, step)
    ((y[:, 2] - predicted) ** 2).sum().backward()
    agree, size = r @ w, chance @ (P.grad**2).sum((1, 2))
    ratio = (d + 2) / agree**2 * ((d + 1) * (w**2) @ (d + 2 * r**2) + d * w @ R @ w + 2 * agree**2)
    assert size.item() == pytest.approx(ratio * 4 * d * agree**2, rel=1e-12)
    mean = torch.einsum("b,bij->ij", chance, P.grad)
    assert torch.allclose(mean, -2 * agree * torch.eye(d, dtype=torch.float64), atol=1e-12)

"""Layers on one scale: prompts whose query names its task, starts, rows and their order; real layers where they are."""

import importlib
import json

import pytest
import torch
from libraries import needs_zoo
from runs import one_thread

from glalib import optimal_wpgd
from glalib.architectures import zoo
from glalib.cli import main
from glalib.layout import DELIMITED, Layout
from glalib.reproduce import architectures, architectures_summary, train_architecture
from glalib.reproduce.named import NamedPrompts, NamedQuery, named_tokens

room = importlib.import_module("glalib.reproduce.architectures")
cli = importlib.import_module("glalib.cli")
D, N = room.D, room.N
SMALL = {
    "recipe": {"steps": 3, "batch": 8},
    "evaluation": {"draws": 300, "queries": 1, "probed": 200, "shown": 20},
}


@pytest.fixture(scope="module")
def named():
    return NamedQuery(4, 24).sample(4000, torch.Generator().manual_seed(0), 2, torch.float64)


def test_a_query_names_its_task(named):
    """Labels of both tasks in their blocks, the query's by the task that it names; both asked for, and independent."""
    tasks = named.beta.repeat_interleave(N, 1)
    assert named.x.shape == (4000, 2 * N, D) and named.x_query.shape == (4000, 2, D)
    torch.testing.assert_close(named.y, (named.x * tasks).sum(-1), rtol=0, atol=1e-12)
    asked = named.beta[torch.arange(4000), named.named]
    torch.testing.assert_close(named.y_query, (named.x_query @ asked[..., None])[..., 0], rtol=0, atol=1e-12)
    assert torch.equal(named.beta_query, asked)
    assert abs(named.named.double().mean() - 0.5) < 10 * 0.5 / 4000**0.5  # ten standard errors, as below
    both = torch.cat([named.beta[:, 0], named.beta[:, 1]], 1)
    assert (both.mT @ both / 4000 - torch.eye(2 * D)).abs().max() < 10 * 2**0.5 / 4000**0.5


@pytest.mark.parametrize("asked", [0, 1])
def test_one_task_alone_can_be_asked_for(asked):
    drawn = NamedQuery(4, 24, asked=asked).sample(50, torch.Generator().manual_seed(1))
    assert (drawn.named == asked).all() and torch.equal(drawn.beta_query, drawn.beta[:, asked])
    first, second = (NamedQuery(4, 24, asked=k).sample(50, torch.Generator().manual_seed(1)) for k in (0, 1))
    assert torch.equal(first.x, second.x.roll(N, 1)) and torch.equal(first.y_query, second.y_query)


def test_parts_of_named_prompts_know_their_names(named):
    part = named[3:5].to(torch.float32)
    assert torch.equal(part.named.long(), named.named[3:5]) and part.y.dtype == torch.float32


def test_named_tokens_have_two_more_columns_at_the_query(named):
    few = named[:6]
    Z, plain = named_tokens(few), DELIMITED(few)
    assert torch.equal(Z[..., :-2], plain) and Z.shape[-1] == room.prompts_of("named")[2]
    assert not Z[:, :-2, -2:].any()
    assert torch.equal(Z[:, -2:, -2:], torch.eye(2, dtype=torch.float64)[few.named][:, None].expand(-1, 2, -1))
    nameless = NamedPrompts(few.x, few.y, few.x_query, few.y_query, few.beta, few.beta_query, few.counts)
    with pytest.raises(ValueError, match="prompts must be such that queries name their task; got named = None"):
        named_tokens(nameless)


@pytest.mark.parametrize("setting", room.SETTINGS)
def test_settings_have_prompts_tokens_and_a_line(setting):
    dist, tokens, width = room.prompts_of(setting)
    assert tokens(dist.sample(3)).shape[-1] == width
    line = room.LINES[setting]
    assert line.n == 2 * N and line.d == D
    if setting == "drift":
        age = torch.arange(2 * N, 0, -1, dtype=torch.float64)
        assert torch.allclose(torch.tensor(line.r), room.RHO**age) and isinstance(tokens, Layout)


@pytest.mark.parametrize("layer", room.OURS)
def test_a_seed_is_a_start(layer):
    starts = [
        torch.cat([p.detach().flatten() for p in room.begin(layer, 2, "first", seed).parameters()])
        for seed in (0, 0, 1)
    ]
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


def mean_square(values):
    return torch.tensor(values).square().mean(-1)


@pytest.mark.parametrize(("layer", "setting"), [("gla", "first"), ("linear", "named"), ("delta", "drift")])
def test_a_row_of_a_layer_of_this_book(layer, setting):
    with one_thread():
        row, again = (train_architecture(setting, layer, 2, 1, **SMALL) for _ in range(2))
    assert {key: row[key] for key in ("setting", "layer", "heads", "seed")} == {
        "setting": setting, "layer": layer, "heads": 2, "seed": 1,
    }  # fmt: skip
    for key in ("risk", "stderr", "effective", "declared"):
        assert row[key] == again[key]
    assert row["theory"] == optimal_wpgd(room.LINES[setting]).risk / D
    assert len(row["effective"]) == (2 if setting == "named" else 1)
    for found in row["effective"]:
        assert len(found["omega"]) == 2 * N and mean_square(found["omega"]) == pytest.approx(1, abs=0.01)
    assert (row["declared"] is not None) == (layer == "gla")
    settings = {"steps": 3, "batch": 8, "evaluation_draws": 300, "probed": 200, "shown": 20, "heads": 2, "width": 32}
    assert settings.items() <= row["configuration"].items() and "transformers" not in row["versions"]


def test_declared_weights_of_a_scalar_gate_are_its_later_gates():
    """Multiplied by hand, token by token, of examples alone, at mean square one; the same draws."""
    net = room.begin("gla", 2, "first", 3)
    with torch.no_grad():
        net.layers[0].W_g += 0.5 * torch.randn(net.layers[0].W_g.shape, generator=torch.Generator().manual_seed(0))
    ((*weights,),) = room.declared_weights(net, "first", 50, torch.Generator().manual_seed(1))
    Z = DELIMITED(room.LINES["first"].sample(50, torch.Generator().manual_seed(1), 1, torch.float32))
    gates = net.gates(Z)
    gates = (gates[0] if isinstance(gates, list) else gates).detach()
    assert gates.shape == Z.shape[:2] and gates.std() > 0.01
    made = []
    for i in range(Z.shape[1] - 1):
        if Z[0, i, :D].any():
            kept = torch.ones(50)
            for j in range(i + 1, Z.shape[1]):
                kept = kept * gates[:, j]
            made.append(kept.mean().item())
    assert len(made) == 2 * N
    assert weights == pytest.approx((torch.tensor(made) / mean_square(made).sqrt()).tolist(), rel=1e-4)
    assert room.declared_weights(room.begin("delta", 2, "first", 0), "first", 5, torch.Generator()) is None


@pytest.fixture
def untrained(monkeypatch):
    """Cells in place of runs; what they were."""
    cells = []

    def swept(function, given, *_):
        cells.extend(given)
        assert function is train_architecture
        return [{key: cell[key] for key in ("setting", "layer", "heads", "seed")} | {"risk": 0.0} for cell in given]

    monkeypatch.setattr(room, "swept", swept)
    monkeypatch.setattr(zoo, "require", lambda: None)
    return cells


def test_rows_come_in_order(untrained):
    rows = architectures(seeds=2, recipe={"steps": 5}, evaluation={"draws": 7})
    keys = [(row["setting"], row["layer"], row["heads"], row["seed"]) for row in rows]
    plain = [(s, layer, 2, seed) for s in room.SETTINGS for layer in room.LAYERS for seed in (0, 1)]
    assert [key for key in keys if key in plain] == plain
    parts = [key for key in keys if key not in plain]
    names = [name for name in zoo.TAKEN if name != "mamba2"]
    wanted = [("first", "mamba2", 1, seed) for seed in (0, 1)]
    wanted += [("first", name, heads, seed) for name in names for heads in (1, 2) for seed in (0, 1)]
    assert parts == wanted and len(set(keys)) == len(keys)
    assert keys.index(("first", "mamba2-bare", 2, 1)) < keys.index(("drift", "linear", 2, 0))
    for cell in untrained:
        ours = cell["layer"] in room.OURS
        assert cell["recipe"]["steps"] == 5 and cell["recipe"]["batch"] == (128 if ours else 64)
        assert cell["evaluation"] == room.EVALUATION | {"draws": 7}


def test_a_run_that_does_not_arrive_starts_again(monkeypatch):
    """Twice at most, real layers alone; the best start is kept, in its place, and says how many came before it."""
    line = optimal_wpgd(room.LINES["last"], "uniform").risk / D
    risks = {
        ("gla", 0): [9.0],
        ("mamba2", 0): [1.06, 1.5, 1.04],
        ("mamba2", 1): [1.04],
        ("softmax", 0): [1.1, 1.3, 1.2],
    }
    asked = []

    def swept(function, given, *_):
        asked.append([(cell["layer"], cell["seed"], cell.get("attempt", 0)) for cell in given])
        rows = []
        for cell in given:
            attempt = cell.get("attempt", 0)
            each = risks.get((cell["layer"], cell["seed"]), [0.5])
            rows.append(
                {key: cell[key] for key in ("setting", "layer", "heads", "seed")}
                | {"risk": each[attempt] * line, "attempt": attempt}
            )
        return rows

    monkeypatch.setattr(room, "swept", swept)
    monkeypatch.setattr(zoo, "require", lambda: None)
    rows = architectures(seeds=2, layers=["softmax", "gla", "mamba2"], settings=["last"], parts=False)
    assert asked[1:] == [[("softmax", 0, 1), ("mamba2", 0, 1)], [("softmax", 0, 2), ("mamba2", 0, 2)]]
    found = {(row["layer"], row["seed"]): (row["attempt"], round(row["risk"] / line, 9)) for row in rows}
    assert found["gla", 0] == (0, 9.0) and found["mamba2", 0] == (2, 1.04) and found["mamba2", 1] == (0, 1.04)
    assert found["softmax", 0] == (0, 1.1) and len(rows) == 6


def test_another_start_has_its_own_prompts_and_the_same_trial():
    with one_thread():
        first, second = (train_architecture("last", "linear", 2, 1, attempt=k, **SMALL) for k in (0, 1))
        other = train_architecture("last", "linear", 2, 1001, **SMALL)
    assert (first["attempt"], second["attempt"]) == (0, 1) and first["risk"] != second["risk"] != other["risk"]
    assert second["configuration"]["lr"] == first["configuration"]["lr"] / 2
    with pytest.raises(ValueError, match="attempt must be an integer >= 0; got -1"):
        train_architecture("last", "linear", 2, 1, attempt=-1, **SMALL)


def test_less_can_be_asked_for(untrained):
    rows = architectures(seeds=1, layers=["gla", "mamba2"], settings=["drift", "last"], parts=False)
    assert [(row["setting"], row["layer"]) for row in rows] == [
        ("last", "gla"), ("last", "mamba2"), ("drift", "gla"), ("drift", "mamba2"),
    ]  # fmt: skip


def test_a_summary_has_means_over_seeds_and_ratios_of_tasks():
    omegas = [[1.0] * N + [3.0] * N, [1.0] * N + [5.0] * N]
    rows = [
        {
            "setting": "last", "layer": "gla", "heads": 2, "seed": seed, "risk": 0.4 + 0.2 * seed, "stderr": 0.03,
            "theory": 0.25, "effective": [{"omega": omega, "explained": 0.9}],
        }
        for seed, omega in enumerate(omegas)
    ]  # fmt: skip
    rows.append({"setting": "drift", "layer": "mamba2", "heads": 2, "seed": 0, "error": "NonFiniteLoss: step 3"})
    head, line, stopped = architectures_summary(rows).split("\n")
    assert line.split() == ["last", "gla", "2", "0.5000", "0.0212", "0.1414", "0.2500", "4.00", "0.900", "2"]
    assert len(head) == len(line) and head.split()[-1] == "seeds"
    assert "seed 0 stopped: NonFiniteLoss: step 3" in stopped


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"setting": "middle"}, "setting must be one of 'last', 'first', 'drift', 'named'; got 'middle'"),
        ({"layer": "rwkv"}, "layer must be one of 'linear', "),
        ({"heads": 0}, "heads must be a positive integer; got 0"),
        ({"seed": -1}, "seed must be an integer >= 0; got -1"),
        ({"recipe": {"step": 3}}, "recipe must be with keys among steps"),
        ({"evaluation": {"shows": 3}}, "evaluation must be with keys among draws"),
    ],
)
def test_bad_arguments_are_named(change, said):
    with pytest.raises(ValueError, match=said):
        train_architecture(**{"setting": "last", "layer": "gla", "heads": 2, "seed": 0} | change)


def test_a_query_can_ask_for_one_of_two_blocks():
    with pytest.raises(ValueError, match="asked must be one of None, 0, 1; got 5"):
        NamedQuery(4, 24, asked=5)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(room, "EVALUATION", SMALL["evaluation"])
    for name, plan in room.RECIPES.items():
        monkeypatch.setitem(room.RECIPES, name, plan.replace(batch=8))


WORDS = ["reproduce", "architectures", "--jobs", "1"]


def test_the_command_trains_and_goes_on(small, tmp_path, capsys):
    """Without the extra, as layers of this book alone are asked for."""
    file = tmp_path / "rows.json"
    words = [*WORDS, "--layers", "gla,linear", "--settings", "named", "--no-parts", "--seeds", "2", "--steps", "2"]
    words += ["--json", str(file), "--folder", str(tmp_path / "runs")]
    assert main(words) == 0
    rows, said = json.loads(file.read_text()), capsys.readouterr().out
    assert [(row["layer"], row["seed"]) for row in rows] == [("linear", 0), ("linear", 1), ("gla", 0), ("gla", 1)]
    assert architectures_summary(rows) in said and all(row["configuration"]["steps"] == 2 for row in rows)
    assert main(words) == 0
    assert json.loads(file.read_text()) == rows  # read, and not trained again: dates and seconds are the same


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layers", "gla,rwkv"], "layers must be one of 'linear', "),
        (["--settings", "last,middle"], "settings must be one of 'last', 'first', 'drift', 'named'; got 'middle'"),
        (["--layers", ""], "layers must be one of"),
        (["--seeds", "0"], "seeds must be a positive integer; got 0"),
    ],
)
def test_bad_words_are_named(words, said, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(zoo, "require", lambda: None)
    assert main([*WORDS, *words, "--folder", str(tmp_path / "runs")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--layers", "gla"], ["--no-parts"], ["--layers", "softmax", "--no-parts"]])
def test_the_command_says_where_the_extra_is_missing(words, monkeypatch, capsys, tmp_path):
    def version(name):
        raise zoo.PackageNotFoundError(name)

    monkeypatch.setattr(zoo, "version", version)
    assert main([*WORDS, *words, "--folder", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert said == "glalib reproduce: real layers need transformers; install it with: pip install 'glalib[zoo]'\n"
    assert not list(tmp_path.iterdir())


def test_the_options_of_the_command_are_those_of_the_experiment():
    """The command cannot read them off, as it starts without torch."""
    given = cli._parser().parse_args(["reproduce", "architectures"])
    assert tuple(given.layers) == room.LAYERS and tuple(given.settings) == room.SETTINGS
    assert given.parts and given.seeds == 5


@needs_zoo
@pytest.mark.parametrize(("layer", "setting", "heads"), [("mamba2", "named", 2), ("rg-lru", "drift", 1)])
def test_a_row_of_a_real_layer(layer, setting, heads):
    with one_thread():
        row, again = (train_architecture(setting, layer, 2, 1, **SMALL) for _ in range(2))
    assert [row[key] == again[key] for key in ("risk", "effective", "declared")] == [True] * 3
    assert row["versions"]["transformers"] == zoo.TRANSFORMERS
    declared = torch.tensor(row["declared"])
    assert declared.shape == (heads, 2 * N) and (declared >= 0).all()  # of channels the mean
    assert mean_square(row["declared"]).tolist() == pytest.approx([1.0] * heads, abs=0.01)
    assert row["risk"] > 0 and len(row["effective"]) == (2 if setting == "named" else 1)


@needs_zoo
def test_a_real_layer_learns():
    """A case of the experiment, a fraction as long, the better of two starts. Predicting nothing has risk 1, and the
    best step 0.52. Three starts ended at 0.58, 0.61 and, still on a plateau, at 0.86; all gave the second
    task, the better one, more than four times the weight of the first."""
    few = {"draws": 2000, "probed": 1000, "shown": 50}
    with one_thread():
        rows = [train_architecture("last", "mamba2", 2, seed, recipe={"steps": 400}, evaluation=few) for seed in (0, 1)]
    row = min(rows, key=lambda each: each["risk"])
    assert row["risk"] < 0.85
    omega = torch.tensor(row["effective"][0]["omega"])
    assert omega[N:].sum() > 1.5 * omega[:N].sum()

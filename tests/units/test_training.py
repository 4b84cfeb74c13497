"""Runs that stop and go on to the same numbers, runs that fail alone, and what they refuse."""

import re

import numpy as np
import pytest
import torch
from runs import DIST, SHORT, new_model, train, weights

from glalib import GLA, PromptDistribution, optimal_wpgd, simulate_risk
from glalib.layout import DELIMITED, Layout
from glalib.training import NonFiniteLoss, Recipe, fit, orthogonal_start
from glalib.training.checkpoint import seconds_spent


@pytest.mark.parametrize("token_free", [False, True])
def test_an_interrupted_run_goes_on_to_the_same_numbers(token_free, tmp_path, monkeypatch):
    whole, parts = new_model(), new_model()
    losses = train(whole, DIST, token_free=token_free, **SHORT)
    calls = 0
    step = torch.optim.Adam.step

    def interrupted(self, *args, **options):
        nonlocal calls
        calls += 1
        if calls in (18, 30):
            raise KeyboardInterrupt
        return step(self, *args, **options)

    path = tmp_path / "folder" / "run.npz"
    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    for _ in range(2):
        parts = new_model()
        with pytest.raises(KeyboardInterrupt):
            train(parts, DIST, token_free=token_free, checkpoint=path, **SHORT)
    parts = new_model()
    assert torch.equal(weights(parts), weights(new_model()))
    resumed = train(parts, DIST, token_free=token_free, checkpoint=path, **SHORT)
    assert torch.equal(weights(whole), weights(parts)) and np.array_equal(losses, resumed)
    assert calls < 2 * SHORT["steps"]  # what was done was not done again, but for the last few steps
    again = new_model()
    assert np.array_equal(train(again, DIST, token_free=token_free, checkpoint=path, **SHORT), losses)
    assert torch.equal(weights(again), weights(whole))
    with np.load(path, allow_pickle=False) as file:  # plain arrays
        assert all(file[name].dtype != object for name in file.files)
    assert [p.name for p in path.parent.iterdir()] == ["run.npz"]


@pytest.mark.parametrize("gate", [None, "scalar", "key"])
def test_every_step_is_the_one_that_is_documented(gate):
    """Twenty steps written out: the ramp over six, then the cosine to zero; Adam; gates three times as fast."""
    steps, rising, lr, gate_lr, F64 = 20, 6, 0.02, 3.0, torch.float64
    model, twin = new_model(gate=gate, dtype=F64), new_model(gate=gate, dtype=F64)
    recipe = Recipe(steps=steps, batch=8, queries=4, lr=lr, gate_lr=gate_lr, warmup=rising / steps, seed=7)
    history = fit(model, DIST, recipe, tokens=DELIMITED)

    generator = torch.Generator().manual_seed(7)
    gates = [p for name, p in twin.named_parameters() if name in ("layers.0.W_g", "layers.0.b_g")]
    others = [p for name, p in twin.named_parameters() if name not in ("layers.0.W_g", "layers.0.b_g")]
    slow = torch.optim.Adam(others, betas=(0.9, 0.99))
    fast = torch.optim.Adam(gates or [torch.zeros(1, requires_grad=True)], betas=(0.9, 0.99))
    expected = []
    for t in range(steps):
        rate = lr * ((t + 1) / 6 if t < 6 else (1 + np.cos(np.pi * (t - 6) / 14)) / 2)
        slow.param_groups[0]["lr"], fast.param_groups[0]["lr"] = rate, gate_lr * rate
        prompts = DIST.sample(8, generator, 4, F64)
        loss = ((prompts.y_query - twin(DELIMITED(prompts), queries=4)) ** 2).mean()
        twin.zero_grad()
        loss.backward()
        slow.step()
        fast.step()
        expected.append(loss.item())
    assert len(gates) == (2 if gate else 0) and len(others) == 4
    start = dict(new_model(gate=gate, dtype=F64).named_parameters())
    assert all((p - start[name]).abs().max() > 0.01 for name, p in twin.named_parameters())
    torch.testing.assert_close(weights(model), weights(twin), rtol=0, atol=1e-12)
    np.testing.assert_allclose(history, expected, rtol=1e-12)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    train(new_model(), DIST, checkpoint=path, **SHORT)
    for change, words in [
        ({"lr": 0.1}, "lr"),
        ({"steps": 39}, "steps"),
        ({"seed": 1}, "seed"),
        ({"token_free": True}, "token_free"),
    ]:
        with pytest.raises(ValueError, match=f"checkpoint must be of this run.*differs in {words}"):
            train(new_model(), DIST, checkpoint=path, **(SHORT | change))
    with pytest.raises(ValueError, match=r"checkpoint must be of this run.*differs in start"):
        train(new_model(1), DIST, checkpoint=path, **SHORT)
    with pytest.raises(ValueError, match="differs in dist"):
        train(new_model(), PromptDistribution(3, (6, 6), (0.3, 0.8)), checkpoint=path, **SHORT)


def test_what_is_not_trained_belongs_to_the_run(tmp_path):
    """Given gates and frozen weights: a checkpoint made with others would end at other numbers."""
    gates = np.linspace(0.2, 1, DIST.n + 3)
    path = tmp_path / "gates.npz"
    train(new_model(gates=gates), DIST, checkpoint=path, **SHORT)
    with pytest.raises(ValueError, match=r"checkpoint must be of this run.*differs in start"):
        train(new_model(gates=gates**2), DIST, checkpoint=path, **SHORT)
    frozen = new_model()
    frozen.h.requires_grad_(False)
    path = tmp_path / "frozen.npz"
    train(frozen, DIST, checkpoint=path, **SHORT)
    with pytest.raises(ValueError, match=r"checkpoint must be of this run.*differs in trained"):
        train(new_model(), DIST, checkpoint=path, **SHORT)


def test_a_broken_checkpoint_is_named(tmp_path):
    path = tmp_path / "run.npz"
    train(new_model(), DIST, checkpoint=path, **SHORT)
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "list.npz", identity=np.array("[1]"))
    others = [(tmp_path / name).read_bytes() for name in ("array.npy", "list.npz")]
    for broken in [b"", b"no archive", whole[:3000], whole[:2000] + b"xyz" + whole[2003:], *others]:
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"checkpoint must be a file that `fit` wrote; remove it .*run\.npz"):
            train(new_model(), DIST, checkpoint=path, **SHORT)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("step", lambda a: a * 0 - 5),
        ("step", lambda a: a + 10**6),
        ("step", lambda a: np.float64(3.5)),
        ("seconds", lambda a: a + 1),
        ("history", lambda a: a * np.nan),
        ("history", lambda a: a[:3]),
        ("generator", lambda a: a[:100]),
        ("weight/h", lambda a: a.sum()),  # would be the same number everywhere
        ("weight/h", lambda a: a * (1 + 1e-6)),
        ("weight/h", lambda a: a.astype(np.float64)),
        ("weight/h", None),
        ("adam/h/exp_avg_sq", None),
        ("adam/h/exp_avg_sq", lambda a: a * np.nan),
        ("identity", None),
        ("digest", None),
        ("more", lambda a: np.zeros(3)),
    ],
)
def test_an_edited_checkpoint_is_refused(name, change, tmp_path):
    path = tmp_path / "run.npz"
    train(new_model(), DIST, checkpoint=path, **SHORT)
    with np.load(path) as file:
        arrays = dict(file)
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays.get(name))
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"checkpoint must be a file that `fit` wrote; remove it .*run\.npz"):
        train(new_model(), DIST, checkpoint=path, **SHORT)


def test_seconds_are_those_of_all_parts(tmp_path, monkeypatch):
    """A clock that moves by one second a look: what was spent before an interrupt counts."""
    looks = iter(range(10**6))
    monkeypatch.setattr("glalib.training.fitting.time.perf_counter", lambda: float(next(looks)))
    path = tmp_path / "run.npz"
    assert seconds_spent(path) == 0
    left = iter(range(15))

    def tokens(prompts):
        next(left)  # StopIteration after fifteen steps, two checkpoints
        return DELIMITED(prompts)

    with pytest.raises(StopIteration):
        train(new_model(), DIST, checkpoint=path, **(SHORT | {"tokens": tokens}))
    assert seconds_spent(path) == 2

    def all_tokens(prompts):
        return DELIMITED(prompts)

    train(new_model(), DIST, checkpoint=path, **(SHORT | {"tokens": all_tokens}))
    assert seconds_spent(path) == 2 + 4  # after steps 21, 28, 35 and 40


def test_flags_and_numbers_of_numpy_are_as_good(tmp_path):
    path = tmp_path / "run.npz"
    losses = train(new_model(), DIST, checkpoint=path, **SHORT)
    same = {"steps": np.int64(40), "batch": np.int32(16), "tokens": Layout(np.bool_(True), np.bool_(True))}
    same |= {"lr": np.float64(0.005), "seed": np.uint8(0), "token_free": np.bool_(False)}
    assert np.array_equal(train(new_model(), DIST, checkpoint=str(path), **(SHORT | same)), losses)
    assert np.array_equal(train(new_model(), DIST, **(SHORT | same)), losses)


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    train(new_model(), DIST, checkpoint=path, **SHORT)
    kept = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    other = tmp_path / "other.npz"
    with pytest.raises(OSError, match="no space left"):
        train(new_model(), DIST, checkpoint=other, **SHORT)
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"] and path.read_bytes() == kept


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda f: f.mT, ValueError, r"the model's output must be of shape \(16, 4\); got shape \(4, 16\)"),
        (lambda f: f.sum(1), ValueError, r"the model's output must be of shape \(16, 4\); got shape \(16,\)"),
        (lambda f: f.detach(), ValueError, "the model's output must be such that it has gradients"),
        (lambda f: f.tolist(), TypeError, "the model's output must be a torch tensor; got list"),
        (lambda f: f * 1j, ValueError, r"the model's output must be of real numbers; got torch\.complex64"),
        (lambda f: 0 * f.detach() + torch.zeros(1, requires_grad=True), ValueError, "output must be such that it has"),
        (lambda f: f * np.nan, NonFiniteLoss, "the loss is nan .* at step 0 of 40"),
    ],
)
def test_bad_outputs_are_named(change, error, words):
    class Changed(GLA):
        def forward(self, Z, queries=1):
            return change(super().forward(Z, queries))

    with pytest.raises(error, match=words):
        train(Changed(DIST.d + 6, context_width=5, scale=1 / DIST.n), DIST, **SHORT)


@pytest.mark.parametrize("gate", ["scalar", "key", "value"])
def test_double_precision_two_layers_and_vector_gates_resume(gate, tmp_path):
    options = {"gate": gate, "layers": 2, "dtype": torch.float64}
    whole, parts = new_model(**options), new_model(**options)
    losses = train(whole, DIST, **SHORT)
    path = tmp_path / "run.npz"
    left = iter(range(10))

    def tokens(prompts):
        next(left)  # StopIteration after ten steps
        return DELIMITED(prompts)

    def all_tokens(prompts):
        return DELIMITED(prompts)

    with pytest.raises(StopIteration):
        train(parts, DIST, checkpoint=path, **(SHORT | {"tokens": tokens}))
    parts = new_model(**options)
    assert np.array_equal(train(parts, DIST, checkpoint=path, **(SHORT | {"tokens": all_tokens})), losses)
    assert torch.equal(weights(whole), weights(parts))


@pytest.mark.parametrize(("gate", "token_free"), [(None, True), ("scalar", True), ("scalar", False)])
def test_training_reaches_the_optimum(gate, token_free):
    """d = 3: within one per cent of theory, with a standard error below a third of that."""
    model = new_model(gate=gate)
    losses = train(model, DIST, steps=500, batch=256, lr=0.02, token_free=token_free, tokens=DELIMITED)
    best = optimal_wpgd(DIST, "free" if gate else "uniform")
    estimate = simulate_risk(
        model, DIST, 8000, 32, generator=torch.Generator().manual_seed(1), against=best,
        tokens=DELIMITED,
    )  # fmt: skip
    assert estimate.stderr < 0.01 * best.risk / 3
    low = -0.01 if token_free else -0.05  # a gate that may read labels can do better than fixed weights
    assert low < estimate.risk / best.risk - 1 < 0.01
    assert losses[:20].mean() > 1.1 * losses[-50:].mean()
    if token_free and gate:
        assert not model.layers[0].W_g[: DIST.d + 1].any()


def test_any_module_of_that_shape():
    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.P = torch.nn.Parameter(torch.zeros(3, 3))

        def forward(self, Z, queries=1):
            X, y = Z[:, :-queries, :3], Z[:, :-queries, 3]
            return ((Z[:, -queries:, :3] @ self.P) * torch.einsum("bnd,bn->bd", X, y)[:, None]).sum(-1)

    model = Mean()
    train(model, DIST, steps=300, batch=128, lr=0.01)
    best = optimal_wpgd(DIST, "uniform")
    assert simulate_risk(model, DIST, 2000, 16, generator=torch.Generator(), against=best).risk < 1.02 * best.risk
    one = Mean()
    losses = train(one, DIST, steps=3, batch=8, queries=1)
    assert losses.shape == (3,) and np.isfinite(losses).all()
    one.forward = lambda Z: Mean.forward(one, Z)
    train(one, DIST, steps=3, batch=8, queries=1)
    said = "queries must be 1 for a model whose forward takes no `queries` .*; got 4"
    with pytest.raises(ValueError, match=said):
        train(one, DIST, steps=3, batch=8, queries=4)
    with pytest.raises(ValueError, match=said):
        simulate_risk(one, DIST, 100, 4)
    with pytest.raises(TypeError, match="what tokens returns must be tokens; got None"):
        train(one, DIST, steps=3, batch=8, queries=1, tokens=lambda prompts: None)


def test_a_loss_that_is_not_finite_stops_the_run():
    model = new_model()
    with pytest.raises(
        NonFiniteLoss, match=r"the loss is (inf|nan) .* at step \d+ of 40; lr = 1e\+30 may be too large"
    ):
        train(model, DIST, **(SHORT | {"lr": 1e30, "warmup": 0.0}))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps must be a positive integer; got 0"),
        ({"lr": -1}, ValueError, "lr must be a number from 0 to 1e30; got -1"),
        ({"lr": 1e39}, ValueError, r"lr must be a number from 0 to 1e30; got 1e\+39"),
        ({"gate_lr": 1e39}, ValueError, "gate_lr must be a number from 0 to 1e6; got"),
        ({"progress": "yes"}, ValueError, "progress must be one of True, False; got 'yes'"),
        ({"steps": np.float64(3)}, TypeError, "steps must be a positive integer; got"),
        ({"batch": True}, TypeError, "batch must be a positive integer; got True"),
        ({"queries": 2**63}, ValueError, "queries must be a positive integer that fits in 64 bits; got"),
        ({"every": 0}, ValueError, "every must be a positive integer; got 0"),
        ({"lr": float("nan")}, ValueError, "lr must be a number from 0 to 1e30; got nan"),
        ({"lr": "fast"}, TypeError, "lr must be a number from 0 to 1e30; got 'fast'"),
        ({"seed": 2**70}, ValueError, "seed must be an integer >= 0 that fits in 64 bits; got"),
        ({"tokens": Layout(True, np.ones((2, 2)))}, ValueError, r"context must be of shape \(5, p\), one row per kind"),
        (
            {"tokens": "yes"},
            TypeError,
            "tokens must be a Layout, a callable on what dist.sample returns or None; got str",
        ),
        ({"tokens": print, "token_free": True}, ValueError, "tokens must be a Layout where token_free is True; got"),
        ({"lr": torch.tensor(0.1)}, TypeError, "lr must be a number from 0 to 1e30; got tensor"),
        ({"lr": 1j}, TypeError, "lr must be a number from 0 to 1e30; got 1j"),
        ({"tokens": lambda prompts: None}, TypeError, "what tokens returns must be tokens; got None"),
        ({"tokens": lambda prompts: DELIMITED(prompts)[:2]}, ValueError, "output must be of shape"),
        ({"checkpoint": 5}, TypeError, "checkpoint must be a path or None; got int"),
        ({"checkpoint": b"run.npz"}, TypeError, "checkpoint must be a path or None; got bytes"),
        ({"checkpoint": ""}, ValueError, "checkpoint must be a path or None; got ''"),
        ({"checkpoint": "a\0b"}, ValueError, "checkpoint must be a path or None; got"),
        ({"checkpoint": "~nobody-of-this-name/run.npz"}, ValueError, "checkpoint must be a path or None; got"),
        (
            {"checkpoint": "/proc/run.npz"},
            ValueError,
            "checkpoint must be in a folder that can be written to",
        ),
        ({"checkpoint": __file__ + "/run.npz"}, ValueError, "checkpoint must be in a folder that can be written to"),
        ({"warmup": 2}, ValueError, "warmup must be a number from 0 to 1; got 2"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0; got -1"),
        ({"token_free": 1}, ValueError, "token_free must be one of True, False; got 1"),
        ({"tokens": 3}, TypeError, "tokens must be a Layout, a callable on what dist.sample returns or None; got int"),
    ],
)
def test_bad_arguments_are_named(options, error, words):
    with pytest.raises(error, match=words):
        train(new_model(), DIST, **(SHORT | options))
    with pytest.raises(TypeError, match="model must be a torch module; got int"):
        train(3, DIST)
    with pytest.raises(TypeError, match=r"dist must be a PromptDistribution or another .* method `sample`; got int"):
        train(new_model(), 3)
    with pytest.raises(ValueError, match=r"model must be on a device that holds numbers; got h on meta"):
        train(new_model().to("meta"), DIST)
    with pytest.raises(ValueError, match=r"weights to train of 16, 32 or 64 bits; got torch\.comp"):
        train(torch.nn.Linear(2, 1, dtype=torch.complex64), DIST)
    with pytest.raises(TypeError, match="recipe must be a Recipe; got dict"):
        fit(new_model(), DIST, {"steps": 3})
    frozen = new_model().requires_grad_(False)
    with pytest.raises(ValueError, match="model must be a module with weights to train"):
        train(frozen, DIST)


def test_weights_that_are_no_numbers_are_not_blamed_on_the_learning_rate():
    model = new_model()
    with torch.no_grad():
        model.layers[0].W_v[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"model must be with finite weights; got NaN or infinity in layers\.0\.W_v"):
        train(model, DIST, **SHORT)
    lazy = torch.nn.Sequential(torch.nn.LazyLinear(1))
    with pytest.raises(ValueError, match=r"model must be with weights that have been made; got a lazy one .* in 0\."):
        train(lazy, DIST, **SHORT)


def test_a_start_is_orthogonal_in_every_precision():
    for dtype, rounding in ((torch.float64, 1e-14), (torch.float32, 1e-5), (torch.bfloat16, 0.05)):
        model = orthogonal_start(new_model(dtype=dtype), torch.Generator().manual_seed(0))
        W = model.layers[0].W_q.detach().double()
        assert torch.equal(model.layers[0].W_k, model.layers[0].W_q)
        assert (W.T @ W - torch.eye(W.shape[1])).abs().max() < rounding
    with pytest.raises(TypeError, match="model must be a GLA or a DeltaRule; got Linear"):
        orthogonal_start(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator or None; got int"):
        orthogonal_start(new_model(), 0)


@pytest.mark.parametrize("told", [GLA, fit])
def test_the_starts_that_arrive_are_named_where_one_looks(told):
    """Both are code that runs, and makes P = W_q W_k^T the identity on features."""
    calls = re.findall(r"`([^`]*(?:construct|_start)\([^`]*\))`", told.__doc__)
    assert len(calls) == 2
    for call in calls:
        model = GLA(4, generator=torch.Generator().manual_seed(0))
        names = {"P_q": torch.eye(3, 4), "P_k": torch.eye(3, 4), "model": model, "layers": model.layers}
        eval(call, names | {"orthogonal_start": orthogonal_start})
        P = model.layers[0].W_q @ model.layers[0].W_k.T
        torch.testing.assert_close(P[:3, :3], torch.eye(3), rtol=0, atol=1e-5)

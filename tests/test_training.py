"""Runs that stop and go on to the same numbers, runs that fail alone, sweeps, and what they refuse."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution, optimal_wpgd, simulate_risk
from glalib.training import NonFiniteLoss, code_fingerprint, fit, sweep

DIST = PromptDistribution(3, (6, 6), (0.2, 0.8))
SHORT = {"steps": 40, "batch": 16, "queries": 4, "every": 7, "delimiters": True, "context": True}


def new_model(seed=0, gate="scalar", **options):
    return GLA(DIST.d + 6, gate, context=5, scale=1 / DIST.n, generator=torch.Generator().manual_seed(seed), **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("token_free", [False, True])
def test_an_interrupted_run_goes_on_to_the_same_numbers(token_free, tmp_path, monkeypatch):
    whole, parts = new_model(), new_model()
    losses = fit(whole, DIST, token_free=token_free, **SHORT)
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
            fit(parts, DIST, token_free=token_free, checkpoint=path, **SHORT)
    parts = new_model()
    assert torch.equal(weights(parts), weights(new_model()))
    resumed = fit(parts, DIST, token_free=token_free, checkpoint=path, **SHORT)
    assert torch.equal(weights(whole), weights(parts)) and np.array_equal(losses, resumed)
    assert calls < 2 * SHORT["steps"]  # what was done was not done again, but for the last few steps
    again = new_model()
    assert np.array_equal(fit(again, DIST, token_free=token_free, checkpoint=path, **SHORT), losses)
    assert torch.equal(weights(again), weights(whole))
    with np.load(path, allow_pickle=False) as file:  # plain arrays
        assert all(file[name].dtype != object for name in file.files)
    assert [p.name for p in path.parent.iterdir()] == ["run.npz"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    fit(new_model(), DIST, checkpoint=path, **SHORT)
    for change, words in [
        ({"lr": 0.1}, "lr"),
        ({"steps": 41}, "steps"),
        ({"seed": 1}, "seed"),
        ({"token_free": True}, "token_free"),
    ]:
        with pytest.raises(ValueError, match=f"checkpoint must be of this run.*differs in {words}"):
            fit(new_model(), DIST, checkpoint=path, **(SHORT | change))
    with pytest.raises(ValueError, match=r"checkpoint must be of this run.*differs in start"):
        fit(new_model(1), DIST, checkpoint=path, **SHORT)
    with pytest.raises(ValueError, match="differs in dist"):
        fit(new_model(), PromptDistribution(3, (6, 6), (0.3, 0.8)), checkpoint=path, **SHORT)


def test_what_is_not_trained_belongs_to_the_run(tmp_path):
    """Given gates and frozen weights: a checkpoint made with others would end at other numbers."""
    gates = np.linspace(0.2, 1, DIST.n + 3)
    path = tmp_path / "gates.npz"
    fit(new_model(gates=gates), DIST, checkpoint=path, **SHORT)
    with pytest.raises(ValueError, match=r"checkpoint must be of this run.*differs in start"):
        fit(new_model(gates=gates**2), DIST, checkpoint=path, **SHORT)
    frozen = new_model()
    frozen.h.requires_grad_(False)
    path = tmp_path / "frozen.npz"
    fit(frozen, DIST, checkpoint=path, **SHORT)
    with pytest.raises(ValueError, match=r"checkpoint must be of this run.*differs in trained"):
        fit(new_model(), DIST, checkpoint=path, **SHORT)


def test_a_broken_checkpoint_is_named(tmp_path):
    path = tmp_path / "run.npz"
    fit(new_model(), DIST, checkpoint=path, **SHORT)
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "list.npz", run=np.array("[1]"))
    others = [(tmp_path / name).read_bytes() for name in ("array.npy", "list.npz")]
    for broken in [b"", b"no archive", whole[:3000], whole[:2000] + b"xyz" + whole[2003:], *others]:
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"checkpoint must be a file that `fit` wrote; remove it .*run\.npz"):
            fit(new_model(), DIST, checkpoint=path, **SHORT)


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    fit(new_model(), DIST, checkpoint=path, **SHORT)
    kept = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    other = tmp_path / "other.npz"
    with pytest.raises(OSError, match="no space left"):
        fit(new_model(), DIST, checkpoint=other, **SHORT)
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"] and path.read_bytes() == kept


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda f: f.mT, ValueError, r"the model's output must be of shape \(16, 4\); got shape \(4, 16\)"),
        (lambda f: f.sum(1), ValueError, r"the model's output must be of shape \(16, 4\); got shape \(16,\)"),
        (lambda f: f.detach(), ValueError, "the model's output must be such that it has gradients"),
        (lambda f: f.tolist(), TypeError, "the model's output must be a torch tensor; got list"),
        (lambda f: f * np.nan, NonFiniteLoss, "the loss is nan .* at step 0 of 40"),
    ],
)
def test_bad_outputs_are_named(change, error, words):
    class Changed(GLA):
        def forward(self, Z, queries=1):
            return change(super().forward(Z, queries))

    with pytest.raises(error, match=words):
        fit(Changed(DIST.d + 6, context=5, scale=1 / DIST.n), DIST, **SHORT)


@pytest.mark.parametrize("gate", ["scalar", "key", "value"])
def test_double_precision_two_layers_and_vector_gates_resume(gate, tmp_path):
    options = {"gate": gate, "layers": 2, "dtype": torch.float64}
    whole, parts = new_model(**options), new_model(**options)
    losses = fit(whole, DIST, **SHORT)
    path = tmp_path / "run.npz"
    left = iter(range(10))

    def tokens(prompts):
        next(left)  # StopIteration after ten steps
        return DIST.tokens(prompts, True, True)

    def all_tokens(prompts):
        return DIST.tokens(prompts, True, True)

    with pytest.raises(StopIteration):
        fit(parts, DIST, checkpoint=path, tokens=tokens, **SHORT)
    parts = new_model(**options)
    assert np.array_equal(fit(parts, DIST, checkpoint=path, tokens=all_tokens, **SHORT), losses)
    assert torch.equal(weights(whole), weights(parts))


@pytest.mark.parametrize(("gate", "token_free"), [(None, True), ("scalar", True), ("scalar", False)])
def test_training_reaches_the_optimum(gate, token_free):
    """d = 3: within one per cent of theory, with a standard error below a third of that."""
    model = new_model(gate=gate)
    layout = {"delimiters": True, "context": True}
    losses = fit(model, DIST, steps=500, batch=256, lr=0.02, token_free=token_free, **layout)
    best = optimal_wpgd(DIST, "free" if gate else "uniform")
    estimate = simulate_risk(
        model, DIST, 8000, 32, generator=torch.Generator().manual_seed(1), against=best,
        tokens=partial(DIST.tokens, **layout),
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
    fit(model, DIST, steps=300, batch=128, lr=0.01)
    best = optimal_wpgd(DIST, "uniform")
    assert simulate_risk(model, DIST, 2000, 16, generator=torch.Generator(), against=best).risk < 1.02 * best.risk
    one = Mean()
    losses = fit(one, DIST, steps=3, batch=8, queries=1)
    assert losses.shape == (3,) and np.isfinite(losses).all()


def test_a_loss_that_is_not_finite_stops_the_run():
    model = new_model()
    with pytest.raises(
        NonFiniteLoss, match=r"the loss is (inf|nan) .* at step \d+ of 40; lr = 1e\+30 may be too large"
    ):
        fit(model, DIST, **(SHORT | {"lr": 1e30, "warmup": 0.0}))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps must be a positive integer; got 0"),
        ({"lr": -1}, ValueError, "lr must be a number from 0 to 1e30; got -1"),
        ({"lr": 1e39}, ValueError, r"lr must be a number from 0 to 1e30; got 1e\+39"),
        ({"gate_lr": 1e39}, ValueError, "gate_lr must be a number from 0 to 1e6; got"),
        ({"delimiters": np.bool_(True)}, ValueError, "delimiters must be one of True, False; got"),
        ({"warmup": 2}, ValueError, "warmup must be a number from 0 to 1; got 2"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0; got -1"),
        ({"token_free": 1}, ValueError, "token_free must be one of True, False; got 1"),
        ({"tokens": 3}, TypeError, "tokens must be a callable on Prompts or None; got int"),
        ({"tokens": DIST.tokens, "token_free": True}, ValueError, "tokens must be None where token_free is True"),
    ],
)
def test_bad_arguments_are_named(options, error, words):
    with pytest.raises(error, match=words):
        fit(new_model(), DIST, **(SHORT | options))
    with pytest.raises(TypeError, match="model must be a torch module; got int"):
        fit(3, DIST)
    with pytest.raises(TypeError, match="dist must be a PromptDistribution; got int"):
        fit(new_model(), 3)
    with pytest.raises(ValueError, match=r"model must be on the CPU, in a precision that numpy has; got torch\.bfl"):
        fit(new_model(dtype=torch.bfloat16), DIST)
    frozen = new_model().requires_grad_(False)
    with pytest.raises(ValueError, match="model must be a module with weights to train"):
        fit(frozen, DIST)


# Sweeps. The function they call must live in a module that workers can import.


def square(x, log=None, fail=None, checkpoint=None):
    if log:
        with open(log, "a") as file:
            file.write(f"{x}\n")
    if x == fail:
        raise NonFiniteLoss("the loss is nan")
    if fail == "stop" and x == 2:
        raise RuntimeError("something else")
    return {"square": x * x, "threads": torch.get_num_threads(), "kept": checkpoint is not None}


def echo(value, checkpoint=None):
    return {"set": {1}} if value == "set" else value


def test_a_sweep_names_what_it_cannot_keep(tmp_path):
    quiet = {"jobs": 1, "progress": False}

    def local(x, checkpoint=None):
        return {"x": x}

    words = "run must be a function at the top of a module, where results are kept"
    for run in (local, lambda x, checkpoint=None: {}, partial(square, x=1)):
        with pytest.raises(ValueError, match=words):
            sweep(run, [{"x": 1}], folder=tmp_path, **quiet)
    assert sweep(local, [{"x": 1}], **quiet) == [{"x": 1}]  # nothing is kept
    for run, cells, folder, said in [
        (None, [{}], None, "run must be a function; got NoneType"),
        (echo, [{}, 3], None, r"cells\[1\] must be a dict; got int"),
        (echo, [{"value": np.int64(1)}], tmp_path, r"cells\[0\] must be of JSON values"),
        (echo, [{"value": 3}], None, "what run returns must be a dict; got int"),
        (echo, [{"value": "set"}], tmp_path, "what run returns must be of JSON values"),
        (echo, [{"value": {}}], 3, "folder must be a path or None; got int"),
    ]:
        with pytest.raises(TypeError, match=said):
            sweep(run, cells, folder=folder, **quiet)


@pytest.mark.parametrize("broken", ['{"square": ', "null", "[]", ""])
def test_a_broken_result_is_named(broken, tmp_path):
    sweep(square, [{"x": 3}], folder=tmp_path, jobs=1, progress=False)
    (path,) = tmp_path.glob("*.json")
    path.write_text(broken)
    with pytest.raises(ValueError, match=f"folder must be one of whole results; remove this file .*{path.name}"):
        sweep(square, [{"x": 3}], folder=tmp_path, jobs=1, progress=False)


@pytest.mark.parametrize("jobs", [1, 2])
def test_sweep(jobs, tmp_path):
    log = tmp_path / "log"
    cells = [{"x": x, "log": str(log), "fail": 1} for x in range(4)]
    results = sweep(square, cells, folder=tmp_path / "runs", jobs=jobs, progress=False)
    assert [r.get("square") for r in results] == [0, None, 4, 9]
    assert results[1] == {"error": "NonFiniteLoss: the loss is nan"}
    assert all(r["threads"] == 1 and r["kept"] for r in results if "error" not in r)
    again = sweep(square, cells, folder=tmp_path / "runs", jobs=jobs, progress=False)
    assert again == results
    # What is finished is read; what failed is tried again.
    assert sorted(log.read_text().split()) == ["0", "1", "1", "2", "3"]
    assert sweep(square, [{"x": 3}], jobs=jobs, progress=False)[0]["kept"] is False


def test_a_sweep_that_stops_keeps_what_is_finished(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(RuntimeError, match="something else"):
        sweep(square, [{"x": x, "log": str(log), "fail": "stop"} for x in range(4)], folder=tmp_path, jobs=1)
    kept = [json.loads(path.read_text())["square"] for path in tmp_path.glob("*.json")]
    assert sorted(kept) == [0, 1]


def test_results_of_other_code_are_not_used(tmp_path, monkeypatch):
    log = tmp_path / "log"
    cells = [{"x": 2, "log": str(log)}]
    sweep(square, cells, folder=tmp_path, jobs=1, progress=False)
    sweep(square, cells, folder=tmp_path, jobs=1, progress=False)
    monkeypatch.setattr("glalib.training.code_fingerprint", lambda run=None: "other")
    sweep(square, cells, folder=tmp_path, jobs=1, progress=False)
    assert log.read_text() == "2\n2\n"
    assert code_fingerprint() != code_fingerprint(square)


def test_a_killed_sweep_goes_on(tmp_path):
    """A process that trains two runs is killed after its first checkpoint; the next one ends at the same numbers."""
    here = Path(__file__).parent
    script = (
        f"import sys; sys.path.insert(0, {str(here)!r}); from test_training import long_run;"
        "from glalib.training import sweep; import json;"
        f"print(json.dumps(sweep(long_run, [{{'seed': 0}}, {{'seed': 1}}], folder={str(tmp_path)!r}, jobs=1)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("*.npz"))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    results = json.loads(done.stdout.strip().split("\n")[-1])
    assert results == [long_run(0), long_run(1)]
    assert not list(tmp_path.glob("*.npz"))


def long_run(seed, checkpoint=None):
    model = new_model(seed)
    losses = fit(model, DIST, steps=300, batch=32, seed=seed, every=20, token_free=True, delimiters=True, context=True,
                 checkpoint=checkpoint)  # fmt: skip
    return {"first": losses[0], "last": losses[-1], "sum": weights(model).sum().item()}


def test_sweep_on_a_dask_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    sys.path.insert(0, str(Path(__file__).parent))
    cells = [{"x": x, "fail": 1} for x in range(4)]
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(lambda path: sys.path.insert(0, path), str(Path(__file__).parent))
        on_cluster = sweep(square, cells, folder=tmp_path, backend="dask", progress=False)
        here = sweep(square, cells, jobs=1, progress=False)
        assert [r.get("square") for r in on_cluster] == [r.get("square") for r in here]
        assert on_cluster[1] == here[1]
        environment = os.environ | {
            "DASK_SCHEDULER_ADDRESS": cluster.scheduler_address,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        }
        code = (
            "from test_training import square; from glalib.training import sweep;"
            "print(sweep(square, [{'x': 5}], backend='dask', progress=False)[0]['square'])"
        )
        out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert out.returncode == 0 and out.stdout.strip() == "25", out.stderr


def test_backends_that_are_not_there_are_named(monkeypatch):
    with pytest.raises(ValueError, match="backend must be one of 'loky', 'threading', 'sequential', 'dask', 'ray'"):
        sweep(square, [{"x": 1}], backend="spark")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match="backend 'ray' needs ray"):
        sweep(square, [{"x": 1}], backend="ray", progress=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match="backend 'dask' needs dask's package `distributed`"):
        sweep(square, [{"x": 1}], backend="dask", progress=False)
    monkeypatch.undo()
    pytest.importorskip("distributed")
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(
        ValueError, match="backend must be 'dask' with a dask client in this process, or DASK_SCHEDULER"
    ):
        sweep(square, [{"x": 1}], backend="dask", progress=False)


def test_an_interrupted_sweep_of_several_jobs_goes_on(tmp_path):
    """Ctrl-C, which the terminal sends to workers too, after the first result; then the same numbers as without."""
    here = Path(__file__).parent
    script = (
        f"import sys; sys.path.insert(0, {str(here)!r}); from test_training import long_run;"
        "from glalib.training import sweep; import json;"
        f"cells = [{{'seed': s}} for s in range(4)]; folder = {str(tmp_path)!r};"
        "print(json.dumps(sweep(long_run, cells, folder=folder, jobs=2)))"
    )
    options = {"env": os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, **options)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    before = {path: path.read_bytes() for path in tmp_path.glob("*.json")}
    assert 1 <= len(before) < 4
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True, **options)
    assert json.loads(done.stdout.strip().split("\n")[-1]) == [long_run(seed) for seed in range(4)]
    assert all(path.read_bytes() == kept for path, kept in before.items())
    assert len(list(tmp_path.iterdir())) == 4

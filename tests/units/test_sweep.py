"""Sweeps: many runs that are kept as they end, go on after a kill, and know the code that made them."""

import contextlib
import importlib
import io
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from runs import DIST, SHORT, new_model, one_thread, train, weights

from glalib import files
from glalib.layout import DELIMITED
from glalib.progress import Said
from glalib.reproduce import code_fingerprint, sweep
from glalib.reproduce.bar import Bar, Progress
from glalib.reproduce.sweep import one_cell
from glalib.training import NonFiniteLoss, fingerprints, fit

with contextlib.suppress(ImportError):  # not on Windows
    import fcntl


def test_a_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    train(new_model(), DIST, checkpoint="~/runs/run.npz", **SHORT)
    sweep(square, [{"x": 3}], folder="~/kept", jobs=1, progress=False)
    assert {p.name for p in tmp_path.iterdir()} == {"runs", "kept"}


@pytest.mark.parametrize("function", [5, len, partial(fit)])
def test_the_code_of_other_things_has_no_fingerprint(function):
    with pytest.raises(TypeError, match="function must be a function or None; got "):
        code_fingerprint(function)


# The functions that sweeps call must live in a module that workers can import.


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
    if value == "deep":
        value = {}
        for _ in range(10**5):
            value = {"": value}
    return {"set": {1}} if value == "set" else value


def test_a_sweep_names_what_it_cannot_keep(tmp_path):
    quiet = {"jobs": 1, "progress": False}

    def local(x, checkpoint=None):
        return {"x": x}

    words = "function must be one at the top of a module, where results are kept"
    for function in (local, lambda x, checkpoint=None: {}, partial(square, x=1)):
        with pytest.raises(ValueError, match=words):
            sweep(function, [{"x": 1}], folder=tmp_path, **quiet)
    assert sweep(local, [{"x": 1}], **quiet) == [{"x": 1}]  # nothing is kept
    for function, cells, folder, said in [
        (None, [{}], None, "function must be a function; got NoneType"),
        (echo, [{}, 3], None, r"cells\[1\] must be a dict; got int"),
        (echo, [{"value": {1}}], tmp_path, r"cells\[0\] must be of JSON values; got set"),
        (echo, [{"value": np.zeros(2)}], None, r"cells\[0\] must be of JSON values; got ndarray"),
        (echo, [{"value": {1: 2, "1": 3}}], None, r"cells\[0\] must be of JSON values; got two keys that are one"),
        (echo, [{"value": 3}], None, "what function returns must be a dict; got int"),
        (echo, [{"value": "deep"}], tmp_path, "what function returns must be of JSON values; got .*recursion"),
        (echo, {"value": {}}, None, "cells must be a list of dicts; got dict"),
        (echo, None, None, "cells must be a list of dicts; got NoneType"),
        (echo, [{"value": "set"}], tmp_path, "what function returns must be of JSON values"),
        (echo, [{"value": {}}], 3, "folder must be a path or None; got int"),
    ]:
        with pytest.raises(TypeError, match=said):
            sweep(function, cells, folder=folder, **quiet)
    for cells, folder, said in [
        ([{"value": {}, "checkpoint": "x"}], None, r"cells\[0\] must be without 'checkpoint'"),
        ([], "", "folder must be a path or None; got ''"),
        ([], __file__, "folder must be in a folder that can be written to; got .*: File exists"),
        ([], "/proc/runs", "folder must be in a folder that can be written to; got /proc/runs"),
    ]:
        with pytest.raises(ValueError, match=said):
            sweep(echo, cells, folder=folder, **quiet)


@pytest.mark.parametrize("broken", ['{"square": ', "null", "[]", "", "[" * 10**5, '{"square": 9}', '{"result": {}}'])
def test_a_broken_result_is_named(broken, tmp_path):
    sweep(square, [{"x": 3}], folder=tmp_path, jobs=1, progress=False)
    (path,) = tmp_path.glob("*.json")
    path.write_text(broken)
    with pytest.raises(ValueError, match=f"folder must be one of whole results; remove this file .*{path.name}"):
        sweep(square, [{"x": 3}], folder=tmp_path, jobs=1, progress=False)


def test_an_edited_result_is_refused(tmp_path):
    """Also where it is still whole: no digit of it is used."""
    sweep(square, [{"x": 3}], folder=tmp_path, jobs=1, progress=False)
    (path,) = tmp_path.glob("*.json")
    text = path.read_text()
    assert text.count('"square": 9') == 1
    path.write_text(text.replace('"square": 9', '"square": 8'))
    with pytest.raises(ValueError, match=r"folder must be one of whole results; .* it was changed since"):
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
    kept = [json.loads(path.read_text())["result"]["square"] for path in tmp_path.glob("*.json")]
    assert sorted(kept) == [0, 1]


def test_a_cell_that_fails_is_named(monkeypatch):
    """In this process and from a worker, whether the exception can leave it or not."""
    for jobs, kind in ((1, RuntimeError), (2, RuntimeError)):
        with pytest.raises(kind, match="something else") as caught:
            sweep(square, [{"x": x, "fail": "stop"} for x in range(4)], jobs=jobs, progress=False)
        assert caught.value.__notes__ == ["in cells[2] of the sweep, {'x': 2, 'fail': 'stop'}"]
    with pytest.raises(Stubborn):
        sweep(stubborn, [{"x": 3}], jobs=1, progress=False)
    # As a worker calls it and sends what it raises, whose parent is another process.
    monkeypatch.setattr(importlib.import_module("glalib.reproduce.sweep"), "_end_with", lambda parent: None)
    with pytest.raises(RuntimeError) as caught:
        one_cell(stubborn, 1, {"x": 3}, None, None, os.getppid())
    assert str(pickle.loads(pickle.dumps(caught.value))) == "Stubborn: 3 and 4, in cells[1] of the sweep, {'x': 3}"


class Stubborn(Exception):
    """Made of two things, of which pickle passes on one."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def stubborn(x, checkpoint=None):
    if x == 3:
        raise Stubborn(x, 4)
    return {"x": x}


def rich(value, checkpoint=None):
    return {"pair": (1, 2), 3: value, "here": np.float32(0.5), "yes": np.bool_(True), "type": type(value).__name__}


@pytest.mark.parametrize("kept", [False, True])
def test_fresh_results_are_those_that_are_kept(kept, tmp_path):
    cells = [{"value": value} for value in (np.int64(3), (1, 2), [1, 2], {4: np.bool_(False)}, float("inf"))]
    options = {"folder": tmp_path if kept else None, "jobs": 1, "progress": False}
    first = sweep(rich, cells, **options)
    same = {"pair": [1, 2], "here": 0.5, "yes": True}
    assert first == [
        same | {"3": 3, "type": "int"},
        same | {"3": [1, 2], "type": "list"},
        same | {"3": [1, 2], "type": "list"},
        same | {"3": {"4": False}, "type": "dict"},
        same | {"3": float("inf"), "type": "float"},
    ]
    assert first[1] is not first[2]
    assert repr(sweep(rich, cells, **options)) == repr(first)  # 1 is not True, nor 1.0


def test_equal_cells_are_run_once_where_results_are_kept(tmp_path):
    log = tmp_path / "log"
    results = sweep(square, [{"x": 2, "log": str(log)}] * 3, folder=tmp_path, jobs=1, progress=False)
    assert log.read_text() == "2\n" and [r["square"] for r in results] == [4, 4, 4]


def test_leftovers_go_with_the_next_sweep(tmp_path):
    """A checkpoint whose result is there, and parts of files of processes that are gone; not those of others."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    sweep(square, [{"x": 3}], folder=tmp_path, jobs=1, progress=False)
    (result,) = tmp_path.iterdir()
    result.with_suffix(".npz").touch()
    host = files.host()
    gone = [f"a.npz.{host}.{ended.pid}.part", f"a.json.{host}.{ended.pid}.part"]
    stay = [f"a.npz.{host}.{os.getpid()}.part", f"a.npz.elsewhere.{ended.pid}.part", "mine.part", "other.npz"]
    for name in gone + stay:
        (tmp_path / name).touch()
    sweep(square, [{"x": 3}], folder=tmp_path, jobs=1, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {result.name, *stay}


def test_two_sweeps_share_a_folder(tmp_path):
    """Started together on the same cells: both end with the same numbers, and leave results alone."""
    both = [Apart(long_run, [{"seed": 0}, {"seed": 1}], tmp_path, jobs=1) for _ in range(2)]
    first, second = (one.results() for one in both)
    assert first == second == [long_run(0), long_run(1)]
    assert len(list(tmp_path.iterdir())) == 2 and all(path.suffix == ".json" for path in tmp_path.iterdir())


def test_what_another_sweep_has_finished_is_not_run_again(tmp_path):
    cell = {"x": 3, "log": str(tmp_path / "log")}
    sweep(square, [cell], folder=tmp_path / "runs", jobs=1, progress=False)
    (path,) = (tmp_path / "runs").iterdir()
    assert json.loads(one_cell(square, 0, cell, path, None, os.getpid())[1])["square"] == 9
    assert (tmp_path / "log").read_text().split() == ["3"]


def test_what_is_left_is_told_by_the_pace_of_steps(monkeypatch):
    """Not by that of processes that begin: two runs of ten after a minute in which nothing moved."""
    clock = [100.0]
    monkeypatch.setattr("glalib.reproduce.bar.time.monotonic", lambda: clock[0])

    def left(*moves, initial=0):
        clock[0] = 100.0
        bar = Bar(total=10, initial=initial, file=io.StringIO(), bar_format="{n:.2f} [{left}]")
        said = [bar.format_dict["left"]]
        for clock[0], n in moves:
            bar.move(n)
            said.append(bar.format_dict["left"])
        assert bar.fp.getvalue().endswith(f"{bar.n:.2f} [{said[-1]}]")
        bar.close()
        return said

    assert left((160.0, 0), (161.0, 0.5), (163.0, 1.0)) == ["beginning"] * 2 + ["about ? left", "about 00:36 left"]
    assert left((110.0, 2), initial=1) == ["beginning", "about 01:20 left"]  # runs that tell no steps


def test_a_bar_moves_within_runs(tmp_path):
    """It shows the share of a run that is done before any has ended, and so an estimate of the time that is left."""
    bar = Progress(4, 1, shown=False)
    with bar:
        said = Said()
        with said.to(f"{bar.notes}/2"):
            said.step(3, 12)
        for note in Path(bar.notes).iterdir():
            bar.shares[int(note.name)] = float(note.read_text())
        bar.show()
        assert bar.bar.n == 1.25
        bar.finish(2, 1)
        assert bar.bar.n == 2


HELPERS = {
    "main_of_runs.py": "import numpy\nimport helper_one\nfrom helper_two import part\n\n"
    "def run(x, checkpoint=None):\n    import helper_late\n    return {'x': helper_one.double(x)}\n",
    "helper_one.py": "import helper_far\n\ndef double(x):\n    return 2 * x\n",
    "helper_far.py": "constant = 1\n",
    "helper_late.py": "constant = 1\n",
    "helper_two/__init__.py": "",
    "helper_two/part.py": "from . import beside\n",
    "helper_two/beside.py": "constant = 1\n",
    "helper_two/unused.py": "constant = 1\n",
    "unused.py": "constant = 1\n",
}


@pytest.mark.parametrize("file", HELPERS)
def test_a_change_of_any_module_that_run_imports_makes_results_stale(file, tmp_path, monkeypatch):
    for name, text in HELPERS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    run = importlib.import_module("main_of_runs").run
    try:
        before = code_fingerprint(run)
        assert code_fingerprint(run) == before != code_fingerprint()
        (tmp_path / file).write_text(HELPERS[file] + "# changed\n")
        assert (code_fingerprint(run) == before) == ("unused" in file)
    finally:
        for name in set(sys.modules) & {file.removesuffix(".py").replace("/", ".") for file in HELPERS} | {
            "helper_two"
        }:
            del sys.modules[name]


def test_every_file_of_the_package_counts(tmp_path, monkeypatch):
    """Those of its sub-packages too."""
    copy = shutil.copytree(Path(fingerprints.__file__).parents[1], tmp_path / "glalib")
    monkeypatch.setattr(fingerprints, "__file__", str(copy / "training" / "fingerprints.py"))
    seen = {code_fingerprint()}
    for file in ("wpgd.py", "reproduce/table.py"):
        (copy / file).write_text((copy / file).read_text() + "# changed\n")
        seen.add(code_fingerprint())
    assert len(seen) == 3


def test_a_file_of_the_package_counts_where_it_is(tmp_path, monkeypatch):
    """Two of one name that change places are another package; files of one's own may lie anywhere."""
    folder = tmp_path / "glalib"
    for name in ("training", "delta"):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.py").write_text(f"# {name}\n")
    monkeypatch.setattr(fingerprints, "__file__", str(folder / "training" / "fingerprints.py"))
    before = fingerprints.package_fingerprint()
    for name, text in (("training", "# delta\n"), ("delta", "# training\n")):
        (folder / name / "model.py").write_text(text)
    assert fingerprints.package_fingerprint() != before
    own = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.py").write_text("# own\n")
        own.append(fingerprints.package_fingerprint([tmp_path / name / "own.py"]))
    assert own[0] == own[1] != fingerprints.package_fingerprint()


def test_decorated_and_renamed_functions(tmp_path, monkeypatch):
    """A decorator's file and the function's own both count; what its module does not call by that name is refused."""
    (tmp_path / "decorators_of_runs.py").write_text(
        "import functools\n\n\ndef same(f):\n"
        "    @functools.wraps(f)\n    def g(*a, **k):\n        return f(*a, **k)\n    return g\n"
    )
    body = "from decorators_of_runs import same\n\n@same\ndef run(x, checkpoint=None):\n    return {'x': x}\n\n"
    (tmp_path / "decorated_runs.py").write_text(body + "first, run = run, same(run)\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("decorated_runs")
    try:
        with pytest.raises(ValueError, match="function must be one at the top of a module"):
            sweep(module.first, [{"x": 1}], folder=tmp_path / "runs", jobs=1, progress=False)
        assert sweep(module.run, [{"x": 1}], folder=tmp_path / "runs", jobs=1, progress=False) == [{"x": 1}]
        for name in ("decorated_runs", "decorators_of_runs"):
            before = code_fingerprint(module.run)
            (tmp_path / f"{name}.py").write_text((tmp_path / f"{name}.py").read_text() + "# changed\n")
            assert code_fingerprint(module.run) != before
    finally:
        sys.modules.pop("decorated_runs"), sys.modules.pop("decorators_of_runs")


def test_results_of_other_code_are_not_used(tmp_path, monkeypatch):
    log = tmp_path / "log"
    cells = [{"x": 2, "log": str(log)}]
    sweep(square, cells, folder=tmp_path, jobs=1, progress=False)
    sweep(square, cells, folder=tmp_path, jobs=1, progress=False)
    monkeypatch.setattr(
        importlib.import_module("glalib.reproduce.sweep"), "code_fingerprint", lambda function=None: "other"
    )
    sweep(square, cells, folder=tmp_path, jobs=1, progress=False)
    assert log.read_text() == "2\n2\n"
    assert code_fingerprint() != code_fingerprint(square)


def run_apart(code, **options):
    """A process of its own that runs `code` with this file's functions; Ctrl-C means what it means in a terminal.

    Whoever started the tests may have it ignored (nohup, cron), and children inherit that.
    """
    here = str(Path(__file__).parent)
    code = (
        f"import signal, sys, json; sys.path.insert(0, {here!r})\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from glalib.reproduce import sweep; from test_sweep import held_run\n" + code
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([here, *sys.path])}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **options)


class Apart:
    """A sweep in a process of its own, which branches off one that has read torch once for all: that takes seconds.

    Of this project that one has read nothing, so each process finds the code where this one does.
    """

    def __init__(self, function, cells, folder, **options):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch._dynamo", "scipy.optimize", "joblib", "distributed", "pytest"])
        self.answer, there = context.Pipe(duplex=False)
        self.process = context.Process(
            target=answer_to, args=(there, dict(os.environ), function, cells, folder, options)
        )
        self.process.start()
        there.close()

    def poll(self):
        return self.process.exitcode

    def kill(self):
        self.process.kill()
        self.process.join()

    def results(self):
        self.process.join(600)
        assert self.process.exitcode == 0
        return self.answer.recv()


def answer_to(there, environment, function, cells, folder, options):
    os.environ.update(environment)
    there.send(sweep(function, cells, folder=folder, **options))
    # A process that branches off ends without what Python does at its exit, and would wait for idle workers: minutes.
    get_reusable_executor().shutdown()


def wait_for(event, process=None):
    """Wait until it is true, or the process has ended; ten minutes only end what hangs."""
    deadline = time.monotonic() + 600
    while not event():
        assert time.monotonic() < deadline, "nothing happened in ten minutes"
        assert process is None or process.poll() is None, "the process ended before"
        time.sleep(0.05)


def long_run(seed, steps=60, checkpoint=None):
    model = new_model(seed)
    losses = train(model, DIST, steps=steps, batch=32, seed=seed, every=20, token_free=True, tokens=DELIMITED,
                 checkpoint=checkpoint)  # fmt: skip
    return {"first": losses[0], "last": losses[-1], "sum": weights(model).sum().item()}


def held_run(seed, go, checkpoint=None):
    """A run that stops after its second checkpoint until the file `go` is there; it locks a file while it lives.

    It counts and does not train: what training needs takes a worker seconds to read, and `long_run` has that.
    """
    lock = open(f"{go}.{seed}", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    kept = Path(checkpoint) if checkpoint else None
    begun, value = json.loads(kept.read_text()) if kept and kept.exists() else (0, seed + 1)
    for step in range(begun, 30):
        if step == 20:
            wait_for(Path(go).exists)
        value = value * 48271 % (2**31 - 1)
        if kept and step % 10 == 9:
            with files.replacing(kept) as part:
                part.write_text(json.dumps([step + 1, value]))
    lock.close()
    return {"value": value, "steps": 30 - begun}


def test_a_killed_sweep_goes_on(tmp_path):
    """A process that trains is killed after its first checkpoint; the next one ends at the same numbers."""
    cells = [{"seed": 0, "steps": 300}, {"seed": 1}]  # the first is long enough to be seen
    process = Apart(long_run, cells, tmp_path, jobs=1)
    wait_for(lambda: list(tmp_path.glob("*.npz")), process)
    process.kill()
    assert list(tmp_path.glob("*.npz"))
    with one_thread():
        alone = [long_run(**cell) for cell in cells]
    assert Apart(long_run, cells, tmp_path, jobs=1).results() == alone
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_sweep_and_it_goes_on(how, tmp_path):
    """Ctrl-C, which a terminal sends to workers too, or a kill: workers are gone, and what is done is used."""
    pytest.importorskip("fcntl")
    runs, go = tmp_path / "runs", tmp_path / "go"
    cells = [{"seed": seed, "go": str(go)} for seed in range(3)]
    if how == signal.SIGINT:
        code = f"sweep(held_run, {cells}, folder={str(runs)!r}, jobs=2, progress=False)"
        process = run_apart(code, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    else:
        process = Apart(held_run, cells, runs, jobs=2, progress=False)
    wait_for(lambda: len(list(runs.glob("*.npz"))) == 2, process)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)
        _, said = process.communicate(timeout=600)
        assert process.returncode != 0
        assert said.count("Traceback") == 1 and "leaked" not in said and said.strip().endswith("KeyboardInterrupt"), (
            said
        )
    else:
        process.kill()

    def ended(seed):
        with open(f"{go}.{seed}") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    wait_for(lambda: ended(0) and ended(1))
    go.touch()
    # What goes on does not ask how it was stopped: once in workers is enough, whose start takes seconds.
    results = Apart(held_run, cells, runs, jobs=1 if how == signal.SIGINT else 2, progress=False).results()
    assert all(result["steps"] < 30 for result in results[:2]) and results[2]["steps"] == 30
    alone = [held_run(seed, go) for seed in range(3)]
    assert [r | {"steps": 0} for r in results] == [r | {"steps": 0} for r in alone]
    assert len(list(runs.iterdir())) == 3  # results alone


def test_sweep_on_a_dask_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    sys.path.insert(0, str(Path(__file__).parent))
    cells = [{"x": x, "fail": 1} for x in range(4)]
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),  # the one of `Apart`
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(lambda path: sys.path.insert(0, path), str(Path(__file__).parent))
        on_cluster = sweep(square, cells, folder=tmp_path, backend="dask", progress=False)
        here = sweep(square, cells, jobs=1, progress=False)
        assert [r.get("square") for r in on_cluster] == [r.get("square") for r in here]
        assert on_cluster[1] == here[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
            assert Apart(square, [{"x": 5}], None, backend="dask", progress=False).results()[0]["square"] == 25


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

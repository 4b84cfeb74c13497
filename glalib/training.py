"""Fitting a model to a prompt distribution, one run at a time or many at once.

A run is a function of its arguments: it can be interrupted at any step and goes on from its last checkpoint to the
same numbers. Checkpoints are plain arrays (.npz without pickle), results of sweeps are JSON.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import json
import math
import os
import pickle
import platform
import signal
import sys
import sysconfig
import tempfile
import threading
import time
from importlib.machinery import PathFinder
from pathlib import Path

import joblib
import numpy as np
import scipy
import torch
from tqdm import tqdm

from . import _check
from .distribution import PromptDistribution
from .gates import widen
from .layout import Layout
from .model import GLA
from .simulate import query_option
from .token_free import token_free_losses

BETAS = (0.9, 0.99)  # Adam; a short memory of the squares, as gradients fall by orders of magnitude during a run


class NonFiniteLoss(FloatingPointError):
    """The loss or its gradient is NaN or infinite; the model keeps the weights it had before that step."""


def fit(
    model,
    dist: PromptDistribution,
    *,
    steps=1000,
    batch=256,
    queries=16,
    lr=0.005,
    gate_lr=5.0,
    warmup=0.03,
    tokens=None,
    token_free=False,
    seed=0,
    checkpoint=None,
    every=100,
    progress=False,
) -> np.ndarray:
    """Train `model` in place with Adam on the squared error of fresh prompts; returns the training losses (steps,).

    - steps, batch, queries: steps; prompts a step; queries on each prompt, which share its context.
    - lr: largest learning rate: reached after the share `warmup` of the steps, then a cosine to zero. Gate parameters
      (names that end in W_g or b_g) learn `gate_lr` times as fast.
    - tokens: how prompts become Z: a `Layout`, or another callable from a `Prompts` record; Layout() if None. The
      model is called as model(Z) for one query, else model(Z, queries=queries), and returns (batch,) or
      (batch, queries).
    - token_free: draw the error itself (`token_free_losses`), for tokens of a `Layout`; `queries` plays no part.
    - seed: of the generator that draws the prompts. The start is the model's own.
    - checkpoint: path of a .npz file, written every `every` steps and at the end. If it is there the run goes on from
      it, to the same numbers as without a break; if it belongs to another run ValueError says in what. Of `tokens` it
      knows only whether they were given; of a module it keeps the trained weights, not buffers that training changes,
      nor the state of a generator that the module draws from by itself (dropout).
      A file that was edited is refused, as its digest does not fit. `seconds_spent` reads how long the run took.
    - progress: show a progress bar.

    Raises NonFiniteLoss where the loss or its gradient is not finite.
    """
    _check.instance("model", model, torch.nn.Module, "a torch module")
    _check.instance("dist", dist, PromptDistribution, "a PromptDistribution")
    steps, batch = _check.positive_int("steps", steps), _check.positive_int("batch", batch)
    queries, every = _check.positive_int("queries", queries), _check.positive_int("every", every)
    seed = _check.integer("seed", seed, 0, "an integer >= 0")
    lr = _check.real("lr", lr, 0.0, 1e30, "a number from 0 to 1e30")  # beyond, steps are no numbers in float32
    gate_lr = _check.real("gate_lr", gate_lr, 0.0, 1e6, "a number from 0 to 1e6")
    warmup = _check.real("warmup", warmup, 0.0, 1.0, "a number from 0 to 1")
    token_free, progress = _flag("token_free", token_free), _flag("progress", progress)
    path = None if checkpoint is None else _path("checkpoint", checkpoint)
    if tokens is not None and not callable(tokens):
        raise TypeError(f"tokens must be a Layout, a callable on Prompts or None; got {type(tokens).__name__}")
    tokens = Layout() if tokens is None else tokens
    if token_free and not isinstance(tokens, Layout):
        raise _check.fail("tokens", "a Layout where token_free is True", type(tokens).__name__)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise _check.fail("model", "a module with weights to train", "one without")
    names, parameters = list(trained), list(trained.values())
    dtype = parameters[0].dtype
    for name, p in model.state_dict().items():
        if torch.nn.parameter.is_lazy(p):
            raise _check.fail("model", "with weights that have been made", f"a lazy one without shape in {name}")
        if p.device.type != "cpu" or p.dtype == torch.bfloat16:  # checkpoints are numpy's
            raise _check.fail("model", "on the CPU, in a precision that numpy has", f"{p.dtype} on {p.device}")
    for name, p in trained.items():
        if p.dtype not in (torch.float32, torch.float64):  # in float16 Adam's squares of gradients are zero below 2e-4
            raise _check.fail("model", "with weights to train in float32 or float64", f"{p.dtype} in {name}")
        if not p.isfinite().all():
            raise _check.fail("model", "with finite weights", f"NaN or infinity in {name}")
    options = {} if token_free else query_option(model, queries)
    run = {
        "steps": steps,
        "batch": batch,
        "queries": queries,
        "lr": lr,
        "gate_lr": gate_lr,
        "warmup": warmup,
        "tokens": [tokens.delimiters, tokens.context] if isinstance(tokens, Layout) else "given",
        "token_free": token_free,
        "seed": seed,
        "model": repr(model),
        "dtype": str(dtype),
        "dist": [dist.d, dist.counts, dist.sigma, *(a.tolist() for a in (dist.r, dist.R, dist.Sx, dist.C))],
        "trained": names,
        "start": fingerprint(p.detach().numpy() for p in model.state_dict().values()),  # what is not trained as well
        "code": code_fingerprint(),
    }
    run = json.loads(json.dumps(run))

    generator = torch.Generator().manual_seed(seed)
    rates = [gate_lr if name.endswith(("W_g", "b_g")) else 1.0 for name in names]
    optimizer = torch.optim.Adam(
        [{"params": [p], "factor": f} for p, f in zip(parameters, rates, strict=True)], lr, BETAS
    )

    def losses():
        if token_free:
            return token_free_losses(model, dist, batch, generator, tokens)
        drawn = dist.sample(batch, generator, queries, dtype)
        Z = tokens(drawn)
        if Z is None:
            raise TypeError("what tokens returns must be tokens; got None")
        predictions = model(Z, **options)
        _check.instance("the model's output", predictions, torch.Tensor, "a torch tensor")
        shape = drawn.y_query.shape
        if predictions.shape != shape and (queries > 1 or predictions.shape != shape[:1]):
            raise _check.fail("the model's output", f"of shape {tuple(shape)}", f"shape {tuple(predictions.shape)}")
        if predictions.is_complex():
            raise _check.fail("the model's output", "of real numbers", str(predictions.dtype))
        if not predictions.requires_grad:
            raise _check.fail("the model's output", "such that it has gradients to the weights", "one without")
        return (drawn.y_query - predictions.reshape(shape)) ** 2

    history = np.full(steps, np.nan)
    first, spent = 0, 0.0
    if path is not None:
        _writable("checkpoint", path.parent)
        first, spent = _load(path, run, names, parameters, optimizer, generator, history)
    began = time.perf_counter() - spent
    # No bar at all without progress: tqdm makes a semaphore, which a worker that is ended would leave behind.
    shown = tqdm(total=steps, initial=first, unit="step", desc="fit") if progress else contextlib.nullcontext()
    with shown as bar:
        for step in range(first, steps):
            for group in optimizer.param_groups:
                group["lr"] = lr * group["factor"] * _schedule(step, steps, warmup)
            loss = losses().mean()
            optimizer.zero_grad()
            loss.backward()
            sizes = [p.grad.detach().norm() for p in parameters if p.grad is not None]
            if not sizes:  # only of other tensors
                raise _check.fail("the model's output", "such that it has gradients to the weights", "one without")
            size = torch.stack(sizes).norm().item()
            history[step] = loss.item()
            if not (math.isfinite(history[step]) and math.isfinite(size)):
                raise NonFiniteLoss(
                    f"the loss is {history[step]:g} and the norm of its gradient {size:g} at step {step} of {steps}; "
                    f"lr = {lr:g} may be too large, or the weights too large at the start"
                )
            optimizer.step()
            _said.step(step + 1, steps)
            if progress:
                bar.update()
            if progress and step % 20 == 0:
                bar.set_postfix(loss=f"{history[max(0, step - 20) : step + 1].mean():.5g}", refresh=False)
            if path is not None and ((step + 1) % every == 0 or step + 1 == steps):
                spent = time.perf_counter() - began
                _save(path, run, step + 1, spent, names, parameters, optimizer, generator, history)
    return history


def orthogonal_start(model, generator=None):
    """Draw W_q = W_k with orthonormal columns (or rows) in every layer of a `GLA`; returns the model.

    Then P = W_q W_k^T starts as the identity on what tokens show. With W_q and W_k drawn apart, P starts with
    eigenvalues of both signs, and those that must pass through zero take long.
    """
    _check.instance("model", model, GLA, "a GLA")
    _check.generator(generator)
    with torch.no_grad():
        for layer in model.layers:
            start = torch.nn.init.orthogonal_(torch.empty_like(widen(layer.W_q)), generator=generator)
            layer.W_q.copy_(start)
            layer.W_k.copy_(start)
    return model


def _schedule(step, steps, warmup):
    """A ramp over the share `warmup`, then a cosine to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _save(path, run, step, spent, names, parameters, optimizer, generator, history):
    """All that the run needs to go on, in one file that is there whole or not at all."""
    arrays = {"run": np.array(json.dumps(run)), "step": np.array(step), "seconds": np.array(float(spent))}
    arrays |= {"history": history, "generator": generator.get_state().numpy()}
    for name, p in zip(names, parameters, strict=True):
        arrays[f"weight/{name}"] = p.detach().numpy()
        for key, value in optimizer.state[p].items():
            arrays[f"adam/{name}/{key}"] = value.numpy()
    with _replacing(path) as part, part.open("wb") as file:
        np.savez(file, digest=np.array(_digest(arrays)), **arrays)


def _digest(arrays):
    names = sorted(set(arrays) - {"digest"})
    return fingerprint([np.array(names), *(arrays[name] for name in names)])


def _read(path):
    """The arrays of a checkpoint as they were written, or a complaint; None if there is no file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        run = dict(json.loads(str(arrays["run"])))
        if str(arrays["digest"]) != _digest(arrays):
            raise ValueError("it was changed since")
    except FileNotFoundError:  # also if another process has just finished this run and removed it
        return None
    except Exception as error:  # a broken file may raise anything
        expected = "a file that `fit` wrote; remove it to begin anew"
        raise _check.fail("checkpoint", expected, f"{path}: {error}") from None
    return arrays | {"run": run}


def _load(path, run, names, parameters, optimizer, generator, history):
    """Put back what `_save` wrote, if there is anything; the number of steps that are done, and the seconds."""
    arrays = _read(path)
    if arrays is None:
        return 0, 0.0
    if arrays["run"] != run:
        other = ", ".join(key for key in run if arrays["run"].get(key) != run[key])
        expected = "of this run; remove the file to begin anew"
        raise _check.fail("checkpoint", expected, f"{path}, which differs in {other}")
    with torch.no_grad():
        for name, p in zip(names, parameters, strict=True):
            p.copy_(torch.from_numpy(arrays[f"weight/{name}"]))
            state = {key: arrays.get(f"adam/{name}/{key}") for key in ("step", "exp_avg", "exp_avg_sq")}
            if state["step"] is not None:
                optimizer.state[p] = {key: torch.from_numpy(value) for key, value in state.items()}
    generator.set_state(torch.from_numpy(arrays["generator"]))
    history[:] = arrays["history"]
    return int(arrays["step"]), float(arrays["seconds"])


def seconds_spent(checkpoint) -> float:
    """How long the training took that led to this checkpoint, over all its interruptions; 0 if there is no file."""
    arrays = _read(_path("checkpoint", checkpoint))
    return 0.0 if arrays is None else float(arrays["seconds"])


def sweep(run, cells, *, folder=None, jobs=None, backend="loky", progress=True) -> list[dict]:
    """Call `run(**cell, checkpoint=path)` for every cell, many at a time; returns its results (dicts) in order.

    - run: a function at the top of a module, that returns a dict of JSON values; cells: list of dicts of JSON values.
      Both go through JSON, whether kept or not: tuples become lists, keys strings, numpy's scalars plain numbers.
    - folder: where results (JSON) and checkpoints are kept. A sweep that was interrupted goes on where it stopped: what
      is finished is read, what is begun goes on from its checkpoint. Results made by other code are not used, and left
      alone; `code_fingerprint` says what is seen of the code. Equal cells are run once. Two sweeps may share a folder.
      None: nothing is kept, and checkpoint is None.
    - jobs: processes, with one thread each; the machine's cores if None; 1 runs here. backend: a joblib backend:
      "loky" on this machine; "dask" on the cluster of the current client, or at DASK_SCHEDULER_ADDRESS; "ray".
    - progress: show a progress bar. It counts steps of `fit` in runs that are not finished, but for dask and ray.

    A run that raises FloatingPointError (NonFiniteLoss) leaves {"error": its message} in its place, and the others go
    on; other exceptions stop the sweep, with a note that names the cell and with what is finished kept. Processes end
    with this one, also where it is killed (not on Windows).
    """
    if not isinstance(cells, (list, tuple)):
        raise TypeError(f"cells must be a list of dicts; got {type(cells).__name__}")
    for i, cell in enumerate(cells):
        _check.instance(f"cells[{i}]", cell, dict, "a dict")
    if not callable(run):
        raise TypeError(f"run must be a function; got {type(run).__name__}")
    cells = [_as_json(f"cells[{i}]", cell) for i, cell in enumerate(cells)]
    for i, cell in enumerate(cells):
        if "checkpoint" in cell:
            raise _check.fail(f"cells[{i}]", "without 'checkpoint', which the sweep gives", _check.short(cell))
    jobs = joblib.cpu_count() if jobs is None else _check.positive_int("jobs", jobs)
    progress = _flag("progress", progress)
    _check.option("backend", backend, ("loky", "threading", "sequential", "dask", "ray"))
    paths = [None] * len(cells) if folder is None else _paths(run, cells, _path("folder", folder))
    results = [None if path is None or not path.exists() else _kept(path) for path in paths]
    for path, result in zip(paths, results, strict=True):
        if result is not None:
            path.with_suffix(".npz").unlink(missing_ok=True)  # stopped between the two
    alike = {path or i: i for i, path in reversed(list(enumerate(paths)))}  # the first of equal cells
    todo = [i for i, path in enumerate(paths) if results[i] is None and alike[path or i] == i]

    remote = backend in ("dask", "ray")  # workers elsewhere need not see this machine's files

    def call(i, notes):
        here = (None, None, None) if remote else (paths[i], f"{notes}/{i}", os.getpid())
        return joblib.delayed(_one)(run, i, cells[i], *here)

    finished = len(cells) - sum(result is None for result in results)
    if not todo:
        return results
    with _Progress(len(cells), finished, shown=progress) as bar, _backend(backend, min(jobs, len(todo))):
        calls = (call(i, bar.notes) for i in todo)
        for i, text in joblib.Parallel(return_as="generator_unordered", batch_size=1)(calls):
            result = json.loads(text)
            same = [j for j, path in enumerate(paths) if j == i or (path is not None and path == paths[i])]
            for j in same:
                results[j] = json.loads(text)  # each its own object
            if paths[i] is not None and "error" not in result:
                with _replacing(paths[i]) as part:
                    part.write_text(json.dumps({"digest": _seal(text), "result": result}), encoding="utf-8")
                paths[i].with_suffix(".npz").unlink(missing_ok=True)
            bar.finish(i, len(same))
    return results


def _paths(run, cells, folder):
    """Where each cell's result is kept, by what the code and the cell are; cleans up what killed processes left."""
    # Results go by the name and the file of `run`: those of two lambdas or closures could not be told apart.
    module, name = sys.modules.get(getattr(run, "__module__", None)), getattr(run, "__qualname__", "<")
    at_top = module
    for part in name.split("."):
        at_top = getattr(at_top, part, None)
    if not (inspect.isfunction(run) and at_top is run and Path(inspect.getsourcefile(run) or "").is_file()):
        raise _check.fail("run", "a function at the top of a module, where results are kept", _check.short(run))
    _writable("folder", folder)
    for part in folder.glob("*.part"):
        host, pid = part.name.split(".")[-3:-1] if part.name.count(".") >= 3 else ("", "")
        if host == _host() and pid.isdigit() and not _alive(int(pid)):
            part.unlink(missing_ok=True)
    code = code_fingerprint(run)
    texts = [json.dumps([code, name, cell], sort_keys=True) for cell in cells]
    return [folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json" for text in texts]


def _flag(name, value):
    _check.option(name, value, (True, False))
    return bool(value)


def _path(name, value):
    _check.instance(name, value, (str, os.PathLike), "a path or None")
    text = os.fspath(value)
    try:
        if not isinstance(text, str) or not text or "\0" in text:
            raise RuntimeError
        return Path(text).expanduser()
    except RuntimeError:  # a home that is not there, too
        raise _check.fail(name, "a path or None", _check.short(value)) from None


def _writable(name, folder):
    """Make the folder, and complain now rather than after the work if no file can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _check.fail(name, "in a folder that can be written to", f"{folder}: {error.strerror}") from None


@contextlib.contextmanager
def _replacing(path):
    """A file to write to, that takes the place of `path` when it is whole; a full disk or Ctrl-C leaves nothing."""
    part = path.with_name(f"{path.name}.{_host()}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _host():
    return "".join(c if c.isalnum() else "-" for c in platform.node())


def _alive(pid):
    try:
        os.kill(pid, 0) if os.name == "posix" else None  # elsewhere signal 0 is Ctrl-C
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _as_json(name, value):
    """What comes back when `value` is kept as JSON, so that fresh and kept results are the same."""
    try:
        text = json.dumps(value, default=_plain)
        return json.loads(text, object_pairs_hook=_once)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{name} must be of JSON values; got {error}") from None


def _plain(value):
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    raise TypeError(f"{type(value).__name__}")


def _once(pairs):
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError("two keys that are one as strings")
    return out


def _kept(path):
    """The result in that file, or a complaint."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        result = kept["result"]
        if not isinstance(result, dict) or kept["digest"] != _seal(json.dumps(result)):
            raise ValueError("it was changed since")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        given = f"{path}: {type(error).__name__}: {error}"
        raise _check.fail("folder", "one of whole results; remove this file to run its cell anew", given) from None
    return result


def _seal(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _one(run, i, cell, path, note, parent):
    """One cell, in a process of its own as a rule: one thread, and a loss that is not finite is a result.

    path: where the result will be kept, or None. note: the file that says how far the run is. parent: the process id
    of the sweep, or None on other machines.
    """
    if parent not in (None, os.getpid()):
        _end_with(parent)
    if path is not None and path.exists():  # another sweep was faster
        return i, json.dumps(_kept(path))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _said.to(note):
            result = run(**cell, checkpoint=None if path is None else str(path.with_suffix(".npz")))
        _check.instance("what run returns", result, dict, "a dict")
        return i, json.dumps(_as_json("what run returns", result))
    except FloatingPointError as error:
        return i, json.dumps({"error": f"{type(error).__name__}: {error}"})
    except Exception as error:
        where = f"in cells[{i}] of the sweep, {_check.short(cell)}"
        if parent != os.getpid() and not _travels(error):
            raise RuntimeError(f"{type(error).__name__}: {error}, {where}") from error
        error.add_note(where)
        raise
    finally:
        torch.set_num_threads(threads)


def _travels(error):
    """Whether another process can receive this exception."""
    try:
        return isinstance(pickle.loads(pickle.dumps(error)), type(error))
    except Exception:
        return False


_watched: set[int] = set()


def _end_with(parent):
    """End this process when its parent is gone: a killed sweep leaves nobody behind who competes with the next one.

    Ctrl-C is the parent's business, which ends its workers.
    """
    if parent in _watched:
        return
    _watched.add(parent)
    with contextlib.suppress(ValueError):  # only in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.name == "posix" and os.getppid() == parent:
        threading.Thread(target=watch, daemon=True).start()


class _Said(threading.local):
    """How far the run of this thread is, written to a file at most twice a second."""

    note, last = None, 0.0

    @contextlib.contextmanager
    def to(self, note):
        self.note = note
        try:
            yield
        finally:
            self.note = None

    def step(self, done, steps):
        if self.note is not None and time.monotonic() > self.last + 0.5:
            self.last = time.monotonic()
            with contextlib.suppress(OSError):  # the sweep may be over
                Path(self.note).write_text(repr(done / steps))


_said = _Said()


class _Progress:
    """A progress bar of finished runs and of the shares of those that are not, read from the files of `_Said`."""

    def __init__(self, total, finished, shown):
        self.shares, self.finished, self.done, self.over = {}, finished, set(), threading.Event()
        form = "{desc}{percentage:3.0f}%|{bar}| {n:.2f} of {total} runs [{elapsed}, about {remaining} left]"
        self.bar = tqdm(total=total, initial=finished, disable=not shown, bar_format=form)

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="glalib-", ignore_cleanup_errors=True)
        self.notes = self.folder.name
        self.thread = threading.Thread(target=self.look, daemon=True)
        if not self.bar.disable:
            self.thread.start()
        return self

    def look(self):
        while not self.over.wait(0.5):
            for note in Path(self.notes).iterdir():
                with contextlib.suppress(ValueError, OSError):  # just being written
                    self.shares[int(note.name)] = float(note.read_text())
            self.show()

    def show(self):
        self.bar.n = self.finished + sum(share for i, share in list(self.shares.items()) if i not in self.done)
        self.bar.refresh()

    def finish(self, i, runs):
        self.done.add(i)
        self.finished += runs
        self.show()

    def __exit__(self, *_):
        self.over.set()
        if self.thread.is_alive():
            self.thread.join()
        self.bar.close()
        self.folder.cleanup()


@contextlib.contextmanager
def _backend(backend, jobs):
    """joblib's own backends, with the address of an existing cluster where one is needed."""
    options = {"n_jobs": max(jobs, 1)}
    if backend == "loky" and jobs <= 1:
        backend = "sequential"
    if backend == "ray":
        try:
            from ray.util.joblib import register_ray
        except ImportError:
            raise ImportError("backend 'ray' needs ray, which is not installed here") from None
        register_ray()
    if backend == "dask":
        options = {"n_jobs": -1}
        try:
            import distributed
        except ImportError:
            raise ImportError("backend 'dask' needs dask's package `distributed`: install glalib[cluster]") from None
        try:
            distributed.get_client()
        except ValueError:
            address = os.environ.get("DASK_SCHEDULER_ADDRESS")
            if not address:
                expected = "'dask' with a dask client in this process, or DASK_SCHEDULER_ADDRESS in the environment"
                raise _check.fail("backend", expected, "'dask' without either") from None
            options["scheduler_host"] = address
    with joblib.parallel_config(backend, **options):
        yield


def fingerprint(arrays) -> str:
    """A short name for the contents of arrays, shapes included."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def code_fingerprint(run=None) -> str:
    """A short name for the code that a result depends on.

    Seen: the files of glalib; those of `run`'s module, and of all modules that these import, at the top or inside a
    function, as long as they are not installed packages or the standard library; the versions of torch, numpy and
    scipy. Not seen: modules imported by a name that is made at run time, other installed packages, data files, and
    what is set in a module after its import.
    """
    digest = hashlib.sha256(f"{torch.__version__} {np.__version__} {scipy.__version__}".encode())
    files = set(Path(__file__).resolve().parent.rglob("*.py"))
    if run is not None:
        if not inspect.isfunction(run):
            raise TypeError(f"run must be a function or None; got {type(run).__name__}")
        files |= _sources(run, files)
    for text in sorted(file.name.encode() + b"\0" + file.read_bytes() for file in files):
        digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()[:16]


def _sources(run, known):
    """The files of the modules that `run` depends on, in the sense of `code_fingerprint`, beside those known."""
    found, todo = set(known), []
    for function in {run, inspect.unwrap(run)}:  # a decorated function has two files
        todo.append((function.__module__, inspect.getsourcefile(function)))
        todo.append((function.__module__, _file_of(function.__module__)))
    while todo:
        name, file = todo.pop()
        if file is None or not Path(file).is_file() or _is_installed(Path(file)) or Path(file).resolve() in found:
            continue
        file = Path(file).resolve()
        found.add(file)
        if file.suffix == ".py":
            package = name if file.stem == "__init__" else name.rpartition(".")[0]
            with contextlib.suppress(SyntaxError, ValueError):  # such a file cannot be imported either
                todo += [(other, _file_of(other)) for other in _imports(ast.parse(file.read_bytes()), package)]
    return found


def _imports(tree, package):
    """The names of all modules that may be meant by the imports of a file of that package, parents included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names |= {base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)} - {""}
    return {".".join(name.split(".")[: k + 1]) for name in names for k in range(name.count(".") + 1)}


def _file_of(name):
    """The file of the module of that name, if there is one."""
    module = sys.modules.get(name)
    if getattr(module, "__file__", None):
        return module.__file__
    spec = _spec(name)
    return spec.origin if spec is not None and spec.has_location else None


def _spec(name):
    """Where a module would be imported from; nothing is imported for this."""
    package = name.rpartition(".")[0]
    try:
        if not package:
            return importlib.util.find_spec(name)
        return PathFinder.find_spec(name, getattr(_spec(package), "submodule_search_locations", None) or [])
    except (ImportError, ValueError, AttributeError):
        return None


def _is_installed(file):
    standard = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib")}
    file = file.resolve()
    return bool({"site-packages", "dist-packages"} & set(file.parts)) or bool(standard & set(file.parents))

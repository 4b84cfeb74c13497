"""Many runs at a time, each kept as it ends: a sweep that is interrupted goes on where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import torch

from .. import _check
from ..files import as_path, check_writable, host, replacing
from ..progress import said
from ..training.fingerprints import code_fingerprint
from .bar import Progress

Function = Callable[..., dict[str, Any]]
Backend = Literal["loky", "threading", "sequential", "dask", "ray"]


def sweep(
    function: Function,
    cells: list[dict[str, Any]],
    *,
    folder: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    backend: Backend = "loky",
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Call `function(**cell, checkpoint=path)` for every cell, many at a time; returns its results (dicts) in order.

    - function: one at the top of a module, that returns a dict of JSON values; cells: list of dicts of JSON values.
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
    cells = _checked(function, cells)
    jobs = joblib.cpu_count() if jobs is None else _check.positive_int("jobs", jobs)
    progress = _check.flag("progress", progress)
    _check.option("backend", backend, ("loky", "threading", "sequential", "dask", "ray"))
    paths = [None] * len(cells) if folder is None else _paths(function, cells, as_path("folder", folder))
    results = [_finished(path) for path in paths]
    alike = {path or i: i for i, path in reversed(list(enumerate(paths)))}  # the first of equal cells
    todo = [i for i, path in enumerate(paths) if results[i] is None and alike[path or i] == i]
    finished = len(cells) - results.count(None)
    if not todo:
        return results
    with Progress(len(cells), finished, shown=progress) as bar, _backend(backend, min(jobs, len(todo))):
        remote = backend in ("dask", "ray")  # workers elsewhere need not see this machine's files
        here = {i: (None,) * 3 if remote else (paths[i], f"{bar.notes}/{i}", os.getpid()) for i in todo}
        calls = (joblib.delayed(one_cell)(function, i, cells[i], *here[i]) for i in todo)
        options: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}
        texts: Any = joblib.Parallel(**options)(calls)
        for i, text in texts:
            same = [j for j, path in enumerate(paths) if j == i or (path is not None and path == paths[i])]
            for j in same:
                results[j] = json.loads(text)  # each its own object
            if paths[i] is not None and "error" not in results[i]:
                _keep(paths[i], text)
            bar.finish(i, len(same))
    return results


def one_cell(
    function: Function, i: int, cell: dict[str, Any], path: Path | None, note: str | None, parent: int | None
) -> tuple[int, str]:
    """One cell, in a process of its own as a rule: one thread, and a loss that is not finite is a result.

    path: where the result will be kept, or None. note: the file that says how far the run is. parent: the process id
    of the sweep, or None on other machines.
    """
    if parent is not None and parent != os.getpid():
        _end_with(parent)
    if path is not None and path.exists():  # another sweep was faster
        return i, json.dumps(_kept(path))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with said.to(note):
            result = function(**cell, checkpoint=None if path is None else str(path.with_suffix(".npz")))
        _check.instance("what function returns", result, dict, "a dict")
        return i, json.dumps(_as_json("what function returns", result))
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


def _checked(function: Any, cells: Any) -> list[dict[str, Any]]:
    """The cells as JSON keeps them, or a complaint."""
    if not isinstance(cells, (list, tuple)):
        raise TypeError(f"cells must be a list of dicts; got {type(cells).__name__}")
    for i, cell in enumerate(cells):
        _check.instance(f"cells[{i}]", cell, dict, "a dict")
    if not callable(function):
        raise TypeError(f"function must be a function; got {type(function).__name__}")
    cells = [_as_json(f"cells[{i}]", cell) for i, cell in enumerate(cells)]
    for i, cell in enumerate(cells):
        if "checkpoint" in cell:
            raise _check.fail(f"cells[{i}]", "without 'checkpoint', which the sweep gives", _check.short(cell))
    checked: list[dict[str, Any]] = cells
    return checked


def _paths(function: Function, cells: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Where each cell's result is kept, by what the code and the cell are; cleans up what killed processes left."""
    # Results go by the name and the file of `function`: those of two lambdas or closures could not be told apart.
    name = getattr(function, "__qualname__", "<")
    at_top: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in name.split("."):
        at_top = getattr(at_top, part, None)
    if not (inspect.isfunction(at_top) and at_top is function and Path(inspect.getsourcefile(at_top) or "").is_file()):
        raise _check.fail("function", "one at the top of a module, where results are kept", _check.short(function))
    check_writable("folder", folder)
    _remove_leftovers(folder)
    code = code_fingerprint(function)
    texts = [json.dumps([code, name, cell], sort_keys=True) for cell in cells]
    return [folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json" for text in texts]


def _remove_leftovers(folder: Path) -> None:
    """Remove the parts of files that processes of this machine left behind when they were killed."""
    for part in folder.glob("*.part"):
        owner, pid = part.name.split(".")[-3:-1] if part.name.count(".") >= 3 else ("", "")
        if owner == host() and pid.isdigit() and not _is_alive(int(pid)):
            part.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    """Whether there is a process of that number here; True where that cannot be asked."""
    try:
        os.kill(pid, 0) if os.name == "posix" else None  # elsewhere signal 0 is Ctrl-C
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _as_json(name: str, value: Any) -> Any:
    """What comes back when `value` is kept as JSON, so that fresh and kept results are the same."""
    try:
        text = json.dumps(value, default=_plain)
        return json.loads(text, object_pairs_hook=_once)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{name} must be of JSON values; got {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    raise TypeError(f"{type(value).__name__}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError("two keys that are one as strings")
    return out


def _keep(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps({"digest": _seal(text), "result": json.loads(text)}), encoding="utf-8")
    path.with_suffix(".npz").unlink(missing_ok=True)


def _finished(path: Path | None) -> Any:
    """The result that is kept there; None if there is none."""
    if path is None or not path.exists():
        return None
    result = _kept(path)
    path.with_suffix(".npz").unlink(missing_ok=True)  # a sweep stopped between the two
    return result


def _kept(path: Path) -> dict[str, Any]:
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


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _travels(error: Exception) -> bool:
    """Whether another process can receive this exception."""
    try:
        return isinstance(pickle.loads(pickle.dumps(error)), type(error))
    except Exception:
        return False


_watched: set[int] = set()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: a killed sweep leaves nobody behind who competes with the next one.

    Ctrl-C is the parent's business, which ends its workers.
    """
    if parent in _watched:
        return
    _watched.add(parent)
    with contextlib.suppress(ValueError):  # only in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.name == "posix" and os.getppid() == parent:
        threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _backend(backend: str, jobs: int) -> Iterator[None]:
    """joblib's own backends, with the address of an existing cluster where one is needed."""
    options: dict[str, Any] = {"n_jobs": max(jobs, 1)}
    if backend == "loky" and jobs <= 1:
        backend = "sequential"
    if backend == "ray":
        try:
            register_ray = import_module("ray.util.joblib").register_ray
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

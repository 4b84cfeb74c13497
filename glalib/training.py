"""Fitting a model to a prompt distribution, one run at a time or many at once.

A run is a function of its arguments: it can be interrupted at any step and goes on from its last checkpoint to the
same numbers. Checkpoints are plain arrays (.npz without pickle), results of sweeps are JSON.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
from pathlib import Path

import joblib
import numpy as np
import torch
from tqdm import tqdm

from . import _check
from .prompts import PromptDistribution
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
    delimiters=False,
    context=False,
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
    - delimiters, context: how prompts become tokens, as in `PromptDistribution.tokens`; or tokens, a callable from a
      `Prompts` record to Z. The model is called as model(Z) for one query, else model(Z, queries=queries), and returns
      (batch,) or (batch, queries).
    - token_free: draw the error itself (`token_free_losses`); `queries` and `tokens` play no part.
    - seed: of the generator that draws the prompts. The start is the model's own.
    - checkpoint: path of a .npz file, written every `every` steps and at the end. If it is there the run goes on from
      it, to the same numbers as without a break; if it belongs to another run ValueError says in what. Of `tokens` it
      knows only whether they were given; of a module it keeps the trained weights, not buffers that training changes.
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
    _check.option("delimiters", delimiters, (True, False))
    _check.option("token_free", token_free, (True, False))
    if tokens is not None and not callable(tokens):
        raise TypeError(f"tokens must be a callable on Prompts or None; got {type(tokens).__name__}")
    if tokens is not None and token_free:
        raise _check.fail("tokens", "None where token_free is True", "a callable")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise _check.fail("model", "a module with weights to train", "one without")
    names, parameters = list(trained), list(trained.values())
    dtype = parameters[0].dtype
    for p in model.state_dict().values():
        if p.device.type != "cpu" or p.dtype == torch.bfloat16:  # checkpoints are numpy's
            raise _check.fail("model", "on the CPU, in a precision that numpy has", f"{p.dtype} on {p.device}")
    run = {
        "steps": steps,
        "batch": batch,
        "queries": queries,
        "lr": lr,
        "gate_lr": gate_lr,
        "warmup": warmup,
        "delimiters": delimiters,
        "context": np.asarray(context).tolist(),
        "tokens": None if tokens is None else "given",
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
    if tokens is None:

        def tokens(drawn):
            return dist.tokens(drawn, delimiters, context)

    def losses():
        if token_free:
            return token_free_losses(model, dist, batch, generator, delimiters, context)
        drawn = dist.sample(batch, generator, queries, dtype)
        Z = tokens(drawn)
        predictions = model(Z) if queries == 1 else model(Z, queries=queries)
        _check.instance("the model's output", predictions, torch.Tensor, "a torch tensor")
        shape = drawn.y_query.shape
        if predictions.shape != shape and (queries > 1 or predictions.shape != shape[:1]):
            raise _check.fail("the model's output", f"of shape {tuple(shape)}", f"shape {tuple(predictions.shape)}")
        if not predictions.requires_grad:
            raise _check.fail("the model's output", "such that it has gradients to the weights", "one without")
        return (drawn.y_query - predictions.reshape(shape)) ** 2

    history = np.full(steps, np.nan)
    first = 0 if checkpoint is None else _load(Path(checkpoint), run, names, parameters, optimizer, generator, history)
    with tqdm(total=steps, initial=first, disable=not progress, unit="step", desc="fit") as bar:
        for step in range(first, steps):
            for group in optimizer.param_groups:
                group["lr"] = lr * group["factor"] * _schedule(step, steps, warmup)
            loss = losses().mean()
            optimizer.zero_grad()
            loss.backward()
            size = torch.stack([p.grad.detach().norm() for p in parameters if p.grad is not None]).norm().item()
            history[step] = loss.item()
            if not (math.isfinite(history[step]) and math.isfinite(size)):
                raise NonFiniteLoss(
                    f"the loss is {history[step]:g} and the norm of its gradient {size:g} at step {step} of {steps}; "
                    f"lr = {lr:g} may be too large, or the weights too large at the start"
                )
            optimizer.step()
            bar.update()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{history[max(0, step - 20) : step + 1].mean():.5g}", refresh=False)
            if checkpoint is not None and ((step + 1) % every == 0 or step + 1 == steps):
                _save(Path(checkpoint), run, step + 1, names, parameters, optimizer, generator, history)
    return history


def orthogonal_start(model, generator=None):
    """Draw W_q = W_k with orthonormal columns (or rows) in every layer of a `GLA`; returns the model.

    Then P = W_q W_k^T starts as the identity on what tokens show. With W_q and W_k drawn apart, P starts with
    eigenvalues of both signs, and those that must pass through zero take long.
    """
    with torch.no_grad():
        for layer in model.layers:
            torch.nn.init.orthogonal_(layer.W_q, generator=generator)
            layer.W_k.copy_(layer.W_q)
    return model


def _schedule(step, steps, warmup):
    """A ramp over the share `warmup`, then a cosine to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _save(path, run, step, names, parameters, optimizer, generator, history):
    """All that the run needs to go on, in one file that is there whole or not at all."""
    arrays = {"run": np.array(json.dumps(run)), "step": np.array(step), "history": history}
    arrays["generator"] = generator.get_state().numpy()
    for name, p in zip(names, parameters, strict=True):
        arrays[f"weight/{name}"] = p.detach().numpy()
        for key, value in optimizer.state[p].items():
            arrays[f"adam/{name}/{key}"] = value.numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(path.name + f".{os.getpid()}.part")
    try:
        with open(whole, "wb") as file:
            np.savez(file, **arrays)
        os.replace(whole, path)
    finally:
        whole.unlink(missing_ok=True)  # a full disk or Ctrl-C leaves nothing behind


def _load(path, run, names, parameters, optimizer, generator, history):
    """Put back what `_save` wrote, if there is anything; returns the number of steps that are done."""
    if not path.exists():
        return 0
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        theirs = dict(json.loads(str(arrays["run"])))
    except Exception as error:  # a broken file may raise anything
        expected = "a file that `fit` wrote; remove it to begin anew"
        raise _check.fail("checkpoint", expected, f"{path}: {error}") from None
    if theirs != run:
        other = ", ".join(key for key in run if theirs.get(key) != run[key])
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
    return int(arrays["step"])


def sweep(run, cells, *, folder=None, jobs=None, backend="loky", progress=True) -> list[dict]:
    """Call `run(**cell, checkpoint=path)` for every cell, many at a time; returns its results (dicts) in order.

    - run: a function at the top of a module, that returns a dict of JSON values; cells: list of dicts of JSON values.
    - folder: where results (JSON) and checkpoints are kept. A sweep that was interrupted goes on where it stopped: what
      is finished is read, what is begun goes on from its checkpoint. Results made by other code, of glalib or of run's
      module, are not used. None: nothing is kept, and checkpoint is None.
    - jobs: processes, with one thread each; the machine's cores if None; 1 runs here. backend: a joblib backend:
      "loky" on this machine; "dask" on the cluster of the current client, or at DASK_SCHEDULER_ADDRESS; "ray".
    - progress: show a progress bar.

    A run that raises FloatingPointError (NonFiniteLoss) leaves {"error": its message} in its place, and the others go
    on; other exceptions stop the sweep, with what is finished kept.
    """
    cells = list(cells)
    for i, cell in enumerate(cells):
        _check.instance(f"cells[{i}]", cell, dict, "a dict")
    if not callable(run):
        raise TypeError(f"run must be a function; got {type(run).__name__}")
    jobs = joblib.cpu_count() if jobs is None else _check.positive_int("jobs", jobs)
    _check.option("backend", backend, ("loky", "threading", "sequential", "dask", "ray"))
    results, paths = [None] * len(cells), [None] * len(cells)
    if folder is not None:
        _check.instance("folder", folder, (str, os.PathLike), "a path or None")
        # Results go by the name and the file of `run`: those of two lambdas or closures could not be told apart.
        known = inspect.isfunction(run) and "<" not in run.__qualname__
        if not (known and Path(inspect.getsourcefile(run) or "").is_file()):
            raise _check.fail("run", "a function at the top of a module, where results are kept", _check._short(run))
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        code = code_fingerprint(run)
        for i, cell in enumerate(cells):
            text = _json(f"cells[{i}]", [code, run.__qualname__, cell], sort_keys=True)
            paths[i] = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"
            if paths[i].exists():
                results[i] = _kept(paths[i])
    todo = [i for i in range(len(cells)) if results[i] is None]

    remote = backend in ("dask", "ray")  # workers elsewhere need not see this machine's files

    def call(i):
        checkpoint = None if paths[i] is None or remote else str(paths[i].with_suffix(".npz"))
        return joblib.delayed(_one)(run, i, cells[i], checkpoint)

    with tqdm(total=len(cells), initial=len(cells) - len(todo), disable=not progress, unit="run") as bar:
        if todo:
            with _backend(backend, jobs):
                for i, result in joblib.Parallel(return_as="generator_unordered", batch_size=1)(map(call, todo)):
                    _check.instance("what run returns", result, dict, "a dict")
                    results[i] = result
                    if paths[i] is not None and "error" not in result:
                        part = paths[i].with_suffix(".part")
                        part.write_text(_json("what run returns", result), encoding="utf-8")
                        os.replace(part, paths[i])
                        paths[i].with_suffix(".npz").unlink(missing_ok=True)
                    bar.update()
    return results


def _json(name, value, **options):
    try:
        return json.dumps(value, **options)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be of JSON values; got {error}") from None


def _kept(path):
    """The result in that file, or a complaint."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        result = error
    if not isinstance(result, dict):
        raise _check.fail("folder", "one of whole results; remove this file to run its cell anew", f"{path}: {result}")
    return result


def _one(run, i, cell, checkpoint):
    """One cell, in a process of its own as a rule: one thread, and a loss that is not finite is a result."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return i, run(**cell, checkpoint=checkpoint)
    except FloatingPointError as error:
        return i, {"error": f"{type(error).__name__}: {error}"}
    finally:
        torch.set_num_threads(threads)


def _backend(backend, jobs):
    """joblib's own backends, with the address of an existing cluster where one is needed."""
    if backend == "loky":
        return joblib.parallel_config("sequential" if jobs == 1 else "loky", n_jobs=jobs)
    if backend == "ray":
        try:
            from ray.util.joblib import register_ray
        except ImportError:
            raise ImportError("backend 'ray' needs ray, which is not installed here") from None
        register_ray()
    if backend == "dask":
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
            return joblib.parallel_config("dask", n_jobs=-1, scheduler_host=address)
    return joblib.parallel_config(backend, n_jobs=jobs if backend != "dask" else -1)


def fingerprint(arrays) -> str:
    """A short name for the contents of arrays, shapes included."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def code_fingerprint(run=None) -> str:
    """A short name for the code that a result depends on: glalib, the file of `run`, torch and numpy."""
    digest = hashlib.sha256(f"{torch.__version__} {np.__version__}".encode())
    files = sorted(Path(__file__).parent.glob("*.py"))
    if run is not None and inspect.getsourcefile(run):
        files.append(Path(inspect.getsourcefile(run)))
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]

"""A run that can be written down and gone on with: plain arrays in a .npz file, without pickle, under a digest."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import _check
from .._check import Array
from ..files import as_path, replacing
from ..gates import widen
from .fingerprints import fingerprint


@dataclass
class Run:
    """A run of `fit`: what it is, and where it stands after `step` steps.

    - identity: a dict of JSON values. `phases` in it are the steps at which a schedule ends: one, and one more for each
      time that a finished run was continued. `steps` is the last of them.
    - model: what is trained. weights: what Adam moves, by name. history (steps,): the loss of every step.
    - seconds: how long this took, over all interruptions.
    """

    identity: dict[str, Any]
    model: torch.nn.Module
    weights: dict[str, torch.Tensor]
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    history: Array
    step: int = 0
    seconds: float = 0.0

    @property
    def phase(self) -> tuple[int, int]:
        """The steps at which the schedule in force began and will end."""
        begin, end = [0, *self.identity["phases"]][-2:]
        return begin, end

    def save(self, path: Path) -> None:
        """Write all that the run needs to go on, in one file that is there whole or not at all."""
        identity, now = json.dumps(self.identity), state_fingerprint(self.model)
        arrays: dict[str, Any] = {"identity": np.array(identity), "now": np.array(now), "step": np.array(self.step)}
        arrays |= {"seconds": np.array(float(self.seconds)), "history": self.history}
        arrays["generator"] = self.generator.get_state().numpy()
        for name, p in self.weights.items():
            arrays[f"weight/{name}"] = p.detach().cpu().numpy()
            for key, value in self.optimizer.state[p].items():
                arrays[f"adam/{name}/{key}"] = value.cpu().numpy()
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, digest=np.array(_digest(arrays)), **arrays)

    def load(self, path: Path) -> None:
        """Go on from that file, if it is there; complain if it is of another run.

        If it is this run with fewer steps, and finished, this is its continuation: a new phase begins.
        """
        arrays = _read(path)
        if arrays is None:
            return
        kept, done = arrays["identity"], int(arrays["step"])
        if self.identity["start"] == str(arrays.get("now")):  # the model holds what the file does: as good as its start
            self.identity["start"] = kept.get("start")
        other = [key for key in self.identity if key != "phases" and kept.get(key) != self.identity[key]]
        continues = other == ["steps"] and kept["steps"] == done < self.identity["steps"]
        if other and not continues:
            expected = "of this run; remove the file to begin anew"
            raise _check.fail("checkpoint", expected, f"{path}, which differs in {', '.join(other)}")
        self.identity["phases"] = kept["phases"] + [self.identity["steps"]] * continues
        with torch.no_grad():
            for name, p in self.weights.items():
                p.copy_(torch.from_numpy(arrays[f"weight/{name}"]))
                state = {key: arrays.get(f"adam/{name}/{key}") for key in ("step", "exp_avg", "exp_avg_sq")}
                if state["step"] is not None:
                    there = {key: torch.from_numpy(value) for key, value in state.items()}
                    # Adam counts its steps on the CPU, wherever the weights are.
                    self.optimizer.state[p] = {k: v if k == "step" else v.to(p.device) for k, v in there.items()}
        self.generator.set_state(torch.from_numpy(arrays["generator"]))
        self.history[: len(arrays["history"])] = arrays["history"]
        self.step, self.seconds = done, float(arrays["seconds"])


def seconds_spent(checkpoint: str | os.PathLike[str]) -> float:
    """How long the training took that led to this checkpoint, over all its interruptions; 0 if there is no file."""
    arrays = _read(as_path("checkpoint", checkpoint))
    return 0.0 if arrays is None else float(arrays["seconds"])


def state_fingerprint(model: torch.nn.Module) -> str:
    """A short name for all numbers of a model: those that are not trained as well."""
    return fingerprint(widen(value.detach()).cpu().numpy() for value in model.state_dict().values())


def _digest(arrays: dict[str, Any]) -> str:
    names = sorted(set(arrays) - {"digest"})
    return fingerprint([np.array(names), *(arrays[name] for name in names)])


def _read(path: Path) -> dict[str, Any] | None:
    """The arrays of a checkpoint as they were written, or a complaint; None if there is no file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        identity = dict(json.loads(str(arrays["identity"])))
        if str(arrays["digest"]) != _digest(arrays):
            raise ValueError("it was changed since")
    except FileNotFoundError:  # also if another process has just finished this run and removed it
        return None
    except Exception as error:  # a broken file may raise anything
        expected = "a file that `fit` wrote; remove it to begin anew"
        raise _check.fail("checkpoint", expected, f"{path}: {error}") from None
    return arrays | {"identity": identity}

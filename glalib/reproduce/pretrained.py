"""What the gates of a trained Mamba do on text: at the borders of pieces, at line ends, at spaces, anywhere.

A channel's gate is read as its rate, -log g = A Delta with the mean A of its states: a rate of one leaves 1/e. A
channel's memory is one over its mean rate on a text, in bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .. import _check
from .._check import Array
from ..attention import gla
from .byte_mamba import ByteMamba, Change, agreement, as_bytes, byte_mamba, held, steady
from .byte_texts import Integers, borders, corpus, corpus_digest, drawn, inner_marks
from .one_run import Row, swept
from .provenance import load_average, provenance, versions
from .sweep import Backend

SCALES = (1.0, 10.0)  # bytes of memory that part fast channels from middle and slow ones
WINDOW, REACH = 8, (1, 2, 4, 8, 16, 32)  # bytes around a mark
CLOSE, NEAR = 4, 16  # bytes from a mark that belong to it; bytes from a border that are near it
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TEXT = "The gate closes here. Then it opens again.\n\nfor i in range(9):\n    print(i)\n.note { color: red; }\n"
PROSE = ("text", "markdown", "restructuredtext")  # Python's help is prose with marks, so any of these is right of it


def by_scale(values: Array, groups: Integers) -> Array:
    """(layers, channels, k) to (layers, scales, k): means over the channels of a layer and a scale, NaN where none."""
    out = np.full((len(values), len(SCALES) + 1, values.shape[2]), np.nan)
    for layer, scale in np.ndindex(out.shape[:2]):
        if (chosen := groups[layer] == scale).any():
            out[layer, scale] = values[layer, chosen].mean(0)
    return out


def profile(values: Array, groups: Integers, places: Integers) -> Array:
    """(layers, scales, 2 WINDOW): values (layers, T, channels) around places, in times their channel's mean.

    groups (layers, channels) in 0, 1, 2; offset WINDOW is the first byte after a mark.
    """
    near = places[:, None] + np.arange(-WINDOW, WINDOW)
    around = (values / values.mean(1, keepdims=True))[:, near].mean(1)
    return by_scale(around.swapaxes(1, 2), groups)


def reach(rates: Array, steps: Array, groups: Integers, places: Integers) -> Array:
    """(2, layers, scales, len(REACH)): of the sum of all weights at a byte, the share of those from across the mark.

    First as seen from the m-th byte after the mark, by the scan from the left; then from the m-th before, by the other.
    """
    shares, one = [], torch.ones(rates.shape[1], 1, dtype=torch.float64)
    for turned in (False, True):
        r, u, at = (rates[:, ::-1], steps[:, ::-1], rates.shape[1] - places) if turned else (rates, steps, places)
        total = gla(one, one, torch.from_numpy(u.copy()), torch.from_numpy(np.exp(-r)), "value").numpy()
        passed, seen = np.cumsum(r, 1), at[:, None] + np.array(REACH) - 1
        left = total[:, at - 1, None] * np.exp(passed[:, at - 1, None] - passed[:, seen])
        shares.append(by_scale((left / total[:, seen]).mean(1).swapaxes(1, 2), groups))
    return np.stack(shares)


def told_by_byte(rates: Array, tokens: Integers) -> Array:
    """(layers, channels): of the variance of log rates over a text, the share that the byte explains, without bias."""
    logs, (_, which) = np.log(rates), np.unique(tokens, return_inverse=True)
    n, k = len(tokens), which.max() + 1
    mean = (which[:, None] == np.arange(k)) / np.bincount(which)
    rest = logs - np.einsum("tk,ltc->lkc", mean, logs)[:, which]
    out: Array = 1 - (rest**2).sum(1) / (n - k) / logs.var(1, ddof=1)
    return out


def right(
    model: ByteMamba, tokens: torch.Tensor, kinds: Sequence[str], starts: Integers, inside: dict[str, Integers]
) -> dict[str, Array]:
    """The share of bytes whose kind the model tells, near borders, elsewhere and near random places, as it is and with
    its steps changed. kinds: of each byte."""
    length, random = len(tokens), inside["anywhere"][: len(starts)]
    changes: dict[str, Change | None] = {
        "as it is": None,
        "forgets steadily": lambda layer, step: (step, steady(step)),
        "writes steadily": lambda layer, step: (steady(step), step),
        "steady": lambda layer, step: (steady(step), steady(step)),
        "held at borders": held(starts, length),
        "held at line ends": held(inside["line"][: len(starts)], length),
        "held anywhere": held(random, length),
    }
    at, out = np.arange(length)[:, None], {}
    border, other = ((abs(at - x) <= NEAR).any(1) for x in (starts, random))
    for name, change in changes.items():
        said = [model.labels[i] for i in model(tokens, change).logits.argmax(1)]
        hit = np.array([a == b or (b == "text" and a in PROSE) for a, b in zip(said, kinds, strict=True)])
        out[name] = np.array([hit[border].mean(), hit[~border & ~other].mean(), hit[other].mean()])
    return out


def read_texts(seed: int, files: str, checkpoint: str | os.PathLike[str] | None = None) -> Row:
    """What is seen on one draw of texts. files: names weights and texts, so that what a folder keeps is of these.

    kept: the share of what came before that the bytes of a mark leave, 2 CLOSE of them. over: by how much slow channels
    forget faster at these bytes of a new kind than at those of another mark, in times their means.
    """
    (kinds, texts), model = drawn(_check.integer("seed", seed, 0, "an integer >= 0")), byte_mamba()
    rng, A = np.random.default_rng([seed, 1]), model.rates().mean(2)[:, None].double().numpy()
    out: Row = {"profile": {}, "sizes": {}, "reach": {}, "kept": {}}
    for name, parts in texts.items():
        tokens, starts = as_bytes("".join(parts)), borders(parts)
        steps, sizes = (x.double().numpy() for x in model(tokens)[1:])
        rates, memory = A * steps, 1 / (A * steps).mean(1)
        groups, inside = np.digitize(memory, SCALES), inner_marks("".join(parts).encode(), starts, rng)
        for mark, at in ({name: starts} | (inside if name == "new kind" else {})).items():
            if at.size:
                out["profile"][mark] = profile(rates, groups, at)
                out["reach"][mark] = reach(rates, steps, groups, at)
                lost = rates[:, at[:, None] + np.arange(-CLOSE, CLOSE)].sum(2)
                out["kept"][mark] = by_scale(np.exp(-lost).swapaxes(1, 2), groups).mean(2)
                if mark in ("new kind", "line", "anywhere"):
                    out["sizes"][mark] = profile(sizes, groups, at)
        if name == "new kind":
            each = [kind for kind, part in zip(kinds, parts, strict=True) for _ in part.encode()]
            found = right(model, tokens, each, starts, inside)
            whole = found["as it is"]
            out |= {"right": found, "cost": {key: whole - value for key, value in found.items() if value is not whole}}
            out["memory"] = np.quantile(memory, QUANTILES, axis=1).T
            out["scales"] = np.stack([(groups == s).mean(1) for s in range(3)], 1)
            out["told by byte"] = by_scale(told_by_byte(rates, tokens.numpy())[..., None], groups)[..., 0]
    near = {mark: values[:, 2, WINDOW - CLOSE : WINDOW + CLOSE].mean(1) for mark, values in out["profile"].items()}
    out["over"] = {mark: near["new kind"] - value for mark, value in near.items() if mark != "new kind"}
    row: Row = plain(out, 6)
    return row


def read_one_text() -> Row:
    """TEXT and the mean rates (layers, bytes) of its slow channels, also with a space for each line end.

    Slow are the channels that are so on the first text of seed 0.
    """
    model, out = byte_mamba(), {"text": TEXT}
    A = model.rates().mean(2)[:, None]
    slow = (A * model(as_bytes("".join(drawn(0)[1]["new kind"]))).steps).mean(1) < 1 / SCALES[1]
    for name, text in (("rates", TEXT), ("rates, spaced", TEXT.replace("\n", " "))):
        rates = (A * model(as_bytes(text)).steps).numpy()
        out[name] = plain(by_scale(rates.swapaxes(1, 2), 2 * slow.numpy())[:, 2])
    return out


def plain(value: Any, digits: int = 3) -> Any:
    """Arrays as lists, numbers with so many digits, NaN as None."""
    if isinstance(value, dict):
        return {key: plain(entry, digits) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(entry, digits) for entry in value]
    return None if np.isnan(value) else float(f"{value:.{digits}g}")


def over_seeds(values: Sequence[Any]) -> Any:
    """Of lists or dicts of one form, [mean, standard error] over those with a number there, None where fewer than 3."""
    if isinstance(values[0], dict):
        return {name: over_seeds([v[name] for v in values if name in v]) for name in {k: 0 for v in values for k in v}}
    x = np.array(values, dtype=float)
    seen = (~np.isnan(x)).sum(0)
    mean = np.nansum(x, 0) / np.maximum(seen, 1)
    error = (np.nansum((x - mean) ** 2, 0) / np.maximum((seen - 1) * seen, 1)) ** 0.5
    return plain(np.where(seen < 3, np.nan, [mean, error]))


def pretrained(
    seeds: int = 20,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> list[Row]:
    """One row: of what model, and what is seen, each number as [mean, standard error] over `seeds` draws of texts."""
    load, began, model = load_average(), time.perf_counter(), byte_mamba()
    files, A = {"model": model.digest, "texts": corpus_digest()}, model.rates()
    cells = [{"seed": seed, "files": str(files)} for seed in range(_check.positive_int("seeds", seeds))]
    seen: Row = over_seeds(swept(read_texts, cells, jobs, backend, folder, progress))
    about = {"package": "typeseg", "version": model.version, "digests": files, "agreement": agreement(TEXT)}
    about |= {"layers": A.shape[0], "channels": A.shape[1], "states": A.shape[2], "labels": len(model.labels)}
    about |= {"parameters": sum(w.numel() for w in model.weights.values()), "A": [A.mean().item(), A.std().item()]}
    settings = {
        "window": WINDOW,
        "reach_at": REACH,
        "quantiles": QUANTILES,
        "scales": SCALES,
        "near": NEAR,
        "close": CLOSE,
    }
    settings |= {"lines": {kind: len(lines) for kind, lines in corpus().items()}}
    made = {"versions": versions(), "provenance": provenance(read_texts, load)}
    seconds = round(time.perf_counter() - began, 2)
    return [
        {"seeds": seeds, "seconds": seconds, "configuration": settings, **about, **seen, "one": read_one_text(), **made}
    ]


def pretrained_summary(rows: Sequence[Row]) -> str:
    """For reading: the largest rates of slow channels near each mark, by layer, and what changed steps cost."""
    (row,) = rows
    lines = [f"{row['package']} {row['version']}; its own code differs by {row['agreement']:.0e} of the largest logit"]
    lines += ["rates of slow channels at the nearest bytes, at most, in times their means, by layer"]
    for mark, (mean, _) in row["profile"].items():
        near = np.array(mean, dtype=float)[:, 2, WINDOW - 3 : WINDOW + 2].max(1)
        lines.append(f"  {mark:12}" + "".join(f"{x:7.2f}" for x in near))
    lines += ["bytes that are told right: near borders, elsewhere, near random places"]
    for name, (mean, error) in row["right"].items():
        lines.append(f"  {name:18}" + "".join(f"{m:8.3f} +- {e:.3f}" for m, e in zip(mean, error, strict=True)))
    return "\n".join(lines)

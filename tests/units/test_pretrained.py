"""A trained Mamba, read: the model against plain loops, each measure against another way to it, and what is stored.

Tests of the model itself run where typeseg is installed, or unpacked on the path.
"""

import json
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from glalib.cli import main
from glalib.reproduce import byte_mamba, byte_texts
from glalib.reproduce.byte_mamba import DIGEST, ByteMamba, agreement, as_bytes, held, steady

room = import_module("glalib.reproduce.pretrained")
DATA = Path(__file__).parents[2] / "chapters" / "data" / "pretrained.json"
TYPESEG = pytest.mark.skipif(find_spec("typeseg") is None, reason="typeseg is not installed")
LABELS = ("python", "text", "c_family")


def small_model(width=6, states=3, low=2, layers=2, seed=0):
    """Random weights of the shapes of typeseg's file."""
    rng = np.random.default_rng(seed)
    shapes = {"Embed_0__embedding": (130, width), "Dense_0__kernel": (width, 3), "Dense_0__bias": (3,)}
    shapes |= {"LayerNorm_0__scale": (width,), "LayerNorm_0__bias": (width,)}
    for layer in range(layers):
        own = {"A_log": (width, states), "D": (width,), "Conv_0__kernel": (4, 1, width), "Conv_0__bias": (width,)}
        for i, sides in enumerate(((width, 2 * width), (width, low + 2 * states), (low, width), (width, width))):
            own |= {f"Dense_{i}__kernel": sides, f"Dense_{i}__bias": sides[1:]}
        own |= {"LayerNorm_0__scale": (width,), "LayerNorm_0__bias": (width,)}
        shapes |= {f"CheckpointMambaBlock1D_{layer}__{name}": shape for name, shape in own.items()}
    weights = {name: torch.from_numpy(0.5 * rng.normal(size=shape)) for name, shape in shapes.items()}
    return ByteMamba(weights, LABELS, "none", f"seed {seed}")


def normalised(x, scale, bias):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6) * scale + bias


def by_loops(model, tokens, write=lambda step: step, forget=lambda step: step):
    """Logits, token by token, channel by channel, in numpy."""
    w = {name: value.numpy() for name, value in model.weights.items()}
    x = w["Embed_0__embedding"][np.minimum(tokens, 128)]
    T, width = x.shape
    for layer in range(model.layers):
        p = {k.partition("__")[2]: v for k, v in w.items() if k.startswith(f"CheckpointMambaBlock1D_{layer}__")}
        h = normalised(x, p["LayerNorm_0__scale"], p["LayerNorm_0__bias"]) @ p["Dense_0__kernel"] + p["Dense_0__bias"]
        before, z = np.pad(h[:, :width], ((1, 2), (0, 0))), h[:, width:]
        u = sum(before[j : j + T] * p["Conv_0__kernel"][j, 0] for j in range(4)) + p["Conv_0__bias"]
        u = u / (1 + np.exp(-u))
        r = u @ p["Dense_1__kernel"] + p["Dense_1__bias"]
        states = p["A_log"].shape[1]
        low, B, C = np.split(r, [r.shape[1] - 2 * states, r.shape[1] - states], axis=1)
        step = np.log1p(np.exp(low @ p["Dense_2__kernel"] + p["Dense_2__bias"])) + 1e-4
        y = 2 * u * p["D"]
        for order in (range(T), reversed(range(T))):
            S = np.zeros((width, states))
            for t in order:
                S = np.exp(-np.exp(p["A_log"]) * forget(step)[t][:, None]) * S
                S = S + (write(step)[t] * u[t])[:, None] * B[t]
                y[t] = y[t] + S @ C[t]
        x = x + (y * z / (1 + np.exp(-z))) @ p["Dense_3__kernel"] + p["Dense_3__bias"]
    return normalised(x, w["LayerNorm_0__scale"], w["LayerNorm_0__bias"]) @ w["Dense_0__kernel"] + w["Dense_0__bias"]


def test_the_model_is_two_scans_with_the_same_steps():
    """In float64, where sums of a few dozen products agree to 1e-10; also with steps that are changed."""
    model, tokens = small_model(), as_bytes("if x:\n\ty = 'é'\n")
    logits, steps, sizes = model(tokens)
    assert np.allclose(logits, by_loops(model, tokens.numpy()), atol=1e-10)
    assert steps.shape == sizes.shape == (2, len(tokens), 6) and steps.min() > 0 and sizes.min() >= 0
    fixed = model(tokens, lambda layer, step: (step, steady(step))).logits
    mean = lambda step: np.broadcast_to(step.mean(0), step.shape)  # noqa: E731
    assert np.allclose(fixed, by_loops(model, tokens.numpy(), forget=mean), atol=1e-10)
    fixed = model(tokens, lambda layer, step: (steady(step), step)).logits
    assert np.allclose(fixed, by_loops(model, tokens.numpy(), write=mean), atol=1e-10)


def test_gates_that_are_held_forget_nothing_there_and_as_ever_elsewhere():
    step = torch.rand(30, 2, generator=torch.Generator().manual_seed(0)) + 0.1
    write, forget = held(np.array([10, 20]), 30)(0, step)
    at = [t in range(6, 14) or t in range(16, 24) for t in range(30)]
    assert torch.equal(write, step) and torch.equal(forget, step.masked_fill(torch.tensor(at)[:, None], 0.0))


def test_bytes_and_places():
    text = "One end. Two\nlines, é\n\n\nand more"
    tokens = as_bytes(text)
    assert len(tokens) == len(text.encode()) and tokens[tokens > 126].tolist() == [0xA4, 0xA4]
    long = b"a" * 60 + b". B" + b"c" * 60 + b"\n" + b"d" * 60 + b"\n\n" + b"e f" + b"g" * 100
    found = byte_texts.inner_marks(long, np.array([], dtype=int), np.random.default_rng(0))
    assert {k: v.tolist() for k, v in found.items() if k != "anywhere"} == {
        "blank line": [186],
        "line": [124],
        "sentence": [62],
        "space": [188],
    }
    assert len(found["anywhere"]) == byte_texts.MOST and found["anywhere"].min() > byte_texts.MARGIN
    near = byte_texts.inner_marks(long, np.array([130]), np.random.default_rng(0))
    assert near["line"].size == 0 and near["sentence"].tolist() == [62]
    parts = ["é\n", "ab\n", "c"]
    assert byte_texts.borders(parts).tolist() == [3, 6]
    lines = ["  indented\n", "first\n", "\n", "second\n"] * 9
    for seed in range(5):
        piece = byte_texts.piece(lines, np.random.default_rng(seed), 12)
        assert piece.startswith(("first", "second")) and 12 <= len(piece) <= 24 and piece.endswith("\n")
        assert not piece.endswith("\n\n") and piece.strip() in "".join(lines)


def test_profiles_are_in_times_the_mean_and_by_scale():
    values = np.ones((1, 100, 3)) * np.array([1.0, 2.0, 5.0])
    values[:, [30, 60]] *= 4.0
    groups = np.array([[0, 2, 2]])
    found = room.profile(values, groups, np.array([30, 60]))
    assert found.shape == (1, 3, 2 * room.WINDOW) and np.isnan(found[0, 1]).all()
    wanted = np.ones(2 * room.WINDOW)
    wanted[room.WINDOW] = 4.0
    assert np.allclose(found[0, [0, 2]], wanted / 1.06)


def test_reach_by_all_pairs_of_bytes():
    """Every weight as a product of gates, added up on the two sides of a mark."""
    rng, T = np.random.default_rng(0), 90
    steps, A, at = rng.exponential(0.1, size=(2, T, 3)), rng.uniform(0.5, 2, size=(2, 1, 3)), np.array([40, 45])
    groups = np.array([[0, 1, 2], [1, 1, 2]])
    found = room.reach(A * steps, steps, groups, at)
    wanted = np.zeros((2, 2, 3, len(room.REACH)))
    for (layer, c), (j, m), b in product(np.ndindex(2, 3), enumerate(room.REACH), at):
        r, u = (A * steps)[layer, :, c], steps[layer, :, c]
        left = [u[i] * np.exp(-r[i + 1 : b + m].sum()) for i in range(b + m)]
        right = [u[i] * np.exp(-r[b - m : i].sum()) for i in range(b - m, T)]
        alike = (groups[layer] == groups[layer, c]).sum() * len(at)
        wanted[0, layer, groups[layer, c], j] += sum(left[:b]) / sum(left) / alike
        wanted[1, layer, groups[layer, c], j] += sum(right[m:]) / sum(right) / alike
    assert np.allclose(np.nan_to_num(found), wanted, rtol=1e-9)


def test_what_a_byte_tells_of_a_rate():
    """All, if the rate is a function of the byte; nothing, to three errors of chance, if it knows nothing of it."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(20, size=4000)
    rates = np.exp(np.stack([rng.normal(size=20)[tokens], rng.normal(size=4000)], 1))[None]
    told = room.told_by_byte(rates, tokens)
    assert told[0, 0] == pytest.approx(1.0, abs=1e-9) and abs(told[0, 1]) < 3 * (2 * 20) ** 0.5 / 4000


def test_means_over_draws_and_where_there_are_too_few():
    rows = [{"a": [1.0, None], "b": {"x": 2.0}}, {"a": [2.0, 1.0], "b": {}}, {"a": [3.0, 2.0], "b": {"x": 4.0}}]
    rows.append({"a": [4.0, 3.0], "b": {"x": 6.0}})
    found = room.over_seeds(rows)
    assert found["a"] == [[2.5, 2.0], [0.645, 0.577]] and found["b"]["x"] == [4.0, 1.15]
    assert room.over_seeds(rows[:2])["b"]["x"] == [None, None]


@pytest.fixture
def small(monkeypatch):
    """A model of random weights, and short texts of two kinds from files of Python alone."""
    model = small_model(layers=2)
    for module in (room, byte_mamba):
        monkeypatch.setattr(module, "byte_mamba", lambda: model)
    monkeypatch.setattr(room, "agreement", lambda text: 0.0)
    kept = {kind: byte_texts.SOURCES[kind] for kind in ("python", "text")}
    monkeypatch.setattr(byte_texts, "SOURCES", kept)
    monkeypatch.setattr(byte_texts, "PIECES", 2)
    byte_texts.corpus.cache_clear()
    yield model
    byte_texts.corpus.cache_clear()


def test_the_command_reads_and_goes_on(small, tmp_path, capsys):
    file = tmp_path / "pretrained.json"
    words = ["reproduce", "pretrained", "--seeds", "3", "--jobs", "1", "--backend", "sequential"]
    words += ["--json", str(file), "--folder", str(tmp_path / "runs")]
    assert main(words) == 0
    (row,) = json.loads(file.read_text(encoding="utf-8"))
    assert (
        row["seeds"] == 3 and row["layers"] == 2 and row["parameters"] == sum(map(torch.numel, small.weights.values()))
    )
    assert set(row["right"]) - set(row["cost"]) == {"as it is"} and {"line", "anywhere"} <= set(row["kept"])
    assert len(row["one"]["rates"][0]) == len(room.TEXT)
    assert "typeseg none" in capsys.readouterr().out
    assert main(words) == 0  # from what is kept
    (again,) = json.loads(file.read_text(encoding="utf-8"))
    assert all(again[key] == row[key] for key in ("right", "profile", "reach", "kept"))


def test_without_the_package_the_command_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(byte_mamba, "find_spec", lambda name: None)
    byte_mamba.byte_mamba.cache_clear()
    assert main(["reproduce", "pretrained"]) == 2
    assert "pip install --no-deps typeseg==" in capsys.readouterr().err


@TYPESEG
def test_it_is_the_model_that_its_own_code_runs():
    """float32 on six layers: 1e-6 of the largest logit seen; a wrong tie, side or padding gives a tenth of it."""
    model = byte_mamba.byte_mamba()
    assert agreement(room.TEXT) < 1e-4
    assert (model.digest == DIGEST) == (model.version == byte_mamba.VERSION) or model.version == "unknown"


def test_what_is_stored_is_whole_and_says_what_the_page_says():
    """Numbers over draws with their errors; slow channels forget at line ends and at no others."""
    (row,) = json.loads(DATA.read_text(encoding="utf-8"))
    assert DATA.stat().st_size < 200_000 and {"versions", "provenance", "seconds"} <= set(row)
    assert row["digests"]["model"] == DIGEST and row["version"] == byte_mamba.VERSION and row["agreement"] < 1e-4
    settings, slow = row["configuration"], [0, 2, 3, 4, 5]
    assert settings["window"] == room.WINDOW and tuple(settings["reach_at"]) == room.REACH and row["seeds"] >= 3
    assert row["one"]["text"] == room.TEXT and np.shape(row["one"]["rates"]) == (6, len(room.TEXT))
    profile = {k: np.array(v, dtype=float)[0, slow, 2] for k, v in row["profile"].items()}
    near = {k: v[:, room.WINDOW - 3 : room.WINDOW + 2].max(1) for k, v in profile.items()}
    assert (near["line"] > 2).all() and (near["blank line"] > 2).all() and (near["new kind"] > 2).all()
    assert (near["space"] < 1.5).all() and (near["anywhere"] < 1.6).all()
    glued, error = np.array(row["over"]["glued"], dtype=float)[:, slow]
    assert (glued > 3 * error).all()
    for share in (*row["kept"].values(), *row["reach"].values(), *row["right"].values()):
        means = np.array(share[0], dtype=float)
        assert ((means >= 0) & (means <= 1) | np.isnan(means)).all()

"""The table of layers in use says what the layers do."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from test_architectures import LOOPS, T, tensors

from glalib import architectures as forms
from glalib.catalogue import LAYERS

ROOT = Path(__file__).resolve().parents[2]
IDS = [layer.name for layer in LAYERS]
F64 = torch.float64
VALUE = {"mamba": "u", "mamba2": "x", "rg_lru": "x"}  # what a layer calls its values, if not v
TOKENS = {"mamba": 2, "mlstm": 2}  # the axis of tokens, if not 1
KEY = {"mamba": "B", "mamba2": "B", "rwkv7": "kk"}  # what later keys are called, if not k


def axis(layer):
    return TOKENS.get(layer.form, 1)


def last(layer, inputs):
    return getattr(forms, layer.form)(**inputs).select(axis(layer), -1)


def slopes(layer, names, inputs=None):
    """Of a sum over the last output, to these inputs, each summed to one number for each token."""
    inputs = {name: x.clone().requires_grad_() for name, x in (inputs or tensors(layer.form)).items()}
    o = last(layer, inputs)
    found = torch.autograd.grad(o.flatten() @ torch.cos(torch.arange(o.numel(), dtype=F64)), [inputs[n] for n in names])
    return [g.transpose(0, axis(layer)).flatten(1).abs().sum(1) for g in found]


def test_there_is_one_entry_for_each_layer():
    assert sorted(layer.form for layer in LAYERS) == sorted(LOOPS) and len(set(IDS)) == len(LAYERS)


def test_its_statements_and_citations_exist():
    claims, bibliography = (ROOT / "claims.yml").read_text(), (ROOT / "references.bib").read_text()
    for layer in LAYERS:
        assert all(re.search(rf"^{label}:$", claims, re.MULTILINE) for label in layer.theorems), layer.name
        assert layer.cite and all(f"{{{key},\n" in bibliography for key in layer.cite), layer.name


@pytest.mark.parametrize("layer", LAYERS, ids=IDS)
def test_who_reads_the_token(layer):
    """A gate with an axis of tokens is made of the token; one without is a constant of the layer."""
    gates = {"log_g", "f", "dt", "decay", "A", "r" if layer.form == "rg_lru" else "w"}
    gates &= set(inspect.signature(getattr(forms, layer.form)).parameters)
    own = [x for name, x in tensors(layer.form).items() if name in gates]
    assert bool(gates) == (layer.forgets != "never")
    assert any(x.ndim > 2 and x.shape[axis(layer)] == T for x in own) == (layer.forgets == "by its token")


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.form != "hgrn2"], ids=lambda layer: layer.name)
def test_what_erases(layer):
    """Only there does a later key change what the last output sees of the first value, the normaliser apart."""
    key, value = KEY.get(layer.form, "k"), VALUE.get(layer.form, "v")
    inputs = tensors(layer.form)
    if key not in inputs or layer.over:
        return
    before = slopes(layer, [value], inputs)[0][0]
    later = inputs[key].clone()
    later.select(axis(layer) if layer.form != "mamba" else 2, 3).neg_()
    later.select(axis(layer) if layer.form != "mamba" else 2, 3).flatten(1)[:, 0] += 1
    after = slopes(layer, [value], {**inputs, key: later})[0][0]
    assert (abs(after / before - 1) > 1e-4) == layer.erases


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.forgets == "by its token"], ids=lambda x: x.name)
def test_what_reads_before_the_token(layer):
    """The last token's own gate then does not count."""
    gate = {"hgrn2": "f", "mamba": "dt", "mamba2": "dt", "mlstm": "f", "rwkv6": "w", "rwkv7": "w", "rg_lru": "r"}
    inputs = tensors(layer.form)
    if layer.form in ("mamba", "mamba2", "hgrn2", "rg_lru"):  # whose gate is also the write: without it
        inputs = {**inputs, VALUE.get(layer.form, "v"): inputs[VALUE.get(layer.form, "v")].clone()}
        inputs[VALUE.get(layer.form, "v")].select(axis(layer), -1).zero_()
    found = slopes(layer, [gate.get(layer.form, "log_g")], inputs)[0][-1]
    assert (found == 0) == layer.shift.startswith("outputs see the state before")


def test_what_is_divided():
    """If all writes are twice as large, outputs are so too, but where they are divided by the sum of the writes."""
    half = {"linear_attention": ("k", 2.0), "rwkv4": ("k", None), "mlstm": ("k", 1e6)}
    for layer in LAYERS:
        if "k" not in tensors(layer.form) or layer.erases:
            continue
        inputs, (_, factor) = tensors(layer.form), half.get(layer.form, ("k", 2.0))
        options = {"normalise": True} if layer.form == "linear_attention" else {}
        form = getattr(forms, layer.form)
        if layer.form == "mlstm":  # above the floor of its normaliser
            inputs["k"] = 1e6 * inputs["k"]
        more = inputs["k"] + np.log(2.0) if factor is None else 2 * inputs["k"]
        ratio = form(**{**inputs, "k": more}, **options) / form(**inputs, **options)
        assert torch.allclose(ratio, ratio.new_full((), 1.0 if layer.over else 2.0), rtol=1e-9), layer.name


def designs(omega):
    """Own tensors that give these weights, up to a factor, to the tokens before a query that writes nothing.

    Keys and values are one number. From the last token to the first: what is written is what later gates leave of it.
    """
    n, share = len(omega), 0.5 * omega / omega.sum()
    left = 1 - (share[::-1].cumsum()[::-1] - share)
    dt = np.zeros(n)
    for i in reversed(range(n)):
        dt[i] = share[i] * np.exp(dt[i + 1 :].sum())
    g, c = np.ones(n), 1.0
    for i in reversed(range(1, n)):
        g[i] = np.sqrt(1 - (share[i] / c) ** 2)
        c *= g[i]
    gate_i = np.append(share[0] / c, np.ones(n))

    def row(x, *shape):
        return torch.tensor(x, dtype=F64).reshape(shape)

    def full(x, *shape):
        return torch.full(shape, x, dtype=F64)

    heads, one = (1, n + 1, 1), full(1.0, 1, n + 1, 1, 1)
    beta = row(np.append(share / left, 0.0), *heads)
    qkv, written = {"q": one, "k": one, "v": one}, np.append(np.log(omega), -40.0)
    scan = {"dt": row(np.append(dt, 0.0), *heads), "B": one, "C": one}
    rate = 8 * np.log(2.0)  # of Lambda = 0
    return {
        "rwkv4": {"w": full(-40.0, 1), "u": full(0.0, 1), "k": row(written, *heads), "v": one[..., 0]},
        "hgrn2": {"q": one, "f": 1 - beta[..., None], "v": one},
        "mamba": {
            "u": full(1.0, 1, 1, n + 1),
            "dt": scan["dt"].mT,
            "A": full(-1.0, 1, 1),
            "B": one[..., 0].mT,
            "C": one[..., 0].mT,
        },
        "mamba2": {"x": one, **scan, "A": full(-1.0, 1)},
        "rg_lru": {
            "x": one[..., 0],
            "r": row(np.append(-np.log(g) / rate, 0.0), *heads),
            "i": row(gate_i, *heads),
            "Lambda": full(0.0, 1),
        },
        "mlstm": {
            **{name: x.transpose(1, 2) for name, x in qkv.items()},
            "i": row(written, 1, 1, n + 1),
            "f": full(40.0, 1, 1, n + 1),
        },
        "deltanet": {**qkv, "beta": beta},
        "gated_deltanet": {**qkv, "beta": beta, "log_g": 0 * beta},
        "kda": {**qkv, "beta": beta, "log_g": 0 * one},
        "rwkv7": {"r": one, "w": 0 * one, "k": beta[..., None], "v": one, "kk": one, "a": beta[..., None]},
    }


def weights(layer, inputs):
    """What the last output sees of each value but its own."""
    return slopes(layer, [VALUE.get(layer.form, "v")], inputs)[0][:-1].numpy()


@pytest.mark.claim("prop-ties")
@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.may_fall], ids=lambda layer: layer.name)
def test_weights_that_fall_by_a_thousand(layer):
    omega = 10.0 ** np.array([0, -1, -3, 0.5, -2])
    found = weights(layer, designs(omega)[layer.form])
    assert np.allclose(found / found[0], omega, rtol=1e-9)


@pytest.mark.claim("prop-ties")
@pytest.mark.parametrize("layer", [layer for layer in LAYERS if not layer.may_fall], ids=lambda layer: layer.name)
def test_weights_that_never_fall(layer):
    """With equal keys and queries, one channel, and any gates. H3: one state of a channel."""
    generator = torch.Generator().manual_seed(0)

    def unit(*shape):
        return torch.rand(*shape, generator=generator, dtype=F64)

    for _ in range(50):
        one, row = torch.ones(1, T, 1, 1, dtype=F64), unit(1, T, 1, 1)
        qkv = {"q": one, "k": one, "v": one}
        inputs = {
            "linear_attention": qkv,
            "retnet": {**qkv, "decay": unit(1)},
            "gated_linear_attention": {**qkv, "log_g": row.log()},
            "rwkv6": {"r": one, "k": one, "v": one, "w": row.log(), "u": unit(1, 1)},
            "h3": {
                **{name: x[..., 0] for name, x in qkv.items()},
                **{"shift": torch.ones(1, 1, dtype=F64), "A": unit(1, 1)},
                **{"B": torch.ones(1, 1, dtype=F64), "C": torch.ones(1, 1, dtype=F64)},
            },
        }[layer.form]
        found = weights(layer, inputs)
        assert (np.diff(found) >= 0).all() and found.min() > 0

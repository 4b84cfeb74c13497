"""The table of layers in use says what the layers do.

Each column is found by what a form does, with one head, and compared with its entry. What the last output sees of each
value is a derivative, so no equation of a layer is written here: those are in `test_architectures`.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from test_architectures import LOOPS

from glalib.architectures import forms
from glalib.architectures.catalogue import LAYERS

ROOT = Path(__file__).resolve().parents[2]
IDS = [layer.name for layer in LAYERS]
F64 = torch.float64
T, MIDDLE = 4, 1  # the first token, one whose levers move, one that is compared with it, and the query's
SIZES = {"B": 1, "H": 1, "G": 1, "E": 1, "T": T, "K": 3, "N": 3, "V": 2, "L": 2, "2": 2}

# Each layer's own tensors: axes, what they are to the recurrence, and where their numbers lie.
QKV = {"q": "BTHK query normal", "k": "BTHK key normal", "v": "BTHV value normal"}
RKV = {"r": "BTHK query normal", "k": "BTHK key normal", "v": "BTHV value normal"}
OWN = {
    "linear_attention": QKV,
    "retnet": {**QKV, "decay": "H gate unit"},
    "gated_linear_attention": {**QKV, "log_g": "BTHK gate log"},
    "hgrn2": {"q": "BTHK query normal", "f": "BTHK gate unit", "v": "BTHV value normal"},
    "mamba": {
        **{"u": "BET value normal", "dt": "BET gate unit", "A": "EN gate log"},
        **{"B": "BNT key normal", "C": "BNT query normal"},
    },
    "mamba2": {
        **{"x": "BTHV value normal", "dt": "BTH gate unit", "A": "H gate log"},
        **{"B": "BTGK key normal", "C": "BTGK query normal"},
    },
    "mlstm": {
        **{"q": "BHTK query normal", "k": "BHTK key normal", "v": "BHTV value normal"},
        **{"i": "BHT write normal", "f": "BHT gate normal"},
    },
    "rwkv4": {"w": "E gate normal", "u": "E bonus normal", "k": "BTE write normal", "v": "BTE value normal"},
    "rwkv5": {**RKV, "w": "HK gate log", "u": "HK bonus normal"},
    "rwkv6": {**RKV, "w": "BTHK gate log", "u": "HK bonus normal"},
    "rwkv7": {**RKV, "w": "BTHK gate log", "kk": "BTHK key normal", "a": "BTHK write unit"},
    "h3": {
        **{"q": "BTE other one", "k": "BTE other one", "v": "BTE value normal", "shift": "EL filter first"},
        **{"A": "EN gate unit", "B": "EN key normal", "C": "EN query normal"},
    },
    "s4d": {
        **{"u": "BET value normal", "dt": "E gate unit", "A_real": "EN gate log", "A_imag": "EN other zero"},
        "C": "EN2 query normal",
    },
    "rg_lru": {"x": "BTE value normal", "r": "BTE gate unit", "i": "BTE write unit", "Lambda": "E gate log"},
    "deltanet": {**QKV, "beta": "BTH write unit"},
    "gated_deltanet": {**QKV, "beta": "BTH write unit", "log_g": "BTH gate log"},
    "kda": {**QKV, "log_g": "BTHK gate log", "beta": "BTH write unit"},
}
LIES = {
    "normal": lambda x: x,
    "unit": lambda x: 0.2 + 0.6 * x.sigmoid(),
    "log": lambda x: (0.2 + 0.6 * x.sigmoid()).log(),
    "one": torch.ones_like,
    "zero": torch.zeros_like,
    "first": lambda x: torch.eye(x.shape[1], dtype=F64)[:1].expand_as(x),
}


class Probe:
    """One head of a layer, with random tensors of its own, and what its last output sees of each value."""

    def __init__(self, layer, seed=0):
        self.layer, self.form, self.handed_over = layer, layer.form, False
        self.axes, self.roles, lies = (
            dict(zip(OWN[self.form], column, strict=True))
            for column in zip(*(spec.split() for spec in OWN[self.form].values()), strict=True)
        )
        sizes = {**SIZES, "E": 2} if self.form == "rg_lru" else SIZES  # its channels are values of one head
        generator = torch.Generator().manual_seed(seed)
        self.x = {
            name: LIES[lies[name]](torch.randn([sizes[a] for a in axes], generator=generator, dtype=F64))
            for name, axes in self.axes.items()
        }
        self.value = self.named("value")[0]
        self.keys = next((3 for name, axes in self.axes.items() if set("KN") & set(axes)), 1)

    def named(self, *roles, token=None):
        """Names of the tensors with such a role; with an axis of tokens, or without, if asked for."""
        found = [name for name, role in self.roles.items() if role in roles]
        return [name for name in found if token is None or ("T" in self.axes[name]) == token]

    def at(self, name, t, channel=None):
        """A view of a tensor at a token, where it has tokens, and at a channel of keys, where it has those."""
        x, axes = self.x[name], self.axes[name]
        for axis in range(len(axes) - 1, -1, -1):
            if axes[axis] == "T":
                x = x.select(axis, t)
            elif axes[axis] in "KN" and channel is not None:
                x = x.select(axis, channel)
        return x

    def moved(self, names, t, seed=1):
        """The same with other numbers in these tensors, at a token, or in all of them where they have no tokens."""
        out, other = self.copy(), Probe(self.layer, seed)
        for name in names:
            out.at(name, t).copy_(other.at(name, t))
        return out

    def copy(self):
        out = Probe.__new__(Probe)
        out.__dict__ = {**self.__dict__, "x": {name: x.clone() for name, x in self.x.items()}}
        return out

    def without(self, t):
        """One token less."""
        out, kept = self.copy(), [s for s in range(T) if s != t]
        for name, axes in self.axes.items():
            if "T" in axes:
                out.x[name] = out.x[name].index_select(axes.index("T"), torch.tensor(kept))
        return out

    def along(self, query, **keys):
        """With this query at the end, and keys (token=channel) along channels: where both are of the layer's making."""
        out = self.copy()
        for name in out.named("query"):
            out.at(name, -1).zero_()
            entry = out.at(name, -1, query)
            (entry[..., 0] if "2" in out.axes[name] else entry).fill_(1.0)
        for t, channel in keys.items():
            for name in out.named("key"):
                if "T" in out.axes[name]:
                    out.at(name, int(t[1:])).zero_()
                    out.at(name, int(t[1:]), channel).fill_(1.0)
        return out

    def run(self, **options):
        inputs = dict(self.x)
        if self.form == "rwkv7" and not self.handed_over:  # what a layer makes of its key
            inputs["k"] = inputs["k"] * (1 + (inputs["a"] - 1) * 0.5)
        return getattr(forms, self.form)(**inputs, **options)

    def seen(self, **options):
        """(tokens, value channels): how much of each value the last output has, channel by channel."""
        out = self.copy()
        v = out.x[self.value].requires_grad_()
        axis = self.axes[self.value].index("T")
        last = out.run(**options).select(axis, -1).flatten()
        rows = [
            torch.autograd.grad(o, v, retain_graph=True)[0].movedim(axis, 0).flatten(1)[:, c]
            for c, o in enumerate(last)
        ]
        return torch.stack(rows, 1)


def kept(probe):
    """(value channels, key channels): what is left of the first token at the end, over what is of the third.

    Of each key channel by itself, with the token between along another. A divisor falls out.
    """
    found, n = [], probe.keys
    for b in range(n):
        o = probe.along(b, t0=b, t1=(b + 1) % n, t2=b).seen()
        found.append(o[0] / o[2])
    return torch.stack(found, -1)


def absent(probe):
    """The same, if the token between is not there."""
    found = []
    for b in range(probe.keys):
        o = probe.along(b, t0=b, t1=b, t2=b).without(MIDDLE).seen()
        found.append(o[0] / o[1])
    return torch.stack(found, -1)


def written(probe):
    """(value channels, key channels): what the token between has written, over what the third has."""
    found = []
    for b in range(probe.keys):
        o = probe.along(b, t0=b, t1=b, t2=b).seen()
        found.append(o[1] / o[2])
    return torch.stack(found, -1)


def same(a, b):
    """To some thousand roundings; and what is not the same here differs by a thousandth at least."""
    found = torch.allclose(a, b, rtol=1e-10, atol=0)
    assert found or (a / b - 1).abs().max() > 1e-3
    return found


every = pytest.mark.parametrize("layer", LAYERS, ids=IDS)


def test_there_is_one_entry_for_each_layer():
    assert sorted(layer.form for layer in LAYERS) == sorted(LOOPS) == sorted(OWN) and len(set(IDS)) == len(LAYERS)


def test_its_statements_and_citations_exist():
    claims, bibliography = (ROOT / "claims.yml").read_text(), (ROOT / "references.bib").read_text()
    for layer in LAYERS:
        assert all(re.search(rf"^{label}:$", claims, re.MULTILINE) for label in layer.theorems), layer.name
        assert layer.cite and all(f"{{{key},\n" in bibliography for key in layer.cite), layer.name


@every
def test_how_it_forgets(layer):
    """Never, if a token that writes elsewhere is as good as none; at a fixed rate, if it does not matter which."""
    probe = Probe(layer)
    other = probe.moved([name for name in probe.x if "T" in probe.axes[name]], MIDDLE)
    now, then, none = kept(probe), kept(other), absent(probe)
    assert (now / none).max() < 1 + 1e-10
    found = "by its token" if not same(now, then) else "at a fixed rate" if not same(now, none) else "never"
    assert found == layer.forgets


@every
def test_what_its_gate_acts_on(layer):
    gate = kept(Probe(layer)) / absent(Probe(layer))
    first = gate[:1, :1].expand_as(gate)
    if same(gate, torch.ones_like(gate)):
        found = "none"
    elif same(gate, first):
        found = "scalar"
    elif same(gate, gate[:1].expand_as(gate)):
        found = "key"
    else:
        assert same(gate, gate[:, :1].expand_as(gate))
        found = "value"
    assert found == layer.side


# How gates are made where a form makes them; elsewhere it is told the gate or its logarithm, and the table says what
# the layer does before.
GATES = {
    "linear_attention": ("1", lambda x: torch.ones(1)),
    "deltanet": ("1", lambda x: torch.ones(1)),
    "retnet": ("a constant of the head", lambda x: x["decay"]),
    "h3": ("constants of each channel", lambda x: x["A"][0]),
    "s4d": ("$e^{\\Delta A}$, constants of each channel", lambda x: (x["dt"] * x["A_real"][0]).exp()),
    "rwkv4": ("$e^{-e^{w}}$, a constant of each channel", lambda x: (-x["w"].exp()).exp()),
    "mamba": ("$e^{\\Delta A}$, a rate for each state", lambda x: (x["dt"][0, :, MIDDLE] * x["A"][0]).exp()),
    "mamba2": ("$e^{\\Delta A}$", lambda x: (x["dt"][0, MIDDLE] * x["A"]).exp()),
    "mlstm": ("a sigmoid", lambda x: x["f"][0, :, MIDDLE].sigmoid()),
    "rg_lru": (
        "$e^{-8 \\ln(1 + e^{\\Lambda})\\, r}$",
        lambda x: (-8 * x["Lambda"].exp().log1p() * x["r"][0, MIDDLE]).exp()[:, None],
    ),
}
TOLD = {
    "gated_linear_attention": lambda x: x["log_g"].exp(),
    "rwkv5": lambda x: x["w"].exp()[None, None].expand(-1, T, -1, -1),
    "rwkv6": lambda x: x["w"].exp(),
    "rwkv7": lambda x: x["w"].exp(),
    "hgrn2": lambda x: x["f"],
    "gated_deltanet": lambda x: x["log_g"].exp(),
    "kda": lambda x: x["log_g"].exp(),
}


@every
def test_how_its_gate_is_made(layer):
    probe = Probe(layer)
    assert (layer.form in GATES) != (layer.form in TOLD)
    assert (layer.gate == "1") == (layer.forgets == "never")
    assert ("constant" in layer.gate) == (layer.forgets == "at a fixed rate")
    text, gate = GATES.get(layer.form) or (layer.gate, lambda x: TOLD[layer.form](x)[0, MIDDLE, 0])
    assert text == layer.gate
    found = kept(probe) / absent(probe)
    assert same(found, gate(probe.x).to(F64).expand_as(found))


def test_a_floor_is_said_where_the_gate_is():
    assert {layer.name for layer in LAYERS if layer.floor} == {layer.name for layer in LAYERS if "above" in layer.gate}


@every
def test_who_sets_what_it_writes(layer):
    """Whole: nothing but key and value. Tied: nothing without the gate. Of its own: something without the gate."""
    probe = Probe(layer)
    moves = {}
    for name in probe.named("gate", "write", token=True):
        other = probe.moved([name], MIDDLE)
        moves[name] = not same(kept(other), kept(probe)), not same(written(other), written(probe))
    assert all(any(both) for both in moves.values())  # whatever it sets shows
    found = "whole"
    if any(wrote for _, wrote in moves.values()):
        alone = any(wrote and not forgot for forgot, wrote in moves.values())
        found = "by a gate of its own" if alone else "tied to the gate"
    assert found == layer.writes
    if found == "tied to the gate":
        assert moves and all(forgot and wrote for forgot, wrote in moves.values())


WRITES = {
    "1": lambda g, x: torch.ones(1),
    "$1 - g$": lambda g, x: 1 - g,
    "$\\Delta$": lambda g, x: x("dt"),
    "$e^{k}$": lambda g, x: x("k").exp(),
    "$e^{i}$": lambda g, x: x("i").exp(),
    "$\\beta$": lambda g, x: x("beta"),
    "$\\sqrt{1 - g^2}$ times an input gate": lambda g, x: (1 - g**2).sqrt() * x("i")[:, None],
    "in its key, part of it tied to what is erased": lambda g, x: 1 + (x("a") - 1) * 0.5,
}


@every
def test_how_much_it_writes(layer):
    """Of two settings of its levers: what is common to both, as keys are, falls out. g is the gate as it is found."""
    assert (layer.write == "1") == (layer.writes == "whole")
    probe = Probe(layer)
    other = probe.moved(probe.named("gate", "write", token=True), MIDDLE)
    stated = [
        WRITES[layer.write](kept(p) / absent(p), lambda name, p=p: p.at(name, MIDDLE).flatten()) for p in (probe, other)
    ]
    ratio = written(probe) / written(other)
    assert same(ratio, (stated[0] / stated[1]).to(F64).expand_as(ratio))


@every
def test_what_erases(layer):
    """Only there does it matter to what is held along one key what else a later key has; or, of layers without keys,
    how much a later token writes."""
    other_way = {"rwkv4": ["k"], "rg_lru": ["i"], "hgrn2": ["f"], "s4d": ["A_real"]}
    found = []
    for change in (0.0, 0.5):
        probe, rows = Probe(layer), []
        assert (probe.keys == 1) == (layer.form in ("rwkv4", "rg_lru"))
        for b in range(probe.keys):
            now, beside = probe.along(b, t0=b, t1=b, t2=b), (b + 1) % probe.keys
            for name in probe.named("key", token=True):
                now.at(name, 2, beside).fill_(0.5)
            for name in other_way.get(layer.form, probe.named("key")):
                entry = now.at(name, MIDDLE, beside)
                entry.mul_(1 - change) if layer.form in other_way else entry.sub_(change)
            o = now.seen()
            rows.append(o[0] / o[2])
        found.append(torch.stack(rows))
    assert (not same(*found)) == layer.erases


def divided(layer, scale):
    """What is seen of the third value, before and after earlier tokens have other levers, keys and gates."""
    options = {"normalise": True} if layer.form == "linear_attention" else {}
    probe = Probe(layer)
    earlier = [name for name in probe.x if "T" in probe.axes[name] and name != probe.value]
    other = probe.moved(earlier, 0).moved(earlier, MIDDLE)
    found = []
    for p in (probe, other):
        p = p.along(0, t2=0, t3=0)
        for name in p.named("key", token=True):  # no sum of keys is small
            p.at(name, 0).abs_().add_(1), p.at(name, MIDDLE).abs_().add_(1)
        for name in p.named("query"):
            p.x[name] *= scale
        found.append(p.seen(**options))
    return found


@every
def test_what_is_divided(layer):
    """Only there is less seen of a value where earlier tokens write more; and what is seen of all is then one."""
    now, then = divided(layer, 1e3)  # above the floor of mLSTM's
    assert (not same(now[2], then[2])) == bool(layer.over)
    whole = torch.stack([now.sum(0), then.sum(0)])
    assert (same(whole, torch.ones_like(whole))) == bool(layer.over)
    assert ("q^\\top m" in layer.over) == (bool(layer.over) and bool(Probe(layer).named("query")))
    now, then = divided(layer, 1e-3)  # and below it
    assert (not same(now[2], then[2])) == (bool(layer.over) and layer.over != "$\\max(\\lvert q^\\top m \\rvert, 1)$")


BEFORE, BONUS, FILTER = "outputs see the state before the token", ", and the token by a bonus", "of the keys, a learned"


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.forgets != "never"], ids=lambda layer: layer.name)
def test_what_reads_before_it_forgets(layer):
    """The gate of the last token then does not count for the token before."""
    probe = Probe(layer).along(0, t2=0, t3=0)
    other = probe.moved(probe.named("gate"), -1)
    ratios = [p.seen()[2] / p.seen()[3] for p in (probe, other)]
    assert same(*ratios) == layer.shift.startswith(BEFORE)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.forgets == "never"], ids=lambda layer: layer.name)
def test_what_never_forgets_reads_after_it_writes(layer):
    """Two tokens with the same step, along two keys: the last counts as the one before."""
    probe = Probe(layer).along(0, t2=0, t3=1)
    probe.at("q", -1, 1).fill_(1.0)
    for name in probe.named("write"):
        probe.at(name, 3).copy_(probe.at(name, 2))
    o = probe.seen()
    assert same(o[2], o[3]) != layer.shift.startswith(BEFORE)


@every
def test_what_else_it_sees(layer):
    """A bonus moves the last token alone; a filter brings in the key of the token before."""
    probe = Probe(layer)
    assert bool(probe.named("bonus")) == (BONUS in layer.shift) and bool(probe.named("filter")) == (
        FILTER in layer.shift
    )
    for name in probe.named("bonus"):
        now, then = (p.along(0, t2=0, t3=0).seen() for p in (probe, probe.moved([name], -1)))
        assert same(now[0] / now[2], then[0] / then[2]) and not same(now[3] / now[2], then[3] / then[2])
    for name in probe.named("filter"):
        probe.x[name] = torch.tensor([[1.0, 0.5]], dtype=F64)
        other = probe.copy()
        other.at("k", MIDDLE).mul_(2)
        assert not same(probe.along(0).seen()[2], other.along(0).seen()[2])


@every
def test_what_it_does_not_keep(layer):
    """Who reads the token comes first, and a divisor is said."""
    who = ["gates"] * (layer.forgets == "by its token") + ["steps"] * layer.erases
    start = f"{' and '.join(who).capitalize()} read the token"
    assert layer.breaks.startswith(start) if who else "read the token" not in layer.breaks
    assert bool(re.search("divisor|mean of", layer.breaks)) == bool(layer.over)


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
    probe = Probe(layer)
    probe.x, probe.handed_over = inputs, True
    return probe.seen()[:-1, 0].numpy()


FALL = designs(np.ones(1))  # whose weights are made to fall below; of the others it is found that they do not


@pytest.mark.claim("prop-ties")
@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.form in FALL], ids=lambda layer: layer.name)
def test_weights_that_fall_by_a_thousand(layer):
    assert layer.may_fall
    omega = 10.0 ** np.array([0, -1, -3, 0.5, -2])
    found = weights(layer, designs(omega)[layer.form])
    assert np.allclose(found / found[0], omega, rtol=1e-9)


@pytest.mark.claim("prop-ties")
@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.form not in FALL], ids=lambda layer: layer.name)
def test_weights_that_never_fall(layer):
    """With equal keys and queries, one channel, and any gates. H3, S4D: one state of a channel, which does not turn."""
    assert not layer.may_fall
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
            "rwkv5": {"r": one, "k": one, "v": one, "w": unit(1, 1).log(), "u": unit(1, 1)},
            "rwkv6": {"r": one, "k": one, "v": one, "w": row.log(), "u": unit(1, 1)},
            "h3": {
                **{name: x[..., 0] for name, x in qkv.items()},
                **{"shift": torch.ones(1, 1, dtype=F64), "A": unit(1, 1)},
                **{"B": torch.ones(1, 1, dtype=F64), "C": torch.ones(1, 1, dtype=F64)},
            },
            "s4d": {
                **{"u": one[..., 0].mT, "dt": unit(1), "A_real": unit(1, 1).log(), "A_imag": 0 * unit(1, 1)},
                "C": unit(1, 1, 2),
            },
        }[layer.form]
        found = weights(layer, inputs)
        assert (np.diff(found) >= 0).all() and found.min() > 0

"""A gate of one's own, a distribution of one's own and a layer of one's own: what is promised, and named errors."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from glalib import GLA, Layout, PromptDistribution, Prompts, optimal_wpgd, population_risk, simulate_risk
from glalib.gates import gates_to_weights
from glalib.token_free import token_free_losses
from glalib.training import Recipe, fit

F64 = torch.float64
DIST = PromptDistribution(3, (6, 6), (0.2, 0.8))
CLOSE = {"rtol": 1e-12, "atol": 1e-12}  # the same operations, perhaps in another order


class Decay(nn.Module):
    name, acts_on = "fixed decay", "scalar"

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, Z):
        return Z.new_full(Z.shape[:-1], self.rate)


class Sigmoid(nn.Module):
    """The layer's own gate, written once more."""

    name = "sigmoid, bounded below"

    def __init__(self, width, acts_on="key", channels=None, floor=0.0, dtype=None):
        super().__init__()
        self.acts_on, self.floor = acts_on, floor
        self.W = nn.Parameter(torch.zeros(width, channels or width, dtype=dtype))
        self.b = nn.Parameter(torch.full((channels or width,), 1.0, dtype=dtype))

    def forward(self, Z):
        g = self.floor + (1 - self.floor) * torch.sigmoid(Z @ self.W + self.b)
        return g[..., 0] if self.acts_on == "scalar" else g


class Running(nn.Module):
    """Mixes tokens: reads the mean over all tokens that it sees."""

    name, acts_on = "running", "scalar"

    def forward(self, Z):
        return torch.sigmoid(Z + Z.mean(-2, keepdim=True))[..., 0]


class Bad(nn.Module):
    name, acts_on = "bad", "value"

    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, Z):
        return self.made(Z)


class Input(Sigmoid):
    """With a gate on the write."""

    def write(self, Z):
        return 2 * torch.sigmoid(Z[..., 0] - Z[..., 1])


class BadInput(Decay):
    name = "bad input"

    def __init__(self, made):
        super().__init__(0.5)
        self.made = made

    def write(self, Z):
        return self.made(Z)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


Z = torch.randn(2, 9, 4, generator=gen(), dtype=F64)


def randomised(model, seed=0):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith((".W", ".b", "W_g", "b_g")):
                p.copy_(torch.randn(p.shape, generator=gen(seed), dtype=F64))
    return model


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("acts_on", ["scalar", "key", "value"])
def test_a_sigmoid_of_ones_own_is_the_layers_own(acts_on, causal, layers):
    """Predictions, gates, weights and gradients."""
    channels = {"scalar": 1, "key": 5, "value": 3}[acts_on]
    options = {"causal": causal, "scale": 0.2, "dtype": F64}
    wanted = randomised(GLA(4, acts_on, layers, 5, 3, generator=gen(), **options))
    found = randomised(GLA(4, Sigmoid(4, acts_on, channels), layers, 5, 3, generator=gen(), **options))
    for queries in (1, 3):
        for method in ("forward", "gates", "weights"):
            ours, theirs = (getattr(model, method)(Z, queries) for model in (found, wanted))
            torch.testing.assert_close(ours, theirs, **CLOSE)
    a, b = ({n: g for (n, _), g in zip(m.named_parameters(), gradients(m), strict=True)} for m in (found, wanted))
    for name, gradient in b.items():
        name = name.replace("W_g", "own.gate.W").replace("b_g", "own.gate.b")
        torch.testing.assert_close(a[name], gradient, **CLOSE)


def gradients(model):
    return torch.autograd.grad(model(Z, 3).square().sum(), list(model.parameters()))


def test_a_fixed_decay_is_a_given_gate():
    found = GLA(4, Decay(0.9), generator=gen(), dtype=F64)
    wanted = GLA(4, gates=np.full(7, 0.9), generator=gen(), dtype=F64)
    torch.testing.assert_close(found(Z, 3), wanted(Z, 3), **CLOSE)
    assert found.gate == "scalar" and found.gates(Z).shape == (2, 9) and found.weights(Z).shape == (2, 1, 8)


def test_each_layer_has_a_copy():
    gate = Sigmoid(4, dtype=F64)
    model = GLA(4, gate, 2, dtype=F64)
    copies = [layer.own.gate for layer in model.layers]
    assert copies[0] is not copies[1] and gate not in copies
    assert {"layers.0.own.gate.W", "layers.1.own.gate.b"} < set(model.state_dict())
    assert "layers.0.W_g" not in model.state_dict()
    other = GLA(4, gate, 2, dtype=F64)
    other.load_state_dict(randomised(model).state_dict())
    assert torch.equal(other(Z), model(Z)) and torch.equal(copy.deepcopy(model)(Z), model(Z))


def test_queries_do_not_see_each_other():
    """Also with a gate that mixes tokens: each query is the last token of its own prompt."""
    model = GLA(4, Running(), 2, scale=0.2, generator=gen(), dtype=F64)
    alone = [model(torch.cat([Z[:, :6], Z[:, j : j + 1]], 1)) for j in range(6, 9)]
    torch.testing.assert_close(model(Z, 3), torch.cat(alone, 1), **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_sixteen_bits_gates_are_of_float32(dtype):
    """Its weights too, made so or brought there; a gate near one is not one."""
    made = GLA(4, Decay(1 - 2**-12), dtype=dtype)
    assert made.gates(Z.to(dtype)).dtype == torch.float32 and (made.gates(Z.to(dtype)) == 1 - 2**-12).all()
    wide = randomised(GLA(4, Sigmoid(4), 2, scale=0.2, generator=gen(), dtype=torch.float32))
    narrow = copy.deepcopy(wide).to(dtype)
    assert narrow.layers[0].own.gate.W.dtype == torch.float32 and narrow.layers[0].W_q.dtype == dtype
    assert torch.equal(narrow.layers[1].own.gate.W, wide.layers[1].own.gate.W)
    assert narrow(Z.to(dtype), 2).dtype == dtype
    rounded = copy.deepcopy(narrow).float()
    wanted = rounded(Z.to(dtype).float(), 2)
    torch.testing.assert_close(narrow(Z.to(dtype), 2), wanted.to(dtype))
    assert GLA(4, Sigmoid(4), dtype=dtype).double().layers[0].own.gate.W.dtype == F64
    assert copy.deepcopy(wide).double().half().layers[0].own.gate.W.dtype == torch.float32


def test_traced():
    """vmap over models, compilers, export and meta tensors."""
    members = [randomised(GLA(4, Sigmoid(4, floor=0.3), 2, scale=0.2, dtype=F64, generator=gen(s)), s) for s in (0, 1)]
    parameters, buffers = stack_module_state(members)
    together = vmap(lambda p, b: functional_call(members[0], (p, b), (Z, 2)))(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([m(Z, 2) for m in members]), **CLOSE)
    model = members[0]
    wanted = model(Z, 2)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(Z, 2), wanted, **CLOSE)
    torch.testing.assert_close(torch.export.export(model, (Z, 2)).module()(Z, 2), wanted, **CLOSE)
    torch.testing.assert_close(vmap(lambda row: model(row, 2))(Z), wanted, **CLOSE)
    assert model.to("meta")(Z.to("meta"), 2).is_meta
    assert GLA(4, Sigmoid(4), device="meta").layers[0].own.gate.W.is_meta


def test_the_repr_identifies_the_gate():
    model = GLA(4, Decay(0.9), 2)
    assert repr(model) == (
        "GLA(width=4, gate=Decay(name='fixed decay', acts_on='scalar', rate=0.9), layers=2, key_width=4, value_width=4)"
    )
    assert "rate=0.9" in model._repr_html_()

    class Nested(Decay):
        def __init__(self, inner):
            super().__init__(0.5)
            self.inner = inner

    assert "inner.rate=0.25" in repr(GLA(4, Nested(Decay(0.25))))


def test_a_checkpoint_knows_the_gate(tmp_path):
    """It goes on with the same gate, and refuses another: also one that differs in a number alone."""
    path, recipe = tmp_path / "run.npz", Recipe(steps=12, batch=8, queries=2, lr=0.01)

    def train(floor, path=None):
        model = GLA(4, Sigmoid(4, floor=floor), scale=1 / 12, generator=gen(), dtype=torch.float32)
        return model, fit(model, DIST, recipe, checkpoint=path)

    first, losses = train(0.5, path)
    again, kept = train(0.5, path)
    assert np.array_equal(kept, losses) and torch.equal(first.layers[0].own.gate.W, again.layers[0].own.gate.W)
    assert first.layers[0].own.gate.W.any()
    with pytest.raises(ValueError, match=r"checkpoint must be of this run.*differs in model$"):
        train(0.6, path)


def test_a_gate_of_ones_own_learns_as_fast_as_any():
    recipe, weights = Recipe(steps=20, batch=8, queries=2, lr=0.01), []
    for gate in ("key", Sigmoid(4)):
        model = GLA(4, gate, gate_bias=1.0, scale=1 / 12, generator=gen(), dtype=torch.float32)
        fit(model, DIST, recipe)
        layer = model.layers[0]
        weights.append(layer.W_g if layer.own is None else layer.own.gate.W)
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (lambda Z: Z.new_ones(Z.shape[:-1]), ValueError, r"must be of shape \(2, 8, 4\) for tokens \(2, 8, 4\); got"),
        (lambda Z: Z.new_ones(4), ValueError, r"must be of shape \(2, 8, 4\) for tokens"),
        (lambda Z: 1.0, TypeError, "must be a torch tensor; got float"),
        (lambda Z: Z.isnan(), TypeError, "must be a floating-point tensor"),
        (lambda Z: torch.ones_like(Z).float(), ValueError, "must be of the tokens' dtype and device, torch.float64 on"),
        (lambda Z: torch.full_like(Z, 1.5), ValueError, r"must be in \[0, 1\]; got values from 1\.5 to 1\.5"),
        (lambda Z: torch.full_like(Z, -0.1), ValueError, r"must be in \[0, 1\]"),
        (lambda Z: torch.full_like(Z, torch.nan), ValueError, "must be finite; got a tensor with NaN"),
    ],
)
def test_wrong_gates_are_named(made, error, words):
    model = GLA(4, Bad(made), dtype=F64)
    for call in (model, model.gates, model.weights):
        with pytest.raises(error, match=f"what gate 'bad' returns {words}"):
            call(Z)


class Named(nn.Module):
    name, acts_on = "named", "scalar"


def variant(**attributes):
    gate = Named()
    for name, value in attributes.items():
        setattr(gate, name, value)
    return gate


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: GLA(4, nn.Linear(4, 4)), TypeError, "gate.name must be a string that is not empty; got None"),
        (lambda: GLA(4, variant(name="")), TypeError, "gate.name must be a string that is not empty; got ''"),
        (
            lambda: GLA(4, variant(acts_on=None)),
            ValueError,
            "gate.acts_on must be one of 'scalar', 'key', 'value'; got",
        ),
        (lambda: GLA(4, variant(acts_on="query")), ValueError, "gate.acts_on must be one of .*; got 'query'"),
        (lambda: GLA(4, Decay), TypeError, "gate must be None, one of 'scalar', .*or a torch module with `name`"),
        (lambda: GLA(4, lambda Z: Z), TypeError, "gate must be None, one of"),
        (lambda: GLA(4, Decay(0.9), gates=np.ones(5)), ValueError, "gates must be None when gate is None or a module"),
        (lambda: GLA(4, Named(), dtype=F64)(Z), NotImplementedError, "forward"),
        (
            lambda: GLA.from_matrices(np.eye(3), np.eye(3), np.ones(5), Decay(0.9)),
            ValueError,
            "gate must be one of None",
        ),
        (
            lambda: token_free_losses(GLA(4, Decay(0.9)), DIST, 2, tokens=Layout()),
            ValueError,
            r"model must be with gates that W_g and b_g make; got GLA\(.*'fixed decay'",
        ),
        (
            lambda: GLA(4, Decay(0.9)).with_computed_gates(DIST, Layout()),
            ValueError,
            "model must be with gates given for 13 tokens.*fixed decay",
        ),
    ],
)
def test_what_is_no_gate_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


class Drift:
    """Every example's task is the one before, times 0.8, and something fresh."""

    def sample(self, batch, generator, queries, dtype):
        kind = {"generator": generator, "dtype": dtype}
        x, beta = torch.randn(batch, 6 + queries, 2, **kind), torch.randn(batch, 7, 2, **kind)
        for i in range(6):
            beta[:, i + 1] = 0.8 * beta[:, i] + 0.6 * beta[:, i + 1]
        y = (x * beta[:, torch.arange(6 + queries).clamp(max=6)]).sum(-1)
        return Prompts(x[:, :6], y[:, :6], x[:, 6:], y[:, 6:], beta[:, :6], beta[:, 6])


AGE = np.arange(6, 0, -1)
TWIN = PromptDistribution(2, (1,) * 6, 0.8**AGE, 0.8 ** np.abs(AGE[:, None] - AGE))


def test_a_distribution_of_ones_own_is_held_to_a_closed_form():
    """A drift is a case of the theory: a layer built with a fixed decay has the risk of its weights."""
    model = GLA(3, Decay(0.7), dtype=F64)
    eye = torch.eye(2, 3, dtype=F64) / 10**0.5
    model.layers[0].construct(eye, eye, model.h)
    wanted = population_risk(TWIN, np.eye(2) / 10, 0.7**AGE)
    found = simulate_risk(model, Drift(), 20_000, 4, generator=gen())
    assert abs(found.risk - wanted) < 5 * found.stderr < 0.1 * wanted


class Corrected(nn.Module):
    """Each example corrects a predictor by a share of its error."""

    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.0))

    def forward(self, Z, queries=1):
        x, y, w = Z[..., :-1], Z[..., -1], torch.zeros_like(Z[:, 0, :-1])
        for i in range(Z.shape[1] - queries):
            error = y[:, i] - (w * x[:, i]).sum(-1)
            w = w + self.rate * (error / x[:, i].square().sum(-1))[:, None] * x[:, i]
        return (x[:, -queries:] @ w[..., None])[..., 0]


def test_a_layer_of_ones_own_is_trained_and_compared():
    """From predicting zero, its own starting point, to below it."""
    model, best = Corrected(), optimal_wpgd(TWIN)
    before = simulate_risk(model, TWIN, 4000, 4, generator=gen(), against=best)
    fit(model, Drift(), Recipe(steps=40, batch=64, queries=4, lr=0.03))
    after = simulate_risk(model, TWIN, 4000, 4, generator=gen(), against=best)
    assert abs(before.risk - TWIN.M) < 5 * before.stderr
    assert after.risk + 5 * after.stderr < before.risk


def outputs(layer, Z, acts_on, scale):
    """S_i = G_i * S_{i-1} + u_i v_i k_i^T and o_i = scale * S_i q_i, token by token."""
    q, k, v = (Z @ W for W in (layer.W_q, layer.W_k, layer.W_v))
    g, u, S, out = layer.own.gate(Z), layer.own.gate.write(Z), 0.0, []
    for i in range(Z.shape[-2]):
        G = {"scalar": lambda g: g[:, None, None], "key": lambda g: g[:, None], "value": lambda g: g[..., None]}[
            acts_on
        ]
        S = G(g[:, i]) * S + u[:, i, None, None] * v[:, i, :, None] * k[:, i, None, :]
        out.append(scale * S @ q[:, i, :, None])
    return torch.stack(out, 1)[..., 0]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("acts_on", ["scalar", "key", "value"])
def test_a_gate_on_the_write_scales_what_is_written(acts_on, layers):
    channels = {"scalar": 1, "key": 5, "value": 4}[acts_on]
    gate = Input(4, acts_on, channels)
    model = randomised(GLA(4, gate, layers, 5, 4, scale=0.3, generator=gen(), dtype=F64))
    tokens, wanted = Z, 0.0
    for layer in model.layers:
        o = outputs(layer, tokens, acts_on, 0.3)
        tokens, wanted = tokens + o, wanted + o[:, -1] @ model.h
    torch.testing.assert_close(model(Z)[:, 0], wanted, **CLOSE)
    weights, gates = (made if layers == 1 else made[0] for made in (model.weights(Z), model.gates(Z)))
    u = gate.write(Z)[:, None, :-1]
    plain = gates_to_weights(gates, axis=1)[:, None]
    torch.testing.assert_close(weights, plain * (u if acts_on == "scalar" else u[..., None]), **CLOSE)


@pytest.mark.parametrize("causal", [True, False])
def test_queries_do_not_see_each_others_writes(causal):
    model = randomised(GLA(4, Input(4, "scalar", 1), 2, causal=causal, generator=gen(), dtype=F64))
    together = model(Z, queries=3)
    for j in range(3):
        alone = model(torch.cat([Z[:, :6], Z[:, 6 + j : 7 + j]], 1))
        torch.testing.assert_close(together[:, j], alone[:, 0], **CLOSE)


@pytest.mark.parametrize(
    "made, complaint",
    [
        (lambda Z: -Z[..., 0].abs() - 1, "what write of gate 'bad input' returns must be finite and not negative"),
        (lambda Z: Z[..., 0] / 0, "what write of gate 'bad input' returns must be finite and not negative"),
        (lambda Z: Z, r"what write of gate 'bad input' returns must be of shape \(2, 8\) for tokens \(2, 8, 4\)"),
        (lambda Z: Z[..., 0].float(), "what write of gate 'bad input' returns must"),
        (lambda Z: 1.0, "what write of gate 'bad input' returns must"),
    ],
)
def test_a_write_that_does_not_fit_is_refused_by_name(made, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        GLA(4, BadInput(made), generator=gen(), dtype=F64)(Z)
    fixed = Decay(0.5)
    fixed.write = 0.3
    with pytest.raises(TypeError, match=r"gate.write must be a method of tokens; got 0.3"):
        GLA(4, fixed)

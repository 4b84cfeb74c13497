"""The module against the formulas in plain numpy and against the recurrence, token by token."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glalib import GLA, Layout, PromptDistribution, gla, optimal_wpgd
from glalib.gates import gates_to_weights
from glalib.layout import DELIMITED

GATES = (None, "scalar", "key", "value")
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def tokens(x, y, x_query, context=0, rng=None):
    """Z (n+1, d+1+context) in numpy: rows (x_i, y_i, c_i), the query last with label 0."""
    Z = np.column_stack([np.vstack([x, x_query]), np.append(y, 0)])
    return np.column_stack([Z, rng.normal(size=(len(Z), context))]) if context else Z


def random_model(seed, width, gate, layers, **options):
    generator = torch.Generator().manual_seed(seed)
    model = GLA(width, gate, layers, gate_bias=1.0, generator=generator, dtype=torch.float64, **options)
    with torch.no_grad():
        for p in model.parameters():  # none at a special value
            p.add_(0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


def last_state(q, k, v, g, gate):
    """Without causal mask: all tokens read the state after the last example, the query through its own gate."""
    if gate is None:
        g = q.new_ones(q.shape[:-1])
    G = g[..., None, :] if gate == "key" else g[..., None] if gate == "value" else g[..., None, None]
    S = 0
    for i in range(q.shape[-2] - 1):
        S = G[..., i, :, :] * S + v[..., i, :, None] * k[..., i, None, :]
    read = torch.einsum("...vk,...tk->...tv", S, q[..., :-1, :])
    own = torch.einsum("...vk,...k->...v", G[..., -1, :, :] * S, q[..., -1, :])
    return torch.cat([read, own[..., None, :]], -2)


def one_prompt_at_a_time(model, Z, queries):
    """h^T (what all layers wrote at the query), each query alone in its prompt, all in the recurrent form."""
    n, predictions = Z.shape[-2] - queries, []
    for j in range(queries):
        stream = torch.cat([Z[..., :n, :], Z[..., n + j : n + j + 1, :]], -2)
        written = 0
        for layer in model.layers:
            g = layer.given if model.gate and layer.given is not None else None
            if model.gate and g is None:
                g = torch.sigmoid(stream @ layer.W_g + layer.b_g)
            if model.gate == "scalar":
                g = g[..., 0]
            q, k, v = stream @ layer.W_q, stream @ layer.W_k, stream @ layer.W_v
            o = gla(q, k, v, g, model.gate or "scalar") if model.causal else last_state(q, k, v, g, model.gate)
            written = written + o[..., -1, :]
            if layer is not model.layers[-1]:
                stream = stream + (o if layer.W_o is None else o @ layer.W_o)
        predictions.append(written @ model.h)
    return torch.stack(predictions, -1)


@pytest.mark.claim("def-gla")
@given(
    gate=st.sampled_from(GATES),
    layers=st.integers(1, 3),
    n=st.integers(1, 20),
    queries=st.integers(1, 3),
    widths=st.sampled_from([(3, None, None), (4, 2, None), (4, None, 2), (3, 5, 1)]),
    lead=st.sampled_from([(), (2,), (2, 3)]),
    causal=st.booleans(),
    seed=st.integers(0, 9),
)
def test_module_is_the_recurrence(gate, layers, n, queries, widths, lead, causal, seed):
    width, key_width, value_width = widths
    model = random_model(seed, width, gate, layers, key_width=key_width, value_width=value_width, causal=causal)
    Z = torch.randn(*lead, n + queries, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    Z /= n**0.5
    ours, theirs = model(Z, queries), one_prompt_at_a_time(model, Z, queries)
    assert ours.shape == (*lead, queries)
    assert (ours - theirs).abs().max() <= 1e-10 * theirs.abs().max()
    parameters = list(model.parameters())
    probe = torch.cos(torch.arange(ours.numel(), dtype=torch.float64)).reshape(ours.shape)
    slopes = [torch.autograd.grad((p * probe).sum(), parameters) for p in (ours, theirs)]
    scale = max(s.abs().max() for s in slopes[1])
    assert all((a - b).abs().max() <= 1e-8 * scale for a, b in zip(*slopes, strict=True))


@pytest.mark.claim("thm-gla-is-wpgd", "def-construction")
@given(
    n=st.integers(1, 12),
    d=st.integers(1, 5),
    m=st.integers(1, 6),
    context=st.integers(0, 2),
    gate=st.sampled_from(["scalar", "key"]),
    zero=st.booleans(),
    seed=st.integers(0, 99),
)
def test_theorem_1(n, d, m, context, gate, zero, seed):
    rng = np.random.default_rng(seed)
    x, y, x_query = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
    P_q, P_k = rng.normal(size=(d, m)), rng.normal(size=(d, m))
    gates = rng.uniform(size=(n + 1,) if gate == "scalar" else (n + 1, m))
    if zero:
        gates[rng.integers(n + 1)] = 0
    Omega = np.array([gates[i + 1 :].prod(0) for i in range(n)]).reshape(n, -1)
    wanted = x_query @ P_q @ (x @ P_k * Omega).T @ y
    scale = np.abs(x_query @ P_q) @ np.abs(x @ P_k * Omega).T @ np.abs(y)  # the size of the terms: sums may cancel
    model = GLA.from_matrices(P_q, P_k, gates, gate, context)
    Z = torch.from_numpy(tokens(x, y, x_query, context, rng))
    assert abs(model(Z).item() - wanted) <= 1e-12 * scale
    if gate == "scalar":
        assert abs(wanted - x_query @ P_q @ P_k.T @ x.T @ (Omega[:, 0] * y)) <= 1e-12 * scale


def coupled_iterates(x, y, x_query, P_q, P_k, gates):
    """Theorem 6 with two plain loops: every token carries its own beta_i; gates (n+1,) or (n+1, m) per layer."""
    X, Y = np.vstack([x, x_query]), np.append(y, 0)
    beta = np.zeros_like(X)
    for Pq, Pk, g in zip(P_q, P_k, gates, strict=True):
        step = np.zeros_like(beta)
        for i in range(len(X)):
            for j in range(i + 1):
                step[i] += Pq @ ((Pk.T @ X[j]) * g[j + 1 : i + 1].prod(0)) * (Y[j] - X[j] @ beta[j])
        beta = beta + step
    return x_query @ beta[-1]


@pytest.mark.claim("thm-depth")
@pytest.mark.parametrize("kind", ["none", "scalar", "key"])
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("context", [0, 2])
def test_theorem_6(layers, kind, context):
    rng = np.random.default_rng(layers)
    n, d, m = 15, 3, 2
    x, y, x_query = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
    P_q, P_k = rng.normal(size=(2, layers, d, m)) / n**0.5
    gates = rng.uniform(0.5, 1, size=(layers, n + 1) if kind != "key" else (layers, n + 1, m))
    if kind == "none":
        gates[:] = 1
    else:
        gates[0, 4] = 0
    wanted = coupled_iterates(x, y, x_query, P_q, P_k, gates)
    given_gates = None if kind == "none" else list(gates)
    model = GLA.from_matrices(list(P_q), list(P_k), given_gates, "key" if kind == "key" else "scalar", context)
    ours = model(torch.from_numpy(tokens(x, y, x_query, context, rng))).item()
    assert abs(ours - wanted) <= 1e-10 * abs(wanted)  # a sum with terms of both signs: 1e-13, as a rule


@pytest.mark.claim("thm-vector-gate", "prop-two-value-channels")
@given(
    n=st.integers(1, 12),
    d=st.integers(1, 4),
    kind=st.sampled_from(["signed", "falling", "rising", "zero"]),
    gate=st.sampled_from(["scalar", "value", "key"]),
    context=st.integers(0, 2),
    seed=st.integers(0, 99),
)
def test_a_module_with_given_weights(n, d, kind, gate, context, seed):
    rng = np.random.default_rng(seed)
    x, y, x_query, P = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d), rng.normal(size=(d, d))
    omega = 3 * rng.normal(size=n)
    omega = {"signed": omega, "falling": -np.sort(-abs(omega)), "rising": np.sort(abs(omega)), "zero": 0 * omega}[kind]
    if gate == "scalar" and (np.diff(omega, prepend=0) < 0).any():
        with pytest.raises(ValueError, match="for a scalar gate; 'value' and 'key' take others"):
            GLA.from_weights(P, omega, gate)
        return
    model = GLA.from_weights(P, omega, gate, context)
    wanted = x_query @ P @ x.T @ (omega * y)
    scale = np.abs(x_query) @ np.abs(P) @ np.abs(x.T) @ (np.abs(omega).sum() * np.abs(y)) + 1e-300
    assert abs(model(torch.from_numpy(tokens(x, y, x_query, context, rng))).item() - wanted) < 1e-12 * scale


@pytest.mark.claim("def-construction")
def test_equation_9_is_what_it_says():
    P_q, P_k = np.arange(6.0).reshape(3, 2), -np.arange(6.0).reshape(3, 2)
    model = GLA.from_matrices(P_q, P_k, context_width=1)
    layer = model.layers[0]
    np.testing.assert_array_equal(layer.W_q.detach(), np.vstack([P_q, np.zeros((2, 2))]))
    np.testing.assert_array_equal(layer.W_k.detach(), np.vstack([P_k, np.zeros((2, 2))]))
    assert layer.W_v.nonzero().tolist() == [[3, 3]] and model.h.nonzero().tolist() == [[3]]
    assert {name.split(".")[-1] for name, _ in model.named_parameters()} == {"W_q", "W_k", "W_v", "h"}


DIST = PromptDistribution(3, (4, 1, 5), (0.3, -0.2, 0.5), sigma=0.4)


@pytest.mark.claim("thm-vector-gate")
@pytest.mark.parametrize("tokens", [None, Layout(delimiters=True), Layout(context=True), DELIMITED], ids=str)
@pytest.mark.parametrize("gate", ["scalar", "key", "value"])
@pytest.mark.parametrize("weights", ["free", "monotone", "uniform", "constant-gate"])
def test_a_record_as_a_layer(weights, gate, tokens):
    best = optimal_wpgd(DIST, weights)
    if gate == "scalar" and (np.diff(best.omega, prepend=0) < 0).any():
        with pytest.raises(ValueError, match="for a scalar gate; 'value' and 'key' take others"):
            GLA.from_wpgd(best, DIST, gate, tokens)
        return
    prompts = DIST.sample(5, torch.Generator().manual_seed(0), 3, torch.float64)
    model = GLA.from_wpgd(best, DIST, gate, tokens)
    torch.testing.assert_close(model((tokens or Layout())(prompts), 3), best(prompts), rtol=1e-12, atol=1e-12)


def weighted_prediction(model, Z, queries, Omega):
    """h^T (sum_i Omega_i * v_i k_i^T) q, and the query's own write, for Omega (queries, n) or (queries, n, m)."""
    (layer,) = model.layers
    n = len(Z) - queries
    q, k, v = Z[n:] @ layer.W_q, Z @ layer.W_k, Z @ layer.W_v
    mask = (
        Omega[..., None, None]
        if Omega.ndim == 2
        else {"key": Omega[..., None, :], "value": Omega[..., None]}[model.gate]
    )
    S = (mask * v[:n, :, None] * k[:n, None, :]).sum(1) + v[n:, :, None] * k[n:, None, :] * model.causal
    return (S @ q[..., None])[..., 0] @ model.h


@pytest.mark.claim("prop-unrolled")
@given(
    gate=st.sampled_from(GATES),
    held=st.booleans(),
    n=st.integers(1, 12),
    queries=st.integers(1, 3),
    causal=st.booleans(),
    seed=st.integers(0, 9),
)
def test_gates_and_weights_are_those_of_the_predictions(gate, held, n, queries, causal, seed):
    rng = np.random.default_rng(seed)
    m = {None: (), "scalar": (), "key": (2,), "value": (3,)}[gate]
    given_gates = rng.uniform(size=(n + 1, *m)) * rng.integers(0, 3, size=(n + 1, *m)).clip(0, 1)
    options = {"gates": given_gates if held and gate else None, "causal": causal}
    model = random_model(seed, 4, gate, 1, key_width=2, value_width=3, **options)
    Z = torch.randn(2, n + queries, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    gates, Omega = model.gates(Z, queries), model.weights(Z, queries)
    assert gates.shape == (2, n + queries, *m) and Omega.shape == (2, queries, n, *m)
    for b, row in enumerate(Z):
        torch.testing.assert_close(model(row, queries), weighted_prediction(model, row, queries, Omega[b]), **CLOSE)
        for j in range(queries):
            own = torch.cat([gates[b, :n], gates[b, n + j, None]])
            torch.testing.assert_close(Omega[b, j], gates_to_weights(own, -1 - len(m)), **CLOSE)
    if held and gate:
        np.testing.assert_array_equal(gates[1, : n + 1].detach(), given_gates)


def test_gates_and_weights_of_several_layers():
    """Each layer's are those of a model of that layer alone, on the stream that reaches it; 16 bits give float32."""
    model = random_model(0, 4, "key", 3)
    Z = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gates, Omega = model.gates(Z, 2), model.weights(Z, 2)
    for l, layer in enumerate(model.layers):
        torch.testing.assert_close(gates[l], torch.sigmoid(Z @ layer.W_g + layer.b_g), **CLOSE)
        assert Omega[l].shape == (2, 2, 5, 4)
        Z = Z + layer.write(Z, 5)
    short = GLA(4, dtype=torch.bfloat16)
    assert short.gates(torch.ones(6, 4, dtype=torch.bfloat16)).dtype == torch.float32
    for method in (model.gates, model.weights):
        with pytest.raises(ValueError, match=r"Z must be of shape \(..., n \+ 2, 4\) with n >= 1"):
            method(Z[:, :2], 2)


@pytest.mark.claim("thm-scalar-gate", "thm-vector-gate")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("gate", ["scalar", "key", "value"])
@given(kind=st.sampled_from(["random", "zeros and ones"]), one_hot=st.booleans(), seed=st.integers(0, 99))
def test_gates_given_and_gates_computed_from_context(gate, dtype, kind, one_hot, seed):
    """Gates come out as given, up to rounding of their logits, and to what reading random context vectors loses."""
    rng, d, eps = np.random.default_rng(seed), DIST.d, torch.finfo(dtype).eps
    tokens = DELIMITED if one_hot else Layout(True, rng.normal(size=(7, 7)) + 3 * np.eye(7))
    kinds = tokens.kinds(DIST.counts)
    shape = (7,) if gate == "scalar" else (7, d if gate == "key" else d + 1 + 7)
    values = rng.uniform(size=shape) if kind == "random" else rng.integers(0, 2, size=shape) * 1.0
    P = torch.from_numpy(rng.normal(size=(d, d))).to(dtype)
    given_layer = GLA.from_matrices(P, torch.eye(d, dtype=dtype), values[kinds], gate, context_width=7)
    layer = given_layer.with_computed_gates(DIST, tokens)
    Z = tokens(DIST.sample(3, torch.Generator().manual_seed(seed), 2, dtype))
    off = (layer.gates(Z, 2) - given_layer.gates(Z, 2)).abs().max()
    assert off <= (2 if one_hot else 1e4) * eps
    torch.testing.assert_close(layer(Z, 2), given_layer(Z, 2), rtol=1e5 * eps, atol=1e5 * eps)
    if kind == "zeros and ones" and one_hot:
        ones = given_layer.gates(Z, 2) == 1
        assert (layer.gates(Z, 2)[ones] == 1).all() and (layer.gates(Z, 2) > 0).all()
    assert given_layer.layers[0].W_g is None and layer.layers[0].given is None
    assert {"layers.0.W_g", "layers.0.b_g"} < set(layer.state_dict())


def test_in_sixteen_bits_a_gate_of_one_keeps_all():
    """Gates are computed in float32 there: one is one, and zero is 2e-9."""
    gates = np.array([1.0, 1.0, 0.3, 0.0, 1.0, 1.0, 1.0])[DELIMITED.kinds(DIST.counts)]
    eye = torch.eye(3, dtype=torch.bfloat16)
    given_layer = GLA.from_matrices(eye, eye, gates, context_width=7)
    Z = DELIMITED(DIST.sample(1, torch.Generator().manual_seed(0), dtype=torch.float32)).bfloat16()
    wanted, found = given_layer.gates(Z), given_layer.with_computed_gates(DIST).gates(Z)
    assert (found[wanted == 1] == 1).all() and 0 < found[wanted == 0].item() < 3e-9
    assert (found - wanted).abs().max() < 0.2 * torch.finfo(torch.bfloat16).eps


def test_without_context_one_gate_can_be_computed():
    for tokens in (Layout(), Layout(delimiters=True)):
        T = len(tokens.kinds(DIST.counts))
        model = GLA.from_matrices(np.eye(3), np.eye(3), np.full(T, 0.9)).with_computed_gates(DIST, tokens)
        assert torch.sigmoid(model.layers[0].b_g).item() == pytest.approx(0.9, rel=1e-15)
    three = GLA.from_matrices([np.eye(3)] * 3, [np.eye(3)] * 3, [np.full(T, g) for g in (0.2, 0.5, 0.8)])
    wanted = three.with_computed_gates(DIST, tokens)
    Z = tokens(DIST.sample(2, torch.Generator().manual_seed(0), dtype=torch.float64))
    torch.testing.assert_close(wanted(Z), three(Z), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("gate", GATES)
def test_every_weight_is_free(gate):
    model = random_model(0, 3, gate, 2, value_width=2)
    model(torch.randn(4, 6, 3, dtype=torch.float64), queries=2).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_start_is_drawn_from_the_generator():
    a, b, c = (GLA(4, layers=2, value_width=2, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.layers[0].W_q, c.layers[0].W_q)
    assert torch.equal(GLA(5, context_width=1).h, torch.tensor([0.0, 0, 0, 1, 0]))


@pytest.mark.parametrize("held", [False, True])
def test_state_dict_round_trip(held, tmp_path):
    gates = [torch.rand(7), torch.rand(7)] if held else None
    a, b = (GLA(4, layers=2, gates=g and [x * s for x in g]) for g, s in ((gates, 1.0), (gates, 0.5)))
    torch.save(a.state_dict(), tmp_path / "model.pt")
    b.load_state_dict(torch.load(tmp_path / "model.pt"))
    Z = torch.randn(3, 7, 4)
    assert torch.equal(a(Z), b(Z)) and torch.equal(copy.deepcopy(a)(Z), a(Z))


def test_repr():
    assert repr(GLA(4)) == "GLA(width=4, gate='scalar', layers=1, key_width=4, value_width=4)"
    assert repr(GLA(4, causal=False)).endswith("value_width=4, causal=False)")
    held = GLA.from_matrices(np.eye(2), np.eye(2), np.ones(6))
    assert repr(held) == "GLA(width=3, gate='scalar' (given for 6 tokens), layers=1, key_width=2, value_width=3)"


I2 = np.eye(2)
TWO = PromptDistribution(2, (2, 1), (0.2, 0.8))


def computed(gates, tokens=DELIMITED, dist=TWO, context=5):
    return GLA.from_matrices(I2, I2, gates, context_width=context).with_computed_gates(dist, tokens)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: GLA(0), ValueError, "width must be a positive integer; got 0"),
        (lambda: GLA(3, gate="keys"), ValueError, "gate must be one of None, 'scalar', 'key', 'value'; got 'keys'"),
        (lambda: GLA(3, layers=1.5), TypeError, "layers must be a positive integer; got 1.5"),
        (lambda: GLA(3, context_width=2), ValueError, "context_width must be at most width - 2 = 1; got 2"),
        (lambda: GLA(3, gate_bias=float("nan")), ValueError, "gate_bias must be a finite number"),
        (lambda: GLA(3, gate=None, gates=[1.0]), ValueError, "gates must be None when gate is None"),
        (lambda: GLA(3, gates=[1.0, 1.5]), ValueError, r"gates must be in \[0, 1\]"),
        (lambda: GLA(3, gate="key", gates=np.ones((4, 2))), ValueError, r"gates must be of shape \(.*, 3\)"),
        (lambda: GLA(3, layers=2, gates=[[1.0]]), ValueError, "gates must be a sequence of 2 gate arrays"),
        (lambda: GLA(3)(torch.ones(2, 4)), ValueError, r"Z must be of shape \(..., n \+ 1, 3\) with n >= 1"),
        (lambda: GLA(3)(torch.ones(2, 3), queries=2), ValueError, r"Z must be of shape \(..., n \+ 2, 3\) with n >= 1"),
        (lambda: GLA(3)(torch.ones(2, 3), queries=0), ValueError, "queries must be a positive integer; got 0"),
        (lambda: GLA(3)(torch.full((2, 3), torch.inf)), ValueError, "Z must be finite"),
        (lambda: GLA(3)(np.ones((2, 3))), TypeError, "Z must be a torch tensor; got ndarray"),
        (lambda: GLA(3)(torch.ones(2, 3).double()), ValueError, "Z must be of the model's dtype"),
        (lambda: GLA(3, gates=[1.0, 1.0])(torch.ones(3, 3)), ValueError, "Z must be prompts of 2 tokens"),
        (
            lambda: GLA.from_matrices(np.eye(2), np.eye(3)),
            ValueError,
            r"P_k must be of shape \(2, 2\); got shape \(3, 3\)",
        ),
        (lambda: GLA.from_matrices([np.eye(2)] * 2, np.eye(2)), ValueError, "P_k must be a sequence of 2 matrices"),
        (
            lambda: GLA.from_matrices([np.eye(2)] * 2, [np.eye(2)] * 2, np.ones(3)),
            ValueError,
            "gates must be a sequence",
        ),
        (lambda: GLA.from_matrices("P", "P"), TypeError, "P_q must be an array of real numbers"),
        (lambda: GLA.from_matrices([None, I2], [I2, I2]), TypeError, "P_q must be an array of real numbers; got None"),
        (lambda: GLA.from_matrices([I2, None], [I2, I2]), TypeError, "P_q must be an array of real numbers; got None"),
        (lambda: GLA.from_matrices([[None]], I2), TypeError, "P_q must be an array of real numbers"),
        (lambda: GLA.from_matrices([["a"]], I2), TypeError, "P_q must be an array of real numbers"),
        (lambda: GLA.from_matrices(np.zeros((0, 2, 2)), I2), ValueError, "P_q must be of shape"),
        (
            lambda: GLA.from_matrices(I2, I2, context_width=0.0),
            TypeError,
            "context_width must be an integer >= 0; got 0.0",
        ),
        (lambda: GLA.from_matrices(I2, I2, gate="x"), ValueError, "gate must be one of None, 'scalar'"),
        (lambda: GLA.from_matrices([I2] * 2, [I2] * 2, [None, [0.5] * 3]), ValueError, "gates must be given for every"),
        (lambda: GLA(4, layers=2, gates=[[0.5], None]), ValueError, "gates must be given for every layer or for none"),
        (lambda: GLA(4, layers=2, gates=5), ValueError, "gates must be a sequence of 2 gate arrays"),
        (lambda: GLA(4, context_width=0.0), TypeError, "context_width must be an integer >= 0; got 0.0"),
        (lambda: GLA(4, context_width=-1), ValueError, "context_width must be an integer >= 0; got -1"),
        (lambda: GLA(4, dtype=torch.int64), TypeError, "dtype must be a floating-point torch dtype"),
        (lambda: GLA(4, dtype="f"), TypeError, "dtype must be a floating-point torch dtype"),
        (lambda: GLA(4, generator=3), TypeError, "generator must be a torch.Generator or None; got int"),
        (lambda: GLA(4, causal="no"), ValueError, "causal must be one of True, False; got 'no'"),
        (lambda: GLA.from_weights(I2, [0.5], gate=None), ValueError, "gate must be one of 'scalar', 'key', 'value'"),
        (lambda: GLA.from_weights(np.ones((2, 3)), [0.5]), ValueError, r"P must be of shape \(2, 2\)"),
        (lambda: GLA.from_weights(I2, I2), ValueError, r"omega must be of shape"),
        (
            lambda: GLA.from_weights(I2, [8.0, 2.0]),
            ValueError,
            r"omega .* 'value' and 'key' take others; got \[8.0, 2.0\]",
        ),
        (lambda: GLA.from_wpgd((I2, [1.0]), TWO), TypeError, "best must be a WPGD; got tuple"),
        (lambda: GLA.from_wpgd(optimal_wpgd(TWO), 3), TypeError, "dist must be a PromptDistribution; got int"),
        (lambda: GLA.from_wpgd(optimal_wpgd(TWO), TWO, tokens=len), TypeError, "tokens must be a Layout; got builtin"),
        (lambda: GLA.from_wpgd(optimal_wpgd(DIST), TWO), ValueError, r"best.P must be of shape \(2, 2\)"),
        (
            lambda: GLA.from_wpgd(optimal_wpgd(TWO), TWO.replace(counts=(9,), r=(0.5,))),
            ValueError,
            "omega must be of",
        ),
        (lambda: computed(None), ValueError, "model must be with gates given for 6 tokens"),
        (lambda: computed(np.ones(5)), ValueError, "model must be with gates given for 6 tokens"),
        (lambda: computed(np.ones(6), context=4), ValueError, "model must be of width 8, .*; got width 7"),
        (
            lambda: computed([1, 0.5, 0.4, 0.9], Layout(context=True), PromptDistribution(2, (3,), (0.2,)), 2),
            ValueError,
            "gates must be the same for all tokens of one kind",
        ),
        (lambda: computed([1, 0.5, 1, 0.4, 1, 1], Layout(context=True), context=3), ValueError, "model must be with"),
        (lambda: computed([1, 0.5, 0.4, 1], Layout(context=False), context=0), ValueError, "tokens must be of context"),
        (lambda: computed(np.ones(6), dist=3), TypeError, "dist must be a PromptDistribution; got int"),
        (lambda: computed(np.ones(6), tokens=None), TypeError, "tokens must be a Layout; got NoneType"),
        (lambda: GLA(10**30), ValueError, "width must be a positive integer that fits in 64 bits; got 10{30}"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()

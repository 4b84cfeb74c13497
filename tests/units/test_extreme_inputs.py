"""What is bad is named, and what is extreme but good is right, over the public functions of the layer and its twins."""

import math

import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution, gla, gla_readout, simulate_risk, wpgd_step
from glalib.baselines import bayes, least_squares, ridge
from glalib.gates import gates_to_weights, signed_weights_to_gates, suffix_products, weights_to_gates
from glalib.layout import Layout
from glalib.token_free import token_free_losses

D = PromptDistribution(2, (3, 3), (0.2, 0.8))
I = np.eye(2)
Q, V = torch.ones(4, 2), torch.ones(4, 3)
half, double, meta = torch.float16, torch.float64, {"device": "meta"}


def gen():
    return torch.Generator().manual_seed(0)


def ones(*shape, **options):
    return torch.ones(*shape, **options)


def masked(value):
    return np.ma.array(value, mask=np.ones(np.shape(value)))


PROMPTS_GIVEN = r"Z must be tokens, a torch tensor, as `Layout\(\)\(prompts\)` makes; got Prompts$"
BAD = {
    "gates of integers": (lambda: gla(Q, Q, V, ones(4).long()), "gates must be a floating-point tensor"),
    "gates of truth values": (lambda: gla(Q, Q, V, ones(4).bool()), "gates must be a floating-point tensor"),
    "gates in numpy": (lambda: gla(Q, Q, V, np.ones(4)), "gates must be a torch tensor; got ndarray"),
    "gates in a list": (lambda: gla(Q, Q, V, [1.0] * 4), "gates must be a torch tensor; got list"),
    "a gate just above one": (
        lambda: gla(Q, Q, V, torch.tensor([1, 1, 1 + 2**-23, 1])),
        r"gates must be in \[0, 1\]; got values from 1.0 to 1.0000001",
    ),
    "the least negative gate": (
        lambda: gla(Q, Q, V, torch.tensor([1.0, 1, -1e-45, 1])),
        r"gates must be in \[0, 1\]; got values from -1.4",
    ),
    "an infinite gate": (lambda: gla(Q, Q, V, ones(4) / 0), r"gates must be in \[0, 1\]; got values from inf"),
    "a gate of NaN": (lambda: gla(Q, Q, V, ones(4) * torch.nan), "gates must be finite"),
    "a vector gate of NaN": (lambda: gla_readout(Q[0], Q, V, Q * torch.nan, "key"), "gates must be finite"),
    "complex queries": (lambda: gla(Q + 0j, Q, V), "q must be a floating-point tensor, dense"),
    "nested queries": (lambda: gla(torch.nested.nested_tensor([Q, Q]), Q, V), "q must be a floating-point tensor"),
    "keys elsewhere": (lambda: gla(Q, Q.to("meta"), V), "q must be of k's dtype and device, torch.float32 on meta"),
    "gates of less precision": (lambda: gla(Q.double(), Q.double(), V.double(), ones(4)), "gates must be of k's dtype"),
    "gates of too much": (
        lambda: gla(Q.half(), Q.half(), V.half(), ones(4).double()),
        "gates must be of k's dtype and device, torch.float16 or torch.float32 on cpu; got torch.float64",
    ),
    "queries of 16 bits alone": (lambda: gla(Q.half(), Q, V), "q must be of k's dtype"),
    "gate True": (lambda: gla(Q, Q, V, gate=True), "gate must be one of 'scalar', 'key', 'value'; got True"),
    "gate None": (lambda: gla(Q, Q, V, gate=None), "gate must be one of 'scalar', 'key', 'value'; got None"),
    "a form in a list": (lambda: gla(Q, Q, V, form=[1]), "form must be one of"),
    "truth values as weights": (lambda: gates_to_weights([True, False]), "gates must be an array of real numbers"),
    "gates of NaN, torch": (lambda: gates_to_weights(ones(3) * torch.nan), "gates must be finite"),
    "no gates": (lambda: gates_to_weights([]), "gates must be an array with entries along axis -1"),
    "one number": (lambda: gates_to_weights(0.5), "gates must be an array with entries along axis -1"),
    "an axis too far": (lambda: gates_to_weights(I, axis=5), "gates must be an array with entries along axis 5"),
    "an axis beyond 64 bits": (lambda: gates_to_weights(I, axis=2**70), "axis must be an integer that fits"),
    "integer tensors": (lambda: gates_to_weights(ones(3).long()), "gates must be a floating-point tensor"),
    "masked gates": (lambda: gates_to_weights(masked([0.5, 0.5])), "gates must be an array without a mask"),
    "gates of objects": (lambda: gates_to_weights(np.array([0.5, None])), "gates must be an array of real numbers"),
    "huge weights": (lambda: weights_to_gates([1e308, 1e308]), "omega must be non-decreasing"),
    "ragged weights": (lambda: weights_to_gates([[1], [1, 2]]), "omega must be an array of real numbers"),
    "rises beyond float64": (
        lambda: signed_weights_to_gates(torch.tensor([1e308, -1e308], dtype=double)),
        "omega must be such that the sum of its rises is finite in torch.float64",
    ),
    "rises beyond float16": (
        lambda: signed_weights_to_gates(torch.tensor([6e4, -6e4], dtype=half)),
        "omega must be such that the sum of its rises is finite in torch.float16",
    ),
    "products along no axis": (lambda: suffix_products(I, axis=4), "gates must be an array with entries along axis 4"),
    "products of nothing": (lambda: suffix_products([]), "gates must be an array with entries along axis -1"),
    "products of text": (lambda: suffix_products("ab"), "gates must be an array of real numbers"),
    "width True": (lambda: GLA(True), "width must be a positive integer; got True"),
    "no layers": (lambda: GLA(3, layers=0), "layers must be a positive integer; got 0"),
    "no values": (lambda: GLA(3, value_width=0), "value_width must be a positive integer; got 0"),
    "a bias beyond float32": (
        lambda: GLA(3, gate_bias=1e300),
        "gate_bias must be a finite number in the range of torch.float32; got 1e",
    ),
    "a bias beyond float16": (
        lambda: GLA(3, gate_bias=1e5, dtype=half),
        "gate_bias must be a finite number in the range of torch.float16",
    ),
    "a scale beyond float32": (lambda: GLA(3, scale=1e300), "scale must be in the range of torch.float32"),
    "a scale that rounds to zero": (lambda: GLA(3, scale=1e-300), "scale must be in the range of torch.float32"),
    "no given gates": (lambda: GLA(3, gates=[]), "gates must be of shape"),
    "gates of text": (lambda: GLA(3, gates="abc"), "gates must be an array of real numbers"),
    "gates of text, per layer": (lambda: GLA(3, layers=3, gates="abc"), "gates must be an array of real numbers"),
    "given gates without numbers": (lambda: GLA(3, gates=ones(4, **meta)), "gates must be a tensor with numbers"),
    "given gates below zero": (lambda: GLA(3, gates=[0.5, -1e-9]), r"gates must be in \[0, 1\]"),
    "masked given gates": (lambda: GLA(3, gates=masked([0.5, 0.5])), "gates must be an array without a mask"),
    "numpy's generator": (lambda: GLA(3, generator=np.random.default_rng()), "generator must be a torch.Generator"),
    "numpy's dtype": (lambda: GLA(3, dtype=np.float32), "dtype must be a floating-point torch dtype"),
    "8 bits": (lambda: GLA(3, dtype=torch.float8_e4m3fn), "dtype must be a floating-point torch dtype of 16 bits"),
    "queries True": (lambda: GLA(3)(ones(4, 3), queries=True), "queries must be a positive integer; got True"),
    "queries 2.0": (lambda: GLA(3)(ones(4, 3), queries=2.0), "queries must be a positive integer; got 2.0"),
    "integer tokens": (lambda: GLA(3)(ones(4, 3).long()), "Z must be a floating-point tensor"),
    "tokens elsewhere": (lambda: GLA(3)(ones(4, 3, **meta)), "Z must be of the model's dtype and device"),
    "prompts for tokens": (lambda: GLA(3)(D.sample(2)), PROMPTS_GIVEN),
    "weights of prompts": (lambda: GLA(3).weights(D.sample(2)), PROMPTS_GIVEN),
    "gates of prompts": (lambda: GLA(3).gates(D.sample(2)), PROMPTS_GIVEN),
    "a list for tokens": (lambda: GLA(3)([[0.0] * 3]), "Z must be a torch tensor; got list"),
    "tokens of another width": (
        lambda: GLA(3)(ones(256, 46, 4), queries=16),
        r"Z must be of shape \(..., n \+ 16, 3\) with n >= 1, 3 the model's width "
        r"\(tokens of d features and a label have d \+ 1\); got shape \(256, 46, 4\)$",
    ),
    "tokens of no example": (lambda: GLA(3)(ones(1, 3)), r"Z must be of shape .* 3\) with n >= 1; got shape \(1, 3\)$"),
    "P_k too large": (lambda: GLA.from_matrices(ones(2, 2), 1e300 * I), "P_k must be in the range of torch.float32"),
    "P_k too small": (lambda: GLA.from_matrices(ones(2, 2), 1e-300 * I), "P_k must be in the range of torch.float32"),
    "P_q without numbers": (
        lambda: GLA.from_matrices(ones(2, 2, **meta), I),
        "P_q must be a tensor with numbers in it",
    ),
    "P_q of integers, torch": (lambda: GLA.from_matrices(ones(2, 2).long(), I), "P_q must be a floating-point tensor"),
    "P_q a vector": (lambda: GLA.from_matrices(np.ones(2), np.ones(2)), "P_q must be of shape"),
    "no P_q": (lambda: GLA.from_matrices([], []), "P_q must be of shape"),
    "P_q once only": (lambda: GLA.from_matrices((P for P in [I]), [I]), "P_q must be an array of real numbers"),
    "a masked P_q": (lambda: GLA.from_matrices(masked(I), I), "P_q must be an array without a mask"),
    "gates for no gate": (lambda: GLA.from_matrices(I, I, [0.5] * 3, None), "gates must be None when gate is None"),
    "no weights": (lambda: GLA.from_weights(I, []), "omega must be of shape"),
    "one weight, not a list": (lambda: GLA.from_weights(I, 0.5), "omega must be a tensor with at least 1 axes"),
    "weights of NaN": (lambda: GLA.from_weights(I, [np.nan]), "omega must be finite"),
    "weights all negative": (lambda: GLA.from_weights(I, [-0.5, -0.2]), "omega must be such that 0 <= omega_1"),
    "weights beyond float32": (lambda: GLA.from_weights(ones(2, 2), [1e300]), "omega must be in the range of torch.f"),
    "weights that round to zero": (lambda: GLA.from_weights(ones(2, 2), [1e-300]), "omega must be in the range of"),
    "falls beyond float64": (lambda: GLA.from_weights(I, [1e308, -1e308], "value"), "omega must be such that the sum"),
    "a product beyond float64": (lambda: GLA.from_weights(1e200 * I, [1e200]), "P times the largest weight must be f"),
    "a product that is zero": (lambda: GLA.from_weights(1e-200 * I, [1e-200]), "P times the largest weight must be i"),
    "a product beyond float32": (
        lambda: GLA.from_weights(1e30 * ones(2, 2), [1e30]),
        "P times the largest weight must be in the range of torch.float32",
    ),
    "P beyond x's float32": (
        lambda: wpgd_step(Q, ones(4), ones(1, 2), 1e300 * I, np.ones(4)),
        "P must be in the range of torch.float32, 1.2e-38 to 3.4e.38; got a largest entry of 1e.300",
    ),
    "P that rounds to zero": (
        lambda: wpgd_step(Q, ones(4), ones(1, 2), 1e-300 * I, np.ones(4)),
        "P must be in the range",
    ),
    "labels beyond float32": (
        lambda: wpgd_step(Q, 1e300 * np.ones(4), ones(1, 2), I, np.ones(4)),
        "y must be in the range of torch.float32",
    ),
    "P without numbers": (
        lambda: wpgd_step(Q, ones(4), ones(1, 2), ones(2, 2, **meta), ones(4)),
        "P must be a tensor with numbers in it, as x is on cpu; got a meta tensor",
    ),
    "weights in a column": (
        lambda: wpgd_step(np.ones((4, 2)), np.ones(4), np.ones((1, 2)), I, np.ones((4, 1))),
        r"omega must be of shape \(4,\)",
    ),
    "masked features": (lambda: wpgd_step(masked(I), [1, 1], I, I, [1, 1]), "x must be an array without a mask"),
    "penalty NaN": (lambda: ridge(math.nan), "penalty must be a finite number >= 0; got nan"),
    "penalty True": (lambda: ridge(True), "penalty must be a finite number >= 0; got True"),
    "a penalty beyond float32": (lambda: ridge(1e300)(D.sample(2)), "penalty must be below .* torch.float32; got 1e"),
    "no queries": (lambda: simulate_risk(least_squares, D, queries=0), "queries must be a positive integer; got 0"),
    "progress no": (lambda: simulate_risk(least_squares, D, 9, progress="no"), "progress must be one of True, False"),
    "no tokens": (
        lambda: simulate_risk(GLA(3), D, 9, tokens=lambda p: None),
        "what tokens returns must be a torch tensor; got NoneType",
    ),
    "tokens of NaN": (
        lambda: simulate_risk(GLA(3), D, 9, tokens=lambda p: Layout()(p) * torch.nan),
        "Z must be finite",
    ),
    "a prediction too large": (
        lambda: simulate_risk((1e160 * I, np.ones(2)), D, 9),
        "the predictor's output must be finite",
    ),
    "no prompts": (
        lambda: token_free_losses(GLA(3), D, 0, tokens=Layout()),
        "batch must be a positive",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:The PyTorch API of nested tensors")
def test_bad_input_is_named(name):
    call, complaint = BAD[name]
    with pytest.raises((ValueError, TypeError), match=f"^{complaint}"):
        call()


FORMS = ("recurrent", "parallel", "chunked")


@pytest.mark.parametrize("form", FORMS)
def test_negative_zero_is_zero_and_one_is_one(form):
    """A gate of -0 forgets; the sign of what is forgotten does not matter."""
    gates = torch.tensor([1.0, 1, -0.0, 1])
    assert torch.equal(gla(Q, Q, V, gates, form=form), gla(Q, Q, V, gates.abs(), form=form))
    assert gates_to_weights(gates).tolist() == [0, 0, 1]


@pytest.mark.parametrize("gate", ["scalar", "key", "value"])
@pytest.mark.parametrize("form", FORMS)
def test_no_channels_and_one_of_each(form, gate):
    """Keys of width 0 give outputs of zero, values of width 0 none; one token, one key and one value, a product."""

    def gates(T, dk, dv):
        return {"scalar": ones(T), "key": ones(T, dk), "value": ones(T, dv)}[gate]

    no_keys = gla(ones(4, 0), ones(4, 0), V, gates(4, 0, 3), gate, form)
    assert torch.equal(no_keys, torch.zeros(4, 3))
    if not (gate == "value"):
        assert gla(Q, Q, ones(4, 0), gates(4, 2, 0), gate, form).shape == (4, 0)
    one = gla(torch.tensor([[2.0]]), torch.tensor([[3.0]]), torch.tensor([[5.0]]), 0 * gates(1, 1, 1), gate, form)
    assert one.tolist() == [[30.0]]  # its own gate does not act on its own write


@pytest.mark.parametrize("form", FORMS)
def test_strides_and_leaves_do_not_matter(form):
    """Transposed, expanded and strided inputs give what their copies give, and no argument is changed."""
    generator = gen()
    q, k, v = (torch.rand(3, 8, generator=generator, dtype=double).mT for _ in range(3))
    g = torch.rand(1, generator=generator, dtype=double).expand(8)
    wide = torch.rand(16, 6, generator=generator, dtype=double)[::2, ::2].requires_grad_()
    before = [x.clone() for x in (q, k, v, g, wide)]
    o = gla(wide, k, v, g, form=form)
    o.sum().backward()
    copies = [x.detach().clone(memory_format=torch.contiguous_format) for x in (wide, k, v, g)]
    torch.testing.assert_close(o, gla(*copies, form=form), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(before, (q, k, v, g, wide), strict=True))


def test_sums_that_overflow_where_entries_do_not():
    """The quick look for NaN is a sum; it may be infinite where no entry is, and that is no complaint."""
    k = torch.full((3, 1), 3e38)
    assert gla(ones(3, 1), k, 1e-5 * ones(3, 1), ones(3))[-1].item() == pytest.approx(9e33, rel=1e-5)
    k[1] = -3e38
    assert gla(ones(3, 1), k, 1e-5 * ones(3, 1), ones(3)).isfinite().all()


def test_numbers_too_large_are_not_hidden():
    """Beyond the range of the outputs' dtype: infinite, in float16 where float32 would do as well."""
    large = torch.full((4, 1), 6e4, dtype=half)
    assert gla(large, large, large).isinf().all()
    assert gla(1e-4 * large, 1e-4 * large, large)[-1].isinf().all()
    assert wpgd_step(ones(4, 2, dtype=half), 6e4 * ones(4), ones(1, 2), I, np.ones(4)).isinf().all()


def test_the_smallest_weights():
    """Subnormal weights keep their ratios, as far as they have digits."""
    gates = weights_to_gates([5e-324, 1e-323, 1.0])
    assert gates.tolist() == [1, 0.5, 1e-323, 1]
    np.testing.assert_array_equal(gates_to_weights(gates), [5e-324, 1e-323, 1.0])
    assert signed_weights_to_gates([-0.0])[1] == 0
    gates, scale = signed_weights_to_gates([5e-324, -5e-324])
    weights = gates_to_weights(gates, axis=-2)
    np.testing.assert_array_equal(scale * (weights[:, 0] - weights[:, 1]), [5e-324, -5e-324])


def test_empty_batches():
    assert gates_to_weights(np.ones((0, 3))).shape == (0, 2)
    assert GLA(3)(ones(0, 4, 3)).shape == (0, 1)
    assert wpgd_step(np.ones((0, 4, 2)), np.ones((0, 4)), np.ones((0, 1, 2)), I, np.ones(4)).shape == (0, 1)
    # No examples, or no features: the prediction is the start, zero.
    assert wpgd_step(np.ones((0, 2)), np.ones(0), np.ones((1, 2)), I, np.ones(0)).tolist() == [0]
    assert wpgd_step(np.ones((3, 0)), np.ones(3), np.ones((1, 0)), np.ones((0, 0)), np.ones(3)).tolist() == [0]
    assert wpgd_step([[2.0]], [3.0], [[1.0]], [[1.0]], [0.5]).tolist() == [3.0]


def test_numpy_numbers_are_numbers():
    a = GLA(np.int64(4), layers=np.int32(2), context_width=np.int64(1), causal=np.bool_(False), generator=gen())
    b = GLA(4, layers=2, context_width=1, causal=False, generator=gen())
    Z = torch.rand(7, 4, generator=gen())
    assert repr(a) == repr(b) and a.causal is False
    assert torch.equal(a(Z, np.int64(2)), b(Z, 2))
    assert GLA.from_matrices(I, I, context_width=np.int8(1), causal=np.bool_(True)).causal is True
    assert gates_to_weights(I, axis=np.int64(-1)).shape == (2, 1)
    estimates = [simulate_risk(least_squares, D, n, 2, b, gen(), progress=p)
                 for n, b, p in ((9, 4, False), (np.int64(9), np.int64(4), np.bool_(False)))]  # fmt: skip
    assert estimates[0] == estimates[1]


def test_history_is_not_carried_into_a_construction():
    """Weights are copies: leaves of their own, and what they were made from stays as it was."""
    P = ones(2, 2, requires_grad=True)
    model = GLA.from_matrices(P, I)
    with torch.no_grad():
        model.layers[0].W_q.mul_(3)
    assert model.layers[0].W_q.is_leaf and P.eq(1).all() and P.grad is None
    gates = ones(4)
    held = GLA(3, gates=gates)
    gates[0] = 0
    assert held.layers[0].given[0] == 1


def test_a_list_is_a_pair():
    pairs = (I, np.ones(2)), [I, np.ones(2)]
    one, other = (simulate_risk(pair, D, 9, generator=gen()) for pair in pairs)
    assert one == other


@pytest.mark.parametrize("gate", [None, "scalar", "key", "value"])
@pytest.mark.parametrize("layers", [1, 2])
def test_padding(layers, gate):
    """Rows of zeros in front change nothing; inside the context they shift predictions of a gated layer, and only its:
    a gate acts on the state whatever its token writes."""
    model = GLA(3, gate, layers, gate_bias=1.0, scale=0.2, generator=gen(), dtype=double)
    Z, zeros = torch.rand(6, 3, generator=gen(), dtype=double), torch.zeros(2, 3, dtype=double)
    plain = model(Z)
    torch.testing.assert_close(model(torch.cat([zeros, Z])), plain, rtol=1e-12, atol=1e-12)
    change = (model(torch.cat([Z[:3], zeros, Z[3:]])) - plain).abs().item()
    assert change < 1e-12 if gate is None else change > 1e-3 * plain.abs().item()


def test_extreme_penalties():
    """As the penalty grows the prediction goes to zero, as it shrinks to least squares; in float64 without a break."""
    prompts = D.sample(3, gen(), dtype=double)
    assert ridge(1e300)(prompts).abs().max() == 0
    torch.testing.assert_close(ridge(5e-324)(prompts), least_squares(prompts), rtol=1e-9, atol=1e-9)
    assert bayes(D)(prompts).isfinite().all()


def test_more_prompts_than_memory_holds_are_refused_at_once():
    dist = PromptDistribution(3, (5, 5), (0.2, 0.8))
    for batch, queries in ((10**13, 1), (1, 10**13)):
        with pytest.raises(ValueError, match=r"batch, queries and counts must be such that .* at most 1\.1e\+12"):
            dist.sample(batch, queries=queries)
    with pytest.raises(ValueError, match="batch, queries and counts must be such that"):
        PromptDistribution(3, (10**13,), (0.5,)).sample(1)

"""bfloat16 and float16: held to float64 on the same, already rounded, inputs. What is left is one rounding at the end.

Rounding to nearest moves a number by 2^-8 (bfloat16) or 2^-11 (float16) of itself at most, and by about 0.17% or 0.02%
in the root mean square over numbers of all sizes. So 0.5% holds for one rounding of any number, and not for a state,
a weight or a product of gates kept in such a type.
"""

import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution, gla, gla_readout, simulate_risk, wpgd_step
from glalib.baselines import bayes, least_squares, ridge
from glalib.gates import gates_to_weights, signed_weights_to_gates, suffix_products, weights_to_gates
from glalib.layout import Layout
from glalib.token_free import token_free_losses

HALVES = (torch.bfloat16, torch.float16)
GATES = ("scalar", "key", "value", None)
CLOSE = 0.005


def error(half, exact):
    """Root of the mean square, relative."""
    return ((half.double() - exact).norm() / exact.norm()).item()


def problem(dtype, gate, gate_dtype, T, dk=3, dv=2):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(T, m, generator=generator).to(dtype) for m in (dk, dk, dv))
    shape = {"scalar": (T,), "key": (T, dk), "value": (T, dv)}.get(gate, ())
    g = None if gate is None else (0.999 + 0.001 * torch.rand(shape, generator=generator)).to(gate_dtype)
    return [q, k, v, g]


def call(form, gate, q, k, v, g=None):
    gate = gate or "scalar"
    return gla_readout(q[-1], k, v, g, gate) if form == "readout" else gla(q, k, v, g, gate, form)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("form", ["recurrent", "parallel", "chunked", "readout"])
def test_long_sums(form, gate, dtype):
    """8192 tokens with gates of 0.999 or more; 1024 in the parallel form, where memory grows with the square."""
    half = problem(dtype, gate, dtype, 1024 if form == "parallel" else 8192)
    half = [x for x in half if x is not None]
    ours = call(form, gate, *half)
    assert ours.dtype == dtype
    assert error(ours, call("chunked" if form == "recurrent" else form, gate, *(x.double() for x in half))) < CLOSE


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(("form", "T"), [("recurrent", 512), ("parallel", 512), ("chunked", 8192), ("readout", 8192)])
def test_gradients(form, T, gate, dtype):
    """In both dtypes that gates may have."""
    for gate_dtype in {"readout": (dtype, torch.float32)}.get(form, (torch.float32,)):
        half = [x.requires_grad_() for x in problem(dtype, gate, gate_dtype, T) if x is not None]
        exact = [x.detach().double().requires_grad_() for x in half]
        ours, wanted = call(form, gate, *half), call(form, gate, *exact)
        assert error(ours.detach(), wanted.detach()) < CLOSE
        probe = torch.cos(torch.arange(ours.numel())).reshape(ours.shape).to(dtype)
        slopes = torch.autograd.grad(ours, half, probe)
        for x, a, b in zip(half, slopes, torch.autograd.grad(wanted, exact, probe.double()), strict=True):
            assert a.dtype == x.dtype
            assert error(a, b) < CLOSE


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_gradients_of_shared_arguments_are_summed_before_they_are_rounded(dtype):
    q, k, v, g = problem(dtype, "scalar", dtype, 16)
    q = torch.randn(3000, 16, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
    slopes = []
    for wide in (False, True):
        k_, v_, g_ = ((x.double() if wide else x.clone()).requires_grad_() for x in (k, v, g))
        o = gla(q.double() if wide else q, k_, v_, g_)
        slopes.append(torch.autograd.grad(o, (k_, v_, g_), torch.ones_like(o)))
    assert all(error(ours, wanted) < CLOSE for ours, wanted in zip(*slopes, strict=True))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_products_of_gates_are_rounded_once(dtype):
    """A gate of 1 - 2^-8 is a number of both types; a product of a thousand, kept there, would round as often."""
    gates = torch.full((1001,), 1 - 2.0**-8, dtype=dtype)
    exact = (1 - 2.0**-8) ** torch.arange(1000, 0, -1, dtype=torch.float64)
    for weights in (gates_to_weights(gates), suffix_products(gates)[:-1]):
        assert weights.dtype == dtype
        # Half a unit of the type, and a thousand roundings of float32 before it (6e-5 at most). Below 2^-14 float16 has
        # fewer digits, so there the distance is absolute.
        assert ((weights.double() - exact).abs() <= exact * (torch.finfo(dtype).eps / 2 + 1e-4) + 2.0**-24).all()


def test_what_a_type_of_16_bits_cannot_say():
    """0.999 is 1 in bfloat16 and 0.99902 in float16: such gates belong in float32, and may be given in it."""
    assert gates_to_weights(torch.full((1001,), 0.999, dtype=torch.bfloat16))[0] == 1
    wanted = torch.tensor(0.999, dtype=torch.float16).item() ** 1000
    assert gates_to_weights(torch.full((1001,), 0.999, dtype=torch.float16))[0].item() == pytest.approx(
        wanted, rel=1e-3
    )
    assert gates_to_weights(torch.full((1001,), 0.999))[0].item() == pytest.approx(0.999**1000, rel=1e-4)
    one = torch.zeros(1001, 1, dtype=torch.bfloat16)
    one[0] = 1.0
    q = torch.ones(1001, 1, dtype=torch.bfloat16)
    last = gla(q, one, one, torch.full((1001,), 0.999))[-1].item()
    assert last == pytest.approx(0.999**1000, rel=2.0**-8)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_weights_to_gates_and_back(dtype):
    omega = torch.linspace(0.1, 1, 40).to(dtype)
    back = gates_to_weights(weights_to_gates(omega).float())
    assert error(back, omega.double()) < 40 * torch.finfo(dtype).eps  # forty gates, each rounded
    gates, scale = signed_weights_to_gates(omega - 0.5)
    assert gates.dtype == scale.dtype == dtype
    with pytest.raises(ValueError, match="omega must be non-decreasing"):
        weights_to_gates(torch.tensor([0.6, 0.5, 1.0], dtype=dtype))
    one_unit = torch.tensor([0.5 * (1 + torch.finfo(dtype).eps), 0.5, 1.0], dtype=dtype)
    assert weights_to_gates(one_unit).max() == 1


def random_layer(dtype, gate, layers, causal, n):
    """Weights of every kind, gates around 0.999 computed from the tokens."""
    generator = torch.Generator().manual_seed(2)
    model = GLA(4, gate, layers, gate_bias=7.0, causal=causal, scale=1 / n, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for layer in model.layers:
            if gate is not None:
                layer.W_g.normal_(std=0.3, generator=generator)
    return model.to(dtype)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(("layers", "causal"), [(1, True), (2, True), (2, False)])
def test_models(gate, layers, causal, dtype):
    n = 8192 if layers == 1 else 2048
    model = random_layer(dtype, gate, layers, causal, n)
    exact = random_layer(dtype, gate, layers, causal, n).double()
    Z = torch.randn(n + 64, 4, generator=torch.Generator().manual_seed(5)).to(dtype)
    ours, wanted = model(Z, 64), exact(Z.double(), 64)
    assert ours.dtype == dtype and error(ours.detach(), wanted.detach()) < CLOSE
    ours.float().square().sum().backward()
    wanted.square().sum().backward()
    for p, q in zip(model.parameters(), exact.parameters(), strict=True):
        # The loss is of the rounded prediction, so its slope has that rounding too; some slopes are small differences.
        assert p.grad.dtype == dtype and error(p.grad, q.grad) < 4 * CLOSE


@pytest.mark.parametrize("change", [lambda m: m.bfloat16(), lambda m: m.half(), lambda m: m.to(torch.float16)])
def test_given_gates_stay_in_float32(change):
    gates = torch.full((1001,), 0.999)
    model = change(GLA(2, gates=gates, value_width=2))
    assert torch.equal(model.layers[0].given[:, 0], gates) and model.h.itemsize == 2
    assert model.double().layers[0].given.dtype == torch.float64
    made_so = GLA(2, gates=gates, dtype=torch.bfloat16)
    assert torch.equal(made_so.layers[0].given[:, 0], gates)
    assert made_so.to("meta").layers[0].given.is_meta


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("gate", ["scalar", "value", "key"])
def test_constructions(gate, dtype):
    """Given weights are reached to the rounding of P, however near one the gates: they are never rounded to 16 bits."""
    n, d = 4000, 3
    omega = np.exp(np.linspace(-4, 0, n))  # gates of 0.999
    P = np.diag([1.0, 0.5, -2.0]) / n
    model = GLA.from_weights(torch.tensor(P).to(dtype) * 64, omega, gate)
    generator = torch.Generator().manual_seed(0)
    Z = torch.randn(n + 40, d + 1, generator=generator).to(dtype)
    x, y, x_query = Z[:n, :d].double(), Z[:n, d].double(), Z[n:, :d].double()
    wanted = wpgd_step(x, y, x_query, model.layers[0].W_q[:d, :d].detach().double(), omega)
    Z[n:, d] = 0
    # W_q holds P (times the largest weight, here one; of the two halves of a key gate, the first).
    assert error(model(Z, 40).detach(), wanted) < CLOSE


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_wpgd(dtype):
    generator = torch.Generator().manual_seed(0)
    x, y, x_query = (torch.randn(*s, generator=generator).to(dtype) for s in ((8192, 3), (8192,), (50, 3)))
    P = torch.randn(3, 3, generator=generator, dtype=torch.float64) / 8192
    omega = np.linspace(0.999, 1, 8192)
    ours = wpgd_step(x, y, x_query, P, omega)
    assert ours.dtype == dtype and error(ours, wpgd_step(x.double(), y.double(), x_query.double(), P, omega)) < CLOSE


DIST = PromptDistribution(3, (40, 20), (0.3, 0.8), sigma=0.5)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_baselines(dtype):
    prompts = DIST.sample(200, torch.Generator().manual_seed(0), dtype=dtype)
    wide = type(prompts)(
        *(getattr(prompts, f).double() for f in ("x", "y", "x_query", "y_query", "beta", "beta_query"))
    )
    for predictor in (least_squares, ridge(0.3), bayes(DIST)):
        ours = predictor(prompts)
        assert ours.dtype == dtype and error(ours, predictor(wide)) < CLOSE


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_risk_of_a_model_of_16_bits(dtype):
    """The prompts are those of float32, and only tokens and prediction are rounded: a risk off by a rounding's square
    would be invisible; rounded labels, or a mean in 16 bits, would not."""
    P = np.eye(3) / 64

    def risk(dtype, P, draws):
        model = GLA.from_matrices(P, np.eye(3)).to(dtype)
        return simulate_risk(model, DIST, draws, queries=2, generator=torch.Generator().manual_seed(1)).risk

    assert risk(dtype, P, 4000) == pytest.approx(risk(torch.float32, P, 4000), rel=CLOSE)
    # A prediction of zero leaves the labels alone, with nothing rounded: equal to the last digit.
    assert risk(dtype, 0 * P, 100) == risk(torch.float32, 0 * P, 100)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_losses_without_tokens(dtype):
    """The same draws and, in float32, the same rounded weights: computed in float32 throughout, the same losses."""

    def losses(*dtypes):
        model = GLA(4, scale=1 / 60, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        for own in dtypes:
            model = model.to(own)
        return token_free_losses(model, DIST, 500, torch.Generator().manual_seed(1), tokens=Layout())

    assert losses(dtype).dtype == torch.float32
    assert torch.equal(losses(dtype), losses(dtype, torch.float32))


def test_given_gates_of_a_float64_model_become_float32():
    """In sixteen bits a layer computes in float32, given gates too, whatever it was made in."""
    model = GLA.from_matrices(np.eye(3), np.eye(3), np.array([1.0, 0.9990234375, 0.9, 1.0]))
    assert model.layers[0].given.dtype == torch.float64
    Z = Layout()(PromptDistribution(3, (3,), (1.0,)).sample(5, torch.Generator().manual_seed(0), dtype=torch.float64))
    wanted = model(Z)
    for dtype in (torch.float16, torch.bfloat16):
        rounded = model.to(dtype)
        assert rounded.layers[0].given.dtype == torch.float32
        off = (rounded(Z.to(dtype)).double() - wanted).norm() / wanted.norm()
        assert off < 0.02, off  # a few roundings of features and labels, of 2^-9 at most each

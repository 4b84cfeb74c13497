"""The gated delta rule's forms against its products written out, in outputs, states and gradients; errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from libraries import in_fla, needs_fla
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, vmap

from glalib import gated_delta_rule, gla
from glalib.delta.attention import FORMS

F64 = {"dtype": torch.float64}
STEPS = ("mild", "long", "zero", "two", "of both signs")
GATES = ("mild", "some zeros", "all zeros", "near one", "none")


def reference(q, k, v, beta, gates, S):
    """S_i = S_{i-1} g_i (I - beta_i k_i k_i^T) + beta_i v_i k_i^T, example by example, with the matrix written out."""
    o = []
    for i in range(k.shape[-2]):
        k_i, b_i = k[..., i, :, None], beta[..., i, None, None]
        kept = torch.eye(k.shape[-1], **F64) - b_i * (k_i @ k_i.mT)
        kept = kept if gates is None else gates[..., i, None, None] * kept
        S = S @ kept + b_i * (v[..., i, :, None] @ k_i.mT)
        o.append((S @ q[..., i, :, None])[..., 0])
    return torch.stack(o, -2), S


def problem(steps, gates, T, dk, dv, leads=((),) * 6, seed=0):
    """q, k, v, beta, the first state, and gates if there are any. Keys of length one, so that |I - 2 k k^T| = 1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, **F64)

    q, k, v = (normal(*lead, T, m) for lead, m in zip(leads, (dk, dk, dv), strict=False))
    k = torch.nn.functional.normalize(k, dim=-1)
    beta = torch.rand(*leads[3], T, generator=generator, **F64)
    beta = {"mild": beta, "long": 2 * beta, "zero": 0 * beta, "two": 0 * beta + 2, "of both signs": beta - 0.3}[steps]
    g = torch.rand(*leads[4], T, generator=generator, **F64)
    g = {"mild": 0.5 + 0.5 * g, "some zeros": g * (g > 0.3), "all zeros": 0 * g, "near one": 1 - 1e-9 * g}.get(gates)
    return [q, k, v, beta, normal(*leads[5], dv, dk), *([] if g is None else [g])]


def everything(f, inputs):
    """Outputs and last state in one, then the gradients of a sum over both to all inputs."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    q, k, v, beta, S, *gates = inputs
    o, S = f(q, k, v, beta, gates[0] if gates else None, S)
    found = torch.cat([o.flatten(), S.flatten()])
    probe = torch.cos(torch.arange(len(found), **F64))
    return [found.detach(), *torch.autograd.grad(found @ probe, inputs)]


def ours(form, chunk=None, cut=None):
    """The whole sequence at once, or in two parts."""

    def f(q, k, v, beta, gates, S):
        o = []
        for part in [slice(None)] if cut is None else [slice(0, cut), slice(cut, None)]:
            g = None if gates is None else gates[..., part]
            rows = (x[..., part, :] for x in (q, k, v))
            out, S = gated_delta_rule(*rows, beta[..., part], g, form, S, True, chunk=chunk)
            o.append(out)
        return torch.cat(o, -2), S

    return f


def assert_equal(found, wanted, tolerance=1e-10):
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * (1e-3 + b.abs().max())  # false for NaN


leading = st.sampled_from(
    [((),) * 6, ((2,),) * 6, ((2, 1), (3,), (), (1, 3), (2, 1), (3,)), ((), (), (), (2,), (), ())]
)


@given(
    st.sampled_from(STEPS),
    st.sampled_from(GATES),
    st.tuples(st.integers(1, 23), st.integers(1, 4), st.integers(1, 4)),
    leading,
    st.sampled_from([None, 1, 3, 4, 30]),
    st.data(),
)
@settings(max_examples=100)
def test_forms_agree_with_the_products(steps, gates, shape, leads, chunk, data):
    """Whole, and cut in two anywhere; lengths that chunks divide and that they do not."""
    inputs = problem(steps, gates, *shape, leads=leads, seed=shape[0])
    wanted = everything(reference, inputs)
    cut = data.draw(st.integers(1, shape[0] - 1)) if shape[0] > 1 else None
    for f in (ours("recurrent"), ours("chunked", chunk), ours("chunked", chunk, cut), ours("recurrent", cut=cut)):
        assert_equal(everything(f, inputs), wanted)


def test_no_chunk_is_too_long_and_no_sequence():
    """A thousand tokens, chunks of all lengths, decays that underflow: the last state and all outputs stay right."""
    for gates in ("some zeros", "mild"):
        inputs = problem("long", gates, 1000, 5, 2, seed=1)
        wanted = everything(ours("recurrent"), inputs)
        for chunk in (None, 7, 1000):
            assert_equal(everything(ours("chunked", chunk), inputs), wanted)


@pytest.mark.parametrize("form", FORMS)
def test_orthogonal_keys_have_nothing_to_erase(form):
    """Then it is gated linear attention with values beta v; and at beta = 1 a key seen again is overwritten."""
    q, _, v, beta, _, g = problem("mild", "mild", 6, 6, 3)
    wanted = gla(q, torch.eye(6, **F64), beta[:, None] * v, g, output_final_state=True)
    found = gated_delta_rule(q, torch.eye(6, **F64), v, beta, g, form, output_final_state=True)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    k = torch.eye(6, **F64)[[2, 2]]
    o = gated_delta_rule(k, k, v[:2], torch.ones(2, **F64), form=form)
    torch.testing.assert_close(o, v[:2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_traced_batched_and_without_numbers(form):
    inputs = problem("mild", "mild", 5, 3, 2, leads=((4,),) * 6)

    def f(q, k, v, beta, S, g):
        o, S = gated_delta_rule(q, k, v, beta, g, form, S, True)
        return torch.cat([o, S.mT], -2)

    wanted = f(*inputs)
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(vmap(f)(*inputs), wanted, **close)
    slopes = vmap(grad(lambda *x: f(*x).cos().sum(), argnums=tuple(range(6))))(*inputs)
    tracked = [x.clone().requires_grad_() for x in inputs]
    torch.testing.assert_close(list(slopes), list(torch.autograd.grad(f(*tracked).cos().sum(), tracked)), **close)
    on_meta = f(*(x.to("meta") for x in inputs))
    assert on_meta.is_meta and on_meta.shape == wanted.shape
    with FakeTensorMode() as mode:
        assert f(*(mode.from_tensor(x) for x in inputs)).shape == wanted.shape
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(f, fullgraph=True, backend="aot_eager")(*inputs), wanted, **close)


@pytest.mark.parametrize("form", FORMS)
def test_sixteen_bits_are_rounded_once(form):
    q, k, v, beta, S, g = (x.bfloat16() for x in problem("mild", "mild", 40, 5, 3))
    o, S_T = gated_delta_rule(q, k, v, beta.float(), g, form, S, True)
    assert o.dtype == torch.bfloat16 and S_T.dtype == torch.float32
    wide = gated_delta_rule(*(x.float() for x in (q, k, v, beta, g)), form, S.float())
    assert torch.equal(o, wide.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gated_delta_rule(q, k, v, beta, g, form, S), o)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"beta": [1.0]}, TypeError, "beta must be a torch tensor"),
        ({"beta": torch.ones(3)}, ValueError, r"beta must be of shape \(..., 4\) to go with k of shape \(4, 2\); got"),
        ({"beta": torch.ones(4, 1)}, ValueError, "beta must be of shape"),
        ({"beta": torch.full((4,), torch.inf)}, ValueError, "beta must be finite"),
        ({"beta": torch.ones(4, **F64)}, ValueError, "beta must be of k's dtype"),
        ({"beta": torch.ones(2, 4), "v": torch.ones(3, 4, 3)}, ValueError, "beta must be of leading axes"),
        ({"gates": torch.full((4,), 1.1)}, ValueError, r"gates must be in \[0, 1\]"),
        ({"gates": torch.ones(4, 2)}, ValueError, "gates must be of shape"),
        ({"v": torch.ones(5, 3)}, ValueError, "v must be of shape"),
        ({"initial_state": torch.ones(2, 3)}, ValueError, "initial_state must be of shape"),
        ({"form": "parallel"}, ValueError, "form must be one of 'recurrent', 'chunked'; got 'parallel'"),
        ({"chunk": 0}, ValueError, "chunk must be a positive integer; got 0"),
        ({"output_final_state": 2}, ValueError, "output_final_state must be one of"),
    ],
)
def test_bad_arguments_are_named(change, error, words):
    good = {"q": torch.ones(4, 2), "k": torch.ones(4, 2), "v": torch.ones(4, 3), "beta": torch.ones(4)}
    with pytest.raises(error, match=words):
        gated_delta_rule(**{**good, **change})


REFERENCE = """
plain, gated = load("delta_rule/naive"), load("gated_delta_rule/naive")
q, k, v, beta, g, state = told
found = {"plain": plain.delta_rule_recurrence(q, k, v, beta, state)}
if q.shape[-2] % 32 == 0:
    found["plain in chunks"] = plain.delta_rule_chunkwise(q, k, v, beta)
q, k, v, beta, g = (x.transpose(1, 2) for x in (q, k, v, beta, g.log()))  # tokens before heads
options = {"initial_state": state, "output_final_state": True}
for name, (o, last) in {
    "gated": gated.naive_recurrent_gated_delta_rule(q, k, v, beta=beta, g=g, **options),
    "gated in chunks": gated.naive_chunk_gated_delta_rule(q, k, v, beta=beta, g=g, **options),
}.items():
    found[name] = o.transpose(1, 2), last
"""


@needs_fla
@pytest.mark.parametrize("T", [1, 64, 128])
def test_flash_linear_attention_agrees(T, tmp_path):
    """Its reference functions, in a process of their own in float32: recurrent and in chunks, with decays or not."""
    q, k, v, beta, S, g = (x.float() for x in problem("long", "mild", T, 8, 6, leads=((2, 3),) * 6))
    told = (q * 8**0.5, k, v, beta, g, S.mT.contiguous())  # it divides queries by sqrt(dk); key x value
    found = in_fla(REFERENCE, told, tmp_path)
    assert len(found) == 3 + (T % 32 == 0)
    for name, (o, last) in found.items():
        first = None if name == "plain in chunks" else S.double()
        for form in FORMS:
            gates = g.double() if "gated" in name else None
            ours = gated_delta_rule(*(x.double() for x in (q, k, v, beta)), gates, form, first, True)
            for a, b in zip((o, last.mT), ours, strict=True):
                assert (a.double() - b).abs().max() < 1e-4 * b.abs().max()  # some hundred roundings of float32

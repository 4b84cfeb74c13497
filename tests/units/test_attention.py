"""Every form against the recurrence written here once more, with explicit gate matrices; outputs and gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glalib import gla, gla_readout
from glalib.attention import chunk_length

KINDS = ("mild", "near one", "tiny", "some zeros", "a run of zeros", "zeros at chunk borders", "all zeros", "none")
GATES = ("scalar", "key", "value")


def reference(q, k, v, gates, gate):
    T, dk, dv = q.shape[-2], k.shape[-1], v.shape[-1]
    S, o = torch.zeros(dv, dk, dtype=q.dtype), []
    for i in range(T):
        G = torch.ones(dv, dk, dtype=q.dtype)
        if gates is not None:
            a = gates[..., i, None, None] if gate == "scalar" else gates[..., i, :]
            G = G * (a if gate == "scalar" else a[..., None, :] if gate == "key" else a[..., :, None])
        S = G * S + torch.einsum("...a,...b->...ab", v[..., i, :], k[..., i, :])
        o.append(torch.einsum("...ab,...b->...a", S, q[..., i, :]))
    return torch.stack(o, -2)


def problem(kind, gate, T, dk, dv, leads=((), (), (), ()), seed=0):
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (
        torch.randn(*lead, T, d, generator=generator, dtype=torch.float64)
        for lead, d in zip(leads, (dk, dk, dv), strict=False)
    )
    if kind == "none":
        return q, k, v, None
    m = {"scalar": (), "key": (dk,), "value": (dv,)}[gate]
    C = chunk_length(T, dk, dv, gate)
    g = torch.rand(*leads[3], T, *m, generator=generator, dtype=torch.float64)
    time = torch.arange(T).reshape((T,) + (1,) * len(m))
    g = {
        "mild": 0.5 + 0.5 * g,
        "near one": 1 - 1e-9 * g,
        "tiny": 1e-6 * g,
        "some zeros": g * (g > 0.3),
        "a run of zeros": g * ((time < T // 3) | (time > T // 3 + 2)),
        "zeros at chunk borders": g * (time % C != 0) * (time % C != C - 1),
        "all zeros": 0 * g,
    }[kind]
    return q, k, v, g


def with_gradients(f, inputs):
    inputs = [x if x is None else x.clone().requires_grad_() for x in inputs]
    o = f(*inputs)
    probe = torch.cos(torch.arange(o.numel(), dtype=o.dtype)).reshape(o.shape)
    return [o.detach(), *torch.autograd.grad((o * probe).sum(), [x for x in inputs if x is not None])]


def assert_equal(ours, theirs, outputs=1e-10, gradients=1e-8):
    for a, b, tolerance in zip(ours, theirs, (outputs, *[gradients] * 5), strict=False):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.abs().max()  # false for NaN


shapes = st.tuples(st.integers(1, 23), st.integers(1, 4), st.integers(1, 4))
leading = st.sampled_from([((), (), (), ()), ((2,),) * 4, ((2, 1), (3,), (), (1, 3)), ((), (), (), (2,)), ((0,),) * 4])


@pytest.mark.claim("def-gla", "prop-unrolled")
@given(st.sampled_from(KINDS), st.sampled_from(GATES), shapes, leading, st.integers(0, 9))
@settings(max_examples=150)
def test_forms_agree_with_the_recurrence(kind, gate, shape, leads, seed):
    inputs = problem(kind, gate, *shape, leads=leads, seed=seed)
    lead = torch.broadcast_shapes(*(leads if kind != "none" else leads[:3]))
    wanted = with_gradients(lambda *x: reference(*x, gate), inputs)
    if 0 in lead:
        assert all(gla(*inputs, gate, form).shape == wanted[0].shape for form in ("recurrent", "parallel", "chunked"))
        return
    for form in ("recurrent", "parallel", "chunked"):
        ours = with_gradients(lambda *x, form=form: gla(*x, gate, form), inputs)
        assert ours[0].shape == (*lead, shape[0], shape[2])
        assert_equal(ours, wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("T", [1, 2, 3, 16, 37, 101])
def test_lengths_around_the_chunk(kind, gate, T):
    inputs = problem(kind, gate, T, 7, 5, leads=((2,),) * 4, seed=T)
    wanted = with_gradients(lambda *x: gla(*x, gate), inputs)
    for form in ("parallel", "chunked"):
        assert_equal(with_gradients(lambda *x, form=form: gla(*x, gate, form), inputs), wanted)


@pytest.mark.claim("prop-unrolled")
@given(st.sampled_from(KINDS), st.sampled_from(GATES), shapes, leading, st.integers(0, 9))
@settings(max_examples=100)
def test_readout_is_the_last_output(kind, gate, shape, leads, seed):
    q, k, v, g = problem(kind, gate, *shape, leads=leads, seed=seed)
    q = q[..., -1, :]

    def last(q, k, v, g):
        everywhere = q[..., None, :].expand(*q.shape[:-1], shape[0], -1)
        return reference(everywhere, k, v, g, gate)[..., -1, :]

    if 0 in leads[0]:
        assert gla_readout(q, k, v, g, gate).shape == (0, shape[2])
        return
    ours = with_gradients(lambda *x: gla_readout(*x, gate), (q, k, v, g))
    assert_equal(ours, with_gradients(last, (q, k, v, g)))


@pytest.mark.claim("prop-unrolled")
@pytest.mark.parametrize("gate", GATES)
def test_gradients_at_zero_gates_are_the_difference_quotients(gate):
    q, k, v, g = problem("some zeros", gate, 9, 2, 3)
    o, *_, slope = with_gradients(lambda *x: gla_readout(x[0][-1], *x[1:], gate), (q, k, v, g))
    probe = torch.cos(torch.arange(3, dtype=torch.float64))
    for index in (g == 0).nonzero().tolist()[:4]:
        up = g.clone()
        up[tuple(index)] = 1e-3  # the output is linear in each gate
        quotient = ((gla_readout(q[-1], k, v, up, gate) - o) * probe).sum() / 1e-3
        assert abs(quotient - slope[tuple(index)]) < 1e-9 * (1 + abs(quotient))


@given(
    st.sampled_from(KINDS),
    st.sampled_from(GATES),
    shapes,
    st.sampled_from(
        [((),) * 5, ((2,),) * 5, ((2, 1), (3,), (), (1, 3), (2, 1)), ((), (), (), (), (2,)), ((2,),) * 4 + ((),)]
    ),
    st.sampled_from(["recurrent", "parallel", "chunked"]),
    st.data(),
)
@settings(max_examples=200)
def test_a_sequence_cut_in_two_goes_on(kind, gate, shape, leads, form, data):
    """Outputs, last state and gradients, the first state's too: whole by the loop, or in two parts by any form."""
    T, dk, dv = shape
    T += 1
    inputs = problem(kind, gate, T, dk, dv, leads=leads, seed=T)
    S = torch.randn(*leads[4], dv, dk, generator=torch.Generator().manual_seed(T), dtype=torch.float64)
    cut = data.draw(st.integers(1, T - 1))

    def run(parts, form):
        def f(q, k, v, S, g=None):
            outputs = []
            for part in parts:
                tail = (slice(None),) * (0 if gate == "scalar" else 1)
                now = None if g is None else g[(..., part, *tail)]
                o, S = gla(*(x[..., part, :] for x in (q, k, v)), now, gate, form, S, True)
                outputs.append(o)
            return torch.cat([torch.cat(outputs, -2).flatten(), S.flatten()])

        return with_gradients(f, (*inputs[:3], S, *inputs[3:]))

    assert_equal(run([slice(0, cut), slice(cut, T)], form), run([slice(0, T)], "recurrent"), 1e-12, 1e-12)


@pytest.mark.parametrize("form", ["recurrent", "parallel", "chunked"])
@pytest.mark.parametrize("gate", GATES)
def test_the_first_state_is_a_write_before_the_first_token(gate, form):
    """S_0 = v k^T is what a token before the sequence writes; so the definition covers states of rank one."""
    q, k, v, g = problem("some zeros", gate, 12, 3, 2)
    o, S = gla(*(x[1:] for x in (q, k, v, g)), gate, form, torch.outer(v[0], k[0]), True)
    torch.testing.assert_close(o, reference(q, k, v, g, gate)[1:], rtol=1e-12, atol=1e-12)
    last = [gla_readout(e, k, v, g, gate) for e in torch.eye(3, dtype=torch.float64)]
    torch.testing.assert_close(S, torch.stack(last, -1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gate", GATES)
def test_step_by_step_is_the_whole(gate, dtype):
    """Tokens one at a time; in 16 bits too, nothing is lost between them, as the state stays in float32."""
    q, k, v, g = (x.to(dtype) for x in problem("mild", gate, 40, 5, 3, leads=((2,),) * 4))
    wanted, last = gla(q, k, v, g, gate, "chunked", output_final_state=True)
    S, steps = None, []
    for t in range(40):
        now = slice(t, t + 1)
        g_t = g[:, now] if gate == "scalar" else g[:, now, :]
        o, S = gla(q[:, now], k[:, now], v[:, now], g_t, gate, initial_state=S, output_final_state=True)
        steps.append(o)
    wide = torch.float32 if dtype == torch.bfloat16 else dtype
    assert S.dtype == last.dtype == wide and o.dtype == dtype
    error = 8 * max(torch.finfo(wide).eps * 10, torch.finfo(dtype).eps / 8)
    assert (S - last).abs().max() <= 80 * torch.finfo(wide).eps * last.abs().max()
    assert (torch.cat(steps, 1) - wanted).abs().max() <= error * wanted.abs().max()


@pytest.mark.parametrize("gate", GATES)
def test_no_form_sees_the_future(gate):
    q, k, v, g = problem("mild", gate, 30, 3, 3)
    for form in ("recurrent", "parallel", "chunked"):
        o = gla(q, k, v, g, gate, form)
        for t in (1, 8, 29):
            later = [torch.cat([x[:t], torch.rand_like(x[t:])]) for x in (q, k, v, g)]
            torch.testing.assert_close(gla(*later, gate, form)[:t], o[:t], rtol=1e-12, atol=1e-12)


@given(st.integers(3, 5000), st.integers(1, 300), st.integers(1, 300), st.sampled_from(GATES))
def test_chunks_are_neither_tokens_nor_the_whole(T, dk, dv, gate):
    C = chunk_length(T, dk, dv, gate)
    assert 2 <= C <= math.ceil(T / 2)


def test_float32_stays_accurate_over_thousands_of_tokens():
    q, k, v, g = problem("near one", "scalar", 4000, 4, 4)
    g = 1 - 1e-3 * torch.rand(4000, dtype=torch.float64)
    exact = gla(q, k, v, g, form="chunked")
    single = gla(*(x.float() for x in (q, k, v, g)), form="chunked").double()
    assert (single - exact).norm() < 1e-5 * exact.norm()  # rounding of 1 - 1e-3 u to float32, over the memory's length


def test_readout_memory_is_linear():
    T = 20_000  # a T x T matrix would take 3 GB
    q, k, v, g = problem("near one", "value", T, 3, 3)
    assert gla_readout(q[-1], k, v, g, "value").shape == (3,)


T, DK, DV = 4, 2, 3


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"q": [1.0]}, TypeError, "q must be a torch tensor"),
        ({"k": torch.ones(T, DK, dtype=torch.long)}, TypeError, "k must be a floating-point tensor"),
        ({"k": torch.ones(T, DK).to_sparse()}, TypeError, "k must be a floating-point tensor, dense .*sparse_coo"),
        ({"v": torch.ones(T, DV).to(torch.float8_e4m3fn)}, TypeError, "v must be .* of 16 bits or more; got .*float8"),
        ({"q": torch.ones(T, DK + 1)}, ValueError, r"q must be of shape \(..., 4, 2\)"),
        ({"v": torch.ones(T + 1, DV)}, ValueError, r"v must be of shape \(..., 4, 3\)"),
        ({"k": torch.ones(DK)}, ValueError, "k must be a tensor with at least 2 axes"),
        ({"k": torch.ones(0, DK)}, ValueError, "k must be .* at least one token"),
        ({"v": torch.full((T, DV), torch.nan)}, ValueError, "v must be finite"),
        ({"v": torch.ones(T, DV, dtype=torch.float64)}, ValueError, "v must be of k's dtype"),
        ({"gates": torch.ones(T, DK)}, ValueError, r"gates must be of shape \(..., 4\)"),
        ({"gates": torch.ones(T), "gate": "key"}, ValueError, r"gates must be of shape \(..., 4, 2\)"),
        ({"gates": torch.full((T,), 1.1)}, ValueError, r"gates must be in \[0, 1\]; got values from 1.1"),
        ({"gates": torch.full((T,), torch.nan)}, ValueError, "gates must be finite"),
        ({"gate": "both"}, ValueError, "gate must be one of 'scalar', 'key', 'value'; got 'both'"),
        ({"form": "fast"}, ValueError, "form must be one of 'recurrent', 'parallel', 'chunked'; got 'fast'"),
        ({"initial_state": torch.ones(DK, DV)}, ValueError, r"initial_state must be of shape \(..., 3, 2\)"),
        ({"initial_state": np.ones((DV, DK))}, TypeError, "initial_state must be a torch tensor; got ndarray"),
        ({"initial_state": torch.ones(DV)}, ValueError, "initial_state must be a tensor with at least 2 axes"),
        ({"initial_state": torch.ones(DV, DK).double()}, ValueError, "initial_state must be of k's dtype and device"),
        (
            {"initial_state": torch.ones(DV, DK, device="meta")},
            ValueError,
            "initial_state must be of .*; got .* on meta",
        ),
        ({"initial_state": torch.full((DV, DK), torch.nan)}, ValueError, "initial_state must be finite"),
        (
            {"initial_state": torch.ones(2, DV, DK), "k": torch.ones(3, T, DK)},
            ValueError,
            "initial_state must be of lead",
        ),
        ({"output_final_state": "no"}, ValueError, "output_final_state must be one of True, False; got 'no'"),
        ({"q": torch.ones(2, T, DK), "v": torch.ones(3, T, DV)}, ValueError, "v must be of leading axes"),
    ],
)
def test_bad_arguments_are_named(change, error, words):
    good = {"q": torch.ones(T, DK), "k": torch.ones(T, DK), "v": torch.ones(T, DV)}
    with pytest.raises(error, match=words):
        gla(**{**good, **change})
    if not change.keys() & {"q", "form", "initial_state", "output_final_state"}:
        with pytest.raises(error, match=words):
            gla_readout(**{"q_last": torch.ones(DK), "k": good["k"], "v": good["v"], **change})


@pytest.mark.parametrize(
    ("sizes", "gate", "length"),
    [((1000, 64, 64), "scalar", 40), ((1000, 64, 64), "key", 8), ((1000, 16, 256), "value", 8), ((60, 9, 9), "key", 3)],
)
def test_chunks_are_as_long_as_the_docstring_says(sizes, gate, length):
    """(dk dv)^(1/4), times 4.5 for a scalar gate, to a near divisor of T: 36 to 40, 8, 8, 3."""
    C = (sizes[1] * sizes[2]) ** 0.25 * (4.5 if gate == "scalar" else 1)
    assert chunk_length(*sizes, gate) == length and sizes[0] % length == 0 and 2 / 3 < length / C < 3 / 2


def test_a_state_goes_in_though_none_comes_out():
    generator = torch.Generator().manual_seed(0)
    q, k, v, S = (torch.randn(*shape, generator=generator) for shape in ((6, 3), (6, 3), (6, 2), (2, 3)))
    outputs = [gla(q, k, v, torch.full((6,), 0.9), "scalar", form, S) for form in ("recurrent", "parallel", "chunked")]
    assert all(torch.allclose(o, outputs[0], atol=1e-5) for o in outputs)


def test_each_argument_is_blamed_by_its_name():
    q = torch.ones(4, 3)
    for call, said in (
        (lambda: gla_readout(q[0, :2], q, q), "q_last must be of shape"),
        (lambda: gla_readout(3, q, q), "q_last must be a torch tensor; got int"),
        (lambda: gla(q, q, q[0]), "v must be a tensor with at least 2 axes; got shape"),
        (lambda: gla(q, q[0], q), "k must be a tensor with at least 2 axes; got shape"),
    ):
        with pytest.raises((TypeError, ValueError), match=said):
            call()

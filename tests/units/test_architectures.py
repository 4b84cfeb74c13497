"""Layers in use against their own equations written out, token by token, in outputs and gradients; the table; errors.

Each loop can be told to go wrong in a way that is easy to go wrong in: then it differs from the form by far.
"""

import inspect
from functools import partial

import numpy as np
import pytest
import torch
from libraries import in_fla, needs_fla, transformers
from scipy.signal import cont2discrete, lfilter

from glalib import gated_delta_rule, gla
from glalib.architectures import forms
from glalib.architectures.recurrence import general_rule

F64 = torch.float64
B, T, H, K, V, N, E = 2, 7, 4, 3, 5, 3, 4


def outer(v, k):
    """State (..., V, K)."""
    return v[..., :, None] * k[..., None, :]


def read(S, q):
    return torch.einsum("...vk,...k->...v", S, q)


def steps(*tensors, axis=1):
    return zip(*(x.unbind(axis) for x in tensors), strict=True)


def linear_attention(q, k, v, wrong=""):
    S, n, o = 0, 0, []
    for q_t, k_t, v_t in steps(q, k, v):
        S, n = S + outer(v_t, k_t), n + k_t
        whole = (q_t * n).sum(-1, keepdim=True) if wrong != "not normalised" else 1
        o.append(read(S, q_t) / whole)
    return torch.stack(o, 1)


def retnet(q, k, v, wrong=""):
    S, o, first = 0, [], 4 if wrong == "heads count from one less" else 5
    for q_t, k_t, v_t in steps(q, k, v):
        decay = torch.stack([torch.tensor(1 - 2.0 ** (-first - h), dtype=F64) for h in range(H)])[:, None, None]
        S = decay * (S + outer(v_t, k_t)) if wrong == "decay after the write" else decay * S + outer(v_t, k_t)
        o.append(read(S, q_t) * (1 if wrong == "no scale" else K**-0.5))
    return torch.stack(o, 1)


def gated_linear_attention(q, k, v, log_g, wrong=""):
    S, o = 0, []
    for q_t, k_t, v_t, g_t in steps(q, k, v, log_g):
        g = g_t.exp()[..., None, :] if wrong != "one gate" else g_t.mean(-1).exp()[..., None, None]
        S = g * (S + outer(v_t, k_t)) if wrong == "decay after the write" else g * S + outer(v_t, k_t)
        o.append(read(S, q_t) * (1 if wrong == "no scale" else K**-0.5))
    return torch.stack(o, 1)


def hgrn2(q, f, v, wrong=""):
    S, o = 0, []
    for q_t, f_t, v_t in steps(q, f, v):
        S = f_t[..., None, :] * S + outer(v_t, torch.ones_like(f_t) if wrong == "no tie" else 1 - f_t)
        o.append(read(S, q_t))
    return torch.stack(o, 1)


def mamba(u, dt, A, B, C, D, wrong=""):
    S, y = 0, []
    for u_t, dt_t, B_t, C_t in steps(u, dt, B, C, axis=2):
        write = (u_t if wrong == "no tie" else dt_t * u_t)[..., None] * B_t[:, None]
        S = (dt_t[..., None] * A).exp() * S + write
        y.append((S * C_t[:, None]).sum(-1) + (0 if wrong == "no skip" else D * u_t))
    return torch.stack(y, 2)


def mamba2(x, dt, A, B, C, D, wrong=""):
    S, y, groups = 0, [], B.shape[2]
    of = [h % groups if wrong == "groups take turns" else h * groups // H for h in range(H)]
    for x_t, dt_t, B_t, C_t in steps(x, dt, B[:, :, of], C[:, :, of]):
        S = (dt_t * A).exp()[..., None, None] * S + outer(x_t if wrong == "no tie" else dt_t[..., None] * x_t, B_t)
        y.append(read(S, C_t) + (0 if wrong == "no skip" else D[:, None] * x_t))
    return torch.stack(y, 1)


def mlstm(q, k, v, i, f, exponential=False, wrong=""):
    S, n, h = 0, 0, []
    for q_t, k_t, v_t, i_t, f_t in steps(q, k, v, i, f, axis=2):
        write, g = (1 if wrong == "no input gate" else i_t.exp()[..., None]), f_t.sigmoid()[..., None]
        g = f_t.exp()[..., None] if exponential else g
        S, n = g[..., None] * S + outer(write * v_t, k_t), g * n + write * k_t
        q_t = K**-0.5 * q_t
        total = (q_t * n).sum(-1, keepdim=True)
        total = total if wrong == "no absolute value" else total.abs()
        h.append(read(S, q_t) / (total if wrong == "no floor" else total.clamp(min=1)))
    return torch.stack(h, 2)


def rwkv4(w, u, k, v, wrong=""):
    above, below, o, g = 0, 0, [], (-w.exp()).exp()
    for k_t, v_t in steps(k, v):
        if wrong == "reads after the write":
            above, below = g * above + k_t.exp() * v_t, g * below + k_t.exp()
        bonus = (k_t if wrong == "no bonus" else u + k_t).exp()
        o.append((above + bonus * v_t) / (below + bonus))
        if wrong != "reads after the write":
            above, below = g * above + k_t.exp() * v_t, g * below + k_t.exp()
    return torch.stack(o, 1)


def rwkv5(r, k, v, w, u, wrong=""):
    return rwkv6(r, k, v, (w.flip(0) if wrong == "heads exchanged" else w).expand_as(k), u, wrong)


def rwkv6(r, k, v, w, u, wrong=""):
    S, o = torch.zeros(B, H, V, K, dtype=F64), []
    for r_t, k_t, v_t, w_t in steps(r, k, v, w):
        before = w_t.exp()[..., None, :] * S if wrong == "forgets before it reads" else S
        o.append(read(before + outer(v_t, k_t if wrong == "no bonus" else u * k_t), r_t))
        S = w_t.exp()[..., None, :] * S + outer(v_t, k_t)
    return torch.stack(o, 1)


def rwkv7(r, w, k, v, kk, a, wrong=""):
    S, o = torch.zeros(B, H, V, K, dtype=F64), []
    for r_t, w_t, k_t, v_t, kk_t, a_t in steps(r, w, k, v, kk, a):
        kept = torch.diag_embed(w_t.exp())
        one, other = (a_t * kk_t, kk_t) if wrong == "the two vectors exchanged" else (kk_t, a_t * kk_t)
        S = S @ (kept + outer(one, other) if wrong == "a plus" else kept - outer(one, other)) + outer(v_t, k_t)
        o.append(read(S, r_t))
    return torch.stack(o, 1)


def h3(q, k, v, shift, A, B, C, D, wrong=""):
    """By scipy's filters, each channel by itself."""
    order = shift.flip(-1) if wrong == "the filter turned" else shift
    moved = torch.stack([filtered(order[e], k[:, :, e]) for e in range(E)], -1)
    z = (k if wrong == "no shift" else moved) * v
    y = 0 if wrong == "no skip" else D * z
    for n in range(N):
        y = y + torch.stack([filtered(B[e, n : n + 1] * C[e, n], z[:, :, e], A[e, n]) for e in range(E)], -1)
    return q * y


def filtered(taps, x, pole=None):
    """What lfilter makes of x (B, T), which knows no gradients: so its matrix is written out beside it."""
    y, poles = by_powers(taps, x, pole), [1.0] if pole is None else [1.0, -pole.item()]
    wanted = lfilter(taps.detach().numpy(), poles, x.detach().numpy(), axis=1)
    assert np.allclose(y.detach().numpy(), wanted, rtol=1e-12, atol=1e-12)
    return y


def by_powers(taps, x, pole):
    ages = torch.arange(T)[:, None] - torch.arange(T)
    if pole is None:
        weights = torch.cat([taps, taps.new_zeros(T)])[ages.clamp(min=0)]
    else:
        weights = taps * pole ** ages.clamp(min=0)
    return x @ (weights * (ages >= 0)).T


def s4d(u, dt, A_real, A_imag, C, D, wrong=""):
    """In complex numbers, each state by itself."""
    A, S, y = torch.complex(A_real, 0 * A_imag if wrong == "nothing turns" else A_imag), 0, []
    kept = (dt[:, None] * A).exp()
    write = dt[:, None] if wrong == "a step of Euler's" else (kept - 1) / A
    C = torch.complex(C[..., 0], -C[..., 1] if wrong == "conjugates" else C[..., 1])
    for (u_t,) in steps(u, axis=2):
        S = kept * S + write * u_t[..., None]
        y.append(2 * (C * S).sum(-1).real + (0 if wrong == "no skip" else D * u_t))
    return torch.stack(y, 2)


def rg_lru(x, r, i, Lambda, wrong=""):
    h, out = 0, []
    for t, (x_t, r_t, i_t) in enumerate(steps(x, r, i)):
        g = (-8 * torch.log1p(Lambda.exp()) * r_t).exp()
        root = torch.sqrt(1 - g**2) if wrong != "coupled as in a GRU" else 1 - g
        h = g * h + (root if t or wrong == "a root at the first token" else 1) * i_t * x_t
        out.append(h)
    return torch.stack(out, 1)


def deltanet(q, k, v, beta, wrong=""):
    return kda(q, k, v, torch.zeros_like(k), beta, wrong)


def gated_deltanet(q, k, v, beta, log_g, wrong=""):
    return kda(q, k, v, log_g[..., None].expand_as(k), beta, wrong)


def kda(q, k, v, log_g, beta, wrong=""):
    S, o = torch.zeros(B, H, V, K, dtype=F64), []
    for q_t, k_t, v_t, g_t, b_t in steps(q, k, v, log_g, beta[..., None]):
        g = g_t.exp()[..., None, :]
        S = S if wrong == "decay after the step" else g * S
        old = 0 if wrong == "nothing erased" else read(S, k_t)
        S = S + outer(v_t - b_t * old if wrong == "the write without its step" else b_t * (v_t - old), k_t)
        S = g * S if wrong == "decay after the step" else S
        o.append(read(S, q_t) * (1 if wrong == "no scale" else K**-0.5))
    return torch.stack(o, 1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def unit(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def tensors(name):
    """Own tensors of each layer. No number is near where a form is not smooth: gates between .05 and .95."""
    q, k, k2 = normal(3, B, T, H, K).unbind()
    v, row = normal(B, T, H, V, seed=1), 0.05 + 0.9 * unit(B, T, H, seed=2)
    g, x, y, z = 0.05 + 0.9 * unit(B, T, H, K, seed=3), *normal(3, B, T, E, seed=4).unbind()
    channel = 0.05 + 0.9 * unit(E, N, seed=5)
    qkv = {"q": q, "k": k, "v": v}
    return {
        "linear_attention": lambda: {**qkv, "q": q.exp(), "k": k.exp()},
        "retnet": lambda: qkv,
        "gated_linear_attention": lambda: {**qkv, "log_g": g.log()},
        "hgrn2": lambda: {"q": q, "f": g, "v": v},
        "mamba": lambda: {
            "u": x.mT,
            "dt": y.mT.exp(),
            "A": -channel,
            "B": normal(B, N, T, seed=6),
            "C": normal(B, N, T, seed=7),
            "D": normal(E, seed=8),
        },
        "mamba2": lambda: {
            "x": v,
            "dt": row.exp(),
            "A": -unit(H, seed=9),
            "B": normal(B, T, 2, K, seed=6),
            "C": normal(B, T, 2, K, seed=7),
            "D": normal(H, seed=8),
        },
        # Keys so large that the normaliser is above its floor at half of the tokens.
        "mlstm": lambda: {
            "q": q.transpose(1, 2),
            "k": 2 * k.transpose(1, 2),
            "v": v.transpose(1, 2),
            "i": normal(B, H, T, seed=6),
            "f": normal(B, H, T, seed=7) + 1,
        },
        "rwkv4": lambda: {"w": normal(E, seed=8) - 1, "u": normal(E, seed=9), "k": x, "v": y},
        "rwkv5": lambda: {"r": q, "k": k, "v": v, "w": g[0, 0].log(), "u": normal(H, K, seed=8)},
        "rwkv6": lambda: {"r": q, "k": k, "v": v, "w": g.log(), "u": normal(H, K, seed=8)},
        "rwkv7": lambda: {
            "r": q,
            "w": g.log(),
            "k": k,
            "v": v,
            "kk": torch.nn.functional.normalize(k2, dim=-1),
            "a": 0.05 + 0.9 * unit(B, T, H, K, seed=8),
        },
        "h3": lambda: {
            "q": x,
            "k": y,
            "v": z,
            "shift": normal(E, 4, seed=6),
            "A": channel,
            "B": normal(E, N, seed=7),
            "C": normal(E, N, seed=8),
            "D": normal(E, seed=9),
        },
        "s4d": lambda: {
            "u": x.mT,
            "dt": 0.1 + unit(E, seed=6),
            "A_real": -channel,
            "A_imag": 3 * normal(E, N, seed=7),
            "C": normal(E, N, 2, seed=8),
            "D": normal(E, seed=9),
        },
        "rg_lru": lambda: {
            "x": x,
            "r": 0.05 + 0.9 * unit(B, T, E, seed=6),
            "i": 0.05 + 0.9 * unit(B, T, E, seed=7),
            "Lambda": normal(E, seed=8) - 3,
        },
        "deltanet": lambda: {**qkv, "beta": row},
        "gated_deltanet": lambda: {**qkv, "beta": row, "log_g": row.flip(1).log()},
        "kda": lambda: {**qkv, "log_g": g.log(), "beta": row},
    }[name]()


OPTIONS = {"linear_attention": {"normalise": True}}
LOOPS = {
    f.__name__: f
    for f in (
        *(linear_attention, retnet, gated_linear_attention, hgrn2, mamba, mamba2, mlstm, rwkv4, rwkv5, rwkv6, rwkv7),
        *(h3, s4d, rg_lru, deltanet, gated_deltanet, kda),
    )
}
WRONG = [
    ("linear_attention", "not normalised"),
    ("retnet", "heads count from one less"),
    ("retnet", "decay after the write"),
    ("retnet", "no scale"),
    ("gated_linear_attention", "one gate"),
    ("gated_linear_attention", "decay after the write"),
    ("gated_linear_attention", "no scale"),
    ("hgrn2", "no tie"),
    ("mamba", "no tie"),
    ("mamba", "no skip"),
    ("mamba2", "no tie"),
    ("mamba2", "no skip"),
    ("mamba2", "groups take turns"),
    ("mlstm", "no input gate"),
    ("mlstm", "no absolute value"),
    ("mlstm", "no floor"),
    ("rwkv4", "reads after the write"),
    ("rwkv4", "no bonus"),
    ("rwkv5", "heads exchanged"),
    ("rwkv5", "forgets before it reads"),
    ("rwkv6", "forgets before it reads"),
    ("rwkv6", "no bonus"),
    ("rwkv7", "the two vectors exchanged"),
    ("rwkv7", "a plus"),
    ("h3", "the filter turned"),
    ("h3", "no shift"),
    ("h3", "no skip"),
    ("s4d", "nothing turns"),
    ("s4d", "a step of Euler's"),
    ("s4d", "conjugates"),
    ("s4d", "no skip"),
    ("rg_lru", "coupled as in a GRU"),
    ("rg_lru", "a root at the first token"),
    ("deltanet", "nothing erased"),
    ("deltanet", "the write without its step"),
    ("deltanet", "no scale"),
    ("gated_deltanet", "decay after the step"),
    ("gated_deltanet", "nothing erased"),
    ("kda", "decay after the step"),
    ("kda", "no scale"),
]


def everything(f, inputs, **options):
    """Outputs, then the gradients of a sum over them to all inputs."""
    inputs = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    o = f(**inputs, **options)
    probe = torch.cos(torch.arange(o.numel(), dtype=F64)).to(o.dtype)
    return [o.detach(), *torch.autograd.grad(o.flatten() @ probe, list(inputs.values()))]


def distance(found, wanted):
    """The largest difference of any entry, relative to the largest entry of its tensor."""
    assert [a.shape for a in found] == [b.shape for b in wanted]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, wanted, strict=True))


def test_each_layer_has_its_loop():
    public = {name for name, f in inspect.getmembers(forms, inspect.isfunction) if f.__module__ == forms.__name__}
    assert {name for name in public if not name.startswith("_")} == set(LOOPS) == {name for name, _ in WRONG}


@pytest.mark.parametrize("name", LOOPS)
def test_it_is_its_own_equations(name):
    """In float64 to 1e-10: sums of some dozens of products, and a normaliser that may be small against them."""
    found = everything(getattr(forms, name), tensors(name), **OPTIONS.get(name, {}))
    assert distance(found, everything(LOOPS[name], tensors(name))) < 1e-10


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_what_is_easy_to_get_wrong_differs_by_far(name, wrong):
    found = getattr(forms, name)(**tensors(name), **OPTIONS.get(name, {}))
    assert distance([found], [LOOPS[name](**tensors(name), wrong=wrong)]) > 1e-3


def test_a_state_space_that_turns_is_the_filters_of_scipy():
    """The discretisation and the recurrence, each channel by itself; and one that does not turn is that of H3."""
    own = tensors("s4d")
    dt, A, C = own["dt"], torch.complex(own["A_real"], own["A_imag"]), torch.view_as_complex(own["C"])
    for e in range(E):
        rows = (np.diag(A[e].numpy()), np.ones((N, 1)), np.eye(N), np.zeros((N, 1)))
        kept, write, *_ = cont2discrete(rows, dt[e].item(), "zoh")
        poles = zip(np.diag(kept), write[:, 0] * C[e].numpy(), strict=True)
        wanted = sum(2 * lfilter([b], [1, -a], own["u"][:, e].numpy()).real for a, b in poles)
        found = forms.s4d(**{**own, "D": 0 * own["D"]})[:, e].numpy()
        assert np.allclose(found, wanted, rtol=1e-10, atol=1e-10)
    still = {**own, "A_imag": 0 * own["A_imag"], "C": own["C"] * torch.tensor([1.0, 0.0])}
    kept = (dt[:, None] * own["A_real"]).exp()
    space = {"A": kept, "B": (kept - 1) / own["A_real"], "C": 2 * own["C"][..., 0], "D": own["D"]}
    u, one = own["u"].mT, torch.ones(B, T, E, dtype=F64)
    h3 = forms.h3(one, one, u, torch.ones(E, 1, dtype=F64), **space)
    torch.testing.assert_close(forms.s4d(**still).mT, h3, rtol=1e-12, atol=1e-12)


def test_sixteen_bits_turn_no_less():
    """Angles are not rounded to 16 bits: late outputs are as near as early ones, to some roundings of 4e-3."""
    u, slow = normal(1, 1, 300, seed=1), {"dt": (1,), "A_real": (1, 1), "A_imag": (1, 1), "C": (1, 1, 2)}
    own = {"u": u, **{name: torch.ones(shape, dtype=F64) for name, shape in slow.items()}}
    own |= {"A_real": -0.25 * own["A_real"], "A_imag": 1.5 * own["A_imag"]}  # exact in 16 bits, as is 1
    own["u"] = own["u"].bfloat16().double()
    wanted = forms.s4d(**own)
    found = forms.s4d(**{name: x.bfloat16() for name, x in own.items()})
    assert found.dtype == torch.bfloat16
    assert ((found - wanted).abs()[..., 200:].max() / wanted.abs().max()).item() < 0.05


def test_a_forget_gate_that_is_an_exponential():
    """exp(f), above one or below, in outputs and gradients; and where nothing else would be in range."""
    own = tensors("mlstm")
    found = everything(forms.mlstm, own, exponential=True)
    assert distance(found, everything(mlstm, own, exponential=True)) < 1e-10
    assert (own["f"] > 0).any() and (own["f"] < 0).any()
    assert distance([forms.mlstm(**own)], [found[0]]) > 1e-2
    shrinks = {**own, "f": own["f"] - 3}
    wanted = forms.mlstm(**{**shrinks, "f": torch.logit(shrinks["f"].clamp(max=-1e-3).exp())})
    found = forms.mlstm(**{**shrinks, "f": shrinks["f"].clamp(max=-1e-3)}, exponential=True)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    assert forms.mlstm(**{**own, "f": own["f"] + 500}, exponential=True).isfinite().all()


@pytest.mark.parametrize("name", ["deltanet", "gated_deltanet", "kda"])
def test_steps_up_to_two(name):
    """They turn what is held along a key over, where keys have length one."""
    own = tensors(name)
    own = {**own, "k": torch.nn.functional.normalize(own["k"], dim=-1), "beta": 2 * unit(B, T, H, seed=2)}
    assert own["beta"].max() > 1.5
    assert distance(everything(getattr(forms, name), own), everything(LOOPS[name], own)) < 1e-10


def test_several_steps_a_token():
    """DeltaProduct: I - beta k k^T, one after the other, and a gate at the first; each token stands twice in a row."""
    S, o = torch.zeros(B, H, V, K, dtype=F64), []
    k, v, beta = normal(2, B, T, H, K), normal(2, B, T, H, V, seed=1), 2 * unit(2, B, T, H, seed=2)
    q, g = normal(B, T, H, K, seed=3), 0.05 + 0.9 * unit(B, T, H, seed=4)
    for t in range(T):
        S = g[:, t, :, None, None] * S
        for j in range(2):
            b, k_t = beta[j, :, t, :, None, None], k[j, :, t]
            S = S @ (torch.eye(K, dtype=F64) - b * outer(k_t, k_t)) + b * outer(v[j, :, t], k_t)
        o.append(read(S, q[:, t]) * K**-0.5)
    twice = {"k": k, "v": v, "beta": beta, "q": torch.stack([q, q]), "log_g": torch.stack([g, g**0]).log()}
    found = forms.gated_deltanet(**{name: x.movedim(0, 2).flatten(1, 2) for name, x in twice.items()})[:, 1::2]
    torch.testing.assert_close(found, torch.stack(o, 1), rtol=1e-10, atol=1e-10)


def test_the_general_rule_holds_its_neighbours():
    """`gla` with a key gate, and the gated delta rule; a first state, and a sequence cut in two."""
    q, k, v, g, S = normal(2, T, K), normal(2, T, K, seed=1), normal(2, T, V, seed=2), unit(2, T, K), normal(2, V, K)
    zero, close = torch.zeros_like(k), {"rtol": 1e-12, "atol": 1e-12}  # the same operations, in another order
    wanted = gla(q, k, v, g, "key", initial_state=S, output_final_state=True)
    found = general_rule(q, k, v, g, zero, zero, S, True)
    torch.testing.assert_close(found, wanted, **close)
    beta, one = unit(2, T, 1, seed=3), g[..., :1]
    wanted = gated_delta_rule(q, k, v, beta[..., 0], one[..., 0], initial_state=S, output_final_state=True)
    inputs = [q, k, beta * v, one.expand_as(k), beta * one * k, k]
    torch.testing.assert_close(general_rule(*inputs, S, True), wanted, **close)
    o, S = general_rule(*(x[:, :3] for x in inputs), S, True)
    o_later, S = general_rule(*(x[:, 3:] for x in inputs), S, True)
    torch.testing.assert_close((torch.cat([o, o_later], 1), S), wanted, **close)
    assert torch.equal(general_rule(*inputs), general_rule(*inputs, torch.zeros(V, K, dtype=F64)))


@pytest.mark.parametrize("dtype, large", [(torch.float32, 110.0), (torch.float64, 800.0)])
def test_a_large_write_reaches_no_earlier_token(dtype, large):
    """exp(large) is out of range: outputs and gradients before it are those without it, and at it the value itself."""
    generator = torch.Generator().manual_seed(0)
    q, k, v, x = torch.randn(4, 1, 1, 5, 1, dtype=dtype, generator=generator)
    small = torch.zeros(5, dtype=dtype)
    late = torch.nn.functional.one_hot(torch.tensor(4), 5).to(dtype) * large
    for layer in (
        lambda write: forms.mlstm(q, k, v, write[None, None], x[..., 0])[0, 0],
        lambda write: forms.rwkv4(x[0, 0, 0], x[0, 0, 1], write[None, :, None], v[0])[0],
    ):
        write = late.clone().requires_grad_()
        o = layer(write)
        (slope,) = torch.autograd.grad(o[:4].sum(), write)
        assert torch.equal(o[:4], layer(small)[:4]) and slope.isfinite().all() and slope[4] == 0
        assert abs(o[4] / v[0, 0, 4]).item() == pytest.approx(1, rel=1e-5)
        early = layer(late.flip(0))  # all that comes later is nothing beside it
        assert (early / v[0, 0, 0]).abs().flatten().tolist() == pytest.approx([1] * 5, rel=1e-5)


def test_what_is_large_or_small_in_a_normaliser_stays_finite():
    """Writes of exp(1000) and exp(-1000): both layers divide by the largest, in the normaliser too."""
    own = tensors("mlstm")
    for shift in (1000.0, -1000.0):
        h = forms.mlstm(**{**own, "i": own["i"] + shift})
        assert h.isfinite().all() and (h.abs().max() == 0) == (shift < 0)  # below the floor of 1, or above it
    own = tensors("rwkv4")
    wanted = forms.rwkv4(**own)
    for shift in (1000.0, -1000.0):
        found = forms.rwkv4(**{**own, "k": own["k"] + shift})
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)  # k + 1000 itself is rounded to 1e-13


def test_a_decay_of_ones_own_and_heads_that_share():
    q, k, v = (tensors("retnet")[name] for name in "qkv")
    ones = forms.retnet(q, k, v, decay=torch.ones(H, dtype=F64), scale=1.0)
    torch.testing.assert_close(ones, forms.linear_attention(q, k, v, scale=1.0), rtol=1e-12, atol=1e-12)
    own = tensors("mamba2")
    each = {**own, **{name: own[name].repeat_interleave(2, dim=2) for name in "BC"}}
    torch.testing.assert_close(forms.mamba2(**own), forms.mamba2(**each), rtol=1e-12, atol=1e-12)
    without = {name: x for name, x in own.items() if name != "D"}
    zero = forms.mamba2(**{**own, "D": torch.zeros(H, dtype=F64)})
    torch.testing.assert_close(forms.mamba2(**without), zero, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "change", "error", "words"),
    [
        ("retnet", {"k": torch.ones(B, T, H, K + 1, dtype=F64)}, ValueError, r"k must be of shape \(B, T, H, K\) with"),
        ("retnet", {"v": torch.ones(B, T, H, V)}, ValueError, "v must be of q's dtype"),
        ("retnet", {"q": [1.0]}, TypeError, "q must be a torch tensor"),
        ("retnet", {"decay": torch.full((H,), 1.5, dtype=F64)}, ValueError, r"decay must be in \[0, 1\]"),
        ("retnet", {"scale": "half"}, TypeError, "scale must be a finite number"),
        ("gated_linear_attention", {"log_g": unit(B, T, H, K)}, ValueError, "log_g must be a logarithm of gates"),
        ("hgrn2", {"f": normal(B, T, H, K)}, ValueError, r"f must be in \[0, 1\]"),
        ("mamba", {"A": unit(E, N)}, ValueError, "dt A must be a logarithm of gates"),
        ("mamba", {"A": unit(E, N), "dt": -unit(B, E, T)}, ValueError, "dt must be steps, at least 0; got values down"),
        ("mamba2", {"A": unit(H), "dt": -unit(B, T, H)}, ValueError, "dt must be steps, at least 0; got values down"),
        ("s4d", {"dt": -unit(E)}, ValueError, "dt must be steps, at least 0; got values down"),
        ("s4d", {"A_real": torch.zeros(E, N, dtype=F64)}, ValueError, "A_real must be below 0; got values up to 0"),
        ("s4d", {"C": normal(E, N, 3)}, ValueError, r"C must be of shape \(E, N, 2\) with E = 4, N = 3; got"),
        ("mlstm", {"exponential": 2}, ValueError, "exponential must be one of"),
        ("mamba2", {name: normal(B, T, 3, K) for name in "BC"}, ValueError, "B must be of a number of groups that"),
        ("mamba2", {"D": normal(H + 1)}, ValueError, "D must be of shape"),
        ("rwkv7", {"a": normal(B, T, H)}, ValueError, r"a must be of shape \(B, T, H, K\)"),
        ("h3", {"A": -unit(E, N)}, ValueError, r"A must be in \[0, 1\]"),
        ("rg_lru", {"i": normal(B, T, E)}, ValueError, r"i must be in \[0, 1\]"),
        ("kda", {"k": torch.full((B, T, H, K), torch.nan, dtype=F64)}, ValueError, "k must be finite"),
        ("linear_attention", {"normalise": 2}, ValueError, "normalise must be one of"),
    ],
)
def test_bad_arguments_are_named(name, change, error, words):
    with pytest.raises(error, match=words):
        getattr(forms, name)(**{**tensors(name), **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": torch.ones(T, K + 1)}, rf"a must be of shape \(..., {T}, {K}\), the last axes of k; got"),
        ({"b": torch.ones(T, K, dtype=F64)}, "b must be of k's dtype"),
        ({"decay": torch.full((T, K), -0.1)}, r"decay must be in \[0, 1\]"),
        ({"decay": torch.ones(T)}, r"decay must be a tensor with at least 2 axes"),
        ({"output_final_state": 2}, "output_final_state must be one of"),
    ],
)
def test_bad_arguments_of_the_general_rule_are_named(change, words):
    good = {name: torch.ones(T, V if name == "v" else K) for name in ("q", "k", "v", "decay", "a", "b")}
    with pytest.raises(ValueError, match=words):
        general_rule(**{**good, **change})


SINGLE = 1e-4  # theirs is computed in float32: some hundred roundings, of 6e-8 each, and a margin of ten
DOUBLE = 1e-10  # theirs is computed in float64 where its inputs are; but what comes back through a cast is rounded

FLA = """
def first(x):
    return x.transpose(1, 2)  # heads before tokens


def dplr(r, w, k, v, kk, a):
    f = load("generalized_delta_rule/dplr/naive").dplr_recurrence  # it divides queries by sqrt(K)
    return first(f(*map(first, (r * r.shape[-1] ** 0.5, k, v, -kk, a * kk, w)))[0])


def lru(x, r, i, Lambda):
    log_g = -8 * torch.nn.functional.softplus(Lambda) * r
    root = torch.cat([torch.ones_like(x[:, :1]), (1 - (2 * log_g[:, 1:]).exp()).sqrt()], 1)
    return load("hgrn/naive").naive_recurrent_hgrn(root * i * x, log_g)[0]


def mamba2(x, dt, A, B, C, D):
    q, k = (z.repeat_interleave(x.shape[2] // z.shape[2], dim=2) for z in (C, B))
    f = load("simple_gla/naive").naive_recurrent_simple_gla
    return f(q, k, dt[..., None] * x, dt * A, scale=1.0)[0] + D[:, None] * x


def rwkv6(r, k, v, w, u):
    f = load("rwkv6/recurrent_naive").naive_recurrent_rwkv6
    return first(f(*map(first, (r, k, v, w)), u, scale=1.0)[0])


gated = load("gated_delta_rule/naive")
FORMS = {
    "linear_attention": lambda **x: load("linear_attn/naive").naive_recurrent_linear_attn(**x, normalize=True)[0],
    "retnet": lambda q, k, v: first(load("retention/naive").naive_retention(first(q), first(k), first(v))),
    "gated_linear_attention": lambda q, k, v, log_g: load("gla/naive").naive_recurrent_gla(q, k, v, log_g)[0],
    "hgrn2": lambda q, f, v: load("gla/naive").naive_recurrent_gla(q * q.shape[-1] ** 0.5, 1 - f, v, f.log())[0],
    "mamba2": mamba2,
    "rwkv5": lambda r, k, v, w, u: rwkv6(r, k, v, w.expand_as(k), u),
    "rwkv6": rwkv6,
    "rwkv7": dplr,
    "rg_lru": lru,
    "deltanet": lambda q, k, v, beta: first(
        load("delta_rule/naive").delta_rule_recurrence(*map(first, (q, k, v, beta)))[0]
    ),
    "gated_deltanet": lambda q, k, v, beta, log_g: gated.naive_recurrent_gated_delta_rule(q, k, v, beta, log_g)[0],
    "kda": lambda q, k, v, log_g, beta: load("kda/naive").naive_recurrent_kda(q, k, v, log_g, beta)[0],
}
found = {}
for name, f in FORMS.items():
    inputs = {key: x.clone().requires_grad_() for key, x in told[name].items()}
    o = f(**inputs)
    probe = torch.cos(torch.arange(o.numel(), dtype=torch.float64)).float()
    found[name] = [o.detach(), *torch.autograd.grad(o.flatten() @ probe, list(inputs.values()))]
"""


def rounded(name):
    """Own tensors that float32 holds exactly, so that both sides begin with the same numbers."""
    return {key: x.float() for key, x in tensors(name).items()}


def agrees(found, name, tolerance, **options):
    o, *slopes = everything(getattr(forms, name), {key: x.double() for key, x in rounded(name).items()}, **options)
    assert distance([found[0].double()], [o]) < tolerance
    assert distance([x.double() for x in found[1:]], slopes) < SINGLE


@needs_fla
def test_flash_linear_attention_agrees(tmp_path):
    """Its reference files, on the same numbers, in outputs and in gradients to all own tensors."""
    found = in_fla(FLA, {name: rounded(name) for name in LOOPS}, tmp_path)
    assert len(found) == 12
    for name, theirs in found.items():
        agrees(theirs, name, SINGLE, **OPTIONS.get(name, {}))


TRANSFORMERS = [  # layer, module, its function of our own tensors, tolerance
    ("mamba", "mamba", lambda m, **x: m.mamba_selective_scan(*x.values()), DOUBLE),
    ("mlstm", "xlstm", lambda m, **x: m.mlstm_recurrent_sequence_native(*x.values(), eps=0.0, dtype_state=F64), DOUBLE),
    ("mamba2", "mamba2", lambda m, x, dt, A, B, C, D: m.mamba2_chunk_scan(x, dt, A, B, C, 3, D), SINGLE),
    ("rwkv4", "rwkv", lambda m, **x: m.rwkv_linear_attention_cpu(*x.values())[0], SINGLE),
    ("gated_deltanet", "qwen3_next", lambda m, **x: m.torch_recurrent_gated_delta_rule(**x)[0], SINGLE),
    ("gated_deltanet", "qwen3_next", lambda m, **x: m.torch_chunk_gated_delta_rule(**x)[0], SINGLE),
    ("gated_deltanet", "olmo_hybrid", lambda m, **x: m.torch_recurrent_gated_delta_rule(**x)[0], SINGLE),
    ("kda", "kimi_linear", lambda m, **x: m.recurrent_kimi_delta_attention(**x)[0], SINGLE),
]
LONG = {"q": "query", "k": "key", "v": "value", "log_g": "g"}


@pytest.mark.parametrize(("name", "model", "f", "tolerance"), TRANSFORMERS)
def test_transformers_agrees(name, model, f, tolerance):
    module = transformers(model)
    inputs = rounded(name)
    if tolerance == DOUBLE:
        inputs = {key: x.double() for key, x in inputs.items()}
    if name in ("gated_deltanet", "kda"):
        inputs = {LONG.get(key, key): x for key, x in inputs.items()}
        rest = {"initial_state": None, "output_final_state": False}
        agrees(everything(partial(f, module), inputs, **rest), name, tolerance)
    else:
        agrees(everything(partial(f, module), inputs), name, tolerance)


def test_transformers_rg_lru_agrees():
    """RecurrentGemma's module makes its gates of x, by a matrix for each head: they are made of x here too."""
    module = transformers("recurrent_gemma")
    own, heads = rounded("rg_lru"), 2
    config = type("Config", (), {"num_attention_heads": heads, "lru_width": E})
    layer = module.RecurrentGemmaRglru(config)
    with torch.no_grad():
        layer.recurrent_param.copy_(own["Lambda"])
        for seed, gate in enumerate(("input", "recurrent")):
            getattr(layer, f"{gate}_gate_weight").copy_(normal(heads, E // heads, E // heads, seed=seed))
            getattr(layer, f"{gate}_gate_bias").copy_(normal(heads, E // heads, seed=seed + 2))

    def made(x, gate):
        weight, bias = getattr(layer, f"{gate}_gate_weight").double(), getattr(layer, f"{gate}_gate_bias").double()
        return (torch.einsum("bthi,hij->bthj", x.unflatten(-1, (heads, -1)), weight) + bias).sigmoid().flatten(-2)

    def ours(x):
        return forms.rg_lru(x, made(x, "recurrent"), made(x, "input"), own["Lambda"].double())

    theirs = everything(lambda x: layer(x, torch.arange(T).expand(B, -1)), {"x": own["x"]})
    assert distance([x.double() for x in theirs], everything(ours, {"x": own["x"].double()})) < SINGLE


def test_transformers_lightning_attention_agrees():
    """MiniMax's module, with its norm and output projection taken out and its output gate at a half."""
    module = transformers("minimax")
    width = H * K
    config = module.MiniMaxConfig(
        hidden_size=width, num_attention_heads=H, num_key_value_heads=H, head_dim=K, num_hidden_layers=2, block_size=3
    )
    layer = module.MiniMaxLightningAttention(config, 0).double()
    layer.norm = layer.out_proj = torch.nn.Identity()
    torch.nn.init.zeros_(layer.output_gate.weight)
    with torch.no_grad():
        layer.qkv_proj.weight.copy_(normal(3 * width, width, seed=1))

    def ours(x):
        made = layer.act_fn(layer.qkv_proj(x)).unflatten(-1, (H, 3 * K))
        decay = torch.exp(-layer.slope_rate[:, 0, 0])
        return forms.retnet(*made.split(K, -1), decay=decay, scale=1.0).flatten(-2) / 2

    x = {"x": normal(B, T, width, seed=2)}
    found = everything(lambda x: layer(x, None, None)[0], x)
    assert distance(found, everything(ours, x)) < SINGLE  # it computes its decays in float32

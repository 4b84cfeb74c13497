"""Layers of real architectures: what each must do, and that it uses the gates that it declares.

Most of this needs the extra `zoo`, and skips where it is missing: `make test-zoo`.
"""

import copy
import importlib
import pickle
import re
import socket
from importlib.metadata import PackageNotFoundError
from unittest.mock import patch

import pytest
import torch
from libraries import needs_zoo
from torch.nn.functional import normalize, silu

from glalib.architectures import zoo

MAMBA2 = [name for name in zoo.NAMES if name.startswith("mamba2")]
GATED = [name for name in zoo.NAMES if name != "softmax"]
WIDTH, HEADS, T = 16, 2, 30  # longer than a chunk of Mamba-2 and of mLSTM


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a layer asked for a network")

    monkeypatch.setattr(socket, "socket", refused)


def tokens(T=T, batch=2, seed=0):
    return torch.randn(batch, T, WIDTH, generator=torch.Generator().manual_seed(seed))


def shaken(name, heads=HEADS):
    """A layer whose gates depend on tokens from the start: some begin with weights of zero."""
    net, generator = zoo.layer(name, WIDTH, heads), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p += 0.2 * torch.randn(p.shape, generator=generator)
    return net


def part(model):
    return importlib.import_module(f"transformers.models.{model}.modeling_{model}")


def assert_close(found, wanted, tolerance=1e-5):  # some ten roundings of float32, whose unit is 6e-8
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()  # false for NaN


@needs_zoo
@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_layer_is_causal_and_sees_all_that_was_before(name):
    """A prefix has the outputs that it has in the whole, also one token and whole chunks; the last sees the 14th."""
    net, x = shaken(name), tokens()
    y = net(x)
    assert y.shape == x.shape and y.dtype == torch.float32
    for n in (1, 7, 16, 24):
        assert_close(net(x[:, :n]), y[:, :n])
    other = x.clone()
    other[:, 13] += 1
    moved = (net(other) - y).abs().amax((0, 2))
    assert moved[:13].max() <= 1e-5 * moved[13] and moved[-1] > 1e-4 * moved[13]
    assert_close(net(x[:1]), y[:1])  # nothing is kept from call to call, nor mixed between prompts


@needs_zoo
@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_parameter_learns(name):
    net = zoo.layer(name, WIDTH, HEADS)
    net(tokens()).square().sum().backward()
    silent = {key for key, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == ({"mixer.norm.weight"} if "branch" in net.taken else set())
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@needs_zoo
@pytest.mark.parametrize("name", zoo.NAMES)
def test_a_seed_is_a_start_and_copies_are_the_same_layer(name):
    """Whatever state the global generator is in, which stays as it was; a copy that learns leaves the first alone."""
    starts = []
    for seed, state in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        net = zoo.layer(name, WIDTH, HEADS, seed)
        assert torch.equal(torch.get_rng_state(), before)
        starts.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])
    assert starts[0].dtype == torch.float32 and repr(net).startswith(type(net).__name__) and name in repr(net)
    x = tokens()
    y = net(x)
    for same in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(same(x), y)
        with torch.no_grad():
            for p in same.parameters():
                p += 1
        assert torch.equal(net(x), y)


def loop(gates, q, k, v, erases=False):
    """Outputs S_i^T q_i and all states of S_i = decay_i S_{i-1} + write_i k_i v_i^T, (batch, T, heads, .), in float64;
    where it erases, v_i is what S does not yet answer."""
    q, k, v, decay = (x.double() for x in (q, k, v, gates.decay))
    write = torch.ones_like(decay) if gates.write is None else gates.write.double()
    S, states = 0 * k[:, 0, :, :, None] * v[:, 0, :, None], []
    for i in range(k.shape[1]):
        S = decay[:, i, :, None, None] * S
        new = v[:, i] - (k[:, i, :, None] @ S)[..., 0, :] if erases else v[:, i]
        S = S + write[:, i, :, None, None] * k[:, i, :, :, None] * new[:, :, None]
        states.append(S)
    states = torch.stack(states, 1)
    return (q[..., None, :] @ states)[..., 0, :], states


def seen_of(net, x, module, name=None):
    """(arguments, keywords, result) of a submodule, or of the function of that name in a module of transformers."""
    calls = []
    if name is None:
        handle = module.register_forward_hook(lambda _, *call: calls.append(call), with_kwargs=True)
        net(x)
        handle.remove()
    else:
        function = getattr(module, name)

        def told(*given, **more):
            calls.append((given, more, function(*given, **more)))
            return calls[-1][-1]

        with patch.object(module, name, told):
            net(x)
    (call,) = calls
    return call


def convolved(net, x):
    """What leaves Mamba-2's convolution: values, keys (B) and queries (C), (batch, T, heads, .)."""
    m = net.mixer
    mixed = seen_of(net, x, part("mamba2"), "causal_conv1d_fn")[2].mT
    v, *both = mixed.split([m.intermediate_size, m.ssm_state_size, m.ssm_state_size], -1)
    return v.unflatten(-1, (m.num_heads, -1)), *(z[:, :, None].expand(-1, -1, m.num_heads, -1) for z in both)


@needs_zoo
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", MAMBA2)
def test_mamba2_uses_the_gates_it_declares(name, heads):
    """What its scan hands on is the recurrence with these gates; and without the branch that is read as it is."""
    net, x = shaken(name, heads), tokens()
    v, k, q = convolved(net, x)
    given, _, normed = seen_of(net, x, net.mixer.norm)
    o, _ = loop(net.declared(x), q, k, v)
    assert_close(given[0].double(), (o + net.mixer.D[:, None] * v).flatten(2))
    assert torch.equal(normed, given[0]) is ("branch" in net.taken)
    steps = -net.declared(x).decay.log()
    assert steps.amax() > 3 * steps.amin()


@needs_zoo
def test_the_gated_delta_rule_uses_the_gates_it_declares():
    net, x = shaken("gated-deltanet"), tokens()
    (q, k, v), more, (out, _) = seen_of(net, x, part("qwen3_next"), "torch_chunk_gated_delta_rule")
    assert more["use_qk_l2norm_in_kernel"]
    q, k = normalize(q, dim=-1) / q.shape[-1] ** 0.5, normalize(k, dim=-1)
    assert_close(out.double(), loop(net.declared(x), q, k, v, erases=True)[0], 1e-4)  # lengths have an epsilon of 1e-6


@needs_zoo
@pytest.mark.parametrize("heads", [1, 2])
def test_rg_lru_uses_the_gates_it_declares(heads):
    """The first token too, which it writes whole."""
    net, x = shaken("rg-lru", heads), tokens()
    (v, _), _, out = seen_of(net, x, net.mixer.rg_lru)
    one = torch.ones_like(v)[..., None]
    assert_close(out.double(), loop(net.declared(x), one, one, v[..., None])[0][..., 0])


@needs_zoo
def test_mlstm_uses_the_gates_it_declares():
    """Its output is divided by what the same weights make of keys alone, where that is above one."""
    net, x = shaken("mlstm"), tokens()
    with torch.no_grad():
        net.mixer.igate_preact.bias += 12  # from a start of -10, or no output were divided
    _, more, (out, _) = seen_of(net, x, net.mixer.mlstm_backend)
    q, k, v = (more[key].transpose(1, 2)[:, :T] for key in ("query", "key", "value"))
    q = q / q.shape[-1] ** 0.5
    o, _ = loop(net.declared(x), q, k, v)
    keys, _ = loop(net.declared(x), q, k, torch.ones_like(v[..., :1]))
    assert (keys.abs() > 1).any()
    assert_close(out.transpose(1, 2)[:, :T].double(), o / keys.abs().clamp(min=1), 1e-4)  # terms cancel in the divisor


@needs_zoo
@pytest.mark.parametrize("heads", [1, 2])
def test_fixed_decays_are_those_declared(heads):
    net, x = shaken("fixed-decay", heads), tokens()
    given, _, _ = seen_of(net, x, net.mixer.norm)
    q, k, v = silu(net.mixer.qkv_proj(x)).unflatten(-1, (heads, -1)).chunk(3, -1)
    assert_close(given[0].double(), loop(net.declared(x), q, k, v)[0].flatten(2))
    assert net.declared(x).decay.unique().numel() == heads


@needs_zoo
@pytest.mark.parametrize("name", GATED)
def test_declared_weights_are_those_of_the_state(name):
    """Keys and values that tell tokens apart: the last state holds each token's weight."""
    net, x = shaken(name), tokens(9)
    gates = net.declared(x)
    assert gates.decay.shape[:2] == (2, 9) and (gates.decay >= 0).all() and (gates.decay <= 1).all()
    assert gates.write is None or gates.write.shape == gates.decay.shape
    each = torch.eye(9)[None, :, None].expand(2, 9, gates.decay.shape[2], 9)
    _, states = loop(gates, each, each, torch.ones_like(each[..., :1]))
    assert_close(gates.weights().transpose(1, 2).double(), states[:, -1, :, :8, 0])


@needs_zoo
def test_softmax_declares_nothing():
    gates = zoo.layer("softmax", WIDTH, HEADS).declared(tokens())
    assert gates.decay is None and gates.write is None
    with pytest.raises(ValueError, match="decay must be of a layer that declares one; got None"):
        gates.weights()


@needs_zoo
def test_where_steps_are_constant_they_are_a_scale_of_values():
    """Mamba-2 without it is then Mamba-2 with another D: the norm hides the scale. And not where steps differ."""
    plain, without, x = shaken("mamba2"), shaken("mamba2-write"), tokens()
    with torch.no_grad():
        for net in (plain, without):
            net.mixer.dt_bias[:] = 0.3
            net.mixer.norm.variance_epsilon = 0.0
        plain.mixer.D *= torch.nn.functional.softplus(torch.tensor(0.3))
        assert (plain(x) - without(x)).abs().max() > 0.01 * plain(x).abs().max()
        for net in (plain, without):
            net.mixer.in_proj.weight[-HEADS:] = 0
        assert_close(without(x), plain(x), 1e-4)


@needs_zoo
@pytest.mark.parametrize("name", MAMBA2)
def test_parts_that_are_taken_out_are_out(name):
    """No branch: its rows do not matter, and nothing is normalised; no SiLU: the convolution is linear."""
    net, x = shaken(name), tokens()
    inner, y = net.mixer.intermediate_size, net(x)
    v, v0, v1, v2 = (convolved(net, z)[0] for z in (x, 0 * x, 2 * x, 3 * x))
    curved = (v2 - v1 - v + v0).abs().max() / v2.abs().max()
    assert curved < 1e-5 if "silu" in net.taken else curved > 0.01
    with torch.no_grad():
        net.mixer.in_proj.weight[:inner] += 1
    assert torch.equal(net(x), y) is ("branch" in net.taken)


def test_weights_of_gates_by_hand():
    decay, write = (torch.tensor(row)[None, :, None] for row in ([0.5, 0.5, 0.25, 0.8], [1.0, 2.0, 3.0, 4.0]))
    assert zoo.Declared(decay, None).weights()[0, :, 0].tolist() == pytest.approx([0.1, 0.2, 0.8])
    assert zoo.Declared(decay, write).weights()[0, :, 0].tolist() == pytest.approx([0.1, 0.4, 2.4])


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"name": "mamba"}, ValueError, "name must be one of 'fixed-decay', "),
        ({"width": 20}, ValueError, "width must be a multiple of 8 and of heads = 2; got 20"),
        ({"heads": 3}, ValueError, "width must be a multiple of 8 and of heads = 3; got 32"),
        ({"heads": 0}, ValueError, "heads must be a positive integer; got 0"),
        ({"width": 32.0}, TypeError, "width must be a positive integer; got 32.0"),
        ({"seed": -1}, ValueError, "seed must be an integer >= 0; got -1"),
    ],
)
def test_bad_arguments_are_named(options, error, said):
    with pytest.raises(error, match=re.escape(said)):
        zoo.layer(**{"name": "mamba2"} | options)


def test_a_missing_extra_and_another_version_are_named(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(zoo, "version", missing)
    said = "real layers need transformers; install it with: pip install 'glalib[zoo]'"
    with pytest.raises(ImportError, match=re.escape(said)):
        zoo.layer("softmax")
    monkeypatch.setattr(zoo, "version", lambda name: "5.23.0")
    with pytest.raises(ImportError, match=r"tried with transformers 5\.24\.0 and found 5\.23\.0; pip install"):
        zoo.layer("mamba2")

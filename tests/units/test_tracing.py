"""Under vmap, compilers, export, autocast, fake and meta tensors, and on other devices: what the plain call gives."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from glalib import GLA, PromptDistribution, gla, gla_readout, optimal_wpgd, wpgd_step
from glalib.gates import gates_to_weights, signed_weights_to_gates, weights_to_gates
from glalib.layout import DELIMITED

GATES = ("scalar", "key", "value")
T, DK, DV = 6, 2, 3
# The same operations in float64, perhaps in another order: sums of some ten products.
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def on_from_a_state(form):
    """The second half of a sequence, begun in the state after the first, and the last state."""

    def run(q, k, v, g, gate):
        cut = g.split(T // 2, -1 if gate == "scalar" else -2)
        first, second = zip(*(x.split(T // 2, -2) for x in (q, k, v)), strict=True)
        _, S = gla(*first, cut[0], gate, form, output_final_state=True)
        o, S = gla(*second, cut[1], gate, form, S, True)
        return torch.cat([o, S.mT], -2)

    return run


FUNCTIONS = {
    "recurrent, on": on_from_a_state("recurrent"),
    "parallel, on": on_from_a_state("parallel"),
    "chunked, on": on_from_a_state("chunked"),
    "recurrent": lambda q, k, v, g, gate: gla(q, k, v, g, gate, "recurrent"),
    "parallel": lambda q, k, v, g, gate: gla(q, k, v, g, gate, "parallel"),
    "chunked": lambda q, k, v, g, gate: gla(q, k, v, g, gate, "chunked"),
    "ungated": lambda q, k, v, g, gate: gla(q, k, v, form="chunked"),
    "readout": lambda q, k, v, g, gate: gla_readout(q[..., -1, :], k, v, g, gate),
    "weights": lambda q, k, v, g, gate: gates_to_weights(g, -1 if gate == "scalar" else -2),
    "gates": lambda q, k, v, g, gate: weights_to_gates(
        g.sort(-1 if gate == "scalar" else -2).values, -2 + (g.ndim < 2)
    ),
    "signed": lambda q, k, v, g, gate: torch.cat([x.flatten() for x in signed_weights_to_gates(v.mT)]),
    "wpgd": lambda q, k, v, g, gate: wpgd_step(
        k, v[..., 0], q, torch.eye(DK, dtype=q.dtype, device=q.device), v[..., 1]
    ),
}


def inputs(gate, *lead):
    generator = torch.Generator().manual_seed(0)
    tails = (T, DK), (T, DK), (T, DV), {"scalar": (T,), "key": (T, DK), "value": (T, DV)}[gate]
    return [torch.rand(*lead, *tail, generator=generator, dtype=torch.float64) for tail in tails]


def slopes(f, xs):
    """Gradients of a sum of cosines of f, by plain autograd; zeros where f does not read an argument."""
    xs = [x.clone().requires_grad_() for x in xs]
    found = torch.autograd.grad(f(*xs).cos().sum(), xs, allow_unused=True)
    return [torch.zeros_like(x) if s is None else s for x, s in zip(xs, found, strict=True)]


@pytest.fixture(params=[(name, gate) for name in FUNCTIONS for gate in GATES], ids="-".join)
def function(request):
    name, gate = request.param
    return (lambda q, k, v, g: FUNCTIONS[name](q, k, v, g, gate)), gate


def test_batches(function):
    """vmap, over all arguments and over the gates alone, and the gradients of every prompt in it."""
    f, gate = function
    batch = inputs(gate, 3)
    if f(*inputs(gate)).ndim:
        torch.testing.assert_close(vmap(f)(*batch), torch.stack([f(*x) for x in zip(*batch, strict=True)]), **CLOSE)
    q, k, v, _ = inputs(gate)
    wanted = torch.stack([f(q, k, v, g) for g in batch[3]])
    torch.testing.assert_close(vmap(lambda g: f(q, k, v, g))(batch[3]), wanted, **CLOSE)
    ours = vmap(grad(lambda *x: f(*x).cos().sum(), argnums=(0, 1, 2, 3)))(*batch)
    for b in range(3):
        torch.testing.assert_close([s[b] for s in ours], slopes(f, [x[b] for x in batch]), **CLOSE)


def test_forward_mode(function):
    f, gate = function
    xs = inputs(gate)
    directions = tuple(x.sin() for x in xs)
    _, slope = jvp(lambda *x: f(*x).cos().sum(), tuple(xs), directions)
    wanted = sum((s * direction).sum() for s, direction in zip(slopes(f, xs), directions, strict=True))
    torch.testing.assert_close(slope, wanted, **CLOSE)


def test_shapes_without_numbers(function):
    f, gate = function
    xs = inputs(gate)
    shape = f(*xs).shape
    on_meta = f(*(x.to("meta") for x in xs))
    assert on_meta.is_meta and on_meta.shape == shape
    with FakeTensorMode() as mode:
        assert f(*(mode.from_tensor(x) for x in xs)).shape == shape


def compiled_agrees(f, xs, parameters=()):
    """One graph with no break; a compiler that changes nothing, so what is tested is that the code can be traced."""
    torch.compiler.reset()
    ours = torch.compile(f, fullgraph=True, backend="aot_eager")
    tracked = [x.clone().requires_grad_() for x in xs]
    found, wanted = ours(*tracked), f(*tracked)
    torch.testing.assert_close(found, wanted, **CLOSE)
    wrt = [*tracked, *parameters]
    found, wanted = (torch.autograd.grad(o.cos().sum(), wrt, allow_unused=True) for o in (found, wanted))
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled(name):
    compiled_agrees(lambda *x: FUNCTIONS[name](*x, "scalar"), inputs("scalar"))


@pytest.mark.parametrize("name", ["recurrent", "parallel, on", "chunked, on", "readout", "weights"])
def test_exported(name):
    class Module(torch.nn.Module):
        def forward(self, q, k, v, g):
            return FUNCTIONS[name](q, k, v, g, "key")

    xs = tuple(inputs("key"))
    exported = torch.export.export(Module(), xs).module()
    torch.testing.assert_close(exported(*xs), Module()(*xs), **CLOSE)


def models(gate, layers, held=False):
    """Three layers, or stacks, of one make and other weights."""
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        gates = None
        if held:
            gates = torch.rand((T,) if gate == "scalar" else (T, 4), generator=generator)
            gates = [gates] * layers if layers > 1 else gates
        yield GLA(4, gate, layers, gates=gates, scale=0.3, generator=generator, dtype=torch.float64)


TOKENS = torch.rand(2, T + 1, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
KINDS = [(None, 1, False), ("scalar", 1, True), ("key", 2, True), *((g, l, False) for g in GATES for l in (1, 2))]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_ensemble_of_models_is_its_members(kind):
    members = list(models(*kind))
    parameters, buffers = stack_module_state(members)

    def predict(parameters, buffers):
        return functional_call(members[0], (parameters, buffers), (TOKENS, 2))

    together = vmap(predict)(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([m(TOKENS, 2) for m in members]), **CLOSE)
    gradients = vmap(grad(lambda *state: predict(*state).square().sum()))(parameters, buffers)
    for i, member in enumerate(members):
        alone = torch.autograd.grad(member(TOKENS, 2).square().sum(), list(member.parameters()))
        torch.testing.assert_close([gradients[name][i] for name, _ in member.named_parameters()], list(alone), **CLOSE)


@pytest.mark.parametrize(
    "kind", [(None, 1, False), ("scalar", 1, False), ("key", 2, False), ("value", 1, True)], ids=str
)
def test_models_as_graphs(kind):
    model = next(models(*kind))
    compiled_agrees(lambda Z: model(Z, 2), [TOKENS], list(model.parameters()))
    exported = torch.export.export(model, (TOKENS, 2)).module()
    torch.testing.assert_close(exported(TOKENS, 2), model(TOKENS, 2), **CLOSE)
    assert model.to("meta")(TOKENS.to("meta"), 2).shape == (2, 2)
    with FakeTensorMode():
        assert GLA(4, kind[0], kind[1])(torch.rand(2, T + 1, 4), 2).shape == (2, 2)
    with torch.device("meta"):
        assert GLA(4, kind[0], kind[1])(torch.rand(2, T + 1, 4), 2).is_meta


@pytest.mark.parametrize("what", ["gates", "weights"])
@pytest.mark.parametrize("kind", [(None, 1, False), ("scalar", 1, True), ("key", 2, False)], ids=str)
def test_gates_and_weights_are_traced(kind, what):
    members = list(models(*kind))

    def ask(Z, model=members[0]):
        found = getattr(model, what)(Z, 2)
        return torch.cat([x.flatten() for x in found]) if isinstance(found, list) else found

    wanted = ask(TOKENS)
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(ask, fullgraph=True, backend="eager")(TOKENS), wanted, **CLOSE)
    torch.testing.assert_close(vmap(ask)(TOKENS[:, None]).sum(), wanted.sum(), **CLOSE)
    members[0].to("meta")
    assert ask(TOKENS.to("meta")).shape == wanted.shape


def test_forward_mode_through_a_model():
    model = next(models("key", 2))
    _, slope = jvp(lambda Z: model(Z, 2).sum(), (TOKENS,), (TOKENS.sin(),))
    wanted = (grad(lambda Z: model(Z, 2).sum())(TOKENS) * TOKENS.sin()).sum()
    torch.testing.assert_close(slope, wanted, **CLOSE)


@pytest.mark.parametrize("name", ["recurrent, on", "parallel, on", "chunked, on", "readout"])
@pytest.mark.parametrize("gate", GATES)
def test_autocast_rounds_no_state(name, gate):
    """What is float32 stays so, to the last bit; what comes in autocast's dtype is computed with in float32."""
    xs = [x.float() for x in inputs(gate)]
    wanted = FUNCTIONS[name](*xs, gate)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(FUNCTIONS[name](*xs, gate), wanted)
        q, k = (torch.nn.functional.linear(x, torch.eye(DK)) for x in xs[:2])
        assert q.dtype == torch.bfloat16
        o = gla(q, k, xs[2].to(q.dtype), xs[3], gate)
        assert torch.equal(o, gla(*(x.to(q.dtype) for x in xs[:3]), xs[3], gate))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_autocast_changes_no_model(kind):
    model, Z = next(models(*kind)).float(), TOKENS.float()
    wanted = model(Z, 2), model.weights(Z, 2)
    torch.compiler.reset()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(Z, 2), model.weights(Z, 2)
        compiled = torch.compile(lambda Z: model(Z, 2), fullgraph=True, backend="eager")(Z)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    torch.testing.assert_close(compiled, wanted[0], rtol=1e-5, atol=1e-6)


class Devices(TorchDispatchMode):
    """The devices of all tensors that operations return."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        out = op(*args, **(kwargs or {}))
        parts = out if isinstance(out, (tuple, list)) else [out]
        self.seen |= {x.device.type for x in parts if isinstance(x, torch.Tensor)}
        return out


@pytest.mark.parametrize("kind", [(None, 1), *((g, l) for g in GATES for l in (1, 2))], ids=str)
@pytest.mark.parametrize("causal", [True, False])
def test_no_tensor_is_made_elsewhere(kind, causal):
    """Neither when a model is made nor when it runs, backward too."""
    with Devices() as devices:
        model = GLA(4, *kind, value_width=2, causal=causal, scale=0.3, device="meta")
        Z = torch.ones(2, T + 1, 4, device="meta")
        model(Z, 2).sum().backward()
        model.gates(Z), model.weights(Z, 2)
    assert devices.seen == {"meta"} and all(p.is_meta for p in model.parameters())


def test_no_function_makes_a_tensor_elsewhere(function):
    f, gate = function
    xs = [x.to("meta").requires_grad_() for x in inputs(gate)]
    with Devices() as devices:
        out = f(*xs)
        out.sum().backward()
    assert devices.seen <= {"meta"} and out.is_meta


ELSEWHERE = [kind for kind in ("cuda", "xpu") if getattr(torch, kind).is_available()]


@pytest.mark.skipif(not ELSEWHERE, reason="needs an accelerator")
def test_devices_follow_tensors(function):
    f, gate = function
    xs, (there, *_) = inputs(gate), ELSEWHERE
    out = f(*(x.to(there) for x in xs))
    assert out.device.type == there
    torch.testing.assert_close(out.cpu(), f(*xs), **CLOSE)


@pytest.mark.skipif(not ELSEWHERE, reason="needs an accelerator")
@pytest.mark.parametrize("gate", GATES)
def test_constructions_follow_their_matrices(gate):
    dist, (there, *_) = PromptDistribution(3, (4, 2), (0.2, 0.7)), ELSEWHERE
    best = optimal_wpgd(dist)
    prompts = dist.sample(5, torch.Generator().manual_seed(0), 2, torch.float64)
    omega = DELIMITED.weights(dist, best.omega)
    model = GLA.from_weights(torch.from_numpy(np.array(best.P)).to(there), omega, gate, context_width=5)
    for layer in (model, model.with_computed_gates(dist), GLA.from_wpgd(best, dist, gate, DELIMITED).to(there)):
        assert {p.device.type for p in [*layer.parameters(), *layer.buffers()]} == {there}
        torch.testing.assert_close(layer(DELIMITED(prompts.to(there)), 2).cpu(), best(prompts), **CLOSE)


def test_shapes_are_checked_while_traced():
    """Only checks of numbers step aside."""
    with pytest.raises(ValueError, match="v must be of shape"):
        vmap(gla)(torch.ones(2, 4, 3), torch.ones(2, 4, 3), torch.ones(2, 5, 3))
    with pytest.raises(ValueError, match="gates must be of k's dtype and device"):
        gla(*(torch.ones(4, 3, device="meta"),) * 3, torch.ones(4))

"""Training where the model is: numbers are drawn on the CPU, the same for every device, and follow the weights."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from glalib import GLA, DeltaRule, InContext, PromptDistribution, compare, effective_weights
from glalib.layout import DELIMITED
from glalib.reproduce.named import NamedQuery
from glalib.token_free import token_free_losses
from glalib.training import Recipe, fit, fit_many, orthogonal_start
from glalib.training.checkpoint import state_fingerprint
from glalib.training.objective import objective

ELSEWHERE = [kind for kind in ("cuda", "xpu") if getattr(torch, kind).is_available()]
needs_accelerator = pytest.mark.skipif(not ELSEWHERE, reason="needs an accelerator")

DIST = PromptDistribution(3, (6, 5), (0.2, 0.8), sigma=0.3, Sx=np.diag([1.0, 2.0, 0.5]), C=np.diag([1.0, 0.5, 2.0]))
SHORT = Recipe(steps=20, batch=8, queries=3, lr=0.02)
CLOSE = {"rtol": 1e-8, "atol": 1e-8}  # float64; devices sum in other orders


def new_model(device="cpu", gate="scalar", dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return GLA(9, gate, context_width=5, scale=1 / DIST.n, dtype=dtype, generator=generator).to(device)


def weights(model):
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("gate", "token_free"), [("scalar", False), ("key", False), ("scalar", True), (None, True)])
def test_an_objective_follows_its_model(gate, token_free, dtype):
    """A tensor left on the CPU does not go with those on the device `meta`, which computes shapes alone."""
    model = new_model("meta", gate, dtype)
    errors = objective(model, DIST, DELIMITED, 8, 3, token_free)
    drawn = errors.draw(torch.Generator().manual_seed(0))
    losses = errors(*drawn)
    losses.mean().backward()
    assert losses.is_meta and losses.shape == ((8,) if token_free else (8, 3))
    assert drawn[0].is_meta and all(p.grad.is_meta for p in model.parameters())


MADE = {
    "gla": lambda **kind: GLA(4, "key", 2, value_width=3, **kind),
    "delta rule": lambda **kind: DeltaRule(4, **kind),
}


class Draws(TorchDispatchMode):
    """Where normal numbers are drawn."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        out = op(*args, **(kwargs or {}))
        if "randn" in str(op):
            self.seen.add(out.device.type)
        return out


@pytest.mark.parametrize("name", MADE)
def test_numbers_are_drawn_where_the_generator_is(name):
    """torch refuses a generator of another device than that of the numbers, but for `meta`, which draws none."""
    generator = torch.Generator().manual_seed(0)
    with Draws() as draws:
        model = MADE[name](generator=generator, device="meta")
        with torch.device("meta"):  # as where an accelerator is the default
            assert all(p.is_meta for p in MADE[name](generator=generator).parameters())
            assert InContext(torch.nn.Identity(), 4, 4, generator=generator).W_in.is_meta
            drawn = DIST.sample(2, generator)
            assert {x.device.type for x in (drawn.x, drawn.y, drawn.x_query, drawn.y_query, drawn.beta)} == {"cpu"}
            assert DELIMITED(drawn).device.type == "cpu"
    assert draws.seen == {"cpu"} and all(p.is_meta for p in model.parameters())
    with torch.device("meta"):
        assert DIST.sample(2).y.is_meta and MADE[name]().h.is_meta


@needs_accelerator
@pytest.mark.parametrize("name", MADE)
def test_generators_of_an_accelerator_will_do(name):
    there = ELSEWHERE[0]
    generator = torch.Generator(there).manual_seed(0)
    assert DIST.sample(2, generator).y.device.type == there
    assert MADE[name](generator=generator, device=there).h.device.type == there
    assert MADE[name](generator=torch.Generator().manual_seed(0), device=there).h.device.type == there


def product(prompts):
    """A prediction that a weighted step makes."""
    return prompts.y[:, :1] * prompts.x[:, 0, :1] * prompts.x_query[..., 0]


def drawn_with(generator):
    """Whatever draws from a generator that it is given, and theory beside it."""
    assert NamedQuery(2, 4).sample(3, generator).named.device.type == generator.device.type
    for by in ("regression", "autograd"):
        found = effective_weights(product, DIST, 100, generator=generator, by=by)
        assert found.explained == pytest.approx(1, abs=1e-6)
    return compare(product, DIST, draws=1000, generator=generator)


def test_a_generator_draws_where_it_is_whatever_the_default():
    """As where an accelerator is the default: with `meta`, numbers that are drawn there are lost."""
    expected = drawn_with(torch.Generator().manual_seed(0))
    with torch.device("meta"):
        assert drawn_with(torch.Generator().manual_seed(0)).to_dict() == expected.to_dict()


@needs_accelerator
def test_a_generator_of_an_accelerator_draws_for_all():
    found = drawn_with(torch.Generator(ELSEWHERE[0]).manual_seed(0))
    assert found.layers["layer"].weights.explained == pytest.approx(1, abs=1e-6)


@needs_accelerator
@pytest.mark.parametrize(("gate", "token_free"), [("scalar", False), ("key", False), ("scalar", True), (None, True)])
def test_fit_is_the_same_on_every_device(gate, token_free):
    there, recipe = ELSEWHERE[0], SHORT.replace(token_free=token_free)
    here, far = new_model(gate=gate), new_model(there, gate)
    expected, history = (fit(model, DIST, recipe, tokens=DELIMITED) for model in (here, far))
    np.testing.assert_allclose(history, expected, **CLOSE)
    torch.testing.assert_close(weights(far), weights(here), **CLOSE)
    assert all(p.device.type == there for p in far.parameters())
    together = [new_model(there, gate, seed=seed) for seed in range(3)]
    np.testing.assert_allclose(
        fit_many(together, DIST, recipe, [recipe.seed] * 3, tokens=DELIMITED)[0], expected, **CLOSE
    )
    torch.testing.assert_close(weights(together[0]), weights(here), **CLOSE)


@needs_accelerator
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_run_goes_on_where_it_stopped(dtype, tmp_path):
    """From plain arrays: to the numbers without a break on that device, and close to them on another."""
    (there, *_), whole = ELSEWHERE, new_model(ELSEWHERE[0], dtype=dtype)
    history = fit(whole, DIST, SHORT, tokens=DELIMITED)
    left = iter(range(12))

    def tokens(prompts):
        next(left)  # StopIteration after twelve steps, one checkpoint
        return DELIMITED(prompts)

    for device in (there, "cpu"):
        path, left = tmp_path / f"{device}.npz", iter(range(12))
        with pytest.raises(StopIteration):
            fit(new_model(there, dtype=dtype), DIST, SHORT, tokens=tokens, checkpoint=path, every=10)
        model = new_model(device, dtype=dtype)
        parts = fit(model, DIST, SHORT, tokens=lambda prompts: DELIMITED(prompts), checkpoint=path, every=10)
        if device == there:
            assert torch.equal(weights(model), weights(whole)) and np.array_equal(parts, history)
        elif dtype == torch.float64:
            torch.testing.assert_close(weights(model), weights(whole), **CLOSE)


@needs_accelerator
def test_starts_and_draws_are_the_same_on_every_device():
    there = ELSEWHERE[0]
    here, far = (orthogonal_start(new_model(device), torch.Generator().manual_seed(1)) for device in ("cpu", there))
    assert torch.equal(weights(here), weights(far)) and state_fingerprint(here) == state_fingerprint(far)
    losses, expected = (token_free_losses(m, DIST, 50, torch.Generator().manual_seed(2)) for m in (far, here))
    assert losses.device.type == there
    torch.testing.assert_close(losses.cpu(), expected, **CLOSE)


@needs_accelerator
@pytest.mark.parametrize("by", ["regression", "autograd"])
def test_effective_weights_are_the_same_on_every_device(by):
    found, expected = (
        effective_weights(
            new_model(device), DIST, 100, generator=torch.Generator().manual_seed(3), tokens=DELIMITED, by=by
        )
        for device in (ELSEWHERE[0], "cpu")
    )
    for name in ("P", "omega", "explained", "P_stderr", "omega_stderr", "explained_stderr"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-6)

"""Copies trained together end where `fit` ends with each, and are refused where they cannot be."""

import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution
from glalib.layout import DELIMITED, Layout
from glalib.training import NonFiniteLoss, Recipe, fit, fit_many

DIST = PromptDistribution(3, (6, 5), (0.2, 0.8), sigma=0.3, Sx=np.diag([1.0, 2.0, 0.5]))
SEEDS = (4, 0, 7)
SHORT = Recipe(steps=30, batch=8, queries=3, lr=0.02)


def copies(gate="scalar", context=5, dtype=torch.float64, **options):
    return [
        GLA(DIST.d + 1 + context, gate, context_width=context, scale=1 / DIST.n, dtype=dtype,
            generator=torch.Generator().manual_seed(seed), **options)
        for seed in range(len(SEEDS))
    ]  # fmt: skip


def one_by_one(models, recipe, tokens=None, dist=DIST):
    return np.stack(
        [fit(model, dist, recipe.replace(seed=seed), tokens=tokens) for model, seed in zip(models, SEEDS, strict=True)]
    )


def furthest(models, others):
    """The largest difference of two weights."""
    return max(
        (p.double() - q.double()).abs().max().item()
        for a, b in zip(models, others, strict=True)
        for p, q in zip(a.parameters(), b.parameters(), strict=True)
    )


@pytest.mark.parametrize("tokens", [None, DELIMITED])
@pytest.mark.parametrize("gate", [None, "scalar", "key"])
def test_the_numbers_are_those_of_fit_one_by_one(gate, tokens):
    context = 5 if tokens else 0
    together, apart = copies(gate, context), copies(gate, context)
    history, expected = fit_many(together, DIST, SHORT, SEEDS, tokens=tokens), one_by_one(apart, SHORT, tokens)
    assert history.shape == (3, 30)
    np.testing.assert_allclose(history, expected, rtol=1e-10)
    assert furthest(together, apart) < 1e-10 < 0.01 < furthest(together, copies(gate, context))
    assert np.ptp(expected[:, 0]) > 0.01  # other prompts, other starts


def test_a_gate_of_ones_own_trains_too():
    class Own(torch.nn.Module):
        name, acts_on = "own", "scalar"

        def __init__(self):
            super().__init__()
            self.W = torch.nn.Parameter(torch.full((9, 1), 0.1, dtype=torch.float64))

        def forward(self, Z):
            return torch.sigmoid(3 + Z @ self.W)[..., 0]

    together, apart = copies(Own()), copies(Own())
    history = fit_many(together, DIST, SHORT, SEEDS, tokens=DELIMITED)
    np.testing.assert_allclose(history, one_by_one(apart, SHORT, DELIMITED), rtol=1e-10)
    assert furthest(together, apart) < 1e-10


@pytest.mark.parametrize("gate", [None, "scalar"])
def test_the_numbers_are_those_of_fit_without_tokens(gate):
    together, apart, recipe = copies(gate), copies(gate), SHORT.replace(token_free=True)
    history = fit_many(together, DIST, recipe, SEEDS, tokens=DELIMITED)
    np.testing.assert_allclose(history, one_by_one(apart, recipe, DELIMITED), rtol=1e-10)
    assert furthest(together, apart) < 1e-10
    assert not any(model.layers[0].W_g[: DIST.d + 1].any() for model in together if gate)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        # Sums in another order differ by 1e-7 of their size; Adam divides a gradient by its own size, and where that is
        # near zero so makes up to a thousand times that of it.
        (torch.float32, 1e-4),
        (torch.bfloat16, 0.05),  # weights near 2 are 2^-7 apart; one that is rounded the other way stays so
    ],
)
def test_in_less_than_double_precision(dtype, tolerance):
    together, apart = copies(dtype=dtype), copies(dtype=dtype)
    history = fit_many(together, DIST, SHORT, SEEDS, tokens=DELIMITED)
    np.testing.assert_allclose(history, one_by_one(apart, SHORT, DELIMITED), rtol=tolerance)
    assert furthest(together, apart) < tolerance
    assert all(p.dtype == dtype for model in together for p in model.parameters())


def test_given_gates_frozen_weights_and_one_query_belong_to_their_copy():
    """Buffers differ from copy to copy, what is frozen stays, and models of two layers train as well."""
    rng = np.random.default_rng(0)
    gates = [np.sort(rng.uniform(0.2, 1, DIST.n + 1)) for _ in SEEDS]

    def made():
        models = [copies("scalar", 0, gates=[g, g], layers=2)[i] for i, g in enumerate(gates)]
        for model in models:
            model.h.requires_grad_(False)
        return models

    together, apart, recipe = made(), made(), SHORT.replace(queries=1)
    history = fit_many(together, DIST, recipe, SEEDS)
    np.testing.assert_allclose(history, one_by_one(apart, recipe), rtol=1e-10)
    assert furthest(together, apart) < 1e-10 and all(torch.equal(m.h, made()[0].h) for m in together)


def test_the_copy_that_fails_is_named_and_models_keep_their_weights():
    models, before = copies(), copies()
    with torch.no_grad():
        for kept in (models, before):
            kept[1].layers[0].W_v.fill_(1e200)
    with pytest.raises(NonFiniteLoss, match=r"the loss of copy 1 \(seed 0\) is inf .* at step 0 of 30; lr = 0\.02 may"):
        fit_many(models, DIST, SHORT, SEEDS, tokens=DELIMITED)
    assert furthest(models, before) == 0


def test_an_interrupt_leaves_what_was_reached():
    left, models, apart = iter(range(5 * len(SEEDS))), copies(), copies()

    def tokens(prompts):
        next(left)  # StopIteration after five steps
        return DELIMITED(prompts)

    with pytest.raises(StopIteration):
        fit_many(models, DIST, SHORT.replace(warmup=1.0), SEEDS, tokens=tokens)
    stopped = SHORT.replace(warmup=1.0, steps=5, lr=SHORT.lr * 5 / 30)  # the same first steps of the ramp
    one_by_one(apart, stopped, DELIMITED)
    assert furthest(models, apart) < 1e-10


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"models": 3}, TypeError, "models must be a sequence, of one for each copy; got int"),
        ({"seeds": 3}, TypeError, "seeds must be a sequence, of one for each copy; got int"),
        ({"seeds": [1, 2]}, ValueError, "models and seeds must be as many as each other, and some; got 3 and 2"),
        ({"models": [], "seeds": []}, ValueError, "as many as each other, and some; got 0 and 0"),
        ({"seeds": [1, 2, -1]}, ValueError, r"seeds\[2\] must be an integer >= 0; got -1"),
        ({"models": [copies()[0], 3, copies()[1]]}, TypeError, r"models\[1\] must be a torch module; got int"),
        ({"models": copies()[:2] + copies("key")[:1]}, ValueError, r"models\[2\] must be like models\[0\] but for its"),
        ({"models": copies()[:2] + copies(dtype=torch.float32)[:1]}, ValueError, r"models\[2\] must be like"),
        ({"models": copies()[:1] * 3}, ValueError, r"models\[1\] must be a model of its own; got one that shares"),
        ({"recipe": 3}, TypeError, "recipe must be a Recipe; got int"),
        ({"dist": 3}, TypeError, "dist must be a PromptDistribution or another object"),
        ({"progress": 1}, ValueError, "progress must be one of True, False; got 1"),
        ({"tokens": 3}, TypeError, "tokens must be a Layout, a callable on what dist.sample returns or None; got int"),
        ({"tokens": lambda prompts: None}, TypeError, "what tokens returns must be tokens; got None"),
        ({"tokens": lambda prompts: [0]}, TypeError, "what tokens returns must be a torch tensor; got list"),
        ({"tokens": Layout(True)}, ValueError, r"Z must be of shape \(\.\.\., n \+ 3, 9\)"),
    ],
)
def test_bad_arguments_are_named(change, error, words):
    arguments = {"models": copies(), "dist": DIST, "recipe": SHORT, "seeds": SEEDS, "tokens": DELIMITED} | change
    with pytest.raises(error, match=words):
        fit_many(**arguments)


def test_what_is_wrong_with_one_copy_is_named():
    models = copies()
    with torch.no_grad():
        models[2].layers[0].W_q[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"models\[2\] must be with finite weights; got NaN or infinity in layers\.0"):
        fit_many(models, DIST, SHORT, SEEDS, tokens=DELIMITED)
    models = copies()
    with torch.no_grad():
        models[2].layers[0].W_g[0] = 1.0
    with pytest.raises(ValueError, match="model must be with zero rows of W_g for features and label"):
        fit_many(models, DIST, SHORT.replace(token_free=True), SEEDS, tokens=DELIMITED)

    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = copies()[0]

        def forward(self, Z, queries=1):
            return self.model(Z, queries).detach()

    with pytest.raises(ValueError, match="the model's output must be such that it has gradients to the weights"):
        fit_many([Cut(), Cut()], DIST, SHORT, [0, 1], tokens=DELIMITED)
    lengths = iter([1, 2, 3])
    with pytest.raises(ValueError, match=r"what tokens returns must be of one shape for all copies; got shapes"):
        fit_many(copies(), DIST, SHORT, SEEDS, tokens=lambda prompts: DELIMITED(prompts)[: next(lengths)])

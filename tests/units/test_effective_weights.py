"""The weighted step inside a model, seen from outside."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from glalib import GLA, PromptDistribution, effective_weights, optimal_wpgd
from glalib.baselines import bayes
from glalib.layout import DELIMITED
from glalib.wpgd import wpgd_step

WAYS = ("regression", "autograd")
PLAIN = PromptDistribution(2, (1, 1, 1), (0.2, 0.5, 0.8), sigma=0.5)
BLOCKS = PromptDistribution(3, (5, 4), (0.3, 0.8), R=[[1, 0.4], [0.4, 1]], sigma=0.5)
TURNED = BLOCKS.replace(Sx=[[1, 0.3, 0], [0.3, 0.5, 0], [0, 0, 2]], C=np.diag([1, 2, 0.5]), sigma=0.0)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


class Heads(nn.Module):
    """The sum of two weighted steps."""

    def __init__(self, n, d):
        super().__init__()
        rng = np.random.default_rng(0)
        self.omega = np.array([np.linspace(0.2, 1, n), np.linspace(1, -1, n)])
        self.P = np.array([np.eye(d), 0.5 * rng.normal(size=(d, d))]) / n

    def forward(self, Z):
        x, y, q = Z[:, :-1, :-1], Z[:, :-1, -1], Z[:, -1:, :-1]
        return sum(wpgd_step(x, y, q, P, omega) for P, omega in zip(self.P, self.omega, strict=True))


class Gated(nn.Module):
    """Weights that read their own label, and the query: sum_i a(y_i) x_i . x (1 + c x_1^2)."""

    def __init__(self, c=0.0):
        super().__init__()
        self.c = c

    @staticmethod
    def a(y):
        return y / (1 + np.exp(1 - y * y) if isinstance(y, np.ndarray) else 1 + torch.exp(1 - y * y))

    def forward(self, Z):
        x, y, q = Z[:, :-1, :-1], Z[:, :-1, -1], Z[:, -1, :-1]
        return torch.einsum("bi,bia,ba->b", self.a(y), x, q) * (1 + self.c * q[:, 0] ** 2)


def nearest(dist, heads):
    """omega, P and the explained share in the population: the loss from Gaussian fourth moments, by scipy's BFGS."""
    n, d, R = dist.n, dist.d, dist.R[np.ix_(dist.task_index, dist.task_index)]
    SCS, SMS = dist.Sx @ dist.C @ dist.Sx, dist.M * dist.Sx + dist.Sx @ dist.C @ dist.Sx
    R, Sx, SCS, SMS, target = map(torch.tensor, (R, dist.Sx, SCS, SMS, np.einsum("hi,hab->iab", heads.omega, heads.P)))

    def size(N):  # E (sum_i y_i x^T N_i x_i)^2
        across = torch.einsum("iab,bc,jdc,da->ij", N, SCS, N, Sx)
        return (R * across).sum() + torch.einsum("iab,bc,idc,da->", N, SMS, N, Sx)

    def loss(v):
        v = torch.tensor(v, requires_grad=True)
        value = size(target - v[:n, None, None] * v[n:].reshape(d, d)) / size(target)
        value.backward()
        return value.item(), v.grad.numpy()

    rng = np.random.default_rng(1)
    # A start in four runs off along the scale, which P and omega share.
    found = (
        minimize(loss, rng.normal(size=n + d * d), jac=True, options={"gtol": 1e-9, "maxiter": 300}) for _ in range(4)
    )
    best = min(found, key=lambda f: f.fun)
    omega, P = best.x[:n], best.x[n:].reshape(d, d)
    scale = np.sqrt(np.mean(omega**2)) * np.sign(np.trace(P))
    return omega / scale, P * scale, 1 - best.fun


def z_scores(e, omega, P, explained):
    """Of all estimates, against values known or estimated."""
    return np.concatenate(
        [
            (e.omega - omega) / e.omega_stderr,
            ((e.P - P) / e.P_stderr).ravel(),
            [(e.explained - explained) / e.explained_stderr],
        ]
    )


def agree(a, b):
    errors = {
        name: np.hypot(getattr(a, name), getattr(b, name)) for name in ("omega_stderr", "P_stderr", "explained_stderr")
    }
    return np.abs(z_scores(replace(a, **errors), b.omega, b.P, b.explained)).max() < 5


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("dist", [PLAIN, BLOCKS, TURNED])
def test_a_weighted_step_is_found_to_rounding(dist, by):
    """Whatever performs it: a record, a layer of given or computed gates, signed weights. P is not symmetric."""
    best = optimal_wpgd(dist)
    best = replace(best, P=best.P + 0.1 * np.triu(np.ones_like(best.P), 1))
    signed = replace(best, weights=np.linspace(-1, 0.5, dist.n))
    delimited = GLA.from_wpgd(best, dist, tokens=DELIMITED).with_computed_gates(dist)
    cases = [(best, best, None), (GLA.from_wpgd(best, dist), best, None), (delimited, best, DELIMITED)]
    cases += [(GLA.from_wpgd(signed, dist, gate), signed, None) for gate in ("key", "value")]
    for model, truth, tokens in cases:
        found = effective_weights(model, dist, 100, generator=gen(), tokens=tokens, by=by)
        assert np.mean(found.omega**2) == pytest.approx(1, rel=1e-12) and np.trace(found.P) >= 0
        assert found.explained == pytest.approx(1, abs=1e-9) and found.explained_stderr < 1e-9
        assert max(found.omega_stderr.max(), found.P_stderr.max()) < 1e-7
        omega = dist.expand(truth.omega)
        np.testing.assert_allclose(found.omega[:, None, None] * found.P, omega[:, None, None] * truth.P, atol=1e-7)
        beside = found.scaled_to(omega)
        np.testing.assert_allclose(beside.omega, omega, atol=1e-7)
        np.testing.assert_allclose(beside.P, truth.P, atol=1e-7)


@pytest.fixture(scope="module", params=[BLOCKS, TURNED])
def two_heads(request):
    dist = request.param
    heads = Heads(dist.n, dist.d)
    return dist, heads, nearest(dist, heads)


@pytest.mark.parametrize("by", WAYS)
def test_the_nearest_step_to_two_heads(two_heads, by):
    dist, heads, (omega, P, explained) = two_heads
    assert 0.5 < explained < 0.95
    found = effective_weights(heads, dist, 1_000, generator=gen(1), by=by)
    assert np.abs(z_scores(found, omega, P, explained)).max() < 5
    assert found.explained_stderr < 0.03 and found.omega_stderr.max() < 0.3


def gated_truth():
    """Of `Gated` on PLAIN, in two dimensions: |x_i|^2 / 2 is exponential, and y_i ~ N(0, |x_i|^2 + sigma^2)."""
    half, w = np.polynomial.laguerre.laggauss(60)
    z, v = np.polynomial.hermite_e.hermegauss(120)
    y = z * np.sqrt(2 * half[:, None] + PLAIN.sigma**2)
    weight = (w * 2 * half)[:, None] * v / np.sqrt(2 * np.pi)
    a = Gated.a(y)
    c = np.sum(weight * a * y) / np.sum(weight * y * y)
    return np.ones(3), c * np.eye(2), 1 - np.sum(weight * (a - c * y) ** 2) / np.sum(weight * a * a)


@pytest.mark.parametrize("by", WAYS)
def test_errors_cover(by):
    """z-scores against the truth of a gate that reads labels, over seeds: spread one, a little more for 20 groups."""
    truth = gated_truth()
    assert 0.9 < truth[2] < 0.99
    z = np.array([z_scores(effective_weights(Gated(), PLAIN, 400, generator=gen(s), by=by), *truth) for s in range(25)])
    assert np.all(np.abs(z.mean(0)) < 5 * 1.1 / 25**0.5)
    assert np.all((z.std(0) > 0.6) & (z.std(0) < 1.6)), z.std(0)


@pytest.mark.parametrize("by", WAYS)
def test_the_law_of_the_labels_counts(by):
    """sum_i y_i |x_i|^2 x_i . x without noise, in two dimensions: P = E|x|^6 / E|x|^4 I = 6 I, as y_i^2 is |x_i|^2 in
    the mean. It would be 4 I if all labels had one variance. The share is 36 E|x|^4 / E|x|^8."""
    dist = PLAIN.replace(sigma=0.0)

    def model(p):
        return wpgd_step(p.x * p.x.square().sum(-1, keepdim=True), p.y, p.x_query, np.eye(2), np.ones(3))

    found = effective_weights(model, dist, 8_000, generator=gen(), by=by)
    assert np.abs(z_scores(found, np.ones(3), 6 * np.eye(2), 0.75)).max() < 5
    assert abs(np.trace(found.P) / 2 - 6) < 0.9


def test_few_prompts_do_not_bias_the_share():
    """Seven numbers from forty prompts: without the correction the mean share is 0.82, far below the truth of 0.98."""
    found = [effective_weights(Gated(), PLAIN, 40, generator=gen(s), by="autograd").explained for s in range(35)]
    assert abs(np.mean(found) - gated_truth()[2]) < 3.5 * np.std(found) / 35**0.5


@pytest.mark.parametrize("dist", [PLAIN, BLOCKS, TURNED])
def test_both_ways_agree(dist):
    """Of models linear in neither labels nor query, of several layers, and of the Bayes predictor."""
    deep = GLA(dist.d + 1, "key", 2, gate_bias=1.0, scale=0.3, generator=gen(2), dtype=torch.float64)
    for model in (Gated(0.3), deep, bayes(dist)):
        by_values, by_slopes = (effective_weights(model, dist, 1_500, generator=gen(3), by=by) for by in WAYS)
        assert agree(by_values, by_slopes)
        assert by_values.explained < 1 - 1e-3


def test_laws_and_models_of_ones_own():
    """A sampler that no closed form knows, a callable, weights in float32, directions never drawn, a constant."""

    class Cubed:
        def sample(self, batch, generator, queries, dtype):
            p = TURNED.sample(batch, generator, queries, dtype)
            return replace(p, x=p.x * torch.tensor([1.0, 1.0, 0.0]), y=p.y**3)

    P, omega = np.arange(9.0).reshape(3, 3), np.linspace(1, 2, 9)
    found = effective_weights(lambda p: 7 + wpgd_step(p.x, p.y, p.x_query, P, omega), Cubed(), 4_000, generator=gen())
    beside = found.scaled_to(omega)
    assert np.all(np.abs(beside.omega - omega) < 5 * beside.omega_stderr)
    assert np.all(np.abs(beside.P - P)[:, :2] < 5 * beside.P_stderr[:, :2]) and np.abs(beside.P[:, 2]).max() < 1e-9

    best = optimal_wpgd(BLOCKS)
    for by in WAYS:
        single = effective_weights(GLA.from_wpgd(best, BLOCKS).float(), BLOCKS, 100, generator=gen(), by=by)
        assert single.omega.dtype == np.float64 and single.explained == pytest.approx(1, abs=1e-9)
        np.testing.assert_allclose(single.scaled_to(BLOCKS.expand(best.omega)).P, best.P, rtol=1e-4, atol=1e-5)


def test_the_same_generator_gives_the_same_estimate_and_the_model_is_left_alone():
    model = GLA(4, generator=gen(), dtype=torch.float64)
    for by in WAYS:
        with torch.no_grad():
            a, b = (effective_weights(model, BLOCKS, 60, 17, generator=gen(4), by=by) for _ in range(2))
        assert a.to_dict() == b.to_dict() and "60 prompts" in repr(a)
        assert all(p.grad is None for p in model.parameters())


class Growing:
    """Prompts that are one longer each time."""

    calls = 0

    def sample(self, batch, *rest):
        self.calls += 1
        return BLOCKS.replace(counts=(5, 4 + self.calls)).sample(batch, *rest)


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda: effective_weights("model", BLOCKS), "predictor must be a .P, omega. pair"),
        (lambda: effective_weights(GLA(4), "dist"), "dist must be a PromptDistribution or another object"),
        (
            lambda: effective_weights(GLA(4), BLOCKS, by="hand"),
            "by must be one of 'regression', 'autograd'; got 'hand'",
        ),
        (lambda: effective_weights(GLA(4), Growing(), by="autograd"), "dist must be a PromptDistribution where by="),
        (lambda: effective_weights(GLA(4), Growing(), 100, 50), "x of what dist.sample returns must be of the same n"),
        (lambda: effective_weights(GLA(4), BLOCKS, 39), "draws must be at least 40, for n = 9 and d = 3; got 39"),
        (lambda: effective_weights(GLA(4), BLOCKS, 0), "draws must be a positive integer"),
        (lambda: effective_weights(GLA(4), BLOCKS, batch=0), "batch must be a positive integer"),
        (
            lambda: effective_weights(GLA(4), BLOCKS, tokens=3),
            "tokens must be a Layout, a callable on what dist.sample returns or None; got",
        ),
        (lambda: effective_weights(lambda p: p.y, BLOCKS, 50), "the predictor's output must be of shape"),
        (lambda: effective_weights(lambda p: p.y_query / 0, BLOCKS, 50), "the predictor's output must be finite"),
        *(
            (
                lambda by=by: effective_weights(lambda p: 0 * p.x_query[..., 0] + 3, BLOCKS, 50, by=by),
                "depends on labels",
            )
            for by in WAYS
        ),
        (
            lambda: effective_weights(lambda p: p.x_query[..., 0], BLOCKS, 50, by="autograd"),
            "depends on labels and que",
        ),
        (
            lambda: effective_weights(lambda p: bayes(BLOCKS)(p).detach(), BLOCKS, 50, by="autograd"),
            "the predictor's output must be differentiable in labels and query",
        ),
        (lambda: effective_weights(GLA(4), BLOCKS, 60).scaled_to(np.ones(2)), r"omega must be of shape \(9,\)"),
        (lambda: effective_weights(GLA(4), BLOCKS, 60).scaled_to(np.zeros(9)), "omega must be weights that are not"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        call()

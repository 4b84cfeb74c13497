"""Errors drawn without tokens against tokens: the law, the gradients, and what the draws refuse."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from cases import correlations, covariance
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from glalib import GLA, PromptDistribution
from glalib.layout import DELIMITED, Layout
from glalib.token_free import token_free_losses

F64 = torch.float64


def layer(dist, gate, context, delimiters, seed, gate_bias=1.0):
    """A layer with every weight at a general value, and a gate that reads context only."""
    p = (2 * dist.K if delimiters else dist.K) + 1 if context else 0
    generator = torch.Generator().manual_seed(seed)
    model = GLA(
        dist.d + 1 + p, gate, context_width=p, scale=1 / dist.n, gate_bias=gate_bias, generator=generator, dtype=F64
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=F64))
        if gate:
            model.layers[0].W_g[: dist.d + 1] = 0
    return model


def general(sigma, seed, d=3, counts=(3, 2)):
    rng = np.random.default_rng(seed)
    R, r = correlations(rng, len(counts), 4)
    return PromptDistribution(d, counts, r, R=R, sigma=sigma, Sx=covariance(rng, d, d, 1), C=covariance(rng, d, d, 1))


def gradients(model, losses):
    return torch.cat([g.flatten() for g in torch.autograd.grad(losses.mean(), list(model.parameters()))])


@pytest.mark.claim("prop-token-free")
@pytest.mark.parametrize(
    ("sigma", "gate", "context", "delimiters"),
    [
        (0.0, "scalar", True, True),
        (0.6, "scalar", True, True),
        (0.6, "scalar", True, False),
        (0.0, "scalar", False, True),
        (0.6, None, False, False),
    ],
)
def test_mean_and_gradients_are_those_of_tokens(sigma, gate, context, delimiters):
    """A hundred batches of each: their means within 4.5 standard errors, in all of some hundred numbers."""
    dist = general(sigma, 1)
    model, tokens = layer(dist, gate, context, delimiters, 0), Layout(delimiters, context)
    generator = torch.Generator().manual_seed(5)
    rows = {"tokens": [], "free": []}
    for _ in range(100):
        drawn = dist.sample(800, generator, 2, F64)
        by_tokens = (drawn.y_query - model(tokens(drawn), 2)) ** 2
        by_law = token_free_losses(model, dist, 800, generator, tokens)
        assert by_law.shape == (800,)
        for name, losses in (("tokens", by_tokens), ("free", by_law)):
            rows[name].append(torch.cat([losses.mean().detach()[None], gradients(model, losses)]))
    a, b = torch.stack(rows["tokens"]), torch.stack(rows["free"])
    reads_data = torch.zeros(a.shape[1], dtype=torch.bool)  # of W_g, whose gradient tokens have and the law has not
    if gate:
        at = 1 + sum(p.numel() for n, p in model.named_parameters() if not n.endswith(("W_g", "b_g")))
        reads_data[at : at + dist.d + 1] = True
    assert (b[:, reads_data] == 0).all()
    error = ((a.var(0) + b.var(0)) / 100).sqrt()
    z = ((a - b).mean(0) / error.clamp_min(1e-12))[~reads_data]
    assert z.abs().max() < 4.5
    assert (z**2).mean().sqrt() < 1.6  # the numbers are correlated, so a little above or below one
    assert (a.mean(0).abs() / error.clamp_min(1e-12))[~reads_data].median() > 3  # there is something to agree on


def moment_by_tokens(model, dist, batch, seed):
    """E[(y - f)^2 | prompt] (batch,) of tokens: f is cubic in the query, so that 4^d Gauss nodes are exact."""
    drawn = dist.sample(batch, torch.Generator().manual_seed(seed), dtype=F64)
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    grid = np.array(list(product(nodes, repeat=dist.d))) @ np.linalg.cholesky(dist.Sx).T
    weights = torch.tensor(np.prod(list(product(weights / weights.sum(), repeat=dist.d)), axis=1))
    x = torch.tensor(grid).expand(batch, -1, -1)
    drawn = replace(drawn, x_query=x, y_query=torch.einsum("bqd,bd->bq", x, drawn.beta_query))
    with torch.no_grad():
        return (drawn.y_query - model(DELIMITED(drawn), x.shape[1])) ** 2 @ weights + dist.sigma**2


def hold_laws_together(model, dist):
    """Chance passes this Kolmogorov-Smirnov level once in 100,000 seeds; a scale off by a tenth is beyond it."""
    by_tokens = moment_by_tokens(model, dist, 4000, 1).numpy()
    with torch.no_grad():
        by_law = token_free_losses(model, dist, 4000, torch.Generator().manual_seed(2)).numpy()
    assert ks_2samp(by_law, by_tokens).pvalue > 1e-5
    assert ks_2samp(1.1 * by_law, by_tokens).pvalue < 1e-5


@pytest.mark.claim("prop-token-free")
@pytest.mark.parametrize("size", [0.3, 3.0])
def test_law_is_that_of_tokens(size):
    """Not the mean alone: the quantiles of E[(y - f)^2 | prompt], also where weights are large."""
    dist = general(0.4, 2)
    model = layer(dist, "scalar", True, True, 3)
    with torch.no_grad():
        model.layers[0].W_v.mul_(size / 0.3)
    hold_laws_together(model, dist)


@given(st.integers(0, 99), st.sampled_from([0.0, 0.5]))
def test_query_average_is_exact(seed, sigma):
    """With nothing in the context to see (scale 0), the risk of each prompt is |Sx^1/2 beta|^2 + sigma^2."""
    dist = general(sigma, seed)
    model = layer(dist, "scalar", True, True, seed)
    model.scale = 0.0
    with torch.no_grad():
        losses = token_free_losses(model, dist, 2000, torch.Generator().manual_seed(seed))
    assert losses.min() >= sigma**2
    assert abs(losses.mean() - dist.M) < 6 * losses.std() / 2000**0.5


@pytest.mark.claim("prop-token-free")
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5]), st.booleans())
def test_the_query_s_second_moment_is_that_of_a_quadrature(seed, sigma, own_Sx):
    """Where all that examples write is forgotten nothing is random but the tasks, and 4^2 Gauss nodes are exact."""
    rng = np.random.default_rng(seed)
    Sx = covariance(rng, 2, 2, 1) if own_Sx else None
    dist = PromptDistribution(2, (3, 2), (0.2, 0.8), sigma=sigma, Sx=Sx)
    model = layer(dist, "scalar", True, True, seed)
    with torch.no_grad():
        model.layers[0].W_g[3:, 0] = torch.tensor([5.0, 5.0, -1e4, -1e4, 0.3])  # delimiters forget; the query does not
        losses = token_free_losses(model, dist, 6, torch.Generator().manual_seed(seed))
    mix, half, _ = dist.factors
    tasks = torch.tensor(mix) @ torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=F64)
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    grid = torch.tensor(np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2))
    weights = torch.tensor(np.outer(weights, weights).ravel() / weights.sum() ** 2)
    drawn = dist.sample(6, torch.Generator().manual_seed(seed), 16, F64)
    # The tasks above are white; Sx^1/2 goes into the features here.
    x = (grid if half is None else grid @ torch.tensor(half)).expand(6, 16, 2).contiguous()
    y = torch.einsum("bqd,bd->bq", x, tasks[:, -1])
    with torch.no_grad():
        f = model(DELIMITED(replace(drawn, x_query=x)), 16)
    # Sums of some dozens of products.
    assert torch.allclose(losses, ((y - f) ** 2) @ weights + sigma**2, rtol=1e-10, atol=1e-12)


@pytest.mark.claim("prop-token-free")
def test_values_that_read_neither_features_nor_label():
    """t = 0: the law holds, and there is no gradient to take."""
    dist = general(0.6, 4)
    model = layer(dist, "scalar", True, True, 0)
    with torch.no_grad():
        model.layers[0].W_v[: dist.d + 1] = 0
    hold_laws_together(model, dist)
    words = "model must be with values that read the features or the label, where gradients are wanted"
    with pytest.raises(ValueError, match=words):
        token_free_losses(model, dist, 50, torch.Generator().manual_seed(0))
    model.requires_grad_(False)
    assert token_free_losses(model, dist, 50).isfinite().all()


def gradient_spread(dist, batch, times, seed):
    """Interquartile range, over `times` batches, of the gradient in the last feature's weight of the values."""
    model = layer(dist, "scalar", True, True, 0)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.layers[0].W_v[: dist.d] = 0
    rows = []
    for _ in range(times):
        losses = token_free_losses(model, dist, batch, generator)
        (gradient,) = torch.autograd.grad(losses.mean(), [model.layers[0].W_v])
        rows.append(gradient[dist.d - 1, dist.d])
    low, high = torch.stack(rows).quantile(torch.tensor([0.25, 0.75], dtype=F64))
    return (high - low).item()


@pytest.mark.claim("prop-token-free")
def test_gradients_of_rank_one_have_no_mean():
    """t = w_y beta on a line: 1 / |t| has no mean, so averages of a hundred times as many spread as far as before."""
    line = PromptDistribution(2, (3, 2), (0.2, 0.8), sigma=0.6, C=np.diag([1.0, 0.0]))
    space = PromptDistribution(3, (3, 2), (0.2, 0.8), sigma=0.6)
    # In theory one, and a tenth; 0.3 is between the two on a log scale.
    assert gradient_spread(line, 2_500, 120, 0) > 0.3 * gradient_spread(line, 25, 120, 1)
    assert gradient_spread(space, 2_500, 120, 0) < 0.3 * gradient_spread(space, 25, 120, 1)


@pytest.mark.claim("prop-token-free")
@given(st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.sampled_from([0.0, 0.5]))
def test_how_many_random_numbers(d, counts, sigma):
    dist = PromptDistribution(d, counts, (0.3,) * len(counts), sigma=sigma)
    model = layer(dist, "scalar", True, True, 0)
    drawn, randn = [], torch.randn

    def counting(*shape, **options):
        drawn.append(np.prod(shape))
        return randn(*shape, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn", counting)
        token_free_losses(model, dist, 7)
    n, K = sum(counts), len(counts)
    assert sum(drawn) == 7 * ((K + 1) * d + K * d + n * (2 if sigma else 1))


def test_other_models_are_refused():
    dist = PromptDistribution(2, (3, 3), (0.2, 0.8))
    reads = GLA(8, context_width=5)
    with torch.no_grad():
        reads.layers[0].W_g[1] = 1
    for model, words in [
        (GLA(8, "key", context_width=5), "model must be of one layer with gate None or 'scalar'"),
        (GLA(8, layers=2, context_width=5), "model must be of one layer"),
        (GLA(7, context_width=4), r"model must be of width d \+ 1 \+ p = 8; got width 7"),
        (GLA(8, context_width=5, causal=False), "model must be causal, with gates that it computes"),
        (GLA(8, context_width=5, gates=[1.0] * 9), "model must be causal, with gates that it computes"),
        (reads, "model must be with zero rows of W_g"),
    ]:
        with pytest.raises(ValueError, match=words):
            token_free_losses(model, dist, 4)
    with pytest.raises(TypeError, match="model must be a GLA; got Linear"):
        token_free_losses(torch.nn.Linear(2, 2), dist, 4)
    with pytest.raises(ValueError, match="batch must be a positive integer"):
        token_free_losses(GLA(8, context_width=5), dist, 0)

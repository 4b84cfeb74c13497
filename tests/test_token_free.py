"""Errors drawn without tokens against tokens: the law, the gradients, and what the draws refuse."""

import numpy as np
import pytest
import torch
from cases import correlations, covariance
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from glalib import GLA, PromptDistribution
from glalib.token_free import token_free_losses

F64 = torch.float64


def layer(dist, gate, context, delimiters, seed, gate_bias=1.0):
    """A layer with every weight at a general value, and a gate that reads context only."""
    p = (2 * dist.K if delimiters else dist.K) + 1 if context else 0
    generator = torch.Generator().manual_seed(seed)
    model = GLA(dist.d + 1 + p, gate, context=p, scale=1 / dist.n, gate_bias=gate_bias, generator=generator, dtype=F64)
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
    """Two hundred batches of each: their means within 4.5 standard errors, in all of some hundred numbers."""
    dist = general(sigma, 1)
    model = layer(dist, gate, context, delimiters, 0)
    generator = torch.Generator().manual_seed(5)
    rows = {"tokens": [], "free": []}
    for _ in range(200):
        drawn = dist.sample(400, generator, 2, F64)
        by_tokens = (drawn.y_query - model(dist.tokens(drawn, delimiters, context), 2)) ** 2
        by_law = token_free_losses(model, dist, 400, generator, delimiters, context)
        assert by_law.shape == (400,)
        for name, losses in (("tokens", by_tokens), ("free", by_law)):
            rows[name].append(torch.cat([losses.mean().detach()[None], gradients(model, losses)]))
    a, b = torch.stack(rows["tokens"]), torch.stack(rows["free"])
    reads_data = torch.zeros(a.shape[1], dtype=torch.bool)  # of W_g, whose gradient tokens have and the law has not
    if gate:
        at = 1 + sum(p.numel() for n, p in model.named_parameters() if not n.endswith(("W_g", "b_g")))
        reads_data[at : at + dist.d + 1] = True
    assert (b[:, reads_data] == 0).all()
    error = ((a.var(0) + b.var(0)) / 200).sqrt()
    z = ((a - b).mean(0) / error.clamp_min(1e-12))[~reads_data]
    assert z.abs().max() < 4.5
    assert (z**2).mean().sqrt() < 1.6  # the numbers are correlated, so a little above or below one
    assert (a.mean(0).abs() / error.clamp_min(1e-12))[~reads_data].median() > 3  # there is something to agree on


@pytest.mark.claim("prop-token-free")
def test_law_is_that_of_tokens():
    """Not the mean alone: the quantiles of E[(y - f)^2 | prompt], with the query averaged over 1,000 draws."""
    dist = general(0.4, 2)
    model = layer(dist, "scalar", True, True, 3)
    generator = torch.Generator().manual_seed(0)
    drawn = dist.sample(2000, generator, 1000, F64)
    with torch.no_grad():
        by_tokens = ((drawn.y_query - model(dist.tokens(drawn, True, True), 1000)) ** 2).mean(1)
        by_law = token_free_losses(model, dist, 2000, generator)
    # Chance passes this Kolmogorov-Smirnov level once in a thousand seeds.
    assert ks_2samp(by_law.numpy(), by_tokens.numpy()).pvalue > 1e-3
    assert ks_2samp(1.15 * by_law.numpy(), by_tokens.numpy()).pvalue < 1e-3


@given(st.integers(0, 99), st.sampled_from([0.0, 0.5]))
def test_query_average_is_exact(seed, sigma):
    """With nothing in the context to see (scale 0), the risk of each prompt is |Sx^1/2 beta|^2 + sigma^2."""
    dist = general(sigma, seed)
    model = layer(dist, "scalar", True, True, seed)
    model.scale = 0.0
    losses = token_free_losses(model, dist, 2000, torch.Generator().manual_seed(seed))
    assert losses.min() >= sigma**2
    assert abs(losses.mean() - dist.M) < 6 * losses.std() / 2000**0.5


def test_zero_direction_is_harmless():
    dist = PromptDistribution(2, (3, 3), (0.2, 0.8))
    model = layer(dist, "scalar", True, True, 0)
    with torch.no_grad():
        model.layers[0].W_v[:3] = 0  # values carry neither features nor label: t = 0
    losses = token_free_losses(model, dist, 50, torch.Generator().manual_seed(0))
    gradient = gradients(model, losses)
    assert losses.isfinite().all() and gradient.isfinite().all()


def test_other_models_are_refused():
    dist = PromptDistribution(2, (3, 3), (0.2, 0.8))
    reads = GLA(8, context=5)
    with torch.no_grad():
        reads.layers[0].W_g[1] = 1
    for model, words in [
        (GLA(8, "key", context=5), "model must be of one layer with gate None or 'scalar'"),
        (GLA(8, layers=2, context=5), "model must be of one layer"),
        (GLA(7, context=4), r"model must be of width d \+ 1 \+ p = 8; got width 7"),
        (GLA(8, context=5, causal=False), "model must be causal, with gates that it computes"),
        (GLA(8, context=5, gates=[1.0] * 9), "model must be causal, with gates that it computes"),
        (reads, "model must be with zero rows of W_g"),
    ]:
        with pytest.raises(ValueError, match=words):
            token_free_losses(model, dist, 4)
    with pytest.raises(TypeError, match="model must be a GLA; got Linear"):
        token_free_losses(torch.nn.Linear(2, 2), dist, 4)
    with pytest.raises(ValueError, match="batch must be a positive integer"):
        token_free_losses(GLA(8, context=5), dist, 0)

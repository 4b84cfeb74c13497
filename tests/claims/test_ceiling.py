"""One layer whose gates do not read the examples: its weighted step, and what the rest of it costs. By plain loops."""

import itertools
from dataclasses import replace

import brute
import numpy as np
import pytest
import torch
from cases import distributions
from hypothesis import given, settings
from hypothesis import strategies as st

from glalib import GLA, PromptDistribution, Prompts, optimal_wpgd
from glalib.layout import Layout

SEEDS = st.integers(0, 2**32 - 1)


def draw_layer(seed, dist, tokens, gate, key_width, value_width):
    """All weights at random; the gate reads context only."""
    generator = torch.Generator().manual_seed(seed)
    p = tokens.width(dist) - dist.d - 1
    options = {"context_width": p, "gate_bias": 1.0, "generator": generator, "dtype": torch.float64}
    layer = GLA(dist.d + 1 + p, gate, 1, key_width, value_width, **options)
    with torch.no_grad():
        for weights in layer.parameters():
            weights.add_(0.5 * torch.randn(weights.shape, generator=generator, dtype=torch.float64))
        if gate:
            layer.layers[0].W_g[: dist.d + 1] = 0
    return layer


@torch.no_grad()
def predict(layer, tokens, prompts):
    return layer(tokens(prompts), prompts.x_query.shape[1]).numpy()


def odd_part(layer, tokens, prompts):
    total = 0.0
    for a, b, c in itertools.product((1, -1), repeat=3):
        flipped = replace(prompts, x=a * prompts.x, y=b * prompts.y, x_query=c * prompts.x_query)
        total = total + a * b * c * predict(layer, tokens, flipped) / 8
    return total


def maps(layer, dist, tokens):
    """B_i (n, d, d), entry by entry of the state: channel j of values, channel l of keys."""
    d, (inner,) = dist.d, layer.layers
    psi = (layer.scale * layer.h).detach().numpy()
    W_q, W_k, W_v = (W.detach().numpy() for W in inner.matrices())
    kinds = tokens.kinds(dist.counts)
    g = np.ones((len(kinds), len(psi), W_k.shape[1]))
    if layer.gate:
        logits = tokens.vectors(dist.K)[kinds] @ inner.W_g[d + 1 :].detach().numpy() + inner.b_g.detach().numpy()
        values = 1 / (1 + np.exp(-logits))
        g *= values[:, :, None] if layer.gate == "value" else values[:, None, :]
    out = []
    for i in np.flatnonzero(~tokens.blocks(dist.counts)[1]):
        weight, B = g[i + 1 :].prod(0), np.zeros((d, d))
        for j, l in np.ndindex(weight.shape):
            label_in_value = W_v[d, j] * W_k[:d, l]
            label_in_key = W_k[d, l] * W_v[:d, j]
            B += weight[j, l] * psi[j] * np.outer(W_q[:d, l], label_in_value + label_in_key)
        out.append(B)
    return np.array(out)


def of_maps(B, prompts):
    x, y, query = (part.numpy() for part in (prompts.x, prompts.y, prompts.x_query))
    return np.einsum("pqa,iab,pib,pi->pq", query, B, x, y)


@pytest.mark.claim("thm-ceiling")
@given(
    dist=distributions(max_d=4, max_K=3, max_count=3),
    gate=st.sampled_from([None, "scalar", "key", "value"]),
    delimiters=st.booleans(),
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=SEEDS,
)
@settings(max_examples=60)
def test_the_odd_part_of_a_layer_is_a_sum_of_steps(dist, gate, delimiters, widths, seed):
    tokens = Layout(delimiters, context=True)
    layer = draw_layer(seed, dist, tokens, gate, *widths)
    prompts = dist.sample(5, torch.Generator().manual_seed(seed % 2**31), queries=2, dtype=torch.float64)
    ours, B = odd_part(layer, tokens, prompts), maps(layer, dist, tokens)
    size = 1e-3 + np.abs(predict(layer, tokens, prompts)).max()
    assert np.abs(ours - of_maps(B, prompts)).max() < 1e-12 * size
    if gate in (None, "scalar"):
        assert np.linalg.matrix_rank(B.reshape(dist.n, -1), tol=1e-10 * (1e-9 + np.abs(B).max())) <= 1


def grid(dist, nodes):
    """Every prompt of d = 1 on a Gauss grid, as one batch, and its probability; exact up to degree 2 nodes - 1."""
    z, p = np.polynomial.hermite_e.hermegauss(nodes)
    noisy = dist.sigma > 0
    size = dist.n + 1 + dist.K + 1 + noisy * dist.n
    at = np.array(list(itertools.product(z, repeat=size)))
    mass = np.prod(np.array(list(itertools.product(p / p.sum(), repeat=size))), 1)
    x, query, white, e = np.split(at, np.cumsum([dist.n, 1, dist.K + 1]), 1)
    x, query = x * dist.Sx[0, 0] ** 0.5, query * dist.Sx[0, 0] ** 0.5
    joint = np.block([[dist.R, dist.r[:, None]], [dist.r[None], np.ones((1, 1))]])
    tasks = white @ brute._sqrt(joint) * dist.C[0, 0] ** 0.5
    y = x * tasks[:, dist.task_index] + (dist.sigma * e if noisy else 0.0)
    parts = (x[..., None], y, query[..., None], query * tasks[:, -1:], tasks[:, :-1, None], tasks[:, -1:])
    return Prompts(*map(torch.from_numpy, parts), dist.counts), torch.from_numpy(mass)


@pytest.mark.claim("thm-ceiling")
@pytest.mark.parametrize("gate", [None, "scalar"])
@pytest.mark.parametrize("sigma", [0.0, 0.6])
def test_the_risk_is_that_of_the_step_plus_the_rest_by_quadrature(gate, sigma):
    """Four nodes are exact: the query's own write is cubic in x, so its square has degree six."""
    dist = PromptDistribution(1, (1, 1), (0.3, 0.8), R=[[1, 0.5], [0.5, 1]], sigma=sigma, Sx=[[0.7]], C=[[1.3]])
    prompts, mass = grid(dist, 4)
    tokens = Layout(delimiters=True, context=True)
    for seed in range(3):
        layer = draw_layer(seed, dist, tokens, gate, 3, 4)
        f, B = predict(layer, tokens, prompts), maps(layer, dist, tokens)
        f_P, y = of_maps(B, prompts), prompts.y_query.numpy()
        whole = mass.numpy() @ (y - f) ** 2 + sigma**2  # the query's own noise is not on the grid
        rest = mass.numpy() @ (f - f_P) ** 2
        P, omega = torch.from_numpy(B[-1]), torch.from_numpy(B[:, 0, 0] / B[-1, 0, 0])
        step = brute.risk(dist, P, omega).item()
        assert rest > 0.1 * step
        assert np.isclose(whole, step + rest, rtol=1e-10)


@pytest.mark.claim("thm-ceiling")
@pytest.mark.parametrize("r", [(0.2, 0.8), (0.8, 0.2)])
def test_a_search_over_all_weights_comes_to_the_line_and_not_below(r):
    """The risk is exact, so a search cannot profit from a sample; what it finds is above the line wherever it stops."""
    dist = PromptDistribution(1, (1, 1), r)
    prompts, mass = grid(dist, 4)
    tokens = Layout(delimiters=True, context=True)
    Z, line, found = tokens(prompts), optimal_wpgd(dist, "monotone").risk, []
    for seed in range(2):
        layer = draw_layer(seed, dist, tokens, "scalar", 2, 2)
        layer.layers[0].W_g.register_hook(lambda gradient: torch.cat([0 * gradient[:2], gradient[2:]]))
        optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=80, line_search_fn="strong_wolfe")

        def risk(layer=layer, optimiser=optimiser):
            optimiser.zero_grad()
            value = mass @ (prompts.y_query - layer(Z))[:, 0] ** 2
            value.backward()
            return value

        optimiser.step(risk)
        found.append(risk().item())
    assert min(found) > line * (1 - 1e-12)
    assert min(found) < line * 1.005


@pytest.mark.claim("thm-ceiling")
def test_gates_that_read_break_it():
    """Features in the gate: below the best weighted step. Labels: the odd part has no fixed weights."""
    dist = PromptDistribution(1, (1, 1), (1.0, 1.0), R=[[1, 1], [1, 1]])
    prompts, mass = grid(dist, 6)
    x, y, query = (part[..., 0].numpy() for part in (prompts.x, prompts.y[..., None], prompts.x_query))
    f = query[:, 0] * (x[:, 0] * y[:, 0] / (1 + x[:, 1] ** 2 / 2) + x[:, 1] * y[:, 1])
    target, p = prompts.y_query[:, 0].numpy(), mass.numpy()
    risk = p @ target**2 - (p @ (f * target)) ** 2 / (p @ f**2)
    assert risk / optimal_wpgd(dist).risk == pytest.approx(0.95, rel=0.02)
    even = (1 / (1 + np.exp(-1 - y[:, 1])) + 1 / (1 + np.exp(-1 + y[:, 1]))) / 2  # of the gate sigmoid(1 + y_2)
    odd, terms = query[:, 0] * (even * x[:, 0] * y[:, 0] + x[:, 1] * y[:, 1]), query * x * y
    fixed = np.linalg.lstsq(p[:, None] ** 0.5 * terms, p**0.5 * odd, rcond=None)[0]
    assert p @ (odd - terms @ fixed) ** 2 / (p @ odd**2) == pytest.approx(0.00157, rel=0.02)


def moments(dist):
    """E[x_i y_i y_j x_j^T] (n, n, d, d) by Isserlis, and E[y x x_i^T y_i] / ... (n, d, d): of maps, pair by pair."""
    n, index, M = dist.n, dist.task_index, dist.sigma**2 + np.trace(dist.Sx @ dist.C)
    inner = dist.Sx @ dist.C @ dist.Sx
    second = np.zeros((n, n, dist.d, dist.d))
    for i, j in np.ndindex(n, n):
        second[i, j] = dist.R[index[i], index[j]] * inner
        if i == j:
            second[i, j] += inner + M * dist.Sx
    return second, np.array([dist.r[k] * inner for k in index])


def risk_of_maps(dist, B):
    second, cross = moments(dist)
    square = sum(np.trace(dist.Sx @ B[i] @ second[i, j] @ B[j].T) for i, j in np.ndindex(dist.n, dist.n))
    M = dist.sigma**2 + np.trace(dist.Sx @ dist.C)
    return M - 2 * sum(np.trace(b @ c) for b, c in zip(B, cross, strict=True)) + square


def floor(dist):
    s, r, R = dist.signal_spectrum[0], dist.r[dist.task_index], dist.R[np.ix_(dist.task_index, dist.task_index)]
    return dist.M - sum(v**2 * r @ np.linalg.solve((dist.M + v) * np.eye(dist.n) + v * R, r) for v in s)


@pytest.mark.claim("prop-ceiling-heads")
@given(dist=distributions(max_d=2, max_K=3, max_count=2), seed=SEEDS)
@settings(max_examples=40)
def test_no_sum_of_heads_is_below_the_floor_and_enough_of_them_reach_it(dist, seed):
    """The best sum of many random heads is a least-squares problem; their maps span all maps."""
    rng, size = np.random.default_rng(seed), dist.n * dist.d**2
    kinds = [("key", "value", "scalar", None)[k % 4] for k in range(4)]
    heads = [draw_layer(seed + k, dist, Layout(context=True), gate, 3, 3) for k, gate in enumerate(kinds)]
    B = np.array([maps(h, dist, Layout(context=True)) for h in heads])
    for b in B:
        at = [risk_of_maps(dist, c * b) for c in (-1.0, 0.0, 1.0)]
        bend, slope = at[2] + at[0] - 2 * at[1], (at[2] - at[0]) / 2
        best = at[1] - slope**2 / (2 * bend) if bend > 0 else at[1]
        assert best > floor(dist) - 1e-9 * dist.M
    # All maps, by the normal equations of the quadratic: its least value is the floor.
    basis = np.eye(size).reshape(size, dist.n, dist.d, dist.d)
    zero, one = risk_of_maps(dist, 0 * basis[0]), np.array([risk_of_maps(dist, b) for b in basis])
    minus = np.array([risk_of_maps(dist, -b) for b in basis])
    linear, square = (minus - one) / 4, (minus + one) / 2 - zero
    form = np.diag(square)
    for a, b in itertools.combinations(range(size), 2):
        both = risk_of_maps(dist, basis[a] + basis[b])
        form[a, b] = form[b, a] = (both - one[a] - one[b] + zero) / 2
    point = np.linalg.lstsq(form, linear, rcond=1e-11)[0]
    assert abs(zero - linear @ point - floor(dist)) < 1e-8 * dist.M
    assert risk_of_maps(dist, rng.normal(size=basis[0].shape)) > floor(dist)
    assert floor(dist) <= optimal_wpgd(dist).risk + 1e-12 * dist.M


@pytest.mark.claim("prop-ceiling-heads")
def test_heads_can_pass_below_one_step_only_where_features_are_unequal():
    for Sx, gains in ((np.diag([1.0, 0.1]), True), (np.eye(2), False)):
        dist = PromptDistribution(2, (1, 60), (0.8, 0.6), Sx=Sx)
        gain = (optimal_wpgd(dist).risk - floor(dist)) / dist.M
        assert gain == pytest.approx(0.00934, rel=0.01) if gains else abs(gain) < 1e-12

"""Gates on the write, heads, a query that names its task, a normaliser: by linear programs and searches."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog, minimize, minimize_scalar
from torch import nn

from glalib import GLA, PromptDistribution, optimal_wpgd, population_risk, simulate_risk
from glalib.layout import DELIMITED

SEEDS = st.integers(0, 2**32 - 1)


def products(u, g):
    """omega_i = u_i prod_{j>i} g_j, factor by factor; g has the query's gate last."""
    return np.array([u[i] * np.prod(g[i + 1 :]) for i in range(len(u))])


@pytest.mark.claim("thm-writes")
@given(n=st.integers(1, 4), theta=st.sampled_from([0.0, 0.1, 0.5, 0.9]), seed=SEEDS)
@settings(max_examples=60)
def test_no_linear_function_tells_what_coupled_gates_reach_from_the_stated_set(n, theta, seed):
    """Weights are affine in each gate, so the largest value is at gates of theta or one; of the set, by simplex."""
    along = np.random.default_rng(seed).normal(size=n)
    corners = [np.array(g) for g in product((theta, 1.0), repeat=n + 1)]
    reached = max(along @ products(1 - g[:-1], g) for g in corners)
    rows = np.eye(n) + (1 - theta) * np.triu(np.ones((n, n)), 1)
    stated = -linprog(-along, A_ub=rows, b_ub=np.full(n, 1 - theta), bounds=(0, None)).fun
    assert reached == pytest.approx(stated, abs=1e-9)
    if theta == 0:
        assert stated == pytest.approx(max(0, along.max()), abs=1e-9)  # the simplex


@pytest.mark.claim("thm-writes")
@given(n=st.integers(1, 12), theta=st.floats(0, 0.99), spread=st.floats(0, 5), A=st.floats(0.01, 5), seed=SEEDS)
def test_every_weighting_has_its_gates_zeros_too(n, theta, spread, A, seed):
    rng = np.random.default_rng(seed)
    omega = 10 ** rng.uniform(-spread, spread, n) * (rng.random(n) < 0.8)
    omega = omega / max(omega.sum(), 1e-30)
    room = max(omega[i] + (1 - theta) * omega[i + 1 :].sum() for i in range(n))
    scaled = omega * (1 - theta) / max(room, 1 - theta)
    g, c = np.ones(n + 1), 1.0
    for i in reversed(range(n)):
        g[i] = 1 - scaled[i] / c if c > 1e-12 else 1.0
        c *= g[i]
    assert g.min() >= theta - 1e-6  # the boundary itself, after up to twelve quotients
    assert products(1 - g[:-1], g) == pytest.approx(scaled, rel=1e-9, abs=1e-11)
    small, after, Delta = omega * 0.9 / A, 0.0, np.zeros(n)
    for i in reversed(range(n)):
        Delta[i] = small[i] * np.exp(A * after)
        after += Delta[i]
    assert products(Delta, np.append(np.exp(-A * Delta), 1.0)) == pytest.approx(small, rel=1e-9)
    assert (Delta <= small / (1 - A * small.sum()) * (1 + 1e-9)).all()


@pytest.mark.claim("thm-writes")
@pytest.mark.parametrize("seed", range(12))
def test_the_best_weights_that_are_not_negative(seed):
    """Two independent tasks: a search over all directions, against the prompt without the relevances of one sign."""
    rng = np.random.default_rng(seed)
    counts = [int(n) for n in 10 ** rng.uniform(0, 2, 2)]
    r = rng.normal(size=2)
    r *= 0.9 / np.linalg.norm(r)
    more = {"Sx": np.diag(10 ** rng.uniform(-2, 0, 3)), "sigma": rng.random()}
    dist = PromptDistribution(3, counts, r, **more)

    def risk(angle):
        return optimal_wpgd(dist, np.maximum([np.cos(angle), np.sin(angle)], 0)).risk

    grid = np.linspace(0, np.pi / 2, 60)
    best = grid[np.argmin([risk(a) for a in grid])]
    near = minimize_scalar(risk, bounds=(max(0, best - 0.03), min(np.pi / 2, best + 0.03)), method="bounded")
    found = min(near.fun, risk(0.0), risk(np.pi / 2))
    kept = [optimal_wpgd(PromptDistribution(3, counts, np.maximum(s * r, 0), **more)).risk for s in (1, -1)]
    assert found == pytest.approx(min(kept), abs=1e-7 * dist.M)
    free = optimal_wpgd(dist).risk
    assert dist.M - min(kept) > 0.5 * (dist.M - free) * (1 - 1e-9)
    assert (min(kept) < free + 1e-10 * dist.M) == (r[0] * r[1] >= 0)


@pytest.mark.claim("thm-writes")
def test_a_gate_on_the_write_keeps_one_half_at_worst():
    """Attained: white features, and as much relevance of one sign as of the other."""
    dist = PromptDistribution(4, (3, 7), np.array([1.0, -1.0]) * 0.6 * np.sqrt([(5 + 3) / 3, (5 + 7) / 7]) / 2)
    half = [optimal_wpgd(PromptDistribution(4, (3, 7), np.maximum(s * dist.r, 0))).risk for s in (1, -1)]
    assert half[0] == pytest.approx(half[1], rel=1e-12)
    assert dist.M - half[0] == pytest.approx((dist.M - optimal_wpgd(dist).risk) / 2, rel=1e-10)


class Coupled(nn.Module):
    name, acts_on = "coupled", "scalar"

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(table))

    def forward(self, Z):
        return torch.sigmoid(Z[..., -len(self.table) :] @ self.table)

    def write(self, Z):
        return 1 - self(Z)


@pytest.mark.claim("thm-writes")
def test_a_coupled_head_simulated_in_the_wrong_order():
    """Gates that know the block only come near the best weights, which fall; no forget gate does."""
    dist = PromptDistribution(3, (6, 6), (0.8, 0.2))
    best, forget = optimal_wpgd(dist), optimal_wpgd(dist, "monotone")
    u = 1e-3 * np.array([*best.omega, 1e-9, 1e-9, 1e-9])
    gate = Coupled(np.log1p(-u) - np.log(u))
    layer = GLA(DELIMITED.width(dist), gate, key_width=3, context_width=5, dtype=torch.float64)
    layer.layers[0].construct(torch.tensor(best.P / 1e-3), torch.eye(3, dtype=torch.float64), layer.h)
    Z = DELIMITED(dist.sample(1, torch.Generator(), dtype=torch.float64))
    weights = layer.weights(Z)[0, 0, torch.tensor(~DELIMITED.blocks(dist.counts)[1])].detach().numpy()
    assert weights / 1e-3 == pytest.approx(dist.expand(best.omega), rel=0.02)  # what a thousandth forgets
    found = simulate_risk(layer, dist, 20_000, generator=torch.Generator().manual_seed(0), tokens=DELIMITED)
    assert abs(found.risk - best.risk) < 5 * found.stderr < 0.5 * (forget.risk - best.risk)


TIES = {  # the factor of a write as a function of the gate, and the interval of gates
    "whole": (lambda g: 0 * g + 1, (0.2, 0.9)),
    "coupled": (lambda g: 1 - g, (0.1, 0.95)),
    "step": (lambda g: -np.log(g) / 0.7, (0.3, 0.99)),
    "leaky": (lambda g: 1 - 0.5 * g, (0.05, 1.0)),
    "grows": (lambda g: 0.1 + g**2, (0.05, 1.0)),
}


@pytest.mark.claim("prop-ties")
@pytest.mark.parametrize("tie", TIES)
def test_a_search_finds_no_steeper_fall_and_one_that_is_as_steep(tie):
    """The ratio of two neighbours, maximised over all gates of four tokens and a query, from many starts."""
    phi, (low, high) = TIES[tie]
    grid = np.linspace(low, high, 100_001)  # a monotone function, or one minimum: the grid is right to 1e-8
    bound = phi(grid).max() / (phi(grid) / grid).min()
    rng = np.random.default_rng(0)

    def steeper(g, i):
        """Minus the logarithm of the fall from token i to the next."""
        omega = products(phi(g[:-1]), g)
        return np.log(omega[i + 1] / omega[i])

    for i in range(3):
        starts = rng.uniform(low, high, size=(6, 5))
        found = [minimize(steeper, g, (i,), method="L-BFGS-B", bounds=[(low, high)] * 5).fun for g in starts]
        assert bound * (1 - 1e-3) < np.exp(-min(found)) < bound * (1 + 1e-6)


@pytest.mark.claim("prop-ties")
@given(n=st.integers(1, 6), zero=st.sampled_from([0.4, 0.7, 1.0]), spread=st.floats(0, 3), seed=SEEDS)
def test_a_tie_with_a_zero_gives_every_weighting(n, zero, spread, seed):
    """Also where the zero is no gate of one: each gate by bisection, from the last token to the first."""
    omega = 10 ** np.random.default_rng(seed).uniform(-spread, spread, size=n)
    low, query = 0.25, 0.6

    def phi(g, wanted=0.0):
        return abs(g - zero) * (1 + g) - wanted

    factor = phi(low) * query * low**n / omega.max()
    g, c = np.append(np.zeros(n), query), query
    for i in reversed(range(n)):
        g[i] = brentq(phi, low, zero, (factor * omega[i] / c,), xtol=1e-15)
        c *= g[i]
    # A write is a difference to the zero, known to 1e-16 of one, and no smaller than this:
    least = factor * omega.min()
    assert np.allclose(products(phi(g[:-1]), g) / factor, omega, rtol=1e-14 / least + 1e-12)
    assert g.min() >= low and g.max() <= 1


def maps_risk(dist, Q):
    """Of Q (K, d), diagonal maps of the tasks in an eigenbasis of Sigma; any R; Sx = diag, C = I."""
    n, s = np.array(dist.counts), np.diag(dist.Sx)
    linear = np.einsum("a,ka,k->", s, Q, n * dist.r)
    return (
        dist.M
        - 2 * linear
        + np.einsum("ka,a,k->", Q**2, dist.M + s, n)
        + np.einsum("ka,la,a,k,l,kl->", Q, Q, s, n, n, dist.R)
    )


def wanted(dist):
    """R^key and its maps (K, d), by the normal equations of `maps_risk`."""
    n, s = np.array(dist.counts), np.diag(dist.Sx)
    b = [np.linalg.solve(np.diag((dist.M + v) * n) + v * np.outer(n, n) * dist.R, v * n * dist.r) for v in s]
    return maps_risk(dist, np.array(b).T), np.array(b).T


def of_heads(dist, m, cone, seed):
    """The least risk of m heads found: weights in a cone ("any", "rising", "positive"), best P for them, searched."""
    n, s = np.array(dist.counts), np.diag(dist.Sx)
    forms = [np.diag((dist.M + v) * n) + v * np.outer(n, n) * dist.R for v in s]

    def omega(z):
        z = z.reshape(m, dist.K)
        if cone == "any":
            return z
        return np.cumsum(z**2, 1) if cone == "rising" else z**2

    def risk(z):
        w = omega(z) / (np.linalg.norm(omega(z), axis=1, keepdims=True) + 1e-300)
        gain = 0.0
        for v, A in zip(s, forms, strict=True):
            b = v * w @ (n * dist.r)
            gain += b @ np.linalg.lstsq(w @ A @ w.T, b, rcond=1e-11)[0]
        return dist.M - gain

    rng = np.random.default_rng(seed)
    starts = [minimize(risk, rng.normal(size=m * dist.K), method="L-BFGS-B") for _ in range(6)]
    return min(start.fun for start in starts)


UNEQUAL = {"counts": (2, 9, 40), "sigma": 0.3}


@pytest.mark.claim("thm-heads")
@pytest.mark.parametrize("distinct", [1, 2, 3])
@pytest.mark.parametrize("counts", [(2, 9, 40), (9, 2, 9), (5, 5, 5)])
def test_the_number_of_heads_is_a_count(distinct, counts):
    s = np.append(10.0 ** -np.arange(distinct), 1.0)
    dist = PromptDistribution(len(s), counts, (0.5, 0.6, 0.4), Sx=np.diag(s), sigma=0.3)
    least, _ = wanted(dist)
    need = min(distinct, len(set(counts)))
    assert of_heads(dist, need, "any", 0) == pytest.approx(least, abs=1e-8 * dist.M)
    if need > 1:
        assert of_heads(dist, need - 1, "any", 0) > least + 1e-6 * dist.M
    one = of_heads(dist, 1, "any", 0)
    assert one == pytest.approx(optimal_wpgd(dist).risk, abs=1e-8 * dist.M)


@pytest.mark.claim("thm-heads")
@pytest.mark.parametrize("seen", [(0.2,), (0.2, 3.0), (0.2, 1.0, 3.0), (0.0, 1.0, 1.0)])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_rank_is_full_for_any_correlations(k, seen):
    """R need not be that of blocks: only the eigenvalues that r sees count, each once, and distinct s_l."""
    E = np.linalg.qr(np.random.default_rng(k).normal(size=(5, 5)))[0]
    values = np.array([*seen, 7.0, 0.5, 2.0, 4.0])[:5]
    R, r = (E * values) @ E.T, E[:, : len(seen)].sum(1)
    V = np.stack([np.linalg.solve((1 + M_over_s) * np.eye(5) + R, r) for M_over_s in (0.5, 1.5, 5, 20, 5)[:k]])
    sizes = np.linalg.svd(V)[1]
    assert (sizes > 1e-6 * sizes[0]).sum() == min(k, len(set(seen)))  # the next is rounding


@pytest.mark.claim("thm-heads")
@pytest.mark.parametrize("r, meets", [((0.5, 0.4, -0.5), True), ((0.5, -0.5, 0.4), False), ((0.5, 0.6, 0.4), True)])
def test_two_heads_with_gates_on_the_write(r, meets):
    """Along the sizes a vector of V changes the signs of r at most once: + - + is out of reach, + + - is not."""
    dist = PromptDistribution(2, r=r, Sx=np.diag([1.0, 0.05]), **UNEQUAL)
    least, b = wanted(dist)
    angles = np.linspace(0, 2 * np.pi, 20_000)
    V = np.cos(angles)[:, None] * b[:, 0] / np.linalg.norm(b[:, 0])
    V = V + np.sin(angles)[:, None] * b[:, 1] / np.linalg.norm(b[:, 1])
    assert bool((V > 0).all(1).any()) == meets
    assert of_heads(dist, 3, "positive", 1) == pytest.approx(least, abs=1e-6 * dist.M)
    two = of_heads(dist, 2, "positive", 1)
    assert two == pytest.approx(least, abs=1e-6 * dist.M) if meets else two > least + 1e-4 * dist.M


@pytest.mark.claim("thm-heads")
def test_a_plane_that_only_touches_the_cone_is_met_in_the_limit():
    """V = span(e_1, e_2 - e_3) meets the positive weights in one ray; two heads come as near as you like."""
    far = []
    for epsilon in (0.1, 0.01, 0.001):
        heads = np.array([[1, epsilon, 0], [1, 0, epsilon]]).T
        V = np.array([[1.0, 0, 0], [0, 1, -1]]).T
        far.append(np.linalg.norm(V - heads @ np.linalg.lstsq(heads, V, rcond=None)[0]))
        assert np.abs(np.linalg.lstsq(heads, V, rcond=None)[0]).max() == pytest.approx(1 / epsilon)  # the price
    assert far == pytest.approx([0.0707 * 10.0**-i for i in range(3)], rel=0.02)


def risk_of_named(dist, z, m, gated):
    """Mean over the K questions, of m heads: w (m, K), g (m, K), Q (m, d); independent tasks of one size."""
    K, d = dist.K, dist.d
    w, g, Q = np.split(z, [m * K, 2 * m * K])
    w, g, Q = w.reshape(m, K), g.reshape(m, K), Q.reshape(m, d)
    g = g if gated else np.ones((m, K))
    n, s = dist.counts[0], np.diag(dist.Sx)
    B = np.einsum("ji,jk,ja->kia", w, g, Q)
    linear = n * np.einsum("kka,a->", B, s)
    return dist.M - 2 * linear / K + n * np.einsum("kia,a->", B**2, dist.M + (1 + n) * s) / K


@pytest.mark.claim("thm-named-query")
@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_a_search_over_heads_ends_at_the_stated_risk(m):
    """From many starts, gates of any sign; the search has neither blocks nor projections in it."""
    dist = PromptDistribution(2, (4,) * 3, (0.0,) * 3, Sx=np.diag([1.0, 0.4]), sigma=0.5)
    s, n = np.diag(dist.Sx), 4
    told = n * np.sum(s**2 / (dist.M + (1 + n) * s))
    assert told == pytest.approx(dist.M - optimal_wpgd(PromptDistribution(2, (4,), (1.0,), Sx=dist.Sx, sigma=0.5)).risk)
    rng = np.random.default_rng(m)
    for gated, share in ((True, min(m, 3) / 3), (False, 1 / 3)):
        starts = [
            minimize(lambda z, gated=gated: risk_of_named(dist, z, m, gated), rng.normal(size=m * 8) / 2, tol=1e-10).fun
            for _ in range(4)
        ]
        assert min(starts) == pytest.approx(dist.M - share * told, abs=1e-6 * dist.M)


@pytest.mark.claim("thm-named-query")
@given(seed=SEEDS)
@settings(max_examples=20)
def test_fixed_weights_see_the_mean_of_the_questions(seed):
    rng = np.random.default_rng(seed)
    T = rng.normal(size=(3, 4))
    T /= np.linalg.norm(T, axis=1, keepdims=True)
    R = T @ T.T
    np.fill_diagonal(R, 1.0)
    P, w = rng.normal(size=(2, 2)), rng.normal(size=3)
    asked = [PromptDistribution(2, (3, 1, 5), r, R=R, sigma=0.4) for r in (*(0.999 * R), 0.999 * R.mean(0))]
    risks = [population_risk(dist, P, w) for dist in asked]
    assert np.mean(risks[:3]) == pytest.approx(risks[3], rel=1e-10)


@pytest.mark.claim("prop-normaliser")
def test_a_clip_lowers_the_risk_of_the_best_step():
    """Prompts drawn, labels and all; errors with and without the clip are compared prompt by prompt."""
    dist, rng, changes = PromptDistribution(2, (3, 3), (0.8, 0.2), sigma=0.5), np.random.default_rng(0), []
    best = optimal_wpgd(dist)
    omega = dist.expand(best.omega)
    c = 3 * abs(best.P[0, 0]) * np.linalg.norm(omega) * 2**0.5  # three standard deviations of delta
    for _ in range(40):
        beta = rng.normal(size=(10_000, 2, 2))
        own = np.einsum("bkd,k->bd", beta, dist.r) + (1 - dist.r @ dist.r) ** 0.5 * rng.normal(size=(10_000, 2))
        X, x = rng.normal(size=(10_000, 6, 2)), rng.normal(size=(10_000, 2))
        y = np.einsum("bnd,bnd->bn", X, beta[:, dist.task_index]) + 0.5 * rng.normal(size=(10_000, 6))
        target = (x * own).sum(1) + 0.5 * rng.normal(size=10_000)
        z = omega * np.einsum("bd,de,bne->bn", x, best.P, X)
        f, a = (z * y).sum(1), np.minimum(1, c / np.abs(z.sum(1)))
        changes.append((target - a * f) ** 2 - (target - f) ** 2)
    changes = np.concatenate(changes)
    assert changes.mean() < -5 * changes.std() / len(changes) ** 0.5  # about nine


@pytest.mark.claim("prop-normaliser")
@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_one_example_by_integration(sigma):
    """d = 1: below the step for large c, above it for small ones, and the same in the limit."""
    x = np.linspace(0, 10, 601)
    chance = np.exp(-(x**2) / 2) * np.sqrt(2 / np.pi) * (x[1] - x[0])
    chance[0] /= 2
    p, query, example = 1 / (3 + sigma**2), x[:, None] ** 2, x**2

    def risk(c):
        a = np.minimum(1, c / np.maximum(p * np.sqrt(query * example), 1e-300))
        square = p**2 * query * example * (example + sigma**2)
        return chance @ (query + sigma**2 - 2 * a * p * query * example + a**2 * square) @ chance

    step = optimal_wpgd(PromptDistribution(1, (1,), (1.0,), sigma=sigma)).risk
    assert risk(1e3) == pytest.approx(step, rel=1e-8)
    large = np.array([risk(c) for c in p * np.array([6.0, 8, 12, 16])])
    assert (large < step).all() and (np.diff(large) > 0).all()
    assert risk(0.1 * p) > step + 0.01


@pytest.mark.claim("prop-forgetting-writes")
@given(past=st.integers(1, 8), size=st.integers(1, 8), A=st.floats(0.05, 5), log_step=st.floats(-4, 1), seed=SEEDS)
def test_what_a_step_takes_from_the_past_the_present_gets(past, size, A, log_step, seed):
    """By products of gates, factor by factor; from either end; and both bounds are met or neared."""
    rng = np.random.default_rng(seed)
    Delta = 10**log_step * rng.exponential(size=past + size) * (rng.random(past + size) < 0.8)
    for steps in (Delta, Delta[::-1]):
        omega = products(steps, np.append(np.exp(-A * steps), 1.0))
        before = products(steps[:past], np.append(np.exp(-A * steps[:past]), 1.0)).sum()
        ell, later = A * steps[past:].sum(), A * omega[past:].sum()
        assert omega[:past].sum() == pytest.approx(np.exp(-ell) * before, rel=1e-12, abs=1e-300)
        assert -np.expm1(-ell) * (1 - 1e-12) <= later <= ell * (1 + 1e-12)
        if A * before > 1e-6:  # the share of the past, for a past that weighs 1 / A
            share = np.exp(-ell) / (np.exp(-ell) + later)
            assert np.exp(-ell) / (np.exp(-ell) + ell) * (1 - 1e-12) <= share <= np.exp(-ell) * (1 + 1e-12)
        g = np.exp(-A * steps)
        coupled = products(1 - g, np.append(g, 1.0))[past:].sum()
        assert coupled == pytest.approx(1 - g[past:].prod(), abs=1e-12)
        assert products(np.where(np.arange(past + size) < past, steps, 0.0), np.append(g, 1.0))[past:].sum() == 0
    ell, many = 10**log_step, 4000
    equal = np.full(many, ell / many / A)
    assert A * products(equal[:1] * many, np.ones(2)).sum() == pytest.approx(ell, rel=1e-12)
    neared = A * (equal * np.exp(-A * (equal.sum() - equal.cumsum()))).sum()
    assert 0 <= neared + np.expm1(-ell) <= 2 * ell**2 / many  # z / (1 - e^-z) is 1 + z/2 and less than z more

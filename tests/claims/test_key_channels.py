"""One spare key channel: which weights of their own in each direction it reaches, and its exact price."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from glalib import GLA, PromptDistribution, Prompts, optimal_wpgd
from glalib.gates import weights_to_gates
from glalib.layout import Layout

SEEDS = st.integers(0, 2**32 - 1)


def norm(matrix):
    return np.linalg.norm(matrix, 2)


def pair(w, theta):
    """U, V of the statement, entry by entry, with the products written out."""
    k = len(w)
    U, V = np.zeros((2, k, k + 1))
    for a in range(k):
        for c in range(k + 1):
            U[a, c] = 1 / (theta[c] - w[a])
            residue = -np.prod(w[a] - theta) / np.prod(w[a] - np.delete(w, a))
            V[a, c] = residue * np.prod(theta[c] - w) / np.prod(theta[c] - np.delete(theta, c)) / (theta[c] - w[a])
    return U, V


@pytest.mark.claim("prop-channel-count")
@given(k=st.integers(1, 6), seed=SEEDS)
def test_one_spare_channel_has_any_distinct_ratios(k, seed):
    rng = np.random.default_rng(seed)
    w = rng.permutation(np.cumsum(0.2 + rng.random(k)) * rng.choice([1, -1]) + rng.choice([1.2, -0.2, 0.05]))
    theta = np.append(0, np.cumsum(0.2 + rng.random(k)))
    theta /= theta[-1]
    # A weight on a gate value needs no spare channel and is no part of the formula.
    if np.abs(np.subtract.outer(w, theta)).min() < 1e-3:
        return
    U, V = pair(w, theta)
    size = np.linalg.norm(U) * np.linalg.norm(V)
    assert np.abs(U @ V.T - np.eye(k)).max() < 1e-12 * size
    assert np.abs(U * theta @ V.T - np.diag(w)).max() < 1e-12 * size


@pytest.mark.claim("prop-channel-count")
@given(k=st.integers(1, 4), seed=SEEDS)
@settings(max_examples=60)
def test_any_two_maps_by_a_border_of_one(k, seed):
    """The proof's border: not diagonal, not symmetric, with complex eigenvalues too."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(2, k, k))
    Z, f = np.linalg.solve(X + Y, X), rng.normal(size=k)
    theta = np.linspace(0, 1, k + 1)
    wanted = np.poly(theta)
    z = theta.sum() - np.trace(Z)
    own = np.convolve([1, -z], np.poly(Z))  # minus g^T adj(x - Z) f is what is left
    adjugate, power = [], np.eye(k)
    for coefficient in np.poly(Z)[1:]:  # Faddeev and LeVerrier
        adjugate.append(power @ f)
        power = Z @ power + coefficient * np.eye(k)
    adjugate = np.array(adjugate)
    if np.linalg.cond(adjugate) > 1e6 or np.linalg.cond(X + Y) > 1e4:
        return
    g = np.linalg.solve(adjugate, (own - wanted)[2:])
    bordered = np.block([[Z, f[:, None]], [g[None], np.array([[z]])]])
    values, G = np.linalg.eig(bordered)
    if np.linalg.cond(G) > 1e6:
        return
    assert np.abs(np.sort(values.real) - theta).max() < 1e-5 and np.abs(values.imag).max() < 1e-5
    U, V = (X + Y) @ G.real[:k], np.linalg.inv(G.real)[:, :k].T
    size = norm(U) * norm(V)
    assert np.abs(U * values.real @ V.T - X).max() < 1e-10 * size  # gates of the first task
    assert np.abs(U @ V.T - (X + Y)).max() < 1e-10 * size  # all open for the second


@pytest.mark.claim("prop-channel-count")
@given(k=st.integers(1, 5), data=st.data(), seed=SEEDS)
def test_channels_of_an_exact_pair(k, data, seed):
    """Groups that hold each ratio once; and the rank that equal ratios leave, for any gates."""
    rng = np.random.default_rng(seed)
    ratios = rng.choice([-1.0, -2.0, -0.5], size=k)
    most = max(np.sum(ratios == ratio) for ratio in ratios)
    w = 1 / (1 + 0.3 * ratios)  # of b(1) to b(1) + t (b(2) - b(1)), t = 0.3
    spare, left = 0, list(range(k))
    while left:
        group = [left[int(np.flatnonzero(w[left] == value)[0])] for value in set(w[left])]
        U, V = pair(w[group], np.linspace(0, 1, len(group) + 1))
        assert np.abs(U @ V.T - np.eye(len(group))).max() < 1e-10 * norm(U) * norm(V)
        spare, left = spare + 1, [a for a in left if a not in group]
    assert spare == most
    m = data.draw(st.integers(k, 2 * k))
    U, V, gates = rng.normal(size=(k, m)), rng.normal(size=(k, m)), 0.1 + rng.random(m)
    assert np.linalg.matrix_rank(U * gates @ V.T) >= 2 * k - m


def key_weights(dist):
    n, M, s = np.array(dist.counts), dist.M, np.diag(dist.Sx)
    b = [v * np.linalg.inv((M + v) * np.eye(dist.K) + v * dist.R * n) @ dist.r for v in s]
    return np.stack(b, axis=1), M - sum(v * (n * dist.r) @ part for v, part in zip(s, b, strict=True))


@pytest.mark.claim("prop-channel-count", "prop-beyond-wpgd")
@pytest.mark.parametrize(
    "counts, r, s, gain", [((1, 60), (0.8, 0.6), (1, 0.1), 0.00934), ((2, 9), (0.6, -0.5), (1, 0.4, 0.1), 0.00131)]
)
def test_a_layer_of_one_spare_channel_has_the_key_sides_own_optimum(counts, r, s, gain):
    """Its maps, read off predictions for unit features and labels, are the minimiser; so is its risk."""
    d = len(s)
    dist = PromptDistribution(d, counts, r, Sx=np.diag(s))
    b, least = key_weights(dist)
    assert ((b[0] * (b[1] - b[0])) < 0).all()  # every direction turns
    theta = np.linspace(0, 1, d + 1)
    U, V = pair(b[0] / b[1], theta)
    P_q = np.diag(b[1] / s) @ U
    per_token = [Layout(delimiters=True).weights(dist, row) for row in np.stack([theta, np.ones(d + 1)], axis=1)]
    gates = np.stack([weights_to_gates(row) for row in per_token], axis=-1)
    layer = GLA.from_matrices(P_q, V, gates, "key")
    assert layer.key_width == d + 1
    B = np.zeros((dist.n, d, d))
    for i in range(dist.n):
        for a in range(d):
            x, y = torch.zeros(1, dist.n, d, dtype=torch.float64), torch.zeros(1, dist.n, dtype=torch.float64)
            x[0, i, a] = y[0, i] = 1
            zeros = torch.zeros(1, dist.K + 1, d, dtype=torch.float64)
            query = torch.eye(d, dtype=torch.float64)[None]
            prompts = Prompts(x, y, query, zeros[:, 0], zeros[:, 1:], zeros[:, 0], dist.counts)
            B[i, :, a] = layer(Layout(delimiters=True)(prompts), queries=d)[0].detach()
    size = norm(P_q) * norm(V)
    wanted = np.stack([np.diag(row / s) for row in b])[dist.task_index]
    assert np.abs(B - wanted).max() < 1e-12 * size
    # The risk of any maps, one pair of examples at a time.
    half, risk = np.sqrt(np.diag(s)), dist.M
    Q = half @ B @ half
    R, r = dist.R[np.ix_(dist.task_index, dist.task_index)], dist.r[dist.task_index]
    for i in range(dist.n):
        risk += -2 * r[i] * np.trace(dist.Sx @ Q[i]) + np.trace(Q[i] @ (dist.M * np.eye(d) + dist.Sx) @ Q[i].T)
        risk += sum(R[i, l] * np.trace(Q[i] @ dist.Sx @ Q[l].T) for l in range(dist.n))
    assert risk == pytest.approx(least, rel=1e-9)
    assert (optimal_wpgd(dist).risk - least) / dist.M == pytest.approx(gain, rel=0.01)


def best_fit(steps, m, seed):
    """The least error found of m channels for these steps, every weight free; and the size of its weights."""
    T = torch.diag_embed(torch.tensor(steps, dtype=torch.float64))
    K, k, draw = len(T), T.shape[1], torch.Generator().manual_seed(seed)
    shapes = (k, m), (k, m), (K, m)
    free = [torch.randn(s, generator=draw, dtype=torch.float64).requires_grad_() for s in shapes]
    search = torch.optim.LBFGS(free, max_iter=200, line_search_fn="strong_wolfe", history_size=20)

    def loss():
        search.zero_grad()
        value = ((torch.einsum("ac,kc,bc->kab", free[0], free[2] ** 2, free[1]) - T) ** 2).sum()
        value.backward()
        return value

    search.step(loss)
    return loss().item()


@pytest.mark.claim("prop-channel-count")
def test_steps_all_around_take_two_channels_a_direction():
    """Proved; here as seen: three channels stay far away, steps in a half-plane are met to rounding."""
    around, half = ((1, 0), (-0.5, 0.8), (-0.5, -0.8)), ((1, 0), (-0.5, 0.8), (0.1, 0.9))
    assert min(best_fit(half, 3, seed) for seed in range(2)) < 1e-8
    assert min(best_fit(half, 2, seed) for seed in range(2)) > 1e-2
    assert min(best_fit(around, 3, seed) for seed in range(3)) > 1e-2


@pytest.mark.claim("prop-channel-count")
@given(k=st.integers(1, 5), seed=SEEDS)
def test_the_determinant_is_seen_from_every_point(k, seed):
    """The identity of part 4: at x = -p_c y one term is left, a product of what the point c sees."""
    rng = np.random.default_rng(seed)
    U, V = rng.normal(size=(2, k, k + 1))
    p, y = rng.random((k + 1, 3)), rng.normal(size=3)
    for c in range(k + 1):
        minors = np.linalg.det(np.delete(U, c, 1)) * np.linalg.det(np.delete(V, c, 1))
        whole = np.linalg.det(U * ((p - p[c]) @ y) @ V.T)
        assert whole == pytest.approx(minors * np.prod(np.delete(p - p[c], c, 0) @ y), rel=1e-6, abs=1e-9)


def chebyshev(k, eps):
    t = (1 - np.cos(np.pi * np.arange(k + 1) / k)) / 2
    U, V = np.ones((2, k, k + 1))
    for c in range(k + 1):
        for i in range(k):
            U[i, c] = eps**i * np.prod(t[c] - t[1 : i + 1])
            V[i, c] = eps**-i * np.prod(t[c] - t[i + 2 :]) / np.prod(t[c] - np.delete(t, c))
    balance = np.sqrt(np.linalg.norm(V, axis=0) / np.linalg.norm(U, axis=0))
    return U * balance, V / balance, t


def bound(k, e):
    return 2 * (1 - e) ** k * (4 / e) ** (k - 1) if k > 1 else 2 * (1 - e)


@pytest.mark.claim("prop-one-spare-price")
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_constant_is_attained(k):
    U, V, t = chebyshev(k, 1e-3)
    assert norm(U * t @ V.T - np.eye(k)) < 1e-14 * norm(U) * norm(V)
    assert 1 - 1e-6 < norm(U) * norm(V) / bound(k, norm(U @ V.T)) < 1.01


@pytest.mark.claim("prop-one-spare-price")
@given(k=st.integers(2, 5), eps=st.floats(-2, -0.3), shake=st.floats(0, 1), seed=SEEDS)
@example(k=2, eps=-3.0, shake=2.0, seed=0)  # within a hundredth of the bound
@example(k=3, eps=-2.5, shake=2.0, seed=0)
@settings(max_examples=100)
def test_no_reversal_is_cheaper(k, eps, shake, seed):
    rng = np.random.default_rng(seed)
    U, V, t = chebyshev(k, 10**eps)
    by = 0.1 / (norm(U) * norm(V)) ** shake
    U, V = (X * (1 + by * rng.normal(size=X.shape)) for X in (U, V))
    t = np.sort(np.clip(t + by * rng.normal(size=k + 1), 0, 1))
    if np.linalg.cond(V * t @ U.T) > 1e10:
        return
    V = np.linalg.solve(V * t @ U.T, V)
    e, size = norm(U @ V.T), norm(U) * norm(V)
    if e < 1 and norm(U * t @ V.T - np.eye(k)) < 1e-8:
        assert size >= bound(k, e) * (1 - 1e-6)
    # The three steps of the proof, each by itself.
    u, v = (np.linalg.svd(X)[1] for X in (U, V))
    assert all(u[i] * v[k - i] <= e + 1e-12 * size for i in range(1, k))
    minors = [np.linalg.det(np.delete(U, c, 1)) * np.linalg.det(np.delete(V, c, 1)) for c in range(k + 1)]
    assert np.abs(minors).sum() <= np.prod(u * v) * (1 + 1e-5)  # rounding at sizes up to 1e11


def bound_of_a_layer(k, delta, lowest, eta):
    return delta * lowest * (2 - eta) * (2 * (2 - eta) / eta) ** (k - 1)


@pytest.mark.claim("prop-one-spare-price")
@given(k=st.integers(2, 3), share=st.floats(0.05, 0.95), K=st.integers(2, 4), seed=SEEDS)
def test_a_layer_pays_as_much(k, share, K, seed):
    """Weights that turn, a preconditioner of rank k, errors of both kinds."""
    rng = np.random.default_rng(seed)
    omega = rng.normal(size=K)
    steps = np.diff(omega, prepend=0)
    if steps.min() > -0.1 or steps.max() < 0.1:
        return
    up, down = (np.cumsum(x.clip(0, None)) for x in (steps, -steps))
    nu, delta = max(up[-1], down[-1]), min(steps.max(), -steps.min())
    A = np.linalg.qr(rng.normal(size=(k, k)))[0] * rng.uniform(1, 2, size=k)
    lowest = np.linalg.svd(A)[1][-1]
    U, V, t = chebyshev(k, share * delta * lowest / (4 * down[-1] * norm(A)))
    P_q = nu * A @ U
    gates = (up[:, None] * t + down[:, None] * (1 - t)) / nu
    size = norm(P_q) * norm(V)
    worst = max(norm(P_q * row @ V.T - weight * A) for row, weight in zip(gates, omega, strict=True))
    eta = 4 * (worst + 1e-13 * size) / lowest / delta
    assert eta < 2 or size > 1e12  # the error is the limit's own, not rounding
    if eta < 2:
        assert size >= bound_of_a_layer(k, delta, lowest, eta)


@pytest.mark.claim("prop-one-spare-price")
@pytest.mark.parametrize("k", [2, 3, 4])
def test_how_near_a_layer_comes(k):
    """Weights (1, 0). The proof allows errors at all tasks, Chebyshev's layer errs at one: 4^(k-1) times the bound."""
    A = np.linalg.qr(np.random.default_rng(k).normal(size=(k, k)))[0]
    U, V, t = chebyshev(k, 1e-3)
    errors = [norm(A @ U * row @ V.T - weight * A) for row, weight in ((t, 1.0), (np.ones(k + 1), 0.0))]
    quotient = norm(A @ U) * norm(V) / bound_of_a_layer(k, 1.0, 1.0, 4 * max(errors))
    assert quotient == pytest.approx(4 ** (k - 1), rel=0.02)

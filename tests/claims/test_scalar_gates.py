"""Scalar gates: the weights they reach, the exact optimum over them, and what delimiters and context add."""

import itertools

import numpy as np
import pytest
import torch
from brute import minimise
from cases import correlations, covariance, distributions
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, lsq_linear

from glalib import GLA, PromptDistribution, optimal_wpgd, population_risk, simulate_risk, stationary_points, wpgd_step
from glalib.fixed_points import fixed_points
from glalib.gates import gates_to_weights
from glalib.layout import DELIMITED, Layout
from glalib.optima import monotone_points
from glalib.risk import h2

PANELS = {"a": (0, 1), "b": (0.2, 0.8), "c": (0.5, 0.5), "d": (0.8, 0.2)}
seeds = st.integers(0, 2**32 - 1)


def weights_of(counts, a, b, c):
    """The weights (n,) of the examples, read off the gates of all tokens."""
    gates = np.concatenate([[*[a_k] * n_k, b_k] for n_k, a_k, b_k in zip(counts, a, b, strict=True)] + [[c]])
    example = np.concatenate([[True] * n_k + [False] for n_k in counts])
    return gates_to_weights(gates)[example]


def in_order(r):
    return any(s * r[0] >= 0 and (np.diff(s * np.asarray(r)) >= 0).all() for s in (1, -1))


def layer(dist, P, gates, tokens):
    """A module that computes these gates, one for each kind of token in that layout."""
    given, context = gates[tokens.kinds(dist.counts)], tokens.width(dist) - dist.d - 1
    return GLA.from_matrices(P, np.eye(dist.d), given, context_width=context).with_computed_gates(dist, tokens)


# Theorem 4.


@pytest.mark.claim("thm-scalar-gate")
@settings(max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), seeds)
def test_a_layer_that_reads_context_has_exactly_these_weights(counts, seed):
    rng, K = np.random.default_rng(seed), len(counts)
    a, b, c = rng.uniform(0.05, 0.95, K), rng.uniform(0.05, 0.95, K), rng.uniform(0.05, 0.95)
    expected = np.concatenate(
        [
            [a[k] ** (n - j) * b[k] * c * np.prod([a[l] ** counts[l] * b[l] for l in range(k + 1, K)])
             for j in range(1, n + 1)]
            for k, n in enumerate(counts)
        ]
    )  # fmt: skip
    assert weights_of(counts, a, b, c) == pytest.approx(expected, rel=1e-12)
    assert (np.diff(expected) > 0).all() and 0 < expected[0] and expected[-1] < 1

    dist = PromptDistribution(2, counts, np.full(K, 0.9 / K**0.5))
    basis, _ = np.linalg.qr(rng.normal(size=(2 * K + 3, 2 * K + 3)))
    context, P = basis[: 2 * K + 1], rng.normal(size=(2, 2))
    drawn = dist.sample(4, torch.Generator().manual_seed(seed), queries=2, dtype=torch.float64)
    tokens = Layout(delimiters=True, context=context)
    ours = layer(dist, P, np.array([*a, *b, c]), tokens)(tokens(drawn), queries=2)
    wanted = wpgd_step(drawn.x, drawn.y, drawn.x_query, P, expected)
    assert (ours - wanted).norm() <= 1e-12 * wanted.norm()  # logits through an orthogonal system


@pytest.mark.claim("thm-scalar-gate")
@settings(max_examples=60)
@given(distributions(max_count=8), seeds)
def test_block_averages_are_ordered_and_never_worse(dist, seed):
    rng = np.random.default_rng(seed)
    omega = np.sort(rng.random(dist.n) ** rng.integers(1, 12))
    averages = np.array([part.mean() for part in np.split(omega, np.cumsum(dist.counts)[:-1])])
    assert (np.diff(averages) >= 0).all()
    P = rng.normal(size=(dist.d, dist.d))
    before, after = population_risk(dist, P, omega), population_risk(dist, P, averages)
    # Only |omega|^2 changes; its factor is M tr Q^T Q + tr Sigma Q^T Q, which is positive unless Q = 0.
    QQ = dist.Sx @ P.T @ dist.Sx @ P
    factor = dist.M * np.trace(QQ) + np.trace(dist.C @ QQ @ dist.Sx)
    lower = sum(np.sum((part - part.mean()) ** 2) for part in np.split(omega, np.cumsum(dist.counts)[:-1]))
    assert before - after == pytest.approx(factor * lower, rel=1e-9, abs=1e-12 * (before + dist.n**2 * factor))
    assert factor > 0 or np.linalg.norm(dist.Sx @ P @ dist.Sx) < 1e-12


@pytest.mark.claim("thm-scalar-gate", "prop-monotone-optimum")
@settings(max_examples=40)
@given(distributions(max_count=8), seeds)
def test_no_gates_are_better_than_the_monotone_optimum_and_some_come_near(dist, seed):
    assume(np.abs(dist.r).max() > 1e-3)
    rng, K = np.random.default_rng(seed), dist.K
    best = optimal_wpgd(dist, "monotone")
    for _ in range(20):
        a, b = (1 - 10 ** rng.uniform(-6, 0, K) for _ in range(2))
        if (omega := weights_of(dist.counts, a, b, rng.random())).any():
            assert optimal_wpgd(dist, omega).risk >= best.risk - 1e-10 * dist.M
    w = best.omega / best.omega[-1]
    later = np.append(w[1:], 1.0)
    b = np.clip(np.where(later > 0, w / np.where(later > 0, later, 1), 1.0), 1e-7, 1 - 1e-7)
    near = weights_of(dist.counts, np.full(K, 1 - 1e-7), b, 1 - 1e-7)
    assert (np.diff(near) > 0).all()
    assert optimal_wpgd(dist, near).risk == pytest.approx(best.risk, abs=1e-4 * dist.M)


@pytest.mark.claim("thm-scalar-gate")
def test_the_infimum_is_attained_by_lone_examples_only():
    """Three lone examples of strictly increasing weights: gates of t close to 1. Otherwise strictly above it."""
    dist = PromptDistribution(4, (1, 1, 1), (0.2, 0.4, 0.7))
    w, t = 0.9 * optimal_wpgd(dist, "monotone").omega, 0.95
    omega = weights_of((1, 1, 1), (t,) * 3, (w[0] / w[1] / t, w[1] / w[2] / t, w[2] / t), t)
    assert omega == pytest.approx(w, rel=1e-13)
    assert optimal_wpgd(dist, omega).risk == pytest.approx(optimal_wpgd(dist).risk, rel=1e-14)
    pair = PromptDistribution(4, (1, 2, 1), (0.2, 0.4, 0.7))
    for t in (0.9, 0.99, 0.999):
        w = 0.9 * optimal_wpgd(pair, "monotone").omega
        omega = weights_of((1, 2, 1), (t,) * 3, (w[0] / w[1] / t, w[1] / w[2] / t, w[2] / t), t)
        assert optimal_wpgd(pair, omega).risk > optimal_wpgd(pair).risk + 1e-9


@pytest.mark.claim("thm-scalar-gate", "asm-order")
@settings(max_examples=80)
@given(st.integers(1, 5), st.integers(1, 20), st.sampled_from(["any", "sorted", "flipped", "ties"]), seeds)
def test_for_equal_independent_tasks_the_optimum_is_reached_just_if_relevance_is_in_order(K, size, kind, seed):
    rng = np.random.default_rng(seed)
    r = rng.normal(size=K)
    if kind != "any":
        r = np.sort(np.abs(r)) * (-1 if kind == "flipped" else 1)
    if kind == "ties":
        r = np.round(r)
    r *= rng.random() / max(1.0, np.linalg.norm(r))
    assume(min(np.abs(np.diff(np.append(0, r))), default=1) > 1e-4 or kind != "any")  # no near-ties
    d = int(rng.integers(1, 6))
    options = {"Sx": covariance(rng, d, max(1, d - 1), 1), "C": covariance(rng, d, d, 1), "sigma": rng.random()}
    dist = PromptDistribution(d, (size,) * K, r, **options)
    excess = optimal_wpgd(dist, "monotone").risk - optimal_wpgd(dist).risk
    assert excess >= -1e-12 * dist.M
    if in_order(r):
        assert excess <= 1e-12 * dist.M
    else:  # by the share of the gain that is lost, whatever its size
        gain = dist.M - optimal_wpgd(dist).risk
        assert excess > 1e-10 * gain or excess == pytest.approx(0, abs=1e-15 * dist.M)
        lost = max(np.sum(np.maximum(isotonic_regression(s * r).x, 0) ** 2) for s in (1, -1)) / (r @ r)
        assert excess / gain == pytest.approx(1 - lost, abs=1e-11 * dist.M / gain)
        assert lost < 1


# The exact optimum over the cone.


def in_cone(dist, h, sign):
    """w_C(h) by bounded least squares on the increments: not the solver of the package."""
    counts, L = np.array(dist.counts, float), np.tril(np.ones((dist.K, dist.K)))
    A = np.linalg.cholesky(h * counts[:, None] * dist.R * counts + np.diag(counts)).T
    target = np.linalg.solve(A.T, sign * counts * dist.r)
    size = np.linalg.norm(target)
    found = lsq_linear(A @ L, target / size, bounds=(0, np.inf), method="bvls", tol=1e-15, lsq_solver="exact")
    return L @ found.x


def remaining_signs(dist):
    sums = np.cumsum((np.array(dist.counts) * dist.r)[::-1])
    return [s for s in (1, -1) if (s * sums).max() > 1e-6 * np.abs(sums).max()]


def ratio(dist, w):
    _, square, wRw = dist.moments(w)
    return wRw / square


@pytest.mark.claim("prop-monotone-optimum")
@settings(max_examples=25)
@given(distributions(max_count=300), st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_map_of_the_cone_does_not_decrease(dist, hs):
    assume(np.abs(dist.r).max() > 1e-3)
    for sign in remaining_signs(dist):
        minimisers = [in_cone(dist, h, sign) for h in sorted(hs)]
        assert all(w.any() and w[0] >= 0 and (np.diff(w) >= 0).all() for w in minimisers)
        units = [w / abs(dist.moments(w)[0]) for w in minimisers]  # r^T u = 1
        shared = np.array([dist.moments(u)[2] for u in units])
        own = np.array([dist.moments(u)[1] for u in units])
        # The exchange argument. Least squares is good to rounding times its condition, a few thousand here.
        assert (np.diff(shared) <= 1e-7 * (shared[:-1] + own[:-1])).all()
        assert (np.diff(own) >= -1e-7 * (own[:-1] + shared[:-1])).all()


@pytest.mark.claim("prop-monotone-optimum")
@settings(max_examples=20)
@given(distributions(max_K=3, max_count=50))
def test_the_optimum_over_the_cone_beats_a_grid_of_all_its_directions(dist):
    assume(np.abs(dist.r).max() > 1e-3)
    best = optimal_wpgd(dist, "monotone")
    ratios = np.linspace(0, 1, 41)
    tails = itertools.product(ratios, repeat=dist.K - 1)
    grid = [optimal_wpgd(dist, np.append(np.cumprod(tail)[::-1], 1.0)).risk for tail in tails]
    assert best.risk <= min(grid) + 1e-11 * dist.M
    assert min(grid) <= best.risk + 0.02 * dist.M  # the mesh of the grid
    assert (np.diff(best.omega) >= -1e-12).all() and best.omega[0] >= -1e-12


@pytest.mark.claim("prop-monotone-optimum")
@settings(max_examples=40)
@given(distributions(max_count=300))
def test_every_point_of_the_cone_is_a_fixed_point_of_both_half_problems(dist):
    assume(np.abs(dist.r).max() > 1e-3)
    for sign in remaining_signs(dist):
        points = monotone_points(dist, sign * dist.r)
        assert points
        for point in points:
            again = in_cone(dist, h2(dist, point.gamma), sign)
            assert 1 + ratio(dist, again) == pytest.approx(point.gamma, rel=1e-7)
            assert np.sign(np.trace(dist.C @ dist.Sx @ point.P @ dist.Sx)) == sign
        # At most five eigenvalues: Theorem B on the cone.
        assert len(points) == 1


def dangerous(rng):
    """A large task before a few single ones, one strong direction among many weak: several points are common."""
    d, K = int(rng.integers(60, 400)), int(rng.integers(2, 5))
    r = rng.random(K) * np.r_[1.0, 1.0, np.full(K - 2, 0.3)]
    counts = [int(10 ** rng.uniform(0.7, 4)), *rng.integers(1, 4, K - 1).tolist()]
    R = np.eye(K)
    if rng.random() < 0.5:
        R[0, -1] = R[-1, 0] = rng.uniform(-0.3, 0.3)
    r *= 0.8 / np.sqrt(r @ np.linalg.solve(R, r))
    Sx = np.diag([1.0] + [10 ** rng.uniform(-3, -1.5)] * (d - 1))
    return PromptDistribution(d, counts, r, R=R, Sx=Sx)


@pytest.mark.claim("prop-monotone-optimum")
def test_below_nine_there_is_one_fixed_point_on_the_cone():
    rng, several, below = np.random.default_rng(0), 0, 0
    for _ in range(200):
        dist = dangerous(rng)
        s, M, Lam = dist.signal_spectrum[0], dist.M, 1 + dist.task_spectrum[0]
        A = (M + Lam.min() * s.min()) * (M + Lam.max() * s.max())
        B = (M + Lam.min() * s.max()) * (M + Lam.max() * s.min())
        bound = 4 * ((A**0.5 - B**0.5) / (A**0.5 + B**0.5)) ** 2
        for sign in remaining_signs(dist):
            points = monotone_points(dist, sign * dist.r)
            several += len(points) > 1
            below += A < 9 * B
            assert len(points) == 1 or A >= 9 * B
            for point in points:
                for step in (1e-5, -1e-5):  # one-sided slopes, to the step and to rounding over it
                    there = ratio(dist, in_cone(dist, h2(dist, point.gamma * (1 + step)), sign))
                    assert (1 + there - point.gamma) / (point.gamma * step) <= bound + 1e-2
    assert several > 10 and below > 20


def crossing(gamma, n, s, M):
    """A task of n examples before a single one, independent, with shares of r that make gamma a fixed point."""
    t = s / (M + gamma * s)
    m = np.sum(t**2 * s) / np.sum(t**2)
    sizes, mean = np.array([n, 1.0]), gamma - 1  # of lambda, whose values are the sizes
    u = np.array([mean - 1, n - mean]) / (n - 1)
    r = np.sqrt(u / sizes) * (1 + sizes * m / (M + m))
    sigma = np.sqrt(max(0.0, M - s.sum()))
    return PromptDistribution(len(s), (n, 1), r / np.linalg.norm(r), Sx=np.diag(s), sigma=sigma)


def steepest(dist, gamma):
    """The larger one-sided slope of the cone's map at a fixed point, by differences and the tests' own solver."""
    x = gamma * np.array([1 - 1e-5, 1 + 1e-5])
    F = np.array([1 + ratio(dist, in_cone(dist, h, 1)) for h in h2(dist, x)])
    return ((F - gamma) / (x - gamma)).max()


@pytest.mark.claim("prop-monotone-optimum")
@pytest.mark.parametrize("kappa", [8.5, 8.9, 9.1, 9.8])
def test_nine_is_sharp_on_the_cone(kappa):
    """27 small eigenvalues: one fixed point up to a ratio of nine, three above it; the slope attains its bound."""
    n = 10**8
    delta = 1e4 / (1 + n)
    s = delta * np.array([1.0] + [1 / kappa] * 27)
    dist = crossing(kappa**0.5 / delta, n, s, 1.0)
    A = (1 + 2 * s[1]) * (1 + (1 + n) * s[0])
    B = (1 + 2 * s[0]) * (1 + (1 + n) * s[1])
    assert (A < 9 * B) == (kappa < 9) and A / B > 0.99 * kappa
    points = monotone_points(dist, dist.r)
    assert len(points) == (1 if kappa < 9 else 3)
    middle = min(points, key=lambda point: abs(point.gamma * delta - kappa**0.5))
    bound = 4 * ((A**0.5 - B**0.5) / (A**0.5 + B**0.5)) ** 2
    # Differences of two numbers of relative accuracy 1e-10 at a distance of 1e-5.
    assert steepest(dist, middle.gamma) == pytest.approx(bound, rel=3e-3)
    assert all(point.omega[0] < point.omega[1] for point in points)


@pytest.mark.claim("prop-monotone-optimum")
def test_five_is_sharp_on_the_cone():
    for rank, number in ((5, 1), (6, 3)):
        dist = crossing(9e4, 10**8, np.array([1.0] + [0.003] * (rank - 1)), 300.0)
        assert len(monotone_points(dist, dist.r)) == number
    steep = crossing(1e10, 10**14, np.array([1.0] + [1e-6] * 4), 1e4)
    (only,) = monotone_points(steep, steep.r)
    assert 0.99 < steepest(steep, only.gamma) < 1


@pytest.mark.claim("prop-monotone-optimum")
def test_zero_eigenvalues_count_on_the_cone():
    """Tasks in a plane: Xi < 9 with the non-zero eigenvalues of D R D, one stationary point, three on the cone."""
    angle = np.deg2rad([0, 85, 50, 15])
    joint = np.cos(angle[:, None] - angle)
    Sx = np.diag([1.0] + [1 / 299] * 299)
    dist = PromptDistribution(300, (1000, 600, 3), joint[0, 1:], R=joint[1:, 1:], Sx=Sx)
    s, M, root = dist.signal_spectrum[0], dist.M, np.sqrt(dist.counts)
    zero, *lam = np.linalg.eigvalsh(root[:, None] * dist.R * root)
    assert abs(zero) < 1e-10

    def cross_ratio(low, high):
        a, b = ((M + (1 + low) * s.min()), (M + (1 + low) * s.max()))
        return a * (M + (1 + high) * s.max()) / (b * (M + (1 + high) * s.min()))

    assert cross_ratio(*lam) < 4 and cross_ratio(0.0, lam[1]) > 100
    assert len(stationary_points(dist)) == 1
    assert len(monotone_points(dist, dist.r)) == 3
    x = np.geomspace(1, 1 + lam[1], 2000)
    F = np.array([1 + ratio(dist, in_cone(dist, h, 1)) for h in h2(dist, x)])
    assert np.count_nonzero(np.diff(np.sign(F - x))) == 3  # by another solver, and a scan


@pytest.mark.claim("prop-monotone-optimum")
def test_the_order_can_exchange_the_wells():
    """Three fixed points on the cone and three without it; the deepest are far apart."""
    Sx = np.diag([1.0] + [1 / 299] * 299)
    dist = PromptDistribution(300, (1000, 2, 1), (0.35**0.5, 0.8, 0.1), Sx=Sx)
    points = sorted(monotone_points(dist, dist.r), key=lambda point: point.risk)
    assert [round(point.gamma, 2) for point in points] == [876.03, 11.44, 103.7]
    assert len(stationary_points(dist)) == 3 and stationary_points(dist)[0].gamma < 20
    x = np.geomspace(1, 1 + dist.task_spectrum[0].max(), 1000)
    F = np.array([1 + ratio(dist, in_cone(dist, h, 1)) for h in h2(dist, x)])
    assert np.count_nonzero(np.diff(np.sign(F - x))) == 3  # by another solver, and a scan
    best = optimal_wpgd(dist, "monotone")
    assert best.risk == points[0].risk
    ratios = np.r_[0, np.geomspace(1e-4, 1, 100)]
    grid = [optimal_wpgd(dist, (x * y, y, 1.0)).risk for x in ratios for y in (1.0, 0.9, 0.1)]
    assert best.risk <= min(grid) <= best.risk + 1e-4 * dist.M


@pytest.mark.claim("prop-monotone-optimum")
@pytest.mark.parametrize("r", [(0.5, -0.4, 0.1), (-0.1, -0.6, -0.2), (0.6, 0.2, -0.5)])
def test_both_signs_are_tried(r):
    dist = PromptDistribution(2, (3, 2, 2), r, sigma=0.4)
    assert optimal_wpgd(dist, "monotone").risk == pytest.approx(minimise(dist, "monotone"), abs=1e-7 * dist.M)
    mirror = PromptDistribution(2, (3, 2, 2), -np.array(r), sigma=0.4)
    assert optimal_wpgd(mirror, "monotone").risk == pytest.approx(optimal_wpgd(dist, "monotone").risk, rel=1e-12)


# Isotonic regression.


@pytest.mark.claim("prop-isotonic")
@settings(max_examples=80)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.floats(0, 1), seeds)
def test_independent_tasks_are_isotonic_regression(counts, h, seed):
    rng, n = np.random.default_rng(seed), np.array(counts, float)
    r = rng.normal(size=len(counts)) + rng.choice([0, 0.5])
    r *= 0.9 / np.linalg.norm(r)
    dist = PromptDistribution(3, counts, r)
    for sign in remaining_signs(dist):
        y, v = sign * r / (1 + h * n), n * (1 + h * n)
        expected = np.maximum(isotonic_regression(y, weights=v).x, 0)
        found = in_cone(dist, h, sign)
        # By its definition only up to scale; both are good to rounding times the condition of the counts.
        assert found / found.max() == pytest.approx(expected / expected.max(), abs=1e-8)
        for value in set(expected[expected > 0]):
            pool = expected == value
            assert value == pytest.approx(sign * (n * r)[pool].sum() / v[pool].sum(), rel=1e-10)


@pytest.mark.claim("prop-isotonic")
@settings(max_examples=60)
@given(st.integers(1, 7), st.integers(1, 30), seeds)
def test_the_share_of_the_gain_that_order_leaves(K, size, seed):
    rng = np.random.default_rng(seed)
    r = rng.normal(size=K) + rng.choice([0, 0.5])
    r *= 0.9 / np.linalg.norm(r)
    options = {"Sx": covariance(rng, 4, 4, 2), "C": covariance(rng, 4, 3, 1), "sigma": rng.random()}
    dist = PromptDistribution(4, (size,) * K, r, **options)
    gains = [dist.M - optimal_wpgd(dist, weights).risk for weights in ("monotone", "free")]
    projections = [np.maximum(isotonic_regression(s * r).x, 0) for s in (1, -1)]
    assert gains[0] / gains[1] == pytest.approx(max(p @ p for p in projections) / (r @ r), rel=1e-10)

    r = np.abs(r)
    dist = PromptDistribution(4, (size,) * K, r, **options)
    gained = optimal_wpgd(dist, "uniform").risk - optimal_wpgd(dist, "monotone").risk
    nothing = (np.cumsum(r) / np.arange(1, K + 1) >= r.mean() * (1 - 1e-12)).all()
    assert (gained < 1e-13 * dist.M) == nothing


# Sorted relevance is not enough.


@pytest.mark.claim("prop-unequal-counts")
@settings(max_examples=80)
@given(st.lists(st.integers(1, 500), min_size=2, max_size=5), seeds)
def test_optimal_weights_fall_just_where_the_ratios_say(counts, seed):
    rng, n = np.random.default_rng(seed), np.array(counts, float)
    r = np.sort(rng.random(len(counts))) + 0.05
    r *= 0.9 / np.linalg.norm(r)
    d = int(rng.integers(1, 6))
    dist = PromptDistribution(d, counts, r, Sx=covariance(rng, d, d, 2), sigma=rng.random())
    best = optimal_wpgd(dist)
    h = h2(dist, best.gamma)
    falls = r[1:] / r[:-1] < (1 + h * n[1:]) / (1 + h * n[:-1])
    assert (np.diff(best.omega) < 0).tolist() == falls.tolist()
    excess = optimal_wpgd(dist, "monotone").risk - best.risk
    assert (excess > 1e-14 * dist.M) == falls.any()
    decreasing = PromptDistribution(d, sorted(counts, reverse=True), r, Sx=dist.Sx, sigma=dist.sigma)
    assert optimal_wpgd(decreasing, "monotone").risk == pytest.approx(optimal_wpgd(decreasing).risk, abs=1e-12 * dist.M)


@pytest.mark.claim("prop-unequal-counts")
@pytest.mark.parametrize("n", [(10, 90), (1, 400), (30, 31), (5, 5)])
@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_two_tasks_gain_nothing_just_up_to_the_ratio(n, sigma):
    M = 6 + sigma**2
    edge = (M + 1 + n[1]) / (M + 1 + n[0])
    for factor in (0.97, 1.0, 1.03):
        r = np.array([1.0, max(1.0, factor * edge)])
        dist = PromptDistribution(6, n, 0.9 * r / np.linalg.norm(r), sigma=sigma)
        gained = optimal_wpgd(dist, "uniform").risk - optimal_wpgd(dist, "monotone").risk
        assert (gained < 1e-12 * M) == (r[1] <= edge * (1 + 1e-12))


@pytest.mark.claim("prop-unequal-counts")
@pytest.mark.parametrize("r, sign", [((0.3, 0.4, 0.5), 1), ((0.2, 0.3, 0.6), -1)])
def test_tasks_that_are_alike_break_the_order(r, sign):
    R = np.array([[1, 0, 0], [0, 1, 0.8], [0, 0.8, 1]])
    dist = PromptDistribution(10, (30, 30, 30), r, R=R)
    w = optimal_wpgd(dist).omega
    # By hand: (I + h m R) w = r with h = 1 / (M + 1).
    expected = np.linalg.solve(np.eye(3) + 30 / 11 * R, r)
    assert w == pytest.approx(expected / expected.max(), rel=1e-10)
    assert w[1] < w[0] and np.sign(w[1]) == sign
    assert optimal_wpgd(dist, "monotone").risk > optimal_wpgd(dist).risk + 0.01


@pytest.mark.claim("prop-unequal-counts")
@settings(max_examples=60)
@given(st.lists(st.integers(1, 100), min_size=2, max_size=4), seeds)
def test_noise_restores_a_strict_order(counts, seed):
    rng, K, n = np.random.default_rng(seed), len(counts), np.array(counts, float)
    R, _ = correlations(rng, K, K + 2)
    r = np.cumsum(rng.random(K) + 0.1)
    Sx = covariance(rng, 3, 3, 1)
    for tasks in (np.eye(K), R):
        scaled = 0.9 * r / np.sqrt(r @ np.linalg.solve(tasks, r))
        dist = PromptDistribution(3, counts, scaled, R=tasks, Sx=Sx, sigma=1e4)
        for point in stationary_points(dist):
            assert point.omega[0] > 0 and (np.diff(point.omega) > 0).all()
            assert point.omega == pytest.approx(r / r.max(), abs=1e-2)
        assert optimal_wpgd(dist, "monotone").risk == pytest.approx(optimal_wpgd(dist).risk, rel=1e-13)

    # The noise that is enough for independent tasks: h <= s_+/(M + s_+).
    scaled, top = 0.9 * r / np.linalg.norm(r), np.linalg.eigvalsh(Sx)[-1]
    wanted = max(0, *(scaled[:-1] * n[1:] - scaled[1:] * n[:-1]) / np.diff(scaled))
    variance = max(1e-3, 1.001 * (wanted - 1) * top - np.trace(Sx))
    dist = PromptDistribution(3, counts, scaled, Sx=Sx, sigma=variance**0.5)
    assert all((np.diff(point.omega) > 0).all() for point in stationary_points(dist))


@pytest.mark.claim("prop-unequal-counts")
def test_equal_relevance_is_not_restored_by_noise():
    """Part 4 needs a strict order: with r_1 = r_2 the larger task behind weighs less at any noise."""
    for sigma in (0.0, 10.0, 1000.0):
        best = optimal_wpgd(PromptDistribution(10, (10, 90), (0.5, 0.5), sigma=sigma))
        assert best.omega[1] < best.omega[0]


# Delimiters and context apart.


def cell(dist, g, context, delimiters):
    """Weights (n,) of one of the four kinds of layers, from the gates of all its tokens; g in (0, 1)."""
    K = dist.K
    a = g[:K] if context else np.full(K, g[0])
    b, c = ((g[K : 2 * K], g[-1]) if context else (np.full(K, g[0]), g[0])) if delimiters else (np.ones(K), g[-1])
    return weights_of(dist.counts, a, b, c)


@pytest.mark.claim("prop-delimiters-context")
@settings(max_examples=40)
@given(distributions(max_count=6), seeds)
def test_the_table_of_four_kinds(dist, seed):
    """Modules with and without delimiters and context against the table; every kind is above the monotone optimum."""
    rng, K, n = np.random.default_rng(seed), dist.K, dist.n
    block, i = dist.task_index, np.arange(1, n + 1)
    g = rng.uniform(0.3, 0.95, 2 * K + 1)
    last = np.cumsum(dist.counts)
    P = rng.normal(size=(dist.d, dist.d))
    drawn = dist.sample(3, torch.Generator().manual_seed(seed), dtype=torch.float64)
    a, b = g[:K], g[K : 2 * K]
    inside = a[block] ** (last[block] - i)
    after = np.array([np.prod([a[l] ** dist.counts[l] for l in range(k + 1, K)]) for k in range(K)])
    borders = np.array([np.prod(b[k : K - 1]) for k in range(K)])
    table = {
        (False, False): g[0] ** (n - i),
        (False, True): g[0] ** (n - i + K - 1 - block),
        (True, False): inside * after[block],
        (True, True): inside * (after * borders)[block],
    }
    least = optimal_wpgd(dist, "monotone").risk if dist.r.any() else dist.M
    for (context, delimiters), expected in table.items():
        assert expected[-1] == pytest.approx(1)
        tokens = Layout(delimiters=delimiters, context=context)
        values = g if delimiters else np.append(a, g[-1])
        model = layer(dist, P, values if context else np.full_like(values, g[0]), tokens)
        factor = {
            (False, False): g[0],
            (False, True): g[0] ** 2,
            (True, False): g[-1],
            (True, True): g[-1] * b[-1],
        }[context, delimiters]
        ours = model(tokens(drawn))
        wanted = wpgd_step(drawn.x, drawn.y, drawn.x_query, P, factor * expected)
        assert (ours - wanted).norm() <= 1e-11 * wanted.norm()
        assert optimal_wpgd(dist, expected).risk >= least - 1e-10 * dist.M


def least_risks(dist, fine=(400, 60)):
    """The best of the three smaller kinds, two tasks, on grids: neither, delimiters only, context only."""
    one = np.r_[1 - np.geomspace(1e-5, 1, fine[0]), 1.0]
    two = np.r_[1 - np.geomspace(1e-4, 1, fine[1]), 1.0]
    n1, n2 = dist.counts
    risks = []
    for extra in (0, 1):
        powers = np.r_[np.arange(n1 + n2 - 1, n2 - 1, -1) + extra, np.arange(n2 - 1, -1, -1)]
        risks.append(min(optimal_wpgd(dist, g**powers).risk for g in one))
    decay = [a ** np.arange(n2, -1, -1) for a in two]
    first = [a ** np.arange(n1 - 1, -1, -1) for a in two]
    risks.append(min(optimal_wpgd(dist, np.r_[w[0] * u, w[1:]]).risk for w in decay for u in first))
    return risks


@pytest.mark.claim("prop-delimiters-context")
@pytest.mark.parametrize("panel", PANELS)
def test_the_order_of_the_four_kinds_in_figure_1(panel):
    dist = PromptDistribution(10, (50, 50), PANELS[panel])
    neither, delimiters, context = least_risks(dist)
    both = optimal_wpgd(dist, "monotone").risk
    constant = optimal_wpgd(dist, "constant-gate").risk
    assert constant <= neither + 1e-9 and neither == pytest.approx(constant, abs=1e-4)
    strict = panel in "ab"
    assert both <= context + 1e-9 and context <= neither + 1e-9 and both <= delimiters + 1e-9
    assert (both + 0.01 < context < neither - 0.01) == strict
    assert (delimiters < neither - 1e-3) == strict


@pytest.mark.claim("prop-delimiters-context")
@pytest.mark.parametrize("n, reached", [((7, 1), True), ((7, 2), False), ((1, 1), True), ((1, 5), False)])
def test_context_alone_is_enough_for_lone_examples_only(n, reached):
    """The best weights rise at the second block: context alone has them just if that is one example."""
    dist = PromptDistribution(4, n, (0.2, 0.9))
    best = optimal_wpgd(dist, "monotone")
    assert best.omega[0] < best.omega[1]
    if reached:
        omega = weights_of(n, (1.0, best.omega[0] / best.omega[1]), (1, 1), 1.0)
        assert optimal_wpgd(dist, omega).risk == pytest.approx(best.risk, rel=1e-12)
    else:
        assert least_risks(dist, (10, 120))[2] > best.risk + 1e-3


@pytest.mark.claim("prop-delimiters-context")
def test_delimiters_without_context_can_help_and_hurt():
    one = np.r_[1 - np.geomspace(1e-5, 1, 3000), 1.0]

    def least(dist, delimiters):
        block = dist.task_index
        powers = np.arange(dist.n - 1, -1, -1) + delimiters * (dist.K - 1 - block)
        return min(optimal_wpgd(dist, g**powers).risk for g in one)

    helped = PromptDistribution(10, (50, 50), (0, 1))
    assert least(helped, True) < least(helped, False) - 0.01
    hurt = PromptDistribution(10, (30, 3, 3, 3), (0.1, 0.3, 0.3, 0.3))
    assert least(hurt, True) > least(hurt, False) + 1e-3


@pytest.mark.claim("prop-delimiters-context", "thm-scalar-gate")
@pytest.mark.parametrize("r, counts, rate", [
    ((0, 1), (50, 50), 2), ((0.2, 0.8), (50, 50), 2), ((0.8, 0.2), (50, 50), 1), ((0.5, 0.2, 0.6), (9, 9, 9), 1),
    ((0, 0.3, 0.6), (5, 8, 1), 2), ((-0.1, -0.2, -0.6), (8, 8, 8), 2),
])  # fmt: skip
def test_finite_logits_approach_the_optimum_at_their_rate(r, counts, rate):
    dist, K = PromptDistribution(10, counts, r), len(counts)
    best = optimal_wpgd(dist, "monotone")
    excess = []
    for B in (8.0, 10.0):
        small = 1 / (1 + np.exp(B))
        later = np.append(best.omega[1:], 1.0)
        b = np.where(later > 0, best.omega / np.where(later > 0, later, 1), 1.0)
        b = np.where(b >= 1, 1 - small, np.where(b <= 0, small, b))
        b[-1] = 1 - small
        omega = weights_of(counts, np.full(K, 1 - small), b, 1 - small)
        excess.append(population_risk(dist, best.P, omega) - best.risk)
    assert min(excess) > 0
    # The next term of the expansion is smaller by e^-8 times the number of examples.
    assert np.log(excess[0] / excess[1]) / 2 == pytest.approx(rate, abs=0.05)


@pytest.mark.claim("prop-delimiters-context")
def test_a_module_with_finite_logits_by_monte_carlo():
    dist, B = PromptDistribution(5, (10, 15), (0.3, 0.8)), 7.0
    best = optimal_wpgd(dist, "monotone")
    kept = 1 / (1 + np.exp(-B))
    model = layer(dist, best.P, np.array([kept, kept, best.omega[0], kept, kept]), DELIMITED)
    estimate = simulate_risk(
        model, dist, draws=20_000, queries=4, generator=torch.Generator().manual_seed(1),
        tokens=DELIMITED,
    )  # fmt: skip
    assert abs(estimate.risk - best.risk) < 3 * estimate.stderr < 0.05 * best.risk


# Figure 1.


@pytest.mark.claim("fig-1")
@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("n", [2, 10, 40, 200, 1000])
def test_figure_1_in_closed_form(panel, n):
    """Corollaries 2 and 3 for two independent tasks: |r|^2 or (r_1 + r_2)^2 / 2, times n d / (n + 2 (d + 1))."""
    r, d = np.array(PANELS[panel], float), 10
    dist = PromptDistribution(d, (n // 2, n // 2), r)
    risk = {name: optimal_wpgd(dist, name).risk / d for name in ("free", "uniform", "monotone", "constant-gate")}
    assert risk["free"] == pytest.approx(1 - (r @ r) * n / (n + 2 * (d + 1)), rel=1e-12)
    assert risk["uniform"] == pytest.approx(1 - r.sum() ** 2 / 2 * n / (n + 2 * (d + 1)), rel=1e-12)
    assert risk["monotone"] == pytest.approx(risk["free" if panel in "abc" else "uniform"], rel=1e-12)
    assert risk["monotone"] <= risk["constant-gate"] + 1e-12 <= risk["uniform"] + 2e-12
    assert in_order(r) == (panel != "d")


def test_fixed_points_is_exact_on_a_step_map():
    """The enumeration that the cone relies on, on a map with flat and steep pieces like its own."""
    found = fixed_points(lambda x: np.where(x < 2, 1.5, np.where(x < 3, x**2 / 2.5, 3.6)), 1.0, 5.0)
    assert found == pytest.approx([1.5, 2.5, 3.6])

"""Closed forms against brute force, Monte Carlo and each other."""

import numpy as np
import pytest
import torch
from brute import minimise, risk
from cases import correlations, covariance, distributions, same_tasks_one_by_one
from hypothesis import given, settings
from hypothesis import strategies as st

from glalib import (
    PromptDistribution,
    optimal_wpgd,
    population_risk,
    simulate_risk,
    stationary_points,
    uniqueness,
)
from glalib.optima import WEIGHTS
from glalib.risk import h1, h2

# The authors' table (their answer to the second review): theory, risk / d, four decimals.
TABLE = {100: (0.8344, 0.7748), 200: (0.7512, 0.6617), 400: (0.6678, 0.5482), 1000: (0.5840, 0.4343)}


@pytest.mark.claim("table-authors")
@pytest.mark.parametrize("n", TABLE)
def test_the_authors_eight_theory_cells(n):
    dist = PromptDistribution(d=100, counts=(n // 2, n // 2), r=(0.2, 0.8))
    cells = optimal_wpgd(dist, "uniform").risk / 100, optimal_wpgd(dist).risk / 100
    assert tuple(round(cell, 4) for cell in cells) == TABLE[n]


# Printed in the notes from which this book was derived, with the decimals given there.
FIGURE_1 = {
    (0.0, 1.0): {"uniform": 0.5902, "free": 0.1803, "monotone": 0.1803, "constant-gate": 0.2372},
    (0.2, 0.8): {"uniform": 0.5902, "free": 0.4426, "monotone": 0.4426, "constant-gate": 0.4553},
    (0.5, 0.5): {"uniform": 0.5902, "free": 0.5902, "monotone": 0.5902, "constant-gate": 0.5902},
    (0.8, 0.2): {"uniform": 0.5902, "free": 0.4426, "monotone": 0.5902, "constant-gate": 0.5902},
}


@pytest.mark.claim("fig-1")
@pytest.mark.parametrize("r", FIGURE_1)
def test_the_panels_of_figure_1_at_n_100(r):
    dist = PromptDistribution(d=10, counts=(50, 50), r=r)
    for weights, expected in FIGURE_1[r].items():
        assert round(optimal_wpgd(dist, weights).risk / 10, 4) == expected


@pytest.mark.claim("prop-population-risk")
@settings(max_examples=60)
@given(distributions(), st.integers(0, 2**32 - 1))
def test_population_risk_is_the_sum_over_all_pairs_of_examples(dist, seed):
    rng = np.random.default_rng(seed)
    P, omega = rng.normal(size=(dist.d, dist.d)), rng.normal(size=dist.K)
    per_example = rng.normal(size=dist.n)
    for given_omega, w in ((omega, dist.expand(omega)), (per_example, per_example)):
        expected = risk(dist, torch.from_numpy(P), torch.from_numpy(w)).item()
        # Both are sums of O(d^2 + n^2) float64 terms of both signs: compare with the size of the largest part.
        scale = dist.M + dist.M * (w @ w) * np.sum(P**2) * np.linalg.norm(dist.Sx, 2) ** 2 * dist.n
        assert population_risk(dist, P, given_omega) == pytest.approx(expected, abs=1e-12 * scale)


def general(seed, d=4, counts=(3, 2, 5), sigma=0.5):
    rng = np.random.default_rng(seed)
    R, r = correlations(rng, len(counts), len(counts) + 1)
    Sx, C = covariance(rng, d, d, 1), covariance(rng, d, d, 1)
    return PromptDistribution(d, counts, r, R=R, sigma=sigma, Sx=Sx, C=C), rng


@pytest.mark.claim("prop-population-risk")
@pytest.mark.parametrize("seed", range(6))
def test_monte_carlo_agrees_with_population_risk(seed):
    dist, rng = general(seed)
    P = rng.normal(size=(dist.d, dist.d)) / dist.n
    omega = rng.normal(size=dist.n if seed % 2 else dist.K)
    generator = torch.Generator().manual_seed(seed)
    estimate = simulate_risk((P, omega), dist, draws=40_000, queries=4, generator=generator)
    assert estimate.stderr < 0.02 * estimate.risk
    assert abs(estimate.risk - population_risk(dist, P, omega)) < 5 * estimate.stderr


def test_monte_carlo_would_notice_a_wrong_moment():
    """Drop the fourth-moment term of Gaussian features: the Monte-Carlo comparison must then fail."""
    dist, rng = general(0)
    P, omega = rng.normal(size=(dist.d, dist.d)), rng.normal(size=dist.K)
    half = np.linalg.cholesky(dist.Sx)
    Q = half.T @ P @ half
    _, ww, _ = dist.moments(omega)
    wrong = population_risk(dist, P, omega) - ww * np.trace(half.T @ dist.C @ half @ Q.T @ Q)
    estimate = simulate_risk((P, omega), dist, draws=100_000, queries=4, generator=torch.Generator().manual_seed(0))
    assert abs(estimate.risk - wrong) > 7 * estimate.stderr  # 13 seen: it would also be noticed on another stream


# 1e-6 of M: what L-BFGS reaches on these problems; the closed forms themselves agree to rounding.
@pytest.mark.claim("thm-stationary-points", "prop-monotone-optimum", "prop-constant-gate")
@pytest.mark.parametrize("weights", WEIGHTS)
@settings(max_examples=12)
@given(distributions(max_d=3, max_K=3, max_count=4, decades=1))
def test_every_optimum_agrees_with_brute_force_minimisation(weights, dist):
    if weights != "uniform" and not dist.r.any():
        return
    optimum = optimal_wpgd(dist, weights)
    found = minimise(dist, weights)
    assert optimum.risk <= found + 1e-9 * dist.M
    assert optimum.risk == pytest.approx(found, abs=1e-6 * dist.M)


@settings(max_examples=80)
@given(distributions())
def test_a_record_put_back_into_the_risk_gives_its_own_risk(dist):
    for weights in WEIGHTS:
        point = optimal_wpgd(dist, weights)
        assert population_risk(dist, point.P, point.omega) == pytest.approx(point.risk, abs=1e-10 * dist.M)
        assert np.abs(point.omega).max() <= 1
        assert point.P == pytest.approx(point.P.T, abs=1e-10 * np.abs(point.P).max())


@settings(max_examples=60)
@given(distributions())
def test_order_of_the_classes(dist):
    """Free <= monotone <= constant gate <= uniform <= M: each class contains the next."""
    free, uniform, monotone, constant = (
        optimal_wpgd(dist, weights).risk for weights in ("free", "uniform", "monotone", "constant-gate")
    )
    slack = 1e-9 * dist.M
    assert -slack <= free <= monotone + slack
    assert uniform <= dist.M + slack
    assert monotone <= constant + slack and constant <= uniform + slack
    omega = optimal_wpgd(dist, "monotone").omega
    assert (np.diff(omega) >= -1e-12).all() and omega[0] >= -1e-12


@settings(max_examples=40)
@given(distributions(max_K=3, max_count=4))
def test_block_form_and_example_form_are_the_same(dist):
    one_by_one = same_tasks_one_by_one(dist)
    for weights in WEIGHTS:
        a, b = optimal_wpgd(dist, weights), optimal_wpgd(one_by_one, weights)
        assert a.risk == pytest.approx(b.risk, abs=1e-8 * dist.M)
    a, b = uniqueness(dist), uniqueness(one_by_one)
    assert a.gap_R == pytest.approx(b.gap_R, abs=1e-9 * dist.n)
    assert (a.bound_paper, a.bound_sharp) == pytest.approx((b.bound_paper, b.bound_sharp))


@pytest.mark.claim("thm-stationary-points")
@settings(max_examples=40)
@given(distributions(max_d=4, max_K=3))
def test_stationary_points_are_stationary(dist):
    """The gradient of the brute-force risk vanishes at each of them."""
    for point in stationary_points(dist):
        P = torch.tensor(point.P, requires_grad=True)
        w = torch.tensor(dist.expand(point.omega), requires_grad=True)
        risk(dist, P, w).backward()
        assert P.grad.abs().max() * np.abs(point.P).max() < 1e-9 * dist.M
        assert w.grad.abs().max() < 1e-9 * dist.M


def test_fixed_points_at_the_very_end_of_the_interval():
    """One task, or equal ones: gamma = 1 + lambda_max, where rounding may put F(gamma) on either side of gamma."""
    for n in range(1, 400):
        for dist in (PromptDistribution(10, (n,), (1.0,)), PromptDistribution(10, (n, n), (0.2, 0.8))):
            assert [point.gamma for point in stationary_points(dist)] == [pytest.approx(1 + n, rel=1e-12)]


def three_points():
    return PromptDistribution(300, (1000, 1), (0.3**0.5, 0.7**0.5), Sx=np.diag([1.0] + [1 / 299] * 299))


@pytest.mark.claim("prop-not-unique")
def test_three_stationary_points_where_uniqueness_fails():
    dist = three_points()
    points = stationary_points(dist)
    found = [(point.gamma, point.risk / dist.M) for point in points]
    expected = [(894.07, 0.75268), (9.4952, 0.75861), (97.366, 0.78268)]
    assert found == [pytest.approx(pair, rel=1e-5) for pair in expected]
    assert optimal_wpgd(dist).gamma == points[0].gamma

    gamma = 1.0
    for _ in range(1000):  # iterating F from below ends at the wrong one
        gamma = 1 + h1(dist, h2(dist, gamma))
    assert gamma == pytest.approx(points[1].gamma)
    assert not uniqueness(dist).holds_sharp


@pytest.mark.claim("prop-rank-six")
def test_three_stationary_points_at_rank_six_with_noise():
    """Theorem B cannot be extended to six non-zero eigenvalues: three fixed points, to the digits of the notes."""
    Sx = np.diag([1.0] + [0.003] * 5)
    lam, M = np.array([1.0, 1e8]), 300.0
    for share in np.linspace(0.01, 0.99, 99):
        dist = PromptDistribution(
            6, (1, 10**8), (share**0.5, (1 - share) ** 0.5), Sx=Sx, sigma=(M - np.trace(Sx)) ** 0.5
        )
        assert dist.task_spectrum[0] == pytest.approx(lam)
        if len(points := stationary_points(dist)) == 3:
            assert not uniqueness(dist).holds_sharp
            assert len({round(point.gamma) for point in points}) == 3
            return
    pytest.fail("no share of r^2 gave three stationary points")


@pytest.mark.claim("thm-uniqueness", "thm-cross-ratio", "thm-rank-five")
@settings(max_examples=200)
@given(distributions(max_d=8, max_K=4, max_count=10_000, decades=4))
def test_uniqueness_conditions_are_sufficient(dist):
    condition = uniqueness(dist)
    if condition.holds_paper:
        assert condition.holds_sharp
    if condition.holds_sharp:
        assert len(stationary_points(dist)) == (1 if dist.r.any() else 0)


@pytest.mark.claim("prop-enumeration")
@settings(max_examples=60)
@given(distributions(), st.floats(0, 5), st.floats(1e-3, 1e3))
def test_h1_and_h2_do_not_increase(dist, low, step):
    if dist.r.any():
        assert h1(dist, low + step) <= h1(dist, low) * (1 + 1e-12)
        assert h2(dist, 1 + low + step) <= h2(dist, 1 + low) * (1 + 1e-12)


@pytest.mark.claim("cor-optimal-weights", "cor-optimal-risk", "cor-linear-attention")
def test_paper_formulas_for_identity_covariances():
    """Corollaries 1 to 3, as derived here, for correlated tasks of unequal size."""
    d, sigma, counts = 7, 0.4, (3, 5, 2)
    R, r = correlations(np.random.default_rng(1), 3, 3)
    dist = PromptDistribution(d, counts, r, R=R, sigma=sigma)
    index = dist.task_index
    R, r, one = R[np.ix_(index, index)], r[index], np.ones(dist.n)
    omega = np.linalg.solve(R + (d + sigma**2 + 1) * np.eye(dist.n), r)
    best = optimal_wpgd(dist)
    assert dist.expand(best.omega) == pytest.approx(omega / np.abs(omega).max(), rel=1e-10)
    assert best.risk == pytest.approx(d + sigma**2 - d * r @ omega, rel=1e-12)
    linear = d + sigma**2 - d * (one @ r) ** 2 / (dist.n * (d + sigma**2 + 1) + one @ R @ one)
    assert optimal_wpgd(dist, "uniform").risk == pytest.approx(linear, rel=1e-12)


@pytest.mark.claim("prop-drift")
def test_drifting_tasks_are_best_served_by_a_constant_gate():
    d, rho, n = 10, 0.9, 200
    i = np.arange(n)
    dist = PromptDistribution(d, (1,) * n, rho ** (n - i), R=rho ** np.abs(i[:, None] - i))
    constant, free = optimal_wpgd(dist, "constant-gate"), optimal_wpgd(dist)
    N, q = d + 1, 1 - rho**2
    p = (-(N * q - q) + ((N * q - q) ** 2 + 4 * q * N) ** 0.5) / 2
    assert free.risk / d == pytest.approx(p, abs=1e-12)
    assert constant.risk / d == pytest.approx(p, abs=1e-12)
    assert constant.gate == pytest.approx(rho * N / (p + N), abs=1e-6)
    assert optimal_wpgd(dist, "uniform").risk / d == pytest.approx(0.9861, abs=5e-5)


def test_negative_correlation_in_the_last_block_flips_the_sign_of_P():
    dist = PromptDistribution(5, (20, 20), (-0.2, -0.8))
    best = optimal_wpgd(dist, "monotone")
    assert best.risk == pytest.approx(optimal_wpgd(dist).risk, rel=1e-12)
    assert np.trace(best.P) < 0 and (best.omega >= 0).all()


@pytest.mark.claim("prop-constant-gate")
def test_weights_of_a_constant_gate_are_its_powers():
    """omega_i = g^(n+1-i): the query's own gate counts, so that the last example has weight g."""
    best = optimal_wpgd(PromptDistribution(10, (50, 50), (0.2, 0.8)), "constant-gate")
    assert best.omega == pytest.approx([best.gate ** (100 + 1 - i) for i in range(1, 101)], rel=1e-12)
    assert round(best.gate, 4) == 0.9770


def test_constant_gate_at_zero_is_the_limit_on_the_last_example():
    dist = PromptDistribution(2, (5, 1), (0.0, 1.0))
    best = optimal_wpgd(dist, "constant-gate")
    assert best.risk >= optimal_wpgd(dist).risk - 1e-12
    alternating = PromptDistribution(1, (1, 1), (-0.7, 0.7))
    best = optimal_wpgd(alternating, "constant-gate")
    assert best.gate == 0 and best.omega.tolist() == [0.0, 1.0]
    # A gate of nearly nothing comes near it.
    near = 1e-4 ** np.array([1.0, 0.0])
    assert population_risk(alternating, best.P, near) == pytest.approx(best.risk, abs=1e-3)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_no_signal_in_r_means_predict_zero(weights):
    dist = PromptDistribution(3, (2, 2), (0.0, 0.0), sigma=1.0)
    point = optimal_wpgd(dist, weights)
    assert point.risk == dist.M and not point.P.any() and np.isfinite(point.gamma)
    assert stationary_points(dist) == []


def test_tiny_correlations_do_not_underflow():
    big = optimal_wpgd(PromptDistribution(3, (4, 5), (0.3, 0.6)))
    tiny = optimal_wpgd(PromptDistribution(3, (4, 5), (0.3e-200, 0.6e-200)))
    assert tiny.gamma == pytest.approx(big.gamma) and tiny.omega == pytest.approx(big.omega)
    monotone = optimal_wpgd(PromptDistribution(3, (4, 5), (0.3e-200, 0.6e-200)), "monotone")
    assert monotone.omega == pytest.approx(big.omega)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_ill_conditioned_covariances_in_any_basis(weights):
    """kappa = 1e12: the risk does not depend on the basis, and agrees with the diagonal case, where all is scalar."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    values = 10.0 ** -np.array([0, 3, 6, 8, 10, 12.0])
    counts, r = (40, 60), (0.3, 0.7)
    diagonal = PromptDistribution(6, counts, r, Sx=np.diag(values), C=np.diag(values[::-1]), sigma=1e-3)
    rotated = PromptDistribution(
        6, counts, r, Sx=(basis * values) @ basis.T, C=(basis * values[::-1]) @ basis.T, sigma=1e-3
    )
    a, b = optimal_wpgd(diagonal, weights), optimal_wpgd(rotated, weights)
    assert a.risk == pytest.approx(b.risk, rel=1e-6)
    for dist, point in ((diagonal, a), (rotated, b)):
        assert population_risk(dist, point.P, point.omega) == pytest.approx(point.risk, rel=1e-6)


def test_r_outside_the_range_of_R_is_refused_or_projected():
    """R of ones forces r to be constant; what is left over by rounding must not be multiplied by n."""
    K = 100
    wobble = np.resize([1.0, -1.0], K) / K**0.5
    with pytest.raises(ValueError, match="r lies in the range of R"):
        PromptDistribution(3, (10**12,) * K, 0.5 + 3e-6 * wobble, R=np.ones((K, K)))
    dist = PromptDistribution(3, (10**12,) * K, 0.5 + 1e-9 * wobble, R=np.ones((K, K)))
    assert optimal_wpgd(dist).risk == pytest.approx(3 * (1 - 0.25), rel=1e-9)
    assert optimal_wpgd(dist, "monotone").risk == pytest.approx(3 * (1 - 0.25), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-100, 1e-60, 1e60, 1e100])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_risks_scale_with_the_covariances(weights, scale):
    plain = optimal_wpgd(PromptDistribution(3, (2, 3), (0.2, 0.8), sigma=0.5), weights)
    options = {"Sx": scale * np.eye(3), "sigma": 0.5 * scale**0.5}
    scaled = optimal_wpgd(PromptDistribution(3, (2, 3), (0.2, 0.8), **options), weights)
    assert scaled.risk / scale == pytest.approx(plain.risk, rel=1e-10)
    assert scaled.gamma == pytest.approx(plain.gamma) and scaled.P * scale == pytest.approx(plain.P)


@pytest.mark.parametrize(
    "options", [{"sigma": 1e82}, {"sigma": 1e200}, {"Sx": 1e-200 * np.eye(3)}, {"C": 1e308 * np.eye(3)}]
)
def test_scales_beyond_float64_are_refused(options):
    with pytest.raises(ValueError, match="of a scale that float64 can square"):
        PromptDistribution(3, (2, 3), (0.2, 0.8), **options)


def test_a_large_but_sound_noise_is_no_trouble():
    dist = PromptDistribution(3, (2, 3), (0.2, 0.8), sigma=1e60)
    assert optimal_wpgd(dist).risk == pytest.approx(1e120)


def test_the_rank_of_Sigma_is_at_most_that_of_its_factors():
    basis, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(8, 8)))
    Sx = (basis * np.r_[np.ones(7), 1e-12]) @ basis.T
    C = np.outer(basis[:, 7], basis[:, 7])
    found = uniqueness(PromptDistribution(8, (1, 100), (0.1, 0.9), Sx=(Sx + Sx.T) / 2, C=C))
    assert found.gap_Sigma == 0 and found.holds_paper and found.holds_sharp
    assert found.bound_paper == pytest.approx(2e-12, rel=1e-3)


@pytest.mark.parametrize("counts", [(1, 10**16), (1,) * 99 + (10**14,)])
def test_small_blocks_count_beside_large_ones(counts):
    independent = PromptDistribution(3, counts, (0.05,) * len(counts))
    assert uniqueness(independent).gap_R == pytest.approx(max(counts) - 1, rel=1e-12)
    R = np.full((len(counts),) * 2, 0.5) + 0.5 * np.eye(len(counts))
    assert uniqueness(PromptDistribution(3, counts, (0.05,) * len(counts), R=R)).gap_R > 0.5 * max(counts)


def test_monotone_where_sums_cancel():
    """The suffix sums of n_k r_k are zero or negative but for rounding: only -r has weights in the cone."""
    r = (-0.1633333333333333, 0.13999999999999999, -0.06999999999999999, -0.105)
    dist = PromptDistribution(3, (3, 5, 1, 6), r)
    assert optimal_wpgd(dist, "monotone").risk == pytest.approx(minimise(dist, "monotone"), abs=1e-6 * dist.M)


def test_a_near_tangency_has_one_or_three_points():
    """Here F touches the diagonal up to rounding; no cloud of points may come of it."""
    Sx = np.diag([1.0] + [1 / 299] * 299)
    for share in 0.4877036567854409 + np.linspace(-1e-9, 1e-9, 3):
        dist = PromptDistribution(300, (1000, 1), (share**0.5, (1 - share) ** 0.5), Sx=Sx)
        assert len(stationary_points(dist)) <= 3


def test_singular_features_leave_P_on_their_range():
    rng = np.random.default_rng(3)
    Sx = covariance(rng, 5, 3, 1)
    dist = PromptDistribution(5, (10, 10), (0.2, 0.8), Sx=Sx, C=covariance(rng, 5, 5, 1))
    kernel = np.linalg.svd(Sx)[0][:, 3:]
    P = optimal_wpgd(dist).P
    assert np.abs(P @ kernel).max() < 1e-12 * np.abs(P).max()


def test_a_million_examples_in_two_tasks_cost_what_two_tasks_cost():
    """The number of examples enters by the counts alone: no array of their size is made."""
    huge = PromptDistribution(d=20, counts=(500_000, 500_000), r=(0.2, 0.8))
    for weights in ("free", "uniform", "monotone"):
        assert optimal_wpgd(huge, weights).omega.shape == (2,)
    assert "task_index" not in vars(huge)


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda d: optimal_wpgd(d, "best"), "weights must be one of 'free'"),
        (lambda d: optimal_wpgd("d"), "dist must be a PromptDistribution; got str"),
        (lambda d: population_risk(d, np.eye(3), (1, 1)), r"P must be of shape \(2, 2\); got shape \(3, 3\)"),
        (lambda d: population_risk(d, np.eye(2), (1, 1, 1)), r"omega must be of shape \(2,\), per task, or \(7,\)"),
        (lambda d: population_risk(d, np.eye(2) * np.nan, (1, 1)), r"P must be finite; got NaN"),
        (lambda d: population_risk(d, np.eye(2), (1, np.inf)), "omega must be finite"),
        (lambda d: population_risk(d, "P", (1, 1)), "P must be an array of real numbers"),
        (lambda d: population_risk(d, np.eye(2) * 1e200, (1, 1)), "P and omega must be small enough"),
    ],
)
def test_bad_input_is_named(call, complaint):
    dist = PromptDistribution(2, (3, 4), (0.2, 0.8))
    with pytest.raises((ValueError, TypeError), match=complaint):
        call(dist)


def test_readable_repr():
    dist = PromptDistribution(100, (50, 50), (0.2, 0.8))
    assert repr(dist) == "PromptDistribution(d=100, n=100, counts=(50, 50), r=(0.2, 0.8), sigma=0)"
    assert repr(optimal_wpgd(dist)).startswith("WPGD(risk=77.4834, gamma=51, omega=[0.25, 1.  ]")


@given(distributions())
def test_the_best_p_for_given_weights(dist):
    rng = np.random.default_rng(0)
    for omega in (rng.normal(size=dist.K), rng.normal(size=dist.n)):
        best = optimal_wpgd(dist, omega)
        assert best.risk <= dist.M * (1 + 1e-12)
        risk = population_risk(dist, best.P, best.omega)
        assert risk == pytest.approx(best.risk, abs=1e-9 * dist.M)
        for _ in range(3):  # no other P is better
            P = best.P + 0.1 * np.abs(best.P).max() * rng.normal(size=best.P.shape)
            assert population_risk(dist, P, best.omega) >= risk - 1e-12 * dist.M
    assert optimal_wpgd(dist, np.ones(dist.K)).risk == pytest.approx(optimal_wpgd(dist, "uniform").risk)


def test_given_weights_are_checked():
    dist = PromptDistribution(2, (2, 3), (0.1, 0.2))
    with pytest.raises(ValueError, match=r"weights must be a class of weights or of shape \(2,\).*got shape \(3,\)"):
        optimal_wpgd(dist, [1, 2, 3])
    with pytest.raises(ValueError, match="weights must be not all zero"):
        optimal_wpgd(dist, [0, 0])
    with pytest.raises(TypeError, match="weights must be an array of real numbers"):
        optimal_wpgd(dist, ["a", "b"])

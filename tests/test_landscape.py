"""The landscape: the map F, uniqueness, the kinds of points, conditioning, gain, gradient flow."""

import numpy as np
import pytest
import torch
from brute import risk as brute_risk
from cases import correlations, covariance, distributions, same_tasks_one_by_one
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from glalib import PromptDistribution, optimal_wpgd, stationary_points, uniqueness
from glalib.risk import fixed_points, h1, h2, slope


def spectra(dist):
    lam, a = dist.task_spectrum
    return lam, a, dist.signal_spectrum[0], dist.M


@pytest.mark.claim("prop-monotone-map")
@settings(max_examples=60)
@given(distributions(max_count=1000), st.floats(0, 1))
def test_slope_is_the_derivative_of_F(dist, position):
    assume(dist.r.any())
    gamma = (1 + dist.task_spectrum[0].max()) ** position
    step = 1e-5 * gamma
    ends = 1 + h1(dist, h2(dist, np.array([gamma - step, gamma + step])))
    # A central difference: rounding of F over the step, and the step squared.
    assert slope(dist, gamma) == pytest.approx((ends[1] - ends[0]) / (2 * step), abs=1e-6)
    assert slope(dist, gamma) >= -1e-15


@pytest.mark.claim("prop-secular")
@settings(max_examples=60)
@given(distributions(max_count=1000), st.floats(1e-3, 1), st.floats(1, 1e3))
def test_h1_and_h2_are_logarithmic_derivatives_of_secular_functions(dist, h, gamma):
    assume(dist.r.any())
    lam, a, s, M = spectra(dist)
    f, df = (a**2 / (1 + lam * h)).sum(), -(lam * a**2 / (1 + lam * h) ** 2).sum()
    T, dT = (s**2 / (M + gamma * s)).sum(), -(s**3 / (M + gamma * s) ** 2).sum()
    assert h1(dist, h) == pytest.approx(-df / (f + h * df), rel=1e-8)
    assert h2(dist, gamma) == pytest.approx(-dT / (T + (gamma - 1) * dT), rel=1e-8)


@pytest.mark.claim("prop-walk")
@settings(max_examples=40)
@given(distributions(max_count=100), st.floats(1e-2, 1))
def test_risk_along_the_best_weights_stands_still_at_fixed_points_only(dist, h):
    assume(dist.r.any())
    lam, a, s, M = spectra(dist)

    def log_gain(h):
        omega = a / (1 + lam * h)  # in the eigenbasis of D R D
        gamma = 1 + omega @ (lam * omega) / (omega @ omega)
        return np.log((a @ omega) ** 2 / (omega @ omega) * (s**2 / (M + gamma * s)).sum())

    u = (a / (1 + lam * h)) ** 2
    u, y = u / u.sum(), lam / (1 + lam * h)
    dh1 = -2 * (u @ (lam * y) - (u @ lam) * (u @ y))
    mean, other = h1(dist, h), h2(dist, 1 + h1(dist, h))
    expected = dh1 * (h - other) / ((1 + h * mean) * (1 + mean * other))
    step = 1e-4 * h
    assert (log_gain(h + step) - log_gain(h - step)) / (2 * step) == pytest.approx(expected, rel=1e-4, abs=1e-7 / h)


@pytest.mark.claim("prop-enumeration")
@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_enumeration_misses_no_fixed_point_of_a_staircase(seed, steps):
    rng = np.random.default_rng(seed)
    centres, widths = rng.random(steps), 10 ** rng.uniform(-3, -1, size=steps)
    heights = rng.dirichlet(np.ones(steps))

    def F(x):
        return (1 + np.tanh((x[:, None] - centres) / widths)) / 2 @ heights

    found = fixed_points(F, 0.0, 1.0)
    x = np.linspace(0, 1, 50_001)
    scanned = x[:-1][np.diff(np.sign(F(x) - x)) != 0]
    assert found.size and np.abs(F(found) - found).max() < 1e-12
    assert all(np.abs(found - y).min() < 3e-5 for y in scanned)


@pytest.mark.claim("def-effective-gap")
@settings(max_examples=60)
@given(distributions())
def test_gaps_and_bounds_from_first_principles(dist):
    """Every field of the record, from the example-level matrices and the definitions."""
    one = same_tasks_one_by_one(dist)
    half = np.linalg.svd(dist.Sx)
    half = half[0] * np.sqrt(half[1]) @ half[2]

    def extremes(matrix):
        values = np.linalg.eigvalsh(matrix)
        values = values[values > 1e-9 * values[-1]]
        return values[0], values[-1]

    (s_min, s_max), (lam_min, lam_max) = extremes(half @ dist.C @ half), extremes(one.R)
    M, found = dist.M, uniqueness(dist)
    sharp = 8 / M * (M + (1 + lam_min) * s_max) * (M + (1 + lam_max) * s_min)
    gaps = (s_max - s_min) * (lam_max - lam_min)
    assert found.gap_Sigma == pytest.approx(s_max - s_min, abs=1e-6 * s_max)
    assert found.gap_R == pytest.approx(lam_max - lam_min, abs=1e-6 * lam_max)
    assert found.bound_paper == pytest.approx(M + s_min, rel=1e-6)
    assert found.bound_sharp == pytest.approx(sharp, rel=1e-6)
    if abs(gaps / found.bound_paper - 1) > 1e-3:
        assert found.holds_paper == (gaps < found.bound_paper)
    assert found.holds_sharp  # dimension at most five


@pytest.mark.claim("thm-uniqueness", "lem-gruess", "thm-cross-ratio", "thm-rank-five")
@settings(max_examples=300)
@given(st.integers(0, 2**32 - 1))
def test_slopes_obey_the_bounds_of_the_theorems(seed):
    rng = np.random.default_rng(seed)
    d, K = int(rng.integers(1, 30)), int(rng.integers(2, 4))
    s = 10 ** rng.uniform(-4, 0, size=d)
    counts = [1] + [int(10 ** rng.uniform(0, 6)) for _ in range(K - 1)]
    R, r = correlations(rng, K, K + 1)
    noise = 0.0 if seed % 2 else (s.sum() * 10 ** rng.uniform(0, 2)) ** 0.5
    dist = PromptDistribution(d, counts, r, R=R, Sx=np.diag(s), sigma=noise)
    lam, _, s, M = spectra(dist)
    Lam, found = 1 + lam, uniqueness(dist)
    A = (M + Lam.min() * s.min()) * (M + Lam.max() * s.max())
    B = (M + Lam.min() * s.max()) * (M + Lam.max() * s.min())
    for point in stationary_points(dist):
        steep = slope(dist, point.gamma)
        ranges = (M * found.gap_R * found.gap_Sigma) ** 2 / (4 * (M + s.min()) ** 4)
        assert steep <= ranges * (1 + 1e-9) + 1e-12
        assert steep <= 4 * ((A**0.5 - B**0.5) / (A**0.5 + B**0.5)) ** 2 + 1e-9
        if found.holds_paper:
            assert steep < 0.25
        if d <= 5:
            assert steep < 1


def two_tasks_that_cross_at(gamma, counts, s, M):
    """Two independent tasks whose shares of r make gamma a fixed point of F."""
    v = (s / (M + gamma * s)) ** 2
    m = v @ s / v.sum()
    h, lam = m / (M + m), np.array(counts, float)
    u = np.array([counts[1] - gamma + 1, gamma - 1 - counts[0]]) / (counts[1] - counts[0])
    r = np.sqrt(u / lam) * (1 + lam * h)
    return PromptDistribution(len(s), counts, r / np.linalg.norm(r), Sx=np.diag(s), sigma=(M - s.sum()) ** 0.5)


@pytest.mark.claim("prop-nine-sharp")
@pytest.mark.parametrize("kappa", [9.1, 9.5, 12.0])
def test_the_constant_nine_is_sharp(kappa):
    delta = 1e6 / (1 + 10**13)
    s = delta * np.array([1.0] + [1 / kappa] * 27)
    dist = two_tasks_that_cross_at(kappa**0.5 / delta, (1, 10**13), s, M=1.0)
    assert len(stationary_points(dist)) == 3 and slope(dist, kappa**0.5 / delta) > 1
    found = uniqueness(dist)
    assert not found.holds_sharp and found.gap_Sigma * found.gap_R < (kappa - 1) / 8 * found.bound_sharp


@pytest.mark.claim("prop-index")
@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]))
def test_the_index_of_unique_points(seed, sigma):
    """The Hessian in P and all n weights has one zero, the scale, and is positive otherwise."""
    rng = np.random.default_rng(seed)
    R, r = correlations(rng, 2, 3)
    dist = PromptDistribution(2, (2, 2), r, R=R, sigma=sigma, Sx=covariance(rng, 2, 2, 1), C=covariance(rng, 2, 2, 1))
    (point,) = stationary_points(dist)
    assert inertia(dist, point) == (0, 1)


@pytest.mark.claim("prop-index")
def test_the_index_of_three_points():
    s = np.array([1.0] + [1 / 85] * 11)
    dist = two_tasks_that_cross_at(520.0, (1, 10_000), s, M=8 * s.sum())
    points = stationary_points(dist)
    slopes = [slope(dist, point.gamma) for point in sorted(points, key=lambda point: point.gamma)]
    assert slopes[0] < 1 < slopes[1] and slopes[2] < 1


def inertia(dist, point):
    """Numbers of negative and of zero eigenvalues of the brute-force Hessian, coordinates scaled to unit curvature."""
    omega = dist.expand(point.omega)
    c = (np.linalg.norm(omega) / np.linalg.norm(point.P)) ** 0.5
    flat = torch.tensor(np.concatenate([(c * point.P).ravel(), omega / c]))

    def objective(x):
        return brute_risk(dist, x[: dist.d**2].reshape(dist.d, dist.d), x[dist.d**2 :])

    H = torch.func.hessian(objective)(flat).numpy()
    D = 1 / np.sqrt(np.diag(H))
    eigenvalues = np.linalg.eigvalsh(D[:, None] * H * D)
    zero = 1e-9 * eigenvalues[-1]
    return int((eigenvalues < -zero).sum()), int((abs(eigenvalues) <= zero).sum())


@pytest.mark.claim("prop-preconditioner")
@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from(["free", "uniform", "monotone"]))
def test_the_condition_number_of_the_step(seed, d, weights):
    rng = np.random.default_rng(seed)
    Sx, C = covariance(rng, d, d, 2), covariance(rng, d, d, 1)
    for given_C in (None, C):
        dist = PromptDistribution(d, (3, 200), (0.3, 0.6), Sx=Sx, C=given_C, sigma=0.2)
        point, (s, M) = optimal_wpgd(dist, weights), (dist.signal_spectrum[0], dist.M)
        eigenvalues = np.linalg.eigvals(point.P @ Sx).real
        expected = s.max() / s.min() * (M + point.gamma * s.min()) / (M + point.gamma * s.max())
        assert eigenvalues.max() / eigenvalues.min() == pytest.approx(expected, rel=1e-6)
        if given_C is None:
            assert expected <= np.linalg.cond(Sx) * (1 + 1e-9)


@pytest.mark.claim("prop-whitening-limit")
def test_long_prompts_whiten():
    Sx = np.diag([1.0, 0.1, 0.01])
    P = optimal_wpgd(PromptDistribution(3, (10**9, 10**9), (0.2, 0.8), Sx=Sx)).P
    assert pytest.approx(np.eye(3), abs=1e-5) == P @ Sx / (P @ Sx)[0, 0]


@pytest.mark.claim("prop-when-gating-helps")
@settings(max_examples=60)
@given(distributions())
def test_the_gain_over_linear_attention(dist):
    dist = PromptDistribution(dist.d, dist.counts, dist.r, R=dist.R, sigma=dist.sigma)
    one = same_tasks_one_by_one(dist)
    A, ones = one.R + (dist.M + 1) * np.eye(dist.n), np.ones(dist.n)
    gain = optimal_wpgd(dist, "uniform").risk - optimal_wpgd(dist).risk
    formula = dist.d * (one.r @ np.linalg.solve(A, one.r) - (ones @ one.r) ** 2 / (ones @ A @ ones))
    assert gain == pytest.approx(formula, abs=1e-11 * dist.M) and gain > -1e-11 * dist.M
    # Along A 1 there is nothing to gain, whatever the counts and correlations.
    level = (A @ ones)[np.unique(dist.task_index, return_index=True)[1]]
    if np.linalg.matrix_rank(dist.R) == dist.K:
        level *= 0.5 / np.sqrt(level @ np.linalg.solve(dist.R, level))
        flat = PromptDistribution(dist.d, dist.counts, level, R=dist.R, sigma=dist.sigma)
        assert optimal_wpgd(flat, "uniform").risk == pytest.approx(optimal_wpgd(flat).risk, abs=1e-9 * dist.M)


@pytest.mark.claim("thm-gradient-flow")
@pytest.mark.parametrize("seed", range(6))
def test_gradient_flow_conserves_and_converges(seed):
    """The flow of the brute-force risk, by automatic differentiation, from random starts."""
    rng = np.random.default_rng(seed)
    R, r = correlations(rng, 2, 3)
    dist = PromptDistribution(2, (2, 1), r, R=R, sigma=0.3, Sx=np.diag([1.0, 0.5]), C=covariance(rng, 2, 2, 0.5))
    best = optimal_wpgd(dist)

    def minus_gradient(t, x):
        x = torch.tensor(x, requires_grad=True)
        return -torch.autograd.grad(brute_risk(dist, x[:4].reshape(2, 2), x[4:]), x)[0].numpy()

    start = rng.normal(size=4 + dist.n)
    path = solve_ivp(minus_gradient, (0, 3_000), start, method="LSODA", rtol=1e-9, atol=1e-12)
    conserved = (path.y[:4] ** 2).sum(0) - (path.y[4:] ** 2).sum(0)
    assert np.abs(conserved - conserved[0]).max() < 1e-6 * (start**2).sum()
    end = torch.tensor(path.y[:, -1])
    assert brute_risk(dist, end[:4].reshape(2, 2), end[4:]).item() == pytest.approx(best.risk, abs=1e-7 * dist.M)

"""How many stationary points: the equations of tasks and features, the largest number, sums of bumps."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from cases import distributions
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from glalib import PromptDistribution, stationary_points
from glalib.fixed_points import fixed_points
from glalib.risk import slope


def mean(levels, weights, other):
    terms = weights / (1 + np.multiply.outer(other, levels)) ** 2
    return (terms * levels).sum(-1) / terms.sum(-1)


def count(tasks, features):
    def F(gamma):
        return mean(*tasks, mean(*features, gamma))

    return len(fixed_points(F, tasks[0].min(), tasks[0].max()))


@pytest.mark.claim("lem-swap")
@settings(max_examples=60)
@given(distributions(max_count=1000))
def test_stationary_points_solve_the_two_equations(dist):
    """And there are as many with m as the unknown."""
    assume(dist.r.any())
    (lam, a), s, M = dist.task_spectrum, dist.signal_spectrum[0], dist.M
    tasks, features = (1 + lam, a**2 / (a @ a)), (s / M, (s / M) ** 2)
    points = stationary_points(dist)
    for point in points:
        m = mean(*features, point.gamma)
        assert mean(*tasks, m) == pytest.approx(point.gamma, rel=1e-8)
    assert count(features, tasks) == len(points)


def without_noise(tasks, features, N=10**9):
    """Integer copies and counts, and r^2: the distribution of the proof; its own levels and weights, as fractions."""
    copies = [round(N * Fraction(b) / Fraction(s) ** 2) for s, b in zip(*features, strict=True)]
    t = sum(c * Fraction(s) for c, s in zip(copies, features[0], strict=True))
    counts = [round(t * Fraction(x)) - 1 for x in tasks[0]]
    assert min(copies) > 0 and min(counts) > 0
    s = [Fraction(x) / t for x in features[0]]
    assert sum(c * x for c, x in zip(copies, s, strict=True)) == 1  # the trace is M
    weights = [c * x**2 for c, x in zip(copies, s, strict=True)]
    as_floats = [np.array([float(x) for x in values]) for values in ([n + 1 for n in counts], s, weights)]
    return (as_floats[0], np.array(tasks[1])), (as_floats[1], as_floats[2])


@pytest.mark.claim("prop-nine-sharp", "lem-swap")
@pytest.mark.parametrize("kappa, number", [(8.95, 1), (9.05, 3), (9.1, 3)])
def test_nine_is_sharp_without_noise_for_features_and_for_tasks(kappa, number):
    features = (np.array([1.0, 1 / kappa]), np.array([1.0, kappa**-0.5]))
    Lam, gamma = np.array([1e-5, 1e5]), kappa**0.5
    u = np.array([Lam[1] - gamma, gamma - Lam[0]])
    tasks = (Lam, u * (1 + mean(*features, gamma) * Lam) ** 2)
    for exchanged in (False, True):
        mine, other = without_noise(*((features, tasks) if exchanged else (tasks, features)))
        levels = mine[0] if exchanged else other[0]
        assert levels.max() / levels.min() == pytest.approx(kappa, rel=1e-6)
        assert count(mine, other) == number


def powers(base, exponents):
    return base ** np.array(exponents, dtype=float)


# Levels and weights written out from the proof, for (2, 2), (2, 3), (3, 3) and (4, 4).
EXTREMAL = {
    (2, 2): (([-0.5, 0.5], [0, 0.5]), ([0, 0.75], [0, -0.5])),
    (2, 3): (([-0.5, 3], [0, 3]), ([0, 0.75, 4.5], [0, -0.5, -2.75])),
    (3, 3): (([-0.5, 0.5, 1.5], [0, 0.5, 1]), ([0, 1, 1.75], [0, -0.5, -1])),
    (4, 4): (([-0.5, 0.5, 1.5, 2.5], [0, 0.5, 1, 1.5]), ([0, 1, 2, 2.75], [0, -0.5, -1, -1.5])),
}


@pytest.mark.claim("thm-how-many")
@pytest.mark.parametrize("k, l", EXTREMAL)
def test_the_largest_number_is_reached(k, l):
    (tau, A), (sigma, b) = EXTREMAL[k, l]
    tasks = powers(1e4, tau), powers(1e4, A)
    features = powers(1e4, -np.array(sigma)), powers(1e4, b)
    assert count(tasks, features) == count(features, tasks) == 2 * (k + l) - 5
    assert count(*without_noise(tasks, features)) == 2 * (k + l) - 5


def fixed_point_polynomial(tasks, features):
    """F(gamma) - gamma times its denominator, of degree 4 (k - 1)(l - 1) + 1, from fractions."""

    def parts(levels, weights):
        factors = [Polynomial([Fraction(1), x]) ** 2 for x in levels]
        terms = [w * np.prod([*factors[:j], *factors[j + 1 :]]) for j, w in enumerate(weights)]
        return sum(x * term for x, term in zip(levels, terms, strict=True)), sum(terms)

    def in_homogeneous_form(polynomial, top, bottom, degree):
        return sum(c * top**e * bottom ** (degree - e) for e, c in enumerate(polynomial.coef))

    (top, bottom), (above, below) = parts(*features), parts(*tasks)
    degree = 2 * (len(tasks[0]) - 1)
    above, below = (in_homogeneous_form(part, top, bottom, degree) for part in (above, below))
    return above - Polynomial([Fraction(0), Fraction(1)]) * below


def positive_zeros(polynomial):
    """How many different positive zeros, by Sturm's theorem; exact, as the coefficients are fractions."""
    chain = [polynomial, Polynomial(polynomial.coef[1:] * np.arange(1, len(polynomial.coef)))]
    while chain[-1].coef.any():
        rest = (-(chain[-2] % chain[-1])).trim()
        chain.append(rest / abs(rest.coef[-1]) if rest.coef.any() else rest)
    assert all(isinstance(x, Fraction | int) for p in chain for x in p.coef)

    def changes(values):
        signs = [x > 0 for x in values if x]
        return sum(before != after for before, after in pairwise(signs))

    return changes([p.coef[0] for p in chain]) - changes([p.coef[-1] for p in chain])


@pytest.mark.claim("thm-how-many")
@pytest.mark.parametrize("k, l, draws", [(2, 2, 40), (2, 3, 20), (3, 2, 20), (3, 3, 4)])
def test_no_polynomial_has_more_positive_zeros(k, l, draws):
    """Draws about the family that has most, counted without rounding and without the search for fixed points."""
    rng, counts = np.random.default_rng(10 * k + l), []
    (tau, A), (sigma, b) = EXTREMAL[min(k, l), max(k, l)]
    for spread in [0.02, 0.2] * (draws // 2):
        logs = [np.array(x) + spread * rng.normal(size=len(x)) for x in (tau, A, -np.array(sigma), b)]
        drawn = [np.array([Fraction(f"{x:.2e}") for x in powers(1e4, part)]) for part in logs]
        tasks, features = (drawn[:2], drawn[2:]) if k <= l else (drawn[2:], drawn[:2])
        polynomial = fixed_point_polynomial(tasks, features)
        assert polynomial.degree() == 4 * (k - 1) * (l - 1) + 1
        counts.append(positive_zeros(polynomial))
    assert max(counts) == 2 * (k + l) - 5
    assert min(counts) >= 1 and all(n % 2 for n in counts)


@pytest.mark.claim("thm-how-many")
@pytest.mark.parametrize("k, l", [(2, 2), (2, 3), (3, 3)])
def test_no_draw_about_the_extremal_family_has_more(k, l):
    rng, most = np.random.default_rng(k + 10 * l), 0
    (tau, A), (sigma, b) = EXTREMAL[k, l]
    for spread in [0.05, 0.3] * 100:
        logs = [x + spread * rng.normal(size=len(x)) for x in (tau, A, -np.array(sigma), b)]
        moved = [powers(1e4, x) for x in logs]
        gamma = np.geomspace(moved[0].min(), moved[0].max(), 1000)
        excess = mean(*moved[:2], mean(*moved[2:], gamma)) / gamma - 1
        signs = np.sign(excess[np.abs(excess) > 1e-12])
        most = max(most, np.count_nonzero(np.diff(signs)))
    assert most == 2 * (k + l) - 5


@pytest.mark.claim("thm-how-many")
def test_k_or_l_one_is_one_point():
    assert count((np.array([3.0]), np.array([1.0])), (np.array([1.0, 0.1]), np.array([1.0, 1.0]))) == 1
    assert count((np.array([2.0, 90.0]), np.array([1.0, 9.0])), (np.array([0.5]), np.array([1.0]))) == 1


def bumps(heights, theta):
    j = np.arange(len(heights))
    Z = sum(v * theta**i for i, v in enumerate(heights))
    return Z * theta ** (2.0 * j), np.array(heights) * theta**j / Z


@pytest.mark.claim("prop-bumps")
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_fixed_points_are_the_critical_points_of_a_sum_of_bumps(seed, l):
    """Any levels and shares, against a scan of the sum's derivative, with hyperbolic functions; and bumps far apart."""
    rng = np.random.default_rng(seed)
    apart = seed % 2
    Lam, w = np.sort(10 ** rng.uniform(0, 6, l)), rng.dirichlet(np.ones(l))
    if apart:
        Lam, w = bumps(1 + rng.uniform(0, 0.05, l), 11.0)
    tasks, features = (Lam, w), (1 / Lam, w / Lam)
    found = fixed_points(lambda x: mean(*tasks, mean(*features, x)), Lam[0], Lam[-1])
    u = np.linspace(np.log(Lam[0]), np.log(Lam[-1]), 20_001)
    half = (u[:, None] - np.log(Lam)) / 2
    fall = (w / np.sqrt(Lam) * np.sinh(half) / np.cosh(half) ** 2).sum(1)
    (changes,) = np.nonzero(np.diff(np.sign(fall)))
    assert len(changes) == len(found) <= 2 * l - 1 and (not apart or len(found) == 2 * l - 1)
    np.testing.assert_allclose(np.log(found), u[changes], atol=1e-3)


@pytest.mark.claim("prop-bumps")
@pytest.mark.parametrize("l", [2, 3, 4])
def test_each_minimum_can_be_the_global_one(l):
    Lam, w = bumps([1] * l, 8.1)  # nine is the proof's; the least for five bumps is 8.04
    assert count((Lam, w), (1 / Lam, w / Lam)) == 2 * l - 1
    for chosen in range(l):
        Lam, w = bumps(
            [2 if i == chosen else 1 for i in range(l)], 16.1
        )  # seventeen is the proof's; the least for four is 15.97
        tasks, features = (Lam, w), (1 / Lam, w / Lam)
        found = fixed_points(lambda x, t=tasks, f=features: mean(*t, mean(*f, x)), Lam[0], Lam[-1])
        heights = (w * np.sqrt(found)[:, None] / (found[:, None] + Lam)).sum(1)
        assert len(found) == 2 * l - 1 and np.argmax(heights) == 2 * chosen


@pytest.mark.claim("prop-bumps")
@pytest.mark.parametrize(
    "heights, theta, number",
    [
        ([1] * 3, 8, 5),
        ([1] * 4, 8, 3),
        ([1] * 4, Fraction("8.1"), 7),
        ([1] * 5, 8, 5),
        ([1] * 5, Fraction("8.1"), 9),
        ([1, 2, 1], 15, 1),
        ([1, 2, 1, 1], Fraction("15.9"), 5),
        ([1, 2, 1, 1], Fraction("16.1"), 7),
        ([1, 1], Fraction("5.82"), 1),
        ([1, 1], Fraction("5.83"), 3),
    ],
)
def test_how_far_apart_bumps_must_stand(heights, theta, number):
    """Exact: zeros of the polynomial of the sum's derivative. Two bumps: (1 + sqrt 2)^2 = 5.828."""
    Lam = [Fraction(theta) ** (2 * j) for j in range(len(heights))]
    polynomial = Polynomial([Fraction(0)])
    for j, v in enumerate(heights):
        others = [Polynomial([x, Fraction(1)]) ** 2 for x in Lam[:j] + Lam[j + 1 :]]
        polynomial += v * Fraction(theta) ** j * np.prod([Polynomial([Lam[j], Fraction(-1)]), *others])
    assert positive_zeros(polynomial) == number


@pytest.mark.claim("prop-bumps")
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_the_risk_at_the_points_of_a_whole_distribution(sigma):
    """Counts (13, 503), 216 + 1 features: half of the variance of a label is noise, or none is."""
    Lam, w = (np.array([14, 504]), np.array([1 / 14, 216 / 504])) if sigma else bumps([1, 1], 6)
    counts, copies = (Lam - 1).astype(int), np.rint(w * Lam).astype(int)
    assert sigma or list(counts) == [6, 251]
    r2 = w / counts
    Sx = np.diag(np.repeat(1 / Lam, copies))
    noise = max(1 - w.sum(), 0) ** 0.5
    dist = PromptDistribution(217, counts, np.sqrt(r2 / r2.sum()), Sx=Sx, sigma=noise)
    assert dist.M == pytest.approx(1, rel=1e-12) and (noise > 0) == (sigma > 0)
    points = stationary_points(dist)
    assert len(points) == 3
    for point in points:
        Phi = (w * point.gamma**0.5 / (point.gamma + Lam)).sum()
        assert 1 - point.risk == pytest.approx(2 * Phi**2 / r2.sum(), rel=1e-9)
        bend = sum(
            x * (Phi_j(point.gamma * 1.01, y) - 2 * Phi_j(point.gamma, y) + Phi_j(point.gamma / 1.01, y))
            for x, y in zip(w, Lam, strict=True)
        )
        assert (slope(dist, point.gamma) < 1) == (bend < 0)


def Phi_j(gamma, Lam):
    return gamma**0.5 / (gamma + Lam)

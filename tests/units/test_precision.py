"""No wrong number in silence: closed forms against 50 and more digits (mpmath), where float64 is hardest pressed."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from cases import correlations, covariance
from scipy.optimize import brentq, minimize_scalar

from glalib import PromptDistribution, optimal_wpgd, population_risk, stationary_points, uniqueness
from glalib.fixed_points import fixed_points
from glalib.risk import h1, h2, slope
from glalib.spectra import eigh, signal_spectrum, svd, task_spectrum

EPS = np.finfo(float).eps


def exact_map(dist):
    """F in 50 digits, from the spectra of the distribution as they are."""
    (s, copies), (lam, a) = np.unique(dist.signal_spectrum[0], return_counts=True), dist.task_spectrum
    s, copies, lam, a, M = *(list(map(mp.mpf, map(float, v))) for v in (s, copies, lam, a)), mp.mpf(dist.M)

    def F(gamma):
        squares = [n * (x / (M + gamma * x)) ** 2 for x, n in zip(s, copies, strict=True)]
        m = sum(x * q for x, q in zip(s, squares, strict=True)) / sum(squares)
        h = m / (M + m)
        terms = [(x / (1 + l * h)) ** 2 for x, l in zip(a, lam, strict=True)]
        return 1 + sum(l * t for l, t in zip(lam, terms, strict=True)) / sum(terms)

    return F


def exact_points(dist):
    """The fixed points in 50 digits, and the least |F(x)/x - 1| at an extremum: how near to a touch they are."""
    with mp.workdps(50):
        F, top = exact_map(dist), 1 + dist.task_spectrum[0].max()

        def excess(x):
            return F(x) / x - 1

        grid = np.exp(np.linspace(0, np.log(top), 4001))
        coarse = (1 + h1(dist, h2(dist, grid))) / grid
        steps = np.sign(np.diff(coarse))
        turns = np.flatnonzero(steps[1:] * steps[:-1] < 0) + 1
        ends = [mp.mpf(1) - mp.mpf(10) ** -40]
        near = [mp.inf]
        for i in turns:  # golden section in 50 digits would be long; the derivative's zero by bisection is not
            low, high = mp.mpf(grid[i - 1]), mp.mpf(grid[i + 1])
            falls = mp.diff(excess, low) < 0
            for _ in range(80):
                middle = (low + high) / 2
                low, high = (middle, high) if (mp.diff(excess, middle) < 0) == falls else (low, middle)
            ends.append(low)
            near.append(abs(excess(low)))
        ends.append(mp.mpf(top) * (1 + mp.mpf(10) ** -40))
        points = []
        for low, high in pairwise(ends):
            if excess(low) * excess(high) < 0:
                rises = excess(low) < 0
                for _ in range(120):
                    middle = (low + high) / 2
                    low, high = (middle, high) if (excess(middle) < 0) == rises else (low, middle)
                points.append(float(low))
        return np.array(points), float(min(near))


def wells(share, small=1 / 299, count=1000):
    """Two independent tasks with one strong feature and 299 weak ones: two wells for some shares of r."""
    return PromptDistribution(300, (count, 1), (share**0.5, (1 - share) ** 0.5), Sx=[1.0] + [small] * 299)


TANGENCY = 0.4877036567854409  # the share at which two of the three points meet


@pytest.mark.claim("prop-enumeration")
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-11, 1e-12, 2e-13])
def test_near_a_tangency_no_point_is_lost_and_none_is_invented(side, distance):
    dist = wells(TANGENCY + side * distance)
    exact, near = exact_points(dist)
    assert len(exact) == (3 if side < 0 else 1)
    assert near > 256 * EPS  # within what is promised
    found = np.sort([point.gamma for point in stationary_points(dist)])
    assert len(found) == len(exact)
    # A simple point is as sure as rounding over 1 - F' lets it be; here 1 - F' is about the root of `near`.
    np.testing.assert_allclose(found, exact, rtol=1e-13 / near**0.5 + 1e-12)


def test_at_a_tangency_two_points_count_as_one():
    """To within rounding of a touch nobody can tell two, one or none: at most one is reported for the two."""
    for share in TANGENCY + np.arange(-10, 11) * 1e-15:
        assert len(stationary_points(wells(share))) in (1, 2)


def cusp(kappa, share):
    """One noise-free family: ten strong features, 270 weaker by kappa, two tasks of 1 and 10^9 examples."""
    root = (1 - 1e-8) * np.sqrt([1 - share, share])
    return PromptDistribution(280, (1, 10**9), root, Sx=[1.0] * 10 + [1 / kappa] * 270)


def share_at(kappa, gamma):
    """The share of r that makes gamma a fixed point of `cusp(kappa, .)`: F is 1 + a mean of 1 and 10^9."""
    h = h2(cusp(kappa, 0.5), gamma)
    # With shares 1 - p and p the mean is (1 - p + 1e9 p c) / (1 - p + p c), c the ratio of the weights: solve for p.
    c = 1e9 * (1 + h) ** 2 / (1 + 1e9 * h) ** 2
    odds = (gamma - 2) / (1e9 - (gamma - 1)) / c
    return odds / (1 + odds)


@pytest.mark.claim("prop-enumeration")
@pytest.mark.parametrize("kappa", [8.5, 9.0, 9.3, 9.4, 9.5, 10.0, 12.0])
def test_about_a_cusp_one_point_or_three(kappa):
    """From one point to three as kappa passes the cusp: through the middle, where F is steepest."""

    def falls(log_gamma):
        return -slope(cusp(kappa, share_at(kappa, np.exp(log_gamma))), np.exp(log_gamma))

    steepest = minimize_scalar(falls, bounds=(np.log(60), np.log(250)), method="bounded")
    dist = cusp(kappa, share_at(kappa, np.exp(steepest.x)))
    exact, near = exact_points(dist)
    assert near > 256 * EPS and len(exact) == (3 if -steepest.fun > 1 else 1)
    found = np.sort([point.gamma for point in stationary_points(dist)])
    np.testing.assert_allclose(found, exact, rtol=1e-9)


def test_at_the_cusp_there_is_no_cloud():
    """Where three points meet within rounding, one to three are reported, not hundreds."""
    gamma = 127.5
    at = brentq(lambda k: slope(cusp(k, share_at(k, gamma)), gamma) - 1, 9.3, 9.5)
    for k in at + np.array([-1e-12, 0, 1e-9]):
        assert 1 <= len(stationary_points(cusp(k, share_at(k, gamma)))) <= 3


@pytest.mark.parametrize("seed", range(20))
def test_one_task_has_one_point(seed):
    rng = np.random.default_rng(seed)
    d, n = int(rng.integers(1, 40)), int(10 ** rng.uniform(0, 15))
    dist = PromptDistribution(d, (n,), (rng.uniform(-1, 1),), sigma=rng.uniform(0, 3), Sx=10.0 ** rng.uniform(-6, 6, d))
    (point,) = stationary_points(dist)
    assert point.gamma == pytest.approx(1 + n, rel=1e-14)


def test_a_map_that_is_the_identity_ends():
    """Nothing can be told apart there: at most a point, in bounded time and memory."""
    assert len(fixed_points(lambda x: x, 1.0, 2.0)) == 1


def test_a_point_within_rounding_of_the_end_is_found():
    """F(1) = 1 - 2e-14: neither clear of rounding nor within it, but the point below 1 is there."""

    def F(x):
        return (1 + np.tanh((x - 0.80551685) / 0.01236408)) / 2

    assert len(fixed_points(F, 0.0, 1.0)) == 3


def exact_optimum(dist, gamma):
    """Risk and omega at a fixed point near gamma, from the definitions, in 80 digits."""
    with mp.workdps(80):
        K, d = dist.K, dist.d
        R, r = mp.matrix(dist.R.tolist()), mp.matrix([[x] for x in map(float, dist.r)])
        N = mp.diag([mp.mpf(n) for n in dist.counts])
        Sx, C = mp.matrix(dist.Sx.tolist()), mp.matrix(dist.C.tolist())
        # Eigenvalues of Sx C are those of Sigma.
        s = [mp.re(x) for x in mp.eig(Sx * C, left=False, right=False)] if d > 1 else [Sx[0] * C[0]]
        s = [x if x > 0 else mp.mpf(0) for x in s]
        M = mp.mpf(dist.sigma) ** 2 + sum(s)

        def weights(gamma):
            squares = [(x / (M + gamma * x)) ** 2 for x in s]
            m = sum(x * q for x, q in zip(s, squares, strict=True)) / sum(squares)
            return mp.lu_solve(m / (M + m) * R * N + mp.eye(K), r)

        def ratio(w):
            return 1 + (w.T * N * R * N * w)[0] / (w.T * N * w)[0]

        low, high = mp.mpf(gamma) * (1 - mp.mpf(10) ** -5), mp.mpf(gamma) * (1 + mp.mpf(10) ** -5)
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if ratio(weights(middle)) > middle else (low, middle)
        w = weights(low)
        gain = (r.T * N * w)[0] ** 2 / (w.T * N * w)[0] * sum(x**2 / (M + low * x) for x in s)
        w = w / max(abs(x) for x in w)
        return float(low), float(M - gain), np.array([float(x) for x in w])


@pytest.mark.parametrize("seed", range(30))
def test_counts_of_many_scales_and_small_eigenvalues_keep_their_digits(seed):
    """Counts from 1 to 10^15, correlated tasks, diagonal Sx over 16 decades, dense or diagonal C."""
    rng = np.random.default_rng(seed)
    K, d = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    R, r = correlations(rng, K, K + 2)
    C = [None, covariance(rng, d, d, 1), 10.0 ** rng.uniform(-4, 4, d)][seed % 3]
    counts = tuple(int(10 ** rng.uniform(0, 15)) for _ in range(K))
    dist = PromptDistribution(
        d, counts, r, R=R, sigma=[0.0, 1e-6, 1.0][seed % 2], Sx=10.0 ** rng.uniform(-8, 8, d), C=C
    )
    best = optimal_wpgd(dist)
    gamma, risk, omega = exact_optimum(dist, best.gamma)
    assert best.gamma == pytest.approx(gamma, rel=1e-9)
    assert best.risk == pytest.approx(risk, rel=1e-9)
    np.testing.assert_allclose(best.omega, omega, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("n", [10, 10**6, 10**12, 10**15])
def test_a_small_risk_keeps_its_digits(n):
    """One noise-free task: risk/d is (d + 1) / (n + d + 1), also where that is far below rounding of the label."""
    for d in (1, 7):
        dist = PromptDistribution(d, (n,), (1.0,))
        best = optimal_wpgd(dist)
        assert best.risk == pytest.approx(d * (d + 1) / (n + d + 1), rel=1e-12)
        assert population_risk(dist, best.P, best.omega) == pytest.approx(best.risk, rel=1e-9)


def test_exactly_given_small_eigenvalues_count():
    """Sx = diag(1e16, 1, 1): P on the weak features is 21 times P on the strong one, not zero."""
    for Sx in (np.diag([1e16, 1, 1]), [1e16, 1, 1]):
        P = np.diag(optimal_wpgd(PromptDistribution(3, (10, 20), (0.2, 0.8), Sx=Sx)).P)
        assert P[1] / P[0] == pytest.approx(21.049489395, rel=1e-9)
    hundred = PromptDistribution(100, (10, 20), (0.2, 0.8), Sx=[1e15] + [1.0] * 99)
    assert np.count_nonzero(hundred.signal_spectrum[0]) == 100
    # Theorem B' counts them where they could make a second minimum: 1e-9 with 1e9 examples, not 1e-18.
    for small, ranks in ((1e-18, (1, 1)), (1e-9, (13, 14))):
        for d, rank in zip((13, 14), ranks, strict=True):
            found = uniqueness(PromptDistribution(d, (1, 10**9), (0.6, 0.8), Sx=[1.0] + [small] * (d - 1)))
            assert found.rank == rank and found.holds_sharp == (rank <= 13)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_singular_values_at_any_scale(scale):
    """LAPACK scales such matrices and returns the factor apart."""
    rng = np.random.default_rng(0)
    A = scale * np.diag([1e9, 1.0, 1e-9]) @ rng.normal(size=(3, 3))
    U, values, V = svd(A, scales=(1e9, 1e-9), rank=3)
    with mp.workdps(60):
        exact = [float(x) for x in mp.svd_r(mp.matrix(A.tolist()), compute_uv=False)]
    np.testing.assert_allclose(values, exact, rtol=1e-9)
    np.testing.assert_allclose((U * values) @ V.T, A, atol=1e-14 * values[0])


def test_every_optimum_says_by_what_it_is_one():
    dist = PromptDistribution(3, (4, 5), (0.2, 0.8))
    said = {
        weights: optimal_wpgd(dist, weights).certificate for weights in ("free", "uniform", "monotone", "constant-gate")
    }
    assert "all 1 stationary points enumerated" in said["free"]
    assert "over the cone" in said["monotone"] and "closed form" in said["uniform"] and said["constant-gate"]
    assert "closed form" in optimal_wpgd(dist, (1.0, 2.0)).certificate
    assert "r = 0" in optimal_wpgd(dist.replace(r=(0, 0))).certificate


def test_weights_that_can_gain_almost_nothing():
    """A first task with r within rounding of uselessness: the cone's optimum is the other sign's, and no error."""
    Sx = [1, 0.5, 0.1, 0.1, 0.01, 0.01]
    dist = PromptDistribution(6, (1000,) * 3, (0.3 + 1.78e-15, 0.2, -0.5), Sx=Sx)
    best = optimal_wpgd(dist, "monotone")
    assert best.risk == pytest.approx(population_risk(dist, best.P, best.omega), rel=1e-12)
    assert best.risk < optimal_wpgd(dist.replace(r=(0, 0, -0.4)), "monotone").risk


def dense_correlations(rng, K):
    factor = rng.normal(size=(K + 1, K + 2))
    factor /= np.linalg.norm(factor, axis=1, keepdims=True)
    joint = factor @ factor.T
    joint[np.diag_indices(K + 1)] = 1.0
    return joint[:K, :K], joint[:K, K]


@pytest.mark.parametrize("seed", range(4))
def test_small_eigenvalues_keep_their_digits_beside_large_ones(seed):
    """Scales of 1e-10 and less within one product: the usual singular values would lose the small ones altogether.

    To 1e-12, as dense factors of size 3 are well conditioned here; lost digits show as errors of 1e-6 to 1.
    """
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(3, 6))
    C, Sx = B @ B.T, np.diag([1e-44, 1e-20, 1.0])
    for pair in ((Sx, C), (C, Sx)):
        with mp.workdps(80):
            # Of Sx C, which has the eigenvalues of Sigma.
            wanted = mp.eig(mp.matrix(pair[0].tolist()) * mp.matrix(pair[1].tolist()), left=False, right=False)
            wanted = sorted(float(mp.re(x)) for x in wanted)
        assert np.sort(signal_spectrum(*pair)[0]) == pytest.approx(wanted, rel=1e-12, abs=0)

    R, r = dense_correlations(rng, 3)
    counts = (1, 10**7, 10**15)
    with mp.workdps(80):
        root = [mp.sqrt(n) for n in counts]
        A = mp.matrix(3, 3)
        for i in range(3):
            for j in range(3):
                A[i, j] = root[i] * mp.mpf(float(R[i, j])) * root[j]
        values, vectors = mp.eigsy(A)
        a = vectors.T * mp.matrix([root[i] * mp.mpf(float(r[i])) for i in range(3)])
        wanted = sorted((float(values[i]), float(abs(a[i]))) for i in range(3))
    lam, ours = task_spectrum(counts, r, *eigh(R))
    order = np.argsort(lam)
    assert lam[order] == pytest.approx([x for x, _ in wanted], rel=1e-12, abs=0)
    assert np.abs(ours[order]) == pytest.approx([x for _, x in wanted], rel=1e-12, abs=0)

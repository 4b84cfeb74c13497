"""What a scalar gate keeps of the gain in the worst case. Formulas in plain numpy, projections by least squares."""

import numpy as np
import pytest
from cases import covariance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, nnls

from glalib import PromptDistribution, optimal_wpgd

SEEDS = st.integers(0, 2**32 - 1)


def kept(r, nu=None):
    """The share, by non-negative least squares on the indicators of last entries; r in the inner product nu."""
    root = np.sqrt(np.ones(len(r)) if nu is None else nu)
    tails = root[:, None] * np.tril(np.ones((len(r),) * 2))
    t = root * r
    left = min(nnls(tails, s * t)[1] for s in (1, -1))  # the distance of a line to the cone
    return 1 - left**2 / (t @ t)


def worst(K):
    k = np.arange(1, K + 1)
    return (-1.0) ** (k - 1) * np.cos((2 * k - 1) * np.pi / (4 * K))


def share(dist):
    gated, best = (dist.M - optimal_wpgd(dist, w).risk for w in ("monotone", "free"))
    return gated / best


@pytest.mark.claim("prop-price-of-order")
@pytest.mark.parametrize("K", range(2, 31))
def test_the_worst_signs_keep_exactly_that_share(K):
    assert kept(worst(K)) == pytest.approx(np.sin(np.pi / (4 * K)) ** 2, rel=1e-9)
    assert kept(np.eye(K)[0]) == pytest.approx(1 / K, rel=1e-12)


@pytest.mark.claim("prop-price-of-order")
@given(K=st.integers(2, 9), near=st.floats(-6, 1), seed=SEEDS)
@settings(max_examples=200)
def test_no_relevances_keep_less(K, near, seed):
    rng = np.random.default_rng(seed)
    r = worst(K) + 10**near * rng.normal(size=K)
    floor = np.sin(np.pi / (4 * K)) ** 2
    # Below the floor by rounding only; near the worst little above it.
    assert kept(r) > floor * (1 - 1e-9)
    assert kept(r) < floor * 1.01 or near > -4
    agree = np.eye(K)[0] + 10**near * rng.random(K)
    assert kept(agree) > 1 / K * (1 - 1e-9)
    assert kept(agree) < 1.03 / K or near > -4


@pytest.mark.claim("prop-price-of-order")
@pytest.mark.parametrize("K", [2, 3])
def test_a_search_over_relevances_ends_at_the_worst(K):
    """Many starts, no gradient: the least share found is the floor, and its relevances are those of the statement."""
    rng, found = np.random.default_rng(K), []
    for _ in range(5 * K):
        options = {"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000, "maxfev": 4000}
        found.append(minimize(kept, rng.normal(size=K), method="Nelder-Mead", options=options))
    best = min(found, key=lambda one: one.fun)
    assert best.fun == pytest.approx(np.sin(np.pi / (4 * K)) ** 2, rel=1e-6)
    cosine = best.x @ worst(K) / np.linalg.norm(best.x) / np.linalg.norm(worst(K))
    assert abs(cosine) > 1 - 1e-4


@pytest.mark.claim("prop-price-of-order")
@given(K=st.integers(2, 5), signed=st.booleans(), size=st.integers(1, 50), seed=SEEDS)
@settings(max_examples=30)
def test_the_share_of_the_risk_is_that_of_the_projection(K, signed, size, seed):
    """Any features, any C, any noise: the solver for risks knows nothing of projections."""
    rng = np.random.default_rng(seed)
    r = rng.normal(size=K) if signed else rng.random(K)
    d = int(rng.integers(1, 5))
    options = {"Sx": covariance(rng, d, d, 2), "C": covariance(rng, d, max(1, d - 1), 1), "sigma": rng.random()}
    dist = PromptDistribution(d, (size,) * K, 0.9 * r / np.linalg.norm(r), **options)
    assert share(dist) == pytest.approx(kept(r), rel=1e-6)


@pytest.mark.claim("prop-price-of-order")
@given(K=st.integers(2, 6), power=st.integers(1, 30), decades=st.floats(0, 4), seed=SEEDS)
@settings(max_examples=200)
def test_unequal_sizes(K, power, decades, seed):
    """In the quotient of projections, for every h: the floor of the sizes, attained by one relevant task."""
    rng = np.random.default_rng(seed)
    n, h = 10 ** (decades * rng.random(K)), 10 ** rng.uniform(-4, 0)
    nu, r = n * (1 + h * n), rng.random(K) ** power
    floors = nu / np.cumsum(nu[::-1])[::-1]
    assert kept(r / (1 + h * n), nu) > floors.min() * (1 - 1e-6)
    assert kept(np.eye(K)[floors.argmin()], nu) == pytest.approx(floors.min(), rel=1e-6)
    falling = np.sort(nu)[::-1]
    assert kept(r / (1 + h * n), falling) > 1 / K * (1 - 1e-9)


@pytest.mark.claim("prop-price-of-order")
@pytest.mark.parametrize("length", [1, 10, 1000])
def test_one_example_before_a_long_useless_task(length):
    dist = PromptDistribution(10, (1, length), (0.9, 0.0))
    assert share(dist) == pytest.approx(12 / (12 + length * (length + 11)), rel=1e-8)

"""Random prompt distributions for the tests: shapes and spectra from hypothesis, matrices from a seed it also draws."""

import numpy as np
from hypothesis import strategies as st

from glalib import PromptDistribution


def covariance(rng, d, rank, decades):
    """A d x d covariance of that rank, its eigenvalues spread over so many powers of ten, in a random basis."""
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    values = 10.0 ** (-decades * rng.random(d)) * (np.arange(d) < rank)
    return (basis * values) @ basis.T


def correlations(rng, K, rank):
    """R and r from one (K+1) x (K+1) correlation matrix of that rank."""
    factor = rng.normal(size=(K + 1, rank))
    factor /= np.linalg.norm(factor, axis=1, keepdims=True)
    joint = factor @ factor.T
    np.fill_diagonal(joint, 1.0)
    return joint[:K, :K], joint[:K, K]


@st.composite
def distributions(draw, max_d=5, max_K=4, max_count=6, decades=2):
    """Any distribution: general Sx, C (singular ones too), R, r (singular too), sigma (zero too)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    d, K = draw(st.integers(1, max_d)), draw(st.integers(1, max_K))
    counts = draw(st.lists(st.integers(1, max_count), min_size=K, max_size=K))
    R, r = correlations(rng, K, draw(st.integers(1, K + 2)))
    Sx = draw(st.sampled_from(["identity", "full", "singular"]))
    C = draw(st.sampled_from(["identity", "full", "singular"]))
    rank = {"full": d, "singular": max(1, d - 1)}
    return PromptDistribution(
        d,
        counts,
        r,
        R=R,
        sigma=draw(st.sampled_from([0.0, 0.3, 2.0])),
        Sx=None if Sx == "identity" else covariance(rng, d, rank[Sx], decades),
        C=None if C == "identity" else covariance(rng, d, rank[C], decades),
    )


def same_tasks_one_by_one(dist):
    """The same distribution at the example level: counts = (1,) * n and the n x n correlation matrix."""
    index = dist.task_index
    return PromptDistribution(
        dist.d, (1,) * dist.n, dist.r[index], R=dist.R[np.ix_(index, index)], sigma=dist.sigma, Sx=dist.Sx, C=dist.C
    )

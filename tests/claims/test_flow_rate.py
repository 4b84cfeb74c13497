"""The rate of gradient flow: Hessians by automatic differentiation on the level set, and flows that are integrated."""

import numpy as np
import pytest
import torch
from cases import distributions
from hypothesis import assume, given, settings
from scipy.integrate import solve_ivp

from glalib import PromptDistribution, optimal_wpgd
from glalib.risk import slope


def risk_of(dist):
    """The risk of the n weights, written example by example."""
    index, d = dist.task_index, dist.d
    R, r = torch.tensor(dist.R[np.ix_(index, index)]), torch.tensor(dist.r[index])
    Sx, C, M = torch.tensor(dist.Sx), torch.tensor(dist.C), dist.M

    def risk(flat):
        P, w = flat[: d * d].reshape(d, d), flat[d * d :]
        Y = P.T @ Sx @ P @ Sx
        agree = w @ w + w @ R @ w
        return M - 2 * (r @ w) * (Sx @ C @ Sx @ P).trace() + M * (w @ w) * Y.trace() + agree * (Y @ C @ Sx).trace()

    return risk


def at_scale(dist, c, best=None):
    best = best or optimal_wpgd(dist)
    return best, torch.tensor(np.concatenate([(c * best.P).ravel(), dist.expand(best.omega) / c]))


def tangent_curvature(dist, flat):
    """Smallest eigenvalue of the Hessian among directions orthogonal to (P, -omega); and its largest entry."""
    H = torch.func.hessian(risk_of(dist))(flat).numpy()
    normal = flat.numpy() * np.where(np.arange(len(flat)) < dist.d**2, 1, -1)
    basis = np.linalg.svd(normal[None])[2][1:]
    return np.linalg.eigvalsh(basis @ H @ basis.T)[0], np.abs(H).max()


def bounds(dist, best, flat):
    """mu(p-, w-) and mu(p+, w+), from the sums over examples rather than from h2."""
    d, M, index = dist.d, dist.M, dist.task_index
    P, w = np.split(flat.numpy(), [d * d])
    P = P.reshape(d, d)
    full, spread = M * np.trace(P.T @ dist.Sx @ P @ dist.Sx), np.trace(P.T @ dist.Sx @ P @ dist.Sx @ dist.C @ dist.Sx)
    in_w = 2 * np.linalg.eigvalsh((full + spread) * np.eye(len(w)) + spread * dist.R[np.ix_(index, index)])
    inner = M * dist.Sx + best.gamma * dist.Sx @ dist.C @ dist.Sx
    in_P = 2 * (w @ w) * np.linalg.eigvalsh(np.kron(dist.Sx, inner))
    F = slope(dist, best.gamma)

    def slow(p, q):
        return np.linalg.eigvalsh([[p, -np.sqrt(p * q * F)], [-np.sqrt(p * q * F), q]])[0]

    return slow(in_P[0], in_w[0]), slow(in_P[-1], in_w[-1])


@pytest.mark.claim("thm-flow-rate")
@settings(max_examples=12)
@given(distributions(max_d=3, max_K=3, max_count=2, decades=1))
def test_the_rate_lies_between_its_bounds(dist):
    """On every kind of distribution with nonsingular features, at three scales."""
    assume(dist.r.any() and np.linalg.eigvalsh(dist.Sx)[0] > 1e-6 and dist.n > 1)
    assume(optimal_wpgd(dist).P.any() and slope(dist, optimal_wpgd(dist).gamma) < 0.99)
    for scale in (0.3, 1.0, 5.0):
        best, flat = at_scale(dist, scale)
        (mu, size), (low, high) = tangent_curvature(dist, flat), bounds(dist, best, flat)
        assert low <= mu + 1e-9 * size
        if dist.d > 1:
            assert mu <= high + 1e-9 * size


@pytest.mark.claim("thm-flow-rate")
@pytest.mark.parametrize("k", [-20.0, 0.0, 5.0])
def test_white_features_have_a_closed_form(k):
    """mu = 2 min((M + gamma) |omega|^2, (M + 1) |P|^2), each side of the balance, and the flow falls at twice that."""
    dist = PromptDistribution(2, (3, 2), (0.4, 0.7), sigma=0.5)
    best, _ = at_scale(dist, 1.0)
    p, w = np.sum(best.P**2), np.sum(dist.expand(best.omega) ** 2)
    c2 = (k + np.sqrt(k * k + 4 * p * w)) / (2 * p)
    _, flat = at_scale(dist, np.sqrt(c2))
    mu = 2 * min((dist.M + best.gamma) * w / c2, (dist.M + 1) * p * c2)
    assert tangent_curvature(dist, flat)[0] == pytest.approx(mu, rel=1e-9)

    gradient = torch.func.grad(risk_of(dist))
    push = np.random.default_rng(0).normal(size=len(flat))
    start = flat.numpy() + 1e-3 * np.linalg.norm(flat) * push / np.linalg.norm(push)
    path = solve_ivp(
        lambda t, x: -gradient(torch.tensor(x)).numpy(),
        (0, 6 / mu),
        start,
        t_eval=(4 / mu, 6 / mu),
        method="LSODA",
        rtol=1e-11,
        atol=1e-14,
    )
    first, last = (risk_of(dist)(torch.tensor(y)).item() - best.risk for y in path.y.T)
    # A random push holds the slowest direction; after four time constants little else is left.
    assert np.log(first / last) / (2 / mu) == pytest.approx(2 * mu, rel=0.01)


@pytest.mark.claim("thm-flow-rate")
def test_the_bounds_along_a_branch():
    """The lower one is largest at the balanced scale; both fall like 1/|k|."""
    dist = PromptDistribution(3, (2, 2), (0.4, 0.7), Sx=np.diag([1.0, 0.6, 0.3]), sigma=0.5)
    scales = np.geomspace(0.1, 10, 401)
    best = optimal_wpgd(dist)
    found = [at_scale(dist, c, best) for c in scales]
    lows = np.array([bounds(dist, best, flat)[0] for best, flat in found])
    omega = dist.expand(best.omega)
    full = np.trace(best.P.T @ dist.Sx @ best.P @ dist.Sx)
    spread = np.trace(best.P.T @ dist.Sx @ best.P @ dist.Sx @ dist.Sx)
    p = omega @ omega * 0.3 * np.linalg.eigvalsh(dist.M * dist.Sx + best.gamma * dist.Sx @ dist.Sx)[0]
    balanced = (p / (dist.M * full + spread)) ** 0.25
    assert abs(np.log(scales[lows.argmax()] / balanced)) < np.log(scales[1] / scales[0]) / 2

    for far in (0.01, 100.0):  # twice as far in scale is four times as far in k, but for 1e-6 of it
        near, beyond = (bounds(dist, *at_scale(dist, c)) for c in (far, far * 2 ** np.sign(far - 1)))
        assert np.divide(near, beyond) == pytest.approx([4, 4], rel=1e-3)


@pytest.mark.claim("thm-flow-rate")
@pytest.mark.parametrize("steep", [0.0, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("p, w", [(1.0, 1.0), (0.01, 1.0), (3.0, 2.0), (5.0, 0.1)])
def test_equal_curvatures_meet_the_formula(steep, p, w):
    """Diagonal blocks p I and w I, coupled by singular values 1 and sqrt(F'): beside the zero, mu(p, w) is smallest."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(size, 2)))[0] for size in (4, 3))
    coupling = np.sqrt(p * w) * (left * [1, np.sqrt(steep)]) @ right.T
    values = np.linalg.eigvalsh(np.block([[p * np.eye(4), coupling], [coupling.T, w * np.eye(3)]]))
    mu = 2 * p * w * (1 - steep) / (p + w + np.sqrt((p - w) ** 2 + 4 * p * w * steep))
    assert values[:2] == pytest.approx([0, mu], rel=1e-9, abs=1e-12)
    assert p * w / (p + w) * (1 - steep) <= mu * (1 + 1e-12) and mu <= min(p, w) * (1 - steep) * (1 + 1e-12)
    if p == w:
        assert mu == pytest.approx(p * (1 - np.sqrt(steep)), rel=1e-12)

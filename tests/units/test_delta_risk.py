"""The delta rule's risk against dense matrices and simulation, and its optimum against brute force."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from glalib import PromptDistribution, delta_rule_risk, optimal_delta_rule, optimal_wpgd
from glalib.delta_rule import PER
from glalib.delta_steps import Law


def random_dist(rng, most=5):
    """General Sx, C, R, r and sigma, of full rank and not; or white."""
    d, K = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    factors = rng.normal(size=(K + 1, rng.integers(1, K + 2)))
    factors /= np.linalg.norm(factors, axis=1, keepdims=True)
    joint = factors @ factors.T
    np.fill_diagonal(joint, 1.0)

    def covariance():
        basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
        values = 10 ** rng.uniform(-1, 0.5, size=d)
        values[1:] *= rng.random(d - 1) < 0.8
        return (basis * values) @ basis.T

    Sx, C = (covariance() if rng.random() < 0.7 else None for _ in "ab")
    if Sx is not None and C is not None and np.trace(Sx @ C) < 1e-6:
        C = None
    counts = [int(c) for c in rng.integers(1, most, size=K)]
    return PromptDistribution(
        d, counts, joint[:K, K], R=joint[:K, :K], sigma=float(rng.choice([0, 0.5, 2])), Sx=Sx, C=C
    )


def random_steps(rng, dist):
    """Steps of moderate size, some of them negative, and decays; per prompt, task or example."""
    beta, alpha = ((), (dist.K,), (dist.n,))[rng.integers(3)], ((), (dist.K,), (dist.n,))[rng.integers(3)]
    return rng.uniform(-0.2, 1, size=beta) / (np.trace(dist.Sx) + 2), rng.uniform(0.3, 1, size=alpha)


def spread(dist, value):
    return np.full(dist.n, value) if np.ndim(value) == 0 else dist.expand(value)


def dense(dist, beta, alpha, scale):
    """The same recursion for d x d matrices, in no basis: A = E b b^T and B_l = E b beta_l^T, the query's last."""
    Sx, C, K = dist.Sx, dist.C, dist.K
    joint = np.block([[dist.R, dist.r[:, None]], [dist.r, 1.0]])
    A, B = np.zeros((dist.d, dist.d)), np.zeros((K + 1, dist.d, dist.d))
    for k, b, a in zip(dist.task_index, spread(dist, beta), spread(dist, alpha), strict=True):
        D, E = B[k].T - a * A, C - a * (B[k] + B[k].T) + a**2 * A
        fourth = 2 * Sx @ E @ Sx + np.trace(Sx @ E) * Sx + dist.sigma**2 * Sx
        A = a**2 * A + a * b * (Sx @ D + D.T @ Sx) + b**2 * fourth
        B = a * (B - b * Sx @ B) + b * joint[k, :, None, None] * (Sx @ C)
    overlap, energy = np.trace(Sx @ B[K]), np.trace(Sx @ A)
    return dist.M - overlap**2 / energy if scale is None else dist.M - 2 * scale * overlap + scale**2 * energy


def predictions(prompts, beta, alpha):
    """x^T b_n by the loop that a layer runs."""
    b = torch.zeros_like(prompts.beta_query)
    for i in range(prompts.x.shape[1]):
        x = prompts.x[:, i]
        b = alpha[i] * b
        b = b + beta[i] * (prompts.y[:, i] - (x * b).sum(1))[:, None] * x
    return (prompts.x_query[:, 0] * b).sum(1)


# CLAIM
@pytest.mark.claim("thm-delta-risk")
def test_it_is_the_recursion_of_whole_matrices():
    rng = np.random.default_rng(0)
    for _ in range(300):
        dist = random_dist(rng)
        beta, alpha = random_steps(rng, dist)
        for scale in (None, 0.7):
            wanted = dense(dist, beta, alpha, scale)
            assert np.isclose(delta_rule_risk(dist, beta, alpha, scale), wanted, rtol=1e-12, atol=1e-12 * dist.M)


# CLAIM
@pytest.mark.claim("thm-delta-risk")
def test_it_is_the_risk_of_the_loop():
    """200 distributions. Of as many normal numbers the largest is above 4.5 once in seven hundred times, and the mean
    square is one to 0.1; a formula that is off by more than its error on a few of them would show in either."""
    rng, generator, z = np.random.default_rng(1), torch.Generator().manual_seed(0), []
    for _ in range(200):
        dist = random_dist(rng)
        beta, alpha = random_steps(rng, dist)
        prompts = dist.sample(8000, generator, dtype=torch.float64)
        predicted = predictions(prompts, spread(dist, beta), spread(dist, alpha))
        errors = (prompts.y_query[:, 0] - 0.8 * predicted) ** 2
        z.append(float((errors.mean() - delta_rule_risk(dist, beta, alpha, 0.8)) / (errors.std() / 8000**0.5)))
    z = np.array(z)
    assert np.abs(z).max() < 4.5
    assert 0.5 < np.mean(z**2) < 1.5


def brute(dist, per, decay, starts=4, seed=0):
    """The least risk / M from random starts, over steps and decays, by derivatives that are differences."""
    rng = np.random.default_rng(seed)
    shape = {"prompt": 1, "task": dist.K, "example": dist.n}[per]
    unit = 1 / (np.trace(dist.Sx) + 2 * np.linalg.eigvalsh(dist.Sx)[-1])

    def loss(z):
        beta, alpha = unit * z[:shape], z[shape:] if decay else np.ones(shape)
        return dense(dist, *(v[0] if per == "prompt" else v for v in (beta, alpha)), None) / dist.M

    best = 1.0
    for _ in range(starts):
        start = 10 ** rng.uniform(-1, 0.2) * rng.normal(size=shape)
        bounds = [(-4, 4)] * shape + [(0.0, 1.0)] * (shape * decay)
        start = np.append(start, rng.random(shape * decay))
        options = {"ftol": 1e-13, "gtol": 1e-9}
        best = min(best, minimize(loss, start, method="L-BFGS-B", bounds=bounds, options=options).fun)
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_is_no_worse_than_brute_force(seed):
    dist = random_dist(np.random.default_rng(100 + seed), most=3)
    for per, decay in (("prompt", False), ("task", False), ("example", False)):
        found = optimal_delta_rule(dist, per, decay)
        assert found.risk <= brute(dist, per, decay) * dist.M + 1e-6 * dist.M
        assert np.isclose(delta_rule_risk(dist, found.beta, found.alpha, found.scale), found.risk, atol=1e-7 * dist.M)
        assert np.isclose(delta_rule_risk(dist, found.beta, found.alpha), found.risk, rtol=0, atol=1e-9 * dist.M)
        assert found.beta.shape == found.alpha.shape == {"prompt": (), "task": (dist.K,), "example": (dist.n,)}[per]
        assert ((found.alpha >= 0) & (found.alpha <= 1)).all() and (decay or (found.alpha == 1).all())


@pytest.mark.parametrize("seed", range(3))
def test_more_freedom_does_no_harm(seed):
    dist = random_dist(np.random.default_rng(200 + seed), most=3)
    risk = {(per, g): optimal_delta_rule(dist, per, g).risk for per in PER for g in (False, True)}
    slack = 1e-7 * dist.M
    for per in PER:
        assert risk[per, 1] <= risk[per, 0] + slack
    for g in (0, 1):
        assert risk["example", g] <= risk["task", g] + slack <= risk["prompt", g] + 2 * slack


@pytest.mark.parametrize("sigma", [0.0, 0.5, 3.0])
def test_the_closed_form_for_one_task(sigma):
    """Against brute force, and with a feature that never varies; equal steps are best without noise alone."""
    for Sx in (None, [2.0, 2.0, 0.0]):
        dist = PromptDistribution(3, (4,), (0.6,), sigma=sigma, Sx=Sx, C=[1.0, 2.0, 0.5])
        found = optimal_delta_rule(dist, "example", decay=True)
        assert "closed form" in found.certificate and (found.alpha == 1).all()
        assert np.isclose(found.risk, brute(dist, "example", False, starts=2) * dist.M, rtol=1e-7)
        assert found.risk <= brute(dist, "example", True, starts=1) * dist.M * (1 + 1e-9)
        assert np.isclose(found.scale, 0.6)  # the estimate is the task, and the query's is r times that and news
        per_task = optimal_delta_rule(dist, "task")
        assert (per_task.risk < found.risk * (1 + 1e-12)) == (sigma == 0)
        assert np.isclose(per_task.risk, brute(dist, "task", False) * dist.M, rtol=1e-7)


def test_the_limit_of_small_steps_is_a_weighted_step():
    rng = np.random.default_rng(3)
    for _ in range(30):
        dist = random_dist(rng)
        omega, gain = Law(dist).limit()
        scale = 1e-7 / Law(dist).top
        small = delta_rule_risk(dist, scale * omega)
        assert np.isclose(small, dist.M * (1 - gain), atol=1e-5 * dist.M)
    white = PromptDistribution(4, (3, 5), (0.2, 0.8), sigma=1.0)
    assert np.isclose(white.M * (1 - Law(white).limit()[1]), optimal_wpgd(white).risk, rtol=1e-12)


def test_units_do_not_matter():
    """Features and labels in other units, however large or small: the same risk over M."""
    dist = PromptDistribution(3, (3, 4), (0.3, 0.7), sigma=0.5, Sx=[1.0, 0.5, 0.2])
    other = dist.replace(Sx=1e30 * dist.Sx, C=1e-90 * dist.C, sigma=0.5e-30)
    beta = np.array([0.1, 0.3])
    assert np.isclose(delta_rule_risk(other, 1e-30 * beta) / other.M, delta_rule_risk(dist, beta) / dist.M, rtol=1e-12)
    one, two = optimal_delta_rule(dist), optimal_delta_rule(other)
    assert np.isclose(one.risk / dist.M, two.risk / other.M, rtol=1e-9)
    assert np.allclose(one.beta, 1e30 * two.beta, rtol=1e-3)


def test_nothing_to_learn():
    dist = PromptDistribution(2, (2, 2), (0.0, 0.0), sigma=1.0)
    for per in PER:
        found = optimal_delta_rule(dist, per)
        assert found.risk == dist.M and not found.beta.any()
    assert delta_rule_risk(dist, 0.0) == delta_rule_risk(dist, 0.0, scale=1e200) == dist.M
    assert found.to_dict()["beta"] == [0.0] * 4


def test_tiny_steps_are_a_weighted_step():
    """However tiny: nothing underflows."""
    wanted = optimal_wpgd(D, "uniform").risk
    for step in (1e-100, 1e-160, 1e-200, 1e-300):
        assert np.isclose(delta_rule_risk(D, step), wanted, rtol=1e-12)
        assert np.isclose(delta_rule_risk(D, step, scale=0.1), D.M, rtol=1e-12)


D = PromptDistribution(2, (3, 4), (0.2, 0.1))
BAD = {
    "no distribution": (lambda: delta_rule_risk(None, 0.1), "dist must be a PromptDistribution; got NoneType"),
    "no distribution, optimum": (lambda: optimal_delta_rule(3), "dist must be a PromptDistribution; got int"),
    "steps of a wrong shape": (lambda: delta_rule_risk(D, [0.1] * 3), r"beta must be a number, or of shape \(2,\)"),
    "steps of NaN": (lambda: delta_rule_risk(D, float("nan")), "beta must be finite"),
    "decays of a wrong shape": (lambda: delta_rule_risk(D, 0.1, [1.0] * 3), "alpha must be a number, or of shape"),
    "a decay above one": (lambda: delta_rule_risk(D, 0.1, 1.1), r"alpha must be in \[0, 1\]"),
    "a scale in text": (lambda: delta_rule_risk(D, 0.1, scale="1"), "scale must be a finite number; got '1'"),
    "steps too large": (lambda: delta_rule_risk(D, 1e60), "beta and scale must be small enough for a finite risk"),
    "a scale too large": (lambda: delta_rule_risk(D, 0.1, 1.0, 1e200), "beta and scale must be small enough"),
    "per token": (lambda: optimal_delta_rule(D, "token"), "per must be one of 'prompt', 'task', 'example'"),
    "decay a number": (lambda: optimal_delta_rule(D, decay=0.5), "decay must be one of True, False; got 0.5"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, complaint = BAD[name]
    with pytest.raises((ValueError, TypeError), match=complaint):
        call()

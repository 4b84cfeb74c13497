"""The delta rule's risk against dense matrices and simulation, and its optimum against brute force."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammaln

from glalib import PromptDistribution, delta_rule_risk, optimal_delta_rule, optimal_wpgd
from glalib.delta.law import Law, UnitLaw
from glalib.delta.risk import PER


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


def predictions(x, y, x_query, beta, alpha):
    """k^T b_n by the loop that a layer runs, with x as keys, (batch, n, d)."""
    b = torch.zeros_like(x[:, 0])
    for i in range(x.shape[1]):
        b = alpha[i] * b
        b = b + beta[i] * (y[:, i] - (x[:, i] * b).sum(1))[:, None] * x[:, i]
    return (x_query[:, 0] * b).sum(1)


# CLAIM
@pytest.mark.claim("thm-delta-risk")
def test_it_is_the_recursion_of_whole_matrices():
    rng = np.random.default_rng(0)
    for _ in range(200):
        dist = random_dist(rng)
        beta, alpha = random_steps(rng, dist)
        for scale in (None, 0.7):
            wanted = dense(dist, beta, alpha, scale)
            assert np.isclose(delta_rule_risk(dist, beta, alpha, scale), wanted, rtol=1e-12, atol=1e-12 * dist.M)


# CLAIM
@pytest.mark.claim("thm-delta-risk")
@pytest.mark.claim("thm-delta-unit")
def test_it_is_the_risk_of_the_loop():
    """200 distributions, keys as they are and of length one. Of as many normal numbers the largest is above 4.5 once in
    seven hundred times, and the mean square is one to 0.1; a formula that is off by more than its error on a few of
    them would show in either."""
    rng, generator, z = np.random.default_rng(1), torch.Generator().manual_seed(0), []
    for _ in range(200):
        dist = random_dist(rng)
        beta, alpha = random_steps(rng, dist)
        prompts = dist.sample(3000, generator, dtype=torch.float64)
        for normalised in (False, True):
            # Steps on keys of length one may be as long as one; as they are drawn they are in units of trace Sx + 2.
            steps = beta * (np.trace(dist.Sx) + 2) if normalised else beta
            x, x_query = (
                torch.nn.functional.normalize(v, dim=-1) if normalised else v for v in (prompts.x, prompts.x_query)
            )
            predicted = predictions(x, prompts.y, x_query, spread(dist, steps), spread(dist, alpha))
            errors = (prompts.y_query[:, 0] - 0.8 * predicted) ** 2
            off = errors.mean() - delta_rule_risk(dist, steps, alpha, 0.8, normalised)
            z.append(float(off / (errors.std() / 3000**0.5)))
    for each in (z[::2], z[1::2]):
        assert np.abs(each).max() < 4.5
        assert 0.5 < np.mean(np.square(each)) < 1.5


# CLAIM
@pytest.mark.claim("thm-delta-unit")
@pytest.mark.parametrize("small", [1.0, 0.3, 1e-3])
def test_moments_of_keys_of_length_one_are_integrals_over_the_angle(small):
    """In the plane: the density of angle and length is known, and a sum over equal angles is as good as an integral."""
    found = UnitLaw(PromptDistribution(2, (1,), (1.0,), Sx=[1.0, small]))
    angle = np.arange(40_000) * (2 * np.pi / 40_000)
    squares = np.stack([np.cos(angle) ** 2, np.sin(angle) ** 2])
    inverse = squares.T @ [1, 1 / small]
    # The integral of rho^t over the density rho exp(-rho^2 inverse / 2) / (2 pi small^1/2), for t = 0, 1, 2.
    lengths = [1 / inverse, np.sqrt(np.pi / 2) / inverse**1.5, 2 / inverse**2]
    mean = [weight / (len(angle) * np.sqrt(small)) for weight in lengths]
    times = found.times[0]  # 2 if both directions are one eigenspace
    pick = [slice(None)] if times == 2 else [slice(1, 2), slice(0, 1)]  # eigenvalues ascend
    parts = np.stack([squares[one].sum(0) for one in pick])
    assert np.allclose(found.read * times, parts @ mean[0], rtol=1e-12)
    assert np.allclose(found.cross * times, parts @ mean[1], rtol=1e-12)
    for pairs, weight in zip(found.pairs, mean[::-1], strict=True):
        assert np.allclose(pairs * times, (parts * weight) @ parts.T, rtol=1e-12)


# CLAIM
@pytest.mark.claim("thm-delta-unit")
def test_moments_of_keys_of_length_one_in_many_dimensions():
    """White features: 1/d, E|x|/d and their like, up to hundreds of directions. The trace of k k^T is one, of any."""
    for d in (1, 3, 40, 800):
        law, mean = (
            UnitLaw(PromptDistribution(d, (1,), (1.0,))),
            np.sqrt(2) * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2)),
        )
        wanted = [1 / d, mean / d, 1.0, mean / d, 1 / d]
        assert np.allclose([law.read[0], law.cross[0], *(pairs[0, 0] for pairs in law.pairs)], wanted, rtol=1e-11)
    law = UnitLaw(PromptDistribution(6, (1,), (1.0,), Sx=[1e6, 10.0, 10.0, 1.0, 1e-9, 0.0]))
    assert np.isclose(law.read @ law.times, 1, rtol=1e-13)
    two, one, none = (np.sum(pairs, axis=0) for pairs in law.pairs)
    assert np.allclose([two, one, none], [law.xi, law.cross, law.read], rtol=1e-12)


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


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_is_no_worse_than_brute_force(seed):
    dist = random_dist(np.random.default_rng(100 + seed), most=3)
    for per, decay in (("prompt", False), ("task", False), ("example", False)):
        found = optimal_delta_rule(dist, per, decay)
        assert found.risk <= brute(dist, per, decay) * dist.M + 1e-6 * dist.M
        assert np.isclose(delta_rule_risk(dist, found.beta, found.alpha, found.scale), found.risk, atol=1e-7 * dist.M)
        assert np.isclose(delta_rule_risk(dist, found.beta, found.alpha), found.risk, rtol=0, atol=1e-9 * dist.M)
        assert found.beta.shape == found.alpha.shape == {"prompt": (), "task": (dist.K,), "example": (dist.n,)}[per]
        assert ((found.alpha >= 0) & (found.alpha <= 1)).all() and (decay or (found.alpha == 1).all())


SMALL = {  # where a local search could end at a lesser maximum
    "best last": PromptDistribution(3, (2, 2), (0.2, 0.8)),
    "best first": PromptDistribution(3, (2, 2), (0.8, 0.2)),
    "a long first block": PromptDistribution(2, (4, 1), (0.1, 0.9)),
    "noise": PromptDistribution(2, (2, 3), (0.6, 0.5), sigma=1.5),
    "both signs": PromptDistribution(2, (2, 2), (-0.5, 0.6), sigma=0.3),
    "both signs, correlated": PromptDistribution(
        2, (1, 2, 1), (0.5, 0.1, -0.5), R=[[1, 0.4, 0], [0.4, 1, 0.3], [0, 0.3, 1]]
    ),
    "uneven": PromptDistribution(2, (2, 2), (0.7, 0.5), Sx=[1.0, 0.1], C=[0.3, 4.0]),
}


def by_grid(law, per, points, seed=0):
    """The largest gain / M near the best few of many points, in steps and decays as they are, by differences."""
    dist, rng = law.dist, np.random.default_rng(seed)
    size = dist.K if per == "task" else dist.n
    steps = np.where(rng.random((points, size)) < 0.7, 1, -1) * 10 ** rng.uniform(-2, 0.3, size=(points, size))
    tried = np.hstack([steps, np.where(rng.random((points, size)) < 0.3, 1, rng.random((points, size)))])
    place = dist.task_index if per == "task" else np.arange(dist.n)

    def gain(z):
        each = law.unit * z[..., :size][..., place]
        return law.gain(each, each, z[..., size:][..., place])

    def loss(z):
        moved = z + 1e-6 * np.vstack([np.zeros(len(z)), np.eye(len(z)), -np.eye(len(z))])
        value, up, down = np.split(gain(moved), [1, 1 + len(z)])
        return -value[0], (down - up) / 2e-6

    best = 0.0
    for start in tried[np.argsort(-gain(tried))[:6]]:
        bounds = [(-5, 5)] * size + [(1e-6, 1 - 1e-6)] * size
        found = minimize(loss, np.clip(start, *np.transpose(bounds)), jac=True, method="L-BFGS-B", bounds=bounds)
        best = np.maximum(best, -found.fun)
    return best


@pytest.mark.parametrize("name", SMALL)
def test_with_decays_it_is_no_worse_than_a_grid(name):
    dist = SMALL[name]
    for per, points in (("task", 2000), ("example", 3000)):
        found = optimal_delta_rule(dist, per, decay=True)
        assert found.risk <= dist.M * (1 - by_grid(Law(dist), per, points) + 1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_more_freedom_does_no_harm(seed):
    dist = random_dist(np.random.default_rng(202 + seed), most=2)
    unit = bool(seed)
    risk = {(per, g): optimal_delta_rule(dist, per, g, unit).risk for per in PER for g in (False, True)}
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
        least = by_grid(Law(dist), "example", 1000)
        assert 1 - 1e-9 < (1 - found.risk / dist.M) / least < 1 + 1e-5
        assert np.isclose(found.scale, 0.6)  # the estimate is the task, and the query's is r times that and news
        per_task = optimal_delta_rule(dist, "task")
        assert (per_task.risk < found.risk * (1 + 1e-12)) == (sigma == 0)
        equal = minimize_scalar(partial(delta_rule_risk, dist), bounds=(0, 1), method="bounded")
        assert np.isclose(per_task.risk, equal.fun, rtol=1e-7)


def _near(omega, rng):
    return [omega, *(omega + 0.3 * rng.normal(size=omega.shape) for _ in range(5))]


def test_the_limit_of_small_steps_is_a_weighted_step():
    rng = np.random.default_rng(3)
    for _ in range(30):
        dist = random_dist(rng)
        for law, normalised in ((Law(dist), False), (UnitLaw(dist), True)):
            omega, gain = law.limit()
            risks = [delta_rule_risk(dist, 1e-7 / law.top * w, normalised=normalised) for w in _near(omega, rng)]
            assert np.isclose(risks[0], dist.M * (1 - gain), atol=1e-5 * dist.M)
            assert min(risks[1:]) > risks[0] - 1e-5 * dist.M  # no weights are better
    white = PromptDistribution(4, (3, 5), (0.2, 0.8), sigma=1.0)
    assert np.isclose(white.M * (1 - Law(white).limit()[1]), optimal_wpgd(white).risk, rtol=1e-12)


# CLAIM
@pytest.mark.claim("prop-delta-unit-task")
@pytest.mark.parametrize("sigma", [0.0, 0.5, 3.0])
def test_the_closed_form_for_one_task_and_keys_of_length_one(sigma):
    for Sx in (None, [2.0, 2.0, 0.0]):
        dist = PromptDistribution(3, (4,), (0.6,), sigma=sigma, Sx=Sx, C=[1.0, 2.0, 0.5])
        found, law = optimal_delta_rule(dist, "example", True, normalised=True), UnitLaw(dist)
        assert "closed form" in found.certificate and (found.alpha == 1).all()
        assert np.isclose(delta_rule_risk(dist, found.beta, normalised=True), found.risk, rtol=1e-12)
        least = by_grid(law, "example", 1000)
        assert 1 - 1e-9 < (1 - found.risk / dist.M) / least < 1 + 1e-5
        assert "searches" in optimal_delta_rule(dist, "task", normalised=True).certificate  # equal steps are not best


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
    "normalised a number": (
        lambda: delta_rule_risk(D, 0.1, normalised=2),
        "normalised must be one of True, False; got 2",
    ),
    "decay a number": (lambda: optimal_delta_rule(D, decay=0.5), "decay must be one of True, False; got 0.5"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, complaint = BAD[name]
    with pytest.raises((ValueError, TypeError), match=complaint):
        call()

"""The delta rule: extremal cases of what its page proves."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from glalib import PromptDistribution, delta_rule_risk, optimal_delta_rule, optimal_wpgd


@pytest.mark.claim("thm-delta-risk")
def test_tasks_are_seen_by_their_traces_alone():
    """With white features a task of one direction is as hard as one of all; the weighted step tells them apart."""
    one, all_ = (PromptDistribution(4, (3, 5), (0.3, 0.8), C=C, sigma=0.5) for C in ([4.0, 0, 0, 0], [1.0] * 4))
    steps = [0.05, 0.15]
    assert np.isclose(delta_rule_risk(one, steps, 0.9), delta_rule_risk(all_, steps, 0.9), rtol=1e-13)
    assert optimal_wpgd(one).risk < 0.9 * optimal_wpgd(all_).risk


@pytest.mark.claim("prop-delta-one-task")
@pytest.mark.parametrize("d, n, sigma", [(1, 3, 0.0), (2, 4, 0.7), (6, 5, 3.0)])
def test_nothing_is_better_on_one_task(d, n, sigma):
    """Steps, decays and the scale by a search that knows nothing; it ends at the closed form and not below."""
    dist, rng = PromptDistribution(d, (n,), (0.8,), sigma=sigma), np.random.default_rng(0)
    e = 1.0
    for _ in range(n):
        e -= e**2 / ((d + 2) * e + sigma**2)
    least = dist.M - 0.64 * d * (1 - e)

    def loss(z):
        return delta_rule_risk(dist, z[:n], np.clip(z[n:], 0, 1)) / dist.M

    found = []
    for _ in range(3):
        start = np.concatenate([rng.random(n) / (d + 2), rng.uniform(0.6, 1, size=n)])
        bounds = [(-1, 1)] * n + [(0, 1)] * n
        found.append(minimize(loss, start, method="L-BFGS-B", bounds=bounds).fun * dist.M)
    assert least <= min(found) * (1 + 1e-12)
    assert min(found) <= least * (1 + 1e-3)


@pytest.mark.claim("prop-delta-one-task")
def test_the_rate_is_that_of_bayes():
    """The constants sigma^2 and d + 1, from two long prompts."""
    d, sigma, errors = 3, 1.5, {}
    e = 1.0
    for i in range(1, 400_001):
        e -= e**2 / ((d + 2) * e + sigma**2)
        if i in (4_000, 400_000):
            errors[i] = e
    assert np.isclose(400_000 * errors[400_000], sigma**2, rtol=1e-3)
    grown = {n: n - sigma**2 / e for n, e in errors.items()}  # (d + 1) log(1/e) + a constant
    fall = np.log(errors[4_000] / errors[400_000])
    assert np.isclose((grown[400_000] - grown[4_000]) / fall, d + 1, rtol=0.01)


@pytest.mark.claim("prop-delta-one-task")
def test_equal_at_one_example_and_below_from_two_on():
    gaps = {}
    for d in (1, 4, 100):
        for sigma in (0.0, 1.0, 30.0):
            for n in (1, 2, 9):
                dist = PromptDistribution(d, (n,), (1.0,), sigma=sigma)
                erased, written = dist.M - optimal_delta_rule(dist, "example").risk, dist.M - optimal_wpgd(dist).risk
                gaps[d, sigma, n] = erased / written - 1
    assert all(abs(gap) < 1e-10 for (_, _, n), gap in gaps.items() if n == 1)
    assert all(gap > 1e-7 for (_, _, n), gap in gaps.items() if n > 1)


@pytest.mark.claim("prop-delta-small")
def test_no_gain_where_no_task_repeats():
    """The search ends at the weighted step, for every order; with two copies of a task it ends below."""
    for r in ((0.1, 0.5, 0.8), (0.8, 0.5, 0.1), (-0.5, 0.3, 0.7)):
        alone = PromptDistribution(3, (1, 1, 1), r, sigma=0.5)
        assert np.isclose(optimal_delta_rule(alone, "example").risk, optimal_wpgd(alone).risk, rtol=1e-7)
        twice = PromptDistribution(3, (1, 2, 1), r, sigma=0.5)
        assert optimal_delta_rule(twice, "example").risk < optimal_wpgd(twice).risk * (1 - 1e-5)


def block(eta, n, d, noise):
    """theta, mu, energy of a block with one step."""
    shrink = (1 - eta) ** 2 + (d + 1) * eta**2
    theta, mu = (1 - eta) ** n, shrink**n
    return theta, mu, 1 - 2 * theta + mu + noise * eta**2 * np.sum(shrink ** np.arange(n))


@pytest.mark.claim("thm-delta-order")
@pytest.mark.parametrize("d, n, sigma", [(10, 50, 0.0), (5, 20, 1.0), (3, 2, 0.0), (20, 10, 4.0)])
def test_the_second_order_of_both_orders(d, n, sigma):
    """At a small relevance t the gains exceed that of one task by t^2 times the two constants of the proof."""
    noise = sigma**2

    def chi(eta):
        theta, _, energy = block(eta, n, d, noise)
        return (1 - theta) ** 2 / energy

    star = minimize_scalar(
        lambda eta: -chi(eta), bounds=(1e-9, 2 / (d + 2)), options={"xatol": 1e-12}, method="bounded"
    ).x
    theta, mu, energy = block(star, n, d, noise)
    low = n / (n + d + 1 + noise)
    constants = {True: 1 / (1 / low + (d + 1) / n * energy), False: low * theta**2 / mu}
    assert constants[True] > constants[False]
    for first in (True, False):
        t = 0.003
        r = (0.99, 0.99 * t) if first else (0.99 * t, 0.99)
        dist = PromptDistribution(d, (n, n), r, sigma=sigma)
        found = optimal_delta_rule(dist)
        above = ((dist.M - found.risk) / (0.99**2 * d) - chi(star)) / t**2
        assert np.isclose(above, constants[first], atol=5e-3)


@pytest.mark.claim("thm-delta-order")
@pytest.mark.parametrize("t", [0.2, 0.7])
def test_best_first_needs_a_step_for_each_task(t):
    """One step for the prompt wants the best task last."""
    for sigma in (0.0, 1.0):
        first, last = (PromptDistribution(5, (10, 10), r, sigma=sigma) for r in ((0.8, 0.8 * t), (0.8 * t, 0.8)))
        assert optimal_delta_rule(first).risk < optimal_delta_rule(last).risk * (1 - 1e-3)
        assert optimal_delta_rule(first, "prompt").risk > optimal_delta_rule(last, "prompt").risk * (1 + 1e-3)


def on_a_grid(dist, steps, decays, scale):
    """The risk of the loop that a layer runs, on a grid with the moments of Gaussian features up to the fifth: exact.

    Given the features the error is linear in tasks and noise, so it runs once for each number that these are made of.
    """
    joint = np.block([[dist.R, dist.r[:, None]], [dist.r, 1.0]])
    tasks = np.einsum("kl,ab->lbka", root(joint), root(dist.C)).reshape(-1, dist.K + 1, dist.d)
    tasks = np.concatenate([tasks, np.zeros((dist.n, dist.K + 1, dist.d))])
    noise = np.vstack([np.zeros((len(tasks) - dist.n, dist.n)), dist.sigma * np.eye(dist.n)])
    at = np.indices((3,) * dist.d).reshape(dist.d, -1).T
    points, chance = np.array([-(3**0.5), 0, 3**0.5])[at] @ root(dist.Sx).T, (np.array([1, 4, 1]) / 6)[at].prod(1)
    b, weight = np.zeros((1, len(tasks), dist.d)), np.ones(1)
    for i, k in enumerate(dist.task_index):
        x, b = points[:, None], decays[i] * b[:, None]
        y = points @ tasks[:, k].T + noise[:, i]
        b = (b + steps[i] * (y - (b * x).sum(-1))[..., None] * x).reshape(-1, len(tasks), dist.d)
        weight = np.outer(weight, chance).ravel()
    off = tasks[:, -1] - scale * b
    return dist.sigma**2 + weight @ np.einsum("psa,ab,psb->p", off, dist.Sx, off)


def root(A):
    values, vectors = np.linalg.eigh(A)
    return vectors * np.sqrt(np.maximum(values, 0))


@pytest.mark.claim("thm-delta-risk")
@pytest.mark.parametrize("d, counts", [(1, (2, 3)), (2, (1, 2, 1)), (3, (2,)), (3, (1, 1))])
def test_the_risk_of_a_layers_loop_without_draws(d, counts):
    """So each constant of the recursion is held: two eigenvalues, one of them double if d = 3; or one that is zero."""
    rng, K = np.random.default_rng(d + len(counts)), len(counts)
    for values in ([1.0, 0.3, 0.3], [1.0, 0.0, 2.0]):
        f = rng.normal(size=(K + 1, 4))
        joint = (f / np.linalg.norm(f, axis=1, keepdims=True)) @ (f / np.linalg.norm(f, axis=1, keepdims=True)).T
        np.fill_diagonal(joint, 1.0)
        basis, m = np.linalg.qr(rng.normal(size=(d, d)))[0], rng.normal(size=(d, d))
        more = {"Sx": (basis * values[:d]) @ basis.T, "C": m @ m.T, "sigma": 0.7}
        dist = PromptDistribution(d, counts, joint[:K, K], R=joint[:K, :K], **more)
        steps, decays = rng.uniform(0.1, 0.4, dist.n), rng.uniform(0.5, 1, dist.n)
        wanted = on_a_grid(dist, steps, decays, 0.8)
        assert np.isclose(delta_rule_risk(dist, steps, decays, 0.8), wanted, rtol=1e-12)


def best_gain(r, n, d, noise, starts):
    """The largest gain / d over two steps, by formula (1) of the page, from given starts, and the steps."""

    def loss(z):
        first, last = 1 / (1 + np.exp(-z))
        (theta1, _, energy1), (theta2, mu2, energy2) = block(first, n[0], d, noise), block(last, n[1], d, noise)
        return -np.log((r[0] * theta2 * (1 - theta1) + r[1] * (1 - theta2)) ** 2 / (mu2 * energy1 + energy2))

    options = {"xatol": 1e-9, "fatol": 1e-15, "maxiter": 2000}
    found = [minimize(loss, np.log(np.array(s)), method="Nelder-Mead", options=options) for s in starts]
    best = min(found, key=lambda one: one.fun)
    return np.exp(-best.fun), 1 / (1 + np.exp(-best.x))


def shortfall(r, nu):
    """J_star on a plain grid of T_2, closing in; T_1 follows."""
    T, width = np.log(1 + r[1] / r[0]) / 2, 1.0
    for _ in range(8):
        grid = T * np.exp(width * np.linspace(-6, 6, 401))
        grid = grid[r[0] * np.expm1(grid) < r[1] * (1 - 1e-12)]
        first = -np.log1p(-r[0] / r[1] * np.expm1(grid))
        own = [nu * t / 2 * np.cosh(t / 2) / np.sinh(t / 2) + t**2 / np.expm1(t) ** 2 for t in (first, grid)]
        values = r[0] ** 2 * (own[0] + grid**2) + r[1] ** 2 * own[1]
        T, width = grid[values.argmin()], width / 10
    return values.min()


@pytest.mark.claim("prop-delta-long")
@pytest.mark.parametrize("r, nu", [((1.0, 0.5), 0.0), ((0.5, 1.0), 0.0), ((0.5, 1.0), 3.0), ((1.0, 0.5), 12.0)])
def test_what_is_missing_in_long_prompts(r, nu):
    d, short = 3, []
    for n in (1000, 2000):
        gain, _ = best_gain(r, (n, n), d, nu * (d + 1), [(t1 / n, t2 / n) for t1 in (0.3, 1, 5) for t2 in (0.3, 1)])
        short.append((r[0] ** 2 + r[1] ** 2 - gain) * n / (d + 1))
    assert np.isclose(2 * short[1] - short[0], shortfall(r, nu), rtol=3e-3)
    assert (nu + 1) * (r[0] ** 2 + r[1] ** 2) > shortfall(r, nu)  # a weighted step's


@pytest.mark.claim("prop-delta-long")
@pytest.mark.parametrize("t", [0.25, 0.7])
def test_much_noise_wants_the_best_task_last(t):
    ends = [nu**2 * (shortfall((1, t), nu) - shortfall((t, 1), nu)) for nu in (400, 800)]
    wanted = 36 * t**3 * (1 - t**2) * (1 + t**3) ** 2 / (1 + t**4) ** 3
    assert np.isclose(2 * ends[1] - ends[0], wanted, rtol=0.05)
    assert shortfall((1, t), 0) < shortfall((t, 1), 0) * (1 - 0.01)  # and without noise it is the other order


@pytest.mark.claim("thm-delta-switch")
@pytest.mark.parametrize(
    "r, n, d, sigma, helps",
    [
        ((0.2, 0.8), (4, 6), 4, 0.0, True),
        ((0.8, 0.3), (5, 3), 3, 1.0, True),
        ((0.08, 0.8), (100, 100), 5, 0.0, False),
    ],
)
def test_a_decay_helps_where_the_first_step_was_held_back(r, n, d, sigma, helps):
    starts = [(a / (d + 2), b / (d + 2)) for a in (0.1, 1.0) for b in (0.1, 1.0)]
    gain, steps = best_gain(r, n, d, sigma**2, starts)
    dist = PromptDistribution(d, n, r, sigma=sigma)
    decays = np.ones(dist.n)

    def risk(g):
        decays[n[0]] = g
        return delta_rule_risk(dist, steps, decays)

    assert np.isclose(dist.M - risk(1.0), d * gain, rtol=1e-9)
    near = minimize_scalar(risk, bounds=(0, 1), method="bounded", options={"xatol": 1e-7}).x
    assert (near < 1 - 1e-3) == helps

    def alone(step):
        theta, _, energy = block(step, n[0], d, sigma**2)
        return (1 - theta) ** 2 / energy

    star = minimize_scalar(lambda s: -alone(s), bounds=(1e-6, 0.5), method="bounded", options={"xatol": 1e-10}).x
    assert (steps[0] < star * (1 - 1e-3)) == helps
    if sigma == 0:
        assert np.isclose(star, 1 / (d + 2), rtol=1e-4)
    if helps:
        eta = np.linspace(1e-4, 0.6, 20_000)
        theta, mu = (1 - eta) ** n[1], ((1 - eta) ** 2 + (d + 1) * eta**2) ** n[1]
        kept = np.sum((mu ** (1 / n[1]))[:, None] ** np.arange(n[1]), axis=1)
        energy = 1 - 2 * theta + mu + sigma**2 * eta**2 * kept
        top = np.max(r[0] ** 2 * theta**2 / mu * alone(star) + r[1] ** 2 * (1 - theta) ** 2 / energy)
        found = dist.M - optimal_delta_rule(dist, "example", decay=True).risk
        assert d * top <= found * (1 + 1e-7)  # the search has this among what it tries, and steps may vary in a task
        assert found <= d * top * (1 + (1e-6 if sigma == 0 else 1e-2))


@pytest.mark.claim("prop-delta-unit-task")
def test_keys_of_length_one_and_the_query():
    """By the risk with white features: the query's length is a factor, and the error per direction follows the map."""
    for d, mean in ((1, np.sqrt(2 / np.pi)), (2, np.sqrt(np.pi / 2)), (3, np.sqrt(8 / np.pi))):
        delta = d / mean**2 - 1
        for sigma in (0.0, 1.5):
            e = 1.0
            for n in range(1, 6):
                dist = PromptDistribution(d, (n,), (0.9,), sigma=sigma)
                e -= e**2 / (d * e + d * delta + (1 + delta) * sigma**2)
                found = optimal_delta_rule(dist, "example", normalised=True)
                assert np.isclose(dist.M - found.risk, 0.81 * d * (1 - e) / (1 + delta), rtol=1e-11)

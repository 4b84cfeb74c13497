"""Monte Carlo and the baselines."""

import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution, optimal_wpgd, population_risk, simulate_risk, wpgd_step
from glalib.baselines import bayes, bayes_risk, least_squares, ridge
from glalib.layout import Layout


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


DIST = PromptDistribution(3, (8, 4), (0.3, 0.8), sigma=0.5, Sx=np.diag([1.0, 0.5, 2.0]))
NOISY = PromptDistribution(
    2, (3, 4), (0.3, 0.7), R=[[1, 0.4], [0.4, 1]], sigma=0.6, Sx=[[1, 0.3], [0.3, 2]], C=[1, 0.5]
)
PLAIN = PromptDistribution(2, (4, 5), (0.8, 0.2), Sx=[1, 3])


def test_all_kinds_of_predictor_give_one_answer():
    """A pair, a record, a callable and a module that compute the same prediction have the same simulated risk."""
    best = optimal_wpgd(DIST)
    omega = DIST.expand(best.omega)
    module = GLA.from_matrices(P_q=best.P, P_k=np.eye(3), gates=DIST_GATES(best.omega)).double()
    risks = [
        simulate_risk(predictor, DIST, draws=500, queries=2, generator=gen()).risk
        for predictor in (
            (best.P, best.omega),
            (best.P, omega),
            best,
            module,
            lambda p: wpgd_step(p.x, p.y, p.x_query, best.P, omega),
        )
    ]
    assert risks == pytest.approx([risks[0]] * 5, rel=1e-12)


def DIST_GATES(omega):
    from glalib.gates import weights_to_gates

    return weights_to_gates(Layout().weights(DIST, omega))


def test_the_estimate_does_not_depend_on_the_batch_and_its_error_shrinks():
    """The batch changes the order of the draws, not their law: two estimates within their errors."""
    best = optimal_wpgd(DIST)
    small = simulate_risk(best, DIST, draws=2_000, batch=64, generator=gen(1))
    large = simulate_risk(best, DIST, draws=32_000, generator=gen(2), progress=True)
    assert abs(small.risk - large.risk) < 5 * (small.stderr**2 + large.stderr**2) ** 0.5
    assert large.stderr == pytest.approx(small.stderr / 4, rel=0.25)
    assert (small.draws, large.draws) == (2_000, 32_000)


def test_standard_errors_cover():
    """z-scores of 200 independent estimates have mean zero and unit spread, here within five standard errors."""
    best = optimal_wpgd(DIST)
    exact = population_risk(DIST, best.P, best.omega)
    generator = gen(3)
    estimates = [simulate_risk(best, DIST, draws=1_000, queries=3, generator=generator) for _ in range(200)]
    z = np.array([(e.risk - exact) / e.stderr for e in estimates])
    assert abs(z.std() - 1) < 5 / 400**0.5 and abs(z.mean()) < 5 / 200**0.5


def single_task(n, d, sigma, **options):
    return PromptDistribution(d, (n,), (1.0,), sigma=sigma, **options)


def test_least_squares_has_its_textbook_risk():
    """One task, n > d + 1: E risk = sigma^2 (1 + d / (n - d - 1)) for Gaussian features."""
    n, d, sigma = 20, 4, 0.7
    estimate = simulate_risk(least_squares, single_task(n, d, sigma), draws=20_000, generator=gen(4))
    assert abs(estimate.risk - sigma**2 * (1 + d / (n - d - 1))) < 5 * estimate.stderr


def test_least_squares_interpolates_below_the_dimension():
    """n < d, no noise: the minimum-norm solution explains n of the d directions, so the risk is d - n."""
    estimate = simulate_risk(least_squares, single_task(3, 8, 0.0), draws=20_000, generator=gen(5))
    assert abs(estimate.risk - 5) < 5 * estimate.stderr


def test_bayes_is_ridge_for_one_task():
    dist = single_task(6, 4, 0.8)
    prompts = dist.sample(50, gen(6), queries=2, dtype=torch.float64)
    torch.testing.assert_close(bayes(dist)(prompts), ridge(0.8**2)(prompts), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ridge(0.0)(prompts), least_squares(prompts))


@pytest.mark.parametrize("sigma", [0.0, 0.4])
def test_bayes_is_the_gaussian_conditional_mean(sigma):
    """Against the plain formula k^T K^+ y over the labels of the prompt, correlated tasks and general covariances."""
    rng = np.random.default_rng(7)
    C = np.diag([1.0, 0.2, 2.0])
    R = np.array([[1, 0.4, -0.2], [0.4, 1, 0.3], [-0.2, 0.3, 1]])
    dist = PromptDistribution(3, (4, 2, 1), (0.5, 0.6, 0.1), R=R, C=C, Sx=np.diag(rng.random(3)), sigma=sigma)
    prompts = dist.sample(20, gen(8), queries=2, dtype=torch.float64)
    index = dist.task_index
    for b, prediction in enumerate(bayes(dist)(prompts)):
        x, y, x_query = prompts.x[b].numpy(), prompts.y[b].numpy(), prompts.x_query[b].numpy()
        K = dist.R[np.ix_(index, index)] * (x @ C @ x.T) + sigma**2 * np.eye(dist.n)
        k = dist.r[index] * (x_query @ C @ x.T)
        assert prediction.numpy() == pytest.approx(k @ np.linalg.pinv(K, rcond=1e-10) @ y, rel=1e-6, abs=1e-6)


def test_nothing_beats_bayes():
    generator = gen(9)
    best = simulate_risk(bayes(DIST), DIST, draws=8_000, generator=generator)
    for other in (optimal_wpgd(DIST), least_squares, ridge(1.0)):
        risk = simulate_risk(other, DIST, draws=8_000, generator=generator)
        assert best.risk < risk.risk + 5 * (risk.stderr**2 + best.stderr**2) ** 0.5


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda: simulate_risk("ols", DIST), "a callable on what dist.sample returns; got str"),
        (lambda: simulate_risk((np.eye(2), (1, 1)), DIST), r"P must be of shape \(3, 3\)"),
        (lambda: simulate_risk((np.eye(3), (1, 1, 1)), DIST), r"omega must be of shape \(2,\), per task"),
        (lambda: simulate_risk(least_squares, "dist"), "dist must be a PromptDistribution"),
        (lambda: simulate_risk(least_squares, DIST, draws=1), "draws must be at least 2"),
        (lambda: simulate_risk(least_squares, DIST, draws=0), "draws must be a positive integer"),
        (lambda: simulate_risk(least_squares, DIST, tokens=Layout()), "tokens must be None unless"),
        (lambda: simulate_risk(lambda p: p.y, DIST), r"the predictor's output must be of shape"),
        (lambda: simulate_risk(lambda p: p.y_query / 0, DIST, draws=9), "the predictor's output must be finite"),
        *(
            (lambda b=b: simulate_risk(least_squares, DIST, batch=b), "batch must be a positive integer; got")
            for b in (0, False, 0.0, "")
        ),
        *(
            (
                lambda t=t: simulate_risk(GLA(4), DIST, tokens=t),
                "tokens must be a Layout, a callable on what dist.sample returns or None; got",
            )
            for t in (0, 5)
        ),
        (lambda: simulate_risk(GLA(4), DIST, dtype="x"), "dtype must be a floating-point torch dtype .*; got 'x'"),
        *(
            (lambda o=o: simulate_risk(lambda p: o, DIST), "the predictor's output must be a torch tensor; got")
            for o in (None, 1.0, [1.0])
        ),
        (lambda: simulate_risk(lambda p: 1j * p.y_query, DIST), "the predictor's output must be a floating"),
        (lambda: simulate_risk(bayes, DIST), "dist must be a PromptDistribution; got Prompts"),
        (lambda: bayes(None), "dist must be a PromptDistribution; got NoneType"),
        (lambda: least_squares(None), "prompts must be a Prompts record .*; got NoneType"),
        (lambda: ridge(1.0)(3), "prompts must be a Prompts record .*; got int"),
        *(
            (lambda d=d, c=c: bayes(DIST)(PromptDistribution(d, c, np.zeros(len(c))).sample(2)), "of this distribution")
            for d, c in ((2, (8, 4)), (3, (8, 3)), (3, (8, 2, 2)))
        ),
        (lambda: ridge(-1), "penalty must be a finite number >= 0"),
        (lambda: ridge(10**400), "penalty must be a finite number >= 0"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        call()


def test_what_cannot_be_compared_with_is_named():
    dist = PromptDistribution(2, (3, 3), (0.2, 0.8))
    for against in (3, "ab", (1, 2, 3)):
        with pytest.raises(TypeError, match=r"against must be a WPGD record, a \(P, omega\) pair or None; got"):
            simulate_risk((np.eye(2), np.ones(2)), dist, 10, against=against)


# The Bayes risk.


@pytest.mark.parametrize("dist", [NOISY, NOISY.replace(sigma=0.0), NOISY.replace(C=[1, 0]), PLAIN])
def test_the_bayes_risk_is_that_of_the_predictor(dist):
    exact, seen = bayes_risk(dist, 2000, gen()), simulate_risk(bayes(dist), dist, 20_000, generator=gen(1))
    assert abs(exact.risk - seen.risk) < 4.5 * np.hypot(exact.stderr, seen.stderr)
    # Labels and queries add nothing to its error, at a tenth of the prompts. (Seen: a third to a half of the other.)
    assert exact.stderr < seen.stderr and exact.draws == 2000
    assert exact.risk < optimal_wpgd(dist).risk


@pytest.mark.parametrize("counts", [(1, 5), (3, 2), (7, 1)])
def test_without_noise_the_bayes_risk_is_known(counts):
    """And what is drawn has no spread there: scaling one feature by a millionth leaves the closed form."""
    dist = PromptDistribution(4, counts, (0.5, -0.6), Sx=[2.0] * 4)
    exact, drawn = bayes_risk(dist), bayes_risk(dist.replace(Sx=[2.0, 2.0, 2.0, 2.0 + 2e-6]), 50, gen())
    assert exact.stderr == exact.draws == 0 and exact.risk == pytest.approx(
        8 * (1 - 0.25 * min(counts[0] / 4, 1) - 0.36 * min(counts[1] / 4, 1)), rel=1e-12
    )
    assert drawn.risk == pytest.approx(exact.risk, rel=1e-5) and drawn.stderr < 1e-5


@pytest.mark.parametrize(
    "made, error, said",
    [
        (lambda: bayes_risk(3), TypeError, "dist must be a PromptDistribution; got int"),
        (lambda: bayes_risk(NOISY, 1), ValueError, "draws must be at least 2"),
        (lambda: bayes_risk(NOISY, 5, 0), TypeError, "generator must be"),
    ],
)
def test_bad_arguments_of_the_bayes_risk_are_named(made, error, said):
    with pytest.raises(error, match=said):
        made()

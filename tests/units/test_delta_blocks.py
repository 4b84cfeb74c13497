"""Two tasks and one step each: the formula against the recursion, and its best steps against a search."""

import numpy as np
import pytest

from glalib import PromptDistribution, delta_rule_risk, optimal_delta_rule
from glalib.delta.blocks import best_two_blocks, block, two_block_gain


@pytest.mark.claim("thm-delta-switch")
def test_the_gain_is_that_of_the_recursion():
    """Any steps and any decay at the switch; many cases at once, and one by one."""
    rng = np.random.default_rng(0)
    size = 40
    r = rng.uniform(-0.7, 0.7, size=(2, size))
    n, d = rng.integers(1, 9, size=(2, size)), rng.integers(1, 8, size=size)
    noise, decay, steps = rng.uniform(0, 4, size), rng.random(size), rng.uniform(0.01, 0.99, size=(2, size)) / 2
    gains = two_block_gain(tuple(r), tuple(steps), tuple(n), d, noise, decay)
    for i in range(size):
        dist = PromptDistribution(int(d[i]), n[:, i].tolist(), r[:, i], sigma=noise[i] ** 0.5)
        decays = np.ones(dist.n)
        decays[n[0, i]] = decay[i]
        assert np.isclose(dist.M - delta_rule_risk(dist, steps[:, i], decays), d[i] * gains[i], rtol=1e-10, atol=1e-13)


@pytest.mark.claim("thm-delta-order")
def test_the_best_steps_are_those_of_a_search():
    """And of steps a little off none is better, in long prompts, too, where the best ones lie on a narrow ridge."""
    for r, n, d, noise in (((0.2, 0.8), (6, 6), 4, 0.0), ((0.8, 0.2), (3, 9), 2, 1.0), ((0.5, 0.6), (4, 4), 6, 20.0)):
        dist = PromptDistribution(d, n, r, sigma=noise**0.5)
        gain, *steps = best_two_blocks(r, n, d, noise)
        found = optimal_delta_rule(dist)
        assert np.isclose(dist.M - d * gain, found.risk, rtol=1e-9)
        assert np.allclose(steps, found.beta, rtol=1e-3)
    n, rng = np.array([300.0, 2000.0]), np.random.default_rng(0)
    gain, *steps = best_two_blocks((1.0, 0.6), (n, n), 7, 150.0)
    off = np.exp(rng.normal(size=(2, 2000, 1)) * 10 ** rng.uniform(-4, 0, size=(2000, 1)))
    near = two_block_gain(
        (1.0, 0.6), tuple(np.minimum(s * t, 0.9) for s, t in zip(steps, off, strict=True)), (n, n), 7, 150.0
    )
    assert (near.max(0) <= gain * (1 + 1e-12)).all() and (near.max(0) > gain * (1 - 1e-4)).all()


def test_steps_that_overflow_gain_nothing():
    theta, mu, energy = block(0.9, 10_000, 5, 1.0)
    assert theta == 0 and mu == np.inf and energy == np.inf
    assert two_block_gain((0.5, 0.5), (0.1, 0.9), (10_000, 10_000), 5, 1.0) == 0


BAD = {
    "a step of one": (lambda: block(1.0, 3, 2), "step must be below one"),
    "a step of zero": (lambda: two_block_gain((1, 0), (0.0, 0.1), (3, 3), 2), "step must be positive"),
    "no examples": (lambda: best_two_blocks((1, 0), (0, 3), 2), "n must be positive"),
    "no features": (lambda: best_two_blocks((1, 0), (3, 3), 0), "d must be positive"),
    "noise below zero": (lambda: block(0.1, 3, 2, -1.0), "noise must be zero or more"),
    "a decay above one": (
        lambda: two_block_gain((1, 0), (0.1, 0.1), (3, 3), 2, 0.0, 1.5),
        r"decay must be in \[0, 1\]",
    ),
    "words": (lambda: best_two_blocks(("one", 0), (3, 3), 2), "r must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, complaint = BAD[name]
    with pytest.raises((ValueError, TypeError), match=complaint):
        call()

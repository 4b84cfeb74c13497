"""What a token between two tasks can put aside for a delta rule: the swap, and the gain by dense matrices."""

import numpy as np
import pytest
import torch

from glalib import gated_delta_rule, optimal_delta_rule, optimal_wpgd
from glalib.distribution import PromptDistribution


@pytest.mark.claim("prop-put-aside")
def test_a_token_swaps_two_directions_of_the_state():
    generator = torch.Generator().manual_seed(0)
    frame, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
    S = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    u, w = 0.7 * frame[0], 0.7 * frame[1]
    k, v = (u - w)[None], torch.zeros(1, 2, dtype=torch.float64)

    def after(step):
        step = torch.tensor([step], dtype=torch.float64)
        return gated_delta_rule(k, k, v, step, initial_state=S, output_final_state=True)[1] @ frame.mT

    before = S @ frame.mT
    torch.testing.assert_close(after(1 / 0.49), before[:, [1, 0, 2, 3, 4]], rtol=0, atol=1e-14)
    halfway = after(0.5 / 0.49)  # a projection: both hold the mean
    torch.testing.assert_close(halfway[:, :2], before[:, :2].mean(1, keepdim=True).expand(2, 2), rtol=0, atol=1e-14)
    empty = S - torch.outer(S @ frame[1], frame[1])  # nothing along w, which is half as long
    half = (u - w / 2)[None]
    found = gated_delta_rule(half, half, v, torch.tensor([1 / 0.49], dtype=S.dtype), None, "chunked", empty, True)[1]
    wanted = empty @ frame.mT
    wanted[:, 0], wanted[:, 1] = 0, wanted[:, 0] / 2  # in units of w: a quarter of S u over half a length
    torch.testing.assert_close(found @ frame.mT, wanted, rtol=0, atol=1e-14)


def dense(steps, r, m, d, counts, noise):
    """M - risk from E s s^T and E s beta_k^T in d + m coordinates, with the swaps as a permutation."""
    size = d + m
    Sx = np.diag(np.arange(size) < d).astype(float)  # keys, and tasks, have zeros in the spare coordinates
    swap = np.eye(size)
    for j in range(m):
        swap[[j, d + j]] = swap[[d + j, j]]
    A, B = np.zeros((size, size)), np.zeros((2, size, size))
    for k, step in enumerate(steps):
        if k == 1:
            A, B = swap @ A @ swap, swap @ B
        for _ in range(counts[k]):
            D, E = B[k].T - A, Sx - B[k] - B[k].T + A
            A = A + step * (Sx @ D + D.T @ Sx) + step**2 * (2 * Sx @ E @ Sx + (np.trace(Sx @ E) + noise) * Sx)
            B = B - step * Sx @ B
            B[k] += step * Sx
    told = np.tensordot(r, B, 1)
    reads = np.zeros((2, size, d))  # what a query reads: features, and spare ones
    reads[0, :d], reads[1, d:, :m] = np.eye(d), np.eye(m)
    b = np.array([np.trace(R.T @ told[:, :d]) for R in reads[: 1 + (m > 0)]])
    H = np.array([[np.trace(R.T @ A @ T) for T in reads[: 1 + (m > 0)]] for R in reads[: 1 + (m > 0)]])
    return b @ np.linalg.solve(H, b)


def formula(steps, r, m, d, counts, noise):
    theta, mu, eps = [], [], []
    for step, n in zip(steps, counts, strict=True):
        shrink = (1 - step) ** 2 + (d + 1) * step**2
        theta.append((1 - step) ** n)
        mu.append(shrink**n)
        eps.append(1 - 2 * theta[-1] + mu[-1] + step**2 * noise * sum(shrink**i for i in range(n)))
    told = (d - m) * r[0] * (1 - theta[0]) * theta[1] + d * r[1] * (1 - theta[1])
    return told**2 / ((d - m) * eps[0] * mu[1] + d * eps[1]) + m * (r[0] * (1 - theta[0])) ** 2 / eps[0]


@pytest.mark.claim("prop-put-aside")
def test_the_gain_is_that_of_dense_matrices():
    rng = np.random.default_rng(0)
    for d, counts, noise in ((1, (2, 3), 0.4), (2, (4, 1), 0.0), (3, (5, 2), 1.5), (4, (1, 6), 0.2)):
        steps, r = rng.uniform(0.05, 1, size=2) / (d + 2), np.array([0.6, -0.5])
        gains = [formula(steps, r, m, d, counts, noise) for m in range(d + 1)]
        assert np.allclose(gains, [dense(steps, r, m, d, counts, noise) for m in range(d + 1)], rtol=1e-11)
        assert np.all(np.diff(gains) > 0)


@pytest.mark.claim("prop-put-aside")
def test_none_is_the_delta_rule_and_all_is_each_task_alone():
    """In either order, and above every weighted step."""
    r = (0.8, 0.2)
    for order in (r, r[::-1]):
        dist = PromptDistribution(5, (20, 20), order)
        best = optimal_delta_rule(dist)
        assert np.isclose(formula(best.beta, order, 0, 5, (20, 20), 0.0), dist.M - best.risk, rtol=1e-10)
        alone = [optimal_delta_rule(PromptDistribution(5, (20,), (each,))) for each in order]
        every = formula([one.beta[0] for one in alone], order, 5, 5, (20, 20), 0.0)
        assert np.isclose(every, sum(5 - one.risk for one in alone), rtol=1e-12)
        assert np.isclose(every, 5 * 0.68 * (1 - (6 / 7) ** 20), rtol=1e-12)
        assert every > dist.M - best.risk > dist.M - optimal_wpgd(dist).risk

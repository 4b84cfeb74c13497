"""What the closed forms cost: ratios measured side by side in one run.

    python benchmarks/closed_forms.py

With dense correlations of n = 2,000 tasks the yardstick is one `numpy.linalg.eigh` of that size. With a million
examples in two tasks there is no yardstick but the clock: it should be milliseconds.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread, as in the tests

from statistics import median
from time import perf_counter

import numpy as np

from glalib import PromptDistribution, optimal_wpgd
from glalib.optima import WEIGHTS


def seconds(call):
    start = perf_counter()
    result = call()
    return perf_counter() - start, result


def correlations(n, rank, seed=0):
    factor = np.random.default_rng(seed).normal(size=(n + 1, rank))
    factor /= np.linalg.norm(factor, axis=1, keepdims=True)
    joint = factor @ factor.T
    np.fill_diagonal(joint, 1.0)
    return joint[:n, :n], joint[:n, n]


def dense(n=2000, rounds=5):
    """The constructor and the optimum against one eigendecomposition, pair by pair."""
    print(f"dense correlations, n = {n}: time over one numpy.linalg.eigh of that size, median of {rounds}")
    for name, rank, counts in (
        ("rank 60, equal counts", 60, (1,) * n),
        ("full rank, equal counts", n + 1, (1,) * n),
        ("full rank, counts 1 and 2", n + 1, (1, 2) * (n // 2)),
    ):
        R, r = correlations(n, rank)
        constructor, optimum = [], []
        for _ in range(rounds):
            unit, _ = seconds(lambda R=R: np.linalg.eigh(R))
            build, dist = seconds(lambda R=R, r=r, counts=counts: PromptDistribution(20, counts, r, R=R))
            solve, _ = seconds(lambda dist=dist: optimal_wpgd(dist))
            constructor.append(build / unit)
            optimum.append(solve / unit)
        both = [a + b for a, b in zip(constructor, optimum, strict=True)]
        print(f"  {name:26} constructor {median(constructor):.2f}   optimum {median(optimum):.2f}"
              f"   together {median(both):.2f}")  # fmt: skip


def many_examples(n=10**6, rounds=5):
    print(f"two tasks, n = {n:,}, d = 100: milliseconds for the optimum, median of {rounds}")
    for weights in WEIGHTS:
        times = []
        for _ in range(rounds):
            dist = PromptDistribution(100, (n // 2, n // 2), (0.2, 0.8))
            times.append(1e3 * seconds(lambda dist=dist, weights=weights: optimal_wpgd(dist, weights))[0])
        print(f"  {weights:14} {median(times):7.2f}")


if __name__ == "__main__":
    dense()
    many_examples()

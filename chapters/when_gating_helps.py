# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   settles: the gain over linear attention, and when it is zero
# ---

# %% [markdown]
# # When gating helps
#
# **Where we are.** Gating is worth the difference between linear attention, all weights equal, and the weighted optimum. This page gives that difference in closed
# form and says when it is zero. Equally good tasks are not enough for that. It is the worth of free *weights*: a scalar gate reaches it only
# where the best weights, up to a common sign, are not negative and do not decrease along the prompt.
#
# ```{symbols}
# omega R r risk M counts
# ```
#
# $R$ and $r$ are again those of the $n$ examples.
#
# ```{prf:proposition} When gating helps
# :label: prop-when-gating-helps
#
# *As derived here.* Let $\Sigma_x = C = I$ and $A = R + (M+1) I$. Then
#
# $$
# \risk_{\text{linear}} - \risk^\star = d \left[ r^\top A^{-1} r - \frac{(\ones^\top r)^2}{\ones^\top A \ones} \right] \ge 0,
# $$
#
# and it is zero just if $r$ is a multiple of $A \ones$.
#
# For any $\Sigma_x$ and $C$, and $r \ne 0$: if the difference is zero, then $r$ is a multiple of $(hR + I)\ones$ at $h = h_2(1 + \ones^\top R \ones/n)$. Conversely, if $r$ is a
# non-zero multiple of this vector, equal weights with their best $P$ are a stationary point; where the non-trivial stationary point is unique up to scale, the difference is then zero.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-when-gating-helps)=
# ```{prf:proof}
# The formula is {prf:ref}`cor-optimal-risk` and {prf:ref}`cor-linear-attention` with $M = d + \sigma^2$. By Cauchy and Schwarz
# $(\ones^\top r)^2 = \bigl( (A^{1/2} \ones)^\top (A^{-1/2} r) \bigr)^2 \le (\ones^\top A \ones)(r^\top A^{-1} r)$, with equality just if $A^{-1/2} r$ is a multiple of
# $A^{1/2} \ones$, that is $r$ of $A\ones$.
#
# In general, if the difference is zero, then $\ones$ with its best $P$ is a global minimum, hence a stationary point, and non-trivial as its risk is $\risk^\star < M$. By
# {prf:ref}`thm-stationary-points` its weights are a multiple of $(h R + I)^{-1} r$ with $h = h_2(\gamma)$ and $\gamma = 1 + \ones^\top R \ones / n$. Conversely, if $r$ is that
# multiple, $\ones = \omega$ up to scale, so $h_1(h) = \ones^\top R\ones/n$ and $\gamma$ is a fixed point of $F$. If there is only one, it is the
# minimum.
# ```
# ````

# %% tags=["asserts-prop-when-gating-helps"]
import numpy as np
from glalib import (
    PromptDistribution,
    optimal_wpgd,
    plotting,
    stationary_points,
)
from glalib.risk import h2, slope

plotting.use_style()


def gain(dist):
    return optimal_wpgd(dist, "uniform").risk - optimal_wpgd(dist).risk


def of_examples(dist):
    index = dist.task_index
    return dist.R[np.ix_(index, index)], dist.r[index]


def random_correlations(rng, K):
    directions = rng.normal(size=(K + 1, K + 2))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    joint = directions @ directions.T
    np.fill_diagonal(joint, 1.0)
    return joint[:K, :K], joint[:K, K]


def level(counts, R, h):
    """A multiple of (hR + I) 1, nine tenths of the longest r allowed."""
    r = h * R @ np.array(counts) + 1
    longest = np.sqrt(r @ np.linalg.solve(R, r))
    return 0.9 * r / longest


rng = np.random.default_rng(0)
for _ in range(30):
    d, counts = (
        int(rng.integers(1, 9)),
        [int(c) for c in rng.integers(1, 8, size=3)],
    )
    R, r = random_correlations(rng, 3)
    dist = PromptDistribution(d, counts, r, R=R, sigma=0.5)
    R_n, r_n = of_examples(dist)
    A, ones = R_n + (dist.M + 1) * np.eye(dist.n), np.ones(dist.n)
    formula = d * (
        r_n @ np.linalg.solve(A, r_n) - (ones @ r_n) ** 2 / (ones @ A @ ones)
    )
    # Systems of size twenty and less: rounding only.
    assert abs(gain(dist) - formula) < 1e-11 * dist.M
    assert formula > 1e-6 * dist.M  # a random r is no multiple of A 1

    no_gain = level(counts, R, 1 / (dist.M + 1))
    assert (
        abs(gain(PromptDistribution(d, counts, no_gain, R=R, sigma=0.5)))
        < 1e-12 * dist.M
    )

    # Any features and task covariance: the level r at h = h2(1 + 1^T R 1 / n).
    B = rng.normal(size=(d, d + 2))
    options = {
        "R": R,
        "sigma": 0.5,
        "Sx": np.diag(rng.random(d) + 0.1),
        "C": B @ B.T / d,
    }
    probe = PromptDistribution(d, counts, r, **options)
    gamma = 1 + np.array(counts) @ R @ np.array(counts) / probe.n
    flat = PromptDistribution(
        d, counts, level(counts, R, h2(probe, gamma)), **options
    )
    assert len(stationary_points(flat)) == 1
    assert abs(gain(flat)) < 1e-11 * flat.M
    assert gain(probe) > 1e-12 * probe.M

# %% [markdown]
# ## Equally good is not enough
#
# For white features and independent tasks $A \ones$ is $n_k + M + 1$ on the examples of task $k$. So there is nothing to gain just if $r_k \propto n_k + M + 1$: **larger tasks must be better hints**, in just that
# proportion. Two tasks that are equally good, but of different size, do ask for different weights. The reason is redundancy: the examples of a large task tell the same story many times, and each of them
# deserves less weight.

# %%
equal_sizes = PromptDistribution(d=10, counts=(50, 50), r=(0.5, 0.5))
unequal_sizes = PromptDistribution(d=10, counts=(90, 10), r=(0.5, 0.5))
assert abs(gain(equal_sizes)) < 1e-12
assert gain(unequal_sizes) > 0.01 * unequal_sizes.M

# The small task gets the larger weight. If it comes last, a scalar gate can give it.
monotone = optimal_wpgd(unequal_sizes, "monotone").risk
assert abs(monotone - optimal_wpgd(unequal_sizes).risk) < 1e-12 * unequal_sizes.M
# If it comes first, the best a scalar gate can do is nothing.
first = PromptDistribution(d=10, counts=(10, 90), r=(0.5, 0.5))
monotone = optimal_wpgd(first, "monotone").risk
assert abs(monotone - optimal_wpgd(first, "uniform").risk) < 1e-12 * first.M
optimal_wpgd(unequal_sizes)

# %% [markdown]
# ## The picture

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-gain", "caption": "What weights are worth: the difference to linear attention, as a share of the label variance, over the correlations of two independent tasks with the query (d = 10, n = 100, no noise). Orange line: no gain. Left, equal sizes; right, 90 and 10 examples."}}
import matplotlib.pyplot as plt

grid = np.linspace(-1, 1, 61)
fig, axes = plt.subplots(1, 2, figsize=(7.8, 3.7), sharey=True)
record = {"n_1": [], "r_1": [], "r_2": [], "gain_over_M": []}
for ax, counts in zip(axes, ((50, 50), (90, 10))):
    values = np.full((61, 61), np.nan)
    for i, r2 in enumerate(grid):
        for j, r1 in enumerate(grid):
            if r1**2 + r2**2 <= 1:
                dist = PromptDistribution(10, counts, (r1, r2))
                values[i, j] = gain(dist) / dist.M
                record["n_1"].append(counts[0])
                record["r_1"].append(r1)
                record["r_2"].append(r2)
                record["gain_over_M"].append(values[i, j])
    image = ax.pcolormesh(
        grid,
        grid,
        values,
        cmap=plotting.SEQUENTIAL,
        vmin=0,
        vmax=0.85,
        rasterized=True,
    )
    M = 10.0
    direction = np.array([counts[0] + M + 1, counts[1] + M + 1])
    direction /= np.linalg.norm(direction)
    ax.plot(*np.outer(direction, (-1, 1)), color=plotting.TASKS[1], linewidth=2)
    ax.set(
        title=f"{counts[0]} and {counts[1]} examples",
        xlabel="$r_1$",
        aspect="equal",
    )
    ax.grid(False)
axes[0].set_ylabel("$r_2$")
_ = fig.colorbar(image, ax=axes, label="gain / $M$", shrink=0.85)

# %% tags=["remove-input"]
plotting.FigureData(
    "gain", record, d=10, n=100, sigma=0, tasks="two, independent", seed="none"
)

# %% [markdown]
# ## Break it
#
# The converse needs more than a unique minimiser: it needs a unique stationary point. Here the minimiser is unique, equal weights are stationary, and still gating helps: they sit on the *saddle* between two
# local minima. One
# task has many examples, and many tasks have one each, so that the average agreement of equal weights falls between.

# %%
d, big, singles = 100, 400, 1000
counts = (1,) * singles + (big,)
s = np.array([1.0] + [0.01] * (d - 1))
gamma = 1 + (singles + big**2) / (singles + big)
probe = PromptDistribution(d, counts, (0.0,) * singles + (1.0,), Sx=np.diag(s))
h = h2(probe, gamma)
r = np.append(np.full(singles, 1 + h), 1 + h * big)
dist = PromptDistribution(d, counts, r / np.linalg.norm(r), Sx=np.diag(s))

points = stationary_points(dist)
at_ones = min(points, key=lambda point: abs(point.gamma - gamma))
assert np.allclose(at_ones.omega, 1.0, rtol=1e-8)  # equal weights are stationary
assert slope(dist, gamma) > 1 and len(points) == 3  # but on a saddle
assert (
    points[1].risk > points[0].risk + 0.01 * dist.M
)  # and the minimiser is unique
assert gain(dist) > 1e-4 * dist.M  # so gating helps

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-correlated-tasks
#
# Two tasks of equal size, $R_{12} = \rho$. Does the correlation change *when* gating helps? Does it change *how much*? Try $\rho$ from $-0.5$ to $0.5$ at $r = (0.2, 0.6)$.
# ```
#
# ````{solution} ex-correlated-tasks
# :class: dropdown
#
# When: no. With equal sizes $A\ones$ is constant for every $\rho$, so there is no gain just if $r_1 = r_2$. How much: yes. Write $r$ in the eigenvectors $(1, 1)$ and $(1, -1)$ of the block form. Linear attention uses the
# first only, and the gain is what the second adds,
# $d\, n \bigl( \tfrac{r_2 - r_1}{2} \bigr)^2 / \bigl( \tfrac n2 (1 - \rho) + M + 1 \bigr)$.
#
# ```python
# def gain_at(x, r):
#     return gain(PromptDistribution(10, (50, 50), r, R=[[1, x], [x, 1]]))
#
#
# gains = [gain_at(x, (0.2, 0.6)) for x in (-0.5, 0.0, 0.5)]
# expected = [10 * 100 * 0.2**2 / (50 * (1 - x) + 11) for x in (-0.5, 0.0, 0.5)]
# assert np.allclose(gains, expected, rtol=1e-10)
# assert abs(gain_at(0.5, (0.4, 0.4))) < 1e-12
# ```
# ````

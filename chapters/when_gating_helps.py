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
# When do free weights gain anything over linear attention, and how much?
#
# Linear attention weighs all examples alike. So one would guess that gating is worthless when all tasks of a prompt are equally good
# hints. But sizes matter too.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-gain", "caption": "Free weights gain nothing on one line, and something everywhere else. What free weights gain over linear attention, as a share of the label variance, over the correlations $r_1$ and $r_2$ of two independent tasks with the query ($d = 10$, $n = 100$, no noise). Thick: no gain. Dashed: equally good hints."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting, stationary_points
from glalib.risk import h2, slope

plotting.use_style()


def gain(dist):
    """What the best weights gain over equal ones."""
    return optimal_wpgd(dist, "uniform").risk - optimal_wpgd(dist).risk


grid = np.arange(-32, 33) / 30
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.7), sharey=True)
record = {"n_1": [], "r_1": [], "r_2": [], "gain_over_M": []}
panels = ((50, 50), (0.35, 0.6)), ((90, 10), (0.45, 0.79))
for ax, (counts, places) in zip(axes, panels, strict=True):
    values = np.full((65, 65), np.nan)
    for i, r2 in enumerate(grid):
        for j, r1 in enumerate(grid):
            # The gain is quadratic in r: so it is drawn up to the circle, and cut there.
            beyond = max(1, np.hypot(r1, r2))
            if beyond < 1.05:
                values[i, j] = values[-1 - i, -1 - j]  # -r gains what r does
                if np.isnan(values[i, j]):
                    dist = PromptDistribution(
                        10, counts, (r1 / beyond, r2 / beyond)
                    )
                    values[i, j] = beyond**2 * gain(dist) / dist.M
            if beyond == 1:
                record["n_1"].append(counts[0])
                record["r_1"].append(r1)
                record["r_2"].append(r2)
                record["gain_over_M"].append(values[i, j])
    fill = {"cmap": plotting.SEQUENTIAL, "vmin": 0, "vmax": 1.2}
    shades = ax.contourf(grid, grid, values, levels=np.arange(0, 0.96, 0.1), **fill)
    lines = ax.contour(grid, grid, values, levels=(0.1, 0.3), colors="0.25")
    lines.set_linewidth(0.8)
    for drawn in (shades, lines):
        drawn.set_clip_path(plt.Circle((0, 0), 1, transform=ax.transData))
    level = np.array([counts[0] + 11, counts[1] + 11])  # n_k + N
    level = level / np.linalg.norm(level)
    ax.plot(*np.outer(level, (-1, 1)), color=plotting.TASKS[1], linewidth=3)
    ax.plot((-0.71, 0.71), (-0.71, 0.71), "--", color="0.1", linewidth=1.2)
    across = np.array([-level[1], level[0]])
    at = [side * share * across for side in (-1, 1) for share in places]
    ax.clabel(lines, fontsize=12, manual=at)
    slant = {"rotation": np.degrees(np.arctan2(*level[::-1])), "ha": "center"}
    slant |= {"va": "center", "rotation_mode": "anchor"}
    ax.text(
        *0.55 * level - 0.13 * across, "no gain", color=plotting.TASKS[1], **slant
    )
    ax.set(title=f"{counts[0]} and {counts[1]} examples", xlabel="$r_1$")
    ax.set(aspect="equal")
    ax.grid(False)
_ = axes[0].set_ylabel("$r_2$")

# %% tags=["remove-input"]
plotting.FigureData(
    "gain",
    record,
    figure=fig,
    d=10,
    n=100,
    sigma=0,
    tasks="two, independent",
    seed="none",
)


# %% [markdown]
# ## What weights are worth
#
# Subtract the optimal risk from the risk of linear attention. On this page $R$ and $r$ are those of the $n$ examples again.
#
# ```{symbols}
# omega P R r risk Sigma Sx C M N h h2 d n sigma gamma F
# ```
#
# ```{note}
# This is the worth of free *weights* that do not read the data. A scalar gate reaches it only where the best weights, up to a common sign, are
# not negative and do not decrease along the prompt.
# ```
#
# ```{prf:proposition} When gating helps
# :label: prop-when-gating-helps
#
# **For white features, free weights gain nothing if and only if relevance is in proportion to redundancy.**
#
# *As derived here.* Let $\Sigma_x = C = I$ and $N = M + 1$. Then
#
# $$
# \risk_{\text{linear}} - \risk^\star = d \left[ r^\top (R + N I)^{-1} r - \frac{(\ones^\top r)^2}{\ones^\top (R + N I) \ones} \right] \ge 0,
# $$
#
# and it is zero if and only if $r$ is a multiple of $(R + N I) \ones$.
#
# In general, with $h_2$ of {doc}`stationary_points` (skip this on a first reading), for any $\Sigma_x$ and $C$, and $r \ne 0$: if the difference is zero, then $r$ is a multiple of $(hR + I)\ones$ at $h = h_2(1 + \ones^\top R \ones/n)$.
# Conversely, if $r$ is a non-zero multiple of this vector, equal weights with their best $P$ are a stationary point; where the non-trivial
# stationary point is unique up to scale, the difference is then zero.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-when-gating-helps)=
# ```{prf:proof}
# The formula is {prf:ref}`cor-optimal-risk` and {prf:ref}`cor-linear-attention` with $M = d + \sigma^2$. Write $V = R + N I$, which is positive
# definite. By Cauchy and Schwarz
# $(\ones^\top r)^2 = \bigl( (V^{1/2} \ones)^\top (V^{-1/2} r) \bigr)^2 \le (\ones^\top V \ones)(r^\top V^{-1} r)$, with equality if and only if
# $V^{-1/2} r$ is a multiple of $V^{1/2} \ones$, that is $r$ of $V\ones$.
#
# In general, if the difference is zero, then $\ones$ with its best $P$ is a global minimum, hence a stationary point, and non-trivial as its
# risk is $\risk^\star < M$. By {prf:ref}`thm-stationary-points` its weights are a multiple of $(h R + I)^{-1} r$ with $h = h_2(\gamma)$ and
# $\gamma = 1 + \ones^\top R \ones / n$. Conversely, if $r$ is a non-zero multiple of $(hR + I) \ones$, then $\ones$ is $\omega = (hR + I)^{-1} r$ up to scale, so
# $h_1(h) = \ones^\top R\ones/n$ and $\gamma$ is a fixed point of $F$. If there is only one, it is the minimum.
# ```
# ````


# %%
def gain_formula(dist):
    """The proposition, for white features."""
    index, ones = dist.task_index, np.ones(dist.n)
    R, r = dist.R[np.ix_(index, index)], dist.r[index]
    V = R + (dist.M + 1) * np.eye(dist.n)
    return dist.d * (
        r @ np.linalg.solve(V, r) - (ones @ r) ** 2 / (ones @ V @ ones)
    )


dist = PromptDistribution(10, (50, 50), (0.2, 0.8))
assert np.isclose(gain(dist), gain_formula(dist), rtol=1e-11)


# %% tags=["check", "asserts-prop-when-gating-helps"]
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


rng, worst, idle = np.random.default_rng(0), 0.0, 0.0
for _ in range(30):
    d, counts = (
        int(rng.integers(1, 9)),
        [int(c) for c in rng.integers(1, 8, size=3)],
    )
    R, r = random_correlations(rng, 3)
    dist = PromptDistribution(d, counts, r, R=R, sigma=0.5)
    formula = gain_formula(dist)
    worst = max(worst, abs(gain(dist) - formula) / dist.M)
    assert formula > 1e-6 * dist.M  # a random r is no multiple of (R + N I) 1
    no_gain = level(counts, R, 1 / (dist.M + 1))
    still = PromptDistribution(d, counts, no_gain, R=R, sigma=0.5)
    idle = max(idle, abs(gain(still)) / dist.M)
assert worst < 1e-11  # systems of size twenty and less: rounding only
assert idle < 1e-12
print(
    f"30 random distributions: the formula holds to {worst:.0e} of M; "
    f"with r in balance the gain is {idle:.0e}"
)

# %% tags=["check", "asserts-prop-when-gating-helps"]
idle, least = 0.0, np.inf
for _ in range(30):
    # Any features and task covariance: the level r at h = h2(1 + 1^T R 1 / n).
    d, counts = (
        int(rng.integers(1, 9)),
        [int(c) for c in rng.integers(1, 8, size=3)],
    )
    (R, r), B = random_correlations(rng, 3), rng.normal(size=(d, d + 2))
    rest = {
        "R": R,
        "sigma": 0.5,
        "Sx": np.diag(rng.random(d) + 0.1),
        "C": B @ B.T / d,
    }
    probe = PromptDistribution(d, counts, r, **rest)
    gamma = 1 + np.array(counts) @ R @ np.array(counts) / probe.n
    still = PromptDistribution(
        d, counts, level(counts, R, h2(probe, gamma)), **rest
    )
    assert len(stationary_points(still)) == 1
    idle = max(idle, abs(gain(still)) / still.M)
    least = min(least, gain(probe) / probe.M)
assert idle < 1e-11 and least > 1e-12
print(
    f"30 more, with any features: with r in balance the gain is {idle:.0e} of M, "
    f"with a random r at least {least:.0e}"
)

# %% [markdown]
# ## Equally good is not enough
#
# For white features and independent tasks $(R + N I) \ones$ is $n_k + N$ on the examples of task $k$. So there is nothing to gain if and only if
# $r_k \propto n_k + N$: **larger tasks must be better hints**, in just that proportion. Two tasks that are equally good, but of different size, ask for
# different weights. The reason is redundancy. The examples of a large task tell the same story many times, so each of them deserves less weight.

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
# ## Break it
#
# On a first reading, skip this section: it uses {doc}`stationary_points`. White features are all that the next page needs.
#
# **Several stationary points.** The converse needs more than a unique minimiser: it needs a unique stationary point. Here the minimiser is unique, equal
# weights are stationary, and still gating helps. They sit on the *saddle* between two local minima. One task has many examples, and many tasks have one
# each. So the $\gamma$ of equal weights, one plus how much the weighted examples agree, falls between those of the two minima.

# %%
d, big, singles = 100, 400, 1000
counts = (1,) * singles + (big,)
Sx = np.diag([1.0] + [0.01] * (d - 1))
gamma = 1 + (singles + big**2) / (singles + big)
h = h2(PromptDistribution(d, counts, (0.0,) * singles + (1.0,), Sx=Sx), gamma)
r = np.append(np.full(singles, 1 + h), 1 + h * big)
dist = PromptDistribution(d, counts, r / np.linalg.norm(r), Sx=Sx)

points = stationary_points(dist)
at_ones = min(points, key=lambda point: abs(point.gamma - gamma))
assert np.allclose(at_ones.omega, 1.0, rtol=1e-8)  # equal weights are stationary
assert slope(dist, gamma) > 1 and len(points) == 3  # but on a saddle
assert points[1].risk > points[0].risk + 0.01 * dist.M  # the minimiser is unique
assert gain(dist) > 1e-4 * dist.M  # so gating helps

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: correlated tasks
# :label: ex-correlated-tasks
#
# Two tasks of equal size, with correlation $R_{12} = c$. Does $c$ change *when* gating helps? Does it change *how much*?
# ```
#
# ```{answer} ex-correlated-tasks
# asks: The gain with 50 examples of each task, d = 10, r = (0.2, 0.6) and no noise, as a function of c.
# value: "lambda c: gain_at(c, (0.2, 0.6))"
# at: [{c: 0.5}, {c: 0.0}, {c: -0.5}]
# wrong:
# - value: "lambda c: 10 * 100 * 0.2**2 / (50 * (1 + c) + 11)"
#   says: That is the eigenvalue of the vector that linear attention uses, too. Which one do the best weights add?
# - value: "lambda c: 10 * 100 * 0.2**2 / (50 + 11)"
#   says: That is the gain for independent tasks. Does a gain of tasks that are alike not depend on how alike they are?
# - value: "lambda c: 10 * 100 * 0.4**2 / (50 * (1 - c) + 11)"
#   says: That takes the whole difference of the two relevances. Along a vector of two entries it counts by half, before it is squared.
# - value: "lambda c: 100 * 0.2**2 / (50 * (1 - c) + 11)"
#   says: That is the gain per dimension. There are ten.
# - value: "lambda c: 10 * 100 * 0.2**2 / (100 * (1 - c) + 11)"
#   says: The matrix R counts the examples of a task, which are half of all.
# minutes: 15
# level: 3
# ```
#
# ```{hint}
# :class: dropdown
#
# Write $r$ in the eigenvectors $(1, 1)$ and $(1, -1)$ of the block form. Which of them does linear attention use?
# ```
#
# ````{solution} ex-correlated-tasks
# :class: dropdown
#
# When: no. With equal sizes $(R + N I)\ones$ is constant for every $c$, so there is no gain if and only if $r_1 = r_2$. How much: yes. Linear attention uses the
# first eigenvector only, and the gain is what the second adds,
# $d\, n \bigl( \tfrac{r_2 - r_1}{2} \bigr)^2 / \bigl( \tfrac n2 (1 - c) + N \bigr)$.
#
# ```python
# def gain_at(c, r):
#     return gain(PromptDistribution(10, (50, 50), r, R=[[1, c], [c, 1]]))
#
#
# gains = [gain_at(c, (0.2, 0.6)) for c in (-0.5, 0.0, 0.5)]
# expected = [10 * 100 * 0.2**2 / (50 * (1 - c) + 11) for c in (-0.5, 0.0, 0.5)]
# assert np.allclose(gains, expected, rtol=1e-10)
# assert abs(gain_at(0.5, (0.4, 0.4))) < 1e-12
# ```
# ````
#
# ```{exercise} Compute: in balance
# :label: ex-in-balance
#
# Two independent tasks have 90 and 10 examples, $d = 10$, no noise. The small one has $r_2 = 0.2$. For which $r_1$ is there nothing to gain? For a larger $r_1$,
# which of the two tasks gets the larger weight?
# ```
#
# ```{answer} ex-in-balance
# asks: The relevance of the large task at which there is nothing to gain.
# value: balance
# wrong:
# - value: 0.2 * 21 / 101
#   says: The wrong way round. The many repeat each other, so each of them is worth less.
# - value: 0.2
#   says: Equally good hints have equal weights only if there are equally many of each.
# - value: 0.2 * (90 + 10) / (10 + 10)
#   says: Nearly. N is not d.
# - value: 0.2 * 90 / 10
#   says: A correlation is at most one. What else than the number of examples stands below a relevance?
# - above: 1
#   says: A correlation is at most one.
# minutes: 10
# level: 2
# ```
#
# ```{answer} ex-in-balance-larger
# asks: If it is larger still, which task gets the larger weight?
# choices:
# - text: the small one
#   says: That is so below the balance. Compute the weights on either side of it.
# - text: the large one
# minutes: 3
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# When are the best weights of {prf:ref}`cor-optimal-weights` all equal?
# ```
#
# ````{solution} ex-in-balance
# :class: dropdown
#
# $N = 11$, so $r_1 = 0.2 \cdot 101/21 \approx 0.962$. That is more than four times as good a hint. Beyond this the large task gets the larger weight.
#
# ```python
# def pair(r_1):
#     return PromptDistribution(10, (90, 10), (r_1, 0.2))
#
#
# balance = 0.2 * 101 / 21
# assert np.isclose(balance, 0.962, atol=5e-4) and gain(pair(balance)) < 1e-12
# for r_1, larger in ((0.8, 1), (0.97, 0)):
#     assert gain(pair(r_1)) > 1e-6 and optimal_wpgd(pair(r_1)).omega.argmax() == larger
# ```
# ````
#
# ```{exercise} Explore: a needle in a haystack
# :label: ex-haystack
#
# Only one of $K$ independent tasks is related to the query, $r = (0, \dots, 0, 1)$, and each has 50 examples. Let $K$ grow, at $d = 10$. What share of the gain of the
# best weights does linear attention keep? Does noise change it?
# ```
#
# ```{answer} ex-haystack
# asks: The share of the gain that linear attention keeps, as a function of K.
# value: "lambda K: (lambda p: (p.M - optimal_wpgd(p, 'uniform').risk) / (p.M - optimal_wpgd(p).risk))(PromptDistribution(10, (50,) * K, (0.0,) * (K - 1) + (1.0,)))"
# at: [{K: 5}, {K: 2}, {K: 20}]
# wrong:
# - value: "lambda K: 1 - 1 / K"
#   says: That is the share that is lost.
# - value: "lambda K: 1 / K**2"
#   says: The sum of all relevances stays one, and is squared. What stands below it grows like K once.
# - value: "lambda K: K ** -0.5"
#   says: The share of the gain is asked for, and a gain is a variance. That is its root.
# - value: "lambda K: 50 / (50 * K + 11)"
#   says: Does the denominator of equal weights hold N once, or as often as there are tasks?
# - value: "lambda K: 1"
#   says: With one task, yes. Let there be more.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Compute $(M - \risk_{\text{linear}}) / (M - \risk^\star)$ for a few $K$ and $\sigma$. Then see it in the two corollaries.
# ```
#
# ````{solution} ex-haystack
# :class: dropdown
#
# Exactly $1/K$, whatever the noise. The best weights gain $d\, m / (m + N)$ with $m$ examples a task. Equal weights gain $d\, m^2 / (K m N + K m^2)$, which is that over $K$.
#
# ```python
# for K in (1, 2, 5, 20):
#     for sigma in (0.0, 3.0):
#         relevance = (0.0,) * (K - 1) + (1.0,)
#         needle = PromptDistribution(10, (50,) * K, relevance, sigma=sigma)
#         risks = [optimal_wpgd(needle, kind).risk for kind in ("uniform", "free")]
#         equal, best = needle.M - np.array(risks)
#         assert np.isclose(equal / best, 1 / K, rtol=1e-10)
# ```
# ````

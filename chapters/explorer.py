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
#   settles: for any two tasks, at a slider, the best weights, the risks of every kind
#     of layer, and which gate the prompt asks for
# ---

# %% [markdown]
# # Two tasks of your choice
#
# Which gate does a prompt of two tasks ask for, and what does each kind of layer reach on it?
#
# The pages before this one answer it for a few prompts. The answer is a formula, so here you can ask for any: move a slider, and the best weights and all
# risks follow. Nothing is sampled or trained. The formulas are computed in your browser, and a test holds them to the package `glalib`.
#
# ```{live} explorer
# :name: fig-explorer
# :alt: Sliders for the size, the length, the correlations and the noise of a prompt of two tasks, above the best weights and the risks of six kinds of layers.
#
# The best weights of two tasks, and what each kind of layer reaches. The prompt has $n_1$ examples of task 1, then $n_2$ of task 2; $r_1$ and $r_2$ are the
# correlations of the tasks with the query's, $R_{12}$ that of the two with each other, $\sigma$ is the noise of labels. Each risk is the least of its kind:
# of equal weights, of one gate value for all tokens, of one free gate at each token, of any weights, of a delta rule with a step of its own for each task, and of Bayes,
# where that has a closed form. The three correlations have to go together: where they cannot, $R_{12}$ is held at the nearest value that can. The buttons (a) to (d) are the four panels of the paper's Figure 1.
# ```
#
# ## What it computes
#
# Features and tasks are standard Gaussian vectors, so a label has the variance $M = d + \sigma^2$. The best $P$ is then a multiple of the identity, and with
# $h = 1/(M + 1)$ the best weights are, up to one factor,
#
# $$
# \begin{aligned}
# \omega_1 &= r_1\,(1 + h\, n_2) - h\, n_2\, R_{12}\, r_2, \\
# \omega_2 &= r_2\,(1 + h\, n_1) - h\, n_1\, R_{12}\, r_1 .
# \end{aligned}
# $$
#
# It is the solution of [the general page's](best_weights) two equations. In words: a task has weight for what it tells of the query, less what the other
# task has told already. And a task with many examples leaves less weight to each of them, as its examples repeat each other.

# %%
import numpy as np
from glalib import PromptDistribution, optimal_wpgd


def two_weights(dist):
    """The best weights by the formula, the larger of size one."""
    (n1, n2), (r1, r2), R12, h = dist.counts, dist.r, dist.R[0, 1], 1 / (dist.M + 1)
    omega = np.array(
        [
            r1 * (1 + h * n2) - h * n2 * R12 * r2,
            r2 * (1 + h * n1) - h * n1 * R12 * r1,
        ]
    )
    return omega / np.abs(omega).max()


dist = PromptDistribution(d=10, counts=(50, 50), r=(0.2, 0.8))
two_weights(dist), optimal_wpgd(dist).omega

# %% [markdown]
# ## Which gate it asks for
#
# Weights are products of gates up to 1. So they have one sign, and they can only rise along the prompt. What the prompt asks for can be read off the two
# numbers, without any risk.
#
# | The best weights | What has them |
# |---|---|
# | are equal | no gate: linear attention |
# | have one sign and rise, or the first is zero | one gate, where the task changes |
# | have one sign and fall, or the second is zero | a gate on what is written, or two value channels |
# | have two signs | two value channels, one subtracted from the other |
#
# The second row is [what one scalar gate can do](scalar_gates), the third is [the write gate's](writes_and_heads), the last [the vector gate's](vector_gates).
# One gate *value* for all tokens is less than a gate at each token: it must spread the fall over the examples. It comes close if the first task is
# long or useless, and the slider shows how close.

# %% tags=["check"]
rng = np.random.default_rng(0)
kinds = {"rise": 0, "fall": 0, "two signs": 0}
for _ in range(150):
    r1, r2, R12 = rng.uniform(-0.5, 0.5, size=3)  # so that they go together
    counts = tuple(int(n) for n in rng.integers(1, 80, size=2))
    prompts = PromptDistribution(
        int(rng.integers(1, 30)),
        counts,
        (r1, r2),
        R=[[1, R12], [R12, 1]],
        sigma=1.0,
    )
    found, free = two_weights(prompts), optimal_wpgd(prompts)
    assert np.isclose(abs(found @ free.omega), found @ found, rtol=1e-9)
    low, high = abs(found)
    if found[0] * found[1] < 0:
        kind = "two signs"
    else:
        kind = "rise" if low < high else "fall"
    # What is lost is of second order in what gates lack: near the border, less than rounding can tell.
    if min(low, high) < 0.05 or abs(low - high) < 0.05:
        continue
    kinds[kind] += 1
    lost = (optimal_wpgd(prompts, "monotone").risk - free.risk) / (
        prompts.M - free.risk
    )
    assert lost < 1e-9 if kind == "rise" else lost > 1e-6, (kind, lost)
assert min(kinds.values()) > 10
print(
    "A gate a token loses nothing where the best weights rise, and something elsewhere: "
    + ", ".join(f"{number} {kind}" for kind, number in kinds.items())
)

# %% tags=["remove-input", "remove-output"]
from glalib import optimal_delta_rule
from myst_nb import glue


def gained(prompts, risk):
    """The share of what any weights gain."""
    return (prompts.M - risk) / (prompts.M - optimal_wpgd(prompts).risk)


alike = dist.replace(r=(0.6, 0.8), R=[[1, 0.75], [0.75, 1]])
same = PromptDistribution(10, (50, 50), (0.5, 0.8), R=[[1, 0.8], [0.8, 1]])
long_first = PromptDistribution(10, (400, 20), (0.5, 0.5))
opposite = PromptDistribution(10, (50, 50), (-0.5, 0.5))
glue(
    "explorer_constant",
    gained(dist, optimal_wpgd(dist, "constant-gate").risk),
    display=False,
)
glue("explorer_same", float(two_weights(same)[0]), display=False)
glue("explorer_long", float(two_weights(long_first)[0]), display=False)
glue(
    "explorer_opposite",
    gained(opposite, optimal_wpgd(opposite, "monotone").risk),
    display=False,
)
glue("explorer_delta", optimal_delta_rule(dist).risk / dist.M, display=False)
glue("explorer_free", optimal_wpgd(dist).risk / dist.M, display=False)
assert abs(two_weights(same)[0]) < 0.1 and two_weights(long_first)[0] < 0.5

# %% [markdown]
# ## Five things to try
#
# - **A constant gate does nearly all.** On panel (b) one gate value has {glue:text}`explorer_constant:.0%` of what any weights gain. Make the prompt short, six
#   examples of each task, and see what is left.
# - **A task that tells much and is worth nothing.** Set $r = (0.5, 0.8)$ and $R_{12} = 0.8$. The first task is no bad hint. But the second says nearly
#   all that the first does, and the first one's weight is {glue:text}`explorer_same:.2f`: next to nothing.
# - **The longer task is trusted less.** Set $r = (0.5, 0.5)$ with $n_1 = 400$ and $n_2 = 20$. Both tasks are equally good, and an example of the first
#   has {glue:text}`explorer_long:.2f` of the weight of one of the second.
# - **Two signs.** Set $r = (-0.5, 0.5)$. Gates that only forget keep {glue:text}`explorer_opposite:.0%` of the gain: they can throw one task away, and not turn it round.
# - **Noise takes the delta rule's lead.** On panel (b) the delta rule reaches {glue:text}`explorer_delta:.2f` of the variance and any weights
#   {glue:text}`explorer_free:.2f`. [It erases what it has written](delta_rule), which pays while labels can be trusted. Raise $\sigma$ to 3 and see the two meet.
#
# ```{note}
# Bayes stands on the scale where its risk has a closed form: without noise, and for tasks that are independent or one of which has at least $d$ examples.
# Elsewhere it is a mean over drawn features, which the page does not draw; [](towards_bayes) does. The delta rule's steps are searched for.
# ```
#
# ## Break it
#
# The weights follow from $h = 1/(M + 1)$ because all features are alike. If one feature is a hundred times as large as the others, the best $P$ is no multiple
# of the identity, $h$ is a fixed point of [two functions](stationary_points.md), and the formula misses.

# %%
stretched = dist.replace(
    r=(0.5, 0.8), R=[[1, 0.6], [0.6, 1]], Sx=[100.0] + [1.0] * 9
)
by_formula, best = two_weights(stretched), optimal_wpgd(stretched)
assert abs(by_formula[0] - best.omega[0]) > 0.05
by_formula, best.omega

# %% [markdown]
# ```{symbols}
# d counts n r R sigma M omega P h
# ```
#
# ## Exercises
#
# ```{exercise} By hand: the longer task
# :label: ex-explorer-longer
#
# Two independent tasks, $r = (0.5, 0.5)$, $n = (10, 30)$, $d = 9$ and no noise. Which task's examples weigh more, and by what factor? Which gate has these weights?
# ```
#
# ```{answer} ex-explorer-longer
# asks: The weight of an example of the first task over that of one of the second.
# value: "(lambda w: w[0] / w[1])(two_weights(PromptDistribution(9, (10, 30), (0.5, 0.5))))"
# wrong:
# - value: (1 + 10 / 10) / (1 + 30 / 10)
#   says: The wrong way round. Which of the two lengths stands in the formula of the first weight?
# - value: 30 / 10
#   says: That is the quotient of the lengths. There is a one beside each of them.
# - value: (1 + 30 / 9) / (1 + 10 / 9)
#   says: Nearly. The h of the formulas is not one over M.
# - value: 1
#   says: The hints are equally good, but examples of one task repeat each other.
# minutes: 4
# level: 1
# ```
#
# ```{answer} ex-explorer-longer-gate
# asks: Which gate has these weights?
# choices:
# - text: one forget gate, where the task changes
#   says: With a forget gate older examples never weigh more. Which task comes first here?
# - text: none is needed, linear attention has them
#   says: Linear attention weighs all examples alike.
# - text: only two value channels, one subtracted from the other
#   says: That has them, but it is needed only for weights of two signs. Look at the row for one sign.
# - text: a gate on what is written, or two value channels
# minutes: 2
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# $R_{12} = 0$ leaves one term of each formula. What is $h$?
# ```
#
# ````{solution} ex-explorer-longer
# :class: dropdown
#
# $M = 9$ and $h = 1/10$, so $\omega_1 / \omega_2 = (1 + 30/10)/(1 + 10/10) = 2$: the examples of the shorter task weigh twice as much. The weights fall, so no
# forget gate has them.
# ````
#
# ```{exercise} Compute: worth nothing
# :label: ex-explorer-nothing
#
# For $r = (0.2, 0.8)$, 50 examples of each task, $d = 10$ and no noise: at which $R_{12}$ is the first task's weight zero? What does it become beyond that? Check with `optimal_wpgd`, and
# find the place on the slider.
# ```
#
# ```{answer} ex-explorer-nothing
# asks: At which correlation of the two tasks is the first one's weight zero?
# value: R12
# within: 0.002
# wrong:
# - value: 0.2 / 0.8
#   says: There it is zero in an endless prompt. Fifty examples are few enough for the one beside h n to matter.
# - value: 0.2 * (1 + 50 / 10) / (50 / 10 * 0.8)
#   says: Nearly. The h of the formulas is not one over M.
# - value: 0.2 * (1 + 100 * h) / (100 * h * 0.8)
#   says: The n of the formula counts the examples of one task, not of both.
# - value: 0.2 * (1 + 50 * h) / (50 * h)
#   says: The second relevance is lost. It multiplies the correlation.
# - above: 1
#   says: A correlation is at most one. Look which of the two relevances stands below.
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Solve $\omega_1 = 0$ for $R_{12}$.
# ```
#
# ````{solution} ex-explorer-nothing
# :class: dropdown
#
# $R_{12} = r_1 (1 + h n_2)/(h\, n_2\, r_2)$. Beyond it the weight is negative: what the first task says is by then more the second's than the query's.
#
# ```python
# h = 1 / 11
# R12 = 0.2 * (1 + 50 * h) / (50 * h * 0.8)
# for R, sign in ((R12 - 0.01, 1), (R12 + 0.01, -1)):
#     omega = optimal_wpgd(dist.replace(R=[[1, R], [R, 1]])).omega
#     assert np.sign(omega[0] * omega[1]) == sign
# assert np.isclose(R12, 0.305)
# ```
# ````
#
# ```{exercise} Explore: noise makes weights honest
# :label: ex-explorer-noise
#
# Raise $\sigma$ with tasks of unequal length. Where do the weights go, and why?
# ```
#
# ```{answer} ex-explorer-noise
# asks: With 400 and 20 examples and r = (0.5, 0.4), what does the first weight over the second tend to in ever more noise?
# value: two_weights(noisy)[0] / two_weights(noisy)[1]
# wrong:
# - value: 1
#   says: That examples no longer repeat each other does not make the two tasks equally good hints.
# - value: 0.4 / 0.5
#   says: The wrong way round. Which task is the better hint?
# - value: 0.5 / 0.4 * 20 / 400
#   says: There a task counts as a whole, however long it is. That is a long prompt without noise, where h n is large.
# - value: (0.5 / 0.4) ** 2
#   says: Squares say what a task explains. What is left of the formulas at h = 0?
# - value: 0
#   says: Both weights may become small, if you scale them so. Their quotient does not.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# $h = 1/(d + \sigma^2 + 1)$. What is left of the formulas at $h = 0$?
# ```
#
# ````{solution} ex-explorer-noise
# :class: dropdown
#
# They go to $r$ itself. In much noise no example repeats another: each carries its own error, and all that counts is what its task tells.
#
# ```python
# noisy = PromptDistribution(10, (400, 20), (0.5, 0.4), sigma=1000.0)
# assert np.allclose(two_weights(noisy), [1, 0.8], rtol=1e-3)
# assert two_weights(noisy.replace(sigma=0.0))[0] < 0.2
# ```
# ````

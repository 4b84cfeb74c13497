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
#   settles: when a constant gate should forget nothing, and when a little forgetting
#     helps
# ---

# %% [markdown]
# # When to forget nothing
#
# When is the best decay no decay at all?
#
# A decay shuts out what is old. That helps if what is old is irrelevant. But a constant gate does not know where a block ends, so it shuts out
# good examples as well. Which effect wins can often be told without a search, by a condition and by two mean ages.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-constant-gate", "caption": "The less relevant the first block, the shorter the best memory. Risk of a constant gate against its memory $1/(1-g)$, for two tasks of 50 examples, $d = 10$, no noise. On the left only the last example counts; on the right all count alike, as in linear attention. Dots mark the best gate, arrows the best rising weights, which need delimiters."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting

plotting.use_style()


def ell(dist, g):
    """The formula: geometric sums, for one gate value g in [0, 1]."""
    counts = np.array(dist.counts)
    after = dist.n - np.cumsum(counts)
    b = np.array([sum(g ** (m + np.arange(c))) for m, c in zip(after, counts)])
    nu = np.sum(g ** (2.0 * np.arange(dist.n)))
    gamma = 1 + b @ dist.R @ b / nu
    s = dist.signal_spectrum[0]
    return dist.M - (dist.r @ b) ** 2 / nu * np.sum(s**2 / (dist.M + gamma * s))


memory = np.geomspace(1, 1e4, 300)
record = {"memory": memory}
fig, ax = plt.subplots(figsize=(6.4, 3.7))
places = ((0.0, 1.0), (2, 0.25)), ((0.2, 0.8), (9, 0.67)), ((0.8, 0.2), (70, 0.88))
for k, (r, place) in enumerate(places):
    dist = PromptDistribution(d=10, counts=(50, 50), r=r)
    curve = np.array([ell(dist, 1 - 1 / m) for m in memory]) / 10
    record[f"r_{r[0]}_{r[1]}"] = curve
    style = {"color": plotting.TASKS[k], "linestyle": ("-", "--", "-.")[k]}
    ax.semilogx(memory, curve, linewidth=2.2, **style)
    ax.text(*place, f"$r = ({r[0]:g}, {r[1]:g})$", color=plotting.TASKS[k])
    best = optimal_wpgd(dist, "constant-gate")
    at = 1 / (1 - best.gate) if best.gate < 1 else 1e4
    ax.plot(at, best.risk / 10, "o", color=plotting.TASKS[k], markersize=8)
    if r[0] < r[1]:
        mono = optimal_wpgd(dist, "monotone").risk / 10
        ax.plot(1e4, mono, "<", color=plotting.TASKS[k], markersize=9)
        told = {"color": plotting.TASKS[k], "ha": "right", "va": "center"}
        ax.text(7500, mono, "best rising weights", **told)
_ = ax.set(xlabel="memory $1/(1-g)$, in examples", ylabel="risk / $d$", ylim=(0, 1))

# %% tags=["remove-input"]
plotting.FigureData(
    "constant_gate", record, figure=fig, d=10, counts=(50, 50), sigma=0, seed="none"
)

# %% [markdown]
# ## Falling relevance
#
# ```{symbols}
# omega r R counts n K M gamma h1 h2 lambda Sigma P Q risk G
# ```
#
# Let all tokens have the same gate $g$. Then example $i$ has the weight $g^{n+1-i}$. Let $\ell(g)$ be the risk with these weights and their
# best $P$ ({prf:ref}`prop-constant-gate`), so $\ell(1) = \risk_{\text{linear}}$ is that of linear attention. $\risk_{\text{mon}}$ is the infimum
# over all weights $0 \le \omega_1 \le \dots \le \omega_n$, which a scalar gate can reach only if it sees where blocks end. $R$ and $r$ are those
# of the $K$ tasks.
#
# ```{note}
# The weights here do not read the data.
# ```
#
# ```{prf:proposition} No decay
# :label: prop-no-decay
#
# **If relevance falls along the prompt and blocks are alike, forget nothing.**
#
# *New here.* Let $n \ge 2$, let all blocks have the same size, and let all pairs of tasks have one correlation, $R_{kl} = R_{12}$ for $k \ne l$
# (independent tasks: $R_{12} = 0$). If $r_1 \ge r_2 \ge \dots \ge r_K \ge 0$, or all signs are flipped, then
# $\risk_{\text{mon}} = \risk_{\text{linear}}$, so $g = 1$ is a best constant gate. Unless $r = 0$, every $g \in [0, 1)$ is strictly worse.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-no-decay)=
# ```{prf:proof}
# To flip the signs of $r$ and of $P$ together changes no risk, so let $r \ge 0$. Take weights $0 \le \omega_1 \le \dots \le \omega_n$, not all
# zero, with block sums $b_1 \le \dots \le b_K$ (the blocks are of equal size), and replace all weights by their mean. The total
# $\bar b = \sum_k b_k$ stays. $\norm{\omega}^2$ does not grow, and shrinks unless all weights were equal.
# $\omega^\top R\, \omega = (1 - R_{12}) \sum_k b_k^2 + R_{12} \bar b^2$ does not grow, as $R_{12} \le 1$. And
# $0 \le r^\top \omega = \sum_k r_k b_k \le \frac1K \sum_k r_k \cdot \bar b$, which is the new value: this is Chebyshev's sum inequality for
# sequences in opposite order. Now the best risk for given weights,
#
# $$
# M - (r^\top \omega)^2 \sum_i \frac{s_i^2}{M \norm{\omega}^2 + (\norm{\omega}^2 + \omega^\top R\, \omega)\, s_i} ,
# $$
#
# falls with $(r^\top\omega)^2$ and rises with the two other moments. So the mean is at least as good. If $r \neq 0$ the new
# $(r^\top \omega)^2$ is positive, and it is strictly better unless all weights were equal. For $n \ge 2$ they are not, if $g < 1$ (at $g = 0$:
# all on the last example).
# ```
# ````
#
# In the picture above, $r = (0.8, 0.2)$ is such a prompt: its curve falls all the way to $g = 1$.

# %% tags=["check", "asserts-prop-no-decay"]
gates = np.concatenate([[0.0], np.exp(-np.geomspace(40, 1e-5, 800)), [1.0]])


def scanned(dist):
    """The risks of these gates, from n weights; without the common factor g."""
    powers = gates[:, None] ** np.arange(dist.n - 1, -1, -1.0)
    return np.array([optimal_wpgd(dist, w).risk for w in powers])


rng, tried = np.random.default_rng(0), 0
for _ in range(30):
    K, size = int(rng.integers(2, 6)), int(rng.integers(1, 9))
    c = rng.uniform(-0.9 / (K - 1), 0.9)
    R = np.where(np.eye(K, dtype=bool), 1.0, c)
    r = np.sort(rng.random(K))[::-1]
    r *= 0.9 * rng.choice([-1, 1]) / np.sqrt(r @ np.linalg.solve(R, r))
    Sx = np.diag(10 ** rng.uniform(-2, 0, size=3))
    dist = PromptDistribution(3, (size,) * K, r, R=R, Sx=Sx)
    values = scanned(dist)
    mono = optimal_wpgd(dist, "monotone").risk
    # To the rounding of the monotone solver.
    assert abs(mono - optimal_wpgd(dist, "uniform").risk) < 1e-9 * dist.M
    assert optimal_wpgd(dist, "constant-gate").gate == 1.0
    assert values[:-1].min() > values[-1]  # strictly, all along the scan
    tried += 1
print(
    f"{tried} prompts of falling relevance: the best constant gate is one in each"
)

# %% [markdown]
# ## One step of forgetting
#
# Whether a *little* forgetting helps can be read from two mean ages. The age of example $i$ is $n - i$, and its mean under weights $x$ is
# $\mathrm{age}(x) = \sum_i x_i\, (n - i) \big/ \sum_i x_i$.
#
# ```{prf:proposition} The first step of forgetting
# :label: prop-first-forgetting
#
# **A little forgetting helps if what is relevant is younger, on average, than what is there.**
#
# *New here.* Let $R$, $r$ now be those of the $n$ examples, $\ones^\top r \ne 0$, and $h = h_2(1 + \ones^\top R \ones/n)$. Then at $t = 0$ the
# derivative of $\ell(e^{-t})$ in $t$ is
#
# $$
# \mu \bigl[ \mathrm{age}(r) - \mathrm{age}\bigl( (hR + I) \ones \bigr) \bigr] \quad \text{with } \mu = 2\, (M - \ell(1)) > 0 .
# $$
#
# So a little forgetting lowers the risk if the first mean age is below the second, and raises it if it is above.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-first-forgetting)=
# ```{prf:proof}
# Let $\tau_i = n - i$. Divide the weights by $g$: $\omega_i = e^{-t \tau_i}$ has derivative $-\tau$ at $t = 0$, where $\omega = \ones$. The best $Q$ is
# unique and smooth in $\omega$, so the derivative of the least risk is that of the risk at a fixed $Q$. With
# $\zeta = M \tr(Q^\top Q) + \tr(\Sigma Q^\top Q) > 0$ and $\tr(\Sigma Q^\top Q) = h \zeta$ (this is what $h_2$ is, at the best $Q$), it is
# $\partial \risk/\partial \omega = 2 \zeta\, (hR + I)\, \omega - 2 \tr(\Sigma Q)\, r$. At the best $Q$ a change of scale changes nothing to first
# order: $\zeta\, \ones^\top (hR + I) \ones = \tr(\Sigma Q)\, r^\top \ones$. So the derivative along $-\tau$ is
# $-2\zeta\, \ones^\top (hR + I)\, \tau + 2 \tr(\Sigma Q)\, r^\top \tau$, which is the claim with $\mu = 2 \zeta\, \ones^\top (hR + I) \ones > 0$. This is $2 \tr(\Sigma Q)\, r^\top \ones$, twice the gain of linear attention.
# ```
# ````
#
# The first is the mean age of what is relevant (with signs, if $r$ has both). The second is the mean age of what is *there*, where redundant
# examples count for more. For independent tasks of equal size it is the plain mean age $(n-1)/2$.

# %%
from glalib.risk import h2


def mean_ages(dist):
    """Of the relevance, and of the examples as hR + I counts them."""
    ages, index = np.arange(dist.n - 1, -1, -1.0), dist.task_index
    R, r, ones = dist.R[np.ix_(index, index)], dist.r[index], np.ones(dist.n)
    there = h2(dist, 1 + ones @ R @ ones / dist.n) * R @ ones + ones
    return r @ ages / r.sum(), there @ ages / there.sum()


# %% tags=["check", "asserts-prop-first-forgetting"]
off, signs = 0.0, set()
for _ in range(60):
    counts = [int(c) for c in rng.integers(1, 20, size=3)]
    r = rng.uniform(-0.3, 0.55, size=3)
    Sx = np.diag(10 ** rng.uniform(-2, 0, size=3))
    dist = PromptDistribution(3, counts, r, Sx=Sx, sigma=0.3)
    relevance, presence = mean_ages(dist)
    step, mu = 1e-5 / dist.n, 2 * (dist.M - ell(dist, 1.0))
    slope = (ell(dist, np.exp(-step)) - ell(dist, np.exp(step))) / (2 * step)
    # Rounding of a risk over the step, where linear attention gains little.
    off = max(off, abs(slope - mu * (relevance - presence)) / (mu * dist.n))
    signs.add(np.sign(slope))
assert off < 1e-6 and signs == {-1.0, 1.0}
print(
    f"60 random prompts, slopes of both signs: as the two mean ages say, to {off:.0e}"
)

# %% [markdown]
# ## Break it
#
# **Relevance falls, and forgetting helps.** {prf:ref}`prop-no-decay` needs blocks of equal size. Here the first block is large and repeats
# itself, and forgetting makes up for that. The two mean ages see it.

# %%
dist = PromptDistribution(10, (90, 10), (0.5, 0.45))
assert optimal_wpgd(dist, "constant-gate").gate < 1
relevance, presence = mean_ages(dist)
assert relevance < presence

# %% [markdown]
# **A little does not help, much does.** {prf:ref}`prop-first-forgetting` is about the first step only. Here the risk rises at first, and yet
# the best gate is far from one. The scan finds three basins:

# %%
dist = PromptDistribution(2, (200, 50, 2), (0.45, -0.3, 0.75))
relevance, presence = mean_ages(dist)
assert relevance > presence
steps = np.diff(scanned(dist))
steps = steps[np.abs(steps) > 1e-12 * dist.M]  # others may be rounding
inner = (steps[:-1] < 0) & (steps[1:] > 0)
assert (steps[0] > 0) + inner.sum() + (steps[-1] < 0) == 3
assert optimal_wpgd(dist, "constant-gate").gate < 0.5

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: first against last
# :label: ex-first-against-last
#
# Three independent tasks in blocks of equal size, with $r_1 + r_2 + r_3 > 0$. When does a little forgetting help? What has the middle task to
# say?
# ```
#
# ```{answer} ex-first-against-last
# asks: By how much is the mean age of what is relevant above that of what is there, with m examples a block, as a function of m, r1, r2 and r3?
# value: "lambda m, r1, r2, r3: (lambda ages: ages[0] - ages[1])(mean_ages(PromptDistribution(10, (m, m, m), (r1, r2, r3))))"
# at: [{m: 20, r1: 0.6, r2: 0.3, r3: 0.2}, {m: 10, r1: 0.1, r2: 0.9, r3: 0.2}, {m: 5, r1: 0.2, r2: 0.3, r3: 0.9}]
# wrong:
# - value: "lambda m, r1, r2, r3: m * (r3 - r1) / (r1 + r2 + r3)"
#   says: The first task is the oldest. Its relevance makes the mean age larger.
# - value: "lambda m, r1, r2, r3: m * (r1 - r3)"
#   says: A mean is divided by the sum of what it is weighted with.
# - value: "lambda m, r1, r2, r3: m * (r1 - r3) / (r1 + r3)"
#   says: The middle task stands in the middle, but it counts among what is relevant.
# - value: "lambda m, r1, r2, r3: 3 * m * (r1 - r3) / (r1 + r2 + r3)"
#   says: Neighbouring blocks are one block apart in age, not a prompt.
# - value: "lambda m, r1, r2, r3: (3 * m - 1) / 2 + m * (r1 - r3) / (r1 + r2 + r3)"
#   says: That is the mean age of what is relevant. Subtract that of what is there.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Tasks are independent and blocks equal, so the second mean age is $(n-1)/2$. Count ages from there.
# ```
#
# ````{solution} ex-first-against-last
# :class: dropdown
#
# In blocks of $m$ examples the mean ages are $\frac{n-1}{2} + m$, $\frac{n-1}{2}$ and $\frac{n-1}{2} - m$. The mean age of the relevance is
# $\frac{n-1}{2} + m\, (r_1 - r_3)/(r_1 + r_2 + r_3)$. So a little forgetting helps if $r_3 > r_1$, and does harm if $r_3 < r_1$. The middle task
# has no say, however relevant it is.
#
# ```python
# for r, helps in (((0.1, 0.9, 0.2), True), ((0.2, 0.9, 0.1), False)):
#     dist = PromptDistribution(10, (20, 20, 20), r)
#     relevance, presence = mean_ages(dist)
#     assert np.isclose(relevance, 29.5 + 20 * (r[0] - r[2]) / sum(r))
#     assert np.isclose(presence, 29.5)
#     assert (optimal_wpgd(dist, "constant-gate").gate < 1) == helps
# ```
# ````
#
# ```{exercise} Compute: when a block is too long
# :label: ex-too-long
#
# Two independent tasks, $r = (0.5, 0.45)$, $d = 10$, no noise. The second block has ten examples. From which size of the first block on does
# forgetting help, although relevance falls? Predict it with the two mean ages, then look.
# ```
#
# ```{answer} ex-too-long
# asks: From which size of the first block on does forgetting help?
# value: 5 + seen.index(True)
# within: 0.1
# wrong:
# - value: next(n for n in range(5, 30) if n * 10 > 0.5 / 0.45 * 10 * 10)
#   says: That leaves M + 1 out of what examples count as there.
# - value: 11
#   says: Longer than the second is not long enough, as the first task is the more relevant one.
# - value: 0.5 / 0.45 * (10 + 11) - 11
#   says: There the two mean ages are equal. The first whole number beyond is asked for.
# - value: 10
#   says: Blocks of one size with falling relevance. There forgetting does harm.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# For white features $hR + I$ is proportional to $R + (M + 1) I$, so that $(hR + I)\ones$ counts an example of block $k$ as $n_k + M + 1$.
# ```
#
# ````{solution} ex-too-long
# :class: dropdown
#
# An example of the first block has the mean age $10 + (n_1 - 1)/2$, one of the second $9/2$. Weigh them by $n_k r_k$ for the relevance, and by
# $n_k (n_k + 11)$ for the presence. The sizes at which the first mean is below the second are those at which the best gate is below one:
# thirteen examples and more.
#
# ```python
# ages = lambda n_1: np.array([10 + (n_1 - 1) / 2, 4.5])
# predicted, seen = [], []
# for n_1 in range(5, 30):
#     sizes = np.array([n_1, 10])
#     relevance = np.average(ages(n_1), weights=sizes * [0.5, 0.45])
#     presence = np.average(ages(n_1), weights=sizes * (sizes + 11))
#     predicted.append(relevance < presence)
#     blocks = PromptDistribution(10, (n_1, 10), (0.5, 0.45))
#     assert np.allclose((relevance, presence), mean_ages(blocks))
#     seen.append(optimal_wpgd(blocks, "constant-gate").gate < 1)
# assert predicted == seen and 5 + seen.index(True) == 13
# ```
# ````
#
# ```{exercise} Explore: can one step mislead?
# :label: ex-forget-at-once
#
# Take independent tasks in blocks of equal size, with relevances $r_k \ge 0$. If a little forgetting does harm, can much of it help? Try
# random prompts first. Then look for a prompt that misleads.
# ```
#
# ```{answer} ex-forget-at-once
# asks: With r = (0.65, 0, ..., 0, 0.6), ten examples a block and d = 10, what is the least number of blocks at which the best constant gate is below one?
# value: "next(K for K in range(2, 9) if optimal_wpgd(PromptDistribution(10, (10,) * K, (0.65, *[0.0] * (K - 2), 0.6)), 'constant-gate').gate < 1)"
# within: 0.1
# wrong:
# - value: 2
#   says: With blocks of one size and falling relevance no forgetting helps.
# - value: 3
#   says: One irrelevant block between them takes too little from linear attention.
# - value: 4
#   says: There it is close, but linear attention is still a little better.
# - value: 6
#   says: There it is well below one. Try fewer.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Let only the first and the last task be relevant, nearly alike, and put more and more blocks between them. What does linear attention make of
# the last one?
# ```
#
# ````{solution} ex-forget-at-once
# :class: dropdown
#
# In three hundred random prompts the first step says all. Yet it can mislead. Let $r = (0.65, 0, \dots, 0, 0.6)$ with $K$ blocks. By the mean
# ages a little forgetting does harm, at any $K$. Linear attention spreads its weight over all blocks, so the more of them there are, the less it
# learns of either task; a short memory sees the last block alone. With six blocks forgetting wins.
#
# ```python
# rng = np.random.default_rng(0)
# for _ in range(300):
#     r = np.abs(rng.normal(size=int(rng.integers(2, 7))))
#     dist = PromptDistribution(10, (10,) * len(r), 0.9 * r / np.linalg.norm(r))
#     relevance, presence = mean_ages(dist)
#     assert (relevance < presence) == (optimal_wpgd(dist, "constant-gate").gate < 1)
# best = {}
# for K in (2, 3, 6):
#     dist = PromptDistribution(10, (10,) * K, (0.65, *[0.0] * (K - 2), 0.6))
#     relevance, presence = mean_ages(dist)
#     assert relevance > presence
#     best[K] = optimal_wpgd(dist, "constant-gate").gate
# assert best[2] == best[3] == 1 and best[6] < 0.95
# ```
# ````

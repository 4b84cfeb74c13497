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
#   settles: the whole story once, on one page
# ---

# %% [markdown]
# # In ten minutes
#
# What do the gates of Mamba, RWKV and gated linear attention buy a model that learns from its prompt?
#
# Short answer: **the weight of an example is the product of the gates after it.** A layer that forgets is a layer that trusts some examples
# more than others. That helps when the examples that matter come last, and this page has a formula for how much, for gates that know a token's place, or a separator, and
# not the examples.
#
# ## A prompt with two tasks in it
#
# A prompt holds six examples $(x_i, y_i)$. The first three come from one task, a hidden linear map, and the next three from another.
# Then comes a query $x$, and the model is to predict its label. The query's task is much like the second and little like the first.
# Think of flats and their rents: three flats of one town, three of another, and then a flat in a third town, where prices are much like the second's.
#
# The layer keeps one matrix $S$ as its memory. At each token it multiplies the memory by a gate $g_i$ between 0 and 1, and writes the
# token's own example into it:
#
# $$
# S_i = g_i\, S_{i-1} + y_i x_i^\top, \qquad \text{prediction} = g_7\, S_6\, x .
# $$
#
# Labels are numbers here, so the memory is one row; and the query, which has no label yet, writes nothing. In the words of attention, $x_i$ is the key, $y_i$
# the value and $x$ the query; with all gates 1 this is linear attention, without a softmax.
#
# Say that one gate is $1/4$, the one at the first example of the second task, and all others are 1. Here the tasks change at the same place in every prompt, so the gate may sit there; where the place moves,
# a separator token can mark it. Read the picture row by row.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-staircase-built", "caption": "One gate of 1/4 turns six equal examples into two levels of trust. Each row is the memory after one more token, each number the weight of an example in it. The gate of a token shrinks what was there before; the token itself comes in at weight 1."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import plotting

plotting.use_style()
gates = np.array([1, 1, 1, 0.25, 1, 1, 1])  # six examples and the query
n = len(gates) - 1

fig, ax = plt.subplots(figsize=(6.4, 4.0))
for i in range(n + 1):
    task = plotting.TASKS[i // 3] if i < n else "0.45"
    ax.text(i, -0.95, f"$x_{i + 1}$" if i < n else "$x$", ha="center", color=task)
    ax.text(
        i,
        -0.4,
        f"{gates[i]:g}",
        ha="center",
        weight="bold" if gates[i] < 1 else None,
    )
for row in range(n + 1):
    for i in range(min(row + 1, n)):
        weight = gates[i + 1 : row + 1].prod()
        ax.add_patch(
            plt.Rectangle(
                (i - 0.46, row - 0.06),
                0.92,
                0.82,
                lw=0,
                alpha=0.15 + 0.6 * weight,
                color=plotting.TASKS[i // 3],
            )
        )
        ax.text(i, row + 0.5, f"{weight:g}", ha="center")
    name = f"after $x_{row + 1}$" if row < n else "at the query"
    ax.text(-0.8, row + 0.5, name, ha="right", color="0.35")
ax.text(-0.8, -0.95, "token", ha="right", color="0.35")
ax.text(-0.8, -0.4, "its gate", ha="right", color="0.35")
ax.text(1, -1.6, "task 1", ha="center", color=plotting.TASKS[0])
ax.text(4, -1.6, "task 2", ha="center", color=plotting.TASKS[1])
ax.set(xlim=(-2.6, n + 0.6), ylim=(n + 1, -2))
_ = ax.axis("off")

# %% tags=["remove-input"]
plotting.FigureData(
    "staircase_built",
    {"after_token": np.arange(1, n + 2)}
    | {
        f"weight_{i + 1}": [
            gates[i + 1 : t + 1].prod() if t >= i else None for t in range(n + 1)
        ]
        for i in range(n)
    },
    gates="1, 1, 1, 0.25, 1, 1, 1",
    seed="none",
)

# %% [markdown]
# At the query the prediction is a sum over the examples, and each example's weight is **the product of the gates after it**:
#
# $$
# \begin{aligned}
# \text{prediction} &= \sum_i \omega_i\, y_i\, (x^\top x_i), \\
# \omega_i &= g_{i+1}\, g_{i+2} \cdots g_{n+1} .
# \end{aligned}
# $$
#
# With a second gate, of $1/2$ at $x_6$, the weights would be $1/8, 1/8, 1/8, 1/2, 1/2, 1$.
#
# For the simplest layer this is Theorem 1 of the paper. In code, both sides:

# %%
rng = np.random.default_rng(0)
X, y, x = rng.normal(size=(n, 4)), rng.normal(size=n), rng.normal(size=4)

S = np.zeros(4)
for i in range(n):
    S = gates[i] * S + y[i] * X[i]
layer = gates[n] * S @ x

omega = np.array([gates[i + 1 :].prod() for i in range(n)])
weighted = omega * y @ X @ x
assert np.isclose(layer, weighted, rtol=1e-12)
omega

# %% [markdown]
# This sum has a name. Start linear regression at zero, give each example the weight $\omega_i$, and take one step of gradient descent:
# the prediction is the same sum. **The layer does one step of weighted gradient descent.** A real layer has matrices before and
# after its memory. If they keep features and labels apart, they multiply the step by a matrix: $x^\top x_i$ becomes $x^\top P\, x_i$. $P$ holds the step's size, and is called its preconditioner.
#
# ## What the best weights are
#
# How much should each task count? Write $r_1$ and $r_2$ for the correlation of each task with the query's: 1 is the same task, 0 tells
# nothing. Features and tasks are standard Gaussian vectors, and labels have no noise. The expected squared error of the step, its **risk**, is a formula in the weights and in $P$, and its minimum can be computed. For two
# tasks that are independent of each other and have equally many examples the answer is as simple as it could be: weights in proportion to $r_1$ and $r_2$.
# For $r = (0.2, 0.8)$ that is 1 to 4: the gate of $1/4$ in the picture above.
#
# With $m$ examples of each task in $d$ dimensions the least risk, and the risk of linear attention, which weighs all alike, are
#
# $$
# \frac{\text{best risk}}{d} = 1 - \frac{m}{m + d + 1}\,(r_1^2 + r_2^2),
# $$
#
# $$
# \frac{\text{equal weights' risk}}{d} = 1 - \frac{m}{m + d + 1}\,\frac{(r_1 + r_2)^2}{2} .
# $$
#
# The difference is the gain, $\frac{m}{m + d + 1}\, \frac{(r_1 - r_2)^2}{2}$.
# The floor $1 - r_1^2 - r_2^2$ is the part of the query's task that no prompt can tell.

# %%
from glalib import PromptDistribution, optimal_wpgd

dist = PromptDistribution(d=10, counts=(50, 50), r=(0.2, 0.8))
best, equal = optimal_wpgd(dist), optimal_wpgd(dist, "uniform")
assert np.isclose(best.omega[1] / best.omega[0], 4)
assert np.isclose(best.risk / 10, 1 - 50 / 61 * (0.2**2 + 0.8**2))
assert np.isclose(equal.risk / 10, 1 - 50 / 61 * (0.2 + 0.8) ** 2 / 2)

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

glue("ten_best", best.risk / dist.d, display=False)
glue("ten_equal", equal.risk / dist.d, display=False)
glue("ten_less", float(1 - best.risk / equal.risk), display=False)

# %% [markdown]
# For $r = (0.2, 0.8)$ and 50 examples of each task in ten dimensions, predicting zero has risk 1 (per dimension), linear attention
# {glue:text}`ten_equal:.3f`, and the best weights {glue:text}`ten_best:.3f`: {glue:text}`ten_less:.0%` less, from one number per task.
#
# Now you can be the gates. Here are twelve examples, six of each task, in three dimensions; a mark stands between the tasks, and a gate at the mark forgets the first task as
# a whole.
#
# ```{live} strip
# :name: fig-strip
# :alt: A prompt of two tasks of six examples each, with a slider for the gate of each token; above it the weights, below it the size of the memory and the risk beside the least risks of four kinds of layers.
#
# Drag the gates, and see what they are worth. The weight of an example is the product of the gates after it, so a gate shrinks all bars to its left. The risk
# is that of these weights with the best $P$. Try the mark's gate alone; then find gates that do as well. Then let task 1 be the better hint.
# ```
#
# ## Three answers
#
# **What gates buy.** Trust in the examples that matter. For two independent tasks of equal length the gain grows with $(r_1 - r_2)^2$. If both are equally
# useful there is none. (If one task has more examples than the other, a gate can help even then: the many repeat each other.)
#
# **When they do not.** A gate can only forget. The weight of an example is a product of numbers up to 1, so weights can rise along the
# prompt and never fall. (Mamba also scales what each token writes; that factor multiplies the weight and [can make weights fall](writes_and_heads). Here writes have none.) If the better of two equally long tasks comes *first*, the best that one gate per
# token can do is to leave everything alone. The picture shows it: swap the two tasks, and the gated layer falls back to linear attention.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-three-answers", "caption": "One gate per token helps if the better task comes last, and not at all if it comes first. Risk per dimension, 50 examples of each of two tasks, ten dimensions. Two value channels with gates of their own reach the optimum in either order."}}
orders = {
    "best task last\n$r = (0.2,\\ 0.8)$": (0.2, 0.8),
    "both alike\n$r = (0.5,\\ 0.5)$": (0.5, 0.5),
    "best task first\n$r = (0.8,\\ 0.2)$": (0.8, 0.2),
}
layers = {
    "no gate": ("uniform", "s", plotting.TASKS[0], -0.25),
    "one gate a token": ("monotone", "o", plotting.TASKS[1], 0.0),
    "two channels": ("free", "^", plotting.TASKS[2], 0.25),
}
risks = {
    name: [
        optimal_wpgd(PromptDistribution(10, (50, 50), r), weights).risk / 10
        for r in orders.values()
    ]
    for name, (weights, *_) in layers.items()
}
fig, ax = plt.subplots(figsize=(6.4, 3.1))
for name, (_, marker, colour, shift) in layers.items():
    at = np.arange(3) + shift
    ax.vlines(at, 0, risks[name], color=colour, linewidth=1.6)
    ax.plot(at, risks[name], marker, color=colour, markersize=9)
    for place, risk in zip(at, risks[name], strict=True):
        ax.text(place, risk + 0.045, f"{risk:.2f}", ha="center")
for (name, (_, marker, colour, _)), height in zip(
    layers.items(), (0.93, 0.84, 0.75), strict=True
):
    ax.plot(1.5, height + 0.022, marker, color=colour, markersize=7)
    ax.text(1.58, height, name, color=colour)
ax.set(ylim=(0, 1), xlim=(-0.6, 2.6), ylabel="risk / $d$")
ax.set_xticks(range(3), orders)
_ = ax.grid(axis="x", visible=False)

# %% tags=["remove-input"]
plotting.FigureData(
    "three_answers",
    {"r_1": [r[0] for r in orders.values()]}
    | {name.replace(" ", "_"): values for name, values in risks.items()},
    figure=fig,
    d=10,
    counts="50, 50",
    seed="none",
)

# %% tags=["check"]
first, last = 2, 0
assert np.isclose(
    risks["one gate a token"][first], risks["no gate"][first], rtol=1e-9
)
assert np.isclose(risks["one gate a token"][last], risks["two channels"][last])
assert np.isclose(risks["two channels"][first], risks["two channels"][last])
lost = risks["one gate a token"][first] - risks["two channels"][first]
print(
    f"with the best task first, one gate a token is worth nothing, and {lost:.3f} is lost"
)

# %% [markdown]
# **What else would help.** Let the layer write each label twice, into two rows of its memory with gates of their own (two *value channels*), and subtract
# one from the other. Two sequences that rise have a difference that may do anything, so *two channels reach every weighting*. This is one kind of
# vector gate; [its page](vector_gates) has the other, on keys, as in GLA and RWKV-6. And if tasks drift slowly instead of changing at marked places, one
# constant decay, as in RetNet, [loses next to nothing](one_decay).
#
# **Does training find this?** Here, yes: a small layer trained from a random start ends within a per cent of the best weights' risk, and its weights end
# near the ratio 1 to 4. [What training finds](training) trains it while the page is built.
#
# ```{note}
# Gates here never read an example. Where they do, as in Mamba, GLA and RWKV-6, weights are still products of gates, but the formulas for the risk no longer hold as they
# stand; the book says where it speaks of such gates. And one layer takes one step; layers on top of each other take more.
# ```
#
# ## Where to go from here
#
# - **An afternoon.** The other pages of the first part, in their order, from [prompts that mix tasks](prompts) to [what training finds](training).
# - **Your own gate.** [What a scalar gate can do](scalar_gates), [decay and drift](decay_and_drift), [vector gates](vector_gates), and
#   [how to try a gate, a distribution or a layer of your own](your_own).
# - **The mathematics.** [Every stationary point](stationary_points.md) of the risk, and [when there is only one minimum](uniqueness.md).
#
# ```{symbols}
# x y omega P r d n
# ```
#
# ## Exercises
#
# ```{exercise} By hand: read the gates
# :label: ex-ten-read
#
# Five examples, and gates $1, \tfrac12, 1, \tfrac12, 1$ at them and $1$ at the query. What are the weights? Which gate has no effect at all, whatever its
# value?
# ```
#
# ```{answer} ex-ten-read
# asks: The five weights, from the first example to the last.
# value: "[np.prod([1, 1/2, 1, 1/2, 1, 1][i + 1:]) for i in range(5)]"
# wrong:
# - value: "[np.prod([1, 1/2, 1, 1/2, 1, 1][i:-1]) for i in range(5)]"
#   says: An example is not multiplied by its own gate, which acts on what was in the memory before. Begin with the gate after it.
# - value: "np.cumprod([1, 1/2, 1, 1/2, 1])"
#   says: These are products of the gates up to each example. A weight is a product of the gates after it.
# - value: "[1, 1/2, 1, 1/2, 1]"
#   says: These are the gates themselves. The weight of an example is the product of all gates after it.
# - above: 1
#   says: A product of gates, which are at most one, is at most one.
# minutes: 3
# level: 1
# ```
#
# ```{answer} ex-ten-read-first
# asks: Which gate has no effect?
# choices:
# - text: the second
#   says: It halves what the memory holds, and the first example is there by then.
# - text: the last example's
#   says: It acts on all four examples before it. Here it is one; another value would change their weights.
# - text: the first
# - text: the query's
#   says: It acts on everything in the memory. Here it is one; another value would change all weights.
# minutes: 1
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Start at the end: the last example's weight is the query's gate. Each step to the left multiplies by one more gate.
# ```
#
# ````{solution} ex-ten-read
# :class: dropdown
#
# $(\tfrac14, \tfrac12, \tfrac12, 1, 1)$. The first gate acts on an empty memory.
# ````
#
# ```{exercise} Compute: gates for weights
# :label: ex-ten-gates
#
# Which gates give the weights $(0.1, 0.1, 0.5, 1)$? Check with the loop of this page that the layer agrees.
# ```
#
# ```{answer} ex-ten-gates
# asks: The gates after the first one, from the second example's to the query's.
# value: g[1:]
# wrong:
# - value: np.array([1, 5, 2, 1])
#   says: These are the weights of neighbours, divided the wrong way round. A gate is at most one.
# - value: wanted
#   says: These are the weights. Which gate turns the weight of an example into the smaller one of its neighbour before?
# - value: np.array([0.1, 1, 0.2, 0.5])
#   says: One place too early. The quotient of two neighbours is the gate of the later one; the query's stands last.
# - above: 1
#   says: A gate is at most one.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Neighbours: $g_{i+1} = \omega_i / \omega_{i+1}$.
# ```
#
# ````{solution} ex-ten-gates
# :class: dropdown
#
# $g = (1, 1, 0.2, 0.5, 1)$, the first of them arbitrary.
#
# ```python
# wanted, g = np.array([0.1, 0.1, 0.5, 1.0]), np.array([1, 1, 0.2, 0.5, 1])
# S = np.zeros(4)
# for i in range(4):
#     S = g[i] * S + y[i] * X[i]
# assert np.isclose(g[4] * S @ x, wanted * y[:4] @ X[:4] @ x)
# ```
# ````
#
# ```{exercise} Explore: when is it worth it?
# :label: ex-ten-worth
#
# Keep $r_1 + r_2 = 1$ and let $r_2$ go from $0.5$ to $1$. Plot the risk of the best weights and of equal weights. How does the gap grow, and how does it
# depend on the length of the prompt?
# ```
#
# ```{answer} ex-ten-worth
# asks: By which factor does the gap grow from a relevance of 0.7 to one of 0.9 for the second task, at 100 examples?
# value: gap(0.9, 100) / gap(0.7, 100)
# within: 1%
# wrong:
# - value: (0.9 - 0.1) / (0.7 - 0.3)
#   says: That is how the difference of the two relevances grows. The gap grows with its square.
# - value: (0.9 / 0.7) ** 2
#   says: It is the difference of the two relevances that counts, not the second one alone.
# - value: (0.9 / 0.7) ** 1
#   says: It is the difference of the two relevances that counts, and its square.
# - value: gap(0.7, 100) / gap(0.9, 100)
#   says: That is the gap at 0.7 over the one at 0.9. Which of them is larger?
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `optimal_wpgd(dist)` and `optimal_wpgd(dist, "uniform")` for `PromptDistribution(10, (n // 2, n // 2), (1 - r2, r2))`.
# ```
#
# ````{solution} ex-ten-worth
# :class: dropdown
#
# The gap grows like $(r_2 - r_1)^2$, exactly so for equal independent tasks, and it grows with the length towards a limit.
#
# ```python
# def gap(r2, n):
#     prompts = PromptDistribution(10, (n // 2, n // 2), (1 - r2, r2))
#     return optimal_wpgd(prompts, "uniform").risk - optimal_wpgd(prompts).risk
#
#
# assert np.isclose(gap(0.9, 100) / gap(0.7, 100), (0.8 / 0.4) ** 2)
# assert gap(0.8, 20) < gap(0.8, 200) < gap(0.8, 2000) < 1.2 * gap(0.8, 200)
# ```
# ````

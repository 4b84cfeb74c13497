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
#   settles: what delimiters do without context, and context without delimiters
# ---

# %% [markdown]
# # Delimiters and context apart
#
# Two things help a scalar gate, delimiters and context: what does each do without the other?
#
# Delimiters give the gate a place to act between the tasks. Context tells it where it is. Both are devices of the paper: task boundaries
# and contextual features. How they are laid out as tokens here, and the study of one without the other, are ours.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-apart", "caption": "Only with both can a gate weight whole blocks. The best weights of each kind of gate for two tasks of 50 examples, $r = (0.2, 0.8)$, $d = 10$, scaled to end at one, with their risks; thin, the best of all. Delimiters alone change little. Context alone helps, but the gate has to decay inside the blocks."}}
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    population_risk,
    simulate_risk,
)
from glalib.layout import DELIMITED
from scipy.optimize import minimize

plotting.use_style()
panels = {"a": (0, 1), "b": (0.2, 0.8), "c": (0.5, 0.5), "d": (0.8, 0.2)}


def weights_of(counts, g, b, g_query=1.0):
    """Weights (..., n) for gates g, b of examples and delimiters, block by block.

    Each gate is a number, or an array (..., 1).
    """
    blocks, later = [], g_query
    for n_k, g_k, b_k in zip(counts[::-1], g[::-1], b[::-1], strict=True):
        blocks.append(later * b_k * g_k ** np.arange(n_k - 1, -1, -1))
        later *= b_k * g_k**n_k
    return np.concatenate(blocks[::-1], axis=-1)


def best_gates(dist, context, delimiters):
    """The least risk over the gates of the table, and the weights that have it."""
    K, counts = dist.K, dist.counts

    def weights(gates):
        g = gates[:K] if context else np.full(K, gates[0])
        b = np.ones(K)
        if delimiters:
            b[:-1] = gates[K:] if context else gates[0]
        return weights_of(counts, g, b)

    size = (K + (K - 1) * delimiters) if context else 1

    def risk(gates):
        return optimal_wpgd(dist, weights(np.clip(gates, 0, 1))).risk

    starts = list(product((0.05, 0.95, 0.999), repeat=size))
    if size == 1:  # one number: search all of it first
        grid = 1 - np.geomspace(1e-5, 1, 400)[:, None]
        starts = [min(grid, key=risk)]
    options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 2000}
    runs = [np.ones(size)]
    for start in starts:
        bounds = [(0, 1)] * size
        runs.append(
            minimize(
                risk, start, method="Nelder-Mead", bounds=bounds, options=options
            ).x
        )
    best = min(runs, key=risk)
    return risk(best), weights(np.clip(best, 0, 1))


CASES = {  # context, delimiters
    "neither": (False, False),
    "delimiters only": (False, True),
    "context only": (True, False),
    "both": (True, True),
}
table, chosen = {}, {}
for panel, r in panels.items():
    dist = PromptDistribution(10, (50, 50), r)
    found = {name: best_gates(dist, *case) for name, case in CASES.items()}
    table[panel] = {name: risk / 10 for name, (risk, _) in found.items()}
    chosen[panel] = {name: omega for name, (_, omega) in found.items()}

fig, axes = plt.subplots(2, 2, figsize=(6.4, 4.6), sharex=True, sharey=True)
for ax, name in zip(axes.flat, CASES, strict=True):
    omega, i = chosen["b"][name], np.arange(1, 101)
    ax.plot(i, omega / omega[-1], color=plotting.TASKS[3], linewidth=4, alpha=0.7)
    ax.stairs(
        (0.25, 1), (0.5, 50.5, 100.5), baseline=None, color="0.35", linewidth=1
    )
    ax.set(title=name, ylim=(0, 1.15))
    ax.text(3, 0.95, f"{table['b'][name]:.4f} $d$")
for ax in axes[1]:
    ax.set_xlabel("example $i$")
for ax in axes[:, 0]:
    ax.set_ylabel(r"$\omega_i$")

# %% tags=["remove-input"]
plotting.FigureData(
    "weights_of_four_gates",
    {"i": np.arange(1, 101)} | {name: chosen["b"][name] for name in CASES},
    figure=fig,
    panel="b",
    scale="last weight 1",
    seed="none",
)

# %% [markdown]
# ## How many gates, and where
#
# The answer is in how many gate values the layer can tell apart, and where they act.
#
# ```{symbols}
# K counts r omega P risk G M
# ```
#
# ```{note}
# Weights here do not read the data: a gate sees at most the context of its token.
# ```
#
# ```{prf:proposition} Delimiters and context apart
# :label: prop-delimiters-context
#
# **Without context a gate is one constant; without delimiters it can set a block apart only by decay inside a block.**
#
# *New here.* Gates read at most context coordinates, which are linearly independent for the kinds of tokens. Up to a positive factor,
# which $P$ takes up, example $j$ of block $k$, the $i$-th of the prompt, has the weight in the table. Gate values are any numbers in
# $(0, 1)$; in the closure, in $[0, 1]$.
#
# | | without delimiters | with delimiters |
# |---|---|---|
# | **without context** | $g^{\,n - i}$ | $g^{\,n - i + K - k}$ |
# | **with context** | $g_k^{\,n_k - j} \prod_{l > k} g_l^{\,n_l}$ | $g_k^{\,n_k - j} \prod_{l > k} g_l^{\,n_l} b_{l-1}$ |
#
# The query's gate and that of the last delimiter change only the factor.
#
# 1. The infima satisfy: with both $\le$ context only $\le$ neither $\le$ linear attention, and with both $\le$ delimiters only $\le$ linear
#    attention.
# 2. Context only reaches the infimum of both if and only if some best weights $0 \le w_1 \le \dots \le w_K$ rise only in front of blocks of one
#    example: $w_k = w_{k+1}$ whenever $n_{k+1} \ge 2$.
# 3. Without context, delimiters can help, and can hurt.
# 4. Let $w$, with $w_K = 1$, and $P$ be best with both. Give the gate logit $\theta > 0$ at examples, at the last delimiter and at the query, and at
#    every other delimiter the logit of $w_k/w_{k+1}$, or $\theta$ and $-\theta$ where this is $1$ and $0$ ($\theta$ where it is $0/0$). Then the risk exceeds the
#    infimum by at most a constant times $e^{-\theta}$; and times $e^{-2\theta}$ if the infimum is $\risk^\star$, the least with free weights.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-delimiters-context)=
# ```{prf:proof}
# *The table.* Multiply the gates of all later tokens, as in {prf:ref}`thm-scalar-gate`. Without context all gates are the sigmoid of the bias, one
# number $g$, the query's too. After the $i$-th example come $n - i$ examples, the query and, if there are any, the delimiters of blocks
# $k, \dots, K$: that makes $g^{\,n-i}$ or $g^{\,n - i + K - k}$ times $g$ or $g^2$. With context the factor is $g_{K+1}$, the query's gate, or
# $b_K\, g_{K+1}$. Without this factor the last weight is $1$, so the closures hold no zero vector, and are compact as continuous images of closed
# cubes. The least risk over $P$ is continuous there, so all four infima are minima over these sets.
#
# **1.** All $b_l = 1$ turns the last cell into context only, and $g_1 = \dots = g_K = g$ turns that into $g^{\,n-i}$. All gates equal turns the last
# cell into delimiters only. Each contains equal weights.
#
# **2.** By {prf:ref}`thm-scalar-gate` the infimum of both is the minimum over the cone $0 \le w_1 \le \dots \le w_K$, and only block-constant weights have this
# risk (for $r \neq 0$; for $r = 0$ all risks are $M$, and equal weights are among the best). So we ask which block-constant weights are in the
# closure of context only. Let $w$ be one, with last weight $1$. If $w_{k+1} > 0$ and $n_{k+1} \ge 2$, constancy inside block $k + 1$ means
# $g_{k+1} = 1$, so $w_k = w_{k+1}$; if $w_{k+1} = 0$, $w_k = 0$ as well, as weights do not decrease. Conversely weights with this property are
# reached, by $g_1 = 1$ and, for $k < K$, $g_{k+1} = 1$ where $w_k = w_{k+1}$ and $g_{k+1} = w_k/w_{k+1}$ where not: there $n_{k+1} = 1$, and the gate of a lone
# example acts on the blocks before it only.
#
# **3.** By the examples below.
#
# **4.** With $\delta = 1/(1 + e^\theta) < e^{-\theta}$ the gates are $1 - \delta$, $\delta$ or fixed, so for this $P$ the risk is a polynomial in
# $\delta \in [0, \frac12]$. At $\delta = 0$ it is the infimum. So it exceeds it by at most a constant times $\delta$. If the infimum is $\risk^\star$, the
# gradient in $\omega$ vanishes there, and with it the linear term.
# ```
# ````
#
# With context but without delimiters, only its own gate can set a block apart from the block before, and it pays for this by decay inside. The first block is different: its gate acts on nothing but itself. So in panel (a) of {numref}`fig-panels` context alone comes
# close: the gate forgets all of the first block but its last example. In (b), where the first block should be kept but weighted down, it has to
# decay. The risks, divided by $d$, in all four panels (the two rows in the middle come from a search, so they bound the infima from above):

# %%
print(" " * 16 + "".join(f"{panel:>7}" for panel in table))
for name in CASES:
    print(f"{name:16}" + "".join(f"{row[name]:7.4f}" for row in table.values()))

# %% tags=["check", "asserts-prop-delimiters-context"]
for panel, r in panels.items():
    dist = PromptDistribution(10, (50, 50), r)
    row, slack = table[panel], 1e-9  # of the search over gates
    limit = optimal_wpgd(dist, "monotone").risk / 10
    assert abs(row["both"] - limit) < 1e-7
    assert row["both"] <= row["context only"] + slack
    assert row["context only"] <= row["neither"] + slack
    assert row["both"] <= row["delimiters only"] + slack
    constant = optimal_wpgd(dist, "constant-gate").risk / 10
    assert abs(row["neither"] - constant) < 1e-8
    # The best weights rise in front of 50 examples: strict by part 2. How much, a search
    # can only suggest; the next check bounds it in (b).
    if panel in "ab":
        assert row["both"] + 1e-3 < row["context only"] < row["neither"] - 1e-3
        assert row["delimiters only"] < row["neither"] - 1e-4  # a little help

lone = PromptDistribution(10, (50, 1, 1), (0.1, 0.3, 0.6))  # needs no delimiters
assert abs(best_gates(lone, True, False)[0] - optimal_wpgd(lone).risk) < 1e-6
helped = table["b"]["neither"] - table["b"]["delimiters only"]
print(f"the order of the four kinds; delimiters alone gain {helped:.4f} d in (b)")


# %% tags=["check", "asserts-prop-delimiters-context"]
def bound(dist, low, high):
    """No weights (..., n) between low and high >= 0 have a smaller risk.

    For Sx = C = I, no noise and the best P the risk is
    M - d (r^T w)^2 / (w^T R w + N |w|^2). With r, R >= 0 the numerator is at most that
    of the largest weights, the denominator at least that of the smallest.
    """
    k, N = dist.task_index, dist.M + 1
    square = ((low @ dist.R[k][:, k]) * low).sum(-1) + N * (low**2).sum(-1)
    return dist.M - dist.d * (high @ dist.r[k]) ** 2 / square


def none_below(dist, weights, size, risk):
    """Whether no gates in [0, 1]^size have weights of a smaller risk; how many boxes
    show it. Weights do not decrease in any gate, so those of a box of gates lie between
    those of two of its corners. Boxes in which the bound is too low are halved."""
    boxes, looked_at = np.array([[[0.0, 1.0]] * size]), 0
    while len(boxes) and looked_at < 10**6:
        low, high = (weights(*boxes[..., end].T[..., None]) for end in (0, 1))
        looked_at += len(boxes)
        boxes = boxes[bound(dist, low, high) < risk]
        for gate in range(size):
            left, right = boxes.copy(), boxes.copy()
            left[:, gate, 1] = right[:, gate, 0] = boxes[:, gate].mean(-1)
            boxes = np.concatenate([left, right])
    return not len(boxes), looked_at


def delimiters_only(g):
    return weights_of(hurt.counts, (g,) * 4, (g, g, g, 1.0))


def context_only(g_1, g_2):
    return weights_of((50, 50), (g_1, g_2), (1.0, 1.0))


# Delimiters without context can hurt.
hurt = PromptDistribution(10, (30, 3, 3, 3), (0.1, 0.3, 0.3, 0.3))
least = best_gates(hurt, False, False)[0]
harm = best_gates(hurt, False, True)[0] - least
assert harm > 1e-3
for g in (0.3, 0.9):  # where nothing is left between, the bound is the risk
    omega = delimiters_only(g)
    exact = optimal_wpgd(hurt, omega).risk
    assert np.isclose(bound(hurt, omega, omega), exact, rtol=1e-12)
shown, few = none_below(hurt, delimiters_only, 1, least + 0.99 * harm)
assert shown

# Context only does not reach the infimum in (b), by far more than rounding.
dist = PromptDistribution(10, (50, 50), panels["b"])
shown, many = none_below(dist, context_only, 2, 10 * (table["b"]["both"] + 1e-3))
assert shown
print(
    f"delimiters alone lose {harm / 10:.5f} d in blocks of 30, 3, 3, 3, and context only "
    f"stays 0.001 d above both in (b): bounds from below on {few} and {many:,} boxes"
)


# %% [markdown]
# ## How large must the logits be?
#
# The best weights are a limit. A real gate has finite logits, and part 4 says what that costs: little, and less where the order of the
# tasks is right.


# %%
def hand_set_logits(w, theta):
    """Logits of K blocks, K delimiters and the query, for weights w (K,)."""
    K = len(w)
    out = np.full(2 * K + 1, float(theta))
    for k in range(K - 1):
        ratio = w[k] / w[k + 1] if w[k + 1] > 0 else 1.0
        if ratio < 1:
            out[K + k] = np.log(ratio / (1 - ratio)) if ratio > 0 else -theta
    return out


def finite(dist, best, theta):
    """The gates with logits of size theta, and their risk with the best P."""
    gates, K = 1 / (1 + np.exp(-hand_set_logits(best.omega, theta))), dist.K
    omega = weights_of(dist.counts, gates[:K], gates[K:-1], gates[-1])
    return gates, population_risk(dist, best.P, omega)


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-finite-logits", "caption": "Where the order of the tasks is right, the excess risk falls with twice the exponent. Excess risk of a gate with logits of size $\\theta$ over the best non-decreasing weights: like $e^{-2\\theta}$ in (a) and (b), where these are the best of all, like $e^{-\\theta}$ in (d), where the order binds."}}
theta, excess = np.linspace(2, 14, 25), {}
for panel in "abd":
    dist = PromptDistribution(10, (50, 50), panels[panel])
    best = optimal_wpgd(dist, "monotone")
    risks = np.array([finite(dist, best, height)[1] for height in theta])
    excess[panel] = risks - best.risk

fig, ax = plt.subplots(figsize=(6.4, 3.4))
dashes = {"a": ":", "b": "-", "d": "--"}
for k, (panel, values) in enumerate(excess.items()):
    style = {
        "color": plotting.TASKS[k],
        "linestyle": dashes[panel],
        "linewidth": 2.2,
    }
    ax.semilogy(theta, np.maximum(values, 1e-12) / 10, **style)
ends = {"a": (7.2, 12, 4), "b": (7, -12, -14), "d": (9, 6, 8)}
names = {"a": "(a)", "b": "(b), in order", "d": "(d), out of order"}
for k, (panel, (place, right, up)) in enumerate(ends.items()):
    ax.annotate(
        names[panel],
        (
            place,
            np.exp(
                np.interp(place, theta, np.log(np.maximum(excess[panel], 1e-12)))
            )
            / 10,
        ),
        xytext=(right, up),
        textcoords="offset points",
        ha="right" if right < 0 else "left",
        color=plotting.TASKS[k],
    )
_ = ax.set(xlabel=r"size of the logits, $\theta$", ylabel="excess risk / $d$")

# %% tags=["remove-input"]
plotting.FigureData(
    "finite_logits",
    {"theta": theta}
    | {f"excess_{panel}": values for panel, values in excess.items()},
    figure=fig,
    d=10,
    n=100,
    sigma=0,
    seed="none",
)

# %% tags=["check", "asserts-prop-delimiters-context"]
slopes = {}
for panel, values in excess.items():
    slopes[panel] = np.polyfit(theta[12:18], np.log(values[12:18]), 1)[0]
    # The slope of the logarithm, from theta = 8 to 10.5; the next order is e^-8.
    assert abs(slopes[panel] - (-1 if panel == "d" else -2)) < 0.03

# The same as a module that computes its gates from context.
dist = PromptDistribution(10, (50, 50), panels["b"])
best = optimal_wpgd(dist, "monotone")
gates, exact = finite(dist, best, 8.0)
given, p = gates[DELIMITED.kinds(dist.counts)], DELIMITED.width(dist) - dist.d - 1
layer = GLA.from_matrices(best.P, np.eye(dist.d), given, context_width=p)
module = layer.with_computed_gates(dist, DELIMITED)
generator = torch.Generator().manual_seed(0)
estimate = simulate_risk(
    module, dist, draws=20_000, tokens=DELIMITED, generator=generator
)
assert abs(estimate.risk - exact) < 4 * estimate.stderr < 0.1 * exact
assert 0 < exact - best.risk < 1e-3 * best.risk
print(
    "slopes of the logarithm: "
    + ", ".join(f"{slope:.2f} in ({panel})" for panel, slope in slopes.items())
    + "; a module with such gates has the risk"
)


# %% [markdown]
# ## Break it
#
# **The same context for a delimiter as for its block.** Then the context vectors are not independent, the gate cannot tell the two apart,
# and $b_k = g_k$. In panel (b) no such gate comes within $0.002\, d$ of the infimum. Some do better than the best that we found with context
# only: the gate of the delimiter acts on the whole first block.
#
# A grid shows the second sentence, as what it finds can be had. It cannot show the first: between its points there may be something lower.
# That takes a bound from below. `none_below`, from the folded check above, cuts the square of all gate values into boxes and bounds the risk in each.


# %%
def shared(g_1, g_2):
    return weights_of((50, 50), (g_1, g_2), (g_1, 1.0))


dist = PromptDistribution(10, (50, 50), panels["b"])
grid = (*(1 - np.geomspace(1e-4, 0.5, 50)), 1.0)
found = min(optimal_wpgd(dist, shared(*g)).risk / 10 for g in product(grid, grid))
assert found < table["b"]["context only"] - 1e-5
assert none_below(dist, shared, 2, 10 * (table["b"]["both"] + 2e-3))[0]

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: lone examples need no delimiters
# :label: ex-lone-examples
#
# Blocks of $10$, $1$ and $1$ examples are to have the weights $\frac14, \frac12, 1$. Find gates that do it with context and without
# delimiters. Why does the same not work for blocks of $10$, $2$ and $1$?
# ```
#
# ```{answer} ex-lone-examples
# asks: With a gate of one at the query, which gates do the examples of the three blocks have?
# value: "[1, 1/2, 1/2]"
# within: 0.01
# wrong:
# - value: "[1/2, 1/2, 1]"
#   says: One block too early. A gate acts on what comes before its token; and in the first block it would act ten times.
# - value: "[1/4, 1/2, 1]"
#   says: These are the weights. Each weight is the product of all gates after the example.
# - value: "[1, 1/4, 1/2]"
#   says: The first block is multiplied by both gates that come after it, not by one of them.
# - value: "[1/2, 1/2, 1/2]"
#   says: A first gate below one also decays within the first block, which is to have equal weights.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The gate of a token acts on all tokens before it, and on nothing that comes after. What comes before a lone example?
# ```
#
# ````{solution} ex-lone-examples
# :class: dropdown
#
# $g_1 = 1$, $g_2 = g_3 = \frac12$: the gate of a lone example acts on the blocks before it only, as a delimiter would. With two examples in the
# second block, $g_2 = \frac12$ also halves the first of the two relative to the second, and quarters the first block.
#
# ```python
# no_delimiters = (1, 1, 1)
# omega = weights_of((10, 1, 1), (1, 0.5, 0.5), no_delimiters)
# assert np.allclose(omega, [0.25] * 10 + [0.5, 1])
# omega = weights_of((10, 2, 1), (1, 0.5, 0.5), no_delimiters)
# assert np.allclose(omega, [0.125] * 10 + [0.25, 0.5, 1])
# ```
# ````
#
# ```{exercise} Compute: logits for one per cent
# :label: ex-one-per-cent
#
# How large must $\theta$ be in panels (b) and (d) until the risk is within one per cent of the infimum?
# ```
#
# ```{answer} ex-one-per-cent
# asks: The logit that is needed in panel (b), and in panel (d).
# value: '[enough["b"], enough["d"]]'
# within: 0.1
# wrong:
# - value: "[np.log(99), np.log(99)]"
#   says: That makes each gate ninety-nine hundredths. But a block multiplies fifty of them.
# - value: '[enough["b"], enough["b"]]'
#   says: In (d) the best weights are equal, over all hundred examples. Search for its own logit.
# - value: '[1 / (1 + np.exp(-enough["b"])), 1 / (1 + np.exp(-enough["d"]))]'
#   says: These are the gates. Their logits are asked for.
# - value: "[np.log(100 * 50), np.log(100 * 100)]"
#   says: That keeps the whole decay of a block at a hundredth. The risk is less strict than that.
# minutes: 8
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `finite(dist, best, theta)[1]` is the risk. It falls in $\theta$ here, so bisection finds where it crosses.
# ```
#
# ````{solution} ex-one-per-cent
# :class: dropdown
#
# About $5.8$ in (b) and $7.7$ in (d). Already in (b) that is a gate within a third of a per cent of one. What matters is $e^{-\theta}$ times the
# number of examples: over fifty examples even a gate of $99/100$ forgets two fifths.
#
# ```python
# from scipy.optimize import brentq
#
# enough = {}
# for panel in "bd":
#     dist = PromptDistribution(10, (50, 50), panels[panel])
#     best = optimal_wpgd(dist, "monotone")
#     enough[panel] = brentq(
#         lambda theta: finite(dist, best, theta)[1] - 1.01 * best.risk, 2, 14
#     )
# assert round(enough["b"], 1) == 5.8 and round(enough["d"], 1) == 7.7
# ```
# ````
#
# ```{exercise} Explore: do long prompts need delimiters?
# :label: ex-long-prompts
#
# Take $r = (0.2, 0.8)$ with context only. In the figure it has to decay inside the first block. What becomes of its distance from the gate
# with both as the blocks grow from 5 to 5,000 examples?
# ```
#
# ```{answer} ex-long-prompts
# asks: What becomes of the distance, per feature, as the blocks grow?
# choices:
# - text: it shrinks towards zero
# - text: it shrinks to a limit above zero
#   says: What is lost is that fewer examples are really used. What do some unused examples matter among thousands? Try longer blocks.
# - text: it stays
#   says: The decay can be slower, the longer the block is. Compute it for a few lengths.
# - text: it grows
#   says: More examples decay, but each matters less. Compute it for a few lengths.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Keep $g_2 = 1$ and search over $g_1$ only: that bounds the distance from above. How much do a few unused examples matter among thousands?
# ```
#
# ````{solution} ex-long-prompts
# :class: dropdown
#
# The bound shrinks with every step, in the last one to less than a ninth, and the distance lies below it. A large block counts by the sum of its weights, and decay inside the
# first block can give any sum that is wanted here. The price is that fewer examples are really used, and that matters less and less. So this
# prompt, when it is long, can do without delimiters if the gate reads context.
#
# ```python
# def distance(m):
#     dist = PromptDistribution(10, (m, m), (0.2, 0.8))
#     rates = np.append(np.geomspace(1e-2, 100, 400) / m, 1e-12)
#     context_only = min(
#         optimal_wpgd(dist, weights_of((m, m), (1 - min(x, 1), 1), (1, 1))).risk
#         for x in rates
#     )
#     return (context_only - optimal_wpgd(dist, "monotone").risk) / 10
#
#
# apart = [distance(m) for m in (5, 50, 500, 5000)]
# assert (np.diff(apart) < 0).all() and apart[-1] < apart[-2] / 9
# ```
# ````

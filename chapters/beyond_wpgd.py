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
#   settles: what key channels can do beyond WPGD, with weights of their own for each
#     direction
# ---

# %% [markdown]
# # A weight for each direction
#
# WPGD gives an example one weight, the same in all directions of the features: what is gained by a weight for each direction?
#
# The least risk of WPGD is the yardstick of the paper, and of most pages here. It is not the least risk of a gated layer. Where a vector gate acts on the keys,
# each direction of the features can have weights of its own, and sometimes that is worth something.
#
# In a strong direction the examples of a long task soon say all that they can, and one more is worth little. In a weak direction most of a label is noise, and each example is
# news. WPGD has to settle for something between.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-weight-per-direction", "caption": "Each direction asks for other weights, and WPGD takes a mean. The best weight of an example of the long task (60 examples) over that of the short one (a single example), for a direction of the features with variance $s$. Two independent tasks, $r = (0.8, 0.6)$, $M = 1.1$. Circles: the two directions of the example below; diamond: the one ratio that the best WPGD step has for both."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    simulate_risk,
)
from glalib.gates import signed_weights_to_gates
from glalib.risk import h2

plotting.use_style()
long_and_short = PromptDistribution(2, (1, 60), (0.8, 0.6), Sx=np.diag([1.0, 0.1]))


def wanted_ratio(s, dist):
    """The best weight of the second task over that of the first, where variance is s."""
    first, second = np.array(dist.r)[:, None] / (
        np.array(dist.counts)[:, None] + 1 + dist.M / s
    )
    return second / first


best = optimal_wpgd(long_and_short)
at_h = h2(long_and_short, best.gamma)
mean = long_and_short.M * at_h / (1 - at_h)  # m(gamma), of which D = M / m
curve = np.geomspace(0.01, 3, 121)
ratios = wanted_ratio(curve, long_and_short)
fig, ax = plt.subplots(figsize=(6.4, 3.4))
ax.loglog(curve, ratios, color=plotting.TASKS[0], linewidth=2.4)
own = np.array([1.0, 0.1])
ax.plot(own, wanted_ratio(own, long_and_short), "o", color="black", markersize=8)
ax.plot(
    mean, best.omega[1] / best.omega[0], "D", color=plotting.TASKS[1], markersize=9
)
ax.axhline(0.75, color="#666666", linestyle=(0, (1, 1.5)), linewidth=2)
ax.text(2.9, 0.84, "each example is news: $r_2 / r_1$", color="#555555", ha="right")
ax.text(0.092, 0.125, "weak direction", ha="right", va="top")
ax.text(0.92, 0.035, "strong direction", ha="right", va="top")
ax.annotate(
    "WPGD, for both",
    (mean, best.omega[1] / best.omega[0]),
    textcoords="offset points",
    xytext=(13, 14),
    ha="center",
    color=plotting.TASKS[1],
)
ax.set(
    xlabel="variance $s$ of the direction",
    ylabel="long task over short",
    xlim=(0.01, 3),
    ylim=(0.02, 1.2),
)
ax.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
_ = ax.set_yticks(
    [0.02, 0.05, 0.1, 0.2, 0.5, 1], ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]
)

# %% tags=["remove-input"]
plotting.FigureData(
    "weight_per_direction",
    {"s": curve, "ratio": ratios},
    figure=fig,
    counts="1, 60",
    r="0.8, 0.6",
    M=1.1,
    wpgd_ratio=best.omega[1] / best.omega[0],
    wpgd_s=mean,
    seed="none",
)


# %% [markdown]
# ```{note}
# Weights on this page do not read the data, and neither do gates.
# ```
#
# ## The least risk on the key side
#
# ```{symbols}
# omega P P_q P_k d risk M r R Sigma Sx n lambda Q D B
# ```
#
# As on the page on {doc}`vector_gates`, a layer with key channels shows example $i$ through the matrix $B_i = P_q \diag(\Omega_i) P_k^\top$: its prediction is $\sum_i x^\top B_i\, x_i\, y_i$.
# In WPGD all $B_i$ are multiples of one $P$. Here they need not be.
#
# ```{prf:proposition} Key channels can do better than WPGD
# :label: prop-beyond-wpgd
#
# **With enough key channels each direction gets weights of its own, and the risk can fall below the WPGD optimum.**
#
# *New here.* Let $\Sigma \neq 0$, let $s_1, \dots, s_d$ be its eigenvalues, $k$ the number of non-zero ones, and let $R$ and $r$ be the correlations of the $n$ examples. Take one key-gated layer of the form
# above, with gates given in $[0, 1]$ that do not depend on features and labels, and with at least $2k$ key channels. Its least risk is
#
# $$
# \risk^{\text{key}} = M - \sum_l s_l^2\, r^\top \bigl( (M + s_l) I + s_l R \bigr)^{-1} r \le \risk^\star ,
# $$
#
# where $\risk^\star$ is the least risk of WPGD, and more channels do not lower it. The two are equal if and only if all non-zero $s_l$ are equal or $R\, r = \lambda r$ for some $\lambda$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-beyond-wpgd)=
# ```{prf:proof}
# Let $Q_i = \Sigma_x^{1/2} B_i\, \Sigma_x^{1/2}$. The moments behind {prf:ref}`prop-population-risk` give, for any $B_1, \dots, B_n$,
#
# $$
# \begin{aligned}
# \risk = M &- 2 \sum_i r_i \tr(\Sigma Q_i) + \sum_i \tr\bigl( Q_i (M I + \Sigma) Q_i^\top \bigr) \\
# &+ \sum_{i,j} R_{ij} \tr(Q_i \Sigma\, Q_j^\top).
# \end{aligned}
# $$
#
# In an eigenbasis of $\Sigma$ every entry $(l, m)$ of the $Q_i$, a vector in $\R^n$, has its own quadratic form $(M + s_m) I + s_m R$, which is positive definite, and the linear term touches the diagonal only. So the minimiser is unique in the $Q_i$: they are diagonal, with entries $b_l = s_l \bigl( (M + s_l) I + s_l R \bigr)^{-1} r \in \R^n$ at $(l, l)$, and zero where
# $s_l = 0$, hence of the form $\Sigma_x^{1/2} B_i \Sigma_x^{1/2}$. This gives $\risk^{\text{key}}$, below which no layer of this form can go. It is reached: examples of one task have equal entries, by symmetry; with $L$ the eigenvectors of $\Sigma$ for the non-zero $s_l$, the columns of $\Sigma_x^{+1/2} L$ are the queries and keys, and each of these $k$ directions gets its own signed weights $b_l$
# from two channels.
#
# WPGD is the case $Q_i = \omega_i Q$. Its optimum $\risk^\star$ is attained, so the two are equal if and only if the minimiser has this form, that is if all $b_l$ with $s_l \neq 0$ are multiples of one vector. If the non-zero $s_l$ are equal, they are. Otherwise take two that differ, and $r \ne 0$. Up to factors, $b_l$ is $u = (c\, I + R)^{-1} r$ with $c = 1 + M/s_l$, and the other is $(c' I + R)^{-1} r$ with
# $c' \neq c$. If this is $\theta u$, then $(cI + R) u = r = \theta (c' I + R) u$, so $(1 - \theta) R u = (\theta c' - c) u$. As $u \ne 0$ and $c \neq c'$, $\theta \neq 1$: $u$ is an eigenvector of $R$, and so is $r = (cI + R)u$. Conversely, if $r$ is an eigenvector of $R$, or zero, all $b_l$ are multiples of it.
# ```
# ````
#
# For independent tasks the weights are easy to read. In a direction with variance $s_l$ an example of task $k$ has the weight $r_k / (n_k + 1 + M/s_l)$, up to a common factor. WPGD has $r_k / (n_k + 1 + D)$ with one
# number for all directions ({prf:ref}`prop-ill-conditioned`): the [effective dimension](effective_dimension) $D = M/m$, where $m$ is a mean of the $s_l$. So each direction puts its own variance in the place of the mean.
#
# Let us see it in numbers: unequal features, and one task much longer than the other. The formula as code:


# %%
def key_optimum(dist):
    """Least risk on the key side and the maps (K, d, d); Sx = diag, C = I."""
    n, M, r, s = np.array(dist.counts), dist.M, dist.r, np.diag(dist.Sx)
    forms = [(M + v) * np.eye(dist.K) + v * dist.R * n for v in s]
    b = np.stack([v * np.linalg.solve(form, r) for v, form in zip(s, forms)])
    return M - s @ b @ (n * r), (b / s[:, None]).T[..., None] * np.eye(len(s))


best, (least, B) = optimal_wpgd(long_and_short), key_optimum(long_and_short)
gained = (best.risk - least) / long_and_short.M
assert np.isclose(gained, 0.00934, rtol=0.01)  # better than any WPGD step


# %% tags=["check", "asserts-prop-beyond-wpgd"]
def risk_of_maps(dist, B):
    """The risk of any maps B_k (K, d, d), one for each task; Sx = diag, C = I."""
    n, half, M = np.array(dist.counts), np.sqrt(dist.Sx), dist.M
    Q = half @ B @ half
    own = np.einsum("kab,bc,kac,k->", Q, M * np.eye(dist.d) + dist.Sx, Q, n)
    pairs = np.einsum("kab,bc,lac,k,l,kl->", Q, dist.Sx, Q, n, n, dist.R)
    return M - 2 * np.einsum("ab,kba,k->", dist.Sx, Q, n * dist.r) + own + pairs


rng, dist = np.random.default_rng(0), long_and_short
of_wpgd = best.omega[:, None, None] * best.P
assert np.isclose(risk_of_maps(dist, of_wpgd), best.risk, rtol=1e-12)
assert np.isclose(risk_of_maps(dist, B), least, rtol=1e-12)
# The maps have the weights of the figure, and WPGD has those at the mean m.
own = np.diag(B[1] / B[0])
assert np.allclose(own, wanted_ratio(np.diag(dist.Sx), dist), rtol=1e-12)
wpgd_ratio = best.omega[1] / best.omega[0]
assert np.isclose(wpgd_ratio, wanted_ratio(mean, dist), rtol=1e-9)
for _ in range(200):  # a bowl in the maps: no others are better
    size = 10 ** rng.uniform(-4, 1)
    others = B + size * rng.normal(size=B.shape) * np.abs(B).max()
    assert risk_of_maps(dist, others) > least

# As a layer: the two directions are the two features, with two channels each.
tokens = Layout(delimiters=True)
per_token = [tokens.weights(dist, row) for row in B.diagonal(0, 1, 2).T]
gates, nu = signed_weights_to_gates(np.stack(per_token))
sign = np.concatenate([np.diag(nu), -np.diag(nu)], 1)
gates = np.concatenate(gates.transpose(2, 0, 1)).T
layer = GLA.from_matrices(sign, np.hstack([np.eye(2)] * 2), gates, "key")
prompts = dist.sample(
    50, generator=torch.Generator().manual_seed(1), dtype=torch.float64
)
x, y, query = (part.numpy() for part in (prompts.x, prompts.y, prompts.x_query))
wanted = np.einsum("pa,nab,pnb,pn->p", query[:, 0], B[dist.task_index], x, y)
with torch.no_grad():
    predicted = layer(tokens(prompts), queries=1)[:, 0].numpy()
assert np.allclose(
    predicted, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max() * 60
)
estimate = simulate_risk(
    layer,
    dist,
    draws=40_000,
    queries=4,
    generator=torch.Generator().manual_seed(0),
    tokens=tokens,
)
assert abs(estimate.risk - least) < 5 * estimate.stderr  # five standard errors

# No gain: equal sizes, or white features. White: the risk is a bowl in each map.
for counts, Sx in [((30, 30), np.diag([1.0, 0.1])), ((1, 60), None)]:
    same = PromptDistribution(2, counts, (0.8, 0.6), Sx=Sx)
    assert np.isclose(key_optimum(same)[0], optimal_wpgd(same).risk, rtol=1e-12)
flat = optimal_wpgd(same)
others = flat.omega[:, None, None] * flat.P + 0.1 * rng.normal(size=B.shape)
off = others - flat.omega[:, None, None] * flat.P
n = np.array(same.counts)
bowls = (n * (same.M + 1 + n)) @ (off**2).sum((1, 2))
assert np.isclose(risk_of_maps(same, others), flat.risk + bowls, rtol=1e-12)
print(
    f"Risk over M: {least / dist.M:.3f} on the key side, {best.risk / dist.M:.3f} for the "
    "best WPGD step; a simulated layer agrees"
)

# %% [markdown]
# Two channels a direction suffice for weights in any order. Where they rise in every direction one channel each will do, as the second exercise shows. For two tasks one spare channel
# is always enough in the limit, and here three channels have this optimum exactly; for three tasks they may not be: see {doc}`one_spare_channel`.
#
# ## Break it
#
# Take away the unequal features, or the unequal tasks, and the gain is gone. In the paper's Figure 1 features are white and tasks are of one size. With only one relevant task nothing is gained either, as $R\, r$ is then a multiple of $r$.

# %%
unequal = np.diag([1.0, 0.1])
for name, counts, r, Sx in (
    ("as above", (1, 60), (0.8, 0.6), unequal),
    ("white features", (1, 60), (0.8, 0.6), None),
    ("equal sizes", (30, 30), (0.8, 0.6), unequal),
    ("one relevant task", (1, 60), (0.0, 0.6), unequal),
):
    dist = PromptDistribution(2, counts, r, Sx=Sx)
    gain = (optimal_wpgd(dist).risk - key_optimum(dist)[0]) / dist.M
    assert np.isclose(gain, gained if name == "as above" else 0, rtol=0, atol=1e-12)
    print(f"{name:18} {abs(gain):.3f} of M gained")

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: weak and strong directions
# :label: ex-weak-and-strong
#
# Two independent tasks have $n_1$ and $n_2$ examples. By what factor does an example of the second count more than one of the first, in a direction with variance $s$? What becomes of it in very weak directions, and where $M/s$ is small against $n_1$ and $n_2$?
# ```
#
# ```{answer} ex-weak-and-strong
# asks: The factor for this page's prompt, r = (0.8, 0.6), 1 and 60 examples and M = 1.1, as a function of s.
# value: "lambda s: wanted_ratio(s, long_and_short).item()"
# at: [{s: 0.1}, {s: 1}, {s: 0.01}]
# wrong:
# - value: "lambda s: 1 / wanted_ratio(s, long_and_short).item()"
#   says: That is how much the first counts more than the second.
# - value: "lambda s: 0.6 / 0.8 * (1 + 1.1 / s) / (60 + 1.1 / s)"
#   says: Nearly. Beside the number of examples stands a one.
# - value: "lambda s: 0.6 / 0.8 * (60 + 1 + 1.1 / s) / (1 + 1 + 1.1 / s)"
#   says: The two lengths have changed places. Examples of a long task repeat each other.
# - value: "lambda s: 0.6 / 0.8 * (1 + 1 + 1.1 * s) / (60 + 1 + 1.1 * s)"
#   says: In a weak direction most of a label is noise. Is M to be multiplied by s?
# - value: "lambda s: 0.6 / 0.8 / 60"
#   says: That is a strong direction of long tasks, where a task counts as a whole.
# - value: "lambda s: 0.6 / 0.8"
#   says: That is a very weak direction, where each example is news.
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# For independent tasks $b_l$ is $r_k / (n_k + 1 + M/s_l)$ on the examples of task $k$.
# ```
#
# ````{solution} ex-weak-and-strong
# :class: dropdown
#
# By the factor $\frac{r_2}{r_1} \cdot \frac{n_1 + 1 + M/s}{n_2 + 1 + M/s}$. In very weak directions it tends to $r_2/r_1$: sizes do not matter, each example is news. In strong ones it is near $\frac{r_2 / n_2}{r_1 / n_1}$: a task
# counts as a whole, however many examples show it.
#
# ```python
# long = PromptDistribution(2, (300, 900), (0.5, 0.6), Sx=np.diag([1.0, 1e-6]))
# first, second = key_optimum(long)[1]
# strong, weak = np.diag(second) / np.diag(first)
# assert np.isclose(strong, 0.6 / 0.5 * 300 / 900, rtol=0.01)
# assert np.isclose(weak, 0.6 / 0.5, rtol=0.001)
# ```
# ````
#
# ```{exercise} Compute: the long task first
# :label: ex-long-first
#
# Turn the prompt of this page round: sixty examples with $r_1 = 0.6$ first, then the one with $r_2 = 0.8$. How many key channels does a layer need now to reach $\risk^{\text{key}}$? Build it.
# ```
#
# ```{answer} ex-long-first
# asks: How many key channels does it need now?
# value: layer.key_width
# within: 0.1
# wrong:
# - value: 4
#   says: Two channels for each direction have weights in any order. In which order are these?
# - value: 3
#   says: A spare channel is for weights that turn. Do they, in either direction?
# - value: 1
#   says: One channel shows an example along one direction. Of what rank is the map of a task?
# - value: 61
#   says: Channels are counted by directions, not by examples. The gates of each channel differ from token to token.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Do the weights still turn? `weights_to_gates` gives the gates of weights that rise to at most one, and `GLA.from_matrices(P_q, P_k, gates, "key")` takes a column of gates for each channel.
# ```
#
# ````{solution} ex-long-first
# :class: dropdown
#
# Two: one for each direction. The single example deserves the larger weight, and it comes last, so the weights rise in both directions. No fewer will do, as the map of a task has rank two.
#
# ```python
# from glalib.gates import weights_to_gates
#
# turned = PromptDistribution(2, (60, 1), (0.6, 0.8), Sx=np.diag([1.0, 0.1]))
# least_turned, wanted = key_optimum(turned)
# assert np.isclose(least_turned, least, rtol=1e-12)  # the same tasks, the same risk
# own = wanted.diagonal(0, 1, 2)  # (task, direction)
# assert (own[0] < own[1]).all() and (own > 0).all()
# tokens = Layout(delimiters=True)
# per_direction = [tokens.weights(turned, row) for row in (own / own[1]).T]
# gates = np.stack([weights_to_gates(row) for row in per_direction], axis=-1)
# layer = GLA.from_matrices(np.diag(own[1]), np.eye(2), gates, "key")
# assert layer.key_width == 2
#
# sample = turned.sample(
#     20, generator=torch.Generator().manual_seed(2), dtype=torch.float64
# )
# x, y, query = (part.numpy() for part in (sample.x, sample.y, sample.x_query))
# by_maps = np.einsum(
#     "pa,nab,pnb,pn->p", query[:, 0], wanted[turned.task_index], x, y
# )
# with torch.no_grad():
#     assert np.allclose(
#         layer(tokens(sample), queries=1)[:, 0].numpy(), by_maps, rtol=0, atol=1e-12
#     )
# ```
# ````
#
# ```{exercise} Explore: how much can the key side win?
# :label: ex-key-side-wins
#
# Take the example above, $r = (0.8, 0.6)$ and $\Sigma_x = \diag(1, s)$, with one example of the first task. Vary $s$ and the length of the second task. Where is the gain over WPGD largest, and where does it vanish?
# ```
#
# ```{answer} ex-key-side-wins
# asks: What share of M is gained with a thousand examples of the second task, at s = 0.1?
# value: gain(1000, 0.1)
# within: 2%
# wrong:
# - value: gain(60, 0.1)
#   says: That is with sixty, as on the page. A longer task gains more.
# - value: gain(1000, 0.1) * 1.1
#   says: That is the gain itself. Divide by M, the variance of the label.
# - value: gain(1000, 0.1) * 1.1 / optimal_wpgd(PromptDistribution(2, (1, 1000), (0.8, 0.6), Sx=np.diag([1.0, 0.1]))).risk
#   says: That is the share of the risk of WPGD. The share of M is asked for.
# - value: gain(1000, 0.01)
#   says: That is at a variance ten times as small.
# - value: 0
#   says: Is r an eigenvector of the correlations? Only then, or in white features, is nothing gained.
# minutes: 8
# level: 1
# ```
#
# ```{answer} ex-key-side-wins-vanishes
# asks: At which of these is there nothing to gain, whatever the other setting is?
# choices:
# - text: at a second task of a thousand examples
#   says: There the gain is largest, if the features are not white.
# - text: at one example of the second task
# - text: at s = 1/2
#   says: Two variances that differ are enough, if the lengths do.
# - text: at s = 1/10
#   says: There the gain is largest, if the lengths differ.
# minutes: 3
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `key_optimum(dist)[0]` against `optimal_wpgd(dist).risk`, as a share of $M$. When is $r$ an eigenvector of the correlations?
# ```
#
# ````{solution} ex-key-side-wins
# :class: dropdown
#
# It vanishes at $s = 1$, where the features are white, and with one example of each task, where $R = I$. It grows with the length of the second task and is largest near $s = 0.1$, at about
# one per cent of $M$: for other features or relevances see for yourself.
#
# ```python
# def gain(length, s):
#     dist = PromptDistribution(2, (1, length), (0.8, 0.6), Sx=np.diag([1.0, s]))
#     return (optimal_wpgd(dist).risk - key_optimum(dist)[0]) / dist.M
#
#
# lengths, spectra = (1, 2, 5, 20, 60, 1000), (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
# gains = np.array([[gain(length, s) for s in spectra] for length in lengths])
# assert np.allclose(gains[0], 0, atol=1e-12) and np.allclose(
#     gains[:, -1], 0, atol=1e-12
# )
# assert (np.diff(gains[:, :-1], axis=0) > 0).all()  # longer is better
# assert spectra[gains[-1].argmax()] == 0.1 and np.isclose(gains.max(), 0.0126, rtol=0.01)
# ```
# ````

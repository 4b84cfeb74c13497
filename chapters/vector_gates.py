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
#   settles: how many channels undo the order of a prompt (Theorem 5)
# ---

# %% [markdown]
# # Vector gates
#
# A scalar gate can only forget: how many channels does a gate need to undo the order of a prompt?
#
# The weights of a scalar gate never fall along the prompt ({prf:ref}`thm-gla-is-wpgd`). So a prompt that brings its best task first may get no help
# from it ({prf:ref}`thm-scalar-gate`). A vector gate has several channels, each with a gate of its own. Each channel can still only
# forget. But channels can be *subtracted*, and the difference of two rising staircases can go up and down at will.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-vector-gates", "caption": "Two staircases that only rise have a difference that falls. Top: the two channels. Bottom: their difference, which is the best weighting of four tasks with relevance 0.8, 0.2, 0.5, 0.1, and the best that a scalar gate reaches on the same prompts (scaled to the same $r^\\top \\omega$): it is flat."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import GLA, Layout, PromptDistribution, optimal_wpgd, plotting
from glalib.gates import gates_to_weights, signed_weights_to_gates, weights_to_gates

plotting.use_style()
four = PromptDistribution(d=10, counts=(25,) * 4, r=(0.8, 0.2, 0.5, 0.1))
target, flat = optimal_wpgd(four).omega, optimal_wpgd(four, "monotone").omega
flat = flat * (four.moments(target)[0] / four.moments(flat)[0])  # same r^T omega
steps = np.diff(target, prepend=0)
up, down = steps.clip(0).cumsum(), (-steps).clip(0).cumsum()

fig, (top, bottom) = plt.subplots(2, figsize=(6.4, 4.2), sharex=True)
edges, wide = np.arange(0.5, 5), {"baseline": None, "linewidth": 3}
top.stairs(up, edges, color=plotting.TASKS[0], **wide)
top.stairs(down, edges, color=plotting.TASKS[1], linestyle=(0, (4, 1.2)), **wide)
top.text(0.55, up[0] + 0.08, "channel 1, added", color=plotting.TASKS[0])
top.text(
    1.55, down[1] - 0.07, "channel 2, subtracted", color=plotting.TASKS[1], va="top"
)
bottom.stairs(target, edges, color="black", **wide)
bottom.stairs(flat, edges, color="#666666", linestyle=(0, (1, 1.2)), **wide)
bottom.text(1.55, target[0] - 0.02, "the difference: the best weights", va="top")
told = {"color": "#555555", "ha": "right", "va": "top"}
bottom.text(4.45, flat[3] - 0.05, "a scalar gate", **told)
top.set(ylabel="weight", ylim=(-0.08, 1.55))
_ = bottom.set(
    xlabel="task, in the order of the prompt",
    ylabel="weight",
    xticks=range(1, 5),
    ylim=(-0.08, 1.15),
)

# %% tags=["remove-input"]
plotting.FigureData(
    "vector_gates",
    {
        "task": np.arange(1, 5),
        "channel_1": up,
        "channel_2": down,
        "difference": target,
        "scalar_gate": flat,
    },
    d=10,
    counts=(25,) * 4,
    r=(0.8, 0.2, 0.5, 0.1),
    seed="none",
)

# %% [markdown]
# ```{note}
# Weights on this page do not read the data: gates see only which block a token belongs to. Layers have one head. A **channel** is one coordinate of its keys, or of its values,
# with the gate value that this coordinate has at each token. A scalar gate gives all channels the same value.
# ```
#
# ## The value side: two channels
#
# ```{symbols}
# omega Omega P P_q P_k K d n x y x_query G risk r R C Sx Sigma sigma Z psi M v Q W B Theta o
# ```
#
# Weights belong to the examples $1, \dots, n$, or to the tasks $1, \dots, K$ if they are constant on blocks. Put $\omega_0 = 0$. From
# $\omega_{j-1}$ to $\omega_j$ the weights *rise* or *fall*. Add up the rises, and add up the falls:
#
# $$
# \begin{aligned}
# \omega^\uparrow_j &= \sum_{i \le j} \max(\omega_i - \omega_{i-1}, 0), \\
# \omega^\downarrow_j &= \sum_{i \le j} \max(\omega_{i-1} - \omega_i, 0), \\
# \omega &= \omega^\uparrow - \omega^\downarrow .
# \end{aligned}
# $$
#
# Neither sum ever falls. This is the decomposition of {cite:t}`jordan1881serie`, for sequences. The first step, from zero, counts too.
#
# ```{prf:proposition} Two value channels suffice
# :label: prop-two-value-channels
#
# **Any weights are the difference of two scalar gates' weights, so two value channels undo any order.**
#
# *New here.* Let $\omega \in \R^n$, not zero, and $\nu = \max(\omega^\uparrow_n, \omega^\downarrow_n)$. Then $\omega^\uparrow / \nu$ and $\omega^\downarrow / \nu$ are weights
# of scalar gates: for the first, $g_{i+1} = \omega^\uparrow_i / \omega^\uparrow_{i+1}$ (or $1$ for $0/0$) and $g_{n+1} = \omega^\uparrow_n / \nu$. If $W_v$ writes
# the label into two value channels with these two gates, the read-out is $\psi = (1, -1)$, $P_q = \nu P$ and $P_k = I$, then the layer computes
#
# $$
# x^\top P X^\top (\omega \odot y).
# $$
#
# No other difference is cheaper: if $\omega = c\,(\omega' - \omega'')$ with $0 \le \omega'_1 \le \dots \le \omega'_n \le 1$, the same for $\omega''$, and $c > 0$, then
# $c \ge \nu$. One channel reaches $\omega$, up to a factor of either sign, if and only if $\omega_0, \omega_1, \dots, \omega_n$ never falls or never rises.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-two-value-channels)=
# ```{prf:proof}
# $0 \le \omega^\uparrow_1 \le \dots \le \omega^\uparrow_n \le \nu$, and the product of the gates after $i$ telescopes to $\omega^\uparrow_i / \nu$. (Where
# $\omega^\uparrow_i = 0 < \omega^\uparrow_{i+1}$ the gate is zero, and so are all earlier weights.) Likewise for $\omega^\downarrow$. Row $c$ of the state holds $\sum_i
# \Omega_{ic}\, y_i x_i^\top$, so $\psi^\top o_{n+1} = \sum_i (\omega^\uparrow_i - \omega^\downarrow_i)\, y_i\, x_i^\top P^\top x$.
#
# With $\omega'_0 = \omega''_0 = 0$ the steps of $\omega'$ and $\omega''$ are not negative, so $c\,(\omega'_i - \omega'_{i-1}) \ge \max(\omega_i - \omega_{i-1}, 0)$. The sum
# over $i$ is $c \ge c\, \omega'_n \ge \omega^\uparrow_n$. In the same way $c \ge c\,\omega''_n \ge \omega^\downarrow_n$.
#
# The weights of one channel, times any factor, start at zero (put $\omega_0 = 0$) and never turn. Conversely, if $\omega$ never turns, then $\omega^\downarrow = 0$ or $\omega^\uparrow = 0$.
# ```
# ````
#
# A layer with two heads does the same with scalar gates, if the heads share keys and queries and the read-out subtracts one from the other: its output is the
# same difference ({doc}`writes_and_heads` has heads with keys of their own).
#
# `signed_weights_to_gates` returns the gates of the proposition and $\nu$, and `GLA.from_weights` builds the layer:

# %%
omega = np.array([1.0, 0.25, 0.6, 0.1])  # falls, rises, falls
gates, nu = signed_weights_to_gates(omega)
up, down = gates_to_weights(gates, axis=-2).T  # what the two gates do
assert (np.diff(up) >= 0).all() and (np.diff(down) >= 0).all()
assert np.allclose(nu * (up - down), omega)
layer = GLA.from_weights(np.eye(2), omega, "value")

# %% tags=["hide-input"]
from dataclasses import replace

import torch
from glalib import Prompts, population_risk
from glalib.layout import DELIMITED


@torch.no_grad()
def maps(model, dist, context=False):
    """(n, d, d): the matrices B_i of a layer, f = sum_i x^T B_i x_i y_i.

    The layer is linear in each label and in each feature vector, so its predictions for
    unit labels and unit features are the entries: the whole layer is tested.
    """
    n, d, one = dist.n, dist.d, torch.arange(dist.n * dist.d)
    x = torch.zeros(n * d, n, d, dtype=torch.float64)
    y, zeros = torch.zeros_like(x[..., 0]), torch.zeros_like(x[:, 0])
    x[one, one // d, one % d] = y[one, one // d] = 1.0
    x_query = torch.eye(d, dtype=torch.float64).expand(n * d, d, d)
    unit = Prompts(x, y, x_query, zeros, zeros[:, None].repeat(1, dist.K, 1), zeros)
    unit = replace(unit, counts=dist.counts)
    Z = Layout(delimiters=True, context=context)(unit)
    return model(Z, queries=d).reshape(n, d, d).mT.numpy()


def orders(K, rng):
    """Weights in adverse order: falling, and of random signs."""
    return np.linspace(1, 0.1, K), rng.normal(size=K)


# %% tags=["check", "asserts-prop-two-value-channels"]
rng, worst, tried = np.random.default_rng(0), 0.0, 0
for K in range(2, 7):
    dist = PromptDistribution(3, rng.integers(1, 4, size=K).tolist(), (0.0,) * K)
    for omega in orders(K, rng):
        P = rng.normal(size=(3, 3))
        tokens = Layout(delimiters=True).weights(dist, omega)
        B = maps(GLA.from_weights(P, tokens, "value"), dist)
        error = np.abs(B - dist.expand(omega)[:, None, None] * P).max()
        # A dozen products of numbers of order one, and one difference.
        assert error < 1e-10
        worst, tried = max(worst, error), tried + 1

        gates, nu = signed_weights_to_gates(omega)
        up, down = gates_to_weights(gates, axis=-2).T
        assert np.allclose(nu * (up - down), omega, rtol=0, atol=1e-14 * nu)
        steps = np.diff(omega, prepend=0)
        assert np.isclose(nu, max(steps.clip(0).sum(), (-steps).clip(0).sum()))
print(f"{tried} layers with two value channels: weights right to {worst:.0e}")


# %% [markdown]
# ## The key side: two channels for each direction
#
# Most architectures with vector gates gate the keys. Then channels belong to directions of the features, and it takes more of them.
# Let weights be constant on blocks: gates of one on examples, any on delimiters and the query. With $m$ key channels the prediction is $\sum_i x^\top B_i\, x_i\, y_i$, where an example of task $j$ has
#
# $$
# \begin{gathered}
# B_i = P_q \Theta_j P_k^\top, \qquad \Theta_j = \diag(\Omega_i), \\
# 0 \le \Theta_1 \le \dots \le \Theta_K \le I,
# \end{gathered}
# $$
#
# by {prf:ref}`thm-gla-is-wpgd`, and all such diagonal matrices $\Theta_j$ occur. The layer has weights $\omega$ and preconditioner $P$ if
# $P_q \Theta_j P_k^\top = \omega_j P$ for every task.
#
# ```{prf:proposition} Reversal on the key side
# :label: prop-key-side-reversal
#
# **On the key side, weights that turn need two channels for each direction of $P$, and two suffice.**
#
# *New here.* Let $\omega \in \R^K$, not zero, and let $P$ have rank $k \ge 1$. There are $P_q, P_k$ with $m$ columns and gates in $[0, 1]$ that give weights $\omega$ and preconditioner $P$,
#
# - if $\omega_0, \dots, \omega_K$ never falls or never rises: if and only if $m \ge k$;
# - if it does both: if and only if $m \ge 2k$.
#
# For two tasks with $\omega_1 > 0$ and $\omega_1 > \omega_2$, that is $2k$ channels.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-key-side-reversal)=
# ```{prf:proof}
# Weights for each example are the case of blocks of size one. Other gates inside blocks do not help: look at one example of each block.
#
# *Enough.* Write $P = L\, L'^\top$ with $k$ columns each. If $\omega$ never falls take $P_q = \nu L$, $P_k = L'$ and $\Theta_j = (\omega_j / \nu) I$; if it never rises, $P_q = -\nu L$ and
# $\Theta_j = (-\omega_j / \nu) I$. Else take $P_q = \nu\,[L, -L]$, $P_k = [L', L']$ and $\Theta_j = \diag(\omega^\uparrow_j I, \omega^\downarrow_j I)/\nu$. Further columns may be zero.
#
# *Needed.* Some $\omega_j P \neq 0$ has rank $k$, and $P_q \Theta_j P_k^\top$ has rank at most $m$. Now suppose that $\omega$ rises by $\delta_+ > 0$ at step $i$ and falls by
# $\delta_- > 0$ at step $j$. With $\Theta_0 = 0$ the diagonal matrices $\Theta_+ = (\Theta_i - \Theta_{i-1})/\delta_+$ and $\Theta_- = (\Theta_j - \Theta_{j-1})/\delta_-$ have no negative entries, and
#
# $$
# P_q\, \Theta_+\, P_k^\top = P, \qquad P_q\, \Theta_-\, P_k^\top = -P.
# $$
#
# Drop the channels with $\Theta_+ + \Theta_- = 0$, and multiply the columns of $P_q$ and of $P_k$ by $(\Theta_+ + \Theta_-)^{1/2}$. Call the results $U$ and $V$, and $\Theta = \Theta_+/(\Theta_+ + \Theta_-)$. Then
# $U\,\Theta\,V^\top = P$, so both have rank at least $k$; and $U V^\top = P - P = 0$, so their row spaces are orthogonal. There must be room for both: $2k \le m$.
# ```
# ````
#
# The construction keeps every direction twice, once to add and once to take away. Here it is, for $P$ of full rank:


# %%
def two_for_each_direction(P, omega):
    """P_q, P_k and the gates Theta_j of every task, for weights in any order."""
    steps = np.diff(omega, prepend=0)
    up, down = steps.clip(0).cumsum(), (-steps).clip(0).cumsum()
    nu, eye = max(up[-1], down[-1]), np.eye(len(P))
    Theta = [np.diag(np.repeat([a, b], len(P))) / nu for a, b in zip(up, down)]
    return nu * np.hstack([P, -P]), np.hstack([eye, eye]), Theta


P, omega = np.array([[2.0, 1.0], [0.0, 1.0]]), (1.0, 0.25, 0.6, 0.1)
P_q, P_k, Theta = two_for_each_direction(P, omega)
for weight, gates in zip(omega, Theta, strict=True):
    assert np.allclose(P_q @ gates @ P_k.T, weight * P)

# %% [markdown]
# A layer may also compute these gates. Each token carries a one-hot context vector that says "block 2", "delimiter 2" or "query", and
# `with_computed_gates` fills in the logits $\log \frac{g}{1-g}$ of each.

# %% tags=["check", "asserts-prop-key-side-reversal"]
# A sigmoid never reaches 0 or 1; the logits +-40 miss them by less than float64 notices
# next to one.
worst = {"given": 0.0, "computed": 0.0}
for K in range(2, 7):
    dist = PromptDistribution(3, rng.integers(1, 4, size=K).tolist(), (0.0,) * K)
    for omega in orders(K, rng):
        P = rng.normal(size=(3, 3))
        tokens = Layout(delimiters=True).weights(dist, omega)
        target = dist.expand(omega)[:, None, None] * P
        for side in ("value", "key"):
            layer = GLA.from_weights(P, tokens, side, context_width=2 * K + 1)
            for kind, model in (
                ("given", layer),
                ("computed", layer.with_computed_gates(dist)),
            ):
                error = np.abs(maps(model, dist, context=True) - target).max()
                worst[kind] = max(worst[kind], error)
# Rounding only; the entries are of order one.
assert max(worst.values()) < 1e-10
print(
    f"Gates given, or computed by the layer: right to {max(worst.values()):.0e}, "
    "two channels a direction"
)

# %% tags=["check", "asserts-prop-key-side-reversal"]
# Too few channels. All V with U V^T = 0 have their rows in the kernel of U, and then
# U Theta V^T has rank m - k, whatever the gates: it misses I by one at least.
short = []
for k in range(1, 5):
    for m in range(k, 2 * k + 1):
        U, Theta = rng.normal(size=(k, m)), rng.random(m)
        kernel = np.linalg.svd(U)[2][k:]
        V = rng.normal(size=(k, m - k)) @ kernel
        product = U * Theta @ V.T
        assert np.linalg.norm(U @ V.T, 2) < 1e-12
        scale = max(np.linalg.norm(product, 2), 1)
        rank = np.linalg.matrix_rank(product, tol=1e-10 * scale)
        assert rank == m - k
        short += [k - rank] if m < 2 * k else []
print(
    f"{len(short)} cases below two channels a direction: {min(short)} to {max(short)} "
    "directions are lost"
)

# %% [markdown]
# Must it be twice as many? For exact weights, yes. If a small error is allowed, one spare channel is enough for all directions together, at
# a price: see {doc}`price_of_channels`.
#
# ## What it means for the risk
#
# ```{prf:theorem} Vector gates
# :label: thm-vector-gate
#
# **A vector gate reaches the best weights of any prompt, in whatever order its tasks come.**
#
# *Theorem 5 of the paper, as derived here.* The paper's hypotheses are not known to us: the reviews and the answers say only that with vector gates monotonicity goes away. The hypotheses here are ours.
#
# Prompts have a delimiter after every block, and each token has a context vector: one for each block, one for each delimiter, one for the query, these $2K + 1$ being
# linearly independent. One layer reads keys and queries from the features and values from the label, as in {prf:ref}`def-construction`, and computes its gates as
# $\operatorname{sigmoid}(W_g^\top z + b_g)$ from context alone. Let $\risk^\star$ be the least risk of WPGD over all $P$ and $\omega$. Then for any $r, R, \Sigma_x, C, \sigma$:
#
# 1. *Value side.* If $W_v$ writes the label into $m \ge 2$ value channels, every such layer is WPGD, and the infimum of its risk is $\risk^\star$ if keys have at least $k = \rank \Sigma$ coordinates.
# 2. *Key side.* With at least $k + 1$ key channels the infimum is at most $\risk^\star$.
#
# With gates given in $[0, 1]$ some layer has risk $\risk^\star$ in 1, and in 2 if there are at least $2 k$ channels. With sigmoids $\risk^\star$ is not attained in 1 if $r \ne 0$ and every best $\omega$ is non-zero
# on some block of more than $m$ examples.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-vector-gate)=
# ```{prf:proof}
# Linearly independent context vectors let $W_g$ give each kind of token any gates in $(0, 1)$. Delimiters write nothing. Gates of one on examples, and any others on delimiters and the query, give all block-constant weights, non-decreasing and in $[0, 1]$, in every channel (the gate between blocks $j$ and $j + 1$ falls on the delimiter between
# them). Gates in $(0,1)$ come as close as we like to gates in $[0, 1]$; weights are polynomials in the gates, and the risk is a polynomial in the $B_i$. So what given gates reach, sigmoids reach in the limit. If $r = 0$ or $\Sigma = 0$, then $\risk^\star = M$ and $P_q = 0$ has it; else $\risk^\star < M$.
#
# *1.* With $v_i = y_i\, w$, $w \in \R^m$, in the value channels $B_i = \bigl( \sum_c \psi_c w_c \Omega_{ic} \bigr) P_q P_k^\top$: this is WPGD, whatever the gates, and its risk is at least $\risk^\star$. By {prf:ref}`thm-stationary-points` $\risk^\star$ is the risk of some $(P, \omega)$ with $\omega$ constant on blocks and $\rank P \le k$ (see 2), and {prf:ref}`prop-two-value-channels` reaches it with two
# channels (others get $\psi_c = 0$) and gates in $[0, 1]$.
#
# If $\Sigma = 0$, then $\omega = 0$ is best. Else, if a layer with sigmoids had risk $\risk^\star < M$, its weights would be a best $\omega$, hence constant on each block by {prf:ref}`thm-stationary-points`. In a block all tokens have the same context, hence the same gates $g_c \in (0, 1)$, and the weights are $\sum_c b_c g_c^t$, $t = 0, 1, \dots$, counted from the block's last example. If
# this were a constant $b \neq 0$ for $t = 0, \dots, m$, then $b \cdot 1^t - \sum_c b_c g_c^t = 0$ would be a linear relation at $m + 1$ points between the powers of at most $m + 1$ distinct bases (collect equal $g_c$), with $b \ne 0$ at the base $1$. Powers of distinct bases are independent there (Vandermonde).
#
# *2.* The best $P$ can be taken with rank at most $k$: its $Q = \Sigma_x^{1/2} P\, \Sigma_x^{1/2}$ is a function of $\Sigma$ that vanishes on its kernel, so its rank is at most $k$, and $P = \Sigma_x^{+1/2} Q\, \Sigma_x^{+1/2}$ ($+$ for the pseudo-inverse) has the same risk. Now use {prf:ref}`prop-limit-channels`, or {prf:ref}`prop-key-side-reversal` for given gates; the risk is continuous in the $B_i$.
# ```
# ````
#
# This is why the paper's Figure 1 has a curve for the vector gate in panel (d) alone ({numref}`fig-panels` has the panels, {doc}`figure1` trained models). In panels (a) to (c) the tasks are independent, of equal
# size, and their relevance does not fall. Nor do the best weights, and a scalar gate has them. In (d) the order is reversed. There the best a scalar gate can do is linear attention.

# %%
panel_d = PromptDistribution(d=10, counts=(50, 50), r=(0.8, 0.2))
best, scalar = optimal_wpgd(panel_d), optimal_wpgd(panel_d, "monotone")
assert np.allclose(scalar.omega[0], scalar.omega[1])  # it is linear attention
layer = GLA.from_wpgd(best, panel_d, "value", DELIMITED)
layer = layer.with_computed_gates(panel_d)
B = maps(layer, panel_d, context=True)
assert np.allclose(B, panel_d.expand(best.omega)[:, None, None] * best.P)

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

glue("panel_d_scalar", float(scalar.risk / panel_d.d), display=False)
glue("panel_d_vector", float(best.risk / panel_d.d), display=False)


# %% [markdown]
# At $n = 100$ and $d = 10$ the theory puts the scalar gate at {glue:text}`panel_d_scalar:.4f`, and the vector gate at {glue:text}`panel_d_vector:.4f`.


# %% tags=["check", "asserts-thm-vector-gate"]
def risk_of_layer(model, dist):
    """The exact risk of a WPGD layer, read off its own predictions."""
    B = maps(model, dist, context=True)
    i = np.abs(B).max((1, 2)).argmax()
    omega = np.einsum("nab,ab->n", B, B[i]) / np.sum(B[i] ** 2)
    # Proportional matrices: it is WPGD, up to rounding.
    assert np.abs(B - omega[:, None, None] * B[i]).max() < 1e-12 * np.abs(B).max()
    return population_risk(dist, B[i], omega)


def reached(dist):
    """Risks of value and key side, gates computed by the layer, and the optimum."""
    best = optimal_wpgd(dist)
    layers = (
        GLA.from_wpgd(best, dist, side, DELIMITED).with_computed_gates(dist)
        for side in ("value", "key")
    )
    return [risk_of_layer(layer, dist) for layer in layers], best.risk


risks, least = reached(panel_d)
assert np.allclose(risks, least, rtol=1e-10)  # a closed form on either side
assert scalar.risk > best.risk + 0.1 * panel_d.d
off = []
for _ in range(8):  # any r, R, Sx, C
    K, d = int(rng.integers(2, 5)), 3
    tasks = rng.normal(size=(K + 1, K + 2))
    tasks /= np.linalg.norm(tasks, axis=1, keepdims=True)
    joint = tasks @ tasks.T
    np.fill_diagonal(joint, 1.0)
    S, T = rng.normal(size=(2, d, d))
    dist = PromptDistribution(
        d,
        rng.integers(1, 6, size=K).tolist(),
        joint[:K, K],
        R=joint[:K, :K],
        Sx=S @ S.T,
        C=T @ T.T,
        sigma=0.3,
    )
    risks, least = reached(dist)
    assert np.allclose(risks, least, rtol=1e-9)
    off += [abs(risk / least - 1) for risk in risks]
print(
    f"{len(off)} layers that compute their gates, any r, R, Sx, C: the best risk to "
    f"{max(off):.0e}"
)

# %% [markdown]
# Part 2 says "at most". On the key side the weights may differ from direction to direction, which no WPGD step can do, and sometimes that is worth something:
# see {doc}`beyond_wpgd`.
#
# ## Break it
#
# **One value channel.** That is a scalar gate. Asked for weights that fall, the package refuses, as it must.

# %%
try:
    GLA.from_weights(np.eye(2), [1.0, 0.25])
except ValueError as error:
    print(error)
else:
    raise AssertionError("one channel reached falling weights")

# %% [markdown]
# **A first weight of zero.** Reversal needs a rise *and* a fall. With $\omega = (0, -1)$ there is only a fall, although $\omega_1 > \omega_2$. The sign belongs to $P$, and $d$ channels with one common gate are exact.

# %%
dist = PromptDistribution(d=3, counts=(2, 2), r=(0.0, 0.0))
P = rng.normal(size=(3, 3))
gates = weights_to_gates(Layout(delimiters=True).weights(dist, (0.0, 1.0)))
layer = GLA.from_matrices(-P, np.eye(3), np.tile(gates[:, None], 3), "key")
target = dist.expand((0.0, -1.0))[:, None, None] * P
assert np.abs(maps(layer, dist) - target).max() < 1e-12

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: only the first task
# :label: ex-first-task-only
#
# Only the first of two tasks matters: $\omega = (1, 0)$, $P = I$ in $\R^3$. How many key channels do you need to have it exactly, and which gates? Can all gates be $0$ or $1$?
# ```
#
# ```{answer} ex-first-task-only
# asks: How many key channels do you need to have it exactly?
# value: gates.shape[1]
# within: 0.1
# wrong:
# - value: 3
#   says: That is enough for weights that never turn. From nothing these rise, and then they fall.
# - value: 2
#   says: That is enough on the value side. On the key side each direction of P needs channels of its own.
# - value: 4
#   says: One spare channel comes as near as you like, at a price, but does not have it exactly.
# - value: 1
#   says: One channel gives one direction, and no weights that fall.
# minutes: 6
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# From $\omega_0 = 0$ the weights rise, then fall. Write down $\omega^\uparrow$ and $\omega^\downarrow$.
# ```
#
# ````{solution} ex-first-task-only
# :class: dropdown
#
# The weights rise from zero to one and fall back, so it takes $2 \cdot 3 = 6$. Here $\omega^\uparrow = (1, 1)$ and $\omega^\downarrow = (0, 1)$: three channels remember everything,
# three forget the first task at the delimiter, and their difference is the first task. All gates are $0$ or $1$.
#
# ```python
# dist = PromptDistribution(d=3, counts=(2, 2), r=(0.0, 0.0))
# gates = np.ones((dist.n + 3, 6))  # four examples, two delimiters, the query
# gates[2, 3:] = 0.0  # the delimiter after the first block
# eye = np.eye(3)
# layer = GLA.from_matrices(np.hstack([eye, -eye]), np.hstack([eye, eye]), gates, "key")
# assert np.array_equal(maps(layer, dist), dist.expand((1.0, 0.0))[:, None, None] * eye)
# ```
# ````
#
# ```{exercise} Compute: the dearest order
# :label: ex-dearest-order
#
# The read-out must multiply what the gates keep by $\nu$. Six tasks deserve the weights $1, 2, \dots, 6$. Which orders of the six need the least $\nu$, and which the greatest?
# ```
#
# ```{answer} ex-dearest-order
# asks: The least factor and the greatest.
# value: "[least, greatest]"
# wrong:
# - value: "[5, 9]"
#   says: The first step, from zero, counts too.
# - value: "[6, 21]"
#   says: Six weights cannot all be rises from zero. Between two peaks stands a valley, and no weight is zero.
# - value: "[6, 15]"
#   says: Those are rises from zero to the three peaks. The valleys between them are weights, too, and not zero.
# - value: "[6, 6]"
#   says: That is so for all orders that rise to the largest weight and fall from there. Let the weights go up and down.
# - value: "[1, 6]"
#   says: These are the smallest and the largest weight. Add up the rises.
# minutes: 12
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# There are only 720 orders. By hand: every rise counts, so let the weights go up and down as often and as far as they can.
# ```
#
# ````{solution} ex-dearest-order
# :class: dropdown
#
# The least is the largest weight, $6$, and the orders that rise to $6$ and fall from there have it. The greatest is $12$: the weights $4, 5, 6$ are the peaks, and the valleys
# between them go down to $1$ and $2$.
#
# ```python
# from itertools import permutations
#
# scale = {order: signed_weights_to_gates(np.array(order, float))[1]
#          for order in permutations(range(1, 7))}
# least, greatest = min(scale.values()), max(scale.values())
# assert np.isclose(least, 6) and np.isclose(greatest, 12)
# one_peak = [o for o in scale if np.isclose(scale[o], least)]
# assert len(one_peak) == 2**5  # each smaller weight goes before the peak or after it
# for order in (o for o in scale if np.isclose(scale[o], greatest)):
#     before, after = (0, *order[:-1]), (*order[1:], 0)
#     peaks = {w for b, w, a in zip(before, order, after) if b < w > a}
#     assert peaks == {4, 5, 6}
# ```
# ````
#
# ```{exercise} Explore: rising relevance, falling weights
# :label: ex-rising-relevance
#
# Is order the only obstacle? Relevance rises along this prompt: $r = (0.1, 0.4)$, fifty examples of each task, $d = 4$. Correlate the two tasks, $R_{12}$ from $0$ to $0.9$. From
# which correlation on does a scalar gate fall short?
# ```
#
# ```{answer} ex-rising-relevance
# asks: The correlation of the two tasks beyond which a scalar gate falls short.
# value: turn
# within: 0.002
# wrong:
# - value: 0.1 / 0.4
#   says: There it turns in an endless prompt. Blocks of fifty examples are short enough for M to matter.
# - value: (1 + 4 / 50) * 0.1 / 0.4
#   says: Nearly. It is M + 1 that counts, not M.
# - value: (1 + 5 / 100) * 0.1 / 0.4
#   says: The examples of one task count here, not all of them.
# - value: (1 + 50 / 5) * 0.1 / 0.4
#   says: A fraction is upside down. A correlation is at most one.
# - above: 1
#   says: A correlation is at most one.
# minutes: 12
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# A scalar gate falls short if and only if the best weights turn, and from $\omega_0 = 0$ a negative first weight is a fall. Look at its sign.
# ```
#
# ````{solution} ex-rising-relevance
# :class: dropdown
#
# For $\Sigma_x = C = I$, beyond $R_{12} = \bigl(1 + (M + 1)/n_2\bigr)\, r_1 / r_2$: here beyond $\tfrac{11}{10}\, r_1 / r_2$. There the first task says
# less about the query than its likeness to the second, as the prompt shows it, would suggest. The best weights subtract it, and that is a fall from $\omega_0 = 0$. A scalar gate can only give it the weight zero.
#
# ```python
# def shortfall(c):
#     tasks = PromptDistribution(4, (50, 50), (0.1, 0.4), R=[[1, c], [c, 1]])
#     best, scalar = optimal_wpgd(tasks), optimal_wpgd(tasks, "monotone")
#     return best.omega[0] * np.sign(best.omega[1]), scalar.risk - best.risk
#
# turn = (1 + 5 / 50) * 0.1 / 0.4
# for c in (*np.linspace(0, 0.9, 19), turn - 1e-3, turn + 1e-3):
#     first, loss = shortfall(c)
#     assert (first < 0) == (loss > 1e-9) == (c > turn)
# assert np.isclose(shortfall(0.9)[1], 0.5682, rtol=1e-3)
# ```
# ````

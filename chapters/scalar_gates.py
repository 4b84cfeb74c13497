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
#   settles: what a scalar gate can reach, and when that is enough (the paper's Theorem
#     4 and Figure 1)
# ---

# %% [markdown]
# # Scalar gates and order
#
# How well can a layer weight its examples if all it can do is forget?
#
# A scalar gate shrinks the whole memory at once. An example can lose weight as the prompt goes on, and never gain any. So no example weighs more
# than a later one. If the tasks are independent and of equal size, and relevance rises from task to task, nothing is lost by that. If the best task comes first, a scalar gate may be of no use.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-wrong-order", "caption": "A scalar gate cannot trust the past more than the present. Two tasks of 50 examples ($d = 10$): the best weights (narrow line) and the best that a scalar gate can give (wide line), both scaled to the same $r^\\top \\omega$. They agree when the better hint comes last. When it comes first, equal weights are the best that the gate can do."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    population_risk,
    wpgd_step,
)

plotting.use_style()
narrow = plotting.STYLES["weighted optimum"]
wide = {"color": plotting.TASKS[3], "linewidth": 6, "alpha": 0.65}


def on_one_scale(dist, omega):
    """Scaled so that r^T omega is that of omega = r: P takes up the rest."""
    return omega * np.sum(dist.r**2) / (dist.r @ omega)


two_orders = {}
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3), sharey=True)
for ax, r, title in zip(
    axes,
    ((0.2, 0.8), (0.8, 0.2)),
    ("the better hint last", "the better hint first"),
    strict=True,
):
    dist = PromptDistribution(10, (50, 50), r)
    best, gated = (optimal_wpgd(dist, name) for name in ("free", "monotone"))
    lines = [on_one_scale(dist, point.omega) for point in (gated, best)]
    ax.stairs(lines[0], (0.5, 50.5, 100.5), baseline=None, **wide)
    ax.stairs(lines[1], (0.5, 50.5, 100.5), baseline=None, **narrow)
    two_orders[str(r)] = (lines, gated.risk / 10, best.risk / 10)
    ax.set(title=title, xlabel="example $i$", ylim=(0, 1))
axes[0].set_ylabel(r"weight $\omega_i$")
axes[0].text(44, 0.86, "best weights\n= scalar gate", ha="right", va="center")
_, gated_risk, best_risk = two_orders["(0.8, 0.2)"]
axes[1].text(3, 0.84, f"best weights: {best_risk:.2f} $d$", va="bottom")
axes[1].text(100, 0.72, f"scalar: {gated_risk:.2f} $d$", ha="right", va="bottom")
_ = axes[0].text(3, 0.06, f"risk {two_orders['(0.2, 0.8)'][1]:.2f} $d$")

# %% tags=["remove-input"]
plotting.FigureData(
    "wrong_order",
    {
        "r": [r for r in two_orders for _ in range(2)],
        "task": [1, 2] * 2,
        "scalar_gate": np.concatenate([v[0][0] for v in two_orders.values()]),
        "best": np.concatenate([v[0][1] for v in two_orders.values()]),
    },
    d=10,
    n="50 + 50",
    sigma=0,
    scale="r^T w = r^T r",
    seed="none",
)

# %% [markdown]
# ## Where a gate acts
#
# There are $K$ blocks of $n_1, \dots, n_K$ examples. After each block stands a *delimiter*, a token with no example in it. Each token also carries
# *context coordinates*, which say of what kind it is: a vector for the examples of each block, one for each delimiter, one for the query.
# The gate of a token reads these coordinates, $g = \mathrm{sigmoid}(u^\top c + u_0)$ with $c$ the token's context and $u$, $u_0$ learned.
#
# ```{note}
# Weights here do not read the data: a gate sees what kind of token it stands at, and no feature or label. So the risk of
# {prf:ref}`prop-population-risk` applies.
# ```
#
# The delimiter is the right place to forget. A gate shrinks all that was written before its token. So the gate of a delimiter acts on whole blocks,
# and changes nothing inside of one.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-token-strip", "caption": "A gate at a delimiter turns down every block before it. Top, the tokens of three blocks, the delimiters between them and the query, with their gates; the stronger the colour, the more is forgotten. Middle, what each gate reaches. Bottom, the weights: the product of the gates that come after."}}
counts, target = (3, 3, 3), np.array([0.2, 0.5, 1.0])
gates = np.ones(13)
gates[[3, 7]] = target[:-1] / target[1:]
kind = np.array([0, 0, 0, 3, 1, 1, 1, 3, 2, 2, 2, 3, 4])  # block, delimiter, query
reach = np.append(np.cumprod(gates[::-1])[::-1][1:], 1.0)

fig, ax = plt.subplots(figsize=(6.4, 3.4))
ax.grid(visible=False)
example = 0
for i, (g, of) in enumerate(zip(gates, kind, strict=True)):
    shade = plotting.SEQUENTIAL(0.75 * (1 - g))
    ax.add_patch(plt.Rectangle((i - 0.5, 2.2), 1, 0.55, fc=shade, ec="0.5"))
    ax.text(i, 2.47, f"{g:g}", ha="center", va="center")
    example += of < 3
    name = rf"$x_{example}$" if of < 3 else ("|", "$x$")[of - 3]
    color = plotting.TASKS[of] if of < 3 else "0.35"
    ax.text(i, 2.9, name, ha="center", color=color)
    if of < 3:
        ax.bar(i, reach[i], width=0.8, color=color, alpha=0.75)
        ax.text(i, reach[i] + 0.06, f"{reach[i]:g}", ha="center")
for place, height in ((3, 1.95), (7, 1.55)):
    ax.annotate(
        "",
        (-0.5, height),
        (place, height),
        arrowprops={"arrowstyle": "->", "color": "0.35"},
    )
    ax.plot([place, place], [height, 2.18], color="0.35", linewidth=1)
    ax.text(place + 0.2, height, rf"$\times\,{gates[place]:g}$", va="center")
for height, name in ((2.9, "token"), (2.42, "gate"), (0.5, "weight")):
    ax.text(-0.9, height, name, ha="right", color="0.35")
ax.set(xlim=(-2.3, 12.6), ylim=(0, 3.3))
_ = ax.axis("off")

# %% tags=["remove-input"]
plotting.FigureData(
    "token_strip",
    {
        "token": np.arange(1, 14),
        "kind": [
            ("block 1", "block 2", "block 3", "delimiter", "query")[k] for k in kind
        ],
        "gate": gates,
        "weight": [w if k < 3 else None for w, k in zip(reach, kind, strict=True)],
    },
    figure=fig,
    seed="none",
)


# %% [markdown]
# ```{symbols}
# K counts omega r R C P risk Sigma Sx sigma M G gamma Q lambda x y
# ```
#
# Weights are written $\omega \in \R^n$, one for each example, or $w \in \R^K$ if they are constant on blocks. Both stand for the same numbers in
# formulas: $\norm{w}^2$, $r^\top w$ and $w^\top R\, w$ are those of the $n$ weights. $R$ is the correlation matrix of the $n$ examples, $R_K$ that of the $K$
# tasks. $\risk^\star$ is the least risk with free weights, and $P$ is always free, its sign included.
#
# ```{prf:assumption} Order of relevance
# :label: asm-order
#
# **Later tasks are at least as relevant.**
#
# *Assumption 3 of the paper, as derived here.* Relevance to the query does not decrease along the prompt: $0 \le r_1 \le \dots \le r_K$, or the same
# for $-r$.
# ```
#
# ```{prf:theorem} Scalar gates
# :label: thm-scalar-gate
#
# **A scalar gate gives each block any weight that is not below those of the blocks before; for independent tasks of equal size this is enough if and only if relevance, of one sign, does not fall.**
#
# *Theorem 4 of the paper, as derived here.* Take the layer of {prf:ref}`def-construction` with a scalar gate, prompts with delimiters, and $2K + 1$ context
# vectors that are linearly independent.
#
# 1. The gates $g_k$ of the examples of block $k$, $b_k$ of its delimiter, and $g_{K+1}$ of the query can be any numbers in $(0, 1)$. Example $j$ of block
#    $k$ then has the weight
#
#    $$
#    \omega_{k,j} = g_k^{\,n_k - j}\; b_k \; \Bigl( \prod_{l > k} g_l^{\,n_l} b_l \Bigr)\, g_{K+1} .
#    $$
#
#    These weights are positive and increase strictly from example to example. Limits of such weights never decrease, and all
#    block-constant weights $0 \le w_1 \le \dots \le w_K \le 1$ are among them.
# 2. Let $\bar\omega$ be the block averages of weights $0 \le \omega_1 \le \dots \le \omega_n$. Then $0 \le \bar\omega_1 \le \dots \le \bar\omega_n$, and
#    $\risk(P, \bar\omega) \le \risk(P, \omega)$ for every $P$. So, over $P$ and all gates,
#
#    $$
#    \inf \risk \;=\; \min_{P,\; 0 \le w_1 \le \dots \le w_K} \risk(P, w),
#    $$
#
#    whatever the order of $r$.
# 3. For $r \neq 0$ some gates in $(0, 1)$ attain this infimum if and only if all $n_k = 1$ and some minimiser on the right has
#    $0 < w_1 < \dots < w_K$.
# 4. The infimum equals $\risk^\star$ if and only if some global minimiser with free weights has, up to sign, $0 \le w_1 \le \dots \le w_K$. For
#    uncorrelated tasks ($R_K = I$) of equal sizes, and any $\Sigma_x$, $C$ and $\sigma$, this is so if and only if {prf:ref}`asm-order` holds.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-scalar-gate)=
# ```{prf:proof}
# **1.** For linearly independent context vectors $c$ the equations $u^\top c = \text{any given numbers}$ can be solved, so every choice of logits
# occurs. By {prf:ref}`thm-gla-is-wpgd` the weight of a token is the product of the gates of all later tokens; its own gate does not count, and a
# delimiter, with $x = 0$ and $y = 0$, writes nothing. After example $j$ of block $k$ come $n_k - j$ examples of its block, the block's
# delimiter, all later blocks with their delimiters, and the query. From one example to the next at least one factor below $1$ is lost. The
# weights are monomials in the gates, so they are continuous on the closed cube $[0, 1]^{2K+1}$; the closure of what the open cube reaches
# is the image of the closed one. In a limit weights that increase can become equal, but not fall. With $g_k = g_{K+1} = 1$, $b_K = w_K$ and
# $b_k = w_k / w_{k+1}$ (any value where that is $0/0$) the weights are $w$.
#
# **2.** Averages over successive stretches of a non-decreasing sequence do not decrease. As $r$ and $R$ are constant on blocks,
# $r^\top \omega$ and $\omega^\top R\, \omega$ depend on the block sums only and stay. $\norm{\omega}^2$ does not grow, and it becomes smaller unless $\omega$ was
# constant on blocks. In {prf:ref}`prop-population-risk` its factor is $M \tr Q^\top Q + \tr \Sigma Q^\top Q$, positive unless $Q = 0$. This gives the
# inequality, strict if $Q \neq 0$ and $\omega$ is not constant on blocks.
#
# For fixed $P$ the risk is continuous in $\omega$, so the infimum over gates is that over the closure. It is at most the right-hand side, as
# the closure contains these weights (the scale is part of $P$), and at least that, by averaging. The minimum on the right exists: the
# least risk over $P$ for a given $w \neq 0$ is continuous in $w$ and does not depend on its scale ({prf:ref}`thm-stationary-points`), the unit vectors
# of the cone are a compact set, and $w = 0$ gives $M$, which is never less.
#
# **3.** As $r \ne 0$, some $w$ in the cone, which spans $\R^K$, has $r^\top w \neq 0$, so the infimum is below $M$ and needs $Q \neq 0$. If some $n_k \ge 2$,
# reachable weights increase strictly inside that block, and their block averages have smaller risk, which is no less than the infimum.
# If all $n_k = 1$, the formula reaches exactly the sequences $0 < w_1 < \dots < w_K < 1$: choose $g_k = g_{K+1} = t$ close to $1$ and $b_k$ by the
# ratios.
#
# **4.** The minimum on the right of 2 is $\risk^\star$ if and only if a global minimiser of the free problem lies in the cone, with $P$ of either sign;
# by the strict inequality of 2, which does not need order, its weights are constant on blocks. For $R_K = I$ and equal sizes all
# $\lambda_i$ are equal, so by {prf:ref}`thm-stationary-points` the weights of every non-trivial stationary point are a multiple of $r$. For $r = 0$ both sides
# are $M$.
# ```
# ````
#
# As code, the weights are the product of what comes after, block by block from the last:


# %%
def weights_of(counts, g, b, g_query):
    """The weights (n,) of the theorem."""
    blocks, later = [], g_query
    for n_k, g_k, b_k in zip(counts[::-1], g[::-1], b[::-1], strict=True):
        blocks.append(later * b_k * g_k ** np.arange(n_k - 1, -1, -1))
        later *= b_k * g_k**n_k
    return np.concatenate(blocks[::-1])


b = (target[0] / target[1], target[1] / target[2], target[2])  # of the strip above
assert np.allclose(weights_of(counts, (1, 1, 1), b, 1), target.repeat(3))


# %% [markdown]
# Does a layer that computes such gates from context predict what this formula says?


# %% tags=["check", "asserts-thm-scalar-gate"]
def gated_layer(dist, P, gates, tokens):
    """A GLA that computes these gates, one for each kind of token in a Layout."""
    given, p = gates[tokens.kinds(dist.counts)], tokens.width(dist) - dist.d - 1
    layer = GLA.from_matrices(P, np.eye(dist.d), given, context_width=p)
    return layer.with_computed_gates(dist, tokens)


def nondecreasing(omega):
    return omega.min() >= 0 and (np.diff(omega) >= 0).all()


rng, worst, tried = np.random.default_rng(0), 0.0, 20
dist = PromptDistribution(3, (3, 1, 4), (0.4, -0.2, 0.6), sigma=0.5)
prompts = dist.sample(
    20, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
for _ in range(tried):
    g, b, g_query = rng.random(3), rng.random(3), rng.random()
    P, context = rng.normal(size=(3, 3)), rng.normal(size=(7, 9))
    tokens = Layout(delimiters=True, context=context)
    model = gated_layer(dist, P, np.array([*g, *b, g_query]), tokens)
    omega = weights_of(dist.counts, g, b, g_query)
    expected = wpgd_step(prompts.x, prompts.y, prompts.x_query, P, omega)
    # The logits come out of a linear system with a condition number of up to a
    # few dozen, and are then added up again.
    error = (model(tokens(prompts))[:, 0] - expected[:, 0]).norm() / expected.norm()
    assert error.item() < 1e-12
    worst = max(worst, error.item())
    assert (np.diff(omega) > 0).all() and omega.min() > 0 and omega.max() < 1
    # Strictly above the infimum: some blocks have several examples.
    assert optimal_wpgd(dist, omega).risk > optimal_wpgd(dist, "monotone").risk

    ordered = np.sort(rng.random(dist.n) ** rng.integers(1, 9))
    averages = [block.mean() for block in np.split(ordered, [3, 4])]
    assert nondecreasing(np.array(averages))
    assert population_risk(dist, P, averages) < population_risk(dist, P, ordered)
print(
    f"{tried} layers with random gates predict what the formula says, to {worst:.0e}"
)

# %% tags=["check", "asserts-thm-scalar-gate"]
# Part 3: lone examples attain the infimum; two in a block come near, and no more.
left = {}
for counts in ((1, 1, 1), (1, 2, 1)):
    dist = PromptDistribution(4, counts, (0.2, 0.4, 0.7))
    best = optimal_wpgd(dist, "monotone")
    (w_1, w_2, w_3), excess = 0.9 * best.omega, []
    assert 0 < w_1 < w_2 < w_3
    for t in (0.95, 0.995):
        b = (w_1 / (w_2 * t), w_2 / (w_3 * t), w_3 / t)
        omega = weights_of(counts, (t, t, t), b, t)
        excess.append(optimal_wpgd(dist, omega).risk - best.risk)
    if counts == (1, 1, 1):
        assert max(np.abs(excess)) < 1e-13 * dist.M
    else:
        assert excess[0] > excess[1] > 1e-9 * dist.M and excess[1] < 1e-4 * dist.M
    left[counts] = max(0, excess[1] / dist.M)
print(
    "blocks of 1, 1, 1: the infimum is attained; "
    f"1, 2, 1: {left[1, 2, 1]:.0e} M above it with gates of 0.995"
)


# %% tags=["check", "asserts-asm-order"]
def in_order(r):
    """The assumption: 0 <= r_1 <= ... <= r_K, or the same for -r."""
    return nondecreasing(np.asarray(r)) or nondecreasing(-np.asarray(r))


panels = {"a": (0, 1), "b": (0.2, 0.8), "c": (0.5, 0.5), "d": (0.8, 0.2)}
assert [in_order(r) for r in panels.values()] == [True, True, True, False]

# Half of these draws are put in order, with a random sign.
rng, reached, tried = np.random.default_rng(1), 0, 60
for _ in range(tried):
    K = int(rng.integers(2, 5))
    r = rng.normal(size=K)
    r *= rng.random() / np.linalg.norm(r)
    if rng.random() < 0.5:
        r = np.sort(np.abs(r)) * rng.choice([-1, 1])
    features = {"Sx": np.diag(rng.random(4) + 0.1), "sigma": rng.random()}
    dist = PromptDistribution(4, (6,) * K, r, **features)
    excess = optimal_wpgd(dist, "monotone").risk - optimal_wpgd(dist).risk
    # Equal to rounding, or apart by what the order costs.
    assert (excess < 1e-12 * dist.M) == in_order(r)
    assert excess > -1e-12 * dist.M
    reached += in_order(r)
print(
    f"of {tried} random r a scalar gate reaches the optimum for {reached}, "
    "exactly those in order"
)

# %% [markdown]
# ## The paper's Figure 1, in theory
#
# This is the setting of the paper's first figure: $d = 10$, no noise, white features, two independent tasks with $n/2$ examples each. Of the
# four choices of $r$, (b) is known from the authors' answers. The other three are ours, and fit what the answers say of them. Trained models are on {doc}`figure1`.
#
# In (a) to (c) {prf:ref}`asm-order` holds. There the scalar gate with delimiters is as good as free weights, and a vector gate could add nothing,
# as the features are white. In (d) the assumption fails: the best non-decreasing weights are equal, and the layer is linear
# attention. Is it a coincidence that the two curves match? The first reviewer of the paper asked that. It is none, as the authors answered;
# {prf:ref}`prop-isotonic` says when it happens.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-panels", "caption": "With the tasks in order a scalar gate is as good as free weights; out of order, in (d), it falls back to linear attention; a vector gate, whose channels may be subtracted, gets further. A constant gate is the best single $g$ at every token, without delimiters. Figure 1 of the paper, theory: $d = 10$, no noise, two independent tasks of $n/2$ examples. Lines that coincide lie on each other, the wide one below."}}
MODELS = {
    "scalar gate with delimiters": wide,
    "linear attention": plotting.STYLES["linear attention"],
    "constant gate, no delimiters": plotting.STYLES["constant gate"],
    "vector gate": plotting.STYLES["weighted optimum"],
}
CLASSES = ("monotone", "uniform", "constant-gate", "free")
sizes = np.unique(np.r_[2:12:2, 12:60:8, 60:201:20])
record = {"panel": [], "n": []} | {name: [] for name in MODELS}
fig, axes = plt.subplots(2, 2, figsize=(6.4, 4.6), sharex=True, sharey=True)
for ax, (panel, r) in zip(axes.flat, panels.items(), strict=True):
    dists = [PromptDistribution(10, (n // 2, n // 2), r) for n in sizes]
    record["panel"] += [panel] * len(sizes)
    record["n"] += list(sizes)
    for (name, style), weights in zip(MODELS.items(), CLASSES, strict=True):
        risks = [optimal_wpgd(dist, weights).risk / 10 for dist in dists]
        record[name] += risks
        if name != "vector gate" or panel == "d":
            ax.plot(sizes, risks, **style)
    held = "in order" if in_order(r) else "out of order"
    ax.set_title(f"({panel})  $r = ({r[0]},\\ {r[1]})$, {held}")
LABELS = {
    "a": (
        ("linear attention", (80, 0.62), (90, 0.7)),
        ("constant gate", (60, 0.335), (70, 0.43)),
        ("scalar gate", (40, 0.37), (22, 0.08)),
    ),
    "b": (
        ("linear attention", (80, 0.62), (90, 0.7)),
        ("both gates, close", (60, 0.5), (20, 0.3)),
    ),
    "c": (("all alike", (80, 0.62), (90, 0.7)),),
    "d": (
        ("scalar gates\n= linear attention", (60, 0.66), (80, 0.72)),
        ("vector gate", (60, 0.51), (40, 0.3)),
    ),
}
for ax, labels in zip(axes.flat, LABELS.values(), strict=True):
    for name, point, place in labels:
        line = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.8, "shrinkB": 3}
        ax.annotate(name, point, place, arrowprops=line)
for ax in axes[1]:
    ax.set_xlabel("examples in the prompt, $n$")
for ax in axes[:, 0]:
    ax.set(ylabel="risk / $d$", ylim=(0, 1.03), xlim=(0, 200))

# %% tags=["remove-input"]
plotting.FigureData(
    "figure_1_theory",
    record,
    d=10,
    sigma=0,
    tasks="two, independent, n / 2 examples each",
    r=panels,
    y="risk / d",
    seed="none",
)

# %% tags=["check", "asserts-fig-1"]
at_100 = {  # linear attention, scalar gate, constant gate, free weights
    "a": (0.5902, 0.1803, 0.2372, 0.1803),
    "b": (0.5902, 0.4426, 0.4553, 0.4426),
    "c": (0.5902, 0.5902, 0.5902, 0.5902),
    "d": (0.5902, 0.5902, 0.5902, 0.4426),
}
order = ("uniform", "monotone", "constant-gate", "free")
for panel, r in panels.items():
    dist = PromptDistribution(10, (50, 50), r)
    risks = [optimal_wpgd(dist, weights).risk / 10 for weights in order]
    assert tuple(np.round(risks, 4)) == at_100[panel]  # to the digits shown

panel, scalar, linear, constant, free = (
    np.array(record[key]) for key in ("panel", *MODELS)
)
fails = panel == "d"
assert np.allclose(scalar[~fails], free[~fails], rtol=1e-12)  # exact algebra
assert np.allclose(scalar[fails], linear[fails], rtol=1e-12)
assert (free[fails] < scalar[fails] - 1e-3).all()
# Between the two, strictly so for (a) and (b) from four examples on.
apart = np.isin(panel, ["a", "b"]) & (np.array(record["n"]) >= 4)
assert (scalar[apart] < constant[apart]).all()
assert (constant[apart] < linear[apart]).all()
cells = sum(map(len, at_100.values()))
print(
    f"{cells} risks at n = 100 to four decimals; the lines that coincide do so at all "
    f"{len(sizes)} lengths"
)

# %% [markdown]
# What each order costs is on {doc}`scalar_optimum`, and why a right order is not always enough on {doc}`sorted_relevance`.
#
# ## Break it
#
# **A preconditioner of one sign.** Two tasks that are opposed to the query are as good as two that agree, if $P$ may turn the sign.
# That is why the assumption allows $-r$. If $P$ must be positive semidefinite, non-negative weights can do no better than to predict zero:

# %%
agree, opposed = (
    PromptDistribution(10, (50, 50), r) for r in ((0.2, 0.8), (-0.2, -0.8))
)
best = optimal_wpgd(opposed, "monotone")
assert np.isclose(best.risk, optimal_wpgd(agree).risk) and np.trace(best.P) < 0

rng = np.random.default_rng(2)
for _ in range(100):
    root, w = rng.normal(size=(10, 10)), np.sort(rng.random(2))
    assert population_risk(opposed, 1e-4 * root @ root.T, w) > opposed.M

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: gates for given weights
# :label: ex-gates-for-weights
#
# Three blocks of ten examples are to have the weights $\frac14$, $\frac12$ and $1$. Which gates do it, in the limit? Which gates come
# nearest to $1$, $\frac12$, $1$?
# ```
#
# ```{answer} ex-gates-for-weights
# asks: The gates of the first two delimiters that come nearest, in the mean square, to the weights 1, 1/2, 1, all other gates being 1.
# value: "[1, 3 / 4]"
# within: 0.01
# wrong:
# - value: "[1, 1 / 2]"
#   says: That lowers the first block all the way to the second. Both can give way.
# - value: "[1, 1]"
#   says: That lifts the second block all the way to the others. Both can give way.
# - value: "[2, 1 / 2]"
#   says: A gate is at most one, so no block weighs less than one before it.
# - value: "[1 / 2, 1]"
#   says: The first delimiter's gate acts on the first block alone. It is the second block that should weigh less than the third.
# - value: "[3 / 4, 1]"
#   says: The first delimiter's gate acts on the first block alone, the second one's on both.
# - above: 1
#   says: A gate is at most one.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Gates at examples act inside their own block, so let them be 1. Then only the ratios of neighbouring blocks matter.
# ```
#
# ````{solution} ex-gates-for-weights
# :class: dropdown
#
# $b_1 = b_2 = \frac12$ and all other gates 1. For $1, \frac12, 1$ the second block would have to weigh less than the first, which no gates can do. The nearest
# non-decreasing weights pool the first two to their mean, $\frac34, \frac34, 1$: that is $b_1 = 1$, $b_2 = \frac34$.
#
# ```python
# for b, w in (((0.5, 0.5, 1), (0.25, 0.5, 1)), ((1, 0.75, 1), (0.75, 0.75, 1))):
#     assert np.allclose(weights_of((10,) * 3, (1, 1, 1), b, 1), np.repeat(w, 10))
# ```
# ````
#
# ```{exercise} Compute: gates that are not quite open
# :label: ex-not-quite-open
#
# A gate is a sigmoid, so it is never 1. Take $r = (0.2, 0.8)$, $d = 10$, no noise, and two blocks of 50 examples. Let the delimiters have the gates of the limit,
# $\frac14$ and $1$, and let all other gates have the same logit $\ell$. How large must $\ell$ be, as a whole number, for a risk within 1% of $d$ of the optimum?
# And for blocks of 500 and of 5,000 examples?
# ```
#
# ```{answer} ex-not-quite-open
# asks: The three logits, for blocks of 50, 500 and 5,000 examples.
# value: "[needed(m) for m in (50, 500, 5000)]"
# within: 0.1
# wrong:
# - value: "[np.ceil(np.log(100 * m)) for m in (50, 500, 5000)]"
#   says: That holds every weight within a hundredth of its block. It is the risk that is to be within a hundredth.
# - value: "[np.ceil(np.log(m)) for m in (50, 500, 5000)]"
#   says: That is the rule of thumb by which a block forgets a fixed share of itself. Compute the risks.
# - value: "[5, 50, 500]"
#   says: The gap to one falls exponentially with the logit, so ten times longer blocks do not need ten times the logit.
# - value: "[5, 5, 5]"
#   says: Longer blocks forget more of themselves at the same gate.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `weights_of` gives the weights, and `optimal_wpgd(dist, omega).risk` their risk with the best $P$. In a block of $m$ examples the weights fall off by $g^{m-1}$
# from the last to the first.
# ```
#
# ````{solution} ex-not-quite-open
# :class: dropdown
#
# $\ell = 5$, $7$ and $9$. What matters is $m (1 - g) \approx m e^{-\ell}$, how much a block forgets of itself. So ten times longer blocks need a logit that
# is larger by $\ln 10$, which is about 2.3.
#
# ```python
# def needed(m):
#     dist = PromptDistribution(10, (m, m), (0.2, 0.8))
#     best = optimal_wpgd(dist).risk
#     for logit in range(20):
#         g = 1 / (1 + np.exp(-logit))
#         omega = weights_of((m, m), (g, g), (1 / 4, 1), g)
#         if optimal_wpgd(dist, omega).risk < best + 0.01 * dist.d:
#             return logit
#
#
# assert [needed(m) for m in (50, 500, 5000)] == [5, 7, 9]
# assert round(np.log(10), 1) == 2.3
# ```
# ````
#
# ```{exercise} Explore: does a longer prompt heal a wrong order?
# :label: ex-longer-prompt
#
# Take $r = (0.8, 0.2)$, panel (d), and let the prompt grow from ten examples to a million. Does the scalar gate come nearer to the
# optimum? Then let the tasks be correlated, $R_{12} = 0.5$, and ask again.
# ```
#
# ```{answer} ex-longer-prompt
# asks: The share of the best gain that the scalar gate keeps, for independent tasks.
# value: share(10_000)
# wrong:
# - value: 0.5
#   says: That is the share of the variance that equal weights explain in an endless prompt. Divide by what the best weights explain.
# - value: 0.8**2 / (0.8**2 + 0.2**2)
#   says: That hears the first task alone. A scalar gate cannot forget the second one and keep the first.
# - value: 0.2**2 / (0.8**2 + 0.2**2)
#   says: That hears the last task alone. Can the gate do better if it does not forget?
# - value: 1
#   says: Then order would cost nothing. Which weights would the optimum ask for?
# minutes: 10
# level: 2
# ```
#
# ```{answer} ex-longer-prompt-correlated
# asks: If the tasks are correlated, what becomes of that share as the prompt grows?
# choices:
# - text: it becomes a little smaller
# - text: it stays
#   says: That is so for independent tasks, where what the gate misses is an order. Compute it for others.
# - text: it becomes larger
#   says: What do free weights do with a second task that is like the first, in a long prompt? Can the gate do it?
# - text: it tends to nothing
#   says: Equal weights, at least, can be had at every length.
# minutes: 5
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Look at the share of the gain that the gate keeps, not at the risk alone.
# ```
#
# ````{solution} ex-longer-prompt
# :class: dropdown
#
# It does not. For independent tasks of equal size the share is the same at every length, $0.5/0.68$, about three quarters: what the gate misses is not
# data but an order. With correlated tasks the share depends on the length, and it becomes a little smaller: in long prompts free weights
# subtract the second task, and a scalar gate cannot.
#
# ```python
# def share(n, R=None):
#     dist = PromptDistribution(10, (n // 2, n // 2), (0.8, 0.2), R=R)
#     gated, best = (dist.M - optimal_wpgd(dist, w).risk for w in ("monotone", "free"))
#     return gated / best
#
#
# lengths = (10, 100, 10_000, 1_000_000)
# assert np.allclose([share(n) for n in lengths], 0.5 / 0.68, rtol=1e-9)
# correlated = [share(n, [[1, 0.5], [0.5, 1]]) for n in lengths]
# assert (np.diff(correlated) < 0).all() and correlated[-1] < correlated[0] - 0.01
# ```
# ````

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
#   settles: what a scalar gate can reach, and what the order of the tasks costs (Theorem
#     4, Figure 1)
# ---

# %% [markdown]
# # What a scalar gate can reach
#
# **Where we are.** The pages before this one let the weights be free. A gate is not free: it can only forget, so the weight of an example never falls as the prompt goes on. This page asks what that
# costs. It gives the weights that a scalar gate reaches, the least risk they allow, exact for any tasks and features, and the theory of the paper's first figure.
#
# ```{symbols}
# omega r R counts P risk Sigma M gamma h1 h2 lambda
# ```
#
# There are $K$ blocks of $n_1, \dots, n_K$ examples. Weights are written $\omega \in \R^n$, one for each example, or $w \in \R^K$ if they are constant on blocks. Both stand for the same
# numbers in formulas: $\norm{w}^2$, $r^\top w$ and $w^\top R\, w$ are those of the $n$ weights. $R$ is the correlation matrix of the $n$ examples, $R_K$ that of the $K$ tasks. $\risk^\star$ is the least risk with free weights, and $P$ is always free, its sign included.
#
# ## Gates that do not read the examples
#
# After each block stands a *delimiter*, a token with $x = 0$ and $y = 0$. Each token also carries *context coordinates*: one vector for the examples of each block, one for each delimiter, one for the query. On this page
# a gate reads the context coordinates only, $g_i = \mathrm{sigmoid}(w_g^\top c_i + b_g)$. So the weights do not depend on the data, and the risk of {prf:ref}`prop-population-risk` applies. What gates
# that read features and labels can do is another question.
#
# ```{prf:assumption} Order of relevance
# :label: asm-order
#
# *Assumption 3 of the paper, as derived here.* Relevance to the query does not decrease along the prompt: $0 \le r_1 \le \dots \le r_K$, or the same for $-r$.
# ```
#
# ```{prf:theorem} Scalar gates
# :label: thm-scalar-gate
#
# *Theorem 4 of the paper, as derived here.* Take the layer of {prf:ref}`def-construction` with a scalar gate, prompts with delimiters, and $2K + 1$ context vectors that are linearly independent.
#
# 1. The gates $a_k$ of the examples of block $k$, $b_k$ of its delimiter, and $c$ of the query can be any numbers in $(0, 1)$. Example $j$ of block $k$ then has the weight
#
#    $$
#    \omega_{k,j} = a_k^{\,n_k - j}\; b_k \; \Bigl( \prod_{l > k} a_l^{\,n_l} b_l \Bigr)\, c .
#    $$
#
#    These weights are positive and increase strictly from example to example. In their closure no weights decrease; it contains all block-constant weights $0 \le w_1 \le \dots \le w_K \le 1$.
# 2. Let $\bar\omega$ be the block averages of weights $0 \le \omega_1 \le \dots \le \omega_n$. Then $0 \le \bar\omega_1 \le \dots \le \bar\omega_n$, and $\risk(P, \bar\omega) \le \risk(P, \omega)$ for every $P$. So
#
#    $$
#    \inf_{P,\, a,\, b,\, c} \risk \;=\; \min_{P,\; 0 \le w_1 \le \dots \le w_K} \risk(P, w),
#    $$
#
#    whatever the order of $r$.
# 3. For $r \neq 0$ some gates in $(0, 1)$ attain this infimum just if all $n_k = 1$ and some minimiser on the right has $0 < w_1 < \dots < w_K$.
# 4. The infimum equals $\risk^\star$ just if some global minimiser with free weights has, up to sign, $0 \le w_1 \le \dots \le w_K$. For uncorrelated tasks ($R_K = I$) of equal sizes, and any $\Sigma_x$, $C$ and $\sigma$, this is so
#    just if {prf:ref}`asm-order` holds.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-scalar-gate)=
# ```{prf:proof}
# **1.** For linearly independent $c_i$ the equations $w_g^\top c_i = \text{any given numbers}$ can be solved, so every choice of logits occurs. By {prf:ref}`thm-gla-is-wpgd` the weight of a token is the product of the gates of all later
# tokens; its own gate does not count, and a delimiter, with $x = 0$ and $y = 0$, writes nothing. After example $j$ of block $k$ come $n_k - j$ examples of its block, the block's delimiter, all later blocks with their delimiters, and the query. From one example to the next at least one factor below $1$
# is lost. The weights are monomials in the gates, so they are continuous on the closed cube $[0, 1]^{2K+1}$; the closure of what the open cube reaches is the image of the closed one. In a limit weights that increase can become equal, but not fall. With
# $a_k = c = 1$, $b_K = w_K$ and $b_k = w_k / w_{k+1}$ (any value where that is $0/0$) the weights are $w$.
#
# **2.** Averages over successive stretches of a non-decreasing sequence do not decrease. As $r$ and $R$ are constant on blocks, $r^\top \omega$ and $\omega^\top R\, \omega$ depend on the block sums only and stay. $\norm{\omega}^2$ does not grow, and it becomes
# smaller unless $\omega$ was constant on blocks. In {prf:ref}`prop-population-risk` its factor is $M \tr Q^\top Q + \tr \Sigma Q^\top Q$, positive unless $Q = 0$. This gives the inequality, strict if $Q \neq 0$ and $\omega$ is not constant on blocks.
#
# For fixed $P$ the risk is continuous in $\omega$, so the infimum over gates is that over the closure. It is at most the right-hand side, as the closure contains these weights (the scale is part of $P$), and at least that, by averaging. The minimum on the right exists: the
# least risk over $P$ for a given $w \neq 0$ is continuous in $w$ and does not depend on its scale ({prf:ref}`thm-stationary-points`), the unit vectors of the cone are a compact set, and $w = 0$ gives $M$, which is never less.
#
# **3.** As $r \ne 0$, some $w$ in the cone, which spans $\R^K$, has $r^\top w \neq 0$, so the infimum is below $M$ and needs $Q \neq 0$. If some $n_k \ge 2$, reachable weights increase strictly inside that block, and their block averages
# have smaller risk, which is no less than the infimum. If all $n_k = 1$, the formula reaches just the sequences $0 < w_1 < \dots < w_K < 1$: choose $a_k = c = t$ close to $1$ and $b_k$ by the ratios.
#
# **4.** The minimum on the right of 2 is $\risk^\star$ just if a global minimiser of the free problem lies in the cone, with $P$ of either sign; by the strict inequality of 2, which does not need order, its weights are constant on blocks. For $R_K = I$ and equal sizes all
# $\lambda_i$ are equal, so by {prf:ref}`thm-stationary-points` the weights of every non-trivial stationary point are a multiple of $r$. For $r = 0$ both sides are $M$.
# ```
# ````
#
# The layer, which computes its gates from context. The module's predictions are those of the formula:

# %%
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    population_risk,
    simulate_risk,
    stationary_points,
    uniqueness,
    wpgd_step,
)
from glalib.fixed_points import fixed_points
from glalib.layout import DELIMITED
from glalib.risk import h2

plotting.use_style()


def formula(counts, a, b, c):
    """The weights (n,) of the theorem, block by block from the last."""
    blocks, later = [], c
    for n_k, a_k, b_k in zip(counts[::-1], a[::-1], b[::-1]):
        blocks.append(later * b_k * a_k ** np.arange(n_k - 1, -1, -1))
        later *= b_k * a_k**n_k
    return np.concatenate(blocks[::-1])


def gated_layer(dist, P, g, tokens):
    """A GLA that computes these gates, one for each kind of token in a Layout."""
    gates, p = g[tokens.kinds(dist.counts)], tokens.width(dist) - dist.d - 1
    layer = GLA.from_matrices(P, np.eye(dist.d), gates, context_width=p)
    return layer.with_computed_gates(dist, tokens)


# %% tags=["asserts-thm-scalar-gate"]
def nondecreasing(omega):
    return omega.min() >= 0 and (np.diff(omega) >= 0).all()


rng = np.random.default_rng(0)
dist = PromptDistribution(3, (3, 1, 4), (0.4, -0.2, 0.6), sigma=0.5)
prompts = dist.sample(
    20, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
for _ in range(20):
    a, b, c = rng.random(3), rng.random(3), rng.random()
    P, context = rng.normal(size=(3, 3)), rng.normal(size=(7, 9))
    tokens = Layout(delimiters=True, context=context)
    model = gated_layer(dist, P, np.array([*a, *b, c]), tokens)
    omega = formula(dist.counts, a, b, c)
    expected = wpgd_step(prompts.x, prompts.y, prompts.x_query, P, omega)
    # The logits come out of a linear system with a condition number of up to a
    # few dozen, and are then added up again.
    error = (model(tokens(prompts))[:, 0] - expected[:, 0]).norm() / expected.norm()
    assert error.item() < 1e-12
    assert (np.diff(omega) > 0).all() and omega.min() > 0 and omega.max() < 1
    # Strictly above the infimum: some blocks have several examples.
    assert optimal_wpgd(dist, omega).risk > optimal_wpgd(dist, "monotone").risk

    ordered = np.sort(rng.random(dist.n) ** rng.integers(1, 9))
    averages = [block.mean() for block in np.split(ordered, [3, 4])]
    assert nondecreasing(np.array(averages))
    assert population_risk(dist, P, averages) < population_risk(dist, P, ordered)

# Part 3: lone examples attain the infimum; two in a block come near, and no more.
for counts in ((1, 1, 1), (1, 2, 1)):
    dist = PromptDistribution(4, counts, (0.2, 0.4, 0.7))
    best = optimal_wpgd(dist, "monotone")
    (w_1, w_2, w_3), excess = 0.9 * best.omega, []
    assert 0 < w_1 < w_2 < w_3
    for t in (0.95, 0.995):
        b = (w_1 / (w_2 * t), w_2 / (w_3 * t), w_3 / t)
        omega = formula(counts, (t, t, t), b, t)
        excess.append(optimal_wpgd(dist, omega).risk - best.risk)
    if counts == (1, 1, 1):
        assert max(np.abs(excess)) < 1e-13 * dist.M
    else:
        assert excess[0] > excess[1] > 1e-9 * dist.M and excess[1] < 1e-4 * dist.M


# %% [markdown]
# ## The order of relevance
#
# Equal sizes, independent tasks, any features: the order decides. Half of these draws are put in order, with a random sign.


# %% tags=["asserts-asm-order"]
def in_order(r):
    """Assumption 3: 0 <= r_1 <= ... <= r_K, or the same for -r."""
    return nondecreasing(np.asarray(r)) or nondecreasing(-np.asarray(r))


panels = {"a": (0, 1), "b": (0.2, 0.8), "c": (0.5, 0.5), "d": (0.8, 0.2)}
assert [in_order(r) for r in panels.values()] == [True, True, True, False]

for _ in range(60):
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

# %% [markdown]
# ## Figure 1, theory
#
# The setting of the paper's first figure: $d = 10$, no noise, white features, two independent tasks with $n/2$ examples each. Of the four choices of $r$, (b) is certain; the others are recalled, and fit what the authors' answers say of them. In (a) to (c)
# {prf:ref}`asm-order` holds, and the scalar gate with delimiters is as good as free weights; as the features are white, a vector gate could add nothing. In (d) it fails. There the best non-decreasing weights are equal ones, so the gate is shut out and the layer is linear attention.
# The first reviewer asked whether it is a coincidence that the two curves match in (d). It is none, as the authors answered; {prf:ref}`prop-isotonic` below shows when it happens.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-panels", "caption": "Figure 1 of the paper, theory (d = 10, no noise, two independent tasks of n/2 examples). Assumption 3 holds in (a), (b) and (c): there the scalar gate with delimiters has the risk of free weights, and a vector gate has nothing to add. It fails in (d), where the scalar gate falls back to linear attention, and only a vector gate gets further. Lines that coincide lie on each other, the wide one below."}}
import matplotlib.pyplot as plt

MODELS = {
    "scalar gate with delimiters": {
        "color": plotting.TASKS[3],
        "linewidth": 6,
        "alpha": 0.65,
    },
    "linear attention": plotting.STYLES["linear attention"],
    "constant gate, no delimiters": plotting.STYLES["constant gate"],
    "vector gate": plotting.STYLES["weighted optimum"],
}
CLASSES = ("monotone", "uniform", "constant-gate", "free")
sizes = np.unique(np.r_[2:12:2, 12:60:8, 60:201:20])
record = {"panel": [], "n": []} | {name: [] for name in MODELS}
fig, axes = plt.subplots(2, 2, figsize=(7.6, 5.8), sharex=True, sharey=True)
for ax, (panel, r) in zip(axes.flat, panels.items()):
    dists = [PromptDistribution(10, (n // 2, n // 2), r) for n in sizes]
    record["panel"] += [panel] * len(sizes)
    record["n"] += list(sizes)
    for (name, style), weights in zip(MODELS.items(), CLASSES):
        risks = [optimal_wpgd(dist, weights).risk / 10 for dist in dists]
        record[name] += risks
        if name != "vector gate" or panel == "d":
            ax.plot(sizes, risks, label=name, **style)
    ax.set_title(f"({panel})  $r = ({r[0]},\\ {r[1]})$")
    held = "holds" if in_order(r) else "fails"
    ax.text(196, 0.97, f"Assumption 3 {held}", ha="right", va="top")
for ax in axes[1]:
    ax.set_xlabel("examples in the prompt, $n$")
for ax in axes[:, 0]:
    ax.set(ylabel="risk / $d$", ylim=(0, 1.03), xlim=(0, 200))
_ = fig.legend(
    *axes[1, 1].get_legend_handles_labels(),
    loc="outside upper center",
    ncols=2,
    handlelength=3.4,
)

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

# %% tags=["asserts-fig-1"]
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

# %% [markdown]
# ## The exact optimum, whatever the order
#
# If the order is wrong, which non-decreasing weights are best? This is a problem over matrices and weights, and it is not convex. But for a given $P$ it is a convex one in $w$, and the plan of {prf:ref}`thm-stationary-points` survives: one number $\gamma$, and a map that does not decrease.
#
# Let $\mathcal C = \{0 \le w_1 \le \dots \le w_K\}$ and $\rho(w) = w^\top R\, w / \norm{w}^2$. As the sign of $P$ is free, we look at weights with $\epsilon\, r^\top w > 0$, once for $\epsilon = 1$ and once for $\epsilon = -1$. A sign for which $\mathcal C$ has no such
# weights is left out; for $r \neq 0$ at least one remains.
#
# ```{prf:proposition} The exact optimum over the monotone cone
# :label: prop-monotone-optimum
#
# *New here.* Let $r \ne 0$. For a remaining sign $\epsilon$ and $h \ge 0$ let $w_{\mathcal C}(h)$ minimise $w^\top (hR + I) w - 2 \epsilon\, r^\top w$ over $\mathcal C$, and $F_{\mathcal C}(\gamma) = 1 + \rho\bigl( w_{\mathcal C}(h_2(\gamma)) \bigr)$.
#
# 1. $w_{\mathcal C}(h)$ is unique, not zero, and continuous in $h$. $F_{\mathcal C}$ is continuous, does not decrease, and maps $[1, 1 + \lambda_+]$ into itself, where $\lambda_+$ is the largest eigenvalue of $R$.
# 2. Every minimiser of the risk over $P$ and $w \in \mathcal C$ is, up to scale (and the action of $P$ and $P^\top$ on the kernel of $\Sigma_x$), $w_{\mathcal C}(h_2(\gamma))$ with its best $P$, at a fixed point $\gamma$ of $F_{\mathcal C}$ for one of the signs. So the optimum over the cone is the best
#    of these fixed points, and {prf:ref}`prop-enumeration` encloses all of them.
# 3. Theorems A and B carry over. There is just one fixed point for each remaining sign if $\Sigma$ has at most five non-zero eigenvalues, or if $A < 9B$ in {prf:ref}`thm-cross-ratio`, where $\lambda_-$ is now the smallest eigenvalue of the $K \times K$ matrix $D R_K D$, $D = \diag(\sqrt{n_k})$, be it zero or not.
# 4. The nine and the five cannot be larger on the cone either. The examples of {prf:ref}`prop-nine-sharp` and {prf:ref}`prop-rank-six`, with $r_1, r_2 > 0$ and the larger of their two tasks first in the prompt, have at least three fixed points on the cone.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-monotone-optimum)=
# ```{prf:proof}
# **1.** The objective is strictly convex and grows at infinity, so its minimiser over the closed convex cone is unique; it is continuous in $h$, as minimisers for converging $h$ stay bounded and every limit of them is a minimiser. Along a ray $t w$ with $\epsilon\, r^\top w > 0$ the least value of the
# objective is $-(r^\top w)^2/(\norm{w}^2 + h\, w^\top R\, w) < 0$. So $w_{\mathcal C}(h) \ne 0$, and scaled to $\epsilon\, r^\top u = 1$ it minimises $\norm{u}^2 + h\, u^\top R\, u$ over the $u \in \mathcal C$ with $\epsilon\, r^\top u = 1$.
#
# *An exchange.* Let $h < h'$, with such minimisers $u$ and $u'$. Each is best for its own $h$:
#
# $$
# \norm{u}^2 + h\, u^\top R\, u \le \norm{u'}^2 + h\, u'^\top R\, u', \qquad \norm{u'}^2 + h' u'^\top R\, u' \le \norm{u}^2 + h' u^\top R\, u .
# $$
#
# Add the two: $(h' - h)(u'^\top R\, u' - u^\top R\, u) \le 0$. So $u'^\top R\, u' \le u^\top R\, u$, and then the first says $\norm{u}^2 \le \norm{u'}^2$. Hence $\rho(u') \le \rho(u)$. As $h_2$ does not increase ({prf:ref}`prop-monotone-map`), $F_{\mathcal C}$ does not decrease. And $0 \le \rho \le \lambda_+$.
#
# **2.** At a minimiser the risk is below $M$, as some $w \in \mathcal C$ has $r^\top w \neq 0$. So $r^\top w \tr(\Sigma Q) > 0$; let $\epsilon$ be the sign of both. $P$ is best for $w$, so it is that of {prf:ref}`thm-stationary-points` at $\gamma = 1 + \rho(w)$. And $w$ is best in $\mathcal C$ for $P$: divided by
# $M \tr Q^\top Q + \tr \Sigma Q^\top Q$ the risk is, up to a constant, $\norm{w}^2 + h\, w^\top R\, w - 2 \tau\, r^\top w$, with $h = h_2(\gamma)$ and a $\tau$ of sign $\epsilon$. The minimiser over the cone is $|\tau|\, w_{\mathcal C}(h)$. So $\gamma = 1 + \rho(w_{\mathcal C}(h_2(\gamma)))$. Conversely each fixed point
# is in the class over which we minimise, so the best of them is a minimiser.
#
# **3.** Each $w \in \mathcal C$ lies in the relative interior of one face: some blocks, an initial run, have weight zero, and some neighbours have equal weights. There $w_{\mathcal C}(h)$ is also the minimiser over the span $V$ of that face, which is a rational function of $h$. The $h$ at which a given face is the right one are given by finitely many polynomial
# inequalities, so the range of $h_2$ splits into finitely many intervals with one face each. On the closure of each, $F_{\mathcal C}$ equals $F_V = 1 + h_1^V \circ h_2$, where $h_1^V$ is $h_1$ with the eigenvalues of the compression of $D R_K D$ to $D V$, and $a$ from the projection of $Dr$. The compression's
# eigenvalues lie between the extreme ones of $D R_K D$.
#
# At a fixed point $\gamma$ of $F_{\mathcal C}$ each one-sided slope is $F_V'(\gamma)$ for some $V$ with $F_V(\gamma) = \gamma$. The proof of {prf:ref}`thm-cross-ratio` bounds $F_V'(\gamma)$ at a fixed point and needs of $u$ only that it is a law on $[\lambda_-, \lambda_+]$. A compression of a singular matrix can have positive eigenvalues below all of its own, so $\lambda_-$ counts zeros. The proof of
# {prf:ref}`thm-rank-five` works for any $\lambda \ge 0$ with mean $\mu > 0$, and $\mu = 0$ means $F_V' = 0$. So all one-sided slopes are below one: $F_{\mathcal C}(\gamma) - \gamma$ passes from plus to minus at each zero. Two neighbouring zeros would need a passage from minus to plus between them. There is a
# zero, as the interval is mapped into itself.
#
# **4.** Let two tasks be independent, of $n_1 > n_2$ examples, with $r_1, r_2 > 0$, and let $\gamma$ be a fixed point of the free problem. With $u_k \propto n_k r_k^2/(1 + h n_k)^2$ and $u_1 + u_2 = 1$, $\gamma - 1 = u_1 n_1 + u_2 n_2$, so the free weights $w_k = r_k/(1 + h n_k)$ obey
# $w_1^2/w_2^2 = n_2 (\gamma - 1 - n_2)/\bigl(n_1 (n_1 + 1 - \gamma)\bigr)$. For $n_2 = 1$ this is at most one just if $\gamma \le n_1 + 2/(n_1 + 1)$. In the family of $\Lambda_+/\Lambda_-$, with $n_2 = L - 1$, $n_1 = \kappa L - 1$ and $\gamma = \sqrt\kappa\, L$, it tends to $\kappa^{-3/2}$ for large $L$. Where it is at most one, $0 \le w_1 \le w_2$, the free weights are those on the cone, and $\gamma$ is a fixed point of $F_{\mathcal C}$, too. In each example at least one such fixed point has $F' > 1$. Near it $F_{\mathcal C} = F$, so $F_{\mathcal C}(\gamma) - \gamma$ passes from
# minus to plus there, and has another zero on either side of it.
# ```
# ````
#
# In code: $w = Lz$ with increments $z \ge 0$, so the convex problem is non-negative least squares. We solve it here apart from the package, enumerate the fixed points of both signs, and compare with the package and with a grid of directions in the cone, on which nothing of the proposition is used.

# %% tags=["asserts-prop-monotone-optimum"]
from scipy.optimize import nnls


def best_in_cone(dist, h, sign):
    """w_C(h): the best block weights in the cone for sign * r."""
    N, L = np.diag(np.float64(dist.counts)), np.tril(np.ones((dist.K,) * 2))
    root = np.linalg.cholesky(h * N @ dist.R @ N + N).T
    target = np.linalg.solve(root.T, N @ (sign * dist.r))
    return L @ nnls(root @ L, target / np.linalg.norm(target))[0]


def F_cone(dist, gamma, sign):
    out = []
    for h in np.atleast_1d(h2(dist, gamma)):
        _, square, wRw = dist.moments(best_in_cone(dist, h, sign))
        out.append(1 + wRw / square)
    return np.array(out)


def cone_points(dist):
    """Fixed points of both signs, and the best predictor at each: {sign: [...]}."""
    top, points = 1 + dist.task_spectrum[0].max(), {}
    for sign in (1, -1):
        sums = np.cumsum((np.array(dist.counts) * sign * dist.r)[::-1])
        if sums.max() > 1e-9:  # some weights in the cone have sign * r^T w > 0
            found = fixed_points(
                lambda x: F_cone(dist, x, sign), 1.0, top, 1e-6, 1e-12
            )  # non-negative least squares is not good to the last digit
            weights = [best_in_cone(dist, h2(dist, x), sign) for x in found]
            points[sign] = [optimal_wpgd(dist, w) for w in weights]
    return points


def random_tasks(rng, K, d, **options):
    directions = rng.normal(size=(K + 1, K + 1))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    joint = directions @ directions.T
    np.fill_diagonal(joint, 1.0)
    counts = [int(c) for c in 10 ** rng.uniform(0, 3, size=K)]
    Sx = np.diag(10 ** rng.uniform(-2, 0, size=d))
    return PromptDistribution(
        d, counts, joint[:K, K], R=joint[:K, :K], Sx=Sx, **options
    )


steps = [(x, y) for x in np.linspace(0, 1, 61) for y in np.linspace(0, 1, 61)]
for _ in range(12):
    dist = random_tasks(rng, K=3, d=5, sigma=0.3)
    points = cone_points(dist)
    least = min(point.risk for both in points.values() for point in both)
    assert abs(least - optimal_wpgd(dist, "monotone").risk) < 1e-10 * dist.M
    grid = [optimal_wpgd(dist, (x * y, y, 1.0)).risk for x, y in steps]
    # No direction of the grid is better; the best is near, as its mesh is.
    assert least < min(grid) + 1e-12 * dist.M
    assert min(grid) < least + 0.01 * dist.M
    # At most five eigenvalues: one fixed point for each sign (Theorem B).
    assert all(len(both) == 1 for both in points.values())
    for sign in points:
        gamma = np.geomspace(1, 1 + dist.task_spectrum[0].max(), 60)
        # Non-negative least squares is good to rounding times its condition.
        assert (np.diff(F_cone(dist, gamma, sign)) > -1e-9 * gamma[1:]).all()

# %% [markdown]
# **Several fixed points.** Here is a relative of the example of {prf:ref}`prop-not-unique`, with a third task behind the good one: a single example, and a poor hint. The cone must give it at least the weight of the second. There are three fixed points with the order and three without; but the order exchanges the wells. Free weights are
# best when they listen to the small second task, ordered ones when they listen to the thousand.

# %%
Sx = np.diag([1.0] + [1 / 299] * 299)
wells = PromptDistribution(300, (1000, 2, 1), (0.35**0.5, 0.8, 0.1), Sx=Sx)
ordered, free = cone_points(wells)[1], stationary_points(wells)
assert len(ordered) == 3 and len(free) == 3
best = min(ordered, key=lambda point: point.risk)
assert best.gamma > 800 > 20 > free[0].gamma
assert best.risk == min(point.risk for point in ordered)
# The other well is worse by far more than rounding, and so is the ridge.
assert sorted(point.risk for point in ordered)[1] > best.risk + 0.005 * wells.M
assert abs(optimal_wpgd(wells, "monotone").risk - best.risk) < 1e-9 * wells.M
for point in ordered:
    assert nondecreasing(point.omega)
    print(f"gamma = {point.gamma:8.2f}   risk / M = {point.risk / wells.M:.5f}")


# %% [markdown]
# **Theorems A and B on the cone.** A search for exceptions must look where they would be. At equality in the proof of {prf:ref}`thm-cross-ratio` stand one large eigenvalue and $27$ small ones, at a ratio of nine, and two tasks of very different sizes, with a fixed point in the middle. So one draw in six is near that, with the large task first; the others are relatives of the example above. Where $A/B$ is below nine there is one fixed point. There is
# no tolerance. The smallest $A/B$ with several fixed points, and the largest share of the bound that a slope of $F_{\mathcal C}$ takes, show how near the search comes.
# Zeros must count: the last example has three tasks in a plane, so $D R_K D$ is singular. Without zeros $A/B$ is below nine, and with free weights there is one stationary point. On the cone there are three fixed points.


# %% tags=["asserts-prop-monotone-optimum"]
def cone_ratio(dist):
    """A / B with the smallest and largest eigenvalues of D R_K D, zeros included."""
    s, M = dist.signal_spectrum[0], dist.M
    s, Lam = s[s > 0], 1 + dist.task_spectrum[0]
    A = (M + Lam.min() * s.min()) * (M + Lam.max() * s.max())
    B = (M + Lam.min() * s.max()) * (M + Lam.max() * s.min())
    return A / B


def crossing(gamma, n_1, s, M):
    """A task of n_1 examples, then a single one; gamma is a fixed point."""
    s, n = np.asarray(s), np.array([n_1, 1.0])
    v = (s / (M + gamma * s)) ** 2
    m = v @ s / v.sum()
    u = np.array([gamma - 2, n_1 + 1 - gamma]) / (n_1 - 1)
    r = np.sqrt(u / n) * (1 + n * m / (M + m))
    sigma = max(0, M - s.sum()) ** 0.5
    return PromptDistribution(
        len(s), (n_1, 1), r / np.linalg.norm(r), Sx=np.diag(s), sigma=sigma
    )


def steepest(dist, point, sign=1, step=1e-5):
    """The larger one-sided slope of F_C at a fixed point, by differences."""
    x = point.gamma * np.array([1 - step, 1 + step])
    return ((F_cone(dist, x, sign) - point.gamma) / (x - point.gamma)).max()


def relative_of_the_example():
    d, tail = int(rng.integers(60, 400)), 10 ** rng.uniform(-3, -1.5)
    big, r = 10 ** rng.uniform(1.5, 4), rng.random(3) * (1.0, 1.0, 0.3)
    return PromptDistribution(
        d,
        (int(big), int(rng.integers(1, 4)), 1),
        r / np.linalg.norm(r),
        Sx=np.diag([1.0] + [tail] * (d - 1)),
    )


def near_equality(kappa, copies=27, gamma=1.0):
    """Nine's own example: gamma in units of its best place."""
    n_1 = 10**8
    delta = 1e4 / (1 + n_1)
    s = delta * np.array([1.0] + [1 / kappa] * copies)
    return crossing(gamma * kappa**0.5 / delta, n_1, s, M=1.0)


ratios, several, share = [], [], 0.0
for trial in range(150):
    if trial % 6:
        dist = relative_of_the_example()
    else:
        copies, gamma = int(rng.integers(24, 31)), rng.uniform(0.8, 1.25)
        dist = near_equality(rng.choice([8.4, 8.7, 9.4, 10]), copies, gamma)
    fixed = cone_points(dist)[1]
    ratios.append(cone_ratio(dist))
    several.append(len(fixed) > 1)
    assert len(fixed) == 1 or ratios[-1] > 9
    if trial % 6 == 0:  # the bound on the slope, at every fixed point
        root = ratios[-1] ** 0.5
        bound = 4 * ((root - 1) / (root + 1)) ** 2
        slopes = [steepest(dist, point) for point in fixed]
        assert max(slopes) < bound + 1e-4  # what the differences are good to
        share = max(share, max(slopes) / bound)
ratios, several = np.array(ratios), np.array(several)
assert several.sum() > 10 and (ratios < 9).sum() > 20  # bite on both sides

# Both at nine's own example: one point, with a slope near one; and three.
below, above = near_equality(8.9), near_equality(9.1)
(only,) = cone_points(below)[1]
assert cone_ratio(below) < 9 < cone_ratio(above) < 9.1
assert steepest(below, only) > 0.985 and len(cone_points(above)[1]) == 3
smallest = min(cone_ratio(above), ratios[several].min())
print(f"several fixed points from A/B = {smallest:.1f} on")
print(f"largest share of the bound on the slope: {share:.3f}")
assert share > 0.99

# Theorem B: a rank of six, and of five, with noise.
for rank, number in ((6, 3), (5, 1)):
    s = [1.0] + [0.003] * (rank - 1)
    dist = crossing(9e4, 10**8, s, M=300.0)
    points = cone_points(dist)[1]
    assert len(points) == number
    near = min(points, key=lambda point: abs(point.gamma - 9e4))
    print(
        f"rank {rank}: slope {steepest(dist, near):.3f} at gamma = {near.gamma:.0f}"
    )
s = [1.0] + [1e-6] * 4  # with ever more noise and redundance the slope tends to one
steep = crossing(1e10, 10**14, s, M=1e4)
(only,) = cone_points(steep)[1]
print(f"rank 5, more noise: slope {steepest(steep, only):.4f}")
assert 0.99 < steepest(steep, only) < 1
x, y = (f(np.deg2rad([0, 85, 50, 15])) for f in (np.cos, np.sin))
joint = np.outer(x, x) + np.outer(y, y)  # the query first
np.fill_diagonal(joint, 1.0)
Sx = np.diag([1.0] + [1 / 299] * 299)
plane = PromptDistribution(
    300, (1000, 600, 3), joint[0, 1:], R=joint[1:, 1:], Sx=Sx
)
assert uniqueness(plane).holds_sharp and len(stationary_points(plane)) == 1
assert cone_ratio(plane) > 9 and len(cone_points(plane)[1]) == 3

# %% [markdown]
# ## Isotonic regression
#
# ```{prf:proposition} Isotonic regression
# :label: prop-isotonic
#
# *New here.* Let $R_K = I$. Then $w_{\mathcal C}(h)$ is the weighted isotonic regression of $\epsilon\, r_k / (1 + h n_k)$ with weights $n_k (1 + h n_k)$, with negative values replaced by zero. It is constant on stretches of neighbouring blocks, and on a maximal stretch $B$ where it is positive
#
# $$
# w_k = \epsilon\, \frac{\sum_{l \in B} n_l\, r_l}{\sum_{l \in B} n_l (1 + h n_l)} .
# $$
#
# If the sizes are also equal and $r \neq 0$, it is up to scale the same for every $h$: the projection $\Pi(\epsilon r)$ of $\epsilon r$ onto $\mathcal C$. Then the share of the possible gain that the order leaves is a squared cosine,
#
# $$
# \frac{M - \min_{P,\, w \in \mathcal C} \risk}{M - \risk^\star} = \frac{\max \bigl( \norm{\Pi(r)}^2, \norm{\Pi(-r)}^2 \bigr)}{\norm{r}^2},
# $$
#
# whatever the features, the noise and the common size. For equal sizes and $r \ge 0$, $r \ne 0$, equal weights are best in $\mathcal C$, and the scalar gate gains nothing over linear attention, just if the mean of the first $k$ entries of $r$ is never below the mean of all.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-isotonic)=
# ```{prf:proof}
# For $R_K = I$ the objective is $\sum_k n_k (1 + h n_k) w_k^2 - 2 \epsilon \sum_k n_k r_k w_k$. With $y_k = \epsilon\, r_k/(1 + h n_k)$ and $v_k = n_k (1 + h n_k)$ it is $\sum_k v_k (w_k - y_k)^2$ up to a constant: we look for the projection of $y$ onto $\mathcal C$ in the inner product
# $\langle x, y \rangle = \sum v_k x_k y_k$. Isotonic regression is the projection $g$ onto $\{w_1 \le \dots \le w_K\}$.
#
# *Clipping.* A point $w$ of a closed convex cone is the projection of $y$ just if $\langle y - w, w \rangle = 0$ and $\langle y - w, u \rangle \le 0$ for all $u$ in the cone. Let $e = y - g$. Then $\langle e, u \rangle \le 0$ for every non-decreasing $u$; and on each level set $S$ of $g$ we have $\sum_S v_k e_k = 0$, as $g$ moved up or down a little on $S$ is still
# non-decreasing. Take $w = \max(g, 0)$, so that $y - w = e + \min(g, 0)$. For $u \in \mathcal C$ both parts have a product with $u$ that is not positive. $\langle e, w \rangle = 0$, as $w$ is constant on level sets of $g$, and $\langle \min(g, 0), w \rangle = 0$. So $w$ is the projection. The sum of $v_k e_k$ over a level set being zero, $g$ is there the average of $y$ with weights $v$, which is the formula.
#
# *Equal sizes.* If all $n_k = m$, then $y = \epsilon r/(1 + hm)$ and the weights are equal, so $w_{\mathcal C}(h) = \Pi(\epsilon r)/(1 + hm)$. For every $w$, $w^\top R\, w = m \norm{w}^2$, so $\gamma = 1 + m$, and the least risk over $P$ is $M - \frac{(r^\top w)^2}{\norm{w}^2}\, T(1 + m)$ with $T(\gamma) = \sum_i s_i^2/(M + \gamma s_i)$, by {prf:ref}`thm-stationary-points`. With free weights the fraction is at
# most $\norm{r}^2$, at $w = r$. For $w \in \mathcal C$ with $\epsilon\, r^\top w > 0$ we have $\epsilon\, r^\top w \le \Pi(\epsilon r)^\top w \le \norm{\Pi(\epsilon r)} \norm{w}$, so it is at most $\norm{\Pi(\epsilon r)}^2$, with equality just at the multiples of $\Pi(\epsilon r)$; where no weights have that sign $\Pi(\epsilon r) = 0$.
#
# *Nothing gained.* For $r \ge 0$, $r \neq 0$, only $\epsilon = 1$ remains. Equal weights are best just if $\Pi(r)$ is a multiple of $\ones$, hence of the mean $\bar r > 0$: just if $\langle r - \bar r \ones, u \rangle \le 0$ for all $u \in \mathcal C$. These $u$ are sums, with factors $\ge 0$, of the indicators of $\{k, \dots, K\}$, so this says that no
# sum of the last entries of $r - \bar r \ones$ is positive; and all of them add up to zero.
# ```
# ````
#
# SciPy's isotonic regression is an independent judge:

# %% tags=["asserts-prop-isotonic"]
from scipy.optimize import isotonic_regression


def isotonic(dist, h, sign=1):
    """Weighted isotonic regression of sign * r / (1 + h n), clipped at zero."""
    n = np.float64(dist.counts)
    y, v = sign * dist.r / (1 + h * n), n * (1 + h * n)
    return np.maximum(isotonic_regression(y, weights=v).x, 0.0)


for _ in range(60):
    K = int(rng.integers(2, 9))
    r = rng.normal(size=K) + rng.choice([0.0, 0.5])
    r *= 0.9 / np.linalg.norm(r)
    counts = [int(c) for c in 10 ** rng.uniform(0, 2, size=K)]
    dist = PromptDistribution(4, counts, r, Sx=np.diag([1, 0.5, 0.2, 0.1]))
    for sign in (1, -1):
        if (expected := isotonic(dist, h := rng.random(), sign)).any():
            found = best_in_cone(dist, h, sign)
            # Two algorithms for one convex problem of size eight or less.
            found, expected = found / found.max(), expected / expected.max()
            assert np.abs(found - expected).max() < 1e-9

    dist = PromptDistribution(4, (5,) * K, r, Sx=np.diag([1, 0.5, 0.2, 0.1]))
    share = max((isotonic(dist, 0.0, s) ** 2).sum() for s in (1, -1)) / (r @ r)
    risks = [optimal_wpgd(dist, weights).risk for weights in ("monotone", "free")]
    gains = dist.M - np.array(risks)
    assert abs(share - gains[0] / gains[1]) < 1e-10

    dist = PromptDistribution(4, (5,) * K, np.abs(r))
    gain = optimal_wpgd(dist, "uniform").risk - optimal_wpgd(dist, "monotone").risk
    means = np.cumsum(np.abs(r)) / np.arange(1, K + 1)
    assert (gain < 1e-12 * dist.M) == (means >= means[-1] * (1 - 1e-12)).all()

# %% [markdown]
# For two tasks the last sentence of the proposition reads $r_1 \ge r_2 \ge 0$. That is panel (d).
#
# ## What a wrong order costs
#
# Four equally large, independent tasks with the same four relevances, in all twenty-four orders. The free optimum and linear attention do not see the order. A scalar gate does: it pools what is out of order.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-orders", "caption": "Four independent tasks of 25 examples with relevances 0.1, 0.3, 0.5, 0.7 (d = 10, no noise): 1 is the least relevant task, 4 the most. Left, the weights for the order 2413, on one scale: what falls, a scalar gate pools. Right, the risk in all 24 orders, from the start of the prompt to its end. Only the increasing order reaches the optimum; some leave a scalar gate with nothing but linear attention."}}
from itertools import permutations

relevance = np.array([0.1, 0.3, 0.5, 0.7])
cost = {}
for places in permutations(range(4)):
    dist = PromptDistribution(10, (25,) * 4, relevance[list(places)])
    name = "".join(str(k + 1) for k in places)
    cost[name] = optimal_wpgd(dist, "monotone").risk / 10
names = sorted(cost, key=lambda name: (round(cost[name], 9), name))
linear, free = (optimal_wpgd(dist, w).risk / 10 for w in ("uniform", "free"))
lost = sum(value > linear - 1e-9 for value in cost.values())
assert [name for name in names if cost[name] < free + 1e-9] == ["1234"]
assert cost["4321"] > linear - 1e-9 and 1 < lost < 12
assert np.ptp([cost["2134"], cost["1324"], cost["1243"]]) < 1e-12

swapped = PromptDistribution(10, (25,) * 4, relevance[[1, 3, 0, 2]])
blocks = np.arange(1, 102, 25)
weights = {
    "weighted optimum": optimal_wpgd(swapped).omega,
    "scalar gate": optimal_wpgd(swapped, "monotone").omega,
}
weights = {  # on one scale: the same r^T omega
    name: omega * np.sum(swapped.r**2) / (swapped.r @ omega)
    for name, omega in weights.items()
}
gate = {"color": plotting.TASKS[3], "label": "scalar gate with delimiters"}
fig, (left, ax) = plt.subplots(1, 2, figsize=(7.8, 3.6), width_ratios=(1, 2))
best = plotting.STYLES["weighted optimum"]
left.stairs(weights["scalar gate"], blocks, linewidth=7, alpha=0.65, **gate)
left.stairs(weights["weighted optimum"], blocks, color=best["color"], linewidth=2)
left.set(xlabel="example, order 2413", ylabel="weight", ylim=(0, 0.75))
ax.axhline(linear, label="linear attention", **plotting.STYLES["linear attention"])
ax.axhline(free, label="weighted optimum", **best)
ax.plot(
    names,
    [cost[name] for name in names],
    "o",
    markersize=8,
    markeredgecolor="0.1",
    **gate,
)
ax.tick_params(axis="x", labelrotation=90, labelsize=8)
ax.set(xlabel="order of the tasks in the prompt", ylabel="risk / $d$")
_ = fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3)

# %% tags=["remove-input"]
plotting.FigureData(
    "orders",
    {"order": names, "scalar_gate": [cost[name] for name in names]},
    weights_of_2413={name: w.tolist() for name, w in weights.items()},
    linear_attention=linear,
    optimum=free,
    r="0.1, 0.3, 0.5, 0.7",
    d=10,
    n=100,
    sigma=0,
    seed="none",
)

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

glue("orders_lost", lost, display=False)
glue("orders_swap", float((cost["2134"] - free) / (linear - free)), display=False)
glue("orders_late", float((cost["2341"] - free) / (linear - free)), display=False)

# %% [markdown]
# {glue:text}`orders_lost` of the 24 orders gain nothing. Exchanging two neighbours of the right order costs {glue:text}`orders_swap:.0%` of what gating is worth, whichever two they are. Moving the least relevant task to the end costs {glue:text}`orders_late:.0%`: whatever comes last must weigh at least as much as anything before it.
#
# ## Sorted relevance is not always enough
#
# {prf:ref}`thm-scalar-gate` asks for uncorrelated tasks of equal sizes. Both matter. The examples of a large task repeat each other, so each of them deserves less weight ({prf:ref}`prop-when-gating-helps`); the same is true of two tasks that are much alike.
#
# ```{prf:proposition} Sorted relevance is not enough
# :label: prop-unequal-counts
#
# *New here.* Let $0 < r_1 \le \dots \le r_K$.
#
# 1. Let $R_K = I$. The weights of a stationary point with $h = h_2(\gamma)$ fall from block $k$ to block $k + 1$ just if
#
#    $$
#    \frac{r_{k+1}}{r_k} < \frac{1 + h\, n_{k+1}}{1 + h\, n_k} ;
#    $$
#
#    for $\Sigma_x = C = I$ the right-hand side is $(M + 1 + n_{k+1})/(M + 1 + n_k)$. The scalar gate's infimum is $\risk^\star$ just if this happens for no $k$ at some global minimiser. If $n_1 \ge \dots \ge n_K$ it never happens.
# 2. For two independent tasks and $\Sigma_x = C = I$, a scalar gate gains nothing over linear attention just if $r_2/r_1 \le (M + 1 + n_2)/(M + 1 + n_1)$.
# 3. For correlated tasks of equal sizes the optimal weights can fall, and can be negative.
# 4. Noise restores a strict order. Let $r_1 < \dots < r_K$. For any $R$, $\Sigma_x$, $C$ and sizes there is a $\sigma_0$ such that for all $\sigma \ge \sigma_0$ every non-trivial stationary point has, up to scale, $0 < w_1 < \dots < w_K$, and the scalar gate's infimum is $\risk^\star$. As $\sigma \to \infty$ the direction of
#    the weights tends to that of $r$. For $R_K = I$ it is enough that $h\, (r_k n_{k+1} - r_{k+1} n_k) < r_{k+1} - r_k$ for all $k$ at $h = s_+/(M + s_+)$, $s_+$ the largest eigenvalue of $\Sigma$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-unequal-counts)=
# ```{prf:proof}
# In block form $(hR + I)\omega = r$ reads $w_k + h \sum_l (R_K)_{kl}\, n_l w_l = r_k$.
#
# **1.** For $R_K = I$, $w_k = r_k/(1 + h n_k) > 0$, and $w_{k+1} < w_k$ is the inequality. All $s_i = 1$ gives $h_2 = 1/(M + 1)$. The second sentence is {prf:ref}`thm-scalar-gate`, part 4: the weights of a stationary point are positive up to a common factor, so the order is all that is asked. If $n_{k+1} \le n_k$ the right-hand side is at most $1$.
#
# **2.** As $r > 0$ only $\epsilon = 1$ remains, and $h = 1/(M + 1)$ for every $\gamma$. By {prf:ref}`prop-isotonic` the best weights in the cone are the isotonic regression of $w_k = r_k/(1 + h n_k) > 0$: constant just if $w_1 \ge w_2$. If it is not constant, equal weights are not a fixed point, hence worse.
#
# **3.** By the two examples below.
#
# **4.** $h_2 = m/(M + m)$ with $m \le s_+$, so $0 < h \le s_+/(M + s_+)$ whatever $\gamma$, and this tends to $0$ as $\sigma \to \infty$. Then $w = (I + h R_K N)^{-1} r \to r$, $N = \diag(n_k)$, uniformly in $\gamma$; and $0 < w_1 < \dots < w_K$ is an open condition that $r$ satisfies. The global minimisers are among these
# points, so {prf:ref}`thm-scalar-gate` applies. For $R_K = I$, $w_k < w_{k+1}$ is $h (r_k n_{k+1} - r_{k+1} n_k) < r_{k+1} - r_k$; if it holds at some $h > 0$, it holds at all smaller ones.
# ```
# ````
#
# Here the second task is the better hint, and much larger. With $M = 10$ the condition of part 2 holds, and the scalar gate is of no use at all, although $r$ is sorted. Part 1 also says how much noise makes the optimal weights rise: more than brings $M + 1$ to $(r_1 n_2 - r_2 n_1)/(r_2 - r_1)$.

# %% tags=["asserts-prop-unequal-counts"]
counts, r = (10, 90), (0.4, 0.5)
big_last = PromptDistribution(10, counts, r)
ratio = (big_last.M + 1 + counts[1]) / (big_last.M + 1 + counts[0])
assert r[1] / r[0] < ratio
risks = {w: optimal_wpgd(big_last, w).risk / 10 for w in order}
assert abs(risks["monotone"] - risks["uniform"]) < 1e-12  # exact algebra
assert risks["free"] < risks["uniform"] - 0.01

# The noise that restores the order; just above it and just below it.
needed = (r[0] * counts[1] - r[1] * counts[0]) / (r[1] - r[0]) - 1 - 10
for variance, restored in ((1.01 * needed, True), (0.99 * needed, False)):
    noisy = PromptDistribution(10, counts, r, sigma=variance**0.5)
    assert nondecreasing(optimal_wpgd(noisy).omega) == restored
    gap = optimal_wpgd(noisy, "monotone").risk - optimal_wpgd(noisy).risk
    assert (gap < 1e-12 * noisy.M) == restored

# Equal sizes, sorted r, but tasks 2 and 3 alike: a fall, and a negative weight.
R = [[1, 0, 0], [0, 1, 0.8], [0, 0.8, 1]]
for r, sign in (((0.3, 0.4, 0.5), 1), ((0.2, 0.3, 0.6), -1)):
    alike = PromptDistribution(10, (30, 30, 30), r, R=R)
    omega = optimal_wpgd(alike).omega
    assert omega[0] > omega[1] + 0.1 and omega[2] == 1
    assert np.sign(omega[1]) == sign and abs(omega[1]) > 0.1
    assert optimal_wpgd(alike, "monotone").risk > optimal_wpgd(alike).risk + 0.01
    loud = PromptDistribution(10, (30, 30, 30), r, R=R, sigma=1000.0)
    omega = optimal_wpgd(loud).omega
    assert nondecreasing(omega) and np.allclose(
        omega, np.array(r) / r[2], rtol=0.01
    )

# Random sizes and features: a fall just where the ratios say so.
for _ in range(60):
    r, sizes_ = np.sort(rng.random(3)) + 0.05, rng.integers(1, 60, size=3)
    r /= 1.2 * np.linalg.norm(r)
    dist = PromptDistribution(
        3, sizes_.tolist(), r, Sx=np.diag(rng.random(3) + 0.1)
    )
    best = optimal_wpgd(dist)
    h = h2(dist, best.gamma)
    falls = r[1:] / r[:-1] < (1 + h * sizes_[1:]) / (1 + h * sizes_[:-1])
    gap = optimal_wpgd(dist, "monotone").risk - best.risk
    assert (np.diff(best.omega) < 0).tolist() == falls.tolist()
    assert (gap > 1e-13 * dist.M) == falls.any()

# %% [markdown]
# ## Delimiters and context, apart
#
# Two things help the gate: delimiters give it a place to act between the tasks, context tells it where it is. What does each do alone? The answer is in how many gate values the layer can tell apart, and where they act.
#
# ```{prf:proposition} Delimiters and context apart
# :label: prop-delimiters-context
#
# *New here.* Gates read at most context coordinates, which are linearly independent for the kinds of tokens. Up to a positive factor, which $P$ takes up, example $j$ of block $k$, the $i$-th of the prompt, has the weight in the table. Gate values are any numbers in $(0, 1)$; in the closure, in $[0, 1]$.
#
# | | without delimiters | with delimiters |
# |---|---|---|
# | **without context** | $g^{\,n - i}$ | $g^{\,n - i + K - k}$ |
# | **with context** | $a_k^{\,n_k - j} \prod_{l > k} a_l^{\,n_l}$ | $a_k^{\,n_k - j} \prod_{l > k} a_l^{\,n_l} b_{l-1}$ |
#
# The query's gate and the last delimiter's only add to the factor.
#
# 1. The infima satisfy: with both $\le$ context only $\le$ neither $\le$ linear attention, and with both $\le$ delimiters only $\le$ linear attention.
# 2. Context only reaches the infimum of both just if some best weights $0 \le w_1 \le \dots \le w_K$ rise only in front of blocks of one example: $w_k = w_{k+1}$ whenever $n_{k+1} \ge 2$.
# 3. Without context, delimiters can help, and can hurt.
# 4. Let $w$, with $w_K = 1$, and $P$ be best with both. Give the gate logit $B > 0$ at examples, at the last delimiter and at the query, and at every other delimiter the logit of $w_k/w_{k+1}$, or $B$ and $-B$ where this is $1$ and $0$ ($B$ where it is $0/0$). Then the risk exceeds the infimum by at most a constant times $e^{-B}$; and times $e^{-2B}$ if
#    the infimum is $\risk^\star$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-delimiters-context)=
# ```{prf:proof}
# *The table.* Multiply the gates of all later tokens, as in {prf:ref}`thm-scalar-gate`. Without context all gates are $\mathrm{sigmoid}(b_g) = g$, the query's too. After the $i$-th example come $n - i$ examples, the query and, if there are any, the delimiters of blocks $k, \dots, K$: that makes $g^{\,n-i}$ or $g^{\,n - i + K - k}$ times $g$ or $g^2$. With context the factor
# is $c$, or $b_K c$. Without this factor the last weight is $1$, so the closures hold no zero vector, and are compact as continuous images of closed cubes. The least risk over $P$ is continuous there, so all four infima are minima over these sets.
#
# **1.** $b = 1$ turns the last cell into context only, and $a_1 = \dots = a_K = g$ turns that into $g^{\,n-i}$. All gates equal turns the last cell into delimiters only. Each contains equal weights.
#
# **2.** By {prf:ref}`thm-scalar-gate` the infimum of both is the minimum over $\mathcal C$, and only block-constant weights have this risk (for $r \neq 0$; for $r = 0$ all risks are $M$, and equal weights are among the best). So we ask which block-constant weights are in the closure of context only. Let $w$ be one, with last weight $1$. If $w_{k+1} > 0$ and $n_{k+1} \ge 2$, constancy
# inside block $k + 1$ means $a_{k+1} = 1$, so $w_k = w_{k+1}$; if $w_{k+1} = 0$, $w_k = 0$ as well, as weights do not decrease. Conversely weights with this property are reached, by $a_1 = 1$ and, for $k < K$, $a_{k+1} = 1$ where $w_k = w_{k+1}$ and $a_{k+1} = w_k/w_{k+1}$ where not: there $n_{k+1} = 1$, and the gate of a lone example acts on the blocks before it only.
#
# **3.** By the examples below.
#
# **4.** With $\delta = 1/(1 + e^B) < e^{-B}$ the gates are $1 - \delta$, $\delta$ or fixed, so for this $P$ the risk is a polynomial in $\delta \in [0, \frac12]$. At $\delta = 0$ it is the infimum. So it exceeds it by at most a constant times $\delta$. If the infimum is $\risk^\star$, the gradient in $\omega$ vanishes there, and with it the linear term.
# ```
# ````
#
# With context but without delimiters, only the block's own gate can set it apart from the block before, and it pays for this by decay inside. The first block is different: its gate acts on nothing but itself.

# %% tags=["asserts-prop-delimiters-context"]
from itertools import product

from scipy.optimize import minimize


def best_gates(dist, context, delimiters):
    """The least risk over the gates of the table, and the weights that have it."""
    K, counts = dist.K, dist.counts

    def weights(g):
        a = g[:K] if context else np.full(K, g[0])
        b = np.ones(K)
        if delimiters:
            b[:-1] = g[K:] if context else g[0]
        return formula(counts, a, b, 1.0)

    size = (K + (K - 1) * delimiters) if context else 1

    def risk(g):
        return optimal_wpgd(dist, weights(np.clip(g, 0, 1))).risk

    starts = list(product((0.05, 0.95, 0.999), repeat=size))
    if size == 1:  # one number: search all of it first
        grid = 1 - np.geomspace(1e-5, 1, 400)[:, None]
        starts = [min(grid, key=risk)]
    runs = [np.ones(size)]
    for start in starts:
        runs.append(
            minimize(
                risk,
                start,
                method="Nelder-Mead",
                bounds=[(0, 1)] * size,
                options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 2000},
            ).x
        )
    best = min(runs, key=risk)
    return risk(best), weights(np.clip(best, 0, 1))


CASES = {
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
    row, slack = table[panel], 1e-9  # of the search over gates
    limit = optimal_wpgd(dist, "monotone").risk / 10
    assert abs(row["both"] - limit) < 1e-7
    assert row["both"] <= row["context only"] + slack
    assert row["context only"] <= row["neither"] + slack
    assert row["both"] <= row["delimiters only"] + slack
    constant = optimal_wpgd(dist, "constant-gate").risk / 10
    assert abs(row["neither"] - constant) < 1e-8
    if panel in "ab":  # the best weights rise in front of 50 examples: strict
        assert row["both"] + 1e-3 < row["context only"] < row["neither"] - 1e-3
        assert row["delimiters only"] < row["neither"] - 1e-4  # a little help

# Delimiters without context can hurt; lone examples need no delimiters.
hurt = PromptDistribution(10, (30, 3, 3, 3), (0.1, 0.3, 0.3, 0.3))
assert best_gates(hurt, False, True)[0] > best_gates(hurt, False, False)[0] + 1e-3
lone = PromptDistribution(10, (50, 1, 1), (0.1, 0.3, 0.6))
assert abs(best_gates(lone, True, False)[0] - optimal_wpgd(lone).risk) < 1e-6
print("".join(f"{name:>18}" for name in CASES))
for panel, row in table.items():
    print(panel, "".join(f"{risk:17.4f} " for risk in row.values()))


# %% [markdown]
# In panel (a) context alone comes close: the gate of the first block forgets all of that block but its last example. In (b), where the first block should be kept but weighted down, it has to decay.
#
# **Finite logits.** Now a module that computes its gates, as in part 4. Its risk tends to the infimum at the rate stated: twice as fast in (a) and (b), where the best weights are also the best without order, as in (d), where the order binds.


# %% tags=["asserts-prop-delimiters-context"]
def hand_set_logits(w, B):
    """Logits of K blocks, K delimiters and the query, for weights w (K,)."""
    K = len(w)
    out = np.full(2 * K + 1, float(B))
    for k in range(K - 1):
        ratio = w[k] / w[k + 1] if w[k + 1] > 0 else 1.0
        if ratio < 1:
            out[K + k] = np.log(ratio / (1 - ratio)) if ratio > 0 else -B
    return out


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


B = np.linspace(2, 14, 25)
excess = {}
for panel in "abd":
    dist = PromptDistribution(10, (50, 50), panels[panel])
    best = optimal_wpgd(dist, "monotone")
    risks = []
    for height in B:
        g = sigmoid(hand_set_logits(best.omega, height))
        weights = formula(dist.counts, g[:2], g[2:4], g[4])
        risks.append(population_risk(dist, best.P, weights))
    excess[panel] = np.array(risks) - best.risk
    tail = np.polyfit(B[12:18], np.log(excess[panel][12:18]), 1)[0]
    # The slope of the logarithm, from B = 8 to 10.5; the next order is e^-8.
    assert abs(tail - (-1 if panel == "d" else -2)) < 0.03

dist = PromptDistribution(10, (50, 50), panels["b"])
best, height = optimal_wpgd(dist, "monotone"), 8.0
g = sigmoid(hand_set_logits(best.omega, height))
module = gated_layer(dist, best.P, g, DELIMITED)
exact = population_risk(dist, best.P, formula(dist.counts, g[:2], g[2:4], g[4]))
estimate = simulate_risk(
    module,
    dist,
    draws=20_000,
    tokens=DELIMITED,
    generator=torch.Generator().manual_seed(0),
)
assert abs(estimate.risk - exact) < 4 * estimate.stderr < 0.1 * exact
assert 0 < exact - best.risk < 1e-3 * best.risk

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-apart", "caption": "Left, the best weights of each kind of gate in panel (b), scaled to end at one; without context they look alike with delimiters and without. Right, how fast a gate with logits of size B comes near the best non-decreasing weights: like exp(-2B) where these are the best of all, like exp(-B) where the order binds."}}
looks = {
    "both": {"color": plotting.TASKS[3], "linewidth": 5, "alpha": 0.6},
    "context only": {"color": plotting.TASKS[0], "linewidth": 2.4},
    "delimiters only": {"color": plotting.TASKS[4], "linestyle": "--"},
    "neither": plotting.STYLES["constant gate"],
}
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.7))
for name, style in looks.items():
    omega = chosen["b"][name]
    left.plot(np.arange(1, 101), omega / omega[-1], label=name, **style)
left.set(xlabel="example $i$", ylabel=r"$\omega_i$", ylim=(-0.04, 1.08))
left.legend(
    loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, columnspacing=1.2
)
dashes = {"a": ":", "b": "-", "d": "--"}
for k, (panel, values) in enumerate(excess.items()):
    right.semilogy(
        B,
        np.maximum(values, 1e-12) / 10,
        linestyle=dashes[panel],
        color=plotting.TASKS[k],
        linewidth=2.2,
        label=f"({panel})",
    )
right.set(xlabel="size of the logits, $B$", ylabel="excess risk / $d$")
_ = right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)

# %% tags=["remove-input"]
plotting.FigureData(
    "weights_of_four_gates",
    {"i": np.arange(1, 101)} | {name: chosen["b"][name] for name in looks},
    panel="b",
    scale="last weight 1",
    seed="none",
)

# %% tags=["remove-input"]
plotting.FigureData(
    "finite_logits",
    {"B": B} | {f"excess_{panel}": values for panel, values in excess.items()},
    d=10,
    n=100,
    sigma=0,
    seed="none",
)

# %% [markdown]
# ## Break it
#
# **The same context for a delimiter as for its block.** Then the context vectors are not independent, the gate cannot tell the two apart, and $b_k = a_k$. In panel (b) the layer is then worse than with both. It is still better than with context only, as the delimiter is one more token at which the first block can decay.

# %%
dist = PromptDistribution(10, (50, 50), panels["b"])
grid = 1 - np.geomspace(1e-4, 0.5, 160)
shared = min(
    optimal_wpgd(dist, formula((50, 50), (x, y), (x, 1.0), 1.0)).risk / 10
    for x in (*grid, 1.0)
    for y in (*grid, 1.0)
)
print(f"shared {shared:.4f}")
assert table["b"]["both"] + 2e-3 < shared < table["b"]["context only"] - 1e-5

# %% [markdown]
# **A preconditioner of one sign.** Two tasks that are opposed to the query are as good as two that agree, if $P$ may turn the sign. If $P$ must be positive semidefinite, non-negative weights can do no better than to predict zero:

# %%
opposed = PromptDistribution(10, (50, 50), (-0.2, -0.8))
assert in_order(opposed.r)
best = optimal_wpgd(opposed, "monotone")
assert abs(best.risk / 10 - table["b"]["both"]) < 1e-7 and np.trace(best.P) < 0
for _ in range(100):
    B_, w = rng.normal(size=(10, 10)), np.sort(rng.random(2))
    assert population_risk(opposed, 1e-4 * B_ @ B_.T, w) > opposed.M

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-pool
#
# Three independent tasks of equal size, $r = (0.5, 0.2, 0.6)$. Which non-decreasing weights are best? Pool neighbours that are out of order until none is. What share of the possible gain is left, and what share does linear attention get?
# ```
#
# ````{solution} ex-pool
# :class: dropdown
#
# The first two are out of order, so they share their mean, $0.35$. Then $(0.35, 0.35, 0.6)$ is in order. By {prf:ref}`prop-isotonic` the share is $(2 \cdot 0.35^2 + 0.6^2)/(0.5^2 + 0.2^2 + 0.6^2)$, about $0.93$. Linear attention pools all three, with mean $1.3/3$, and gets $3 (1.3/3)^2$ over the same, about $0.87$. The order costs
# about half of what gating is worth here.
#
# ```python
# r = np.array([0.5, 0.2, 0.6])
# dist = PromptDistribution(10, (20, 20, 20), r)
# pooled = np.array([0.35, 0.35, 0.6])
# omega = optimal_wpgd(dist, "monotone").omega
# assert np.allclose(omega, pooled / 0.6, rtol=1e-9)
#
# def share(weights):
#     best = dist.M - optimal_wpgd(dist).risk
#     return (dist.M - optimal_wpgd(dist, weights).risk) / best
#
#
# assert np.isclose(share("monotone"), pooled @ pooled / (r @ r), rtol=1e-9)
# assert np.isclose(share("uniform"), 1.3**2 / 3 / (r @ r), rtol=1e-9)
# assert round(share("monotone"), 2) == 0.93
# assert round(share("uniform"), 2) == 0.87
# ```
# ````

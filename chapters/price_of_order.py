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
#   settles: the worst order, exactly; what a scalar gate always keeps
# ---

# %% [markdown]
# # The price of order
#
# How much of what weights can gain does a scalar gate keep in the worst case, and which tasks are the worst?
#
# The weights of a scalar gate never fall along the prompt ({doc}`scalar_gates`). {doc}`scalar_optimum` says what an order costs for given tasks. Here the tasks are
# chosen against the gate.
#
# Two kinds of trouble differ. If all tasks agree with the query, the worst is a good task followed by useless ones: the gate must listen to all of them. If tasks may also disagree with the
# query, the worst is a fading alternation of agreement and disagreement, and the gate can do little with either sign.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-worst-order", "caption": "The worst relevances swing between two strings and leave the gate as little of either sign as there can be. Left, six tasks: the sums of the last few relevances (dots) and the strings above and below, whose slopes are the best weights for $r$ and for $-r$. Right, the share of the possible gain that a scalar gate keeps at worst, for independent tasks of one size."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting
from glalib.risk import h2
from scipy.optimize import isotonic_regression

plotting.use_style()


def worst_relevances(K):
    """The worst r, up to a factor, and the share that a scalar gate keeps there."""
    k = np.arange(1, K + 1)
    r = (-1.0) ** (k - 1) * np.cos((2 * k - 1) * np.pi / (4 * K))
    return r, np.sin(np.pi / (4 * K)) ** 2


def strings(r):
    """Sums of the last 0, 1, .., K entries: of r, of Pi(r) and of -Pi(-r)."""
    up, down = (np.maximum(isotonic_regression(s * r).x, 0) for s in (1, -1))
    return [np.append(0, np.cumsum(part[::-1])) for part in (r, up, -down)]


six, many = worst_relevances(6)[0], np.arange(2, 41)
sums, upper, lower = strings(six)
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.3))
left.axhline(0, color="0.6", linewidth=0.8)
left.plot(upper, color=plotting.TASKS[3], linewidth=3)
left.plot(lower, color=plotting.TASKS[1], linewidth=3, linestyle=(0, (4, 1.2)))
left.plot(sums, color="black", linewidth=1.2, marker="o", markersize=5)
left.text(0.1, 0.85, "string above", color=plotting.TASKS[3])
left.text(0.1, -1.0, "string below", color=plotting.TASKS[1])
left.set(xlabel="the last $m$ tasks", ylabel="sum of relevances", ylim=(-1.25, 1.2))
floors = {"agree": 1 / many, "signs": np.sin(np.pi / (4 * many)) ** 2}
right.loglog(many, floors["agree"], color=plotting.TASKS[0], linewidth=2.4)
right.loglog(
    many, floors["signs"], color=plotting.TASKS[2], linewidth=2.4, linestyle="--"
)
right.text(7, 0.2, "all agree: $1/K$", color=plotting.TASKS[0])
right.text(2.1, 0.0022, "of any sign:\n$\\sin^2(\\pi/4K)$", color=plotting.TASKS[2])
right.set(xlabel="number of tasks $K$", ylabel="share kept", ylim=(3e-4, 1))
right.minorticks_off()
_ = right.set_xticks([2, 5, 10, 20, 40], ["2", "5", "10", "20", "40"])

# %% tags=["remove-input"]
plotting.FigureData(
    "worst_order",
    {
        "K": many,
        "share_all_agree": floors["agree"],
        "share_any_sign": floors["signs"],
    },
    figure=fig,
    six_tasks={
        "sums": sums.tolist(),
        "above": upper.tolist(),
        "below": lower.tolist(),
    },
    tasks="independent, of equal size",
    seed="none",
)


# %% [markdown]
# ```{note}
# Weights on this page do not read the data, as on {doc}`scalar_gates`.
# ```
#
# ## What is always kept
#
# ```{symbols}
# omega r R K counts n C P risk M gamma h h2 Sigma Q cone
# ```
#
# As on {doc}`scalar_optimum`, $\mathcal C = \{0 \le w_1 \le \dots \le w_K\}$ are the block weights that a scalar gate reaches. The **share** that it keeps is
#
# $$
# \operatorname{share} = \frac{M - \min_{P,\, w \in \mathcal C} \risk}{M - \risk^\star},
# $$
#
# with $\risk^\star$ the least risk over all $P$ and all weights, and $M$ the risk of predicting zero.
#
# ```{prf:proposition} The price of order
# :label: prop-price-of-order
#
# **With tasks of one size a scalar gate keeps at least one $K$th of the gain if all agree with the query, and never loses all of it if some do not.**
#
# *New here.* Let the tasks be independent, $R_K = I$, and $r \ne 0$, $\Sigma \ne 0$.
#
# 1. *Equal sizes, $r \ge 0$.* The share is at least $1/K$, and it is $1/K$ if and only if $r_1$ is the only entry that is not zero.
# 2. *Equal sizes, any signs, $K \ge 2$.* The share is at least
#
#    $$
#    \sin^2 \frac{\pi}{4K},
#    $$
#
#    and it is that small if and only if $r$ is a multiple of
#
#    $$
#    r_k = (-1)^{k-1} \cos \frac{(2k-1)\, \pi}{4K}, \qquad k = 1, \dots, K.
#    $$
# 3. *Any sizes, $r \ge 0$.* Let $h = h_2(\gamma)$ at a best pair of $P$ and $\omega$, and $\nu_k = n_k (1 + h\, n_k)$. The share is at least
#
#    $$
#    \min_j \frac{\nu_j}{\nu_j + \dots + \nu_K} .
#    $$
#
#    If all non-zero eigenvalues of $\Sigma$ are equal to $s$, then $h = s/(M + s)$, and the bound is attained where only the relevance $r_j$ of a minimising $j$ is not zero.
# ```
#
# For two tasks the second bound is $(2 - \sqrt 2)/4$, about one seventh; for many it is near $\pi^2/(16 K^2)$. By the third, $1/K$ survives unequal sizes if no task is larger than an earlier one. It does not
# survive in general: a short relevant task before a long useless one can leave a share as near to zero as you like.
#
# ````{dropdown} Why it is true
# (proof-prop-price-of-order)=
# ```{prf:proof}
# *1.* By {prf:ref}`prop-isotonic` the share is $\max(\norm{\Pi(r)}^2, \norm{\Pi(-r)}^2)/\norm{r}^2$, with $\Pi$ the projection onto $\mathcal C$ for the plain inner product of $\R^K$, and $\norm{\Pi(r)} \ge r^\top u$ for every unit vector $u \in \mathcal C$. Equal weights give
# $\norm{\Pi(r)}^2 \ge (\sum_k r_k)^2/K \ge \norm{r}^2/K$. The last two are equal only if one entry $r_j$ alone is not zero. Then the weights that are equal from $j$ on give the share $1/(K - j + 1)$, so $j = 1$. Conversely, for $j = 1$ equal weights are best in $\mathcal C$ (again {prf:ref}`prop-isotonic`: the mean of the first few entries is never below that
# of all), and they give $1/K$.
#
# *2, the bound.* Let $\theta = \pi/2K$. For $m = 0, \dots, K$ let $S_m$, $u^+_m$ and $-u^-_m$ be the sums of the last $m$ entries of $r$, of $\Pi(r)$ and of $\Pi(-r)$. As $\langle r - \Pi(r), w \rangle \le 0$ for every $w \in \mathcal C$, the indicator of the last $m$ entries included,
# $S_m \le u^+_m$. In the same way $u^-_m \le S_m$. Let $c_m = (u^+_m + u^-_m)/2$ and $\ell_m = (u^+_m - u^-_m)/2 \ge 0$. Then $S_m = c_m + \epsilon_m \ell_m$ with $\lvert \epsilon_m \rvert \le 1$. Write $\Delta$ for the difference of an entry to the one before, and sum over $m = 1, \dots, K$; all start at zero. For every
# $t > 0$
#
# $$
# \norm{r}^2 = \sum (\Delta S_m)^2 \le (1 + t) \sum (\Delta c_m)^2 + (1 + 1/t) \sum (\ell_m + \ell_{m-1})^2 .
# $$
#
# Now a discrete form of Wirtinger's inequality: for $\ell_0 = 0$
#
# $$
# \sum_{m=1}^K (\ell_m + \ell_{m-1})^2 \le \cot^2 \frac\theta2\, \sum_{m=1}^K (\ell_m - \ell_{m-1})^2 .
# $$
#
# For put $\ell_{2K - m} = \ell_m$; this doubles both sums. With $\alpha = \sum_{m=1}^{2K-1} \ell_m^2$ and $\xi = \sum_{m=2}^{2K-1} \ell_m \ell_{m-1}$ they become $2(\alpha + \xi)$ and $2(\alpha - \xi)$. The adjacency matrix of a path of $2K - 1$ points has the largest eigenvalue $2 \cos\theta$, which is simple and belongs to
# $\ell_m = \sin m\theta$. So $\xi \le \alpha \cos\theta$, and $(1 + \cos\theta)/(1 - \cos\theta) = \cot^2(\theta/2)$.
#
# Take $t = \cot^2(\theta/2)$. Then $1 + t = 1/\sin^2(\theta/2)$, and $(1 + 1/t)\, t$ is the same, so
#
# $$
# \begin{aligned}
# \norm{r}^2 \sin^2 \frac\theta2 &\le \sum (\Delta c_m)^2 + \sum (\Delta \ell_m)^2 \\
# &= \frac12 \sum \bigl( (\Delta u^+_m)^2 + (\Delta u^-_m)^2 \bigr) = \frac{\norm{\Pi(r)}^2 + \norm{\Pi(-r)}^2}{2} .
# \end{aligned}
# $$
#
# The larger of the two is at least the mean.
#
# *2, who attains it.* If $\norm{r}^2 \sin^2(\theta/2)$ is the larger one, all these are equalities. If $\ell = 0$, the first one says $\sum (\Delta c_m)^2 = (1 + t) \sum (\Delta c_m)^2$, so $r = 0$. Otherwise $\ell_m$ is a positive multiple of $\sin m\theta$, so positive for $m \ge 1$; $\lvert \epsilon_m \ell_m - \epsilon_{m-1} \ell_{m-1} \rvert = \ell_m + \ell_{m-1}$ makes $\epsilon_m$ alternate between $1$ and $-1$; and equality in $(\alpha + \xi)^2 \le (1 + t) \alpha^2 + (1 + 1/t) \xi^2$
# makes $\Delta c_m$ the $t$th part of $\epsilon_m (\ell_m + \ell_{m-1})$. So $\Delta S_m$ is a multiple of $\epsilon_m (\sin m\theta + \sin (m-1)\theta)$, hence of $\epsilon_m \sin (m - \tfrac12)\theta$: for $k = K + 1 - m$ these are the entries of the statement.
#
# Conversely let $S_m = (-1)^{K - m} \sin m\theta$. The string through $0$ and the points $(m, \sin m\theta)$ with $m = K, K - 2, \dots$ is concave and rises, so its slopes $w$, in the order of the prompt, lie in $\mathcal C$. It lies above all $S_m$ and meets them at its corners. So $\langle r - w, w \rangle = 0$ and $\langle r - w, w' \rangle \le 0$ for all $w' \in \mathcal C$, as these are sums, with
# factors $\ge 0$, of indicators of last entries: $w = \Pi(r)$. In the same way the string through $0$ and the points with $m = K - 1, K - 3, \dots$, level after $K - 1$, gives $\Pi(-r)$. Between the corners $i - 1$ and $i + 1$ a string has the slope $\sin\theta \cos i\theta$, and between $0$ and $1$, where one of them has a corner, $\sin\theta$. So
#
# $$
# \norm{\Pi(r)}^2 + \norm{\Pi(-r)}^2 = \sin^2\theta\, \Bigl( 1 + 2 \sum_{i=1}^{K-1} \cos^2 i\theta \Bigr) = K \sin^2\theta .
# $$
#
# They are equal. As corners alternate, their difference is, up to its sign, $\sin^2\theta$ times
#
# $$
# 1 + 2 \sum_{i=1}^{K-1} (-1)^i \cos^2 i\theta = 1 + \sum_{i=1}^{K-1} (-1)^i + \sum_{i=1}^{K-1} (-1)^i \cos \frac{i\pi}{K} .
# $$
#
# For even $K$ the sums are $-1$ and, as $i$ and $K - i$ cancel, $0$. For odd $K$ they are $0$ and $-1$: the second is the real part of $\sum_{i=1}^{K-1} z^i$ with $z = e^{\mathrm i \pi (K+1)/K}$, $z^K = 1 \ne z$. As $\sin m\theta + \sin(m-1)\theta = 2 \cos(\theta/2) \sin (m - \tfrac12)\theta$, $\norm{r}^2 = 4 \cos^2(\theta/2) \sum \sin^2 (m - \tfrac12)\theta = 2K \cos^2(\theta/2)$, and the share is
# $\tfrac12 K \sin^2\theta / (2K \cos^2(\theta/2)) = \sin^2(\theta/2)$.
#
# *3.* For any $Q = \Sigma_x^{1/2} P\, \Sigma_x^{1/2}$ with $\tr(\Sigma Q) \ne 0$ the risk of {prf:ref}`prop-population-risk` with the best scale is
#
# $$
# M - c_Q\, \frac{(r^\top w)^2}{w^\top (I + h_Q R)\, w}, \qquad h_Q = \frac{\tr(\Sigma Q^\top Q)}{M \tr(Q^\top Q) + \tr(\Sigma Q^\top Q)},
# $$
#
# with $c_Q > 0$. Take the $Q$ of a best pair; then $h_Q = h_2(\gamma)$. Its weights are the best for $Q$, so $M - \risk^\star$ is $c_Q$ times the largest quotient over all $w$, and the gate gains at least $c_Q$ times the largest over $\mathcal C$. In the inner product $\langle u, u' \rangle = \sum_k \nu_k u_k u'_k$ the quotient is
# $\langle t, w \rangle^2 / \langle w, w \rangle$ with $t_k = r_k/(1 + h\, n_k) \ge 0$. So the share is at least $\langle \Pi t, \Pi t \rangle / \langle t, t \rangle$, with $\Pi$ the projection onto $\mathcal C$ now in that inner product. $\Pi t$ pools: on each pool $J = \{p, \dots, m\}$ it is the mean of $t$, and the mean of its first few entries is never below that.
# Let $z_i = \nu_i t_i \ge 0$, $\zeta = \sum_J z_i$ and $\nu(i) = \nu_i + \dots + \nu_m$. Then $\zeta_i = z_i + \dots + z_m \le \zeta\, \nu(i)/\nu(p)$. With the bound of the statement as $1/b$, $\nu(i) \le b\, \nu_i$ and
#
# $$
# \sum_{i \in J} \nu_i t_i^2 = \sum_{i \in J} \frac{z_i^2}{\nu_i} \le \sum_{i \in J} \frac{z_i \zeta_i}{\nu_i} \le \frac{\zeta}{\nu(p)} \sum_{i \in J} z_i\, \frac{\nu(i)}{\nu_i} \le b\, \frac{\zeta^2}{\nu(p)} ,
# $$
#
# which is $b$ times what the pool adds to $\langle \Pi t, \Pi t \rangle$. Sum over the pools.
#
# If the non-zero eigenvalues of $\Sigma$ are all $s$, the best $Q$ for any weights is, by {prf:ref}`thm-stationary-points`, a multiple of the projection onto the range of $\Sigma$: $c_Q$ and $h_Q = s/(M + s)$ do not depend on the weights, and the share equals the quotient of the projections, for $r$ or for $-r$. If $r_j > 0$ alone is not zero, $\Pi(-t) = 0$ and $\Pi t$ is constant from $j$ on and zero before: the share is
# $\nu_j/(\nu_j + \dots + \nu_K)$.
# ```
# ````


# %%
def share(dist):
    """What a scalar gate keeps of the gain of the best weights."""
    gated, best = (
        dist.M - optimal_wpgd(dist, w).risk for w in ("monotone", "free")
    )
    return gated / best


r, floor = worst_relevances(5)
tasks = PromptDistribution(10, (20,) * 5, 0.9 * r / np.linalg.norm(r), sigma=1.0)
assert np.isclose(share(tasks), floor, rtol=1e-9)

# %% [markdown]
# The check draws relevances at random and near the worst, for equal and unequal sizes, and takes the share from the solver for any tasks, which knows nothing of strings.

# %% tags=["check", "asserts-prop-price-of-order"]
rng, nearest, tried = np.random.default_rng(0), np.inf, 0
for K in (2, 3, 4, 6, 9):
    r, floor = worst_relevances(K)
    # What is kept is more than 1e-3 of M, and risks are good to some 1e-12 of it.
    draws = [r] + [
        r + 0.1 ** rng.uniform(1, 4) * rng.normal(size=K) for _ in range(6)
    ]
    draws += [rng.normal(size=K) for _ in range(6)]
    for relevance in draws:
        relevance = relevance * 0.95 / np.linalg.norm(relevance)
        Sx = np.diag(10 ** rng.uniform(-1, 0, size=3))
        kept = share(PromptDistribution(3, (15,) * K, relevance, Sx=Sx, sigma=0.2))
        assert kept > floor * (1 - 1e-8)
        nearest, tried = min(nearest, kept / floor), tried + 1
    assert np.isclose(
        share(PromptDistribution(3, (15,) * K, 0.95 * np.eye(K)[0])),
        1 / K,
        rtol=1e-9,
    )
assert nearest < 1 + 1e-7  # attained
print(
    f"{tried} prompts of equal sizes: the least share is {nearest:.6f} of the floor"
)


# %% tags=["check", "asserts-prop-price-of-order"]
def floor_of_sizes(dist):
    """Part 3: what is kept at least, for relevances that are not negative."""
    n, h = np.array(dist.counts), h2(dist, optimal_wpgd(dist).gamma)
    nu = n * (1 + h * n)
    return np.min(nu / np.cumsum(nu[::-1])[::-1])


nearest, tried = np.inf, 0
for _ in range(60):
    K, d = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    counts = [int(c) for c in 10 ** rng.uniform(0, 2.5, size=K)]
    r = rng.random(K) ** rng.integers(1, 12)
    Sx = np.diag(10 ** rng.uniform(-2, 0, size=d)) if rng.random() < 0.5 else None
    dist = PromptDistribution(d, counts, 0.95 * r / np.linalg.norm(r), Sx=Sx)
    assert share(dist) > floor_of_sizes(dist) * (1 - 1e-8)
    # White features: the floor is attained by one relevant task.
    n, h = np.array(counts), 1 / (d + 1)
    nu = n * (1 + h * n)
    j = np.argmin(nu / np.cumsum(nu[::-1])[::-1])
    white = PromptDistribution(d, counts, 0.95 * np.eye(K)[j])
    quotient = share(white) / floor_of_sizes(white)
    assert np.isclose(quotient, 1, rtol=1e-8)
    nearest, tried = min(nearest, quotient), tried + 1
print(
    f"{tried} prompts of unequal sizes: the floor holds, and is met to {abs(nearest - 1):.0e}"
)

# %% [markdown]
# A single relevant example before a long useless task shows how little may be left:

# %%
for length in (1, 10, 100, 1000):
    short_first = PromptDistribution(10, (1, length), (0.9, 0.0))
    print(f"{length:5} useless examples: share {share(short_first):.1g}")
assert np.isclose(share(short_first), 12 / (12 + 1000 * 1011), rtol=1e-6)  # part 3

# %% [markdown]
# ## Break it
#
# **Tasks that are alike.** Let two tasks of one size be correlated. Then the difference of the two can tell what neither tells alone, and a scalar gate cannot take differences. Relevances are not negative, and yet far less than one half is kept.

# %%
for alike in (0.0, 0.5, 0.9, 0.99):
    r = (0.9 * np.sqrt(1 - alike**2), 0.0)
    both = PromptDistribution(10, (1000, 1000), r, R=[[1, alike], [alike, 1]])
    print(f"correlation {alike:4}: {share(both):.1%} kept")
assert np.isclose(share(both), 0.0104, rtol=0.01)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: three tasks of any sign
# :label: ex-three-signs
#
# Three independent tasks of one size. Find the worst relevances and the share that is kept there from the strings: draw the sums $S_1, S_2, S_3$ and both strings.
# ```
#
# ```{answer} ex-three-signs
# asks: What share is kept at the worst relevances of three tasks?
# value: np.sin(np.deg2rad(15)) ** 2
# wrong:
# - value: 1 / 3
#   says: That is the least share if all tasks agree with the query. Here they may disagree.
# - value: np.sin(np.deg2rad(30)) ** 2
#   says: That is the squared sine of the whole angle. What is kept is that of half of it.
# - value: np.sin(np.deg2rad(22.5)) ** 2
#   says: That is the worst of two tasks. With three it is worse.
# - value: 3 / 8
#   says: That is the square of what the strings keep. Divide it by the square of the relevances.
# - value: np.sin(np.deg2rad(15))
#   says: That is a cosine. A share of the gain is its square.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# $\theta = 30°$: the sums are $\tfrac12$, $-\tfrac{\sqrt 3}2$ and $1$.
# ```
#
# ````{solution} ex-three-signs
# :class: dropdown
#
# From the last task to the first $r$ is $\tfrac12$, $-\tfrac{1 + \sqrt 3}{2}$, $\tfrac{2 + \sqrt 3}{2}$. The string above has corners at $1$ and $3$: slopes $\tfrac12, \tfrac14, \tfrac14$. The string below has the corner $2$: slopes $-\tfrac{\sqrt 3}4$ twice, then zero. Both have the square $\tfrac38$, and
# $\norm{r}^2 = 3 + \tfrac32 \sqrt 3$. The share is $\tfrac38 / (3 + \tfrac32 \sqrt 3) = \sin^2 15°$.
#
# ```python
# r = np.array([(2 + np.sqrt(3)) / 2, -(1 + np.sqrt(3)) / 2, 1 / 2])
# sums, above, below = strings(r)
# assert np.allclose(np.diff(above), [1 / 2, 1 / 4, 1 / 4])
# assert np.allclose(np.diff(below), [-np.sqrt(3) / 4, -np.sqrt(3) / 4, 0])
# assert np.isclose(3 / 8 / (r @ r), np.sin(np.deg2rad(15)) ** 2)
# assert np.allclose(r / r[0], worst_relevances(3)[0] / worst_relevances(3)[0][0])
# ```
# ````
#
# ```{exercise} Compute: which task comes first
# :label: ex-which-first
#
# Two independent tasks, white features, $d = 10$, no noise. A task of five examples is relevant, $r = 0.9$; the other is useless and has fifty. What share is kept if the relevant one comes first, and what if it comes last?
# ```
#
# ```{answer} ex-which-first
# asks: What share is kept if the relevant task comes first?
# value: share(first)
# wrong:
# - value: 1 / 2
#   says: That is the least for two tasks of one size. Here the second is ten times as large.
# - value: 5 / (5 + 50)
#   says: That counts examples. Those of a large task repeat each other, and the gate must give them weight all the same.
# - value: 5**2 / (5**2 + 50**2)
#   says: That is so for long prompts. Here neither of the two terms in part 3 is small.
# - value: 5 * 15 / (5 * 15 + 50 * 60)
#   says: Nearly. For white features h is one over M plus one, not over M.
# - value: 1
#   says: That is so if the relevant task comes last. The weights can rise, not fall.
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# By part 3, $\nu_k = n_k (1 + n_k/11)$.
# ```
#
# ````{solution} ex-which-first
# :class: dropdown
#
# Last, all of it. First, $\nu_1/(\nu_1 + \nu_2)$ with $\nu_1 = 5 \cdot 16/11$ and $\nu_2 = 50 \cdot 61/11$: a fortieth.
#
# ```python
# first = PromptDistribution(10, (5, 50), (0.9, 0.0))
# last = PromptDistribution(10, (50, 5), (0.0, 0.9))
# assert np.isclose(share(last), 1)
# assert np.isclose(share(first), 5 * 16 / (5 * 16 + 50 * 61))
# assert abs(share(first) - 1 / 40) < 1e-3
# ```
# ````
#
# ```{exercise} Explore: a typical order
# :label: ex-typical-order
#
# The worst is rare. Draw relevances of any sign from a normal law, for more and more tasks of one size. What share does a scalar gate keep on average, and how does it compare with the worst?
# ```
#
# ```{answer} ex-typical-order
# asks: For two tasks, what share is kept on average over all directions of r?
# value: 5 / 8 + 1 / (8**0.5 * np.pi)
# within: 2%
# wrong:
# - value: 3 / 8
#   says: That is so for weights that must not be negative. A gate's read-out may have either sign, so both r and -r count.
# - value: 1 / 2 + 2**0.5 / (3 * np.pi)
#   says: That is the mean over the directions that are out of order. A quarter of all are in order, and keep everything.
# - value: np.sin(np.pi / 8) ** 2
#   says: That is the worst direction. The mean over all of them is asked for.
# - value: 1 / 4
#   says: That many of the directions are in order, and keep everything. The others keep something, too.
# minutes: 15
# level: 3
# ```
#
# ```{hint}
# :class: dropdown
#
# By {prf:ref}`prop-isotonic` the share is a squared cosine that `isotonic_regression` gives at once.
# ```
#
# ````{solution} ex-typical-order
# :class: dropdown
#
# For two tasks it is $\frac58 + \frac{1}{\sqrt 8\, \pi}$, nearly three quarters, as the angle of $r$ is uniform; for thirty-two about a tenth, falling a little slower than $1/K$; the worst falls as $1/K^2$. Without order there is little to keep: a monotone sequence cannot follow
# random relevances.
#
# ```python
# def typical(K, draws=2000):
#     rng = np.random.default_rng(K)
#     kept = []
#     for r in rng.normal(size=(draws, K)):
#         best = max(
#             (np.maximum(isotonic_regression(s * r).x, 0) ** 2).sum()
#             for s in (1, -1)
#         )
#         kept.append(best / (r @ r))
#     return np.mean(kept)
#
#
# means = {K: typical(K) for K in (2, 8, 32)}
# # Standard errors are about one per cent.
# assert np.isclose(means[2], 5 / 8 + 1 / (8**0.5 * np.pi), rtol=0.03)
# assert np.isclose(means[32], 0.112, rtol=0.05)
# assert all(
#     8 * worst_relevances(K)[1] < mean or K == 2 for K, mean in means.items()
# )
# slope = np.log(means[32] / means[8]) / np.log(4)
# assert np.isclose(slope, -0.75, rtol=0.05)
# ```
# ````

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
#   settles: the best weights of a scalar gate, and what each order of the tasks costs
# ---

# %% [markdown]
# # The best a scalar gate can do, exactly
#
# When the tasks stand in a wrong order, what is the best that a scalar gate can do, and what does the order cost?
#
# The weights of a scalar gate never fall along the prompt ({doc}`scalar_gates`). The least risk over all such weights and all matrices $P$ is a
# problem that is not convex. For independent tasks its answer is an old friend of statisticians: pool neighbours that are out of order, until
# none is.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-pooling", "caption": "Pull a string taut under the sums of the relevances: its slopes are the best weights of a scalar gate. Eight independent tasks of equal size. Left, the best weights (narrow line, proportional to the relevances) and the best that never fall (wide line). Right, the sums of the first few relevances, and the string below them."}}
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting
from scipy.optimize import isotonic_regression, nnls

plotting.use_style()
narrow = plotting.STYLES["weighted optimum"]
wide = {"color": plotting.TASKS[3], "linewidth": 6, "alpha": 0.65}
eight = np.array([0.1, 0.35, 0.2, 0.15, 0.4, 0.3, 0.25, 0.5])
pooled = isotonic_regression(eight).x
ends = np.arange(9)

fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2))
left.stairs(pooled, ends + 0.5, baseline=None, **wide)
left.stairs(eight, ends + 0.5, baseline=None, **narrow)
left.set(xlabel="task", ylabel="weight", ylim=(0, 0.6))
left.text(0.6, 0.5, "best weights", color=narrow["color"])
left.annotate(
    "scalar gate",
    (3.6, 0.225),
    (4.2, 0.06),
    arrowprops={"arrowstyle": "-", "color": "0.5", "shrinkB": 3},
)
right.plot(ends, np.append(0, np.cumsum(pooled)), **wide)
right.plot(ends, np.append(0, np.cumsum(eight)), marker="o", **narrow)
right.set(xlabel="tasks so far", ylabel="sum of relevances", ylim=(-0.1, 2.4))
right.text(0.2, 1.5, "sums", color=narrow["color"])
_ = right.text(4.4, 0.6, "the string")

# %% tags=["remove-input"]
plotting.FigureData(
    "pooling",
    {"task": ends[1:], "relevance": eight, "scalar_gate": pooled},
    figure=fig,
    tasks="eight, independent, of equal size",
    seed="none",
)


# %% [markdown]
# ## One convex problem, one number
#
# ```{symbols}
# omega r R K counts n C P risk M gamma h Sigma cone
# ```
#
# Weights $w \in \R^K$ are constant on blocks. As on {doc}`scalar_gates`, $\norm{w}^2$, $r^\top w$ and $w^\top R\, w$ are those of the $n$ weights of the examples; $R$ is
# the correlation matrix of the examples, $R_K$ that of the tasks. Write $\mathcal C = \{0 \le w_1 \le \dots \le w_K\}$ for the cone of weights that a
# scalar gate reaches, and $\gamma(w) = 1 + w^\top R\, w / \norm{w}^2$.
#
# For a given $P$ the risk is convex in $w$, and all that $P$ tells the weights is one number $h \ge 0$ and a sign. As the sign of $P$ is free, we
# look at weights with $\epsilon\, r^\top w > 0$, once for $\epsilon = 1$ and once for $\epsilon = -1$. A sign for which $\mathcal C$ has no such weights is left out;
# for $r \neq 0$ at least one remains. For a remaining sign let $w_{\mathcal C}(h)$ minimise
#
# $$
# w^\top (hR + I)\, w - 2 \epsilon\, r^\top w \qquad \text{over } w \in \mathcal C .
# $$
#
# ```{note}
# Weights here do not read the data, as on {doc}`scalar_gates`.
# ```
#
# With increments $z \ge 0$, $w_k = z_1 + \dots + z_k$, this is a problem of non-negative least squares:


# %%
def best_in_cone(dist, h, sign=1):
    """w_C(h): the best block weights in the cone for sign * r."""
    sizes, sums = np.diag(np.float64(dist.counts)), np.tril(np.ones((dist.K,) * 2))
    root = np.linalg.cholesky(h * sizes @ dist.R @ sizes + sizes).T
    target = np.linalg.solve(root.T, sizes @ (sign * dist.r))
    return sums @ nnls(root @ sums, target / np.linalg.norm(target))[0]


tasks = PromptDistribution(10, (20,) * 8, eight)
w = best_in_cone(tasks, h=0.1)
assert np.allclose(w / w[-1], pooled / pooled[-1])  # the picture's, up to scale


# %% [markdown]
# ## Independent tasks: isotonic regression
#
# ```{prf:proposition} Isotonic regression
# :label: prop-isotonic
#
# **For independent tasks the best non-decreasing weights pool what falls; for equal sizes, what is left of the gain is a squared cosine.**
#
# *New here.* Let $R_K = I$. Then $w_{\mathcal C}(h)$ is the weighted isotonic regression of $\epsilon\, r_k / (1 + h n_k)$ with weights $n_k (1 + h n_k)$, with negative values
# replaced by zero. It is constant on stretches of neighbouring blocks, and on a maximal stretch $J$ where it is positive
#
# $$
# w_k = \epsilon\, \frac{\sum_{l \in J} n_l\, r_l}{\sum_{l \in J} n_l (1 + h n_l)} .
# $$
#
# If the sizes are also equal and $r \neq 0$, it is up to scale the same for every $h$: the projection $\Pi(\epsilon r)$ of $\epsilon r$ onto $\mathcal C$. Then the share of
# the possible gain that the order leaves is a squared cosine,
#
# $$
# \frac{M - \min_{P,\, w \in \mathcal C} \risk}{M - \risk^\star} = \frac{\max \bigl( \norm{\Pi(r)}^2, \norm{\Pi(-r)}^2 \bigr)}{\norm{r}^2},
# $$
#
# whatever the features, the noise and the common size. For equal sizes and $r \ge 0$, $r \ne 0$, equal weights are best in $\mathcal C$, and the
# scalar gate gains nothing over linear attention, if and only if the mean of the first $k$ entries of $r$ is never below the mean of all.
# ```
#
# Isotonic regression is classical {cite}`barlow1972statistical`, and so is the string of the picture, the greatest convex minorant of the sums. What is
# new is that it gives the best that a scalar gate can do.
#
# ````{dropdown} Why it is true
# (proof-prop-isotonic)=
# ```{prf:proof}
# For $R_K = I$ the objective is $\sum_k n_k (1 + h n_k) w_k^2 - 2 \epsilon \sum_k n_k r_k w_k$. With $t_k = \epsilon\, r_k/(1 + h n_k)$ and $\nu_k = n_k (1 + h n_k)$ it is
# $\sum_k \nu_k (w_k - t_k)^2$ up to a constant: we look for the projection of $t$ onto $\mathcal C$ in the inner product
# $\langle u, u' \rangle = \sum \nu_k u_k u'_k$. Isotonic regression is the projection $\hat t$ onto $\{w_1 \le \dots \le w_K\}$.
#
# *Clipping.* A point $w$ of a closed convex cone is the projection of $t$ if and only if $\langle t - w, w \rangle = 0$ and $\langle t - w, u \rangle \le 0$ for all $u$ in the
# cone. Let $e = t - \hat t$. Then $\langle e, u \rangle \le 0$ for every non-decreasing $u$; and on each level set $S$ of $\hat t$ we have $\sum_S \nu_k e_k = 0$, as $\hat t$ moved
# up or down a little on $S$ is still non-decreasing. Take $w = \max(\hat t, 0)$, so that $t - w = e + \min(\hat t, 0)$. For $u \in \mathcal C$ both parts have a product
# with $u$ that is not positive. $\langle e, w \rangle = 0$, as $w$ is constant on level sets of $\hat t$, and $\langle \min(\hat t, 0), w \rangle = 0$. So $w$ is the projection. The
# sum of $\nu_k e_k$ over a level set being zero, $\hat t$ is there the average of $t$ with weights $\nu$, which is the formula.
#
# *Equal sizes.* If all $n_k = n/K$, then $t = \epsilon r/(1 + hn/K)$ and the weights are equal, so $w_{\mathcal C}(h) = \Pi(\epsilon r)/(1 + hn/K)$. For every $w$,
# $w^\top R\, w = (n/K) \norm{w}^2$, so $\gamma = 1 + n/K$, and the least risk over $P$ is $M - \frac{(r^\top w)^2}{\norm{w}^2}\, T(1 + n/K)$ with
# $T(\gamma) = \sum_i s_i^2/(M + \gamma s_i)$, by {prf:ref}`thm-stationary-points`. With free weights the fraction is at most $\norm{r}^2$, at $w = r$. For $w \in \mathcal C$ with
# $\epsilon\, r^\top w > 0$ we have $\epsilon\, r^\top w \le \Pi(\epsilon r)^\top w \le \norm{\Pi(\epsilon r)} \norm{w}$, so it is at most $\norm{\Pi(\epsilon r)}^2$, with equality at the multiples of
# $\Pi(\epsilon r)$ and nowhere else; where no weights have that sign $\Pi(\epsilon r) = 0$.
#
# *Nothing gained.* For $r \ge 0$, $r \neq 0$, only $\epsilon = 1$ remains. Equal weights are best if and only if $\Pi(r)$ is a multiple of $\ones$, hence of the mean
# $\bar r > 0$: if and only if $\langle r - \bar r \ones, u \rangle \le 0$ for all $u \in \mathcal C$. These $u$ are sums, with factors $\ge 0$, of the indicators of $\{k, \dots, K\}$, so this
# says that no sum of the last entries of $r - \bar r \ones$ is positive; and all of them add up to zero.
# ```
# ````
#
# For two tasks the last sentence reads $r_1 \ge r_2 \ge 0$. That is panel (d) of {numref}`fig-panels`. In code the proposition is three lines. The
# isotonic regression is SciPy's, so it is an independent judge of the solver above:


# %%
def isotonic(dist, h, sign=1):
    """Weighted isotonic regression of sign * r / (1 + h n), clipped at zero."""
    n = np.float64(dist.counts)
    t, nu = sign * dist.r / (1 + h * n), n * (1 + h * n)
    return np.maximum(isotonic_regression(t, weights=nu).x, 0.0)


# %% tags=["check", "asserts-prop-isotonic"]
rng, worst, off, tried = np.random.default_rng(0), 0.0, 0.0, 60
for _ in range(tried):
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
            worst = max(worst, np.abs(found - expected).max())

    dist = PromptDistribution(4, (5,) * K, r, Sx=np.diag([1, 0.5, 0.2, 0.1]))
    share = max((isotonic(dist, 0.0, s) ** 2).sum() for s in (1, -1)) / (r @ r)
    risks = [optimal_wpgd(dist, weights).risk for weights in ("monotone", "free")]
    gains = dist.M - np.array(risks)
    assert abs(share - gains[0] / gains[1]) < 1e-10
    off = max(off, abs(share - gains[0] / gains[1]))

    dist = PromptDistribution(4, (5,) * K, np.abs(r))
    gain = optimal_wpgd(dist, "uniform").risk - optimal_wpgd(dist, "monotone").risk
    means = np.cumsum(np.abs(r)) / np.arange(1, K + 1)
    assert (gain < 1e-12 * dist.M) == (means >= means[-1] * (1 - 1e-12)).all()
print(
    f"{tried} random prompts: the two solvers differ by {worst:.0e}, the share from "
    f"the squared cosine by {off:.0e}"
)


# %% [markdown]
# ## What each order costs
#
# Take four tasks with four relevances, in all twenty-four orders. Free weights and linear attention do not see the order. A scalar gate does:
# it pools what is out of order, and gives those tasks one weight.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-orders", "caption": "Only the increasing order reaches the optimum; some orders leave a scalar gate with nothing but linear attention. Four independent tasks of 25 examples with relevances 0.1, 0.3, 0.5, 0.7 ($d = 10$, no noise); 1 is the least relevant task, 4 the most. Left, the weights for the order 2413, written from the start of the prompt to its end: what falls, the gate pools. Right, the risk in all 24 orders, the best first."}}
def on_one_scale(dist, omega):
    """Scaled so that r^T omega is that of omega = r: P takes up the rest."""
    return omega * np.sum(dist.r**2) / (dist.r @ omega)


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
weights = {
    "weighted optimum": on_one_scale(swapped, optimal_wpgd(swapped).omega),
    "scalar gate": on_one_scale(swapped, optimal_wpgd(swapped, "monotone").omega),
}
fig, (left, ax) = plt.subplots(1, 2, figsize=(6.4, 3.2), width_ratios=(1, 1.4))
edges = np.arange(0.5, 101, 25)
left.stairs(weights["scalar gate"], edges, baseline=None, **wide)
left.stairs(weights["weighted optimum"], edges, baseline=None, **narrow)
left.set(xlabel="example, order 2413", ylabel="weight", ylim=(0, 0.92))
left.text(26, 0.73, "best\nweights")
left.text(101, 0.68, "scalar\ngate", ha="right")
ax.axhline(linear, **plotting.STYLES["linear attention"])
ax.axhline(free, **narrow)
ax.plot(
    range(1, 25),
    [cost[name] for name in names],
    "o",
    color=plotting.TASKS[3],
    markersize=6,
    markeredgecolor="0.1",
)
for name, lower in {"1234": 0.003, "2134": -0.005, "2341": 0.0}.items():
    last = max(k for k in range(24) if cost[names[k]] < cost[name] + 1e-9)
    ax.text(last + 1.7, cost[name] - lower, name, va="top")
ax.text(names.index("2413") + 1, cost["2413"] - 0.004, "2413", va="top")
ax.set(xlabel="orders, the best first", xlim=(0, 25.5))
ax.set(ylabel="risk / $d$", ylim=(0.398, 0.575))
ax.text(1, linear + 0.006, "linear attention", va="bottom")
_ = ax.text(25, free + 0.004, "optimum", ha="right", va="bottom")

# %% tags=["remove-input"]
plotting.FigureData(
    "orders",
    {"order": names, "scalar_gate": [cost[name] for name in names]},
    figure=fig,
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
# {glue:text}`orders_lost` of the 24 orders gain nothing. Exchanging two neighbours of the right order costs {glue:text}`orders_swap:.0%` of what gating is worth,
# whichever two of these four equally spaced tasks they are. Moving the least relevant task to the end costs {glue:text}`orders_late:.0%`: whatever comes last
# must weigh at least as much as anything before it.
#
# ## Break it
#
# **Tasks that are alike.** Pooling treats the tasks as independent. Let the second and the third of three equally large tasks be much alike. Their
# relevances rise, so nothing is pooled, and the weights are the relevances. For these tasks that is worse than linear attention:

# %%
R = [[1, 0, 0], [0, 1, 0.8], [0, 0.8, 1]]
alike = PromptDistribution(10, (30, 30, 30), (0.3, 0.4, 0.5), R=R)
assert np.array_equal(isotonic_regression(alike.r).x, alike.r)
choices = {"relevance": alike.r, "equal": "uniform", "scalar gate": "monotone"}
risks = {
    name: round(optimal_wpgd(alike, w).risk / 10, 4) for name, w in choices.items()
}
assert risks["relevance"] > risks["equal"] > risks["scalar gate"]
for name, risk in risks.items():
    print(f"{name:12} {risk:.4f}")

# %% [markdown]
# The second task tells what the third tells better, so it should weigh less than the first, not more.
# {doc}`sorted_relevance` finds the best weights for such tasks.
#
# ## Exercises
#
# ```{exercise} By hand: pool until nothing falls
# :label: ex-pool
#
# Three independent tasks of equal size, $r = (0.5, 0.2, 0.6)$. Which non-decreasing weights are best? Pool neighbours that are out of
# order until none is. What share of the possible gain is left, and what share does linear attention get?
# ```
#
# ```{answer} ex-pool
# asks: The three best non-decreasing weights, scaled so that the last is 0.6.
# value: by_hand
# wrong:
# - value: "[0.5, 0.5, 0.6]"
#   says: That raises the second to the first. Pooled tasks meet at their mean.
# - value: "[0.2, 0.2, 0.6]"
#   says: That lowers the first to the second. Pooled tasks meet at their mean.
# - value: "[0.2, 0.5, 0.6]"
#   says: The relevances are sorted now, but each weight belongs to its own task. Only neighbours may be pooled.
# - value: "[0.6, 0.6, 0.6]"
#   says: These are the weights of linear attention. After the first two are pooled, does anything still fall?
# minutes: 4
# level: 1
# ```
#
# ```{answer} ex-pool-share
# asks: What share of the possible gain do they leave?
# value: share(dist, "monotone")
# wrong:
# - value: share(dist, "uniform")
#   says: That is the share of linear attention, which pools all three.
# - value: by_hand @ by_hand
#   says: Divide by the square of r.
# - value: (by_hand @ by_hand / (r @ r)) ** 0.5
#   says: That is the cosine. A gain is a variance, so the share is its square.
# - value: by_hand.sum() / r.sum()
#   says: Pooling never changes a sum. The gain goes with squares.
# - above: 1
#   says: A share of the best gain is at most one.
# minutes: 4
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Pooled tasks share the mean of their relevances. The share of the gain is $\norm{\Pi(r)}^2/\norm{r}^2$; linear attention pools all three.
# ```
#
# ````{solution} ex-pool
# :class: dropdown
#
# The first two are out of order, so they share their mean, $0.35$. Then $(0.35, 0.35, 0.6)$ is in order. By {prf:ref}`prop-isotonic` the share is
# $(2 \cdot 0.35^2 + 0.6^2)/(0.5^2 + 0.2^2 + 0.6^2)$, about $0.93$. Linear attention pools all three, with mean $1.3/3$, and gets $3 (1.3/3)^2$ over
# the same, about $0.87$. The order costs about half of what gating is worth here.
#
# ```python
# def share(dist, weights):
#     best = dist.M - optimal_wpgd(dist).risk
#     return (dist.M - optimal_wpgd(dist, weights).risk) / best
#
#
# r = np.array([0.5, 0.2, 0.6])
# dist = PromptDistribution(10, (20, 20, 20), r)
# by_hand = np.array([0.35, 0.35, 0.6])
# omega = optimal_wpgd(dist, "monotone").omega
# assert np.allclose(omega, by_hand / 0.6, rtol=1e-9)
# assert np.isclose(share(dist, "monotone"), by_hand @ by_hand / (r @ r), rtol=1e-9)
# assert np.isclose(share(dist, "uniform"), 1.3**2 / 3 / (r @ r), rtol=1e-9)
# assert round(share(dist, "monotone"), 2) == 0.93
# assert round(share(dist, "uniform"), 2) == 0.87
# ```
# ````
#
# ```{exercise} Compute: the least that is left
# :label: ex-least-left
#
# Let $r \ge 0$, the $K$ tasks independent and of equal size. Show that a scalar gate keeps at least $1/K$ of the possible gain, and check it on
# random $r$ in random orders. Where is it exactly $1/K$?
# ```
#
# ```{answer} ex-least-left
# asks: Only one of K tasks is relevant. Where must it stand for a scalar gate to keep no more than one K-th?
# choices:
# - text: first
# - text: last
#   says: Then weights of zero before it rise to it, and a scalar gate keeps all.
# - text: in the middle
#   says: Weights of zero before it are possible. Only the tasks after it must be heard.
# - text: anywhere
#   says: Linear attention keeps one K-th wherever it stands. But a gate can forget what comes before it.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Equal weights lie in the cone. What do they get?
# ```
#
# ````{solution} ex-least-left
# :class: dropdown
#
# Equal weights get $(r_1 + \dots + r_K)^2/(K \norm{r}^2)$, with $\norm{r}^2 = r_1^2 + \dots + r_K^2$ here, and for $r \ge 0$ the square of the sum is at
# least the sum of the squares. It is equal if only one entry is not zero; and if that is the first, equal weights are the best in the
# cone. With tasks of unequal sizes less can be left ({prf:ref}`prop-price-of-order`).
#
# ```python
# rng, shares = np.random.default_rng(0), []
# for _ in range(50):
#     r = rng.random(4) ** 4
#     dist = PromptDistribution(5, (7,) * 4, 0.9 * r / np.linalg.norm(r))
#     gated, best = (
#         dist.M - optimal_wpgd(dist, w).risk for w in ("monotone", "free")
#     )
#     shares.append(gated / best)
# assert min(shares) > 1 / 4
# dist = PromptDistribution(5, (7,) * 4, (0.9, 0, 0, 0))
# gated, best = (dist.M - optimal_wpgd(dist, w).risk for w in ("monotone", "free"))
# assert np.isclose(gated / best, 1 / 4)
# ```
# ````
#
# ```{exercise} Explore: the worst pair of signs
# :label: ex-worst-signs
#
# Two independent tasks of equal size, $r \propto (\cos\theta, \sin\theta)$, of either sign. Plot the share that a scalar gate keeps against $\theta$. Where is it
# least, and how small does it get?
# ```
#
# ```{answer} ex-worst-signs
# asks: At which angle, in degrees between -90 and 90, is the share least?
# value: np.rad2deg(angles[np.argmin(shares)])
# within: 1
# wrong:
# - value: 0
#   says: There equal weights keep half. Where is the line still farther from the wedge?
# - value: -45
#   says: That line is at a right angle to equal weights, but only 45 degrees from the other edge of the wedge, at 90 degrees.
# - value: 67.5
#   says: That is the distance from both edges, or the middle of the wedge, where nothing is lost.
# - value: -67.5
#   says: A line has two ends. The other end of this one is near the edge at 90 degrees.
# - value: 22.5
#   says: The angle is right, the sign is not. Two tasks that both agree with the query leave at least half.
# minutes: 12
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# The cone of two weights is the wedge between the directions $45°$ and $90°$. For which $\theta$ is the line through $r$ as far as possible
# from it?
# ```
#
# ````{solution} ex-worst-signs
# :class: dropdown
#
# The wedge is $45°$ wide. A line is farthest from it half-way around the remaining $135°$: at $\theta = -22.5°$, which is $67.5°$ from either
# edge. The share is $\cos^2 67.5°$, about one seventh. There a task that agrees with the query a lot is followed by one that disagrees a little,
# $r \propto (1, -\tan 22.5°)$: the best weights subtract the second task, and a scalar gate has to choose which of the two to listen to. Both
# choices are equally poor. {doc}`price_of_order` has the worst for any number of tasks.
#
# ```python
# def share(theta):
#     dist = PromptDistribution(
#         5, (7, 7), (0.9 * np.cos(theta), 0.9 * np.sin(theta))
#     )
#     gated, best = (
#         dist.M - optimal_wpgd(dist, w).risk for w in ("monotone", "free")
#     )
#     return gated / best
#
#
# angles = np.deg2rad(np.arange(-90, 90, 2.5))
# shares = [share(theta) for theta in angles]
# assert np.isclose(np.rad2deg(angles[np.argmin(shares)]), -22.5)
# assert np.isclose(min(shares), np.cos(np.deg2rad(67.5)) ** 2)
# ```
# ````

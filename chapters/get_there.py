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
#   settles: where training comes to rest on its way, and when that is a valley
# ---

# %% [markdown]
# # Does training get there?
#
# Why do some layers from random matrices come to rest far above their line?
#
# The layers of {doc}`inside` that start with $W_q = W_k$ all arrive. Of those whose matrices are drawn apart some do not: without a gate they stop near one level, again and again. Gradient flow on $(P, \omega)$ has no such level where the optimum is unique ({prf:ref}`thm-gradient-flow`). A layer has more
# to go wrong with than $P$ and $\omega$.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-wrong-way", "caption": "Most layers from random matrices wait at the level of rank one; the one from $W_q = W_k$ does not. Loss of each step over d, averaged over the last twenty; linear attention on three tasks, six random starts (thin) and one with $W_q = W_k$ (thick). Dashed, the least risk of a step of rank one; dotted, the line."}}
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import PromptDistribution, optimal_wpgd, plotting, population_risk
from glalib.reproduce.circuit import visible
from glalib.reproduce.inside import MODELS, SETTINGS, begin
from glalib.training import Recipe, fit_many
from myst_nb import glue
from scipy.optimize import minimize

plotting.use_style()
kind = {"dtype": torch.float64}


def rank_one(dist, best):
    """The least risk of steps of rank one with the weights of this optimum."""
    agree, square, among = dist.moments(best.omega)
    s = dist.signal_spectrum[0].max()
    return dist.M - agree**2 / square * s**2 / (dist.M + (1 + among / square) * s)


three = SETTINGS["three"]
goal = optimal_wpgd(three, "uniform")
nets = [begin(three, "linear", "random", seed) for seed in range(6)]
nets.append(begin(three, "linear", "orthogonal", 6))
brief = Recipe(steps=400, batch=64, lr=0.01, token_free=True)
losses = fit_many(nets, three, brief, range(7)) / 5
fig, ax = plt.subplots(figsize=(6.4, 3.0))
steps = np.arange(1, 401)
smooth = np.array(
    [[loss[max(0, k - 20) : k].mean() for k in steps] for loss in losses]
)
for curve in smooth[:6]:
    ax.plot(steps, curve, color=plotting.TASKS[0], linewidth=1.0)
ax.plot(steps, smooth[6], color=plotting.TASKS[1], linewidth=2.4)
levels = {
    "rank one": (rank_one(three, goal) / 5, "--"),
    "the line": (goal.risk / 5, ":"),
}
for name, (level, dash) in levels.items():
    ax.hlines(level, 0, 400, color="0.2", linestyle=dash, linewidth=1.5)
    ax.text(405, level, name, va="center", color="0.2")
_ = ax.set(xlabel="step", ylabel="risk / $d$", ylim=(0.35, 1.3), xlim=(0, 470))

# %% tags=["remove-input"]
plotting.FigureData(
    "wrong_way",
    {
        "start": np.repeat(["random"] * 6 + ["orthogonal"], 400),
        "seed": np.repeat(range(7), 400),
        "step": np.tile(steps, 7),
        "loss_over_d": smooth.ravel(),
    },
    distribution=three,
    steps=400,
    batch=64,
    lr=0.01,
    rank_one=levels["rank one"][0],
    line=levels["the line"][0],
    seed="in the column",
)

# %% [markdown]
# ```{symbols}
# d n x y Z q k v psi P omega gamma R r C Sx sigma Sigma M risk f
# ```
#
# ## The wrong way round
#
# Write again $w = W_v \psi$ for what a value passes on, and $A = W_q W_k^\top$ for how a query scores a token, with parts $w_x$, $w_y$ and $A_{xx}$, $A_{xy}$ for features and label. A label can enter in two ways: through the value, next to a key that holds features, as in Eq. (9); or the wrong way round, through the key, next to a value that holds features.
#
# ```{prf:proposition} The wrong way round
# :label: prop-wrong-way-round
#
# **Where values hold no labels, or keys no features, the step inside a layer has rank one at most.**
#
# *New here.* In the setting of {prf:ref}`thm-best-layers` let $w_y = 0$ or $A_{xx} = 0$, and $\omega \ne 0$. Then $f_P = x^\top P X^\top (\omega \odot y)$ with $P = A_{xy} w_x^\top$, and with $R$ and $r$ those of the $n$ examples
#
# $$
# \begin{gathered}
# \text{risk}(f) \ge M - \frac{(r^\top \omega)^2}{\norm{\omega}^2}\, \frac{s^2}{M + \gamma s}, \\
# \gamma = 1 + \frac{\omega^\top R\, \omega}{\norm{\omega}^2},
# \end{gathered}
# $$
#
# where $s$ is the largest eigenvalue of $\Sigma$. The right-hand side is the least risk of steps of rank one at most with these weights.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-wrong-way-round)=
# ```{prf:proof}
# By {prf:ref}`thm-ceiling` $P = w_y A_{xx} + A_{xy} w_x^\top$, and $\text{risk}(f) \ge \risk(P, \omega)$. For $\Sigma_x^{1/2} P\, \Sigma_x^{1/2} = u u'^\top$ the formula of {prf:ref}`prop-population-risk` reads
# $M - 2\, r^\top \omega\, u'^\top \Sigma u + \norm{\omega}^2 \norm{u}^2\, u'^\top (M I + \gamma \Sigma) u'$. At its best scale it is $M - (r^\top \omega)^2 / \norm{\omega}^2$ times $(u'^\top \Sigma u)^2 / (\norm{u}^2\, u'^\top (M I + \gamma \Sigma) u')$. The best $u$ is $\Sigma u'$, which leaves $u'^\top \Sigma^2 u' / u'^\top (M I + \gamma \Sigma) u'$, at most the largest $s_i^2 / (M + \gamma s_i)$; this grows with $s_i$.
# ```
# ````
#
# A step of rank one learns one direction of the task and no other. That is the level in {numref}`fig-wrong-way`, and of the stored runs that did not arrive those without a gate rest there, or have begun to leave it. The others lie somewhat below it; their gates read examples, so it is no bound for them. In all, values hold more of features than of the label.

# %% tags=["check", "asserts-prop-wrong-way-round"]
# The formula against a search over all u and v: to 1e-6 of M, the search's own precision.
rng, off = np.random.default_rng(3), 0.0
for _ in range(5):
    d, K = int(rng.integers(2, 4)), int(rng.integers(1, 3))
    Sx = np.diag(rng.uniform(0.3, 2, size=d))
    dist = PromptDistribution(
        d, [4] * K, rng.uniform(0.2, 0.6, size=K), sigma=0.3, Sx=Sx
    )
    some = optimal_wpgd(dist, "uniform")
    omega = dist.expand(some.omega)

    def of(uv, dist=dist, d=d, omega=omega):
        return population_risk(dist, np.outer(uv[:d], uv[d:]), omega)

    found = min(minimize(of, rng.normal(size=2 * d) / 9).fun for _ in range(4))
    off = max(off, abs(found - rank_one(dist, some)) / dist.M)
assert off < 1e-6
# The stored runs, whose values hold labels where they arrived, more of features where not.
shares, words = {True: [], False: []}, []
for r in json.loads(Path("data/inside.json").read_text()):
    dist, excess = SETTINGS[r["setting"]], r["risk"] / r["theory"] - 1
    w, _ = visible(r["inside"], dist)
    shares[excess < 0.02].append(w[dist.d] ** 2 / (w @ w))
    if excess > 0.02:
        assert w[: dist.d] @ w[: dist.d] > w[dist.d] ** 2
        line = optimal_wpgd(dist, MODELS[r["model"]][1])
        level = rank_one(dist, line) / line.risk - 1
        words.append(
            f"{excess:+.0%} (rank one {level:+.0%}, {shares[False][-1]:.0%})"
        )
assert min(shares[True]) > 0.95
# From the best start the loss comes near the line on every machine.
assert losses[6, -50:].mean() < 1.25 * goal.risk / 5
print(
    f"rank one by search to {off:.0e}; the label's share of a value is {min(shares[True]):.1%} or more in those that arrived;"
    f" excess of the others, and that share: " + "; ".join(words)
)


# %% [markdown]
# ## Valley or saddle
#
# Is it a minimum? To leave it $w_y$ and $A_{xx}$ must grow together, and each alone costs. Which wins can be computed.
#
# ```{prf:proposition} Valley or saddle
# :label: prop-wrong-way-valley
#
# **With few features and much noise the wrong way round is a local minimum; in long prompts it is a saddle.**
#
# *New here.* Take linear attention without context whose query does not write, $C = I$, $\Sigma = \Sigma_x$ with eigenvalues $s_1 > s_2 \ge \dots \ge s_d > 0$, and $\ones^\top r \ne 0$. Let $R$ be that of the $n$ examples, $\gamma = 1 + \ones^\top R \ones / n$, $\eta = \norm{R}_F^2 / n^2$, and
#
# $$
# \begin{aligned}
# \theta &= \frac{s_1^2}{(M + \gamma s_1)^2} \Bigl[ \bigl(1 + \tfrac2n\bigr) M^2 \\
# &\quad {} + 2 \bigl(\eta + \tfrac2n\bigr) \tr \Sigma^2 - \frac{(n M + 2 s_1)^2}{n (n+2)} \Bigr], \\
# \tau &= \frac{s_2^2 + \dots + s_d^2}{n} .
# \end{aligned}
# $$
#
# Where $w_y = 0$, $A_{xx} = 0$ and $A_{xy} w_x^\top$ is a best step of rank one, the risk as a function of $w$ and $A$ is stationary. If $\theta > \tau$ this is a local minimum, strict up to the scale of $w$ against $A$. If $\theta < \tau$ it is a strict saddle, with one direction down. As prompts grow, tasks in fixed shares, $\theta/\tau$ tends to zero; as $\sigma \to \infty$ it tends to $\frac{4 n + 4}{n + 2}\, s_1^2 / (s_2^2 + \dots + s_d^2)$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-wrong-way-valley)=
# ```{prf:proof}
# In the basis of eigenvectors, and at a suitable scale, $w_x = e_1$ and $A_{xy} = c\, e_1$; as outputs are divided by $n$, $f_P = c\, x_1\, \frac1n \sum_i y_i x_{i1}$ with $c = \bar r n / (M + \gamma s_1)$, $\bar r = \ones^\top r / n$.
#
# *Two blocks.* To first order a change of $(w_x, A_{xy})$ changes $f$ by terms odd in $y$, one of $(w_y, A_{xx})$ by terms even in $y$. The residual $y_{n+1} - f_P$ is odd. So the derivative in the second block is zero, and the blocks do not mix in the second derivative. In the first block $f = f_P$, of rank one, with the risk of the proof above: for given $u'$ it is a positive definite quadratic in $u$, and what the best $u$ leaves is a Rayleigh quotient whose largest value is simple, as $s_1 > s_2$. So no direction leads down, and none is flat but the scale.
#
# *The second block.* Change $w_y$ by $\epsilon$ and $A_{xx}$ by $E$. The risk changes, to second order, by $\E (\delta f)^2 - 2\, \E[(y_{n+1} - f_P)\, \epsilon\, \tfrac1n \sum_i y_i\, x^\top E x_i]$ with
#
# $$
# n\, \delta f = \epsilon\, c\, x_1 \sum_i y_i^2 + \sum_i x_{i1}\, x^\top E x_i .
# $$
#
# Flips of single coordinates of features, tasks and query leave the law as it is, so $\epsilon$ meets only the diagonal of $E$, whose entries do not meet one another; all other entries cost something and gain nothing. By moments of Gaussian variables the coefficients are, with $V = \E (\sum y_i^2)^2 / n^2 = (1 + \frac2n) M^2 + 2 (\eta + \frac2n) \tr \Sigma^2$,
#
# $$
# \epsilon^2 c^2 s_1 V, \quad E_{11}^2\, s_1^3 \tfrac{n+2}{n}, \quad E_{ll}^2\, \tfrac{s_1 s_l^2}{n}, \quad 2\, \epsilon E_{11}\, c\, s_1^2 \bigl(M + \tfrac{2 s_1}{n}\bigr), \quad -2\, \epsilon E_{ll}\, \bar r s_l^2 \quad (l \ge 2) .
# $$
#
# (The gain of $E_{11}$ is zero because $c$ is best.) The cost of $E$ alone is positive definite. For given $\epsilon$ the best $E$ leaves $\epsilon^2$ times
# $c^2 s_1 \bigl( V - \frac{(n M + 2 s_1)^2}{n (n+2)} \bigr) - \frac{\bar r^2 n^2}{s_1}\, \tau = \frac{\bar r^2 n^2}{s_1} (\theta - \tau)$.
#
# If $\theta > \tau$ the second derivative is positive but along the scale, which changes nothing; so the minimum is strict up to it. If $\theta < \tau$ one eigenvalue is negative. Since $(\ones^\top r)^2 \le \ones^\top R \ones$, $\gamma$ grows as $n$ if tasks keep their shares, and the bracket is bounded: $\theta$ is of the order of $n^{-2}$, $\tau$ of $n^{-1}$. In the limit of large $M$ the bracket is $M^2 (\frac2n + \frac2{n+2})$.
# ```
# ````
#
# A local minimum in $w$ and $A$ is one in $W_q$, $W_k$ and $W_v$. So the landscape of a layer has valleys that the landscape of $(P, \omega)$ does not have: even without a gate, and where the minimiser of {prf:ref}`thm-uniqueness` is unique. The query's own write changes $\theta$ and $\tau$ by a share of order $1/n$ (the check has the formulas). With it $\theta / \tau$ is {glue:text}`ratio_two` and {glue:text}`ratio_three` in the two settings of {doc}`inside` without a gate: saddles both. (In the first all $s_l$ are equal: any direction can take the place of $e_1$, and the way down is the same.) The second is nearer to a valley, and all six layers that did not arrive are there. Does training come here because the label is loud? Its
# root mean square $\sqrt M$ is larger than any feature's, so in random matrices its column of $A$ stands out ({numref}`fig-scores-learned`). But in the first setting it is louder still, and all arrived.


# %% tags=["check", "asserts-prop-wrong-way-valley"]
def sides(dist, own=False):
    """theta and tau; features are independent, the largest variance first. own: the query writes, too."""
    s, n, M = np.diag(dist.Sx), dist.n, dist.M
    R = dist.R[np.ix_(dist.task_index, dist.task_index)]
    gamma, eta, square = 1 + R.sum() / n, (R**2).sum() / n**2, (s**2).sum()
    V = (1 + 2 / n) * M**2 + 2 * (eta + 2 / n) * square
    front, ones = (s[0] / (M + gamma * s[0])) ** 2, np.ones(len(s) - 1)
    if not own:
        return front * (V - (n * M + 2 * s[0]) ** 2 / (n * (n + 2))), (
            s[1:] ** 2
        ).sum() / n
    away = ((n + 3) * M + 2 * s[0]) ** 2 / ((n + 3) * (n + 5))
    u = s[1:] - 2 * s[0] * (M - s[0]) / ((M + gamma * s[0]) * (n + 5)) * ones
    cost = (n + 2) * np.diag(ones) + 2 / (n + 5) * np.outer(ones, ones)
    return front * (V - away), u @ np.linalg.solve(cost, u)


def exact(dist, own):
    """Gradient, theta - tau and all curvatures, of one task; exact: degree six in the query, four in all else."""
    d, n, s = dist.d, dist.n, torch.tensor(np.diag(dist.Sx))
    one, three, four = map(np.polynomial.hermite_e.hermegauss, (1, 3, 4))
    rules = [three] * (n * d + d) + [three if dist.sigma else one] * n + [four] * d
    points = torch.cartesian_prod(*[torch.tensor(at) for at, _ in rules])
    mass = torch.cartesian_prod(*[torch.tensor(m / m.sum()) for _, m in rules])
    mass = mass.prod(1)
    x, beta, e, q = points.split([n * d, d, n, d], 1)
    x, q = x.reshape(-1, n, d) * s.sqrt(), q * s.sqrt()
    y = (x * beta[:, None]).sum(2) + dist.sigma * e
    z, r = torch.cat([x, y[..., None]], 2), dist.r[0]
    c = r * n / (dist.M + (1 + n) * s[0])
    here = torch.zeros((d + 1) ** 2, **kind)  # w, then A by rows
    here[0], here[2 * d + 1] = 1.0, c

    def risk(v):
        w, A = v[: d + 1], v[d + 1 :].reshape(d, d + 1)
        f = ((z @ w) * torch.einsum("ba,ac,bic->bi", q, A, z)).sum(1)
        f = f + own * (q @ w[:d]) * torch.einsum("ba,ac,bc->b", q, A[:, :d], q)
        return (mass * (r * (q * beta).sum(1) - f / n) ** 2).sum()

    gradient = torch.autograd.functional.jacobian(risk, here)
    H = torch.autograd.functional.hessian(risk, here)
    block = torch.tensor(
        [(d + 1) * (1 + a) + b for a in range(d) for b in range(d)]
    )
    left = H[d, d] - H[d, block] @ torch.linalg.solve(
        H[block][:, block], H[block, d]
    )
    difference = (left * s[0] / (2 * r**2 * n**2)).item()
    return gradient.abs().max().item(), difference, torch.linalg.eigvalsh(H)


off, down = 0.0, []
for n, sigma, own in ((1, 0, False), (2, 2, False), (2, 2, True), (3, 0, False)):
    dist = PromptDistribution(2, (n,), (0.7,), sigma=sigma, Sx=np.diag([1.0, 0.9]))
    theta, tau = sides(dist, own)
    slope, difference, curvatures = exact(dist, own)
    off = max(off, slope, abs(difference - (theta - tau)))
    # Flat along the scale and nowhere else; one direction down, or none.
    down.append((curvatures < -1e-4).sum().item())
    assert (curvatures.abs() < 1e-9).sum() == 1 == (curvatures.abs() < 1e-4).sum()
    assert down[-1] == (theta < tau)
assert off < 1e-10  # sums of a hundred thousand products
assert down == [0, 0, 0, 1]
ratios = {
    setting: np.divide(*sides(dist, own=True)) for setting, dist in SETTINGS.items()
}
assert max(ratios.values()) < 1
for setting, ratio in ratios.items():
    glue(f"ratio_{setting}", f"{ratio:.2f}", display=False)
noisy = PromptDistribution(
    3, (10, 10), (0.2, 0.8), sigma=6.0, Sx=np.diag([1, 0.7, 0.7])
)
valley = np.divide(*sides(noisy, own=True))
assert np.allclose([valley, np.divide(*sides(noisy))], [2.905, 2.316], rtol=0.01)
loud = np.divide(*sides(noisy.replace(sigma=1e4)))  # the limit of much noise
assert np.isclose(loud, (4 * 20 + 4) / (20 + 2) / (2 * 0.7**2), rtol=1e-5)
print(
    f"stationary, and theta - tau from second derivatives, to {off:.0e}; theta/tau in the two settings {ratios['two']:.2f},"
    f" {ratios['three']:.2f}; with 20 examples, three features and much noise {valley:.1f}: a valley"
)

# %% [markdown]
# ## Break it
#
# **Close the way.** Let the values of a random start hold no features, and its keys no label: $w_x = 0$, $A_{xy} = 0$, as in Eq. (9). In the population's flow they stay so, as flips show; in training noise moves them a little. What remains random, $A_{xx}$ and $w_y$, does little harm.

# %%
closed = [begin(three, "linear", "random", seed) for seed in range(6)]
with torch.no_grad():
    for net in closed:
        net.layers[0].W_k[5] = 0  # the label
        net.layers[0].W_v[:5] = 0  # the features
ends = fit_many(closed, three, brief, range(6))[:, -50:].mean(1)

# %% tags=["check"]
# Far below the level of rank one; where exactly differs between machines.
assert np.median(ends) < 0.9 * rank_one(three, goal)
opened = losses[:6, -50:].mean(1) * 5
print(
    "loss over the line at the end, way closed: "
    + ", ".join(f"{x / goal.risk:.2f}" for x in ends)
    + "; open: "
    + ", ".join(f"{x / goal.risk:.2f}" for x in opened)
)

# %% [markdown]
# What this page does not show: which random starts fall in, how long training waits at the saddle, and whether gates add levels of their own. The runs are few, with one optimiser and one schedule; {doc}`starts` counts many more.
#
# ## Exercises
#
# ```{exercise} By hand: how many features?
# :label: ex-valley-features
#
# Let all $s_l$ be nearly one and the noise huge. For how many features is the wrong way round a valley, with one example, and in long prompts?
# ```
#
# ```{answer} ex-valley-features
# asks: Up to how many features is it a valley, with one example, and in long prompts?
# value: "[3, 4]"
# within: 0.1
# wrong:
# - value: "[2, 3]"
#   says: That is d - 1, the features other than the first.
# - value: "[3, 5]"
#   says: In long prompts the ratio comes near four from below. So d - 1 has to be less than its limit allows, not equal.
# - value: "[8 / 3 + 1, 5]"
#   says: A number of features is whole, and d - 1 is below its limit.
# - value: "[2, 4]"
#   says: With one example the numerator of the ratio is 8/3. Which d - 1 is below it?
# - value: "[4, 5]"
#   says: The ratio must be above one, so d - 1 is below its numerator, not rounded up from it.
# minutes: 4
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The limit of $\theta / \tau$ is $\frac{4n + 4}{n + 2} / (d - 1)$.
# ```
#
# ````{solution} ex-valley-features
# :class: dropdown
#
# The ratio must be above one: $d - 1 < (4 n + 4)/(n + 2)$. For $n = 1$ this is $d - 1 < 8/3$, three features at most; for long prompts $d - 1 < 4$, four features, and with noise that grows faster than the prompt.
# ````
#
# ```{exercise} Compute: how long a prompt opens the valley?
# :label: ex-valley-opens
#
# In the noisy case of the check, three features, the prompt grows, half of it for each task. From which length on is the wrong way round a saddle?
# ```
#
# ```{answer} ex-valley-opens
# asks: From how many examples of each task on is it a saddle?
# value: first
# within: 0.1
# wrong:
# - value: first - 1
#   says: There it is a valley still, the last one.
# - value: 2 * first
#   says: That is the whole prompt. The examples of each of the two tasks are asked for.
# - value: 20
#   says: That is the prompt of the check, where it is a valley.
# - value: int(np.argmax([r < 2 for r in ratios_by_length])) + 1
#   says: There the ratio is two. The wrong way round turns to a saddle at one.
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `sides` for counts $(m, m)$.
# ```
#
# ````{solution} ex-valley-opens
# :class: dropdown
#
# With $n$ the task's part of the label adds up, $\gamma$ grows with $n$, and $\theta$ falls faster than $\tau$. The first length is found by trying: 38 examples of each.
#
# ```python
# def ratio(m):
#     long = PromptDistribution(3, (m, m), (0.2, 0.8), sigma=6.0, Sx=noisy.Sx)
#     return np.divide(*sides(long))
#
#
# ratios_by_length = np.array([ratio(m) for m in range(1, 400)])
# first = int(np.argmax(ratios_by_length < 1)) + 1
# assert first == 38 and (ratios_by_length[first:] < 1).all()
# ```
# ````
#
# ```{exercise} Explore: a quieter label
# :label: ex-quiet-label
#
# Divide the label's row of $W_k$ by ten at the start, and leave all else random. How many of six layers arrive in the same number of steps?
# ```
#
# ```{answer} ex-quiet-label
# asks: How many layers arrive if the label is quieter, as a rule?
# choices:
# - text: more than with the loud label
# - text: as many as with the loud label
#   says: With a quiet label the keys are of features from the start. Does this not help them on their way?
# - text: fewer than with the loud label
#   says: A quiet label is one that scores hardly hear. Which of the two ways round does that favour?
# minutes: 10
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# As in the cell that closes the way, with `net.layers[0].W_k[5] /= 10`.
# ```
#
# ````{solution} ex-quiet-label
# :class: dropdown
#
# More than with the loud label, as a rule; how many depends on the seeds. A label in units of its root mean square does part of this.
#
# ```python
# quiet = [begin(three, "linear", "random", seed) for seed in range(6)]
# with torch.no_grad():
#     for net in quiet:
#         net.layers[0].W_k[5] /= 10
# ends = fit_many(quiet, three, brief, range(6))[:, -50:].mean(1)
# assert ends.min() < 0.9 * rank_one(three, goal)
# ```
# ````

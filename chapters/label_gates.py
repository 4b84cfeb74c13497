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
#   settles: why a gate that reads labels passes below the line, how far, and how it
#     fades
# ---

# %% [markdown]
# # Gates that read the labels
#
# A trained layer whose gate reads labels passes below the line of the best weights: why, and how far can it go?
#
# The line is the optimum over weights that are fixed before the prompt comes. Labels are known only with the prompt, and they tell something: how
# large the task is. If a block's labels are large, its task is long, one label carries more of it, and the block needs less weight.
#
# How much is that worth? Without features one can read no more than a sum of squares, and there is a formula for the best use of it.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-label-energy", "caption": "Large labels ask for smaller weights, and what that gains fades with the dimension. Left, the best weight of a task over the best fixed weight, against the energy $S$ of its labels over the mean energy; the middle 98 per cent of prompts, $n = 4d$ examples of one task. Right, what labels gain, in per cent of the least risk of fixed weights, for two tasks of $4d$ examples, $r = (0.2, 0.8)$: at best (line, and dotted its limit), by the best sigmoid gate that reads labels (circles), and by a layer trained on this page (triangle)."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import GLA, PromptDistribution, optimal_wpgd, plotting, simulate_risk
from glalib.label_energy import (
    best_sigmoid,
    block_sums,
    count_hat,
    energies,
    gain,
    nodes,
)
from glalib.layout import DELIMITED
from glalib.reproduce import start
from glalib.training import Recipe, fit

plotting.use_style()

small = PromptDistribution(d=5, counts=(20, 20), r=(0.2, 0.8))
line = optimal_wpgd(small).risk
free = start(small, "gla", seed=0)
fit(free, small, Recipe(steps=300, batch=256, lr=0.02), tokens=DELIMITED)
trained = simulate_risk(
    free,
    small,
    draws=20_000,
    queries=32,
    generator=torch.Generator().manual_seed(2),
    tokens=DELIMITED,
    against=optimal_wpgd(small),
)

fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2))
record = {"curve": [], "x": [], "y": []}
for k, d in enumerate((2, 10, 50)):
    n = 4 * d
    rng = np.random.default_rng(0)
    S = rng.chisquare(n, 100_000) * rng.chisquare(d, 100_000)
    S = np.geomspace(*np.quantile(S, [0.01, 0.99]), 60)
    ratio = (n + d + 1) / (count_hat(S, n, d) + d - 1)
    left.plot(S / (n * d), ratio, color=plotting.TASKS[k], ls=("-", "--", "-.")[k])
    place = S[0] / (n * d) * (1, 0.9, 0.9)[k], ratio[0] - (0.07, -0.02, 0.05)[k]
    side = ("left", "right", "right")[k]
    left.text(*place, f"$d = {d}$", ha=side, va="center")
    record["curve"] += [f"weight d={d}"] * 60
    record["x"] += list(S / (n * d))
    record["y"] += list(ratio)
left.axhline(1, color="0.5", lw=1)
left.set(
    xlabel="energy / mean energy", ylabel="weight / fixed weight", xscale="log"
)
left.set_xticks([0.05, 0.2, 1, 4], ["0.05", "0.2", "1", "4"])
left.set_xticks([], minor=True)
dims, share = (2, 5, 10, 20, 40, 80), 0.04 + 0.64
lines = {d: d * (1 - share * 4 * d / (5 * d + 1)) for d in dims}
best = [100 * share * gain(4 * d, d) / lines[d] for d in dims]
limit = [100 * share * 2 * 16 / 5**4 / lines[d] for d in dims]
sigmoids = {d: best_sigmoid(d, (4 * d, 4 * d), (0.2, 0.8)) for d in dims[1:4]}
dots = [100 * (1 - sigmoids[d][0] / lines[d]) for d in sigmoids]
right.loglog(dims, best, color=plotting.TASKS[1], lw=2.4)
right.loglog(dims, limit, ":", color="0.3", lw=1.4)
right.loglog(list(sigmoids), dots, "o", color=plotting.TASKS[0])
right.plot(5, 100 * (1 - trained.risk / line), "^", color=plotting.TASKS[2], ms=8)
right.text(6, 1.9, "labels at best", color=plotting.TASKS[1])
below = {"color": plotting.TASKS[2], "ha": "center", "va": "top"}
right.text(5, 82 * (1 - trained.risk / line), "trained", **below)
right.text(12, 0.105, "sigmoid gate", ha="right", color=plotting.TASKS[0])
right.set(xlabel="$d$", ylabel="gain, per cent of the risk")
right.set_xticks(dims, map(str, dims))
right.set_xticks([], minor=True)
right.set_yticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
_ = right.set_yticks([], minor=True)
trained_gain = [100 * (1 - trained.risk / line)]
for name, xs, ys in (
    ("trained", [5], trained_gain),
    ("best", dims, best),
    ("limit", dims, limit),
    ("sigmoid", sigmoids, dots),
):
    record["curve"] += [name] * len(ys)
    record["x"] += list(xs)
    record["y"] += list(ys)

# %% tags=["remove-input"]
plotting.FigureData(
    "label_energy", record, n="4d", r="0.2, 0.8", noise=0, seed="training 0, test 2"
)


# %% [markdown]
# ```{symbols}
# x y x_query beta beta_query r R C Sx sigma M P omega G q v psi d counts W f B
# ```
#
# ## The most that labels can tell
#
# Let $\Sigma_x = C = I$ on this page, with labels $y$ of all examples, and write $S_k = \sum y_i^2$ over block $k$ for its *label energy*. A weighted step
# whose weights read labels is of the form $x^\top \sum_i B_i(y)\, x_i$ with $B_i(y) = \omega_i(y)\, y_i P$. We allow any matrices $B_i(y) \in \R^{d \times d}$ that are functions of all labels.
#
# ```{prf:theorem} The label-energy optimum
# :label: thm-label-energy
#
# **Of all the labels only their energy matters, and weights inside a block stay equal.**
#
# *New here.* Let $\Sigma_x = C = I$; any $R$, $r$, $\sigma \ge 0$. Among all predictors $f = x^\top \sum_i B_i(y)\, x_i$ with $\E f^2 < \infty$, the risk is least for
# $B_i = \omega_k y_i I$ for $i$ in block $k$, where $\omega_1, \dots, \omega_K$ are functions of $S_1, \dots, S_K$ alone. If $d \ge 2$ or $\sigma > 0$ no other $B_i$ are as good.
#
# For independent tasks, with $t_k = \norm{\beta_k}^2 + \sigma^2$, $\tau_k = \E[t_k^{-1} \mid S_k]$ and $\tau_k' = \E[t_k^{-2} \mid S_k]$,
#
# $$
# \omega_k = \frac{r_k\, (1 - \sigma^2 \tau_k)}{(\tau_k - \sigma^2 \tau_k')\, S_k + d - 1 + \sigma^2 \tau_k}.
# $$
#
# and the risk is $M - \sum_k r_k\, \E [ (1 - \sigma^2 \tau_k)\, S_k\, \omega_k ]$.
#
# Without noise, with $\hat n_k = \E[S_k / \norm{\beta_k}^2 \mid S_k]$ and modified Bessel functions $\mathrm{K}_\nu$ (subscript: the order),
#
# $$
# \begin{gathered}
# \omega_k = \frac{r_k}{\hat n_k + d - 1}, \qquad \nu = \frac{n_k - d}{2}, \\
# \hat n_k = \sqrt{S_k}\; \frac{\mathrm{K}_{\nu+1}(\sqrt{S_k})}{\mathrm{K}_\nu(\sqrt{S_k})} .
# \end{gathered}
# $$
#
# Then $\hat n_k$ increases strictly with $S_k$; so if $r \ne 0$ the risk is below that of the best fixed weights, $\omega_k = r_k / (n_k + d + 1)$.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-label-energy)=
# ```{prf:proof}
# *A regression, given the labels.* The query's features and noise are independent of the rest, so with $u = \sum_i B_i(y) x_i$ the risk is $\sigma^2 + \E \norm{\beta - u}^2$. Given $y$ we regress $\beta$ on the $x_i$:
# the $B_i$ are best, for almost every $y$, if and only if
#
# $$
# \sum_i B_i\, \E[x_i x_j^\top \mid y] = \E[\beta x_j^\top \mid y] \qquad \text{for all } j.
# $$
#
# *Rotations.* Turn all features and all tasks by one orthogonal matrix. The joint law and all labels stay. So the conditional moments commute with every orthogonal matrix and are multiples of $I$; their traces are enough.
#
# *The moments.* Given tasks and labels the $x_j$ are independent. For $j$ in block $k$, $x_j$ is Gaussian with mean $\beta_k y_j / t_k$ and covariance $I - \beta_k \beta_k^\top / t_k$, as $(x_j, y_j)$ is jointly Gaussian given $\beta_k$. So for $i$ in block $l$
#
# $$
# \E[x_i^\top x_j \mid y] = y_i y_j\, T_{lk} + \delta_{ij}\, e_k, \qquad \E[\beta^\top x_j \mid y] = y_j\, c_k,
# $$
#
# $$
# \begin{gathered}
# T_{lk} = \E \Bigl[ \frac{\beta_l^\top \beta_k}{t_l t_k} \Big| y \Bigr], \qquad c_k = \E \Bigl[ \frac{\beta^\top \beta_k}{t_k} \Big| y \Bigr], \\
# e_k = d - \E \Bigl[ \frac{\norm{\beta_k}^2}{t_k} \Big| y \Bigr] = d - 1 + \sigma^2 \tau_k .
# \end{gathered}
# $$
#
# Given the tasks the labels are independent with variances $t_k$, so the law of the tasks given $y$ has the density $\prod_k t_k^{-n_k/2} e^{-S_k / (2 t_k)}$ with respect to their own law, up to a factor. It reads $y$ through $S_1, \dots, S_K$ alone, and so do $T$, $e$ and $c$. (With probability one all $S_k > 0$, and then these are finite.)
#
# *Equal weights solve it.* Put $B_i = \omega_l y_i I$ for $i$ in block $l$. Both sides have a factor $y_j$, and what is left is one equation for each block:
# $\sum_l T_{kl} S_l\, \omega_l + e_k \omega_k = c_k$. It has a solution: if $e_k > 0$, as $T + \operatorname{diag}(e_k / S_k)$ is positive definite. Else $d = 1$ and $\sigma = 0$, $T = \E[z z^\top \mid y]$ and
# $c = \E[\beta z \mid y]$ with $z_k = 1/\beta_k$, and $c$ lies in the range of $T$. So these $B_i$ are best. The matrix of the $\E[x_i^\top x_j \mid y]$ is positive definite if all $e_k > 0$, that is if $d \ge 2$ or $\sigma > 0$; then nothing else is as good. $u$ is a conditional projection, so
# $\E \norm{u}^2 \le \E \norm{\beta}^2$ is finite. The risk is $M - \E\, \beta^\top u = M - \E \sum_k c_k S_k \omega_k$.
#
# *Independent tasks.* Given $y$ they stay independent, and each is as likely as its negative. So $T_{kl} = 0$ for $k \ne l$, $T_{kk} = \E[\norm{\beta_k}^2 t_k^{-2} \mid y] = \tau_k - \sigma^2 \tau_k'$, and $c_k = r_k\, \E[\norm{\beta_k}^2 / t_k \mid y] = r_k (1 - \sigma^2 \tau_k)$.
#
# *Without noise* $\hat n_k = \tau_k S_k$. Drop the index $k$. With $V = S / \norm{\beta}^2$, which is chi-squared with $n$ degrees of freedom and independent of $\norm{\beta}^2$, the law of $V$ given $S$ has a density proportional to
# $V^{\nu - 1} e^{-V/2 - S/(2V)}$, a generalised inverse Gaussian law. As $\int_0^\infty V^{\nu-1} e^{-V/2 - S/(2V)} dV = 2 S^{\nu/2} \mathrm{K}_\nu(\sqrt S)$, its mean is the formula. In $S$ the density has an increasing likelihood ratio: the factor $e^{-S/(2V)}$ turns towards larger $V$ as $S$ grows. So $\hat n$ increases strictly.
#
# If $d \ge 2$ the best $B_i$ are unique and $\omega_k$ with $r_k \ne 0$ is not constant, so fixed weights do worse. If $d = 1$ the best ones are those with $\sum_{i} y_i B_i = r_k \hat n_k^{-1} S_k$ on each block (there $T$ is diagonal); constant weights would make $\hat n_k$ constant. The best fixed weights are those of {prf:ref}`cor-optimal-weights`.
# ```
# ````
#
# So inside a block no weights need to differ, no single label counts, and $P$ may stay the identity. What labels tell is only the length of the task: $\hat n_k$ is the number of examples, as judged from their energy.
# Knowing the length itself would not help: given $\norm{\beta_k}$ the labels' energy is known up to chance, and the best weights are the fixed ones. It is chance in the energy that is taken off.
#
# No layer does better whose gates read labels and no features of examples, whatever its values and keys:
#
# ```{prf:proposition} A ceiling for gates that read labels
# :label: prop-label-ceiling
#
# **No layer whose gates read labels, and no features, passes below the label-energy optimum.**
#
# *New here.* Let $\Sigma_x = C = I$. Take one layer of gated linear attention, any $W_q$, $W_k$, $W_v$, any read-out, several heads, a residual stream, delimiters or not. Let its gates be any functions of the labels, of
# context and position and of randomness of their own, the query's gate also of $x$; but no function of $x_1, \dots, x_n$. If $\E f^2 < \infty$, its prediction $f$ has a part $\bar f = x^\top \sum_i B_i(y)\, x_i$, with $B_i$ that may depend on that randomness, such that
#
# $$
# \E\,(y_{n+1} - f)^2 = \E\,(y_{n+1} - \bar f)^2 + \E\,(f - \bar f)^2 .
# $$
#
# So its risk (infinite if $\E f^2$ is) is at least that of {prf:ref}`thm-label-energy`. The same holds if features and labels stand in tokens of their own.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-label-ceiling)=
# ```{prf:proof}
# Fix the gates' own randomness. $f$ is a sum over tokens $i$ of $\psi^\top (\Pi_i \odot v_i k_i^\top) q$, where $\Pi_i$ is a product of gates: a function of $y$ and $x$. Values and keys are affine in their token. So given $y$ and $x$, $f$ is a sum of terms of degree at most two in one $x_i$ each.
#
# *Features change sign, with all tasks.* Labels stay, noise as it is, and so does the law. $x^\top \beta$ changes its sign. Let $f^-$ be the part of $f$ that is odd in $(x_1, \dots, x_n)$ for given $y$, $x$, and $f^+$ the even one. Then $\E[y_{n+1} f^+] = 0$ and $\E[f^+ f^-] = 0$.
# By the above $f^- = \sum_i \theta_i(y, x)^\top x_i$.
#
# *The linear part in $x$.* Let $B_i(y)^\top = \E_x[\theta_i(y, x)\, x^\top]$ and $\bar f = x^\top \sum_i B_i x_i$. Given all but $x$, $\bar f$ is the projection of $f^-$ on linear functions of $x$, so $f^- - \bar f$ is orthogonal to $\bar f$ and to $x^\top \beta$.
#
# Altogether $f - \bar f$ is orthogonal to $\bar f$ and to $y_{n+1}$. A residual stream adds a function of $x$, which is even in the $x_i$. Feature tokens and label tokens each add terms of the same kinds.
# ```
# ````


# %% tags=["check", "asserts-thm-label-energy"]
def label_weights(S, n, d, r=1.0):
    """The best weights of an independent block of n examples, without noise."""
    return r / (count_hat(S, n, d) + d - 1)


def noisy_label_weights(S, n, d, sigma, r=1.0):
    """The same, with noise, and c = 1 - sigma^2 tau: means over |beta|^2 given S."""
    s, prior = nodes(d)
    t = s + sigma**2
    log = np.log(prior) - n / 2 * np.log(t) - np.asarray(S)[..., None] / (2 * t)
    law = np.exp(log - log.max(-1, keepdims=True))
    law /= law.sum(-1, keepdims=True)
    tau, tau2 = law @ (1 / t), law @ (1 / t**2)
    c = r * (1 - sigma**2 * tau)
    return c / ((tau - sigma**2 * tau2) * S + d - 1 + sigma**2 * tau), c


# Bessel functions against sums over lengths, whose nodes are good to 1e-8.
off = 0.0
for n, d in (
    (1, 1),
    (3, 1),
    (1, 4),
    (5, 5),
    (50, 10),
    (20, 60),
    (200, 10),
    (7, 300),
):
    S = n * d * np.geomspace(0.4, 2.5, 9)
    exact, (summed, c) = label_weights(S, n, d), noisy_label_weights(S, n, d, 0.0)
    off = max(off, np.abs(summed / exact - 1).max())
    assert (np.diff(count_hat(S, n, d)) > 0).all() and (c == 1).all()
assert off < 1e-8

# With noise against the regression given three labels, solved without any structure.
labels, d, sigma = np.array([0.4, -1.1, 1.9]), 3, 1.2
s, law = nodes(d)
t = s + sigma**2
law = law * t**-1.5 * np.exp(-(labels @ labels) / (2 * t))
law /= law.sum()
gram = np.outer(labels, labels) * (law @ (s / t**2))
gram += (d - law @ (s / t)) * np.eye(3)
ours, _ = noisy_label_weights(labels @ labels, 3, d, sigma)
assert np.allclose(np.linalg.solve(gram, law @ (s / t) * labels), ours * labels)


def energy_risk(d, counts, r):
    """M - sum r_k^2 E[S / (n_hat + d - 1)], by quadrature."""
    means = [
        (w * S * label_weights(S, n, d)).sum()
        for n in counts
        for S, w in [energies(n, d)]
    ]
    return d - np.square(r) @ means


# By Monte Carlo: the risk, and the residual against five other uses of the labels. Ten
# comparisons at four standard errors; what the best fixed weights leave is seen at once.
rng, draws, seen, others = np.random.default_rng(1), 30_000, [], []
for sigma in (0.0, 1.0):
    d, counts, r = 3, (4, 2), np.array([0.7, 0.5])
    index = np.repeat([0, 1], counts)
    beta = rng.normal(size=(draws, 2, d))
    query = beta.transpose(0, 2, 1) @ r + np.sqrt(1 - r @ r) * rng.normal(
        size=(draws, d)
    )
    x = rng.normal(size=(draws, 6, d))
    y = (x * beta[:, index]).sum(2) + sigma * rng.normal(size=(draws, 6))
    S = np.stack([(y[:, index == k] ** 2).sum(1) for k in (0, 1)], 1)
    pieces = [
        noisy_label_weights(S[:, k], counts[k], d, sigma, r[k]) for k in (0, 1)
    ]
    omega = np.stack([w for w, _ in pieces], 1)[:, index]
    v = ((omega * y)[..., None] * x).sum(1)
    told = sum(c * S[:, k] * w for k, (w, c) in enumerate(pieces))
    difference = ((query - v) ** 2).sum(1) - (d - told)
    seen.append(difference.mean() / (difference.std() / draws**0.5))
    fixed = r / (np.array(counts) + d + 1 + sigma**2)
    for use in (
        np.sin(y),
        y**3,
        y * y[:, ::-1] ** 2,
        omega * y * (np.arange(6) < 2),
        y / (1 + y**2),
    ):
        moved = (use[..., None] * x).sum(1)
        for resid, scores in (
            (query - v, seen),
            (query - ((fixed[index] * y)[..., None] * x).sum(1), others),
        ):
            z = (resid * moved).sum(1)
            scores.append(z.mean() / (z.std() / draws**0.5))
assert np.abs(seen).max() < 4 < np.abs(others).max()
print(
    f"Bessel functions to {off:.0e}; 12 Monte-Carlo comparisons within {np.abs(seen).max():.1f} standard errors "
    f"(fixed weights fail by {np.abs(others).max():.0f}); d = 10, 50 + 50 examples: {energy_risk(10, (50, 50), (0.2, 0.8)) / 10:.5f}"
)

# %% tags=["check", "asserts-prop-label-ceiling"]
# The symmetries of the proof, without sampling error: with labels given, features change
# sign, or are scaled, and the gates do not notice.
generator = torch.Generator().manual_seed(0)
dist = PromptDistribution(3, (3, 2), (0.5, 0.7), sigma=0.4)
p = dist.sample(50, generator, dtype=torch.float64)


def tokens_of(x, y, x_query):
    """Examples, a delimiter-like blank, the query; the last coordinate tells the query."""
    Z = x.new_zeros(len(x), 7, 5)
    Z[:, :5, :3], Z[:, :5, 3] = x, y
    Z[:, 6, :3], Z[:, 6, 4] = x_query, 1.0
    return Z


worst = 0.0
for kind in ("scalar", "key", "value"):
    net = GLA(5, kind, context_width=1, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for W in net.parameters():
            W.copy_(
                torch.randn(W.shape, generator=generator, dtype=torch.float64) / 2
            )
        net.layers[0].W_g[:3] = 0.0

    def odd(x, q, net=net):
        return (net(tokens_of(x, p.y, q)) - net(tokens_of(-x, p.y, q)))[:, 0] / 2

    q, other = (
        p.x_query[:, 0],
        torch.randn(p.x.shape, generator=generator, dtype=torch.float64),
    )
    whole = odd(p.x + 2 * other, q)
    apart = odd(p.x, q) + 2 * odd(other, q)
    worst = max(worst, ((whole - apart).abs().max() / whole.abs().max()).item())
    with torch.no_grad():
        net.layers[0].W_g[0] = (
            1.0  # now gates read a feature, and it is no longer linear
        )
    broken = odd(p.x + 2 * other, q) - odd(p.x, q) - 2 * odd(other, q)
    assert broken.abs().max() > 1e-3 * whole.abs().max()
assert worst < 1e-12
print(
    f"three kinds of random gates that read labels: the odd part is linear in the features, to {worst:.0e}"
)

# %% [markdown]
# ## How it fades
#
# ```{prf:proposition} The gain of reading labels
# :label: prop-label-gain
#
# **The gain stays below a constant, while the risk grows with the dimension.**
#
# *New here.* Let $\Sigma_x = C = I$, $\sigma = 0$ and tasks be independent. The risk of {prf:ref}`thm-label-energy` is $\sum_k r_k^2\, \Delta(n_k, d)$ below that of the best fixed weights, where $\Delta > 0$ is symmetric, $\Delta(n, d) = \Delta(d, n)$, and
#
# $$
# \begin{gathered}
# \Delta(n, d) = \frac{n d}{(n + d + 1)^2}\; \E_+ \frac{(U - \E_+ U)^2}{U}, \\
# U = \hat n + d - 1 .
# \end{gathered}
# $$
#
# $\E_+ U = n + d + 1$, where $\E_+$ is the mean in which each prompt counts $S$ times. Moreover
#
# $$
# \begin{gathered}
# \Delta(n, d) \le \frac{2\, n d\, (\min(n, d) + 2)}{(n + d + 1)^2\, (\max(n, d) - 1)} \\
# (\max(n, d) \ge 2),
# \end{gathered}
# $$
#
# $$
# \nu + \sqrt{\nu^2 + S} \le \hat n \le \nu + 1 + \sqrt{(\nu + 1)^2 + S},
# $$
#
# and if $d$ grows with $n/d \to \alpha \in (0, \infty)$, then $\Delta(n, d) \to 2 \alpha^2 / (1 + \alpha)^4 \le \tfrac18$, with equality for $\alpha = 1$.
# ```
#
# As the risk itself is of the order of $d$, the relative gain fades as $1/d$.
#
# ````{dropdown} Why it is true
# (proof-prop-label-gain)=
# ```{prf:proof}
# Take one block with $r_k = 1$. For weights that may depend on $S$ the risk is $d - 2\, \E[S \omega] + \E[S\, U \omega^2]$: given $y$, $\E\, \beta^\top u = S \omega$ and $\E \norm{u}^2 = \omega^2 (\tau S^2 + (d - 1) S)$. As $\E S = n d$, with $\E_+ \phi = \E[S \phi] / (n d)$ it is
# $d - n d\, \E_+ [2 \omega - U \omega^2]$. The best $\omega(S)$ gives $d - n d\, \E_+ [1/U]$, the best constant $d - n d / \E_+ U$. The difference is $n d\, \E_+ [1/U - 1/\E_+ U]$, which is the formula for $\Delta$, as $\E_+ [(U - \E_+ U)^2 / U] = (\E_+ U)^2 \E_+[1/U] - \E_+ U$.
#
# *The law that counts prompts $S$ times.* $S = V \ell$ with $V$ and $\ell = \norm{\beta}^2$ independent and chi-squared with $n$ and $d$ degrees of freedom. The factor $V \ell$ makes $n + 2$ and $d + 2$ of these, still independent. It is a function of $S$, so laws given $S$ stay, and $\hat n = \E_+[V \mid S]$. So $\E_+ U = n + 2 + d - 1$.
#
# *Symmetry.* Integrate the derivative of $V^\nu e^{-V/2 - S/(2V)}$: $2 \nu - \E[V \mid S] + \E[S/V \mid S] = 0$. So $\hat n - n = \hat d - d$ with $\hat d = \E[\ell \mid S]$, and $U$ does not change if $n$ and $d$ change places; nor does the law of $S$.
#
# *The bounds on $\hat n$.* By Jensen $\E[1/V \mid S] \ge 1/\hat n$, so $\hat n \ge 2 \nu + S / \hat n$: the lower bound. The derivative of $V^{\nu + 1} e^{-V/2 - S/(2V)}$ gives $\E[V^2 \mid S] = 2 (\nu + 1)\, \hat n + S \ge \hat n^2$: the upper bound.
#
# *The bound on $\Delta$.* $U - \E_+ U = \E_+[V - (n + 2) \mid S] = \E_+[\ell - (d + 2) \mid S]$, so its variance is at most that of $V$ and of $\ell$: $2 (\min(n, d) + 2)$. And $U \ge \tfrac12 (n + d) - 1 + \sqrt{\nu^2 + S} \ge \max(n, d) - 1$.
#
# *The limit.* Let $S = n d\, (1 + \varepsilon)$. Under $\E_+$, $\sqrt d\, \varepsilon$ tends in law to a Gaussian of variance $2 + 2/\alpha$ (two independent chi-squared variables). The two bounds on $\hat n$ differ by at most $2$, as $\nu + \sqrt{\nu^2 + S}$ has a slope between $0$ and $2$ in $\nu$; $\nu^2 + n d = \tfrac14 (n + d)^2$, so $\hat n = n + \frac{n d}{n + d}\, \varepsilon + O(1) + O(d\, \varepsilon^2)$. Hence
# $(U - \E_+ U) / \sqrt d$ tends in law to a centred Gaussian of variance $\lim \frac{(n d)^2}{(n + d)^2 d} (\frac2n + \frac2d) = \frac{2 \alpha}{1 + \alpha}$. Its fourth moments are bounded: by Jensen they are at most $\E_+ (V - n - 2)^4 / d^2$. $U / d$ tends to $1 + \alpha$ in probability and is at least $\max(n, d) / d - 1/d$. So means converge, and $\Delta \to \frac{\alpha}{(1 + \alpha)^2} \cdot \frac{2 \alpha}{1 + \alpha} \cdot \frac{1}{1 + \alpha}$. Finally $\alpha / (1 + \alpha)^2 \le \tfrac14$.
# ```
# ````

# %% tags=["check", "asserts-prop-label-gain"]
# Quadratures of smooth functions: to 1e-9.
tightest, off, errors = 0.0, 0.0, []
for n, d in (
    (1, 2),
    (2, 1),
    (3, 3),
    (4, 20),
    (50, 10),
    (3, 100),
    (2000, 4),
    (200, 200),
):
    S, w = energies(n, d)
    U = count_hat(S, n, d) + d - 1
    direct = (w * S / U).sum() - n * d / (n + d + 1)  # not tilted, differences
    off = max(off, abs(direct - gain(n, d)), abs(gain(n, d) - gain(d, n)))
    bound = 2 * n * d * (min(n, d) + 2) / (n + d + 1) ** 2 / (max(n, d) - 1)
    assert 0 < gain(n, d) <= bound
    tightest = max(tightest, gain(n, d) / bound)
    hat = count_hat(S, n, d)
    for nu, side in (((n - d) / 2, 1), ((n - d) / 2 + 1, -1)):
        root = np.sqrt(nu**2 + S)
        bound = (
            nu + root if nu >= 0 else S / (root - nu)
        )  # the same, no cancellation
        assert (side * (bound / hat - 1) <= 1e-9).all()
assert off < 1e-9 and tightest > 0.95  # nearly reached at 2,000 examples
for alpha in (0.5, 1, 4):
    limit = 2 * alpha**2 / (1 + alpha) ** 4
    coarse, fine = (gain(int(alpha * d), d) for d in (40, 160))
    errors.append(
        abs((4 * fine - coarse) / 3 / limit - 1)
    )  # what is left falls as 1/d
assert max(errors) < 1e-3
print(
    f"the gain twice to {off:.0e}, at most {tightest:.3f} of its bound; extrapolated in 1/d "
    f"to its limit within {max(errors):.0e}"
)

# %% [markdown]
# ## What a causal gate gets
#
# A layer does not choose weights at will. A gate reads the label of its own token and acts on all examples *before*, so a weight is a product of functions of later labels. That has a price, and its risk is exact too.
#
# ```{prf:proposition} A causal gate that reads labels
# :label: prop-causal-label-gate
#
# **A causal gate never reaches the label-energy optimum; its own risk is a sum of powers.**
#
# *New here.* Let $\Sigma_x = C = I$, $\sigma = 0$, tasks independent.
#
# 1. Let the gate of an example be $g(y_j)$ in its block of $n$ examples, $\omega_i = \prod_{j > i} g(y_j)$, and put $\mu_1 = \E g$, $\mu_2 = \E g^2$, $\mu_3 = \E[g\, y^2]$ for a Gaussian label $y$ of mean zero and variance $\ell$. Then, with the outer mean over $\ell$, chi-squared with $d$ degrees of freedom,
#
#    $$
#    \E \sum_i \omega_i y_i^2 = \E \Bigl[ \ell \sum_{l<n} \mu_1^l \Bigr],
#    $$
#
#    $$
#    \begin{aligned}
#    \E \Bigl\| \sum_i \omega_i y_i x_i \Bigr\|^2 = \E \Bigl[ (d + 2)\, \ell \sum_{l<n} \mu_2^l & \\
#    {} + 2 \mu_3 \sum_{i<j\le n} \mu_1^{j-i-1} \mu_2^{n-j} \Bigr] & .
#    \end{aligned}
#    $$
#
#    With $L_k$ and $J_k$ for these, and $\bar g_{1,k}$, $\bar g_{2,k}$ for the means of the product of all later blocks' gates and of its square, $P = I$ and the best scale for each block, the risk is $M - \sum_k r_k^2\, \bar g_{1,k}^2 L_k^2 / (\bar g_{2,k} J_k)$.
# 2. Let $d \ge 2$. A layer as in {prf:ref}`prop-label-ceiling`, on paired prompts, each of whose gates reads no labels but that of its own token, has a risk above that of {prf:ref}`thm-label-energy` by at least
#    $d (d - 1) \sum_k r_k^2 \operatorname{Var}_+ (1 / U_k)$, which is positive if $r \ne 0$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-causal-label-gate)=
# ```{prf:proof}
# *1.* Given $\ell = \norm{\beta_k}^2$ the labels of a block are independent, Gaussian with variance $\ell$. Gates after $i$ do not read $y_i$, so $\E[\omega_i y_i^2 \mid \ell] = \mu_1^{n-i} \ell$. By the moments in the proof of {prf:ref}`thm-label-energy`, $\E[\norm{u}^2 \mid \ell, y] = \frac1\ell (\sum_i \omega_i y_i^2)^2 + (d - 1) \sum_i \omega_i^2 y_i^2$. In the square, $i = j$ gives $3 \ell^2 \mu_2^{n-i}$; and for $i < j$ the factor $\omega_i \omega_j y_i^2 y_j^2$ has the mean $\ell\, \mu_1^{j-i-1} \mu_3\, \mu_2^{n-j}$. Later blocks are independent of this one; cross terms vanish, as $T_{kl} = 0$. The best scale of each block is its own.
#
# *2.* Let $A_i = B_i(y) - \omega_k^* y_i I$ be the difference of $\bar f$ from the best. The excess is $\E \norm{\sum_i A_i x_i}^2 = \E \sum_{ij} \tr(A_i^\top A_j)\, \E[x_i^\top x_j \mid y] / d$, and the matrix of these moments is at least $(d - 1) I$. So it is at least $\frac{d-1}{d}\, \E \norm{A_i}_F^2$ for the sum over the last example $i$ of each block.
# A token's gate does not act on its own write. So of its own block's labels $B_i$ reads $y_i$ alone, and through value and key only: $B_i = y_i B' + B''$, where $B'$ and $B''$ may depend on later blocks. Fix these. With $b' = \tr B' / d$ and $b'' = \tr B'' / d$,
# $\norm{A_i}_F^2 \ge (\tr A_i)^2 / d = d\, ( y_i (b' - \omega_k^*) + b'')^2$. The law of $y_i$ given $S_k$ is symmetric, so the mean is at least $d\, \E[y_i^2 (b' - \omega_k^*)^2]$; labels of a block are exchangeable, so this is $d\, \E[S_k (b' - \omega_k^*)^2] / n_k \ge d^2 r_k^2 \operatorname{Var}_+ (1/U_k)$. The variance is positive, as $U_k$ is not constant.
# ```
# ````
#
# A gate near one that reads its label with a small slope takes off part of the weight when labels are large, as a sigmoid is concave near one: labels of either sign, in the mean, close it. In ten dimensions, with two blocks of fifty and relevances 0.2 and 0.8, the best such gate gives nearly two fifths of what labels can give.

# %% tags=["check", "asserts-prop-causal-label-gate"]
# Part 1 with all gates open is E |X^T X beta|^2 = n d (n + d + 1); with sigmoids by Monte
# Carlo, at four standard errors. The best sigmoid gate lies between the two
# lines, by far more than its search errs: 1e-6.
rng, draws, zs = np.random.default_rng(2), 100_000, []
for d, n, b, slope in ((2, 3, 0.5, 1.0), (5, 4, 2.0, -0.7)):
    assert np.isclose(block_sums(np.ones_like, n, d)[1], n * d * (n + d + 1))
    beta = rng.normal(size=(draws, d))
    x = rng.normal(size=(draws, n, d))
    y = np.einsum("bnd,bd->bn", x, beta)
    g = 1 / (1 + np.exp(-b - slope * y))
    omega = np.cumprod(np.concatenate([np.ones((draws, 1)), g[:, :0:-1]], 1), 1)[
        :, ::-1
    ]
    v = ((omega * y)[..., None] * x).sum(1)
    sums = block_sums(lambda u: 1 / (1 + np.exp(-b - slope * u)), n, d)
    sampled = ((beta * v).sum(1), (v * v).sum(1), g.prod(1), (g**2).prod(1))
    zs += [
        (a.mean() - e) / (a.std() / draws**0.5)
        for a, e in zip(sampled, sums, strict=True)
    ]
assert np.abs(zs).max() < 4
d, r = 10, (0.2, 0.8)
lowest, at = best_sigmoid(d, (50, 50), r)
fixed, energy = (
    optimal_wpgd(PromptDistribution(d, (50, 50), r)).risk,
    energy_risk(d, (50, 50), r),
)
S, w = energies(50, d, tilt=2)
inverse = 1 / (count_hat(S, 50, d) + d - 1)
floor = (
    d
    * (d - 1)
    * np.square(r).sum()
    * ((w * inverse**2).sum() - (w * inverse).sum() ** 2)
)
# The floor is small, and far from what sigmoids reach.
assert np.isclose(floor, 8.04e-5, rtol=0.01) and energy + floor < lowest < fixed
share = (fixed - lowest) / (fixed - energy)
assert np.isclose(share, 0.386, rtol=0.02)
print(
    f"8 means within {np.abs(zs).max():.1f} standard errors; "
    f"risk/d of fixed weights {fixed / d:.4f}, best sigmoid gate {lowest / d:.4f}, "
    f"labels at best {energy / d:.4f}: it takes {share:.0%} of the gain "
    f"(slope {at[2]:.2f})"
)

# %% [markdown]
# The trained layer at the top (triangle) has every weight free. It passes below the line, and stops short of the best sigmoid gate. Its gates may read features too, so the ceiling need not hold for it. How far such layers go, over dimensions and seeds: {doc}`below_the_line`.

# %% tags=["check"]
predicted = sigmoids[5][0]
below, error = (line - trained.risk) / line, trained.stderr / line
# Where training ends depends on the processor: it is printed. Asserted is what the exact risks gain.
gains = [
    1 - risk / line for risk in (predicted, energy_risk(5, (20, 20), (0.2, 0.8)))
]
assert np.allclose(gains, [0.00577, 0.01573], rtol=0.02)
print(
    f"below the line by {below:.2%} (standard error {error:.2%}); the best sigmoid gate by {1 - predicted / line:.2%}, "
    f"labels at best by {1 - energy_risk(5, (20, 20), (0.2, 0.8)) / line:.2%}"
)

# %% [markdown]
# How near a causal gate of any form can come is open; part 2 gives a floor that is small, and [an even gate comes nearer](gates_that_read) than any sigmoid of a linear logit that we found. For sigmoids the share of $\Delta$ that is left falls slowly with $d$ in the cases computed.
#
# On prompts whose labels come a token later the same theorem is a ceiling, and there is a far lower one: see {doc}`one_example`.
#
# ## Break it
#
# **Gates that read features.** The ceiling fails. One example, $d = 1$, no noise: $y_1 = \beta x_1$, so with the weight $1/x_1^2$ the step finds the task. A gate that reads $x_1$ can give large features the smaller weight, here $1/(x_1^2 + \tfrac12)$ up to scale.

# %%
rng = np.random.default_rng(0)
beta, x_1 = rng.normal(size=(2, 400_000))
ceiling = energy_risk(1, (1,), (1.0,))
step = x_1 * (beta * x_1) / (x_1**2 + 0.5)
reads = 1 - (beta * step).mean() ** 2 / (step**2).mean()  # at the best scale
print(f"reads the label at best: {ceiling:.3f}; reads the features: {reads:.3f}")
assert np.isclose(reads / ceiling, 0.541, rtol=0.02)

# %% [markdown]
# **Features that are not white.** Then rotations no longer help, and matrices that are no multiple of one $P$ may be best, each label energy asking for its own. What is best there is open.
#
# ## Exercises
#
# ```{exercise} By hand: one example
# :label: ex-one-example-energy
#
# One example, one task, $r = 1$, $d = 3$, no noise. What is $\hat n$ as a function of $y$? Use $\mathrm{K}_{\nu + 1}(z)/\mathrm{K}_\nu(z)$ at $\nu = -1$, and the bounds. How does the best weight behave for a tiny label and for a huge one?
# ```
#
# ```{answer} ex-one-example-energy
# asks: The number of examples as judged from the energy, for one example in three dimensions, as a function of the label y.
# value: "lambda y: float(count_hat(y**2, 1, 3))"
# at: [{y: 2}, {y: 0.5}, {y: 5}]
# wrong:
# - value: "lambda y: y**2 / float(count_hat(y**2, 1, 3))"
#   says: The quotient of the two Bessel functions is upside down. Which order stands above?
# - value: "lambda y: float(count_hat(y**4, 1, 3))"
#   says: The Bessel functions are taken at the root of the energy, which is the size of the label.
# - value: "lambda y: float(count_hat(y**2, 3, 1))"
#   says: The order is half of n - d, which is negative here.
# - value: "lambda y: float(count_hat(y**2, 1, 3)) / y"
#   says: That is the quotient of the Bessel functions. What stands before it?
# - value: "lambda y: 1"
#   says: That is the number of examples. Judged from a small label it is less.
# minutes: 10
# level: 2
# ```
#
# ```{answer} ex-one-example-energy-tiny
# asks: What does the best weight tend to as the label tends to zero?
# value: 1 / (0 + 3 - 1)
# wrong:
# - value: 1 / (1 + 3 + 1)
#   says: That is the best fixed weight, which does not see the label.
# - value: 1 / (1 + 3 - 1)
#   says: There is one example, but how many are there as judged from so small a label?
# - value: 0
#   says: That is the weight of a huge label.
# - above: 1
#   says: Below the weight stands at least d - 1.
# minutes: 3
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# $K_0$ is small against $K_1$ near zero, and $K_0/K_1 \to 1$ at infinity.
# ```
#
# ````{solution} ex-one-example-energy
# :class: dropdown
#
# $\nu = (1 - 3)/2 = -1$ and $K_{-1} = K_1$, so $\hat n = |y|\, K_0(|y|) / K_1(|y|)$. It tends to $0$ with $y$, and for a huge label it grows like $|y|$. So the weight falls from $1/2$ to zero, as $1/(|y| + 2)$ for large labels: the prediction $\omega y\, x^\top x_1$ stays bounded. A fixed weight is
# $1/5$.
# ````
#
# ```{exercise} Compute: where reading pays most
# :label: ex-reading-pays
#
# Let $d = 20$, and one task with $r = 1$. For which number of examples is $\Delta$ largest? And the gain relative to the risk?
# ```
#
# ```{answer} ex-reading-pays
# asks: The number of examples at which the gain is largest, and that at which the gain over the risk is.
# value: "[lengths[gains.argmax()], lengths[relative.argmax()]]"
# within: 1
# wrong:
# - value: "[lengths[gains.argmax()], lengths[gains.argmax()]]"
#   says: The risk falls with the number of examples, so the quotient is largest elsewhere.
# - value: "[lengths[gains.argmax()], lengths[(gains * gains / relative).argmax()]]"
#   says: That is the product of gain and risk. The quotient is asked for.
# - value: "[lengths[relative.argmax()], lengths[gains.argmax()]]"
#   says: The gain itself is asked for first. Where is it, if prompts are as long as they have dimensions?
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `gain(n, 20)`, and the risk of fixed weights is $d (d + 1)/(n + d + 1)$.
# ```
#
# ````{solution} ex-reading-pays
# :class: dropdown
#
# $\Delta$ is largest near $n = d$, as the limit says. Relative to the risk it is largest later, near $n = 2d$: there the risk is smaller. In the limit one maximises $2 \alpha^2 / (1 + \alpha)^3$, which gives $\alpha = 2$.
#
# ```python
# lengths = np.arange(1, 101)
# gains = np.array([gain(n, 20) for n in lengths])
# relative = gains / (20 * 21 / (lengths + 21))
# assert [lengths[gains.argmax()], lengths[relative.argmax()]] == [20, 41]
# ```
# ````
#
# ```{exercise} Explore: labels with noise
# :label: ex-noisy-energy
#
# With noise the energy tells less of the task. Follow the gain of the best label weights over the best fixed ones, $r/(n + d + 1 + \sigma^2)$, as $\sigma^2$ grows, for $d = 5$ and $n = 20$.
# ```
#
# ```{answer} ex-noisy-energy
# asks: Which share of the gain is left at a variance of the noise of d?
# value: gains[2] / gains[0]
# within: 2%
# wrong:
# - value: 5 / (5 + 5)
#   says: That is the share of the signal in the variance of a label. The gain depends on it in another way.
# - value: (5 / (5 + 5)) ** 2
#   says: That is the square of the signal's share in the variance of a label. The gain depends on it in another way.
# - value: gains[1] / gains[0]
#   says: That is what is left at a variance of one.
# - value: gains[2] / (20 * 5 / (20 + 5 + 1 + 5))
#   says: That is the gain over that of fixed weights. Divide by the gain without noise.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `noisy_label_weights` gives $\omega$ and $c$; the risk of label weights is $M - \E[c\, S\, \omega]$, and $S = V t$ with $V$ chi-squared and $t = \norm{\beta}^2 + \sigma^2$.
# ```
#
# ````{solution} ex-noisy-energy
# :class: dropdown
#
# It falls, but slowly: at $\sigma^2 = d$ two fifths of it are left.
#
# ```python
# def noisy_gain(n, d, sigma):
#     (V, w), (ell, u) = nodes(n), nodes(d)
#     S = np.outer(V, ell + sigma**2).ravel()
#     omega, c = noisy_label_weights(S, n, d, sigma)
#     told = (np.outer(w, u).ravel() * c * S * omega).sum()
#     return told - n * d / (n + d + 1 + sigma**2)
#
#
# gains = [noisy_gain(20, 5, s2**0.5) for s2 in (0.0, 1.0, 5.0)]
# assert np.isclose(gains[0], gain(20, 5), rtol=1e-6)
# assert gains[0] > gains[1] > gains[2] > 0
# assert np.isclose(gains[2] / gains[0], 0.395, rtol=0.01)
# ```
# ````

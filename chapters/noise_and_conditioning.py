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
#   settles: label noise, ill-conditioned features and many tasks; noise and features
#     act through one number
# ---

# %% [markdown]
# # Noise, conditioning, many tasks
#
# What is left of the theory when labels are noisy, features fill a few directions only, and a prompt holds many tasks?
#
# Clean labels and white features make short formulas, and prompts in use have neither. The third reviewer of the paper asked about practical
# setups. The answer is short: noise and features reach the weights through one number, the *effective dimension* $D(\gamma)$.
#
# Noise raises it, a few strong directions lower it. The higher it is, the less a large task is discounted.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-effective-dimension", "caption": "Unequal features make the dimension small, noise makes it large. The effective dimension $D(\\gamma)$ of fifty features with variances proportional to $i^{-c}$ and trace 50: without noise (full lines) and with $\\sigma^2 = 25$ (dashed). White features have $D = d + \\sigma^2$ at every $\\gamma$, and no other spectrum has more. A circle marks the best weights for two tasks of 5 and 40 examples."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    PromptDistribution,
    optimal_wpgd,
    plotting,
    simulate_risk,
    stationary_points,
    uniqueness,
)
from glalib.risk import h1, h2
from glalib.risk import slope as slope_of_F

plotting.use_style()


def effective_dimension(dist, gamma):
    return 1 / h2(dist, gamma) - 1


def power_law(exponent, d=50, counts=(5, 40), r=(0.3, 0.8), noise=0.0):
    """Feature variances i^-exponent, scaled to trace d; noise = sigma^2 / d."""
    s = np.arange(1, d + 1.0) ** -exponent
    sigma = np.sqrt(noise * d)
    return PromptDistribution(
        d, counts, r, Sx=np.diag(s * d / s.sum()), sigma=sigma
    )


gammas = np.geomspace(1, 1000, 61)
record = {"c": [], "noise": [], "gamma": [], "D": []}
fig, ax = plt.subplots(figsize=(6.4, 3.8))
for k, exponent in enumerate((0, 1, 2)):
    for noise, style in ((0.0, "-"), (0.5, "--")):
        dist = power_law(exponent, noise=noise)
        D = effective_dimension(dist, gammas)
        color = plotting.TASKS[k]
        ax.plot(gammas, D, linestyle=style, color=color, linewidth=2)
        best = optimal_wpgd(dist).gamma
        at = effective_dimension(dist, best)
        ax.plot(best, at, plotting.TASK_MARKERS[0], color=color, markersize=7)
        record["c"] += [exponent] * len(gammas)
        record["noise"] += [noise * 50] * len(gammas)
        record["gamma"] += list(gammas)
        record["D"] += list(D)
for place, name in ((59, "white"), (7.7, "$c = 1$"), (2.2, "$c = 2$")):
    ax.text(1.1, place, name, va="center", fontsize=12)
ax.text(1.1, 80, r"white, $\sigma^2 = 25$: $D = d + \sigma^2$", fontsize=12)
ax.set(
    xscale="log",
    yscale="log",
    xlabel=r"$\gamma$, agreement of the examples",
    ylabel=r"$D(\gamma)$",
    xlim=(1, 1000),
    ylim=(1, 120),
)
ax.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
_ = ax.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])

# %% tags=["remove-input"]
plotting.FigureData(
    "effective_dimension",
    record,
    d=50,
    variances="i^-c of trace 50",
    counts="5, 40",
    r="0.3, 0.8",
    seed="none",
)

# %% [markdown]
# ```{symbols}
# D M Sigma Sx sigma C r R omega counts n gamma h2 P risk lambda gap_Sigma gap_R F d
# ```
#
# ```{note}
# Weights here do not read the data. Examples are pairs in one token; where labels come a token later, see {doc}`labels_later`.
# ```
#
# ## One number for features and noise
#
# ```{prf:proposition} The effective dimension
# :label: prop-ill-conditioned
#
# **Unequal features make the effective dimension smaller, and redundancy costs earlier.**
#
# *New here.* For $\gamma \ge 0$ let $D(\gamma) = M / m(\gamma)$, where $m(\gamma)$ is the mean of the $s_i$ with weights proportional to
# $s_i^2 / (M + \gamma s_i)^2$.
#
# 1. $1 / h_2(\gamma) = 1 + D(\gamma)$. So at every non-trivial stationary point, up to scale, $\omega = (R + (1 + D) I)^{-1} r$ with $D =
#    D(\gamma)$; for independent tasks $\omega_k = r_k / (n_k + 1 + D)$. For $\Sigma_x = C = I$, $D = d + \sigma^2$ for every $\gamma$.
# 2. $D$ does not decrease in $\gamma$, and
#
#    $$
#    \frac{M}{s_{\max}} \le \frac{M \tr \Sigma^2}{\tr \Sigma^3} \le D(\gamma) \le \frac{M \operatorname{rank} \Sigma}{\tr \Sigma} .
#    $$
#
#    The last is an equality if and only if all non-zero $s_i$ are equal. So among all $\Sigma$ of one rank and one ratio $\sigma^2 /
#    \tr\Sigma$, those with equal non-zero eigenvalues have the largest $D$. Without noise $D \le \operatorname{rank} \Sigma \le d$.
# 3. Let tasks be independent and $r_k < r_l$. For the weights of part 1, with their sign, $\omega_k \le \omega_l$ if and only if
#
#    $$
#    D \ge \frac{r_k (n_l + 1) - r_l (n_k + 1)}{r_l - r_k} .
#    $$
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-ill-conditioned)=
# ```{prf:proof}
# 1\. $h_2 = m / (M + m)$ ({prf:ref}`thm-stationary-points`), so $1/h_2 = 1 + M/m$, and $hR + I = h\,(R + (1/h) I)$. For independent tasks, weights that are constant on blocks make $R$ act on block $k$ as $n_k$. If all $s_i = 1$ then $m = 1$ and $M = d + \sigma^2$.
#
# 2\. $m$ does not increase in $\gamma$: the proof of {prf:ref}`prop-monotone-map` holds for all $\gamma \ge 0$. So $m(\gamma) \le m(0) = \tr\Sigma^3 / \tr\Sigma^2 \le s_{\max}$. Over the non-zero eigenvalues, the weights in $m$ increase strictly with $s_i$; so $m$ is at least their plain mean $\tr\Sigma / \operatorname{rank} \Sigma$ (a covariance of two increasing functions), with
# equality if and only if all are equal. $M / \tr \Sigma = 1 + \sigma^2 / \tr\Sigma$ depends on the signal-to-noise ratio alone.
#
# 3\. $r_k / (n_k + 1 + D) \le r_l / (n_l + 1 + D)$ is $r_k (n_l + 1 + D) \le r_l (n_k + 1 + D)$; collect $D$.
# ```
# ````
#
# In the weights $D$ plays the part of $d + \sigma^2$. A task of $n_k$ examples is discounted once $n_k$ is of the order of $1 + D$.
#
# This decides what a scalar gate can do. Take two independent tasks with $0 \le r_1 < r_2$, and a minimiser that is unique up to scale. A
# scalar gate that can act between the tasks reaches the optimum (with sigmoids, in the limit) if and only if $D$ at that point is not below the
# threshold of part 3. White features may pass where ill-conditioned ones fail.

# %%
threshold = (0.3 * 41 - 0.8 * 6) / 0.5  # part 3, for counts 5 and 40
for exponent in (0, 1, 2):
    best = optimal_wpgd(power_law(exponent))
    D = effective_dimension(power_law(exponent), best.gamma)
    first, second = best.omega / best.omega[1]
    assert (D >= threshold) == (first <= second)
    print(f"c = {exponent}: D = {D:.1f}, weights {first:.2f} : {second:.0f}")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ill-conditioned", "caption": "With few strong directions the larger task must weigh less than the smaller one, and a scalar gate cannot follow; noise postpones it. The best weight of the later task (40 examples) over that of the earlier (5 examples): free weights (thin lines) and a scalar gate (wide lines), without noise (full) and with $\\sigma^2 = 3d$ (dashed). $d = 50$, $r = (0.3, 0.8)$."}}
exponents = np.linspace(0, 3, 61)
record = {"curve": [], "x": [], "y": []}
fig, ax = plt.subplots(figsize=(6.4, 3.4))
for k, noise in enumerate((0.0, 3.0)):
    for weights in ("free", "monotone"):
        ratio = [
            np.divide(*optimal_wpgd(power_law(c, noise=noise), weights).omega[::-1])
            for c in exponents
        ]
        free = weights == "free"
        style = {"linewidth": 2} if free else {"linewidth": 6, "alpha": 0.4}
        style |= {
            "color": plotting.TASKS[k],
            "linestyle": "-" if noise == 0 else "--",
        }
        ax.plot(exponents, ratio, **style)
        name = "no noise" if noise == 0 else "noise 3 d"
        record["curve"] += [name + ("" if free else " scalar gate")] * len(
            exponents
        )
        record["x"] += list(exponents)
        record["y"] += ratio
ax.text(0.1, 1.36, "no noise", fontsize=12)
ax.text(0.95, 1.7, r"$\sigma^2 = 3d$", fontsize=12)
ax.text(3, 1.06, "scalar gate: never below 1", ha="right", fontsize=12)
_ = ax.set(xlabel="decay $c$ of the variances", ylabel=r"$\omega_2 / \omega_1$")

# %% tags=["remove-input"]
plotting.FigureData(
    "conditioning",
    record,
    d=50,
    counts="5, 40",
    r="0.3, 0.8",
    variances="i^-x of trace 50",
    seed="none",
)


# %% tags=["check", "asserts-prop-ill-conditioned"]
def random_case(rng, d=5, K=4):
    f = rng.normal(size=(K + 1, K + 2))
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    joint = f @ f.T
    np.fill_diagonal(joint, 1.0)
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return {
        "d": d,
        "counts": [int(c) for c in 10 ** rng.uniform(0, 3, size=K)],
        "r": joint[:K, K],
        "R": joint[:K, :K],
        "Sx": (basis * 10 ** rng.uniform(-4, 0, size=d)) @ basis.T,
        "C": np.diag(10 ** rng.uniform(-1, 1, size=d)),
    }


rng, points = np.random.default_rng(0), 0
for _ in range(50):
    dist = PromptDistribution(**random_case(rng), sigma=0.3)
    s, M = dist.signal_spectrum[0], dist.M
    gamma = np.geomspace(1, 1 + dist.task_spectrum[0].max(), 30)
    D = effective_dimension(dist, gamma)
    assert (np.diff(D) >= -1e-12 * D[1:]).all()
    low, high = M * (s**2).sum() / (s**3).sum(), len(s) * M / s.sum()
    assert M / s.max() <= low * (1 + 1e-12)
    assert (low * (1 - 1e-12) <= D).all() and (D < high).all()
    for point in stationary_points(dist):
        points += 1
        D, N = effective_dimension(dist, point.gamma), np.array(dist.counts)
        w = np.linalg.solve(dist.R * N + (1 + D) * np.eye(dist.K), dist.r)
        w *= point.omega @ w / (w @ w)
        assert np.allclose(w, point.omega, atol=1e-9)
assert points >= 50
print(
    f"50 random features and tasks: D rises within its bounds, and gives the weights of all {points} points"
)

# %% tags=["check", "asserts-prop-ill-conditioned"]
verdicts = []
for exponent, passes in ((0.0, True), (0.5, True), (2.0, False), (3.0, False)):
    dist = power_law(exponent)
    best, scalar = (optimal_wpgd(dist, w) for w in ("free", "monotone"))
    assert len(stationary_points(dist)) == 1
    assert (effective_dimension(dist, best.gamma) >= threshold) == passes
    assert (best.omega[0] <= best.omega[1]) == passes
    verdicts.append(passes)
    lost = scalar.risk - best.risk
    assert abs(lost) < 1e-12 * dist.M if passes else lost > 0.005 * dist.M
print(
    f"of {len(verdicts)} spectra a scalar gate reaches the optimum for {sum(verdicts)}, those with D above {threshold:g}"
)

# %% [markdown]
# **Can we trust the numbers?** At a condition number of $10^{12}$ it is fair to ask. With features in their own axes and independent tasks, $F$ and
# the risk of given weights are rational functions. Python's fractions compute them without any rounding.

# %% tags=["check"]
# In a random basis the small eigenvalues lose most of their digits, but they hardly
# count: 1e-12 of M. The fixed point is certified to a relative 1e-12 by the exact sign
# of F(gamma) - gamma on both sides. Monte Carlo: four standard errors.
from fractions import Fraction


def exactly(*arrays):
    return [[Fraction(float(value)) for value in array] for array in arrays]


def exact_F(s, counts, r, gamma):
    """F(gamma) for Sigma = diag(s), sigma = 0 and independent tasks, exactly."""
    s, r, (gamma,), M = *exactly(s, r, [gamma]), sum(exactly(s)[0])
    v = [(x / (M + gamma * x)) ** 2 for x in s]
    m = sum(x * y for x, y in zip(v, s)) / sum(v)
    u = [n * (a / (1 + n * m / (M + m))) ** 2 for n, a in zip(counts, r)]
    return 1 + sum(x * n for x, n in zip(u, counts)) / sum(u)


def exact_risk(s, counts, r, omega):
    """The risk of given weights with their best P, exactly."""
    s, r, w, M = *exactly(s, r, omega), sum(exactly(s)[0])
    ww = sum(n * x * x for n, x in zip(counts, w))
    gamma = 1 + sum((n * x) ** 2 for n, x in zip(counts, w)) / ww
    rw = sum(n * x * y for n, x, y in zip(counts, w, r))
    return float(M - rw**2 / ww * sum(x * x / (M + gamma * x) for x in s)), M


d, counts, r = 8, (30, 400, 5), (0.3, 0.6, 0.5)
basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
for kappa in (1e0, 1e3, 1e6, 1e9, 1e12):
    s = np.geomspace(1, 1 / kappa, d)
    plain = PromptDistribution(d, counts, r, Sx=np.diag(s))
    turned = PromptDistribution(d, counts, r, Sx=(basis * s) @ basis.T)
    best = optimal_wpgd(plain)
    for weights in (best.omega, np.ones(3)):
        risk, M = exact_risk(s, counts, r, weights)
        for dist in (plain, turned):
            assert abs(optimal_wpgd(dist, weights).risk - risk) < 1e-12 * M
    assert abs(optimal_wpgd(turned).risk - best.risk) < 1e-12 * M
    for side in (1 - 1e-12, 1 + 1e-12):
        x = best.gamma * side
        assert (exact_F(s, counts, r, x) > x) == (side < 1)
    if kappa <= 1e6:
        best, generator = optimal_wpgd(turned), torch.Generator().manual_seed(3)
        sampled = simulate_risk(best, turned, 8000, 8, generator=generator)
        assert abs(sampled.risk - best.risk) < 4 * sampled.stderr
print(
    f"condition numbers from 1 to {kappa:.0e}: risks and fixed points to 1e-12, by exact fractions"
)


# %% [markdown]
# ## Noisy labels
#
# Now let $\sigma$ vary, and all else be fixed. Noise enters the risk in one place only, through $M$.
#
# ```{prf:proposition} Label noise
# :label: prop-noise
#
# **Noise makes redundancy harmless.**
#
# *New here.* Let $r \ne 0$. Write $\risk^\star$ for the least risk over all $(P, \omega)$, $s_{\max}$ and $\lambda_{\max}$ for the largest
# eigenvalues of $\Sigma$ and of the $n \times n$ matrix $R$.
#
# 1. $\risk(P, \omega)$ depends on $\sigma$ through $M$ alone, and $\risk - M$ is an affine function of $M$ that does not decrease. For every
#    non-empty set of $(P, \omega)$ that does not depend on $\sigma$, the gain $M - \inf \risk$ over the set is a convex function of $M$ that
#    does not increase.
# 2. With $\theta = M / (M + (1 + \lambda_{\max}) s_{\max})$, the gains of the best weights and of equal weights obey
#
#    $$
#    \begin{aligned}
#    \theta\, \norm{r}^2 \tr \Sigma^2 &\le M (M - \risk^\star) \le \norm{r}^2 \tr \Sigma^2, \\
#    \theta\, \tfrac{1}{n} (\ones^\top r)^2 \tr \Sigma^2 &\le M (M - \risk_{\text{linear}}) \le \tfrac{1}{n} (\ones^\top r)^2 \tr \Sigma^2 .
#    \end{aligned}
#    $$
#
#    So as $\sigma \to \infty$ the share of the gain that linear attention has, $(M - \risk_{\text{linear}}) / (M - \risk^\star)$, tends to
#    $(\ones^\top r)^2 / (n \norm{r}^2)$.
# 3. At every non-trivial stationary point we may multiply $\omega$ by one number and $P$ by another such that $\norm{\omega - r} \le
#    \frac{\lambda_{\max} s_{\max}}{M + s_{\max}} \norm{r}$, and such that $C - P$ and $\frac{\gamma s_{\max}}{M + \gamma s_{\max}} C - (C - P)$
#    are positive semidefinite, where $\gamma \le 1 + \lambda_{\max}$. (If $\Sigma_x$ is singular, this is so for the $P$ given by
#    {prf:ref}`thm-stationary-points`.) So as $\sigma \to \infty$ the weights tend to $r$ and the preconditioner to $C$, in direction.
# 4. For independent tasks of equal size the share is $(\ones^\top r)^2 / (n \norm{r}^2)$ at every $\sigma$, whatever the features.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-noise)=
# ```{prf:proof}
# 1\. By {prf:ref}`prop-population-risk`, $\risk - M = M \norm{\omega}^2 \tr(Q^\top Q) + \text{terms without } \sigma$. An infimum of affine functions that do not decrease is concave and does not decrease; so $M - \inf\risk = -\inf(\risk - M)$ is convex and does not increase.
#
# 2\. By {prf:ref}`thm-stationary-points` the best $P$ for weights with $\gamma = 1 + \omega^\top R \omega / \norm{\omega}^2$ leaves the gain $(r^\top \omega)^2 / \norm{\omega}^2 \cdot T(\gamma)$. As $1 \le \gamma \le 1 + \lambda_{\max}$, the sum $M T(\gamma) = \sum_i s_i^2 M / (M + \gamma s_i)$ is at
# most $\tr \Sigma^2$ and at least $\tr \Sigma^2 \cdot M / (M + (1 + \lambda_{\max}) s_{\max})$. The supremum of $(r^\top \omega)^2 / \norm{\omega}^2$ is $\norm{r}^2$; at $\omega = \ones$ it is $(\ones^\top r)^2 / n$. The limit follows.
#
# 3\. Up to scale $\omega = (hR + I)^{-1} r$, with $h = m/(M + m) \le s_{\max} / (M + s_{\max})$, so $r - \omega = hR\, (hR + I)^{-1} r$ is no longer than $h \lambda_{\max} \norm{r}$. With $\tilde\Sigma = C^{1/2} \Sigma_x C^{1/2}$, whose non-zero eigenvalues are those of $\Sigma$,
# the $P$ of {prf:ref}`thm-stationary-points` is, up to scale, $M C (M I + \gamma \Sigma_x C)^{-1} = C^{1/2} (I + \tfrac{\gamma}{M} \tilde\Sigma)^{-1} C^{1/2}$, and $I - (I + \tfrac{\gamma}{M} \tilde\Sigma)^{-1}$ has eigenvalues $\gamma s_i / (M + \gamma s_i)$ and zeros.
#
# 4\. By {prf:ref}`thm-stationary-points` we may take the best weights constant on blocks. With blocks of $n/K$ all such weights have $\omega^\top R \omega / \norm{\omega}^2 = n/K$. So $T(\gamma)$ is the same number for the best and for equal weights. What is left is $(r^\top \omega)^2 / \norm{\omega}^2$, with maximum $\norm{r}^2$.
# ```
# ````
#
# With noisy labels even the thousandth copy of a task brings news, and the weights forget the discount for large tasks. What remains of the
# worth of gating is the angle between $r$ and equal weights. So noise makes a gate matter less in one setting and more in another.


# %%
def gains(dist):
    """What the best weights, and equal ones, gain over predicting zero."""
    return [dist.M - optimal_wpgd(dist, w).risk for w in ("free", "uniform")]


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-noise-conditioning", "caption": "Noise makes a gate worth less, or more, or neither. The share of the possible gain that linear attention has, for two independent tasks and white features ($d = 10$, $n = 100$); marks at the right end are the limits of much noise. For equal sizes noise changes nothing."}}
sigmas = np.geomspace(0.1, 300, 60)
settings = {
    "50 and 50, r = (0.2, 0.8)": ((50, 50), np.array([0.2, 0.8])),
    "90 and 10, r = (0.5, 0.5)": ((90, 10), np.array([0.5, 0.5])),
    "90 and 10, no gain at sigma = 0": ((90, 10), np.array([101, 21]) / 110),
}
labels = (
    ("50 and 50, $r = (0.2, 0.8)$", 0.1, 0.745),
    ("90 and 10, $r = (0.5, 0.5)$", 4.2, 0.84),
    ("90 and 10, no gain at $\\sigma = 0$", 0.1, 1.01),
)
record = {"curve": [], "x": [], "y": []}
fig, ax = plt.subplots(figsize=(6.4, 3.6))
for k, (name, (counts, r)) in enumerate(settings.items()):
    shares = []
    for sigma in sigmas:
        best, linear = gains(PromptDistribution(10, counts, r, sigma=sigma))
        shares.append(linear / best)
    style = {"linestyle": ["-", "--", ":"][k], "color": plotting.TASKS[k]}
    ax.plot(sigmas, shares, linewidth=2.4, **style)
    sums = np.array(counts) * r
    limit = sums.sum() ** 2 / (100 * (sums @ r))
    ax.plot(
        sigmas[-1] * 1.4, limit, plotting.TASK_MARKERS[k], color=plotting.TASKS[k]
    )
    label, *place = labels[k]
    ax.text(*place, label, fontsize=12)
    record["curve"] += [name.replace(",", "")] * len(sigmas)
    record["x"] += list(sigmas)
    record["y"] += shares
_ = ax.set(
    xscale="log",
    xlabel=r"noise $\sigma$",
    ylabel="share of the gain",
    ylim=(0.7, 1.04),
)

# %% tags=["remove-input"]
plotting.FigureData(
    "noise",
    record,
    d=10,
    n=100,
    features="white",
    tasks="two, independent",
    seed="none",
)

# %% tags=["check", "asserts-prop-noise"]
points = 0
for _ in range(30):
    case = random_case(rng)
    at = [PromptDistribution(**case, sigma=sigma) for sigma in (0, 1, 10)]
    M0, M1, M2 = (dist.M for dist in at)
    t = (M1 - M0) / (M2 - M0)
    for g0, g1, g2 in zip(*map(gains, at)):  # falling and convex; rounding of M
        assert g1 <= (1 - t) * g0 + t * g2 + 1e-12 * M2 and g0 >= g1 >= g2
    for dist in at:
        s, lam, M = dist.signal_spectrum[0], dist.task_spectrum[0], dist.M
        r, top = dist.r[dist.task_index], (1 + lam.max()) * s.max()
        for gain, angle in zip(gains(dist), (r @ r, r.sum() ** 2 / dist.n)):
            limit = angle * (s**2).sum()
            slack = 1e-13 * M**2  # M minus the risk, times M
            assert limit * M / (M + top) - slack <= M * gain <= limit + slack
        for point in stationary_points(dist):
            points += 1
            h, N = h2(dist, point.gamma), np.array(dist.counts, dtype=float)
            w = np.linalg.solve(h * dist.R * N + np.eye(dist.K), dist.r)
            bound = lam.max() * s.max() / (M + s.max())
            assert N @ (w - dist.r) ** 2 <= bound**2 * (r @ r) * (1 + 1e-9)
            inner = M * np.eye(dist.d) + point.gamma * dist.Sx @ dist.C
            below = dist.C - M * dist.C @ np.linalg.inv(inner)
            share = point.gamma * s.max() / (M + point.gamma * s.max())
            for X in (below, share * dist.C - below):
                assert np.linalg.eigvalsh((X + X.T) / 2).min() > -1e-10

    equal = case | {"counts": (7,) * 4, "R": None, "r": case["r"] / 2}
    for sigma in (0, 3):
        best, linear = gains(PromptDistribution(**equal, sigma=sigma))
        r = equal["r"]
        assert np.isclose(linear / best, r.sum() ** 2 / (4 * r @ r), rtol=1e-9)
assert points >= 90
print(
    f"30 random features and tasks, three noises: all bounds hold, at {points} stationary points"
)

# %% tags=["check", "asserts-prop-noise"]
# How near the bounds come: one task and white features attain both of part 2, the
# upper one and that of part 3 as the noise grows.
for sigma in (1.0, 100.0):
    one = PromptDistribution(5, (50,), (1.0,), sigma=sigma)
    theta, limit = one.M / (one.M + 51), 50 * 5
    assert all(np.isclose(one.M * g, theta * limit, rtol=1e-8) for g in gains(one))
    h = h2(one, stationary_points(one)[0].gamma)
    off, bound = 1 - 1 / (1 + 50 * h), 50 / (one.M + 1)
assert theta > 0.99 and 0.99 < off / bound < 1
print(
    f"one task, much noise: the weights' distance to r is {off / bound:.3f} of its bound"
)


# %% [markdown]
# ## Noise and uniqueness
#
# Does noise help uniqueness? Enough noise does. A little can do harm.
#
# ```{prf:proposition} Noise and uniqueness
# :label: prop-noise-uniqueness
#
# **Much noise leaves one minimum; a little can turn one into several.**
#
# *New here.* In the notation of {prf:ref}`thm-cross-ratio`, let $\mathrm{gap}(\Sigma)\, \mathrm{gap}(R) > 0$ and $M_0 = \sqrt{\Lambda_-
# \Lambda_+ s_- s_+}$.
#
# 1. If the condition of {prf:ref}`thm-uniqueness` holds at one $\sigma$, it holds at every larger one.
# 2. The cross-ratio $A/B$ rises with $M$ up to $M_0$ and falls from there on, to $1$. So if the condition of {prf:ref}`thm-cross-ratio` holds at
#    one $\sigma$ with $M \ge M_0$, it holds at every larger one. Below $M_0$ noise can break it: $\Sigma = \diag(1, 0.06)$ with independent tasks
#    of $1$ and $10^4$ examples is a case. The condition holds whenever $M \ge \mathrm{gap}(\Sigma)\, \mathrm{gap}(R) / 8$.
# 3. Uniqueness itself is not monotone: there is a distribution with one non-trivial stationary point, up to scale, at $\sigma = 0$, three at a
#    larger $\sigma$, and one again at a still larger one.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-noise-uniqueness)=
# ```{prf:proof}
# 1\. The right side of $\mathrm{gap}(\Sigma)\, \mathrm{gap}(R) < M + s_{\min}$ grows with $M$.
#
# 2\. $A - B = M (\Lambda_+ - \Lambda_-)(s_+ - s_-)$, so
#
# $$
# \frac AB = 1 + \frac{\mathrm{gap}(\Sigma)\, \mathrm{gap}(R)}{M + \Lambda_- s_+ + \Lambda_+ s_- + M_0^2 / M} .
# $$
#
# $M + M_0^2/M$ falls up to $M_0$ and rises from there on, to infinity. And $\frac 8M (M + \Lambda_- s_+)(M + \Lambda_+ s_-) > 8M$. The case is computed below.
#
# 3\. By computation, below: $\Sigma = \diag(1, 0.003, \dots, 0.003)$ of rank six, independent tasks of $1$ and $10^8$ examples. The enumeration of {prf:ref}`prop-enumeration` covers every fixed point; it leaves one, three and one. Where it leaves one, $F'$ is far below one there, so there are not two close together. Where it leaves three, the sign of $F(\gamma) - \gamma$ changes three times, by much more than rounding.
# ```
# ````


# %% tags=["check", "asserts-prop-noise-uniqueness"]
def with_noise(sigma):
    Sx = np.diag([1.0] + [0.003] * 5)
    return PromptDistribution(6, (1, 10**8), (0.7, 0.7), Sx=Sx, sigma=sigma)


none, some, much = map(with_noise, (0, 8, 100))
points = [stationary_points(dist) for dist in (none, some, much)]
assert [len(p) for p in points] == [1, 3, 1]
assert slope_of_F(none, points[0][0].gamma) < 0.01
assert slope_of_F(much, points[2][0].gamma) < 0.01
gamma = np.sort([point.gamma for point in points[1]])
between = np.sqrt(gamma[:-1] * gamma[1:])
excess = (1 + h1(some, h2(some, between))) / between - 1
assert excess[0] < -0.01 and excess[1] > 0.01
print("noise 0, 8, 100: {}, {} and {} stationary points".format(*map(len, points)))

# %% tags=["check", "asserts-prop-noise-uniqueness"]
# Theorem A's condition: it holds without noise, is lost, and comes back.
verdicts = []
for M in (1.06, 20, 2000):
    options = {"Sx": np.diag([1.0, 0.06]), "sigma": np.sqrt(M - 1.06)}
    u = uniqueness(PromptDistribution(2, (1, 10**4), (0.6, 0.6), **options))
    verdicts.append(u.gap_Sigma * u.gap_R < u.bound_sharp)
assert verdicts == [True, False, True]

for _ in range(200):
    case = random_case(rng)
    quiet = PromptDistribution(**case)
    s, lam = quiet.signal_spectrum[0], quiet.task_spectrum[0]
    edge = np.sqrt((1 + lam.min()) * (1 + lam.max()) * s.min() * s.max())
    gap_gap = np.ptp(s) * np.ptp(lam)
    ratios = []
    levels = np.geomspace(quiet.M, 1e4 * (quiet.M + gap_gap), 60)
    for M in levels:
        u = uniqueness(PromptDistribution(**case, sigma=(M - quiet.M) ** 0.5))
        # B = bound_sharp M / 8, and A = B + M gap gap: A < 9 B is gap gap < bound.
        ratios.append(1 + 8 * u.gap_Sigma * u.gap_R / u.bound_sharp)
        assert gap_gap < u.bound_sharp or M < gap_gap / 8
    rises = np.diff(ratios) > 1e-12
    assert (levels[1:][rises] <= edge * levels[1] / levels[0]).all()
    assert (levels[:-1][~rises] >= edge * levels[0] / levels[1]).all()
    assert ratios[-1] < 1.001
print(
    f"200 random cases at {len(levels)} noises each: A/B rises up to M_0 and falls from there, to {ratios[-1]:.4f} in the last"
)

# %% [markdown]
# ## Many tasks
#
# All closed forms take any number of tasks. Here are three to eight, with random correlations and sizes: the optimum, the best non-decreasing
# weights and linear attention. What a scalar gate loses is a matter of the order of the tasks: see {doc}`scalar_gates`.

# %% tags=["check"]
# Four standard errors, as there are eighteen comparisons with Monte Carlo.
lines, furthest = [], 0.0
for K in range(3, 9):
    case = random_case(rng, d=4, K=K) | {"counts": rng.integers(1, 9, size=K)}
    dist = PromptDistribution(**case | {"Sx": None, "C": None}, sigma=0.5)
    risks = []
    for weights in ("free", "monotone", "uniform"):
        point = optimal_wpgd(dist, weights)
        generator = torch.Generator().manual_seed(K)
        sampled = simulate_risk(point, dist, 8000, 4, generator=generator)
        off = abs(sampled.risk - point.risk) / sampled.stderr
        furthest = max(furthest, off)
        assert off < 4
        risks.append(point.risk / dist.M)
    assert risks[0] <= risks[1] + 1e-12 and risks[1] <= risks[2] + 1e-12
    lines.append(f"{K} tasks: " + ", ".join(f"{risk:.3f}" for risk in risks))
print(
    f"3 to 8 tasks, {3 * len(lines)} risks: Monte Carlo within {furthest:.1f} standard errors; "
    f"{lines[-1]} of M (optimum, scalar gate, linear)"
)

# %% [markdown]
# ## Break it
#
# Part 3 needs independent tasks. Let the two be correlated, and the threshold no longer decides. In white features all is well. In steep ones $D$
# is below the threshold, and yet the earlier task does not weigh more: it becomes negative, to be subtracted. A scalar gate fails again, and
# for another reason.

# %%
for exponent in (0, 2):
    Sx = power_law(exponent).Sx
    dist = PromptDistribution(
        50, (5, 40), (0.3, 0.8), R=[[1, 0.5], [0.5, 1]], Sx=Sx
    )
    best, scalar = (optimal_wpgd(dist, w) for w in ("free", "monotone"))
    D = effective_dimension(dist, best.gamma)
    first, second = best.omega / best.omega[1]
    assert first < second and (scalar.risk > best.risk + 1e-9) == (first < 0)
    assert (D < threshold) == (exponent == 2)
    print(f"c = {exponent}: D = {D:.1f}, weights {first:.2f} : {second:.0f}")

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: a thousand copies
# :label: ex-thousand-copies
#
# Two independent tasks of $1000$ and $10$ examples are equally relevant, and $\Sigma_x = C = I$ with $d = 10$. What are the best weights of their
# examples without noise? How much noise makes the weights differ by one percent only?
# ```
#
# ```{hint}
# :class: dropdown
#
# $D = d + \sigma^2$ at every $\gamma$, so there is no fixed point to solve for.
# ```
#
# ````{solution} ex-thousand-copies
# :class: dropdown
#
# The weights are as $1/1011$ to $1/21$: an example of the small task weighs $48$ times as much. With noise the ratio is $(1011 + \sigma^2) / (21 +
# \sigma^2)$. It is $1.01$ at $\sigma^2 = 98979$, nearly a hundred times the size of the large task. Then the noise is so strong that
# each example is news.
#
# ```python
# for noise, ratio in ((0, 1011 / 21), (98979, 1.01)):
#     copies = PromptDistribution(10, (1000, 10), (0.5, 0.5), sigma=noise**0.5)
#     many, few = optimal_wpgd(copies).omega
#     assert np.isclose(few / many, ratio, rtol=1e-6)
# ```
# ````
#
# ```{exercise} Compute: noise that saves the gate
# :label: ex-noise-saves
#
# In the setting of {numref}`fig-ill-conditioned`, let $c = 2$. How much noise does it take until a scalar gate reaches the optimum?
# ```
#
# ```{hint}
# :class: dropdown
#
# By part 3 of {prf:ref}`prop-ill-conditioned` the effective dimension must reach $15$. Bisect for the noise.
# ```
#
# ````{solution} ex-noise-saves
# :class: dropdown
#
# It takes $\sigma^2 \approx 5.3\, d$. From there on the effective dimension is $15$ or more, and the best weights do not decrease.
#
# ```python
# def passes(noise):
#     best = optimal_wpgd(power_law(2, noise=noise))
#     return effective_dimension(power_law(2, noise=noise), best.gamma) >= threshold
#
#
# low, high = 0.0, 100.0
# for _ in range(50):
#     middle = (low + high) / 2
#     low, high = (low, middle) if passes(middle) else (middle, high)
# assert round(high, 1) == 5.3
# for noise, equal in ((0.99 * high, False), (1.01 * high, True)):
#     dist = power_law(2, noise=noise)
#     lost = optimal_wpgd(dist, "monotone").risk - optimal_wpgd(dist).risk
#     assert (lost < 1e-12 * dist.M) == equal
# ```
# ````
#
# ```{exercise} Explore: when is a gate worth more with noise?
# :label: ex-worth-more
#
# In {numref}`fig-noise-conditioning` one gate is useless without noise and useful with it. Find other such tasks. Which relevances $r$ make a gate
# useless at a given noise, if sizes differ? Can a gate be useless at two noises?
# ```
#
# ```{hint}
# :class: dropdown
#
# A gate is useless if equal weights are best. For independent tasks and white features the best weights are $r_k / (n_k + 1 + D)$.
# ```
#
# ````{solution} ex-worth-more
# :class: dropdown
#
# With white features ($\Sigma_x = C = I$) and independent tasks, equal weights are best if and only if $r_k$ is proportional to $n_k + 1 + d + \sigma^2$: the larger task must be more relevant, just enough to make
# up for its discount. At another noise the same $r$ is not proportional, if sizes differ. So a gate is useless at one noise at most, and
# at all others it gains.
#
# ```python
# sizes, tuned = np.array([30, 8, 2]), 1.5
# relevance = sizes + 1 + 4 + tuned**2
# relevance = 0.9 * relevance / np.linalg.norm(relevance)
# for sigma in (0.0, 1.0, tuned, 3.0, 10.0):
#     best, linear = gains(PromptDistribution(4, sizes, relevance, sigma=sigma))
#     assert (1 - linear / best < 1e-9) == (sigma == tuned)
# ```
# ````

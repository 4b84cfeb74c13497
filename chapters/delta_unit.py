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
#   settles: 'the delta rule with keys of length one, as in trained layers: its exact
#     risk, and when that helps'
# ---

# %% [markdown]
# # Keys of length one
#
# Layers that are trained divide keys and queries by their lengths. What does that do to a delta rule, which looks at its own error?
#
# With plain keys a long feature makes a long step, and the best step is short for all because of a few. Keys of length one have no such trouble {cite:p}`yang2024parallelizing,yang2025gated`. But the label is not divided: it still grows with the length of the feature, which the key does not tell. That is noise that nothing removes.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-delta-unit", "caption": "The delta rule is below the best weighted step; keys of length one are lower still at first, and higher in the end. Left, what is left unknown of one task after $n$ examples without noise, at the best steps, $d = 10$; above the dotted line the next example tells more with a key of length one. Right, what keys of length one leave, over what plain keys leave, for three sizes of noise."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import (
    PromptDistribution,
    delta_rule_risk,
    optimal_delta_rule,
    optimal_wpgd,
    plotting,
)
from scipy.special import gammaln


def excess(d):
    """d / (E|x|)^2 - 1 for white features."""
    return d / (2 * np.exp(2 * (gammaln((d + 1) / 2) - gammaln(d / 2)))) - 1


def unknown(n, d, noise, unit=False):
    """e_0, ..., e_n: what the best delta rule leaves of one task."""
    delta, e = excess(d), [1.0]
    width, floor = (d, d * delta + (1 + delta) * noise) if unit else (d + 2, noise)
    for _ in range(n):
        e.append(e[-1] - e[-1] ** 2 / (width * e[-1] + floor))
    return np.array(e)


plotting.use_style()
d, sizes = 10, np.arange(81)
curves = {
    "weighted step": (d + 1) / (sizes + d + 1),
    "delta rule": unknown(80, d, 0),
    "length one": unknown(80, d, 0, unit=True),
    "threshold": np.full(81, excess(d) * d / 2),
}
ratios = {
    noise: unknown(80, d, noise, unit=True) / unknown(80, d, noise)
    for noise in (0, 5, 30)
}
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.6))
for k, (left, dash) in enumerate(zip(curves.values(), ("--", "-", "-.", ":"))):
    color = (*plotting.TASKS[:3], "0.35")[k]
    axes[0].semilogy(
        sizes, left, dash, color=color, linewidth=(2.4, 2.4, 2.8, 1.6)[k]
    )
for k, ratio in enumerate(ratios.values()):
    color, dash = plotting.TASKS[2], ("-.", "-", "--")[k]
    axes[1].plot(sizes, ratio, dash, color=color, linewidth=(2.8, 2, 1.4)[k])
axes[1].axhline(1, color="0.35", linestyle=":", linewidth=1.6)
axes[0].text(78, 0.34, "weighted step", ha="right")
axes[0].text(52, 0.004, "delta rule", ha="right")
axes[0].text(78, 0.035, "length one", ha="right")
for x, y, noise in ((29, 1.17, 0), (66, 1.05, 5), (78, 0.972, 30)):
    axes[1].text(x, y, f"$\\sigma^2 = {noise}$", ha="right")
_ = axes[0].set(xlabel="examples $n$", ylabel="unknown, $e_n$", ylim=(2e-3, 1.1))
_ = axes[1].set(
    xlabel="examples $n$", title="length one / plain", ylim=(0.88, 1.24)
)

# %% tags=["remove-input"]
plotting.FigureData(
    "delta-unit",
    {
        "curve": np.repeat([*curves, *(f"ratio, noise {v}" for v in ratios)], 81),
        "n": np.tile(sizes, 7),
        "value": np.concatenate([*curves.values(), *ratios.values()]),
    },
    figure=fig,
    d=10,
    seed="none",
)


# %% [markdown]
# ```{note}
# Steps on this page do not read the data; what is erased depends on it.
# ```
#
# ```{symbols}
# beta beta_query R r C Sx sigma M d K n x x_query y G P omega risk
# ```
#
# ## The exact risk
#
# The rule is that of [the page before](delta_rule), $\hat\beta_i = g_i \hat\beta_{i-1} + \eta_i (y_i - g_i\, x_i^\top \hat\beta_{i-1})\, x_i$ with the prediction $c\, x^\top \hat\beta_n$, but for the keys.
#
# ```{prf:theorem} The risk with keys of length one
# :label: thm-delta-unit
#
# **Keys of length one change the moments in the recursion, and nothing else.**
#
# *New here.* In the gated delta rule let the keys $x_i / \norm{x_i}$ and the query $x / \norm{x}$ stand for $x_i$ and $x$, and let labels be what they were. With $\bar x = x / \norm{x}$ for a feature $x$ put
#
# $$
# p_j = \frac{\E \norm{\Pi_j \bar x}^2}{m_j}, \qquad \theta_j = \frac{\E \norm{x} \norm{\Pi_j \bar x}^2}{m_j}, \qquad \Psi^{(t)}_{jl} = \frac{\E \norm{x}^t \norm{\Pi_j \bar x}^2 \norm{\Pi_l \bar x}^2}{m_l} .
# $$
#
# 1. With the notation of {prf:ref}`thm-delta-risk`, at an example of task $k$
#
#    $$
#    \begin{aligned}
#    e_j &= \textstyle\sum_l \bigl( \Psi^{(2)}_{jl} \tau_l - 2 g_i \Psi^{(1)}_{jl} \tau_l c_{lk} + g_i^2 \Psi^{(0)}_{jl} u_l \bigr), \\
#    u_j &\leftarrow g_i^2 u_j + 2 g_i \eta_i (\theta_j \tau_j c_{jk} - g_i p_j u_j) + \eta_i^2 \bigl( e_j + \sigma^2 m_j p_j \bigr), \\
#    c_{jl} &\leftarrow g_i (1 - \eta_i p_j)\, c_{jl} + \eta_i R_{lk}\, \theta_j \qquad \text{for every task } l,
#    \end{aligned}
#    $$
#
#    and the risk is $M - 2 c \sum_j \theta_j \tau_j c_{j\beta} + c^2 \sum_j p_j u_j$.
# 2. With $\varphi_j = \xi_j / (1 + 2 \nu \xi_j)$ and $z = \prod_j (1 + 2 \nu \xi_j)^{-m_j/2}$ the moments are integrals over $\nu > 0$: $p_j = \int \varphi_j z \, d\nu$, $\theta_j = \int \varphi_j z \, d\nu / \sqrt{\pi \nu}$, and, with $[j = l]$ for one or zero,
#
#    $$
#    \Psi^{(t)}_{jl} = \int \bigl( m_j \varphi_j \varphi_l + 2\, [j = l]\, \varphi_j^2 \bigr) \, z\, \frac{\nu^{1 - t/2} \, d\nu}{\Gamma(2 - t/2)} .
#    $$
# 3. If $\Sigma_x = I$ and $\mu = \E \norm{x}$, then $p = 1/d$, $\theta = \mu/d$, and $\Psi^{(t)} = 1$, $\mu/d$, $1/d$ for $t = 2, 1, 0$. The query's length costs a factor: with $x$ as the query, the gain $M - \risk$ at the best scale would be larger by the factor $d / \mu^2$.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-delta-unit)=
# ```{prf:proof}
# 1\. The law of $x$ does not change if $x$ is turned within an eigenspace of $\Sigma_x$, or if its part there changes sign; so $\E \norm{x}^t \bar x \bar x^\top$ is a multiple of $\Pi_j$ on each. With $w = \norm{x} \beta_k - \tilde\beta$ the rule is $\hat\beta_i = \tilde\beta + \eta_i \bar x \bar x^\top w + \eta_i \sigma \varepsilon \bar x$. Where the proof of {prf:ref}`thm-delta-risk` has $\Sigma_x$, we have $\E \bar x \bar x^\top$ next to $\tilde\beta$ and $\E \norm{x} \bar x \bar x^\top$ next to a task. The term of $e_j$ is $\eta_i^2$ times
#
# $$
# \E\, \norm{\Pi_j \bar x}^2 \bigl( \bar x^\top w \bigr)^2 = \sum_l \frac1{m_l} \E \bigl[ \norm{\Pi_j \bar x}^2 \norm{\Pi_l \bar x}^2 \tr(\Pi_l\, w w^\top) \bigr],
# $$
#
# for the same reason: given the lengths of all parts of $\bar x$, their directions are independent and uniform. Expand $w w^\top$ in powers of $\norm{x}$.
#
# 2\. $\norm{x}^{-b} = \int \nu^{b/2 - 1} e^{-\nu \norm{x}^2} d\nu / \Gamma(b/2)$, and with the weight $e^{-\nu \norm{x}^2}$ the feature is Gaussian with total mass $z$ and the eigenvalues $\varphi_j$.
#
# 3\. For white features $\bar x$ and $\norm{x}$ are independent and $\E \bar x \bar x^\top = I/d$. The overlap with the label is $\E[x x^\top] = I$ or $\E[x \bar x^\top] = \mu I / d$, and the energy has $I$ or $I/d$: the gain has $1$ or $(\mu/d)^2 d = \mu^2/d$.
# ```
# ````


# %% tags=["check", "asserts-thm-delta-unit"]
def loop_risk(dist, steps, decays, scale):
    """The loop that a layer runs, for Sx = diag(a, b, b), on points that have the moments of its features.

    Gauss's rule along the first axis, five angles around it, and two lengths. No draws and none of the formulas: given
    the features the error is linear in tasks and noise, so it runs once for each number that these are made of.
    """
    z, weight = np.polynomial.legendre.leggauss(30)
    side = np.outer(np.sqrt(1 - z**2), np.exp(0.4j * np.pi * np.arange(5))).ravel()
    ball = np.stack([np.repeat(z, 5), side.real, side.imag], axis=1)
    mean, ends = np.sqrt(8 / np.pi), np.array([[[-1]], [[1]]])
    lengths = mean + ends * np.sqrt(3 - mean**2)
    x = (lengths * ball * np.sqrt(np.diag(dist.Sx))).reshape(-1, 3)
    keys = x / np.linalg.norm(x, axis=1, keepdims=True)
    chance = np.tile(np.repeat(weight, 5), 2) / 20
    joint = np.block([[dist.R, dist.r[:, None]], [dist.r, 1.0]])
    halves = np.linalg.cholesky(joint), np.linalg.cholesky(dist.C)
    tasks = np.einsum("kl,ab->lbka", *halves).reshape(-1, dist.K + 1, 3)
    tasks = np.concatenate([tasks, np.zeros((dist.n, dist.K + 1, 3))])
    noise = np.zeros((len(tasks), dist.n))
    noise[-dist.n :] = dist.sigma * np.eye(dist.n)
    b, p = np.zeros((1, len(tasks), 3)), np.ones(1)
    for i, k in enumerate(dist.task_index):
        key, b = keys[:, None], decays[i] * b[:, None]
        error = x @ tasks[:, k].T + noise[:, i] - (b * key).sum(-1)
        b = (b + steps[i] * error[..., None] * key).reshape(-1, len(tasks), 3)
        p = np.outer(p, chance).ravel()
    # The query: (x^T task - scale k^T b)^2 as a form in (task, -scale b).
    both = np.hstack([x, keys])
    form = both.T @ (chance[:, None] * both)
    v = np.concatenate([tasks[:, -1] + 0 * b, -scale * b], axis=-1)
    return dist.sigma**2 + p @ np.einsum("psa,ab,psb->p", v, form, v, optimize=True)


rng, off = np.random.default_rng(0), 0.0
for Sx in ([1.0, 0.3, 0.3], [0.4, 1.0, 1.0], [0.5, 0.5, 0.5]):
    for counts in ((1, 1), (2,)):
        K = len(counts)
        f = rng.normal(size=(K + 1, 4))
        f /= np.linalg.norm(f, axis=1, keepdims=True)
        joint, m = f @ f.T, rng.normal(size=(3, 3))
        np.fill_diagonal(joint, 1.0)
        options = {"R": joint[:K, :K], "Sx": Sx, "C": m @ m.T, "sigma": 0.7}
        dist = PromptDistribution(3, counts, joint[:K, K], **options)
        steps, decays = rng.uniform(0.3, 1, 2), rng.uniform(0.5, 1, 2)
        exact = delta_rule_risk(dist, steps, decays, scale=0.8, normalised=True)
        off = np.maximum(off, abs(loop_risk(dist, steps, decays, 0.8) / exact - 1))
        plain = delta_rule_risk(dist, steps, decays, scale=0.8)
        assert abs(plain / exact - 1) > 1e-3  # it is not the risk with plain keys
assert off < 1e-11
print(f"6 distributions: the loop that a layer runs has this risk to {off:.0e}")

# %% [markdown]
# ## One task
#
# For one task the best steps have a closed form again. What the length of $x$ does to a label, the key cannot explain. That is noise, of half a direction's size.
#
# ```{prf:proposition} One task, and keys of length one
# :label: prop-delta-unit-task
#
# **With little noise keys of length one win while more than about a quarter of the task is unknown. They lose in the end.**
#
# *New here.* Let $\Sigma_x = C = I$, $K = 1$, $r_1 \ne 0$, $\mu = \E \norm{x}$ and $\delta = d / \mu^2 - 1$, which is $\frac1{2d} + O(d^{-2})$. Put $e_0 = 1$ and
#
# $$
# \eta_i = \frac{e_{i-1}}{e_{i-1} + \delta + (1 + \delta)\, \sigma^2/d}, \qquad e_i = \Bigl( 1 - \frac{\eta_i}d \Bigr) e_{i-1} .
# $$
#
# 1. With keys and a query of length one the least risk over steps, decays and scale is $M - r_1^2\, d\, (1 - e_n) / (1 + \delta)$, attained by these steps without decay.
# 2. Where both leave $e$, the next step on a key of length one leaves less than that of {prf:ref}`prop-delta-one-task` on a plain key if and only if $e > \frac12 \delta\, (d + \sigma^2)$, which tends to $\frac14$ as $d \to \infty$ with $\sigma$ fixed.
# 3. In the end $n e_n \to d \delta + (1 + \delta) \sigma^2$, which is larger than the $\sigma^2$ of plain keys by twice that threshold.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-delta-unit-task)=
# ```{prf:proof}
# 1\. The query costs the factor $1 + \delta$ by part 3 of {prf:ref}`thm-delta-unit`. Go on as for {prf:ref}`prop-delta-one-task`, with inner products $\E \langle \cdot, \cdot \rangle / d$, $\hat t$ the estimate before the example at its best scale, and $\epsilon = \norm{\beta_1 - \hat t}^2$. With $c \ne 0$, $t = c g_i \hat\beta_{i-1}$, $\zeta = 1/c$ and $\eta' = c \eta_i$ we have $c \hat\beta_i = t + \eta' \bar x \bigl( \norm{x} \bar x^\top \beta_1 - \zeta \bar x^\top t + \sigma \varepsilon \bigr)$. As $\norm{x}$ and $\bar x$ are independent, the mean square of what is in parentheses is $S = \norm{\mu \beta_1 - \zeta t}^2 + b$ with $b = d - \mu^2 + \sigma^2$. The new error is
#
# $$
# \norm{\beta_1 - t}^2 - \frac{2 \eta'}d \langle \beta_1 - t, \mu \beta_1 - \zeta t \rangle + \frac{\eta'^2}d S .
# $$
#
# The differences $\beta_1 - t$ and $\mu \beta_1 - \zeta t$ are $\beta_1 - \hat t$ and $\mu (\beta_1 - \hat t)$ with multiples of $\hat t$, of signed lengths $\alpha$ and $\alpha'$; and $S = \mu^2 \epsilon + \alpha'^2 + b$. The best $\eta'$ leaves $\epsilon + \alpha^2 - (\mu \epsilon + \alpha \alpha')^2 / (d S)$, the best $\alpha$ leaves $\epsilon - \mu^2 \epsilon^2 / (d S - \alpha'^2)$. As $d S - \alpha'^2$ is least at $\alpha' = 0$, that is no less than
#
# $$
# \Phi(\epsilon) = \epsilon - \frac{\mu^2 \epsilon^2}{d\, (\mu^2 \epsilon + b)} = \epsilon - \frac{\epsilon^2}{d \epsilon + d \delta + (1 + \delta) \sigma^2},
# $$
#
# which increases, as $b > 0$. The steps of the statement attain it: with them $\hat\beta_i$ is an estimate of $\mu \beta_1$ at its best scale, as the step leaves it so. If $c = 0$ the error is $1$, which is more.
#
# 2\. Compare $d e + d \delta + (1 + \delta) \sigma^2$ with $(d + 2) e + \sigma^2$. It is known that $d - \frac12 \le \mu^2 \le d - \frac12 + O(1/d)$.
#
# 3\. $1/e_i - 1/e_{i-1} = 1 / \bigl( (d - 1) e_{i-1} + d \delta + (1 + \delta) \sigma^2 \bigr)$, and $e_i \to 0$.
# ```
# ````

# %% tags=["check", "asserts-prop-delta-unit-task"]
worst = np.inf
for d, n, sigma in ((1, 3, 0.0), (3, 6, 0.5), (10, 12, 2.0), (2, 5, 1.0)):
    one, delta = PromptDistribution(d, (n,), (0.7,), sigma=sigma), excess(d)
    e = unknown(n, d, sigma**2, unit=True)
    least = one.M - 0.49 * d * (1 - e[-1]) / (1 + delta)
    steps = e[:-1] / (e[:-1] + delta + (1 + delta) * sigma**2 / d)
    assert np.isclose(
        delta_rule_risk(one, steps, normalised=True), least, rtol=1e-12
    )
    found = optimal_delta_rule(one, "example", normalised=True)
    assert np.allclose(found.beta, steps, rtol=1e-12)
    for spread in 10.0 ** rng.uniform(-3, 0, size=100):  # near them and far
        other = steps * (1 + spread * rng.normal(size=n))
        risk = delta_rule_risk(
            one, other, 1 - spread * rng.random(n), normalised=True
        )
        worst = min(worst, risk / least - 1)
assert -1e-12 < worst < 1e-5  # none is better, and some come near
for d in (2, 10, 100):
    for noise in (0.0, 1.0, d / 2):
        line = excess(d) * (d + noise) / 2
        first, plain = (
            unknown(40 * d, d, noise, unit=True),
            unknown(40 * d, d, noise),
        )
        above = np.flatnonzero(first >= line)
        assert (first[above + 1] < plain[above + 1]).all() and first[-1] > plain[-1]
        for e in line * np.array([0.98, 1.02]):
            key = d * e + d * excess(d) + (1 + excess(d)) * noise
            assert (key < (d + 2) * e + noise) == (e > line)
lines = [excess(d) * d / 2 for d in (1, 10, 1000)]
assert np.isclose(lines[-1], 0.25, rtol=1e-3)
limit = 5 * excess(5) + (1 + excess(5)) * 2
end = 10**5 * unknown(10**5, 5, 2.0, unit=True)[-1]
assert np.isclose(end, limit, rtol=1e-3)
print(
    f"400 other steps and decays: the nearest is {worst:.0e} above; without noise the threshold is {lines[0]:.3f} at d = 1, {lines[1]:.3f} at d = 10"
)

# %% [markdown]
# So with a query that is left as it is the $e_n$ of keys of length one stays below that of plain keys as long as what was left before was above the threshold: both maps from $e_{i-1}$ to $e_i$ increase. With the noise as large as the signal, $\sigma^2 = d$, the threshold is at one half, and above $\sigma^2 = 3 d$ or so it is never met. A query of length one loses a share of about $\frac1{2d}$ of the gain in any case.
#
# ## Break it
#
# For features that are not white there is more to win, and to lose. Here one feature dwarfs the others and hardly counts.

# %%
options = {"Sx": [1.0] + [0.05] * 9, "C": [0.05] + [1.0] * 9}
for n in (5, 20, 80):
    dist = PromptDistribution(10, (n,), (1.0,), **options)
    plain = optimal_delta_rule(dist, "prompt").risk
    unit = optimal_delta_rule(dist, "prompt", normalised=True).risk
    step = optimal_wpgd(dist).risk
    print(f"n = {n:2}: plain {plain:.3f}, length one {unit:.3f}, step {step:.3f}")
    assert (unit < plain) == (n < 80) and (step < unit)

# %% [markdown]
# A plain key is long where the first feature is large, and that bounds the step for all. Divided by its length it is not: keys of length one are far better for twenty examples, and worse again for eighty. A weighted step, whose $P$ can weigh the features, is below both until then.
#
# ## Exercises
#
# ```{exercise} By hand: divide the label, too
# :label: ex-delta-divide
#
# One task, white features, no noise. Let the value that is written be $y_i / \norm{x_i}$, so that the label is divided as well, and leave the query as it is. Which step is best, and what is $e_n$?
# ```
#
# ```{answer} ex-delta-divide
# asks: e_n with the best step, as a function of d and n.
# value: "lambda d, n: (1 - 1 / d) ** n"
# at: [{d: 10, n: 5}, {d: 3, n: 2}, {d: 2, n: 7}]
# wrong:
# - value: "lambda d, n: (1 - 1 / (d + 2)) ** n"
#   says: That is what plain keys leave. What does a projection take away?
# - value: "lambda d, n: unknown(n, d, 0.0, unit=True)[-1]"
#   says: That is with labels as they are, whose length a key does not explain. Here labels are divided, too.
# - value: "lambda d, n: (1 - 1 / d) ** (2 * n)"
#   says: e is a square already. A projection takes the part along the key out of the square, once.
# - value: "lambda d, n: 1 - n / d"
#   says: Each example takes its part of what is left, not of the whole. Keys are not orthogonal to each other.
# - value: "lambda d, n: d / (n + d)"
#   says: That is a weighted step. What is left after each example is to be multiplied.
# minutes: 7
# level: 2
# ```
#
# ```{answer} ex-delta-divide-step
# asks: Which step is best?
# choices:
# - text: 1/d
#   says: A key of length one finds the part along it exactly, however many directions there are. How much of that should be taken?
# - text: 1/(d + 2)
#   says: That is for plain keys without noise. A plain key has a square length of about d.
# - text: one
# - text: it falls from example to example
#   says: That is so where something is left that a key does not explain. Is there anything?
# minutes: 2
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# $y_i / \norm{x_i} = \bar x_i^\top \beta_1$: nothing is left that a key does not explain.
# ```
#
# ````{solution} ex-delta-divide
# :class: dropdown
#
# The error $\beta_1 - \hat\beta$ becomes $(I - \eta\, \bar x \bar x^\top) (\beta_1 - \hat\beta)$. With $\eta = 1$ that is a projection, which takes away the part along $\bar x$, in the mean $\frac1d$ of the square; no other step takes more. So $e_n = (1 - \frac1d)^n$, below the $(1 - \frac1{d + 2})^n$ of plain keys at every length.
# ````
#
# ```{exercise} Compute: too much noise
# :label: ex-delta-too-much
#
# For $d = 10$, from which $\sigma^2$ on are keys of length one never better than plain ones, with the query left as it is? Compare $e_n$ a little below and above.
# ```
#
# ```{answer} ex-delta-too-much
# asks: The variance of the noise from which on they are never better.
# value: noise
# wrong:
# - value: noise + 10
#   says: That is d plus the variance.
# - value: 1 / excess(10) - 10
#   says: The threshold has a half. It is met at the first example if it is at most one, which is what is unknown then.
# - value: 2 / excess(10) - 11
#   says: In the threshold stands d, not d + 1.
# - value: 2 * 20 - 10
#   says: Near it, but delta is 1/(2d) only to first order. Take the exact one.
# minutes: 7
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The threshold is at one where $\delta\, (d + \sigma^2) = 2$; `excess(d)` is $\delta$.
# ```
#
# ````{solution} ex-delta-too-much
# :class: dropdown
#
# At $\sigma^2 = 2/\delta - d$, near $3 d$. Below it the first example already tells more; above it none ever does.
#
# ```python
# noise = 2 / excess(10) - 10
# assert 28 < noise < 31
# for share, better in ((0.97, True), (1.03, False)):
#     ratio = unknown(300, 10, share * noise, unit=True) / unknown(300, 10, share * noise)
#     assert (ratio[1:] < 1).any() == (ratio[1] < 1) == better
# ```
# ````
#
# ```{exercise} Explore: features of very different size
# :label: ex-delta-lengths
#
# Let the variances of twelve features fall like $1/i$ and all directions of the task be alike. With one step for the prompt and no noise, up to which length of the prompt are keys of length one better than plain keys? And if the variances fall like $1/i^2$?
# ```
#
# ```{answer} ex-delta-lengths
# asks: Of the lengths 2, 4, 8, 16 and 32 the longest at which keys of length one are better, for 1/i and for 1/i^2.
# value: "[8, longest]"
# within: 0.4
# wrong:
# - value: "[16, 8]"
#   says: There they lose already. The last length at which they win is asked for.
# - value: "[32, 32]"
#   says: They lose in long prompts. Compare the risks themselves, both with the best step.
# - value: "[8, 8]"
#   says: Right for the first. The steeper spectrum has fewer directions that count.
# - value: "[2, 2]"
#   says: Nor is it the first example only. Compare the risks length by length.
# minutes: 10
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `optimal_delta_rule(dist, "prompt", normalised=True)`.
# ```
#
# ````{solution} ex-delta-lengths
# :class: dropdown
#
# Up to some ten examples in the first case, and up to some five in the second: the fewer directions count, the sooner most of the task is known, and then the length of a feature is only noise.
#
# ```python
# for power, longest in ((1, 8), (2, 4)):
#     wins = []
#     for n in (2, 4, 8, 16, 32):
#         dist = PromptDistribution(12, (n,), (1.0,), Sx=np.arange(1.0, 13) ** -power)
#         plain = optimal_delta_rule(dist, "prompt").risk
#         unit = optimal_delta_rule(dist, "prompt", normalised=True).risk
#         wins += [n] * (unit < plain)
#     assert max(wins) == longest and len(wins) == np.log2(longest)
# ```
# ````

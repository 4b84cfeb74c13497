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
#   settles: 'the delta rule: its exact risk, its best steps for one task, and keys
#     of length one'
# ---

# %% [markdown]
# # A layer that erases
#
# A gate forgets by a number that it has to know. What does a layer gain that erases what it sees to be wrong?
#
# The delta rule keeps an estimate of the task. At each example it looks at its own error and corrects that. For this it needs no mark in the prompt that tells it what is stale.
#
# Its risk on multitask prompts is exact, like that of a weighted step. So the two can be compared without a simulation. On one task with white features the delta rule wins, from the second example on. Layers that are trained divide each key by its length. That helps at first and costs later.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-delta-rule", "caption": "The delta rule is below the best weighted step; keys of length one are lower still at first, and higher in the end. Left, what is left unknown of one task after $n$ examples without noise, at the best steps, $d = 10$; above the dotted line the next example tells more with a key of length one. Right, what keys of length one leave, over what plain keys leave, for three sizes of noise."}}
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
    "delta-rule",
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
# beta beta_query R r C Sx sigma M d K n x x_query y G
# ```
#
# ## Two ways to learn from a pair
#
# Let $\hat\beta_i$ be the estimate after $i$ examples, the label row of a layer's state. With a decay $g_i$ and a step $\eta_i$ (`alpha` and `beta` in code) and a
# scale $c$ the **gated delta rule** {cite:p}`yang2025gated` is
#
# $$
# \hat\beta_i = g_i \hat\beta_{i-1} + \eta_i \bigl( y_i - g_i\, x_i^\top \hat\beta_{i-1} \bigr) x_i, \qquad \hat\beta_0 = 0, \qquad \text{prediction } c\, x^\top \hat\beta_n .
# $$
#
# With $g_i = 1$ it is the delta rule {cite:p}`schlag2021linear`. Both it and linear attention learn online, by a gradient step at each example. Linear attention descends $-y_i\, x_i^\top \hat\beta$, the
# delta rule the squared error $\frac12 (y_i - x_i^\top \hat\beta)^2$. The first gradient does not see what is known already, the second does.

# %%
import torch


def step(loss, b, eta):
    b = b.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(b), b)
    return (b - eta * slope).detach()


torch.manual_seed(0)
x, b = torch.randn(2, 5, dtype=torch.float64)
y, eta = 0.7, 0.3
write = step(lambda b: -y * (x @ b), b, eta)
erase = step(lambda b: (y - x @ b) ** 2 / 2, b, eta)
assert torch.allclose(write, b + eta * y * x, atol=1e-15)
assert torch.allclose(erase, b + eta * (y - x @ b) * x, atol=1e-15)

# %% [markdown]
# ## The exact risk
#
# ```{prf:theorem} The risk of the delta rule
# :label: thm-delta-risk
#
# **The risk follows from a recursion that never looks off the diagonal.**
#
# *New here.* Let $\xi_j$ be the distinct positive eigenvalues of $\Sigma_x$, $m_j$ their multiplicities, $\Pi_j$ the projections on their eigenspaces, and $\tau_j = \tr(\Pi_j C)$. Let $g_i$, $\eta_i$ be
# any numbers. Put $u_j = \E \norm{\Pi_j \hat\beta}^2$, and let $c_{jk}$ start at zero, as $u_j$ does. At an example of task $k$
#
# $$
# \begin{aligned}
# e_j &= \tau_j (1 - 2 g_i c_{jk}) + g_i^2 u_j, \\
# u_j &\leftarrow g_i^2 u_j + 2 g_i \eta_i \xi_j (\tau_j c_{jk} - g_i u_j) + \eta_i^2 \xi_j \Bigl( 2 \xi_j e_j + m_j \bigl( \textstyle\sum_l \xi_l e_l + \sigma^2 \bigr) \Bigr), \\
# c_{jl} &\leftarrow g_i (1 - \eta_i \xi_j)\, c_{jl} + \eta_i R_{lk}\, \xi_j \qquad \text{for every task } l,
# \end{aligned}
# $$
#
# and for the query's task $\beta$ likewise, with $r_k$ for $R_{lk}$. At the end the risk is $M - 2 c \sum_j \xi_j \tau_j c_{j\beta} + c^2 \sum_j \xi_j u_j$. So of $C$ it knows the traces $\tau_j$ alone.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-delta-risk)=
# ```{prf:proof}
# Write $\tilde\beta = g_i \hat\beta_{i-1}$ and $w = \beta_k - \tilde\beta$. Then $\hat\beta_i = \tilde\beta + \eta_i x x^\top w + \eta_i \sigma \varepsilon x$, where $x$ and the noise $\varepsilon$ are independent of $\tilde\beta$ and of the tasks.
#
# *Overlaps.* $\E[\hat\beta_i \beta_l^\top] = (I - \eta_i \Sigma_x)\, \E[\tilde\beta \beta_l^\top] + \eta_i \Sigma_x R_{kl} C$. By induction this matrix is $\sum_j c_{jl} \Pi_j C$, plus nothing on the kernel of $\Sigma_x$, with the recursion for $c_{jl}$. The query's task is one of them, with $r_k$.
#
# *Energies.* Isserlis' formula gives $\E[x x^\top J x x^\top] = 2 \Sigma_x J \Sigma_x + \tr(\Sigma_x J) \Sigma_x$ for symmetric $J$. With $J = \E w w^\top$, $A = \E \tilde\beta \tilde\beta^\top$ and $H = \E[\tilde\beta w^\top]$
#
# $$
# \E \hat\beta_i \hat\beta_i^\top = A + \eta_i (H \Sigma_x + \Sigma_x H^\top) + \eta_i^2 \bigl( 2 \Sigma_x J \Sigma_x + \tr(\Sigma_x J) \Sigma_x + \sigma^2 \Sigma_x \bigr) .
# $$
#
# Take the trace with $\Pi_j$. As $\Pi_j \Sigma_x = \xi_j \Pi_j$, only $\tr(\Pi_j A) = g_i^2 u_j$, $\tr(\Pi_j H) = g_i c_{jk} \tau_j - g_i^2 u_j$ and $\tr(\Pi_j J) = \tau_j - 2 g_i c_{jk} \tau_j + g_i^2 u_j = e_j$ occur, and
# $\tr(\Sigma_x J) = \sum_l \xi_l e_l$. That is the recursion: it closes.
#
# *Risk.* The query's $x$ and noise are independent of all that, so the risk is $\sigma^2 + \tr \Sigma_x \E (\beta - c \hat\beta_n)(\beta - c \hat\beta_n)^\top$.
# ```
# ````
#
# Once $\Sigma_x$ is diagonal, the cost of `delta_rule_risk` does not depend on $d$, only on the number of distinct eigenvalues. A weighted step can use all of $C$, through its matrix $P$; the delta rule has no such matrix. Keys and queries $W x$, $W$ invertible, give it one: they are features with
# covariance $W \Sigma_x W^\top$ and tasks with $W^{-\top} C\, W^{-1}$.

# %% tags=["check", "asserts-thm-delta-risk"]
from dataclasses import replace

from torch.nn.functional import normalize


def loop(prompts, steps, decays):
    """x^T b_n, as a layer computes it."""
    b = torch.zeros_like(prompts.beta_query)
    for i, (eta, g) in enumerate(zip(steps, decays)):
        x, b = prompts.x[:, i], g * b
        b = b + eta * (prompts.y[:, i] - (x * b).sum(1))[:, None] * x
    return (prompts.x_query[:, 0] * b).sum(1)


rng, generator, z = np.random.default_rng(0), torch.Generator().manual_seed(0), []
for _ in range(20):
    f = rng.normal(size=(4, 4))
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    joint = f @ f.T
    np.fill_diagonal(joint, 1.0)
    Sx, C = (m @ m.T / 4 for m in rng.normal(size=(2, 4, 4)))
    options = {"R": joint[:3, :3], "Sx": Sx, "C": C, "sigma": rng.random()}
    dist = PromptDistribution(4, (3, 1, 4), joint[:3, 3], **options)
    steps = rng.uniform(-0.1, 1, size=dist.n) / (np.trace(Sx) + 2)
    decays = rng.uniform(0.5, 1, size=dist.n)
    prompts = dist.sample(20_000, generator, dtype=torch.float64)
    losses = (prompts.y_query[:, 0] - loop(prompts, steps, decays)) ** 2
    off = losses.mean().item() - delta_rule_risk(dist, steps, decays, scale=1.0)
    z.append(off / (losses.std().item() / 20_000**0.5))
    # What C does between eigenspaces of Sx is not seen.
    basis = np.linalg.eigh(Sx)[1]
    seen = dist.replace(C=(basis * np.sum(basis * (C @ basis), axis=0)) @ basis.T)
    whole = delta_rule_risk(dist, steps, decays)
    assert np.isclose(delta_rule_risk(seen, steps, decays), whole, rtol=1e-10)
assert np.abs(z).max() < 4 and np.mean(np.square(z)) < 2.5
print(
    f"20 random distributions: simulations are off by {np.std(z):.1f} standard errors, {np.abs(z).max():.1f} at most"
)

# %% [markdown]
# ## One task: Bayes' rate
#
# ```{prf:proposition} The delta rule on one task
# :label: prop-delta-one-task
#
# **One task: the delta rule beats every weighted step from the second example on.**
#
# *New here.* Let $\Sigma_x = C = I$, $K = 1$ and $r_1 \ne 0$, and let steps $\eta_i$, decays $g_i$ and the scale $c$ be any numbers. Put $e_0 = 1$ and
#
# $$
# \eta_i = \frac{e_{i-1}}{(d + 2)\, e_{i-1} + \sigma^2}, \qquad e_i = (1 - \eta_i)\, e_{i-1} .
# $$
#
# 1. The least risk is $M - r_1^2\, d\, (1 - e_n)$, attained by these steps with $g_i = 1$ and $c = r_1$.
# 2. Without noise the steps are $\frac{1}{d + 2}$ and $e_n = \bigl( 1 - \frac{1}{d + 2} \bigr)^n$.
# 3. The best weighted step has $\frac{d + 1 + \sigma^2}{n + d + 1 + \sigma^2}$ in place of $e_n$. That is $e_1$ for $n = 1$, and larger than $e_n$ for $n \ge 2$.
# 4. With noise $\frac{\sigma^2}{e_n} + (d + 1) \ln \frac{1}{e_n} = n + O(1)$, so $n\, e_n \to \sigma^2$, where the weighted step has $d + 1 + \sigma^2$ in the limit. The Bayes predictor has $\sigma^2$, too.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-delta-one-task)=
# ```{prf:proof}
# 1\. Measure vectors by $\E \langle \cdot, \cdot \rangle / d$. As the query's task is $r_1 \beta_1$ and something independent of the prompt, the least risk is $M - r_1^2 d (1 - \epsilon)$ with $\epsilon$ the least $\E \norm{\beta_1 - c \hat\beta_n}^2 / d$ over $c$. For an estimate let $\epsilon$ be this least error.
# We show that one step takes $\epsilon > 0$ to no less than $\Phi(\epsilon) = \epsilon - \epsilon^2 / ((d + 2) \epsilon + \sigma^2)$, which $\epsilon$ enters increasingly: $\Phi' = 1 - \frac{(d + 2) \epsilon^2 + 2 \epsilon \sigma^2}{((d + 2) \epsilon + \sigma^2)^2} > 0$. At the start $\epsilon = 1$, and $\Phi(\epsilon) > 0$.
#
# Let $\hat t$ be the estimate before the example at its best scale, so that $\beta_1 - \hat t \perp \hat t$, $\norm{\beta_1 - \hat t}^2 = \epsilon$, and $\norm{\hat t}^2 = 1 - \epsilon$. If $c = 0$ afterwards, the error is $1 > \Phi(\epsilon)$. Else $c \hat\beta_i = t + \eta' x (y - \zeta x^\top t)$ with $t = c\, g_i \hat\beta_{i-1}$, $\zeta = 1/c$ and $\eta' = c \eta_i$.
# By the moments of the last proof the new error is
#
# $$
# \norm{\beta_1 - t}^2 - 2 \eta' \langle \beta_1 - t, \beta_1 - \zeta t \rangle + \eta'^2 \bigl( (d + 2) \norm{\beta_1 - \zeta t}^2 + \sigma^2 \bigr) .
# $$
#
# Both $t$ and $\hat t$ are multiples of $\hat\beta_{i-1}$. So the two differences are $\beta_1 - \hat t$ and multiples of it, of signed lengths $\alpha$ and $b$; $\beta_1 - \hat t$ is orthogonal to them. With $S = (d + 2)(\epsilon + b^2) + \sigma^2$ the best $\eta'$ leaves $\epsilon + \alpha^2 - (\epsilon + \alpha b)^2 / S$; the best $\alpha$ leaves
# $\epsilon - \epsilon^2 / (S - b^2)$ (note $S > b^2$, as $\epsilon > 0$), and this is least at $b = 0$: $\Phi(\epsilon)$. There $\alpha = 0$, so $t = \hat t$, $\zeta = 1$ and $\eta' = \epsilon / S$ will do: the step of the statement, with $g_i = 1$. By induction it leaves an estimate of $\beta_1$ whose best scale is $1$ again: with $\norm{\hat t}^2 = \langle \hat t, \beta_1 \rangle$ before it, both grow by $\eta_i e_{i-1}$.
#
# 2\. is the case $\sigma = 0$. 3\. By {prf:ref}`thm-stationary-points` the best weights are equal, and the gain is $r_1^2 d\, n / (n + d + 1 + \sigma^2)$. With $p_i = 1/e_i$ the recursion is $p_i = p_{i-1} + 1 / \bigl( (d + 1)/p_{i-1} + \sigma^2 \bigr)$. The first increment is $1/(d + 1 + \sigma^2)$, later ones are larger, and
# equal ones give $p_n = 1 + n/(d + 1 + \sigma^2)$, the weighted step.
#
# 4\. Let $H(p) = \sigma^2 p + (d + 1) \ln p$. From $p$ to $p + \Delta$, with $\Delta / p = 1/(d + 1 + \sigma^2 p)$, it grows by $\sigma^2 \Delta + (d + 1) \ln(1 + \Delta/p)$, which is at most $1$, and at least $1 - \frac{d + 1}{2 (d + 1 + \sigma^2 p)^2}$, as $t - t^2/2 \le \ln(1 + t) \le t$ for $t \ge 0$. As $\sigma > 0$, $p_i$ grows
# at least linearly, the sum of what is missing is finite, and $H(p_n) = n + O(1)$. The Bayes predictor is ridge regression, with error $\frac1d \E \tr (I + X^\top X/\sigma^2)^{-1} \sim \sigma^2/n$.
# ```
# ````

# %%
d = 10
for sigma in (0.0, 1.0):
    for n in (1, 2, 10, 100):
        one = PromptDistribution(d, (n,), (1.0,), sigma=sigma)
        step, delta = optimal_wpgd(one), optimal_delta_rule(one, per="example")
        gap = [(risk - sigma**2) / d for risk in (step.risk, delta.risk)]
        print(f"sigma = {sigma}, n = {n:3}: {gap[0]:.4f}, erasing {gap[1]:.4f}")
        assert (gap[1] < gap[0] - 1e-6) == (n >= 2)

# %% tags=["check", "asserts-prop-delta-one-task"]
worst = np.inf
for d, n, sigma in ((1, 3, 0.0), (3, 6, 0.5), (10, 12, 2.0), (2, 5, 1.0)):
    one = PromptDistribution(d, (n,), (0.7,), sigma=sigma)
    e, steps = 1.0, []
    for _ in range(n):
        steps.append(e / ((d + 2) * e + sigma**2))
        e -= steps[-1] * e
    least = one.M - 0.49 * d * (1 - e)
    assert np.isclose(delta_rule_risk(one, steps, scale=0.7), least, rtol=1e-12)
    assert np.allclose(optimal_delta_rule(one, "example").beta, steps, rtol=1e-12)
    for spread in 10.0 ** rng.uniform(-3, 0, size=200):  # near them and far
        other = np.array(steps) * (1 + spread * rng.normal(size=n))
        decays = 1 - spread * rng.random(n)
        worst = min(worst, delta_rule_risk(one, other, decays) / least - 1)
assert -1e-12 < worst < 1e-5  # none is better, and some come near
e, sigma, d, n = 1.0, 2.0, 5, 10**5
for _ in range(n):
    e -= e**2 / ((d + 2) * e + sigma**2)
assert abs(sigma**2 / e + (d + 1) * np.log(1 / e) - n - sigma**2) < 0.6
print(
    f"800 other steps and decays: the nearest is {worst:.0e} above; n e_n = {n * e:.3f} at n = {n}, noise {sigma**2}"
)

# %% [markdown]
# ## Keys of length one
#
# A layer that is trained divides its keys and queries by their lengths, so that no step can be too long {cite:p}`yang2024parallelizing,yang2025gated`. The label is not divided: it still grows with the length of $x$, and the key does not tell how long that was.
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
#    u_j &\leftarrow g_i^2 u_j + 2 g_i \eta_i (\theta_j \tau_j c_{jk} - g_i p_j u_j) + \eta_i^2 \Bigl( \textstyle\sum_l \bigl( \Psi^{(2)}_{jl} \tau_l - 2 g_i \Psi^{(1)}_{jl} \tau_l c_{lk} + g_i^2 \Psi^{(0)}_{jl} u_l \bigr) + \sigma^2 m_j p_j \Bigr), \\
#    c_{jl} &\leftarrow g_i (1 - \eta_i p_j)\, c_{jl} + \eta_i R_{lk}\, \theta_j,
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
# 1\. The law of $x$ does not change if $x$ is turned within an eigenspace of $\Sigma_x$, or if its part there changes sign; so $\E \norm{x}^t \bar x \bar x^\top$ is a multiple of $\Pi_j$ on each. With $w = \norm{x} \beta_k - \tilde\beta$ the rule is $\hat\beta_i = \tilde\beta + \eta_i \bar x \bar x^\top w + \eta_i \sigma \varepsilon \bar x$. Where the first proof has $\Sigma_x$ between $x$ and $\tilde\beta$, we have $\E \bar x \bar x^\top$ or $\E \norm{x} \bar x \bar x^\top$. The last term is $\eta_i^2$ times
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
z, seen = [], []
for _ in range(20):
    f = rng.normal(size=(4, 4))
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    joint = f @ f.T
    np.fill_diagonal(joint, 1.0)
    Sx, C = (m @ m.T / 4 for m in rng.normal(size=(2, 4, 4)))
    options = {"R": joint[:3, :3], "Sx": Sx, "C": C, "sigma": rng.random()}
    dist = PromptDistribution(4, (3, 1, 4), joint[:3, 3], **options)
    steps, decays = rng.uniform(-0.1, 1, dist.n), rng.uniform(0.5, 1, dist.n)
    prompts = dist.sample(20_000, generator, dtype=torch.float64)
    unit = replace(prompts, x=normalize(prompts.x, dim=-1))
    unit = replace(unit, x_query=normalize(prompts.x_query, dim=-1))
    losses = (prompts.y_query[:, 0] - loop(unit, steps, decays)) ** 2
    exact = delta_rule_risk(dist, steps, decays, scale=1.0, normalised=True)
    z.append((losses.mean().item() - exact) / (losses.std().item() / 20_000**0.5))
    plain = delta_rule_risk(dist, steps, decays, scale=1.0)
    seen.append(abs(plain / exact - 1))
assert np.abs(z).max() < 4 and np.mean(np.square(z)) < 2.5
assert np.median(seen) > 0.1  # it is not the risk with plain keys
print(
    f"20 random distributions: simulations are off by {np.std(z):.1f} standard errors, {np.abs(z).max():.1f} at most"
)

# %% [markdown]
# For one task the best steps have a closed form again. What the length of $x$ does to a label, the key cannot explain. That is noise, of half a direction's size.
#
# ```{prf:proposition} One task, and keys of length one
# :label: prop-delta-unit-task
#
# **Keys of length one win while more than about a quarter of the task is unknown, and lose in the end.**
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
# For features that are not white there is more to win and to lose: see {ref}`the last exercise <ex-delta-lengths>`.
#
# ## Break it
#
# The weighted step may win where features are uneven, and keys are the plain features: it has its $P$, and the delta rule has one step for all directions. Here three directions carry signal, and the largest one little of it.

# %%
uneven = PromptDistribution(
    3, (20,), (1.0,), Sx=[1.0, 0.03, 0.03], C=[0.01, 30.0, 30.0], sigma=0.5
)
step = optimal_wpgd(uneven)
plain = optimal_delta_rule(uneven, per="example")
W = np.diag(np.sqrt(np.diag(step.P)))
V = np.linalg.inv(W)
keys = uneven.replace(Sx=W @ uneven.Sx @ W, C=V @ uneven.C @ V)
helped = optimal_delta_rule(keys, per="example")
for name, found in (("step", step), ("plain", plain), ("keys", helped)):
    print(f"{name:5}: {found.risk / uneven.M:.4f} M")
assert helped.risk < step.risk < plain.risk

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: the second example
# :label: ex-delta-second
#
# One task, white features, no noise, $r_1 = 1$. Compute the risk over $d$ after two examples for the best weighted step and for the delta rule. How large is the difference for large $d$?
# ```
#
# ```{hint}
# :class: dropdown
#
# $\frac{d + 1}{d + 3}$ against $\bigl( \frac{d + 1}{d + 2} \bigr)^2$.
# ```
#
# ````{solution} ex-delta-second
# :class: dropdown
#
# The difference is $\frac{d + 1}{(d + 2)^2 (d + 3)} \bigl( (d + 2)^2 - (d + 1)(d + 3) \bigr) = \frac{d + 1}{(d + 2)^2 (d + 3)}$, about $1/d^2$: two features are nearly orthogonal then, and there is little to erase.
# ````
#
# ```{exercise} Compute: how much noise
# :label: ex-delta-noise
#
# One task, $d = 10$ and $n = 50$. How much lower is the delta rule's risk than that of the best weighted step, less $\sigma^2$ and relatively, for $\sigma^2 = 0.1$, $1$, $10$ and $100$?
# ```
#
# ```{hint}
# :class: dropdown
#
# `optimal_delta_rule(dist, per="example")`.
# ```
#
# ````{solution} ex-delta-noise
# :class: dropdown
#
# With little noise nearly all is gained, with much noise nearly nothing: then no step may be large, and small steps are a weighted step.
#
# ```python
# lower = []
# for noise in (0.1, 1, 10, 100):
#     one = PromptDistribution(10, (50,), (1.0,), sigma=noise**0.5)
#     found = optimal_delta_rule(one, per="example").risk, optimal_wpgd(one).risk
#     lower.append(1 - (found[0] - noise) / (found[1] - noise))
# assert lower[0] > 0.8 and lower[-1] < 0.05
# assert all(a > b for a, b in zip(lower, lower[1:]))
# ```
# ````
#
# ```{exercise} Explore: one feature dwarfs the others
# :label: ex-delta-lengths
#
# One task without noise. The first of ten features has variance $1$ and hardly counts, the others have variance $0.05$ and carry the task: `Sx=[1.0] + [0.05] * 9, C=[0.05] + [1.0] * 9`. With one step for the prompt, compare plain keys, keys of length one and the best weighted step for $5$, $20$ and $80$ examples.
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
# A plain key is long where the first feature is large, and that bounds the step for all. Divided by its length it is not: keys of length one are far better for $20$ examples, and worse again for $80$. A weighted step, whose $P$ can weigh the features, is best until then.
#
# ```python
# risks = {}
# for n in (5, 20, 80):
#     options = {"Sx": [1.0] + [0.05] * 9, "C": [0.05] + [1.0] * 9}
#     dist = PromptDistribution(10, (n,), (1.0,), **options)
#     plain = optimal_delta_rule(dist, "prompt").risk
#     length_one = optimal_delta_rule(dist, "prompt", normalised=True).risk
#     risks[n] = optimal_wpgd(dist).risk, length_one, plain
# assert risks[5] == tuple(sorted(risks[5])) and risks[20] == tuple(sorted(risks[20]))
# assert risks[80] == tuple(sorted(risks[80])[i] for i in (1, 2, 0))
# ```
# ````

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
#   settles: 'the delta rule: its exact risk, its best steps for one task, and where
#     erasing helps'
# ---

# %% [markdown]
# # A layer that erases
#
# A gate forgets by a number that it has to know. What does a layer gain that erases what it sees to be wrong?
#
# The delta rule keeps an estimate of the task. At each example it looks at its own error and corrects that. For this it needs no mark in the prompt that tells it what is stale.
#
# Its risk on multitask prompts is exact, like that of a weighted step. So the two can be compared without a simulation. On one task with white features the delta rule wins from the second example on, and with noise it learns as fast as Bayes does in the end.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-delta-rule", "caption": "The delta rule leaves less unknown of one task than the best weighted step, exponentially less if there is no noise. What is left unknown after $n$ examples, at the best steps, for $d = 10$ and white features; dotted, $\\sigma^2 / n$, the rate of the Bayes predictor."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import (
    PromptDistribution,
    delta_rule_risk,
    optimal_delta_rule,
    optimal_wpgd,
    plotting,
)

plotting.use_style()
d, sizes = 10, np.arange(1, 201)
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.6), sharey=True)
curves = {}
for ax, noise in zip(axes, (0, 1)):
    e = [1.0]
    for _ in sizes:
        e.append(e[-1] - e[-1] ** 2 / ((d + 2) * e[-1] + noise))
    curves["weighted step", noise] = (d + 1 + noise) / (sizes + d + 1 + noise)
    curves["delta rule", noise] = np.array(e[1:])
    curves["Bayes' rate", noise] = noise / sizes if noise else np.full(200, np.nan)
    for name, color, dash in (
        ("weighted step", plotting.TASKS[0], "--"),
        ("delta rule", plotting.TASKS[1], "-"),
        ("Bayes' rate", "0.35", ":"),
    ):
        ax.loglog(sizes, curves[name, noise], dash, color=color, linewidth=2.4)
    _ = ax.set(xlabel="examples $n$", title=f"noise $\\sigma^2 = {noise}$")
axes[0].text(220, 0.62, "weighted step", ha="right")
axes[0].text(28, 0.02, "delta rule", ha="right")
axes[1].text(60, 0.006, "Bayes' rate", ha="right")
_ = axes[0].set(ylabel="unknown, $e_n$", ylim=(2e-3, 1.2))

# %% tags=["remove-input"]
plotting.FigureData(
    "delta-rule",
    {
        "curve": np.repeat([f"{name}, noise {v}" for name, v in curves], 200),
        "n": np.tile(sizes, 6),
        "unknown": np.concatenate([*curves.values()]),
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
# beta beta_query R r C Sx sigma M N d K n counts x y G P omega risk
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
def loop_risk(dist, steps, decays, scale):
    """The loop that a layer runs, on a grid with the moments of Gaussian features up to the fifth.

    No draws and no formula: given the features the error is linear in tasks and noise, so it runs once for each number
    that these are made of.
    """
    values, basis = np.linalg.eigh(dist.Sx)
    root = basis * np.sqrt(np.maximum(values, 0))
    at = np.indices((3,) * dist.d).reshape(dist.d, -1).T
    points = np.array([-(3**0.5), 0, 3**0.5])[at] @ root.T
    chance = (np.array([1, 4, 1]) / 6)[at].prod(axis=1)
    joint = np.block([[dist.R, dist.r[:, None]], [dist.r, 1.0]])
    halves = np.linalg.cholesky(joint), np.linalg.cholesky(dist.C)
    tasks = np.einsum("kl,ab->lbka", *halves).reshape(-1, dist.K + 1, dist.d)
    tasks = np.concatenate([tasks, np.zeros((dist.n, dist.K + 1, dist.d))])
    noise = np.zeros((len(tasks), dist.n))
    noise[-dist.n :] = dist.sigma * np.eye(dist.n)
    b, p = np.zeros((1, len(tasks), dist.d)), np.ones(1)
    for i, k in enumerate(dist.task_index):
        x, b = points[:, None], decays[i] * b[:, None]
        error = points @ tasks[:, k].T + noise[:, i] - (b * x).sum(-1)
        b = (b + steps[i] * error[..., None] * x).reshape(-1, len(tasks), dist.d)
        p = np.outer(p, chance).ravel()
    left = tasks[:, -1] - scale * b
    return dist.sigma**2 + p @ np.einsum("psa,ab,psb->p", left, dist.Sx, left)


rng, off = np.random.default_rng(0), 0.0
for counts, values in (
    ((1, 2), [1.0, 0.4, 0.4]),
    ((2, 1), [0.5, 0.5, 0.5]),
    ((3,), [1.0, 2.0, 0.0]),
):
    K, basis = len(counts), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    f, m = rng.normal(size=(K + 1, 4)), rng.normal(size=(3, 3))
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    joint, C = f @ f.T, m @ m.T
    np.fill_diagonal(joint, 1.0)
    options = {"R": joint[:K, :K], "Sx": (basis * values) @ basis.T, "C": C}
    dist = PromptDistribution(3, counts, joint[:K, K], sigma=0.7, **options)
    steps, decays = rng.uniform(0.1, 0.4, 3), rng.uniform(0.5, 1, 3)
    exact = delta_rule_risk(dist, steps, decays, scale=0.8)
    off = np.maximum(off, abs(loop_risk(dist, steps, decays, 0.8) / exact - 1))
    # What C does between eigenspaces of Sx is not seen.
    part = (basis * np.sum(basis * (C @ basis), axis=0)) @ basis.T
    seen = dist.replace(C=part)
    if len(set(values)) == 3:
        other = delta_rule_risk(seen, steps, decays, scale=0.8)
        assert np.isclose(other, exact, rtol=1e-10) and not np.allclose(C, part)
assert off < 1e-12
print(f"3 distributions: the loop that a layer runs has this risk to {off:.0e}")

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
for sigma in (0.0, 2.0):
    for n in (1, 2, 10, 100):
        one = PromptDistribution(d, (n,), (1.0,), sigma=sigma)
        step, delta = optimal_wpgd(one), optimal_delta_rule(one, per="example")
        gap = [(risk - sigma**2) / d for risk in (step.risk, delta.risk)]
        print(f"sigma = {sigma}, n = {n:3}: {gap[0]:.4f}, erasing {gap[1]:.4f}")
        assert (gap[1] < gap[0] - 1e-6) == (n >= 2)
        weighted = (d + 1 + sigma**2) / (n + d + 1 + sigma**2)
        assert np.isclose(gap[0], weighted, rtol=1e-12)

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
    if sigma == 0:
        assert np.isclose(e, (1 - 1 / (d + 2)) ** n, rtol=1e-12)
        assert np.allclose(steps, 1 / (d + 2), rtol=1e-12)
    for spread in 10.0 ** rng.uniform(-3, 0, size=200):  # near them and far
        other = np.array(steps) * (1 + spread * rng.normal(size=n))
        decays = 1 - spread * rng.random(n)
        worst = min(worst, delta_rule_risk(one, other, decays) / least - 1)
assert -1e-12 < worst < 1e-5  # none is better, and some come near
e, sigma, d, n, rest = 1.0, 2.0, 5, 10**5, {}
for i in range(1, n + 1):
    e -= e**2 / ((d + 2) * e + sigma**2)
    if i in (1000, n):
        rest[i] = sigma**2 / e + (d + 1) * np.log(1 / e) - i
assert abs(rest[n] - rest[1000]) < 0.02  # O(1): what is still to come is O(1 / i)
assert np.isclose(n * e, sigma**2, rtol=0.01)  # as Bayes, whose limit this is
step = (d + 1 + sigma**2) / (n + d + 1 + sigma**2)
assert np.isclose(n * step, d + 1 + sigma**2, rtol=0.01)
ridge = []
for _ in range(4):  # what ridge regression leaves; the mean differs by O(d / n)
    X = rng.normal(size=(10_000, d))
    left = np.linalg.inv(np.eye(d) + X.T @ X / sigma**2)
    ridge.append(np.trace(left) / d)
assert np.isclose(10_000 * np.mean(ridge), sigma**2, rtol=0.03)
print(
    f"800 other steps and decays: the nearest is {worst:.0e} above; n e_n = {n * e:.3f} at n = {n}, noise {sigma**2}"
)

# %% [markdown]
# ## Small steps are a weighted step
#
# Take steps $\epsilon\, \omega_i$ and the scale $1/\epsilon$. As $\epsilon \to 0$ nothing is erased, and the delta rule is the weighted step with weights $\omega$ and $P = I$. So the infimum of its risk is never above that of the best step whose $P$ is a multiple of $I$. For white features and tasks no other $P$ is better.
# Does erasing help at once?
#
# ```{prf:proposition} Where erasing helps
# :label: prop-delta-small
#
# **Erasing helps where related tasks meet, but for exact ties; if all are independent it cannot.**
#
# *New here.* Let $\Sigma_x = C = I$ and $r \ne 0$, index tasks by examples, let $\omega = (R + (d + 1 + \sigma^2) I)^{-1} r$ be the best weights, and $c$ be the best scale.
#
# 1. At steps $\eta_i = \epsilon\, \omega_i$ without decay the gain $M - \risk$ is the best weighted step's, times
#
#    $$
#    1 + \epsilon\, \frac{2 (d + 1)}{r^\top \omega} \sum_{i < j} R_{ij}\, \omega_i\, \omega_j^2 + O(\epsilon^2) .
#    $$
#
#    So if this sum is not zero, some delta rule is strictly better than every weighted step; with $\eta_i \ge 0$ if $\omega \ge 0$ and the sum is positive. For independent tasks it is $\sum_k \frac{n_k (n_k - 1)}2\, \omega_k^3$.
# 2. If $R = I$, so that no two examples have related tasks, no steps, decays and scale are better than the best weighted step.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-delta-small)=
# ```{prf:proof}
# 1\. All per dimension: with $N = M + 1$. To first and second order $\hat\beta_n = \sum_i \eta_i y_i x_i - \sum_{i < j} \eta_i \eta_j\, x_j x_j^\top x_i y_i$. So $\E \hat\beta_n^\top \beta / d = \epsilon\, r^\top \omega - \epsilon^2 p$ with $p = \sum_{i < j} \omega_i \omega_j r_i$. And $\E \norm{\hat\beta_n}^2 / d = \epsilon^2 \omega^\top (R + N I)\, \omega - 2 \epsilon^3 \Delta$, where $\Delta$ is the sum over $i < j$ and $l$ of $\omega_i \omega_j \omega_l$ times
# $\E[y_l\, x_l^\top x_j\, x_j^\top x_i\, y_i] / d$. That is $R_{li}$ for $l \ne i, j$; it is $d + 2 + \sigma^2$ for $l = i$, and $(d + 2) R_{ij}$ for $l = j$, by the fourth moments. So
#
# $$
# \Delta = \sum_{i < j} \omega_i \omega_j \bigl( ((R + N I)\, \omega)_i + (d + 1) R_{ij}\, \omega_j \bigr) = p + (d + 1) \sum_{i < j} R_{ij}\, \omega_i \omega_j^2,
# $$
#
# as $(R + N I)\, \omega = r$. The gain per dimension is $(\epsilon\, r^\top \omega - \epsilon^2 p)^2 / (\epsilon^2 r^\top \omega - 2 \epsilon^3 \Delta) = r^\top \omega\, \bigl( 1 + 2 \epsilon (\Delta - p) / r^\top \omega + O(\epsilon^2) \bigr)$. If the sum is negative, take $\epsilon < 0$. For independent tasks $\omega$ is constant on blocks.
#
# 2\. $\hat\beta_n = \sum_i U_i\, \eta_i y_i x_i$, where $U_i$ is the product of the later $g_j (I - \eta_j x_j x_j^\top)$. Tasks are independent, so the terms are orthogonal: the overlap is $\sum_i r_i \alpha_i \eta_i$ and the energy $\sum_i \eta_i^2 b_i (d + 2 + \sigma^2)$, with $\alpha_i = \prod_{j > i} g_j (1 - \eta_j)$ and
# $b_i = \prod_{j > i} g_j^2 \bigl( (1 - \eta_j)^2 + (d + 1) \eta_j^2 \bigr) \ge \alpha_i^2$. By Cauchy and Schwarz the gain is at most $d \sum_i r_i^2 \alpha_i^2/b_i / (d + 2 + \sigma^2) \le d \norm{r}^2 / (d + 2 + \sigma^2)$, which the weighted step has (where $b_i = 0$, $\alpha_i = 0$ too: leave such $i$ out).
# ```
# ````
#
# For features that are not white a weighted step may choose its $P$ and the delta rule, as it stands, may not. With keys and queries $P^{1/2} x$ it may: then its infimum is never above the best weighted step's.

# %% tags=["check", "asserts-prop-delta-small"]
off, signs = 0.0, set()
for _ in range(100):
    d, n = int(rng.integers(1, 6)), int(rng.integers(2, 8))
    f = rng.normal(size=(n + 1, n + 1))
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    joint = f @ f.T
    np.fill_diagonal(joint, 1.0)
    for R in (joint[:n, :n], None):
        r = joint[:n, n] if R is not None else joint[:n, n] / n
        dist = PromptDistribution(d, (1,) * n, r, R=R, sigma=rng.random())
        omega = np.linalg.solve(dist.R + (d + 1 + dist.sigma**2) * np.eye(n), r)
        pairs = np.triu(dist.R, 1)
        slope = 2 * (d + 1) * (omega @ pairs @ omega**2) / (r @ omega)
        eps = 1e-4
        up, down = (dist.M - delta_rule_risk(dist, t * omega) for t in (eps, -eps))
        best = dist.M - optimal_wpgd(dist).risk
        off = np.maximum(off, abs((up - down) / (2 * eps * best) - slope))
        signs.add(np.sign(slope))
        if R is None:
            for _ in range(10):
                steps = rng.normal(size=n) / (d + 2)
                risk = delta_rule_risk(dist, steps, rng.random(n))
                assert dist.M - risk <= best * (1 + 1e-12)
                decays = rng.uniform(1 - 1e-4, 1, n)
                slow = delta_rule_risk(dist, 1e-3 * omega, decays)
                assert best * (1 - 1e-3) < dist.M - slow <= best * (1 + 1e-12)
assert off < 1e-5 and signs == {-1.0, 0.0, 1.0}
for counts, r in (((3, 2), (0.6, 0.5)), ((1, 4), (0.3, -0.7))):  # independent tasks
    two = PromptDistribution(3, counts, r, sigma=0.5)
    n_k, omega = np.array(counts), np.array(r) / (np.array(counts) + 4 + 0.25)
    total = np.sum(n_k * (n_k - 1) / 2 * omega**3)
    slope = 2 * 4 * total / np.sum(n_k * two.r * omega)
    up, down = (two.M - delta_rule_risk(two, t * omega) for t in (1e-4, -1e-4))
    best = two.M - optimal_wpgd(two).risk
    assert np.isclose((up - down) / (2e-4 * best), slope, rtol=1e-4)
print(f"200 random tasks, slopes of both signs: the formula holds to {off:.0e}")

# %% [markdown]
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
# ```{answer} ex-delta-second
# asks: The risk over d of the best weighted step less that of the delta rule, as a function of d.
# value: "lambda d: (d + 1) / (d + 3) - ((d + 1) / (d + 2)) ** 2"
# at: [{d: 10}, {d: 3}, {d: 1}]
# wrong:
# - value: "lambda d: 1 / d**2"
#   says: That is the limit of large d. The whole formula is asked for.
# - value: "lambda d: (d + 1) / (d + 3) - (1 - 1 / d) ** 2"
#   says: A plain key is not of length one, so the best step is not 1/d. See the steps without noise.
# - value: "lambda d: (d + 1) / (d + 3) - (1 - 1 / (d + 1)) ** 2"
#   says: After one example both leave the same. What does a weighted step leave after one?
# - value: "lambda d: d / (d + 2) - ((d + 1) / (d + 2)) ** 2"
#   says: N is d + 1, not d.
# - value: "lambda d: 1 - ((d + 1) / (d + 2)) ** 2 * (d + 3) / (d + 1)"
#   says: That is the difference as a share of what the weighted step leaves.
# - value: "lambda d: d * ((d + 1) / (d + 3) - ((d + 1) / (d + 2)) ** 2)"
#   says: That is a difference of risks. Divide by d.
# minutes: 7
# level: 1
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
# ```{answer} ex-delta-noise
# asks: How much lower for a noise of variance ten, as a fraction?
# value: lower[2]
# within: 2%
# wrong:
# - value: "(lambda one: 1 - optimal_delta_rule(one, per='example').risk / optimal_wpgd(one).risk)(PromptDistribution(10, (50,), (1.0,), sigma=10**0.5))"
#   says: Take the variance of the noise from both risks first. No predictor comes below it.
# - value: lower[3]
#   says: That is for a variance of a hundred. The argument sigma is the root of the variance.
# - value: lower[1]
#   says: That is for a variance of one.
# - value: 1 / (1 - lower[2]) - 1
#   says: Relative to the delta rule. How much lower is it than the weighted step?
# - above: 1
#   says: A risk cannot be lower by more than all of it.
# minutes: 5
# level: 1
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
# assert np.allclose(lower, (0.892, 0.715, 0.224, 0.00541), rtol=2e-3)
# ```
# ````
#
# ```{exercise} Explore: one step for all examples
# :label: ex-delta-equal
#
# With noise the best steps fall from example to example. What does a layer lose that has one step for the whole prompt, the best one for its length? Take $d = 5$, $\sigma^2 = 1$ and up to $1000$ examples.
# ```
#
# ```{answer} ex-delta-equal
# asks: With a thousand examples, how many times as much is left unknown with one step as with the best steps?
# value: times[2]
# within: 2%
# wrong:
# - value: times[1]
#   says: That is for a hundred examples.
# - value: times[0]
#   says: That is for ten examples.
# - value: times[2] - 1
#   says: That is how much more. How many times as much?
# minutes: 7
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `optimal_delta_rule(dist, "prompt")` and `"example"`. A long step forgets noise and errors alike.
# ```
#
# ````{solution} ex-delta-equal
# :class: dropdown
#
# Little, and slowly more: a ten times longer prompt costs a further fraction of what is left unknown. A step that is small enough to average the noise away in the end is too small to begin with.
#
# ```python
# times = []
# for n in (10, 100, 1000):
#     dist = PromptDistribution(5, (n,), (1.0,), sigma=1.0)
#     one, each = (optimal_delta_rule(dist, per).risk - 1 for per in ("prompt", "example"))
#     times.append(one / each)
# assert 1 < times[0] < 1.1 < times[1] < times[2] < 2
# ```
# ````

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
#   settles: what a gate at the query and a normaliser can do when all weights are fixed
# ---

# %% [markdown]
# # At the query
#
# When the query comes, all weights are fixed but for a common factor: what can a layer still do?
#
# Forget gates and gates on the write decide while the prompt is read. The query comes last, and may be the only one to know which of the tasks counts. Two things are left to do then: to open and close heads, and to divide
# what they say by a normaliser, as an mLSTM does.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-at-the-query", "caption": "Each head with a gate at the query buys one share of the gain, and a normaliser clips a little off the risk. Left, four tasks of 25 examples ($d = 10$), of which the query names one. Right, the risk of the best weighted step of one example after its prediction is divided by $\\max(|\\delta|/c, 1)$ ($d = 1$, noise of variance one)."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    Prompts,
    optimal_wpgd,
    plotting,
    wpgd_step,
)
from torch import nn

plotting.use_style()
DOUBLE = {"dtype": torch.float64}


def gain_when_told(dist):
    """tau: what one of several equal, independent tasks gains alone; Sx = diag, C = I."""
    n, s = dist.counts[0], np.diag(dist.Sx)
    return n * np.sum(s**2 / (dist.M + (1 + n) * s))


def clipped_risk(c, p=0.25, sigma=1.0, points=1500):
    """Risk of f_c: d = 1, one example of the query's own task, omega = 1, P = p."""
    x = np.linspace(0, 10, points)
    chance = np.exp(-(x**2) / 2) * np.sqrt(2 / np.pi) * (x[1] - x[0])
    chance[0] /= 2
    query, example = x[:, None] ** 2, x**2  # their squares
    a = np.minimum(1, c / (p * np.sqrt(query * example)).clip(1e-300))
    error = query + sigma**2 - 2 * a * p * query * example
    error += a**2 * p**2 * query * example * (example + sigma**2)
    return chance @ error @ chance


four = PromptDistribution(10, (25,) * 4, (0.0,) * 4)
heads, c = np.arange(1, 7), np.geomspace(0.3, 6, 40)
by_heads = 1 - np.minimum(heads, 4) / 4 * gain_when_told(four) / 10
unclipped = 1.75
by_clip = np.array([clipped_risk(v, points=500) for v in c])
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2))
left.plot(heads, by_heads, "o-", color=plotting.TASKS[0], linewidth=1.6)
left.axhline(by_heads[0], color="0.4", linestyle=(0, (4, 1.4)), linewidth=1.6)
left.text(
    6, by_heads[0] - 0.02, "gates blind to it", ha="right", va="top", color="0.35"
)
left.text(3.2, 0.52, "a gate that\nreads the name", color=plotting.TASKS[0])
left.set(xlabel="heads", ylabel="risk / $d$", ylim=(0.2, 0.9), xticks=heads)
right.semilogx(c, by_clip, color=plotting.TASKS[1], linewidth=2.2)
right.axhline(unclipped, color="0.4", linestyle=(0, (4, 1.4)), linewidth=1.6)
right.text(6, 1.752, "no normaliser", ha="right", va="bottom", color="0.35")
right.set(xlabel="$c$", ylabel="risk", ylim=(1.73, 1.78), xticks=(0.5, 1, 2, 5))
right.minorticks_off()
_ = right.set_xticklabels(["0.5", "1", "2", "5"])

# %% tags=["remove-input"]
plotting.FigureData(
    "at_the_query",
    plotting.beside(
        {"heads": heads, "risk_per_d": by_heads}, {"c": c, "clipped_risk": by_clip}
    ),
    figure=fig,
    tasks="four of 25 examples, d = 10; one of one example, d = 1, sigma = 1",
    no_normaliser=unclipped,
    seed="none",
)


# %% [markdown]
# ```{note}
# Weights in the first section do not read the data; a normaliser makes them do so.
# ```
#
# ## A head for each question
#
# ```{symbols}
# omega P P_q P_k K counts n d x y x_query q k v G o risk M r R C Sx Sigma sigma Q beta f B
# ```
#
# The prompt holds $K$ tasks, and the query *names* the one that it asks about. Whatever has been stored by then is the same for all questions. A gate at the query can only turn a whole head up or down. So what is needed is a head for each question:
#
# ```{prf:theorem} The query names its task
# :label: thm-named-query
#
# **If the query names one of $K$ equal tasks, each of as many heads buys one $K$th of the gain, as long as gates at the query read the name. If none does, all heads together buy one.**
#
# *New here.* Let the query's task be that of block $k$, with $k$ uniform on $1, \dots, K$, independent of all else, and told by the query's context; $r^{(k)}$ is the column of $R$ that belongs to task $k$. A layer of $m$ heads predicts $\sum_{j=1}^m g_j(k)\, x^\top P_j X^\top (\omega^{(j)} \odot y)$: the query's gates $g_j(k) \in [0, 1]$ may read $k$, the weights of the examples cannot.
#
# 1. If no $g_j$ depends on $k$, the layer's risk is that on prompts whose query has the correlations $\bar r = \frac1K \sum_k r^{(k)}$ with the tasks. The risk of one head is then at least the WPGD optimum of these prompts.
# 2. For any number of heads the risk is at least the mean over $k$ of the $\risk^{\text{key}}$ of {prf:ref}`thm-heads` at $r^{(k)}$.
# 3. Let tasks be independent, of one size $n_1$, and $\tau = n_1 \sum_l s_l^2 / \bigl( M + (1 + n_1)\, s_l \bigr)$. With gates on the writes, the infimum over layers of $m$ heads is
#
#    $$
#    M - \frac{\min(m, K)}{K}\, \tau .
#    $$
#
#    One head needs no gates for it, and $2K - 1$ heads with forget gates, and the $g_j$, reach $M - \tau$. If no $g_j$ depends on $k$ the infimum is $M - \tau/K$ for every $m$.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-named-query)=
# ```{prf:proof}
# Given $k$, the prompt has the law of Definition 2 with $r^{(k)}$, and $f$ is a sum of weighted steps with the maps $B^{(k)}_i = \sum_j g_j(k)\, \omega^{(j)}_i P_j$.
#
# **1.** The risk for maps, in the proof of {prf:ref}`prop-beyond-wpgd`, is affine in $r$. If the maps are the same for all $k$, the mean over $k$ puts $\bar r$ in the place of $r^{(k)}$. (Only second moments count, so $\bar r$ need not belong to a Gaussian query; it does: $\bar r$ is $R$ times a vector, and $\bar r^\top R^+ \bar r \le 1$ by convexity.) One head is WPGD.
#
# **2.** is {prf:ref}`prop-beyond-wpgd` for each $k$.
#
# **3.** Averaging weights over blocks does not raise the risk, as it is the mean of quadratic forms that are invariant under exchange of the examples of a block, and keeps the form of the layer. Let $T^{lt}$ be the $K \times K$ matrix of the entries $(l, t)$, in the eigenbasis of $\Sigma$, of the $\Sigma_x^{1/2} B^{(k)} \Sigma_x^{1/2}$ for an example of block $i$: row $i$, column $k$. It is $\sum_j \omega^{(j)} g_j^\top$ times numbers,
# so its rank is at most $m$. With $r^{(k)}$ the indicator of block $k$ the risk is
#
# $$
# M + \frac{1}{K} \sum_{l,t} \Bigl[ n_1 \bigl( M + (1 + n_1)\, s_t \bigr) \norm{T^{lt}}_F^2 - 2\, n_1 s_l \mathbb{1}_{l = t} \tr T^{lt} \Bigr] .
# $$
#
# For every real matrix $(\tr T)^2 \le \rank(T)\, \norm{T}_F^2$: the trace is at most the sum of the singular values. So each $(l, l)$ gains at most $\frac1K\, n_1 s_l^2\, m / \bigl( M + (1 + n_1)\, s_l \bigr)$, in sum $\tau m/K$; and $m$ may be replaced by $K$ if it is larger. It is attained if head $j \le \min(m, K)$ writes block $j$ alone, has $g_j(k) = \mathbb{1}_{j = k}$ and the best $P$ for $r^{(j)}$ and these
# weights, of which {prf:ref}`thm-stationary-points` says that it gains $\tau$.
#
# One head with equal weights and $g = 1$ has $T^{ll}$ proportional to $\ones\ones^\top$, for which $(\tr T)^2 = \norm{T}_F^2$: this is $\tau/K$. Let $\omega^{(j)}$ be one on the blocks $j, \dots, K$ and zero before, as a gate of zero at a delimiter makes it. Block $k$ is $\omega^{(k)} - \omega^{(k+1)}$: take heads with $P$ for $j = 1, \dots, K$ and with $-P$ for $j = 2, \dots, K$, and let the query open two of them, or one for
# $k = K$. If no $g_j$ depends on $k$, all columns of $T^{lt}$ are equal, and its rank is at most one.
# ```
# ````
#
# So no gate on the examples, on what they write or what is kept of them, does for such a prompt more than linear attention does. $K$ heads with a gate at the query answer as if there were one task in the prompt. Heads that share $P$ are value channels; here are the $2K - 1$:


# %% tags=["hide-input"]
class Table(nn.Module):
    """A value gate for each kind of token, as given: context is one-hot."""

    name, acts_on = "table", "value"

    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", torch.as_tensor(table))

    def forward(self, Z):
        return Z[..., -len(self.table) :] @ self.table


def named_query_gates(K):
    """(3K, 2K - 1): of the blocks, the delimiters, and a query that names block k."""
    starts = np.append(
        np.arange(K), np.arange(1, K)
    )  # a channel holds blocks j, ..., K
    cleared = starts - 1 == np.arange(K)[:, None]  # by the delimiter before block j
    opened = np.hstack(
        [np.eye(K), np.eye(K, K - 1)]
    )  # block k = from k on - from k+1 on
    return np.vstack([np.ones((K, 2 * K - 1)), 1.0 - cleared, opened])


# %% tags=["check", "asserts-thm-named-query"]
def risk_of_maps(dist, B):
    """Of maps B (K, d, d), one for each task; independent tasks, Sx = diag, C = I."""
    n, s = np.array(dist.counts), np.diag(dist.Sx)
    Q = np.sqrt(s)[:, None] * B * np.sqrt(s)
    cost = n[:, None, None] * (dist.M + s * (1 + n[:, None, None])) * Q**2
    return dist.M - 2 * np.einsum("a,kaa,k->", s, Q, n * dist.r) + cost.sum()


def risk_of_named(heads, dist):
    """Mean over k of the risk of heads (w_j (K,), g_j (K,), P_j), each for r = e_k."""
    total = 0.0
    for k, relevance in enumerate(np.eye(dist.K)):
        asked = PromptDistribution(
            dist.d, dist.counts, relevance, Sx=dist.Sx, sigma=dist.sigma
        )
        B = sum(g[k] * w[:, None, None] * P for w, g, P in heads)
        total += risk_of_maps(asked, B) / dist.K
    return total


rng, worst, nearest, tried = np.random.default_rng(4), 0.0, 0.0, 0
for K in (2, 3, 4):
    Sx, zeros = np.diag([1.0, 0.3, 0.05]), (0.0,) * K
    dist = PromptDistribution(3, (6,) * K, zeros, Sx=Sx, sigma=0.4)
    one = optimal_wpgd(PromptDistribution(3, (6,), (1.0,), Sx=Sx, sigma=0.4))
    told = gain_when_told(dist)
    assert np.isclose(dist.M - one.risk, told, rtol=1e-10)
    mean = optimal_wpgd(
        PromptDistribution(3, (6,) * K, (1 / K,) * K, Sx=Sx, sigma=0.4)
    )
    assert np.isclose(mean.risk, dist.M - told / K, rtol=1e-10)
    equal = [(np.full(K, one.omega[0]), np.ones(K), one.P / K)]
    assert np.isclose(risk_of_named(equal, dist), dist.M - told / K, rtol=1e-10)
    for m in range(1, K + 1):
        heads = [(one.omega[0] * e, e, one.P) for e in np.eye(K)[:m]]
        assert np.isclose(
            risk_of_named(heads, dist), dist.M - m * told / K, rtol=1e-10
        )
        for _ in range(40):  # other heads, near those and far from them
            size = 10 ** rng.uniform(-3, 1)
            others = [
                (
                    w + size * rng.normal(size=K),
                    g + size * rng.random(K),
                    P + size * one.P[0, 0] * rng.normal(size=(3, 3)),
                )
                for w, g, P in heads
            ]
            gain = dist.M - risk_of_named(others, dist)
            assert gain <= m * told / K * (1 + 1e-9)
            nearest = max(nearest, gain / (m * told / K))
    # The layer itself, with 2K - 1 value channels.
    gates, kinds = named_query_gates(K), np.eye(3 * K)
    for k in range(K):
        tokens = Layout(delimiters=True, context=kinds[[*range(2 * K), 2 * K + k]])
        layer = GLA(
            4 + 3 * K,
            Table(gates),
            key_width=3,
            value_width=2 * K - 1,
            context_width=3 * K,
            **DOUBLE,
        )
        with torch.no_grad():
            layer.h[:] = torch.tensor([1.0] * K + [-1.0] * (K - 1))
        layer.layers[0].construct(
            torch.tensor(one.P), torch.eye(3, **DOUBLE), torch.ones(2 * K - 1)
        )
        p = dist.sample(5, torch.Generator().manual_seed(k), **DOUBLE)
        expected = wpgd_step(p.x, p.y, p.x_query, one.P, dist.expand(np.eye(K)[k]))
        error = (layer(tokens(p)) - expected).abs().max() / expected.abs().max()
        assert error < 1e-10
        worst, tried = max(worst, error.item()), tried + 1
assert 1 - 1e-3 < nearest
ten = PromptDistribution(10, (50, 50), (0.0, 0.0))
fixed, told = ten.M - gain_when_told(ten) / 2, ten.M - gain_when_told(ten)
print(
    f"{tried} layers whose query picks its block, right to {worst:.0e}; two tasks of 50, "
    f"d = 10: {fixed / 10:.2f} d with fixed weights, {told / 10:.2f} d with a gate at the query"
)

# %% [markdown]
# | who knows what a block is worth | the gate that can use it | what one head then reaches |
# |---|---|---|
# | its own tokens | on the write | any weights that are not negative |
# | a delimiter after it | forget gate | weights that rise |
# | the query | at the query, in several heads or channels | one $K$th of the gain for each head |
#
# In between much is open: a block whose worth is told by a *later* mark, before the query, and heads with forget gates only, from two to $2K - 2$ of them.
#
# ## A normaliser
#
# An mLSTM {cite}`beck2024xlstm` sums its keys as well, with the same gates, and divides by what the query reads of this sum, where that is not small. This makes the weights depend on the data: the layer is no weighted step, and the ceiling of {prf:ref}`thm-ceiling` does not hold for it. What it divides by is what it would predict if every label were one.
#
# ```{prf:proposition} A normaliser is a clip
# :label: prop-normaliser
#
# **Set high enough, a normaliser takes a layer below the risk of its own weighted step.**
#
# *New here.* Let $f = x^\top P X^\top (\omega \odot y)$ and $\delta = x^\top P \sum_i \omega_i x_i$, and for $c > 0$
#
# $$
# f_c = \frac{f}{\max(\lvert \delta \rvert / c,\, 1)} .
# $$
#
# 1. Let $S_i = g_i S_{i-1} + u_i v_i k_i^\top$ and $m_i = g_i m_{i-1} + u_i k_i$, with the output $S_{n+1} q / \max(\lvert m_{n+1}^\top q \rvert, 1)$, $u_{n+1} = 0$, and otherwise a layer of {prf:ref}`def-construction`. If its weights are $\omega / c$, then $c$ times its prediction is $f_c$.
# 2. $\lvert f_c \rvert \le \lvert f \rvert$, and as $c \to \infty$ the risk of $f_c$ tends to $\risk(P, \omega)$.
# 3. Let $\omega \ne 0$, $Q = \Sigma_x^{1/2} P\, \Sigma_x^{1/2} \neq 0$, and $\sigma > 0$ or $\rank \Sigma \ge 2$. Then the risk of $f_c$ is below $\risk(P, \omega)$ for all large $c$. So the infimum of such layers' risks is below $\risk^\star$ wherever some best $\omega$ is not negative, $r \neq 0$ and $\Sigma \ne 0$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-normaliser)=
# ```{prf:proof}
# **1.** With $u_i$ in place of the label $m$ is the state, so $m_{n+1}^\top q = \delta / c$. **2.** The first is plain; $f_c \to f$ pointwise, and $f^2$ has a finite mean.
#
# **3.** Let $\zeta = \min(1, c/\lvert\delta\rvert)$ and $b = 1 - \zeta \ge 0$, zero unless $\lvert \delta \rvert > c$. With the query's label $y_{n+1}$,
#
# $$
# (y_{n+1} - \zeta f)^2 - (y_{n+1} - f)^2 = b\, \bigl( 2\, y_{n+1} f - (1 + \zeta) f^2 \bigr) \le b\, \bigl( 2\, y_{n+1}^2 - \tfrac12 f^2 \bigr).
# $$
#
# Let $z_i = x^\top P x_i$, so that $\delta = \sum_i \omega_i z_i$ and $f = \sum_i \omega_i z_i y_i$, and condition on $x$ and $z$; $b$ is a function of these. Given them, $x_i = z_i t + \xi_i$ with a vector $t$ that depends on $x$ only and independent Gaussian $\xi_i$ of mean zero, whose covariance is that of $x_i$ less its part along $P^\top x$. (If $z_i = 0$ almost surely given $x$, then $b = 0$.) For $i \neq j$ the
# products of $\xi_i^\top \beta_i$ and $\xi_j^\top \beta_j$ have mean zero, and $\E\, (\xi_i^\top \beta_i)^2 = \tr \Sigma - u^\top \Sigma u$ for some unit vector $u$. So
#
# $$
# \E[f^2 \mid x, z] \ge \nu \sum_i \omega_i^2 z_i^2 \ge \frac{\nu}{n}\, \delta^2, \qquad \nu = \sigma^2 + \tr \Sigma - \max_l s_l > 0,
# $$
#
# and $\E[b f^2] \ge \frac{\nu}{n} c^2\, \E b$. On the other side $\E[y_{n+1}^2 \mid x, z] = x^\top C x + \sigma^2 =: \eta$. With $\epsilon = \nu/8n$
#
# $$
# 2\, \E[b\, \eta] \le 2 \epsilon c^2\, \E b + 2\, \E[\eta\, ;\, \eta > \epsilon c^2],
# $$
#
# so the risk changes by at most $-\frac{\nu}{4n} c^2\, \E b + 2\, \E[\eta\, ;\, \eta > \epsilon c^2]$. The last term is at most $e^{-\text{const} \cdot c^2}$ for large $c$, as $\eta$ is a quadratic form of Gaussians. But $\E b \ge \frac12 \Pr(\lvert \delta \rvert > 2c)$, and given $x$, $\delta$ is normal with standard deviation $\norm{\omega}\, \norm{\Sigma_x^{1/2} P^\top x}$, whose last factor is the norm of a
# Gaussian vector with covariance $Q^\top Q \ne 0$. Both this norm and the normal variable exceed a multiple of $\sqrt c$ with probability $e^{-\text{const} \cdot c}$ at least: a product of two Gaussians has the heavier tail. So the first term wins. If $r \ne 0$ and $\Sigma \neq 0$, then $\risk^\star < M$, and a best pair has $\omega \ne 0$ and $Q \ne 0$.
# ```
# ````
#
# When $\delta$ is huge, so is the prediction, and far too large: the examples happen to lie along the query. Any clip would help there. In this example it does not help much, and set too low it harms.

# %%
low, high, never = (clipped_risk(c) for c in (0.1, 1.0, 100.0))
best_step = optimal_wpgd(PromptDistribution(1, (1,), (1.0,), sigma=1.0)).risk
assert np.allclose([never, unclipped], best_step, rtol=1e-6)  # M - 1 / (M + 2)
assert high < never < low


# %% tags=["check", "asserts-prop-normaliser"]
def change_of_risk(dist, c_over_sd, draws, rng):
    """Mean and standard error of risk(f_c) - risk(f) at the best weights, over M.

    For white features and independent tasks: labels are averaged by hand.
    """
    best, parts = optimal_wpgd(dist), []
    omega, index = dist.expand(best.omega), dist.task_index
    p = best.P[0, 0]
    c = c_over_sd * abs(p) * np.linalg.norm(omega) * np.sqrt(dist.d)
    for _ in range(draws // 10_000):
        X, x = (
            rng.normal(size=(10_000, dist.n, dist.d)),
            rng.normal(size=(10_000, dist.d)),
        )
        z = omega * p * np.einsum("bnd,bd->bn", X, x)
        a = np.minimum(1, c / np.abs(z.sum(1)))
        sums = np.stack(
            [
                np.einsum("bn,bnd->bd", z[:, index == k], X[:, index == k])
                for k in range(dist.K)
            ],
            1,
        )
        product = np.einsum("bkd,bd,k->b", sums, x, dist.r)
        square = (sums**2).sum((1, 2)) + dist.sigma**2 * (z**2).sum(1)
        parts.append((1 - a) * (2 * product - (1 + a) * square))
    parts = np.concatenate(parts) / dist.M
    return parts.mean(), parts.std() / len(parts) ** 0.5


class InputGate(nn.Module):
    """A forget gate and an exponential input gate for each kind of token."""

    name, acts_on = "input gate", "scalar"

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(table))

    def forward(self, Z):
        return torch.sigmoid(Z[..., -len(self.table) :] @ self.table[:, 0])

    def write(self, Z):
        return torch.exp(Z[..., -len(self.table) :] @ self.table[:, 1])


# Part 1: the recurrence of an mLSTM, token by token.
rng, n = np.random.default_rng(5), 6
dist, tokens = PromptDistribution(2, (1,) * n, (0.0,) * n), Layout(context=True)
p = dist.sample(7, torch.Generator().manual_seed(5), **DOUBLE)
table = np.stack([rng.normal(size=n + 1), rng.normal(size=n + 1)], 1)
P = np.array([[2.0, 0.4], [-0.3, 1.0]])
width = tokens.width(dist)
layer = GLA(width, InputGate(table), key_width=2, context_width=n + 1, **DOUBLE)
layer.layers[0].construct(torch.tensor(P), torch.eye(2, **DOUBLE), layer.h)
ones = Prompts(
    p.x, torch.ones_like(p.y), p.x_query, p.y_query, p.beta, p.beta_query, p.counts
)
with torch.no_grad():
    found = layer(tokens(p)) / layer(tokens(ones)).abs().clamp_min(1)
S, m = np.zeros((7, 2)), np.zeros((7, 2))
for i in range(n):
    g, u = 1 / (1 + np.exp(-table[i, 0])), np.exp(table[i, 1])
    S, m = (
        g * S + u * (p.y[:, i, None] * p.x[:, i]).numpy(),
        g * m + u * p.x[:, i].numpy(),
    )
g, q = 1 / (1 + np.exp(-table[n, 0])), p.x_query[:, 0].numpy() @ P
expected = g * (S * q).sum(1) / np.maximum(np.abs(g * (m * q).sum(1)), 1)
assert np.allclose(found[:, 0].numpy(), expected, rtol=1e-12, atol=1e-12)

seen = []
for d, counts, r, sigma in ((1, (5,), (1.0,), 1.0), (2, (3, 3), (0.8, 0.2), 0.5)):
    mean, error = change_of_risk(
        PromptDistribution(d, counts, r, sigma=sigma), 3, 200_000, rng
    )
    assert mean < -5 * error  # about ten of them
    seen.append(mean)
one = PromptDistribution(1, (1,), (1.0,), sigma=1.0)
mean, error = change_of_risk(one, 0.5, 400_000, rng)  # where much is clipped
exact = (clipped_risk(0.5 / 4) - never) / one.M
assert abs(mean - exact) < 5 * error < 0.05 * abs(exact)
c = np.linspace(0.2, 3, 57)
curve = np.array([clipped_risk(v, points=500) for v in c])
assert (curve[c > 1] < never).all()
assert np.isclose(1 - curve.min() / never, 0.0080, rtol=0.03)
print(
    f"a normaliser at three standard deviations: {-seen[0]:.2%} and {-seen[1]:.2%} of M lower; "
    f"at best {1 - curve.min() / never:.1%} lower for one example, d = 1"
)

# %% [markdown]
# ## Break it
#
# **The name comes first.** If the question comes before the examples, so that each of them can carry its name, gates on the writes can read it. Then one head is enough: it writes the block that is asked for and nothing else.

# %%
for relevance in np.eye(4):
    asked = optimal_wpgd(PromptDistribution(10, (25,) * 4, relevance))
    assert np.isclose(asked.risk, four.M - gain_when_told(four), rtol=1e-12)
    assert np.allclose(asked.omega / asked.omega.max(), relevance)

# %% [markdown]
# **A clip that is too low.** It no longer takes off what is too much:

# %%
print([f"{clipped_risk(c):.2f}" for c in (0.1, 0.3, 1.0)])
assert abs(clipped_risk(0.3) - never - 0.0310) < 0.001

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: two heads that only forget
# :label: ex-two-forget-heads
#
# Two blocks, and a query that names one of them. Three heads with forget gates and a common $P$ answer both questions. Can two, $w = (1, \alpha)$ added and $w' = (\beta, 1)$ subtracted, with $\alpha \ge 1 \ge \beta \ge 0$ and gates $g, g' \in [0, 1]$ at the query?
# ```
#
# ```{answer} ex-two-forget-heads
# asks: Why can two heads not answer both questions?
# choices:
# - text: a difference of two heads gives neither of the two vectors
#   says: For (1, 0) take alpha = 1, beta = 0 and both gates one. It is both questions together that are too much.
# - text: the gates at the query would have to be larger than one
#   says: Only the ratio of the two gates matters, so they may be made smaller together.
# - text: one question needs a product of alpha and beta below one, the other a product above one
# - text: they can, as gates at the query may differ from question to question
#   says: They may, but alpha and beta may not. Write the conditions of both questions on their product.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Write down what it takes to get a positive multiple of $(1, 0)$, and of $(0, 1)$.
# ```
#
# ````{solution} ex-two-forget-heads
# :class: dropdown
#
# No. For $(1, 0)$: $g \alpha = g'$ and $g > g' \beta$, so $\alpha \beta < 1$. For $(0, 1)$: $g = g' \beta$ and $g \alpha > g'$, so $\beta > 0$ and $\alpha \beta > 1$. (With a common sign neither falls.) A second subtracted head settles it.
# ````
#
# ```{exercise} Compute: how many tasks in a prompt
# :label: ex-how-many-named
#
# A hundred examples, white features, $d = 10$, no noise, are shared equally by $K$ independent tasks, of which the query names one. For which $K$ does a layer lose most if its gates at the query do not read the name?
# ```
#
# ```{answer} ex-how-many-named
# asks: The number of tasks K at which the loss is largest.
# value: max(losses, key=losses.get)
# within: 0.1
# wrong:
# - value: 1
#   says: With one task there is nothing to name. The loss has a factor 1 - 1/K.
# - value: 2
#   says: With two tasks a guess is right half of the time. See whether more of them lose more.
# - value: "max(losses, key=lambda K: (1 - 1 / K) * 100 / (100 + 11))"
#   says: The gain at stake is that of one task, with n/K examples. There is little to gain with one example.
# - value: round(100 / 11)
#   says: There half of a task can be known. The loss has the factor 1 - 1/K, too.
# minutes: 7
# level: 2
# ```
#
# ```{answer} ex-how-many-named-loss
# asks: How large is the loss there, divided by d?
# value: losses[4]
# wrong:
# - value: 0.75 * 25 / 35
#   says: Nearly. N is not d.
# - value: 25 / 36
#   says: That is all that a layer gains that is told the task. A part of it is had without the name.
# - value: 0.25 * 25 / 36
#   says: That is what a layer gains that does not read the name. What does it lose?
# - value: 10 * losses[4]
#   says: Divided by d, please.
# minutes: 4
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# $\tau - \tau/K$, with $n_1 = n/K$, also for those $K$ that do not divide a hundred.
# ```
#
# ````{solution} ex-how-many-named
# :class: dropdown
#
# $\tau/d = n_1/(n_1 + d + 1)$, so the loss is $d\, (1 - \frac1K)\, n/(n + 11 K)$. For few tasks a guess is nearly as good, for many there is little to know: four tasks it is, and a good half of the risk.
#
# ```python
# def loss(K, n=100, d=10):
#     return (1 - 1 / K) * (n / K) / (n / K + d + 1)
#
#
# losses = {K: loss(K) for K in range(1, 101)}
# assert max(losses, key=losses.get) == 4 and 0.5 < losses[4] < 0.55
# assert np.isclose(losses[4], 0.75 * gain_when_told(four) / 10)
# ```
# ````
#
# ```{exercise} Explore: where to set the clip
# :label: ex-where-to-clip
#
# One example, one dimension, noise of variance one: where is the best $c$, and how much does it gain? Does it gain more if $P$ is chosen anew with it?
# ```
#
# ```{answer} ex-where-to-clip
# asks: The best c, with the step p = 1/4 left as it is.
# value: kept.x[0]
# within: 5%
# wrong:
# - value: free.x[0]
#   says: That is the best c if p is chosen anew. Here p is 1/4.
# - value: 1
#   says: That is better than no clip, but go on searching.
# - value: 0.25
#   says: That is p.
# minutes: 10
# level: 2
# ```
#
# ```{answer} ex-where-to-clip-step
# asks: How is the best p for the best clip?
# choices:
# - text: larger than 1/4
# - text: smaller than 1/4
#   says: A clip bounds what is lost on loud prompts. Is there still a reason to be that careful with all others?
# - text: 1/4 as without a clip
#   says: Search over both. What kept p small were the rare loud prompts, which the clip now holds.
# minutes: 5
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `clipped_risk(c, p)`. The prediction before the clip is $p\, x x_1 y_1$.
# ```
#
# ````{solution} ex-where-to-clip
# :class: dropdown
#
# A little below $c = 1$, for $p = \frac14$, where it gains less than a hundredth of the risk. With $p$ free it gains more than twice as much: a steeper step earns more from typical prompts, and the clip bounds what it loses on loud ones.
#
# ```python
# from scipy.optimize import minimize
#
# kept = minimize(lambda v: clipped_risk(v[0], points=500), [1.0], method="Nelder-Mead")
# free = minimize(lambda v: clipped_risk(v[0], v[1], points=500), [1.0, 0.25], method="Nelder-Mead")
# assert np.allclose([*kept.x, *free.x], [0.72, 0.61, 0.42], rtol=0.03)
# gains = [1 - found.fun / never for found in (kept, free)]
# assert np.allclose(gains, [0.00801, 0.0190], rtol=0.02)
# ```
# ````

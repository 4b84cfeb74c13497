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
#   settles: 'gates that cannot tell where they are: decay, drift and the Kalman filter'
# ---

# %% [markdown]
# # Gates without delimiters: decay and drift
#
# **Where we are.** A scalar gate that can tell where a task ends can step down there and nowhere else. Take the delimiters and the context away. A gate that looks at
# nothing has one value, and the layer forgets at a constant rate. How good is that? For tasks that come in blocks it is a compromise, and this page measures it. For tasks
# that *drift*, a little from example to example, it is right: the best weights are then those of a Kalman filter, a gate that knows the position reaches them exactly, and it soon stands still.
#
# ```{symbols}
# omega r R counts M gamma h2 Sigma
# ```
#
# ## One gate value for all tokens
#
# Let the logit of the gate see neither $x_i$ nor $y_i$, and let tokens carry nothing else. Then every token has the same gate $g$, the query too, and example $i$ gets the weight
# $g^{n+1-i}$. A sigmoid gives $0 < g < 1$; linear attention, $g = 1$, is a limit. In this section $R$ and $r$ are those of the $K$ tasks.
#
# ```{prf:proposition} The best constant gate
# :label: prop-constant-gate
#
# *New here.* Let every gate be $g \in (0, 1]$, and let $m_k = n_{k+1} + \dots + n_K$ be the number of examples after block $k$. Put
#
# $$
# S_k = g^{m_k} \sum_{j=0}^{n_k - 1} g^{j} = g^{m_k}\, \frac{1 - g^{n_k}}{1 - g}, \qquad V = \sum_{j=0}^{n-1} g^{2j} = \frac{1 - g^{2n}}{1 - g^2}
# $$
#
# (the fractions for $g < 1$). Then $\omega_i = g^{n+1-i}$ and $r^\top \omega = g\, r^\top S$, $\norm{\omega}^2 = g^2 V$, $\omega^\top R\, \omega = g^2 S^\top R S$. With its best $P$ the risk is
#
# $$
# \ell(g) = M - \frac{(r^\top S)^2}{V} \sum_i \frac{s_i^2}{M + \gamma s_i}, \qquad \gamma = 1 + \frac{S^\top R S}{V} .
# $$
#
# It is continuous, and as $g \to 0$ it tends to $\ell(0) := M - r_K^2 \sum_i s_i^2/(M + 2 s_i)$, the risk of the last example alone. So $\ell$ has a minimum on $[0, 1]$. With $\risk_{\text{mon}}$ the infimum of
# the risk over all weights $0 \le \omega_1 \le \dots \le \omega_n$ and all $P$,
#
# $$
# \risk^\star \;\le\; \risk_{\text{mon}} \;\le\; \min_{0 \le g \le 1} \ell(g) \;\le\; \ell(1) = \risk_{\text{linear}} .
# $$
#
# If some block has two examples or more, then $\risk_{\text{mon}} < \ell(g)$ at every $g \in (0, 1)$ with $\ell(g) < M$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-constant-gate)=
# ```{prf:proof}
# The weights are {prf:ref}`thm-gla-is-wpgd`. Block $k$ holds the exponents $m_k + 1, \dots, m_k + n_k$, so its weights sum to $g S_k$; the three moments follow. For given weights the risk of
# {prf:ref}`prop-population-risk` is $M - 2 (r^\top\omega) \tr(\Sigma Q) + \norm{\omega}^2 \tr(Q (M I + \gamma \Sigma) Q^\top)$. It is least at $Q = \frac{r^\top \omega}{\norm{\omega}^2} \Sigma (MI + \gamma\Sigma)^{-1}$,
# which is that of $P = \frac{r^\top \omega}{\norm{\omega}^2} C (MI + \gamma \Sigma_x C)^{-1}$, and there it is $M - \frac{(r^\top\omega)^2}{\norm{\omega}^2} \sum_i s_i^2/(M + \gamma s_i)$. This is homogeneous of degree zero in $\omega$, so the factor $g$ drops out. As polynomials $S$ and $V$ are continuous on $[0, 1]$, and $V \ge 1$. At $g = 0$, $S = (0, \dots, 0, 1)$ and $V = 1$.
#
# The chain: each class of weights contains the next, and $\ell(0)$ is the risk of the non-decreasing weights $(0, \dots, 0, 1)$. For the last sentence, replace the weights of each block by their mean. The block sums stay, so $r^\top\omega$ and $\omega^\top R\, \omega$ do, and weights
# that do not decrease still do not. But $\norm{\omega}^2$ becomes smaller if some block had different weights. At a fixed $Q \ne 0$ its factor in the risk is $M \tr(Q^\top Q) + \tr(\Sigma Q^\top Q) > 0$. And the best $Q$ is not zero where $\ell(g) < M$.
# ```
# ````
#
# The cost of a value of $\ell$ depends on the number of blocks, not on $n$. We hold the formula, and the package's minimum of it, to a dense scan with the weights written out one by one.

# %% tags=["asserts-prop-constant-gate"]
import numpy as np
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    population_risk,
    stationary_points,
)
from glalib.risk import h2

plotting.use_style()


def ell(dist, g):
    """The formula: geometric sums, for one gate value g in [0, 1]."""
    counts = np.array(dist.counts)
    after = dist.n - np.cumsum(counts)
    S = np.array([sum(g ** (m + np.arange(c))) for m, c in zip(after, counts)])
    V = np.sum(g ** (2.0 * np.arange(dist.n)))
    gamma = 1 + S @ dist.R @ S / V
    s = dist.signal_spectrum[0]
    return dist.M - (dist.r @ S) ** 2 / V * np.sum(s**2 / (dist.M + gamma * s))


def written_out(dist, g):
    """The same from n weights; a common factor is left out, so that g = 0 works."""
    return optimal_wpgd(dist, g ** np.arange(dist.n - 1, -1, -1.0)).risk


scan = np.concatenate([[0.0], np.exp(-np.geomspace(40, 1e-5, 800)), [1.0]])


def scanned(dist):
    return np.array([written_out(dist, g) for g in scan])


rng = np.random.default_rng(0)
for _ in range(20):
    K = int(rng.integers(1, 7))
    joint = rng.normal(size=(K + 1, K + 1))
    joint /= np.linalg.norm(joint, axis=1, keepdims=True)
    joint = joint @ joint.T
    np.fill_diagonal(joint, 1.0)
    counts = [int(c) for c in 10 ** rng.uniform(0, 2, size=K)]
    Sx = np.diag(10 ** rng.uniform(-2, 0, size=3))
    dist = PromptDistribution(
        3, counts, joint[:K, K], R=joint[:K, :K], Sx=Sx, sigma=0.3
    )
    values = scanned(dist)
    # Sums of some hundred terms in float64, in two orders.
    assert all(
        abs(values[i] - ell(dist, scan[i])) < 1e-12 * dist.M
        for i in range(0, len(scan), 100)
    )
    constant = optimal_wpgd(dist, "constant-gate")
    best = constant.risk
    assert best <= values.min() + 1e-12 * dist.M
    assert abs(written_out(dist, constant.gate) - best) < 1e-12 * dist.M
    free, mono, linear = (
        optimal_wpgd(dist, w).risk for w in ("free", "monotone", "uniform")
    )
    slack = 1e-9 * dist.M  # monotone optima are found to about that
    assert free <= mono + slack and mono <= best + slack
    assert best <= linear + 1e-12 * dist.M

# %% [markdown]
# The four panels of {numref}`fig-panels`: two independent tasks of 50 examples, $d = 10$, no noise. Risks are divided by $d$.

# %% tags=["asserts-prop-constant-gate"]
known = {  # r: linear attention, constant gate, its g, monotone optimum
    (0.0, 1.0): (0.5902, 0.2372, 0.9636, 0.1803),
    (0.2, 0.8): (0.5902, 0.4553, 0.9770, 0.4426),
    (0.5, 0.5): (0.5902, 0.5902, 1.0, 0.5902),
    (0.8, 0.2): (0.5902, 0.5902, 1.0, 0.5902),
}
for r, expected in known.items():
    dist = PromptDistribution(d=10, counts=(50, 50), r=r)
    best = optimal_wpgd(dist, "constant-gate")
    linear, mono = (optimal_wpgd(dist, w).risk for w in ("uniform", "monotone"))
    found = (linear / 10, best.risk / 10, best.gate, mono / 10)
    # Weights as stated, the query's gate included: powers to rounding.
    assert np.allclose(best.omega, best.gate ** np.arange(100, 0, -1), rtol=1e-12)
    assert np.allclose(found, expected, rtol=0, atol=1e-4)  # of the printed digits

# %% [markdown]
# Shutting out a bad first block by decay costs good examples of the second: with $r = (0, 1)$ the constant gate gains most of what is to be gained, and pays for it.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-constant-gate", "caption": "Risk of a constant gate against its memory 1/(1-g), for two tasks of 50 examples (d = 10, no noise). At the left end only the last example counts, at the right end all count alike: linear attention. Dots: the best gate. Arrows on the right: the monotone optimum, which needs delimiters. For r = (0.8, 0.2) it is linear attention."}}
import matplotlib.pyplot as plt

memory = np.geomspace(1, 1e4, 300)
record = {"memory": memory}
fig, ax = plt.subplots(figsize=(6.8, 3.9))
for k, r in enumerate(((0.0, 1.0), (0.2, 0.8), (0.8, 0.2))):
    dist = PromptDistribution(d=10, counts=(50, 50), r=r)
    curve = np.array([ell(dist, 1 - 1 / m) for m in memory]) / 10
    record[f"r_{r[0]}_{r[1]}"] = curve
    style = {"color": plotting.TASKS[k], "linestyle": ("-", "--", "-.")[k]}
    ax.semilogx(memory, curve, linewidth=2.2, label=f"r = {r}", **style)
    best = optimal_wpgd(dist, "constant-gate")
    if best.gate < 1:
        at = 1 / (1 - best.gate)
        ax.plot(at, best.risk / 10, "o", color=plotting.TASKS[k], markersize=8)
    else:
        ax.plot(1e4, best.risk / 10, "o", color=plotting.TASKS[k], markersize=8)
    if r[0] < r[1]:
        ax.plot(
            1e4,
            optimal_wpgd(dist, "monotone").risk / 10,
            "<",
            color=plotting.TASKS[k],
            markersize=9,
        )
ax.set(xlabel="memory $1/(1-g)$, in examples", ylabel="risk / $d$", ylim=(0, 1))
_ = ax.legend(loc="lower left")

# %% tags=["remove-input"]
plotting.FigureData(
    "constant_gate", record, d=10, counts=(50, 50), sigma=0, seed="none"
)


# %% [markdown]
# ## The best gate, for certain
#
# There can be several minima, and a basin can be narrow: as two tasks nearly opposed cancel at one gate only. A scan can miss it. A bound on what lies *between* two gates cannot.
#
# ```{prf:proposition} A certificate for the constant gate
# :label: prop-gate-certificate
#
# *New here.* Let $0 \le g_1 < g_2 \le 1$, $\delta = g_2 - g_1$, and index by $1$ and $2$ what belongs to them. Write $p = r^\top S$, $W = S^\top R S$, $G = M - \ell$ and
#
# $$
# T(V, W) = \sum_i \frac{s_i^2}{(M + s_i) V + s_i W}, \qquad \text{so that } G = p^2\, T(V, W) .
# $$
#
# Put $r_+ = \max_k |r_k|$, $\Lambda = \max_k \sum_l |R_{kl}|\, n_l$ and, with sums over the ages $a = 0, \dots, n-1$,
#
# $$
# \begin{gathered}
# e_1 = \frac{\delta^2}{8} \sum_a a (a-1)\, g_2^{a-2}, \qquad e_2^2 = \frac{\delta^4}{64} \sum_a a^2 (a-1)^2 g_2^{2a-4}, \\
# E = \min\bigl(e_1, \sqrt{\Lambda}\, e_2\bigr), \qquad \varepsilon_p = \min\Bigl(r_+ e_1, \Bigl(\textstyle\sum_k n_k r_k^2\Bigr)^{1/2} e_2\Bigr), \\
# \varepsilon_V = \frac{\delta^2}{8} \sum_a 2a (2a-1)\, g_2^{2a-2}, \\
# \varepsilon_W = \tfrac14 (S_2 - S_1)^\top R\, (S_2 - S_1) + 2 E \sqrt{\max(W_1, W_2)} .
# \end{gathered}
# $$
#
# If $\varepsilon_V < V_1$ and $\varepsilon_W \le \min(W_1, W_2)$, then for every $g \in [g_1, g_2]$
#
# $$
# G(g) \;\le\; \max_{i = 1, 2}\; (|p_i| + \varepsilon_p)^2\; T(V_i - \varepsilon_V,\; W_i - \varepsilon_W) .
# $$
#
# In any case it holds with $V_1$ in place of both $V_i - \varepsilon_V$, and with zero in place of both $W_i - \varepsilon_W$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-gate-certificate)=
# ```{prf:proof}
# Let $w(g)$ be the weights $g^a$ of the $n$ examples, $a$ the age, and let $g = (1 - \theta) g_1 + \theta g_2$. As functions of $g$ they are convex, with second derivative at most $a(a-1) g_2^{a-2}$. So $w(g) = w_\theta - e$, where $w_\theta = (1-\theta)\, w(g_1) + \theta\, w(g_2)$ and
# $0 \le e_a \le \frac{\delta^2}{8} a (a-1) g_2^{a-2}$ (the error of linear interpolation). So $\sum_a e_a \le e_1$ and $\sum_a e_a^2 \le e_2^2$.
#
# *Three lines.* $p$ is linear in the weights: it differs from its line by $|r^\top e|$, which is at most $\varepsilon_p$, by the largest entry or by Cauchy and Schwarz. So $|p| \le (1 - \theta) |p_1| + \theta |p_2| + \varepsilon_p$. $V = \sum_a g^{2a}$ has a second derivative of at most $8 \varepsilon_V/\delta^2$, so it is at most $\varepsilon_V$ below its line.
# For $W$ let $\norm{v}_R^2 = v^\top R\, v$, with $R$ that of the examples. Entries of $R$ are at most one, so $\norm{e}_R \le \sum_a e_a$; and the eigenvalues of $R$ are at most its largest row sum of absolute values, $\Lambda$. So $\norm{e}_R \le E$, and as
# $\norm{w_\theta}_R$ is at most $\sqrt{\max(W_1, W_2)}$,
#
# $$
# W(g) = \norm{w_\theta - e}_R^2 \ge \norm{w_\theta}_R^2 - 2 E \sqrt{\max(W_1, W_2)}, \qquad \norm{w_\theta}_R^2 = (1-\theta) W_1 + \theta W_2 - \theta (1-\theta) \norm{w(g_2) - w(g_1)}_R^2 ,
# $$
#
# and $\theta (1-\theta) \le \frac14$. So $W$ is at most $\varepsilon_W$ below its line.
#
# *The ends.* $T$ falls in $V$ and in $W$. So $G(g)$ is at most $f(\theta)^2/H(\theta)$, where $f \ge 0$ is linear in $\theta$ and $H(\theta) = 1/T$ at a $V > 0$ and a $W \ge 0$ that are linear in $\theta$. For the $s_i \ne 0$, the others add nothing to $T$, let $l_i = ((M + s_i) V + s_i W)/s_i^2 > 0$; then $1/T = 1/\sum_i (1/l_i)$, which is concave, as the harmonic mean of linear functions is. And $f^2/H$
# is convex for a linear $f$ and a concave $H > 0$, since $(x, y) \mapsto x^2/y$ is convex and falls in $y$. A convex function is largest at an end of $[0, 1]$. Finally $V \ge V_1$, since $V$ rises with $g$, and $W \ge 0$: these are constants, and linear too.
# ```
# ````
#
# All sums are known in closed form (the package takes the smaller of the sum to infinity and of that at $g_2 = 1$), so a cell $[g_1, g_2]$ costs no more than a value of $\ell$. Cells start at ratios of two in $1 - g$. A cell whose bound is at most $1 + 10^{-9}$ times the best gain found is done, and the others are halved: errors go with the square of the width, for
# prompts of up to some hundreds of examples a hundred values of $\ell$ are mostly enough. Where the gain is nearly flat in $g$, as in long prompts of few tasks, it takes thousands, and more with $n$. Unless rounding or a limit on the work stops the search first, **no constant gate gains more than $1 + 10^{-9}$ times what the returned one gains**. Rounding is counted in: where $n$ is large and tasks cancel, $S^\top R S$ is known less well. The record's `certificate` says what was reached, in units of $M$.


# %% tags=["asserts-prop-gate-certificate"]
def gain_and_bound(dist, g1, g2, g):
    """Gains at gates g, and the statement's bound, all sums written out."""
    ages = np.arange(dist.n - 1, -1, -1.0)
    start = np.cumsum((0, *dist.counts[:-1]))
    counts, s = np.array(dist.counts), dist.signal_spectrum[0][:, None]

    def moments(g):
        w = g[:, None] ** ages
        S = np.add.reduceat(w, start, axis=1)
        return S, S @ dist.r, (w**2).sum(1), ((S @ dist.R) * S).sum(1)

    def T(V, W):
        return (s**2 / ((dist.M + s) * V + s * W)).sum(0)

    _, p, V, W = moments(g)
    gain = p**2 * T(V, W)
    S, p, V, W = moments(np.array([g1, g2]))
    curved = ages * (ages - 1) * g2 ** np.maximum(ages - 2, 0)
    e = (g2 - g1) ** 2 / 8 * curved
    e1, e2 = e.sum(), np.linalg.norm(e)
    E = min(e1, np.sqrt((np.abs(dist.R) @ counts).max()) * e2)
    off_p = min(np.abs(dist.r).max() * e1, np.sqrt(counts @ dist.r**2) * e2)
    twice = 2 * ages * (2 * ages - 1) * g2 ** np.maximum(2 * ages - 2, 0)
    off_V = (g2 - g1) ** 2 / 8 * twice.sum()
    step = S[1] - S[0]
    off_W = step @ dist.R @ step / 4 + 2 * E * np.sqrt(W.max())
    V = V - off_V if off_V < V[0] else V[[0, 0]]
    W = W - off_W if off_W <= W.min() else 0 * W
    return gain, ((np.abs(p) + off_p) ** 2 * T(V, W)).max()


def opposed(counts, e, third):
    """Two tasks nearly opposed and a third apart; the query's is along
    what the two leave over where they cancel, and along the third."""
    R = np.eye(3)
    R[0, 1] = R[1, 0] = -np.sqrt(1 - e**2)
    r = (0.0, e * np.sqrt(1 - third**2), third)
    return PromptDistribution(1, counts, r, R=R)


share = np.linspace(0, 1, 101)
for _ in range(100):
    counts = [int(c) for c in rng.integers(2, 60, size=3)]
    dist = opposed(counts, rng.uniform(0.01, 0.5), 0.5)
    for width in (1.0, 0.1, 0.01):
        g1 = (1 - width) * rng.uniform()
        cell = g1 + width * share
        gain, bound = gain_and_bound(dist, g1, cell[-1], cell)
        assert gain.max() <= bound * (1 + 1e-10)  # rounding, magnified by 1/W

# Of second order: at half the width a quarter of the error.
dist = opposed((40, 20, 3), 0.2, 0.5)
for g1 in (0.3, 0.9, 0.99):
    over = []
    for width in (1e-4, 5e-5):
        ends = np.array([g1, g1 + width])
        gain, bound = gain_and_bound(dist, *ends, ends)
        over.append(bound / gain.max() - 1)
    assert abs(over[0] / over[1] - 4) < 0.1

# %% [markdown]
# A case that a scan misses: a million examples of two tasks nearly opposed, and one of a third. Where the two cancel, what they leave over tells of the query's task; elsewhere their noise drowns it.

# %% tags=["asserts-prop-gate-certificate"]
from glalib.constant_gate import constant_gate


def long_ell(dist, t):
    """The formula at gates exp(-t), with geometric sums."""
    counts, t = np.array(dist.counts, dtype=float), t[:, None]
    after = dist.n - np.cumsum(counts)
    S = np.exp(-after * t) * np.expm1(-counts * t) / np.expm1(-t)
    V = np.expm1(-2.0 * dist.n * t) / np.expm1(-2 * t)
    W = np.sum((S @ dist.R) * S, axis=1, keepdims=True)
    s = dist.signal_spectrum[0]
    T = np.sum(s**2 / ((dist.M + s) * V + s * W), axis=1)
    return dist.M - (S @ dist.r) ** 2 * T


dist = opposed((750_000, 250_000, 1), 0.005, 0.5)
best, found = optimal_wpgd(dist, "constant-gate"), constant_gate(dist)
assert abs(best.risk - 0.4873) < 1e-4
assert best.risk - found.bound < 2e-9 * dist.M  # as proved, and rounding
# A scan of 600 gates sees only the third task.
coarse = long_ell(dist, np.geomspace(1e-4 / dist.n, 40, 600))
assert coarse.min() > 0.9
# One that knows where to look sees the basin, and nothing below.
basin = long_ell(dist, found.t * np.linspace(0.99, 1.01, 2001))
assert abs(basin.min() - best.risk) < 1e-5
assert basin.min() > found.bound

# %% [markdown]
# ## When forgetting does not help
#
# ```{prf:proposition} No decay
# :label: prop-no-decay
#
# *New here.* Let $n \ge 2$, let all blocks have the same size, and let all pairs of tasks have one correlation, $R_{kl} = c$ for $k \ne l$ (independent tasks: $c = 0$). If $r_1 \ge r_2 \ge \dots \ge r_K \ge 0$, or all signs are flipped, then
# $\risk_{\text{mon}} = \risk_{\text{linear}}$, so $g = 1$ is a best constant gate. Unless $r = 0$, every $g \in [0, 1)$ is strictly worse.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-no-decay)=
# ```{prf:proof}
# To flip the signs of $r$ and of $P$ together changes no risk, so let $r \ge 0$. Take weights $0 \le \omega_1 \le \dots \le \omega_n$, not all zero, with block sums $W_1 \le \dots \le W_K$ (the blocks are of equal size), and replace all weights by their mean. The total
# $W = \sum_k W_k$ stays. $\norm{\omega}^2$ does not grow, and shrinks unless all weights were equal. $\omega^\top R\, \omega = (1 - c) \sum_k W_k^2 + c W^2$ does not grow, as $c \le 1$. And
# $0 \le r^\top \omega = \sum_k r_k W_k \le \frac1K \sum_k r_k \cdot W$, which is the new value: this is Chebyshev's sum inequality for sequences in opposite order. Now the best risk for given weights,
#
# $$
# M - (r^\top \omega)^2 \sum_i \frac{s_i^2}{M \norm{\omega}^2 + (\norm{\omega}^2 + \omega^\top R\, \omega)\, s_i} ,
# $$
#
# falls with $(r^\top\omega)^2$ and rises with the two other moments. So the mean is at least as good. If $r \neq 0$ the new $(r^\top \omega)^2$ is positive, and it is strictly better unless all weights were equal. For $n \ge 2$ they are not, if $g < 1$ (at $g = 0$: all on the last example).
# ```
# ````

# %% tags=["asserts-prop-no-decay"]
for _ in range(30):
    K, size = int(rng.integers(2, 6)), int(rng.integers(1, 9))
    c = rng.uniform(-0.9 / (K - 1), 0.9)
    R = np.where(np.eye(K, dtype=bool), 1.0, c)
    r = np.sort(rng.random(K))[::-1]
    r *= 0.9 * rng.choice([-1, 1]) / np.sqrt(r @ np.linalg.solve(R, r))
    Sx = np.diag(10 ** rng.uniform(-2, 0, size=3))
    dist = PromptDistribution(3, (size,) * K, r, R=R, Sx=Sx)
    values = scanned(dist)
    mono = optimal_wpgd(dist, "monotone").risk
    # To the rounding of the monotone solver.
    assert abs(mono - optimal_wpgd(dist, "uniform").risk) < 1e-9 * dist.M
    assert optimal_wpgd(dist, "constant-gate").gate == 1.0
    assert values[:-1].min() > values[-1]  # strictly, all along the scan


# %% [markdown]
# Whether a *little* forgetting helps can be read from two mean ages.
#
# ```{prf:proposition} The first step of forgetting
# :label: prop-first-forgetting
#
# *New here.* Let $R$, $r$ now be those of the $n$ examples, $\ones^\top r \ne 0$, and let $a_i = n - i$ be the age of example $i$. Put $A = hR + I$ with $h = h_2(1 + \ones^\top R \ones/n)$. Then, with some $\kappa > 0$,
#
# $$
# \frac{d}{dt}\, \ell(e^{-t}) \Big|_{t=0} = \kappa \left[ \frac{r^\top a}{r^\top \ones} - \frac{\ones^\top A\, a}{\ones^\top A \ones} \right] .
# $$
#
# So a little forgetting lowers the risk if the first mean age is below the second, and raises it if it is above.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-first-forgetting)=
# ```{prf:proof}
# Divide the weights by $g$: $\omega_i = e^{-t a_i}$ has derivative $-a$ at $t = 0$, where $\omega = \ones$. The best $Q$ is unique and smooth in $\omega$, so the derivative of the least risk is that of the risk at a fixed $Q$. With
# $b = M \tr(Q^\top Q) + \tr(\Sigma Q^\top Q) > 0$ and $\tr(\Sigma Q^\top Q) = h b$ (this is what $h_2$ is, at the best $Q$), it is $\partial \risk/\partial \omega = 2 b A \omega - 2 \tr(\Sigma Q)\, r$. At the best $Q$ a change of scale changes nothing to first order:
# $b\, \ones^\top A \ones = \tr(\Sigma Q)\, r^\top \ones$. So the derivative along $-a$ is $-2b\, \ones^\top A\, a + 2 \tr(\Sigma Q)\, r^\top a$, which is the claim with $\kappa = 2 b\, \ones^\top A \ones > 0$.
# ```
# ````
#
# The first is the mean age of what is relevant (with signs, if $r$ has both). The second is the mean age of what is *there*, with redundant examples counted more. For independent tasks of equal size it is the plain mean age $(n-1)/2$.


# %% tags=["asserts-prop-first-forgetting"]
def mean_ages(dist):
    """Of the relevance, and of the examples as A counts them."""
    ages, index = np.arange(dist.n - 1, -1, -1.0), dist.task_index
    R, r, ones = dist.R[np.ix_(index, index)], dist.r[index], np.ones(dist.n)
    A = h2(dist, 1 + ones @ R @ ones / dist.n) * R + np.eye(dist.n)
    return r @ ages / (r @ ones), ones @ A @ ages / (ones @ A @ ones)


tried = 0
for _ in range(60):
    counts = [int(c) for c in rng.integers(1, 20, size=3)]
    r = rng.uniform(-0.3, 0.55, size=3)
    Sx = np.diag(10 ** rng.uniform(-2, 0, size=3))
    dist = PromptDistribution(3, counts, r, Sx=Sx, sigma=0.3)
    relevance, presence = mean_ages(dist)
    step = 1e-5 / dist.n
    change = ell(dist, np.exp(-step)) - ell(dist, 1.0)
    if abs(change) > 1e-8 * dist.M:  # else curvature may decide, of step^2 n^2
        assert np.sign(change) == np.sign(relevance - presence)
        tried += 1
assert tried > 30


# %% [markdown]
# ## Tasks that drift
#
# Now let every example have a task of its own, and let the tasks drift as a stationary autoregression, $\beta_{i+1} = \rho\, \beta_i + \sqrt{1 - \rho^2}\; \xi_i$ with independent $\xi_i \sim \N(0, C)$ and the query's task as $\beta_{n+1}$. Then
#
# $$
# R_{ij} = \rho^{|i-j|}, \qquad r_i = \rho^{n+1-i}, \qquad 0 < \rho < 1 .
# $$


# %%
def drifting(rho, n, d=10, **options):
    i = np.arange(n)
    R = rho ** np.abs(i[:, None] - i)
    return PromptDistribution(d, (1,) * n, rho ** (n - 1.0 * i), R=R, **options)


# %% [markdown]
# Why should a filter come out? Take white features and $C = I$. The step sums the vectors $x_i y_i$. Each is $\beta_i$ plus the error $(x_i x_i^\top - I)\, \beta_i + \sigma \varepsilon_i x_i$, of mean zero. The errors are uncorrelated, with each other and with the tasks, and have covariance $N I$ with
#
# $$
# N = M + 1 = d + \sigma^2 + 1 .
# $$
#
# So an example shows each coordinate of its task through noise of variance $N$: the label noise, and $d + 1$ from the features, as $\E (x x^\top - I)^2 = (d + 1) I$. We want to know $\beta_{n+1}$, by a weighted sum of noisy views of a drifting signal. That is the problem of {cite:t}`kalman1960new`. In general, $N$ is $1/h_2$.
#
# ```{prf:proposition} Drifting tasks
# :label: prop-drift
#
# *New here.* Let tasks drift with $0 < \rho < 1$, $\Sigma_x$ nonsingular, $C$ and $\sigma$ any, $n \ge 1$. Take any non-trivial stationary point, the optimum among them, and let $N = 1/h_2(\gamma)$ at its $\gamma$ (for $\Sigma_x = C = I$ that is $N = M + 1$). Put $q = 1 - \rho^2$ and
#
# $$
# p_1 = 1, \quad p_{t+1} = \rho^2\, \frac{p_t N}{p_t + N} + q; \qquad g \in (0, 1) \text{ with } g + \frac1g = \frac{1 + \rho^2 + q/N}{\rho}; \qquad c = \frac{\rho - g}{g\,(1 - \rho g)} .
# $$
#
# 1. $0 < g < \rho$, and up to scale the weights are $\omega_i = g^{n+1-i} \bigl( 1 + c\, g^{2i} \bigr)$ with $c > 0$.
# 2. A scalar gate that may depend on the position reaches them exactly: gate $i + 1$ is $\omega_i/\omega_{i+1} = (1 - q/p_{i+1})/\rho$ for $1 \le i < n$. These gates lie strictly between $g$ and $\rho$, and fall towards $g$ along the prompt. The first gate and the query's are free, but for a query's gate of zero.
# 3. The risk is $M - \alpha (1 - p_{n+1})$ with $\alpha = \tr(\Sigma Q)^2/\tr(\Sigma Q^2)$ at the point's $Q$; for $\Sigma_x = C = I$ it is $\sigma^2 + d\, p_{n+1}$.
# 4. For $\Sigma_x = C = I$ and a query's gate of one, the preconditioner that goes with these gates is $P = \frac{\rho\, p_n}{p_n + N}\, I$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-drift)=
# ```{prf:proof}
# *One.* By {prf:ref}`thm-stationary-points` the weights are $\omega \propto (hR + I)^{-1} r \propto (R + N I)^{-1} r$ with $h = h_2(\gamma) = 1/N$. Here $r = \rho R e_n$, so $(I + N R^{-1})\, \omega \propto e_n$. For $n \ge 2$, $q R^{-1}$ is tridiagonal, with $-\rho$ beside the diagonal and $1, 1 + \rho^2, \dots, 1 + \rho^2, 1$ on it. So rows $2, \dots, n-1$ say
# $\omega_{i-1} + \omega_{i+1} = (g + 1/g)\, \omega_i$, and row one says the same at $i = 1$ if we define $\omega_0 := \rho\, \omega_1$. Since $\frac{1 + \rho^2}{\rho} + \frac{q}{N\rho} > \rho + \frac1\rho \ge 2$ and $x + 1/x$ falls on $(0, 1)$, there is one such $g$, and $g < \rho$. The recurrence is solved by
# $\omega_i = A g^{-i} + B g^i$ for $0 \le i \le n$, and $\omega_0 = \rho\,\omega_1$ gives $B/A = (\rho - g)/(g (1 - \rho g)) = c > 0$. For $n = 1$ there is nothing to show.
#
# *A prediction problem.* For any $v \in \R^n$ let $\mathrm{mse}(v) = 1 - 2 r^\top v + v^\top (R + N I) v$. It is $\E (b_{n+1} - \sum_i v_i z_i)^2$ for a scalar signal $b$ with the correlations $R$, $r$ and observations $z_i = b_i + \sqrt N e_i$ with white noise. At the stationary point
# $M \tr(Q^2) + \tr(\Sigma Q^2) = N \tr(\Sigma Q^2)$, so at its $Q$, scaled such that $\tr(\Sigma Q) = \tr(\Sigma Q^2) = \alpha$,
#
# $$
# \risk(P, v) = M - 2 \alpha\, r^\top v + \alpha\, v^\top (R + N I) v = M - \alpha \bigl( 1 - \mathrm{mse}(v) \bigr) .
# $$
#
# The best $v$ is $(R + N I)^{-1} r$, which is the point's $\omega$ in this scale.
#
# *Two and three: Kalman's recursion.* Let $\hat b_t$ be the best linear prediction of $b_t$ from $z_1, \dots, z_{t-1}$, and $p_t$ its error variance, so $\hat b_1 = 0$, $p_1 = 1$. All is jointly Gaussian, so $\hat b_t$ is a conditional mean. Seeing $z_t$ moves it to $\hat b_t + \frac{p_t}{p_t + N} (z_t - \hat b_t)$, with variance
# $p_t N/(p_t + N)$; the next step of the signal multiplies by $\rho$ and adds variance $q$. This is the recursion for $p_t$, and
# $\hat b_{t+1} = g_t \hat b_t + k_t z_t$ with $g_t = \frac{\rho N}{p_t + N}$ and $k_t = \frac{\rho p_t}{p_t + N}$. Unrolled, $\hat b_{n+1} = \sum_i k_i\, g_{i+1} \cdots g_n\, z_i$, so the best $v$ has $v_i = k_i\, g_{i+1} \cdots g_n$ and $\mathrm{mse}(v) = p_{n+1}$. This is three.
# Neighbours have the ratio $\frac{k_i\, g_{i+1}}{k_{i+1}} = \frac{\rho N p_i}{(p_i + N)\, p_{i+1}} = \frac{p_{i+1} - q}{\rho\, p_{i+1}}$. By one it is also $g \frac{1 + x}{1 + g^2 x}$ with $x = c g^{2i} > 0$. This rises with $x$, is above $g$, falls with $i$, and is $\omega_0/\omega_1 = \rho$ at $i = 0$. So for $i \ge 1$ it lies in $(g, \rho)$.
# A gate before the first write acts on nothing, and the query's gate multiplies all weights alike.
#
# *Four.* With $\Sigma_x = C = I$, $Q = P$ is a multiple of $I$, and $\tr Q = \tr Q^2$ makes it $I$: so $\alpha = d$, and $M - \alpha = \sigma^2$. The weights in this scale end with $v_n = k_n$. Those from the gates end with the query's gate, one; so they are $v/k_n$, and $P = k_n I$.
# ```
# ````
#
# So the gates that the layer needs are not quite Kalman's $g_t = \rho N/(p_t + N)$. A Kalman filter also changes the gain $k_t$ of what it writes. The layer writes every example alike and leaves the rest to its gate. Both sequences tend to the same $g$.


# %% tags=["asserts-prop-drift"]
def right_decay(rho, N):
    """The g of the proposition, from (1-g)^2/g = e: no cancellation near 1."""
    e = ((1 - rho) ** 2 + (1 - rho**2) / N) / rho
    return 2 / (2 + e + np.sqrt(e * (e + 4)))


def riccati(rho, N, steps):
    """p_1, ..., p_steps."""
    p = [1.0]
    while len(p) < steps:
        p.append(rho**2 * p[-1] * N / (p[-1] + N) + 1 - rho**2)
    return np.array(p)


points = 0
for _ in range(60):
    d, n = int(rng.integers(1, 7)), int(rng.integers(2, 40))
    rho, sigma = rng.uniform(0.02, 0.99), rng.choice([0.0, 0.5, 3.0])
    Sx = np.diag(10 ** rng.uniform(-3, 0, size=d))
    B = rng.normal(size=(d, rng.integers(1, d + 1)))
    dist = drifting(rho, n, d, Sx=Sx, C=B @ B.T, sigma=sigma)
    for point in stationary_points(dist):
        N = 1 / h2(dist, point.gamma)
        g, p, i = right_decay(rho, N), riccati(rho, N, n + 1), np.arange(1, n + 1)
        c = (rho - g) / (g * (1 - rho * g))
        w = g ** (n + 1.0 - i) * (1 + c * g ** (2.0 * i))
        # A linear system of size forty; small weights lose some digits in it.
        assert np.allclose(point.omega / point.omega[-1], w / w[-1], rtol=1e-8)
        gates = (1 - (1 - rho**2) / p[1:-1]) / rho  # of tokens 2 to n
        assert np.allclose(w[:-1] / w[1:], gates, rtol=1e-9)
        assert (g < gates * (1 + 1e-9)).all() and (gates < rho).all()
        assert (np.diff(gates) <= 1e-9).all()
        s = dist.signal_spectrum[0]
        Q = s / (dist.M + point.gamma * s)
        alpha = (s @ Q) ** 2 / (s @ Q**2)
        # Two ways to add the same few positive numbers.
        assert abs(dist.M - alpha * (1 - p[-1]) - point.risk) < 1e-11 * dist.M
        points += 1
assert points >= 60

# %% [markdown]
# A layer with these gates, on prompts of drifting tasks: its average squared error is the risk that Kalman promises, within four standard errors.

# %% tags=["asserts-prop-drift"]
import torch

d, n, rho, sigma = 5, 30, 0.9, 0.5
dist = drifting(rho, n, d, sigma=sigma)
N = dist.M + 1
p = riccati(rho, N, n + 1)
gates = np.ones(n + 1)
gates[1:n] = (1 - (1 - rho**2) / p[1:n]) / rho
gain = rho * p[n - 1] / (p[n - 1] + N)
layer = GLA.from_matrices(gain * np.eye(d), np.eye(d), gates=gates)

generator = torch.Generator().manual_seed(0)
prompts = dist.sample(20_000, generator, dtype=torch.float64)
with torch.no_grad():
    errors = (layer(Layout()(prompts)) - prompts.y_query) ** 2
promised = sigma**2 + d * p[n]
assert abs(errors.mean() - promised) < 4 * errors.std() / 20_000**0.5
assert abs(optimal_wpgd(dist).risk - promised) < 1e-12 * dist.M


# %% [markdown]
# ## The constant gate is nearly right, at every length
#
# The correction $1 + c\, g^{2i}$ matters at the far end of the prompt only, where weights are smallest. So one gate value does almost as well, and the loss can be bounded.
#
# ```{prf:proposition} A constant gate for drift
# :label: prop-drift-constant
#
# *New here.* In the setting of {prf:ref}`prop-drift`, take $N$, $g$, $\alpha$ of an optimum, and let $p = N (\rho/g - 1)$. This is the positive root of $p^2 + (Nq - q)\, p - qN = 0$ and the limit of the $p_t$, and $q < p < 1$.
#
# 1. $p_{n+1} = \dfrac{p - \theta\, p_-}{1 - \theta}$ with $p_- = -\dfrac{qN}{p}$ and $\theta = g^{2n}\, \dfrac{1 - p}{1 - p_-}$. So $0 < p_{n+1} - p < (1 - p)\, g^{2n}$.
# 2. For every $n$, the constant gate $g$ loses at most $\alpha \bigl[ (1 - p)\, g^{2n} - (p_{n+1} - p) \bigr]$, hence the best constant gate satisfies
#
# $$
# 0 \le \min_{0 \le g' \le 1} \ell(g') - \risk^\star \le \alpha\, (1 - p)\, g^{2n} \le \tr(\Sigma)\, \rho^{2n} .
# $$
#
# 3. For $\Sigma_x = C = I$ the constant gate $g$ with $P = \frac{p}{N}\, I$ has the risk $\sigma^2 + d\, \bigl( p + (1 - p)\, g^{2n} \bigr)$, at every $n$.
# 4. As $n \to \infty$, both $\risk^\star$ and $\min \ell$ tend to the least value of
#
# $$
# \ell_\infty(g) = M - \frac{\rho^2 (1 - g^2)}{(1 - \rho g)^2} \sum_i \frac{s_i^2}{M + \gamma s_i}, \qquad \gamma = \frac{2}{1 - \rho g},
# $$
#
# on $[0, 1]$ (with $\ell_\infty(1) = M$). It is taken at one $g \in (0, 1)$ only, the one solution of $g + 1/g = (1 + \rho^2 + q/N)/\rho$ with $N = 1/h_2(\gamma)$, and best constant gates tend to it. For $\Sigma_x = C = I$ the limit is $\sigma^2 + d\, p$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-drift-constant)=
# ```{prf:proof}
# *The limit $p$.* With $p = N(\rho/g - 1)$, that is $g = \rho N/(p + N)$, the equation for $g$ becomes $\frac{\rho^2 N}{p + N} + \frac{p + N}{N} = 1 + \rho^2 + \frac qN$, which is $p = \rho^2 \frac{pN}{p + N} + q$: a fixed point of the recursion's map $\varphi$. Multiply by $p + N$ for the quadratic. Its two roots have the product $-qN < 0$; they are $p > 0$ and $p_-$.
# At $q$ the quadratic is $qN(q - 1) < 0$ and at $1$ it is $1 - q > 0$, so $q < p < 1$.
#
# *One.* $\varphi$ is a fractional linear map with the fixed points $p$, $p_-$, and $\varphi'(p) = \rho^2 N^2/(p + N)^2 = g^2$. So $(p_t - p)/(p_t - p_-)$ is multiplied by $g^2$ in each step; after $n$ steps from $p_1 = 1$ it is $\theta$. Also $p_{t+1} - p = g\, g_t\, (p_t - p)$ with $g_t = \rho N/(p_t + N)$, directly. From $p_1 = 1 > p$, all $p_t > p$, so $0 < g_t < g$ and $0 < p_{n+1} - p < g^{2n} (1 - p)$.
#
# *Two.* Use the constant gain $k = \rho p/(p + N) = p g/N$: the recursion $\tilde b_{t+1} = g\, \tilde b_t + k z_t$ from $\tilde b_1 = 0$ predicts $b_{n+1}$ by $\sum_i v_i z_i$ with $v_i = k g^{n-i}$. As $g + k = \rho$, its error obeys $b_{t+1} - \tilde b_{t+1} = g (b_t - \tilde b_t) + \sqrt q\, \xi_t - k \sqrt N e_t$ with independent terms. So its variance $\pi_t$ obeys $\pi_{t+1} = g^2 \pi_t + q + k^2 N$, $\pi_1 = 1$. The
# fixed point is $p$: when $\pi_t = p$, this gain is Kalman's own. So $\mathrm{mse}(v) = \pi_{n+1} = p + (1 - p)\, g^{2n}$. By the proof of {prf:ref}`prop-drift`, with the optimum's $Q$ the risk of $v$ is $M - \alpha(1 - \mathrm{mse}(v))$, and that of the optimum $M - \alpha(1 - p_{n+1})$. With its own best $P$ the constant gate does no worse. Finally $p_{n+1} > p$, $g < \rho$, and $\alpha \le \tr\Sigma$ by Cauchy and Schwarz, as
# $\tr(\Sigma Q) = \tr(\Sigma^{1/2}\, \Sigma^{1/2} Q)$.
#
# *Three.* Here the scaled $Q$ is $I$ and $\alpha = d$. Gates of $g$ give $g^{n+1-i} = \frac{g}{k} v_i$, so $P = \frac kg I = \frac pN I$.
#
# *Four.* Let $V$, $U = r^\top\omega/g$ and $\omega^\top R\,\omega/g^2$ be the sums for $n$ examples. On $g \le 1 - \varepsilon$ they converge uniformly to $\frac{1}{1-g^2}$, $\frac{\rho}{1 - \rho g}$ and $\frac{1}{1-g^2} \cdot \frac{1 + \rho g}{1 - \rho g}$, so $\ell_n \to \ell_\infty$ there. Near one both are near $M$: $M - \ell_n \le \frac{U^2}{V} \tr\Sigma \le \frac{\rho^2}{(1-\rho)^2} \frac{\tr \Sigma}{V}$, and $V \ge J/2$ for any $J$, as soon as
# $n \ge J$ and $g^{2J} \ge 1/2$; the same holds of $\ell_\infty$. So convergence is uniform on $[0, 1]$, the minima converge, and $\risk^\star$ with them by two. At $g = 0$, $M - \ell_\infty$ rises: with $T(\gamma) = \sum_i s_i^2/(M + \gamma s_i)$ its logarithm has the slope $2\rho\, (1 + T'/T)$ there, and $|T'| < T/\gamma = T/2$. At one $\ell_\infty = M$. So minimisers are inside. At such a $g$ take its best $Q$, for infinitely many examples, and $N = 1/h_2(\gamma)$. As in the proof of {prf:ref}`prop-drift`, for this $Q$ the risk of weights $\kappa x^j$, $j = 0, 1, \dots$ the age, is $M - \alpha(1 - \mathrm{mse})$, and it is at least
# $\ell_\infty(x)$. So $x = g$ (with its best $\kappa$) minimises the mse, which means that it maximises $(r^\top v)^2/v^\top (R + N I) v$, which is $\rho^2$ times
#
# $$
# \frac{1 - x^2}{(1 - \rho x)\,\bigl(N + 1 - (N - 1) \rho x\bigr)} .
# $$
#
# The derivative vanishes just where $x + 1/x = (1 + \rho^2 + q/N)/\rho$: once in $(0, 1)$.
#
# *One $g$ only.* The equation gives $g$, and so $\gamma = 2/(1 - \rho g)$, as a function of $N$. Its derivative is $\rho\, (g^{-2} - 1)\, dg = \frac qN\, d \log N$, and it also reads $\frac qN = \frac{(\rho - g)(1 - \rho g)}{g}$. So
# $\frac{d \log \gamma}{d \log N} = \frac{\rho}{1 - \rho g} \frac{dg}{d \log N} = \frac{g\, (\rho - g)}{1 - g^2}$, which is positive and below $\frac{g}{1 + g} < \frac12$. The other way, $N = 1/h_2(\gamma) = 1 + M/m$. By {prf:ref}`prop-monotone-map` and the proof of {prf:ref}`thm-rank-five`, $m$ does not rise, and $-\frac{d \log m}{d \log \gamma} = 2 (\E_\pi \varphi - \E_v \varphi) < 2$, as $0 < \varphi_i < 1$.
# So $\frac{d \log N}{d \log \gamma} = -\frac{M}{M + m} \frac{d \log m}{d \log \gamma}$ is in $[0, 2)$. From $\gamma$ to $N$ and back, in logarithms, the slope is below one everywhere: there is one fixed point. So the minimiser is unique, and as the $\ell_n$ converge uniformly, theirs tend to it. For white features
# $N = M + 1$, and the least value is $\lim \sigma^2 + d\, p_{n+1}$.
# ```
# ````
#
# So for long prompts there is one right decay, whatever the features. What of finite ones? For $\rho \le 4/5$ the optimum is unique, up to scale, at every $n$, whatever the features: the eigenvalues of $R$ lie strictly between $\frac{1-\rho}{1+\rho}$ and $\frac{1+\rho}{1-\rho}$, so
# $\Lambda_+/\Lambda_- < \frac{1+\rho}{1-\rho} \le 9$ in {prf:ref}`thm-cross-ratio`.


# %% tags=["asserts-prop-drift-constant"]
def limit_risk(dist, rho, g):
    s, gamma = dist.signal_spectrum[0], 2 / (1 - rho * g)
    share = rho**2 * (1 - g**2) / (1 - rho * g) ** 2
    return dist.M - share * np.sum(s**2 / (dist.M + gamma * s))


for _ in range(60):
    d, n = int(rng.integers(1, 7)), int(rng.integers(1, 30))
    rho, sigma = rng.uniform(0.02, 0.99), rng.choice([0.0, 0.5, 3.0])
    for Sx in (np.eye(d), np.diag(10 ** rng.uniform(-3, 0, size=d))):
        dist = drifting(rho, n, d, Sx=Sx, sigma=sigma)
        best = optimal_wpgd(dist)
        N, q = 1 / h2(dist, best.gamma), 1 - rho**2
        g = right_decay(rho, N)
        p, p_n = N * (rho / g - 1), riccati(rho, N, n + 1)[-1]
        p_minus = -q * N / p
        assert abs(p**2 + (N * q - q) * p - q * N) < 1e-9 * N and q < p < 1
        theta = g ** (2 * n) * (1 - p) / (1 - p_minus)
        assert abs((p - theta * p_minus) / (1 - theta) - p_n) < 1e-9
        # Bounds hold up to rounding.
        excess = optimal_wpgd(dist, "constant-gate").risk - best.risk
        assert -1e-12 * dist.M < excess
        assert excess < np.trace(Sx) * rho ** (2 * n) + 1e-12 * dist.M
        loss = written_out(dist, g) - best.risk
        s = dist.signal_spectrum[0]
        Q = s / (dist.M + best.gamma * s)
        alpha = (s @ Q) ** 2 / (s @ Q**2)
        bound = alpha * ((1 - p) * g ** (2 * n) - (p_n - p))
        assert loss < bound + 1e-11 * dist.M
        if (Sx == np.eye(d)).all():
            powers = g ** np.arange(n, 0, -1.0)
            exact = sigma**2 + d * (p + (1 - p) * g ** (2 * n))
            with_P = population_risk(dist, p / N * np.eye(d), powers)
            assert abs(with_P - exact) < 1e-9 * dist.M

# The limit: 400 examples, and rho^800 is nothing. Features over three decades.
x = np.linspace(0, 1, 20_001)
for rho in (0.3, 0.9, 0.97):
    dist = drifting(rho, 400, 3, Sx=np.diag([1.0, 0.03, 0.001]), sigma=0.1)
    best, constant = optimal_wpgd(dist), optimal_wpgd(dist, "constant-gate")
    assert abs(best.risk - constant.risk) < 1e-11 * dist.M
    values = np.array([limit_risk(dist, rho, g) for g in x])
    assert abs(values.min() - best.risk) < 1e-6 * dist.M  # the step of the scan
    g = constant.gate
    assert abs(g - right_decay(rho, 1 / h2(dist, 2 / (1 - rho * g)))) < 1e-6

# One g only: from gamma to N and back, for features that have several optima
# with other tasks.
features = np.diag([1.0] + [1 / 299] * 299)
for rho in (0.5, 0.99, 0.9999, 0.999999):
    dist = drifting(rho, 2, 300, Sx=features)
    gamma = np.geomspace(2, 2 / (1 - rho), 2000)
    back = 2 / (1 - rho * right_decay(rho, 1 / h2(dist, gamma)))
    slopes = np.diff(np.log(back)) / np.diff(np.log(gamma))
    assert (slopes > -1e-9).all() and slopes.max() < 1
    assert (np.diff(np.sign(gamma - back)) != 0).sum() == 1

# %% [markdown]
# Numbers for $d = 10$ and $\rho = 0.9$ at $n = 200$, divided by $d$:

# %% tags=["asserts-prop-drift-constant"]
dist = drifting(0.9, 200)
linear, constant, free = (
    optimal_wpgd(dist, w) for w in ("uniform", "constant-gate", "free")
)
p = 11 * (0.9 / right_decay(0.9, 11) - 1)
assert abs(linear.risk / 10 - 0.9861) < 1e-4  # of the printed digits
assert abs(p - 0.779884) < 1e-6 and abs(constant.gate - 0.84042) < 1e-5
assert abs(constant.risk / 10 - p) < 1e-11 and abs(free.risk / 10 - p) < 1e-11
assert abs(constant.gate - right_decay(0.9, 11)) < 1e-7  # far above rounding


# %% [markdown]
# Linear attention has almost nothing left: it averages over tasks long gone.
#
# ## How fast to forget
#
# ```{prf:proposition} The right decay
# :label: prop-drift-decay
#
# *New here.* For $0 < \rho < 1$ and $N > 1$ let $g(\rho, N)$ be the $g \in (0, 1)$ of {prf:ref}`prop-drift`. It is also given by
#
# $$
# \frac{(1 - g)^2}{g} = \frac{(1 - \rho)^2}{\rho} + \frac{1 - \rho^2}{N \rho} .
# $$
#
# 1. $g < \rho$: forget faster than the tasks drift. $g$ rises with $\rho$ and with $N$, and $g \to \rho$ as $N \to \infty$.
# 2. With the drift time $\tau = 1/(1 - \rho)$, as $\tau \to \infty$ at a fixed $N$ the memory $1/(1-g)$ grows as $\sqrt{N \tau/2}$: their ratio tends to one.
# 3. At a given $N$, every $g \in (0, 1)$ is right for just one $\rho$, and it lies in $(g, 1)$: the smaller root of $(N - 1)\, \rho^2 - N (g + 1/g)\, \rho + N + 1 = 0$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-drift-decay)=
# ```{prf:proof}
# Subtract $2$ on both sides of $g + 1/g = (1 + \rho^2 + q/N)/\rho$. The left side of the new form falls in $g$ on $(0, 1)$, from infinity to zero. The right side falls in $\rho$ (as $(1-\rho)^2/\rho$ and $(1 - \rho^2)/\rho$ do) and in $N$, and is above $(1 - \rho)^2/\rho$, to which it tends as $N \to \infty$. This is one. For two, let $\varepsilon = 1/\tau$: the right side is
# $\varepsilon^2/\rho + \varepsilon (1 + \rho)/(N\rho)$, which is $2\varepsilon/N$ times a factor that tends to one. So $g \to 1$ and $(1 - g)^2/(2\varepsilon/N) \to 1$. For three, multiply by $N\rho$: the quadratic in $\rho$. At $\rho = g$ it is $1 - g^2 > 0$, at $\rho = 1$ it is $N(2 - g - 1/g) < 0$, and its leading coefficient is positive. So the larger root is above one, and the smaller is in $(g, 1)$.
# ```
# ````
#
# For white features $N = d + \sigma^2 + 1$. So the picture to keep is: **forget faster than the tasks drift, but the less so the more there is to learn.** Many features, or much noise, make each example say less; then it takes more of them to see a drift, and memory must be longer.


# %% tags=["asserts-prop-drift-decay"]
def right_drift(g, N):
    """The drift that a given decay is right for: the smaller root."""
    b = N * (g + 1 / g)
    return 2 * (N + 1) / (b + np.sqrt(b**2 - 4 * (N - 1) * (N + 1)))


rho = np.linspace(0.01, 0.99, 99)[:, None]
N = np.geomspace(1.5, 1e6, 60)
g = right_decay(rho, N)
assert (g < rho).all()
assert (np.diff(g, axis=0) > 0).all() and (np.diff(g, axis=1) > 0).all()
# The difference at N = 1e6 is of the order (1 + rho) / (2 N (1 - rho)).
assert np.abs(g[:, -1:] - rho).max() < 1e-3
# Roots of a quadratic, relative to the distance from one.
assert np.allclose((1 - right_drift(g, N)) / (1 - rho), 1, rtol=1e-6)
tau = 1e9
for N in (2, 11, 101):
    memory = 1 / (1 - right_decay(1 - 1 / tau, N))
    assert abs(memory / np.sqrt(N * tau / 2) - 1) < 1e-3

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-drift", "caption": "Left: the memory of the best constant gate, for long prompts, against the time in which tasks drift, for white features, no noise. Grey: memory as long as the drift time. Right: risk under drift (rho = 0.9, d = 10). After a few examples linear attention gets worse; the constant gate and the optimum cannot be told apart."}}
drift_time = np.geomspace(1.05, 1e4, 120)
fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.9))
left.loglog(drift_time, drift_time, color="0.5", linewidth=1.2)
record = {"drift_time": drift_time}
for k, d in enumerate((1, 10, 100)):
    memory = 1 / (1 - right_decay(1 - 1 / drift_time, d + 1))
    style = {"color": plotting.TASKS[k], "linestyle": ("-", "--", "-.")[k]}
    left.loglog(drift_time, memory, linewidth=2.2, label=f"d = {d}", **style)
    record[f"memory_d_{d}"] = memory
left.set(
    xlabel=r"drift time $\tau = 1/(1-\rho)$",
    ylabel="memory $1/(1-g)$",
    ylim=(0.9, 2e4),
)
left.legend(loc="upper left")

lengths = np.unique(np.geomspace(1, 200, 24).astype(int))
curves = {"n": lengths}
for label, weights in (
    ("linear attention", "uniform"),
    ("constant gate", "constant-gate"),
    ("weighted optimum", "free"),
):
    curves[label] = [
        optimal_wpgd(drifting(0.9, int(n)), weights).risk / 10 for n in lengths
    ]
    style = dict(plotting.STYLES[label])
    if label == "constant gate":
        style["linewidth"] = 4.2
    right.semilogx(lengths, curves[label], label=label, **style)
right.set(xlabel="examples $n$", ylabel="risk / $d$", ylim=(0.74, 1.1))
_ = right.legend(loc="upper left")

# %% tags=["remove-input"]
plotting.FigureData("drift_memory", record, N="d + 1", sigma=0, seed="none")

# %% tags=["remove-input"]
plotting.FigureData("drift_risk", curves, d=10, rho=0.9, sigma=0, seed="none")

# %% [markdown]
# ## What it says of layers with a fixed decay
#
# Retentive networks {cite}`sun2023retentive` decay the state by a constant, and different heads by different constants. Mamba-2 {cite}`dao2024transformers` decays it by a scalar $\exp(-\mathrm{softplus}(\cdot)\, e^A)$; where that does not depend on the token it is a constant too, and a
# constant scale of the writes goes into $P$. Our statements are about one such head in the construction of {prf:ref}`def-construction`, not about trained networks. A head with the decay $g$ is right for one drift, and which one depends on the number of features. These are the drift times $\tau$ (no noise):

# %% tags=["nbval-check-output"]
print("decay  memory      d = 1     d = 10    d = 100")
for g in (0.9, 0.99, 0.999):
    times = [1 / (1 - right_drift(g, d + 1)) for d in (1, 10, 100)]
    line = f"{g:<5}  {1 / (1 - g):>6.0f}"
    print(line + "".join(f"{time:>11.0f}" for time in times))


# %% [markdown]
# For blocks of several examples no decay $0 < g < 1$ is quite right, if it is of any use at all ({prf:ref}`prop-constant-gate`): it forgets good examples with the bad. How wrong is it? Two blocks, the first irrelevant: the constant gate's risk, in multiples of what a gate with delimiters reaches, at $n$ from a hundred to a million.


# %%
def price(n):
    dist = PromptDistribution(10, (n // 2, n // 2), (0.0, 1.0))
    constant, mono = (optimal_wpgd(dist, w) for w in ("constant-gate", "monotone"))
    return constant.risk / mono.risk


prices = [price(n) for n in (100, 10_000, 1_000_000)]
# To the digits shown below; the gates are certified to 1e-9 of the gain.
assert np.allclose(prices, (1.316, 2.209, 3.292), rtol=0, atol=2e-3)

# A decay made for drift, met with blocks, and with another drift: risk / d.
made_for_drift = right_decay(0.9, 11)
blocks = PromptDistribution(10, (50, 50), (0.0, 1.0))
at_blocks = ell(blocks, made_for_drift) / 10
slow = [
    limit_risk(drifting(0.99, 2), 0.99, x) / 10
    for x in (made_for_drift, right_decay(0.99, 11))
]
assert at_blocks > 2 * optimal_wpgd(blocks, "monotone").risk / 10
assert slow[0] > 1.2 * slow[1]

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

for key, value in zip(("price_2", "price_4", "price_6"), prices):
    glue(key, float(value), display=False)
glue("at_blocks", float(at_blocks), display=False)
glue(
    "mono_blocks", float(optimal_wpgd(blocks, "monotone").risk / 10), display=False
)
glue("slow_wrong", float(slow[0]), display=False)
glue("slow_right", float(slow[1]), display=False)

# %% [markdown]
# These are {glue:text}`price_2:.2f`, {glue:text}`price_4:.2f` and {glue:text}`price_6:.2f`. Even the best constant gate falls further behind at each of these lengths: to shut out the first block $g^{n/2}$ must be small, and then much of the second is forgotten as well. The decay made for $\rho = 0.9$ has
# the risk {glue:text}`at_blocks:.3f` on the blocks of a hundred, where {glue:text}`mono_blocks:.3f` is possible, and {glue:text}`slow_wrong:.3f` at the slower drift $\rho = 0.99$, where the right decay has {glue:text}`slow_right:.3f`.
#
# ## Break it
#
# **A drift that alternates.** Let $-1 < \rho < 0$. Turn the sign of every other task: nothing but signs changes, so the best weights are those of $|\rho|$ with alternating signs, at the same risk. No scalar gates come near. Here the best they can do is to keep the last example alone.

# %%
up, down = drifting(0.9, 20), drifting(-0.9, 20)
best = optimal_wpgd(down)
signs = (-1.0) ** np.arange(19, -1, -1)
assert np.allclose(best.omega * signs / best.omega[-1], optimal_wpgd(up).omega)
assert abs(best.risk - optimal_wpgd(up).risk) < 1e-12 * up.M

last = optimal_wpgd(down, np.eye(20)[19]).risk
mono = optimal_wpgd(down, "monotone").risk  # any scalar gates at all
assert abs(mono - last) < 1e-12 * down.M
assert optimal_wpgd(down, "constant-gate").gate == 0.0
assert mono > best.risk + 0.1 * down.M

# %% [markdown]
# **Relevance falls, and forgetting helps.** {prf:ref}`prop-no-decay` needs blocks of equal size. A large block repeats itself; forgetting makes up for it. The two mean ages see that.

# %%
dist = PromptDistribution(10, (90, 10), (0.5, 0.45))
assert optimal_wpgd(dist, "constant-gate").gate < 1
relevance, presence = mean_ages(dist)
assert relevance < presence

# %% [markdown]
# **A little does not help, much does.** {prf:ref}`prop-first-forgetting` is about the first step only. Here the risk rises at first, and yet the best gate is far from one. The scan finds three basins:

# %%
dist = PromptDistribution(2, (200, 50, 2), (0.45, -0.3, 0.75))
relevance, presence = mean_ages(dist)
assert relevance > presence
steps = np.diff(scanned(dist))
steps = steps[np.abs(steps) > 1e-12 * dist.M]  # others may be rounding
inner = (steps[:-1] < 0) & (steps[1:] > 0)
assert (steps[0] > 0) + inner.sum() + (steps[-1] < 0) == 3
assert optimal_wpgd(dist, "constant-gate").gate < 0.5

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-two-drifts
#
# Let each task be the sum of two independent parts of equal variance, one that drifts fast and one slowly: $R_{ij} = \tfrac12 (\rho_1^{|i-j|} + \rho_2^{|i-j|})$ and likewise $r$, with $\rho_1 = 0.5$ and $\rho_2 = 0.99$ (white features, $d = 10$). Is one decay enough for long prompts? Are two heads with two decays?
# ```
#
# ````{solution} ex-two-drifts
# :class: dropdown
#
# Now the Kalman filter has a state of two numbers, and in the limit its state is multiplied by one constant $2 \times 2$ matrix in every step, and then an example is added. If that matrix has two different eigenvalues $g_1$, $g_2$, the weight at age $j$ is
# $a_1 g_1^j + a_2 g_2^j$: such weights obey $\omega_{j+2} = (g_1 + g_2)\, \omega_{j+1} - g_1 g_2\, \omega_j$. One decay is not enough, and two heads with the same $P$, scaled by $a_1$ and $a_2$, are.
#
# ```python
# n, lag = 600, np.abs(np.subtract.outer(np.arange(600), np.arange(600)))
# R = (0.5**lag + 0.99**lag) / 2
# r = (0.5 ** np.arange(n, 0, -1.0) + 0.99 ** np.arange(n, 0, -1.0)) / 2
# dist = PromptDistribution(10, (1,) * n, r, R=R)
# best = optimal_wpgd(dist)
# w = best.omega[::-1][:60]  # by age, the recent ones
#
# (total, product), *_ = np.linalg.lstsq(
#     np.stack([w[1:-1], -w[:-2]], axis=1), w[2:], rcond=None
# )
# g_1, g_2 = np.roots([1.0, -total, product])
# assert np.isreal([g_1, g_2]).all() and 0 < min(g_1, g_2) < max(g_1, g_2) < 1
# powers = np.stack([g_1 ** np.arange(n), g_2 ** np.arange(n)], axis=1)
# a, *_ = np.linalg.lstsq(powers[:60], w, rcond=None)
# two_heads = optimal_wpgd(dist, (powers @ a)[::-1]).risk
# one_head = optimal_wpgd(dist, "constant-gate").risk
# assert two_heads < best.risk + 1e-6 * dist.M
# assert one_head > best.risk + 1e-3 * dist.M
# assert min(g_1, g_2) < 0.5 and 0.5 < max(g_1, g_2) < 0.99
# ```
#
# Each decay is below its drift, as one would expect by now.
# ````

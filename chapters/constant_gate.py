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
#   settles: the best constant gate on any blocks, with a certificate
# ---

# %% [markdown]
# # The best constant gate, for certain
#
# A layer forgets at one constant rate: which rate is best, and how can one be sure?
#
# There is one number to choose. But the risk can have several valleys, and some are narrow: two tasks that nearly cancel may do so at one
# gate only. A scan can step over such a valley. A bound on what lies *between* two gates cannot. (When the best is to forget nothing,
# {doc}`when_to_forget` often says so without a search.)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-gate-certificate", "caption": "A scan can miss the best gate; a bound between gates cannot. Risk of a constant gate against its memory $1/(1-g)$; two tasks nearly opposed, of 3,000 and 1,000 examples, and one example of a third. The grey floor is the bound on each cell of gates. Cells are halved only where the floor is too low."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting
from glalib.constant_gate import Objective

plotting.use_style()


def opposed(counts, e, third):
    """Two tasks nearly opposed and a third apart; the query's is along
    what the two leave over where they cancel, and along the third."""
    R = np.eye(3)
    R[0, 1] = R[1, 0] = -np.sqrt(1 - e**2)
    r = (0.0, e * np.sqrt(1 - third**2), third)
    return PromptDistribution(1, counts, r, R=R)


dist = opposed((3000, 1000, 1), 0.03, 0.5)
objective = Objective(dist)
points = objective.points(np.append(0.0, 0.5 ** np.arange(13.0, -1, -1)))
low, high = points.at(slice(None, -1)), points.at(slice(1, None))
left, right, floor = [], [], []  # of the cells that are done, in c = 1 - g
top = points.gain.max()
while low.c.size:
    bounds, _ = objective.bounds(low, high)
    done = bounds <= 1.03 * top
    left.extend(low.c[done])
    right.extend(high.c[done])
    floor.extend(dist.M - objective.unit * bounds[done])
    low, high = low.at(~done), high.at(~done)
    middle = objective.points((low.c + high.c) / 2)
    top = max(top, middle.gain.max(initial=0.0))
    low, high = (
        type(low)(*map(np.concatenate, zip(*pair)))
        for pair in ((low, middle), (middle, high))
    )


def risk_at(c):
    return dist.M - objective.unit * objective.points(c).gain


memory = np.geomspace(1, 1e5, 3000)
scan = np.geomspace(1, 1e5, 21)
fig, ax = plt.subplots(figsize=(6.4, 3.7))
ax.semilogx(memory, risk_at(1 / memory), color=plotting.TASKS[1], linewidth=1.8)
ax.plot(scan, risk_at(1 / scan), "s", color=plotting.TASKS[0], ms=6, clip_on=False)
for c1, c2, value in zip(left, right, floor):
    ends = 1 / c2, min(1 / max(c1, 1e-9), 1e5)
    ax.fill_between(ends, 0.7, value, color="0.8", linewidth=0)
    ax.plot(ends, (value, value), color="0.35", linewidth=1.2)
ax.text(1250, 0.87, "risk", ha="right", color=plotting.TASKS[1])
ax.text(8, 1.013, "a scan of 21 gates", color=plotting.TASKS[0])
ax.text(10, 0.75, "proved: no risk is in here", ha="center")
ax.annotate(
    "best gate",
    (1640, risk_at(np.array([1 / 1640]))[0]),
    xytext=(38, 8),
    textcoords="offset points",
    arrowprops={"arrowstyle": "->"},
)
_ = ax.set(
    xlabel="memory $1/(1-g)$, in examples",
    ylabel="risk / $M$",
    xlim=(1, 1e5),
    ylim=(0.7, 1.04),
)

# %% tags=["remove-input"]
order = np.argsort(left)
plotting.FigureData(
    "gate_certificate",
    {
        "cell_from_1_minus_g": np.array(left)[order],
        "cell_to_1_minus_g": np.array(right)[order],
        "floor": np.array(floor)[order],
        "risk_at_to": risk_at(np.array(right)[order]),
    },
    figure=fig,
    d=1,
    counts=(3000, 1000, 1),
    e=0.03,
    r_3=0.5,
    tolerance=0.03,
    seed="none",
)


# %% [markdown]
# ## One gate value for all tokens
#
# ```{symbols}
# omega r R counts n K M gamma h1 h2 lambda Sigma P Q risk G C
# ```
#
# Let the logit of the gate see neither $x_i$ nor $y_i$, and let tokens carry nothing else. Then every token has the same gate $g$, the query
# too, and example $i$ gets the weight $g^{n+1-i}$. A sigmoid gives $0 < g < 1$; linear attention, $g = 1$, is a limit. $R$ and $r$
# are those of the $K$ tasks.
#
# ```{note}
# The weights here do not read the data.
# ```
#
# ```{prf:proposition} The best constant gate
# :label: prop-constant-gate
#
# **No constant gate beats the best rising weights. Where a block has several examples, a true decay that gains anything is strictly worse.**
#
# *New here.* Let every gate be $g \in (0, 1]$, and let $m_k = n_{k+1} + \dots + n_K$ be the number of examples after block $k$. Put
#
# $$
# \begin{gathered}
# b_k = g^{m_k} \sum_{j=0}^{n_k - 1} g^{j} = g^{m_k}\, \frac{1 - g^{n_k}}{1 - g}, \\
# \nu = \sum_{j=0}^{n-1} g^{2j} = \frac{1 - g^{2n}}{1 - g^2}
# \end{gathered}
# $$
#
# (the fractions for $g < 1$). Then $\omega_i = g^{n+1-i}$ and $r^\top \omega = g\, r^\top b$, $\norm{\omega}^2 = g^2 \nu$,
# $\omega^\top R\, \omega = g^2 b^\top R b$. With its best $P$ the risk is
#
# $$
# \begin{gathered}
# \ell(g) = M - \frac{(r^\top b)^2}{\nu} \sum_i \frac{s_i^2}{M + \gamma s_i}, \\
# \gamma = 1 + \frac{b^\top R b}{\nu} .
# \end{gathered}
# $$
#
# It is continuous, and as $g \to 0$ it tends to $\ell(0) := M - r_K^2 \sum_i s_i^2/(M + 2 s_i)$, the risk of the last example alone. So $\ell$
# has a minimum on $[0, 1]$. With $\risk_{\text{mon}}$ the infimum of the risk over all weights $0 \le \omega_1 \le \dots \le \omega_n$ and all
# $P$,
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
# The weights are {prf:ref}`thm-gla-is-wpgd`. Block $k$ holds the exponents $m_k + 1, \dots, m_k + n_k$, so its weights sum to $g b_k$; the
# three moments follow. For given weights the risk of {prf:ref}`prop-population-risk` is
# $M - 2 (r^\top\omega) \tr(\Sigma Q) + \norm{\omega}^2 \tr(Q (M I + \gamma \Sigma) Q^\top)$. It is least at
# $Q = \frac{r^\top \omega}{\norm{\omega}^2} \Sigma (MI + \gamma\Sigma)^{-1}$, which is that of
# $P = \frac{r^\top \omega}{\norm{\omega}^2} C (MI + \gamma \Sigma_x C)^{-1}$, and there it is
# $M - \frac{(r^\top\omega)^2}{\norm{\omega}^2} \sum_i s_i^2/(M + \gamma s_i)$. This is homogeneous of degree zero in $\omega$, so the factor
# $g$ drops out. As polynomials $b$ and $\nu$ are continuous on $[0, 1]$, and $\nu \ge 1$. At $g = 0$, $b = (0, \dots, 0, 1)$ and $\nu = 1$.
#
# The chain: each class of weights contains the next, and $\ell(0)$ is the risk of the non-decreasing weights $(0, \dots, 0, 1)$. For the last
# sentence, replace the weights of each block by their mean. The block sums stay, so $r^\top\omega$ and $\omega^\top R\, \omega$ do, and weights
# that do not decrease still do not. But $\norm{\omega}^2$ becomes smaller if some block had different weights. At a fixed $Q \ne 0$ its factor
# in the risk is $M \tr(Q^\top Q) + \tr(\Sigma Q^\top Q) > 0$. And the best $Q$ is not zero where $\ell(g) < M$.
# ```
# ````
#
# $b$ and $\nu$ are geometric sums, so a value of $\ell$ need not cost more where $n$ is larger. Here they are written out:


# %%
def ell(dist, g):
    """The formula: geometric sums, for one gate value g in [0, 1]."""
    counts = np.array(dist.counts)
    after = dist.n - np.cumsum(counts)
    b = np.array([sum(g ** (m + np.arange(c))) for m, c in zip(after, counts)])
    nu = np.sum(g ** (2.0 * np.arange(dist.n)))
    gamma = 1 + b @ dist.R @ b / nu
    s = dist.signal_spectrum[0]
    return dist.M - (dist.r @ b) ** 2 / nu * np.sum(s**2 / (dist.M + gamma * s))


blocks = PromptDistribution(d=10, counts=(50, 50), r=(0.0, 1.0))
best = optimal_wpgd(blocks, "constant-gate")
assert np.isclose(best.risk, ell(blocks, best.gate))


# %% tags=["check", "asserts-prop-constant-gate"]
def written_out(dist, g):
    """The same from n weights; a common factor is left out, so that g = 0 works."""
    return optimal_wpgd(dist, g ** np.arange(dist.n - 1, -1, -1.0)).risk


gates = np.concatenate([[0.0], np.exp(-np.geomspace(40, 1e-5, 800)), [1.0]])


def scanned(dist):
    return np.array([written_out(dist, g) for g in gates])


rng, worst = np.random.default_rng(0), 0.0
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
        abs(values[i] - ell(dist, gates[i])) < 1e-12 * dist.M
        for i in range(0, len(gates), 100)
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
    worst = max(worst, (best - values.min()) / dist.M)
assert worst < 1e-12
print(f"20 random prompts: no scan of {len(gates)} gates finds a lower risk")

# %% [markdown]
# Take two independent tasks of fifty examples each, the first irrelevant. To shut it out costs good examples of the second. The constant gate
# still gains most of what rising weights gain, but not all: {ref}`the curves <fig-constant-gate>`, for this and other relevances.

# %% tags=["check", "asserts-prop-constant-gate"]
known = {  # r: linear attention, constant gate, its g, monotone optimum
    (0.0, 1.0): (0.5902, 0.2372, 0.9636, 0.1803),
    (0.2, 0.8): (0.5902, 0.4553, 0.9770, 0.4426),
    (0.5, 0.5): (0.5902, 0.5902, 1.0, 0.5902),
    (0.8, 0.2): (0.5902, 0.5902, 1.0, 0.5902),
}
shown = []
for r, expected in known.items():
    dist = PromptDistribution(d=10, counts=(50, 50), r=r)
    best = optimal_wpgd(dist, "constant-gate")
    linear, mono = (optimal_wpgd(dist, w).risk for w in ("uniform", "monotone"))
    found = (linear / 10, best.risk / 10, best.gate, mono / 10)
    # Weights as stated, the query's gate included: powers to rounding.
    assert np.allclose(best.omega, best.gate ** np.arange(100, 0, -1), rtol=1e-12)
    assert np.allclose(found, expected, rtol=0, atol=1e-4)  # of the printed digits
    shown.append(f"{best.gate:.3f}")
print(f"best gates for the four panels of Figure 1: {', '.join(shown)}")


# %% [markdown]
# ## A bound between two gates
#
# ```{prf:proposition} A certificate for the constant gate
# :label: prop-gate-certificate
#
# **Between two gates the gain is at most what it is at one of them, up to errors of second order in their distance.**
#
# *New here.* Let $0 \le g_1 < g_2 \le 1$, $\delta = g_2 - g_1$, and index by $1$ and $2$ what belongs to them. Write $u = r^\top b$,
# $w = b^\top R b$, $\Delta = M - \ell$ for the gain and
#
# $$
# \begin{gathered}
# \Phi(\nu, w) = \sum_i \frac{s_i^2}{(M + s_i)\, \nu + s_i w}, \\
# \text{so that } \Delta = u^2\, \Phi(\nu, w) .
# \end{gathered}
# $$
#
# Put $r_+ = \max_k |r_k|$, $\bar\lambda = \max_k \sum_l |R_{kl}|\, n_l$ and, with sums over the ages $j = 0, \dots, n-1$,
#
# $$
# \begin{gathered}
# e_1 = \frac{\delta^2}{8} \sum_j j (j-1)\, g_2^{j-2}, \qquad e_2^2 = \frac{\delta^4}{64} \sum_j j^2 (j-1)^2 g_2^{2j-4}, \\
# e_R = \min\bigl(e_1, \bar\lambda^{1/2} e_2\bigr), \qquad \varepsilon_u = \min\Bigl(r_+ e_1, \Bigl(\textstyle\sum_k n_k r_k^2\Bigr)^{1/2} e_2\Bigr), \\
# \varepsilon_\nu = \frac{\delta^2}{8} \sum_j 2j (2j-1)\, g_2^{2j-2}, \\
# \varepsilon_w = \tfrac14 (b_2 - b_1)^\top R\, (b_2 - b_1) + 2 e_R \sqrt{\max(w_1, w_2)} .
# \end{gathered}
# $$
#
# If $\varepsilon_\nu < \nu_1$ and $\varepsilon_w \le \min(w_1, w_2)$, then for every $g \in [g_1, g_2]$
#
# $$
# \Delta(g) \;\le\; \max_{i = 1, 2}\; (|u_i| + \varepsilon_u)^2\; \Phi(\nu_i - \varepsilon_\nu,\; w_i - \varepsilon_w) .
# $$
#
# In any case it holds with $\nu_1$ in place of both $\nu_i - \varepsilon_\nu$, and with zero in place of both $w_i - \varepsilon_w$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-gate-certificate)=
# ```{prf:proof}
# Let $\omega(g)$ be the weights $g^j$ of the $n$ examples, $j$ the age, and let $g = (1 - t) g_1 + t g_2$. As functions of $g$ they are convex,
# with second derivative at most $j(j-1) g_2^{j-2}$. So $\omega(g) = \omega_t - e$, where $\omega_t = (1-t)\, \omega(g_1) + t\, \omega(g_2)$ and
# $0 \le e_j \le \frac{\delta^2}{8} j (j-1) g_2^{j-2}$ (the error of linear interpolation), here with $e_j$ the entry at age $j$. So the sum of
# these entries is at most $e_1$, the sum of their squares at most $e_2^2$.
#
# *Three lines.* $u$ is linear in the weights: it differs from its line by $|r^\top e|$, which is at most $\varepsilon_u$, by the largest entry
# or by Cauchy and Schwarz. So $|u| \le (1 - t) |u_1| + t |u_2| + \varepsilon_u$. $\nu = \sum_j g^{2j}$ has a second derivative of at most
# $8 \varepsilon_\nu/\delta^2$, so it is at most $\varepsilon_\nu$ below its line. For $w$ let $\norm{z}_R^2 = z^\top R\, z$, with $R$ that of the
# examples. Entries of $R$ are at most one, so $\norm{e}_R$ is at most the sum of the entries of $e$; and the eigenvalues of $R$ are at most its
# largest row sum of absolute values, $\bar\lambda$. So $\norm{e}_R \le e_R$, and as $\norm{\omega_t}_R$ is at most $\sqrt{\max(w_1, w_2)}$,
#
# $$
# \begin{aligned}
# w(g) &= \norm{\omega_t - e}_R^2 \ge \norm{\omega_t}_R^2 - 2 e_R \sqrt{\max(w_1, w_2)}, \\
# \norm{\omega_t}_R^2 &= (1-t) w_1 + t w_2 - t (1-t) \norm{\omega(g_2) - \omega(g_1)}_R^2 ,
# \end{aligned}
# $$
#
# and $t (1-t) \le \frac14$. So $w$ is at most $\varepsilon_w$ below its line.
#
# *The ends.* $\Phi$ falls in $\nu$ and in $w$. So $\Delta(g)$ is at most $\varphi(t)^2/\chi(t)$, where $\varphi \ge 0$ is linear in $t$ and
# $\chi(t) = 1/\Phi$ at a $\nu > 0$ and a $w \ge 0$ that are linear in $t$. For the $s_i \ne 0$, the others add nothing to $\Phi$, let
# $l_i = ((M + s_i)\, \nu + s_i w)/s_i^2 > 0$; then $1/\Phi = 1/\sum_i (1/l_i)$, which is concave, as the harmonic mean of linear functions is.
# And $\varphi^2/\chi$ is convex for a linear $\varphi$ and a concave $\chi > 0$, since $(\varphi, \chi) \mapsto \varphi^2/\chi$ is convex and falls in $\chi$. A
# convex function is largest at an end of $[0, 1]$. Finally $\nu \ge \nu_1$, since $\nu$ rises with $g$, and $w \ge 0$: these are constants, and
# linear too.
# ```
# ````


# %% tags=["check", "asserts-prop-gate-certificate"]
def gain_and_bound(dist, g1, g2, g):
    """Gains at gates g, and the statement's bound, all sums written out."""
    ages = np.arange(dist.n - 1, -1, -1.0)
    start = np.cumsum((0, *dist.counts[:-1]))
    counts, s = np.array(dist.counts), dist.signal_spectrum[0][:, None]

    def moments(g):
        powers = g[:, None] ** ages
        b = np.add.reduceat(powers, start, axis=1)
        return b, b @ dist.r, (powers**2).sum(1), ((b @ dist.R) * b).sum(1)

    def Phi(nu, w):
        return (s**2 / ((dist.M + s) * nu + s * w)).sum(0)

    _, u, nu, w = moments(g)
    gain = u**2 * Phi(nu, w)
    b, u, nu, w = moments(np.array([g1, g2]))
    curved = ages * (ages - 1) * g2 ** np.maximum(ages - 2, 0)
    e = (g2 - g1) ** 2 / 8 * curved
    e1, e2 = e.sum(), np.linalg.norm(e)
    e_R = min(e1, np.sqrt((np.abs(dist.R) @ counts).max()) * e2)
    off_u = min(np.abs(dist.r).max() * e1, np.sqrt(counts @ dist.r**2) * e2)
    twice = 2 * ages * (2 * ages - 1) * g2 ** np.maximum(2 * ages - 2, 0)
    off_nu = (g2 - g1) ** 2 / 8 * twice.sum()
    step = b[1] - b[0]
    off_w = step @ dist.R @ step / 4 + 2 * e_R * np.sqrt(w.max())
    nu = nu - off_nu if off_nu < nu[0] else nu[[0, 0]]
    w = w - off_w if off_w <= w.min() else 0 * w
    return gain, ((np.abs(u) + off_u) ** 2 * Phi(nu, w)).max()


share, cells = np.linspace(0, 1, 101), 0
for _ in range(100):
    counts = [int(c) for c in rng.integers(2, 60, size=3)]
    dist = opposed(counts, rng.uniform(0.01, 0.5), 0.5)
    for width in (1.0, 0.1, 0.01):
        g1 = (1 - width) * rng.uniform()
        cell = g1 + width * share
        gain, bound = gain_and_bound(dist, g1, cell[-1], cell)
        assert gain.max() <= bound * (1 + 1e-10)  # rounding, magnified by 1/w
        cells += 1

# Of second order: at half the width a quarter of the error.
dist, ratios = opposed((40, 20, 3), 0.2, 0.5), []
for g1 in (0.3, 0.9, 0.99):
    over = []
    for width in (1e-4, 5e-5):
        ends = np.array([g1, g1 + width])
        gain, bound = gain_and_bound(dist, *ends, ends)
        over.append(bound / gain.max() - 1)
    ratios.append(over[0] / over[1])
assert np.abs(np.array(ratios) - 4).max() < 0.1
print(
    f"{cells} cells: no gain above the bound; half the width, 1/{np.mean(ratios):.1f} the error"
)

# %% [markdown]
# All sums are known in closed form, so a bound costs about as much as a value of $\ell$. The search halves cells until none can hold a gain more
# than $1 + 10^{-9}$ times the best one found. Unless rounding or a limit on the work stops it first, **no constant gate gains more than that**.
# For prompts of up to some hundreds of examples a hundred values of $\ell$ are mostly enough. The record's `certificate` says what was reached,
# with rounding included:

# %%
from glalib.constant_gate import constant_gate

dist = opposed((750_000, 250_000, 1), 0.005, 0.5)  # a million examples
best, found = optimal_wpgd(dist, "constant-gate"), constant_gate(dist)
print(f"risk {best.risk / dist.M:.4f} M at memory {1 / (1 - best.gate):,.0f}")
print(best.certificate.replace(": ", ":\n"))


# %% [markdown]
# ````{dropdown} What makes a search long
# The ends of the first cells have values of $1 - g$ in ratios of two. For each sum over ages the package takes the smaller of two bounds: the sum to
# infinity, and the sum at $g_2 = 1$. Errors go with the square of the width, so few halvings are enough where the gain is curved. Where it is nearly flat in $g$, as in long prompts of few tasks, it
# takes thousands of values, and more as $n$ grows. Where $n$ is large and tasks cancel, rounding spoils digits of $b^\top R b$, and the
# certificate says so.
# ````


# %% tags=["check", "asserts-prop-gate-certificate"]
def long_ell(dist, t):
    """The formula at gates exp(-t), with geometric sums."""
    counts, t = np.array(dist.counts, dtype=float), t[:, None]
    after = dist.n - np.cumsum(counts)
    b = np.exp(-after * t) * np.expm1(-counts * t) / np.expm1(-t)
    nu = np.expm1(-2.0 * dist.n * t) / np.expm1(-2 * t)
    w = np.sum((b @ dist.R) * b, axis=1, keepdims=True)
    s = dist.signal_spectrum[0]
    Phi = np.sum(s**2 / ((dist.M + s) * nu + s * w), axis=1)
    return dist.M - (b @ dist.r) ** 2 * Phi


assert abs(best.risk - 0.4873) < 1e-4
assert best.risk - found.bound < 2e-9 * dist.M  # as proved, and rounding
# A scan of 600 gates sees only the third task.
coarse = long_ell(dist, np.geomspace(1e-4 / dist.n, 40, 600))
assert coarse.min() > 0.9
# One that knows where to look sees the basin, and nothing below.
basin = long_ell(dist, found.t * np.linspace(0.99, 1.01, 2001))
assert abs(basin.min() - best.risk) < 1e-5
assert basin.min() > found.bound
print(
    f"a scan of 600 gates stops at {coarse.min():.2f} M, {found.evaluations} values "
    f"prove {best.risk:.4f} M"
)

# %% [markdown]
# ## Break it
#
# **When rounding has the last word.** In four hundred million examples two tasks can cancel so well that rounding spoils half the digits of
# $b^\top R b$. The bound counts this in. So the search ends early, and the certificate promises less:

# %%
dist = opposed((300_000_000, 100_000_000, 1), 1e-4, 0.5)
best = optimal_wpgd(dist, "constant-gate")
assert 1e-8 < best.risk / dist.M - constant_gate(dist).bound / dist.M < 1e-6
print(best.certificate.replace(": ", ":\n"))

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: two examples
# :label: ex-two-examples
#
# One example of each of two independent tasks, $0 \le r_1 \le r_2$, $r_2 > 0$, any features. Find the best constant gate. Why does it lose
# nothing against the best weights? And what is the best constant gate if $r_1 > r_2 \ge 0$?
# ```
#
# ```{answer} ex-two-examples
# asks: The best constant gate for r = (0.3, 0.6), and that for r = (0.6, 0.3).
# value: '[best.gate, optimal_wpgd(falling, "constant-gate").gate]'
# wrong:
# - value: "[1/2, 1/2]"
#   says: A decay can favour the last example only. What is best if the first one is more relevant?
# - value: "[1/2, 2]"
#   says: The second would be along r. But a gate is at most one.
# - value: "[1/4, 1]"
#   says: The weights are along r where the cosine is one. Look at (g, 1) and r themselves, not at their squares.
# - value: "[1/2, 0]"
#   says: With a gate of zero only the last example is heard, and in the second case that is the worse one.
# - above: 1
#   says: A gate is at most one.
# minutes: 6
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# $R = I$, so $\gamma = 2$ whatever the weights. What is left of $\ell$ is the cosine between $(g, 1)$ and $r$.
# ```
#
# ````{solution} ex-two-examples
# :class: dropdown
#
# With $R = I$, $\gamma = 1 + \norm{\omega}^2/\norm{\omega}^2 = 2$. The larger $(r_1 g + r_2)^2/(1 + g^2)$, the lower $\ell$, and it is largest
# where $(g, 1)$ is along $r$: $g = r_1/r_2$. These are the best weights, so nothing is lost; two weights in rising order *are* a decay. If
# $r_1 > r_2 \ge 0$, then $g = 1$, by {prf:ref}`prop-no-decay` with blocks of one example.
#
# ```python
# rising = PromptDistribution(3, (1, 1), (0.3, 0.6), Sx=np.diag([1, 0.1, 0.01]))
# best = optimal_wpgd(rising, "constant-gate")
# assert np.isclose(best.gate, 0.5) and np.isclose(best.risk, optimal_wpgd(rising).risk)
# falling = PromptDistribution(3, (1, 1), (0.6, 0.3))
# assert optimal_wpgd(falling, "constant-gate").gate == 1
# ```
# ````
#
# ```{exercise} Compute: how many memories fit into a block?
# :label: ex-memories-in-a-block
#
# Two independent tasks of $n/2$ examples each, $r = (0, 1)$, $d = 10$ white features, no noise. Let $g = e^{-t}$ be the best gate. How does
# $t\, n/2$ grow with $n$: the number of memories that fit into a block? And what does it cost not to know where the block ends, as a ratio of
# the risk to that of the best rising weights?
# ```
#
# ```{answer} ex-memories-in-a-block
# asks: In long prompts, how many memories fit into a block, as a function of n?
# value: "lambda n: np.log(2 * n / 11) / 2"
# at: [{n: 1000000}, {n: 10000}, {n: 100000000}]
# within: 2%
# wrong:
# - value: "lambda n: np.log(2 * n / 11)"
#   says: The first block is heard with the square of its weights, so a memory of it dies out with twice the exponent.
# - value: "lambda n: np.log(n / 11) / 2"
#   says: Nearly. Set the derivative of the risk to zero once more, with its two factors of two.
# - value: "lambda n: (1 + np.log(2 * n / 11)) / 4"
#   says: That is what it costs, the ratio of the two risks.
# - value: "lambda n: 2 * n / 11"
#   says: So many would fit if a memory held a fixed number of examples. The best memory grows with the block, nearly as fast.
# minutes: 20
# level: 3
# ```
#
# ```{hint}
# :class: dropdown
#
# Let $T = t\, n/2$ be large and $t$ small. One part of the risk comes from the first block, about $e^{-2T} d$. The other comes from the short
# memory: it is about $(M + 1)\, \frac t2\, d$.
# ```
#
# ````{solution} ex-memories-in-a-block
# :class: dropdown
#
# With $N = M + 1$ the risk over $d$ is about $e^{-2T} + N T/n$, which is least at $T = \frac12 \log \frac{2n}{N}$. There it is
# $\frac{N}{2n} (1 + \log \frac{2n}{N})$. The best rising weights use the second block alone and have about $2N/n$. So the ratio grows without
# bound, but slowly: it is about $\frac14 (1 + \log \frac{2n}{N})$.
#
# ```python
# N, off = 11, []
# for n in (10**4, 10**6, 10**8):
#     halves = PromptDistribution(10, (n // 2, n // 2), (0.0, 1.0))
#     risk, mono = (optimal_wpgd(halves, w).risk for w in ("constant-gate", "monotone"))
#     fit = np.log(2 * n / N)
#     assert np.isclose(constant_gate(halves).t * n / 2, fit / 2, rtol=0.03)
#     off.append(abs(4 * risk / mono / (1 + fit) - 1))
# assert off[0] < 0.05 and (np.diff(off) < 0).all()
# ```
# ````
#
# ```{exercise} Explore: how narrow can a valley be?
# :label: ex-narrow-valley
#
# Take ten million examples, `opposed((7_500_000, 2_500_000, 1), e, 0.5)`, and let $e$ go down from $0.04$ by halves. How wide is the valley of
# the best gate, as a ratio of memories? How fast does the number of gates grow that
# a scan needs, and how fast the number that the certificate needs?
# ```
#
# ```{answer} ex-narrow-valley
# asks: Each time e is halved, what doubles, or nearly so?
# choices:
# - text: the number of gates that a scan needs, only
# - text: the number of values that the certificate needs, only
#   says: Print the evaluations. The certificate halves intervals, and only where it has to.
# - text: both numbers
#   says: A scan needs the same step everywhere. The certificate makes small steps only in the valley; print its evaluations.
# - text: neither number
#   says: The width of the valley goes down with e. What does this mean for a scan that must not step over it?
# minutes: 20
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Measure the width of the valley at half its gain, with `long_ell` around the gate that `constant_gate` finds; it also counts its evaluations.
# ```
#
# ````{solution} ex-narrow-valley
# :class: dropdown
#
# The width is about proportional to $e$: half as much with each step. So a scan must be twice as fine each time. The certificate only needs
# more halvings where the valley is: over all the steps the number of its values grows by a fifth.
#
# ```python
# widths, evaluations = [], []
# for e in (0.04, 0.02, 0.01, 0.005):
#     valley = opposed((7_500_000, 2_500_000, 1), e, 0.5)
#     found = constant_gate(valley)
#     around = long_ell(valley, found.t * np.exp(np.linspace(-0.3, 0.3, 6001)))
#     half = valley.M - (valley.M - around.min()) / 2
#     widths.append((around < half).mean() * 0.6)
#     evaluations.append(found.evaluations)
# ratios = np.array(widths[:-1]) / widths[1:]
# assert np.allclose(ratios, 2, rtol=0.03)  # a step of the scan is a hundredth of a width
# assert np.isclose(evaluations[-1] / evaluations[0], 1.19, rtol=0.05)
# ```
# ````

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
#   settles: 'tasks that drift: how fast to forget, and why a Kalman filter comes out'
# ---

# %% [markdown]
# # Decay and drift
#
# How fast should a layer forget, if nothing in the prompt tells it when?
#
# RetNet multiplies its memory by the same number at every token. For tasks that *drift*, a little from example to example, that is almost
# right. The best weights are those of a Kalman filter that sees only the products $y_i x_i$, and after a few examples one gate value all but gives them. Which value? One that
# forgets faster than the tasks drift.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-drift-gates", "caption": "Under drift the best gates soon settle at one value. Above: the gates of the best weights fall from near $\\rho$ to a constant $g$; those of the Kalman filter, which also changes how strongly it writes, rise to the same $g$. Below: the best weights and those of the best constant gate differ only where both are small. Drift $\\rho = 0.95$, $d = 10$ white features, 30 examples, no noise."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting
from glalib.drift import drifting, right_decay

plotting.use_style()


rho, n = 0.95, 30
dist = drifting(rho, n, 10)
best, constant = optimal_wpgd(dist), optimal_wpgd(dist, "constant-gate")
tokens = np.arange(2, n + 1)  # the first gate acts on nothing
layer = best.omega[:-1] / best.omega[1:]
N, p = dist.M + 1, [1.0]
while len(p) < n:
    p.append(rho**2 * p[-1] * N / (p[-1] + N) + 1 - rho**2)
kalman = rho * N / (np.array(p[1:]) + N)

fig, (above, below) = plt.subplots(2, 1, figsize=(6.4, 3.9), sharex=True)
above.axhline(rho, **plotting.STYLES["predict zero"])
above.text(n, rho - 0.002, r"drift $\rho$", ha="right", va="top")
above.plot(tokens, layer, "o-", color=plotting.TASKS[1], markersize=4)
above.text(6.5, 0.923, "gates of the best weights", color=plotting.TASKS[1])
above.axhline(constant.gate, **plotting.STYLES["constant gate"])
above.text(n, 0.903, "best constant gate", ha="right", color=plotting.TASKS[2])
above.plot(tokens, kalman, "^--", color=plotting.TASKS[0], markersize=4)
above.text(8, 0.876, "the Kalman filter's gates", color=plotting.TASKS[0])
above.set(ylabel="gate of the token", ylim=(0.865, 0.957))
i = np.arange(1, n + 1)
optimum = best.omega / best.omega[-1]
powers = constant.gate ** (n - 1.0 * (i - 1) - 1)
below.semilogy(i, optimum, "o-", color=plotting.TASKS[1], markersize=4)
below.semilogy(i, powers, **plotting.STYLES["constant gate"])
below.annotate(
    "best weights",
    (5, optimum[4]),
    xytext=(-8, 26),
    textcoords="offset points",
    color=plotting.TASKS[1],
)
below.text(7, powers[6] * 0.62, "powers of one gate", color=plotting.TASKS[2])
_ = below.set(xlabel="token", ylabel="weight, last = 1")

# %% tags=["remove-input"]
plotting.FigureData(
    "drift_gates",
    {
        "token": i,
        "weight_optimum": optimum,
        "weight_constant_gate": powers,
        "gate_optimum": [None, *layer],
        "gate_kalman": [None, *kalman],
        "gate_constant": np.full(n, constant.gate),
    },
    d=10,
    rho=0.95,
    sigma=0,
    seed="none",
)


# %% [markdown]
# ## Tasks that drift
#
# ```{symbols}
# rho N beta R r counts n d Sigma Sx C sigma M gamma h2 P Q omega G risk
# ```
#
# Let every example have a task of its own. From one example to the next it keeps the share $\rho$ of what it was, and the rest is drawn
# anew: $\beta_{i+1} = \rho\, \beta_i + \sqrt{1 - \rho^2}\; \xi_i$ with independent $\xi_i \sim \N(0, C)$. The query's task is
# $\beta_{n+1}$. Then
#
# $$
# R_{ij} = \rho^{|i-j|}, \qquad r_i = \rho^{n+1-i}, \qquad 0 < \rho < 1 .
# $$
#
# Why should a filter come out? Take white features and $C = I$. The step sums the vectors $x_i y_i$. Each of them is $\beta_i$ plus an
# error, $(x_i x_i^\top - I)\, \beta_i + \sigma \varepsilon_i x_i$, of mean zero. The errors are uncorrelated, with each other and with the
# tasks, and their covariance is $N I$ with $N = M + 1 = d + \sigma^2 + 1$: $\sigma^2$ from the label, and $d + 1$ from the features, as
# $\E (x x^\top - I)^2 = (d + 1) I$. So we look for $\beta_{n+1}$ in a weighted sum of noisy views of a drifting signal. That is the problem
# of {cite:t}`kalman1960new`.
#
# ```{note}
# The weights here do not read the data: a gate knows the position of its token at most.
# ```
#
# ```{prf:proposition} Drifting tasks
# :label: prop-drift
#
# **A scalar gate that knows its position reaches the best weights exactly. Its values lie below the drift and fall towards a constant.**
#
# *New here.* Let tasks drift with $0 < \rho < 1$, $\Sigma_x$ nonsingular, $C$ and $\sigma$ any, $n \ge 1$. Take any non-trivial stationary
# point, the optimum among them, and let $N = 1/h_2(\gamma)$ at its $\gamma$ (for $\Sigma_x = C = I$ that is $N = M + 1$). Put
# $\eta = 1 - \rho^2$ and
#
# $$
# \begin{gathered}
# p_1 = 1, \quad p_{t+1} = \rho^2\, \frac{p_t N}{p_t + N} + \eta; \\
# g \in (0, 1) \text{ with } g + \frac1g = \frac{1 + \rho^2 + \eta/N}{\rho}; \qquad c = \frac{\rho - g}{g\,(1 - \rho g)} .
# \end{gathered}
# $$
#
# 1. $0 < g < \rho$, and up to scale the weights are $\omega_i = g^{n+1-i} \bigl( 1 + c\, g^{2i} \bigr)$ with $c > 0$.
# 2. A scalar gate that may depend on the position reaches them exactly: gate $i + 1$ is $\omega_i/\omega_{i+1} = (1 - \eta/p_{i+1})/\rho$
#    for $1 \le i < n$. These gates lie strictly between $g$ and $\rho$, and fall towards $g$ along the prompt. The first gate and the
#    query's are free, but for a query's gate of zero.
# 3. The risk is $M - \alpha (1 - p_{n+1})$ with $\alpha = \tr(\Sigma Q)^2/\tr(\Sigma Q^2)$ at the point's $Q$; for $\Sigma_x = C = I$ it is
#    $\sigma^2 + d\, p_{n+1}$.
# 4. For $\Sigma_x = C = I$ and a query's gate of one, the preconditioner that goes with these gates is $P = \frac{\rho\, p_n}{p_n + N}\, I$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-drift)=
# ```{prf:proof}
# *One.* By {prf:ref}`thm-stationary-points` the weights are $\omega \propto (hR + I)^{-1} r \propto (R + N I)^{-1} r$ with
# $h = h_2(\gamma) = 1/N$. Here $r = \rho R e_n$, so $(I + N R^{-1})\, \omega \propto e_n$. For $n \ge 2$, $\eta R^{-1}$ is tridiagonal, with
# $-\rho$ beside the diagonal and $1, 1 + \rho^2, \dots, 1 + \rho^2, 1$ on it. So rows $2, \dots, n-1$ say
# $\omega_{i-1} + \omega_{i+1} = (g + 1/g)\, \omega_i$, and row one says the same at $i = 1$ if we define $\omega_0 := \rho\, \omega_1$. Since
# $\frac{1 + \rho^2}{\rho} + \frac{\eta}{N\rho} > \rho + \frac1\rho \ge 2$ and $g + 1/g$ falls on $(0, 1)$, there is one such $g$, and
# $g < \rho$. The recurrence is solved by $\omega_i = c_- g^{-i} + c_+ g^i$ for $0 \le i \le n$, and $\omega_0 = \rho\,\omega_1$ gives
# $c_+/c_- = (\rho - g)/(g (1 - \rho g)) = c > 0$. For $n = 1$ there is nothing to show.
#
# *A prediction problem.* For any $w \in \R^n$ let $\mathrm{mse}(w) = 1 - 2 r^\top w + w^\top (R + N I) w$. It is
# $\E (b_{n+1} - \sum_i w_i z_i)^2$ for a scalar signal $b$ with the correlations $R$, $r$ and observations $z_i = b_i + \sqrt N e_i$ with
# white noise. At the stationary point $M \tr(Q^2) + \tr(\Sigma Q^2) = N \tr(\Sigma Q^2)$, so at its $Q$, scaled such that
# $\tr(\Sigma Q) = \tr(\Sigma Q^2) = \alpha$,
#
# $$
# \risk(P, w) = M - 2 \alpha\, r^\top w + \alpha\, w^\top (R + N I) w = M - \alpha \bigl( 1 - \mathrm{mse}(w) \bigr) .
# $$
#
# The best $w$ is $(R + N I)^{-1} r$, which is the point's $\omega$ in this scale.
#
# *Two and three: Kalman's recursion.* Let $\hat b_t$ be the best linear prediction of $b_t$ from $z_1, \dots, z_{t-1}$, and $p_t$ its error
# variance, so $\hat b_1 = 0$, $p_1 = 1$. All is jointly Gaussian, so $\hat b_t$ is a conditional mean. Seeing $z_t$ moves it to
# $\hat b_t + \frac{p_t}{p_t + N} (z_t - \hat b_t)$, with variance $p_t N/(p_t + N)$; the next step of the signal multiplies by $\rho$ and
# adds variance $\eta$. This is the recursion for $p_t$, and $\hat b_{t+1} = g_t \hat b_t + u_t z_t$ with $g_t = \frac{\rho N}{p_t + N}$ and
# $u_t = \frac{\rho p_t}{p_t + N}$. Unrolled, $\hat b_{n+1} = \sum_i u_i\, g_{i+1} \cdots g_n\, z_i$, so the best $w$ has
# $w_i = u_i\, g_{i+1} \cdots g_n$ and $\mathrm{mse}(w) = p_{n+1}$. This is three. Neighbours have the ratio
# $\frac{u_i\, g_{i+1}}{u_{i+1}} = \frac{\rho N p_i}{(p_i + N)\, p_{i+1}} = \frac{p_{i+1} - \eta}{\rho\, p_{i+1}}$. By one it is also
# $g \frac{1 + \zeta}{1 + g^2 \zeta}$ with $\zeta = c g^{2i} > 0$. This rises with $\zeta$, is above $g$, falls with $i$, and is $\omega_0/\omega_1 = \rho$ at
# $i = 0$. So for $i \ge 1$ it lies in $(g, \rho)$. A gate before the first write acts on nothing, and the query's gate multiplies all
# weights alike.
#
# *Four.* With $\Sigma_x = C = I$, $Q = P$ is a multiple of $I$, and $\tr Q = \tr Q^2$ makes it $I$: so $\alpha = d$, and
# $M - \alpha = \sigma^2$. The weights in this scale end with $w_n = u_n$. Those from the gates end with the query's gate, one; so they are
# $w/u_n$, and $P = u_n I$.
# ```
# ````
#
# So the gates that the layer needs are not quite Kalman's $g_t = \rho N/(p_t + N)$. A Kalman filter also changes how strongly it writes each
# example. The layer writes every example with the same gain, so its gate must make up the difference. Kalman's gates rise to $g$; the layer's
# fall to it. (A Kalman filter that sees the features apart from the labels is the Bayes predictor, and no weights that are fixed in advance can match it.)


# %%
def riccati(rho, N, steps):
    """p_1, ..., p_steps."""
    p = [1.0]
    while len(p) < steps:
        p.append(rho**2 * p[-1] * N / (p[-1] + N) + 1 - rho**2)
    return np.array(p)


N, p = dist.M + 1, riccati(rho, dist.M + 1, n + 1)
gates = (1 - (1 - rho**2) / p[1:n]) / rho  # of tokens 2 to n
assert np.allclose(best.omega[:-1] / best.omega[1:], gates)
assert np.isclose(best.risk, 10 * p[n])  # d = 10, no noise

# %% tags=["check", "asserts-prop-drift"]
from glalib import stationary_points
from glalib.risk import h2

rng, points, worst = np.random.default_rng(0), 0, 0.0
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
        off = abs(dist.M - alpha * (1 - p[-1]) - point.risk) / dist.M
        assert off < 1e-11
        worst, points = max(worst, off), points + 1
assert points >= 60
print(
    f"{points} optima of random drifts: gates as stated, risk within {worst:.0e} M"
)

# %% [markdown]
# The drift need not be steady. If step $i$ keeps a known share $\rho_i$, the same argument holds with $\rho_t$ in the recursion, and gate $i + 1$ is
# $(1 - (1 - \rho_i^2)/p_{i+1})/\rho_i \le \rho_i$: still a scalar gate, and the best weights. A jump at a place that is the same in every prompt is a step with a small $\rho_i$.

# %% tags=["check"]
rng, worst = np.random.default_rng(1), 0.0
for _ in range(40):
    n, sigma = int(rng.integers(2, 30)), rng.choice([0.0, 0.5, 3.0])
    kept = rng.uniform(0.05, 1, size=n)  # from each task to the next
    total = np.concatenate([[0.0], np.cumsum(np.log(kept))])
    R = np.exp(-np.abs(total[:, None] - total))  # of n tasks and the query's
    uneven = PromptDistribution(5, (1,) * n, R[:-1, -1], R=R[:-1, :-1], sigma=sigma)
    N, p = uneven.M + 1, [1.0]
    for rho_t in kept:
        p.append(rho_t**2 * p[-1] * N / (p[-1] + N) + 1 - rho_t**2)
    gates = (1 - (1 - kept[:-1] ** 2) / np.array(p[1:-1])) / kept[:-1]
    optimum = optimal_wpgd(uneven)
    assert np.allclose(optimum.omega[:-1] / optimum.omega[1:], gates, rtol=1e-9)
    assert (gates <= kept[:-1] * (1 + 1e-12)).all()
    off = abs(sigma**2 + 5 * p[-1] - optimum.risk) / uneven.M
    assert off < 1e-12  # sums of a few positive numbers
    worst = max(worst, off)
print(f"40 uneven drifts: gates as stated, risk within {worst:.0e} M")

# %% [markdown]
# On prompts of drifting tasks, a layer with these gates has the squared error that the recursion predicts, up to the error of the simulation.

# %% tags=["check", "asserts-prop-drift"]
import torch
from glalib import GLA, Layout

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
# Four standard errors.
assert abs(errors.mean() - promised) < 4 * errors.std() / 20_000**0.5
best = optimal_wpgd(dist)
assert abs(best.risk - promised) < 1e-12 * dist.M
# The risk hardly feels an error of the gain, so that is held by itself.
assert np.allclose(best.omega[-1] * best.P, gain * np.eye(d), rtol=1e-10)
print(
    f"{len(errors):,} prompts: error {errors.mean():.2f}, promised {promised:.2f}"
)

# %% [markdown]
# ## How fast to forget
#
# The layer's gates tend to $g$. What one gate of this value at every token loses dies out geometrically as prompts grow ({doc}`one_decay`).
# So call $g$ the right decay for the drift. How long a memory is it?
#
# ```{prf:proposition} The right decay
# :label: prop-drift-decay
#
# **Forget faster than the tasks drift, but more slowly the less one example tells.**
#
# *New here.* For $0 < \rho < 1$ and $N > 1$ let $g(\rho, N)$ be the $g \in (0, 1)$ of {prf:ref}`prop-drift`. It is also given by
#
# $$
# \frac{(1 - g)^2}{g} = \frac{(1 - \rho)^2}{\rho} + \frac{1 - \rho^2}{N \rho} .
# $$
#
# 1. $g < \rho$. And $g$ rises with $\rho$ and with $N$, and $g \to \rho$ as $N \to \infty$.
# 2. With the drift time $\tau = 1/(1 - \rho)$, as $\tau \to \infty$ at a fixed $N$ the memory $1/(1-g)$ grows as $\sqrt{N \tau/2}$: their
#    ratio tends to one.
# 3. At a given $N$, every $g \in (0, 1)$ is right for just one $\rho$, and it lies in $(g, 1)$: the smaller root of
#    $(N - 1)\, \rho^2 - N (g + 1/g)\, \rho + N + 1 = 0$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-drift-decay)=
# ```{prf:proof}
# Subtract $2$ on both sides of $g + 1/g = (1 + \rho^2 + \eta/N)/\rho$ with $\eta = 1 - \rho^2$. The left side of the new form falls in $g$ on
# $(0, 1)$, from infinity to zero. The right side falls in $\rho$ (as $(1-\rho)^2/\rho$ and $(1 - \rho^2)/\rho$ do) and in $N$, and is above
# $(1 - \rho)^2/\rho$, to which it tends as $N \to \infty$. This is one. For two, let $\varepsilon = 1/\tau$: the right side is
# $\varepsilon^2/\rho + \varepsilon (1 + \rho)/(N\rho)$, which is $2\varepsilon/N$ times a factor that tends to one. So $g \to 1$ and
# $(1 - g)^2/(2\varepsilon/N) \to 1$. For three, multiply by $N\rho$: the quadratic in $\rho$. At $\rho = g$ it is $1 - g^2 > 0$, at $\rho = 1$
# it is $N(2 - g - 1/g) < 0$, and its leading coefficient is positive. So the larger root is above one, and the smaller is in $(g, 1)$.
# ```
# ````
#
# For white features $N = d + \sigma^2 + 1$. Many features, or much noise, make each example say less. Then it takes more of them to see a
# drift, and memory must be longer.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-drift", "caption": "The right memory is shorter than the time in which tasks drift, and grows like its square root. Memory $1/(1-g)$ of the best constant gate for long prompts, white features, no noise."}}
drift_time = np.geomspace(1.05, 1e4, 120)
record = {"drift_time": drift_time}
fig, ax = plt.subplots(figsize=(6.4, 2.9))
ax.loglog(drift_time, drift_time, **plotting.STYLES["predict zero"])
for k, d in enumerate((1, 10, 100)):
    memory = 1 / (1 - right_decay(1 - 1 / drift_time, d + 1))
    style = {"color": plotting.TASKS[k], "linestyle": ("-", "--", "-.")[k]}
    ax.loglog(drift_time, memory, linewidth=2.2, **style)
    ax.text(1.15e4, memory[-1], f"$d = {d}$", va="center", color=plotting.TASKS[k])
    record[f"memory_d_{d}"] = memory
ax.text(600, 1200, "as long as the drift", ha="right")
_ = ax.set(
    xlabel=r"drift time $\tau = 1/(1-\rho)$",
    ylabel="memory $1/(1-g)$",
    xlim=(1, 4e4),
    ylim=(0.9, 2e4),
)

# %% tags=["remove-input"]
plotting.FigureData("drift_memory", record, N="d + 1", sigma=0, seed="none")


# %% [markdown]
# ## What it says of RetNet and Mamba-2
#
# Retentive networks {cite}`sun2023retentive` decay the state by a constant, and different heads by different constants. Mamba-2
# {cite}`dao2024transformers` decays it by a scalar that its token chooses; where that does not depend on the token it is a constant too, and
# a constant scale of the writes goes into $P$. Our statements are about one such head in the construction of {prf:ref}`def-construction`,
# not about trained networks. A head with the decay $g$ is right for one drift, and which one depends on the number of features. These are the
# drift times $\tau$, for white features without noise:


# %% tags=["nbval-check-output"]
def right_drift(g, N):
    """The drift that a given decay is right for: the smaller root."""
    b = N * (g + 1 / g)
    return 2 * (N + 1) / (b + np.sqrt(b**2 - 4 * (N - 1) * (N + 1)))


print("decay  memory      d = 1     d = 10    d = 100")
for g in (0.9, 0.99, 0.999):
    times = [1 / (1 - right_drift(g, d + 1)) for d in (1, 10, 100)]
    line = f"{g:<5}  {1 / (1 - g):>6.0f}"
    print(line + "".join(f"{time:>11.0f}" for time in times))

# %% tags=["check", "asserts-prop-drift-decay"]
rho = np.linspace(0.01, 0.99, 99)[:, None]
N = np.geomspace(1.5, 1e6, 60)
g = right_decay(rho, N)
assert (g < rho).all()
assert (np.diff(g, axis=0) > 0).all() and (np.diff(g, axis=1) > 0).all()
# The difference at N = 1e6 is of the order (1 + rho) / (2 N (1 - rho)).
assert np.abs(g[:, -1:] - rho).max() < 1e-3
# Roots of a quadratic, relative to the distance from one.
assert np.allclose((1 - right_drift(g, N)) / (1 - rho), 1, rtol=1e-6)
tau, off = 1e9, 0.0
for noise in (2, 11, 101):
    memory = 1 / (1 - right_decay(1 - 1 / tau, noise))
    off = max(off, abs(memory / np.sqrt(noise * tau / 2) - 1))
assert off < 1e-3
print(
    f"{g.size:,} pairs: g below rho, rising; at drift time 1e9 the root to {off:.0e}"
)

# %% [markdown]
# ## Break it
#
# **A drift that alternates.** Let $-1 < \rho < 0$. Turn the sign of every other task: nothing but signs changes, so the best weights are those
# of $|\rho|$ with alternating signs, at the same risk. No scalar gate comes near. In this example scalar gates can do no better than to keep
# the last example alone.

# %%
up, down = drifting(0.9, 20, 10), drifting(-0.9, 20, 10)
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
# ## Exercises
#
# ```{exercise} By hand: made for which drift?
# :label: ex-which-drift
#
# One feature, no noise, and a layer that forgets half of its memory at every token, $g = \frac12$. For which drift $\rho$ is it made? And
# which decay does the formula give for that drift as $N \to 0$? No prompt has such an $N$, it is above one with any features. But what would
# an example show in the limit?
# ```
#
# ```{answer} ex-which-drift
# asks: The drift rho that a decay of one half is made for, with one feature and no noise.
# value: right_drift(0.5, 2)
# wrong:
# - value: right_drift(0.5, 1)
#   says: N is not d.
# - value: 0.5
#   says: Decay and drift are two numbers, and the best decay is the smaller one.
# - value: right_decay(0.5, 2)
#   says: That is the decay for a drift of one half. Here the decay is given.
# - above: 1
#   says: A correlation is at most one. A quadratic has another root.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# $N = d + \sigma^2 + 1$. Use the quadratic of {prf:ref}`prop-drift-decay`. For the second question: at $N = 0$ an example would show its task
# without error. What does one want to know of the past if the last task is known?
# ```
#
# ````{solution} ex-which-drift
# :class: dropdown
#
# With $N = 2$ the quadratic is $\rho^2 - 5 \rho + 3 = 0$, so $\rho = (5 - \sqrt{13})/2$, about seven tenths. As $N \to 0$ the right side of
# the formula for $(1-g)^2/g$ tends to infinity, so $g \to 0$. In the limit each example shows its task without error. Then the last task says
# all that there is to say of the next, and all else can be forgotten. It is the noise that makes old examples worth keeping, and the features
# alone make so much of it that $N > 1$.
#
# ```python
# rho = (5 - np.sqrt(13)) / 2
# assert np.isclose(right_drift(0.5, 2), rho) and np.isclose(right_decay(rho, 2), 0.5)
# long = optimal_wpgd(drifting(rho, 60, d=1), "constant-gate")
# assert np.isclose(long.gate, 0.5, atol=1e-6)
# assert right_decay(rho, 1e-9) < 1e-8
# ```
# ````
#
# ```{exercise} Compute: noise that lengthens memory
# :label: ex-noise-memory
#
# Tasks drift with $\rho = 0.95$, $d = 10$ white features. Without noise the best memory of a long prompt is about ten examples. How much noise
# makes the best memory half as long again? Can noise make it twenty-five examples?
# ```
#
# ```{answer} ex-noise-memory
# asks: The variance of the noise at which the best memory is half as long again.
# value: sigma2
# wrong:
# - value: N
#   says: That is N. It counts the features and one more, besides the noise.
# - value: N - d
#   says: Nearly. N counts one more besides the features.
# - value: np.sqrt(sigma2)
#   says: That is the standard deviation of the noise. Its variance is asked for.
# - value: 1.5**2 * (d + 1) - d - 1
#   says: That takes memory to grow like the root of N, the law of very slow drifts. This drift is not so slow.
# - below: 0
#   says: A variance is not negative. More noise makes for a longer memory.
# minutes: 12
# level: 2
# ```
#
# ```{answer} ex-noise-memory-most
# asks: Which number of examples does the best memory stay below, at any noise?
# value: 1 / (1 - rho)
# wrong:
# - value: (1 + rho) / (1 - rho)
#   says: That is the effective number of examples. The memory of this page is one over what a gate takes off.
# - value: 1 / (1 - rho**2)
#   says: That is with the square of the drift. The best decay stays below the drift itself.
# - value: wanted
#   says: That is half as long again. More noise makes for a longer memory still.
# - value: 25
#   says: Would the decay be below the drift?
# minutes: 4
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Solve the formula of {prf:ref}`prop-drift-decay` for $N$ at a given $g$. And $g < \rho$ at any noise.
# ```
#
# ````{solution} ex-noise-memory
# :class: dropdown
#
# $N = \frac{1 - \rho^2}{\rho} \big/ \bigl( \frac{(1-g)^2}{g} - \frac{(1-\rho)^2}{\rho} \bigr)$, and $\sigma^2 = N - d - 1$. It takes a noise
# whose variance is several times that of the signal. Twenty-five it can never be: memory stays below the drift time, twenty.
#
# ```python
# rho, d = 0.95, 10
# wanted = 1.5 / (1 - right_decay(rho, d + 1))
# g = 1 - 1 / wanted
# N = (1 - rho**2) / rho / ((1 - g) ** 2 / g - (1 - rho) ** 2 / rho)
# sigma2 = N - d - 1
# assert sigma2 > 3 * d
# noisy = optimal_wpgd(drifting(rho, 200, d, sigma=np.sqrt(sigma2)), "constant-gate")
# assert np.isclose(1 / (1 - noisy.gate), wanted, rtol=1e-4)
# assert 1 / (1 - right_decay(rho, 1e12)) < 20 < 25
# ```
# ````
#
# ```{exercise} Explore: two drifts at once
# :label: ex-two-drifts
#
# Let each task be the sum of two independent parts of equal variance, one that drifts fast and one slowly:
# $R_{ij} = \tfrac12 (\rho_1^{|i-j|} + \rho_2^{|i-j|})$ and likewise $r$, with $\rho_1 = 0.5$ and $\rho_2 = 0.99$ (white features, $d = 10$).
# Is one decay enough for long prompts? Are two heads with two decays?
# ```
#
# ```{answer} ex-two-drifts
# asks: The two decays of the best weights, the smaller one first.
# value: sorted([g_1, g_2])
# wrong:
# - value: "[0.5, 0.99]"
#   says: These are the two drifts. Is a decay as slow as its drift?
# - value: "[right_decay(0.5, 11), right_decay(0.99, 11)]"
#   says: These are the decays for each drift alone. Together, each of the two parts is noise for the other.
# - above: 0.99
#   says: No decay is as slow as the slower drift.
# minutes: 25
# level: 3
# ```
#
# ```{hint}
# :class: dropdown
#
# Fit the best weights, by age, with a sum of two geometric sequences: they obey a recurrence of two steps.
# ```
#
# ````{solution} ex-two-drifts
# :class: dropdown
#
# Now the Kalman filter has a state of two numbers, and in the limit its state is multiplied by one constant $2 \times 2$ matrix in every step,
# and then an example is added. If that matrix has two different eigenvalues $g_1$, $g_2$, the weight at age $j$ is
# $c_1 g_1^j + c_2 g_2^j$: such weights obey $\omega_{j+2} = (g_1 + g_2)\, \omega_{j+1} - g_1 g_2\, \omega_j$. One decay is not enough, and two
# heads with the same $P$, scaled by $c_1$ and $c_2$, are.
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
# Each decay is below its drift, as one would expect by now. The risk is linear in $R$ and $r$, so these are also the best weights where a
# prompt drifts either fast or slowly, and nobody says which.
# ````

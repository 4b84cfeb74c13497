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
#   settles: where the risk stands still in general (the paper's Theorem 2), with proof
# ---

# %% [markdown]
# # Every stationary point
#
# Where does the risk stand still, whatever the features, the tasks and the noise?
#
# For white features one linear system gave the best weights ({doc}`best_weights`). In general the risk is a polynomial of degree four in a matrix
# and a vector, and such a polynomial can have many stationary points. Yet up to scale the best $P$ needs to know only one number of the weights:
# $\gamma$, how many examples agree. So one function $F(\gamma)$ tells where the risk stands still: where its graph meets the diagonal.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-cobweb", "caption": "Where $F$ meets the diagonal, the risk stands still. Above: $F(\\gamma)$ and the staircases of $\\gamma \\to F(\\gamma)$ from both ends. Below: the risk along the best weights. Left, one crossing and one valley. Right, three: valley, hill, valley. Full dots: global minima."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    PromptDistribution,
    optimal_wpgd,
    plotting,
    population_risk,
    stationary_points,
)
from glalib.risk import h1, h2, slope
from glalib.spectra import psd_root
from scipy.optimize import minimize

plotting.use_style()


def walk(dist, h):
    """The risk of the weights (h R + I)^-1 r, with the best P for them."""
    s, _ = dist.signal_spectrum
    lam, a = dist.task_spectrum
    f = (a**2 / (1 + lam * h)).sum()
    gamma = 1 + h1(dist, h)
    return dist.M - f * (1 + h * h1(dist, h)) * (s**2 / (dist.M + gamma * s)).sum()


def F(dist, gamma):
    return 1 + h1(dist, h2(dist, gamma))


one = PromptDistribution(20, (30, 300), (0.5, 0.6), Sx=np.diag([1.0] + [0.1] * 19))
Sx = np.diag([1.0] + [1 / 299] * 299)
three = PromptDistribution(300, (1000, 1), (0.3**0.5, 0.7**0.5), Sx=Sx)

fig, axes = plt.subplots(2, 2, figsize=(6.4, 4.3), sharex="col")
data = {"panel": [], "gamma": [], "F": []}
for (top, low), dist, title in zip(
    axes.T, (one, three), ("one fixed point", "three fixed points"), strict=True
):
    gamma = np.geomspace(1, 1 + dist.task_spectrum[0].max(), 200)
    top.loglog(gamma, gamma, color="0.5", linewidth=1)
    top.loglog(gamma, F(dist, gamma), color=plotting.TASKS[0], linewidth=2.6)
    for start in (gamma[0], gamma[-1]):
        x, path = start, [(start, start)]
        for _ in range(12):
            y = float(F(dist, x))
            path += [(x, y), (y, y)]
            x = y
        top.loglog(*zip(*path, strict=True), color=plotting.TASKS[1], linewidth=1)
    h = np.geomspace(1e-7, 1e3, 400)
    valley = np.array([walk(dist, x) for x in h]) / dist.M
    low.semilogx(1 + h1(dist, h), valley, color=plotting.TASKS[0], linewidth=2.6)
    for k, point in enumerate(stationary_points(dist)):
        look = {
            "color": "0.1",
            "markersize": 8,
            "mfc": "0.1" if k == 0 else "white",
        }
        top.plot(point.gamma, point.gamma, "o", **look)
        low.plot(point.gamma, point.risk / dist.M, "o", **look)
    top.set(title=title)
    low.set(xlabel=r"$\gamma$")
    data["panel"] += [title] * len(gamma)
    data["gamma"] += list(gamma)
    data["F"] += list(F(dist, gamma))
axes[0, 0].set_ylabel(r"$F(\gamma)$")
axes[0, 0].text(2, 95, "$F$", color=plotting.TASKS[0])
axes[0, 0].text(4, 2.6, "diagonal", color="0.4")
axes[1, 0].text(62, 0.512, "minimum", ha="right")
axes[1, 1].text(105, 0.787, "saddle", ha="center")
axes[1, 1].set_yticks((0.76, 0.8, 0.84))
_ = axes[1, 0].set_ylabel("risk / $M$")

# %% tags=["remove-input"]
plotting.FigureData(
    "cobweb",
    data,
    figure=fig,
    left=one,
    right=three,
    Sx_left="diag(1, 0.1 x 19)",
    Sx_right="diag(1, 1/299 x 299)",
    seed="none",
)


# %% [markdown]
# ## One number decides
#
# For fixed weights the risk is a quadratic in $P$, and for fixed $P$ a quadratic in $\omega$. At a stationary point each is the best for the other. $P$
# needs to know $\gamma$ of the weights, and the weights need to know one number of $P$, which is $h$. As before, $R$ and $r$ in
# formulas are those of the $n$ examples; the package computes with the $K \times K$ form. Weights here do not read the data.
#
# ```{symbols}
# omega P Q risk Sigma Sx C R r lambda M gamma h1 h2 h F d
# ```
#
# ```{prf:theorem} Stationary points
# :label: thm-stationary-points
#
# **The fixed points of one function of one number give every stationary point that does better than nothing.**
#
# *Theorem 2 of the paper, as derived here.* Let $\Sigma_x$ be nonsingular, $R = E \diag(\lambda) E^\top$,
# $a = E^\top r \neq 0$, and
#
# $$
# \begin{aligned}
# h_1(h) &= \frac{\sum_i \lambda_i a_i^2 / (1 + \lambda_i h)^2}{\sum_i a_i^2 / (1 + \lambda_i h)^2}, \\
# h_2(\gamma) &= \left( 1 + M\, \frac{\sum_i s_i^2 / (M + \gamma s_i)^2}{\sum_i s_i^3 / (M + \gamma s_i)^2} \right)^{-1}.
# \end{aligned}
# $$
#
# Up to the scale $(cP, \omega/c)$, the non-trivial stationary points of $\risk$, those with $\omega \ne 0$ and $P \neq 0$ and
# risk below $M$, are the fixed points of $F(\gamma) = 1 + h_1(h_2(\gamma))$, which lie in $[1, 1 + \lambda_{\max}]$, with
#
# $$
# \begin{aligned}
# \omega &= \bigl( h_2(\gamma) R + I \bigr)^{-1} r, \\
# P &= \frac{r^\top \omega}{\norm{\omega}^2}\; C\, (M I + \gamma\, \Sigma_x C)^{-1}, \\
# \risk &= M - \frac{(r^\top \omega)^2}{\norm{\omega}^2} \sum_i \frac{s_i^2}{M + \gamma s_i} .
# \end{aligned}
# $$
#
# There is at least one. All other stationary points have risk $M$. If $\Sigma_x$ is singular the same holds up to the action
# of $P$ on its kernel. (For nonsingular $C$ the matrix in $P$ is proportional to
# $\Sigma_x^{-1/2} (\frac{\gamma}{M} I + \Sigma^{-1})^{-1} \Sigma_x^{-1/2}$.)
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-stationary-points)=
# ```{prf:proof}
# As $\Sigma_x$ is nonsingular we may differentiate in $Q$ instead of $P$.
#
# *The best $Q$.* Fix $\omega \neq 0$ and let $\gamma = 1 + \omega^\top R \omega / \norm{\omega}^2$. Setting the derivative in $Q$
# to zero gives $(r^\top \omega)\, \Sigma = \norm{\omega}^2\, Q (M I + \gamma \Sigma)$, so
# $Q = \frac{r^\top \omega}{\norm{\omega}^2} \Sigma (M I + \gamma \Sigma)^{-1}$: the only solution, as $M I + \gamma \Sigma$ is
# positive definite, and the $P$ above. Put back, it gives the risk above.
#
# *The best $\omega$.* Fix $Q \neq 0$. Setting the derivative in $\omega$ to zero gives
# $\tr(\Sigma Q)\, r = \bigl( M \tr(Q^\top Q) + \tr(\Sigma Q^\top Q) \bigr) \omega + \tr(\Sigma Q^\top Q)\, R \omega$, so
# $\omega$ is a multiple of $(h R + I)^{-1} r$ with $h = \tr(\Sigma Q^\top Q) / (M \tr(Q^\top Q) + \tr(\Sigma Q^\top Q))$. As $r$
# is constant on blocks and $R$ maps into such vectors, $\omega$ is constant on blocks too.
#
# *Together.* If $r^\top \omega = 0$ or $\tr(\Sigma Q) = 0$, one of the two equations forces $Q = 0$ or $\omega = 0$, the risk is
# $M$, and the point is trivial. Otherwise $h = h_2(\gamma)$ for the $Q$ just found and
# $\omega^\top R \omega / \norm{\omega}^2 = h_1(h)$ for the $\omega$ just found, so $\gamma = 1 + h_1(h_2(\gamma))$.
#
# *Conversely,* let $\gamma$ be a fixed point, $\omega$ as above and $Q$ the best for it. Then
# $r^\top \omega = r^\top (hR + I)^{-1} r > 0$, the derivative in $Q$ vanishes, and the derivative in $\omega$ is a multiple
# $\zeta r$ of $r$. As $\risk(cP, \omega/c)$ does not depend on $c$, its derivative at $c = 1$ gives
# $\omega^\top \partial_\omega \risk = \tr(Q^\top \partial_Q \risk) = 0$, so $\zeta\, r^\top \omega = 0$ and $\zeta = 0$.
#
# *Existence.* $h_1$ is a weighted mean of the $\lambda_i$, so $F$ maps $[1, 1 + \lambda_{\max}]$ continuously into itself.
# ```
# ````
#
# The slope of $F$ says what kind of point it is: at a fixed point with $F'(\gamma) < 1$ the risk has a local minimum, at one with $F'(\gamma) > 1$ a saddle
# ({prf:ref}`prop-index`). The formulas as code, for the $n$ examples:


# %%
def at(dist, gamma):
    """F(gamma), and the point (P, omega (n,), risk) that belongs to it."""
    half, index, M = psd_root(dist.Sx), dist.task_index, dist.M
    R, r = dist.R[np.ix_(index, index)], dist.r[index]
    s, (lam, E) = np.linalg.eigvalsh(half @ dist.C @ half), np.linalg.eigh(R)
    v = (s / (M + gamma * s)) ** 2
    h = 1 / (1 + M * v.sum() / (v @ s))
    u = (E.T @ r / (1 + lam * h)) ** 2
    omega = np.linalg.solve(h * R + np.eye(dist.n), r)
    scale = (r @ omega) / (omega @ omega)
    inner = M * np.eye(dist.d) + gamma * dist.Sx @ dist.C
    P = scale * dist.C @ np.linalg.inv(inner)
    risk = M - scale * (r @ omega) * (s**2 / (M + gamma * s)).sum()
    return 1 + u @ lam / u.sum(), P, omega, risk


# %% [markdown]
# The package lists all fixed points; {doc}`enumeration` shows why it loses none. The one of least risk is the global minimum: a minimum exists, its
# risk is below $M$ because $r \ne 0$, and so it is among them. Is the gradient zero at each? Automatic differentiation says so:


# %% tags=["check", "asserts-thm-stationary-points"]
def random_setting(seed, d=3, counts=(3, 5, 2)):
    """General features, tasks, correlations and noise."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(len(counts) + 1, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    correlations = directions @ directions.T
    np.fill_diagonal(correlations, 1.0)
    X, B = rng.normal(size=(2, d, d)) / d**0.5
    R, r = correlations[:-1, :-1], correlations[-1, :-1]
    return PromptDistribution(d, counts, r, R=R, sigma=0.5, Sx=X @ X.T, C=B @ B.T)


def risk_of(dist):
    """The polynomial of P and omega (n,), in torch."""
    half, index = torch.tensor(psd_root(dist.Sx)), dist.task_index
    Sigma = half @ torch.tensor(dist.C) @ half
    R, r = torch.tensor(dist.R[np.ix_(index, index)]), torch.tensor(dist.r[index])
    M = dist.sigma**2 + Sigma.trace()

    def risk(P, omega):
        Q, square = half @ P @ half, omega @ omega
        first = (r @ omega) * (Sigma @ Q).trace()
        own, QQ = square + omega @ R @ omega, Q.T @ Q
        return M - 2 * first + M * square * QQ.trace() + own * (Sigma @ QQ).trace()

    return risk


def steepness(dist, point):
    """The largest entry of the gradient over M, whatever the scale of P and omega."""
    P = torch.tensor(point.P, requires_grad=True)
    omega = torch.tensor(dist.expand(point.omega), requires_grad=True)
    value = risk_of(dist)(P, omega)
    assert abs(value.item() - point.risk) < 1e-10 * dist.M
    gradients = torch.autograd.grad(value, (P, omega))
    return max(
        (gradient * parameter.detach().abs().max()).abs().max().item() / dist.M
        for parameter, gradient in zip((P, omega), gradients, strict=True)
    )


def assert_theorem(dist, point):
    """The formulas give the package's point, up to P on the kernel of Sx."""
    seen = dist.Sx @ np.linalg.pinv(dist.Sx, rcond=1e-10)  # onto the range of Sx
    again, P, omega, risk = at(dist, point.gamma)
    # Eigenvalues of two different matrices.
    assert abs(again - point.gamma) < 1e-9 * point.gamma
    assert abs(risk - point.risk) < 1e-9 * dist.M
    assert 1 <= point.gamma <= 1 + dist.task_spectrum[0].max() * (1 + 1e-12)
    scale = np.abs(omega).max()
    assert np.allclose(dist.expand(point.omega), omega / scale, rtol=1e-8)
    difference = seen @ (point.P - P * scale) @ seen
    assert np.abs(difference).max() < 1e-8 * np.abs(point.P).max()


settings = [random_setting(seed) for seed in range(5)] + [three]
steep = []
for dist in settings:
    points = stationary_points(dist)
    for point in points:
        assert_theorem(dist, point)
        steep.append(steepness(dist, point))
# `points` are now those of the example with three: all found, the best one first.
assert len(points) == 3
assert points[0].risk < points[1].risk < points[2].risk
assert optimal_wpgd(three).gamma == points[0].gamma
assert max(steep) < 1e-8
print(
    f"{len(steep)} stationary points of {len(settings)} distributions: "
    f"gradients below {max(steep):.0e} of M"
)


# %% [markdown]
# And does a minimiser that knows nothing of the theorem find anything lower?


# %% tags=["check", "asserts-thm-stationary-points"]
def minimise(dist, starts=6):
    """The best of six runs of L-BFGS, over P and one weight per task."""
    risk = risk_of(dist)

    def objective(flat):
        flat = torch.tensor(flat, requires_grad=True)
        P, omega = flat[dist.K :].reshape(dist.d, dist.d), flat[: dist.K]
        value = risk(P, omega[dist.task_index])
        (gradient,) = torch.autograd.grad(value, flat)
        return value.item(), gradient.numpy()

    rng = np.random.default_rng(0)
    options = {"maxiter": 20_000, "maxfun": 40_000, "maxcor": 50}
    options |= {"ftol": 1e-15, "gtol": 1e-11}
    runs = [
        minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        for start in rng.normal(size=(starts, dist.K + dist.d**2)) / 3
    ]
    return min(run.fun for run in runs)


gaps = [
    (minimise(dist) - optimal_wpgd(dist).risk) / dist.M
    for dist in map(random_setting, range(3))
]
assert np.abs(gaps).max() < 1e-6  # L-BFGS stops a little above the minimum
print(
    f"{len(gaps)} distributions, six runs of L-BFGS each: "
    f"the best ends within {np.abs(gaps).max():.0e} of M of the theorem"
)

# %% tags=["check", "asserts-thm-stationary-points"]
# Singular covariances: what P does on the kernel of Sx is free, and nothing else is.
basis = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
kernel, C = np.outer(basis[:, 2], basis[:, 2]), np.diag([1.0, 0.5, 0.0])
flat = PromptDistribution(
    3, (3, 5), (0.3, 0.6), Sx=(basis * [1.0, 0.3, 0.0]) @ basis.T, C=C, sigma=0.5
)
for point in stationary_points(flat):
    assert_theorem(flat, point)
    assert steepness(flat, point) < 1e-8
    moved = point.P + kernel @ point.P + point.P @ kernel + kernel
    on_kernel = population_risk(flat, moved, point.omega) / point.risk - 1
    assert abs(on_kernel) < 1e-12
    moved = point.P + 0.1 * np.abs(point.P).max() * np.eye(3)
    elsewhere = population_risk(flat, moved, point.omega) - point.risk
    assert elsewhere > 1e-4 * flat.M

# For nonsingular C, the form with the inverse of Sigma.
dist = random_setting(0)
half, point = psd_root(dist.Sx), optimal_wpgd(dist)
inner = point.gamma / dist.M * np.eye(3) + np.linalg.inv(half @ dist.C @ half)
P = np.linalg.inv(half @ inner @ half)
assert np.allclose(point.P, P * (point.P[0, 0] / P[0, 0]), rtol=1e-8)
print(
    "singular covariances: moving P on the kernel of Sx changes the risk by "
    f"{abs(on_kernel):.0e}, elsewhere by {elsewhere / flat.M:.0e} of M"
)


# %% [markdown]
# ## F never falls
#
# Iterating $\gamma \to F(\gamma)$ draws a staircase: up to the curve, across to the diagonal. In {numref}`fig-cobweb` every staircase climbs or falls,
# and ends at the first fixed point on its way. It is always so, because $F$ does not decrease.
#
# Let $u_i \propto a_i^2/(1+\lambda_i h)^2$ and $w_i \propto s_i^2/(M+\gamma s_i)^2$ be weights that sum to one. Then $h_1 = \E_u \lambda$, and
# $h_2 = m/(M+m)$ with $m = \E_w s$. In the first mean only the $i$ with $a_i \ne 0$ count, and for these $\lambda_i > 0$, as $r$ lies in the range of $R$; in the second only those with $s_i \ne 0$.
# Throughout, $r \neq 0$, $h \ge 0$ and $\gamma \ge 1$.
#
# ```{prf:proposition} F does not decrease
# :label: prop-monotone-map
#
# **Neither mean rises, so $F$ never falls.**
#
# *As derived here.* $h_1' = -2 \cov_u\bigl(\lambda, \frac{\lambda}{1+\lambda h}\bigr) \le 0$ and
# $h_2' = -\frac{2M}{(M+m)^2} \cov_w\bigl(s, \frac{s}{M+\gamma s}\bigr) \le 0$. So $F' = h_1'\, h_2' \ge 0$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-monotone-map)=
# ```{prf:proof}
# If weights are $u_i \propto e^{\theta_i(h)}$, the derivative of a mean is a covariance, $\frac{d}{dh} \E_u \lambda = \cov_u(\lambda,
# \theta')$. Here $\theta_i = -2 \log(1 + \lambda_i h) + \text{const}$, so $\theta_i' = -2\lambda_i/(1+\lambda_i h)$. In the same way
# $m' = -2 \cov_w(s, s/(M+\gamma s))$, and $h_2' = M m' / (M+m)^2$. A covariance of two increasing functions of one variable
# is not negative: it is half the mean of $(t - t')(\phi(t) - \phi(t'))$ over two independent draws $t$, $t'$. The functions
# $\lambda/(1+\lambda h)$ and $s/(M+\gamma s)$ increase.
# ```
# ````


# %% tags=["check", "asserts-prop-monotone-map"]
def random_distribution(rng, d=6, K=4):
    """Spectra over four decades, correlated tasks, counts from 1 to 10,000."""
    directions = rng.normal(size=(K + 1, K + 1))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    joint = directions @ directions.T
    np.fill_diagonal(joint, 1.0)
    counts = [int(c) for c in 10 ** rng.uniform(0, 4, size=K)]
    Sx = np.diag(10 ** rng.uniform(-4, 0, size=d))
    return PromptDistribution(
        d, counts, joint[:K, K], R=joint[:K, :K], Sx=Sx, sigma=0.1
    )


rng, errors = np.random.default_rng(0), []
for _ in range(50):
    dist = random_distribution(rng)
    top = 1 + dist.task_spectrum[0].max()
    gamma = np.geomspace(1, top, 400)
    assert (np.diff(h2(dist, gamma)) <= 1e-14).all()
    assert (np.diff(F(dist, gamma)) >= -1e-12 * top).all()
    # The two covariances against a difference quotient. Its own error is of the
    # order of the step squared, and rounding divided by the step.
    x, step = gamma[200], 1e-5 * gamma[200]
    ends = F(dist, np.array([x - step, x + step]))
    errors.append(abs((ends[1] - ends[0]) / (2 * step) - slope(dist, x)))
assert max(errors) < 1e-6
print(
    f"{len(errors)} random distributions: F never falls, "
    f"and its slope is the product of the covariances to {max(errors):.0e}"
)


# %% [markdown]
# ## Valleys and hills
#
# For every $h$ there is a best direction of weights, $\omega(h) = (hR + I)^{-1} r$, and for these a best $P$. Let $h$ grow and walk along this curve: what does
# the risk do? The lower row of {numref}`fig-cobweb` shows it. There one walks from right to left, as $\gamma(h) = 1 + h_1(h)$ does not increase.
#
# ```{prf:proposition} The walk
# :label: prop-walk
#
# **Along the best weights the risk is level only at the fixed points, unless it is level everywhere.**
#
# *New here.* Let $\ell(h)$ be the risk of $\omega(h)$ with its best $P$, and $\gamma(h) = 1 + h_1(h)$. Then
#
# $$
# \bigl( \log (M - \ell) \bigr)' = \frac{h_1'(h)\, \bigl(h - h_2(\gamma(h))\bigr)}{\bigl(1 + h\, h_1(h)\bigr)\bigl(1 + h_1(h)\,
# h_2(\gamma(h))\bigr)} .
# $$
#
# Where $h_1' < 0$ the risk falls as long as $h < h_2(\gamma(h))$, rises as long as $h > h_2(\gamma(h))$, and stands still if and only if
# $h = h_2(\gamma(h))$, at the fixed points. If $h_1' = 0$ anywhere it is zero everywhere, and the risk is constant.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-walk)=
# ```{prf:proof}
# $M - \ell = \phi(h)\, T(\gamma(h))$ with $\phi = (r^\top \omega)^2/\norm{\omega}^2$. Here $r^\top \omega = \Phi$ and
# $\norm{\omega}^2 = \nu := (h\Phi)'$. From {prf:ref}`prop-secular`, $\Phi' = -h_1 \nu$, hence $\Phi = \nu - h \Phi' = \nu(1 + h h_1)$, and
# $\phi = \Phi^2/\nu = \Phi (1 + h h_1)$. So $\phi' = \Phi'(1 + h h_1) + \Phi (h_1 + h h_1') = -h_1 \Phi + \Phi h_1 + \Phi h h_1' = \Phi h h_1'$, and
# $\phi'/\phi = h h_1' / (1 + h h_1)$. Next, $(\log T)' = (T'/T)\, h_1'$, and the formula for $h_2$ solved for $T'$ is
# $-T'/T = h_2 / (1 + (\gamma - 1) h_2)$ with $\gamma - 1 = h_1$. Add the two:
# $h_1' \bigl( \frac{h}{1 + h h_1} - \frac{h_2}{1 + h_1 h_2} \bigr)$, which is the claim. A covariance of two functions that increase strictly is
# zero if and only if all $\lambda_i$ that count are equal, whatever $h$.
# ```
# ````


# %% tags=["check", "asserts-prop-walk"]
def log_slope(dist, h):
    """The formula of the proposition."""
    lam, a = dist.task_spectrum
    u = (a / (1 + lam * h)) ** 2
    u, y = u / u.sum(), lam / (1 + lam * h)
    dh1 = -2 * (u @ (lam * y) - (u @ lam) * (u @ y))
    mean, other = h1(dist, h), h2(dist, 1 + h1(dist, h))
    return dh1 * (h - other) / ((1 + h * mean) * (1 + mean * other))


level_points, errors = 0, []
for _ in range(20):
    dist = random_distribution(rng)
    for point in stationary_points(dist):
        assert np.isclose(walk(dist, h2(dist, point.gamma)), point.risk, rtol=1e-9)
        level_points += 1
    h = 10 ** rng.uniform(-3, 0)
    step = 1e-4 * h
    gains = np.log([dist.M - walk(dist, h - step), dist.M - walk(dist, h + step)])
    quotient, exact = (gains[1] - gains[0]) / (2 * step), log_slope(dist, h)
    # A central difference: its error is of the order of the step squared.
    assert np.isclose(quotient, exact, rtol=1e-4, atol=1e-8 / h)
    errors.append(h * abs(quotient - exact))

# All lambda equal: h1 is constant, and so is the risk.
same = PromptDistribution(
    4, (7, 7, 7), (0.1, -0.3, 0.6), Sx=np.diag([1, 2, 3, 4.0])
)
assert np.ptp([walk(same, h) for h in np.geomspace(1e-3, 1, 20)]) < 1e-13 * same.M
print(
    f"{len(errors)} random walks: they pass through all {level_points} stationary "
    f"points, and their slope is the formula's to {max(errors):.0e}"
)

# %% [markdown]
# ## Find three
#
# Push $n_2$ up until the curve bends twice. First $F$ touches the diagonal, then it crosses it three times. Where its slope at a crossing is above one, the staircase leaves the crossing: drag
# the ring across the middle one, and the staircase comes to the other end. Which moves take the three away? More correlation, or more noise, or fewer weak directions do. For five crossings a third task or a third eigenvalue is needed; {doc}`how_many` says
# how many there can be.
#
# ```{live} cobweb
# :name: fig-move-cobweb
# :alt: The function F and the diagonal on logarithmic axes, with a staircase from a start that can be moved, and the risk along the best weights below; sliders set the tasks, the features and the noise.
#
# How often does $F$ cross the diagonal? One direction of the features has the eigenvalue $1$, $d_2$ have $s_2$ and $d_3$ have $s_3$. Tasks 1 and 2 have the correlation $R_{12}$; task 3 is independent of them. The query's task is a mixture of them all. $M$ is the variance of a label. Full dots: minima; open ones: saddles. Drag the ring to start the staircase elsewhere.
# ```
#
# ## Secular equations
#
# The first reviewer of the paper saw a likeness between $h_1$, $h_2$ and the secular equations of eigenvalue updates. It is more than a likeness: both are
# quotients made of a secular function and its derivative. But their arguments never meet a pole, so there is no search between poles.
#
# ````{dropdown} The statement, and why it is true
# ```{prf:proposition} Kinship with secular equations
# :label: prop-secular
#
# **Both means are quotients made of a secular function and its derivative.**
#
# *As derived here.* Let $\Phi(h) = r^\top (I + hR)^{-1} r = \sum_i \frac{a_i^2}{1 + \lambda_i h}$ and
# $T(\gamma) = \sum_i \frac{s_i^2}{M + \gamma s_i}$. Then
#
# $$
# h_1 = \frac{-\Phi'}{(h \Phi)'}, \qquad h_2 = \frac{-T'}{T + (\gamma - 1) T'} .
# $$
#
# $\Phi$ is the secular function of adding a rank-one matrix: $\det(I + hR - t\, r r^\top) = \det(I + hR)\,(1 - t \Phi(h))$.
# ```
#
# (proof-prop-secular)=
# ```{prf:proof}
# $-\Phi' = \sum \lambda_i a_i^2/(1+\lambda_i h)^2$ is the numerator of $h_1$. Its denominator is $\sum a_i^2/(1+\lambda_i h)^2 =
# \sum a_i^2 (1 + \lambda_i h - \lambda_i h)/(1+\lambda_i h)^2 = \Phi + h \Phi' = (h\Phi)'$. Likewise $-T' = \sum s_i^3/(M+\gamma s_i)^2$ and
# $M \sum s_i^2/(M + \gamma s_i)^2 = T + \gamma T'$, so $h_2 = -T' / (-T' + T + \gamma T')$. The last formula is the matrix
# determinant lemma.
# ```
#
# The roots of a secular equation usually have to be sought between its poles. Here the poles, $-1/\lambda_i$ of $\Phi$ and $-M/s_i$ of $T$, are all negative, and
# the arguments never are, so there is no such search. Even at a pole of $\Phi$ the mean $h_1$ is finite, and equal to that $\lambda_i$.
# ````

# %% tags=["check", "asserts-prop-secular"]
worst = 0.0
for _ in range(20):
    dist = random_distribution(rng)
    s, _ = dist.signal_spectrum
    (lam, a), M = dist.task_spectrum, dist.M
    h, gamma = 10 ** rng.uniform(-4, 0), 1 + 10 ** rng.uniform(-1, 4)
    Phi = (a**2 / (1 + lam * h)).sum()
    dPhi = -(lam * a**2 / (1 + lam * h) ** 2).sum()
    T, dT = (s**2 / (M + gamma * s)).sum(), -(s**3 / (M + gamma * s) ** 2).sum()
    errors = (
        h1(dist, h) / (-dPhi / (Phi + h * dPhi)) - 1,
        h2(dist, gamma) / (-dT / (T + (gamma - 1) * dT)) - 1,
    )
    worst = max(worst, *np.abs(errors))
assert worst < 1e-9  # a few sums of a few terms, one cancellation of 1 : lambda h

small = PromptDistribution(3, (2, 3), (0.4, 0.5), R=[[1, 0.2], [0.2, 1]])
index, (lam, a), h, t = small.task_index, small.task_spectrum, 0.3, 0.7
R, r = small.R[np.ix_(index, index)], small.r[index]
left = np.linalg.det(np.eye(5) + h * R - t * np.outer(r, r))
right = np.linalg.det(np.eye(5) + h * R) * (1 - t * (a**2 / (1 + lam * h)).sum())
assert np.isclose(left, right, rtol=1e-12)
print(f"20 random distributions: both formulas to {worst:.0e}")

# %% [markdown]
# ## Break it
#
# **Noise that differs from task to task.** The theorem has one $\sigma$. Let the labels of the first task be noisier than those of the second, and
# give the theorem the average. It sees two equal tasks and gives equal weights. These are no longer best: a noisy example should count for less.

# %% tags=["check"]
dist = PromptDistribution(d=3, counts=(10, 10), r=(0.5, 0.5), sigma=2.0)
best = optimal_wpgd(dist)


def uneven(omega, variances=(7.0, 1.0)):  # their mean is sigma^2 = 4
    extra = np.array(dist.counts) * (np.array(variances) - dist.sigma**2)
    own = extra @ np.square(omega) * (best.P**2).sum()
    return population_risk(dist, best.P, omega) + own


assert np.allclose(best.omega, 1) and np.isclose(uneven((1, 1)), best.risk)
assert uneven((0.8, 1.2)) < uneven((1, 1)) - 0.001 * dist.M
print(
    f"equal weights: risk {uneven((1, 1)) / dist.M:.4f} M; "
    f"weights 0.8 and 1.2: {uneven((0.8, 1.2)) / dist.M:.4f} M"
)


# %% [markdown]
# The derivation itself survives. Let $M_i$ be the variance of the label of example $i$. Of the weights $P$ now needs the ratio
# $(\norm{\omega}^2 + \omega^\top R\, \omega) / \sum_i M_i\, \omega_i^2$, and of $P$ the weights still need one number. So there is again a function of one number. Its
# fixed points are stationary points, and it does not fall either:


# %% tags=["check"]
def uneven_at(dist, M, gamma):
    """The new F, and the point (P, omega) that belongs to this ratio; M (n,)."""
    half, index = psd_root(dist.Sx), dist.task_index
    r, agree = dist.r[index], np.eye(dist.n) + dist.R[np.ix_(index, index)]
    s = np.linalg.eigvalsh(half @ dist.C @ half)
    v = (s / (1 + gamma * s)) ** 2
    omega = np.linalg.solve(np.diag(M) + v @ s / v.sum() * agree, r)
    own = omega @ (M * omega)
    inner = np.eye(dist.d) + gamma * dist.Sx @ dist.C
    P = (r @ omega) / own * dist.C @ np.linalg.inv(inner)
    return omega @ agree @ omega / own, P, omega


def uneven_gradient(dist, M, P, omega):
    """The largest entry of the gradient, over M, whatever the scale of P and omega."""
    P = torch.tensor(P, requires_grad=True)
    omega = torch.tensor(omega, requires_grad=True)
    extra = torch.tensor(M) - dist.M  # what this noise adds to the risk
    norm = (P.T @ torch.tensor(dist.Sx) @ P @ torch.tensor(dist.Sx)).trace()
    value = risk_of(dist)(P, omega) + (extra * omega**2).sum() * norm
    return max(
        (gradient * parameter.detach().abs().max()).abs().max().item() / dist.M
        for parameter, gradient in zip(
            (P, omega), torch.autograd.grad(value, (P, omega)), strict=True
        )
    )


rng, largest, elsewhere = np.random.default_rng(3), 0.0, np.inf
for seed in range(5):
    dist = random_setting(seed)
    M = dist.M - dist.sigma**2 + 10 ** rng.uniform(-2, 1, size=dist.K)
    M = M[dist.task_index]
    grid = np.geomspace(1e-3, 1e3, 200)
    values = np.array([uneven_at(dist, M, x)[0] for x in grid])
    assert (np.diff(values) >= -1e-12 * values[1:]).all()
    gamma = grid[0]
    for _ in range(500):
        gamma = uneven_at(dist, M, gamma)[0]
    again, P, omega = uneven_at(dist, M, gamma)
    assert abs(again - gamma) < 1e-12 * gamma
    largest = max(largest, uneven_gradient(dist, M, P, omega))
    _, P, omega = uneven_at(dist, M, 1.5 * gamma)
    elsewhere = min(elsewhere, uneven_gradient(dist, M, P, omega))
assert largest < 1e-10 and elsewhere > 1e-6
print(
    f"5 distributions with uneven noise: at a fixed point the gradient is {largest:.0e} "
    f"of M, beside it at least {elsewhere:.0e}"
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: one step
# :label: ex-one-step
#
# When is $F$ constant, so that one step of the iteration is enough? Find the two cases, one about the features and one about the tasks.
# ```
#
# ```{answer} ex-one-step
# asks: For which of these prompts, without noise, is F constant?
# choices:
# - text: independent tasks of 3 and 40 examples, features with the variances 1 to 5
#   says: Here both spectra have a spread, and neither covariance is zero.
# - text: two tasks of 30 examples with correlation one half and relevances 0.2 and 0.8, features with the variances 1 to 5
#   says: One size, but correlated tasks have two eigenvalues, and as the relevances differ, both have weight.
# - text: independent tasks of one size, features with the variances 1 to 5
# - text: independent tasks of 3 and 40 examples with equal relevances, features with the variances 1 to 5
#   says: Relevances weigh the eigenvalues of R. As long as two different ones have weight the covariance is not zero.
# minutes: 7
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# $F' = h_1' h_2'$, and each factor is a covariance. When is a covariance of two strictly increasing functions zero?
# ```
#
# ````{solution} ex-one-step
# :class: dropdown
#
# $F' = h_1' h_2'$ vanishes everywhere if and only if one of the covariances does. The functions in each increase strictly, so this happens in two
# cases: all non-zero $s_i$ are equal (whitened features, such as $\Sigma_x = C = I$), or all $\lambda_i$ with $a_i \ne 0$ are equal (independent
# tasks of one size, for example).
#
# ```python
# for dist in (
#     PromptDistribution(5, (3, 40), (0.2, 0.8)),
#     PromptDistribution(5, (30, 30), (0.2, 0.8), Sx=np.diag([1.0, 2, 3, 4, 5])),
# ):
#     top = 1 + dist.task_spectrum[0].max()
#     assert np.ptp(F(dist, np.linspace(1, top, 50))) < 1e-12 * top
#
# both_differ = PromptDistribution(5, (3, 40), (0.2, 0.8), Sx=np.diag([1.0, 2, 3, 4, 5]))
# assert np.ptp(F(both_differ, np.linspace(1, 41, 50))) > 1e-6
# ```
# ````
#
# ```{exercise} Compute: taking turns
# :label: ex-taking-turns
#
# Start with equal weights. Choose the best $P$ for them, then the best weights for that $P$, and so on. Show in code that the values of $\gamma$ are
# those of the iteration $\gamma \to F(\gamma)$. Where does this end in the example with three fixed points?
# ```
#
# ```{answer} ex-taking-turns
# asks: The value of gamma at which the turns end, in the example.
# value: gamma
# wrong:
# - value: stationary_points(three)[1].gamma
#   says: That is the other valley. Equal weights lie on the far side of the saddle.
# - value: stationary_points(three)[2].gamma
#   says: That is the saddle, which the staircase leaves. On which side of it do equal weights lie?
# - value: turn(three, np.ones(2))[0]
#   says: That is where it starts. Go on.
# - value: "max(p.gamma for p in stationary_points(PromptDistribution(301, (1000, 1), np.array([0.6, 1.0]) / 1.36**0.5, Sx=np.r_[1.0, np.full(300, 0.003)])))"
#   says: That is a prompt of the figure to move. The example has other relevances; the page's first cell has them.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `optimal_wpgd(dist, omega).P` is the best $P$ for given weights. For given $P$ the weights are a multiple of $(hR + I)^{-1} r$, with the $h$ of the proof.
# ```
#
# ````{solution} ex-taking-turns
# :class: dropdown
#
# Equal weights have $\gamma = 1 + \ones^\top R \ones / n$, almost $1 + \lambda_{\max}$, as one task has nearly all examples. From there the staircase falls to the
# largest fixed point. Here this is the global minimum; for some other $r$ it is not.
#
# ```python
# def turn(dist, omega):
#     """gamma of these weights, and the best weights for the best P for them."""
#     point = optimal_wpgd(dist, omega)
#     half = psd_root(dist.Sx)
#     Q, Sigma = half @ point.P @ half, half @ dist.C @ half
#     signal = np.trace(Sigma @ Q.T @ Q)
#     h = signal / (dist.M * np.trace(Q.T @ Q) + signal)
#     system = h * dist.R * np.array(dist.counts) + np.eye(dist.K)
#     return point.gamma, np.linalg.solve(system, dist.r)
#
#
# gamma, omega = turn(three, np.ones(2))
# for _ in range(20):
#     following, omega = turn(three, omega)
#     assert np.isclose(following, F(three, gamma), rtol=1e-10)
#     gamma = following
# assert np.isclose(gamma, optimal_wpgd(three).gamma, rtol=1e-10)
# ```
# ````
#
# ```{exercise} Explore: noise takes a valley away
# :label: ex-noise-and-valleys
#
# Add noise to the example with three fixed points. From which $\sigma^2$ on is only one left, and which valley went? Is it the same valley for
# $r = (\sqrt{0.2}, \sqrt{0.8})$? And why must one be left in the end?
# ```
#
# ```{answer} ex-noise-and-valleys
# asks: From which variance of the noise on is only one stationary point left, for r with the squares 0.3 and 0.7?
# value: one
# wrong:
# - value: one + 2
#   says: That is M. The trace of Sigma is not noise.
# - value: one / 2
#   says: That is in units of the trace of Sigma.
# - value: one**0.5
#   says: That is sigma. Its square is asked for.
# minutes: 15
# level: 2
# ```
#
# ```{answer} ex-noise-and-valleys-which
# asks: Which valley went?
# choices:
# - text: the one that trusts the single example
# - text: the one that trusts the thousand
#   says: Look at gamma. Is what is left small, as for one example, or large?
# - text: neither, they met each other
#   says: Between two minima there is a saddle. A minimum meets that.
# minutes: 3
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Halve an interval of $\sigma^2$, and count with `stationary_points`. For the last question: what becomes of $h = m/(M + m)$ when $M$ is huge?
# ```
#
# ````{solution} ex-noise-and-valleys
# :class: dropdown
#
# From $\sigma^2 \approx 9.71$ on, nearly five times $\tr \Sigma$. The valley that trusts the single example meets the saddle, where $F$ has slope one, and both vanish. For the
# other $r$ the single example is the better hint by far, and it is the valley of the thousand that vanishes. Where $M$ is huge, $h$ is nearly zero whatever $\gamma$ is, so
# $F = 1 + h_1(h)$ is nearly constant and meets the diagonal once.
#
# ```python
# def noisy(t, variance):
#     r, sigma = (t**0.5, (1 - t) ** 0.5), variance**0.5
#     return stationary_points(PromptDistribution(300, (1000, 1), r, Sx=Sx, sigma=sigma))
#
#
# several, one = 0.0, 20.0
# while one - several > 1e-4:
#     middle = (several + one) / 2
#     several, one = (middle, one) if len(noisy(0.3, middle)) == 3 else (several, middle)
# assert np.isclose(one, 9.71, atol=0.01)
#
# low, saddle, high = sorted(point.gamma for point in noisy(0.3, several))
# assert saddle - low < 0.05 * saddle  # about to meet
# (left,) = noisy(0.3, one)
# assert np.isclose(left.gamma, high, rtol=1e-3)  # the thousand
# low, saddle, high = sorted(point.gamma for point in noisy(0.2, 11.0))
# (left,) = noisy(0.2, 12.0)
# assert saddle < high and left.gamma < 1.3 * low  # the single one
# ```
# ````

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
#   settles: how fast gradient flow reaches the optimum, and which scale is fastest
# ---

# %% [markdown]
# # How fast the flow arrives
#
# Gradient flow reaches the best predictor: how fast, in the end?
#
# The page {doc}`gradient_flow` shows that every flow stays on its hyperbola, $\norm{P}_F^2 - \norm{\omega}^2 = k$, and that where $F' < 1$ the excess of the risk falls exponentially in the end. The rate was computed there, from a Hessian of size $d^2 + n$.
#
# Here it is bounded from both sides in closed form. Three things set it: the curvature in $P$, the curvature in $\omega$, which pull against each other as $k$ changes, and how far the slope $F'$ is below one.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-flow-rate", "caption": "A balanced hyperbola is the fast lane. Left, ten gradient flows in the plane of the two norms: each stays on its hyperbola (dotted) and ends on the curve of minimisers (wide). Right, the rate at which the excess risk falls in the end, against the conserved quantity: by the Hessian and by both bounds, which all but meet here, where $F'$ is nearly zero (line), and measured along the flows (dots). $d = 3$, six examples of three tasks, noise."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, optimal_wpgd, plotting, stationary_points
from glalib.risk import h2, slope
from glalib.spectra import psd_root
from scipy.integrate import solve_ivp

plotting.use_style()


def gradient_of(dist):
    """The gradient of the risk in (P, omega), of one flat vector, and the risk."""
    index, M, d = dist.task_index, dist.M, dist.d
    R, r = dist.R[np.ix_(index, index)], dist.r[index]
    half = psd_root(dist.Sx)
    Sigma = half @ dist.C @ half

    def parts(flat):
        P, omega = flat[: d * d].reshape(d, d), flat[d * d :]
        Q = half @ P @ half
        both = omega @ omega + omega @ R @ omega
        return Q, omega, both, np.sum(Sigma * Q), np.sum((Q @ Sigma) * Q)

    def risk(flat):
        Q, omega, both, trace, spread = parts(flat)
        square = M * (omega @ omega) * np.sum(Q * Q) + both * spread
        return M - 2 * (r @ omega) * trace + square

    def gradient(flat):
        Q, omega, both, trace, spread = parts(flat)
        dQ = M * (omega @ omega) * Q + both * Q @ Sigma - (r @ omega) * Sigma
        flat_part = (M * np.sum(Q * Q) + spread) * omega + spread * R @ omega
        return 2 * np.concatenate(
            [(half @ dQ @ half).ravel(), flat_part - trace * r]
        )

    return gradient, risk


def hessian(gradient, x):
    """By complex steps: the gradient is a polynomial."""
    return np.array([gradient(x + 1e-30j * e).imag for e in np.eye(x.size)]) / 1e-30


def on_hyperbola(dist, best, k, sign=1):
    """The minimiser with |P|^2 - |omega|^2 = k: of all its scales, that one."""
    omega = dist.expand(best.omega)
    p, w = np.sum(best.P**2), omega @ omega
    c = sign * np.sqrt((k + np.sqrt(k * k + 4 * p * w)) / (2 * p))
    return c * best.P, omega / c


def slow(p, w, steep):
    """Smaller eigenvalue of [[p, -sqrt(p w F')], [-sqrt(p w F'), w]]."""
    root = np.sqrt((p - w) ** 2 + 4 * p * w * steep)
    return 2 * p * w * (1 - steep) / (p + w + root)


def curvatures(dist, best, P, omega):
    """The extreme curvatures in P and in omega at that minimiser: (p-, p+), (w-, w+)."""
    M, gamma, half = dist.M, best.gamma, psd_root(dist.Sx)
    h, index = float(h2(dist, gamma)), dist.task_index
    own = np.linalg.eigvalsh(dist.Sx)
    both = np.linalg.eigvalsh(M * dist.Sx + gamma * dist.Sx @ dist.C @ dist.Sx)
    lam = np.linalg.eigvalsh(dist.R[np.ix_(index, index)])[[0, -1]]
    Q = half @ P @ half
    in_P = 2 * (omega @ omega) * own[[0, -1]] * both[[0, -1]]
    return in_P, 2 * np.sum(Q * Q) * M / (1 - h) * (1 + h * lam)


def measured_rate(gradient, risk, start, best_risk, mu):
    """d log(excess) / dt, negated, between 4/mu and 5/mu after the excess is 1e-6."""

    def late(t, x):
        return risk(x) - best_risk - 1e-6

    late.terminal = True

    def pull(t, x):
        return -gradient(x)

    options = {"method": "LSODA", "rtol": 1e-11, "atol": 1e-14}
    first = solve_ivp(pull, (0, 1e6), start, events=late, **options)
    path = solve_ivp(
        pull, (0, 5 / mu), first.y[:, -1], t_eval=(4 / mu, 5 / mu), **options
    )
    start, end = (risk(x) - best_risk for x in path.y.T)
    return np.log(start / end) * mu, first


rng = np.random.default_rng(0)
root = rng.normal(size=(3, 3))
dist = PromptDistribution(
    d=3,
    counts=(2, 3, 1),
    r=(0.3, 0.7, -0.2),
    R=[[1, 0.3, 0], [0.3, 1, -0.2], [0, -0.2, 1]],
    sigma=0.5,
    C=root @ root.T / 3,
)
best = optimal_wpgd(dist)
steep, (gradient, risk) = slope(dist, best.gamma), gradient_of(dist)


def rate(dist, best, k, gradient):
    """Twice the smallest curvature but the scale's, on that hyperbola."""
    x = np.concatenate([part.ravel() for part in on_hyperbola(dist, best, k)])
    values = np.linalg.eigvalsh(hessian(gradient, x))
    assert abs(values[0]) < 1e-9 * values[-1] < values[1]  # one zero: the scale
    return 2 * values[1]


ks = np.sinh(np.linspace(-3.2, 3.2, 65))
exact = np.array([rate(dist, best, k, gradient) for k in ks])
corners = [curvatures(dist, best, *on_hyperbola(dist, best, k)) for k in ks]
low = np.array([2 * slow(p[0], w[0], steep) for p, w in corners])
high = np.array([2 * min(slow(p[1], w[1], steep), p[0], w[0]) for p, w in corners])
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.3))
z = np.linalg.norm(best.P) * np.linalg.norm(dist.expand(best.omega))
norms = np.geomspace(z / 3.4, 3.4, 100)
left.plot(norms, z / norms, color=plotting.TASKS[1], lw=5, alpha=0.7)
dots = {"k": [], "rate": []}
record = {"curve": [], "x": [], "y": []}
for number, k in enumerate(np.sinh(np.linspace(-2.2, 2.2, 10))):
    P, omega = (rng.normal(size=size) for size in ((3, 3), (6,)))
    big = 1.2 if number % 2 else 0.25
    small_one = big * P / np.linalg.norm(P), big * omega / np.linalg.norm(omega)
    P, omega = small_one
    if k > 0:
        P = P * np.sqrt(k + omega @ omega) / np.linalg.norm(P)
    else:
        omega = omega * np.sqrt(np.sum(P * P) - k) / np.linalg.norm(omega)
    mu = rate(dist, best, k, gradient) / 2
    start = np.concatenate([P.ravel(), omega])
    found, path = measured_rate(gradient, risk, start, best.risk, mu)
    dots["k"].append(k)
    dots["rate"].append(found / (2 * mu))
    right.plot(k, found, "o", color="black", ms=5)
    size_P, size_w = (np.linalg.norm(y, axis=0) for y in (path.y[:9], path.y[9:]))
    left.plot(size_w, size_P, color="black", lw=1.4)
    left.plot(size_w[0], size_P[0], "o", color="black", ms=4)
    along = np.linspace(np.sqrt(max(-k, 0)), 3.6, 60)
    left.plot(along, np.sqrt(along**2 + k), ":", color="0.6", lw=1)
    record["curve"] += [f"flow {number}"] * len(size_w)
    record["x"] += size_w.tolist()
    record["y"] += size_P.tolist()
left.set(xlabel=r"$\|\omega\|$", ylabel=r"$\|P\|_F$", xlim=(0, 3.4), ylim=(0, 3.4))
right.plot(ks, exact, color=plotting.TASKS[0], lw=2)
right.fill_between(ks, low, high, color=plotting.TASKS[0], alpha=0.12)
for edge in (low, high):
    right.plot(ks, edge, "--", color=plotting.TASKS[0], lw=1.2)
right.set(xlabel=r"$k = \|P\|_F^2 - \|\omega\|^2$", ylabel="rate", xlim=(-6, 6))
right.set_xticks([-6, -3, 0, 3, 6])
_ = right.set_ylim(0)
for name, ys in (("exact", exact), ("lower", low), ("upper", high)):
    record["curve"] += [name] * len(ys)
    record["x"] += ks.tolist()
    record["y"] += ys.tolist()

# %% tags=["remove-input"]
plotting.FigureData("flow_rate", record, figure=fig, distribution=dist, seed=0)

# %% [markdown]
# ```{symbols}
# P omega risk M R r C Sigma Sx Q gamma F h lambda d n
# ```
#
# ## Two bounds
#
# ```{prf:theorem} The rate of the flow
# :label: thm-flow-rate
#
# **Two curvatures and the slope of $F$ set the rate; the bound is best where the two balance.**
#
# *New here.* Let $\Sigma_x$ be nonsingular and $(P, \omega)$ a non-trivial stationary point with $F' = F'(\gamma) < 1$; $h = h_2(\gamma)$, $\lambda_\mp$ the smallest and largest eigenvalue of the correlation matrix of the $n$ examples, and
#
# $$
# \begin{gathered}
# p_\mp = 2 \norm{\omega}^2\, s_\mp(\Sigma_x)\, s_\mp \bigl( M \Sigma_x + \gamma\, \Sigma_x C \Sigma_x \bigr), \\
# w_\mp = 2 \norm{Q}_F^2\, \frac{M (1 + h \lambda_\mp)}{1 - h},
# \end{gathered}
# $$
#
# $$
# \mu(p, w) = \frac{2\, p\, w\, (1 - F')}{p + w + \sqrt{(p - w)^2 + 4\, p\, w\, F'}} ,
# $$
#
# where $s_\mp(\cdot)$ are extreme eigenvalues. On the level set of $\norm{P}_F^2 - \norm{\omega}^2$ through the point:
#
# 1. The Hessian of the risk there has a smallest eigenvalue $\mu$ with $\mu(p_-, w_-) \le \mu$, and if $d \ge 2$ and $n \ge 2$, $\mu \le \mu(p_+, w_+)$.
# 2. $\frac{p w}{p + w} (1 - F') \le \mu(p, w) \le \min(p, w)\, (1 - F')$, and $\mu(p, p) = p\, (1 - \sqrt{F'})$.
# 3. If $\Sigma_x = I$ and $d \ge 2$, $\mu \le p_-$. If a task has two examples, $\mu \le w_-$. So if $\Sigma_x = C = I$, $d \ge 2$ and a task has two examples, $F' = 0$ and
#    $\mu = \min(p_-, w_-) = 2 \min \bigl( (M + \gamma) \norm{\omega}^2, (M + 1) \norm{P}_F^2 \bigr)$.
# 4. A flow that ends at the point has $\limsup_{t \to \infty} \frac1t \log(\risk - \risk_\infty) \le - 2 \mu$, with $\risk_\infty$ the risk there.
# 5. Along its branch $(cP, \omega/c)$ the bound $\mu(p_-, w_-)$ is largest where $p_- = w_-$, and both bounds fall like $1/|k|$ if $k = \norm{P}_F^2 - \norm{\omega}^2 \to \pm \infty$.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-flow-rate)=
# ```{prf:proof}
# *The diagonal blocks.* In the proof of {prf:ref}`prop-index` the second derivative of the risk in $Q$ is $2 (M \norm{\omega}^2 \norm{dQ}_F^2 + \gamma \norm{\omega}^2 \tr(\Sigma\, dQ^\top dQ))$. With $dQ = \Sigma_x^{1/2} dP\, \Sigma_x^{1/2}$ this is $2 \norm{\omega}^2 \tr(dP^\top \Sigma_x\, dP\, (M \Sigma_x + \gamma \Sigma_x C \Sigma_x))$.
# It is a Kronecker product, so its eigenvalues are $2 \norm{\omega}^2$ times products of eigenvalues of the two matrices: they lie between $p_-$ and $p_+$. The block in $\omega$ is $2 (M \norm{Q}_F^2 + \tr \Sigma Q^\top Q)(I + h R)$ with $h = \tr \Sigma Q^\top Q / (M \norm{Q}_F^2 + \tr \Sigma Q^\top Q)$, as $Q$ is best for $\omega$; so $M \norm{Q}_F^2 + \tr \Sigma Q^\top Q = M \norm{Q}_F^2 / (1 - h)$, and its eigenvalues lie between $w_-$ and $w_+$.
#
# *The coupling.* Call the blocks $H_P$, $H_\omega$ and $H_{P\omega}$, and let $\hat H = H_P^{-1/2} H_{P\omega} H_\omega^{-1/2}$. By {prf:ref}`prop-index` $\hat H^\top \hat H$, which is similar to the matrix $J$ there, has the eigenvalues $1$, $F'$ and zeros, the first one simple, as $F' < 1$. (If $n = 1$ or $J$ has rank one, only $1$ and zeros.) Let
# $k_0, l_0$ and $k_1, l_1$ be singular vectors for $1$ and $\sqrt{F'}$. The Hessian has the kernel $\nu = (P, -\omega)$, by the scale; so $H_P^{1/2} P$ is a multiple of $k_0$ and $H_\omega^{1/2} \omega$ one of $l_0$, neither zero. And $\nu$ is half the gradient of $\norm{P}_F^2 - \norm{\omega}^2$: directions along the level set are those orthogonal to $\nu$.
#
# *The lower bound.* Let $z \perp \nu$. For every number $t$ the Hessian has the same value at $z$ and at $z' = z - t \nu = (z'_P, z'_\omega)$, and $\norm{z'} \ge \norm{z}$. Let $u_P = H_P^{1/2} z'_P$, $u_\omega = H_\omega^{1/2} z'_\omega$, and choose $t$ such that $u_P \perp k_0$. Then
#
# $$
# z^\top H z = \norm{u_P}^2 + \norm{u_\omega}^2 + 2\, u_P^\top \hat H u_\omega \ge \norm{u_P}^2 + \norm{u_\omega}^2 - 2 \sqrt{F'} \norm{u_P} \norm{u_\omega} .
# $$
#
# Write $\norm{u_P}^2 = p' \norm{z'_P}^2$ and $\norm{u_\omega}^2 = w' \norm{z'_\omega}^2$ with $p' \ge p_-$, $w' \ge w_-$. The right side is at least $\norm{z'}^2$ times the smaller eigenvalue of $\begin{pmatrix} p' & -\sqrt{p' w' F'} \\ -\sqrt{p' w' F'} & w' \end{pmatrix}$. That is $\mu(p', w')$, product over the larger one. It is also
# the smaller eigenvalue of $T^{1/2} \operatorname{diag}(p', w')\, T^{1/2}$ with $T = \begin{pmatrix} 1 & -\sqrt{F'} \\ -\sqrt{F'} & 1 \end{pmatrix}$, so it does not decrease in $p'$ or $w'$: it is at least $\mu(p_-, w_-)$.
#
# *The upper bound.* (If $F' = 0$ and there are no $k_1, l_1$, take any unit vectors orthogonal to $k_0$ and $l_0$: there are some.) Let $z' = (e_1 H_P^{-1/2} k_1, -e_2 H_\omega^{-1/2} l_1)$ and $z$ its part orthogonal to $\nu$. The Hessian's value is $e_1^2 + e_2^2 - 2 \sqrt{F'} e_1 e_2$. And $\norm{z}^2 = \min_t \norm{z' - t \nu}^2$, where
# the part in $P$ is $H_P^{-1/2}$ of $e_1 k_1$ plus a multiple of $k_0$, of squared length at least $e_1^2 / p_+$, and that in $\omega$ at least $e_2^2 / w_+$. So $\mu \le \min_e (e_1^2 + e_2^2 - 2 \sqrt{F'} e_1 e_2) / (e_1^2 / p_+ + e_2^2 / w_+) = \mu(p_+, w_+)$.
#
# *2.* The root lies between $|p - w|$ and $p + w$.
#
# *3.* If $\Sigma_x = I$, let $C b = s_- b$ and $b' \perp b$, $dP = b' b^\top$. $P$ and $C$ are symmetric and commute and have $b$ as an eigenvector, so $\tr(C\, dP)$, $\tr(P^\top dP)$ and $\tr(C P^\top dP)$ vanish. These are the only ways in which $H_{P\omega}$ sees $dP$. So $(dP, 0)$ is an eigenvector, of eigenvalue $p_-$, and orthogonal to $\nu$. If two examples share their task, the difference of the two is orthogonal to $r$ and $\omega$ and
# $R$ maps it to zero: an eigenvector of eigenvalue $w_-$, with $\lambda_- = 0$. With $C = I$, $h_2$ is constant and $h = 1/(M + 1)$.
#
# *4.* The gradient of the risk is tangent to the level set. On it the point is a minimum with Hessian at least $\mu > 0$, so near it $\norm{\nabla \risk}^2 \ge 2 (\mu - \varepsilon) (\risk - \risk_\infty)$ for any $\varepsilon > 0$. The flow has $\frac{d}{dt} \risk = - \norm{\nabla \risk}^2$.
#
# *5.* $\norm{\omega}^2 \norm{P}_F^2$ does not change along a branch, so neither does $p_- w_-$, and the denominator of $\mu(p_-, w_-)$ is least at $p_- = w_-$. If $k \to \infty$, $\norm{P}_F^2 \sim k$ and $\norm{\omega}^2 \sim \norm{P}_F^2 \norm{\omega}^2 / k$, and likewise for $k \to -\infty$; $\mu(p, w)$ lies between $(1 - F')$ times half and once the smaller of the two.
# ```
# ````
#
# The formula is that of two springs. Along $P$ the risk is curved by $\norm{\omega}^2$, as $P$ enters it only times $\omega$; along $\omega$ by $\norm{P}^2$. A start with small $\omega$ and large $P$ moves slowly in $P$. (Not if $d = n = 1$: there the Hessian's eigenvalues are $0$ and $p + w$, and imbalance is fast.) The slope $F'$ couples the two: near a tangency, where
# two stationary points meet, $F' \to 1$ and every rate goes to zero like $1 - F'$.
#
# In code the bound is two lines, and the balanced hyperbola is one more:

# %%
p, w = curvatures(dist, best, *on_hyperbola(dist, best, 0.0))
print(
    f"F' = {steep:.3f}; at k = 0 the rate is at least {2 * slow(p[0], w[0], steep):.3f}"
)
c4 = w[0] / p[0]  # p falls as c^-2, w grows as c^2: they meet at c^4 = p/w
P, omega = on_hyperbola(dist, best, 0.0)
balanced = np.sum(P**2) / np.sqrt(c4) - omega @ omega * np.sqrt(c4)
print(f"balanced at k = {balanced:.2f}: {rate(dist, best, balanced, gradient):.3f}")

# %% tags=["check", "asserts-thm-flow-rate"]
# Random distributions, correlated tasks, any features; five hyperbolas each. Eigenvalues
# are good to about 1e-12 of the largest.
rng, ratios, whites = np.random.default_rng(1), [], []
for trial in range(120):
    d, K = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    counts = tuple(int(c) for c in rng.integers(1, 4, size=K))
    f = rng.normal(size=(K + 1, K + 2))
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    joint = f @ f.T
    np.fill_diagonal(joint, 1.0)
    shapes = []
    for white in (trial % 2 == 0, trial % 3 == 0):
        basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
        values = np.ones(d) if white else 10 ** rng.uniform(-1, 0.3, size=d)
        shapes.append((basis * values) @ basis.T)
    case = PromptDistribution(
        d,
        counts,
        joint[:K, K],
        R=joint[:K, :K],
        Sx=shapes[0],
        C=shapes[1],
        sigma=0.3,
    )
    found, (pull, _) = optimal_wpgd(case), gradient_of(case)
    F = slope(case, found.gamma)
    for k in (-10.0, -1.0, 0.0, 1.0, 10.0):
        mu = rate(case, found, k, pull) / 2
        p, w = curvatures(case, found, *on_hyperbola(case, found, k))
        low_mu, high_mu = slow(p[0], w[0], F), slow(p[1], w[1], F)
        assert low_mu <= mu * (1 + 1e-7)
        if d > 1 and case.n > 1:
            assert mu <= high_mu * (1 + 1e-7)
            ratios.append((mu / low_mu, high_mu / mu))
        white, twice = trial % 2 == 0 and d > 1, max(counts) > 1
        assert not white or mu <= p[0] * (1 + 1e-7)
        assert not twice or mu <= w[0] * (1 + 1e-7)
        if white and twice and trial % 3 == 0:
            M, P, omega = case.M, *on_hyperbola(case, found, k)
            P2, omega2 = np.sum(P**2), omega @ omega
            closed = 2 * min((M + found.gamma) * omega2, (M + 1) * P2)
            whites.append(abs(mu / closed - 1))
nearest_low, nearest_high = np.min(ratios, axis=0)
assert nearest_low < 1.001 and nearest_high < 1.05 and len(whites) >= 20
assert max(whites) < 1e-7
print(
    f"{len(ratios)} Hessians lie between the bounds "
    f"(nearest {nearest_low:.4f} and {nearest_high:.3f} times); "
    f"{len(whites)} white ones meet theirs"
)

# %% tags=["check", "asserts-thm-flow-rate"]
# The flows of the figure: late, their rate is that of the slowest direction, to what the
# faster ones still add: 1 per cent seen, 2 allowed. Along the slowest direction itself: 0.1 per cent.
assert np.abs(np.array(dots["rate"]) - 1).max() < 0.02
off = 0.0
for k in (-8.0, 0.0, balanced, 8.0):
    x = np.concatenate([part.ravel() for part in on_hyperbola(dist, best, k)])
    values, vectors = np.linalg.eigh(hessian(gradient, x))
    p, w = curvatures(dist, best, *on_hyperbola(dist, best, k))
    assert slow(p[0], w[0], steep) <= values[1]
    start = x + 1e-3 * np.linalg.norm(x) * vectors[:, 1]
    path = solve_ivp(
        lambda t, y: -gradient(y),
        (0, 3 / values[1]),
        start,
        method="LSODA",
        rtol=1e-11,
        atol=1e-14,
    )
    first, last = (risk(path.y[:, i]) - best.risk for i in (0, -1))
    off = max(off, abs(np.log(first / last) / 6 - 1))
assert off < 1e-3
print(
    f"{len(dots['rate'])} flows from random starts and 4 along the slowest direction: "
    f"their rates are the Hessian's, "
    f"to {np.abs(np.array(dots['rate']) - 1).max():.1%} and {off:.1%}"
)


# %% [markdown]
# ## Near a tangency
#
# With two distinct eigenvalues of $C$ and two independent tasks the flow lives on four numbers, also for thousands of examples. Turning $r$ there makes a minimum meet a saddle.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-rate-tangency", "caption": "As a minimum and a saddle meet, the flow becomes slow in proportion to the distance of $F'$ from one. The smallest curvature on the balanced hyperbola against $1 - F'$ (dots), and the two bounds (dashed), for minima of one distribution as $r$ turns; $d = 12$, one example of one task and 10,000 of another."}}
def turned(angle):
    s = np.array([1.0] + [1 / 85] * 11)
    r = np.array([np.cos(angle), np.sin(angle)])
    return PromptDistribution(
        12, (1, 10_000), r, C=np.diag(s), sigma=np.sqrt(7 * s.sum())
    )


def four_numbers(dist, point):
    """Smallest curvature on the hyperbola p- = w-, its bounds; Sx = I, two eigenvalues."""
    s, times = np.array([dist.C[0, 0], dist.C[1, 1]]), np.array([1.0, dist.d - 1])
    lam, a, M = np.array(dist.counts, float), np.sqrt(dist.counts) * dist.r, dist.M
    root = np.sqrt(times)
    q, v = root * np.diag(point.P)[:2], np.sqrt(dist.counts) * point.omega
    h = float(h2(dist, point.gamma))
    p_of = 2 * (v @ v) * (M + point.gamma * s[[1, 0]])
    w_of = 2 * (q @ q) * M / (1 - h) * np.array([1.0, 1 + h * lam.max()])
    c2 = np.sqrt(p_of[0] / w_of[0])  # c^2: balances p- and w-
    q, v, p_of, w_of = q * c2**0.5, v / c2**0.5, p_of / c2, w_of * c2

    def gradient(x):
        q, v = x[:2], x[2:]
        both, spread = v @ v + v @ (lam * v), (s * q) @ q
        dq = M * (v @ v) * q + both * s * q - (a @ v) * root * s
        return 2 * np.concatenate(
            [
                dq,
                (M * (q @ q) + spread) * v
                + spread * lam * v
                - ((root * s) @ q) * a,
            ]
        )

    values = np.linalg.eigvalsh(hessian(gradient, np.concatenate([q, v])))
    mu = min(np.delete(values, np.abs(values).argmin()).min(), p_of[0], w_of[0])
    F = slope(dist, point.gamma)
    return 1 - F, mu, slow(p_of[0], w_of[0], F), slow(p_of[1], w_of[1], F)


centre = np.arctan2(0.65227518, 0.75798225)  # three points here, one far from here
rows, saddles = [], []
for away in (centre - 0.5, centre + 0.5):
    inside, outside = centre, away
    for _ in range(40):  # where two of the points meet
        middle = (inside + outside) / 2
        if len(stationary_points(turned(middle))) == 3:
            inside = middle
        else:
            outside = middle
    for share in np.geomspace(1e-4, 0.9, 12):
        turn = turned(inside + share * (centre - inside))
        for point in stationary_points(turn):
            row = four_numbers(turn, point)
            (rows if row[0] > 0 else saddles).append(row)
gap, mu, low, high = np.array(sorted(rows)).T
fig, ax = plt.subplots(figsize=(6.4, 3.2))
ax.loglog(gap, mu, "o", color=plotting.TASKS[0], ms=4)
for edge in (low, high):
    ax.loglog(gap, edge, "--", color=plotting.TASKS[1], lw=1.4)
ax.text(0.012, 2.2, "upper bound", ha="center", color="#b34a00")
ax.text(0.06, 0.018, "lower bound", color="#b34a00")
_ = ax.set(xlabel="$1 - F'$", ylabel=r"smallest curvature $\mu$")

# %% tags=["remove-input"]
plotting.FigureData(
    "rate_tangency",
    {"gap": gap, "mu": mu, "lower": low, "upper": high},
    seed="none",
)

# %% tags=["check", "asserts-thm-flow-rate"]
# The four numbers against all of them, where those are few; then the formula itself.
small = PromptDistribution(
    3, (1, 4), (0.6, 0.7), C=np.diag([1, 0.2, 0.2]), sigma=0.5
)
point, all_of = optimal_wpgd(small), gradient_of(small)[0]
P, omega = on_hyperbola(small, point, 0.0)
p, w = curvatures(small, point, P, omega)
c2, F = np.sqrt(p[0] / w[0]), slope(small, point.gamma)
at = rate(small, point, c2 * np.sum(P**2) - omega @ omega / c2, all_of) / 2
edges = [slow(p[i] / c2, w[i] * c2, F) for i in (0, 1)]
assert np.allclose(four_numbers(small, point)[1:], [at, *edges], rtol=1e-9)
for F in (0.1, 0.5, 0.9):
    off = np.sqrt(3 * F)
    assert np.isclose(np.linalg.eigvalsh([[1, -off], [-off, 3]])[0], slow(1, 3, F))
# Part 2: the lower bound is met as F' tends to 1, the upper one as the curvatures part.
for F in (1e-3, 0.5, 0.999):
    assert np.isclose(slow(1, 1, F), 1 - np.sqrt(F))
    for w in (1.0, 1e3):
        share = slow(1, w, F) / (1 - F)
        assert w / (1 + w) <= share * (1 + 1e-9) and share <= 1 + 1e-9
assert slow(1, 1, 0.999) < 1.001 * 0.001 / 2 and slow(1, 1e3, 1e-3) > 0.999 * 0.999

# Eigenvalues of the four by four Hessian lose digits to its largest one: 1e-6.
assert (low <= mu * (1 + 1e-6)).all() and (mu <= high * (1 + 1e-6)).all()
# With curvatures as unequal as here the bounds are not sharp: this is how near they come.
assert np.allclose([(mu / low).min(), (high / mu).min()], [1.81, 9.80], rtol=0.02)
near = gap < 0.1
power = np.polyfit(np.log(gap[near]), np.log(mu[near]), 1)[0]
assert gap.min() < 0.02 and 0.95 < power < 1.05
print(
    f"{len(gap)} minima, 1 - F' from {gap.min():.3f} to {gap.max():.3f}: within the bounds; "
    f"near the tangency the curvature goes as its power {power:.2f}"
)

# %% [markdown]
# ## Break it
#
# **Between two minima** the third of the three points is a saddle. There $F' > 1$, and with it $1 - F'$ and the formula turn negative: along the hyperbola one direction goes down, and almost every flow that starts near it leaves exponentially fast.

# %%
gap_of, down = np.array(saddles).T[:2]
assert (gap_of < 0).all() and (down < 0).all()
print(
    f"{len(down)} saddles: F' - 1 up to {-gap_of.min():.2f}, "
    f"curvature down to {down.min():.2f}"
)

# %% [markdown]
# **Singular features.** If $\Sigma_x$ has a kernel, $p_- = 0$ and the bound is empty: $P$ on the kernel does not change the risk, and the Hessian has more zeros than the one of the scale. But those entries of $P$ never move: for the others the theorem holds, with $\Sigma_x$ and $C$ on the range of $\Sigma_x$.

# %%
thin = PromptDistribution(2, (2, 2), (0.3, 0.8), Sx=np.diag([1.0, 0.0]), sigma=0.3)
thin_best = optimal_wpgd(thin)
x = np.concatenate([part.ravel() for part in on_hyperbola(thin, thin_best, 0.0)])
values = np.linalg.eigvalsh(hessian(gradient_of(thin)[0], x))
assert (np.abs(values) < 1e-9).sum() == 4  # the scale, and three entries of P

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: the fast lane
# :label: ex-fast-lane
#
# Let $\Sigma_x = C = I$, $d \ge 2$, no noise, and one task of $n \ge 2$ examples. At which ratio of $\norm{P}_F^2$ to $\norm{\omega}^2$ is the flow fastest in the end? Which $k$ is that if $n$ is large, and which of $P$ and $\omega$ is the larger there?
# ```
#
# ```{answer} ex-fast-lane
# asks: The ratio of the square of P to that of omega where the flow is fastest, as a function of n and d.
# value: "lambda n, d: (n + d + 1) / (d + 1)"
# at: [{n: 20, d: 4}, {n: 2, d: 10}, {n: 50, d: 2}]
# wrong:
# - value: "lambda n, d: (d + 1) / (n + d + 1)"
#   says: Upside down. Each curvature has the square of the other factor, and the two are to be equal.
# - value: "lambda n, d: ((n + d + 1) / (d + 1)) ** 0.5"
#   says: That is the ratio of the norms. Their squares are asked for.
# - value: "lambda n, d: (n + d) / (d + 1)"
#   says: Nearly. Gamma is one more than n.
# - value: "lambda n, d: (n + d + 1) / d"
#   says: The curvature in omega has one more than M.
# - value: "lambda n, d: 1"
#   says: Equal norms are not equal curvatures. Examples that agree make one of the two steeper.
# minutes: 6
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Part 3 of {prf:ref}`thm-flow-rate`. The two curvatures are equal, and $\gamma = 1 + n$.
# ```
#
# ````{solution} ex-fast-lane
# :class: dropdown
#
# $(M + \gamma) \norm{\omega}^2 = (M + 1) \norm{P}_F^2$ with $M = d$ and $\gamma = n + 1$: $\norm{P}_F^2 / \norm{\omega}^2 = (n + d + 1)/(d + 1)$. For long prompts the fast lane has the larger $P$, so $k > 0$: examples that agree make the risk steep in $P$, and a
# large $P$ makes up for it in $\omega$.
# ````
#
# ```{exercise} Compute: the price of an unbalanced start
# :label: ex-unbalanced-start
#
# By parts 1 and 5 the rate falls like $1/|k|$. For the distribution at the top of this page, by which factor does the rate fall from the best $k$ to $k = 1000$ and to $k = 2000$?
# ```
#
# ```{answer} ex-unbalanced-start
# asks: By which factors does the rate fall, to k = 1000 and to k = 2000?
# value: slower
# within: 3%
# wrong:
# - value: "[1000, 2000]"
#   says: The rate falls like one over k, but the factor before it is not one. Compute it.
# - value: "[slower[0], 4 * slower[0]]"
#   says: The first is right. It falls like one over k, not over its square.
# - value: "[slower[0], slower[0]]"
#   says: The first is right. The second is to the best k as well, for twice the imbalance.
# - value: "[rate(dist, best, 0.0, gradient) / rate(dist, best, k, gradient) for k in (1000.0, 2000.0)]"
#   says: That is from k = 0. Where is the best k?
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `rate(dist, best, k, gradient)`.
# ```
#
# ````{solution} ex-unbalanced-start
# :class: dropdown
#
# By about 4,800, and by twice as much.
#
# ```python
# fastest = max(rate(dist, best, k, gradient) for k in np.linspace(-3, 3, 61))
# slower = [fastest / rate(dist, best, k, gradient) for k in (1000.0, 2000.0)]
# assert np.isclose(slower[1] / slower[0], 2, rtol=1e-2)
# assert np.isclose(slower[0], 4806, rtol=1e-2)
# ```
# ````
#
# ```{exercise} Explore: a better start
# :label: ex-better-start
#
# You may scale the start $(P, \omega)$ to $(cP, \omega/c)$ before the flow begins. The prediction does not change. Which $c$ would you take, and what do you have to know for it? Try starts with the same $P\omega^\top$ and measure the time until the excess is $10^{-6}$.
# ```
#
# ```{answer} ex-better-start
# asks: From the start of the solution, P = I/3 and omega = r/2, how many times as long as with c = 1 does the flow take with c = 0.1, and with c = 10?
# value: "[times[0] / times[1], times[2] / times[1]]"
# within: 5%
# wrong:
# - value: "[10, 10]"
#   says: The norms change by ten, but the curvatures go with their squares. Measure it.
# - value: "[100, 100]"
#   says: That is how the squares of the norms change. The start at c = 1 has a k of its own, and the two sides differ. Measure it.
# - value: "[1, 1]"
#   says: The prediction is the same at first, but the flow is not. Which number does it keep?
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# $c$ sets $k$, and $k$ stays.
# ```
#
# ````{solution} ex-better-start
# :class: dropdown
#
# The $c$ that puts the start on the balanced hyperbola. One has to know $p_-/w_-$ there, or guess it by $1$: near $k = 0$ little is lost. From the same start the flow takes 57 times as long with $c = 0.1$, and 152 times with $c = 10$.
#
# ```python
# def time_from(c):
#     P, omega = np.eye(3) / 3, dist.expand(dist.r) / 2
#     start = np.concatenate([(c * P).ravel(), omega / c])
#     return measured_rate(gradient, risk, start, best.risk, 1.0)[1].t[-1]
#
#
# times = [time_from(c) for c in (0.1, 1.0, 10.0)]
# assert np.allclose(np.divide(times, times[1]), [57, 1, 152], rtol=0.02)
# ```
# ````

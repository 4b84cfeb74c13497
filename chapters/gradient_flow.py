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
#   settles: why gradient flow finds the optimum, and what is open
# ---

# %% [markdown]
# # Does gradient flow find it?
#
# Suppose the minimiser is unique: does training by gradient flow get there?
#
# The fourth reviewer of the paper asked this. The authors answered that for WPGD the landscape suggests it, and named what makes the training of a
# layer harder. This page proves it for the risk of WPGD, from almost every start, where the stationary point is unique. The picture is the smallest
# case, where $P$ and $\omega$ are one number each. Every flow runs along a hyperbola, and each hyperbola meets the curve of best predictors.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-hyperbolas", "caption": "Every flow stays on its hyperbola and ends where that meets the minimisers. One feature, one example: gradient flows on $\\risk(P, \\omega)$ (solid, from the dots), the minimisers (orange, two branches), and curves of constant $P^2 - \\omega^2$ (dotted). The origin is a saddle: only starts with $P = -\\omega$ end there."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import (
    PromptDistribution,
    optimal_wpgd,
    plotting,
    population_risk,
    stationary_points,
    uniqueness,
)
from glalib.risk import slope
from glalib.spectra import psd_root
from scipy.integrate import solve_ivp

plotting.use_style()
single = PromptDistribution(d=1, counts=(1,), r=(0.9,))
product = 0.9 / (single.M + 2)  # the best P omega


def pull(t, at):
    """Minus the gradient of M - 2 r P omega + (M + 2) (P omega)^2."""
    omega, P = at
    steep = 2 * 0.9 - 2 * (single.M + 2) * P * omega
    return steep * P, steep * omega


fig, ax = plt.subplots(figsize=(6.0, 5.2))
grid = np.linspace(-1.6, 1.6, 400)
ax.contour(
    grid,
    grid,
    grid[:, None] ** 2 - grid**2,
    levels=[-1.6, -0.8, -0.25, 0, 0.25, 0.8, 1.6],
    colors="#888888",
    linestyles=":",
    linewidths=1,
)
for sign in (1, -1):
    arm = sign * np.geomspace(product / 1.6, 1.6, 200)
    ax.plot(arm, product / arm, color=plotting.TASKS[1], linewidth=4)
starts = [
    (-1.2, 0.4),
    (0.05, 0.5),
    (-0.5, 0.1),
    (0.9, -0.1),
    (1.5, 1.2),
    (1.3, 1.53),
]
starts += [(-w, -P) for w, P in starts]
paths = {"start": [], "omega": [], "P": []}
for number, start in enumerate(starts):
    path = solve_ivp(pull, (0, 200), start, rtol=1e-10, atol=1e-12)
    omega, P = path.y
    assert (
        np.ptp(P**2 - omega**2) < 1e-6 and abs(omega[-1] * P[-1] - product) < 1e-6
    )
    ax.plot(omega, P, color="black", linewidth=1.8)
    ax.plot(*start, "o", color="black", markersize=5)
    paths["start"] += [number] * len(P)
    paths["omega"] += omega.tolist()
    paths["P"] += P.tolist()
ax.plot(0, 0, "x", color="black", markersize=9, markeredgewidth=2)
ax.text(0, -0.2, "saddle", ha="center", va="center")
ax.text(0.29, 1.42, "minimisers", color="#b34a00")
_ = ax.set(
    xlabel=r"$\omega$",
    ylabel="$P$",
    aspect="equal",
    xlim=(-1.6, 1.6),
    ylim=(-1.6, 1.6),
)

# %% tags=["remove-input"]
plotting.FigureData(
    "hyperbolas", paths, figure=fig, d=1, counts=(1,), r=0.9, seed="none"
)

# %% [markdown]
# ## What is conserved, and where it ends
#
# ```{symbols}
# P omega risk M R r C Sigma Sx gamma F d n Q
# ```
#
# Gradient flow is gradient descent with steps so small that they make a curve: $\dot P = -\partial_P \risk$, $\dot\omega = -\partial_\omega \risk$, with $P \in \R^{d \times d}$ and
# $\omega \in \R^n$, one weight per example.
#
# ```{prf:theorem} Gradient flow (Theorem C)
# :label: thm-gradient-flow
#
# **Where the stationary point is unique, gradient flow reaches the best predictor from almost every start.**
#
# *New here.* Let $\Sigma_x$ be nonsingular, $C \neq 0$ (it may be singular) and $r \neq 0$. For gradient flow on $\risk(P, \omega)$:
#
# 1. $\norm{P}_F^2 - \norm{\omega}^2$ does not change along the flow.
# 2. Every flow is bounded, exists for all later time, and converges to one critical point.
# 3. From almost every start it ends at a non-trivial stationary point with $F'(\gamma) \le 1$.
# 4. If the non-trivial stationary point is unique up to scale, then from almost every start, from *every* start with $\risk < M$, and from every non-critical start with $\risk = M$, it ends at a
#    global minimiser. If $F' < 1$ there, it converges exponentially fast, at a rate that depends on the conserved quantity ({doc}`flow_rate` bounds it).
#
# In case 4 the global minimisers form two branches, $c > 0$ and $c < 0$ in $(cP, \omega/c)$, and each branch meets each value of the conserved quantity once.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-gradient-flow)=
# ```{prf:proof}
# **1.** $\risk(cP, \omega/c)$ does not depend on $c$. Its derivative at $c = 1$ says $\langle P, \partial_P \risk \rangle = \langle \omega, \partial_\omega \risk \rangle$. So
# $\frac{d}{dt} (\norm{P}_F^2 - \norm{\omega}^2) = -2 \langle P, \partial_P \risk \rangle + 2 \langle \omega, \partial_\omega \risk \rangle = 0$.
#
# **2.** Let $z = \norm{\omega} \norm{Q}_F$. By Cauchy and Schwarz $|(r^\top \omega) \tr(\Sigma Q)| \le \norm{r} \norm{\Sigma}_F\, z$, and the last term of the risk is not negative, so
# $\risk \ge M - 2 \norm{r} \norm{\Sigma}_F\, z + M z^2$. Along the flow $\risk$ does not increase, so $z$ stays bounded. As $\norm{Q}_F \ge s_{\min}(\Sigma_x) \norm{P}_F$,
# the product $\norm{\omega} \norm{P}_F$ stays bounded too. With $\norm{P}_F^2 = \norm{\omega}^2 + k$ this bounds both: the product $\norm{\omega}^2 (\norm{\omega}^2 + k)$ tends to infinity with $\norm{\omega}$. A bounded flow
# exists for all time. The risk is a polynomial, and a bounded gradient flow of an analytic function converges to a single critical point
# {cite}`lojasiewicz1984trajectoires`. A global minimum exists, too: points with $\risk < M$ have $P \neq 0 \neq \omega$ and can be scaled to $\norm{P}_F = \norm{\omega}$, where they are bounded; and by 3 there are such points.
#
# **3.** *The trivial critical points are strict saddles.* By {prf:ref}`thm-stationary-points` they are $(0, \omega)$ with $r^\top \omega = 0$ and $(P, 0)$ with $\tr(\Sigma Q) = 0$, and have
# $\risk = M$. Choose $J$ and $u$ with $\tr(\Sigma \hat J) \neq 0$, $\hat J = \Sigma_x^{1/2} J \Sigma_x^{1/2}$, and $r^\top u \neq 0$. At $(0, \omega_0)$, in the plane $(\epsilon J, \omega_0 + \tau u)$,
#
# $$
# \risk = M - 2 \epsilon \tau\, (r^\top u) \tr(\Sigma \hat J) + \epsilon^2 \theta + \text{higher order},
# $$
#
# so the Hessian there is $\begin{pmatrix} 2\theta & -b \\ -b & 0 \end{pmatrix}$ with $b = 2 (r^\top u) \tr(\Sigma \hat J) \neq 0$: its determinant is negative, and one eigenvalue is. The same holds
# at $(P_0, 0)$ with the roles exchanged. A non-trivial point with $F' > 1$ has a negative eigenvalue by {prf:ref}`prop-index`.
#
# *Almost no start ends at a strict saddle.* The argument is that of {cite:t}`lee2016gradient` for descent in steps. These points are not isolated, so we argue locally. Let $\phi$ be the time-one map of the flow; it is defined everywhere by 2, smooth, injective, and its derivative
# is invertible (it is a diffeomorphism onto its image), so preimages of null sets are null sets. A strict saddle $z$ is a fixed point of $\phi$ at which the derivative has an eigenvalue above one. By the centre-stable manifold theorem {cite}`shub1987global` there are a neighbourhood
# $U_z$ and a manifold $T_z$ of dimension less than full, such that a point whose iterates all stay in $U_z$ lies in $T_z$.
#
# Countably many of the $U_z$ cover the set of strict saddles. If a flow converges to
# a strict saddle, its iterates stay in one of these from some time $k$ on, so its start lies in $\phi^{-k}(T_z)$. The union of these sets over countably many $z$ and all $k$ is a null set.
#
# By 2 the flow converges to some critical point; for almost every start it is none of the above.
#
# **4.** Now all non-trivial stationary points are the two branches $c > 0$ and $c < 0$, and these are the global minimisers, as a minimum exists and is non-trivial. So 3 gives the first claim. If $\risk < M$ at
# the start, the limit has $\risk < M$ and is not trivial. If $\risk = M$ and the start is not critical, the risk is below $M$ at once. If $F' < 1$ the kernel of the Hessian at the
# minimum is spanned by $(P, -\omega)$ ({prf:ref}`prop-index`). That is half the gradient of the conserved quantity, so it is orthogonal to the level set; along the level set the Hessian is positive definite, and convergence is exponential.
#
# *The branches.* On a branch $\norm{cP}_F^2 - \norm{\omega/c}^2 = c^2 \norm{P}_F^2 - \norm{\omega}^2 / c^2$ increases in $|c|$ from $-\infty$ to $\infty$.
# ```
# ````
#
# Drag the start. The flow keeps to its dashed hyperbola, and ends where that meets the thick curve. Then bring the start close to the line from the upper left corner to the lower right one: the flow lingers near the saddle, and it takes longer. On the line it ends at
# the saddle, and on its other side it goes to the other branch.
#
# ```{live} landscape
# :name: fig-move-landscape
# :alt: The plane of the sizes of omega and P with levels of the risk, the minimisers, and the gradient flow from a start that can be moved along its hyperbola, and the risk over time; sliders set the prompts.
#
# Where does the flow end? One task of $n$ examples with relevance $r$, white features. $P$ is a multiple of the identity, and all weights are equal: such a flow stays so. The axes are $\norm{\omega}$ and $\norm{P}_F$ with their signs. Thick curve: minimisers; dashed: $\norm{P}_F^2 - \norm{\omega}^2$ of the start; thin: levels of the risk. Drag the ring.
# ```
#
# So the theorem says where on a branch a flow ends before it begins. The conserved quantity sets the scale:

# %%
rng = np.random.default_rng(0)
root = rng.normal(size=(3, 3))
dist = PromptDistribution(
    d=3,
    counts=(2, 3, 1),
    r=(0.3, 0.7, -0.2),
    R=[[1, 0.3, 0], [0.3, 1, -0.2], [0, -0.2, 1]],
    sigma=0.5,
    Sx=np.diag([1.0, 0.6, 0.3]),
    C=root @ root.T / 3,
)
best = optimal_wpgd(dist)
target = dist.expand(best.omega)
assert uniqueness(dist).holds_sharp and slope(dist, best.gamma) < 1


def on_branch(sign, k):
    """The minimiser with |P|^2 - |omega|^2 = k on the branch of that sign."""
    p, w = np.sum(best.P**2), np.sum(target**2)
    c = sign * np.sqrt((k + np.sqrt(k * k + 4 * p * w)) / (2 * p))
    return np.concatenate([(c * best.P).ravel(), target / c])


# %% [markdown]
# The flow itself needs the exact gradient, and an integrator that stops once the gradient is as good as zero:


# %% tags=["hide-input"]
def problem(dist):
    """The risk of the n weights and its gradient, of one flat vector."""
    index = dist.task_index
    R, r = dist.R[np.ix_(index, index)], dist.r[index]
    half, d, M = psd_root(dist.Sx), dist.d, dist.M
    Sigma = half @ dist.C @ half

    def split(flat):
        return flat[..., : d * d].reshape(*flat.shape[:-1], d, d), flat[
            ..., d * d :
        ]

    def risk(flat):
        P, omega = split(flat)
        Q = half @ P @ half
        square = (omega**2).sum(-1)
        agreement = (omega @ R * omega).sum(-1)
        norm, spread = (Q * Q).sum((-2, -1)), (Q @ Sigma * Q).sum((-2, -1))
        gain = 2 * (omega @ r) * (Sigma * Q).sum((-2, -1))
        return M - gain + M * square * norm + (square + agreement) * spread

    def gradient(flat):
        P, omega = split(flat)
        Q, R_omega, square = half @ P @ half, R @ omega, omega @ omega
        Q_Sigma, q = Q @ Sigma, Q.ravel()
        trace, norm, spread = Sigma.ravel() @ q, q @ q, Q_Sigma.ravel() @ q
        dQ = M * square * Q + (square + omega @ R_omega) * Q_Sigma
        dQ -= (r @ omega) * Sigma
        domega = (M * norm + spread) * omega + spread * R_omega - trace * r
        return 2 * np.concatenate([(half @ dQ @ half).ravel(), domega])

    return split, risk, gradient


def flow(gradient, start, tolerance=1e-7, time=1e9, **options):
    """Gradient flow until |gradient| |x| falls to the tolerance; that it does is asserted."""

    def still(t, x):
        return np.linalg.norm(gradient(x)) * np.linalg.norm(x) - tolerance

    still.terminal, still.direction = True, -1
    path = solve_ivp(
        lambda t, x: -gradient(x),
        (0, time),
        start,
        method="LSODA",
        rtol=1e-9,
        atol=1e-12,
        events=still,
        **options,
    )
    assert path.status == 1, "the flow has not converged"
    return path


def hessian(gradient, x):
    """By complex steps, which round nothing: the gradient is a polynomial."""
    return np.array([gradient(x + 1e-30j * e).imag for e in np.eye(x.size)]) / 1e-30


split, risk, gradient = problem(dist)


def conserved(flat):
    P, omega = split(flat)
    return (P * P).sum((-2, -1)) - (omega**2).sum(-1)


# %%
start = rng.normal(size=dist.d**2 + dist.n)
end = flow(gradient, start, tolerance=1e-7 * dist.M).y[:, -1]
sign = np.sign(split(end)[1] @ dist.r[dist.task_index])
assert np.allclose(end, on_branch(sign, conserved(start)), atol=1e-5)

# %% [markdown]
# ## Many starts
#
# Ten random starts, with sizes over two decades. Ten more put the risk just below $M$ or well below it, on either side of the best size. Four have risk $M$ exactly, or to rounding, and are not critical. From every start the check sees that the conserved
# quantity stays, that the risk never rises, that the bound of the proof holds at every time, and that the end is the closed form, on its branch and at its scale.

# %% tags=["check"]
x = rng.normal(size=dist.d**2 + dist.n)
assert np.isclose(risk(x), population_risk(dist, *split(x)), rtol=1e-12)

# The gradient against difference quotients, at a random point.
steps = 1e-6 * np.eye(x.size)
quotients = [(risk(x + e) - risk(x - e)) / 2e-6 for e in steps]
assert np.allclose(
    gradient(x), quotients, rtol=1e-6, atol=1e-6 * np.abs(quotients).max()
)
off = np.abs(gradient(x) - quotients).max() / np.abs(quotients).max()
print(f"The gradient agrees with difference quotients to {off:.0e}")

# %% tags=["check", "asserts-thm-gradient-flow"]
# The integrator works to a relative 1e-9, so the conserved quantity may drift by a little
# more than that; we allow 1e-6. How near the end must be follows from the gradient there
# and the smallest eigenvalue mu > 0 of the Hessian at the minimum: the distance is at most
# |gradient|/mu, the excess of the risk at most |gradient|^2/(2 mu), to first order: one per
# cent more is allowed. Most flows end along the slowest direction, and meet both. The excess
# is compared on the way, before rounding of the risk hides it.
assert len(stationary_points(dist)) == 1
r_n, half = dist.r[dist.task_index], psd_root(dist.Sx)
b = np.linalg.norm(r_n) * np.linalg.norm(half @ dist.C @ half)
nearest, met = [], []


def curvature(goal):
    """The smallest eigenvalue of the Hessian but for the scale's, and its direction."""
    values, vectors = np.linalg.eigh(hessian(gradient, goal))
    assert abs(values[0]) < 1e-9 * values[-1] < values[1]  # one zero: the scale
    return values[1], vectors[:, 1]


def assert_converges(start):
    path = flow(gradient, start, tolerance=1e-7 * dist.M)
    risks = risk(path.y.T)
    drift = np.abs(conserved(path.y.T) - conserved(start))
    assert drift.max() < 1e-6 * np.sum(path.y**2, 0).max()
    assert (np.diff(risks) < 1e-9 * max(dist.M, risks[0])).all()

    # z = |omega| |Q| has M z^2 - 2 b z + M <= risk at the start.
    P, w = split(path.y.T)
    z = np.linalg.norm(half @ P @ half, axis=(1, 2)) * np.linalg.norm(w, axis=1)
    root = b**2 + dist.M * (risks[0] - dist.M)
    assert z.max() <= (b + np.sqrt(root)) / dist.M * (1 + 1e-6)

    end = path.y[:, -1]
    sign = np.sign(split(end)[1] @ r_n)
    goal = on_branch(sign, conserved(end))
    (mu, _), away = curvature(goal), np.linalg.norm(end - goal)
    ratios = [mu * away / np.linalg.norm(gradient(end))]
    for y, excess in zip(path.y.T, risks - best.risk, strict=True):
        if 1e-9 * dist.M < excess < 1e-7 * dist.M:
            ratios.append(2 * mu * excess / np.sum(gradient(y) ** 2))
    assert max(ratios) < 1.01 and abs(risks[-1] - best.risk) < 1e-11 * dist.M
    met.append((ratios[0], max(ratios[1:], default=0.0)))
    nearest.append(np.linalg.norm(end - goal) / np.linalg.norm(goal))
    return sign


def random_start(size=1.0):
    return size * rng.normal(size=dist.d**2 + dist.n)


def scaled(start, share, side):
    """A start in that direction with that share of its possible gain; risk M at 0."""
    P, w = split(start)
    w = w * np.sign((w @ r_n) * np.sum(P * (dist.Sx @ dist.C @ dist.Sx)))
    x = np.concatenate([P.ravel(), w])
    one, two = risk(x) - dist.M, risk(2**0.5 * x) - dist.M  # of M - p t^2 + q t^4
    q = (two - 2 * one) / 2
    p = q - one
    return np.sqrt(p / (2 * q) * (1 + side * np.sqrt(1 - share))) * x


signs = {
    assert_converges(random_start(10 ** rng.uniform(-1.5, 0.5))) for _ in range(10)
}
assert {-1.0, 1.0} == signs  # both branches are reached
assert np.min(np.max(met, 0)) > 0.99
# The bound on z, where little noise is left out of it: along Sigma and r.
noisy = dist.replace(sigma=30.0)
at = np.concatenate([dist.C.ravel(), r_n])  # Q = Sigma
root = b**2 + noisy.M * (problem(noisy)[1](at) - noisy.M)
assert 0.99 < b / ((b + np.sqrt(root)) / noisy.M) <= 1
print(
    f"{len(nearest)} random starts: all end at the predicted minimiser, to "
    f"{max(nearest):.0e} of its size"
)

# %% tags=["check", "asserts-thm-gradient-flow"]
for share in (1e-3, 0.1, 0.5, 0.9, 1.0):
    for side in (-1, 1):
        start = scaled(random_start(), share, side)
        assert dist.M * (1 - 1e-12) > risk(start)
        assert_converges(start)

# Risk M, and not critical: P = 0, or omega = 0, or as far beyond the best size.
one_sided = random_start(), random_start()
one_sided[0][: dist.d**2], one_sided[1][dist.d**2 :] = 0.0, 0.0
ones = np.concatenate([np.zeros(dist.d**2), np.ones(dist.n)])
aligned = scaled(at + random_start(0.3), 0.0, 1)
for start in (ones, *one_sided, aligned):
    assert abs(risk(start) - dist.M) < 1e-13 * dist.M
    assert np.linalg.norm(gradient(start)) > 1e-3
    assert_converges(start)
print(f"{len(nearest) - 10} starts with risk at most M: all end at the minimiser")

# %% [markdown]
# Near the minimum the excess of the risk should fall like $e^{-2 \mu t}$, where $\mu$ belongs to the conserved quantity: it is the smallest eigenvalue of the Hessian, the zero of the scale left out. {prf:ref}`thm-flow-rate` bounds it in closed form.

# %% tags=["check", "asserts-thm-gradient-flow"]
# Along the slowest direction, to first order, which at a distance of a thousandth means to
# within a few thousandths; in any other direction at least as fast.
rates = {}
for k in (-30.0, -3.0, 0.0, 3.0, 30.0):
    for sign in (-1, 1):
        goal = on_branch(sign, k)
        mu, slowest = curvature(goal)
        for direction in (slowest, rng.normal(size=goal.size)):
            length = 1e-3 * np.linalg.norm(goal) / np.linalg.norm(direction)
            path = solve_ivp(
                lambda t, x: -gradient(x),
                (0, 3 / mu),
                goal + length * direction,
                method="LSODA",
                rtol=1e-11,
                atol=1e-14,
            )
            first, last = (risk(path.y[:, i]) - best.risk for i in (0, -1))
            rate = np.log(first / last) / (3 / mu)
            assert rate > 2 * mu * 0.99
            if direction is slowest:
                assert np.isclose(rate, 2 * mu, rtol=0.01)
                rates[k, sign] = float(rate)
# The rate depends on the conserved quantity, and not on the branch.
assert np.allclose(
    [rates[k, 1] for k, _ in rates], [rates[k, -1] for k, _ in rates], rtol=0.01
)
assert np.isclose(max(rates.values()) / min(rates.values()), 47.2, rtol=0.01)
print(
    f"{len(rates)} rates are twice the smallest curvature, within 1 per cent; "
    f"the fastest is {max(rates.values()) / min(rates.values()):.0f} times the slowest"
)


# %% [markdown]
# The trivial points, where $P = 0$ or $\omega = 0$ and nothing pulls, are saddles. The proof names a plane in which one sees it:


# %% tags=["check", "asserts-thm-gradient-flow"]
def hessian_in_plane(point, J, u, step=1e-4):
    J, u = np.concatenate([J.ravel(), 0 * u]), np.concatenate([0 * J.ravel(), u])

    def f(i, j):
        return risk(point + i * step * J + j * step * u)

    mixed = (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1)) / (4 * step**2)
    first, second = (
        (f(1, 0) - 2 * f(0, 0) + f(-1, 0)) / step**2,
        (f(0, 1) - 2 * f(0, 0) + f(0, -1)) / step**2,
    )
    return np.array([[first, mixed], [mixed, second]])


orthogonal = np.linalg.svd(r_n[None])[2][1]  # r . omega = 0
SxCSx = dist.Sx @ dist.C @ dist.Sx
off = np.diag(
    [1.0, -SxCSx[0, 0] / SxCSx[1, 1], 0.0]
)  # tr(Sigma Q) = tr(Sx C Sx P) = 0
trivial = (
    np.concatenate([np.zeros(9), orthogonal]),
    np.concatenate([off.ravel(), np.zeros(dist.n)]),
    np.zeros(9 + dist.n),
)
b_plane = 2 * (r_n @ r_n) * np.trace(SxCSx)
for point in trivial:
    assert np.abs(gradient(point)).max() < 1e-12
    assert abs(risk(point) - dist.M) < 1e-12
    determinant = np.linalg.det(hessian_in_plane(point, np.eye(3), r_n))
    # The proof: -b^2. Second differences with steps of 1e-4 are good to about 1e-8.
    assert np.isclose(determinant, -(b_plane**2), rtol=1e-6)
print(f"{len(trivial)} trivial points: each has a direction that goes down")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-flows", "caption": "In the end every flow falls exponentially fast. Twelve gradient flows: excess risk over the closed-form optimum against time. Small starts wait near the saddle at the origin; large, unbalanced starts are slow, as the rate depends on the conserved quantity."}}
rng = np.random.default_rng(1)
times = np.concatenate([[0], np.geomspace(1e-2, 1000, 300)])
record = {"start": [], "time": [], "excess_over_M": []}
fig, ax = plt.subplots(figsize=(6.4, 3.6))
for k in range(12):
    size = (0.003, 0.1, 0.6)[k % 3]
    start = size * rng.normal(size=dist.d**2 + dist.n)
    path = solve_ivp(
        lambda t, x: -gradient(x),
        (0, 1000),
        start,
        method="LSODA",
        t_eval=times,
        rtol=1e-11,
        atol=1e-14,
    )
    excess = (risk(path.y.T) - best.risk) / dist.M
    style = {
        "color": plotting.TASKS[k % 3],
        "linestyle": ("-", "--", "-.")[k % 3],
        "linewidth": 1.6,
    }
    ax.loglog(
        times + 1e-2,
        np.maximum(excess, 1e-13),
        **style,
        label=f"start of size {size:g}" if k < 3 else None,
    )
    record["start"] += [k] * len(times)
    record["time"] += list(times)
    record["excess_over_M"] += list(excess)
ax.set(xlabel="time", ylabel=r"(risk $-$ optimum) / $M$", ylim=(1e-11, 30))
_ = ax.legend(loc="lower left", handlelength=2.6)

# %% tags=["remove-input"]
plotting.FigureData(
    "flows",
    record,
    figure=fig,
    distribution=dist,
    integrator="LSODA, rtol 1e-11",
    seed=1,
)

# %% [markdown]
# ## Break it
#
# **Without uniqueness** the flow may end at the wrong minimum, and not by bad luck: a minimum with $F' < 1$ attracts an open set of starts. Here is a small example with two minima, with the spectra of one on the page {doc}`sharpness`. We follow the flow from starts that have its symmetry, in four numbers: $P$ has two different eigenvalues, and there are two blocks.

# %% tags=["check", "asserts-thm-gradient-flow"]
counts, s_small, copies = (1, 10_000), 1 / 85, 11
trace = 1 + copies * s_small
r_two = np.array([0.75798225, 0.65227518])
r_two /= np.linalg.norm(r_two)
sigma = np.sqrt(7 * trace)
two_wells = PromptDistribution(
    12, counts, r_two, Sx=np.diag([1.0] + [s_small] * copies), sigma=sigma
)
points = stationary_points(two_wells)
assert len(points) == 3

assert [slope(two_wells, point.gamma) < 1 for point in points] == [
    True,
    True,
    False,
]
s_two, times_two = np.array([1.0, s_small]), np.array([1.0, copies])


def reduced(dist):
    """The gradient in p (eigenvalues of P), v (block weights), each times root multiplicity: (..., 4) to (..., 4)."""
    weigh, lam, M = np.sqrt(times_two) * s_two, np.array(dist.counts), dist.M
    a = np.sqrt(lam) * dist.r

    def gradient(x):
        q, v = s_two * x[..., :2], x[..., 2:]  # Q = Sx^1/2 P Sx^1/2
        square, norm = (v**2).sum(-1), (q**2).sum(-1)
        agreement, spread = v**2 @ lam, q**2 @ s_two
        by_q = (M * square)[..., None] + (square + agreement)[..., None] * s_two
        by_v = (M * norm + spread)[..., None] + spread[..., None] * lam
        dq = by_q * q - (v @ a)[..., None] * weigh
        dv = by_v * v - (q @ weigh)[..., None] * a
        return 2 * np.concatenate([s_two * dq, dv], -1)  # d/dp = s d/dq

    return gradient


few = PromptDistribution(12, (1, 40), r_two, Sx=two_wells.Sx, sigma=sigma)
x = np.array([0.3, 0.1, 0.5, 0.2])
p = x[:2] / np.sqrt(times_two)
omega = (x[2:] / np.sqrt(few.counts))[few.task_index]
whole = problem(few)[2](
    np.concatenate([np.diag(np.repeat(p, [1, copies])).ravel(), omega])
)
G, g = whole[:144].reshape(12, 12), whole[144:]
lifted = [G[0, 0], G[1:, 1:].trace() / copies**0.5, g[0], g[1:].sum() / 40**0.5]
assert np.allclose(lifted, reduced(few)(x), rtol=1e-12)


pull = reduced(two_wells)
angles = np.linspace(0.01, np.pi / 2 - 0.01, 25)
beginnings = np.stack(
    [0.02 + 0 * angles, 0.02 + 0 * angles, np.cos(angles), np.sin(angles)], 1
)
ends = flow(  # all at once; no start sees another
    lambda x: pull(x.reshape(-1, 4)).ravel(),
    beginnings.ravel(),
    tolerance=1e-7 * two_wells.M,
    lband=3,
    uband=3,
).y[:, -1]
v = ends.reshape(-1, 4)[:, 2:]
limits = 1 + (v**2 @ counts) / (v**2).sum(1)
gammas = np.array([point.gamma for point in points])
where = np.abs(np.log(limits[:, None] / gammas)).argmin(1)
assert np.allclose(limits, gammas[where], rtol=1e-3)
shares = {
    name: int((where == k).sum())
    for k, name in enumerate(("global", "local", "saddle"))
}
assert shares["saddle"] == 0 and shares["local"] > 0 and shares["global"] > 0
print(
    f"{len(angles)} starts on a quarter circle: {shares['global']} reach the global minimum, "
    f"{shares['local']} the local one, {shares['saddle']} the saddle"
)

# %% [markdown]
# **At a trivial point** nothing moves, so the theorem cannot say "every" for "almost every". A small push is enough to leave it:

# %%
origin = np.zeros(dist.d**2 + dist.n)  # the gradient is exactly zero here
assert (gradient(origin) == 0).all()
_ = assert_converges(np.concatenate([1e-3 * np.eye(3).ravel(), 1e-3 * r_n]))

# %% [markdown]
# ## What stays open
#
# This is gradient flow on the population risk of WPGD. Training a gated layer moves other coordinates: matrices $P_q, P_k$ with $P = P_q P_k^\top$, and gates whose products are the weights. The authors
# named this coupled, non-convex parametrisation as the difficulty. We know neither a proof nor a counterexample of the following: under uniqueness, and where scalar gates can reach the optimum, the risk tends to its infimum from almost every start.
#
# ````{dropdown} What does not carry over
# Where the map from parameters to $(P, \omega)$ is degenerate, for example at $P_q = P_k = 0$, there can be further critical points. The weights are bound to
# $0 \le \omega_1 \le \dots \le \omega_n \le 1$, and a sigmoid reaches gates of $0$ and $1$ only in the limit, so that a minimiser may not exist. Training sees samples, not the population. Step 1 has a counterpart,
# $P_q^\top P_q - P_k^\top P_k$ is conserved; the others do not carry over as they stand.
# ````
#
# What one can do is to look. We train some of the layer's own coordinates: $P_q$, $P_k$, a gate where the task changes and the gate of the query, each a sigmoid, with all other gates held at one; ten
# random starts; Adam on the exact risk. The optimum is inside the range of the gates: $\omega \propto (0.25, 1)$.

# %% tags=["check"]
import torch

gated = PromptDistribution(d=4, counts=(20, 20), r=(0.2, 0.8))
lam, r_two_blocks, M = torch.tensor([20.0, 20.0]), torch.tensor(gated.r), gated.M
optimum = optimal_wpgd(gated)


def layer_risk(P_q, P_k, logits):
    """Of each start: arrays (starts, 4, 4) and (starts, 2)."""
    change, query = torch.sigmoid(logits).mT
    omega = torch.stack([change * query, query], 1)
    P = P_q @ P_k.mT
    rw, ww = 20 * omega @ r_two_blocks, 20 * (omega**2).sum(1)
    trace, squares = P.diagonal(dim1=1, dim2=2).sum(1), (P * P).sum((1, 2))
    return M - 2 * rw * trace + (M * ww + ww + 20 * ww) * squares


def train(starts, steps=1000):
    """The risks at the end; the starts do not see each other."""
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    size = 0.02 * 10 ** torch.rand(starts, 1, 1, **draw)
    P_q, P_k = size * torch.randn(2, starts, 4, 4, **draw)
    logits = torch.randn(starts, 2, **draw)
    parameters = [x.clone().requires_grad_() for x in (P_q, P_k, logits)]
    adam = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(steps):
        adam.zero_grad()
        losses = layer_risk(*parameters)
        losses.sum().backward()
        adam.step()
    return losses.detach().numpy()


excess = train(starts=5) / optimum.risk - 1
assert excess.min() > -1e-9  # nothing is below the optimum
assert (excess < 1e-3).all()
assert np.allclose(optimum.omega, (0.25, 1.0))
print(
    f"{len(excess)} starts of the layer: all end near the optimum, the worst "
    f"{100 * excess.max():.2g} per cent above it"
)

# %% [markdown]
# That is an observation in one small case, and no proof.
#
# ## Exercises
#
# ```{exercise} By hand: a start with no preconditioner
# :label: ex-balanced
#
# Start from $P = 0$ and $\omega = \ones$. To which scale does the flow converge, that is, what is $\norm{P}_F^2 - \norm{\omega}^2$ in the limit? Which branch is it?
# ```
#
# ```{answer} ex-balanced
# asks: The difference of the squared norms in the limit, for n examples.
# value: "lambda n: -n"
# at: [{n: 6}, {n: 50}, {n: 2}]
# wrong:
# - value: "lambda n: 0"
#   says: That is so for starts near zero. Here the weights are not small at the start.
# - value: "lambda n: n"
#   says: Which of the two is subtracted?
# - value: "lambda n: -(n**0.5)"
#   says: That is a norm. Squares are conserved.
# - value: "lambda n: -n * n"
#   says: What is the squared norm of a vector of ones?
# minutes: 7
# level: 1
# ```
#
# ```{answer} ex-balanced-branch
# asks: What decides the branch?
# choices:
# - text: the sign of the trace of P at the start
#   says: P is zero at the start. In which direction does it set out?
# - text: the sign of the sum of all relevances, one for each example
# - text: the sign of the first relevance
#   says: All weights are one at the start, so no example stands out.
# - text: chance, as both branches are as near
#   says: The flow is determined, and P sets out with a sign.
# minutes: 4
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# One quantity is conserved. For the branch, follow the sign of $\tr(\Sigma Q) = \tr(\Sigma_x C\, \Sigma_x P)$ from the start.
# ```
#
# ````{solution} ex-balanced
# :class: dropdown
#
# The conserved quantity is $-n$ at the start and in the limit. Where $\risk < M$, the one term of the risk that can be negative is negative, so $(r^\top \omega) \tr(\Sigma Q) > 0$, and $\tr(\Sigma Q) = \tr(\Sigma_x C \Sigma_x P)$ keeps its sign. It
# starts at zero, with derivative $2\, (\ones^\top r) \norm{\Sigma_x C \Sigma_x}_F^2$. So the branch has the sign of $\ones^\top r$. If that is zero, the start is critical and nothing moves.
#
# ```python
# start = np.concatenate([np.zeros(dist.d**2), np.ones(dist.n)])
# end = flow(gradient, start, tolerance=1e-7 * dist.M).y[:, -1]
# assert abs(conserved(end) + dist.n) < 1e-5  # what the integrator drifts, and more
# assert np.sign(np.trace(SxCSx @ split(end)[0])) == np.sign(dist.r @ dist.counts)
# ```
# ````
#
# ```{exercise} Compute: the fastest hyperbola
# :label: ex-fastest-hyperbola
#
# Which value of $\norm{P}_F^2 - \norm{\omega}^2$ converges fastest in the end? Find it for the distribution of this page, and compare its rate with those at $\pm 30$.
# ```
#
# ```{answer} ex-fastest-hyperbola
# asks: How many times as fast as at -30, and as at 30, is the fastest?
# value: "speed[fastest] / speed[[0, -1]]"
# within: 2%
# wrong:
# - value: "(lambda c: c(0)[-1] / np.array([c(-30)[-1], c(30)[-1]]))(lambda k: np.linalg.eigvalsh(hessian(gradient, on_branch(1, k))))"
#   says: That compares the largest curvatures. The slowest direction decides in the end.
# - value: "(speed[fastest] / speed[[0, -1]]) ** 0.5"
#   says: A flow, without momentum, goes at the rate of the curvature itself, not of its root.
# - value: "[1, 1]"
#   says: The scale changes what P and the weights count. Compute the curvature along the branch.
# minutes: 7
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The rate is twice the smallest curvature of `curvature(on_branch(1, k))`. Scan $k$ between the two.
# ```
#
# ````{solution} ex-fastest-hyperbola
# :class: dropdown
#
# One near zero: it is 47.2 times as fast as $-30$ and 43.8 times as fast as $30$. With large $\norm{P}$ and small $\omega$ the directions of $P$ are flat, as $P$ enters the risk only times $\omega$; with large $\omega$ and small $P$ it is the other way
# round.
#
# ```python
# scales = np.linspace(-30, 30, 121)
# speed = np.array([2 * curvature(on_branch(1, k))[0] for k in scales])
# fastest = speed.argmax()
# assert abs(scales[fastest]) <= 0.5  # a step of the scan
# assert (np.diff(speed[: fastest + 1]) > 0).all() and (
#     np.diff(speed[fastest:]) < 0
# ).all()
# assert np.allclose(speed[fastest] / speed[[0, -1]], [47.2, 43.8], rtol=0.01)
# ```
# ````
#
# ```{exercise} Explore: steps instead of a flow
# :label: ex-steps-not-flow
#
# Gradient descent takes steps of size $\eta$. By how much does one step change $\norm{P}_F^2 - \norm{\omega}^2$? How does the whole drift depend on $\eta$, and is the end still on the branch?
# ```
#
# ```{answer} ex-steps-not-flow
# asks: With a fifth of the step, to which share of itself does the whole drift fall?
# value: 1 / 5
# wrong:
# - value: 1 / 25
#   says: That is the drift of one step. There are five times as many.
# - value: 1
#   says: Only the flow conserves it for every step. How does the drift of one step depend on its size?
# - value: 5
#   says: Smaller steps are nearer to the flow, which does not drift.
# minutes: 7
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Expand the squares. The term of first order in $\eta$ vanishes, for the reason given in step 1 of the proof.
# ```
#
# ````{solution} ex-steps-not-flow
# :class: dropdown
#
# By exactly $\eta^2 \bigl( \norm{\partial_P \risk}_F^2 - \norm{\partial_\omega \risk}^2 \bigr)$. Over about $1/\eta$ steps this adds up to a drift of order $\eta$: half the step, half the drift. The end is on the branch, at the scale
# that the drifted quantity gives.
#
# ```python
# def drift(eta, time=60.0):
#     at = np.concatenate([0.3 * np.eye(3).ravel(), 0.2 * np.ones(dist.n)])
#     first, predicted = conserved(at), 0.0
#     for _ in range(int(time / eta)):
#         G, g = split(gradient(at))
#         predicted += eta**2 * (np.sum(G * G) - g @ g)
#         at = at - eta * gradient(at)
#     assert np.isclose(conserved(at) - first, predicted, atol=1e-10)
#     assert abs(risk(at) - best.risk) < 1e-6 * dist.M
#     assert np.allclose(
#         at, on_branch(np.sign(split(at)[1] @ r_n), conserved(at)), atol=1e-2
#     )
#     return predicted
#
#
# whole, half_step = drift(0.02), drift(0.01)
# assert np.isclose(whole / half_step, 2, rtol=0.01)
# ```
# ````

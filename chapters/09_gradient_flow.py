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
# ---

# %% [markdown]
# # Does gradient flow find it?
#
# **Where we are.** A unique minimiser is one thing, finding it is another: the fourth reviewer asked whether training gets there. The authors answered that the landscape suggests it. For
# the risk of WPGD itself one can prove it, and this page does. For training a layer of gated attention the question stays open, and the page ends by saying why.
#
# ```{symbols}
# P omega risk M R r gamma
# ```
#
# Gradient flow is gradient descent with steps so small that they make a curve: $\dot P = -\partial_P \risk$, $\dot\omega = -\partial_\omega \risk$, with $P \in \R^{d \times d}$ and
# $\omega \in \R^n$, one weight per example.
#
# ```{prf:theorem} Gradient flow (Theorem C)
# :label: thm-gradient-flow
#
# *New here.* Let $\Sigma_x$ be nonsingular and $r \neq 0$. For gradient flow on $\risk(P, \omega)$:
#
# 1. $\norm{P}_F^2 - \norm{\omega}^2$ does not change along the flow.
# 2. Every flow is bounded, exists for all time, and converges to one critical point.
# 3. From almost every start it ends at a non-trivial stationary point with $F'(\gamma) \le 1$.
# 4. If the non-trivial stationary point is unique up to scale, then from almost every start, from *every* start with $\risk < M$, and from every non-critical start with $\risk = M$, it ends at a
#    global minimiser. If $F' < 1$ there, it converges exponentially fast.
#
# The global minimisers form two branches, $c > 0$ and $c < 0$ in $(cP, \omega/c)$, and each branch meets each value of the conserved quantity once.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-gradient-flow)=
# ```{prf:proof}
# **1.** $\risk(cP, \omega/c)$ does not depend on $c$. Its derivative at $c = 1$ says $\langle P, \partial_P \risk \rangle = \langle \omega, \partial_\omega \risk \rangle$. So
# $\frac{d}{dt} (\norm{P}_F^2 - \norm{\omega}^2) = -2 \langle P, \partial_P \risk \rangle + 2 \langle \omega, \partial_\omega \risk \rangle = 0$.
#
# **2.** Let $z = \norm{\omega} \norm{Q}_F$. By Cauchy and Schwarz $|(r^\top \omega) \tr(\Sigma Q)| \le \norm{r} \norm{\Sigma}_F\, z$, and the last term of the risk is not negative, so
# $\risk \ge M - 2 \norm{r} \norm{\Sigma}_F\, z + M z^2$. Along the flow $\risk$ does not increase, so $z$ stays bounded. As $\norm{Q}_F \ge s_{\min}(\Sigma_x) \norm{P}_F$, so does
# $\norm{\omega} \norm{P}_F$. With $\norm{P}_F^2 = \norm{\omega}^2 + c$ this bounds both: the product $\norm{\omega}^2 (\norm{\omega}^2 + c)$ tends to infinity with $\norm{\omega}$. A bounded flow
# exists for all time. The risk is a polynomial, and a bounded gradient flow of an analytic function converges to a single critical point (Łojasiewicz).
#
# **3.** *The trivial critical points are strict saddles.* By {prf:ref}`thm-stationary-points` they are $(0, \omega)$ with $r^\top \omega = 0$ and $(P, 0)$ with $\tr(\Sigma Q) = 0$, and have
# $\risk = M$. Choose $A$ and $u$ with $\tr(\Sigma \hat A) \neq 0$, $\hat A = \Sigma_x^{1/2} A \Sigma_x^{1/2}$, and $r^\top u \neq 0$. At $(0, \omega_0)$, in the plane $(\epsilon A, \omega_0 + \tau u)$,
#
# $$
# \risk = M - 2 \epsilon \tau\, (r^\top u) \tr(\Sigma \hat A) + \epsilon^2 q + \text{higher order},
# $$
#
# so the Hessian there is $\begin{pmatrix} 2q & -b \\ -b & 0 \end{pmatrix}$ with $b = 2 (r^\top u) \tr(\Sigma \hat A) \neq 0$: its determinant is negative, and one eigenvalue is. The same holds
# at $(P_0, 0)$ with the roles exchanged. A non-trivial point with $F' > 1$ has a negative eigenvalue by {prf:ref}`prop-index`.
#
# *Almost no start ends at a strict saddle.* These points are not isolated, so we argue locally. Let $\phi$ be the time-one map of the flow; it is defined everywhere by 2, smooth, injective, and its derivative
# is invertible, so preimages of null sets are null sets. A strict saddle $z$ is a fixed point of $\phi$ at which the derivative has an eigenvalue above one. By the centre-stable manifold theorem there are a neighbourhood
# $B_z$ and a manifold $W_z$ of dimension less than full, such that a point whose iterates all stay in $B_z$ lies in $W_z$. Countably many of the $B_z$ cover the set of strict saddles. If a flow converges to
# a strict saddle, its iterates stay in one of these from some time $k$ on, so its start lies in $\phi^{-k}(W_z)$. The union of these sets over countably many $z$ and all $k$ is a null set.
#
# By 2 the flow converges to some critical point; almost surely it is none of the above.
#
# **4.** Now all non-trivial stationary points are the two branches $c > 0$ and $c < 0$, and these are the global minimisers, as a minimum exists and is non-trivial. So 3 gives the first claim. If $\risk < M$ at
# the start, the limit has $\risk < M$ and is not trivial. If $\risk = M$ and the start is not critical, the risk is below $M$ at once. If $F' < 1$ the minimum is non-degenerate up to scale ({prf:ref}`prop-index`), and the
# scale orbit crosses the level sets of the conserved quantity, so on a level set the Hessian is positive definite, and convergence is exponential.
#
# *The branches.* On a branch $\norm{cP}_F^2 - \norm{\omega/c}^2 = c^2 \norm{P}_F^2 - \norm{\omega}^2 / c^2$ increases in $|c|$ from $-\infty$ to $\infty$.
# ```
# ````
#
# ## Many starts
#
# We integrate the flow with the exact gradient, from starts of all sizes and signs, with general features, tasks and noise. Three things are asserted for every start: the conserved quantity stays, the risk ends at the
# closed form, and so do the weights. The integrator works to a relative $10^{-9}$, so the conserved quantity may drift by a little more than that; we allow $10^{-6}$.

# %%
import numpy as np
from glalib import (
    PromptDistribution,
    optimal_wpgd,
    plotting,
    stationary_points,
    uniqueness,
)
from glalib.prompts import psd_root
from scipy.integrate import solve_ivp

plotting.use_style()


def problem(dist):
    """The risk of the n weights, and its gradient, as functions of one flat vector."""
    index = dist.task_index
    R, r = dist.R[np.ix_(index, index)], dist.r[index]
    half, d, M = psd_root(dist.Sx), dist.d, dist.M
    Sigma = half @ dist.C @ half

    def split(flat):
        return flat[: d * d].reshape(d, d), flat[d * d :]

    def risk(flat):
        P, omega = split(flat)
        Q = half @ P @ half
        square, agreement = omega @ omega, omega @ R @ omega
        quadratic = M * square * np.sum(Q * Q) + (square + agreement) * np.sum(
            (Q @ Sigma) * Q
        )
        return M - 2 * (r @ omega) * np.sum(Sigma * Q) + quadratic

    def gradient(flat):
        P, omega = split(flat)
        Q = half @ P @ half
        square, agreement = omega @ omega, omega @ R @ omega
        trace, spread = np.sum(Sigma * Q), np.sum((Q @ Sigma) * Q)
        dQ = (
            -2 * (r @ omega) * Sigma
            + 2 * M * square * Q
            + 2 * (square + agreement) * Q @ Sigma
        )
        domega = (
            -2 * trace * r
            + 2 * (M * np.sum(Q * Q) + spread) * omega
            + 2 * spread * R @ omega
        )
        return np.concatenate([(half @ dQ @ half).ravel(), domega])

    return split, risk, gradient


def flow(dist, start, time):
    _, _, gradient = problem(dist)
    return solve_ivp(
        lambda t, x: -gradient(x),
        (0, time),
        start,
        method="LSODA",
        rtol=1e-9,
        atol=1e-12,
    )


rng = np.random.default_rng(0)
B = rng.normal(size=(3, 3))
dist = PromptDistribution(
    d=3,
    counts=(2, 3, 1),
    r=(0.3, 0.7, -0.2),
    R=[[1, 0.3, 0], [0.3, 1, -0.2], [0, -0.2, 1]],
    sigma=0.5,
    Sx=np.diag([1.0, 0.6, 0.3]),
    C=B @ B.T / 3,
)
split, risk, gradient = problem(dist)

# The gradient against difference quotients, at a random point.
x = rng.normal(size=dist.d**2 + dist.n)
steps = 1e-6 * np.eye(x.size)
quotients = [(risk(x + e) - risk(x - e)) / 2e-6 for e in steps]
assert np.allclose(
    gradient(x), quotients, rtol=1e-6, atol=1e-6 * np.abs(quotients).max()
)

# %% tags=["asserts-thm-gradient-flow"]
best = optimal_wpgd(dist)
assert uniqueness(dist).holds_sharp and len(stationary_points(dist)) == 1


def conserved(flat):
    P, omega = split(flat)
    return np.sum(P * P) - omega @ omega


ends, below_M = [], 0
for _ in range(40):
    size = 10 ** rng.uniform(-1.5, 0.5)
    start = size * rng.normal(size=dist.d**2 + dist.n)
    path = flow(dist, start, time=2_000)
    end = path.y[:, -1]
    scale = np.sum(start**2)
    assert abs(conserved(end) - conserved(start)) < 1e-6 * scale
    # Bounded: the proof's bound on |omega| |Q|, at every time.
    norms = [
        np.linalg.norm(split(y)[0]) * np.linalg.norm(split(y)[1]) for y in path.y.T
    ]
    assert np.isfinite(norms).all()
    risks = np.array([risk(y) for y in path.y.T])
    assert (np.diff(risks) < 1e-8 * max(dist.M, risks[0])).all()
    assert abs(risks[-1] - best.risk) < 1e-8 * dist.M
    omega = split(end)[1]
    omega /= omega[np.abs(omega).argmax()]
    target = dist.expand(best.omega)
    assert np.allclose(omega, target / target[np.abs(target).argmax()], atol=1e-4)
    ends.append(np.sign(np.trace(split(end)[0])))

assert {-1.0, 1.0} == set(ends)  # both branches are reached

# A start with risk exactly M that is not critical: P = 0, all weights one.
start = np.concatenate([np.zeros(dist.d**2), np.ones(dist.n)])
assert risk(start) == dist.M and np.abs(gradient(start)).max() > 0
assert abs(risk(flow(dist, start, time=2_000).y[:, -1]) - best.risk) < 1e-8 * dist.M


# %% [markdown]
# The trivial points are saddles, and the proof names the plane in which one sees it:


# %%
def hessian_in_plane(point, A, u, step=1e-4):
    A, u = np.concatenate([A.ravel(), 0 * u]), np.concatenate([0 * A.ravel(), u])

    def f(i, j):
        return risk(point + i * step * A + j * step * u)

    mixed = (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1)) / (4 * step**2)
    first, second = (
        (f(1, 0) - 2 * f(0, 0) + f(-1, 0)) / step**2,
        (f(0, 1) - 2 * f(0, 0) + f(0, -1)) / step**2,
    )
    return np.array([[first, mixed], [mixed, second]])


r_n = dist.r[dist.task_index]
orthogonal = np.linalg.svd(r_n[None])[2][1]  # r . omega = 0
off = np.diag([1.0, 0.0, 0.0]) - np.diag([0.0, 1.0, 0.0])
SxCSx = dist.Sx @ dist.C @ dist.Sx
off[1, 1] = -SxCSx[0, 0] / SxCSx[1, 1]  # tr(Sigma Q) = tr(Sx C Sx P) = 0
trivial = (
    np.concatenate([np.zeros(9), orthogonal]),
    np.concatenate([off.ravel(), np.zeros(dist.n)]),
    np.zeros(9 + dist.n),
)
for point in trivial:
    assert (
        np.abs(gradient(point)).max() < 1e-12 and abs(risk(point) - dist.M) < 1e-12
    )
    assert np.linalg.det(hessian_in_plane(point, np.eye(3), r_n)) < -1e-3

# %% [markdown]
# ## The picture

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-flows", "caption": "Twelve gradient flows: excess risk over the closed-form optimum against time. Small starts wait near the saddle at the origin, then all fall exponentially fast, at one rate in the end."}}
import matplotlib.pyplot as plt

rng = np.random.default_rng(1)
times = np.concatenate([[0], np.geomspace(1e-2, 120, 200)])
record = {"start": [], "time": [], "excess_over_M": []}
fig, ax = plt.subplots(figsize=(6.6, 3.6))
for k in range(12):
    size = (0.003, 0.1, 1.0)[k % 3]
    start = size * rng.normal(size=dist.d**2 + dist.n)
    path = solve_ivp(
        lambda t, x: -gradient(x),
        (0, 120),
        start,
        method="LSODA",
        t_eval=times,
        rtol=1e-11,
        atol=1e-14,
    )
    excess = np.array([risk(y) - best.risk for y in path.y.T]) / dist.M
    style = {
        "color": plotting.TASKS[k % 3],
        "linestyle": ("-", "--", ":")[k % 3],
        "linewidth": 1.6,
    }
    ax.semilogy(
        times,
        np.maximum(excess, 1e-13),
        label=f"start of size {size:g}" if k < 3 else None,
        **style,
    )
    record["start"] += [k] * len(times)
    record["time"] += list(times)
    record["excess_over_M"] += list(excess)
ax.set(xlabel="time", ylabel=r"(risk $-$ optimum) / $M$", ylim=(1e-11, 30))
_ = ax.legend()

# %% tags=["remove-input"]
plotting.FigureData(
    "flows", record, distribution=dist, integrator="LSODA, rtol 1e-11", seed=1
)

# %% [markdown]
# ## Break it
#
# **Without uniqueness** the flow may end at the wrong minimum, and from whole regions of starts, not by bad luck. Here is the smaller example with two minima from
# the page on uniqueness. By symmetry we can follow it in four numbers: $P$ has two different eigenvalues, and there are two blocks.

# %%
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

lam, rho, M = np.array(counts, float), np.sqrt(counts) * two_wells.r, two_wells.M
s_two, times_two = np.array([1.0, s_small]), np.array([1.0, copies])


def reduced_gradient(x):
    """In q (eigenvalues of Q) and v (block weights), each times root multiplicity."""
    q, v = x[:2], x[2:]
    root = np.sqrt(times_two)
    square, agreement = v @ v, v @ (lam * v)
    trace, norm, spread = (root * s_two) @ q, q @ q, (s_two * q) @ q
    dq = (
        -2 * (rho @ v) * root * s_two
        + 2 * M * square * q
        + 2 * (square + agreement) * s_two * q
    )
    dv = -2 * trace * rho + 2 * (M * norm + spread) * v + 2 * spread * lam * v
    return np.concatenate([dq, dv])


def limit_gamma(start):
    path = solve_ivp(
        lambda t, x: -reduced_gradient(x),
        (0, 1e6),
        start,
        method="LSODA",
        rtol=1e-9,
        atol=1e-13,
    )
    v = path.y[2:, -1]
    return 1 + v @ (lam * v) / (v @ v)


angles = np.linspace(0.01, np.pi / 2 - 0.01, 25)
limits = np.array(
    [limit_gamma(np.array([0.02, 0.02, np.cos(a), np.sin(a)])) for a in angles]
)
gammas = np.array([point.gamma for point in points])
where = np.abs(np.log(limits[:, None] / gammas)).argmin(1)
assert np.allclose(limits, gammas[where], rtol=1e-3)
shares = {
    name: int((where == k).sum())
    for k, name in enumerate(("global", "local", "saddle"))
}
assert shares["saddle"] == 0 and shares["local"] > 0 and shares["global"] > 0
shares

# %% [markdown]
# **At a trivial point** nothing moves: the theorem's "almost every" is needed.

# %%
stuck = flow(dist, trivial[0], time=100).y[:, -1]
assert np.abs(stuck - trivial[0]).max() < 1e-9

# %% [markdown]
# ## What stays open
#
# This is gradient flow on the population risk of WPGD. Training a gated layer moves other coordinates: attention matrices $P_q, P_k$ with $P = P_q P_k^\top$, and gates whose products are the weights. The critical
# points of that problem include all those where the map from parameters to $(P, \omega)$ is degenerate, such as gates at zero; weights are bound to $0 \le \omega_1 \le \dots \le \omega_n \le 1$; and training sees samples, not
# the population. None of the steps 1 to 4 carries over as it stands. We know of no proof and of no counterexample.
#
# ## Exercise
#
# ```{exercise}
# :label: ex-balanced
#
# Start from $P = 0$ and $\omega = \ones$. To which scale does the flow converge, that is, what is $\norm{P}_F^2 - \norm{\omega}^2$ in the limit? Which branch is it?
# ```
#
# ````{solution} ex-balanced
# :class: dropdown
#
# The conserved quantity is $-n$ at the start and in the limit. At the start $\partial_P \risk = -2 (\ones^\top r)\, \Sigma_x C \Sigma_x$, so $P$ moves along $\Sigma_x C \Sigma_x$ with the sign of $\ones^\top r$. For $\Sigma_x = C = I$ the
# flow stays in a plane on which $\tr P$ cannot change its sign below $M$, so the branch has that sign.
#
# ```python
# start = np.concatenate([np.zeros(dist.d**2), np.ones(dist.n)])
# end = flow(dist, start, time=2_000).y[:, -1]
# assert abs(conserved(end) + dist.n) < 1e-6
# assert np.sign(np.trace(split(end)[0])) == np.sign(dist.r @ dist.counts)
# ```
# ````

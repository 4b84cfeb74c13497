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
#   settles: the largest number of stationary points that given numbers of eigenvalues
#     allow
# ---

# %% [markdown]
# # How many stationary points?
#
# How many stationary points can the risk have, and how many minima?
#
# {doc}`uniqueness` has conditions for one, and an example with three. Here is the whole answer. The number is limited by how many *different*
# eigenvalues the tasks and the features have, and as many as this limit allows there can be. Tasks and features turn out to play the same part,
# and that is half of the proof.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-how-many", "caption": "Two staircases meet seven times, and four bumps make four minima. Left: three eigenvalues of the tasks and three of the features, and as many stationary points as three and three allow. They are where $\\gamma$, told by the tasks (dashed), and $m$, told by the features (full line), agree. Right: the risk along the best weights for four tasks, with a minimum for each; the second was chosen to be the global one. Full dots: minima."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import PromptDistribution, plotting, stationary_points
from glalib.fixed_points import fixed_points
from glalib.risk import h1, h2, slope

plotting.use_style()


def mean(levels, weights, other):
    """The mean of levels by weights / (1 + other levels)^2; other may be an array."""
    terms = weights / (1 + np.multiply.outer(other, levels)) ** 2
    return (terms * levels).sum(-1) / terms.sum(-1)


def F(gamma, tasks, features):
    """tasks: 1 + lambda, a^2; features: s / M, copies s^2. No matrix is made."""
    return mean(*tasks, mean(*features, gamma))


def points_of(tasks, features):
    ends = tasks[0].min(), tasks[0].max()
    return fixed_points(lambda gamma: F(gamma, tasks, features), *ends)


def staggered(k, l, base):
    """k levels of tasks and l >= k of features; and where F is steepest, in logs."""
    e, far = k - 2, 6.0 ** np.arange(l - k + 1)
    tau = np.append(np.arange(e + 1) - 0.5, e + far[-1] / 2)
    sigma = np.append(np.arange(e + 1.0), e + 0.75 * far)
    E, D = np.arange(e + 1.0), np.append(np.arange(e) + 0.5, e + far / 2)
    A = base ** np.cumsum(np.append(0, tau[1:] - E))
    b = base ** np.cumsum(np.append(0, D - sigma[:-1]) * -1)
    pairs = [(j, i) for j in range(e) for i in (j, j + 1)]
    pairs += [(j, e) for j in range(e, l - 1)]
    steep = np.sort([(2 * D[j] + E[i]) / 3 for j, i in pairs])
    return (base**tau, A), (base**-sigma, b), steep


def bumps(heights, theta):
    """The levels Lambda of the tasks, and the shares w of the variance of a label."""
    j = np.arange(len(heights))
    Z = (heights * theta**j).sum()
    return Z * theta ** (2.0 * j), heights * theta**j / Z


def of_bumps(Lam, w):
    """Tasks and features; w Lam copies of the eigenvalue M / Lam."""
    return (Lam, w), (1 / Lam, w / Lam)


fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4))
tasks, features, _ = staggered(3, 3, 1e4)
seven = points_of(tasks, features)
gamma = np.geomspace(1e-2, 1e8, 800)
by_features = gamma * mean(*features, gamma)
left.loglog(gamma, by_features, color=plotting.TASKS[0], lw=2.2)
m = np.geomspace(1e-9, 1e3, 800)
by_tasks = mean(*tasks, m)
left.loglog(by_tasks, by_tasks * m, "--", color=plotting.TASKS[1], lw=2.2)
Lam, w = bumps(np.array([1.0, 1.15, 1.0, 1.0]), 21.0)


def walk(m):
    """gamma, and the gain over c^2 M, of the best weights for m with their best P."""
    terms = w / (1 + np.multiply.outer(m, Lam))
    square = (terms**2 / w).sum(-1)
    gamma = (terms**2 / w) @ Lam / square
    of_P = (w / np.add.outer(gamma, Lam)).sum(-1)
    return gamma, terms.sum(-1) ** 2 / square * of_P


path, gain = walk(1 / np.geomspace(Lam[0] / 20, Lam[-1] * 1e4, 1500))
four = points_of(*of_bumps(Lam, w))
right.semilogx(path, 1 - gain / gain.max(), color=plotting.TASKS[0], lw=2.2)
for ax, points, height in (
    (left, seven, lambda x: x * mean(*features, x)),
    (right, four, lambda x: 1 - walk(1 / x)[1] / gain.max()),
):
    for number, x in enumerate(points):
        face = "0.1" if number % 2 == 0 else "white"
        ax.plot(x, height(x), "o", color="0.1", mfc=face, ms=7)
left.set(
    xlabel=r"$\gamma$", ylabel=r"$\gamma m$", xlim=(1e-2, 1e8), ylim=(2e-2, 1e2)
)
left.text(3e3, 4e1, "features", color=plotting.TASKS[0])
left.text(2e-2, 4e1, "tasks", color=plotting.TASKS[1])
left.set_xticks([1, 1e3, 1e6])
left.set_yticks([1e-2, 1, 1e2])
right.set(xlabel=r"$\gamma$", ylabel="risk: 0 the least, 1 is $M$")
_ = right.set_xticks([1e5, 1e8, 1e11])

# %% tags=["remove-input"]
plotting.FigureData(
    "how_many",
    {
        "curve": np.repeat(["features", "tasks", "walk"], [800, 800, 1500]),
        "gamma": np.concatenate([gamma, by_tasks, path]),
        "height": np.concatenate(
            [by_features, by_tasks * m, 1 - gain / gain.max()]
        ),
    },
    figure=fig,
    seed="none",
)


# %% [markdown]
# ```{symbols}
# Sigma lambda M gamma F h2 R r sigma d counts omega Lambda
# ```
#
# ```{note}
# Weights here do not read the data.
# ```
#
# ## Tasks and features trade places
#
# $\Lambda_i = 1 + \lambda_i$, as before; $m = M h/(1 - h)$ is the mean of the $s_j$ in $h = h_2(\gamma) = m/(M + m)$.
#
# ```{prf:lemma} Tasks and features trade places
# :label: lem-swap
#
# **The equations of tasks and of features are the same.**
#
# *New here.* A fixed point of $F$ is a $\gamma$ that solves, with some $m$,
#
# $$
# \begin{aligned}
# \gamma &= \frac{\sum_i \Lambda_i\, a_i^2 / (M + m \Lambda_i)^2}{\sum_i a_i^2 / (M + m \Lambda_i)^2}, \\
# m &= \frac{\sum_j s_j\, s_j^2 / (M + \gamma s_j)^2}{\sum_j s_j^2 / (M + \gamma s_j)^2} .
# \end{aligned}
# $$
#
# Always $r \ne 0$. Exchange $(\Lambda_i, a_i^2, \gamma)$ and $(s_j, s_j^2, m)$, and they remain. And all positive levels and weights occur: any positive numbers in
# the place of the distinct $\Lambda_i$ and of their $a_i^2$, of the distinct $s_j$ and of the sums of their $s_j^2$, are, up to scale, limits of those of distributions without noise and with
# independent tasks. Near the limit these have at least as many fixed points as $F(\gamma) - \gamma$ has changes of sign in the limit.
# ```
#
# ````{dropdown} Why it is true
# (proof-lem-swap)=
# ```{prf:proof}
# $1 + \lambda_i h = (M + m \Lambda_i)/(M + m)$, and the common factor cancels in $F = 1 + h_1(h) = \sum \Lambda_i u_i / \sum u_i$ with $u_i = a_i^2/(1 + \lambda_i h)^2$. The second equation
# is the definition of $h_2$.
#
# *All occur.* By homogeneity let $M = 1$. Let $A_i$ be the given weights of the $\Lambda_i$, and $b_j$ those of the $s_j$. For a number $\nu$ let $s_j$ have $d_j$ copies, the integer next to $\nu\, b_j / s_j^2$, and let $t = \sum_j d_j s_j$. Replace $s_j$ by $s_j/t$
# and $\Lambda_i$ by $t \Lambda_i$. The equations remain, with $\gamma t$ and $m/t$, and now $\sum_j d_j s_j/t = 1 = M$: there is no noise. As $\nu \to \infty$, $t \to \infty$, so that the integer $n_i$ next to $t \Lambda_i - 1$ is positive;
# independent tasks of $n_i$ examples with $r_i^2$ proportional to $A_i/n_i$, and $\norm{r} \le 1$, have these weights. Rounding changes levels and weights by relative amounts that vanish, so after scaling $F$ converges, uniformly on bounded intervals, and a change of sign of $F(\gamma) - \gamma$ is still there for large $\nu$.
# ```
# ````
#
# So a count depends on levels and weights alone, and code needs no matrices:


# %%
def system(dist):
    """Levels and weights of the tasks and of the features, at M = 1."""
    lam, a = dist.task_spectrum
    s = dist.signal_spectrum[0] / dist.M
    return (1 + lam, a**2), (s, s**2)


def exchanged(points, features):
    """The fixed points, seen from the features."""
    return np.sort(mean(*features, points))


# %% tags=["check", "asserts-lem-swap"]
def random_law(rng):
    d, K = int(rng.integers(2, 12)), int(rng.integers(1, 4))
    directions = rng.normal(size=(K + 1, K + 2))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    correlations = directions @ directions.T
    np.fill_diagonal(correlations, 1.0)
    counts = [int(c) for c in 10 ** rng.uniform(0, 6, size=K)]
    s, noise = 10 ** rng.uniform(-3, 0, size=d), rng.choice([0.0, 1.0])
    R, r = correlations[:-1, :-1], correlations[-1, :-1]
    return PromptDistribution(d, counts, r, R=R, Sx=np.diag(s), sigma=noise)


rng, worst, several = np.random.default_rng(0), 0.0, 0
wells = PromptDistribution(
    300, (1000, 1), (0.3**0.5, 0.7**0.5), Sx=np.diag([1.0] + [1 / 299] * 299)
)
for dist in [random_law(rng) for _ in range(200)] + [wells]:
    tasks, features = system(dist)
    listed = np.sort([point.gamma for point in stationary_points(dist)])
    for gamma in 10 ** rng.uniform(0, 6, size=5):
        there = 1 + h1(dist, h2(dist, gamma))
        worst = max(worst, abs(F(gamma, tasks, features) / there - 1))
    # m as the unknown, features and tasks exchanged: the same points.
    again = points_of(features, tasks)
    assert len(again) == len(listed)
    worst = max(worst, np.abs(again / exchanged(listed, features) - 1).max())
    several += len(listed) > 1
assert worst < 1e-8 and several
print(f"201 distributions: both ways the same points, to {worst:.0e}")


# %% [markdown]
# The two numbers nine of {prf:ref}`thm-cross-ratio` that are about ratios are therefore one: what is true of $\kappa(\Sigma)$ is true of $\Lambda_+/\Lambda_-$. Here are
# two distributions without noise, with multiplicities in the place of matrices. In one $\kappa(\Sigma) = 9.1$, in the other $\Lambda_+/\Lambda_- = 9.1$.


# %% tags=["check", "asserts-prop-nine-sharp", "asserts-lem-swap"]
def whole(tasks, features, N):
    """The distribution of the proof: copies, counts and r; and its own system."""
    copies = np.round(N * features[1] / features[0] ** 2)
    t = copies @ features[0]
    counts, s = np.round(t * tasks[0] - 1), features[0] / t
    r = np.sqrt(tasks[1] / counts)
    r /= 1.001 * np.linalg.norm(r)
    assert counts.min() >= 1 and copies.min() >= 1
    assert abs(copies @ s - 1) < 1e-12  # M = 1 is the trace: no noise
    return copies, counts, (1 + counts, counts * r**2), (s, copies * s**2)


def nine(kappa):
    """Two levels of features in a ratio; tasks far apart; gamma where F is steepest."""
    features = np.array([1.0, 1 / kappa]), np.array([1.0, kappa**-0.5])
    gamma, Lam = kappa**0.5, np.array([1e-5, 1e5])
    u = np.array([Lam[1] - gamma, gamma - Lam[0]])
    return (Lam, u * (1 + mean(*features, gamma) * Lam) ** 2), features


said = {}
for kappa, number in ((8.9, 1), (9.1, 3)):
    tasks, features = nine(kappa)
    for ratio, given in (
        ("kappa(Sigma)", (tasks, features)),
        ("Lambda_+/Lambda_-", (features, tasks)),
    ):
        copies, counts, tasks_of, features_of = whole(*given, N=1e8)
        level = features_of[0] if ratio[0] == "k" else tasks_of[0]
        assert abs(level.max() / level.min() / kappa - 1) < 1e-6
        points = points_of(tasks_of, features_of)
        assert len(points) == number
        if number == 3:
            between = np.sqrt(points[:-1] * points[1:])
            excess = F(between, tasks_of, features_of) / between - 1
            assert excess[0] < -1e-6 and excess[1] > 1e-6  # far above rounding
            said[ratio] = level.max() / level.min()
print(
    "no noise, three stationary points at "
    + " and at ".join(f"{name} = {value:.4f}" for name, value in said.items())
    + "; one of each at 8.9"
)

# %% [markdown]
# ## The largest number
#
# ```{prf:theorem} How many
# :label: thm-how-many
#
# **The numbers of different eigenvalues limit the number of stationary points, and the limit is reached.**
#
# *New here.* Let $r \ne 0$, let the $\lambda_i$ with $a_i \ne 0$ have $k$ different values and the non-zero $s_j$ have $l$. The non-trivial stationary points are the fixed points of $F$. If $k = 1$ or $l = 1$ there is one. Otherwise there
# are at most $2(k + l) - 5$, counted with their multiplicities as zeros of $F(\gamma) - \gamma$, and at most $k + l - 2$ of them have $F' < 1$.
#
# For all $k, l \ge 2$ there is a distribution without noise, with $k$ independent tasks, that has exactly $2 (k + l) - 5$.
# ```
#
# So $K \ge 2$ tasks in dimension $d \ge 2$ allow at most $K + d - 2$ minima that are not degenerate, and two different eigenvalues of each kind at most two. With three and three there can
# be seven points, as in the picture: more than the five that one might guess from twice the number less one.
#
# ````{dropdown} Why there are no more
# (proof-thm-how-many)=
# ```{prf:proof}
# Let $M = 1$, and let $A_i$ and $b_j$ be the total weights of the distinct levels, all positive. Write $m = \mathcal S(\gamma)$ and $\gamma = \mathcal T(m)$ for the two equations of {prf:ref}`lem-swap`, so $F = \mathcal T \circ \mathcal S$. If $k = 1$ or $l = 1$, $\mathcal T$ or $\mathcal S$ is constant. Let $k, l \ge 2$. We see $\mathcal S$ and $\mathcal T$ as rational maps
# of the Riemann sphere. At real arguments, $\infty$ included, they are means of positive levels with non-negative weights, hence positive; so every real fixed point of $F$ is positive. On $(0, \infty)$ both have negative derivatives (a covariance of strictly increasing functions, {prf:ref}`prop-monotone-map`), so $F' > 0$ there.
#
# *Critical points.* Let $p(\zeta) = \sum_j b_j/(1 + \zeta s_j)$ and $\phi = 1/p$. Then $\mathcal S = -p'/(p + \zeta p')= -\phi'/(\zeta \phi' - \phi)$, and $\mathcal S' = \phi\, \phi''/(\zeta \phi' - \phi)^2$. The $l - 1$ zeros $z_i$ of $p$ are real, simple and negative, as $p' < 0$ on the real line, and one lies between
# neighbours among the poles $-1/s_j$. As $p$ and $p'$ have no common zero, $\mathcal S$ has degree $2 (l - 1)$, and so $4l - 6$ critical points. Further, $\phi = \alpha_1 \zeta + \alpha_0 - \sum_i c_i/(\zeta - z_i)$ with $\alpha_1 > 0$ and $c_i = -1/p'(z_i) > 0$. So
# $\phi'' = -2 \sum_i c_i/(\zeta - z_i)^3$ has $3 (l - 2)$ zeros. Together with the $l$ zeros $-1/s_j$ of $\phi$ these are $4l - 6$ zeros of $\phi \phi''$, and they are the critical points: at a finite point where $\zeta \phi' - \phi$ is finite and not zero, the zeros of $\mathcal S'$ are those of $\phi \phi''$; where it is zero, $\mathcal S$ has a pole, and as $(\zeta \phi' - \phi)' = \zeta \phi''$, its order exceeds one
# by the order of the zero of $\phi''$; these already add up to all. Between neighbouring $z_i$ the sum decreases from $+\infty$ to $-\infty$, so $l - 2$ zeros of $\phi''$ are real. Hence **at most $l - 2$ pairs of conjugate critical points of $\mathcal S$ are not real, and all real ones are negative.** In the same way $\mathcal T$ has at most $k - 2$ such pairs.
#
# *A step back.* Call a domain symmetric if it is its own mirror image in the real line. Let $V$ be a symmetric, simply connected domain that meets the real circle in an interval $\mathcal S(J)$, where $J$ is an interval in $(0, \infty)$. Let $V'$ be the component of $\mathcal S^{-1}(V)$ that contains $J$, and let it have no critical points of $\mathcal S$ that are not real. Then $\mathcal S$ maps $V'$ to $V$ one to one, and $V'$ is again symmetric, simply connected, and meets the real circle in $J$.
# For the upper half $U$ of $V$ is simply connected (map $V$ to the disc by a map that is real on the reals). The component of $V' \cap \mathcal S^{-1}(U)$ next to $J$ contains no real points, as $\mathcal S$ is real at these, so no critical points; $\mathcal S$ maps it properly to $U$, so it is a covering, and one to one. Its inverse continues the inverse of $\mathcal S$ on $J$, where $\mathcal S' < 0$, and by reflection it continues to all of $V$. The image of this inverse on $V$ is open, and closed in $V'$ because it is a section of $\mathcal S$, so it is $V'$. The same holds for $\mathcal T$.
#
# *Basins.* Let $\gamma^\star$ be a fixed point with $F' < 1$ that lies between two others, with no others between. Its immediate basin $\mathcal B$, and that of $\mathcal S(\gamma^\star)$ under $\mathcal S \circ \mathcal T$, are symmetric. Suppose that the first contains no critical point of $\mathcal S$ off the real line, and the second none of $\mathcal T$. Start with a small disc $V$ about $\gamma^\star$ with $F(V) \subset V$ and take steps back by $\mathcal T$ and by $\mathcal S$ in turns, always the component that holds $\gamma^\star$ or $\mathcal S(\gamma^\star)$; these stay in the two basins. Real parts stay in the interval between the two neighbours, which $F$ maps onto itself, and its image under $\mathcal S$. So each step is one to one and leads to a simply connected domain, and these domains grow to $\mathcal B$. So $\mathcal B$ is simply connected, $F$ maps it one to one onto itself, and it omits the two neighbours. By Schwarz's lemma $\lvert F'(\gamma^\star) \rvert = 1$, a contradiction.
# So **the basins of each such point hold a pair of critical points of $\mathcal S$ or of $\mathcal T$ that are not real.** Basins of different points are disjoint, and there are at most $k + l - 4$ pairs. With the smallest and the largest fixed point, at most $k + l - 2$ have $F' < 1$. If no fixed point has $F' = 1$, they alternate and the two at the ends have $F' < 1$, so there are at most $2 (k + l - 2) - 1$ in all.
#
# *Multiplicity.* $F$ has degree $4 (k-1)(l-1) > 1$, so multiplicities are finite. At a zero $\gamma^\star$ of order $\mu \ge 2$ of $F(\gamma) - \gamma$ there are $\mu - 1$ attracting petals with disjoint immediate basins, each with a critical point of $F$ {cite}`milnor2006dynamics`. Petals off the real line come in conjugate pairs of disjoint basins. These do not meet the real circle, nor do their images, so their critical points are not real, and they use up a pair. A petal along the real line, on the side where $F$ moves points towards $\gamma^\star$, uses up a pair as above if another
# fixed point lies on that side: start with a symmetric petal $V$ in the place of the disc. If all steps were one to one, the coordinate on $V$ in which $F$ is a shift by one would continue to a one-to-one map of the basin onto the plane, which is impossible as the basin omits more than one point. Let a *class* be a simple fixed point with $F' < 1$, a petal along the real line, or a pair off it. If $F(\gamma) - \gamma$ goes from $+$ to $-$ at a zero of order $\mu$ there are $(\mu + 1)/2$ classes, if from $-$ to $+$, $(\mu - 1)/2$, and if the sign stays, $\mu/2$. The first kind
# is one more than the second, so with $\nu$ zeros in all there are $(\nu + 1)/2$ classes. Each uses up a pair, but for at most two: to the left of the smallest fixed point, and to the right of the largest. So $(\nu + 1)/2 \le k + l - 2$.
# ```
# ````
#
# ````{dropdown} Why there can be that many
# ```{prf:proof}
# By {prf:ref}`lem-swap` we may take $k \le l$, and levels and weights as we like. Take powers of a number $L$. With $e = k - 2$ let
#
# $$
# \begin{aligned}
# \Lambda_i = L^{\tau_i}: &\quad \tau_i = i - \tfrac12 \text{ for } 0 \le i \le e, \quad \tau_{e+1} = e + \tfrac12 6^{l-k}; \\
# s_j = L^{-\xi_j}: &\quad \xi_j = j \text{ for } 0 \le j \le e, \quad \xi_{e+1+i} = e + \tfrac34 6^i \text{ for } 0 \le i \le l - k; \\
# \frac{A_{i+1}}{A_i} = L^{\tau_{i+1} - \epsilon_i}: &\quad \epsilon_i = i \text{ for } 0 \le i \le e; \\
# \frac{b_j}{b_{j+1}} = L^{\delta_j - \xi_j}: &\quad \delta_j = j + \tfrac12 \text{ for } j < e, \quad \delta_{e+i} = e + \tfrac12 6^i \text{ for } 0 \le i \le l - k .
# \end{aligned}
# $$
#
# Each $\delta_j$ lies between $\xi_j$ and $\xi_{j+1}$, each $\epsilon_i$ between $\tau_i$ and $\tau_{i+1}$. Let $\gamma = L^u$ and $m = L^{-t}$. A sum of $l$ positive terms is its largest term times a factor from $1$ to $l$, and $1 + L^z$ is $L^{\max(0, z)}$ times one from $1$ to $2$. So
# $-\log_L \mathcal S(\gamma)$ is within $\log_L (4l)$ of a piecewise linear function of $u$: it has the value $\xi_j$ around $u = \xi_j$, and is $2u - \delta_j$ for $\frac12 (\xi_j + \delta_j) \le u \le \frac12 (\delta_j + \xi_{j+1})$. To see it, compare neighbouring terms: in the denominator the terms of $j$ and $j + 1$ are as $L^{\delta_j - \xi_j} L^{-2(u - \xi_j)}$ between $u = \xi_j$ and $\xi_{j+1}$, and constant outside; in the numerator as $L^{\xi_{j+1} - \xi_j}$ times that. So $j + 1$ takes over from $j$ at $u = \frac12 (\xi_j + \delta_j)$ in the denominator, and only at $\frac12 (\delta_j + \xi_{j+1})$ in the numerator; all these places are in order. Likewise $\log_L \mathcal T(m)$ is within $\log_L (4k)$ of one that is $\tau_i$ around $t = \tau_i$, and $2t - \epsilon_i$ for $\frac12 (\tau_i + \epsilon_i) \le t \le \frac12 (\epsilon_i + \tau_{i+1})$. Slopes are at most $2$. So $\log_L F$ is within
# $\log_L (4k) + 2 \log_L (4l)$ of the composition, which has slope $4$ around $u = \frac13 (2 \delta_j + \epsilon_i)$, where it meets the diagonal with $t = \frac13 (\delta_j + 2 \epsilon_i)$, if these lie in the two intervals.
#
# They do for the pairs $(\delta_j, \epsilon_j)$ and $(\delta_j, \epsilon_{j+1})$, $j < e$, and $(\delta_j, \epsilon_e)$, $j \ge e$: $(2e) + (l - k + 1) = k + l - 3$ pairs. For $(\delta_j, \epsilon_j)$, for example, $u = j + \frac13 \in [j + \frac14, j + \frac34]$ and $t = j + \frac16 \in [j - \frac14, j + \frac14]$; for $(\delta_{e + i}, \epsilon_e)$, $i \ge 1$, $u = e + \frac13 6^i \ge e + \frac{5}{16} 6^i$ and $t = e + \frac16 6^i \le e + \frac14 6^{l - k}$. The distance
# to the ends is at least $\frac1{12}$ in $u$ and in $t$, so the slope is $4$ for $u$ within $\frac1{24}$, and these $u$ lie at least $\frac13$ apart. At a distance of $\frac1{24}$ the composition is $\frac18$ below the diagonal on the left, and above it on the right. So if $L > (4k)^8 (4l)^{16}$, $F(\gamma) - \gamma$ changes its sign from $-$ to $+$ near each of the $k + l - 3$ places. Before, after, and between them it changes from $+$ to $-$: $2 (k + l - 3) + 1$ changes of sign. There are no more fixed points by the first part.
# ```
# ````
#
# The bound on $L$ is generous: ten thousand is enough up to five and five.

# %% tags=["check", "asserts-thm-how-many"]
reached = {}
for k in range(2, 6):
    for l in range(k, min(k + 2, 5) + 1):  # at k + 3 powers leave float64
        tasks, features, steep = staggered(k, l, 1e4)
        ends = np.sort(np.append(steep - 1 / 24, steep + 1 / 24))
        excess = F(1e4**ends, tasks, features) / 1e4**ends - 1
        # From below the diagonal to above it, by far more than rounding.
        assert (excess[::2] < -0.1).all() and (excess[1::2] > 0.1).all()
        for given in ((tasks, features), (features, tasks)):
            assert len(points_of(*given)) == 2 * (k + l) - 5
        reached[k, l] = 2 * (k + l) - 5
# As a distribution: integer counts and multiplicities, no noise.
copies, counts, tasks_of, features_of = whole(*staggered(3, 3, 1e4)[:2], N=1e5)
assert len(points_of(tasks_of, features_of)) == reached[3, 3] == 7
print(
    f"{len(reached)} pairs (k, l): all reach 2(k + l) - 5, up to {max(reached.values())}"
)


# %% [markdown]
# Does a search find more? And is the proof right about *why* there are no more? At three and three, $\mathcal S$ and $\mathcal T$ have one pair of complex critical points each, and there are four minima. So the two that are not at the ends must attract one pair
# each, under iteration of $F$.


# %% tags=["check", "asserts-thm-how-many"]
def draw(rng, k, l, spread):
    """The picture's family with all levels and weights multiplied at random."""
    return tuple(
        tuple(x * 10 ** (spread * rng.normal(size=len(x))) for x in given)
        for given in staggered(k, l, 1e4)[:2]
    )


def crossings(tasks, features):
    gamma = np.geomspace(tasks[0].min(), tasks[0].max(), 400)
    excess = F(gamma, tasks, features) / gamma - 1
    sign = np.sign(excess[np.abs(excess) > 1e-12])
    return int(np.count_nonzero(np.diff(sign)))


rng, most = np.random.default_rng(0), {}
for k, l in ((2, 2), (2, 3), (3, 3)):
    found = [crossings(*draw(rng, k, l, spread)) for spread in [0.2, 1.0] * 400]
    # The extremal draws reach the bound, and none is above it.
    assert max(found) == 2 * (k + l) - 5 and found.count(max(found)) > 80
    most[k, l] = max(found)


def complex_critical(levels, weights):
    """One of the critical points off the real line, for three levels."""
    (x, y, z), (a, b, c) = levels, weights
    # The numerator of p, whose zeros are z_1 and z_2.
    quadratic = [
        a * y * z + b * x * z + c * x * y,
        a * (y + z) + b * (x + z) + c * (x + y),
        a + b + c,
    ]
    zeros = np.roots(quadratic)
    slope_at = [-(weights * levels / (1 + t * levels) ** 2).sum() for t in zeros]
    # c_1 / (t - z_1)^3 + c_2 / (t - z_2)^3 = 0, with c_i = -1 / p'(z_i)
    ratio = -np.cbrt(slope_at[1] / slope_at[0]) * np.exp(2j * np.pi / 3)
    return (zeros[0] - ratio * zeros[1]) / (1 - ratio)


tasks, features, _ = staggered(3, 3, 1e3)
points = points_of(tasks, features)
of_f = complex_critical(*features)
of_g = mean(*tasks, complex_critical(*tasks))
ends = []
for gamma in (of_f, of_g):
    for _ in range(100):
        gamma = F(gamma, tasks, features)
    ends.append(int(np.argmin(np.abs(np.log(points / gamma)))))
    assert abs(gamma / points[ends[-1]] - 1) < 1e-6
assert sorted(ends) == [2, 4] and len(points) == 7
print(
    f"2,400 draws: at most {most[2, 2]}, {most[2, 3]} and {most[3, 3]} points for (2, 2), "
    f"(2, 3), (3, 3); complex critical points go to points {ends[1] + 1} and {ends[0] + 1}"
)


# %% [markdown]
# ## Any of them can be the best
#
# Minima and saddles alternate in the order of $\gamma$ ({prf:ref}`prop-index`), so the minima are the first, the third and so on, and the last. Which of them can be the global one? In the following family any.
# Levels of tasks and features are each other's inverses, and their weights match. Then not only the number of points is clear, but the risk at each.
#
# ```{prf:proposition} A minimum for every task
# :label: prop-bumps
#
# **One bump for each task; where the sum of bumps has a peak, the risk has a minimum.**
#
# *New here.* Let $w_1, \dots, w_l > 0$, $\sum_j w_j \le 1$, and let the different $\Lambda_j$ be such that $n_j = \Lambda_j - 1$ and $d_j = w_j \Lambda_j$ are positive integers. Let the $l$ tasks be independent, with $n_j$ examples and $r_j^2 = c^2 w_j/n_j$, $\norm{r} \le 1$. Let
# $\Sigma$ have the eigenvalues $M/\Lambda_j$, $d_j$ times each. Then the fixed points of $F$ are the critical points of
#
# $$
# \Phi(\gamma) = \sum_j w_j\, \frac{\sqrt\gamma}{\gamma + \Lambda_j} = \sum_j \frac{w_j}{2 \sqrt{\Lambda_j}}\, \operatorname{sech} \frac{\log \gamma - \log \Lambda_j}{2} .
# $$
#
# $F' < 1$ where $\Phi'' < 0$, and $F' > 1$ where $\Phi'' > 0$. The risk there is $M (1 - 2 c^2\, \Phi^2)$. There are at most $2l - 1$. If $\Lambda_{j+1} = \theta^2 \Lambda_j$ and $w_{j+1} = \theta w_j$ with $\theta \ge 9$, there are $2l - 1$, and $l$ are minima; $\theta = 8$ is not enough for $l = 4$. With $\theta \ge 17$ and one $w_i$ doubled there are still as many, and the $i$-th minimum is the global one; $\theta = 15$ is not enough for $l = 3$ and $i = 2$. All this can be had without noise.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-bumps)=
# ```{prf:proof}
# $\sigma^2 = (1 - \sum_j w_j) M \ge 0$. Let $M = 1$. In {prf:ref}`lem-swap` the weights are $a_j^2 = n_j r_j^2 = c^2 w_j$ and $d_j/\Lambda_j^2 = w_j/\Lambda_j$. Put them in: with $H(\gamma) = \sum w_j \Lambda_j (\gamma + \Lambda_j)^{-2} / \sum w_j (\gamma + \Lambda_j)^{-2}$ the equations are $m = 1/H(\gamma)$ and $\gamma = H(1/m)$. So $F = H \circ H$. $H$ does not decrease: as a
# mean of the $\Lambda_j$, its weights move to larger ones as $\gamma$ grows. So $H(\gamma) > \gamma$ gives $H(H(\gamma)) \ge H(\gamma) > \gamma$, and likewise for $<$: $F$ and $H$ have the same fixed points, with $F' = (H')^2$. And $2 \sqrt\gamma\, \Phi' = \sum w_j (\Lambda_j - \gamma)/(\Lambda_j + \gamma)^2 = (H(\gamma) - \gamma) \sum w_j (\gamma + \Lambda_j)^{-2}$,
# so the fixed points are the critical points, and there $\Phi''$ has the sign of $H' - 1$, hence of $F' - 1$. Times $\prod_j (\Lambda_j + \gamma)^2$ it is a polynomial of degree $2l - 1$.
#
# *The risk.* With $S_1 = \sum w_j/(\gamma + \Lambda_j)$ and $S_2 = \sum w_j/(\gamma + \Lambda_j)^2$: $(r^\top \omega)^2/\norm{\omega}^2 = (\sum \frac{a_j^2}{1 + \lambda_j h})^2 / \sum \frac{a_j^2}{(1 + \lambda_j h)^2} = c^2 S_1^2/S_2$, as $1 + \lambda_j h = (1 + m \Lambda_j)/(1 + m)$ and $m = 1/\gamma$. At a fixed point $\sum w_j (\Lambda_j - \gamma)/(\Lambda_j + \gamma)^2 = 0$, that is, $S_1 = 2 \gamma S_2$. So this is $2 c^2 \gamma S_1$, and the sum $\sum s^2/(1 + \gamma s)$ of {prf:ref}`thm-stationary-points` is $S_1$. The gain is $2 c^2 \gamma S_1^2 = 2 c^2 \Phi^2$.
#
# *How many.* Let $p_j = w_j/\sqrt{\Lambda_j}$, all equal to $p$, $u = \log \gamma$ and $u_j = \log \Lambda_j$, whose distances are multiples of $2 \log \theta$. The slope of a bump $\frac{p}{2} \operatorname{sech} \frac{u}{2}$ is $-\frac p2\, \chi(e^{u/2})$ with $\chi(z) = z (z^2 - 1)/(z^2 + 1)^2$, and $0 < \chi(z) < 1/z$ for $z > 1$. Look at $u = u_j - \log 3$. The bump of $u_j$ has the slope $\frac p2 \chi(\sqrt3) = \frac p2 \frac{\sqrt3}{8}$, those
# above rise too, and those below fall, by less than $\frac p2 \sum_{i \ge 1} \sqrt3\, \theta^{-i} = \frac p2 \frac{\sqrt3}{\theta - 1}$ together. So $\Phi$ rises if $\theta \ge 9$. By symmetry it falls at $u_j + \log 3$. So there are $l$ peaks, one within $\log 3$ of each $u_j$, and $l - 1$ dips between them: all zeros of the polynomial, so they are simple.
#
# If one $p_i$ is doubled, those below fall by less than twice as much, and $\theta \ge 17$ is enough. The peak of the doubled bump is at least $p$ high, as $\Phi(\Lambda_i) \ge p$. As $\operatorname{sech} \frac u2 \le 2 e^{-|u|/2}$, any other peak is at most $\frac p2 + 2 \sum_{m \ge 1} 2 p \sqrt3\, \theta^{-m} = p\, (\frac12 + \frac{4 \sqrt3}{\theta - 1})$ high, less than $p$ for $\theta \ge 15$. That $\theta = 8$ and $15$ are not enough is by computation: the polynomial has $3$ positive zeros of $7$, and $1$ of $5$, by Sturm's theorem in exact arithmetic.
#
# *Without noise.* Take an integer $\theta$, weights $1$, or $2$ for the doubled one, as $p_j$, and $\zeta = \sum_{j<l} p_j \theta^j$. Then $\Lambda_j = \zeta \theta^{2j}$, $w_j = p_j \theta^j/\zeta$ and $d_j = p_j \theta^{3j}$ for $j = 0, \dots, l - 1$ are as asked, and $\sum w_j = 1$.
# ```
# ````
#
# Two tasks of $6$ and $251$ examples in dimension $217$ have three points already at $\theta = 6$: a whole distribution for the package. For more tasks the dimension is astronomical, and multiplicities are enough.


# %% tags=["check", "asserts-prop-bumps"]
def Phi(gamma, Lam, w):
    return (w * np.sqrt(gamma) / (gamma + Lam)).sum()


def gain_at(gamma, Lam, w):
    """1 - risk / M by Theorem 2, with c = 1."""
    s, copies, a2 = 1 / Lam, w * Lam, w
    m = mean(s, copies * s**2, gamma)
    h = m / (1 + m)
    weights = a2 / (1 + (Lam - 1) * h)
    gain = weights.sum() ** 2 / (weights**2 / a2).sum()
    return gain * (copies * s**2 / (1 + gamma * s)).sum()


# Nine and seventeen are what the proof needs. Up to five bumps stand apart from 8.04 on,
# and from 15.98 on beside a doubled one.
worst, chosen = 0.0, 0
for l in range(2, 6):
    for theta, doubled in [(8.1, None)] + [(16.1, i) for i in range(l)]:
        heights = np.where(np.arange(l) == doubled, 2.0, 1.0)
        Lam, w = bumps(heights, theta)
        points = points_of(*of_bumps(Lam, w))
        assert len(points) == 2 * l - 1
        values = np.array([gain_at(x, Lam, w) for x in points])
        formula = np.array([2 * Phi(x, Lam, w) ** 2 for x in points])
        worst = max(worst, np.abs(values / formula - 1).max())
        if doubled is not None:
            assert np.argmax(values) == 2 * doubled
            chosen += 1
assert worst < 1e-10
# Eight is too close for four, and fifteen beside a doubled one.
assert len(points_of(*of_bumps(*bumps(np.ones(4), 8.0)))) < 7
assert len(points_of(*of_bumps(*bumps(np.array([1.0, 2.0, 1.0]), 15.0)))) < 5

Lam, w = bumps(np.ones(2), 6)
counts, r = (6, 251), np.sqrt(w / np.array([6, 251]))
small = PromptDistribution(
    217,
    counts,
    r / np.linalg.norm(r),
    Sx=np.diag([1 / Lam[0]] + [1 / Lam[1]] * 216),
)
assert list(Lam - 1) == [6, 251] and abs(small.M - 1) < 1e-12 and small.sigma == 0
three = sorted(stationary_points(small), key=lambda point: point.gamma)
assert [slope(small, point.gamma) < 1 for point in three] == [True, False, True]
for point in three:
    gain = 2 * Phi(point.gamma, Lam, w) ** 2 / (r @ r)
    assert abs((1 - point.risk) / gain - 1) < 1e-9
print(
    f"2 to 5 tasks: 3, 5, 7 and 9 points, gains as the formula to {worst:.0e}; "
    f"the chosen minimum is the best {chosen} times of {chosen}"
)

# %% [markdown]
# For a given $k$ and $l$ with more than $2l - 1$ points we do not know which of the minima can be the global one.
#
# ## Break it
#
# The bumps must stand apart. Two of equal height make two peaks only if $\theta > (1 + \sqrt2)^2$, nearly six:

# %%
near = (1 + 2**0.5) ** 2
assert len(points_of(*of_bumps(*bumps(np.ones(2), 0.99 * near)))) == 1
assert len(points_of(*of_bumps(*bumps(np.ones(2), 1.01 * near)))) == 3

# %% [markdown]
# And weights must be positive, as squares and multiplicities are. With a negative one for the tasks and for the features, two levels of each have four positive fixed points, where the theorem allows three:

# %%
from scipy.optimize import brentq

tasks = np.array([0.8, 4.6]), np.array([0.1, -0.5])
features = np.array([15.4, 0.2]), np.array([5.2, -0.5])
found = [
    brentq(lambda x: F(x, tasks, features) - x, 0.97 * x, 1.03 * x)
    for x in (0.0381, 0.3046, 0.7848, 7.197)
]
there = F(np.array(found), tasks, features)
assert np.allclose(there, found, rtol=1e-9)  # fixed points, and not poles

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: when two bumps make one
# :label: ex-two-bumps
#
# Show that $\operatorname{sech} \frac{u - \ell}{2} + \operatorname{sech} \frac{u + \ell}{2}$ has one peak if $e^{\ell} \le (1 + \sqrt2)^2$, and two if it is larger. Which $\Lambda_2/\Lambda_1$ is that?
# ```
#
# ```{answer} ex-two-bumps
# asks: The ratio of the two eigenvalues from which on there are two peaks.
# value: (1 + 2**0.5) ** 4
# wrong:
# - value: (1 + 2**0.5) ** 2
#   says: The distance of the bumps is half of the logarithm of the ratio.
# - value: 1 + 2**0.5
#   says: That is the exponential of half the distance. Follow it to the ratio.
# - value: (1 + 2**0.5) ** 8
#   says: The logarithm was halved the wrong way. Bumps stand on either side of zero, each at half of their distance.
# - value: 81
#   says: Nine for the exponential of the distance is always enough. Two equal bumps need less.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# There are at most three critical points, by {prf:ref}`prop-bumps`, and one is $u = 0$. Is it a peak or a dip?
# ```
#
# ````{solution} ex-two-bumps
# :class: dropdown
#
# By symmetry $0$ is a critical point. The second derivative of $\operatorname{sech} \frac u2$ has the sign of $\sinh^2 \frac u2 - 1$, so $0$ is a dip if $\sinh \frac\ell2 > 1$, which is $e^{\ell/2} > 1 + \sqrt2$. With a dip in the middle
# there are two peaks beside it. If $0$ is a peak, there are no others: between peaks lie dips, and by symmetry there would be at least five critical points. At equality $0$ is a critical point of order three, so the only one: a flat peak. As $\ell = \frac12 \log(\Lambda_2/\Lambda_1)$, the ratio is $(1 + \sqrt2)^4 = 33.97$.
#
# ```python
# assert abs(near**2 - 33.97) < 0.01
# ```
# ````
#
# ```{exercise} Compute: the first surplus
# :label: ex-first-surplus
#
# For two tasks and $l$ different eigenvalues of $\Sigma$ the theorem allows $2l - 1$ points, and for three tasks $2l + 1$. Take the family of the picture, and count for two, three and four tasks and $l = 4$.
# ```
#
# ```{answer} ex-first-surplus
# asks: The number of points for two, three and four tasks.
# value: "[len(points_of(*staggered(k, 4, 1e4)[:2])) for k in (2, 3, 4)]"
# within: 0.4
# wrong:
# - value: "[7, 7, 7]"
#   says: Right for two. A task more makes room for more points.
# - value: "[4, 5, 6]"
#   says: These are the minima. There are saddles between them.
# - value: "[3, 4, 5]"
#   says: These are the saddles. There are minima around them.
# - value: "[7, 8, 9]"
#   says: Minima and saddles alternate, so the number is always odd.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `staggered(k, l, base)` has the levels and weights, and `points_of` lists the fixed points.
# ```
#
# ````{solution} ex-first-surplus
# :class: dropdown
#
# Seven, nine and eleven. A task more makes two points more, and so does an eigenvalue more.
#
# ```python
# assert [len(points_of(*staggered(k, 4, 1e4)[:2])) for k in (2, 3, 4)] == [7, 9, 11]
# ```
# ````
#
# ```{exercise} Explore: how close can bumps stand?
# :label: ex-close-bumps
#
# For two equal bumps $\theta$ must exceed $(1 + \sqrt2)^2$, and nine is always enough. Which $\theta$ do three, four and five bumps of equal height need for all their minima?
# ```
#
# ```{answer} ex-close-bumps
# asks: The theta that three bumps of equal height need.
# value: least(3)
# within: 0.03
# wrong:
# - value: (1 + 2**0.5) ** 2
#   says: That is for two. A third one pulls the outer ones inwards.
# - value: 9
#   says: That is always enough. Three need less.
# - value: least(4)
#   says: That is for four.
# minutes: 10
# level: 1
# ```
#
# ```{answer} ex-close-bumps-which
# asks: Which bumps vanish first?
# choices:
# - text: the outermost
# - text: the one in the middle
#   says: Its neighbours pull from both sides alike. Where do all of them pull the same way?
# - text: all at once
#   says: Count the points a little below the threshold.
# minutes: 3
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Halve an interval of $\theta$. The bumps at the ends are pulled inwards; which of them vanishes first?
# ```
#
# ````{solution} ex-close-bumps
# :class: dropdown
#
# About $7.87$, $8.02$ and $8.04$. The outermost bumps have all their neighbours on one side, whose flanks add up and pull them inwards. The more bumps the stronger the pull, but a fourth
# and a fifth neighbour are far away and add little.
#
# ```python
# def least(l):
#     low, high = 5.0, 11.0
#     while high - low > 1e-3:
#         middle = (low + high) / 2
#         enough = len(points_of(*of_bumps(*bumps(np.ones(l), middle)))) == 2 * l - 1
#         low, high = (low, middle) if enough else (middle, high)
#     return high
#
#
# assert np.allclose([least(l) for l in (3, 4, 5)], [7.87, 8.02, 8.04], atol=0.01)
# ```
# ````

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
#   settles: how to find every stationary point, with proof (Theorem 2 in full)
# ---

# %% [markdown]
# # The stationary points, one by one
#
# **Where we are.** {prf:ref}`thm-stationary-points` turned a landscape over matrices and weights into a question about
# one number: where does $F(\gamma) = 1 + h_1(h_2(\gamma))$ meet the diagonal? This page looks at $F$ itself. It never
# decreases, its parts are old acquaintances from linear algebra, and its fixed points can all be enclosed, with proof.
#
# ```{symbols}
# Sigma lambda M gamma h1 h2
# ```
#
# As before, $u_i \propto a_i^2/(1+\lambda_i h)^2$ and $v_i \propto s_i^2/(M+\gamma s_i)^2$ are weights that sum to one, so
# that $h_1 = \E_u \lambda$ and $h_2 = m/(M+m)$ with $m = \E_v s$. Only $i$ with $a_i \ne 0$ and $s_i \ne 0$ count, and for
# these $\lambda_i > 0$, as $r$ lies in the range of $R$. Always $r \neq 0$, $h \ge 0$ and $\gamma \ge 1$.
#
# ## Two means that fall
#
# ```{prf:proposition} F does not decrease
# :label: prop-monotone-map
#
# *As derived here.* $h_1' = -2 \cov_u\bigl(\lambda, \frac{\lambda}{1+\lambda h}\bigr) \le 0$ and
# $h_2' = -\frac{2M}{(M+m)^2} \cov_v\bigl(s, \frac{s}{M+\gamma s}\bigr) \le 0$. So $F' = h_1'\, h_2' \ge 0$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-monotone-map)=
# ```{prf:proof}
# If weights are $u_i \propto e^{g_i(h)}$, the derivative of a mean is a covariance, $\frac{d}{dh} \E_u \lambda = \cov_u(\lambda,
# g')$. Here $g_i = -2 \log(1 + \lambda_i h) + \text{const}$, so $g_i' = -2\lambda_i/(1+\lambda_i h)$. In the same way
# $m' = -2 \cov_v(s, s/(M+\gamma s))$, and $h_2' = M m' / (M+m)^2$. A covariance of two increasing functions of one variable
# is not negative: it is half the mean of $(x - x')(f(x) - f(x'))$ over two independent draws $x$, $x'$. The functions
# $\lambda/(1+\lambda h)$ and $s/(M+\gamma s)$ increase.
# ```
# ````

# %% tags=["asserts-prop-monotone-map"]
import numpy as np
from glalib import PromptDistribution, plotting, stationary_points
from glalib.fixed_points import fixed_points
from glalib.risk import h1, h2, slope

plotting.use_style()


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


rng = np.random.default_rng(0)
for _ in range(50):
    dist = random_distribution(rng)
    top = 1 + dist.task_spectrum[0].max()
    gamma = np.geomspace(1, top, 400)
    assert (np.diff(h2(dist, gamma)) <= 1e-14).all()
    assert (np.diff(h1(dist, h2(dist, gamma))) >= -1e-12 * top).all()
    # The two covariances against a difference quotient. Its own error is of the
    # order of the step squared, and rounding divided by the step.
    x, step = gamma[200], 1e-5 * gamma[200]
    ends = 1 + h1(dist, h2(dist, np.array([x - step, x + step])))
    assert abs((ends[1] - ends[0]) / (2 * step) - slope(dist, x)) < 1e-6

# %% [markdown]
# ## Secular equations
#
# The first reviewer saw a likeness between $h_1$, $h_2$ and the secular equations of eigenvalue updates. It is more than
# a likeness.
#
# ```{prf:proposition} Kinship with secular equations
# :label: prop-secular
#
# *As derived here.* Let $f(h) = r^\top (I + hR)^{-1} r = \sum_i \frac{a_i^2}{1 + \lambda_i h}$ and
# $T(\gamma) = \sum_i \frac{s_i^2}{M + \gamma s_i}$. Then
#
# $$
# h_1 = \frac{-f'}{(h f)'}, \qquad h_2 = \frac{-T'}{T + (\gamma - 1) T'} .
# $$
#
# $f$ is the secular function of adding a rank-one matrix: $\det(I + hR - t\, r r^\top) = \det(I + hR)\,(1 - t f(h))$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-secular)=
# ```{prf:proof}
# $-f' = \sum \lambda_i a_i^2/(1+\lambda_i h)^2$ is the numerator of $h_1$. Its denominator is $\sum a_i^2/(1+\lambda_i h)^2 =
# \sum a_i^2 (1 + \lambda_i h - \lambda_i h)/(1+\lambda_i h)^2 = f + h f' = (hf)'$. Likewise $-T' = \sum s_i^3/(M+\gamma s_i)^2$ and
# $M \sum s_i^2/(M + \gamma s_i)^2 = T + \gamma T'$, so $h_2 = -T' / (-T' + T + \gamma T')$. The last formula is the matrix
# determinant lemma.
# ```
# ````
#
# The poles of $f$ and $T$ are at $-1/\lambda_i$ and $-M/s_i$, all negative, and we only look at positive arguments: no root has
# to be sought between poles. Even at a pole of $f$ the mean $h_1$ is finite, and equal to that $\lambda_i$: being a mean, it
# stays between the extreme $\lambda_i$.

# %% tags=["asserts-prop-secular"]
for _ in range(20):
    dist = random_distribution(rng)
    s, _ = dist.signal_spectrum
    (lam, a), M = dist.task_spectrum, dist.M
    h, gamma = 10 ** rng.uniform(-4, 0), 1 + 10 ** rng.uniform(-1, 4)
    f, df = (a**2 / (1 + lam * h)).sum(), -(lam * a**2 / (1 + lam * h) ** 2).sum()
    T, dT = (s**2 / (M + gamma * s)).sum(), -(s**3 / (M + gamma * s) ** 2).sum()
    # A few sums of a few terms, with one cancellation of about 1 : lambda h.
    assert np.isclose(h1(dist, h), -df / (f + h * df), rtol=1e-9)
    assert np.isclose(h2(dist, gamma), -dT / (T + (gamma - 1) * dT), rtol=1e-9)

small = PromptDistribution(3, (2, 3), (0.4, 0.5), R=[[1, 0.2], [0.2, 1]])
R, r = (
    small.R[np.ix_(small.task_index, small.task_index)],
    small.r[small.task_index],
)
lam, a = small.task_spectrum
h, t = 0.3, 0.7
left = np.linalg.det(np.eye(5) + h * R - t * np.outer(r, r))
right = np.linalg.det(np.eye(5) + h * R) * (1 - t * (a**2 / (1 + lam * h)).sum())
assert np.isclose(left, right, rtol=1e-12)


# %% [markdown]
# ## Risk along the best weights
#
# For every $h$ there is a best direction of weights, $\omega(h) = (hR + I)^{-1} r$, and for these a best $P$. Walk along
# this curve: what does the risk do?
#
# ```{prf:proposition} The walk
# :label: prop-walk
#
# *New here.* Let $\ell(h)$ be the risk of $\omega(h)$ with its best $P$, and $\gamma(h) = 1 + h_1(h)$. Then
#
# $$
# \frac{d}{dh} \log\bigl(M - \ell\bigr) = \frac{h_1'(h)\, \bigl(h - h_2(\gamma(h))\bigr)}{\bigl(1 + h\, h_1(h)\bigr)\bigl(1 + h_1(h)\,
# h_2(\gamma(h))\bigr)} .
# $$
#
# Where $h_1' < 0$ the risk falls as long as $h < h_2(\gamma(h))$, rises as long as $h > h_2(\gamma(h))$, and stands still just
# at the fixed points. If $h_1' = 0$ anywhere it is zero everywhere, and the risk is constant.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-walk)=
# ```{prf:proof}
# $M - \ell = A(h)\, T(\gamma(h))$ with $A = (r^\top \omega)^2/\norm{\omega}^2$. Here $r^\top \omega = f$ and
# $\norm{\omega}^2 = N := (hf)'$. From {prf:ref}`prop-secular`, $f' = -h_1 N$, hence $f = N - h f' = N(1 + h h_1)$, and
# $A = f^2/N = f (1 + h h_1)$. So $A' = f'(1 + h h_1) + f (h_1 + h h_1') = -h_1 f + f h_1 + f h h_1' = f h h_1'$, and
# $A'/A = h h_1' / (1 + h h_1)$. Next, $(\log T)' = (T'/T)\, h_1'$, and the formula for $h_2$ solved for $T'$ is
# $-T'/T = h_2 / (1 + (\gamma - 1) h_2)$ with $\gamma - 1 = h_1$. Add the two:
# $h_1' \bigl( \frac{h}{1 + h h_1} - \frac{h_2}{1 + h_1 h_2} \bigr)$, which is the claim. A covariance of two functions that increase strictly is zero just if all
# $\lambda_i$ that count are equal, whatever $h$.
# ```
# ````


# %% tags=["asserts-prop-walk"]
def walk(dist, h):
    """The risk of the best weights for h, with their best P."""
    s, _ = dist.signal_spectrum
    lam, a = dist.task_spectrum
    f = (a**2 / (1 + lam * h)).sum()
    gamma = 1 + h1(dist, h)
    return dist.M - f * (1 + h * h1(dist, h)) * (s**2 / (dist.M + gamma * s)).sum()


def log_slope(dist, h):
    lam, a = dist.task_spectrum
    u = (a / (1 + lam * h)) ** 2
    u, y = u / u.sum(), lam / (1 + lam * h)
    dh1 = -2 * (u @ (lam * y) - (u @ lam) * (u @ y))
    mean, other = h1(dist, h), h2(dist, 1 + h1(dist, h))
    return dh1 * (h - other) / ((1 + h * mean) * (1 + mean * other))


for _ in range(20):
    dist = random_distribution(rng)
    for point in stationary_points(dist):
        assert np.isclose(walk(dist, h2(dist, point.gamma)), point.risk, rtol=1e-9)
    h = 10 ** rng.uniform(-3, 0)
    step = 1e-4 * h
    gains = np.log([dist.M - walk(dist, h - step), dist.M - walk(dist, h + step)])
    # A central difference: its error is of the order of the step squared.
    assert np.isclose(
        (gains[1] - gains[0]) / (2 * step),
        log_slope(dist, h),
        rtol=1e-4,
        atol=1e-8 / h,
    )

# All lambda equal: h1 is constant, and so is the risk.
level = PromptDistribution(
    4, (7, 7, 7), (0.1, -0.3, 0.6), Sx=np.diag([1, 2, 3, 4.0])
)
along = [walk(level, h) for h in np.geomspace(1e-3, 1, 20)]
assert np.ptp(along) < 1e-13 * level.M


# %% [markdown]
# ## All of them, certified
#
# To find *all* fixed points of a function by sampling it is hopeless in general: two of them may hide between samples.
# For a function that does not decrease it is possible.
#
# ```{prf:proposition} Certified enumeration
# :label: prop-enumeration
#
# *New here.* Let $F$ be continuous and non-decreasing on a closed, bounded interval, and map it into itself. Start with that
# interval. Again and again, replace every interval $[a, b]$ of the list by $[a, b] \cap [F(a), F(b)]$, drop it if that is
# empty, and halve it. At every moment each fixed point lies in an interval of the list; and every change of sign of
# $F(x) - x$ between neighbouring ends of intervals has a fixed point between them.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-enumeration)=
# ```{prf:proof}
# If $x = F(x)$ lies in $[a, b]$, then $F(a) \le F(x) = x \le F(b)$, so it lies in the smaller interval too, which is then not
# empty. Halving keeps both halves. So no fixed point is ever lost. The second half is the intermediate value theorem.
# ```
# ````
#
# With numbers of 53 bits, $F(x) / x$ is known to about $10^{-14}$, and that sets the resolution. Two fixed points at a
# relative distance $\delta$ leave a bump of height about $\delta^2$ between them, so two can be told from one, and one touch
# from none, down to distances of about $10^{-7}$; three that meet, down to about $10^{-4}$. The package halves intervals
# until they are that short. Then it counts a point for each change of sign that is clear of rounding, and one for a touch,
# where $F(x) = x$ to rounding. Nearer points count as one. Otherwise there is none too many and none too few: near a
# tangency and near a cusp, from both sides, the tests hold the list to 50-digit arithmetic.
#
# We compare with a dense scan of smooth staircases with steep steps and many crossings.


# %% tags=["asserts-prop-enumeration"]
def staircase(rng, steps=6):
    """A random non-decreasing map of [0, 1] into itself, with many fixed points."""
    centres, widths = rng.random(steps), 10 ** rng.uniform(-3, -1, size=steps)
    heights = rng.dirichlet(np.ones(steps))

    def F(x):
        return (1 + np.tanh((x[:, None] - centres) / widths)) / 2 @ heights

    return F


def scan(F, x):
    """Neighbouring points of the grid between which F(x) - x changes its sign."""
    excess = F(x) - x
    (clear,) = np.nonzero(
        excess
    )  # a zero that lies on the grid is one point, not two
    signs = np.sign(excess[clear])
    changes = np.flatnonzero(signs[:-1] != signs[1:])
    return list(zip(x[clear[changes]], x[clear[changes + 1]]))


counts = []
for _ in range(100):
    F = staircase(rng)
    found = fixed_points(F, 0.0, 1.0)
    # Rounding of F, times slopes of at most a thousand.
    assert np.abs(F(found) - found).max() < 1e-12
    scanned = scan(F, np.linspace(0, 1, 200_001))
    # Nothing that a scan sees is missed: one point, at least, in every change of sign.
    # (1e-9 for signs at the rounding of F.)
    assert all(((a - 1e-9 < found) & (found < b + 1e-9)).any() for a, b in scanned)
    assert len(found) >= len(scanned)
    counts.append(len(found))
assert max(counts) >= 5

# %% [markdown]
# ## The picture
#
# Iterating $\gamma \to F(\gamma)$ draws a cobweb: up to the curve, across to the diagonal. A non-decreasing $F$ makes it a
# staircase that climbs or falls, and converges to the first fixed point on its way. Here are a distribution with one fixed
# point and one with three. (The second is the example of the next page.)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-cobweb", "caption": "The map F and the diagonal. Left, one crossing: every start ends there. Right, three: the middle one repels, and a start from below ends at the local minimum. Full dots: global minima."}}
import matplotlib.pyplot as plt

one = PromptDistribution(20, (30, 300), (0.5, 0.6), Sx=np.diag([1.0] + [0.1] * 19))
Sx = np.diag([1.0] + [1 / 299] * 299)
three = PromptDistribution(300, (1000, 1), (0.3**0.5, 0.7**0.5), Sx=Sx)

fig, axes = plt.subplots(1, 2, figsize=(8, 3.9))
data = {"panel": [], "gamma": [], "F": []}
for ax, dist, title in zip(
    axes, (one, three), ("one fixed point", "three fixed points")
):
    gamma = np.geomspace(1, 1 + dist.task_spectrum[0].max(), 200)
    F = 1 + h1(dist, h2(dist, gamma))
    ax.loglog(gamma, gamma, color="0.5", linewidth=1)
    ax.loglog(gamma, F, color=plotting.TASKS[0], linewidth=2.4)
    for start in (gamma[0], gamma[-1]):
        x, path = start, [(start, start)]
        for _ in range(12):
            y = float(1 + h1(dist, h2(dist, x)))
            path += [(x, y), (y, y)]
            x = y
        ax.loglog(*zip(*path), color=plotting.TASKS[1], linewidth=1)
    points = stationary_points(dist)
    for k, point in enumerate(points):
        ax.plot(
            point.gamma,
            point.gamma,
            "o",
            color="0.1",
            markersize=8,
            markerfacecolor="0.1" if k == 0 else "white",
        )
    ax.set(title=title, xlabel=r"$\gamma$")
    data["panel"] += [title] * len(gamma)
    data["gamma"] += list(gamma)
    data["F"] += list(F)
_ = axes[0].set_ylabel(r"$F(\gamma)$")

# %% tags=["remove-input"]
plotting.FigureData(
    "cobweb",
    data,
    left=one,
    right=three,
    Sx_left="diag(1, 0.1 x 19)",
    Sx_right="diag(1, 1/299 x 299)",
    seed="none",
)


# %% [markdown]
# ## Break it
#
# Enumeration needs monotonicity. Give it a function that goes up and down, and it drops intervals in which there are
# fixed points:


# %%
def wavy(x):
    return 0.5 + 0.45 * np.sin(12 * x)


true_count = len(scan(wavy, np.linspace(0, 1, 100_001)))
found = fixed_points(wavy, 0.0, 1.0)
assert len(found) < true_count
print(f"found {len(found)} of {true_count}")

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-one-step
#
# When is $F$ constant, so that one step of the iteration is enough? Find the two cases, one about the features and one
# about the tasks, and check each in code.
# ```
#
# ````{solution} ex-one-step
# :class: dropdown
#
# $F' = h_1' h_2'$ vanishes everywhere just if one of the covariances does. The functions in each increase strictly, so this happens in two
# cases: all non-zero $s_i$ are equal (whitened features, such as $\Sigma_x = C = I$), or all $\lambda_i$ with $a_i \ne 0$ are equal (independent
# tasks of one size, for example).
#
# ```python
# for dist in (
#     PromptDistribution(5, (3, 40), (0.2, 0.8)),
#     PromptDistribution(5, (30, 30), (0.2, 0.8), Sx=np.diag([1.0, 2, 3, 4, 5])),
# ):
#     top = 1 + dist.task_spectrum[0].max()
#     F = 1 + h1(dist, h2(dist, np.linspace(1, top, 50)))
#     assert np.ptp(F) < 1e-12 * top
#
# both_differ = PromptDistribution(5, (3, 40), (0.2, 0.8), Sx=np.diag([1.0, 2, 3, 4, 5]))
# assert np.ptp(1 + h1(both_differ, h2(both_differ, np.linspace(1, 41, 50)))) > 1e-6
# ```
# ````

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
#   settles: how sharp the nine and the five are, and what lies beyond them
# ---

# %% [markdown]
# # How sharp: wells, nines and ranks
#
# Could the nine of Theorem A be a ten, or the five of Theorem B a six, and what happens beyond them?
#
# Both theorems of {doc}`uniqueness` bound the slope $F'$ at a fixed point. A slope above one there makes a second well, that is, a second local minimum. So ask how large the slope can be.
# For two tasks a formula answers: $r$ can make any $\gamma$ in the range a fixed point, and the slope there does not depend on
# $r$. Left, families that come as near to Theorem A's bound as one likes. Right, the same question for Theorem B.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-sharpness", "caption": "The bounds can be approached as closely as one likes, so neither constant can be larger. Left: the bound on $F'$ by Theorem A (line) and the largest slopes of three families (markers, at constants $c$); all pass one at nine. Right: the largest slope against the rank of $\\Sigma$. With much noise (dots) it passes one between five and six; without noise (squares, by search) between nine and ten."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import (
    PromptDistribution,
    optimal_wpgd,
    plotting,
    stationary_points,
    uniqueness,
)
from glalib.risk import h1, h2, slope

plotting.use_style()


def two_task_slopes(s, copies, M, lam, points=1000, mean=None, gamma=None):
    """F' for two tasks, where r makes gamma a fixed point; or with a given u-mean.

    No matrix is made: copies, the multiplicities of s, may be in the billions.
    """
    s, copies, (low, high) = np.asarray(s), np.asarray(copies), lam
    t = np.geomspace(1e-8, 1e8, points)
    gamma = 1 + (low + high * t) / (1 + t) if gamma is None else np.array([gamma])
    y = s / (M + gamma[:, None] * s)
    v = copies * y**2
    v /= v.sum(1, keepdims=True)
    m = v @ s
    h, mu = m / (M + m), gamma - 1 if mean is None else mean
    cov_s = (v * (s - m[:, None]) * (y - (v * y).sum(1)[:, None])).sum(1)
    cov_lam = (mu - low) * (high - mu) / ((1 + low * h) * (1 + high * h))
    return 4 * M / (M + m) ** 2 * cov_lam * cov_s


def nine(c, L=1e5, delta=1e-7):
    kappa = 9 * c * L / (1 + L - 9 * c)  # makes Xi = 9 c
    return (delta, delta / kappa), (1, kappa**1.5), 1.0, (1.0, L / delta - 1)


def nine_free(c, p=1e8):
    s, copies = np.array([1, 1 / (9 * c)]), p * np.array([1, (9 * c) ** 1.5])
    return s, copies, s @ copies, (1.0, 1e6 * (s @ copies))


def nine_tasks(c, L=1e7, epsilon=1e-3):
    M, gamma = 1 + 1 / epsilon, 3 * c**0.5 * L
    s_min = epsilon * M / gamma
    return (1, s_min), (1, 1 / epsilon / s_min), M, (L - 1, 9 * c * L - 1)


def largest(family, c):
    return two_task_slopes(*family(c)).max()


def free_of_noise(d):
    """The largest slope found by search: one large and d - 1 equal eigenvalues."""
    return max(
        two_task_slopes(
            (1.0, small), (1, d - 1), 1 + (d - 1) * small, (1e-3, top), points=300
        ).max()
        for small in np.geomspace(1e-5, 0.3, 60)
        for top in (1e2, 1e3, 1e4, 1e6, 1e8)
    )


def noisy(rank):
    return two_task_slopes((1.0, 1e-6), (1, rank - 1), 1e4, (1.0, 1e18)).max()


ranks = range(2, 15)
shown = {
    "noise": (nine, "o", [4.0, 7.5, 12.0, 20.0]),
    "no noise": (nine_free, "s", [4.8, 9.0, 14.0]),
    "tasks": (nine_tasks, "^", [6.0, 10.4, 17.0]),
}
families = {
    name: [largest(family, c / 9) for c in constants]
    for name, (family, _, constants) in shown.items()
}
by_rank = {
    "noise": [noisy(k) for k in ranks],
    "no noise": [free_of_noise(k) for k in ranks],
}

fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
c = np.geomspace(3.5, 22, 100)
bound = 4 * ((np.sqrt(c) - 1) / (np.sqrt(c) + 1)) ** 2
left.semilogx(c, bound, color="0.6", linewidth=3)
for k, (name, (_, marker, constants)) in enumerate(shown.items()):
    slopes, colour = families[name], plotting.TASKS[k]
    left.semilogx(constants, slopes, marker, color=colour, ms=7, label=name)
left.legend(loc="lower right", handletextpad=0.1)
left.axvline(9, color="0.3", linestyle=":", linewidth=1)
left.set_xticks([4, 9, 20], ["4", "9", "20"])
left.minorticks_off()
left.text(3.6, 1.4, "bound of\nTheorem A", color="0.3")
for k, (name, marker) in enumerate((("noise", "o"), ("no noise", "s"))):
    right.plot(ranks, by_rank[name], marker + "-", color=plotting.TASKS[k], lw=1)
right.text(6.4, 1.35, "much noise", ha="right", color=plotting.TASKS[0])
right.text(10.4, 0.92, "no noise", color=plotting.TASKS[1])
right.set_xticks([2, 5, 6, 9, 10, 14])
for ax in (left, right):
    ax.axhline(1, color="0.3", linewidth=1)
left.set(xlabel="constant $c$", ylabel="largest slope $F'$")
_ = right.set(xlabel=r"rank of $\Sigma$")

# %% tags=["remove-input"]
plotting.FigureData(
    "sharpness",
    {
        "curve": [f"nine, {n}" for n, values in families.items() for _ in values]
        + [f"rank, {n}" for n, values in by_rank.items() for _ in values],
        "constant_or_rank": [c for _, _, cs in shown.values() for c in cs]
        + [*ranks, *ranks],
        "largest_slope": [
            value
            for curves in (families, by_rank)
            for values in curves.values()
            for value in values
        ],
    },
    figure=fig,
    seed="none",
)


# %% [markdown]
# ## A map of the conditions
#
# ```{symbols}
# Sigma lambda M gamma F gap_Sigma gap_R kappa R r sigma h Q P omega Sx d counts Lambda Xi
# ```
#
# How often do the conditions hold where there is one minimum? Take one family: $\Sigma$ has one large and $d - 1$ equal small eigenvalues, no noise, $\tr
# \Sigma = M = 1$; two independent tasks have $1$ and $1 + \mathrm{gap}(R)$ examples. There are several stationary points for some $r$ if and only if
# the largest slope exceeds one.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-phases", "caption": "Where no $r$ makes a second minimum, Theorem A covers 84 and 70 per cent of the points of a grid, the paper's condition 13 and 18. The grid is even in the gap of $\\Sigma$ and in the logarithm of the gap of $R$. The minimiser is unique below the dashed line by the paper's condition, below the solid line by Theorem A; in the shaded region some $r$ has several stationary points. For $d = 5$ nothing would be shaded, by Theorem B."}}
def over_the_bounds(gS, gR, low):
    """gap(Sigma) gap(R) over the paper's bound and over Theorem A's, at M = 1."""
    sharp = 8 * (1 + 2 * (low + gS)) * (1 + (2 + gR) * low)
    return gS * gR / (1 + low), gS * gR / sharp


gap_R = np.geomspace(1, 1e6, 60)
gap_S = np.linspace(0.02, 0.995, 50)
record, shares = {"d": [], "gap_R": [], "gap_Sigma": [], "largest_slope": []}, {}
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
panels = dict(zip((30, 300), axes, strict=True))
for d in (5, 30, 300):
    top = np.zeros((len(gap_S), len(gap_R)))
    paper, sharp = np.zeros_like(top), np.zeros_like(top)
    for i, gS in enumerate(gap_S):
        low = (1 - gS) / d
        s, copies = (low + gS, low), (1, d - 1)
        for j, gR in enumerate(gap_R):
            found = two_task_slopes(s, copies, 1.0, (1.0, 1.0 + gR), points=80)
            top[i, j] = found.max()
            paper[i, j], sharp[i, j] = over_the_bounds(gS, gR, low)
    record["d"] += [d] * top.size
    record["gap_R"] += list(np.tile(gap_R, len(gap_S)))
    record["gap_Sigma"] += list(np.repeat(gap_S, len(gap_R)))
    record["largest_slope"] += list(top.ravel())
    # No shaded point lies where a theorem promises uniqueness. (One family says nothing
    # about the constants. Their sharpness is the next section's.)
    assert not ((top > 1) & ((sharp < 1) | (d <= 5))).any()
    shares[d] = (sharp < 1)[top < 1].mean(), (paper < 1)[top < 1].mean()
    if d not in panels:
        continue
    ax, ground = panels[d], (gap_R, gap_S)
    ax.contourf(*ground, top, levels=[1, 99], colors=[plotting.TASKS[1]], alpha=0.3)
    ax.contour(*ground, top, levels=[1], colors="0.3", linestyles=":")
    for values, colour, dash, width in (
        (paper, plotting.TASKS[0], "--", 2),
        (sharp, plotting.TASKS[2], "-", 2.4),
    ):
        ax.contour(
            *ground,
            values,
            levels=[1],
            colors=[colour],
            linestyles=dash,
            linewidths=width,
        )
    ax.set(xscale="log", title=f"$d = {d}$", xlabel="gap of $R$")
    ax.set_xticks([1, 1e2, 1e4])
    ax.minorticks_off()
axes[0].text(14, 0.1, "the paper", color=plotting.TASKS[0])
axes[0].text(2e3, 0.2, "Theorem A", color=plotting.TASKS[2])
axes[0].text(1.2e4, 0.6, "several", ha="center")
axes[1].text(1.2e4, 0.6, "several", ha="center")
_ = axes[0].set_ylabel(r"gap of $\Sigma$")

# %% tags=["remove-input"]
plotting.FigureData(
    "phases",
    record,
    figure=fig,
    Sigma="one large eigenvalue, d - 1 equal, trace 1",
    tasks="two, independent, 1 and 1 + gap_R examples",
    sigma=0,
    seed="none",
)

# %% tags=["check"]
# The two curves are the package's bounds; and the shares of the caption.
low = 0.2 / 30
found = uniqueness(
    PromptDistribution(
        30, (1, 101), (0.6, 0.8), Sx=np.diag([low + 0.8] + [low] * 29)
    )
)
gaps = found.gap_Sigma * found.gap_R
expected = gaps / found.bound_paper, gaps / found.bound_sharp
assert np.allclose(over_the_bounds(0.8, 100, low), expected)
assert np.allclose(
    [shares[30], shares[300]], [[0.837, 0.127], [0.695, 0.181]], rtol=0.01
)
print(
    f"Theorem A covers {shares[30][0]:.0%} and {shares[300][0]:.0%} of the points"
)


# %% [markdown]
# ## Nine is sharp
#
# $\Xi$ is the cross-ratio of {prf:ref}`thm-cross-ratio`, $s_\pm$, $\lambda_\pm$ the extreme non-zero eigenvalues of $\Sigma$ and $R$, and
# $\Lambda_\pm = 1 + \lambda_\pm$. Laws on the two ends of the spectra make the covariances as large as they can be. It remains to choose the ends, and the number of eigenvalues at each.
#
# ```{prf:proposition} Nine is sharp
# :label: prop-nine-sharp
#
# **None of the nines of Theorem A can be larger, and neither can its eight.**
#
# *New here.* For every $c > 9$ there is a distribution with at least three stationary points and $\Xi < c$ and $\kappa(\Sigma) < c$. With noise two independent tasks and $d = 28$ are enough, and there are such distributions without noise too. For every $c > 9$ there is also
# one without noise, with at least three stationary points, $\Xi < c$ and $\Lambda_+/\Lambda_- < c$. And for every $c > 8$ there is one with at least three
# and $\mathrm{gap}(\Sigma)\, \mathrm{gap}(R) < c\,(M + s_-)^2/M$. So none of the three $9$ and not the $8$ of
# {prf:ref}`thm-cross-ratio` can be larger.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-nine-sharp)=
# ```{prf:proof}
# Take $M = 1$, one eigenvalue $s_+ = \delta$ and $27$ eigenvalues $s_- = \delta/\kappa$ with $9 < \kappa < c$ near $9$, and noise $\sigma^2 = 1 - \tr \Sigma$.
# Take tasks of $1$ and $n_2$ examples, with $\Lambda_+ = 1 + n_2 = L/\delta$. Look at $\gamma = \zeta/\delta$.
#
# For a law on two points the bounds in the proof of {prf:ref}`thm-cross-ratio` are equalities, so if $\gamma$ is a fixed point,
# $F'$ there *is* $4 M^2$ times the product of the two fractions. Let $m = \delta \bar m$. As $\delta \to 0$ with $L$ fixed, and then $L \to \infty$,
#
# $$
# F' \to 4\; \frac{\zeta}{(1 + \zeta/\kappa)(1 + \zeta)}\; \frac{(\bar m - 1/\kappa)(1 - \bar m)}{\bar m} .
# $$
#
# The first factor is largest at $\zeta = \sqrt\kappa$, where it is $(1 + 1/\sqrt\kappa)^{-2}$; the second at $\bar m = 1/\sqrt\kappa$, where it is
# $(1 - 1/\sqrt\kappa)^2$. Together they give $4 \bigl( \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1} \bigr)^2$, which is $1$ at $\kappa = 9$ and grows with
# slope not zero. At $\zeta = \sqrt\kappa$ the weights of the $w$-mean are as $\kappa : \nu$ for $\nu$ small eigenvalues, so $\bar m = 1/\sqrt\kappa$ if
# $\nu = \kappa^{3/2}$: it is $27$ at $\kappa = 9$. With $\nu = 27$ and $\kappa$ slightly larger, $\bar m$ misses its best value by $O(\kappa - 9)$, which
# costs $O((\kappa - 9)^2)$; so $F' > 1$ for $\kappa > 9$ near $9$, first $L$ large enough, then $\delta$ small enough, with $L/\delta - 1$ an integer.
#
# It remains to make $\gamma$ a fixed point: as the share of $r$ between the two tasks varies, $h_1(h_2(\gamma))$ takes every value strictly
# between $\lambda_-$ and $\lambda_+$, and one of them is $\gamma - 1$, as $2 < \zeta/\delta < L/\delta$. A fixed point with $F' > 1$ is a crossing from below,
# and $F(1) > 1$, $F(\Lambda_+) < \Lambda_+$, so there is another one on either side of it. Finally $\Xi < \kappa$, as shown in that proof.
#
# *Without noise.* Take every eigenvalue $p$ times, and $M = \tr \Sigma = p\, \delta\, (1 + 27/\kappa)$. The $w$-mean is as before. $M = 1$ makes $\delta \to 0$ as $p$ grows.
#
# *The tasks.* Let $\Lambda_- = L$, $\Lambda_+ = \kappa L$, one eigenvalue $s_+ = 1$, and look at $\gamma = \sqrt\kappa L$. Let there be $\nu$ eigenvalues $s_- = \epsilon M/\gamma$ with $\nu s_- = 1/\epsilon$ and no noise, $M = 1 + 1/\epsilon$. As
# $L \to \infty$ and then $\epsilon \to 0$, the weights of the $w$-mean are as $M : \gamma$, $m \gamma/M \to 1$, and the two fractions are $\frac{L}{M} (\sqrt\kappa - 1)^2$ and $\frac{1}{M L} (\sqrt\kappa + 1)^{-2}$, up to factors that tend to one. So $F'$
# has the same limit. $\Xi < \Lambda_+/\Lambda_-$ always. (In the limit it is the family before with tasks and features exchanged, {prf:ref}`lem-swap`; {doc}`how_many` has distributions without noise at $9.1$, by multiplicities.)
#
# *The eight.* Let $M = 1$, $s_+ = \delta$, $\Lambda_+ = \ell/\delta$, and $\nu = \kappa^2/3$ eigenvalues $s_- = \delta/\kappa$; let $\delta \to 0$ and then $\kappa \to \infty$. At $\gamma = 2/\delta$ the weights of the $w$-mean are as $1 : 3$, so $\bar m = \frac14$, and $F' \to 4\;
# \frac{2 (\ell - 2)}{3}\; \frac{3/16}{1 + \ell/4}$, which is $1$ at $\ell = 8$ and increases with $\ell$, while $\mathrm{gap}(\Sigma)\, \mathrm{gap}(R) M / (M + s_-)^2 \to \ell$. Without noise: take every eigenvalue $p$ times and $M = \tr \Sigma$, as above.
# ```
# ````
#
# Here are the families of the proof, with constants one per cent below and above those of the theorems. The check does the same for the paper's
# condition and its $(\sqrt2 - 1)^2$.


# %% tags=["check", "asserts-prop-nine-sharp", "asserts-thm-uniqueness"]
def eight(c, kappa=1e4, delta=1e-7):
    s, copies = (delta, delta / kappa), (1, kappa**2 / 3)
    gap_R = 8 * c * (1 + s[1]) ** 2 / (s[0] - s[1])
    return s, copies, 1.0, (1.0, 1 + gap_R)


def cross_ratio(s, lam, M):
    s, Lam = np.asarray(s), 1 + np.asarray(lam)
    A = (M + Lam.min() * s.min()) * (M + Lam.max() * s.max())
    B = (M + Lam.min() * s.max()) * (M + Lam.max() * s.min())
    return A / B


conditions = {
    "cross-ratio": lambda s, lam, M: cross_ratio(s, lam, M) < 9,
    "features": lambda s, lam, M: max(s) < 9 * min(s),
    "tasks": lambda s, lam, M: 1 + max(lam) < 9 * (1 + min(lam)),
    "eight": lambda s, lam, M: np.ptp(s) * np.ptp(lam) < 8 * (M + min(s)) ** 2 / M,
}
steepest = {}
for name, family in (
    ("cross-ratio", nine),
    ("cross-ratio", nine_free),
    ("features", nine_free),
    ("tasks", nine_tasks),
    ("eight", eight),
):
    for c in (0.99, 1.01):
        s, copies, M, lam = family(c)
        top = two_task_slopes(s, copies, M, lam).max()
        steepest[name, family.__name__, c] = top
        assert conditions[name](s, lam, M) == (c < 1)
        # On the right side of one, and as near as the constant is to the theorem's.
        assert (top < 1) == (c < 1) and abs(top - 1) < 0.02

# The paper's condition; the u-mean in the middle at gamma = 1.
paper_slope = (2**0.5 - 1) ** 2
for c in (0.99, 1.01):
    s, m, M = np.array([1.0, 1e-5]), 2**0.5 - 1, 1e8
    copies = np.array([1, (1 - m) / m / s[1] ** 2])
    lam = (0.0, c * (M + s[1]) / np.ptp(s))
    middle = {"mean": lam[1] / 2, "gamma": 1.0}
    (top,) = two_task_slopes(s, copies, M, lam, **middle)
    assert (np.ptp(s) * np.ptp(lam) < M + s[1]) == (c < 1) == (top < paper_slope)
    assert abs(top / paper_slope - 1) < 0.02

below = max(top for (_, _, c), top in steepest.items() if c < 1)
above = min(top for (_, _, c), top in steepest.items() if c > 1)
print(
    f"largest slopes: at most {below:.4f} at 0.99 of the constants, "
    f"at least {above:.4f} at 1.01"
)


# %% [markdown]
# The check above works with spectra alone. Here are whole distributions, small enough for the package, with $\Xi$ a little above nine:


# %% tags=["check", "asserts-prop-nine-sharp"]
def crossing_at(gamma, counts, s, M, R=None, Sx=None, C=None):
    """Tasks whose r puts the u-mean at gamma - 1, so that F(gamma) = gamma.

    The law u sits on the smallest and the largest lambda, but for a thousandth on
    those between.
    """
    s, root = np.asarray(s), np.sqrt(np.array(counts, dtype=float))
    R = np.eye(len(counts)) if R is None else np.asarray(R)
    lam, E = np.linalg.eigh(root[:, None] * R * root)
    v = (s / (M + gamma * s)) ** 2
    m = v @ s / v.sum()
    h = m / (M + m)
    u = np.full(len(lam), 1e-3)
    rest = u[1:-1].sum()
    u[0] = u[-1] = 0.5
    if lam[-1] > lam[0]:
        high = gamma - 1 - u[1:-1] @ lam[1:-1] - (1 - rest) * lam[0]
        u[-1] = high / (lam[-1] - lam[0])
        u[0] = 1 - rest - u[-1]
    r = E @ (np.sqrt(np.abs(u)) * (1 + lam * h)) / root
    r *= 0.9 / np.sqrt(r @ np.linalg.solve(R, r))
    sigma = np.sqrt(max(M - s.sum(), 0.0))
    Sx = np.diag(s) if Sx is None else Sx
    return PromptDistribution(len(s), counts, r, R=R, Sx=Sx, C=C, sigma=sigma)


def spectra(dist):
    s, lam = dist.signal_spectrum[0], dist.task_spectrum[0]
    return s[s > 0], lam[lam > 0], dist.M


def assert_three(dist):
    points = stationary_points(dist)
    gamma = np.sort([point.gamma for point in points])
    assert len(gamma) == 3
    between = np.sqrt(gamma[:-1] * gamma[1:])
    excess = (1 + h1(dist, h2(dist, between))) / between - 1
    # Far above rounding, and of the right signs: below the diagonal, then above it.
    assert excess[0] < -1e-6 and excess[1] > 1e-6
    return points


def assert_formula(dist, gamma, s, copies):
    lam = spectra(dist)[1]
    ends = {"lam": (lam.min(), lam.max()), "gamma": gamma}
    (formula,) = two_task_slopes(s, copies, dist.M, **ends)
    # The same sums of positive terms, but for differences of lambda and of s.
    assert np.isclose(slope(dist, gamma), formula, rtol=1e-6)
    assert formula > 1


ratios = []
for kappa in (9.1, 9.5, 12.0):
    delta = 1e6 / (1 + 10**13)
    s, gamma = delta * np.array([1, 1 / kappa]), kappa**0.5 / delta
    sharp = crossing_at(gamma, (1, 10**13), np.repeat(s, (1, 27)), M=1.0)
    assert_three(sharp)
    assert_formula(sharp, gamma, s, (1, 27))
    ratios.append(cross_ratio(*spectra(sharp)))
    assert 9 < ratios[-1] < kappa

s, copies = np.array([1, 1 / 9.5]), (10, 270)
whole = np.repeat(s, copies)
noise_free = crossing_at(127.5, (1, 10**9), whole, M=whole.sum())
assert_three(noise_free)
assert_formula(noise_free, 127.5, s, copies)
ratios.append(cross_ratio(*spectra(noise_free)))
assert noise_free.sigma == 0 and 9 < ratios[-1] < 9.1
print("three stationary points at Xi = " + ", ".join(f"{x:.4f}" for x in ratios))

# %% [markdown]
# ## Rank six is not enough
#
# ```{prf:proposition} Rank six is not enough
# :label: prop-rank-six
#
# **Six directions and noise can make a second minimum.**
#
# *New here, by an example.* With $\Sigma$ of rank six and noise there can be three stationary points.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-rank-six)=
# ```{prf:proof}
# $\Sigma = \diag(1, 0.003, \dots, 0.003)$ with $d = 6$, $M = 300$, and independent tasks of $1$ and $10^8$ examples. The cell below finds three
# fixed points for one share of $r$ between the tasks. They are far apart, and $F(\gamma) - \gamma$ changes its sign three times by much more
# than rounding, which is a proof by computation.
# ```
# ````

# %% tags=["check", "asserts-prop-rank-six"]
slopes_at = dict(zip(ranks, by_rank["noise"], strict=True))
for rank in (4, 5, 6):
    assert (slopes_at[rank] > 1) == (rank == 6)
assert slopes_at[5] > 0.999  # the five: as near as one likes

six = crossing_at(9e4, (1, 10**8), [1.0] + [0.003] * 5, M=300.0)
rank_six = sorted(assert_three(six), key=lambda point: point.gamma)
assert_formula(six, 9e4, np.array([1, 0.003]), (1, 5))
print(
    "rank six, three stationary points: gamma = "
    + ", ".join(f"{point.gamma:.0f}" for point in rank_six)
)

# %% [markdown]
# The noise matters. Without it, over spectra with one large and $d - 1$ equal small eigenvalues and tasks with $\lambda_-$ near zero and
# $\lambda_+$ up to $10^8$, a search finds the first slope above one here:

# %%
searched = dict(zip(ranks, by_rank["no noise"], strict=True))
smallest_d = min(rank for rank, value in searched.items() if value > 1)
assert smallest_d == 10 and 0.99 < searched[9] < 1
print(f"smallest noise-free dimension found: {smallest_d}")

# %% [markdown]
# That is a search. {doc}`few_directions` proves it: without noise nine directions are safe and ten are not, and between five and nine the noise decides.
#
# ## What kind of point
#
# What is a stationary point: a well, a saddle, the top of a hill? The Hessian would tell, a matrix of size $d^2 + n$. But one number is enough.
#
# ```{prf:proposition} The index of a stationary point
# :label: prop-index
#
# **The slope of $F$ tells a minimum from a saddle.**
#
# *New here.* Let $\Sigma_x$ be nonsingular. At a non-trivial stationary point both diagonal blocks of the Hessian, in $P$ and in $\omega$, are
# positive definite. The derivative there of the map $\omega \mapsto$ best $P \mapsto$ best $\omega$ has the eigenvalues $1$ (scale), $F'(\gamma)$, and $0$. So if
# $F'(\gamma) < 1$ the point is a local minimum, non-degenerate up to scale; if $F'(\gamma) > 1$ it is a saddle of index one: there is one direction down. If all fixed points
# are non-degenerate they alternate as $\gamma$ grows: minimum, saddle, ..., minimum.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-index)=
# ```{prf:proof}
# In $Q$ the risk is a quadratic with second derivative $2 \bigl( M \norm{\omega}^2 \norm{dQ}_F^2 + (\norm{\omega}^2 + \omega^\top R \omega)
# \tr(\Sigma\, dQ^\top dQ) \bigr) > 0$, and in $\omega$ with $2 \bigl( (M \tr Q^\top Q + \tr \Sigma Q^\top Q) I + \tr(\Sigma Q^\top Q) R \bigr)$, positive
# definite as well. Call these blocks $H_{QQ}$ and $H_{\omega\omega}$, and $H_{Q\omega}$ the mixed one. The best $Q$ moves by $-H_{QQ}^{-1}
# H_{Q\omega}\, d\omega$ and the best $\omega$ by $-H_{\omega\omega}^{-1} H_{Q\omega}^\top dQ$, so the derivative of the composed map $\Phi$ is $J = H_{\omega\omega}^{-1}
# H_{Q\omega}^\top H_{QQ}^{-1} H_{Q\omega}$. By block elimination the Hessian has the inertia of $H_{QQ}$ and of $H_{\omega\omega} - H_{Q\omega}^\top
# H_{QQ}^{-1} H_{Q\omega} = H_{\omega\omega}^{1/2} (I - \tilde J) H_{\omega\omega}^{1/2}$, with $\tilde J$ symmetric and similar to $J$. So its index is the number of
# eigenvalues of $J$ above one, and its kernel has the dimension of the eigenvalue one.
#
# The image of $\Phi$ consists of multiples of $(h R + I)^{-1} r$, a surface of dimension two, so $J$ has rank at most two. $\Phi(t \omega) =
# t\, \Phi(\omega)$, so $J \omega = \omega$: one eigenvalue is $1$. And $\gamma(\Phi(\omega)) = F(\gamma(\omega))$, so $\nabla\gamma^\top J = F' \nabla\gamma^\top$.
#
# If $\nabla\gamma \neq 0$, $F'$ is an eigenvalue. If it equals $1$, the eigenvalue $1$ is double: otherwise its left eigenvector $\nabla\gamma$ and its right
# eigenvector $\omega$ would have a product that is not zero, but $\nabla\gamma^\top \omega = 0$, as $\gamma$ does not change with the scale.
#
# *Degenerate cases.* If $\nabla\gamma = 0$, $\omega$ and then $r$ are eigenvectors of $R$, so $h_1$ is constant and $F' = 0$, while $J$ has rank one. If $\nabla\gamma \neq 0$ but $F' = 0$, then $h_1' \neq 0$, so $h_2' = 0$,
# $h$ is constant, the image of $\Phi$ is a line, and $J$ has rank one again. In all cases the eigenvalues are $1$, $F'$ and zeros, or only $1$ if there is a single weight.
#
# *Alternation.* At neighbouring non-degenerate fixed points $F(\gamma) - \gamma$ changes sign in opposite directions.
# ```
# ````
#
# How many of each there can be is the question of {doc}`how_many`. For smaller examples the whole Hessian fits in memory. It comes from automatic differentiation of the risk of
# {prf:ref}`prop-population-risk`, with no knowledge of $F$:

# %%
import torch
from glalib.spectra import psd_root


def full_risk(dist, flat):
    """L of P and of one v_k = sqrt(n_k) omega_k for each block, |v| = |omega|."""
    d = dist.d
    P, v = flat[: d * d].reshape(d, d), flat[d * d :]
    root = torch.tensor(np.sqrt(dist.counts))
    half = torch.tensor(psd_root(dist.Sx))
    Sigma, Q = half @ torch.tensor(dist.C) @ half, half @ P @ half
    rw, ww = (torch.tensor(dist.r) * root) @ v, v @ v
    wRw = (root * v) @ torch.tensor(dist.R) @ (root * v)
    return (
        dist.M
        - 2 * rw * (Sigma @ Q).trace()
        + dist.M * ww * (Q.T @ Q).trace()
        + (ww + wRw) * (Sigma @ Q.T @ Q).trace()
    )


# %% [markdown]
# The check compares two things with the proposition, the inertia of the Hessian (how many eigenvalues are positive, zero and negative) and the eigenvalues of the map: for three examples with three stationary points each, with dense
# $\Sigma_x$ and $C$ and with correlated tasks, for two where $F' = 0$, and for twenty with random spectra.


# %% tags=["check", "asserts-prop-index"]
def balanced(dist, flat):
    """The same point at the scale where |P| = |omega|."""
    P, v = np.split(np.asarray(flat), [dist.d**2])
    c = np.sqrt(np.linalg.norm(v) / np.linalg.norm(P))
    return np.concatenate([c * P, v / c])


def assert_index(dist, point):
    """One weight for each block: those that sum to zero on a block are left out.

    R and r do not see them, and there the Hessian is a positive multiple of the
    identity, as the proof shows.
    """
    v = np.sqrt(dist.counts) * point.omega
    flat = torch.tensor(balanced(dist, np.concatenate([point.P.ravel(), v])))
    gradient = torch.func.grad(lambda x: full_risk(dist, x))(flat)
    H = torch.func.hessian(lambda x: full_risk(dist, x))(flat).numpy()
    # Scale the two blocks to unit diagonal: inertia stays, rounding shrinks.
    scale = 1 / np.sqrt(np.diag(H))
    eigenvalues = np.linalg.eigvalsh(scale[:, None] * H * scale)
    # Eigenvalues are good to rounding times the condition of the scaled Hessian,
    # about a million.
    steep, zero = slope(dist, point.gamma), 1e-9 * eigenvalues[-1]
    assert gradient.abs().max() * flat.abs().max() < 1e-9 * dist.M
    assert np.sum(np.abs(eigenvalues) <= zero) == 1  # the scale
    assert np.sum(eigenvalues < -zero) == (1 if steep > 1 else 0)

    size = dist.d**2
    H_PP, H_Pw, H_ww = H[:size, :size], H[:size, size:], H[size:, size:]
    for block in (H_PP, H_ww):
        root = np.sqrt(np.diag(block))
        assert np.linalg.eigvalsh(block / root[:, None] / root)[0] > 1e-9
    J = np.linalg.solve(H_ww, H_Pw.T @ np.linalg.solve(H_PP, H_Pw))
    expected = np.sort([1.0, steep] + [0.0] * dist.K)[-dist.K :]
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(J)))
    assert np.allclose(eigenvalues, expected, rtol=1e-6, atol=1e-6)
    return steep


def dense(rng, s):
    """Sx and C, both dense, such that Sx^1/2 C Sx^1/2 has the eigenvalues s."""
    d = len(s)
    (left, right) = (np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2))
    root = (left * 2 ** rng.uniform(-1, 1, size=d)) @ left.T
    inner = (right * s) @ right.T
    return root @ root, np.linalg.solve(root, np.linalg.solve(root, inner).T)


rng, kinds = np.random.default_rng(0), []
s = np.array([1.0] + [1 / 85] * 11)
M, (Sx, C) = 8 * s.sum(), dense(rng, s)
small = crossing_at(520.0, (1, 10_000), s, M=M)
two = [[1, 0.9], [0.9, 1]]
three = [[1, 0.3, 0.1], [0.3, 1, 0.2], [0.1, 0.2, 1]]
several = (
    small,
    crossing_at(520.0, (1, 10_000), s, M, two, Sx, C),
    crossing_at(520.0, (1, 30, 10_000), s, M, three, Sx, C),
)
for dist in several:
    points = sorted(assert_three(dist), key=lambda point: point.gamma)
    slopes = [assert_index(dist, point) for point in points]
    assert slopes[0] < 1 < slopes[1] and slopes[2] < 1  # they alternate
    kinds += slopes

# F' = 0: equal lambda, or equal s.
for sizes, s in (((4, 4), [1.0, 2.0, 3.0]), ((1, 4), [1.0, 1.0, 1.0])):
    dist = PromptDistribution(3, sizes, (0.2, 0.6), Sx=np.diag(s))
    kinds.append(assert_index(dist, optimal_wpgd(dist)))
    assert abs(kinds[-1]) < 1e-12

for _ in range(20):
    d, K = int(rng.integers(1, 6)), int(rng.integers(2, 5))
    s = 10 ** rng.uniform(-2, 0, size=d)
    directions = rng.normal(size=(K, K + 1))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    R = directions @ directions.T
    np.fill_diagonal(R, 1.0)
    counts = [int(c) for c in 10 ** rng.uniform(0, 3, size=K)]
    M = s.sum() * rng.uniform(1, 3)
    mean = np.trace(np.sqrt(counts)[:, None] * R * np.sqrt(counts)) / K
    dist = crossing_at(1 + mean, counts, s, M, R, *dense(rng, s))
    kinds += [assert_index(dist, point) for point in stationary_points(dist)]
saddles = sum(steep > 1 for steep in kinds)
print(
    f"{len(kinds)} Hessians: {len(kinds) - saddles} minima and {saddles} saddles, "
    "each as its slope says"
)

# %% [markdown]
# ## Where a descent ends
#
# Wells matter if descents fall into them. Take the first of the three examples, start L-BFGS at random, and let it run without any knowledge
# of the theory. Where it ends the gradient is zero but for rounding, and it should hardly ever be at the saddle. The start decides which of the two wells it
# finds.

# %% tags=["check"]
from scipy.optimize import minimize


def descend(dist, start, rounds=10):
    """L-BFGS on the full risk, again and again: gamma, risk and relative gradient.

    Its stopping rules look at one scale for all variables, so an end is scaled to
    |P| = |omega|, and it starts again from there.
    """

    def objective(x):
        x = torch.tensor(x, requires_grad=True)
        value = full_risk(dist, x)
        return value.item(), torch.autograd.grad(value, x)[0].numpy()

    x, steep = balanced(dist, start), np.inf
    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 0.0, "gtol": 0.0}
    # Rounding in the risk, 1e-16 M, lets a descent see gradients down to some 1e-8 M.
    while steep > 1e-5 * dist.M and rounds:
        end = minimize(objective, x, jac=True, method="L-BFGS-B", options=options)
        x, rounds = balanced(dist, end.x), rounds - 1
        risk, gradient = objective(x)
        steep = np.linalg.norm(gradient) * np.linalg.norm(x)
    v = np.sqrt(dist.counts) * x[dist.d**2 :]
    square = x[dist.d**2 :] @ x[dist.d**2 :]
    return 1 + v @ dist.R @ v / square, risk, steep / dist.M


small_points = stationary_points(small)
rng, ends = np.random.default_rng(0), []
for _ in range(24):
    angle = rng.uniform(0, np.pi / 2)
    P = np.eye(small.d) * 10 ** rng.uniform(-3, 0)
    P += 1e-3 * rng.normal(size=(small.d,) * 2)
    start = np.concatenate([P.ravel(), [np.cos(angle), np.sin(angle)]])
    ends.append(descend(small, start))
where = [
    int(np.argmin([abs(np.log(gamma / p.gamma)) for p in small_points]))
    for gamma, _, _ in ends
]
in_global, in_local, in_saddle = (where.count(k) for k in range(3))
# The curvature here is about a hundredth of M, so the risk is right to 1e-8 M.
for k, (gamma, risk, steep) in zip(where, ends, strict=True):
    assert steep <= 1e-5
    assert abs(risk - small_points[k].risk) < 1e-7 * small.M
    assert abs(gamma / small_points[k].gamma - 1) < 0.01
assert in_saddle == 0 and min(in_global, in_local) > 0
print(
    f"{len(ends)} descents: {in_global} end in the global minimum, {in_local} in the "
    f"local one, {in_saddle} in the saddle"
)

# %% [markdown]
# ## Break it
#
# The five of Theorem B is sharp because of noise. Take the noise away from the example of rank six, and keep its spectrum and its tasks: then
# no $r$ makes a second minimum.

# %%
s, copies, tasks = (1.0, 0.003), (1, 5), (1.0, 1e8)
signal = np.dot(s, copies)
found = [two_task_slopes(s, copies, M, tasks).max() for M in (300.0, signal)]
assert np.allclose(found, [1.098, 0.598], rtol=0.01)  # one above one, one below

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: how many of each
# :label: ex-count-points
#
# All fixed points of $F$ are non-degenerate, and there are $2k + 1$ of them. How many are minima, how many saddles? Why is there never an even number?
# ```
#
# ```{answer} ex-count-points
# asks: The number of minima, as a function of k.
# value: "lambda k: k + 1"
# at: [{k: 3}, {k: 1}, {k: 10}]
# wrong:
# - value: "lambda k: k"
#   says: Those are the saddles. The first and the last crossing go from above to below.
# - value: "lambda k: 2 * k + 1"
#   says: Between two minima there is a saddle.
# - value: "lambda k: k + 1 / 2"
#   says: A whole number. Which kind stands at both ends?
# - value: "lambda k: 2 * k"
#   says: The two kinds alternate.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Which sign has $F(\gamma) - \gamma$ at the two ends of the range? And what does a crossing from above to below mean for $F'$?
# ```
#
# ````{solution} ex-count-points
# :class: dropdown
#
# $F(\gamma) - \gamma \ge 0$ at $\gamma = 1$ and $\le 0$ at $\Lambda_+$. So the first and the last crossing go from above to below, which means $F' < 1$: minima. In between
# they alternate. That makes $k + 1$ minima and $k$ saddles, and an odd number in all.
#
# ```python
# kinds_of_six = [slope(six, point.gamma) < 1 for point in rank_six]
# assert kinds_of_six == [True, False, True]
# ```
# ````
#
# ```{exercise} Compute: why twenty-seven
# :label: ex-twenty-seven
#
# In the first family of {prf:ref}`prop-nine-sharp` there are $27$ small eigenvalues. Which other numbers $\nu$ would do, at $\kappa = 9.1$, $9.5$ and $12$?
# ```
#
# ```{answer} ex-twenty-seven
# asks: The smallest and the largest number that will do at 9.1.
# value: "(lambda found: [min(found), max(found)])([nu for nu in range(15, 60) if works(9.1, nu)])"
# within: 0.4
# wrong:
# - value: "[16, 56]"
#   says: That is at 9.5. Closer to nine fewer numbers will do.
# - value: "[9, 100]"
#   says: That is at 12, where the search stops at a hundred.
# - value: "[27, 27]"
#   says: So it is in the limit. A little above nine its neighbours will do, too.
# - value: "[20, 37]"
#   says: These are the first that will not do.
# minutes: 7
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `two_task_slopes` takes any number of copies. Use $\delta = 10^{-7}$, $M = 1$ and $\lambda_+ = 10^{12}$, and look for a largest slope above one.
# ```
#
# ````{solution} ex-twenty-seven
# :class: dropdown
#
# At $\kappa = 9.1$ the numbers from $21$ to $36$, at $9.5$ those from $16$ to $56$, at $12$ all from $9$ to a hundred, where the search stops. They close in on $9^{3/2} = 27$ as
# $\kappa$ falls to nine, where only the best choice reaches one.
#
# ```python
# def works(kappa, nu, delta=1e-7):
#     return (
#         two_task_slopes(
#             (delta, delta / kappa), (1, nu), 1.0, (1.0, 1e12), points=2000
#         ).max()
#         > 1
#     )
#
#
# for kappa, first, last in ((9.1, 21, 36), (9.5, 16, 56)):
#     assert [nu for nu in range(1, 80) if works(kappa, nu)] == list(
#         range(first, last + 1)
#     )
# assert [nu for nu in range(1, 101) if works(12.0, nu)] == list(range(9, 101))
# ```
# ````
#
# ```{exercise} Explore: how much noise does a rank need?
# :label: ex-noise-for-rank
#
# With enough noise there can be several minima at rank six; without noise the search found none below rank ten. For the ranks between, search for the least
# $\sigma^2 / \tr \Sigma$ that lets the largest slope pass one.
# ```
#
# ```{answer} ex-noise-for-rank
# asks: The least ratio of the noise's variance to the trace of Sigma at the ranks 6, 7 and 8.
# value: "[4 / (rank - 5) - 1 for rank in (6, 7, 8)]"
# within: 5%
# wrong:
# - value: "[4 / (rank - 5) for rank in (6, 7, 8)]"
#   says: That is M over the trace. Noise is what M has besides it.
# - value: "[3, 2, 1]"
#   says: Right at six. It does not fall by equal steps, and nine needs next to nothing.
# - value: "[3 ** 0.5, 1, 3 ** -0.5]"
#   says: These are ratios of sigma. Variances are asked for.
# - value: "[0.75, 0.5, 0.25]"
#   says: That is the share of the noise in M. Divide by the trace.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Search as the picture does: one large eigenvalue, the others small and equal, $\lambda_-$ near zero and $\lambda_+$ huge. Put $M = (1 + \text{noise}) \tr \Sigma$.
# ```
#
# ````{solution} ex-noise-for-rank
# :class: dropdown
#
# About $3$ at rank six, $1$ at rank seven, $\frac13$ at rank eight, and very little at rank nine. Numbers this round ask for a formula, $\operatorname{rank} \Sigma \le 5 + 4 \tr(\Sigma)/M$ and a little more: {prf:ref}`thm-few-directions`. With no more noise than
# that there is one minimum, and no better bound can be given.
#
# ```python
# def largest_with(rank, noise):
#     return max(
#         two_task_slopes(
#             (1.0, small),
#             (1, rank - 1),
#             (1 + (rank - 1) * small) * (1 + noise),
#             (1e-3, top),
#             points=400,
#         ).max()
#         for small in np.geomspace(1e-6, 0.3, 50)
#         for top in (1e4, 1e8, 1e12)
#     )
#
#
# for rank, noise in ((6, 3), (7, 1), (8, 1 / 3)):
#     assert largest_with(rank, 0.95 * noise) < 1 < largest_with(rank, 1.05 * noise)
# assert largest_with(9, 0.0) < 1 < largest_with(9, 0.03)
# ```
# ````

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
#   settles: how to find every stationary point, with a certificate
# ---

# %% [markdown]
# # All of them, certified
#
# How can one be sure that no stationary point has been missed?
#
# The stationary points are the fixed points of one function ({prf:ref}`thm-stationary-points`). In general, samples of a function cannot show that *all* its fixed points are found: two of them may hide between samples. But this function does
# not decrease ({prf:ref}`prop-monotone-map`). So from each interval one can cut off ends that hold no fixed point, and often nothing is left of it.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-enumeration", "caption": "What is left closes in on the fixed points, and on all of them. Above: a map that never falls, and the diagonal. Below: the intervals that are kept, after each round of cutting, dropping and halving."}}
import matplotlib.pyplot as plt
import numpy as np
from glalib import plotting
from glalib.fixed_points import fixed_points

plotting.use_style()


def staircase(rng, steps=6):
    """A random non-decreasing map of [0, 1] into itself, with many fixed points."""
    centres, widths = rng.random(steps), 10 ** rng.uniform(-3, -1, size=steps)
    heights = rng.dirichlet(np.ones(steps))

    def F(x):
        return (1 + np.tanh((x[:, None] - centres) / widths)) / 2 @ heights

    return F


def refine(F, a, b):
    """One round: cut each interval [a, b] to [F(a), F(b)], drop it if empty, halve."""
    a, b = np.maximum(a, F(a)), np.minimum(b, F(b))
    a, b = a[a <= b], b[a <= b]
    middle = (a + b) / 2
    return np.concatenate([a, middle]), np.concatenate([middle, b])


shown = staircase(np.random.default_rng(19))
rounds = [(np.array([0.0]), np.array([1.0]))]
for _ in range(8):
    rounds.append(refine(shown, *rounds[-1]))

fig, (top, low) = plt.subplots(2, 1, figsize=(6.2, 5.4), sharex=True)
x = np.linspace(0, 1, 2001)
top.plot(x, x, color="0.5", linewidth=1)
top.plot(x, shown(x), color=plotting.TASKS[0], linewidth=2.4)
points = fixed_points(shown, 0.0, 1.0)
top.plot(points, points, "o", color="0.1", markersize=6)
top.text(0.02, 0.12, "diagonal", color="0.4", rotation=24)
for k, (a, b) in enumerate(rounds):
    # A short interval would be too thin to see: at least the width of a dash.
    middle, half = (a + b) / 2, np.maximum(b - a, 0.004) / 2
    low.hlines(
        np.full(len(a), k),
        middle - half,
        middle + half,
        color=plotting.TASKS[1],
        linewidth=5,
    )
for point in points:
    low.axvline(point, color="0.1", linewidth=0.8, linestyle=":")
low.invert_yaxis()
low.grid(False)
top.set(ylabel=r"$F(\gamma)$")
_ = low.set(xlabel=r"$\gamma$", ylabel="rounds")

# %% tags=["remove-input"]
plotting.FigureData(
    "enumeration",
    {
        "round": np.repeat(np.arange(len(rounds)), [len(a) for a, _ in rounds]),
        "from": np.concatenate([a for a, _ in rounds]),
        "to": np.concatenate([b for _, b in rounds]),
    },
    figure=fig,
    map="the random staircase of the page",
    seed=19,
)


# %% [markdown]
# ## Nothing is lost
#
# ```{symbols}
# F gamma
# ```
#
# ```{prf:proposition} Certified enumeration
# :label: prop-enumeration
#
# **Cut, drop and halve: for a map that never falls, no fixed point is lost.**
#
# *New here.* Let $F$ be continuous and non-decreasing on a closed, bounded interval, and map it into itself. Start with that
# interval. Again and again, replace every interval $[\gamma_-, \gamma_+]$ of the list by $[\gamma_-, \gamma_+] \cap [F(\gamma_-), F(\gamma_+)]$, drop it if
# that is empty, and halve it. At every moment each fixed point lies in an interval of the list; and every change of sign of
# $F(\gamma) - \gamma$ between neighbouring ends of intervals has a fixed point between them.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-enumeration)=
# ```{prf:proof}
# If $\gamma = F(\gamma)$ lies in $[\gamma_-, \gamma_+]$, then $F(\gamma_-) \le F(\gamma) = \gamma \le F(\gamma_+)$, so it lies in the smaller interval too, which is
# then not empty. Halving keeps both halves. So no fixed point is ever lost. The claim on changes of sign is the intermediate value theorem.
# ```
# ````
#
# As code, until the intervals are short:


# %%
def enclose(F, low, high, length=1e-6):
    """Short intervals (m, 2) that together hold every fixed point of F, up to rounding."""
    a, b, short = np.array([low]), np.array([high]), []
    while a.size:
        a, b = np.maximum(a, F(a)), np.minimum(b, F(b))  # cut
        a, b = a[a <= b], b[a <= b]  # drop
        done = b - a < length
        short.append(np.stack([a[done], b[done]], axis=1))
        middle = (a[~done] + b[~done]) / 2  # halve
        a, b = np.append(a[~done], middle), np.append(middle, b[~done])
    return np.concatenate(short)


kept = enclose(shown, 0.0, 1.0)
for point in points:
    assert ((kept[:, 0] - 1e-12 < point) & (point < kept[:, 1] + 1e-12)).any()


# %% [markdown]
# In double precision $F(\gamma) / \gamma$ is known to about $10^{-14}$, and that sets the resolution. Between two fixed points at a relative distance
# $\delta$ the function $F(\gamma) - \gamma$ makes a bump of height about $\delta^2$. So two can be told from one, and a touch of the diagonal from none, down
# to distances of about $10^{-7}$; three that meet, down to about $10^{-4}$.
#
# ```{dropdown} How the package counts
# It halves intervals until they are that short. Then it counts a point for each change of sign that is clear of rounding, and one for a touch, where
# $F(\gamma) = \gamma$ to rounding. Points nearer to each other than that count as one. The tests compare the list with 50-digit arithmetic in the hard cases, near a tangency and near a
# cusp, from both sides: there is no point too many and none too few.
# ```
#
# Does a dense scan see a fixed point that is not in the list?


# %% tags=["check", "asserts-prop-enumeration"]
def scan(F, x):
    """Neighbouring points of the grid between which F(x) - x changes its sign."""
    excess = F(x) - x
    (clear,) = np.nonzero(excess)  # a zero on the grid is one point, not two
    signs = np.sign(excess[clear])
    changes = np.flatnonzero(signs[:-1] != signs[1:])
    return list(zip(x[clear[changes]], x[clear[changes + 1]], strict=True))


rng, counts, missed = np.random.default_rng(0), [], 0
for _ in range(100):
    F = staircase(rng)
    found = fixed_points(F, 0.0, 1.0)
    # Rounding of F, times slopes of at most a thousand.
    assert np.abs(F(found) - found).max() < 1e-12
    scanned = scan(F, np.linspace(0, 1, 200_001))
    # One point, at least, in every change of sign (1e-9 for signs at the rounding).
    missed += sum(
        not ((a - 1e-9 < found) & (found < b + 1e-9)).any() for a, b in scanned
    )
    assert len(found) >= len(scanned)
    counts.append(len(found))
assert missed == 0 and max(counts) >= 5
print(
    f"{len(counts)} random staircases with up to {max(counts)} fixed points: "
    f"of what a scan of 200,001 points sees, {missed} are missed"
)


# %% [markdown]
# ## Break it
#
# **A map that falls.** The certificate needs a map that never falls. Give it one that goes up and down, and it drops intervals in which there are fixed points:


# %%
def wavy(x):
    return 0.5 + 0.45 * np.sin(12 * x)


true_count = len(scan(wavy, np.linspace(0, 1, 100_001)))
found = fixed_points(wavy, 0.0, 1.0)
assert len(found) < true_count
print(f"found {len(found)} of {true_count}")

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: why a touch is hard
# :label: ex-touch
#
# Let $F(\gamma) - \gamma$ have two zeros at distance $\delta$, and be smooth. How high is the bump between them? What distance can be told from zero if $F$
# is known to $10^{-14}$?
# ```
#
# ```{answer} ex-touch
# asks: With a constant of one, which distance of two zeros can be told from none?
# value: 2 * 1e-14**0.5
# wrong:
# - value: 1e-14**0.5
#   says: In the middle between the zeros each factor is half the distance.
# - value: 1e-14
#   says: That is the height of the bump that can be seen. How high is it, by the product of two factors?
# - value: 2 * 1e-14
#   says: The bump has two factors, so its height goes with the square of the distance.
# - value: 1e-14 ** (1 / 3)
#   says: That is the order for three zeros.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Near the two zeros $F(\gamma) - \gamma$ is about a constant times a product of two factors.
# ```
#
# ````{solution} ex-touch
# :class: dropdown
#
# Near them $F(\gamma) - \gamma \approx c\, (\gamma - \gamma_1)(\gamma - \gamma_2)$, which in the middle is $c\, \delta^2/4$ in size. It is clear of $10^{-14}$ when $\delta$ is above $2 \cdot 10^{-7}/\sqrt c$.
# For three zeros the bumps have height of the order of $\delta^3$, so that $\delta$ must be above the cube root of $10^{-14}$, some $2 \cdot 10^{-5}$, times a constant.
#
# ```python
# def nearly_touching(x, gap):  # F(x) = x at 0.5, at 0.5 + gap and at 0.7
#     return x + (x - 0.5) * (x - 0.5 - gap) * (0.7 - x)
#
#
# for gap, expected in ((1e-3, 3), (1e-5, 3), (1e-9, 2)):
#     assert (
#         len(fixed_points(lambda x: nearly_touching(x, gap), 0.4, 0.8)) == expected
#     )
# ```
# ````
#
# ```{exercise} Compute: the price of a certificate
# :label: ex-certificate-price
#
# To place a fixed point of the map of {numref}`fig-enumeration` within $10^{-6}$, a blind scan must look at a million places. At how many places does `enclose` evaluate the map? How many intervals are left?
# ```
#
# ```{answer} ex-certificate-price
# asks: At how many places does it evaluate the map?
# value: evaluations
# within: 10%
# wrong:
# - value: len(left)
#   says: These are the intervals that are left.
# - value: "(lambda calls: (enclose(lambda x: calls.append(1) or shown(x), 0.0, 1.0), len(calls))[1])([])"
#   says: These are the calls. Each of them gives many places at once.
# - value: 10**6
#   says: That is the blind scan.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Wrap the map in a function that adds up the sizes of what it is given.
# ```
#
# ````{solution} ex-certificate-price
# :class: dropdown
#
# At about 300, and seven intervals are left, one for each fixed point. What is not near a fixed point is dropped early. So a fixed point costs some tens of evaluations, certificate included.
#
# ```python
# evaluations = 0
#
#
# def counted(x):
#     global evaluations
#     evaluations += len(x)
#     return shown(x)
#
#
# left = enclose(counted, 0.0, 1.0)
# assert 250 < evaluations < 350 and len(left) == len(points) == 7
# ```
# ````
#
# ```{exercise} Explore: the price of a touch
# :label: ex-price-of-a-touch
#
# Now let the graph touch the diagonal without crossing it. How does the number of intervals that `enclose` leaves grow as `length` shrinks? How is it if there
# are crossings only? Explain both.
# ```
#
# ```{answer} ex-price-of-a-touch
# asks: If the length falls to a hundredth, the number of intervals grows by which factor at a touch, and by which at crossings?
# value: "[left_over(0.0, 1e-8) / left_over(0.0, 1e-6), left_over(0.1, 1e-8) / left_over(0.1, 1e-6)]"
# within: 5%
# wrong:
# - value: "[100, 1]"
#   says: At a touch the graph leaves the diagonal like a square. How wide is the part within one length of it?
# - value: "[100, 100]"
#   says: Intervals away from the fixed points are dropped. Only those within about one length of the diagonal survive.
# - value: "[1, 1]"
#   says: At a crossing, yes. At a touch the part near the diagonal is wider than one interval.
# - value: "[0.1, 1]"
#   says: The part near the diagonal shrinks to a tenth, but the intervals to a hundredth.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# On $[0.4, 0.8]$ the map $\gamma + (\gamma - 0.5)(\gamma - 0.5 - \delta)(0.7 - \gamma)$ touches for $\delta = 0$, and crosses twice more for $\delta = 0.1$. An interval survives only if $\lvert F(\gamma) - \gamma \rvert$ is at most about its length.
# ```
#
# ````{solution} ex-price-of-a-touch
# :class: dropdown
#
# At a touch a hundredth of the length leaves ten times as many intervals. With $F(\gamma) - \gamma \approx c\, (\gamma - \gamma_1)^2$ those of length $\ell$ survive within about $\sqrt{\ell/c}$ of
# $\gamma_1$, and there are about $1/\sqrt{c\, \ell}$ of them. At a crossing with slope $F' \ne 1$ they survive within $\ell/\lvert 1 - F' \rvert$: their number does not grow.
#
# ```python
# def left_over(gap, length):
#     def F(x):  # F(x) = x at 0.5, at 0.5 + gap and at 0.7
#         return x + (x - 0.5) * (x - 0.5 - gap) * (0.7 - x)
#
#     return len(enclose(F, 0.4, 0.8, length))
#
#
# assert np.isclose(left_over(0.0, 1e-8) / left_over(0.0, 1e-6), 10, rtol=0.02)
# assert np.isclose(left_over(0.1, 1e-8) / left_over(0.1, 1e-6), 1, rtol=0.02)
# ```
# ````

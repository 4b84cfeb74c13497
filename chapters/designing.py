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
#   settles: 'which gate suits which data: what to build, when, for what gain, and where
#     the advice fails'
# ---

# %% [markdown]
# # Designing a gate
#
# You know what your data look like: which gate should you build, what will it gain, and when is the advice wrong?
#
# An *example* is a vector of $d$ features with its label, a *task* the linear map behind a run of examples, and its *relevance* how far it agrees with the query's task, from one down to minus one. A *mark* is anything in a token that says that a task has ended. To *erase* is to take off what is held along a key before the new value is written, as a delta rule does.
#
# Behind all advice stands one question: **what tells how much an example is worth, and when?** A gate on the write has to know it as the token comes. A forget gate may learn it later, from a mark. A gate at the query learns it last. Where nothing tells it, a decay can still follow time, and a state that sees its own error can erase.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-design-tree", "caption": "What tells how much an example is worth decides which part to build. Each box has a symptom and its part, in bold, or in italics where it gained little in the examples below; its number is that of a row there."}, "image": {"alt": "A decision tree. First, if the label stands one token after its features, shift the keys and go on. Then: what tells how much an example is worth? If something in the prompt tells: 1, packed documents, a mark after each, before which nothing counts: a forget gate that is shut at the mark. 2, a mark after it, and worth rises: a forget gate that sees the mark. 3, its own token, where the best may come early: a gate on the write. 4, some tasks point the other way: two heads, one subtracted. 5, the query alone, which names one of few tasks: a head for each, with a gate at the query. If nothing tells: 6, tasks drift: if slowly, erase first; if fast, one decay, shorter than the drift. 7, they drift on several time scales: a head for each, a small gain. 8, ends move or are unmarked, and the last counts most: erase, by a delta rule. 9, all tasks are alike: no gate, but erasing gains. On top: 10, with little noise erase, too; 11, with noise and several layers put a gate at the query in each, a small gain."}}
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from glalib import (
    PromptDistribution,
    delta_rule_risk,
    optimal_delta_rule,
    optimal_wpgd,
    plotting,
    population_risk,
)
from glalib.architectures.catalogue import LAYERS
from glalib.delta.blocks import best_two_blocks, block, two_block_gain
from glalib.drift import drifting, right_decay
from glalib.label_energy import best_sigmoid, energy_risk
from matplotlib.patches import FancyBboxPatch
from myst_nb import glue
from scipy.optimize import brentq, minimize_scalar
from scipy.special import gammaln

plotting.use_style()
TOLD = [
    (
        "packed documents: a mark,\nnothing before it counts",
        "forget gate, shut\nat the mark",
    ),
    ("a mark after it,\nand worth rises", "forget gate\nthat sees the mark"),
    ("its own token; the\nbest may come early", "gate on the write"),
    ("some tasks point\nthe other way", "two heads,\none subtracted"),
    ("the query alone:\none of few tasks", "a head for each,\ngate at the query"),
]
NOT_TOLD = [
    ("tasks drift", "slowly: erase first;\nfast: one short decay"),
    ("drift on several\ntime scales", "a head for each"),
    (
        "ends move, or are\nunmarked, and the last\ncounts most",
        "erase: a delta rule",
    ),
    ("all tasks alike", "no gate\n(but erasing gains)"),
]
FIRST = [("label a token after its features?", "shift the keys, then go on")]
ON_TOP = [
    ("little noise:", "erase, too"),
    ("noise, several layers:", "gate at the query in each"),
]
BOLD, SMALL = {"weight": "bold"}, {"style": "italic"}  # SMALL: rows 7 and 11
fig, ax = plt.subplots(figsize=(6.4, 7.3))
ax.set(xlim=(0, 6.4), ylim=(0.3, 7.6))
ax.set_axis_off()


def box(x, y, width, height, color="0.4", line="-"):
    """A frame whose middle is at x, y."""
    corner = x - width / 2, y - height / 2
    style = "round,pad=0,rounding_size=0.1"
    frame = {"fill": False, "ec": color, "ls": line, "lw": 1.6}
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, **frame))


def words(x, y, told, build=None, look=BOLD):
    """The symptom above the part, about the middle x, y; on one line if there is no part."""
    if build is None:
        ax.text(x, y, told, ha="center", va="center")
        return
    lines = told.count("\n") + 1, build.count("\n") + 1
    top = y + 0.1 * sum(lines)
    ax.text(x, top, told, ha="center", va="top", linespacing=1.1)
    ax.text(
        x,
        top - 0.2 * lines[0],
        build,
        ha="center",
        va="top",
        linespacing=1.1,
        **look,
    )


def arrow(start, end):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.4"})


words(3.2, 7.3, *FIRST[0])
box(3.2, 7.3, 6.2, 0.52)
arrow((3.2, 7.04), (3.2, 6.8))
words(3.2, 6.66, "What tells how much an example is worth?")
for x, head, leaves, color, line, tall, gap in (
    (1.6, "something in the prompt", TOLD, plotting.TASKS[0], "-", 0.88, 0.94),
    (4.8, "nothing in the prompt", NOT_TOLD, plotting.TASKS[1], "--", 0.88, 1.2533),
):
    arrow((3.2, 6.54), (x, 6.32))
    words(x, 6.18, head)
    for i, leaf in enumerate(leaves):
        y = 5.56 - gap * i
        box(x, y, 3.0, tall, color, line)
        number = i + 1 + len(TOLD) * (leaves is NOT_TOLD)
        words(x + 0.12, y, *leaf, SMALL if number == 7 else BOLD)
        ax.text(x - 1.4, y + 0.38, number, va="top", color=color, weight="bold")
box(3.2, 0.82, 6.2, 0.88)
ax.text(3.2, 1.08, "and on top", ha="center", va="center")
for i, (told, build) in enumerate(ON_TOP):
    y = 0.82 - 0.26 * i
    number = len(TOLD + NOT_TOLD) + 1 + i
    ax.text(0.2, y, number, va="center", weight="bold")
    ax.text(2.9, y, told, ha="right", va="center")
    look = SMALL if number == 11 else BOLD
    ax.text(3.0, y, build, ha="left", va="center", **look)

# %% tags=["remove-input"]
leaves = [*FIRST, *TOLD, *NOT_TOLD, *ON_TOP]
plotting.FigureData(
    "design_tree",
    {
        "number": np.arange(len(leaves)),
        "who_tells": ["first"]
        + ["something in the prompt"] * len(TOLD)
        + ["nothing in the prompt"] * len(NOT_TOLD)
        + ["on top"] * len(ON_TOP),
        "symptom": [told.replace("\n", " ") for told, _ in leaves],
        "build": [build.replace("\n", " ") for _, build in leaves],
    },
    seed="none",
)

# %% [markdown]
# **If one layer has to do for all,** take a Gated DeltaNet with its short convolution: it looks one token back, sees marks, and erases with steps that its tokens set. With a step for each task, erasing leaves {glue:text}`design_2_2:.3f` of the risk where the best fixed weights leave {glue:text}`design_2_1:.3f` (row 2), and {glue:text}`design_3_2:.3f` where the better task comes first (row 3). With keys of length one, as that layer makes them, it is {glue:text}`design_unit_2:.3f` and {glue:text}`design_unit_3:.3f`. Against it speak noise, a few examples a dimension, tasks that live where features are weak, and, where the better task comes first, tokens that do not tell their task.
#
# **Leave out first,** by these examples, heads for several time scales (row 7), a gate at the query in a deep stack (row 11), and gates that read labels: none takes off more than {glue:text}`design_least:.0f` per cent of the risk. That is one example each. Where one drift is far slower, two heads leave {glue:text}`design_wide_2:.3f` in place of {glue:text}`design_wide_1:.3f`; and the gate of row 11 takes off {glue:text}`design_filter_share:.0f` per cent of what is left above the Bayes predictor.
#
# **If several symptoms hold,** build a part for each; in every example of it here, two leave less than either. For slow drift with unmarked resets, as of a sensor, that is a gated delta rule: a decay leaves {glue:text}`design_sensor_decay:.3f`, erasing {glue:text}`design_sensor_erase:.3f`, both {glue:text}`design_sensor_both:.3f` ($\rho = 0.99$, a reset after each 200 examples). Where ends stand still and tokens tell their worth as they are written, a gate on the write does all that a forget gate does; where ends move it does not (row 8).
#
# **If there is room for one,** count examples per dimension, and look at the noise. Packed documents show it. With $n = 10 d$ and no noise a gate shut at the mark leaves {glue:text}`design_packed_0_mark:.3f`, one step that erases and sees no mark {glue:text}`design_packed_0_blind:.3f`, both {glue:text}`design_packed_0_both:.3f`. With $\sigma^2 = d$, or with $n = 2 d$, the gate alone leaves less than erasing alone. So with many examples per dimension and little noise erase first, else build the gate at the mark first. Gated DeltaNet can do both. If the kernel knows the boundaries (`cu_seqlens`), it starts each document with an empty state, for nothing ({doc}`from_fla`): this is about marks that it does not know.
#
# ```{dropdown} Packed documents in numbers, and at the mark itself
# Lengths differ, and what came before is worth nothing to the query. Risk left by a gate shut at the mark; by that with a slow decay, so that a long document does not speak too loudly; by one step that erases and sees no mark; and by both, shut and erasing:
#
# | $n$ | $\sigma^2$ | shut | shut, decay | erases | both |
# |---|---|---|---|---|---|
# | $10 d$ | 0 | {glue:text}`design_packed_0_mark:.3f` | {glue:text}`design_packed_0_slow:.3f` | {glue:text}`design_packed_0_blind:.3f` | {glue:text}`design_packed_0_both:.3f` |
# | $10 d$ | $0.1 d$ | {glue:text}`design_packed_1_mark:.3f` | {glue:text}`design_packed_1_slow:.3f` | {glue:text}`design_packed_1_blind:.3f` | {glue:text}`design_packed_1_both:.3f` |
# | $10 d$ | $d$ | {glue:text}`design_packed_2_mark:.3f` | {glue:text}`design_packed_2_slow:.3f` | {glue:text}`design_packed_2_blind:.3f` | {glue:text}`design_packed_2_both:.3f` |
# | $2 d$, $d = 64$ | 0 | {glue:text}`design_packed_3_mark:.3f` | {glue:text}`design_packed_3_slow:.3f` | {glue:text}`design_packed_3_blind:.3f` | {glue:text}`design_packed_3_both:.3f` |
#
# Erasing passes the gate shut at the mark from $n$ of about {glue:text}`design_cross_0:.1f` $d$ on without noise, and {glue:text}`design_cross_1:.1f` $d$ at $\sigma^2 = 0.1 d$.
#
# A Mamba-2 comes as far as the second of these. But the long step that shuts it writes the mark itself, with much weight. And a short convolution reads across the mark: the first keys after it still have some of what stood before.
# ```
#
# ```{admonition} What this page cannot tell you
# :class: note
#
# Prompts are linear regressions with Gaussian features, and risks those of the best parameters, not of what training finds: {doc}`real_layers` has that. There is no MLP and no softmax. Conditions carry over to other sizes; fractions belong to their examples. Where the query is itself a key seen before and its value is asked for (recall), no row here is it: that is a question of how many keys a state holds, and not in this book. Where the book has no theorem, a row says so.
# ```
#
# ```{symbols}
# omega P K counts n d x y q k v G risk M r R C Sx sigma rho N
# ```
#
# ## What each part gains
#
# The example is two independent tasks of 50 examples each, $d = 10$ white features, no noise, relevances $r = (0.2, 0.8)$. So each task has five examples per dimension, and the gains belong to that: with $d = 128$ the gate of row 2 comes from {glue:text}`design_wider_0:.3f` to {glue:text}`design_wider_1:.3f` only.
#
# ```{dropdown} Rows with another example
# Rows 3, 4 and 9 have $r = (0.8, 0.2)$, $(-0.2, 0.8)$ and $(0.5, 0.5)$. In rows 1 and 8 the first task ends anywhere, all places equally likely, with $r = (0, 1)$ and $(0.2, 0.8)$. Row 5 has four tasks of 25, row 10 one of 20. In row 6 the task drifts with $\rho = 0.9$, in row 7 half of it with $0.8$ and half with $0.999$. Row 11 is three layers, $d = 5$, ten examples of one task, $\sigma = 2$.
# ```

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-design-gains", "caption": "Some parts take off most of the risk, and some next to nothing. Risk over that of predicting zero, without the advised part (open), with it (filled), and, where it was computed, of a layer that erases instead, with plain keys (diamonds; a step for each task in rows 2, 3 and 9, else one for all). Rows are those of the tree; in the first, a shift and nothing else."}}
d, n = 10, 100


def two_tasks(r, counts=(50, 50)):
    return PromptDistribution(d, counts, r)


def over_M(result, dist):
    return result.risk / dist.M


def erasing(r):
    """Two tasks of 50, a step for each."""
    return 1 - float(best_two_blocks(r, (50, 50), d)[0])


def least(function, low, high):
    """The least value between two numbers, and where it is."""
    options = {"xatol": 1e-7}
    found = minimize_scalar(
        function, bounds=(low, high), method="bounded", options=options
    )
    return found.fun, found.x


last, early, even, opposed = (
    two_tasks(r) for r in ((0.2, 0.8), (0.8, 0.2), (0.5, 0.5), (-0.2, 0.8))
)
no_gate, marked = (
    over_M(optimal_wpgd(last, w), last) for w in ("uniform", "monotone")
)
forget, write = (
    over_M(optimal_wpgd(early, w), early) for w in ("monotone", "free")
)

# Ends that move: the first task has from 1 to n - 1 examples, all equally likely.
first = np.arange(1, n)


def moving(r, b, g, size=(n, d, 0.0)):
    """Mean risk / M of gates b at the mark and g at every example, with the best P for all."""
    n, d, noise = size
    first, powers = np.arange(1, n), np.arange(n)
    young, square = (np.append(0, np.cumsum(g ** (p * powers))) for p in (1, 2))
    new, old = young[n - first], b * (young[n] - young[n - first])
    told = (r[0] * old + r[1] * new).mean()
    squares = square[n - first] + b**2 * (square[n] - square[n - first])
    energy = ((d + 1 + noise) * squares + old**2 + new**2).mean()
    return 1 - told**2 / energy * d / (d + noise)


def erased(r, step_1, step_2, size=(n, d, 0.0), b=1.0):
    """The same for the delta rule with a step for each task, and a gate b at the mark."""
    n, d, noise = size
    first = np.arange(1, n)
    t_1, _, e_1 = block(step_1, first, d, noise)
    t_2, mu_2, e_2 = block(step_2, n - first, d, noise)
    told = (b * r[0] * t_2 * (1 - t_1) + r[1] * (1 - t_2)).mean()
    return 1 - told**2 / (b**2 * mu_2 * e_1 + e_2).mean() * d / (d + noise)


def one_step(r, size=(n, d, 0.0), b=1.0):
    """The least risk of one positive step for all, and the step."""
    top = 3.6 / (size[1] + 2)
    return least(lambda step: erased(r, step, step, size, b), 1e-5, top)


packed, ends = (0.0, 1.0), (0.2, 0.8)

drift = drifting(0.9, n, d)
drift_without, drift_with = (
    optimal_wpgd(drift, w) for w in ("uniform", "constant-gate")
)


def followed(rho, step, decay, length, resets=None, erase=True):
    """Overlap with the query's task, and energy / d, after each example of a task that drifts."""
    energy = overlap = np.zeros(np.broadcast(step, decay).shape)
    for i in range(length):
        overlap = (rho if resets is None or i % resets else 0) * overlap
        miss = overlap - decay * energy if erase else overlap
        error = 1 - decay * overlap - decay * miss if erase else 1
        energy = (
            decay**2 * energy + 2 * decay * step * miss + step**2 * (d + 2) * error
        )
        overlap = decay * (1 - step if erase else 1) * overlap + step
        yield rho * overlap, energy


def of_last(rho, cases, length=n, last=1, **options):
    """Risk / d for steps and decays, (2, cases), the query after any of the last examples."""
    found = np.array(list(followed(rho, *cases, length, **options))[-last:]).mean(0)
    return 1 - found[0] ** 2 / found[1]


def finer(function, low, high, rounds=7, points=11):
    """The least value on a grid between two points, ever finer, and where it is."""
    low, high = np.array((low, high), dtype=float)
    ends = low, high
    for _ in range(rounds):
        axes = np.linspace(low, high, points).T
        grid = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(axes), -1)
        values = function(grid)
        at, reach = grid[:, values.argmin()], (high - low) / 5
        low, high = np.maximum(at - reach, ends[0]), np.minimum(at + reach, ends[1])
    return values.min(), at


def drifted(rho, **options):
    """Decay alone, erasing alone, both: the least risks / d of one step, and where they are."""
    return (
        finer(
            lambda g: of_last(rho, (1.0, g[0]), erase=False, **options), [0.5], [1]
        ),
        finer(lambda s: of_last(rho, (s[0], 1.0), **options), [1e-3], [0.2]),
        finer(lambda x: of_last(rho, x, **options), [1e-3, 0.5], [0.2, 1]),
    )


fast, slow = drifted(0.9), drifted(0.99, length=200)


def two_drifts(rhos, shares, n, longest):
    """The prompts' R and r, and the least risks / d of one decay, and of two heads that share P."""
    age = np.arange(n, 0, -1.0)
    lag = np.abs(np.subtract.outer(age, age))
    r, R = (sum(s * rho**x for s, rho in zip(shares, rhos)) for x in (age, lag))
    # Pairs of decays from a grid, each at its best factors.
    decays = (1 - 1 / np.geomspace(1.5, longest, 60)) ** age[:, None]
    energy = decays.T @ (R @ decays) + (d + 1) * decays.T @ decays
    fits = decays.T @ r
    i, j = np.triu_indices(60, 1)
    one, two, both = energy[i, i], energy[j, j], energy[i, j]
    gains = fits[i] ** 2 * two - 2 * fits[i] * fits[j] * both + fits[j] ** 2 * one
    pair = 1 - (gains / (one * two - both**2)).max()
    return R, r, 1 - (fits**2 / energy.diagonal()).max(), pair


age = np.arange(n, 0, -1.0)
R, r, _, scales_with = two_drifts((0.8, 0.999), (0.5, 0.5), n, 400)
scales = PromptDistribution(d, (1,) * n, r, R=R)
scales_without = over_M(optimal_wpgd(scales, "constant-gate"), scales)

four = two_tasks((0.25,) * 4, (25,) * 4)
named_without = over_M(optimal_wpgd(four), four)
single = two_tasks((1.0,), (25,))
named_with = over_M(optimal_wpgd(single), single)

short = two_tasks((1.0,), (20,))
little = (
    over_M(optimal_wpgd(short), short),
    over_M(optimal_delta_rule(short), short),
)

# Three layers on one task of ten examples with noise: a prediction is x^T p(S) X^T y
# with a polynomial p of degree two, and its excess over Bayes a quadratic in p.
noise, L, unit = 4.0, 3, 60.0
X = np.random.default_rng(0).normal(size=(4000, 10, 5))
XT, K = X.swapaxes(1, 2), X @ X.swapaxes(1, 2)
V = K + noise * np.eye(10)
exact = np.linalg.solve(V, X).swapaxes(1, 2)
z = np.linalg.eigvalsh(XT @ X)
bayes = noise + noise * (1 / (z + noise)).sum(1).mean()
noisy = PromptDistribution(5, (10,), (1.0,), sigma=2.0)


def mean(left, right):
    return ((left @ V) * right).sum((1, 2)).mean()


def stack(kernel):
    """Risks / M of the best steps of three layers, with a gate at the query, and of one layer."""
    powers = [XT, XT @ kernel / unit, XT @ kernel @ kernel / unit**2]
    H = np.array([[mean(a, b) for b in powers] for a in powers])
    h, rest = np.array([mean(a, exact) for a in powers]), mean(exact, exact)
    low, high = np.full(L, -2.0), np.full(L, 8.0)
    for _ in range(10):  # a grid of steps, ever finer: 1 - z p = prod (1 - step z)
        w = np.stack(np.meshgrid(*np.linspace(low, high, 21).T), -1).reshape(-1, L)
        pairs = w[:, 0] * w[:, 1] + w[:, 0] * w[:, 2] + w[:, 1] * w[:, 2]
        p = np.stack([w.sum(1), -pairs, w.prod(1)], 1) / unit
        values = rest - 2 * p @ h + ((p @ H) * p).sum(1)
        at, reach = w[values.argmin()], (high - low) / 6
        low, high = at - reach, at + reach
    found = (
        values.min(),
        rest - h @ np.linalg.solve(H, h),
        rest - h[0] ** 2 / H[0, 0],
    )
    return [(bayes + excess) / noisy.M for excess in found]


deep, masked = stack(K), stack(np.tril(K))
reads = energy_risk(d, (50, 50), (0.2, 0.8)) / last.M
equal = (
    over_M(optimal_wpgd(even, "uniform"), even),
    over_M(optimal_wpgd(even), even),
)

rows = {
    "first": ("label a token later", 1.0, no_gate, None),
    "1": (
        "packed, marked",
        moving(packed, 1, 1),
        moving(packed, 0, 1),
        one_step(packed)[0],
    ),
    "2": ("marked ends", no_gate, marked, erasing((0.2, 0.8))),
    "3": ("better task early", forget, write, erasing((0.8, 0.2))),
    "4": (
        "signs differ",
        over_M(optimal_wpgd(opposed, "uniform"), opposed),
        over_M(optimal_wpgd(opposed), opposed),
        None,
    ),
    "5": ("query names its task", named_without, named_with, None),
    "6": (
        "drift",
        over_M(drift_without, drift),
        over_M(drift_with, drift),
        fast[2][0],
    ),
    "7": ("several time scales", scales_without, scales_with, None),
    "8": ("ends move", moving(ends, 1, 1), one_step(ends)[0], None),
    "9": ("all tasks alike", *equal, erasing((0.5, 0.5))),
    "10": ("little noise, one task", *little, None),
    "11": ("noise, three layers", *deep[:2], None),
    "reads": ("gates that read labels", marked, reads, None),
}
place = np.arange(len(rows))
names = [
    name if len(key) > 2 else f"{name}  {key}" for key, (name, *_) in rows.items()
]
without, advised, instead = np.array(
    [row[1:] for row in rows.values()], dtype=float
).T
fig, ax = plt.subplots(figsize=(6.4, 4.7))
ax.hlines(place, advised, without, color="0.6", lw=1.6)
ax.plot(without, place, "o", color=plotting.TASKS[0], mfc="none", ms=9, mew=1.8)
ax.plot(advised, place, "o", color=plotting.TASKS[1], ms=6)
ax.plot(instead, place, "D", color=plotting.TASKS[2], ms=6)
ax.set_yticks(place, names)
for at, column, head in (
    (1.2, without, "without"),
    (1.48, advised, "with"),
    (1.8, instead, "erasing"),
):
    ax.text(at, -1, head, ha="right", va="center")
    for y, value in enumerate(column):
        if not np.isnan(value):
            ax.text(at, y, f"{value:.3f}", ha="right", va="center")
_ = ax.set(
    xlabel="risk / that of predicting zero",
    xlim=(0, 1.03),
    ylim=(len(rows) - 0.4, -0.6),
    xticks=(0, 0.5, 1),
)

# %% tags=["remove-input"]
plotting.FigureData(
    "design_gains",
    {
        "row": names,
        "place": place,
        "without": without,
        "with": advised,
        "erasing": instead,
    },
    figure=fig,
    seed="0, for the three layers",
)

# %% tags=["remove-input", "remove-output"]
alike = np.geomspace(1e-4, 0.5, 400)  # one step for both tasks


def blind(r):
    """Two tasks of 50, one step for all."""
    return 1 - two_block_gain(r, (alike, alike), (50, 50), d).max()


def best_gates(r):
    """Ends that move: the least risk, and the gates at the mark and at every example."""

    def at_mark(g):
        return least(lambda b: moving(r, b, g), 0, 1)

    g = least(lambda g: at_mark(g)[0], 0.5, 1)[1]
    return *at_mark(g), g


def best_steps(r):
    """Ends that move: the least risk of the delta rule, and a step for each task."""

    def before(last_step):
        return least(lambda step: erased(r, step, last_step), 1e-6, 0.3)

    last_step = least(lambda step: before(step)[0], 1e-5, 0.3)[1]
    return *before(last_step), last_step


def takes_off(length, variance, size=d, one=False):
    """What erasing takes off the best weighted step: one task, a step for each example or one for all."""
    left = 1.0
    for _ in range(0 if one else length):
        left -= left**2 / ((size + 2) * left + variance)
    if one:
        kept, _, energy = block(some, length, size, variance)
        left = 1 - ((1 - kept) ** 2 / energy).max()
    weighted = (size + 1 + variance) / (length + size + 1 + variance)
    return 1 - (variance + size * left) / (variance + size * weighted)


def enough(per_d, size=d, one=False):
    """sigma^2 / d up to which that is a twentieth of the risk, at per_d * d examples."""
    length = int(per_d * size)
    return brentq(lambda nu: takes_off(length, nu * size, size, one) - 0.05, 0, 5)


def unit_steps(r, counts=(50, 50)):
    """Keys of length one: the least risk / d of a step for each of two tasks, and the steps."""
    length = 2**0.5 * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2))  # E |x|

    def risk(steps):
        energy, told = np.zeros(steps.shape[1:]), np.zeros_like(steps)
        for k in np.repeat([0, 1], counts):
            step, seen = steps[k], length * told[k]
            new = step**2 * (d - 2 * seen + energy)
            energy = energy + (2 * step * (seen - energy) + new) / d
            told = (1 - step / d) * told
            told[k] += step * length / d
        return 1 - (length * (r[0] * told[0] + r[1] * told[1])) ** 2 / (d * energy)

    return finer(risk, [1e-3, 1e-3], [1.5, 1.5])


def in_packed(size):
    """Shut at the mark; with a decay; one step that does not see the mark; with the gate shut, too."""
    return {
        "mark": moving(packed, 0, 1, size),
        "slow": least(lambda g: moving(packed, 0, g, size), 0.5, 1)[0],
        "blind": one_step(packed, size)[0],
        "both": one_step(packed, size, 0.0)[0],
    }


def crossing(share):
    """n / d from which on erasing without the mark passes the gate shut at it, sigma^2 = share d."""
    low, high = d, 20 * d
    while high - low > 1:
        size = (low + high) // 2, d, share * d
        ahead = one_step(packed, size)[0] < moving(packed, 0, 1, size)
        low, high = (low, size[0]) if ahead else (size[0], high)
    return high / d


def uneven(power, turned):
    """Row 2 on eigenvalues i^-power: the gate at the mark, one step with plain keys, and with keys of length one."""
    Sx = np.diag(np.arange(1.0, d + 1) ** -power)
    C = np.linalg.inv(Sx) if turned else None
    case = PromptDistribution(d, (50, 50), (0.2, 0.8), Sx=Sx / Sx.trace() * d, C=C)
    plain, length_one = (
        finer(
            lambda s, on=on: np.array(
                [delta_rule_risk(case, x, normalised=on) for x in s[0]]
            ),
            [1e-3],
            [top],
            4,
            9,
        )[0]
        for on, top in ((False, 0.15), (True, 1.0))
    )
    return (
        over_M(optimal_wpgd(case, "monotone"), case),
        plain / case.M,
        length_one / case.M,
    )


LENGTHS = (0.5, 1, 2, 4, 8, 16, 64)
some = np.geomspace(1e-5, 2 / (d + 2), 2000)  # steps, where one is for all examples
limits = {per_d: enough(per_d) for per_d in LENGTHS}
limits_one = {per_d: enough(per_d, one=True) for per_d in LENGTHS}
memories = {
    (time, size): right_decay(1 - 1 / time, size + 1)
    for time in (10, 100)
    for size in (10, 64, 128)
}
useless, large = two_tasks((0.0, 1.0)), two_tasks((0.5, 0.5), (90, 10))
dists = [two_tasks(ends, (int(k), int(n - k))) for k in first]
packs = [(n, d, nu * d) for nu in (0, 0.1, 1)] + [(128, 64, 0.0)]
tabled = [in_packed(size) for size in packs]
sensor = drifted(0.99, length=600, last=200, resets=200)
wide = two_drifts((0.9, 0.9999), (0.6, 0.4), 1000, 4000)[2:]
uneven_white, uneven_turned = uneven(1, False), uneven(2, True)
wider = PromptDistribution(128, (50, 50), (0.2, 0.8))
units = {
    key: unit_steps(pair)
    for key, pair in (("2", (0.2, 0.8)), ("3", (0.8, 0.2)), ("9", (0.5, 0.5)))
}
floor = np.exp(-np.exp(-0.5))  # of the gates of RWKV-7
own = np.mean([over_M(optimal_wpgd(dist, "monotone"), dist) for dist in dists])
gates, steps = best_gates(ends), best_steps(ends)
values = {
    "constant": over_M(optimal_wpgd(last, "constant-gate"), last),
    "useless_constant": over_M(optimal_wpgd(useless, "constant-gate"), useless),
    "useless_marked": over_M(optimal_wpgd(useless, "monotone"), useless),
    "packed_decay": least(lambda g: moving(packed, 1, g), 0.5, 1)[0],
    "moved_mark": least(lambda b: moving(ends, b, 1), 0, 1)[0],
    "moved_decay": least(lambda g: moving(ends, 1, g), 0.5, 1)[0],
    "moved_both": gates[0],
    "moved_own": own,
    "moved_steps": steps[0],
    "moved_early_0": moving((0.8, 0.2), 1, 1),
    "moved_early_1": one_step((0.8, 0.2))[0],
    "moved_early_2": best_steps((0.8, 0.2))[0],
    "blind_last": blind((0.2, 0.8)),
    "blind_early": blind((0.8, 0.2)),
    "blind_even": blind((0.5, 0.5)),
    "as_drift": over_M(optimal_wpgd(drift, 0.9**age), drift),
    "opposed_write": over_M(optimal_wpgd(two_tasks((0.0, 0.8))), opposed),
    "two_heads": 1 - 2 / 4 * (1 - named_with),
    "wide_1": wide[0],
    "wide_2": wide[1],
    "filter_share": 100 * (deep[0] - deep[1]) / (deep[0] - bayes / noisy.M),
    "wider_0": over_M(optimal_wpgd(wider, "uniform"), wider),
    "wider_1": over_M(optimal_wpgd(wider, "monotone"), wider),
    "floor": floor,
    "floor_packed": moving(packed, floor, 1),
    "floor_twice": moving(packed, floor**2, 1),
    "floor_2": 1
    - (50 * (0.2 * floor + 0.8)) ** 2 / (50 * (50 + d + 1) * (1 + floor**2)),
    "logit": 16 * np.log(100),
    "unit": optimal_delta_rule(short, "example", normalised=True).risk / d,
    "bayes": bayes / noisy.M,
    "one_layer": deep[2],
    "masked_0": masked[0],
    "masked_1": masked[1],
    "sigmoid": best_sigmoid(d, (50, 50), (0.2, 0.8))[0] / d,
    "large_0": over_M(optimal_wpgd(large, "uniform"), large),
    "large_1": over_M(optimal_wpgd(large), large),
    "most_noise": max(enough(per_d) for per_d in range(4, 10)),
    "most_one": max(enough(per_d, one=True) for per_d in range(4, 10)),
}
values |= {f"enough_{int(10 * per_d)}": nu for per_d, nu in limits.items()}
values |= {f"single_{int(10 * per_d)}": nu for per_d, nu in limits_one.items()}
values |= {
    f"packed_{i}_{key}": x for i, row in enumerate(tabled) for key, x in row.items()
}
values |= {f"cross_{i}": crossing(share) for i, share in enumerate((0, 0.1))}
values |= {f"unit_{key}": found for key, (found, _) in units.items()}
for name, found in (("fast", fast), ("slow", slow), ("sensor", sensor)):
    values |= {
        f"{name}_{key}": x for key, (x, _) in zip(("decay", "erase", "both"), found)
    }
for name, found in (("white", uneven_white), ("turned", uneven_turned)):
    values |= {
        f"{name}_{key}": x for key, x in zip(("mark", "plain", "unit"), found)
    }
for (time, size), g in memories.items():
    values[f"memory_{time}_{size}"] = 1 / (1 - g)
    values[f"drifts_{time}_{size}"] = (size + 1) * ((1 - 1 / time) / g - 1)
for key, value in values.items():
    glue(f"design_{key}", float(value), display=False)

# %% tags=["check"]
for key, (_, *found) in rows.items():
    for i, value in enumerate(found):
        if value is not None:
            glue(f"design_{key}_{i}", float(value), display=False)
small = [100 * (1 - rows[key][2] / rows[key][1]) for key in ("7", "11", "reads")]
glue("design_least", float(np.ceil(max(small))), display=False)
# The same numbers by formulas, where the book has them.
N = d + 1
assert np.isclose(marked, 1 - (0.2**2 + 0.8**2) * 50 / (50 + N))
assert np.isclose(write, marked) and np.isclose(forget, no_gate)
g = right_decay(0.9, N)
slow_dist = drifting(0.99, 200, d)
for (risk, _), (step, decay) in (
    (slow[1], (slow[1][1][0], 1.0)),
    (slow[2], slow[2][1]),
):
    assert np.isclose(delta_rule_risk(slow_dist, step, decay) / d, risk, rtol=1e-9)
assert np.isclose(over_M(drift_with, drift), N * (0.9 / g - 1), atol=1e-9)
assert np.allclose(scales.R[-1, :-1], scales.r[1:])  # the query is one step on
best = over_M(optimal_wpgd(scales), scales)
assert best <= scales_with < best + 3e-4 < scales_without - 0.01  # seen: 6e-5
assert np.isclose(named_with, N / (25 + N)) and np.isclose(
    named_without, 1 - 25 / (25 + N) / 4
)
assert np.isclose(little[1], (1 - 1 / (d + 2)) ** 20)
assert (
    marked - 0.004 < reads < best_sigmoid(d, (50, 50), (0.2, 0.8))[0] / d < marked
)
assert np.isclose(*equal) and rows["9"][3] < equal[0] - 0.02
# Without the mask all is said by the spectrum, so the polynomial fits there, too.
flat, mass = z.ravel(), np.sqrt(z.ravel() * (z.ravel() + noise) / len(X))
powers = (flat[:, None] / unit) ** np.arange(L)
fit = np.linalg.lstsq(mass[:, None] * powers, mass / (flat + noise), rcond=None)[0]
left = ((mass * (powers @ fit - 1 / (flat + noise))) ** 2).sum()
assert np.isclose((bayes + left) / noisy.M, deep[1], rtol=1e-9)
assert bayes / noisy.M < deep[1] < deep[0] - 0.003  # seen: twice that
assert deep[0] < masked[1] - 0.007 < masked[0] - 0.014 < masked[2] - 0.02
assert (
    max(small)
    < 5
    < 100 * (1 - advised / without)[[0, 1, 2, 3, 4, 5, 6, 8, 10]].min()
)
# Ends that move: the means, by the exact risks of the package for each place.
_, b, g = gates
weights = [
    g ** (n - 1.0 - np.arange(n)) * np.where(np.arange(n) < k, b, 1.0)
    for k in first
]


def of_weights(p):
    cases = zip(dists, [p * np.eye(d)] * len(dists), weights, strict=True)
    return np.mean([population_risk(*case) for case in cases]) / d


def of_steps(scale):
    return (
        np.mean([delta_rule_risk(dist, steps[1:], scale=scale) for dist in dists])
        / d
    )


off = abs(least(of_weights, 0.0, 0.2)[0] - gates[0])
off = max(off, abs(least(of_steps, 0.0, 2.0)[0] - steps[0]))
assert off < 1e-9
of = values
ungated, blindly = moving(ends, 1, 1), one_step(ends)[0]
assert (
    of["moved_decay"] - 0.01 < of["moved_mark"] < of["moved_decay"] < ungated - 0.05
)
assert of["moved_steps"] < blindly - 0.02 < own - 0.04
assert own < of["moved_both"] - 0.03 < of["moved_mark"] - 0.05
shut = moving(packed, 0, 1)
assert shut < of["packed_decay"] - 0.03
# Packed: which comes first depends on noise and on examples per dimension; both is best.
ahead = [row["slow"] - row["blind"] for row in tabled]
assert ahead[0] > 0.05 and ahead[1] > 0.03 and max(ahead[2:]) < -0.02
assert all(row["mark"] < row["blind"] - 0.01 for row in tabled[2:])
assert all(row["both"] < min(row.values()) + 1e-9 for row in tabled)
assert all(row["both"] < min(row["slow"], row["blind"]) - 0.02 for row in tabled)
# Drift: which comes first depends on how slow it is. Length one costs on white features.
assert slow[1][0] < slow[0][0] - 0.1 and fast[0][0] < fast[1][0] - 0.02
assert all(
    both < min(one, two) - 0.005
    for (one, _), (two, _), (both, _) in (slow, fast, sensor)
)
for key, (risk, at) in units.items():
    case = two_tasks({"2": (0.2, 0.8), "3": (0.8, 0.2), "9": (0.5, 0.5)}[key])
    assert np.isclose(
        delta_rule_risk(case, at, normalised=True) / d, risk, rtol=1e-9
    )
    assert rows[key][3] + 0.01 < risk < rows[key][2] - 0.01
assert (
    uneven_white[1] < uneven_white[0] - 0.03
    and uneven_turned[0] < min(uneven_turned[1:]) - 0.1
)
assert wide[1] < wide[0] - 0.05 and of["wider_1"] > of["wider_0"] - 0.06
assert shut < of["floor_packed"] - 0.1 and marked < of["floor_2"] - 0.02
# One step for all: next to nothing lost or gained where the better task is early.
assert abs(of["blind_early"] - no_gate) < 0.01 and of["blind_last"] < marked - 0.05
# The share that erasing takes off, by the package.
for per_d, nu in limits.items():
    case = PromptDistribution(d, (int(per_d * d),), (1.0,), sigma=(nu * d) ** 0.5)
    delta, weighted = optimal_delta_rule(case, "example"), optimal_wpgd(case)
    assert np.isclose(delta.risk, 0.95 * weighted.risk, rtol=1e-9)
for per_d, nu in limits_one.items():
    case = PromptDistribution(d, (int(per_d * d),), (1.0,), sigma=(nu * d) ** 0.5)
    weighted = optimal_wpgd(case).risk
    seen = (
        finer(
            lambda s, case=case: np.array([delta_rule_risk(case, x) for x in s[0]]),
            [1e-5],
            [0.16],
            4,
        )[0]
        if per_d < 16
        else 0.95 * weighted
    )
    assert np.isclose(seen, 0.95 * weighted, rtol=1e-4)
beyond = 1.02 * of["most_noise"] * d
assert all(takes_off(m, beyond) < 0.05 for m in range(1, 400))  # at no length
assert all(0.9 < enough(per_d, 64) / limits[per_d] < 1.2 for per_d in LENGTHS[1:])
print(
    f"{len(rows)} rows: no part advised does harm on its example, and one takes off {1 - (advised / without).min():.0%}"
)


# %% [markdown]
# Where the advice is wrong, row by row; the folds below have the exact conditions and the theorems:
#
# - *first,* if the distance from features to label varies;
# - *1,* if earlier documents count;
# - *2,* if worth falls, or if ends move and the old task still counts (then row 8);
# - *3,* if a token cannot know its worth as it is written;
# - *4,* if signs agree. And where they differ, a gate on the write alone has most of the gain: {glue:text}`design_opposed_write:.3f`;
# - *5,* if the name comes first, or tokens do not tell their task as they are written;
# - *6,* if tasks come in blocks or alternate, and worth little if they drift in less than $d$ examples;
# - *7,* if something tells the scale;
# - *8,* if {ref}`the better task comes early <break-designing>`;
# - *9,* if sizes differ, or if the layer can erase;
# - *10,* if $\sigma^2$ is near $d$, in short and in very long prompts far sooner, or if tasks live where features are weak;
# - *11,* without noise.
#
# ````{dropdown} What the prompt tells (first, 1 to 5): when exactly
# **First. A label one token later**
#
# - *Holds if* each label stands in the token after its features. One layer whose gates read no labels then gains nothing ({prf:ref}`prop-sequential`, <a href="../reference/ledger.html#claim-prop-sequential">ledger</a>). With the shift it predicts as if each pair were one token ({prf:ref}`prop-token-shift`, <a href="../reference/ledger.html#claim-prop-token-shift">ledger</a>).
# - *Settled already* by a short convolution before the keys, or by an earlier layer that copies features to labels ({prf:ref}`prop-gate-is-shift`).
# - *Wrong if* labels are later at times: a shift finds one distance only ({ref}`an exercise <ex-sometimes-late>`). A gate that reads labels is no way out: a head with a scalar gate gains at most what one example teaches ({prf:ref}`prop-one-example`).
#
# **1 and 2. Marks**
#
# - *Holds if* tasks are independent and of equal size, the same in every prompt, and relevance has one sign and does not fall. Then no fixed weights do better ({prf:ref}`thm-scalar-gate`, <a href="../reference/ledger.html#claim-thm-scalar-gate">ledger</a>), whatever the covariances and the noise. *If ends move* there is no theorem here: the numbers are means over all places of the end, with one $P$.
# - *Row 1* without a gate has {glue:text}`design_1_0:.3f`, with the best decay that sees no mark {glue:text}`design_packed_decay:.3f`, shut {glue:text}`design_1_1:.3f`.
# - *If nothing marks the end,* the best constant decay has {glue:text}`design_constant:.3f` in row 2. Where the first task is useless, $r = (0, 1)$, it has {glue:text}`design_useless_constant:.3f` and the gate {glue:text}`design_useless_marked:.3f`, and it falls behind as prompts grow ({doc}`one_decay`).
# - *Erasing instead:* {glue:text}`design_2_2:.3f` in row 2 with a step for each task, {glue:text}`design_blind_last:.3f` with one for all. DeltaNet, Gated DeltaNet and KDA make keys of length one: then it is {glue:text}`design_unit_2:.3f` with a step for each.
# - *Wrong if* relevance falls, where forgetting does harm ({prf:ref}`prop-no-decay`), or a later task is far larger ({prf:ref}`prop-unequal-counts`). If ends move and the old task still counts, the mark gains little: row 8.
#
# **3 and 4. The better task early, and signs that differ**
#
# - *Holds if* tasks are independent. If no two relevances have opposite signs, a gate on the write reaches the best fixed weights, be it free as in an mLSTM, coupled, or tied to the step as in Mamba-2 ({prf:ref}`thm-writes`, <a href="../reference/ledger.html#claim-thm-writes">ledger</a>). Two heads that share keys, one subtracted, reach them for any signs and correlations ({prf:ref}`prop-two-value-channels`, <a href="../reference/ledger.html#claim-prop-two-value-channels">ledger</a>). So do key gates, as in GLA or RWKV-6, with one channel more than $\Sigma$ has directions in the limit, and two for each exactly ({prf:ref}`thm-vector-gate`, <a href="../reference/ledger.html#claim-thm-vector-gate">ledger</a>).
# - *Settled already* in layers with a nonlinear map before keys and values, which is a gate on the write, or with two heads ({doc}`real_layers`).
# - *Erasing instead:* {glue:text}`design_3_2:.3f` in row 3 with a step for each task, which tokens have to tell; with one positive step for all it leaves {glue:text}`design_blind_early:.3f`, no gain. With keys of length one a step for each leaves {glue:text}`design_unit_3:.3f`. If one task matters far more, erasing wants that one first ({prf:ref}`thm-delta-order`).
# - *Wrong if* ends move: the gate on the write has row 8's {glue:text}`design_moved_mark:.3f` then, and a forget gate that sees the mark and decays {glue:text}`design_moved_both:.3f`. Or if worth is told later: {ref}`a solution below <ex-design-told-late>` has the number.
#
# **5. The query names its task**
#
# - *Holds if* the query's own context names one of $K$ independent tasks of one size, and tokens tell theirs as they are written. Each head with a gate on its writes buys one $K$th of the gain, up to $K$ of them: two heads have {glue:text}`design_two_heads:.3f` here. Without a gate at the query, gates on the examples buy one $K$th in all. Heads that only forget may have to be $2K - 1$ to reach the whole ({prf:ref}`thm-named-query`, <a href="../reference/ledger.html#claim-thm-named-query">ledger</a>).
# - *Settled already* where a layer has as many heads and something that multiplies at the query.
# - *Wrong if* there are many tasks, as each takes a head. *Or if* the name comes first: then one head with a gate on the write is enough ({doc}`at_the_query`).
# ````
#
# ````{dropdown} What nothing tells (6 to 9): when exactly
# **6. Drift**
#
# - *Holds if* each task keeps a known share $\rho$ of the one before; $1/(1 - \rho)$ is its drift time. `right_decay(rho, N)` is the decay; for white features $N = d + \sigma^2 + 1$ ({prf:ref}`prop-drift-decay`, <a href="../reference/ledger.html#claim-prop-drift-decay">ledger</a>). What it loses to the best fixed weights dies out with the length of the prompt ({prf:ref}`prop-drift-constant`, <a href="../reference/ledger.html#claim-prop-drift-constant">ledger</a>): a few memories are enough, and $n$ plays no part after that. Jumps that nothing marks count as a faster drift ({doc}`one_decay`).
# - *In more dimensions* the memory grows towards the drift time, and less is gained. What counts is the drift time beside $d$; memory in examples, and risk in a long prompt, where without a decay it is one:
#
#   | drift time | $d = 10$ | $d = 64$ | $d = 128$ |
#   |---|---|---|---|
#   | 10 | {glue:text}`design_memory_10_10:.1f`; {glue:text}`design_drifts_10_10:.3f` | {glue:text}`design_memory_10_64:.1f`; {glue:text}`design_drifts_10_64:.3f` | {glue:text}`design_memory_10_128:.1f`; {glue:text}`design_drifts_10_128:.3f` |
#   | 100 | {glue:text}`design_memory_100_10:.0f`; {glue:text}`design_drifts_100_10:.3f` | {glue:text}`design_memory_100_64:.0f`; {glue:text}`design_drifts_100_64:.3f` | {glue:text}`design_memory_100_128:.0f`; {glue:text}`design_drifts_100_128:.3f` |
#
# - *Erase first, if drift is slow.* With one step for all, and $\rho$ from one example to the next:
#
#   | $d = 10$ | best decay | erasing | both |
#   |---|---|---|---|
#   | $\rho = 0.9$, $n = 100$ | {glue:text}`design_fast_decay:.3f` | {glue:text}`design_fast_erase:.3f` | {glue:text}`design_fast_both:.3f` |
#   | $\rho = 0.99$, $n = 200$ | {glue:text}`design_slow_decay:.3f` | {glue:text}`design_slow_erase:.3f` | {glue:text}`design_slow_both:.3f` |
#   | the same, a reset after each 200 | {glue:text}`design_sensor_decay:.3f` | {glue:text}`design_sensor_erase:.3f` | {glue:text}`design_sensor_both:.3f` |
#
#   In the last row the prompt has 600 examples at most and ends anywhere after its last reset; nothing marks resets.
# - *Beside it:* a decay of $\rho$ itself has {glue:text}`design_as_drift:.3f` in row 6.
# - *Wrong if* tasks come in blocks, or alternate: no scalar gate follows $\rho < 0$ ({doc}`decay_and_drift`). A decay made for another drift costs ({ref}`an exercise <ex-too-fast-too-slow>`).
#
# **7. Several time scales**
#
# - *No theorem here;* seen in {ref}`an exercise <ex-two-drifts>`. Two heads are worth little where scales are near each other or the slow one is long seen: with $\rho$ of $0.9$ and $0.9999$ in shares of $0.6$ and $0.4$, and 1000 examples, one decay leaves {glue:text}`design_wide_1:.3f`, two {glue:text}`design_wide_2:.3f`. For a sum of two drifts the best weights of a long prompt are a sum of two powers, and two heads with a common $P$ have them. *Settled already* where heads have decays of their own.
#
# **8. Ends that move**
#
# - *No theorem here.* Relevances are $0.2$ and $0.8$, and the first task ends at any of the places, all equally likely. What a mark there tells is worth next to nothing: the best gate at the mark has {glue:text}`design_moved_mark:.3f`, and one decay, which sees no mark, {glue:text}`design_moved_decay:.3f`. A gate at the mark knows that the task has changed, and not how long the new one will last; and one $P$ serves all lengths. Together they have {glue:text}`design_moved_both:.3f`. Gates that know how far it is to both ends, by position say, have {glue:text}`design_moved_own:.3f`.
# - *Erasing need not be told* where the last task counts most: examples that repeat do not add up, as only what is new is written. With a step for each task, if tokens tell theirs, it comes to {glue:text}`design_moved_steps:.3f`.
# - *Wrong if* the better task comes first and one step has to do: {ref}`below <break-designing>`.
#
# **9. Tasks all alike**
#
# - *Holds if* features and tasks are white and relevance is in proportion to redundancy: for independent tasks, $r_k$ to $n_k + N$ ({prf:ref}`prop-when-gating-helps`, <a href="../reference/ledger.html#claim-prop-when-gating-helps">ledger</a>). A forget gate is worth nothing either where blocks are alike and relevance falls ({prf:ref}`prop-no-decay`, <a href="../reference/ledger.html#claim-prop-no-decay">ledger</a>).
# - *Wrong if* sizes differ: with 90 and 10 examples, $r$ as before, equal weights have {glue:text}`design_large_0:.3f` and the best {glue:text}`design_large_1:.3f`. Erasing gains even with equal sizes: {glue:text}`design_9_2:.3f` with a step for each task, {glue:text}`design_unit_9:.3f` if keys are of length one, {glue:text}`design_blind_even:.3f` with one step and plain keys.
# ````
#
# ````{dropdown} On top (10, 11), and gates that read: when exactly
# **10. Little noise**
#
# - *Holds if* features and tasks are white. On one task the delta rule beats every weighted step from the second example on ({prf:ref}`prop-delta-one-task`, <a href="../reference/ledger.html#claim-prop-delta-one-task">ledger</a>). On several it is never above them at its best steps, and below them where two examples have related tasks, exact ties apart ({prf:ref}`prop-delta-small`, <a href="../reference/ledger.html#claim-prop-delta-small">ledger</a>).
# - *How little?* On one task erasing takes five per cent off the risk of the best weighted step, or more, while $\sigma^2 / d$ is at most
#
#   | $n / d$ | 0.5 | 1 | 2 | 4 | 8 | 16 | 64 |
#   |---|---|---|---|---|---|---|---|
#   | a step for each example | {glue:text}`design_enough_5:.2f` | {glue:text}`design_enough_10:.2f` | {glue:text}`design_enough_20:.2f` | {glue:text}`design_enough_40:.2f` | {glue:text}`design_enough_80:.2f` | {glue:text}`design_enough_160:.2f` | {glue:text}`design_enough_640:.2f` |
#   | one step for all | {glue:text}`design_single_5:.2f` | {glue:text}`design_single_10:.2f` | {glue:text}`design_single_20:.2f` | {glue:text}`design_single_40:.2f` | {glue:text}`design_single_80:.2f` | {glue:text}`design_single_160:.2f` | {glue:text}`design_single_640:.2f` |
#
#   for $d = 10$; with a step for each example, for $d = 64$ little else, but at $n = d/2$. Above {glue:text}`design_most_noise:.2f` no length will do, with one step none above {glue:text}`design_most_one:.2f`.
# - *Stable:* plain keys need steps below $2/(d + 2)$ ({ref}`shown here <break-delta-trained>`). Keys and queries of length one are safe, and here they cost: {glue:text}`design_unit:.3f` in row 10. They gain on uneven features, for a while ({doc}`delta_unit`).
# - *Uneven features.* In row 2, with eigenvalues of $\Sigma_x$ as $1/i$ and white tasks, the gate at the mark leaves {glue:text}`design_white_mark:.3f`, one step with plain keys {glue:text}`design_white_plain:.3f`, with keys of length one {glue:text}`design_white_unit:.3f`. So uneven features alone are no reason against it. With eigenvalues as $1/i^2$, and tasks that lean on weak features so far that each feature tells as much as any other, it is {glue:text}`design_turned_mark:.3f`, {glue:text}`design_turned_plain:.3f` and {glue:text}`design_turned_unit:.3f`: there the gate, with its $P$, wins.
# - *Wrong if* one step has to serve a prompt whose better task comes first ({doc}`delta_tasks`), or tasks live where features are weak ({doc}`delta_rule`): there a weighted step can win, until keys are whitened.
#
# **11. Noise, and several layers**
#
# - *Holds if* there is one task, and features and tasks are white. Without the causal mask, steps alone keep a distance to the Bayes predictor at every depth, and with the gate it vanishes ({prf:ref}`prop-depth-filter`, <a href="../reference/ledger.html#claim-prop-depth-filter">ledger</a>).
# - *Under the mask* steps alone have {glue:text}`design_masked_0:.3f`, and with the gate at the query {glue:text}`design_masked_1:.3f`. Values that carry labels alone keep a distance at every depth ({prf:ref}`thm-price-of-mask`, <a href="../reference/ledger.html#claim-thm-price-of-mask">ledger</a>). Values that carry features, too, have what the gate has without the mask, {glue:text}`design_11_1:.3f` ({prf:ref}`prop-way-round-mask`, <a href="../reference/ledger.html#claim-prop-way-round-mask">ledger</a>).
# - *Beside it:* one layer has {glue:text}`design_one_layer:.3f`, Bayes {glue:text}`design_bayes:.3f`. The second and third layers matter more than the gate, which takes off {glue:text}`design_filter_share:.0f` per cent of the excess over Bayes.
# - *Wrong if* there is no noise: then steps are enough. What trained stacks do is on {doc}`depth_trained`.
#
# **Gates that read labels or features**
#
# - *Holds if* features and tasks are white. A gate that reads labels and no features never gains more than the label-energy optimum ({prf:ref}`thm-label-energy`, {prf:ref}`prop-label-ceiling`, <a href="../reference/ledger.html#claim-prop-label-ceiling">ledger</a>), without noise a constant while the risk grows with $d$ ({prf:ref}`prop-label-gain`, <a href="../reference/ledger.html#claim-prop-label-gain">ledger</a>). Only the even part of a gate counts, whatever the features ({prf:ref}`prop-even-gate`, <a href="../reference/ledger.html#claim-prop-even-gate">ledger</a>): so let its logit have squares.
# - *Beside it:* {glue:text}`design_sigmoid:.4f` for the best sigmoid of one label.
# - *Wrong if* dimensions are few and the gate reads the length of features as well ({prf:ref}`prop-reads-both`). If labels come a token later it is the odd part that gains, a little ({prf:ref}`prop-label-gates`).
# ````
#
# ## The layer you have
#
# What stands around the recurrence settles some rows. A short convolution is the shift. A nonlinear map before keys and values is a gate on the write. Two heads whose outputs can be subtracted do rows 4 and 7; as many heads as tasks, with something that multiplies at the query, row 5 ({doc}`real_layers`). The rest is the recurrence:
#
# ````{dropdown} Layer by layer: which rows are settled, and which are left
# ```{layers} settled
# ```
#
# From the same entries as {doc}`architectures`. No query meets a key in S4D, RWKV-4 and the RG-LRU, so that their rows are about weights alone.
#
# *How far a gate shuts.* RWKV-7's stays above {glue:text}`design_floor:.3f` at every token: of row 1 it leaves {glue:text}`design_floor_packed:.3f`, and {glue:text}`design_floor_twice:.3f` if the mark has two tokens, where a gate that shuts leaves {glue:text}`design_1_1:.3f`; of row 2 {glue:text}`design_floor_2:.3f` in place of {glue:text}`design_2_1:.3f`. HGRN-2 learns its floor. GLA's power $\frac1{16}$ wants a logit of $-${glue:text}`design_logit:.0f` for a gate of a hundredth. Mamba-2 shuts by a long step, which writes the mark.
#
#  Softmax attention is not in the table: it keeps all tokens, and the query weighs them. Row 5 then needs no head for each task; the order of the tokens one layer sees by positions only, so without them rows 1, 2 and 6 to 8 are left. The book has no theorem on it; a trained one is on {doc}`real_layers`.
# ````
#
# ## What it costs
#
# *In training,* in chunks, erasing takes {glue:text}`design_ratio_10:.1f` to {glue:text}`design_ratio_100:.1f` times as long as a scalar gate, and a key gate about two to three times, in the code of this book on a CPU; there is no GPU time here. Counted, in chunks of 64 and with keys and values of length 128, erasing makes {glue:text}`design_chunk_ratio:.1f` times the multiplications of a scalar gate.
#
# *In decoding,* token by token, erasing makes four multiplications for each number of the state where a forget gate makes three, and needs no more memory. Of a whole layer without its MLP that is little: a forget gate adds {glue:text}`design_cost_gate:.1f` per cent, a gate on the write {glue:text}`design_cost_write:.1f`, the shift {glue:text}`design_cost_shift:.2f`, erasing with its decay {glue:text}`design_cost_erase:.1f`.
#
# A second head costs half of the values where heads share the width: state and multiplications stay as they are. At full width it is a second state, and $K$ heads are $K$.
#
# ````{dropdown} Counted and timed: numbers in the state, multiplications a token, seconds
# For one head with keys of length $d_k$ and values of length $d_v$, when one token is written and read with the state at hand, as in decoding. Projections are not counted here; the per cents above are of a layer of width 1024 with eight heads, with them. Only the shift needs memory besides the state: one token, {glue:text}`design_cost_shift_state:.1f` per cent of it.
#
# | part | numbers in the state | multiplications a token |
# |---|---|---|
# | no gate | $d_v d_k$ | $2\, d_v d_k$ |
# | forget gate, scalar or on the keys | $d_v d_k$ | $3\, d_v d_k$ |
# | gate on the write | $d_v d_k$ | $d_v$ more |
# | two heads that share keys, and the width | $d_v d_k$ | as many |
# | two heads that share keys, each of full width | $2\, d_v d_k$ | twice as many |
# | a head for each of $K$ tasks, of full width | $K d_v d_k$ | $K$ times as many |
# | key gates that undo any order, exactly | $2\, d_v d_k$ | twice as many |
# | shift of the keys | a token more | $d_k$ more |
# | delta rule, with a decay | $d_v d_k$ | $4\, d_v d_k + d_v$ |
#
# *In chunks* of $c$ tokens, as in training, forward and a token: $2\, d_v d_k + c\, (d_k + d_v)$ without a gate; a scalar forget gate adds $d_v d_k / c + c + 2\, d_v$; erasing adds to that $d_v d_k + c\, d_k + \frac{c - 1}2 (d_k + d_v)$, for what is new and a triangular system, and $2c + 2\, d_k + d_v$ more.
#
# *Times* are those of one thread of an {glue:text}`design_cpu` CPU, for all positions ({doc}`speed`). The key gate was timed on {glue:text}`design_date`, apart from the scalar one and not in turns, so that of {glue:text}`design_chunked_10:.1f` at $d = 10$ and {glue:text}`design_chunked_100:.1f` at $100$ no digit is sure; from tokens to one prediction, at $d = 10$, it took {glue:text}`design_tokens_10:.1f` times as long as the scalar one. Erasing, by `gated_delta_rule`, forward and backward, on {glue:text}`design_date_delta`, beside the same scalar gate without it. Other work ran on the machine that day, so the two took turns: in all nine rounds of both sizes the ratio was between {glue:text}`design_ratio_min:.1f` and {glue:text}`design_ratio_max:.1f`.
# ````


# %% tags=["check"]
class Counted:
    """A number that counts its multiplications."""

    made = 0

    def __add__(self, other):
        return self

    __sub__ = __add__

    def __mul__(self, other):
        Counted.made += 1
        return self


def count(step):
    Counted.made = 0
    step()
    return Counted.made


d_v, d_k = 3, 5


def numbers(*shape):
    return np.array([Counted() for _ in range(np.prod(shape))]).reshape(shape)


S, k, v, q, g_t, u, before = (
    numbers(*s) for s in ((d_v, d_k), (d_k,), (d_v,), (d_k,), (1,), (1,), (d_k,))
)
size = d_v * d_k
plain = count(lambda: (S + np.outer(v, k)) @ q)
gated = count(lambda: (g_t * S + np.outer(v, k)) @ q)
by_key = count(lambda: (q * S + np.outer(v, k)) @ q)
written = count(lambda: (g_t * S + np.outer(u * v, k)) @ q)
shifted = count(lambda: (g_t * S + np.outer(v, u * before)) @ q)


def delta():
    kept = g_t * S
    return (kept + np.outer(u * (v - kept @ k), k)) @ q


assert (plain, gated, by_key) == (2 * size, 3 * size, 3 * size)
assert (written - gated, shifted - gated) == (d_v, d_k)
assert count(delta) == 4 * size + d_v


def chunk(c, gate, erase=False):
    """A chunk of c tokens: read by all queries, and written."""
    S, Q, K, V = (numbers(*s) for s in ((d_v, d_k), (c, d_k), (c, d_k), (c, d_v)))
    mask, age = numbers(c, c), numbers(c, 1)
    if erase:  # (1 + A) X = b V and (1 + A) W = b age K, by substitution
        A = age * ((K @ K.T) * mask)
        for X in (V := age * V, K_new := age * (age * K)):
            for i in range(c):
                for j in range(i):
                    X[i] = X[i] - X[j] * A[i, j]
        V = V - K_new @ S.T
    scores = Q @ K.T
    if not gate:
        return scores @ V + Q @ S.T, S + V.T @ K
    return (scores * mask) @ V + age * (Q @ S.T), age[0] * S + (age * V).T @ K


for c in (4, 7):
    bare, scalar, erasing_chunk = (
        count(lambda o=o: chunk(c, *o)) for o in ((False,), (True,), (True, True))
    )
    assert bare == c * (2 * size + c * (d_k + d_v))
    assert scalar - bare == c * (c + 2 * d_v) + size
    solved = c * (c - 1) // 2 * (d_k + d_v)
    assert (
        erasing_chunk - scalar
        == c * (size + c * d_k + 2 * c + 2 * d_k + d_v) + solved
    )
c, wide_head = 64, 128
gate_chunk = (
    2 * wide_head**2 + 2 * c * wide_head + wide_head**2 / c + c + 2 * wide_head
)
erase_chunk = (
    wide_head**2 + c * wide_head + (c - 1) * wide_head + 2 * c + 3 * wide_head
)
glue("design_chunk_ratio", float(1 + erase_chunk / gate_chunk), display=False)
# In per cent of a layer of eight heads, with four projections of its width, and one for each gate.
heads, own = 8, 128
width = heads * own
layer = 4 * width**2 + heads * 2 * own**2
adds = {
    "gate": own**2 + width,
    "write": own + width,
    "shift": own,
    "erase": 2 * own**2 + own + 2 * width,
}
for part, more in adds.items():
    glue(f"design_cost_{part}", 100 * heads * more / layer, display=False)
# Keys of one token beside a state of own rows.
glue("design_cost_shift_state", 100 / own, display=False)
# What the layers of the table have.
complete = [
    layer.name
    for layer in LAYERS
    if layer.forgets == "by its token" and layer.may_fall and layer.shift
]
erasers = {layer.name for layer in LAYERS if layer.erases}
assert erasers == {"DeltaNet", "Gated DeltaNet", "KDA", "RWKV-7"}
assert erasers - set(complete) == {"DeltaNet"}  # which does not forget
assert {"Mamba", "Mamba-2", "mLSTM", "RG-LRU"} == set(complete) - erasers
assert not any(
    layer.may_fall for layer in LAYERS if layer.name in ("RetNet", "GLA")
)
print(
    f"counted, one token by one: {plain}, {gated}, {written} and {count(delta)} products for {d_v} values and {d_k} keys"
)

# %% tags=["remove-input", "remove-output"]
stored, erasing_times = (
    json.loads(Path(f"data/{name}.json").read_text(encoding="utf-8"))
    for name in ("speed", "speed_delta")
)
seconds = {
    (row["form"], row["gate"], row["d"]): row["below_seconds"]
    for row in stored["forward_backward"]
}
for form, size in (("tokens", 10), ("chunked", 10), ("chunked", 100)):
    ratio = seconds[form, "key", size] / seconds[form, "scalar", size]
    glue(f"design_{form}_{size}", float(ratio), display=False)
times = {row["d"]: row for row in erasing_times["delta"] if row["form"] == "gate"}
for size, row in times.items():
    glue(f"design_ratio_{size}", float(row["ratio"]), display=False)
glue("design_ratio_min", min(r["ratio_min"] for r in times.values()), display=False)
glue("design_ratio_max", max(r["ratio_max"] for r in times.values()), display=False)
assert stored["machine"]["threads"] == erasing_times["machine"]["threads"] == 1
assert stored["machine"]["cpu"] == erasing_times["machine"]["cpu"]


class Words(str):
    __repr__ = str.__str__


glue("design_cpu", Words(stored["machine"]["cpu"]), display=False)
glue("design_date", Words(stored["date"].split()[0]), display=False)
glue("design_date_delta", Words(erasing_times["date"].split()[0]), display=False)

# %% [markdown]
# `````{dropdown} Objections
# **"My gates read whole tokens, not marks."** So may those of layers trained here, and what they lived by was the mark ({doc}`below_the_line`). A mark is anything by which a linear map of the token tells it from others.
#
# **"My model has many heads, so order is no obstacle."** Right, if two of them may share keys and the output may subtract. One scalar head alone is stuck: trained, it ended at linear attention ({doc}`figure1`, panel d).
#
# **"I just add layers."** That can do it: two and three trained layers with scalar gates pass the best weights of one although the better task comes first ({doc}`depth_trained`). They took longer to train, and some starts ended far apart.
#
# **"These are optima. Will training find them?"** For the step's own $P$ and $\omega$ gradient flow does, where the minimum is unique ({prf:ref}`thm-gradient-flow`). For layers it is open. Those trained for {doc}`figure1` came within a few per cent, and {doc}`starts` says which starts fail.
#
# **"My features are not white."** Marked ends, gates on the write, heads, drift and the named query hold for any $\Sigma_x$ and $C$. Erasing, gates that read, depth and row 9 are stated for white features; for erasing there is a counterexample.
#
# **"I know neither $r$ nor $\rho$."** The part to build needs the symptom only. Its numbers are learned. To see what a model has learned, `effective_weights` finds the weighted step nearest to it ({doc}`../reference/api`).
#
# **"My layer has a normaliser."** An mLSTM's is a clip. Set high it gains a little, set too low it does harm ({prf:ref}`prop-normaliser`).
#
# **"A head for each task is too much."** With fewer each buys its share, and putting the question first needs none.
# `````
#
# (break-designing)=
# ## Break it
#
# **Erase, and let the better task come first.** Ends move and nothing marks them, as in row 8, but relevances are $0.8$ and $0.2$. What was told last is what a delta rule remembers best, wanted or not. If one step has to serve all examples, then the longer it is, the more is lost of the task that matters, and of all positive steps the smallest are best: {glue:text}`design_moved_early_1:.3f` in the limit, as without a gate. A negative step, which adds to what it holds, reaches {glue:text}`design_negative_moved:.3f`; layers do not have it. With a step for each task it has {glue:text}`design_moved_early_2:.3f`.

# %% tags=["check"]
early_ends = (0.8, 0.2)
ungated, told = moving(early_ends, 1, 1), best_steps(early_ends)[0]
lost = [erased(early_ends, step, step) for step in (1e-5, 0.001, 0.01, 0.03, 0.08)]
assert abs(lost[0] - ungated) < 0.001 and (np.diff(lost) > 0.001).all()
assert one_step(early_ends)[0] > ungated - 0.001 and told < ungated - 0.2


def negative(step, first):
    """Mean risk / d of one step of any sign, the first task ending at these places."""
    energy, told = (
        np.zeros((len(first), len(step))),
        np.zeros((2, len(first), len(step))),
    )
    for i in range(n):
        own = np.stack([i < first, i >= first])[..., None]
        seen = (own * told).sum(0)
        new = step**2 * (d + 2) * (1 - 2 * seen + energy)
        energy = energy + 2 * step * (seen - energy) + new
        told = (1 - step) * told + step * own
    overlap = np.tensordot(early_ends, told, 1).mean(0)
    return 1 - overlap**2 / energy.mean(0)


below = {
    name: finer(lambda s, places=places: negative(s[0], places), [-0.03], [-1e-4])
    for name, places in (("moved", first), ("fixed", np.array([50])))
}
for name, (value, _) in below.items():
    glue(f"design_negative_{name}", float(value), display=False)
assert np.isclose(negative(np.array([0.03]), first)[0], lost[3], rtol=1e-9)
fixed = delta_rule_risk(two_tasks(early_ends), below["fixed"][1][0]) / d
assert np.isclose(fixed, below["fixed"][0], rtol=1e-9) and fixed < no_gate - 0.02
assert below["moved"][0] < ungated - 0.005
print(
    f"one step of 0.01, 0.03, 0.08: risk {lost[2]:.3f}, {lost[3]:.3f}, {lost[4]:.3f}"
)

# %% [markdown]
# So row 8 wants one of two things: worth that rises, or tokens that tell their task. It is the same where ends stand still: one positive step for all leaves {glue:text}`design_blind_early:.3f`, no gate {glue:text}`design_3_0:.3f`, and the best negative step {glue:text}`design_negative_fixed:.3f`.
#
# ## Exercises
#
# ```{exercise} By hand: last week's prices
# :label: ex-design-shop
#
# A shop's log is the prompt: 200 sales of last week, a line "new week", 50 sales of this week, a query of this week. The line stands at the same place in every prompt. A sale has ten features in one token and its price in the next. Tasks are independent, with relevances $0.3$ and $0.9$, features white, and there is no noise. What do you build, and which gate belongs at the line?
# ```
#
# ```{answer} ex-design-shop
# asks: The gate at the line, to three digits.
# value: weights[0] / weights[-1]
# within: 0.5%
# wrong:
# - value: 0.3 / 0.9
#   says: That is the ratio of the relevances alone. The tasks have different sizes, and the best weights know it.
# - value: 0.3 / 0.9 * 50 / 200
#   says: That divides each relevance by its number of examples and leaves out N, which every example carries besides.
# - value: 0.3 / 0.9 * 60 / 210
#   says: That takes d for N. There is no noise, but features are Gaussian, and N is a little more than d.
# - above: 1
#   says: A gate is at most one. Which of the two tasks has the larger weight?
# then: It is a product, of a third for the relevance and of less than a third because the old task has many more examples.
# minutes: 6
# level: 2
# ```
#
# ```{answer} ex-design-shop-build
# asks: Which of these has the best fixed weights, and nothing that it does not need?
# choices:
# - text: a forget gate that sees the line
#   says: A price stands one token after its features. What does the state get as keys and values then?
# - text: a shift of the keys, and one decay
#   says: A decay follows time. Here one line tells where worth changes, and on both sides of it nothing changes.
# - text: a shift of the keys, and a forget gate that sees the line
# - text: a shift of the keys, and a gate on the write
#   says: It has them, but could do more than is asked. Do the best weights rise or fall at the line?
# minutes: 3
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Go through the tree from the top. Sizes differ: are the best weights in order? They are $r_k / (n_k + N)$, up to scale.
# ```
#
# ````{solution} ex-design-shop
# :class: dropdown
#
# A shift first, as the price stands in the next token. Then a mark after the old task, relevance rises, and the smaller task is the better: the best weights rise, so a scalar forget gate has them ({prf:ref}`thm-scalar-gate`, part 4). At the line it is the ratio of the weights, $\frac{0.3}{0.9} \cdot \frac{50 + 11}{200 + 11} = \frac{61}{633}$, about a tenth, and one elsewhere. Hardly any noise is there, so a delta rule may do better still.
#
# ```python
# shop = two_tasks((0.3, 0.9), (200, 50))
# weights = optimal_wpgd(shop).omega
# assert np.isclose(weights[0] / weights[-1], 61 / 633)
# assert np.isclose(optimal_wpgd(shop, "monotone").risk, optimal_wpgd(shop).risk)
# assert 1 - best_two_blocks((0.3, 0.9), (200, 50), d)[0] < optimal_wpgd(shop).risk / d
# ```
# ````
#
# ```{exercise} Compute: told a token too late
# :label: ex-design-told-late
#
# Two tasks of 50 examples. In half of the prompts relevances are $(0.2, 0.8)$, in the other half $(0.8, 0.2)$, and the mark after the first block says which. What does a gate on the write reach, what a gate at the marks (one stands after the second block, too), and what both together?
# ```
#
# ```{answer} ex-design-told-late
# asks: Two risks, divided by d, of a gate on the write alone and of both gates together (d and noise as in row 2).
# value: "[told_late, marked]"
# within: 0.5%
# wrong:
# - value: "[marked, marked]"
#   says: The first block is written before its mark says anything. Which weight must it have in both kinds of prompts?
# - value: "[1 - kept / 2, marked]"
#   says: The first of these gives both blocks the weight of the mean relevance. The second block is written after the mark, and may know.
# - value: "[told_late, told_late]"
#   says: Together they reach more. What can a gate at the first mark still do to a block that was written too large?
# - value: "[1 - 50 / 60 * (0.5**2 + 0.34), 1 - 50 / 60 * 0.68]"
#   says: That takes d for N, which is one more without noise.
# minutes: 12
# level: 2
# ```
#
# ```{answer} ex-design-told-late-marks
# asks: The risk, divided by d, that a gate at the marks alone reaches.
# value: at_marks
# within: 0.5%
# wrong:
# - value: marked
#   says: In the second kind of prompts the first block should count more. Can a gate at a mark, at most one, do that?
# - value: 1 - kept / 2
#   says: That is equal weights in both kinds of prompts. In one of them the gate at the first mark can do better.
# - value: 1 - 50 / 60 * 0.59
#   says: That takes d for N, which is one more without noise.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Tasks are independent, so for $P = I$ the risk over $d$ is $1 + \sum_k [(n_k^2 + N n_k)\, \omega_k^2 - 2 n_k r_k \omega_k]$. Which of the weights may differ between the two kinds of prompts?
# ```
#
# ````{solution} ex-design-told-late
# :class: dropdown
#
# Tokens of the first block do not know, those of the second do. So a gate on the write gives the first block the weight of its mean relevance, and the second the right one. Gates at the marks give the right weights in the first kind of prompt, and equal weights in the second. Each keeps less than either kind allows, by the same amount, and both together keep all.
#
# ```python
# kept = 50 / (50 + 11)
# told_late = 1 - kept * (0.5**2 + (0.2**2 + 0.8**2) / 2)
# at_marks = 1 - kept * ((0.2**2 + 0.8**2) + (0.8 + 0.2) ** 2 / 2) / 2
# assert np.isclose(told_late, at_marks) and marked < told_late - 0.07
# assert np.isclose(at_marks, (marked + forget) / 2)
# print(f"write {told_late:.3f}, marks {at_marks:.3f}, both {marked:.3f}")
# ```
# ````
#
# ```{exercise} Explore: how much better must the last task be?
# :label: ex-design-how-much
#
# Ends move, relevances are $(1 - t, t)$, and nothing tells the tasks apart. From which $t$ on does erasing with one step for all take off a tenth of the risk of the best decay? And where does it gain nothing at all?
# ```
#
# ```{answer} ex-design-how-much
# asks: From which t on? Two digits.
# value: start
# within: 0.01
# wrong:
# - value: "brentq(lambda t: blind_gain(t) * min(least(lambda g: moving((1 - t, t), 1, g), 0.5, 1)[0], moving((1 - t, t), 1, 1)) - 0.1, 0.5, 0.9)"
#   says: That is where the risk falls by a tenth of what predicting zero has. Take a tenth of the risk that the decay leaves.
# - value: "brentq(lambda t: 1 - one_step((1 - t, t))[0] / moving((1 - t, t), 1, 1) - 0.1, 0.5, 0.9)"
#   says: That compares with no gate. The best decay already follows time, so less is left to gain.
# - value: start / (1 - start)
#   says: That is how many times more the last task counts. The relevance t of the last task is asked for.
# - value: 2 / 3
#   says: There the last task counts twice as much as the first. Compute what erasing takes off there.
# - above: 1
#   says: The relevances are 1 - t and t.
# minutes: 10
# level: 2
# ```
#
# ```{answer} ex-design-how-much-none
# asks: And where does it gain nothing at all?
# choices:
# - text: nowhere
#   says: Print what it takes off at t = 0.3.
# - text: at t = 0.5, where both tasks count the same
#   says: There a decay gains nothing. Erasing gains something even when all tasks are alike (row 9).
# - text: everywhere below t = 0.5
#   says: Print what it takes off a little below the half, as at t = 0.4.
# - text: below some t that is less than a half
# minutes: 3
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `one_step(r)` and `moving(r, 1, g)` are there. A decay of one is no gate.
# ```
#
# ````{solution} ex-design-how-much
# :class: dropdown
#
# When the last task counts more than twice as much as the first. Where both count the same, erasing takes off a little, and a decay nothing. Where the first counts more, soon neither does: the best step is the smallest, and the best decay is none.
#
# ```python
# def blind_gain(t):
#     r = (1 - t, t)
#     decay = least(lambda g: moving(r, 1, g), 0.5, 1)[0]
#     return 1 - one_step(r)[0] / min(decay, moving(r, 1, 1))
#
#
# for t in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
#     print(f"t = {t:.1f}: {blind_gain(t):6.1%}")
# start = brentq(lambda t: blind_gain(t) - 0.1, 0.5, 0.9)
# print(f"a tenth from t = {start:.2f} on")
# assert blind_gain(0.3) < 1e-3 < 0.01 < blind_gain(0.5) < 0.05
# assert 0.6 < start < 0.75
# ```
# ````

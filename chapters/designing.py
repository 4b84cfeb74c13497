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
# This page is for those who build sequence models and want the answer before the proof. Behind all of it stands one question: **what tells how much an example is worth, and when?** A gate on the write has to know it as the token comes. A forget gate may learn it later, from a mark. A gate at the query learns it last. Where nothing tells it, a decay can still follow time, and a state that sees its own error can erase.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-design-tree", "caption": "What tells how much an example is worth decides which part to build. Each box has a symptom and, in bold, the part. The rows below say when it is right, what it gains, and when it is wrong."}, "image": {"alt": "A decision tree. First, if the label stands one token after its features, shift the keys and go on. Then: what tells how much an example is worth? If a mark after it, and worth rises: a forget gate that sees the mark. If its own token, where the best may come early: a gate on the write. If some tasks point the other way: two heads, one subtracted. If the query alone: a head for each task, with a gate at the query. If nothing tells: for tasks that drift, one decay, shorter than the drift; for several time scales, a head for each; for blocks whose ends move or are unmarked, erase; for tasks that are all alike, no gate. On top: with little noise erase by a delta rule; with noise and several layers put a gate at the query in each."}}
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
from glalib.delta_blocks import best_two_blocks, block, two_block_gain
from glalib.drift import drifting, right_decay
from glalib.label_energy import best_sigmoid, energy_risk
from matplotlib.patches import FancyBboxPatch
from myst_nb import glue
from scipy.optimize import minimize, minimize_scalar

plotting.use_style()
TOLD = [
    ("a mark after it,\nand worth rises", "forget gate\nthat sees the mark"),
    ("its own token; the\nbest may come early", "gate on the write"),
    ("some tasks point\nthe other way", "two heads,\none subtracted"),
    ("the query alone", "a head for each task,\ngate at the query"),
]
NOT_TOLD = [
    ("tasks drift", "one decay, shorter\nthan the drift"),
    ("drift on several\ntime scales", "a head for each"),
    ("blocks whose ends\nmove, or unmarked", "erase: a delta rule"),
    ("all tasks alike", "no gate"),
]
FIRST = [("label a token after its features?", "shift the keys, then go on")]
ON_TOP = [
    ("little noise:", "erase, too"),
    ("noise, several layers:", "gate at the query in each"),
]
fig, ax = plt.subplots(figsize=(6.4, 7.7))
ax.set(xlim=(0, 6.4), ylim=(0, 7.7))
ax.set_axis_off()


def box(x, y, width, height, color="0.4", line="-"):
    """A frame whose middle is at x, y."""
    corner = x - width / 2, y - height / 2
    style = "round,pad=0,rounding_size=0.1"
    frame = {"fill": False, "ec": color, "ls": line, "lw": 1.6}
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, **frame))


def words(x, y, told, build=None):
    """The symptom above the part, about the middle x, y; on one line if there is no part."""
    if build is None:
        ax.text(x, y, told, ha="center", va="center")
        return
    lines = told.count("\n") + 1, build.count("\n") + 1
    top = y + 0.105 * sum(lines)
    ax.text(x, top, told, ha="center", va="top", linespacing=1.15)
    ax.text(
        x,
        top - 0.205 * lines[0],
        build,
        ha="center",
        va="top",
        weight="bold",
        linespacing=1.15,
    )


def arrow(start, end):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.4"})


words(3.2, 7.3, *FIRST[0])
box(3.2, 7.3, 6.2, 0.6)
arrow((3.2, 7.0), (3.2, 6.72))
words(3.2, 6.54, "What tells how much an example is worth?")
for x, head, leaves, color, line in (
    (1.6, "something in the prompt", TOLD, plotting.TASKS[0], "-"),
    (4.8, "nothing in the prompt", NOT_TOLD, plotting.TASKS[1], "--"),
):
    arrow((3.2, 6.38), (x, 6.16))
    words(x, 5.98, head)
    for i, leaf in enumerate(leaves):
        y = 5.27 - 1.14 * i
        box(x, y, 3.0, 1.04, color, line)
        words(x, y, *leaf)
box(3.2, 0.55, 6.2, 0.98)
ax.text(3.2, 0.82, "and on top", ha="center", va="center")
for y, (told, build) in zip((0.55, 0.28), ON_TOP, strict=True):
    ax.text(2.9, y, told, ha="right", va="center")
    ax.text(3.0, y, build, ha="left", va="center", weight="bold")

# %% tags=["remove-input"]
leaves = [*FIRST, *TOLD, *NOT_TOLD, *ON_TOP]
plotting.FigureData(
    "design_tree",
    {
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
# ```{admonition} What this page cannot tell you
# :class: note
#
# Prompts here are linear regressions with Gaussian features. Risks are population risks of the best parameters, not of what training finds. There is one layer, but where depth is the point, and no MLP, no softmax. The conditions carry over to other sizes and the fractions do not: they belong to their examples. Where the book has no theorem, the row says so.
# ```
#
# Trained layers of real architectures have a page of their own: {doc}`real_layers`.
#
# ```{symbols}
# omega P K counts n d x y q k v G risk M r R C Sx sigma rho N
# ```
#
# ## What each part gains
#
# The example, unless a row says otherwise: two independent tasks of 50 examples each, $d = 10$ white features, no noise, relevances $r = (0.2, 0.8)$. A risk of one is that of predicting zero.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-design-gains", "caption": "Some parts take off most of the risk, and some next to nothing. Risk over that of predicting zero, without the advised part (open), with it (filled), and, where it was computed, of a layer that erases instead (diamonds), where there are two tasks with a step for each. In the order of the rows below."}}
d, n = 10, 100


def two_tasks(r, counts=(50, 50)):
    return PromptDistribution(d, counts, r)


def over_M(result, dist):
    return result.risk / dist.M


def erasing(r):
    """Two tasks of 50, a step for each."""
    return 1 - float(best_two_blocks(r, (50, 50), d)[0])


last, early, alike = (
    two_tasks((0.2, 0.8)),
    two_tasks((0.8, 0.2)),
    two_tasks((0.5, 0.5)),
)
no_gate, marked = (
    over_M(optimal_wpgd(last, w), last) for w in ("uniform", "monotone")
)
forget, write = (
    over_M(optimal_wpgd(early, w), early) for w in ("monotone", "free")
)
one_number = over_M(optimal_wpgd(last, "constant-gate"), last)

drift = drifting(0.9, n, d)
drift_without, drift_with = (
    optimal_wpgd(drift, w) for w in ("uniform", "constant-gate")
)
drift_erasing = optimal_delta_rule(drift, "prompt", decay=True)

age = np.arange(n, 0, -1.0)
lag = np.abs(np.subtract.outer(age, age))
scales = PromptDistribution(
    d, (1,) * n, (0.8**age + 0.999**age) / 2, R=(0.8**lag + 0.999**lag) / 2
)


def two_decays(z):
    """Two heads that share P: decays by sigmoids, and the factor of the second."""
    g, factor = 1 / (1 + np.exp(-z[:2])), np.exp(z[2])
    return over_M(optimal_wpgd(scales, g[0] ** age + factor * g[1] ** age), scales)


scales_with = minimize(two_decays, [1.0, 4.0, -1.0], method="Nelder-Mead").fun
scales_without = over_M(optimal_wpgd(scales, "constant-gate"), scales)

four = two_tasks((0.25,) * 4, (25,) * 4)
named_without = over_M(optimal_wpgd(four), four)
one = two_tasks((1.0,), (25,))
named_with = over_M(optimal_wpgd(one), one)

short = two_tasks((1.0,), (20,))
little = (
    over_M(optimal_wpgd(short), short),
    over_M(optimal_delta_rule(short), short),
)

# Three layers on one task with noise, over the spectra of sampled prompts, as on the page on the Bayes predictor.
noise, L = 4.0, 3
X = np.random.default_rng(0).normal(size=(4000, 10, 5))
z = np.linalg.eigvalsh(X.swapaxes(1, 2) @ X)
bayes = noise + noise * (1 / (z + noise)).sum(1).mean()
z = z.ravel()
mass = np.sqrt(z * (z + noise) / len(X))


def excess(p):
    return ((mass * (p - 1 / (z + noise))) ** 2).sum()


powers = (z[:, None] / 60) ** np.arange(L)
fit = np.linalg.lstsq(mass[:, None] * powers, mass / (z + noise), rcond=None)[0]
steps = minimize(
    lambda eta: excess((1 - np.prod(1 - np.outer(z, eta), 1)) / z),
    [0.02, 0.04, 0.06],
    method="BFGS",
).fun
noisy = PromptDistribution(5, (10,), (1.0,), sigma=2.0)
deep_without, deep_with = (
    (bayes + e) / noisy.M for e in (steps, excess(powers @ fit))
)

reads = energy_risk(d, (50, 50), (0.2, 0.8)) / last.M
equal = (
    over_M(optimal_wpgd(alike, "uniform"), alike),
    over_M(optimal_wpgd(alike), alike),
)

rows = {
    "label a token later": (1.0, marked, None),
    "marked ends": (no_gate, marked, erasing((0.2, 0.8))),
    "drift": (
        over_M(drift_without, drift),
        over_M(drift_with, drift),
        over_M(drift_erasing, drift),
    ),
    "several time scales": (scales_without, scales_with, None),
    "better task early": (forget, write, erasing((0.8, 0.2))),
    "query names its task": (named_without, named_with, None),
    "little noise, one task": (*little, None),
    "noise, three layers": (deep_without, deep_with, None),
    "gates that read labels": (marked, reads, None),
    "all tasks alike": (*equal, erasing((0.5, 0.5))),
}
place = np.arange(len(rows))
without, advised, instead = np.array(list(rows.values()), dtype=float).T
fig, ax = plt.subplots(figsize=(6.4, 4.6))
ax.hlines(place, advised, without, color="0.6", lw=1.6)
ax.plot(without, place, "o", color=plotting.TASKS[0], mfc="none", ms=9, mew=1.8)
ax.plot(advised, place, "o", color=plotting.TASKS[1], ms=6)
ax.plot(instead, place, "D", color=plotting.TASKS[2], ms=6)
ax.set_yticks(place, list(rows))
_ = ax.set(
    xlabel="risk, over that of predicting zero", xlim=(0, 1.03), ylim=(9.6, -0.6)
)

# %% tags=["remove-input"]
plotting.FigureData(
    "design_gains",
    {
        "row": list(rows),
        "place": place,
        "without": without,
        "with": advised,
        "erasing": instead,
    },
    figure=fig,
    seed="0, for the three layers",
)

# %% tags=["check"]
for name, (low, high, other) in rows.items():
    key = name.replace(" ", "_").replace(",", "")
    glue(f"design_{key}_0", float(low), display=False)
    glue(f"design_{key}_1", float(high), display=False)
    if other is not None:
        glue(f"design_{key}_2", float(other), display=False)
# The same numbers by formulas, where the book has them.
N = d + 1
assert np.isclose(marked, 1 - (0.2**2 + 0.8**2) * 50 / (50 + N))
assert np.isclose(write, marked) and np.isclose(forget, no_gate)
g = right_decay(0.9, N)
assert np.isclose(over_M(drift_with, drift), N * (0.9 / g - 1), atol=1e-9)
assert np.allclose(scales.R[-1, :-1], scales.r[1:])  # the query is one step on
best = over_M(optimal_wpgd(scales), scales)
assert best <= scales_with < best + 1e-4 < scales_without - 0.01
assert np.isclose(named_with, N / (25 + N)) and np.isclose(
    named_without, 1 - 25 / (25 + N) / 4
)
assert np.isclose(little[1], (1 - 1 / (d + 2)) ** 20)
assert bayes / noisy.M < deep_with < deep_without - 0.003  # seen: twice that
assert (
    marked - 0.004 < reads < best_sigmoid(d, (50, 50), (0.2, 0.8))[0] / d < marked
)
assert np.isclose(*equal) and rows["all tasks alike"][2] < equal[0] - 0.02
print(
    f"{len(rows)} rows: no part advised does harm on its example, and the best takes off {1 - (advised / without).min():.0%} of the risk"
)

# %% [markdown]
# Each row has the advice, the numbers of its example, and what would make it wrong. Its fold has the exact condition, with the theorem and its line in the ledger, which names the tests.

# %% tags=["remove-input", "remove-output"]
opposed, useless = two_tasks((-0.2, 0.8)), two_tasks((0.0, 1.0))
unit = optimal_delta_rule(short, "example", normalised=True).risk / d


def erasing_takes_off(variance):
    """In per cent of the risk of the best weighted step: one task of 20 examples."""
    dist = PromptDistribution(d, (20,), (1.0,), sigma=variance**0.5)
    delta, weighted = optimal_delta_rule(dist, "example"), optimal_wpgd(dist)
    return 100 * (1 - delta.risk / weighted.risk)


large = two_tasks((0.5, 0.5), (90, 10))
alike = np.geomspace(1e-4, 0.5, 200)  # one step for both tasks
single = minimize_scalar(
    lambda p: excess(p + 0 * z), bounds=(0, 1), method="bounded"
)
for key, value in {
    "constant": one_number,
    "useless_constant": over_M(optimal_wpgd(useless, "constant-gate"), useless),
    "useless_marked": over_M(optimal_wpgd(useless, "monotone"), useless),
    "memory": 1 / (1 - g),
    "as_drift": over_M(optimal_wpgd(drift, 0.9**age), drift),
    "blind_early": 1
    - two_block_gain((0.8, 0.2), (alike, alike), (50, 50), d).max(),
    "opposed_write": over_M(optimal_wpgd(two_tasks((0.0, 0.8))), opposed),
    "opposed_heads": over_M(optimal_wpgd(opposed), opposed),
    "two_heads": 1 - 2 / 4 * (1 - named_with),
    "unit": unit,
    "quiet": erasing_takes_off(0),
    "loud": erasing_takes_off(d),
    "louder": erasing_takes_off(10 * d),
    "bayes": bayes / noisy.M,
    "one_layer": (bayes + single.fun) / noisy.M,
    "sigmoid": best_sigmoid(d, (50, 50), (0.2, 0.8))[0] / d,
    "large_0": over_M(optimal_wpgd(large, "uniform"), large),
    "large_1": over_M(optimal_wpgd(large), large),
}.items():
    glue(f"design_{key}", float(value), display=False)


# %% [markdown]
# **A label one token later.** *Let keys look one token back, by a shift or a short convolution, before you think of gates.* Without: {glue:text}`design_label_a_token_later_0:.2f`; with it and the gate of the next row: {glue:text}`design_label_a_token_later_1:.2f`. Wrong if the distance varies.
#
# ```{dropdown} A label one token later: when exactly
# - *Holds if* each label stands in the token after its features. One layer whose gates read no labels then gains nothing ({prf:ref}`prop-sequential`, <a href="../reference/ledger.html#claim-prop-sequential">ledger</a>). With the shift it predicts as if each pair were one token ({prf:ref}`prop-token-shift`, <a href="../reference/ledger.html#claim-prop-token-shift">ledger</a>).
# - *Wrong if* labels are later at times: a shift finds one distance only ({ref}`an exercise <ex-sometimes-late>`). Not needed if an earlier layer copies features to labels ({prf:ref}`prop-gate-is-shift`). A gate that reads labels is no way out: a head with a scalar gate gains at most what one example teaches ({prf:ref}`prop-one-example`).
# ```
#
# **Blocks with marked ends.** *Let a scalar forget gate see the mark, and close there as far as the old task is stale.* Without a gate: {glue:text}`design_marked_ends_0:.3f`; with it: {glue:text}`design_marked_ends_1:.3f`. Wrong if relevance falls, or if {ref}`ends move <break-designing>`.
#
# ```{dropdown} Marked ends: when exactly
# - *Holds if* tasks are independent, of equal sizes that are the same in every prompt, and relevance, of one sign, does not fall. Then no fixed weights do better ({prf:ref}`thm-scalar-gate`, <a href="../reference/ledger.html#claim-thm-scalar-gate">ledger</a>), whatever the covariances and the noise.
# - *If nothing marks the end,* the best constant decay has {glue:text}`design_constant:.3f`, nearly as good. Where the first task is useless, $r = (0, 1)$, it has {glue:text}`design_useless_constant:.3f` and the gate {glue:text}`design_useless_marked:.3f`, and it falls behind as prompts grow ({doc}`one_decay`).
# - *Wrong if* relevance falls, where forgetting does harm ({prf:ref}`prop-no-decay`), or a later task is far larger ({prf:ref}`prop-unequal-counts`). If ends move from prompt to prompt the mark gains little: {ref}`below <break-designing>`.
# ```
#
# **Tasks that drift.** *Use one decay for all tokens, with a memory shorter than the time in which tasks drift.* With $\rho = 0.9$, a drift time of ten examples: {glue:text}`design_drift_0:.3f` without, {glue:text}`design_drift_1:.3f` with a memory of {glue:text}`design_memory:.1f` examples. Wrong if tasks come in blocks, or alternate.
#
# ```{dropdown} Drift: when exactly
# - *Holds if* each task keeps a known share $\rho$ of the one before. `right_decay(rho, N)` is the decay; for white features $N = d + \sigma^2 + 1$ ({prf:ref}`prop-drift-decay`, <a href="../reference/ledger.html#claim-prop-drift-decay">ledger</a>). What it loses to the best fixed weights dies out with the length of the prompt ({prf:ref}`prop-drift-constant`, <a href="../reference/ledger.html#claim-prop-drift-constant">ledger</a>). Jumps that nothing marks count as a faster drift ({doc}`one_decay`).
# - *Beside it:* a decay of $\rho$ itself has {glue:text}`design_as_drift:.3f`. A delta rule with a decay comes to {glue:text}`design_drift_2:.3f`, by a search.
# - *Wrong if* tasks come in blocks, or alternate: no scalar gate follows $\rho < 0$ ({doc}`decay_and_drift`). A decay made for another drift costs ({ref}`an exercise <ex-too-fast-too-slow>`).
# ```
#
# **Several time scales.** *Give each time scale a head with a decay of its own.* Half of each task drifts with $\rho = 0.8$ and half with $0.999$: {glue:text}`design_several_time_scales_0:.3f` with one decay, {glue:text}`design_several_time_scales_1:.3f` with two. A small gain.
#
# ```{dropdown} Several time scales: when exactly
# - *No theorem here;* seen in {ref}`an exercise <ex-two-drifts>`. For a sum of two drifts the best weights of a long prompt are a sum of two powers, and two heads with a common $P$ have them.
# - *Wrong if* something in the prompt tells the scale: then a gate can read it.
# ```
#
# **The better task comes early.** *Gate the write, or subtract one head from another; a forget gate alone cannot do it.* With $r = (0.8, 0.2)$: {glue:text}`design_better_task_early_0:.3f` with a forget gate, as without any; {glue:text}`design_better_task_early_1:.3f` with a gate on the write. Wrong if a token cannot know its worth when it is written. A nonlinear map before keys and values is such a gate already: real layers have one ({doc}`real_layers`). Erasing helps here if tokens tell their task; with one step for all it leaves {glue:text}`design_blind_early:.3f`.
#
# ```{dropdown} The better task early: when exactly
# - *Holds if* tasks are independent and no two relevances have opposite signs. A gate on the write then reaches the best fixed weights, be it free as in an mLSTM, coupled, or tied to the step as in Mamba-2 ({prf:ref}`thm-writes`, <a href="../reference/ledger.html#claim-thm-writes">ledger</a>). Two heads that share keys, one subtracted, reach them for any signs and correlations ({prf:ref}`prop-two-value-channels`, <a href="../reference/ledger.html#claim-prop-two-value-channels">ledger</a>). So do key gates, as in GLA or RWKV-6, with one channel more than $\Sigma$ has directions in the limit, and two for each exactly ({prf:ref}`thm-vector-gate`, <a href="../reference/ledger.html#claim-thm-vector-gate">ledger</a>).
# - *Beside it:* {glue:text}`design_better_task_early_2:.3f` for a delta rule with a step for each task. If one matters far more, it wants that one first ({prf:ref}`thm-delta-order`).
# - *Wrong if* worth is told later: {ref}`a solution below <ex-design-told-late>` has the number. Or if signs differ: at $r = (-0.2, 0.8)$ a gate on the write has {glue:text}`design_opposed_write:.3f`, two heads {glue:text}`design_opposed_heads:.3f`.
# ```
#
# **The query names its task.** *Give each of the $K$ tasks a head, and open the one that is asked for by a gate at the query.* Four tasks of 25: {glue:text}`design_query_names_its_task_0:.3f` with any gates but this, {glue:text}`design_query_names_its_task_1:.3f` with it. Wrong if the name comes before the examples, or if tokens do not tell their task when they are written.
#
# ```{dropdown} The query names its task: when exactly
# - *Holds if* the query's own context names one of $K$ independent tasks of one size. Each head with a gate on its writes buys one $K$th of the gain, up to $K$ of them: two heads have {glue:text}`design_two_heads:.3f` here. Gates on the examples alone buy one $K$th in all, and of heads that only forget it may take $2K - 1$ ({prf:ref}`thm-named-query`, <a href="../reference/ledger.html#claim-thm-named-query">ledger</a>).
# - *Wrong if* the name comes first: then one head with a gate on the write is enough ({doc}`at_the_query`).
# ```
#
# **Little noise, one task or few.** *Let the layer erase what it knows, by a delta rule, with steps that stay stable.* One task of 20 examples: {glue:text}`design_little_noise_one_task_0:.3f` for the best weighted step, {glue:text}`design_little_noise_one_task_1:.3f` for the delta rule. Wrong if labels are mostly noise, or keys are plain and features uneven.
#
# ```{dropdown} Little noise: when exactly
# - *Holds if* features and tasks are white. On one task the delta rule beats every weighted step from the second example on ({prf:ref}`prop-delta-one-task`, <a href="../reference/ledger.html#claim-prop-delta-one-task">ledger</a>). On several its infimum is never above theirs, and below where related examples meet, but for exact ties ({prf:ref}`prop-delta-small`, <a href="../reference/ledger.html#claim-prop-delta-small">ledger</a>).
# - *Stable:* plain keys need steps below $2/(d + 2)$ ({ref}`shown here <break-delta-trained>`). Keys and queries of length one are safe, and here they cost: {glue:text}`design_unit:.3f`. They gain on uneven features, for a while ({doc}`delta_unit`).
# - *Wrong if* there is much noise: erasing takes off {glue:text}`design_quiet:.0f` per cent of the risk here without noise, {glue:text}`design_loud:.1f` with $\sigma^2 = d$ and {glue:text}`design_louder:.2f` with $10\, d$. Or if one step has to serve a prompt whose better task comes first ({doc}`delta_tasks`), or keys are plain and features uneven ({doc}`delta_rule`): there a weighted step can win.
# ```
#
# **Noise, and several layers.** *Put a gate at the query into every layer, so that the query takes only a part of each step; under a causal mask let values carry features, too.* Three layers without the mask, $d = 5$, ten examples, $\sigma = 2$: {glue:text}`design_noise_three_layers_0:.3f` by the best steps found, {glue:text}`design_noise_three_layers_1:.3f` with the gate. Not needed without noise.
#
# ```{dropdown} Noise, and several layers: when exactly
# - *Holds if* there is noise, one task, and features and tasks are white. Without the mask, steps alone keep a distance to the Bayes predictor at every depth, and with the gate it vanishes ({prf:ref}`prop-depth-filter`, <a href="../reference/ledger.html#claim-prop-depth-filter">ledger</a>). With the mask, values that carry labels alone keep one ({prf:ref}`thm-price-of-mask`, <a href="../reference/ledger.html#claim-thm-price-of-mask">ledger</a>), and values that read features do not ({prf:ref}`prop-way-round-mask`, <a href="../reference/ledger.html#claim-prop-way-round-mask">ledger</a>).
# - *Beside it:* one layer has {glue:text}`design_one_layer:.3f`, Bayes {glue:text}`design_bayes:.3f`. The second and third layers matter more than the gate.
# - *Wrong if* there is no noise: then steps are enough. What trained stacks do is on {doc}`depth_trained`.
# ```
#
# **Gates that read labels or features.** *Do not count on it; and if a gate reads, let its logit have squares.* Gates that see marks: {glue:text}`design_gates_that_read_labels_0:.4f`; the best use of all labels: {glue:text}`design_gates_that_read_labels_1:.4f`. Wrong in few dimensions, if the gate reads features as well.
#
# ```{dropdown} Gates that read: when exactly
# - *Holds if* features and tasks are white. A gate that reads labels and no features never gains more than the label-energy optimum ({prf:ref}`thm-label-energy`, {prf:ref}`prop-label-ceiling`, <a href="../reference/ledger.html#claim-prop-label-ceiling">ledger</a>), without noise a constant while the risk grows with $d$ ({prf:ref}`prop-label-gain`, <a href="../reference/ledger.html#claim-prop-label-gain">ledger</a>). Only the even part of a gate counts, whatever the features ({prf:ref}`prop-even-gate`, <a href="../reference/ledger.html#claim-prop-even-gate">ledger</a>).
# - *Beside it:* {glue:text}`design_sigmoid:.4f` for the best sigmoid of one label.
# - *Wrong if* dimensions are few and the gate reads the length of features as well ({prf:ref}`prop-reads-both`). If labels come a token later it is the odd part that gains, a little ({prf:ref}`prop-label-gates`).
# ```
#
# **All tasks alike.** *Leave the gate out.* With $r = (0.5, 0.5)$: {glue:text}`design_all_tasks_alike_0:.3f` with equal weights, the best of all fixed ones. Wrong if sizes differ, or if the layer can erase.
#
# ```{dropdown} All tasks alike: when exactly
# - *Holds if* features and tasks are white and relevance is in proportion to redundancy: for independent tasks, $r_k$ to $n_k + N$ ({prf:ref}`prop-when-gating-helps`, <a href="../reference/ledger.html#claim-prop-when-gating-helps">ledger</a>). A forget gate is worth nothing either where blocks are alike and relevance falls ({prf:ref}`prop-no-decay`, <a href="../reference/ledger.html#claim-prop-no-decay">ledger</a>).
# - *Wrong if* sizes differ: with 90 and 10 examples, $r$ as before, equal weights have {glue:text}`design_large_0:.3f` and the best {glue:text}`design_large_1:.3f`. Erasing gains even with equal sizes: {glue:text}`design_all_tasks_alike_2:.3f`.
# ```
#
# ## What it costs
#
# Most parts cost nothing to speak of. A second head costs a second state, and $K$ heads $K$. The delta rule costs one more product with the state at each token, to see its error.
#
# ````{dropdown} Numbers in the state, and multiplications a token
# For one head with keys of length $d_k$ and values of length $d_v$, when one token is written and read with the state at hand. Projections are not counted.
#
# | part | numbers in the state | multiplications a token |
# |---|---|---|
# | no gate | $d_v d_k$ | $2\, d_v d_k$ |
# | forget gate, scalar or on the keys | $d_v d_k$ | $3\, d_v d_k$ |
# | gate on the write | $d_v d_k$ | $d_v$ more |
# | two heads that share keys | $2\, d_v d_k$ | twice as many |
# | a head for each of $K$ tasks | $K d_v d_k$ | $K$ times as many |
# | key gates that undo any order, exactly | $2\, d_v d_k$ | twice as many |
# | shift of the keys | a token more | $d_k$ more |
# | delta rule, with a decay | $d_v d_k$ | $4\, d_v d_k + d_v$ |
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
print(
    f"counted, one token by one: {plain}, {gated}, {written} and {count(delta)} products for {d_v} values and {d_k} keys"
)

# %% tags=["remove-input", "remove-output"]
stored = json.loads(Path("data/speed.json").read_text(encoding="utf-8"))
seconds = {
    (row["form"], row["gate"], row["d"]): row["below_seconds"]
    for row in stored["forward_backward"]
}
for form, size in (("tokens", 10), ("chunked", 10), ("chunked", 100)):
    ratio = seconds[form, "key", size] / seconds[form, "scalar", size]
    glue(f"design_{form}_{size}", float(ratio), display=False)
assert stored["machine"]["threads"] == 1


class Words(str):
    __repr__ = str.__str__


glue("design_cpu", Words(stored["machine"]["cpu"]), display=False)
glue("design_date", Words(stored["date"].split()[0]), display=False)

# %% [markdown]
# Training costs otherwise. A key gate took {glue:text}`design_tokens_10:.1f` times as long as a scalar one from tokens to one prediction at $d = 10$, and for all positions in chunks {glue:text}`design_chunked_10:.1f` times at $d = 10$ and {glue:text}`design_chunked_100:.1f` times at $d = 100$: forward and backward, measured on one thread of an {glue:text}`design_cpu` CPU on {glue:text}`design_date` ({doc}`speed`). The delta rule has a chunked form too (`gated_delta_rule`); no times of it are stored with this book.
#
# `````{dropdown} Objections
# **"My gates read whole tokens, not marks."** So may those of layers trained here, and what they lived by was the mark ({doc}`below_the_line`). A mark is anything by which a linear map of the token tells it from others.
#
# **"My model has many heads, so order is no obstacle."** Right, if two of them may share keys and the output may subtract. One scalar head alone is stuck: trained, it ended at linear attention ({doc}`figure1`, panel d).
#
# **"I just add layers."** That can do it: two and three trained layers with scalar gates pass the best weights of one although the better task comes first ({doc}`depth_trained`). They took longer to train, and some starts ended far apart.
#
# **"These are optima. Will training find them?"** For the step's own $P$ and $\omega$ gradient flow does, where the minimum is unique ({prf:ref}`thm-gradient-flow`). For layers it is open. Those trained for {doc}`figure1` came within a few per cent, and {doc}`starts` says which starts fail.
#
# **"My features are not white."** Marked ends, gates on the write, heads, drift and the named query hold for any $\Sigma_x$ and $C$. Erasing, gates that read, depth and the last row are stated for white features; for erasing there is a counterexample.
#
# **"I know neither $r$ nor $\rho$."** The part to build needs the symptom only. Its numbers are learned. To see what a model has learned, `effective_weights` finds the weighted step nearest to it ({doc}`../reference/api`).
#
# **"My layer has a normaliser."** An mLSTM's is a clip. Set high it gains a little, set too low it does harm ({prf:ref}`prop-normaliser`).
#
# **"$K$ heads are $K$ states."** They are, and with fewer each buys its share. Putting the question first costs none.
#
# **"Which part first?"** A shift, and a delta rule with steps that its tokens set: on each example with a diamond it is below all weights. Much noise, or uneven features with plain keys, speak against it, and for a query that names its task it takes heads all the same.
#
# **"What would you leave out?"** On these examples: heads for several time scales, a gate at the query in a deep stack, gates that read labels. Each gains a few per cent at most.
# `````
#
# (break-designing)=
# ## Break it
#
# **Ends that move.** Relevances are $0.2$ and $0.8$ as above, but the first task ends at any of the places in the prompt, all equally likely. A mark stands there. The row on marked ends then gives poor advice. A gate at the mark knows that the task has changed, and not how long the new one has lasted; and one $P$ has to serve all lengths.

# %% tags=["hide-input"]
first = np.arange(1, n)  # examples of the first task
r_1, r_2 = 0.2, 0.8


def moving(b, g):
    """Mean risk / d of gates b at the mark and g at every example, with the best P."""
    young, square = (
        np.append(0, np.cumsum(g ** (p * np.arange(n)))) for p in (1, 2)
    )
    new, old = young[n - first], b * (young[n] - young[n - first])
    told = (r_1 * old + r_2 * new).mean()
    squares = square[n - first] + b**2 * (square[n] - square[n - first])
    return 1 - told**2 / ((d + 1) * squares + old**2 + new**2).mean()


def erased(step_1, step_2):
    """The same for the delta rule with a step for each task."""
    (t_1, _, e_1), (t_2, mu_2, e_2) = (
        block(step_1, first, d),
        block(step_2, n - first, d),
    )
    told = (r_1 * t_2 * (1 - t_1) + r_2 * (1 - t_2)).mean()
    return 1 - told**2 / (mu_2 * e_1 + e_2).mean()


# %% tags=["check"]
def least(function, *starts):
    """The least value over numbers in (0, 1), from several starts."""
    options = {"xatol": 1e-6, "fatol": 1e-12}

    def inside(v):
        return function(*1 / (1 + np.exp(-v)))

    found = [
        minimize(inside, v, method="Nelder-Mead", options=options) for v in starts
    ]
    end = min(found, key=lambda result: result.fun)
    return end.fun, 1 / (1 + np.exp(-end.x))


def all_five():
    return {
        "mark": least(lambda b: moving(b, 1.0), [0.0]),
        "decay": least(lambda g: moving(1.0, g), [3.0]),
        "both": least(moving, [-1.0, 4.0], [0.0, 3.0]),
        "one_step": least(lambda step: erased(step, step), [-2.5]),
        "steps": least(erased, [-5.0, -2.5], [-2.5, -5.0]),
    }


ORDER = ("steps", "one_step", "both", "mark", "decay")
r_1, r_2 = 0.0, 1.0
useless_first = [all_five()[name][0] for name in ORDER]
assert (np.diff(useless_first) > 0.02).all()
r_1, r_2 = 0.2, 0.8
moved = all_five()
dists = [two_tasks((r_1, r_2), (int(k), int(n - k))) for k in first]
own = np.mean([over_M(optimal_wpgd(dist, "monotone"), dist) for dist in dists])
for key, (value, _) in moved.items():
    glue(f"design_moved_{key}", float(value), display=False)
glue("design_moved_own", float(own), display=False)

# The means, by the exact risks of the package for each place.
(b, g_both), (s_1, s_2) = moved["both"][1], moved["steps"][1]
weights = [
    g_both ** (n - 1.0 - np.arange(n)) * np.where(np.arange(n) < k, b, 1.0)
    for k in first
]


def at(p):
    return (
        np.mean(
            [
                population_risk(*case)
                for case in zip(dists, [p * np.eye(d)] * len(dists), weights)
            ]
        )
        / d
    )


p = minimize_scalar(
    at, bounds=(0.0, 0.2), method="bounded", options={"xatol": 1e-9}
).x
off = abs(at(p) - moved["both"][0])


def erase(scale):
    return (
        np.mean([delta_rule_risk(dist, (s_1, s_2), scale=scale) for dist in dists])
        / d
    )


scale = minimize_scalar(
    erase, bounds=(0.0, 2.0), method="bounded", options={"xatol": 1e-9}
).x
off = max(off, abs(erase(scale) - moved["steps"][0]))
assert off < 1e-9
values = {key: value for key, (value, _) in moved.items()}
ungated = moving(1.0, 1.0)
glue("design_moved_none", float(ungated), display=False)
assert values["decay"] - 0.01 < values["mark"] < values["decay"] < ungated - 0.05
assert (
    values["steps"]
    < values["one_step"] - 0.02
    < own - 0.04
    < values["both"] - 0.06
    < values["mark"] - 0.07
)
print(
    f"{len(first)} places: means of exact risks, by the package's own to {off:.0e}"
)

# %% [markdown]
# Without a gate the risk is {glue:text}`design_moved_none:.3f`. The best gate at the mark has {glue:text}`design_moved_mark:.3f`, and one decay, which sees no mark at all, {glue:text}`design_moved_decay:.3f`. So what the mark tells is worth next to nothing. Together they have {glue:text}`design_moved_both:.3f`: close at the mark, and forget slowly everywhere, so that long blocks do not speak too loudly. If gates at the mark and at the query know how far it is to the ends, by position say, each place can have the best weights that a forget gate has there, {glue:text}`design_moved_own:.3f`.
#
# Where the last task counts most, a delta rule need not be told. With one step, and blind to the mark, it has {glue:text}`design_moved_one_step:.3f`, and with a step for each task {glue:text}`design_moved_steps:.3f`. Erasing does not mind how often it is told the same. (If the first task is useless the mark is worth more. The order of all these stays.)
#
# ## Exercises
#
# ```{exercise} By hand: last week's prices
# :label: ex-design-shop
#
# A shop's log is the prompt: 200 sales of last week, a line "new week", 50 sales of this week, a query of this week. The line stands at the same place in every prompt. A sale has ten features in one token and its price in the next. Tasks are independent, with relevances $0.3$ and $0.9$, features white, and there is no noise. What do you build, and which gate belongs at the line?
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
# ```{exercise} Explore: ends that move, the better task first
# :label: ex-design-moving-early
#
# Let ends move as above, with relevances $0.8$ and $0.2$. What is the best decay now? What does a gate on the write reach that knows the block, and what the delta rule?
# ```
#
# ```{hint}
# :class: dropdown
#
# Places are uniform, so a prompt read backwards is as likely as forwards. `r_1, r_2 = 0.8, 0.2` changes `moving` and `erased`.
# ```
#
# ````{solution} ex-design-moving-early
# :class: dropdown
#
# No decay is best, and so is no closing at the mark. A gate on the write is the mirror image of the mark above, no better, as it does not know how long its block will last. The delta rule is not lost: with a step for each task it gains more than where the better task is last. With one step for all it is lost: the best step goes to zero, where the rule is linear attention.
#
# ```python
# r_1, r_2 = 0.8, 0.2
# assert moving(1.0, 1.0) < min(moving(0.9, 1.0), moving(1.0, 0.99), moving(0.9, 0.99))
# writes = min(moving(b, 1.0) for b in np.geomspace(1, 100, 400))
# assert np.isclose(writes, values["mark"], atol=1e-4)
# grid = np.geomspace(1e-4, 0.5, 45)
# early_steps = min(erased(a, b) for a in grid for b in grid)
# one_step = min(erased(a, a) for a in grid)
# print(f"erasing: {early_steps:.3f} with two steps, {one_step:.3f} with one")
# assert early_steps < values["mark"] - 0.1
# assert one_step == erased(grid[0], grid[0])  # the smallest
# assert abs(one_step - moving(1.0, 1.0)) < 0.01
# r_1, r_2 = 0.2, 0.8
# ```
# ````

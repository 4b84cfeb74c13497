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
#   settles: where trained Mamba-2, xLSTM, Griffin and Gated DeltaNet layers stand on
#     the scale of the theory
# ---

# %% [markdown]
# # Real layers, trained
#
# Where do real layers, Mamba-2, xLSTM, Griffin, Gated DeltaNet, stand on the scale of this book once they are trained on its prompts?
#
# A real layer is more than its recurrence. It has a short convolution before it, nonlinear maps on what it writes, a branch that multiplies its output and a normalisation at the end. The theorems know none of
# these. So we let maintained implementations train, every weight free, and read off what they have become: their risk, the weights that they give to the examples, and what their gates say.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-real-layers", "caption": "Trained layers order themselves as the theory of their gates has it, and layers that erase lead. Each marker is one trained layer, five seeds a row. Lines, from the right: linear attention (dashed), the best weighted step of gates that do not read the data (solid), the best steps of a delta rule (dash-dotted; in the drift one step for all examples) and the Bayes predictor (dotted). In the last panel the thin line is the best weighted step that is told the task."}}
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from glalib import (
    PromptDistribution,
    delta_rule_risk,
    optimal_wpgd,
    plotting,
)
from glalib.delta.blocks import best_two_blocks
from glalib.reproduce.architectures import LINES, RHO, D, N
from matplotlib.lines import Line2D
from myst_nb import glue
from scipy.optimize import minimize_scalar

plotting.use_style()
rows = json.loads(Path("data/architectures.json").read_text(encoding="utf-8"))
NAMES = {
    "linear": "linear attention",
    "gla": "scalar gate",
    "delta": "delta rule",
    "fixed-decay": "fixed decays",
    "rg-lru": "Griffin",
    "mlstm": "xLSTM",
    "mamba2": "Mamba-2",
    "gated-deltanet": "Gated DeltaNet",
    "softmax": "softmax",
}
TITLES = {
    "last": "best task last",
    "first": "best task first",
    "drift": "one task drifts",
    "named": "the query names it",
}


def runs(setting, layer, heads=2):
    place = (setting, layer, heads)
    return [r for r in rows if (r["setting"], r["layer"], r["heads"]) == place]


def risks(setting, layer, heads=2):
    return np.array([row["risk"] for row in runs(setting, layer, heads)])


def drift_bayes(draws=4000):
    """The Bayes risk / d of the drift: a Kalman filter's, which does not look at labels."""
    x = np.random.default_rng(0).standard_normal((2 * N, draws, D))
    spread = np.broadcast_to(np.eye(D), (draws, D, D))
    for each in x:
        seen = np.einsum("bij,bj->bi", spread, each)
        size = np.einsum("bi,bi->b", each, seen)[:, None, None]
        kept = spread - seen[:, :, None] * seen[:, None] / size
        spread = RHO**2 * kept + (1 - RHO**2) * np.eye(D)
    return np.trace(spread, axis1=1, axis2=2).mean() / D


def one_step(beta):
    """The delta rule with one step for all examples of the drift."""
    return delta_rule_risk(LINES["drift"], beta) / D


def lines(setting):
    dist = LINES[setting]
    out = {"linear": optimal_wpgd(dist, "uniform").risk / D}
    out |= {"step": optimal_wpgd(dist).risk / D}
    if setting == "drift":
        best = minimize_scalar(
            one_step, (0.01, 0.1, 0.2), method="bounded", bounds=(0.01, 0.3)
        )
        return out | {"delta": best.fun, "bayes": drift_bayes()}
    out["delta"] = 1 - float(best_two_blocks(dist.r, dist.counts, D)[0])
    out["bayes"] = 0.0 if setting == "named" else 1 - float(dist.r @ dist.r)
    return out


LOOKS = {
    "linear": {"ls": (0, (5, 1.5)), "lw": 2.6},
    "step": {"ls": "-", "lw": 1.8},
    "delta": {"ls": "-.", "lw": 1.6},
    "bayes": {"ls": ":", "lw": 1.8},
}
theory = {setting: lines(setting) for setting in TITLES}
told = optimal_wpgd(PromptDistribution(D, (N, N), (1, 0))).risk / D
fig, axes = plt.subplots(2, 2, figsize=(6.4, 6.6), sharex=True, sharey=True)
for ax, (setting, title) in zip(axes.flat, TITLES.items(), strict=True):
    for name, look in LOOKS.items():
        ax.axvline(theory[setting][name], color="0.35", zorder=0, **look)
    if setting == "named":
        ax.axvline(told, color="0.35", lw=0.9, zorder=0)
    for k, layer in enumerate(NAMES):
        values = risks(setting, layer)
        ours = layer in ("linear", "gla", "delta")
        ax.plot(
            values,
            np.full(len(values), k),
            plotting.TASK_MARKERS[0 if ours else 2],
            color=plotting.TASKS[0 if ours else 1],
            mfc="none",
            ms=7,
        )
    ax.set_title(title, size=12)
axes[0, 0].set(
    yticks=range(len(NAMES)), yticklabels=NAMES.values(), ylim=(8.6, -0.6)
)
axes[0, 0].set(xlim=(-0.03, 0.88), xticks=(0, 0.2, 0.4, 0.6, 0.8))
fig.supxlabel("risk / $d$", size=12)
words = ("linear attention", "best weighted step", "delta rule", "Bayes")
handles = [
    Line2D([], [], color="0.35", label=word, **look)
    for word, look in zip(words, LOOKS.values(), strict=True)
]
_ = fig.legend(handles=handles, loc="outside upper center", ncols=2)

# %% tags=["remove-input"]
plotting.FigureData(
    "real_layers",
    {
        key: [
            row[key] for row in rows if row["heads"] == 2 and row["layer"] in NAMES
        ]
        for key in ("setting", "layer", "seed", "risk", "stderr")
    },
    figure=fig,
    theory=theory,
    told=told,
    d=D,
    examples=2 * N,
    seed="0 to 4, training and evaluation apart",
)

# %% [markdown]
# ```{symbols}
# omega x y Z d n r R rho P risk k v
# ```
#
# ## What was trained
#
# Prompts hold {glue:text}`real_n` examples in {glue:text}`real_d` dimensions, without noise, in four settings. Two independent tasks, $r = (0.2, 0.8)$ or $(0.8, 0.2)$, with a delimiter after each and one-hot context. A task that keeps the share $\rho = 0.9$ of itself from one example to the next. And two tasks
# of which the query's own token names one ({doc}`at_the_query`).
#
# Each real layer is the mixer of a maintained implementation, between a linear map of the tokens and a linear read-out at the query. Nothing of it is copied.
#
# ````{dropdown} To have one of these layers
# `pip install 'glalib[zoo]'` brings the library that has them. `glalib reproduce architectures` trains them all.
#
# ```python
# from glalib import InContext
# from glalib.architectures import zoo
#
# layer = zoo.layer("mamba2", width=32, heads=2)  # (batch, T, 32) to the same
# model = InContext(layer, tokens=10, width=32)  # tokens to predictions
# ```
# ````
#
# "Fixed decays" is lightning attention, whose two decays are given and not trained, as RetNet's are. Softmax attention is there as a control without a recurrence. The three layers of this book are linear attention, a scalar gate, and the gated delta rule, as in {doc}`figure1` and {doc}`delta_trained`.

# %% tags=["remove-input", "remove-output"]
glue("real_n", 2 * N, display=False)
glue("real_d", D, display=False)


# %% tags=["check"]
def beside(values, line):
    """The mean over seeds, less a line, over the line."""
    return values.mean() / line - 1


for setting in TITLES:
    known = theory[setting]
    # Linear attention cannot weigh: every setting has its line. Sampling error of a
    # mean of five trials is a half per cent, and what is left of training less.
    assert abs(beside(risks(setting, "linear"), known["linear"])) < 0.02
    for layer in NAMES:
        errors = np.array([row["stderr"] for row in runs(setting, layer)])
        assert (risks(setting, layer) > known["bayes"] - 4 * errors).all()
gate = {s: beside(risks(s, "gla"), theory[s]["step"]) for s in ("last", "drift")}
assert max(map(abs, gate.values())) < 0.02
held = beside(risks("first", "gla"), theory["first"]["linear"])
assert abs(held) < 0.02 and held > -0.2 + 0.1  # a fifth lower if it could reorder
weighing = ("fixed-decay", "rg-lru", "mlstm", "mamba2", "softmax")
gain = max(
    -beside(risks(s, layer), theory[s]["step"])
    for s in ("last", "first", "drift")
    for layer in weighing
)
assert gain < 0.1  # erasing gains a quarter where blocks are marked
glue("real_gain", 100 * float(gain), display=False)
print(
    f"a scalar gate: {gate['last']:+.1%} of the best step where the best task is last, "
    f"{gate['drift']:+.1%} in the drift; best task first: {held:+.1%} of linear attention"
)

# %% [markdown]
# The layers of this book end where the theorems say, and most real ones not far from there. Three things stand out.
#
# - **No layer without erasing comes far below the best weighted step** (solid) where no query names its task, though each has nonlinear parts that could read labels and features. What they gain by those is {glue:text}`real_gain:.0f` per cent at most, somewhat more than gates that read labels do ({doc}`below_the_line`).
# - **The two rules that erase lie far below it** where blocks are marked, near the line of a delta rule.
# - **The scalar gate alone is held by the order of the tasks.** All real layers undo it, even those whose gates cannot.

# %% tags=["remove-input", "remove-output"]
longer = json.loads(
    Path("data/architectures_longer.json").read_text(encoding="utf-8")
)


def change(setting, layer):
    """What twice the steps change of the risk of a seed, over d."""
    (twice,) = [r for r in longer if (r["setting"], r["layer"]) == (setting, layer)]
    (once,) = [r for r in runs(setting, layer) if r["seed"] == twice["seed"]]
    return twice["risk"] - once["risk"]


for setting in TITLES:
    for layer in NAMES:
        entry = f"{risks(setting, layer).mean():.3f}"
        if layer in list(NAMES)[3:]:
            moved = round(change(setting, layer), 3)
            sign = f"{moved:+.3f}".replace("-", "−") if moved else "0.000"
            entry += f" ({sign})"
        glue(f"real_{setting}_{layer}", entry, display=False)
    for name in LOOKS:
        glue(
            f"line_{setting}_{name}", f"{theory[setting][name]:.3f}", display=False
        )
real = [r for r in rows if r["layer"] not in ("linear", "gla", "delta")]
glue("real_runs", len(real), display=False)
glue("again_runs", sum(r["attempt"] > 0 for r in real), display=False)
stuck = [r for r in real if r["risk"] > 1.05 * theory[r["setting"]]["linear"]]
glue("stuck_runs", len(stuck), display=False)
took = {
    (setting, layer): -100 * change(setting, layer) / risks(setting, layer).mean()
    for setting in TITLES
    for layer in list(NAMES)[3:]
}
glue("longer_typical", float(np.median([*took.values()])), display=False)
most = max(value for (_, layer), value in took.items() if layer != "fixed-decay")
glue("longer_most", float(most), display=False)

# %% [markdown]
# **Is it over, after so many steps?** Linear attention's line needs no gate, so a real layer that ends above it is on a plateau. Such a run was started again, from other draws and at half the learning rate, twice at most: {glue:text}`again_runs` of {glue:text}`real_runs` runs, most of them fixed decays or Mamba-2 with parts taken out. {glue:text}`stuck_runs` were above the line to the end. And one seed of each layer has been trained again with twice the steps. That takes off {glue:text}`longer_typical:.0f` per cent of the risk, as the middle of all these, and {glue:text}`longer_most:.0f` at most but for the fixed decays, one of which leaves its plateau. So the order of the layers stands, and their last per cent does not. Seeds of one layer lie far apart in the drift, and with fixed decays also at a query that names its task: there the figure shows what this training finds, not what a layer can do.
#
# ```{dropdown} In numbers: the means over seeds, and what twice the steps change
# Risk over $d$; in brackets the change of one seed.
#
# | layer | best task last | best task first | one task drifts | the query names it |
# |---|---|---|---|---|
# | linear attention | {glue:text}`real_last_linear` | {glue:text}`real_first_linear` | {glue:text}`real_drift_linear` | {glue:text}`real_named_linear` |
# | scalar gate | {glue:text}`real_last_gla` | {glue:text}`real_first_gla` | {glue:text}`real_drift_gla` | {glue:text}`real_named_gla` |
# | delta rule | {glue:text}`real_last_delta` | {glue:text}`real_first_delta` | {glue:text}`real_drift_delta` | {glue:text}`real_named_delta` |
# | fixed decays | {glue:text}`real_last_fixed-decay` | {glue:text}`real_first_fixed-decay` | {glue:text}`real_drift_fixed-decay` | {glue:text}`real_named_fixed-decay` |
# | Griffin | {glue:text}`real_last_rg-lru` | {glue:text}`real_first_rg-lru` | {glue:text}`real_drift_rg-lru` | {glue:text}`real_named_rg-lru` |
# | xLSTM | {glue:text}`real_last_mlstm` | {glue:text}`real_first_mlstm` | {glue:text}`real_drift_mlstm` | {glue:text}`real_named_mlstm` |
# | Mamba-2 | {glue:text}`real_last_mamba2` | {glue:text}`real_first_mamba2` | {glue:text}`real_drift_mamba2` | {glue:text}`real_named_mamba2` |
# | Gated DeltaNet | {glue:text}`real_last_gated-deltanet` | {glue:text}`real_first_gated-deltanet` | {glue:text}`real_drift_gated-deltanet` | {glue:text}`real_named_gated-deltanet` |
# | softmax | {glue:text}`real_last_softmax` | {glue:text}`real_first_softmax` | {glue:text}`real_drift_softmax` | {glue:text}`real_named_softmax` |
# | *theory:* linear attention | {glue:text}`line_last_linear` | {glue:text}`line_first_linear` | {glue:text}`line_drift_linear` | {glue:text}`line_named_linear` |
# | *theory:* the best weighted step | {glue:text}`line_last_step` | {glue:text}`line_first_step` | {glue:text}`line_drift_step` | {glue:text}`line_named_step` |
# | *theory:* the best delta rule | {glue:text}`line_last_delta` | {glue:text}`line_first_delta` | {glue:text}`line_drift_delta` | {glue:text}`line_named_delta` |
# | *theory:* Bayes | {glue:text}`line_last_bayes` | {glue:text}`line_first_bayes` | {glue:text}`line_drift_bayes` | {glue:text}`line_named_bayes` |
# ```
#
# ## Who undoes the wrong order
#
# If the best task comes first, a head that writes all values alike and forgets by scalar gates can do no more than linear attention ({prf:ref}`thm-scalar-gate`). {prf:ref}`thm-writes` names ways out: a write of its own, a write tied to the step as in Mamba-2, or a second head that is subtracted. Which of them does a trained Mamba-2 take?
#
# We take parts out of it. Its step no longer scales what is written. The map before its keys and values is linear. No branch multiplies its output, and nothing normalises it.

# %% tags=["hide-input"]
KEPT = {
    "mamba2": "step, silu, branch",
    "mamba2-write": "silu, branch",
    "mamba2-silu": "step, branch",
    "mamba2-branch": "step, silu",
    "mamba2-only-write": "step",
    "mamba2-only-silu": "silu",
    "mamba2-only-branch": "branch",
    "mamba2-bare": "none",
}


def ratio(row):
    """Weights of the second task over those of the first."""
    omega = np.array(row["effective"][0]["omega"])
    return omega[N:].sum() / omega[:N].sum()


print(
    "the best of five seeds: risk / d, weight of task 2 to task 1; starts in all\n"
)
print(f"{'':20}{'one head':>24}{'two heads':>27}")
columns = f"{'risk / d':>10}{'2 : 1':>7}{'starts':>8}"
print(f"{'kept':19}{columns}{'':2}{columns}")
parts = {}
halfway = (theory["first"]["linear"] + theory["first"]["step"]) / 2
for name, word in KEPT.items():
    line = f"{word:20}"
    for heads, width in ((1, 9), (2, 12)):
        each = runs("first", name, heads)
        best = min(each, key=lambda row: row["risk"])
        parts[name, heads] = best["risk"]
        starts = sum(1 + row["attempt"] for row in each)
        line += f"{best['risk']:{width}.3f}{ratio(best):7.2f}{starts:8}"
    print(line)

# %% tags=["check"]
known = theory["first"]
# Kept parts with one head: any nonlinear write will do; the branch acts at the query,
# when all weights are fixed; and without a part the layer is a scalar gate. The best
# of five seeds says what a layer can do; half of the way from linear attention to the
# best step is twenty times the standard error of a trial.
for name, kept in KEPT.items():
    undone = "step" in kept or "silu" in kept
    assert (parts[name, 1] < halfway) == undone, (name, parts[name, 1])
    assert parts[name, 2] < halfway, (name, parts[name, 2])
assert abs(parts["mamba2-bare", 1] / known["linear"] - 1) < 0.02
print(
    f"one head without a part: {parts['mamba2-bare', 1] / known['linear'] - 1:+.1%} of linear attention; "
    f"with a second head: {parts['mamba2-bare', 2] / known['step'] - 1:+.1%} of the best weighted step"
)


# %% [markdown]
# The step will do, or the nonlinear map, and neither is needed if there are two heads. The step does what theory says it can. But the nonlinear map before keys and values is a gate on the write as well: context moves a
# channel to where the map is flat, and the token writes nothing. The branch cannot do it alone, as it multiplies at the query, where all weights are fixed. It wins a little: the convolution at the query reaches two examples back, and takes off the weight of these two. With one head, and none of the three, what is left of Mamba-2 ends on the line of linear attention and gives both tasks the same weight.
#
# Not every start arrives. Whole layers of Mamba-2 did at once, and so did those whose step alone was taken out. With more taken out every third run or so first ended on a plateau, above linear attention.
#
# So the order obstruction is real, and no real layer here has it. It takes one head, and a write that is linear in the token.
#
# ## Erasing prefers the best task first
#
# Gates that forget want the best task last. The delta rule wants it first ({prf:ref}`thm-delta-order`), since each example takes from the memory what is still wrong in it.


# %% tags=["check"]
def first_less_last(layer):
    """Of each seed, over d."""
    return risks("first", layer) - risks("last", layer)


gap = theory["first"]["delta"] - theory["last"]["delta"]
preference = {}
for layer in ("delta", "gated-deltanet", "mamba2", "mlstm", "rg-lru", "softmax"):
    each = first_less_last(layer)
    preference[layer] = each.mean(), each.std(ddof=1) / len(each) ** 0.5
# Stored numbers: none of them is drawn here.
for layer in ("delta", "gated-deltanet"):
    mean, error = preference[layer]
    assert mean < -3 * error and gap < 0
for layer in ("mamba2", "mlstm", "softmax"):
    mean, error = preference[layer]
    assert abs(mean) < 2 * error
assert preference["rg-lru"][0] > 3 * preference["rg-lru"][1]
print(
    "first less last, the mean of five seeds: "
    + ", ".join(f"{NAMES[k]} {mean:+.3f}" for k, (mean, _) in preference.items())
    + f"; theory of the delta rule {gap:+.3f}"
)

# %% tags=["remove-input", "remove-output"]
for layer, name in (
    ("delta", "ours"),
    ("gated-deltanet", "real"),
    ("mamba2", "mamba"),
    ("mlstm", "mlstm"),
):
    words = "{:+.3f} ± {:.3f}".format(*preference[layer]).replace("-", "−")
    glue(f"prefers_{name}", words, display=False)

# %% [markdown]
# The delta rule of this book does, by {glue:text}`prefers_ours` over five seeds. Gated DeltaNet leans the same way, by {glue:text}`prefers_real`: less, and still more than three standard errors. Mamba-2 and xLSTM, which do not erase, lean the other way if at all, by {glue:text}`prefers_mamba` and {glue:text}`prefers_mlstm`. Griffin, whose channels forget and write by one step, clearly does. Five seeds are few; but it is the order that theory has.
#
# ## What gates say, and what weights are

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-declared", "caption": "What gates say is what examples count in the scalar gate, in most heads of Mamba-2 and one of xLSTM, and not in a layer that erases. Wide pale line: effective weights of the examples, the mean of five seeds. Thin lines: weights that the gates of its heads declare, solid the first and dashed the second (write times later decays; Griffin has channels, of which this is the mean), for the first seed. All scaled to mean square one."}}
shown = ("fixed-decay", "rg-lru", "mlstm", "mamba2", "gated-deltanet", "gla")
fig, axes = plt.subplots(4, 3, figsize=(6.4, 6.6), sharex=True, sharey=True)
place = np.arange(1, 2 * N + 1)
record = {"setting": [], "layer": [], "curve": [], "example": [], "weight": []}
for k, layer in enumerate(shown):
    for row, setting in enumerate(("last", "first")):
        ax = axes[2 * (k // 3) + row, k % 3]
        each = runs(setting, layer)
        effective = np.mean([r["effective"][0]["omega"] for r in each], 0)
        curves = {"effective": effective}
        curves |= {f"head {h + 1}": w for h, w in enumerate(each[0]["declared"])}
        for name, weights in curves.items():
            look = {"color": "0.75", "lw": 6}
            if name != "effective":
                h = int(name[-1]) - 1
                look = {"color": plotting.TASKS[h], "ls": ("-", "--")[h], "lw": 1.8}
            ax.plot(place, weights, **look)
            columns = ([setting] * 24, [layer] * 24, [name] * 24, place, weights)
            for key, entries in zip(record, columns, strict=True):
                record[key] += list(entries)
        ax.set_title(
            f"{NAMES[layer]},\n{TITLES[setting]}" if row == 0 else TITLES[setting],
            size=11,
        )
axes[0, 0].set(ylim=(-0.2, 2.4), yticks=(0, 1, 2), xticks=(1, 12, 24))
fig.supxlabel("example", size=12)
_ = fig.supylabel("weight", size=12)

# %% tags=["remove-input"]
plotting.FigureData(
    "declared_weights",
    record,
    figure=fig,
    seed="effective: mean of five; declared: 0",
)


# %% [markdown]
# The scalar gate declares what it does. In Mamba-2 {glue:text}`near_heads` of {glue:text}`all_heads` heads, in both orders and all seeds, declare the ratio of the two tasks to within a factor of two. The others leave it to the rest of the layer, to the nonlinear map or to the other head. In xLSTM one head does, and in the wrong order the other stands idle.
#
# Fixed decays cannot declare the wrong order, as both only rise. The effective weights fall all the same, so what decides is the nonlinear map on keys and values. In the layer that erases, the gates are not the weights.


# %% tags=["check"]
def spread_of(layer, setting):
    """Declared over effective: the log of the ratio of task 2 to task 1, by seed and head."""
    out = []
    for row in runs(setting, layer):
        each = np.array(row["declared"])
        out.append(np.log(each[:, N:].sum(1) / each[:, :N].sum(1) / ratio(row)))
    return np.array(out)


missed = {
    layer: np.concatenate([spread_of(layer, s).ravel() for s in ("last", "first")])
    for layer in shown
}
typical = {layer: np.exp(np.median(np.abs(each))) for layer, each in missed.items()}
near = int((np.abs(missed["mamba2"]) < np.log(2)).sum())
# The two orders differ by a factor of sixteen.
assert typical["gla"] < 1.05
assert 2 * near > missed["mamba2"].size  # of heads of Mamba-2, more than half
assert typical["fixed-decay"] > 2
glue("near_heads", near, display=False)
glue("all_heads", missed["mamba2"].size, display=False)
print(
    "declared weights miss the effective ratio of tasks by a factor, the middle one of all heads: "
    + ", ".join(f"{typical[k]:.2f} ({NAMES[k]})" for k in missed)
)

# %% [markdown]
# ## The drift, and a query that names its task
#
# In the drift all that is needed is one good decay. The scalar gate learns it. Griffin comes below the best step with its many channels, and so does xLSTM from all seeds but one. Mamba-2 stays a little above. Gated DeltaNet goes lower than any, below a delta rule with the best single step, but its five seeds spread widely. The layer whose decays are given has none that fits. Softmax attention does not see the order of its tokens, so a drift is all noise to it, as to linear attention.

# %% tags=["check"]
decays = np.exp(-np.array([1 / 16, 1 / 256]))  # of the layer with fixed decays
age = np.arange(2 * N, 0, -1)
given = np.array(runs("drift", "fixed-decay")[0]["declared"])  # to three digits
assert np.allclose(given[:, :-1] / given[:, 1:], decays[:, None], rtol=0.01)


def mixed(angle, dist=LINES["drift"]):
    """Risk / d of two heads of these decays, one of which may be subtracted."""
    weights = np.cos(angle) * decays[0] ** age + np.sin(angle) * decays[1] ** age
    return optimal_wpgd(dist, weights).risk / D


two_decays = min(mixed(angle) for angle in np.linspace(0, np.pi, 25))
best_decay = optimal_wpgd(LINES["drift"], "constant-gate")
print(
    f"the drift's best decay is {best_decay.gate:.2f}, for {best_decay.risk / D:.3f}; "
    f"decays of {decays[0]:.2f} and {decays[1]:.3f} reach {two_decays:.3f} at best"
)

# %% [markdown]
# Where the query names its task, a layer needs a head for each task and a gate at the query ({prf:ref}`thm-named-query`). The scalar gate of this book has one head and stays with linear attention. The real layers have two heads, or channels, and something that multiplies at the query. They come close to the step that was told the task, and
# some pass it. Softmax attention compares the query's name with the context of each token, and needs no head for each. Gated DeltaNet, which erases besides, goes lowest.
#
# ## Break it
#
# Take the gates of a layer that erases at their word. Gated DeltaNet declares decays and steps, and if it were gated linear attention, they would multiply to its weights. Heads of one recipe declare anything from the right order to its opposite, at nearly one risk.

# %% tags=["check"]
said = spread_of("gated-deltanet", "first") + np.log(
    [[ratio(r)] for r in runs("first", "gated-deltanet")]
)
found = np.array([ratio(row) for row in runs("first", "gated-deltanet")])
values = risks("first", "gated-deltanet")
# All agree on what examples count: four times as much in the first task.
assert (found < 0.5).all() and np.ptp(values) < 0.2 * values.mean()
# But a head declares that the second counts more, others that the first does.
assert said.min() < 0 < said.max()
print(
    f"effective, task 2 over task 1: {found.min():.2f} to {found.max():.2f}; declared: "
    f"{np.exp(said.min()):.2f} to {np.exp(said.max()):.2f}"
)

# %% [markdown]
# So read gates where nothing is erased, and measure weights where something is: {doc}`gates_that_read` says why, and `effective_weights` and `compare` do it for any layer.
#
# ## Exercises
#
# ```{exercise} By hand: what a convolution can do
# :label: ex-convolution-writes
#
# Before the recurrence real layers mix each token with the one before it. Let keys and values be $k_t - a\, k_{t-1}$ and $v_t + b\, v_{t-1}$, with one scalar gate $g_t$ for each token. Which factor does the product $v_i k_i^\top$ get in the state? Can these factors fall from example to example, though gates cannot make them fall?
# ```
#
# ```{answer} ex-convolution-writes
# asks: The factor of a pair, as a function of a, of b, of the next token's gate g, and of h, the product of all gates after that.
# value: "lambda a, b, g, h: g * h - a * b * h"
# at: [{a: 0.6, b: 0.4, g: 0.9, h: 0.5}, {a: 0.2, b: 0.5, g: 0.5, h: 1.0}, {a: -0.4, b: 0.5, g: 0.7, h: 0.8}]
# wrong:
# - value: "lambda a, b, g, h: g * h"
#   says: That is the gates' part. The pair is written once more, at the next token.
# - value: "lambda a, b, g, h: g * h + a * b * h"
#   says: The key before is taken off and the value before is added. Which sign has the product of the two?
# - value: "lambda a, b, g, h: g * h - a * b * g * h"
#   says: That lets the next gate act on what its own token writes. A gate acts on what was there before.
# - value: "lambda a, b, g, h: h - a * b * h"
#   says: What is written at the first of the two tokens meets the next gate, too.
# - value: "lambda a, b, g, h: g * h + (b - a) * h"
#   says: Alone, a and b are the factors of pairs of neighbours. In the pair of one example at the next token both stand.
# minutes: 8
# level: 2
# ```
#
# ```{answer} ex-convolution-writes-fall
# asks: With gates from zero to one, when can the factors fall from one example to the next?
# choices:
# - text: never
#   says: That holds for gates alone. Let the gate after the later example be small, and look at what its second writing takes off.
# - text: if a and b have opposite signs
#   says: Then the second writing adds to the first. Let a gate be zero. Does the later of the two neighbours lose anything by it?
# - text: if a and b have the same sign
# - text: whenever neither is zero
#   says: Write two neighbours' factors with all gates in place, and look at the sign of what the second writing adds.
# minutes: 6
# level: 3
# ```
#
# ```{hint}
# :class: dropdown
#
# The pair $v_i k_i^\top$ is written twice, at token $i$ and at token $i + 1$.
# ```
#
# ````{solution} ex-convolution-writes
# :class: dropdown
#
# Let $G_t$ be the product of all gates after token $t$. The pair is written with the factor $1$ at token $i$ and $-ab$ at token $i + 1$, so its factor is $G_i - ab\, G_{i+1} = G_{i+1}\, (g_{i+1} - ab)$. Where $ab > 0$ it may fall, and change its sign: a convolution is a gate on the write. But pairs of neighbours, $v_{i+1} k_i^\top$ and $v_i k_{i+1}^\top$, are
# written as well, with factors $-a$ and $b$ times $G_{i+1}$. Neighbours' labels and features are independent, so these pairs carry no signal and all of their noise. Mamba-2 without its three parts has such a convolution, and did not take this way.
# ````
#
# ```{exercise} Compute: which decays would have done?
# :label: ex-fixed-decays
#
# The two decays of the layer with fixed decays are made for long texts. Which of $g_1 = 1 - 2^{-j}$, $j = 1, \dots, 8$, would have done best in the drift, alone?
# ```
#
# ```{answer} ex-fixed-decays
# asks: Which of the eight decays does best?
# value: menu[np.argmin(alone)]
# within: 0.005
# wrong:
# - value: np.argmin(alone) + 1
#   says: That is its exponent j. Its decay is asked for.
# - value: best_decay.omega[-2] / best_decay.omega[-1]
#   says: That is the best of all decays, near enough. Which of the eight comes nearest to its risk?
# - value: RHO
#   says: That is how much of the task each example keeps of the one before, and it is not among the eight.
# - value: menu[2]
#   says: That is the one nearest to the drift itself. The best decay need not be as slow as the drift. Compute its neighbours' risks.
# - value: menu[3]
#   says: That is nearly one of the layer's own two, made for long texts. Compute the risks of all eight.
# minutes: 6
# level: 1
# ```
#
# ```{answer} ex-fixed-decays-risk
# asks: What is its risk, divided by d? Three digits.
# value: min(alone)
# within: 0.2%
# wrong:
# - value: theory["drift"]["step"]
#   says: That is the best weighted step of all. One of the eight decays comes near, and stays above it.
# - value: alone[2]
#   says: That is the risk of a neighbour, which forgets more slowly.
# - value: two_decays
#   says: That is the best that the layer's own two decays reach together.
# - value: theory["drift"]["linear"]
#   says: That is without a decay.
# minutes: 3
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `optimal_wpgd(dist, weights)` takes any weights.
# ```
#
# ````{solution} ex-fixed-decays
# :class: dropdown
#
# $j = 2$: $g = 3/4$ is next to the best decay, and comes within two per cent of the best step. The layer's own two cannot come so near together, though one may be subtracted.
#
# ```python
# menu = 1 - 0.5 ** np.arange(1, 9)
# alone = [optimal_wpgd(LINES["drift"], g**age).risk / D for g in menu]
# assert menu[np.argmin(alone)] == 0.75
# assert min(alone) < 1.02 * theory["drift"]["step"] < two_decays
# ```
# ````
#
# ```{exercise} Explore: is a wrong order worth a step?
# :label: ex-order-worth
#
# Two heads undid the order without any nonlinear part. What is the best difference of two scalar gates worth at $r = (0.8, 0.2)$ if each may have one gate value at the first delimiter and is one elsewhere? Compare with the best step and with what was trained.
# ```
#
# ```{answer} ex-order-worth
# asks: One head has the value 1 at the first delimiter, the other a half. How much of the second is subtracted for each unit of the first, at the best?
# value: -mix[1] / mix[0]
# wrong:
# - value: 3
#   says: That makes the second task count more, or lets the gate act on it. A gate acts on what stands before it, the better task here.
# - value: 1 / 3
#   says: That mixes up the equations. There is one for each task, and both heads have an entry in each.
# - value: 1
#   says: Then nothing is left of the second task, which has a weight at the best, too.
# - value: 1 / 4
#   says: That is the ratio of the best weights. Solve for the two factors that give it.
# minutes: 8
# level: 2
# ```
#
# ```{answer} ex-order-worth-risk
# asks: The risk of the best difference, divided by d.
# value: again.risk / D
# wrong:
# - value: theory["first"]["linear"]
#   says: That is what one scalar gate has here, or two that are added. With a minus sign two heads have more.
# - value: theory["first"]["delta"]
#   says: That is the delta rule, which erases. Heads that only weigh cannot have it.
# - value: theory["first"]["bayes"]
#   says: That is the Bayes risk. A difference of two heads is one weighted step still.
# minutes: 4
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# A head with the value $g$ at the delimiter gives the first task $g$ times the weight of the second. What do two of them, one subtracted, give?
# ```
#
# ````{solution} ex-order-worth
# :class: dropdown
#
# Everything: $c_1 (g_1, 1) - c_2 (g_2, 1)$ spans all pairs of weights as soon as $g_1 \neq g_2$, the best among them. What was trained comes near.
#
# ```python
# dist = LINES["first"]
# best = optimal_wpgd(dist)
# heads = np.array([[1.0, 1.0], [0.5, 1.0]])
# mix = np.linalg.solve(heads.T, best.omega[[0, -1]])
# assert mix[0] > 0 > mix[1]  # one is subtracted
# again = optimal_wpgd(dist, np.repeat(mix @ heads, N))
# assert abs(again.risk / best.risk - 1) < 1e-9
# assert parts["mamba2-bare", 2] < 1.1 * best.risk / D
# ```
# ````

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
#   settles: which of many small layers arrive, by start, step size and gate bias, and
#     what a random start knows
# ---

# %% [markdown]
# # From which starts does training get there?
#
# Of many small layers that are trained alike, which arrive at the optimum, which come late, and which stay behind?
#
# {doc}`get_there` finds a trap and a cure, with a few runs. Here are {glue:text}`all_runs`: three kinds of start, three step sizes, six gate biases, ten seeds for each bias, and $W_q$, $W_k$ apart or merged. Gates read context only, so that no layer can pass below its line ({prf:ref}`thm-ceiling`), and a distance to the line is a distance to the best.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-who-arrives", "caption": "How many layers arrive in time depends on the start, on the step size, and on strong gating. Share within the margin after the first phase, of ten runs a mark, with Wilson's 95 per cent interval; at the foot, how many random starts were not there in the end either."}}
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import PromptDistribution, plotting, population_risk
from glalib.layout import Layout
from glalib.reproduce.circuit import circuit, step_inside
from glalib.reproduce.plateau import (
    PLATEAU,
    begin_from,
    half_way,
    plateau_distribution,
)
from glalib.reproduce.starts import (
    DIST,
    MARGIN,
    PHASES,
    RECIPE,
    linear_gap,
    outcome,
)
from glalib.risk import best_P
from glalib.training import fit_many
from myst_nb import glue
from scipy.stats import binomtest

plotting.use_style()
rows = json.loads(Path("data/starts.json").read_text())
cells = {
    (r["parameters"], r["rate"], r["beginning"]): r for r in rows if "d" not in r
}
plateaus = {(r["d"], r["rate"]): r for r in rows if "d" in r}
rates = sorted({rate for _, rate, _ in cells})
looks = {  # kind of start: mark, ink, shift
    "random": ("o", plotting.TASKS[0], -0.35),
    "closed": ("s", plotting.TASKS[2], 0.0),
    "orthogonal": ("^", plotting.TASKS[1], 0.35),
}


def interval(k, n):
    """Wilson's 95 per cent interval for a probability, from k of n."""
    found = binomtest(int(k), int(n)).proportion_ci(method="wilson")
    return found.low, found.high


names = ("a third of the step", "the step", "three times it")


keys = (
    "parameters",
    "rate",
    "start",
    "gate_bias",
    "runs",
    "there",
    "slow",
    "stuck",
)
record = {key: [] for key in keys}
fig, axes = plt.subplots(2, 3, figsize=(7.2, 4.4), sharex=True, sharey=True)
for (parameters, rate, start), cell in cells.items():
    ax = axes[("apart", "merged").index(parameters), rates.index(rate)]
    mark, ink, shift = looks[start]
    for bias in sorted({run["gate_bias"] for run in cell["runs"]}):
        found = [outcome(run) for run in cell["runs"] if run["gate_bias"] == bias]
        n, counts = len(found), [found.count(name) for name in keys[5:]]
        share, (low, high) = counts[0] / n, interval(counts[0], n)
        bars = [[share - low], [high - share]]
        style = {"ms": 4, "lw": 1, "mfc": "none" if start == "random" else ink}
        ax.errorbar(bias + shift, share, bars, fmt=mark, color=ink, **style)
        if start == "random":
            ax.text(bias, -0.2, f"{counts[2]}", ha="center", va="center", color=ink)
        place = [parameters, rate, start, bias, n, *counts]
        for key, value in zip(keys, place, strict=True):
            record[key].append(value)
for (i, k), ax in np.ndenumerate(axes):
    ax.set_title(f"{('apart', 'merged')[i]}, {names[k]}", fontsize=11)
    ax.set(ylim=(-0.32, 1.08), xticks=[-2, 0, 2, 4, 6, 8], yticks=[0, 0.5, 1])
fig.supxlabel("gate bias at the start", fontsize=11)
fig.supylabel("share there", fontsize=11)
for start, y, word in (
    ("random", 0.28, "○ random"),
    ("closed", 0.14, "■ closed"),
    ("orthogonal", 0.0, "▲ $W_q = W_k$"),
):
    _ = axes[1, 2].text(8.6, y, word, ha="right", color=looks[start][1])

# %% tags=["remove-input"]
plotting.FigureData(
    "who_arrives",
    record,
    figure=fig,
    distribution=DIST,
    **cells["apart", 1.0, "random"]["configuration"],
    seed="of each gate bias its own, from 0 on",
)


# %% [markdown]
# ```{symbols}
# d n K x y Z q k v W psi G P omega gamma R r C Sx sigma Sigma M risk beta beta_query
# ```
#
# ## What counts as there
#
# Five features, two tasks of twenty examples, $r = (0.2, 0.8)$, no noise. A run is *there* if its excess over the line is at most {glue:text}`margin` per cent of what the gate is worth, the gap between linear attention's line and the optimum. It has {glue:text}`first_steps` steps for that. If it is not there it gets as many again, the schedule begun anew; and then twice as many. If this helps it was *slow*; if not it is *stuck*, as far as these runs say.
#
# The starts are those of {doc}`get_there`: *random*, with $W_q$ and $W_k$ drawn apart; *closed*, the same with $w_x = 0$ and $A_{xy} = 0$, no features in values and no label in keys; and $W_q = W_k$ with orthonormal columns. Merged, one matrix $A$ is trained in place of $W_q W_k^\top$, from the same function. A gate bias of $-2$ is strong gating, a gate of {glue:text}`gate_low` at every token, so that a block of twenty leaves next to nothing of what came before; a bias of $8$ forgets nothing.


# %% tags=["check"]
def counted(names, phase=0, **what):
    """(there, runs) after this phase, over cells of these parameters, rates and starts."""
    runs = [
        run
        for place, cell in cells.items()
        for run in cell["runs"]
        if all(
            value in what.get(key, [value])
            for key, value in zip(("parameters", "rate", "start"), place)
        )
    ]
    return sum(outcome(run) in names for run in runs), len(runs)


def counts_of(k, n):
    return f"{k} of {n}"


def told(k, n):
    """For prose: k of n, and the interval for the share."""
    low, high = interval(k, n)
    return f"{k} of {n} ({100 * low:.0f} to {100 * high:.0f} per cent)"


gap, theory = linear_gap(), next(iter(cells.values()))["theory"]
everything = [run for cell in cells.values() for run in cell["runs"]]
glue("all_runs", len(everything), display=False)
glue("margin", f"{100 * MARGIN:.0f}", display=False)
glue("first_steps", RECIPE.steps, display=False)
glue("all_steps", sum(PHASES) * RECIPE.steps, display=False)
glue("gate_low", f"{1 / (1 + np.exp(2)):.2f}", display=False)
early, late = ("there",), ("there", "slow")
for start in looks:
    glue(f"early_{start}", counts_of(*counted(early, start=[start])), display=False)
    glue(f"late_{start}", counts_of(*counted(late, start=[start])), display=False)
for i, rate in enumerate(rates):
    for parameters in ("apart", "merged"):
        place = {"start": ["random"], "rate": [rate], "parameters": [parameters]}
        glue(
            f"early_{parameters}_{i}", told(*counted(early, **place)), display=False
        )
        glue(f"late_{parameters}_{i}", told(*counted(late, **place)), display=False)
errors = [
    run["seen"][-1]["stderr"] for run in everything if outcome(run) != "stuck"
]
assert all(
    run["seen"][-1]["excess"] > -4 * run["seen"][-1]["stderr"] for run in everything
)
# The margin is many times the error with which all that are there are known, of one draw of prompts, the same for all.
assert max(errors) < 0.15 * MARGIN * gap
print(
    f"{len(everything)} runs, none below the line; "
    + "; ".join(
        f"{start}: there {counts_of(*counted(early, start=[start]))}, in the end {counts_of(*counted(late, start=[start]))}"
        for start in looks
    )
)

# %% [markdown]
# After {glue:text}`first_steps` steps {glue:text}`early_orthogonal` runs from $W_q = W_k$ were there, {glue:text}`early_closed` closed ones, and {glue:text}`early_random` random ones; after all {glue:text}`all_steps` steps {glue:text}`late_random` of these. These totals share their seeds among step sizes and parameterisations, so they have no interval; within one panel of {numref}`fig-who-arrives` all sixty starts of a kind are independent, and in brackets stands Wilson's interval. Of random starts with a third of the step, apart, {glue:text}`early_apart_0` were there at first, with three times the step {glue:text}`early_apart_2`; merged {glue:text}`early_merged_0` and {glue:text}`early_merged_2`.
#
# ## What failures look like

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-where-they-wait", "caption": "Late runs are the wrong way round, miss directions of the task, or have shut their gates. Left, every random start that was not there after the first phase, by the label's share of a value and its excess, in units of the gap; blue, orange and green are the step sizes, the smallest first; filled marks were not there in the end either; the mark says the kind, as on the right, dots are nearly there. Dotted, the least risks of steps of rank 0, 1, ..., 4. Right, the eigenvalues of $P$, the best being one, of one run that is there and of the worst of each kind."}}
kinds = {"wrong way": "o", "directions": "^", "gates": "X", "nearly": "."}


def kind(seen):
    """Nearly there; or weights that forget, the wrong way round, or a P that misses directions."""
    if seen["excess"] < 2 * MARGIN * gap:
        return "nearly"
    if seen["weights"] > seen["excess"] / 2:
        return "gates"
    return "wrong way" if seen["label"] < 0.5 else "directions"


waiting = [
    (place, run)
    for place, cell in cells.items()
    for run in cell["runs"]
    if place[2] == "random" and outcome(run) != "there"
]
fig, (ax, right) = plt.subplots(1, 2, figsize=(7.2, 3.4), width_ratios=(1.7, 1))
for rank in range(DIST.d):
    level = (1 - theory) * (1 - rank / DIST.d) / gap
    ax.hlines(level, -0.04, 1.03, color="0.5", linestyle=":", linewidth=1)
    words = {"va": "center", "fontsize": 10, "color": "0.3"}
    ax.text(1.05, level, f"rank {rank}", **words)
for (_, rate, _), run in waiting:
    seen = run["seen"][0]
    ink = plotting.TASKS[rates.index(rate)]
    fill = ink if outcome(run) == "stuck" else "none"
    mark = kinds[kind(seen)]
    ax.plot(seen["label"], seen["excess"] / gap, mark, color=ink, mfc=fill, ms=5)
ax.set(xlabel="label's share of a value", ylabel="excess / gap", xlim=(-0.04, 1.27))
ax.set_xticks([0, 0.5, 1])
examples = {
    name: max(
        (run["seen"][0] for _, run in waiting if kind(run["seen"][0]) == name),
        key=lambda seen: seen["excess"],
    )
    for name in ("wrong way", "directions", "gates")
}
arrived = cells["apart", 1.0, "orthogonal"]["runs"][0]["seen"][0]
for k, (name, seen) in enumerate(({"there": arrived} | examples).items()):
    mark = kinds.get(name, "s")
    place = np.arange(DIST.d) + 6.5 * (k % 2)
    values = np.array(seen["eigenvalues"]) - 1.9 * (k // 2)
    right.plot(place, values, mark, color="0.2", ms=5)
    base = -1.9 * (k // 2)
    right.plot([place[0], place[-1]], [base] * 2, color="0.6", linewidth=0.8)
    right.text(place[2], base + 1.25, name, ha="center", fontsize=10)
right.set(ylim=(-2.3, 1.7), yticks=[-1.9, -0.9, 0, 1], xticks=[])
_ = right.set_yticklabels(["0", "1", "0", "1"])
_ = right.set_title("eigenvalues of $P$", fontsize=11)

# %% tags=["remove-input"]
plotting.FigureData(
    "where_they_wait",
    {
        "parameters": [place[0] for place, _ in waiting],
        "rate": [place[1] for place, _ in waiting],
        "gate_bias": [run["gate_bias"] for _, run in waiting],
        "run": [run["seed"] for _, run in waiting],
        "label": [run["seen"][0]["label"] for _, run in waiting],
        "excess_over_gap": [run["seen"][0]["excess"] / gap for _, run in waiting],
        "kind": [kind(run["seen"][0]) for _, run in waiting],
        "outcome": [outcome(run) for _, run in waiting],
    },
    figure=fig,
    distribution=DIST,
    seed="in the column run",
)

# %% tags=["check"]
of_kind = {
    name: [w for w in waiting if kind(w[1]["seen"][0]) == name] for name in kinds
}
glue("waiting", len(waiting), display=False)
for name, found in of_kind.items():
    word = name.replace(" ", "_")
    glue(f"waiting_{word}", len(found), display=False)
    glue(
        f"stuck_{word}",
        sum(outcome(run) == "stuck" for _, run in found),
        display=False,
    )
by_bias = {
    bias: [
        run
        for (p, r, s), cell in cells.items()
        if s == "random"
        for run in cell["runs"]
        if run["gate_bias"] == bias
    ]
    for bias in (-2.0, 0.0, 2.0, 4.0, 6.0, 8.0)
}
for bias, runs in by_bias.items():
    glue(
        f"bias_{bias:+.0f}".replace("+", "").replace("-", "minus_"),
        counts_of(sum(outcome(r) == "there" for r in runs), len(runs)),
        display=False,
    )
closed_late = [
    run
    for place, cell in cells.items()
    for run in cell["runs"]
    if place[2] == "closed" and outcome(run) != "there"
]
glue("closed_late", len(closed_late), display=False)
glue(
    "closed_strong",
    sum(run["gate_bias"] == -2 for run in closed_late),
    display=False,
)
stuck = [(place, run) for place, run in waiting if outcome(run) == "stuck"]
strong = [run for _, run in stuck if run["gate_bias"] == -2]
glue("all_stuck", len(stuck), display=False)
glue("strong_stuck", len(strong), display=False)
fast = {True: [], False: []}
for run in cells["apart", rates[2], "random"]["runs"]:
    fast[run["gate_bias"] == -2].append(outcome(run) != "stuck")
glue("strong_fast", told(sum(fast[True]), len(fast[True])), display=False)
glue("other_fast", told(sum(fast[False]), len(fast[False])), display=False)
# The intervals are far apart.
assert (
    interval(sum(fast[True]), len(fast[True]))[1]
    < interval(sum(fast[False]), len(fast[False]))[0]
)
forgetful = [run["gate_bias"] for _, run in of_kind["gates"]]
glue("forgetful", sum(bias < 0 for bias in forgetful), display=False)
# What a late run lacks is in its weights and in its step: the rest of its prediction costs less.
shares = [
    (r["seen"][0]["weights"] + r["seen"][0]["step"]) / r["seen"][0]["excess"]
    for _, r in waiting
]
assert np.median(shares) > 0.5
print(
    f"of {len(waiting)} late runs "
    + ", ".join(
        f"{len(found)} {name} ({sum(outcome(r) == 'stuck' for _, r in found)} stuck)"
        for name, found in of_kind.items()
    )
    + f"; weights and step are {np.median(shares):.0%} of the excess (median)"
)


# %% [markdown]
# Of the {glue:text}`waiting` random starts that were late, {glue:text}`waiting_wrong_way` had values with more features than label: the wrong way round ({prf:ref}`prop-wrong-way-round`); {glue:text}`waiting_directions` held the right things, but had directions of the task still to learn, in part or whole; and {glue:text}`waiting_gates`, {glue:text}`forgetful` of these with a gate bias of $-2$, had gates that let little through. {glue:text}`waiting_nearly` were nearly there, within twice the margin.
#
# Nearly all runs that were stuck in the end, {glue:text}`strong_stuck` of {glue:text}`all_stuck`, began with strong gating. With three times the step, apart, and a bias of $-2$ {glue:text}`strong_fast` random starts were there in the end, with a bias of $0$ to $8$ {glue:text}`other_fast`. A likely reason: while the step is still wrong, forgetting lowers the risk; a large step of the optimiser shuts the gate, and through a shut gate hardly any gradient comes. Over all panels random starts were there at first in {glue:text}`bias_minus_2` cases with a bias of $-2$, with $0$ in {glue:text}`bias_0`, with $4$ in {glue:text}`bias_4`, with $8$ in {glue:text}`bias_8`. The last three differ by no more than chance can make, with ten starts a bias, each tried in six panels. Of the {glue:text}`closed_late` closed starts that were late, {glue:text}`closed_strong` had strong gating, too.
#
# ## What cures them


# %% tags=["check"]
def again(place, run):
    """What became of the same start in another cell."""
    return outcome(
        next(r for r in cells[place]["runs"] if r["seed"] == run["seed"])
    )


totals, cures = {}, {}
ways = {
    "longer": lambda p, rate, run: outcome(run) == "slow",
    "closed": lambda p, rate, run: again((p, rate, "closed"), run) == "there",
    "orthogonal": lambda p, rate, run: (
        again((p, rate, "orthogonal"), run) == "there"
    ),
    "faster": lambda p, rate, run: again((p, rates[1], "random"), run) == "there",
}
for name, way in ways.items():
    done = [
        (place, way(*place[:2], run))
        for place, run in waiting
        if name != "faster" or place[1] == rates[0]
    ]
    totals[name] = (sum(cured for _, cured in done), len(done))
    one = [cured for place, cured in done if place[:2] == ("apart", rates[0])]
    cures[name] = (sum(one), len(one))
    glue(f"cure_{name}", told(*cures[name]), display=False)
    glue(f"all_{name}", counts_of(*totals[name]), display=False)
assert all(n > 10 for _, n in cures.values())
print(
    "of the late random starts, all; apart with a third of the step: "
    + "; ".join(
        f"{name} {counts_of(*totals[name])}; {told(*cures[name])}" for name in ways
    )
)

# %% [markdown]
# Take the starts that were late apart with a third of the step, which are independent. Closed, the same starts were there in {glue:text}`first_steps` steps in {glue:text}`cure_closed` cases; with $W_q = W_k$ from the same seed in {glue:text}`cure_orthogonal`; random as before but with the step of full size in {glue:text}`cure_faster`. Training on, up to {glue:text}`all_steps` steps, brought {glue:text}`cure_longer` there. Of all late starts closing cures {glue:text}`all_closed`, $W_q = W_k$ {glue:text}`all_orthogonal`, and training on {glue:text}`all_longer`.
#
# ## What a random start knows
#
# In many dimensions a random $P$ knows next to nothing of the best one. Is this what holds a layer back?
#
# ```{prf:proposition} What a random start knows
# :label: prop-random-start
#
# **Of what the best step gains, a random one gains one part in the square of the dimension.**
#
# *New here.* Let $W_q$, $W_k$ and $W_v$ have independent normal entries of mean zero, of one variance in each matrix, and let $P = w_y A_{xx} + A_{xy} w_x^\top$ be the step inside ({prf:ref}`prop-wrong-way-round`), or $P = w_y A_{xx}$. For every $d \times d$ matrix $H \ne 0$
#
# $$
# \E\, \frac{\tr(H^\top P)^2}{\norm{H}_F^2 \norm{P}_F^2} = \frac{1}{d^2} .
# $$
#
# If $\Sigma_x = C = I$ then, for weights with $r^\top \omega \ne 0$, the best multiple of $P$ lowers the risk from $M$ by the share $\tr(P)^2 / (d \norm{P}_F^2)$ of what the best $P$ lowers it by: on average by $1/d^2$. From $W_q = W_k$ with orthonormal rows the share is one, unless $w_y = 0$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-random-start)=
# ```{prf:proof}
# Rotate the features' rows of $W_q$ by an orthogonal $U$, and those of $W_k$ and $W_v$ by an orthogonal $V$. The law of the matrices stays (also with $\lvert w_y \rvert$ for $w_y$, as in our starts), and with it that of $P$, which becomes $U P V^\top$. With $U$ and $V$ uniform and independent of $P$, the squared entries of $U P V^\top / \norm{P}_F$ all have the same mean, their sum is one, and products of two different entries have mean zero, as a row or a column changes its sign alone. So every unit vector of matrix space gets the mean $1/d^2$. (Almost surely $P \ne 0$.)
#
# If $\Sigma = \Sigma_x = I$ the formula of {prf:ref}`prop-population-risk` is $\risk(cP, \omega) = M - 2 c\, r^\top \omega \tr P + c^2 \norm{\omega}^2 (M + \gamma) \norm{P}_F^2$. At its best $c$ it is $M - (r^\top \omega)^2 / (\norm{\omega}^2 (M + \gamma)) \cdot \tr(P)^2 / \norm{P}_F^2$, and $\tr(P)^2 \le d \norm{P}_F^2$, with equality at multiples of $I$. The share is the expression above at $H = I$. If $W_q = W_k$ has orthonormal rows then $A = I$, so $A_{xy} = 0$ and $w_y A_{xx} = w_y I$ is left.
# ```
# ````
#
# A share so small is hard to see in a batch, too.
#
# ```{prf:proposition} How many prompts show the way
# :label: prop-first-gradient
#
# **A gradient at zero is more noise than signal, unless the batch grows as the square of the dimension.**
#
# *New here.* Let $\Sigma_x = C = I$, $\sigma = 0$ and $r^\top \omega \ne 0$, with $R$ and $r$ those of the $n$ examples, and let $\nabla$ be the derivative of one prompt's squared error to $P$, at $P = 0$. Then $\E \nabla = -2\, (r^\top \omega)\, I$, and
#
# $$
# \frac{\E \norm{\nabla}_F^2}{\norm{\E \nabla}_F^2} = \frac{d + 2}{(r^\top \omega)^2} \Bigl[ (d + 1) \sum_i \omega_i^2 (d + 2 r_i^2) + d\, \omega^\top R\, \omega + 2 (r^\top \omega)^2 \Bigr] .
# $$
#
# This number less one is the size of a batch whose mean gradient has as much noise as signal. It is more than $(d + 2)^2 - 1$, however long the prompt.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-first-gradient)=
# ```{prf:proof}
# At $P = 0$ the error is $y_{n+1} = \beta^\top x$, so $\nabla = -2\, y_{n+1}\, x\, u^\top$ with $u = \sum_i \omega_i y_i x_i$. Given the tasks, $\E[y_{n+1} x] = \beta$, $\E[u] = b := \sum_i \omega_i \beta_i$, with $\beta_i$ the task of example $i$, and both are independent. So $\E \nabla = -2\, \E[\beta b^\top] = -2\, (r^\top \omega) I$.
#
# For the squares, $\E[(\beta^\top x)^2 \norm{x}^2] = (d + 2) \norm{\beta}^2$, the same for each example, and $\E \norm{u}^2 = \sum_i \omega_i^2 (d + 2) \norm{\beta_i}^2 + \sum_{i \ne j} \omega_i \omega_j\, \beta_i^\top \beta_j = (d + 1) \sum_i \omega_i^2 \norm{\beta_i}^2 + \norm{b}^2$, given the tasks. Over tasks, $\E \norm{\beta}^2 \norm{\beta_i}^2 = d^2 + 2 d\, r_i^2$ and $\E \norm{\beta}^2 \norm{b}^2 = d^2\, \omega^\top R\, \omega + 2 d\, (r^\top \omega)^2$, by moments of Gaussian variables. Divide by $\norm{\E \nabla}_F^2 / 4 = d\, (r^\top \omega)^2$.
#
# The correlations of $\beta$, $b$ make $\omega^\top R\, \omega \ge (r^\top \omega)^2$, so the last two terms give $(d + 2)(d + 2)$ at least. The first term is positive. Noise, the variance of $\nabla$, is the number less one times the signal $\norm{\E \nabla}_F^2$; the mean of a batch divides it by its size.
# ```
# ````

# %% tags=["check", "asserts-prop-random-start"]
rng, draws, worst, off = np.random.default_rng(0), 20_000, 0.0, 0.0
for d, closed in ((1, False), (3, False), (3, True), (6, False)):
    W_q, W_k, W_v = rng.normal(size=(3, draws, d + 1, d + 1))
    A, w = W_q @ W_k.swapaxes(1, 2), W_v[..., 0]
    P = w[:, d, None, None] * A[:, :d, :d]
    if not closed:
        P = P + A[:, :d, d, None] * w[:, None, :d]
    H = rng.normal(size=(d, d))
    squares = np.einsum("ij,bij->b", H, P) ** 2 / (H**2).sum() / (P**2).sum((1, 2))
    z = (squares.mean() - 1 / d**2) / (squares.std() / draws**0.5 + 1e-12)
    worst = max(worst, abs(z))
    dist = PromptDistribution(d, (3, 4), rng.uniform(0.2, 0.6, 2), sigma=0.4)
    omega = rng.uniform(0.3, 1, size=2)
    best = best_P(dist, omega)
    agree, square, among = dist.moments(omega)
    for each in P[:20]:
        T, F = np.trace(each), (each**2).sum()
        scale = agree * T / (square * (dist.M + 1 + among / square) * F)
        gain = dist.M - population_risk(dist, scale * each, omega)
        off = max(off, abs(gain - T**2 / (d * F) * (dist.M - best.risk)))
# Four standard errors of a mean; the share of the gain is exact, to sums of a few products.
assert worst < 4 and off < 1e-10
for d in (5, 10, 100):
    net = begin_from(plateau_distribution(d), "linear", "orthogonal", 0)
    P = step_inside(circuit(net), d)
    assert abs(np.trace(P) ** 2 / (d * (P**2).sum()) - 1) < 1e-5  # in float32
print(
    f"1/d^2 to {worst:.1f} standard errors of {draws} starts; shares of the gain to {off:.0e}"
)


# %% tags=["check", "asserts-prop-first-gradient"]
def prompts_to_see(dist, omega):
    """The size of a batch whose gradient at P = 0 is as much noise as signal."""
    d, omega, r = dist.d, dist.expand(omega), dist.expand(dist.r)
    agree, _, among = dist.moments(omega)
    own = (d + 1) * (omega**2 * (d + 2 * r**2)).sum()
    return (d + 2) / agree**2 * (own + d * among + 2 * agree**2) - 1


worst, ratios = 0.0, {}
for d, R12, seed in ((1, 0.0, 0), (2, 0.3, 1), (3, 0.5, 2)):
    dist = PromptDistribution(d, (1, 2), (0.55, 0.8), R=[[1, R12], [R12, 1]])
    omega = np.array([0.5, 1.0])
    drawn = dist.sample(
        400_000, torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    weighted = torch.tensor(dist.expand(omega)) * drawn.y
    u = (weighted[..., None] * drawn.x).sum(1)
    x, y = drawn.x_query.reshape(-1, d), drawn.y_query.reshape(-1)
    size = 4 * y**2 * (x**2).sum(1) * (u**2).sum(1)
    mean = -2 * (y[:, None, None] * x[:, :, None] * u[:, None, :])
    agree = dist.moments(omega)[0]
    error = (mean.mean(0) + 2 * agree * torch.eye(d)) / (
        mean.std(0) / len(y) ** 0.5
    )
    known = (prompts_to_see(dist, omega) + 1) * 4 * d * agree**2
    z = (size.mean() - known) / (size.std() / len(y) ** 0.5)
    worst = max(worst, abs(z.item()), error.abs().max().item())
    # With the mean over the query in place of one query.
    size = 4 * (drawn.beta_query**2).sum(-1).reshape(-1) * (u**2).sum(1)
    z = (size.mean() - known / (d + 2)) / (size.std() / len(y) ** 0.5)
    worst = max(worst, abs(z.item()))
assert worst < 4  # standard errors
# One feature, two examples: the moment exactly, by quadrature. Each of its terms counts.
dist = PromptDistribution(1, (1, 1), (0.55, 0.8), R=[[1, 0.3], [0.3, 1]])
node, weight = np.polynomial.hermite_e.hermegauss(3)
grid = np.array(np.meshgrid(*[node] * 6)).reshape(6, -1)
chance = np.prod(np.meshgrid(*[weight / weight.sum()] * 6), 0).ravel()
joint = np.array([[1, 0.3, 0.55], [0.3, 1, 0.8], [0.55, 0.8, 1]])
tasks, x = np.linalg.cholesky(joint) @ grid[:3], grid[3:]
u = omega @ (tasks[:2] * x[:2] ** 2)
size = chance @ (2 * tasks[2] * x[2] ** 2 * u) ** 2
known = (prompts_to_see(dist, omega) + 1) * 4 * dist.moments(omega)[0] ** 2
assert abs(known / size - 1) < 1e-12
for d in (5, 100):
    # The bound is what a long prompt with one task leaves.
    least = (d + 2) ** 2 - 1
    long = prompts_to_see(PromptDistribution(d, (10**6,), (1.0,)), [1.0])
    assert np.isclose(long, least + 1e-6 * (d + 1) * (d + 2) ** 2, rtol=1e-10)
    dist = plateau_distribution(d)
    ratios[d] = prompts_to_see(dist, [1.0, 1.0])
    assert ratios[d] > least
    glue(f"see_{d}", f"{ratios[d]:.0f}", display=False)
    glue(f"see_mean_{d}", f"{(ratios[d] + 1) / (d + 2) - 1:.0f}", display=False)
print(
    f"moments of the gradient to {worst:.1f} standard errors; to see the way takes {ratios[5]:.0f} prompts at d = 5, {ratios[100]:.0f} at d = 100"
)

# %% [markdown]
# With two tasks of $2d$ examples, $r = (0.2, 0.8)$ and equal weights this is {glue:text}`see_5` prompts at $d = 5$ and {glue:text}`see_100` at $d = 100$. So a random start is nearly blind in many dimensions. Does that hold it up? Closed starts tell: they have the same share $1/d^2$.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-plateau", "caption": "Closed starts learn soon in every dimension; random ones wait longer. Linear attention, two tasks of $2d$ examples, five runs of each start. Steps until the loss is half-way from predicting zero to the line; marks at the top edge had not come so far."}}
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.0), sharey=True)
waits = {
    key: []
    for key in ("d", "rate", "start", "seed", "half_way", "label", "last_loss")
}
for (d, rate), row in plateaus.items():
    for run in row["runs"]:
        start, at = run["beginning"], half_way(run["losses"], row["theory"])
        mark, ink, shift = looks[start]
        place = d * 1.06 ** (4 * shift + 0.5 * (run["seed"] - 2))
        fill = "none" if start == "random" else ink
        ax = axes[[rates[0], rates[1]].index(rate)]
        ax.plot(place, at or 1.35 * PLATEAU.steps, mark, color=ink, mfc=fill, ms=4)
        entry = [
            d,
            rate,
            start,
            run["seed"],
            at or np.inf,
            run["label"],
            run["losses"][-1],
        ]
        for key, value in zip(waits, entry, strict=True):
            waits[key].append(value)
dimensions = sorted({d for d, _ in plateaus})
for ax, title in zip(axes, ("a third of the step", "the step"), strict=True):
    ax.axhline(PLATEAU.steps, color="0.5", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", yscale="log", xlabel="$d$", title=title)
    ax.set_xticks(dimensions, [str(d) for d in dimensions])
    ax.set_yticks([20, 50, 100, 200, 600], ["20", "50", "100", "200", "600"])
    ax.minorticks_off()
_ = axes[0].set(ylabel="steps to half-way")
for start, y, word in (
    ("random", 0.92, "○ random"),
    ("closed", 0.80, "■ closed"),
    ("orthogonal", 0.68, "▲ $W_q = W_k$"),
):
    _ = axes[1].text(
        0.98,
        y,
        word,
        ha="right",
        color=looks[start][1],
        transform=axes[1].transAxes,
    )

# %% tags=["remove-input"]
plotting.FigureData(
    "plateau",
    waits,
    figure=fig,
    distribution="two tasks of 2d examples, r = (0.2, 0.8)",
    **plateaus[5, 1.0]["configuration"],
    seed="in the column",
)


# %% tags=["check"]
def valley(dist):
    """theta / tau of prop-wrong-way-valley: white features, no noise, equal weights of independent tasks."""
    d, n, M = dist.d, dist.n, dist.M
    eta, gamma = (
        sum(m**2 for m in dist.counts) / n**2,
        1 + sum(m**2 for m in dist.counts) / n,
    )
    V = (1 + 2 / n) * M**2 + 2 * (eta + 2 / n) * d
    theta = (V - (n * M + 2) ** 2 / (n * (n + 2))) / (M + gamma) ** 2
    return theta / ((d - 1) / n)


came = {}
for start in looks:
    steps = [
        at
        for at, s in zip(waits["half_way"], waits["start"], strict=True)
        if s == start
    ]
    came[start] = np.array(steps)
    glue(
        f"came_{start}",
        counts_of(np.isfinite(steps).sum(), len(steps)),
        display=False,
    )
    glue(f"median_{start}", f"{np.median(steps):.0f}", display=False)
far = [k for k, at in enumerate(waits["half_way"]) if np.isinf(at)]
wrong = [k for k in far if waits["label"][k] < 0.5]
glue("far", len(far), display=False)
glue("plateau_steps", PLATEAU.steps, display=False)
glue("far_wrong", len(wrong), display=False)
for d in dimensions:
    found = [
        at
        for at, s, D in zip(
            waits["half_way"], waits["start"], waits["d"], strict=True
        )
        if (s, D) == ("random", d)
    ]
    glue(f"came_{d}", f"{np.isfinite(found).sum()} of {len(found)}", display=False)
for d in (5, 100):
    assert valley(plateau_distribution(d)) < 1
    glue(f"valley_{d}", f"{valley(plateau_distribution(d)):.2f}", display=False)
theory_100 = plateaus[100, 1.0]["theory"]
glue("nothing_100", f"{100 * (1 / theory_100 - 1):.0f}", display=False)
glue("rank_one_100", f"{1 - (1 - theory_100) / 100:.3f}", display=False)
# Every closed start and every one from W_q = W_k comes half-way, in less than half of the steps.
assert max(came["closed"].max(), came["orthogonal"].max()) < PLATEAU.steps / 2
print(
    "half-way, steps (median; largest): "
    + "; ".join(
        f"{start} {np.median(x):.0f}; {x.max():.0f}" for start, x in came.items()
    )
    + f"; not there {len(far)}, of these {len(wrong)} the wrong way round"
)

# %% [markdown]
# It costs time, but it does not stop them: {glue:text}`came_closed` closed starts came half-way to the line, after {glue:text}`median_closed` steps (median), at $d = 100$ as at $d = 5$; from $W_q = W_k$ it takes {glue:text}`median_orthogonal`. Random starts need {glue:text}`median_random` (median). At $d = 5, 10, 30, 100$ {glue:text}`came_5`, {glue:text}`came_10`, {glue:text}`came_30` and {glue:text}`came_100` came so far in {glue:text}`plateau_steps` steps. Of the {glue:text}`far` that did not, {glue:text}`far_wrong` were the wrong way round at the end. No layer here was held back by many features; but five starts at each $d$ can miss much. What the wrong way round costs them fits {prf:ref}`prop-wrong-way-valley`: it is a saddle, $\theta / \tau$ is {glue:text}`valley_5` at $d = 5$, nearer to a valley, and {glue:text}`valley_100` at $d = 100$.
#
# How would a layer look that is stuck at $d = 100$? A step of rank one gains one part in $d$ of what the best gains. Its level, {glue:text}`rank_one_100` per feature, cannot be told from that of predicting zero, which is {glue:text}`nothing_100` per cent above the line. These losses are exact means over the query, of sixty-four prompts a step, which divides the ratio of {prf:ref}`prop-first-gradient` by $d + 2$: $\norm{\beta}^2$ stands for $(\beta^\top x)^2 \norm{x}^2$. At $d = 100$ it takes {glue:text}`see_mean_100` prompts then. With a few sampled queries there is more noise, and these runs say nothing of it.
#
# {cite:t}`zhang2025training` study gradient flow of linear attention from small weights. With merged matrices they find two fixed points and one abrupt drop of the loss; with separate ones exponentially many fixed points, and a flow from saddle to saddle. Their flow has no noise; ours is Adam on fresh prompts, from starts that are not small, with labels in keys.
#
# What is proved: what a random start knows, and how large a batch must be to see the way from zero. What is measured: the shares above, with one optimiser, one schedule, one batch size, and gates that read context only. What is not known: which random starts fall in, how long they wait, and whether this holds on sampled tokens in many dimensions.
#
# ## Break it
#
# **Drop the independence.** The share $1/d^2$ is that of matrices drawn apart. With $W_q = W_k$ it is one. Sixty steps, twenty features:

# %%
dist = plateau_distribution(20)
nets = [begin_from(dist, "linear", start, s) for start in looks for s in range(3)]
shares = []
for net in nets:
    P = step_inside(circuit(net), 20)
    shares.append(np.trace(P) ** 2 / (20 * (P**2).sum()))
losses = fit_many(nets, dist, PLATEAU.replace(steps=60), range(9), tokens=Layout())

# %% tags=["check"]
shares, ends = (
    np.array(shares).reshape(3, 3),
    losses[:, -20:].mean(1).reshape(3, 3) / 20,
)
assert shares[:2].max() < 0.1 and shares[2].min() > 1 - 1e-5
# The mean of a random start is still above the others'; by how much differs between machines.
assert ends[0].mean() > ends[1].mean() > ends[2].mean()
print(
    "share and loss / d after sixty steps, means of three: "
    + "; ".join(
        f"{start} {a:.4f}, {b:.2f}"
        for start, a, b in zip(looks, shares.mean(1), ends.mean(1), strict=True)
    )
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: one task
# :label: ex-one-task-gradient
#
# One task, $r = R = 1$, equal weights. How many prompts does a batch need, and what is left in long prompts?
# ```
#
# ```{answer} ex-one-task-gradient
# asks: How many prompts does a batch need, as a function of n and d?
# value: "lambda n, d: (d + 2) ** 2 * (1 + (d + 1) / n) - 1"
# at: [{n: 10, d: 4}, {n: 2, d: 3}, {n: 50, d: 1}]
# within: 0.5%
# wrong:
# - value: "lambda n, d: (d + 2) ** 2 - 1"
#   says: That is what is left in long prompts.
# - value: "lambda n, d: (d + 2) ** 2 * (1 + (d + 1) / n)"
#   says: Nearly. That counts the signal with the noise; take it off.
# - value: "lambda n, d: (d + 2) * d * (1 + (d + 1) / n) - 1"
#   says: With one task r is one, and the terms with r add to two of the sums. Put it into both.
# - value: "lambda n, d: (d + 2) ** 2 * (1 + (d + 1)) - 1"
#   says: The first sum has n terms, and below stands the square of n.
# minutes: 6
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Put $\omega_i = 1$ into {prf:ref}`prop-first-gradient`: $r^\top \omega = n$, $\omega^\top R\, \omega = n^2$.
# ```
#
# ````{solution} ex-one-task-gradient
# :class: dropdown
#
# $\frac{d + 2}{n^2} \bigl[ (d + 1)(d + 2)\, n + (d + 2)\, n^2 \bigr] - 1 = (d + 2)^2 \bigl( 1 + \frac{d + 1}{n} \bigr) - 1$. In long prompts $(d + 2)^2 - 1$ is left, the bound: the task of each prompt is then known, and what remains is that tasks and queries differ.
# ````
#
# ```{exercise} Compute: a lucky start
# :label: ex-lucky-start
#
# How often does a random start hold a tenth of what it could, in two and in ten dimensions?
# ```
#
# ```{answer} ex-lucky-start
# asks: How often does a random start hold a tenth of what it could?
# choices:
# - text: more often than not in two dimensions, hardly ever in ten
# - text: more often than not in both
#   says: A trace has d terms of either sign, and the square of the norm has d times d. Draw some in ten dimensions.
# - text: hardly ever in both
#   says: In two dimensions the trace is one direction of four. Draw some.
# - text: hardly ever in two dimensions, more often than not in ten
#   says: The other way round. In more dimensions the identity is one direction among more.
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The share is $\tr(P)^2 / (d \norm{P}_F^2)$; draw $P = A_{xx}$, as a product of two matrices.
# ```
#
# ````{solution} ex-lucky-start
# :class: dropdown
#
# More often than not in two dimensions, hardly ever in ten.
#
# ```python
# def lucky(d, draws=4000):
#     W_q, W_k = np.random.default_rng(0).normal(size=(2, draws, d, d + 1))
#     P = W_q @ W_k.swapaxes(1, 2)
#     share = np.trace(P, axis1=1, axis2=2) ** 2 / (d * (P**2).sum((1, 2)))
#     return (share > 0.1).mean()
#
#
# assert lucky(2) > 0.5 and lucky(10) < 0.05
# ```
# ````
#
# ```{exercise} Explore: half closed
# :label: ex-half-closed
#
# Close only the keys, or only the values, of a random start with ten features. Which is enough?
# ```
#
# ```{answer} ex-half-closed
# asks: Which half, closed, is enough here?
# choices:
# - text: the keys
# - text: the values
#   says: Then the read-out is of labels, but scores still hear the label, the loudest coordinate. Train it and look.
# - text: either
#   says: Train both. Which of them still hears the loudest coordinate where it should not?
# - text: neither
#   says: Train both, and compare with nothing closed.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `net.layers[0].W_k[10] = 0` closes the keys, `net.layers[0].W_v[:10] = 0` the values.
# ```
#
# ````{solution} ex-half-closed
# :class: dropdown
#
# The keys, here. The label is the loudest coordinate of a token; where keys do not hear it, scores are of features from the first step on.
#
# ```python
# dist, ends = plateau_distribution(10), {}
# for which in ("keys", "neither"):
#     nets = [begin_from(dist, "linear", "random", seed) for seed in range(6)]
#     with torch.no_grad():
#         for net in nets:
#             net.layers[0].W_k[10] *= which == "neither"
#     plan = PLATEAU.replace(steps=120, warmup=0.2)
#     losses = fit_many(nets, dist, plan, range(6), tokens=Layout())
#     ends[which] = losses[:, -20:].mean(1) / 10
# assert ends["keys"].max() < 0.8 and ends["keys"].mean() < ends["neither"].mean()
# ```
# ````

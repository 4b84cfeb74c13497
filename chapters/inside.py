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
#   settles: that the best layers are Eq. (9) up to its symmetries, and how near training
#     comes
# ---

# %% [markdown]
# # What a trained layer has learned
#
# Nobody tells a layer to be Eq. (9), where values hold labels alone and keys and queries features alone: is that what training makes of it?
#
# The fourth reviewer of the paper asked this. The authors answered with risks: with every weight free, trained models come down to the lines, the risks of the best weighted steps. But the risk is flat
# around its minimum, so a good risk is a poor ruler for weights. This page opens the layers.
#
# There are two answers. A theorem: where a scalar gate does not see the examples, or there is none, the best layers are Eq. (9), up to its symmetries, and nothing else. And a count, over seeds: how
# near training comes, and what became of the layers that did not arrive.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-scores-learned", "caption": "Training turns random scores into those of Eq. (9). How a query scores an example, $A = W_q W_k^\\top$, in a layer with a scalar gate and every weight free, as drawn (left), as trained on tokens (middle), and by theory (right). Rows, what a query shows; columns, what an example shows: ten features, the label $y$, context $c$. Blue and red are the two signs; at zero there is no colour."}}
import itertools
import json
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    population_risk,
)
from glalib.layout import DELIMITED, Layout
from glalib.reproduce.below import SHUT, shut, squared_errors
from glalib.reproduce.circuit import (
    circuit,
    layer_of,
    step_inside,
    visible,
)
from glalib.reproduce.inside import MODELS, SETTINGS, begin
from glalib.spectra import psd_root
from myst_nb import glue
from scipy.stats import ttest_1samp

plotting.use_style()
runs = json.loads(Path("data/inside.json").read_text())
best = {
    (setting, model): optimal_wpgd(dist, weights)
    for setting, dist in SETTINGS.items()
    for model, (_, weights) in MODELS.items()
}


def chosen(**what):
    """The runs of these names."""
    return [r for r in runs if all(r[key] == value for key, value in what.items())]


panel_b = SETTINGS["two"]
one = chosen(setting="two", model="gla", beginning="random", seed=0)[0]
drawn = circuit(begin(panel_b, "gla", "random", 0))
ideal = np.zeros((11, 13))
ideal[:10, :10] = best["two", "gla"].P
pictures = {
    "drawn": visible(drawn, panel_b)[1],
    "trained": visible(one["inside"], panel_b)[1],
    "Eq. (9)": ideal,
}
for name, matrix in pictures.items():  # the largest is one, the diagonal positive
    sign = np.sign(np.trace(matrix[:10, :10]))
    pictures[name] = sign * matrix / np.abs(matrix).max()
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.6))
for ax, (title, matrix) in zip(axes, pictures.items(), strict=True):
    ax.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
    for edge in (9.5, 10.5):
        ax.axvline(edge, color="0.3", linewidth=0.8)
    ax.axhline(9.5, color="0.3", linewidth=0.8)
    ax.set_xticks([4.5, 10, 11.7], ["features", "$y$", "$c$"])
    ax.set_yticks([4.5, 10], ["query", "$c$"] if title == "drawn" else ["", ""])
    ax.tick_params(length=0)
    ax.grid(False)
    _ = ax.set_title(title)

# %% tags=["remove-input"]
plotting.FigureData(
    "scores_learned",
    {
        "matrix": np.repeat(list(pictures), 143),
        "row": np.tile(np.repeat(np.arange(11), 13), 3),
        "column": np.tile(np.arange(13), 33),
        "score": np.concatenate([m.ravel() for m in pictures.values()]),
    },
    distribution=panel_b,
    model="gla, every weight free, random start",
    edges="9.5, 10.5",
    seed=0,
)

# %% [markdown]
# ```{symbols}
# d n x y Z q k v psi P_q P_k P omega gamma R r C Sx sigma Sigma M risk beta W f
# ```
#
# ## Eq. (9) and its symmetries
#
# A query scores token $i$ by $q^\top k_i = z_{n+1}^\top A\, z_i$ with $A = W_q W_k^\top$, and a value passes on $w^\top z_i$ with $w = W_v \psi$. So a layer with a scalar gate, or with none, is $A$, $w$ and its gates. Its three
# matrices have far more numbers. Hence the symmetries: what changes the matrices and leaves $A$ and $w$ alone cannot be learned, and it must not count as a distance from Eq. (9).
#
# By blocks, $w$ has the parts $w_x$, $w_y$, $w_c$ for features, label and context, and $A$ has blocks such as $A_{xy}$: the query's features score a token's label. In Eq. (9) $w_y$ and $A_{xx}$ alone are not zero.
#
# ```{prf:theorem} The best layers
# :label: thm-best-layers
#
# **Where gates do not see the examples, the zeros of Eq. (9) are no restriction: the best layers have them all, up to symmetries.**
#
# *New here.* Take a layer as in {prf:ref}`thm-ceiling`, with a scalar gate or none. Let $c_i$ be the context of example $i$ and $c$ that of the query.
#
# 1. The prediction does not change if $W_q, W_k$ become $W_q J, W_k J^{-\top}$, or $W_v, \psi$ become $W_v J, J^{-1} \psi$, for any invertible $J$; if $w, A$ become $t w, A / t$ for a number $t \ne 0$; or if the row of $W_q$ for the label changes at all.
# 2. Let $\Sigma_x$ be nonsingular, $C \ne 0$, the symmetric part of $P$ not zero, the rank of $P$ at least two, and some $\omega_i > 0$. If $f = x^\top P X^\top (\omega \odot y)$ almost surely, then $w_y \ne 0$, $P = w_y A_{xx}$ and
#
#    $$
#    \begin{gathered}
#    w_x = 0, \quad A_{xy} = 0, \quad c^\top A_{cx} = 0, \\
#    c^\top A_{cy} = 0, \quad w_c^\top c = 0,
#    \end{gathered}
#    $$
#
#    and at all examples with $\omega_i > 0$ also $w_c^\top c_i = 0$, $A_{xc}\, c_i = 0$, $c^\top A_{cc}\, c_i = 0$: on all that examples and query show, the layer is Eq. (9), up to symmetries.
# 3. Let $\Sigma_x$ be nonsingular and $C$ of rank two at least. Every layer whose risk is that of the best weighted step in reach of its gates, below $M$, is such a layer, and its $(P, \omega)$ is a best one.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-best-layers)=
# ```{prf:proof}
# *Part 1.* By {prf:ref}`prop-unrolled` the prediction is $\sum_i \omega_i\, (w^\top z_i)(z_{n+1}^\top A\, z_i)$ over all tokens, with weight one for the query's own. The query's label is zero.
#
# *Part 2.* Write $\alpha_i = w_c^\top c_i$, $u = A_{cx}^\top c$, $b = c^\top A_{cy}$, $\theta_i = A_{xc} c_i$ and $m_i = c^\top A_{cc} c_i$. Both sides are polynomials in features, tasks and noise, and agree on the support of a Gaussian law; so they agree for all features, with no noise, and with the task of any one example anywhere in the range of $C$. Take an example $i$ of positive weight, with task $\beta$, and let
# all other examples have $x_j = 0$, hence $y_j = 0$. Now $y_i = \beta^\top x_i$ and
#
# $$
# \begin{aligned}
# \omega_i\, (w_x^\top x_i + w_y y_i + \alpha_i)\, (x^\top A_{xx} x_i + y_i\, x^\top A_{xy} + x^\top \theta_i + u^\top x_i + b\, y_i + m_i) & \\
# {} + E(x) = \omega_i\, y_i\, x^\top P x_i & ,
# \end{aligned}
# $$
#
# where $E$, from the query's own write, the delimiters and the other examples, does not depend on $x_i$. Sort by the degree in $\beta$.
#
# Degree two: $w_y\, y_i^2\, (x^\top A_{xy} + b) = 0$. Degree one: $w_y (x^\top A_{xx} x_i + x^\top \theta_i + u^\top x_i + m_i) + (w_x^\top x_i + \alpha_i)(x^\top A_{xy} + b) = x^\top P x_i$. If $w_y$ were zero, the terms of degree one in $x$ and in $x_i$ would say $P = A_{xy} w_x^\top$, of rank one. So $w_y \ne 0$, $A_{xy} = 0$, $b = 0$; then
# $w_y A_{xx} = P$, $\theta_i = 0$, $u = 0$, $m_i = 0$. Degree zero: $\omega_i (w_x^\top x_i + \alpha_i)\, x^\top P x_i / w_y + E(x) = 0$. The terms of degree two in $x_i$ give $w_x = 0$, as $P \ne 0$; those of degree one give $\alpha_i = 0$. What is left is $E(x) = 0$; its terms of degree two in $x$ are those of the query's own write, $(w_c^\top c)\, x^\top P x / w_y$, so $w_c^\top c = 0$. (What delimiters write sums to zero; each may be anything.)
#
# *Part 3.* By {prf:ref}`thm-ceiling` $\text{risk}(f) = \risk(P, \omega) + \E (f - f_P)^2$ with the layer's own step $f_P$. If this is the least value of $\risk$ over the weights in reach, then $f = f_P$ almost surely and $(P, \omega)$ is a best pair, with $r^\top \omega \ne 0$, as the risk is below $M$. So $P$ is the best for this $\omega$: by the first step in the proof of {prf:ref}`thm-stationary-points`, which holds for any weights, a multiple, not zero, of $C (M I + \gamma \Sigma_x C)^{-1} = C^{1/2} (M I + \gamma\, C^{1/2} \Sigma_x C^{1/2})^{-1} C^{1/2}$, symmetric, semidefinite, and of the rank of $C$. So part 2 applies.
# ```
# ````
#
# Read part 1 once more: *the row of $W_q$ for the label may be anything*. The query's label is zero, so no prompt ever shows that row, and training leaves it where it was drawn. And the row of $W_k$ for the label need not vanish either: it must only be
# orthogonal to all that queries ask. Whoever prints the matrices of a trained layer looks for zeros in vain, and whoever prints $A$ and $w$ finds them.

# %% tags=["check", "asserts-thm-best-layers"]
# Random layers in float64: symmetries change sums of a few hundred products by rounding alone.
rng, worst, changed, cases = np.random.default_rng(0), 0.0, [], 0
kind = {"dtype": torch.float64}


def filled(shape, scale=1.0):
    return torch.from_numpy(scale * rng.normal(size=shape))


for gate, d, K in itertools.product((None, "scalar"), (2, 3), (1, 2)):
    dist = PromptDistribution(d, (3,) * K, (0.5,) * K, sigma=0.3)
    width, (P_q, P_k) = DELIMITED.width(dist), filled((2, d, d))
    net = GLA(width, gate, context_width=width - d - 1, gate_bias=1.0, **kind)
    Z = DELIMITED(dist.sample(50, torch.Generator().manual_seed(d), **kind))
    layer = net.layers[0]
    with torch.no_grad():
        layer.construct(
            P_q @ torch.eye(d, width, **kind), torch.eye(d, width, **kind), net.h
        )
        exact = net(Z)
        J_1, J_2 = filled((2, width, width))
        layer.W_q.copy_(3 * layer.W_q @ J_1)
        layer.W_k.copy_(layer.W_k @ torch.linalg.inv(J_1).T)
        layer.W_v.copy_(layer.W_v @ J_2 / 3)
        net.h.copy_(torch.linalg.solve(J_2, net.h))
        layer.W_q[d] = filled(width)
        worst = max(
            worst, ((net(Z) - exact).abs().max() / exact.abs().max()).item()
        )
        # Each part of w and A that the theorem holds at zero, moved alone: the prediction moves.
        A, w = layer.W_q @ layer.W_k.T, layer.W_v @ net.h
        c, c_1 = torch.eye(2 * K + 1, **kind)[[-1, 0]]
        pad = torch.nn.functional.pad
        on = {
            "x": [pad(v, (0, width - d)) for v in torch.eye(d, **kind)],
            "y": [torch.eye(width, **kind)[d]],
            "c": [pad(c, (d + 1, 0))],
            "c_1": [pad(c_1, (d + 1, 0))],
        }
        zeros = [("w", u) for part in ("x", "c", "c_1") for u in on[part]]
        zeros += [
            ("A", torch.outer(u, v))
            for first, second in ("xy", "cx", "cy", ("x", "c_1"), ("c", "c_1"))
            for u, v in itertools.product(on[first], on[second])
        ]
        for which, move in zeros:
            a, v = (A + 0.1 * move, w) if which == "A" else (A, w + 0.1 * move)
            layer.W_q.copy_(a)
            layer.W_k.copy_(torch.eye(width, **kind))
            layer.W_v.copy_(torch.outer(v, net.h) / net.h.square().sum())
            changed.append(
                ((net(Z) - exact).abs().max() / exact.abs().max()).item()
            )
        cases += 1
# Eight matrix products in a row, with inverses of random matrices: 1e-9.
assert worst < 1e-9 and min(changed) > 1e-4
print(
    f"{cases} layers: symmetries change predictions by {worst:.0e}; each of {len(changed)} entries that"
    f" must be zero, moved by 0.1, changes them by {min(changed):.0e} at least"
)


# %% [markdown]
# ## How near training comes
#
# Two settings: panel (b) of the paper's Figure 1, two tasks of twenty examples in ten dimensions, $r = (0.2, 0.8)$; and three tasks of fifteen examples in five dimensions, $r = (0.2, 0.5, 0.8)$, whose features have very unlike variances, so that the best
# $P$ is far from a multiple of the identity. Three layers: without a gate; with a gate that reads context only; with a gate that reads features and labels, too. All other weights are free. Five seeds, and two starts (one for the gate that reads context only): $W_q = W_k$ with orthonormal rows, so that $A$ starts
# as the identity and has the zeros of Eq. (9) from the beginning, in the first setting with the best $P$, too; and $W_q$, $W_k$ drawn apart, where nothing is in place.
#
# The distance to Eq. (9) after the best symmetry is an angle: between $w$ and the label's direction, and between $A$ and matrices with nothing but features. Everything is measured as prompts see it, each coordinate of a token in units of its root mean square. Then
# its squared sine is a share: of the mean square of a value that does not come from the label, of the mean square of a score that does not come from features.


# %%
def sine(a, b):
    """Of the angle between two arrays: their distance after the best scale."""
    cosine = np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
    return np.sqrt(max(0.0, 1 - cosine**2))


def distances(inside, dist, best):
    """From Eq. (9): of w, of A; and of its P from the best P, seen from white features."""
    (w, A), d, root = visible(inside, dist), dist.d, psd_root(dist.Sx)
    features = np.zeros_like(A)
    features[:d, :d] = A[:d, :d]
    P = step_inside(inside, d)
    Q, best_Q = (root @ each @ root for each in (P, best.P))
    return sine(w, np.eye(len(w))[d]), sine(A, features), sine(Q, best_Q)


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-near-eq-nine", "caption": "Unless a layer gets stuck, all its parts end near Eq. (9). One mark for each trained layer: its distance after the best symmetry (0, the same up to symmetries; 1, nothing in common). Values: from the label's direction. Scores: from features alone. P and weights: from the best ones. Grey ticks: the random starts; open marks began there. Filled marks began with scores at 0, and in the first setting with P at 0. Layers without a gate have equal weights, hence no mark in the last row."}}
looks = {
    "linear": ("no gate", plotting.TASKS[0], "o"),
    "gla-context": ("gate reads context", plotting.TASKS[1], "s"),
    "gla": ("gate reads all", plotting.TASKS[2], "^"),
}
parts = ("values", "scores", "$P$", "weights")
titles = {"two": "two tasks, $d = 10$", "three": "three tasks, $d = 5$"}
keys = ("setting", "model", "beginning", "seed", "part", "distance", "height")
record = {key: [] for key in keys}
fig, axes = plt.subplots(1, 2, figsize=(6.4, 4.0), sharey=True)
for ax, (setting, title) in zip(axes, titles.items(), strict=True):
    dist = SETTINGS[setting]
    for r in chosen(setting=setting):
        name, ink, mark = looks[r["model"]]
        line = best[setting, r["model"]]
        found = [*distances(r["inside"], dist, line)]
        if r["model"] != "linear":
            found.append(sine(r["effective"]["omega"], dist.expand(line.omega)))
        lift = 0.22 * (1 - list(looks).index(r["model"])) + 0.04 * (r["seed"] - 2)
        style = {"ms": 5, "mfc": "none" if r["beginning"] == "random" else ink}
        ax.plot(found, -np.arange(len(found)) + lift, mark, color=ink, **style)
        series = [(r["model"], found, lift)]
        if (r["model"], r["beginning"]) == ("gla", "random"):
            at = circuit(begin(dist, "gla", "random", r["seed"]))
            series.append(("start", distances(at, dist, line), 0))
            ax.plot(series[1][1], [0, -1, -2], "|", color="0.6", ms=14)
        for which, values, up in series:
            for k, value in enumerate(values):
                place = [setting, which, r["beginning"], r["seed"], parts[k], value]
                for key, entry in zip(keys, [*place, up - k], strict=True):
                    record[key].append(entry)
    ax.set(title=title, xscale="log", xlim=(1.5e-3, 1.5), xlabel="distance")
    ax.set_xticks([1e-2, 1e-1, 1], ["0.01", "0.1", "1"])
    ax.minorticks_off()
axes[0].set_yticks([0, -1, -2, -3], parts)
axes[0].set_ylim(-4.4, 0.5)
signs = ("\u25cf", "\u25a0", "\u25b2")
for k, (name, ink, _) in enumerate(looks.values()):
    _ = axes[1].text(
        1.9e-3, -3.6 - 0.3 * k, f"{signs[k]} {name}", color=ink, va="center"
    )

# %% tags=["remove-input"]
plotting.FigureData(
    "near_eq_nine",
    record,
    about="see chapters/data/inside.json",
    seed="in the column",
)


# %% tags=["remove-input", "remove-output"]
def excess(r):
    return r["risk"] / r["theory"] - 1


def per_cent(values, digits=1):
    return f"{100 * min(values):.{digits}f} to {100 * max(values):.{digits}f}"


good = [r for r in runs if excess(r) < 0.02]
stuck = [r for r in runs if r not in good]
apart = [r for r in good if r["beginning"] == "random"]
near = {
    id(r): distances(
        r["inside"], SETTINGS[r["setting"]], best[r["setting"], r["model"]]
    )
    for r in runs
}
glue("inside_runs", len(runs), display=False)
glue("inside_good", len(good), display=False)
glue("inside_stuck", len(stuck), display=False)
for k, name in enumerate(("value", "score", "step")):
    glue(f"inside_{name}", per_cent([near[id(r)][k] for r in good]), display=False)
glue("inside_far", per_cent([excess(r) for r in stuck], 0), display=False)
glue("apart_good", len(apart), display=False)
glue("apart_all", len(chosen(beginning="random")), display=False)
glue("apart_score", per_cent([near[id(r)][1] for r in apart]), display=False)
slow = [r for r in good if near[id(r)][2] > 0.1]
glue("slow", len(slow), display=False)
glue("slow_above", per_cent([excess(r) for r in slow]), display=False)
glue(
    "others_step",
    per_cent([near[id(r)][2] for r in good if r not in slow]),
    display=False,
)

# %% [markdown]
# Of {glue:text}`inside_runs` layers {glue:text}`inside_good` end within two per cent of their line: the least risk of equal weights for layers without a gate, of weights that do not decrease for the others. The rest end {glue:text}`inside_far` per cent above it; nothing lies between. In those that arrived the distance of values is {glue:text}`inside_value` per cent, that of scores {glue:text}`inside_score` per cent, and that of $P$ from the best
# {glue:text}`others_step` per cent, but for {glue:text}`slow` layers without a gate, {glue:text}`slow_above` per cent above the line, whose $P$ is still a fifth off. Zeros of $A$ that were there from the beginning prove little. But of layers whose matrices were drawn apart {glue:text}`apart_good` of {glue:text}`apart_all` arrived, and their scores have come to {glue:text}`apart_score` per cent.

# %% tags=["check"]
# The share of the prediction that its step explains, and both against the weights of the layer:
# two routes to the same P and omega, one from matrices and one from predictions alone.
z_omega, least = [], 1.0
for r in runs:
    dist, e = SETTINGS[r["setting"]], r["effective"]
    assert 0 <= e["explained"] < 1 + 4 * e["explained_stderr"] and "provenance" in r
    line = best[r["setting"], r["model"]]
    assert np.isclose(r["theory"], line.risk / dist.d, rtol=1e-12)
    if r["model"] == "gla":
        continue
    tokens = MODELS[r["model"]][0]
    any_prompt = dist.sample(1, torch.Generator(), **kind)
    net = layer_of(r["inside"], dist)
    with torch.no_grad():
        omega = net.weights(tokens(any_prompt))[0, 0].numpy()
    omega = omega[~tokens.blocks(dist.counts)[1]]
    # Blind gates: the risk is that of the step inside and what other terms add.
    step = population_risk(dist, step_inside(r["inside"], dist.d), omega) / dist.d
    assert (
        step >= line.risk / dist.d * (1 - 1e-6)
        and r["risk"] > step - 4 * r["stderr"]
    )
    if r in good:
        exact = omega / np.sqrt((omega**2).mean())
        z_omega += list(
            (np.array(e["omega"]) - exact) / np.array(e["omega_stderr"])
        )
        least = min(least, e["explained"])
# About one if the standard errors are right; they are known to a sixth, so two leaves room.
spread = np.sqrt(np.mean(np.square(z_omega)))
assert 0.5 < spread < 2 and least > 0.98
print(
    f"blind gates: the step explains {least:.2%} of the prediction or more; weights by regression"
    f" are {spread:.2f} standard errors (rms) from the products of the gates"
)

# %% [markdown]
# ## The zeros, one by one
#
# In the matrices themselves only some of the zeros can be seen.

# %% tags=["check"]
lengths = {}
for r in runs:
    d, now = SETTINGS[r["setting"]].d, r["inside"]["rows"]
    before = circuit(
        begin(SETTINGS[r["setting"]], r["model"], r["beginning"], r["seed"])
    )
    # No prompt shows it, so no gradient moves it: to the six digits that are stored.
    assert np.isclose(now["W_q"][d], before["rows"]["W_q"][d], rtol=1e-5)
    if r in stuck:
        continue
    w, A = visible(r["inside"], SETTINGS[r["setting"]])
    features = np.linalg.norm(A[:d, :d]) / np.sqrt(d)
    entries = {
        "label's row of W_k": now["W_k"][d] / np.mean(now["W_k"][:d]),
        "what queries see of it": np.linalg.norm(A[:d, d]) / features,
        "features in values": np.linalg.norm(w[:d]) / abs(w[d]),
    }
    if len(w) > d + 1:
        entries["context in values"] = np.linalg.norm(w[d + 1 :]) / abs(w[d])
        entries["query's context in scores"] = np.linalg.norm(A[d]) / features
        entries["context of examples in scores"] = (
            np.linalg.norm(A[:d, d + 1 :]) / features
        )
    for name, value in entries.items():
        lengths.setdefault(name, []).append(value)
for name, values in lengths.items():
    glue(name.replace("'", "").replace(" ", "_"), per_cent(values), display=False)
print(
    "per cent of the entry that stays: "
    + "; ".join(f"{k} {per_cent(v)}" for k, v in lengths.items())
)

# %% [markdown]
# The label's row of $W_q$ ends as long as it was drawn, in every run, by part 1. The label's row of $W_k$ ends at {glue:text}`labels_row_of_W_k` per cent of the length of a feature's row; it is not small. But of what queries can see of it, the column
# $A_{xy}$, {glue:text}`what_queries_see_of_it` per cent are left. Values keep {glue:text}`features_in_values` per cent of features and {glue:text}`context_in_values` per cent of context, scores {glue:text}`querys_context_in_scores` per cent of the query's context and {glue:text}`context_of_examples_in_scores` of that of
# examples. (Each in units as above, beside the entry that stays, per feature.)
#
# Where $P$ is not the identity, training finds that, too. With the features of the second setting the best $P$ divides by $M + \gamma s$, and gives a feature of small variance more:

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-three-inside", "caption": "Trained layers hold the theory's weights and its P. Three tasks of fifteen examples, five features of unlike variance; layers with a gate that reads everything. Left, the weight of each example by regression of the prediction, over the mean, one line for each seed; the straight steps are the best weights. Right, the diagonal of P over its mean, against the feature's variance; the line is the best P. Grey: layers that did not arrive."}}
three = SETTINGS["three"]
line = best["three", "gla"]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.9))
at = np.arange(1, three.n + 1)
target = three.expand(line.omega)
variances = np.diag(three.Sx)
record = {key: [] for key in ("beginning", "seed", "kind", "at", "value")}
for r in chosen(setting="three", model="gla"):
    ink, mark = plotting.TASKS[2], "^" if r["beginning"] == "orthogonal" else "v"
    weights = np.array(r["effective"]["omega"])
    diagonal = np.diag(step_inside(r["inside"], 5))
    curves = {"weight": (at, weights / weights.mean())}
    curves["P"] = (variances, diagonal / diagonal.mean())
    far = (
        {"color": "0.75", "zorder": 0}
        if r in stuck
        else {"color": ink, "alpha": 0.7}
    )
    left.plot(*curves["weight"], ":" if r in stuck else "-", linewidth=0.9, **far)
    right.plot(*curves["P"], mark, ms=5, **far)
    for which, (x, value) in curves.items():
        record["beginning"] += [r["beginning"]] * len(x)
        record["seed"] += [r["seed"]] * len(x)
        record["kind"] += [which] * len(x)
        record["at"] += list(x)
        record["value"] += list(value)
edges = np.concatenate([[0.5], np.cumsum(three.counts) + 0.5])
left.stairs(
    line.omega / target.mean(), edges, baseline=None, color="0.1", linewidth=1.4
)
fine = np.geomspace(0.18, 2.7, 100)
shape = 1 / (three.M + line.gamma * fine)
scale = np.mean(1 / (three.M + line.gamma * variances))
right.plot(fine, shape / scale, color="0.1", linewidth=1.4)
optimum = {"best weight": (edges[1:], line.omega / target.mean())}
optimum["best P"] = (fine, shape / scale)
for which, (x, value) in optimum.items():
    for key, entries in zip(
        record, (["theory"] * len(x), [-1] * len(x), [which] * len(x), x, value)
    ):
        record[key] += list(entries)
left.set(xlabel="example $i$", ylabel="weight / mean", ylim=(0, None))
right.set(xlabel="variance of the feature", ylabel="$P_{ii}$ / mean", xscale="log")
right.set_xticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
_ = right.minorticks_off()

# %% tags=["remove-input"]
plotting.FigureData(
    "three_inside",
    record,
    about="see chapters/data/inside.json",
    seed="in the column",
)

# %% [markdown]
# **A gate that reads everything** is outside the theorem: its weights change with the prompt. These layers pass below the line of fixed weights, and {doc}`label_gates` says why. In panel (b) they end {glue:text}`below_two` per cent below it, in the second setting {glue:text}`below_three` per cent (over five seeds, and its standard error; layers that did not arrive are left out). What do
# their gates use? Shut a part of the token out of the trained gate, without training on, and try the layer on the same prompts again: without the label the risk changes by {glue:text}`label_two` and {glue:text}`label_three` per cent, without features by {glue:text}`features_two` and {glue:text}`features_three`, without context by {glue:text}`context_two` and {glue:text}`context_three`. So
# the gate finds the end of a task by context and reads the label besides; features hardly matter to it. The prediction is no weighted step; yet the nearest one explains {glue:text}`inside_explained` per cent of its variance.

# %% tags=["check"]
reading = [r for r in good if r["model"] == "gla"]
explained = [r["effective"]["explained"] for r in reading]
glue("inside_explained", per_cent(explained), display=False)
assert min(explained) > 0.9
words = []
for setting, dist in SETTINGS.items():
    line, costs = best[setting, "gla"], []
    here = [r for r in reading if r["setting"] == setting]
    for r in here:
        net = layer_of(r["inside"], dist).float()
        nets = [net, *(shut(net, dist, part) for part in SHUT)]
        fresh = torch.Generator().manual_seed(50 + r["seed"])
        errors = squared_errors(nets, dist, 2000, 16, fresh)
        costs.append((errors[1:] - errors[0]).mean(1) / line.risk)
    # Layers of one seed share prompts, so independent are seeds alone.
    over = [[excess(r) for r in here if r["seed"] == seed] for seed in range(5)]
    over = np.array([np.mean(of_seed) for of_seed in over])
    spread = over.std(ddof=1) / len(over) ** 0.5
    test = ttest_1samp(over, 0, alternative="less")
    glue(
        f"below_{setting}",
        f"{-100 * over.mean():.2f} ({100 * spread:.2f})",
        display=False,
    )
    for part, cost in zip(SHUT, np.mean(costs, 0), strict=True):
        glue(f"{part}_{setting}", f"{100 * cost:.2f}", display=False)
    words.append(
        f"{len(here)} layers, {sum(excess(r) < 0 for r in here)} below the line (t-test of five seeds, one-sided: p = {test.pvalue:.0e})"
    )
    # Label and context are used by every layer; the rest is printed.
    assert np.min(np.array(costs)[:, [0, 2]]) > 0
print("on the same prompts as the line: " + "; ".join(words))

# %% [markdown]
# ## Those that did not arrive

# %% tags=["remove-input", "remove-output"]
starts = Counter((r["beginning"], r["setting"]) for r in stuck)
everything = Counter((r["beginning"], r["setting"]) for r in runs)
for name, places in {
    "orthogonal": [("orthogonal", "two"), ("orthogonal", "three")],
    "random_two": [("random", "two")],
    "random_three": [("random", "three")],
}.items():
    glue(f"far_{name}", sum(starts[place] for place in places), display=False)
    glue(f"all_{name}", sum(everything[place] for place in places), display=False)
of_labels = []  # of the mean square of a score
for r in stuck:
    d, (_, A) = (
        SETTINGS[r["setting"]].d,
        visible(r["inside"], SETTINGS[r["setting"]]),
    )
    of_labels.append((A[:d, d] ** 2).sum() / (A**2).sum())
glue("keys_of_stuck", per_cent(of_labels, 0), display=False)

# %% [markdown]
# Of layers that start with $W_q = W_k$, {glue:text}`far_orthogonal` of {glue:text}`all_orthogonal` end more than two per cent above their line. Of those whose matrices are drawn apart {glue:text}`far_random_two` of {glue:text}`all_random_two` do in the first setting, and {glue:text}`far_random_three` of {glue:text}`all_random_three` in the second. They are not lost at
# random: their values hold more of features than of the label, and {glue:text}`keys_of_stuck` per cent of the mean square of their scores come from labels in keys: the wrong way round, in part or altogether. {doc}`get_there` shows what is special about that place.
#
# ## Break it
#
# **One dimension.** The theorem asks for a $P$ of rank two. With a single feature a layer can carry the label in the key and the feature in the value, $w_x A_{xy} = P$, the very opposite of Eq. (9), and predict the same: the product $y_i x_i$ does not say where its factors came from.
# With two features this is possible for a $P$ of rank one only.

# %%
single = PromptDistribution(d=1, counts=(5, 5), r=(0.2, 0.8))
P = optimal_wpgd(single, "uniform").P
right = GLA.from_matrices(P, np.eye(1))
wrong = GLA(2, None, key_width=1, value_width=1, dtype=torch.float64)
with torch.no_grad():
    wrong.layers[0].W_v.copy_(torch.tensor([[1.0], [0.0]]))  # values: features
    wrong.layers[0].W_k.copy_(torch.tensor([[0.0], [1.0]]))  # keys: labels
    wrong.layers[0].W_q.copy_(torch.tensor([[P[0, 0]], [0.0]]))
    wrong.h.fill_(1.0)
    Z = Layout()(
        single.sample(100, torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    assert torch.allclose(wrong(Z), right(Z), rtol=1e-12)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: what must be zero
# :label: ex-what-must-be-zero
#
# Take Eq. (9) and let the query write a little, $w_c^\top c = \epsilon$. What is added to the prediction? By which flip of {prf:ref}`thm-ceiling` is it uncorrelated with the answer, and what does it cost for $\Sigma_x = I$?
# ```
#
# ```{answer} ex-what-must-be-zero
# asks: What does it cost if A_xx is the identity, as a function of d and epsilon?
# value: "lambda d, epsilon: epsilon**2 * (d**2 + 2 * d)"
# at: [{d: 4, epsilon: 0.1}, {d: 10, epsilon: 0.2}, {d: 1, epsilon: 1}]
# wrong:
# - value: "lambda d, epsilon: epsilon**2 * d**2"
#   says: That is the square of the mean of what is added. Its mean square has the spread of the squared length in it, too.
# - value: "lambda d, epsilon: epsilon**2 * 2 * d"
#   says: That is the variance of what is added. Its mean is not zero.
# - value: "lambda d, epsilon: epsilon * d"
#   says: That is the mean of what is added. It costs its mean square.
# - value: "lambda d, epsilon: epsilon**2 * d"
#   says: The query scores itself by its squared length. That is the mean of this, not its mean square.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# The query scores itself by $x^\top A_{xx}\, x$. For a Gaussian $x$ and a symmetric $P$, $\E (x^\top P x)^2 = (\tr P)^2 + 2 \tr P^2$.
# ```
#
# ````{solution} ex-what-must-be-zero
# :class: dropdown
#
# $\epsilon\, x^\top A_{xx}\, x$ is added. It does not change with the sign of $x$, and the answer does. The cost is its mean square, $\epsilon^2 \bigl( (\tr A_{xx})^2 + 2 \tr A_{xx}^2 \bigr)$: of second order, as for every zero of Eq. (9). That is why training need not be exact to have a good risk.
# ````
#
# ```{exercise} Compute: the price of a label in the key
# :label: ex-label-in-key
#
# One task, $n$ examples, $\Sigma_x = C = I$, no noise, no gate, $P = I$ and $\omega = 1/n$. Put $A_{xy} = \epsilon u$ with a unit vector $u$ into Eq. (9). Show that the risk rises by $\epsilon^2 (1 + 2/n)\, d (d + 2)$, and see it in a simulation.
# ```
#
# ```{answer} ex-label-in-key
# asks: On the way, what is the mean square of the sum of the squared labels, as a function of n and d?
# value: "lambda n, d: n * (n + 2) * d * (d + 2)"
# at: [{n: 2, d: 3}, {n: 10, d: 5}, {n: 4, d: 1}]
# wrong:
# - value: "lambda n, d: (n * d) ** 2"
#   says: That is the square of the mean. Both the length of the task and the features vary.
# - value: "lambda n, d: n * (n + 2) * d**2"
#   says: The features vary, and so does the length of the task.
# - value: "lambda n, d: n**2 * d * (d + 2)"
#   says: The length of the task varies, and so do the features.
# - value: "lambda n, d: n * d * (n * d + 2)"
#   says: That is a chi-squared variable with n d degrees of freedom. All labels share one task, whose length is a factor of the sum.
# minutes: 12
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# The new term is $\epsilon\, (u^\top x)\, \frac1n \sum_i y_i^2$, and $\sum_i y_i^2$ is $\norm{\beta}^2$ times a chi-squared variable.
# ```
#
# ````{solution} ex-label-in-key
# :class: dropdown
#
# $\E (u^\top x)^2 = 1$ and $\E (\sum y_i^2)^2 = n (n + 2)\, d (d + 2)$, so the term's mean square is $\epsilon^2 (1 + 2/n)\, d (d + 2)$. It is even in $y$, so this is added to the risk. (In the simulation too, if each prompt comes once more with its labels turned; then only the term varies.)
#
# ```python
# from glalib import wpgd_step
#
# d, n, epsilon = 3, 2, 0.3
# dist = PromptDistribution(d, (n,), (1.0,))
# net = GLA(d + 1, None)
# with torch.no_grad():
#     net.layers[0].W_q.copy_(torch.eye(d + 1))
#     net.layers[0].W_k.copy_(torch.eye(d + 1))
#     net.layers[0].W_k[d] = torch.tensor([epsilon, 0, 0, 0])
#     net.layers[0].W_v.zero_()
#     net.layers[0].W_v[d] = net.h / n
# added = epsilon**2 * (1 + 2 / n) * d * (d + 2)
# p = dist.sample(400_000, torch.Generator().manual_seed(0))
# step = wpgd_step(p.x, p.y, p.x_query, torch.eye(d), torch.ones(n) / n)
# with torch.no_grad():
#     found = net(Layout()(p))
# errors = ((s * (p.y_query - step) - (found - step)) ** 2 for s in (1, -1))
# rise = sum(errors)[:, 0] / 2 - (p.y_query - step)[:, 0] ** 2
# error = rise.std() / len(rise) ** 0.5
# assert abs(rise.mean() - added) < 3 * error < 0.04 * added
# ```
# ````
#
# ```{exercise} Explore: put the zeros in
# :label: ex-put-the-zeros-in
#
# Take a trained layer, keep its gates, and set to zero all that Eq. (9) has at zero, of $w$ and of $A$. How much of its predictions changes? And what happens if you do the same to the matrices $W_q$, $W_k$ and $W_v$ of a layer that was turned by random symmetries?
# ```
#
# ```{answer} ex-put-the-zeros-in
# asks: After random symmetries, where may the zeros of Eq. (9) be put in without much harm?
# choices:
# - text: in w and A
# - text: in the matrices W_q, W_k and W_v
#   says: After a turn of keys against queries a column of them is no feature any more. Try it.
# - text: in either
#   says: One of the two changes under symmetries that no prompt shows. Which?
# - text: in neither
#   says: The prediction of a layer that arrived hardly changes if what prompts show of it is cleared. What is that?
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `layer_of` builds a layer with $W_k = I$ and $W_q = A$ from a stored run.
# ```
#
# ````{solution} ex-put-the-zeros-in
# :class: dropdown
#
# Of the layer in {numref}`fig-scores-learned` less than a twentieth of the mean square changes. After a turn of keys against queries the columns of $W_q$ and $W_k$ mean something else, and to cut one off cuts off features.
#
# ```python
# net, bare = (layer_of(one["inside"], panel_b) for _ in range(2))
# Z = DELIMITED(
#     panel_b.sample(1000, torch.Generator().manual_seed(0), dtype=torch.float64)
# )
# with torch.no_grad():
#     layer = bare.layers[0]
#     for block in (layer.W_v[:10], layer.W_v[11:], layer.W_q[10:], layer.W_q[:, 10:]):
#         block.zero_()
#     size = net(Z).square().mean()
#     assert (net(Z) - bare(Z)).square().mean() < 0.05 * size
#     generator = torch.Generator().manual_seed(1)
#     J = torch.randn(16, 16, generator=generator, dtype=torch.float64)
#     layer.W_q.copy_(layer.W_q @ J)
#     layer.W_k.copy_(layer.W_k @ torch.linalg.inv(J).T)
#     layer.W_q[:, 10:], layer.W_k[:, 10:] = 0, 0
#     assert (net(Z) - bare(Z)).square().mean() > 0.2 * size
# ```
# ````

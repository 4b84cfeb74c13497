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
#   settles: what the gates of a Mamba that others trained do on text, and what a step
#     that forgets must write
# ---

# %% [markdown]
# # A trained Mamba, read
#
# What do the gates of a Mamba that others trained on text do at the places where this book would have a gate close?
#
# All layers of this book so far were built or trained here, on prompts of its own law. The package [typeseg](https://github.com/s0urc10ud/semantic-text-segmentation) brings one that was not: a Mamba {cite:p}`gu2024mamba` that says of each byte of a text what kind of content it is, Python, CSS, prose and so on. A text whose kind changes is a prompt whose task changes, and its line ends are delimiters of a sort. So its gates can be asked.
#
# They answer to line ends, and to little else. Channels with a long memory forget several times as fast there as on average. A change of kind that no line end marks passes all but unnoticed. And no line end is a wall: the same step that forgets writes, so that the mark takes a share for itself.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-pretrained-text", "caption": "Channels with a long memory forget at line ends (\u21b5), and little elsewhere. The share of the past that each byte of a text takes away in the fifth layer, by the mean rate of channels whose memory is above ten bytes. Solid, the text as it is; dashed, with a space for each line end."}}
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from glalib import plotting
from myst_nb import glue

plotting.use_style()
(seen,) = json.loads(Path("data/pretrained.json").read_text(encoding="utf-8"))
settings, layers = seen["configuration"], np.arange(1, seen["layers"] + 1)
SLOW = 2  # of the three scales of memory
long = np.array([0, 2, 3, 4, 5])  # layers with slow channels on every text


def numbers(*keys):
    """Means, and their standard errors over draws of texts."""
    value = seen
    for key in keys:
        value = value[key]
    return np.array(value, dtype=float)


text, fifth = seen["one"]["text"], 4
lost = {
    name: 1 - np.exp(-numbers("one", key)[fifth])
    for name, key in (("as it is", "rates"), ("spaces", "rates, spaced"))
}
rows = (slice(0, 50), slice(50, len(text)))
fig, axes = plt.subplots(2, 1, figsize=(6.4, 3.6), sharey=True)
for ax, row in zip(axes, rows):
    at = np.arange(len(text))[row]
    ax.step(at, lost["as it is"][row], where="mid", color=plotting.TASKS[0])
    ax.step(
        at,
        lost["spaces"][row],
        where="mid",
        color=plotting.TASKS[1],
        linestyle=(0, (3, 1.4)),
    )
    letters = [{"\n": "↵", " ": ""}.get(c, c) for c in text[row]]
    ax.set_xticks(at, letters, fontsize=12)
    ax.tick_params(axis="x", length=0)
    ax.grid(visible=False, axis="x")
    ax.set(xlim=(at[0] - 0.6, at[0] + 49.6), ylim=(0, 0.65), yticks=(0, 0.3, 0.6))
_ = fig.supylabel("share taken", fontsize=12)

# %% tags=["remove-input"]
plotting.FigureData(
    "pretrained_text",
    {
        "byte": [repr(c)[1:-1] for c in text],
        **{f"lost_{k.replace(' ', '_')}": v for k, v in lost.items()},
    },
    figure=fig,
    layer=fifth + 1,
    package=f"{seen['package']} {seen['version']}",
    seed="none",
)

# %% [markdown]
# ```{symbols}
# omega G q k v
# ```
#
# ## What it is

# %% tags=["check"]
mean, spread = seen["A"]
glue("read_A", float(mean), display=False)
glue("read_A_spread", float(spread), display=False)
for key in ("layers", "channels", "states", "labels", "seeds"):
    glue(
        f"read_{key}",
        seen[key] if isinstance(seen[key], (int, str)) else float(seen[key]),
        display=False,
    )
glue("read_million", float(seen["parameters"] / 1e6), display=False)
glue(
    "read_version",
    seen["version"]
    if isinstance(seen["version"], (int, str))
    else float(seen["version"]),
    display=False,
)
assert seen["agreement"] < 1e-4  # float32, six layers
assert abs(mean - 1) < 0.05 and spread < 0.05
print(
    f"read by this book and run by its own code: logits agree to {seen['agreement']:.0e} "
    "of the largest"
)

# %% [markdown]
# Version {glue:text}`read_version` has {glue:text}`read_million:.2f` million parameters in {glue:text}`read_layers` layers, and {glue:text}`read_labels` kinds of content that it tells apart; it is under the Apache licence 2.0. A layer takes {glue:text}`read_channels` channels $u$ of its token, mixed with those of the byte before and the two after. Channel $c$ is a head of its own, whose value is one number. It has a step $\Delta_i > 0$ for byte $i$, and all channels share keys and queries of {glue:text}`read_states` numbers, each with a rate $A > 0$:
#
# $$
# v_i = \Delta_i u_i, \qquad g_i = e^{-A \Delta_i} .
# $$
#
# That is the tie of {doc}`writes_and_heads`: to write more of a byte is to forget more of what came before. The rates $A$ are near one, {glue:text}`read_A:.2f` on average with a spread of {glue:text}`read_A_spread:.2f`, so a channel has one gate, and a *rate* $A \Delta_i = -\log g_i$ with the mean $A$. The same steps serve a second scan that begins at the end of the text. A gate that closes parts the text for both.
#
# Texts here are {glue:text}`read_seeds` draws of six pieces of 250 bytes or more, from files of Python and of packages that this book is built with; errors are standard errors over the draws. `glalib reproduce pretrained` reads all numbers of this page anew, where typeseg is installed.
#
# ## How long it remembers
#
# A channel's *memory* is one over its mean rate on a text, in bytes: after so many bytes $1/e$ of a weight is left.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-pretrained-memory", "caption": "Left, the memory of channels reaches from a fraction of a byte to thousands, most in the last layers (dot, the median; bars, a half and nine tenths of the channels). Right, what the eight bytes about a mark leave of the past in channels with a memory above ten bytes: line ends are marks, and pieces that change their kind with none between are not. Bars of two standard errors. (The second layer has next to none of them.)"}}
five = numbers("memory")[0]
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4))
left.vlines(layers, five[:, 0], five[:, 4], color=plotting.TASKS[0], lw=1.4)
left.vlines(layers, five[:, 1], five[:, 3], color=plotting.TASKS[0], lw=5)
left.plot(layers, five[:, 2], "o", color="black", ms=6)
left.set(yscale="log", xlabel="layer", ylabel="memory, bytes", xticks=layers)
looks = {
    "blank line": ("D", plotting.TASKS[3]),
    "line": ("s", plotting.TASKS[0]),
    "new kind": ("o", plotting.TASKS[1]),
    "glued": ("o", plotting.TASKS[1]),
    "anywhere": ("x", "0.35"),
    "space": ("^", plotting.TASKS[2]),
}
for i, (mark, (shape, color)) in enumerate(looks.items()):
    kept, error = numbers("kept", mark)[:, long, SLOW]
    right.errorbar(
        layers[long] + 0.11 * (i - 2.5),
        kept,
        2 * error,
        fmt=shape,
        color=color,
        mfc="none" if mark == "glued" else color,
        ms=5,
        lw=1,
        label=mark,
    )
right.set(xlabel="layer", ylabel="share kept", ylim=(0, 1.02), xticks=layers)
_ = fig.legend(loc="outside lower center", ncol=3, handletextpad=0.2)

# %% tags=["remove-input"]
plotting.FigureData(
    "pretrained_memory",
    plotting.beside(
        {
            "layer": layers,
            **{
                f"memory_{q:g}": five[:, j]
                for j, q in enumerate(settings["quantiles"])
            },
        },
        {
            "mark": np.repeat(list(looks), len(long)),
            "at_layer": np.tile(layers[long], len(looks)),
            "kept": np.concatenate(
                [numbers("kept", m)[0, long, SLOW] for m in looks]
            ),
            "standard_error": np.concatenate(
                [numbers("kept", m)[1, long, SLOW] for m in looks]
            ),
        },
    ),
    figure=fig,
    package=f"{seen['package']} {seen['version']}",
    seed=f"0 to {seen['seeds'] - 1}",
)


# %% [markdown]
# ## What it takes for a mark


# %% tags=["check"]
def near(mark, row=0):
    """By layer, the largest rate of slow channels at the bytes nearest to a mark."""
    w = settings["window"]
    return numbers("profile", mark)[row, :, SLOW, w - 3 : w + 2].max(1)[long]


over = {k: numbers("over", k)[:, long] for k in ("line", "same kind", "glued")}
errors_apart = {k: mean / error for k, (mean, error) in over.items()}
glue("read_sentence_first", float(near("sentence")[0]), display=False)
glue("read_sentence_later", float(near("sentence")[1:].max()), display=False)
for name, mark in (("line", "line"), ("blank", "blank line"), ("space", "space")):
    glue(f"read_least_{name}", float(near(mark).min()), display=False)
    glue(f"read_most_{name}", float(near(mark).max()), display=False)
glue("read_anywhere", float(near("anywhere").max()), display=False)
for mark in over:
    name = mark.replace(" ", "_")
    glue(f"read_{name}_low", float(over[mark][0].min()), display=False)
    glue(f"read_{name}_high", float(over[mark][0].max()), display=False)
    if mark != "glued":
        glue(
            f"read_{name}_errors",
            float(abs(errors_apart[mark]).max()),
            display=False,
        )
told = numbers("told by byte")[0, long, SLOW]
glue("read_told_first", float(100 * told[0]), display=False)
glue("read_told_last", float(100 * told[-1]), display=False)
# Line ends stand out in every layer, spaces and random places in none.
assert near("line").min() > 2 and near("blank line").min() > 2
assert near("space").max() < 1.5 and near("anywhere").max() < 1.5
assert errors_apart["glued"].min() > 3  # a new kind with its line end, and without
print(
    f"a line end: {near('line').min():.1f} to {near('line').max():.1f} times the mean rate by layer, "
    f"a space: {near('space').min():.1f} to {near('space').max():.1f}"
)


# %% [markdown]
# In the five layers with slow channels these forget at a line end {glue:text}`read_least_line:.1f` to {glue:text}`read_most_line:.1f` times as fast as on average, at a blank line {glue:text}`read_least_blank:.1f` to {glue:text}`read_most_blank:.1f` times. Between two words they forget less than on average, {glue:text}`read_least_space:.1f` to {glue:text}`read_most_space:.1f` times, and so they do between two sentences, {glue:text}`read_sentence_later:.1f` times at most, but for the first layer with {glue:text}`read_sentence_first:.1f`. At places drawn at random it is {glue:text}`read_anywhere:.1f` at most.
#
# Where the text goes over to another kind the gates do what they do at any line end. Pieces of one kind, put together in the same way, are the fair comparison: over the eight bytes about a border the rates of the layers differ from theirs by {glue:text}`read_same_kind_low:.2f` to {glue:text}`read_same_kind_high:.2f` times the mean rate, at most {glue:text}`read_same_kind_errors:.1f` standard errors. From lines inside a piece they differ by {glue:text}`read_line_low:.2f` to {glue:text}`read_line_high:.2f`, in one layer by {glue:text}`read_line_errors:.1f` standard errors; but pieces begin at lines that are not indented, and those inside need not. Put the pieces together without a line end, and most of what the slow channels did at the border is gone: they forget less by {glue:text}`read_glued_low:.1f` to {glue:text}`read_glued_high:.1f` times the mean rate.
#
# Gates read more than the byte they stand at. Of the variance of a slow channel's log rate over a text the byte explains {glue:text}`read_told_first:.0f` per cent in the first layer, and {glue:text}`read_told_last:.0f` in the last; the rest is context.
#
# ## A step that forgets writes
#
# Why is a line end no wall? Since a tied layer cannot forget without writing.
#
# ```{prf:proposition} What forgets must write
# :label: prop-forgetting-writes
#
# **Where one step both writes and forgets, what is taken from the past goes to the present.**
#
# *Derived here.* Let $u_i = \Delta_i \ge 0$ and $g_i = e^{-A \Delta_i}$ with $A > 0$, as in {prf:ref}`thm-writes`, and let $\omega_i$ be the weights as token $t$ sees them. Cut before a token $b \le t$, put $\ell = A \sum_{j=b}^{t} \Delta_j$, and let $p$ be the sum of the weights as token $b - 1$ sees them.
#
# 1. At token $t$ the tokens before the cut weigh $e^{-\ell} p$ in all, and those after it between $(1 - e^{-\ell})/A$ and $\ell / A$. The larger is attained if all steps but one are zero; the smaller is the limit of many equal steps.
# 2. So if $A p = 1$, what lies before the cut has between $e^{-\ell} / (e^{-\ell} + \ell)$ and $e^{-\ell}$ of the sum of all weights.
# 3. With coupled gates, $u_i = 1 - g_i$, the tokens after the cut weigh exactly $1 - e^{-\ell}$, where $e^{-\ell}$ is the product of their gates. With free writes they can weigh nothing, whatever their gates.
#
# The same holds for a scan from the other end, with before and after exchanged.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-forgetting-writes)=
# ```{prf:proof}
# **1.** Every gate from $b$ to $t$ multiplies a weight from before the cut: by $e^{-\ell}$ in all. For $i \ge b$ let $c_i = \exp(-A \sum_{j=i+1}^{t} \Delta_j)$, so that $\omega_i = \Delta_i c_i$, $c_t = 1$, $c_{b-1} = e^{-\ell}$ and $c_{i-1} = c_i\, e^{-A \Delta_i}$. As $1 - e^{-z} \le z$ for $z = A \Delta_i$, and $c_i \le 1$,
#
# $$
# c_i - c_{i-1} \le A \omega_i \le A \Delta_i .
# $$
#
# The sum over $i \ge b$ is the statement. If one step alone is not zero, then $c_i = 1$ at its token. With $m$ equal steps $\ell / (A m)$ the sum of the $A \omega_i$ is $(1 - e^{-\ell})\, z / (1 - e^{-z})$ at $z = \ell / m$, which tends to $1 - e^{-\ell}$.
#
# **2.** The share $e^{-\ell} p$ has of the sum falls as the rest grows.
#
# **3.** Coupled: $\omega_i = (1 - g_i)\, c_i = c_i - c_{i-1}$. Free: take $u_i = 0$ for $i \ge b$.
# ```
# ````
#
# A long past of small steps has $A p = 1$. To leave it a tenth of all weight, a mark must take the other nine tenths, or the text after it must. This is harmless if what the mark writes is nothing: in {prf:ref}`def-construction` the value of a delimiter is zero. Is it so here?


# %% tags=["check", "asserts-prop-forgetting-writes"]
def weights_of(steps, A=1.0, u=None):
    """Weights as the last token sees them: u_i times the gates after i."""
    steps = np.asarray(steps, dtype=float)
    later = A * (steps[::-1].cumsum()[::-1] - steps)
    return (steps if u is None else u) * np.exp(-later)


rng, worst = np.random.default_rng(0), 0.0
for A in (0.3, 1.0, 4.0):
    for size in (1, 2, 30, 1000):
        steps = rng.exponential(rng.choice([0.01, 1.0]), size=20 + size)
        steps[rng.random(20 + size) < 0.2] = 0.0
        omega, ell = weights_of(steps, A), A * steps[20:].sum()
        p = weights_of(steps[:20], A).sum()
        assert np.isclose(omega[:20].sum(), np.exp(-ell) * p, rtol=1e-12)
        after = A * omega[20:].sum()
        assert -np.expm1(-ell) * (1 - 1e-12) <= after <= ell * (1 + 1e-12)
        equal = A * weights_of(np.full(size, ell / A / size), A).sum()
        alone = A * weights_of(np.eye(size)[0] * ell / A, A).sum()
        assert np.isclose(alone, ell, rtol=1e-12)
        z = ell / size
        assert np.isclose(equal, np.expm1(-ell) * z / np.expm1(-z) if z else 0.0)
        gates = np.exp(-A * steps)
        coupled = weights_of(steps, A, 1 - gates)[20:].sum()
        assert np.isclose(coupled, 1 - gates[20:].prod(), rtol=1e-10, atol=1e-14)
sizes = numbers("sizes", "line")[0, long, SLOW, settings["window"] - 1]
glue("read_size_low", float(sizes.min()), display=False)
glue("read_size_high", float(sizes.max()), display=False)
assert sizes.min() > 0.5
print(
    f"random steps obey the bounds; at a line end the trained channels write "
    f"{sizes.min():.1f} to {sizes.max():.1f} times their mean a step"
)

# %% [markdown]
# It is not. What a slow channel writes per unit of step, $|u_i|$ times the length of the key, is at the line end {glue:text}`read_size_low:.1f` to {glue:text}`read_size_high:.1f` times its mean: the mark is written down, and at a large step. So it takes its share at once, and what the text after it takes is no more than elsewhere:

# %% tags=["check"]
m = settings["reach_at"]
reach = {k: numbers("reach", k)[0, :, long, SLOW] for k in ("new kind", "anywhere")}
for key, j in (("one", m.index(1)), ("far", m.index(32))):
    for mark, share in reach.items():
        for side, name in enumerate(("after", "before")):
            name = f"read_{mark.split()[0]}_{name}_{key}"
            glue(name, float(100 * share[:, side, j].mean()), display=False)
gap = {
    j: (reach["anywhere"] - reach["new kind"])[:, :, m.index(j)] for j in (1, 32)
}
assert gap[1].min() > 0 and gap[1].mean() > 2 * abs(gap[32].mean())
print(
    f"of all weight, {gap[1].mean():.0%} less reaches across one byte after a border than "
    f"across a random place, and {gap[32].mean():.0%} less at 32 bytes"
)

# %% [markdown]
# Of the sum of all weights that the first byte of a new piece sees in slow channels, {glue:text}`read_new_after_one:.0f` per cent lie before the border, on average over the layers; one byte after a random place it is {glue:text}`read_anywhere_after_one:.0f`. The scan from the other end has {glue:text}`read_new_before_one:.0f` and {glue:text}`read_anywhere_before_one:.0f` per cent. At 32 bytes the difference is gone: {glue:text}`read_new_after_far:.0f` against {glue:text}`read_anywhere_after_far:.0f` per cent, and {glue:text}`read_new_before_far:.0f` against {glue:text}`read_anywhere_before_far:.0f`. The weights count values and keys as of one size; what a byte adds to a prediction depends on these too.
#
# ## What its steps are worth
#
# So far we watched. Now change the steps and see what the model gets right, with each channel's mean step in place of its steps: where they forget, where they write, or both. And hold all gates open, at eight bytes about each border, or about as many line ends inside pieces, or at random.

# %% tags=["check"]
whole = numbers("right", "as it is")
cost = {k: numbers("cost", k) for k in seen["cost"]}
names = {"forgets steadily": "forget", "writes steadily": "write", "steady": "both"}
names |= {
    "held at borders": "held",
    "held at line ends": "lines",
    "held anywhere": "any",
}
for key, name in names.items():
    for place, at in (("near", 0), ("else", 1)):
        glue(f"read_{name}_{place}", float(100 * cost[key][0, at]), display=False)
        glue(
            f"read_{name}_{place}_error",
            float(100 * cost[key][1, at]),
            display=False,
        )
glue("read_right_near", float(100 * whole[0, 0]), display=False)
glue("read_right_else", float(100 * whole[0, 1]), display=False)
forget, write = (cost[f"{k} steadily"] for k in ("forgets", "writes"))
assert (write[0] > forget[0] + 3 * np.hypot(write[1], forget[1]))[:2].all()
print(
    f"right near borders: {whole[0, 0]:.0%}; {forget[0, 0]:.0%} fewer if steps forget "
    f"steadily, {write[0, 0]:.0%} fewer if they write steadily"
)

# %% [markdown]
# | per cent of bytes | within 16 of a border | elsewhere |
# |---|---|---|
# | right, as it is | {glue:text}`read_right_near:.0f` | {glue:text}`read_right_else:.0f` |
# | lost if it forgets steadily | {glue:text}`read_forget_near:.1f` ± {glue:text}`read_forget_near_error:.1f` | {glue:text}`read_forget_else:.1f` ± {glue:text}`read_forget_else_error:.1f` |
# | if it writes steadily | {glue:text}`read_write_near:.1f` ± {glue:text}`read_write_near_error:.1f` | {glue:text}`read_write_else:.1f` ± {glue:text}`read_write_else_error:.1f` |
# | both | {glue:text}`read_both_near:.1f` ± {glue:text}`read_both_near_error:.1f` | {glue:text}`read_both_else:.1f` ± {glue:text}`read_both_else_error:.1f` |
# | if gates are held open at borders | {glue:text}`read_held_near:.1f` ± {glue:text}`read_held_near_error:.1f` | {glue:text}`read_held_else:.1f` ± {glue:text}`read_held_else_error:.1f` |
# | at as many line ends | {glue:text}`read_lines_near:.1f` ± {glue:text}`read_lines_near_error:.1f` | {glue:text}`read_lines_else:.1f` ± {glue:text}`read_lines_else_error:.1f` |
# | at as many random places | {glue:text}`read_any_near:.1f` ± {glue:text}`read_any_near_error:.1f` | {glue:text}`read_any_else:.1f` ± {glue:text}`read_any_else_error:.1f` |
#
# This model lives by the steps that write. Steps that forget steadily cost it far less, and most of that near borders. This is what {prf:ref}`thm-writes` has it that writes can do: they alone give all weights that are not negative. It does not say that training must use them so, and the tie does not tell which of the two a step is for; the table does, for this one model.
#
# ## On the book's scale
#
# Two tasks of one size, with relevances $0 < r_1 < r_2$, want an old example to weigh $r_1 / r_2$ of a new one ({prf:ref}`thm-scalar-gate`). Read the other way round, a layer that keeps three quarters over a border acts as if the old task were worth three quarters of the new one.

# %% tags=["check"]
kept = {
    k: numbers("kept", k)[0, long, SLOW]
    for k in ("new kind", "line", "glued", "anywhere")
}
for mark, share in kept.items():
    glue(f"read_kept_{mark.split()[0]}_low", float(share.min()), display=False)
    glue(f"read_kept_{mark.split()[0]}_high", float(share.max()), display=False)
unsure = np.hypot(
    *(numbers("kept", k)[1, long, SLOW] for k in ("glued", "anywhere"))
)
assert (kept["glued"] + 4 * unsure > kept["anywhere"])[1:].all()
assert (kept["new kind"] < kept["glued"]).all() and kept["new kind"].min() > 0.05
print(
    f"share of the past that is kept over a new kind: {kept['new kind'].min():.2f} to "
    f"{kept['new kind'].max():.2f}; with no line end: {kept['glued'].min():.2f} to {kept['glued'].max():.2f}"
)

# %% [markdown]
# Over the eight bytes about a new kind, slow channels keep {glue:text}`read_kept_new_low:.2f` to {glue:text}`read_kept_new_high:.2f` of the past by layer; {glue:text}`read_kept_line_low:.2f` to {glue:text}`read_kept_line_high:.2f` at a line end inside a piece, {glue:text}`read_kept_anywhere_low:.2f` to {glue:text}`read_kept_anywhere_high:.2f` anywhere, and {glue:text}`read_kept_glued_low:.2f` to {glue:text}`read_kept_glued_high:.2f` at a new kind with no line end: there, but for the first layer, no less than anywhere, to two errors ({numref}`fig-pretrained-memory`). The wall that {doc}`when_gating_helps` would build before a task that is all that counts is not seen. But to close a little at every line end pays: gates held open at borders cost {glue:text}`read_held_near:.0f` per cent of the bytes near them and {glue:text}`read_held_else:.0f` per cent elsewhere; as many line ends inside pieces cost {glue:text}`read_lines_near:.0f` and {glue:text}`read_lines_else:.0f` per cent. A gate that cannot tell the two apart has to close at both.
#
# ```{admonition} What this does not show
# :class: note dropdown
#
# It is one model and one training, for another end than regression: it sees the whole text from both sides. A gate of the first layer reads two bytes ahead, those of later layers all. Rates are means over channels: single channels differ. Some of the texts may have been among those it was trained on. A step that was changed is one it was not trained with, so that what it costs is an upper bound of what the step is worth; that random places may be held open at little cost speaks for the bound. Two languages of people were not compared: all bytes beyond ASCII are one to it.
# ```
#
# ## Break it
#
# **Untie the step.** Let a mark and all that follows it forget, and write nothing. The past is made as small as you like, and still it is all there is:

# %%
steps = np.r_[np.full(50, 0.1), 2.0, np.full(10, 0.1)]  # a past, a mark, a text
free = np.where(np.arange(61) < 50, steps, 0.0)
ell = steps[50:].sum()
tied, untied = weights_of(steps), weights_of(steps, u=free)
assert tied[50:].sum() > 1 - np.exp(-ell)
assert untied[50:].sum() == 0.0 and np.isclose(untied[:50].sum(), tied[:50].sum())
print(
    f"of the weight, after the mark: tied {tied[50:].sum() / tied.sum():.2f}, free 0"
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: half the weight
# :label: ex-half-weight
#
# A past of many small steps has $A p = 1$. How large is $\ell$ where a single mark has just taken half of all weight? And where many small steps after the cut have?
# ```
#
# ```{answer} ex-half-weight
# asks: The two values, that of the mark first.
# value: "[ell, np.log(2)]"
# within: 0.003
# wrong:
# - value: "[np.log(2), np.log(2)]"
#   says: A single mark writes its whole step, which is more than it takes from the past.
# - value: "[ell, ell]"
#   says: Many small steps forget some of what they have just written. What is left of it in all?
# - value: "[lambertw(1/2).real, np.log(2)]"
#   says: The past has shrunk as well. When is what is left of it as large as what the mark has written?
# - value: "[1/2, 1/2]"
#   says: That takes one minus the step for the exponential. The step is not small.
# - value: "[1/2, np.log(2)]"
#   says: The second is right. In the first, the past is half of its old size only if the mark wrote nothing.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Part 2 of {prf:ref}`prop-forgetting-writes` has both ends.
# ```
#
# ````{solution} ex-half-weight
# :class: dropdown
#
# The mark: $e^{-\ell} = \ell$, which is $\ell = 0.567\ldots$, Lambert's $W(1)$. Many small steps: $e^{-\ell} = \frac12$, so $\ell = \log 2 = 0.693\ldots$. To take by one large step needs less forgetting, as that step is written whole.
#
# ```python
# from scipy.special import lambertw
#
# ell = lambertw(1).real
# assert np.isclose(ell, 0.567, atol=1e-3) and np.isclose(np.log(2), 0.693, atol=1e-3)
# past = np.full(100_000, 1e-3)
# for later, size in ((np.array([ell]), 1), (np.full(10_000, np.log(2) / 10_000), 10_000)):
#     omega = weights_of(np.r_[past, later])
#     assert np.isclose(omega[-size:].sum() / omega.sum(), 0.5, atol=1e-3)
# ```
# ````
#
# ```{exercise} Compute: the first line
# :label: ex-first-line
#
# Take the mean rates of slow channels in the fifth layer, {numref}`fig-pretrained-text`, for the steps of one channel with $A = 1$. Of all weight at the last byte, how much lies on the first line? How much if there are spaces for line ends?
# ```
#
# ```{answer} ex-first-line
# asks: With spaces for line ends, which part of all weight at the last byte lies on the first line?
# value: share[1]
# within: 2%
# wrong:
# - value: share[0]
#   says: That is with the line ends.
# - value: first / len(text)
#   says: That is its part of the bytes. Weigh them.
# - value: numbers("one", "rates, spaced")[fifth][:first].sum() / numbers("one", "rates, spaced")[fifth].sum()
#   says: That is what was written. How much of it is left at the last byte?
# - value: np.exp(-numbers("one", "rates, spaced")[fifth][first:].sum())
#   says: That is how much of its weight is left. It is the part of all weight that is asked for.
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `weights_of(numbers("one", "rates")[fifth])`; the first line has `text.index("\n")` bytes.
# ```
#
# ````{solution} ex-first-line
# :class: dropdown
#
# With line ends next to nothing; with spaces many times more. The first line is prose, where steps are small, so that it is written at little weight in any case.
#
# ```python
# first = text.index("\n")
# share = []
# for key in ("rates", "rates, spaced"):
#     omega = weights_of(numbers("one", key)[fifth])
#     share.append(omega[:first].sum() / omega.sum())
# assert share[0] < 0.05 and share[1] > 3 * share[0]
# ```
# ````
#
# ```{exercise} Explore: how many texts it would take
# :label: ex-how-many-texts
#
# Over eight bytes, do slow channels forget faster at a new kind than at a line end inside a piece? How many draws of texts would it take to see the stored differences at three standard errors, and how many for those to borders with no line end?
# ```
#
# ```{answer} ex-how-many-texts
# asks: In the median layer, how many draws to see the difference to lines inside pieces at three standard errors?
# value: np.median(needed["line"])
# within: 2%
# wrong:
# - value: np.median(seen["seeds"] * 3 / abs(errors_apart["line"]))
#   says: An error falls with the root of the number of draws, so three times as many standard errors take nine times as many draws.
# - value: np.median((3 / errors_apart["line"]) ** 2)
#   says: That is in multiples of the draws that are stored.
# - value: np.median(seen["seeds"] * (1 / errors_apart["line"]) ** 2)
#   says: That is for one standard error.
# - value: np.median(needed["glued"])
#   says: That is for borders with no line end.
# - value: needed["line"].mean()
#   says: That is the mean over layers, which one layer with next to no difference rules.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `over` has means and errors by layer. An error falls as one over the root of the number of draws.
# ```
#
# ````{solution} ex-how-many-texts
# :class: dropdown
#
# If the stored means were the truth, a few draws show what a line end does in every layer, while for the kind it would take more than there are in most layers; where a layer's difference is near zero no number of draws would do.
#
# ```python
# needed = {k: seen["seeds"] * (3 / errors_apart[k]) ** 2 for k in ("line", "glued")}
# assert needed["glued"].max() < seen["seeds"]
# assert np.median(needed["line"]) > seen["seeds"]
# ```
# ````

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
#   settles: what the gates of small models of characters do where the language changes
# ---

# %% [markdown]
# # Gates on text
#
# Trained on text, where does a layer close its gates, and how far do its weights reach across a change of language?
#
# Everything before this page is about regression: the model is told the examples, and the theory knows the best weights. In text nobody tells it where one task ends. But one thing holds there too, whatever a model was trained on: what a layer keeps of a character is the product of the gates after it. So we can ask what training makes of these products.
#
# Here are {glue:text}`text_runs` small models of characters. They are trained on strips of four languages, in two ways: with a mark at every change of language, or with a space there, as between any two words.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-text-strip", "caption": "Gates close at spaces, and at the mark those heads too that are half open at spaces. Gates of the eight heads of two layers along held-out text, open (1) to closed (0), for a model trained with marks (top) and one without (middle). At the bottom, what part of a head's weight each character has for the last one, a mean over the four heads of the first layer."}}
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import gla, plotting
from glalib.reproduce.crossing import AFTER, LOOK, PROFILE
from glalib.reproduce.messages import MARKED, encode
from glalib.reproduce.text import MODELS, T, begin_text
from myst_nb import glue

plotting.use_style()
rows = json.loads(Path("data/text.json").read_text())


def runs_of(marked, gate, layers):
    """The runs of one kind, over seeds."""
    return [
        r
        for r in rows
        if (r["marked"], r["gate"], r["layers"]) == (marked, gate, layers)
    ]


strips = {
    marked: next(r["strip"] for r in runs_of(marked, "scalar", 2) if "strip" in r)
    for marked in (True, False)
}
places = np.arange(-PROFILE, LOOK + 1)
record = {key: [] for key in ("boundary", "layer", "head", "place", "gate")}
fig, axes = plt.subplots(
    3, 1, figsize=(6.4, 5.6), sharex=True, height_ratios=(1.3, 1.3, 1)
)
for ax, (marked, strip) in zip(axes, strips.items()):
    gates = np.concatenate(strip["gates"])
    image = ax.imshow(
        gates,
        cmap=plotting.SEQUENTIAL,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(-PROFILE - 0.5, LOOK + 0.5, 7.5, -0.5),
    )
    ax.axhline(3.5, color="0.3", lw=0.8)
    ax.set_yticks([1.5, 5.5], ["layer 1", "layer 2"])
    ax.tick_params(length=0)
    ax.grid(False)
    for head, values in enumerate(gates):
        record["boundary"] += ["mark" if marked else "space"] * len(places)
        record["layer"] += [head // 4 + 1] * len(places)
        record["head"] += [head % 4 + 1] * len(places)
        record["place"] += places.tolist()
        record["gate"] += values.tolist()
parts = {}
for marked, mark, ink in ((True, "o", 1), (False, "^", 0)):
    parts[marked] = np.mean(strips[marked]["weights"][0], axis=0)
    axes[2].plot(
        places,
        parts[marked],
        mark + ("-" if marked else "--"),
        ms=5,
        color=plotting.TASKS[ink],
        label="mark" if marked else "space",
    )
letters = [c.replace(" ", "␣") for c in strips[True]["text"]]
axes[2].set_xticks(places, letters)
axes[2].set(ylabel="part of weight", xlabel="characters; | is the mark, or a space")
fig.colorbar(image, ax=axes[:2], label="gate", ticks=[0, 1])
_ = axes[2].legend(title="trained with", loc="upper left")

# %% tags=["remove-input"]
weights = {
    "weight_place": places.tolist(),
    "with_mark": parts[True].tolist(),
    "with_space": parts[False].tolist(),
}
characters = {"character_place": places.tolist(), "character": letters}
plotting.FigureData(
    "text_strip",
    plotting.beside(record, weights, characters),
    figure=fig,
    between_layers=3.5,
    model="two layers, four heads, a scalar gate each",
    text=rows[0]["text"]["source"],
    digest=rows[0]["text"]["digest"],
    seed=0,
)

# %% [markdown]
# ```{symbols}
# q k v G o Omega
# ```
#
# ## What is exact
#
# A layer of the model has four heads. A head is a scalar-gated layer ({prf:ref}`def-gla`) of {glue:text}`head_width` key channels, whose gate is a sigmoid of the character's own vector. So its output is the sum of all writes so far, each times the product of the gates after it ({prf:ref}`prop-unrolled`):

# %%
net = begin_text("scalar", layers=2, seed=0)
text = torch.from_numpy(encode("la table|the table"))[None]
seen = net.look(net.embed[text])[1][0]  # what the first layer did
at = 11
left = seen.decays(at)  # of every write up to there: the product of later gates
scores = (left * seen.k[..., : at + 1, :] * seen.q[..., at, None, :]).sum(-1)
output = (scores[..., None] * seen.v[..., : at + 1, :]).sum(-2)

# %% tags=["check"]
o = gla(seen.q, seen.k, seen.v, seen.g[..., 0])
worst = (output - o[..., at, :]).abs().max() / o.abs().max()
assert worst < 1e-5  # float32, sums of a dozen products
assert torch.allclose(
    seen.weights(at), scores.abs() * seen.v[..., : at + 1, :].norm(dim=-1)
)
glue("head_width", seen.k.shape[-1], display=False)
print(
    f"outputs from writes and products of gates: largest relative difference {worst:.1g}"
)

# %% [markdown]
# By the *weight* of a character we mean the size of its term in this sum, $\bigl| \bigl( \prod g_j \bigr)\, k_i^\top q_t \bigr| \, \norm{v_i}$. Two things follow without any training:
#
# - In the first layer a gate reads one character, so it is a table: one number for each character and head. Without a mark it closes at a change of language as it does at any space. Only the second layer, which reads what the first has gathered, can know better.
# - A gate of zero in every head and layer is a reset: what came before can no longer matter. A mark has a number of its own in the table, so a model trained with marks could learn this.
#
# ## What is seen
#
# The text is what Sphinx, the tool that builds this book, says to its users: its messages in English, French, Albanian and Indonesian, in lower case and without accents. One message in five is held out in all four languages. A model reads {glue:text}`strip_length` characters at a time and learns to predict the next one; segments of one language have 40 to 120. Each kind of model is trained from {glue:text}`seed_count` seeds. Numbers below are on {glue:text}`piece_count` held-out boundaries, as means over seeds, and after $\pm$ stands their standard error over seeds. The step size was chosen by the loss of one run. The number of steps and the length of what is read at a time were cut once, for time, after one look at the results.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-text-reach", "caption": "Where the mark is read less of the old text reaches the new than where it is left out. Left, the part of all influence on the eighth character after the boundary that each earlier character has. Right, the part that lies before the boundary, by the character that is read. Models with two layers and key gates; means over seeds, bars their standard errors."}}
looks = {  # trained with, what is read: ink, mark, dash, words
    (True, "own"): (0, "o", "-", "mark; no boundary"),
    (True, "removed"): (2, "s", ":", "mark; left out"),
    (True, "other"): (1, "^", "-", "mark; mark"),
    (False, "other"): (3, "D", "--", "space; space"),
}


def over_seeds(runs, pick):
    """Mean and standard error over seeds of what `pick` takes from a run."""
    values = np.array([pick(r) for r in runs], dtype=float)
    return values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5


fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.6), width_ratios=(1.5, 1))
pulls, shares = {"place": places}, {"read_at": list(AFTER)}
for (marked, kind), (ink, mark, dash, words) in looks.items():
    runs = runs_of(marked, "key", 2)
    pull, _ = over_seeds(runs, lambda r: r["pull"][kind])
    part, error = over_seeds(runs, lambda r: [m for m, _ in r["influence"][kind]])
    style = {"color": plotting.TASKS[ink], "ls": dash, "marker": mark, "ms": 4}
    left.plot(places, pull, **style)
    right.errorbar(AFTER, part, error, label=words, **style)
    name = words.replace("; ", "_").replace(" ", "_")
    pulls[name] = pull
    shares |= {f"before_{name}": part, f"error_{name}": error}
left.axvline(0, color="0.4", lw=1)
left.set(
    yscale="log", ylim=(1e-4, 1), xlabel="characters", ylabel="part of influence"
)
right.set(yscale="log", xlabel="read at", ylabel="part before", xticks=AFTER)
_ = fig.legend(
    title="trained with; boundary read", loc="outside lower center", ncols=2
)

# %% tags=["remove-input"]
plotting.FigureData(
    "text_reach",
    plotting.beside(pulls, shares),
    figure=fig,
    models="two layers, four heads, a gate for each key channel",
    **rows[0]["configuration"],
    seed="0, 1, 2",
)


# %% [markdown]
# | layers, gate | trained with | bits a character | kept in text | kept across | part before | reset |
# |---|---|---|---|---|---|---|
# | 1, none | mark | {glue:text}`none_1_mark_bits` | {glue:text}`none_1_mark_within` | {glue:text}`none_1_mark_across` | {glue:text}`none_1_mark_before` | {glue:text}`none_1_mark_reset` |
# | 1, none | space | {glue:text}`none_1_space_bits` | {glue:text}`none_1_space_within` | {glue:text}`none_1_space_across` | {glue:text}`none_1_space_before` | {glue:text}`none_1_space_reset` |
# | 2, none | mark | {glue:text}`none_2_mark_bits` | {glue:text}`none_2_mark_within` | {glue:text}`none_2_mark_across` | {glue:text}`none_2_mark_before` | {glue:text}`none_2_mark_reset` |
# | 2, none | space | {glue:text}`none_2_space_bits` | {glue:text}`none_2_space_within` | {glue:text}`none_2_space_across` | {glue:text}`none_2_space_before` | {glue:text}`none_2_space_reset` |
# | 1, scalar | mark | {glue:text}`scalar_1_mark_bits` | {glue:text}`scalar_1_mark_within` | {glue:text}`scalar_1_mark_across` | {glue:text}`scalar_1_mark_before` | {glue:text}`scalar_1_mark_reset` |
# | 1, scalar | space | {glue:text}`scalar_1_space_bits` | {glue:text}`scalar_1_space_within` | {glue:text}`scalar_1_space_across` | {glue:text}`scalar_1_space_before` | {glue:text}`scalar_1_space_reset` |
# | 2, scalar | mark | {glue:text}`scalar_2_mark_bits` | {glue:text}`scalar_2_mark_within` | {glue:text}`scalar_2_mark_across` | {glue:text}`scalar_2_mark_before` | {glue:text}`scalar_2_mark_reset` |
# | 2, scalar | space | {glue:text}`scalar_2_space_bits` | {glue:text}`scalar_2_space_within` | {glue:text}`scalar_2_space_across` | {glue:text}`scalar_2_space_before` | {glue:text}`scalar_2_space_reset` |
# | 2, key | mark | {glue:text}`key_2_mark_bits` | {glue:text}`key_2_mark_within` | {glue:text}`key_2_mark_across` | {glue:text}`key_2_mark_before` | {glue:text}`key_2_mark_reset` |
# | 2, key | space | {glue:text}`key_2_space_bits` | {glue:text}`key_2_space_within` | {glue:text}`key_2_space_across` | {glue:text}`key_2_space_before` | {glue:text}`key_2_space_reset` |
#
# *Kept*: the product of the gates at a space, or at the boundary, and at the eight characters after it, in the head of the first layer that keeps most in text; the same characters and the same head in both columns. *Part before*: how much of the influence on the third character after the boundary comes from before it. *Reset*: what it adds to the loss of the first two characters after the boundary, in bits, to set every state back to zero there. Marks have to be predicted too, so bits compare among models with one kind of boundary.


# %% tags=["check"]
def pair(mean, error, digits):
    # No line may end inside.
    return f"{mean:.{digits}f}\xa0±\xa0{error:.{digits}f}".replace("-", "−")


def most(row, kind):
    """What the head of the first layer that keeps most in text keeps; all, without gates."""
    return row["slowest"][kind][0][0] if row["slowest"] else 1.0


columns = {
    "bits": (lambda r: r["bits"][0], 2),
    "within": (lambda r: most(r, "own"), 3),
    "across": (lambda r: most(r, "other"), 3),
    "before": (lambda r: r["influence"]["other"][AFTER.index(2)][0], 3),
    "reset": (lambda r: r["gap"]["fresh"][0][0], 3),
}
found = {}
for gate, layers in MODELS:
    for marked, word in ((True, "mark"), (False, "space")):
        for name, (pick, digits) in columns.items():
            place = (gate, layers, word, name)
            found[place] = over_seeds(runs_of(marked, gate, layers), pick)
            glue(
                "_".join(map(str, place)),
                pair(*found[place], digits),
                display=False,
            )
for r in rows:  # in the first layer a gate is a table: to the last digit
    if not r["marked"] and r["gates"] is not None:
        assert r["slowest"]["fall"][0] == [0.0, 0.0]
        assert r["kept"]["own"][0] == r["kept"]["other"][0]
falls = [r["slowest"]["fall"] for r in runs_of(True, "key", 2)]
assert all(fall > 10 * error for (fall, error), _ in falls)  # at marks, every seed
spread = {
    marked: over_seeds(
        runs_of(marked, "key", 2), lambda r: r["slowest"]["fall"][1][0]
    )
    for marked in (True, False)
}
for marked, word in ((True, "mark"), (False, "space")):
    glue(f"second_{word}", pair(*spread[marked], 4), display=False)
gates = [r["gates"] for r in rows if (r["gate"], r["layers"]) == ("scalar", 2)]
for name in ("space", "else"):
    glue(
        f"gate_{name}", f"{np.median([g[name] for g in gates]):.2f}", display=False
    )
for name, kind, at in (("removed", "removed", 0), ("own", "own", 0)):
    made = over_seeds(runs_of(True, "key", 2), lambda r: r["gap"][kind][at][0])
    glue(f"gap_{name}", pair(*made, 2), display=False)
glue("text_runs", len(rows), display=False)
size = sum(rows[0]["text"]["characters"]["train"].values())
glue("text_size", f"{size:,}", display=False)
glue("seed_count", len(runs_of(True, "key", 2)), display=False)
glue("strip_length", T, display=False)
glue("piece_count", rows[0]["configuration"]["evaluation_pieces"], display=False)
gain = found["none", 2, "mark", "bits"][0] - found["scalar", 2, "mark", "bits"][0]
assert gain > 0.5  # seen: twice that
glue("gate_gain", f"{gain:.1f}", display=False)
print(
    "at a mark the products of gates fall, key gates, by seed: "
    + ", ".join(f"{fall:.3f} ± {error:.3f}" for (fall, error), _ in falls)
)

# %% [markdown]
# **Words come first.** Most gates nearly shut at every space: with scalar gates in two layers the median gate is {glue:text}`gate_space` at a space and {glue:text}`gate_else` at other characters, whatever was marked. Such a layer remembers a word, not a language, and little is left for a mark to cut. How little differs much between seeds.
#
# **A mark shuts what a space leaves open.** Key gates keep more across a space. There the head that keeps most in the first layer keeps {glue:text}`key_2_mark_within` in text and {glue:text}`key_2_mark_across` across a mark, over the same characters. This is the jump of weights that {prf:ref}`thm-scalar-gate` makes with a delimiter between two tasks, found here by training on the next character. It is no reset: of what a space leaves, almost half stays. And a model trained without marks lets less of any text pass: across a change of language its curve in the figure ends near that of the mark.
#
# **Without a mark nothing is seen.** In the first layer nothing can be. The second could know better, since it reads what the first has gathered. But what such a head of it keeps falls by {glue:text}`second_space` at a change of language, no more than the error; with marks it is {glue:text}`second_mark`.
#
# **What it costs.** With key gates and a space, text of another language costs bits: to set the state back adds {glue:text}`key_2_space_reset` to the loss of the next two characters, so it helps. With a mark it adds {glue:text}`key_2_mark_reset`. Where the mark is left out, a model trained with it loses {glue:text}`gap_removed` bits on these two characters; where its own language went before, it gains, {glue:text}`gap_own`.
#
# **Without gates** old text never leaves. Linear attention ends {glue:text}`gate_gain` bits a character above scalar gates, in two layers; most of the influence lies before the boundary, and a reset helps most, mark or not.
#
# ## What is not seen
#
# These models say nothing on whether the gates they find are the best: text has no line to compare with. The four languages are known from training, not learned from the strip, so they are not tasks in the sense of {doc}`prompts`. Memory here is short. At letters gates are well below one, as for a target that drifts fast ({doc}`decay_and_drift`, {doc}`one_decay`), but nobody has derived this for text. It is one small text of {glue:text}`text_size` characters, of one kind, one size of model, one optimiser, and three seeds; pieces of one text are not independent either.
#
# ## Break it
#
# **Leave the mark out.** A gate that closes at a mark protects nothing where the mark is missing. Built by hand, so that it is exact: every gate is closed at the mark, in both layers, and nothing else is special.

# %%
net = begin_text("scalar", layers=2, seed=1)
with torch.no_grad():
    net.embed[:, 0], net.embed[MARKED] = 0.0, 0.0
    net.embed[MARKED, 0] = 50.0  # the mark alone has this coordinate,
    for layer in net.layers:  # no layer writes to it, and gates shut where it is
        layer.W_o[:, 0], layer.W_down[:, 0], layer.W_g[0] = 0.0, 0.0, -10.0


def moved(boundary):
    """How much other text before the boundary moves what is predicted after it."""
    first, second = (
        "la table" + boundary + "the ta",
        "berkas i" + boundary + "the ta",
    )
    with torch.no_grad():
        one, two = (
            net(torch.from_numpy(encode(x))[None])[0, -1] for x in (first, second)
        )
    return (one - two).abs().max().item()


# %% tags=["check"]
with_mark, without = moved("|"), moved(" ")
assert (
    with_mark < 1e-5 and without > 0.01
)  # rounding of float32; a tenth of what is seen
print(
    f"other text before moves a logit by {with_mark:.1g} with the mark, by {without:.2g} without"
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: a gate that cannot know
# :label: ex-gate-cannot-know
#
# A model has one layer, and no mark. Show that what a head keeps of the text before a change of language does not depend on that text. What does it depend on, and why can a second layer differ?
# ```
#
# ```{answer} ex-gate-cannot-know
# asks: What does it depend on, how much a head of the only layer keeps of earlier text at a place after the boundary?
# choices:
# - text: the language that went before
#   says: Which gates come after a write? What does each of them read, if there is one layer?
# - text: both languages
#   says: A gate of the only layer reads its own character. Which characters do the gates from the boundary on stand at?
# - text: the characters from the boundary to that place
# - text: nothing, it is a constant of the head
#   says: A gate differs from character to character.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Write the product of the gates from the boundary on. What does each of them read?
# ```
#
# ````{solution} ex-gate-cannot-know
# :class: dropdown
#
# The gate $g_j$ of the only layer is a function of character $j$. What is kept of any earlier write at place $t$, beyond what was left of it just before the boundary, is $\prod_{j = b}^{t} g_j$, a function of the characters $b, \dots, t$: the space and the new text. The same text after a space in its own language has the same product. A gate of the second layer reads what the first has written at its place, and that holds earlier characters too. So it can be lower where the letters of two languages meet.
# ````
#
# ```{exercise} Compute: how many words
# :label: ex-how-many-words
#
# With words of five letters, how many words until less than a hundredth of a write is left, in the head of the first layer that keeps it longest? Take the stored runs with marks, with scalar and with key gates.
# ```
#
# ```{answer} ex-how-many-words
# asks: With key gates, the mean over seeds of the number of words in the head that keeps longest.
# value: np.mean(words["key"])
# within: 3%
# wrong:
# - value: np.mean(words["scalar"])
#   says: That is with scalar gates.
# - value: 6 * np.mean(words["key"])
#   says: That is in characters, the space among them.
# - value: "np.mean([max(np.log(0.01) / np.log(np.array(r['gates']['else'][0]) ** 5)) for r in runs_of(True, 'key', 2)])"
#   says: A word ends with a space, whose gate counts, too.
# - value: "np.mean([max(np.log(0.01) / np.log(np.array(r['gates']['else'][0]) * np.array(r['gates']['space'][0]))) for r in runs_of(True, 'key', 2)])"
#   says: A word has five letters, and the gate acts at each of them.
# - value: "np.mean([np.mean(np.log(0.01) / np.log(np.array(r['gates']['else'][0]) ** 5 * np.array(r['gates']['space'][0]))) for r in runs_of(True, 'key', 2)])"
#   says: That is a mean over heads. Take the one that keeps longest.
# minutes: 8
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# With a gate $g$ at letters and $g'$ at spaces, $g^5 g'$ is left after a word. Means of gates stand in `r["gates"]["space"][0]` and `r["gates"]["else"][0]`, by head.
# ```
#
# ````{solution} ex-how-many-words
# :class: dropdown
#
# One or two with scalar gates, about four with key gates. Means of gates are not means of products, so this is a rough count.
#
# ```python
# words = {}
# for gate in ("scalar", "key"):
#     for r in runs_of(True, gate, 2):
#         at_space, at_letter = (np.array(r["gates"][x][0]) for x in ("space", "else"))
#         count = np.log(0.01) / np.log(at_letter**5 * at_space)
#         words.setdefault(gate, []).append(count.max())
# assert np.mean(words["scalar"]) < np.mean(words["key"]) < 10
# ```
# ````
#
# ```{exercise} Explore: a gate for every channel
# :label: ex-gate-every-channel
#
# The stored runs have models with a gate for every key channel too. Does more of the text before a mark reach the prediction there than with scalar gates, and do they pay for it?
# ```
#
# ```{answer} ex-gate-every-channel
# asks: By means over seeds, how many times as much of the influence on the third character comes from before the mark as with scalar gates?
# value: np.mean(before["key"]) / np.mean(before["scalar"])
# within: 3%
# wrong:
# - value: np.mean(before["scalar"]) / np.mean(before["key"])
#   says: That is the other way round.
# - value: np.mean([r["influence"]["other"][0][0] for r in runs_of(True, "key", 2)]) / np.mean([r["influence"]["other"][0][0] for r in runs_of(True, "scalar", 2)])
#   says: That is for what the mark's own character reads.
# - value: np.mean([r["influence"]["own"][AFTER.index(2)][0] for r in runs_of(True, "key", 2)]) / np.mean([r["influence"]["own"][AFTER.index(2)][0] for r in runs_of(True, "scalar", 2)])
#   says: That is where the text goes on in its own language, without a mark.
# - value: np.mean(before["key"]) - np.mean(before["scalar"])
#   says: That is the difference of the two, not their quotient.
# minutes: 6
# level: 1
# ```
#
# ```{answer} ex-gate-every-channel-price
# asks: Do these models with key gates pay for it?
# choices:
# - text: yes, their bits a character are clearly more
#   says: Look at the table, at the rows with marks and two layers.
# - text: no, they predict no worse
# - text: yes, a reset at marks would help them much
#   says: How large is what a reset changes, against its standard error?
# minutes: 4
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# `r["influence"]["other"]` has pairs of mean and error, by `AFTER`; `r["bits"]` and `r["gap"]["fresh"]` the loss, and what a reset changes of it.
# ```
#
# ````{solution} ex-gate-every-channel
# :class: dropdown
#
# More does. They predict no worse all the same; what a reset would change is within a few errors of zero.
#
# ```python
# before = {
#     gate: [r["influence"]["other"][AFTER.index(2)][0] for r in runs_of(True, gate, 2)]
#     for gate in ("scalar", "key")
# }
# assert min(before["key"]) > 2 * max(before["scalar"])
# reset, error = over_seeds(runs_of(True, "key", 2), lambda r: r["gap"]["fresh"][0][0])
# assert abs(reset) < 4 * error
# ```
# ````

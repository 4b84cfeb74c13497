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
#   settles: why the forms are fast, and what they cost beside what the machine can
#     do
# ---

# %% [markdown]
# # What is fast, and how fast
#
# Which form of the layer should one compute, and how much faster is it than the recurrence as it is written?
#
# Every trained layer in this book was trained on CPUs alone. That works because the same layer has forms that leave out what is not asked for.
# This page shows how much faster they are, says why, and checks that they agree. It times nothing itself, as a time belongs to the machine and
# the hour; the times come from a file.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-speed-ratios", "caption": "One prediction does not need the outputs of all tokens, and not computing them is what pays most. How many times as long the yardstick takes, forward and backward. The yardstick is, above, the recurrence as it is written; below, the reference functions in torch of flash-linear-attention (fla-core). Filled marks: a scalar gate. Open marks: a key gate. Circles: $d = 10$, $n = 100$, 256 prompts. Triangles: $d = 100$, $n = 200$, 64 prompts. Upright strokes: targets set beforehand."}}
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import GLA, Layout, PromptDistribution, gla, gla_readout, plotting
from myst_nb import glue

plotting.use_style()
stored = json.loads(Path("data/speed.json").read_text(encoding="utf-8"))
NAMES = {
    "tokens": "layer, from tokens",
    "readout": "read-out",
    "chunked": "all positions",
}
POSITIONS = {"all": "all positions", "last": "read-out"}
record = {"yardstick": [], "form": [], "gate": [], "d": [], "ratio": []}
record |= {"least": [], "largest": []}


def dots(ax, rows):
    """rows: (label, yardstick, row of the file); d sets the colour."""
    labels = list(dict.fromkeys(label for label, _, _ in rows))
    for label, yardstick, row in rows:
        which = 0 if row["d"] == 10 else 1
        y = labels.index(label) + 0.16 * (2 * which - 1)
        color = plotting.TASKS[which]
        face = color if row["gate"] == "scalar" else "none"
        ax.hlines(y, row["ratio_min"], row["ratio_max"], color=color, lw=1.4)
        marker = plotting.TASK_MARKERS[which]
        ax.plot(row["ratio"], y, marker, color=color, mfc=face, ms=7)
        if row["target"] is not None:
            ax.plot(row["target"], y, "|", color="black", ms=13, mew=2.2)
        entry = (yardstick, label, row["gate"], row["d"], row["ratio"])
        entry += row["ratio_min"], row["ratio_max"]
        for column, value in zip(record, entry, strict=True):
            record[column].append(value)
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xscale="log", ylim=(len(labels) - 0.5, -0.5))


ours = [
    (f"{NAMES[row['form']]}, {row['gate']} gate", "recurrence", row)
    for row in stored["forward_backward"]
    if row["against"] == "loop"
]
theirs = [
    (f"{POSITIONS[row['positions']]}, to their {row['theirs']}", "fla-core", row)
    for row in stored["reference"]
]
theirs.sort(key=lambda entry: entry[2]["positions"] == "all")
fig, axes = plt.subplots(2, 1, figsize=(6.4, 5.8), sharex=True)
dots(axes[0], ours)
dots(axes[1], theirs)
axes[0].set_title("against the recurrence", fontsize=12, loc="right")
axes[1].set_title(
    "against flash-linear-attention's reference", fontsize=12, loc="right"
)
axes[1].set_xlabel("times as fast (log scale)")
axes[0].axvline(1, color="#666666", lw=1)
_ = axes[1].axvline(1, color="#666666", lw=1)

# %% tags=["remove-input"]
plotting.FigureData(
    "speed_ratios",
    record,
    figure=fig,
    date=stored["date"],
    cpu=stored["machine"]["cpu"],
    seed=0,
)


# %% tags=["check"]
# The file's ratios against the targets set beforehand. No time of this machine enters.
def pick(part, **about):
    (row,) = (r for r in part if about.items() <= r.items())
    return row


compared = [*stored["forward_backward"], *stored["sampling"]["throughput"]]
compared += stored["memory"]
compared = [row for row in compared if row["target"] is not None]
for row in compared:
    # Ratios move by tens of per cent from machine to machine; a form that has lost its
    # point falls below half of what it should reach.
    assert row["ratio"] > row["target"] / 2, row
met = sum(row["ratio"] >= row["target"] for row in compared)

for form in ("tokens", "readout", "chunked"):
    for size in (10, 100):
        row = pick(
            stored["forward_backward"],
            form=form,
            gate="scalar",
            d=size,
            against="loop",
        )
        glue(f"{form}_{size}", float(row["ratio"]), display=False)
lean = pick(
    stored["forward_backward"],
    form="tokens",
    gate="scalar",
    d=10,
    against="lean_loop",
)
glue("lean_10", float(lean["ratio"]), display=False)
memory = {row["form"]: row for row in stored["memory"]}
glue("memory_loop", float(memory["readout"]["loop_mb"]), display=False)
glue("memory_tokens", float(memory["tokens"]["ours_mb"]), display=False)
glue("memory_readout", float(memory["readout"]["ours_mb"]), display=False)
glue("memory_results", float(memory["readout"]["results_mb"]), display=False)
glue("memory_beyond", float(memory["readout"]["ratio"]), display=False)
glue("memory_all", float(memory["readout"]["ratio_with_results"]), display=False)
print(f"of {len(compared)} targets that were set beforehand {met} were met")

# %% [markdown]
# From tokens to a prediction the layer was {glue:text}`tokens_10:.0f` times as fast as the recurrence at $d = 10$ and {glue:text}`tokens_100:.0f` times at $d = 100$;
# the read-out {glue:text}`readout_10:.0f` and {glue:text}`readout_100:.0f` times; all positions in chunks {glue:text}`chunked_10:.1f` and {glue:text}`chunked_100:.1f` times.
# The recurrence computes the output of every token, which one prediction does not need. For one prediction a loop that leaves them out
# is the fairer rival: at $d = 10$ the layer was {glue:text}`lean_10:.0f` times as fast as that loop.

# %% tags=["check"]
assert not stored["quick"]
machine = stored["machine"]
assert machine["threads"] == 1
print(
    f"measured {stored['date']}, one thread of an {machine['cpu']} CPU, torch {machine['torch']}; "
    f"load average {stored['load_before'][0]} before, {stored['load_after'][0]} after"
)


# %% [markdown]
# ````{dropdown} How it was measured
# One command wrote the file of the figures: `python benchmarks/speed.py --tables context-gate --json chapters/data/speed.json`; another that of erasing, `python benchmarks/speed.py --only delta --json chapters/data/speed_delta.json`. One thread, float32. What is compared took
# turns, so that whatever else the machine did slowed both. A point is the median of the ratios of all turns; a bar reaches from the least to the largest. Before anything
# was timed, outputs and gradients were compared in float64 (flash-linear-attention's functions compute in float32: their outputs and last states, to $10^{-4}$ of the
# largest entry). The load averages say how busy the machine was, and so do long bars.
# ````
#
# ## Why each form is fast
#
# The yardstick is the recurrence as it is written: $S_i = G_i \odot S_{i-1} + v_i k_i^\top$ and $o_i = S_i q_i$, token by token. It keeps a state of
# $d_v d_k$ numbers for every token, because the backward pass wants them all.
#
# - **The layer, from tokens to one prediction.** A prediction is $\psi^\top S q$, one row of the state times one query. The row is
#   $\psi^\top S = \sum_i \omega_i u_i k_i^\top$ with $u_i = \psi^\top v_i$ for a scalar gate ({prf:ref}`prop-unrolled`). No state, no key and no value needs to
#   be formed: $k_i = W_k^\top z_i$, so the sum runs over the tokens themselves and $W_k$ comes last.
# - **The read-out, from given $q$, $k$, $v$.** The last output is $\sum_i \omega_i v_i (k_i^\top q)$: one product for all scores and one for the sum. Each
# is computed as a row times a matrix, which in batches is faster than a matrix times a column.
# - **Chunks, for all positions.** Within a chunk of tokens all pairs meet in matrix products; one state is handed on
# from each chunk to the next. So there are few states to keep, and most of the work is products of matrices.
#
# The weights $\omega_i = \prod_{j > i} g_j$ are *reverse products*: a cumulative product from the end, as long as the prompt, with no logarithm and no
# difference of large sums. Exact zeros are gates like others. (The forward pass divides by nothing. torch's backward pass of a cumulative product
# divides by the gates if none is zero, and takes another way if one is.)
#
# ```{symbols}
# q k v G o Z omega h
# ```
#
# The check was run in float64 when this page was built. It holds outputs and all gradients of every form against the recurrence, written
# here once more.


# %%
def recurrence(q, k, v, g):
    """S_i = G_i S_{i-1} + v_i k_i^T, o_i = S_i q_i; gates (B, T) or (B, T, dk)."""
    G = g[..., None, None] if g.ndim == 2 else g[..., None, :]
    S, o = 0, []
    for i in range(q.shape[1]):
        S = G[:, i] * S + v[:, i, :, None] * k[:, i, None, :]
        o.append((S @ q[:, i, :, None])[..., 0])
    return torch.stack(o, 1)


# %% tags=["check"]
def with_gradients(outputs, inputs):
    probe = torch.cos(torch.arange(outputs.numel()).double()).reshape(outputs.shape)
    gradients = torch.autograd.grad(outputs, inputs, probe)
    return [outputs.detach(), *gradients]


def agree(a, b, tolerance=1e-10):
    for x, y in zip(a, b, strict=True):
        gaps.append(((x - y).abs().max() / x.abs().max()).item())
        assert gaps[-1] <= tolerance


# Sums of some dozens of products differ in their order only.
gaps = []

generator = torch.Generator().manual_seed(0)
B, T, d = 3, 40, 6
for gate, shape in (("scalar", (B, T)), ("key", (B, T, d))):
    q, k, v = torch.randn(3, B, T, d, generator=generator, dtype=torch.float64)
    g = torch.sigmoid(
        3 + torch.randn(shape, generator=generator, dtype=torch.float64)
    )
    inputs = [x.requires_grad_() for x in (q, k, v, g)]
    slow = recurrence(*inputs)
    for form in ("recurrent", "parallel", "chunked"):
        fast = gla(*inputs, gate, form)
        agree(with_gradients(slow, inputs), with_gradients(fast, inputs))
        slow = recurrence(*inputs)  # autograd has used up its graph
    last = gla_readout(q[:, -1], k, v, g, gate)
    agree(with_gradients(slow[:, -1], inputs), with_gradients(last, inputs))

    dist = PromptDistribution(d, (20, 20), (0.2, 0.8))
    Z = Layout()(dist.sample(B, generator, dtype=torch.float64))
    model = GLA(d + 1, gate, generator=generator, dtype=torch.float64)
    layer = model.layers[0]
    torch.nn.init.normal_(layer.W_g, std=0.3, generator=generator)
    weights = list(model.parameters())
    gates = torch.sigmoid(Z @ layer.W_g + layer.b_g).squeeze(-1)
    o = recurrence(Z @ layer.W_q, Z @ layer.W_k, Z @ layer.W_v, gates)
    slow = o[:, -1:] @ model.h
    agree(with_gradients(slow, weights), with_gradients(model(Z), weights))
print(f"{len(gaps)} outputs and gradients: all forms agree to {max(gaps):.0e}")

# %% [markdown]
# ## What erasing costs
#
# A layer that erases reads its state before it writes ({doc}`delta_rule`). In chunks that is a triangular system for each chunk, and the rest is products of matrices as
# before. For all positions and a scalar gate, forward and backward:
#
# | | $d = 10$, $n = 100$, 256 prompts | $d = 100$, $n = 200$, 64 prompts |
# |---|---|---|
# | erasing in chunks, against its own recurrence: times as fast | {glue:text}`erase_loop_10` | {glue:text}`erase_loop_100` |
# | against flash-linear-attention's reference in chunks: times as fast | {glue:text}`erase_theirs_10` | {glue:text}`erase_theirs_100` |
# | over the same gate without erasing, in chunks: times as long | {glue:text}`erase_delta_10` | {glue:text}`erase_delta_100` |
#
# Each is a median over rounds, in brackets the least and the largest. Other work ran on the machine that day, so what stands after the point is not sure.
# What erasing gains for that is on {doc}`designing`.

# %% tags=["check"]
erasing = json.loads(Path("data/speed_delta.json").read_text(encoding="utf-8"))
assert not erasing["quick"] and erasing["machine"]["threads"] == 1
for row in erasing["delta"]:
    least, largest = row["ratio_min"], row["ratio_max"]
    # Chunks pay, and what erases costs more than what does not.
    assert 1 < least <= row["ratio"] <= largest
    words = f"{row['ratio']:.1f} ({least:.1f} to {largest:.1f})"
    glue(f"erase_{row['against']}_{row['d']}", words, display=False)
print(
    f"measured {erasing['date']}, one thread of an {erasing['machine']['cpu']} CPU, torch "
    f"{erasing['machine']['torch']}; load average {erasing['load_before'][0]} before, "
    f"{erasing['load_after'][0]} after"
)

# %% [markdown]
# ## How far from what the machine can do
#
# **Memory.** With 256 prompts at $d = 100$, $n = 200$, forward and backward of the recurrence took {glue:text}`memory_loop:.0f` MB at their peak beyond the arguments, the layer from tokens
# {glue:text}`memory_tokens:.1f` MB. The read-out took {glue:text}`memory_readout:.0f` MB; of these {glue:text}`memory_results:.0f` MB are the gradients of $q$, $k$, $v$ and the gates, which every
# form returns. Beyond them the recurrence took {glue:text}`memory_beyond:.0f` times the memory of the read-out, with them {glue:text}`memory_all:.0f` times.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-speed-floors", "caption": "A layer costs about as much as drawing its prompts. How long the layer takes, forward and backward, over the time to draw as many normal numbers as the prompts hold, and over the time to copy its tokens once; and how much faster a product of two large matrices does as many operations as the chunked form. All with a scalar gate."}}
floors = stored["floors"]
KINDS = {
    ("layer", "draw"): "layer / drawing its prompts",
    ("layer", "copy"): "layer / copying its tokens",
    ("chunked", "gemm"): "all positions / matrix product",
}
record = {"kind": [], "d": [], "n": [], "batch": [], "ratio": []}
fig, ax = plt.subplots(figsize=(6.4, 3.2))
sizes = list(dict.fromkeys((r["d"], r["n"], r["batch"]) for r in floors["rows"]))
for row in floors["rows"]:
    kind = KINDS.get((row["form"], row["floor"]))
    if kind is None:
        continue
    size = (row["d"], row["n"], row["batch"])
    which, y = sizes.index(size), list(KINDS.values()).index(kind)
    ax.plot(
        row["ratio"],
        y + 0.2 * (which - 1),
        plotting.TASK_MARKERS[which],
        color=plotting.TASKS[which],
        ms=8,
        label="$d = {}$, $n = {}$, {} prompts".format(*size) if y == 0 else None,
    )
    for column, value in zip(record, (kind, *size, row["ratio"]), strict=True):
        record[column].append(value)
ax.axvline(1, color="#666666", lw=1)
ax.set_yticks(range(len(KINDS)), KINDS.values())
ax.set(xscale="log", xlabel="times the floor (log scale)", ylim=(2.5, -0.5))
_ = fig.legend(loc="outside upper center", ncols=2, handletextpad=0.2)

# %% tags=["remove-input"]
plotting.FigureData(
    "speed_floors",
    record,
    figure=fig,
    gemm_gflops=floors["gemm_gflops"],
    normal_million_per_second=floors["normal_million_per_second"],
    copy_gb_per_second=floors["copy_gb_per_second"],
    seed=0,
)

# %% [markdown]
# The layer's cost, forward and backward, is of the order of drawing the random numbers of its prompts. From here on a faster layer
# gains little; **drawing fewer numbers** gains more.
#
# ## Drawing less

# %% tags=["remove-input", "remove-output"]
rates = [row["ratio"] for row in stored["sampling"]["throughput"]]
glue("rate_low", float(np.floor(100 * min(rates))), display=False)
steps = {row["n"]: row for row in stored["sampling"]["token_free"]}
for n in (100, 1000):
    row = steps[n]
    glue(f"step_{n}", float(row["ratio"]), display=False)
    # Two tasks and the query's; features; queries that share a context.
    with_tokens = (3 + n + row["queries"]) * row["d"]
    without = (3 + 2) * row["d"] + n  # tasks; zeta of both blocks; g
    glue(f"numbers_{n}", with_tokens / without, display=False)
runs = stored["task"]
excess = np.array([run["excess"] for run in runs])
error = np.array([run["stderr"] for run in runs])
assert len(runs) == 10 and (excess < 0.01).all() and (error < 0.01 / 3).all()
glue("excess_low", float(100 * excess.min()), display=False)
glue("excess_high", float(100 * excess.max()), display=False)
glue(
    "task_seconds",
    float(np.median([run["seconds"] for run in runs])),
    display=False,
)

# %% [markdown]
# `PromptDistribution.sample` draws prompts at {glue:text}`rate_low:.0f` per cent or more of the rate at which torch fills as many numbers with nothing else done: the labels are a row times a matrix, too.
#
# Where the gate reads context coordinates only, the loss can be drawn without its tokens ({prf:ref}`prop-token-free`). A training step at $d = 100$, drawing included, was {glue:text}`step_100:.1f` times as fast at $n = 100$
# and {glue:text}`step_1000:.1f` times at $n = 1000$. It draws {glue:text}`numbers_100:.0f` and {glue:text}`numbers_1000:.0f` times fewer random numbers; the gain in time is less, as sums of them, the weights and the backward pass
# remain.
#
# All this together: a layer with every weight free, on a single task with $d = 10$, $n = 100$, from a random start, was trained for 300 steps, {glue:text}`task_seconds:.1f` seconds (median). Its excess over $1 - n / (n + d + 1)$ was then between {glue:text}`excess_low:.2f` and {glue:text}`excess_high:.2f` per cent in the ten runs. An excess below zero is no mistake: the formula is the optimum over weights that do not depend on the data,
# and a free gate can read the labels. Nor need training end there: with more steps a layer may go further below, as the formula is no bound for it.
#
# The authors' table trained anew ({doc}`training`) took minutes. Compare the times of two rows only if the machine was as busy for both.

# %% tags=["check"]
lines, short = [], stored["tables"]
for recipe in ("context_gate", "all_weights"):
    cells = json.loads(Path(f"data/table_{recipe}.json").read_text())
    minutes = sum(cell["seconds"] for cell in cells) / 60
    made = [cell["provenance"] for cell in cells if "provenance" in cell]
    loads = [
        made_at[key] for made_at in made for key in ("load_before", "load_after")
    ]
    busiest = max((load[0] for load in loads if load), default="not recorded")
    assert cells and minutes > 0
    lines.append(
        f"{recipe.replace('_', ' ')}, {minutes:.0f} minutes for {len(cells)} cells on one "
        f"thread, load average at most {busiest}"
    )
print(
    f"{'; '.join(lines)}; context gate once more, on {short['cores']} cores, "
    f"{short['context-gate_seconds']:.0f} seconds, at most "
    f"{short['context-gate_largest_excess']:.2%} above theory"
)


# %% [markdown]
# ## Break it
#
# **The recurrence is not always slower.** All of the above starts from nothing: a new prompt, and one prediction. A model that writes a text one token at a time has the state of all earlier tokens at hand. Then the
# recurrence needs one more step, whose cost does not depend on $n$. The read-out would begin anew. We count multiplications, for $d_k = d_v = d$ and a scalar gate.


# %%
def multiplications(T, d):
    """The read-out; the recurrence from nothing, read at the end; one more step of it."""
    weights_and_scores = 2 * T + T * d  # products of gates, and their use
    readout = weights_and_scores + T * d
    one_more = d * d + d * d + d * d  # gate, write, read
    return readout, T * (d * d + d * d) + d * d, one_more


d = 100
readout, from_nothing, one_more = multiplications(2 * d, d)
assert readout < from_nothing  # the read-out wins by far
assert one_more < readout  # with the state at hand it loses, at twice d tokens
assert multiplications(d, d)[0] < one_more  # and still wins at d tokens

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: what the loop does in vain
# :label: ex-count-flops
#
# Count the multiplications and additions in the matrix products of `gla_readout` for a scalar gate, and of `gla(form="recurrent")`, at $d_k = d_v = d$.
# What is their ratio? Why is the measured ratio at $d = 10$ so much larger?
# ```
#
# ```{answer} ex-count-flops
# asks: The operations of the recurrence over those of the read-out, as a function of d.
# value: "lambda d: d / 2"
# at: [{d: 10}, {d: 3}, {d: 100}]
# wrong:
# - value: "lambda d: d"
#   says: The read-out has two products for every token, the scores and the sum.
# - value: "lambda d: 5 * d / 4"
#   says: Gates and writes of the state are elementwise. Only matrix products are counted here.
# - value: "lambda d: 2 / d"
#   says: That is the read-out's over the recurrence's.
# - value: "lambda d: d**2 / 2"
#   says: A score is a product of two vectors, so the read-out's count grows with d, too.
# - value: "lambda d: d / 4"
#   says: A multiplication and an addition for each entry, in both forms. Does one of yours lack its additions?
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The read-out has one score and one term of a sum for every token. The recurrence reads a whole state at every token.
# ```
#
# ````{solution} ex-count-flops
# :class: dropdown
#
# The read-out has scores $k_i^\top q$ and a sum of $v_i$: $2 d$ operations each for every token, $4 T d$. The recurrence reads $S_i q_i$ at every token: $2 d^2 T$. The ratio is $d/2$. The gates and writes of the state are elementwise and not
# counted; they add $3 d^2 T$ more.
#
# The operations are not what takes the time. At $d = 10$ the loop starts several small operations for every token, forward and backward, and each must move the whole batch of states through memory; the read-out starts a few
# dozen in all.
#
# torch's `FlopCounterMode` counts matrix products only, and agrees:
#
# ```python
# from torch.utils.flop_counter import FlopCounterMode
#
# B, T, d = 4, 30, 10
# q, k, v = torch.randn(3, B, T, d, generator=torch.Generator().manual_seed(0))
# g = torch.full((B, T), 0.9)
# with FlopCounterMode(display=False) as short:
#     gla_readout(q[:, -1], k, v, g)
# with FlopCounterMode(display=False) as long:
#     gla(q, k, v, g)
# assert short.get_total_flops() == B * 4 * T * d
# assert long.get_total_flops() == B * 2 * d**2 * T
# assert long.get_total_flops() / short.get_total_flops() == d / 2
# ```
# ````
#
# ```{exercise} Compute: from how many tokens on does a state at hand pay?
# :label: ex-state-at-hand
#
# A model that writes keeps the state, and one more step of the recurrence costs $3 d^2$ multiplications, whatever $T$ is. From which $T$ on is that cheaper than the
# read-out? Use `multiplications` above.
# ```
#
# ```{answer} ex-state-at-hand
# asks: At which T, not rounded, do both cost the same, as a function of d?
# value: "lambda d: multiplications(1, d)[2] / multiplications(1, d)[0]"
# at: [{d: 10}, {d: 2}, {d: 100}]
# wrong:
# - value: "lambda d: 3 * d / 2"
#   says: Nearly. The products of the gates and their use are missing from the read-out.
# - value: "lambda d: 3 * d"
#   says: The read-out has both scores and a sum, for every token.
# - value: "lambda d: 3 * d**2 / (d + 2)"
#   says: The read-out has both scores and a sum. The d stands there twice.
# - value: "lambda d: d**2 / (d + 1)"
#   says: One step of the recurrence has gates, writes and a read. One of them is missing.
# - value: "lambda d: 2 * (d + 1) / (3 * d**2)"
#   says: Upside down. Can it be less than one token?
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The read-out costs $2T + 2Td$.
# ```
#
# ````{solution} ex-state-at-hand
# :class: dropdown
#
# From $T > 3 d^2 / (2 (d + 1))$ on, which is about one and a half times $d$.
#
# ```python
# for d in (10, 100, 1000):
#     first = next(
#         T
#         for T in range(1, 2 * d)
#         if multiplications(T, d)[2] < multiplications(T, d)[0]
#     )
#     assert first == int(3 * d**2 / (2 * (d + 1))) + 1
# ```
# ````
#
# ```{exercise} Explore: which form needs the fewest operations?
# :label: ex-fewest-operations
#
# For all positions there are three forms: `recurrent`, `parallel`, `chunked`. Count the operations of their matrix products with `FlopCounterMode` at $d = 16$ for $T$ from $8$ to
# $512$. Where do the first two cross? Does the count say what the time says?
# ```
#
# ```{answer} ex-fewest-operations
# asks: At d = 16 and 512 tokens, how many times the operations of the recurrent form does the parallel one take?
# value: operations("parallel", 512) / operations("recurrent", 512)
# wrong:
# - value: 512 / 16
#   says: All pairs are met twice, for the scores and for the sums.
# - value: 16 / 512
#   says: Upside down, and all pairs are met twice, for the scores and for the sums.
# - value: 2 * 512**2 * 16 / (3 * 512 * 16**2)
#   says: Writes of the states are elementwise, and only matrix products are counted. Reads are what is left.
# - value: 16 / 2
#   says: That is the length at which the two cross.
# - value: 512
#   says: That is pairs over states. How many operations does either cost?
# minutes: 8
# level: 1
# ```
#
# ```{answer} ex-fewest-operations-time
# asks: At d = 100 in the file of this page, which is faster, the recurrence or chunks, and which has fewer counted operations?
# choices:
# - text: the recurrence is faster and has fewer
#   says: Look up the ratio of the times. Few operations are no help if each is a call of its own.
# - text: chunks are faster and have fewer
#   says: Count once more, for long prompts. Within a chunk all pairs of tokens meet.
# - text: the recurrence is faster, chunks have fewer
#   says: Both are the other way round. Where does most of the time of many small operations go?
# - text: chunks are faster, the recurrence has fewer
# minutes: 4
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# All pairs of $T$ tokens against $T$ states: which grows like $T^2 d$, and which like $T d^2$?
# ```
#
# ````{solution} ex-fewest-operations
# :class: dropdown
#
# All pairs cost $4 T^2 d$, the reads of the states $2 T d^2$: they cross at $T = d/2$, so for long prompts the recurrence has the fewest counted operations. Yet in the file of this page chunks,
# which lie between the two in operations, take less time than the recurrence at $d = 10$ and at $d = 100$. Operations inside one large product are cheap, and starting many small ones is not.
#
# ```python
# from torch.utils.flop_counter import FlopCounterMode
#
#
# def operations(form, T, d=16):
#     q, k, v = torch.ones(3, 1, T, d)
#     with FlopCounterMode(display=False) as counter:
#         gla(q, k, v, torch.full((1, T), 0.9), form=form)
#     return counter.get_total_flops()
#
#
# for T in (8, 32, 128, 512):
#     assert operations("recurrent", T) == 2 * T * 16**2
#     assert operations("parallel", T) == 4 * T**2 * 16
# assert operations("parallel", 8) == operations("recurrent", 8)
# assert (
#     operations("recurrent", 512)
#     < operations("chunked", 512)
#     < operations("parallel", 512)
# )
# for size in (10, 100):
#     in_time = pick(
#         stored["forward_backward"],
#         form="chunked",
#         gate="scalar",
#         d=size,
#         against="loop",
#     )
#     assert in_time["ratio_min"] > 1
# ```
# ````

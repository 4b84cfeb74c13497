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
#   settles: fast forms of the recurrence, which agree with it to rounding
# ---

# %% [markdown]
# # Equal forms of one recurrence
#
# How can a recurrence that runs token by token be computed all at once, and does it come out the same?
#
# The layer of {prf:ref}`def-gla` forgets, writes and reads, one token after another. That is easy to understand and slow on a machine
# that likes large products. But all that the recurrence does to a write is to multiply it by gates. So for a scalar gate what a reader hears of each write can be said
# without it, in one number. The matrix of these numbers is the picture to keep.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-memory", "caption": "Linear attention hears all tokens alike, a constant gate fades them, and a gate that nearly closes once forgets. Each row is a reader at $t$, and shows its weight $\\omega_{ti}$ for the write at each $i$. Hatched, what is still to come."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import gla, gla_readout, plotting

plotting.use_style()
T = 24
once = np.ones(T)
once[11] = 0.1
named = {
    "linear attention": np.ones(T),
    "constant gate": np.full(T, 0.9),
    "one small gate": once,
}


def memory(g):
    ones = torch.ones(len(g), 1, dtype=torch.float64)
    return gla(
        ones, ones, torch.eye(len(g), dtype=torch.float64), torch.from_numpy(g)
    )


def heard(g):
    """The products of gates; no value where the token is still to come."""
    D = np.full((len(g), len(g)), np.nan)
    for t in range(len(g)):
        for i in range(t + 1):
            D[t, i] = g[i + 1 : t + 1].prod()
    return D


for g in named.values():
    # Products of at most T factors: rounding only.
    assert np.allclose(np.nan_to_num(heard(g)), memory(g), rtol=1e-13, atol=0)

fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.7), sharey=True)
for ax, (name, g) in zip(axes, named.items()):
    image = ax.imshow(
        heard(g),
        cmap=plotting.SEQUENTIAL,
        vmin=0,
        vmax=1,
        extent=(0.5, T + 0.5, T + 0.5, 0.5),
    )
    ax.set_title(name, fontsize=12)
    ax.set(xlabel="written at $i$", xticks=[1, 12, 24], yticks=[1, 12, 24])
    ax.grid(False)
    ax.patch.set(hatch="///", edgecolor="0.8")  # still to come
axes[0].set_ylabel("heard at $t$")
_ = fig.colorbar(image, ax=axes, label=r"$\omega_{ti}$", shrink=0.75)

# %% tags=["remove-input"]
t, i = np.tril_indices(T)
plotting.FigureData(
    "memory",
    {"t": t + 1, "i": i + 1}
    | {name.replace(" ", "_"): heard(g)[t, i] for name, g in named.items()},
    T=T,
    gates="all 1; all 0.9; 1 but for g_12 = 0.1",
)


# %% [markdown]
# ## What a reader hears
#
# ```{symbols}
# q k v G o omega Omega
# ```
#
# ```{prf:proposition} Unrolled form
# :label: prop-unrolled
#
# **Every later gate multiplies a write, and nothing else happens to it.**
#
# *As derived here.* For all gates with entries in $[0, 1]$, zero included,
#
# $$
# \begin{gathered}
# o_t = \sum_{i \le t} \Bigl( \Omega_{ti} \odot v_i k_i^\top \Bigr) q_t, \qquad \Omega_{tt} = \ones\ones^\top, \\
# \Omega_{ti} = G_{i+1} \odot G_{i+2} \odot \dots \odot G_t .
# \end{gathered}
# $$
#
# For a scalar gate, with $\omega_{ti} = g_{i+1} \cdots g_t$ for $i \le t$ and $0$ for $i > t$, this is
# $o_t = \sum_i \omega_{ti}\, (k_i^\top q_t)\, v_i$: a masked matrix product, the **parallel** form. Its last row alone is the
# **read-out**, at a cost that grows with the number of tokens $T$ and not with $T^2$. Cut into chunks, with the state carried from one to
# the next, it is the **chunked** form.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-unrolled)=
# ```{prf:proof}
# By induction on $t$. For $t = 1$ the state is $S_1 = v_1 k_1^\top$, as $S_0 = 0$. If
# $S_{t-1} = \sum_{i < t} \Omega_{t-1,i} \odot v_i k_i^\top$, then
# $S_t = G_t \odot S_{t-1} + v_t k_t^\top = \sum_{i<t} (G_t \odot \Omega_{t-1,i}) \odot v_i k_i^\top + v_t k_t^\top$, and
# $G_t \odot \Omega_{t-1,i} = \Omega_{ti}$. Multiply by $q_t$ on the right. Nothing was divided and no logarithm was taken, so gates
# that are exactly zero are covered. For a scalar gate
# $(\Omega_{ti} \odot v_i k_i^\top) q_t = \omega_{ti}\, (k_i^\top q_t)\, v_i$. For
# the chunks, start the induction from the state at the end of the chunk before.
# ```
# ````
#
# Here are the forms for one prompt and a scalar gate.


# %%
def weights(g):
    """omega_ti = g_{i+1} ... g_t, and zero for i > t."""
    omega = torch.eye(len(g), dtype=g.dtype)
    for t in range(1, len(g)):
        omega[t, :t] = g[t] * omega[t - 1, :t]
    return omega


def parallel(q, k, v, g):
    return (weights(g) * (q @ k.T)) @ v


def readout(q, k, v, g):
    after = torch.cat([g[1:], g.new_ones(1)])
    omega = after.flip(0).cumprod(0).flip(0)  # the last row of the weights
    return (omega * (k @ q[-1])) @ v


# %%
def chunked(q, k, v, g, length):
    S, outputs = torch.zeros(v.shape[-1], k.shape[-1], dtype=v.dtype), []
    for chunk in zip(*(x.split(length) for x in (q, k, v, g))):
        q_c, k_c, v_c, g_c = chunk
        # What each token still hears of the state before the chunk.
        kept = g_c.cumprod(0)[:, None]
        outputs.append(parallel(*chunk) + kept * (q_c @ S.T))
        # What is left of each write at the end of the chunk.
        left = weights(g_c)[-1][:, None]
        S = kept[-1] * S + (left * v_c).T @ k_c
    return torch.cat(outputs)


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-four-ways", "caption": "One matrix of weights, computed in four orders. The stronger the colour of a cell, the later its turn. The recurrence goes row by row; the parallel form takes all at once; the chunked form takes a chunk at a time, and what lies before the chunk comes through the state (hatched); the read-out takes the last row alone."}}
size, length = 12, 4
t, i = np.tril_indices(size)
turns = {
    "recurrent": (t + 1) / size,
    "parallel": np.full(len(t), 0.6),
    "chunked": (t // length + 1) * length / size,
    "read-out": np.where(t == size - 1, 0.6, 0.0),
}

fig, axes = plt.subplots(1, 4, figsize=(6.4, 2.2), sharey=True)
for ax, (name, turn) in zip(axes, turns.items()):
    for row, column, shade in zip(t, i, turn):
        carried = name == "chunked" and row // length > column // length
        cell = plt.Rectangle(
            (column + 0.5, row + 0.5),
            1,
            1,
            facecolor=plotting.SEQUENTIAL(0.75 * shade),
            edgecolor="0.7",
            linewidth=0.5,
            hatch="////" if carried else None,
        )
        ax.add_patch(cell)
    ax.set_title(name, fontsize=12)
    ax.set(xlim=(0.5, size + 0.5), ylim=(size + 0.5, 0.5), aspect="equal")
    ax.set(xticks=[1, size], yticks=[1, size], xlabel="$i$")
    ax.grid(False)
_ = axes[0].set_ylabel("$t$")

# %% tags=["remove-input"]
plotting.FigureData(
    "four_ways",
    {"t": t + 1, "i": i + 1}
    | {name.replace("-", "_"): turn for name, turn in turns.items()},
    chunk=length,
    seed="none",
)


# %% [markdown]
# ## They agree, in value and in gradient
#
# Four kinds of gates are worth a test: mild ones, gates near one (long memory), some tiny ones, and some exact zeros. We take each of them with
# scalar, key and value gates. Every form of the package must give the outputs and the gradients of the loop over tokens, and the read-out
# those of its last row.


# %%
def gates_of_kind(kind, shape, generator):
    u = torch.rand(shape, generator=generator, dtype=torch.float64)
    return {
        "mild": 0.3 + 0.7 * u,
        "near one": 1 - 1e-4 * u,
        "tiny": torch.where(u < 0.3, 1e-6, u),
        "exact zeros": torch.where(u < 0.3, 0.0, u),
    }[kind]


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


KINDS = ("mild", "near one", "tiny", "exact zeros")
generator = torch.Generator().manual_seed(0)
T, d_k, d_v = 37, 5, 3
q, k = torch.randn(2, T, d_k, generator=generator, dtype=torch.float64)
v = torch.randn(T, d_v, generator=generator, dtype=torch.float64)


# %% tags=["check", "asserts-def-gla", "asserts-prop-unrolled"]
def recurrence(q, k, v, G):
    """Outputs (T, d_v) for gates G of shape (T, d_v, d_k), as the definition has them."""
    S, outputs = torch.zeros(v.shape[-1], k.shape[-1], dtype=v.dtype), []
    for i in range(len(q)):
        S = G[i] * S + torch.outer(v[i], k[i])
        outputs.append(S @ q[i])
    return torch.stack(outputs)


def unrolled(q, k, v, G):
    """The sum of the proposition, for any gates G (T, d_v, d_k), of any rank."""
    outputs = []
    for t in range(len(q)):
        Omega = [G[i + 1 : t + 1].prod(0) for i in range(t + 1)]
        terms = [Omega[i] * torch.outer(v[i], k[i]) @ q[t] for i in range(t + 1)]
        outputs.append(sum(terms))
    return torch.stack(outputs)


# In float64: sums of some hundred products that may cancel lose a few of the sixteen digits.
worst = 0.0
for kind in KINDS:
    G = gates_of_kind(kind, (T, d_v, d_k), generator)
    worst = max(worst, relative(unrolled(q, k, v, G), recurrence(q, k, v, G)))
    g = gates_of_kind(kind, (T,), generator)
    whole = recurrence(q, k, v, g[:, None, None].expand(T, d_v, d_k))
    worst = max(worst, relative(parallel(q, k, v, g), whole))
    worst = max(worst, relative(readout(q, k, v, g), whole[-1]))
    for length in (1, 2, 5, 8, T):
        worst = max(worst, relative(chunked(q, k, v, g, length), whole))
assert worst < 1e-10
print(
    f"{len(KINDS)} kinds of gates, full matrices too, chunks of 1 to {T} tokens: "
    f"all forms above agree to {worst:.0e}"
)


# %% tags=["check", "asserts-def-gla", "asserts-prop-unrolled"]
def full(g, gate, d_v, d_k):
    """Gates as the definition has them: (T, d_v, d_k)."""
    g = {
        "scalar": lambda: g[:, None, None],
        "key": lambda: g[:, None, :],
        "value": lambda: g[:, :, None],
    }[gate]()
    return g.expand(-1, d_v, d_k)


def outputs_and_gradients(compute, *inputs):
    inputs = [value.clone().requires_grad_() for value in inputs]
    output = compute(*inputs)
    probe = torch.sin(torch.arange(output.numel(), dtype=torch.float64))
    return output.detach(), torch.autograd.grad(output.flatten() @ probe, inputs)


worst_output, worst_gradient, compared = 0.0, 0.0, 0


def compare(form, loop, *inputs):
    global worst_output, worst_gradient, compared
    output, found = outputs_and_gradients(form, *inputs)
    expected, gradients = outputs_and_gradients(loop, *inputs)
    worst_output = max(worst_output, relative(output, expected))
    worst_gradient = max(worst_gradient, *map(relative, found, gradients))
    compared += 1


for gate, shape in {"scalar": (T,), "key": (T, d_k), "value": (T, d_v)}.items():
    for kind in KINDS:
        g = gates_of_kind(kind, shape, generator)

        def loop(q, k, v, g):
            return recurrence(q, k, v, full(g, gate, d_v, d_k))

        def last_row(q, k, v, g):
            return loop(q, k, v, g)[-1]

        for form in ("recurrent", "parallel", "chunked"):
            compare(lambda *a: gla(*a, gate=gate, form=form), loop, q, k, v, g)
        compare(
            lambda q, *a: gla_readout(q[-1], *a, gate=gate), last_row, q, k, v, g
        )

# Relative to the largest entry; gradients lose a few digits more than outputs.
assert worst_output < 1e-10
assert worst_gradient < 1e-8
print(
    f"{compared} comparisons of the package with the loop: outputs agree to "
    f"{worst_output:.0e}, gradients to {worst_gradient:.0e}"
)

# %% [markdown]
# **Step by step.** The state is all that is kept of the past. So a sequence may be cut anywhere: run the first part, keep its last
# state, and go on from there. To cut after every token is called decoding; each new token costs the same.

# %%
g, S, outputs = gates_of_kind("exact zeros", (T,), generator), None, []
for t in range(T):
    now = [x[t : t + 1] for x in (q, k, v, g)]
    o, S = gla(*now, initial_state=S, output_final_state=True)
    outputs.append(o)
whole, last = gla(q, k, v, g, form="chunked", output_final_state=True)
assert relative(torch.cat(outputs), whole) < 1e-12 and relative(S, last) < 1e-12


# %% [markdown]
# How other libraries write the same recurrence, and how to carry their tensors over, is told in {doc}`from_fla`. What the forms cost in time
# and memory is measured in {doc}`speed`.
#
# ## Break it
#
# **Logarithms.** A common way to the matrix of weights is $\omega_{ti} = \exp(L_t - L_i)$ with
# $L_t = \log g_1 + \dots + \log g_t$. It is fine for gates away from zero. At an exact zero it computes
# $(-\infty) - (-\infty)$.


# %%
def parallel_by_logs(q, k, v, g):
    L = torch.log(g).cumsum(0)
    omega = torch.exp(L[:, None] - L[None, :]).tril()
    return (omega * (q @ k.T)) @ v


mild = gates_of_kind("mild", (T,), generator)
assert relative(parallel_by_logs(q, k, v, mild), gla(q, k, v, mild)) < 1e-10

closed = mild.clone()
closed[5] = 0.0
assert parallel_by_logs(q, k, v, closed).isnan().any()
assert gla(q, k, v, closed, form="parallel").isfinite().all()

# %% [markdown]
# **A gate on the own write.** If the gate acted on the token's own write as well, every weight would carry one factor more, and no form
# above would agree with it:

# %%
own_write_gated = gla(q, k, v * mild[:, None], mild)
assert relative(own_write_gated, gla(q, k, v, mild)) > 0.01

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: a gate of zero
# :label: ex-forget-everything
#
# Let one gate be exactly zero, at token $j$. Which outputs depend on the tokens before $j$? Say it from the $\omega_{ti}$,
# then check it with a gradient.
# ```
#
# ```{answer} ex-forget-everything
# asks: The gate of token j is zero. Which outputs depend on the tokens before j?
# choices:
# - text: those before j
# - text: those up to j, with j's own
#   says: The gate of a token acts before the token is read out. Is the factor of j among those of its own output?
# - text: those from j on
#   says: Their weights of earlier tokens all have the factor of j.
# - text: none
#   says: A gate acts from its own token on. What of the outputs before?
# minutes: 3
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Which of the products $g_{i+1} \cdots g_t$ have the factor $g_j$?
# ```
#
# ````{solution} ex-forget-everything
# :class: dropdown
#
# Every $\omega_{ti}$ with $i < j \le t$ has the factor $g_j = 0$. So outputs at $t \ge j$ do not depend on tokens before $j$:
# the layer has started afresh. In code, with `closed` from above (its gate at position 5 is zero),
#
# ```python
# v_ = v.clone().requires_grad_()
# gla(q, k, v_, closed)[5:].sum().backward()
# assert (v_.grad[:5] == 0).all() and (v_.grad[5:] != 0).any()
# ```
# ````
#
# ```{exercise} Compute: two prompts in one sequence
# :label: ex-packed
#
# Sequences of different lengths are often packed into one, so that no padding is wasted. Pack one of 12 tokens and one of 25 such that
# neither hears the other, in every form, without telling `gla` where the second begins.
# ```
#
# ```{answer} ex-packed
# asks: The first sequence has 12 tokens, the second 25. Counting tokens from zero, whose gate is to be zero?
# value: len(parts[0][0])
# within: 0.1
# wrong:
# - value: 11
#   says: That is the last token of the first sequence, which would forget the tokens of its own.
# - value: 13
#   says: That is the second token of the second sequence. Its first would hear the other sequence, and its second forget its first.
# - value: 0
#   says: That gate acts on an empty state, and changes nothing.
# - value: 36
#   says: That is the last token of all. The second sequence begins earlier.
# minutes: 4
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The exercise before. And what does the first gate of a sequence act on?
# ```
#
# ````{solution} ex-packed
# :class: dropdown
#
# Set the gate of the second sequence's first token to zero. Run alone, that gate acts on an empty state, so nothing else changes.
#
# ```python
# parts = [[x[:12] for x in (q, k, v, mild)], [x[12:] for x in (q, k, v, mild)]]
# apart = torch.cat([gla(*part) for part in parts])
# packed = mild.clone()
# packed[12] = 0.0
# for form in ("recurrent", "parallel", "chunked"):
#     assert relative(gla(q, k, v, packed, form=form), apart) < 1e-12
# assert relative(gla(q, k, v, mild), apart) > 0.01
# ```
# ````
#
# ```{exercise} Explore: what logarithms cost
# :label: ex-logs-cost
#
# No gate is zero now, but computation is in single precision, as is usual on a GPU. How does the error of `parallel_by_logs` grow with the length
# of the sequence? And that of the products?
# ```
#
# ```{answer} ex-logs-cost
# asks: What becomes of the two errors as the sequence gets longer?
# choices:
# - text: that of the logarithms grows, that of the products does not
# - text: both grow
#   says: A product of gates is good to a few roundings of each factor, and mild gates soon make it small. Does the sum of all logarithms appear in it?
# - text: neither grows
#   says: The sum of the logarithms grows with the length, and is rounded in proportion to its size. What is left of a small difference of two such sums?
# - text: that of the products grows, that of the logarithms does not
#   says: The other way round. Which of the two holds a number that grows with the length?
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Rounding makes an error in $L_t$ that is proportional to $L_t$ itself. What does it do to $\exp(L_t - L_i)$? Take the outputs in double
# precision for the truth.
# ```
#
# ````{solution} ex-logs-cost
# :class: dropdown
#
# With mild gates $L_t$ grows in proportion to $t$, and so does the relative error of the weights: the digits of a large number are spent
# on its size, and its difference with a neighbour keeps what is left. Products never see $L_t$, and their error does not grow. Fast
# implementations that use logarithms therefore start them afresh in every chunk.
#
# ```python
# def errors(T):
#     inputs = [
#         torch.randn(T, 4, generator=generator, dtype=torch.float64)
#         for _ in range(3)
#     ]
#     inputs.append(gates_of_kind("mild", (T,), generator))
#     truth, single = gla(*inputs), [x.float() for x in inputs]
#     return [relative(f(*single).double(), truth) for f in (parallel_by_logs, gla)]
#
#
# (logs_short, products_short), (logs_long, products_long) = errors(32), errors(2048)
# assert logs_long > 10 * logs_short
# assert products_long < 1e-6
# ```
# ````

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
#   settles: the recurrence, and fast forms that agree with it to rounding
# ---

# %% [markdown]
# # The recurrence and its equal forms
#
# **Where we are.** The model is a recurrence: a matrix remembers, a gate forgets, a query reads. All outputs can be
# computed in three ways, and the last output alone in a fourth. One is easy to read, the others are fast, and this page
# shows that they agree: in value, and in gradient too.
#
# ```{symbols}
# q k v G o
# ```
#
# ## The recurrence
#
# ```{prf:definition} Gated linear attention
# :label: def-gla
#
# *The paper's model, as this book reads it.* A token $z_i$ gives a query, a key and a value,
# $q_i = W_q^\top z_i$, $k_i = W_k^\top z_i$, $v_i = W_v^\top z_i$, and a gate $G_i$ with entries in $[0, 1]$. With $S_0 = 0$ and
# $\odot$ the elementwise product,
#
# $$
# S_i = G_i \odot S_{i-1} + v_i k_i^\top, \qquad o_i = S_i q_i .
# $$
#
# $G_i = \ones\ones^\top$ is linear attention. A **scalar gate** is $G_i = g_i \ones\ones^\top$; a **vector gate** on the
# key side is $G_i = \ones a_i^\top$, and on the value side $G_i = a_i \ones^\top$.
# ```
#
# In words: forget a little, then write, then read. In code, for one prompt and any gate:

# %%
import torch
from glalib import gla, gla_readout, plotting

plotting.use_style()


def recurrence(q, k, v, G):
    """Outputs (T, d_v) for gates G of shape (T, d_v, d_k)."""
    S, outputs = torch.zeros(v.shape[-1], k.shape[-1], dtype=v.dtype), []
    for i in range(len(q)):
        S = G[i] * S + torch.outer(v[i], k[i])
        outputs.append(S @ q[i])
    return torch.stack(outputs)


# %% [markdown]
# ## What is left of a write
#
# Token $i$ writes $v_i k_i^\top$. Every later gate multiplies it, the reader's own gate included; the gate of token $i$
# itself comes before its write, and does not touch it. This is the whole mechanism of the book.
#
# ```{prf:proposition} Unrolled form
# :label: prop-unrolled
#
# *As derived here.* For all gates with entries in $[0, 1]$, zero included,
#
# $$
# o_t = \sum_{i \le t} \Bigl( D_{ti} \odot v_i k_i^\top \Bigr) q_t, \qquad
# D_{ti} = G_{i+1} \odot G_{i+2} \odot \dots \odot G_t, \qquad D_{tt} = \ones\ones^\top .
# $$
#
# For a scalar gate, with $d_{ti} = g_{i+1} \cdots g_t$ for $i \le t$ and $0$ for $i > t$, this is
# $o_t = \sum_i d_{ti}\, (k_i^\top q_t)\, v_i$: a masked matrix product, the **parallel** form. Its last row alone is the
# **read-out**, at a cost that grows with $T$ and not with $T^2$. Cut into chunks, with the state carried from one to the
# next, it is the **chunked** form.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-unrolled)=
# ```{prf:proof}
# By induction on $t$. For $t = 1$ the state is $S_1 = v_1 k_1^\top$, as $S_0 = 0$. If
# $S_{t-1} = \sum_{i < t} D_{t-1,i} \odot v_i k_i^\top$, then
# $S_t = G_t \odot S_{t-1} + v_t k_t^\top = \sum_{i<t} (G_t \odot D_{t-1,i}) \odot v_i k_i^\top + v_t k_t^\top$, and
# $G_t \odot D_{t-1,i} = D_{ti}$. Multiply by $q_t$ on the right. Nothing was divided and no logarithm was taken, so gates
# that are exactly zero are covered. For a scalar gate
# $(D_{ti} \odot v_i k_i^\top) q_t = d_{ti}\, (k_i^\top q_t)\, v_i$. For
# the chunks, start the induction from the state at the end of the chunk before.
# ```
# ````
#
# The picture to keep is the matrix of the $d_{ti}$: row $t$ says what the reader at $t$ still hears of each earlier token.
# The recurrence draws it by itself, if every token writes its own basis vector and all keys and queries are $1$.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-memory", "caption": "What is left at time $t$ of the write at time $i$. Linear attention hears all tokens alike. A constant gate fades them. A gate that nearly closes once forgets: what came before is heard at a tenth, by everyone after."}}
import matplotlib.pyplot as plt
import numpy as np

T = 24
once = np.ones(T)
once[11] = 0.1
gates = {
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
    """The d_ti as the proposition has them; no value where the token is still to come."""
    D = np.full((len(g), len(g)), np.nan)
    for t in range(len(g)):
        for i in range(t + 1):
            D[t, i] = g[i + 1 : t + 1].prod()
    return D


for g in gates.values():
    # Products of at most T factors: rounding only.
    assert np.allclose(np.nan_to_num(heard(g)), memory(g), rtol=1e-13, atol=0)

fig, axes = plt.subplots(1, 3, figsize=(8, 3), sharey=True)
for ax, (name, g) in zip(axes, gates.items()):
    image = ax.imshow(
        heard(g),
        cmap=plotting.SEQUENTIAL,
        vmin=0,
        vmax=1,
        extent=(0.5, T + 0.5, T + 0.5, 0.5),
    )
    ax.set(title=name, xlabel="written at $i$")
    ax.grid(False)
    ax.patch.set(hatch="///", edgecolor="0.8")  # still to come
axes[0].set_ylabel("heard at $t$")
_ = fig.colorbar(image, ax=axes, label="$d_{ti}$", shrink=0.8)

# %% tags=["remove-input"]
t, i = np.tril_indices(T)
plotting.FigureData(
    "memory",
    {"t": t + 1, "i": i + 1}
    | {name.replace(" ", "_"): heard(g)[t, i] for name, g in gates.items()},
    T=T,
    gates="all 1; all 0.9; 1 but for g_12 = 0.1",
)


# %% [markdown]
# ## The forms agree
#
# Four kinds of gates are worth a test: mild ones, gates near one (long memory), tiny ones, and exact zeros. For each, and
# for scalar, key and value gates, every form must give the outputs and the gradients of the loop above, and the read-out
# those of its last row. In float64 the tolerances are $10^{-10}$ for outputs and $10^{-8}$ for gradients, relative to the
# largest entry: sums of some hundred products that may cancel lose a few digits of the sixteen, and gradients a few more.


# %%
def gates_of_kind(kind, shape, generator):
    u = torch.rand(shape, generator=generator, dtype=torch.float64)
    if kind == "mild":
        return 0.3 + 0.7 * u
    if kind == "near one":
        return 1 - 1e-4 * u
    if kind == "tiny":
        return torch.where(u < 0.3, 1e-6, u)
    return torch.where(u < 0.3, 0.0, u)  # exact zeros


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


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


# %% tags=["asserts-def-gla", "asserts-prop-unrolled"]
def unrolled(q, k, v, G):
    """The sum of the proposition, for any gates G (T, d_v, d_k), of any rank."""
    outputs = []
    for t in range(len(q)):
        D = [G[i + 1 : t + 1].prod(0) for i in range(t + 1)]
        terms = [D[i] * torch.outer(v[i], k[i]) @ q[t] for i in range(t + 1)]
        outputs.append(sum(terms))
    return torch.stack(outputs)


generator = torch.Generator().manual_seed(0)
T, d_k, d_v = 37, 5, 3
q, k = torch.randn(2, T, d_k, generator=generator, dtype=torch.float64)
v = torch.randn(T, d_v, generator=generator, dtype=torch.float64)
for kind in ("mild", "near one", "tiny", "exact zeros"):
    G = gates_of_kind(kind, (T, d_v, d_k), generator)
    assert relative(unrolled(q, k, v, G), recurrence(q, k, v, G)) < 1e-10
worst_output, worst_gradient = 0.0, 0.0


def compare(form, loop, *inputs):
    global worst_output, worst_gradient
    output, found = outputs_and_gradients(form, *inputs)
    expected, gradients = outputs_and_gradients(loop, *inputs)
    worst_output = max(worst_output, relative(output, expected))
    worst_gradient = max(worst_gradient, *map(relative, found, gradients))


for gate, shape in {"scalar": (T,), "key": (T, d_k), "value": (T, d_v)}.items():
    for kind in ("mild", "near one", "tiny", "exact zeros"):
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

assert worst_output < 1e-10
assert worst_gradient < 1e-8

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

glue("worst_output", worst_output, display=False)
glue("worst_gradient", worst_gradient, display=False)

# %% [markdown]
# The largest difference met was {glue:text}`worst_output:.1e` in outputs and {glue:text}`worst_gradient:.1e` in
# gradients.
#
# ## Step by step
#
# The state is all that is kept of the past. So a sequence may be cut anywhere: run the first part, keep its last state,
# and go on from there. Cut after every token, that is decoding, at the same cost for each new token.

# %%
g, S, outputs = gates_of_kind("exact zeros", (T,), generator), None, []
for t in range(T):
    now = [x[t : t + 1] for x in (q, k, v, g)]
    o, S = gla(*now, initial_state=S, output_final_state=True)
    outputs.append(o)
whole, last = gla(q, k, v, g, form="chunked", output_final_state=True)
assert relative(torch.cat(outputs), whole) < 1e-12 and relative(S, last) < 1e-12

# %% [markdown]
# ## Coming from other layers
#
# The same recurrence stands in other places, in other conventions: in the package
# [flash-linear-attention](https://github.com/fla-org/flash-linear-attention) (`fla`), in Mamba-2
# {cite}`dao2024transformers` and in RetNet {cite}`sun2023retentive`.
#
# | | `fla`, `chunk_gla` | Mamba-2 | RetNet | `gla` |
# |---|---|---|---|---|
# | decay | log gates, $\log a_t$, per key channel | $e^{\Delta_t A}$, with $A < 0$ for each head | $\gamma = 1 - 2^{-5-h}$ in head $h$ | `gates` in $[0, 1]$: `log_g.exp()` with `gate="key"`; one number per token with `gate="scalar"` |
# | scale | queries times $d_k^{-1/2}$ | inputs times $\Delta_t$ | keys times $d_k^{-1/2}$ | none: multiply q, k or v |
# | names | $q, k, v$ | $C, B, \Delta x$ | $Q, K$, rotated, and $V$ | `q`, `k`, `v` |
# | tokens | (batch, T, heads, d) | (batch, T, heads, d) | (batch, heads, T, d) | (..., T, d): heads are one of the leading axes |
# | heads | each its own | of one group, share $B$ and $C$ | each its own | leading axes of length one broadcast |
# | state | key $\times$ value | value $\times$ key | key $\times$ value | value $\times$ key |
# | packed sequences | `cu_seqlens` | `seq_idx` | | a gate of zero at the first token of each; the final state is that of the last |
#
# What stands around the recurrence, as a skip $D x_t$, a normalisation or an output gate, stays outside. The cell writes
# the three recurrences out in their own conventions, as loops over tokens, and holds `gla` to all three: decays, scales, layouts, shared heads, states, and
# for the first a packed sequence. RetNet's rotation of $Q$ and $K$ comes before it and is left out.

# %%
n, heads, d_k, cut = 9, 3, 4, 5  # a second sequence starts at token `cut`
Q, K, u = torch.randn(3, 2, n, heads, d_k, generator=generator, dtype=torch.float64)
V = torch.randn(2, n, heads, 5, generator=generator, dtype=torch.float64)
log_g, dt, h = -u.abs(), u[..., :1].exp(), torch.arange(heads)
gamma, decay = 1 - 0.5 ** (5 + h.double()), (dt[..., 0] * -(1.0 + h)).exp()
fla = mamba = retnet = 0
theirs = []
for t in range(n):
    Q_t, C_t, B_t = Q[:, t, :, None], Q[:, t, :1, :, None], K[:, t, :1, None, :]
    write = K[:, t, :, :, None] * V[:, t, :, None, :]  # key x value
    fla = log_g[:, t, :, :, None].exp() * (fla if t != cut else 0) + write
    mamba = decay[:, t, :, None, None] * mamba + (dt * V)[:, t, :, :, None] * B_t
    retnet = gamma[:, None, None] * retnet + d_k**-0.5 * write
    theirs.append((d_k**-0.5 * Q_t @ fla, (mamba @ C_t).mT, Q_t @ retnet))

a = log_g.exp().index_fill(1, torch.tensor(cut), 0.0)
Q, K, V, a, dt = (x.transpose(1, 2) for x in (Q, K, V, a, dt))
ours = (
    gla(d_k**-0.5 * Q, K, V, a, "key", output_final_state=True),
    gla(Q[:, :1], K[:, :1], dt * V, decay.mT, output_final_state=True),
    gla(Q, d_k**-0.5 * K, V, gamma[:, None].expand(-1, n), output_final_state=True),
)
for (o, S), o_t, S_t in zip(ours, zip(*theirs), (fla.mT, mamba, retnet.mT)):
    assert relative(o, torch.cat(o_t, 2)) < 1e-12 and relative(S, S_t) < 1e-12


# %% [markdown]
# ## Break it
#
# A common way to the matrix of the $d_{ti}$ takes logarithms: $d_{ti} = \exp(L_t - L_i)$ with
# $L_t = \log g_1 + \dots + \log g_t$. It is fine for gates away from zero. At an exact zero it computes
# $(-\infty) - (-\infty)$.


# %%
def parallel_by_logs(q, k, v, g):
    L = torch.log(g).cumsum(0)
    D = torch.exp(L[:, None] - L[None, :]).tril()
    return (D * (q @ k.T)) @ v


mild = gates_of_kind("mild", (T,), generator)
assert relative(parallel_by_logs(q, k, v, mild), gla(q, k, v, mild)) < 1e-10

closed = mild.clone()
closed[5] = 0.0
assert parallel_by_logs(q, k, v, closed).isnan().any()
assert gla(q, k, v, closed, form="parallel").isfinite().all()

# %% [markdown]
# The second way to break it is a matter of convention. If the gate acted on the token's own write as well, every weight
# would carry one factor more, and no form above would agree with it:

# %%
own_write_gated = gla(q, k, v * mild[:, None], mild)
assert relative(own_write_gated, gla(q, k, v, mild)) > 0.01

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-forget-everything
#
# Let one gate be exactly zero, at token $j$. Which outputs depend on the tokens before $j$? Say it from the $d_{ti}$,
# then check it with a gradient.
# ```
#
# ````{solution} ex-forget-everything
# :class: dropdown
#
# Every $d_{ti}$ with $i < j \le t$ has the factor $g_j = 0$. So outputs at $t \ge j$ do not depend on tokens before $j$:
# the layer has started afresh. In code, with `closed` from above (its gate at position 5 is zero),
#
# ```python
# v_ = v.clone().requires_grad_()
# gla(q, k, v_, closed)[5:].sum().backward()
# assert (v_.grad[:5] == 0).all() and (v_.grad[5:] != 0).any()
# ```
#
# A token with such a gate, put between two prompts, separates them in one sequence.
# ````

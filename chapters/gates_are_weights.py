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
#   settles: why gates are weights (Theorem 1)
# ---

# %% [markdown]
# # Gates are weights
#
# What does a layer do to the examples in its prompt when it forgets?
#
# A gate is a number between 0 and 1. At every token it multiplies the memory, and with it everything that was written before. So an
# early example has been multiplied by many gates when the query comes, and the last one by few. Watch it happen:

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-staircase", "caption": "Every gate lowers all the steps before it. On top, the gates of eight examples and of the query. Below, the weights of the examples before and after the gates that close. The newest example has weight 1 (hatched); dashed is the staircase before the token's gate."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import GLA, Layout, PromptDistribution, gla, plotting, wpgd_step
from glalib.gates import gates_to_weights, weights_to_gates

plotting.use_style()
gates = np.array([1, 1, 0.5, 1, 1, 0.4, 1, 1, 0.8])  # eight examples and the query
built, weight = [], np.zeros(8)
for t, g in enumerate(gates):
    weight = g * weight
    weight[t : t + 1] = 1  # the query writes nothing
    built.append(weight)
    weight = weight.copy()
assert np.allclose(built[-1], gates_to_weights(gates), rtol=1e-15)

fig = plt.figure(figsize=(6.4, 3.9))
grid = fig.add_gridspec(3, 3, height_ratios=(0.5, 1, 1))
strip = fig.add_subplot(grid[0, :])
closing = np.where(gates < 1, plotting.TASKS[1], "0.8")
strip.bar(range(1, 10), gates, width=0.9, color=closing)
for t, g in enumerate(gates):
    strip.text(t + 1, g / 2, f"{g:g}", ha="center", va="center")
strip.set(yticks=[], xlim=(0.5, 9.5), ylim=(0, 1.02), ylabel="gate")
strip.set_xticks(range(1, 10), [*range(1, 9), "query"])
strip.grid(False)
for panel, t in enumerate((1, 2, 4, 5, 7, 8)):
    ax = fig.add_subplot(grid[1 + panel // 3, panel % 3])
    edges = np.arange(t + 1) + 0.5  # of the steps built before
    ax.stairs(built[t][:t], edges, fill=True, color=plotting.TASKS[0], alpha=0.75)
    if t < 8:
        ax.bar(t + 1, 1, width=1, color=plotting.TASKS[0], alpha=0.75)
        ax.patches[-1].set(hatch="///", edgecolor="white", linewidth=0)
    if gates[t] < 1:
        ax.stairs(
            built[t - 1][:t], edges, color="0.4", linestyle="--", linewidth=1.4
        )
    ax.set_title(f"after token {t + 1}" if t < 8 else "at the query", fontsize=12)
    ax.set(xlim=(0.5, 8.5), ylim=(0, 1.08), xticks=[1, 4, 8], yticks=[0, 1])
    if panel < 3:
        ax.set_xticklabels([])
    if panel % 3:
        ax.set_yticklabels([])
    else:
        ax.set_ylabel("weights")

# %% tags=["remove-input"]
plotting.FigureData(
    "staircase",
    {"after_token": range(1, 10), "gate": gates}
    | {f"weight_{i + 1}": np.array(built)[:, i] for i in range(8)},
    figure=fig,
    tokens="eight examples and the query",
    seed="none",
)


# %% [markdown]
# The last staircase is all that the query finds. Its step at example $i$ is as high as the product of the gates after it. This page
# shows it for every kind of gate, and then what it makes of the layer: one step of gradient descent on a *weighted* loss.
#
# ## The layer
#
# ```{symbols}
# d n x y x_query beta_query Z q k v G o P_q P_k P omega Omega W f
# ```
#
# ```{prf:definition} Gated linear attention
# :label: def-gla
#
# **Forget a little, then write, then read.**
#
# *The paper's model, as this book reads it.* A token $z_i$ gives a query, a key and a value,
# $q_i = W_q^\top z_i$, $k_i = W_k^\top z_i$, $v_i = W_v^\top z_i$, and a gate $G_i$ with entries in $[0, 1]$. With $S_0 = 0$ and
# $\odot$ the elementwise product,
#
# $$
# S_i = G_i \odot S_{i-1} + v_i k_i^\top, \qquad o_i = S_i q_i .
# $$
#
# $G_i = \ones\ones^\top$ is linear attention. A **scalar gate** is a number $g_i$, and $G_i = g_i \ones\ones^\top$. A **vector gate** is a
# vector $g_i$: on the key side $G_i = \ones g_i^\top$, and on the value side $G_i = g_i \ones^\top$.
# ```
#
# In code, for one prompt and any gate:


# %%
def recurrence(q, k, v, G):
    """Outputs (T, d_v) for gates G of shape (T, d_v, d_k)."""
    S, outputs = torch.zeros(v.shape[-1], k.shape[-1], dtype=v.dtype), []
    for i in range(len(q)):
        S = G[i] * S + torch.outer(v[i], k[i])
        outputs.append(S @ q[i])
    return torch.stack(outputs)


# %% tags=["check", "asserts-def-gla"]
generator = torch.Generator().manual_seed(0)
q, k = torch.randn(2, 20, 5, generator=generator, dtype=torch.float64)
v = torch.randn(20, 3, generator=generator, dtype=torch.float64)
worst, tried = 0.0, 0
for gate, shape, axes in (
    ("scalar", (20,), (1, 2)),
    ("key", (20, 5), (1,)),
    ("value", (20, 3), (2,)),
):
    for closed in (0.0, 0.3):  # without and with gates of exactly zero
        for _ in range(10):
            g = torch.rand(shape, generator=generator, dtype=torch.float64)
            g[g < closed] = 0
            G = g
            for axis in axes:
                G = G.unsqueeze(axis)
            expected = recurrence(q, k, v, G.expand(20, 3, 5))
            for form in ("recurrent", "chunked"):
                found = gla(q, k, v, g, gate, form)
                error = (found - expected).abs().max() / expected.abs().max()
                # Sums of some twenty products, which may cancel.
                assert error < 1e-12
                worst = max(worst, error.item())
            tried += 1
print(
    f"{tried} gate sequences of three kinds: the package follows the loop to {worst:.0e}"
)


# %% [markdown]
# Token $i$ writes $v_i k_i^\top$. Every later gate multiplies it, the reader's own gate included. The gate of token $i$ itself comes
# before its write, and does not touch it. So the weight of the write at $i$, for a reader at
# $t$, is $\omega_{ti} = g_{i+1} \cdots g_t$. {doc}`equal_forms` draws these weights for every reader at once.
#
# ## One step of weighted gradient descent
#
# Forget the layer for a moment. Think of linear regression in which some examples count for more than others.
#
# ```{prf:definition} WPGD
# :label: def-wpgd
#
# **One step of gradient descent from zero, with a weight for each example.**
#
# *The paper's algorithm, as derived here.* One step of **weighted preconditioned gradient descent** starts at $\beta = 0$ and descends on
# $\tfrac12 \sum_i \omega_i (y_i - \beta^\top x_i)^2$ with preconditioner $P$. Its prediction at a query $x$ is
#
# $$
# f(x) = x^\top P X^\top (\omega \odot y).
# $$
#
# There is no $1/n$: the scale is part of $P$.
# ```
#
# The gradient of the loss at zero is $-X^\top(\omega \odot y)$, so that is the whole step.


# %% tags=["check", "asserts-def-wpgd"]
def relative_error(a, b):
    return ((a - b).norm() / b.norm()).item()


dist = PromptDistribution(d=4, counts=(12, 12), r=(0.2, 0.8))
prompts = dist.sample(
    batch=5, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
data = (prompts.x, prompts.y, prompts.x_query)
n, d, rng = dist.n, dist.d, np.random.default_rng(0)

P = torch.from_numpy(rng.normal(size=(d, d)))
omega = torch.from_numpy(rng.random(n))
prediction = wpgd_step(*data, P, omega)

beta = torch.zeros(5, d, 1, dtype=torch.float64, requires_grad=True)
loss = (omega * (prompts.y - (prompts.x @ beta)[..., 0]) ** 2).sum() / 2
(gradient,) = torch.autograd.grad(loss, beta)
step = (prompts.x_query @ (P @ -gradient))[..., 0]
assert torch.allclose(prediction, step, rtol=1e-12, atol=0)
worst = (prediction / step - 1).abs().max()
print(f"{len(step)} prompts: autograd takes the same step, off by {worst:.0g}")

# %% [markdown]
# ## The layer takes this step
#
# The layer can take it too. It needs three matrices that keep features and labels apart.
#
# ```{prf:definition} The construction
# :label: def-construction
#
# **Keys and queries see the features, values see the label.**
#
# *Eq. (9) of the paper, its form as derived here.* With block rows for the features and for the label,
#
# $$
# \begin{gathered}
# W_k = \begin{pmatrix} P_k & 0 \\ 0 & 0 \end{pmatrix}, \qquad
# W_q = \begin{pmatrix} P_q & 0 \\ 0 & 0 \end{pmatrix}, \\
# W_v = \begin{pmatrix} 0 & 0 \\ 0 & 1 \end{pmatrix},
# \end{gathered}
# $$
#
# and the prediction is the label coordinate of the query's output $o_{n+1}$. Here $P_q$ and $P_k$ are $d \times m$, where $m$ is
# the key width; columns of zeros, which change nothing, are left out in the package.
# ```
#
# ```{prf:theorem} GLA is WPGD
# :label: thm-gla-is-wpgd
#
# **The layer takes one step of weighted gradient descent, and the weight of an example is the product of the gates after it.**
#
# *Theorem 1 of the paper, as derived here.* Under {prf:ref}`def-construction`, with scalar gates and $P = P_q P_k^\top$,
#
# $$
# \begin{gathered}
# f(Z) = x^\top P X^\top (\omega \odot y), \\
# \omega_i = g_{i+1}\, g_{i+2} \cdots g_{n+1}:
# \end{gathered}
# $$
#
# one step of weighted preconditioned gradient descent. Its weights never decrease along the prompt and lie in $[0, 1]$.
#
# For any gates, let $g_i \in \R^m$ be the label row of $G_i$, restricted to the $m$ key coordinates, and let $\Omega$ have the rows
# $\Omega_i = g_{i+1} \odot g_{i+2} \odot \dots \odot g_{n+1}$ for $i \le n$. Then
#
# $$
# f(Z) = x^\top P_q \,(X P_k \odot \Omega)^\top y .
# $$
#
# For vector gates on the key side $f$ is a sum of $m$ such steps, one for each key channel $c$, with $P$ of rank one and weights
# $\Omega_{\cdot c}$.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-gla-is-wpgd)=
# ```{prf:proof}
# By {prf:ref}`prop-unrolled` the output at the query is $\sum_{i \le n+1} (\Omega_{n+1,i} \odot v_i k_i^\top) q_{n+1}$, with
# $\Omega_{n+1,i} = G_{i+1} \odot \dots \odot G_{n+1}$: every later gate has multiplied a write. By the construction $v_i = (0, y_i)$, so only
# the label row of the state is ever written; that row of $\Omega_{n+1,i}$ is $\Omega_i$ on the key coordinates. The query's own write
# vanishes, as its label is $0$. With $k_i = P_k^\top x_i$ and $q_{n+1} = P_q^\top x$ the label coordinate is
#
# $$
# \sum_{i=1}^n y_i\, (\Omega_i \odot P_k^\top x_i)^\top P_q^\top x = x^\top P_q\, (X P_k \odot \Omega)^\top y .
# $$
#
# If all coordinates of $\Omega_i$ are equal to $\omega_i$, then $X P_k \odot \Omega = \diag(\omega) X P_k$, which gives the
# form for scalar gates. In general the matrix product is a sum over its $m$ inner coordinates, which gives the last sentence. As
# $\omega_i = g_{i+1}\, \omega_{i+1}$ with $g_{i+1} \in [0, 1]$, the weights do not decrease in $i$. It does
# not matter where the gates come from: they may depend on the data, and then so do the weights.
# ```
# ````
#
# In code the scalar case is a line on either side. Here it is for random matrices, random gates and the prompts of the check above:

# %%
P_q, P_k = torch.from_numpy(rng.normal(size=(2, d, d)))
g = torch.from_numpy(rng.uniform(0.7, 1.0, size=n + 1))

Z = Layout()(prompts)
scalar = GLA.from_matrices(P_q, P_k, gates=g)
step = wpgd_step(*data, P_q @ P_k.T, gates_to_weights(g))
assert relative_error(scalar(Z), step) < 1e-12

# %% tags=["check", "asserts-thm-gla-is-wpgd", "asserts-def-construction"]
# Both sides are the same polynomial in the data, summed in another order. There are some
# hundred terms of both signs, so float64 may lose a few of its sixteen digits.
errors = {"scalar gate": relative_error(scalar(Z), step)}
omega = gates_to_weights(g)
assert (omega.diff() >= 0).all() and 0 <= omega.min() and omega.max() <= 1


def theorem_1(x, y, x_query, P_q, P_k, Omega):
    """x^T P_q (X P_k * Omega)^T y."""
    return (x_query @ P_q @ ((x @ P_k) * Omega).mT @ y[..., None])[..., 0]


a = torch.from_numpy(rng.uniform(0.7, 1.0, size=(n + 1, d)))
vector = GLA.from_matrices(P_q, P_k, gates=a, gate="key")
Omega = gates_to_weights(a, axis=-2)
errors["vector gate"] = relative_error(vector(Z), theorem_1(*data, P_q, P_k, Omega))
one_each = [  # one step for each channel, with P of rank one
    wpgd_step(*data, torch.outer(P_q[:, c], P_k[:, c]), Omega[:, c])
    for c in range(d)
]
errors["sum over channels"] = relative_error(sum(one_each), vector(Z))

m = d + 3  # a key width other than d
wide_q, wide_k = torch.from_numpy(rng.normal(size=(2, d, m)))
wide_gates = torch.from_numpy(rng.uniform(0.7, 1.0, size=(n + 1, m)))
wide = GLA.from_matrices(wide_q, wide_k, gates=wide_gates, gate="key")
wide_Omega = gates_to_weights(wide_gates, axis=-2)
errors["wide keys"] = relative_error(
    wide(Z), theorem_1(*data, wide_q, wide_k, wide_Omega)
)

c = torch.from_numpy(rng.uniform(0.7, 1.0, size=(n + 1, d + 1)))
c[:, d] = g  # on the value side only the label's gate is ever read
value = GLA(d + 1, gate="value", key_width=d, gates=c, dtype=torch.float64)
with torch.no_grad():
    value.load_state_dict(scalar.state_dict() | {"layers.0.given": c})
errors["value gate"] = relative_error(value(Z), scalar(Z))

g_with_zero = g.clone()
g_with_zero[9] = 0.0
errors["a gate of zero"] = relative_error(
    GLA.from_matrices(P_q, P_k, gates=g_with_zero)(Z),
    wpgd_step(*data, P_q @ P_k.T, gates_to_weights(g_with_zero)),
)

assert max(errors.values()) < 1e-12
print(
    f"{len(errors)} layers with scalar, key and value gates: "
    f"both sides of the theorem agree to {max(errors.values()):.0e}"
)

# %% [markdown]
# Both sides can be watched, a token at a time. In the figure the gates stand where you put them, and $P$ is the best one for a delimiter
# that forgets part of the first task.
#
# ````{live} steps
# :name: fig-steps
# :alt: A prompt of six examples read token by token by a gated layer: its gates, the weights of the examples so far, its memory, and at the end its prediction beside that of one weighted gradient step.
#
# Whatever the gates, the layer ends at one weighted gradient step. Go through the prompt token by token: each gate multiplies the memory, and with it the weight of every example before. At the query the layer reads $S q$, and $x^\top P X^\top (\omega \odot y)$ is the same number. Drag the gates; a gate of zero forgets all that came before. Features in two dimensions, three examples of each task, one delimiter.
# ````
#
# ```{note}
# Gates in this book are given, or set by where a token stands: weights here do not read the data. Where gates read the data, the page says so.
# ```
#
# ## A staircase for each channel
#
# A scalar gate gives every feature the same staircase. A vector gate gives each key channel its own. In the picture memory gets shorter
# from channel to channel, and channel 4 forgets almost everything halfway.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-weights", "caption": "No staircase of a gate goes down along the prompt. Left, the one of a scalar gate. Right, those of a vector gate on the key side, one in each row; the stronger the colour, the higher."}}
m = 6
scalar_gates = np.ones(n + 1)
scalar_gates[[6, 12, 18]] = 0.6
vector_gates = np.tile(np.linspace(1.0, 0.8, m), (n + 1, 1))
vector_gates[12, 3] = 0.05
weights = {
    "scalar gate": np.tile(gates_to_weights(scalar_gates)[:, None], m),
    "vector gate": gates_to_weights(vector_gates, axis=-2),
}
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.4))
left.stairs(
    weights["scalar gate"][:, 0],
    np.arange(n + 1) + 0.5,
    fill=True,
    color=plotting.TASKS[0],
    alpha=0.75,
)
left.set(xlabel="example $i$", ylabel=r"$\omega_i$", xlim=(0.5, n + 0.5))
left.set_title("scalar gate", fontsize=12)
image = right.imshow(
    weights["vector gate"].T,
    cmap=plotting.SEQUENTIAL,
    vmin=0,
    vmax=1,
    aspect="auto",
    extent=(0.5, n + 0.5, m + 0.5, 0.5),
)
right.set(xlabel="example $i$", ylabel="key channel", yticks=range(1, m + 1))
right.set_title("vector gate", fontsize=12)
right.grid(False)
_ = fig.colorbar(image, ax=right, label=r"$\Omega_{ic}$")

# %% tags=["remove-input"]
plotting.FigureData(
    "weights",
    {"i": np.arange(1, n + 1), "scalar": weights["scalar gate"][:, 0]}
    | {f"vector_channel_{c + 1}": weights["vector gate"][:, c] for c in range(m)},
    figure=fig,
    scalar_gates="1, but 0.6 at tokens 7, 13 and 19",
    vector_gates="channel c: constant 1 - 0.04 (c - 1), but 0.05 at token 13 in channel 4",
)

# %% [markdown]
# **From weights back to gates.** Read the theorem the other way: which gates give weights $0 \le \omega_1 \le \dots \le \omega_n \le 1$?
# Divide neighbours, $g_{i+1} = \omega_i / \omega_{i+1}$ and $g_{n+1} = \omega_n$. (Any $g_1$ will do, as it acts on an empty state, and so will any $g_{i+1}$ if
# $\omega_{i+1} = 0$; the package sets them to $1$.) To weigh two blocks by $(1/4, 1)$, one gate of $1/4$ is enough, at the first token of the second block:

# %%
wanted = Layout().weights(dist, (0.25, 1.0))
gates = weights_to_gates(wanted)
assert np.allclose(gates_to_weights(gates), wanted, rtol=1e-15, atol=0)
assert gates[12] == 0.25 and np.delete(gates, 12).tolist() == [1.0] * 24

# %% [markdown]
# ## Break it
#
# **Falling weights.** A scalar gate cannot give an early example more weight than a late one. Asked for such
# weights, the package refuses and says why.

# %% tags=["check"]
try:
    weights_to_gates(Layout().weights(dist, (1.0, 0.25)))
except ValueError as error:
    assert "a scalar gate reaches such weights only" in str(error)
else:
    raise AssertionError("a scalar gate reached decreasing weights")

many = torch.rand(1000, n + 1, generator=torch.Generator().manual_seed(1))
falling = (gates_to_weights(many).diff() < 0).any(-1).sum()
assert falling == 0
print(f"{len(many):,} random gate sequences: {falling} with a weight that falls")

# %% [markdown]
# **A label in the wrong place.** The zeros of the construction matter. Let the keys see a little of the label, and the layer is
# no longer linear in $y$, so it is no WPGD step with the weights of its gates. And if the last token carried a label, its own write would be in the state that it reads, with a
# weight of 1.

# %% tags=["check"]
leaky = GLA.from_matrices(P_q, P_k, gates=g)
with torch.no_grad():
    leaky.layers[0].W_k[d] = 0.1  # the label's row of W_k

flipped = Z.clone()
flipped[..., d] *= -1  # WPGD predictions change sign with the labels
assert torch.allclose(scalar(flipped), -scalar(Z), rtol=1e-12)
off = relative_error(leaky(flipped), -leaky(Z))
assert off > 0.01 and relative_error(leaky(Z), scalar(Z)) > 0.01
print(
    f"keys that see the label, labels flipped: the prediction misses its mirror image"
    f" by {off:.0%}"
)

# %% tags=["check"]
told = Z.clone()
told[:, -1, d] = 1.0
# x^T P x times its label, 1
own_write = (prompts.x_query @ P_q @ P_k.T @ prompts.x_query.mT)[..., 0]
# The difference of two predictions loses a few digits.
assert relative_error(scalar(told) - scalar(Z), own_write) < 1e-9
print(
    f"the query labelled 1 in {len(told)} prompts: the prediction moves by x^T P x,"
    " and by nothing else"
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: how many examples does a constant gate hear?
# :label: ex-constant-gate-hears
#
# All gates are $g < 1$ and the prompt is long. Call $(\sum_i \omega_i)^2 / \sum_i \omega_i^2$ the effective number of examples; it is $n$ if
# all weights are equal. What is it here, and what is it for $g = 0.9$?
# ```
#
# ```{answer} ex-constant-gate-hears
# asks: The effective number of examples of an endless prompt, as a function of g.
# value: "lambda g: (1 + g) / (1 - g)"
# at: [{g: 0.9}, {g: 0.5}, {g: 0.99}]
# wrong:
# - value: "lambda g: g / (1 - g)"
#   says: That is the sum of the weights. Square it, and divide by the sum of their squares.
# - value: "lambda g: 1 / (1 - g)"
#   says: That is the sum of the weights, if the last one is one. Divide its square by the sum of the squares.
# - value: "lambda g: 1 / (1 - g) ** 2"
#   says: That is the square of the sum. The sum of the squares is still to be divided by.
# - value: "lambda g: (1 - g) / (1 + g)"
#   says: Upside down. Can it be fewer than one example?
# - value: "lambda g: 1 / (1 - g**2)"
#   says: That is a sum of squares. It belongs below the square of the sum of the weights.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The weights are $g, g^2, g^3, \dots$ from the last example back. Both sums are geometric.
# ```
#
# ````{solution} ex-constant-gate-hears
# :class: dropdown
#
# The sums are $g/(1 - g)$ and $g^2/(1 - g^2)$, so the number is $(1 - g^2)/(1 - g)^2 = (1 + g)/(1 - g)$. For $g = 0.9$ that is 19,
# however long the prompt.
#
# ```python
# weight = gates_to_weights(np.full(1001, 0.9))
# assert np.isclose(weight.sum() ** 2 / (weight**2).sum(), 19)
# ```
# ````
#
# ```{exercise} Compute: weights that fall
# :label: ex-two-channels
#
# A scalar gate cannot give the weights $(1, 1/4)$ to the two blocks. Give the layer *two* value channels, both carrying
# the label, each with its own gate sequence, and let the read-out subtract one from the other. Which two gate sequences
# give $(1, 1/4)$?
# ```
#
# ```{answer} ex-two-channels
# asks: Channel one has gates of one throughout. Two gates of channel two are not one, that of the first example of the second block and the query's. Which are they?
# value: "[down[dist.counts[0]], down[-1]]"
# within: 0.005
# wrong:
# - value: "[0, 1/4]"
#   says: One less the weights of channel two must be what is wanted.
# - value: "[3/4, 0]"
#   says: A gate of zero at the query forgets everything. The first block is what channel two must forget.
# - value: "[1/4, 1]"
#   says: That gives channel two the weights 1/4 and 1, and takes from the first block what should be taken from the second.
# - value: "[0, 1]"
#   says: The first block keeps its weight. But one less one leaves nothing of the second.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Write $(1, 1/4)$ as a difference of two pairs, neither of which falls.
# ```
#
# ````{solution} ex-two-channels
# :class: dropdown
#
# Every sequence of weights is a difference of two that do not decrease: $(1, 1/4) = (1, 1) - (0, 3/4)$. So channel one
# has gates of one throughout, and channel two forgets everything when the second block starts (gate $0$) and is scaled by
# $3/4$ at the query:
#
# ```python
# up, down = (
#     weights_to_gates(Layout().weights(dist, task_weights))
#     for task_weights in ((1.0, 1.0), (0.0, 0.75))
# )
# gates = np.stack([up, down], 1)
# model = GLA(
#     d + 1, gate="value", key_width=d, value_width=2, gates=gates, dtype=torch.float64
# )
# with torch.no_grad():
#     layer = model.layers[0]
#     for W in (layer.W_q, layer.W_k, layer.W_v):
#         W.zero_()
#     layer.W_q[:d], layer.W_k[:d], layer.W_v[d] = P_q, P_k, 1.0
#     model.h[:] = torch.tensor([1.0, -1.0])
#     omega = dist.expand((1.0, 0.25))
#     expected = wpgd_step(prompts.x, prompts.y, prompts.x_query, P_q @ P_k.T, omega)
#     assert torch.allclose(model(Z), expected, rtol=1e-12)
# ```
#
# So a vector gate on the value side is not bound to weights that grow along the prompt. Theorem 5 of the paper is about
# such gates; this construction is ours.
# ````
#
# ```{exercise} Explore: gates that read the data
# :label: ex-gates-that-read
#
# In Mamba and its relatives a gate is computed from its token. Let $g_i$ be a sigmoid of a feature of token $i$, and then of its label.
# Does the formula of Theorem 1 still hold? Does the prediction still double when all labels do?
# ```
#
# ```{answer} ex-gates-that-read
# asks: What is true where gates read labels?
# choices:
# - text: the formula fails, and the prediction doubles
#   says: Does the proof ask where the gates come from? And what happens to the gates when labels double?
# - text: the formula holds, and the prediction doubles
#   says: With other labels the gates are others, and so are the weights. Compute both predictions.
# - text: both fail
#   says: Does the proof ask where the gates come from? For one prompt they are numbers, however they were made.
# - text: the formula holds, and the prediction does not double
# minutes: 20
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Compute the gates yourself, of shape (prompts, tokens), and call `gla` with keys `Z[..., :d] @ P_k`, queries `Z[..., :d] @ P_q` and values
# `Z[..., d:]`. The weights of each prompt are `gates_to_weights` of its own gates.
# ```
#
# ````{solution} ex-gates-that-read
# :class: dropdown
#
# The formula holds in both cases, with weights that differ from prompt to prompt: the proof never asks where gates come from. Gates that
# read features leave the prediction linear in the labels. Gates that read labels do not. So the risk formulas of the pages that follow,
# which average over data with the weights held fixed, do not apply to either as they stand.
#
# ```python
# def layer_and_formula(Z, gates):
#     layer = gla(Z[..., :d] @ P_q, Z[..., :d] @ P_k, Z[..., d:], gates)[:, -1, 0]
#     x, y, x_query = Z[:, :-1, :d], Z[:, :-1, d:], Z[:, -1:, :d]
#     weighted = gates_to_weights(gates)[..., None] * y
#     return layer, (x_query @ P_q @ P_k.T @ x.mT @ weighted)[:, 0, 0]
#
#
# doubled = Z.clone()
# doubled[..., d] *= 2
# for reads, stays_linear in ((0, True), (d, False)):  # the first feature; the label
#     found = []
#     for tokens in (Z, doubled):
#         layer, formula = layer_and_formula(tokens, torch.sigmoid(2 + tokens[..., reads]))
#         assert relative_error(layer, formula) < 1e-12
#         found.append(layer)
#     assert (relative_error(found[1], 2 * found[0]) < 1e-12) == stays_linear
# ```
# ````

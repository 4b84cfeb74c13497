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
# **Where we are.** The first two pages gave us prompts and a recurrence. Now they meet: with the right weight matrices,
# one layer of gated linear attention takes one step of gradient descent on a *weighted* least-squares loss. The weight
# of an example is the product of the gates that come after it.
#
# ```{symbols}
# x y x_query Z P_q P_k P G omega Omega
# ```
#
# ## One step of weighted gradient descent
#
# ```{prf:definition} WPGD
# :label: def-wpgd
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
# The gradient of the loss at zero is $-X^\top(\omega \odot y)$, so that is the whole step. Autograd agrees:

# %% tags=["asserts-def-wpgd"]
import numpy as np
import torch
from glalib import GLA, Layout, PromptDistribution, plotting, wpgd_step
from glalib.gates import gates_to_weights, weights_to_gates

plotting.use_style()
dist = PromptDistribution(d=4, counts=(12, 12), r=(0.2, 0.8))
prompts = dist.sample(
    batch=5, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
rng = np.random.default_rng(0)
P, omega = (
    torch.from_numpy(rng.normal(size=(4, 4))),
    torch.from_numpy(rng.random(24)),
)

beta = torch.zeros(5, 4, 1, dtype=torch.float64, requires_grad=True)
loss = (omega * (prompts.y - (prompts.x @ beta)[..., 0]) ** 2).sum() / 2
(gradient,) = torch.autograd.grad(loss, beta)
step = prompts.x_query @ (P @ -gradient)

prediction = wpgd_step(prompts.x, prompts.y, prompts.x_query, P, omega)
assert torch.allclose(prediction, step[..., 0], rtol=1e-12, atol=0)


# %% [markdown]
# ## The construction
#
# The layer needs three things: keys that carry features only, queries that carry features only, and values that carry
# the label only.
#
# ```{prf:definition} The construction
# :label: def-construction
#
# *Eq. (9) of the paper, its form as derived here.* With block rows for the features and for the label,
#
# $$
# W_k = \begin{pmatrix} P_k & 0 \\ 0 & 0 \end{pmatrix}, \qquad
# W_q = \begin{pmatrix} P_q & 0 \\ 0 & 0 \end{pmatrix}, \qquad
# W_v = \begin{pmatrix} 0 & 0 \\ 0 & 1 \end{pmatrix},
# $$
#
# and the prediction is the label coordinate of the query's output $o_{n+1}$. Here $P_q$ and $P_k$ are $d \times m$, where $m$ is
# the key width; columns of zeros, which change nothing, are left out in the package.
# ```
#
# ```{prf:theorem} GLA is WPGD
# :label: thm-gla-is-wpgd
#
# *Theorem 1 of the paper, as derived here.* Under {prf:ref}`def-construction`, let $g_i \in \R^m$ be
# the label row of $G_i$, restricted to the $m$ key coordinates, and let $\Omega$ have the rows
#
# $$
# \Omega_i = g_{i+1} \odot g_{i+2} \odot \dots \odot g_{n+1}, \qquad i = 1, \dots, n.
# $$
#
# Then
#
# $$
# f(Z) = x^\top P_q \,(X P_k \odot \Omega)^\top y .
# $$
#
# For scalar gates $\Omega = \omega \ones^\top$ with $\omega_i = \prod_{j > i} g_j$, and with $P = P_q P_k^\top$
#
# $$
# f(Z) = x^\top P X^\top (\omega \odot y):
# $$
#
# one step of weighted preconditioned gradient descent. Its weights never decrease along the prompt and lie in $[0, 1]$.
# For vector gates $f$ is a sum of $m$ such steps, one for each key channel $c$, with $P$ of rank one and weights
# $\Omega_{\cdot c}$.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-gla-is-wpgd)=
# ```{prf:proof}
# By {prf:ref}`prop-unrolled` the output at the query is $\sum_{i \le n+1} (D_{n+1,i} \odot v_i k_i^\top) q_{n+1}$, with
# $D_{n+1,i} = G_{i+1} \odot \dots \odot G_{n+1}$. By the construction $v_i = (0, y_i)$, so only the label row of the state
# is ever written; that row of $D_{n+1,i}$ is $\Omega_i$ on the key coordinates. The query's own write vanishes, as its
# label is $0$. With $k_i = P_k^\top x_i$ and $q_{n+1} = P_q^\top x$ the label coordinate is
#
# $$
# \sum_{i=1}^n y_i\, (\Omega_i \odot P_k^\top x_i)^\top P_q^\top x = x^\top P_q\, (X P_k \odot \Omega)^\top y .
# $$
#
# If all coordinates of $\Omega_i$ are equal to $\omega_i$, then $X P_k \odot \Omega = \diag(\omega) X P_k$, which gives the
# second form. In general the matrix product is a sum over its $m$ inner coordinates, which gives the last sentence. As $\omega_i = g_{i+1}\, \omega_{i+1}$ with $g_{i+1} \in [0, 1]$, the weights do not decrease in $i$. It does
# not matter where the gates come from: they may depend on the data, and then so do the weights.
# ```
# ````
#
# In code the theorem is one line on either side.


# %%
def theorem_1(x, y, x_query, P_q, P_k, Omega):
    """x^T P_q (X P_k * Omega)^T y."""
    return x_query @ P_q @ ((x @ P_k) * Omega).mT @ y[..., None]


Z = Layout()(prompts)
Z.shape


# %% [markdown]
# ## It holds to rounding
#
# Both sides are the same polynomial in the data, summed in another order. There are some hundred terms of both signs, so
# float64 may lose a few of its sixteen digits. We allow a relative error of $10^{-12}$.


# %% tags=["asserts-thm-gla-is-wpgd", "asserts-def-construction"]
def relative_error(a, b):
    return ((a - b).norm() / b.norm()).item()


n, d = dist.n, dist.d
P_q, P_k = torch.from_numpy(rng.normal(size=(2, d, d)))
errors = {}

g = torch.from_numpy(rng.uniform(0.7, 1.0, size=n + 1))
scalar = GLA.from_matrices(P_q, P_k, gates=g)
omega = gates_to_weights(g)
errors["scalar gate"] = relative_error(
    scalar(Z), wpgd_step(prompts.x, prompts.y, prompts.x_query, P_q @ P_k.T, omega)
)

a = torch.from_numpy(rng.uniform(0.7, 1.0, size=(n + 1, d)))
vector = GLA.from_matrices(P_q, P_k, gates=a, gate="key")
Omega = gates_to_weights(a, axis=-2)
formula = theorem_1(prompts.x, prompts.y, prompts.x_query, P_q, P_k, Omega)
errors["vector gate"] = relative_error(vector(Z), formula[..., 0])
one_each = [  # one step for each channel, with P of rank one
    wpgd_step(
        prompts.x,
        prompts.y,
        prompts.x_query,
        torch.outer(P_q[:, c], P_k[:, c]),
        Omega[:, c],
    )
    for c in range(d)
]
errors["sum over channels"] = relative_error(sum(one_each), vector(Z))

m = d + 3  # a key width other than d
wide_q, wide_k = torch.from_numpy(rng.normal(size=(2, d, m)))
wide_gates = torch.from_numpy(rng.uniform(0.7, 1.0, size=(n + 1, m)))
wide = GLA.from_matrices(wide_q, wide_k, gates=wide_gates, gate="key")
wide_Omega = gates_to_weights(wide_gates, axis=-2)
formula = theorem_1(
    prompts.x, prompts.y, prompts.x_query, wide_q, wide_k, wide_Omega
)
errors["wide keys"] = relative_error(wide(Z), formula[..., 0])

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
    wpgd_step(
        prompts.x,
        prompts.y,
        prompts.x_query,
        P_q @ P_k.T,
        gates_to_weights(g_with_zero),
    ),
)

assert max(errors.values()) < 1e-12
assert (omega.diff() >= 0).all() and 0 <= omega.min() and omega.max() <= 1

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

glue("theorem_1_error", max(errors.values()), display=False)

# %% [markdown]
# The largest relative error of these is {glue:text}`theorem_1_error:.1e`.
#
# ## The weights, seen
#
# Read the gates from right to left and multiply as you go, leaving out the example's own: that is $\omega$. A scalar gate
# gives every feature the same staircase. A vector gate gives each key channel its own; below, memory gets shorter from
# channel to channel, and one channel forgets almost everything halfway.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-weights", "caption": "The weights that gates induce. Left, a scalar gate: one staircase for all channels. Right, a vector gate on the key side: each channel has its own, but none ever goes down along the prompt."}}
import matplotlib.pyplot as plt

m = 6
scalar_gates = np.ones(n + 1)
scalar_gates[[6, 12, 18]] = 0.6
vector_gates = np.tile(np.linspace(1.0, 0.8, m), (n + 1, 1))
vector_gates[12, 3] = 0.05
weights = {
    "scalar gate": np.tile(gates_to_weights(scalar_gates)[:, None], m),
    "vector gate": gates_to_weights(vector_gates, axis=-2),
}

fig, axes = plt.subplots(
    2, 2, figsize=(7.6, 5.2), sharex=True, height_ratios=(1, 1)
)
for column, (name, Omega) in zip(axes.T, weights.items()):
    image = column[0].imshow(
        Omega.T,
        cmap=plotting.SEQUENTIAL,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(0.5, n + 0.5, m + 0.5, 0.5),
    )
    column[0].set(title=name)
    column[0].grid(False)
    for channel in (0, 3, 5) if name == "vector gate" else (0,):
        column[1].plot(
            range(1, n + 1),
            Omega[:, channel],
            drawstyle="steps-mid",
            label=f"channel {channel + 1}",
            color={
                0: plotting.TASKS[0],
                3: plotting.TASKS[1],
                5: plotting.TASKS[2],
            }[channel],
            linestyle={0: "-", 3: "--", 5: ":"}[channel],
            linewidth=2.4,
        )
    column[1].set(xlabel="example $i$", ylim=(-0.05, 1.1), xlim=(0.5, n + 0.5))
axes[0, 0].set_ylabel("key channel")
axes[1, 0].set_ylabel(r"$\omega_i$")
axes[1, 1].set_ylabel(r"$\Omega_i$")
axes[1, 1].legend(loc="center left")
_ = fig.colorbar(image, ax=axes[0], label="weight")

# %% tags=["remove-input"]
plotting.FigureData(
    "weights",
    {"i": np.arange(1, n + 1), "scalar": weights["scalar gate"][:, 0]}
    | {f"vector_channel_{c + 1}": weights["vector gate"][:, c] for c in range(m)},
    scalar_gates="1, but 0.6 at tokens 7, 13 and 19",
    vector_gates="channel c: constant 1 - 0.04 (c - 1), but 0.05 at token 13 in channel 4",
)

# %% [markdown]
# ## From weights back to gates
#
# Read the theorem the other way: which gates give weights $0 \le \omega_1 \le \dots \le \omega_n \le 1$? Divide neighbours,
# $g_{i+1} = \omega_i / \omega_{i+1}$ and $g_{n+1} = \omega_n$. Where $\omega_{i+1} = 0$ any gate will do, and so will any $g_1$,
# which acts on an empty state; the package sets them to $1$. For a prompt of two blocks, weights $(1/4, 1)$ need one gate of $1/4$, at the
# first token of the second block, and ones elsewhere.

# %%
wanted = Layout().weights(dist, (0.25, 1.0))
gates = weights_to_gates(wanted)
assert np.allclose(gates_to_weights(gates), wanted, rtol=1e-15, atol=0)
assert gates[12] == 0.25 and np.delete(gates, 12).tolist() == [1.0] * 24

# %% [markdown]
# ## Break it
#
# **Decreasing weights.** A scalar gate cannot give an early example more weight than a late one, whatever its values. The
# package says so when asked for such weights:

# %%
try:
    weights_to_gates(Layout().weights(dist, (1.0, 0.25)))
except ValueError as error:
    print(error)
else:
    raise AssertionError("a scalar gate reached decreasing weights")

many = torch.rand(1000, n + 1, generator=torch.Generator().manual_seed(1))
assert (gates_to_weights(many).diff() >= 0).all()

# %% [markdown]
# **A label in the keys.** The zeros of the construction matter. Let the keys see a little of the label, and the layer is
# no longer linear in $y$: it is no WPGD step with weights of its gates alone.

# %%
leaky = GLA.from_matrices(P_q, P_k, gates=g)
with torch.no_grad():
    leaky.layers[0].W_k[d] = 0.1  # the label's row of W_k

flipped = Z.clone()
flipped[..., d] *= -1  # WPGD predictions change sign with the labels
assert torch.allclose(scalar(flipped), -scalar(Z), rtol=1e-12)
assert relative_error(leaky(flipped), -leaky(Z)) > 0.01
assert relative_error(leaky(Z), scalar(Z)) > 0.01

# %% [markdown]
# **A query with a label.** If the last token did carry a label, its own write would be in the state it reads. (The
# difference of two predictions loses a few digits, so the tolerance is wider.)

# %%
told = Z.clone()
told[:, -1, d] = 1.0
own_write = (prompts.x_query @ P_q @ P_k.T @ prompts.x_query.mT)[
    ..., 0
]  # x^T P x times its label, 1
assert relative_error(scalar(told) - scalar(Z), own_write) < 1e-9

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-two-channels
#
# A scalar gate cannot give the weights $(1, 1/4)$ to the two blocks. Give the layer *two* value channels, both carrying
# the label, each with its own gate sequence, and let the read-out subtract one from the other. Which two gate sequences
# give $(1, 1/4)$?
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
# up, down = weights_to_gates(Layout().weights(dist, (1.0, 1.0))), weights_to_gates(Layout().weights(dist, (0.0, 0.75)))
# model = GLA(d + 1, gate="value", key_width=d, value_width=2, gates=np.stack([up, down], 1), dtype=torch.float64)
# with torch.no_grad():
#     layer = model.layers[0]
#     for W in (layer.W_q, layer.W_k, layer.W_v):
#         W.zero_()
#     layer.W_q[:d], layer.W_k[:d], layer.W_v[d] = P_q, P_k, 1.0
#     model.h[:] = torch.tensor([1.0, -1.0])
#     expected = wpgd_step(prompts.x, prompts.y, prompts.x_query, P_q @ P_k.T, dist.expand((1.0, 0.25)))
#     assert torch.allclose(model(Z), expected, rtol=1e-12)
# ```
#
# So a vector gate on the value side is not bound to weights that grow along the prompt. Theorem 5 of the paper is about
# such gates; this construction is ours.
# ````

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
#   settles: how tensors of other libraries become arguments of `gla`
# ---

# %% [markdown]
# # From fla, Mamba-2 and RetNet to gla
#
# How do you hand the queries, keys, values and decays of another library to `gla`?
#
# The same recurrence ({prf:ref}`def-gla`) stands in many places, in other conventions: in the package
# [flash-linear-attention](https://github.com/fla-org/flash-linear-attention) (`fla`), in Mamba-2
# {cite}`dao2024transformers` and in RetNet {cite}`sun2023retentive`. Find your column:
#
# | | `fla`, `chunk_gla` | Mamba-2 | RetNet | `gla` |
# |---|---|---|---|---|
# | decay | log gates, $\log g_t$, per key channel | $e^{\Delta_t A}$, with $A < 0$ for each head | $1 - 2^{-5-j}$ in head $j$ | `gates` in $[0, 1]$: `log_g.exp()` with `gate="key"`; one number per token with `gate="scalar"` |
# | scale | queries times $d_k^{-1/2}$ | inputs times $\Delta_t$ | keys times $d_k^{-1/2}$ | none: multiply q, k or v |
# | names | $q, k, v$ | $C, B, \Delta x$ | $Q, K$, rotated, and $V$ | `q`, `k`, `v` |
# | tokens | (batch, T, heads, d) | (batch, T, heads, d) | (batch, heads, T, d) | (..., T, d): heads are one of the leading axes |
# | heads | each its own | those of one group share $B$ and $C$ | each its own | leading axes of length one broadcast |
# | state | key $\times$ value | value $\times$ key | key $\times$ value | value $\times$ key |
# | packed sequences | `cu_seqlens` | `seq_idx` | | a gate of zero at the first token of each; the final state is that of the last |
#
# Each column uses the letters of its library; $j = 0, 1, \dots$ counts heads. What other libraries put around the recurrence stays outside `gla`: RetNet's
# rotation of $Q$ and $K$ comes before it, and a skip $D x_t$, a normalisation or an output gate after it.
#
# ```{symbols}
# q k v G o
# ```
#
# Below is one example for each library, on the same random tensors. Under each, a folded check writes the library's own recurrence out, token by token, and
# compares outputs and final states.

# %%
import torch
from glalib import gla

generator = torch.Generator().manual_seed(0)
n, heads, d_k = 9, 3, 4
Q, K, u = torch.randn(3, 2, n, heads, d_k, generator=generator, dtype=torch.float64)
V = torch.randn(2, n, heads, 5, generator=generator, dtype=torch.float64)
q, k, v = (x.transpose(1, 2) for x in (Q, K, V))  # (batch, heads, T, d)

# %% [markdown]
# ## From fla

# %%
log_g, cut = -u.abs(), 5  # a second sequence starts at token 5
gates = log_g.exp().transpose(1, 2)
gates[:, :, cut] = 0.0
o, S = gla(d_k**-0.5 * q, k, v, gates, "key", output_final_state=True)


# %% tags=["check"]
def difference(o, S, o_theirs, S_theirs):
    """The largest of outputs (batch, heads, T, d) and final states, relative."""
    o_theirs, worst = torch.cat(o_theirs, 2), 0.0
    for ours, theirs in ((o, o_theirs), (S, S_theirs)):
        assert ours.shape == theirs.shape
        worst = max(
            worst, ((ours - theirs).abs().max() / theirs.abs().max()).item()
        )
    return worst


rounding = 1e-12  # float64, sums of a few dozen products


state, outputs = 0, []
for t in range(n):
    write = K[:, t, :, :, None] * V[:, t, :, None, :]  # key x value
    state = log_g[:, t, :, :, None].exp() * (state if t != cut else 0) + write
    outputs.append(d_k**-0.5 * Q[:, t, :, None] @ state)
worst = difference(o, S, outputs, state.mT)
assert worst < rounding
print(
    f"chunk_gla's recurrence, two packed sequences: largest relative difference {worst:.1g}"
)

# %% [markdown]
# ## From Mamba-2
#
# Its heads share $B$ and $C$: leave the axis of heads at length one.

# %%
dt, A = u[..., :1].exp(), -(1.0 + torch.arange(heads))
decay = (dt[..., 0] * A).exp()  # (batch, T, heads)
o, S = gla(
    q[:, :1], k[:, :1], dt.transpose(1, 2) * v, decay.mT, output_final_state=True
)

# %% tags=["check"]
state, outputs = 0, []
for t in range(n):
    C_t, B_t = Q[:, t, :1, :, None], K[:, t, :1, None, :]
    write = (dt * V)[:, t, :, :, None] * B_t  # value x key
    state = decay[:, t, :, None, None] * state + write
    outputs.append((state @ C_t).mT)
worst = difference(o, S, outputs, state)
assert worst < rounding
print(
    f"Mamba-2's recurrence, {heads} heads that share B and C: "
    f"largest relative difference {worst:.1g}"
)

# %% [markdown]
# ## From RetNet

# %%
kept = 1 - 0.5 ** (5 + torch.arange(heads, dtype=torch.float64))  # (heads,)
gates = kept[:, None].expand(-1, n)
o, S = gla(q, d_k**-0.5 * k, v, gates, output_final_state=True)

# %% tags=["check"]
state, outputs = 0, []
for t in range(n):
    write = K[:, t, :, :, None] * V[:, t, :, None, :]  # key x value
    state = kept[:, None, None] * state + d_k**-0.5 * write
    outputs.append(Q[:, t, :, None] @ state)
worst = difference(o, S, outputs, state.mT)
assert worst < rounding
print(
    f"RetNet's recurrence, {heads} heads: largest relative difference {worst:.1g}"
)

# %% [markdown]
# All forms of `gla` take these arguments; {doc}`equal_forms` says which form is which. Seventeen layers in use, each as one function of its own tensors, are on {doc}`architectures`. To use a whole layer, with learned gates, as in the rest
# of this book, see {doc}`your_own` and the page on [the package](/reference/api).

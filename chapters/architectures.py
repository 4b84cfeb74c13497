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
#   settles: which layers in use are settings of one recurrence, which of them can make
#     weights fall, and what of this book speaks of each
# ---

# %% [markdown]
# # Real architectures on one scale
#
# Which statements of this book speak of the layer that you use?
#
# RetNet, Mamba, RWKV and their kin have names of their own for everything. Under the names there are three levers: what the layer forgets, how strongly it writes, and whether it erases what it holds before it writes. A fourth question cuts across them: which of the levers read the token?
#
# This page sets seventeen layers on that scale. Each is a function of its own tensors that runs on the recurrence of this book. Tests hold each to its equations. One new statement says how steeply the weights of one key channel can fall. If it is the only one, that decides whether the better task may come first ({doc}`scalar_gates`).

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-architectures", "caption": "Seventeen layers by their levers; in the bottom row all is written whole, so the weights of one key channel or state never fall. From left to right, how a layer forgets; from bottom to top, how it writes. Filled diamonds erase before they write, open circles do not."}}
from collections import defaultdict

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import gla, plotting, wpgd_step
from glalib.architectures.catalogue import LAYERS
from glalib.architectures.forms import hgrn2, mamba2, mlstm, retnet
from glalib.gates import gates_to_weights

plotting.use_style()
COLUMNS = {
    "never": 0,
    "at a fixed rate": 1,
    "by its token,\none number": 2,
    "by its token,\nby channel": 3,
}
ROWS = {"whole": 0, "tied to the gate": 1, "by a gate of its own": 2}
cells, places = defaultdict(list), {}
for layer in LAYERS:
    how = list(COLUMNS).index(layer.forgets) if layer.forgets in COLUMNS else 2
    column = how + (how == 2 and layer.side in ("key", "value"))
    cells[column, ROWS[layer.writes]].append(layer)
fig, ax = plt.subplots(figsize=(6.4, 3.9))
for (column, row), layers in cells.items():
    lines = max(layer.name.count(" ") for layer in layers) + 1
    gap = 0.24 if len(layers) > 3 else 0.29 * (lines + 1) / 2
    for i, layer in enumerate(layers):
        x, y = column + 0.08, row + 0.5 + gap * ((len(layers) - 1) / 2 - i)
        places[layer.name] = (x, y)
        look = {"color": plotting.TASKS[1 if layer.erases else 0]}
        look |= {"marker": "D"} if layer.erases else {"marker": "o", "mfc": "none"}
        ax.plot([x], [y], ms=6, **look)
        ax.text(x + 0.07, y, layer.name.replace(" ", "\n"), va="center")
ax.vlines([1, 2, 3], 0, 3, color="0.8", lw=1)
ax.hlines([1, 2], 0, 4, color="0.8", lw=1)
ax.set_xticks(np.arange(4) + 0.5, COLUMNS)
ax.set_yticks(
    np.arange(3) + 0.5, ["whole", "tied to\nthe gate", "by a gate\nof its own"]
)
ax.tick_params(length=0)
ax.grid(False)
_ = ax.set(xlim=(0, 4), ylim=(0, 3), xlabel="forgets", ylabel="writes")

# %% tags=["remove-input"]
plotting.FigureData(
    "architectures",
    {
        "layer": list(places),
        "forgets": [
            layer.forgets
            for layer in sorted(LAYERS, key=lambda a: list(places).index(a.name))
        ],
        "x": [x for x, _ in places.values()],
        "y": [y for _, y in places.values()],
    },
    figure=fig,
    seed="none",
)

# %% [markdown]
# ```{symbols}
# omega q k v G o P x y n
# ```
#
# ## Three levers
#
# The picture has a table behind it, with the gates as the layers make them:
#
# ````{dropdown} The table, a layer a row
# ```{layers} levers
# ```
# ````
#
# Here $m$ is the sum of the keys, weighted as the state is; other letters are the layer's own. A gate on the whole state is one number a token; one on key or value channels is a vector. Where a write has a gate of its own, that gate reads the token.
#
# Each layer is one short function in `glalib.architectures.forms`. It takes the layer's own tensors, in its own layout, and hands them to `gla` or to its neighbour with a delta rule. What stands around the recurrence is left out: projections, convolutions, norms, output gates. How to carry tensors over by hand is on {doc}`from_fla`.
#
# ````{dropdown} How the table is held to the layers
# The rows are data, `glalib.architectures.catalogue.LAYERS`. Tests find every lever from what a form does, and compare. Only what happens before the recurrence is by reading: convolutions, mixed inputs, and how a gate is made that the form is told. Each form is held to its equations written out token by token, in outputs and gradients. Twelve are held to reference code of two libraries as well, HGRN-2, RWKV-5 and RWKV-7 to the recurrences behind them, and H3 and S4D to the filters of scipy.
# ````
#
# ````{dropdown} Three remarks: normalisers, the state before the token, and two layers that need more
# - *Normalisers.* The denominators of mLSTM, RWKV-4 and linear attention are one more value channel, of ones.
# - *The state before the token.* RWKV-4, 5 and 6 read before they write. That is `gla` with keys, values and gates one token late, plus a bonus for the token itself.
# - *Two layers need more.* KDA has the delta rule and a decay for each key channel, RWKV-7 erases along one vector what it read along another. They run on `general_rule`, token by token:
#
#   $$
#   S_i = S_{i-1} \bigl( \diag(w_i) - a_i b_i^\top \bigr) + v_i k_i^\top .
#   $$
# ````
#
# ````{dropdown} Near kin: complex state spaces and the LRU, DeltaProduct; and sLSTM, TTT, Titans, which do not fit
# - *State spaces.* H3 is given with real rates and heads of width one. S4D's complex rates decay, and turn keys and queries by their place, as RetNet's rotation does. So do those of the LRU {cite:p}`orvieto2023resurrecting`, between dense complex maps.
# - *Other ranges.* mLSTM's forget gate may be an exponential. A DeltaNet may take steps up to $2$, and several a token: DeltaProduct {cite:p}`siems2025deltaproduct` is DeltaNet on a prompt that repeats each token, with a key, a value and a step for each time.
# - *Not linear in what was written.* The gates of the sLSTM {cite:p}`beck2024xlstm` read its own last output. TTT {cite:p}`sun2024learning` and Titans {cite:p}`behrouz2025titans` hold a network that learns. Where that is one matrix, without a norm and token by token, TTT is DeltaNet.
# ````
#
# ## Mamba-2's weights, read off
#
# Take a prompt of examples $(x_i, y_i)$ and a query. Let $B$ show the features, the input the label, and let $C$ be $P^\top x$ at the query. Mamba-2 knows a step $\Delta_i$ for each token and a rate $A$ for each head. Its weights are the steps, times the later gates:

# %%
generator = torch.Generator().manual_seed(0)
n, d = 8, 3
features = torch.randn(1, n + 1, 1, d, generator=generator, dtype=torch.float64)
labels = torch.randn(1, n, 1, 1, generator=generator, dtype=torch.float64)
labels = torch.cat([labels, torch.zeros(1, 1, 1, 1)], 1)  # the query has none
P = torch.randn(d, d, generator=generator, dtype=torch.float64)
dt = torch.rand(1, n + 1, 1, generator=generator, dtype=torch.float64)
A = torch.tensor([-0.5], dtype=torch.float64)

prediction = mamba2(labels, dt, A, B=features, C=features @ P)[0, -1, 0, 0]
gates = (dt * A).exp()[0, :, 0]
omega = dt[0, :-1, 0] * gates_to_weights(gates)
print("weights", [round(w, 2) for w in omega.tolist()])

# %% tags=["check"]
x, y = features[0, :-1, 0], labels[0, :-1, 0, 0]
step = wpgd_step(x, y, features[0, -1:, 0], P, omega)[0]
by_gla = gla(
    features[0, :, 0] @ P, features[0, :, 0], (dt * labels[..., 0])[0], gates
)[-1, 0]
size = (omega * y.abs()).sum() * P.abs().sum() * x.abs().max() ** 2
error = max((prediction - step).abs(), (prediction - by_gla).abs()) / size
assert error < 1e-14  # sums of a few dozen products
assert (omega.diff() < 0).any()  # they fall somewhere
print(
    f"one prediction by Mamba-2, by gla with its gates, and by a weighted step: largest difference {error:.0e}"
)

# %% [markdown]
# So it is a weighted step ({prf:ref}`thm-gla-is-wpgd`). Where steps do not look at the examples, no choice of them is better than the best weights ({prf:ref}`thm-ceiling`), and all weights that are not negative can be had ({prf:ref}`thm-writes`).
#
# ## How steeply weights can fall
#
# If all is written whole, the weights of a key channel never fall from token to token. (Channels, states or heads of opposite sign can fall together: {prf:ref}`thm-vector-gate`, {prf:ref}`prop-key-side-reversal`.) A write that is tied to the gate can do more: HGRN-2 writes $1 - g$, Mamba-2 writes $\ln g / A$, the RG-LRU $\sqrt{1 - g^2}$. What matters about a tie is one number.
#
# ```{prf:proposition} Tied writes
# :label: prop-ties
#
# **How steeply the weights of a head can fall is one number of its tie.**
#
# *New here.* In the setting of {prf:ref}`thm-writes` let example $i$ write $u_i = \varphi(g_i)$, where $\varphi \ge 0$ is a continuous function on an interval $[\theta, \zeta]$ of gates, $0 < \theta \le \zeta \le 1$, and not zero everywhere. The query's gate is any number in $[\theta, 1]$.
#
# 1. If $\varphi$ has no zero, then for all gates and all $i < j \le n$
#
#    $$
#    \omega_i \le \Phi\, \zeta^{\,j-i-1}\, \omega_j, \qquad \Phi = \frac{\max_g \varphi(g)}{\min_g \varphi(g) / g},
#    $$
#
#    and for each pair some gates give equality: over any distance the fall is one factor $\Phi$, not a power of it.
# 2. If $\varphi$ has a zero, every $\omega \ge 0$ is reached up to a positive factor.
# 3. The same holds in each channel of a vector gate, of a layer that reads the state before the token, and of one that divides its output by a positive number.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-ties)=
# ```{prf:proof}
# Let $c_i$ be the product of the gates after token $i$, so that $\omega_i = \varphi(g_i)\, c_i$ and $c_i = g_{i+1} c_{i+1}$.
#
# **1.** $\omega_i / \omega_j = \varphi(g_i) \cdot g_{i+1} \cdots g_{j-1} \cdot g_j / \varphi(g_j)$. The gates are free of each other. The first factor is at most $\max \varphi$, each between them at most $\zeta$, the last at most the inverse of the minimum. All are attained on a closed interval.
#
# **2.** Let $\delta = \max \varphi > 0$. Between a zero and a gate where it is $\delta$, $\varphi$ takes every value in $[0, \delta]$. Let $0 \ne \omega \ge 0$ and $t = \delta\, \theta^{n} / \max_i \omega_i$. From the last example to the first choose $g_i$ with $\varphi(g_i) = t\, \omega_i / c_i$: this is possible, as $c_i \ge \theta^{n + 1 - i} \ge \theta^n$. The weights are $t\, \omega$.
#
# **3.** Channels do not mix, so each is a scalar gate. A layer that reads the state before the query has $c_n = 1$ and no gate of the query's. A positive divisor is a factor of all weights.
# ```
# ````
#
# Open intervals are unions of closed ones. So the number is a supremum over an infimum there, and a tie that tends to zero at an end, such as $1 - g$ as $g \to 1$, gives every $\omega > 0$.
#
# | the tie | gates | $\Phi$ |
# |---|---|---|
# | $1$: whatever writes whole, as GLA | up to $\zeta$ | $\zeta \le 1$: weights never fall |
# | $1 - g$: HGRN-2; $\sqrt{1 - g^2}$: RG-LRU; $\Delta$ with $g = e^{-\alpha \Delta}$: Mamba, Mamba-2 | up to $1$ | no bound |
# | $1 - g$ | $[\theta, \zeta]$ | $(1 - \theta)\, \zeta / (1 - \zeta)$ |
# | $\Delta$ with $g = e^{-\alpha \Delta}$ | $\Delta_1 \le \Delta \le \Delta_2$ | $(\Delta_2 / \Delta_1)\, e^{-\alpha \Delta_1}$ |
#
# A gate of its own on the write, as in mLSTM and RWKV-4, has no bound either. With erasing a weight is no longer one number: it depends on the keys that come later ({doc}`delta_rule`).

# %% tags=["check", "asserts-prop-ties"]
from itertools import product


def falls(phi, low, high, tokens=4):
    """The steepest falls over 1, 2, ... tokens, of random gates and all at the ends."""
    rng, grid = np.random.default_rng(0), np.linspace(low, high, 10_001)
    ends = grid[[np.argmax(phi(grid)), np.argmin(phi(grid) / grid), -1]]
    g = rng.uniform(low, high, size=(4000, tokens + 1))
    g = np.concatenate([g, list(product(ends, repeat=tokens + 1))])
    later = np.cumprod(g[:, ::-1], 1)[:, ::-1][:, 1:]
    omega = phi(g[:, :-1]) * later
    bound = phi(grid).max() / (phi(grid) / grid).min()
    return [(omega[:, :-k] / omega[:, k:]).max() for k in range(1, tokens)], bound


alpha, tried = 0.7, 0
for low, high in ((0.1, 0.5), (0.3, 0.95), (0.8, 0.999)):
    steps = -np.log([high, low]) / alpha
    for phi, stated in (
        (lambda g: 0 * g + 1, high),
        (lambda g: 1 - g, (1 - low) * high / (1 - high)),
        (
            lambda g: -np.log(g) / alpha,
            steps[1] / steps[0] * np.exp(-alpha * steps[0]),
        ),
        (lambda g: np.sqrt(1 - g**2), np.sqrt((1 - low**2) / (1 - high**2)) * high),
    ):
        steepest, bound = falls(phi, low, high)
        assert np.isclose(bound, stated, rtol=1e-12)  # a dozen factors
        assert np.allclose(steepest, stated * high ** np.arange(3), rtol=1e-12)
        tried += 1
print(
    f"{tried} ties: the steepest falls over one, two and three tokens are the stated numbers"
)

# %% [markdown]
# Do real layers do as the proposition says? In the tests each of the seventeen is given its own tensors: with one key channel those whose weights can fall make them fall by a thousand, and the others never let them fall. Three of them here: HGRN-2 and mLSTM are asked for weights $8, 4, 2, 1$, and RetNet has what its constant makes.

# %% tags=["check"]
wanted = torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)
share = wanted / 20  # HGRN-2: 1 - f is what is left for the token
f = 1 - share / (1 - (share.flip(0).cumsum(0).flip(0) - share))
v, one = (
    torch.eye(4, dtype=torch.float64),
    torch.ones(1, 5, 1, 1, dtype=torch.float64),
)
v = torch.cat([v, torch.zeros(1, 4)])[None, :, None]  # each token its own value
query = torch.tensor([1.0], dtype=torch.float64)
f = torch.cat([f, query])[None, :, None, None]
i = torch.cat([wanted.log(), query])[None, None]
by_head = [x.transpose(1, 2) for x in (one, one, v)]
for o in (
    hgrn2(one, f, v)[0, -1, 0],
    mlstm(*by_head, i, torch.full_like(i, 40.0))[0, 0, -1],
):
    # mLSTM's forget gate is a sigmoid, one but for 1e-17; the rest is a few products.
    assert torch.allclose(o / o[3], wanted, rtol=1e-10)
o = retnet(one, one, v)[0, -1, 0]
assert (o.diff() > 0).all()
rising = ", ".join(f"{weight:.2f}" for weight in o / o[3])
print(f"HGRN-2 and mLSTM have the weights 8, 4, 2, 1; RetNet's are {rising}")

# %% [markdown]
# ## What speaks of your layer
#
# ```{layers} statements
# ```
#
# Most rows have the same caveat. Theorems on weights are about gates that read marks in the prompt, or nothing. In these layers gates read the token, and where the token is an example they see the data. Then {prf:ref}`thm-ceiling` does not hold, and {doc}`gates_that_read` says what is known. So read the theorems as what such a layer can do at marks. What it does to examples is its training's choice.
#
# ## Break it
#
# **Take the tie away.** Divide Mamba-2's input by its step, so that it writes whole. Then its weights only rise, whatever the steps are, and they are those of an ungated write:

# %%
whole = mamba2(labels / dt[..., None], dt, A, B=features, C=features @ P)[
    0, -1, 0, 0
]
omega_whole = gates_to_weights(gates)
step = wpgd_step(x, y, features[0, -1:, 0], P, omega_whole)[0]
assert (whole - step).abs() < 1e-12 and (omega_whole.diff() > 0).all()
print("weights", [round(w, 2) for w in omega_whole.tolist()])

# %% [markdown]
# **A smallest step.** Some layers keep $\Delta$ within limits. An upper one costs nothing ({prf:ref}`thm-writes`, part 2). A lower one bounds how steeply weights fall, by the table. How small must it be? The second exercise asks.
#
# ## Exercises
#
# ```{exercise} By hand: a gate that never reaches one
# :label: ex-tie-capped
#
# A head writes $1 - g$, and its gates are in $(0, \frac{9}{10}]$. How steeply can its weights fall from one token to the next? And over two tokens, from $i$ to $i + 2$?
# ```
#
# ```{answer} ex-tie-capped
# asks: The least upper bounds of the older weight over the newer one, over one token and over two.
# value: "[9 / 10 / (1 / 10), (9 / 10) ** 2 / (1 / 10)]"
# wrong:
# - value: "[9, 81]"
#   says: Over two tokens the write of the one between them does not occur. What does it do?
# - value: "[9, 9]"
#   says: Over one token, yes. Over two one more gate multiplies the older weight.
# - value: "[10, 9]"
#   says: These are quotients of what is written. The newer one's own gate multiplies the older weight, too.
# - value: "[10, 100]"
#   says: These are quotients of what is written, one of them squared. Write out the weights, with the gates that come later.
# - value: "[9 / 10, 81 / 100]"
#   says: So much is left of what was written. What the older one wrote may be far more than what the newer one did.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# For the first let the interval begin at a small $\theta$: $\varphi(g)/g$ is large there, so the minimum is at the other end. For the second write out $\omega_i / \omega_{i+2}$: how does it depend on the gate between them?
# ```
#
# ````{solution} ex-tie-capped
# :class: dropdown
#
# With gates from $\theta$ on $\Phi = (1 - \theta)\, \frac{9/10}{1/10}$, which comes as near to $9$ as one likes: write nearly everything, then as little as possible. Over two tokens the ratio is $(1 - g_i)\, g_{i+1} g_{i+2} / (1 - g_{i+2})$, below $\frac{9}{10} \cdot 9$: less than over one, and not the square. What is left between them is another forgetting.
# ````
#
# ```{exercise} Compute: the smallest step that the order allows
# :label: ex-smallest-step
#
# Two examples have the relevances $\frac45$ and $\frac15$, and the best weights are as these. A step-tied head has $\alpha = 1$ and steps in $[\Delta_1, \frac1{10}]$. How large may $\Delta_1$ be?
# ```
#
# ```{answer} ex-smallest-step
# asks: The largest value that the smallest step may have.
# value: smallest
# wrong:
# - value: 1 / 40
#   says: That is the quotient of the steps alone. The older weight meets the newer one's gate, too.
# - value: "brentq(lambda s: 0.1 / s * np.exp(s) - 4, 1e-3, 0.1)"
#   says: The exponential has the wrong sign. A gate makes the older weight smaller.
# - value: 0.1 * np.exp(-0.1) / 4
#   says: The gate between the two is that of the newer example, whose step is the small one.
# - value: 0.1 * np.exp(0.1) / 4
#   says: The gate between the two is that of the newer example, and it makes the older weight smaller.
# - above: 0.1
#   says: The smallest step is no larger than the largest. Which of the two examples takes the large one?
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Solve $\Phi = 4$. `scipy.optimize.brentq` finds the root.
# ```
#
# ````{solution} ex-smallest-step
# :class: dropdown
#
# A little less than a fortieth: without the exponential it would be $\frac1{40}$.
#
# ```python
# from scipy.optimize import brentq
#
# smallest = brentq(lambda s: 0.1 / s * np.exp(-s) - 4, 1e-3, 0.1)
# assert 0.024 < smallest < 1 / 40
# weights = np.array([0.1 * np.exp(-smallest), smallest])
# assert np.isclose(weights[0] / weights[1], 4)
# ```
# ````
#
# ```{exercise} Explore: falling weights from constants
# :label: ex-h3-falls
#
# H3 has no gate that reads anything, and each of its states has weights that rise. Can two states of one channel together have weights that fall? Try the rates $1$ and $\rho$, one added and one subtracted. What can it not do that Mamba-2 can?
# ```
#
# ```{answer} ex-h3-falls
# asks: With the rates 1 and 1/2, one state added and one subtracted, what is the weight at age two over that at age one?
# value: (1 - 0.5**2) / (1 - 0.5)
# wrong:
# - value: 2
#   says: That is the bound, for a second rate close to one.
# - value: 0.5
#   says: That is the state with the rate 1/2 alone, whose weights rise along the prompt.
# - value: (1 - 0.5**3) / (1 - 0.5**2)
#   says: One token too far back. The last example has age zero, and weight zero here.
# - value: 1 - 0.5**2
#   says: That is the weight at age two. Divide by the one at age one.
# - value: (1 + 0.5**2) / (1 + 0.5)
#   says: One of the two is subtracted, not added.
# minutes: 8
# level: 2
# ```
#
# ```{answer} ex-h3-falls-cannot
# asks: What can Mamba-2 do that these two states cannot?
# choices:
# - text: let an older example weigh more than a newer one
#   says: They can do that. The weights of this exercise fall.
# - text: let the last example weigh nothing beside the others
#   says: They do just that, as the last has age zero.
# - text: forget nothing at all
#   says: A state with the rate one forgets nothing either.
# - text: let weights fall where the task changes, wherever that is
# minutes: 5
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# The states of a channel are added, with factors $C_j B_j$ of any sign. Look at $1 - \rho^{t}$, where $t$ is the age.
# ```
#
# ````{solution} ex-h3-falls
# :class: dropdown
#
# Yes. With the rates $1$ and $\rho$ and the factors $1$ and $-1$ the weight at age $t$ is $1 - \rho^t$: older examples count more. It falls from age one to zero by any factor, as the weight there is zero, and further back by $(1 - \rho^{t+1}) / (1 - \rho^t) < (t + 1) / t$. But this is a fixed function of the age: where the task changes it cannot know.
#
# ```python
# from glalib.architectures.forms import h3
#
# one, T = torch.ones(1, 1, dtype=torch.float64), 6
# for rho in (0.0, 0.5, 0.99):
#     space = {
#         "A": torch.tensor([[1.0, rho]], dtype=torch.float64),
#         "B": torch.ones(1, 2, dtype=torch.float64),
#         "C": torch.tensor([[1.0, -1.0]], dtype=torch.float64),
#     }
#     row = torch.ones(1, T, 1, dtype=torch.float64)
#     v = row.clone().requires_grad_()
#     (omega,) = torch.autograd.grad(h3(row, row, v, shift=one, **space)[0, -1, 0], v)
#     ages = np.arange(T)[::-1]
#     assert np.allclose(omega[0, :, 0], 1 - rho**ages)
#     ratios = (omega[0, :-2, 0] / omega[0, 1:-1, 0]).numpy()
#     assert (ratios >= 1).all() and (ratios <= (ages[:-2] / ages[1:-1]) + 1e-12).all()
# ```
# ````

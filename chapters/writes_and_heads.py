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
#   settles: what a gate on the write and more heads add to forgetting
# ---

# %% [markdown]
# # Writes and heads
#
# A forget gate can only lower what has been written: what do a gate on the write and a second head add to it?
#
# A head that writes every example at full strength and then forgets fails where relevance comes in the wrong order ({doc}`scalar_gates`). Many layers do more. Mamba-2 scales each write by the
# step that also sets its decay, mLSTM has an input gate, and nearly all have several heads. This page finds exactly what each of these reaches, and what it does not.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-writes", "caption": "A gate on the write undoes the wrong order in one head. Two tasks of 50 examples, the better hint first ($r = (0.8, 0.2)$, $d = 10$). Thin: what is written; dashed: what later gates leave of it; wide: the weight, their product, each as a share of its largest value. Last panel: one head minus another, neither with a gate on the write. In all panels but the first the wide line is that of the best weights."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    wpgd_step,
)
from glalib.gates import weights_to_gates
from glalib.layout import DELIMITED
from torch import nn

plotting.use_style()
first = PromptDistribution(10, (50, 50), (0.8, 0.2))
best, forget = optimal_wpgd(first), optimal_wpgd(first, "monotone")
wanted = first.expand(best.omega)
share = 0.9 * wanted / wanted.sum()
later = share[::-1].cumsum()[::-1] - share
step, after = np.zeros(100), 0.0
for i in reversed(range(100)):
    step[i] = share[i] * np.exp(after)
    after += step[i]
panels = {
    "forget only": (np.ones(100), first.expand(forget.omega)),
    "coupled, $u = 1 - g$": (share / (1 - later), 1 - later),
    r"step, $u = \Delta$, $g = e^{-\Delta}$": (step, share / step),
    "two heads": (wanted[0] * np.ones(100), wanted[0] - wanted),
}
fig, axes = plt.subplots(2, 2, figsize=(6.4, 4.6), sharex=True, sharey=True)
at, drawn = np.arange(1, 101), {}
for ax, (name, (written, kept)) in zip(axes.flat, panels.items(), strict=True):
    weight = wanted if name == "two heads" else written * kept
    lines = [weight / weight.max(), written / written.max(), kept / kept.max()]
    if name == "two heads":
        lines[2] = kept / wanted.max()
    drawn[name] = lines
    ax.step(at, lines[0], color=plotting.TASKS[3], linewidth=6, alpha=0.65)
    ax.step(at, lines[1], color=plotting.TASKS[0], linewidth=1.6)
    ax.step(at, lines[2], color="0.25", linestyle=(0, (4, 1.4)), linewidth=1.6)
    ax.set(title=name, ylim=(0, 1.12))
axes[0, 0].text(50, 0.86, f"all equal: {forget.risk / 10:.2f} $d$", ha="center")
axes[0, 1].text(99, 0.78, "kept", ha="right", color="0.25")
axes[0, 1].text(53, 0.05, "written", color=plotting.TASKS[0])
axes[0, 1].text(53, 0.34, f"weight: {best.risk / 10:.2f} $d$")
axes[1, 1].text(99, 0.88, "head 1", ha="right", color=plotting.TASKS[0])
axes[1, 1].text(99, 0.6, "minus head 2", ha="right", color="0.25")
for ax in axes[1]:
    ax.set_xlabel("example $i$")
_ = axes[0, 0].set_ylabel("share"), axes[1, 0].set_ylabel("share")

# %% tags=["remove-input"]
plotting.FigureData(
    "writes",
    {
        "panel": [name for name in drawn for _ in at],
        "example": list(at) * 4,
        **{
            column: np.concatenate([lines[i] for lines in drawn.values()])
            for i, column in enumerate(
                ("weight", "written_or_head_1", "kept_or_head_2")
            )
        },
    },
    figure=fig,
    d=10,
    n="50 + 50",
    r=(0.8, 0.2),
    sigma=0,
    seed="none",
)


# %% [markdown]
# ```{note}
# Weights on this page do not read the data: gates see what kind of token they stand at.
# ```
#
# ## A gate on the write
#
# ```{symbols}
# omega P P_q P_k K counts n d x y x_query q k v G o risk M r R C Sx Sigma sigma Q h gamma beta lambda f B
# ```
#
# Let token $i$ write $u_i\, v_i k_i^\top$ with a factor $u_i \ge 0$ of its own. Then its weight is what it writes, times what later gates leave of it:
#
# $$
# \omega_i = u_i \prod_{j=i+1}^{n+1} g_j .
# $$
#
# What can one choose? In real layers $u_i$ and $g_i$ are often not two choices but one. A running average forgets as much as it takes in, $u_i = 1 - g_i$: the gates are *coupled*. Mamba-2 {cite}`dao2024transformers` has a
# step $\Delta_i$ for each token and one rate $A$ for each head: $u_i = \Delta_i$ and $g_i = e^{-A \Delta_i}$. To write more of a token is then to forget more of what came before. Is this one choice for each token enough? It is.
#
# ```{prf:theorem} Gates on the write
# :label: thm-writes
#
# **A gate on the write gives all weights that are not negative, up to a common factor, also where it is tied to the forget gate.**
#
# *New here.* Let keys and queries read features and values the label, as in {prf:ref}`def-construction`, let example $i$ write $u_i\, v_i k_i^\top$ with $u_i \ge 0$, and let the scalar gates $g_1, \dots, g_{n+1}$, the last of the query, lie in $[0, 1]$. The layer is WPGD with the weights
# above.
#
# 1. The weights reached are exactly
#    - *forget only*, $u_i = 1$: those with $0 \le \omega_1 \le \dots \le \omega_n \le 1$;
#    - *free*, all $u_i \ge 0$: all $\omega \ge 0$;
#    - *coupled*, $u_i = 1 - g_i$: all $\omega \ge 0$ with $\sum_i \omega_i \le 1$;
#    - *coupled above a floor*, $u_i = 1 - g_i$ and $g_i \ge \theta$ with $0 \le \theta < 1$: those $\omega \ge 0$ with $\omega_i \le (1 - \theta) \bigl( 1 - \sum_{j > i} \omega_j \bigr)$ for all $i$;
#    - *step-tied*, $u_i = \Delta_i \ge 0$ and $g_i = e^{-A \Delta_i}$ with one $A > 0$: all $\omega \ge 0$.
# 2. So all but the first reach every $\omega \ge 0$ up to a positive factor; and if gates are confined to $(0, 1)$, or $(\theta, 1)$, and $u_i$ to $(0, \infty)$, every $\omega > 0$ and no others. A largest step, $\Delta_i \le \Delta_{\max}$, does not change this.
# 3. Over $P$ and the gates of any tie but the first the infimum of the risk is the minimum over $P$ and $\omega \ge 0$, also if gates are the same for all examples of a block, and also if they are confined as in 2. It is the least risk $\risk^\star$ of WPGD if and only if some best weights have no two entries of opposite signs. For independent tasks of any sizes, $R_K = I$, and $\Sigma \ne 0$, this is so if
#    and only if no two $r_k$ have opposite signs. If some have, the infimum is that of the prompt in which the relevances of one sign are put to zero, of whichever sign leaves less risk, and at least half of the gain $M - \risk^\star$ is kept.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-writes)=
# ```{prf:proof}
# By {prf:ref}`thm-gla-is-wpgd` the gates after token $i$ multiply its write; a factor $u_i$ of its value multiplies its weight. Let $c_i = \prod_{j > i} g_j$, so that $c_n = g_{n+1}$, $c_{i-1} = g_i c_i$ and $\omega_i = u_i c_i$.
#
# **1.** *Forget only:* $\omega_i = c_i$ with $c_{i-1} \le c_i \le 1$, and any such sequence occurs. *Free:* take all gates one.
#
# *Coupled.* $\omega_i = c_i - c_{i-1} \ge 0$, and the sum telescopes to $g_{n+1} - c_0 \le 1$. Conversely let $\omega \ge 0$ with $\sum_i \omega_i \le 1$. Put $g_{n+1} = 1$, $c_i = 1 - \sum_{j > i} \omega_j \ge \omega_i$ and $g_i = 1 - \omega_i / c_i \in [0, 1]$, or $1$ if $c_i = 0$, where $\omega_i = 0$ too. Then $g_i c_i = c_{i-1}$, so the $c_i$ are the products of the gates, and $(1 - g_i)\, c_i = \omega_i$.
#
# *Above a floor.* Now $\omega_i = (1 - g_i)\, c_i \le (1 - \theta)\, c_i$, and $c_i = g_{n+1} - \sum_{j > i} \omega_j \le 1 - \sum_{j>i} \omega_j$. Conversely, the condition gives by induction from $i = n$ down $c_i := 1 - \sum_{j > i} \omega_j > 0$, as $c_{i-1} = c_i - \omega_i \ge \theta c_i$ (for $\theta = 0$ it may be zero, and all earlier weights with it), and the gates of the coupled case are $1 - \omega_i / c_i \ge \theta$.
#
# *Step-tied.* From the last token to the first, $\Delta_i = \omega_i \exp\bigl( A \sum_{j > i} \Delta_j \bigr)$ is defined and gives $\omega_i = \Delta_i c_i$, with $g_{n+1} = 1$.
#
# **2.** Each set contains a small multiple of every $\omega \ge 0$; above a floor the factor $t$ has to satisfy $t\, \bigl( \omega_i + (1 - \theta) \sum_{j > i} \omega_j \bigr) \le 1 - \theta$. In the confined case no $\omega_i$ is zero. For $\omega > 0$ take $t$ so small that the inequalities of 1 are strict with $g_{n+1}$ in the place of $1$, for some $g_{n+1} < 1$ near it: the formulas then give
# $0 < g_i < 1$ (or $> \theta$) and $u_i > 0$; step-tied, start the sums with the query's step $\Delta_{n+1} > 0$; free, take all gates $1 - \epsilon$. For steps: $c_{i-1} = c_i\, e^{-A \omega_i / c_i} \ge c_i - A \omega_i$, so $c_i \ge g_{n+1} - A \sum_{j > i} \omega_j$, and if $A \sum_j \omega_j < g_{n+1}$ then $\Delta_i = \omega_i/c_i \le \omega_i / (g_{n+1} - A \sum_j \omega_j)$, as small as you like
# with $t$.
#
# **3.** The factor is part of $P$, and the risk is continuous in $\omega$, so the infimum over each of the sets, open or closed, is that over $\omega \ge 0$, $\omega \ne 0$, where the minimum exists as in {prf:ref}`thm-scalar-gate`, part 2; as there, block averages, which are not negative either, are no worse. Let gates be the same within blocks, and let block $k$ write $u = \epsilon w_k$, with
# the tie's gate, $1 - \epsilon w_k$ or $e^{-A \epsilon w_k}$ (free: gates $1$), the gates of the query and of delimiters, which write nothing, being one. As $\epsilon \to 0$ the weights divided by $\epsilon$ tend to $w$; if gates are confined, move $w$ and the gates of one a little.
#
# The sign of $P$ is free, so the minimum is $\risk^\star$ if and only if a best $\omega$ or its negative is $\ge 0$. For $R_K = I$ the weights of all non-trivial stationary points are multiples of $r_k / (1 + h\, n_k)$ on block $k$, $h \ge 0$ ({prf:ref}`thm-stationary-points`): their signs are those of $r$. (For $r = 0$ all is $M$.)
#
# For the last sentence fix $Q$ with $\tr(\Sigma Q) \neq 0$. With the best scale the risk of {prf:ref}`prop-population-risk` is $M - c_Q\, (r^\top \omega)^2 / \omega^\top (I + h_Q R)\, \omega$ with $c_Q > 0$ and $h_Q \ge 0$ that do not depend on $\omega$ or $r$. If $w \ge 0$ is constant on blocks and $r^\top w > 0$, then $r^\top w \le r_+^\top w$ with $r_+ = \max(r, 0)$, so the gain is at most the best for
# $r_+$ in the place of $r$; and this is attained by $w_k = \max(r_k, 0) / (1 + h_Q n_k)$, for which $r^\top w = r_+^\top w$. In the same way for $r^\top w < 0$. Now minimise over $Q$. At the $Q$ of $\risk^\star$ the best gain, $c_Q \sum_k n_k r_k^2/(1 + h_Q n_k)$, is the sum of those of the two signs.
# ```
# ````
#
# A weight can be set by whoever knows what a token is worth. A write gate has to know it as the token comes; a forget gate may learn it later, at a mark in the prompt, but lowers all that came before alike. What only the query knows is on {doc}`at_the_query`.
#
# The theorem is two recursions, from the last token to the first:


# %%
def coupled(omega):
    """u_i = 1 - g_i: what is left for token i is 1 - sum_{j>i} omega_j."""
    left = 1 - (np.cumsum(omega[::-1])[::-1] - omega)
    return omega / left


def stepped(omega, A):
    """Delta_i = omega_i exp(A sum_{j>i} Delta_j)."""
    Delta, later = np.zeros(len(omega)), 0.0
    for i in reversed(range(len(omega))):
        Delta[i] = omega[i] * np.exp(A * later)
        later += Delta[i]
    return Delta


# %% [markdown]
# To have such a layer, give `GLA` a gate with a second method, `write` ({doc}`your_own`). These read context coordinates, one number for each kind of token:


# %%
class Reads(nn.Module):
    acts_on, A, floor = "scalar", 1.0, 0.0

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(table))

    def number(self, Z):
        return Z[..., -len(self.table) :] @ self.table


class Coupled(Reads):
    name = "coupled"

    def forward(self, Z):
        return self.floor + (1 - self.floor) * torch.sigmoid(self.number(Z))

    def write(self, Z):
        return (1 - self.floor) * torch.sigmoid(-self.number(Z))


# %% tags=["hide-input"]
class Stepped(Reads):
    name = "step-tied"

    def step(self, Z):
        return nn.functional.softplus(self.number(Z))

    def forward(self, Z):
        return torch.exp(-self.A * self.step(Z))

    def write(self, Z):
        return self.step(Z)


class Free(Reads):
    name = "free"

    def forward(self, Z):
        return torch.sigmoid(self.number(Z)[..., 0])

    def write(self, Z):
        return torch.exp(self.number(Z)[..., 1])  # as an mLSTM's input gate


# %% tags=["check", "asserts-thm-writes"]
DOUBLE = {"dtype": torch.float64}


class Floored(Coupled):
    name, floor = "coupled above a floor", 0.6


def layer_of(gate, P, width):
    """Eq. (9) with this gate."""
    layer = GLA(
        width, gate, key_width=len(P), context_width=width - len(P) - 1, **DOUBLE
    )
    eye = torch.eye(len(P), **DOUBLE)
    layer.layers[0].construct(torch.as_tensor(P), eye, layer.h)
    return layer


def gates_of(tie, omega, A):
    """A gate of this tie, its table for the n tokens and the query, and its factor."""
    if tie is Free:
        return Free(
            np.append(np.stack([0 * omega + 40, np.log(omega)], 1), [[40, 0]], 0)
        ), 1
    if tie is Stepped:
        scale = 0.9 / (A * omega.sum())  # keeps the steps small
        gate = Stepped(
            np.append(np.log(np.expm1(stepped(scale * omega, A))), -800.0)
        )
        gate.A = A
        return gate, scale
    room, floor = (
        omega + (1 - tie.floor) * (omega.sum() - omega.cumsum()),
        tie.floor,
    )
    scale = (
        (0.999 if floor == 0 else 1.0) * (1 - floor) / room.max()
    )  # to the boundary
    u = coupled(scale * omega) / (1 - floor)
    u = u.clip(1e-16, 1 - 1e-16)
    return tie(np.append(np.log1p(-u) - np.log(u), 40.0)), scale


rng, worst, tried = np.random.default_rng(0), 0.0, 0
for n in (1, 2, 7, 12):
    dist, tokens = PromptDistribution(3, (1,) * n, (0.0,) * n), Layout(context=True)
    p = dist.sample(6, torch.Generator().manual_seed(n), **DOUBLE)
    for tie in (Free, Coupled, Floored, Stepped):
        for spread in (0, 1, 4):  # falling weights, over up to eight powers of ten
            omega = np.sort(10 ** rng.uniform(-spread, spread, size=n))[::-1].copy()
            P, omega = rng.normal(size=(3, 3)), omega / omega.sum()
            gate, scale = gates_of(tie, omega, A=float(rng.choice([0.1, 1, 3])))
            layer = layer_of(gate, P / scale, tokens.width(dist))
            found = layer(tokens(p))
            expected = wpgd_step(p.x, p.y, p.x_query, P, omega)
            size = wpgd_step(p.x.abs(), p.y.abs(), p.x_query.abs(), abs(P), omega)
            error = ((found - expected).abs() / size).max().item()
            assert error < 1e-10  # a table of logarithms, and products of a dozen
            weights = layer.weights(tokens(p))[0, 0].detach().numpy() / scale
            assert np.allclose(weights, omega, rtol=1e-9, atol=1e-14)
            worst, tried = max(worst, error), tried + 1
print(
    f"{tried} layers of four ties, weights that fall: predictions right to {worst:.0e}"
)


# %% [markdown]
# Is each set no larger than stated? Random gates stay inside, and the boundary is reached:


# %% tags=["check", "asserts-thm-writes"]
def weights_of(u, g):
    """omega_i = u_i times the gates after i, for g (n + 1,)."""
    return u * np.cumprod(g[::-1])[::-1][1:]


fullest, tightest, tried = 0.0, 0.0, 2000
for _ in range(tried):
    n, theta, power = (
        int(rng.integers(1, 9)),
        rng.random() ** 2,
        10 ** rng.uniform(-2, 2),
    )
    g = theta + (1 - theta) * rng.random(n + 1) ** power
    if rng.random() < 0.2:
        g[:-1], g[-1] = theta, 1.0  # the extreme point
    omega = weights_of(1 - g[:-1], g)
    left = 1 - (omega.sum() - omega.cumsum())
    assert omega.min() >= 0 and omega.sum() <= 1 + 1e-12
    assert (omega <= (1 - theta) * left + 1e-12).all()  # rounding of a sum to one
    fullest = max(fullest, omega.sum())
    clear = left > 1e-3
    met = omega[clear] / (1 - theta) / left[clear]
    tightest = max(tightest, met.max(initial=0))
    forgets = weights_of(1, g)
    assert (forgets[:-1] >= theta * forgets[1:] - 1e-15).all()
assert fullest > 1 - 1e-3 and tightest > 1 - 1e-9
print(
    f"{tried} random gates: the sum is at most {fullest:.4f}, and the bound of the floor "
    f"is met up to {abs(tightest - 1):.0e}"
)


# %% [markdown]
# So a floor under the forget gate costs nothing but scale where the write is tied to it. Under a forget gate alone it is a loss: there $\omega_i \ge \theta\, \omega_{i+1}$, and it takes several tokens to forget what one may not. And the obstruction of {prf:ref}`thm-scalar-gate`
# is one of *writing without a gate*:
#
# | what a head has | weights, up to scale | reaches $\risk^\star$ for independent tasks | layers |
# |---|---|---|---|
# | a forget gate | $0 \le \omega_1 \le \dots \le \omega_n$ | equal sizes: relevance in order ({prf:ref}`asm-order`) | RetNet, where constant |
# | any gate on the write, tied or free | $\omega \ge 0$ | no two $r_k$ of opposite signs | Mamba-2; mLSTM but for its normaliser ({doc}`at_the_query`) |
# | two heads that share keys, one subtracted | all $\omega$ ({prf:ref}`prop-two-value-channels`) | always | most layers have heads |
# | enough heads with keys of their own | an $\omega$ for each direction | always, and may pass below ({prf:ref}`thm-heads`) | most layers have heads |
#
# ```{dropdown} What the table leaves out
# Exact zero-order hold, by which Mamba turns a rate into a gate {cite}`gu2024mamba`, has $u = (1 - e^{-A \Delta})/A$: this is the coupled tie with another scale, while $u = \Delta$ is its first order. HGRN2
# {cite}`qin2024hgrn2` takes $1 - g$ as the key itself, channel by channel. There the write is no factor before a key that reads features, and this page says nothing of it. Gates on keys or values, in as many channels as are
# needed, do without a gate on the write ({prf:ref}`thm-vector-gate`). A delta rule's write also erases.
# ```
#
# Does a gate find these weights, when it has to learn them? Here it knows only the block that it is in, and descends the exact risk, with the best $P$ at each step.


# %% tags=["hide-input"]
def risk_of(omega, dist):
    """Risk with the best P, for white features and independent tasks, over d."""
    r = torch.tensor(dist.r[dist.task_index])
    blocks = torch.stack([block.sum() for block in omega.split(dist.counts)])
    spread = (dist.M + 1) * omega.square().sum() + blocks.square().sum()
    return dist.M / dist.d - (r @ omega) ** 2 / spread


def trained(gate, dist):
    """The gate's weights, by blocks, and their risk."""
    p = dist.sample(1, torch.Generator(), **DOUBLE)
    Z, example = DELIMITED(p), torch.tensor(~DELIMITED.blocks(dist.counts)[1])
    layer = layer_of(gate, np.eye(dist.d), Z.shape[-1])
    adam = torch.optim.Adam(layer.layers[0].own.parameters(), lr=0.1)
    for _ in range(250):
        adam.zero_grad()
        omega = layer.weights(Z)[0, 0, example]
        risk_of(omega, dist).backward()
        adam.step()
    return [b.mean().item() for b in omega.split(dist.counts)], risk_of(
        omega, dist
    ).item()


# %% tags=["check", "asserts-thm-writes"]
class Forgets(Reads):
    name = "forget only"

    def forward(self, Z):
        return torch.sigmoid(self.number(Z))


rows = {}
for r in ((0.2, 0.8), (0.8, 0.2)):
    dist = PromptDistribution(5, (20, 20), r)
    lines = [optimal_wpgd(dist, w).risk / 5 for w in ("monotone", "free")]
    for tie, start in ((Forgets, 3.0), (Coupled, 3.0), (Stepped, -3.0)):
        (first_block, second_block), risk = trained(
            tie(torch.full((5,), start, **DOUBLE)), dist
        )
        line = lines[0] if tie is Forgets else lines[1]
        assert line - 1e-12 < risk < line + 0.01  # what a block forgets of itself
        rows[tie.name, r] = second_block / first_block
    # The best weights are as the relevances; what only forgets makes them equal.
    ends = [rows[tie.name, r] for tie in (Forgets, Coupled, Stepped)]
    wanted = [max(r[1] / r[0], 1), r[1] / r[0], r[1] / r[0]]
    assert np.allclose(ends, wanted, rtol=0.05)  # they come to two per cent
assert np.allclose(lines, 1 - 20 * np.array([0.5, 0.68]) / 26)
print(
    f"better hint first: forget only ends at {lines[0]:.3f} d, coupled and step-tied at "
    f"{risk:.3f} d, the best weights at {lines[1]:.3f} d"
)


# %% [markdown]
# ## How many heads
#
# Heads with keys and queries of their own add up their steps, each with its own $P_j$ and its own weights. Together they can give each direction of the features its own weights, as on {doc}`beyond_wpgd`, and no number of heads passes below the risk found there ({prf:ref}`prop-ceiling-heads`). How many are enough?
#
# ```{prf:theorem} How many heads
# :label: thm-heads
#
# **Enough heads give each direction of the features its own weights; how many are enough is a count of distinct eigenvalues.**
#
# *New here.* Let $\Sigma \ne 0$ have the eigenvalues $s_l$, let $R$ and $r \neq 0$ be those of the $n$ examples, and let $m$ heads predict $\sum_{j=1}^m x^\top P_j X^\top (\omega^{(j)} \odot y)$, with matrices and weights that do not read the data. Put $A_l = (M + s_l) I + s_l R$ and $\risk^{\text{key}} = M - \sum_l s_l^2\, r^\top A_l^{-1} r$. Let $k_\Sigma$ be the number of distinct
# non-zero $s_l$, $k_R$ the number of distinct eigenvalues of $R$ to whose eigenspaces $r$ is not orthogonal, and $V$ the span of the vectors $A_l^{-1} r$, $s_l \ne 0$.
#
# 1. $\dim V = \min(k_\Sigma, k_R)$. With weights of any sign, $m$ heads reach $\risk^{\text{key}}$ if and only if $m \ge \dim V$; the infimum over fewer is larger.
# 2. Let the weights of each head be confined to a closed convex cone $\mathcal K$ with interior points, such as $0 \le \omega_1 \le \dots \le \omega_n$ for forget gates, or $\omega \ge 0$ for gates on the write. (Where gates know the block only, interior is meant in the space of weights that are constant on blocks; $V$ lies in it.) Then $\dim V + 1$ heads reach $\risk^{\text{key}}$. With $\dim V$ heads it is reached if and only if $V \cap \mathcal K$ spans $V$, and it is the infimum if and only if
#    $V \cap \mathcal K \neq \{0\}$.
# 3. One head with weights $\omega \ne 0$ and the best $P$ for them has the risk
#
#    $$
#    \risk^{\text{key}} + \sum_l s_l^2 \Bigl[ r^\top A_l^{-1} r - \frac{(r^\top \omega)^2}{\omega^\top A_l\, \omega} \Bigr],
#    $$
#
#    and no bracket is negative.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-heads)=
# ```{prf:proof}
# With $Q_i = \Sigma_x^{1/2} \bigl( \sum_j \omega^{(j)}_i P_j \bigr) \Sigma_x^{1/2}$ in an eigenbasis of $\Sigma$, the proof of {prf:ref}`prop-beyond-wpgd` writes the risk as $\risk^{\text{key}}$ plus, for each entry $(l, t)$, the positive definite form of $(M + s_t) I + s_t R$ at the difference between the vector of these entries, in $\R^n$, and its best value: $s_l A_l^{-1} r$ at $(l, l)$ and zero elsewhere. Read the
# $n$ matrices as one map from $\R^{d \times d}$ to $\R^n$, of rank at most $m$: its columns are combinations of the $\omega^{(j)}$. The best one has the column space $V$, and is unique.
#
# **1.** In an eigenbasis of $R$, with one vector for each eigenvalue $\lambda$ that counts for $k_R$, $A_l^{-1} r$ has the entries $s_l^{-1} a_\lambda/(c_l + \lambda)$ with $c_l = 1 + M/s_l > 0$ and $a_\lambda \neq 0$ the length of the part of $r$. So $\dim V$ is the rank of the matrix of all $1/(c_l + \lambda)$, $k_R$ by $k_\Sigma$ after repeated columns are dropped. Its square submatrices are Cauchy's, with determinant
# $\prod_{l < l'} (c_{l'} - c_l) \prod_{\lambda < \lambda'} (\lambda' - \lambda) / \prod (c_l + \lambda) \ne 0$, so its rank is full. A basis of $V$ makes $\dim V$ heads; the $P_j$ exist, as in {prf:ref}`prop-beyond-wpgd`. Maps of smaller rank are a closed set without the minimiser, and the excess is a positive definite form, so its infimum on them is attained and positive.
#
# **2.** Let $e$ be an interior point of $\mathcal K$, and $z_1, z_2, \dots$ a basis of $V$. For small $\epsilon > 0$ the weights $e$ and $e + \epsilon z_j$ lie in $\mathcal K$, and they span a space that contains $V$. With $\dim V$ heads and the best map the $\omega^{(j)}$ span $V$; so they exist in $\mathcal K$ if and only if $V \cap \mathcal K$ spans $V$.
#
# *In the limit, enough.* Let $0 \ne \omega \in V \cap \mathcal K$, and complete it to a basis $\omega, z_2, \dots$ of $V$. The space spanned by $\omega + \epsilon e, z_2, \dots$ has the interior point $\omega + \epsilon e$ of $\mathcal K$, so it is spanned by elements of $\mathcal K$; and it tends to $V$ as $\epsilon \to 0$. The maps with these column spaces that are nearest to the best one tend to it.
# *Needed.* If risks tend to $\risk^{\text{key}}$, the maps tend to the best one. In the end their rank is $\dim V$, so their column spaces are spanned by the $\omega^{(j)}$, all non-zero and in $\mathcal K$, and tend to $V$. The limit of $\omega^{(1)}/\norm{\omega^{(1)}}$, along a subsequence, is in $V$ and in $\mathcal K$.
#
# **3.** One head's excess is least if $Q$ is diagonal with entries $t_l$, and $t_l$ minimises the form of $A_l$ at $t_l\, \omega - s_l A_l^{-1} r$. The minimum is the bracket times $s_l^2$, and Cauchy and Schwarz say its sign.
# ```
# ````
#
# For independent tasks $k_R$ is the number of distinct sizes $n_k$ among the tasks with $r_k \ne 0$. So if these are of one size, or if all non-zero $s_l$ are equal, **one** weighting is best in all directions, and more heads buy freedom of order and signs, nothing else. With forget gates it takes one head if the best weights, or their negatives, lie in the cone $0 \le \omega_1 \le \dots \le \omega_n$, and two if not. Heads with different weights pay only where both the sizes and the $s_l$ are unequal.
#
# A head with its own $P_j$ needs no new code. It is $d$ key channels with equal gates, so $m$ heads are one layer with a key gate:


# %% tags=["hide-input"]
def layer_of_heads(P, omega, dist):
    """Heads P (m, d, d) with rising weights omega (m, K), as one key-gated layer."""
    scale = omega.max(1)
    gates = [
        weights_to_gates(DELIMITED.weights(dist, row / row.max())) for row in omega
    ]
    P_q = np.hstack(list(scale[:, None, None] * P))
    P_k = np.hstack([np.eye(dist.d)] * len(P))
    gates = np.repeat(np.stack(gates, 1), dist.d, axis=1)
    return GLA.from_matrices(P_q, P_k, gates, "key", context_width=2 * dist.K + 1)


# %% tags=["check", "asserts-thm-heads"]
def wanted_maps(dist):
    """R^key, the b_l (d, K) and the A_l, for independent tasks and Sx = diag, C = I."""
    n, r, s = np.array(dist.counts), dist.r, np.diag(dist.Sx)
    forms = [np.diag(dist.M + v * (1 + n)) for v in s]
    b = np.stack([v * np.linalg.solve(A, r) for v, A in zip(s, forms)])
    return dist.M - s @ b @ (n * r), b, forms


def risk_of_maps(dist, B):
    """Of maps B (K, d, d), one for each task; independent tasks, Sx = diag, C = I."""
    n, s = np.array(dist.counts), np.diag(dist.Sx)
    Q = np.sqrt(s)[:, None] * B * np.sqrt(s)
    cost = n[:, None, None] * (dist.M + s * (1 + n[:, None, None])) * Q**2
    return dist.M - 2 * np.einsum("a,kaa,k->", s, Q, n * dist.r) + cost.sum()


rng, tried, counted = np.random.default_rng(3), 0, set()
for distinct, sizes in (
    (1, (2, 9, 40)),
    (2, (2, 9, 40)),
    (3, (2, 9, 40)),
    (3, (9, 2, 9)),
    (4, (7, 7, 7)),
):
    s = np.append(10.0 ** -np.arange(distinct), 1.0)
    dist = PromptDistribution(
        len(s), sizes, (0.5, 0.6, 0.4), Sx=np.diag(s), sigma=0.3
    )
    least, b, forms = wanted_maps(dist)
    sizes_of = np.linalg.svd(b / np.linalg.norm(b, axis=1)[:, None])[1]
    rank = int((sizes_of > 1e-8).sum())
    assert rank == min(distinct, len(set(sizes)))
    # One spare head with forget gates, whatever V is: e and e + eps v.
    basis = np.linalg.svd(b.T)[0][:, :rank].T
    e = np.arange(1.0, 4.0)
    omega = np.vstack([e, e + 0.3 * basis])
    assert (np.diff(omega, axis=1) > 0).all() and (omega > 0).all()
    P = np.linalg.lstsq(omega.T, (b / s[:, None]).T, rcond=None)[0]
    P = P[:, :, None] * np.eye(len(s))
    assert np.isclose(
        risk_of_maps(dist, np.einsum("jk,jab->kab", omega, P)), least, rtol=1e-10
    )
    # The layer does what the heads say.
    p = dist.sample(4, torch.Generator().manual_seed(0), **DOUBLE)
    heads = [
        wpgd_step(p.x, p.y, p.x_query, A, dist.expand(w)) for A, w in zip(P, omega)
    ]
    found = layer_of_heads(P, omega, dist)(DELIMITED(p))
    size = sum(head.abs() for head in heads).max()
    assert (found - sum(heads)).abs().max() < 1e-10 * size
    # One head, with any weights: the excess of part 3.
    # First those that suit the first direction: its bracket, and no less, is zero.
    own = np.linalg.solve(forms[0], dist.r)
    for j, w in enumerate([own, *rng.normal(size=(4, 3))]):
        n = np.array(sizes)
        over = [
            v**2
            * (
                (n * dist.r) @ np.linalg.solve(A, dist.r)
                - (n * dist.r @ w) ** 2 / ((n * w) @ A @ w)
            )
            for v, A in zip(s, forms)
        ]
        assert min(over) > -1e-12
        assert (over[0] < 1e-12) == (j == 0)
        assert np.isclose(optimal_wpgd(dist, w).risk, least + sum(over), rtol=1e-10)
    gain = optimal_wpgd(dist).risk - least
    assert (gain < 1e-10) == (rank == 1)
    tried += 1
    counted.add(rank)
print(
    f"{tried} prompts that want {min(counted)} to {max(counted)} heads: one spare head with forget gates has the best risk"
)

# %% [markdown]
# ## Break it
#
# **A relevance of the other sign.** Let the second task be opposed to the query. No gate on the write makes a weight negative. What is left is to ignore the task, and a second head is needed to subtract it.

# %%
opposed = PromptDistribution(5, (20, 20), (0.8, -0.2))
ignored = PromptDistribution(5, (20, 20), (0.8, 0.0))
(one, two), risk = trained(Coupled(torch.full((5,), 3.0, **DOUBLE)), opposed)
least = optimal_wpgd(ignored).risk / 5
assert least < risk < least + 0.01 and abs(two) < 0.1 * one
assert np.isclose(
    optimal_wpgd(opposed).risk / 5, least - 20 * 0.04 / 26
)  # two heads

# %% [markdown]
# **A floor, and no gate on the write.** With $g \ge \theta$ a forget gate alone cannot leave a task behind at one delimiter, even in the right order:

# %%
right = PromptDistribution(5, (20, 20), (0.0, 0.9))
floors = np.array([0.0, 0.3, 0.6, 0.9])
risks = [optimal_wpgd(right, (floor, 1.0)).risk / 5 for floor in floors]
assert np.allclose(risks, 1 - 20 * 0.81 / (26 * (1 + floors**2)))
assert np.isclose(risks[0], optimal_wpgd(right).risk / 5)
print(" ".join(f"{risk:.2f}" for risk in risks))

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: coupled gates
# :label: ex-coupled-gates
#
# Three tokens are to have the weights $\frac14, \frac12, \frac14$ in a head with $u_i = 1 - g_i$, and the query's gate is one. Which gates? Could the weights be $\frac12, \frac12, \frac12$?
# ```
#
# ```{answer} ex-coupled-gates
# asks: The three gates for the weights 1/4, 1/2, 1/4, from the first token to the last.
# value: 1 - coupled(omega)
# within: 0.01
# wrong:
# - value: coupled(omega)
#   says: These are the factors u of what is written. A gate is one minus its factor.
# - value: 1 - omega
#   says: That holds for the last token only. What an earlier one writes is forgotten in part by the gates after it.
# - value: 1 - coupled(omega[::-1])[::-1]
#   says: You began with the first token. The last one takes its share first, as nothing comes after it.
# - value: "[1/2, 2, 1]"
#   says: These are quotients of neighbouring weights, the gates of a head that writes all at full strength. Here a write has its own factor.
# - above: 1
#   says: A gate is at most one.
# minutes: 5
# level: 1
# ```
#
# ```{answer} ex-coupled-gates-sum
# asks: Which share of the weights 1/2, 1/2, 1/2 can be had at most?
# value: 2/3
# wrong:
# - value: 1
#   says: What is left for the first token, once two halves are given away?
# - value: 1/2
#   says: The sum of the weights is bounded, not each of them. How large may all three be?
# - value: 0
#   says: A multiple of the weights can be had. How large may their sum be?
# minutes: 3
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Start from the last token. What is left for token $i$ is $1 - \sum_{j > i} \omega_j$.
# ```
#
# ````{solution} ex-coupled-gates
# :class: dropdown
#
# $u_3 = \frac14$. For the second $\frac34$ is left, so $u_2 = \frac23$; for the first $\frac14$, so $u_1 = 1$. The gates are $g = (0, \frac13, \frac34)$. The sum of the second weights is more than one: no gates have them, only two thirds of them, and $P$ makes up for that.
#
# ```python
# omega = np.array([0.25, 0.5, 0.25])
# assert np.allclose(1 - coupled(omega), (0, 1 / 3, 3 / 4))
# assert np.allclose(weights_of(coupled(omega), np.append(1 - coupled(omega), 1)), omega)
# ```
# ````
#
# ```{exercise} Compute: steps that explode
# :label: ex-steps-explode
#
# All $n$ weights are to be one in a step-tied head with $A = 1$. How large must the first steps be for $n = 2, 3, 4$? And how large if the weights are all $\frac{1}{2n}$, and $P$ makes up for the scale?
# ```
#
# ```{answer} ex-steps-explode
# asks: The first step of three tokens, if all weights are one and A is one.
# value: first_steps[1]
# within: 2%
# wrong:
# - value: np.e
#   says: That is the first step of two tokens. With three there is one more before it.
# - value: np.exp(2)
#   says: That is as if both later steps were one. The one in the middle has to outlive the last.
# - value: np.exp(np.e)
#   says: The first token outlives both later steps, not only the one after it.
# - value: 1
#   says: That is the last step. An earlier one must make up for what later gates take from it.
# - value: first_steps[2]
#   says: That is the first step of four tokens.
# minutes: 5
# level: 1
# ```
#
# ```{answer} ex-steps-explode-small
# asks: In a long prompt with all weights 1/(2n) and A = 1, how many times its weight is the first step?
# value: steps[0] * 2 * n
# wrong:
# - value: 1
#   says: That is so for the last step. The first has all others after it.
# - value: np.exp(0.5)
#   says: The exponent is the sum of the later steps, and they are larger than their weights.
# - value: np.exp(1)
#   says: The later steps add up to less than one. Run the recursion, or read the bound in part 2 of the proof.
# minutes: 7
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `stepped` has the recursion. Part 2 of the proof has a bound.
# ```
#
# ````{solution} ex-steps-explode
# :class: dropdown
#
# The last step is $1$, the one before $e$, then $e^{1 + e} \approx 41$, and then more than $10^{19}$: each has to outlive all that come after it. With small weights it is harmless: $\Delta_i \le \omega_i / (1 - A \sum_j \omega_j)$, at most twice the weight.
#
# ```python
# first_steps = [stepped(np.ones(n), 1.0)[0] for n in (2, 3, 4)]
# assert np.allclose(first_steps[:2], (np.e, np.exp(1 + np.e)))
# assert np.isclose(first_steps[2], np.exp(1 + np.e + np.exp(1 + np.e))) and first_steps[2] > 1e19
# for n in (2, 4, 100, 10_000):
#     steps = stepped(np.full(n, 1 / (2 * n)), 1.0)
#     assert steps.max() < 2 / (2 * n)
# assert steps[0] > 1.99 / (2 * n)  # and no less, in long prompts
# ```
# ````
#
# ```{exercise} Explore: how much a gate on the write keeps
# :label: ex-write-keeps
#
# Six independent tasks of one size have relevances of random signs. What share of the gain $M - \risk^\star$ does a head with a gate on the write keep, and what does a forget gate? What is the least that the former can keep?
# ```
#
# ```{answer} ex-write-keeps
# asks: Relevances in the ratios 6, 1, -1, -2, -2, -2. Which share of the gain does a head with a gate on the write keep?
# value: "(lambda r, of: of(np.maximum(r, 0)) / of(r))(np.array([6, 1, -1, -2, -2, -2]) / 10, lambda r: (lambda p: p.M - optimal_wpgd(p).risk)(PromptDistribution(5, (20,) * 6, r)))"
# wrong:
# - value: 13/50
#   says: That keeps the relevances of the other sign. Which of the two parts is the larger?
# - value: 7/14
#   says: Shares of relevances. A gain counts their squares.
# - value: 2/6
#   says: That counts the tasks that are kept. How much is each of them worth?
# - value: (37 - 13) / 50
#   says: Tasks of the other sign are ignored, which costs their part once. They do not count against the others.
# - value: (37 / 50) ** 0.5
#   says: That is a ratio of lengths of r. A gain counts the square.
# minutes: 10
# level: 2
# ```
#
# ```{answer} ex-write-keeps-least
# asks: The least share that it can keep, whatever the relevances.
# value: 0.5
# wrong:
# - value: 0
#   says: The relevances of one sign are always kept, and one may choose the sign.
# - value: 1/6
#   says: One task of six could be kept alone. But all of one sign are kept, and one may choose the sign.
# - value: 0.5**0.5
#   says: That is a ratio of lengths of r. A gain counts the square.
# minutes: 3
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Put the relevances of one sign to zero. With white features the gain is a multiple of $\norm{r}^2$.
# ```
#
# ````{solution} ex-write-keeps
# :class: dropdown
#
# The larger of the two parts of $\norm{r}^2$, of the positive relevances and of the negative ones: never less than half, and half if the two are equal. A forget gate keeps much less, and with many tasks next to nothing at worst ({prf:ref}`prop-price-of-order`).
#
# ```python
# rng, shares = np.random.default_rng(6), []
# for _ in range(40):
#     r = rng.normal(size=6)
#     r *= 0.9 / np.linalg.norm(r)
#     dist = PromptDistribution(5, (20,) * 6, r)
#     ignoring = [PromptDistribution(5, (20,) * 6, np.maximum(s * r, 0)) for s in (1, -1)]
#     gains = [
#         dist.M - optimal_wpgd(dist).risk,
#         dist.M - min(optimal_wpgd(d).risk for d in ignoring),
#         dist.M - optimal_wpgd(dist, "monotone").risk,
#     ]
#     part = np.sum(np.maximum(r, 0) ** 2) / (r @ r)
#     assert np.isclose(gains[1] / gains[0], max(part, 1 - part), rtol=1e-9)
#     shares.append(gains[2] / gains[1])
# assert max(shares) < 1 + 1e-9 and np.mean(shares) < 0.6
# ```
# ````

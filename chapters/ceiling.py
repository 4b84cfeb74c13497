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
#   settles: nothing else in one layer helps, if gates do not see the examples
# ---

# %% [markdown]
# # The ceiling
#
# A layer has many more numbers than $P$ and $\omega$: can one of the others help it to beat the best weighted step?
#
# Theorem 1 is about a special layer, whose values see labels and whose keys see features. A layer that is trained has no such order. Values and keys
# read everything, the query writes too, and context coordinates leak into all of it. Might such a mixture do better than the formulas say?
#
# If gates do not look at the examples, it cannot. Inside every such layer there is a weighted step, which can be read off its weights, and all the rest
# of its prediction does harm. This page proves it for every law of prompts in the book.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ceiling", "caption": "A layer stays above its own weighted step, and that above the optimum. A layer with a scalar gate that reads context is trained from a random start, every weight free ($d = 5$, two tasks of ten examples, $r = (0.2, 0.8)$, $\\sigma = 0.5$). Thick: its risk; dashed: the risk of the weighted step inside it, read off its weights. Shaded: what all its other terms cost."}}
import itertools
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    population_risk,
    simulate_risk,
)
from glalib.layout import DELIMITED
from glalib.token_free import token_free_losses
from myst_nb import glue

plotting.use_style()
double, STEPS, BOLD = {"dtype": torch.float64}, 600, 1.6


def linked_maps(layer, dist, tokens):
    """The B_i (n, d, d) of one layer whose gates read context only."""
    d, psi, (W_q, W_k, W_v) = (
        dist.d,
        layer.scale * layer.h,
        layer.layers[0].matrices(),
    )
    example = torch.from_numpy(~tokens.blocks(dist.counts)[1])
    any_prompt = dist.sample(1, torch.Generator(), **double)
    Gamma = layer.weights(tokens(any_prompt))[0, 0, example]
    Gamma = {"key": lambda: Gamma[:, None], "value": lambda: Gamma[:, :, None]}.get(
        layer.gate, lambda: Gamma[:, None, None]
    )()
    Gamma = Gamma.expand(-1, W_v.shape[1], W_k.shape[1])
    P_q, P_k, k_y, W_x, w_y = W_q[:d], W_k[:d], W_k[d], W_v[:d], W_v[d]
    labels_in_values = P_q @ torch.diag_embed(Gamma.mT @ (psi * w_y)) @ P_k.T
    labels_in_keys = (P_q * k_y) @ Gamma.mT @ (W_x * psi).T
    return (labels_in_values + labels_in_keys).detach()


def of_maps(B, prompts):
    """f_P = sum_i x^T B_i x_i y_i."""
    parts = prompts.x_query[:, 0], B, prompts.x, prompts.y
    return torch.einsum("ba,nac,bnc,bn->b", *parts)


small = PromptDistribution(d=5, counts=(10, 10), r=(0.2, 0.8), sigma=0.5)
best = optimal_wpgd(small)
layer = GLA(
    DELIMITED.width(small),
    context_width=DELIMITED.width(small) - 6,
    gate_bias=3.0,
    scale=1 / small.n,
    generator=torch.Generator().manual_seed(2),
    **double,
)
with torch.no_grad():
    for W in layer.layers[0].matrices():
        W.mul_(BOLD)
layer.layers[0].W_g.register_hook(  # features and labels stay out of the gate
    lambda gradient: torch.cat([torch.zeros_like(gradient[:6]), gradient[6:]])
)
seen = small.sample(4000, torch.Generator().manual_seed(1), **double)
optimiser = torch.optim.Adam(layer.parameters(), lr=0.03)
prompts_drawn, curve = torch.Generator().manual_seed(0), []
marks = set(np.unique(np.geomspace(1, STEPS, 15).astype(int)) - 1)
for step in range(STEPS):
    for group in optimiser.param_groups:  # steps shrink to zero
        group["lr"] = 0.03 * (1 - step / STEPS)
    if step in marks:
        with torch.no_grad():
            B = linked_maps(layer, small, DELIMITED)
            rest = (layer(DELIMITED(seen))[:, 0] - of_maps(B, seen)).square()
        omega = (B[:, 0, 0] / B[-1, 0, 0]).numpy()
        step_risk = population_risk(small, B[-1].numpy(), omega)
        curve.append((step, step_risk + rest.mean().item(), step_risk))
    optimiser.zero_grad()
    token_free_losses(layer, small, 128, prompts_drawn).mean().backward()
    optimiser.step()
curve = np.array(curve)

fig, ax = plt.subplots(figsize=(6.4, 3.3))
at, (risk, step_risk) = curve[:, 0] + 1, curve[:, 1:3].T / 5
ax.fill_between(
    at, step_risk, risk, color=plotting.TASKS[0], alpha=0.2, linewidth=0
)
ax.plot(at, risk, color=plotting.TASKS[0], linewidth=2.8)
ax.plot(at, step_risk, "--", color=plotting.TASKS[1], linewidth=1.8)
ax.axhline(best.risk / 5, color="0.3", linestyle=(0, (1, 1.5)), linewidth=1.8)
ax.text(1, best.risk / 5 * 0.95, "the best weighted step", va="top", color="0.3")
ax.text(1.7, 1.65, "the layer", color=plotting.TASKS[0])
ax.text(1, 1.02, "its weighted step", color=plotting.TASKS[1], va="top")
ax.text(3.3, 1.25, "shaded: all its other terms")
_ = ax.set(
    xscale="log", xlabel="training step", ylabel="risk / $d$", ylim=(0.4, 2.3)
)

# %% tags=["remove-input"]
plotting.FigureData(
    "ceiling",
    dict(zip(("step", "risk", "weighted_step"), curve.T, strict=True)),
    figure=fig,
    about="d = 5, counts 10 and 10, r = (0.2, 0.8), sigma = 0.5",
    optimum=best.risk,
    seed="2 for the start, 0 for training",
)


# %% [markdown]
# ## Three flips
#
# Take a prompt and change the sign of all its features $X$. Or of all its labels $y$. Or of the query's features $x$. Each time you have a prompt that is as likely as the first, and
# each time **the right answer has changed its sign**: for $X \to -X$ and $y \to -y$ change the sign of the tasks in your mind, for $x \to -x$ it is plain. So a good predictor is odd in each of the three. What
# a layer has besides is uncorrelated with the answer, and adds noise.
#
# ```{symbols}
# d n x y x_query Z q k v G psi P_q P_k P omega R r C Sx sigma Sigma M risk W f B
# ```
#
# ```{prf:theorem} The ceiling
# :label: thm-ceiling
#
# **One layer whose gates do not see the examples is a weighted step, and other terms, which can only do harm.**
#
# *New here.* Let prompts be as in Definitions 1 and 2, with any $\Sigma_x$, $C$, $R$, $r$ and $\sigma \ge 0$. Tokens are $(x_i, y_i)$ and the query $(x, 0)$, all with
# any fixed context coordinates; between them may stand delimiters, tokens of fixed context whose features and labels are zero. Take one layer with any matrices $W_q$, $W_k$, $W_v$ and read-out $\psi$, and gates $G_i$ that are given or computed from
# context coordinates. Let $P_q$, $P_k$ and $W_x$ be the rows of $W_q$, $W_k$ and $W_v$ for the features, and $k_y$ and $w_y$ those of $W_k$ and $W_v$ for the label. With $\Gamma_i$ the product of all gates after example $i$, the
# query's among them, entry by entry, let
#
# $$
# \begin{aligned}
# B_i &= P_q \bigl[ \diag\bigl(\Gamma_i^\top (\psi \odot w_y)\bigr) P_k^\top + \diag(k_y)\, \Gamma_i^\top \diag(\psi)\, W_x^\top \bigr], \\
# f_P &= \sum_{i=1}^n x^\top B_i\, x_i\, y_i .
# \end{aligned}
# $$
#
# 1. $f_P$ is the part of the prediction $f$ that is odd in $X$, odd in $y$ and odd in $x$: the mean of $\pm f$ over the eight prompts $(\pm X, \pm y, \pm x)$, with the product of the three signs.
# 2. $\text{risk}(f) = \text{risk}(f_P) + \E (f - f_P)^2$.
# 3. If gates are scalar, or if there are none, $B_i = \omega_i P$ with $P = (\psi^\top w_y) P_q P_k^\top + P_q k_y (W_x \psi)^\top$ and $\omega_i$ the product of the gates after example $i$. So
#
#    $$
#    \text{risk}(f) = \risk(P, \omega) + \E (f - f_P)^2 \ge \risk(P, \omega) .
#    $$
#
#    The risk is never below that of the best weights which do not decrease along the prompt ({prf:ref}`prop-monotone-optimum`), for gates in $[0, 1]$; and without a gate never below that of linear attention with its best $P$.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-ceiling)=
# ```{prf:proof}
# *The flips do not change the law.* Changing the sign of all tasks and of all noise leaves the law of tasks and noise, which is Gaussian with mean zero and independent of the features, as it was. It changes the sign of $y$ and of $y_{n+1}$ and keeps $X$ and $x$. Changing the sign of $x$ and of the query's noise leaves the law, too; it
# changes the signs of $x$ and $y_{n+1}$. Changing the sign of $X$ and of the noise of the examples changes $X$ and $y$ and keeps $x$ and $y_{n+1}$; together with the first it changes the signs of $X$ and $y_{n+1}$ and keeps $y$ and $x$. So for each of the flips $y \to -y$, $x \to -x$ and $X \to -X$, the prompt after the flip with the answer $-y_{n+1}$ has the law of the
# prompt with the answer $y_{n+1}$.
#
# *Part 2, for any predictor.* Let $\E f^2 < \infty$, let $\tau$ run through the eight products of flips, with $\operatorname{sgn} \tau = \pm 1$ the product of their signs, and let $\bar f = \frac18 \sum_\tau \operatorname{sgn}(\tau)\, f \circ \tau$. Then $u = y_{n+1} - \bar f$ is odd, $u \circ \tau = \operatorname{sgn}(\tau)\, u$, where $\tau$ acts on the answer too. As $\tau$ does not change the law,
# $\E\, u\, (f - \bar f) = \operatorname{sgn}(\tau) \E\, u \cdot (f - \bar f) \circ \tau$, and the mean over $\tau$ is $\E\, u$ times the odd part of $f - \bar f$, which is zero. Hence $\E (y_{n+1} - f)^2 = \E\, u^2 + \E (f - \bar f)^2$.
#
# *Part 1.* Let $\psi_j v_{ij}$ be a value channel with its read-out, $k_{il}$ a key channel, and $q_l$ one of the query. By {prf:ref}`prop-unrolled` the prediction is the sum over all tokens $i$, the query included, of $\sum_{j, l} (\Gamma_i)_{jl}\, \psi_j v_{ij} k_{il} q_l$. The $\Gamma_i$ do not depend on $X$, $y$ or $x$; for the query's own write they are one. Each of the three factors is
# affine: for an example $\psi_j v_{ij} = \psi_j (W_x^\top x_i + y_i w_y)_j + \text{const}$, $k_{il} = (P_k^\top x_i + y_i k_y)_l + \text{const}$, and $q_l = (P_q^\top x)_l + \text{const}$, the constants being from the context. The query's own token and delimiters have no label, so what they write is even in $y$, and has no part in $\bar f$. For an example multiply out. Of the products only those are odd in $y$ that
# have one label; of these only those are odd in $X$ that have one feature of the context besides; and these are odd in $x$ if the last factor is. This leaves $\psi_j (w_y)_j\, y_i \cdot (P_k^\top x_i)_l \cdot (P_q^\top x)_l$ and $\psi_j (W_x^\top x_i)_j \cdot y_i (k_y)_l \cdot (P_q^\top x)_l$. Summed with $(\Gamma_i)_{jl}$ over channels they are $x^\top B_i x_i y_i$. All the
# $f$ here are polynomials in Gaussian variables, so $\E f^2 < \infty$.
#
# *Part 3.* Put $\Gamma_i = \omega_i \ones \ones^\top$: $\diag(k_y) \ones = k_y$ and $\ones^\top \diag(\psi) W_x^\top = (W_x \psi)^\top$. Then $f_P = x^\top P X^\top (\omega \odot y)$, with risk $\risk(P, \omega)$. For gates in $[0,1]$ the weights lie in $[0, 1]$ and do not decrease. Nor do they after averaging over each task's examples, which keeps the risk or lowers it, as the risk is convex in $\omega$ and the same for every order of a task's examples; so the best weights that are constant on tasks and do not decrease are no worse. Without a gate all weights are equal.
# ```
# ````
#
# Nothing was used of Gaussian laws but their signs, that mean squares are finite and, for the best weights, that the examples of a task are alike. So the theorem holds for every such law that does not change if a flip changes the sign of the answer too, with the risk under that law.
#
# In code, the part of a predictor that is odd in all three is a mean over eight prompts:


# %%
def flips(prompts):
    """The eight prompts (+-X, +-y, +-x), with the sign of the answer."""
    for a, b, c in itertools.product((1, -1), repeat=3):
        X, y, x, answer = prompts.x, prompts.y, prompts.x_query, prompts.y_query
        yield (
            a * b * c,
            replace(
                prompts, x=a * X, y=b * y, x_query=c * x, y_query=a * b * c * answer
            ),
        )


def odd_part(f, prompts):
    return sum(sign * f(flipped) for sign, flipped in flips(prompts)) / 8


# %% tags=["check", "asserts-thm-ceiling"]
def psd(rng, d, rank):
    half = rng.normal(size=(d, rank))
    return half @ half.T / rank


def random_case(rng):
    d, K = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    f = rng.normal(size=(K + 1, rng.integers(1, K + 2)))  # tasks may be dependent
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    joint = f @ f.T
    np.fill_diagonal(joint, 1.0)
    return PromptDistribution(
        d,
        rng.integers(1, 4, size=K).tolist(),
        joint[:K, K],
        R=joint[:K, :K],
        sigma=float(rng.choice([0.0, 0.7])),
        Sx=psd(rng, d, rng.integers(1, d + 1)),
        C=psd(rng, d, d),
    )


def random_layer(rng, dist, tokens, gate):
    """All weights at random; the gate's rows for features and label are zero."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    width = tokens.width(dist)
    layer = GLA(
        width,
        gate,
        1,
        *rng.integers(1, 6, size=2).tolist(),
        context_width=width - dist.d - 1,
        gate_bias=1.0,
        generator=generator,
        **double,
    )
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator, **double))
        if gate:
            layer.layers[0].W_g[: dist.d + 1] = 0
    return layer


def errors(f, prompts):
    return (prompts.y_query[:, 0] - f(prompts)) ** 2


# Both sides are polynomials of a few hundred terms: 1e-12 of the largest leaves room.
rng, tried, worst = np.random.default_rng(0), 0, 0.0
for gate, delimiters, _ in itertools.product(
    (None, "scalar", "key", "value"), (False, True), range(4)
):
    dist, tokens = random_case(rng), Layout(delimiters, context=True)
    layer_ = random_layer(rng, dist, tokens, gate)
    B = linked_maps(layer_, dist, tokens)
    prompts = dist.sample(20, torch.Generator().manual_seed(tried), **double)
    with torch.no_grad():

        def f(prompts):
            return layer_(tokens(prompts))[:, 0]

        f_P, size = of_maps(B, prompts), f(prompts).abs().max()
        part_1 = (odd_part(f, prompts) - f_P).abs().max() / size
        # Part 2 on the eight flips of a single prompt, so without sampling.
        total = sum(errors(f, flipped) for _, flipped in flips(prompts)) / 8
        rest = sum((f(p) - s * f_P) ** 2 for s, p in flips(prompts)) / 8
        own = (prompts.y_query[:, 0] - f_P) ** 2
        part_2 = (total - own - rest).abs().max() / total.max()
    if gate in (None, "scalar"):  # part 3: multiples of one matrix
        assert torch.linalg.matrix_rank(B.flatten(1), rtol=1e-10) == 1
    worst, tried = max(worst, part_1.item(), part_2.item()), tried + 1
assert worst < 1e-12
print(
    f"{tried} random layers with all kinds of gates: the odd part is f_P, and squares"
    f" add up on the flips of every prompt, to {worst:.0e}"
)

# %% tags=["check", "asserts-thm-ceiling"]
# Part 3: the mean square of f_P by simulation, with standard errors below 2 per cent, against
# the formula. That the rest adds to it has been seen above, without sampling.
rng, furthest = np.random.default_rng(1), 0.0
for gate in (None, "scalar", "scalar"):
    dist = random_case(rng)
    layer_ = random_layer(rng, dist, DELIMITED, gate)
    B = linked_maps(layer_, dist, DELIMITED)
    f_P = [*B.flatten(1).abs().argmax(1)][-1]
    omega = (B.flatten(1)[:, f_P] / B.flatten(1)[-1, f_P]).numpy()
    step_risk = population_risk(dist, B[-1].numpy(), omega)
    prompts = dist.sample(60_000, torch.Generator().manual_seed(2), **double)
    square = (prompts.y_query[:, 0] - of_maps(B, prompts)) ** 2
    error = square.std().item() / len(square) ** 0.5
    off = abs(square.mean().item() - step_risk) / error
    assert off < 4 and error < 0.02 * step_risk
    furthest = max(furthest, off)
print(
    f"three random layers: the risk of f_P is risk(P, omega), within"
    f" {furthest:.1f} standard errors"
)

# %% [markdown]
# ## What training does with the rest
#
# In {numref}`fig-ceiling` the excess is a large part of the risk at first, and training gets rid of it. It does so without being told: no other term is ever of use. At the end the layer is
# its weighted step, up to {glue:text}`ceiling_rest:.2g` of the risk, and that step is {glue:text}`ceiling_step:.2%` above the best.

# %% tags=["check"]
step, risk, step_risk = curve.T
rest = risk - step_risk
assert (step_risk >= best.risk).all()
# The risk itself, drawn without tokens, against the sum of the two: four standard errors.
losses = token_free_losses(layer, small, 20_000, torch.Generator().manual_seed(7))
B = linked_maps(layer, small, DELIMITED)
omega = (B[:, 0, 0] / B[-1, 0, 0]).numpy()
with torch.no_grad():
    last = (layer(DELIMITED(seen))[:, 0] - of_maps(B, seen)).square()
    whole = population_risk(small, B[-1].numpy(), omega) + last.mean().item()
    error = np.hypot(losses.std(), last.std() / 5**0.5) / 20_000**0.5
    assert abs(losses.mean() - whole) < 4 * error
assert rest[0] > 0.2 * risk[0] and rest[-1] < 0.01 * risk[-1]
assert best.risk <= step_risk[-1] < 1.02 * best.risk
glue("ceiling_rest", float(rest[-1] / risk[-1]), display=False)
glue("ceiling_step", float(step_risk[-1] / best.risk - 1), display=False)
print(
    f"{len(step)} moments of training: the step inside is never below the optimum, and"
    f" comes to {step_risk[-1] / best.risk - 1:.2%} above it"
)


# %% [markdown]
# You need not train to be rid of the rest. Ask the layer eight times, once for each flip, and take the mean with the signs: that *is* the weighted step, and by the theorem its risk is lower, for every layer that has other terms.
#
# ## Many channels, many heads
#
# A vector gate has products of its own for every channel, and then the $B_i$ need not be multiples of one matrix. The predictions of several heads add up, and so do their $B_i$. How low can they get?
#
# ```{prf:proposition} The ceiling of any gates and heads
# :label: prop-ceiling-heads
#
# **No number of channels and heads passes below the least risk with a weight for each direction.**
#
# *New here.* Let $\Sigma \ne 0$ have the eigenvalues $s_1, \dots, s_d$. In the setting of {prf:ref}`thm-ceiling`, let the prediction be a sum over any number of heads, with gates of any kind. Then, with $R$ and $r$ those of the $n$ examples,
#
# $$
# \text{risk}(f) \ge M - \sum_l s_l^2\, r^\top \bigl( (M + s_l) I + s_l R \bigr)^{-1} r ,
# $$
#
# which is what enough key channels reach ({prf:ref}`prop-beyond-wpgd`). In particular, if all non-zero $s_l$ are equal, as for $\Sigma_x = C = I$, or if $R\, r$ is a multiple of $r$, then no such layer has a risk below that of the best weighted step. Nor has a single head with gates on the value side, if $k_y = 0$ or $W_x = 0$, whatever $\Sigma$, $R$ and $r$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-ceiling-heads)=
# ```{prf:proof}
# Odd parts add up, so $f_P = \sum_i x^\top B_i x_i y_i$, where each $B_i$ is the sum over heads, and part 2 of the theorem holds for the sum. In the proof of {prf:ref}`prop-beyond-wpgd` the risk of such an $f_P$ is minimised over *all* $B_1, \dots, B_n$, and the minimum is the right-hand side. It is the least risk of WPGD in the two cases named. For a head with gates on the value side $\Gamma_i = \delta_i \ones^\top$ with a vector $\delta_i$, and
# $B_i = \bigl(\delta_i^\top (\psi \odot w_y)\bigr) P_q P_k^\top + P_q k_y \bigl(W_x (\psi \odot \delta_i)\bigr)^\top$. If $k_y$ or $W_x$ is zero these are multiples of one matrix: WPGD with weights of any sign.
# ```
# ````
#
# So three floors lie under one another. A single scalar gate has that of {prf:ref}`thm-scalar-gate`, with its weights in order. Value gates and pairs of heads remove the order. Key gates, or heads with matrices of their own, give each direction its weights, and there
# one layer ends. If a value gate with keys that read labels can come below the best weighted step where features are unequal, it pays for it with other terms; whether that is ever worth it is not settled here.


# %% tags=["check", "asserts-prop-ceiling-heads"]
def floor_of_all(dist):
    n_r, s = dist.r[dist.task_index], dist.signal_spectrum[0]
    R = dist.R[np.ix_(dist.task_index, dist.task_index)]
    solved = [
        v**2 * n_r @ np.linalg.solve((dist.M + v) * np.eye(dist.n) + v * R, n_r)
        for v in s
    ]
    return dist.M - sum(solved)


def moments_of_maps(dist, B):
    """E y f_P of every head's maps B (heads, n, d, d), and E f_P f_P' of every two."""
    values, vectors = np.linalg.eigh(dist.Sx)
    half = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    Sigma, Q, index = half @ dist.C @ half, half @ B @ half, dist.task_index
    own = np.einsum("hiab,bc,giac->hg", Q, dist.M * np.eye(dist.d) + Sigma, Q)
    R = dist.R[np.ix_(index, index)]
    pairs = np.einsum("hiab,bc,gjac,ij->hg", Q, Sigma, Q, R, optimize=True)
    return np.einsum("ab,hiba,i->h", Sigma, Q, dist.r[index]), own + pairs


def risk_of_maps(dist, B):
    linear, form = moments_of_maps(dist, B[None])
    return dist.M - 2 * linear[0] + form[0, 0]


rng, tried, reaching = np.random.default_rng(2), 0, 0
for _ in range(30):
    dist = random_case(rng)
    heads = [
        random_layer(rng, dist, DELIMITED, gate)
        for gate in ("key", "value", "scalar")
        for _ in range(6)
    ]
    B = np.stack([linked_maps(h, dist, DELIMITED).numpy() for h in heads])
    each, least = [risk_of_maps(dist, b) for b in B], floor_of_all(dist)
    # The best sum of these heads, each times a number: a quadratic in the numbers.
    linear, form = moments_of_maps(dist, B)
    weight = np.linalg.lstsq(form, linear, rcond=1e-12)[0]
    reached = risk_of_maps(dist, np.tensordot(weight, B, 1))
    assert min(*each, reached) > least - 1e-9 * dist.M
    gap = abs(reached - least) / max(dist.M - least, 1e-6 * dist.M)
    reaching, tried = reaching + (gap < 1e-6), tried + 1
assert reaching >= 10
print(
    f"{tried} sums of 18 random heads: none below the floor, and {reaching} reach it"
)

# %% [markdown]
# **The authors' table.** In one cell their trained model lies below the line printed beside it: linear attention at $n = 100$, {glue:text}`ceiling_trained` against {glue:text}`ceiling_line` ({doc}`best_weights`). It has no gate. So if prompts are as this book reads them, the population risk of that model is *not* below {glue:text}`ceiling_line`, whatever it learned: the number must carry the error of a
# finite test, or belong to another protocol. The squared error of one prompt has a standard deviation of {glue:text}`ceiling_spread:.2f` $d$ there. So two standard errors are more than the gap unless the test had about {glue:text}`ceiling_tests` million prompts. Nothing more can be concluded from four digits.

# %% tags=["check"]
from glalib.reproduce import AUTHORS

cell = PromptDistribution(d=100, counts=(50, 50), r=(0.2, 0.8))
linear = optimal_wpgd(cell, "uniform")
estimate = simulate_risk(
    linear, cell, 2000, generator=torch.Generator().manual_seed(0)
)
spread = estimate.stderr * estimate.draws**0.5 / cell.d
trained, line = AUTHORS["linear", 100]
tests = (2 * spread / (linear.risk / cell.d - trained)) ** 2
assert round(linear.risk / cell.d, 4) == line and tests > 5e5
glue("ceiling_trained", f"{trained:.4f}", display=False)
glue("ceiling_line", f"{line:.4f}", display=False)
glue("ceiling_spread", float(spread), display=False)
glue("ceiling_tests", f"{tests / 1e6:.0f}", display=False)
print(
    f"standard deviation {spread:.2f} d over {estimate.draws} prompts; a gap of two standard"
    f" errors takes {tests / 1e6:.1f} million"
)


# %% [markdown]
# ## Break it
#
# **Let the gate see features.** With a gate of size $1/(1 + x_i^2/4)$ at example $i$, one feature and ten examples of one task, no noise: a long example makes the layer forget. This gate does not notice the flips, so the odd part is still $x^\top P X^\top (\omega \odot y)$. But
# now the weights differ from prompt to prompt, and $\risk(P, \omega)$ for fixed weights is a floor no more.
#
# **Let it see labels.** A gate $\operatorname{sigmoid}(1 + y_i)$ notices the flip of $y$. Then the odd part is not linear in the labels, and no fixed weights give it.


# %% tags=["check"]
class Reads(torch.nn.Module):
    """A gate that sees features and labels of examples; at the query it is one."""

    acts_on = "scalar"

    def __init__(self, name, gate):
        super().__init__()
        self.name, self.gate = name, gate

    def forward(self, Z):
        return torch.where(Z[..., 3] > 0, 1.0, self.gate(Z[..., 0], Z[..., 1]))


gates = {
    "nothing": lambda x, y: torch.ones_like(x),
    "features": lambda x, y: 1 / (1 + x**2 / 4),
    "labels": lambda x, y: torch.sigmoid(1 + y),
}

ten, marked = PromptDistribution(d=1, counts=(10,), r=(1.0,)), Layout(context=True)
prompts = ten.sample(8000, torch.Generator().manual_seed(0), **double)
terms, answer = (
    prompts.x[..., 0] * prompts.y * prompts.x_query[:, 0],
    prompts.y_query,
)
plain = GLA.from_matrices(*torch.ones(2, 1, 1, **double), context_width=2)
# Of the gate that reads features exactly: f = c x beta A, and A = sum_i omega_i x_i^2 grows
# by A -> g(x_i) A + x_i^2. So the least risk over c is 1 - (E A)^2 / E A^2.
z, mass = np.polynomial.hermite_e.hermegauss(60)
g, mass, mean, square = gates["features"](z, 0), mass / mass.sum(), 0.0, 0.0
for _ in range(10):
    square = mass @ g**2 * square + 2 * mass @ (g * z**2) * mean + 3
    mean = mass @ g * mean + 1
exact = {"nothing": optimal_wpgd(ten).risk, "features": 1 - mean**2 / square}
lines = []
for name, gate in gates.items():
    eyed = GLA(4, Reads(name, gate), key_width=1, context_width=2, **double)
    eyed.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        f = eyed(marked(prompts))
        odd = odd_part(lambda p: eyed(marked(p)), prompts)
    f = f * (f * answer).sum() / f.square().sum()  # at its best scale
    errors_of = (f - answer).square()
    risk = errors_of.mean()
    left = odd - terms @ torch.linalg.lstsq(terms, odd).solution
    left = (left.square().sum() / odd.square().sum()).item()
    lines.append(f"{name} {risk:.3f}")
    assert (left < 1e-20) == (name == "nothing")
    off = abs(risk - exact.get(name, risk))
    assert off < 4 * errors_of.std() / len(f) ** 0.5
assert np.isclose(exact["features"] / exact["nothing"], 0.511, rtol=0.01)
print(f"risk of gates that read {', '.join(lines)}")

# %% [markdown]
# The best weighted step has risk {glue:text}`ceiling_ten:.3f` here; the gate that reads features has half of it. A second layer breaks it as well, as {doc}`depth` shows: products such as $y_i\, x_j x_j^\top x_i$ are odd in $y$, $X$ and $x$, too.

# %% tags=["remove-input", "remove-output"]
glue("ceiling_ten", float(optimal_wpgd(ten).risk), display=False)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: which flip kills it?
# :label: ex-which-flip
#
# Multiply out one write of a layer: value, key and query each read features, label and context. How many kinds of product are there, and which flip shows that
# $y_i^2 \, k_y^\top P_q^\top x$, where value and key both read the label, is of no use? Which one for $w_x^\top x_i \cdot x_i^\top P_k P_q^\top x$, and for the query's own write?
# ```
#
# ```{answer} ex-which-flip
# asks: How many kinds of product are there in the write of an example?
# value: 3 * 3 * 2
# within: 0.1
# wrong:
# - value: 3 * 3 * 3
#   says: The query's label is zero, so its vector reads less than those of examples.
# - value: 3 * 3
#   says: Value and key make so many. The query's vector is a third factor.
# - value: 3 + 3 + 2
#   says: Every choice goes with every other one, and context counts, too.
# - value: 2
#   says: So many kinds are of use. How many are there in all?
# minutes: 8
# level: 2
# ```
#
# ```{answer} ex-which-flip-own
# asks: Which flip shows that the query's own write is of no use, whatever it reads?
# choices:
# - text: that of all labels
# - text: that of the query's features
#   says: If value, key and query all read the query's features, there are three of them, and the product is odd.
# - text: none does
#   says: A product is of use only if it changes its sign in each of the three flips. Of what does the query hold nothing?
# minutes: 3
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# A product is of use only if it changes its sign in each of the three flips.
# ```
#
# ````{solution} ex-which-flip
# :class: dropdown
#
# An example's value and key may each read three things, the query's vector two: $3 \cdot 3 \cdot 2 = 18$ kinds. The first product is even in $y$ (and in $X$), so $y \to -y$ shows it, as the answer changes its sign and the product does not. The second is even in $X$ and in $y$: either flip will do. The
# query's own write has no label: $y \to -y$ again. Of the eighteen kinds two are of use.
# ````
#
# ```{exercise} Compute: ask eight times
# :label: ex-ask-eight-times
#
# Take a layer at random, every weight free, with a scalar gate that reads context, and one with a value gate. Compare its squared error, averaged over the eight flips of a prompt, with that of its mean over them. For which share of prompts is the mean better?
# ```
#
# ```{answer} ex-ask-eight-times
# asks: For which share of the prompts does the mean over flips have the smaller error?
# value: (one > eight).double().mean()
# wrong:
# - value: 1 / 2
#   says: That would be chance. What does part 2 say of a prompt that is drawn from eight flips?
# - value: 7 / 8
#   says: One of the eight flips leaves the prompt as it is, but the error is an average over all eight.
# - value: 1 / 8
#   says: The mean has an eighth of each prediction, but the question is how often it is better.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# `odd_part` is a predictor. What does part 2 say about one prompt and its flips, as a law of its own?
# ```
#
# ````{solution} ex-ask-eight-times
# :class: dropdown
#
# For all of them. A prompt that is drawn from eight flips has a law which the flips do not change, so part 2 holds there: the mean takes away the average of $(f - f_P)^2$. Part 2 did not use that $f$ is a layer, so this holds for any predictor whatever.
#
# ```python
# rng = np.random.default_rng(5)
# for gate in ("scalar", "value"):
#     asked = random_layer(rng, small, DELIMITED, gate)
#
#     def once(p):
#         with torch.no_grad():
#             return asked(DELIMITED(p))[:, 0] / small.n
#
#     p = small.sample(500, torch.Generator().manual_seed(0), **double)
#     one = sum(errors(once, flipped) for _, flipped in flips(p)) / 8
#     eight = errors(lambda p: odd_part(once, p), p)  # the same on all eight flips
#     assert (one > eight).all()
# ```
# ````
#
# ```{exercise} Explore: two heads
# :label: ex-two-heads
#
# Let the first task be the relevant one, $r = (0.8, 0.2)$ with ten examples each, $d = 5$ and $\sigma = 0.5$. A scalar gate is then no better than linear attention. Sum two heads with scalar gates. How low do they get, and would a hundred heads get lower?
# ```
#
# ```{answer} ex-two-heads
# asks: The risk of two heads over that of one scalar gate.
# value: free.risk / scalar.risk
# wrong:
# - value: 1
#   says: One scalar gate is as good as linear attention here. Two heads can be subtracted.
# - value: (turned.M - free.risk) / (turned.M - scalar.risk)
#   says: That is the quotient of the gains. The risks are asked for.
# - value: free.risk
#   says: That is the risk of two heads. Divide it by that of one scalar gate.
# minutes: 12
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Any weights are a difference of weights that rise. And features are white.
# ```
#
# ````{solution} ex-two-heads
# :class: dropdown
#
# The best weights fall, $\omega_1 > \omega_2$; they are $\omega_1 (1, 1) - (\omega_1 - \omega_2)(0, 1)$: one head without forgetting minus one that forgets the first task. So two heads reach the best weighted step. As $\Sigma = I$, no number of heads is below it.
#
# ```python
# turned = PromptDistribution(5, (10, 10), (0.8, 0.2), sigma=0.5)
# free, scalar, linear = (optimal_wpgd(turned, w) for w in ("free", "monotone", "uniform"))
# assert abs(scalar.risk - linear.risk) < 1e-12 and np.isclose(free.risk / scalar.risk, 0.851, rtol=1e-3)
# first, second = free.omega
# head_1 = GLA.from_weights(first * free.P, np.ones(20))
# head_2 = GLA.from_weights((second - first) * free.P, np.repeat([0.0, 1.0], 10))
#
#
# def two_heads(p):
#     with torch.no_grad():
#         return head_1(Layout()(p)) + head_2(Layout()(p))
#
#
# found = simulate_risk(
#     two_heads, turned, 20_000, generator=torch.Generator().manual_seed(0)
# )
# assert abs(found.risk - free.risk) < 4 * found.stderr
# assert np.isclose(floor_of_all(turned), free.risk, rtol=1e-12)
# ```
# ````

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
#   settles: labels that come one token later, what one layer can then do, and two ways
#     out
# ---

# %% [markdown]
# # Labels that come later
#
# What can a layer learn from its prompt if each label comes one token after its features?
#
# So far a token held a whole example, features and label together. A prompt as a language model meets it does not: there the answer follows the
# question. A layer writes products of what stands in *one* token, and now no token holds both parts of an example.
#
# A single layer whose gates read no labels then learns nothing at all. Reading one token back mends it, and so does a second layer.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-who-meets-whom", "caption": "A write can only join what one token holds. Top, a write of one layer stays inside of its token (boxes), so no feature meets its label. Middle, keys that read the token before join $y_i$ with $x_i$ (arcs). Bottom, a first layer copies $x_i$ into the token of $y_i$ (arrows), and a second layer writes the pair."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    Prompts,
    gla_readout,
    optimal_wpgd,
    plotting,
    wpgd_step,
)
from glalib.gates import gates_to_weights

plotting.use_style()
tokens = ("$x_1$", "$y_1$", "$x_2$", "$y_2$", "$x$")
ways = {
    "one layer": "no pair",
    "with a shift": "pairs",
    "two layers": "pairs",
}
record = {"way": [], "label": [], "joined_with": []}
fig, ax = plt.subplots(figsize=(6.4, 3.1))
for row, (way, result) in enumerate(ways.items()):
    height = 2.4 - 1.2 * row
    for i, token in enumerate(tokens):
        label = i % 2 == 1
        both = label and way == "two layers"
        name = f"{tokens[i - 1]}, {token}" if both else token
        color = plotting.TASKS[1] if label else plotting.TASKS[0]
        shape = {"fc": "none", "ec": color, "lw": 2.4 if both else 1.2}
        box = plt.Rectangle((i - 0.36, height - 0.25), 0.72, 0.5, **shape)
        ax.add_patch(box)
        size = 12 if both else 15
        ax.text(i, height, name, ha="center", va="center", fontsize=size)
        if label:
            joined = None if way == "one layer" else tokens[i - 1].strip("$")
            record["way"].append(way)
            record["label"].append(token.strip("$"))
            record["joined_with"].append(joined)
            if joined:
                style = "-" if way == "with a shift" else "->"
                line = {"arrowstyle": style, "lw": 1.8, "color": "0.25"}
                line["connectionstyle"] = "arc3,rad=-0.6"
                ends = (i, height + 0.26), (i - 1, height + 0.26)
                ax.annotate("", *ends, arrowprops=line)
    ax.text(-0.55, height, way, ha="right", va="center", fontsize=13)
    ax.text(4.55, height, result, va="center", color="0.25", fontsize=13)
ax.set(xlim=(-1.75, 5.35), ylim=(-0.3, 2.95))
_ = ax.axis("off")

# %% tags=["remove-input"]
plotting.FigureData("who_meets_whom", record, tokens="x1 y1 x2 y2 x", seed="none")


# %% [markdown]
# ```{symbols}
# x y x_query Z G q k v P P_q P_k omega r R C Sigma Sx sigma M psi n d beta W f
# ```
#
# ## One layer gains nothing
#
# The prompt reads $x_1, y_1, x_2, y_2, \dots, x_n, y_n, x$. Its $T = 2n + 1$ tokens are
#
# $$
# \begin{gathered}
# z_{2i-1} = (x_i, 0, c_x), \qquad z_{2i} = (0, y_i, c_y), \\
# z_{2n+1} = (x, 0, c_q).
# \end{gathered}
# $$
#
# The vectors $c_x, c_y, c_q$ are fixed context. They are one-hot: they tell the three kinds of tokens apart, and nothing else.


# %% tags=["hide-input"]
def sequential(prompts):
    """Prompts as tokens (batch, 2n + queries, d + 4): features, labels, queries."""
    (batch, n, d), queries = prompts.x.shape, prompts.x_query.shape[1]
    Z = prompts.x.new_zeros(batch, 2 * n + queries, d + 4)
    Z[:, 0 : 2 * n : 2, :d], Z[:, 0 : 2 * n : 2, d + 1] = prompts.x, 1.0
    Z[:, 1 : 2 * n : 2, d], Z[:, 1 : 2 * n : 2, d + 2] = prompts.y, 1.0
    Z[:, 2 * n :, :d], Z[:, 2 * n :, d + 3] = prompts.x_query, 1.0
    return Z


# %% [markdown]
# ```{prf:proposition} One layer gains nothing
# :label: prop-sequential
#
# **A layer whose gates read no labels predicts no better than zero.**
#
# *New here.* Let prompts follow {prf:ref}`def-multitask-prompt`, in sequential form. Take one layer of gated linear attention with any $W_q$, $W_k$,
# $W_v$ and any linear read-out at the query. Each gate $G_t$ has entries in $[0, 1]$ and may be of any form. It may depend on $t$, on its own
# token $z_t$ except for the label coordinate, and on randomness that is independent of the prompt. Then $\E[y_{n+1} f(Z)] = 0$, so
#
# $$
# \E\,(y_{n+1} - f(Z))^2 = M + \E f(Z)^2 \ge M .
# $$
#
# Such a layer never does better than predicting zero. The same holds for several such layers in parallel (heads), and if the query's own token
# is added to the output (a residual stream).
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-sequential)=
# ```{prf:proof}
# *The prediction is a sum over tokens.* With a read-out vector $\psi$ it is $f = \sum_{t \le T} \psi^\top (\Pi_t \odot v_t k_t^\top) q_T$, where $\Pi_t = G_{t+1} \odot \dots \odot G_T$.
# Gates at label tokens read no data, gates at feature tokens read their own features. So for a feature token, or the query, the term is a function of $x_1, \dots, x_n, x$. For the label token $2i$, the write depends on $y_i$,
# the gates in $\Pi_{2i}$ on $x_{i+1}, \dots, x_n, x$ at most, and $q_T$ on $x$. This term is a function of $y_i$, of $x$ and of the $x_j$ with $j \ne i$. Either may also depend on the gates' own randomness, which we fix.
# Each term is a polynomial in Gaussian features and in labels, times bounded gates, so it has all moments.
#
# *Features alone say nothing.* The query's label is $y_{n+1} = x^\top \beta + \sigma e$. The task $\beta$ and the noise $e$ are independent of all features and have mean zero, so
# $\E[y_{n+1} \mid x_1, \dots, x_n, x] = 0$.
#
# *One label, and features of others, say nothing.* Change the sign of all tasks and of $x_i$, and of nothing else. This does not change the joint law, since tasks and
# features are independent, jointly Gaussian and of mean zero, each $x_j$ independent of the others. The label $y_i$, which is $x_i$ times its task plus noise, stays as it is. So do $x$ and the $x_j$ with $j \ne i$. But $x^\top \beta$ changes its sign. So
# $\E[x^\top \beta \mid y_i, x, (x_j)_{j \ne i}]$ equals its own negative: it is zero. The noise $e$ adds nothing, as it is independent of all of these.
#
# So each term is orthogonal to $y_{n+1}$, and $\E\,(y_{n+1} - f)^2 = M - 2\,\E[y_{n+1} f] + \E f^2$ is the claim. A residual stream adds a function of $x$, a term of the first kind. Heads add terms of both kinds.
# ```
# ````
#
# The reason is a symmetry. Turn the sign of all tasks and of one $x_i$. The label $y_i$ stays as it is, and so do all other features, but
# the query's label changes its sign. So one label, seen without its own features, says nothing about the answer.
#
# So it can be checked without sampling error. Give each $x_i$ of a prompt a sign, and all tasks a sign; the noise of a
# label goes with it. Over these $2^{n+1}$ mirror images, all equally likely, the average of $y_{n+1} f$ is zero, whatever the layer.

# %% tags=["hide-input"]
from dataclasses import replace
from itertools import product


def mirrors(p):
    """All sign changes of features and tasks, one Prompts record for each."""
    for *eps, tau in product((1.0, -1.0), repeat=p.x.shape[1] + 1):
        eps = torch.tensor(eps, dtype=p.x.dtype)
        y, y_query = p.y * eps * tau, p.y_query * tau
        yield replace(p, x=p.x * eps[:, None], y=y, y_query=y_query)


def agreement(predict, p):
    """|mean of y f| over the mirrors, as a share of the mean of |y f|."""
    yf = torch.stack([(q.y_query * predict(q)[:, None])[:, 0] for q in mirrors(p)])
    return (yf.mean(0).abs() / yf.abs().mean(0)).max().item()


# %% tags=["check", "asserts-prop-sequential"]
def random_layer(d, gate, seed, reads_labels=False, layers=1):
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    model = GLA(d + 4, gate, layers, context_width=3, gate_bias=0.5, **options)
    with torch.no_grad():  # no weight is zero, but those that read a label
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, **options) / 2)
        for layer in model.layers if gate and not reads_labels else ():
            layer.W_g[d] = 0.0
    return model


def several_heads(d, seed):
    """A random layer of each kind, side by side, and a function of the query's token."""
    heads = [random_layer(d, g, seed) for g in (None, "scalar", "key", "value")]
    own = torch.from_numpy(np.random.default_rng(seed).normal(size=d + 4))

    def predict(p):
        Z = sequential(p)
        return sum(head(Z)[:, 0] for head in heads) + Z[:, -1] @ own

    return predict


def random_gates(d, gate, n, seed):
    """Random weights, and gates of any kind that read nothing: given, token by token."""
    rng = np.random.default_rng(seed)
    weights = random_layer(d, gate, seed).state_dict()
    shape = (2 * n + 1,) if gate == "scalar" else (2 * n + 1, d + 4)
    model = GLA(
        d + 4, gate, context_width=3, gates=rng.random(shape), dtype=torch.float64
    )
    model.load_state_dict(weights, strict=False)
    return lambda p: model(sequential(p))[:, 0]


dist = PromptDistribution(d=2, counts=(2, 2), r=(0.4, 0.8), sigma=0.3)
prompts = dist.sample(20, torch.Generator().manual_seed(0), dtype=torch.float64)
# Single layers; pairs of different heads, with the query's token added; and layers
# whose gates are random numbers in [0, 1] for each token.
predictors = []
for seed in range(5):
    predictors.append(several_heads(2, seed))
    for gate in (None, "scalar", "key", "value"):
        layer = random_layer(2, gate, seed)
        predictors.append(lambda q, layer=layer: layer(sequential(q))[:, 0])
        if gate:
            predictors.append(random_gates(2, gate, dist.n, seed))
# Some hundred numbers cancel in pairs: to rounding, as a share of their mean size.
worst = max(agreement(predict, prompts) for predict in predictors)
assert worst < 1e-12

# The risk itself, over the mirrors of each prompt: M + E f^2 for M = E y^2.
predict, risk, parts = several_heads(2, 0), 0.0, 0.0
for q in mirrors(prompts):
    f, y = predict(q), q.y_query[:, 0]
    risk, parts = risk + (y - f) ** 2, parts + y**2 + f**2
assert ((risk - parts).abs() / parts).max() < 1e-12
print(
    f"{len(predictors)} random layers and heads: the mean of y f is zero, to {worst:.0e} of its terms"
)


# %% [markdown]
# ## Way out: a token shift
#
# Somebody has to bring $x_i$ and $y_i$ into one token. Let keys read the token *before*, as a short convolution of width two can do. H3 has a
# state matrix that shifts {cite}`fu2023hungry`, and RWKV mixes each token with the one before {cite}`peng2023rwkv`.
#
# ```{prf:proposition} A token shift restores Theorem 1
# :label: prop-token-shift
#
# **With keys that read one token back, the layer predicts as on paired prompts.**
#
# *New here.* Let $k_t = W_k^\top (\alpha_0 z_t + \alpha_1 z_{t-1})$ with $z_0 = 0$ and numbers $\alpha_0$ and $\alpha_1 \ne 0$, and let $W_q$, $W_k$, $W_v$ be those of
# {prf:ref}`def-construction`, blind to context. Let $g_t \in \R^m$ be the label row of the gate $G_t$ of the sequential prompt, on the key
# coordinates. Then the label coordinate of the query's output is the prediction of {prf:ref}`thm-gla-is-wpgd` on the paired prompt, with $\alpha_1 P_k$
# in place of $P_k$ and with the gates
#
# $$
# \bar g_i = g_{2i-1} \odot g_{2i} \quad (i \le n), \qquad \bar g_{n+1} = g_{2n+1} .
# $$
#
# In particular, if all gates of feature tokens are one, or all gates of label tokens, then the state of the label row after token $2i$ follows
# Eq. (GLA) of the paired prompt, with the other gates, step by step.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-token-shift)=
# ```{prf:proof}
# Values read the label coordinate alone, so feature tokens and the query write nothing, and label token $2i$ writes $y_i k_{2i}^\top$ into the label row. That token has no features: $k_{2i} = \alpha_1 P_k^\top x_i$. So the label row
# $\ell_t$ of the state obeys $\ell_{2i} = g_{2i} \odot g_{2i-1} \odot \ell_{2i-2} + y_i\, \alpha_1 P_k^\top x_i$. This is one step of Eq. (GLA) for token $(x_i, y_i)$ with gate $\bar g_i$. The query reads $g_{2n+1} \odot \ell_{2n}$ with $q = P_q^\top x$.
# Now the proof of {prf:ref}`thm-gla-is-wpgd` applies. If one gate of each pair is all ones, $\bar g_i$ is the other.
# ```
# ````
#
# In code, the shift is a line:


# %%
def with_shift(Z, P_q, P_k, gates, gate="scalar"):
    """Keys read the features of the token before; the last token is the query."""
    d = len(P_q)
    before = torch.cat([torch.zeros_like(Z[:, :1]), Z[:, :-1]], dim=1)
    k, v = before[..., :d] @ P_k, Z[..., d : d + 1]
    return gla_readout(Z[:, -1, :d] @ P_q, k, v, gates, gate)


# %% [markdown]
# So with a shift, what this book says of WPGD on the paired prompt holds on the sequential one. If gates are free, no weights are lost or
# won: products of two numbers in $[0, 1]$ fill $[0, 1]$.
#
# ````{dropdown} Why the conditions of the authors' sketch are not enough by themselves
# The authors' answer to the third reviewer of the paper sketches such a reduction under two conditions: features and labels live in orthogonal
# subspaces, and a matrix, a gate as we take it, is all ones. Its formulas are not at hand. The last sentence of the proposition meets both
# conditions. Where theirs has our shift we cannot tell. But by {prf:ref}`prop-sequential` these conditions alone are not enough for a layer whose
# keys and values read one token at a time and whose gates read no labels: two steps then add $v_x k_x^\top + v_y k_y^\top$ to the state, and no
# product of $x_i$ with $y_i$.
# ````
#
# ## Way out: one more gated layer
#
# There is a way without a shift too: a gate can build one.
#
# ```{prf:proposition} A gate is a token shift
# :label: prop-gate-is-shift
#
# **Two gated layers do without a shift: the first one copies each feature to its label.**
#
# *New here.* Two layers of gated linear attention with residual stream and no shift give exactly the prediction of {prf:ref}`prop-token-shift`
# with $\alpha_1 = 1$, on every sequential prompt:
#
# - layer 1: scalar gates, $0$ at feature tokens and $1$ at label tokens, so they read context alone; keys $k_t = 1$ at feature tokens, else
#   $0$; values $v_t$ = the features; queries $q_t = 1$ at label tokens, else $0$;
# - layer 2: {prf:ref}`def-construction`, with any gates $g_t$.
#
# With sigmoids at finite logits the gates of layer 1 come close to $0$ and $1$, and the prediction tends to this one as the logits grow, if the
# gates of layer 2 are given or continuous in what they read. If this prediction has a risk below $M$, no single layer as in
# {prf:ref}`prop-sequential` makes it.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-gate-is-shift)=
# ```{prf:proof}
# In layer 1, feature token $2i - 1$ clears the state and writes $x_i$ to the feature rows of its one key column. Label token $2i$ keeps this state, writes nothing, as its key is $0$, and reads it: its output is $x_i$. At feature tokens and at the query
# $q_t = 0$, so their output is zero. After layer 1 the stream holds $(x_i, 0, c_x)$, $(x_i, y_i, c_y)$ and $(x, 0, c_q)$. In layer 2 feature tokens and the query write nothing, as their label is $0$; label token $2i$ writes
# $y_i (P_k^\top x_i)^\top$, as in the proof of {prf:ref}`prop-token-shift`. The label coordinate of the query's stream is zero before layer 2, so the output of layer 2 is the prediction. The prediction is a polynomial in the values of all gates, for each prompt, so it is continuous in the gates of layer 1. (If gates of layer 2 read the stream, they are continuous in these too.)
# ```
# ````
#
# The first layer clears its memory at every feature, writes that feature, and hands it to the label that follows.


# %% tags=["hide-input"]
def two_layers(P_q, P_k, gates, gate="scalar", reset=0.0, keep=1.0):
    """Layer 1 copies features to label tokens, layer 2 is the construction."""
    (d, m), first = P_q.shape, torch.full_like(gates, keep)
    first[: len(gates) - 1 : 2] = reset
    widths = {"layers": 2, "key_width": m, "context_width": 3}
    given = {"gates": [first, gates], "dtype": P_q.dtype}
    model = GLA(d + 4, gate, **widths, **given)
    one, two = model.layers
    with torch.no_grad():
        for W in (one.W_q, one.W_k, one.W_v, two.W_q, two.W_k, two.W_v):
            W.zero_()
        one.W_k[d + 1, 0] = one.W_q[d + 2, 0] = 1.0  # features write, labels read
        one.W_v[:d, :d] = torch.eye(d)
        two.W_q[:d], two.W_k[:d], two.W_v[d, d] = P_q, P_k, 1.0
    return model


# %% tags=["check", "asserts-prop-token-shift", "asserts-prop-gate-is-shift"]
def relative_error(a, b):
    return ((a - b).norm() / b.norm()).item()


def pairs(g):
    """Gates of the paired prompt: products of neighbours, then the query's."""
    return torch.cat([g[0:-1:2] * g[1:-1:2], g[-1:]])


errors, rng = [], np.random.default_rng(0)
dist = PromptDistribution(d=3, counts=(6, 4), r=(0.2, 0.8))
p = dist.sample(5, torch.Generator().manual_seed(0), dtype=torch.float64)
Z, n, d, m = sequential(p), dist.n, dist.d, 3
P_q, P_k = torch.from_numpy(rng.normal(size=(2, d, m)))

g = torch.from_numpy(rng.uniform(0.6, 1.0, size=2 * n + 1))
expected = wpgd_step(p.x, p.y, p.x_query, P_q @ P_k.T, gates_to_weights(pairs(g)))
errors.append(relative_error(with_shift(Z, P_q, P_k, g), expected))
errors.append(relative_error(two_layers(P_q, P_k, g)(Z), expected))
# Sigmoids with logits of -40 and 40 differ from 0 and 1 by less than rounding.
ends = torch.sigmoid(torch.tensor([-40.0, 40.0], dtype=torch.float64))
sigmoids = two_layers(P_q, P_k, g, reset=ends[0], keep=ends[1])
errors.append(relative_error(sigmoids(Z), expected))

a = torch.from_numpy(rng.uniform(0.6, 1.0, size=(2 * n + 1, m)))
Omega = gates_to_weights(pairs(a), axis=-2)
expected = p.x_query @ P_q @ ((p.x @ P_k) * Omega).mT @ p.y[..., None]
errors.append(relative_error(with_shift(Z, P_q, P_k, a, "key"), expected[..., 0]))
errors.append(relative_error(two_layers(P_q, P_k, a, "key")(Z), expected[..., 0]))

# All ones at the label tokens: the paired prompt with the feature tokens' gates.
g[1:-1:2] = 1.0
paired = GLA.from_matrices(P_q, P_k, g[0::2])(Layout()(p))
errors.append(relative_error(with_shift(Z, P_q, P_k, g), paired))
# The products are the same, up to their order.
assert max(errors) < 1e-12
print(
    f"shift and two layers, scalar and vector gates: WPGD on the paired prompt, to {max(errors):.0e}"
)

# %% [markdown]
# ## Break it
#
# {prf:ref}`prop-sequential` forbids gates to read labels. What if they do?
#
# ```{prf:proposition} A gate that reads labels gains
# :label: prop-label-gates
#
# **A gate that reads a label multiplies it with the features before it, and that is worth something.**
#
# *New here.* Let $r \ne 0$. Then one layer with scalar gates $\operatorname{sigmoid}(w_g^\top z_t + b_g)$ has, for some finite weights, a risk below $M$ on sequential prompts.
#
# Say gates are $g_x$ at feature tokens, $\operatorname{sigmoid}(b + w y_i)$ at label
# tokens and $g_q$ at the query, and let feature tokens alone write, $1$ to the label row with key $x_i$, and $q = P^\top x$. Then with $g_0 = \operatorname{sigmoid}(b)$
#
# $$
# \begin{aligned}
# \frac{d}{dw} \E[y_{n+1} f] \Big|_{w=0} = {} & g_q (1 - g_0) \tr(\Sigma_x P\, \Sigma_x C) \\
# & {} \times \sum_{i=1}^n r_i\, g_x^{n-i}\, g_0^{n-i+1} .
# \end{aligned}
# $$
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-label-gates)=
# ```{prf:proof}
# The write of $x_i$ meets the gates of all label tokens $j \ge i$, of the feature tokens after it and of the query, so $f = g_q \sum_i g_x^{n-i} \prod_{j \ge i} \operatorname{sigmoid}(b + w y_j)\; x^\top P x_i$. A sigmoid has slope $g_0 (1 - g_0)$ at $b$, and its
# derivative is bounded, so we may differentiate under the mean: the derivative of the product at $w = 0$ is
# $g_0^{n-i+1} (1 - g_0) \sum_{j \ge i} y_j$. Now $\E[x^\top \beta\; x^\top P x_i\; y_j] = \E[\beta^\top \Sigma_x P x_i\, x_j^\top \beta_j]$, with $\beta_j$ the task of example $j$. It is zero for $j \ne i$, as $x_i$ is then independent of the rest, with mean zero. For $j = i$ it is
# $\E[\beta^\top \Sigma_x P \Sigma_x \beta_i] = r_i \tr(\Sigma_x P \Sigma_x C)$. The noises drop out. This is the formula.
#
# For $P = I$ the trace is positive: it is $\tr(\Sigma_x^{1/2} \Sigma\, \Sigma_x^{1/2})$, and $\Sigma$, which is not zero as labels carry a signal, lives on the range of $\Sigma_x$. The sum is $g_0 \sum_i r_i (g_x g_0)^{n-i}$, a polynomial in $g_x g_0$ that is not zero; so it is zero for finitely many values of $g_x g_0$ at most. Take others. At
# $w = 0$ the mean of $y_{n+1} f$ is zero by {prf:ref}`prop-sequential`, so it is not zero at some small $w$. Multiply $f$ by a small number $c$ of that sign: $M - 2 c\, \E[y_{n+1} f] + c^2\, \E f^2 < M$.
# ```
# ````
#
# The mirror images see it at once: with gates that read labels, the average of $y_{n+1} f$ is no longer zero. Nor is it with a second layer, or
# with pairs in a token.

# %% tags=["check"]
reads_labels = random_layer(2, "scalar", 0, reads_labels=True)
second_layer = random_layer(2, "scalar", 0, layers=2)
pairs_in_tokens = GLA.from_matrices(torch.eye(2).double(), torch.eye(2).double())
shares = [
    agreement(lambda q: model(tokens(q))[:, 0], prompts)
    for model, tokens in (
        (reads_labels, sequential),
        (second_layer, sequential),
        (pairs_in_tokens, Layout()),
    )
]
assert min(shares) > 1e-3
print(
    "mean of y f over its terms: gates that read labels {:.2f}, two layers {:.2f}, "
    "pairs {:.2f}".format(*shares)
)


# %% tags=["check", "asserts-prop-label-gates"]
def label_gates(d, P, w, b, g_x, g_q):
    """One layer; the gate of label token i is sigmoid(b + w y_i)."""
    model = GLA(d + 4, key_width=d, context_width=3, dtype=torch.float64)
    layer, logit = model.layers[0], lambda g: np.log(g / (1 - g))
    with torch.no_grad():
        for W in model.layers[0].parameters():
            W.zero_()
        layer.W_q[:d], layer.W_k[:d] = P, torch.eye(d)
        layer.W_v[d + 1, d] = 1.0
        layer.W_g[d, 0] = w
        layer.W_g[d + 1 :, 0] = torch.tensor([logit(g_x), b, logit(g_q)])
    return model


small = PromptDistribution(
    d=2, counts=(2, 1), r=(0.4, 0.8), sigma=0.3, Sx=np.diag([1.0, 0.5])
)
P, (b, g_x, g_q) = torch.tensor([[1.0, 0.2], [0.0, 0.7]]), (0.3, 0.8, 0.9)
g_0, index = 1 / (1 + np.exp(-b)), np.arange(small.n - 1, -1, -1)
Sx, C, r = small.Sx, small.C, small.r[small.task_index]
slope = (
    g_q * (1 - g_0) * np.trace(Sx @ P.numpy() @ Sx @ C)
    * (r * g_x**index * g_0 ** (index + 1)).sum()
)  # fmt: skip

# No draws: at w = 0 the derivative of y f is of degree two in each feature vector, so that
# signs have the moments, and quadratic in the tasks, so that it is summed over their axes.
signs = 2.0 * np.indices((2,) * 8).reshape(8, -1).T.reshape(-1, 4, 2) - 1
x = torch.from_numpy(signs * np.sqrt(np.diag(Sx))).repeat_interleave(6, 0)
joint = np.block([[small.R, small.r[:, None]], [small.r, 1.0]])
axes = np.einsum("kl,ab->lakb", np.linalg.cholesky(joint), np.eye(2))
tasks = torch.from_numpy(axes.reshape(6, 3, 2)).repeat(len(signs), 1, 1)
y = (x * tasks[:, [0, 0, 1, 2]]).sum(2)
p = Prompts(x[:, :3], y[:, :3], x[:, 3:], y[:, 3:], tasks[:, :2], tasks[:, 2])
Z, w = sequential(p), 1e-4
up, down = (label_gates(2, P, s * w, b, g_x, g_q) for s in (1, -1))
with torch.no_grad():
    yf = (p.y_query * (up(Z) - down(Z)) / (2 * w)).sum().item() / len(signs)
# The difference quotient's own error is of the order of w squared.
assert np.isclose(yf, slope, rtol=1e-6)
print(
    f"slope of E[y f] in w: {slope:.4f} by the formula, off by {yf / slope - 1:.0e}"
)


# %% [markdown]
# How far does this get? We train such a layer, all weights free, from three starts; and the same layer with its gates blind to labels.
# Then every way of this page meets the same test prompts.


# %% tags=["check"]
def train(dist, reads_labels, seed, steps=300, rate=0.03):
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    model = GLA(dist.d + 4, context_width=3, gate_bias=1.0, **options)
    if not reads_labels:
        mask = torch.ones(dist.d + 4, 1, dtype=torch.float64)
        mask[dist.d] = 0.0  # W_g starts at zero: this row stays there
        model.layers[0].W_g.register_hook(lambda gradient: gradient * mask)
    with torch.no_grad():
        model.h.mul_(0.1)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=steps
    )
    for _ in range(steps):
        p = dist.sample(125, generator, queries=4, dtype=torch.float64)
        predictions = model(sequential(p), queries=4)
        loss = ((predictions - p.y_query) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model


@torch.no_grad()
def risk_over_M(predict, dist, p):
    """1 + mean of (f^2 - 2 y f) / M, with standard error: no noise where f = 0."""
    f = predict(p)
    excess = (f**2 - 2 * p.y_query * f).mean(1) / dist.M
    return 1 + excess.mean().item(), excess.std().item() / len(excess) ** 0.5


dist = PromptDistribution(d=2, counts=(4, 4), r=(0.3, 0.9))
test = dist.sample(40_000, torch.Generator().manual_seed(2), 8, torch.float64)
optimum = optimal_wpgd(dist)
blind = [train(dist, False, seed) for seed in range(2)]
reading = [train(dist, True, seed) for seed in range(2)]
trained = {
    name: [
        risk_over_M(lambda p: model(sequential(p), queries=8), dist, test)
        for model in models
    ]
    for name, models in (("blind", blind), ("reading", reading))
}
# Training ends elsewhere on another processor: five standard errors for what is proved,
# and half the way to the optimum for what is seen.
assert all(risk > 1 - 5 * error for risk, error in trained["blind"])
half_way = (1 + optimum.risk / dist.M) / 2
assert all(half_way < risk < 1 - 5 * error for risk, error in trained["reading"])
lowest = min(risk for risk, _ in trained["reading"])
print(
    f"one trained layer: {lowest:.2f} M at best if its gates read labels, "
    f"{min(risk for risk, _ in trained['blind']):.2f} M if not; optimum {optimum.risk / dist.M:.2f} M"
)

# %% tags=["check"]
# The optimum by a scalar gate, by shift and by two layers, on the same prompts.
P = torch.tensor(optimum.P)
omega = np.repeat(dist.expand(optimum.omega), 2)
g = np.append(np.append(1.0, omega[:-1] / omega[1:]), omega[-1])
g = torch.from_numpy(g)
eye = torch.eye(2, dtype=torch.float64)


def shifted(p):
    Z = sequential(p)
    return torch.cat(
        [
            with_shift(torch.cat([Z[:, :-8], Z[:, [j]]], 1), P, eye, g)
            for j in range(-8, 0)
        ],
        dim=1,
    )


two = two_layers(P, eye, g)
exact = {
    "shift": risk_over_M(shifted, dist, test),
    "two layers": risk_over_M(lambda p: two(sequential(p), queries=8), dist, test),
    "paired": risk_over_M(
        lambda p: wpgd_step(p.x, p.y, p.x_query, P, dist.expand(optimum.omega)),
        dist,
        test,
    ),
}
for risk, error in exact.values():
    assert abs(risk - optimum.risk / dist.M) < 4 * error
assert abs(exact["shift"][0] - exact["two layers"][0]) < 1e-12
print(
    f"the optimum is {optimum.risk / dist.M:.4f} M; shift {exact['shift'][0]:.4f}, "
    f"two layers {exact['two layers'][0]:.4f}, each with standard error {exact['shift'][1]:.4f}"
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-sequential", "caption": "One layer learns little from labels that come later, or nothing; a shift, or a second layer, makes up for all of it. Risk by Monte Carlo (bars of two standard errors, most of them smaller than the marks). If its gates read labels, one layer gains a little (three trained starts each). $d = 2$, two independent tasks of 4 examples, $r = (0.3, 0.9)$, no noise."}}
rows = {
    "pairs in a token": [exact["paired"]],
    "two gated layers": [exact["two layers"]],
    "one layer, token shift": [exact["shift"]],
    "one layer, reads labels": trained["reading"],
    "one layer, blind to labels": trained["blind"],
}
fig, ax = plt.subplots(figsize=(6.4, 2.9))
record = {"row": [], "risk_over_M": [], "stderr": []}
best = optimum.risk / dist.M
ax.axvline(1, **plotting.STYLES["predict zero"])
ax.axvline(best, **plotting.STYLES["weighted optimum"])
for k, (name, values) in enumerate(rows.items()):
    for j, (risk, error) in enumerate(values):
        ax.errorbar(
            risk,
            k + 0.2 * (j - (len(values) - 1) / 2),
            xerr=2 * error,
            color=plotting.TASKS[0],
            marker=plotting.TASK_MARKERS[0 if k < 3 else 1],
            markersize=7,
            linestyle="",
        )
        record["row"].append(name.replace(",", ""))
        record["risk_over_M"].append(risk)
        record["stderr"].append(error)
ax.text(0.99, 4.75, "predict zero", ha="right")
ax.text(best + 0.01, 4.75, "optimum")
ax.grid(visible=False, axis="y")
ax.set(
    yticks=range(len(rows)),
    yticklabels=rows,
    xlabel="risk / $M$",
    xlim=(0.4, 1.05),
    ylim=(-0.6, 5.2),
)
_ = ax.tick_params(axis="y", length=0)

# %% tags=["remove-input"]
plotting.FigureData(
    "sequential",
    record,
    figure=fig,
    distribution=dist,
    trained="300 steps of Adam, 125 prompts with 4 queries each, rate 0.03",
    tested="40,000 prompts with 8 queries each",
    seed="training 0, 1, 2; test 2",
)

# %% [markdown]
# The products of {prf:ref}`prop-label-gates` are a poor substitute. A gate acts on all features written before, not on its partner alone, and
# these trained layers stay far from the optimum. The page {doc}`one_example` says how low one layer with one such gate can get, and why starts end at different risks.
#
# ## Exercises
#
# ```{exercise} By hand: the label first
# :label: ex-label-first
#
# Let the prompt read $y_1, x_1, y_2, x_2, \dots, y_n, x_n, x$: first the answer, then the question. Which shift mends this? With scalar gates
# $g_1, \dots, g_{2n+1}$, what is the weight of example $i$?
# ```
#
# ```{answer} ex-label-first
# asks: Three examples, and all seven gates are 1/2. What are their weights, from the first example to the last?
# value: "[(1 / 2) ** (2 * 3 + 1 - 2 * i) for i in (1, 2, 3)]"
# wrong:
# - value: "[(1 / 2) ** (2 * 3 + 2 - 2 * i) for i in (1, 2, 3)]"
#   says: One gate too many. A gate acts on what was in the memory before its token, not on what its token writes.
# - value: "[(1 / 2) ** (4 - i) for i in (1, 2, 3)]"
#   says: That is one gate for each example. Each has two tokens, and each token a gate.
# - value: "[(1 / 2) ** (2 * 3 - 2 * i) for i in (1, 2, 3)]"
#   says: One gate too few. The query's gate acts on everything in the memory, too.
# - value: "[(1 / 2) ** (2 * 3 - 2 * i + 3) for i in (1, 2, 3)]"
#   says: Nothing of use is written before both parts of a pair have come. At which of its two tokens is that?
# minutes: 8
# level: 2
# ```
#
# ```{answer} ex-label-first-shift
# asks: Which shift mends it?
# choices:
# - text: values look one token back
# - text: keys look one token back
#   says: Then a token that holds a label looks back at features. Of which example?
# - text: both look one token back
#   says: Then each still sees one token and the same one, which holds one part of the pair.
# - text: queries look one token back
#   says: The query is one token at the end. It is the pairs of examples that have to meet.
# minutes: 4
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# At which token do both parts meet, if nothing may look ahead? Which of key and value must look back there?
# ```
#
# ````{solution} ex-label-first
# :class: dropdown
#
# Values must look back: $v_t$ reads the label of the token before, and $k_t$ reads the features of its own. The pair is written at token $2i$, as
# before. All later gates act on it: $\omega_i = g_{2i+1} g_{2i+2} \cdots g_{2n+1}$. In the original order it is the same product: there, too, the pair is written at token $2i$. A key that looks back, though, would join $x_i$ with $y_{i+1}$, and nothing is learned.
# ````
#
# ```{exercise} Compute: a leaky reset
# :label: ex-leaky-reset
#
# In {prf:ref}`prop-gate-is-shift`, let the gate of layer 1 at feature tokens be some $g \in [0, 1]$ in place of $0$. What does label token $2i$
# receive, and what is the prediction now? Compute it for $g = 0$, $0.3$ and $1$. The last one is a layer of linear attention.
# ```
#
# ```{answer} ex-leaky-reset
# asks: With g = 0.3, in what the third label token receives, what are the factors of the first, the second and the third features?
# value: "[0.3**2, 0.3, 1]"
# wrong:
# - value: "[1, 0.3, 0.3**2]"
#   says: What is written first is shrunk most often.
# - value: "[0.3**3, 0.3**2, 0.3]"
#   says: A gate acts on what was in the memory before its token, not on what its token writes.
# - value: "[0.3, 0.3, 1]"
#   says: The gate acts at every new feature. How often has it acted on the first one?
# - value: "[0, 0, 1]"
#   says: That is a full reset. This one leaks.
# - value: "[0.3**4, 0.3**2, 1]"
#   says: That is one shrinking at each token. The gate here is that of feature tokens; labels in between keep what is there.
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# Layer 1 now keeps what it wrote before, shrunk by $g$ at each new feature. Write what the keys of layer 2 are as a matrix times $X$.
# ```
#
# ````{solution} ex-leaky-reset
# :class: dropdown
#
# It receives $\sum_{j \le i} g^{i-j} x_j$: the features so far, with exponential forgetting. So keys are rows of $L X$ with $L_{ij} = g^{i-j}$ for
# $j \le i$, and the prediction is $x^\top P (L X)^\top (\omega \odot y)$. At $g = 1$ each key is the sum of all features so far: the product $x_i y_i$
# is there, but among as many wrong ones as there are features before it.
#
# ```python
# dist = PromptDistribution(d=3, counts=(6, 4), r=(0.2, 0.8))
# p = dist.sample(5, torch.Generator().manual_seed(0), dtype=torch.float64)
# g = torch.full((2 * dist.n + 1,), 0.9, dtype=torch.float64)
# steps = torch.arange(dist.n)
# lag = steps[:, None] - steps
# for forget in (0.0, 0.3, 1.0):
#     L = torch.where(lag >= 0, g.new_tensor(forget) ** lag.clamp(min=0), 0.0)
#     model = two_layers(P_q, P_k, g, reset=forget)
#     weights = gates_to_weights(pairs(g))
#     expected = wpgd_step(L @ p.x, p.y, p.x_query, P_q @ P_k.T, weights)
#     assert relative_error(model(sequential(p)), expected) < 1e-12
# ```
# ````
#
# ```{exercise} Explore: labels that are sometimes late
# :label: ex-sometimes-late
#
# One task, $r = 1$, white features, no noise. Each label meets its own features with probability $p$, and else those of the next example, at
# random and independently. How much do wrong pairs cost? Measure the share of $M$ that the best step with $P = cI$ and equal weights gains, for
# several $p$ and $n$. Is there a law?
# ```
#
# ```{answer} ex-sometimes-late
# asks: The share of M that the best step gains, for n of three or more, as a function of p, n and d.
# value: "lambda p, n, d: p**2 * n / (d + 2 * p + p**2 * (n - 1))"
# at: [{p: 0.5, n: 6, d: 4}, {p: 0.25, n: 24, d: 4}, {p: 1, n: 10, d: 5}]
# wrong:
# - value: "lambda p, n, d: p**2 * n / (d + 1 + p**2 * n)"
#   says: That is nearly the law. Count once more the pairs with themselves and with each other.
# - value: "lambda p, n, d: p * n / (d + 1 + p * n)"
#   says: That would be so if wrong pairs were left out. They are written all the same.
# - value: "lambda p, n, d: p * n / (d + 1 + n)"
#   says: The first mean goes down with p, and it is squared. What does a wrong pair add to the second?
# - value: "lambda p, n, d: p**2 * n / (d + 1 + n)"
#   says: That is the second mean of prompts without late labels. It changes with p, too.
# - value: "lambda p, n, d: n / (d + 1 + n)"
#   says: That is the law without late labels.
# minutes: 25
# level: 3
# ```
#
# ```{hint}
# :class: dropdown
#
# The best gain is $\E[y f]^2 / \E[f^2]$ for any $f$ of this form. A wrong pair adds nothing to the first mean. What does it add to the second?
# ```
#
# ````{solution} ex-sometimes-late
# :class: dropdown
#
# $\E[y f] \propto p\,n\,d$, and a wrong pair is noise alone. For $n \ge 3$ the share is
#
# $$
# \frac{p^2 n}{d + 2p + p^2 (n - 1)} .
# $$
#
# It is nearly as if $p^2 n$ examples had arrived: if half of the labels are late, four times as many examples make up for it. Late labels are costly, and not
# fatal. That all are late is fatal.
#
# ```python
# def share_sampled(n, d, p, draws=200_000):
#     rng = torch.Generator().manual_seed(0)
#     x = torch.randn(draws, n, d, generator=rng)
#     beta, query = torch.randn(2, draws, d, generator=rng)
#     y = (x * beta[:, None]).sum(-1)
#     right = torch.rand(draws, n, 1, generator=rng) < p
#     met = torch.where(right, x, x.roll(-1, dims=1))
#     step = (met * y[..., None]).sum(1)
#     y_query, f = (query * beta).sum(-1), (query * step).sum(-1)
#     return ((y_query * f).mean() ** 2 / (f**2).mean() / d).item()
#
#
# for n, p in ((6, 1.0), (6, 0.5), (24, 0.5), (24, 0.25)):
#     law = p**2 * n / (4 + 2 * p + p**2 * (n - 1))
#     assert abs(share_sampled(n, 4, p) / law - 1) < 0.03  # one per cent is chance
# assert share_sampled(6, 4, 0.0) < 1e-3
# ```
# ````

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
#   settles: many layers as many steps, with the causal mask and without (Theorem 6)
# ---

# %% [markdown]
# # Many layers, with the mask and without
#
# If one layer is one step of gradient descent, are $L$ layers $L$ steps?
#
# One layer is one step of weighted gradient descent ({prf:ref}`thm-gla-is-wpgd`). Stack the layers, and the causal mask begins to
# matter. Without the mask, many layers are as many steps of one descent. With it, every token descends on its own, and learns from what
# it and the earlier tokens have not yet explained.
#
# This decides what depth can buy. Repeat one layer for ever. Without the mask you end at least squares. With it you end at the delta
# rule, which is a layer of another architecture, or at zero.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-lattice", "caption": "With the mask every token has an iterate of its own; without it all examples share one. Dots are iterates, one for each token and layer; arrows say who reads whom. Left: thick, what example 3 has read after two layers; dashed, the query reads itself from the second layer on. Right: the query writes nothing and only carries its own sum upwards (dotted)."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import GLA, PromptDistribution, plotting, simulate_risk

plotting.use_style()
blue, orange = plotting.TASKS[:2]
n, layers = 4, 3
reads = {
    "with the mask": [(j, i) for i in range(n + 1) for j in range(i + 1)],
    "without the mask": [(j, i) for i in range(n + 1) for j in range(n)],
}


def arrow(ax, j, i, l, **style):
    start, end = (j, l), (i, l + 1)
    arrows = {"arrowstyle": "-|>", "shrinkA": 5, "shrinkB": 6, "mutation_scale": 8}
    ax.annotate("", end, start, arrowprops=arrows | style)


fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.1), sharey=True)
for ax, (title, pairs) in zip(axes, reads.items(), strict=True):
    masked = title == "with the mask"
    for l in range(layers - 1):
        for j, i in pairs:
            past = masked and i <= 2 and (l == 0 or i == 2)
            own = masked and j == n
            if own and l == 0:
                continue  # the query's residual is zero before the first layer
            style = {"color": "0.6", "lw": 0.7, "zorder": 1}
            if past:
                style = {"color": orange, "lw": 2, "zorder": 2}
            if own:
                style = {"color": blue, "lw": 1.8, "linestyle": "--", "zorder": 2}
            arrow(ax, j, i, l, **style)
        if not masked or l == 0:
            ax.plot([n, n], [l, l + 1], ":", color=blue, lw=1.6, zorder=1)
    for l in range(layers):
        if not masked:
            box = plt.matplotlib.patches.FancyBboxPatch(
                (0, l - 0.04), n - 1, 0.08, "round,pad=0.13", mutation_aspect=0.8
            )
            box.set(facecolor="#FBE3D5", edgecolor=orange, zorder=3)
            ax.add_patch(box)
        ax.plot(range(n), [l] * n, "o", color="black", ms=7, zorder=4)
        ax.plot(n, l, "s", color=blue, ms=8, zorder=4)
    ax.set_xticks(range(n + 1), [*map(str, range(1, n + 1)), "query"])
    ax.set_yticks(range(layers), [rf"$\beta^{l}$" for l in range(layers)])
    ax.set(title=title, xlim=(-0.5, n + 0.5), ylim=(-0.3, layers - 0.7))
    ax.set_xlabel("token")
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
_ = axes[0].set_ylabel("iterates after layers 0, 1, 2")

# %% tags=["remove-input"]
plotting.FigureData(
    "lattice",
    {
        "mask": [title for title, pairs in reads.items() for _ in pairs],
        "reader": [i + 1 for pairs in reads.values() for _, i in pairs],
        "is_read": [j + 1 for pairs in reads.values() for j, _ in pairs],
    },
    tokens="1 to 4 are examples, 5 is the query",
    seed="none",
)


# %% [markdown]
# ## Every token has its own iterate
#
# ```{symbols}
# Z x y x_query beta P_q P_k omega Omega G d n K r C Sx q v W
# ```
#
# ```{prf:theorem} Depth
# :label: thm-depth
#
# **With the mask every token has its own iterate, and reads its own and those of the tokens before it.**
#
# *Theorem 6 of the paper, as derived here.* Let $Z^0 = Z$ and $Z^{l+1} = Z^l + \mathrm{GLA}_l(Z^l)$ for $l = 0, \dots, L-1$.
# Every layer has the form of {prf:ref}`def-construction`, with matrices $P_{q,l}$, $P_{k,l}$ of its own and with $-1$ in place of
# $1$ in $W_v$. Its gates may be given or computed from its tokens; $g_i^l \in \R^m$ is the label row of gate $i$ on the key coordinates, and
# $\Omega_{ij}^l = g_{j+1}^l \odot g_{j+2}^l \odot \dots \odot g_i^l$, with $\Omega_{ii}^l = \ones$. Put $x_{n+1} = x$ and $y_{n+1} = 0$, let $\beta_i^0 = 0$ for every token $i = 1, \dots, n+1$, and
#
# $$
# \beta_i^{l+1} = \beta_i^l + P_{q,l} \sum_{j \le i} \bigl( P_{k,l}^\top x_j \odot \Omega_{ij}^l \bigr)
# \bigl( y_j - x_j^\top \beta_j^l \bigr).
# $$
#
# Then the label coordinate of token $i$ in $Z^l$ is $y_i - x_i^\top \beta_i^l$, all other coordinates are those of $Z$, and minus
# the query's label coordinate in $Z^L$, which is the prediction, is $x^\top \beta_{n+1}^L$.
#
# For scalar gates $g_i^l$ is a number times $\ones$. So it is for a vector gate on the value side, $G_i = \alpha_i \ones^\top$: the number is the label's
# entry of $\alpha_i$, and the other entries are never used.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-depth)=
# ```{prf:proof}
# By induction on $l$. At $l = 0$ all $\beta_i^0 = 0$ and the label coordinates are $y_i$. Suppose that the statement holds for $Z^l$.
# The keys $P_{k,l}^\top x_i$ and queries $P_{q,l}^\top x_i$ read features only. The values are zero except at the label
# coordinate, where they are $-(y_j - x_j^\top \beta_j^l)$. By {prf:ref}`prop-unrolled` the output of token $i$ is $\sum_{j \le i} (\Gamma_{ij} \odot v_j k_j^\top) q_i$ with
# $\Gamma_{ij} = G_{j+1} \odot \dots \odot G_i$. Only its label coordinate can differ from zero, and the label row of $\Gamma_{ij}$ on the key coordinates is $\Omega_{ij}^l$. So the
# layer adds
#
# $$
# -\sum_{j \le i} \bigl( P_{k,l}^\top x_j \odot \Omega_{ij}^l \bigr)^\top P_{q,l}^\top x_i \,\bigl( y_j - x_j^\top \beta_j^l \bigr)
# = -x_i^\top \bigl( \beta_i^{l+1} - \beta_i^l \bigr)
# $$
#
# to the label coordinate of token $i$ and nothing to the others: $y_i - x_i^\top \beta_i^l$ becomes $y_i - x_i^\top \beta_i^{l+1}$. For the query, $y_{n+1} = 0$.
# The label row of $\alpha_i \ones^\top$ has equal entries, which is the last remark.
# ```
# ````
#
# *Whose residual?* The residual of example $j$ is taken at $\beta_j$, its own iterate, not at the iterate of the token that reads
# it. So the descents are coupled. From the second layer on, what an example $j < i$ adds to $\beta_i$ is in general not a gradient
# step of its loss at $\beta_i$.
#
# *The query reads itself.* Its sum includes $j = n+1$. In the first layer that residual is $0$. From the second layer on it is
# $-x^\top \beta_{n+1}^l$. So if $x^\top P_{q,l} P_{k,l}^\top x > 0$, the query pulls itself towards zero.
#
# Here are the iterates, in plain loops, with the mask and without. The second check lets every layer compute its gates from the tokens it sees.


# %%
def iterates(x, y, x_query, P_q, P_k, gates, causal=True, own_term=True):
    """All beta_i of the last layer; gates (L, n + 1) or (L, n + 1, m)."""
    X, Y, n = np.vstack([x, x_query]), np.append(y, 0.0), len(x)
    beta = np.zeros_like(X)
    for Pq, Pk, g in zip(P_q, P_k, gates, strict=True):
        step = np.zeros_like(X)
        for i in range(n + 1):
            last = i if causal or i == n else n - 1  # the last gate that i has seen
            masked = causal and (own_term or i < n)
            for j in range(i + 1 if masked else n):
                key = (Pk.T @ X[j]) * g[j + 1 : last + 1].prod(0)
                step[i] += Pq @ key * (Y[j] - X[j] @ beta[j])
        beta = beta + step
    return beta


# %% tags=["check", "asserts-thm-depth"]
def tokens(x, y, x_query):
    Z = np.column_stack([np.vstack([x, x_query]), np.append(y, 0.0)])
    return torch.from_numpy(Z)


def relative(a, b):
    return abs(a - b) / abs(b)


# Both sides are one polynomial in the prompt. Steps of order 1/n keep its terms of order
# one, so little cancels, and 1e-12 leaves room for the digits that some hundred
# additions and products a layer may cost. (The tests draw prompts where a prediction
# may be zero by chance, and measure against the terms' absolute values.)
rng = np.random.default_rng(0)
n, d, m = 12, 3, 2
x, x_query = rng.normal(size=(n, d)), rng.normal(size=d)
y = rng.normal(size=n)
Z = tokens(x, y, x_query)
errors = []
for L in (1, 2, 3, 4, 5, 6):
    P_q, P_k = rng.normal(size=(2, L, d, m)) / n**0.5
    for gate in (None, "scalar", "key", "value"):
        width = {"key": (m,), "value": (d + 1,)}.get(gate, ())
        g = rng.uniform(0.6, 1.0, size=(L, n + 1, *width))
        if gate is None:
            g[:] = 1.0
        given = None if gate is None else list(g)
        if gate == "value":
            g = g[..., d]  # the label's entry
        for causal in (True, False):
            options = {"gate": gate or "scalar", "causal": causal}
            model = GLA.from_matrices(list(P_q), list(P_k), given, **options)
            beta = iterates(x, y, x_query, P_q, P_k, g, causal)
            errors.append(relative(model(Z).item(), x_query @ beta[-1]))
assert max(errors) < 1e-12
print(
    f"{len(errors)} stacks of one to six layers, with the mask and without: model and"
    f" loops agree to {max(errors):.0e}"
)


# %% tags=["check", "asserts-thm-depth"]
# Gates computed from the whole token, its label coordinate included, which holds the
# residual so far: take those that each layer computed, and put them into the formula.
def gates_of_their_own(P_q, P_k, gate, causal):
    """The layers of the theorem, with gates sigmoid(W_g^T z + b_g) of their own."""
    like = GLA.from_matrices(list(P_q), list(P_k), causal=causal)
    L, d, m = P_q.shape
    options = {"key_width": m, "causal": causal, "dtype": torch.float64}
    model = GLA(d + 1, gate, L, gate_bias=1.5, **options)
    model.load_state_dict(like.state_dict(), strict=False)
    with torch.no_grad():
        for layer in model.layers:
            layer.W_g.copy_(torch.from_numpy(rng.normal(size=layer.W_g.shape)))
    return model


@torch.no_grad()
def stream_and_gates(model, Z, n):
    """The stream after the last layer, and the gates (n + 1, ...) of every layer."""
    gates = [values.numpy() for values in model.gates(Z)]
    for layer in model.layers:
        Z = Z + layer.write(Z, n)
    return Z, gates


errors, spread = [], []
for L in (2, 3, 4, 6):
    P_q, P_k = rng.normal(size=(2, L, d, m)) / n**0.5
    for gate in ("scalar", "key", "value"):
        for causal in (True, False):
            model = gates_of_their_own(P_q, P_k, gate, causal)
            last, g = stream_and_gates(model, Z, n)
            spread.append(min(np.ptp(values) for values in g))
            g = [values[:, d] if gate == "value" else values for values in g]
            beta = iterates(x, y, x_query, P_q, P_k, g, causal)
            errors.append(relative(model(Z).item(), x_query @ beta[-1]))
            labels = np.append(y, 0.0) - (np.vstack([x, x_query]) * beta).sum(1)
            off = last[:, d].numpy() - labels
            errors.append(np.linalg.norm(off) / np.linalg.norm(labels))
            assert torch.equal(last[:, :d], Z[:, :d])  # nothing else changes
assert max(errors) < 1e-12 and min(spread) > 0.02  # gates that do differ
print(
    f"{len(spread)} stacks whose gates read their tokens: the labels of all tokens"
    f" agree to {max(errors):.0e}"
)


# %% [markdown]
# ## Without the causal mask
#
# Let every token read the state after the last example, and let the query write nothing. Then all read the same state; only the query's own gate is not shared.
#
# ```{prf:proposition} Depth without the causal mask
# :label: prop-depth-full
#
# **Without the mask $L$ layers with scalar gates are $L$ steps of one descent, and the query's gate says how much of each step the query takes.**
#
# *As derived here.* Take the layers of {prf:ref}`thm-depth`, but let tokens $1, \dots, n$ and the query all read the state after example $n$, the query
# through its own gate $g_{n+1}^l$, and let the query write nothing. With $\Omega_j^l = g_{j+1}^l \odot \dots \odot g_n^l$ and $\beta^0 = 0$ let
#
# $$
# \begin{gathered}
# \beta^{l+1} = \beta^l + P_{q,l}\, \Delta^l, \\
# \Delta^l = \sum_{j=1}^n \bigl( P_{k,l}^\top x_j \odot \Omega_j^l \bigr) \bigl( y_j - x_j^\top \beta^l \bigr).
# \end{gathered}
# $$
#
# 1. All examples have the iterate $\beta^l$, and the prediction is $x^\top \sum_{l < L} P_{q,l} \bigl( g_{n+1}^l \odot \Delta^l \bigr)$.
# 2. If the query's gate is one in all layers, the prediction is $x^\top \beta^L$. For scalar gates these are $L$ steps of weighted
#    preconditioned gradient descent, with weights $\omega_j^l = \prod_{m=j+1}^n g_m^l$.
# 3. For scalar gates in general it is $x^\top \sum_{l<L} g_{n+1}^l (\beta^{l+1} - \beta^l)$: the query takes part of each step, and nobody else's iterate
#    changes.
# 4. Without gates, if the query does write and every token reads what all $n + 1$ tokens write, all $n + 1$ iterates coincide, and take $L$ steps of
#    preconditioned gradient descent on $n + 1$ examples, of which the last is $(x, 0)$.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-depth-full)=
# ```{prf:proof}
# The induction of {prf:ref}`thm-depth` goes through with other sums: token $i \le n$ adds
# $P_{q,l} \sum_{j \le n} (P_{k,l}^\top x_j \odot \Omega_j^l)(y_j - x_j^\top \beta_j^l)$ to its iterate, and the query the same sum with $\Omega_j^l \odot g_{n+1}^l$. The first does
# not depend on $i$. So if all $\beta_i^l$, $i \le n$, are equal to $\beta^l$, all $\beta_i^{l+1}$ are equal to $\beta^{l+1}$; they are at $l = 0$. The query's increment is
# $P_{q,l}(g_{n+1}^l \odot \Delta^l)$, as $g_{n+1}^l$ does not depend on $j$: that is 1. A gate of one makes it $\beta^{l+1} - \beta^l$, a scalar gate that many times it: 2 and 3.
# For scalar gates $P_{q,l} \Delta^l = -P_{q,l} P_{k,l}^\top \nabla \tfrac12 \sum_j \omega_j^l (y_j - x_j^\top \beta)^2$ at $\beta^l$. In 4 all increments are $P_{q,l} P_{k,l}^\top \sum_{j \le n+1} x_j (y_j - x_j^\top \beta_j^l)$, for the query as well.
# ```
# ````
#
# Part 2 without gates is the setting of {cite}`ahn2023transformers`. For one layer the mask makes no difference to the prediction: the query reads the same state, and its own residual is still zero.


# %% tags=["check", "asserts-prop-depth-full"]
def shared_iterate(x, y, x_query, P_q, P_k, gates):
    """The prediction of part 1, and that of part 2."""
    beta = query = np.zeros(x.shape[1])
    for Pq, Pk, g in zip(P_q, P_k, gates, strict=True):
        total = np.zeros(Pk.shape[1])
        for j in range(len(x)):
            omega = g[j + 1 : len(x)].prod(0)
            total += (Pk.T @ x[j]) * omega * (y[j] - x[j] @ beta)
        beta, query = beta + Pq @ total, query + Pq @ (g[-1] * total)
    return x_query @ query, x_query @ beta


errors = []
for L in (1, 2, 3, 4, 5, 6):
    P_q, P_k = rng.normal(size=(2, L, d, m)) / n**0.5
    for gate in ("scalar", "key"):
        g = rng.uniform(0.6, 1.0, size=(L, n + 1, *{"key": (m,)}.get(gate, ())))
        model = GLA.from_matrices(list(P_q), list(P_k), list(g), gate, causal=False)
        wanted = shared_iterate(x, y, x_query, P_q, P_k, g)[0]
        errors.append(relative(model(Z).item(), wanted))  # parts 1 and 3
        g[:, -1] = 1.0
        model = GLA.from_matrices(list(P_q), list(P_k), list(g), gate, causal=False)
        wanted = shared_iterate(x, y, x_query, P_q, P_k, g)[1]
        errors.append(relative(model(Z).item(), wanted))  # part 2

    # Part 4: without the mask the module does this for (x, 0) as one more example.
    ungated = GLA.from_matrices(list(P_q), list(P_k), causal=False)
    more_x, more_y = np.vstack([x, x_query]), np.append(y, 0.0)
    beta = np.zeros(d)
    for Pq, Pk in zip(P_q, P_k, strict=True):
        beta = beta + Pq @ Pk.T @ more_x.T @ (more_y - more_x @ beta)
    told = ungated(tokens(more_x, more_y, x_query)).item()
    errors.append(relative(told, x_query @ beta))  # part 4
assert max(errors) < 1e-12  # the reason is that of the theorem
print(f"{len(errors)} stacks: all four parts hold to {max(errors):.0e}")


# %% [markdown]
# ## Where equal layers end
#
# Repeat one layer for ever, with steps that are not too long. There are three ways of reading: without the mask, with it, and with it but without the
# query's own term. Each ends somewhere else.


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-equal-layers", "caption": "One layer, repeated: who reads whom decides where it ends. Prediction of equal layers against their number, for one prompt of six examples without gates ($d = 3$). All tokens have length one, and the step with the mask is one: zero is reached after seven layers, the delta rule after six."}}
def delta_rule(x, y, g):
    """w_n of part 3."""
    w = np.zeros(x.shape[1])
    for x_i, y_i, g_i in zip(x, y, g):
        w = g_i * w + x_i * (y_i - g_i * x_i @ w) / (x_i @ x_i)
    return w


def labels_after(L, reads, y, eta):
    """The label coordinates after 0, ..., L layers u -> u - eta reads u."""
    u = [np.append(y, 0.0)]
    for _ in range(L):
        u.append(u[-1] - eta * reads @ u[-1])
    return np.array(u)


draw = np.random.default_rng(26)
X, noise = draw.normal(size=(7, 3)), draw.normal(size=6)
X /= np.linalg.norm(X, axis=1, keepdims=True)
labels = 1.5 * X[:6] @ draw.normal(size=3) + 0.3 * noise
both = X @ X.T
everyone = both * (np.arange(7) < 6)  # nobody reads the query
masked = np.tril(both)
no_own_term = masked * (np.arange(7) < 6)
eta = 1 / np.linalg.eigvalsh(X[:6].T @ X[:6])[-1]
L = np.arange(41)
kinds = {
    "without the mask": (-labels_after(40, everyone, labels, eta)[:, 6], "-", "s"),
    "with it, no own term": (
        -labels_after(40, no_own_term, labels, 1.0)[:, 6],
        "--",
        "o",
    ),
    "with the mask": (-labels_after(40, masked, labels, 1.0)[:, 6], "-.", "^"),
}
ends = {
    "least squares": X[6] @ np.linalg.lstsq(X[:6], labels, rcond=None)[0],
    "delta rule": X[6] @ delta_rule(X[:6], labels, np.ones(6)),
    "zero": 0.0,
}

fig, ax = plt.subplots(figsize=(6.4, 2.9))
for color, (kind, (curve, dash, marker)), (end, value) in zip(
    plotting.TASKS, kinds.items(), ends.items(), strict=False
):
    ax.axhline(value, **plotting.STYLES["predict zero"])
    ax.plot(L, curve, dash, marker=marker, ms=4, markevery=2, color=color)
    ax.text(40.5, value, f"{end}\n({kind})", color=color, va="center")
    assert abs(curve[-1] - value) < 0.02
_ = ax.set(xlabel="layers $L$", ylabel="prediction", xlim=(0, 40))

# %% tags=["remove-input"]
plotting.FigureData(
    "equal_layers",
    {"L": L} | {kind: curve for kind, (curve, _, _) in kinds.items()},
    step="1 with the mask; 1 over the largest eigenvalue without",
    **{end.replace(" ", "_"): value for end, value in ends.items()},
    seed=26,
)


# %% [markdown]
# ```{prf:proposition} Where equal layers end
# :label: prop-delta-limit
#
# **Equal layers end at least squares without the mask; with it, at a delta rule or at zero.**
#
# *New here.* Let all layers be equal, with $P_{q,l} P_{k,l}^\top = \eta I$, $\eta > 0$, and the same scalar gates $g_i$ in all of them. Let $\omega_j = \prod_{m=j+1}^n g_m$, let $S_\omega = X^\top \diag(\omega) X$, and let
# $L \to \infty$.
#
# 1. *Without the mask*, if $\eta\, \norm{S_\omega} < 2$, the prediction tends to $g_{n+1}\, x^\top S_\omega^+ X^\top (\omega \odot y)$: weighted least squares, the solution of least norm, times
#    the query's gate. ($\norm{S_\omega}$ is the largest eigenvalue.)
# 2. *With the mask*, if $0 < \eta \norm{x_i}^2 < 2$ for $i = 1, \dots, n+1$, all label coordinates tend to zero, the query's among them: **the prediction tends to
#    zero**.
# 3. *With the mask, without the query's own term* (the query reads, through its gate, and writes nothing): if $0 < \eta \norm{x_i}^2 < 2$ for $i = 1, \dots, n$, the prediction tends to
#    $g_{n+1}\, x^\top w_n$, where $w_0 = 0$ and
#
#    $$
#    w_i = g_i w_{i-1} + \frac{x_i}{\norm{x_i}^2} \bigl( y_i - g_i\, x_i^\top w_{i-1} \bigr).
#    $$
#
#    If $\eta \norm{x_i}^2 = 1$ for $i \le n$, then $n$ layers give exactly this.
# 4. For one task ($K = 1$, $r = 1$), $\Sigma_x = C = I$, no noise and no gates ($g_i = 1$), the predictor $x^\top w_n$ of part 3 has risk $d (1 - 1/d)^n$. The limit in part 1, $x^\top (X^\top X)^+ X^\top y$, has risk $0$ if $n \ge d$.
#    (These are the risks of the limits: no fixed $\eta$ satisfies the conditions on every prompt.)
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-delta-limit)=
# ```{prf:proof}
# *1.* By {prf:ref}`prop-depth-full` $\beta^{l+1} = \beta^l + \eta (X^\top(\omega \odot y) - S_\omega \beta^l)$ from $0$. As $X^\top \diag(\omega) y$ lies in the range of $S_\omega$, all iterates do, and there
# $I - \eta S_\omega$ is a contraction to the only fixed point in that range. As the query's gate is the same in all layers, the sum in part 3 of that proposition is $g_{n+1} \beta^L$.
#
# *2.* Let $u^l \in \R^{n+1}$ be the label
# coordinates. By {prf:ref}`thm-depth` $u^{l+1} = (I - \eta T) u^l$, where $T_{ij} = x_i^\top x_j \prod_{m=j+1}^i g_m$ for $j \le i$ and $0$ for $j > i$. $T$ is triangular with diagonal $\norm{x_i}^2$, so the
# eigenvalues of $I - \eta T$ lie in $(-1, 1)$ and its powers tend to zero.
#
# *3.* Let now $T$ and $u^l$ be those of the examples alone, which the query does not influence. The query's iterate collects $g_{n+1} \sum_{j \le n} \omega_j x_j\, \eta \sum_{l<L} u_j^l$. As
# $\eta \sum_{l<L} (I - \eta T)^l \to T^{-1}$, this tends to $g_{n+1} \sum_j \omega_j x_j\, \alpha_j$ with $T \alpha = y$. If all $\eta \norm{x_i}^2 = 1$, then $I - \eta T$ is strictly lower triangular, its $n$-th power
# is zero, and $L = n$ terms are enough. Let $w_i = \sum_{j \le i} \alpha_j x_j \prod_{m=j+1}^i g_m$. Then $w_i = g_i w_{i-1} + \alpha_i x_i$, the sum in question is $w_n$, and row $i$ of $T\alpha = y$ is
# $x_i^\top w_i = y_i$; so $\alpha_i = (y_i - g_i x_i^\top w_{i-1})/\norm{x_i}^2$.
#
# *4.* With $y_i = x_i^\top \beta$ the error obeys $w_i - \beta = (I - u_i u_i^\top)(w_{i-1} - \beta)$,
# $u_i = x_i/\norm{x_i}$. As $u_i$ is uniform on the sphere and independent of $w_{i-1} - \beta$, the mean square of the error shrinks by $1 - 1/d$; it starts at $\E \norm{\beta}^2 = d$, and $x$ is independent of it with covariance
# $I$. In 1, $X$ has rank $d$ almost surely if $n \ge d$, and then least squares returns $\beta$.
# ```
# ````
#
# The recursion in 3 is $w_i = g_i \bigl( I - x_i x_i^\top / \norm{x_i}^2 \bigr) w_{i-1} + x_i y_i / \norm{x_i}^2$: the gated delta rule of
# {cite}`yang2025gated`, with the step that fits the newest example exactly. Without gates it is one sweep of Kaczmarz's method. So, for a query
# that writes nothing, *an endless stack of such causal layers is a single layer of another architecture*. The query's own term spoils it:
# $(x, 0)$ is one more example, and in the end it is fitted, too.


# %% tags=["check", "asserts-prop-delta-limit"]
def equal_layers(x, y, x_query, eta, g, depth, **options):
    eye, stack = np.eye(x.shape[1]), range(depth)
    gates = [g for _ in stack]
    P_q, P_k = [eta * eye for _ in stack], [eye for _ in stack]
    layer = GLA.from_matrices(P_q, P_k, gates, **options)
    return layer(tokens(x, y, x_query)).item()


n, d = 6, 3
x, y, x_query = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
g = rng.uniform(0.7, 1.0, size=n + 1)
omega = np.array([g[j + 1 : n].prod() for j in range(n)])
S = x.T @ (omega[:, None] * x)

# 1. The slowest direction shrinks by 1 - eta lambda_min in each layer.
eta, depth = 1.0 / np.linalg.eigvalsh(S)[-1], 600
wanted = g[n] * x_query @ np.linalg.solve(S, x.T @ (omega * y))
ours = equal_layers(x, y, x_query, eta, g, depth, causal=False)
rate = 1 - eta * np.linalg.eigvalsh(S)[0]
squares = relative(ours, wanted)
assert rate**depth < 1e-12 and squares < 1e-10

# 2 and 3. Examples and query of length one: nilpotent, so exact at a finite depth.
x /= np.linalg.norm(x, axis=1, keepdims=True)
x_query /= np.linalg.norm(x_query)
assert abs(equal_layers(x, y, x_query, 1.0, g, n + 2)) < 1e-12  # 2: it forgets
layers = [np.eye(d)] * n
beta = iterates(x, y, x_query, layers, layers, [g] * n, own_term=False)
wanted = g[n] * x_query @ delta_rule(x, y, g)
sweep_error = relative(x_query @ beta[-1], wanted)
assert sweep_error < 1e-12  # 3: a product of six steps
print(
    f"600 layers are least squares to {squares:.0e}, six are the delta rule to"
    f" {sweep_error:.0e}"
)

# %% tags=["check", "asserts-prop-delta-limit"]
# 4. The risk of the sweep, by simulation: within four standard errors.
kaczmarz = PromptDistribution(d=3, counts=(6,), r=(1.0,))


def sweep(prompts):
    w = torch.zeros_like(prompts.beta_query)
    for x_i, y_i in zip(prompts.x.unbind(1), prompts.y.unbind(1)):
        gap = (y_i - (x_i * w).sum(1)) / (x_i**2).sum(1)
        w = w + gap[:, None] * x_i
    return prompts.x_query @ w[..., None]


generator = torch.Generator().manual_seed(0)
estimate = simulate_risk(
    lambda p: sweep(p)[..., 0], kaczmarz, 20_000, generator=generator
)
exact = 3 * (1 - 1 / 3) ** 6
assert abs(estimate.risk - exact) < 4 * estimate.stderr
print(
    f"one sweep over six examples has risk {estimate.risk:.3f} on 20,000 prompts, by the"
    f" formula {exact:.3f}"
)


# %% [markdown]
# ## Break it
#
# **One iterate for all.** Suppose that we overlook the coupling, and let every token use the query's iterate under the causal mask. One
# layer does not notice. Two do.


# %% tags=["check"]
def uncoupled(x, y, x_query, P_q, P_k, gates):
    """Theorem 6 with beta_{n+1} for every beta_j: false from layer 2 on."""
    X, Y, n = np.vstack([x, x_query]), np.append(y, 0.0), len(x)
    beta = np.zeros(X.shape[1])
    for Pq, Pk, g in zip(P_q, P_k, gates, strict=True):
        terms = [
            (Pk.T @ X[j]) * g[j + 1 :].prod(0) * (Y[j] - X[j] @ beta)
            for j in range(n + 1)
        ]
        beta = beta + Pq @ sum(terms)
    return x_query @ beta


n, d = 12, 3
x, y, x_query = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
Z, wrong = tokens(x, y, x_query), []
P_q = P_k = np.stack([np.eye(d) / n**0.5] * 6)
g = np.full((6, n + 1), 0.9)
for L in (1, 2, 3, 4, 5, 6):
    exact = GLA.from_matrices(list(P_q[:L]), list(P_k[:L]), list(g[:L]))(Z).item()
    wrong.append(relative(uncoupled(x, y, x_query, P_q[:L], P_k[:L], g[:L]), exact))
assert wrong[0] < 1e-12 and min(wrong[1:]) > 0.01
print("relative errors of one to six layers:", ", ".join(f"{e:.1g}" for e in wrong))

# %% [markdown]
# **A step too long.** Part 2 of {prf:ref}`prop-delta-limit` needs $\eta \norm{x_i}^2 < 2$ for every token. One example that is too long can make the
# label coordinates grow without bound.

# %% tags=["check"]
x = rng.normal(size=(6, 3))
x /= np.linalg.norm(x, axis=1, keepdims=True)
x_query, g = np.array([1.0, 0.0, 0.0]), np.ones(7)
assert abs(equal_layers(x, y[:6], x_query, 1.0, g, 50)) < 1e-12
x[2] *= 1.5  # its square is 2.25
grown = abs(equal_layers(x, y[:6], x_query, 1.0, g, 200))
assert grown > 1e6
print(
    f"one example of squared length 2.25: after 200 layers the prediction is {grown:.0e}"
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: the query reads itself
# :label: ex-own-term
#
# Leave the query's own term out of {prf:ref}`thm-depth`. By how much exactly does that change the prediction of two layers? And how could one remove the own
# term without touching the layers, by changing the query's token? The gates are given.
# ```
#
# ```{answer} ex-own-term
# asks: Prediction without the own term, less that with it, is the second layer's matrix between the query and itself, times what?
# choices:
# - text: the prediction of the first layer alone
# - text: the prediction of both layers
#   says: The second layer reads what the first one has left in the query's token. What had it written by then?
# - text: minus the prediction of the first layer alone
#   says: The token carries the residual, the label less the prediction, and the query's own term is added with it. Which sign does leaving it out have?
# - text: the label of the query
#   says: The model has not seen it. What stands in the query's token in its place after the first layer?
# minutes: 12
# level: 3
# ```
#
# ```{answer} ex-own-term-power
# asks: For the query's token shrunk by epsilon, and the prediction divided by epsilon, which power of epsilon does the own term have?
# value: 2
# within: 0.1
# wrong:
# - value: 3
#   says: That is before the prediction is divided by epsilon.
# - value: 1
#   says: The query stands in the own term three times, once of them in the first layer's prediction.
# - value: 0
#   says: That is so for all other terms, which are linear in the query.
# minutes: 5
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# In the first layer the query's residual is zero, so only the second layer's own term is left. For the second question: which terms are
# linear in the query's $x$?
# ```
#
# ````{solution} ex-own-term
# :class: dropdown
#
# In the second layer the query adds $-P_{q,1} P_{k,1}^\top x \,(x^\top \beta_{n+1}^1)$ to its iterate; its residual in the first layer is zero. So the prediction without the term is too large by
# $\bigl( x^\top P_{q,1} P_{k,1}^\top x \bigr)\, f_1$, with $f_1$ the prediction of the first layer alone. To remove the term shrink the query: for the token $(\epsilon x, 0)$ every prediction is $\epsilon$ times what it was, apart from the own term, which carries a factor
# $\epsilon^2$ more. Divide the prediction by $\epsilon$.
#
# ```python
# n, d = 12, 3
# x, y, x_query = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
# P_q, P_k = rng.normal(size=(2, 2, d, d)) / n**0.5
# g = rng.uniform(0.6, 1.0, size=(2, n + 1))
# exact = GLA.from_matrices(list(P_q), list(P_k), list(g))
# first = GLA.from_matrices(P_q[0], P_k[0], g[0])
# without = x_query @ iterates(x, y, x_query, P_q, P_k, g, own_term=False)[-1]
# own = x_query @ P_q[1] @ P_k[1].T @ x_query
# Z = tokens(x, y, x_query)
# error = without - exact(Z).item()
# assert abs(error - own * first(Z).item()) < 1e-12 * abs(error)
# assert relative(without, exact(Z).item()) > 0.01
#
# small = 1e-5
# shrunk = exact(tokens(x, y, small * x_query)).item() / small
# assert relative(shrunk, without) < 1e-8  # the term left is of order small^2
# ```
# ````
#
# ```{exercise} Compute: how many layers until it forgets
# :label: ex-layers-to-zero
#
# All examples and the query have length one, all layers are equal, with the mask and $\eta = 1$. By {prf:ref}`prop-delta-limit` the prediction tends
# to zero. After exactly how many layers is it zero for good, and how much of it is left one layer before?
# ```
#
# ```{answer} ex-layers-to-zero
# asks: After how many layers is it zero for good, as a function of n?
# value: "lambda n: n + 1"
# at: [{n: 5}, {n: 12}, {n: 1}]
# wrong:
# - value: "lambda n: n"
#   says: One layer before the end the first label is still there. The matrix has a row for the query, too.
# - value: "lambda n: n + 2"
#   says: A strictly triangular matrix of m rows vanishes at its m-th power. How many rows are there?
# - value: "lambda n: n - 1"
#   says: The label of the first example takes a layer to get to each next example. Where is it then, and where must it go?
# - value: "lambda n: 2 * n"
#   says: Each layer passes labels on by one token at least. How many tokens are there?
# minutes: 8
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# The label coordinates obey $u^{l+1} = (I - T) u^l$, and $I - T$ is strictly lower triangular, with $n + 1$ rows.
# ```
#
# ````{solution} ex-layers-to-zero
# :class: dropdown
#
# After $n + 1$ layers, as the $(n+1)$-th power of such a matrix vanishes. One layer before only the corner of its $n$-th power is left: the label of the *first*
# example, handed on from each example to the next, $(-1)^n\, x^\top x_n \; x_n^\top x_{n-1} \cdots x_2^\top x_1\; y_1$ without gates. The prediction is minus that.
#
# ```python
# n, d = 5, 3
# x, y, x_query = rng.normal(size=(n, d)), rng.normal(size=n), np.array([0.0, 0.6, 0.8])
# x /= np.linalg.norm(x, axis=1, keepdims=True)
# depths = [equal_layers(x, y, x_query, 1.0, np.ones(n + 1), L) for L in range(1, n + 4)]
# chain = (x_query @ x[-1]) * np.prod([x[i] @ x[i - 1] for i in range(1, n)]) * y[0]
# assert max(map(abs, depths[n:])) < 1e-12
# assert abs(depths[n - 1] + (-1) ** n * chain) < 1e-12 and abs(chain) > 1e-6
# ```
# ````
#
# ```{exercise} Explore: does the order of the examples matter?
# :label: ex-order-of-examples
#
# Take the gates away. One layer then gives every example the same weight, in whatever order they come. Is that so for two layers? With the
# mask, and without? Shuffle the examples and look.
# ```
#
# ```{answer} ex-order-of-examples
# asks: Without gates, when does the order of the examples matter?
# choices:
# - text: with the mask, from two layers on
# - text: with the mask, from one layer on
#   says: One layer without gates gives all examples the same weight for the query.
# - text: with the mask or without, from two layers on
#   says: Without the mask every token reads all tokens. What do other places in the prompt change then?
# - text: never
#   says: With the mask a token reads those before it only, and a second layer reads what it has learnt. Shuffle and look.
# minutes: 8
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Which token's iterate knows about example 1 after the first layer? And which ones if example 1 is moved to the end?
# ```
#
# ````{solution} ex-order-of-examples
# :class: dropdown
#
# Without the mask the order never matters. With it, it matters from the second layer on, even without gates: a token learns from the tokens before it, so the one that
# comes first has only itself to learn from.
#
# ```python
# def shuffled(L, causal):
#     """How far the predictions of shuffled prompts lie apart, relative to the largest."""
#     eye = [np.eye(3) / 3] * L
#     model = GLA.from_matrices(eye, [np.eye(3)] * L, causal=causal)
#     orders = [rng.permutation(8) for _ in range(10)]
#     told = [model(tokens(x[o], y[o], x_query)).item() for o in orders]
#     return np.ptp(told) / np.abs(told).max()
#
#
# x, y, x_query = rng.normal(size=(8, 3)), rng.normal(size=8), rng.normal(size=3)
# assert shuffled(1, causal=True) < 1e-12 and shuffled(4, causal=False) < 1e-10
# assert shuffled(2, causal=True) > 0.01
# ```
# ````

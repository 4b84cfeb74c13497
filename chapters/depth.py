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
# # Depth: many steps
#
# **Where we are.** One layer is one step of weighted gradient descent ({prf:ref}`thm-gla-is-wpgd`). This page stacks layers.
# The causal mask has a surprising effect: every token descends on its own, and learns from what the earlier tokens have not yet
# explained. We prove what $L$ layers compute, with the mask and without it, and then ask how close they can come to the Bayes
# predictor. Three answers are exact: where many equal layers end, what step sizes alone can never do, and what the query's own
# gate adds.
#
# ```{symbols}
# Z x y x_query P_q P_k Omega G R r sigma
# ```
#
# ## Every token has its own iterate
#
# ```{prf:theorem} Depth
# :label: thm-depth
#
# *Theorem 6 of the paper, as derived here.* Let $Z^0 = Z$ and $Z^{l+1} = Z^l + \mathrm{GLA}_l(Z^l)$ for $l = 0, \dots, L-1$.
# Every layer has the form of {prf:ref}`def-construction`, with matrices $P_{q,l}$, $P_{k,l}$ of its own and with $-1$ in place of
# $1$ in $W_v$. Its gates may be given or computed from its tokens; $g_i^l \in \R^m$ is the label row of gate $i$ on the key coordinates, and
#
# $$
# \Omega_{ij}^l = g_{j+1}^l \odot g_{j+2}^l \odot \dots \odot g_i^l, \qquad \Omega_{ii}^l = \ones .
# $$
#
# Put $x_{n+1} = x$ and $y_{n+1} = 0$, let $\beta_i^0 = 0$ for every token $i = 1, \dots, n+1$, and
#
# $$
# \beta_i^{l+1} = \beta_i^l + P_{q,l} \sum_{j \le i} \bigl( P_{k,l}^\top x_j \odot \Omega_{ij}^l \bigr)
# \bigl( y_j - x_j^\top \beta_j^l \bigr).
# $$
#
# Then the label coordinate of token $i$ in $Z^l$ is $y_i - x_i^\top \beta_i^l$, all other coordinates are those of $Z$, and minus
# the query's label coordinate in $Z^L$, which is the prediction, is $x^\top \beta_{n+1}^L$.
#
# For scalar gates $g_i^l$ is a number times $\ones$. So it is for a vector gate on the value side, $G_i = a_i \ones^\top$: the number is the label's
# entry of $a_i$, and the other entries are never used.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-depth)=
# ```{prf:proof}
# By induction on $l$. At $l = 0$ all $\beta_i^0 = 0$ and the label coordinates are $y_i$. Suppose that the statement holds for $Z^l$.
# The keys $P_{k,l}^\top x_i$ and queries $P_{q,l}^\top x_i$ read features only. The values are zero except at the label
# coordinate, where they are $-(y_j - x_j^\top \beta_j^l)$. By {prf:ref}`prop-unrolled` the output of token $i$ is $\sum_{j \le i} (D_{ij} \odot v_j k_j^\top) q_i$ with
# $D_{ij} = G_{j+1} \odot \dots \odot G_i$. Only its label coordinate can differ from zero, and the label row of $D_{ij}$ on the key coordinates is $\Omega_{ij}^l$. So the
# layer adds
#
# $$
# -\sum_{j \le i} \bigl( P_{k,l}^\top x_j \odot \Omega_{ij}^l \bigr)^\top P_{q,l}^\top x_i \,\bigl( y_j - x_j^\top \beta_j^l \bigr)
# = -x_i^\top \bigl( \beta_i^{l+1} - \beta_i^l \bigr)
# $$
#
# to the label coordinate of token $i$ and nothing to the others: $y_i - x_i^\top \beta_i^l$ becomes $y_i - x_i^\top \beta_i^{l+1}$. For the query, $y_{n+1} = 0$.
# The label row of $a_i \ones^\top$ has equal entries, which is the last remark.
# ```
# ````
#
# Two things deserve a second look. The residual of example $j$ is taken at $\beta_j$, *its own* iterate, not at the iterate of the
# token that reads it. So the descents are coupled: from the second layer on, what an example $j < i$ adds to $\beta_i$ is in general not a gradient step of its loss at $\beta_i$. And the sum of the query
# includes $j = n+1$: in the first layer its residual is $0$, but from the second layer on it is $-x^\top \beta_{n+1}^l$, so the query, if
# $x^\top P_{q,l} P_{k,l}^\top x > 0$, pulls itself towards zero. Here are the iterates, with two plain loops.

# %%
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    optimal_wpgd,
    plotting,
    simulate_risk,
)
from glalib.baselines import bayes, least_squares

plotting.use_style()


def iterates(x, y, x_query, P_q, P_k, gates, causal=True, own_term=True):
    """All beta_i of the last layer; gates (L, n + 1) or (L, n + 1, m)."""
    X, Y, n = np.vstack([x, x_query]), np.append(y, 0.0), len(x)
    beta = np.zeros_like(X)
    for Pq, Pk, g in zip(P_q, P_k, gates):
        step = np.zeros_like(X)
        for i in range(n + 1):
            for j in range(i + 1 if causal else n):
                if j == n and not own_term:
                    continue
                factors = g[j + 1 : i + 1] if causal else g[j + 1 : n]
                if not causal and i == n:  # the query's own gate
                    factors = np.concatenate([factors, g[n:]])
                key = (Pk.T @ X[j]) * factors.prod(0)
                step[i] += Pq @ key * (Y[j] - X[j] @ beta[j])
        beta = beta + step
    return beta


def tokens(x, y, x_query):
    return torch.from_numpy(
        np.column_stack([np.vstack([x, x_query]), np.append(y, 0.0)])
    )


def relative(a, b):
    return abs(a - b) / abs(b)


# %% [markdown]
# Both sides are the same polynomial in the prompt. Steps of order $1/n$ keep its terms of order one, so little cancels, and a
# relative error of $10^{-12}$ leaves room for the few digits that some hundred additions and products per layer may cost. (The tests take random prompts, where a prediction can be zero by chance. There
# the error is relative to the same polynomial with absolute values in place of all numbers.)

# %% tags=["asserts-thm-depth"]
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


# %% [markdown]
# Half of these layers had no causal mask. That case is simpler, and comes next. First, gates that are computed: from all of a token, the label coordinate among it, which holds the residual so far. We run the stream, take the gates that each layer computed, and put them into the formula, for the label coordinate of every token.


# %% tags=["asserts-thm-depth"]
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


# %% [markdown]
# ## Without the causal mask
#
# Let every token read the state after the last example, and let the query write nothing. A query has no example after it, so its own
# gate is the only gate that the examples do not share.
#
# ```{prf:proposition} Depth without the causal mask
# :label: prop-depth-full
#
# *As derived here.* Take the layers of {prf:ref}`thm-depth`, but let tokens $1, \dots, n$ and the query all read the state after example $n$, the query
# through its own gate $g_{n+1}^l$, and let the query write nothing. With $\Omega_j^l = g_{j+1}^l \odot \dots \odot g_n^l$ and $\beta^0 = 0$ let
#
# $$
# \beta^{l+1} = \beta^l + P_{q,l}\, s^l, \qquad s^l = \sum_{j=1}^n \bigl( P_{k,l}^\top x_j \odot \Omega_j^l \bigr) \bigl( y_j - x_j^\top \beta^l \bigr).
# $$
#
# 1. Every example has the same iterate $\beta^l$, and the prediction is $x^\top \sum_{l < L} P_{q,l} \bigl( g_{n+1}^l \odot s^l \bigr)$.
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
# $P_{q,l}(g_{n+1}^l \odot s^l)$, as $g_{n+1}^l$ does not depend on $j$: that is 1. A gate of one makes it $\beta^{l+1} - \beta^l$, a scalar gate that many times it: 2 and 3.
# For scalar gates $P_{q,l} s^l = -P_{q,l} P_{k,l}^\top \nabla \tfrac12 \sum_j \omega_j^l (y_j - x_j^\top \beta)^2$ at $\beta^l$. In 4 all increments are $P_{q,l} P_{k,l}^\top \sum_{j \le n+1} x_j (y_j - x_j^\top \beta_j^l)$, for the query as well.
# ```
# ````
#
# Part 2 without gates is the setting of {cite}`ahn2023transformers`. One layer knows no difference between mask and no mask: the
# query reads the same state, and its own residual is still zero.
#
# For the cell: part 4 is what `GLA` computes without the mask if we give it $(x, 0)$ as one more example.


# %% tags=["asserts-prop-depth-full"]
def shared_iterate(x, y, x_query, P_q, P_k, gates):
    """The prediction of part 1, with one loop over examples."""
    beta = query = np.zeros(x.shape[1])
    for Pq, Pk, g in zip(P_q, P_k, gates):
        s = np.zeros(Pk.shape[1])
        for j in range(len(x)):
            s += (Pk.T @ x[j]) * g[j + 1 : len(x)].prod(0) * (y[j] - x[j] @ beta)
        beta, query = beta + Pq @ s, query + Pq @ (g[-1] * s)
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

    ungated = GLA.from_matrices(list(P_q), list(P_k), causal=False)
    more_x, more_y = np.vstack([x, x_query]), np.append(y, 0.0)
    beta = np.zeros(d)
    for Pq, Pk in zip(P_q, P_k):
        beta = beta + Pq @ Pk.T @ more_x.T @ (more_y - more_x @ beta)
    told = ungated(tokens(more_x, more_y, x_query)).item()
    errors.append(relative(told, x_query @ beta))  # part 4
assert max(errors) < 1e-12  # the reason is that of the theorem


# %% [markdown]
# ## Where equal layers end
#
# Repeat one layer for ever, with steps that are not too long. Without the mask this is gradient descent, which ends at least squares. With the mask it ends at zero, or,
# if the query writes nothing, at a place with a name: the (gated) delta rule.
#
# ```{prf:proposition} Where equal layers end
# :label: prop-delta-limit
#
# *New here.* Let all layers be equal, with $P_{q,l} P_{k,l}^\top = \eta I$, $\eta > 0$, and the same scalar gates $g_i$ in all of them. Let $\omega_j = \prod_{m=j+1}^n g_m$, let $S_\omega = X^\top \diag(\omega) X$, and let
# $L \to \infty$.
#
# 1. *Without the mask*, if $\eta\, \lambda_{\max}(S_\omega) < 2$, the prediction tends to $g_{n+1}\, x^\top S_\omega^+ X^\top (\omega \odot y)$: weighted least squares, the solution of least norm, times
#    the query's gate.
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
# $I - \eta S_\omega$ is a contraction to the only fixed point in that range. For a constant query gate the sum in part 3 there is $g_{n+1} \beta^L$.
#
# *2.* Let $u^l \in \R^{n+1}$ be the label
# coordinates. By {prf:ref}`thm-depth` $u^{l+1} = (I - \eta T) u^l$, where $T_{ij} = x_i^\top x_j \prod_{m=j+1}^i g_m$ for $j \le i$ and $0$ for $j > i$. $T$ is triangular with diagonal $\norm{x_i}^2$, so the
# eigenvalues of $I - \eta T$ lie in $(-1, 1)$ and its powers tend to zero.
#
# *3.* Let now $T$ and $u^l$ be those of the examples alone, which the query does not influence. The query's iterate collects $g_{n+1} \sum_{j \le n} \omega_j x_j\, \eta \sum_{l<L} u_j^l$. As
# $\eta \sum_{l<L} (I - \eta T)^l \to T^{-1}$, this tends to $g_{n+1} \sum_j \omega_j x_j a_j$ with $T a = y$. If all $\eta \norm{x_i}^2 = 1$, then $I - \eta T$ is strictly lower triangular, its $n$-th power
# is zero, and $L = n$ terms are enough. Let $w_i = \sum_{j \le i} a_j x_j \prod_{m=j+1}^i g_m$. Then $w_i = g_i w_{i-1} + a_i x_i$, the sum in question is $w_n$, and row $i$ of $Ta = y$ is
# $x_i^\top w_i = y_i$; so $a_i = (y_i - g_i x_i^\top w_{i-1})/\norm{x_i}^2$.
#
# *4.* With $y_i = x_i^\top \beta$ the error obeys $w_i - \beta = (I - u_i u_i^\top)(w_{i-1} - \beta)$,
# $u_i = x_i/\norm{x_i}$. As $u_i$ is uniform on the sphere and independent of $w_{i-1} - \beta$, the mean square of the error shrinks by $1 - 1/d$; it starts at $\E \norm{\beta}^2 = d$, and $x$ is independent of it with covariance
# $I$. In 1, $X$ has rank $d$ almost surely if $n \ge d$, and then least squares returns $\beta$.
# ```
# ````
#
# The recursion in 3 is $w_i = g_i \bigl( I - b_i x_i x_i^\top \bigr) w_{i-1} + b_i x_i y_i$ with $b_i = 1/\norm{x_i}^2$: the gated delta rule of {cite}`yang2025gated`, with the step that fits the newest example exactly. Without gates it is
# one sweep of Kaczmarz's method. So, for a query that writes nothing, *an endless stack of such causal layers is a single layer of another architecture*. The query's own term spoils it: $(x, 0)$ is one more example, and in the end it is fitted, too.


# %% tags=["asserts-prop-delta-limit"]
def delta_rule(x, y, g):
    w = np.zeros(x.shape[1])
    for x_i, y_i, g_i in zip(x, y, g):
        w = g_i * w + x_i * (y_i - g_i * x_i @ w) / (x_i @ x_i)
    return w


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
assert rate**depth < 1e-12 and relative(ours, wanted) < 1e-10

# 2 and 3. Examples and query of length one: nilpotent, so exact at a finite depth.
x /= np.linalg.norm(x, axis=1, keepdims=True)
x_query /= np.linalg.norm(x_query)
assert abs(equal_layers(x, y, x_query, 1.0, g, n + 2)) < 1e-12  # 2: it forgets
layers = [np.eye(d)] * n
beta = iterates(x, y, x_query, layers, layers, [g] * n, own_term=False)
wanted = g[n] * x_query @ delta_rule(x, y, g)
assert relative(x_query @ beta[-1], wanted) < 1e-12  # 3: a product of six steps

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
assert abs(estimate.risk - 3 * (1 - 1 / 3) ** 6) < 4 * estimate.stderr

# %% [markdown]
# ## One task: what steps cannot do and a gate can
#
# Now the distance to the Bayes predictor, first for one task. Without the mask, with steps $\eta_l$ and gates of one on the examples, depth is a polynomial. Let $S = X^\top X$, and let
# $\mu$ be the mean spectrum, $\int f\, d\mu = \E \sum_i f(z_i)$ over the eigenvalues $z_i$ of $S$.
#
# ```{prf:proposition} Steps and the query's gate
# :label: prop-depth-filter
#
# *New here.* Let $K = 1$, $r = 1$, $\Sigma_x = C = I$. Take $L$ layers without the mask, with $P_{q,l} P_{k,l}^\top = \eta_l I$ for any real $\eta_l$, with gates of one on the examples and a scalar gate $c_l \in [0, 1]$ on the
# query. The prediction is $x^\top q(S) X^\top y$ with a real polynomial $q$ of degree at most $L - 1$, and
#
# $$
# \text{risk} = \text{Bayes risk} + \int \Bigl( q(z) - \frac{1}{z + \sigma^2} \Bigr)^2 z (z + \sigma^2)\, d\mu(z) .
# $$
#
# (For $\sigma = 0$ the integral is over $z > 0$.) Call the integral the *excess*.
#
# 1. If all $c_l = 1$, then $1 - z q(z) = \prod_l (1 - \eta_l z)$: all its roots are real.
# 2. **Without noise steps are enough.** If $\sigma = 0$ and $c_l = 1$, the best steps reach the least excess of all polynomials $q$ of degree at most $L - 1$. They are the reciprocals of the
#    roots of the $L$-th orthogonal polynomial of the measure $z\, d\mu$. The excess tends to zero as $L \to \infty$.
# 3. **With noise they are not.** If $\sigma > 0$ and $c_l = 1$, the excess has a positive lower bound which holds for all $L$ and all steps.
# 4. **The query's gate closes the gap.** Every polynomial $q$ of degree at most $L - 1$ with $q(0) \ne 0$ is reached by some steps $\eta_l$ and gates $c_l \in [0, 1]$. So the infimum of the excess over both is the least of
#    all polynomials of degree at most $L - 1$, and tends to zero as $L \to \infty$, for every $\sigma$.
#
# For $\sigma > 0$ and $c_l = 1$ there is an explicit bound on every interval, too: if $f(z) = \sigma^2/(z + \sigma^2)$, $0 < a < b$ and $t = (a + b)/2$, then for all $L$ and all real steps
#
# $$
# \max_{[a, b]} \Bigl\lvert \prod_l (1 - \eta_l z) - f(z) \Bigr\rvert \ge \delta := \frac{f(a) f(b) - f(t)^2}{f(a) + f(b) + 2 f(t)} > 0 .
# $$
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-depth-filter)=
# ```{prf:proof}
# *The polynomial.* Let $v = X^\top y$. By {prf:ref}`prop-depth-full` $v - S \beta^l = \pi_l(S) v$ with $\pi_l = \prod_{k<l} (1 - \eta_k z)$, and the query collects $q(S) v$, $q = \sum_l c_l \eta_l \pi_l$. If $c_l = 1$
# the sum telescopes, $z q = \sum_l (\pi_l - \pi_{l+1}) = 1 - \pi_L$: part 1.
#
# *The risk.* The Bayes predictor is $x^\top (S + \sigma^2 I)^{-1} v$ (for $\sigma = 0$, with the pseudo-inverse). The risk of any predictor is the Bayes risk plus its mean squared distance from the Bayes
# predictor. As $\E[v v^\top \mid X] = S^2 + \sigma^2 S$ and $\E x x^\top = I$, the distance is $\E \tr\, (q(S) - (S + \sigma^2 I)^{-1})^2 S (S + \sigma^2 I)$. Eigenvalues $z = 0$ of $S$ contribute nothing.
#
# *Density.* The measure $d\nu = z (z + \sigma^2)\, d\mu$ on $z > 0$ is finite with $\int e^{cz} d\nu < \infty$ for a small $c > 0$, as $\tr S$ is a chi-squared variable. Polynomials are dense in $L^2(\nu)$: if $h \in L^2(\nu)$ is orthogonal to all
# of them, $\int h e^{i \xi z} d\nu$ is analytic in a strip about the real axis and all its derivatives vanish at $\xi = 0$, so it is zero, and $h = 0$. The function $1/(z + \sigma^2)$ lies in $L^2(\nu)$. So the least excess of polynomials of degree at most $L - 1$
# tends to zero.
#
# *2.* For $\sigma = 0$ the excess is $\int_{z > 0} \pi^2 d\mu$ with $\pi = 1 - zq$. At the minimum over all $q$, $\int \pi\, z p\, d\mu = 0$ for all $p$ of degree at most $L - 1$: $\pi$ is orthogonal to them under $z\, d\mu$. The support of that measure is infinite, so $\pi$ has degree $L$ and
# $L$ simple positive roots $z_l$. As $\pi(0) = 1$, $\pi = \prod_l (1 - z/z_l)$: steps $1/z_l$ reach it, with $c_l = 1$.
#
# *3, one interval.* A polynomial $\pi$ as in 1 with a root in $[a, b]$ misses $f$ there by $f(b)$ at least, and $\delta < f(b)$, as $f(a) f(b) - f(t)^2 < f(a) f(b)$. If it has none and is negative, it misses by more. If it is positive, $\log \pi = \sum_l \log \lvert 1 - \eta_l z \rvert$ is
# concave on $[a, b]$, while $\log f$ is strictly convex. So $\pi(t)^2 \ge \pi(a) \pi(b)$ and $f(t)^2 < f(a) f(b)$. If $\lvert \pi - f \rvert \le \epsilon$ at the three points, and $\epsilon < f(b)$, then $(f(t) + \epsilon)^2 \ge (f(a) - \epsilon)(f(b) - \epsilon)$, which is
# $\epsilon \ge \delta$.
#
# *3, the mean.* The non-zero eigenvalues of a Wishart matrix have a joint density which is positive and continuous on $z_1 > z_2 > \dots > 0$. So the marginal density of $z_1$ is positive and, by Fatou, lower semicontinuous: on compact subsets of
# $(0, \infty)$ it is bounded below by a positive number, and so is that of $\mu$. In terms of $\pi$ the excess is $\int (\pi - f)^2 \frac{z + \sigma^2}{z} d\mu$. Fix $0 < a < b$. If the bound failed there would be $\pi^{(k)}$ with real roots and $\int_a^b (\pi^{(k)} - f)^2 dz \to 0$.
# (i) Suppose that on some interval $J \subseteq [a, b]$ infinitely many of them have no root. They are finally positive on $J$, since $f$ is, hence log-concave. A subsequence tends to $f$ almost everywhere on $J$, so that $f(t)^2 \ge f(s) f(s')$ for almost all $s, s'$ with middle
# $t$. But $f$ is strictly log-convex.
# (ii) Otherwise cut $[a, b]$ into equal pieces, as many as you like: finally each has a root. So the largest gap between neighbouring roots in $[a, b]$, ends included, tends to zero. Let $(\rho, \rho')$ be a gap between two roots, of length $\ell$. In the variable $s = (z - \rho)/\ell$ we have
# $\pi^{(k)} = \pm s (1 - s) e^{\psi(s)}$ on $(0, 1)$ with $\psi$ concave, as the other roots lie outside. There is a constant $\kappa > 0$ with $\int_0^1 (\pm s(1-s) e^{\psi} - 1)^2 ds \ge \kappa$ for all concave $\psi$: with the sign $-$ it is at least $1$, and otherwise there would be a sequence with $s(1-s) e^{\psi_k} \to 1$
# almost everywhere, and $-\log s(1-s)$, which is strictly convex, would be a limit of concave functions. On the gap, $f$ is within a factor $1 + o(1)$ of a constant, at least $f(b)$. So the gap contributes at least $\ell f(b)^2 \kappa/4$ to $\int_a^b (\pi^{(k)} - f)^2$ once $k$ is large. All gaps together have length
# $b - a - o(1)$: the integral does not tend to zero.
#
# *4.* Let $\phi = z q$; then $\phi(0) = 0$ and $\phi'(0) \neq 0$. If $\phi = \alpha z$, one layer with $\eta_0 = \alpha$, $c_0 = 1$ does it, and the others do nothing ($\eta_l = 0$). Otherwise choose $z_0 \ne 0$ near zero, of the sign of $\phi'(0)$, with
# $c_0 := \phi(z_0) \in (0, 1]$, and divide: $\phi(z) = c_0 z/z_0 + (1 - z/z_0)\, \phi_1(z)$, where $\phi_1$ is a polynomial of one degree less and $\phi_1(0) = 0$. Its slope $\phi_1'(0) = \phi'(0) - \phi(z_0)/z_0$ vanishes for finitely many $z_0$ only; avoid these. Repeat with $\phi_1$. With
# $\eta_l = 1/z_l$ this ends with $\phi = \sum_l c_l \eta_l z\, \pi_l$, which is what the layers compute, and needs as many layers as $\phi$ has degrees. As $q(0) \ne 0$ excludes no open set of polynomials, the infimum is the minimum over all.
# ```
# ````
#
# So with noise no choice of step sizes imitates ridge regression as well as one likes, at any depth. A gate on the query, which takes only part of some steps, repairs it. (Part 3 is about steps $\eta_l I$ and equal weights. We do not know whether other matrices $P_{q,l}$, $P_{k,l}$ or other weights of the examples could do without the gate.) Below: the identity of 4
# with gates found by its proof, the formula for the risk, and the explicit bound against thousands of random lists of steps and one good one.

# %% tags=["asserts-prop-depth-filter"]
from numpy.polynomial import Polynomial


def steps_and_gates(q):
    """Part 4: steps and query gates whose layers compute q(S) X^T y."""
    phi, steps, gates = Polynomial([0.0, 1.0]) * q, [], []
    while phi.degree() > 1:
        slope = phi.coef[1]
        for size in 8.0 * 0.9 ** np.arange(200):
            z = np.sign(slope) * size
            if 0 < phi(z) <= 1 and abs(slope - phi(z) / z) > 1e-3 * abs(slope):
                break
        steps, gates = [*steps, 1 / z], [*gates, phi(z)]
        rest = phi - Polynomial([0.0, phi(z) / z])
        phi = rest // Polynomial([1.0, -1 / z])
    return [*steps, phi.coef[1]], [*gates, 1.0]


def with_query_gates(steps, gates, n, d):
    g = np.ones((len(steps), n + 1))
    g[:, n] = gates
    eye = np.eye(d)
    P_q, P_k = [step * eye for step in steps], [eye for _ in steps]
    return GLA.from_matrices(P_q, P_k, list(g), causal=False)


one_task = PromptDistribution(d=5, counts=(10,), r=(1.0,), sigma=2.0)
d, n, noise = 5, 10, 4.0
scale = 10.0  # a unit in which the eigenvalues of S are of order one
generator = torch.Generator().manual_seed(0)
prompts = one_task.sample(500, generator, dtype=torch.float64)
eigenvalues, V = torch.linalg.eigh(prompts.x.mT @ prompts.x / scale)
v = V.mT @ prompts.x.mT @ prompts.y[..., None]
for _ in range(20):
    q = Polynomial(rng.normal(size=int(rng.integers(1, 6))))  # any signs at all
    steps, gates = steps_and_gates(q)
    assert min(gates) >= 0 and max(gates) <= 1
    model = with_query_gates(np.array(steps) / scale, gates, n, d)
    values = torch.from_numpy(q(eigenvalues.numpy()))[..., None]
    wanted = (prompts.x_query @ V @ (values * v))[:, 0, 0] / scale
    ours = model(Layout()(prompts))[:, 0]
    # Newton's form of a polynomial with large steps loses some digits.
    assert (ours - wanted).abs().max() < 1e-8 * wanted.abs().max()

# The explicit bound, for random steps and for steps that do come near the filter.
a, t, b = 0.5, 1.5, 2.5
f = 1 / (np.array([a, t, b]) + 1)
delta = (f[0] * f[2] - f[1] ** 2) / (f[0] + f[2] + 2 * f[1])
# It is the error at which log-concavity, sharp for exponentials, just allows f.
assert np.isclose((f[1] + delta) ** 2, (f[0] - delta) * (f[2] - delta), rtol=1e-12)
z = np.linspace(a, b, 201)
for _ in range(3000):
    eta = rng.normal(scale=10 ** rng.uniform(-2, 0), size=int(rng.integers(1, 40)))
    pi = np.prod(1 - np.outer(z, eta), 1)
    assert np.abs(pi - 1 / (z + 1)).max() >= delta
    if pi.min() > 0:  # no root in [a, b]
        assert pi[100] ** 2 >= pi[0] * pi[-1] * (1 - 1e-12)
for depth in (100, 10_000):  # nearly exp(-0.6 z)
    near = np.abs((1 - 0.6 / depth * z) ** depth - 1 / (z + 1)).max()
    assert delta <= near < 0.08

# %% [markdown]
# Now the least excess at each depth. For all polynomials it is a linear least-squares problem, for real roots an optimisation over the steps; $\mu$ is replaced by the spectra of sampled prompts. Fresh
# prompts then check the six-layer models of both kinds, as `GLA` modules.

# %%
from scipy.optimize import minimize

x = np.random.default_rng(1).normal(size=(2000, n, d))
z = np.linalg.eigvalsh(x.swapaxes(1, 2) @ x).ravel()
mass = z * (z + noise) / 2000
Z_MAX = 60.0


def excess(q_values):
    return (mass * (q_values - 1 / (z + noise)) ** 2).sum()


def best_polynomial(L):
    A = Polynomial.basis(0)(z)[:, None] * (z[:, None] / Z_MAX) ** np.arange(L)
    root = np.sqrt(mass)
    target = root / (z + noise)
    fit = np.linalg.lstsq(root[:, None] * A, target, rcond=None)[0]
    return fit, excess(A @ fit)


def best_steps(L, starts):
    def objective(eta):
        factors = 1 - np.outer(z, eta)
        pi = factors.prod(1)
        gap = (1 - pi) / z - 1 / (z + noise)
        others = np.stack([np.delete(factors, l, 1).prod(1) for l in range(L)], 1)
        return (mass * gap**2).sum(), 2 * (mass * gap) @ others

    found = [minimize(objective, eta, jac=True, method="BFGS") for eta in starts]
    best = min(found, key=lambda result: result.fun)
    return best.x, best.fun


depths = range(1, 9)
gated, ungated, eta = [], [], np.empty(0)
for L in depths:
    fit, value = best_polynomial(L)
    gated.append(value)
    roots = Polynomial([1.0, *(-fit / Z_MAX ** np.arange(L))]).roots()
    level = np.full(L, 1.2 / (L * n))
    starts = [(1 / roots).real, np.append(eta, 0.01), level]
    eta, value = best_steps(L, starts)
    ungated.append(value)
    if L == 6:
        six = {"steps": (eta, np.ones(L))}
        steps, gates = steps_and_gates(Polynomial(fit * Z_MAX))
        six["gates"] = (np.array(steps) / Z_MAX, gates)

fresh = one_task.sample(
    20_000, torch.Generator().manual_seed(2), dtype=torch.float64
)
tokens_of_fresh = Layout()(fresh)
best_predictor = bayes(one_task)(fresh)
measured = {}
for name, expected in (("steps", ungated[5]), ("gates", gated[5])):
    model = with_query_gates(*six[name], n, d)
    with torch.no_grad():
        square = (model(tokens_of_fresh) - best_predictor) ** 2
    measured[name] = square.mean().item()
    # Fitted to other prompts; the largest eigenvalues make the mean noisy.
    assert measured[name] < 2 * expected + 1e-3
assert ungated[5] > 10 * gated[5] and ungated[7] > 0.8 * ungated[5]

# The best steps found are equal to each other; more of them tend to gradient flow.
stopping = minimize(lambda tau: excess(-np.expm1(-tau * z) / z), 0.1)
flow, stop = stopping.fun, stopping.x[0]
assert np.ptp(eta) < 1e-3 * eta.max() and min(ungated) > flow > 0.01

# One layer is the optimum that we know, within the sampling error of the spectra.
bayes_risk = noise + noise * (1 / (z + noise)).sum() / 2000
assert abs(bayes_risk + ungated[0] - optimal_wpgd(one_task).risk) < 0.05

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

glue("excess_steps", float(ungated[5]), display=False)
glue("excess_gates", float(gated[5]), display=False)
glue("excess_steps_last", float(ungated[7]), display=False)
glue("excess_flow", float(flow), display=False)


# %% [markdown]
# At six layers the best steps that the search found leave an excess of {glue:text}`excess_steps:.3f`, the gates {glue:text}`excess_gates:.4f`; at eight layers steps are still at {glue:text}`excess_steps_last:.3f`. In this example the best
# steps that we found are all equal, and more of them tend to gradient flow; stopped at its best time, that has {glue:text}`excess_flow:.3f`. That a gap remains at every depth is
# proved; how large it is, we have only measured.
#
# ## Several tasks: there and back
#
# With several tasks one iterate has to serve them all. Bayes wants a *sum*, $\sum_k r_k \times$ (ridge regression on block $k$), and a descent that
# visits block $2$ spoils what it learned from block $1$. Still, depth can do it. The trick: walk out along the descent of one task while the query takes notes, walk back to zero while it looks away, then do the next task.
#
# ```{prf:theorem} Depth and gates reach the Bayes predictor
# :label: prop-depth-bayes
#
# *New here.* Let the tasks be independent, $R = I$, and $C = I$; $r$, $\sigma \ge 0$, the counts and $\Sigma_x$ are arbitrary. For all $T > 0$ and $N$ there are $4KN$ layers without the mask, with $P_{q,l} P_{k,l}^\top = \eta_l I$ ($\eta_l$ of either sign) and scalar gates in $[0, 1]$, which depend on $r$, $\sigma$, the
# counts, $T$ and $N$ alone, such that for every prompt
#
# $$
# \lim_{T \to \infty} \lim_{N \to \infty} \text{prediction} = \text{the Bayes predictor } \E[y_{n+1} \mid \text{prompt}] .
# $$
#
# So without the mask neither the order of the tasks nor their number is a limit for scalar gates, given enough layers. (We claim this for each prompt, not for the mean over prompts.)
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-depth-bayes)=
# ```{prf:proof}
# Let $X_k$, $y_k$ be block $k$, $S_k = X_k^\top X_k$ and $v_k = X_k^\top y_k$. Given $X$, the pairs $(\beta_k, y_k)$ are independent of each other, and $\beta = \sum_k r_k \beta_k$ plus something independent of the prompt with mean zero. So the Bayes predictor is
# $x^\top \sum_k r_k (S_k + \sigma^2 I)^{-1} v_k$, with the pseudo-inverse if $\sigma = 0$.
#
# *One step for task $k$.* A gate of $0$ on the first example of block $k$ and of $1$ on all other examples gives weight $1$ to the blocks $k, \dots, K$ and $0$ to those before (for $k = 1$ all gates are $1$). Take two layers with the same query gate $c$: first a step $\eta$ with these weights, then a step
# $-\eta$ with weight $1$ on the blocks after $k$ (if $k = K$, a step of $0$). Together they change the iterate by
#
# $$
# \beta \to \beta + \eta (v_k - S_k \beta) + \eta^2 \rho, \qquad \rho = \sum_{m > k} S_m \sum_{m \ge k} (v_m - S_m \beta),
# $$
#
# and the query, by part 3 of {prf:ref}`prop-depth-full`, by $c$ times this change.
#
# *Out and back.* Let $\eta = T/N$. From $\beta = 0$ make $N$ such steps with $\eta$, then $N$ with $-\eta$. On a bounded set $\rho$ is bounded, so this is Euler's method for $\dot\beta = v_k - S_k \beta$, forward for a time $T$ and then backward: as $N \to \infty$ the iterate follows $\beta(\tau) = \int_0^\tau e^{-t S_k} v_k\, dt$ out to
# $\tau = T$ and back again, up to an error of order $1/N$. If $r_k \ge 0$, give the query the gate $r_k e^{-\sigma^2 \tau}$ on the way out and $0$ on the way back; if $r_k < 0$, the gate $0$ on the way out and $\lvert r_k \rvert e^{-\sigma^2 \tau}$ on the way back, where increments have the other sign. As $\lvert r_k \rvert \le 1$ these are gates. Either way the query collects, in the limit,
#
# $$
# r_k \int_0^T e^{-\sigma^2 \tau} e^{-\tau S_k} v_k\, d\tau = r_k \bigl( S_k + \sigma^2 I \bigr)^+ \bigl( I - e^{-T (S_k + \sigma^2 I)} \bigr) v_k ,
# $$
#
# and the iterate is back at $0$ up to $O(1/N)$, ready for the next task. After all tasks let $T \to \infty$. As $v_k$ lies in the range of $S_k$, the exponential disappears also for $\sigma = 0$.
# ```
# ````
#
# This says what is possible, not what is practical: the way back magnifies errors by up to $e^{T \norm{S_k}}$, so $N$ has to be very large. It also shows the query's gate in a new role. Falling as $e^{-\sigma^2 \tau}$, it *is* the ridge penalty. The same walk with gates that are learned needs a gate which can tell the first token of a block, and the query, from the others. Whether causal layers can reach the Bayes predictor, we do not know.


# %% tags=["asserts-prop-depth-bayes"]
def there_and_back(dist, T, N):
    """Steps and scalar gates (4 K N, n + 1) of the construction."""
    starts = np.cumsum((0, *dist.counts))
    eta, gates = [], []
    for k, r_k in enumerate(dist.r):
        for sign in (1, -1):
            for s in range(N):
                tau = T * s / N if sign > 0 else T * (1 - s / N)
                note = abs(r_k) * np.exp(-(dist.sigma**2) * tau)
                for step, first in ((sign, k), (-sign, k + 1)):
                    g = np.ones(dist.n + 1)
                    g[starts[first]] = 0.0 if first else 1.0
                    g[-1] = note if sign * r_k > 0 else 0.0
                    eta.append(step * T / N if first < dist.K else 0.0)
                    gates.append(g)
    return np.array(eta), np.array(gates)


def descend(dist, x, y, eta, gates):
    """The query's iterate, block by block: parts 1 and 3 without the mask."""
    starts = np.cumsum((0, *dist.counts))
    spans = [slice(*starts[k : k + 2]) for k in range(dist.K)]
    S = np.array([x[s].T @ x[s] for s in spans])
    v = np.array([x[s].T @ y[s] for s in spans])
    beta = query = np.zeros(dist.d)
    for step, g in zip(eta, gates):
        omega = np.cumprod(g[1:-1][::-1])[::-1]
        omega = np.append(omega, 1.0)[starts[:-1]]  # of each block
        change = step * np.einsum("k,ki->i", omega, v - S @ beta)
        beta, query = beta + change, query + g[-1] * change
    return query


mixed = PromptDistribution(
    2, (4, 5, 3), (0.6, -0.5, 0.3), sigma=0.8, Sx=0.05 * np.eye(2)
)
prompt = mixed.sample(1, torch.Generator().manual_seed(3), dtype=torch.float64)
x, y, x_query = (v[0].numpy() for v in (prompt.x, prompt.y, prompt.x_query))

eta, gates = there_and_back(mixed, T=1.0, N=4)  # 48 layers: the module agrees
eyes = [np.eye(2)] * len(eta)
steps = [e * np.eye(2) for e in eta]
model = GLA.from_matrices(steps, eyes, list(gates), causal=False)
ours = model(Layout()(prompt)).item()
wanted = x_query[0] @ descend(mixed, x, y, eta, gates)
assert gates.min() >= 0 and gates.max() <= 1 and relative(ours, wanted) < 1e-10

target, T = bayes(mixed)(prompt).item(), 8.0
guesses = [
    x_query[0] @ descend(mixed, x, y, *there_and_back(mixed, T, N))
    for N in (2000, 4000)
]
errors = [relative(guess, target) for guess in guesses]
# The error is of order 1/N: doubling N halves it. Extrapolating to 1/N = 0 leaves
# errors of order 1/N^2 and exp(-T sigma^2), which is 0.006.
assert abs(errors[0] / errors[1] - 2) < 0.1
assert errors[1] < 0.1 and relative(2 * guesses[1] - guesses[0], target) < 0.006

# %% [markdown]
# ## The picture
#
# How far do a few layers go? For two tasks we fit, for each depth, the step, the weights and the query's gate of every layer, in four classes: with and without the mask, and with gates that are scalar
# or, with four key channels per feature, free.
#
# - *Scalar*: a gate $g$ at the first token of block $2$, a gate $c$ on the query, ones elsewhere. An example that reads takes the steps $(w_1, w_2) = \eta\,(g, 1)$ on the two blocks, the query $(v_1, v_2) = \eta\,(cg, c)$. (With the mask, examples of block
#   $1$ see their own block only, with the step $w_2$.)
# - *Free*: $w_1, w_2, v_1, v_2$ are any numbers. Four channels with $g, c \in \{0, 1\}$ span them.
#
# The data are two independent tasks of equal size with $r = (0.2, 0.8)$, as in the paper's Figure 1(b), but with $d = 5$ and $n = 40$, and no noise. As $n_k \ge d$ the Bayes predictor knows $r_1 \beta_1 + r_2 \beta_2$ exactly, and its risk is $d (1 - r_1^2 - r_2^2)$. The risk of any predictor is this plus its mean squared distance to $x^\top (r_1 \beta_1 + r_2 \beta_2)$, which is what we average over
# fresh prompts: it is a much quieter number than the loss.

# %% tags=["hide-input"]
d, half = 5, 20
dist = PromptDistribution(d, (half, half), (0.2, 0.8))
bayes_risk = d * (1 - 0.2**2 - 0.8**2)


def blocks(batch, seed):
    """What the layers need to know of the prompts, in units of 1/n_k."""
    generator = torch.Generator().manual_seed(seed)
    drawn = dist.sample(batch, generator, dtype=torch.float64)
    x, y = drawn.x.unflatten(1, (2, half)), drawn.y.unflatten(1, (2, half))
    x_query = drawn.x_query[:, 0]
    tasks = torch.einsum("k,bkd->bd", torch.tensor(dist.r), drawn.beta)
    return drawn, {
        "S": x.mT @ x / half,
        "v": times(x.mT, y) / half,
        "inside": (x @ x.mT).tril() / half,
        "cross": x[:, 1] @ x[:, 0].mT / half,
        "y": y,
        "query": torch.einsum("bkid,bd->bki", x, x_query) / half,
        "own": (x_query**2).sum(1) / half,
        "x_query": x_query,
        "target": (tasks * x_query).sum(1),
    }


def times(matrix, vector):
    return (matrix @ vector[..., None])[..., 0]


def without_mask(data, theta):
    """One iterate for all examples, one for the query; a row of theta is a layer."""
    beta = query = torch.zeros_like(data["x_query"])
    for weights in theta:
        residual = data["v"] - times(data["S"], beta[:, None])
        step, own_step = (weights.view(2, 1, 2) @ residual[:, None]).unbind(1)
        beta, query = beta + step[:, 0], query + own_step[:, 0]
    return (query * data["x_query"]).sum(1)


def with_mask(data, theta):
    """By the label coordinates u of the examples and q of the query."""
    u, q = data["y"], torch.zeros(())
    for w1, w2, v1, v2 in theta:
        seen = (data["query"] * u).sum(2)
        q = q - w2 * data["own"] * q + v1 * seen[:, 0] + v2 * seen[:, 1]
        a, b = (w2 * times(data["inside"], u)).unbind(1)
        u = u - torch.stack([a, b + w1 * times(data["cross"], u[:, 0])], 1)
    return q


def stack(data, theta, causal):
    return with_mask(data, theta) if causal else without_mask(data, theta)


def scalar(raw):
    eta, g, c = raw[:, 0], torch.sigmoid(raw[:, 1]), torch.sigmoid(raw[:, 2])
    return torch.stack([eta * g, eta, eta * c * g, eta * c], 1)


def free(raw):
    return raw


FIRST = {scalar: [[0.3, 0.0, 1.0]], free: [[0.3, 0.3, 0.3, 0.3]]}
WEAK = {scalar: [[0.03, 0.0, 1.0]], free: [[0.03, 0.03, 0.03, 0.03]]}


def fit(data, to_theta, causal, depth):
    """L-BFGS for L = 1, ..., depth; a weak layer is added last, and first."""
    raw = torch.empty(0, len(FIRST[to_theta][0]), dtype=torch.float64)
    fitted = []

    def optimise(start):
        raw = start.clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [raw], max_iter=30, line_search_fn="strong_wolfe", history_size=20
        )

        def loss():
            optimiser.zero_grad()
            gap = stack(data, to_theta(raw), causal) - data["target"]
            value = gap.square().mean()
            value.backward()
            return value

        optimiser.step(loss)
        return loss().item(), raw.detach()

    for _ in range(depth):
        new = torch.tensor((WEAK if fitted else FIRST)[to_theta]).double()
        pairs = [(raw, new), (new, raw)] if fitted else [(raw, new)]
        results = [optimise(torch.cat(pair)) for pair in pairs]
        raw = min(results, key=lambda result: result[0])[1]
        fitted.append(to_theta(raw))
    return fitted


_, training = blocks(300, seed=0)
held_out, test = blocks(4000, seed=1)
fits, curves = {}, {}
for causal in (False, True):
    for kind in (scalar, free):
        thetas = fit(training, kind, causal, depth=5)
        square = [
            (stack(test, theta, causal) - test["target"]) ** 2 for theta in thetas
        ]
        key = kind.__name__, "causal" if causal else "no mask"
        fits[key] = thetas
        curves[key] = np.array(
            [
                (bayes_risk + s.mean().item(), s.std().item() / 4000**0.5)
                for s in square
            ]
        )


# %% tags=["hide-input"]
def module(theta, causal):
    """The same layers as a GLA with four key channels per feature."""
    eye, n = torch.eye(d, dtype=torch.float64), dist.n
    gates = torch.ones(n + 1, 4, dtype=torch.float64)
    gates[half] = torch.tensor([1.0, 1.0, 0.0, 0.0])
    gates[n] = torch.tensor([1.0, 0.0, 1.0, 0.0])
    gates = gates.repeat_interleave(d, 1)
    P_q = [
        torch.cat([a * eye for a in (v1, w1 - v1, v2 - v1, w2 - w1 - v2 + v1)], 1)
        for w1, w2, v1, v2 in theta / half
    ]
    P_k, stacked = [torch.cat([eye] * 4, 1)] * len(theta), [gates] * len(theta)
    return GLA.from_matrices(P_q, P_k, stacked, "key", causal=causal)


Z = Layout()(held_out)[:200]
few = {key: value[:200] for key, value in test.items()}
with torch.no_grad():
    for (_, mask), thetas in fits.items():
        for theta in thetas:
            causal = mask == "causal"
            ours, theirs = module(theta, causal)(Z)[:, 0], stack(few, theta, causal)
            assert (ours - theirs).abs().max() < 1e-9 * theirs.abs().max()

# %% [markdown]
# Some checks before we look. The label-coordinate shortcut of the fit is the GLA module, as just asserted. At $L = 1$ the mask makes no difference, and all four must find the optimum that we know. And `simulate_risk` must agree with the quieter number.

# %%
optimum = optimal_wpgd(dist).risk
for key, curve in curves.items():
    risk, stderr = curve[0]
    # Fitted to 300 prompts: a little above the optimum, apart from sampling error.
    assert abs(risk - optimum) < 4 * stderr + 0.01
    generator = torch.Generator().manual_seed(2)
    deepest = module(fits[key][-1], key[1] == "causal")
    estimate = simulate_risk(deepest, dist, 2000, queries=8, generator=generator)
    assert abs(estimate.risk - curve[-1, 0]) < 4 * estimate.stderr
assert (np.diff(curves["free", "no mask"][:, 0]) < 0).all()
# From three layers on, no mask and free weights each help: by 0.018 and more, and
# another order of rounding moves these ends of searches by a hundredth of that.
third = {key: curve[2:, 0] for key, curve in curves.items()}
for mask in ("no mask", "causal"):
    assert (third["free", mask] < third["scalar", mask]).all()
for kind in ("scalar", "free"):
    assert (third[kind, "no mask"] < third[kind, "causal"]).all()

# Lines to compare with, on the same prompts.
x, y = held_out.x.unflatten(1, (2, half)), held_out.y.unflatten(1, (2, half))
S, v = x.mT @ x, x.mT @ y[..., None]


def distance_to_bayes(prediction):
    return ((prediction - test["target"]) ** 2).mean().item()


def endless(weight):
    """Equal layers for ever, no mask: weights (w, 1), the best query gate."""
    beta = torch.linalg.solve(
        weight * S[:, 0] + S[:, 1], weight * v[:, 0] + v[:, 1]
    )
    f, target = (held_out.x_query @ beta)[:, 0, 0], test["target"]
    c = ((f @ target) / (f @ f)).clamp(0, 1)
    return bayes_risk + distance_to_bayes(c * f)


ols = bayes_risk + distance_to_bayes(least_squares(held_out)[:, 0])
equal_best = min(endless(w) for w in np.linspace(0, 1, 41))
tied = fits["scalar", "no mask"][2]
at_equal_parameters = bayes_risk + distance_to_bayes(stack(test, tied, True))
assert at_equal_parameters > curves["scalar", "causal"][2, 0] + 0.1

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-depth", "caption": "Left, one task with noise (d = 5, n = 10, noise of standard deviation 2): the least distance to the Bayes predictor that was found. Steps alone stall; with a gate on the query it tends to zero. Right, two tasks (d = 5, n = 40): held-out risk of fitted layers. From three layers on, removing the causal mask and freeing the weights both help. Bars: two standard errors."}}
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(7.8, 3.9), width_ratios=(1, 1.25))
ax = axes[0]
blue, orange = plotting.TASKS[:2]
ax.semilogy(depths, ungated, "o--", color=blue, linewidth=2.6, label="steps alone")
ax.semilogy(depths, gated, "^-", color=orange, label="steps and query gates")
ax.axhline(flow, **plotting.STYLES["predict zero"])
ax.text(
    8.2, flow / 1.12, "gradient flow, stopped", ha="right", va="top", fontsize=10
)
ax.set(xlabel="layers $L$", ylabel="excess over the Bayes risk", title="one task")
ax.set_ylim(4e-6, None)
ax.legend(loc="lower left")

ax = axes[1]
looks = {
    ("scalar", "causal"): {"color": blue, "linestyle": "--", "marker": "o"},
    ("free", "causal"): {"color": orange, "linestyle": "--", "marker": "^"},
    ("scalar", "no mask"): {"color": blue, "linestyle": "-", "marker": "s"},
    ("free", "no mask"): {"color": orange, "linestyle": "-", "marker": "D"},
}
ax.axhline(ols, **plotting.STYLES["predict zero"])
ax.text(5.25, ols - 0.02, "least squares", ha="right", va="top", fontsize=10)
for key, look in looks.items():
    risk, stderr = curves[key].T
    ax.errorbar(
        range(1, 6), risk, 2 * stderr, **look, label=", ".join(key), markersize=5
    )
ax.axhline(bayes_risk, color="0.1", linewidth=1.2)
ax.text(1.0, bayes_risk - 0.02, "Bayes", va="top", fontsize=10)
ax.set(xlabel="layers $L$", ylabel="risk", title="two tasks", ylim=(1.5, None))
_ = ax.legend(loc="upper right", bbox_to_anchor=(1.0, 0.91))

# %% tags=["remove-input"]
record = {"panel": [], "curve": [], "L": [], "value": [], "stderr": []}
for name, values in (("steps", ungated), ("steps and query gates", gated)):
    for L, value in zip(depths, values):
        for column, entry in zip(record, ("one task", name, L, value, np.nan)):
            record[column].append(entry)
for key, curve in curves.items():
    for L, (risk, stderr) in enumerate(curve, 1):
        row = ("two tasks", " ".join(key), L, risk, stderr)
        for column, entry in zip(record, row):
            record[column].append(entry)
plotting.FigureData(
    "depth",
    record,
    left="d = 5, n = 10, sigma = 2, one task; excess over the Bayes risk",
    right="d = 5, n = 20 + 20, sigma = 0, r = (0.2, 0.8); risk",
    left_gradient_flow=flow,
    least_squares=ols,
    bayes=bayes_risk,
    seed="left 1; right 0 for the fit, 1 for the risk",
)

# %% tags=["remove-input", "remove-output"]
for name, value in {
    "optimum": optimum,
    "depth_bayes": bayes_risk,
    "depth_ols": ols,
    "depth_endless": equal_best,
    "depth_equal_parameters": at_equal_parameters,
    "scalar_causal_3": curves["scalar", "causal"][2, 0],
    "scalar_free_3": curves["scalar", "no mask"][2, 0],
    "scalar_causal": curves["scalar", "causal"][-1, 0],
    "scalar_full": curves["scalar", "no mask"][-1, 0],
    "free_causal": curves["free", "causal"][-1, 0],
    "free_full": curves["free", "no mask"][-1, 0],
}.items():
    glue(name, float(value), display=False)


# %% [markdown]
# All start, within their error, at the one-layer optimum, {glue:text}`optimum:.3f`. Five layers without the mask come to {glue:text}`free_full:.2f` with free weights and {glue:text}`scalar_full:.2f` with scalar gates, close to the Bayes risk of {glue:text}`depth_bayes:.1f`. With the mask they come to
# {glue:text}`free_causal:.2f` and {glue:text}`scalar_causal:.2f`. For comparison: least squares over all examples has {glue:text}`depth_ols:.3f`, and equal layers without end, with the best fixed weights and query gate, {glue:text}`depth_endless:.3f`. (These end at a weighted average of the tasks, times a gate. That this
# is nearly what Bayes wants is due to $0 \le r_1 \le r_2$ and $r_1 + r_2 \le 1$.) These are parameters that L-BFGS found; better ones may exist.
#
# **What the mask costs.** Each at the parameters fitted to it, three scalar-gated layers have {glue:text}`scalar_causal_3:.2f` with the mask and {glue:text}`scalar_free_3:.2f` without. At *equal* parameters, those fitted without the mask, the
# masked stack has {glue:text}`depth_equal_parameters:.2f`: steps that suit one regime do not suit the other.
#
# ## Break it
#
# **One iterate for all.** Suppose that we overlook the coupling, and let every token use the query's iterate under the causal mask. One layer does not notice. Two do.


# %%
def uncoupled(x, y, x_query, P_q, P_k, gates):
    """Theorem 6 with beta_{n+1} for every beta_j: false from layer 2 on."""
    X, Y, n = np.vstack([x, x_query]), np.append(y, 0.0), len(x)
    beta = np.zeros(X.shape[1])
    for Pq, Pk, g in zip(P_q, P_k, gates):
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
print([f"{error:.2g}" for error in wrong])

# %% [markdown]
# **A step too long.** Part 2 of {prf:ref}`prop-delta-limit` needs $\eta \norm{x_i}^2 < 2$ for every token. One long example is enough to make the label coordinates grow without bound.

# %%
x = rng.normal(size=(6, 3))
x /= np.linalg.norm(x, axis=1, keepdims=True)
x_query = np.array([1.0, 0.0, 0.0])
g = np.ones(7)
assert abs(equal_layers(x, y[:6], x_query, 1.0, g, 50)) < 1e-12
x[2] *= 1.5  # its square is 2.25
assert abs(equal_layers(x, y[:6], x_query, 1.0, g, 200)) > 1e6

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-own-term
#
# Leave the query's own term out of {prf:ref}`thm-depth`. How wrong is the prediction of two layers, exactly? And how could one remove the own term, if the gates are given, without touching the layers, by changing the query's token?
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

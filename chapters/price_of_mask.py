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
#   settles: a distance to the Bayes predictor that no depth removes, if labels are
#     noisy and values carry labels alone
# ---

# %% [markdown]
# # What the mask costs
#
# With the causal mask an example never learns what stood before it in time to say so: does that cost something, however many layers there are?
#
# With noise the best predictor weighs a label by *all* the features in the prompt: by those after it, and by those before. Under the mask the first half of this is easy.
# Later tokens see the example and pass it on. But what the example itself says is said with the weight that it and the later tokens give it. The tokens before it have no voice in that.
#
# So the layers of Theorem 6, whose keys read features and whose values carry labels alone, keep a distance to the Bayes predictor, whatever their depth. This page computes a floor under it, and says where the floor sinks to zero.
# Then it shows the way round: let values carry features as well as labels.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-price-of-mask", "caption": "With the mask layers whose values carry labels alone stall above a floor; values that read features get round it; and in long prompts the floor sinks. Left: excess over the Bayes risk at each depth ($d = 5$, $n = 10$, noise of standard deviation 2). Right: the floor for prompts of other lengths and noise; grey, its law for long prompts."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import GLA, Layout, PromptDistribution, plotting
from glalib.baselines import bayes
from myst_nb import glue
from numpy.polynomial import Polynomial
from scipy.integrate import dblquad
from scipy.optimize import minimize

plotting.use_style()
blue, orange, green = plotting.TASKS[:3]


def price(n, d, noise, prompts, rng):
    """noise * sum_i E Var(b_i | x, x_i, ..., x_n) for white features, and its error."""
    late, total = np.zeros((prompts, 1, d, d)), np.zeros(prompts)
    for i in reversed(range(n)):
        x_i = rng.normal(size=(prompts, 1, d, 1))
        late = late + x_i @ x_i.mT
        before = rng.normal(
            size=(prompts, 2, i, d)
        )  # two draws of what came before
        S = late + before.mT @ before
        b = np.linalg.solve(
            S + noise * np.eye(d), np.broadcast_to(x_i, S[..., :1].shape)
        )
        total += noise / 2 * ((b[:, 0] - b[:, 1]) ** 2).sum((1, 2))
    return total.mean(), total.std() / prompts**0.5


def spectra(prompts, n, d, noise, seed):
    x = np.random.default_rng(seed).normal(size=(prompts, n, d))
    z = np.linalg.eigvalsh(x.mT @ x).ravel()
    return x, z, z * (z + noise) / prompts


def excess_of_masked(theta, x, noise):
    """Of layers with steps w on examples and c on the query, which writes nothing."""
    n, K = x.shape[1], x @ x.mT
    U = torch.eye(n, dtype=x.dtype).expand(len(x), n, n)  # labels y to residuals
    A = 0.0
    for w, c in theta:
        A = A + c * x.mT @ U
        U = U - w * K.tril() @ U
    V = K + noise * torch.eye(n, dtype=x.dtype)
    off = A - torch.linalg.solve(V, x).mT
    return ((off @ V) * off).sum((1, 2)).mean()


def fit_masked(depth, x, noise):
    theta, fitted = torch.empty(0, 2, dtype=x.dtype), []
    weak = torch.full((1, 2), 0.02, dtype=x.dtype)
    for _ in range(depth):
        ends = []
        for start in ([theta, weak], [weak, theta]):
            raw = torch.cat(start).requires_grad_()
            options = {"max_iter": 30, "history_size": 20}
            optimiser = torch.optim.LBFGS(
                [raw], line_search_fn="strong_wolfe", **options
            )

            def loss():
                optimiser.zero_grad()
                value = excess_of_masked(raw, x, noise)
                value.backward()
                return value

            optimiser.step(loss)
            ends.append((loss().item(), raw.detach()))
        theta = min(ends, key=lambda end: end[0])[1]
        fitted.append(theta)
    return fitted


d, n, noise = 5, 10, 4.0
floor, floor_error = price(n, d, noise, 10_000, np.random.default_rng(5))
x, z, mass = spectra(20_000, n, d, noise, seed=1)
masked = fit_masked(6, torch.from_numpy(x[:200]), noise)
fresh = torch.from_numpy(np.random.default_rng(2).normal(size=(5000, n, d)))
with_mask = [excess_of_masked(theta, fresh, noise).item() for theta in masked]
NODES = 0.4 + 59.6 * np.sin(np.pi * np.arange(0.5, 8) / 16)[::-1] ** 2


def newton_basis(L):
    """z -> the polynomials prod_{k<l} (1 - z / z_k), l < L."""
    factors = 1 - z[:, None] / NODES[: L - 1]
    return np.cumprod(np.column_stack([np.ones(len(z)), factors]), 1)


def fit_features(L):
    """Weights c_l of the layers, and the least excess of polynomials of degree L - 1."""
    root, target = np.sqrt(mass), 1 / (z + noise)
    c = np.linalg.lstsq(root[:, None] * newton_basis(L), root * target, rcond=None)[
        0
    ]
    return c, (mass * (newton_basis(L) @ c - target) ** 2).sum()


depths = np.arange(1, 7)
with_features = [fit_features(L)[1] for L in depths]
lengths, noises = (2, 4, 8, 16, 32, 64), (0.25, 1.0, 4.0)
floors = {
    s2: [price(m, d, s2, 10_000 // m, np.random.default_rng(3))[0] for m in lengths]
    for s2 in noises
}

fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2))
left.semilogy(depths, with_mask, "o--", color=blue, linewidth=2.4)
left.semilogy(depths, with_features, "^-", color=orange)
left.axhline(floor, **plotting.STYLES["predict zero"])
left.text(6.1, floor * 0.92, "floor of the mask", ha="right", va="top")
left.text(6.1, 0.3, "labels in values", color=blue, ha="right")
left.text(3.1, 0.0045, "labels and\nfeatures", color=orange, ha="right", va="top")
left.set(xlabel="layers $L$", ylabel="excess over the Bayes risk", xticks=depths)
marks = dict(
    zip(noises, ((green, "s", ":"), (blue, "o", "--"), (orange, "^", "-")))
)
for s2, (color, marker, dash) in marks.items():
    law = s2 * d * (d + 1) / 2 / np.array(lengths[3:]) ** 2.0
    right.loglog(lengths[3:], law, color="0.7", linewidth=1.2)
    right.loglog(lengths, floors[s2], dash, marker=marker, ms=5, color=color)
    right.text(
        82, floors[s2][-1], rf"$\sigma = {s2**0.5:g}$", va="center", color=color
    )
right.set(xlabel="examples $n$", ylabel="floor", xlim=(1.8, 500))
_ = right.set_xticks([2, 8, 32], ["2", "8", "32"])

# %% tags=["remove-input"]
record = {"curve": [], "at": [], "value": []}
for curve, at, values in (
    ("masked", depths, with_mask),
    ("masked, values read features", depths, with_features),
    *((f"floor, sigma^2 = {s2:g}", lengths, floors[s2]) for s2 in noises),
):
    for a, value in zip(at, values, strict=True):
        for key, entry in zip(record, (curve, a, value), strict=True):
            record[key].append(entry)
plotting.FigureData(
    "price_of_mask",
    record,
    figure=fig,
    about="d = 5; left n = 10, sigma = 2, at L layers; right at n examples",
    floor=floor,
    seed="5 for the floor, 1 and 2 for the left, 3 for the right",
)


# %% [markdown]
# ## A floor under every depth
#
# ```{symbols}
# d n K x y x_query beta R r C Sx sigma Sigma P_q P_k Omega G f
# ```
#
# ```{prf:theorem} The price of the mask
# :label: thm-price-of-mask
#
# **With noise, masked layers whose values carry labels alone keep a distance to the Bayes predictor, and more layers do not help.**
#
# *New here.* Let $\sigma > 0$, and let prompts be as in Definitions 1 and 2 with any $\Sigma_x$, $C$, $R$ and $r$; in the following $R$ and $r$ are those of the $n$ examples. Given the features, the Bayes predictor is $\sum_i b_i y_i$ with
#
# $$
# \begin{gathered}
# b = V^{-1} c, \qquad c_i = r_i\, x_i^\top C x, \\
# V_{ij} = R_{ij}\, x_i^\top C x_j + \sigma^2 [i = j] .
# \end{gathered}
# $$
#
# Take any number of layers of {prf:ref}`thm-depth` with the mask: keys and queries read features alone, and values the label alone, with any $P_{q,l}$ and $P_{k,l}$. The query writes or not. Let gates be given or computed from the token's own features and context, but not from labels. Then
#
# $$
# \begin{gathered}
# \text{risk} \ge \text{Bayes risk} + \text{price}, \\
# \text{price} = \sigma^2 \sum_{i=1}^n \E \operatorname{Var}\bigl( b_i \mid x_i, \dots, x_n, x \bigr) .
# \end{gathered}
# $$
#
# For independent tasks the price is $\sum_k r_k^2\, \text{price}(n_k)$, where $\text{price}(m)$ is that of $m$ examples of one task with $r = 1$; and if $\Sigma \neq 0$ it is positive if and only if some task with $r_k \ne 0$ has two examples or more.
# ```
#
# ````{dropdown} Why it is true
# (proof-thm-price-of-mask)=
# ```{prf:proof}
# *What a coefficient knows.* In {prf:ref}`thm-depth` the iterate $\beta_i^l$ is linear in $y_1, \dots, y_i$, and we claim that the coefficient of $y_m$ in it, $m \le i$, is a function of $x_m, \dots, x_i$ alone (context and matrices are fixed). For $l = 0$ it is zero. In the step to $l + 1$ the term of token $j \le i$ is $P_{q,l} (P_{k,l}^\top x_j \odot \Omega_{ij}^l)(y_j - x_j^\top \beta_j^l)$. The weights $\Omega_{ij}^l$ are products of gates
# of the tokens $j + 1, \dots, i$, and features are the same in all layers; so they depend on $x_{j+1}, \dots, x_i$, or on no features. The coefficient of $y_m$ in the last bracket is zero for $m > j$, one for $m = j$ and $l = 0$, and in general a function of $x_m, \dots, x_j$. So the term's coefficient of $y_m$ is a function of $x_m, \dots, x_i$. For the query this gives $f = \sum_i \hat b_i y_i$ with $\hat b_i$ a
# function of $x_i, \dots, x_n$ and $x$. A query that writes nothing leaves out terms, no more.
#
# *The distance.* The risk of any predictor is the Bayes risk plus its mean squared distance from the Bayes predictor. Given the features, $y$ has mean zero and covariance $V \succeq \sigma^2 I$, as the matrix with entries $R_{ij} x_i^\top C x_j$ is a covariance; and $c$ is the covariance of $y$ with $y_{n+1}$. So the distance is
#
# $$
# \E\, (\hat b - b)^\top V (\hat b - b) \ge \sigma^2 \sum_i \E (\hat b_i - b_i)^2 \ge \sigma^2 \sum_i \E \operatorname{Var}(b_i \mid x_i, \dots, x_n, x),
# $$
#
# as a conditional mean is the closest among the functions of $x_i, \dots, x_n, x$. (If $\E f^2$ is infinite there is nothing to show; $\E b_i^2 < \infty$ as $\sigma^2 \norm{b}^2 \le b^\top V b \le x^\top C x$.)
#
# *Independent tasks.* $V$ falls into blocks, and on block $k$ $b$ is $r_k$ times what it would be if this block were the whole prompt. Features of other blocks are independent of it.
#
# *Positive.* Take one task, $r = 1$ and $m \ge 2$ examples, and put $\tilde x = C^{1/2} x$, $\tilde x_i = C^{1/2} x_i$. Then $b_m = \tilde x^\top (\tilde S + \sigma^2 I)^{-1} \tilde x_m$ with $\tilde S = \sum_i \tilde x_i \tilde x_i^\top$. It is a continuous function of the earlier $\tilde x_1, \dots, \tilde x_{m-1}$, whose law has all of the range of $C^{1/2} \Sigma_x C^{1/2}$ for its support. At zero it is $\tilde x^\top \tilde x_m / (\sigma^2 + \norm{\tilde x_m}^2)$. At $\tilde x_1 = t\, \tilde x_m$, the others
# zero, it tends to zero as $t \to \infty$. Almost surely $\tilde x^\top \tilde x_m \neq 0$, so that it is not constant, and its conditional variance is positive. If $n_k = 1$, $b$ of block $k$ is a function of its $x_i$ and $x$ and the price zero; so it is if $r_k = 0$.
# ```
# ````
#
# Nearest to this is {cite:t}`ding2024causallm`: under one choice of weights masked layers follow an online descent, which need not end at the optimum. Here the matrices are free, and the distance has a number.
#
# Each example pays for what stands before it. Of one task the first pays nothing, and the last, which all others stand before, pays most. By simulation the floor needs no more than two draws of the earlier examples for every prompt, as half a mean squared difference of two is a variance, without bias:


# %%
def price_by_definition(dist, prompts, generator):
    """sigma^2 sum_i E Var(b_i | x_i, ..., x_n, x), for any distribution; each prompt's."""

    def draw():
        return dist.sample(prompts, generator, dtype=torch.float64)

    drawn, total = draw(), 0.0
    for i in range(1, dist.n):
        two = []
        for other in (draw(), draw()):  # what came before is drawn anew
            x = torch.cat([other.x[:, :i], drawn.x[:, i:]], 1)
            two.append(bayes_coefficients(dist, x, drawn.x_query[:, 0])[:, i])
        total = total + dist.sigma**2 * (two[0] - two[1]) ** 2 / 2
    return total


def bayes_coefficients(dist, x, query):
    R, r = dist.R[np.ix_(*2 * [dist.task_index])], dist.r[dist.task_index]
    xC = x @ torch.tensor(dist.C)
    V = torch.tensor(R) * (xC @ x.mT) + dist.sigma**2 * torch.eye(dist.n).double()
    return torch.linalg.solve(V, torch.tensor(r) * (xC @ query[..., None])[..., 0])


# %% tags=["check", "asserts-thm-price-of-mask"]
# What a coefficient knows: change all examples before the sixth, their labels too.
draw = torch.Generator().manual_seed(4)
double = {"generator": draw, "dtype": torch.float64}
kept, moved = [], []
for gate, causal in (("scalar", True), ("key", True), ("scalar", False)):
    stack = GLA.from_matrices(
        *(torch.randn(2, 4, d, d, **double) / n), [torch.ones(n + 1, d) * 0.9] * 4
        if gate == "key" else None, "key" if gate == "key" else "scalar", causal=causal,
    )  # fmt: skip
    if gate == "scalar":  # gates that read features
        reads = GLA(d + 1, "scalar", 4, d, gate_bias=1.0, causal=causal, **double)
        reads.load_state_dict(stack.state_dict(), strict=False)
        stack = reads
        with torch.no_grad():
            for layer in stack.layers:
                layer.W_g[:d] = torch.randn(d, 1, **double)

    def coefficients(Z):
        Z = Z.clone().requires_grad_()
        return torch.autograd.grad(stack(Z).sum(), Z)[0][:n, d]

    one_task = PromptDistribution(d=d, counts=(n,), r=(1.0,), sigma=noise**0.5)
    Z = Layout()(one_task.sample(1, draw, dtype=torch.float64))[0]
    changed = Z.clone()
    changed[:5] = torch.randn(5, d + 1, **double)
    before, after = coefficients(Z), coefficients(changed)
    difference = (after - before).abs() / before.abs().max()
    kept.append(difference[5:].max().item())
    moved.append(difference[:5].max().item())
assert max(kept[:2]) < 1e-12 < 1e-3 < min(*moved, kept[2])
print(
    f"four layers, earlier examples changed: later coefficients move by {max(kept[:2]):.0e}"
    f" with the mask, by {kept[2]:.0e} without"
)

# %% tags=["check", "asserts-thm-price-of-mask"]
# The Bayes predictor of correlated tasks; and the price of independent ones, two ways.
draw = torch.Generator().manual_seed(6)
mixed = PromptDistribution(
    2, (2, 3), (0.5, 0.7), R=[[1, 0.4], [0.4, 1]], sigma=0.8,
    Sx=np.diag([1.0, 0.5]), C=[[1.0, 0.3], [0.3, 0.8]],
)  # fmt: skip
prompts = mixed.sample(200, draw, dtype=torch.float64)
b = bayes_coefficients(mixed, prompts.x, prompts.x_query[:, 0])
gap = ((b * prompts.y).sum(1) - bayes(mixed)(prompts)[:, 0]).abs().max()
assert gap < 1e-10
correlated = price_by_definition(mixed, 20_000, draw)
assert correlated.mean() > 20 * correlated.std() / 20_000**0.5

apart = PromptDistribution(2, (3, 4), (0.6, 0.8), sigma=1.5)
# On each task b is r_k times that of the task alone, which gives r_k^2 exactly. The samples
# below test the whole, to 6 per cent.
drawn = apart.sample(200, draw, dtype=torch.float64)
together = bayes_coefficients(apart, drawn.x, drawn.x_query[:, 0])
for m, r_k, at in ((3, 0.6, slice(0, 3)), (4, 0.8, slice(3, 7))):
    alone = PromptDistribution(2, (m,), (1.0,), sigma=1.5)
    b = bayes_coefficients(alone, drawn.x[:, at], drawn.x_query[:, 0])
    assert torch.allclose(together[:, at], r_k * b, rtol=0, atol=1e-12)
whole = price_by_definition(apart, 20_000, draw)
three, four = (price(m, 2, 2.25, 20_000, np.random.default_rng(m)) for m in (3, 4))
sum_of_tasks = 0.36 * three[0] + 0.64 * four[0]
error = np.hypot((whole.std() / 20_000**0.5).item(), three[1] + four[1])
assert abs(whole.mean().item() - sum_of_tasks) < 4 * error < 0.1 * sum_of_tasks

# Layers as they were fitted, on fresh prompts: above the floor, and they stall there.
# (At more than twice it, so they are no test of its size. Layers that come to it are in the
# tests.)
assert min(with_mask) > floor + 20 * floor_error
assert np.isclose(floor, 0.0966, rtol=0.03) and with_mask[5] > 0.97 * with_mask[3]
print(
    f"floor {floor:.4f} with standard error {floor_error:.0e}; six fitted layers stall at"
    f" {with_mask[5]:.3f}"
)


# %% [markdown]
# The floor of {numref}`fig-price-of-mask` is {glue:text}`mask_price:.3f`, and layers with a step for the examples and one for the query in each layer, fitted to have the least risk, stall at {glue:text}`mask_stall:.2f`. How much of what is between them other matrices and gates can win is not settled here: the proof
# gives away the part of $V$ that comes from the task, and the coefficients of a stack are no arbitrary functions. With much noise neither matters, as part 2 below shows.
#
# ## Where the floor sinks to zero
#
# ```{prf:proposition} Where the mask costs little
# :label: prop-price-limits
#
# **The price vanishes without noise, with much noise, and in long prompts.**
#
# *New here.* Let $\Sigma \neq 0$ have rank $k$. In the setting of {prf:ref}`thm-price-of-mask`:
#
# 1. As $\sigma \to 0$ the price tends to zero, whatever $R$ and $r$.
#
# For one task with $r = 1$, moreover:
#
# 2. $\sigma^6\, \text{price} \to \frac{n (n-1)}{2} \bigl( (\tr \Sigma^2)^2 + \tr \Sigma^4 \bigr)$ as $\sigma \to \infty$. The floor is sharp there: if $n \ge 2$, three layers of the theorem with given scalar gates have an excess over the Bayes risk whose ratio to the price tends to one.
# 3. $n^2\, \text{price} \to \sigma^2\, \frac{k (k + 1)}{2}$ as $n \to \infty$, whatever the non-zero eigenvalues of $\Sigma$.
# 4. For $d = 1$ and $\Sigma = 1$, with $w = 1 + 2u + 2t$ and $\theta^2 = w / \bigl( (1 + 2u)(1 + 2t) \bigr)$,
#
# $$
# \begin{aligned}
# \text{price} = {} & \sigma^2 \int_0^\infty \!\! \int_0^\infty e^{-(u + t) \sigma^2}\, w^{-(n+2)/2} \\
# & \quad {} \times \sum_{i=0}^{n-1} \bigl( 1 - \theta^i \bigr)\, du\, dt .
# \end{aligned}
# $$
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-price-limits)=
# ```{prf:proof}
# *1.* Fix the features, and let $V = V_0 + \sigma^2 I$. The noiseless labels and the noiseless answer have a joint covariance, so $c = V_0^{1/2} u$ with $\norm{u}^2 \le x^\top C x$. In an eigenbasis of $V_0$, $\sigma^2 \norm{b}^2 = \sum_j \frac{\sigma^2 z_j}{(z_j + \sigma^2)^2} u_j^2 \le \tfrac14 x^\top C x$, and every term tends to zero with $\sigma$. As $\E x^\top C x = \tr \Sigma$ is finite, so does the mean, and the price is
# at most $\sigma^2 \E \norm{b}^2$.
#
# For the rest $b_i = \tilde x^\top H \tilde x_i$, $H = (\tilde S + \sigma^2 I)^{-1}$, with $\tilde x = C^{1/2} x$ as in the proof above. Their covariance $\Sigma' = C^{1/2} \Sigma_x C^{1/2}$ has the non-zero eigenvalues of $\Sigma$; on its range it is nonsingular, of size $k$. Let $\tilde S_{<i}$ be the sum over the examples before $i$. In the norm of $L^2$, the conditional deviation $b_i - \E(b_i \mid \cdot)$ of a sum is within $\norm{\epsilon}_{L^2}$ of that of the sum without a term $\epsilon$.
#
# *2.* $H = \sigma^{-2} I - \sigma^{-4} \tilde S + \sigma^{-4} H \tilde S^2$, and the last term is at most $\sigma^{-6} \norm{\tilde S}^2$. So $\sigma^4 b_i$ has, up to an error of order $\sigma^{-2}$ in $L^2$, the conditional deviation of $-\tilde x^\top \tilde S_{<i} \tilde x_i$. For $z \sim \N(0, \Sigma')$, $\operatorname{Var}(\tilde x^\top z\, z^\top \tilde x_i) = (\tilde x^\top \Sigma' \tilde x)(\tilde x_i^\top \Sigma' \tilde x_i) + (\tilde x^\top \Sigma' \tilde x_i)^2$, with mean $(\tr \Sigma'^2)^2 + \tr \Sigma'^4$; there are $i - 1$ of them, and
# $\sum_i (i - 1) = n(n-1)/2$.
#
# *2, sharp.* Let the three layers have the matrices $P_{q,l} P_{k,l}^\top = -(n-1) \sigma^{-4} C \Sigma_x C$, $\sigma^{-2} C$ and $\sigma^{-2} C$. In the first let the weights of the examples at the query be $(i-1)/(n-1)$, which do not decrease: gates $g_{i+1} = (i-1)/i$ for $1 \le i < n$, and one at the query. In the second let gates be one at the examples and zero at the query, so that it takes nothing; in the third all are one. Up to terms of order $\sigma^{-6}$,
# polynomials in the features, with those that the query writes among them, $\hat b_i = \sigma^{-2} \tilde x^\top \tilde x_i - \sigma^{-4} \tilde x^\top \bigl( \sum_{j \ge i} \tilde x_j \tilde x_j^\top + (i-1) \Sigma' \bigr) \tilde x_i$. So $\sigma^4 (\hat b_i - b_i) = \tilde x^\top (\tilde S_{<i} - (i-1) \Sigma')\, \tilde x_i + O(\sigma^{-2})$ in $L^4$, which is the deviation above, and $V = \sigma^2 I$ plus a matrix without $\sigma$: the excess $\E\,(\hat b-b)^\top V (\hat b-b)$ times $\sigma^6$ has the limit of part 2.
#
# *3.* Write $\tilde x = \Sigma'^{1/2} u$ and $\tilde x_i = \Sigma'^{1/2} u_i$ with $u, u_i \sim \N(0, I_k)$: then $b_i = u^\top H u_i$ with $H = (\sum_j u_j u_j^\top + \sigma^2 \Sigma'^{-1})^{-1} = (n I + \Delta)^{-1}$, and $H = \frac1n I - \frac{1}{n^2} \Delta + \frac{1}{n^2} H \Delta^2$. The second term gives the conditional deviation of $-n^{-2} u^\top \sum_{j<i} u_j u_j^\top u_i$, whose mean square is $(i - 1)\, k(k+1) / n^4$ as in 2; summed over $i$ and times $\sigma^2$ this is
# $\sigma^2 k (k+1) (n - 1) / (2 n^3)$. It remains to see that $\sum_i \E (u^\top H \Delta^2 u_i)^2 / n^4 = O(n^{-3})$, which is small against $n^{-2}$. By Hölder $\E \norm{H \Delta^2 u_i}^2 \le (\E \norm{H}^6)^{1/3} (\E \norm{\Delta}^{12})^{1/3} (\E \norm{u_i}^6)^{1/3}$. The second factor is $O(n^2)$: up to a constant, entries of $\Delta$ are sums of $n$ independent centred variables with all moments. The first is
# $O(n^{-2})$: cut the $n$ examples into $J = \lfloor n / (k + 12) \rfloor$ groups of at least $k + 12$, with least eigenvalues $\mu_1, \dots, \mu_J$ of their sums. Then $\norm{H} \le 1 / (\mu_1 + \dots + \mu_J)$, and as $t^{-6}$ is convex, $\E \norm{H}^6 \le J^{-6}\, \E \mu^{-6}$ for a group of $k + 12$. This is finite: $1/\mu$ is at most the trace of the inverse of a Wishart matrix, whose diagonal entries are reciprocals of chi-squared variables of $13$ degrees
# of freedom, and these have a mean inverse sixth power.
#
# *4.* $b_i = x\, x_i / (A + T + \sigma^2)$, where $A \sim \chi^2_{i-1}$ is the sum of the $x_j^2$ before $i$ and $T$ that of the other $m = n - i + 1$. They are exchangeable among the latter, so $\E\, x_i^2 \varphi(T) = \E\, T \varphi(T) / m = \E \varphi(T')$ with $T' \sim \chi^2_{m + 2}$, for every $\varphi \ge 0$. With $1/\tau = \int_0^\infty e^{-u\tau} du$ and $\E e^{-u \chi^2_\nu} = (1 + 2u)^{-\nu/2}$, the mean of $(A + T' + \sigma^2)^{-2}$ is $\int \!\! \int e^{-(u+t)\sigma^2} w^{-(n + 2)/2}$, and that of
# $\bigl(\E[(A + T' + \sigma^2)^{-1} \mid T']\bigr)^2$ is the same with $w^{-(i-1)/2}$ replaced by $\bigl( (1 + 2u)(1 + 2t) \bigr)^{-(i-1)/2}$, hence with a factor $\theta^{i-1}$. Their difference is $\E \operatorname{Var}(b_i \mid \cdot)$.
# ```
# ````
#
# In long prompts the Bayes predictor itself errs by about $\sigma^2 k / n$ for want of examples, and the floor is a share $(k + 1)/(2n)$ of that. So it is short prompts with noise of the size of the signal that pay. A floor of zero does not say that the mask is free, of course; it says that this argument finds nothing.


# %% tags=["check", "asserts-prop-price-limits"]
def price_of_one_feature(n, noise):
    """Part 4, on the unit square."""

    def integrand(p, q):
        s, t = p / (1 - p), q / (1 - q)
        w = 1 + 2 * s + 2 * t
        theta = np.sqrt(w / ((1 + 2 * s) * (1 + 2 * t)))
        lost = n - sum(theta**i for i in range(n))
        return (
            np.exp(-(s + t) * noise)
            * w ** (-n / 2 - 1)
            * lost
            / ((1 - p) * (1 - q)) ** 2
        )

    return noise * dblquad(integrand, 0, 1, 0, 1, epsabs=1e-8)[0]


rng, furthest = np.random.default_rng(7), 0.0
for m, s2 in ((2, 1.0), (5, 1.0), (10, 4.0)):
    exact, (sampled, error) = (
        price_of_one_feature(m, s2),
        price(m, 1, s2, 80_000 // m, rng),
    )
    furthest = max(furthest, abs(exact - sampled) / error)
    assert furthest < 4 and error < 0.01 * exact
law = 3 * 4 / 2 / 200**2  # part 3, up to terms of order 1/n
sampled, error = price(200, 3, 1.0, 300, rng)
long = sampled / law
assert abs(long - 1) < 0.05 and error < 0.015 * law
large, small = 2000.0, 1e-5
law = 5 * 4 / 2 * 2 * 3 / large**3  # part 2, up to terms of order 1/sigma^2
sampled, error = price(5, 2, large, 20_000, rng)
assert abs(sampled / law - 1) < 0.05 and error < 0.015 * law
# Part 1 names no rate: the price is seen to fall, about as fast as the noise.
vanishing = [price(5, 2, s2, 4000, rng)[0] for s2 in (1.0, 1e-2, 1e-4)]
assert vanishing[0] > 10 * vanishing[1] > 500 * vanishing[2]
print(
    f"one feature: the integral is the simulation within {furthest:.1f} standard errors;"
    f" at n = 200 the floor is {long:.2f} of its law"
)


# %% [markdown]
# ## The way round
#
# What the mask takes from an example's weight, the *query* can put back, if it knows the features of the whole prompt: they have all passed by when it comes. In the layers of Theorem 6 it cannot, as values
# carry labels alone. Let them carry features, too.
#
# ```{prf:proposition} A way round the mask
# :label: prop-way-round-mask
#
# **If values read features as well, masked layers tend to the Bayes predictor for one task.**
#
# *New here.* Give every token $d + 1$ more coordinates: $d$ that start as the query's $x$ at the query, and one that starts at zero. Let the query's features stand in the former only, so that its token is $(0, 0, x, 0)$, and the examples' are $(x_i, y_i, 0, 0)$. Take $L$ layers with the mask and without gates, whose keys are the $x_i$, whose query vector is what stands in the $d$ new coordinates, and whose values write
# $-\eta_l x_i$ there and $\alpha_l y_i$ to the last one, for any real $\alpha_l$ and $\eta_l \neq 0$. With $S = X^\top X$ the last coordinate of the query ends at $x^\top p(S) X^\top y$, and every polynomial $p$ of degree at most $L - 1$ is reached.
#
# So for $K = 1$, $r = 1$, $\Sigma_x = C = I$ and any $\sigma$ their least excess over the Bayes risk tends to zero as $L \to \infty$, and with $\sigma > 0$ and $n \ge 2$ it falls below the price of the mask.
# ```
#
# ````{dropdown} Why it is true
# (proof-prop-way-round-mask)=
# ```{prf:proof}
# Keys and values read $x_i$ and $y_i$, which no layer changes. At the query these are zero, so it writes nothing. With $u$ for its $d$ new coordinates, layer $l$ adds $-\eta_l \sum_i x_i x_i^\top u = -\eta_l S u$ to them and $\alpha_l \sum_i y_i x_i^\top u$ to the last. So $u^l = \pi_l(S)\, x$ with $\pi_l = \prod_{m < l} (1 - \eta_m z)$, and the last coordinate ends at $\sum_l \alpha_l\, y^\top X \pi_l(S)\, x$. The $\pi_0, \dots, \pi_{L-1}$ have degrees $0, \dots, L - 1$, as $\eta_l \ne 0$: they are a
# basis of the polynomials of degree at most $L - 1$. The least excess of these tends to zero, by the proof of {prf:ref}`prop-depth-filter`; and the price is positive by {prf:ref}`thm-price-of-mask`.
# ```
# ````
#
# So the floor belongs to the construction of Theorem 6, not to the mask alone. One sum over the prompt more, of $x_i x_i^\top$, and it is gone. Trained layers have been seen to correct curvature in such a way {cite:p}`vonoswald2023transformers`, and the stacks of {doc}`depth_trained` find a way round as well.


# %%
def with_features_in_values(eta, alpha, d):
    """The layers of the proposition, as a masked GLA without gates."""
    L, width = len(alpha), 2 * d + 2
    stack = GLA(
        width, None, L, key_width=d, context_width=d + 1, dtype=torch.float64
    )
    new, eye = slice(d + 1, 2 * d + 1), torch.eye(d, dtype=torch.float64)
    with torch.no_grad():
        for p in stack.parameters():
            p.zero_()
        stack.h[-1] = 1
        for layer, step, a in zip(stack.layers, eta, alpha, strict=True):
            layer.W_q[new], layer.W_k[:d] = eye, eye
            layer.W_v[:d, new], layer.W_v[d, -1] = -step * eye, a
    return stack


# %% tags=["check", "asserts-prop-way-round-mask"]
def moved_query(prompts):
    """Tokens (x_i, y_i, 0, 0) and (0, 0, x, 0)."""
    batch, n, d = prompts.x.shape
    Z = prompts.x.new_zeros(batch, n + 1, 2 * d + 2)
    Z[:, :n, :d], Z[:, :n, d], Z[:, n, d + 1 : 2 * d + 1] = (
        prompts.x,
        prompts.y,
        prompts.x_query[:, 0],
    )
    return Z


one_task = PromptDistribution(d=d, counts=(n,), r=(1.0,), sigma=noise**0.5)
prompts = one_task.sample(
    20_000, torch.Generator().manual_seed(3), dtype=torch.float64
)
alpha, least = fit_features(4)
stack = with_features_in_values(np.append(1 / NODES[:3], 1.0), alpha, d)
with torch.no_grad():
    ours = stack(moved_query(prompts))[:, 0]
values, E = torch.linalg.eigh(prompts.x.mT @ prompts.x)
p = Polynomial([0.0])
for l, a in enumerate(alpha):
    p = p + a * np.prod(
        [Polynomial([1.0, -1 / v]) for v in NODES[:l]] + [Polynomial([1.0])]
    )
filtered = torch.from_numpy(p(values.numpy()))[..., None]
wanted = (
    prompts.x_query @ E @ (filtered * (E.mT @ prompts.x.mT @ prompts.y[..., None]))
)
assert (ours - wanted[:, 0, 0]).abs().max() < 1e-9 * ours.abs().max()
excess = ((ours - bayes(one_task)(prompts)[:, 0]) ** 2).mean().item()
# The largest eigenvalues make the mean over fresh prompts noisy, by a quarter of it; the
# least mean over those of the fit is pinned.
assert excess < floor and np.isclose(least / floor, 0.146, rtol=0.08)
print(
    f"four masked layers whose values read features, on 20,000 prompts: excess {excess:.4f},"
    f" where the floor is {floor:.3f}"
)

# %% tags=["remove-input", "remove-output"]
glue("mask_price", float(floor), display=False)
glue("mask_stall", float(with_mask[5]), display=False)


# %% [markdown]
# ## Break it
#
# **Take the mask away.** The floor falls at once: a few equal steps of one descent, without any gate, are below it.
#
# **Let gates read labels**, and coefficients of labels are no longer all there is. The proof has nothing to say then.


# %% tags=["check"]
def equal_steps(L):
    """Least excess of L equal steps without the mask and without gates."""

    def excess(eta):
        p = (1 - (1 - eta * z) ** L) / z
        return (mass * (p - 1 / (z + noise)) ** 2).sum()

    return minimize(excess, 0.5 / (n + L), method="Nelder-Mead").fun


without = [equal_steps(L) for L in (1, 2, 4, 8)]
# To one layer the mask does nothing. Eight are below the floor.
assert np.isclose(without[0], with_mask[0], rtol=0.03)
assert np.isclose(without[3] / floor, 0.669, rtol=0.05)
print("equal steps without the mask, 1, 2, 4, 8:", *(f"{e:.3f}" for e in without))

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: who pays?
# :label: ex-who-pays
#
# Turn a prompt of one task round, so that its last example becomes the first. Does the price change? Which example pays what in a prompt of two tasks with one example each? And what is the price of two examples of one task, if the second one's features are always zero?
# ```
#
# ```{answer} ex-who-pays
# asks: A prompt of one task is turned round. What becomes of the price?
# choices:
# - text: it is larger, as the last example pays most
#   says: Whichever example comes last pays most. But what tells the examples of one task apart?
# - text: it stays, but others pay
# - text: it is zero
#   says: Some example still stands behind others, and its weight still depends on them.
# - text: it stays, and each example pays what it paid
#   says: What an example pays depends on how many stand before it.
# minutes: 4
# level: 1
# ```
#
# ```{answer} ex-who-pays-zero
# asks: Of two examples of one task the second has features that are always zero. Who pays?
# choices:
# - text: the first, for the second
#   says: An example pays for what stands before it. What stands before the first?
# - text: the second, for the first
#   says: Which weight has the Bayes predictor for a label whose features are zero? Can it vary?
# - text: nobody
# minutes: 3
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The price of example $i$ is the variance of $b_i$ that is left when all features from $i$ on are known.
# ```
#
# ````{solution} ex-who-pays
# :class: dropdown
#
# Examples of one task are independent and alike, so the price does not change: only who pays. Two independent tasks of one example: nobody pays, as $b_1$ and $b_2$ each depend on their own features and $x$. The last prompt: nobody. The first example has nothing before it, and the second has $b_2 = 0$, whatever came before.
# ````
#
# ```{exercise} Compute: two examples, one feature
# :label: ex-two-examples-price
#
# For $d = 1$ and $n = 2$ only the second example pays. Use $\E (A + \tau)^{-1} = \sqrt{\pi / (2 \tau)}\, e^{\tau/2} \operatorname{erfc} \sqrt{\tau/2}$ for $A \sim \chi^2_1$ to write the price as a single integral, at $\sigma = 1$. Does it agree with part 4?
# ```
#
# ```{answer} ex-two-examples-price
# asks: The price at noise of standard deviation one, to two digits.
# value: square - of_mean
# within: 2%
# wrong:
# - value: square
#   says: That is the mean of the square. Subtract that of the squared conditional mean.
# - value: "quad(lambda a: chi2.pdf(a, 2) / (a + 1) ** 2, 0, np.inf)[0] - quad(lambda t: chi2.pdf(t, 1) * mean_inverse(t + 1) ** 2, 0, np.inf)[0]"
#   says: The coefficient has the example's own feature for a factor. Its square adds two degrees of freedom to those of T.
# - value: "square - quad(lambda a: chi2.pdf(a, 4) / (a + 1), 0, np.inf)[0] ** 2"
#   says: That is a variance over both examples. The second one's own features are known to it, so take the mean over the first alone before you square.
# - value: "quad(lambda a: chi2.pdf(a, 3) / (a + 1) ** 2, 0, np.inf)[0] - of_mean"
#   says: The sum of A and T has the degrees of freedom of both.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# $\E \operatorname{Var}(b_2 \mid \cdot) = \E (A + T' + \sigma^2)^{-2} - \E \bigl(\E[(A + T' + \sigma^2)^{-1} \mid T']\bigr)^2$ with $T' \sim \chi^2_3$, and $A + T' \sim \chi^2_4$.
# ```
#
# ````{solution} ex-two-examples-price
# :class: dropdown
#
# The price is $0.00744$ at $\sigma = 1$, about a hundredth of the risk's scale of one.
#
# ```python
# from scipy.integrate import quad
# from scipy.special import erfcx
# from scipy.stats import chi2
#
#
# def mean_inverse(v):
#     return np.sqrt(np.pi / (2 * v)) * erfcx(np.sqrt(v / 2))
#
#
# square = quad(lambda a: chi2.pdf(a, 4) / (a + 1) ** 2, 0, np.inf)[0]
# of_mean = quad(lambda t: chi2.pdf(t, 3) * mean_inverse(t + 1) ** 2, 0, np.inf)[0]
# assert np.isclose(square - of_mean, price_of_one_feature(2, 1.0), rtol=1e-6)
# assert round(square - of_mean, 5) == 0.00744
# ```
# ````
#
# ```{exercise} Explore: who pays most?
# :label: ex-most-expensive-noise
#
# For which noise is the floor highest, for $d = 5$ and $n = 10$? And for which length, at $\sigma = 2$?
# ```
#
# ```{answer} ex-most-expensive-noise
# asks: For which standard deviation of the noise is the floor highest?
# choices:
# - text: zero
#   says: Without noise all labels fit, in whatever order they are read, and the floor vanishes.
# - text: a third or less
#   says: So little noise leaves the labels nearly exact. Compute the price at one as well.
# - text: between one and two
# - text: four or more
#   says: In so much noise labels are weighed alike, whatever the other features are. Compute the price at two as well.
# minutes: 8
# level: 2
# ```
#
# ```{answer} ex-most-expensive-noise-length
# asks: And for which length, at a standard deviation of two?
# choices:
# - text: two examples
#   says: Only one of them has anything before it.
# - text: about ten
# - text: about forty
#   says: In long prompts what stood before is known from its number. The floor falls like one over the square of the length.
# - text: the longer, the higher
#   says: More examples pay, but each ever less. See the right half of the picture.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# The floor vanishes without noise and with much of it, for one example and for many.
# ```
#
# ````{solution} ex-most-expensive-noise
# :class: dropdown
#
# Where the noise is as large as the smaller eigenvalues of $S$: at $\sigma$ between $1$ and $1.7$. At $\sigma = 2$ prompts of about ten examples pay most.
#
# ```python
# of_noise = {
#     s: price(10, 5, s**2, 4000, np.random.default_rng(0))[0] for s in (0.3, 1, 1.7, 4)
# }
# floors_by_noise = [0.0308, 0.1172, 0.1104, 0.0271]
# assert np.allclose(list(of_noise.values()), floors_by_noise, rtol=0.05)
# of_length = {m: price(m, 5, 4.0, 4000, np.random.default_rng(0))[0] for m in (2, 10, 40)}
# assert np.allclose(list(of_length.values()), [0.0103, 0.0969, 0.0273], rtol=0.08)
# ```
# ````

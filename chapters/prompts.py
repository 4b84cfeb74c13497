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
#   settles: what a prompt with several tasks is (Definitions 1 and 2)
# ---

# %% [markdown]
# # Prompts that mix tasks
#
# What does a model face when its prompt holds examples of several tasks, and only some of them help?
#
# Say that a prompt lists flats and their rents: sixty from a city far away, then sixty from the town next door. The last flat is
# in your own town, and its rent is to be guessed. Both lists are hints. The first is a weak one, the second a strong one, and nobody
# has marked which is which.
#
# This page turns such prompts into a distribution. A task is the rule that makes a label of features, and one number for each task,
# $r_k$, says how good a hint it is. Every risk in this book is an average over this distribution. Sizes, order and $r$ are the same in every prompt; tasks and examples are new.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-hints", "caption": "The better the hint, the more its labels look like the query's. One prompt with two tasks; each point is an example. Across, the label that the example would have under the query's task; up, the label that it has. The lines have slope $r_k$."}}
import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import Layout, PromptDistribution, optimal_wpgd, plotting

plotting.use_style()
dist = PromptDistribution(d=20, counts=(60, 60), r=(0.2, 0.8))
prompts = dist.sample(
    batch=1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
would_be = (prompts.x[0] @ prompts.beta_query[0]).numpy()
label = prompts.y[0].numpy()

fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharex=True, sharey=True)
for k, (ax, hint) in enumerate(zip(axes, ("a weak hint", "a strong hint"))):
    block = dist.task_index == k
    ax.scatter(
        would_be[block],
        label[block],
        s=22,
        color=plotting.TASKS[k],
        marker=plotting.TASK_MARKERS[k],
        alpha=0.8,
    )
    ax.axline((0, 0), slope=dist.r[k], color="0.4", linewidth=1)
    ax.set(title=f"{hint}:  $r_{k + 1} = {dist.r[k]:g}$")
axes[0].set_ylabel("label in the prompt, $y_i$")
_ = fig.supxlabel(r"label under the query's task, $x_i^\top\beta$", fontsize=12)

# %% tags=["remove-input"]
plotting.FigureData(
    "hints",
    {"block": dist.task_index + 1, "x_beta": would_be, "y": label},
    distribution=dist,
    seed=0,
)

# %% [markdown]
# ## One number for each hint
#
# ```{symbols}
# d K counts n beta beta_query x y x_query R r C Sx sigma M Z
# ```
#
# A task is a vector $\beta_k$: it turns features into a label. The tasks of a prompt are drawn together, so that one can tell
# something about another, and about the task of the query.
#
# ```{prf:definition} Correlated tasks
# :label: def-correlated-tasks
#
# **A task is a hint about the query's task, as good as their correlation.**
#
# *Definition 1 of the paper, in block form and as derived here.* The tasks $\beta_1, \dots, \beta_K$ of a prompt and the task $\beta$ of
# its query are jointly Gaussian vectors in $\R^d$ with mean zero and
#
# $$
# \begin{gathered}
# \E[\beta_k \beta_l^\top] = R_{kl}\, C, \qquad R_{kk} = 1, \\
# \E[\beta_k \beta^\top] = r_k\, C,
# \end{gathered}
# $$
#
# where $\begin{pmatrix} R & r \\ r^\top & 1 \end{pmatrix}$ is positive semidefinite. The paper takes $C = I$; other
# $C$ are this book's addition.
# ```
#
# So $r_k = 1$ is the query's own task and $r_k = 0$ a distraction. A negative $r_k$ is a task that points the other way.
#
# ```{prf:definition} Multitask prompt
# :label: def-multitask-prompt
#
# **A prompt is block after block of examples, one task a block, and then a query.**
#
# *Definition 2 of the paper, as derived here.* An example of task $k$ is a pair $(x_i, y_i)$ with
#
# $$
# \begin{gathered}
# x_i \sim \N(0, \Sigma_x), \qquad \varepsilon_i \sim \N(0, 1), \\
# y_i = x_i^\top \beta_k + \sigma \varepsilon_i .
# \end{gathered}
# $$
#
# The prompt holds $n_k$ examples of task $k$, block after block, and a query $x \sim \N(0, \Sigma_x)$. The label to
# predict is $y_{n+1} = x^\top \beta + \sigma \varepsilon_{n+1}$. Features, noise and tasks are independent of one another.
# ```
#
# The picture above is such a prompt with $\Sigma_x = C = I$ and no noise. There the label that an example has and the label that it would
# have under the query's task have correlation $r_k$, up to the chance of one draw. This is all that it takes to draw one:

# %%
dist = PromptDistribution(d=20, counts=(60, 60), r=(0.2, 0.8))
drawn = dist.sample(batch=1, generator=torch.Generator().manual_seed(0))
drawn

# %% [markdown]
# A model does not see the tasks. It sees tokens, which here do not say where a block ends (later some will): one row $(x_i, y_i)$ for each example, and a last row
# $(x, 0)$ for the query.

# %%
Z = Layout()(prompts)
assert torch.equal(Z[0, :-1, :-1], prompts.x[0])
assert torch.equal(Z[0, :-1, -1], prompts.y[0])
assert torch.equal(Z[0, -1, :-1], prompts.x_query[0, 0]) and Z[0, -1, -1] == 0
Z.shape

# %% [markdown]
# Does the sampler do what the two definitions say? Tasks, features and noise are Gaussian, so their means and covariances fix their
# law, and labels are functions of them. The check draws many small prompts with general $R$, $r$, $C$ and $\Sigma_x$, and compares every
# one of these averages with its formula.

# %% tags=["check", "asserts-def-correlated-tasks", "asserts-def-multitask-prompt"]
from scipy.linalg import block_diag

general = PromptDistribution(
    d=2,
    counts=(2, 1),
    r=(0.5, -0.3),
    R=[[1.0, 0.4], [0.4, 1.0]],
    sigma=0.5,
    Sx=[[1.0, 0.3], [0.3, 2.0]],
    C=[[1.0, -0.2], [-0.2, 0.5]],
)
generator = torch.Generator().manual_seed(1)
draw = general.sample(batch=200_000, generator=generator, dtype=torch.float64)

tasks = torch.cat([draw.beta, draw.beta_query[:, None]], 1)
features = torch.cat([draw.x, draw.x_query], 1)
labels = torch.cat([draw.y, draw.y_query], 1)
# The noise is what the task of each example, or of the query, leaves unexplained.
own_task = tasks[:, [*general.task_index, general.K]]
noise = labels - (features * own_task).sum(-1)
all_drawn = torch.cat([tasks.flatten(1), features.flatten(1), noise], 1).numpy()

joint = np.block([[general.R, general.r[:, None]], [general.r, 1.0]])
covariance = block_diag(
    np.kron(joint, general.C),
    np.kron(np.eye(general.n + 1), general.Sx),
    general.sigma**2 * np.eye(general.n + 1),
)


def standard_errors(mean, mean_square, expected):
    """How far each average lies from what is expected, in its standard errors."""
    error = np.sqrt((mean_square - mean**2) / len(all_drawn))
    return np.abs(mean - expected) / error


def moment(samples, power):
    return (samples**power).mean(0)


squares, upper = all_drawn**2, np.triu_indices(len(covariance))
products, their_squares = (x.T @ x / len(x) for x in (all_drawn, squares))
fourth, labels = 3 * np.diag(covariance) ** 2, labels.numpy()
distances = np.concatenate(
    [
        standard_errors(all_drawn.mean(0), squares.mean(0), 0),
        standard_errors(products[upper], their_squares[upper], covariance[upper]),
        # A fourth moment of three times the squared variance is the mark of a Gaussian,
        # and the risk of a later page rests on it.
        standard_errors(moment(squares, 2), moment(squares, 4), fourth),
        standard_errors(moment(labels, 2), moment(labels, 4), general.M),
    ]
)
# Five standard errors: with some two hundred averages a right sampler fails by chance
# about once in ten thousand seeds.
assert distances.max() < 5
print(
    f"{len(distances)} averages over {len(all_drawn):,} prompts: "
    f"the farthest is {distances.max():.1f} standard errors from its formula"
)

# %% [markdown]
# ## What is to come
#
# A good predictor should listen to block 2 and mostly ignore block 1. How much it should listen, and whether a gate can make it, is
# what the rest of the book is about. For now, note what the numbers $r_k$ promise. Whoever knew the tasks $\beta_1, \dots, \beta_K$
# exactly could guess the query's from them, and would explain the part $r^\top R^{-1} r$ of its variance (where $R$ can be inverted). No prompt, however long, and
# no model can do better.
#
# **Two ways to write one prompt.** Writing `counts=(60, 60)` with two tasks is the same as giving each of the 120 examples a task of
# its own, where tasks of one block have correlation one. The block form is shorter, and much cheaper: the cost of the closed forms
# does not depend on $n$.

# %%
index = dist.task_index
one_by_one = PromptDistribution(
    dist.d, (1,) * dist.n, dist.r[index], R=dist.R[np.ix_(index, index)]
)
# Two routes through float64 linear algebra, of size 2 and of size 120.
assert abs(optimal_wpgd(dist).risk - optimal_wpgd(one_by_one).risk) < 1e-10 * dist.M

# %% [markdown]
# ## Break it
#
# **Two hints that are too good.** Correlations cannot be chosen freely. Two independent tasks cannot both be close to the query's: the
# best linear guess of $\beta$ from them would explain $r_1^2 + r_2^2$ of its variance, and no guess explains more than all of it.

# %%
impossible = (0.9, 0.8)
try:
    PromptDistribution(d=20, counts=(60, 60), r=impossible)
except ValueError as error:
    print(error)
else:
    raise AssertionError("there is no such distribution")

# %% [markdown]
# Let the two tasks be correlated with each other, and the same $r$ is fine:

# %%
PromptDistribution(d=20, counts=(60, 60), r=impossible, R=[[1, 0.7], [0.7, 1]])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-possible", "caption": "Two hints can both be good only if they are alike. The pairs $(r_1, r_2)$ that are possible fill a disc if the tasks are independent, and a tilted ellipse if they are correlated. The cross is $(0.9, 0.8)$."}}
angle = np.linspace(0, 2 * np.pi, 201)
circle = np.stack([np.cos(angle), np.sin(angle)])
edges = {}
for c in (0.0, 0.7):
    eigenvalues, basis = np.linalg.eigh([[1, c], [c, 1]])
    edges[c] = basis * np.sqrt(eigenvalues) @ circle  # where r^T R^-1 r = 1

fig, ax = plt.subplots(figsize=(4.6, 4.2))
for (c, edge), style in zip(edges.items(), ("--", "-")):
    colour = plotting.TASKS[0 if c == 0 else 1]
    ax.plot(*edge, linestyle=style, linewidth=2.2, color=colour)
ax.fill(*edges[0.7], color=plotting.TASKS[1], alpha=0.12, linewidth=0)
ax.plot(*impossible, "X", color="0.2", markersize=9)
ax.text(-0.42, 0.98, r"$R_{12} = 0$", color=plotting.TASKS[0], ha="right")
ax.text(0, 0, r"$R_{12} = 0.7$", color=plotting.TASKS[1], ha="center", va="center")
_ = ax.set(xlabel="$r_1$", ylabel="$r_2$", aspect="equal")

# %% tags=["remove-input"]
plotting.FigureData(
    "possible",
    {
        f"r_{k + 1}_where_R_12_is_{c:g}": edge[k]
        for c, edge in edges.items()
        for k in (0, 1)
    },
    figure=fig,
    seed="none",
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: many equally good hints
# :label: ex-common-hint
#
# $K$ tasks, independent of each other, all have the same correlation $c$ with the query's task. How large can $c$ be? Then try it in
# code for $K = 4$, at the edge and just beyond.
# ```
#
# ```{answer} ex-common-hint
# asks: The largest c, as a function of K.
# value: "lambda K: K ** -0.5"
# at: [{K: 9}, {K: 4}, {K: 2}]
# wrong:
# - value: "lambda K: 1 / K"
#   says: That is the largest square. The squares of the correlations add up to at most one.
# - value: "lambda K: (K + 1) ** -0.5"
#   says: The query's task is none of the K. How many correlations are there in r?
# - value: "lambda K: (K - 1) ** -0.5"
#   says: How many correlations are there in r?
# - value: "lambda K: 1"
#   says: With one task, yes. More tasks, independent of each other, cannot all be the query's own.
# - above: 1
#   says: A correlation is at most one.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# The matrix in the definition must have no negative eigenvalue. With $R = I$ it is the identity plus a matrix of rank two.
# ```
#
# ````{solution} ex-common-hint
# :class: dropdown
#
# The matrix in {prf:ref}`def-correlated-tasks` has eigenvalues $1$ and $1 \pm \norm{r}$, so $\norm{r} \le 1$, that is
# $K c^2 \le 1$ and $c \le 1/\sqrt{K}$. At the edge the query's task is the sum of the others, divided by
# $\sqrt{K}$. The package accepts the edge within rounding, and refuses what is beyond:
#
# ```python
# PromptDistribution(3, (1,) * 4, r=(0.5,) * 4)
# try:
#     PromptDistribution(3, (1,) * 4, r=(0.5001,) * 4)
# except ValueError as error:
#     print(error)
# else:
#     raise AssertionError("there is no such distribution")
# ```
# ````
#
# ```{exercise} Compute: what no prompt can tell
# :label: ex-what-no-prompt-can-tell
#
# Somebody has seen so many examples that they know $\beta_1$ and $\beta_2$ exactly. They guess $\beta$ as well as anyone can. How far off
# is their prediction of the query's label, in the mean square, for $r = (0.2, 0.8)$ and $d = 20$, without noise? Compute it, and
# compare with the best step of gradient descent as the blocks grow.
# ```
#
# ```{answer} ex-what-no-prompt-can-tell
# asks: The mean squared error of the best guess.
# value: floor
# wrong:
# - value: floor / dist.d
#   says: That is the error per dimension, as in pictures of the risk. Here the whole of it is asked for.
# - value: dist.d - floor
#   says: That is what the two tasks tell. What is left of the variance of the label?
# - value: 0
#   says: A correlation explains its square of the variance, so two that add up to one do not explain all.
# - value: (1 - (0.2 + 0.8) ** 2 / 2) * dist.d
#   says: That is the limit of equal weights. Who knows both tasks weighs them as they are worth.
# minutes: 10
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# All is Gaussian, so the best guess is linear: the mean of $\beta$ given the tasks is $\sum_k c_k \beta_k$ with $c = R^{-1} r$.
# `optimal_wpgd(dist).risk` is the error of the best step.
# ```
#
# ````{solution} ex-what-no-prompt-can-tell
# :class: dropdown
#
# What is left of the variance of $\beta$ is the part $1 - r^\top R^{-1} r = 1 - 0.2^2 - 0.8^2$, about a third, and the error is that
# times $\tr(\Sigma_x C) = 20$. Drawn prompts agree, and the risk of the best step comes down to it as the blocks grow.
#
# ```python
# floor = (1 - dist.r @ np.linalg.solve(dist.R, dist.r)) * dist.d
# assert np.isclose(floor, 6.4)
#
# many = dist.sample(batch=20_000, generator=torch.Generator().manual_seed(2))
# guess = torch.tensordot(many.beta, torch.tensor([0.2, 0.8]), dims=([1], [0]))
# missed = ((many.x_query[:, 0] * guess).sum(-1) - many.y_query[:, 0]) ** 2
# assert abs(missed.mean() - floor) < 5 * missed.std() / len(missed) ** 0.5
#
# risks = [
#     optimal_wpgd(PromptDistribution(20, (n, n), (0.2, 0.8))).risk
#     for n in (60, 6000, 600_000)
# ]
# assert risks[0] > risks[1] > risks[2] > floor and risks[2] < 1.001 * floor
# ```
# ````
#
# ```{exercise} Explore: a worthless hint that helps
# :label: ex-worthless-hint
#
# Let $r = (0, 0.8)$: by itself, the first task says nothing about the query's. Can it help all the same? Let the correlation $R_{12}$
# of the two tasks go up from $0$, and watch the least error, and the best weights `optimal_wpgd(dist).omega`. How far can $R_{12}$ go?
# ```
#
# ```{answer} ex-worthless-hint
# asks: The largest correlation of the two tasks for which there is such a distribution.
# value: (1 - 0.8**2) ** 0.5
# within: 0.005
# wrong:
# - value: 1 - 0.8**2
#   says: That is its square.
# - value: 0.8
#   says: That is the second task's correlation with the query's. What the two tasks explain together must not exceed one.
# - value: 1
#   says: Then both tasks would be the same, and have the same correlation with the query's.
# - value: 1 - 0.8
#   says: Squares of correlations add up to one here, not correlations.
# - above: 1
#   says: A correlation is at most one.
# minutes: 15
# level: 2
# ```
#
# ```{hint}
# :class: dropdown
#
# What is in $\beta_2$ and not in $\beta$? Could $\beta_1$ know about *that*?
# ```
#
# ````{solution} ex-worthless-hint
# :class: dropdown
#
# It helps more and more. The part of $\beta_2$ that is not $\beta$ leads the prediction astray, and a task correlated with $\beta_2$ and not
# with $\beta$ knows about that part. So the best step subtracts it: its weight is negative. The explained part of the variance,
# $r^\top R^{-1} r = 0.8^2/(1 - R_{12}^2)$, reaches one at $R_{12} = 3/5$, and there is no distribution beyond. A gate cannot
# make a weight negative; keep that in mind for later.
#
# ```python
# risks, signs = [], []
# for c in (0, 0.3, 0.5, 0.6):
#     pair = PromptDistribution(20, (60, 60), (0, 0.8), R=[[1, c], [c, 1]])
#     best = optimal_wpgd(pair)
#     risks.append(best.risk)
#     signs.append(np.sign(best.omega[0] / best.omega[1]) if c else 0)
# assert risks[0] > risks[1] > risks[2] > risks[3] and signs == [0, -1, -1, -1]
# try:
#     PromptDistribution(20, (60, 60), (0, 0.8), R=[[1, 0.61], [0.61, 1]])
# except ValueError as error:
#     print(error)
# else:
#     raise AssertionError("there is no such distribution")
# ```
# ````

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
# **Where we are.** A language model reads a prompt in which not every example helps. This page turns that into a
# distribution: a prompt holds examples of several tasks, and each task is a better or worse hint about the one the
# query asks for. Everything later in the book is a statement about this distribution.
#
# ```{symbols}
# d K counts n beta beta_query R r C Sx sigma M Z
# ```
#
# ## Correlated tasks
#
# A task is a vector: it turns features into a label. Tasks are drawn together, so that one can tell something about
# another.
#
# ```{prf:definition} Correlated tasks
# :label: def-correlated-tasks
#
# *Definition 1 of the paper, in block form and as derived here.* The tasks $\beta_1, \dots, \beta_K$ of a prompt and the task $\beta$ of
# its query are jointly Gaussian vectors in $\R^d$ with mean zero and
#
# $$
# \E[\beta_k \beta_l^\top] = R_{kl}\, C, \qquad \E[\beta_k \beta^\top] = r_k\, C, \qquad R_{kk} = 1,
# $$
#
# where $\begin{pmatrix} R & r \\ r^\top & 1 \end{pmatrix}$ is positive semidefinite. The paper takes $C = I$; other
# $C$ are this book's addition.
# ```
#
# So $r_k$ is the hint's quality: $r_k = 1$ is the query's own task, $r_k = 0$ a distraction, and a negative $r_k$ is a
# task that points the other way.
#
# ```{prf:definition} Multitask prompt
# :label: def-multitask-prompt
#
# *Definition 2 of the paper, as derived here.* An example of task $k$ is a pair $(x_i, y_i)$ with
#
# $$
# x_i \sim \N(0, \Sigma_x), \qquad y_i = x_i^\top \beta_k + \sigma \varepsilon_i, \qquad \varepsilon_i \sim \N(0, 1).
# $$
#
# The prompt holds $n_k$ examples of task $k$, block after block, and a query $x \sim \N(0, \Sigma_x)$. The label to
# predict is $y_{n+1} = x^\top \beta + \sigma \varepsilon_{n+1}$. Features, noise and tasks are independent of one another.
# ```
#
# Here is such a distribution. The first block is a weak hint, the second a strong one.

# %%
import numpy as np
import torch
from glalib import Layout, PromptDistribution, plotting

plotting.use_style()
dist = PromptDistribution(d=20, counts=(60, 60), r=(0.2, 0.8))
dist

# %%
prompts = dist.sample(
    batch=1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
prompts

# %% [markdown]
# A model does not see the tasks. It sees tokens: one row $(x_i, y_i)$ for each example, and a last row $(x, 0)$ for the
# query.

# %%
tokens = Layout()
Z = tokens(prompts)
assert torch.equal(Z[0, :-1, :-1], prompts.x[0]) and torch.equal(
    Z[0, :-1, -1], prompts.y[0]
)
assert torch.equal(Z[0, -1, :-1], prompts.x_query[0, 0]) and Z[0, -1, -1] == 0
Z.shape

# %% [markdown]
# ## The sampler does what the definitions say
#
# Tasks, features and noise are Gaussian, so their means and covariances fix their law, and labels are functions of them.
# We draw many small prompts with general $R$, $r$, $C$ and $\Sigma_x$, take the noise to be what the tasks leave
# unexplained, and compare every mean and every covariance with its formula. A fourth moment of three times the squared variance is the mark of a Gaussian, and the risk of a later page rests on it.
#
# The tolerance is five standard errors of each average. There are a few hundred averages on this page, so a right
# sampler fails by chance about once in ten thousand seeds. The seed is fixed, so the page is the same each time.

# %% tags=["asserts-def-correlated-tasks", "asserts-def-multitask-prompt"]
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
own_task = tasks[
    :, [*general.task_index, general.K]
]  # of each example and the query
noise = labels - (features * own_task).sum(-1)
drawn = torch.cat([tasks.flatten(1), features.flatten(1), noise], 1).numpy()

joint = np.block([[general.R, general.r[:, None]], [general.r, 1.0]])
covariance = block_diag(
    np.kron(joint, general.C),
    np.kron(np.eye(general.n + 1), general.Sx),
    general.sigma**2 * np.eye(general.n + 1),
)


def assert_mean(samples, expected, standard_errors=5):
    error = samples.std(0) / len(samples) ** 0.5
    assert (np.abs(samples.mean(0) - expected) < standard_errors * error).all()


assert_mean(drawn, np.zeros(len(covariance)))
assert_mean(drawn[:, :, None] * drawn[:, None, :], covariance)
assert_mean(drawn**4, 3 * np.diag(covariance) ** 2)
assert_mean(labels.numpy() ** 2, general.M)

# %% [markdown]
# ## What a hint looks like
#
# Take the prompt drawn at the top. Put on the horizontal axis what each example's label *would* be under the query's task,
# $x_i^\top \beta$, and on the vertical axis the label it *has*. With $\Sigma_x = C = I$ and no noise, the two have
# correlation $r_k$ up to the chance of one draw.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-hints", "caption": "One prompt. Each point is an example; the line has slope $r_k$. The better the hint, the more the labels of a block look like the query's."}}
import matplotlib.pyplot as plt

would_be = (prompts.x[0] @ prompts.beta_query[0]).numpy()
label = prompts.y[0].numpy()

fig, axes = plt.subplots(1, 2, figsize=(7, 3.3), sharex=True, sharey=True)
for k, ax in enumerate(axes):
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
    ax.set(
        title=f"block {k + 1}:  $r_{k + 1} = {dist.r[k]:g}$",
        xlabel=r"label under the query's task, $x_i^\top\beta$",
    )
_ = axes[0].set_ylabel("label in the prompt, $y_i$")

# %% tags=["remove-input"]
plotting.FigureData(
    "hints",
    {"block": dist.task_index + 1, "x_beta": would_be, "y": label},
    distribution=dist,
    seed=0,
)

# %% [markdown]
# A good predictor should listen to block 2 and mostly ignore block 1. How much it should listen, and whether a gate can
# make it, is what the rest of the book is about.
#
# ## Two ways to write one prompt
#
# Writing `counts=(60, 60)` with two tasks is the same as giving each of the 120 examples a task of its own, where
# tasks of one block have correlation one. The block form is shorter, and much cheaper: the cost of the closed forms does
# not depend on $n$.

# %%
from glalib import optimal_wpgd

index = dist.task_index
one_by_one = PromptDistribution(
    dist.d, (1,) * dist.n, dist.r[index], R=dist.R[np.ix_(index, index)]
)
# Two routes through float64 linear algebra of size 2 and of size 120: they agree to rounding.
assert abs(optimal_wpgd(dist).risk - optimal_wpgd(one_by_one).risk) < 1e-10 * dist.M

# %% [markdown]
# ## Break it
#
# Correlations cannot be chosen freely. Two independent tasks cannot both be close to the query's: the best linear guess
# of $\beta$ from them would explain $r_1^2 + r_2^2$ of its variance, and no guess explains more than all of it.

# %%
impossible = (0.9, 0.8)
assert sum(value**2 for value in impossible) > 1
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

# %% [markdown]
# ## Exercise
#
# ```{exercise}
# :label: ex-common-hint
#
# $K$ tasks, independent of each other, have the same correlation $\rho$ with the query's task. How large can $\rho$ be? Try it in code
# for $K = 4$, at the edge and just beyond.
# ```
#
# ````{solution} ex-common-hint
# :class: dropdown
#
# The matrix in {prf:ref}`def-correlated-tasks` has eigenvalues $1$ and $1 \pm \norm{r}$, so $\norm{r} \le 1$, that is
# $K \rho^2 \le 1$ and $\rho \le 1/\sqrt{K}$. At the edge the query's task is the sum of the others, divided by
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

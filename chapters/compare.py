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
#   settles: how a layer of your own compares with what theory says is possible
# ---

# %% [markdown]
# # Bring your own layer
#
# How does a layer of my own compare with what theory says is possible?
#
# A loss curve says that a layer learns. It does not say how much there was to learn, or by which means. For the prompts of this book that is known: the least risk of each class of weights, of a delta rule, and of any predictor at all. `compare` puts a layer beside them.
#
# Here is one to try. It keeps a share $g$ of its memory at each token, and writes with the rest, $1 - g$, as minimal gated units do. Its twin forgets in the same way, but its writes do not listen to the gate.

# %%
import torch
from glalib import (
    InContext,
    Layout,
    PromptDistribution,
    compare,
    optimal_wpgd,
    plotting,
    population_risk,
)
from glalib.training import Recipe, fit
from torch import nn

plotting.use_style()


# %%
class Minimal(nn.Module):
    def __init__(self, width, writes, generator):
        super().__init__()
        W = torch.randn(width, width, generator=generator)
        self.W_k, self.gate = nn.Parameter(0.2 * W), nn.Linear(width, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, 4.0)
        self.writes = writes

    def forward(self, h):
        k, g = h @ self.W_k, torch.sigmoid(self.gate(h))
        kept = g.log().cumsum(1)
        omega = (kept - kept.mT).tril().exp().tril()
        omega = omega * ((1 - g).mT if self.writes else 1 / h.shape[1])
        return omega * (k @ k.mT) @ h


# %% [markdown]
# It maps a batch of sequences of vectors to one of the same shape, as most layers do. `InContext` makes it a predictor, and two tasks are the test. The first tells more of the query.

# %%
dist = PromptDistribution(d=3, counts=(10, 10), r=(0.8, 0.2))
tokens = Layout(context=True)  # which task an example is of
layers = {}
for name, writes in (("forgets", False), ("also writes", True)):
    generator = torch.Generator().manual_seed(0)
    layer, width = Minimal(8, writes, generator), tokens.width(dist)
    layers[name] = InContext(layer, width, 8, label=3, generator=generator)
    fit(
        layers[name], dist, Recipe(300, batch=64, queries=1, lr=0.03), tokens=tokens
    )
generator = torch.Generator().manual_seed(1)
found = compare(layers, dist, tokens, draws=3000, generator=generator)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-compare", "caption": "The layer that also writes comes near the best weights, and its twin only to those of linear attention. Left, risks over that of predicting zero, from the largest down; crosses are the optima of theory, other marks the trained layers. Right, the weights of the examples that the layers effectively use, beside those of the optima. Bars are two standard errors. Two tasks of ten examples, $d = 3$; the first is the better hint."}}
fig = found.plot()

# %% tags=["remove-input"]
risks = {name: optimum.risk for name, optimum in found.optima.items()}
risks |= {name: layer.risk for name, layer in found.layers.items()}
plotting.FigureData(
    "compare",
    {"predictor": [*risks], "risk": [*risks.values()]},
    figure=fig,
    d=3,
    counts="10 and 10",
    r="0.8 and 0.2",
    sigma=0,
    trained="300 steps of 64 prompts",
    seed="0 for training, 1 for the comparison",
)

# %% [markdown]
# ```{symbols}
# d n K r M P omega x y G Z
# ```
#
# ## How to read it
#
# The record shows itself as a table, with a column for each layer.

# %%
found

# %% [markdown]
# - The first line is the risk. Each *above* says how far it lies above that of an optimum. A minus: it is below. Below Bayes nothing can be. Where a layer is, by many standard errors, a line under the table says so: its tokens probably tell the query's label.
# - All predictors meet the same prompts, and the risks of the optima are known. So what is luck of the draw in the optimum is taken off the layer as well, and the error of a layer close to an optimum is small. The errors themselves come from leaving out one prompt at a time.
# - The weighted step $x^\top P X^\top (\omega \odot y)$ that is nearest to the layer explains a share of its predictions. A share near one: the layer *is* a weighted step, and its $\omega$ says which.
# - *Off* is the length of the difference of two weight vectors, both of length one: zero for the same, $\sqrt 2$ for orthogonal ones. The last line is what sampling errors alone would make of it. Where it is one or more, or the share explained not clear of zero, there are no weights to speak of: the table says "none", and a line under it says why.
#
# Here the twin that only forgets ends {glue:text}`forgets_above:.3f` above linear attention, with equal weights. That is all it can do. Weights made by a forget gate never fall ({prf:ref}`thm-scalar-gate`), and here they should. The layer whose gate writes too can have any non-negative weights ({prf:ref}`thm-writes`). It ends {glue:text}`writes_above:.3f` above the best weights, and its own fall where the task changes. The delta rule, with a step per task, and the Bayes predictor are out of reach for both.

# %% tags=["check"]
from myst_nb import glue

forgets, writes = (found.layers[name] for name in layers)
linear, best = (
    found.optima[name].risk for name in ("linear attention", "best weights")
)
# Seen: a tenth and a twentieth of the distance between the two lines, which is 0.39.
assert abs(forgets.gaps["linear attention"][0]) < 0.5 * (linear - best)
assert abs(writes.gaps["best weights"][0]) < 0.5 * (linear - best)
assert min(forgets.weights.explained, writes.weights.explained) > 0.8
first, second = writes.weights.omega.reshape(2, 10).mean(1)
assert first > 2 * second
assert (forgets.nearest, writes.nearest) != ("best weights", "linear attention")
glue("forgets_above", forgets.gaps["linear attention"][0], display=False)
glue("writes_above", writes.gaps["best weights"][0], display=False)
print(
    f"above linear attention {forgets.gaps['linear attention'][0]:+.3f}, above the best weights "
    f"{writes.gaps['best weights'][0]:+.3f}; weights of the tasks {first / second:.1f} to 1, theory 4 to 1"
)


# %% [markdown]
# ## What it takes
#
# `compare` takes one layer, or a dict with names. A layer is a module from tokens to one prediction a prompt, a `WPGD` record, or any callable on prompts. `tokens` says how prompts become tokens, as in `fit`. A module from tokens to tokens will do as well: then the label's coordinate at the query is read, column $d$ as in a `Layout` (tokens with labels elsewhere are refused). But `fit` trains predictors only, so put such a layer into `InContext` first. Layers are asked in evaluation mode, so without dropout. Recurrent and attention layers of torch need `batch_first=True`; one that mixes the prompts of a batch is refused.
#
# Prompts may come from a sampler of your own ({doc}`your_own`). Then `twin=` names the `PromptDistribution` that supplies the theory, and the table has the optima twice: by their formulas, and as seen on your prompts. If the two differ by many standard errors, it is no twin; that they agree does not prove it one. Without one, layers are only simulated.
#
# A layer must return its tensor, of the shape it was given. Many return a state as well. Three lines make such a layer one for `InContext`:


# %%
class LSTM(nn.LSTM):
    def forward(self, h):
        return super().forward(h)[0]  # without its states


generator = torch.Generator().manual_seed(0)
lstm = InContext(LSTM(8, 8, batch_first=True), 4, 8, label=3, generator=generator)

# %% tags=["check"]
assert lstm(tokens(dist.sample(2))[..., :4]).shape == (2, 1)
try:
    InContext(nn.LSTM(8, 8, batch_first=True), 4, 8)(torch.zeros(2, 5, 4))
except TypeError as error:
    complaint = str(error)
assert "what the mixer returns must be its tensor alone" in complaint
print(f"two prompts, two predictions; without these lines, “{complaint}”")

# %% [markdown]
# `nn.TransformerEncoderLayer(8, 2, batch_first=True)` needs no wrapper. It has no order, as positions are for its tokens to tell.
#
# Train first, and for long enough. The table is of the layer as it stands: what lies above an optimum may be what the layer cannot do, or what it has not learned yet. Train a copy for twice as many steps. If that moves its risk by more than its error, go on.
#
# The weights cost most. With two hundred examples in ten dimensions a gated layer of this book took three seconds of one core without them, and eight with them; memory grows with prompts times examples times dimensions. A layer far from any step takes far longer, as the search for its nearest step is long. `weights=False` leaves them out.
#
# Several queries on one prompt cost as much as several prompts, as nothing is known of the layer by which they could share their context.
#
# ## Break it
#
# What a layer has learned holds for the prompts that it learned from. Let the second task be the better hint, and ask again, without training:

# %%
reversed_tasks = dist.replace(r=(0.2, 0.8))
generator = torch.Generator().manual_seed(2)
moved = compare(layers, reversed_tasks, tokens, draws=2000, generator=generator)
for name, layer in moved.layers.items():
    (gap, error), off = layer.gaps["best weights"], layer.distances["best weights"]
    print(f"{name}: {gap:+.2f} (error {error:.2f}) above; weights off {off:.2f}")

# %% tags=["check"]
moved_gap = moved.layers["also writes"].gaps["best weights"][0]
# It weighs the wrong task four times as much, as the best step for the other order does.
other = optimal_wpgd(dist)
exact = population_risk(reversed_tasks, other.P, other.omega) - other.risk
assert 0.6 * exact < moved_gap < 1.4 * exact
assert moved_gap > moved.layers["forgets"].gaps["best weights"][0] + 0.2
assert (
    moved.layers["also writes"].distances["best weights"]
    > 2 * writes.distances["best weights"]
)
print(
    f"the layer that was best is now the worst: {moved_gap:+.2f} above the best weights, by formula "
    f"{exact:+.2f} for the best step of the other order; "
    f"its weights are off by {moved.layers['also writes'].distances['best weights']:.2f}, before by "
    f"{writes.distances['best weights']:.2f}"
)

# %% [markdown]
# The risk alone says that something is wrong. The weights say what: they are those of the other order. The twin, with equal weights, does not mind: for it both orders are the same.
#
# ## Exercises
#
# ```{exercise} By hand: how far apart are two optima?
# :label: ex-compare-angle
#
# The best weights here are $1$ for the first ten examples and $1/4$ for the others. How far are they off those of linear attention, as the table measures it?
# ```
#
# ```{answer} ex-compare-angle
# asks: How far are they off, to three digits?
# value: (2 - 2 * (1 + 1 / 4) / (2 * (1 + 1 / 16)) ** 0.5) ** 0.5
# within: 0.001
# wrong:
# - value: 2 - 2 * (1 + 1 / 4) / (2 * (1 + 1 / 16)) ** 0.5
#   says: That is the squared distance. Take its root.
# - value: __import__("math").acos((1 + 1 / 4) / (2 * (1 + 1 / 16)) ** 0.5)
#   says: That is the angle between the two. The table has the length of the difference, a chord.
# - value: (1 + 1 / 4) / (2 * (1 + 1 / 16)) ** 0.5
#   says: That is the cosine of their angle. The length of the difference follows from it.
# - value: 10**0.5 * (1 - 1 / 4)
#   says: Scale both vectors to length one first.
# - above: 2
#   says: Two vectors of length one are at most two apart.
# minutes: 6
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# For two vectors of length one the squared difference is $2 - 2 \cos$ of their angle.
# ```
#
# ````{solution} ex-compare-angle
# :class: dropdown
#
# The cosine is $c = (1 + 1/4) / \sqrt{2\, (1 + 1/16)}$, so the difference is $\sqrt{2 - 2c}$, a little more than a half. A layer with equal weights has to show about this number in the line of the best weights.
# ````
#
# ```{exercise} Compute: who tells it?
# :label: ex-compare-blind
#
# The tokens above name the task of an example. Train the layer that also writes on tokens that do not, `Layout()`. Which line of the table does it end at, and why?
# ```
#
# ```{answer} ex-compare-blind
# asks: Which line of the table does it end at?
# choices:
# - text: predicting zero
#   says: Weights that cannot tell the tasks still hear all examples, and both tasks say something of the query.
# - text: the best weights
#   says: For those the gate must know which task an example is of. What in these tokens tells it?
# - text: linear attention
# - text: the delta rule
#   says: That one erases what it holds before it writes. This layer never does.
# minutes: 10
# level: 2
# ```
#
# ```{answer} ex-compare-blind-gap
# asks: By theory, how far is the risk of that line above that of the best weights?
# value: between
# wrong:
# - value: between / dist.d
#   says: That is per dimension. The table has whole risks.
# - value: dist.d * (0.8 - 0.2) ** 2 / 2
#   says: That is the gap in an endless prompt. With ten examples of each task it is smaller.
# - value: dist.M - theory["linear attention"]
#   says: That is what equal weights gain over predicting zero. How much more do the best ones gain?
# - value: theory["linear attention"]
#   says: That is the risk of the line itself. Subtract that of the best weights.
# minutes: 5
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# What is left for its gate to read? And what do constant gates gain here?
# ```
#
# ````{solution} ex-compare-blind
# :class: dropdown
#
# It ends near linear attention. Features and labels do not name their task, so its gate can hardly tell the two, and the weights of a constant gate never fall: the best of them are equal.
#
# ```python
# generator = torch.Generator().manual_seed(0)
# layer = Minimal(8, True, generator)
# blind = InContext(layer, 4, 8, label=3, generator=generator)
# fit(blind, dist, Recipe(250, batch=64, queries=1, lr=0.03))
# seen = compare(blind, dist, draws=2000, generator=generator, weights=False)
# theory = {name: optimum.risk for name, optimum in seen.optima.items()}
# between = theory["linear attention"] - theory["best weights"]
# assert seen.layers["layer"].gaps["best weights"][0] > 0.5 * between
# assert seen.layers["layer"].risk < 0.9 * dist.M
# ```
# ````
#
# ```{exercise} Explore: a predictor that is no weighted step
# :label: ex-compare-ols
#
# Compare `least_squares` and `bayes(dist)` of `glalib.baselines`. Which share of their predictions does a weighted step explain, and which weights does it have?
# ```
#
# ```{answer} ex-compare-ols
# asks: Whose weights has the step nearest to least squares, and whose the one nearest to Bayes?
# choices:
# - text: both have the best weights
#   says: Least squares is not told which task is the better hint. How can it weigh the tasks?
# - text: linear attention's, and the best weights
# - text: the best weights, and linear attention's
#   says: Which of the two predictors knows the relevances?
# - text: neither has any weights
#   says: Look at the shares explained. They are below one, but most of the predictions is there.
# minutes: 8
# level: 1
# ```
#
# ```{hint}
# :class: dropdown
#
# Both are callables on prompts: hand them on as they are.
# ```
#
# ````{solution} ex-compare-ols
# :class: dropdown
#
# The nearest step explains most of both, but not all: they divide by what the features of the prompt happen to be, which no fixed $P$ knows. Least squares weighs all examples alike. The Bayes predictor has no gap to itself, and the step nearest to it weighs the better task more.
#
# ```python
# from glalib.baselines import bayes, least_squares
#
# seen = compare(
#     {"least squares": least_squares, "bayes": bayes(dist)},
#     dist,
#     draws=2000,
#     generator=torch.Generator().manual_seed(3),
#     optima=["linear attention", "best weights", "Bayes"],
# )
# plain, posterior = seen.layers.values()
# assert plain.nearest == "linear attention" and posterior.nearest == "best weights"
# assert plain.weights.explained < 0.95 and posterior.weights.explained < 0.95
# assert abs(posterior.gaps["Bayes"][0]) < 1e-6
# ```
# ````

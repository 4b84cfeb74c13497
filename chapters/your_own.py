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
#   settles: how to try what is not in this book, in a few lines
# ---

# %% [markdown]
# # A gate, a distribution, a layer of your own
#
# **Where we are.** The pages before this one asked their questions of three gates, of prompts of one family, of one kind of layer. Yours may be another:
# a gate from a different architecture, tasks that behave differently, a layer that is no gated linear attention at all. None of this
# needs a change in `glalib`. This page puts one of each in place, in a dozen lines or a few more, and asks of it what the theory can answer.
#
# ```{symbols}
# Z G P omega r R
# ```
#
# ## A gate
#
# The layer asks two things of a gate. What does it act on? And what is its value at a token? So a gate is a torch module with a `name`, for messages; with
# `acts_on`, which is `"scalar"`, `"key"` or `"value"`; and with a `forward` from tokens $Z$ to values in $[0, 1]$: one for each token, or for a vector gate
# one for each token and channel. Weights, read-out, half precision and training come from the layer.
#
# The simplest one is a decay that does not look at its token. RetNet has one in each head {cite}`sun2023retentive`.

# %%
from dataclasses import dataclass, replace

import numpy as np
import torch
from glalib import (
    GLA,
    PromptDistribution,
    Prompts,
    optimal_wpgd,
    plotting,
    simulate_risk,
)
from glalib.training import Recipe, fit
from torch import nn

plotting.use_style()


class Decay(nn.Module):
    name, acts_on = "fixed decay", "scalar"

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, Z):
        return Z.new_full(Z.shape[:-1], self.rate)


# %% [markdown]
# A gate may have weights of its own. HGRN2 keeps its forget gates above a lower bound {cite}`qin2024hgrn2`. Here is a sigmoid with a floor, on the key side, and with a bound that
# is given rather than learned:


# %%
class Bounded(nn.Module):
    name, acts_on = "sigmoid above a floor", "key"

    def __init__(self, width, floor):
        super().__init__()
        self.floor = floor
        self.W = nn.Parameter(torch.zeros(width, width))
        self.b = nn.Parameter(torch.ones(width))

    def forward(self, Z):
        g = torch.sigmoid(Z @ self.W + self.b)
        return self.floor + (1 - self.floor) * g


# %% [markdown]
# And a gate may read what no linear map of the token shows, such as the square of the label: after a surprise, forget more, whatever its sign.


# %%
class LabelSquared(nn.Module):
    name, acts_on = "label squared", "scalar"

    def __init__(self, label):
        super().__init__()
        self.label = label  # its column
        self.w = nn.Parameter(torch.tensor([0.0, 2.0]))

    def forward(self, Z):
        slope, bias = self.w
        return torch.sigmoid(slope * Z[..., self.label] ** 2 + bias)


# %% [markdown]
# Each is an argument of `GLA`. Every layer gets a copy, found at `layers[0].own.gate`, and `GLA.gates` shows what it does. With a fixed decay, the weights must be powers of it ({prf:ref}`thm-gla-is-wpgd`);
# with a floor, all gates lie between the floor and one; and the third gate must not notice a label's sign. Powers are products of at most nine factors: rounding only.

# %%
generator = torch.Generator().manual_seed(0)
width, n = 4, 9
Z = torch.randn(5, n + 1, width, generator=generator)
decay = GLA(width, Decay(0.9), generator=generator)
age = torch.arange(n, 0, -1)
torch.testing.assert_close(decay.weights(Z)[0, 0], 0.9**age, rtol=1e-5, atol=0)

bounded = GLA(width, Bounded(width, floor=0.5), layers=2, generator=generator)
squared = GLA(width, LabelSquared(3), generator=generator)
with torch.no_grad():
    for layer in bounded.layers:
        layer.own.gate.W.normal_(generator=generator)
    squared.layers[0].own.gate.w[0] = -1.0
for gates in bounded.gates(Z):
    assert gates.shape == Z.shape and 0.5 <= gates.min() < gates.max() <= 1
flipped = Z * torch.tensor([1.0, 1.0, 1.0, -1.0])
assert torch.equal(squared.gates(flipped), squared.gates(Z))
assert squared.gates(2 * Z).ne(squared.gates(Z)).any()


# %% [markdown]
# What does not fit is named. A gate of the wrong shape, or one that leaves $[0, 1]$, would give numbers that look like any others:


# %%
class TooLarge(Decay):
    name = "too large"


try:
    GLA(width, TooLarge(1.1))(Z)
except ValueError as error:
    complaint = str(error)
print(complaint)
assert "what gate 'too large' returns must be in [0, 1]" in complaint


# %% [markdown]
# Two rules to know. A gate is asked for the context's tokens together, and for each query alone, since queries of one prompt are alternatives that must not see each other: a gate that mixes tokens mixes
# those of the context, later ones with earlier ones too unless it takes care. And a model is known to a checkpoint by its weights and buffers and by its `repr`, in which a gate shows every plain number and word among its attributes. Keep what tells two gates apart in one of these. (Only exact draws without tokens, `token_free`, refuse a gate of your own: their law is
# derived for the layer's sigmoid.)
#
# ## A distribution
#
# Whatever has a method `sample` can be simulated and trained on. Suppose the task drifts: at each example it keeps the share $\rho$ of what it was, and the rest is drawn anew,
#
# $$
# \beta_{i+1} = \rho\, \beta_i + \sqrt{1 - \rho^2}\; \xi_i, \qquad \xi_i \sim \mathcal{N}(0, I), \qquad y_i = x_i^\top \beta_i .
# $$
#
# The query's task is one step further on.


# %%
@dataclass(frozen=True)
class Drift:
    d: int = 3
    n: int = 30
    rho: float = 0.97

    def sample(self, batch, generator=None, queries=1, dtype=None):
        kind, n = {"generator": generator, "dtype": dtype}, self.n
        x = torch.randn(batch, n + queries, self.d, **kind)
        beta = torch.randn(batch, n + 1, self.d, **kind)
        beta[:, 1:] *= (1 - self.rho**2) ** 0.5
        for i in range(n):
            beta[:, i + 1] += self.rho * beta[:, i]
        task = torch.arange(n + queries).clamp(max=n)  # the query's is the last
        y = (x * beta[:, task]).sum(-1)
        return Prompts(
            x[:, :n], y[:, :n], x[:, n:], y[:, n:], beta[:, :n], beta[:, n]
        )


# %% [markdown]
# How do we know that it draws what we meant? This drift is a case that the theory covers: $n$ blocks of one example each, with correlations $R_{ij} = \rho^{|i - j|}$ and
# $r_i = \rho^{n + 1 - i}$. So we can write its twin as a `PromptDistribution`, ask that one for the best weights, and hold the sampler to their exact risk. The weights have a check of their own. Up to scale the best weights solve
# $(hR + I)\, \omega = r$ for some number $h$ ({prf:ref}`thm-stationary-points`), and $R^{-1}$ is tridiagonal with $R^{-1} r = \rho\, (0, \dots, 0, 1)^\top$. So they obey a recurrence with constant coefficients, and are powers of one number but for a term that belongs to the first examples, which have
# no past. The best constant gate, found by another way, should lose next to nothing.

# %%
drift = Drift()
age = np.arange(drift.n, 0, -1)
twin = PromptDistribution(
    drift.d,
    counts=(1,) * drift.n,
    r=drift.rho**age,
    R=drift.rho ** np.abs(age[:, None] - age),
)
best, constant = optimal_wpgd(twin), optimal_wpgd(twin, "constant-gate")
linear = optimal_wpgd(twin, "uniform")
rate = float(constant.omega[-2] / constant.omega[-1])

many = {"draws": 8000, "queries": 8}
drawn = simulate_risk(
    lambda p: best(p), drift, **many, generator=torch.Generator().manual_seed(1)
)
assert abs(drawn.risk - best.risk) < 5 * drawn.stderr < 0.1 * best.risk
assert 0 <= constant.risk - best.risk < 1e-3 * best.risk
assert best.risk < 0.9 * linear.risk

# %% [markdown]
# `fit` takes the gate and the distribution as they are. Three layers are trained on the drift, each with a gate from above; the decay gets the rate of the best constant gate. All start as one step of weighted gradient descent, `construct` with
# $P_q = P_k = I$, with gates near that rate, and all their weights are free. The gates move little, so what is learnt here is mostly the rest. On another machine rounding differs, and training ends at slightly other weights: we ask the layers to come within {glue:text}`allowed:.0f` per cent of the optimum, several times what they miss it by here.

# %%
recipe = Recipe(steps=200, batch=128, queries=8, lr=0.02)
gates = {
    "fixed decay": Decay(rate),
    "sigmoid above a floor": Bounded(width=4, floor=0.5),
    "label squared": LabelSquared(label=3),
}
trained, allowed, start = {}, 0.05, torch.eye(3, 4)
for name, gate in gates.items():
    generator = torch.Generator().manual_seed(0)
    model = GLA(4, gate, scale=1 / drift.n)
    model.layers[0].construct(start, start, model.h)
    losses = fit(model, drift, recipe)
    trained[name] = simulate_risk(
        model, twin, **many, generator=generator, against=best
    )
    assert abs(trained[name].risk / best.risk - 1) < allowed
    assert losses[:10].mean() > 1.1 * losses[-10:].mean()

# %% tags=["remove-input", "remove-output"]
from myst_nb import glue

glue("allowed", 100 * allowed, display=False)
glue("rate", rate, display=False)


# %% [markdown]
# The best constant gate here is {glue:text}`rate:.2f`. For these three the comparison runs on prompts of the twin, where `against=` can take off the noise that both predictors share. The optimum over
# weights is a bound for one layer with a scalar gate that reads neither features nor label ({doc}`training`). A gate that reads them, as the second and the third here, is free to pass below it.
#
# ## A layer
#
# For `fit` and `simulate_risk` a layer is a module from tokens to predictions. If its `forward` takes `queries`, several queries can share a context. The delta rule
# {cite}`schlag2021linear,yang2024parallelizing` writes not the label but the error it would make: its memory then holds a predictor, and each example corrects it. Here is one whose step is divided by $\norm{x}^2$, with one weight, the rate.


# %%
class DeltaRule(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.3))

    def forward(self, Z, queries=1):
        x, y = Z[..., :-1], Z[..., -1:]
        w = torch.zeros_like(x[:, :1])
        for i in range(Z.shape[1] - queries):
            x_i, y_i = x[:, i : i + 1], y[:, i : i + 1]
            error = y_i - (w * x_i).sum(-1, keepdim=True)
            w = w + self.rate * error * x_i / (x_i**2).sum(-1, keepdim=True)
        return (w * x[:, -queries:]).sum(-1)


delta = DeltaRule()
fit(delta, drift, Recipe(steps=60, batch=64, queries=8, lr=0.02))
generator = torch.Generator().manual_seed(2)
trained["delta rule"] = simulate_risk(delta, drift, **many, generator=generator)
assert trained["delta rule"].risk < 0.75 * best.risk

# %% [markdown]
# No weights on a single step of gradient descent do as well on this drift: the optimum is over all of them. The delta rule does it with one number, as it takes a step per example and subtracts what it has already explained.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-your-own", "caption": "A drifting task (d = 3, n = 30): risk of three layers with gates of our own and of the delta rule, all trained on it, over the risk of predicting zero. The lines are theory: linear attention, and the optimum over all weights. Bars of two standard errors are smaller than the dots."}}
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(6.6, 2.6))
for name, risk in (
    ("linear attention", linear.risk),
    ("weighted optimum", best.risk),
):
    ax.axvline(risk / twin.M, label=name, **plotting.STYLES[name])
for k, estimate in enumerate(trained.values()):
    ax.errorbar(
        estimate.risk / twin.M,
        k,
        xerr=2 * estimate.stderr / twin.M,
        color=plotting.TASKS[k],
        marker=plotting.TASK_MARKERS[k],
        linestyle="",
    )
ax.set(yticks=range(4), yticklabels=trained, xlabel="risk / $M$", xlim=(0, 0.6))
ax.set_ylim(3.5, -0.5)
_ = ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)

# %% tags=["remove-input"]
plotting.FigureData(
    "your_own",
    {
        "layer": [*trained],
        "risk_over_M": [e.risk / twin.M for e in trained.values()],
        "stderr": [e.stderr / twin.M for e in trained.values()],
    },
    distribution=drift,
    linear_attention=linear.risk / twin.M,
    optimum=best.risk / twin.M,
    trained="200 steps of 128 prompts; delta rule: 60 steps of 64",
    seed="gates 0, delta rule 2",
)


# %% [markdown]
# ## Break it
#
# The twin speaks for the drift because features are Gaussian. Give the feature vector of every example a size of its own, with the same covariance: its square is $1/5$ or $9/5$, alike
# likely. All that the twin knows is unchanged, but the optimum of the theory now meets fourth moments that are larger by the factor $41/25$, and its risk is no longer the one that the theory names.


# %%
class Uneven(Drift):
    def sample(self, batch, generator=None, queries=1, dtype=None):
        p = super().sample(batch, generator, queries, dtype)
        large = torch.rand(p.y.shape, generator=generator, dtype=dtype) < 0.5
        size = torch.where(large, 1.8, 0.2).to(p.y) ** 0.5
        return replace(p, x=p.x * size[..., None], y=p.y * size)


uneven = simulate_risk(
    lambda p: best(p), Uneven(), **many, generator=torch.Generator().manual_seed(3)
)
assert uneven.risk - best.risk > 10 * uneven.stderr

# %% [markdown]
# A closed form answers for the law it was derived for. For a law of your own the simulation is the judge, and the twin, if there is one, the test of the simulation.
#
# ## Exercise
#
# ```{exercise}
# :label: ex-decays
#
# Write a gate on the key side with one decay per channel, $g = (g_1, \dots, g_m)$, the same for all tokens. Which weights $\Omega$ does the layer give the example of age $a$? (The last example has age $1$.) Check it with `GLA.weights`, for
# `key_width=3` and decays that include zero.
# ```
#
# ````{solution} ex-decays
# :class: dropdown
#
# Every gate after the write multiplies channel by channel, the query's own among them. Age $a$ counts just these gates: $\Omega = (g_1^a, \dots, g_m^a)$. A channel with decay zero holds nothing, at any age.
#
# ```python
# class Decays(nn.Module):
#     name, acts_on = "a decay per channel", "key"
#
#     def __init__(self, rates):
#         super().__init__()
#         self.register_buffer("rates", torch.tensor(rates))
#
#     def forward(self, Z):
#         return self.rates.expand(*Z.shape[:-1], -1)
#
#
# layer = GLA(4, Decays([0.0, 0.5, 0.9]), key_width=3)
# age = torch.arange(9, 0, -1)
# Omega = torch.tensor([0.0, 0.5, 0.9]) ** age[:, None]
# torch.testing.assert_close(layer.weights(torch.ones(10, 4))[0], Omega)
# ```
# ````

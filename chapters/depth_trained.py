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
#   settles: what trained stacks of one to three layers reach, beside one layer's optimum,
#     the floor of the mask and the Bayes risk
# ---

# %% [markdown]
# # What depth buys, trained
#
# Do two or three trained layers do what one cannot, and how near to the best possible do they come?
#
# The theory of depth is about layers set by hand: steps of a descent, and a floor that masked layers keep above. Trained layers are told none of this. They may use
# every weight, read labels in keys and features in values, and write anything into the residual stream.
#
# The paper has a figure on one to three layers; of its setting little is known to us. Here are such stacks, trained from random starts in the four panels of Figure 1, on prompts of {glue:text}`depth_n` examples.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-depth-trained", "caption": "Two layers pass below the optimum of one, and three with gates go most of the way to the Bayes predictor where one task matters. Marks: trained, every weight free, mean of three seeds; bands from the least to the greatest. Wide pale lines: the optimum of one layer of each kind whose gates do not read the examples. Dotted: the Bayes risk; as there is no noise, the floor of the mask lies on it. Two independent tasks of $n/2$ examples, $d = 10$."}}
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from glalib import (
    GLA,
    Layout,
    PromptDistribution,
    optimal_wpgd,
    plotting,
)
from glalib.baselines import bayes
from glalib.layout import DELIMITED
from glalib.reproduce import PANELS, start_stack
from glalib.reproduce.figure1 import MODELS
from glalib.reproduce.panels import panel_distribution
from glalib.training import Recipe, fit
from matplotlib.lines import Line2D
from myst_nb import glue

plotting.use_style()
rows = json.loads(Path("data/depth.json").read_text(encoding="utf-8"))
layers, lengths, seeds = (
    sorted({row[key] for row in rows}) for key in ("layers", "n", "seed")
)
shown = min(lengths, key=lambda n: abs(n - 40))
glue("depth_n", shown, display=False)
blue, orange = plotting.TASKS[:2]
LOOKS = {
    "linear": ("linear attention", blue, "o", "--"),
    "gla": ("scalar gate", orange, "^", "-"),
}


def of(panel, model, n, key="risk"):
    """(layers, seeds): what the runs say; a run that failed is infinite."""
    place = (panel, model, n)
    runs = [row for row in rows if (row["panel"], row["model"], row["n"]) == place]
    return np.array(
        [
            [row.get(key, np.inf) for row in runs if row["layers"] == L]
            for L in layers
        ]
    )


fig, axes = plt.subplots(2, 2, figsize=(6.4, 5.6), sharex=True, sharey=True)
record = {
    key: [] for key in ("panel", "curve", "layers", "risk_over_d", "low", "high")
}
for ax, (panel, r) in zip(axes.flat, PANELS.items(), strict=True):
    least = of(panel, "gla", shown, "bayes")[0, 0]
    ax.axhline(least, color="0.2", linestyle=":", linewidth=1.6)
    for model, (_, ink, mark, dash) in LOOKS.items():
        line, runs = (
            of(panel, model, shown, "theory")[0, 0],
            of(panel, model, shown),
        )
        ax.axhline(
            line,
            color=ink,
            linestyle=dash,
            linewidth=5 if model == "linear" else 3,
            alpha=0.3,
        )
        ax.fill_between(
            layers, runs.min(1), runs.max(1), color=ink, alpha=0.25, linewidth=0
        )
        ax.plot(layers, runs.mean(1), dash, marker=mark, color=ink, lw=1.6)
        for curve, low, middle, high in (
            (f"{model}, trained", runs.min(1), runs.mean(1), runs.max(1)),
            (f"{model}, one layer at best", *[[line] * len(layers)] * 3),
            (f"{model}, Bayes", *[[least] * len(layers)] * 3),
        ):
            each = (
                [panel] * len(layers),
                [curve] * len(layers),
                layers,
                middle,
                low,
                high,
            )
            for key, values in zip(record, each, strict=True):
                record[key] += list(values)
    ax.set_title(f"({panel})  $r = ({r[0]:g},\\ {r[1]:g})$")
handles = [
    Line2D([], [], color=ink, marker=mark, ls=dash, label=name)
    for name, ink, mark, dash in LOOKS.values()
]
handles += [
    Line2D(
        [],
        [],
        color="0.4",
        linewidth=4,
        alpha=0.4,
        label="one layer at best, in its colour",
    )
]
handles += [
    Line2D(
        [], [], color="0.2", linestyle=":", linewidth=1.6, label="Bayes predictor"
    )
]
fig.legend(handles=handles, loc="outside upper center", ncols=2)
fig.supylabel(f"risk / $d$ at $n = {shown}$", size=12)
fig.supxlabel("layers $L$", size=12)
_ = axes[0, 0].set(xticks=layers, ylim=(0, 0.75))

# %% tags=["remove-input"]
plotting.FigureData(
    "depth_trained",
    record,
    d=10,
    sigma=0,
    n=shown,
    tasks="two, independent, n / 2 examples each",
    r=PANELS,
    low_and_high="least and greatest of the seeds",
    seed=f"{len(seeds)} of them, training and evaluation apart",
)

# %% [markdown]
# ```{symbols}
# x y Z d n r R C Sx sigma P omega q k v risk
# ```
#
# ## What was trained
#
# The layers are those of {prf:ref}`thm-depth` in shape alone. Between layers a token keeps what it holds and each layer adds to it, with the causal mask, and the prediction is what all layers wrote at the query. All else is free: the matrices
# of every layer, its gates, the read-out. Linear attention sees the examples and no more; the scalar gate has a delimiter after each task and context that tells tokens apart, as in Figure 1. Its gates may read features and labels.
#
# Without gates a stack of $L$ layers is a polynomial of degree $3^L$ in its tokens, so it must start small. Keys and queries start with equal, orthogonal columns of size growing with $\sqrt n$, and values near zero. The same command makes all stacks: `glalib reproduce depth`. One of them in Python:

# %%
from glalib.reproduce import train_stack

few = {"steps": 20, "batch": 16}  # for a look; the figure's have hundreds of steps
one = train_stack(
    "gla", "b", layers=2, n=20, seed=0, recipe=few, evaluation={"draws": 200}
)

# %% [markdown]
# In numbers: what one layer can reach at best with gates that do not read the examples, how much of the way from there to the Bayes risk stacks go, in per cent (mean of the seeds), and the Bayes risk.

# %% tags=["hide-input"]
gain = {}
for n in lengths:
    heads = "".join(f"{f'L = {L}':>8}" for L in layers)
    print(f"{f'n = {n}':10}{'one layer':>9}{heads}{'Bayes':>8}")
    for panel in PANELS:
        for model in LOOKS:
            line = of(panel, model, n, "theory")[0, 0]
            least = of(panel, model, n, "bayes")[0, 0]
            gain[panel, model, n] = (line - of(panel, model, n).mean(1)) / (
                line - least
            )
            ways = "".join(f"{round(100 * g) + 0:8}" for g in gain[panel, model, n])
            print(f"({panel}) {model:6}{line:9.3f}{ways}{least:8.3f}")

# %% [markdown]
# No risk here is estimated by its plain mean. It is the Bayes risk plus the mean squared distance to the Bayes predictor, and only the distance has to be estimated. Without noise the Bayes risk is known: $n_k$ examples show the share $\min(n_k / d, 1)$ of their task, so over $d$ it is $1 - \sum_k r_k^2 \min(n_k / d, 1)$.
#
# ## What they reach

# %% tags=["check", "asserts-fig-2"]
off, below, highest = [], [], -np.inf
for panel in PANELS:
    for model in LOOKS:
        for n in lengths:
            dist = panel_distribution(panel, n)
            line = optimal_wpgd(dist, MODELS[model][2]).risk / dist.d
            least = 1 - np.square(dist.r) @ np.minimum(
                np.array(dist.counts) / dist.d, 1
            )
            runs, errors = of(panel, model, n), of(panel, model, n, "stderr")
            assert np.allclose(of(panel, model, n, "theory"), line, rtol=1e-12)
            assert np.allclose(of(panel, model, n, "bayes"), least, atol=1e-12)
            # Nothing passes below the Bayes risk, up to sampling error.
            assert (runs > least - 4 * errors).all()
            off.append(runs[0].mean() / line - 1)  # one layer
            below += (line - runs[1:]).flatten().tolist()
            highest = max(highest, runs[0].max() / line - 1)
            if (panel, model) == ("a", "linear"):  # below what is blind to order
                assert (runs[-1] < 0.5 - 0.05).all()
# One layer: its optimum within 3%, what so short a training leaves, and a gate that
# reads labels may win. Deeper: below it, each run of every panel, model and length.
assert max(map(abs, off)) < 0.03 and min(below) > 0 and len(seeds) == 3
print(
    f"one layer: within {max(map(abs, off)):.1%} of its optimum in the mean, no seed more than {highest:.1%}"
    f" above it; deeper: all {len(below)} runs below it, by {min(below):.3f} at least"
)

# %% tags=["remove-input", "remove-output"]
at = {(p, m): of(p, m, shown).mean(1) for p in PANELS for m in LOOKS}
longer = json.loads(Path("data/depth_longer.json").read_text(encoding="utf-8"))


def way(row):
    return (row["theory"] - row["risk"]) / (row["theory"] - row["bayes"])


def as_short(long):
    keys = ("panel", "model", "layers", "n", "seed")
    return next(row for row in rows if all(row[key] == long[key] for key in keys))


steps = {row["configuration"]["steps"] for row in longer}
assert steps == {1500} and all(
    row["seed"] == 0 for row in longer
)  # as the text says
glue("depth_long_steps", steps.pop(), display=False)
glue(
    "depth_short_steps",
    as_short(longer[0])["configuration"]["steps"],
    display=False,
)
for row in longer:
    glue(f"depth_long_{row['panel']}", 100 * way(row), display=False)
    glue(f"depth_short_{row['panel']}", 100 * way(as_short(row)), display=False)
ways = {  # (layers, seeds), in per cent
    (p, m): 100
    * (of(p, m, shown, "theory") - of(p, m, shown))
    / (of(p, m, shown, "theory") - of(p, m, shown, "bayes"))
    for p in PANELS
    for m in LOOKS
}
best_of_any = optimal_wpgd(panel_distribution("d", shown)).risk / 10
for name, value in {
    "depth_d_three": at["d", "gla"][-1],
    "depth_d_line": of("d", "gla", shown, "theory")[0, 0],
    "depth_any": best_of_any,
    "depth_d_linear": at["d", "linear"][-1],
    "depth_a_linear": at["a", "linear"][-1],
    "depth_way_a": 100 * gain["a", "gla", shown][-1],
    "depth_way_c": 100 * gain["c", "gla", shown][-1],
    "depth_way_a_linear": 100 * gain["a", "linear", shown][-1],
    "depth_d_two_low": ways["d", "gla"][1].min(),
    "depth_d_two_high": ways["d", "gla"][1].max(),
    "depth_d_three_low": ways["d", "gla"][2].min(),
    "depth_d_three_high": ways["d", "gla"][2].max(),
    "depth_spread": max(np.ptp(each, axis=1).max() for each in ways.values()),
}.items():
    glue(name, float(value), display=False)

# %% [markdown]
# **Two layers pass the best of one**, in every panel, with a gate or without, with every seed.
#
# **Depth does what no weights can.** In panel (d) the more relevant task comes first, and one layer with a scalar gate does best with equal weights, at {glue:text}`depth_d_line:.3f`. The best weights of any kind reach {glue:text}`depth_any:.3f`. Three layers with the same scalar gate reach {glue:text}`depth_d_three:.3f`.
# A later layer can read what the first one wrote beside the labels, and so is not bound to weights that rise; what these stacks do is not taken apart here.
#
# **Depth reads order out of the mask.** Linear attention sees examples and no delimiters, and one layer does not see their order. A predictor that is blind to order cannot tell which task is the relevant one. Even if it knew both tasks, it could do no better than to answer for the two orders alike, with
# $\tfrac12 (r_1 + r_2)\, x^\top (\beta_1 + \beta_2)$: its risk over $d$ is at least $1 - \tfrac12 (r_1 + r_2)^2$, one half in every panel. In panel (a) three layers without any gate end at {glue:text}`depth_a_linear:.3f`, for they have a mask: a token knows what came before it.
#
# **Where they get stuck.** Three gated layers go {glue:text}`depth_way_a:.0f` per cent of the way to the Bayes risk in panel (a), where one task matters, and {glue:text}`depth_way_c:.0f` per cent in (c), where two matter alike and both must be fitted at once; without gates it is {glue:text}`depth_way_a_linear:.0f` per cent even in (a). A third layer is not always a gain: gated, in (d), three go {glue:text}`depth_d_three_low:.0f` to {glue:text}`depth_d_three_high:.0f` per cent of the way, by the seed, and two go
# {glue:text}`depth_d_two_low:.0f` to {glue:text}`depth_d_two_high:.0f`. Seeds of one stack lie up to {glue:text}`depth_spread:.0f` points of the way apart. The floor of the mask does not explain this: without noise it is zero. Too short a training explains a part.
# We went on with one seed, the first: with {glue:text}`depth_long_steps` steps in place of {glue:text}`depth_short_steps` three gated layers go {glue:text}`depth_long_c:.0f` per cent of the way in (c), where that seed had gone {glue:text}`depth_short_c:.0f`, and {glue:text}`depth_long_d:.0f` in (d), where it had gone {glue:text}`depth_short_d:.0f`. (In Python: `train_stack("gla", "c", 3, 40, seed=0, recipe={"steps": 1500})`.) Where three layers end in the long run is not settled on this page.
#
# ## With noise: the floor, and the way round it
#
# With noise there is a floor. Masked layers whose values carry labels alone keep a distance from the Bayes predictor at every depth ({prf:ref}`thm-price-of-mask`), because earlier examples have no say in how a label is weighed. Such layers, fitted, stall at a little more than twice
# the floor ({numref}`fig-price-of-mask`). Three stacks of linear attention, trained here while the page is built, one seed each, for the same prompts: one task, $d = 5$, ten examples, noise of standard deviation 2.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-depth-noise", "caption": "With noise trained stacks come towards the floor of masked layers whose values carry labels alone, and they do not keep to its rule. Circles: excess over the Bayes risk. Squares: how much the earlier examples say about the weight of a label, in the units of the floor; for the Bayes predictor this is the floor itself, and for layers of the theorem it is zero."}}
noisy = PromptDistribution(d=5, counts=(10,), r=(1.0,), sigma=2.0)
fresh = noisy.sample(8000, torch.Generator().manual_seed(1), queries=8)
aim = bayes(noisy)(fresh)
brisk = Recipe(steps=300, batch=256, queries=8, lr=0.02, warmup=0.1)


def excess(net):
    """Over the Bayes risk: the mean squared distance to the Bayes predictor."""
    with torch.no_grad():
        return (net(Layout()(fresh), queries=8) - aim).square().mean().item()


def say_of_earlier(coefficients, prompts, seed):
    """sigma^2 sum_i E Var(a_i | task, i-th and later examples, x) of coefficients a of labels, and its error."""
    generator = torch.Generator().manual_seed(seed)
    kept, total = noisy.sample(prompts, generator), 0.0
    for i in range(1, noisy.n):
        two = []
        for _ in range(2):  # what came before is drawn anew
            x = torch.cat(
                [noisy.sample(prompts, generator).x[:, :i], kept.x[:, i:]], 1
            )
            y = (x @ kept.beta[:, 0, :, None])[..., 0]
            y = y + noisy.sigma * torch.randn(y.shape, generator=generator)
            y[:, i:] = kept.y[:, i:]
            two.append(coefficients(x, y, kept.x_query[:, 0])[:, i])
        total = total + noisy.sigma**2 * (two[0] - two[1]) ** 2 / 2
    return total.mean().item(), (total.std() / prompts**0.5).item()


def of_bayes(x, y, x_query):
    V = x @ x.mT + noisy.sigma**2 * torch.eye(noisy.n)
    return torch.linalg.solve(V, (x @ x_query[..., None])[..., 0])


def of_stack(net):
    def coefficients(x, y, x_query):
        Z = torch.zeros(len(x), noisy.n + 1, noisy.d + 1)
        Z[:, :-1, :-1], Z[:, :-1, -1], Z[:, -1, :-1] = x, y, x_query
        (slope,) = torch.autograd.grad(net(Z.requires_grad_()).sum(), Z)
        return slope[:, :-1, -1]

    return coefficients


stacks = {L: start_stack(noisy, "linear", L, seed=0) for L in (1, 2, 3)}
for net in stacks.values():
    fit(net, noisy, brisk)
floor, floor_error = say_of_earlier(of_bayes, 8000, seed=2)
excesses = {L: excess(net) for L, net in stacks.items()}
said = {L: say_of_earlier(of_stack(net), 2000, seed=3) for L, net in stacks.items()}

fig, ax = plt.subplots(figsize=(6.4, 3.0))
ax.plot(list(stacks), list(excesses.values()), "o--", color=blue)
ax.plot(
    list(stacks),
    [value for value, _ in said.values()],
    "s-",
    color=plotting.TASKS[2],
)
ax.axhline(floor, **plotting.STYLES["predict zero"])
ax.text(1.0, floor + 0.012, "floor of the mask", va="bottom")
ax.text(1.12, excesses[1], "excess over the Bayes risk", color=blue, va="center")
ax.text(1.5, -0.03, "say of earlier examples", color=plotting.TASKS[2], va="center")
_ = ax.set(xlabel="layers $L$", ylabel="squared error")
_ = ax.set(xticks=list(stacks), ylim=(-0.07, 0.68))

# %% tags=["remove-input"]
plotting.FigureData(
    "depth_noise",
    {
        "layers": list(stacks),
        "excess": list(excesses.values()),
        "say_of_earlier": [value for value, _ in said.values()],
        "its_error": [error for _, error in said.values()],
    },
    distribution=noisy,
    recipe=brisk,
    floor=floor,
    seed="training 0, test 1, floor 2, say 3",
)

# %% tags=["check"]
line = optimal_wpgd(noisy)
step = (
    fresh.x_query @ torch.tensor(line.P).float() @ fresh.x.mT @ fresh.y[..., None]
)[..., 0]
of_line = (step * line.omega[0] - aim).square().mean().item()
# One layer: the risk is within tenths of a per cent of the line, the excess within a tenth.
# Other seeds end at excesses of 0.15 to 0.26, far below six tenths of one layer's.
assert abs(excesses[1] / of_line - 1) < 0.15
assert max(excesses[2], excesses[3]) < 0.6 * excesses[1]
# One layer weighs each label without regard to other examples; deeper ones do not.
assert (
    said[1][0] < 1e-9 and min(said[2][0] / said[2][1], said[3][0] / said[3][1]) > 10
)
print(
    f"excess of one, two, three layers: {', '.join(f'{e:.2f}' for e in excesses.values())}; the floor is {floor:.3f};"
    f" three layers give earlier examples {said[3][0] / floor:.0%} of the say they have in the Bayes predictor"
)

# %% [markdown]
# One layer ends at the risk of the best weighted step. Two layers cut its excess to {glue:text}`depth_cut:.0f` per cent, which is {glue:text}`depth_times_floor:.1f` times the floor, about where layers of the theorem stall however many they are. What these stacks do is something else, though: earlier examples have gained a say in how a label
# is weighed, which they never have in the layers of {prf:ref}`thm-price-of-mask`, whose keys and queries read features alone and values labels alone. {prf:ref}`prop-way-round-mask` shows by hand that values which read features can give it to them. Nothing in training asks for it. So the floor is no bound for these stacks, and whether longer training takes them below it is not settled on this page.

# %% tags=["remove-input", "remove-output"]
glue("depth_cut", 100 * excesses[2] / excesses[1], display=False)
glue("depth_times_floor", excesses[2] / floor, display=False)


# %% [markdown]
# ## Break it
#
# **Start with weights of size one.** A random stack of three layers is of degree $27$ in its tokens. On short prompts its loss begins many powers of ten above that of predicting zero.


# %% tags=["check"]
def loss_at_start(net, dist):
    drawn = dist.sample(400, torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        error = (
            net.double()(DELIMITED(drawn), queries=1)[:, 0] - drawn.y_query[:, 0]
        )
    return error.square().mean().item() / dist.d


short = panel_distribution("b", 20)
large, small = [], []
for L in (1, 2, 3):
    generator = torch.Generator().manual_seed(0)
    net = GLA(16, "scalar", L, context_width=5, scale=1 / 20, generator=generator)
    large.append(loss_at_start(net, short))
    small.append(loss_at_start(start_stack(short, "gla", L, seed=0), short))
assert large[2] > 1e6 and max(small) < 2  # predicting zero has a loss of one
print(
    "loss over d at the start, one to three layers: weights of size one",
    ", ".join(f"{x:.0e}" for x in large) + "; this page's start",
    ", ".join(f"{x:.2f}" for x in small),
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} By hand: of what degree is a stack?
# :label: ex-degree-of-stack
#
# A layer without gates adds to each token a sum of products of a value, a key and a query. Of what degree in its tokens is a stack of $L$ layers? All tokens are multiplied by $2$: by what power of two can the largest terms of three layers grow?
# ```
#
# ```{hint}
# :class: dropdown
#
# How does the degree of $Z^{l+1}$ follow from that of $Z^l$?
# ```
#
# ````{solution} ex-degree-of-stack
# :class: dropdown
#
# Value, key and query are linear in $Z^l$, so $Z^{l+1} = Z^l + \mathrm{GLA}_l(Z^l)$ has three times its degree: $3^L$. Terms of degree $27$ grow by $2^{27}$, more than a hundred million. Short prompts have few tokens to average over, and features of four or five standard deviations do occur. That is why stacks on short prompts need the smallest start.
# ````
#
# ```{exercise} Compute: Bayes with too few examples
# :label: ex-bayes-few
#
# Without noise $n_k < d$ examples show the task in $n_k$ directions and say nothing of the others. Derive the Bayes risk $1 - \sum_k r_k^2 \min(n_k/d, 1)$ over $d$, and try it by simulation at $d = 10$ with four examples of one task and twelve of another.
# ```
#
# ```{hint}
# :class: dropdown
#
# Given the features, the best guess of $\beta_k$ is its projection on the span of the block's $x_i$. How long is that on average?
# ```
#
# ````{solution} ex-bayes-few
# :class: dropdown
#
# The projection of $\beta_k \sim \N(0, I)$ on a space of dimension $\min(n_k, d)$ has squared length $\min(n_k, d)$ on average. The query's task is $\sum_k r_k \beta_k$ plus a part that nothing tells of, so the risk is $d - \sum_k r_k^2 \min(n_k, d)$.
#
# ```python
# from glalib import simulate_risk
#
# few = PromptDistribution(d=10, counts=(4, 12), r=(0.6, 0.5))
# seen = simulate_risk(bayes(few), few, 4000, generator=torch.Generator().manual_seed(4))
# expected = 10 - 0.36 * 4 - 0.25 * 10
# assert abs(seen.risk - expected) < 4 * seen.stderr
# ```
# ````
#
# ```{exercise} Explore: which layer can be missed?
# :label: ex-silent-layer
#
# Silence one layer of the three-layer stack of {numref}`fig-depth-noise`, by setting its $W_v$ to zero. Which one is missed least? Is the stack without it as good as the two layers that were trained as such?
# ```
#
# ```{hint}
# :class: dropdown
#
# `net.layers[l].W_v`, under `torch.no_grad()`. Copy the stack first.
# ```
#
# ````{solution} ex-silent-layer
# :class: dropdown
#
# All are missed, the first least here (another seed, another layer): without any one of them the excess is larger than that of two layers. Layers share the work; a stack is not a good shallow one with more on top.
#
# ```python
# import copy
#
# without = []
# for l in range(3):
#     net = copy.deepcopy(stacks[3])
#     with torch.no_grad():
#         net.layers[l].W_v.zero_()
#     without.append(excess(net))
# assert min(without) > 1.2 * excesses[2]
# ```
# ````

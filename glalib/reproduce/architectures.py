"""Real layers on one scale: each trained on the same prompts, tried beside the lines of theory, and its weights read.

Four settings, no noise, white features: two tasks with the better one last or first, a task that drifts, and two tasks
of which the query names one. The layers are `zoo`'s, between linear maps (`InContext`), and three of this book: linear
attention, a scalar gate, and the delta rule with steps that read the context, each with every weight free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from .. import _check
from ..architectures import zoo
from ..delta.model import DeltaRule
from ..distribution import PromptDistribution
from ..drift import drifting
from ..in_context import InContext
from ..layout import DELIMITED, Layout
from ..model import GLA
from ..optima import optimal_wpgd
from ..probe import effective_weights
from ..simulate import Estimate, simulate_risk
from ..training import Recipe, orthogonal_start
from .figure1 import GATE_BIAS
from .named import NamedQuery, named_tokens
from .one_run import Row, changed, evaluated, mean_risk, numbers, spelled_out, summarised, swept, train_and_try, tried
from .sweep import Backend

Setting = Literal["last", "first", "drift", "named"]

D, N, RHO = 4, 12, 0.9  # features; examples of a task, or half of those of a drift; what a drift keeps of its task
SETTINGS: tuple[Setting, ...] = ("last", "first", "drift", "named")
LINES = {  # the distribution whose closed forms speak of a layer that cannot know which query will come
    "last": PromptDistribution(D, (N, N), (0.2, 0.8)),
    "first": PromptDistribution(D, (N, N), (0.8, 0.2)),
    "drift": drifting(RHO, 2 * N, D),
    "named": PromptDistribution(D, (N, N), (0.5, 0.5)),
}
OURS = ("linear", "gla", "delta")
LAYERS = (*OURS, "fixed-decay", "rg-lru", "mlstm", "mamba2", "gated-deltanet", "softmax")
# Of Mamba-2 with one head and with two: which part lets it undo the wrong order.
PARTS = tuple((name, heads) for name in zoo.TAKEN for heads in (1, 2))
NAMES = tuple(dict.fromkeys((*LAYERS, *(name for name, _ in PARTS))))
WIDTH, HEADS = 32, 2
RECIPES = {
    "ours": Recipe(steps=1000, batch=128, queries=16, lr=0.01),
    "real": Recipe(steps=3000, batch=64, queries=1, lr=0.01, gate_lr=1.0),
    "gated-deltanet": Recipe(steps=6000, batch=64, queries=1, lr=0.004, gate_lr=1.0),  # faster, its seeds part
}
ATTEMPTS, ARRIVED = 3, 1.05  # starts of a real layer, at most; one is enough below this times linear attention's risk
EVALUATION = {"draws": 40_000, "queries": 1, "probed": 10_000, "shown": 500}  # prompts tried, probed, and for gates


def prompts_of(setting: Setting) -> tuple[Any, Any, int]:
    """What draws the prompts of that setting, what makes tokens of them, and the columns of a token."""
    if setting == "named":
        return NamedQuery(D, 2 * N), named_tokens, DELIMITED.width(LINES[setting]) + 2
    tokens = Layout() if setting == "drift" else DELIMITED
    return LINES[setting], tokens, tokens.width(LINES[setting])


def recipe_of(layer: str) -> Recipe:
    """How that layer is trained."""
    return RECIPES["ours" if layer in OURS else layer if layer in RECIPES else "real"]


def begin(layer: str, heads: int, setting: Setting, seed: int) -> torch.nn.Module:
    """The model before training."""
    width, context = prompts_of(setting)[2], prompts_of(setting)[2] - D - 1
    generator = torch.Generator().manual_seed(_check.integer("seed", seed, 0, "an integer >= 0"))
    if layer not in OURS:
        return InContext(zoo.layer(layer, WIDTH, heads, seed), width, WIDTH, label=D, generator=generator)
    if layer == "delta":
        rule = DeltaRule(width, "context", "context", context_width=context, generator=generator)
        return orthogonal_start(rule, generator)
    gate: Any = "scalar" if layer == "gla" else None
    net = GLA(width, gate, context_width=context, scale=1 / (2 * N), gate_bias=GATE_BIAS, generator=generator)
    with torch.no_grad():
        net.layers[0].W_v[D, D].abs_()  # a P that has to turn takes long
    return orthogonal_start(net, generator)


def train_architecture(
    setting: Setting,
    layer: str,
    heads: int,
    seed: int,
    recipe: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    attempt: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 500,
    progress: bool = False,
) -> Row:
    """Train one layer in one setting, try it, and read its weights; a dict with its risk / d and `theory`.

    attempt: 0, or the number of earlier starts that failed: another start and other prompts, half the learning rate
    each time, and the same trial.

    `theory`: the best weighted step's risk / d, for weights that do not know the query. `effective`: for each task
    that the query may ask about (one, but two in "named"), what `effective_weights` finds: omega and share explained.
    `declared`: of the layers that have gates, the mean weights that these say each example has, one list a head; of
    "rg-lru", the mean over channels. Scaled to mean square one, as effective weights are.
    """
    _check.option("setting", setting, SETTINGS)
    _check.option("layer", layer, NAMES)
    seed, heads = _check.integer("seed", seed, 0, "an integer >= 0"), _check.positive_int("heads", heads)
    attempt = _check.integer("attempt", attempt, 0, "an integer >= 0")
    start = seed + 1000 * attempt  # of all that training draws
    plan = changed(recipe_of(layer), recipe, start)
    plan = plan.replace(lr=plan.lr / 2**attempt)
    trial = evaluated(EVALUATION, evaluation)
    probed, shown = trial.pop("probed"), trial.pop("shown")
    dist, tokens, _ = prompts_of(setting)
    line, net = optimal_wpgd(LINES[setting]), begin(layer, heads, setting, start)
    how: dict[str, Any] = {"tokens": tokens, "evaluation": trial, "of": train_architecture, "progress": progress}

    def trial_of(net: Any, dist: Any, line: Any, tokens: Any, evaluation: dict[str, Any], _: int) -> Estimate:
        return (tried_named if setting == "named" else tried)(net, dist, line, tokens, evaluation, seed)

    row = train_and_try(net, dist, plan, line, trial=trial_of, checkpoint=checkpoint, every=every, **how)
    asked = [NamedQuery(D, 2 * N, asked=k) for k in (0, 1)] if setting == "named" else [dist]
    generator = torch.Generator().manual_seed(2 * 10**6 + seed)
    found = [effective_weights(net, each, probed, generator=generator, tokens=tokens) for each in asked]
    row["configuration"] |= {"probed": probed, "shown": shown, "width": WIDTH, "heads": heads}
    if layer not in OURS:
        row["versions"] |= {"transformers": zoo.TRANSFORMERS}
    effective = [{"omega": e.omega.tolist(), "explained": e.explained} for e in found]
    place = {"setting": setting, "layer": layer, "heads": heads, "seed": seed, "attempt": attempt}
    declared = declared_weights(net, setting, shown, generator)
    return place | row | {"effective": shortened(effective), "declared": shortened(declared)}


def tried_named(net: Any, dist: Any, line: Any, tokens: Any, evaluation: dict[str, Any], seed: int) -> Estimate:
    """The risk on fresh prompts, with nothing to compare it with: the best step of each query is another."""
    return simulate_risk(net, dist, **evaluation, generator=torch.Generator().manual_seed(10**6 + seed), tokens=tokens)


@torch.no_grad()
def declared_weights(net: Any, setting: Setting, draws: int, generator: torch.Generator) -> list[list[float]] | None:
    """What the gates of a trained layer say that each example counts, (heads, n); None of layers without gates."""
    dist, tokens, _ = prompts_of(setting)
    Z = tokens(dist.sample(draws, generator, 1, torch.float32))
    if isinstance(net, GLA):
        one_layer: Any = net.weights(Z)  # (draws, 1, n): a query each
        weights = one_layer[:, 0].mean(0)[:, None] if net.gate is not None else None
    elif isinstance(net, InContext):
        mixer: Any = net.mixers[0]
        found = mixer.declared(Z @ net.W_in)
        weights = None if found.decay is None else found.weights().mean(0)
    else:
        weights = None
    if weights is None:
        return None
    if weights.shape[1] > HEADS:  # channels
        weights = (weights / weights.square().mean(0).sqrt()).mean(1, keepdim=True)
    example = Z[0, :-1, :D].any(-1)  # delimiters have no features
    kept = weights[example]
    scaled: list[list[float]] = (kept / kept.square().mean(0).sqrt()).mT.tolist()
    return scaled


def shortened(value: Any) -> Any:
    """Numbers to three digits: weights are estimates, to a hundredth or so."""
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value


def architectures(
    seeds: int = 5,
    jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
    layers: Sequence[str] = LAYERS,
    settings: Sequence[Setting] = SETTINGS,
    parts: bool = True,
    **changes: Any,
) -> list[Row]:
    """All layers and settings, and Mamba-2's parts in the wrong order, by `sweep`; `changes` go to the runs.

    A real layer that ends above linear attention's line starts again, up to `ATTEMPTS` times: `started_again`. Rows
    come in the order of settings, layers, heads and seeds; a run that failed has `error` in place of results.
    """
    for layer in layers:
        _check.option("layers", layer, NAMES)
    for setting in settings:
        _check.option("settings", setting, SETTINGS)
    if any(layer not in OURS for layer in layers) or parts:
        zoo.require()
    recipe, evaluation = spelled_out(changes, EVALUATION)
    places = [(setting, layer, HEADS) for setting in settings for layer in layers]
    if parts:
        places += [("first", name, heads) for name, heads in PARTS if (name, heads) != ("mamba2", HEADS)]
    cells = [
        {"setting": setting, "layer": layer, "heads": heads, "seed": seed}
        | {"recipe": numbers(recipe_of(layer).replace(**recipe)), "evaluation": evaluation}
        for seed in range(_check.positive_int("seeds", seeds))
        for setting, layer, heads in places
    ]
    rows = swept(train_architecture, cells, jobs, backend, folder, progress)
    rows = started_again(rows, cells, lambda more: swept(train_architecture, more, jobs, backend, folder, progress))
    order = SETTINGS, NAMES
    return sorted(rows, key=lambda r: (order[0].index(r["setting"]), order[1].index(r["layer"]), r["heads"], r["seed"]))


def arrived(row: Row) -> bool:
    """Whether a run of a real layer ended where a layer without gates can; of a layer of this book, in any case."""
    line = optimal_wpgd(LINES[row["setting"]], "uniform").risk / D
    return row["layer"] in OURS or "error" in row or bool(row["risk"] < ARRIVED * line)


def started_again(rows: list[Row], cells: list[Row], train: Callable[[list[Row]], list[Row]]) -> list[Row]:
    """The rows, in their order; of one that has not arrived, that of the next start which did, or of the best start.

    `attempt` in a row says how many starts came before it.
    """
    best = list(rows)
    for attempt in range(1, ATTEMPTS):
        left = [i for i, row in enumerate(best) if not arrived(row)]
        if left:
            for i, row in zip(left, train([cells[i] | {"attempt": attempt} for i in left]), strict=True):
                best[i] = min(best[i], row, key=lambda r: r.get("risk", float("inf")))
    return best


def architectures_summary(rows: Sequence[Row]) -> str:
    """For reading: of each setting and layer the mean risk over seeds, and the ratio of the two tasks' weights."""
    head = f"{'setting':8}{'layer':16}{'heads':>6}{'risk / d':>10}{'s.e.':>8}{'spread':>8}{'best step':>11}"
    head += f"{'task 2 / 1':>12}{'explained':>11}{'seeds':>7}"

    def line(runs: list[Row]) -> str:
        risk, stderr = mean_risk(runs)
        risks = torch.tensor([row["risk"] for row in runs])
        spread = (risks.std() if len(runs) > 1 else risks[0] * 0).item()
        omegas = [torch.tensor(row["effective"][0]["omega"]) for row in runs]
        ratio = sum((w[N:].sum() / w[:N].sum()).item() for w in omegas) / len(runs)
        explained = sum(row["effective"][0]["explained"] for row in runs) / len(runs)
        theory = runs[0]["theory"]
        return f"{risk:10.4f}{stderr:8.4f}{spread:8.4f}{theory:11.4f}{ratio:12.2f}{explained:11.3f}{len(runs):7}"

    return summarised(rows, head, ("setting", "layer", "heads"), "{:8}{:16}{:6}", line)

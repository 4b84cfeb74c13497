"""A file as users write them, with every public name in it: checkers of types find nothing wrong here."""

from dataclasses import dataclass
from typing import Any, assert_type

import numpy as np
import torch
from torch import Tensor

import glalib
from glalib import (
    GLA,
    WPGD,
    BestDeltaRule,
    DeltaRule,
    InContext,
    Layout,
    PromptDistribution,
    Prompts,
    Uniqueness,
    check,
    compare,
    delta_rule_risk,
    effective_weights,
    gated_delta_rule,
    gla,
    gla_readout,
    optimal_delta_rule,
    optimal_wpgd,
    population_risk,
    simulate_risk,
    stationary_points,
    uniqueness,
    wpgd_step,
)
from glalib.architectures import zoo
from glalib.architectures.catalogue import LAYERS, Layer
from glalib.architectures.forms import gated_deltanet, mamba2, mlstm, retnet, rwkv7, s4d
from glalib.architectures.recurrence import general_rule
from glalib.baselines import bayes, bayes_risk, least_squares, ridge
from glalib.comparison.result import Compared, Comparison
from glalib.delta.blocks import best_two_blocks, block, two_block_gain
from glalib.drift import drifting, right_decay
from glalib.exercises import Verdict
from glalib.gates import gates_to_weights, signed_weights_to_gates, weights_to_gates
from glalib.probe import EffectiveWeights
from glalib.reproduce import architectures, figure1, sweep, train_cell, train_point
from glalib.risk import h1, h2, slope
from glalib.simulate import Estimate
from glalib.token_free import token_free_losses
from glalib.training import Recipe, fit, orthogonal_start

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

dist = PromptDistribution(d=3, counts=[4, 5], r=(0.2, 0.8), R=np.eye(2), sigma=0.5, Sx=[1.0, 2.0, 3.0], C=None)
assert_type(dist.replace(sigma=1.0), PromptDistribution)
prompts = dist.sample(4, torch.Generator().manual_seed(0), queries=2, dtype=torch.float64)
assert_type(prompts, Prompts)
assert_type(prompts[0], Prompts)
assert_type(prompts.to(torch.float32), Prompts)

best = optimal_wpgd(dist)
assert_type(best, WPGD)
assert_type(best(prompts), Tensor)
assert_type(drifting(0.9, 20, d=3, sigma=0.1), PromptDistribution)
assert_type(float(right_decay(0.9, np.array([2.0, 11.0])).max()), float)
assert_type(optimal_wpgd(dist, "constant-gate").gate, float | None)
assert_type(optimal_wpgd(dist, np.ones(2)).risk, float)
assert_type(stationary_points(dist), list[WPGD])
assert_type(uniqueness(dist), Uniqueness)
assert_type(uniqueness(dist).holds_sharp, bool)
assert_type(population_risk(dist, best.P, best.omega), float)
erasing = optimal_delta_rule(dist, per="task", decay=False)
assert_type(erasing, BestDeltaRule)
assert_type(delta_rule_risk(dist, erasing.beta, alpha=[1.0, 0.9], scale=None, normalised=True), float)
assert_type(float(two_block_gain((0.2, 0.8), best_two_blocks((0.2, 0.8), (5, 5), d=3)[1:], (5, 5), d=3)), float)
assert_type(float(block(0.1, 5, d=3, noise=0.5)[0]), float)
curve = h1(dist, h2(dist, np.linspace(1, 2, 5)))
assert_type(slope(dist, best.gamma), float)

tokens = Layout(delimiters=True, context=True)
Z = tokens(prompts)
assert_type(Z, Tensor)
gates = weights_to_gates(tokens.weights(dist, best.omega / best.omega.max()))
assert_type(weights_to_gates(torch.ones(3)), Tensor)
assert_type(gates_to_weights(torch.ones(3)), Tensor)
signed, scale = signed_weights_to_gates(np.ones(3))

model = GLA(tokens.width(dist), gate="key", context_width=5, dtype=torch.float64)
assert_type(model.forward(Z, queries=2), Tensor)  # torch says nothing of model(...)
layer = GLA.from_wpgd(best, dist, gate="value", tokens=tokens)
assert_type(layer, GLA)
assert_type(GLA.from_matrices(best.P, np.eye(3), gates=None), GLA)
q = k = torch.ones(5, 3)
v = torch.ones(5, 2)
assert_type(gla(q, k, v, torch.ones(5), gate="scalar", form="chunked"), Tensor)
o, S = gla(q, k, v, initial_state=torch.zeros(2, 3), output_final_state=True)
assert_type(S, Tensor)
assert_type(gla_readout(q[-1], k, v), Tensor)
assert_type(gated_delta_rule(q, k, v, torch.ones(5), torch.ones(5), form="chunked", chunk=2), Tensor)
o, S = gated_delta_rule(q, k, v, torch.ones(5), initial_state=S, output_final_state=True)
assert_type(general_rule(q, k, v, decay=torch.ones(5, 3), a=k, b=k), Tensor)
o, S = general_rule(q, k, v, torch.ones(5, 3), k, k, initial_state=S, output_final_state=True)
heads, row = torch.ones(1, 5, 2, 3), torch.ones(1, 5, 2)
assert_type(retnet(heads, heads, heads, decay=torch.ones(2), scale=1.0), Tensor)
assert_type(mamba2(heads, row, -torch.ones(2), heads, heads, D=None), Tensor)
assert_type(gated_deltanet(heads, heads, heads, beta=row, log_g=-row), Tensor)
assert_type(rwkv7(heads, -heads, heads, heads, kk=heads, a=heads), Tensor)
assert_type(mlstm(heads, heads, heads, heads[..., 0], heads[..., 0], exponential=True), Tensor)
assert_type(s4d(heads[..., 0], torch.ones(5), -k, k, torch.ones(5, 3, 2), D=None), Tensor)
assert_type(LAYERS[0], Layer)
assert_type(LAYERS[0].may_fall, bool)
erases = DeltaRule(tokens.width(dist), beta="context", alpha=0.9, context_width=5, max_beta=2, normalised=True)
assert_type(erases.forward(Z.float(), queries=2), Tensor)
assert_type(DeltaRule.from_steps(erasing, dist, tokens), DeltaRule)
assert_type(orthogonal_start(erases), DeltaRule)
assert_type(wpgd_step(prompts.x, prompts.y, prompts.x_query, best.P, dist.expand(best.omega)), Tensor)

estimate = simulate_risk(model, dist, draws=100, queries=2, tokens=tokens, against=best)
assert_type(estimate, Estimate)
inside = effective_weights(model, dist, draws=100, tokens=tokens, by="autograd")
assert_type(inside.scaled_to(dist.expand(best.omega)), EffectiveWeights)
for predictor in (least_squares, ridge(1.0), bayes(dist), best, (best.P, best.omega)):
    simulate_risk(predictor, dist, 100)
assert_type(bayes_risk(dist, draws=100), Estimate)


@dataclass
class Record:
    x: Tensor
    y: Tensor
    x_query: Tensor
    y_query: Tensor


class Own:
    def sample(
        self, batch: int, generator: torch.Generator | None = None, queries: int = 1, dtype: torch.dtype | None = None
    ) -> Record:
        p = dist.sample(batch, generator, queries, dtype)
        return Record(p.x, p.y, p.x_query, p.y_query)


class Decay(torch.nn.Module):
    name, acts_on = "fixed decay", "scalar"

    def forward(self, Z: Tensor) -> Tensor:
        return Z.new_full(Z.shape[:-1], 0.9)


assert_type(Layout()(Own().sample(3)), Tensor)
fit(GLA(4, Decay()), Own(), Recipe(steps=2, batch=8))
assert_type(simulate_risk(least_squares, Own(), draws=100).to_dict(), dict[str, Any])

own = InContext(torch.nn.Identity(), tokens=tokens.width(dist), width=8, layers=2, dtype=torch.float64)
assert_type(own.forward(Z, queries=2), Tensor)
beside = compare({"own": own, "best": best}, dist, tokens, draws=200, optima=["best weights", "Bayes"], weights=False)
assert_type(beside, Comparison)
assert_type(beside.layers["own"], Compared)
beside.plot()

assert_type(check("ex-ten-read", (0.25, 0.5, 0.5, 1, 1)), Verdict)
assert_type(check("ex-ten-read", "1/4, 1/2, 1/2, 1, 1").right, bool)

mixer = zoo.layer("mamba2", width=16, heads=2, seed=1)
assert_type(mixer, zoo.Layer)
assert_type(mixer.declared(torch.ones(1, 5, 16)), zoo.Declared)
assert_type(mixer.declared(torch.ones(1, 5, 16)).weights(), Tensor)

history = fit(orthogonal_start(model), dist, Recipe(steps=10, lr=0.01), tokens=tokens, checkpoint=None)
losses = token_free_losses(model, dist, 8, tokens=tokens)
rows = sweep(train_cell, [{"model": "gla", "d": 3, "n": 8, "seed": 0}], jobs=1, backend="sequential")
few = {"steps": 10}
rows += [*figure1("d", [8], seeds=1, jobs=1, recipe=few), train_point("gla", "b", 8, 0, recipe=few)]
rows += architectures(seeds=1, layers=["gla"], settings=["last", "named"], parts=False, recipe=few)
print(glalib.__version__, curve, gates, scale, signed, o, history, losses, rows)

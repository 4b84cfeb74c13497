"""Gated linear attention as weighted preconditioned gradient descent.

The rooms, in the order in which data flows through them. Those with a stroke are packages, whose own lists stand at the
head of their `__init__`.

The core: the multitask sampler, the risk formulas, the model. It imports nothing of what comes after it, and can be
read in an evening.

    prompts     a batch of prompts, and `Sampler`: what a distribution of one's own must do
    spectra     eigenvalues that keep what is exactly given; refuses an R, r, Sx or C that cannot be
    distribution    Definitions 1 and 2: the distribution of multitask prompts (counts, r, R, Sx, C, sigma), its sampler
    layout      from prompts to tokens: delimiters, context
    risk        the exact risk, the record WPGD, and the two half-problems of Theorem 2: best P, best weights
    conditions  when the minimiser is unique (Theorem 3, and this book's)
    fixed_points    all fixed points of a function that does not decrease: how `optima` finds stationary points
    constant_gate   the best constant gate, by branch and bound: how `optima` finds it
    optima      stationary points and the best of each class of weights (Theorems 2 to 4, Corollaries 1 to 3)
    wpgd        one step of weighted preconditioned gradient descent, taken on prompts
    gates       numbers of gates: from weights to gates and back; refuses weights that no gate reaches
    attention   `gla`, the gated recurrence, and its equal forms
    own_gate    `TokenGate`: a gate of another formula, as a torch module; it is called and checked here
    layer       one layer: its built-in gate, a sigmoid, and how gates are applied; what it writes, what is read of it
    model       `GLA`: layers one after another, and the construction of Eq. (9)
    _check      the words of every complaint, and the checks that several rooms share
    _records    how records become plain values and tables

More theory
    baselines   least squares, ridge, and the Bayes predictor with its risk
    drift       prompts whose task drifts, and the decay that suits long ones, by a formula (exact: `constant_gate`)
    label_energy    what labels tell of a task's size, and what gates that read them gain
    delta/      the delta rule, which erases before it writes: exact risk, best steps, recurrence, module

More layers
    in_context  `InContext`: embedding and read-out around any torch layer, so that it can be trained on prompts
    architectures/  RetNet, Mamba, RWKV and other layers in use: their recurrences, a catalogue, and whole ones (`zoo`)

What a model does
    simulate    Monte Carlo: the twin of every closed form
    token_free  exact draws of a layer's error without drawing tokens
    probe       `effective_weights`: the weighted step that a model's predictions are nearest to
    comparison/ `compare`: layers of any make, and the optima of theory, on the same prompts
    training/   `fit`: a model, a distribution and a `Recipe`; many copies at once; checkpoints
    reproduce/  the experiments of the book, trained again: the authors' table and Figure 1, and what came after them

Around it
    exercises/  `check`: the exercises of the book grade an answer
    plotting    one style for all figures, and their data as files
    cli         the options of `glalib`, and what `risk` prints; `reproduce` goes on in `reproduce/command`
    files       writing a file whole or not at all
    progress    how far a run is, said to whoever started it

Importing `glalib` and using its closed forms does not import torch: the names that need it load on first use.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import _check
from .conditions import Uniqueness, uniqueness
from .delta.risk import BestDeltaRule, delta_rule_risk, optimal_delta_rule
from .distribution import PromptDistribution
from .exercises import check
from .layout import Layout
from .optima import optimal_wpgd, stationary_points
from .prompts import Prompts
from .risk import WPGD, population_risk
from .wpgd import wpgd_step

if TYPE_CHECKING:  # so that a checker of types knows the options of what loads on first use
    from .attention import gla, gla_readout
    from .comparison.side_by_side import compare
    from .delta.attention import gated_delta_rule
    from .delta.model import DeltaRule
    from .in_context import InContext
    from .model import GLA
    from .probe import effective_weights
    from .simulate import simulate_risk

__version__ = "0.1.0"

_NEED_TORCH = {
    "DeltaRule": "delta.model",
    "GLA": "model",
    "InContext": "in_context",
    "compare": "comparison.side_by_side",
    "effective_weights": "probe",
    "gated_delta_rule": "delta.attention",
    "gla": "attention",
    "gla_readout": "attention",
    "simulate_risk": "simulate",
}

__all__ = [
    "GLA",
    "WPGD",
    "BestDeltaRule",
    "DeltaRule",
    "InContext",
    "Layout",
    "PromptDistribution",
    "Prompts",
    "Uniqueness",
    "check",
    "compare",
    "delta_rule_risk",
    "effective_weights",
    "gated_delta_rule",
    "gla",
    "gla_readout",
    "optimal_delta_rule",
    "optimal_wpgd",
    "population_risk",
    "simulate_risk",
    "stationary_points",
    "uniqueness",
    "wpgd_step",
]
if not find_spec("torch"):  # so that `from glalib import *` works without it
    __all__ = [name for name in __all__ if name not in _NEED_TORCH]


def __getattr__(name: str) -> object:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _check.torch_for(f"{__name__}.{name}")
    return getattr(import_module(f".{_NEED_TORCH[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))

"""Gated linear attention as weighted preconditioned gradient descent.

The rooms, in the order in which data flows through them:

    prompts     a batch of prompts, and `Sampler`: what a distribution of one's own must do
    spectra     eigenvalues that keep what is exactly given
    distribution    Definitions 1 and 2: the distribution of multitask prompts, and its sampler
    layout      from prompts to tokens: delimiters, context
    risk        the exact risk, the record WPGD, and the two half-problems of Theorem 2
    conditions  when the minimiser is unique (Theorem 3, and this book's)
    fixed_points    all of them, of a function that does not decrease
    constant_gate   the best constant gate, by branch and bound
    drift       prompts whose task drifts, and the decay that suits them
    optima      stationary points and the best of each class of weights (Theorems 2 to 4, Corollaries 1 to 3)
    delta_law   how far the steps of the delta rule lead, for keys that are features or of length one
    delta_steps     the search for the best steps
    delta_blocks    two tasks and one step each: risk and best steps by formulas
    delta_rule  the exact risk of the delta rule, and its best steps
    label_energy    what labels tell of a task's size, and what that gains
    wpgd        one step of weighted preconditioned gradient descent, taken on prompts
    gates       from weights to gate values and back; a layer makes its gates, by a sigmoid, in `layer`
    attention   the gated recurrence and its equal forms
    delta_attention     the recurrence of the gated delta rule, token by token and in chunks
    general_rule    a diagonal less a matrix of rank one: the recurrence that holds the others, token by token
    architectures   RetNet, Mamba, RWKV and other layers in use, each from its own tensors
    catalogue   the same layers as data: how each forgets, writes and erases, and what of the book speaks of it
    own_gate    a gate of one's own, a torch module
    layer       one layer: its weights and gates, what it writes and what is read of it
    model       the recurrence as a module, and the construction of Eq. (9)
    delta_model     the gated delta rule as a module
    baselines   least squares, ridge, and the Bayes predictor with its risk
    simulate    Monte Carlo: the twin of every closed form
    probe       inside a model: `effective_weights`, the weighted step that its predictions are nearest to
    in_context  a predictor on prompts from any layer that maps a sequence of vectors to one
    readers     layers of any make as callables from prompts to predictions
    side_by_side    `compare`: layers of any make, and the optima of theory, on the same prompts
    comparison  what `compare` finds, as a table and a picture
    token_free  exact draws of a layer's error without drawing tokens
    objective   what a step of training makes small
    training    `fit`: a model, a distribution and a `Recipe`; Adam and its rates, which `many` uses too
    many        many copies of a small model trained together
    zoo         layers of real architectures, from the extra `zoo`, with the gates that they declare
    checkpoint  a run that can be written down and gone on with
    fingerprints    short names for numbers and for the code of this package
    files       writing a file whole or not at all; progress says how far a run is
    reproduce   the authors' table and Figure 1, trained again: many runs at a time, kept as they end (sweep), and how
                each number was made (provenance)
    exercises   `check`: the exercises of the book grade an answer; verdicts says what is wrong with it
    plotting    one style for all figures, and their data as files
    cli         the options of `glalib`, and what `risk` prints; `reproduce` goes on in `reproduce/command`
    _check      the words of every complaint, and the checks that several rooms share
    _forms      what layers in use share: shapes, heads, normalisers
    _records    how records become plain values and tables

Importing `glalib` and using its closed forms does not import torch: the names that need it load on first use.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import _check
from .conditions import Uniqueness, uniqueness
from .delta_rule import BestDeltaRule, delta_rule_risk, optimal_delta_rule
from .distribution import PromptDistribution
from .exercises import check
from .layout import Layout
from .optima import optimal_wpgd, stationary_points
from .prompts import Prompts
from .risk import WPGD, population_risk
from .wpgd import wpgd_step

if TYPE_CHECKING:  # so that a checker of types knows the options of what loads on first use
    from .attention import gla, gla_readout
    from .delta_attention import gated_delta_rule
    from .delta_model import DeltaRule
    from .in_context import InContext
    from .model import GLA
    from .probe import effective_weights
    from .side_by_side import compare
    from .simulate import simulate_risk

__version__ = "0.1.0"

_NEED_TORCH = {
    "DeltaRule": "delta_model",
    "GLA": "model",
    "InContext": "in_context",
    "compare": "side_by_side",
    "effective_weights": "probe",
    "gated_delta_rule": "delta_attention",
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

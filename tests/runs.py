"""Small runs, which the tests of training, of sweeps and of the command line share."""

import contextlib

import torch

from glalib import GLA, PromptDistribution
from glalib.cli import main
from glalib.layout import DELIMITED
from glalib.training import Recipe, fit

DIST = PromptDistribution(3, (6, 6), (0.2, 0.8))
SHORT = {"steps": 40, "batch": 16, "queries": 4, "every": 7, "tokens": DELIMITED}


def train(model, dist, **options):
    """`fit`, with the numbers of its recipe among the options."""
    recipe = Recipe(**{name: options.pop(name) for name in Recipe.__dataclass_fields__ if name in options})
    return fit(model, dist, recipe, **options)


def new_model(seed=0, gate="scalar", **options):
    return GLA(
        DIST.d + 6, gate, context_width=5, scale=1 / DIST.n, generator=torch.Generator().manual_seed(seed), **options
    )


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@contextlib.contextmanager
def one_thread():
    """As in a process of a sweep: another number of threads sums in another order, which rounds otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def status_of(words):
    """The exit status of the command `glalib` with these words."""
    try:
        return main(words)
    except SystemExit as stop:  # argparse's own
        return stop.code

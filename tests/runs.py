"""Small runs, which the tests of training, of sweeps and of the command line share."""

import contextlib
import json

import torch

from glalib import GLA, PromptDistribution
from glalib.cli import main
from glalib.layout import DELIMITED
from glalib.training import Recipe, fit
from glalib.training.checkpoint import Run

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


def goes_on_where_it_stopped(words, file, folder, runs, monkeypatch, capsys):
    """Assert that a command of so many runs, interrupted after its first, says so, and when given again goes on."""
    save = Run.save

    def save_and_stop(run, path):
        save(run, path)
        if list(folder.glob("*.json")):  # one run is finished
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", save_and_stop)
        assert status_of(words) == 130
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert not file.exists() and len(kept) == 1 and len(list(folder.glob("*.npz"))) == 1
    assert "interrupted; the same command goes on where it stopped" in capsys.readouterr().err
    assert status_of(words) == 0 and len(json.loads(file.read_text())) == runs
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert len(list(folder.iterdir())) == runs  # results alone

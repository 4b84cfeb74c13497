"""Eight copies trained together beside eight runs one by one: ratios, measured side by side in one run.

    python benchmarks/many.py             one thread, one process: some minutes
    python benchmarks/many.py --quick     small sizes, few rounds: to see that it runs, not to measure

A row is the seconds of eight runs of `fit` over those of one of `fit_many`, the median of the ratios of all turns, with
the least and the largest. A sweep over as many processes as there are idle cores divides the former by their number, so
`fit_many` in one process beats it where the ratio is larger than that. Before any are timed, the weights of both are
held together, in float64.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from speed import one_thread, row, seconds

from glalib import PromptDistribution, reproduce
from glalib.layout import DELIMITED
from glalib.training import Recipe, fit, fit_many

COPIES = 8


def compared(dist, recipe, rounds):
    """Seconds in every round, of both; they take turns, each from fresh models."""
    seeds = range(COPIES)
    times = {"one_by_one": [], "together": []}
    for turn in range(rounds + 1):
        dtype = torch.float32 if turn else torch.float64  # first held together, then timed
        apart, beside = ([reproduce.start(dist, "gla", seed).to(dtype) for seed in seeds] for _ in range(2))
        took = {
            "one_by_one": seconds(
                lambda models=apart: [
                    fit(model, dist, recipe.replace(seed=seed), tokens=DELIMITED)
                    for model, seed in zip(models, seeds, strict=True)
                ]
            ),
            "together": seconds(lambda models=beside: fit_many(models, dist, recipe, seeds, tokens=DELIMITED)),
        }
        if turn:
            for name in times:
                times[name].append(took[name])
            continue
        for a, b in zip(apart, beside, strict=True):
            for p, q in zip(a.parameters(), b.parameters(), strict=True):
                torch.testing.assert_close(p, q, rtol=0, atol=1e-7)  # Adam enlarges the rounding of small gradients
    return times


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    quick = parser.parse_args(arguments).quick
    one_thread()
    out = []
    for token_free, batches in ((False, (16, 64, 256)), (True, (16, 128, 512))):
        for batch in (4,) if quick else batches:
            for d, n in ((3, 8),) if quick else ((5, 40), (5, 100), (10, 40), (10, 100)):
                dist = PromptDistribution(d, (n // 2, n // 2), (0.2, 0.8))
                recipe = Recipe(steps=2 if quick else 10, batch=batch, token_free=token_free)
                times = compared(dist, recipe, 1 if quick else 5)
                out.append(row(times, "one_by_one", "together", d=d, n=n, batch=batch, token_free=token_free))
    return out


if __name__ == "__main__":
    main()

"""Records of results are plain values: for JSON, for a table of many, and as a small table in a notebook."""

import json

import numpy as np
import pytest
import torch

from glalib import (
    PromptDistribution,
    compare,
    effective_weights,
    optimal_delta_rule,
    optimal_wpgd,
    simulate_risk,
    uniqueness,
)
from glalib.baselines import bayes_risk

DIST = PromptDistribution(2, (3, 3), (0.2, 0.8), sigma=0.5)
BEST = optimal_wpgd(DIST)


def gen():
    return torch.Generator().manual_seed(0)


def compared():
    return compare(BEST, DIST, draws=1000, generator=gen())


RECORDS = {
    "WPGD": lambda: BEST,
    "Uniqueness": lambda: uniqueness(DIST),
    "BestDeltaRule": lambda: optimal_delta_rule(DIST),
    "Estimate": lambda: simulate_risk(BEST, DIST, 100, generator=gen()),
    "EffectiveWeights": lambda: effective_weights(lambda p: BEST(p), DIST, 100, generator=gen()),
    "Comparison": compared,
    "Compared": lambda: compared().layers["layer"],
    "Optimum": lambda: compared().optima["Bayes"],
    "Bayes": lambda: bayes_risk(DIST, 50, generator=gen()),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_json_and_a_table(name):
    record = RECORDS[name]()
    kept = record.to_dict()
    assert json.loads(json.dumps(kept)) == kept and len(kept) > 2
    html = record._repr_html_()
    assert html.startswith("<table>") and html.endswith("</table>") and html.count("<tr>") >= 3
    assert np.array_repr(BEST.P) not in html


def test_a_table_shows_numbers_shapes_and_no_markup():
    kept = uniqueness(DIST)
    html = kept._repr_html_()
    assert "<caption>Uniqueness</caption>" in html and "<tr><th>holds_sharp</th><td>True</td></tr>" in html
    assert f"<tr><th>bound_sharp</th><td>{kept.bound_sharp:.6g}</td></tr>" in html
    probed = RECORDS["EffectiveWeights"]()
    assert "<tr><th>P</th><td>shape (2, 2)</td></tr>" in probed._repr_html_()
    assert "&lt;none&gt;" in type(kept)(*["<none>"] * 8)._repr_html_()

"""Layers beside the optima: `InContext` and `compare`."""

import json
import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from glalib import (
    GLA,
    InContext,
    Layout,
    PromptDistribution,
    Prompts,
    compare,
    optimal_wpgd,
    population_risk,
    simulate_risk,
)
from glalib.baselines import bayes, least_squares
from glalib.comparison.result import Optimum
from glalib.comparison.side_by_side import MOST_AT_ONCE, OPTIMA, _Risks
from glalib.layout import DELIMITED
from glalib.training import Recipe, fit

F64 = torch.float64
DIST = PromptDistribution(2, (4, 5), (0.8, 0.2))
NOISY = PromptDistribution(
    2, (3, 4), (0.3, 0.7), R=[[1, 0.4], [0.4, 1]], sigma=0.6, Sx=[[1, 0.3], [0.3, 2]], C=[1, 0.5]
)
BEST, LINEAR = optimal_wpgd(DIST), optimal_wpgd(DIST, "uniform")
# A thousand products of float64 numbers, and a least-squares problem in six unknowns.
ROUNDING = 1e-9
FAULTY = np.array([0, 0, 1, 1, 0.25, 0.25, 0.25, 0.25, 0.25])  # the best weights but for two
SLIGHT = np.array([0.8, 1, 1, 1, 0.25, 0.25, 0.25, 0.25, 0.25])


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


class Attention(nn.Module):
    """Linear attention (B, T, D) -> (B, T, D), without a mask: every token reads all."""

    def forward(self, h):
        return h @ h.mT @ h / h.shape[1]


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, Z):
        return self.make(Z)


class Sampler:
    """The prompts of DIST as those of a sampler that says nothing of blocks."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def sample(self, batch, generator=None, queries=1, dtype=None):
        p = DIST.sample(batch, generator, queries, dtype)
        return Prompts(p.x, self.scale * p.y, p.x_query, self.scale * p.y_query, p.beta, p.beta_query)

    def __repr__(self):
        return "Sampler()"


# One module from any layer.


def test_a_layer_in_context_is_read_at_the_query():
    model = InContext(Attention(), tokens=3, width=4, generator=gen(), dtype=F64)
    Z = torch.randn(5, 7, 3, generator=gen(), dtype=F64)
    h = Z @ model.W_in
    expected = torch.einsum("btd,bd,bte,e->b", h, h[:, -1], h, model.w_out) / 7
    torch.testing.assert_close(model(Z), expected[:, None], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model(Z[0]), model(Z)[0], rtol=1e-12, atol=1e-12)


def test_layers_write_into_a_stream():
    model = InContext(Attention(), tokens=3, width=4, layers=2, generator=gen(), dtype=F64)
    Z = torch.randn(5, 7, 3, generator=gen(), dtype=F64)
    h = Z @ model.W_in
    first = Attention()(h)
    second = Attention()(h + first)
    torch.testing.assert_close(model(Z)[:, 0], (first + second)[:, -1] @ model.w_out, rtol=1e-12, atol=1e-12)


def test_queries_do_not_see_each_other():
    """As in `GLA`: each is the last token of a prompt of its own, although this layer has no mask."""
    model = InContext(Attention(), tokens=3, width=4, generator=gen(), dtype=F64)
    p = DIST.sample(6, gen(), queries=3, dtype=F64)
    Z = Layout()(p)
    together = model(Z, queries=3)
    assert together.shape == (6, 3)
    for q in range(3):
        alone = model(torch.cat([Z[:, :9], Z[:, 9 + q : 10 + q]], 1))
        torch.testing.assert_close(together[:, q : q + 1], alone, rtol=1e-12, atol=1e-12)


def test_copies_have_weights_of_their_own_and_a_start_that_can_be_repeated():
    linear = nn.Linear(4, 4)
    model, again = (InContext(linear, 3, 4, layers=2, generator=gen(3)) for _ in range(2))
    assert torch.equal(model.W_in, again.W_in) and torch.equal(model.w_out, again.w_out)
    with torch.no_grad():
        model.mixers[0].weight.zero_()
    assert linear.weight.any() and model.mixers[1].weight.any()
    assert len(list(model.parameters())) == 6
    assert InContext(linear.double(), 3, 4).W_in.dtype == F64


def test_the_read_out_can_start_along_the_label():
    model = InContext(Attention(), 3, 4, label=2, generator=gen(), dtype=F64)
    with torch.no_grad():
        assert model.w_out.norm().item() == pytest.approx(1)
        torch.testing.assert_close(model.w_out * model.W_in[2].norm(), model.W_in[2], rtol=1e-12, atol=0)


def test_a_layer_in_context_is_trained_and_simulated():
    model = InContext(Attention(), tokens=3, width=4, generator=gen())
    before = simulate_risk(model, DIST, 1000, generator=gen(1), dtype=torch.float32).risk
    fit(model, DIST, Recipe(steps=40, batch=64, queries=2, lr=0.03))
    after = simulate_risk(model, DIST, 1000, queries=2, generator=gen(1), dtype=torch.float32).risk
    assert after < min(before, 0.95 * DIST.M)


@pytest.mark.parametrize(
    "make, error, said",
    [
        (lambda h: (h, None), TypeError, "what the mixer returns must be its tensor alone.*got a tuple of 2"),
        (lambda h: None, TypeError, "what the mixer returns must be a torch tensor; got NoneType"),
        (lambda h: h[..., :1], ValueError, r"what the mixer returns must be of shape \(2, 10, 4\).*\(2, 10, 1\)"),
        (lambda h: h[:, -1], ValueError, r"what the mixer returns must be of shape \(2, 10, 4\).*\(2, 4\)"),
        (lambda h: h.long(), TypeError, "what the mixer returns must be a floating-point tensor"),
    ],
)
def test_what_a_mixer_must_return(make, error, said):
    model = InContext(Returns(make), tokens=3, width=4)
    with pytest.raises(error, match=said):
        model(torch.zeros(2, 10, 3))


@pytest.mark.parametrize(
    "made, error, said",
    [
        (lambda: InContext(lambda h: h, 3, 4), TypeError, "mixer must be a torch module; got function"),
        (lambda: InContext(Attention(), 0, 4), ValueError, "tokens must be a positive integer; got 0"),
        (lambda: InContext(Attention(), 3, 2.5), TypeError, "width must be a positive integer"),
        (lambda: InContext(Attention(), 3, 4, layers=0), ValueError, "layers must be a positive integer"),
        (lambda: InContext(Attention(), 3, 4, generator=0), TypeError, "generator must be"),
        (lambda: InContext(Attention(), 3, 4, label=3), ValueError, "label must be a column of the tokens, below 3"),
        (lambda: InContext(Attention(), 3, 4, label=-1), ValueError, "label must be an integer >= 0 or None"),
        (lambda: InContext(Attention(), 3, 4, dtype=int), TypeError, "dtype must be"),
        (lambda: InContext(Attention(), 3, 4)(torch.zeros(2, 9, 4)), ValueError, r"Z must be of shape .* 3\)"),
        (lambda: InContext(Attention(), 3, 4)(torch.zeros(2, 2, 3), queries=2), ValueError, "n >= 1"),
        (lambda: InContext(Attention(), 3, 4)(torch.zeros(2, 9, 3, dtype=F64)), ValueError, "dtype and device"),
    ],
)
def test_bad_arguments_of_a_layer_in_context_are_named(made, error, said):
    with pytest.raises(error, match=said):
        made()


# Side by side.


@pytest.fixture(scope="module")
def known():
    """Layers whose place is known: the optima themselves, one built of gates, and one with a planted fault."""
    layers = {
        "z best": BEST,
        "built": GLA.from_wpgd(optimal_wpgd(DIST, "monotone"), DIST),
        "a fault": (BEST.P, FAULTY),
        "bayes": bayes(DIST),
    }
    return compare(layers, DIST, draws=1500, generator=gen())


def test_an_optimum_has_no_gap_to_itself(known):
    for name, optimum in (("z best", "best weights"), ("built", "scalar gate"), ("bayes", "Bayes")):
        layer, exact = known.layers[name], known.optima[optimum]
        assert abs(layer.gaps[optimum][0]) < ROUNDING and layer.gaps[optimum][1] < ROUNDING
        assert abs(layer.risk - exact.risk) < ROUNDING and layer.stderr < ROUNDING
    for other, (gap, _) in known.layers["z best"].gaps.items():
        assert abs(gap - (BEST.risk - known.optima[other].risk)) < ROUNDING


def test_the_weights_of_an_optimum_are_its_own(known):
    layer = known.layers["z best"]
    assert layer.nearest == "best weights" and layer.distances["best weights"] < ROUNDING and layer.noise < ROUNDING
    assert np.abs(layer.weights.omega - DIST.expand(BEST.omega)).max() < ROUNDING
    a, b = (np.asarray(w) / np.linalg.norm(w) for w in (DIST.expand(BEST.omega), np.ones(9)))
    assert layer.distances["linear attention"] == pytest.approx(np.linalg.norm(a - b), rel=1e-9)
    assert known.layers["built"].distances["scalar gate"] < ROUNDING


def test_the_sign_of_weights_is_free():
    """Weights of one and a P of negative trace are the step of weights of minus one and P of positive trace."""
    dist = DIST.replace(r=-DIST.r)
    found = compare(optimal_wpgd(dist, "uniform"), dist, draws=1000, generator=gen()).layers["layer"]
    assert found.distances["linear attention"] < ROUNDING and found.nearest == "linear attention"
    assert np.abs(found.weights.omega - 1).max() < ROUNDING and np.trace(found.weights.P) < 0


def test_a_planted_fault_is_seen(known):
    """Two examples without weight: the exact gap is seen, to its standard error, and the weights point to them."""
    gap, stderr = known.layers["a fault"].gaps["best weights"]
    exact = population_risk(DIST, BEST.P, FAULTY) - BEST.risk
    assert abs(gap - exact) < 4.5 * stderr and exact > 5 * stderr
    weights = known.layers["a fault"].weights
    assert np.abs(weights.omega[:2]).max() < ROUNDING < 0.5 < np.abs(weights.omega[2:4]).min()
    assert known.layers["a fault"].distances["best weights"] > 0.5


def test_paired_errors_are_smaller(known):
    """Of a difference, than those of the risks that it is the difference of; and the corrected risk's."""
    layer = {"a fault": (BEST.P, FAULTY), "slight": (BEST.P, SLIGHT)}
    seen = compare(layer, Sampler(), twin=DIST, draws=1500, generator=gen(), weights=False)
    # Seen: a third and a tenth of the unpaired error, and half of the other.
    for name, share in (("a fault", 0.7), ("slight", 0.3)):
        unpaired = np.hypot(seen.layers[name].stderr, seen.optima["best weights"].seen[1])
        assert seen.layers[name].gaps["best weights"][1] < share * unpaired
    assert known.layers["a fault"].stderr < 0.8 * seen.layers["a fault"].stderr
    plain = simulate_risk((BEST.P, FAULTY), DIST, 1500, generator=gen(1))
    assert abs(seen.layers["a fault"].risk - plain.risk) < 4.5 * np.hypot(plain.stderr, seen.layers["a fault"].stderr)


def test_standard_errors_are_honest():
    """Twenty comparisons of least squares: their spread is what each of them says it is."""
    runs = [
        compare(least_squares, NOISY, draws=1000, generator=gen(seed), weights=False).layers["layer"]
        for seed in range(20)
    ]
    for values, errors in (
        ([run.risk for run in runs], [run.stderr for run in runs]),
        ([run.gaps["Bayes"][0] for run in runs], [run.gaps["Bayes"][1] for run in runs]),
    ):
        # Of twenty numbers the spread is known to a sixth; least squares has heavy tails.
        assert 0.5 < np.std(values, ddof=1) / np.mean(errors) < 2


def heavy(draws, rng):
    """Errors (draws, 3) of a layer of risk 0.6 and two optima of risks 1 and 1.5; its rest is wild where theirs are."""
    a, b = rng.normal(size=(2, draws)) ** 2
    return np.stack([0.3 * (a + b) + a * rng.normal(size=draws), a, a + b / 2], 1)


KNOWN = {"one": Optimum(1.0, 0.0), "two": Optimum(1.5, 0.0)}


def test_a_standard_error_is_that_of_the_jackknife():
    """By brute force: the risk, known at luck zero, by a fit to all prompts but one."""
    losses = heavy(40, np.random.default_rng(0))
    A = np.column_stack([np.ones(40), losses[:, 1:] - [1.0, 1.5]])

    def at_zero(kept):
        return np.linalg.lstsq(A[kept], losses[kept, 0], rcond=None)[0][0]

    whole = at_zero(np.arange(40) >= 0)
    moved = [at_zero(np.arange(40) != i) - whole for i in range(40)]
    # Float64 problems of 40 rows and numbers of size one.
    assert _Risks(losses, KNOWN, corrected=True).of(0) == pytest.approx((whole, np.linalg.norm(moved)), rel=1e-9)
    alone, error = _Risks(losses, KNOWN, corrected=False).of(0)
    assert alone == pytest.approx(losses[:, 0].mean()) and error == pytest.approx(
        losses[:, 0].std() / 39**0.5 * (40 / 39) ** 0.5, rel=1e-9
    )


def test_standard_errors_hold_over_thousands_of_comparisons():
    """Few prompts, wild where their luck is. Residuals as fitted would give 1.5, with leverage but no weights 1.3."""
    rng = np.random.default_rng(0)
    found = [_Risks(heavy(40, rng), KNOWN, corrected=True).of(0) for _ in range(4000)]
    # Seen: 1.06, known to a fiftieth.
    assert 0.9 < np.sqrt(np.mean([((value - 0.6) / stderr) ** 2 for value, stderr in found])) < 1.2


def test_optima_without_luck_correct_nothing():
    """Where the Bayes risk is zero, what is seen of it is rounding, of no use as a control."""
    dist = PromptDistribution(2, (5,), (1.0,))
    one, two = (
        compare((np.eye(2) / 5, np.ones(5)), dist, draws=1000, generator=gen(), optima=optima, weights=False)
        for optima in ([], ["Bayes"])
    )
    assert one.layers["layer"].risk == pytest.approx(two.layers["layer"].risk, rel=1e-9)


def leaky(prompts):
    """It knows the label but for a little noise."""
    return prompts.y_query + 0.1 * prompts.x_query[..., 0]


def test_a_layer_below_bayes_is_said_to_be():
    layers = {"<told>": leaky, "bayes": bayes(SMALL), "zero": lambda p: 0 * p.y_query}
    found = compare(layers, SMALL, draws=1000, generator=gen(), weights=False)
    said = "'<told>' is below Bayes, as nothing can be, by more than 5 standard errors: do its tokens tell the query's"
    assert len(found.notes) == 1 and found.notes[0].startswith(said)
    assert repr(found).splitlines()[-1] == found.notes[0] == found.to_dict()["notes"][0]
    assert "&lt;told&gt;" in found._repr_html_() and "below Bayes" in found._repr_html_()
    theirs = compare({"<told>": leaky}, Plain(), twin=SMALL, draws=1000, generator=gen(), weights=False)
    assert theirs.notes[0].endswith("or are these no prompts of the twin?")
    assert not compare(leaky, SMALL, draws=1000, generator=gen(), weights=False, optima=["best weights"]).notes


def test_weights_that_are_none_are_not_shown():
    """A layer that knows its query by no product of labels and features has a nearest step of luck alone."""
    import matplotlib.pyplot as plt

    tiny = PromptDistribution(1, (2, 2), (0.8, 0.2))
    layers = {
        "best": optimal_wpgd(tiny),
        "last": lambda p: p.y[:, -1:],
        "length": lambda p: p.x_query.square().sum(-1),
        "same": lambda p: 0 * p.y_query,
    }
    found = compare(layers, tiny, draws=1000, generator=gen())
    for name in ("last", "length", "same"):
        layer = found.layers[name]
        assert layer.no_weights and not layer.distances and layer.nearest is None
    assert found.layers["best"].no_weights is None and found.layers["best"].distances
    off = [row[2:] for row in found.rows() if row[0].startswith("weights off")]
    assert len(off) == 4 and all(row[0] != "none" and row[1:] == ["none"] * 3 for row in off)
    assert [note.partition(":")[0] for note in found.notes] == [f"no weights of {name!r}" for name in list(layers)[1:]]
    assert found.notes[-1] == "no weights of 'same': its predictions are all the same"
    figure = found.plot()
    assert {"best", "last"} & set(figure.axes[1].get_legend_handles_labels()[1]) == {"best"}
    plt.close(figure)
    json.dumps(found.to_dict())


def test_a_sampler_that_does_not_heed_its_generator_is_named():
    class Careless:
        def sample(self, batch, generator=None, queries=1, dtype=None):
            return SMALL.sample(batch, None, queries, dtype)

    torch.manual_seed(0)
    for dist, notes in ((Careless(), 1), (Plain(), 0), (SMALL, 0)):
        found = compare(least_squares, dist, draws=1000, generator=gen(), weights=False)
        assert found.repeats is (notes == 0) and len(found.notes) == notes
    with warnings.catch_warnings():  # the record says it, also of the prompts of the weights
        warnings.simplefilter("error")
        found = compare(least_squares, Careless(), None, 1000)
    assert "other prompts from the same state of its generator" in repr(found)


def first_column(drawn):
    """Tokens (y, x): the label stands before the features."""
    context = torch.cat([drawn.y[..., None], drawn.x], 2)
    return torch.cat([context, torch.nn.functional.pad(drawn.x_query, (1, 0))], 1)


def test_labels_in_another_column_are_refused_where_it_is_read():
    kind = {"draws": 1000, "weights": False, "optima": []}
    for tokens in (first_column, lambda p: Layout()(p)[..., :-1]):
        with pytest.raises(ValueError, match="what tokens returns must be with the labels in column d = 3, where a"):
            compare(Attention(), SMALL, tokens, **kind)
    # Predictions are read nowhere; and in their column labels may be rounded.
    compare(Returns(lambda Z: Z[:, -2, 0]), SMALL, first_column, **kind)
    compare(Attention(), SMALL, lambda p: Layout()(p).bfloat16().double(), **kind)


def test_layers_are_asked_without_gradients_and_for_few_prompts_at_once():
    sizes = []

    class Asked(nn.Module):
        def forward(self, Z):
            assert not torch.is_grad_enabled()
            sizes.append(len(Z))
            return Z[:, 0, -1] * Z[:, 0, 0] * Z[:, -1, 0]

    compare(Asked(), SMALL, draws=3000, generator=gen(), optima=[])
    assert max(sizes) <= MOST_AT_ONCE < sum(sizes) == 6001  # one is asked for alone


def nowhere(drawn):
    raise ValueError("no tokens")


def careless_record(*arguments):
    p = SMALL.sample(*arguments)
    return type("Own", (), {"x": p.x, "y": p.y, "x_query": p.x_query, "y_query": p.y_query})()


@pytest.mark.parametrize(
    "layers, dist, tokens, note",
    [
        (
            InContext(Attention(), 7, 8),
            None,
            None,
            r"'layer' was called on tokens of shape .* 10, 4\), .*no `tokens` were",
        ),
        (InContext(nn.Linear(16, 16), 4, 8), None, None, r"on h of shape \(1000, 10, 8\): is `width` what it takes"),
        (Attention(), "own", Layout(context=True), "; a record without `counts` has no delimiters or context in a Lay"),
        (Attention(), "own", Layout(delimiters=True), "; a record without `counts` has no delimiters or context"),
        (Attention(), "own", nowhere, r"are made by <function nowhere at \w+>$"),
        (Attention(), None, Layout(context=[[1.0]]), r"are made by Layout\(.*\)$"),
        (bayes(DIST), "own", None, "'layer' is no torch module: it was called on prompts, a Own"),
        ({"a": BEST}, "twin", None, r"layer 'a' is a weighted step, of the n and d of PromptDistribution\(d=3"),
    ],
)
def test_errors_say_where_they_come_from(layers, dist, tokens, note):
    sampler = type("Sampler", (), {"sample": staticmethod(careless_record)})() if dist == "own" else SMALL
    dist, twin = (Plain(), SMALL) if dist == "twin" else (sampler, None)
    with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
        compare(layers, dist, tokens, 1000, twin=twin, weights=False)
    assert re.search(note, " ".join(caught.value.__notes__))


def test_layers_of_tokens_to_tokens_are_read_at_the_label():
    """The label's coordinate at the query, in the layer's own precision."""

    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(()))

        def forward(self, Z):
            assert Z.dtype == self.w.dtype == torch.float32
            out = torch.full_like(Z, torch.nan)
            context, query = Z[:, :-1, :2], Z[:, -1, :2]
            out[:, -1, 2] = torch.einsum("bnd,bd,bn->b", context, query, Z[:, :-1, 2]) * self.w * LINEAR.P[0, 0]
            return out

    found = compare({"tokens": Writes(), "same": LINEAR}, DIST, Layout(context=True), draws=1000, generator=gen())
    # Float32 products of labels of size one.
    assert found.layers["tokens"].risk == pytest.approx(LINEAR.risk, rel=1e-4)
    assert found.layers["tokens"].nearest == "linear attention"


def test_tokens_may_differ_from_layer_to_layer():
    delimited = GLA.from_wpgd(optimal_wpgd(DIST, "monotone"), DIST, tokens=DELIMITED)
    plain = GLA.from_wpgd(optimal_wpgd(DIST, "monotone"), DIST)
    found = compare({"a": delimited, "b": plain}, DIST, {"a": DELIMITED, "b": None}, 1000, gen(), weights=False)
    assert found.layers["a"].risk == pytest.approx(found.layers["b"].risk, rel=1e-9)


def test_the_prompts_do_not_depend_on_what_else_is_asked_for():
    seen = [
        compare({"a": least_squares}, Sampler(), twin=twin, draws=1000, generator=gen(), weights=weights)
        for twin, weights in ((None, False), (DIST, True))
    ]
    assert seen[0].layers["a"].risk == seen[1].layers["a"].risk


def test_a_sampler_without_a_twin_is_only_simulated():
    best = optimal_wpgd(DIST, DIST.expand(BEST.omega))  # per example: it needs no blocks
    found = compare({"best": best, "zero": lambda p: 0 * p.y_query}, Sampler(), None, 1000, gen())
    assert not found.optima and not found.layers["best"].gaps and found.dist == "Sampler()"
    assert found.layers["zero"].risk == pytest.approx(found.zero) and found.layers["zero"].weights is None
    assert found.layers["best"].weights.explained == pytest.approx(1, abs=1e-6) and not found.layers["best"].distances
    assert "none" in repr(found) and "theory" not in repr(found)
    assert [row[0] for row in found.rows()] == ["", "risk", "explained by a weighted step", "off by sampling alone"]


def test_a_twin_supplies_the_theory_and_is_put_to_the_test():
    right = compare(BEST, Sampler(), twin=DIST, draws=4000, generator=gen(), weights=False)
    assert right.layers["layer"].gaps["best weights"] == pytest.approx((0, 0), abs=ROUNDING)
    for optimum in right.optima.values():
        assert abs(optimum.seen[0] - optimum.risk) < 4.5 * optimum.seen[1]
    # Labels a tenth larger are no prompts of the twin, and the column of what is seen says so.
    wrong = compare(BEST, Sampler(1.1), twin=DIST, draws=4000, generator=gen(), weights=False)
    assert wrong.optima["best weights"].seen[0] > BEST.risk + 4 * wrong.optima["best weights"].seen[1]
    assert right.rows()[0] == ["", "theory", "seen", "layer"]


def test_the_table_keeps_the_order_and_the_names(known):
    assert list(known.layers) == known.rows()[0][2:] == ["z best", "built", "a fault", "bayes"]
    assert list(known.optima) == list(OPTIMA)
    lines = repr(known).splitlines()
    assert lines[0].startswith("1500 prompts of PromptDistribution(d=2, n=9") and lines[0].endswith("the risk 2")
    assert {line.split("  ")[0] for line in lines[3:9]} == {f"above {name}" for name in OPTIMA}
    assert f"{BEST.risk:.4f}" in repr(known) and "+0.0000" in repr(known) and "-0.0000" not in repr(known)
    only = compare(BEST, DIST, draws=1000, generator=gen(), optima=["Bayes"], weights=False)
    assert list(only.optima) == ["Bayes"]


def test_html_escapes_names():
    found = compare({"<b>&": BEST}, DIST, draws=1000, generator=gen(), weights=False)
    html = found._repr_html_()
    assert "<b>" not in html and "&lt;b&gt;&amp;" in html and html.count('scope="col"') == 3


def test_the_record_becomes_json(known):
    kept = json.loads(json.dumps(known.to_dict()))
    assert kept["layers"]["z best"]["gaps"]["best weights"][0] == known.layers["z best"].gaps["best weights"][0]
    assert kept["layers"]["built"]["weights"]["draws"] == kept["draws"] == 1500
    assert np.allclose(kept["optima"]["best weights"]["omega"], DIST.expand(BEST.omega))


def test_the_picture_shows_every_risk_and_every_weight(known):
    import matplotlib.pyplot as plt

    from glalib.plotting import shown

    figure = known.plot()
    columns = shown(figure)
    left = {
        series: x
        for panel, series, x in zip(columns["shown_panel"], columns["shown_series"], columns["shown_x"], strict=True)
        if panel == 1 and "error" not in series
    }
    for name, place in known.layers.items():
        assert left[name] == pytest.approx(place.risk / DIST.M)
    assert left["delta rule"] == pytest.approx(known.optima["delta rule"].risk / DIST.M)
    named = list(zip(columns["shown_series"], columns["shown_y"], strict=True))
    assert np.allclose([y for series, y in named if series == "best weights"][-9:], DIST.expand(BEST.omega))
    plt.close(figure)
    alone = compare(least_squares, Sampler(), draws=1000, generator=gen(), weights=False).plot()
    assert len(alone.axes) == 1
    plt.close(alone)


@pytest.mark.parametrize(
    "made, error, said",
    [
        (lambda: compare({}, DIST), ValueError, "layers must be a layer, or a dict with at least one"),
        (lambda: compare({1: BEST}, DIST), TypeError, "each name in layers must be a string; got int"),
        (lambda: compare({"mine": 3}, DIST), TypeError, "layer 'mine' must be a torch module"),
        (lambda: compare((BEST.P, BEST.omega), Sampler()), TypeError, "layer 'layer' must be"),
        (lambda: compare(BEST, 3), TypeError, "dist must be a PromptDistribution or another object with"),
        (lambda: compare(BEST, DIST, draws=999), ValueError, "draws must be at least 1000; got 999"),
        (lambda: compare(BEST, DIST, draws=True), TypeError, "draws must be a positive integer"),
        (lambda: compare(BEST, DIST, generator=0), TypeError, "generator must be"),
        (lambda: compare(BEST, DIST, twin=DIST), ValueError, "twin must be None where dist is a PromptDistribution"),
        (lambda: compare(BEST, Sampler(), twin=3), TypeError, "twin must be a PromptDistribution or None; got int"),
        (lambda: compare(BEST, Sampler(), twin=NOISY), ValueError, "twin must be of the prompts' n = 9, d = 2"),
        (lambda: compare(BEST, DIST, optima="Bayes"), TypeError, "optima must be a list of names; got 'Bayes'"),
        (lambda: compare(BEST, DIST, optima=["bayes"]), ValueError, "each of optima must be one of 'linear attention'"),
        (lambda: compare(Attention(), DIST, tokens=3), TypeError, "tokens must be a Layout.*got int"),
        (lambda: compare({"a": Attention()}, DIST, tokens={}), ValueError, "tokens must be with an entry.*'a'"),
        (lambda: compare(Attention(), DIST, tokens=Layout), TypeError, "tokens must be a Layout.*got type"),
        (lambda: compare(BEST, DIST, Layout()), ValueError, "tokens must be None where no layer is a torch module"),
        (lambda: compare({"a": BEST}, DIST, {"a": Layout()}), ValueError, "tokens of 'a' must be None, as it is no"),
        (lambda: compare({"a": BEST}, DIST, {"b": None}), ValueError, "each name in tokens must be that of a layer"),
        (lambda: compare(BEST, Sampler(), optima=["Bayes"]), ValueError, "optima must be left out where no `twin`"),
        (lambda: compare([Attention(), BEST], DIST), TypeError, "layers must be a dict .*; got a list of 2"),
        (lambda: compare([BEST], DIST), TypeError, "layers must be a dict .*; got a list of 1"),
        (lambda: compare({"a": (BEST, BEST)}, DIST), TypeError, "layer 'a' must be a torch module"),
        (lambda: compare(BEST, DIST, generator=np.random.default_rng(0)), TypeError, "got numpy.random._generator.Gen"),
        (lambda: compare(BEST, DIST, weights=2), ValueError, "weights must be one of"),
        (
            lambda: compare({"mine": Returns(lambda Z: Z[..., :2])}, DIST, draws=1000),
            ValueError,
            r"what layer 'mine' returns must be of the shape of tokens, \(1000, 10, 3\)",
        ),
        (
            lambda: compare({"mine": Returns(lambda Z: (Z, Z))}, DIST, draws=1000),
            TypeError,
            "what layer 'mine' returns must be one tensor.*got tuple",
        ),
        (
            lambda: compare({"mine": Returns(lambda Z: Z[:, -1])}, DIST, draws=1000),
            ValueError,
            r"what layer 'mine' returns must be of shape \(1000, 1\); got shape \(1000, 3\)",
        ),
        (
            lambda: compare({"mine": Returns(lambda Z: torch.nan * Z[:, -1, 0])}, DIST, draws=1000),
            ValueError,
            "what layer 'mine' returns must be finite",
        ),
    ],
)
def test_bad_arguments_are_named(made, error, said):
    with pytest.raises(error, match=said):
        made()


def test_a_layer_is_asked_in_evaluation_mode_and_left_as_it_was():
    """Dropout and running means: the same state of the generator gives the same record, and no buffer moves."""
    inner = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), Swapped(nn.BatchNorm1d(4)))
    inner[0].eval()
    before = {name: value.clone() for name, value in inner.state_dict().items()}
    one, two = (
        compare(inner, SMALL, draws=1000, generator=gen(), weights=False, optima=["linear attention"]) for _ in range(2)
    )
    assert one.layers["layer"].risk == two.layers["layer"].risk
    assert all(torch.equal(value, before[name]) for name, value in inner.state_dict().items())
    assert [part.training for part in inner] == [False, True, True]


class Swapped(nn.Module):
    """BatchNorm1d wants channels before tokens."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, h):
        return self.norm(h.mT).mT


def test_a_layer_that_mixes_the_prompts_of_a_batch_is_refused():
    """torch's recurrent layers take the first axis for tokens, if they are not told otherwise."""
    torch.manual_seed(0)
    right, wrong = (InContext(First(nn.GRU(8, 8, batch_first=first)), 4, 8, generator=gen()) for first in (True, False))
    compare(right, SMALL, draws=1000, generator=gen(), weights=False, optima=[])
    with pytest.raises(ValueError, match=r"the same for a prompt alone as in a batch .*batch_first"):
        compare(wrong, SMALL, draws=1000, generator=gen(), weights=False, optima=[])


class First(nn.Module):
    """The first of what a layer returns."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, h):
        return self.layer(h)[0]


def test_a_callable_that_writes_to_its_prompts_spoils_those_of_no_other():
    def rude(prompts):
        return prompts.y.mul_(3.0)[:, 0]

    kind = {"draws": 1000, "weights": False, "optima": ["best weights"]}
    alone = compare(least_squares, SMALL, generator=gen(), **kind).layers["layer"].risk
    beside = compare({"rude": rude, "kind": least_squares}, SMALL, generator=gen(), **kind).layers["kind"].risk
    assert alone == beside


def test_a_twin_of_other_blocks_and_a_layer_named_as_an_optimum_are_refused():
    class Other:
        def sample(self, *arguments):
            return SMALL.sample(*arguments)

    twin = PromptDistribution(SMALL.d, (SMALL.n - 1, 1), (0.8, 0.2))
    with pytest.raises(ValueError, match=r"twin must be of the prompts' n = .* and counts = "):
        compare(least_squares, Other(), twin=twin, draws=1000)
    with pytest.raises(ValueError, match="each name in layers must be none of an optimum's; got 'Bayes'"):
        compare({"Bayes": least_squares}, SMALL)


def test_what_torch_draws_by_itself_is_not_touched():
    """A delta rule that is built draws its first weights; prompts from torch's own generator do not depend on it."""
    risks = []
    for optima in (["best weights"], ["best weights", "delta rule"]):
        torch.manual_seed(3)
        risks.append(compare(least_squares, Plain(), draws=1000, weights=False, twin=SMALL, optima=optima))
    assert risks[0].layers["layer"].risk == risks[1].layers["layer"].risk


class Plain:
    """The small prompts by a sampler of one's own: no correction, so the risk is that of the prompts."""

    def sample(self, batch, generator=None, queries=1, dtype=None):
        return SMALL.sample(batch, generator, queries, dtype)


SMALL = PromptDistribution(3, (5, 4), (0.8, 0.2))

"""Samplers and records of one's own, and layers without a read-out: what works, and what is said where not."""

import copy
import re
import warnings
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from glalib import GLA, InContext, Layout, PromptDistribution, compare, effective_weights, optimal_wpgd, simulate_risk
from glalib.baselines import bayes, least_squares
from glalib.layout import DELIMITED
from glalib.prompts import Drawn
from glalib.training import Recipe, fit, fit_many

DIST = PromptDistribution(3, (4, 4), (0.2, 0.8))
SHORT = Recipe(steps=3, batch=8, queries=2)
F64 = torch.float64


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@dataclass
class Record:
    """Four tensors, no tasks and no blocks."""

    x: Tensor
    y: Tensor
    x_query: Tensor
    y_query: Tensor


class Plain:
    """Prompts of DIST, as a record of one's own."""

    def sample(self, batch, generator, queries, dtype):
        p = DIST.sample(batch, generator, queries, dtype)
        return Record(p.x, p.y, p.x_query, p.y_query)

    def __repr__(self):
        return "Plain()"


def model(dtype=F64):
    return GLA(4, scale=1 / 8, generator=gen(), dtype=dtype)


def test_four_tensors_are_prompts():
    """They are trained on, simulated and compared as the prompts that they are taken from, without `tokens`."""
    own, theirs = model(), model()
    assert np.array_equal(fit(own, Plain(), SHORT), fit(theirs, DIST, SHORT))
    per_example = optimal_wpgd(DIST, "constant-gate")
    for predictor in (own, lambda p: per_example(p), least_squares):
        found, wanted = (simulate_risk(predictor, d, 40, 2, generator=gen(), batch=40) for d in (Plain(), DIST))
        assert found == wanted
    assert compare(own, Plain(), draws=1000, generator=gen(), weights=False).layers["layer"].risk > 0
    drawn = Plain().sample(2, gen(), 1, F64)
    for call, words in [
        (lambda: Layout(context=True)(drawn), "prompts must be with counts"),
        (lambda: optimal_wpgd(DIST)(drawn), "prompts must be of counts for 2 tasks"),
        (
            lambda: Layout()(Record(drawn.x, drawn.y[:, :3], drawn.x_query, drawn.y_query)),
            r"prompts\.y must be of shape",
        ),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="prompts must be a Prompts record; got Record"):
        bayes(DIST)(drawn)


def test_a_record_that_lacks_a_part_is_told_which():
    drawn, wants = DIST.sample(2, gen(), 1, F64), "prompts must be a Prompts record or an object with .*, y_query; got"
    for given, said in [
        (SimpleNamespace(x=drawn.x, y=drawn.y, x_query=drawn.x_query), "SimpleNamespace: it lacks y_query"),
        (SimpleNamespace(x=drawn.x, y=drawn.y), "SimpleNamespace: it lacks x_query, y_query"),
        (vars(drawn), "dict, whose parts are keys and not attributes"),
        ((drawn.x, drawn.y), "tuple"),
        (Record, "type"),
    ]:
        with pytest.raises(TypeError, match=f"^{wants} {said}$"):
            Layout()(given)


def test_a_record_with_counts_is_read_by_any_layout():
    """As the record of `Drawn` says; without counts it is refused, above."""
    assert "`counts`, the examples of" in Drawn.__doc__
    drawn, own = DIST.sample(2, gen(), 1, F64), Plain().sample(2, gen(), 1, F64)
    own.counts = DIST.counts
    for layout in (Layout(True), Layout(context=True), DELIMITED):
        assert torch.equal(layout(own), layout(drawn))


class Few:
    def sample(self, batch):
        return DIST.sample(batch)


class Turned:
    def sample(self, batch, queries=1, dtype=None, generator=None):
        return DIST.sample(batch, generator, queries, dtype)


class Words:
    def sample(self, *args, **options):
        return DIST.sample(*args, **options)


class Tuple:
    def sample(self, batch, generator=None, queries=1, dtype=None):
        p = DIST.sample(batch, generator, queries, dtype)
        return p.x, p.y, p.x_query, p.y_query


class Single:
    def sample(self, batch, generator=None, queries=1, dtype=None):
        return DIST.sample(batch, generator, queries, torch.float32)


USES = {
    "fit": lambda dist, dtype=F64: fit(model(dtype), dist, SHORT),
    "fit_many": lambda dist, dtype=F64: fit_many([model(dtype)], dist, SHORT, [0]),
    "simulate_risk": lambda dist, dtype=F64: simulate_risk(model(dtype), dist, 40, generator=gen()),
    "compare": lambda dist, dtype=F64: compare(model(dtype), dist, draws=1000, weights=False),
    "effective_weights": lambda dist, dtype=F64: effective_weights(model(dtype), dist, 100, generator=gen()),
}


@pytest.mark.parametrize("use", USES)
def test_a_sampler_that_does_not_fit_is_named(use):
    take = r"dist\.sample must take \(batch, generator, queries, dtype\); got "
    returns = "what dist.sample returns must be a Prompts record or an object with x, y, x_query, y_query; got tuple"
    dtype = "x of what dist.sample returns must be of the dtype that it is asked for, torch.float64; got torch.float32"
    for dist, error, words in [
        (Few(), TypeError, rf"^{take}\(batch\)$"),
        (Turned(), TypeError, rf"^{take}\(batch, queries=1, dtype=None, generator=None\)$"),
        (Tuple(), TypeError, f"^{returns}$"),
        (Single(), ValueError, f"^{dtype}$"),
    ]:
        with pytest.raises(error, match=words):
            USES[use](dist)
    USES[use](Words())


class Careless:
    """Never asks the generator that it is given."""

    def __init__(self, generator=None):
        self.generator = generator

    def sample(self, batch, generator, queries, dtype):
        return DIST.sample(batch, self.generator, queries, dtype)


class Fixed:
    """The same prompts each time: it asks no generator, and needs none."""

    def sample(self, batch, generator, queries, dtype):
        return DIST.sample(batch, gen(1), queries, dtype)


class Walks:
    """The next prompts of a data set each time; it may not be copied."""

    def __init__(self, copied=True):
        self.data, self.at, self.copied = DIST.sample(4000, gen(7), 2, F64), 0, copied

    def sample(self, batch, generator, queries, dtype):
        p, self.at = self.data[self.at : self.at + batch].to(dtype), self.at + batch
        return Record(p.x, p.y, p.x_query[:, :queries], p.y_query[:, :queries])

    def __deepcopy__(self, memo):
        if not self.copied:
            raise RuntimeError("no copies")
        new = copy.copy(self)
        memo[id(self)] = new
        return new


HEEDING = ["fit", "fit_many", "simulate_risk", "effective_weights"]


@pytest.mark.parametrize("use", HEEDING)
def test_a_sampler_that_leaves_its_generator_alone_is_named(use):
    text = r".sample returns does not come from its generator, .*: the seed given here does not repeat these numbers$"
    with torch.random.fork_rng(devices=[]):
        for careless in (Careless(), Careless(gen(5)), Walks()):
            with pytest.warns(UserWarning, match=f"^what {type(careless).__name__}{text}") as said:
                USES[use](careless)
            assert [warning.filename for warning in said] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for careful in (DIST, Plain(), Fixed(), Walks(copied=False)):
                USES[use](careful)
            simulate_risk(model(), Careless(), 40)  # no generator, no promise


def test_each_sampler_is_warned_of_where_it_is_used():
    """The filter of a fresh process shows a text once a line: so there are two lines, of the two calls."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        simulate_risk(model(), Careless(), 40, generator=gen())
        simulate_risk(model(), Walks(), 40, generator=gen())
    assert [warning.filename for warning in said] == [__file__, __file__] and said[1].lineno == said[0].lineno + 1


@pytest.mark.parametrize("make", [Walks, lambda: Careless(gen(5)), Careless])
def test_to_ask_a_sampler_takes_nothing_from_it(make):
    """Its prompts are the same whether or not a generator is given that it does not heed."""
    found = []
    for generator in (None, gen()):
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(3)
            found.append((simulate_risk(model(), make(), 40, generator=generator, batch=10), torch.rand(()).item()))
    assert found[0] == found[1]


def test_a_checkpoint_needs_a_sampler_that_it_knows_again(tmp_path):
    """The default repr is an address, which is another one in every process."""
    with pytest.raises(
        ValueError, match=r"dist must be a sampler with a __repr__ of its own .*; got <.*Words object at"
    ):
        fit(model(), Words(), SHORT, checkpoint=tmp_path / "run.npz")
    assert not list(tmp_path.iterdir())
    fit(model(), Plain(), SHORT, checkpoint=tmp_path / "run.npz")


def test_a_layer_without_a_read_out_is_told_where_to_go():
    goes = r"\(a layer from tokens to tokens goes into glalib\.InContext\)"
    which = r"\(or a layer from tokens to tokens, which goes into glalib\.InContext\)"
    one = SHORT.replace(queries=1)
    for call, error, words in [
        (lambda: fit(nn.Linear(4, 4), DIST, SHORT), ValueError, f"takes no `queries` {which}; got 2"),
        (lambda: fit(nn.Linear(4, 4), DIST, one), ValueError, rf"of shape \(8, 1\) {goes}; got shape \(8, 9, 4\)"),
        (lambda: fit(nn.GRU(4, 4), DIST, one), TypeError, f"must be a torch tensor {goes}; got tuple"),
        (lambda: simulate_risk(nn.Linear(4, 4), DIST, 9), ValueError, rf"of shape \(9, 1\) {goes}; got shape"),
        (lambda: effective_weights(nn.Linear(4, 4), DIST, 99), ValueError, rf"of shape \(99, 1\) {goes}; got shape"),
        (lambda: simulate_risk(nn.GRU(4, 4).double(), DIST, 9), TypeError, f"must be a torch tensor {goes}; got tuple"),
    ]:
        with pytest.raises(error, match=words):
            call()
    fit(InContext(nn.Linear(4, 4), 4, 4), DIST, SHORT)


class Says(nn.Module):
    """A model that does as it is told."""

    def __init__(self, does):
        super().__init__()
        self.w, self.does = nn.Parameter(torch.ones((), dtype=F64)), does

    def forward(self, Z):
        return self.does(Z)


def test_what_is_no_layer_without_a_read_out_is_not_told_to_go_there():
    one = SHORT.replace(queries=1)
    for call, error, words in [
        (lambda: simulate_risk(lambda p: p.y_query[:8], DIST, 9), ValueError, r"of shape \(9, 1\); got shape \(8, 1\)"),
        (lambda: simulate_risk(lambda p: p.x, DIST, 9), ValueError, r"of shape \(9, 1\); got shape \(9, 8, 3\)"),
        (lambda: compare(lambda p: p.x, DIST, draws=1000), ValueError, r"1\); got shape \(1000, 8, 3\)"),
        (lambda: simulate_risk(lambda p: (p.y_query,), DIST, 9), TypeError, "must be a torch tensor; got tuple"),
        (lambda: fit(Says(lambda Z: [0.0] * 8), DIST, one), TypeError, "must be a torch tensor; got list"),
        (lambda: fit(Says(lambda Z: Z[:7, 0, 0]), DIST, one), ValueError, r"of shape \(8, 1\); got shape \(7,\)"),
    ]:
        with pytest.raises(error, match=f"{words}$"):
            call()


def test_a_weighted_step_on_a_sampler_of_ones_own_is_told_how():
    """What is said works; a pair has no call to give."""
    best, refused = optimal_wpgd(DIST), "^dist must be a PromptDistribution where weights are the predictor; got Plain"
    with pytest.raises(TypeError, match=refused + r"; for another sampler give `lambda prompts: best\(prompts\)`$"):
        simulate_risk(best, Plain())
    with pytest.raises(TypeError, match=f"{refused}$"):
        simulate_risk((best.P, best.omega), Plain())
    per_example = optimal_wpgd(DIST, "constant-gate")
    found = simulate_risk(lambda prompts: per_example(prompts), Plain(), 40, generator=gen())
    assert found == simulate_risk(per_example, DIST, 40, generator=gen())


def test_the_class_layout_is_no_layout():
    class Mine(Layout):
        pass

    for kind in (Layout, Mine):
        for call in (
            lambda kind=kind: simulate_risk(model(), DIST, 9, tokens=kind),
            lambda kind=kind: effective_weights(model(), DIST, 99, tokens=kind),
            lambda kind=kind: fit(model(), DIST, SHORT, tokens=kind),
            lambda kind=kind: fit(model(), DIST, SHORT.replace(token_free=True), tokens=kind),
            lambda kind=kind: fit_many([model()], DIST, SHORT, [0], tokens=kind),
        ):
            words = rf"^tokens must be a Layout, .*; got the class {kind.__name__}: write {kind.__name__}\(\)$"
            with pytest.raises(TypeError, match=words):
                call()


def test_tokens_left_out_are_asked_for():
    tokens = Layout(context=True)
    own = InContext(nn.Linear(8, 8), tokens.width(DIST), 8, dtype=torch.float32)
    asked = r"the model was called on tokens of shape \(8, 10, 4\), made by Layout\(.*\): was tokens= left out\?"
    for call in (lambda: fit(own, DIST, SHORT), lambda: simulate_risk(own, DIST, 8, 2, dtype=torch.float32)):
        with pytest.raises(ValueError, match="Z must be of shape") as told:
            call()
        (note,) = told.value.__notes__
        assert re.fullmatch(asked, note)
    with pytest.raises(ValueError, match="Z must be of shape") as told:
        fit(own, DIST, SHORT, tokens=Layout(context=np.eye(3, 2)))
    assert not hasattr(told.value, "__notes__")
    fit(own, DIST, SHORT, tokens=tokens)


@pytest.mark.parametrize(
    ("error", "tokens", "asked"),
    [
        (RuntimeError, None, True),
        (ValueError, None, True),
        (RuntimeError, Layout(), False),  # the caller's choice, though it is the same
        (KeyError, None, False),
        (TypeError, None, False),
        (getattr(torch, "OutOfMemoryError", MemoryError), None, False),
    ],
)
def test_tokens_are_asked_for_only_where_they_may_be_the_cause(error, tokens, asked):
    def fails(Z):
        raise error("no")

    for call in (
        lambda: fit(Says(fails), DIST, SHORT.replace(queries=1), tokens=tokens),
        lambda: simulate_risk(Says(fails), DIST, 8, tokens=tokens),
    ):
        with pytest.raises(error) as told:
            call()
        assert ["was tokens= left out?" in note for note in getattr(told.value, "__notes__", [])] == [True] * asked


class Learnt(nn.Module):
    """A gate whose one weight has no axis."""

    name, acts_on = "learnt", "scalar"

    def __init__(self):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(0.0))

    def forward(self, Z):
        return torch.sigmoid(self.logit).to(Z).expand(Z.shape[:-1])


def test_many_copies_of_a_weight_without_axes():
    one = GLA(4, Learnt(), scale=1 / 8, generator=gen(), dtype=F64)
    many = [copy.deepcopy(one) for _ in range(2)]
    wanted = fit(one, DIST, SHORT)
    # The same operations, in another order.
    np.testing.assert_allclose(fit_many(many, DIST, SHORT, [SHORT.seed, 1])[0], wanted, rtol=1e-12)
    torch.testing.assert_close(many[0].layers[0].own.gate.logit, one.layers[0].own.gate.logit, rtol=1e-12, atol=1e-12)

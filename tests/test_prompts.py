"""The distribution of prompts: its law, its tokens, its complaints."""

import copy
import pickle
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from cases import correlations, distributions, same_tasks_one_by_one
from hypothesis import given, settings

from glalib import PromptDistribution, optimal_wpgd
from glalib.baselines import bayes
from glalib.gates import gates_to_weights, weights_to_gates
from glalib.layout import DELIMITED, Layout


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def test_attributes():
    dist = PromptDistribution(3, [2, 4], (0.1, 0.2), sigma=0.5, Sx=np.diag([1.0, 2, 3]), C=np.diag([1.0, 1, 0]))
    assert (dist.n, dist.K, dist.counts) == (6, 2, (2, 4))
    assert dist.M == dist.label_variance == pytest.approx(0.25 + 3.0)
    assert dist.R.tolist() == [[1, 0], [0, 1]]


@settings(max_examples=30)
@given(distributions())
def test_sample_has_the_stated_shapes(dist):
    prompts = dist.sample(3, gen(), queries=2, dtype=torch.float64)
    assert prompts.x.shape == (3, dist.n, dist.d) and prompts.y.shape == (3, dist.n)
    assert prompts.x_query.shape == (3, 2, dist.d) and prompts.y_query.shape == (3, 2)
    assert prompts.beta.shape == (3, dist.K, dist.d) and prompts.beta_query.shape == (3, dist.d)
    assert prompts.x.dtype == torch.float64


@pytest.mark.claim("def-multitask-prompt")
@settings(max_examples=30)
@given(distributions())
def test_labels_are_the_tasks_applied_to_the_features(dist):
    prompts = dist.sample(4, gen(), queries=3, dtype=torch.float64)
    noise = torch.cat(
        [
            prompts.y - (prompts.x * prompts.beta[:, dist.task_index]).sum(-1),
            prompts.y_query - (prompts.x_query @ prompts.beta_query[..., None])[..., 0],
        ],
        dim=1,
    )
    if dist.sigma == 0:
        assert noise.abs().max() < 1e-12 * (1 + prompts.y.abs().max())
    else:
        assert 0 < noise.abs().max() < 8 * dist.sigma


@pytest.mark.claim("def-correlated-tasks", "def-multitask-prompt")
@settings(max_examples=12)
@given(distributions(max_d=3, max_K=3, decades=1))
def test_the_sampler_has_the_moments_of_the_definitions(dist):
    """Definitions 1 and 2, to five standard errors of an average over 40,000 prompts."""
    B = 40_000
    prompts = dist.sample(B, gen(1), queries=2, dtype=torch.float64)
    tasks = torch.cat([prompts.beta, prompts.beta_query[:, None]], 1).flatten(1).numpy()
    joint = np.block([[dist.R, dist.r[:, None]], [dist.r[None], np.ones((1, 1))]])
    expected = np.kron(joint, dist.C)

    def agrees(samples, mean):  # samples (B, ...)
        error = samples.std(0) / B**0.5
        assert (np.abs(samples.mean(0) - mean) <= 5 * error + 1e-12).all()

    agrees(tasks[:, :, None] * tasks[:, None, :], expected)
    agrees(tasks, np.zeros(tasks.shape[1]))
    for x in (prompts.x[:, 0].numpy(), prompts.x_query[:, 1].numpy()):
        agrees(x[:, :, None] * x[:, None, :], dist.Sx)
    agrees((prompts.x_query[:, 0, :, None] * prompts.x_query[:, 1, None, :]).numpy(), np.zeros((dist.d, dist.d)))
    agrees(prompts.y.numpy() ** 2, np.full(dist.n, dist.M))
    agrees(prompts.y_query.numpy() ** 2, np.full(2, dist.M))


def test_same_generator_state_same_prompts():
    dist = PromptDistribution(3, (2, 2), (0.2, 0.8), sigma=1.0)
    a, b, c = dist.sample(2, gen(5)), dist.sample(2, gen(5)), dist.sample(2, gen(6))
    assert torch.equal(a.y, b.y) and torch.equal(a.y_query, b.y_query) and not torch.equal(a.y, c.y)
    generator = gen(5)
    dist.sample(2, generator)
    assert not torch.equal(dist.sample(2, generator).y, a.y)


def test_expand_and_moments():
    dist = PromptDistribution(2, (1, 3), (0.5, 0.5), R=[[1, 0.3], [0.3, 1]])
    assert dist.expand((2.0, 5.0)).tolist() == [2, 5, 5, 5]
    assert dist.expand(torch.tensor([[2.0, 5.0]])).tolist() == [[2, 5, 5, 5]]
    assert dist.moments((2.0, 5.0)) == pytest.approx(same_tasks_one_by_one(dist).moments((2.0, 5.0, 5.0, 5.0)))


def test_plain_tokens_are_the_rows_of_the_definition():
    dist = PromptDistribution(2, (1, 2), (0.2, 0.8))
    prompts = dist.sample(4, gen(), queries=2)
    Z = Layout()(prompts)
    assert Z.shape == (4, 3 + 2, 3)
    assert torch.equal(Z[:, :3, :2], prompts.x) and torch.equal(Z[:, :3, 2], prompts.y)
    assert torch.equal(Z[:, 3:, :2], prompts.x_query) and not Z[:, 3:, 2].any()


def test_delimiters_and_context():
    dist = PromptDistribution(2, (1, 2), (0.2, 0.8))
    prompts = dist.sample(4, gen())
    Z = DELIMITED(prompts)
    assert Z.shape == (4, 1 + 1 + 2 + 1 + 1, 3 + 5)
    assert not Z[:, [1, 4], :3].any()
    kinds = Z[0, :, 3:].argmax(1).tolist()
    assert kinds == [0, 2, 1, 1, 3, 4] and (Z[..., 3:].sum(-1) == 1).all()
    vectors = np.random.default_rng(0).normal(size=(3, 7))
    Z = Layout(context=vectors)(prompts)
    assert Z[1, :, 3:].numpy() == pytest.approx(vectors[[0, 1, 1, 2]].astype(np.float32))


@pytest.mark.parametrize("delimiters", [False, True])
def test_token_weights_put_the_gates_where_tasks_change(delimiters):
    dist = PromptDistribution(2, (2, 3), (0.2, 0.8))
    weights = Layout(delimiters=delimiters).weights(dist, (0.25, 1.0))
    gates = weights_to_gates(weights)
    assert gates.tolist() == ([1, 1, 0.25, 1, 1, 1, 1, 1] if delimiters else [1, 1, 0.25, 1, 1, 1])
    examples = ~Layout(delimiters=delimiters).blocks(dist.counts)[1]
    assert gates_to_weights(gates)[examples].tolist() == dist.expand((0.25, 1.0)).tolist()


def test_the_edge_of_positive_semidefiniteness_is_accepted():
    PromptDistribution(2, (1, 1), (0.3**0.5, 0.7**0.5))
    PromptDistribution(2, (1, 1), (0.6, -0.6), R=[[1, -1], [-1, 1]])
    n, rho = 300, 0.95
    i = np.arange(n)
    PromptDistribution(2, (1,) * n, rho ** (n - i), R=rho ** np.abs(i[:, None] - i))


OK = {"d": 2, "counts": (3, 4), "r": (0.2, 0.8)}


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"d": 0}, "d must be a positive integer; got 0"),
        ({"d": 2.5}, "d must be a positive integer; got 2.5"),
        ({"d": True}, "d must be a positive integer; got True"),
        ({"d": 10**400}, "d must be a positive integer that fits in 64 bits; got 1000"),
        ({"d": 10**5000}, "d must be a positive integer that fits in 64 bits; got int too long to print"),
        ({"counts": ()}, "counts must be a non-empty"),
        ({"counts": 7}, "counts must be a sequence"),
        ({"counts": (3, -1)}, r"counts\[1\] must be a positive integer; got -1"),
        ({"counts": (3, 1.0)}, r"counts\[1\] must be a positive integer; got 1.0"),
        ({"r": (0.2,)}, r"r must be of shape \(2,\); got shape \(1,\)"),
        ({"r": (0.2, np.nan)}, r"r must be finite; got NaN or infinity at index \(1,\)"),
        ({"r": (0.9, 0.8)}, "R and r must be such that .* positive semidefinite, that is .r. <= 1; got .* -0.204"),
        ({"r": "ab"}, "r must be an array of real numbers"),
        ({"r": (1j, 0)}, "r must be an array of real numbers"),
        ({"R": np.eye(3)}, r"R must be of shape \(2, 2\)"),
        ({"R": [[1, 0.5], [0.4, 1]]}, "R must be symmetric"),
        ({"R": [[1, 0], [0, 2]]}, "R must be a correlation matrix, with ones on its diagonal"),
        ({"R": [[1, 2], [2, 1]]}, "R and r must be such that"),
        ({"r": (0.6, 0.6), "R": [[1, -1], [-1, 1]]}, "R and r must be such that"),
        ({"sigma": -1}, "sigma must be a finite number >= 0; got -1"),
        ({"sigma": 10**400}, "sigma must be a finite number >= 0; got 1000"),
        ({"sigma": np.nan}, "sigma must be a finite number >= 0; got nan"),
        ({"sigma": "1"}, "sigma must be a finite number >= 0; got '1'"),
        ({"Sx": [[1, 0.5], [0, 1]]}, "Sx must be symmetric"),
        ({"Sx": [[1, 2], [2, 1]]}, "Sx must be positive semidefinite; got a matrix with smallest eigenvalue -1"),
        ({"C": -np.eye(2)}, "C must be positive semidefinite"),
        ({"C": np.ones(3)}, r"C must be of shape \(2, 2\), or \(2,\) for a diagonal; got shape \(3,\)"),
        ({"C": np.zeros((2, 2))}, "Sx and C must be such that labels carry a signal"),
        ({"Sx": np.diag([1, 0]), "C": np.diag([0, 1])}, "Sx and C must be such that labels carry a signal"),
    ],
)
def test_bad_input_is_named(change, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        PromptDistribution(**{**OK, **change})


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda d: d.sample(0), "batch must be a positive integer"),
        (lambda d: d.sample(2, generator=3), "generator must be a torch.Generator or None; got int"),
        (lambda d: d.sample(2, dtype=torch.int64), "dtype must be a floating-point torch dtype"),
        (lambda d: d.sample(2, dtype=torch.float8_e4m3fn), "dtype must be a floating-point torch dtype of 16 bits"),
        (lambda d: d.sample(10**30), "batch must be a positive integer that fits in 64 bits"),
        (lambda d: d.expand(np.array([np.nan, 1])), "omega must be finite"),
        (lambda d: d.expand(np.array(["a", "b"])), "omega must be an array of real numbers"),
        (lambda d: d.expand(torch.tensor([1j, 1])), "omega must be a floating-point tensor"),
        (lambda d: d.expand(torch.tensor([torch.nan, 1])), "omega must be finite"),
        (
            lambda d: d.check(PromptDistribution(2, (7,), (1,)).sample(2)),
            "prompts must be of this .* got .* with K=1",
        ),
        (lambda d: d.sample(2, queries=0), "queries must be a positive integer"),
        (lambda d: d.expand((1.0, 2.0, 3.0)), r"omega must be of shape \(..., 2\)"),
        (lambda d: Layout()("prompts"), "prompts must be a Prompts record"),
        (
            lambda d: d.check(PromptDistribution(3, (3,), (1,)).sample(2)),
            "prompts must be of this distribution",
        ),
        (lambda d: Layout(context=np.eye(3)[0])(d.sample(2)), r"context must be of shape \(kinds, p\)"),
        (
            lambda d: Layout(delimiters=True)(replace(d.sample(2), counts=None)),
            "prompts must be with counts, the examples of each block; got counts = None",
        ),
        (lambda d: Layout(delimiters=3)(d.sample(2)), "delimiters must be one of True, False; got 3"),
        (lambda d: Layout(context=np.eye(2))(d.sample(2)), r"context must be of shape \(3, p\)"),
    ],
)
def test_bad_calls_are_named(call, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        call(PromptDistribution(**OK))


def test_numbers_and_tensors_of_any_kind():
    dist = PromptDistribution(2, (3, 4), torch.tensor([0.25, 0.5], requires_grad=True), sigma=Fraction(1, 2))
    assert dist.r.tolist() == [0.25, 0.5] and dist.sigma == 0.5
    assert Layout().weights(dist, torch.tensor([0.0, 1.0], requires_grad=True)).tolist() == [0] * 3 + [1] * 4


def test_a_distribution_is_a_value():
    """Equal arguments make equal distributions with one hash; nothing in one can be changed."""
    dist = PromptDistribution(3, (4, 5), (0.2, 0.8), sigma=0.5, Sx=[3.0, 2.0, 0.0])
    same = PromptDistribution(
        np.int64(3), [4, 5], np.array([0.2, 0.8]), np.eye(2), np.float32(0.5), np.diag([3, 2, -0.0]), np.eye(3)
    )
    assert dist == same and hash(dist) == hash(same) and len({dist, same}) == 1
    for again in (dist.replace(), copy.deepcopy(dist), pickle.loads(pickle.dumps(dist))):
        assert again == dist and not again.Sx.flags.writeable
    for change in (
        {"d": 2, "Sx": (3, 2)}, {"counts": (5, 4)}, {"r": (0.2, 0.7)}, {"R": [[1, 0.1], [0.1, 1]]}, {"sigma": 0},
        {"Sx": (3, 2, 1)}, {"C": (1, 1, 2)},
    ):  # fmt: skip
        assert dist.replace(**change) != dist
    assert dist != "dist"


def test_nothing_in_a_distribution_can_be_changed():
    """So M and the spectra are never those of other arguments."""
    dist = PromptDistribution(3, (4, 5), (0.2, 0.8), R=[[1, 0.3], [0.3, 1]], C=[1, 2, 3])
    for name in ("d", "counts", "r", "R", "sigma", "Sx", "C", "K", "n", "M", "other"):
        with pytest.raises(AttributeError):
            setattr(dist, name, 1.0)
        with pytest.raises(AttributeError):
            delattr(dist, name)
    for array in (dist.r, dist.R, dist.Sx, dist.C, *dist.task_spectrum, *dist.signal_spectrum):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
    assert optimal_wpgd(dist.replace(sigma=2.0)).risk == pytest.approx(
        optimal_wpgd(PromptDistribution(3, (4, 5), (0.2, 0.8), R=[[1, 0.3], [0.3, 1]], C=[1, 2, 3], sigma=2.0)).risk
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_singular_R_replaced_stays_equal(seed):
    """r is put into the range of R once; a second time changes nothing."""
    R, r = correlations(np.random.default_rng(seed), 4, 2)
    dist = PromptDistribution(2, (1, 2, 3, 4), r, R=R)
    assert dist.replace() == dist


def test_prompts_know_where_their_blocks_end():
    """Five and three examples are not four and four, though shapes agree."""
    of, other = PromptDistribution(2, (5, 3), (0.2, 0.8)), PromptDistribution(2, (4, 4), (0.2, 0.8))
    prompts = of.sample(2)
    for call in (lambda: other.check(prompts), lambda: bayes(other)(prompts)):
        with pytest.raises(
            ValueError, match=r"prompts must be of this distribution, with counts \(4, 4\); got \(5, 3\)"
        ):
            call()
    Z = Layout(delimiters=np.True_)(prompts)
    assert Z.shape == (2, 11, 3) and not Z[:, [5, 9]].any() and Z[:, :5].any(-1).all() and Z[:, 6:9].any(-1).all()
    unknown = replace(prompts, counts=None)  # where blocks do not show, nobody need know where they end
    assert torch.equal(Layout()(unknown), Layout()(prompts))


def test_a_layout_is_a_value():
    """Equal arguments make equal layouts with one hash, whatever they were written as."""
    rows = np.arange(6.0).reshape(3, 2)
    same = [Layout(context=rows), Layout(False, torch.tensor(rows)), Layout(np.False_, rows.tolist())]
    assert len(set(same)) == 1 and same[0] != Layout(context=rows + 1) and Layout() == Layout(False, None)
    assert Layout(True, True) == DELIMITED != Layout(True)
    rows[:] = 0
    dist = PromptDistribution(2, (5, 3), (0.2, 0.8))
    Z = same[0](dist.sample(1))
    assert Z[0, :, 3:].tolist() == [[0, 1]] * 5 + [[2, 3]] * 3 + [[4, 5]]
    assert [layout.width(dist) for layout in (Layout(), same[0], Layout(context=True), DELIMITED)] == [3, 5, 6, 8]
    with pytest.raises(AttributeError):
        same[0].context = False


@pytest.mark.parametrize("name", ["r", "R", "Sx", "C"])
def test_masked_arrays_are_refused(name):
    """A mask would be ignored."""
    value = np.ma.masked_array(np.eye(2) if name != "r" else np.zeros(2), mask=False)
    with pytest.raises(TypeError, match=f"{name} must be an array without a mask"):
        PromptDistribution(**{"d": 2, "counts": (1, 2), "r": (0, 0)} | {name: value})


def test_prompts_index_and_move():
    """Along the batch: a batch again, of which all that takes prompts can be asked."""
    dist = PromptDistribution(2, (3, 1), (0.2, 0.5))
    prompts = dist.sample(5, torch.Generator().manual_seed(0), 2, torch.float64)
    for index, rows in ((3, [3]), (-1, [4]), (slice(2, 5), [2, 3, 4]), (slice(None, None, 2), [0, 2, 4])):
        part = prompts[index]
        assert len(part) == len(rows) and part.counts == prompts.counts
        for name in ("x", "y", "x_query", "y_query", "beta", "beta_query"):
            assert torch.equal(getattr(part, name), getattr(prompts, name)[rows])
        assert torch.equal(DELIMITED(part), DELIMITED(prompts)[rows])
    assert [len(one) for one in prompts] == [1] * 5 == [len(prompts[i : i + 1]) for i in range(5)]
    assert len(prompts[5:]) == 0
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"index must be from -5 to 4; got {index}"):
            prompts[index]
    for index in (1.0, True, "a", None, (0, 1)):
        with pytest.raises(TypeError, match="index must be an integer or a slice; got"):
            prompts[index]

    assert prompts.to(torch.float32).beta_query.dtype == torch.float32
    assert prompts.to("meta", torch.bfloat16).y.is_meta and torch.equal(prompts.to("cpu").x, prompts.x)
    with pytest.raises(TypeError, match=r"prompts\.x must be a floating-point tensor"):
        prompts.to(torch.int64)
    with pytest.raises(ValueError, match=r"prompts\..* must be finite"):
        replace(prompts, y=prompts.y * 1e6).to(torch.float16)


@pytest.mark.parametrize("tokens", [Layout(), Layout(True), Layout(False, True), DELIMITED], ids=str)
def test_the_kind_of_a_token_is_its_context(tokens):
    counts = (3, 1, 2)
    kinds = tokens.kinds(counts, queries=2)
    block, is_delimiter = tokens.blocks(counts)
    assert kinds[:-2].tolist() == (block + 3 * is_delimiter).tolist()
    assert kinds[-2:].tolist() == [6 if tokens.delimiters else 3] * 2 == [len(tokens.vectors(3)) - 1] * 2
    if tokens.context:
        Z = tokens(PromptDistribution(2, counts, (0, 0, 1)).sample(1, queries=2))
        assert torch.equal(Z[0, :, 3:].argmax(1), torch.from_numpy(kinds))

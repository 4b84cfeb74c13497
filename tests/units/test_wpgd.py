"""The algorithm itself."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glalib import GLA, PromptDistribution, Uniqueness, optimal_wpgd, simulate_risk, uniqueness, wpgd_step


def problem(seed, lead=(), n=4, d=3, queries=2):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(*lead, n, d)), rng.normal(size=(*lead, n)), rng.normal(size=(*lead, queries, d)),
        rng.normal(size=(d, d)), rng.random(n),
    )  # fmt: skip


@pytest.mark.claim("def-wpgd")
@given(st.integers(0, 2**32 - 1), st.sampled_from([(), (2,), (2, 3)]), st.integers(1, 5), st.integers(1, 4))
def test_one_step_of_gradient_descent_on_the_weighted_loss(seed, lead, n, d):
    """The gradient at zero of 1/2 sum omega_i (y_i - beta^T x_i)^2, by autograd, times -P, applied to the query."""
    x, y, x_query, P, omega = map(torch.from_numpy, problem(seed, lead, n, d))
    beta = torch.zeros(*lead, d, dtype=torch.float64, requires_grad=True)
    loss = (omega * (y - (x @ beta[..., None])[..., 0]) ** 2).sum() / 2
    (gradient,) = torch.autograd.grad(loss, beta)
    expected = (x_query @ (P @ -gradient[..., None]))[..., 0]
    torch.testing.assert_close(wpgd_step(x, y, x_query, P, omega), expected, rtol=1e-12, atol=1e-12)


def test_numpy_and_torch_agree_and_keep_their_kind():
    arrays = problem(0, (5,))
    from_numpy = wpgd_step(*arrays)
    x, y, x_query, P, omega = arrays
    from_torch = wpgd_step(*map(torch.from_numpy, (x, y, x_query)), P, omega)
    assert isinstance(from_numpy, np.ndarray) and from_torch.dtype == torch.float64
    assert from_torch.numpy() == pytest.approx(from_numpy, rel=1e-12)
    assert wpgd_step(*map(torch.tensor, (x, y, x_query)), P, tuple(omega)).shape == (5, 2)
    x32 = torch.from_numpy(x).float()
    assert wpgd_step(x32, torch.from_numpy(y), torch.from_numpy(x_query), P, omega).dtype == torch.float32
    assert torch.equal(
        wpgd_step(x32, y, x_query, torch.eye(3, dtype=int), omega), wpgd_step(x32, y, x_query, np.eye(3), omega)
    )


def test_weights_per_prompt():
    x, y, x_query, P, _ = problem(1, (3,))
    omega = np.random.default_rng(2).random((3, 4))
    rows = [wpgd_step(x[b], y[b], x_query[b], P, omega[b]) for b in range(3)]
    assert wpgd_step(x, y, x_query, P, omega) == pytest.approx(np.array(rows))


X = torch.ones(4, 3)


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"x": np.zeros(3)}, "x must be of shape"),
        ({"y": np.zeros(5)}, r"y must be of shape \(4,\), as x has shape \(4, 3\); got shape \(5,\)"),
        ({"x_query": np.zeros((2, 4))}, r"x_query must be of shape \(..., queries, d\)"),
        ({"P": np.eye(4)}, r"P must be of shape \(3, 3\)"),
        ({"omega": np.ones(3)}, r"omega must be of shape \(4,\) or \(4,\); got shape \(3,\)"),
        ({"y": np.array([0, 1, np.nan, 0])}, r"y must be finite; got NaN or infinity at index \(2,\)"),
        ({"x": "x"}, "x must be an array of real numbers"),
        ({"x_query": np.zeros(3)}, r"x_query must be of shape \(..., queries, d\), .*; got shape \(3,\)"),
        ({"x_query": 1.0}, r"x_query must be of shape \(..., queries, d\), .*; got shape \(\)"),
        ({"x_query": np.zeros((0, 3))}, r"x_query must be of shape \(..., queries, d\), .*; got shape \(0, 3\)"),
        ({"P": 1j * np.eye(3)}, "P must be an array of real numbers"),
        ({"omega": np.ones(4, bool)}, "omega must be an array of real numbers"),
        ({"x": torch.ones(4, 3, dtype=torch.int64)}, "x must be a floating-point tensor"),
        ({"x": X, "P": 1j * torch.eye(3)}, "P must be an array of real numbers"),
        ({"x": X, "y": torch.ones(4, dtype=torch.complex64)}, "y must be an array of real numbers"),
        ({"x": X, "omega": torch.ones(4, dtype=torch.bool)}, "omega must be an array of real numbers"),
        ({"x": X, "P": torch.eye(3).to_sparse()}, "P must be a floating-point tensor, dense"),
        ({"x": X, "x_query": torch.ones(3)}, r"x_query must be of shape \(..., queries, d\)"),
        ({"x": X, "x_query": torch.tensor(1.0)}, r"x_query must be of shape \(..., queries, d\)"),
        ({"x": X, "P": torch.full((3, 3), torch.nan)}, "P must be finite"),
    ],
)
def test_bad_input_is_named(change, complaint):
    arguments = dict(zip(("x", "y", "x_query", "P", "omega"), problem(0), strict=True)) | change
    with pytest.raises((ValueError, TypeError), match=complaint):
        wpgd_step(**arguments)


DIST = PromptDistribution(3, (4, 2), (0.2, 0.7), sigma=0.3)


@pytest.mark.claim("def-wpgd")
@pytest.mark.parametrize("weights", ["free", "uniform", "constant-gate", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], ids=str)
def test_a_record_predicts(weights):
    """On prompts, by the formula, with weights per task or per example; and `simulate_risk` sees the same."""
    best = optimal_wpgd(DIST, weights)
    prompts = DIST.sample(7, torch.Generator().manual_seed(0), 2, torch.float64)
    predictions = best(prompts)
    omega = DIST.expand(best.omega)
    for b in range(7):
        x, y = prompts.x[b].numpy(), prompts.y[b].numpy()
        wanted = prompts.x_query[b].numpy() @ best.P @ x.T @ (omega * y)
        assert predictions[b].numpy() == pytest.approx(wanted, rel=1e-12, abs=1e-13)
    assert best(prompts.to(torch.float32)).dtype == torch.float32 and best(prompts.to("meta")).is_meta
    as_record, as_function = (
        simulate_risk(predictor, DIST, 100, generator=torch.Generator().manual_seed(0))
        for predictor in (best, lambda prompts: best(prompts))
    )
    assert as_record == as_function


def test_a_record_asks_for_prompts_with_its_tasks():
    best, prompts = optimal_wpgd(DIST), DIST.sample(2)
    with pytest.raises(TypeError, match="prompts must be a Prompts record"):
        best(prompts.x)
    for other in (DIST.replace(counts=(3, 2, 1), r=(0, 0, 1)), DIST.replace(counts=(6,), r=(1,))):
        with pytest.raises(ValueError, match="prompts must be of counts for 2 tasks, or of 2 examples"):
            best(other.sample(2))
    with pytest.raises(ValueError, match="P must be of shape"):
        best(DIST.replace(d=4).sample(2))


def test_records_are_json():
    best, gated = optimal_wpgd(DIST), optimal_wpgd(DIST, "constant-gate")
    estimate = simulate_risk(best, DIST, 10)
    for record in (best, gated, uniqueness(DIST), estimate):
        values = json.loads(json.dumps(record.to_dict(), allow_nan=False))
        for name, value in values.items():
            assert np.array_equal(value, getattr(record, name)) or value is getattr(record, name) is None
    assert list(best.to_dict()) == ["P", "omega", "gamma", "risk", "certificate", "gate"]
    assert set(uniqueness(DIST).to_dict()) == set(Uniqueness.__dataclass_fields__)
    assert uniqueness(DIST).to_dict()["holds_sharp"] is True and len(gated.to_dict()["omega"]) == DIST.n


def test_records_and_layers_are_small_tables_in_notebooks():
    best, gated = optimal_wpgd(DIST), optimal_wpgd(DIST, "constant-gate")
    for shown, words in (
        (best, ["WPGD", f"{best.risk:.6g}", "omega", "(3, 3)", best.certificate]),
        (gated, ["gate", f"{gated.gate:.6g}"]),
        (GLA.from_wpgd(best, DIST), ["GLA", "width", "4", "given for 7 tokens"]),
        (GLA(5, "key", 2, causal=False), ["layers", "'key'", "<td>2</td>", "causal"]),
        (GLA(5, None), ["None"]),
    ):
        html = shown._repr_html_()
        assert all(word in html for word in words) and len(html) < 1000
        assert html.startswith("<table>") and html.count("<tr>") == html.count("</tr>") <= 10

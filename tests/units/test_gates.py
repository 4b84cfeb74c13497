"""Weights and gates are inverse maps; what a gate cannot reach is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glalib.gates import gates_to_weights, signed_weights_to_gates, weights_to_gates

gate_value = st.one_of(st.floats(0, 1, allow_subnormal=False), st.sampled_from([0.0, 1e-6, 1 - 1e-12, 1.0]))


@given(st.lists(gate_value, min_size=1, max_size=12), st.booleans())
def test_weights_to_gates_to_weights(values, as_torch):
    omega = np.sort(np.array(values))
    given_omega = torch.from_numpy(omega) if as_torch else omega
    gates = weights_to_gates(given_omega)
    assert type(gates) is type(given_omega)
    assert gates.shape == (len(values) + 1,) and gates[0] == 1 and 0 <= gates.min() <= gates.max() <= 1
    np.testing.assert_allclose(np.asarray(gates_to_weights(gates)), omega, rtol=1e-13, atol=1e-300)


@given(st.lists(st.floats(1e-3, 1), min_size=2, max_size=12))
def test_gates_to_weights_to_gates(values):
    gates = np.array([1.0, *values[1:]])  # the first gate acts on nothing: any value, by convention 1
    by_definition = [np.prod(gates[i + 1 :]) for i in range(len(gates) - 1)]
    np.testing.assert_allclose(gates_to_weights(gates), by_definition, rtol=1e-13)
    np.testing.assert_allclose(weights_to_gates(gates_to_weights(gates)), gates, rtol=1e-13)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_vector_gates_and_leading_axes(kind):
    gates = np.random.default_rng(0).uniform(size=(2, 6, 3))
    omega = gates_to_weights(kind(gates), axis=-2)
    assert omega.shape == (2, 5, 3)
    np.testing.assert_allclose(omega[1, 2], gates[1, 3:].prod(0))
    gates[:, 0] = 1
    np.testing.assert_allclose(weights_to_gates(omega, axis=-2), gates, rtol=1e-13)
    np.testing.assert_allclose(gates_to_weights(kind(gates[..., 0])), omega[..., 0])


@pytest.mark.claim("prop-two-value-channels")
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.booleans())
def test_signed_weights_are_a_difference_of_two_channels(values, as_torch):
    omega = np.array([values, values[::-1]])
    gates, scale = signed_weights_to_gates(torch.from_numpy(omega) if as_torch else omega)
    assert gates.shape == (2, len(values) + 1, 2) and 0 <= gates.min() and gates.max() <= 1
    channels = np.asarray(gates_to_weights(gates, axis=-2))
    rebuilt = np.asarray(scale)[:, None] * (channels[..., 0] - channels[..., 1])
    np.testing.assert_allclose(rebuilt, omega, atol=1e-13 * max(1.0, np.abs(np.diff(omega)).sum(), abs(omega).max()))


def test_zeros():
    np.testing.assert_array_equal(weights_to_gates([0.0, 0.0, 0.5, 1.0]), [1, 1, 0, 0.5, 1])
    np.testing.assert_array_equal(weights_to_gates(np.zeros(3)), [1, 1, 1, 0])
    np.testing.assert_array_equal(gates_to_weights([0.3, 1, 0, 0.5]), [0, 0, 0.5])


def test_gradients_are_finite_at_zero():
    omega = torch.tensor([0.0, 0.0, 0.5], requires_grad=True)
    weights_to_gates(omega).sum().backward()
    assert omega.grad.isfinite().all()


def test_rounding_is_forgiven():
    omega = np.array([0.5 * (1 + 1e-15), 0.5, 1 + 1e-15])
    gates = weights_to_gates(omega)
    assert gates.max() == 1
    np.testing.assert_allclose(gates_to_weights(gates), omega, rtol=1e-13)


@pytest.mark.parametrize("omega", [[0.8, 0.2], [-0.1, 0.5], [0.5, 1.1], [0.5, 0.5 - 1e-9, 1.0]])
@pytest.mark.parametrize("kind", [np.array, lambda x: torch.tensor(x, dtype=torch.float64)])
def test_unreachable_weights_are_refused(omega, kind):
    with pytest.raises(ValueError, match=r"omega must be non-decreasing .* a scalar gate reaches such weights only"):
        weights_to_gates(kind(omega))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="omega must be finite"):
        weights_to_gates([0.1, np.nan])
    with pytest.raises(TypeError, match="omega must be an array of real numbers"):
        weights_to_gates("abc")
    with pytest.raises(ValueError, match=r"gates must be in \[0, 1\]"):
        gates_to_weights([0.1, 1.2])
    with pytest.raises(ValueError, match="gates must be for at least one token and the query"):
        gates_to_weights([0.1])
    with pytest.raises(ValueError, match="gates must be an array with entries along axis -2"):
        gates_to_weights([0.1, 0.2], axis=-2)
    with pytest.raises(ValueError, match=r"gates must be in \[0, 1\]; got values from 1.0 to 1.00000000000000"):
        gates_to_weights([1, 1 + 1e-15])
    for function in (weights_to_gates, gates_to_weights):
        for axis in (None, "a", 1.0, True):
            with pytest.raises(TypeError, match="axis must be an integer; got"):
                function([0.5, 1.0], axis=axis)


def test_numpy_in_imports_no_torch():
    code = "import sys, glalib.gates as g; g.weights_to_gates([0.5, 1]); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_out_of_reach_are_shown():
    with pytest.raises(
        ValueError, match=r"omega must be non-decreasing .* reaches such weights only; got \[1.0, 0.5\]"
    ):
        weights_to_gates([1.0, 0.5])

"""Bad and extreme inputs of the closed forms, the sampler and records: named where bad, right where only extreme."""

import pickle
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution, Prompts, optimal_wpgd, population_risk, stationary_points, uniqueness
from glalib.baselines import bayes, least_squares
from glalib.constant_gate import constant_gate
from glalib.fixed_points import fixed_points
from glalib.layout import Layout
from glalib.risk import h1, h2, slope

D = PromptDistribution(2, (3, 4), (0.2, 0.1))
NULL = D.replace(r=(0, 0))
I = np.eye(2)
nan, inf = float("nan"), float("inf")


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(**changes):
    return replace(D.sample(2, gen(), dtype=torch.float64), **changes)


def law(d=2, counts=(3, 4), r=(0.2, 0.1), **options):
    return lambda: PromptDistribution(d, counts, r, **options)


def points(F, low, high, **options):
    return lambda: fixed_points(F, low, high, **options)


def middle(x):
    return (x + 3) / 2


R_S = "R and r must be such that"
BAD = {
    # The distribution. What each argument may be is an order of numbers, and nothing that only looks like one.
    "d True": (law(d=True), "d must be a positive integer; got True"),
    "d 3.0": (law(d=3.0), "d must be a positive integer; got 3.0"),
    "d in a fraction": (law(d=Fraction(3)), "d must be a positive integer"),
    "d in a tensor": (law(d=torch.tensor(3)), "d must be a positive integer"),
    "d complex": (law(d=1 + 0j), "d must be a positive integer"),
    "d beyond 64 bits": (law(d=2**70), "d must be a positive integer that fits in 64 bits"),
    "counts a number": (law(counts=2), "counts must be a sequence of positive integers; got 2"),
    "counts a set, which has no order": (law(counts={3, 4}), "counts must be a sequence of positive integers"),
    "counts a dict": (law(counts={3: 1, 4: 1}), "counts must be a sequence of positive integers"),
    "counts bytes": (law(counts=b"\x02\x03"), "counts must be a sequence of positive integers"),
    "counts text": (law(counts="12"), r"counts\[0\] must be a positive integer; got '1'"),
    "counts nested": (law(counts=[[2, 3]]), r"counts\[0\] must be a positive integer"),
    "counts of floats": (law(counts=np.array([2.0, 3.0])), r"counts\[0\] must be a positive integer"),
    "counts masked": (law(counts=np.ma.array([2, 3], mask=[0, 1])), r"counts\[1\] must be a positive integer"),
    "counts with True": (law(counts=[True, 2]), r"counts\[0\] must be a positive integer; got True"),
    "counts empty": (law(counts=()), "counts must be a non-empty sequence"),
    "r a number": (law(r=0.5), r"r must be of shape \(2,\); got shape \(\)"),
    "r a column": (law(r=[[0.5], [0.1]]), r"r must be of shape \(2,\)"),
    "r a numpy matrix": (law(r=np.matrix([0.5, 0.1])), r"r must be of shape \(2,\)"),
    "r text": (law(r=["0.5", "0.1"]), "r must be an array of real numbers"),
    "r of decimals": (law(r=[Decimal("0.5"), 0.1]), "r must be an array of real numbers"),
    "r complex": (law(r=[0.5 + 0j, 0.1]), "r must be an array of real numbers"),
    "r of truth values": (law(r=[True, False]), "r must be an array of real numbers"),
    "r of objects": (law(r=np.array([0.5, 0.1], dtype=object)), "r must be an array of real numbers"),
    "r a set": (law(r={0.5, 0.1}), "r must be an array of real numbers"),
    "r dates": (law(r=np.array(["2020", "2021"], dtype="datetime64[D]")), "r must be an array of real numbers"),
    "r of no numbers": (law(r=torch.zeros(2, device="meta")), "r must be an array of real numbers"),
    "r sparse": (law(r=torch.tensor([0.5, 0.1]).to_sparse()), "r must be an array of real numbers"),
    "r with NaN": (law(r=[0.1, nan]), r"r must be finite; got NaN or infinity at index \(1,\)"),
    "r just outside": (law(r=(1.000000001, 0)), R_S),
    "r outside the range of R": (law(r=(0.5, 0.4), R=np.ones((2, 2))), R_S),
    "R not symmetric": (law(R=[[1, 0.5], [0.4, 1]]), "R must be symmetric"),
    "R not ones": (law(R=[[1, 0.5], [0.5, 1.0001]]), "R must be a correlation matrix"),
    "R of truth values": (law(R=np.eye(2, dtype=bool)), "R must be an array of real numbers"),
    "R a stack": (law(R=I[None]), r"R must be of shape \(2, 2\)"),
    "R indefinite": (law(R=[[1, 2], [2, 1]]), R_S),
    "sigma True": (law(sigma=True), "sigma must be a finite number >= 0; got True"),
    "sigma a least negative number": (law(sigma=-5e-324), "sigma must be a finite number >= 0"),
    "sigma in a tensor": (law(sigma=torch.tensor(0.5)), "sigma must be a finite number >= 0"),
    "sigma beyond floats": (law(sigma=10**400), "sigma must be a finite number >= 0"),
    "sigma too large to square": (law(sigma=1e70), "Sx, C and sigma must be of a scale that float64 can square"),
    "replace n": (lambda: D.replace(n=3), "the name of a change must be one of"),
    "replace counts alone": (lambda: D.replace(counts=(1, 2, 3)), r"r must be of shape \(3,\)"),
    # Weights and predictors.
    "no distribution": (lambda: optimal_wpgd(None), "dist must be a PromptDistribution; got NoneType"),
    "no distribution, points": (lambda: stationary_points(3), "dist must be a PromptDistribution; got int"),
    "no distribution, uniqueness": (lambda: uniqueness("D"), "dist must be a PromptDistribution; got str"),
    "a class in capitals": (lambda: optimal_wpgd(D, "Free"), "weights must be one of"),
    "a class in bytes": (lambda: optimal_wpgd(D, b"free"), "weights must be an array of real numbers"),
    "weights of negative zeros": (lambda: optimal_wpgd(D, [-0.0, 0]), "weights must be not all zero"),
    "weights in a column": (lambda: optimal_wpgd(D, np.ones((2, 1))), "weights must be a class of weights or of shape"),
    "P and dist swapped": (lambda: population_risk(I, D, [1, 1]), "dist must be a PromptDistribution; got ndarray"),
    "P and omega swapped": (lambda: population_risk(D, [1, 1], I), r"P must be of shape \(2, 2\)"),
    "omega too large for its moments": (lambda: D.moments([1e200, 1]), r"omega must be such that n max\|omega\|"),
    "a risk too large": (lambda: population_risk(D, I, [1e200, 1]), "P and omega must be small enough for a finite ri"),
    # The two functions of the fixed point, and their fixed points.
    "h1 of nothing": (lambda: h1(None, 0.5), "dist must be a PromptDistribution; got NoneType"),
    "h1 of text": (lambda: h1(D, "a"), "h must be an array of real numbers"),
    "h1 of a complex number": (lambda: h1(D, 1j), "h must be an array of real numbers"),
    "h1 of NaN": (lambda: h1(D, nan), "h must be finite"),
    "h1 below zero, between its poles": (lambda: h1(D, -5.0), "h must be from 0 to 1e50"),
    "h1 too far": (lambda: h1(D, 1e300), "h must be from 0 to 1e50"),
    "h1 at r = 0": (lambda: h1(NULL, 0.5), "dist must be a distribution whose r is not zero"),
    "h2 of infinity": (lambda: h2(D, inf), "gamma must be finite"),
    "h2 of None": (lambda: h2(D, None), "gamma must be an array of real numbers"),
    "slope of two numbers": (lambda: slope(D, [1.0, 2.0]), r"gamma must be one number; got shape \(2,\)"),
    "slope of nothing": (lambda: slope(D, []), "gamma must be one number"),
    "slope at r = 0": (lambda: slope(NULL, 1.0), "dist must be a distribution whose r is not zero"),
    "a constant gate for r = 0": (lambda: constant_gate(NULL), "dist must be a distribution whose r is not zero"),
    "a constant gate for a number": (lambda: constant_gate(3), "dist must be a PromptDistribution; got int"),
    "bounds swapped": (points(middle, 5.0, 1.0), "high must be a finite number >= low = 5; got 1.0"),
    "a bound of NaN": (points(middle, nan, 5.0), "low must be a finite number >= 0; got nan"),
    "a bound below zero": (points(middle, -2.0, 5.0), "low must be a finite number >= 0; got -2.0"),
    "an infinite bound": (points(middle, 1.0, inf), "high must be a finite number >= low = 1"),
    "a bound of text": (points(middle, "a", 2.0), "low must be a finite number >= 0; got 'a'"),
    "no resolution": (points(middle, 1.0, 5.0, resolution=0), "resolution must be a number from 1e-14 to 1; got 0"),
    "a resolution of NaN": (points(middle, 1.0, 5.0, resolution=nan), "resolution must be a number"),
    "rounding of all": (points(middle, 1.0, 5.0, rounding=1), "rounding must be a number from 0 to 0.1; got 1"),
    "F a constant": (points(lambda x: 1.5, 1.0, 2.0), "F must be a function from arrays to arrays of one shape"),
    "F above its interval": (points(lambda x: 5 + 0 * x, 1.0, 2.0), r"F must be such that F\(low\) >= low"),
    "F below its interval": (points(lambda x: 0 * x, 1.0, 2.0), r"F must be such that F\(low\) >= low"),
    # Samples and records.
    "labels beyond float32": (
        lambda: D.replace(sigma=1e60).sample(2, gen(), dtype=torch.float32),
        "dtype must be of a range a hundred times 1e.60, the standard deviation of a label; got torch.float32",
    ),
    "features that are zero in float16": (
        lambda: D.replace(Sx=[1e-20] * 2).sample(2, gen(), dtype=torch.float16),
        "the root of Sx must be in the range of torch.float16",
    ),
    "tasks beyond float16": (
        lambda: D.replace(C=[1e12] * 2, Sx=[1e-9] * 2).sample(2, gen(), dtype=torch.float16),
        "the root of C must be in the range of torch.float16",
    ),
    "a context beyond float32": (
        lambda: Layout(context=[[1e300], [0], [0]])(D.sample(1, gen(), dtype=torch.float32)),
        "context must be in the range of torch.float32",
    ),
    "context 1 for True": (lambda: Layout(context=1)(drawn()), r"context must be of shape \(kinds, p\)"),
    "delimiters 1 for True": (lambda: Layout(delimiters=1)(drawn()), "delimiters must be one of True, False; got 1"),
    "prompts without tensors": (
        lambda: least_squares(Prompts(1, 2, 3, 4, 5, 6)),
        "prompts.x must be a torch tensor; got int",
    ),
    "labels too few": (
        lambda: least_squares(drawn(y=torch.zeros(2, 3, dtype=torch.float64))),
        r"prompts.y must be of shape \(2, 7\) and torch.float64; got shape \(2, 3\)",
    ),
    "labels of NaN": (lambda: bayes(D)(drawn(y=torch.full((2, 7), torch.nan, dtype=torch.float64))), "prompts.y must"),
    "labels in float32": (lambda: Layout()(drawn(y=torch.zeros(2, 7))), "prompts.y must be of shape .* and torch.flo"),
    "queries of another width": (
        lambda: Layout()(drawn(x_query=torch.zeros(2, 1, 3, dtype=torch.float64))),
        r"prompts.x_query must be of shape \(2, 1, 2\)",
    ),
    "gates above one, loaded": (
        lambda: GLA(3, gates=[0.5] * 8).load_state_dict(
            GLA(3, gates=[0.5] * 8).state_dict() | {"layers.0.given": torch.full((8, 1), 2.0)}
        ),
        r"gates must be in \[0, 1\]; got values from 2.0 to 2.0",
    ),
}
COVARIANCES = {
    "a number": (2.0, r"must be of shape \(2, 2\), or \(2,\) for a diagonal; got shape \(\)"),
    "too long": ([1, 2, 3], r"must be of shape \(2, 2\)"),
    "ragged": ([[1, 0], [0]], "must be an array of real numbers"),
    "text": ("12", "must be an array of real numbers"),
    "truth values": ([True, False], "must be an array of real numbers"),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), "must be an array without a mask"),
    "infinite": ([1, inf], "must be finite"),
    "least negative": ([1, -5e-324], "must be positive semidefinite"),
    "a hidden minus": ([[1, 0], [0, -1e-17]], "must be positive semidefinite"),
    "an exchange": ([[0, 1], [1, 0]], "must be positive semidefinite"),
}
for _name, (_value, _complaint) in COVARIANCES.items():
    BAD |= {f"{s} {_name}": (law(**{s: _value}), f"{s} {_complaint}") for s in ("Sx", "C")}
for _name, _value in {"zero": [0, 0], "huge": [1e300, 1e300], "tiny": [1e-160, 1e-160]}.items():
    BAD |= {f"{s} {_name}": (law(**{s: _value}), "Sx(, C)? and (C|sigma) must be") for s in ("Sx", "C")}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("error", "ignore:Sparse", "ignore:.*matrix subclass")
def test_bad_input_is_named_and_nothing_else_is_said(name):
    """One sentence that begins with the argument's name; no warning before it, and no other kind of error."""
    call, complaint = BAD[name]
    with pytest.raises((ValueError, TypeError), match=f"^{complaint}"):
        call()


def exact_risk(dist, P, omega):
    """E (y - prediction)^2 in 60 digits, for weights per task: M - 2 E[y f] + E[f^2], from Isserlis' theorem."""
    with mp.workdps(60):
        counts, w = mp.matrix([*dist.counts]), [mp.mpf(float(value)) for value in omega]
        R, r, Sx, C, P = (mp.matrix(np.asarray(value).tolist()) for value in (dist.R, dist.r, dist.Sx, dist.C, P))
        sums = mp.matrix([n * value for n, value in zip(counts, w, strict=True)])
        square = mp.fsum(n * value**2 for n, value in zip(counts, w, strict=True))

        def trace(A):
            return mp.fsum(A[i, i] for i in range(A.rows))

        M = mp.mpf(dist.sigma) ** 2 + trace(Sx * C)
        signal, shared = (r.T * sums)[0], (sums.T * R * sums)[0]
        noise = M * square * trace(P * Sx * P.T * Sx)
        return M - 2 * signal * trace(P * Sx * C * Sx) + noise + (square + shared) * trace(Sx * C * Sx * P.T * Sx * P)


EXTREME = {
    "one of everything": (1, (1,), (1.0,), {}),
    "an example for each atom": (1, (10**15,), (1.0,), {}),
    "the largest count": (1, (2**63 - 1,), (1.0,), {}),
    "one beside many": (2, (1, 10**15), (0.6, 0.8), {}),
    "many beside one": (2, (10**15, 1), (0.6, 0.8), {}),
    "a whisper among many": (3, (10**15, 3), (1e-9, 0), {}),
    "r too small to square": (3, (10, 3), (1e-200, 2e-200), {}),
    "r subnormal": (3, (10, 3), (5e-324, 0), {}),
    "r negative": (3, (5,), (-1.0,), {}),
    "two tasks nearly one": (3, (10, 3), (0.5, 0.5), {"R": [[1, 1 - 1e-15], [1 - 1e-15, 1]]}),
    "two tasks nearly one, r apart": (3, (10, 3), (0.5, 0.5 + 1e-7), {"R": [[1, 1 - 1e-12], [1 - 1e-12, 1]]}),
    "two tasks one": (3, (10, 3), (0.5, 0.5), {"R": [[1, 1], [1, 1]]}),
    "a task and its negative": (3, (10, 3), (0.5, -0.5), {"R": [[1, -1], [-1, 1]]}),
    "r on the edge": (3, (10, 3), (0.65**0.5, 0.65**0.5), {"R": [[1, 0.3], [0.3, 1]]}),
    "uniform weights in vain": (4, (4, 2), (0.3, -0.6), {}),
    "small features": (2, (5, 6), (0.3, 0.4), {"Sx": [1e-60, 2e-60]}),
    "large features": (2, (5, 6), (0.3, 0.4), {"Sx": [1e69, 2e69]}),
    "large features, small tasks": (2, (5, 6), (0.3, 0.4), {"Sx": [1e300, 2e300], "C": [1e-300, 2e-300]}),
    "small features, large tasks": (2, (5, 6), (0.3, 0.4), {"Sx": [1e-200, 2e-200], "C": [1e200, 2e200]}),
    "a feature that is nearly constant": (2, (5, 6), (0.3, 0.4), {"Sx": [1, 5e-324]}),
    "136 orders in one": (2, (10**15, 6), (0.3, 0.4), {"Sx": [1e68, 1e-68]}),
    "a signal in one direction": (2, (5, 6), (0.3, 0.4), {"Sx": [0, 1], "C": [1, 1e-100]}),
    "noise too small to square": (2, (10**15,), (1.0,), {"sigma": 1e-200}),
    "noise that drowns": (2, (10**15, 2), (0.6, 0.8), {"sigma": 1e69}),
    "noise far above the signal": (2, (10**15, 2), (0.6, 0.8), {"Sx": [1e-60, 1e-60], "sigma": 1e-3}),
}


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_distributions(name):
    """The optimum's risk is that of its P and omega, in 60 digits and by `population_risk`; classes are in order.

    The tolerance is a hundred roundings. The risk of P and omega is flat at the optimum, so their own rounding does
    not show. What is below 1e-15 M is below the rounding of the data: at r = 0.6, 0.8 even its sign is.
    """
    d, counts, r, options = EXTREME[name]
    dist = PromptDistribution(d, counts, r, **options)
    risks = {}
    for weights in ("free", "monotone", "uniform"):
        best = optimal_wpgd(dist, weights)
        exact = exact_risk(dist, best.P, best.omega)
        assert best.risk == pytest.approx(float(exact), rel=2e-14)
        assert population_risk(dist, best.P, best.omega) == pytest.approx(float(exact), rel=2e-14)
        risks[weights] = best.risk
    gate = optimal_wpgd(dist, "constant-gate").risk
    slack = 1 + 1e-9  # of branch and bound
    assert 0 <= risks["free"] <= risks["monotone"] * slack
    assert risks["monotone"] <= gate * slack
    assert gate <= risks["uniform"] * slack <= dist.M * slack**2


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1e-80, 1e80, 1e160, 1e200])
def test_only_p_times_omega_matters_at_any_size(size):
    """What one of them gains and the other loses changes no risk, also where the square of either is no number."""
    P, omega = np.array([[0.1, 0.02], [-0.03, 0.2]]), np.array([0.5, -1.0])
    want = float(exact_risk(D, P, omega))
    assert population_risk(D, P / size, omega * size) == pytest.approx(want, rel=1e-13)
    assert population_risk(D, P / size, D.expand(omega) * size) == pytest.approx(want, rel=1e-13)


def test_numbers_of_other_kinds():
    """bfloat16, float16, small integers, negative strides and leaves of a graph are taken at their values."""
    bfloat = torch.tensor([0.5, 0.125], dtype=torch.bfloat16)
    want = PromptDistribution(2, (3, 4), (0.5, 0.125))
    for r in (
        bfloat,
        np.float16([0.5, 0.125]),
        np.array([0.125, 0.5])[::-1],
        torch.tensor([0.5, 0.125]).requires_grad_(),
    ):
        assert PromptDistribution(np.uint8(2), np.array([3, 4], np.int8), r) == want
    assert population_risk(want, torch.eye(2, dtype=torch.bfloat16), bfloat) == population_risk(want, I, [0.5, 0.125])
    conjugate = torch.tensor([0.5j, 0.125j]).conj().imag  # torch keeps its minus aside
    assert PromptDistribution(2, (3, 4), conjugate).r.tolist() == [-0.5, -0.125]


def test_records_keep_what_they_say():
    """Nothing that is handed out can change what a distribution or an optimum says of itself."""
    best = optimal_wpgd(D)
    for array in (best.P, best.omega, D.r, D.R, D.Sx, D.C, *D.task_spectrum, *D.signal_spectrum):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9
    dist = D.replace()
    dist.task_index[:] = 0
    assert dist.expand([1.0, 2.0]).tolist() == [1, 1, 1, 2, 2, 2, 2]
    r, weights = np.array([0.2, 0.1]), np.array([3.0, 1.0])
    dist, given = PromptDistribution(2, (3, 4), r), optimal_wpgd(D, weights)
    r[0] = weights[0] = 0.9
    assert dist == D and given.omega.tolist() == [1, 1 / 3]


@pytest.mark.parametrize("weights", ["free", "uniform", "monotone", "constant-gate"])
@pytest.mark.parametrize("r", [(0.2, 0.1), (0, 0), (0, 1e-9), (1e-9, 0)])
def test_optima_go_through_pickle(weights, r):
    """Also where omega is not there yet, and for an optimum of a constant gate at either end."""
    best = optimal_wpgd(D.replace(r=r, counts=(10**3, 1)), weights)
    again = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(again.P, best.P)
    np.testing.assert_array_equal(again.omega, best.omega)
    assert (again.risk, again.gamma, again.gate, again.certificate) == (
        best.risk,
        best.gamma,
        best.gate,
        best.certificate,
    )


def test_fixed_points_next_to_zero():
    """No length is relatively short there, yet the enumeration ends: x^1/2 has the fixed points 0 and 1."""
    np.testing.assert_allclose(fixed_points(np.sqrt, 0.0, 2.0), [0, 1], rtol=1e-12)
    assert fixed_points(lambda x: x, 0.0, 0.0).tolist() == [0]
    assert fixed_points(lambda x: 1.5 + 0 * x, 1.5, 1.5).tolist() == [1.5]


def test_the_least_variance_is_kept():
    """The entries of a diagonal covariance are its eigenvalues, the smallest number of all too."""
    for diagonal in ([1, 5e-324], [[1, 0], [0, 5e-324]]):
        assert D.replace(Sx=diagonal).signal_spectrum[0].tolist() == [1, 5e-324]

"""Depth against plain loops, and what depth can and cannot reach."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from glalib import GLA, PromptDistribution, optimal_wpgd, simulate_risk
from glalib.baselines import bayes
from glalib.layout import Layout

SHAPES = {"layers": st.integers(1, 6), "n": st.integers(1, 9), "d": st.integers(1, 4), "m": st.integers(1, 4)}
SEEDS = st.integers(0, 2**32 - 1)


def tokens(x, y, x_query, context=0, rng=None):
    Z = np.column_stack([np.vstack([x, x_query]), np.append(y, 0.0)])
    return torch.from_numpy(np.column_stack([Z, rng.normal(size=(len(Z), context))]) if context else Z)


def iterates(x, y, x_query, P_q, P_k, gates, causal=True, sign=-1.0):
    """beta_i of every token after the last layer, by two plain loops; sign +1 on absolute values gives the size.

    The prediction is a polynomial in all numbers. With absolute values and residuals y + x beta it is the sum of the
    absolute values of its terms, and rounding is relative to that: the terms may cancel.
    """
    X, Y, n = np.vstack([x, x_query]), np.append(y, 0.0), len(x)
    beta = np.zeros_like(X)
    for Pq, Pk, g in zip(P_q, P_k, gates, strict=True):
        new = beta.copy()
        for i in range(n + 1):
            for j in range(i + 1 if causal else n):
                if causal:
                    Omega = g[j + 1 : i + 1].prod(0)
                else:
                    Omega = g[j + 1 : n].prod(0) * (g[n] if i == n else 1.0)
                new[i] += Pq @ ((Pk.T @ X[j]) * Omega) * (Y[j] + sign * X[j] @ beta[j])
        beta = new
    return beta


def prediction_and_size(x, y, x_query, P_q, P_k, gates, causal=True):
    wanted = x_query @ iterates(x, y, x_query, P_q, P_k, gates, causal)[-1]
    absolute = map(np.abs, (x, y, x_query, P_q, P_k, np.asarray(gates)))
    return wanted, np.abs(x_query) @ iterates(*absolute, causal, sign=1.0)[-1]


def draw_layers(rng, layers, n, d, m, gate, zero=False):
    x, y, x_query = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
    P_q, P_k = rng.normal(size=(2, layers, d, m)) / n**0.5
    gates = rng.uniform(0.3, 1.0, size=(layers, n + 1, *{"key": (m,), "value": (d + 1,)}.get(gate, ())))
    if zero:
        gates[rng.integers(layers), rng.integers(n + 1)] = 0.0
    return x, y, x_query, P_q, P_k, gates


@pytest.mark.claim("thm-depth")
@given(
    **SHAPES,
    gate=st.sampled_from([None, "scalar", "key", "value"]),
    causal=st.booleans(),
    zero=st.booleans(),
    context=st.integers(0, 2),
    seed=SEEDS,
)
def test_layers_are_coupled_descents(layers, n, d, m, gate, causal, zero, context, seed):
    rng = np.random.default_rng(seed)
    x, y, x_query, P_q, P_k, gates = draw_layers(rng, layers, n, d, m, gate, zero)
    given_gates, effective = list(gates), gates
    if gate is None:
        given_gates, effective = None, np.ones_like(gates)
    if gate == "value":  # only the label's entry acts; others are for features and context
        given_gates = [np.column_stack([g, rng.uniform(size=(n + 1, context))]) for g in gates]
        effective = gates[..., d]
    wanted, size = prediction_and_size(x, y, x_query, P_q, P_k, effective, causal)
    model = GLA.from_matrices(list(P_q), list(P_k), given_gates, gate or "scalar", context, causal)
    ours = model(tokens(x, y, x_query, context, rng)).item()
    assert abs(ours - wanted) <= 1e-12 * size


@pytest.mark.claim("thm-depth")
@given(
    layers=st.integers(2, 5),
    n=st.integers(1, 8),
    d=st.integers(1, 3),
    m=st.integers(1, 3),
    gate=st.sampled_from(["scalar", "key", "value"]),
    causal=st.booleans(),
    seed=SEEDS,
)
def test_gates_computed_from_the_stream(layers, n, d, m, gate, causal, seed):
    """Gates sigmoid(W_g^T z + b_g) that read the residual, computed here from the iterates, layer by layer."""
    rng = np.random.default_rng(seed)
    x, y, x_query, P_q, P_k, _ = draw_layers(rng, layers, n, d, m, None)
    P_q = P_q / 3  # residuals of order one
    like = GLA.from_matrices(list(P_q), list(P_k), causal=causal)
    model = GLA(d + 1, gate, layers, m, causal=causal, dtype=torch.float64)
    model.load_state_dict(like.state_dict(), strict=False)
    X, gates = np.vstack([x, x_query]), []
    for l, layer in enumerate(model.layers):
        W, b = rng.normal(size=layer.W_g.shape), rng.normal(size=layer.b_g.shape)
        with torch.no_grad():
            layer.W_g.copy_(torch.from_numpy(W))
            layer.b_g.copy_(torch.from_numpy(b))
        beta = iterates(x, y, x_query, P_q[:l], P_k[:l], gates, causal) if l else np.zeros_like(X)
        tokens_now = np.column_stack([X, np.append(y, 0.0) - (X * beta).sum(1)])
        g = expit(tokens_now @ W + b)
        gates.append({"scalar": g[:, 0], "value": g[:, -1], "key": g}[gate])
    wanted, size = prediction_and_size(x, y, x_query, P_q, P_k, gates, causal)
    # Errors of a residual also pass through its gate, with a slope of order one: rounding of the same kind.
    assert abs(model(tokens(x, y, x_query)).item() - wanted) <= 1e-12 * size


@pytest.mark.claim("thm-depth")
def test_every_token_holds_its_own_residual():
    """The residual stream itself: label coordinates y_i - x_i^T beta_i, and features untouched."""
    rng = np.random.default_rng(0)
    x, y, x_query, P_q, P_k, gates = draw_layers(rng, 4, 8, 3, 2, "key")
    model = GLA.from_matrices(list(P_q), list(P_k), list(gates), "key")
    Z = tokens(x, y, x_query)
    with torch.no_grad():
        stream = Z
        for layer in model.layers:  # the last has the same form: W_o is None where the values live in token space
            stream = stream + layer.write(stream, 8)
    beta = iterates(x, y, x_query, P_q, P_k, gates)
    labels = np.append(y, 0.0) - (np.vstack([x, x_query]) * beta).sum(1)
    np.testing.assert_allclose(stream[:, 3], labels, rtol=1e-12, atol=1e-12)
    assert torch.equal(stream[:, :3], Z[:, :3])


@pytest.mark.claim("thm-depth")
@given(n=st.integers(2, 9), seed=SEEDS)
def test_the_coupling_matters(n, seed):
    """With the query's iterate in place of each token's own, two layers are wrong by the coupling alone."""
    rng = np.random.default_rng(seed)
    x, y, x_query, P_q, P_k, gates = draw_layers(rng, 2, n, 3, 3, "scalar")
    X = np.vstack([x, x_query])
    exact = GLA.from_matrices(list(P_q), list(P_k), list(gates))(tokens(x, y, x_query)).item()
    first = iterates(x, y, x_query, P_q[:1], P_k[:1], gates[:1])
    keys = [(P_k[1].T @ X[j]) * gates[1, j + 1 :].prod() for j in range(n + 1)]
    coupling = sum(key * (X[j] @ (first[-1] - first[j])) for j, key in enumerate(keys))
    residual = np.append(y, 0.0) - X @ first[-1]
    shared = first[-1] + P_q[1] @ (np.array(keys).T @ residual)
    _, size = prediction_and_size(x, y, x_query, P_q, P_k, gates)
    assert abs(exact - (x_query @ shared + x_query @ P_q[1] @ coupling)) <= 1e-12 * size
    assert abs(exact - x_query @ shared) > 1e-12 * size


@pytest.mark.claim("prop-depth-full")
@given(**SHAPES, gate=st.sampled_from(["scalar", "key"]), unit=st.booleans(), seed=SEEDS)
def test_without_the_mask_examples_share_one_iterate(layers, n, d, m, gate, unit, seed):
    rng = np.random.default_rng(seed)
    x, y, x_query, P_q, P_k, gates = draw_layers(rng, layers, n, d, m, gate)
    if unit:
        gates[:, -1] = 1.0
    beta = query = np.zeros(d)
    for Pq, Pk, g in zip(P_q, P_k, gates, strict=True):
        Omega = np.array([g[j + 1 : n].prod(0) for j in range(n)]).reshape(n, -1)
        s = (x @ Pk * Omega).T @ (y - x @ beta)
        beta, query = beta + Pq @ s, query + Pq @ (g[-1] * s)
    wanted, size = prediction_and_size(x, y, x_query, P_q, P_k, gates, causal=False)
    assert abs(x_query @ query - wanted) <= 1e-12 * size
    if unit:
        assert abs(x_query @ beta - wanted) <= 1e-12 * size
    model = GLA.from_matrices(list(P_q), list(P_k), list(gates), gate, causal=False)
    assert abs(model(tokens(x, y, x_query)).item() - x_query @ query) <= 1e-12 * size


@pytest.mark.claim("prop-depth-full")
@given(**SHAPES, seed=SEEDS)
def test_a_query_that_writes_is_an_extra_example(layers, n, d, m, seed):
    """All n + 1 tokens read what all n + 1 write: plain attention, against descent with the example (x, 0)."""
    rng = np.random.default_rng(seed)
    x, y, x_query, P_q, P_k, _ = draw_layers(rng, layers, n, d, m, None)
    X, label, size = np.vstack([x, x_query]), np.append(y, 0.0), np.append(np.abs(y), 0.0)
    beta = np.zeros(d)
    for Pq, Pk in zip(P_q, P_k, strict=True):
        beta = beta + Pq @ Pk.T @ X.T @ (np.append(y, 0.0) - X @ beta)
        label = label - np.array([(X[i] @ Pq) @ (X @ Pk).T @ label for i in range(n + 1)])
        size = size + np.abs(X) @ np.abs(Pq) @ np.abs(Pk.T) @ np.abs(X.T) @ size
    assert abs(-label[-1] - x_query @ beta) <= 1e-12 * size[-1]
    model = GLA.from_matrices(list(P_q), list(P_k), causal=False)
    Z = tokens(X, np.append(y, 0.0), x_query)
    assert abs(model(Z).item() - x_query @ beta) <= 1e-12 * size[-1]


def delta_rule(x, y, g):
    w = np.zeros(x.shape[1])
    for x_i, y_i, g_i in zip(x, y, g, strict=True):
        w = g_i * w + x_i * (y_i - g_i * x_i @ w) / (x_i @ x_i)
    return w


@pytest.mark.claim("prop-delta-limit")
@settings(max_examples=40)
@given(n=st.integers(1, 8), d=st.integers(1, 4), seed=SEEDS)
def test_equal_causal_layers_end_at_the_delta_rule(n, d, seed):
    """Examples of length one: n layers are enough. A query of length 1e-6 has no own term to speak of."""
    rng = np.random.default_rng(seed)
    x, y, x_query = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    g = rng.uniform(0.2, 1.0, size=n + 1)
    eyes, gates = [np.eye(d)] * n, [g] * n
    wanted = g[n] * x_query @ delta_rule(x, y, g[:n])
    _, size = prediction_and_size(x, y, x_query, eyes, eyes, np.array(gates))
    ours = GLA.from_matrices(eyes, eyes, gates)(tokens(x, y, 1e-6 * x_query)).item() / 1e-6
    assert abs(ours - wanted) <= 1e-10 * (1 + x_query @ x_query) * size
    # The query as it stands, also of length one: after n + 1 layers every residual is gone, its own too.
    x_query = x_query / np.linalg.norm(x_query)
    eyes, gates = [np.eye(d)] * (n + 2), [g] * (n + 2)
    _, size = prediction_and_size(x, y, x_query, eyes, eyes, np.array(gates))
    assert abs(GLA.from_matrices(eyes, eyes, gates)(tokens(x, y, x_query)).item()) <= 1e-12 * size


@pytest.mark.claim("prop-delta-limit")
@settings(max_examples=40)
@given(n=st.integers(1, 6), d=st.integers(1, 3), seed=SEEDS)
def test_any_stable_step_ends_there(n, d, seed):
    """eta |x_i|^2 anywhere in (0, 2): the sum of the powers, not the nilpotent case. Label coordinates in numpy."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    eta = rng.uniform(0.3, 1.9)
    x *= np.sqrt(rng.uniform(0.2, 1.95, size=n) / eta)[:, None] / np.linalg.norm(x, axis=1, keepdims=True)
    g = rng.uniform(0.2, 1.0, size=n)
    T = np.array([[x[i] @ x[j] * g[j + 1 : i + 1].prod() if j <= i else 0.0 for j in range(n)] for i in range(n)])
    omega = np.array([g[j + 1 :].prod() for j in range(n)])
    w, u = np.zeros(d), y
    for _ in range(3000):
        w, u = w + eta * x.T @ (omega * u), u - eta * T @ u
    np.testing.assert_allclose(u, 0, atol=1e-9)
    np.testing.assert_allclose(w, delta_rule(x, y, g), rtol=1e-9, atol=1e-9 * np.abs(y).max())


@pytest.mark.claim("prop-delta-limit")
def test_equal_layers_without_the_mask_end_at_least_squares():
    rng = np.random.default_rng(0)
    for n, d in ((9, 2), (2, 4)):  # more examples than features, and fewer
        x, y, x_query, g = rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d), rng.uniform(0.5, 1, n + 1)
        omega = np.array([g[j + 1 : n].prod() for j in range(n)])
        S = x.T @ (omega[:, None] * x)
        eta, eyes = 1.5 / np.linalg.eigvalsh(S)[-1], [np.eye(d)] * 800
        model = GLA.from_matrices([eta * eye for eye in eyes], eyes, [g] * 800, causal=False)
        wanted = g[n] * x_query @ np.linalg.pinv(S) @ x.T @ (omega * y)
        assert abs(model(tokens(x, y, x_query)).item() - wanted) < 1e-9


@pytest.mark.claim("prop-delta-limit")
@pytest.mark.parametrize(("n", "d"), [(3, 2), (8, 4), (2, 5)])
def test_risk_of_the_sweep(n, d):
    dist = PromptDistribution(d, (n,), (1.0,))

    def sweep(p):
        w = torch.zeros_like(p.beta_query)
        for x, y in zip(p.x.unbind(1), p.y.unbind(1), strict=True):
            w = w + ((y - (x * w).sum(1)) / (x**2).sum(1))[:, None] * x
        return (p.x_query @ w[..., None])[..., 0]

    estimate = simulate_risk(sweep, dist, 40_000, generator=torch.Generator().manual_seed(0))
    assert abs(estimate.risk - d * (1 - 1 / d) ** n) < 4 * estimate.stderr
    if n >= d:  # the limit without the mask

        def least(p):
            return (p.x_query @ torch.linalg.lstsq(p.x, p.y[..., None]).solution)[..., 0]

        assert simulate_risk(least, dist, 1000, generator=torch.Generator().manual_seed(0)).risk < 1e-12


def steps_and_gates(q, rng):
    """Steps and query gates for q(S) X^T y, found as in the proof, with a random choice of each root."""
    phi, steps, gates = Polynomial([0.0, 1.0]) * q, [], []
    while phi.degree() > 1:
        slope = phi.coef[1]
        sizes = rng.uniform(2, 8) * 0.9 ** np.arange(300)
        z = next(z for z in np.sign(slope) * sizes if 0 < phi(z) <= 1 and abs(slope - phi(z) / z) > 1e-3 * abs(slope))
        steps, gates = [*steps, 1 / z], [*gates, phi(z)]
        phi = (phi - Polynomial([0.0, phi(z) / z])) // Polynomial([1.0, -1 / z])
    return np.array([*steps, phi.coef[1]]), np.array([*gates, 1.0])


@pytest.mark.claim("prop-depth-filter")
@given(degree=st.integers(0, 4), seed=SEEDS)
def test_query_gates_reach_every_polynomial(degree, seed):
    rng = np.random.default_rng(seed)
    q = Polynomial(rng.uniform(0.1, 1, size=degree + 1) * rng.choice([-1, 1], size=degree + 1))
    steps, gates = steps_and_gates(q, rng)
    assert len(steps) == degree + 1 and gates.min() >= 0 and gates.max() <= 1
    n, d = 6, 3
    x, y, x_query = rng.normal(size=(n, d)) / n**0.5, rng.normal(size=n), rng.normal(size=d)
    S, g = x.T @ x, np.ones((len(steps), n + 1))
    g[:, n] = gates
    model = GLA.from_matrices([s * np.eye(d) for s in steps], [np.eye(d)] * len(steps), list(g), causal=False)
    values, V = np.linalg.eigh(S)
    wanted = x_query @ V @ (q(values) * (V.T @ x.T @ y))
    # What the layers sum up, with absolute values: Newton's form may cancel.
    terms = [abs(s) * np.prod([1 + abs(t) * values[-1] for t in steps[:l]]) for l, s in enumerate(steps)]
    size = sum(terms) * np.linalg.norm(x_query) * np.linalg.norm(x.T @ y)
    assert abs(model(tokens(x, y, x_query)).item() - wanted) <= 1e-10 * size


def spectra(n, d, prompts, seed=0):
    x = np.random.default_rng(seed).normal(size=(prompts, n, d))
    return np.linalg.eigvalsh(x.swapaxes(1, 2) @ x)


@pytest.mark.claim("prop-depth-filter")
@pytest.mark.parametrize(("n", "sigma"), [(6, 0.0), (8, 1.0), (2, 0.7)])
def test_excess_formula(n, sigma):
    """Risk by simulation of q(S) X^T y against the Bayes predictor's plus the excess; also for n < d."""
    d, dist = 3, PromptDistribution(3, (n,), (1.0,), sigma=sigma)
    q = Polynomial([0.12, -0.004, 0.00005])
    z = spectra(n, d, 40_000).clip(0)
    live = np.where(z > 1e-9, z, 1.0)
    per_prompt = np.where(z > 1e-9, (q(z) - 1 / (live + sigma**2)) ** 2 * z * (z + sigma**2), 0).sum(1)

    def predict(p):
        values, V = torch.linalg.eigh(p.x.mT @ p.x)
        filtered = torch.from_numpy(q(values.numpy()))[..., None] * (V.mT @ (p.x.mT @ p.y[..., None]))
        return (p.x_query @ V @ filtered)[..., 0]

    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    ours, best = (
        simulate_risk(f, dist, 40_000, generator=g) for f, g in zip((predict, bayes(dist)), generators, strict=True)
    )
    noise = 4 * (ours.stderr + best.stderr + per_prompt.std() / 200)
    assert abs(ours.risk - best.risk - per_prompt.mean()) < noise
    assert per_prompt.mean() > 0.05  # there is something to see


@pytest.mark.claim("prop-depth-filter")
def test_without_noise_the_best_steps_are_reciprocal_roots():
    n, d = 12, 3
    z = spectra(n, d, 500).ravel()

    def excess(eta):
        return np.prod(1 - np.outer(z, eta), 1) @ np.prod(1 - np.outer(z, eta), 1) / 500

    # One layer: 1 - m_1 z / m_2 with the moments of the sample, and the optimum of Theorem 2 with those of the law.
    best = PromptDistribution(d, (n,), (1.0,))
    assert np.isclose(optimal_wpgd(best).risk, d - (n * d) ** 2 / (n * d * (n + d + 1)), rtol=1e-12)
    previous = d
    for L in range(1, 6):
        V = (z[:, None] / z.max()) ** np.arange(1, L + 1)
        c = np.linalg.lstsq(V, np.ones(len(z)), rcond=None)[0]  # 1 - z q of least square
        roots = Polynomial([1.0, *-c]).roots() * z.max()
        assert np.isreal(roots).all() and (roots.real > z.min()).all() and (roots.real < z.max()).all()
        least = ((1 - V @ c) ** 2).sum() / 500
        assert np.isclose(excess(1 / roots.real), least, rtol=1e-8)
        rng = np.random.default_rng(L)
        found = min(minimize(excess, rng.uniform(0, 0.2, size=L), method="BFGS").fun for _ in range(3))
        assert found > least * (1 - 1e-9) and least < 0.7 * previous
        previous = least


@pytest.mark.claim("prop-depth-filter")
@settings(max_examples=50)
@given(layers=st.integers(1, 8), a=st.floats(0.01, 5), width=st.floats(0.2, 20), noise=st.floats(0.05, 20), seed=SEEDS)
def test_no_steps_come_close_to_ridge(layers, a, width, noise, seed):
    """The explicit bound, against steps fitted to beat it."""
    b, t = a + width, a + width / 2
    f = {z: noise / (z + noise) for z in (a, t, b)}
    delta = (f[a] * f[b] - f[t] ** 2) / (f[a] + f[b] + 2 * f[t])
    assert 0 < delta < f[b]
    z = np.linspace(a, b, 101)

    def worst(eta):
        return np.abs(np.prod(1 - np.outer(z, eta), 1) - noise / (z + noise))

    rng = np.random.default_rng(seed)
    eta = rng.uniform(-0.2, 1.5, size=layers) / rng.choice([a, b])
    fitted = minimize(lambda e: (worst(e) ** 4).mean(), eta, method="L-BFGS-B", options={"maxiter": 30}).x
    assert worst(eta).max() >= delta * (1 - 1e-12) and worst(fitted).max() >= delta * (1 - 1e-12)


@pytest.mark.claim("prop-depth-filter")
def test_noise_leaves_a_gap_that_a_gate_closes():
    n, d, noise = 10, 5, 4.0
    z = spectra(n, d, 400).ravel()
    mass = z * (z + noise) / 400
    target, root = 1 / (z + noise), np.sqrt(mass)

    def excess(eta):
        factors = 1 - np.outer(z, eta)
        gap = (1 - factors.prod(1)) / z - target
        others = np.stack([np.delete(factors, l, 1).prod(1) for l in range(len(eta))], 1)
        return mass @ gap**2, 2 * (mass * gap) @ others

    def equal(L):  # all steps the same: one number to search
        return minimize_scalar(
            lambda step: mass @ ((1 - (1 - step * z) ** L) / z - target) ** 2,
            bounds=(0, 1 / L),
            method="bounded",
            options={"xatol": 1e-10},
        ).fun

    # No end of the descents: many equal steps tend to gradient flow, stopped at its best time.
    flow = minimize_scalar(lambda t: mass @ (-np.expm1(-t * z) / z - target) ** 2, bounds=(0, 1), method="bounded").fun
    for L in (6, 12):
        V = (z[:, None] / z.max()) ** np.arange(L)
        polynomial = np.linalg.lstsq(root[:, None] * V, root * target, rcond=None)[0]
        least = mass @ (V @ polynomial - target) ** 2
        rng = np.random.default_rng(L)
        starts = [rng.uniform(-0.01, 0.05, size=L) for _ in range(8)] + [np.full(L, 0.14 / L)]
        ends = [minimize(excess, eta, jac=True, method="BFGS").fun for eta in starts]
        assert ends == pytest.approx([equal(L)] * len(ends), rel=1e-6)  # every start ends at equal steps
        assert min(ends) > flow > 10 * least
    assert equal(12) > equal(100) > flow and equal(1000) < 1.01 * flow


@pytest.mark.claim("prop-depth-bayes")
@pytest.mark.parametrize(
    ("counts", "r", "sigma"),
    [((3, 4), (0.2, 0.8), 0.9), ((2, 3, 1), (-0.6, 0.5, 0.4), 0.7), ((3, 1), (0.7, -0.5), 0.0), ((3,), (-0.4,), 0.5)],
)
def test_there_and_back(counts, r, sigma):
    """The construction with scalar gates, run layer by layer; error O(1/N), then exp(-T ...)."""
    d, n = 2, sum(counts)
    dist = PromptDistribution(d, counts, r, sigma=sigma, Sx=0.06 * np.eye(d))
    prompt = dist.sample(1, torch.Generator().manual_seed(1), dtype=torch.float64)
    x, y, x_query = (v[0].numpy() for v in (prompt.x, prompt.y, prompt.x_query))
    starts = np.cumsum((0, *counts))

    def layers(T, N):
        for k, r_k in enumerate(r):
            for way in (1, -1):
                for s in range(N):
                    tau = T * s / N if way > 0 else T * (1 - s / N)
                    for step, first in ((way, k), (-way, k + 1)):
                        g = np.ones(n + 1)
                        if 0 < first < len(counts):
                            g[starts[first]] = 0.0
                        g[n] = abs(r_k) * np.exp(-(sigma**2) * tau) if way * r_k > 0 else 0.0
                        yield step * T / N if first < len(counts) else 0.0, g

    def descend(T, N):
        beta = query = np.zeros(d)
        for eta, g in layers(T, N):
            omega = np.append(np.cumprod(g[1:n][::-1])[::-1], 1.0)
            change = eta * x.T @ (omega * (y - x @ beta))
            beta, query = beta + change, query + g[n] * change
        return x_query[0] @ query, beta

    eta, gates = zip(*layers(1.0, 3), strict=True)
    assert len(eta) == 4 * len(r) * 3 and np.min(gates) >= 0 and np.max(gates) <= 1
    model = GLA.from_matrices([e * np.eye(d) for e in eta], [np.eye(d)] * len(eta), list(gates), causal=False)
    wanted, size = prediction_and_size(
        x, y, x_query[0], np.multiply.outer(eta, np.eye(d)), [np.eye(d)] * len(eta), np.array(gates), False
    )
    assert abs(model(Layout()(prompt)).item() - wanted) <= 1e-12 * size
    assert abs(descend(1.0, 3)[0] - wanted) <= 1e-12 * size

    T = 6.0
    limit = rest = size = 0.0
    lowest = np.inf
    for k, r_k in enumerate(r):
        block = slice(starts[k], starts[k + 1])
        values, V = np.linalg.eigh(x[block].T @ x[block] + sigma**2 * np.eye(d))
        live = values > 1e-12  # without noise, the range of S_k
        v = np.where(live, V.T @ x[block].T @ y[block] / np.where(live, values, 1.0), 0.0)
        limit += r_k * x_query[0] @ V @ ((1 - np.exp(-T * values)) * v)
        rest += r_k * x_query[0] @ V @ (np.exp(-T * values) * v)
        size += np.linalg.norm(x_query[0]) * np.linalg.norm(v)
        lowest = min(lowest, values[live].min())
    (once, left), (twice, left_twice) = descend(T, 400), descend(T, 800)
    target = bayes(dist)(prompt).item()
    scale = abs(target) + np.abs(x_query[0]) @ np.abs(x.T @ y)
    assert abs(2 * twice - once - limit) < 2e-3 * scale  # O(1/N^2) is left
    assert abs(limit + rest - target) < 1e-9 * size  # the Bayes predictor, with the pseudo-inverse if there is no noise
    assert abs(rest) <= np.exp(-T * lowest) * size
    assert abs(np.linalg.norm(left) / np.linalg.norm(left_twice) - 2) < 0.2  # back at zero, up to O(1/N)
    assert abs(twice - limit) < 0.6 * abs(once - limit)

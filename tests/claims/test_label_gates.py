"""Gates that read labels: other routes to what the page on them says."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import kv

from glalib import GLA, PromptDistribution
from glalib.label_energy import both_sums, energies


def count_hat(S, n, d):
    p, z = (n - d) / 2, np.sqrt(S)
    return z * kv(p + 1, z) / kv(p, z)


def prompts(rng, draws, d, counts, mix, sigma=0.0):
    """Tasks mixed by a matrix of rows (K+1, K), labels, features; the last row is the query's task."""
    index = np.repeat(np.arange(len(counts)), counts)
    own = rng.normal(size=(draws, len(mix[0]), d))
    tasks = np.einsum("kl,bld->bkd", np.array(mix), own)
    x = rng.normal(size=(draws, len(index), d))
    y = (x * tasks[:, index]).sum(2) + sigma * rng.normal(size=(draws, len(index)))
    return index, tasks, x, y


@pytest.mark.claim("thm-label-energy")
@pytest.mark.parametrize("n, d", [(1, 3), (4, 2), (6, 9)])
@pytest.mark.parametrize("sigma", [0.0, 1.5])
def test_given_labels_the_regression_is_solved_by_equal_weights(n, d, sigma):
    """The moments given labels by one-dimensional integrals, and the normal equations solved without any structure."""
    y = np.linspace(0.3, 1.7, n) * (-1.0) ** np.arange(n)
    S = y @ y

    def mean(f):
        def law(u):  # of u = log |beta|^2
            t = np.exp(u) + sigma**2
            return np.exp(u * d / 2 - np.exp(u) / 2 - S / (2 * t)) / t ** (n / 2)

        return quad(lambda u: f(np.exp(u)) * law(u), -12, 8, limit=200)[0] / quad(law, -12, 8, limit=200)[0]

    told = mean(lambda s: s / (s + sigma**2))
    gram = np.outer(y, y) * mean(lambda s: s / (s + sigma**2) ** 2) + (d - told) * np.eye(n)
    weights = np.linalg.solve(gram, 0.6 * told * y) / y
    tau, tau2 = (mean(lambda s, k=k: (s + sigma**2) ** -k) for k in (1, 2))
    formula = 0.6 * (1 - sigma**2 * tau) / ((tau - sigma**2 * tau2) * S + d - 1 + sigma**2 * tau)
    assert np.allclose(weights, formula, rtol=1e-7)
    if sigma == 0:
        assert np.allclose(weights, 0.6 / (count_hat(S, n, d) + d - 1), rtol=1e-7)


@pytest.mark.claim("thm-label-energy")
def test_correlated_tasks_read_energies_alone():
    """Two correlated tasks: weights from sums over many Gram matrices leave nothing that other uses of labels see."""
    rng, d, counts = np.random.default_rng(0), 2, (2, 3)
    mix = [[1.0, 0.0], [0.6, 0.8], [0.9, 0.3]]
    index, tasks, x, y = prompts(rng, 3000, d, counts, mix, sigma=0.5)
    S = np.stack([(y[:, index == k] ** 2).sum(1) for k in (0, 1)], 1)
    drawn = np.einsum("kl,bld->bkd", np.array(mix), rng.normal(size=(2000, 2, d)))
    inner = np.einsum("bkd,bld->bkl", drawn, drawn)
    t = np.stack([inner[:, k, k] + 0.25 for k in (0, 1)], 1)
    log = -(np.array(counts) / 2 * np.log(t)).sum(1) - S[:, :1] / (2 * t[:, 0]) - S[:, 1:] / (2 * t[:, 1])
    law = np.exp(log - log.max(1, keepdims=True))
    law /= law.sum(1, keepdims=True)
    T = np.einsum("ab,bkl->akl", law, inner[:, :2, :2] / (t[:, :, None] * t[:, None]))
    e = d - law @ ((t - 0.25) / t)
    c = law @ (inner[:, 2, :2] / t)
    omega = np.linalg.solve(T * S[:, None] + e[:, :, None] * np.eye(2), c[..., None])[..., 0]
    # The normal equations of one prompt's weights, one for each example, under the same law of tasks.
    b, labels = drawn[:, index], y[0]
    variance = (b**2).sum(2) + 0.5**2
    mean = b * (labels / variance)[..., None]  # of x_i, given the tasks and y_i
    products = np.einsum("g,gia,gja->ij", law[0], mean, mean) + np.diag(law[0] @ (d - (b**2).sum(2) / variance))
    wanted = np.einsum("g,ga,gia->i", law[0], drawn[:, 2], mean)
    exact = np.linalg.solve(np.outer(labels, labels) * products, labels * wanted)
    assert np.allclose(omega[0, index], exact, rtol=1e-9)
    v = ((omega[:, index] * y)[..., None] * x).sum(1)
    for use in (y, y**3, y * y[:, ::-1] ** 2, np.sin(y) * (index == 0), y * (index == 1)):
        z = ((tasks[:, 2] - v) * (use[..., None] * x).sum(1)).sum(1)
        # Four standard errors of the prompts; the sums over Gram matrices err by less than one.
        assert abs(z.mean()) < 5 * z.std() / len(z) ** 0.5


@pytest.mark.claim("prop-label-ceiling")
@pytest.mark.parametrize("gate", ["scalar", "key", "value"])
def test_random_layers_split_into_a_part_that_counts_and_one_that_does_not(gate):
    """E (y - f)^2 = E (y - part)^2 + E (f - part)^2, where the part is odd in x_1, ..., x_n and in x."""
    generator = torch.Generator().manual_seed(1)
    net = GLA(4, gate, context_width=1, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for W in net.parameters():
            W.copy_(torch.randn(W.shape, generator=generator, dtype=torch.float64) / 2)
        net.layers[0].W_g[:2] = 0.0
    p = PromptDistribution(2, (2, 1), (0.6, 0.7)).sample(60_000, generator, dtype=torch.float64)
    y_query = p.y_query[:, 0]

    def predict(x, q):
        Z = x.new_zeros(len(x), 4, 4)
        Z[:, :3, :2], Z[:, :3, 2], Z[:, 3, :2], Z[:, 3, 3] = x, p.y, q, 1.0
        with torch.no_grad():
            return net(Z)[:, 0]

    q = p.x_query[:, 0]
    f = predict(p.x, q)
    part = (f - predict(-p.x, q) - predict(p.x, -q) + predict(-p.x, -q)) / 4
    excess = (y_query - f) ** 2 - (y_query - part) ** 2 - (f - part) ** 2
    assert abs(excess.mean()) < 4 * excess.std() / len(f) ** 0.5
    assert (f - part).abs().mean() > 0.01


@pytest.mark.claim("prop-label-gain")
@pytest.mark.parametrize("n, d", [(3, 2), (2, 3), (30, 30), (200, 4)])
def test_gain_by_sampling_energies(n, d):
    """A Jensen gap, by Monte Carlo: mean of S / U less the fixed weights' gain, and its bounds."""
    rng, draws = np.random.default_rng(0), 400_000
    S = rng.chisquare(n, draws) * rng.chisquare(d, draws)
    U = count_hat(S, n, d) + d - 1
    w = 1 / (n + d + 1)
    gap = S * U * (1 / U - w) ** 2  # what fixed weights lose, prompt by prompt
    assert gap.mean() == pytest.approx((S / U).mean() - n * d * w, abs=0.01 * n * d * w)
    error = gap.std() / draws**0.5
    assert error < 0.02 * gap.mean()  # a tenth off would be seen
    limit = 2 * n**2 * d**2 / (n + d) ** 4
    bound = 2 * n * d * (min(n, d) + 2) / (n + d + 1) ** 2 / (max(n, d) - 1)
    assert gap.mean() < bound and (n < 200 or gap.mean() > 0.91 * bound)  # it tends to its bound as n grows
    if n == d == 30:
        assert abs(gap.mean() / limit - 1) < 0.02 + 4 * error / limit


@pytest.mark.claim("prop-causal-label-gate")
def test_the_best_that_a_weight_can_do_that_does_not_read_its_block():
    """The floor: the last example's weight is a constant given its block; its least cost, twice."""
    rng, draws, n, d, r = np.random.default_rng(1), 400_000, 3, 3, 0.8
    _, _, _, y = prompts(rng, draws, d, (n,), [[1.0], [r]])
    S = (y**2).sum(1)
    best = r / (count_hat(S, n, d) + d - 1)
    square, cross, whole = (y[:, -1] ** 2).mean(), (y[:, -1] ** 2 * best).mean(), (y[:, -1] ** 2 * best**2).mean()
    least = (d - 1) * (whole - cross**2 / square)
    inverse, tilt = best / r, S / (n * d)
    floor = d * (d - 1) * r**2 * ((tilt * inverse**2).mean() - (tilt * inverse).mean() ** 2)
    assert floor > 0 and least == pytest.approx(floor, rel=0.03)


@pytest.mark.claim("prop-causal-label-gate")
def test_sums_of_powers_against_products_written_out():
    """Three examples, a gate with two values: all means by hand, given the length of the task."""
    rng, s, c, draws = np.random.default_rng(2), 1.7, 0.4, 400_000
    y = np.sqrt(s) * rng.normal(size=(draws, 3))
    g = np.where(y > 0.5, c, 1.0)
    omega = np.stack([g[:, 1] * g[:, 2], g[:, 2], np.ones(draws)], 1)
    m1, m2, m3 = g.mean(), (g**2).mean(), (g * y**2).mean()
    square = (omega * y**2).sum(1) ** 2
    formula = 3 * s**2 * (1 + m2 + m2**2) + 2 * s * m3 * (m2 + 1 + m1)
    assert formula == pytest.approx(square.mean(), rel=0.01)
    assert s * (1 + m1 + m1**2) == pytest.approx((omega * y**2).sum(1).mean(), rel=5e-3)


@pytest.mark.claim("prop-one-example")
def test_a_gate_that_is_its_label_takes_what_pairs_would():
    """One example and the gate g(y) = y: the pair itself, which gains r^2 d / (d + 2); the bound is r^2."""
    rng, draws = np.random.default_rng(3), 400_000
    for d in (2, 20):
        _, tasks, x, y = prompts(rng, draws if d == 2 else 60_000, d, (1,), [[1.0], [0.7]])
        v = y[..., 0, None] * x[:, 0]
        gained = (tasks[:, 1] * v).sum(1).mean() ** 2 / (v * v).sum(1).mean()
        assert gained == pytest.approx(0.49 * d / (d + 2), rel=0.02)


@pytest.mark.claim("prop-one-example")
def test_no_gate_of_three_values_gains_more_than_one_example():
    """Gates with random values on three ranges of labels, by sampling; and linear gates, which come near."""
    rng = np.random.default_rng(4)
    _, tasks, x, y = prompts(rng, 10_000, 12, (5,), [[1.0], [1.0]])
    shares = []
    for _ in range(30):
        values = np.sort(rng.normal(size=(5, 3)), 1)
        g = np.stack([values[j][np.digitize(y[:, j], (-3, 3))] for j in range(5)], 1)
        a = np.cumprod(g[:, ::-1], 1)[:, ::-1]
        v = (a[..., None] * x).sum(1)
        told = (tasks[:, 1] * v).sum(1)
        error = told.std() / len(told) ** 0.5
        assert max(abs(told.mean()) - 4 * error, 0) ** 2 <= (v * v).sum(1).mean()
        shares.append(told.mean() ** 2 / (v * v).sum(1).mean())
    assert max(shares) == pytest.approx(0.547, rel=0.03)  # so near come gates that rise; linear ones, below, nearer
    # 1 + y / |beta|: each label leaves half of what is before, and five leave 1/32.
    d, ell = 200, rng.chisquare(200, 1_000_000)
    y = np.sqrt(ell)[:, None] * rng.normal(size=(len(ell), 5))
    a = np.cumprod((1 + y / d**0.5)[:, ::-1], 1)[:, ::-1] * 2.0 ** np.arange(-4, 1)
    told, square = (a * y).sum(1), (a**2).sum(1)  # beta^T x_i is y_i
    gained = told.mean() ** 2 / (told**2 / ell + (d - 1) * square).mean()
    assert 0.94 < gained < 1


def product_rule(count, points=24):
    """Nodes (count, points ** count) and weights for means over independent Gaussian numbers."""
    at, w = np.polynomial.hermite_e.hermegauss(points)
    grid = np.stack([v.ravel() for v in np.meshgrid(*[at] * count, indexing="ij")])
    return grid, np.prod([v.ravel() for v in np.meshgrid(*[w / w.sum()] * count, indexing="ij")], 0)


@pytest.mark.claim("prop-even-gate")
def test_two_examples_in_one_dimension_and_their_even_gates():
    """Integrals over the task, both features and the query's; the even part of a sigmoid in closed form."""
    (beta, x_1, x_2, x), w = product_rule(4)
    y_1, y_2 = beta * x_1, beta * x_2

    def sigmoid(b, s):
        return 1 / (1 + np.exp(-b - s))

    def even(b, s):
        return (1 + np.sinh(b) / (np.cosh(b) + np.cosh(s))) / 2

    def errors(gate, query):
        f = x * query(1.2, 0.4 * x) * 0.4 * (gate(0.5, 0.3 * x_2 - 0.5 * y_2) * x_1 * y_1 + x_2 * y_2)
        return f, w @ (0.7 * beta * x - f) ** 2

    f, whole = errors(sigmoid, sigmoid)
    f_even, least = errors(even, even)
    apart = w @ (f - f_even) ** 2
    assert whole - least == pytest.approx(apart, rel=1e-6) and apart > 0.01
    half, between = errors(even, sigmoid)  # one gate after the other
    assert whole > between > least and between - least == pytest.approx(w @ (half - f_even) ** 2, rel=1e-6)


@pytest.mark.claim("prop-where-to-close")
@pytest.mark.parametrize("j", [1, 2, 3])
def test_closing_one_gate_of_three_in_one_dimension(j):
    """The derivative of the squared error itself, for a function that is not even, in a block of three."""
    (beta, *x), w = product_rule(4)
    writes, c = [beta * v * v for v in x], 0.8 / (3 + 1 + 1)
    phi = 1 / (1 + np.exp(1 - (1 + beta) * x[j - 1]))  # of its features and its label
    before = np.sum(writes[: j - 1], 0) if j > 1 else 0 * beta
    derivative = w @ (-2 * (c * np.sum(writes, 0) - 0.8 * beta) * c * phi * before)
    formula = -2 * (j - 1) * 0.8**2 / 5**2 * (w @ (phi * ((beta * x[j - 1]) ** 2 - beta**2)))
    assert derivative == pytest.approx(formula, rel=1e-3, abs=1e-12)
    assert j == 1 or abs(formula) > 1e-3


@pytest.mark.claim("prop-reads-both")
def test_a_causal_gate_that_reads_both_passes_below_all_labels():
    """The gate of the proposition: its own simulation lies below what all labels give, by four standard errors."""
    rng, draws = np.random.default_rng(3), 400_000
    beta, V = rng.normal(size=(draws, 2)), np.zeros((draws, 2))
    for _ in range(10):
        x = rng.normal(size=(draws, 2))
        y = (x * beta).sum(1)
        t = y**2 / (y**2 / (x**2).sum(1) + 1)
        V = np.clip(1.11 - 0.13 * t, 0, 1)[:, None] * V + y[:, None] * x
    S, w = energies(10, 2)
    labels = (w * S / (count_hat(S, 10, 2) + 1)).sum()
    told, square, *_ = both_sums(lambda q, y: np.clip(1.11 - 0.13 * y**2 / (y**2 / q + 1), 0, 1), 10, 2)
    scale = told / square
    gained = 2 * scale * (beta * V).sum(1) - scale**2 * (V * V).sum(1)
    error = gained.std() / draws**0.5
    assert abs(gained.mean() - told**2 / square) < 4 * error
    assert told**2 / square - labels > 0.03 > 4 * error


def mean_gates(start, fall, ell, cosine):
    """E g, E g^2, E g q of g = clip(start - fall q h) for an exponential q of mean two, h from ell and cos^2."""
    b = np.maximum(fall * ell[:, None] * cosine / (ell[:, None] * cosine + 1), 1e-300)
    low, high = np.minimum((start - 1) / b, 1e4), np.minimum(start / b, 1e5)  # where it leaves one, comes to zero
    one = 1 - 2 * b * (np.exp(-low / 2) - np.exp(-high / 2))
    two, told = 1.0, 2.0
    for q, sign in ((high, -1), (low, 1)):
        two = two + sign * 2 * b * (4 * b - 2 * (start - b * q)) * np.exp(-q / 2)
        told = told - sign * b * (2 * q + 8) * np.exp(-q / 2)
    return one, two, told


@pytest.mark.claim("prop-reads-both")
def test_the_margin_by_bounds_from_cells():
    """Ends of cells bound the first sum from below and the second from above, so no error of a quadrature enters."""
    ends = np.concatenate([[0], np.geomspace(1e-4, 60, 4000), [np.inf]])
    mass = np.diff(np.append(-(ends[:-1] + 2) * np.exp(-ends[:-1] / 2), 0))  # E ell on each cell
    angle = np.linspace(0, np.pi / 2, 401)
    cosine, cells = np.cos(angle) ** 2, np.diff(angle / 2 + np.sin(2 * angle) / 4) / angle[1]
    least = mean_gates(1.11, 0.13, ends[1:-1], cosine[:-1])[0].mean(1)
    most = mean_gates(1.11, 0.13, ends[:-1], cosine[1:])
    one, two, told = most[0].mean(1), most[1].mean(1), (most[2] * cells).mean(1)
    T_low, T, U = 0.0, 0.0, 0.0
    for _ in range(10):
        T_low, T, U = least * T_low + 1, one * T + 1, two * U + 2 * told * T + 4
    reached = (T_low @ mass[:-1]) ** 2 / (U @ mass)
    S, w = energies(10, 2)
    labels = (w * S / (count_hat(S, 10, 2) + 1)).sum()  # a smooth integrand
    assert reached > 1.618 and reached - labels > 0.03
    exact = both_sums(lambda q, y: np.clip(1.11 - 0.13 * y**2 / (y**2 / q + 1), 0, 1), 10, 2)
    assert T_low @ mass[:-1] < exact[0] and exact[1] < U @ mass
    assert exact[0] ** 2 / exact[1] < reached + 0.006

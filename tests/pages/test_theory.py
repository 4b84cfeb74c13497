"""What figures compute in the page (assets/live/theory.js) is what `glalib` computes. No built book is needed."""

from pathlib import Path

import numpy as np
import pytest

from book import chromium
from glalib import PromptDistribution, delta_rule_risk, optimal_delta_rule, optimal_wpgd, population_risk
from glalib.gates import gates_to_weights

SCRIPT = Path(__file__).resolve().parents[2] / "assets" / "live" / "theory.js"
# Of the size of the numbers. Both sides round at 1e-16, times the condition of systems of two, which is below 1e4 here.
CLOSE = 1e-9


@pytest.fixture(scope="module")
def page():
    if reason := chromium.lacking():
        pytest.skip(reason)
    with chromium.opened() as browser:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.add_script_tag(path=str(SCRIPT))
        yield page
        page.close()


def in_page(page, body, cases):
    """What a function of glalib.js, with `law` and the rest of each case as its arguments, gives for each case."""
    return page.evaluate(
        f"(cases) => cases.map((given) => {{ const g = glalib; const law = given.law; {body} }})", cases
    )


def law(d, counts, r, R12=0.0, sigma=0.0):
    return {"d": d, "counts": list(counts), "r": list(r), "R": [[1.0, R12], [R12, 1.0]], "sigma": sigma}


def twin(law):
    return PromptDistribution(law["d"], law["counts"], law["r"], R=law["R"], sigma=law["sigma"])


EXTREMES = [
    law(10, (50, 50), (0.2, 0.8)),
    law(10, (50, 50), (0.8, 0.2)),
    law(10, (50, 50), (0.0, 1.0)),
    law(10, (50, 50), (1.0, 0.0)),
    law(10, (50, 50), (0.5, 0.5)),
    law(10, (50, 50), (0.5, -0.5)),
    law(5, (6, 6), (-0.8, 0.2), sigma=0.5),
    law(10, (1000, 1), (0.7, 0.7)),
    law(10, (1, 1000), (0.7, 0.7), sigma=3.0),
    law(1, (1, 1), (0.3, -0.9)),
    law(100, (1000, 1000), (0.6, 0.65), R12=0.99),
    law(10, (40, 80), (0.05, -0.05), R12=-0.99, sigma=0.1),
    law(10, (1000, 1000), (0.5, 0.4), R12=0.9),
    law(2, (900, 3), (-0.6, -0.7)),
]


def drawn(rng):
    """Two tasks of which all but the outermost are possible; counts up to 1000, often of another order of size."""
    while True:
        R12 = float(rng.choice([0.0, rng.uniform(-0.99, 0.99), 0.99, -0.99], p=[0.3, 0.6, 0.05, 0.05]))
        r = [float(rng.choice([0.0, x], p=[0.1, 0.9])) for x in rng.uniform(-1, 1, 2)]
        if 1 - R12**2 - r[0] ** 2 - r[1] ** 2 + 2 * R12 * r[0] * r[1] > 1e-6 and any(r):
            break
    counts = [int(x) for x in np.exp(rng.uniform(0, np.log(1000), 2)).round()]
    sigma = float(rng.choice([0.0, rng.uniform(0, 3)]))
    return law(int(np.exp(rng.uniform(0, np.log(100))).round()), counts, r, R12, sigma)


@pytest.fixture(scope="module")
def laws():
    rng = np.random.default_rng(0)
    return EXTREMES + [drawn(rng) for _ in range(240)]


def test_the_best_of_each_class_of_weights(page, laws):
    body = "return [g.uniform(law), g.monotone(law), g.free(law), g.constantGate(law)]"
    for given, found in zip(laws, in_page(page, body, [{"law": one} for one in laws]), strict=True):
        dist = twin(given)
        for kind, point in zip(("uniform", "monotone", "free", "constant-gate"), found, strict=True):
            best = optimal_wpgd(dist, kind)
            # The risk of the constant gate is bounded to 1e-9 M by its twin.
            assert point["risk"] == pytest.approx(best.risk, rel=CLOSE), (kind, given)
            if kind == "free":  # weights are up to a factor
                omega = np.array(point["omega"])
                assert omega * np.sign(omega @ best.omega) == pytest.approx(best.omega, abs=CLOSE), given
                assert abs(point["P"]) == pytest.approx(abs(best.P[0, 0]), rel=CLOSE), given
                assert point["gamma"] == pytest.approx(best.gamma, rel=CLOSE), given


def test_tasks_may_be_more_than_two(page):
    rng = np.random.default_rng(1)
    for _ in range(40):
        K = int(rng.integers(1, 6))
        A = rng.normal(size=(K + 1, K + 3))
        S = A @ A.T
        S /= np.sqrt(np.outer(np.diag(S), np.diag(S)))
        given = {"d": 7, "counts": rng.integers(1, 30, K).tolist(), "r": S[-1, :-1].tolist(), "R": S[:-1, :-1].tolist()}
        given["sigma"] = 0.3
        body = "return [g.uniform(law), g.monotone(law), g.free(law), g.constantGate(law)].map(({ risk }) => risk)"
        (found,) = in_page(page, body, [{"law": given}])
        wanted = [optimal_wpgd(twin(given), kind).risk for kind in ("uniform", "monotone", "free", "constant-gate")]
        assert found == pytest.approx(wanted, rel=CLOSE), given


def test_given_weights_and_gates(page, laws):
    rng = np.random.default_rng(2)
    cases = []
    for given in laws:
        n = sum(given["counts"])
        gates = rng.choice([0.0, 1.0, rng.uniform(), 0.9], size=n + 1, p=[0.02, 0.5, 0.28, 0.2]).tolist()
        gates[-1] = 1.0  # else all weights may be zero
        cases.append({"law": given, "gates": gates, "omega": rng.normal(size=n).tolist(), "p": float(rng.normal())})
    body = """const w = g.gatesToWeights(given.gates);
        const size = g.stateSize(law, given.omega);
        const [gated, signed] = [g.bestP(law, w), g.bestP(law, given.omega)].map(({ risk }) => risk);
        return [w, gated, signed, g.populationRisk(law, given.p, given.omega), size]"""
    for case, (weights, gated, signed, risk, size) in zip(cases, in_page(page, body, cases), strict=True):
        dist = twin(case["law"])
        wanted = gates_to_weights(np.array(case["gates"]))
        assert weights == pytest.approx(wanted, rel=CLOSE, abs=1e-300)
        assert gated == pytest.approx(optimal_wpgd(dist, wanted).risk, rel=CLOSE)
        assert signed == pytest.approx(optimal_wpgd(dist, case["omega"]).risk, rel=CLOSE)
        wanted = population_risk(dist, case["p"] * np.eye(dist.d), case["omega"])
        assert risk == pytest.approx(wanted, rel=CLOSE)
        # For a white query the square of the memory's size is what the risk gains by P = I and by P = -I.
        both = [population_risk(dist, sign * np.eye(dist.d), case["omega"]) for sign in (1, -1)]
        assert size == pytest.approx(np.sqrt(sum(both) / 2 - dist.M), rel=CLOSE)


def test_nothing_known_is_the_variance_of_a_label(page):
    body = "return [g.uniform, g.monotone, g.free, g.constantGate, g.optimalDeltaRule].map((f) => f(law).risk)"
    (found,) = in_page(page, body, [{"law": law(5, (3, 4), (0, 0), 0.5, 2.0)}])
    assert found == [9] * 5
    (found,) = in_page(page, "return g.bestP(law, [0, 0]).risk", [{"law": law(5, (3, 4), (0.2, 0.8))}])
    assert found == 5


def test_the_delta_rule_of_given_steps(page, laws):
    rng = np.random.default_rng(3)
    cases = [
        {"law": one, "steps": (rng.uniform(-0.2, 1.5, 2) / (one["d"] + 2 + np.array(one["counts"]) / 9)).tolist()}
        for one in laws[::4]
    ]
    for case, found in zip(cases, in_page(page, "return g.deltaRuleRisk(law, given.steps)", cases), strict=True):
        assert found["risk"] == pytest.approx(delta_rule_risk(twin(case["law"]), case["steps"]), rel=CLOSE), case


def test_the_best_steps_of_the_delta_rule(page, laws):
    """Its risk is that of its steps, and no worse than what the twin's search finds; that promises 1e-6 M."""
    body = "return g.optimalDeltaRule(law)"
    short = [one for one in laws if sum(one["counts"]) <= 60]
    assert len(short) > 40
    found = in_page(page, body, [{"law": one} for one in laws])
    limits = 0
    for given, best in zip(laws, found, strict=True):
        dist = twin(given)
        limits += best["limit"]
        if best["limit"]:  # small steps are a weighted step
            assert best["risk"] == pytest.approx(optimal_wpgd(dist).risk, rel=CLOSE), given
        else:
            assert best["risk"] == pytest.approx(delta_rule_risk(dist, best["steps"]), rel=CLOSE), given
        assert best["risk"] <= optimal_wpgd(dist).risk * (1 + CLOSE)
        if given in short:
            searched = optimal_delta_rule(dist).risk
            assert best["risk"] <= searched + CLOSE * dist.M, given
            assert searched <= best["risk"] + 1e-6 * dist.M, given
    assert 0 < limits < len(laws) - 100


def told(law, rng):
    """The Bayes risk at drawn features, by the normal law of tasks and labels itself."""
    d, counts, r, R = law["d"], law["counts"], np.array(law["r"]), np.array(law["R"])
    x, task = rng.normal(size=(sum(counts), d)), np.repeat(np.arange(2), counts)
    gram = R[np.ix_(task, task)] * (x @ x.T)
    cross = r[task][:, None] * x
    return d - np.trace(cross.T @ np.linalg.pinv(gram, rcond=1e-11, hermitian=True) @ cross)


def test_bayes(page):
    """Where no draw is needed, any draw gives the same: here the rounding of a singular Gram matrix is seen."""
    rng = np.random.default_rng(4)
    counts = [(12, 3), (3, 12), (12, 12), (8, 2)]
    given = [
        law(8, c, r, R12)
        for c in counts
        for r, R12 in [((0.3, 0.8), 0.4), ((-0.5, 0.5), -0.7), ((0.6, 0.2), 0.99 * 0.4)]
    ]
    given += [law(8, c, r) for c in [(3, 4), (20, 2), (1, 30)] for r in [(0.3, 0.8), (-0.6, 0.6)]]
    for one, found in zip(
        given, in_page(page, "return g.bayesRisk(law)", [{"law": one} for one in given]), strict=True
    ):
        assert found == pytest.approx(told(one, rng), abs=1e-8), one
    without = [law(8, (3, 4), (0.3, 0.8), 0.4), law(8, (12, 12), (0.3, 0.8), 0.4, 0.1)]
    assert in_page(page, "return g.bayesRisk(law)", [{"law": one} for one in without]) == [None, None]


def test_what_is_possible(page):
    cases = [(0.6, 0.8, 0.0), (0.61, 0.8, 0.0), (0.5, 0.5, -0.6), (0.5, 0.5, 0.9), (0.5, -0.5, 0.9), (1.0, 1.0, 1.0)]
    body = "return g.possible(given.r, given.R12)"
    found = in_page(page, body, [{"law": None, "r": [a, b], "R12": R12} for a, b, R12 in cases])
    for (a, b, R12), possible in zip(cases, found, strict=True):
        lowest = np.linalg.eigvalsh([[1, R12, a], [R12, 1, b], [a, b, 1]])[0]
        assert possible == (lowest >= -1e-12), (a, b, R12)

"""The landscape that one can move (assets/live/landscape.js): its flows are those of all of P and omega, by scipy."""

import alone
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from glalib import PromptDistribution, optimal_wpgd, population_risk

STATE = "document.querySelector('.live').liveState"
FIGURE = "landscape"
SHOWN = {"viewport": {"width": 800, "height": 900}}
START = {"r": 0.9, "n": 10, "d": 5, "sigma": 0, "at": [1.1, -0.5]}
SIZES = [1, 2, 3, 5, 10, 20, 50, 100]


def twin(given):
    return PromptDistribution(given["d"], (given["n"],), (given["r"],), sigma=given["sigma"])


def whole(given, at):
    """P (d, d) and omega (n,) of a point [omega, P] of the plane."""
    omega, P = at
    return P / np.sqrt(given["d"]) * np.eye(given["d"]), omega / np.sqrt(given["n"]) * np.ones(given["n"])


def gradient(dist, P, omega):
    """Of the risk, in P and in all weights, one by one: white features."""
    rw, agree = dist.r[0] * omega.sum(), omega.sum()
    square, norm = omega @ omega, np.sum(P * P)
    dP = 2 * ((dist.M * square + square + agree**2) * P - rw * np.eye(dist.d))
    domega = 2 * ((dist.M + 1) * norm * omega + norm * agree - np.trace(P) * dist.r[0])
    return dP, domega


def whole_flow(given, at, times):
    """The flow of all of P and omega by scipy; the sizes along it, with their signs."""
    dist, (P, omega) = twin(given), whole(given, at)
    d = given["d"]

    def pull(_, flat):
        dP, domega = gradient(dist, flat[: d * d].reshape(d, d), flat[d * d :])
        return -np.concatenate([dP.ravel(), domega])

    start = np.concatenate([P.ravel(), omega])
    # Tighter than what is asked for below by a hundred.
    path = solve_ivp(pull, (0, times[-1]), start, method="DOP853", t_eval=times, rtol=1e-12, atol=1e-14)
    P, omega = path.y[: d * d].T.reshape(-1, d, d), path.y[d * d :].T
    sizes = np.stack([omega.mean(1) * np.sqrt(given["n"]), np.trace(P, axis1=1, axis2=2) / np.sqrt(d)], 1)
    # It stays in the plane: nothing is left of P and omega but these.
    assert np.abs((P * P).sum((1, 2)) - sizes[:, 1] ** 2).max() < 1e-9
    assert np.abs((omega * omega).sum(1) - sizes[:, 0] ** 2).max() < 1e-9
    return sizes


def drawn(rng, most=100):
    sizes = [x for x in SIZES if x <= most]
    law = {"d": int(rng.choice(sizes)), "n": int(rng.choice(sizes)), "r": float(rng.uniform(0.1, 1))}
    law["sigma"] = float(rng.choice([0.0, rng.uniform(0, 3)]))
    return {"law": law, "at": rng.uniform(-1.6, 1.6, 2).tolist()}


def on_branch(dist, given, sign, k):
    """The minimiser with |P|^2 - |omega|^2 = k, from the package's optimum and its scale."""
    best = optimal_wpgd(dist)
    p, w = np.sum(best.P**2), np.sum(dist.expand(best.omega) ** 2)
    c2 = (k + np.sqrt(k * k + 4 * p * w)) / (2 * p)  # c^2 p - w / c^2 = k
    return sign * np.array([np.sqrt(w / c2), np.sqrt(p * c2)])


def test_risks_and_ends_are_those_of_the_package(page):
    rng = np.random.default_rng(0)
    cases = [drawn(rng) for _ in range(220)]
    body = """(all) => all.map(({ law, at }) => { const where = glalib.plane(law); const k = glalib.conserved(at);
        return [where, glalib.planeRisk(where, at), [1, -1].map((sign) => glalib.minimiser(where, sign, k))]; })"""
    for case, (where, risk, ends) in zip(cases, page.evaluate(body, cases), strict=True):
        law, at = case["law"], case["at"]
        dist = twin(law)
        assert where["least"] == pytest.approx(optimal_wpgd(dist).risk, rel=1e-9), case
        assert risk == pytest.approx(population_risk(dist, *whole(law, at)), rel=1e-9), case
        for sign, end in zip((1, -1), ends, strict=True):
            # The square root of a difference: of the smaller size half the digits of k are left in the twin.
            assert end == pytest.approx(on_branch(dist, law, sign, at[1] ** 2 - at[0] ** 2), rel=1e-6), case
            assert population_risk(dist, *whole(law, end)) == pytest.approx(where["least"], rel=1e-9), case


def test_flows_are_those_of_the_whole_landscape(page):
    rng = np.random.default_rng(1)
    cases = [drawn(rng, most=5) for _ in range(12)]
    flows = page.evaluate("(all) => all.map(({ law, at }) => glalib.gradientFlow(glalib.plane(law), at))", cases)
    for case, flow in zip(cases, flows, strict=True):
        law, at = case["law"], case["at"]
        dist, some = twin(law), flow["path"][:: max(1, len(flow["path"]) // 25)]
        times, points = np.array([place["t"] for place in some]), np.array([place["x"] for place in some])
        # Both integrate to 1e-12 a step, over some hundred steps.
        assert points == pytest.approx(whole_flow(law, at, times), abs=1e-8), case
        k = at[1] ** 2 - at[0] ** 2
        assert flow["end"] == pytest.approx(on_branch(dist, law, np.sign(sum(at)), k), abs=1e-6), case
        assert np.abs(points[:, 1] ** 2 - points[:, 0] ** 2 - k).max() < 1e-9
        if flow["time"]:
            there = whole_flow(law, at, np.array([flow["time"]]))[0]
            best = optimal_wpgd(dist).risk
            gap = (population_risk(dist, *whole(law, there)) - best) / (dist.M - best)
            assert gap == pytest.approx(0.01, rel=1e-5), case


def test_only_one_line_leads_to_the_saddle(page):
    """From omega = -P to zero, on one side of it to one branch, on the other to the other."""
    law = {"d": 5, "n": 10, "r": 0.9, "sigma": 0}
    body = "([law, all]) => all.map((at) => glalib.gradientFlow(glalib.plane(law), at))"
    on, above, below = page.evaluate(body, [law, [[-1, 1], [-1, 1.02], [-1.02, 1]]])
    assert on["saddle"] and on["time"] is None and np.abs(on["end"]).max() < 1e-3
    for flow, sign in ((above, 1), (below, -1)):
        assert not flow["saddle"] and np.sign(flow["end"]).tolist() == [sign, sign]


def assert_shown(page):
    """What is shown is where the flow ends, by the closed form."""
    state = alone.state(page)
    shown, settings = state["shown"], state["settings"]
    dist, at = twin(settings), settings["at"]
    best, k = optimal_wpgd(dist), at[1] ** 2 - at[0] ** 2
    assert shown["k"] == pytest.approx(k, abs=1e-12) and shown["drift"] < 1e-9
    assert shown["end"] == pytest.approx(on_branch(dist, settings, np.sign(sum(at)), k), abs=1e-6)
    assert shown["risk"] == pytest.approx(best.risk, rel=1e-9)
    words = page.locator(".live-says").inner_text()
    assert f"the risk is least: {best.risk / dist.M:.3f} M" in words and "all the way" in words
    return state


def test_keys_move_the_start_and_the_prompts(page):
    assert assert_shown(page)["settings"] == START
    start = page.get_by_role("slider", name="Start of the flow")
    for key, at in [("ArrowLeft", [1.08, -0.5]), ("ArrowUp", [1.08, -0.48]), ("PageDown", [0.88, -0.48])]:
        start.press(key)
        assert assert_shown(page)["settings"]["at"] == at
    assert start.get_attribute("aria-valuetext") == "ω 0.88, P −0.48"
    page.get_by_role("slider", name="n, examples").press("End")
    page.get_by_role("slider", name="d, dimensions").press("End")
    page.get_by_role("slider", name="r, relevance").press("Home")
    page.get_by_role("slider", name="σ, noise").press("End")
    assert assert_shown(page)["settings"] == {"r": 0.1, "n": 100, "d": 100, "sigma": 3, "at": [0.88, -0.48]}
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="To the saddle").click()
    state = alone.state(page)
    assert state["shown"]["saddle"] and "ends at the saddle" in page.locator(".live-says").inner_text()
    page.get_by_role("slider", name="Start of the flow").press("ArrowUp")
    assert_shown(page)


@pytest.mark.parametrize("by", ["mouse", "finger"])
def test_the_start_is_dragged(page, by):
    box = page.get_by_role("slider", name="Start of the flow").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if by == "mouse":
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 200, y - 100, steps=4)
        page.mouse.up()
    else:
        finger = page.context.new_cdp_session(page)
        for kind, points in [
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": x - 100, "y": y - 50}]),
            ("touchMove", [{"x": x - 200, "y": y - 100}]),
            ("touchEnd", []),
        ]:
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_function(f"{STATE}.settings.at[0] < -0.45")  # a browser may tell of touches late
    # A square of 400 pixels is 3.2 wide.
    assert assert_shown(page)["settings"]["at"] == pytest.approx([1.1 - 1.6, -0.5 + 0.8], abs=0.03)
    assert page.evaluate("scrollY") == 0


def test_the_flow_runs_on_demand_and_jumps_where_less_motion_is_asked_for(page):
    until = alone.state(page)["shown"]["until"]
    for motion in ("no-preference", "reduce"):
        page.emulate_media(reduced_motion=motion)
        page.get_by_role("button", name="Reset").click()
        assert "flowed" not in alone.state(page)["shown"]
        page.evaluate(
            f"() => {{ window.seen = []; const watch = () => {{ const t = {STATE}.shown.flowed;"
            " if (t && t !== seen.at(-1)) seen.push(t); setTimeout(watch, 1); }; watch(); }"
        )
        page.get_by_role("button", name="Let it flow").click()
        page.wait_for_function(f"Math.abs({STATE}.shown.flowed / {until} - 1) < 1e-9")
        page.wait_for_timeout(50)
        steps = page.evaluate("new Set(window.seen).size")
        assert steps == 1 if motion == "reduce" else steps > 10


def test_an_address_is_a_setting_and_a_bad_one_does_no_harm(page, context):
    page.get_by_role("slider", name="Start of the flow").press("PageDown")
    page.get_by_role("slider", name="n, examples").press("ArrowRight")
    alone.state(page)
    page.wait_for_timeout(2000)
    again = context.new_page()
    again.goto(page.url)
    assert "landscape.at=0.9,-0.5" in page.url and alone.state(again) == alone.state(page)
    again.goto("/page.html?landscape.at=9,-9&landscape.n=7000&landscape.r=NaN&landscape.d=x&landscape.sigma=-1")
    assert alone.state(again)["settings"] == START | {"at": [1.6, -1.6], "n": 100}
    assert alone.state(again)["shown"]["saddle"] and "NaN" not in again.content()
    again.close()


def test_at_the_saddle_itself_nothing_flows_and_it_says_so(page):
    page.goto("/page.html?landscape.at=0,0")
    assert alone.state(page)["shown"]["saddle"] and "NaN" not in page.content()
    says = page.locator(".live-says")
    assert says.inner_text().startswith("It starts at the saddle, ω = P = 0, and stays there")
    assert "leads there" not in says.inner_text()  # no line: it is there
    assert "nothing flows" in page.locator("svg").get_attribute("aria-label")
    flow = page.get_by_role("button", name="Let it flow")
    assert flow.is_disabled()
    page.get_by_role("slider", name="Start of the flow").press("ArrowUp")
    assert_shown(page)
    assert flow.is_enabled()
    page.get_by_role("button", name="To the saddle").click()
    alone.state(page)
    assert flow.is_enabled() and "leads there" in says.inner_text()


def test_phone_paper_and_names(page, folder):
    page.set_viewport_size({"width": 360, "height": 700})
    alone.state(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    sizes = page.locator(".live-stage text").evaluate_all(
        "all => all.map(e => [e.getBoundingClientRect().left, e.getBoundingClientRect().right])"
    )
    assert min(left for left, _ in sizes) >= 0 and max(right for _, right in sizes) <= 360
    page.emulate_media(media="print")
    assert page.locator(".live-controls").evaluate_all("all => all.every(e => getComputedStyle(e).display === 'none')")
    assert page.locator(".live-stage").is_visible()
    page.emulate_media(media="screen")
    for slider in page.get_by_role("slider").all():
        assert slider.get_attribute("aria-valuetext")
    assert page.locator(".live-stage").get_attribute("aria-label").startswith("The flow from ω 1.10, P −0.50")
    assert alone.weight(folder) < alone.WEIGHT

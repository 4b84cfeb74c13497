"""The cobweb that one can move (assets/live/cobweb.js): what it computes is what `glalib` does, and it shows that."""

import alone
import numpy as np
import pytest

from glalib import PromptDistribution, stationary_points
from glalib.fixed_points import fixed_points
from glalib.risk import best_omega, best_P, h1, h2, slope

STATE = "document.querySelector('.live').liveState"
FIGURE = "cobweb"
SHOWN = {"viewport": {"width": 800, "height": 900}}
START = {"n1": 1, "n2": 30, "n3": 0, "r2": 0.6, "r3": 0.5, "R12": 0, "d2": 300, "s2": 0.003, "d3": 0, "s3": 0.00025}
START |= {"noise": 0, "from": 1}
# Both sides round at 1e-15 or so, times the condition of three tasks, below 1e3 here.
CLOSE = 1e-9


def twin(given):
    s = np.repeat(given["s"], given["times"])
    sigma = max(given["M"] - s.sum(), 0.0) ** 0.5
    sigma = sigma if sigma**2 > 1e-12 * given["M"] else 0.0
    return PromptDistribution(len(s), given["counts"], given["r"], R=given["R"], sigma=sigma, Sx=s)


def drawn(rng):
    """Up to three tasks of any correlations, all counts and eigenvalues over decades."""
    K = int(rng.integers(1, 4))
    A = rng.normal(size=(K + 1, K + 3)) if rng.random() < 0.6 else np.eye(K + 1)
    S = A @ A.T
    S /= np.sqrt(np.outer(np.diag(S), np.diag(S)))
    R, r = S[:-1, :-1], S[-1, :-1]
    if not r.any():
        r = 10 ** rng.uniform(-2, 0, K)
        r /= np.linalg.norm(r) * 1.0000001
    counts = [int(x) for x in 10 ** rng.uniform(0, 6, K)]
    s, times = (10 ** rng.uniform(-4, 0, 3)).tolist(), [int(x) for x in 10 ** rng.uniform(0, 2, 3)]
    M = float(np.dot(s, times)) / (1 - rng.choice([0.0, rng.uniform(0, 0.9)]))
    return {"counts": counts, "r": r.tolist(), "R": R.tolist(), "s": s, "times": times, "M": M}


def found_in(points, name):
    return np.array([point[name] for point in points])


# As of the book: three with two eigenvalues; five with three tasks.
THREE = {
    "counts": [1000, 1],
    "r": [0.3**0.5, 0.7**0.5],
    "R": [[1, 0], [0, 1]],
    "s": [1, 1 / 299],
    "times": [1, 299],
    "M": 2,
}
ratio = np.sqrt(np.array([1, 993.365, 4.65422e7]) / [1, 56030, 205317855])
FIVE = {
    "counts": [1, 56030, 205317855],
    "r": (ratio / np.linalg.norm(ratio) / 1.0000001).tolist(),
    "R": np.eye(3).tolist(),
}
FIVE |= {"s": [1, 0.0164634347, 0.000262397187], "times": [1, 30, 309], "M": 3.347162}


def test_the_points_are_those_of_the_package(page):
    rng = np.random.default_rng(0)
    cases, near = [THREE, FIVE] + [drawn(rng) for _ in range(220)], 0
    many = []
    for given, found in zip(cases, page.evaluate("(all) => all.map(glalib.stationaryPoints)", cases), strict=True):
        dist = twin(given)
        wanted = sorted(stationary_points(dist), key=lambda point: point.gamma)
        slopes = np.array([slope(dist, point.gamma) for point in wanted])
        if np.abs(slopes - 1).min() < 1e-3:  # near a tangency gamma, and whether it is there, hang on rounding
            near += 1
            continue
        many.append(len(wanted))
        assert len(found) == len(wanted), given
        gammas = np.array([point.gamma for point in wanted])
        assert found_in(found, "gamma") == pytest.approx(gammas, rel=CLOSE), given
        # A covariance keeps fewer digits where it is small; its own scale is one.
        assert found_in(found, "slope") == pytest.approx(slopes, rel=CLOSE, abs=CLOSE), given
        assert found_in(found, "risk") == pytest.approx([point.risk for point in wanted], rel=CLOSE), given
    assert many[:2] == [3, 5] and near < 5 and len(many) > 200


def test_the_functions_are_those_of_the_package(page):
    rng = np.random.default_rng(1)
    cases = [drawn(rng) for _ in range(200)]
    for given in cases:
        given["gamma"] = float(10 ** rng.uniform(0, 6))
        given["h"] = float(10 ** rng.uniform(-6, 0))
    body = """(all) => all.map((given) => { const [g, { gamma, h }] = [glalib, given]; const law = g.spectraOf(given);
        return [g.h1(law, h), g.h2(law, gamma), g.fixedPointMap(law, gamma), g.alongBestWeights(law, h)]; })"""
    for given, (one, two, both, along) in zip(cases, page.evaluate(body, cases), strict=True):
        dist = twin(given)
        gamma, h = given["gamma"], given["h"]
        best = best_P(dist, best_omega(dist, h))
        assert one == pytest.approx(float(h1(dist, h)), rel=CLOSE), given
        assert two == pytest.approx(float(h2(dist, gamma)), rel=CLOSE), given
        assert both == pytest.approx(1 + float(h1(dist, h2(dist, gamma))), rel=CLOSE), given
        assert (along["gamma"], along["risk"]) == pytest.approx((best.gamma, best.risk), rel=CLOSE), given


def test_near_a_tangency_there_is_no_point_too_many_and_none_too_few(page):
    """A family with a touch at gap = 0: none and two beside it, one at it; and three that come together."""
    maps = [(gap, kind) for kind in ("touch", "triple") for gap in (-1e-6, 1e-6)]
    body = """(maps) => maps.map(([gap, kind]) => glalib.fixedPoints(kind === "touch"
        ? (x) => x + 0.5 * ((x - 2) ** 2 - gap) * (3 - x)
        : (x) => x - 0.5 * (x - 2) * ((x - 2) ** 2 - gap), 1.2, 3, 1e-7, 1e-14))"""
    for (gap, kind), found in zip(maps, page.evaluate(body, maps), strict=True):

        def F(x, gap=gap, kind=kind):
            square = (x - 2) ** 2 - gap
            return x + 0.5 * square * (3 - x) if kind == "touch" else x - 0.5 * (x - 2) * square

        wanted = fixed_points(F, 1.2, 3.0, 1e-7, 1e-14)
        assert len(found) == len(wanted) == (1 if gap < 0 else 3), (gap, kind)
        assert found == pytest.approx(wanted, rel=1e-6)


def law_of(settings):
    K, correlation = (3 if settings["n3"] else 2), settings["R12"]
    R = np.array([[1, correlation, 0], [correlation, 1, 0], [0, 0, 1.0]])[:K, :K]
    r = np.array([1, settings["r2"], settings["r3"]])[:K]
    r = r / np.sqrt(r @ np.linalg.solve(R, r)) / (1 + 1e-12)
    s, times = [1, settings["s2"]], [1, settings["d2"]]
    if settings["d3"]:
        s, times = [*s, settings["s3"]], [*times, settings["d3"]]
    counts = [settings[name] for name in ("n1", "n2", "n3")][:K]
    return {"counts": counts, "r": r, "R": R, "s": s, "times": times, "M": np.dot(s, times) / (1 - settings["noise"])}


def assert_shown(page, many=None):
    """What is shown is what the package finds: numbers, the table, the words."""
    state = alone.state(page)
    shown, dist = state["shown"], twin(law_of(state["settings"]))
    points = sorted(stationary_points(dist), key=lambda point: point.gamma)
    assert many in (None, len(points))
    assert shown["gamma"] == pytest.approx([point.gamma for point in points], rel=1e-8)
    assert shown["risk"] == pytest.approx([point.risk for point in points], rel=1e-8)
    assert shown["best"] == min(range(len(points)), key=lambda i: points[i].risk)
    gamma = (1 + dist.task_spectrum[0].max()) ** state["settings"]["from"]
    for step in range(shown["steps"]):
        assert abs(gamma / points[shown["end"]].gamma - 1) > 0.01, step
        gamma = 1 + float(h1(dist, h2(dist, gamma)))
    assert abs(gamma / points[shown["end"]].gamma - 1) <= 0.01 * (1 + 1e-9)
    rows = page.locator(".live-rows tbody tr").all_inner_texts()
    assert len(rows) == len(points)
    for row, point in zip(rows, points, strict=True):
        _, _, steep, risk, kind = row.split("\t")
        assert float(steep) == pytest.approx(slope(dist, point.gamma), abs=0.00501)
        assert float(risk) == pytest.approx(point.risk / dist.M, abs=0.0000501)
        assert (kind == "saddle") == (slope(dist, point.gamma) > 1)
    word = ("One", "Two", "Three", "Four", "Five")[len(points) - 1]
    assert page.locator(".live-says").inner_text().startswith(f"{word} crossing")
    return state


def test_one_is_pushed_to_three_by_keys_and_five_is_a_button_away(page):
    assert assert_shown(page, 1)["settings"] == START
    second = page.get_by_role("slider", name="n₂, examples")
    pushed = 0
    while len(alone.state(page)["shown"]["gamma"]) == 1 and pushed < 40:
        second.press("ArrowRight")
        pushed += 1
    assert_shown(page, 3)
    page.wait_for_function("document.querySelector('.live-heard').textContent.startsWith('Three')")
    page.get_by_role("button", name="Five").click()
    state = assert_shown(page, 5)
    assert state["shown"]["end"] == 2
    page.get_by_role("slider", name="n₃, examples").press("Home")
    assert_shown(page, 1)
    page.get_by_role("button", name="Three").click()
    page.get_by_role("slider", name="R₁₂").press("End")
    assert_shown(page, 1)
    page.get_by_role("button", name="Reset").click()
    assert assert_shown(page, 1)["settings"] == START


def test_corners_of_the_sliders_have_points_too(page):
    rng = np.random.default_rng(2)
    names = [name for name in START if name != "from"]
    ends = {name: ("0", "1e9") if name != "R12" else ("-9", "9") for name in names}
    for _ in range(8):
        given = "&".join(f"cobweb.{name}={ends[name][rng.integers(2)]}" for name in names if rng.random() < 0.7)
        page.goto(f"/page.html?{given}")
        shown = alone.state(page)["shown"]
        assert shown["gamma"] and np.isfinite(shown["gamma"] + shown["slope"] + shown["risk"]).all(), given
        assert "NaN" not in page.content(), given


@pytest.mark.parametrize("by", ["mouse", "finger", "keys"])
def test_the_start_is_moved(page, by):
    page.get_by_role("button", name="Three").click()
    before = alone.state(page)
    assert before["shown"]["end"] == 0
    handle = page.get_by_role("slider", name="Where the staircase starts")
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if by == "mouse":
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 120, y, steps=4)
        page.mouse.up()
    elif by == "finger":
        finger = page.context.new_cdp_session(page)
        for kind, points in [
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": x + 60, "y": y + 30}]),
            ("touchMove", [{"x": x + 120, "y": y + 30}]),
            ("touchEnd", []),
        ]:
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    else:
        handle.press("PageUp")
        handle.press("PageUp")
        handle.press("PageUp")
        handle.press("ArrowRight")
    page.wait_for_function(f"{STATE}.settings.from > 0.7")  # a browser may tell of touches late
    after = assert_shown(page, 3)
    assert 0.7 < after["settings"]["from"] < 0.85 and after["shown"]["end"] == 2
    assert handle.get_attribute("aria-valuetext").startswith("γ = ")
    assert "not the global one, which is at crossing 1" in page.locator(".live-says").inner_text()


def test_an_address_is_a_setting_and_a_bad_one_does_no_harm(page, context):
    page.get_by_role("button", name="Five").click()
    page.get_by_role("slider", name="Where the staircase starts").press("Home")
    alone.state(page)
    page.wait_for_timeout(2000)
    again = context.new_page()
    again.goto(page.url)
    assert "cobweb.n3=4000000" in page.url and alone.state(again) == alone.state(page)
    again.goto("/page.html?cobweb.n2=1e99&cobweb.r2=NaN&cobweb.R12=-7&cobweb.from=x&cobweb.s2=1,2")
    assert alone.state(again)["settings"] == START | {"n2": 10_000_000, "R12": -0.95}
    again.close()


def test_phone_paper_and_names(page, folder):
    page.set_viewport_size({"width": 360, "height": 700})
    # Marks and numbers at the right edge, too.
    for query in ("n2=1000&from=0.6", "n2=2e6&n3=8e6&r2=0.01&r3=100&noise=0.9"):
        page.goto("/page.html?" + "&".join(f"cobweb.{part}" for part in query.split("&")))
        alone.state(page)
        assert page.evaluate(alone.BEYOND) <= 1, query
    page.get_by_role("button", name="Five").click()
    alone.state(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator(".live-rows").evaluate("e => e.scrollWidth <= e.clientWidth")
    # A name and its number stand on one line, apart from each other; the number is heard in words.
    boxes = "e => [...e.children].slice(0, 2).map(c => c.getBoundingClientRect()).map(b => [b.height, b.left, b.right])"
    lines = [row.evaluate(boxes) for row in page.locator(".live-slider").all()]
    assert max(height for row in lines for height, *_ in row) < 30
    assert all(name[2] + 4 <= number[1] for name, number in lines)
    third = page.get_by_role("slider", name="n₃, examples")
    assert third.get_attribute("aria-valuetext") == "4\N{NO-BREAK SPACE}million"
    assert page.locator("label", has=third).locator(".live-value").inner_text() == "4·10⁶"
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
    assert page.locator(".live-stage").get_attribute("aria-label").startswith("F and the diagonal cross at ")
    assert alone.weight(folder) < alone.WEIGHT

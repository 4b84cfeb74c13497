"""The figures of the built book that one can move: by mouse, key and finger they show what `glalib` computes."""

import re

import browse
import numpy as np
import pytest

from book import chromium
from glalib import PromptDistribution, optimal_delta_rule, optimal_wpgd
from glalib.gates import gates_to_weights

STRIPS = {"chapters/ten_minutes.html": "strip", "index.html": "strip-front"}
EXPLORER = "chapters/explorer.html"
LIVE = [*STRIPS, EXPLORER]
HINTS = {"last": (0.2, 0.8), "first": (0.8, 0.2), "useless": (0.0, 1.0)}
PATIENCE = 120_000  # milliseconds: a machine may be busy with other things


@pytest.fixture(scope="module")
def context(browser):
    context = browser.new_context(has_touch=True, viewport={"width": 1000, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture(scope="module")
def tab(context, origin):
    """One page after the other, each opened anew."""
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.start = lambda path: page.goto(f"{origin}/{path}", wait_until="load")
    yield page
    assert page.faults == []


def settled(page):
    """The state when the frames that were asked for have come."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.querySelector('.live').liveState")


def texts(page):
    return page.locator(".live-stage text").all_text_contents()


# The strip


def strip_wanted(settings):
    gates = np.array(settings["g"])
    weights = np.delete(gates_to_weights(gates), 6)  # of the examples: the mark writes nothing
    dist = PromptDistribution(3, (6, 6), HINTS[settings["hint"]])
    kinds = {"linear": "uniform", "constant": "constant-gate", "forget": "monotone", "free": "free"}
    marks = {name: optimal_wpgd(dist, kind).risk / 3 for name, kind in kinds.items()}
    risk = optimal_wpgd(dist, weights).risk / 3 if weights.any() else 1.0
    return {"weights": weights, "risk": risk, **marks}


def strip_is_right(page):
    """What it shows is what glalib says of its settings, and in its texts with the digits that they have."""
    state = settled(page)
    wanted = strip_wanted(state["settings"])
    for name, value in wanted.items():
        assert state["shown"][name] == pytest.approx(value, rel=1e-9), name
    shown = texts(page)
    numbers = [f"{wanted[name]:.3f}" for name in ("risk", "linear", "constant", "forget", "free")]
    assert [text for text in shown if re.fullmatch(r"\d\.\d{3}", text)] == numbers
    sentence = page.locator(".live-says").inner_text()
    assert sentence.startswith(f"You are at {numbers[0]}")
    assert numbers[0] == numbers[3] or f"the best forget gates reach {numbers[3]}" in sentence
    assert ("out of reach of gates that only forget" in sentence) == (wanted["forget"] > wanted["free"] + 1e-9)
    return state["settings"], wanted


@pytest.mark.parametrize("path", STRIPS)
def test_strip(tab, path):
    key = STRIPS[path]
    tab.start(path)
    assert strip_is_right(tab)[0] == {"hint": "last", "g": [1] * 6 + [0.6] + [1] * 7}
    mark = tab.get_by_role("slider", name="Gate at the mark")
    # The mouse: to a quarter, the best of gates.
    mark.evaluate("(e) => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = mark.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x, y + 29.4, steps=3)  # 0.35 of 84 pixels
    tab.mouse.up()
    settings, wanted = strip_is_right(tab)
    assert settings["g"][6] == pytest.approx(0.25, abs=0.0101)
    mark.press("Home")
    for _ in range(5):
        mark.press("ArrowUp")
    mark.press("PageUp")
    mark.press("PageUp")
    settings, wanted = strip_is_right(tab)
    assert settings["g"][6] == 0.25 and wanted["risk"] == pytest.approx(wanted["free"], rel=1e-9)
    assert mark.get_attribute("aria-valuetext") == "0.25"
    # A finger.
    gate = tab.get_by_role("slider", name="Gate at example 9")
    box = gate.bounding_box()
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    finger = tab.context.new_cdp_session(tab)
    for kind, points in [
        ("touchStart", [at]),
        ("touchMove", [at | {"y": at["y"] + 20}]),
        ("touchMove", [at | {"y": at["y"] + 42}]),
        ("touchEnd", []),
    ]:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    settings, _ = strip_is_right(tab)
    assert settings["g"][9] == pytest.approx(0.5, abs=0.0101)
    for hint, name in (("useless", "task 2 alone"), ("first", "task 1, r")):
        tab.get_by_role("radio", name=name).check()
        assert strip_is_right(tab)[0]["hint"] == hint
        tab.get_by_role("button", name="Best gates").click()
        _, wanted = strip_is_right(tab)
        assert wanted["risk"] == pytest.approx(wanted["forget"], rel=1e-9)
    # Nothing is kept: nothing is learnt.
    mark.press("End")
    tab.get_by_role("slider", name="Gate at the query").press("Home")
    assert strip_is_right(tab)[1]["risk"] == 1
    tab.wait_for_timeout(2000)
    assert tab.url.endswith(f"?{key}.hint=first&{key}.g={','.join(['1'] * 13)},0")
    before = settled(tab)
    tab.goto(tab.url)
    assert settled(tab) == before
    tab.get_by_role("button", name="All open").click()
    assert strip_is_right(tab)[0]["g"] == [1] * 14
    tab.get_by_role("button", name="Reset").click()
    assert strip_is_right(tab)[0]["g"][6] == 0.6
    tab.wait_for_timeout(2000)
    assert "?" not in tab.url


# The explorer

START = {"d": 10, "n1": 50, "n2": 50, "r1": 0.2, "r2": 0.8, "R12": 0, "sigma": 0}


def explorer_is_right(page):
    state = settled(page)
    s, shown = state["settings"], state["shown"]
    room = np.sqrt((1 - s["r1"] ** 2) * (1 - s["r2"] ** 2))
    assert abs(shown["R12"] - s["r1"] * s["r2"]) <= room + 1e-9
    if shown["R12"] != s["R12"]:  # three correlations go together: the nearest that do, in steps of the slider
        assert abs(shown["R12"] - s["r1"] * s["r2"]) >= room - 0.01
        # First of all, and at the slider that is held.
        assert page.locator(".live-says").inner_text().startswith("R₁₂ is held at ")
        row = page.locator("label", has=page.locator("input[data-setting=R12]"))
        assert f"held {shown['R12']:.2f}".replace("-", "−") in row.inner_text()
    R = [[1, shown["R12"]], [shown["R12"], 1]]
    dist = PromptDistribution(s["d"], (s["n1"], s["n2"]), (s["r1"], s["r2"]), R=R, sigma=s["sigma"])
    kinds = {"linear": "uniform", "constant": "constant-gate", "forget": "monotone", "free": "free"}
    risks = {"zero": dist.M} | {name: optimal_wpgd(dist, kind).risk for name, kind in kinds.items()}
    for name, risk in risks.items():
        assert shown["risks"][name] == pytest.approx(risk, rel=1e-9), (name, s)
    searched = optimal_delta_rule(dist).risk
    assert searched - 1e-6 * dist.M <= shown["risks"]["delta"] + 2e-6 * dist.M
    assert shown["risks"]["delta"] <= searched + 1e-9 * dist.M
    omega, free = np.array(shown["omega"]), optimal_wpgd(dist).omega
    if risks["free"] < dist.M * (1 - 1e-9):
        assert omega * np.sign(omega @ free) == pytest.approx(free, abs=1e-9)
    rises = abs(omega[0]) < abs(omega[1]) and omega[0] * omega[1] >= 0
    assert (shown["kind"] == "rises") == (rises and omega.any()), (shown["kind"], omega)
    in_words = [text.replace("\N{MINUS SIGN}", "-") for text in texts(page)]
    for name in kinds:
        assert f"{risks[name] / dist.M:.3f}" in in_words, name
    # A rounding beside a half may go either way.
    assert {f"{w + e:.2f}" for w in omega for e in (-1e-9, 1e-9)} & set(in_words)
    return s, shown["kind"]


def test_explorer(tab):
    tab.start(EXPLORER)
    assert explorer_is_right(tab) == (START, "rises")
    for panel, kind in {"a": "rises", "c": "equal", "d": "falls", "b": "rises"}.items():
        tab.get_by_role("button", name=f"Panel ({panel})").click()
        assert explorer_is_right(tab)[1] == kind, panel

    def slider(name):
        return tab.locator(f"input[data-setting={name}]")

    slider("r1").press("Home")
    for _ in range(10):
        slider("r1").press("ArrowRight")
    assert explorer_is_right(tab) == (START | {"r1": -0.5}, "signs")
    before = slider("R12").bounding_box()
    slider("R12").press("End")
    s, kind = explorer_is_right(tab)
    assert (s["R12"], settled(tab)["shown"]["R12"], kind) == (1, 0.11, "signs")  # -0.4 + sqrt(0.75 * 0.36)
    assert slider("R12").get_attribute("aria-valuetext") == "held at 0.11"
    assert slider("R12").bounding_box() == before  # it does not move away from the hand
    slider("sigma").press("ArrowRight")
    s, _ = explorer_is_right(tab)
    assert s["sigma"] == 0.1 and "no closed form" in tab.locator(".live-says").inner_text()
    slider("d").press("Home")
    slider("n1").press("Home")
    slider("n2").press("ArrowRight")
    s, _ = explorer_is_right(tab)
    assert (s["d"], s["n1"], s["n2"]) == (1, 1, 60)
    assert slider("n2").get_attribute("aria-valuetext") == "60"
    # The mouse.
    box = slider("r1").bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert explorer_is_right(tab)[0]["r1"] == pytest.approx(0, abs=0.0501)
    tab.wait_for_timeout(2000)
    before, link = settled(tab), tab.url
    assert "?explorer.d=1&explorer.n1=1&explorer.n2=60&" in link
    tab.start("404.html")
    tab.goto(link)
    assert settled(tab) == before


@pytest.mark.parametrize(
    "query, changed",
    [
        ("explorer.r1=9&explorer.r2=-9", {"r1": 1, "r2": -1}),
        ("explorer.d=0&explorer.n1=1e99", {"d": 1, "n1": 1000}),
        ("explorer.sigma=NaN&explorer.n2=&explorer.r1=zwei", {}),
        ("explorer.R12=-0.99", {"R12": -0.99}),
        ("explorer.r1=0&explorer.r2=0", {"r1": 0, "r2": 0}),
    ],
)
def test_bad_addresses(tab, query, changed):
    tab.start(f"{EXPLORER}?{query}")
    assert explorer_is_right(tab)[0] == START | changed
    assert "NaN" not in tab.locator(".live").inner_html() and "Infinity" not in tab.locator(".live").inner_html()


@pytest.mark.parametrize("path", LIVE)
def test_small_still_and_on_paper(tab, path):
    """A phone has no need to scroll sideways, nothing moves by itself, and paper shows the drawing alone."""
    tab.start(path)
    tab.set_viewport_size({"width": 360, "height": 800})
    settled(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    box = tab.locator(".live-stage").bounding_box()
    assert box["width"] <= 360
    sizes = "[...document.querySelectorAll('.live-stage text')].map((e) => parseFloat(getComputedStyle(e).fontSize))"
    assert min(tab.evaluate(sizes)) >= 12
    moving = (
        "[...document.querySelectorAll('.live *')].filter((e) => getComputedStyle(e).animationName !== 'none').length"
    )
    assert tab.evaluate(moving) == 0
    names = "[...document.querySelectorAll('.live [role=slider], .live input[type=range]')].map((e) =>"
    names += " [e.getAttribute('aria-label') ?? e.labels[0].innerText, e.getAttribute('aria-valuetext')])"
    named = tab.evaluate(names)
    assert len({name for name, _ in named}) == len(named) > 5 and all(text for _, text in named)
    tab.set_viewport_size({"width": 1000, "height": 900})
    settled(tab)
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": browse.PAPER, "height": 900})
    tab.wait_for_timeout(300)
    drawing = "document.querySelector('.live-stage')"
    whole = f"[{drawing}.getBBox().width, {drawing}.viewBox.baseVal.width]"
    assert np.subtract(*tab.evaluate(whole)) < 12  # a handle may stand over the edge by half of its reach
    hidden = ".live :is(button, input, .live-controls, .live-heard)"
    assert not any(found.is_visible() for found in tab.locator(hidden).all())
    assert tab.locator(".live-stage").is_visible() and tab.locator(".live-says").is_visible()
    tab.emulate_media(media="screen")
    tab.set_viewport_size({"width": 1000, "height": 900})


def test_no_more_is_loaded_than_is_needed():
    """The scripts of a figure are on the pages that have it, and small."""
    for path in browse.SITE.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = set(re.findall(r'"(?:\.\./)*_static/live/(\w+\.\w+)', text))
        figures = set(re.findall(r'data-live="(\w+)"', text))
        wanted = {"kit.js", "theory.js", "live.css", *(f"{name}.js" for name in figures)} if figures else set()
        assert loaded - {"exercises.js"} == wanted, path  # that one is with the fields of exercises
        assert sum((browse.SITE / "_static" / "live" / name).stat().st_size for name in loaded) < 150_000


def test_they_open_as_files(context):
    """Without a server: scripts are classic ones."""
    assert not chromium.lacking()
    page = context.new_page()
    page.goto((browse.SITE / EXPLORER).as_uri() + "?explorer.r1=0.4")
    assert explorer_is_right(page)[0] == START | {"r1": 0.4}
    page.close()

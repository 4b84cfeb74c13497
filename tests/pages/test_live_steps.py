"""Theorem 1 a token at a time (assets/live/steps.js): what the figure shows is what a layer of `glalib` does."""

import alone
import numpy as np
import pytest
import torch

from glalib import GLA, PromptDistribution, gla, optimal_wpgd, wpgd_step
from glalib.gates import gates_to_weights

X = [[1, 0.5], [-0.5, 1], [1.5, -1], [0, 0], [-1, -0.5], [0.5, 1.5], [1, -0.5], [1, 1.5]]
Y = [-0.5, 1.5, -2.5, 0, -1.5, 2, 0.5, 0]
FIGURE = "steps"
START = [1, 0.9, 1, 0.4, 1, 0.8, 1, 0.9]
EXAMPLES = [0, 1, 2, 4, 5, 6]
# Sums of six products of numbers near one, on either side.
CLOSE = 1e-13
BEST = optimal_wpgd(PromptDistribution(2, (3, 3), (0.2, 0.8)), "monotone")


def expected(gates, t):
    """The weights of the examples among the first t tokens, and the state after them; at the end, both sides."""
    gates, x, y = (torch.tensor(given, dtype=torch.float64) for given in (gates, X, Y))
    P = torch.tensor(BEST.P)
    read = [i for i in EXAMPLES if i < t]
    weights = [gates[i + 1 : t].prod().item() for i in read]
    values = torch.cat([torch.zeros(8, 2, dtype=torch.float64), y[:, None]], 1)
    S = gla(x[:t], x[:t], values[:t], gates[:t], output_final_state=True)[1] if t else torch.zeros(3, 2)
    if t < 8:
        return weights, S.tolist(), None, None
    layer = GLA.from_matrices(P, torch.eye(2, dtype=torch.float64), gates=gates)
    Z = torch.cat([x, y[:, None]], 1)
    omega = gates_to_weights(gates.numpy())
    return weights, S.tolist(), layer(Z).item(), wpgd_step(x[:7], y[:7], x[7:], P, omega).item()


def agrees(page, gates, t):
    found = alone.state(page)
    assert found["settings"] == {"t": t, "g": pytest.approx(gates, abs=1e-9)}
    weights, S, layer, step = expected(found["settings"]["g"], t)
    shown = found["shown"]
    assert shown["weights"] == pytest.approx(weights, abs=CLOSE)
    assert np.allclose(shown["state"], S, rtol=0, atol=CLOSE)
    if t < 8:
        assert shown["layer"] is None and shown["step"] is None
    else:
        assert shown["layer"] == pytest.approx(layer, abs=CLOSE)
        assert shown["step"] == pytest.approx(step, abs=CLOSE)
        assert shown["layer"] == pytest.approx(shown["step"], abs=CLOSE)


def test_both_sides_are_what_the_package_computes(page):
    script = "(cases) => cases.map(([x, y, P, gates]) => { const n = gates.length - 1;"
    script += " const omega = glalib.gatesToWeights(gates);"
    script += " const S = glalib.gla(x, y.map((v) => [v]), gates).at(-1)[0];"
    script += " return [S, glalib.wpgdStep(x.slice(0, n), y.slice(0, n), x[n], P, omega)] })"
    rng, cases = np.random.default_rng(0), []
    for _ in range(240):
        n, d = rng.integers(1, 30), rng.integers(1, 7)
        gates = rng.choice([0.0, 1.0, 0.9, rng.uniform()], size=n + 1, p=[0.03, 0.4, 0.3, 0.27])
        cases.append([rng.normal(size=(n + 1, d)), np.append(rng.normal(size=n), 0), rng.normal(size=(d, d)), gates])
    found = page.evaluate(script, [[part.tolist() for part in case] for case in cases])
    for (x, y, P, gates), (S, step) in zip(cases, found, strict=True):
        wanted = wpgd_step(x[:-1], y[:-1], x[-1:], P, gates_to_weights(gates)).item()
        assert step == pytest.approx(wanted, abs=1e-11)  # sums of hundreds of products of normal numbers
        assert x[-1] @ P @ np.array(S) == pytest.approx(wanted, abs=1e-11)


def test_the_buttons_go_through_the_prompt(page):
    agrees(page, START, 4)
    back, forth = (page.get_by_role("button", name=name) for name in ("Back", "Next"))
    for t in (5, 6, 7, 8):
        assert forth.is_enabled()
        forth.click()
        agrees(page, START, t)
    # At the last token there is no next one; the button keeps the focus, and says so.
    assert forth.is_disabled() and back.is_enabled() and forth.evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    agrees(page, START, 8)
    assert "the same" in page.locator(".live-says").inner_text()
    for t in range(7, -1, -1):
        back.click()
        agrees(page, START, t)
        drawn = page.locator(".live-stage text").all_text_contents()
        assert ("×" in drawn) == ("+" in drawn) == ("=" in drawn) == (t > 0)  # nothing is added before the first token
    assert "empty" in page.locator(".live-says").inner_text()
    assert back.is_disabled() and forth.is_enabled()
    page.get_by_role("slider", name="Tokens read").press("End")
    agrees(page, START, 8)


def test_gates_are_moved_by_keys_mouse_and_finger(page):
    page.get_by_role("slider", name="Tokens read").press("End")
    gates = list(START)
    page.get_by_role("slider", name="Gate at token 4, the delimiter").press("Home")
    gates[3] = 0
    agrees(page, gates, 8)
    assert alone.state(page)["shown"]["weights"][:3] == [0, 0, 0]
    page.get_by_role("slider", name="Gate at token 6, example 5").press("PageUp")
    gates[5] = 0.9
    agrees(page, gates, 8)
    for by, which in (("mouse", 1), ("finger", 6)):
        handle = page.locator(".live-handle").nth(which)
        alone.dragged(page, handle, 0, 35, by)
        moved = alone.state(page)["settings"]["g"]
        assert gates[which] - moved[which] == pytest.approx(0.5, abs=0.02), by
        gates = moved
        agrees(page, gates, 8)
    page.get_by_role("button", name="All open").click()
    agrees(page, [1] * 8, 8)
    page.get_by_role("button", name="Best gates for r = (0.2, 0.8)").click()
    share = round(BEST.omega[0] / BEST.omega[1], 2)
    agrees(page, [1, 1, 1, share, 1, 1, 1, 1], 8)


def test_play_goes_on_by_itself_stops_when_asked_and_jumps_where_less_motion_is_asked_for(page):
    page.emulate_media(reduced_motion="no-preference")
    page.get_by_role("slider", name="Tokens read").press("Home")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.live').liveState.settings.t === 2")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Play").wait_for()
    t = alone.state(page)["settings"]["t"]
    page.wait_for_timeout(1300)  # more than a step
    agrees(page, START, t)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.live').liveState.settings.t === 8")
    page.get_by_role("button", name="Play").wait_for()
    agrees(page, START, 8)


def test_an_address_is_a_place_in_the_prompt(page, context):
    page.goto("/page.html?steps.t=7&steps.g=1,0.5,2,-1,x,1,1,1")  # one of the gates is no number
    agrees(page, START, 7)
    page.goto("/page.html?steps.t=99&steps.g=1,0.5,2,-1,0.123,1,1,1")
    agrees(page, [1, 0.5, 1, 0, 0.12, 1, 1, 1], 8)
    page.get_by_role("button", name="Back").click()
    page.wait_for_timeout(2000)
    again = alone.opened(context, "?" + page.url.partition("?")[2])
    assert alone.state(again) == alone.state(page)
    again.close()


def test_it_fits_a_phone_and_is_light(page, context, tmp_path):
    page.set_viewport_size({"width": 360, "height": 800})
    for place in ("Home", "End"):
        page.get_by_role("slider", name="Tokens read").press(place)
        alone.state(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate(alone.BEYOND) <= 1
    for width in (320, 500, 530, 600):  # captions are longer where there is room
        page.set_viewport_size({"width": width, "height": 800})
        alone.state(page)
        assert page.evaluate(alone.BEYOND) <= 1, width
    assert alone.weight(alone.place(tmp_path, "steps")) < alone.WEIGHT


def test_those_who_do_not_see_it_are_told(page):
    told = page.locator("svg").get_attribute("aria-label")
    assert told == "After 4 of 8 tokens the examples read count 0.36, 0.40, 0.40."
    names = [handle.get_attribute("aria-label") for handle in page.locator(".live-handle").all()]
    assert len(set(names)) == 8
    assert names[3] == "Gate at token 4, the delimiter" and names[7] == "Gate at token 8, the query"
    assert page.get_by_role("slider", name="Tokens read").get_attribute("aria-valuetext") == "4, the delimiter"

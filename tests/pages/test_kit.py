"""What figures that one can move have in common (assets/live/kit.js), on a page of their own, without the book."""

import re
import shutil
from pathlib import Path

import pytest

from book import chromium, live

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parents[1] / "assets" / "live"
PAGE = """<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Halves</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="live.css"><script src="kit.js"></script><script src="halves.js"></script></head>
<body><main><h1>Halves</h1>{}</main></body></html>"""
PATIENCE = 120_000  # milliseconds: a machine may be busy with other things
STATE = "document.querySelectorAll('.live')[{}].liveState"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if reason := chromium.lacking():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("halves")
    for name in ("kit.js", "live.css"):
        shutil.copy(ASSETS / name, folder)
    shutil.copy(HERE / "halves.js", folder)
    figures = [f'<figure id="fig-{key}">{live.place("halves", key, "Halves")}</figure>' for key in ("one", "two")]
    (folder / "page.html").write_text(PAGE.format("<p>Text.</p>".join(figures)), encoding="utf-8")
    bad = [live.place("halves", "one", "Halves"), live.place("nothing", "nothing", "Nothing")]
    (folder / "bad.html").write_text(PAGE.format("".join(bad)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def context(site):
    with chromium.opened() as browser, chromium.served(site) as origin:
        context = browser.new_context(base_url=origin, has_touch=True)
        context.set_default_timeout(PATIENCE)
        yield context
        context.close()


@pytest.fixture
def page(context):
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto("/page.html")
    yield page
    page.close()


def settled(page, which=0):
    """The state of a figure when the frame that is asked for has come."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(STATE.format(which))


def written(page):
    """The address, when it has been written."""
    page.wait_for_timeout(2000)
    return page.url.partition("?")[2]


START = {"n": 8, "m": 5, "side": "left", "g": [1, 0.5]}


def test_it_begins_at_its_start_and_leaves_the_address(page):
    assert settled(page) == {"settings": START, "shown": {"left": 0.5}}
    assert written(page) == "" and page.faults == []
    assert page.locator(".live-says").first.inner_text() == "The gate is 0.50."
    assert page.locator(".live-heard").first.inner_text() == ""  # nothing is read aloud on opening


def test_keys_move_sliders_and_handles(page):
    page.get_by_role("slider", name="Examples").first.press("ArrowRight")
    page.get_by_role("slider", name="Tasks").first.press("End")
    page.get_by_role("radio", name="Right").first.check()
    gate = page.get_by_role("slider", name="Gate 2").first
    for key, after in [
        ("ArrowUp", 0.51),
        ("ArrowLeft", 0.5),
        ("PageUp", 0.6),
        ("PageDown", 0.5),
        ("Home", 0),
        ("End", 1),
    ]:
        gate.press(key)
        assert settled(page)["settings"]["g"][1] == after, key
        assert float(gate.get_attribute("aria-valuenow")) == after
    gate.press("PageDown")
    assert settled(page)["settings"] == {"n": 9, "m": 10, "side": "right", "g": [1, 0.9]}
    assert gate.get_attribute("aria-valuetext") == "0.90" and gate.evaluate("e => document.activeElement === e")
    assert page.get_by_role("slider", name="Tasks").first.get_attribute("aria-valuetext") == "10 tasks"
    page.wait_for_function("document.querySelector('.live-heard').textContent === 'The gate is 0.90.'")


@pytest.mark.parametrize("by", ["mouse", "finger"])
def test_a_handle_is_dragged(page, by):
    box = page.locator(".live-handle").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if by == "mouse":
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 3, y + 20, steps=4)
        page.mouse.up()
        page.mouse.move(x, y - 50)  # let go
    else:
        finger = page.context.new_cdp_session(page)
        for kind, points in [
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": x + 1, "y": y + 12}]),
            ("touchMove", [{"x": x + 3, "y": y + 40}]),  # by now a browser would scroll
            ("touchMove", [{"x": x + 3, "y": y + 20}]),
            ("touchEnd", []),
        ]:
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert settled(page)["settings"]["g"] == [1, pytest.approx(0.3, abs=0.0101)]
    assert page.evaluate("scrollY") == 0


def test_an_address_is_a_setting_and_figures_keep_out_of_each_others(page, context):
    page.goto("/page.html?highlight=a%20b&two.n=3#fig-two")
    page.get_by_role("slider", name="Examples").first.press("End")
    page.get_by_role("slider", name="Gate 2").first.press("Home")
    assert written(page) == "highlight=a%20b&two.n=3&one.n=64&one.m=5&one.side=left&one.g=1,0#fig-two"
    again = context.new_page()
    again.goto(page.url)
    assert [settled(again, i) for i in (0, 1)] == [settled(page, i) for i in (0, 1)]
    assert settled(again, 1)["settings"] == START | {"n": 3}
    again.get_by_role("button", name="Reset").first.click()
    assert settled(again)["settings"] == START
    assert written(again) == "highlight=a%20b&two.n=3#fig-two"
    again.close()


def test_who_goes_back_on_the_page_finds_the_address_of_what_is_shown(page):
    page.get_by_role("slider", name="Examples").first.press("Home")
    assert written(page) == "one.n=1&one.m=5&one.side=left&one.g=1,0.5"
    page.evaluate("location.hash = 'fig-two'")
    page.get_by_role("slider", name="Examples").first.press("End")
    assert "one.n=64" in written(page) and page.url.endswith("#fig-two")
    page.go_back()
    assert written(page) == "one.n=64&one.m=5&one.side=left&one.g=1,0.5"
    assert settled(page)["settings"] == START | {"n": 64} and page.faults == []


def test_a_link_is_copied(page, context):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").nth(1).click()
    page.wait_for_function("document.querySelectorAll('.live-heard')[1].textContent === 'Link copied'")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith("/page.html?two.n=8&two.m=5&two.side=left&two.g=1,0.5#fig-two")
    context.clear_permissions()


@pytest.mark.parametrize(
    "given, read",
    [
        ("n=1e9", {"n": 64}),
        ("n=-3", {"n": 1}),
        ("n=7.6", {"n": 8}),
        ("n=", {}),
        ("n=NaN", {}),
        ("n=Infinity", {}),
        ("n=0x10", {}),
        ("n=1,2", {}),
        ("m=7", {"m": 5}),
        ("m=8", {"m": 10}),
        ("m=1e99", {"m": 10}),
        ("side=up", {}),
        ("side=__proto__", {}),
        ("g=1", {}),
        ("g=0.25,7", {"g": [0.25, 1]}),
        ("g=0.1,x", {}),
        ("h=1&__proto__.x=1", {}),
    ],
)
def test_a_bad_address_is_brought_into_range_or_ignored(page, given, read):
    page.goto("/page.html?" + "&".join(f"one.{part}" for part in given.split("&")))
    assert settled(page)["settings"] == START | read
    assert page.faults == []


def test_motion_on_demand_jumps_where_less_is_asked_for(page):
    seen = "() => { window.seen = []; const f = document.querySelector('.live'); const watch = () => {"
    seen += " const n = f.liveState.shown.counted; if (n && n !== seen.at(-1)) seen.push(n);"
    seen += " if (n !== 5) setTimeout(watch, 1) }; watch(); }"
    for motion, counted in (("no-preference", [1, 2, 3, 4, 5]), ("reduce", [5])):
        page.emulate_media(reduced_motion=motion)
        page.get_by_role("button", name="All open").first.click()
        settled(page)
        page.evaluate(seen)
        page.get_by_role("button", name="Count").first.click()
        page.wait_for_function("document.querySelector('.live').liveState.shown.counted === 5")
        page.wait_for_function("window.seen.at(-1) === 5")
        assert page.evaluate("window.seen") == counted


def test_who_has_no_script_and_what_fails_is_told(page, context):
    page.goto("/bad.html?one.n=13")
    words = [text.strip() for text in page.locator(".live").all_inner_texts()]
    assert words == ["This figure could not be drawn: thirteen.", live.LOST]
    page.goto("/page.html")
    page.get_by_role("slider", name="Examples").first.fill("13")
    settled(page)
    assert "could not be drawn: thirteen" in page.locator(".live").first.inner_text()


def test_it_fits_a_phone_and_draws_anew(page):
    page.set_viewport_size({"width": 360, "height": 700})
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("svg").first.get_attribute("height") == "300"
    page.set_viewport_size({"width": 900, "height": 700})
    settled(page)
    assert page.locator("svg").first.get_attribute("height") == "200"


def test_it_works_from_a_file(context, site):
    page = context.new_page()
    page.goto((site / "page.html").as_uri() + "?two.n=3")
    page.get_by_role("slider", name="Gate 2").first.press("Home")
    assert settled(page)["settings"] == START | {"g": [1, 0]} and settled(page, 1)["settings"] == START | {"n": 3}
    assert re.search(r"two\.n=3&one\.n=8.*one\.g=1,0$", written(page))
    page.close()

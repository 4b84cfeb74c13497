"""Each kind of fault, planted in a small page, is seen; and a page without any has none."""

import browse
import pytest
from test_pages import KINDS

GOOD = """<!DOCTYPE html><html lang="en"><head><title>A page</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>A page</h1>{}<p><a href="#a">A link</a></p><h2 id="a">A part</h2></main></body></html>"""

PLANTED = {
    "console": "<script>console.error('no')</script>",
    "elsewhere": '<img alt="x" src="http://elsewhere.invalid/x.png">',
    "sideways": '<div style="width: 500px">wide on a phone</div>',
    "hidden": '<div style="overflow-x: auto"><div style="width: 500px">wide on a phone</div></div>',
    "small": """<img alt="x" width="200" height="100" src="data:image/svg+xml,
        <svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 200 100' width='200' height='100'>
        <g transform='translate(9 9) scale(0.08 -0.08)'><path d='M0 0'/></g></svg>">""",
    "columns": """<style>td { display: block }</style>
        <table><thead><tr><th>a</th></tr></thead><tbody><tr><td>b</td></tr></tbody></table>""",
    "standard": '<details><summary>A fold</summary><p style="color: #999; background: #fff">pale</p></details>',
    "headings": "<h4>Too deep</h4>",
    "formulas": '<span class="math">\\(x\\)</span>',
    "stops": '<mjx-container tabindex="0">x</mjx-container>',
    "focus": '<button style="outline: none">a button</button>',
    "weight": "<!--" + 2_900_000 * "x" + "-->",
    "elements": browse.ELEMENTS * "<i></i>",
    "shift": """<div id="top"></div><p style="height: 400px; background: #eee">text</p><script>
        setTimeout(() => document.getElementById("top").style.height = "300px", 100)</script>""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    server = browse.serve(folder)
    yield folder, browse.address(server)
    server.shutdown()


def faults(browser, axe, folder, text, theme="light"):
    path, origin = folder
    (path / "page.html").write_text(text, encoding="utf-8")
    return {kind for kind, found in browse.Visit(browser, axe, origin, "page.html", theme).faults.items() if found}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_good_page_has_no_fault(browser, axe, folder, theme):
    assert faults(browser, axe, folder, GOOD.format(""), theme) == set()


def test_every_kind_is_planted():
    assert PLANTED.keys() == KINDS.keys()


CUES = {
    "fade": "#wide { mask-image: linear-gradient(to right, #000, transparent); --fade-end: 2rem }",
    "fade of no width": "#wide { mask-image: linear-gradient(to right, #000, transparent); --fade-end: 0rem }",
    "no fade": "",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("cue", CUES)
def test_what_scrolls_without_showing_it_is_seen_in_both_themes(browser, axe, folder, cue, theme):
    style = f"<style>#wide {{ overflow-x: auto; outline: 1px solid }} {CUES[cue]}</style>"
    box = f'{style}<div id="wide" tabindex="0"><div style="width: 500px">wide on a phone</div></div>'
    assert ("hidden" in faults(browser, axe, folder, GOOD.format(box), theme)) == (cue != "fade")


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_seen(browser, axe, folder, kind):
    assert kind in faults(browser, axe, folder, GOOD.format(PLANTED[kind]))

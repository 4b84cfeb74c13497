"""Each kind of fault, planted in a small page, is seen; and a page without any has none."""

import hashlib

import browse
import pytest
from test_pages import KINDS, KNOWN, told

from book import chromium

GOOD = """<!DOCTYPE html><html lang="en"><head><title>A page</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>h1, h2 {{ break-after: avoid }}</style></head><body><main><h1>A page</h1>{}
<p><a href="#a">A link</a></p><h2 id="a">A part</h2></main></body></html>"""

PLANTED = {
    "console": "<script>console.error('no')</script>",
    "elsewhere": '<img alt="x" src="http://elsewhere.invalid/x.png">',
    "sideways": '<div style="width: 500px">wide on a phone</div>',
    "beyond": '<p style="width: 90px">With <mjx-container>a+b+c+d+e+f+g+h+i+j</mjx-container> in it</p>',
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
    "paper": "<details><summary>A fold</summary>that stays so</details>",
}

ON_PAPER = [
    ("is folded", PLANTED["paper"]),
    ("is of use on a screen alone", "<nav>elsewhere</nav>"),
    ("is of use on a screen alone", '<details class="code" open><summary>Code</summary>of a figure</details>'),
    ("is a dark ground", '<p style="background: #222; color: #000">night</p>'),
    ("is pale", '<p style="color: #ddd">pale</p>'),
    ("is turned dark", '<img alt="x" src="data:," style="filter: invert(1)">'),
    ("is cut", '<div style="width: 300px; overflow: auto"><div style="width: 400px">wide</div></div>'),
    ("may stand alone at the foot", '<h2 style="break-after: auto">alone</h2>'),
    ("may be cut in two", "<figure>a figure</figure>"),
    ("goes on no other page", '<div style="break-inside: avoid"><pre>code</pre></div>'),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with chromium.served(folder) as origin:
        yield folder, origin


def visit(tabs, axe, folder, text, theme="light"):
    path, origin = folder
    name = f"page-{hashlib.sha256(text.encode()).hexdigest()[:16]}.html"  # another page has another address
    (path / name).write_text(text, encoding="utf-8")
    return {kind: found for kind, found in browse.Visit(tabs, axe, origin, name, theme).faults.items() if found}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_good_page_has_no_fault(tabs, axe, folder, theme):
    assert visit(tabs, axe, folder, GOOD.format(""), theme) == {}


def test_every_kind_is_planted():
    assert PLANTED.keys() == KINDS.keys()


def test_every_kind_is_told_where_there_are_more_than_known(monkeypatch):
    for kind, meaning in KINDS.items():
        assert list(told("a.html", {kind: ["here", "there"]})) == [f"{meaning}: 2 faults, 0 known\nhere\nthere"]
    assert list(told("a.html", {kind: [] for kind in KINDS})) == []
    monkeypatch.setitem(KNOWN, ("a.html", "focus"), 1)
    assert list(told("a.html", {"focus": ["here"]})) == []
    assert len(list(told("a.html", {"focus": ["here", "there"]}))) == 1


CUES = {
    "fade": "#wide { mask-image: linear-gradient(to right, #000, transparent); --fade-end: 2rem }",
    "fade of no width": "#wide { mask-image: linear-gradient(to right, #000, transparent); --fade-end: 0rem }",
    "no fade": "",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("cue", CUES)
def test_what_scrolls_without_showing_it_is_seen_in_both_themes(tabs, axe, folder, cue, theme):
    style = f"<style>#wide {{ overflow-x: auto; outline: 1px solid }} {CUES[cue]}</style>"
    box = f'{style}<div id="wide" tabindex="0"><div style="width: 500px">wide on a phone</div></div>'
    assert ("hidden" in visit(tabs, axe, folder, GOOD.format(box), theme)) == (cue != "fade")


DISPLAY = """<style>mjx-container {{ display: block; width: {width}px; overflow-x: {overflow} }}</style>
<mjx-container tabindex="-1"><div style="width: 400px; color: #000">x = y</div></mjx-container>"""


@pytest.mark.parametrize("width, overflow, seen", [(400, "auto", False), (300, "auto", True), (300, "hidden", True)])
def test_a_displayed_formula_that_is_cut_on_a_desk_is_seen(tabs, axe, folder, width, overflow, seen):
    text = GOOD.format(DISPLAY.format(width=width, overflow=overflow))
    assert ("beyond" in visit(tabs, axe, folder, text)) == seen


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_seen(tabs, axe, folder, kind):
    theme = "dark" if kind == "paper" else "light"
    assert kind in visit(tabs, axe, folder, GOOD.format(PLANTED[kind]), theme)


def test_what_is_in_the_cache_has_its_weight(tabs, axe, folder):
    (folder[0] / "long.js").write_text("//" + 2_900_000 * "x")
    for name in ("first", "second"):
        text = GOOD.format(f'<script src="long.js"></script><p>{name}</p>')
        assert "weight" in visit(tabs, axe, folder, text)


def test_what_a_page_leaves_behind_is_not_there_for_the_next(tabs, axe, folder):
    wide = "<script>if (localStorage.seen) document.write('<h4>Too deep</h4>'); localStorage.seen = 1</script>"
    for name in ("first", "second"):
        assert visit(tabs, axe, folder, GOOD.format(f"{wide}<p>{name}</p>")) == {}


@pytest.mark.parametrize("fault, text", ON_PAPER)
def test_a_planted_fault_on_paper_is_seen(tabs, axe, folder, fault, text):
    found = visit(tabs, axe, folder, GOOD.format(text), "dark")["paper"]
    assert any(what.startswith(f"{fault}: ") for what in found), found


def test_a_text_that_looks_like_others_is_seen_on_another_ground(tabs, axe, folder):
    def page(more):
        return GOOD.format(f'<div style="color: #444">{20 * "<p>text</p>"}{more}</div>')

    assert visit(tabs, axe, folder, page("")) == {}
    dark = page('<div style="background: #555"><p>text</p></div>')
    assert len(visit(tabs, axe, folder, dark)["standard"]) == 1

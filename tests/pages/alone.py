"""A figure that one can move, on a page of its own: no built book is needed."""

import shutil
from contextlib import contextmanager
from pathlib import Path

from book import chromium, live

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "live"
PAGE = """<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="live.css"><link rel="stylesheet" href="print.css" media="print">
<script src="kit.js"></script><script src="theory.js"></script><script src="{name}.js"></script></head>
<body><main><h1>{name}</h1><figure id="fig-{name}" style="margin: 0">{figure}</figure></main></body></html>"""
# Kit, formulas and figure, with its data: what a page may gain by a figure, in bytes.
WEIGHT = 150_000


def place(folder, name, *data):
    """A page of that figure in the folder, page.html; data as for `book.live.place`."""
    for file in (*live.SHARED, "live.css", f"{name}.js"):
        shutil.copy(ASSETS / file, folder)
    shutil.copy(ASSETS.parent / "print.css", folder)
    page = PAGE.format(name=name, figure=live.place(name, name, "A figure", *data))
    (folder / "page.html").write_text(page, encoding="utf-8")
    return folder


def weight(folder):
    """Without print.css, which every page of the book has."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.name != "print.css")


@contextmanager
def shown(folder, **options):
    """A browser's context for pages of the folder."""
    with chromium.opened() as browser, chromium.served(folder) as origin:
        context = browser.new_context(base_url=origin, has_touch=True, **options)
        context.set_default_timeout(60_000)
        yield context
        context.close()


def opened(context, query=""):
    """The page, with what its scripts complain of in `faults`."""
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.goto(f"/page.html{query}")
    return page


def state(page):
    """Settings and what is shown, when the frame that is asked for has come."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate("document.querySelector('.live').liveState")


def dragged(page, handle, across, down, by="mouse"):
    """Drag a handle so far, with the mouse or a finger."""
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if by == "mouse":
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + across, y + down, steps=4)
        page.mouse.up()
        return
    finger = page.context.new_cdp_session(page)
    for kind, points in [
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x + across / 2, "y": y + down / 2}]),
        ("touchMove", [{"x": x + across, "y": y + down}]),
        ("touchMove", [{"x": x + across, "y": y + down}]),
        ("touchEnd", []),
    ]:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        state(page)  # a frame, as what comes within one may be taken together


# How far text of drawings reaches past them, in pixels of the page.
BEYOND = """() => Math.max(...[...document.querySelectorAll("svg text")].map((text) => {
    const [own, all] = [text, text.ownerSVGElement].map((element) => element.getBoundingClientRect());
    return Math.max(all.left - own.left, own.right - all.right, all.top - own.top, own.bottom - all.bottom);
}))"""

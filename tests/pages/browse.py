"""A built site in a real browser: one visit to a page, and the faults that it sees."""

import shutil
from collections import defaultdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread

HERE = Path(__file__).resolve().parent
FACTS = (HERE / "facts.js").read_text(encoding="utf-8")

WIDTHS = (1440, 768, 360)
# The sizes of a page: of the first one, of any other, how many elements, and how far what is there may jump.
LANDING, CHAPTER, ELEMENTS, SHIFT = 1.2e6, 2.8e6, 15_000, 0.1

# What axe-core looks at: everything, in the light on a desk; on a phone what does not depend on colours; in the dark
# what does.
STANDARD = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
NARROW = {**STANDARD, "rules": {"color-contrast": {"enabled": False}}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}

WATCH_SHIFTS = """
    window.layoutShift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.layoutShift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""


def chromium():
    """The path of a Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def launch(playwright):
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    return playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", *quiet])


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def serve(folder):
    """A server of the folder, on a free port; it ends with the process, or with its shutdown()."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


def steps(headings):
    """What is wrong with the order of the headings (level, text): one h1, first, and no level left out."""
    levels = [level for level, _ in headings]
    if levels.count(1) != 1 or levels[0] != 1:
        yield f"not one h1 that comes first: {headings[:3]}"
    for (above, _), (level, text) in pairwise(headings):
        if level > above + 1:
            yield f"h{level} below h{above}: {text}"


class Visit:
    """One page, opened once. `faults` is a dict: the kind of fault to a list of what was seen."""

    def __init__(self, browser, axe, origin, path, theme):
        # A page is opened wide in the light and narrow in the dark, so that what jumps on opening is seen in both.
        desk, *_, phone = WIDTHS
        self.width = {"light": desk, "dark": phone}[theme]
        self.looks = {"light": [(desk, STANDARD)], "dark": [(phone, NARROW), (desk, COLOURS)]}[theme]
        self.faults = defaultdict(list)
        context = browser.new_context(viewport={"width": self.width, "height": 900}, color_scheme=theme)
        context.add_init_script(WATCH_SHIFTS)
        self.page = context.new_page()
        self._listen(context, origin)
        try:
            self.page.goto(f"{origin}/{path}", wait_until="load")
            self._see("ready")
            self.facts = self._look(limit=LANDING if path == "index.html" else CHAPTER)
            self._widths()
            self._axe(axe)
        finally:
            context.close()

    def _see(self, what, *arguments):
        return self.page.evaluate(f"(given) => {FACTS}.{what}(...given)", arguments)

    def _listen(self, context, origin):
        page, faults = self.page, self.faults

        def said(message):
            if message.type == "error":
                faults["console"].append(f"{message.text} {message.location['url']}")

        def elsewhere(route):
            faults["elsewhere"].append(route.request.url)
            route.abort()

        page.on("console", said)
        page.on("pageerror", lambda error: faults["console"].append(str(error)))
        context.route(lambda url: not url.startswith((origin + "/", "data:", "blob:")), elsewhere)

    def _look(self, limit):
        facts = {name: self._see(name) for name in ("shift", "weight", "elements", "headings")}
        if facts["weight"] > limit:
            self.faults["weight"].append(f"{facts['weight'] / 1e6:.2f} MB, more than {limit / 1e6} MB")
        if facts["elements"] >= ELEMENTS:
            self.faults["elements"].append(f"{facts['elements']:,}, not fewer than {ELEMENTS:,}")
        if facts["shift"] >= SHIFT:
            self.faults["shift"].append(f"{facts['shift']:.2f} at {self.width} px, not less than {SHIFT}")
        self.faults["headings"] += steps(facts["headings"])
        self.faults["formulas"] += self._see("untypeset")
        self._see("unfold")
        return facts

    def _widths(self):
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            # Scripts that answer to a new width have done so.
            self.page.wait_for_timeout(150)
            self.faults["sideways"] += [f"at {width} px: {what}" for what in self._see("sideways")]
            self.faults["hidden"] += [f"at {width} px: {what}" for what in self._see("hidden")]
            if width == min(WIDTHS):
                self.faults["small"] += self._see("small")
                self.faults["columns"] += self._see("unnamed")

    def _axe(self, axe):
        self._see("thin")
        self.page.evaluate(axe)
        for width, rules in self.looks:
            self.page.set_viewport_size({"width": width, "height": 900})
            self.faults["standard"] += map(" ".join, self._see("axe", rules))
        # After a real key, what scripts focus is marked as if by that key.
        self.page.keyboard.press("Tab")
        stops = self._see("stops")
        self.faults["stops"] += [f"a formula is a stop: {what}" for what in stops["formulas"]]
        self.faults["stops"] += [f"no stop: {what}" for what in stops["missed"]]
        self.faults["focus"] += stops["unseen"]
        self.facts["stops"] = stops["all"]

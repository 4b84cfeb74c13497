"""A built site in a real browser: one visit to a page, and the faults that it sees."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from book import chromium

HERE = Path(__file__).resolve().parent
SITE = HERE.parents[1] / "_build" / "html"
FACTS = (HERE / "facts.js").read_text(encoding="utf-8")

WIDTHS = (1440, 768, 360)
DESK, _, PHONE = WIDTHS
# The sizes of a page: of the first one, of any other, how many elements, and how far what is there may jump.
LANDING, CHAPTER, ELEMENTS, SHIFT = 1.2e6, 2.8e6, 15_000, 0.1

# A4 between its margins: assets/print.css.
PAPER = 658

# What axe-core looks at: what colours have no part in, of everything, on the desk and on the phone; what they have a
# part in, light and dark, once for each look of a text. That takes by far the longest for a text.
COLOURED = ["color-contrast", "link-in-text-block"]
TAGS = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
STRUCTURE = {"runOnly": TAGS, "rules": {rule: {"enabled": False} for rule in COLOURED}}
COLOURS = {"runOnly": {"type": "rule", "values": COLOURED}}
BOTH = {"runOnly": TAGS}

# Every page is opened as if for the first time.
AT_FIRST = """
    try { localStorage.clear(); sessionStorage.clear(); } catch {}
    window.layoutShift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.layoutShift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""


THEMES = ("light", "dark")


def missing():
    """Why no page can be opened here, or None."""
    if not (SITE / "index.html").exists():
        return "there is no built book: make book"
    return chromium.lacking("axe_playwright_python")


def pages():
    """The addresses of all pages, without the pieces that the theme copies."""
    found = (path.relative_to(SITE) for path in SITE.rglob("*.html"))
    return sorted(path.as_posix() for path in found if path.parts[0] not in ("_static", "_sources"))


def steps(headings):
    """What is wrong with the order of the headings (level, text): one h1, first, and no level left out."""
    levels = [level for level, _ in headings]
    if levels.count(1) != 1 or levels[0] != 1:
        yield f"not one h1 that comes first: {headings[:3]}"
    for (above, _), (level, text) in pairwise(headings):
        if level > above + 1:
            yield f"h{level} below h{above}: {text}"


def tabs(browser):
    """A tab for each theme, in which one page after the other is opened: they share what was fetched and compiled."""
    found = {theme: browser.new_context(color_scheme=theme).new_page() for theme in THEMES}
    for tab in found.values():
        tab.add_init_script(AT_FIRST)
        tab.set_default_timeout(chromium.PATIENCE)
    return found


class Visit:
    """One page, opened once. `faults` is a dict: the kind of fault to a list of what was seen."""

    def __init__(self, tabs, axe, origin, path, theme):
        # A page is opened wide in the light and narrow in the dark, so that what jumps on opening is seen in both. In
        # the dark it is seen on paper, too, where it has to turn light. The structure of a page is the same in both
        # themes: each width of it is looked at in one.
        self.widths = {"light": WIDTHS, "dark": WIDTHS[::-1]}[theme]
        self.looks = {
            "light": [(PHONE, STRUCTURE), (DESK, COLOURS)],
            "dark": [(DESK, BOTH)],
        }[theme]
        self.width = self.widths[0]
        self.faults = defaultdict(list)
        self.page = tabs[theme]
        self.page.set_viewport_size({"width": self.width, "height": 900})
        listeners = self._listen(origin)
        try:
            self.page.goto(f"{origin}/{path}", wait_until="load")
            self.facts = self._look(limit=LANDING if path == "index.html" else CHAPTER)
            if theme == "dark":
                self._paper()
            self._widths()
            self._axe(axe)
        finally:
            for event, listener in listeners.items():
                self.page.remove_listener(event, listener)
            self.page.goto("about:blank")
            self.page.emulate_media(media="screen")

    def _see(self, what, *arguments):
        return self.page.evaluate(f"(given) => {FACTS}.{what}(...given)", arguments)

    def _resize(self, width):
        """To a new width, which costs a page more than all else here: only where it is another."""
        if self.page.viewport_size["width"] != width:
            self.page.set_viewport_size({"width": width, "height": 900})

    def _listen(self, origin):
        """Count what goes wrong from now on. Returns the listeners: event to function."""
        faults = self.faults

        def said(message):
            if message.type == "error":
                faults["console"].append(f"{message.text} {message.location['url']}")

        def asked(request):  # which comes to nothing: `chromium.opened`
            if not request.url.startswith((origin + "/", "data:", "blob:")):
                faults["elsewhere"].append(request.url)

        def failed(error):
            faults["console"].append(str(error))

        listeners = {"console": said, "pageerror": failed, "request": asked}
        for event, listener in listeners.items():
            self.page.on(event, listener)
        return listeners

    def _look(self, limit):
        facts = self._see("facts")
        if facts["weight"] > limit:
            self.faults["weight"].append(f"{facts['weight'] / 1e6:.2f} MB, more than {limit / 1e6} MB")
        if facts["elements"] >= ELEMENTS:
            self.faults["elements"].append(f"{facts['elements']:,}, not fewer than {ELEMENTS:,}")
        if facts["shift"] >= SHIFT:
            self.faults["shift"].append(f"{facts['shift']:.2f} at {self.width} px, not less than {SHIFT}")
        self.faults["headings"] += steps(facts["headings"])
        self.faults["formulas"] += facts["untypeset"]
        return facts

    def _paper(self):
        self.page.emulate_media(media="print")
        self._resize(PAPER)
        self.faults["paper"] += self._see("paper")
        self.page.emulate_media(media="screen")

    def _widths(self):
        self._see("unfold")
        for width in self.widths:
            self._resize(width)
            for kind, found in self._see("beyond").items():
                self.faults[kind] += [f"at {width} px: {what}" for what in found]
            if width == PHONE:
                self.faults["small"] += self._see("small")
                self.faults["columns"] += self._see("unnamed")

    def _axe(self, axe):
        self._see("thin")
        self.page.evaluate(axe)
        for width, rules in self.looks:
            self._resize(width)
            self.faults["standard"] += map(" ".join, self._see("axe", rules))
        # After a real key, what scripts focus is marked as if by that key.
        self.page.keyboard.press("Tab")
        stops = self._see("stops")
        self.faults["stops"] += [f"a formula is a stop: {what}" for what in stops["formulas"]]
        self.faults["stops"] += [f"no stop: {what}" for what in stops["missed"]]
        self.faults["focus"] += stops["unseen"]
        self.facts["stops"] = stops["all"]

"""A browser that is steered from Python, and a server of the pages that it opens."""

import shutil
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Thread

NAMES = "chromium", "chromium-browser", "google-chrome"
# How long a tab waits for what never comes, in milliseconds: a machine may be busy with other things.
PATIENCE = 600_000


def found():
    """The path of a Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def lacking(*packages):
    """Why there is no browser to steer from here, or None."""
    for package in ("playwright", *packages):
        if find_spec(package) is None:
            return f"{package} is not installed"
    return None if found() else "there is no Chromium: apt-get install chromium, or Chrome"


open_now = ExitStack()  # what the last of the users closes
users = []


@contextmanager
def opened():
    """A browser, until the block ends; Playwright starts once in a process, so blocks that overlap share one."""
    if not users:
        from playwright.sync_api import sync_playwright

        quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        # No other machine is asked for anything.
        alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        options = ["--no-sandbox", "--disable-gpu", alone, *quiet]
        with ExitStack() as started:
            playwright = started.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=found(), args=options)
            started.callback(browser.close)
            open_now.enter_context(started.pop_all())
    else:
        browser = users[-1]
    users.append(browser)
    try:
        yield browser
    finally:
        users.pop()
        if not users:
            open_now.close()


class Quiet(SimpleHTTPRequestHandler):
    """What was fetched once is not asked for again: of what is asked for in vain a browser tells no size."""

    def send_response(self, code, message=None):
        super().send_response(code, message)
        if code == 200:
            self.send_header("Cache-Control", "max-age=86400")

    def log_message(self, *args):
        pass


@contextmanager
def served(folder):
    """The address of a server of the folder, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()

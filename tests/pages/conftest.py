"""The built book, a server of it, and one browser a process. Without any of these the tests here are skipped."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import browse
import pytest

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"
THEMES = ("light", "dark")


def missing():
    """Why no page can be opened here, or None."""
    if not (SITE / "index.html").exists():
        return "there is no built book: make book"
    for package in ("playwright", "axe_playwright_python"):
        if find_spec(package) is None:
            return f"{package} is not installed"
    return None if browse.chromium() else "there is no Chromium: apt-get install chromium, or Chrome"


def pages():
    """The addresses of all pages, without the pieces that the theme copies."""
    found = (path.relative_to(SITE) for path in SITE.rglob("*.html"))
    return sorted(path.as_posix() for path in found if path.parts[0] not in ("_static", "_sources"))


def pytest_report_header(config):
    return f"pages: skipped, {missing()}" if missing() else f"pages: {len(pages())}, opened with {browse.chromium()}"


def pytest_generate_tests(metafunc):
    """Every test that asks for a visit gets each page, light and dark; a page's tests stay in one process."""
    if "visit" in metafunc.fixturenames:
        cases = [
            pytest.param((page, theme), id=f"{page}-{theme}", marks=pytest.mark.xdist_group(f"{page}-{theme}"))
            for page in pages()
            for theme in THEMES
        ]
        metafunc.parametrize("visit", cases, indirect=True, scope="session")


@pytest.fixture(scope="session")
def browser():
    if reason := missing():
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = browse.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(browser):
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def origin():
    server = browse.serve(SITE)
    yield browse.address(server)
    server.shutdown()


@pytest.fixture(scope="session")
def visit(request, browser, axe, origin):
    page, theme = request.param
    return browse.Visit(browser, axe, origin, page, theme)

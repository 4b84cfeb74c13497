"""The built book, a server of it, and one browser a process. Without any of these the tests here are skipped."""

from importlib.resources import files

import browse
import pytest

from book import chromium

THEMES = ("light", "dark")


def pages():
    """The addresses of all pages, without the pieces that the theme copies."""
    found = (path.relative_to(browse.SITE) for path in browse.SITE.rglob("*.html"))
    return sorted(path.as_posix() for path in found if path.parts[0] not in ("_static", "_sources"))


def pytest_report_header(config):
    reason = browse.missing()
    return "pages: " + (f"skipped, {reason}" if reason else f"{len(pages())}, opened with {chromium.found()}")


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
    if reason := browse.missing():
        pytest.skip(reason)
    with chromium.opened() as browser:
        yield browser


@pytest.fixture(scope="session")
def tabs(browser):
    return browse.tabs(browser)


@pytest.fixture(scope="session")
def axe(browser):
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def origin():
    with chromium.served(browse.SITE) as origin:
        yield origin


@pytest.fixture(scope="session")
def visit(request, tabs, axe, origin):
    page, theme = request.param
    return browse.Visit(tabs, axe, origin, page, theme)

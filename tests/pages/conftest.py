"""The built book, a server of it, and one browser a process. Without any of these the tests here are skipped."""

from importlib.resources import files

import alone
import browse
import pytest

from book import chromium


def pytest_report_header(config):
    reason = browse.missing()
    return "pages: " + (f"skipped, {reason}" if reason else f"{len(browse.pages())}, opened with {chromium.found()}")


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


# One figure on a page of its own, for modules that name it: FIGURE; GIVEN, its data; SHOWN, options of the browser.


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    if reason := chromium.lacking():
        pytest.skip(reason)
    name = request.module.FIGURE
    return alone.place(tmp_path_factory.mktemp(name), name, *getattr(request.module, "GIVEN", ()))


@pytest.fixture(scope="module")
def context(request, folder):
    with alone.shown(folder, **getattr(request.module, "SHOWN", {})) as context:
        yield context


@pytest.fixture
def page(context):
    page = alone.opened(context)
    yield page
    assert page.faults == []
    page.close()

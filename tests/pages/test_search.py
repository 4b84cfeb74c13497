"""The search finds statements, and each result shows a line that can be read. On the built book, in a browser."""

import pytest

from book import chromium

QUERIES = {
    "Theorem A": "Theorem A",
    "two value channels": "channels",
    "preconditioner": "reconditioner",
    "fixed points": "fixed point",
}


def results(browser, origin, query, without=None):
    """Title and line of each result. without: a script that is kept from the page."""
    page = browser.new_page()
    page.set_default_timeout(chromium.PATIENCE)
    if without:
        page.route(f"**/{without}*", lambda route: route.abort())
    try:
        page.goto(f"{origin}/search.html?q={query.replace(' ', '+')}", wait_until="load")
        page.wait_for_function("document.querySelector('.search-summary')?.textContent.includes('found')")
        # Lines of pages come one by one.
        page.wait_for_function("document.querySelectorAll('#search-results li:not(:has(p, span))').length == 0")
        found = page.query_selector_all("#search-results li")
        return [(item.query_selector("a").inner_text(), item.inner_text()) for item in found]
    finally:
        page.close()


def unreadable(found):
    """Results with TeX in them, or with nothing but their title."""
    return [text for title, text in found if "\\" in text or "$" in text or len(text) <= len(title) + 20]


@pytest.mark.parametrize("query", QUERIES)
def test_the_search_shows_readable_lines(browser, origin, query):
    found = results(browser, origin, query)
    assert unreadable(found) == []
    assert QUERIES[query] in found[0][1]


def test_a_search_that_shows_pages_as_they_are_written_is_seen(browser, origin):
    found = results(browser, origin, "fixed points", without="find-statements.js")
    assert any("\\" in text for text in unreadable(found))

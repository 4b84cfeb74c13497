"""Every page of the built book, light and dark, on a desk, a tablet and a phone. Run by `make test-pages`."""

import browse
import pytest

KINDS = {
    "console": "no error in the console",
    "elsewhere": "no request to another host",
    "sideways": "the page does not scroll sideways",
    "beyond": "on a desk no formula scrolls, or reaches past its text",
    "hidden": "what scrolls in its own place shows it, and is reached by keyboard",
    "small": "text in drawings is nine pixels high on a phone, or more",
    "columns": "on a phone entries of a table say which column they are of",
    "standard": "WCAG 2.1, levels A and AA, as far as axe-core sees",
    "headings": "headings in order",
    "formulas": "formulas are typeset",
    "stops": "formulas are no stops of the tab key, all else that can be used is",
    "focus": "what has the focus shows it",
    "weight": "bytes of a page",
    "elements": "elements of a page",
    "shift": "what is there does not jump",
    "paper": "light on paper, open, whole, and nothing there that is of use on a screen alone",
}

# Faults that are known and not yet mended: (page, kind) to their number in either theme. A number may only fall.
KNOWN = {}


def told(page, faults):
    """What there is to say of the faults of a page: a dict, the kind of fault to a list of what was seen."""
    for kind, found in faults.items():
        known = KNOWN.get((page, kind), 0)
        if len(found) > known:
            yield "\n".join([f"{KINDS[kind]}: {len(found)} faults, {known} known", *dict.fromkeys(found)])


# All kinds in one test: a page is opened once, whichever process opens it.
@pytest.mark.parametrize("theme", browse.THEMES)
@pytest.mark.parametrize("page", browse.pages())
def test_page(page, theme, tabs, axe, origin):
    faults = "\n".join(told(page, browse.Visit(tabs, axe, origin, page, theme).faults))
    assert not faults, faults

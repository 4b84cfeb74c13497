"""The check of the built book sees what it is for, planted in a small page."""

import pytest

from book.check_book import Page

TOLD = '<img alt="Two steps." width="3" height="2" src="../_images/a.svg" />'


def test_an_image_that_says_what_it_shows_and_how_large_it_is():
    assert Page(TOLD).pictures == Page(TOLD.replace("Two steps.", "")).pictures == []  # an ornament shows nothing


@pytest.mark.parametrize(
    "planted, missing",
    [
        (TOLD.replace('alt="Two steps." ', ""), "alt"),
        (TOLD.replace("Two steps.", "../_images/a.svg"), "a text of its own"),
        (TOLD.replace('width="3" height="2" ', ""), "width, height"),
    ],
)
def test_an_image_that_does_not(planted, missing):
    assert Page(planted).pictures == [f"its image ../_images/a.svg has no {missing}"]

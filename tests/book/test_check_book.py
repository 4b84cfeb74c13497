"""The check of the built book sees what it is for, planted in a small page."""

import pytest

from book.check_book import Page, beside, surroundings

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


WHOLE = """<head>
<meta name="viewport" content="width=device-width" /><meta name="description" content="What?" />
<meta property="og:title" content="A page" /><meta property="og:description" content="What?" />
<meta property="og:image" content="card.png" /><meta property="og:url" content="https://example.org/a.html" />
<link rel="icon" href="favicon.svg?v=1" /><link rel="canonical" href="https://example.org/a.html" /></head>
<figure><img alt="" width="1" height="1" src="a.svg" /><a download="a.svg" href="a.svg">SVG</a>
<a download href="a.csv">CSV</a></figure>
<div class="page-foot"><p class="page-cite">To cite</p><a class="page-source" href="a.md">source</a>
<a rel="license" href="x">one</a><a rel="license" href="y">two</a></div>"""


def test_a_page_with_all_around_it():
    assert list(surroundings(Page(WHOLE), written=True)) == []
    assert Page(WHOLE).canonical == "https://example.org/a.html" and Page(WHOLE).icon == "favicon.svg"
    # A list of pages has no question of its own, and is not cited.
    made = WHOLE.replace('name="description"', "").replace('property="og:description"', "").replace("page-cite", "")
    assert list(surroundings(Page(made), written=False)) == []


@pytest.mark.parametrize(
    "old, new, complaint",
    [
        ("<head>", '<head><meta name="viewport" content="x" />', "has 2 viewports, not one"),
        ('name="viewport"', "", "has 0 viewports, not one"),
        ('name="description" content="What?"', 'name="description" content=""', "its head has no description"),
        ("og:description", "x", "its head has no og:description"),
        ("og:image", "x", "its head has no og:image"),
        ("og:title", "x", "its head has no og:title"),
        ("og:url", "x", "its head has no og:url"),
        ('rel="icon"', "", "has no favicon"),
        ('<a rel="license" href="y">two</a>', "", "its foot does not have the two licences"),
        ("page-cite", "", "its foot does not say how to cite it and where its source is"),
        ("page-source", "", "its foot does not say how to cite it and where its source is"),
        ('<a download="a.svg" href="a.svg">SVG</a>', "", "a figure offers ['csv'], not SVG and CSV"),
        ("a.csv", "a.txt", "a figure offers ['svg', 'txt'], not SVG and CSV"),
        ('<a download href="a.csv">CSV</a>', "", "a figure offers ['svg'], not SVG and CSV"),
    ],
)
def test_a_page_that_lacks_something_around_it(old, new, complaint):
    assert old in WHOLE
    assert list(surroundings(Page(WHOLE.replace(old, new)), written=True)) == [complaint]


@pytest.fixture
def site(tmp_path):
    """A page, and what lies beside it."""
    (tmp_path / "_sources").mkdir()
    (tmp_path / "_sources" / "a.md").write_text("```{code-cell}\n```\n")
    (tmp_path / "_sources" / "a.py").touch()
    (tmp_path / "_sources" / "a.ipynb").write_text('{"execution_count": 1}')
    (tmp_path / "sitemap.xml").write_text("<urlset><url><loc>https://example.org/a.html</loc></url></urlset>")
    return tmp_path


def test_what_lies_beside_a_page(site):
    assert list(beside(site, "a", "https://example.org/a.html")) == []
    (site / "_sources" / "a.ipynb").write_text('{"execution_count": null}')
    assert list(beside(site, "a", "")) == ["offers no executed notebook"]
    (site / "_sources" / "a.py").unlink()
    (site / "_sources" / "a.ipynb").unlink()
    assert list(beside(site, "a", "")) == ["offers no executed notebook", "offers no script"]
    # A page without code offers neither.
    (site / "_sources" / "a.md").write_text("# Words\n")
    assert list(beside(site, "a", "https://example.org/b.html")) == ["is not in the map of the site"]

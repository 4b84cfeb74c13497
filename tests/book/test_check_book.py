"""The check of the built book sees what it is for, planted in a small page."""

import pytest

from book.check_book import Page, anywhere, at_its_address, beside, faults, led_to_lines, surroundings

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


BASE = "https://example.org/"
MAP = "<url><loc>https://example.org/a.html</loc><lastmod>2024-02-03</lastmod></url>"
PUBLISHED = f'<head><link rel="canonical" href="{BASE}a.html" /></head><p>Last changed 2024-02-03.</p>'


def test_a_page_at_its_address():
    assert list(at_its_address(Page(PUBLISHED), "a", BASE, MAP)) == []
    # A new page has no change yet, and at home nothing has an address.
    new = PUBLISHED.replace("Last changed 2024-02-03.", "")
    assert list(at_its_address(Page(new), "a", BASE, MAP.replace("<lastmod>2024-02-03</lastmod>", ""))) == []
    assert list(at_its_address(Page("<p>Last changed 2024-02-03.</p>"), "a", "", "")) == []


@pytest.mark.parametrize(
    "old, new, base, complaint",
    [
        ("a.html", "b.html", BASE, f"its canonical address is {BASE}b.html, not {BASE}a.html"),
        ('rel="canonical"', "", BASE, f"its canonical address is not there, not {BASE}a.html"),
        ("a.html", "a.html", "", f"its canonical address is {BASE}a.html, not left out"),
        ("2024-02-03", "2025-02-03", BASE, "its last change is 2025-02-03, in the map of the site ['2024-02-03']"),
        ("Last changed", "", BASE, "its last change is not there, in the map of the site ['2024-02-03']"),
    ],
)
def test_a_page_at_a_wrong_address_or_date(old, new, base, complaint):
    assert old in PUBLISHED
    assert list(at_its_address(Page(PUBLISHED.replace(old, new)), "a", base, MAP)) == [complaint]


STATED = """<a class="page-source" href="https://example.org/p/blob/abc/a.md">source</a>
<div id="thm-a"><a href="https://example.org/p/blob/abc/a.md?plain=1#L3">source</a></div>"""


@pytest.mark.parametrize(
    "old, new, complaints",
    [
        ("", "", []),
        ('https://example.org/p/blob/abc/a.md"', 'a.md"', []),  # at home there are no lines to lead to
        ("#L3", "#L2", ["line 2 of a.md, to which it leads, states nothing", "no link leads to the line of thm-a"]),
        ("#L3", "#L7", ["no link leads to the line of thm-a"]),  # which is another's
        ("a.md?", "b.md?", ["line 3 of b.md, to which it leads, states nothing", "no link leads to the line of thm-a"]),
        ("?plain=1#L3", "", ["no link leads to the line of thm-a"]),
    ],
)
def test_a_statement_leads_to_its_line(site, old, new, complaints):
    text = "# A\n\n```{prf:theorem} One\n:class: new\n:label: thm-a\n```\n```{prf:theorem} Two\n:label: thm-b\n"
    (site / "_sources" / "a.md").write_text(text)
    page = Page(STATED.replace(old, new) if old else STATED)
    assert list(led_to_lines(page, site, {"thm-a", "thm-c"})) == complaints


WRONG = f'<head><base href="{BASE}" /><link rel="icon" href="favicon.svg" /></head>'


@pytest.mark.parametrize(
    "planted, base, complaint",
    [
        (WRONG, BASE, ""),
        (WRONG.replace(f'<base href="{BASE}" />', ""), "", ""),
        (
            f'<link rel="icon" href="favicon.svg" />{WRONG}',
            BASE,
            f"its links begin at {BASE}, not first of all at {BASE}",
        ),
        (
            WRONG.replace(BASE, "https://example.org/book/"),
            BASE,
            "its links begin at https://example.org/book/, not first",
        ),
        (WRONG.replace("<base", "<p"), BASE, f"its links begin at where it is shown, not first of all at {BASE}"),
        (WRONG + f'<link rel="canonical" href="{BASE}404.html" />', BASE, f"it tells {BASE}404.html as its address"),
    ],
)
def test_the_page_for_wrong_addresses(planted, base, complaint):
    found = list(anywhere(Page(planted), base))
    assert [said[: len(complaint)] for said in found] == ([complaint] if complaint else [])


ARTICLE = """<h1>A page of <em>sums</em></h1><a href="prf-prf.html#b">all</a>
<style>p { background: url("c.png") }</style>
<img alt="x" width="1" height="1" src="b.svg" /><div class="output">3</div>"""


@pytest.fixture
def small(tmp_path):
    """A whole book of one page: its folder, and what was built of it."""
    html = tmp_path / "html"
    html.mkdir()
    (tmp_path / "_toc.yml").write_text("root: a\n")
    (tmp_path / "claims.yml").write_text("{}\n")
    (tmp_path / "a.md").write_text("# A page of *sums*\n")
    around = WHOLE.partition("<figure>")[0] + WHOLE.partition("</figure>")[2]
    around = around.replace('href="https://example.org/a.html"', "").replace('rel="canonical"', "")
    for name in ("a.md", "favicon.svg", "b.svg", "x", "y"):
        (html / name).touch()
    for name in ("a", "404", "prf-prf"):
        (html / f"{name}.html").write_text(f'{around}{ARTICLE}<p id="b"></p>')
    (html / "a.css").write_text("p { background: url(c.png) }")
    return tmp_path, html


def test_a_book_without_a_fault(small):
    root, html = small
    assert list(faults(html, root)) == []


@pytest.mark.parametrize(
    "file, old, new, complaint",
    [
        ("a.html", "<em>sums</em>", "", "a.html: its title lacks ['sums']"),
        ("404.html", None, None, "404.html: missing"),
        ("prf-prf.html", None, None, "prf-prf.html: missing"),
        ("a.html", "page-cite", "", "a.html: its foot does not say how to cite it and where its source is"),
        (
            "404.html",
            "<head>",
            '<head><base href="/" />',
            "404.html: its links begin at /, not first of all at where it is",
        ),
        ("a.html", "<head>", f'<head><link rel="canonical" href="{BASE}b.html" />', "a.html: its canonical address is"),
        ("a.html", "prf-prf.html#b", "no.html", "a.html: its link no.html leads nowhere"),
        ("a.html", "prf-prf.html#b", "prf-prf.html#no", "a.html: its link prf-prf.html#no leads nowhere"),
        ("a.html", 'class="output"', 'class="output traceback"', "a.html: shows the traceback of a failed cell"),
        ("a.html", 'alt="x"', "", "a.html: its image b.svg has no alt"),
        ("a.html", 'src="b.svg"', 'src="//other.org/b.svg"', "a.html: fetches //other.org/b.svg"),
        (
            "a.html",
            "<h1>",
            '<script src="https://other.org/x.js"></script><h1>',
            "a.html: fetches https://other.org/x.js",
        ),
        ("a.html", '"c.png"', '"//other.org/c.png"', 'a.html: fetches url("//other.org/c.png'),
        ("a.css", "c.png", "https://other.org/c.png", "a.css: fetches url(https://other.org/c.png"),
    ],
)
def test_a_fault_of_a_book_is_found(small, file, old, new, complaint):
    root, html = small
    text = (html / file).read_text()
    if old is None:
        (html / file).unlink()
    else:
        assert old in text
        (html / file).write_text(text.replace(old, new, 1))
    assert any(fault.startswith(f"{html}/{complaint}") for fault in faults(html, root)), list(faults(html, root))


def test_a_page_that_was_not_built_is_found(small):
    root, html = small
    (html / "a.html").write_text("")
    assert next(faults(html, root)) == f"{html}/a.html: missing or empty"

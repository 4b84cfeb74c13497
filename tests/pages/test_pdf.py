"""The book as one PDF: a small one, bound here, and the whole one, if `make pdf` has made it of these pages."""

import shutil

import pytest
import yaml
from browse import SITE, missing
from bs4 import BeautifulSoup, SoupStrainer

from book import chromium, pdf

pypdf = pytest.importorskip("pypdf")
ROOT = SITE.parents[1]
BOOK = SITE.parent / "book.pdf"

HEAD = """<!DOCTYPE html><html lang="en" data-theme="dark"><head><meta charset="utf-8">{more}
<link rel="stylesheet" media="print" href="print.css"><script src="print.js"></script></head>
<body><main class="bd-main"><div class="bd-content"><article class="bd-article">{text}</article></div></main></body>
</html>"""
ONE = """<section id="one"><h1>Page one<a class="headerlink" href="#one">#</a></h1>
<p><a href="two.html#there">across</a> <a href="#here">be<em>low</em></a> <a href="two.html">next</a>
<a href="x.csv">data</a> <a href="https://example.org/">away</a></p>
<img alt="A drawing" width="9" height="9" src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'
viewBox='0 0 9 9'><path d='M0 0H9V9'/></svg>"><table><thead><tr><th>a</th></tr></thead><tr><td>b</td></tr></table>
<details><summary>Why</summary>because of a proof</details></section>
<section id="here" style="break-before: page"><h2>A section</h2></section>"""
TWO = """<section id="two"><h1>Page two</h1>
<table><thead><tr><th>c</th></tr></thead><tr><td>d</td></tr></table></section>
<section id="there" style="break-before: page"><h2>Over there</h2></section>"""
CITED = {"authors": [{"name": "Some One"}], "version": "1.2"}
PARTS = [("", ["index"]), ("A part", ["two"])]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if reason := chromium.lacking():
        pytest.skip(reason)
    site = tmp_path_factory.mktemp("site")
    for name in ("print.css", "print.js"):
        shutil.copy(ROOT / "assets" / name, site)
    (site / "index.html").write_text(HEAD.format(more="", text=ONE), encoding="utf-8")
    (site / "two.html").write_text(HEAD.format(more="", text=TWO), encoding="utf-8")
    return site


def bind(site, target=None):
    target = target or site / "book.pdf"
    pdf.make(site, PARTS, CITED, "A book", target, say=lambda line: None)
    return pypdf.PdfReader(target)


@pytest.fixture(scope="module")
def small(site):
    return bind(site)


def links(reader):
    """(number of the page, page that it leads to or None, address or None) of every link."""
    numbers = {page.indirect_reference.idnum: i for i, page in enumerate(reader.pages)}
    for i, page in enumerate(reader.pages):
        for link in (link.get_object() for link in page.get("/Annots", [])):
            place = link.get("/Dest")
            inside = numbers.get(place[0].idnum) if isinstance(place, list) else None
            yield i, inside, link.get("/A", {}).get("/URI")


def is_loose(link):
    """Whether it leads neither to a page of the book nor to another host."""
    _, page, address = link
    return page is None and (not address or "127.0.0.1" in address)


def loose(reader):
    return [link for link in links(reader) if is_loose(link)]


def titles(outline):
    for entry in outline:
        if isinstance(entry, list):
            yield from titles(entry)
        else:
            yield entry.title


def test_a_small_book_is_bound(small):
    text = [page.extract_text() for page in small.pages]
    assert small.page_labels == ["i", "ii", "1", "2", "3", "4"]
    assert all(number in page.split() for number, page in zip(["ii", "1", "2", "3", "4"], text[1:], strict=True))
    assert "A book" in text[0] and "Some One" in text[0] and "Version 1.2" in text[0]
    assert text[1].split()[-8:] == ["Page", "one", "1", "A", "part", "Page", "two", "3"]
    assert "because of a proof" in text[2]
    assert list(titles(small.outline)) == ["Page one", "A section", "A part", "Page two", "Over there"]


def test_its_links_lead_within_it_or_away(small):
    assert loose(small) == []
    # What is set in another type is a link of its own.
    within = [(1, 2), (1, 4), (2, 5), (2, 3), (2, 3), (2, 4)]
    assert [(i, page) for i, page, _ in links(small) if page is not None] == within
    assert [address for *_, address in links(small) if address] == ["https://example.org/"]


def test_a_published_book_leads_to_its_files(site, tmp_path):
    public = shutil.copytree(site, tmp_path / "public")
    more = '<link rel="canonical" href="https://example.org/book/index.html">'
    (public / "index.html").write_text(HEAD.format(more=more, text=ONE), encoding="utf-8")
    found = {address for *_, address in links(bind(public)) if address}
    assert found == {"https://example.org/", "https://example.org/book/x.csv"}


def test_a_loose_link_is_seen(site, tmp_path, monkeypatch):
    monkeypatch.setattr(pdf.Binding, "lead_all", lambda self: None)
    assert len(loose(bind(site, tmp_path / "loose.pdf"))) > 3


def kids(element):
    """What an element holds, but for numbers of what is on its page."""
    held = element.get("/K", [])
    found = [kid.get_object() for kid in (held if isinstance(held, list) else [held])]
    return [kid for kid in found if isinstance(kid, dict)]


def structure(reader):
    """The elements of structure; ends with an error where the book has none."""
    from book import tags

    return list(tags.elements(reader.trailer["/Root"]["/StructTreeRoot"]["/K"]))


def test_it_can_be_heard(small):
    assert small.trailer["/Root"]["/MarkInfo"]["/Marked"] and small.trailer["/Root"]["/Lang"] == "en"
    found = structure(small)
    kinds = [element["/S"] for element in found]
    assert (kinds.count("/Document"), kinds.count("/Part"), kinds.count("/H1"), kinds.count("/Table")) == (1, 3, 3, 2)
    assert [element["/Alt"] for element in found if element["/S"] == "/Figure"] == ["A drawing"]
    heads = [element["/ID"] for element in found if "/ID" in element]
    assert [said["/Headers"] for element in found for said in element.get("/A", []) if "/Headers" in said] == [
        [head] for head in heads
    ]
    assert len(set(heads)) == 2


def astray(reader):
    """Pages and links that the structure has elsewhere, and what it has beside them."""
    numbers = reader.trailer["/Root"]["/StructTreeRoot"]["/ParentTree"]["/Nums"]
    held = dict(zip(numbers[::2], (element.get_object() for element in numbers[1::2]), strict=True))
    linked = set()
    for page in reader.pages:
        for element in (element.get_object() for element in held[page["/StructParents"]]):
            places = [part.raw_get("/Pg") for part in (element, *kids(element)) if "/Pg" in part]
            if page.indirect_reference not in places:
                yield element
        for link in page.get("/Annots", []):
            linked.add(link)
            if link not in [kid.raw_get("/Obj") for kid in kids(held[link["/StructParent"]]) if "/Obj" in kid]:
                yield link
    objects = [kid.raw_get("/Obj") for element in structure(reader) for kid in kids(element) if "/Obj" in kid]
    yield from (place for place in objects if place not in linked)


def test_what_is_heard_is_in_its_place(small):
    assert list(astray(small)) == []


@pytest.mark.parametrize("left", ["/StructParents", "/StructParent"])
def test_what_is_heard_out_of_its_place_is_seen(site, tmp_path, left):
    reader = bind(site, tmp_path / "astray.pdf")
    page = reader.pages[2]
    place = page if left == "/StructParents" else page["/Annots"][0].get_object()
    place[pypdf.generic.NameObject(left)] = pypdf.generic.NumberObject(0 if left == "/StructParents" else 2)
    assert list(astray(reader))


def test_a_book_that_cannot_be_heard_is_seen(site, tmp_path, monkeypatch):
    monkeypatch.setattr(pdf.Binding, "structure", lambda self: None)
    with pytest.raises(KeyError, match="StructTreeRoot"):
        structure(bind(site, tmp_path / "silent.pdf"))


def colours(page):
    """All that a page of a PDF is filled with, as #rrggbb."""
    content = pypdf.generic.ContentStream(page.get_contents(), None)
    for given, operator in content.operations:
        if operator == b"rg":
            yield "#" + "".join(f"{round(255 * float(part)):02x}" for part in given)


@pytest.mark.parametrize("planted", [False, True])
def test_paper_is_white_in_the_dark(site, browser, planted):
    """And a page is as it was, once it is printed. planted: something turns it dark on paper, which is seen."""
    with chromium.served(site) as origin:
        tab = browser.new_page()
        tab.set_default_timeout(chromium.PATIENCE)
        tab.goto(f"{origin}/index.html")
        tab.add_style_tag(content="html[data-theme=dark] article { background: #102030; print-color-adjust: exact }")
        if planted:
            tab.evaluate("() => addEventListener('beforeprint', () => document.documentElement.dataset.theme = 'dark')")
        assert ("#102030" in colours(pdf.to_paper(tab).pages[0])) == planted
        state = "() => [document.documentElement.dataset.theme, document.querySelector('details').open]"
        assert tab.evaluate(state) == ["dark", False]
        tab.close()


def test_without_a_browser_it_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "index.html").touch()
    monkeypatch.setattr(chromium, "found", lambda: None)
    assert pdf.main(tmp_path, tmp_path / "book.pdf") == 1
    assert "no Chromium" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole():
    if reason := missing():
        pytest.skip(reason)
    if not BOOK.exists() or BOOK.stat().st_mtime < (SITE / "index.html").stat().st_mtime:
        pytest.skip("there is no PDF of these pages: make pdf")
    return pypdf.PdfReader(BOOK)


def words(text):
    return "".join(text.split())


def read(name, only=None):
    text = (SITE / f"{name}.html").read_text(encoding="utf-8")
    return BeautifulSoup(text, "html.parser", parse_only=only and SoupStrainer(only))


def title(name):
    return words(read(name, "h1").h1.get_text().removesuffix("#"))


def test_the_whole_book_is_bound(whole):
    assert len(whole.pages) > 50
    leading = list(links(whole))
    assert [link for link in leading if is_loose(link)] == []
    assert sum(page is not None for _, page, _ in leading) > 1000
    found = {words(title) for title in titles(whole.outline)}
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    names = [name for _, names in pdf.plan(toc) for name in names]
    for name in names:
        assert title(name) in found
    kinds = [element["/S"] for element in structure(whole)]
    assert kinds.count("/H1") == len(names) + 2  # the title of the book, all statements
    assert kinds.count("/Figure") > len(names) and kinds.count("/Table") > 10
    assert list(astray(whole)) == []


def test_proofs_and_formulas_are_in_it(whole):
    page = read("chapters/gates_are_weights").article
    entries = [
        entry for part in whole.outline if isinstance(part, list) for entry in part if not isinstance(entry, list)
    ]
    starts = [whole.get_destination_page_number(entry) for entry in entries]
    at = [words(entry.title) for entry in entries].index(title("chapters/gates_are_weights"))
    text = words("".join(page.extract_text() for page in whole.pages[starts[at] : starts[at + 1]]))
    assert all(letter in text for letter in "ω⊙∑")
    proofs = page.select("details div.proof p:not(.admonition-title)")
    told = [words(part)[:15] for proof in proofs for part in proof.find_all(string=True, recursive=False)]
    told = [part for part in told if len(part) == 15]
    # All but what goes on overleaf.
    assert len(told) >= 5 and sum(part not in text for part in told) <= 1

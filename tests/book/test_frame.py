"""What surrounds a page: description and preview in its head, citation, date and source at its foot; a page for wrong
addresses, and a map of the site."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from bs4 import BeautifulSoup
from sphinx.errors import ConfigError
from test_freshness import build

from book import frame, notebooks, published

ROOT = Path(__file__).resolve().parents[2]
CITED = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
QUESTION = "\nWhat is *one* & why is $\\omega \\le 1$?\n\nBecause.\n"
REPOSITORY = "https://github.com/Some-one/a.project"
BOOK = "https://some-one.github.io/a.project"


def prepare(book):
    page = book / "chapters" / "01_page.md"
    page.write_text(page.read_text().replace("# A page\n", f"# A page\n{QUESTION}"))
    return book


def read(book, name="chapters/01_page"):
    return BeautifulSoup((book / "_build" / "html" / f"{name}.html").read_text(), "html.parser")


@pytest.fixture(scope="module")
def home(small_book):
    """A book built on a machine of one's own."""
    build(prepare(small_book))
    return small_book


@pytest.fixture(scope="module")
def public(tmp_path_factory, home):
    """The same as the workflow publishes it, from a repository."""
    book = tmp_path_factory.mktemp("public") / "book"
    if shutil.which("git") is None:
        pytest.skip("no git, so no dates")
    shutil.copytree(home, book, ignore=shutil.ignore_patterns("_build"))
    commit(book, "2024-02-03")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOOK_REPOSITORY", f"{REPOSITORY}.git")
        build(book)
    return book


def commit(folder, date):
    stamp = f"{date}T12:00:00+0000"
    name = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "-A"], [*name, "commit", "-q", "-m", "x", "--date", stamp]):
        environment = os.environ | {"GIT_COMMITTER_DATE": stamp, "HOME": str(folder)}
        subprocess.run(["git", *arguments], cwd=folder, check=True, env=environment)
    subprocess.run(["git", "tag", "v7.8.9"], cwd=folder, check=True)


def metas(page):
    found = page.head.find_all("meta")
    return {tag.get("name") or tag.get("property"): tag["content"] for tag in found if tag.get("content")}


def test_the_head_says_what_a_page_is_about(home):
    page = read(home)
    told = metas(page)
    assert told["description"] == told["og:description"] == "What is one & why is ω ≤ 1?"
    assert told["og:title"] == "A page" and told["og:site_name"] == "Gating is Weighting: the companion"
    assert told["og:image"] == "../_static/card.png"
    assert len(page.head.find_all("meta", attrs={"name": "viewport"})) == 1
    icon = page.head.find("link", rel="icon")["href"]
    assert (home / "_build" / "html" / "chapters" / icon.partition("?")[0]).exists()


def test_without_an_address_there_is_none(home):
    page = read(home)
    assert page.head.find("link", rel="canonical") is None and "og:url" not in metas(page)
    assert not (home / "_build" / "html" / "sitemap.xml").exists()


@pytest.mark.parametrize("name", ["genindex", "search", "404", "prf-prf"])
def test_pages_that_are_made_have_a_frame_too(home, name):
    page = read(home, name)
    assert len(page.head.find_all("meta", attrs={"name": "viewport"})) == 1
    assert metas(page)["og:title"] and page.select_one(".page-foot a[rel=license]")
    assert "To cite this page" not in page.get_text()


def test_with_an_address_it_is_told(public):
    page = read(public)
    assert page.head.find("link", rel="canonical")["href"] == metas(page)["og:url"] == f"{BOOK}/chapters/01_page.html"
    assert metas(page)["og:image"] == f"{BOOK}/_static/card.png"


def test_the_picture_of_previews_has_the_size_that_is_told():
    from PIL import Image

    assert Image.open(ROOT / "assets" / frame.CARD).size == frame.CARD_SIZE


def test_the_map_of_the_site_has_every_page_and_its_date(public):
    tree = ElementTree.parse(public / "_build" / "html" / "sitemap.xml").getroot()
    found = [[part.text for part in url] for url in tree]
    assert found == [[f"{BOOK}/chapters/01_page.html", "2024-02-03"]]


def test_a_wrong_address_shows_a_page_whose_links_begin_at_the_book(public, home):
    for book, base in ((public, f"{BOOK}/"), (home, None)):
        page = read(book, "404")
        bases = page.find_all("base")
        assert [tag["href"] for tag in bases] == ([base] if base else [])
        # What comes before a base does not go by it.
        first = page.head.find(lambda tag: tag.get("href") or tag.get("src"))
        assert not base or first is bases[0]
        assert page.head.find("link", rel="canonical") is None
        links = [link["href"] for link in page.article.find_all("a")]
        assert links == ["chapters/01_page.html", "search.html", "prf-prf.html"]


def test_the_foot_cites_dates_and_links(public, home):
    foot = read(public).select_one(".page-foot")
    text = " ".join(foot.get_text().split())
    authors = CITED["authors"][0]["name"]
    assert f"{authors} (2024). A page. In: Gating is Weighting: the companion, version {CITED['version']}." in text
    assert f"{BOOK}/chapters/01_page.html" in text
    assert "Maryam Fazel and Samet Oymak (2025). Gating is Weighting: Understanding" in text and "2504.04308" in text
    assert "Last changed 2024-02-03. The book is at v7.8.9." in text and "CC BY 4.0" in text and "MIT License" in text
    links = {link.get_text(): link["href"] for link in foot.find_all("a")}
    assert re.fullmatch(rf"{REPOSITORY}/blob/[0-9a-f]{{40}}/chapters/01_page\.md", links["Source of this page"])
    assert links["All sources"] == REPOSITORY and links["The book as PDF"] == f"{BOOK}/book.pdf"
    at_home = read(home).select_one(".page-foot")
    links = {link.get_text(): link["href"] for link in at_home.find_all("a")}
    assert links["Source of this page"] == "../_sources/chapters/01_page.md"
    assert not {"All sources", "The book as PDF"} & set(links)
    assert "Last changed" not in at_home.get_text() and "The book is at" not in at_home.get_text()
    assert "(2026). A page." in at_home.get_text()


def test_a_shallow_copy_knows_no_dates(public, tmp_path):
    """Its one commit would be the date of every file."""
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{public}", tmp_path / "copy"], check=True)
    assert published.last_change(str(public), "_config.yml") == "2024-02-03"
    assert published.last_change(str(tmp_path / "copy"), "_config.yml") == ""
    assert published.commit(str(tmp_path / "copy")) == published.commit(str(public)) != ""
    # A folder inside of a repository is not that repository.
    assert (
        published.commit(str(public / "chapters"))
        == published.last_change(str(public / "chapters"), "01_page.md")
        == ""
    )


def test_addresses(monkeypatch):
    assert published.pages_of("https://github.com/Ann/ann.github.io") == "https://ann.github.io"
    assert published.pages_of("https://example.org/ann/book") == published.pages_of("") == ""
    monkeypatch.delenv("BOOK_ADDRESS", raising=False)
    assert published.address("book_address", "https://example.org/book/") == "https://example.org/book"
    monkeypatch.setenv("BOOK_ADDRESS", 'https://example.org/"')
    with pytest.raises(ConfigError, match="book_address must be an address that begins with https://, or empty; got"):
        published.address("book_address", "")


def test_the_workflow_that_publishes_sets_the_address_and_pushes_the_notebooks():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
    build = workflow["jobs"]["build"]
    assert build["env"]["BOOK_REPOSITORY"] == "${{ github.server_url }}/${{ github.repository }}"
    (checkout,) = [step for step in build["steps"] if "actions/checkout" in step.get("uses", "")]
    assert checkout["with"]["fetch-depth"] == 0  # else no date is known
    uploads = [step["with"].get("path") for step in build["steps"] if "upload" in step.get("uses", "")]
    assert f"_build/{notebooks.BRANCH}" in uploads
    # Tests, book and pages come before anything is handed on.
    runs = [step.get("run", "") for step in build["steps"]]
    assert ".ci/run" in runs and all(
        "upload" not in step.get("uses", "") for step in build["steps"][: runs.index(".ci/run")]
    )
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(f"\nmake {target}\n" in ci for target in ("test", "book", "test-pages"))
    assert workflow[True]["push"]["tags"] == ["v*"]  # `on` is a truth value in YAML
    push = workflow["jobs"]["notebooks"]["steps"][-1]["run"]
    assert f"--initial-branch={notebooks.BRANCH}\n" in push and push.endswith(f" {notebooks.BRANCH}\n")


def test_the_front_page_is_cited_as_the_book():
    first, _ = frame.how_to_cite(CITED, "The book", "The book", "", 2024)
    assert first == f"{CITED['authors'][0]['name']} (2024). The book, version {CITED['version']}."

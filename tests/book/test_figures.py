"""A figure says what it shows, and how large it is; beside its caption are the image and its numbers, as files."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

from book import build, plain
from book.figures import legible, texts
from book.plain import beginning, formula, sentence
from book.symbols import MATH

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
MACROS = set(CONFIG["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"])
PAGES = sorted([*(ROOT / "chapters").glob("*.md"), *(ROOT / "reference").glob("*.md"), ROOT / "index.md"])
OTHERS = {"frac", "tfrac", "dfrac", "binom", "begin", "end"}  # of which `formula` makes more than a sign
DRAWN = """
```{{code-cell}}
:tags: [hide-input]
{settings}
%config InlineBackend.figure_formats = ["svg"]
import matplotlib.pyplot as plt
fig, ax = plt.subplots(figsize=(3, 2))
_ = ax.plot([0, 1])
```
"""
CAPTIONED = """:mystnb: {{figure: {{name: fig-{name}, caption: "{caption}"}}{more}}}
"""
NUMBERS = """
```{{code-cell}}
:tags: [remove-input]

from glalib.plotting import FigureData
FigureData("{name}", {{"x": [0, 1]}}, seed=3)
```
"""
OUTSIDE = "\n```{figure} ../assets/favicon.svg\n:alt: A mark.\n\nOur mark.\n```\n"
SILENT = "\n```{figure} ../assets/favicon.svg\n```\n"


def drawn(name, caption, more=""):
    return DRAWN.format(settings=CAPTIONED.format(name=name, caption=caption, more=more))


@pytest.fixture(scope="module")
def built(small_book, strictly):
    """A page with figures, and one with a figure that says nothing."""
    book = small_book
    page = (book / "chapters" / "01_page.md").read_text()
    for name in ("plotting.py", "_check.py"):  # the real ones
        shutil.copy(ROOT / "glalib" / name, book / "glalib")
    pieces = [
        NUMBERS.format(name="alone"),
        drawn("steps", r"Two *steps*, of $\\omega_1 \\le 2$. The second is taller."),
        "\nSome words.\n",
        NUMBERS.format(name="a&b"),
        drawn("told", "What it is.", ", image: {alt: Something else}"),
        NUMBERS.format(name="told"),
        NUMBERS.format(name="told_too"),
        OUTSIDE,
    ]
    (book / "chapters" / "drawn.md").write_text(page + "".join(pieces))
    (book / "chapters" / "silent.md").write_text("# Silent\n\nWhat?\n" + SILENT)
    names = ("drawn", "silent")
    files = "".join(f"- file: chapters/{name}\n" for name in names)
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: chapters/01_page\nchapters:\n{files}")
    return book / "_build" / "html", strictly(book)


@pytest.fixture(scope="module")
def article(built):
    return BeautifulSoup((built[0] / "chapters" / "drawn.html").read_text(), "html.parser").article


def links(box):
    return {link.get_text(): link for link in box.select(".figure-files a")}


def test_alternative_texts_are_the_first_sentence_of_the_caption_or_what_the_cell_gives(article):
    assert [image["alt"] for image in article.select("img")] == ["Two steps, of ω₁ ≤ 2.", "Something else", "A mark."]


def test_a_figure_that_says_nothing_fails_the_strict_build(built):
    _, done = built
    told = build.COLOURS.sub("", done.stdout).rstrip().split("\nThe book was not built whole.\n")[1]
    (warning,) = [line for line in told.splitlines() if "WARNING" in line]
    assert re.search(r"silent\.md:\d+: WARNING: a figure has neither a caption nor an alternative text", warning)


def test_every_image_says_how_large_it_is(article):
    sizes = [(int(image["width"]), int(image["height"])) for image in article.select("img")]
    for width, height in sizes[:2]:  # three inches by two at 96 points, and what matplotlib cuts off
        assert 240 < width < 330 and 150 < height < 220
    assert sizes[2] == (32, 32)


def test_a_drawing_says_from_which_width_on_its_text_can_be_read(article):
    """Its text of ten points is nine pixels high."""
    first, second, ours = (image.parent for image in article.select("img"))
    assert first["class"] == second["class"] == ["drawing"] and "drawing" not in ours.get("class", [])
    (least,) = re.findall(r"--least: (\d+)px", first["style"])
    points = int(first.img["width"]) * 72 / 96
    assert abs(int(least) - points * 9 / 10) < 2


def test_sizes_of_text():
    glyphs = '<svg viewBox="0 0 200 100"><g transform="translate(1 2) rotate(-90) scale(0.11 -0.11)"><use/></g></svg>'
    words = '<svg viewBox="0 0 200 100"><text style="font: 12px sans-serif">x</text></svg>'
    assert texts(glyphs) == [11.0] and legible(glyphs) == 164  # 9 * 200 / 11, and no less
    assert texts(words) == [12.0] and legible(words) == 150
    assert legible('<svg viewBox="0 0 200 100"><path/></svg>') is None


def test_the_numbers_and_the_image_are_files_to_keep(built, article):
    html = built[0]
    steps, told, ours = article.select("figure")
    for figure, name, data in ((steps, "steps", "a&b"), (told, "told", "told")):
        found = links(figure.figcaption)
        assert found["SVG"]["download"] == f"{name}.svg"
        svg = (html / "chapters" / found["SVG"]["href"]).resolve()
        assert svg.suffix == ".svg" and svg.read_text().startswith("<?xml")
        table = html / "_data" / "chapters" / "drawn" / f"{data}.csv"
        assert table.read_text() == "# seed: 3\nx\n0\n1\n"
        # Each is called by what it shows.
        assert all(link["aria-label"].startswith(shown) for shown, link in found.items())
    assert links(steps)["CSV"]["href"] == "../_data/chapters/drawn/a%26b.csv"
    assert [link["href"].split("/")[-1] for link in told.select(".figure-files a")[1:]] == ["told.csv", "told_too.csv"]
    assert list(links(ours)) == ["SVG"]


def test_numbers_without_a_figure_keep_their_place(article):
    (alone,) = [box for box in article.select(".figure-files") if not box.find_parent("figure")]
    assert list(links(alone)) == ["CSV"] and "alone.csv" in str(alone)


def test_the_page_carries_no_numbers_itself(article):
    assert "base64" not in str(article)
    assert [cell for cell in article.select(".cell") if not cell.get_text().strip() and not cell.find("img")] == []


def test_formulas_as_plain_text():
    assert formula(r"\omega_{ti} = g_{i+1} \cdots g_t \ge \tfrac{1}{2}") == "ω_ti = g_i+1 … g_t ≥ 1/2"
    assert formula(r"\risk(P)^2 \ne \mathbb{R}", {"risk": "\\mathcal{L}"}) == "L(P)² ≠ R"
    assert formula(r"\Lambda_\pm, \kappa(\Sigma)") == "Λ_±, κ(Σ)"
    norm = {"norm": ["\\lVert #1 \\rVert", 1]}
    assert formula(r"\frac{a + b}{\norm{w_i}^2}\, \sqrt{\hat\beta c}", norm) == "(a + b)/(‖w_i‖²) √(β̂ c)"
    lines = r"\begin{aligned} h &= \log g, \\ f &\sim \bigl( x^\top y \bigr) \end{aligned}"
    assert formula(lines) == "h = log g, ; f ~ ( xᵀ y )"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_the_book_is_known(page):
    """One that is not would be shown by its name."""
    found = set()
    for display, inline in MATH.findall(page.read_text(encoding="utf-8")):
        found |= set(re.findall(r"\\([a-zA-Z]+)", display or inline))
    known = set(plain.SIGNS) | plain.SILENT | set(plain.ACCENTS) | MACROS | OTHERS
    unknown = sorted(name for name in found - known if formula(f"\\{name}") == name)
    assert not unknown, f"{page.name}: commands of TeX that book/plain.py has no plain text for: {unknown}"


def test_a_sentence_ends_where_it_ends():
    assert sentence("Two tasks ($d = 10$, e.g. One). Then") == "Two tasks ($d = 10$, e.g. One)."
    assert sentence("The zeros of Eq. (9) stay. Then") == "The zeros of Eq. (9) stay."
    assert sentence("Up to 0.5 and no more") == "Up to 0.5 and no more"
    assert beginning("One. Two is longer. Three.", 19) == "One. Two is longer."
    assert beginning("The first is long. Two.", 5) == "The first is long."

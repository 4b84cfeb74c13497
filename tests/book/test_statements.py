"""All statements are on one page, with their names and first lines, and the search finds them by either."""

import json
import shutil
import subprocess

import pytest
from bs4 import BeautifulSoup
from test_freshness import build

FIRST = r"""
```{prf:theorem} Uniqueness by a cross-ratio (Theorem A)
:label: thm-a

**At most *nine* & there is one, of $\kappa \le 9$.** A second sentence.

*New here.* What follows, as $\lambda_i$ grow,

$$ \frac{a_i}{b + c} \le \sqrt{\kappa}. $$
```

```{prf:definition} Weights
:label: def-weights

They weigh.
```
"""
SECOND = r"""
```{prf:proposition} Two value channels
:label: prop-two-channels

**Two channels reach every weighting.**
```

```{prf:theorem} A token shift restores Theorem 1
:label: thm-shift

**A shift helps two channels.**
```

```{prf:proof}
No statement.
```
"""


@pytest.fixture(scope="module")
def html(small_book):
    """A book of three pages, of which two state something."""
    book = small_book
    (book / "chapters" / "zebra.md").write_text("# Zebra\n\nWhat?\n" + FIRST)
    (book / "chapters" / "ant.md").write_text("# Ant\n\nWhat?\n" + SECOND)
    files = "".join(f"- file: chapters/{name}\n" for name in ("zebra", "ant"))
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: chapters/01_page\nchapters:\n{files}")
    (book / "claims.yml").write_text(
        "".join(
            f"{name}: {{mark: new, says: it., asserted: false}}\n"
            for name in ("thm-a", "def-weights", "prop-two-channels", "thm-shift")
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOOK_REPOSITORY", "https://example.org/book")
        build(book)  # which complains of the claims, that are not kept
    return book / "_build" / "html"


def test_the_page_of_statements_has_names_and_first_lines_in_the_order_of_the_book(html):
    article = BeautifulSoup((html / "prf-prf.html").read_text(), "html.parser").article
    assert [title.get_text() for title in article.select("h2")] == ["Zebra", "Ant"]
    listed = [(entry.a["href"], *entry.stripped_strings) for entry in article.select("li")]
    assert listed == [
        (
            "chapters/zebra.html#thm-a",
            "Theorem 1: Uniqueness by a cross-ratio (Theorem A)",
            "At most nine & there is one, of κ ≤ 9.",
        ),
        ("chapters/zebra.html#def-weights", "Definition 1: Weights", "They weigh."),
        (
            "chapters/ant.html#prop-two-channels",
            "Proposition 1: Two value channels",
            "Two channels reach every weighting.",
        ),
        ("chapters/ant.html#thm-shift", "Theorem 2: A token shift restores Theorem 1", "A shift helps two channels."),
    ]


def test_a_statement_links_to_its_line_in_the_sources(html):
    article = BeautifulSoup((html / "chapters" / "zebra.html").read_text(), "html.parser").article
    link = article.select_one("#def-weights .claim-links").find("a", string="source")["href"]
    address, line = link.split("?plain=1#L")
    assert address == "https://example.org/book/blob/HEAD/chapters/zebra.md"
    source = (html / "_sources" / "chapters" / "zebra.md").read_text().splitlines()
    assert source[int(line) - 1] == "```{prf:definition} Weights"


def test_the_search_page_alone_knows_the_statements(html):
    scripts = {
        name: [
            tag["src"].partition("?")[0]
            for tag in BeautifulSoup((html / name).read_text(), "html.parser").find_all("script", src=True)
        ]
        for name in ("search.html", "chapters/ant.html")
    }
    own = ["_static/statements.js", "_static/formulas.js", "_static/find-statements.js"]
    assert [name for name in scripts["search.html"] if name in own] == own
    assert not set(own) & set(scripts["chapters/ant.html"])


# Sphinx's own search and ours, without a browser: what a page shows, from the first result to the last.
SEARCH = """
const fs = require("fs"), vm = require("vm");
const world = {
  _: (text) => text, _ready: () => 0, SPHINX_HIGHLIGHT_ENABLED: false, console,
  document: { getElementById: () => null },
};
vm.createContext(world);
for (const name of ["language_data", "searchtools", "statements", "formulas", "find-statements"])
  vm.runInContext(fs.readFileSync(`_static/${name}.js`, "utf8"), world);
vm.runInContext(fs.readFileSync("searchindex.js", "utf8"), world);
world.queries = JSON.parse(process.argv[1]);
vm.runInContext("found = queries.map((query) => Search._performSearch(...Search._parseQuery(query)).reverse())", world);
process.stdout.write(JSON.stringify(world.found));
"""


@pytest.fixture(scope="module")
def search(html):
    if shutil.which("node") is None:
        pytest.skip("no node to run the search with")

    def run(*queries):
        done = subprocess.run(
            ["node", "-e", SEARCH, json.dumps(queries)], cwd=html, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    return run


def test_the_search_finds_statements_first_and_shows_their_lines(search):
    by_letter, by_name, by_line, nothing = search("Theorem A", "two value channels", "nine there is", "Theorem B")
    page, title, anchor, line, *_ = by_letter[0]
    assert (page, anchor) == ("chapters/zebra", "#thm-a")
    assert "Theorem" in title and ": Uniqueness by a cross-ratio (Theorem A)" in title
    assert line == "At most nine &#38; there is one, of κ ≤ 9."
    assert by_letter[1][2] == "#thm-shift"  # its words are there, apart
    assert by_name[0][1:4] == [
        "Proposition 1: Two value channels",
        "#prop-two-channels",
        "Two channels reach every weighting.",
    ]
    assert by_line[0][2] == "#thm-a"
    assert not any(result[2] for result in nothing)


def test_every_formula_of_a_page_is_known_as_text(html):
    text = (html / "_static" / "formulas.js").read_text().removeprefix("const Formulas = ").rstrip(";\n")
    known = json.loads(text)
    assert known[r"\(\lambda_i\)"] == "λ_i"
    assert "a_i/(b + c) ≤ √κ." in known.values()


def test_pages_are_found_as_before(search):
    (found,) = search("zebra")
    assert [result[0] for result in found] == ["chapters/zebra"]

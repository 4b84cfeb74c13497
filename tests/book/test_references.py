"""A reference that leads nowhere is told at once, with its line and what may be meant; any other is not."""

from pathlib import Path

import pytest

from book import references, shape

ROOT = Path(__file__).resolve().parents[2]
PAGES = references.documents(ROOT)
OTHER = """\
# Other

```{prf:theorem} One
:label: thm-stationary-points

Said.
```

(signs)=
## Signs

```{exercise} By hand
:label: ex-other-hand
```

$$
a = b
$$ (eq-same)

```{code-cell}
---
mystnb:
  figure:
    name: fig-three-alike
    caption: Of {prf:ref}`thm-gone`.
---
plot()
```

```{figure} a.svg
:name: fig-drawn
```
"""


@pytest.fixture
def book(tmp_path):
    for folder in ("chapters", "reference"):
        (tmp_path / folder).mkdir()
    (tmp_path / "chapters" / "noise.md").write_text(OTHER)
    (tmp_path / "reference" / "related.md").write_text("# Related\n\n(marks)=\n## Marks\n")
    (tmp_path / "index.md").write_text("# The book\n")
    (tmp_path / "references.bib").write_text("@book{ali2025hidden,\n}\n\n@article{ahn2023transformers,\n}\n")
    (tmp_path / "chapters" / "data.csv").touch()
    return tmp_path


def told(book, text, page="chapters/fresh"):
    return [said for _, said in references.dead(book, page, text)]


@pytest.mark.parametrize("name", PAGES)
def test_no_reference_of_the_book_leads_nowhere(name):
    text = PAGES[name].read_text(encoding="utf-8")
    page = shape.Page(text)
    dead = [f"{name}.md:{page.line(place)}: {said}" for place, said in references.dead(ROOT, name, text)]
    if dead:
        pytest.fail("\n".join(dead), pytrace=False)


@pytest.mark.parametrize(
    "text, said",
    [
        ("{prf:ref}`thm-stationery`", "{prf:ref}`thm-stationery` leads nowhere; is it `thm-stationary-points`?"),
        ("{prf:ref}`so <thm-nothing-like-it>`", "{prf:ref}`thm-nothing-like-it` leads nowhere"),
        ("{prf:ref}`fig-drawn`", "{prf:ref}`fig-drawn` leads nowhere: that is no statement; write {numref} or {ref}"),
        ("{doc}`nois`", "{doc}`nois` leads nowhere; is it `noise`?"),
        ("{doc}`related`", "{doc}`related` leads nowhere; is it `../reference/related`?"),
        ("{doc}`../index2`", "{doc}`../index2` leads nowhere; is it `../index`?"),
        ("{ref}`fig-three-alik`", "{ref}`fig-three-alik` leads nowhere; is it `fig-three-alike`?"),
        ("{ref}`an\nexercise <ex-other-han>`", "{ref}`ex-other-han` leads nowhere; is it `ex-other-hand`?"),
        ("{numref}`fig-drown`", "{numref}`fig-drown` leads nowhere; is it `fig-drawn`?"),
        ("{eq}`eq-some`", "{eq}`eq-some` leads nowhere; is it `eq-same`?"),
        ("{cite}`nobody2020x`", "{cite}`nobody2020x` leads nowhere"),
        ("{cite:p}`ahn2023transformers,ali2025hiden`", "{cite:p}`ali2025hiden` leads nowhere; is it `ali2025hidden`?"),
        ("[that](noise2)", "](noise2) leads nowhere; is it `noise`?"),
        ("```{prf:proof}\n{doc}`nois`\n```", "{doc}`nois` leads nowhere; is it `noise`?"),
        (OTHER, "{prf:ref}`thm-gone` leads nowhere"),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_told(book, text, said):
    assert told(book, text) == [said]


@pytest.mark.parametrize(
    "text",
    [
        "{prf:ref}`thm-stationary-points`, {prf:ref}`it <thm-stationary-points>`",
        "{numref}`fig-three-alike`, {ref}`fig-drawn`, {ref}`here <ex-other-hand>`, {ref}`Signs`, {ref}`marks`",
        "{eq}`eq-same` {ref}`genindex`",
        "{doc}`noise`, {doc}`a page </chapters/noise>`, {doc}`../reference/related`, {doc}`../index`, {doc}`fresh`",
        "{cite:t}`ali2025hidden, ahn2023transformers`, {cite:p}`{see}ali2025hidden{p. 3}`",
        "[x](noise), [x](noise.md#signs), [x](signs), [x](#anything), [x](https://a.b/c), [x](data.csv)",
        "(mine)=\n## Mine\n\n{ref}`mine`",
        "`{doc}` and ``{doc}`x` ``\n\n% {doc}`x`\n\n<!-- {doc}`x`\n-->",
        "`f[0](x)`, $E[x](y)$, $$\nE[x](y)\n$$\n\n```{math}\nE[x](y)\n```",
        "```{code-cell}\n:tags: [check]\n\n'{doc}`x`'\nf[0](x)\n```\n\n```python\n'{doc}`x`'\n```",
    ],
)
def test_what_leads_somewhere_or_is_no_reference_is_not(book, text):
    assert told(book, text) == []


def test_pages_are_read_once_and_anew_when_they_change(book, monkeypatch):
    calls, count = [], references.labels_of
    monkeypatch.setattr(references, "labels_of", lambda text: calls.append(text) or count(text))
    for _ in range(2):
        assert told(book, "{ref}`signs`") == []
    assert calls.count(OTHER) == 1
    (book / "chapters" / "noise.md").write_text(OTHER.replace("(signs)=", "(sign-of-it)="))
    assert told(book, "{ref}`signs`") != [] == told(book, "{ref}`sign-of-it`")


def test_the_shape_of_a_page_has_them_with_their_lines(book):
    text = "# A page\n\nIs it?\n\nSee {prf:ref}`thm-stationery`.\n"
    (book / "chapters" / "fresh.md").write_text(text)
    said = "chapters/fresh.md:5: {prf:ref}`thm-stationery` leads nowhere; is it `thm-stationary-points`?"
    assert said in shape.faults("fresh", book)

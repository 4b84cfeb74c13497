"""Sphinx extension: fields that grade an answer, and the list of all exercises. Directives:

{answer} NAME      a field below an exercise; its block says what is asked, `answers` what is right
{exercises}        all exercises, page by page and by kind

A page that has fields carries their answers as JSON, and loads the script that judges by it. In the notebook that a
page offers, a block is a cell that calls `check`.
"""

import json
import re
from html import escape
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from book import answers
from book.generated import Generated

logger = logging.getLogger(__name__)
FORM = re.compile(r'<form class="answer" data-answer="([^"]+)"')
LIST = "reference/exercises"
KINDS = ("By hand", "Compute", "Explore")
BUTTON = '<button type="submit">Check</button>'
EXAMPLES = {"number": "0.57, 4/7 or 57%", "formula": "0.57, 4/7 or 57%", "numbers": "1/2, 0.3, 1"}


def form(name, answer):
    """The HTML of a field. The script shows it."""
    field, asks = f"answer-{name}", escape(answer["asks"])
    if answer["kind"] == "choice":
        choices = "".join(
            f'<label><input type="radio" name="answer" value="{i}"> {escape(choice["text"])}</label>'
            for i, choice in enumerate(answer["choices"])
        )
        inner = f'<fieldset aria-labelledby="{field}"><span id="{field}">{asks}</span>{choices}{BUTTON}</fieldset>'
    else:
        if answer["kind"] == "formula":
            asks += f" Here: its value at {escape(answer['settings'][0])}."
        inner = (
            f'<span class="answer-line"><label for="{field}">{asks}</label>'
            f'<span><input id="{field}" name="answer" type="text" autocomplete="off" spellcheck="false" '
            f'placeholder="{EXAMPLES[answer["kind"]]}"> {BUTTON}</span></span>'
        )
    inner += '<output aria-live="polite"></output>'
    return f'<form class="answer" data-answer="{name}" novalidate hidden>{inner}</form>'


class AnswerField(SphinxDirective):
    required_arguments = 1
    has_content = True

    def run(self):
        page, root, name = self.env.docname.rpartition("/")[2], Path(self.env.srcdir), self.arguments[0]
        self.env.note_dependency(str(answers.stored_at(root, page)))
        answer = answers.stored(root, page).get(name)
        if answer is None:
            place = self.get_location()
            logger.warning("%s has no stored answer: python -m book.answers %s", name, page, location=place)
            return []
        return [nodes.raw("", form(name, answer), format="html")]


def add_script(app, pagename, templatename, context, doctree):
    """The answers of a page and the words of a verdict, where it has fields; the script there, and in the list."""
    names = FORM.findall(context.get("body", ""))
    if names:
        from glalib.exercises.verdicts import WORDS

        known = answers.stored(Path(app.srcdir), pagename.rpartition("/")[2])
        data = {"words": WORDS, "answers": {name: known[name] for name in names}}
        text = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
        context["body"] += f'<script type="application/json" id="answers">{text}</script>'
    if names or pagename == LIST:
        app.add_js_file("live/exercises.js", loading_method="defer")


def listed(root, page):
    """The exercises of a page: its title, and a dict of kind to a list of (label, title, answers)."""
    text = (root / f"{page}.md").read_text(encoding="utf-8")
    heading = re.search(r"^# (.*)$", text, re.MULTILINE)[1]
    blocks, labels = answers.blocks(text), [label for label, _ in answers.exercises(text)]
    found = {kind: [] for kind in KINDS}
    for label, title in answers.exercises(text):
        kind = next((kind for kind in KINDS if title.startswith(kind)), KINDS[-1])
        short = title.removeprefix(f"{kind}:").strip()
        own = {name: block for name, block in blocks.items() if answers.exercise_of(name, labels) == label}
        found[kind].append((label, short[:1].upper() + short[1:], own))
    return heading, found


def linked(page, label, title, own):
    """One exercise in the list: its link, how long it takes, how hard it is, and whether it grades itself."""
    told = ""
    if own:
        minutes, level = sum(b["minutes"] for b in own.values()), max(b["level"] for b in own.values())
        stars = f'<span aria-label="level {level} of 3" role="img">{"●" * level}{"○" * (3 - level)}</span>'
        solved = f'<span data-solved="{" ".join(own)}" hidden> solved</span>'
        told = f'<br><span class="exercise-facts">{minutes} min {stars}{solved}</span>'
    return f'<a href="../{page}.html#{label}">{title}</a>{told}'


class AllExercises(Generated):
    def lines(self, claims):
        root = Path(self.env.srcdir)
        toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
        for part in toc.get("parts", ()):
            pages = [entry["file"] for entry in part["chapters"] if entry["file"].startswith("chapters/")]
            rows = [(page, *listed(root, page)) for page in pages]
            rows = [(page, heading, found) for page, heading, found in rows if any(found.values())]
            if not rows:
                continue
            yield from (f"## {part['caption']}", "", f"| page | {' | '.join(kind.lower() for kind in KINDS)} |")
            yield "|---|---|---|---|"
            for page, heading, found in rows:
                cells = ["<br>".join(linked(page, *exercise) for exercise in found[kind]) for kind in KINDS]
                yield f"| [{heading}](/{page}) | " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
            yield ""


def checks(cells):
    """The cells of a notebook, where each block of an answer is a cell that calls `check`."""
    first = True
    for cell in cells:
        if cell.cell_type != "markdown" or not answers.BLOCK.search(cell.source):
            yield cell
            continue
        place = 0
        for found in answers.BLOCK.finditer(cell.source):
            yield from prose(cell.source[place : found.start()], f"{cell.get('id', 'cell')}-{place}")
            place = found.end()
            asks = yaml.safe_load(found[3])["asks"]
            lines = ["from glalib import check\n"] if first else []
            lines += [f"# {asks}", f'check("{found[2]}", ...)']
            yield nbformat.v4.new_code_cell("\n".join(lines), id=f"check-{found[2]}"[:64])
            first = False
        yield from prose(cell.source[place:], f"{cell.get('id', 'cell')}-{place}")


def prose(text, name):
    if text.strip():
        yield nbformat.v4.new_markdown_cell(text.strip(), id=name[:64])


def setup(app):
    app.add_directive("answer", AnswerField)
    app.add_directive("exercises", AllExercises)
    app.connect("html-page-context", add_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

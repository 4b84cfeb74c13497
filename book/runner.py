"""A plugin of pytest that runs every chapter, cell by cell, in a fresh kernel: `pytest chapters`, with the option
`--nbval-lax`, which pyproject.toml sets.

nbval collects .ipynb files only; here its collector reads chapters/*.md through jupytext. A cell fails when it
raises. The output of a cell tagged `nbval-check-output` is also compared, as text, with the one stored in
chapters/outputs/NAME.json; `--update-outputs` stores the outputs anew. Figures are never compared.
"""

import json
import os
import re
from collections import defaultdict
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError, find_metadata_tags

from book import answers
from book.freshness import use_own_kernel

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "chapters"

# Before anything imports numpy or torch, which read the limits on threads once: nothing above does.
use_own_kernel(ROOT)


def pytest_addoption(parser):
    parser.addoption("--update-outputs", action="store_true", help="store the checked outputs of the chapters anew")
    parser.addoption("--update-answers", action="store_true", help="store the answers to the exercises anew")


def pytest_configure(config):
    if os.environ.get("GLALIB_MARGINS"):
        from book.asserts import in_pytest

        in_pytest()
    config.option.nbval_current_env = True
    config.addinivalue_line("markers", "claim(*ids): the claims of claims.yml that this test holds")


def pytest_collection_modifyitems(items):
    """A report carries the claims that its test or cell asserts, also from the worker processes of xdist."""
    for item in items:
        held = [claim for mark in item.iter_markers("claim") for claim in mark.args]
        if isinstance(item, ChapterCell):
            tags = item.cell.metadata.get("tags", [])
            held += [tag.removeprefix("asserts-") for tag in tags if tag.startswith("asserts-")]
        item.user_properties += [("claim", claim) for claim in held]


def pytest_terminal_summary(terminalreporter):
    """After a run that failed: which claims of the ledger went down with it."""
    down = defaultdict(list)
    for report in terminalreporter.getreports("failed") + terminalreporter.getreports("error"):
        for key, claim in getattr(report, "user_properties", ()):
            if key == "claim":
                down[claim].append(report.nodeid)
    if down:
        terminalreporter.section("claims that went down")
        for claim, places in sorted(down.items()):
            terminalreporter.write_line(f"{claim}: {len(places)} of its assertions failed, {places[0]} first")


def pytest_collect_file(file_path, parent):
    option = parent.config.option
    if (option.nbval or option.nbval_lax) and file_path.suffix == ".md" and file_path.parent == CHAPTERS:
        return Chapter.from_parent(parent, path=file_path)


def output_text(outputs):
    """What a cell prints and returns, as text; figures and messages on stderr are left out."""
    parts = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type == "execute_result" and not any(k.startswith("image/") for k in output.data):
            parts.append(output.data.get("text/plain", ""))
    return "\n".join(part.rstrip() for part in parts)


class Chapter(IPyNbFile):
    def setup(self):
        os.environ["GLALIB_PAGE"] = self.path.name  # for the list of margins
        super().setup()

    def collect(self):
        self.nb = jupytext.read(self.path, fmt="md:myst")
        text = self.path.read_text(encoding="utf-8")
        self.store = self.path.parent / "outputs" / f"{self.path.stem}.json"
        self.stored = json.loads(self.store.read_text(encoding="utf-8")) if self.store.exists() else {}
        self.keys, self.seen = [], {}
        position = 0
        for number, cell in enumerate(c for c in self.nb.cells if c.cell_type == "code"):
            position = max(text.find(cell.source, position), position)
            options = defaultdict(bool, find_metadata_tags(cell.metadata))
            key = None
            if options["check"]:
                key = f"{len(self.keys) + 1}: {cell.source.splitlines()[-1]}"
                self.keys.append(key)
            # The comparison is ours, with the stored texts; nbval itself only runs the cells.
            options["check"] = False
            item = ChapterCell.from_parent(self, name=f"Cell {number}", cell_num=number, cell=cell, options=options)
            item.key, item.line = key, text.count("\n", 0, position) + 1
            yield item
        # Hidden solutions, which readers paste at the end of a chapter: they must run there. Stored answers are theirs.
        count, asked = 0, answers.blocks(text)
        for start, source, kind in answers.steps(text):
            count += kind == "solution"
            name = f"Solution {count}" if kind == "solution" else f"Answer {source}"
            if kind == "answer":
                start = text.find(f"{{answer}} {source}\n")
                does = "keep" if self.config.option.update_answers else "hold"
                source = answers.source(self.path.stem, source, asked[source], does)
            options, cell = defaultdict(bool), nbformat.v4.new_code_cell(source)
            item = ChapterCell.from_parent(self, name=name, cell_num=count, cell=cell, options=options)
            item.key, item.line = None, text.count("\n", 0, start) + 1
            yield item
        if self.keys or self.stored:
            yield StoredOutputs.from_parent(self, name="Stored outputs")

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, answers.Fault):
            return f"chapters/{self.path.name}: {excinfo.value}"
        return super().repr_failure(excinfo)


class ChapterCell(IPyNbCell):
    def runtest(self):
        super().runtest()
        if self.key is None:
            return
        text = self.parent.seen[self.key] = output_text(self.test_outputs)
        stored = self.parent.stored.get(self.key)
        if self.config.option.update_outputs or text == stored:
            return
        place = self.parent.store.relative_to(ROOT)
        if stored is None:
            self.raise_cell_error(f"No output is stored for it in {place}; see --update-outputs", text)
        self.raise_cell_error(f"Its output is not the one in {place}", f"stored:\n{stored}\n\nnow:\n{text}")

    def reportinfo(self):
        return self.path, self.line - 1, f"chapters/{self.path.name}, {self.name.lower()} (line {self.line})"

    def repr_failure(self, excinfo):
        error = excinfo.value
        if not isinstance(error, NbCellError):
            return super().repr_failure(excinfo)
        detail = re.sub(r"\x1b\[[0-9;]*m", "", error.inner_traceback or "")
        return f"{self.reportinfo()[2]}: {error}\n\n{error.source}\n\n{detail}"


class StoredOutputs(pytest.Item):
    """Comes last in a chapter: the stored outputs are those of the chapter's checked cells, no more and no fewer."""

    def runtest(self):
        chapter = self.parent
        if self.config.option.update_outputs:
            known = chapter.stored | chapter.seen
            kept = {key: known[key] for key in chapter.keys if key in known}
            if kept:
                chapter.store.parent.mkdir(exist_ok=True)
                chapter.store.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            else:
                chapter.store.unlink(missing_ok=True)
            return
        missing = [key for key in chapter.keys if key not in chapter.stored]
        unused = [key for key in chapter.stored if key not in chapter.keys]
        assert not missing, f"No output is stored for {missing}; see --update-outputs"
        assert not unused, f"Stored outputs that no cell checks: {unused}; see --update-outputs"

    def reportinfo(self):
        return self.path, None, f"chapters/outputs/{self.path.stem}.json"

    def repr_failure(self, excinfo):
        return f"chapters/outputs/{self.path.stem}.json: {excinfo.value.args[0]}"

"""Texts of several kinds, from files of Python and of packages that the book is built with, and places in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

SOURCES: dict[str, tuple[str, tuple[str, ...]]] = {  # of each kind, a package or module, and files beside it
    "python": ("json", ("decoder.py", "../textwrap.py", "../heapq.py", "../argparse.py", "../statistics.py")),
    "html": ("json", ("../idlelib/help.html",)),
    "text": ("pydoc_data", ("topics.py",)),  # what `help` says of Python: its strings alone
    "css": ("docutils", tuple(f"writers/html5_polyglot/{name}.css" for name in ("plain", "responsive", "tuftig"))),
    "javascript_typescript": ("sphinx", ("themes/basic/static/doctools.js", "themes/basic/static/searchtools.js")),
    "gettext_catalog": (
        "sphinx",
        tuple(f"locale/{name}/LC_MESSAGES/sphinx.po" for name in ("pt_BR", "sk", "sq", "nl")),
    ),
    "tex": ("sphinx", tuple(f"texinputs/sphinx{name}.sty" for name in ("", "latextables", "latexobjects"))),
    "c_family": (
        "torch",
        tuple(f"include/c10/util/{name}.h" for name in ("Exception", "SmallVector", "intrusive_ptr")),
    ),
}
PIECES, SIZE = 6, 250  # of a text; characters of a piece, at least
MARGIN, MOST = 40, 40  # bytes from a place inside a piece to its ends; places of a sort in a text


@cache
def corpus() -> dict[str, list[str]]:
    """The lines of each kind. Raises ImportError where a package is not installed."""
    out = {}
    for kind, (package, names) in SOURCES.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ImportError(
                f"texts of the kind {kind} are files of the package {package}, which is not installed here"
            )
        if kind == "text":
            topics: dict[str, str] = import_module("pydoc_data.topics").topics
            parts: Iterable[str] = (topics[name] for name in sorted(topics))
        else:
            parts = ((Path(spec.origin).parent / name).read_text(encoding="utf-8") for name in names)
        out[kind] = "".join(parts).splitlines(keepends=True)
    return out


def corpus_digest() -> str:
    return hashlib.sha256("".join(line for lines in corpus().values() for line in lines).encode()).hexdigest()


def piece(lines: Sequence[str], rng: np.random.Generator, size: int = SIZE) -> str:
    """Whole lines from a random one on that is not indented, `size` to 2 size characters, no blank ones at the end."""
    while True:
        at = int(rng.integers(len(lines)))
        if lines[at][0].isspace():
            continue
        text = ""
        while len(text) < size and at < len(lines):
            text, at = text + lines[at], at + 1
        text = text.rstrip() + "\n"
        if size <= len(text) <= 2 * size:
            return text


def drawn(seed: int) -> tuple[list[str], dict[str, list[str]]]:
    """Six kinds, and three texts of six pieces: of these kinds; of one kind; of the former with no line end between."""
    rng, lines = np.random.default_rng(seed), corpus()
    kinds = [str(kind) for kind in rng.permutation(sorted(SOURCES))[:PIECES]]
    mixed, one = [piece(lines[kind], rng) for kind in kinds], str(rng.choice(sorted(SOURCES)))
    same = [piece(lines[one], rng) for _ in range(PIECES)]
    return kinds, {"new kind": mixed, "same kind": same, "glued": [part.removesuffix("\n") for part in mixed]}


def borders(parts: Sequence[str]) -> Integers:
    """Where each part but the first begins, in bytes."""
    return np.cumsum([len(part.encode()) for part in parts])[:-1]


def inner_marks(text: bytes, starts: Integers, rng: np.random.Generator) -> dict[str, Integers]:
    """Places inside pieces, each the first byte after what names it: a blank line, the end of a line or of a sentence,
    a space; or anywhere. At most `MOST` of each, at random, more than `MARGIN` from the borders and both ends."""
    found: dict[str, Any] = {
        "blank line": (m.end() for m in re.finditer(rb"\n\n+", text)),
        "line": (m.end() for m in re.finditer(rb"(?<!\n)\n(?!\n)", text)),
        "sentence": (m.end() for m in re.finditer(rb"(?<=[a-z])\. +(?=[A-Z])", text)),
        "space": (m.end() for m in re.finditer(rb"(?<=[A-Za-z,;]) (?=[A-Za-z])", text)),
        "anywhere": range(len(text)),
    }
    edges = np.concatenate([[0], starts, [len(text)]])
    inside = {k: np.array([b for b in v if abs(edges - b).min() > MARGIN], dtype=np.int64) for k, v in found.items()}
    return {k: rng.permutation(v)[:MOST] for k, v in inside.items()}

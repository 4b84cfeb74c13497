"""Text in four languages that a package of this book ships: Sphinx's messages, and strips of them with boundaries.

The messages say the same in every language. One in five is held out, in all languages at once, so that what is tried
was not read in translation either. Letters lose their case and their accents: 26 are left, the space, the apostrophe,
the comma, the full stop, and one more character that may mark boundaries.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import _check

LANGUAGES = {"en": "English", "fr": "French", "sq": "Albanian", "id": "Indonesian"}
MARK = "|"
ALPHABET = "abcdefghijklmnopqrstuvwxyz',. " + MARK
SPACE, MARKED = ALPHABET.index(" "), ALPHABET.index(MARK)
HELD_OUT = 5  # every fifth message
LENGTHS = (40, 120)  # characters of a segment, from and to

Tokens = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Text:
    """The words of each language, in order: to train on and held out; and what they are, for the record."""

    train: dict[str, list[str]]
    test: dict[str, list[str]]
    digest: str
    source: str

    def describe(self) -> dict[str, Any]:
        """The record: source, digest, and characters in each language."""
        sizes = {
            name: {language: len(" ".join(words)) for language, words in part.items()}
            for name, part in (("train", self.train), ("test", self.test))
        }
        return {"source": self.source, "digest": self.digest, "characters": sizes}


@cache
def messages() -> Text:
    """The text; ImportError where Sphinx, which ships it, is not installed."""
    found = find_spec("sphinx")
    if found is None or found.origin is None:
        raise ImportError("reproduce text needs sphinx, whose messages are its text; it is not installed here")
    folder = Path(found.origin).parent / "locale"
    others = [language for language in LANGUAGES if language != "en"]
    said = {language: _messages(folder / language / "LC_MESSAGES" / "sphinx.mo") for language in others}
    keys = sorted(set().union(*said.values()))
    said = {"en": {key: key for key in keys}} | said
    train, test = (
        {language: _words([said[language].get(key, "") for key in part]) for language in LANGUAGES}
        for part in ([key for i, key in enumerate(keys) if i % HELD_OUT], keys[::HELD_OUT])
    )
    digest = hashlib.sha256(repr((train, test)).encode()).hexdigest()[:16]
    return Text(train, test, digest, f"messages of sphinx {version('sphinx')}: {', '.join(LANGUAGES.values())}")


def _messages(file: Path) -> dict[str, str]:
    """What a catalogue translates, without plural forms and messages that are left as they are."""
    from babel.messages.mofile import read_mo  # comes with Sphinx

    with file.open("rb") as opened:
        known = [(message.id, message.string) for message in read_mo(opened)]
    plain = {key: value for key, value in known if isinstance(key, str) and isinstance(value, str)}
    return {key: value for key, value in plain.items() if key and value != key}


def _words(messages: Iterable[str]) -> list[str]:
    """The words of messages, those that have a letter."""
    return [word for message in messages for word in plain(message).split() if set(word) - set("',.")]


def plain(message: str) -> str:
    """Only characters of the alphabet, without place holders, tags and the mark; words with one space between them."""
    message = re.sub(r"%\([^)]*\)[a-z]|%[a-z]|\{[^}]*\}|<[^>]*>", " ", message.replace("’", "'"))
    for letter, simple in (("ı", "i"), ("œ", "oe"), ("æ", "ae")):
        message = message.replace(letter, simple)
    letters = unicodedata.normalize("NFKD", message.lower())
    kept = "".join(c for c in letters if not unicodedata.combining(c))
    return " ".join(re.sub(r"[^a-z',. ]", " ", kept).split())


def encode(text: str) -> Tokens:
    """Places in the alphabet, (T,)."""
    return np.array([ALPHABET.index(c) for c in text])


def decode(tokens: Tokens) -> str:
    """The text of places in the alphabet."""
    return "".join(ALPHABET[c] for c in tokens)


class Strips:
    """Strips of words of several languages, segment after segment, with a character between them: the mark or a space.

    words: of each language, in order. Neighbours among segments differ in language; a segment is a run of words of
    `LENGTHS` characters, or as many more as its last word has.
    """

    def __init__(self, words: dict[str, list[str]]) -> None:
        self.text = {language: encode(" ".join(each) + " ") for language, each in words.items()}
        self.ends = {language: np.flatnonzero(text == SPACE) for language, text in self.text.items()}
        for language, text in self.text.items():
            if len(text) < 4 * LENGTHS[1]:
                raise _check.fail(
                    "words", f"{4 * LENGTHS[1]} characters or more in each language", f"{len(text)} in {language}"
                )

    def segment(self, language: str, generator: torch.Generator) -> Tokens:
        """A run of words, with the space after it."""
        text, ends = self.text[language], self.ends[language]
        length = _one(LENGTHS[0], LENGTHS[1] + 1, generator)
        first = ends[_one(0, int(np.searchsorted(ends, ends[-1] - length)), generator)] + 1
        last = ends[np.searchsorted(ends, first + length)]
        return text[first : last + 1]

    def draw(self, count: int, T: int, marked: bool, generator: torch.Generator) -> Tokens:
        """Strips (count, T); the first segment of each is cut anywhere."""
        languages, out = list(self.text), np.empty((count, T), dtype=np.int64)
        for strip in out:
            at, parts = _one(0, len(languages), generator), list[Tokens]()
            while sum(len(part) for part in parts) < T:
                at = (at + _one(1, len(languages), generator)) % len(languages)
                part = self.segment(languages[at], generator).copy()
                part[-1] = MARKED if marked else SPACE
                parts.append(part if parts else part[_one(0, len(part), generator) :])
            strip[:] = np.concatenate(parts)[:T]
        return out

    def pieces(self, reach: int) -> dict[str, Tokens]:
        """Of each language pieces (pieces, 2 reach + 1) one after another, each with a space in its middle."""
        out = {}
        for language, text in self.text.items():
            found, start = list[Tokens](), 0
            for middle in self.ends[language].tolist():
                if start + reach <= middle < len(text) - reach:
                    found.append(text[middle - reach : middle + reach + 1])
                    start = middle + reach + 1
            out[language] = np.array(found)
        return out


def _one(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high, (), generator=generator))


def crossings(strips: Strips, reach: int) -> tuple[Tokens, Tokens]:
    """Pairs of strips (pieces, 2 reach + 1) that end alike: after text of another language, and after their own.

    Both have a space at place `reach`. What comes before it in the first is taken from the others' pieces in turn.
    """
    pieces = strips.pieces(reach)
    own = np.concatenate(list(pieces.values()))
    before = np.empty((len(own), reach), dtype=np.int64)
    row = 0
    for i, each in enumerate(pieces.values()):
        others = [other for j, other in enumerate(pieces.values()) if j != i]
        for k in range(len(each)):
            other = others[k % len(others)]
            before[row] = other[k // len(others) % len(other), :reach]
            row += 1
    return np.concatenate([before, own[:, reach:]], axis=1), own

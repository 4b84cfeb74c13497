"""Files that are there whole or not at all, and who is writing them."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import _check


def as_path(name: str, value: Any) -> Path:
    """A path from a string or a path, `~` expanded; a complaint of anything else."""
    _check.instance(name, value, (str, os.PathLike), "a path or None")
    text = os.fspath(value)
    try:
        if not isinstance(text, str) or not text or "\0" in text:
            raise RuntimeError
        return Path(text).expanduser()
    except RuntimeError:  # a home that is not there, too
        raise _check.fail(name, "a path or None", _check.short(value)) from None


def check_writable(name: str, folder: Path, given: object = None, make: bool = True) -> None:
    """Complain now rather than after the work if no file can be written there. make: make the folder first."""
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        given = f"{given or folder}: {error.strerror}"
        raise _check.fail(name, "in a folder that can be written to", given) from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to, that takes the place of `path` when it is whole; a full disk or Ctrl-C leaves nothing."""
    part = path.with_name(f"{path.name}.{host()}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def host() -> str:
    """This machine's name, in letters, digits and hyphens."""
    return "".join(c if c.isalnum() else "-" for c in platform.node())

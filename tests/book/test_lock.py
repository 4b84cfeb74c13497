"""Locked versions: of one kind each, and the two files go together."""

import re
import tomllib
from pathlib import Path

from book import lock

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def locked(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[^ ;]+(; .+)?", line) for line in lines)
    assert lines == sorted(lines, key=str.lower)
    return {re.sub(r"[-_.]+", "-", lock.name_of(line)): line for line in lines}


def test_every_package_has_one_version_in_one_file():
    """Packages of the second file come first on Python's path, so none may be in both."""
    book, zoo = locked(lock.LOCK), locked(lock.ZOO)
    assert {"torch", "numpy"} <= set(book) and {"transformers", "tokenizers", "fla-core"} <= set(zoo)
    assert not set(book) & set(zoo)
    assert [line for line in lock.HELD if line not in book.values()] == []
    assert [line for line in lock.FILES if line not in zoo.values()] == []


def test_the_extra_zoo_has_the_version_of_its_lock_and_of_its_module():
    """Of the module's source, which needs torch to be imported."""
    named = re.search(
        r'^TRANSFORMERS = "(.*?)"', (ROOT / "glalib/architectures/zoo.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    exact = f"transformers=={named.group(1)}"
    assert PROJECT["optional-dependencies"]["zoo"] == ["glalib[torch]", exact]
    assert locked(lock.ZOO)["transformers"] == exact


def test_what_is_locked():
    """Every extra but `zoo` in the first file, what that adds in the second, and no build of one machine."""
    book, zoo = lock.wanted(PROJECT)
    assert {"numpy>=1.26", "torch>=2.4", "ruff"} <= set(book)
    assert [lock.name_of(name) for name in zoo] == ["transformers"]
    assert not any(name.startswith("glalib") for name in book)
    listed = "nvidia-cublas==13.0\ntorch==2.13.0+cpu\ntriton==3.5\nclick==8.5.1\n"
    assert lock.portable(listed) == ["torch==2.13.0", "click==8.5.1"]


def test_the_files_that_are_read_by_their_paths_are_apart():
    """As the Makefile tells them apart."""
    (pattern,) = re.findall(r"^FLA := '(.*)'$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [line for line in locked(lock.ZOO).values() if re.match(pattern, line)] == lock.FILES

"""What is handed out: the source distribution is whole, its description stands alone, its bounds are the lowest."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from book.lowest import lowest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Made by running something, or by git.
UNSHIPPED = {".git", ".venv", ".zoo", "_build", "build", "dist", "glalib-runs", "__pycache__"}
UNSHIPPED |= {".pytest_cache", ".hypothesis", ".ruff_cache", ".ipynb_checkpoints"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of this tree, to build in."""
    copy = tmp_path_factory.mktemp("tree")
    for path in tree():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes((ROOT / path).read_bytes())
    return copy


def built(copy, what, out):
    """The file that setuptools makes: a distribution (sdist, wheel or editable) of the copy."""
    out.mkdir()
    code = f"from setuptools import build_meta; build_meta.build_{what}({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    (path,) = (path for path in out.iterdir() if path.is_file())
    return path


@pytest.fixture(scope="module")
def archive(copy, tmp_path_factory):
    """The source distribution: name within it to text."""
    with tarfile.open(built(copy, "sdist", tmp_path_factory.mktemp("out") / "sdist")) as tar:
        return {
            name.partition("/")[2]: tar.extractfile(name).read()
            for name in tar.getnames()
            if tar.getmember(name).isfile()
        }


def tree():
    """The files of the project: those of the last commit, or all but what is made, where there is no git."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        paths = [ROOT / name for name in listed.splitlines()]
    else:
        paths = ROOT.rglob("*")
    for path in paths:
        parts = path.relative_to(ROOT).parts
        made = UNSHIPPED & set(parts) or any(part.endswith(".egg-info") for part in parts)
        if path.is_file() and not made and path.suffix not in (".pyc", ".ipynb"):
            yield path.relative_to(ROOT)


def test_the_source_distribution_holds_the_whole_tree(archive):
    wanted = {path.as_posix() for path in tree()}
    assert {"tests/brute.py", "tests/cases.py", "tests/conftest.py", "conftest.py", "chapters/equal_forms.md"} <= wanted
    lost = sorted(wanted - set(archive))
    assert not lost, f"MANIFEST.in leaves out {lost}: a new folder needs a line `graft FOLDER` there"


def test_a_wheel_holds_the_package_alone_and_an_editable_install_finds_the_book(copy, tmp_path):
    """Which makes `jupyter-book build .` find the extension `book`."""
    with zipfile.ZipFile(built(copy, "wheel", tmp_path / "wheel")) as wheel:
        assert {Path(name).parts[0] for name in wheel.namelist() if ".dist-info/" not in name} == {"glalib"}
    with zipfile.ZipFile(built(copy, "editable", tmp_path / "editable")) as wheel:
        (path,) = (wheel.read(name).decode().strip() for name in wheel.namelist() if name.endswith(".pth"))
    assert Path(path).resolve() == copy.resolve()


def test_the_description_shows_nothing_by_a_relative_path(archive):
    """A package index has no folder to look in."""
    text = archive["PKG-INFO"].decode()
    assert "# glalib" in text and "Project-URL: Paper" in text
    links = re.findall(r"\]\(([^)]*)\)|src=\"([^\"]*)\"", text.partition("\n\n")[2])
    assert [link for link in map("".join, links) if not link.startswith("https://")] == []


def test_the_description_has_the_examples_of_the_readme():
    """Which are run, and held to what they print."""
    readme, package = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "PACKAGE.md"))
    blocks = re.findall(r"```.*?```", package, re.DOTALL)
    assert len(blocks) == 2 and all(block in readme for block in blocks)


def test_every_dependency_has_a_lowest_version():
    """Continuous integration installs them."""
    found = dict(line.split("==") for line in lowest(PROJECT))
    assert set(found) == {"numpy", "scipy", "torch", "tqdm", "joblib", "matplotlib"}
    with pytest.raises(ValueError, match="a dependency must be NAME>=VERSION; got 'numpy'"):
        list(lowest({"dependencies": ["numpy"], "optional-dependencies": {"plot": []}}))

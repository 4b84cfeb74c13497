"""The notebooks offered for download are executed and run on a bare machine: a first cell brings what is missing."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from test_freshness import build

from book import pairs, published, release
from book.notebooks import definitions, launches, preparation, prepared, requirement

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
MACROS = CONFIG["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
REPOSITORY = "https://github.com/some-one/a.project"


def test_a_page_offers_its_executed_notebook_and_its_script(book):
    _, page = build(book)
    sources = book / "_build" / "html" / "_sources" / "chapters"
    notebook = nbformat.read(sources / "01_page.ipynb", as_version=4)
    nbformat.validate(notebook)
    links = [link["href"] for link in BeautifulSoup(page, "html.parser").select(".dropdown-download-buttons a")]
    assert links == [f"../_sources/chapters/01_page.{kind}" for kind in ("ipynb", "py", "md")]
    first, macros, title, code = notebook.cells
    assert "pip install '.[plot,torch]'" in first.source and "git+" not in first.source
    assert macros.source.split("\n") == [f"${definition}$" for definition in definitions(MACROS)]
    assert title.source == "# A page" and code.outputs[0].text == "the answer is 41\n"
    assert pairs.cells(sources / "01_page.py") == pairs.cells(book / "chapters" / "01_page.md")
    # Without an address there is nothing to open it from.
    assert "colab" not in page and "mybinder" not in page


def test_with_an_address_buttons_open_the_notebook_elsewhere(book, monkeypatch):
    monkeypatch.setenv("BOOK_REPOSITORY", REPOSITORY + ".git")
    _, page = build(book)
    links = [link["href"] for link in BeautifulSoup(page, "html.parser").select(".dropdown-launch-buttons a")]
    assert links == [address for _, address in launches(REPOSITORY, "chapters/01_page")]
    branch = book / "_build" / "notebooks"
    assert f"{REPOSITORY}\n" in (branch / "requirements.txt").read_text()
    (opened,) = branch.rglob("*.ipynb")
    assert all(opened.relative_to(branch).as_posix() in link for link in links)
    assert f'"glalib[plot,torch] @ git+{REPOSITORY}"' in nbformat.read(opened, as_version=4).cells[0].source


def test_places_that_open_notebooks():
    assert dict(launches(REPOSITORY, "chapters/depth")) == {
        "Colab": "https://colab.research.google.com/github/some-one/a.project/blob/notebooks/chapters/depth.ipynb",
        "Binder": "https://mybinder.org/v2/gh/some-one/a.project/notebooks?urlpath=lab/tree/chapters/depth.ipynb",
    }
    assert list(launches("", "x")) == list(launches("https://example.org/some-one/a.project", "x")) == []


def test_the_requirement_is_one_that_the_package_meets():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = Requirement(requirement(REPOSITORY, "abc123"))
    assert needed.name == project["name"] and needed.url == f"git+{REPOSITORY}@abc123"
    assert needed.extras and needed.extras <= set(project["optional-dependencies"])


def as_python(cell):
    """A line for pip is a call of IPython."""
    return TransformerManager().transform_cell(cell)


USES_ALL = 'from myst_nb import glue\nfrom pathlib import Path\nPath(f"data/{1}.json")\n'


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with Python alone: runs a first cell there, and keeps what it installs and fetches."""
    there, asked = set(), []

    class Shell:
        def run_line_magic(self, name, line):
            asked.append(f"%{name} {line}")
            there.add("glalib")

    def fetch(address, path):
        asked.append(address)
        path.write_text("{}")

    def found(name):
        return True if name in there or (name == "myst_nb" and sys.modules[name]) else None

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", found)
    monkeypatch.setattr(urllib.request, "urlretrieve", fetch)
    monkeypatch.setitem(sys.modules, "myst_nb", None)

    def run(**sources):
        asked.clear()
        exec(as_python(preparation(USES_ALL, **sources)), {"get_ipython": Shell})
        return asked

    run.there = there
    return run


def test_the_first_cell_brings_what_is_missing_once(bare):
    sources = {"repository": REPOSITORY, "commit": "abc", "data": ["a.json", "b.json"]}
    files = [f"{REPOSITORY}/raw/abc/chapters/data/{name}.json" for name in "ab"]
    assert bare(**sources) == [f'%pip install --quiet "glalib[plot,torch] @ git+{REPOSITORY}@abc"', *files]
    importlib.import_module("myst_nb").glue("x", 1, display=False)
    assert bare(**sources) == []


def test_without_an_address_the_first_cell_says_what_is_missing(bare):
    with pytest.raises(ModuleNotFoundError, match=r"pip install '.\[plot,torch\]'"):
        bare(data=["a.json"])
    bare.there.add("glalib")
    with pytest.raises(FileNotFoundError, match="in the folder `chapters`"):
        bare(data=["a.json"])
    Path("data").mkdir()
    assert bare(data=["a.json"]) == []


def test_a_page_that_needs_neither_data_nor_glue_begins_with_the_package_alone():
    cell = preparation("import glalib\n", repository=REPOSITORY)
    assert "glalib" in cell and "data" not in cell and "myst_nb" not in cell


def imported(code):
    """The packages that a page imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("name", pairs.chapters(ROOT))
def test_a_page_imports_what_the_package_brings_with_it(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["torch"],
        *project["optional-dependencies"]["plot"],
    ]
    brought = {"glalib", *(Requirement(line).name for line in wanted), *sys.stdlib_module_names}
    code = "\n".join(
        cell.source for cell in pairs.notebook(ROOT / "chapters" / f"{name}.md").cells if cell.cell_type == "code"
    )
    missing = set(imported(code)) - brought
    assert missing <= {"myst_nb"}
    # The first cell stands in for that, if it is imported as it expects.
    assert "myst_nb" not in missing or 'sys.modules["myst_nb"]' in preparation(code)


def test_a_real_page_runs_with_the_package_alone(tmp_path):
    """In an empty folder, where of this tree, and of what makes a book of it, there is nothing but `glalib`."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "glalib").symlink_to(ROOT / "glalib")
    (tmp_path / "empty").mkdir()
    notebook = prepared(pairs.notebook(ROOT / "chapters" / "ten_minutes.md"), MACROS, repository=REPOSITORY)
    code = [as_python(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    assert any("from myst_nb import glue" in cell for cell in code[1:])
    hide = "import sys\n\nfor name in ('book', 'tests', 'myst_nb'):\n    sys.modules[name] = None\n"
    (tmp_path / "page.py").write_text("\n".join([hide, *code]))
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "path"), "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, tmp_path / "page.py"], cwd=tmp_path / "empty", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A machine that has what the package needs, and IPython, and never saw this book; and the sources where notebooks
    look for them: a repository, which git clones, and its files at a commit, which are fetched.
    """
    if shutil.which("git") is None:
        pytest.skip("no git, so nothing to install from")
    folder = tmp_path_factory.mktemp("elsewhere")
    repository = folder / "project"
    for name in ("pyproject.toml", "PACKAGE.md", "LICENSE"):
        repository.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, repository)
    shutil.copytree(ROOT / "glalib", repository / "glalib", ignore=shutil.ignore_patterns("__pycache__"))
    name = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "-A"], [*name, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    commit = published.commit(str(repository))
    data = repository / "raw" / commit / "chapters" / "data"
    data.mkdir(parents=True)
    (data / "a.json").write_text("{}")
    python = release.bare(folder, without=("glalib", "myst_nb", "myst_parser", "sphinx"))
    return python, {"repository": f"file://localhost{repository}", "commit": commit, "data": ["a.json"]}


THEN = """
import glalib
from myst_nb import glue
print("from", glalib.__file__, Path("data", "a.json").read_text())
glue("x", 1)
"""


def run_first_cell(elsewhere, folder, **changed):
    """The first cell of a page that uses all, in IPython, and then the package."""
    python, sources = elsewhere
    folder.mkdir()
    (folder / "cells.ipy").write_text(f"{preparation(USES_ALL, **sources | changed)}\n{THEN}")
    # Without a network pip makes the wheel with the setuptools that is there.
    environment = release.alone() | {"PIP_NO_BUILD_ISOLATION": "0", "IPYTHONDIR": str(folder / "ipython")}
    return subprocess.run(
        [python, "-m", "IPython", "--no-banner", "--colors=NoColor", "cells.ipy"],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


def test_the_first_cell_installs_the_package_on_a_machine_that_never_saw_it(elsewhere, tmp_path):
    python, _ = elsewhere
    lost = run_first_cell(elsewhere, tmp_path / "lost", commit="0" * 40)
    assert "from" not in lost.stdout  # a commit that is not there brings nothing
    done = run_first_cell(elsewhere, tmp_path / "found")
    told = [line for line in done.stdout.splitlines() if line.startswith("from ")]
    assert len(told) == 1, done.stdout + done.stderr
    assert Path(told[0].split()[1]).is_relative_to(python.parent.parent) and told[0].endswith(" {}")


def test_definitions_are_those_of_the_book():
    found = list(definitions({"R": "\\mathbb{R}", "norm": ["\\lVert #1 \\rVert", 1]}))
    assert found == ["\\newcommand{\\R}{\\mathbb{R}}", "\\newcommand{\\norm}[1]{\\lVert #1 \\rVert}"]
    assert len(prepared(nbformat.v4.new_notebook(), {}).cells) == 1


def test_every_macro_of_the_book_is_used():
    """One that no page uses is a name misspelt, or left behind."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "chapters").glob("*.md"))
    assert [name for name in MACROS if not re.search(rf"\\{name}(?![a-zA-Z])", text)] == []

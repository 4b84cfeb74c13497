"""The plan of the house: short files and functions, no circle among modules, no private name of another module."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("glalib", "book", "tools")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def imports(path):
    """(module, name or None) of every import of our own modules, but for those that only checkers of types read."""
    tree, package = ast.parse(path.read_text(encoding="utf-8")), name_of(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1] if node.level else [])
            base = ".".join(filter(None, [base, node.module]))
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield (whole, None) if whole in MODULES else (base, alias.name)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=[name_of(path) for path in FILES])
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300 or name_of(path) == "tools.mutations"  # a list, an entry a line
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("path", FILES, ids=[name_of(path) for path in FILES])
def test_no_private_name_is_imported(path):
    for module, name in imports(path):
        if module in MODULES:
            assert not (name or "").startswith("_") or name == "__version__", f"{module}.{name}"


def test_modules_form_no_circle():
    """A package stands for what it hands on, so its `__init__` comes after its modules."""
    graph = {name: {module for module, _ in imports(path) if module in MODULES} for name, path in MODULES.items()}
    for name, needed in graph.items():
        needed.discard(name)
        needed -= {package for package in PACKAGES if name.startswith(f"{package}.")}  # glalib.__version__ and ROOT
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("package", ["glalib", "glalib/reproduce", "book"])
def test_every_module_is_in_the_list_of_its_package(package):
    listed = (ROOT / package / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
    names = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert names and not {name for name in names if not re.search(rf"\b{name}\b", listed)}

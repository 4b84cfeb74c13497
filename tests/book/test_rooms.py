"""The plan of the house: short files and functions, no circle among modules, no private name of another module."""

import ast
import io
import re
import tokenize
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


LISTED = sorted(str(path.parent.relative_to(ROOT)) for path in FILES if path.name == "__init__.py")


@pytest.mark.parametrize("package", LISTED)
def test_every_module_is_in_the_list_of_its_package(package):
    """A module by its name, a package by its name and a stroke, and nothing else, each at the head of a line."""
    listed = (ROOT / package / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
    rooms = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    rooms |= {f"{path.parent.name}/" for path in (ROOT / package).glob("*/__init__.py")}
    lines = {line.split()[0] for line in re.findall(r"^    \S.*", listed, re.MULTILINE)}
    lost, gone = sorted(rooms - lines), sorted(lines - rooms)
    assert not lost, f"the list at the head of {package}/__init__.py lacks a line of {lost}"
    assert not gone, f"the list at the head of {package}/__init__.py has {gone}, which are not there"


def lines_of_code(path):
    """Lines that hold more than comments and docstrings."""
    text, layout = path.read_text(encoding="utf-8"), {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    held = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in layout | {tokenize.COMMENT, tokenize.ENDMARKER}
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            held -= set(range(node.lineno, node.end_lineno + 1))
    return len(held)


def test_the_core_is_small_and_stands_by_itself():
    """The first part of the list of glalib: at most 1,800 lines in all, and no import of what is not in it."""
    listed = MODULES["glalib"].read_text(encoding="utf-8").split("The core:")[1].split("More theory")[0]
    core = {f"glalib.{name}" for name in re.findall(r"^    (\w+) ", listed, re.MULTILINE)}
    assert {f"glalib.{name}" for name in ("distribution", "risk", "optima", "attention", "model")} < core
    for name in core:
        needed = {module for module, _ in imports(MODULES[name]) if module.startswith("glalib.")}
        assert needed <= core, name
    assert sum(lines_of_code(MODULES[name]) for name in core) <= 1800

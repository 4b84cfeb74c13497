"""Short names for numbers, for the package, for the code that a result depends on: what tells a run from all others."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch


def fingerprint(arrays: Iterable[np.ndarray[Any, Any]]) -> str:
    """A short name for the contents of arrays, shapes included."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def package_fingerprint(more: Iterable[Path] = ()) -> str:
    """A short name for the files of glalib, more files, and the versions of torch, numpy and scipy."""
    digest = hashlib.sha256(f"{torch.__version__} {np.__version__} {scipy.__version__}".encode())
    names = {file: file.name for file in more}
    names |= {file: file.relative_to(_package()).as_posix() for file in _package().rglob("*.py")}
    for text in sorted(name.encode() + b"\0" + file.read_bytes() for file, name in names.items()):
        digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()[:16]


def _package() -> Path:
    """The folder of glalib, of which all files count."""
    return Path(__file__).resolve().parents[1]


def code_fingerprint(function: Callable[..., Any] | None = None) -> str:
    """A short name for the code that a result depends on.

    Seen: the files of glalib; those of the function's module, and of all modules that these import, at the top or
    inside functions, as long as they are not installed packages or the standard library; the versions of torch, numpy
    and scipy. Not seen: modules imported by a name that is made at run time, other installed packages, data files, and
    what is set in a module after its import.
    """
    if function is None:
        return package_fingerprint()
    if not inspect.isfunction(function):
        raise TypeError(f"function must be a function or None; got {type(function).__name__}")
    return package_fingerprint(_sources(function))


def _sources(function: Callable[..., Any]) -> set[Path]:
    """The files of the modules that `function` depends on, in the sense of `code_fingerprint`."""
    found: set[Path] = set()
    todo: list[tuple[str, str | None]] = []
    for each in {function, inspect.unwrap(function)}:  # a decorated function has two files
        todo.append((each.__module__, inspect.getsourcefile(each)))
        todo.append((each.__module__, _file_of(each.__module__)))
    while todo:
        name, source = todo.pop()
        if source is None or not Path(source).is_file():
            continue
        file = Path(source).resolve()
        if _is_installed(file) or file in found or _package() in file.parents:
            continue
        found.add(file)
        if file.suffix == ".py":
            package = name if file.stem == "__init__" else name.rpartition(".")[0]
            with contextlib.suppress(SyntaxError, ValueError):  # such a file cannot be imported either
                todo += [(other, _file_of(other)) for other in _imports(ast.parse(file.read_bytes()), package)]
    return found


def _imports(tree: ast.AST, package: str) -> set[str]:
    """The names of all modules that may be meant by the imports of a file of that package, parents included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names |= {base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)} - {""}
    return {".".join(name.split(".")[: k + 1]) for name in names for k in range(name.count(".") + 1)}


def _file_of(name: str) -> str | None:
    """The file of the module of that name, if there is one."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file:
        return str(file)
    spec = _spec(name)
    return spec.origin if spec is not None and spec.has_location else None


def _spec(name: str) -> ModuleSpec | None:
    """Where a module would be imported from; nothing is imported for this."""
    package = name.rpartition(".")[0]
    try:
        if not package:
            return importlib.util.find_spec(name)
        return PathFinder.find_spec(name, getattr(_spec(package), "submodule_search_locations", None) or [])
    except (ImportError, ValueError, AttributeError):
        return None


def _is_installed(file: Path) -> bool:
    standard = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib")}
    return bool({"site-packages", "dist-packages"} & set(file.parts)) or bool(standard & set(file.parents))

"""Sphinx extension: a page never shows a result of code, data or versions that have since changed.

Two caches stand between a change and its page. jupyter-cache holds the outputs of a chapter under a key that sees
the chapter's cells only; Sphinx keeps the pages it has read until their own source changes. Here both are tied to a
fingerprint of everything else that the cells can see: glalib, the data files, the lock file, the installed packages
and Python. The execution cache lives in a folder named after the fingerprint, and as that folder is a setting on
which all pages depend, Sphinx reads all of them again when it changes.

It works inside the build itself, so `jupyter-book build .` is as safe as `make book`.
"""

import hashlib
import os
import shutil
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

STARTUP = """\
from book import asserts, drawn

asserts.in_kernel()
drawn.in_kernel()
del asserts, drawn
"""


def hidden(path):
    """Whether it is what tools keep for themselves, such as __pycache__ and .ruff_cache."""
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def watched(root):
    """Every file that cells or pages are made with, but for the chapters, whose cells are the cache's own key."""
    chapters = root / "chapters"
    found = [root / "requirements.lock", *(root / "book").glob("*.py")]
    for folder in (root / "glalib", chapters):
        found += [p for p in folder.rglob("*") if p.is_file() and not hidden(p.relative_to(folder))]
    pages = {p for p in chapters.glob("*.md")}
    pages |= {p.with_suffix(".py") for p in pages}
    # The answers of exercises are made of pages, which do not read them.
    made = {chapters / "outputs", root / "glalib" / "exercises" / "answers"}
    return sorted(p for p in found if p.is_file() and p not in pages and not made & set(p.parents))


def versions():
    """The installed packages, as sorted 'name==version' lines, and the Python that runs them."""
    installed = {f"{d.metadata['Name']}=={d.version}" for d in distributions()}
    return [sys.version, *sorted(installed)]


def fingerprint(root, installed=None):
    """Sixteen hex digits that change whenever a watched file or a version does."""
    total = hashlib.sha256()
    for path in watched(root):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    total.update("\n".join(versions() if installed is None else installed).encode())
    return total.hexdigest()[:16]


def use_own_kernel(root):
    """Let cells run in this very Python, in one thread, whatever kernels and IPython start-up files there are."""
    os.environ["JUPYTER_PATH"] = os.path.join(sys.prefix, "share", "jupyter")
    # Workers and kernels run side by side, and small matrices lose by threads what large ones gain. GLALIB_THREADS is
    # for looking at the effect of threads on rounding.
    threads = os.environ.get("GLALIB_THREADS", "1")
    for limit in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ[limit] = threads
    home = root / "_build" / "ipython"
    os.environ["IPYTHONDIR"] = str(home)
    # Without the notice that a kernel's local connection is not encrypted, once per chapter.
    (home / "profile_default").mkdir(parents=True, exist_ok=True)
    (home / "profile_default" / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n")
    # An assertion that fails prints what it saw, and a table of a figure is held to it. Kernels find `book`, and
    # glalib, in the folder of the book.
    paths = [str(root), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path for path in paths if path))
    startup = home / "profile_default" / "startup" / "asserts.py"
    startup.parent.mkdir(exist_ok=True)
    startup.write_text(STARTUP)


def check_package(root):
    """The glalib that cells import must be the one that the fingerprint sees."""
    from sphinx.errors import ExtensionError

    spec = find_spec("glalib")
    origin = Path(spec.origin).resolve() if spec and spec.origin else None
    if origin is None or root / "glalib" not in origin.parents:
        raise ExtensionError(
            f"The chapters would import glalib from {origin or 'nowhere'}, not from {root / 'glalib'}. "
            f"Build with `make book`, or run: {sys.executable} -m pip install --no-deps -e ."
        )


def set_cache(app, config):
    root = Path(app.srcdir).resolve()
    check_package(root)
    use_own_kernel(root)
    caches = Path(app.outdir).parent / ".jupyter_cache"
    current = caches / fingerprint(root)
    for other in caches.glob("*"):
        if other != current:
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    config.nb_execution_cache_path = str(current)


def note_changes(app, env, added, changed, removed):
    app.freshness_changes = bool(added or changed or removed)
    return []


def rewrite_all(app, env):
    """One page read again means all pages written again: they may show its title or a number glued on it."""
    return sorted(env.found_docs) if app.freshness_changes else []


def forget_warnings(app, exception):
    """A page that gave a warning must give it again in the next build, so what was read is not kept."""
    if app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def setup(app):
    # Before myst-nb reads its settings, which is at builder-inited.
    app.connect("config-inited", set_cache)
    app.connect("env-get-outdated", note_changes)
    app.connect("env-get-updated", rewrite_all)
    app.connect("build-finished", forget_warnings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

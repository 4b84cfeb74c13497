"""Sphinx extension: cells that must run do so side by side, before Sphinx reads the pages one after another.

    python -m book.execution FOLDER SECONDS      run one notebook, from standard input to standard output

Each page's kernel is a process of one thread, so pages share the processors. What ran well is put into the cache that
myst-nb then finds it in. What failed is left to myst-nb, which runs it again and tells of it.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from myst_nb.core.read import create_nb_reader
from sphinx.util.display import status_iterator

MOST = 8  # processes, as in the tests: a kernel with torch takes some 400 MB


def notebook(env, docname):
    """The page as myst-nb reads it; None if it has no cells."""
    path = env.doc2path(docname)
    text = Path(path).read_text(encoding="utf-8")
    reader = create_nb_reader(path, env.myst_config, env.mystnb_config, text)
    return reader and reader.read(text)


def run(nb, folder, seconds):
    """The page with its outputs, by a process of its own, which an interrupt ends as well; None if it failed."""
    command = [sys.executable, "-m", "book.execution", folder, str(seconds)]
    done = subprocess.run(
        command, input=nbformat.writes(nb), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    )
    return None if done.returncode else nbformat.reads(done.stdout, as_version=4)


def available():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def known(cache, nb):
    try:
        return cache.match_cache_notebook(nb) is not None
    except KeyError:
        return False


def run_pages(app, env, docnames):
    settings = env.mystnb_config
    if settings.execution_mode != "cache":
        return
    cache = get_cache(settings.execution_cache_path)
    found = {docname: notebook(env, docname) for docname in docnames}
    # The long ones first would be best; nobody knows them, but those with most code come near.
    stale = sorted(
        (docname for docname, nb in found.items() if nb is not None and not known(cache, nb)),
        key=lambda docname: -sum(len(cell.source) for cell in found[docname].cells if cell.cell_type == "code"),
    )
    processes = min(MOST, available(), len(stale))
    if processes < 2:
        return
    paths = {docname: env.doc2path(docname) for docname in stale}
    with ThreadPoolExecutor(processes) as pool:
        runs = {
            pool.submit(run, found[docname], os.path.dirname(path), settings.execution_timeout): docname
            for docname, path in paths.items()
        }

        def told(done):
            return runs[done] if done.result() else f"{runs[done]} failed"

        try:
            ended = as_completed(runs)
            for done in status_iterator(ended, "executing pages... ", "darkgreen", len(runs), app.verbosity, told):
                nb = done.result()
                if nb:
                    seconds = {"execution_seconds": nb.metadata.pop("seconds")}
                    bundle = CacheBundleIn(nb, paths[runs[done]], data=seconds)
                    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        finally:
            # Interrupted: what is running has been as well, and nothing else begins.
            pool.shutdown(cancel_futures=True)


def setup(app):
    app.connect("env-before-read-docs", run_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def main(folder, seconds):
    # Bytes, as the encoding of the streams is the machine's.
    nb = nbformat.reads(sys.stdin.buffer.read().decode("utf-8"), as_version=4)
    done = single_nb_execution(nb, cwd=folder, timeout=int(seconds), allow_errors=False)
    if done.err:
        return 1
    done.nb.metadata["seconds"] = done.time
    sys.stdout.buffer.write(nbformat.writes(done.nb).encode("utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))

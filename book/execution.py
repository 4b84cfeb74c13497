"""Sphinx extension: cells that must run do so side by side, before Sphinx reads the pages one after another.

Each page's kernel is a process of one thread, so pages share the processors. What ran well is put into the cache that
myst-nb then finds it in. What failed is left to myst-nb, which runs it again and tells of it.
"""

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

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


def run(nb, folder, timeout):
    """The page with its outputs and the seconds that it took, or None in their place if it failed."""
    try:
        done = single_nb_execution(nb, cwd=folder, timeout=timeout, allow_errors=False)
    except RuntimeError:  # a kernel that died
        return None
    return None if done.err else (done.nb, done.time)


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
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        runs = {}
        for docname in stale:
            path = env.doc2path(docname)
            runs[pool.submit(run, found[docname], os.path.dirname(path), settings.execution_timeout)] = docname, path

        def told(done):
            return f"{runs[done][0]}: " + (f"{done.result()[1]:.0f} s" if done.result() else "failed")

        try:
            ended = as_completed(runs)
            for done in status_iterator(ended, "executing pages... ", "darkgreen", len(runs), app.verbosity, told):
                if done.result():
                    nb, seconds = done.result()
                    bundle = CacheBundleIn(nb, runs[done][1], data={"execution_seconds": seconds})
                    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        finally:
            # Interrupted: what is running ends with its page's kernel, and nothing else begins.
            pool.shutdown(cancel_futures=True)


def setup(app):
    app.connect("env-before-read-docs", run_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""One thread per process, and hypothesis that draws the same examples on every run.

As this file is here, pytest puts this folder on Python's path: tests below it import `brute` and `cases`.
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("GLALIB_THREADS", "1"))

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

PAGES = Path(__file__).parent / "pages"


def pytest_ignore_collect(collection_path, config):
    """The tests of pages need a built book and a browser: they run where they are named, as in `make test-pages`."""
    if collection_path == PAGES and not any("tests/pages" in str(name) for name in config.args):
        return True
    return None

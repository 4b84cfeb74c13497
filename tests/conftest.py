"""One thread per process, and hypothesis that draws the same examples on every run.

As this file is here, pytest puts this folder on Python's path: tests below it import `brute` and `cases`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("GLALIB_THREADS", "1"))

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

"""How a number was made: by which code, with which versions, on which machine, and how busy that was."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..training.fingerprints import code_fingerprint


def provenance(function: Callable[..., Any], load_before: list[float] | None) -> dict[str, Any]:
    """Code, date and machine of a result of `function` that is ready now."""
    return {
        "code": code_fingerprint(function),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": load_before,
        "load_after": load_average(),
    }


def versions() -> dict[str, str]:
    return {
        "glalib": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def processor() -> str:
    """The name of this machine's processor, as far as the system tells."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def load_average() -> list[float] | None:
    """How many processes wanted to run, over the last 1, 5 and 15 minutes; None where the system does not count."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None

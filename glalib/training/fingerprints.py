"""Short names for numbers and for code: what tells a run from all others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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
    files = {*Path(__file__).resolve().parents[1].rglob("*.py"), *more}
    for text in sorted(file.name.encode() + b"\0" + file.read_bytes() for file in files):
        digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()[:16]

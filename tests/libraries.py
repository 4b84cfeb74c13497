"""Other libraries, where they are at hand, as judges: flash-linear-attention's reference files, and transformers."""

import os
import subprocess
import sys

import pytest
import torch

from glalib.architectures import zoo

needs_fla = pytest.mark.skipif(
    not os.environ.get("GLALIB_FLA"), reason="GLALIB_FLA: a folder with fla and einops, unpacked"
)


def _without_zoo():
    """Why layers of `zoo` cannot be made here, or nothing."""
    try:
        zoo.require()
    except ImportError as error:
        return str(error)
    return ""


needs_zoo = pytest.mark.skipif(bool(_without_zoo()), reason=_without_zoo())

LOADS = """
import importlib.util, sys, torch

folder, file = sys.argv[1:]
sys.path.insert(0, folder)


def load(path):
    spec = importlib.util.spec_from_file_location("fla_" + path.replace("/", "_"), f"{folder}/fla/ops/{path}.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


told = torch.load(file)
"""


def in_fla(body, told, folder):
    """What a script makes of `told`, as `found`, with flash-linear-attention's reference files: load("gla/naive").

    In a process of its own, and file by file: the package as a whole needs triton.
    """
    file = folder / "told.pt"
    torch.save(told, file)
    code = f"{LOADS}\n{body}\ntorch.save(found, file)"
    subprocess.run([sys.executable, "-c", code, os.environ["GLALIB_FLA"], str(file)], check=True, timeout=300)
    return torch.load(file)


def transformers(model):
    """A module of transformers, `modeling_{model}`, or a skip that says what is missing."""
    pytest.importorskip("transformers", minversion="5.24", reason="transformers 5.24 or later is not installed")
    return pytest.importorskip(f"transformers.models.{model}.modeling_{model}")

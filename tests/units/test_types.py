"""Types are part of the package: glalib and a user's file are clean, and an option misspelt is found."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


MISSPELT = {
    "free": ('optimal_wpgd(dist, "fre")', "optimal_wpgd"),
    "form": ('gla(x, x, x, form="chunk")', "gla"),
    "gate": ('GLA(4, gate="scaler")', "GLA"),
    "keys": ('GLA.from_wpgd(optimal_wpgd(dist), dist, gate="keys")', "from_wpgd"),
    "layout": ("Layout(delimeters=True)", "delimeters"),
    "recipe": ("Recipe(step=3)", "step"),
}
HEAD = """\
import torch
from glalib import GLA, Layout, PromptDistribution, gla, optimal_wpgd
from glalib.training import Recipe

dist, x = PromptDistribution(2, (3, 3), (0, 1)), torch.ones(3, 2)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What mypy says of the package, of a user's file and of one for every option misspelt, by file: one run for all,
    as reading torch takes longest."""
    folder = tmp_path_factory.mktemp("misspelt")
    for name, (line, _) in MISSPELT.items():
        (folder / f"{name}.py").write_text(f"{HEAD}{line}\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(folder / "cache")]
    files = ["glalib", "tests/types/user.py", *map(str, sorted(folder.glob("*.py")))]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stderr
    said = {}
    for line in done.stdout.splitlines():
        path = Path(line.partition(":")[0])
        said.setdefault(path.stem if path.parent == folder else str(path), []).append(line)
    return said


def test_the_package_and_a_users_file_are_clean(told):
    assert set(told) <= set(MISSPELT), told


@pytest.mark.parametrize("name", MISSPELT)
def test_an_option_misspelt_is_found(name, told):
    lines = told[name]
    assert MISSPELT[name][1] in "".join(lines) and sum("error:" in line for line in lines) == 1

"""Types are part of the package: glalib and a user's file are clean, and an option misspelt is found."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def mypy(cache, *files):
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--cache-dir",
        str(cache),
        *map(str, files),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_the_package_and_a_users_file_are_clean(cache):
    """One run for both, as reading torch takes longest."""
    assert mypy(cache, "glalib", "tests/types/user.py") == (0, "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('optimal_wpgd(dist, "fre")', "optimal_wpgd"),
        ('gla(x, x, x, form="chunk")', "gla"),
        ('GLA(4, gate="scaler")', "GLA"),
        ('GLA.from_wpgd(optimal_wpgd(dist), dist, gate="keys")', "from_wpgd"),
        ("Layout(delimeters=True)", "delimeters"),
        ("Recipe(step=3)", "step"),
    ],
)
def test_an_option_misspelt_is_found(line, said, cache, tmp_path):
    file = tmp_path / "user.py"
    head = "import torch\nfrom glalib import GLA, Layout, PromptDistribution, gla, optimal_wpgd\n"
    head += "from glalib.training import Recipe\n\ndist, x = PromptDistribution(2, (3, 3), (0, 1)), torch.ones(3, 2)\n"
    file.write_text(f"{head}{line}\n")
    code, told = mypy(cache, file)
    assert code == 1 and said in told and told.count("error:") == 1

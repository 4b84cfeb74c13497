"""The package as it is handed out: built, its description checked, installed where nothing else of this folder is, and
tested from its own sources.

    python -m book.release [dist] [tests to run, by default tests/units]

The environment in which the wheel is tried has the other packages of this one; the workflow `release` tries it once
more with those that a fresh `pip install` brings. With a tag in RELEASE_TAG, such as v0.1.0, the version must be that.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRY = """\
import glalib, numpy as np
from importlib.metadata import version
assert version("glalib") == glalib.__version__
risk = glalib.optimal_wpgd(glalib.PromptDistribution(3, (4, 5), (0.2, 0.8)), "free").risk
assert 0 < risk < 3, risk
print(glalib.__version__, glalib.__file__)
"""


def run(*command, **settings):
    """A command whose failure ends all; its output."""
    settings = {"check": True, "text": True, "stdout": subprocess.PIPE} | settings
    return subprocess.run([str(part) for part in command], **settings).stdout


def build(root, dist):
    """The source distribution, and the wheel made of what is in that."""
    dist = Path(dist).resolve()
    dist.mkdir(parents=True, exist_ok=True)
    if old := list(dist.iterdir()):
        raise FileExistsError(f"dist must be empty; got {dist}, which holds {old[0].name}")
    make = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
    run(sys.executable, "-c", make, "build_sdist", dist, cwd=root)
    (sdist,) = dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-c", make, "build_wheel", dist, cwd=unpack(sdist, folder))
    (wheel,) = dist.glob("*.whl")
    return sdist, wheel


def unpack(sdist, folder):
    """The folder that the source distribution becomes."""
    with tarfile.open(sdist) as tar:
        tar.extractall(folder, filter="data")
    (tree,) = Path(folder).iterdir()
    return tree


def check(*files):
    """What a package index would refuse, or show as plain text."""
    run(sys.executable, "-m", "twine", "check", "--strict", *files)


def check_tag(wheel, tag):
    version = wheel.name.split("-")[1]
    if tag and tag != f"v{version}":
        raise ValueError(f"RELEASE_TAG must be v{version}, the version of glalib; got {tag}")


def bare(folder, without=("glalib",)):
    """An environment with the packages of this one but for those whose names begin so; its Python."""
    folder = Path(folder)
    venv.create(folder / "environment")
    packages = folder / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        # What makes packages editable would bring this folder.
        if not path.name.startswith(("__editable__", *without)):
            (packages / path.name).symlink_to(path)
    python = folder / "environment" / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(site) / "packages.pth").write_text(f"{packages}\n")
    return python


def alone():
    """Variables for an environment that sees nothing of this one, and no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}
    return kept | {"PYTHONNOUSERSITE": "1", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


def install(wheel, folder):
    """The wheel in an environment where it is the only glalib, tried in an empty folder; that environment's Python."""
    python, empty = bare(folder), Path(folder) / "empty"
    empty.mkdir()
    settings = {"cwd": empty, "env": alone()}
    run(python, "-m", "pip", "install", "--quiet", wheel, **settings)
    version, _, file = run(python, "-c", TRY, **settings).strip().partition(" ")
    if not Path(file).resolve().is_relative_to(Path(folder).resolve()):
        raise ImportError(f"glalib must come from the wheel; got {file}")
    told = run(python.parent / "glalib", "--version", **settings).strip()
    if told != f"glalib {version}":
        raise ValueError(f"`glalib --version` must print glalib {version}; got {told}")
    return python


def test(sdist, folder, tests):
    """The tests of the unpacked source distribution, in its own tree."""
    run(sys.executable, "-m", "pytest", "-q", *tests, cwd=unpack(sdist, folder), env=alone())


def main():
    dist, *tests = sys.argv[1:] or ["dist"]
    sdist, wheel = build(ROOT, dist)
    check_tag(wheel, os.environ.get("RELEASE_TAG", ""))
    check(sdist, wheel)
    with tempfile.TemporaryDirectory() as folder:
        install(wheel, folder)
    with tempfile.TemporaryDirectory() as folder:
        test(sdist, folder, tests or ["tests/units"])
    print(f"{sdist.name} and {wheel.name} are ready in {dist}")


if __name__ == "__main__":
    main()

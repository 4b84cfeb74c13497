"""Write requirements.lock anew: the versions that a fresh environment gets today from pyproject.toml.

And requirements-zoo.lock: what the extra `zoo` adds to them, and files that tests read by their paths.

Left out: what depends on the machine. torch stands without its build tag and without hashes, and the packages that
only its CUDA build needs are not named, so that the settings of pip on each machine choose the build.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, ZOO = ROOT / "requirements.lock", ROOT / "requirements-zoo.lock"
ACCELERATOR = re.compile(r"(nvidia|cuda|triton|pytorch-triton)\b", re.IGNORECASE)
HEADER = """\
# The versions that the book and its tests were made with; `make lock` writes this file anew.
# A line with a condition is for other systems than the one that wrote it, and is kept until edited by hand.
"""
ZOO_HEADER = """\
# What the extra `zoo` adds to requirements.lock, a trained Mamba (typeseg), and the reference files of
# flash-linear-attention, which tests read by their paths; `make lock` writes this file, `make test-zoo` installs it.
"""

# Raised by hand: a download of this size is worth a decision.
HELD = ["torch==2.13.0"]
# Raised by hand: files to read, without what they would need to run.
FILES = ["einops==0.8.2", "fla-core==0.6.0"]
MODEL = ["typeseg==0.2.7"]


def wanted(project):
    """All that pyproject.toml asks for, in every extra but `zoo`; and what that one adds."""
    extras = project["optional-dependencies"]
    book = [name for extra, names in extras.items() if extra != "zoo" for name in names]
    return tuple(
        [name for name in names if not name.startswith(project["name"])]
        for names in (project["dependencies"] + book, extras["zoo"])
    )


def portable(listed):
    """The lines of `pip freeze` that hold on every machine."""
    return [re.sub(r"\+\w+$", "", line) for line in listed.split("\n") if line and not ACCELERATOR.match(line)]


def name_of(line):
    return line.split("==")[0].lower()


def write(path, header, lines):
    path.write_text(header + "\n".join(sorted(lines, key=str.lower)) + "\n")
    print(f"{path.relative_to(ROOT)}: {len(lines)} packages; look at its diff, then run make test and make book")


def main():
    book, zoo = wanted(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)

        def installed(packages):
            subprocess.run([python, "-m", "pip", "install", *packages], check=True)
            freeze = [python, "-m", "pip", "freeze", "--all", "--exclude", "pip", "--exclude", "glalib"]
            return portable(subprocess.run(freeze, check=True, capture_output=True, text=True).stdout)

        lines = installed(["setuptools>=77", *book, *HELD])
        more = installed([*zoo, *lines])  # beside the same versions
    names = {name_of(line) for line in lines}
    if LOCK.exists():
        old = [line for line in LOCK.read_text().split("\n") if ";" in line and not line.startswith("#")]
        lines += [line for line in old if name_of(line) not in names]
    write(LOCK, HEADER, lines)
    write(ZOO, ZOO_HEADER, [line for line in more if name_of(line) not in names] + FILES + MODEL)


if __name__ == "__main__":
    main()

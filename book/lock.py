"""Write requirements.lock anew: the versions that a fresh environment gets today from pyproject.toml.

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
LOCK = ROOT / "requirements.lock"
ACCELERATOR = re.compile(r"(nvidia|cuda|triton|pytorch-triton)\b", re.IGNORECASE)
HEADER = """\
# The versions that the book and its tests were made with; `make lock` writes this file anew.
# A line with a condition is for other systems than the one that wrote it, and is kept until edited by hand.
"""


# Raised by hand: a download of this size is worth a decision.
HELD = ["torch==2.13.0"]


def wanted():
    """All that pyproject.toml asks for, in every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    return project["dependencies"] + [name for name in extras if not name.startswith(project["name"])]


def main():
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "setuptools>=77", *wanted(), *HELD], check=True)
        listed = subprocess.run(
            [python, "-m", "pip", "freeze", "--all", "--exclude", "pip", "--exclude", "glalib"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    lines = [re.sub(r"\+\w+$", "", line) for line in listed.split("\n") if line and not ACCELERATOR.match(line)]
    names = {line.split("==")[0].lower() for line in lines}
    if LOCK.exists():
        old = [line for line in LOCK.read_text().split("\n") if ";" in line and not line.startswith("#")]
        lines += [line for line in old if line.split("==")[0].lower() not in names]
    LOCK.write_text(HEADER + "\n".join(sorted(lines, key=str.lower)) + "\n")
    print(f"{LOCK.relative_to(ROOT)}: {len(lines)} packages; look at its diff, then run make test and make book")


if __name__ == "__main__":
    main()

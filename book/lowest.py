"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

    python -m book.lowest > lowest.txt
    pip install -c lowest.txt '.[test]'

Only what the package itself needs, at run time and for figures: the tools of book and tests are as the lock has them.
The extra `zoo` has one version of its package, and no lowest.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest(project):
    """Lines NAME==VERSION; ValueError where a dependency has no lowest version."""
    extras = project["optional-dependencies"]
    for wanted in project["dependencies"] + extras.get("torch", []) + extras["plot"]:
        found = re.fullmatch(r"([\w-]+)>=([\d.]+)", wanted)
        if not found:
            raise ValueError(f"a dependency must be NAME>=VERSION; got {wanted!r}")
        yield "==".join(found.groups())


if __name__ == "__main__":
    print("\n".join(lowest(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])))

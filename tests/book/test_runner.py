"""The runner of the chapters tells apart cells that hold, cells that fail, and stored outputs that are not right."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = """\
# A page

```{code-cell}
import os, sys
assert os.path.basename(os.getcwd()) == "chapters"
print("python", sys.executable)
```

```{code-cell}
:tags: [nbval-check-output]

print(6 * 7)
```

```{code-cell}
:tags: [nbval-check-output]

"a text"
```

```{code-cell}
assert 1 + 1 == 3
```
"""


@pytest.fixture
def book(tmp_path, header):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    shutil.copytree(ROOT / "book", tmp_path / "book")
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "chapters" / "outputs").mkdir(parents=True)
    (tmp_path / "chapters" / "01_page.md").write_text(header + PAGE)
    return tmp_path


def run(book, *options):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax", "-rA", "chapters", *options]
    return subprocess.run(command, cwd=book, capture_output=True, text=True, timeout=120).stdout


def test_threads_are_limited_before_libraries_read_the_limit():
    code = "import sys, book.runner; print({'numpy', 'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_failures_and_stored_outputs(book):
    store = book / "chapters" / "outputs" / "01_page.json"
    store.write_text(json.dumps({"1: print(6 * 7)": "41", "9: gone": "1"}))
    told = run(book)
    assert "2 passed" not in told and "1 passed, 4 failed" in told.replace("4 failed, 1 passed", "1 passed, 4 failed")
    assert "chapters/01_page.md, cell 1 (line 23): Its output is not the one in chapters/outputs/01_page.json" in told
    assert "stored:\n41\n\nnow:\n42" in told
    assert "cell 2 (line 29): No output is stored for it" in told
    assert "cell 3 (line 33): Cell execution caused an exception\n\nassert 1 + 1 == 3" in told
    assert "AssertionError: saw 1 + 1 == 3, where 1 + 1 = 2" in told

    told = run(book, "--update-outputs")
    assert json.loads(store.read_text()) == {"1: print(6 * 7)": "42", '2: "a text"': "'a text'"}
    assert "1 failed, 4 passed" in told

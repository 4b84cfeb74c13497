"""Other processors are really played: libraries say so themselves, and failures show what was seen."""

import subprocess
import sys

import pytest

from book import elsewhere

# What NumPy's BLAS, torch and NumPy say of the kernels that they run.
KERNELS = """
import ctypes
from pathlib import Path
import numpy, torch
from numpy._core import _multiarray_umath as own

found = [*Path(numpy.__file__).parents[1].glob("numpy.libs/*openblas*")]
core = ctypes.CDLL(str(found[0])).scipy_openblas_get_corename64_ if found else lambda: b"another"
core.restype = ctypes.c_char_p
used = [name for name in own.__cpu_dispatch__ if own.__cpu_features__[name]]
print(core().decode(), torch.backends.cpu.get_cpu_capability().lower(), *used)
"""


@pytest.mark.parametrize("setting", [x for x in elsewhere.playable() if x in elsewhere.SETTINGS], ids=lambda x: x[0])
def test_the_libraries_play_the_processor(setting, tmp_path):
    environment = elsewhere.environment(setting, tmp_path)
    done = subprocess.run([sys.executable, "-c", KERNELS], env=environment, check=True, capture_output=True, text=True)
    core, torchs, *numpys = done.stdout.split()
    name, _, _, variables = setting
    assert core in (variables["OPENBLAS_CORETYPE"], "another")
    assert torchs == variables.get("ATEN_CPU_CAPABILITY", torchs)
    assert name == "AVX-512" or set(numpys) <= ({"X86_V3"} if name == "AVX2" else set())


TESTS = """
import os
import signal


def test_the_surroundings():
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert " " in os.getcwd() and os.environ["GLALIB_THREADS"] == "3" and os.environ["MKL_CBWR"] == "COMPATIBLE"
    assert "ATEN_CPU_CAPABILITY" not in os.environ


def test_that_fails():
    risk = 3.25
    assert risk < 2
"""


def test_a_failure_is_told_with_what_was_seen(tmp_path, monkeypatch):
    copy = tmp_path / "a copy"
    (copy / "tests").mkdir(parents=True)
    (copy / "tests" / "test_it.py").write_text(TESTS)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    summary, seen, passed = elsewhere.run(copy, ("it", set(), 3, {"MKL_CBWR": "COMPATIBLE"}), ["tests"], 1)
    assert not passed and summary.startswith("1 failed, 1 passed")
    assert "E       assert 3.25 < 2" in seen
    summary, seen, passed = elsewhere.run(copy, ("it", set(), 3, {}), ["tests/nothing"], 0)
    assert not passed  # nothing that ran is nothing that held


@pytest.mark.parametrize("machine, has", [("x86_64", set()), ("arm64", {"sse4_2"}), ("AMD64", {"sse4_2"})])
def test_some_setting_can_be_played_on_every_machine(machine, has, monkeypatch):
    monkeypatch.setattr(elsewhere.platform, "machine", lambda: machine)
    monkeypatch.setattr(elsewhere, "flags", lambda: has)
    played = elsewhere.SETTINGS[:1] if machine == "AMD64" else elsewhere.THREADS
    assert elsewhere.playable() == played


@pytest.mark.parametrize(
    "arguments, played",
    [([], ["a", "b"]), (["--other"], ["a"]), (["--setting", "b"], ["b"]), (["--chapters"], ["a", "b"])],
)
def test_each_setting_is_run_on_a_fresh_copy(arguments, played, tmp_path, monkeypatch, capsys):
    ran = []

    def run(copy, setting, what, jobs):
        assert (copy / "here").exists() and not (copy / "left").exists() and " " in str(copy)
        (copy / "left").touch()
        ran.append((setting[0], what))
        return "all passed", ["E  seen"], setting[0] == "a"

    (tmp_path / "here").touch()
    monkeypatch.setattr(elsewhere, "ROOT", tmp_path)
    monkeypatch.setattr(elsewhere, "run", run)
    monkeypatch.setattr(elsewhere, "playable", lambda: [("a", set(), 1, {}), ("b", set(), 1, {})])
    monkeypatch.setattr(sys, "argv", ["elsewhere.py", *arguments])
    assert elsewhere.main() == (0 if played == ["a"] else 1)
    assert ran == [(name, ["chapters"] + ["tests"] * ("--chapters" not in arguments)) for name in played]
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{played[0]}, threads: 1: all passed (") and told[1] == "    E  seen"
    assert told[-1] == ("the same under every setting" if played == ["a"] else "NOT the same everywhere")

"""Run the chapters and the tests as other machines would: other processors, other numbers of threads.

    python -m book.elsewhere              chapters and tests under every setting that this processor can play
    python -m book.elsewhere --chapters --other      the chapters alone, as the processor most unlike this one

Numerical libraries choose their kernels by the processor, and each kernel rounds in its own way. Environment variables
make them choose as on another one. Everything runs on a copy in a folder with a space in its name, with SIGINT ignored,
as under cron or nohup. What a failing assertion saw is printed with it.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "_build", ".hypothesis", "__pycache__", "glalib-runs")

# NumPy's own kernels, by the processors that they are for.
AVX512 = "X86_V4 AVX512_ICL AVX512_SPR"
AVX2 = f"X86_V3 {AVX512}"
# A name, what the processor must have to play it (flags of /proc/cpuinfo), threads, and how it is played.
SETTINGS = [
    (
        "no vectors",
        {"sse4_2"},
        1,
        {
            "OPENBLAS_CORETYPE": "Nehalem",
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_CBWR": "COMPATIBLE",
            "NPY_DISABLE_CPU_FEATURES": AVX2,
        },
    ),
    (
        "AVX",
        {"avx"},
        4,
        {
            "OPENBLAS_CORETYPE": "Sandybridge",
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_CBWR": "AVX",
            "NPY_DISABLE_CPU_FEATURES": AVX2,
        },
    ),
    (
        "AVX2",
        {"avx2"},
        2,
        {
            "OPENBLAS_CORETYPE": "Haswell",
            "ATEN_CPU_CAPABILITY": "avx2",
            "MKL_CBWR": "AVX2",
            "NPY_DISABLE_CPU_FEATURES": AVX512,
        },
    ),
    ("AVX-512", {"avx512f", "avx512bw"}, 1, {"OPENBLAS_CORETYPE": "SkylakeX", "MKL_CBWR": "AVX512"}),
]
# Where no other processor can be played.
THREADS = [("two threads", set(), 2, {}), ("four threads", set(), 4, {})]


def flags():
    """What this processor can do, by Linux's names; nothing where that cannot be read."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return set().union(*(line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith("flags")))


def playable():
    """The settings of this machine: never none."""
    has = flags() if platform.machine().lower() in ("x86_64", "amd64") else set()
    return [setting for setting in SETTINGS if setting[1] <= has] or THREADS


def environment(setting, copy):
    """The variables of a setting, and none that the caller has for another."""
    _, _, threads, variables = setting
    names = {name for _, _, _, those in SETTINGS for name in those}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return kept | variables | {"PYTHONPATH": str(copy), "GLALIB_THREADS": str(threads)}


def run(copy, setting, what, jobs):
    """One pytest under a setting; its summary, the failures, and whether it passed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--dist", "loadscope"]
    command += ["--no-loadscope-reorder", "-n", str(jobs), *what]
    done = subprocess.run(
        command, cwd=copy, env=environment(setting, copy), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    lines = done.stdout.splitlines()
    seen = [line for line in lines if re.match(r"(FAILED|ERROR|E  +|\w*Error: |[a-z0-9-]+: \d+ of its)", line)]
    return (lines or ["nothing"])[-1].strip("= "), seen, done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name, *_ in playable()]
    parser.add_argument("--chapters", action="store_true", help="the chapters alone")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--setting", action="append", choices=names, help="this setting alone; may be repeated")
    one.add_argument("--other", action="store_true", help="the first setting alone, which no machine has by itself")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="worker processes of pytest (the cores)")
    args = parser.parse_args()
    what = ["chapters"] if args.chapters else ["chapters", "tests"]
    passed = True
    with tempfile.TemporaryDirectory(prefix="a folder ") as folder:
        for setting in playable():
            if setting[0] not in (args.setting or names[: 1 if args.other else None]):
                continue
            copy = Path(folder) / "the book"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
            began = time.monotonic()
            summary, seen, ok = run(copy, setting, what, args.jobs)
            took = time.monotonic() - began
            print(f"{setting[0]}, threads: {setting[2]}: {summary} ({took:.0f} s in all)", flush=True)
            for line in seen[:40]:
                print(f"    {line}", flush=True)
            passed = passed and ok
    print("the same under every setting" if passed else "NOT the same everywhere")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

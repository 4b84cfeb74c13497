"""Break formulas of glalib on purpose, one at a time, in a copy, and see that the tests fail and which claims go down.

    python -m tools.mutate            all of them; what was done with the same code and tests is not done again
    python -m tools.mutate 0 3        some, again
    python -m tools.mutate --list

Each break meets the tests of its own module first, then all other tests, then the chapters, until something fails. It
is no part of `make test`: it tests the tests. An interrupted run goes on where it stopped.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.mutations import MUTATIONS

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "_build", ".hypothesis", "__pycache__", "glalib-runs")


# The tests that see the break of a module soonest: name for tests/.../test_name.py.
FIRST = {
    "_check.py": ["prompts", "risk", "package", "gates"],
    "architectures/parts.py": ["architectures", "catalogue"],
    "_records.py": ["records", "wpgd"],
    "architectures/forms.py": ["architectures", "catalogue"],
    "attention.py": ["attention"],
    "baselines.py": ["simulate", "compare"],
    "architectures/catalogue.py": ["catalogue"],
    "training/checkpoint.py": ["checkpoint", "training"],
    "cli.py": ["cli", "package"],
    "comparison/result.py": ["compare"],
    "conditions.py": ["risk", "landscape"],
    "constant_gate.py": ["constant_gates"],
    "drift.py": ["constant_gates"],
    "delta/attention.py": ["delta_attention", "delta_model"],
    "delta/model.py": ["delta_model"],
    "delta/risk.py": ["delta_risk", "delta_rule"],
    "delta/law.py": ["delta_risk", "delta_rule"],
    "delta/steps.py": ["delta_risk", "delta_rule"],
    "delta/blocks.py": ["delta_blocks", "delta_rule"],
    "exercises/grade.py": ["exercises"],
    "files.py": ["training", "sweep"],
    "training/fingerprints.py": ["sweep", "training"],
    "gates.py": ["gates", "model"],
    "architectures/recurrence.py": ["architectures"],
    "layer.py": ["model", "devices", "depth", "vector_gates", "own"],
    "model.py": ["model", "depth", "vector_gates"],
    "fixed_points.py": ["precision", "landscape"],
    "in_context.py": ["compare"],
    "label_energy.py": ["below"],
    "layout.py": ["prompts", "vector_gates"],
    "own_gate.py": ["own"],
    "training/many.py": ["many"],
    "training/objective.py": ["training", "token_free"],
    "optima.py": ["risk", "precision", "scalar_gates"],
    "plotting.py": ["plotting", "package"],
    "probe.py": ["effective_weights"],
    "distribution.py": ["prompts", "risk", "simulate"],
    "prompts.py": ["prompts", "own_prompts", "bad_inputs"],
    "progress.py": ["sweep", "training"],
    "comparison/readers.py": ["compare"],
    "reproduce/named.py": ["reproduce_architectures"],
    "reproduce/architectures.py": ["reproduce_architectures"],
    "reproduce/bar.py": ["sweep"],
    "reproduce/command.py": ["reproduce", "cli"],
    "reproduce/provenance.py": ["reproduce"],
    "reproduce/sweep.py": ["sweep"],
    "reproduce/table.py": ["reproduce"],
    "reproduce/one_run.py": ["reproduce", "figure1"],
    "reproduce/panels.py": ["figure1"],
    "reproduce/figure1.py": ["figure1"],
    "reproduce/depth.py": ["reproduce_depth"],
    "reproduce/inside.py": ["inside"],
    "reproduce/live.py": ["reproduce_live"],
    "reproduce/below.py": ["below"],
    "reproduce/circuit.py": ["inside"],
    "reproduce/plateau.py": ["starts"],
    "reproduce/starts.py": ["starts"],
    "reproduce/byte_mamba.py": ["pretrained"],
    "reproduce/byte_texts.py": ["pretrained"],
    "reproduce/pretrained.py": ["pretrained"],
    "reproduce/messages.py": ["text"],
    "reproduce/characters.py": ["text"],
    "reproduce/crossing.py": ["text"],
    "reproduce/text.py": ["text"],
    "risk.py": ["risk", "precision", "landscape"],
    "comparison/side_by_side.py": ["compare"],
    "simulate.py": ["simulate", "own_prompts"],
    "spectra.py": ["precision", "risk"],
    "token_free.py": ["token_free"],
    "training/fitting.py": ["training", "checkpoint"],
    "exercises/verdicts.py": ["exercises"],
    "wpgd.py": ["wpgd"],
    "architectures/zoo.py": ["zoo"],
}


def broken(text, mutation):
    """The text of the file with the mutation in it; ValueError unless its old text stands there once."""
    if text.count(mutation.old) != 1:
        times = text.count(mutation.old)
        raise ValueError(f"{mutation.what}: {mutation.file} holds {mutation.old!r} {times} times, not once")
    return text.replace(mutation.old, mutation.new)


def faults(mutations=None, root=ROOT):
    """What is wrong with a list of mutations, before any is run."""
    for mutation in MUTATIONS if mutations is None else mutations:
        try:
            broken((root / "glalib" / mutation.file).read_text(encoding="utf-8"), mutation)
        except (ValueError, OSError) as error:
            yield str(error)


def suites(file, root=ROOT):
    """The runs of pytest that a break of this file meets, one after the other."""
    # Those in tests/book look at the repository and not at formulas, and some build books.
    tests = [path for path in sorted((root / "tests").rglob("test_*.py")) if path.parent != root / "tests" / "book"]
    names = [f"test_{name}" for name in FIRST.get(file, [])]
    first = sorted((path for path in tests if path.stem in names), key=lambda path: names.index(path.stem))
    rest = [path for path in tests if path not in first]
    runs = [[path.relative_to(root).as_posix() for path in run] for run in (first, rest)]
    return [run for run in (*runs, ["chapters"] * (root / "chapters").is_dir()) if run]


def tested(copy, suite):
    """One run of pytest on a copy, to its first failure."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *suite]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)


def run(mutation, root=ROOT):
    """Run the tests on a broken copy until something fails: a dict with `caught`, `by` and `claims`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "main"
        shutil.copytree(root, copy, ignore=LEFT_OUT)
        path = copy / "glalib" / mutation.file
        whole = path.read_text(encoding="utf-8")
        path.write_text(broken(whole, mutation), encoding="utf-8")
        for suite in suites(mutation.file, copy):
            done = tested(copy, suite)
            if done.returncode not in (0, 1, 2):  # no tests, bad usage, a crash: nothing was learnt
                raise RuntimeError(f"{mutation.what}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}")
            if done.returncode:
                claims = re.findall(r"^([a-z0-9-]+): \d+ of its assertions failed", done.stdout, re.MULTILINE)
                by = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - |$)", done.stdout, re.MULTILINE)
                by = by.group(1) if by else suite[0]
                # A cell needs those before it, so of chapters the whole page.
                path.write_text(whole, encoding="utf-8")
                if tested(copy, [by.partition("::")[0] if by.startswith("chapters") else by]).returncode:
                    raise RuntimeError(f"{mutation.what}: {by} fails without the break too; mend that first")
                return {"caught": True, "by": by, "claims": claims}
    return {"caught": False, "by": None, "claims": []}


def key(mutation, root=ROOT):
    """A name for a mutation together with the code and the tests it meets."""
    digest = hashlib.sha256(repr(tuple(mutation)).encode())
    for folder in ("glalib", "tests", "chapters"):
        for path in sorted((root / folder).rglob("*.[pm][yd]")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def survey(mutations, root=ROOT, jobs=1, again=False, say=print):
    """Run mutations side by side, keeping every result at once; returns the results in order."""
    memory = root / "_build" / "mutations.json"
    known = json.loads(memory.read_text()) if memory.exists() else {}
    began, done = time.monotonic(), []

    def one(mutation):
        name = key(mutation, root)
        if again or name not in known:
            known[name] = run(mutation, root)
            memory.parent.mkdir(exist_ok=True)
            memory.write_text(json.dumps(known, indent=1))
        result = known[name]
        done.append(mutation)
        left = (time.monotonic() - began) / len(done) * (len(mutations) - len(done))
        verdict = f"caught by {result['by']}" if result["caught"] else "MISSED"
        down = f"; claims down: {', '.join(result['claims'])}" if result["claims"] else ""
        place = f"{len(done)}/{len(mutations)} {mutation.what} ({mutation.file})"
        say(f"{place}: {verdict}{down} [{left / 60:.0f} min left]")
        return result

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, mutations))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", type=int, help="which mutations, again; all if none is given")
    parser.add_argument("--list", action="store_true", help="name them and stop")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutations side by side (the cores)")
    args = parser.parse_args()
    if args.list:
        for number, mutation in enumerate(MUTATIONS):
            print(f"{number:2} {mutation.what} ({mutation.file})")
        return 0
    for fault in faults():
        sys.exit(fault)
    unknown = [number for number in args.numbers if not 0 <= number < len(MUTATIONS)]
    if unknown:
        sys.exit(f"numbers must be from 0 to {len(MUTATIONS) - 1}; got {unknown}")
    chosen = [MUTATIONS[number] for number in args.numbers] or MUTATIONS
    results = survey(chosen, jobs=args.jobs, again=bool(args.numbers), say=lambda line: print(line, flush=True))
    missed = [mutation.what for mutation, result in zip(chosen, results, strict=True) if not result["caught"]]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} caught" + (f"; missed: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())

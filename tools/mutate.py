"""Break formulas of glalib on purpose, one at a time, in a copy, and see that the tests fail and which claims go down.

    python tools/mutate.py            all of them; about a minute each
    python tools/mutate.py 0 3        some
    python tools/mutate.py --list

It is no part of `make test`: it tests the tests.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What is broken, the file, the line as it is, and as it should not be.
MUTATIONS = [
    ("the cross term of the risk", "risk.py", "dist.M - 2 * rw * trace_SQ", "dist.M - 1.9 * rw * trace_SQ"),
    ("tasks' correlation in the risk", "risk.py", "(ww + wRw) * trace_SQQ", "(ww + 0.9 * wRw) * trace_SQQ"),
    ("h1's weights", "risk.py", "(_unit(a) / (1 + lam *", "(_unit(a) / (1 + 2 * lam *"),
    ("h2's moments", "risk.py", "return m / (dist.M + m)", "return m / (2 * dist.M + m)"),
    ("gamma", "risk.py", "gamma = 1 + wRw / ww\n    s, B", "gamma = wRw / ww\n    s, B"),
    ("the best weights", "risk.py", "h * dist.R * np.array(dist.counts", "h * dist.R.T * 2 * np.array(dist.counts"),
    (
        "only one stationary point",
        "risk.py",
        "return sorted(points, key=lambda point: point.risk)",
        "return sorted(points, key=lambda point: point.gamma)[:1]",
    ),
    ("Theorem A's constant", "risk.py", "bound_sharp = 8 / M", "bound_sharp = 80 / M"),
    ("Theorem B's rank", "risk.py", "len(s) <= 5", "len(s) <= 6"),
    ("the sign of P for a monotone gate", "risk.py", " + _monotone_points(dist, -dist.r)", ""),
    ("the last gate of a constant gate", "risk.py", "np.arange(dist.n, 0, -1.0)", "np.arange(dist.n - 1, -1, -1.0)"),
    ("which task a block has", "prompts.py", "beta.unbind(1), strict", "beta.flip(1).unbind(1), strict"),
    ("the query's task", "prompts.py", "tasks[:, :-1], tasks[:, -1]", "tasks[:, :-1], tasks[:, 0]"),
    ("label noise", "prompts.py", "y = y + self.sigma * normal", "y = y + 0.9 * self.sigma * normal"),
    ("the recurrence", "attention.py", "S = G_i * S + v_i[..., :, None] *", "S = S + v_i[..., :, None] *"),
    (
        "the decay within a chunk",
        "attention.py",
        "torch.addcmul(e_t, row, g_t[..., None, :])",
        "torch.addcmul(e_t, row, g_t[..., None, :] ** 1.01)",
    ),
    ("the state between chunks", "attention.py", "S = torch.addcmul(write, decay, S)", "S = write + S"),
    (
        "whose gate acts on whose write",
        "gates.py",
        "later = xp.concatenate((g[..., 1:], xp.ones_like(g[..., :1])), -1)\n    return",
        "later = g\n    return",
    ),
    ("Eq. (9)'s value matrix", "model.py", "layer.W_v[d, d] = sign", "layer.W_v[d - 1, d] = sign"),
    ("the weights of the cone", "risk.py", "L = np.tril(np.ones((dist.K, dist.K)))", "L = np.eye(dist.K)"),
    ("the falls of signed weights", "gates.py", "for sign in (1, -1))", "for sign in (1, -0.9))"),
    (
        "the key channels of a difference",
        "model.py",
        "torch.cat([scale * P, -scale * P], 1)",
        "torch.cat([scale * P, scale * P], 1)",
    ),
    (
        "the state without causal mask",
        "model.py",
        "[q[..., :n, :] @ S.mT, apply_state",
        "[q[..., :n, :] @ (0.9 * S).mT, apply_state",
    ),
    (
        "the query's own write",
        "model.py",
        "own = v * (k * q).sum(-1, keepdim=True)",
        "own = 0 * v * (k * q).sum(-1, keepdim=True)",
    ),
    (
        "across the direction of the values",
        "token_free.py",
        "f = f - (f * u).sum(-1, keepdim=True) * u",
        "f = f - 0 * (f * u).sum(-1, keepdim=True) * u",
    ),
    ("the sixth moment", "token_free.py", "8 * (Hw @ Hw)", "7 * (Hw @ Hw)"),
    ("the state of a run", "training.py", 'generator.set_state(torch.from_numpy(arrays["generator"]))', "pass"),
    ("WPGD's preconditioner", "wpgd.py", "(P @ gradient)", "(P.swapaxes(-1, -2) @ gradient)"),
    ("Bayes and ridge", "baselines.py", "rows = penalty**0.5", "rows = penalty"),
]


def run(number, workers):
    what, file, old, new = MUTATIONS[number]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "main"
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "_build", ".hypothesis", "__pycache__")
        )
        path = copy / "glalib" / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            sys.exit(f"mutation {number} ({what}): {file} holds {old!r} {text.count(old)} times, not once")
        path.write_text(text.replace(old, new), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-n",
            str(workers),
            "--dist",
            "loadscope",
        ]
        command += ["--deselect", "tests/test_freshness.py", "chapters", "tests"]
        environment = os.environ | {"PYTHONPATH": str(copy)}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    claims = re.findall(r"^([a-z0-9-]+): \d+ of its assertions failed", done.stdout, re.MULTILINE)
    last = done.stdout.strip().splitlines()[-1]
    print(f"{'caught ' if done.returncode == 1 else 'MISSED '} {number:2} {what} ({file}): {last}")
    print(f"           claims down: {', '.join(claims) or 'none'}", flush=True)
    return done.returncode == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", type=int, help="which mutations; all if none is given")
    parser.add_argument("--list", action="store_true", help="name them and stop")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="worker processes of pytest")
    args = parser.parse_args()
    if args.list:
        for number, (what, file, *_) in enumerate(MUTATIONS):
            print(f"{number:2} {what} ({file})")
        return 0
    numbers = args.numbers or range(len(MUTATIONS))
    return 0 if all([run(number, args.jobs) for number in numbers]) else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""The console command `glalib`: exact risks without writing a program."""

from __future__ import annotations

import argparse
import json
import re
import sys

from . import __version__, _check
from .prompts import PromptDistribution
from .risk import optimal_wpgd, uniqueness

MOST_FEATURES = 10_000  # about 5 GB


def main(argv=None) -> int:
    """Run the command line; returns the exit status, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="glalib", description="Gated linear attention as weighted preconditioned GD.")
    parser.add_argument("--version", action="version", version=f"glalib {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    risk = commands.add_parser(
        "risk",
        help="exact risks of linear attention and of the optimum",
        description="Exact risks on multitask prompts with identity covariances and independent tasks, unless --R.",
        epilog="example: glalib risk --d 100 --counts 50,50 --r 0.2,0.8",
    )
    risk.add_argument("--d", type=_number(int), required=True, help="feature dimension")
    risk.add_argument("--counts", type=_numbers(int), required=True, help="examples per task, e.g. 50,50")
    risk.add_argument("--r", type=_numbers(float), required=True, help="correlation of each task with the query's")
    risk.add_argument("--R", type=_rows, help="task correlations, rows apart by ';', e.g. '1,0.5;0.5,1' (identity)")
    risk.add_argument("--sigma", type=_number(float), default=0.0, help="standard deviation of the label noise (0)")
    risk.add_argument("--json", action="store_true", help="print JSON")

    args = parser.parse_args(_join_negative(sys.argv[1:] if argv is None else argv))
    try:
        if args.d > MOST_FEATURES:
            raise _check.fail("d", f"at most {MOST_FEATURES} here, as d x d matrices are formed", _check._short(args.d))
        report = _risk(PromptDistribution(args.d, args.counts, args.r, R=args.R, sigma=args.sigma))
    except (ValueError, TypeError) as error:
        print(f"glalib {args.command}: {error}", file=sys.stderr)
        return 2
    except (MemoryError, OverflowError) as error:
        print(f"glalib {args.command}: these sizes or numbers are too large here: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report) if args.json else _table(report, args.d))
    return 0


def _risk(dist) -> dict:
    optimum, certain = optimal_wpgd(dist), uniqueness(dist)
    return {
        "linear": optimal_wpgd(dist, "uniform").risk,
        "optimum": optimum.risk,
        "gamma": optimum.gamma,
        "omega": optimum.omega.tolist(),
        "unique": bool(dist.r.any() and (certain.holds_paper or certain.holds_sharp)),
    }


def _table(report, d) -> str:
    weights = ", ".join(f"{value:.6g}" for value in report["omega"])
    unique = "yes, up to scale" if report["unique"] else "not certified"
    return "\n".join(
        [
            f"{'':18}{'risk':>12}{'risk / d':>12}",
            f"{'linear attention':18}{report['linear']:12.6f}{report['linear'] / d:12.6f}",
            f"{'optimum':18}{report['optimum']:12.6f}{report['optimum'] / d:12.6f}",
            f"weights per task  {weights}",
            f"gamma             {report['gamma']:.6g}",
            f"unique optimum    {unique}",
        ]
    )


def _number(kind):
    return lambda text: _parse(text, [text], kind, "an integer" if kind is int else "a number")[0]


def _numbers(kind):
    noun = "integers" if kind is int else "numbers"
    return lambda text: _parse(text, text.split(","), kind, f"{noun} with commas between them")


def _parse(text, parts, kind, expected):
    try:
        if "_" in text:  # Python would read 5_0 as 50
            raise ValueError
        return [kind(part) for part in parts]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected {expected}; got {text!r}") from None


def _rows(text):
    return [_numbers(float)(row) for row in text.split(";")]


def _join_negative(argv):
    """Let `--r -0.2,0.8` be read as `--r=-0.2,0.8`: argparse would take the value for an option."""
    out = []
    for word in argv:
        if out and re.fullmatch(r"--\w+", out[-1]) and re.match("-[^-h]", word):
            out[-1] += "=" + word
        else:
            out.append(word)
    return out


if __name__ == "__main__":
    sys.exit(main())

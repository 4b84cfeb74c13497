"""The console command `glalib`: exact risks without writing a program."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

from . import __version__, _check
from .conditions import uniqueness
from .distribution import PromptDistribution
from .files import as_path
from .optima import optimal_wpgd

MOST_FEATURES = 10_000  # about 5 GB
WHOLE: dict[str, Any] = {"allow_abbrev": False}  # an option misspelt is an error, not another option
PLAIN = (  # commands of `reproduce` with the common options alone: name, help, description, seeds
    (
        "inside",
        "what trained layers have learned: their weights beside the theory's",
        "Train one layer with every weight free in two settings, and look inside.",
        5,
    ),
    ("live", "small layers to try out on a page", "Train five kinds of layer for both orders of two tasks.", 1),
    (
        "below",
        "how far gates that read labels go below the line, and what they use",
        "Train layers whose gates read features and labels, at d = 5 to 100, from two starts.",
        5,
    ),
    (
        "starts",
        "from which starts, step sizes and gate biases training gets there",
        "Train small layers from several starts, many seeds at once, and see which arrive.",
        10,
    ),
    (
        "pretrained",
        "what the gates of a trained Mamba, that of the package typeseg, do on text",
        "Read the gates of the trained Mamba that the package typeseg ships. Nothing is trained.",
        20,
    ),
    (
        "text",
        "small models of characters: what their gates do where the language changes",
        "Train models of characters on Sphinx's messages in four languages, with marks between languages and without, "
        "and look at what they keep across a change.",
        3,
    ),
)


class _Once(argparse.Action):
    """Store a value; an option given twice is an error: of two values one would be lost without a word."""

    given = False

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        if self.given:
            raise argparse.ArgumentError(self, "given twice")
        self.given = True
        setattr(namespace, self.dest, values)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 2 for bad input, 1 where a run failed."""
    try:
        args = _parser().parse_args(_join_negative(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:
        if not stop.code and _print("", None, end=""):  # of --help and --version nothing could be written
            return 1
        raise
    try:
        text, status = _reproduce(args) if args.command == "reproduce" else (_risk(args), 0)
    except (ValueError, TypeError, ImportError, OSError, MemoryError, OverflowError, BrokenExecutor) as error:
        large = "these sizes or numbers are too large here: " * isinstance(error, (MemoryError, OverflowError))
        said = f"glalib {args.command}: {large}{error}"
        print(said, *getattr(error, "__notes__", ()), sep="\n  ", file=sys.stderr)
        return 1 if isinstance(error, BrokenExecutor) else 2  # a worker was killed, as when memory is short
    except KeyboardInterrupt:
        resume = "; the same command goes on where it stopped" if args.command == "reproduce" else ""
        print(f"glalib {args.command}: interrupted{resume}", file=sys.stderr)
        return 130
    return _print(text, args.command) or status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glalib", description="Gated linear attention as weighted preconditioned GD.", **WHOLE
    )
    parser.add_argument("--version", action="version", version=f"glalib {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_risk(commands)
    _add_reproduce(commands)
    return parser


def _add_risk(commands: Any) -> None:
    risk = commands.add_parser(
        "risk",
        help="exact risks of linear attention and of the optimum",
        description="Exact risks on multitask prompts with identity covariances and independent tasks, unless --R.",
        epilog="example: glalib risk --d 100 --counts 50,50 --r 0.2,0.8",
        **WHOLE,
    )
    _option(risk, "--d", _number(int), "feature dimension", required=True)
    _option(risk, "--counts", _numbers(int), "examples per task, e.g. 50,50", required=True)
    _option(risk, "--r", _numbers(float), "correlation of each task with the query's", required=True)
    _option(risk, "--R", _rows, "task correlations, rows apart by ';', e.g. '1,0.5;0.5,1' (identity)")
    _option(risk, "--sigma", _number(float), "standard deviation of the label noise (0)", default=0.0)
    risk.add_argument("--json", action="store_true", help="print JSON")


def _add_reproduce(commands: Any) -> None:
    reproduce = commands.add_parser(
        "reproduce", help="train the models of the paper's table and figures again", **WHOLE
    )
    what = reproduce.add_subparsers(dest="what", required=True)
    again = "An interrupted run goes on where it stopped when the same command is given again."
    table = what.add_parser(
        "table",
        help="d = 100; n = 100, 200, 400, 1000; linear attention and scalar GLA",
        description="Train the authors' table again, beside their numbers. The gate reads context coordinates only, "
        f"unless --all-weights. {again}",
        **WHOLE,
    )
    table.add_argument("--all-weights", action="store_true", help="every weight free, from plain tokens (longer)")
    _add_run_options(table, seeds=1)
    figure1 = what.add_parser(
        "figure1",
        help="d = 10; four panels; linear attention, scalar and vector GLA, with delimiters and without",
        description=f"Train the models of the paper's Figure 1 again, every weight free, beside their theory. {again}",
        **WHOLE,
    )
    _option(figure1, "--panels", str, "some of the letters abcd (abcd)", default="abcd")
    lengths = "10,20,40,70,100,150,200"
    _option(figure1, "--lengths", _numbers(int), f"examples in the prompt ({lengths})", default=lengths)
    _add_run_options(figure1, seeds=5)
    depth = what.add_parser(
        "depth",
        help="d = 10; four panels; stacks of one to three layers, linear attention and scalar GLA",
        description="Train stacks of one, two and three layers in the panels of Figure 1, every weight free, beside "
        f"the optimum of one layer and the Bayes risk. {again}",
        **WHOLE,
    )
    _option(depth, "--models", _words, "linear, gla or both (linear,gla)", default="linear,gla")
    _option(depth, "--layers", _numbers(int), "numbers of layers (1,2,3)", default="1,2,3")
    _option(depth, "--panels", str, "some of the letters abcd (abcd)", default="abcd")
    lengths = "20,40,100,200"
    _option(depth, "--lengths", _numbers(int), f"examples in the prompt ({lengths})", default=lengths)
    _add_run_options(depth, seeds=3)
    for name, words, more, seeds in PLAIN:
        plain = what.add_parser(name, help=words, description=f"{more} {again}", **WHOLE)
        _add_run_options(plain, seeds, trains=name != "pretrained")
    _add_architectures(what, again)


def _add_architectures(what: Any, again: str) -> None:
    real = what.add_parser(
        "architectures",
        help="layers of real architectures and of this book, on one scale (needs the extra zoo)",
        description="Train layers of real architectures, which need glalib[zoo], and of this book on the same prompts, "
        f"beside the theory, and read their weights; then Mamba-2 with parts taken out. {again}",
        **WHOLE,
    )
    layers = "linear,gla,delta,fixed-decay,rg-lru,mlstm,mamba2,gated-deltanet,softmax"
    _option(real, "--layers", _words, f"which layers ({layers})", default=layers)
    settings = "last,first,drift,named"
    _option(real, "--settings", _words, f"where the better task stands, or what else ({settings})", default=settings)
    real.add_argument("--no-parts", action="store_false", dest="parts", help="leave out Mamba-2 without its parts")
    _add_run_options(real, seeds=5)


def _add_run_options(parser: argparse.ArgumentParser, seeds: int, trains: bool = True) -> None:
    _option(parser, "--seeds", _number(int), f"runs per cell, seeds 0, 1, ... ({seeds})", default=seeds)
    if trains:
        _option(parser, "--steps", _number(int), "steps of training in every run (what its recipe says)")
    _option(parser, "--jobs", _number(int), "processes, one thread each (this machine's cores)")
    _option(parser, "--backend", str, "loky (this machine), dask (DASK_SCHEDULER_ADDRESS) or ray", default="loky")
    _option(parser, "--json", _path, "write the cells to this file", metavar="FILE")
    _option(parser, "--folder", _path, "where unfinished work is kept (glalib-runs)", default="glalib-runs")


def _option(parser: argparse.ArgumentParser, name: str, kind: Callable[[str], Any], words: str, **more: Any) -> None:
    parser.add_argument(name, action=_Once, type=kind, help=words, **more)


def _print(text: str, command: str | None, **options: Any) -> int:
    """Print, and complain in a line where nobody reads or nothing can be written."""
    try:
        print(text, flush=True, **options)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again on its way out
        if not isinstance(error, BrokenPipeError):  # `| head` has seen enough
            print(f"{' '.join(filter(None, ['glalib', command]))}: standard output: {error}", file=sys.stderr)
        return 1
    return 0


def _reproduce(args: argparse.Namespace) -> tuple[str, int]:
    _check.torch_for("training")
    from . import reproduce  # torch loads here only

    options = {name: value for name, value in vars(args).items() if name not in ("command", "what", "json")}
    if "steps" in options:
        steps = options.pop("steps")
        options["recipe"] = {} if steps is None else {"steps": steps}
    return reproduce.reproduce(args.what, args.json, **options)


def _risk(args: argparse.Namespace) -> str:
    if args.d > MOST_FEATURES:
        raise _check.fail("d", f"at most {MOST_FEATURES} here, as d x d matrices are formed", _check.short(args.d))
    report = _report(PromptDistribution(args.d, args.counts, args.r, R=args.R, sigma=args.sigma))
    return json.dumps(report) if args.json else _table(report, args.d)


def _report(dist: PromptDistribution) -> dict[str, Any]:
    optimum, certain = optimal_wpgd(dist), uniqueness(dist)
    return {
        "linear": optimal_wpgd(dist, "uniform").risk,
        "optimum": optimum.risk,
        "gamma": optimum.gamma,
        "omega": optimum.omega.tolist(),
        "unique": certain.holds_sharp,
    }


def _table(report: dict[str, Any], d: int) -> str:
    weights = ", ".join(f"{value:.6g}" for value in report["omega"])
    unique = "yes, up to scale" if report["unique"] else "not certified"
    return "\n".join(
        [
            f"{'':18}{'risk':>12}{'risk / d':>12}",
            f"{'linear attention':18}{_six(report['linear']):>12} {_six(report['linear'] / d):>11}",
            f"{'optimum':18}{_six(report['optimum']):>12} {_six(report['optimum'] / d):>11}",
            f"weights per task  {weights}",
            f"gamma             {report['gamma']:.6g}",
            f"unique optimum    {unique}",
        ]
    )


def _six(value: float) -> str:
    """Six decimals, or six digits and a power of ten where decimals would be none or too many."""
    return f"{value:.6f}" if 1e-3 <= value < 1e4 else f"{value:.5e}"


def _path(text: str) -> Path:
    try:
        return as_path("path", text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a path; got {text!r}") from None


def _words(text: str) -> list[str]:
    return text.split(",")


def _number(kind: type[Any]) -> Callable[[str], Any]:
    return lambda text: _parse(text, [text], kind, "an integer" if kind is int else "a number")[0]


def _numbers(kind: type[Any]) -> Callable[[str], list[Any]]:
    noun = "integers" if kind is int else "numbers"
    return lambda text: _parse(text, text.split(","), kind, f"{noun} with commas between them")


def _parse(text: str, parts: list[str], kind: type[Any], expected: str) -> list[Any]:
    try:
        if "_" in text:  # Python would read 5_0 as 50
            raise ValueError
        return [kind(part) for part in parts]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected {expected}; got {text!r}") from None


def _rows(text: str) -> list[list[float]]:
    return [_numbers(float)(row) for row in text.split(";")]


def _join_negative(argv: list[str]) -> list[str]:
    """Let `--r -0.2,0.8` be read as `--r=-0.2,0.8`: argparse would take the value for an option."""
    out: list[str] = []
    for word in argv:
        if out and re.fullmatch(r"--\w+", out[-1]) and re.match("-[^-h]", word):
            out[-1] += "=" + word
        else:
            out.append(word)
    return out


if __name__ == "__main__":
    sys.exit(main())

"""Assertions that print what they saw, and a list of those that came close to their limit.

A cell of a chapter that fails says only `AssertionError`. `Explain` rewrites the `assert` statements of a syntax tree
so that every comparison on the way to the verdict goes through a recorder: on failure the message shows what it saw.
The kernels of tests and book load it (`_ext/freshness.py`); readers' own kernels run the plain statements.

With GLALIB_MARGINS=FILE in the environment each comparison also writes a line to FILE: where it stands and how far its
value was from its limit. Tests are rewritten then, too. To find the assertions that hang on rounding or on luck:

    GLALIB_MARGINS=a.jsonl python -m pytest chapters tests
    OPENBLAS_CORETYPE=Nehalem GLALIB_MARGINS=b.jsonl python -m pytest chapters tests
    python _ext/asserts.py a.jsonl b.jsonl

lists those within a factor of ten of their limit, and those that move by a tenth of their distance from it.
"""

import argparse
import ast
import builtins
import json
import operator
import os
import sys
from collections import defaultdict

import numpy as np

NAME = "__saw__"  # under which rewritten code finds the recorder
OPERATORS = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}
SYMBOLS = dict(OPERATORS.values())
CLOSE = {"isclose", "allclose"}
QUANTIFIERS = {"all", "any"}


class Explain(ast.NodeTransformer):
    """`assert a < b and all(x < y for ...)` with every comparison recorded; its truth and its order are unchanged."""

    def __init__(self, where=""):
        self.where = where

    def visit_Assert(self, node):
        where = ast.Constant(f"{self.where}:{node.lineno}")
        text = ast.unparse(node.test)
        test = self.followed(node.test)
        message = [node.msg] if node.msg is not None else []
        begin = self.call("begin", where, ast.Constant(text))
        said = self.call("said", *message)
        new = ast.Assert(test=ast.BoolOp(ast.And(), [begin, test]), msg=said)
        return ast.fix_missing_locations(ast.copy_location(new, node))

    def call(self, name, *args):
        function = ast.Attribute(ast.Name(NAME, ast.Load()), name, ast.Load())
        return ast.Call(function, list(args), [])

    def followed(self, node):
        """The same expression with recorders on all ways that truth takes through it."""
        if isinstance(node, ast.BoolOp):
            return ast.BoolOp(node.op, [self.followed(value) for value in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ast.UnaryOp(node.op, self.followed(node.operand))
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
            return ast.BinOp(self.followed(node.left), node.op, self.followed(node.right))
        if isinstance(node, ast.IfExp):
            return ast.IfExp(node.test, self.followed(node.body), self.followed(node.orelse))
        if isinstance(node, (ast.GeneratorExp, ast.ListComp)):
            return type(node)(self.followed(node.elt), node.generators)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
            left, right = node.left, node.comparators[0]
            texts = [ast.Constant(ast.unparse(x)) for x in (left, right)]
            return self.call("compared", ast.Constant(OPERATORS[type(node.ops[0])][0]), *texts, left, right)
        if isinstance(node, ast.Compare) and all(type(op) in OPERATORS for op in node.ops):
            parts = [node.left, *node.comparators]
            symbols = ast.Tuple([ast.Constant(OPERATORS[type(op)][0]) for op in node.ops], ast.Load())
            texts = ast.Tuple([ast.Constant(ast.unparse(x)) for x in parts], ast.Load())
            # Later parts are evaluated only if earlier comparisons hold.
            later = [ast.Lambda(ast.arguments([], [], None, [], [], None, []), x) for x in parts]
            return self.call("chained", symbols, texts, *later)
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            if name in CLOSE and len(node.args) == 2:
                values = ast.copy_location(ast.Call(self.call("close", node.func), node.args, node.keywords), node)
                return values
            if name in QUANTIFIERS and isinstance(node.func, ast.Attribute) and not node.args:
                return ast.Call(ast.Attribute(self.followed(node.func.value), name, ast.Load()), [], node.keywords)
            if name in QUANTIFIERS and len(node.args) == 1:
                return ast.Call(node.func, [self.followed(node.args[0])], node.keywords)
        return node


class Recorder:
    """What rewritten assertions call: it returns the truth, keeps what was false, and logs margins."""

    def __init__(self, log=None):
        self.log, self.false, self.where, self.text = log, [], "", ""

    def begin(self, where, text):
        self.false, self.where, self.text = [], where, text
        return True

    def compared(self, symbol, left_text, right_text, left, right):
        verdict = SYMBOLS[symbol](left, right)
        if not _holds(verdict):
            self.false.append(
                f"{left_text} {symbol} {right_text}, where " + _difference(left, right, symbol, left_text, right_text)
            )
        self.note(symbol, left_text, right_text, left, right)
        return verdict

    def chained(self, symbols, texts, *later):
        left, verdict = later[0](), True
        for symbol, left_text, right_text, make in zip(symbols, texts[:-1], texts[1:], later[1:], strict=True):
            right = make()
            verdict = self.compared(symbol, left_text, right_text, left, right)
            if not verdict:
                return verdict
            left = right
        return verdict

    def close(self, function):
        def recorded(a, b, *args, **options):
            verdict = function(a, b, *args, **options)
            gap, limit = _closeness(function, a, b, options)
            if not _holds(verdict):
                self.false.append(
                    f"{function.__name__}: a largest difference of {gap:.4g}, tolerance {limit:.4g} there"
                )
            self.margin("close", function.__name__, "", gap, limit, _ratio(gap, limit))
            return verdict

        return recorded

    def said(self, message=None):
        seen = "; ".join(self.false[:3])
        return " | ".join(str(part) for part in (message, seen and f"saw {seen}") if part) or "it is false"

    def note(self, symbol, left_text, right_text, left, right):
        if self.log is None:
            return
        approximate = next((x for x in (left, right) if type(x).__name__ == "ApproxScalar"), None)
        if approximate is not None and symbol == "==":
            other = right if approximate is left else left
            gap, limit = abs(other - approximate.expected), approximate.tolerance
            return self.margin("approx", left_text, right_text, gap, limit, _ratio(gap, limit))
        if symbol not in ("<", "<=", ">", ">="):
            return None
        try:
            small, large = (
                np.asarray(_plain(x), dtype=float) for x in ((left, right) if symbol[0] == "<" else (right, left))
            )
            small, large = np.broadcast_arrays(small, large)
        except (TypeError, ValueError):
            return None
        if not small.size:
            return None
        # Within a factor of ten of its limit: 9e-13 < 1e-12. A gap between numbers of one size counts by its share.
        scale = np.maximum(np.abs(small), np.abs(large))
        with np.errstate(all="ignore"):
            used = np.where(scale > 0, 1 - (large - small) / scale, 1.0)
        i = np.unravel_index(np.argmax(used), used.shape)
        return self.margin(symbol, left_text, right_text, float(small[i]), float(large[i]), float(used[i]))

    def margin(self, kind, left_text, right_text, value, limit, used):
        if self.log is None:
            return
        record = {"where": self.where, "kind": kind, "left": left_text, "right": right_text}
        record |= {"value": float(value), "limit": float(limit), "used": float(used)}
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _plain(x):
    return x.detach().cpu().numpy() if hasattr(x, "detach") else x


def _holds(verdict):
    return bool(np.all(_plain(verdict)))


def _ratio(gap, limit):
    return gap / limit if limit > 0 else float(gap > 0)


def _closeness(function, a, b, options):
    """The difference that comes nearest to its tolerance (or passes it farthest), and that tolerance."""
    defaults = {"rtol": 1e-5, "atol": 1e-8, "rel_tol": 1e-9, "abs_tol": 0.0} | options
    a, b = (np.asarray(_plain(x), dtype=float) for x in (a, b))
    if function.__module__ == "math":
        limit = np.maximum(defaults["rel_tol"] * np.maximum(np.abs(a), np.abs(b)), defaults["abs_tol"])
    else:
        limit = defaults["atol"] + defaults["rtol"] * np.abs(b)
    gap, limit = np.broadcast_arrays(np.abs(a - b), limit)
    if not gap.size:
        return 0.0, 1.0
    with np.errstate(all="ignore"):
        i = np.unravel_index(np.argmax(np.where(limit > 0, gap / limit, gap)), gap.shape)
    return float(gap[i]), float(limit[i])


def _difference(left, right, symbol, left_text, right_text):
    """Both sides, for arrays at the first place where the comparison fails."""
    sides, place = [left, right], ""
    verdict = np.asarray(_plain(SYMBOLS[symbol](left, right)))
    if verdict.ndim and verdict.dtype == bool:
        i = tuple(map(int, np.argwhere(~verdict)[0]))
        try:
            sides = [np.broadcast_to(np.asarray(_plain(x)), verdict.shape)[i] for x in sides]
        except ValueError:
            pass
        place = f" at {i} of shape {verdict.shape}, one of {int((~verdict).sum())}"
    shown = [
        f"{text} = {_short(value)}"
        for text, value in zip((left_text, right_text), sides, strict=True)
        if not _is_literal(text)
    ]
    return (", ".join(shown) or "both are constants") + place


def _is_literal(text):
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _short(value):
    value = _plain(value)
    if isinstance(value, (float, np.floating)) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return f"{value:.6g}" if np.issubdtype(np.asarray(value).dtype, np.floating) else str(value)
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else text[:117] + "..."


def in_kernel():
    """Rewrite the assertions of every cell that this IPython runs from now on."""
    from IPython import get_ipython

    setattr(builtins, NAME, Recorder(os.environ.get("GLALIB_MARGINS")))
    get_ipython().ast_transformers.append(_Cells())


class _Cells(ast.NodeTransformer):
    """Explain, told which cell it is in."""

    def __init__(self):
        self.cells = -1  # the file that loads this counts as one

    def visit(self, node):
        self.cells += 1
        return Explain(f"{os.environ.get('GLALIB_PAGE', '')}, cell {self.cells}").visit(node)


def in_pytest():
    """Rewrite the assertions of test files too, before pytest does: it then sees calls, so only for margins."""
    from _pytest.assertion import rewrite

    recorder = Recorder(os.environ["GLALIB_MARGINS"])
    setattr(builtins, NAME, recorder)
    plain = rewrite.rewrite_asserts

    def both(tree, source, module_path=None, config=None):
        if module_path and os.path.basename(module_path).startswith("test_"):
            Explain(os.path.basename(module_path)).visit(tree)
            ast.fix_missing_locations(tree)
        return plain(tree, source, module_path, config)

    rewrite.rewrite_asserts = both
    # What was rewritten and kept before is no use.
    sys.dont_write_bytecode = True
    rewrite._read_pyc = lambda *args, **options: None
    close = np.testing.assert_allclose

    def assert_allclose(actual, desired, rtol=1e-7, atol=0, **options):
        frame = sys._getframe(1)
        recorder.where = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        try:
            gap, limit = _closeness(np.allclose, actual, desired, {"rtol": rtol, "atol": atol})
            recorder.margin("close", "assert_allclose", "", gap, limit, _ratio(gap, limit))
        except (TypeError, ValueError):
            pass
        return close(actual, desired, rtol=rtol, atol=atol, **options)

    np.testing.assert_allclose = assert_allclose


def worst(path):
    """Of every site in a log, the record that came nearest to its limit."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            site = record["where"], record["left"], record["right"]
            if site not in found or record["used"] > found[site]["used"]:
                found[site] = record
    return found


def report(paths, near=0.1, moves=0.1):
    """Lines for sites that used more than a tenth of their limit in some log, or whose use moves between logs."""
    sites = defaultdict(list)
    for path in paths:
        for site, record in worst(path).items():
            sites[site].append(record)
    for (where, left, right), records in sorted(sites.items()):
        used = [record["used"] for record in records]
        spread = max(used) - min(used)
        if max(used) > near or (spread > moves * (1 - max(used)) and len(records) > 1):
            top = max(records, key=lambda record: record["used"])
            yield (
                f"{where}  {left} {top['kind']} {right}: {top['value']:.4g} against {top['limit']:.4g}, "
                f"{max(used):.0%} used" + (f", from {min(used):.0%}" if len(records) > 1 else "")
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", metavar="FILE", help="logs written with GLALIB_MARGINS, one a processor")
    parser.add_argument("--near", type=float, default=0.1, help="share of its limit from which a site is listed (0.1)")
    args = parser.parse_args()
    for line in report(args.logs, args.near):
        print(line)


if __name__ == "__main__":
    main()

"""Assertions that print what they saw.

A cell of a chapter that fails says only `AssertionError`. `Explain` rewrites the `assert` statements of a syntax tree
so that every comparison on the way to the verdict goes through a recorder: on failure the message shows what it saw.
The kernels of tests and book load it (`freshness.use_own_kernel`); readers' own kernels run the plain statements.

It sees to `max` and `min` as well. Python's lose a NaN that is not the first: max(0.0, nan) is 0.0, and a check of the
largest error would then pass whatever the others are. In these kernels the NaN stays, and no comparison holds of it.

With GLALIB_MARGINS=FILE in the environment each comparison also writes a line to FILE, and tests are rewritten, too:
`margins` reads such files.
"""

import ast
import builtins
import os
import sys

import numpy as np

from book.recorder import Recorder

NAME = "__saw__"  # under which rewritten code finds the recorder
OPERATORS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
CLOSE = {"isclose", "allclose"}
QUANTIFIERS = {"all", "any"}
EXTREMES = {"max", "min"}


class Explain(ast.NodeTransformer):
    """`assert a < b and all(x < y for ...)` with every comparison recorded; its truth and its order are unchanged.

    And max and min, wherever they are called, that no NaN slips through.
    """

    def __init__(self, where=""):
        self.where = where

    def visit_Assert(self, node):
        where = ast.Constant(f"{self.where}:{node.lineno}")
        text = ast.unparse(node.test)
        test = self.visit(self.followed(node.test))
        message = [node.msg] if node.msg is not None else []
        begin = self.call("begin", where, ast.Constant(text))
        said = self.call("said", *message)
        new = ast.Assert(test=ast.BoolOp(ast.And(), [begin, test]), msg=said)
        return ast.fix_missing_locations(ast.copy_location(new, node))

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in EXTREMES:
            seen = self.call("extreme", node.func, *node.args)
            seen.keywords = node.keywords
            return ast.copy_location(seen, node)
        return node

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
            return self.call("compared", ast.Constant(OPERATORS[type(node.ops[0])]), *texts, left, right)
        if isinstance(node, ast.Compare) and all(type(op) in OPERATORS for op in node.ops):
            parts = [node.left, *node.comparators]
            symbols = ast.Tuple([ast.Constant(OPERATORS[type(op)]) for op in node.ops], ast.Load())
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
            recorder.closeness(np.allclose, actual, desired, {"rtol": rtol, "atol": atol}, name="assert_allclose")
        except (TypeError, ValueError):
            pass
        return close(actual, desired, rtol=rtol, atol=atol, **options)

    np.testing.assert_allclose = assert_allclose

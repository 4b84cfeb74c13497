"""What rewritten assertions call (see `asserts`): it sees every comparison, and tells what was false."""

import ast
import json
import operator

import numpy as np

SYMBOLS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class Recorder:
    """What rewritten assertions call: it returns the truth, keeps what was false, and logs margins."""

    def __init__(self, log=None):
        self.log, self.false, self.where, self.text = log, [], "", ""

    def begin(self, where, text):
        self.false, self.where, self.text = [], where, text
        return True

    @staticmethod
    def extreme(function, *values, **options):
        """max or min, or NaN where one of the numbers is."""
        if len(values) == 1:
            values = (list(values[0]),)
        found = function(*values, **options)
        several = values[0] if len(values) == 1 else values
        lost = (x for x in several if isinstance(x, (float, np.floating)) and x != x)
        return next(lost, found)

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
            gap, limit = self.closeness(function, a, b, options)
            if not _holds(verdict):
                self.false.append(
                    f"{function.__name__}: a largest difference of {gap:.4g}, tolerance {limit:.4g} there"
                )
            return verdict

        return recorded

    def closeness(self, function, a, b, options, name=None):
        """The difference that comes nearest to its tolerance (or passes it farthest), and that tolerance; noted."""
        gap, limit = _closeness(function, a, b, options)
        self.margin("close", name or function.__name__, "", gap, limit, _ratio(gap, limit))
        return gap, limit

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

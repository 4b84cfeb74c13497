"""The setting of the paper's figures: four panels, two independent tasks of n/2 examples, d = 10, no noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _check
from ..distribution import PromptDistribution

D = 10
# r of each panel. Panel (b) is certain; the others are recalled, and agree with all that the reviews say.
PANELS = {"a": (0.0, 1.0), "b": (0.2, 0.8), "c": (0.5, 0.5), "d": (0.8, 0.2)}


def panel_distribution(panel: str, n: int) -> PromptDistribution:
    """The prompts of a panel with n examples in all."""
    _check.option("panel", panel, tuple(PANELS))
    n = even("n", n)
    return PromptDistribution(D, (n // 2, n // 2), PANELS[panel])


def even(name: str, n: Any) -> int:
    """An even number of examples, as tasks of equal size ask for."""
    if _check.integer(name, n, 2, "an even integer >= 2") % 2:
        raise _check.fail(name, "an even integer >= 2", _check.short(n))
    return int(n)


def checked_panels(panels: Any) -> str:
    """Some of the letters abcd, each once, as a string."""
    expected = "some of the letters abcd, each once"
    if not isinstance(panels, str):
        raise TypeError(f"panels must be {expected}; got {_check.short(panels)}")
    if not panels or set(panels) - set(PANELS) or len(set(panels)) < len(panels):
        raise _check.fail("panels", expected, _check.short(panels))
    return panels


def checked_lengths(lengths: Sequence[int]) -> list[int]:
    """Even numbers of examples, each once."""
    if not isinstance(lengths, (list, tuple)):
        raise TypeError(f"lengths must be a list of even integers; got {_check.short(lengths)}")
    each = [even(f"lengths[{i}]", n) for i, n in enumerate(lengths)]
    if not each or len(set(each)) < len(each):
        raise _check.fail("lengths", "some even integers, each once", _check.short(lengths))
    return each

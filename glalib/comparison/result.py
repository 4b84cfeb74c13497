"""What `compare` finds, as a record: one table, one picture."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from .._check import Array
from .._records import Record, grid, plain
from ..probe import EffectiveWeights

Measured = tuple[float, float]  # a number and its standard error
SURE = 5  # standard errors below Bayes are no luck
ROUNDING = 1e-8  # of the risk of predicting zero


@dataclass(frozen=True, eq=False)
class Optimum(Record):
    """An optimum of theory: its risk by formula, the formula's standard error, and its weights (n,) if it has some.

    stderr is zero but for a Bayes risk that is a mean over drawn features. seen is the risk on the prompts of a
    comparison, with its standard error: where the risk is known it is that risk.
    """

    risk: float
    stderr: float
    omega: Array | None = None
    seen: Measured | None = None


@dataclass(frozen=True, eq=False)
class Compared(Record):
    """A layer beside the optima.

    risk and stderr; gaps, by the name of an optimum: how far the risk lies above its risk, and the standard error.
    weights are the effective weights, scaled to those of the optimum that they are nearest to, `nearest`; distances,
    by the name of an optimum, |omega / |omega| - omega' / |omega'||, from 0 to sqrt(2): the sign of omega is free.
    noise is about what sampling errors alone would make of a distance. None, and no distances, where no weights were
    estimated. no_weights is the reason why there are no weights to speak of, where there is one: the predictions are
    all the same, or no step explains them, or sampling errors are as large as the weights. Then there are no distances.
    """

    risk: float
    stderr: float
    gaps: dict[str, Measured]
    weights: EffectiveWeights | None
    distances: dict[str, float]
    nearest: str | None
    noise: float | None
    no_weights: str | None = None

    @classmethod
    def of(
        cls,
        risk: Measured,
        gaps: dict[str, Measured],
        weights: EffectiveWeights | None,
        optima: dict[str, Optimum],
        reason: str | None = None,
    ) -> Compared:
        """With distances to the optima, and the weights scaled to the nearest; or the reason why there are none."""
        if weights is None:
            return cls(*risk, gaps, None, {}, None, None, reason)
        noise = float(np.linalg.norm(weights.omega_stderr) / np.linalg.norm(weights.omega))
        if weights.explained < 2 * weights.explained_stderr:
            share = _with_error(weights.explained, weights.explained_stderr)
            return cls(*risk, gaps, weights, {}, None, noise, f"a weighted step explains {share} of its predictions")
        if noise >= 1:
            return cls(*risk, gaps, weights, {}, None, noise, f"sampling alone would put them off by {noise:.2g}")
        ideals = {name: optimum.omega for name, optimum in optima.items() if optimum.omega is not None}
        distances = {name: _distance(weights.omega, omega) for name, omega in ideals.items()}
        nearest = min(distances, key=lambda name: distances[name], default=None)
        if nearest is not None and weights.omega @ ideals[nearest] != 0:
            weights = weights.scaled_to(ideals[nearest])
        return cls(*risk, gaps, weights, distances, nearest, noise)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return plain(self) | {
            "gaps": {name: list(gap) for name, gap in self.gaps.items()},
            "weights": None if self.weights is None else self.weights.to_dict(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Layers beside the optima of theory, on the same prompts.

    layers and optima, by name; dist, the words for the distribution of the prompts; zero, the risk of predicting zero;
    draws, the number of prompts; exact, whether the optima's risks are those of their formulas on these prompts, which
    on a sampler of one's own nobody knows; repeats, whether the sampler draws the same prompts from the same state of
    its generator. `notes` says in words what the numbers alone do not.

    It shows itself as a table with a column for each layer, and `plot` makes a picture of it.
    """

    layers: dict[str, Compared]
    optima: dict[str, Optimum]
    dist: str
    zero: float
    draws: int
    exact: bool
    repeats: bool = True

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        layers = {name: layer.to_dict() for name, layer in self.layers.items()}
        optima = {name: optimum.to_dict() for name, optimum in self.optima.items()}
        return plain(self) | {"layers": layers, "optima": optima, "notes": self.notes}

    @property
    def notes(self) -> list[str]:
        """What to know before believing the table: layers below Bayes, those without weights, a careless sampler."""
        found = []
        for name, layer in self.layers.items():
            gap, stderr = layer.gaps.get("Bayes", (0.0, 0.0))
            if gap < -max(SURE * stderr, ROUNDING * self.zero):
                doubt = "do its tokens tell the query's label?"
                doubt += "" if self.exact else " or are these no prompts of the twin?"
                found.append(
                    f"{name!r} is below Bayes, as nothing can be, by more than {SURE} standard errors: {doubt}"
                )
            if layer.no_weights is not None:
                found.append(f"no weights of {name!r}: {layer.no_weights}")
        if not self.repeats:
            found.append(
                "the sampler draws other prompts from the same state of its generator: risks are of the same prompts, "
                "but the weights of each layer of its own, and the next record will be another"
            )
        return found

    def rows(self) -> list[list[str]]:
        """The table as words, row by row, the names of its columns first."""
        theory = (["theory"] if self.exact else ["theory", "seen"]) if self.optima else []
        head = ["", *theory, *self.layers]
        each, blank = list(self.layers.values()), [""] * len(theory)
        found = [head, ["risk", *blank, *(self._measured(c.risk, c.stderr) for c in each)]]
        for name, optimum in self.optima.items():
            known = [] if self.exact else [self._measured(optimum.risk, optimum.stderr)]
            known.append(self._measured(*(optimum.seen or (optimum.risk, optimum.stderr))))
            found.append([f"above {name}", *known, *(self._measured(*c.gaps[name], "+") for c in each)])
        if all(c.weights is None for c in each):
            return found
        probed = [c.weights for c in each]
        shares = ("none" if w is None else _with_error(w.explained, w.explained_stderr) for w in probed)
        found.append(["explained by a weighted step", *blank, *shares])
        for name in next((c.distances for c in each if c.distances), {}):
            apart = (f"{c.distances[name]:.3f}" if c.distances else "none" for c in each)
            found.append([f"weights off {name}", *blank, *apart])
        by_chance = ("none" if c.noise is None else f"{c.noise:.3f}" for c in each)
        return [*found, ["off by sampling alone", *blank, *by_chance]]

    def _measured(self, value: float, stderr: float, sign: str = "-") -> str:
        """A risk, or a difference of risks, to about a ten-thousandth of the risk of predicting zero."""
        size = int(np.floor(np.log10(self.zero))) if self.zero > 0 else 0
        if not -4 <= size <= 8:
            return _with_error(value, stderr, f"{sign}.5g", self.zero)
        digits = max(0, 4 - size)
        return _with_error(round(value, digits) + 0.0, stderr, f"{sign}.{digits}f", self.zero)  # never -0.0000

    def _title(self) -> str:
        law = self.dist if len(self.dist) <= 100 else f"{self.dist[:97]}..."
        return f"{self.draws} prompts of {law}; predicting zero has the risk {self.zero:.5g}"

    def __repr__(self) -> str:
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            row[0].ljust(widths[0]) + "".join("  " + v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True))
            for row in rows
        )
        return "\n".join([self._title(), *(line.rstrip() for line in lines), *self.notes])

    def _repr_html_(self) -> str:
        head, *body = self.rows()
        return grid(self._title(), head, body) + "".join(f"<p>{escape(note)}</p>" for note in self.notes)

    def plot(self) -> Any:
        """A figure of matplotlib's: left, all risks over that of predicting zero; right, weights against position.

        Optima are crosses on the left and lines on the right, layers the same marks in both. Bars are two standard
        errors. Effective weights are scaled to the optimum that they are nearest to. Without weights there is no
        right panel. `plotting.use_style` sets the style of the book.
        """
        import matplotlib.pyplot as plt

        plan: list[Any] = [["risks", "weights"], ["risks", "key"]]
        if all(c.weights is None for c in self.layers.values()):
            plan = [["risks"]]
        lines = sum(optimum.omega is not None for optimum in self.optima.values())
        height = max(2.3 + 0.25 * lines, 0.8 + 0.27 * (len(self.layers) + len(self.optima)))
        fig, axes = plt.subplot_mosaic(
            plan,
            figsize=(6.4, height),
            layout="constrained",
            height_ratios=(1, 1e-3 + 0.25 * lines / (height - 0.25 * lines))[: len(plan)],
        )
        _plot_risks(axes["risks"], self)
        if len(plan) > 1:
            _plot_weights(axes["weights"], self)
            axes["key"].axis("off")
            if lines:
                key, names = axes["weights"].get_legend_handles_labels()
                axes["key"].legend(
                    key[:lines], names[:lines], loc="center", handlelength=2.4, borderpad=0, labelspacing=0.3
                )
        return fig


def _with_error(value: float, stderr: float, form: str = ".3f", scale: float = 1.0) -> str:
    """A number, and its standard error unless that is rounding at this scale."""
    return f"{value:{form}}" + (f" +- {stderr:.1g}" if stderr > ROUNDING * scale else "")


def _distance(omega: Array, other: Array) -> float:
    """Of the directions, up to sign."""
    a, b = omega / np.linalg.norm(omega), other / np.linalg.norm(other)
    return float(min(np.linalg.norm(a - b), np.linalg.norm(a + b)))


def _plot_risks(ax: Any, found: Comparison) -> None:
    """A row each, by risk, from the largest down: the names beside it are those of the marks."""
    rows: list[tuple[str, Measured, int | None]] = []
    rows += [(name, optimum.seen or (optimum.risk, optimum.stderr), None) for name, optimum in found.optima.items()]
    rows += [(name, (c.risk, c.stderr), k) for k, (name, c) in enumerate(found.layers.items())]
    rows.sort(key=lambda row: -row[1][0])
    for place, (name, (risk, stderr), k) in enumerate(rows):
        style = {"color": _style(name)["color"], "marker": "x", "markersize": 7} if k is None else _mark(k)
        value, error = risk / found.zero, 2 * stderr / found.zero
        ax.errorbar(value, place, xerr=error, fmt="none", ecolor=style["color"], zorder=3)
        ax.plot([value], [place], linestyle="", label=name, zorder=3 if k is None else 4, **style)
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("risk / $M$")


def _plot_weights(ax: Any, found: Comparison) -> None:
    """Weights of each optimum as a line, of each layer as marks, by the place of the example in the prompt."""
    for name, optimum in found.optima.items():
        if optimum.omega is not None:
            ax.plot(np.arange(1, 1 + len(optimum.omega)), optimum.omega, label=name, **_style(name))
    for k, (name, layer) in enumerate(found.layers.items()):
        if layer.weights is not None and layer.no_weights is None:
            omega, error = layer.weights.omega, 2 * layer.weights.omega_stderr
            places = np.arange(1, 1 + len(omega))
            ax.errorbar(places, omega, yerr=error, fmt="none", ecolor=_mark(k)["color"], zorder=3)
            ax.plot(places, omega, linestyle="", label=name, zorder=4, **_mark(k))
    ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    ax.set(xlabel="position", ylabel="weight")


def _style(name: str) -> dict[str, Any]:
    """The line of an optimum."""
    from .. import plotting

    if name == "best weights":
        return plotting.STYLES["weighted optimum"]
    return plotting.STYLES.get(name, {"color": "0.45", "linestyle": "-.", "linewidth": 1.4})


def _mark(k: int) -> dict[str, Any]:
    """The marks of the k-th layer; their colours begin where those of the optima end."""
    from .. import plotting

    return {"color": plotting.TASKS[(k + 3) % 6], "marker": plotting.TASK_MARKERS[k % 6], "markersize": 5}

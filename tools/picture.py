"""Draw the picture of the front page and the README, assets/picture.svg, and that of previews, assets/card.png.

python -m tools.picture
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from glalib import PromptDistribution, optimal_wpgd, plotting

D = 10
LENGTHS = np.unique(2 * (np.geomspace(2, 400, 60) // 2).astype(int))


def risks(r, weights):
    return [optimal_wpgd(PromptDistribution(D, (n // 2, n // 2), r), weights).risk / D for n in LENGTHS]


def draw():
    """Left, prompts whose first task is useless; right, prompts whose better task comes first."""
    plotting.use_style()
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
    curve(left, (0, 1), "uniform", "linear attention", (400, 0.68, "no gate"))
    curve(left, (0, 1), "constant-gate", "constant gate", (400, 0.29, "the best\nconstant\ngate"))
    curve(left, (0, 1), "free", "weighted optimum", (2.2, 0.06, "the best weights\n= a gate\nat the change"))
    left.set(title="only the second task helps", ylabel="risk / $d$")
    curve(right, (0.8, 0.2), "uniform", "linear attention", (400, 0.62, "no gate =\none gate\na token"))
    right.plot(LENGTHS, risks((0.8, 0.2), "monotone"), color="white", linewidth=1.2)
    curve(
        right,
        (0.8, 0.2),
        "free",
        "weighted optimum",
        (2.2, 0.22, "the best weights\n= two channels,\neach with its gates"),
    )
    right.set(title="the first task helps more")
    for ax in (left, right):
        ax.set(xscale="log", xlabel="examples in the prompt", ylim=(0, 1), xticks=[2, 10, 100, 400])
        ax.set_xticks([], minor=True)
        ax.set_xticklabels(["2", "10", "100", "400"])
    return fig


def card():
    """The same below the title, in the size that previews of links have; they show no SVG."""
    fig = draw()
    fig.set(size_inches=(8, 4.2))
    fig.suptitle("Gating is Weighting: the companion", fontsize=17)
    return fig


def curve(ax, r, weights, style, name):
    """One curve, with its name beside it."""
    ax.plot(LENGTHS, risks(r, weights), **plotting.STYLES[style])
    x, y, text = name
    ax.text(x, y, text, color=plotting.STYLES[style]["color"], ha="left" if x < 100 else "right")


if __name__ == "__main__":
    assets = Path(__file__).resolve().parents[1] / "assets"
    draw().savefig(assets / "picture.svg", metadata={"Date": None}, transparent=False)
    card().savefig(assets / "card.png", metadata={"Software": None}, transparent=False, dpi=150)
    print(assets / "picture.svg", assets / "card.png")

"""Draw the picture of the front page and the README: assets/picture.svg.

python -m tools.picture
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from glalib import PromptDistribution, optimal_wpgd, plotting

CLASSES = {"linear attention": "uniform", "constant gate": "constant-gate", "weighted optimum": "free"}


def draw():
    plotting.use_style()
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.2))
    dist = PromptDistribution(d=10, counts=(50, 50), r=(0.2, 0.8))
    for name, weights in CLASSES.items():
        omega = optimal_wpgd(dist, weights).omega
        omega = omega if omega.size == dist.n else dist.expand(omega)
        left.plot(
            np.arange(1, dist.n + 1), omega / omega.max(), label=name, drawstyle="steps-mid", **plotting.STYLES[name]
        )
    left.axvline(50.5, color="0.5", linewidth=0.8)
    left.text(25, 1.06, "task 1, $r = 0.2$", ha="center", color="0.35")
    left.text(76, 1.06, "task 2, $r = 0.8$", ha="center", color="0.35")
    left.set(xlabel="example in the prompt", ylabel="weight", ylim=(0, 1.16))

    lengths = np.arange(4, 402, 4)
    for name, weights in CLASSES.items():
        risks = [optimal_wpgd(PromptDistribution(10, (n // 2, n // 2), (0.2, 0.8)), weights).risk / 10 for n in lengths]
        right.plot(lengths, risks, label=name, **plotting.STYLES[name])
    right.set(xlabel="length of the prompt", ylabel="risk / $d$", ylim=(0.25, 1))
    right.legend()
    return fig


if __name__ == "__main__":
    target = Path(__file__).resolve().parents[1] / "assets" / "picture.svg"
    draw().savefig(target, metadata={"Date": None}, transparent=False)
    print(target)

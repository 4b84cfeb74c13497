"""The authors' table and figures, trained again; and what that takes: sweeps, and how each number was made.

What every experiment uses:

    command     a command of `glalib reproduce`: its runs, its `--json` file, what it prints at its end
    sweep       many runs at a time, each kept as it ends; half a run is a checkpoint of `fit`
    bar         how far they are, and the time left, as a bar
    one_run     one run: trained, tried beside its line, and how that was done; what of a recipe may be changed
    provenance  code, versions and machine behind a number

The experiments; those that are commands have their names, with recipes, runs and summary, others are what these share:

    table       the authors' numbers, and their table trained again
    panels      the setting of the paper's figures: four panels, ten dimensions
    figure1     Figure 1
    depth       the figure on depth
    circuit     what of a trained layer reaches a prediction
    inside      what trained layers have learned, over settings and seeds
    live        small trained layers to try out on a page, with their weights
    below       layers whose gates read labels: how far below the line, and what they use
    starts      which runs arrive, over starts, step sizes and gate biases
    plateau     how long a layer waits before it learns, over dimensions
    architectures   layers of real architectures (`zoo`) and of this book, trained on one scale
    named       prompts whose query names its task, and their tokens, for one of its settings
    text        gates on text in four languages: the models trained
    messages    that text, which a package ships, and strips of it with boundaries
    characters  those models: language models of characters whose layers are gated linear attention
    crossing    gates, weights, influence and loss where one language gives way to another
    pretrained  what the gates of a Mamba do that others trained
    byte_mamba  that Mamba, which a package ships: its weights and steps
    byte_texts  texts of several kinds for it, and places in them
"""

from ..training.fingerprints import code_fingerprint, fingerprint
from .architectures import architectures, architectures_summary, train_architecture
from .below import below, below_summary, train_below
from .command import reproduce
from .depth import depth, depth_summary, start_stack, train_stack
from .figure1 import figure1, figure1_summary, train_point
from .inside import inside, inside_summary, train_inside
from .live import live, live_summary, train_live
from .panels import PANELS
from .plateau import train_plateau
from .pretrained import pretrained, pretrained_summary
from .provenance import load_average, processor, versions
from .starts import starts, starts_summary, train_starts
from .sweep import sweep
from .table import AUTHORS, EVALUATION, RECIPES, start, summary, table, train_cell
from .text import text, text_summary, train_text

__all__ = [
    "AUTHORS",
    "EVALUATION",
    "PANELS",
    "RECIPES",
    "architectures",
    "architectures_summary",
    "below",
    "below_summary",
    "code_fingerprint",
    "depth",
    "depth_summary",
    "figure1",
    "figure1_summary",
    "fingerprint",
    "inside",
    "inside_summary",
    "live",
    "live_summary",
    "load_average",
    "pretrained",
    "pretrained_summary",
    "processor",
    "reproduce",
    "start",
    "start_stack",
    "starts",
    "starts_summary",
    "summary",
    "sweep",
    "table",
    "text",
    "text_summary",
    "train_architecture",
    "train_below",
    "train_cell",
    "train_inside",
    "train_live",
    "train_plateau",
    "train_point",
    "train_stack",
    "train_starts",
    "train_text",
    "versions",
]

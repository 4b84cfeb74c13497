"""The authors' table and figures, trained again; and what that takes: sweeps, and how each number was made.

The rooms:

    sweep       many runs at a time, each kept as it ends; half a run is a checkpoint of `fit`
    bar         how far they are, and the time left, as a bar
    code        which code one kind of result depends on, and a short name for it
    provenance  code, versions and machine behind a number
    runs        one run: trained, tried beside its line, and how that was done
    table       the authors' numbers, and recipes, cells and summary of their table
    panels      the setting of the paper's figures: four panels, ten dimensions
    figure1     recipes, points and summary of Figure 1
    depth       recipes, stacks and summary of the figure on depth
    circuit     what of a trained layer reaches a prediction
    inside      what trained layers have learned, over settings and seeds
    live        small trained layers to try out on a page, with their weights
    below       layers whose gates read labels: how far below the line, and what they use
    starts      which runs arrive, over starts, step sizes and gate biases
    messages    text in four languages that a package ships, and strips of it with boundaries
    characters  a small language model of characters whose layers are gated linear attention
    crossing    gates, weights, influence and loss where one language gives way to another
    text        recipe, models and summary of gates on text
    plateau     how long a layer waits before it learns, over dimensions
    byte_mamba  a trained Mamba that a package ships: its weights and steps
    byte_texts  texts of several kinds for it, and places in them
    pretrained  what its gates do there
    architectures   layers of real architectures (`zoo`) and of this book, trained on one scale
    named       prompts whose query names its task, and their tokens
    command     what the commands of `glalib reproduce` do
"""

from ..training.fingerprints import fingerprint
from .architectures import architectures, architectures_summary, train_architecture
from .below import below, below_summary, train_below
from .code import code_fingerprint
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

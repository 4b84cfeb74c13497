"""Training a model on prompts: a `Recipe`, and `fit`.

The rooms:

    fitting     `Recipe` and `fit`: a step of Adam, the schedule, how fast gates learn, going on with a finished run
    objective   what a step of training makes small
    many        many copies of a small model trained together
    checkpoint  half a run, written down so that it can be gone on with
    fingerprints    short names for arrays, and for the code that a result depends on: how old runs are told
"""

from .. import _check

_check.torch_for(__name__)

from .fitting import NonFiniteLoss, Recipe, fit, orthogonal_start  # noqa: E402
from .many import fit_many  # noqa: E402

__all__ = ["NonFiniteLoss", "Recipe", "fit", "fit_many", "orthogonal_start"]

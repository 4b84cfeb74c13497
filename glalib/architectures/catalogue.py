"""What each layer of `forms` can set: how it forgets, writes and erases, and who of these reads the token.

One record a layer, as data: tables and pictures are made of it, and tests hold it to what the form does. What is said
of the time before the recurrence is by reading: convolutions, and how gates are made that a form is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Forgets = Literal["never", "at a fixed rate", "by its token"]
Writes = Literal["whole", "tied to the gate", "by a gate of its own"]
Side = Literal["none", "scalar", "key", "value"]


@dataclass(frozen=True)
class Layer:
    """A layer in use, with its function in `forms`.

    name        as its authors call it; cite: the entries of the bibliography
    form        the function in `forms`
    forgets     "never", "at a fixed rate" or "by its token": whether its forget gate reads data; gate: how it is made
    writes      "whole", "tied to the gate" or "by a gate of its own"; write: the factor of what is written
    erases      whether it takes off what it holds along a key, as a delta rule does
    side        what a gate acts on: "none", "scalar", "key" or "value"
    theorems    statements of the book that speak of it
    breaks      which of their hypotheses it does not keep
    over        what an output is divided by, "" if by nothing
    shift       what of the tokens before it a key or an output sees, beyond the state, "" if nothing
    floor       what its gate stays above at every token, "" if a token can shut it
    """

    name: str
    cite: tuple[str, ...]
    form: str
    forgets: Forgets
    gate: str
    writes: Writes
    write: str
    erases: bool
    side: Side
    theorems: tuple[str, ...]
    breaks: str
    over: str = ""
    shift: str = ""
    floor: str = ""

    @property
    def may_fall(self) -> bool:
        """Whether the weights of one key channel may fall from a token to the next, and as steeply as one likes.

        The weight of a token is what it writes, times what later gates leave of it. If all is written whole, it never
        falls; channels, states or heads of opposite sign may fall together all the same. Erasing counts as forgetting
        here, by as much as is written: so it ties the write to the gate.
        """
        return self.writes != "whole"


LAYERS = (
    Layer(
        "Linear attention",
        ("katharopoulos2020transformers",),
        "linear_attention",
        "never",
        "1",
        "whole",
        "1",
        False,
        "none",
        ("cor-linear-attention",),
        "Keys and queries of one sign, and a divisor, in the original.",
        over="$q^\\top m$, in the original",
    ),
    Layer(
        "RetNet",
        ("sun2023retentive",),
        "retnet",
        "at a fixed rate",
        "a constant of the head",
        "whole",
        "1",
        False,
        "scalar",
        ("prop-constant-gate", "prop-drift-constant"),
        "The rotation makes $P$ depend on age; heads are added.",
    ),
    Layer(
        "H3",
        ("fu2023hungry",),
        "h3",
        "at a fixed rate",
        "constants of each channel",
        "whole",
        "1",
        False,
        "key",
        ("prop-constant-gate", "prop-ceiling-heads", "prop-token-shift"),
        "Each state is a head with one key; they are added, with any signs.",
        shift="of the keys, a learned filter",
    ),
    Layer(
        "S4D",
        ("gu2022parameterization",),
        "s4d",
        "at a fixed rate",
        "$e^{\\Delta A}$, constants of each channel",
        "whole",
        "1",
        False,
        "key",
        ("prop-constant-gate", "prop-ceiling-heads"),
        "No query meets a key; what turns makes $P$ depend on age; states are added.",
    ),
    Layer(
        "RWKV-4",
        ("peng2023rwkv",),
        "rwkv4",
        "at a fixed rate",
        "$e^{-e^{w}}$, a constant of each channel",
        "by a gate of its own",
        "$e^{k}$",
        False,
        "scalar",
        ("thm-writes",),
        "No query meets a key, so there is no $P$: a mean of values.",
        over="the sum of the writes",
        shift="outputs see the state before the token, and the token by a bonus; inputs mix with the token before",
    ),
    Layer(
        "RWKV-5",
        ("peng2024eagle",),
        "rwkv5",
        "at a fixed rate",
        "$e^{-e^{w}}$, constants of each channel",
        "whole",
        "1",
        False,
        "key",
        ("prop-constant-gate", "prop-ceiling-heads", "prop-token-shift"),
        "Channels with other constants are added, with any signs.",
        shift="outputs see the state before the token, and the token by a bonus; inputs mix with the token before",
    ),
    Layer(
        "GLA",
        ("yang2024gated",),
        "gated_linear_attention",
        "by its token",
        "a sigmoid to the power $\\frac1{16}$",
        "whole",
        "1",
        False,
        "key",
        ("thm-vector-gate", "prop-key-side-reversal", "prop-ceiling-heads"),
        "Gates read the token.",
    ),
    Layer(
        "RWKV-6",
        ("peng2024eagle",),
        "rwkv6",
        "by its token",
        "$e^{-e^{w}}$",
        "whole",
        "1",
        False,
        "key",
        ("thm-vector-gate", "prop-key-side-reversal", "prop-token-shift"),
        "Gates read the token; the query's own does not count.",
        shift="outputs see the state before the token, and the token by a bonus; inputs mix with the token before",
    ),
    Layer(
        "HGRN-2",
        ("qin2024hgrn2",),
        "hgrn2",
        "by its token",
        "a sigmoid above a floor",
        "tied to the gate",
        "$1 - g$",
        False,
        "key",
        ("prop-ties",),
        "Gates read the token; keys are $1 - g$, and show no features.",
        floor="one that it learns",
    ),
    Layer(
        "Mamba",
        ("gu2024mamba",),
        "mamba",
        "by its token",
        "$e^{\\Delta A}$, a rate for each state",
        "tied to the gate",
        "$\\Delta$",
        False,
        "key",
        ("thm-writes", "prop-ties", "prop-token-shift"),
        "Gates read the token; states share a step; values are convolved too.",
        shift="a short convolution before it",
    ),
    Layer(
        "Mamba-2",
        ("dao2024transformers",),
        "mamba2",
        "by its token",
        "$e^{\\Delta A}$",
        "tied to the gate",
        "$\\Delta$",
        False,
        "scalar",
        ("thm-writes", "prop-ties", "thm-heads"),
        "Gates read the token; heads share keys; values are convolved too.",
        shift="a short convolution before it",
    ),
    Layer(
        "RG-LRU",
        ("de2024griffin",),
        "rg_lru",
        "by its token",
        "$e^{-8 \\ln(1 + e^{\\Lambda})\\, r}$",
        "by a gate of its own",
        "$\\sqrt{1 - g^2}$ times an input gate",
        False,
        "value",
        ("prop-ties",),
        "Gates read the token; no query meets a key: a sum of inputs.",
        shift="a short convolution before it",
    ),
    Layer(
        "mLSTM",
        ("beck2024xlstm",),
        "mlstm",
        "by its token",
        "a sigmoid",
        "by a gate of its own",
        "$e^{i}$",
        False,
        "scalar",
        ("thm-writes", "prop-normaliser"),
        "Gates read the token; with its divisor it is no weighted step.",
        over="$\\max(\\lvert q^\\top m \\rvert, 1)$",
        shift="a short convolution before it, in the original",
    ),
    Layer(
        "DeltaNet",
        ("schlag2021linear", "yang2024parallelizing"),
        "deltanet",
        "never",
        "1",
        "by a gate of its own",
        "$\\beta$",
        True,
        "none",
        ("thm-delta-risk", "thm-delta-unit", "thm-delta-order"),
        "Steps read the token; keys are not linear in it.",
        shift="a short convolution before it, in the later work",
    ),
    Layer(
        "Gated DeltaNet",
        ("yang2025gated",),
        "gated_deltanet",
        "by its token",
        "$e^{\\Delta A}$",
        "by a gate of its own",
        "$\\beta$",
        True,
        "scalar",
        ("thm-delta-risk", "thm-delta-unit", "thm-delta-switch"),
        "Gates and steps read the token.",
        shift="a short convolution before it",
    ),
    Layer(
        "KDA",
        ("kimi2025linear",),
        "kda",
        "by its token",
        "$e^{\\Delta A}$, for each channel",
        "by a gate of its own",
        "$\\beta$",
        True,
        "key",
        ("thm-delta-risk",),
        "Gates and steps read the token; decays differ by channel.",
        shift="a short convolution before it",
    ),
    Layer(
        "RWKV-7",
        ("peng2025rwkv7",),
        "rwkv7",
        "by its token",
        "$e^{-e^{-1/2} s}$, with a sigmoid $s$: above $\\frac12$",
        "by a gate of its own",
        "in its key, part of it tied to what is erased",
        True,
        "key",
        (),
        "Gates and steps read the token; three vectors: read, erase, write.",
        shift="inputs mix with the token before; outputs have a bonus of the token, outside the recurrence",
        floor="$\\frac12$",
    ),
)

"""Is the minimiser unique? Conditions that say so from two spectra (Theorem 3, Theorems A and B'). No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._records import Record
from .distribution import PromptDistribution
from .risk import check_distribution
from .spectra import EPS, GRADED, is_diagonal


@dataclass(frozen=True)
class Uniqueness(Record):
    """What is known of the uniqueness of the minimiser, up to scale: gap_Sigma, gap_R, rank, bounds and verdicts.

    The fields are explained in `uniqueness`.
    """

    gap_Sigma: float
    gap_R: float
    bound_paper: float
    bound_sharp: float
    rank: int
    bound_rank: float
    holds_paper: bool
    holds_sharp: bool


def uniqueness(dist: PromptDistribution) -> Uniqueness:
    """Is the minimiser unique up to scale? The paper's sufficient condition, and this book's (Theorems A and B').

    - gap_Sigma, gap_R: effective spectral gaps, largest minus smallest non-zero eigenvalue (Definition 3).
    - holds_paper: gap_Sigma gap_R < bound_paper = M + s_min (Theorem 3), for the eigenvalues as found.
    - rank: how many eigenvalues of Sigma count; zeros do not, nor do others far too small to make a second minimum.
      Where rounding hides how small they are, as in a dense Sx, they are taken as large as it allows. If some that
      were found to be zero count then, the gaps do not make holds_sharp true.
    - holds_sharp: gap_Sigma gap_R < bound_sharp = (8/M)(M + Lambda_- s_+)(M + Lambda_+ s_-) (Theorem A),
      or rank <= bound_rank = 5 + 4 (1 + lambda_-) tr(Sigma) / M (Theorem B'; lambda_- is taken as 0 if R is singular).

    Both conditions are sufficient; neither is necessary. At r = 0 the minimisers are many, P = 0 or omega = 0 with the
    other anything, so that neither holds.
    """
    check_distribution(dist)
    s, lam = (values[values > 0] for values in (dist.signal_spectrum[0], dist.task_spectrum[0]))
    M, s_min, s_max, Lam_min, Lam_max = map(float, (dist.M, s.min(), s.max(), 1 + lam.min(), 1 + lam.max()))
    hidden = _hidden(dist)
    gap_Sigma, gap_R = s_max - s_min, Lam_max - Lam_min
    bound_paper = M + s_min
    bound_sharp = 8 / M * (M + Lam_min * s_max) * (M + Lam_max * max(s_min - hidden, 0.0))
    rank, bound_rank = _rank(dist, Lam_max, hidden), _bound_rank(dist, hidden)
    relevant = bool(dist.r.any())
    holds_paper = relevant and gap_Sigma * gap_R < bound_paper
    # Gaps leave out the zeros: they say nothing where some of these may be eigenvalues that count.
    by_gaps = rank <= len(s) and gap_Sigma * gap_R < bound_sharp
    holds_sharp = relevant and (by_gaps or rank <= bound_rank)
    return Uniqueness(gap_Sigma, gap_R, bound_paper, bound_sharp, rank, bound_rank, holds_paper, holds_sharp)


def _hidden(dist: PromptDistribution) -> float:
    """What rounding may take from an eigenvalue of Sigma: d eps of its scale, found and cut, in Sx and in C."""
    if is_diagonal(dist.Sx) and is_diagonal(dist.C):
        return 0.0
    return 4 * dist.d * EPS * float(np.linalg.norm(dist.Sx, 1) * np.linalg.norm(dist.C, 1))


def _rank(dist: PromptDistribution, Lam_max: float, hidden: float) -> int:
    """How many eigenvalues of Sigma count in Theorem B': all but the smallest, as long as their terms

        z + 48 Lambda_+ z^2,   z = Lambda_+ s / M,

    add up to 1/20 at most, its proof's margin.
    """
    z = Lam_max * (np.sort(dist.signal_spectrum[0]) + hidden) / dist.M
    return dist.d - int(np.count_nonzero(np.cumsum(z + 48 * Lam_max * z**2)[:-1] <= 1 / 20))


def _bound_rank(dist: PromptDistribution, hidden: float) -> float:
    """5 + 4 (1 + lambda_-) tr(Sigma) / M, down by what rounding may have added: a rank just above it is not safe."""
    lam, signal = float(dist.task_spectrum[0].min()), 1.0
    if lam > 0 and not is_diagonal(dist.R):
        # Relative errors: of the eigenvalues of R by their spread, of those of D R D by that of the counts besides.
        values = dist._spectrum_R[0]
        spread, sizes = values.max() / values.min(), min((max(dist.counts) / min(dist.counts)) ** 0.5, GRADED)
        lam *= max(0.0, 1 - 4 * dist.K * EPS * float(spread + sizes * spread**0.5))
    if dist.sigma != 0:
        trace = max(float(dist.signal_spectrum[0].sum()) - dist.d * hidden, 0.0)
        signal = (1 - 1e-12) * trace / (dist.sigma**2 + trace)
    return float(5 + 4 * (1 + lam) * signal)

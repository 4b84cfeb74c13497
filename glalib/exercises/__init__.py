"""`glalib.check`: the exercises of the book grade an answer.

The rooms:

    grade       `check` itself: finds the exercise by its name, and reads texts, arrays or functions as numbers
    verdicts    what is then said of the numbers: right, or what is wrong with them

`answers` has a file a page, with what is right and what usual slips lead to; `python -m book.answers` computes them.
"""

from .grade import Verdict, check

__all__ = ["Verdict", "check"]

"""How far a run is, said to whoever started it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class Said(threading.local):
    """How far the run of this thread is, written to a file at most twice a second."""

    note: str | None = None
    last = 0.0

    @contextlib.contextmanager
    def to(self, note: str | None) -> Iterator[None]:
        """While this lasts, `step` writes to that file; None: nowhere."""
        self.note = note
        try:
            yield
        finally:
            self.note = None

    def step(self, done: int, steps: int) -> None:
        if self.note is not None and time.monotonic() > self.last + 0.5:
            self.last = time.monotonic()
            with contextlib.suppress(OSError):  # the sweep may be over
                Path(self.note).write_text(repr(done / steps))


said = Said()

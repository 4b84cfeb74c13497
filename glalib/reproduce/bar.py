"""One bar for many runs."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm


class Bar(tqdm):  # type: ignore[misc]
    """A bar that says what is left by the pace since its first step: processes may take long to begin."""

    began: tuple[float, float] | None = None  # a clock, and how far the bar was then

    def move(self, n: float) -> None:
        """To n, and show it."""
        if self.began is None and n > self.first:  # a whole run at once: it told no steps
            self.began = (time.monotonic(), n) if n < self.first + 1 else (self.made, self.first)
        self.n = n
        self.refresh()

    def __init__(self, initial: int = 0, **options: Any) -> None:
        self.made, self.first = time.monotonic(), initial  # a bar that is not shown has no `initial`
        super().__init__(initial=initial, **options)

    @property
    def format_dict(self) -> Any:
        return {**super().format_dict, "left": self.left()}

    def left(self) -> str:
        if self.began is None:
            return "beginning"
        seconds, moved = time.monotonic() - self.began[0], self.n - self.began[1]
        return f"about {self.format_interval(seconds / moved * (self.total - self.n)) if moved > 0 else '?'} left"


class Progress:
    """A progress bar of finished runs and of the shares of those that are not, read from the files of `Said`."""

    def __init__(self, total: int, finished: int, shown: bool) -> None:
        self.shares: dict[int, float] = {}
        self.finished = finished
        self.done: set[int] = set()
        self.over = threading.Event()
        form = "{desc}{percentage:3.0f}%|{bar}| {n:.2f} of {total} runs [{elapsed}, {left}]"
        self.bar = Bar(total=total, initial=finished, disable=not shown, bar_format=form)

    def __enter__(self) -> Progress:
        self.folder = tempfile.TemporaryDirectory(prefix="glalib-", ignore_cleanup_errors=True)
        self.notes = self.folder.name
        self.thread = threading.Thread(target=self.look, daemon=True)
        if not self.bar.disable:
            self.thread.start()
        return self

    def look(self) -> None:
        while not self.over.wait(0.5):
            for note in Path(self.notes).iterdir():
                with contextlib.suppress(ValueError, OSError):  # just being written
                    self.shares[int(note.name)] = float(note.read_text())
            self.show()

    def show(self) -> None:
        self.bar.move(self.finished + sum(share for i, share in list(self.shares.items()) if i not in self.done))

    def finish(self, i: int, runs: int) -> None:
        """Run i is over, and with it as many runs."""
        self.done.add(i)
        self.finished += runs
        self.show()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join()
        self.bar.close()
        self.folder.cleanup()

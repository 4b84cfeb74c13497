"""One bar for many runs."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from pathlib import Path

from tqdm import tqdm


class Progress:
    """A progress bar of finished runs and of the shares of those that are not, read from the files of `Said`."""

    def __init__(self, total: int, finished: int, shown: bool) -> None:
        self.shares: dict[int, float] = {}
        self.finished = finished
        self.done: set[int] = set()
        self.over = threading.Event()
        form = "{desc}{percentage:3.0f}%|{bar}| {n:.2f} of {total} runs [{elapsed}, about {remaining} left]"
        self.bar = tqdm(total=total, initial=finished, disable=not shown, bar_format=form)

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
        self.bar.n = self.finished + sum(share for i, share in list(self.shares.items()) if i not in self.done)
        self.bar.refresh()

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

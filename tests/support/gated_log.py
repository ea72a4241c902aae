"""A handler of the standard logging that waits, as one that sends lines over the network may."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any


class Gated(logging.Handler):
    """Writes into `gated.log` of a folder, as soon as there is a file `gate` beside it; makes `waits` before that."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = Path(folder)

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        (self._folder / "waits").touch()
        while not (self._folder / "gate").exists():
            time.sleep(0.01)
        with (self._folder / "gated.log").open("a") as log:
            log.write(f"{line}\n")


def gate(worker: Any) -> None:
    """A `post_worker_init`: the lines of this worker's error log have to wait, those of the arbiter's don't."""
    worker.log.addHandler(Gated(os.environ["GATE"]))

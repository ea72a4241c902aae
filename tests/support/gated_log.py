"""A handler of the standard logging that waits, as one that sends lines over the network may."""

from __future__ import annotations

import logging
import time
from pathlib import Path


class Gated(logging.Handler):
    """Writes into `gated.log` of a folder, as soon as there is a file `gate` beside it."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = Path(folder)

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        while not (self._folder / "gate").exists():
            time.sleep(0.01)
        with (self._folder / "gated.log").open("a") as log:
            log.write(f"{line}\n")

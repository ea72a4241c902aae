"""A module that somebody imports at the first request; it notes in the file that $IMPORTS names who that was."""

from __future__ import annotations

import os
from pathlib import Path

PID = os.getpid()

with Path(os.environ["IMPORTS"]).open("a", encoding="ascii") as file:
    file.write(f"{PID}\n")

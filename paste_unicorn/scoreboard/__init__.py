"""What each process may know of all others: one shared memory file, written without locks, each part by one process.

No process, socket, clock or log is touched here: times come in as `time.monotonic()` seconds. Open `board.py` first:
the file, and the slots in which workers say what they are doing. `uploads.py` are its pages of uploads on their way in.
"""

from .board import (
    ANSWERED_BEFORE_RETIRING,
    APPLICATION_ERRORS,
    BYTES_IN,
    BYTES_OUT,
    CELLS,
    CONNECTIONS,
    HANDED_OFF,
    MEMORY,
    REFUSED,
    SLOTS,
    TAKEN_OVER,
    UNCELLED,
    CellReading,
    Scoreboard,
    ScoreboardError,
    SlotReading,
    SlotWriter,
    State,
)

__all__ = [
    "ANSWERED_BEFORE_RETIRING",
    "APPLICATION_ERRORS",
    "BYTES_IN",
    "BYTES_OUT",
    "CELLS",
    "CONNECTIONS",
    "HANDED_OFF",
    "MEMORY",
    "REFUSED",
    "SLOTS",
    "TAKEN_OVER",
    "UNCELLED",
    "CellReading",
    "Scoreboard",
    "ScoreboardError",
    "SlotReading",
    "SlotWriter",
    "State",
]

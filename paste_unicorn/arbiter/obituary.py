"""What a worker leaves behind when it ends: the requests that it was running, and its share in the next summary line.

Nobody else can tell any more: it is all read from the worker's row of the scoreboard, which outlives it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..ops.access_log import Served
from ..ops.escaping import escaped
from ..scoreboard import CellReading, Scoreboard, SlotReading

if TYPE_CHECKING:
    from ..ops.logs import Logs


class Obituaries:
    """Owned by the arbiter's main thread."""

    def __init__(self, scoreboard: Scoreboard, logs: Callable[[], Logs]) -> None:
        self._scoreboard = scoreboard
        self._logs = logs  # those that are in force
        self._overdue: set[int] = set()  # pids of workers whose requests were reported before they are killed
        self._finished = self._handed_off = self._lost = 0  # since the last summary

    def report_running(self, slot: int, pid: int) -> None:
        """Log what the worker is doing, before it is killed for it."""
        reading = self._scoreboard.read(slot)
        if reading.pid != pid:
            return
        self._overdue.add(pid)
        for cell in reading.running:
            self._logs().error.error("Worker %d (pid %d) is running %s", slot, pid, _describe(cell))

    def write(self, slot: int, pid: int) -> None:
        """The worker has been reaped: log what it did not finish, count what it did, and clear its row."""
        reading = self._scoreboard.read(slot)
        if reading.pid != pid:
            return
        counters = reading.counters
        self._finished += reading.requests - counters.get("answered_before_retiring", 0)
        self._handed_off += counters.get("handed_off", 0)
        self._lost += len(reading.running)
        self._report_lost(slot, reading)
        self._scoreboard.clear(slot)

    def summary(self) -> str:
        """What workers did between being told to go and their end, since the last call."""
        said = f"{self._handed_off} connections handed off, {self._finished} requests finished, {self._lost} lost"
        self._finished = self._handed_off = self._lost = 0
        return said

    def _report_lost(self, slot: int, reading: SlotReading) -> None:
        how = "aborted" if self._scoreboard.stopping else "worker-died"
        if reading.pid in self._overdue:
            self._overdue.discard(reading.pid)
            how = "timeout"
        logs = self._logs()
        for cell in reading.running:
            if how == "worker-died":
                logs.error.error("Worker %d (pid %d) ended within %s", slot, reading.pid, _describe(cell))
            if logs.access is not None:
                logs.access.write(_unanswered(cell, reading, how))


def _describe(cell: CellReading) -> str:
    seconds = time.monotonic() - cell.started
    peer = f", for {cell.peer}" if cell.peer else ""
    return f'"{escaped(cell.request_line)}" since {seconds:.1f} s{peer}'


def _unanswered(cell: CellReading, reading: SlotReading, how: str) -> Served:
    return Served(
        peer=cell.peer,
        request_line=cell.request_line,
        environ=None,
        fields=(),
        status=0,
        status_text="",
        response_fields=[],
        body_bytes=0,
        duration_s=time.monotonic() - cell.started,
        wall_time=time.time(),
        pid=reading.pid,
        generation=reading.generation,
        how=how,
    )

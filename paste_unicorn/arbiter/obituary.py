"""What a worker leaves behind when it ends: the requests that it was running, and its share in the next summary line.

Nobody else can tell any more: it is all read from the worker's row of the scoreboard, which outlives it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..ops.last_words import last_words, out_of_memory, requests, unanswered
from ..ops.oom import count_kills
from ..scoreboard import Scoreboard, SlotReading, State

if TYPE_CHECKING:
    from ..ops.logs import Logs
    from .actions import ClearSlot


class Obituaries:
    """Owned by the arbiter's main thread."""

    def __init__(self, scoreboard: Scoreboard, logs: Callable[[], Logs]) -> None:
        self._scoreboard = scoreboard
        self._logs = logs  # those that are in force
        self._overdue: set[int] = set()  # pids of workers whose requests were reported before they are killed
        self._finished = self._handed_off = self._lost = 0  # since the last summary
        self._oom_kills = count_kills()  # that were told, or happened before

    def report_running(self, slot: int, pid: int) -> None:
        """Log what the worker is doing, before it is killed for it."""
        reading = self._scoreboard.read(slot)
        if reading.pid != pid:
            return
        self._overdue.add(pid)
        for request in requests(reading, time.monotonic()):
            self._logs().error.error("Worker %d (pid %d) is running %s", slot, pid, request)

    def write(self, ended: ClearSlot) -> None:
        """The worker has been reaped: log what it did not finish, count what it did, and clear its row."""
        reading = self._scoreboard.read(ended.slot)
        if reading.pid != ended.pid:
            return
        if ended.report:
            self._report(ended, reading)
        if ended.told_to_go:
            counters = reading.counters
            if reading.state >= State.RETIRING:  # else it was killed before it knew
                self._finished += reading.requests - counters["answered_before_retiring"]
            self._handed_off += counters["handed_off"]
            self._lost += len(reading.running) + reading.counters["uncelled"]
        self._log_unanswered(reading, "aborted" if self._scoreboard.stopping and not ended.report else "worker-died")
        self._scoreboard.clear(ended.slot)

    def summary(self) -> str:
        """What workers did between being told to go and their end, since the last call."""
        said = f"{self._handed_off} connections handed off, {self._finished} requests finished, {self._lost} lost"
        self._finished = self._handed_off = self._lost = 0
        return said

    def _report(self, ended: ClearSlot, reading: SlotReading) -> None:
        """That it ended has been said; this is what it was doing."""
        hint = self._oom_hint() if ended.killed_by == "SIGKILL" else ""
        for sentence in last_words(reading, ended.killed_by, time.monotonic(), hint):
            self._logs().error.error("Worker %d (pid %d) %s", ended.slot, ended.pid, sentence)

    def _oom_hint(self) -> str:
        before, now = self._oom_kills, count_kills()
        self._oom_kills = now
        if before is None or now is None or now.killed <= before.killed:
            return ""
        return out_of_memory(now.killed - before.killed, now)

    def _log_unanswered(self, reading: SlotReading, how: str) -> None:
        if reading.pid in self._overdue:
            self._overdue.discard(reading.pid)
            how = "timeout"
        access = self._logs().access
        if access is None:
            return
        for cell in reading.running:
            access.write(unanswered(cell, reading, how, time.monotonic(), time.time()))

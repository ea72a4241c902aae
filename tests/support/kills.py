"""What a SIGKILL may cost: the request under way in the killed worker, and the first one on each connection it held.

A client that sends on a kept connection whose worker died a moment ago sees a failure that nobody can prevent. All
others are faults of the server, and so is a client that waits for the end of its connection.

A busy worker may hold several connections on which the first request has been sent, so it is looked what it holds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from support.processes import send_signal, standing_still
from support.traffic import Event, Report


class Kill(NamedTuple):
    """A process that we killed."""

    pid: int
    at: float  # monotonic
    held: frozenset[int]  # ports of clients whose connections it had accepted


class Cost(NamedTuple):
    """What the kills of a run cost."""

    under_way: int  # requests of connections that the killed worker held, and had not answered on
    held: int  # kept connections that a killed worker held
    unexplained: list[str]  # what no kill accounts for
    slowest_end_s: float  # between a kill and the moment when a client of that worker saw it


def kill(pid: int) -> Kill:
    """SIGKILL; the moment is that before the signal, so that nothing that it causes comes earlier.

    The process may have just ended by itself.
    """
    with standing_still([pid]):
        held = _held_by(pid)
        at = time.monotonic()
        send_signal(pid, signal.SIGKILL)
    return Kill(pid, at, held)


def _held_by(pid: int) -> frozenset[int]:
    """Remote ports of its connections on IPv4 (`man 5 proc`, /proc/net/tcp)."""
    sockets = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            sockets.add(os.readlink(path))
    with open("/proc/net/tcp") as table:
        next(table)
        rows = [line.split() for line in table]
    return frozenset(int(row[2].partition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in sockets)


def cost_of(report: Report, kills: Iterable[Kill], within_s: float) -> Cost:
    """Hold every event against the kills. `within_s`: so soon a client must see the end.

    The application's answers end in the pid of the process that gave them, so the last answer on a connection says
    whose it is, unless that one was busy and has passed it on since: who held it then is known by its port.
    """
    kills = list(kills)
    killed = {str(one.pid): one.at for one in kills}
    under_way = held = 0
    unexplained: list[str] = []
    slowest_s = 0.0
    for name, counts in report.loads.items():
        for event in counts.events:
            at = killed.get(event.body.rpartition(" ")[2])
            if at is None:
                at = _kill_under_a_request(event, kills, within_s)
                under_way += at is not None
            else:
                held += 1
            if at is None or not at <= event.at <= at + within_s:
                unexplained.append(f"{name}: {event}")
            else:
                slowest_s = max(slowest_s, event.at - at)
    return Cost(under_way, held, unexplained, slowest_s)


def _kill_under_a_request(event: Event, kills: Iterable[Kill], within_s: float) -> float | None:
    """The kill of who held a connection while a request on it was under way; a later one would be no excuse."""
    if not event.what.startswith("failed"):
        return None
    struck = (one.at for one in kills if event.port in one.held)
    return next((at for at in struck if event.began <= at <= event.at <= at + within_s), None)

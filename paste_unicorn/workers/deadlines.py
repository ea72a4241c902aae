"""What must have happened by when on a connection, and what follows if it has not.

Deadlines are kept in the connections and looked through a few times a second: with thousands of connections that
costs less than any ordered structure would cost each request.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from .connection import BODY, DRAINING, HEAD, IDLE, LINGERING, RUNNING, WRITING, Connection, Phase

NEVER = float("inf")  # as a deadline
SCAN_INTERVAL_S = 0.25
LINGER_S = 2.0  # how long we go on reading, and throwing away, for a client that has its answer and sends nothing more
FIRST_PIECE_S = 0.5  # how long a body that will be streamed may keep the application waiting for its first bytes


@dataclass(frozen=True)
class Deadlines:
    """How long each phase may take, in seconds."""

    header_s: float  # the whole of a request head, from the connect or its first byte
    keepalive_s: float  # the pause between two requests
    body_s: float  # between two arrivals of a body's bytes
    send_s: float  # between two moments in which the client takes some of the answer

    def start(self, connection: Connection, phase: Phase, now: float) -> None:
        """The connection enters `phase`, or has made progress in it."""
        connection.phase = phase
        connection.since = now
        connection.deadline = now + self._durations_s[phase]

    @cached_property
    def _durations_s(self) -> dict[Phase, float]:
        return {
            HEAD: self.header_s,
            IDLE: self.keepalive_s,
            BODY: self.body_s,
            RUNNING: NEVER,
            WRITING: self.send_s,
            DRAINING: self.body_s,
            LINGERING: LINGER_S,  # at first: `lingering.py` goes on from there
        }


def overdue(connections: Iterable[Connection], now: float) -> list[Connection]:
    """Those whose phase should have been over by now."""
    return [connection for connection in connections if connection.deadline <= now]


def waiting_longest(connections: Iterable[Connection], phase: Phase, before: float, most: int) -> list[Connection]:
    """Those that have waited in this phase since `before` or earlier, for a request that is not there yet; the one that
    has waited longest first.
    """
    waiting = (
        one for one in connections
        if one.phase is phase and one.since <= before and (phase is HEAD or not one.buffer)
    )  # fmt: skip
    return heapq.nsmallest(most, waiting, key=lambda one: one.since)

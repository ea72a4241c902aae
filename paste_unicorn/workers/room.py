"""Who gives way where a worker has all the connections that it may have (`worker_connections`), and somebody waits.

First the head that has been unfinished longest, if one is slow. Then who has been idle longest (RFC 9112 §9.5: an idle
connection may be closed at any time), but only where no sibling has room: else whoever waits is left to that one. Who
has just been answered, or has sent something, stays.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .connection import HEAD, IDLE, Connection
from .deadlines import waiting_longest
from .listening import is_readable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..scoreboard import Scoreboard
    from .clients import Clients
    from .handoff import Handoff
    from .leaving import Leaving
    from .listening import Listening

monotonic = time.monotonic

SLOW_HEAD_S = 0.5  # a head younger than this is not called slow when room is needed
LONG_IDLE_S = 1.0  # who was answered a moment ago may be about to ask again
SILENCE_S = 1.0  # no worker has said for so long that it has room: none has, or is able to give it
SPARE = 64  # places beyond that many connections, for those who are turned away
_LOOKED_AT = 16  # where so many in a row have sent something that was not read yet, it is their turn first


class Room:
    """Owned by whoever holds the worker's lock."""

    def __init__(
        self,
        most: int,
        clients: Clients,
        listening: Listening,
        handoff: Handoff,
        leaving: Leaving,
        scoreboard: Scoreboard,
    ) -> None:
        self._most = most
        self._by_fd = clients.by_fd
        self._listening = listening
        self._handoff = handoff
        self._leaving = leaving
        self._scoreboard = scoreboard
        scoreboard.room_at = monotonic()  # siblings know before this worker is called ready, and they are told to go

    def is_taken(self) -> bool:
        """Whether this worker has all the connections that it may have."""
        return len(self._by_fd) >= self._most

    def is_crowded(self) -> bool:
        """Whether it has no place left even for those who are only to be told that they have waited for too long."""
        return len(self._by_fd) >= self._most + SPARE

    def is_exceeded(self) -> bool:
        """Whether it has one more."""
        return len(self._by_fd) > self._most

    def is_scarce(self) -> bool:
        """Whether no worker has any. Asked when it matters: a new generation may just have come, with all of its."""
        return monotonic() - self._scoreboard.room_at >= SILENCE_S

    def tell(self, now: float) -> None:
        """A few times a second, before listeners and pair are watched again.

        Who has room, and watches both, has taken what it was woken for. Who does not watch them was full, and may be
        again in a moment, by what waits.
        """
        if not self.is_taken() and self._listening.watching and self._handoff.watching:
            self._scoreboard.room_at = now

    def least_wanted(self, now: float, running: Connection | None) -> Connection | None:
        """Who goes, if anybody does; never the one whose application runs, whatever its phase says.

        While the server stops, also one that has just become idle: it is about to be closed anyway.
        """
        others = [one for one in self._by_fd.values() if one is not running]
        slow = _silent(waiting_longest(others, HEAD, now - SLOW_HEAD_S, _LOOKED_AT))
        draining = self._leaving.draining
        if slow is not None or not (draining or self.is_scarce()):
            return slow
        return _silent(waiting_longest(others, IDLE, now if draining else now - LONG_IDLE_S, _LOOKED_AT))


def _silent(connections: Iterable[Connection]) -> Connection | None:
    """The first one of which nothing more has arrived, unless that is its end."""
    return next((one for one in connections if not is_readable(one.fd) or one.has_ended()), None)

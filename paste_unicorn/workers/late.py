"""Those in the queues that workers share are told when they have waited for too long (`queue_timeout`), too.

Who waits in a listener's queue, or has been passed on and was not taken, belongs to whoever comes free first: a worker
that is closed, since it has no thread or no room for another one, takes nothing from there before its time is up. How
long one has waited is known when it has been taken. If that is not too long, it waits in this worker, is passed on
again or runs, and nobody is taken before its time would be up, since all behind it came later.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..process.fork import no_fork
from .connection import Connection

if TYPE_CHECKING:
    from _socket import socket as RawSocket

    from ..process.listener import Listener
    from .handoff import Handoff
    from .listening import Listening
    from .room import Room
    from .waited import Door

MOST_A_LOOK = 256  # that are taken from one queue: some 20 ms

_Taken = tuple[Connection, bool]  # and whether it asks for something

# Makes a new connection ours, and has it looked at in the next round.
LetIn = Callable[["Listener", "RawSocket", Any, float], Connection]
TakeIn = Callable[[Connection, bool], bool]  # the same for a sibling's, if it asks for something: whether it does


class SharedQueues:
    """Owned by the thread that has the loop; asked a few times a second."""

    def __init__(
        self, door: Door, listening: Listening, handoff: Handoff, take_in: TakeIn, room: Room, let_in: LetIn
    ) -> None:
        self._door = door
        self._listening = listening
        self._handoff = handoff
        self._take_in = take_in
        self._room = room
        self._let_in = let_in
        self._due = math.inf  # monotonic seconds: before that nobody has waited for too long

    def look(self, now: float, is_closed: bool) -> None:
        """Let in who has waited for too long. `is_closed`: nobody else is taken from there."""
        if not is_closed:
            self._due = math.inf
            return
        self._due = min(self._due, now + self._door.limit_s)
        if now < self._due:
            return
        due = self._take_late(self._from_siblings, now)
        for listener in list(self._listening.by_fd.values()):
            due = min(due, self._take_late(functools.partial(self._from_listener, listener), now))
        self._due = due

    def _from_siblings(self, now: float) -> _Taken | None:
        taken = self._handoff.take(now)
        if taken is None:
            return None
        connection, is_ready = taken
        return connection, self._take_in(connection, is_ready)

    def _from_listener(self, listener: Listener, now: float) -> _Taken | None:
        with no_fork:
            accepted = self._listening.accept(listener, now)
            return (self._let_in(listener, *accepted, now), True) if accepted is not None else None

    def _take_late(self, take: Callable[[float], _Taken | None], now: float) -> float:
        """Until there is none, or one that may wait. When to look again."""
        for _ in range(MOST_A_LOOK):
            if self._room.is_crowded() or not self._handoff.has_descriptors():
                break
            taken = take(now)
            if taken is None:
                return now + self._door.limit_s
            connection, asks = taken
            left_s = self._door.left_s(connection)
            if asks and left_s >= 0:
                return now + left_s
        return now

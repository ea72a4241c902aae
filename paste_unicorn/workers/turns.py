"""Requests that wait for a thread, and the doors behind which others wait that would only wait here.

A worker all of whose threads run requests is *full*. It accepts nothing, so that the kernel's queue goes to who has
room; what is asked on connections that it has is passed on to siblings, or waits here for its turn.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from ..http.parser import Head
from .connection import Connection
from .waited import has_gone

if TYPE_CHECKING:
    from ..http.refusals import Refused
    from ..scoreboard import Scoreboard
    from .exchange import Exchange
    from .handoff import Handoff
    from .listening import Listening
    from .thread_clients import ThreadClients

monotonic = time.monotonic

Waiting = tuple[Connection, Head, IO[bytes], int]  # as a request is run


class Turns:
    """Owned by the thread that has the loop; `next` and `is_wanted` are also for one that has just come free."""

    def __init__(
        self,
        clients: ThreadClients,
        listening: Listening,
        handoff: Handoff,
        exchange: Exchange,
        scoreboard: Scoreboard,
        give_back: Callable[[tuple[Connection, Refused | None]], None],
    ) -> None:
        self._clients = clients
        self._listening = listening
        self._handoff = handoff
        self._exchange = exchange
        self._scoreboard = scoreboard
        self._give_back = give_back  # to the loop: to be refused, or else to be dropped
        self._waiting: deque[Waiting] = deque()
        self.is_full = False  # the doors are closed

    def __len__(self) -> int:
        return len(self._waiting)

    # -- requests ----------------------------------------------------------------------------------------------------

    def wait(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        """No thread is free for this one."""
        self._clients.begin_to_wait(connection)
        self._waiting.append((connection, head, body, length))
        self.close_doors()

    def next(self) -> Waiting | None:
        """The one that has waited longest."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def is_wanted(self, connection: Connection, head: Head) -> bool:
        """Its turn has come: whether it is run. Else it is given back."""
        refused = self._clients.judge_again(connection, head)
        # The loop may not have seen yet that its client has gone.
        if refused is None and not (connection.has_left or has_gone(connection.fd)):
            return True
        self._send_back(connection, head, refused)
        return False

    def turn_away(self) -> None:
        """Who has waited for too long, or has gone meanwhile, need not wait for its turn to be told so."""
        for waiting in list(self._waiting):
            connection, head, _, _ = waiting
            refused = self._clients.judge_again(connection, head)
            if refused is None and not connection.has_left:
                continue
            try:
                self._waiting.remove(waiting)
            except ValueError:  # a thread that has just come free has taken it
                continue
            self._send_back(connection, head, refused)

    def _send_back(self, connection: Connection, head: Head, refused: Refused | None) -> None:
        """To the loop; without a refusal its client has gone."""
        if refused is None:
            self._exchange.skip(connection, head.line.raw)
        self._give_back((connection, refused))

    # -- the doors ---------------------------------------------------------------------------------------------------

    def close_doors(self) -> None:
        if not self.is_full:
            self.is_full = True
            self._listening.unwatch()
            self._handoff.unwatch()
            if self._handoff.gives and self._scoreboard.workers > 1:
                self._clients.pass_on = self._pass_on

    def open_doors(self, may_take: Callable[[], bool]) -> None:
        """A thread is free. `may_take`: whether siblings' connections may come."""
        if self.is_full:
            self.is_full = False
            self._clients.pass_on = None
            self._listening.resume(monotonic())
            if may_take():
                self._handoff.watch()

    def _pass_on(self, connection: Connection) -> bool:
        """Whether a sibling has it from now on, with whatever it asks. Who has waited for too long is refused here."""
        door = self._clients.door
        may_wait = door is None or door.left_s(connection) >= 0
        return may_wait and self._handoff.can_travel(connection) and self._handoff.give(connection, True)

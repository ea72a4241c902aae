"""How a loop worker ends: it retires, while siblings or the next generation go on, or drains, when the server stops.

A worker that *retires* accepts and receives nothing more, passes on every connection that can travel, finishes what is
left, passes that on too, and has gone within milliseconds of its last connection. Where nobody takes them it says
`Connection: close`, and closes what is idle after a grace period. A worker that *drains* goes on accepting until every
queue has run dry: what the kernel accepted is answered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..scoreboard import ANSWERED_BEFORE_RETIRING, Scoreboard, SlotWriter
from .connection import DRAINING, HEAD, IDLE, LINGERING, Connection
from .deadlines import LINGER_S
from .handoff import NOT_YET_S, Handoff
from .loop import EpollLoop, SelectorLoop

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..wsgi.gateway import Answering
    from .clients import Clients
    from .exchange import Exchange
    from .listening import Listening

monotonic = time.monotonic

TICK_S = 0.1
SECOND_LOOK_S = 0.3  # a TERM may come to all processes at once: is it the whole server that stops?
LOOK_S = 0.02  # how often that is looked at
MOST_A_PASS = 256  # that are passed on before who can't travel is served: some 2 ms
PATIENCE_S = 2.0  # at least, without anybody who takes a connection; then they are closed
MARGIN_S = 5.0  # before `graceful_timeout` is over: siblings that are only busy have so long to take them
IDLE_GRACE_S = 2.0  # how long connections that will be closed may still ask
_JUST_CONNECTED_S = 1.0  # who has said nothing yet must be about to


class Leaving:
    """Owned by whoever holds the worker's lock; signal handlers only call `retire` and `drain`."""

    def __init__(
        self,
        loop: EpollLoop | SelectorLoop,
        listening: Listening,
        clients: Clients,
        handoff: Handoff,
        exchange: Exchange,
        answering: Answering,
        slot: SlotWriter,
        scoreboard: Scoreboard,
        drain_s: float,
        graceful_s: float,
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._clients = clients
        self._handoff = handoff
        self._exchange = exchange
        self._answering = answering
        self._slot = slot
        self._scoreboard = scoreboard
        self._drain_s = drain_s
        self._patience_s = max(PATIENCE_S, graceful_s - MARGIN_S)
        self.began = False
        self.draining = False
        self._began_at = 0.0  # all times are monotonic seconds
        self._drained_at = 0.0  # draining: not done before this
        self._stands_back = False  # listeners and siblings' connections have been left to others
        self._noted = False  # all that had been answered before
        self._try_at = 0.0  # retiring: when to offer connections again
        self._taken_at = 0.0  # when somebody has taken one, or there was none to be taken
        self._close_at = 0.0  # when what is idle is closed; 0 as long as somebody takes it

    # -- called by signal handlers, or between rounds ----------------------------------------------------------------

    def retire(self) -> None:
        """Others go on: leave the listeners to them, and pass connections on."""
        if not self.began:
            self._begin()
            if not self._handoff.gives:
                self._give_up(self._began_at)

    def drain(self) -> None:
        """The server stops: go on accepting until the queues have run dry, and answer all that was accepted."""
        if not self.draining:
            if not self.began:
                self._begin()
            self._drained_at = monotonic() + self._drain_s
            self.draining = self._answering.closing = True

    def _begin(self) -> None:
        self._note()
        self._began_at = self._taken_at = monotonic()
        self.began = True

    def _note(self) -> None:
        """What stands on the board, and nothing else: if this worker is killed, that is all that anybody knows."""
        self._noted = self._exchange.count_answers(wait=False)
        self._slot.counters[ANSWERED_BEFORE_RETIRING] = self._slot.answered

    # -- in each round, once it has begun ----------------------------------------------------------------------------

    def step(self, now: float, ready: Collection[int], but: Connection | None = None) -> None:
        """What is to be done before applications run; `ready` are descriptors on which something can be read.

        With `but` an application runs, for that connection, and this is called by the watcher.
        """
        if not self._noted:
            self._note()
        self._exchange.count_answers()  # not by and by any more: it may be killed within its next request
        if self._scoreboard.stopping:
            # Whoever told us told the arbiter too (systemd does): what looked like a retirement is a stop.
            self.drain()
        if self.draining:
            if self._stands_back:
                self._stands_back = False
                self._listening.take_back()
                self._handoff.watch()
            return
        if not self._stands_back:
            self._stands_back = True
            self._listening.leave_to_siblings()
            self._handoff.unwatch()
        if self._handoff.gives:
            if now >= self._try_at and not self._handoff.waits_for_room:
                self._pass_on(now, ready, but)
            if now >= self._taken_at + self._patience_s and not self._close_at:
                self._give_up(now)

    def _pass_on(self, now: float, ready: Collection[int], but: Connection | None) -> None:
        """Who wants something goes first: it waits the shorter, the more others there are."""
        handoff, by_fd, pending = self._handoff, self._clients.by_fd, self._clients.pending
        given = 0
        for connection in (*[by_fd[fd] for fd in ready if fd in by_fd], *pending, *by_fd.values()):
            if connection is but or by_fd.get(connection.fd) is not connection or not handoff.can_travel(connection):
                continue
            has_request = connection.phase is IDLE and bool(connection.buffer)
            if not handoff.give(connection, has_request or connection.fd in ready):
                self._try_at = now + NOT_YET_S
                return
            self._taken_at = now
            given += 1
            if given == MOST_A_PASS:
                return
        self._taken_at = now

    def _give_up(self, now: float) -> None:
        """Nobody takes connections: each gets one more answer, which says that it is the last."""
        self._close_at = now + IDLE_GRACE_S
        self._answering.closing = True

    def wait_s(self, now: float) -> float:
        """How long the loop may wait for events."""
        if self.draining:
            return min(TICK_S, max(0.0, self._drained_at - now) or TICK_S)
        wait_s = TICK_S
        if now < self._began_at + SECOND_LOOK_S and not self._slot.is_dismissed:
            wait_s = LOOK_S
        handoff = self._handoff
        if not handoff.gives or handoff.waits_for_room:
            return wait_s
        if any(handoff.can_travel(connection) for connection in self._clients.by_fd.values()):
            return NOT_YET_S if now < self._try_at else 0.0
        return wait_s

    # -- at the end of each round ------------------------------------------------------------------------------------

    def is_done(self, now: float) -> bool:
        """Whether nobody is left who could still expect an answer."""
        if self.draining:
            if now < self._drained_at or not (self._listening.queue_is_empty() and self._handoff.is_empty()):
                return False
            return self._may_close(now)
        if not self._stands_back or (self._listening.by_fd and now < self._began_at + self._drain_s):
            return False
        if not self._listening.queue_is_empty():
            return False
        if self._close_at and now >= self._close_at:
            return self._may_close(now)
        # If all processes were told at once there is nobody else to take what was passed on.
        knows = self._slot.is_dismissed or now >= self._began_at + SECOND_LOOK_S
        return knows and all(self._is_quits(connection, now) for connection in self._clients.by_fd.values())

    def _is_quits(self, connection: Connection, now: float) -> bool:
        """Whether it has its answer, or will have it without us, and at most sends what nobody reads."""
        return connection.phase is LINGERING and not self._clients.lingering.is_owed(connection, now)

    def _may_close(self, now: float) -> bool:
        """Whether all connections are idle, and none has just sent something: those close last."""
        by_fd = self._clients.by_fd
        if any(_expects_answer(one, now) and not self._is_quits(one, now) for one in by_fd.values()):
            return False
        return not any(fd in by_fd and by_fd[fd].phase is not LINGERING for fd, _ in self._loop.poll(0))


def _expects_answer(connection: Connection, now: float) -> bool:
    if connection.phase is HEAD and not connection.buffer:
        return now - connection.since < _JUST_CONNECTED_S
    if connection.phase is DRAINING:
        return now - connection.since < LINGER_S  # has its answer, and goes on sending what nobody reads
    return connection.phase is not IDLE or bool(connection.buffer)

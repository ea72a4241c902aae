"""A greenlet per running request, on Gevent or Eventlet: long polling with thousands of sleepy clients.

The loop is that of the other workers, with its own epoll set, which the hub watches as one descriptor. So a connection
that waits for its client costs no greenlet; one that runs has one of those that are kept for the next request. Each
round of the loop is a callback in the hub's own greenlet: a request that has to wait switches there, and so comes back
to the round that started it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from greenlet import getcurrent, greenlet

from ..http.parser import Head
from ..process.fork import leave_to_parent
from ..scoreboard import UNCELLED
from ..wsgi.file_wrapper import FileRegion
from .connection import IDLE, RUNNING, Connection, SendLimits
from .deadlines import NEVER
from .exchange import ClientLeft
from .green_clients import GreenClients
from .green_logs import HubLogs
from .leaving import TICK_S
from .loop import READABLE
from .overtime import RequestTimeout
from .switching import Switching
from .sync import FAULT, SyncWorker
from .waited import LATE_S

if TYPE_CHECKING:
    from ..ops.logs import Logs

_KEPT = 256  # greenlets that wait for their next request
_MORE_CELLS = 64
_LEAVING_S = 0.005  # how often a worker that is about to leave looks


class Hub(Protocol):
    """What we need of a library's hub."""

    greenlet: Any
    socket_class: type[Any]
    waiting: set[greenlet]  # those that wait for a client

    def run(self, fd: int, on_ready: Callable[[], None], every_s: float, on_time: Callable[[], None]) -> None: ...

    def stop(self) -> None: ...

    def soon(self, callback: Callable[[], object], after_s: float = 0.0) -> None: ...

    def let_go(self) -> None: ...

    def forget(self, fd: int) -> None: ...


class _OutOfTheLoop(BaseException):
    """In a child that the application has forked: the round in which that happened is the parent's."""


class _Elsewhere(Connection):
    """In such a child: one whose request its parent runs."""

    __slots__ = ()

    is_elsewhere = True

    def send(self, data: bytes, is_last: bool = False) -> None:
        while True:
            getcurrent().parent.switch()

    def send_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        self.send(b"")

    def send_file(self, region: FileRegion) -> None:
        self.send(b"")


class GreenWorker(SyncWorker):
    """Owned by the worker's only thread; all but `_lane`, and what that calls, runs in the hub's greenlet."""

    clients_class = GreenClients
    is_watched = False
    _clients: GreenClients

    def __init__(self, *, hub: Hub, logs: Logs, send_limits: SendLimits, **given: Any) -> None:
        super().__init__(send_limits=send_limits._replace(on_held=self._held), **given)
        self._hub = hub
        self._logs = HubLogs(hub.greenlet, hub.soon)
        self._logs.look_after(logs)
        self._clients.waiting = hub.waiting
        self._clients.later = hub.soon
        self._clients.wait_no_more = hub.forget
        self._exchange.note_responses()
        self._switching = Switching(hub.socket_class)
        if self._overtime is not None:
            self._overtime.current = getcurrent
            self._overtime.runs_several = True
            self._overtime.write_unheard = self._logs.write_past_locks
        self._lanes: list[Any] = []  # greenlets without a request
        self._cells: list[int] = []  # of the scoreboard, free ones
        self._known_cells = 0  # those and the ones in use
        self._is_called = False  # another round has been asked for
        self._is_over = True  # and until it begins
        self._aside: Callable[[], object] | None = None  # by which this process ends, without its loop
        self._aside_began = False
        self._fault: Exception | None = None  # of the server itself
        self._round = self._rounds()
        self._go_round = self._round.send

    def serve(self) -> None:
        """Serve until told to retire or to drain, and done with it."""
        self._begin()
        next(self._round)
        self._is_over = False
        self._hub.run(self._loop.fileno(), self._on_ready, TICK_S, self._on_ready)
        self._logs.finish()
        while self._aside is not None:
            self._begin_aside()
            self._hub.soon(getcurrent().switch, TICK_S)
            self._hub.greenlet.switch()
        if self._fault is not None:
            raise self._fault

    def do_aside(self, step: Callable[[], object]) -> None:
        """In the hub's greenlet nobody may wait. But whoever asks twice there does not: the hub may be blocked."""
        is_first, self._aside = self._aside is None, step
        if getcurrent() is not self._hub.greenlet or self._is_over or not is_first:
            self._aside_began = True
            step()

    def _begin_aside(self) -> None:
        if not self._aside_began:
            self._aside_began = True
            self._hub.soon(greenlet(self._aside, self._hub.greenlet).switch)

    def _on_ready(self) -> None:
        self._is_called = False
        if self._is_over:
            return
        if self._aside is not None:
            self._begin_aside()
        try:
            self._go_round(self._loop.poll(0))
        except _OutOfTheLoop:
            return
        except StopIteration:
            self._is_over = True
        except Exception as error:  # the hub would print it, and go on
            self._fault, self._is_over = error, True
        if self._is_over:
            self._hub.stop()
            return
        if self._clients.pending:
            self._again()
        elif self._leaving.began:
            self._again(_LEAVING_S)

    def _held(self, connection: Connection) -> None:
        self._clients.held(connection)

    def _again(self, after_s: float = 0.0) -> None:
        if not self._is_called:
            self._is_called = True
            self._hub.soon(self._on_ready, after_s)

    def _leave_to_parent(self) -> None:
        """In a child the hub goes on as soon as anything waits: it must not take our events, nor answer what other
        greenlets, which go on there as well, were asked.
        """
        self._is_over = True
        self._hub.let_go()
        for connection, lane in self._clients.running.items():
            if lane is not getcurrent():
                connection.__class__ = _Elsewhere
        super()._leave_to_parent()
        leave_to_parent([self._loop.fileno()])

    def _tick(self, now: float) -> None:
        super()._tick(now)
        self._logs.write_soon()

    def _scan(self, now: float) -> None:
        super()._scan(now)
        if self._overtime is not None:
            self._overtime.show_others()
            for run in self._overtime.overdue():
                run.is_interrupted = True
                run.owner.throw(RequestTimeout)
            self._overtime.let_go(self._clients)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _run_request(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        connection.phase = RUNNING
        lane = self._lanes.pop() if self._lanes else None
        if lane is None or lane.dead:
            lane = greenlet(self._lane, self._hub.greenlet)
        # Comes back when the application waits for something, or is done.
        lane.switch(connection, head, body, length)
        if connection.phase is RUNNING:
            connection.deadline = NEVER
            self._clients.running[connection] = lane
        if self._is_over:
            raise _OutOfTheLoop

    def _lane(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        """One request after the other, with nothing in between."""
        while True:
            if not self._run_one(connection, head, body, length) or len(self._lanes) >= _KEPT:
                return
            self._lanes.append(getcurrent())
            del connection, head, body
            connection, head, body, length = self._hub.greenlet.switch()

    def _has_more_cells(self) -> bool:
        known = self._known_cells
        self._known_cells = most = self._slot.use_cells(known + _MORE_CELLS)
        self._cells += range(most - 1, known - 1, -1)
        return most > known

    def _run_one(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> bool:
        """Whether its greenlet may have another one: what an application waited for may still call one that was ended
        from outside.
        """
        cells, slot, clients = self._cells, self._slot, self._clients
        if cells or self._has_more_cells():
            connection.cell = cells.pop()
        else:
            connection.cell = slot.cells  # nobody reads that one: it is only counted
            slot.counters[UNCELLED] += 1
        response = None
        try:
            if head.asks_to_switch:
                response = self._switching.run(self._exchange, connection, head, body, length)
            else:
                response = self._exchange.run(connection, head, body, head.keep, length)
        except BaseException as error:
            slot.end(connection.cell)
            if not isinstance(error, ClientLeft):  # which may hit a hook
                self._exchange.complain(FAULT, error)
        clients.running.pop(connection, None)
        connection.response = None
        connection.phase = IDLE  # what follows says what it waits for
        if connection.cell < slot.cells:
            cells.append(connection.cell)
        else:
            slot.counters[UNCELLED] -= 1
        if response is None:
            clients.drop(connection)
            return False
        try:
            clients.finish(connection, response)
        except Exception as error:
            self._exchange.complain(FAULT, error)
            clients.drop(connection)
        exchange = self._exchange
        if exchange.now - exchange.listened_at > LATE_S:
            self._leavers.look_again()
        if connection.watched != READABLE:
            clients.watch_again(connection)
        if clients.pending:
            self._again()
        was_ended = connection.has_left or (self._overtime is not None and self._overtime.was_up(response))
        connection.has_left = False
        return not was_ended

"""A pool of threads that run requests: for applications that wait for databases and other services.

One thread at a time has the loop of the other workers: it reads, parses and, as long as requests are short, runs them
itself, without a change of threads. The main thread watches. When a request has kept the loop for some milliseconds,
it gives the loop to another thread; the one that runs the request becomes an ordinary thread, which takes the next
request that waits, or parks, when it is done. For a while after a slow request the loop is passed on *before* each
request: to be overtaken costs the loop some milliseconds, and to pass it on some microseconds.

There is one thread more than may run requests, so that the loop always has one. Requests for which none is free wait
for their turn (`turns.py`).

Connections belong to who has the loop, a running one to who runs it. It comes back through `_done`, or by its phase
alone where nothing is left to be done.

Hot: `_run_request` is called once a request.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Any

from ..http.parser import Head
from ..http.refusals import Refused
from ..process import leave
from ..scoreboard import UNCELLED
from ..wsgi.gateway import Response
from .connection import IDLE, RUNNING, Connection
from .deadlines import NEVER
from .exchange import ClientLeft
from .hands import Hand
from .leaving import TICK_S
from .loop import READABLE
from .overtime import Overtime, RequestTimeout, Run
from .pool import SLOW_S, Pool
from .stuck import Stuck
from .switching import Switching
from .sync import FAULT, SyncWorker
from .thread_clients import ThreadClients
from .turns import Turns
from .waited import QUEUE_TIMEOUT, has_gone

monotonic = time.monotonic

_HAS_RESTED: Any = object()  # in the place of a response: the connection rests, but may not be watched
_INTERRUPTIONS = (ClientLeft, RequestTimeout)


class _LoopIsGone(BaseException):
    """The thread that ran a request within its round does not have the loop any more."""


class ThreadWorker(SyncWorker):
    """Methods are called by the thread that has the loop, but for those below the lines."""

    clients_class = ThreadClients
    is_watched = False
    _clients: ThreadClients

    def __init__(
        self, *, threads: int, timeout_s: float, graceful_s: float, say_tired: Callable[[str], None], **given: Any
    ) -> None:
        overtime: Overtime | None = given["overtime"]
        if overtime is not None:
            given["send_limits"] = given["send_limits"]._replace(wait=overtime.wait_in_thread)
        super().__init__(graceful_s=graceful_s, **given)
        self._exchange.note_responses()
        self._switching = Switching(socket.socket)
        self._pool = Pool(threads, self._exchange, self._lend)
        self._pool.life = self._be_a_hand
        if self._overtime is not None:
            self._overtime.current = self._pool.this_hand
            self._overtime.interrupt = self._interrupt
            self._overtime.runs_several = True
        self._stuck = Stuck(timeout_s, graceful_s, self._pool, self._clients, given["log"], say_tired)
        self._done: deque[tuple[Connection, Response | Refused | None]] = deque()  # are the loop's again
        self._turns = Turns(
            self._clients, self._listening, self._handoff, self._exchange, self._scoreboard, self._done.append
        )  # fmt: skip
        self._bell, self._ringer = os.pipe()  # readable: something is in `_done`, or a thread has come free
        self._has_rung = False
        self._is_child = False  # of an application that has forked

    @property
    def is_full(self) -> bool:
        return self._turns.is_full

    # -- the main thread ---------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve until told to retire or to drain, and done with it. Signals arrive in this thread."""
        self._begin()
        for fd in (self._bell, self._ringer):
            os.set_blocking(fd, False)
        self._loop.add(self._bell)
        if not self._pool.has_free():
            raise RuntimeError("the system gives this worker no thread")
        self._pool.pass_loop_on()
        self._pool.watch()
        if self._pool.fault is not None:
            raise self._pool.fault

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _lead(self, hand: Hand) -> None:
        """Go round until the loop is taken away (_LoopIsGone), or all is over."""
        self._pool.leader = hand
        rounds = self._rounds()
        next(rounds)
        go_round, poll, leaving = rounds.send, self._loop.poll, self._leaving
        by_fd, pending, fresh = self._clients.by_fd, self._clients.pending, self._fresh
        self._welcome_back()
        self._look_for_room()
        with contextlib.suppress(StopIteration):
            while True:
                at_once = pending or fresh
                go_round(poll(0 if at_once else TICK_S if by_fd and not leaving.began else self._wait_s()))

    def _shared(self, fd: int, now: float) -> None:
        if fd == self._bell:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 64)
            # Not before: a byte of one who rings between the two would be read, and nobody would ring again.
            self._has_rung = False
            self._welcome_back()
            self._look_for_room()
        else:
            super()._shared(fd, now)

    def _scan(self, now: float) -> None:
        super()._scan(now)
        self._clients.ask(now)
        self._clients.interrupt_again()
        if self._overtime is not None:
            for run in self._overtime.overdue():
                self._interrupt(run)
            for connection in self._overtime.let_go(self._clients):
                self._replace_thread_of(connection)
        self._turns.turn_away()
        self._welcome_back()
        if self._stuck.give_up(now):
            self._ring()
        if self._leaving.began:
            self._stuck.end_without(now)
        self._stuck.look_at_pool(now, self.is_full, len(self._turns))
        beyond = self._pool.hands[self._slot.cells :]
        self._slot.counters[UNCELLED] = sum(hand.connection is not None for hand in beyond)

    def _replace_thread_of(self, connection: Connection) -> None:
        """Its request has been given up."""
        hand = self._clients.running.get(connection)
        if hand is not None and hand.give_up(connection):
            self._ring()

    def _look_for_room(self) -> None:
        """Is any thread free? Then who waits is served, by this one, and the loop goes on elsewhere."""
        turns = self._turns
        if not self._pool.has_free():
            turns.close_doors()
            if not self._pool.free:  # since just now: each side writes before it reads
                return
        turns.open_doors(self._may_take)
        while (waiting := turns.next()) is not None:
            connection, head, body, length = waiting
            if turns.is_wanted(connection, head):
                self._run_beside(connection, head, body, length)
            self._welcome_back()

    def _welcome_back(self) -> None:
        """Connections whose requests have run."""
        clients, done = self._clients, self._done
        while done:
            connection, response = done.popleft()
            if response is not _HAS_RESTED:
                clients.running.pop(connection, None)
                connection.response = None
                connection.phase = IDLE  # what follows says what it waits for
                if response is None or clients.by_fd.get(connection.fd) is not connection:  # or it was given up
                    clients.drop(connection)
                    continue
                if isinstance(response, Refused):
                    self._guard(functools.partial(clients.refuse, refused=response, how=QUEUE_TIMEOUT), connection)
                    continue
                self._guard(functools.partial(clients.finish, response=response), connection)
                connection.has_left = False
            if connection.phase is not RUNNING and connection.watched != READABLE:
                clients.watch_again(connection)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _run_request(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        pool = self._pool
        if pool.wary or not pool.free or head.asks_to_switch:
            self._run_warily(connection, head, body, length)
            return
        hand, loop_exchange = pool.leader, self._exchange
        inline = hand.inline
        exchange = hand.exchange
        connection.phase = RUNNING
        connection.cell = hand.cell
        pool.turns += 1
        inline.append(connection)
        if pool.is_parked:
            pool.wake_watcher()
        exchange.now = started = loop_exchange.now
        response = None
        try:
            response = exchange.run(connection, head, body, head.keep, length)
        except BaseException as error:
            self._complain_of(connection, error)
        try:
            inline.pop()
        except IndexError:
            self._come_back(hand, connection, response)
            raise _LoopIsGone from None
        if response is None:
            connection.phase = IDLE
            self._clients.drop(connection)
            return
        loop_exchange.now = now = exchange.now
        connection.response = None
        connection.phase = IDLE
        if now - started > SLOW_S:
            self._pool.note_slow()
        clients = self._clients
        clients.finish(connection, response)
        if connection.watched != READABLE:
            clients.watch_again(connection)

    def _run_warily(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        """The request may be slow, or last for ever; or no thread is free."""
        pool = self._pool
        if not pool.has_free():
            self._turns.wait(connection, head, body, length)
            if pool.free:  # as above
                self._look_for_room()
        elif pool.wary or head.asks_to_switch:
            pool.wary = max(0, pool.wary - 1)
            if has_gone(connection.fd):  # other threads may have kept this one from going on since it looked
                self._exchange.skip(connection, head.line.raw)
                self._clients.drop(connection)
            else:
                self._run_beside(connection, head, body, length)
        else:
            self._run_request(connection, head, body, length)

    def _run_beside(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        """Give the loop away, then run the request. Raises _LoopIsGone when all is done."""
        hand = self._pool.leader
        self._lend(connection, hand)
        self._pool.pass_loop_on()
        self._run_lent(hand, connection, head, body, length)
        raise _LoopIsGone

    def _lend(self, connection: Connection, hand: Hand) -> None:
        """From now on it belongs to the thread that runs it."""
        connection.phase = RUNNING
        connection.deadline = NEVER
        if not connection.watched:
            self._clients.watch(connection)
        self._clients.running[connection] = hand
        hand.connection = connection

    @staticmethod
    def _interrupt(run: Run) -> None:
        """Also by the thread that watches requests."""
        if run.owner.interrupt(run.connection, RequestTimeout, True):
            run.is_interrupted = True

    # -- threads that do not have the loop ---------------------------------------------------------------------------

    def _be_a_hand(self, hand: Hand) -> None:
        """A thread's life: parked, with the loop, with requests that wait, parked."""
        while True:
            hand.gate.acquire()
            try:
                self._lead_and_run(hand)
            except Exception as error:
                self._pool.end(error)
            self._pool.free.append(hand)
            if self.is_full:
                self._ring()

    def _lead_and_run(self, hand: Hand) -> None:
        try:
            self._lead(hand)
            self._stuck.write_off(self._exchange)
            self._pool.end()
        except _LoopIsGone:
            pass
        except _INTERRUPTIONS:
            self._lose(hand)
        while (waiting := self._turns.next()) is not None:
            self._run_next(hand, *waiting)

    def _run_next(self, hand: Hand, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        """One that has waited for a thread."""
        self._clients.running[connection] = hand
        hand.connection = connection
        try:
            if self._turns.is_wanted(connection, head):
                self._run_lent(hand, connection, head, body, length)
            else:
                hand.let_go()
                self._ring()
        except _INTERRUPTIONS:
            self._lose(hand)

    def _run_lent(self, hand: Hand, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        connection.cell = hand.cell
        exchange = hand.exchange
        exchange.now = started = monotonic()
        response = None
        try:
            if head.asks_to_switch:
                response = self._switching.run(exchange, connection, head, body, length)
            else:
                response = exchange.run(connection, head, body, head.keep, length)
        except BaseException as error:
            self._complain_of(connection, error)
        if exchange.now - started > SLOW_S:
            self._pool.note_slow()
        self._come_back(hand, connection, response)

    def _lose(self, hand: Hand) -> None:
        """It was interrupted on the way back from an application."""
        connection = hand.connection
        if connection is not None:
            self._come_back(hand, connection, None)

    def _complain_of(self, connection: Connection, error: BaseException) -> None:
        """A fault of ours, or an interruption that came when the application had just ended."""
        self._slot.end(connection.cell)
        if not isinstance(error, _INTERRUPTIONS):
            self._exchange.complain(FAULT, error)

    def _come_back(self, hand: Hand, connection: Connection, response: Response | None) -> None:
        """The connection is the loop's again. In the plainest case that is all, and the loop need not know."""
        if self._is_child:
            leave.child(1)
        hand.let_go()
        if (
            response is not None
            and response.keep
            and connection.watched == READABLE
            and not (connection.output or connection.buffer or connection.has_left)
            and connection.incoming is None
        ):
            self._clients.running.pop(connection, None)
            connection.response = None
            self._clients.rest(connection, hand.exchange.now)
            if connection.watched == READABLE:
                return
            response = _HAS_RESTED
        self._done.append((connection, response))
        self._ring()

    def _ring(self) -> None:
        """Let who has the loop look what has come back."""
        if not self._has_rung:
            self._has_rung = True
            with contextlib.suppress(BlockingIOError):
                os.write(self._ringer, b"\0")

    def _leave_to_parent(self) -> None:
        """In a child this thread is the only one: it must not go on as ours."""
        super()._leave_to_parent()
        self._is_child = True
        for hand in self._pool.hands:
            hand.inline.clear()

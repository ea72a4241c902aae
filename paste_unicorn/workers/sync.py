"""The loop that reads and buffers many connections and runs one request at a time.

In each batch of events listeners and siblings' connections come first, applications after: EPOLLEXCLUSIVE wakes one
waiter, and what woke it must not wait behind its own application. Batches go stale, so each connection is looked up
again.

Hot: a keep-alive request costs one turn of the loop in `_rounds` and one `_run_request`.
"""

from __future__ import annotations

import contextlib
import os
import time
from _socket import socket as RawSocket
from collections import deque
from collections.abc import Callable, Generator
from typing import IO, TYPE_CHECKING, Any

from ..http.parser import Head, HeadParser
from ..http.response import http_date
from ..process.fork import leave_to_parent, no_fork
from ..process.listener import Listener
from ..scoreboard import BYTES_IN, CONNECTIONS, Scoreboard, SlotWriter
from ..wsgi.environ import peer_environ
from ..wsgi.gateway import Answering
from .bodies import BodyRules
from .clients import Clients
from .connection import Connection, SendLimits
from .deadlines import SCAN_INTERVAL_S, Deadlines, overdue
from .exchange import Exchange
from .handoff import Handoff
from .late import SharedQueues
from .leaving import TICK_S, Leaving
from .listening import Listening
from .loop import GONE, READABLE, WRITABLE, EpollLoop, Events, SelectorLoop
from .overtime import Overtime
from .peers import Peers
from .room import Room
from .waited import LATE_S, Leavers
from .watcher import Watcher

if TYPE_CHECKING:
    import logging

    from ..process.handoff import HandoffPair

monotonic = time.monotonic

FAULT = "A fault of the server itself; one connection is dropped"
IDLE_WAIT_S = 0.5  # a sign of life is due even where nothing happens
FAST_ROUND_S = 0.002  # after a faster round, several connections are accepted at a time
BATCH = 16


class SyncWorker:
    """Owned by the worker's main thread; signal handlers only call `retire`, `drain` and `do_aside`."""

    clients_class: type[Clients] = Clients
    is_watched = True  # whether other connections wait while a request runs

    def __init__(
        self,
        *,
        loop: EpollLoop | SelectorLoop,
        listening: Listening,
        pair: HandoffPair,
        hands_off: bool,
        peers: Peers,
        parser: HeadParser,
        exchange: Exchange,
        answering: Answering,
        deadlines: Deadlines,
        bodies: BodyRules,
        send_limits: SendLimits,
        slot: SlotWriter,
        scoreboard: Scoreboard,
        log: logging.Logger,
        max_connections: int,
        drain_s: float,
        graceful_s: float,
        queue_timeout_s: float,
        overtime: Overtime | None,
        wakeup_fd: int,
        each_round: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._peers = peers
        self._exchange = exchange
        self._answering = answering
        self._send_limits = send_limits
        self._slot = slot
        self._wakeup_fd = wakeup_fd  # becomes readable when a signal has arrived
        self._overtime = overtime
        self._each_round = each_round  # a few times a second: what is neither connection nor request
        self._clients = clients = self.clients_class(loop, parser, exchange, deadlines, bodies, self._run_request)
        self._handoff = Handoff(pair, loop, clients, peers, send_limits, slot, log, hands_off)
        self._leaving = Leaving(
            loop, listening, clients, self._handoff, exchange, answering, slot, scoreboard, drain_s, graceful_s
        )  # fmt: skip
        self._room = Room(max_connections, clients, listening, self._handoff, self._leaving, scoreboard)
        self.retire, self.drain = self._leaving.retire, self._leaving.drain
        self._fresh: deque[Connection] = deque()  # came in this round; they may have sent a request already
        self._leavers = leavers = Leavers(loop, clients, parser, exchange, self._fresh)
        self._scoreboard = scoreboard
        self._watcher = Watcher(
            loop, clients, self._handoff, listening, self._leaving, exchange, slot, self._fresh, self._shared, leavers
        )  # fmt: skip
        self._queues: SharedQueues | None = None  # who waits there may do so for ever
        if queue_timeout_s:
            door = clients.turn_away_after(queue_timeout_s)
            self._queues = SharedQueues(
                door, listening, self._handoff, self._take_in, self._room, self._let_in
            )  # fmt: skip
        self._next_tick = self._next_scan = 0.0  # monotonic seconds
        self._second = 0  # of the clock on the wall: which the Date line shows
        self._round_began = self._last_round_s = 0.0  # how long the application was occupied in the round before

    @property
    def is_full(self) -> bool:
        """Whether nobody could run another request now."""
        return False

    def do_aside(self, step: Callable[[], object]) -> None:
        """By a signal's handler, which comes anywhere: do this where it may wait."""
        step()

    # -- the loop ----------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve until told to retire or to drain, and done with it."""
        self._begin()
        poll, by_fd, leaving = self._loop.poll, self._clients.by_fd, self._leaving
        pending, fresh = self._clients.pending, self._fresh
        rounds = self._rounds()
        next(rounds)
        go_round = rounds.send
        with contextlib.suppress(StopIteration):
            while True:
                at_once = pending or fresh
                go_round(poll(0 if at_once else TICK_S if by_fd and not leaving.began else self._wait_s()))

    def _begin(self) -> None:
        self._loop.add(self._wakeup_fd)
        self._listening.watch()
        self._handoff.watch()
        self._start_watcher()
        if self._overtime is not None:
            self._overtime.start()
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def _leave_to_parent(self) -> None:
        """In a child that the application has forked: its clients are none of ours."""
        leave_to_parent(self._clients.descriptors())

    def _start_watcher(self) -> None:
        """Where somebody could take what it passes on; more workers may come later (TTIN)."""
        watcher = self._watcher
        if self.is_watched and not watcher.started and self._handoff.gives and self._scoreboard.workers > 1:
            watcher.start()

    def _rounds(self) -> Generator[None, Events, None]:
        """Once around for each batch of events that is sent in: what is ready, and what its time has come for.

        It ends when this worker is done. (A generator, because what it needs is looked up once: 2 % of a request.)
        """
        clients, exchange, leaving, guard = self._clients, self._exchange, self._leaving, self._guard
        by_fd, pending, fresh = clients.by_fd, clients.pending, self._fresh
        readable, select_step = clients.readable, self._step_for
        while True:
            events = yield
            self._last_round_s = exchange.now - self._round_began
            exchange.now = exchange.listened_at = self._round_began = now = monotonic()
            for fd, _ in events:
                if fd not in by_fd:
                    self._shared(fd, now)
            if leaving.began:
                self._look_around(now, events)
            if now >= self._next_tick:
                self._tick(now)
            if now >= self._next_scan:
                self._scan(now)
                self._see_to_overdue(now, events)
            for fd, event in events:
                connection = by_fd.get(fd)
                if connection is not None:
                    try:  # as in `_guard`, a call less
                        if event == READABLE:
                            readable(connection)
                        else:
                            select_step(event)(connection)
                    except Exception as error:
                        self._blame(connection, error)
            if fresh:
                if self._last_round_s + exchange.now - now >= FAST_ROUND_S:
                    self._leavers.look_at_fresh()
                while fresh:
                    guard(clients.welcome, fresh.popleft())
            if pending:
                for _ in range(len(pending)):
                    guard(clients.next_in_a_row, pending.popleft())
            if leaving.began and leaving.is_done(now):
                exchange.count_answers()
                if self._overtime is not None:
                    self._overtime.finish()
                return

    def _wait_s(self) -> float:
        """How long to wait for events when there is no connection, or this worker is about to leave."""
        return self._leaving.wait_s(monotonic()) if self._leaving.began else IDLE_WAIT_S

    def _guard(self, step: Callable[[Connection], None], connection: Connection) -> None:
        """The border between the loop and one connection: no fault of ours in here may cost the others theirs."""
        try:
            step(connection)
        except Exception as error:
            self._blame(connection, error)

    def _blame(self, connection: Connection, error: Exception) -> None:
        self._exchange.complain(FAULT, error)
        self._clients.drop(connection)

    def _step_for(self, event: int) -> Callable[[Connection], None]:
        """What an event other than plain readability asks for."""
        if event & GONE:
            return self._leavers.see_off
        if event & WRITABLE:
            return self._clients.readable_and_writable if event & READABLE else self._clients.writable
        return self._clients.readable

    def _tick(self, now: float) -> None:
        """What has to be done again and again, but not with each event."""
        self._next_tick = now + TICK_S
        self._slot.beat(now)
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._answering.date_line = b"Date: %b\r\n" % http_date(second)
        if not self._leaving.began:
            self._look_at_queues(now)

    def _scan(self, now: float) -> None:
        """A few times a second, and before applications run: they may take the loop along."""
        self._exchange.count_answers()
        self._room.tell(now)
        if not self.is_full:
            self._listening.resume(now)
        if self._may_take():
            self._handoff.watch()
        if self._queues is not None and not self._leaving.began:
            self._look_outside(self._queues, now)
        self._start_watcher()
        counters = self._slot.counters
        counters[CONNECTIONS] = len(self._clients.by_fd)
        counters[BYTES_IN] = self._clients.bytes_in
        self._each_round()

    def _look_outside(self, queues: SharedQueues, now: float) -> None:
        try:
            queues.look(now, self.is_full or self._room.is_taken())
        except Exception as error:
            self._exchange.complain(FAULT, error)

    def _see_to_overdue(self, now: float, events: Events) -> None:
        """At the end of a scan. Who seems overdue may just have sent something: that is looked at before."""
        ready = dict(events)
        for connection in overdue(self._clients.by_fd.values(), now):
            event = ready.get(connection.fd)
            if event is not None:
                self._guard(self._step_for(event), connection)
            if connection.deadline <= now:
                self._guard(self._clients.overdue, connection)
        self._next_scan = now + SCAN_INTERVAL_S

    # -- what comes in -----------------------------------------------------------------------------------------------

    def _shared(self, fd: int, now: float) -> None:
        """An event of what is no connection. A fault in here costs the one that was about to come in."""
        try:
            listener = self._listening.by_fd.get(fd)
            if listener is not None:
                self._accept(listener, now)
            elif fd == self._handoff.fd:
                self._take_over(now)
            elif fd == self._handoff.room_fd:
                self._handoff.room_came()
            elif fd == self._wakeup_fd:
                os.read(fd, 4096)
                self._next_scan = self._next_tick = 0.0
        except Exception as error:
            self._exchange.complain(FAULT, error)

    def _look_around(self, now: float, events: Events) -> None:
        """What events don't tell, in every round while this worker is leaving."""
        for fd in list(self._listening.by_fd):
            self._shared(fd, now)
        self._leaving.step(now, {fd for fd, event in events if event == READABLE})
        if self._leaving.draining:
            self._shared(self._handoff.fd, now)

    def _look_at_queues(self, now: float) -> None:
        """What workers share: the kernel wakes one of them (EPOLLEXCLUSIVE), which may die at that moment."""
        if self._listening.watching:
            for fd in list(self._listening.by_fd):
                self._shared(fd, now)
        self._shared(self._handoff.fd, now)

    def _accept(self, listener: Listener, now: float) -> None:
        listening, clients, room = self._listening, self._clients, self._room
        for _ in range(BATCH if self._last_round_s < FAST_ROUND_S else 1):
            least_wanted = None
            if room.is_taken():
                least_wanted = room.least_wanted(now, self._watcher.running)
                if least_wanted is None:
                    listening.unwatch()  # the queue waits for a moment
                    break
            with no_fork:
                accepted = listening.accept(listener, now)
                if accepted is None:
                    break
                if least_wanted is not None:
                    clients.make_room(least_wanted)
                self._let_in(listener, *accepted, now)
        if room.is_taken() and not room.is_scarce():
            self._handoff.unwatch()

    def _let_in(self, listener: Listener, sock: RawSocket, address: Any, now: float) -> Connection:
        try:
            host, port = self._peers.name(listener, address)
            environs = self._peers.environs(listener.address, host)
            connection = Connection(sock, peer_environ(host, port), environs, self._send_limits, now)
        except BaseException:
            sock.close()
            raise
        self._clients.add(connection)
        self._fresh.append(connection)
        return connection

    def _may_take(self) -> bool:
        """Whether siblings' connections may come. A worker that retires never receives."""
        leaving, room = self._leaving, self._room
        wanted = leaving.draining or (not leaving.began and (not room.is_taken() or room.is_scarce()))
        return wanted and not self.is_full and self._handoff.has_descriptors()

    def _take_over(self, now: float) -> None:
        """Siblings' connections: several that are idle, but only one that wants the application before the next round.

        Whoever could not take one must not be woken for it, and stops watching before.
        """
        if not self._may_take():
            self._handoff.unwatch()
            return
        for _ in range(BATCH):
            taken = self._handoff.take(now)
            if taken is None:
                break
            connection, is_ready = taken
            if not self._find_room(now):
                if not self._handoff.put_back(connection, is_ready):
                    self._take_in(connection, is_ready)
                self._handoff.unwatch()  # for a moment
                return
            if self._clients.by_fd.get(connection.fd) is not connection:
                continue
            self._take_in(connection, is_ready)
            if is_ready or (self._room.is_taken() and not self._room.is_scarce()):
                break
        if not self._may_take():
            self._handoff.unwatch()

    def _take_in(self, connection: Connection, is_ready: bool) -> bool:
        """One that was a sibling's. Whether it asks for something, and so is looked at in the next round."""
        if is_ready or connection.buffer:
            self._fresh.append(connection)
            return True
        self._clients.watch(connection)
        return False

    def _find_room(self, now: float) -> bool:
        """One has been taken over: if that is one too many, one goes, be it the same."""
        if self._leaving.draining or not self._room.is_exceeded():
            return True
        least_wanted = self._room.least_wanted(now, self._watcher.running)
        if least_wanted is None:
            return False
        self._clients.make_room(least_wanted)
        return True

    def _run_request(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        exchange = self._exchange
        response = exchange.run(connection, head, body, head.keep, length)
        self._clients.finish(connection, response)
        if exchange.now - exchange.listened_at > LATE_S:
            self._leavers.look_again()

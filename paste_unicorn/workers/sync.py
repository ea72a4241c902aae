"""The loop that reads and buffers many connections and runs one request at a time.

In each batch of events the listeners come first, applications after: EPOLLEXCLUSIVE wakes one waiter, and what woke it
must not wait behind its own application. Batches go stale, so each connection is looked up again.

Hot: a keep-alive request costs one turn of the inner loop of `_serve` and one `_run_request`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import IO

from ..http.parser import Head, HeadParser
from ..http.response import http_date
from ..process.listener import Listener
from ..scoreboard import BYTES_IN, CONNECTIONS, SlotWriter
from ..wsgi.environ import peer_environ
from ..wsgi.gateway import Answering
from .bodies import BodyRules
from .clients import Clients
from .connection import DRAINING, HEAD, IDLE, Connection, SendLimits
from .deadlines import LINGER_S, SCAN_INTERVAL_S, Deadlines, slowest_head
from .exchange import Exchange
from .listening import Listening
from .loop import READABLE, WRITABLE, EpollLoop, SelectorLoop
from .peers import Peers

monotonic = time.monotonic

TICK_S = 0.1
IDLE_WAIT_S = 0.5  # a sign of life is due even where nothing happens
FAST_ROUND_S = 0.002  # after a faster round, several connections are accepted at a time
BATCH = 16
SLOW_HEAD_S = 0.5  # a head younger than this is not called slow when room is needed
SECOND_LOOK_S = 0.3  # a TERM may come to all processes at once: is it the whole server that stops?
IDLE_AT_RETIREMENT_S = 2.0  # how long a retiring worker still answers on connections that are idle


class SyncWorker:
    """Owned by the worker's main thread; signal handlers only set `retiring` and `draining_until`."""

    def __init__(
        self,
        *,
        loop: EpollLoop | SelectorLoop,
        listening: Listening,
        peers: Peers,
        parser: HeadParser,
        exchange: Exchange,
        answering: Answering,
        deadlines: Deadlines,
        bodies: BodyRules,
        send_limits: SendLimits,
        slot: SlotWriter,
        max_connections: int,
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
        self._max_connections = max_connections
        self._wakeup_fd = wakeup_fd  # becomes readable when a signal has arrived
        self._each_round = each_round  # a few times a second: what is neither connection nor request
        self._clients = Clients(loop, parser, exchange, deadlines, bodies, self._run_request)
        self._closing = False  # every answer says Connection: close
        self._leave_at = 0.0  # draining or retiring: not before this, in monotonic seconds
        self._retired_at = 0.0
        self._draining = False
        self._next_tick = self._next_scan = 0.0  # monotonic seconds
        self._second = 0  # of the clock on the wall: which the Date line shows
        self._round_began = self._last_round_s = 0.0  # how long the application was occupied in the round before

    # -- called by signal handlers, or between rounds ----------------------------------------------------------------

    def retire(self) -> None:
        """Accept nothing more, finish what is here, then leave: siblings have the listeners."""
        if not self._closing:
            self._closing = self._answering.closing = True
            self._retired_at = monotonic()
            self._leave_at = self._retired_at + IDLE_AT_RETIREMENT_S

    def drain(self, drain_s: float) -> None:
        """The server stops: go on accepting until the queue has run dry, and answer all that was accepted."""
        if not self._draining:
            self._closing = self._draining = self._answering.closing = True
            self._leave_at = monotonic() + drain_s

    # -- the loop ----------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve until told to retire or to drain, and done with it."""
        self._loop.add(self._wakeup_fd)
        self._listening.watch()
        poll, by_fd, pending = self._loop.poll, self._clients.by_fd, self._clients.pending
        shared, exchange = self._listening.by_fd, self._exchange
        guard, readable, select_step = self._guard, self._clients.readable, self._step_for
        fresh: list[Connection] = []
        while True:
            self._last_round_s = exchange.now - self._round_began
            events = poll(0 if pending else TICK_S if by_fd or self._closing else IDLE_WAIT_S)
            exchange.now = self._round_began = now = monotonic()
            for fd, _ in events:
                if fd in shared:
                    self._accept(shared[fd], now, fresh)
            if now >= self._next_tick:
                self._tick(now)
            for fd, event in events:
                if fd in by_fd:
                    guard(readable if event == READABLE else select_step(event), by_fd[fd])
                elif fd == self._wakeup_fd:
                    os.read(fd, 4096)
                    self._next_scan = self._next_tick = 0.0
            for connection in fresh:
                guard(self._clients.welcome, connection)
            fresh.clear()
            for _ in range(len(pending)):
                guard(self._clients.next_in_a_row, pending.popleft())
            if now >= self._next_scan:
                self._scan(now)
            if self._closing and self._is_done(now):
                exchange.count_answers()
                return

    def _guard(self, step: Callable[[Connection], None], connection: Connection) -> None:
        """The border between the loop and one connection: no fault of ours in here may cost the others theirs."""
        try:
            step(connection)
        except Exception as error:
            self._exchange.complain("A fault of the server itself; one connection is dropped", error)
            self._clients.drop(connection)

    def _step_for(self, event: int) -> Callable[[Connection], None]:
        """What an event other than plain readability asks for."""
        if event & WRITABLE:
            return self._clients.readable_and_writable if event & READABLE else self._clients.writable
        return self._clients.readable if event & READABLE else self._clients.drop

    def _tick(self, now: float) -> None:
        """What has to be done again and again, but not with each event."""
        self._next_tick = now + TICK_S
        self._slot.beat(now)
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._answering.date_line = b"Date: %b\r\n" % http_date(second)

    def _scan(self, now: float) -> None:
        """A few times a second, and after the events: who seems overdue may just have sent something."""
        self._next_scan = now + SCAN_INTERVAL_S
        self._exchange.count_answers()
        self._clients.check_deadlines(now)
        if not self._closing or self._draining:
            self._listening.resume(now)
        counters = self._slot.counters
        counters[CONNECTIONS] = len(self._clients.by_fd)
        counters[BYTES_IN] = self._clients.bytes_in
        self._each_round()

    def _accept(self, listener: Listener, now: float, fresh: list[Connection]) -> None:
        listening, clients = self._listening, self._clients
        for _ in range(BATCH if self._last_round_s < FAST_ROUND_S else 1):
            slow = None
            if len(clients.by_fd) >= self._max_connections:
                # The head that has been unfinished longest goes; where none is slow, the queue waits for a moment.
                slow = slowest_head(clients.by_fd.values(), now, SLOW_HEAD_S)
                if slow is None:
                    listening.unwatch()
                    return
            accepted = listening.accept(listener, now)
            if accepted is None:
                return
            if slow is not None:
                clients.refuse_slow_head(slow)
                clients.drop(slow)
            sock, address = accepted
            host, port = self._peers.name(listener, address)
            environs = self._peers.environs(listener, host)
            connection = Connection(sock, peer_environ(host, port), environs, self._send_limits, now)
            clients.add(connection)
            fresh.append(connection)

    def _run_request(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        response = self._exchange.run(connection, head, body, head.keep, length)
        self._clients.finish(connection, response)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _is_done(self, now: float) -> bool:
        """Whether nobody is left who could still expect an answer. Connections that are idle close last."""
        if self._draining:
            if not self._listening.queue_is_empty() or now < self._leave_at:
                return False
        else:
            self._listening.unwatch()
        by_fd = self._clients.by_fd
        if any(self._expects_answer(connection, now) for connection in by_fd.values()):
            return False
        if self._draining or now >= self._leave_at:
            return not any(fd in by_fd for fd, _ in self._loop.poll(0))
        return not by_fd and now >= self._retired_at + SECOND_LOOK_S

    @staticmethod
    def _expects_answer(connection: Connection, now: float) -> bool:
        if connection.phase is HEAD and not connection.buffer:
            return now - connection.since < 1.0  # has just connected; its request must be on its way
        if connection.phase is DRAINING:
            return now - connection.since < LINGER_S  # has its answer, and goes on sending what nobody reads
        return connection.phase is not IDLE or bool(connection.buffer)

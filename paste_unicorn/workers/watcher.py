"""A thread that sees who waits behind a long request, and lets siblings serve them.

While the application has run for longer than 20 to 40 ms, this worker's other connections that have become readable are
passed on. What both threads touch belongs to the loop's thread always, but while the application runs:

* The loop's thread says that it runs (`running`). When it has returned, it looks whether the watcher is `_acting`, and
  only then waits for its lock. The watcher says that it acts, and then does so only if the same request still runs.
  Each writes before it reads, and the GIL keeps the order, so that one of them sees the other. (A lock that the loop's
  thread holds but for the application says the same; it cost 1.5 % of a small request, and this a third of that.)
* The watcher asks the loop's epoll what is readable, without waiting: as one more waiter it would swallow wake-ups that
  are meant for siblings.
* It sleeps by ticks as long as requests come, and is parked while the worker is idle: woken once for each change from
  idle to busy, not for each request.

C code that holds the GIL stops this thread like any other: nothing is passed on until it ends.

Hot: `run` is called once a request.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from . import own_thread
from .connection import Connection
from .loop import READABLE, EpollLoop, SelectorLoop
from .waited import LATE_S

if TYPE_CHECKING:
    from ..http.parser import Head
    from ..scoreboard import SlotWriter
    from .clients import Clients
    from .exchange import Exchange
    from .handoff import Handoff
    from .leaving import Leaving
    from .listening import Listening
    from .waited import Leavers

monotonic, sleep = time.monotonic, time.sleep

LOOK_S = 0.02  # a request that is seen at two looks is long: it is 20 to 40 ms old then
TICK_S = 0.01  # between two looks while it goes on
STUCK_TICKS = 3  # so often a listener, or the pair, is seen readable before something is done about it
# How long an application that computes may keep the GIL while somebody is passed on. Each of the system calls for that
# lets go of it, and would wait for 5 ms to get it back.
SWITCH_S = 0.0005

NAME = "paste_unicorn watcher"  # in `threading.enumerate()` and tracebacks


class Watcher:
    """Methods are called by the loop's thread, but for those below the line."""

    def __init__(
        self,
        loop: EpollLoop | SelectorLoop,
        clients: Clients,
        handoff: Handoff,
        listening: Listening,
        leaving: Leaving,
        exchange: Exchange,
        slot: SlotWriter,
        fresh: deque[Connection],
        accept: Callable[[int, float], None],
        leavers: Leavers,
    ) -> None:
        self._loop = loop
        self._clients = clients
        self._handoff = handoff
        self._listening = listening
        self._leaving = leaving
        self._slot = slot
        self._fresh = fresh  # accepted, and not looked at yet
        self._accept = accept  # from the listener that has this descriptor: into `fresh`
        self._exchange, self._leavers = exchange, leavers
        self._complain = exchange.complain
        self._run_application, self._finish = exchange.run, clients.finish
        self.running: Connection | None = None  # whose request the application has
        self._acting = False
        self._lock = threading.Lock()  # the watcher's, while it acts
        self._parked = False
        self._gate = threading.Lock()  # free only between `_wake` and the waking up
        self._gate.acquire()
        self._stuck: dict[int, int] = {}  # by descriptor: at how many ticks in a row it was readable
        self.started = False

    def start(self) -> None:
        """To be called after the fork, by the thread that runs the loop."""
        self.started = True
        try:
            own_thread.start(self._watch, NAME)
        except RuntimeError as error:  # the system gives no more threads
            self._complain("Connections that wait behind a long request will not be passed on", error)
        else:
            self._clients.run_requests_by(self.run)

    def run(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        """Run a request, and let others that wait be passed on meanwhile."""
        self.running = connection
        if self._parked:  # in this order: a watcher that is about to park looks once more whether something runs
            self._wake()
        try:
            response = self._run_application(connection, head, body, head.keep, length)
        finally:
            self.running = None
            if self._acting:
                self._wait()
        self._finish(connection, response)
        exchange = self._exchange
        if exchange.now - exchange.listened_at > LATE_S:
            self._leavers.look_again()

    def _wake(self) -> None:
        self._parked = False
        with contextlib.suppress(RuntimeError):  # it had not parked after all, and has been woken before
            self._gate.release()

    def _wait(self) -> None:
        """Until the watcher has done what it began while the application ran."""
        with self._lock:
            pass

    # -- the watcher's thread ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            try:
                self._watch_requests()
            except Exception as error:
                self._complain("A fault of the server itself, while connections were passed on", error)
                self._parked = True
            self._gate.acquire()

    def _watch_requests(self) -> None:
        """Until the worker is idle."""
        slot = self._slot
        number, tick_s = slot.writings, LOOK_S
        while True:
            sleep(tick_s)
            if slot.writings != number:
                number, tick_s = slot.writings, LOOK_S
                self._stuck.clear()
            elif self.running is None:
                # No request has begun since the last tick either.
                self._parked = True
                if self.running is None:
                    return
                self._parked = False
            else:
                self._act(number)
                tick_s = TICK_S

    def _act(self, number: int) -> None:
        """Relieve the loop, if the same request still runs."""
        with self._lock:
            self._acting = True
            try:
                running = self.running
                if running is not None and self._slot.writings == number:
                    self._relieve_quickly(running)
            finally:
                self._acting = False

    def _relieve_quickly(self, running: Connection) -> None:
        """With a short switch interval, and with the application's own again afterwards."""
        interval_s = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_S, interval_s))
        shortened_s = sys.getswitchinterval()
        try:
            self._relieve(running)
        finally:
            if sys.getswitchinterval() == shortened_s:
                sys.setswitchinterval(interval_s)

    def _relieve(self, running: Connection) -> None:
        """Pass on whoever waits, but the one that is being served and those in the middle of something."""
        leaving, handoff, by_fd = self._leaving, self._handoff, self._clients.by_fd
        for connection in self._fresh:  # who has just been accepted is no matter of that round of the loop any more
            if by_fd.get(connection.fd) is connection and not connection.watched:
                self._clients.watch(connection)
        now, events = monotonic(), dict(self._loop.poll(0))
        if handoff.room_fd in events:
            handoff.room_came()
        if leaving.began:
            leaving.step(now, {fd for fd, event in events.items() if event == READABLE}, but=running)
            return
        for fd in list(self._listening.by_fd):
            if self._is_stuck(fd, fd in events):
                self._accept(fd, now)
        readable = [by_fd[fd] for fd, event in events.items() if fd in by_fd and event == READABLE]
        for connection in (*readable, *self._clients.pending):
            if (
                connection is not running
                and by_fd.get(connection.fd) is connection
                and handoff.can_travel(connection)
                and not handoff.give(connection, True)
            ):
                break
        if self._is_stuck(handoff.fd, handoff.fd in events):
            kept = handoff.pass_back(now)
            if kept is not None:
                self._fresh.append(kept)  # it may have requests in its buffer, which no event tells of
                self._clients.watch(kept)

    def _is_stuck(self, fd: int, is_readable: bool) -> bool:
        """Whether nobody has taken for so long what came there; said once, then counted anew."""
        ticks = self._stuck[fd] = self._stuck.get(fd, 0) + 1 if is_readable else 0
        if ticks < STUCK_TICKS:
            return False
        self._stuck[fd] = 0
        return True

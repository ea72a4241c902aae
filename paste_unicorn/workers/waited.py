"""Requests that have waited, and are not run any more: their client has gone meanwhile, or has waited for too long.

A client has *gone* when its connection was reset, or is closed on both sides. One that has closed its own side only may
be waiting for its answer, and gets it. What the kernel knows of that comes with the loop's events; it is asked anew
where an application has kept the loop from looking for a while: for the plain request nothing is done here.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import time
from collections.abc import Callable, Iterable
from select import poll  # bound before a worker class may replace it
from typing import IO, TYPE_CHECKING

from ..http.refusals import WAITED_TOO_LONG, Refused
from .connection import BODY, HEAD, IDLE, LINGERING, RECEIVE_SIZE, RUNNING, Connection
from .exchange import Exchange
from .loop import GONE, EpollLoop, SelectorLoop

if TYPE_CHECKING:
    from ..http.parser import Head, HeadParser
    from .bodies import RunRequest
    from .clients import Clients
    from .incoming import Incoming

monotonic = time.monotonic

QUEUE_TIMEOUT = "queue-timeout"  # how it ended, in the access log
LATE_S = 0.02  # after so long without a look at them, clients may have gone

# Of `struct tcp_info` (linux/tcp.h): milliseconds since the peer's last data, in the kernel's ticks of 1 to 10 ms.
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_SINCE_DATA = struct.Struct("<52xI")


def has_gone(fd: int) -> bool:
    """Whether this connection is dead, in both directions."""
    waiting = poll()
    waiting.register(fd, 0)  # POLLERR and POLLHUP are reported always
    return bool(waiting.poll(0))


class Leavers:
    """Notices clients that have gone before their request was run. Owned by the loop's thread."""

    def __init__(
        self,
        loop: EpollLoop | SelectorLoop,
        clients: Clients,
        parser: HeadParser,
        exchange: Exchange,
        fresh: Iterable[Connection],
    ) -> None:
        self._loop = loop
        self._clients = clients
        self._parse = parser.parse
        self._exchange = exchange
        self._fresh = fresh  # accepted, and not looked at yet
        self._look_at = 0.0  # not before, in monotonic seconds

    def see_off(self, connection: Connection) -> None:
        """The loop says that this client has gone: what it asked is not run. (Batches go stale: is it still so?)"""
        phase = connection.phase
        if phase is LINGERING:
            # To close while bytes are unread would reset, and take along what the client has not read yet.
            self._clients.readable(connection)
        elif phase not in (IDLE, HEAD, BODY):
            self._clients.drop(connection)
        elif has_gone(connection.fd):
            line = self._asked(connection)
            if line:
                self._exchange.skip(connection, line)
            self._clients.drop(connection)

    def _asked(self, connection: Connection) -> bytes:
        """The request line of what it wanted to know, for the log; empty where it had not said that yet."""
        if connection.head is not None:
            return connection.head.line.raw
        data = bytes(connection.buffer)
        with contextlib.suppress(OSError):  # nothing more
            data += connection.receive(RECEIVE_SIZE)
        try:
            head = self._parse(data, 0)
        except Refused as refused:
            return refused.request_line
        return head.line.raw if head is not None else b""

    def look_at_fresh(self) -> None:
        """Those who came in may have waited for long in the listener's queue, or with a sibling."""
        by_fd = self._clients.by_fd
        for connection in self._fresh:
            if not connection.watched and by_fd.get(connection.fd) is connection and has_gone(connection.fd):
                self.see_off(connection)

    def look_again(self) -> None:
        """Applications have run for a while since the loop looked: who has gone in that time?"""
        now = self._exchange.now
        if now < self._look_at:
            return
        self._look_at = now + LATE_S
        by_fd = self._clients.by_fd
        for fd, event in self._loop.poll(0):
            connection = by_fd.get(fd)
            if event & GONE and connection is not None and connection.phase in (IDLE, HEAD, BODY):
                self.see_off(connection)
        self.look_at_fresh()


class Door:
    """Where requests that have waited for longer than `queue_timeout` are turned away.

    How long one has waited is what the kernel knows: the time since its last bytes arrived, wherever it was then, in a
    listener's queue, in its own, or between two workers. Where it does not tell (Unix sockets, systems but Linux) it is
    the time since a worker's loop has seen that something can be read, which is less.
    """

    def __init__(self, limit_s: float, exchange: Exchange, refuse: Callable[[Connection, Refused, str], None]) -> None:
        self.limit_s = limit_s
        self._exchange = exchange
        self._refuse = refuse
        self.run: RunRequest  # what is behind it

    def enter(self, connection: Connection, head: Head, body: IO[bytes], length: int) -> None:
        """Run this request, or refuse it."""
        refused = self.judge(connection, head)
        if refused is None:
            self.run(connection, head, body, length)
        else:
            self._refuse(connection, refused, QUEUE_TIMEOUT)

    def judge(self, connection: Connection, head: Head) -> Refused | None:
        """With what this request is to be refused, if it has waited for too long."""
        if self.left_s(connection) >= 0:
            return None
        # Who asks again at once would only wait again.
        return Refused(WAITED_TOO_LONG, head.line.raw, math.ceil(self.limit_s))

    def left_s(self, connection: Connection) -> float:
        """How much longer what has arrived there may wait, in seconds; below 0 its time is up."""
        return self.limit_s - self._waited_s(connection)

    def note_wait(self, connection: Connection) -> None:
        """It has come this far, and is going to wait for a thread: from now on its phase has begun with its wait."""
        connection.since, connection.phase = monotonic() - self._waited_s(connection), RUNNING

    def _waited_s(self, connection: Connection) -> float:
        now, phase = monotonic(), connection.phase
        if phase is RUNNING:
            return now - connection.since  # as was noted
        longest_s = math.inf
        if phase is IDLE:
            # A request in a row waits for the answer before it, which is its own client's matter.
            longest_s = now - connection.since
        elif phase is BODY and connection.incoming is not None:
            longest_s = self._since_client_s(connection, connection.incoming, now)
        if _TCP_INFO is not None and connection.sock.family != socket.AF_UNIX:
            try:
                info = connection.sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SINCE_DATA.size)
                milliseconds: int = _SINCE_DATA.unpack(info)[0]
                return min(longest_s, milliseconds / 1000)
            except (OSError, struct.error):
                pass  # not this kernel
        seen_at = max(connection.ready_since, connection.since)  # by a sibling, in this phase
        if connection.ready_since < connection.since:
            seen_at = self._exchange.listened_at if connection.watched else now
        return min(longest_s, max(0.0, now - seen_at))

    def _since_client_s(self, connection: Connection, incoming: Incoming, now: float) -> float:
        """How long it is at most that nobody waits for this client's body any more, whatever it has sent of it."""
        if incoming.cut_off:
            return now - self._exchange.listened_at  # it has ended its side: the loop has just seen that
        if not (incoming.received or incoming.complete):
            return max(0.0, now - connection.deadline)  # its first piece was waited for until then
        return math.inf

"""One client of `traffic.py`: at most one connection, at most one request under way, and every end told apart.

A request counts as answered when status 200 and a whole body came, as *refused* when the server's kernel never took
the connection, and as *failed* in all other cases: also when the server closed a kept connection, lawfully, while the
request was on its way. Latency is counted from when a request was due, if its client was still busy then: who waits
behind a slow answer waits, although nothing was sent.

It needs nothing but the standard library, so that a benchmark may run it too.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

IP_BIND_ADDRESS_NO_PORT = 24  # the port is chosen when connecting, so one port serves many pairs of addresses
TCP_INFO_BYTES_ACKED = 120  # offset in struct tcp_info (linux/tcp.h); the handshake counts as one byte
UNACKNOWLEDGED_S = 0.1  # an accepted connection acknowledges at once; after that long the queue had no room
EVENTS = 20_000  # failures and closings that are told one by one, the first ones

IDLE, CONNECTING, ASKING, CLOSING = "idle", "connecting", "asking", "closing"


class Loop(Protocol):
    """What a client needs of the loop that it lives in."""

    address: tuple[str, int]

    def watch(self, client: Client, events: int) -> None: ...

    def watch_again(self, client: Client, events: int) -> None: ...

    def forget(self, client: Client) -> None: ...

    def at(self, due: float, client: Client) -> None: ...


class Tally:
    """What happened to one load."""

    def __init__(self) -> None:
        self.sent = self.answered = self.refused = self.closed = 0
        self.failed: Counter[str] = Counter()
        self.latencies = array("d")
        self.slowest = (0.0, 0.0)  # seconds, and when it ended
        self.bodies: dict[str, list[float]] = {}  # body: how often, first and last time
        self.events: list[dict[str, Any]] = []

    def as_dict(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "answered": self.answered,
            "refused": self.refused,
            "closed": self.closed,
            "failed": dict(self.failed),
            **summary(self.latencies),
            "slowest_at": self.slowest[1],
            "bodies": self.bodies,
            "events": self.events,
        }


def summary(seconds: Iterable[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    ordered = sorted(seconds) or [0.0]
    return {"p50_s": ordered[len(ordered) // 2], "p99_s": ordered[len(ordered) * 99 // 100], "max_s": ordered[-1]}


class Client:
    """One client: at most one connection, at most one request under way."""

    def __init__(self, loop: Loop, load: dict[str, Any], tally: Tally, source: str) -> None:
        self.loop = loop
        self.tally = tally
        self.source = source
        self.every_s: float | None = load["every_s"]
        self.timeout_s: float = load["timeout_s"]
        self.kept: bool = load["kept"]
        fields = "" if self.kept else "Connection: close\r\n"
        self.request = f"GET {load['target']} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode()
        self.sock: socket.socket | None = None
        self.state = IDLE
        self.received = b""
        self.due = 0.0  # when the request under way was to begin
        self.began = 0.0  # from when its latency counts
        self.was_kept_waiting = False  # past the time when the next one is due
        self.connected_at = 0.0
        self.has_connected = False  # ever
        self.answered_on_this = 0
        self.last_body = ""  # of this connection: tells which process held it
        self.done: Callable[[], None] | None = None

    # -- a request from its beginning to its end ---------------------------------------------------------------

    def begin(self, due: float, began: float) -> None:
        self.due, self.began = due, began
        self.tally.sent += 1
        self.received = b""
        if self.sock is None and self.every_s is None and self.has_connected:
            self.tally.failed["its connection was closed"] += 1
            self._finish()
        elif self.sock is None:
            self._connect()
        else:
            self._send()

    def _connect(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answered_on_this, self.last_body, self.connected_at = 0, "", 0.0
        if self.source:
            self.sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            self.sock.bind((self.source, 0))
        self.state = CONNECTING
        error = self.sock.connect_ex(self.loop.address)
        if error not in (0, errno.EINPROGRESS):
            self._lost(os.strerror(error))
            return
        self.loop.watch(self, select.EPOLLOUT)

    def _send(self) -> None:
        assert self.sock is not None
        self.state = ASKING
        try:
            self.sock.send(self.request)
        except OSError as error:
            self._lost(_reason(error))

    def ready(self, events: int) -> None:
        """Its socket has something to say."""
        assert self.sock is not None
        if self.state is CONNECTING:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._lost(os.strerror(error))
                return
            self.connected_at = time.monotonic()
            self.has_connected = True
            self.loop.watch_again(self, select.EPOLLIN)
            self._send()
            return
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            self._ended(_reason(error))
            return
        if not data:
            self._ended("closed by the server")
        elif self.state is ASKING:
            self.received += data
            self._judge_if_whole()
        else:
            self._ended("sent what nobody asked for")

    def _judge_if_whole(self) -> None:
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        status, fields = _fields_of(head)
        length = int(fields.get(b"content-length", b"-1"))
        if len(body) < length:
            return
        now = time.monotonic()
        if status != 200 or len(body) != length:
            self._fail(f"status {status}, {len(body)} of {length} bytes")
            return
        self._answered(body.decode("latin-1").strip(), now)
        closes = fields.get(b"connection", b"").lower() == b"close"
        if not self.kept:
            self.state = CLOSING  # the server closes; were we the first, our ports would run out
            return
        self.state = IDLE
        if closes:
            self._closed("Connection: close in an answer")
        self._finish()

    def _answered(self, body: str, now: float) -> None:
        tally, latency_s = self.tally, now - self.began
        tally.answered += 1
        tally.latencies.append(latency_s)
        if latency_s > tally.slowest[0]:
            tally.slowest = (latency_s, now)
        seen = tally.bodies.setdefault(body, [0, now, now])
        seen[0] += 1
        seen[2] = now
        self.answered_on_this += 1
        self.last_body = body

    # -- ends that nobody wished -------------------------------------------------------------------------------

    def _ended(self, reason: str) -> None:
        """The connection is over, while a request was under way or not."""
        if self.state is ASKING:
            self._lost(reason + (" in an answer" if self.received else ""))
        elif self.state is CLOSING:
            self._close()
            self._finish()
        else:
            self._closed(f"while idle: {reason}")

    def _lost(self, reason: str) -> None:
        """The request under way gets no answer."""
        if self.state is CONNECTING or self._was_never_accepted():
            self.tally.refused += 1
            self._tell(f"refused: {reason}")
            self._close()
            self._finish(retry=True)
            return
        if self.kept:
            self.tally.closed += 1
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.tally.failed[reason] += 1
        self._tell(f"failed: {reason}")
        self._close()
        self._finish(retry=True)

    def _closed(self, what: str) -> None:
        """The server ended a kept connection that was not in use."""
        self.tally.closed += 1
        self._tell(f"closed: {what}")
        self._close()

    def _was_never_accepted(self) -> bool:
        """Whether the queue was full when our handshake ended: the kernel then takes nothing of what we send."""
        assert self.sock is not None
        if self.answered_on_this or time.monotonic() - self.connected_at < UNACKNOWLEDGED_S:
            return False
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        (acknowledged,) = struct.unpack_from("Q", info, TCP_INFO_BYTES_ACKED)
        return bool(acknowledged <= 1)

    def give_up_if_overdue(self, now: float) -> None:
        if self.state in (CONNECTING, ASKING, CLOSING) and now - max(self.began, self.due) > self.timeout_s:
            if self.state is CLOSING:
                self._fail("answered, but not closed")
            else:
                self._lost(f"nothing for {self.timeout_s:g} s")

    # -- after it ------------------------------------------------------------------------------------------------

    def _finish(self, retry: bool = False) -> None:
        """The request is over, one way or the other: what comes next."""
        self.state = IDLE
        if self.done is not None:
            done, self.done = self.done, None
            done()
        elif self.every_s is not None:
            # Who was cut off waits its turn; who was kept waiting has turns to catch up with.
            now = time.monotonic()
            due = now + self.every_s if retry else self.due + self.every_s
            self.was_kept_waiting = due < now
            self.loop.at(due, self)

    def _tell(self, what: str) -> None:
        if len(self.tally.events) < EVENTS:
            now = time.monotonic()
            self.tally.events.append(
                {
                    "at": now,
                    "what": what,
                    "body": self.last_body,
                    "began": self.began,
                    "connected_at": self.connected_at,
                    "answered": self.answered_on_this,
                    "port": _port(self.sock),
                }
            )

    def _close(self) -> None:
        if self.sock is not None:
            self.loop.forget(self)
            self.sock.close()
            self.sock = None


def _fields_of(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Status and fields; status 0 when the first line is none."""
    first, *lines = head.split(b"\r\n")
    parts = first.split(b" ", 2)
    status = int(parts[1]) if len(parts) > 1 and parts[0] == b"HTTP/1.1" and parts[1].isdigit() else 0
    pairs = (line.partition(b":") for line in lines)
    return status, {name.lower(): value.strip() for name, _, value in pairs}


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else repr(error)


def _port(sock: socket.socket | None) -> int:
    try:
        return int(sock.getsockname()[1]) if sock is not None else 0
    except OSError:
        return 0

"""Puts a connection into the pair that all workers share, takes one out; who puts it in no longer owns it.

A message is one SEQPACKET datagram: a header, the bytes that were read and not used (requests in a row, half a head),
and the descriptor beside them (SCM_RIGHTS). It says how long its header is, so that a later release may add to it: old
and new arbiter share the pair during an upgrade. Times are monotonic seconds, which all processes of a machine share.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import socket
import struct
import time
from _socket import socket as RawSocket
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ..process.fork import no_fork
from ..scoreboard import HANDED_OFF, TAKEN_OVER, SlotWriter
from ..wsgi.environ import peer_environ
from .connection import HEAD, IDLE, Connection, SendLimits
from .listening import is_readable, move_up
from .loop import WRITABLE, EpollLoop, SelectorLoop
from .peers import Entrance, Peers

if TYPE_CHECKING:
    import logging

    from ..process.handoff import HandoffPair
    from .clients import Clients

monotonic = time.monotonic

MOST_BYTES = 192 * 1024  # that travel along; the pair's default send buffer takes some 212,000 in one message
_OVERHEAD = 16 * 1024  # of a message, as the kernel counts
SPARE_DESCRIPTORS = 32  # below RLIMIT_NOFILE. A receiver that has none makes the kernel drop what it receives
NOT_YET_S = 0.005  # when to try again where no event will tell

_FIXED = struct.Struct("<4sHBBddd5H")  # mark, size of the header, family, flags, three times, sizes of five texts
_MARK = b"uni\1"
_WAITS_FOR_HEAD = 1
_FD = struct.Struct("i")
_MOST_TEXT = 4096  # bytes: a path has as many
_ROOM = MOST_BYTES + _FIXED.size + 5 * _MOST_TEXT
_ANCILLARY = socket.CMSG_SPACE(_FD.size)


class BadParcel(ValueError):
    """The message is none of ours."""


class Parcel(NamedTuple):
    """A connection in a message, without its descriptor."""

    family: int
    waits_for_head: bool  # for a first request, or for the rest of one; else for the next one
    ready_since: float  # it wants the application: since then something can be read, or has been; 0: it does not
    since: float
    deadline: float
    host: str  # of the peer
    port: str
    entrance: Entrance
    data: bytes  # read from the client, not used yet

    def encode(self) -> bytes:
        """As it travels."""
        texts = [
            text.encode("utf-8", "surrogateescape")[:_MOST_TEXT] for text in (self.host, self.port, *self.entrance)
        ]
        flags = _WAITS_FOR_HEAD * self.waits_for_head
        sizes = [len(text) for text in texts]
        fixed = _FIXED.pack(
            _MARK, _FIXED.size + sum(sizes), self.family, flags, self.ready_since, self.since, self.deadline, *sizes
        )  # fmt: skip
        return b"".join((fixed, *texts, self.data))

    @classmethod
    def decode(cls, message: bytes) -> Parcel:
        """The parcel in these bytes, none of which is trusted. Raises BadParcel."""
        if len(message) < _FIXED.size:
            raise BadParcel(f"a message of {len(message)} bytes")
        mark, header_size, family, flags, ready, since, deadline, *sizes = _FIXED.unpack_from(message)
        if mark != _MARK or not _FIXED.size + sum(sizes) <= header_size <= len(message):
            raise BadParcel(f"a message that begins with {message[:32]!r}")
        texts, at = [], _FIXED.size
        for size in sizes:
            texts.append(message[at : at + size].decode("utf-8", "surrogateescape"))
            at += size
        host, port, *entrance = texts
        waits = bool(flags & _WAITS_FOR_HEAD)
        return cls(family, waits, ready, since, deadline, host, port, Entrance(*entrance), message[header_size:])


class Handoff:
    """One worker's hands on the pair. Owned by whoever holds the worker's lock."""

    def __init__(
        self,
        pair: HandoffPair,
        loop: EpollLoop | SelectorLoop,
        clients: Clients,
        peers: Peers,
        send_limits: SendLimits,
        slot: SlotWriter,
        log: logging.Logger,
        gives: bool,
    ) -> None:
        self._into = pair.into
        self._out_of = pair.out_of
        self._loop = loop
        self._clients = clients
        self._peers = peers
        self._send_limits = send_limits
        self._counters = slot.counters
        self._log = log
        self.gives = gives  # whether connections of this worker may go to others; it takes theirs in any case
        self.fd = pair.out_of.fileno()
        self.room_fd = pair.into.fileno()
        self.watching = False
        self._most_bytes = min(
            MOST_BYTES, pair.into.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - _OVERHEAD
        )  # fmt: skip
        self._room = mmap.mmap(-1, _ROOM)  # only the pages that were used are memory
        self.waits_for_room = False  # an event will come when the pair has room again

    # -- giving ------------------------------------------------------------------------------------------------------

    def can_travel(self, connection: Connection) -> bool:
        """Whether nothing but the socket and some bytes make this connection what it is now."""
        phase = connection.phase
        return (
            (phase is IDLE or phase is HEAD)
            and not connection.output
            and connection.incoming is None
            and not connection.close_when_sent
            and len(connection.buffer) <= self._most_bytes
        )

    def give(self, connection: Connection, is_ready: bool) -> bool:
        """Put it in; False where that can't be done now: it stays ours, as it was.

        It leaves our epoll set before it is sent. Closing would not do: a registration lives as long as the open file,
        which lives on elsewhere (man 7 epoll, Q6).
        """
        events = connection.watched
        parcel = Parcel(
            connection.sock.family,
            connection.phase is HEAD,
            _ready_since(connection) if is_ready else 0.0,
            connection.since,
            connection.deadline,
            connection.peer["REMOTE_ADDR"],
            connection.peer["REMOTE_PORT"],
            self._peers.entrance(connection.environs),
            bytes(connection.buffer),
        )
        with no_fork:
            self._clients.forget(connection)
            if not self._send(parcel.encode(), connection.fd):
                self._clients.keep(connection, events)
                return False
            connection.release()
        self._counters[HANDED_OFF] += 1
        return True

    def _send(self, message: bytes, fd: int) -> bool:
        """EAGAIN: the pair is full. ETOOMANYREFS: this user has as many descriptors on the way as it may have open.
        ENOBUFS, ENOMEM: the kernel has no memory for it. All of them pass.
        """
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _FD.pack(fd))]
        try:
            self._into.sendmsg((message,), beside, socket.MSG_NOSIGNAL)
        except OSError as error:
            if error.errno == errno.EAGAIN and not self.waits_for_room:
                self._loop.add(self.room_fd, WRITABLE)
                self.waits_for_room = True
            return False
        return True

    def room_came(self) -> None:
        """The loop has reported that the pair has room again."""
        if self.waits_for_room:
            self._loop.remove(self.room_fd)
            self.waits_for_room = False

    # -- taking ------------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Let the loop report connections that siblings pass on; one of those who wait is woken for each."""
        if not self.watching:
            self._loop.add_shared(self.fd)
            self.watching = True

    def unwatch(self) -> None:
        """Leave them to siblings. (An exclusive registration can't be modified: it is deleted, and added again.)"""
        if self.watching:
            self._loop.remove(self.fd)
            self.watching = False

    def take(self, now: float) -> tuple[Connection, bool] | None:
        """The next connection, which is ours from now on, but not watched yet, and whether it wants the application at
        once; None when there is none.
        """
        while True:
            with no_fork:
                received = self._receive()
                if received is None:
                    return None
                message, fd = received
                try:
                    return self._unpack(Parcel.decode(message), fd, now)
                except BadParcel as error:
                    os.close(fd)
                    self._log.error("A connection that was passed on is lost: %s", error)

    def put_back(self, connection: Connection, is_ready: bool) -> bool:
        """What `take` gave finds no room here after all. False where the pair has none any more either: it is ours."""
        if not self.give(connection, is_ready):
            return False
        self._counters[HANDED_OFF] -= 1
        self._counters[TAKEN_OVER] -= 1
        return True

    def pass_back(self, now: float) -> Connection | None:
        """Take the next one and put it in again, which wakes another one of those who wait; where there is no room any
        more it is ours, as from `take`.
        """
        with no_fork:
            received = self._receive()
            if received is None:
                return None
            message, fd = received
            if self._send(message, fd):
                os.close(fd)
                return None
            return self._unpack(Parcel.decode(message), fd, now)[0]

    def _receive(self) -> tuple[bytes, int] | None:
        """A message and its descriptor."""
        while True:
            try:
                size, ancillary, flags, _ = self._out_of.recvmsg_into(
                    (self._room,), _ANCILLARY, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return None
            fds = list(_descriptors(ancillary))
            if len(fds) == 1 and not flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
                return self._room[:size], fds[0] if fds[0] > 2 else move_up(fds[0])
            for fd in fds:
                os.close(fd)
            if not size:
                return None
            self._log.error(
                "A connection that was passed on is lost: there was no free descriptor for it; "
                "raise the limit of open files (ulimit -n, LimitNOFILE=)"
            )

    def _unpack(self, parcel: Parcel, fd: int, now: float) -> tuple[Connection, bool]:
        sock = RawSocket(parcel.family, socket.SOCK_STREAM, 0, fd)
        sock.setblocking(False)
        connection = Connection(
            sock,
            peer_environ(parcel.host, parcel.port),
            self._peers.environs_of(parcel.entrance, parcel.host),
            self._send_limits,
            min(parcel.since, now),
        )
        connection.phase = HEAD if parcel.waits_for_head else IDLE
        # Whatever it sent while it was on its way is looked at before it is called overdue.
        connection.deadline = max(parcel.deadline, now + NOT_YET_S)
        connection.ready_since = parcel.ready_since
        connection.buffer += parcel.data
        self._counters[TAKEN_OVER] += 1
        self._clients.keep(connection, 0)
        return connection, parcel.ready_since > 0

    def has_descriptors(self) -> bool:
        """Whether enough descriptors are free to receive some connections."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return True
        try:
            count = os.stat("/proc/self/fd").st_size
        except OSError:
            count = 0
        if not count:  # before Linux 6.2 it doesn't tell; the lowest free one does, where there are no gaps
            try:
                count = os.dup(self.fd)
            except OSError:
                return False
            os.close(count)
        return count < soft - SPARE_DESCRIPTORS

    def is_empty(self) -> bool:
        """Whether no connection waits to be taken, as far as one can see now."""
        return not is_readable(self.fd)


def _ready_since(connection: Connection) -> float:
    """Now, unless a sibling that has passed it on to us saw it before, in the same phase."""
    return connection.ready_since if connection.ready_since >= connection.since else monotonic()


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> Iterable[int]:
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            for (fd,) in _FD.iter_unpack(content[: len(content) - len(content) % _FD.size]):
                yield fd

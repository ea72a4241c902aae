"""Accepting connections, and what to do when the system has no room for another."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import select
import socket
import struct
from _socket import socket as RawSocket  # without the Python layer: 1 µs less for each connection
from collections.abc import Iterable
from select import POLLIN, poll  # bound before a worker class may replace it
from typing import Any

from ..process.listener import Listener
from ..scoreboard import Scoreboard
from .loop import EpollLoop, SelectorLoop

PAUSE_S = 0.5  # how long to let the queue wait when descriptors or memory have run out

_EXHAUSTED = {errno.EMFILE, errno.ENFILE}
_GIVEN_UP = {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR}

# While a server stops for good its listeners demand this many hops (see `arbiter/`), and connections inherit it.
_IP_MINTTL = 21
_IPV6_MINHOPCOUNT = 73


class Listening:
    """The listeners of one worker. Owned by its loop's thread."""

    def __init__(
        self,
        loop: EpollLoop | SelectorLoop,
        listeners: Iterable[Listener],
        scoreboard: Scoreboard,
        log: logging.Logger,
    ) -> None:
        self._loop = loop
        self._scoreboard = scoreboard
        self._log = log
        self.by_fd = {listener.sock.fileno(): listener for listener in listeners}
        for listener in self.by_fd.values():
            listener.sock.setblocking(False)  # an application may have called socket.setdefaulttimeout
        self._left: dict[int, Listener] = {}  # to siblings
        # The scoreboard's number while all listeners are as usual.
        born_late = scoreboard.stopping or any(_is_closing(listener) for listener in self.by_fd.values())
        self._closings = -1 if born_late else scoreboard.closings
        self.watching = False
        self.paused_until = 0.0  # monotonic seconds; 0: not paused

    def watch(self) -> None:
        """Let the loop report waiting connections."""
        if not self.watching:
            for fd in self.by_fd:
                self._loop.add_shared(fd)
            self.watching = True

    def unwatch(self) -> None:
        """Leave waiting connections to siblings, or in the kernel's queue."""
        if self.watching:
            for fd in self.by_fd:
                self._loop.remove(fd)
            self.watching = False

    def leave_to_siblings(self) -> None:
        """Accept nothing more, but on listeners that take no new connections: what is in their queues has nobody else.

        A reload removes listeners so. Siblings, if there are any, retire as well.
        """
        for fd, listener in list(self.by_fd.items()):
            if not _is_closing(listener):
                if self.watching:
                    self._loop.remove(fd)
                self._left[fd] = self.by_fd.pop(fd)

    def take_back(self) -> None:
        """Accept again on all of them: no sibling will."""
        for fd, listener in self._left.items():
            self.by_fd[fd] = listener
            if self.watching:
                self._loop.add_shared(fd)
        self._left.clear()

    def accept(self, listener: Listener, now: float) -> tuple[RawSocket, Any] | None:
        """The next waiting connection, non-blocking, and its peer's address; None when there is none to be had."""
        try:
            fd, address = listener.sock._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            if listener.is_unix and _is_shut_down(listener.sock.fileno()):
                self._forget(listener)
            return None
        except OSError as error:
            if error.errno not in _GIVEN_UP:
                self._pause(listener, error, now)
            return None
        if fd < 3:
            fd = move_up(fd)
        sock = RawSocket(listener.family, socket.SOCK_STREAM, 0, fd)
        sock.setblocking(False)
        # The arbiter says so before it changes a listener: whatever inherited the change is seen here.
        if self._scoreboard.closings != self._closings and not listener.is_unix:
            restore_min_ttl(sock, listener.family)
        return sock, address

    def _pause(self, listener: Listener, error: OSError, now: float) -> None:
        self.unwatch()
        self.paused_until = now + PAUSE_S
        advice = ""
        if error.errno in _EXHAUSTED:
            advice = "; raise the limit of open files (ulimit -n, LimitNOFILE=) or lower worker_connections"
        self._log.error(
            "Can't accept connections on %s for the moment: %s. They wait in the kernel's queue%s",
            listener.address, error.strerror, advice,
        )  # fmt: skip

    def _forget(self, listener: Listener) -> None:
        """A Unix listener that was shut down, and whose queue has run dry, stays readable for ever."""
        fd = listener.sock.fileno()
        if self.by_fd.pop(fd, None) is not None and self.watching:
            self._loop.remove(fd)

    def resume(self, now: float) -> None:
        """Look at the queue again, unless a pause is still on."""
        if self.paused_until <= now:
            self.watch()

    def queue_is_empty(self) -> bool:
        """Whether no connection waits to be accepted on any listener, as far as one can see now."""
        return not any(is_readable(fd) for fd in self.by_fd)


def move_up(fd: int) -> int:
    """Another descriptor for a new socket that got a number below 3, because the application has closed that one.

    Whatever writes to the standard streams would write to the client. What stands there instead is /dev/null.
    """
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, fd)
    os.close(null)
    return moved


def restore_min_ttl(sock: RawSocket, family: int) -> None:
    """Let a connection live that was accepted from a listener which takes no new handshakes any more."""
    for level, option in ((socket.IPPROTO_IP, _IP_MINTTL), (socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT)):
        if level == socket.IPPROTO_IP or family == socket.AF_INET6:
            try:
                sock.setsockopt(level, option, 0)
            except OSError:
                continue  # not on this system, or not for this family


def reset_on_close(sock: RawSocket) -> None:
    """Let the close reset the connection, where a plain end would look like the end of the answer."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _is_closing(listener: Listener) -> bool:
    """Whether a listener takes no new connections any more, but may have some in its queue."""
    sock = listener.sock
    if listener.is_unix:
        return _is_shut_down(sock.fileno())
    try:
        return sock.getsockopt(socket.IPPROTO_IP, _IP_MINTTL) > 0 or (
            listener.family == socket.AF_INET6 and sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT) > 0
        )
    except OSError:
        return False  # not on this system


def _is_shut_down(fd: int) -> bool:
    """Whether a listener takes no new connections any more. Where the kernel can't tell, it does."""
    if not hasattr(select, "POLLRDHUP"):
        return False
    waiting = poll()
    waiting.register(fd, select.POLLRDHUP)
    return bool(waiting.poll(0))


def is_readable(fd: int) -> bool:
    """Whether something can be taken from this descriptor now."""
    waiting = poll()
    waiting.register(fd, POLLIN)
    return bool(waiting.poll(0))

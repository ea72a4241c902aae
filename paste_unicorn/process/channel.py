"""A Unix socket pair that carries messages and, beside them, descriptors.

SOCK_SEQPACKET keeps the borders of messages and, unlike SOCK_DGRAM, shows the end of the other side. A message is one
datagram; what is too long for that (an origin with a huge environment) lies in a file whose descriptor travels instead.
"""

from __future__ import annotations

import array
import os
import socket
import tempfile
from collections.abc import Sequence
from typing import IO

from .messages import Imported, Message, decode, encode

_MAX_MESSAGE = 128 * 1024  # one datagram; the default send buffer holds 212,992 bytes (man 7 socket)
_IN_A_FILE = b"the last descriptor has it"  # no JSON: whoever does not know it says that the message is unknown
_MAX_FDS = 253  # SCM_MAX_FD, man 7 unix
_PATHS_AT_ONCE = 40  # a path has at most 4,096 bytes


class Channel:
    """One end of a pair. Owned by one process; `close` it in every other that inherits it by fork."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends, blocking, close-on-exec."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def from_fd(cls, fd: int) -> Channel:
        """The end that an exec'ed process was given as this descriptor."""
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
        return cls(sock)

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message with copies of these descriptors.

        Raises BlockingIOError (a non-blocking end whose queue is full) or OSError (nobody there any more).
        """
        data = encode(message)
        if len(data) <= _MAX_MESSAGE:
            self._send(data, fds)
            return
        with _file() as file:
            file.write(data)
            file.flush()
            self._send(_IN_A_FILE, (*fds, file.fileno()))

    def _send(self, data: bytes, fds: Sequence[int]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors (close-on-exec); None at the end.

        Raises BlockingIOError when there is none yet, UnknownMessage.
        """
        space = socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self.sock.recvmsg(_MAX_MESSAGE, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
        if not data:
            return None
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        if data == _IN_A_FILE and fds:
            with open(fds.pop(), "rb") as file:
                file.seek(0)
                data = file.read()
        return decode(data), list(fds)

    def close(self) -> None:
        self.sock.close()


def _file() -> IO[bytes]:
    """In memory, where the system can: an environment has secrets."""
    return open(os.memfd_create("message"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


def report(reports: socket.socket, message: Message) -> None:
    """A worker tells the arbiter something. Raises OSError when there is no arbiter any more."""
    channel = Channel(reports)
    if isinstance(message, Imported):
        # The first report of a worker names all its modules: too many for one datagram.
        for start in range(0, len(message.paths), _PATHS_AT_ONCE):
            channel.send(Imported(message.paths[start : start + _PATHS_AT_ONCE]))
    else:
        channel.send(message)

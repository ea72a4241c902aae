"""Between our last word and the close: the client takes what the kernel still holds, and stops sending.

To close while bytes of the client are unread resets the connection, and takes along what it has not got yet (RFC 9112
§9.6). So we end our side, and read on, and throw away, as long as the client gets on with it: while the kernel holds
some of the answer, it has to take some again and again, as before (`send_timeout`). When it has all, it may stop
sending; who does not is waited for no longer than LINGER_MOST_S.
"""

from __future__ import annotations

import contextlib
import fcntl
import sys
import termios
import time
from _socket import socket as RawSocket
from typing import TYPE_CHECKING

from .deadlines import LINGER_S, SCAN_INTERVAL_S

if TYPE_CHECKING:
    from .connection import Connection

monotonic = time.monotonic

LINGER_MOST_S = 30.0  # how long who has its whole answer may go on sending


class _Goodbye:
    """How it stands with one client; all times are monotonic seconds."""

    __slots__ = ("arrived_at", "had_all_at", "held", "took_at")

    def __init__(self, held: int, now: float) -> None:
        self.held = held  # bytes of ours that it had not taken, when we last looked
        self.took_at = now  # when it last had taken some
        self.had_all_at = now  # since when it has all, where it has
        self.arrived_at = now  # when it last sent something


class Lingering:
    """The connections that are LINGERING. Owned by the loop's thread."""

    def __init__(self, send_s: float) -> None:
        self._send_s = send_s
        self._goodbyes: dict[Connection, _Goodbye] = {}

    def begin(self, connection: Connection, now: float) -> float:
        """All is given to the kernel, and our side is ended. When to look next, in monotonic seconds."""
        goodbye = self._goodbyes[connection] = _Goodbye(held_by_kernel(connection.sock), now)
        return now + (SCAN_INTERVAL_S if goodbye.held else LINGER_S)

    def arrived(self, connection: Connection) -> None:
        """The client still sends."""
        self._goodbyes[connection].arrived_at = monotonic()

    def look(self, connection: Connection, now: float) -> float:
        """When to look next; 0 if there is nothing more to wait for."""
        goodbye = self._goodbyes[connection]
        if goodbye.held:
            held = held_by_kernel(connection.sock)
            if held < goodbye.held:
                goodbye.held = held
                goodbye.took_at = goodbye.had_all_at = now
            if held:
                return now + SCAN_INTERVAL_S if now < goodbye.took_at + self._send_s else 0.0
        silent_at = max(goodbye.arrived_at, goodbye.had_all_at) + LINGER_S
        due = min(silent_at, goodbye.had_all_at + LINGER_MOST_S)
        return due if now < due else 0.0

    def is_owed(self, connection: Connection, now: float) -> bool:
        """Whether a close would harm the answer of this client most likely, so that a worker has to stay for it.

        For one that sends nothing more the kernel goes on alone; for one that has all, LINGER_S is enough.
        """
        goodbye = self._goodbyes[connection]
        return now < (goodbye.arrived_at if goodbye.held else goodbye.had_all_at) + LINGER_S

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self._goodbyes.pop(connection, None)


def held_by_kernel(sock: RawSocket) -> int:
    """Bytes that were sent, and are not known to have arrived (the end of our side is one of them).

    0 where the system does not tell.
    """
    with contextlib.suppress(OSError):
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0

"""The syslog daemon as the end of a log: messages by RFC 3164 over a Unix, UDP or TCP socket.

``logging.handlers.SysLogHandler`` blocks in ``connect`` and in ``send``, and so would make visitors wait for
a syslog host that is down. Here nothing waits in ``send``: a message that the kernel doesn't take at once is
lost and counted.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Callable
from logging.handlers import SysLogHandler
from socket import getaddrinfo
from socket import socket as Socket  # bound before a worker class may replace it
from typing import Any

from paste_unicorn.settings.syslog import SyslogAddress

_RETRY_S = 5.0
_CONNECT_S = 0.1
_LONGEST = 8192
"""Bytes of one message. Daemons cut at 1 to 8 KiB, and a UDP datagram can't be above 65,507 (then
EMSGSIZE).
"""


def _severity(level: int) -> int:
    if level >= logging.CRITICAL:
        return SysLogHandler.LOG_CRIT
    if level >= logging.ERROR:
        return SysLogHandler.LOG_ERR
    if level >= logging.WARNING:
        return SysLogHandler.LOG_WARNING
    return SysLogHandler.LOG_INFO if level >= logging.INFO else SysLogHandler.LOG_DEBUG


class SyslogSink:
    """One socket to the daemon, opened at the first message of each process and again when it breaks."""

    def __init__(self, address: SyslogAddress, facility: str, tag: str, say: Callable[[str, str], None]) -> None:
        self._address = address
        self._facility = SysLogHandler.facility_names[facility]  # RFC 3164 §4.1.1
        self._tag = tag  # "gunicorn.site.error": what a rule of the daemon selects by
        self._say = say
        self._family: int = socket.AF_UNIX
        self._target: Any = address.path or None  # None until the name was looked up
        self._sock: socket.socket | None = None
        self._pid = 0  # which process opened it: two processes must not share a stream
        self._failing = False
        self._lost = 0
        self._retry_at = 0.0

    def write(self, level: int, line: str) -> None:
        """Send one message; never raises, and waits only while it connects, see `_connect`."""
        pid = os.getpid()
        head = f"<{self._facility << 3 | _severity(level)}>{self._tag}[{pid}]: "
        data = (head + line).encode("utf-8", "backslashreplace")[:_LONGEST]
        try:
            self._send(data, pid)
        except (OSError, UnicodeError) as error:
            self._failed(error)
            return
        if self._failing:
            lost, self._lost, self._failing = self._lost, 0, False
            self._say("WARNING", f"Syslog takes lines again; {lost} lines of this process were lost.")

    def reopen(self) -> None:
        """Connect anew at the next message."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _send(self, data: bytes, pid: int) -> None:
        if self._sock is None or self._pid != pid:
            if self._failing and self._pid == pid and time.monotonic() < self._retry_at:
                raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
            self._retry_at = time.monotonic() + _RETRY_S
            self._pid = pid
            self.reopen()
            self._sock = self._connect()
        if not self._address.stream:
            # Not connected: a connected UDP socket reports on one message that the last one found nobody.
            self._sock.sendto(data, self._target)
            return
        # RFC 6587 §3.4.2 frames by newline over TCP; over a Unix stream, syslog(3) ends a message by NUL.
        data += b"\0" if self._address.path else b"\n"
        if self._sock.send(data) != len(data):  # cut: what follows would be glued to it
            self.reopen()
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    def _connect(self) -> socket.socket:
        """A socket; a stream's connect may take a moment, at most once in some seconds. A name is looked
        up once.
        """
        kind = socket.SOCK_STREAM if self._address.stream else socket.SOCK_DGRAM
        if self._target is None:
            found = getaddrinfo(self._address.host, self._address.port, 0, kind)[0]
            self._family, self._target = found[0], found[4]
        sock = Socket(self._family, kind)
        try:
            if self._address.stream:
                sock.settimeout(_CONNECT_S)
                sock.connect(self._target)
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
        return sock

    def _failed(self, error: OSError | UnicodeError) -> None:
        self._lost += 1
        if not isinstance(error, BlockingIOError):
            self.reopen()
        if not self._failing:
            self._failing = True
            self._say(
                "ERROR",
                f"Could not log to syslog at {self._address.path or self._address.host} ({error}); "
                "requests go on, their lines are lost until it takes them again.",
            )

"""How long a write may wait for whoever reads what is written: for ever in a worker, a moment in the arbiter.

A pipe whose reader stands still, or a terminal that was stopped (Ctrl-S), takes nothing more once it is full. A worker
may wait for it, as any program does: the arbiter sees, and replaces it. The arbiter itself would hear no signal
meanwhile. O_NONBLOCK can't help: it belongs to the open file, which we share with workers and with whoever started us.
So the arbiter opens the same pipe once more for each write (``man 5 proc``, /proc/pid/fd).
"""

from __future__ import annotations

import errno
import os
import stat
import time
from select import PIPE_BUF, POLLOUT, poll  # bound before a worker class may replace it

PATIENCE_S = 0.1
"""Of the arbiter. A reader that is alive may be late, and its pipe full of what workers say."""

STANDS_STILL = "whoever reads it stands still"

_has_lost_it = False


def write(fd: int, data: bytes, patience_s: float = PATIENCE_S) -> int:
    """``os.write``, which gives how many bytes were written; in the arbiter they may be too few.

    Raises OSError; in the arbiter BlockingIOError, where nothing could be written in time.
    """
    if not _has_lost_it or not may_stall(fd):
        return os.write(fd, data)
    until = time.monotonic() + patience_s
    written = 0
    while written < len(data):
        try:
            written += _write_at_once(fd, data[written:])
        except BlockingIOError:
            left_s = until - time.monotonic()
            if left_s > 0:
                _has_room(fd, left_s)
            elif written:
                break
            else:
                raise BlockingIOError(errno.EAGAIN, STANDS_STILL) from None
    return written


def may_stall(fd: int) -> bool:
    """Whether somebody has to read what is written there, or the next write waits."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)


def lose() -> None:
    """This process never waits for long from now on; its children do."""
    global _has_lost_it
    _has_lost_it = True


def _find_again() -> None:
    global _has_lost_it
    _has_lost_it = False


def _write_at_once(fd: int, data: bytes) -> int:
    """What there is room for. Raises OSError; BlockingIOError: there is none."""
    try:
        again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # a socket, somebody else's pipe, one without a reader, another system
        if not _has_room(fd, 0.0):
            raise BlockingIOError from None
        return os.write(fd, data[:PIPE_BUF])  # a pipe that has room takes so much without waiting (`man 7 pipe`)
    try:
        return os.write(again, data)
    finally:
        os.close(again)


def _has_room(fd: int, timeout_s: float) -> bool:
    asked = poll()
    asked.register(fd, POLLOUT)
    return bool(asked.poll(timeout_s * 1000))


os.register_at_fork(after_in_child=_find_again)

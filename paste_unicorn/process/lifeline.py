"""The pipe whose last writer is the arbiter, and the kernel's SIGKILL when it is gone.

End-of-file seen by an event loop would not do: a worker inside a long request held the port for as long as
that took. So each process opens its *own* description of the pipe (owner and O_ASYNC belong to the open file
description, which forks share) and asks the kernel for the signal (`man 2 fcntl`, F_SETOWN, F_SETSIG). Losing
the arbiter ends a process at once, whatever it is doing; losing the template ends nothing.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from select import POLLHUP, POLLIN, poll  # bound before any worker class replaces them


class Lifeline:
    """`read_fd` is inherited by every process; `write_fd` only the arbiter has (-1 elsewhere)."""

    def __init__(self, arbiter_pid: int, read_fd: int, write_fd: int = -1) -> None:
        self.arbiter_pid = arbiter_pid
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._armed_fd = -1  # this process's own description

    @classmethod
    def create(cls) -> Lifeline:
        """A new pipe, for the arbiter."""
        return cls(os.getpid(), *os.pipe())

    def let_go(self) -> None:
        """In a forked child, first thing: the write end is the arbiter's alone, the armed end belongs to our
        parent.
        """
        for fd in (self.write_fd, self._armed_fd):
            if fd != -1:
                os.close(fd)
        self.write_fd = self._armed_fd = -1

    def arm(self) -> None:
        """From now on this process dies by SIGKILL when the arbiter does; dies here if it already has.

        To be called before `user` and `group` are given up: opening /proc/self/fd/N is EACCES afterwards.
        """
        if hasattr(fcntl, "F_SETSIG") and os.path.exists("/proc/self/fd"):
            fd = os.open(f"/proc/self/fd/{self.read_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
            self._armed_fd = fd
        else:
            threading.Thread(target=self._watch, name="lifeline", daemon=True).start()
        # A writer that was gone before sends no signal any more.
        if self.is_cut():
            os.kill(os.getpid(), signal.SIGKILL)

    def is_cut(self) -> bool:
        """Whether the arbiter is gone."""
        return _is_cut(self.read_fd, 0)

    def _watch(self) -> None:
        while not _is_cut(self.read_fd, None):
            pass
        os.kill(os.getpid(), signal.SIGKILL)


def _is_cut(fd: int, timeout_ms: int | None) -> bool:
    waiting = poll()
    waiting.register(fd, POLLIN)
    return any(event & POLLHUP for _, event in waiting.poll(timeout_ms))

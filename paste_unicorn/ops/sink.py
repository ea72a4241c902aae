"""The end of a log: a descriptor that takes whole lines and never raises.

A log that can't be written (a full disk, a folder that is gone, a pipe without a reader) must cost the
operator lines, not the visitor a request. So a failure is said once on the console, the lost lines are
counted, and the first line that can be written again is preceded by that count. There is no lock and no
buffer: one line is one ``write`` on a descriptor in append mode, which the kernel keeps whole between
processes (``man 2 open``, O_APPEND), and which starts at the true end of the file after a ``copytruncate``.
How long that write may wait for a reader is another matter: ``patience.py``.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from paste_unicorn.ops.patience import STANDS_STILL, may_stall
from paste_unicorn.ops.patience import write as write_to

_RETRY_S = 1.0
"""How often a log that fails is opened anew, in seconds: the file system may have been mounted again."""


class LogsProblem(ValueError):
    """Settings of the logs that can't be honoured; a line of ``str()`` names the setting, what was wrong and what
    to do.
    """


def stamp(now: float) -> str:
    """``[2026-11-24 13:00:01 +0000] [4711]``: how every line of the error log begins, in local time."""
    return time.strftime("[%Y-%m-%d %H:%M:%S %z]", time.localtime(now)) + f" [{os.getpid()}]"


class Console:
    """Where a failing log is complained about: standard error as it was at the start."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def say(self, level: str, sentence: str) -> None:
        """Write one line in the layout of the error log; where even that fails, there is nobody left to
        tell.
        """
        line = f"{stamp(time.time())} [{level}] {sentence}\n"
        try:
            write_to(self.fd, line.encode("utf-8", "backslashreplace"))
        except OSError:
            return


class Sink:
    """One open log. Used by any thread of the process; children inherit it by fork and go on with it."""

    __slots__ = ("_failing", "_lost", "_retry_at", "_say", "_torn", "fd", "path", "what")

    def __init__(self, what: str, fd: int, path: str | None, say: Callable[[str, str], None] | None) -> None:
        self.what = what  # how sentences name it: "error log /var/log/site.log"
        self.fd = fd  # stays the same number for ever: faulthandler and forked children hold it
        self.path = path  # None: somebody else's descriptor (standard error), never reopened nor owned
        self._say = say  # None: this sink is the console itself
        self._failing = False
        self._lost = 0  # lines that this process could not write since it began to fail
        self._torn = False  # the disk filled up in the middle of a line: the next one starts on a fresh line
        self._retry_at = 0.0

    @classmethod
    def open(cls, setting: str, what: str, path: str, say: Callable[[str, str], None]) -> Sink:
        """Open ``path`` for appending.

        Raises `LogsProblem` that names ``setting`` if it can't be opened.
        """
        try:
            fd = _open(path)
        except OSError as error:
            raise LogsProblem(
                f'{setting}: "{path}" can\'t be opened for writing ({error.strerror}); '
                "name a file in a folder that exists and that this user may write to"
            ) from None
        return cls(f"{what} {path}", fd, path, say)

    def write(self, line: bytes) -> None:
        """Append ``line`` (with its newline). Hot: one system call, nothing else, while all is well."""
        if self._failing:
            self._write_again(line)
            return
        try:
            if write_to(self.fd, line) != len(line):
                self._torn = True
                self._failed(_cut(self.fd))
        except OSError as error:
            self._failed(error)

    def reopen(self) -> None:
        """Open the path anew after a rotation, on the same descriptor; if that fails, say so and keep the
        old file.
        """
        if self.path is None:
            return
        try:
            fresh = _open_at_once(self.path)
        except OSError as error:
            if self._say is not None:
                self._say(
                    "ERROR",
                    f"Could not reopen the {self.what} ({error.strerror}); goes on in the file that is open.",
                )
            return
        os.dup2(fresh, self.fd, inheritable=False)
        os.close(fresh)

    def chown(self, uid: int, gid: int) -> None:
        """Give the file to the user that the workers run as, so that they may open it again after a
        rotation.
        """
        if self.path is not None:
            os.fchown(self.fd, uid, gid)

    def close(self) -> None:
        """Close a file of ours; a borrowed descriptor is left alone."""
        if self.path is not None:
            os.close(self.fd)

    def _failed(self, error: OSError) -> None:
        self._lost += 1
        if not self._failing:
            self._failing = True
            self._retry_at = time.monotonic() + _RETRY_S
            if self._say is not None:
                self._say(
                    "ERROR",
                    f"Could not write to the {self.what} ({error.strerror}); requests go on, their lines are "
                    "lost until it can be written again.",
                )

    def _write_again(self, line: bytes) -> None:
        if self.path is not None and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + _RETRY_S
            try:
                fresh = _open_at_once(self.path)
            except OSError:
                pass  # said when it began; the old descriptor may still come back
            else:
                os.dup2(fresh, self.fd, inheritable=False)
                os.close(fresh)
        said = f"The {self.what} can be written again; {self._lost} lines of this process were lost."
        ahead = "\n" if self._torn else ""
        if self._say is None:
            ahead += f"{stamp(time.time())} [WARNING] {said}\n"
        data = ahead.encode() + line
        try:
            written = write_to(self.fd, data, 0.0)
        except OSError:
            self._lost += 1
            return
        if written != len(data):
            self._torn = True
            self._lost += 1
            return
        self._lost, self._failing, self._torn = 0, False, False
        if self._say is not None:
            self._say("WARNING", said)


def _cut(fd: int) -> OSError:
    """Why only a part of a line was written."""
    if may_stall(fd):
        return OSError(errno.EAGAIN, STANDS_STILL)
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o644)


def _open_at_once(path: str) -> int:
    """A FIFO without a reader is an error (ENXIO), where `_open` waits for one."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK, 0o644)
    os.set_blocking(fd, True)
    return fd

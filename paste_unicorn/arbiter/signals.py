"""A signal to an event; whether an INT was typed at our terminal.

Handlers do nothing: the interpreter writes each signal's number into a socket that the arbiter's loop reads,
whichever thread the kernel chose (`signal.set_wakeup_fd`; a reloader has threads in this process).
"""

from __future__ import annotations

import os
import signal
import socket
from types import FrameType

from .events import Signal

_SIGNALS = {
    signal.SIGHUP: Signal.HUP,
    signal.SIGTERM: Signal.TERM,
    signal.SIGQUIT: Signal.QUIT,
    signal.SIGTTIN: Signal.TTIN,
    signal.SIGTTOU: Signal.TTOU,
    signal.SIGUSR1: Signal.USR1,
    signal.SIGUSR2: Signal.USR2,
    signal.SIGWINCH: Signal.WINCH,
}


class Signals:
    """What arrives, in order. Owned by the arbiter's main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (*_SIGNALS, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, _do_nothing)

    def fileno(self) -> int:
        """Readable when a signal has arrived."""
        return self._reader.fileno()

    def arrived(self) -> tuple[list[Signal], bool]:
        """The signals since the last call, and whether a child may have ended."""
        try:
            numbers = self._reader.recv(4096)
        except BlockingIOError:
            return [], False
        signals = []
        for number in numbers:
            if number == signal.SIGINT:
                signals.append(Signal.TYPED_INT if was_typed() else Signal.INT)
            elif number in _SIGNALS:
                signals.append(_SIGNALS[signal.Signals(number)])
        return signals, signal.SIGCHLD in numbers

    def close(self) -> None:
        """In a forked child: these are the arbiter's."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()


def was_typed() -> bool:
    """Whether we have a terminal and are in its foreground, so that a SIGINT comes from its keyboard.

    A Python handler is not told who sent a signal, and `sigtimedwait` would lose signals to the reloaders'
    threads.
    """
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(fd)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor has it."""

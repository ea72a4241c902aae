"""A signal to an event; whether an INT was typed at our terminal.

Handlers do nothing: the interpreter writes each signal's number into a pipe that the arbiter's loop reads,
whichever thread the kernel chose (`signal.set_wakeup_fd`; a reloader has threads in this process). A pipe, since a byte
in it costs a byte: 65,536 signals may wait, of which a socket pair held 278. Beyond that they are lost, but not the
wake-up, and children are looked for at each.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from ..process import signal_stack
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
_MANY = 1 << 16  # what a pipe holds (`man 7 pipe`)

# To be told twice is to be told once, if nothing was done in between: the last time counts.
_ONCE = frozenset({Signal.HUP, Signal.USR1, Signal.USR2, Signal.WINCH, Signal.RESIZED})

_FROM_TERMINALS = frozenset({signal.SIGINT, signal.SIGWINCH})


class Signals:
    """What arrives, in order. Owned by the arbiter's main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal_stack.widen()  # the application was loaded here, and may have enabled faulthandler
        ours = (*_SIGNALS, signal.SIGINT, signal.SIGCHLD)
        for number in ours:
            signal.signal(number, _do_nothing)
        # Whoever started us may have blocked some, and so may the application. Threads of its own, which wait for
        # signals or keep out of their way, have masks of their own (`man 3 pthread_sigmask`).
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)

    def fileno(self) -> int:
        """Readable when a signal has arrived."""
        return self._reader

    def arrived(self) -> tuple[list[Signal], bool]:
        """The signals since the last call, and whether a child may have ended: after any signal, one may."""
        try:
            numbers = os.read(self._reader, _MANY)
        except BlockingIOError:
            return [], False
        meant = {**_SIGNALS, signal.SIGINT: Signal.INT}
        if not _FROM_TERMINALS.isdisjoint(numbers) and has_the_terminal():
            meant |= {signal.SIGINT: Signal.TYPED_INT, signal.SIGWINCH: Signal.RESIZED}
        signals = [meant[signal.Signals(number)] for number in numbers if number in meant]
        return _without_repetitions(signals), True

    def close(self) -> None:
        """In a forked child: these are the arbiter's."""
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)


def _without_repetitions(signals: list[Signal]) -> list[Signal]:
    """A storm of thousands must not keep the arbiter from its work, nor fill its log."""
    kept: list[Signal] = []
    for one in reversed(signals):
        if one not in _ONCE or one not in kept:
            kept.append(one)
    return kept[::-1]


def signal_name(number: int) -> str:
    """As people call it; those of the real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def has_the_terminal() -> bool:
    """Whether we have a terminal and are in its foreground, so that a SIGINT comes from its keyboard, and a SIGWINCH
    from its window.

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

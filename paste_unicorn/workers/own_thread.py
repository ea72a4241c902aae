"""Threads of the server's own, beside the main thread: signals are not theirs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

# They interrupt what waits in the main thread, and their handlers run there. Faults are anybody's own.
_SIGNALS = signal.valid_signals() - {
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS, signal.SIGTRAP,
}  # fmt: skip


def start(target: Callable[[], None], name: str) -> None:
    """A thread that does not keep the process alive. Raises RuntimeError: the system gives no more threads."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        threading.Thread(target=target, name=name, daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

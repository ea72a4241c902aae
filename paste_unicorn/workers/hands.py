"""A pool's threads, one by one: each waits to be given the loop, runs requests, and may be interrupted in one.

An interruption is an exception in another thread (`PyThreadState_SetAsyncExc`): raised at its next bytecode, not where
it is blocked in C. It may hit only while the application has the thread; `Hand.lock` is what both sides ask.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

from . import own_thread
from .connection import Connection
from .exchange import Exchange

NAME = "paste_unicorn thread {}"  # in `threading.enumerate()` and tracebacks

_NAME = ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
_raise_in = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)(_NAME)
_raise_nothing_in = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(_NAME)


class Hand:
    """One thread."""

    def __init__(self, number: int, cell: int, exchange: Exchange) -> None:
        self.number = number
        self.cell = cell  # of the scoreboard
        self.exchange = exchange
        self.ident = 0  # of its thread
        self.gate = threading.Lock()  # free: it is given the loop
        self.gate.acquire()
        self.lock = threading.Lock()
        self.connection: Connection | None = None  # whose request it runs, while another one has the loop
        self._interrupted = False

    def start(self, target: Callable[[Hand], None]) -> None:
        """Raises RuntimeError: the system gives no more threads."""
        own_thread.start(lambda: self._run(target), NAME.format(self.number))

    def _run(self, target: Callable[[Hand], None]) -> None:
        self.ident = threading.get_ident()
        target(self)

    def interrupt(self, connection: Connection, error: type[BaseException]) -> None:
        """Raise this in the application, if it still runs this connection's request. From any thread."""
        with self.lock:
            if self.connection is connection:
                self._interrupted = True
                _raise_in(self.ident, error)

    def let_go(self) -> None:
        """The application has come back: from now on nobody interrupts this thread. By the thread itself."""
        while True:
            try:
                with self.lock:
                    self.connection = None
                    if self._interrupted:
                        self._interrupted = False
                        _raise_nothing_in(self.ident, None)  # what has not been raised yet never will
                return
            except BaseException:  # the interruption; it comes once
                continue

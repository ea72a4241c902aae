"""A pool's threads, one by one: each waits to be given the loop, runs requests, and may be interrupted in one.

An interruption is an exception in another thread (`PyThreadState_SetAsyncExc`): raised at its next bytecode, not where
it is blocked in C. It is for the application only: what is ours sees by itself that a client has gone.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable

from ..wsgi.gateway import respond
from . import own_thread
from .connection import Connection
from .exchange import Exchange

NAME = "paste_unicorn thread {}"  # in `threading.enumerate()` and tracebacks

_GATEWAY = respond.__module__
_OURS = tuple(f"{__name__.partition('.')[0]}.{room}." for room in ("http", "ops", "process", "workers", "wsgi"))
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
        self._place: tuple[int, int] | None = None  # where the application was seen, when it was to be interrupted

    def start(self, target: Callable[[Hand], None]) -> None:
        """Raises RuntimeError: the system gives no more threads."""
        own_thread.start(lambda: self._run(target), NAME.format(self.number))

    def _run(self, target: Callable[[Hand], None]) -> None:
        self.ident = threading.get_ident()
        target(self)

    def interrupt(self, connection: Connection, error: type[BaseException], even_if_busy: bool) -> bool:
        """Raise this in the application, if it is there that this connection's request is. Whether that was done.

        Where it computes, or is about to make something that it would lose, it is left alone at first: it is waiting
        if it stands where it stood when it was asked before.
        """
        with self.lock:
            if self.connection is not connection or self._interrupted:
                return False
            place = _place_in_application(self.ident)
            is_same, self._place = place == self._place, place
            if place is None or not (is_same or even_if_busy):
                return False
            self._interrupted = True
            _raise_in(self.ident, error)
            return True

    def let_go(self) -> None:
        """The application has come back: from now on nobody interrupts this thread. By the thread itself."""
        while True:
            try:
                with self.lock:
                    self.connection = self._place = None
                    if self._interrupted:
                        self._interrupted = False
                        _raise_nothing_in(self.ident, None)  # what has not been raised yet never will
                return
            except BaseException:  # the interruption; it comes once
                continue


def _place_in_application(ident: int) -> tuple[int, int] | None:
    """Where this thread is in what the gateway has called; None in what that has called of ours: something of ours, a
    descriptor for instance, might be lost there. (What we call waits for nothing but clients.)
    """
    innermost = frame = sys._current_frames().get(ident)
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name == _GATEWAY:
            return (id(innermost), innermost.f_lasti) if innermost is not frame and innermost is not None else None
        if name.startswith(_OURS):
            return None
        frame = frame.f_back
    return None

"""A pool's threads, one by one: each waits to be given the loop, runs requests, and may be interrupted in one.

An interruption is an exception in another thread (`PyThreadState_SetAsyncExc`): raised at its next bytecode, not where
it is blocked in C. It is for the application only: what is ours sees by itself that a client has gone.
"""

from __future__ import annotations

import ctypes
import dis
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import FrameType

from ..wsgi.gateway import respond
from . import own_thread
from .connection import Connection
from .exchange import Exchange

NAME = "paste_unicorn thread {}"  # in `threading.enumerate()` and tracebacks

_GATEWAY = respond.__module__
_OURS = tuple(f"{__name__.partition('.')[0]}.{room}." for room in ("http", "ops", "process", "workers", "wsgi"))
_WAIT = threading.Condition.wait.__code__  # below events, queues, semaphores and futures too
_WAITING = frozenset(("wait", "sleep", "select", "poll"))
# Waits for news where the application streams; before, it is a service's answer more likely, on a connection that
# others use after it. (`recv_into` is below buffered files: who reads by them is in the middle of something.)
_RECEIVING = frozenset(("recv", "recvfrom", "recvmsg", "_accept"))
_LOCKING = frozenset(("acquire", "__enter__", "_acquire_restore"))
_LOOKUPS = frozenset(("LOAD_METHOD", "LOAD_ATTR", "LOAD_SUPER_ATTR", "LOAD_GLOBAL", "LOAD_NAME"))  # of 3.10 to 3.13
_raise_in = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.py_object)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


class _Last(BaseException):
    """In the place of an interruption that has come too late, or behind one that came in time."""


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
        self.inline: deque[Connection] = deque()  # whose request it runs while it has the loop
        self.is_given_up = False  # its request is nobody's any more, and has not come back yet
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

        Only where it waits for time to pass or for news (see above), and stands where it stood when it was asked
        before; with `even_if_busy` also where it computes. Never where it waits for a lock: that would be its own when
        the exception is raised, and nobody's to release.
        """
        with self.lock:
            if self.connection is not connection or self._interrupted:
                return False
            frame = _frame_in_application(self.ident)
            if frame is None:
                return False
            place = (id(frame), frame.f_lasti)
            is_same, self._place = place == self._place, place
            names = _names_of_its_call(frame)
            waiting = _WAITING | _RECEIVING if _has_begun(connection) else _WAITING
            if names & _LOCKING or not (even_if_busy or (is_same and names & waiting)):
                return False
            self._interrupted = True
            _raise_in(self.ident, error)
            return True

    def give_up(self, connection: Connection) -> bool:
        """Nobody waits for this connection's request any more. False if it has come back, or has been given up."""
        with self.lock:
            if self.connection is not connection or self.is_given_up:
                return False
            self.is_given_up = True
            return True

    def let_go(self) -> None:
        """The application has come back: from now on nobody interrupts this thread. By the thread itself.

        What has not been raised yet never will: something else is, here and now. (To raise nothing in its place would
        leave Python 3.10 to 3.12 looking for it at each call of each thread, which makes them slower by up to 60 %.)
        """
        while True:
            try:
                with self.lock:
                    self.connection = self._place = None
                    self.is_given_up = False
                if not self._interrupted:
                    return
                _raise_in(self.ident, _Last)
                while True:
                    pass  # until it comes
            except _Last:
                self._interrupted = False
            except BaseException:  # the interruption; it comes once
                continue


def _has_begun(connection: Connection) -> bool:
    """Whether some of the answer has been sent."""
    response = connection.response
    return response is not None and response.head_sent


def _frame_in_application(ident: int) -> FrameType | None:
    """Where this thread is in what the gateway has called; None in what that has called of ours: something of ours, a
    descriptor for instance, might be lost there. (What we call waits for nothing but clients.)
    """
    innermost = frame = sys._current_frames().get(ident)
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name == _GATEWAY:
            return innermost if innermost is not frame else None
        if name.startswith(_OURS):
            return None
        frame = frame.f_back
    return None


def _names_of_its_call(frame: FrameType) -> set[str]:
    """What was looked up for the call that it is in: the function's name, and those of what it has been given.

    That is, since the line on which the call begins; some more where that line has several calls.
    """
    code, at = frame.f_code, frame.f_lasti
    if code is _WAIT:
        return {"wait"}  # which acquires a lock of its own, and knows that this may be interrupted
    if at < 0:  # before its first instruction, where Python 3.10 lets other threads in
        return set()
    lines = {start: line for start, _, line in code.co_lines() if start <= at}
    first = lines[max(lines)] or 0
    names: set[str] = set()
    line: int | None = first
    for step in dis.get_instructions(code):
        if step.offset > at:
            break
        line = lines.get(step.offset, line)
        if line is not None and line < first:
            names.clear()
        elif step.opname in _LOOKUPS:
            names.add(str(step.argval))
    return names

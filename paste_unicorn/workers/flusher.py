"""A thread that sends what clients did not take at once, while their applications go on.

Where a client reads slowly, some of a stream stays in the connection (`Connection.output`), and its application may
sleep before it gives the next item. Under gevent and eventlet the loop sends the rest meanwhile. Under sync the loop
waits for the application, and under threads it is busy with others, so there this thread does.

It has a connection from `hold` until `take_back`, or until all is sent, and does nothing with it but `flush`. Nobody
else appends, sends or closes in between: `connection.py` takes it back before. That comes down to this:

* `flush` takes a part out of `output` when the kernel has all of it. So where `output` looks empty this thread sends
  nothing more, and who finds it so need not ask: a request whose client reads costs nothing.
* It sends under the lock, and removes the entry last. So `take_back` may look without the lock: no entry, no sending.
* What is watched stays so when it is taken back: a client that reads slowly is held again with each item, which costs
  little then. The first event that comes while it is not held ends that, and so does `let_go`, before the descriptor is
  closed.

A client that has gone is dropped here. Its application learns it where it sends again, from the kernel; under threads
the worker's loop notices it as well.

Not one thread with the watcher: that looks by ticks, for siblings' sake and only where there are some, and while it
acts the worker's loop waits for it. This one sleeps until a client takes more, and only who sends to the same clients
may have to wait for it. It starts when a client has not taken all, and ends when that has not been so for a while: in a
process with one thread a system call costs less.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from . import own_thread
from .connection import ClientGone, Connection
from .loop import WRITABLE, make_loop

NAME = "paste_unicorn flusher"  # in `threading.enumerate()` and tracebacks
IDLE_S = 5.0  # with nothing held, before it ends


class Flusher:
    """One for all connections of a worker. Methods are called by who has a connection, but for those below the line."""

    def __init__(self, complain: Callable[[str, BaseException], None]) -> None:
        self._complain = complain
        self._loop = make_loop()
        self._lock = threading.Lock()  # guards what follows
        self._held: dict[int, Connection] = {}  # by descriptor
        self._watched: set[int] = set()
        self._is_running = False
        self._is_off = False
        os.register_at_fork(after_in_child=self._be_a_child)

    def hold(self, connection: Connection) -> None:
        """Send what is unsent as soon as its client takes it; without a thread, at once. Raises ClientGone."""
        if not self._is_off:
            fd = connection.fd
            with self._lock:
                if not self._is_running:
                    self._start()
                if not self._is_off:
                    self._held[fd] = connection
                    if fd not in self._watched:
                        self._watch(fd)
        if self._is_off:
            connection.flush_all()

    def take_back(self, connection: Connection) -> None:
        """When this returns, what is unsent is the caller's alone, until it is held again."""
        fd = connection.fd
        if fd in self._held:
            with self._lock:
                self._held.pop(fd, None)

    def let_go(self, connection: Connection) -> None:
        """The same for good: its descriptor may be closed."""
        fd = connection.fd
        if fd in self._held or fd in self._watched:
            with self._lock:
                self._held.pop(fd, None)
                self._unwatch(fd)

    def _start(self) -> None:
        self._is_running = True
        try:
            own_thread.start(self._run, NAME)
        except RuntimeError as error:  # the system gives no more threads
            self._is_off = True
            self._complain("Applications will wait for clients that read slowly", error)

    def _be_a_child(self) -> None:
        """In a child that the application has forked. The thread does not exist there, and may have had the lock; what
        is watched is watched for the parent. So nothing is held, and neither is touched.
        """
        self._is_off = True
        self._held = {}
        self._watched = set()

    # An interruption (`request_timeout`) may come between two steps of what is above. What it leaves watched ends with
    # its first event, and what it leaves held leaves with the next item.

    def _watch(self, fd: int) -> None:
        self._watched.add(fd)
        with contextlib.suppress(OSError, KeyError):  # it is watched, or the kernel has no memory for that
            self._loop.add(fd, WRITABLE)

    def _unwatch(self, fd: int) -> None:
        with contextlib.suppress(OSError, KeyError):  # it is not watched
            self._loop.remove(fd)
        self._watched.discard(fd)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            events = self._loop.poll(IDLE_S)
            if not events and self._may_end():
                return
            for fd, _ in events:
                try:
                    self._flush(fd)
                except Exception as error:
                    self._complain("A fault of the server itself; a client that reads slowly has to wait", error)

    def _may_end(self) -> bool:
        with self._lock:
            self._is_running = bool(self._held)
            return not self._is_running

    def _flush(self, fd: int) -> None:
        """Its client takes more, or has gone. (Batches go stale: whose number it is now loses nothing by a try.)"""
        with self._lock:
            connection = self._held.get(fd)
            if connection is None:
                self._unwatch(fd)
                return
            is_done = True
            try:
                with contextlib.suppress(ClientGone):
                    is_done = connection.flush()
            finally:
                if is_done:
                    self._unwatch(fd)
                    del self._held[fd]

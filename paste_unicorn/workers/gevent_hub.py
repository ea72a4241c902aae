"""Gevent's hub: the few calls by which it waits for us. Imported in workers of the class `gevent` only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket
from greenlet import getcurrent

_READ, _WRITE = 1, 2  # libev's


class _TooLong(Exception):
    """Nothing has happened in time: no timeout of the application's, which are for the application."""


class _Closed(Exception):
    """What is waited for does not exist any more."""


class GeventHub:
    """Callbacks run in the hub's own greenlet: whatever switches there comes back to where it was left."""

    socket_class: type[Any] = gevent.socket.socket

    def __init__(self) -> None:
        self._hub: Any = gevent.get_hub()
        self.greenlet: Any = self._hub
        self._main: Any = None
        self._watchers: list[Any] = []
        self._has_let_go = False
        self.waiting: set[Any] = set()  # greenlets that wait for a client
        self._waits: dict[int, list[tuple[Any, Callable[[], None]]]] = {}  # by descriptor: watchers, and who is called

    def run(self, fd: int, on_ready: Callable[[], None], every_s: float, on_time: Callable[[], None]) -> None:
        """Call back when `fd` is readable, and every so many seconds, until `stop`."""
        loop = self._hub.loop
        ready, timer = loop.io(fd, _READ), loop.timer(every_s, every_s)
        self._watchers = [ready, timer]
        ready.start(on_ready)
        timer.start(on_time)
        self._main = getcurrent()
        self._hub.switch()

    def stop(self) -> None:
        """Let `run` return."""
        for watcher in self._watchers:
            watcher.stop()
        self.soon(self._main.switch)

    def soon(self, callback: Callable[[], object], after_s: float = 0.0) -> None:
        """Call back in the next round of the hub, or after so many seconds."""
        if not after_s:
            self._hub.loop.run_callback(callback)
            return
        timer = self._hub.loop.timer(after_s)

        def ring() -> None:
            timer.close()
            callback()

        timer.start(ring)

    def let_go(self) -> None:
        """In a child that the application has forked: a loop of its own, which does not call us back."""
        gevent.reinit(self._hub)  # first of all: until then it is its parent's epoll object
        self._has_let_go = True
        for watcher in self._watchers:
            watcher.stop()

    def forget(self, fd: int) -> None:
        """The descriptor is about to be closed, after which libev ends the process if it is watched. Whoever waits for
        it is called.
        """
        for watcher, wake in self._waits.pop(fd, ()):
            watcher.stop()
            self.soon(wake)

    def wait(self, fd: int, readable: bool, writable: bool, timeout_s: float) -> bool:
        """In a greenlet of an application: wait for the descriptor; False after `timeout_s`."""
        watcher = self._hub.loop.io(fd, _READ * readable | _WRITE * writable)
        current = getcurrent()
        is_over = False

        def wake() -> None:
            if not is_over:
                current.throw(_Closed)

        waits, mine = self._waits.setdefault(fd, []), (watcher, wake)
        waits.append(mine)
        self.waiting.add(current)
        try:
            gevent.socket.wait(watcher, timeout_s, _TooLong())
        except _TooLong:
            return False
        except _Closed:
            pass  # as whoever tries to use it will see
        finally:
            is_over = True
            waits.remove(mine)
            if not waits and self._waits.get(fd) is waits:
                del self._waits[fd]
            self.waiting.discard(current)
            watcher.close()
            while self._has_let_go:
                self.greenlet.switch()
        return True

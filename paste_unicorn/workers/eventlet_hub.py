"""Eventlet's hub: the few calls by which it waits for us. Imported in workers of the class `eventlet` only."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from greenlet import getcurrent

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it is retiring is said once, in the log
    from eventlet import greenio, hubs


class _TooLong(Exception):
    """Nothing has happened in time: no timeout of the application's, which are for the application."""


class _Bell:
    """One kind of event of one descriptor, for all greenlets that wait for it: the hub takes one listener only."""

    def __init__(self) -> None:
        self.wakes: list[Callable[[], None]] = []
        self.listener: Any = None

    def ring(self, _: object) -> None:
        for wake in tuple(self.wakes):
            wake()


class EventletSocket(greenio.GreenSocket):  # type: ignore[misc]
    """Eventlet's socket copies these calls into each instance, where no subclass gets at them."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for name in ("close", "fileno", "shutdown"):
            delattr(self, name)

    def fileno(self) -> int:
        return int(self.fd.fileno())

    def shutdown(self, how: int) -> None:
        self.fd.shutdown(how)

    def detach(self) -> int:
        return int(self.fd.detach())

    def close(self) -> None:
        hubs.notify_close(self.fd.fileno())  # whoever waits for it
        self.fd.close()


class EventletHub:
    """Callbacks run in the hub's own greenlet: whatever switches there comes back to where it was left."""

    socket_class: type[Any] = EventletSocket

    def __init__(self) -> None:
        self._hub: Any = hubs.get_hub()
        self.greenlet: Any = self._hub.greenlet
        self._main: Any = None
        self._listener: Any = None
        self._running = self._has_let_go = False
        self.waiting: set[Any] = set()  # greenlets that wait for a client
        self._bells: dict[tuple[str, int], _Bell] = {}  # by kind of event and descriptor

    def run(self, fd: int, on_ready: Callable[[], None], every_s: float, on_time: Callable[[], None]) -> None:
        """Call back when `fd` is readable, and every so many seconds, until `stop`."""
        hub = self._hub
        self._running = True

        def again() -> None:
            if self._running:
                hub.schedule_call_global(every_s, again)
                on_time()

        self._listener = hub.add(hub.READ, fd, lambda _: on_ready(), lambda *_: None, lambda: None)
        hub.schedule_call_global(every_s, again)
        self._main = getcurrent()
        hub.switch()
        hub.remove(self._listener)

    def stop(self) -> None:
        """Let `run` return."""
        self._running = False
        self.soon(self._main.switch)

    def soon(self, callback: Callable[[], object], after_s: float = 0.0) -> None:
        """Call back in the next round of the hub, or after so many seconds."""
        self._hub.schedule_call_global(after_s, callback)

    def let_go(self) -> None:
        """In a child that the application has forked: a hub with an epoll object of its own, which does not call us
        back.
        """
        hub = self._hub
        self._running, self._has_let_go = False, True
        if hasattr(hub.poll, "close"):
            hub.poll = type(hub.poll)()
        hub.remove(self._listener)
        for fd in {*hub.listeners[hub.READ], *hub.listeners[hub.WRITE]}:
            hub.register(fd, new=True)

    def wait(self, fd: int, readable: bool, writable: bool, timeout_s: float) -> bool:
        """In a greenlet of an application: wait for the descriptor; False after `timeout_s`.

        Not by `trampoline`, which waits for one of both only.
        """
        hub, current = self._hub, getcurrent()
        is_over = False

        def wake() -> None:
            if not is_over:  # both may be called in one turn of the hub, and one that was removed in it
                current.switch()

        kinds = (hub.READ,) * readable + (hub.WRITE,) * writable
        timer = hub.schedule_call_global(timeout_s, current.throw, _TooLong)
        self.waiting.add(current)
        try:
            for kind in kinds:
                self._listen(kind, fd, wake)
            hub.switch()
        except _TooLong:
            return False
        finally:
            is_over = True
            self.waiting.discard(current)
            timer.cancel()
            for kind in kinds:
                self._ignore(kind, fd, wake)
            while self._has_let_go:
                self.greenlet.switch()
        return True

    def forget(self, fd: int) -> None:
        """The descriptor is about to be closed. Whoever waits for it is called, and its number is free for others."""
        for kind in (self._hub.READ, self._hub.WRITE):
            bell = self._bells.pop((kind, fd), None)
            if bell is not None:
                self._hub.remove(bell.listener)
                self.soon(partial(bell.ring, None))

    def _listen(self, kind: str, fd: int, wake: Callable[[], None]) -> None:
        bell = self._bells.get((kind, fd))
        if bell is None:
            bell = _Bell()
            bell.listener = self._hub.add(kind, fd, bell.ring, bell.ring, lambda: None)
            self._bells[kind, fd] = bell
        bell.wakes.append(wake)

    def _ignore(self, kind: str, fd: int, wake: Callable[[], None]) -> None:
        """If it had come to listen."""
        bell = self._bells.get((kind, fd))
        if bell is None or wake not in bell.wakes:
            return
        bell.wakes.remove(wake)
        if not bell.wakes:
            del self._bells[kind, fd]
            self._hub.remove(bell.listener)

"""Eventlet's hub: the few calls by which it waits for us. Imported in workers of the class `eventlet` only."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it is retiring is said once, in the log
    from eventlet import greenio, hubs


class _TooLong(Exception):
    """Nothing has happened in time: no timeout of the application's, which are for the application."""


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
        self.waiting: set[int] = set()  # descriptors for which a greenlet of ours waits

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
        """In a greenlet of ours: wait for the descriptor; False after `timeout_s`."""
        # Not by `trampoline`, which waits for one of both only.
        hub, current = self._hub, getcurrent()
        is_over = False

        def wake(_: object) -> None:
            if not is_over:  # both may be called in one turn of the hub, and one that was removed in it
                current.switch()

        kinds = (hub.READ,) * readable + (hub.WRITE,) * writable
        listeners = [hub.add(kind, fd, wake, wake, lambda: None) for kind in kinds]
        timer = hub.schedule_call_global(timeout_s, current.throw, _TooLong)
        self.waiting.add(fd)
        try:
            hub.switch()
        except _TooLong:
            return False
        finally:
            is_over = True
            self.waiting.discard(fd)
            timer.cancel()
            for listener in listeners:
                hub.remove(listener)
            while self._has_let_go:
                self.greenlet.switch()
        return True

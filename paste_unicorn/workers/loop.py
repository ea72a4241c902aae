"""Which descriptors are ready: epoll, with EPOLLEXCLUSIVE for what workers share; `selectors` elsewhere.

An epoll object remembers open files, not descriptor numbers: it is made after the fork, and a descriptor is removed
before it is closed if any other process may hold the same open file (`man 7 epoll`, Q6).
"""

from __future__ import annotations

import select
import selectors
from typing import Any

_Epoll: Any = getattr(select, "epoll", None)  # bound before a worker class may take it away

READABLE = 0x001  # EPOLLIN
WRITABLE = 0x004  # EPOLLOUT
GONE = 0x008 | 0x010  # EPOLLERR, EPOLLHUP: reported always, never asked for

Events = list[tuple[int, int]]


class EpollLoop:
    """Level-triggered. Exclusive registrations can't be modified (EINVAL): remove, then add."""

    def __init__(self) -> None:
        self._epoll = _Epoll(sizehint=1024)
        self.poll = self._epoll.poll  # poll(timeout_s) -> [(fd, events)]
        self._register = self._epoll.register

    def add(self, fd: int, events: int = READABLE) -> None:
        self._register(fd, events)

    def add_shared(self, fd: int) -> None:
        """Watch a descriptor that siblings watch too: one of those who wait is woken, not all of them."""
        self._register(fd, READABLE | select.EPOLLEXCLUSIVE)

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def quieten(self, fd: int) -> int:
        """Report nothing but that the client has gone; what is watched then."""
        self._epoll.modify(fd, GONE)
        return GONE

    def remove(self, fd: int) -> None:
        self._epoll.unregister(fd)

    def fileno(self) -> int:
        """Readable when an event is there."""
        return int(self._epoll.fileno())

    def close(self) -> None:
        self._epoll.close()


class SelectorLoop:
    """The same over what the standard library finds best on this system."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def poll(self, timeout_s: float) -> Events:
        to_bits = {selectors.EVENT_READ: READABLE, selectors.EVENT_WRITE: WRITABLE}
        return [
            (key.fd, sum(bit for event, bit in to_bits.items() if events & event))
            for key, events in self._selector.select(timeout_s)
        ]

    def add(self, fd: int, events: int = READABLE) -> None:
        self._selector.register(fd, self._wanted(events))

    add_shared = add

    def modify(self, fd: int, events: int) -> None:
        self._selector.modify(fd, self._wanted(events))

    def quieten(self, fd: int) -> int:
        self._selector.unregister(fd)
        return 0

    def remove(self, fd: int) -> None:
        self._selector.unregister(fd)

    def fileno(self) -> int:
        return int(self._selector.fileno())

    def close(self) -> None:
        self._selector.close()

    @staticmethod
    def _wanted(events: int) -> int:
        return (selectors.EVENT_READ if events & READABLE else 0) | (selectors.EVENT_WRITE if events & WRITABLE else 0)


def make_loop() -> EpollLoop | SelectorLoop:
    """The loop for this system; call it in the worker, after the fork."""
    return EpollLoop() if hasattr(select, "EPOLLEXCLUSIVE") else SelectorLoop()

"""The listening sockets of this arbiter: which stay from one list of addresses to the next, how they stop taking
connections, how they are closed.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..process.listener import Listener
from ..process.messages import Inherited
from .binding import Opened, Terms, open_all

if TYPE_CHECKING:
    from ..settings.addresses import Address

# Not in Python's socket module: <linux/in.h>, <linux/in6.h>.
_IP_MINTTL = 21
_IPV6_MINHOPCOUNT = 73
_MOST_HOPS = 255  # no packet that has passed a router has so many left, nor does Linux send any


class OpenListeners:
    """The listening sockets of this arbiter."""

    def __init__(self, opened: Iterable[Opened]) -> None:
        self._opened = tuple(opened)

    @property
    def all(self) -> tuple[Listener, ...]:
        return tuple(one.listener for one in self._opened)

    @property
    def ours(self) -> tuple[Listener, ...]:
        """Those whose queue is as long as we say: nobody else holds them."""
        return tuple(one.listener for one in self._opened if one.is_ours)

    def changed_to(
        self, addresses: Iterable[Address], terms: Terms, closing: OpenListeners | None = None
    ) -> OpenListeners:
        """Listeners for these addresses: those that are open already, and new ones. Raises BindProblem, with nothing
        changed.

        `closing` have been stopped and are still being drained. Nobody can bind their ports meanwhile, so they may
        come back; a Unix one can't, and its path is free.
        """
        addresses = tuple(addresses)
        left = list(self._opened)
        left += [one for one in (closing._opened if closing else ()) if one.is_ours and not one.listener.is_unix]
        kept: list[Opened | None] = []
        lacking = []
        for address in addresses:
            one = next((one for one in left if one.asked == str(address)), None)
            kept.append(one)
            if one is None:
                lacking.append(address)
            else:
                left.remove(one)
        fresh = iter(open_all(lacking, addresses, terms, self.all))
        return OpenListeners(one or next(fresh) for one in kept)

    def described(self) -> tuple[Inherited, ...]:
        """For another arbiter, which gets the descriptors beside it, in the same order."""
        return tuple(
            Inherited(
                one.asked,
                one.listener.address,
                one.listener.server_name,
                one.listener.server_port,
                one.listener.is_unix,
                one.is_ours,
                one.path,
                one.inode,
            )
            for one in self._opened
        )

    @classmethod
    def inherit(cls, described: Sequence[Inherited], fds: Sequence[int]) -> OpenListeners:
        """Those that another arbiter opened."""
        opened = []
        for one, fd in zip(described, fds, strict=True):
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            listener = Listener(sock, one.address, sock.family, one.server_name, one.server_port, one.is_unix)
            opened.append(Opened(one.asked, listener, one.is_ours, one.path, one.inode))
        return cls(opened)

    @classmethod
    def together(cls, lists: Iterable[OpenListeners]) -> OpenListeners:
        """All of these."""
        return cls(one for listeners in lists for one in listeners._opened)

    def without(self, others: OpenListeners) -> OpenListeners:
        """Those that the others don't have."""
        return OpenListeners(one for one in self._opened if one not in others._opened)

    def positions_in(self, others: OpenListeners) -> tuple[int, ...]:
        """Where those that we have too stand in the others' list."""
        return tuple(position for position, one in enumerate(others._opened) if one in self._opened)

    def at(self, positions: Iterable[int]) -> OpenListeners:
        """Those at these positions."""
        return OpenListeners(self._opened[position] for position in positions)

    def listen(self, backlog: int) -> None:
        """Let the kernel's queues be so long; what is in them stays."""
        for one in self._opened:
            if one.is_ours:
                one.listener.sock.listen(backlog)

    def stop_handshakes(self) -> None:
        """Let no new connection begin; those that the kernel has accepted stay in the queue.

        Closing a listener, or `shutdown` on it, resets what is in its queue, and
        accept-until-empty-then-close loses what arrives in between. With a minimal TTL that no peer reaches,
        new SYNs are dropped silently, handshakes already begun complete, and the queue runs dry. A Unix
        listener that is shut down for reading refuses new connects and keeps its queue. Never on sockets that
        somebody else holds: the holder keeps the queue.
        """
        for one in self._opened:
            if not one.is_ours:
                continue
            sock = one.listener.sock
            if one.listener.is_unix:
                one.unlink()
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RD)
                continue
            _demand_hops(sock, _MOST_HOPS)

    def resume_handshakes(self) -> None:
        """Let connections begin again where they were stopped: on TCP sockets."""
        for one in self._opened:
            if one.is_ours and not one.listener.is_unix:
                _demand_hops(one.listener.sock, 0)

    def close(self) -> None:
        for one in self._opened:
            one.unlink()
        self.let_go()

    def let_go(self) -> None:
        """Close our descriptors: somebody else goes on with these sockets."""
        for one in self._opened:
            one.listener.sock.close()


def _demand_hops(sock: socket.socket, hops: int) -> None:
    for level, option in ((socket.IPPROTO_IP, _IP_MINTTL), (socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT)):
        with contextlib.suppress(OSError):  # an IPv4 socket has no IPv6 options; not everywhere at all
            sock.setsockopt(level, option, hops)


def open_listeners(addresses: Iterable[Address], terms: Terms) -> OpenListeners:
    """Open all of them, or none. Raises BindProblem with all that is wrong."""
    return OpenListeners(()).changed_to(addresses, terms)

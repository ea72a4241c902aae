"""Who is at the other end of a connection, and whether that peer may speak for others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ..process.listener import Listener
from ..wsgi.environ import Environs
from .connection import MakesEnvirons

MAPPED_IPV4 = "::ffff:"  # how a dual-stack listener names an IPv4 peer (RFC 4291 §2.5.5.2)
REMEMBERED = 4096
FOREIGN = 64


class Entrance(NamedTuple):
    """What a listener is called: by its address, and in environs."""

    address: str
    server_name: str
    server_port: str


class Peers:
    """Names peers, and picks what makes their environs. Owned by whoever holds the worker's lock.

    `make_environs` is called with a SERVER_NAME, a SERVER_PORT, and whether the peer is trusted.
    """

    def __init__(
        self,
        trusts: Callable[[str], bool],
        make_environs: Callable[[str, str, bool], Environs],
        listeners: Iterable[Listener],
    ) -> None:
        self._trusts = trusts
        self._make_environs = make_environs
        self._trusted: dict[str, bool] = {}  # by host; judging a network list anew for each connection is slow
        self._own = {one.address: Entrance(one.address, one.server_name, one.server_port) for one in listeners}
        self._environs: dict[tuple[str, bool], Environs] = {}  # by address and trust
        # The way back, as long as a connection has them.
        self._entrances: WeakKeyDictionary[MakesEnvirons, Entrance] = WeakKeyDictionary()
        for entrance in self._own.values():
            for trusted in (False, True):
                self._add(entrance, trusted)

    def name(self, listener: Listener, address: Any) -> tuple[str, str]:
        """Host and port as text, both '' for a Unix socket."""
        if listener.is_unix:
            return "", ""
        host: str = address[0]
        return host.removeprefix(MAPPED_IPV4), str(address[1])

    def environs(self, address: str, host: str) -> Environs:
        """For this peer's requests that come in by a listener of ours."""
        return self._environs[address, self._trusts_host(host)]

    def environs_of(self, entrance: Entrance, host: str) -> Environs:
        """The same for a connection that came in elsewhere: by a sibling's listener, which may have been ours once.

        A listener that we have too is called what it is called here; one that we don't have, what it was called there.
        """
        trusted = self._trusts_host(host)
        known = self._environs.get((entrance.address, trusted))
        if known is not None:
            return known
        if len(self._environs) >= 2 * len(self._own) + FOREIGN:
            self._environs = {key: kept for key, kept in self._environs.items() if key[0] in self._own}
        return self._add(entrance, trusted)

    def entrance(self, environs: MakesEnvirons) -> Entrance:
        """Where connections with these environs came in."""
        return self._entrances[environs]

    def _trusts_host(self, host: str) -> bool:
        trusted = self._trusted.get(host)
        if trusted is None:
            if len(self._trusted) >= REMEMBERED:
                self._trusted.clear()
            trusted = self._trusted[host] = self._trusts(host)
        return trusted

    def _add(self, entrance: Entrance, trusted: bool) -> Environs:
        environs = self._make_environs(entrance.server_name, entrance.server_port, trusted)
        self._environs[entrance.address, trusted] = environs
        self._entrances[environs] = entrance
        return environs

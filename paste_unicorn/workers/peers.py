"""Who is at the other end of a connection, and whether that peer may speak for others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..process.listener import Listener
from ..wsgi.environ import Environs

MAPPED_IPV4 = "::ffff:"  # how a dual-stack listener names an IPv4 peer (RFC 4291 §2.5.5.2)
REMEMBERED = 4096


class Peers:
    """Names peers, and picks what makes their environs. Owned by the loop's thread."""

    def __init__(self, trusts: Callable[[str], bool], environs: Mapping[tuple[Listener, bool], Environs]) -> None:
        self._trusts = trusts
        self._environs = environs
        self._trusted: dict[str, bool] = {}  # by host; judging a network list anew for each connection is slow

    def name(self, listener: Listener, address: Any) -> tuple[str, str]:
        """Host and port as text, both '' for a Unix socket."""
        if listener.is_unix:
            return "", ""
        host: str = address[0]
        return host.removeprefix(MAPPED_IPV4), str(address[1])

    def environs(self, listener: Listener, host: str) -> Environs:
        trusted = self._trusted.get(host)
        if trusted is None:
            if len(self._trusted) >= REMEMBERED:
                self._trusted.clear()
            trusted = self._trusted[host] = self._trusts(host)
        return self._environs[listener, trusted]

"""Whose forwarded fields are believed: a list of addresses and networks, and who is on it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from .kinds import Kind, quoted
from .surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class TrustedPeers:
    """The peers that may speak for others.

    A peer that came by a Unix socket, '', is trusted unless the list is empty: who may connect there is a
    matter of the socket's permissions, and existing files rely on it.
    """

    everybody: bool = False
    unix: bool = True
    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def trusts(self, peer_host: str) -> bool:
        """Whether this peer's word counts; `peer_host` as the socket names it, '' for a Unix socket."""
        if self.everybody or peer_host in self.hosts:
            return True
        if not peer_host:
            return self.unix
        try:
            address = ip_address(peer_host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            # How a listener for both families names IPv4 peers.
            address = address.ipv4_mapped
        return str(address) in self.hosts or any(address in network for network in self.networks)

    def __str__(self) -> str:
        if self.everybody:
            return "*"
        return ", ".join([*sorted(self.hosts), *map(str, self.networks)])


NOBODY = TrustedPeers(unix=False)
LOOPBACK = TrustedPeers(hosts=frozenset({"127.0.0.1", "::1"}))


class Peers(Kind[TrustedPeers]):
    """Addresses, networks, `*` for everybody, `unix:`."""

    what = "list of addresses and networks"

    def parse(self, text: str, around: Surroundings) -> TrustedPeers:
        return self._made(item for item in re.split(r"[,\s]+", text) if item)

    def take(self, value: object, around: Surroundings) -> TrustedPeers:
        if isinstance(value, list | tuple):
            return self._made(str(item) for item in value)
        return super().take(value, around)

    def _made(self, items: Iterable[str]) -> TrustedPeers:
        everybody, unix = False, False
        hosts: set[str] = set()
        networks: list[IPv4Network | IPv6Network] = []
        for item in items:
            unix = True
            try:
                if item == "*":
                    everybody = True
                elif item == "unix:":
                    pass
                elif "/" in item:
                    networks.append(ip_network(item))
                else:
                    hosts.add(str(ip_address(item)))
            except ValueError as error:
                raise ValueError(
                    f"{quoted(item)} is not an address or a network ({error}); give for example 10.0.0.7, "
                    f"10.0.0.0/8, unix: or *"
                ) from None
        return TrustedPeers(everybody, unix, frozenset(hosts), tuple(networks))

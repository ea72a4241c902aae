"""Where to listen: the notations of `bind`, `host` and `port`, and the frozen address that each becomes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

from .kinds import Kind, quoted
from .surroundings import Surroundings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
LONGEST_PATH = 107  # bytes; sun_path of man 7 unix, less the closing NUL
HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """One address to listen on: `kind` is tcp, unix, abstract (a path without its NUL) or fd.

    The host `*` means every address, IPv4 and IPv6, by one socket.
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1

    def __str__(self) -> str:
        if self.kind == "tcp":
            return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        if self.kind == "fd":
            return f"fd://{self.fd}"
        return f"unix:@{self.path}" if self.kind == "abstract" else f"unix:{self.path}"


DEFAULT_BIND = (Address("tcp", DEFAULT_HOST, DEFAULT_PORT),)


class Bind(Kind[tuple[Address, ...]]):
    """One or many addresses, divided by commas, blanks or lines."""

    what = "list of addresses"

    def parse(self, text: str, around: Surroundings) -> tuple[Address, ...]:
        return self._made(divided(text), around)

    def take(self, value: object, around: Surroundings) -> tuple[Address, ...]:
        if isinstance(value, list | tuple):
            return self._made([str(item) for item in value], around)
        return super().take(value, around)

    def _made(self, items: Iterable[str], around: Surroundings) -> tuple[Address, ...]:
        addresses: list[Address] = []
        for item in items:
            address = parse_address(item, around)
            if address in addresses and address.port != 0:
                raise ValueError(f"{quoted(item)} is there twice; give each address once")
            addresses.append(address)
        return tuple(addresses)

    def show(self, value: Iterable[Address]) -> str:
        return ", ".join(map(str, value))


def divided(text: str) -> list[str]:
    return [item for item in re.split(r"[,\s]+", text) if item]


def parse_address(item: str, around: Surroundings, port: int = DEFAULT_PORT) -> Address:
    """The address that one item of `bind` means; `port` where it names none. Raises ValueError."""
    if "?" in item:
        raise ValueError(f"{quoted(item)}: options of a single address are not there yet; leave out what follows the ?")
    scheme, _, rest = item.partition(":")
    if scheme == "fd":
        digits = rest.removeprefix("//")
        if not (digits.isascii() and digits.isdecimal()):
            raise ValueError(f"{quoted(item)} names no descriptor; give for example fd://3")
        return Address("fd", fd=int(digits))
    if scheme == "unix":
        return _unix(item, rest, around)
    return _tcp(item, item.removeprefix("tcp://"), port)


def _unix(item: str, rest: str, around: Surroundings) -> Address:
    abstract = rest[:1] in ("@", "\0")
    path = rest[1:] if abstract else re.sub(r"^//(?=/)", "", rest)
    if not path:
        raise ValueError(f"{quoted(item)} has no path; give for example unix:/run/app.sock, or unix:@app")
    if not abstract:
        path = around.absolute(path)
    if len(path.encode()) > LONGEST_PATH:
        raise ValueError(
            f"{quoted(item)} is {len(path.encode())} bytes long; a socket's path has at most {LONGEST_PATH}"
        )
    return Address("abstract" if abstract else "unix", path=path)


def _tcp(item: str, text: str, default_port: int) -> Address:
    if text.startswith("["):
        host, bracket, after = text[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise ValueError(f"{quoted(item)} has a bracket too few; give for example [::1]:8000")
        port = after[1:] if after else str(default_port)
        return Address("tcp", _ipv6(item, host), port_number(item, port))
    if text.count(":") > 1:  # an IPv6 address alone, as people write it for host
        return Address("tcp", _ipv6(item, text), default_port)
    host, colon, port = text.partition(":")
    if not colon and host.isdecimal():
        raise ValueError(f"{quoted(item)} is only a number; give host:port, for example {DEFAULT_HOST}:{host}")
    if host and host != "*" and not HOST.fullmatch(host):
        raise ValueError(
            f"{quoted(item)} is not an address; give host:port, [ipv6]:port, *:port, unix:/path, unix:@name or fd://3"
        )
    return Address("tcp", host or "0.0.0.0", port_number(item, port) if colon else default_port)


def _ipv6(item: str, host: str) -> str:
    try:
        IPv6Address(host)
    except ValueError:
        raise ValueError(f"{quoted(item)} is not an IPv6 address; give for example [::1]:8000") from None
    return host


def port_number(item: str, text: str) -> int:
    """A TCP port from text; 0 lets the system choose. Raises ValueError."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise ValueError(f"{quoted(item)}: {quoted(text)} is not a port; give a number from 1 to 65535")
    return int(text)

"""Where a syslog daemon listens: the notations of `syslog_addr`, and the address that each becomes."""

from __future__ import annotations

import re
from typing import NamedTuple

from .addresses import port_number
from .kinds import Kind, quoted
from .surroundings import Surroundings

SYSLOG = "syslog:"  # before an address, or alone, where a log's path may stand
_PORT = "514"
_ADDRESS = re.compile(
    r"unix://(?P<path>/[^#]+)(?:\#(?P<unixkind>dgram|stream))?"
    r"|(?P<kind>udp|tcp)://(?:\[(?P<host6>[0-9a-fA-F:.%]+)\]|(?P<host>[^:/\[\]]+))(?::(?P<port>[^:]+))?"
)


class SyslogAddress(NamedTuple):
    """Where the daemon listens: a path, or host and port."""

    stream: bool
    path: str  # "" for host and port
    host: str
    port: int


def parse_syslog(text: str) -> SyslogAddress:
    """`udp://host:514`, `tcp://host:514`, `unix:///dev/log`, with `#stream` or `#dgram`. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{quoted(text)} is not an address of a syslog daemon; give udp://HOST:PORT, tcp://HOST:PORT, "
            "unix:///dev/log or unix:///dev/log#stream"
        )
    if match["path"]:
        return SyslogAddress(match["unixkind"] == "stream", match["path"], "", 0)
    port = port_number(text, match["port"] or _PORT)
    if not port:
        raise ValueError(f"{quoted(text)}: a daemon has a port from 1 to 65535")
    return SyslogAddress(match["kind"] == "tcp", "", match["host6"] or match["host"], port)


class Syslog(Kind[str]):
    """An address of a syslog daemon; the value is its text, as hooks know it."""

    what = "address of a syslog daemon"

    def parse(self, text: str, around: Surroundings) -> str:
        parse_syslog(text)
        return text

"""The rows of listening sockets."""

from __future__ import annotations

from dataclasses import dataclass

from ..addresses import DEFAULT_BIND, Address, Bind
from ..kinds import Switch, Whole
from ..row import row


@dataclass(frozen=True)
class SocketSettings:
    """Listening sockets"""

    bind: tuple[Address, ...] = row(
        "bind", Bind(), DEFAULT_BIND,
        "Where to listen, one or many: `host:port`, `[ipv6]:port`, `*:port` (IPv4 and IPv6), `:port`, "
        "`unix:/path`, `unix:@abstract`, `fd://3`. Or set `host` (a list) and `port`: each host is bound "
        "with the port; either alone works. With none of them `$PORT`, if it is set, means `0.0.0.0:$PORT`.",
    )  # fmt: skip
    backlog: int = row(
        "backlog", Whole(1, 2**31 - 1), 2048,
        "Connections that may wait to be accepted, for each address; the kernel has a limit of its own "
        "(docs/kernel.md).",
    )  # fmt: skip
    reuse_port: bool = row(
        "reuse_port", Switch(), False,
        "Set SO_REUSEPORT, so that another server may listen on the same address.",
    )  # fmt: skip

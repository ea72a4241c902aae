"""The kernel's queue of connections that wait to be accepted: how long it is, may be, and how often it was full.

The kernel tells of TCP listeners by `getsockopt`, of Unix ones by netlink (`man 7 sock_diag`). On other systems it does
not tell a process at all.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from dataclasses import dataclass

# Of a listener these two of struct tcp_info are other things than their names say: how many wait to be accepted, and
# how many may (net/ipv4/tcp.c, tcp_get_info). Offsets of tcpi_unacked and tcpi_sacked, <linux/tcp.h>.
_TCP_INFO = 11
_WAITING = struct.Struct("=24xII")
_SO_MEMINFO = 55  # <asm-generic/socket.h>; the ninth number is what the socket has dropped (<linux/sock_diag.h>)
_DROPS = struct.Struct("=32xI")

# <linux/netlink.h>, <linux/sock_diag.h>, <linux/unix_diag.h>: a header and a request; then of the answer the type, and
# its first attribute.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_SHOW_RQLEN = 0x10
_RQLEN = 4
_REQUEST = struct.Struct("=IHHII BBHIIIII")
_ANY = 0xFFFFFFFF  # states, and both halves of the cookie
_ANSWER = struct.Struct("=4xH10x 16x HHII")


@dataclass(frozen=True)
class Queue:
    """How many connections wait, how many may, and what the listener has dropped since it is there (TCP alone)."""

    waiting: int
    most: int
    dropped: int = 0

    @property
    def is_full(self) -> bool:
        """The kernel lets one more wait than was asked for (`sk_acceptq_is_full` in <net/sock.h>)."""
        return self.waiting > self.most


def queue_of(sock: socket.socket) -> Queue | None:
    """Of a socket that listens; None where the kernel doesn't tell. Some microseconds."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return _of_unix(sock) if sock.family == socket.AF_UNIX else _of_tcp(sock)
    except (OSError, struct.error):
        return None


def _of_tcp(sock: socket.socket) -> Queue:
    waiting, most = _WAITING.unpack_from(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _WAITING.size))
    dropped = 0
    with contextlib.suppress(OSError, struct.error):  # before Linux 4.12
        (dropped,) = _DROPS.unpack_from(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS.size))
    return Queue(waiting, most, dropped)


def _of_unix(sock: socket.socket) -> Queue | None:
    inode = os.fstat(sock.fileno()).st_ino & 0xFFFFFFFF
    request = _REQUEST.pack(
        _REQUEST.size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0,
        socket.AF_UNIX, 0, 0, _ANY, inode, _SHOW_RQLEN, _ANY, _ANY,
    )  # fmt: skip
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.setblocking(False)  # the answer is there when `send` returns
        netlink.send(request)
        kind, _, attribute, waiting, most = _ANSWER.unpack_from(netlink.recv(4096))
    return Queue(waiting, most) if (kind, attribute) == (_SOCK_DIAG_BY_FAMILY, _RQLEN) else None


def listen_overflows(text: str) -> int | None:
    """How often a TCP connection found its listener's queue full, in this network namespace; from /proc/net/netstat."""
    names: list[str] = []
    for line in text.splitlines():
        kind, _, rest = line.partition(": ")
        if kind != "TcpExt":
            continue
        if not names:
            names = rest.split()
        else:
            return dict(zip(names, map(int, rest.split()), strict=False)).get("ListenOverflows")
    return None

"""What the kernel says of the listeners of a TCP port: how many connections wait, and who waits for them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

LISTENS = "0A"  # TCP_LISTEN


class Listener(NamedTuple):
    """A listening socket."""

    inode: int
    queue: int  # connections that wait to be accepted


def listeners(port: int) -> list[Listener]:
    """Those of this port, on IPv4 (`man 5 proc`, /proc/net/tcp: for a listener, rx_queue is its accept queue)."""
    found = []
    with open("/proc/net/tcp", buffering=4096) as table:
        next(table)
        for line in table:
            row = line.split()
            if row[3] != LISTENS:
                break  # they come first, and of the others there are very many
            if int(row[1].partition(":")[2], 16) == port:
                found.append(Listener(int(row[9]), int(row[4].partition(":")[2], 16)))
    return found


def queue_length(port: int) -> int:
    """How many connections wait to be accepted."""
    return sum(listener.queue for listener in listeners(port))


def listening(port: int, pids: Iterable[int]) -> list[int]:
    """Those of the processes that are ready to accept: a listener of this port is in an epoll set of theirs."""
    inodes = {f"{listener.inode:x}" for listener in listeners(port)}
    return [pid for pid in pids if _waits_for(pid, inodes)]


def _waits_for(pid: int, inodes: set[str]) -> bool:
    folder = Path(f"/proc/{pid}/fdinfo")
    try:
        for name in os.listdir(folder):
            for line in (folder / name).read_text().splitlines():
                if line.startswith("tfd:") and line.partition("ino:")[2].split()[0] in inodes:
                    return True
    except OSError:
        return False  # it has ended, or this descriptor has
    return False

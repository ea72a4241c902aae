"""Who listens on an address already, as /proc tells: a server with the same ini, which runs, or somebody else."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ops.kernel import read_text

if TYPE_CHECKING:
    from ..settings.addresses import Address

_LISTEN = "0A"  # <net/tcp_states.h>, TCP_LISTEN
_ACCEPTS = 0x10000  # <linux/net.h>, __SO_ACCEPTCON


@dataclass(frozen=True)
class Holder:
    """A process that has the listening socket; of a server of ours, its arbiter."""

    pid: int
    title: str

    def is_server_of(self, ini: str) -> bool:
        """Whether it is the arbiter of a server that names this ini in its title."""
        return self.title.startswith(f"unicorn: arbiter [{ini}]")


def holder_of(address: Address) -> Holder | None:
    """None where /proc does not tell (another system, another user's processes)."""
    inodes = set(_tcp(address.port) if address.kind == "tcp" else _unix(address))
    found = [holder_with(pid) for pid in _having(inodes)]
    # Workers and the template have it too.
    found.sort(key=lambda holder: (not holder.title.startswith("unicorn: arbiter"), holder.pid))
    return found[0] if found else None


def holder_with(pid: int) -> Holder:
    """The process of this number; without a title where /proc does not tell."""
    return Holder(pid, _title(pid))


def _tcp(port: int) -> Iterator[str]:
    """Inodes of sockets that listen on a port (`man 5 proc`, /proc/net/tcp)."""
    for table in ("tcp", "tcp6"):
        for line in read_text(f"/proc/net/{table}").splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]


def _unix(address: Address) -> Iterator[str]:
    path = f"@{address.path}" if address.kind == "abstract" else address.path
    for line in read_text("/proc/net/unix").splitlines()[1:]:
        words = line.split(None, 7)
        # A path that was bound under another name and renamed keeps the other one here.
        if len(words) == 8 and int(words[3], 16) & _ACCEPTS and _is_path(words[7], path):
            yield words[6]


def _is_path(bound: str, path: str) -> bool:
    pattern = re.escape(os.path.join(os.path.dirname(path), "."))
    return bound == path or re.fullmatch(rf"{pattern}\d+\.s", bound) is not None


def _having(inodes: set[str]) -> Iterator[int]:
    """Processes that have one of these sockets open."""
    links = {f"socket:[{inode}]" for inode in inodes}
    if not links:
        return
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            folder = f"/proc/{name}/fd"
            for fd in os.listdir(folder):
                with contextlib.suppress(OSError):
                    if os.readlink(f"{folder}/{fd}") in links:
                        yield int(name)
                        break


def _title(pid: int) -> str:
    return read_text(f"/proc/{pid}/cmdline").replace("\0", " ").strip()

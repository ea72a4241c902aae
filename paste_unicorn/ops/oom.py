"""Whether the kernel has ended processes for want of memory: it says so nowhere but in counters, and in its own log.

The counter of our control group counts its own processes only; on a machine without control groups for memory, the
one of the whole system must do.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_SYSTEM = "/proc/vmstat"
_LEAST_LIMIT = 1 << 60  # limits above mean that there is none


@dataclass(frozen=True)
class OomCount:
    """`killed` processes so far; `limit` in bytes, where the control group has one."""

    killed: int
    limit: int | None = None
    is_of_group: bool = False


def count_kills(root: str = "/") -> OomCount | None:
    """The processes that the OOM killer has ended, in our control group or, where that can't be told, on this system;
    None where neither can.

    (Linux: `Documentation/admin-guide/cgroup-v2.rst`, memory.events; `cgroup-v1/memory.rst`, memory.oom_control.)
    """
    for counter, limit in _places(_read(root, "/proc/self/cgroup").decode(errors="replace")):
        found = _COUNT.search(_read(root, counter))
        if found:
            return OomCount(int(found[1]), _limit(_read(root, limit)), is_of_group=True)
    found = _COUNT.search(_read(root, _SYSTEM))
    return OomCount(int(found[1])) if found else None


def _places(groups: str) -> list[tuple[str, str]]:
    """Paths of counter and limit of our control group, and of what a container sees of it."""
    places: list[tuple[str, str]] = []
    for line in groups.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            names, base = ("memory.events", "memory.max"), "/sys/fs/cgroup"
        elif "memory" in controllers.split(","):
            names, base = ("memory.oom_control", "memory.limit_in_bytes"), "/sys/fs/cgroup/memory"
        else:
            continue
        for folder in dict.fromkeys((f"{base}{path.rstrip('/')}", base)):
            places.append((f"{folder}/{names[0]}", f"{folder}/{names[1]}"))
    return places


def _limit(text: bytes) -> int | None:
    return int(text) if text.strip().isdigit() and int(text) < _LEAST_LIMIT else None


def _read(root: str, path: str) -> bytes:
    try:
        fd = os.open(root.rstrip("/") + path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""
    finally:
        os.close(fd)

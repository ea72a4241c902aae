"""The kernel's OOM killer: whether it has ended processes, which it says only in counters and in its own log, and
which of ours it is to take.

The counter of our control group counts its own processes only; on a machine without control groups for memory, the
one of the whole system must do.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_SYSTEM = "/proc/vmstat"
_LEAST_LIMIT = 1 << 60  # limits above mean that there is none
_WEIGHT = 48 << 20  # bytes by which a worker is to look larger than it is


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


def be_taken_first() -> None:
    """In a worker: make the OOM killer prefer this process to the arbiter and the template.

    It takes whoever has most in main memory. Where what fills the memory is no process's own (files in /dev/shm, for
    example), that is the arbiter, which has touched the most pages of the libraries that all share: the end of
    everything, without a word. A worker is reported and replaced. (`man 5 proc`, oom_score_adj: a thousandth of what
    there is stands for 1. Anybody may raise his own.)
    """
    count = count_kills()
    total = (count and count.limit) or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    path = "/proc/self/oom_score_adj"
    now = _read("/", path).strip()
    if now:
        wanted = min(1000, int(now) - -_WEIGHT * 1000 // total)
        with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
            file.write(str(wanted))


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

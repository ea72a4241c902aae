"""How much memory a process has, as the kernel counts it; None where it doesn't tell (another system, no permission).

Of workers that were forked from one template, most *resident* memory is the same memory, shared: it says nothing about
what a worker costs. What it has alone, its *private* memory, is what grows when it leaks.
"""

from __future__ import annotations

import os
import re

_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
# Pages that were swapped out were this process's own as well (SwapPss: its share of them).
_PRIVATE = re.compile(rb"^(?:Private_(?:Clean|Dirty|Hugetlb)|SwapPss): +(\d+) kB$", re.MULTILINE)


def resident_bytes(pid: int | str = "self") -> int | None:
    """What of its memory lies in main memory, shared or not (`man 5 proc`, statm). Some microseconds."""
    content = _read(f"/proc/{pid}/statm")
    return int(content.split()[1]) * _PAGE_SIZE if content else None


def private_bytes(pid: int | str = "self") -> int | None:
    """What it has alone (`man 5 proc`, smaps_rollup). Some milliseconds for a gigabyte: the kernel looks at each page.

    Of a process that has given up `user` and `group` only a root with CAP_SYS_PTRACE may ask, which containers take
    away.
    """
    numbers = _PRIVATE.findall(_read(f"/proc/{pid}/smaps_rollup"))
    return sum(map(int, numbers)) * 1024 if numbers else None


MEASURES = {"private": private_bytes, "rss": resident_bytes}
"""By the words of the setting `max_worker_memory_kind`."""


def mebibytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 2**20:.1f} MiB"


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 65536)
    except OSError:  # it ended meanwhile
        return b""
    finally:
        os.close(fd)

"""A control group of a test's own, to give a server little memory or few processes; needs root, and Linux."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

LAYOUTS = {  # controller to the file of its limit, in both versions of control groups
    "memory": ("memory.max", "memory.limit_in_bytes"),
    "pids": ("pids.max", "pids.max"),
}


@contextlib.contextmanager
def limited(controller: str, limit: int | str, pids: Iterable[int]) -> Iterator[Path]:
    """Put these processes into a group with this limit; back where they were at the end, if they still live.

    Skips the test where that is not possible here.
    """
    try:
        parent, name = _parent(controller)
        group = parent / f"unicorn-test-{uuid.uuid4().hex[:8]}"
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group of our own: {error}")
    try:
        try:
            (group / name).write_text(str(limit))
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            pytest.skip(f"no control group with a limit of {controller}: {error}")
        yield group
    finally:
        _dissolve(group, parent)


def _parent(controller: str) -> tuple[Path, str]:
    """Our own group, and the name of the file with the limit. Raises OSError."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{path}"), LAYOUTS[controller][1]
        if number == "0" and controller in _enabled(Path(f"/sys/fs/cgroup{path}")):
            return Path(f"/sys/fs/cgroup{path}"), LAYOUTS[controller][0]
    raise OSError(errno.ENOENT, f"no control groups for {controller}")


def _enabled(group: Path) -> list[str]:
    try:
        return (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return []


def _dissolve(group: Path, parent: Path) -> None:
    """Processes may be born while they are moved, and a group can be removed only when all have left it."""
    deadline = time.monotonic() + 10.0
    while True:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (parent / "cgroup.procs").write_text(pid)
        try:
            os.rmdir(group)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)

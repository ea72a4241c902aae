"""Where the files of our control group are, and of those around it: in both versions, and as a container sees them.

(Linux: `Documentation/admin-guide/cgroup-v2.rst`; `cgroup-v1/cgroups.rst`; `man 7 cgroups`.)
"""

from __future__ import annotations

from collections.abc import Iterator


def folders(controller: str, groups: str) -> Iterator[tuple[str, int]]:
    """Folders in which limits of this controller may be, from our own group up, and the version of each.

    `groups` is the text of /proc/self/cgroup. In a container its path may be the host's, which is not there.
    """
    for line in groups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base, version = "/sys/fs/cgroup", 2
        elif controller in controllers.split(","):
            base, version = f"/sys/fs/cgroup/{controller}", 1
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield "/".join([base, *parts[:depth]]), version


def unit_of(groups: str) -> str:
    """The systemd service that we are in; "" where it can't be told."""
    for line in groups.splitlines():
        for part in reversed(line.rpartition(":")[2].split("/")):
            if part.endswith(".service") and not part.startswith("user@"):
                return part
    return ""

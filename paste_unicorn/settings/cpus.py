"""How many processors this process may use, by affinity and by the quotas of control groups (1 and 2)."""

from __future__ import annotations

import math
import os

CGROUPS = "/sys/fs/cgroup"


def usable_cpus(root: str = "/") -> int:
    """At least 1. `root` is where /proc and /sys are found; tests have their own."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on this system
        cpus = os.cpu_count() or 1
    quota = min(_quotas(root), default=math.inf)
    return max(1, min(cpus, math.ceil(quota)) if quota < math.inf else cpus)


def _quotas(root: str) -> list[float]:
    """The limit, in processors, of each group from ours up to the root of the hierarchy."""
    found = []
    for line in _read(root, "proc/self/cgroup").splitlines():
        number, controllers, group = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            folder, quota_of = CGROUPS, _version_2
        elif "cpu" in controllers.split(","):
            folder, quota_of = f"{CGROUPS}/{_mounted(root, controllers)}", _version_1
        else:
            continue
        parts = [part for part in group.split("/") if part not in ("", "..")]
        # In a container the path may be the host's, and not be there; the root is our group then.
        for depth in range(len(parts), -1, -1):
            quota = quota_of(root, "/".join([folder.strip("/"), *parts[:depth]]))
            if quota is not None:
                found.append(quota)
    return found


def _mounted(root: str, controllers: str) -> str:
    """The folder of version 1's cpu controller, which may be mounted together with others."""
    return controllers if os.path.isdir(os.path.join(root, CGROUPS.strip("/"), controllers)) else "cpu"


def _version_2(root: str, folder: str) -> float | None:
    words = _read(root, f"{folder}/cpu.max").split()
    return _ratio(words[0], words[1]) if len(words) == 2 else None


def _version_1(root: str, folder: str) -> float | None:
    return _ratio(_read(root, f"{folder}/cpu.cfs_quota_us"), _read(root, f"{folder}/cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    try:
        value = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return value if value > 0 else None  # -1 is version 1's "no limit"


def _read(root: str, path: str) -> str:
    try:
        with open(os.path.join(root, path)) as file:
            return file.read()
    except OSError:
        return ""

"""What the kernel allows, in numbers: from /proc and /sys on Linux, from `sysctl` on macOS. Nothing is judged here."""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from .cgroups import folders, unit_of

UNLIMITED = 1 << 60  # and whatever is above: there is no limit
TIME_WAIT_S = 60.0  # of Linux, fixed: TCP_TIMEWAIT_LEN in <net/tcp.h>

_SYSCTL_S = 2.0
_SOMAXCONN = "/proc/sys/net/core/somaxconn"
_LIMIT_FILES: dict[str, dict[int, tuple[str, ...]]] = {
    "memory": {1: ("memory.limit_in_bytes",), 2: ("memory.max", "memory.high")},
    "pids": {1: ("pids.max",), 2: ("pids.max",)},
}
Text = Callable[[str], str]
"""Path (Linux) or name (`sysctl`, macOS) to what is there; "" where there is nothing."""


@dataclass(frozen=True)
class Kernel:
    """Each number is None where it can't be told; UNLIMITED or more where there is no limit."""

    system: str  # as in sys.platform
    files: int | None  # that one process may have open, at most
    files_of_all: int | None
    accept_queue: int | None  # somaxconn
    syn_queue: int | None
    syn_cookies: int | None
    first_port: int | None  # of those that clients on this machine get
    last_port: int | None
    time_wait_s: float | None
    reuses_time_wait: int | None
    tasks: int | None  # processes and threads of our control group
    tasks_of_user: int | None
    memory: int | None  # bytes, of our control group
    tasks_file: str = ""  # where that limit is
    memory_file: str = ""
    unit: str = ""  # systemd's name of this service
    in_container: bool = False  # where these can't be changed from inside
    user: str = ""


def read_kernel(pid: int | None = None) -> Kernel:
    """What this process is allowed now, or another one that may be asked (`man 2 prlimit`)."""
    files, user_tasks = _limit(resource.RLIMIT_NOFILE, pid)[1], _limit(resource.RLIMIT_NPROC, pid)[0]
    if os.geteuid() == 0:
        user_tasks = UNLIMITED  # root may always fork (`man 2 getrlimit`)
    if sys.platform == "darwin":
        return read_macos(sysctl, files, user_tasks, _user())

    def text(path: str) -> str:
        return read_text(path.replace("/proc/self/", f"/proc/{pid or 'self'}/"))

    return read_linux(text, files, user_tasks, _user(), _is_confined())


def read_linux(text: Text, files: int, user_tasks: int, user: str = "", in_container: bool = False) -> Kernel:
    """From texts of /proc and /sys; what only a process can ask is given."""
    groups = text("/proc/self/cgroup")
    ports = text("/proc/sys/net/ipv4/ip_local_port_range").split()
    tasks, tasks_file = _of_group("pids", groups, text)
    memory, memory_file = _of_group("memory", groups, text)
    return Kernel(
        system="linux",
        files=files,
        files_of_all=_number(text("/proc/sys/fs/file-max")),
        accept_queue=_number(text(_SOMAXCONN)),
        syn_queue=_number(text("/proc/sys/net/ipv4/tcp_max_syn_backlog")),
        syn_cookies=_number(text("/proc/sys/net/ipv4/tcp_syncookies")),
        first_port=_number(ports[0]) if len(ports) == 2 else None,
        last_port=_number(ports[1]) if len(ports) == 2 else None,
        time_wait_s=TIME_WAIT_S,
        reuses_time_wait=_number(text("/proc/sys/net/ipv4/tcp_tw_reuse")),
        tasks=tasks,
        tasks_of_user=user_tasks,
        memory=memory,
        tasks_file=tasks_file,
        memory_file=memory_file,
        unit=unit_of(groups),
        in_container=in_container,
        user=user,
    )


def read_macos(text: Text, files: int, user_tasks: int, user: str = "") -> Kernel:
    """From what `sysctl -n NAME` prints. There are no control groups, and nothing is to be known of a queue of SYNs."""
    of_process = _number(text("kern.maxfilesperproc"))
    msl_ms = _number(text("net.inet.tcp.msl"))
    return Kernel(
        system="darwin",
        files=min(files, of_process) if of_process is not None else files,
        files_of_all=_number(text("kern.maxfiles")),
        accept_queue=_number(text("kern.ipc.somaxconn")),
        syn_queue=None,
        syn_cookies=None,
        first_port=_number(text("net.inet.ip.portrange.first")),
        last_port=_number(text("net.inet.ip.portrange.last")),
        time_wait_s=None if msl_ms is None else 2 * msl_ms / 1000,  # RFC 9293 §3.4.2
        reuses_time_wait=None,
        tasks=UNLIMITED,
        tasks_of_user=user_tasks,
        memory=UNLIMITED,
        user=user,
    )


def sysctl(name: str) -> str:
    """What `sysctl` says of this name; "" where it doesn't know it, or isn't there."""
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=_SYSCTL_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def read_text(path: str) -> str:
    """What is in this file; of one that is empty, that it is there; "" where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read() or "\n"
    except OSError:
        return ""


def _of_group(controller: str, groups: str, text: Text) -> tuple[int | None, str]:
    """The lowest limit of our group and those around it, and in which file it is."""
    found: list[tuple[int, str]] = []
    for folder, version in folders(controller, groups):
        for name in _LIMIT_FILES[controller][version]:
            path = f"{folder}/{name}"
            number = _number(text(path))
            if number is not None:
                found.append((number, path))
    return min(found) if found else (UNLIMITED if groups else None, "")


def _number(text: str) -> int | None:
    text = text.strip()
    return UNLIMITED if text == "max" else int(text) if text.isascii() and text.isdecimal() else None


def _is_confined() -> bool:
    """In a container that may not change the kernel's values: only who starts it can."""
    is_container = "KUBERNETES_SERVICE_HOST" in os.environ or any(
        os.path.exists(path) for path in ("/.dockerenv", "/run/.containerenv")
    )
    return is_container and not os.access(_SOMAXCONN, os.W_OK)


def _limit(kind: int, pid: int | None) -> tuple[int, int]:
    """Soft and hard."""
    soft_hard = resource.getrlimit(kind)
    if pid is not None and sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):  # another user's: ours is the best guess
            soft_hard = resource.prlimit(pid, kind)
    soft, hard = (UNLIMITED if limit == resource.RLIM_INFINITY else limit for limit in soft_hard)
    return soft, hard


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())

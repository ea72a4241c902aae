"""A process tree as /proc shows it: who belongs to it, its CPU time, its memory, its end.

Everything here reads Linux' /proc and nothing else, so that the measured processes need no cooperation.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on, None when the process is gone.

    The second, the program's name, may hold spaces and brackets, so everything up to the last bracket goes.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def tree(root: int) -> list[int]:
    """The pid itself and those of all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found


def cpu_s(root: int) -> float:
    """CPU time in seconds that the tree has used so far, in user mode and in the kernel.

    Children that were reaped are in their parent's cutime and cstime (man 5 proc), with all that they used
    before: a difference of two readings is right also when a process ended in between.
    """
    ticks = 0
    for pid in tree(root):
        if fields := _stat_fields(pid):
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / TICKS_PER_S


def pss_kib(root: int) -> int:
    """Sum of the proportional set sizes of the tree in KiB: a page that n processes share counts 1/n each."""
    total = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


@contextmanager
def on_cpus(cpus: set[int]) -> Iterator[None]:
    """In the block this process runs on these processors only, and what it starts stays there (inherited)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(command: Sequence[str], *, cwd: Path, environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, its output in `log`."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], wait_s: float = 3.0) -> None:
    """End the tree: SIGTERM to its root, after `wait_s` seconds SIGKILL to each process that is left."""
    members = tree(process.pid)
    if process.poll() is None:
        process.terminate()
    until = time.monotonic() + wait_s
    while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in members):
        process.poll()
        time.sleep(0.02)
    for pid in members:
        fields = _stat_fields(pid)
        if fields and fields[0] != "Z":
            os.kill(pid, signal.SIGKILL)
    process.wait()


def machine_line() -> str:
    """Processor, number of processors, kernel and Python in one line, for the foot of a table."""
    cpu = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return (
        f"{cpu}, {os.cpu_count()} processors, Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )

"""The pid file: ours to write, ours to remove."""

from __future__ import annotations

import contextlib
import os


class PidFileProblem(OSError):
    """Another server is running, or the file can't be written; `str()` says which and what to do."""

    def __str__(self) -> str:
        return str(self.args[0])


def write(path: str) -> None:
    """Write our pid, atomically. Raises PidFileProblem."""
    pid = _read(path)
    if pid and pid != os.getpid() and _is_alive(pid, path):
        raise PidFileProblem(
            f"pidfile = {path}: a server is already running as pid {pid}; stop it first, or name another file"
        )
    _replace(path, os.getpid())


def _replace(path: str, pid: int) -> None:
    fresh = f"{path}.{os.getpid()}"
    try:
        with open(fresh, "w", encoding="ascii") as file:
            file.write(f"{pid}\n")
        os.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise PidFileProblem(
            f"pidfile = {path} can't be written: {error.strerror}; name a folder that exists"
        ) from None


def hand_over(path: str, pid: int) -> None:
    """Let the file name another arbiter, if it names us. Raises PidFileProblem."""
    if _read(path) == os.getpid():
        _replace(path, pid)


def take_over(path: str) -> None:
    """Let the file name us, whoever it named. Raises PidFileProblem."""
    if _read(path) != os.getpid():
        _replace(path, os.getpid())


def remove(path: str) -> None:
    """Remove it, if it is still ours."""
    if _read(path) == os.getpid():
        with contextlib.suppress(OSError):
            os.unlink(path)


def _read(path: str) -> int:
    """The pid in the file, or 0."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(32).strip() or 0)
    except (OSError, ValueError):
        return 0


def _is_alive(pid: int, path: str) -> bool:
    """Whether the process lives that wrote the file; one that started later has only got its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            booted_at = next(int(line.split()[1]) for line in stat if line.startswith("btime "))
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            ticks = int(stat.read().rpartition(")")[2].split()[19])  # man 5 proc: starttime is the 22nd
        started_at = booted_at + ticks / os.sysconf("SC_CLK_TCK")
        return started_at <= os.stat(path).st_mtime + 2.0  # both clocks are rounded
    except (OSError, ValueError, IndexError, StopIteration):
        return True  # not Linux

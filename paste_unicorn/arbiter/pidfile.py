"""The pid file: ours to write, ours to remove."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator


class PidFileProblem(OSError):
    """Another server is running, or the file can't be written; `str()` says which and what to do."""

    def __str__(self) -> str:
        return str(self.args[0])


def write(path: str) -> None:
    """Write our pid, atomically. Raises PidFileProblem."""
    check(path)
    _replace(path, os.getpid())


def check(path: str) -> None:
    """Whether it may be ours. Raises PidFileProblem where it names another server that lives."""
    pid = running(path)
    if pid:
        raise taken(path, pid)


def running(path: str) -> int:
    """The pid of another server that wrote this file and runs, or 0."""
    pid = _read(path)
    return pid if pid and pid != os.getpid() and _is_alive(pid, path) else 0


def taken(path: str, pid: int) -> PidFileProblem:
    """What is wrong where another server runs."""
    return PidFileProblem(
        f"pidfile = {path}: a server is already running as pid {pid}; stop it first, or name another file"
    )


def attempt(path: str) -> int:
    """Do what `write` does but for the last step, so that nothing stays; `running(path)`. Raises PidFileProblem."""
    with _fresh(path):
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if _is_somebody_elses(path):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    return running(path)


def _replace(path: str, pid: int) -> None:
    with _fresh(path, f"{pid}\n") as fresh:
        os.replace(fresh, path)


@contextlib.contextmanager
def _fresh(path: str, text: str = "") -> Iterator[str]:
    """A file beside this one, which goes if it is still there. Raises PidFileProblem, also for an OSError within."""
    fresh = f"{path}.{os.getpid()}"
    try:
        with open(fresh, "w", encoding="ascii") as file:
            file.write(text)
        yield fresh
    except OSError as error:
        advice = "name a file" if os.path.isdir(path) else "name a file in a folder that exists and may be written"
        raise PidFileProblem(f"pidfile = {path} can't be written: {error.strerror}; {advice}") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(fresh)


def _is_somebody_elses(path: str) -> bool:
    """Whether a folder like /tmp (man 7 inode, the sticky bit) keeps us from replacing what lies there."""
    try:
        folder, file = os.stat(os.path.dirname(path) or "."), os.lstat(path)
    except OSError:
        return False
    return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in {0, folder.st_uid, file.st_uid}


def hand_over(path: str, pid: int) -> None:
    """Let the file name another arbiter, if it names us. Raises PidFileProblem."""
    if _read(path) == os.getpid():
        _replace(path, pid)


def take_over(path: str) -> None:
    """Let the file name us, whoever it named. Raises PidFileProblem.

    Where its folder is gone, as an old release is, nobody looks for it.
    """
    if _read(path) != os.getpid() and os.path.isdir(os.path.dirname(path)):
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
        with open("/proc/stat", encoding="ascii") as kernel:
            booted_at = next(int(line.split()[1]) for line in kernel if line.startswith("btime "))
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as process:
            ticks = int(process.read().rpartition(")")[2].split()[19])  # man 5 proc: starttime is the 22nd
        started_at = booted_at + ticks / os.sysconf("SC_CLK_TCK")
        return started_at <= os.stat(path).st_mtime + 2.0  # both clocks are rounded
    except (OSError, ValueError, IndexError, StopIteration):
        return True  # not Linux

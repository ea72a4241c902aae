"""Which processes belong to a server: found by session, by a mark in their environment, by working directory.

Never by name: several servers, of several people, may run on the machine at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

STOPPED_S = 20.0  # a bound against hanging

ROLES = ("unicorn: arbiter", "unicorn: template", "unicorn: worker")

MARK = "UNICORN_TEST_MARK"  # environment variable whose value tells the processes of one test's server


class Process(NamedTuple):
    """One line of the process table."""

    pid: int
    parent: int
    session: int
    state: str
    title: str
    started: int  # clock ticks since the machine was started


def read_process(pid: int) -> Process | None:
    """The process as /proc shows it now; None if there is none (a zombie is one, with state 'Z')."""
    try:
        title = _title(pid)
        while title != (title := _title(pid)):
            pass  # it is half written, or half gone
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Process(pid, int(fields[1]), int(fields[3]), fields[0], title or _role(name), int(fields[19]))


def _role(name: str) -> str:
    """What is left of a title when a process is about to end: 15 letters of its role."""
    return next((role for role in ROLES if role.startswith(name)), name)


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()


def belonging(session: int, mark: str, directory: Path) -> list[Process]:
    """All live processes of one server, zombies left out, oldest first: pids begin anew when the last one was given."""
    wanted_mark = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        process = read_process(int(name))
        if process is None or process.state in "ZX":
            continue
        if process.session == session or _is_marked(process.pid, wanted_mark, directory):
            found.append(process)
    return sorted(found, key=lambda process: (process.started, process.pid))


def _is_marked(pid: int, mark: bytes, directory: Path) -> bool:
    try:
        if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return True
        return Path(os.readlink(f"/proc/{pid}/cwd")) == directory
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    """Whether the process exists, and is no zombie with all of its threads: while one lives, so do the descriptors."""
    process = read_process(pid)
    if process is None:
        return False
    try:
        return process.state not in "ZX" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def open_files(pid: int) -> list[str]:
    """What its descriptors are, but for those that it closes while we look: a worker weighs itself every second."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(link))
    return found


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal; it doesn't matter if the process has just ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until_gone(pids: list[int], timeout_s: float) -> list[int]:
    """Wait until none of these processes lives; the pids that still do after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def has_stopped(pid: int) -> bool:
    """Whether all of its threads stand still: one that is about to may still be woken, and keep that to itself."""
    states = []
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # this thread has just ended
            states.append(path.read_text().rpartition(")")[2].split()[0])
    return all(state in "TZX" for state in states)


def stop(pids: Iterable[int]) -> None:
    """Stop these processes, and wait until they have stopped: the signal's sender goes on before that."""
    stopped = list(pids)
    for pid in stopped:
        send_signal(pid, signal.SIGSTOP)
    deadline = time.monotonic() + STOPPED_S
    while not all(map(has_stopped, stopped)):
        assert time.monotonic() < deadline, f"not all of {stopped} stand still"
        time.sleep(0.001)


@contextlib.contextmanager
def standing_still(pids: Iterable[int]) -> Iterator[None]:
    """These processes do nothing meanwhile. Who was stopped first, as an arbiter that watches the others, is the last
    to wake: between two signals we may stand still ourselves.
    """
    stopped = list(pids)
    try:
        stop(stopped)
        yield
    finally:
        for pid in reversed(stopped):
            send_signal(pid, signal.SIGCONT)

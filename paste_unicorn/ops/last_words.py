"""What is said of a worker that has ended: pure text, from its row of the scoreboard and the signal that ended it."""

from __future__ import annotations

from collections.abc import Iterator

from ..scoreboard import CellReading, SlotReading
from .access_log import Served
from .escaping import escaped
from .memory import mebibytes
from .oom import OomCount

_MEANING = {
    "SIGSEGV": "SIGSEGV is a fault in C code: the interpreter's, or that of an extension module.",
    "SIGBUS": "SIGBUS is a fault in C code, or a file that is mapped into memory and was cut.",
    "SIGFPE": "SIGFPE is a fault in C code: a division by zero, as a rule.",
    "SIGILL": "SIGILL is C code that was built for another processor, as a rule.",
    "SIGABRT": "SIGABRT comes from abort(): C code found that something is wrong, and gave up.",
    "SIGSYS": "SIGSYS is a system call that is forbidden here (seccomp).",
    "SIGXCPU": "SIGXCPU is a limit of processor time (ulimit -t, LimitCPU=).",
    "SIGXFSZ": "SIGXFSZ is a limit of the size of files (ulimit -f, LimitFSIZE=).",
    "SIGKILL": "SIGKILL comes from outside: from a person, a supervisor, or the kernel for want of memory.",
}
NAMED = 64  # requests of one worker that the error log names; the access log has a line for each
_TRACED = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"}  # what faulthandler answers


def requests(reading: SlotReading, now: float) -> Iterator[str]:
    """What a worker is serving: the oldest requests, and how many there are besides; `now` in monotonic seconds."""
    cells = sorted(reading.running, key=lambda cell: cell.started)
    for cell in cells[:NAMED]:
        yield _describe(cell, now)
    if len(cells) > NAMED:
        yield f"{len(cells) - NAMED} requests more, which began later"
    if beyond := reading.counters["uncelled"]:
        yield f"{beyond} requests more, which found no room in its row of the scoreboard"


def _describe(cell: CellReading, now: float) -> str:
    said = f'"{escaped(cell.request_line)}" since {now - cell.started:.1f} s'
    if cell.peer:
        said += f", for {cell.peer}"
    if cell.received and cell.expected > 0:
        said += f", {cell.received:,} of {cell.expected:,} bytes of its body received"
    elif cell.received:
        said += f", {cell.received:,} bytes of its body received"
    return said


def last_words(reading: SlotReading, killed_by: str, now: float, out_of_memory: str = "") -> Iterator[str]:
    """What is to be said of a worker that was not told to go, each to be put behind its name: what it was doing, its
    memory, what the signal means that ended it (by name; "" if none did).
    """
    for request in requests(reading, now):
        yield f"ended within {request}"
    if not killed_by:
        return
    said = []
    if memory := reading.counters["memory"]:
        ago_s = max(0.0, now - reading.last_beat)
        said.append(f"had {mebibytes(memory)} of memory (resident) at its last sign of life, {ago_s:.1f} s ago")
    if not reading.running:
        said.append("was serving no request")
    meaning = out_of_memory or _MEANING.get(killed_by, "")
    if killed_by in _TRACED:
        meaning += " The tracebacks of its threads stand above, unless it could not even write them."
    yield f"{', and '.join(said) or 'had no more to tell'}. {meaning}".rstrip()


def out_of_memory(kills: int, count: OomCount) -> str:
    """What SIGKILL means when the kernel's OOM killer has ended so many processes since the last look."""
    where = "of this server's control group" if count.is_of_group else "on this system"
    limit = f" (limit {mebibytes(count.limit)})" if count.limit else ""
    which = f"a process {where}{limit}: this one, most likely"
    if kills > 1:
        which = f"{kills} processes {where}{limit}: this was one of them, most likely"
    return (
        f"The kernel's OOM killer has ended {which}. Give the server more memory or fewer workers, or let them be "
        "replaced before (max_worker_memory)."
    )


def unanswered(cell: CellReading, reading: SlotReading, how: str, now: float, wall_time: float) -> Served:
    """For the access log: a request that its worker did not live to answer."""
    return Served(
        peer=cell.peer,
        request_line=cell.request_line,
        environ=None,
        fields=(),
        status=0,
        status_text="",
        response_fields=[],
        body_bytes=0,
        duration_s=now - cell.started,
        wall_time=wall_time,
        pid=reading.pid,
        generation=reading.generation,
        how=how,
    )

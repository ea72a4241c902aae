"""When a listener's queue overflows: what is said about it, and how often. Pure, from what was seen at each look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from . import remedies
from .kernel import Kernel
from .queues import Queue

QUIET_S = 60.0  # between two lines about one listener
_SLOW = "Workers don't accept as fast as clients come: more `workers`, or a longer queue "


@dataclass(frozen=True)
class Listening:
    """A listener at one look. `is_ours`: its queue is as long as `backlog` says."""

    address: str
    is_unix: bool
    is_ours: bool
    queue: Queue


@dataclass(frozen=True)
class Record:
    """What is remembered of one listener."""

    dropped: int  # at the last look
    pending: int = 0  # since the last line
    since: float = 0.0  # of the first of these, in monotonic seconds
    said_at: float | None = None


@dataclass(frozen=True)
class Overflow:
    """What a line is to be about."""

    listening: Listening
    times: int
    within_s: float


@dataclass(frozen=True)
class Records:
    """Of all listeners, by address; and the kernel's count of all overflows of TCP at the last two looks."""

    overflows: int | None = None
    overflows_before: int | None = None
    of: Mapping[str, Record] = field(default_factory=dict)
    looked_at: float = 0.0


def judge(
    records: Records, overflows: int | None, seen: tuple[Listening, ...], now: float
) -> tuple[Records, tuple[Overflow, ...]]:
    """What to remember, and what to say: at once, then once in a while.

    The count is that of all servers in this network namespace, and a listener's own drops have other causes too: an
    overflow of ours is where both have grown. It may have been counted between the two readings of the last look, so
    the count may have grown before the drops were seen. A Unix listener's queue is only seen to be full.
    """
    before = records.overflows if records.overflows_before is None else records.overflows_before
    grown = overflows - before if overflows is not None and before is not None else 0
    after: dict[str, Record] = {}
    told: list[Overflow] = []
    for one in seen:
        record = records.of.get(one.address) or Record(one.queue.dropped)
        dropped = one.queue.dropped - record.dropped
        fresh = int(one.queue.is_full) if one.is_unix else max(0, min(dropped, grown))
        if fresh and not record.pending:
            record = replace(record, since=records.looked_at)
        record = replace(record, dropped=one.queue.dropped, pending=record.pending + fresh)
        if record.pending and (record.said_at is None or now - record.said_at >= QUIET_S):
            told.append(Overflow(one, record.pending, now - record.since))
            record = replace(record, pending=0, said_at=now)
        after[one.address] = record
    return Records(overflows, records.overflows, after, now), tuple(told)


def sentence(overflow: Overflow, kernel: Kernel, backlog: int, pid: int) -> str:
    """One line: what happened, why it matters, what to change."""
    one = overflow.listening
    queue = one.queue
    room = f"{queue.waiting} wait, {queue.most} may"
    if one.is_unix:
        what = (
            f"The queue of connections that wait on {one.address} is full ({room}): whoever connects meanwhile has to "
            "wait, or is refused with EAGAIN (nginx answers 502)"
        )
    else:
        times = "time" if overflow.times == 1 else "times"
        what = (
            f"The queue of connections that wait on {one.address} overflowed {overflow.times} {times} within "
            f"{overflow.within_s:.1f} s (now {room}): clients try again after 1, 3, 7 s, or give up"
        )
    return f"{what}. {_remedy(one, kernel, backlog, pid)}"


def _remedy(one: Listening, kernel: Kernel, backlog: int, pid: int) -> str:
    name, most = "net.core.somaxconn", one.queue.most
    if not one.is_ours:
        return f"{_SLOW}where this socket is opened (Backlog= of a socket unit)"
    if most < backlog:
        remedy = remedies.of_sysctl(kernel, name, backlog, f" && kill -HUP {pid}")
        return f"The kernel cuts backlog = {backlog} to {most}. {remedy}"
    wanted = 2 * max(most, 1)
    advice = f"{_SLOW}(backlog = {wanted} in the ini, then kill -HUP {pid}"
    if kernel.accept_queue is not None and kernel.accept_queue < wanted:
        advice += f", and before it {remedies.of_sysctl(kernel, name, wanted).now}"
    return f"{advice})"

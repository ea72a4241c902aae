"""What the scoreboard of a running server says."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from paste_unicorn.scoreboard import Scoreboard, State
from support.server import Server, wait_for

MOST_WORKERS = 16  # of a server in a test; to look at a slot that nobody had costs memory


@contextlib.contextmanager
def board_of(server: Server) -> Iterator[Scoreboard]:
    """The one of its arbiter."""
    for name in os.listdir(f"/proc/{server.pid}/fd"):
        path = f"/proc/{server.pid}/fd/{name}"
        with contextlib.suppress(FileNotFoundError):
            if "unicorn-scoreboard" in os.readlink(path):
                break
    else:
        raise AssertionError("the arbiter has no scoreboard")
    fd = os.open(path, os.O_RDWR)
    try:
        yield Scoreboard.attach(fd)
    finally:
        os.close(fd)


def requests_that_run(server: Server) -> int:
    """In all workers; also one whose answer has left, and whose mistake is not in the error log yet."""
    with board_of(server) as board:
        slots = [board.read(number) for number in range(MOST_WORKERS)]
    return sum(len(slot.running) + int(slot.counters["uncelled"]) for slot in slots)


def requests_answered(server: Server, pid: int) -> tuple[int, int]:
    """How many this worker has counted; how many of them since it was told to go."""
    with board_of(server) as board:
        (slot,) = [one for one in map(board.read, range(MOST_WORKERS)) if one.pid == pid]
    return slot.requests, slot.requests - slot.counters["answered_before_retiring"]


def wait_until_it_leaves(server: Server, pid: int) -> None:
    """Wait until this worker knows that it is to go: a signal that was sent need not have arrived."""

    def leaves() -> bool:
        return any(one.pid == pid and one.state is State.RETIRING for one in map(board.read, range(MOST_WORKERS)))

    with board_of(server) as board:
        wait_for(leaves, f"worker {pid} to know that it is to go")

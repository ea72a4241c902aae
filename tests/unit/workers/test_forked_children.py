"""An application forks while connections come, move and go in another thread: its child has none of them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from workbench import Bench, connect

from paste_unicorn.process.fork import fork_unwarned

FORKS = 200


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def connections_of_this_process(port: int) -> int:
    """Server's sides of them that it has a descriptor of."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            sock = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # no socket, or that of the listing
            continue
        if sock.family == socket.AF_INET and sock.getsockname()[1] == port:
            count += not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return count


def test_a_child_has_no_connection_at_whatever_moment_it_was_forked(bench: Bench) -> None:
    """What is on its way from the kernel to us, from worker to worker, or about to be closed, would stay in it."""
    listener = bench.listener()
    port = listener.sock.getsockname()[1]
    giver, taker = bench.worker(listeners=[listener]), bench.worker()
    for worker in (giver, taker):
        worker.worker._begin()
    is_over = threading.Event()
    moved = 0

    def move() -> None:
        nonlocal moved
        while not is_over.is_set():
            with connect(listener):
                giver.worker._shared(listener.sock.fileno(), time.monotonic())
                (connection,) = giver.clients.by_fd.values()
                assert giver.handoff.give(connection, False)
                taken = taker.handoff.take(time.monotonic())
                assert taken is not None
                taker.clients.drop(taken[0])
                moved += 1

    mover = threading.Thread(target=move)
    mover.start()
    try:
        codes = []
        while (len(codes) < FORKS or not moved) and mover.is_alive():
            pid = fork_unwarned()
            if pid == 0:
                os._exit(min(connections_of_this_process(port), 100))
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert mover.is_alive()
    finally:
        is_over.set()
        mover.join(10)
    assert [code for code in codes if code] == []

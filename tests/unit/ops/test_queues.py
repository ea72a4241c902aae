"""Queues of listeners as the kernel tells of them: real sockets, with clients that nobody accepts."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import pytest
from support.server import wait_for

from paste_unicorn.ops.queues import Queue, listen_overflows, queue_of


def test_the_count_of_overflows_is_found_under_its_name() -> None:
    text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 23 45\nIpExt: InNoRoutes\nIpExt: 0\n"
    assert listen_overflows(text) == 23
    assert listen_overflows("") is None


def is_full_and_drops(listener: socket.socket) -> Queue | None:
    """Its queue, when it has no room for the two last of six clients."""
    queue = queue_of(listener)
    return queue if queue is not None and queue.is_full and queue.dropped >= 2 else None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems don't tell")
def test_a_listener_tells_its_queue_what_the_kernel_took_and_what_it_dropped() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=3))
        queue = queue_of(listener)
        assert queue is not None
        assert (queue.waiting, queue.most, queue.dropped) == (0, 3, 0)
        for _ in range(6):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        queue = wait_for(lambda: is_full_and_drops(listener), "all handshakes are over")
        assert queue is not None
        assert (queue.waiting, queue.most) == (4, 3)  # one more than was asked for: a queue is full when it is above
        assert listener.listen(2**31 - 1) is None
        queue = queue_of(listener)
        assert queue is not None
        with open("/proc/sys/net/core/somaxconn") as file:
            assert queue.most == int(file.read())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems don't tell")
def test_a_unix_listener_tells_its_queue_too(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(tmp_path / "s"))
        listener.listen(2)
        if queue_of(listener) is None:
            pytest.skip("this kernel has no unix_diag")
        for wait in range(3):
            assert queue_of(listener) == Queue(wait, 2)
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(tmp_path / "s"))
        full = queue_of(listener)
        assert full == Queue(3, 2)
        assert full is not None
        assert full.is_full


def test_a_socket_that_is_closed_tells_nothing() -> None:
    for family in (socket.AF_INET, socket.AF_UNIX):
        sock = socket.socket(family)
        sock.close()
        assert queue_of(sock) is None

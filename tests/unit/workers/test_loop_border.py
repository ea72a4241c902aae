"""What goes wrong with one connection, or one listener, costs the loop nothing else."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from workbench import REQUEST, Bench, connect

from paste_unicorn.workers.connection import Connection, Phase
from paste_unicorn.workers.loop import READABLE

IP_MINTTL = 21  # <linux/in.h>


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_fault_while_a_connection_is_accepted_costs_that_connection(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def trusts(host: str) -> bool:
        asked.append(host)
        if len(asked) == 1:
            raise RuntimeError("raised on purpose")
        return False

    listener = bench.listener()
    worker = bench.worker(listeners=[listener], trusts=trusts)
    with worker.running():
        with socket.create_connection(listener.sock.getsockname(), timeout=10) as first:
            assert first.recv(100) == b""
        with socket.create_connection(listener.sock.getsockname(), timeout=10) as second:
            second.sendall(REQUEST)
            assert second.recv(100).startswith(b"HTTP/1.1 200 ")
    assert "raised on purpose" in caplog.text


def test_a_fault_at_a_deadline_costs_that_connection(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    worker = bench.worker()
    broken_client, broken = worker.client()
    good_client, good = worker.client()
    for connection in (broken, good):
        connection.buffer += b"GET /half HTT"
        connection.deadline = 0.0
    broken.peer = {}
    worker.worker._see_to_overdue(time.monotonic(), [])
    assert good_client.recv(100).startswith(b"HTTP/1.1 408 ")
    assert broken not in worker.clients.by_fd.values()
    assert b"200" not in broken_client.recv(1000)
    assert "one connection is dropped" in caplog.text


def test_a_look_at_who_is_overdue_that_was_broken_off_is_begun_again(bench: Bench) -> None:
    """Whose application is started then may take the loop along (_LoopIsGone, under threads)."""
    worker = bench.worker()
    for _ in range(2):
        worker.client()[1].deadline = 0.0
    drop = worker.clients.drop

    def drop_and_go(connection: Connection) -> None:
        drop(connection)
        raise KeyboardInterrupt

    worker.clients.drop = drop_and_go  # type: ignore[method-assign]
    for left in (1, 0):
        assert worker.worker._next_scan <= time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            worker.worker._see_to_overdue(time.monotonic(), [])
        assert len(worker.clients.by_fd) == left
    now = time.monotonic()
    worker.worker._see_to_overdue(now, [])
    assert worker.worker._next_scan > now


def test_who_has_just_sent_what_was_waited_for_is_not_overdue(bench: Bench) -> None:
    worker = bench.worker()
    client, connection = worker.client()
    client.sendall(REQUEST)
    connection.deadline = 0.0
    worker.worker._see_to_overdue(time.monotonic(), [(connection.fd, READABLE)])
    assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert connection.fd in worker.clients.by_fd


def test_who_sends_on_without_an_end_is_overdue_all_the_same(bench: Bench) -> None:
    worker = bench.worker()
    client, connection = worker.client()
    client.sendall(REQUEST[:20])
    connection.deadline = 0.0
    worker.worker._see_to_overdue(time.monotonic(), [(connection.fd, READABLE)])
    assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_listener_that_can_t_accept_is_left_alone_for_a_while(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Else the loop would turn, and the log fill, as fast as they can."""
    listener = bench.listener()
    worker = bench.worker(listeners=[listener])
    worker.worker._listening.watch()
    listener.sock.shutdown(socket.SHUT_RD)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            for fd, _ in worker.loop.poll(0):
                worker.worker._shared(fd, time.monotonic())
    assert caplog.text.count("Can't accept connections") == 1
    assert not worker.worker._listening.watching


def test_a_worker_that_drains_accepts_without_being_told(bench: Bench) -> None:
    """An event may have gone to a sibling that has left."""
    listener = bench.listener()
    worker = bench.worker(listeners=[listener])
    with connect(listener):
        worker.worker.drain()
        worker.worker._look_around(time.monotonic(), [])
        assert len(worker.clients.by_fd) == 1


def test_a_worker_that_drains_makes_room_for_what_is_still_to_be_accepted(bench: Bench) -> None:
    """Idle connections are about to be closed anyway."""
    listener = bench.listener()
    worker = bench.worker(listeners=[listener], max_connections=1)
    client, idle = worker.client()
    idle.phase = Phase.IDLE
    with connect(listener):
        worker.worker.drain()
        worker.worker._look_around(time.monotonic(), [])
        assert len(worker.clients.by_fd) == 1
        assert client.recv(100) == b""


def test_a_connection_is_dropped_once_though_its_number_is_used_again(bench: Bench) -> None:
    worker = bench.worker()
    first_client, first = worker.client()
    number = first.fd
    worker.clients.drop(first)
    second_client, second = worker.client(number=number)
    worker.clients.drop(first)
    second_client.sendall(REQUEST)
    assert worker.loop.poll(0) == [(second.fd, READABLE)]
    worker.clients.readable(worker.clients.by_fd[second.fd])
    assert second_client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert first_client.recv(100) == b""


def test_what_was_accepted_from_a_listener_that_closes_has_an_ordinary_ttl_again(bench: Bench) -> None:
    """It inherits what stops new handshakes, and would never hear from its client."""
    listener = bench.listener()
    worker = bench.worker(listeners=[listener])
    bench.board.say_closing()
    listener.sock.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 2)  # as low as this client passes
    with connect(listener):
        worker.worker._shared(listener.sock.fileno(), time.monotonic())
        (connection,) = worker.clients.by_fd.values()
        assert connection.sock.getsockopt(socket.IPPROTO_IP, IP_MINTTL) == 0


def test_a_worker_that_is_born_while_a_listener_closes_restores_it_too(bench: Bench) -> None:
    listener = bench.listener()
    bench.board.say_closing()
    listener.sock.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 2)
    worker = bench.worker(listeners=[listener])
    with connect(listener):
        worker.worker._shared(listener.sock.fileno(), time.monotonic())
        (connection,) = worker.clients.by_fd.values()
        assert connection.sock.getsockopt(socket.IPPROTO_IP, IP_MINTTL) == 0

"""What is known of how long a request has waited, and of a client that has gone meanwhile."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import pytest
from workbench import REQUEST, Bench, Worker, wait_for_events

from paste_unicorn.workers.connection import Connection
from paste_unicorn.workers.waited import Door, has_gone


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def pass_on(giver: Worker, connection: Connection, taker: Worker) -> Connection:
    assert giver.handoff.give(connection, True)
    taken = taker.handoff.take(time.monotonic())
    assert taken is not None
    return taken[0]


def test_only_both_sides_closed_or_a_reset_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        with listener.accept()[0] as server:
            client.sendall(REQUEST)
            wait_for_events(server, select.POLLIN)
            assert not has_gone(server.fileno())
            client.shutdown(socket.SHUT_WR)
            wait_for_events(server, select.POLLRDHUP)
            assert not has_gone(server.fileno())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            wait_for_events(server, 0)  # errors are told always
            assert has_gone(server.fileno())


def test_who_is_passed_on_twice_has_waited_since_the_first_time(bench: Bench) -> None:
    first, second, third = bench.worker(), bench.worker(), bench.worker()
    client, connection = first.client()
    with client:
        client.sendall(REQUEST)
        taken = pass_on(first, connection, second)
        since = taken.ready_since
        assert 0 < since <= time.monotonic()
        taken = pass_on(second, taken, third)
        assert taken.ready_since == since
        # It has been answered: what comes next begins to wait anew.
        taken.since = time.monotonic()
        assert pass_on(third, taken, first).ready_since >= taken.since


def test_time_since_the_last_bytes_is_what_a_request_has_waited(bench: Bench) -> None:
    """Over TCP the kernel tells it, whoever had the connection before."""
    worker = bench.worker()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        with client, listener.accept()[0] as sock:
            _, connection = worker.client()
            connection.sock.close()
            connection.sock = sock
            door = Door(60.0, worker.worker._exchange, worker.clients.refuse)
            sent_at = time.monotonic()
            client.sendall(REQUEST)
            wait_for_events(sock, select.POLLIN)
            assert sock.recv(1000) == REQUEST
            deadline = sent_at + 10
            while door._waited_s(connection) < 0.3:
                assert time.monotonic() < deadline
            assert time.monotonic() - sent_at > 0.25
            client.sendall(REQUEST)
            wait_for_events(sock, select.POLLIN)
            assert door._waited_s(connection) < time.monotonic() - sent_at

"""The last answer of a connection leaves together with its end. Real TCP connections, both ends here."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from workbench import Bench, connect, wait_for_events

from paste_unicorn.workers.connection import WITH_THE_END

LAST = b"GET / HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n"
UNNOTICED_S = 0.1  # half of what the kernel waits for the end


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def read_to_end(client: socket.socket) -> bytes:
    received = bytearray()
    while data := client.recv(65536):
        received += data
    return bytes(received)


@pytest.mark.skipif(not WITH_THE_END, reason="this system's send(2) has no MSG_MORE")
def test_it_leaves_when_the_connection_ends(bench: Bench) -> None:
    """Neither before nor, as the kernel would do it without an end, a fifth of a second later."""
    while True:  # until nothing stood still in between
        client, connection = connected(bench)
        since = time.monotonic()
        connection.send(b"answer", True)
        was_readable = client in select.select([client], [], [], 0)[0]
        if time.monotonic() - since < UNNOTICED_S:
            break
        client.close()
    assert not was_readable
    connection.sock.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == b"answer"
    client.close()


def connected(bench: Bench) -> tuple[socket.socket, Any]:
    """A client's socket, and the connection that a worker has to it."""
    listener = bench.listener()
    worker = bench.worker(listeners=(listener,)).worker
    client = connect(listener)
    accepted = worker._listening.accept(listener, 0.0)
    assert accepted is not None
    return client, worker._let_in(listener, *accepted, 0.0)


def test_a_client_that_has_sent_too_much_gets_it_all_the_same(bench: Bench) -> None:
    """What nobody has read makes a close a reset, and a reset throws away what has not left."""
    listener = bench.listener()

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        client.sendall(LAST)
        wait_for_events(next(iter(worker.clients.by_fd.values())).sock, select.POLLIN)
        start_response("200 OK", [("Content-Length", "6")])
        return [b"answer"]

    worker = bench.worker(application, listeners=(listener,))
    with worker.running():
        client = socket.create_connection(listener.sock.getsockname(), timeout=10)
        client.sendall(LAST)
        assert client.recv(65536).endswith(b"\r\n\r\nanswer")
    client.close()

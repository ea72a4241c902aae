"""How long a connection lingers for what its client does. Over Unix sockets, where to have taken is to have read."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from workbench import DEADLINES, Bench, Worker

from paste_unicorn.workers.connection import Connection, Phase
from paste_unicorn.workers.deadlines import LINGER_S, SCAN_INTERVAL_S
from paste_unicorn.workers.lingering import LINGER_MOST_S, _Goodbye

REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 70_000
SIZE = 120_000  # some pieces, as the kernel holds it


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", str(SIZE))])
    return [b"x" * SIZE]


@pytest.fixture
def worker() -> Iterator[Worker]:
    bench = Bench()
    yield bench.worker(application)
    bench.close()


def lingering(worker: Worker, reads: bool) -> tuple[socket.socket, Connection]:
    """A client that was answered; `reads`: it has all of its answer."""
    client, connection = worker.client()
    client.sendall(REQUEST)
    worker.clients.readable(connection)
    assert connection.phase is Phase.LINGERING
    if reads:
        read(client)
    return client, connection


def goodbye(worker: Worker, connection: Connection) -> _Goodbye:
    """What is known of it, with the times from which it is measured."""
    return worker.clients.lingering._goodbyes[connection]


def read(client: socket.socket, size: int = 1 << 20) -> None:
    while size and (data := client.recv(size)):
        size -= len(data)


def look(worker: Worker, connection: Connection, now: float) -> bool:
    """Whether it still lingers, now that its time has come."""
    worker.clients.lingering.look(connection, now)
    return bool(worker.clients.lingering.look(connection, now))


def test_who_has_all_and_is_silent_is_closed(worker: Worker) -> None:
    _, connection = lingering(worker, reads=True)
    now = time.monotonic()
    assert connection.deadline <= now + SCAN_INTERVAL_S
    assert look(worker, connection, now)
    assert look(worker, connection, now + LINGER_S - 0.01)
    assert not look(worker, connection, now + LINGER_S)
    worker.clients.lingering.look = lambda connection, now: 0.0  # type: ignore[method-assign]
    worker.clients.overdue(connection)
    assert not worker.clients.by_fd
    assert not worker.clients.lingering._goodbyes


def test_who_sends_on_is_read_for_a_bounded_time(worker: Worker) -> None:
    client, connection = lingering(worker, reads=True)
    now = time.monotonic()
    assert look(worker, connection, now)
    for second in range(int(LINGER_MOST_S)):
        client.sendall(b"more")
        worker.clients.readable(connection)
        assert goodbye(worker, connection).arrived_at >= now
        goodbye(worker, connection).arrived_at = now + second
        assert look(worker, connection, now + second + LINGER_S - 0.01) == (second + LINGER_S <= LINGER_MOST_S)
    assert not look(worker, connection, now + LINGER_MOST_S)


def test_who_takes_its_answer_has_the_time_that_it_would_have_before(worker: Worker) -> None:
    client, connection = lingering(worker, reads=False)
    now = goodbye(worker, connection).took_at
    for _ in range(3):
        now += DEADLINES.send_s - 0.01
        assert look(worker, connection, now)
        read(client, SIZE // 3 - 3000)
        assert look(worker, connection, now)
    read(client)
    assert look(worker, connection, now + 0.1)
    assert not look(worker, connection, now + 0.1 + LINGER_S)


def test_who_takes_nothing_does_not_linger_for_ever(worker: Worker) -> None:
    _, connection = lingering(worker, reads=False)
    now = goodbye(worker, connection).took_at
    worker.clients.lingering.arrived(connection)
    assert look(worker, connection, now + LINGER_MOST_S - 1)
    assert not look(worker, connection, now + DEADLINES.send_s + 1)


@pytest.mark.parametrize("drains", [False, True])
@pytest.mark.parametrize("reads", [False, True])
def test_a_worker_that_leaves_waits_for_who_would_lose_its_answer(worker: Worker, reads: bool, drains: bool) -> None:
    client, connection = lingering(worker, reads)
    (worker.worker.drain if drains else worker.worker.retire)()
    now = goodbye(worker, connection).arrived_at = time.monotonic()
    worker.worker._look_around(now, [])
    worker.clients.lingering.look(connection, now)
    assert not worker.leaving.is_done(now + 1)
    client.sendall(b"more")
    goodbye(worker, connection).arrived_at = now + LINGER_S  # it goes on sending: to close now would reset
    assert worker.leaving.is_done(now + LINGER_S + 1) == reads
    assert worker.leaving.is_done(now + 2 * LINGER_S + 1)

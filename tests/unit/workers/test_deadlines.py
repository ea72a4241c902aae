"""Which connections are overdue, and which have waited longest."""

from __future__ import annotations

import socket
from _socket import socket as RawSocket
from collections.abc import Iterator

import pytest

from paste_unicorn.workers.connection import Connection, Phase, SendLimits
from paste_unicorn.workers.deadlines import Deadlines, overdue, waiting_longest
from paste_unicorn.wsgi.environ import Environs, peer_environ

DEADLINES = Deadlines(header_s=10, keepalive_s=2, body_s=30, send_s=40)


@pytest.fixture
def connections() -> Iterator[list[Connection]]:
    made = []
    for _ in range(3):
        sock = RawSocket(socket.AF_INET, socket.SOCK_STREAM)
        made.append(Connection(sock, peer_environ("", ""), Environs({}), SendLimits(1, 1), 0.0))
    yield made
    for connection in made:
        connection.close()


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [(Phase.HEAD, 10), (Phase.IDLE, 2), (Phase.BODY, 30), (Phase.WRITING, 40), (Phase.DRAINING, 30)],
)
def test_each_phase_has_its_time(connections: list[Connection], phase: Phase, seconds: float) -> None:
    for connection in connections:
        DEADLINES.start(connection, Phase.RUNNING, 100)
    DEADLINES.start(connections[1], phase, 100)
    assert overdue(connections, 100 + seconds - 0.001) == []
    assert overdue(connections, 100 + seconds) == [connections[1]]


def test_a_running_request_has_no_deadline_of_its_connection(connections: list[Connection]) -> None:
    DEADLINES.start(connections[0], Phase.RUNNING, 0)
    assert overdue(connections[:1], 1e9) == []


def test_heads_that_have_been_unfinished_longest_come_first(connections: list[Connection]) -> None:
    DEADLINES.start(connections[0], Phase.HEAD, 3)
    DEADLINES.start(connections[1], Phase.HEAD, 1)
    DEADLINES.start(connections[2], Phase.IDLE, 0)
    connections[1].buffer += b"GET / HT"
    assert waiting_longest(connections, Phase.HEAD, 10, most=5) == [connections[1], connections[0]]
    assert waiting_longest(connections, Phase.HEAD, 10, most=1) == [connections[1]]
    assert waiting_longest(connections, Phase.HEAD, 0.5, most=5) == []


def test_who_has_a_request_in_its_buffer_is_not_idle(connections: list[Connection]) -> None:
    for connection in connections:
        DEADLINES.start(connection, Phase.IDLE, 0)
    connections[1].buffer += b"GET / HT"
    assert waiting_longest(connections, Phase.IDLE, 10, most=5) == [connections[0], connections[2]]

"""Who gives way where a worker has all the connections that it may have: each rule by its name."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from time import monotonic

import pytest
from workbench import DEADLINES, REQUEST, Bench, Worker, connect

from paste_unicorn.process.listener import Listener
from paste_unicorn.scoreboard import HANDED_OFF, TAKEN_OVER
from paste_unicorn.workers import room
from paste_unicorn.workers.connection import Connection, Phase
from paste_unicorn.workers.room import LONG_IDLE_S, SILENCE_S, SLOW_HEAD_S


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Time stands still: nobody has been idle for long because the machine is busy."""
    now = monotonic()
    for module in (room, sys.modules[__name__]):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    made = Bench()
    yield made
    made.close()


def waiting(worker: Worker, phase: Phase, for_s: float) -> tuple[socket.socket, Connection]:
    """A client that has been silent for so long, and its connection."""
    client, connection = worker.client()
    DEADLINES.start(connection, phase, monotonic() - for_s)
    return client, connection


def is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1000) == b""
    except BlockingIOError:
        return False


def full(bench: Bench, listener: Listener, count: int) -> Worker:
    """A worker that may have so many connections, and knows of no other one that may have more."""
    worker = bench.worker(listeners=[listener], max_connections=count)
    bench.board.room_at = 0
    return worker


def accept(worker: Worker, listener: Listener) -> bool:
    """Whether the worker takes one who knocks now."""
    had = set(worker.clients.by_fd.values())
    with connect(listener):
        worker.worker._shared(listener.sock.fileno(), monotonic())
    return not had >= set(worker.clients.by_fd.values())


def pass_on(giver: Worker, taker: Worker, for_s: float, is_ready: bool = False) -> socket.socket:
    """An idle connection, into the pair and in front of who is full."""
    client, connection = waiting(giver, Phase.IDLE, for_s)
    if is_ready:
        client.sendall(REQUEST)
    assert giver.handoff.give(connection, is_ready)
    taker.worker._shared(taker.handoff.fd, monotonic())
    return client


def test_who_has_been_idle_longest_gives_way_to_a_new_connection(bench: Bench) -> None:
    listener = bench.listener()
    worker = full(bench, listener, 3)
    clients = [waiting(worker, Phase.IDLE, LONG_IDLE_S + more)[0] for more in (1, 3, 2)]
    assert accept(worker, listener)
    assert [is_closed(client) for client in clients] == [False, True, False]


def test_a_slow_head_goes_before_anybody_who_is_idle(bench: Bench) -> None:
    listener = bench.listener()
    worker = full(bench, listener, 2)
    idle, _ = waiting(worker, Phase.IDLE, 30)
    slow, _ = waiting(worker, Phase.HEAD, SLOW_HEAD_S)
    assert accept(worker, listener)
    assert not is_closed(idle)
    assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_who_was_answered_a_moment_ago_stays(bench: Bench) -> None:
    listener = bench.listener()
    worker = full(bench, listener, 1)
    client, _ = waiting(worker, Phase.IDLE, LONG_IDLE_S / 2)
    assert not accept(worker, listener)
    assert not is_closed(client)


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.HEAD])
def test_who_has_sent_something_stays_though_it_was_not_read_yet(bench: Bench, phase: Phase) -> None:
    listener = bench.listener()
    worker = full(bench, listener, 1)
    client, connection = waiting(worker, phase, 5)
    client.sendall(REQUEST)
    assert not accept(worker, listener)
    worker.clients.readable(connection)
    assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_who_has_a_request_in_a_row_stays(bench: Bench) -> None:
    listener = bench.listener()
    worker = full(bench, listener, 1)
    client, connection = waiting(worker, Phase.IDLE, 5)
    connection.buffer += REQUEST
    assert not accept(worker, listener)
    assert not is_closed(client)


def test_who_has_ended_its_side_goes(bench: Bench) -> None:
    listener = bench.listener()
    worker = full(bench, listener, 1)
    client, _ = waiting(worker, Phase.IDLE, 5)
    client.shutdown(socket.SHUT_WR)
    assert accept(worker, listener)


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.HEAD])
def test_whose_application_runs_stays_whatever_its_phase_says(bench: Bench, phase: Phase) -> None:
    """The watcher may want room meanwhile."""
    listener = bench.listener()
    worker = full(bench, listener, 1)
    client, connection = waiting(worker, phase, 5)
    worker.watcher.running = connection
    assert not accept(worker, listener)
    assert not is_closed(client)


def test_nobody_goes_while_a_sibling_has_room(bench: Bench) -> None:
    listener = bench.listener()
    sibling, worker = bench.worker(max_connections=1), full(bench, listener, 1)
    client, _ = waiting(worker, Phase.IDLE, 5)
    sibling.worker._begin()
    sibling.worker._scan(monotonic())
    assert not accept(worker, listener)
    sibling.client()
    sibling.worker._scan(monotonic())
    bench.board.room_at -= SILENCE_S
    assert accept(worker, listener)
    assert is_closed(client)


def test_a_worker_that_is_to_begin_has_room(bench: Bench) -> None:
    """Else one that is about to retire would close connections to make room for those of one that has."""
    listener = bench.listener()
    worker = full(bench, listener, 1)
    client, _ = waiting(worker, Phase.IDLE, 5)
    bench.worker()
    assert not accept(worker, listener)
    assert not is_closed(client)


def test_room_that_just_came_is_not_called_room_while_others_wait_for_it(bench: Bench) -> None:
    """Where clients leave all the time, and more of them come, somebody would always seem to have some."""
    listener = bench.listener()
    worker = full(bench, listener, 1)
    _, connection = waiting(worker, Phase.IDLE, 0)
    worker.worker._begin()
    assert not accept(worker, listener)
    worker.clients.drop(connection)
    worker.worker._room.tell(monotonic())
    assert bench.board.room_at == 0


def test_who_has_been_idle_longest_gives_way_to_one_that_is_passed_on(bench: Bench) -> None:
    giver, taker = bench.worker(), full(bench, bench.listener(), 2)
    clients = [waiting(taker, Phase.IDLE, for_s)[0] for for_s in (3, 5)]
    passed_on = pass_on(giver, taker, 4)
    assert [is_closed(client) for client in (*clients, passed_on)] == [False, True, False]


def test_one_that_is_passed_on_goes_itself_where_it_has_been_idle_longest(bench: Bench) -> None:
    giver, taker = bench.worker(), full(bench, bench.listener(), 1)
    client, _ = waiting(taker, Phase.IDLE, 0)
    assert is_closed(pass_on(giver, taker, 5))
    assert not is_closed(client)


def test_one_that_wants_something_waits_in_the_pair_where_nobody_can_go(bench: Bench) -> None:
    giver, taker = bench.worker(), full(bench, bench.listener(), 1)
    client, connection = waiting(taker, Phase.IDLE, 0)
    waits = pass_on(giver, taker, 5, is_ready=True)
    assert not is_closed(client)
    assert not is_closed(waits)
    assert not taker.handoff.is_empty()
    assert not taker.handoff.watching, "it would be woken for it again and again"
    assert (taker.slot.counters[HANDED_OFF], taker.slot.counters[TAKEN_OVER]) == (0, 0)
    DEADLINES.start(connection, Phase.IDLE, monotonic() - LONG_IDLE_S)
    taker.worker._shared(taker.handoff.fd, monotonic())
    assert is_closed(client)
    assert [one.phase for one in taker.clients.by_fd.values()] == [Phase.IDLE]
    assert taker.handoff.is_empty()

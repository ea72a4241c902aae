"""How a worker leaves: when it goes, what it waits for, and what becomes of connections that nobody takes."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import pytest
from workbench import REQUEST, Bench, Worker, connect, wait_for_events

from paste_unicorn.scoreboard import ANSWERED_BEFORE_RETIRING, HANDED_OFF
from paste_unicorn.workers import leaving
from paste_unicorn.workers.connection import Phase


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def answer(client: socket.socket) -> bytes:
    return client.recv(1000)


def fill_pair(bench: Bench) -> list[socket.socket]:
    """Nobody takes what is in there."""
    giver, clients = bench.worker(), []
    while True:
        client, connection = giver.client()
        clients.append(client)
        if not giver.handoff.give(connection, False):
            return clients


def ask(worker: Worker, client: socket.socket) -> bytes:
    """Whatever of this worker's connections has something to read is read; the client's answer."""
    client.sendall(REQUEST)
    for fd, _ in worker.loop.poll(0):
        if fd in worker.clients.by_fd:
            worker.clients.readable(worker.clients.by_fd[fd])
    return client.recv(1000)


def idle_client(worker: Worker) -> socket.socket:
    """One that was answered before."""
    client, connection = worker.client()
    assert b"Connection: close" not in ask(worker, client)
    assert connection.phase is Phase.IDLE
    return client


def retire(worker: Worker) -> float:
    """Tell it to go. When that was: from then on time passes as the test says."""
    worker.worker.retire()
    return worker.leaving._began_at


def step(worker: Worker, now: float) -> None:
    worker.worker._look_around(now, [])


# -- when it goes --------------------------------------------------------------------------------------------------


def test_a_dismissed_worker_is_done_in_the_round_in_which_its_last_connection_ends(bench: Bench) -> None:
    """Not a tick later."""
    worker = bench.worker()
    client, connection = worker.client()
    connection.phase = Phase.WRITING
    bench.board.dismiss(1)
    now = retire(worker)
    step(worker, now)
    assert not worker.leaving.is_done(now)
    worker.clients.drop(connection)
    assert worker.leaving.is_done(now)
    client.close()


def test_a_worker_that_nobody_dismissed_looks_first_whether_all_of_the_server_stops(bench: Bench) -> None:
    """TERM may have come to every process, and then nobody else takes what it has passed on."""
    worker = bench.worker()
    now = retire(worker)
    step(worker, now)
    assert not worker.leaving.is_done(now)
    assert worker.leaving.wait_s(now) <= leaving.LOOK_S
    assert worker.leaving.is_done(now + leaving.SECOND_LOOK_S)


def test_what_looked_like_a_retirement_may_turn_out_to_be_a_stop(bench: Bench) -> None:
    """Then it accepts again, and takes back what it has passed on."""
    listener = bench.listener()
    worker = bench.worker(listeners=[listener])
    worker.worker._listening.watch()
    worker.handoff.watch()
    client = idle_client(worker)
    worker.worker.retire()
    step(worker, time.monotonic())
    assert not worker.clients.by_fd
    with connect(listener) as fresh:
        step(worker, time.monotonic())
        assert not worker.clients.by_fd, "siblings have the listeners"
        bench.board.stopping = True
        step(worker, time.monotonic())
        step(worker, time.monotonic())
        assert len(worker.clients.by_fd) == 2
        fresh.sendall(REQUEST)
        client.sendall(REQUEST)
        for connection in worker.clients.by_fd.values():
            wait_for_events(connection.sock, select.POLLIN)
        worker.worker.serve()
        for one in (fresh, client):
            one.settimeout(10)
            assert b"Connection: close" in answer(one)


def test_it_goes_round_at_once_while_connections_can_travel(bench: Bench) -> None:
    worker = bench.worker()
    bench.board.dismiss(1)
    client, connection = worker.client()
    connection.phase = Phase.WRITING
    now = retire(worker)
    step(worker, now)
    assert worker.leaving.wait_s(now) == leaving.TICK_S
    connection.phase = Phase.IDLE
    assert worker.leaving.wait_s(now) == 0.0
    client.close()


def test_who_wants_something_is_passed_on_first_and_the_others_a_bounded_number_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While thousands leave, nobody waits for all of them."""
    monkeypatch.setattr(leaving, "MOST_A_PASS", 2)
    worker = bench.worker()
    clients = [idle_client(worker) for _ in range(4)]
    last = list(worker.clients.by_fd.values())[-1]
    now = retire(worker)
    worker.leaving.step(now, {last.fd})
    assert len(worker.clients.by_fd) == 2
    assert last not in worker.clients.by_fd.values()
    assert worker.leaving.wait_s(now) == 0.0, "the others follow at once"
    worker.leaving.step(now, ())
    assert not worker.clients.by_fd
    assert len(clients) == 4


def test_it_waits_for_an_event_where_the_pair_is_full(bench: Bench) -> None:
    kept = fill_pair(bench)
    worker = bench.worker()
    bench.board.dismiss(2)
    client = idle_client(worker)
    now = retire(worker)
    step(worker, now)
    assert worker.handoff.waits_for_room
    assert worker.leaving.wait_s(now) == leaving.TICK_S
    taker = bench.worker()
    while taker.handoff.take(now) is not None:
        pass
    for fd, _ in worker.loop.poll(0):
        worker.worker._shared(fd, now)
    assert worker.leaving.wait_s(now + 1) == 0.0
    step(worker, now + 1)
    assert worker.leaving.is_done(now + 1)
    assert kept
    client.close()


# -- when nobody takes ---------------------------------------------------------------------------------------------


def test_it_goes_on_serving_while_nobody_takes(bench: Bench) -> None:
    kept = fill_pair(bench)
    worker = bench.worker()
    client = idle_client(worker)
    now = retire(worker)
    step(worker, now)
    for _ in range(3):
        assert b"Connection: close" not in ask(worker, client)
    assert kept


def test_when_nobody_takes_for_long_the_next_answer_is_the_last(bench: Bench) -> None:
    kept = fill_pair(bench)
    worker = bench.worker()
    client, idle = idle_client(worker), idle_client(worker)
    now = retire(worker)
    step(worker, now)
    step(worker, now + leaving.PATIENCE_S + 0.1)
    assert b"Connection: close" in ask(worker, client)
    later = now + leaving.PATIENCE_S + leaving.IDLE_GRACE_S
    assert not worker.leaving.is_done(later), "who is idle may still ask"
    idle.sendall(REQUEST)
    assert not worker.leaving.is_done(later + 0.2), "and has just done so"
    for connection in list(worker.clients.by_fd.values()):
        worker.clients.readable(connection)
    assert b"Connection: close" in answer(idle)
    assert worker.leaving.is_done(later + 0.2)
    assert kept


def test_as_long_as_somebody_takes_it_is_patient(bench: Bench) -> None:
    """However many there are: each that is taken begins the patience anew."""
    kept = fill_pair(bench)
    worker, taker = bench.worker(), bench.worker()
    clients = [idle_client(worker) for _ in range(3)]
    now = retire(worker)
    for _ in range(3):
        step(worker, now)
        assert taker.handoff.take(now) is not None
        for fd, _ in worker.loop.poll(0):
            worker.worker._shared(fd, now)
        worker.handoff.room_came()
        now += leaving.PATIENCE_S - 0.1
    assert worker.slot.counters[HANDED_OFF] > 0
    assert not worker.worker._answering.closing
    assert len(clients) == 3
    assert kept


def test_siblings_that_are_only_busy_may_come_until_its_time_is_nearly_up(bench: Bench) -> None:
    kept = fill_pair(bench)
    worker = bench.worker(graceful_s=30.0)
    client = idle_client(worker)
    now = retire(worker)
    for waited_s in (0.0, 10.0, 24.9):
        step(worker, now + waited_s)
        assert b"Connection: close" not in ask(worker, client)
    step(worker, now + 25.1)
    assert b"Connection: close" in ask(worker, client)
    assert kept


def test_without_handoff_idle_connections_may_ask_once_more_and_are_closed(bench: Bench) -> None:
    worker = bench.worker(gives=False)
    client, idle = idle_client(worker), idle_client(worker)
    now = retire(worker)
    step(worker, now)
    assert b"Connection: close" in ask(worker, client)
    assert not worker.leaving.is_done(now + leaving.IDLE_GRACE_S - 0.1)
    assert worker.leaving.is_done(now + leaving.IDLE_GRACE_S + 0.1)
    idle.close()


def test_a_worker_without_handoff_still_takes_what_others_pass_on(bench: Bench) -> None:
    """A reload may have switched it off: what the generation before passes on must not be stuck."""
    giver, taker = bench.worker(), bench.worker(gives=False)
    _, connection = giver.client()
    assert giver.handoff.give(connection, False)
    taker.handoff.watch()
    assert taker.loop.poll(0)
    taker.worker._shared(taker.handoff.fd, time.monotonic())
    assert len(taker.clients.by_fd) == 1


# -- what is counted -----------------------------------------------------------------------------------------------


def test_requests_answered_before_it_was_told_to_go_are_noted_at_that_moment(bench: Bench) -> None:
    """All of them stand on the board then; what is answered afterwards is what it has finished."""
    worker = bench.worker()
    client, connection = worker.client()

    assert ask(worker, client)
    worker.worker._exchange.count_answers()
    assert ask(worker, client)
    assert ask(worker, client)
    connection.close_when_sent = True  # so that it stays
    worker.worker.retire()
    assert worker.slot.counters[ANSWERED_BEFORE_RETIRING] == worker.slot.answered == 3
    assert ask(worker, client)
    step(worker, time.monotonic())
    worker.worker.drain()
    assert worker.slot.counters[ANSWERED_BEFORE_RETIRING] == 3
    assert worker.slot.answered == 4


def test_a_signal_that_interrupts_the_counting_leaves_it_to_the_loop(bench: Bench) -> None:
    worker = bench.worker()
    client, connection = worker.client()
    client.sendall(REQUEST)
    worker.clients.readable(connection)
    exchange = worker.worker._exchange
    with exchange._counting:
        worker.worker.retire()
        assert worker.slot.counters[ANSWERED_BEFORE_RETIRING] == 0
    step(worker, time.monotonic())
    assert worker.slot.counters[ANSWERED_BEFORE_RETIRING] == 1
    assert answer(client)

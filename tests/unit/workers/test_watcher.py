"""Who waits behind a long request is served by a sibling: loop workers in threads, each with its own watcher."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from workbench import REQUEST, Bench, Worker, connect

from paste_unicorn.scoreboard import HANDED_OFF, TAKEN_OVER
from paste_unicorn.workers.watcher import NAME, STUCK_TICKS

SLOW = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Site:
    """An application of which one path takes until `go_on`; it says which worker's it is."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = self.name
        if environ["PATH_INFO"] == "/slow":
            self.begun.set()
            assert self.go_on.wait(30)
        elif environ["PATH_INFO"] == "/spin":
            self.begun.set()
            while not self.go_on.is_set():
                pass
        elif environ["PATH_INFO"] == "/big":
            body = bytes(900_000)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.board.workers = 2
    yield made
    made.close()


@contextlib.contextmanager
def busy(bench: Bench, **options: Any) -> Iterator[tuple[Worker, Site, socket.socket]]:
    """A worker in the middle of a slow request, and the client that waits for it."""
    site = Site("busy")
    worker = bench.worker(site, **options)
    client, _ = worker.client()
    try:
        with running(worker, site):
            client.sendall(SLOW)
            assert site.begun.wait(10)
            yield worker, site, client
    finally:
        client.close()


@contextlib.contextmanager
def running(worker: Worker, site: Site) -> Iterator[None]:
    """It serves, and no slow request keeps it from ending."""
    with worker.running():
        try:
            yield
        finally:
            site.go_on.set()


@contextlib.contextmanager
def free(bench: Bench, **options: Any) -> Iterator[Worker]:
    worker = bench.worker(Site("free"), **options)
    with worker.running():
        yield worker


def answer(client: socket.socket) -> bytes:
    """The body of one small answer."""
    return client.recv(1000).partition(b"\r\n\r\n")[2]


def watchers() -> set[threading.Thread]:
    """Those of other tests too."""
    return {thread for thread in threading.enumerate() if thread.name == NAME}


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_who_waits_behind_a_long_request_is_served_by_a_free_sibling(bench: Bench) -> None:
    site = Site("busy")
    worker = bench.worker(site)
    clients = [worker.client()[0] for _ in range(6)]
    with free(bench) as sibling, running(worker, site):
        clients[0].sendall(SLOW)
        assert site.begun.wait(10)
        for client in clients[1:]:
            client.sendall(REQUEST)
        for client in clients[1:]:
            assert answer(client) == b"free"
            client.sendall(REQUEST)
            assert answer(client) == b"free"
        site.go_on.set()
        assert answer(clients[0]) == b"busy"
        clients[0].sendall(REQUEST)
        assert answer(clients[0]) == b"busy"
    assert min(worker.slot.counters[HANDED_OFF], sibling.slot.counters[TAKEN_OVER]) >= 5


def test_who_waits_in_the_batch_behind_it_or_has_just_been_accepted_is_served_too(bench: Bench) -> None:
    """All of them are there before the loop has seen the first: the batch, the fresh ones, and a second request."""
    site = Site("busy")
    listener = bench.listener()
    worker = bench.worker(site, listeners=[listener])
    slow, _ = worker.client()
    batched, _ = worker.client()
    slow.sendall(SLOW)
    batched.sendall(REQUEST)
    with connect(listener) as fresh:
        fresh.sendall(REQUEST)
        with free(bench), running(worker, site):
            assert site.begun.wait(10)
            assert [answer(client) for client in (batched, fresh)] == [b"free"] * 2
            site.go_on.set()
            assert answer(slow) == b"busy"


def test_requests_in_a_row_that_wait_for_their_turn_go_to_a_sibling(bench: Bench) -> None:
    site = Site("busy")
    worker = bench.worker(site)
    row, connection = worker.client()
    slow, _ = worker.client()
    connection.buffer += REQUEST * 3
    connection.phase = connection.phase.IDLE
    worker.clients.pending.append(connection)
    with free(bench):
        slow.sendall(SLOW)
        with running(worker, site):
            assert site.begun.wait(10)
            answers = b""
            while answers.count(b"\r\n\r\n") < 3:
                answers += row.recv(1000)
            assert answers.count(b"free") >= 2
            site.go_on.set()


def test_the_connection_that_is_being_served_never_goes(bench: Bench) -> None:
    """Its next request is readable, and would be answered before the first."""
    with busy(bench) as (worker, site, client), free(bench):
        other, _ = worker.client()
        client.sendall(REQUEST)
        other.sendall(REQUEST)
        assert answer(other) == b"free"
        site.go_on.set()
        answers = client.recv(1000)
        while answers.count(b"busy") < 2:
            answers += client.recv(1000)
        assert b"free" not in answers


def test_connections_with_unsent_output_or_in_the_middle_of_a_body_never_go(bench: Bench) -> None:
    site = Site("busy")
    worker = bench.worker(site)
    reader, writing = worker.client()
    sender, reading = worker.client()
    slow, _ = worker.client()
    with running(worker, site), free(bench):
        reader.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: writing.phase is writing.phase.WRITING)
        sender.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
        wait_for(lambda: reading.phase is reading.phase.BODY)
        slow.sendall(SLOW)
        assert site.begun.wait(10)
        reader.sendall(REQUEST)
        sender.sendall(b"67890")
        for _ in range(3):
            last, _ = worker.client()
            last.sendall(REQUEST)
            assert answer(last) == b"free"
        assert {writing, reading} <= set(worker.clients.by_fd.values())
        site.go_on.set()
        assert answer(sender) == b"busy"
        reader.close()


def test_an_application_that_computes_is_relieved_too_and_keeps_its_switch_interval(bench: Bench) -> None:
    site = Site("busy")
    worker = bench.worker(site)
    spinning, _ = worker.client()
    client, _ = worker.client()
    before = sys.getswitchinterval()
    with free(bench, gives=False), running(worker, site):  # one watcher, as there is in a process with its interval
        spinning.sendall(b"GET /spin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert site.begun.wait(10)
        client.sendall(REQUEST)
        assert answer(client) == b"free"
        site.go_on.set()
        assert answer(spinning) == b"busy"
    assert sys.getswitchinterval() == before


def test_a_connection_that_nobody_accepts_for_three_ticks_is_accepted_and_passed_on(bench: Bench) -> None:
    listener = bench.listener()
    with (
        free(bench),
        busy(bench, listeners=[listener]),
        socket.create_connection(listener.sock.getsockname()) as client,
    ):
        client.settimeout(10)
        client.sendall(REQUEST)
        assert answer(client) == b"free"


def test_what_nobody_takes_from_the_pair_for_three_ticks_is_put_in_again(bench: Bench) -> None:
    """Whoever puts it in wakes a sibling that waits."""
    giver, worker = bench.worker(), bench.worker()
    worker.handoff.watch()
    clients = {}
    for name in ("first", "second"):
        clients[name], connection = giver.client()
        connection.buffer += name.encode()
        assert giver.handoff.give(connection, True)
    _, running = worker.client()
    for _ in range(STUCK_TICKS):
        worker.watcher._relieve(running)
    order = []
    while (taken := worker.handoff.take(0.0)) is not None:
        order.append(bytes(taken[0].buffer))
    assert order == [b"second", b"first"]


def test_without_room_in_the_pair_connections_stay_and_are_served_later(bench: Bench) -> None:
    site = Site("busy")
    worker, giver = bench.worker(site), bench.worker()
    waiting, _ = worker.client()
    slow, _ = worker.client()
    with running(worker, site):
        slow.sendall(SLOW)
        assert site.begun.wait(10)
        kept = []
        while True:
            client, connection = giver.client()
            kept.append(client)
            if not giver.handoff.give(connection, False):
                break
        waiting.sendall(REQUEST)
        wait_for(lambda: worker.handoff.waits_for_room)
        site.go_on.set()
        assert answer(waiting) == b"busy"


def test_a_worker_that_is_told_to_retire_within_a_long_request_passes_idle_connections_on_at_once(bench: Bench) -> None:
    with busy(bench) as (worker, site, client):
        idle, connection = worker.client()
        with free(bench):
            bench.board.dismiss(1)
            worker.worker.retire()
            wait_for(lambda: connection.fd not in worker.clients.by_fd)
            idle.sendall(REQUEST)
            assert answer(idle) == b"free"
            site.go_on.set()
            assert answer(client) == b"busy"
            client.sendall(REQUEST)
            assert answer(client) == b"free"


def test_while_the_server_stops_nothing_is_passed_on(bench: Bench) -> None:
    with busy(bench) as (worker, site, client):
        waiting, _ = worker.client()
        bench.board.stopping = True
        worker.worker.drain()
        waiting.sendall(REQUEST)
        time.sleep(0.1)  # a few ticks: nothing shows that nothing happens
        assert worker.slot.counters[HANDED_OFF] == 0
        site.go_on.set()
        assert answer(waiting) == b"busy"
        assert answer(client) == b"busy"


def test_the_loop_goes_on_only_when_the_watcher_has_done_what_it_began(bench: Bench) -> None:
    """They share the connections: whatever the watcher is doing when the application returns is waited for."""
    worker = bench.worker(Site("one"))
    client, connection = worker.client()
    with worker.running():
        wait_for(lambda: worker.watcher.started)
        with worker.watcher._lock:
            worker.watcher._acting = True
            client.sendall(REQUEST)
            assert answer(client) == b"one"
            client.sendall(REQUEST)
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert connection.phase is not connection.phase.IDLE
            worker.watcher._acting = False
        client.settimeout(10)
        assert answer(client) == b"one"


def test_the_watcher_of_an_idle_worker_is_parked_and_a_request_wakes_it(bench: Bench) -> None:
    worker = bench.worker(Site("one"))
    client, _ = worker.client()
    with worker.running():
        for _ in range(3):
            client.sendall(REQUEST)
            assert answer(client) == b"one"
            wait_for(lambda: worker.watcher._parked)
            client.sendall(REQUEST)
            assert answer(client) == b"one"
            assert not worker.watcher._parked or worker.watcher.running is None


def test_there_is_no_watcher_where_nobody_would_take(bench: Bench) -> None:
    bench.board.workers = 1
    worker = bench.worker(Site("one"))
    client, _ = worker.client()
    with worker.running():
        client.sendall(REQUEST)
        assert answer(client) == b"one"
        assert not worker.watcher.started
        before = watchers()
        bench.board.workers = 2
        wait_for(lambda: watchers() - before)
        assert worker.watcher.started
        (thread,) = watchers() - before
        assert thread.daemon
    silent = bench.worker(Site("two"), gives=False)
    client, _ = silent.client()
    with silent.running():
        client.sendall(REQUEST)
        assert answer(client) == b"two"
        assert not silent.watcher.started


def test_requests_about_as_long_as_the_watcher_waits_are_all_answered_once(bench: Bench) -> None:
    """The moment in which a request ends and the watcher acts, again and again."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        time.sleep(0.0201 + time.monotonic() % 0.01)
        body = environ["QUERY_STRING"].encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    workers = [bench.worker(application) for _ in range(2)]
    clients = [worker.client()[0] for worker in workers for _ in range(4)]
    wrong: list[bytes] = []
    has_all: list[int] = []

    def ask(client: socket.socket, name: int) -> None:
        for number in range(25):
            text = f"{name}-{number}"
            client.sendall(f"GET /?{text} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            said = answer(client)
            if said != text.encode():
                wrong.append(said)
        has_all.append(name)

    with workers[0].running(), workers[1].running():
        asking = [threading.Thread(target=ask, args=(client, n)) for n, client in enumerate(clients)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(60)
    assert wrong == []
    assert sorted(has_all) == list(range(len(clients)))
    assert sum(worker.slot.counters[HANDED_OFF] for worker in workers) > 0

"""The class `threads`: how many run at a time, who waits where, and what a slow request does to short ones."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
from support.client import BadAnswer, request_bytes
from support.gates import Gate, pid_of
from support.processes import standing_still
from support.server import Server, serve, wait_for

THREADS = 3


@pytest.fixture
def pool() -> Iterator[Server]:
    with serve(settings={"workers": "1", "worker_class": "threads", "threads": str(THREADS)}) as server:
        yield server


@pytest.fixture
def two_with_one_thread() -> Iterator[Server]:
    with serve(settings={"workers": "2", "threads": "1", "worker_class": "gthread"}) as server:
        server.wait_for_log("[INFO] Serving ")
        yield server


def test_as_many_run_at_a_time_as_there_are_threads_and_the_next_one_waits_for_its_turn(pool: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect()) for _ in range(THREADS + 2)]
        gates = [Gate(pool, f"gate-{number}") for number in range(THREADS + 1)]
        for client, gate in zip(clients, gates[:THREADS], strict=False):
            gate.occupy(client)
        clients[THREADS].send(gates[THREADS].request)
        clients[THREADS + 1].send(request_bytes("GET", "/pid"))
        assert clients[THREADS].is_silent()
        assert not gates[THREADS].is_running()
        gates[0].let_through(clients[0])
        wait_for(gates[THREADS].is_running, "the one that waited runs")
        assert clients[THREADS + 1].is_silent()
        gates[1].open()
        assert clients[THREADS + 1].read_answer().status == 200
        for client, gate in zip(clients[2:], gates[2:], strict=False):
            gate.let_through(client)


def test_short_requests_do_not_wait_behind_a_long_one(pool: Server) -> None:
    with pool.connect() as client, pool.connect() as short:
        gate = Gate(pool)
        gate.occupy(client)
        for _ in range(1000):
            assert pid_of(short)
        gate.let_through(client)
        assert pid_of(client)


def test_time_goes_on_for_others_while_slow_requests_come_one_after_the_other() -> None:
    """Each of them lets another thread have the loop, which has hardly begun its round when the next one comes."""
    settings = {"workers": "1", "worker_class": "threads", "threads": "4", "keepalive": "3", "header_timeout": "3"}
    app = "paste.app_factory = support.waiting:make_app"
    over = threading.Event()
    with serve(settings=settings, app=app) as server, contextlib.ExitStack() as stack:
        # Their bytes are there when they are accepted, however long we stand still after connecting.
        with standing_still(process.pid for process in server.titled("unicorn: worker")):
            idle, half = (stack.enter_context(server.connect()) for _ in range(2))
            idle.send(request_bytes("GET", "/pid"))
            half.send(b"GET / HTTP/1.1\r\nHost: loc")
        assert not idle.read_answer().closes

        def ask_again_and_again() -> None:
            while not over.is_set():
                # Who stands still for longer than `keepalive` connects again.
                with contextlib.suppress(OSError, BadAnswer), server.connect() as busy:
                    while not over.is_set():
                        busy.send(request_bytes("GET", "/sleep?s=0.02"))
                        busy.read_answer()
                        time.sleep(0.005)

        thread = threading.Thread(target=ask_again_and_again)
        thread.start()
        try:
            assert half.read_answer().status == 408
            idle.expect_end()
        finally:
            over.set()
            thread.join()


def test_idle_and_half_sent_requests_occupy_no_thread(two_with_one_thread: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(two_with_one_thread.connect()) for _ in range(200)]
        for number, client in enumerate(clients):
            if number % 2:
                assert pid_of(client)
            else:
                client.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhal")
        assert two_with_one_thread.get("/").status == 200
        for client in clients[::2]:
            client.send(b"f.")
            assert client.read_answer().body == b"half."


def test_what_a_full_worker_can_not_run_a_sibling_does(two_with_one_thread: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(two_with_one_thread.connect()) for _ in range(20)]
        for client in clients:
            pid_of(client)
        busy = clients[0]
        gate = Gate(two_with_one_thread)
        full = gate.occupy(busy)
        # Those that are kept by the full worker, and some that are new.
        for client in (*clients[1:], *(stack.enter_context(two_with_one_thread.connect()) for _ in range(20))):
            assert pid_of(client) != full
        gate.let_through(busy)


def test_when_all_are_full_whoever_comes_free_goes_on(two_with_one_thread: Server) -> None:
    server = two_with_one_thread
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(30)]
        gates = [Gate(server, "gate-0"), Gate(server, "gate-1")]
        gates[0].occupy(clients[0])
        gates[1].occupy(clients[1])
        for client in clients[2:]:
            client.send(request_bytes("GET", "/pid"))
        assert clients[2].is_silent()
        gates[1].open()
        assert {client.read_answer().status for client in clients[2:]} == {200}
        gates[0].open()
        for client in clients[:2]:
            assert client.read_answer().body == b"it is there\n"

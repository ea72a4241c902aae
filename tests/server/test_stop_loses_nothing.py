"""TERM: no connection that the kernel accepted is reset or closed unanswered; what runs is finished; exit code 0."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from support.board import wait_until_it_leaves
from support.checks import get
from support.client import request_bytes
from support.load import JUST_CONNECTED_S, Hurried, in_threads
from support.processes import send_signal
from support.server import ServerProblem, serve, wait_for

CLIENTS = 12
ROUNDS = 8


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_no_established_connection_is_lost_under_term(worker_class: str, round_number: int) -> None:
    with serve(settings={"workers": "2", "worker_class": worker_class}) as server:
        clients = [Hurried(("127.0.0.1", server.port)) for _ in range(CLIENTS)]

        def term_under_load() -> None:
            wait_for(lambda: sum(client.answered for client in clients) > 300, "300 requests are answered")
            server.signal(signal.SIGTERM)

        in_threads([client.run for client in clients], term_under_load)
        assert server.wait() == 0
        assert [lost for client in clients for lost in client.lost] == []
        assert sum(client.answered for client in clients) > 300


@pytest.mark.parametrize("round_number", range(2))
def test_nothing_is_lost_though_every_process_gets_the_term(worker_class: str, round_number: int) -> None:
    """As systemd does it (KillMode=control-group): workers may hear of it before the arbiter says that it stops."""
    with serve(settings={"workers": "2", "worker_class": worker_class}) as server:
        clients = [Hurried(("127.0.0.1", server.port)) for _ in range(CLIENTS)]

        def term_under_load() -> None:
            wait_for(lambda: sum(client.answered for client in clients) > 300, "300 requests are answered")
            for process in reversed(server.processes()):
                send_signal(process.pid, signal.SIGTERM)

        in_threads([client.run for client in clients], term_under_load)
        assert server.wait() == 0
        assert [lost for client in clients for lost in client.lost] == []


def test_no_connection_on_a_unix_socket_is_lost_under_term(worker_class: str) -> None:
    settings = {"workers": "2", "worker_class": worker_class, "bind": "unix:{directory}/socket"}
    with serve(settings=settings) as server:
        failures: list[str] = []
        answered = threading.Semaphore(0)

        def client() -> None:
            while True:
                began = time.monotonic()
                try:
                    connection = server.connect()
                except OSError:
                    return
                with connection:
                    silent_s = 0.0
                    try:
                        try:
                            connection.send(get(b"Host: localhost", b"Connection: close"))
                        finally:
                            silent_s = time.monotonic() - began
                        assert connection.read_answer().body == b"ready\n"
                        answered.release()
                    except (AssertionError, OSError) as error:
                        if connection.received or silent_s < JUST_CONNECTED_S:  # else it was we who stood still
                            failures.append(repr(error))

        def term_under_load() -> None:
            for _ in range(300):
                assert answered.acquire(timeout=30)
            server.signal(signal.SIGTERM)

        in_threads([client] * CLIENTS, term_under_load)
        assert server.wait() == 0
        assert failures == []


def test_request_that_runs_is_finished_before_the_server_stops(worker_class: str) -> None:
    with serve(settings={"workers": "1", "worker_class": worker_class}) as server, server.connect() as client:
        gate = server.directory / "gate"
        client.send(request_bytes("GET", f"/wait-for-file?path={gate}"))
        wait_for(gate.with_suffix(".waiting").exists, "the application runs")
        server.signal(signal.SIGTERM)
        wait_until_it_leaves(server, int(gate.with_suffix(".waiting").read_text()))
        assert client.is_silent()
        gate.touch()
        answer = client.read_answer()
        assert (answer.body, answer.closes) == (b"it is there\n", True)
        assert server.wait() == 0


def test_answer_that_a_slow_reader_has_not_taken_is_sent_before_the_server_stops(worker_class: str) -> None:
    size = 900_000
    with serve(settings={"workers": "1", "worker_class": worker_class}) as server:
        client = server.connect()
        with client:
            client.send(request_bytes("GET", f"/big?size={size}"))
            client.read_some()
            assert server.get("/").status == 200
            server.signal(signal.SIGTERM)
            assert client.is_silent(0.3) or client.received
            assert len(client.read_answer().body) == size
        assert server.wait() == 0


def test_idle_connection_may_still_ask_while_another_request_runs(worker_class: str) -> None:
    """Idle connections close last: a request that was on its way when the stop began is answered."""
    with serve(settings={"workers": "1", "worker_class": worker_class}) as server:
        gate = server.directory / "gate"
        with server.connect() as idle, server.connect() as running:
            idle.send(request_bytes("GET", "/"))
            assert not idle.read_answer().closes
            running.send(request_bytes("GET", f"/wait-for-file?path={gate}"))
            wait_for(gate.with_suffix(".waiting").exists, "the application runs")
            idle.send(request_bytes("GET", "/"))
            server.signal(signal.SIGTERM)
            gate.touch()
            assert running.read_answer().body == b"it is there\n"
            assert idle.read_answer().body == b"ready\n"
            idle.expect_end()
        assert server.wait() == 0


def test_graceful_timeout_ends_what_does_not_end(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "graceful_timeout": "1"}
    with serve(settings=settings) as server, server.connect() as client:
        gate = server.directory / "gate"
        client.send(request_bytes("GET", f"/wait-for-file?path={gate}"))
        wait_for(gate.with_suffix(".waiting").exists, "the application runs")
        server.signal(signal.SIGTERM)
        server.wait()
        assert b" 200 " not in client.read_to_the_last()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM, signal.SIGINT])
def test_stop_leaves_no_process_and_no_port_behind(worker_class: str, number: signal.Signals) -> None:
    with serve(settings={"workers": "3", "worker_class": worker_class}) as server:
        server.get("/")
        server.signal(number)
        assert server.wait() == 0
        wait_for(lambda: server.processes() == [], "all processes are gone")
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_harness_reports_a_server_that_does_not_start() -> None:
    with pytest.raises(ServerProblem, match="exit code"), serve(app="use = egg:no-such-thing"):
        pass

"""The class `threads`: waits that are interrupted when their client has left, those that can't be, and a full pool."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.client import Client, request_bytes
from support.processes import is_alive
from support.server import Server, serve, wait_for

APPLICATION = "paste.app_factory = support.waiting:make_app"
LOGS = {"accesslog": "{directory}/access.log", "access_log_format": "json"}
THREADS = 2
TIMEOUT_S = 3
GONE = "Nobody waits for the answers of these requests"
FULL = "All threads of this worker are busy"


@contextlib.contextmanager
def small_pool(**more: str) -> Iterator[Server]:
    settings = {
        "workers": "1", "worker_class": "threads", "threads": str(THREADS), "timeout": str(TIMEOUT_S),
        "graceful_timeout": "4", **LOGS, **more,
    }  # fmt: skip
    with serve(settings=settings, app=APPLICATION) as server:
        yield server


def ask(client: Client, target: str) -> None:
    client.send(request_bytes("GET", target))


def begin(client: Client, target: str) -> None:
    """Ask, and see the stream begin."""
    ask(client, target)
    assert client.read_head()[0] == 200
    assert b"hello" in read_item(client)


def read_item(client: Client) -> bytes:
    """One chunk of a stream."""
    return client.read_exactly(int(client.read_line(), 16) + 2)


def pid_of(server: Server) -> int:
    return int(server.get("/pid").body)


def state(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/state").body)
    return found


def access_lines(server: Server, text: str) -> list[dict[str, Any]]:
    log = (server.directory / "access.log").read_text()
    whole = log[: log.rfind("\n") + 1]  # the last line may be half written
    return [json.loads(line) for line in whole.splitlines() if text in line]


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("how", ["sleep", "select", "condition", "recv"])
def test_who_waits_for_a_moment_at_a_time_is_told_that_its_client_has_left(how: str, end: str) -> None:
    """It sends nothing by which it would notice that itself."""
    with small_pool(timeout="60") as server:
        with server.connect() as client:
            begin(client, f"/listen?how={how}")
            getattr(client, end)()
        wait_for(lambda: state(server)["closed"] == 1, "its iterable is closed")
        assert state(server)["running"] == 0
        assert "WARNING" not in server.log_text()
        wait_for(lambda: access_lines(server, "/listen"), "its line")
        assert access_lines(server, "/listen")[0]["how"] == "client-gone"


def test_those_that_wait_for_ever_for_clients_that_have_left_are_reported_and_their_worker_is_replaced() -> None:
    """As many as there are threads: who waits for one gets another one, of the same worker."""
    with small_pool() as server, server.connect(timeout_s=20.0) as waits:
        pid = pid_of(server)
        ask(waits, "/pid")
        assert waits.read_answer().body
        clients = [server.connect() for _ in range(THREADS)]
        for number, client in enumerate(clients):
            begin(client, f"/get?number={number}")
        # Before they leave: from then on their worker has `timeout` until it retires.
        ask(waits, "/pid")
        for client in clients:
            client.close()
        assert int(waits.read_answer().body) == pid
        server.wait_for_log(f"(pid {pid}) retires: a thread waits for what does not come")
        wait_for(lambda: not is_alive(pid), "the worker ends", 20.0)
        assert pid_of(server) != pid
        log = server.log_text()
        assert GONE in log
        log = log[log.index(GONE) :]  # had we stood still before they left, the pool would have been called full
        for number in range(THREADS):
            assert log.count(f'"GET /get?number={number} HTTP/1.1" of 127.0.0.1, since ') == 1
        assert "in do_get" in log
        assert "let the application wait for a few seconds at a time" in log
        assert "ERROR" not in server.log_text()
        lines = access_lines(server, "/get")
        assert [line["how"] for line in lines] == ["client-gone"] * THREADS


def test_other_requests_of_such_a_worker_are_finished() -> None:
    with small_pool() as server, server.connect(timeout_s=20.0) as slow:
        pid = pid_of(server)
        ask(slow, "/sleep?s=4")
        with server.connect() as client:
            begin(client, "/get")
        server.wait_for_log(f"(pid {pid}) retires")
        wait_for(lambda: pid_of(server) != pid, "others serve")
        assert slow.read_answer().body == b"slept"
        wait_for(lambda: not is_alive(pid), "the worker ends", 20.0)


def test_a_pool_that_gets_nowhere_says_so_once() -> None:
    with small_pool() as server, contextlib.ExitStack() as stack:
        pid = pid_of(server)
        clients = [stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(THREADS + 1)]
        for number, client in enumerate(clients[:THREADS]):
            ask(client, f"/sleep?s={2.5 * TIMEOUT_S}&number={number}")
        ask(clients[THREADS], "/ready")
        log = server.wait_for_log(FULL)
        server.wait_for_log("in do_sleep")
        assert f"for {TIMEOUT_S} s (timeout)" in log
        assert "`threads`" in log
        assert "`request_timeout`" in log
        for number in range(THREADS):
            assert f'number={number} HTTP/1.1" of 127.0.0.1, since ' in log
        assert [client.read_answer().body for client in clients] == [*[b"slept"] * THREADS, b"ready\n"]
        assert server.log_text().count(FULL) == 1
        assert pid_of(server) == pid


def test_a_full_pool_of_streams_that_send_is_none_that_gets_nowhere() -> None:
    with small_pool() as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(THREADS)]
        for client in clients:
            ask(client, "/ticks?gap=0.5")
            assert client.read_head()[0] == 200
        until = time.monotonic() + 2 * TIMEOUT_S
        while time.monotonic() < until:
            for client in clients:
                assert b"tick" in read_item(client)
        assert FULL not in server.log_text()


def test_without_timeout_nothing_is_called_stuck() -> None:
    with small_pool(timeout="0") as server, contextlib.ExitStack() as stack:
        pid = pid_of(server)
        clients = [stack.enter_context(server.connect()) for _ in range(THREADS)]
        begin(clients[0], "/get")
        ask(clients[1], f"/sleep?s={1.5 * TIMEOUT_S}")
        clients[0].close()
        assert clients[1].read_answer().body == b"slept"
        assert pid_of(server) == pid
        assert "WARNING" not in server.log_text()

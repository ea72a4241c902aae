"""Clients that disappear by hundreds, in the middle of whatever it is: nothing of them is left, and all is closed."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.board import requests_that_run
from support.checks import get, post
from support.client import Client, chunked
from support.load import allow_descriptors, crowd
from support.server import Server, serve, wait_for
from support.streaming import MOST_THREADS

APPLICATION = "paste.app_factory = support.streaming:make_app"
SETTINGS = {
    "worker_connections": "2000", "loglevel": "info",
    "timeout": "120", "body_timeout": "120", "send_timeout": "120",  # a crowd may take its time to come
}  # fmt: skip
HOST = b"Host: localhost"
CROWD = 500
PATIENCE_S = 60.0

# What they were doing. Where hundreds can't run at once, an application that waits for ever would keep the others
# waiting, so there it waits for a moment.
GREEN = ("gevent", "eventlet")
ASKING = (*GREEN, "threads")
KINDS = {
    "sized uploads": lambda wait_s: post(b"Content-Length: 1000000", body=b"x" * 70_000, target=b"/take"),
    "chunked uploads": lambda wait_s: post(b"Transfer-Encoding: chunked", body=b"ffff\r\nxyz", target=b"/take"),
    "long polls": lambda wait_s: get(HOST, target=b"/poll?s=%b" % wait_s),
    "streams": lambda wait_s: get(HOST, target=b"/ticks?gap=%b" % wait_s),
    "floods": lambda wait_s: get(HOST, target=b"/flood"),
}


@pytest.fixture(autouse=True)
def _descriptors() -> None:
    allow_descriptors(8192)


def state(server: Server) -> dict[str, Any]:
    """What the application sees of its process, and what the scoreboard says."""
    with server.connect(PATIENCE_S) as client:
        client.send(get(HOST, target=b"/state"))
        found: dict[str, Any] = json.loads(client.read_answer().body)
    return {**found, "running": requests_that_run(server)}


def wait_until_nothing_is_left(server: Server, before: dict[str, Any]) -> None:
    """Descriptors, threads, greenlets, cells of the scoreboard as before; and every iterable closed."""

    def is_so() -> bool:
        now = state(server)
        return now["opened"] == now["closed"] and all(
            now[name] <= before[name] for name in ("descriptors", "threads", "greenlets", "running")
        )

    wait_for(is_so, f"nothing is left beyond {before}", PATIENCE_S)


@pytest.mark.parametrize("kind", [*KINDS, "all of them"])
def test_nothing_is_left_of_hundreds_that_disappear(
    server: Server, worker_class: str, log_start: int, kind: str
) -> None:
    wait_s = b"3600" if worker_class in GREEN else b"0.001"
    requests = [make(wait_s) for name, make in KINDS.items() if kind in (name, "all of them")]
    count = CROWD // len(requests)
    before = state(server)
    before["threads"] = MOST_THREADS.get(worker_class, before["threads"])
    with contextlib.ExitStack() as stack:
        clients = [one for data in requests for one in stack.enter_context(crowd(server.address, count, data))]
        if worker_class in GREEN:
            wait_for(lambda: state(server)["started"] == before["started"] + CROWD, "all of them run", PATIENCE_S)
        elif kind.endswith("uploads"):  # until its client goes; who has gone before is not read
            wait_for(lambda: requests_that_run(server), "one of them runs", PATIENCE_S)
        for number, client in enumerate(clients):
            if number % 2:
                client.close()
            else:
                client.reset()
    wait_until_nothing_is_left(server, before)
    if kind.endswith("uploads"):

        def told() -> list[str]:
            """What the applications were told, once all were: one may have begun to read when the state was taken."""
            now = state(server)
            errors: list[str] = now["errors"][len(before["errors"]) :]
            return errors if len(errors) == now["started"] - before["started"] > 0 else []

        errors = wait_for(told, "each application that read was told")
        assert {error.partition(":")[0] for error in errors} == {"ClientDisconnected"}
    log = server.log_text()[log_start:]
    assert not re.search("Traceback|ERROR|WARNING", log), log


# -- gone, or waiting for the answer? ----------------------------------------------------------------------------------


@contextlib.contextmanager
def all_threads_wait(request: bytes, timeout_s: str) -> Iterator[tuple[Server, list[Client]]]:
    """For news that never come, so that nobody else is served; and their clients, of which some wait for a thread."""
    settings = {
        "workers": "1", "worker_class": "threads", "threads": "8", "timeout": timeout_s, "graceful_timeout": "5",
    }  # fmt: skip
    with serve(settings=settings, app=APPLICATION) as server, contextlib.ExitStack() as stack:
        server.wait_for_log("[INFO] Serving ")
        clients = [stack.enter_context(server.connect()) for _ in range(12)]
        for client in clients:
            client.send(get(HOST, target=b"/pid"))
            assert client.read_answer().status == 200
        for client in clients:
            client.send(request)
        wait_for(lambda: requests_that_run(server) == 8, "all threads wait")
        yield server, clients


@pytest.mark.parametrize("goes", ["close", "reset"])
@pytest.mark.parametrize("body", [b"", b"small"])
def test_threads_come_back_from_long_polls_whose_clients_have_gone(goes: str, body: bytes) -> None:
    request = post(b"Content-Length: %d" % len(body), body=body, target=b"/poll_often")
    with all_threads_wait(request, "120") as (server, clients), server.connect(PATIENCE_S) as other:
        other.send(get(HOST, target=b"/state"))
        for client in clients:
            getattr(client, goes)()
        assert json.loads(other.read_answer().body)["started"] >= 8
        wait_for(lambda: requests_that_run(server) == 0, "all threads have come back")
        log = server.log_text()
        assert not re.search("Traceback|ERROR|retires", log), log


@pytest.mark.parametrize("goes", ["close", "reset"])
def test_threads_that_can_not_come_back_are_reported_and_replaced(goes: str) -> None:
    """Python can't interrupt a wait in C."""
    with (
        all_threads_wait(get(HOST, target=b"/poll?s=3600"), "4") as (server, clients),
        server.connect(PATIENCE_S) as other,
    ):
        old = int(server.titled("unicorn: worker")[0].pid)
        other.send(get(HOST, target=b"/pid"))
        for client in clients:
            getattr(client, goes)()
        assert other.read_answer().status == 200
        server.wait_for_log("a thread waits for what does not come, and its client has left")
        # The worker may have seen some of them go, and then looked at its threads, before it saw the others.
        named = '"GET /poll?s=3600 HTTP/1.1" of 127.0.0.1, since '
        wait_for(lambda: server.log_text().count(named) >= 8, "all eight to be named")
        wait_for(lambda: int(server.get("/pid").body) != old, "another worker serves")


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_who_has_ended_its_side_before_a_stream_begins_gets_all_of_it(
    server: Server, worker_class: str, version: bytes, tmp_path: Path
) -> None:
    """Most classes ask meanwhile whether it is still there: by a 100, which HTTP/1.0 does not know."""
    gate = tmp_path / "gate"
    events = [f"id: {number}\ndata: event {number}\n\n".encode() for number in range(3)]
    with server.connect() as client:
        client.send(get(HOST, target=f"/events?count=3&late=1&gate={gate}".encode(), version=version))
        client.end()
        if worker_class in ASKING and version == b"HTTP/1.1":
            assert client.read_head()[:2] == (100, "Continue")
        assert client.is_silent(1.5)
        for number in range(3):
            Path(f"{gate}.{number}").touch()
        answer = client.read_answer()
        assert (answer.status, answer.body) == (200, b"".join(events))
        client.expect_end()


@pytest.mark.parametrize("size", [100, 200_000])
def test_an_echo_to_who_has_ended_its_side_is_whole(server: Server, size: int) -> None:
    """As `nc -N` does: all of the request, and the end, at once."""
    data = b"x" * size
    with server.connect() as client:
        client.send(post(b"Transfer-Encoding: chunked", body=chunked(data), target=b"/echo"))
        client.end()
        assert client.read_answer().body == data
        client.expect_end()


def test_the_kernel_asks_silent_clients_whether_they_are_still_there(server: Server) -> None:
    """Within a minute, whatever they wait for (`man 5 proc`, /proc/net/tcp: timer 02, and clock ticks)."""

    def timers() -> list[str]:
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return [row[5] for row in rows if [int(end.partition(":")[2], 16) for end in row[1:3]] == ports]

    with server.connect() as client:
        ports = [server.port, client.sock.getsockname()[1]]
        client.send(get(HOST, target=b"/state"))
        assert client.read_answer().status == 200
        wait_for(lambda: [timer[:3] for timer in timers()] == ["02:"], "the timer of the keep-alive probes")
        [timer] = timers()
        assert int(timer[3:], 16) <= 60 * os.sysconf("SC_CLK_TCK")

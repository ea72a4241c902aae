"""Requests that had to wait: not run when their client has gone, 503 after `queue_timeout`, served in any other case.

What keeps them waiting is an application that lets nobody else run in its worker, in whatever class.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checks import events, script
from support.client import Answer, Client, request_bytes
from support.server import Server, serve, wait_for

LOGS = {"accesslog": "{directory}/access.log", "access_log_format": "json"}
QUEUE_TIMEOUT_S = 3
LONGER_S = QUEUE_TIMEOUT_S + 0.5


def one_at_a_time(worker_class: str) -> dict[str, str]:
    """Settings under which `busy` keeps all others of a worker waiting."""
    return {"worker_class": worker_class, **({"threads": "1"} if worker_class == "threads" else {})}


@pytest.fixture(scope="module")
def server(worker_class: str) -> Iterator[Server]:
    with serve(settings={"workers": "1", **one_at_a_time(worker_class), **LOGS}) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(worker_class: str) -> Iterator[Server]:
    settings = {
        "workers": "1", **one_at_a_time(worker_class), "queue_timeout": str(QUEUE_TIMEOUT_S), "keepalive": "30", **LOGS,
    }  # fmt: skip
    with serve(settings=settings) as running:
        yield running


def ask(client: Client, target: str) -> None:
    client.send(request_bytes("GET", target))


def recording(key: str) -> str:
    return script(key=key)


@contextlib.contextmanager
def kept(server: Server, count: int) -> Iterator[list[Client]]:
    """Connections that were answered before, all known to the worker's loop."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(answered(server)) for _ in range(count)]


def answered(server: Server) -> Client:
    """A connection that was; another one, where the worker stood still for longer than `queue_timeout`."""
    while True:
        client, began = server.connect(timeout_s=20.0), time.monotonic()
        ask(client, "/")
        if check_served(client, began).status == 200:
            return client
        client.close()


def check_served(client: Client, began: float, limit_s: float = QUEUE_TIMEOUT_S) -> Answer:
    """It is served, or has waited for too long indeed: the worker may have stood still."""
    answer = client.read_answer()
    assert answer.status == 200 or (answer.status == 503 and time.monotonic() - began > limit_s), answer
    return answer


def reset(server: Server, client: Client) -> None:
    """Reset a connection, and wait until the server's end of it knows: on a busy machine the kernel takes its time."""
    ports = (server.port, client.sock.getsockname()[1])
    client.reset()

    def is_there() -> bool:
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return any(tuple(int(end.partition(":")[2], 16) for end in row[1:3]) == ports for row in rows)

    wait_for(lambda: not is_there(), "the reset to arrive")


@contextlib.contextmanager
def busy(client: Client, gate: Path) -> Iterator[None]:
    """Within this the worker's loop does not come to look; then it does, and this client has its answer."""
    ask(client, f"/wait-for-file?path={gate}&alone")
    try:
        wait_for(gate.with_suffix(".waiting").exists, "the application to run")
        assert client.is_silent(0.3)  # under threads the loop has gone elsewhere by then
        yield
    finally:
        gate.touch()
    assert client.read_answer().status == 200


def access_lines(server: Server, text: str, count: int) -> list[dict[str, object]]:
    """Those of the access log that hold this text, once there are so many."""

    def found() -> list[str]:
        written = (server.directory / "access.log").read_text()
        return [line for line in written[: written.rfind("\n") + 1].splitlines() if text in line]

    wait_for(lambda: len(found()) >= count, f"{count} lines with {text}")
    return [json.loads(line) for line in found()]


# -- clients that have gone ------------------------------------------------------------------------------------------


def test_who_has_gone_while_waiting_is_not_served(server: Server, tmp_path: Path) -> None:
    """Whether the worker had that connection before, or it was waiting in the listener's queue."""
    with kept(server, 3) as (blocking, before, second), server.connect() as fresh:
        with busy(blocking, tmp_path / "gate"):
            ask(before, recording("gone"))
            ask(fresh, recording("gone"))
            # The second of two requests in a row is read, but not yet in its turn.
            ask(second, recording("stays"))
            for client in (before, fresh):
                reset(server, client)
        assert second.read_answer().status == 200
    assert events(server, "gone") == []
    lines = access_lines(server, "%22gone%22", 2)
    assert [(line["how"], line["status"]) for line in lines] == [("client-gone", 0)] * 2


def test_who_goes_while_others_of_the_same_batch_are_served_is_not_served(server: Server, tmp_path: Path) -> None:
    with kept(server, 4) as (blocking, first, last, stays):
        with busy(blocking, tmp_path / "gate"):
            ask(first, f"/wait-for-file?path={tmp_path / 'other'}&alone")
            ask(last, recording("gone-late"))
            ask(stays, recording("stays-late"))
        wait_for((tmp_path / "other.waiting").exists, "the second application to run")
        reset(server, last)
        assert first.is_silent(0.1)  # in shorter times nobody looks again
        (tmp_path / "other").touch()
        assert first.read_answer().status == 200
        assert stays.read_answer().status == 200
    assert events(server, "gone-late") == []
    assert access_lines(server, "%22gone-late%22", 1)[0]["how"] == "client-gone"


def test_a_body_that_came_whole_does_not_help_who_has_gone(server: Server, tmp_path: Path) -> None:
    with kept(server, 2) as (blocking, poster), busy(blocking, tmp_path / "gate"):
        poster.send(request_bytes("POST", "/count?gone-body", body=b"x" * 1000))
        reset(server, poster)
    assert access_lines(server, "gone-body", 1)[0]["how"] == "client-gone"
    assert events(server, "gone-body") == []  # after it: this has a line with that word, too


def test_who_has_closed_its_side_after_a_whole_request_gets_its_answer(server: Server, tmp_path: Path) -> None:
    with kept(server, 2) as (blocking, before), server.connect() as fresh:
        with busy(blocking, tmp_path / "gate"):
            for client in (before, fresh):
                ask(client, recording("half-closed"))
                client.end()
        for client in (before, fresh):
            assert client.read_answer().status == 200
            client.expect_end()
    assert len(events(server, "half-closed")) == 2


def test_an_idle_client_that_goes_leaves_no_line(server: Server, tmp_path: Path) -> None:
    before = len((server.directory / "access.log").read_text().splitlines())
    with kept(server, 2) as (blocking, idle), busy(blocking, tmp_path / "gate"):
        reset(server, idle)
    lines = [json.loads(line) for line in (server.directory / "access.log").read_text().splitlines()[before:]]
    assert "client-gone" not in {line["how"] for line in lines}


def test_who_has_closed_a_unix_connection_has_gone(worker_class: str, tmp_path: Path) -> None:
    """There the kernel tells a close from the end of one side."""
    settings = {"workers": "1", **one_at_a_time(worker_class), "bind": "unix:{directory}/socket", **LOGS}
    with serve(settings=settings) as server, kept(server, 3) as (blocking, before, half):
        with server.connect() as fresh, busy(blocking, tmp_path / "gate"):
            for client in (before, fresh):
                ask(client, recording("gone"))
                client.close()
            ask(half, recording("half-closed"))
            half.end()
        assert half.read_answer().status == 200
        assert events(server, "gone") == []
        assert [line["how"] for line in access_lines(server, "%22gone%22", 2)] == ["client-gone"] * 2


# -- queue_timeout ---------------------------------------------------------------------------------------------------


def test_who_has_waited_too_long_is_told_to_come_again_and_nothing_is_run(
    impatient: Server, worker_class: str, tmp_path: Path
) -> None:
    """In its turn; under threads, where the loop is free, as soon as that is so."""
    with kept(impatient, 4) as (blocking, before, head_only, late), impatient.connect(timeout_s=20.0) as fresh:
        with busy(blocking, tmp_path / "gate"):
            ask(before, recording("waited"))
            ask(fresh, recording("waited"))
            head_only.send(request_bytes("HEAD", recording("waited")))
            if worker_class == "threads":
                assert not any(client.is_silent(20.0) for client in (before, fresh, head_only))
            else:
                assert before.is_silent(LONGER_S)
            began = time.monotonic()
            ask(late, recording("just-came"))
        for client, method in ((before, "GET"), (fresh, "GET"), (head_only, "HEAD")):
            answer = client.read_answer(method)
            assert (answer.status, answer.field("Retry-After")) == (503, str(QUEUE_TIMEOUT_S))
            assert answer.closes
            client.expect_end()
        is_served = check_served(late, began).status == 200
    assert events(impatient, "waited") == []
    assert len(events(impatient, "just-came")) == is_served
    lines = access_lines(impatient, "%22waited%22", 3)
    assert [(line["how"], line["status"]) for line in lines] == [("queue-timeout", 503)] * 3


def test_time_that_the_client_takes_is_no_waiting(impatient: Server) -> None:
    """Between connect, head and body; and between two requests."""
    data = request_bytes("POST", "/echo", body=b"body")
    with kept(impatient, 1) as (client,), kept(impatient, 1) as (slow_body,):
        slow_body.send(data[:-2])
        with impatient.connect(timeout_s=20.0) as slow:
            assert slow.is_silent(LONGER_S / 2)
            slow.send(data[:20])
            assert slow.is_silent(LONGER_S / 2)
            began = time.monotonic()
            slow.send(data[20:])
            assert check_served(slow, began).body == b"body"
        began = time.monotonic()
        slow_body.send(data[-2:])
        ask(client, "/")
        for one in (slow_body, client):
            check_served(one, began)


@pytest.mark.parametrize("field", ["Transfer-Encoding: chunked", "Content-Length: 100000"])
def test_time_until_the_first_piece_of_a_body_is_no_waiting(worker_class: str, field: str) -> None:
    """The application would be given it, and starts without it after half a second."""
    with (
        serve(settings={"workers": "1", "worker_class": worker_class, "queue_timeout": "0.4"}) as server,
        server.connect() as client,
    ):
        began = time.monotonic()
        client.send(f"POST /pid HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n".encode())
        status = client.read_answer().status
        assert status == 200 or time.monotonic() - began > 0.5 + 0.4, "it was not looked at for too long"


def test_who_is_behind_such_a_one_has_waited_since_its_own_bytes(worker_class: str, tmp_path: Path) -> None:
    """The worker is busy when that half second is over."""
    settings = {"workers": "1", **one_at_a_time(worker_class), "queue_timeout": str(QUEUE_TIMEOUT_S), **LOGS}
    with serve(settings=settings) as server, kept(server, 2) as (blocking, client):
        with busy(blocking, tmp_path / "gate"):
            began = time.monotonic()
            client.send(b"POST /pid HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert client.is_silent(QUEUE_TIMEOUT_S + 0.1)
            # It has been silent for longer than it may wait, but was waited for at first.
        status = client.read_answer().status
        assert status == 200 or time.monotonic() - began > QUEUE_TIMEOUT_S + 0.5, "it was not looked at for too long"


def test_who_sends_requests_in_a_row_waits_for_his_own(impatient: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with impatient.connect(timeout_s=20.0) as client:
        client.send(request_bytes("GET", f"/wait-for-file?path={gate}") + request_bytes("GET", recording("row")))
        assert client.is_silent(LONGER_S)
        began = time.monotonic()
        gate.touch()
        assert client.read_answer().status == 200
        check_served(client, began)


@pytest.mark.parametrize("bind", ["127.0.0.1:{port}", "unix:{directory}/socket"], ids=["tcp", "unix"])
@pytest.mark.parametrize("worker_class", ["sync"])
def test_waiting_for_any_of_several_workers_counts(worker_class: str, bind: str, tmp_path: Path) -> None:
    """Their watchers pass on who waits; whoever takes it knows since when."""
    settings = {"workers": "2", "worker_class": worker_class, "queue_timeout": str(QUEUE_TIMEOUT_S), "bind": bind}
    with serve(settings=settings) as server, contextlib.ExitStack() as stack:
        for number in range(2):
            client = stack.enter_context(server.connect(timeout_s=20.0))
            stack.enter_context(busy(client, tmp_path / f"gate{number}"))
        waiting = [stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(3)]
        for client in waiting:
            ask(client, "/pid")
        # Over a Unix socket it has waited since a watcher has seen it, which may take a while.
        assert waiting[0].is_silent(LONGER_S + bind.startswith("unix"))
        for number in range(2):
            (tmp_path / f"gate{number}").touch()
        assert [client.read_answer().status for client in waiting] == [503] * 3
        assert server.get("/").status == 200


# -- while a pool of threads stays full -------------------------------------------------------------------------------


@contextlib.contextmanager
def full(server: Server, gates: Path, count: int) -> Iterator[None]:
    """Within this so many threads of the server are occupied; their loops are free."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(count)]
        for number, client in enumerate(clients):
            ask(client, f"/wait-for-file?path={gates / f'full{number}'}")
            wait_for((gates / f"full{number}.waiting").exists, "the application to run")
        try:
            yield
        finally:
            for number in range(count):
                (gates / f"full{number}").touch()
        assert [client.read_answer().status for client in clients] == [200] * count


def check_silent(client: Client, for_s: float, began: float, limit_s: float = QUEUE_TIMEOUT_S) -> None:
    """Nothing is said, before it has waited for too long."""
    assert client.is_silent(for_s) or time.monotonic() - began > limit_s, "it was told too early"


def check_refused(client: Client) -> None:
    answer = client.read_answer()
    assert (answer.status, answer.field("Retry-After"), answer.closes) == (503, str(QUEUE_TIMEOUT_S), True)
    client.expect_end()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("worker_class", ["threads"])
def test_who_waits_for_a_full_pool_is_told_in_time(worker_class: str, workers: int, tmp_path: Path) -> None:
    """Kept connections, and new ones, which wait in the listener's queue; whatever is sent behind it meanwhile."""
    settings = {
        "workers": str(workers), **one_at_a_time(worker_class), "queue_timeout": str(QUEUE_TIMEOUT_S), **LOGS,
    }  # fmt: skip
    with serve(settings=settings) as server, kept(server, 3) as clients, contextlib.ExitStack() as stack:
        server.wait_for_log("[INFO] Serving ")
        with full(server, tmp_path, workers):
            clients += [stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(20)]
            began = time.monotonic()
            for client in clients:
                ask(client, recording("too-late"))
            check_silent(clients[0], 0.3, began)
            check_silent(clients[-1], 0.05, began)
            for client in clients[::2]:
                client.send(b"GET ")
            for client in clients:
                check_refused(client)
        assert events(server, "too-late") == []
        assert len(access_lines(server, "too-late%22", len(clients))) == len(clients)
        assert server.get("/").status == 200


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("worker_class", ["threads"])
def test_who_waits_for_a_full_pool_and_not_for_too_long_is_served(
    worker_class: str, workers: int, tmp_path: Path
) -> None:
    """Those whose time is up are let in by a full worker, and one or two behind them."""
    settings = {"workers": str(workers), **one_at_a_time(worker_class), "queue_timeout": "6", **LOGS}
    with serve(settings=settings) as server, contextlib.ExitStack() as stack:
        server.wait_for_log("[INFO] Serving ")
        with full(server, tmp_path, workers):
            first, second = ([stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(9)] for _ in "12")
            began = time.monotonic()
            for client in first:
                ask(client, recording("first"))
            check_silent(first[0], 3.0, began, 6.0)
            began = time.monotonic()
            for client in second:
                ask(client, recording("second"))
            for client in first:
                assert client.read_answer().status == 503
        hows = {200: "ok", 503: "queue-timeout"}
        expected = sorted(hows[check_served(client, began, 6.0).status] for client in second)
        assert {line["how"] for line in access_lines(server, "%22first%22", len(first))} == {"queue-timeout"}
        assert sorted(str(line["how"]) for line in access_lines(server, "%22second%22", len(second))) == expected


# -- while all connections that a worker may have are taken -----------------------------------------------------------


@contextlib.contextmanager
def crowded(server: Server, count: int) -> Iterator[None]:
    """Within this so many clients keep their places: they have not sent all of their bodies."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(count)]
        for client in clients:
            client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n1")
        yield
        for client in clients:
            client.send(b"2")
        assert [client.read_answer().status for client in clients] == [200] * count


def test_who_waits_for_a_place_is_told_in_time(worker_class: str, tmp_path: Path) -> None:
    settings = {
        "workers": "1", "worker_class": worker_class, "worker_connections": "3", "body_timeout": "600",
        "queue_timeout": str(QUEUE_TIMEOUT_S), **LOGS,
    }  # fmt: skip
    with serve(settings=settings) as server, contextlib.ExitStack() as stack:
        with crowded(server, 3):
            clients = [stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(5)]
            began = time.monotonic()
            for client in clients:
                ask(client, recording("too-late"))
            check_silent(clients[0], 0.3, began)
            for client in clients:
                check_refused(client)
        assert events(server, "too-late") == []
        assert server.get("/").status == 200


@pytest.mark.parametrize("worker_class", ["threads"])
def test_over_a_unix_socket_the_time_since_it_was_seen_counts(worker_class: str, tmp_path: Path) -> None:
    settings = {
        "workers": "1", **one_at_a_time(worker_class), "queue_timeout": str(QUEUE_TIMEOUT_S),
        "bind": "unix:{directory}/socket",
    }  # fmt: skip
    with serve(settings=settings) as server, kept(server, 3) as clients, full(server, tmp_path, 1):
        began = time.monotonic()
        for client in clients:
            ask(client, "/pid")
        check_silent(clients[0], 0.3, began)
        for client in clients:
            check_refused(client)


@pytest.mark.parametrize("worker_class", ["threads"])
def test_who_leaves_while_it_waits_for_a_full_pool_is_seen_off_at_once(worker_class: str, tmp_path: Path) -> None:
    settings = {"workers": "1", **one_at_a_time(worker_class), **LOGS}
    with serve(settings=settings) as server, kept(server, 1) as (client,), full(server, tmp_path, 1):
        ask(client, recording("left"))
        assert client.is_silent(0.3)
        client.reset()
        assert access_lines(server, "left%22", 1)[0]["how"] == "client-gone"

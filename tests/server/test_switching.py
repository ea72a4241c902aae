"""Connections that the application takes over, by `environ["gunicorn.socket"]` (RFC 9110 §7.8)."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from support.client import Client, request_bytes
from support.processes import is_alive
from support.server import Server, serve, wait_for
from support.switching import SWITCHED
from support.websockets import WebSocket

WORKER_CLASSES = ("threads", "gevent", "eventlet")
APPLICATION = "paste.app_factory = support.switching:make_app"
SETTINGS = {"threads": "120", "accesslog": "-", "access_log_format": "%%(r)s %%(s)s %%(B)s %%(X)s"}
ASKS = (("Connection", "Upgrade"), ("Upgrade", "echo"))


def asking(target: str) -> bytes:
    return request_bytes("GET", target, ASKS)


@contextlib.contextmanager
def switched(server: Server, target: str, behind: bytes = b"") -> Iterator[Client]:
    """A connection on which the other protocol is spoken; `behind` is sent in one piece with the request."""
    with server.connect() as client:
        client.send(asking(target) + behind)
        assert client.read_exactly(len(SWITCHED)) == SWITCHED
        yield client


def state(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/state").body)
    return found


def runs(server: Server, count: int) -> None:
    """So many requests, and no other one: those of a test before may be about to notice that their client has gone."""
    wait_for(lambda: state(server)["running"] == count, f"{count} requests that run")


def settled(server: Server, before: dict[str, Any]) -> None:
    """Wait until nothing is left of what went on: requests, threads, descriptors."""

    def is_settled() -> bool:
        now = state(server)
        return all(now[name] <= before[name] for name in ("running", "threads", "descriptors"))

    wait_for(is_settled, f"nothing is left beyond {before}")
    assert "Bad file descriptor" not in server.log_text()


# -- who is offered the socket -----------------------------------------------------------------------------------------

GET = "GET /offered HTTP/1.1\r\nHost: localhost\r\n"
OFFERED = {
    "both fields": (GET + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", True),
    "any case, among others": (GET + "Connection: keep-alive, uPGRADE\r\nUpgrade: a/1, b\r\n\r\n", True),
    "two lines": (GET + "Connection: foo\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n", True),
    "plain": (GET + "\r\n", False),
    "Connection does not name it": (GET + "Upgrade: websocket\r\n\r\n", False),
    "Upgrade is not there": (GET + "Connection: upgrade\r\n\r\n", False),
    "Upgrade is empty": (GET + "Connection: upgrade\r\nUpgrade:\r\n\r\n", False),
    "HTTP/1.0": (
        GET.replace("1.1", "1.0") + "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n", False,
    ),
    "a body": (
        GET.replace("GET", "POST") + "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OFFERED)
def test_the_socket_is_there_for_those_who_ask_for_another_protocol(server: Server, case: str) -> None:
    """And the connection is kept, whether they ask or not, as long as nobody has taken it."""
    request, is_offered = OFFERED[case]
    with server.connect() as client:
        for _ in range(2):
            client.send(request.encode())
            found = json.loads(client.read_answer().body)
            assert found == ([*client.sock.getsockname(), None] if is_offered else None)


def test_a_sync_worker_does_not_offer_it() -> None:
    with serve(settings={"workers": "1"}, app=APPLICATION) as server:
        assert json.loads(server.ask(asking("/offered")).body) is None


def test_a_request_in_a_row_with_one_that_was_not_taken_over_is_answered(server: Server) -> None:
    with server.connect() as client:
        client.send(asking("/offered") + request_bytes("GET", "/ready"))
        assert json.loads(client.read_answer().body)[0] == "127.0.0.1"
        assert json.loads(client.read_answer().body) == "ready"


@pytest.mark.parametrize("target", ["/status", "/upgrade_field"])
def test_the_change_of_protocol_is_no_answer_for_start_response(server: Server, target: str) -> None:
    """1xx is no final answer (RFC 9110 §15.2), and Upgrade is hop-by-hop (PEP 3333)."""
    assert server.ask(asking(target)).status == 500


# -- what is spoken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/echo", "/lazily"])
def test_bytes_go_to_and_fro(server: Server, target: str) -> None:
    before = state(server)
    with switched(server, target) as client:
        for number in range(1000):
            message = b"message %d\n" % number
            client.send(message)
            assert client.read_exactly(len(message)) == message
        client.end()
        client.expect_end()
    settled(server, before)


def test_megabytes_go_to_and_fro(server: Server) -> None:
    block = bytes(range(256)) * 1024
    with switched(server, "/echo") as client:
        for _ in range(16):
            client.send(block)
            assert client.read_exactly(len(block)) == block


@pytest.mark.parametrize("size", [1, 1000, 200_000])
def test_what_is_sent_right_behind_the_head_is_not_lost(server: Server, size: int) -> None:
    data = b"glued to the head, " * (size // 19) + b"!"
    with switched(server, "/echo", data) as client:
        assert client.read_exactly(len(data)) == data
        client.send(b"and then")
        assert client.read_exactly(8) == b"and then"


def test_each_way_of_reading_has_what_came_with_the_head(server: Server) -> None:
    with server.connect() as client:
        client.send(asking("/peek") + b"abcdef")
        assert client.read_exactly(len(SWITCHED)) == SWITCHED
        assert json.loads(client.read_all()) == [6, "abc", "abc", 2, "de", 1]
    with switched(server, "/lines", b"one\ntw") as client:
        assert client.read_line() == b"ONE\n"
        client.send(b"o\n")
        assert client.read_line() == b"TWO\n"
        client.end()
        client.expect_end()


def test_an_interim_answer_may_come_first(server: Server) -> None:
    with server.connect() as client:
        client.send(asking("/hints"))
        assert client.read_head()[0] == 103
        assert client.read_all() == SWITCHED


# -- how it ends -------------------------------------------------------------------------------------------------------

ENDS = ["", "?start=1", "?start=1&return=generator", "?return=generator", "?raise=StopIteration",
        "?raise=BrokenPipeError", "?raise=ValueError", "?write=1"]  # fmt: skip


@pytest.mark.parametrize("query", ENDS)
def test_nothing_of_what_the_application_returns_is_sent(server: Server, query: str) -> None:
    before, log = state(server), len(server.log_text())
    with switched(server, f"/echo{query}") as client:
        client.end()
        client.expect_end()
    settled(server, before)
    how = "app-error" if "ValueError" in query or "write" in query else "upgraded"
    log_text = server.wait_for_log(f"GET /echo{query} HTTP/1.1 101 {len(SWITCHED)} {how}", after=log)
    assert ("Traceback" in log_text) == (how == "app-error")
    assert "WARNING" not in log_text or how == "app-error"
    assert ("generator" in query) == (state(server)["seen"][-1] == "closed")


def test_who_closes_early_ends_the_connection_at_once(server: Server) -> None:
    before = state(server)
    with switched(server, "/close_early") as client:
        client.expect_end()
        runs(server, 1)
        server.get("/let")
    settled(server, before)
    assert state(server)["seen"][-1] == "went on"


@pytest.mark.parametrize("query", ["", "?dup=1"])
def test_another_descriptor_of_it_outlives_the_request(server: Server, query: str) -> None:
    before, log = state(server), len(server.log_text())
    with switched(server, f"/detach{query}") as client:
        server.wait_for_log(f"GET /detach{query} HTTP/1.1 101", after=log)
        server.get("/let")
        assert client.read_all() == b"later"
    settled(server, before)


@pytest.mark.parametrize("goes", ["close", "reset"])
def test_fifty_clients_that_go_leave_nothing(server: Server, worker_class: str, goes: str) -> None:
    before, log = state(server), len(server.log_text())
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(switched(server, "/echo")) for _ in range(50)]
        for client in clients:
            client.send(b"here")
            assert client.read_exactly(4) == b"here"
        runs(server, 50)
        for client in clients:
            getattr(client, goes)()
    settled(server, before)
    if goes == "reset":
        told = "end" if worker_class == "eventlet" else "ConnectionResetError"  # Eventlet makes no difference
        assert state(server)["seen"][-50:] == [told] * 50
        assert "Traceback" not in server.log_text()[log:]


# -- what is not meant -------------------------------------------------------------------------------------------------


def test_once_the_answer_has_begun_it_can_not_be_taken_over(server: Server) -> None:
    with server.connect() as client:
        client.send(asking("/late"))
        assert client.read_answer().body == b"begun GatewayError"
        client.send(asking("/late"))
        assert client.read_answer().status == 200


def test_a_socket_that_was_not_taken_over_is_nothing_after_its_request(server: Server) -> None:
    with server.connect() as client:
        client.send(asking("/keep"))
        assert client.read_answer().status == 200
        client.send(request_bytes("GET", "/use_kept"))
        assert json.loads(client.read_answer().body) == ["Bad file descriptor"] * 2 + [""]
        client.send(request_bytes("GET", "/ready"))
        assert json.loads(client.read_answer().body) == "ready"


def test_an_environ_that_is_thrown_away_takes_nothing_along(server: Server) -> None:
    with server.connect() as client:
        for target in ("/throw_away", "/offered"):
            client.send(asking(target))
            assert client.read_answer().status == 200


def test_a_child_that_the_application_forks_leaves_them_to_its_parent(server: Server) -> None:
    with switched(server, "/echo") as client:
        forking = server.connect()
        with forking:
            forking.send(request_bytes("GET", "/fork"))
            for number in range(20):
                client.send(b"%02d" % number)
                assert client.read_exactly(2) == b"%02d" % number
            assert json.loads(forking.read_answer().body) == 7
        client.send(b"still here")
        assert client.read_exactly(10) == b"still here"


def test_a_child_may_go_on_with_the_connection_of_the_request_that_forked_it(server: Server) -> None:
    with switched(server, "/child_speaks") as client:
        client.send(b"said the child")
        assert client.read_exactly(14) == b"said the child"
        client.send(b"said the parent")
        assert client.read_exactly(15) == b"SAID THE PARENT", "where its child has ended the connection lives"


# -- a library ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?plainly=1", "?ping=25"])
def test_simple_websocket_echoes_a_thousand_messages(server: Server, query: str) -> None:
    before, log = state(server), len(server.log_text())
    with server.connect() as client:
        websocket = WebSocket(client, f"/websocket{query}")
        for number in range(1000):
            websocket.send(f"message {number}")
            assert websocket.read() == f"message {number}"
        for data in (b"\0" * 70_000, "ä" * 70_000):
            websocket.send(data)
            assert websocket.read() == data
        websocket.close()
    settled(server, before)
    # Not any 101: that of a test before may come as late as this.
    text = server.wait_for_log(f"GET /websocket{query} HTTP/1.1 101 ", after=log)
    assert re.search(r"GET /websocket\S* HTTP/1\.1 101 \d{6} upgraded", text)
    assert "Traceback" not in text


def test_an_application_that_returns_leaves_no_thread_of_the_library(server: Server) -> None:
    before = state(server)
    with server.connect() as client:
        websocket = WebSocket(client, "/websocket?only=1&plainly=1")
        websocket.send("one")
        assert websocket.read() == "one"
        assert client.read_to_the_last() == b""
    settled(server, before)


def test_a_hundred_websockets_at_once_and_clients_that_go(server: Server) -> None:
    before = state(server)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(100)]
        websockets = [WebSocket(client, "/websocket") for client in clients]
        for number, websocket in enumerate(websockets):
            websocket.send(f"number {number}")
        for number, websocket in enumerate(websockets):
            assert websocket.read() == f"number {number}"
        runs(server, 100)
        for client in clients:
            client.close()
    settled(server, before)


# -- a worker that leaves ----------------------------------------------------------------------------------------------


@pytest.fixture
def own_server(worker_class: str) -> Iterator[Server]:
    """One that a test may reload or stop."""
    settings = {"workers": "1", "worker_class": worker_class, "graceful_timeout": "60"}
    with serve(settings=settings, app=APPLICATION) as running:
        running.wait_for_log("[INFO] Serving ")
        yield running


def test_a_worker_that_retires_waits_for_them(own_server: Server) -> None:
    old = state(own_server)["pid"]
    with switched(own_server, "/echo") as client:
        own_server.signal(signal.SIGHUP)
        wait_for(lambda: state(own_server)["pid"] != old, "the next generation answers")
        for _ in range(100):
            client.send(b"still?")
            assert client.read_exactly(6) == b"still?"
        assert is_alive(old)
        client.end()
        client.expect_end()
    wait_for(lambda: not is_alive(old), "the old worker has gone")


def test_a_stop_waits_for_them_until_graceful_timeout(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "graceful_timeout": "3"}
    with serve(settings=settings, app=APPLICATION) as server:
        server.wait_for_log("[INFO] Serving ")
        with switched(server, "/echo") as client:
            server.signal(signal.SIGTERM)
            client.send(b"still?")
            assert client.read_exactly(6) == b"still?"
            assert client.read_to_the_last() == b""
            assert server.wait() == 0
        assert 'is running "GET /echo HTTP/1.1"' in server.log_text()

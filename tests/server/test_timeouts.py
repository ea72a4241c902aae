"""Clients that take too long: 408 for a head, an error for a body, a quiet end for an idle connection."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator

import pytest
from support.checks import check_error_page, get, post
from support.client import Client, request_bytes
from support.gates import Gate
from support.processes import standing_still
from support.server import Server, serve, wait_for

SETTINGS = {"header_timeout": "1", "body_timeout": "1", "keepalive": "1", "send_timeout": "1", "loglevel": "debug"}
PATIENT_S = 3  # a client that stands still for longer begins anew
HOST = b"Host: localhost"

HEADS = [
    b"G",
    b"GET / HTTP/1.1",
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    b"GET / HTTP/1.1\r\nHo",
]


@pytest.fixture(scope="module")
def patient(worker_class: str) -> Iterator[Server]:
    """For clients that are to be in time."""
    limits = {"keepalive": str(PATIENT_S), "body_timeout": str(PATIENT_S)}
    with serve(settings={"workers": "1", "worker_class": worker_class, **limits}) as running:
        yield running


@contextlib.contextmanager
def sent(server: Server, data: bytes, timeout_s: float = 10.0, receive_buffer: int | None = None) -> Iterator[Client]:
    """A connection that begins with these bytes: the worker stands still until they are there.

    A client that stands still itself, between its connect and them, would be late before it said a word.
    """
    (worker,) = server.titled("unicorn: worker")
    with contextlib.ExitStack() as stack:
        with standing_still([worker.pid]):
            client = stack.enter_context(Client(server.address, timeout_s, receive_buffer))
            client.send(data)
        yield client


def body_of(server: Server, target: str) -> bytes:
    with sent(server, request_bytes("GET", target)) as client:
        return client.read_answer().body


def check_is_408(server: Server, client: Client) -> None:
    answer = client.read_answer()
    client.expect_end()
    assert (answer.status, answer.closes) == (408, True)
    check_error_page(server, answer)


@pytest.mark.parametrize("data", HEADS, ids=len)
def test_head_that_does_not_come_to_its_end_is_answered_with_408(server: Server, data: bytes) -> None:
    with sent(server, data) as client:
        check_is_408(server, client)


def test_head_that_comes_drop_by_drop_is_answered_with_408(server: Server) -> None:
    """The deadline is for the whole head: each byte more doesn't move it."""
    data = get(HOST, *[b"X-A: b"] * 20)
    with sent(server, data[:1]) as client:
        for number in range(1, len(data)):
            client.send(data[number : number + 1])
            if not client.is_silent(0.1):
                break
        else:
            pytest.fail("a head that took a minute was served")
        check_is_408(server, client)


def test_second_head_that_does_not_come_to_its_end_is_answered_with_408(server: Server) -> None:
    with sent(server, get(HOST) + b"GET / HTTP/1.1\r\n") as client:
        assert client.read_answer().status == 200
        check_is_408(server, client)


def test_connection_that_never_says_anything_is_closed(server: Server) -> None:
    with server.connect() as client:
        assert client.read_all()[:12] in (b"", b"HTTP/1.1 408")


def test_idle_connection_is_closed_without_a_word(server: Server) -> None:
    with sent(server, get(HOST)) as client:
        client.read_answer()
        client.expect_end()


def test_connection_that_is_used_now_and_then_stays_open(patient: Server) -> None:
    def used_now_and_then() -> bool:
        with patient.connect() as client:
            began = before = time.monotonic()
            while time.monotonic() - began < PATIENT_S + 0.7:
                now = time.monotonic()
                client.send(get(HOST))
                if is_late(before):
                    return False
                before = now
                assert client.read_answer().status == 200
                time.sleep(0.6)
        return True

    wait_for(used_now_and_then, "a client that is in time", 60.0)


def is_late(before: float) -> bool:
    """What has just been sent: `before` is when the client began to send what came before it."""
    return time.monotonic() - before >= PATIENT_S


STUCK = {
    "small": post(b"Content-Length: 100", body=b"x" * 50, target=b"/count?stuck-small"),
    "large": post(b"Content-Length: 1000000", body=b"x" * 50, target=b"/count?stuck-large"),
    "chunked": post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n", target=b"/count?stuck-chunked"),
}


@pytest.mark.parametrize("name", STUCK)
def test_body_that_does_not_come_to_its_end_is_answered_with_408(server: Server, name: str) -> None:
    with sent(server, STUCK[name]) as client:
        check_is_408(server, client)
    recorded = json.loads(body_of(server, f"/events?stuck-{name}"))
    assert not any("complete" in event for event in recorded), recorded
    assert not recorded or "raised" in recorded[-1]


def test_slow_body_that_keeps_coming_is_served(patient: Server) -> None:
    """The deadline is between bytes: a client with a slow line is no attacker."""

    def keeps_coming() -> bool:
        with patient.connect() as client:
            before = time.monotonic()
            client.send(post(b"Content-Length: 100000", target=b"/count?slow"))
            for _ in range(5):
                time.sleep(0.7)
                now = time.monotonic()
                client.send(b"x" * 20_000)
                if is_late(before):
                    return False
                before = now
            assert client.read_answer().body == b"100000"
        return True

    wait_for(keeps_coming, "a client that is in time", 60.0)


def test_reader_that_takes_nothing_does_not_hold_the_worker_for_ever(server: Server, log_start: int) -> None:
    with sent(server, get(HOST, target=b"/big?size=50000000"), 30.0, receive_buffer=65536) as client:
        client.read_some()
        assert body_of(server, "/") == b"ready\n"
        server.wait_for_log("it took nothing of the answer", after=log_start)
        # It was given up: the rest never comes.
        wait_for(lambda: _is_over(client), "the connection of a reader that takes nothing is closed")


def _is_over(client: Client) -> bool:
    try:
        return not client.read_some()
    except ConnectionResetError:
        return True


def test_408_comes_once(server: Server) -> None:
    with sent(server, b"GET / HTTP/1.1\r\n") as client:
        answer = client.read_answer()
        assert answer.status == 408
        client.send(b"Host: localhost\r\n\r\n")
        client.expect_end()


def test_request_that_came_in_time_is_answered_though_the_worker_was_busy_longer(worker_class: str) -> None:
    """The pause between two requests is the client's; it can't help it that the worker looks late."""
    with serve(settings={"workers": "1", "worker_class": worker_class, "keepalive": str(PATIENT_S)}) as server:
        names = itertools.count()

        def came_in_time() -> bool:
            gate = Gate(server, f"gate-{next(names)}")
            with server.connect() as kept, server.connect() as busy:
                before = time.monotonic()
                kept.send(request_bytes("GET", "/"))
                assert not kept.read_answer().closes
                gate.occupy(busy)
                kept.send(request_bytes("GET", "/"))
                if is_late(before):
                    gate.open()
                    return False
                assert busy.is_silent(PATIENT_S + 0.5)
                gate.let_through(busy)
                assert kept.read_answer().status == 200
            return True

        wait_for(came_in_time, "a client that is in time", 60.0)

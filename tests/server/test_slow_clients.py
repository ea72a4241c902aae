"""Slow clients cost a descriptor, never a worker: good clients of the same single worker see no failed request."""

from __future__ import annotations

import time

import pytest
from support.checks import get, post
from support.load import allow_descriptors, crowd, good_clients, still_open
from support.server import serve, wait_for

HEADS, BODIES, READERS = 1000, 200, 100
HALF_A_HEAD = b"GET /?slow HTTP/1.1\r\nHost: localhost\r\n"
BODY_SIZE, ANSWER_SIZE = 150_000, 700_000
SUPERVISED = "paste.app_factory = support.supervised:make_app"
PATIENT = {"header_timeout": "120", "body_timeout": "120", "send_timeout": "120"}


@pytest.fixture(autouse=True)
def _descriptors() -> None:
    allow_descriptors(8192)


def test_slow_heads_bodies_and_readers_are_held_while_good_clients_are_served(worker_class: str) -> None:
    settings = {
        "workers": "1", "worker_class": worker_class, "worker_connections": "2000", "spool_request_body": "65536",
        **PATIENT,
    }  # fmt: skip
    half_a_body = post(b"Content-Length: %d" % BODY_SIZE, body=b"x" * (BODY_SIZE // 2), target=b"/count?slow")
    large = get(b"Host: localhost", target=b"/big?size=%d" % ANSWER_SIZE)
    with (
        serve(settings=settings) as server,
        crowd(server.address, HEADS, HALF_A_HEAD) as heads,
        crowd(server.address, BODIES, half_a_body) as bodies,
        crowd(server.address, READERS, large, receive_buffer=4096) as readers,
    ):
        assert good_clients(server) == []
        assert len(still_open(heads)) == HEADS
        assert len(still_open(bodies)) == BODIES
        # All of them are still served when they hurry up.
        for client in heads:
            client.send(b"\r\n")
        assert [client.read_answer().body for client in heads] == [b"ready\n"] * HEADS
        for client in bodies:
            client.send(b"x" * (BODY_SIZE - BODY_SIZE // 2))
        assert [client.read_answer().body for client in bodies] == [b"%d" % BODY_SIZE] * BODIES
        assert [len(client.read_answer().body) for client in readers] == [ANSWER_SIZE] * READERS
        assert "Traceback" not in server.log_text()


def test_at_the_default_number_of_connections_the_slowest_heads_go_first(worker_class: str) -> None:
    with (
        serve(settings={"workers": "1", "worker_class": worker_class, **PATIENT}) as server,
        crowd(server.address, HEADS, HALF_A_HEAD) as heads,
    ):
        assert good_clients(server) == []
        wait_for(lambda: len(still_open(heads)) < HEADS, "a slow head gave its place to a good client")
        held = {id(client) for client in still_open(heads)}
        evicted = [client for client in heads if id(client) not in held]
        for client in evicted:
            answer = client.read_answer()
            client.expect_end()
            assert answer.status == 408
        assert len(evicted) <= 50, "far more went than good clients came at a time"
        assert {id(client) for client in heads[: len(evicted)]} == {id(client) for client in evicted}


def test_more_slow_heads_than_connections_do_not_shut_good_clients_out(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "worker_connections": "100", **PATIENT}
    with serve(settings=settings) as server, crowd(server.address, 400, HALF_A_HEAD):
        assert good_clients(server, requests=30) == []


def test_idle_connections_do_not_shut_good_clients_out(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "worker_connections": "50", "keepalive": "75"}
    with serve(settings=settings) as server, crowd(server.address, 50, get(b"Host: localhost")) as idle:
        for client in idle:
            assert client.read_answer().status == 200
        assert good_clients(server, requests=10) == []
        left = still_open(idle)
        assert 30 < len(left) < 50, "as many went as good clients came at a time"


def test_request_that_runs_never_gives_way_to_a_new_connection(worker_class: str) -> None:
    """It is its connection's first: where nothing says that it has come, it looks like a head that is slow."""
    settings = {"workers": "2", "worker_class": worker_class, "worker_connections": "1"}
    sleep = get(b"Host: localhost", target=b"/sleep?s=2")
    with serve(settings=settings, app=SUPERVISED) as server:
        server.wait_for_log("Serving ")
        with crowd(server.address, 2, sleep) as running:
            time.sleep(0.7)  # a younger head is not called slow
            with server.connect() as client:
                client.send(get(b"Host: localhost"))
                assert [one.read_answer().status for one in running] == [200, 200]


@pytest.mark.parametrize("size", [200_000, 5_000_000])
def test_answer_beyond_the_buffer_arrives_whole_at_a_slow_reader(worker_class: str, size: int) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "response_buffer": "100000", **PATIENT}
    data = get(b"Host: localhost", target=b"/big?size=%d" % size)
    with serve(settings=settings) as server, crowd(server.address, 1, data, receive_buffer=4096) as (reader,):
        received = 0
        status, _, _ = reader.read_head()
        while received < size:
            received += len(reader.read_exactly(min(50_000, size - received)))
        assert (status, received) == (200, size)
        assert server.get("/").status == 200

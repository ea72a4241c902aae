"""An application is told once that its client has gone; what it does then, and after its answer, it does in peace."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from support.client import Client, chunked, request_bytes
from support.server import Server, wait_for

WORKER_CLASSES = ("threads", "gevent", "eventlet")
APPLICATION = "paste.app_factory = support.tidying:make_app"
SETTINGS = {"threads": "8", "loglevel": "info"}
TIDY_S = 2.5  # longer than it takes until a client that has ended its side is asked whether it is there
LARGE = [("Content-Length", "300000")]
FIRST = b"x" * 70_000  # of a large body: from then on it is read by the application


def told(path: Path) -> str:
    wait_for(path.exists, f"{path.name} to be told")
    return path.read_text()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_who_was_told_tidies_up_in_peace(server: Server, log_start: int, tmp_path: Path, how: str) -> None:
    """By an error of a read, of a write, or by the end of its iterable."""
    begun = tmp_path / "begun"
    requests = {
        name: request_bytes(method, f"/{name}?s={TIDY_S}&tell={tmp_path / name}&begun={begun}", fields) + body
        for name, method, fields, body in (
            ("read", "POST", LARGE, FIRST), ("write", "GET", (), b""), ("items", "GET", (), b""),
        )
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(server.connect()) for name in requests}
        for name, client in clients.items():
            client.send(requests[name])
            if name != "read":
                client.read_head()
        wait_for(begun.exists, "the body to be read")
        for client in clients.values():
            getattr(client, how)()
    assert {name: told(tmp_path / name) for name in requests} == dict.fromkeys(requests, "in peace")
    assert "Traceback" not in server.log_text()[log_start:]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_who_has_given_all_of_its_answer_works_on_in_peace(
    server: Server, log_start: int, tmp_path: Path, how: str
) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", f"/whole?s=1.5&tell={tmp_path / 'whole'}"))
        assert client.read_answer().body == b"all of it"
        getattr(client, how)()
    assert told(tmp_path / "whole") == "in peace"
    assert "Traceback" not in server.log_text()[log_start:]


def test_what_a_thread_of_the_application_was_told_the_others_learn_too(server: Server, tmp_path: Path) -> None:
    """The one that reads does; the one that runs the request waits for something else."""
    with server.connect() as client:
        begun = tmp_path / "begun"
        target = f"/apart?s=0.1&tell={tmp_path / 'reader'}&ended={tmp_path / 'ended'}&begun={begun}"
        client.send(request_bytes("POST", target, LARGE) + FIRST)
        wait_for(begun.exists, "the body to be read")
        client.reset()
    assert told(tmp_path / "reader") == "in peace"
    assert told(tmp_path / "ended") == "it has ended"


# -- two that wait for the same client, under greenlets ---------------------------------------------------------------


@pytest.fixture
def greenlets(worker_class: str) -> None:
    if worker_class == "threads":
        pytest.skip("a connection is one thread's")


def upload(server: Server) -> bytes:
    with server.connect() as client:
        client.send(request_bytes("POST", "/read", LARGE) + FIRST)
        assert client.is_silent(0.05)
        client.send(b"x" * (300_000 - len(FIRST)))
        return client.read_answer().body


@pytest.mark.usefixtures("greenlets")
def test_one_greenlet_reads_while_another_one_writes(server: Server, log_start: int, tmp_path: Path) -> None:
    """Its client sends more while it reads nothing, and then reads."""
    count = 160
    for number in range(3):
        target = f"/duplex?count={count}&s=0&tell={tmp_path / str(number)}"
        with Client(server.address, 20.0, receive_buffer=16384) as client:
            client.send(request_bytes("POST", target, [("Transfer-Encoding", "chunked")]))
            for _ in range(20):
                client.send(b"400\r\n" + b"y" * 1024 + b"\r\n")
                assert server.get("/ready").body == b"ready\n"
            client.send(chunked(b""))
            assert client.read_answer().body == b"x" * 65536 * count + b"%d" % (20 * 1024)
    assert [upload(server) for _ in range(10)] == [b"300000"] * 10
    assert "Traceback" not in server.log_text()[log_start:]


@pytest.mark.usefixtures("greenlets")
def test_one_that_still_reads_when_its_request_is_over_hits_nobody(
    server: Server, log_start: int, tmp_path: Path
) -> None:
    """Not even who has the number of its descriptor then."""
    for number in range(3):
        with server.connect() as client:
            client.send(request_bytes("POST", f"/stray?tell={tmp_path / str(number)}", LARGE) + FIRST)
            assert client.read_answer().body == b"answered"
    assert [upload(server) for _ in range(10)] == [b"300000"] * 10
    assert "Traceback" not in server.log_text()[log_start:]

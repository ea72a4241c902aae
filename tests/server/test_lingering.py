"""A connection that is to be closed closes after its answer has arrived, though the client still sends.

While it lingers, `SILENT_S` of silence end it; the server of these tests has less of it than others. A client that is
not to be silent, and may stand still for longer than that, has `PATIENT_S`, which is more than `MOST_S`.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from support.checks import post
from support.client import Client
from support.lingering import MOST_S, SILENT_S
from support.processes import is_alive
from support.server import Server, serve, wait_for

from paste_unicorn.workers.lingering import LINGER_MOST_S

APPLICATION = "paste.app_factory = support.lingering:make_app"
SETTINGS = {"limit_request_body": "1000000000"}
PATIENT_S = 3.5
PATIENT = f"{APPLICATION}\nsilent = {PATIENT_S}"
ANSWER = 3_000_000
LARGE = b"Content-Length: 500000000"


@contextlib.contextmanager
def sending_on(client: Client, size: int = 1000) -> Iterator[threading.Event]:
    """Meanwhile the client goes on with its body; set: that has failed."""
    stop, failed = threading.Event(), threading.Event()

    def send() -> None:
        try:
            while not stop.wait(0.05):
                client.sock.send(b"y" * size)
        except OSError:
            failed.set()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield failed
    finally:
        stop.set()
        thread.join()


def test_a_slow_reader_that_still_sends_gets_all_of_its_answer(server: Server) -> None:
    """Most of it is in the kernel long before it has read that."""
    with Client(server.address, receive_buffer=8192) as client:
        client.send(post(LARGE, body=b"y" * 70_000, target=b"/?size=%d" % ANSWER))
        with sending_on(client):
            client.read_head()
            began, received = time.monotonic(), 0
            while received < ANSWER:
                received += len(client.read_exactly(min(60_000, ANSWER - received)))
                time.sleep(0.04)
            assert time.monotonic() - began > 2 * SILENT_S, "it was slow"


def test_a_client_that_reads_when_it_has_sent_all_is_told_that_it_was_too_much(worker_class: str) -> None:
    """As most libraries do it."""
    settings = {"workers": "1", "worker_class": worker_class, "limit_request_body": "100000"}
    with serve(settings=settings, app=f"{PATIENT}\nmost = 30") as server, server.connect() as client:
        client.send(post(b"Content-Length: 2000000"))
        for _ in range(20):
            client.send(b"z" * 100_000)
            time.sleep(PATIENT_S / 18)
        assert client.read_answer().status == 413


def test_who_never_stops_sending_is_cut_off(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, **SETTINGS}
    with serve(settings=settings, app=PATIENT) as server, server.connect(30) as client:
        began = time.monotonic()
        client.send(post(LARGE, body=b"y" * 70_000))
        assert client.read_answer().body == b"xxxxx"
        with sending_on(client) as failed:
            assert failed.wait(20)
        assert time.monotonic() - began > MOST_S


def test_who_takes_nothing_of_its_answer_is_cut_off(worker_class: str) -> None:
    """After `send_timeout`, as if the rest of the answer were not in the kernel yet."""
    settings = {"workers": "1", "worker_class": worker_class, **SETTINGS, "send_timeout": "3"}
    with serve(settings=settings, app=APPLICATION) as server, Client(server.address, 30, receive_buffer=8192) as client:
        client.send(post(LARGE, body=b"y" * 70_000, target=b"/?size=%d" % ANSWER))
        with sending_on(client) as failed:
            assert failed.wait(20)


@pytest.mark.parametrize("name", ["HUP", "TERM"])
def test_a_worker_that_leaves_does_not_wait_for_who_only_sends_on(worker_class: str, name: str) -> None:
    """Here with the times of an ordinary server."""
    settings = {"workers": "1", "worker_class": worker_class}
    with serve(settings=settings) as server, server.connect(30) as client:
        client.send(post(LARGE, body=b"y" * 70_000, target=b"/ignore"))
        assert client.read_answer().body == b"ignored\n"
        client.expect_end()
        (old,) = server.titled("unicorn: worker")
        with sending_on(client):
            began = time.monotonic()
            server.signal(signal.Signals[f"SIG{name}"])
            wait_for(lambda: not is_alive(old.pid), "the worker has gone", 40)
        assert time.monotonic() - began < LINGER_MOST_S / 2
        assert "killed" not in server.log_text()

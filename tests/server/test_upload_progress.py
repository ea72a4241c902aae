"""Upload progress: whichever worker is asked tells how much of a body has arrived at any of them."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from support.checks import ask_each_worker, post
from support.client import Client, chunked, request_bytes
from support.processes import send_signal, wait_until_gone
from support.server import APPLICATION, Server, serve, wait_for

from paste_unicorn.scoreboard.uploads import STALLED_S, UPLOADS

ID = "0123456789abcdef0123456789abcdef"
FILTER = "[filter:progress]\nuse = egg:gunicorn#upload_progress"
PIECES = [b"x" * size for size in (1, 70_000, 3, 200_000, 65_536)]
SIZE = sum(map(len, PIECES))


@contextlib.contextmanager
def site(worker_class: str, **settings: str) -> Iterator[Server]:
    settings = {"workers": "2", "worker_class": worker_class, "keepalive": "60", **settings}
    with serve(settings=settings, app=f"{APPLICATION}\nfilter-with = progress\n\n{FILTER}") as server:
        server.wait_for_log("[INFO] Serving ")
        yield server


def worker_of(client: Client) -> int:
    client.send(request_bytes("GET", "/pid"))
    return int(client.read_answer().body)


@contextlib.contextmanager
def one_for_each_worker(server: Server) -> Iterator[list[Client]]:
    """Connections to ask on, one to each of the two."""
    with server.connect() as one, server.connect() as other:
        first = worker_of(one)
        while worker_of(other) == first:
            other.close()
            other.__init__(server.address)  # type: ignore[misc]
        yield [one, other]


def progress(client: Client, name: str = ID) -> dict[str, Any]:
    client.send(request_bytes("GET", f"/progress?X-Progress-ID={name}"))
    answer = client.read_answer()
    assert (answer.status, answer.field("Cache-Control")) == (200, "no-store")
    said: dict[str, Any] = json.loads(answer.body)
    return said


def wait_for_progress(server: Server, name: str = ID, **wanted: object) -> None:
    def is_there() -> bool:
        with server.connect() as client:
            return progress(client, name).items() >= wanted.items()

    wait_for(is_there, f"{wanted} of {name}")


@pytest.mark.parametrize("framing", ["sized", "chunked"])
@pytest.mark.parametrize("spool", ["none", "1000"])
def test_each_worker_tells_how_much_has_arrived(worker_class: str, spool: str, framing: str) -> None:
    settings = {} if spool == "none" else {"spool_request_body": spool}
    framed = f"Content-Length: {SIZE}" if framing == "sized" else "Transfer-Encoding: chunked"
    # A sync worker whose application reads a body does nothing else: the other one answers for both.
    each = worker_class != "sync" or spool != "none"
    with site(worker_class, **settings) as server, one_for_each_worker(server) as askers, server.connect() as uploader:
        assert [progress(asker)["state"] for asker in askers] == ["starting"] * 2
        uploader.send(post(framed.encode(), target=b"/count?X-Progress-ID=" + ID.encode()))
        sent = 0
        for piece in PIECES[:-1]:
            uploader.send(piece if framing == "sized" else b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
            said = {"state": "uploading", "received": sent, "size": SIZE if framing == "sized" else None}
            for asker in askers:
                wait_for(lambda asker=asker, said=said: progress(asker) == said, f"{said}")  # type: ignore[misc]
            if each:
                told = ask_each_worker(server, f"/progress?X-Progress-ID={ID}")
                assert [json.loads(answer.body) for answer in told.values()] == [said] * 2
        uploader.send(PIECES[-1] if framing == "sized" else chunked(PIECES[-1]))
        assert uploader.read_answer().body == str(SIZE).encode()
        done = {"state": "done", "received": SIZE, "size": SIZE}  # said a moment after the answer has left
        for asker in askers:
            wait_for(lambda asker=asker: progress(asker) == done, f"{done}")  # type: ignore[misc]


def test_a_small_body_is_told_of_before_the_application_runs(worker_class: str) -> None:
    with site(worker_class) as server, server.connect() as uploader:
        uploader.send(post(b"Content-Length: 20", b"X-Progress-ID: " + ID.encode(), body=b"x" * 8, target=b"/count"))
        wait_for_progress(server, state="uploading", received=8, size=20)
        uploader.send(b"x" * 12)
        assert uploader.read_answer().body == b"20"
        wait_for_progress(server, state="done", received=20, size=20)


@pytest.mark.parametrize("spool", ["none", "1000"])
@pytest.mark.parametrize("how", ["ends", "resets"])
def test_an_upload_that_is_broken_off_is_an_error(worker_class: str, spool: str, how: str) -> None:
    settings = {} if spool == "none" else {"spool_request_body": spool}
    with site(worker_class, **settings) as server, server.connect() as uploader:
        uploader.send(post(b"Content-Length: 100000", body=b"x" * 300, target=b"/count?X-Progress-ID=" + ID.encode()))
        wait_for_progress(server, state="uploading", received=300)
        uploader.close() if how == "ends" else uploader.reset()
        wait_for_progress(server, state="error", received=300, size=100_000)


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ((b"Content-Length: 5000",), b""),
        ((b"Transfer-Encoding: chunked",), b"7d0\r\n" + b"x" * 2000 + b"\r\n"),
        ((b"Transfer-Encoding: chunked",), b"3\r\nabc\r\nno size\r\n"),
    ],
    ids=["too large", "becomes too large", "malformed"],
)
def test_an_upload_that_is_refused_is_an_error(worker_class: str, lines: tuple[bytes, ...], body: bytes) -> None:
    with site(worker_class, limit_request_body="1000") as server, server.connect() as uploader:
        uploader.send(post(*lines, body=body, target=b"/count?X-Progress-ID=" + ID.encode()))
        assert uploader.read_answer().status in (400, 413)
        uploader.close()
        wait_for_progress(server, state="error")


def test_uploads_that_stall_don_t_hide_others_for_ever() -> None:
    with site("sync", workers="1", body_timeout="120") as server, contextlib.ExitStack() as opened:
        for number in range(UPLOADS):
            stalled = opened.enter_context(server.connect())
            stalled.send(post(b"Content-Length: 1000", body=b"x", target=b"/count?X-Progress-ID=%032d" % number))
            wait_for_progress(server, f"{number:032d}", received=1)

        target = b"/count?X-Progress-ID=" + ID.encode()

        def is_followed() -> bool:
            with server.connect() as uploader:
                uploader.send(post(b"Content-Length: 20", body=b"x" * 20, target=target))
                assert uploader.read_answer().body == b"20"
                return progress(uploader)["state"] == "done"

        assert not is_followed(), "a row was there, or was taken from who may be about to send"
        wait_for(is_followed, "an upload that is told of", STALLED_S + 10)
        with server.connect() as asker:
            states = [progress(asker, f"{number:032d}")["state"] for number in range(UPLOADS)]
        assert (states.count("starting"), states.count("uploading")) == (1, UPLOADS - 1)


def test_what_the_application_leaves_unread_is_counted_as_far_as_it_is_read(worker_class: str) -> None:
    with site(worker_class) as server, server.connect() as little, server.connect() as much:
        for client, size, name in ((little, 100_000, ID), (much, 10_000_000, ID[::-1])):
            target = b"/ignore?X-Progress-ID=" + name.encode()
            client.send(post(b"Content-Length: %d" % size, body=b"x", target=target))
            assert client.read_answer().body == b"ignored\n"
        little.send(b"x" * 99_999)
        wait_for_progress(server, state="done", received=100_000)
        wait_for_progress(server, ID[::-1], state="error", size=10_000_000)


def test_a_worker_that_is_killed_leaves_an_error(worker_class: str) -> None:
    with site(worker_class) as server, server.connect() as uploader:
        uploader.send(post(b"Content-Length: 100000", body=b"x" * 300, target=b"/count?X-Progress-ID=" + ID.encode()))
        wait_for_progress(server, state="uploading", received=300)
        workers = [worker.pid for worker in server.titled("unicorn: worker")]
        for pid in workers:  # one of them has it
            send_signal(pid, signal.SIGKILL)
        assert wait_until_gone(workers, 10.0) == []  # or one may still take who asks
        wait_for_progress(server, state="error", received=300)
        assert "300 of 100,000 bytes of its body received" in server.wait_for_log("bytes of its body received")


def test_after_a_reload_the_new_workers_know_how_it_ended(worker_class: str) -> None:
    with site(worker_class) as server:
        answer = server.get(f"/count?X-Progress-ID={ID}", method="POST", body=b"x" * 1000)
        assert answer.body == b"1000"
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        wait_for_progress(server, state="done", received=1000, size=1000)


def test_curl_sends_what_comes_by_a_pipe(worker_class: str) -> None:
    with site(worker_class) as server:
        command = ["curl", "-sS", "-T", "-", f"http://127.0.0.1:{server.port}/count?X-Progress-ID={ID}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
            assert curl.stdin is not None
            for number in range(1, 6):
                curl.stdin.write(b"x" * 10_000)
                curl.stdin.flush()
                wait_for_progress(server, state="uploading", received=number * 10_000, size=None)
            assert curl.communicate(timeout=10)[0] == b"50000"
        wait_for_progress(server, state="done", received=50_000, size=50_000)

"""What a client may not make the server keep: descriptors, memory, a place; and what happens when they run out."""

from __future__ import annotations

import os
import re
import resource
import threading
from pathlib import Path

import pytest
from support.checks import get, post, script
from support.client import Client, request_bytes
from support.load import allow_descriptors, crowd, good_clients
from support.server import Server, serve, wait_for

SETTINGS = {"spool_request_body": "1000", "header_timeout": "60", "keepalive": "60"}
HOST = b"Host: localhost"


def worker_pid(server: Server) -> int:
    return int(server.get("/pid").body)


def descriptors(server: Server) -> int:
    """How many descriptors the worker has while it serves nobody."""
    return len(os.listdir(f"/proc/{worker_pid(server)}/fd"))


def peak_megabytes(pid: int) -> int:
    """The most memory that the process ever had."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) // 1024


ABUSE = {
    "refused head": get(b"Host: a b"),
    "refused body": post(b"Transfer-Encoding: chunked", body=b"x\r\n"),
    "half a head": b"GET / HTTP/1.1\r\n",
    "half a body": post(b"Content-Length: 50000", body=b"x" * 20_000),
    "half a chunk": post(b"Transfer-Encoding: chunked", body=b"ff\r\nx"),
    "unread body": post(b"Content-Length: 50000", body=b"x" * 20_000, target=b"/ignore"),
    "file": get(HOST, target=b"/send-file?size=3000000"),
    "files": get(HOST, target=b"/send-file?size=1000000") * 5,
    "part of a file": get(HOST, target=b"/send-file?size=3000000&length=1000000"),
    "shorter file": get(HOST, target=b"/send-file?size=1000&length=2000"),
    "file for HEAD": get(HOST, target=b"/send-file?size=3000000", method=b"HEAD"),
    "large answer": get(HOST, target=b"/big?size=3000000"),
    "error": get(HOST, target=script(error="ValueError").encode()),
    "late error": get(HOST, target=script(error="ValueError", at="then", kind="generator", blocks=["a", "b"]).encode()),
}


@pytest.mark.parametrize("name", ABUSE)
@pytest.mark.parametrize("ending", ["closed", "reset", "half-closed"])
def test_no_descriptor_is_left_behind(server: Server, name: str, ending: str) -> None:
    before = descriptors(server)
    for _ in range(6):
        with server.connect() as client:
            client.send(ABUSE[name])
            if name.startswith(("file", "part", "large")):
                client.read_some()
            if ending == "reset":
                client.reset()
            elif ending == "half-closed":
                client.end_quietly()
                client.read_to_the_last()
    wait_for(lambda: descriptors(server) <= before, "the worker has as few descriptors as before")


@pytest.mark.parametrize("slow", [0, 2])
def test_pipelined_requests_are_not_hoarded(worker_class: str, slow: int) -> None:
    """The client must wait (TCP does that) while its requests wait, or one client could fill the memory.

    Also where some are slow, and those behind them run beside the loop.
    """
    settings = {"workers": "1", "worker_class": worker_class, **SETTINGS}
    # One heap for all threads: with a heap for each it is luck how many of them grow.
    env = {"MALLOC_ARENA_MAX": "1"}
    with serve(settings=settings, app="paste.app_factory = support.waiting:make_app", env=env) as server:
        pid = worker_pid(server)
        with server.connect(timeout_s=60) as client:
            row, size = b"", 0
            for seconds, times in ((0.003, slow), (0, 200)):
                data = get(HOST, b"X-Padding: " + b"v" * 150, target=f"/spin?s={seconds}".encode())
                client.send(data)
                # Equal requests have answers of equal size: to parse each would make the client slower than the server.
                size += times * len(client.read_some())
                assert client.read_answer().body == b"spun"
                row += times * data
            before = peak_megabytes(pid)
            sender = threading.Thread(target=client.send, args=(row * 60,), daemon=True)
            sender.start()
            assert client.read_exactly(size * 60).endswith(b"spun")
            sender.join(10)
            most = 6 if worker_class == "threads" else 3  # each thread has a stack of its own
            assert peak_megabytes(pid) - before < most, f"of {len(row) * 60} bytes that the client sent"


def test_answers_that_nobody_reads_are_not_hoarded(server: Server) -> None:
    pid = worker_pid(server)
    before = peak_megabytes(pid)
    with Client(server.address, 1.0, receive_buffer=4096) as client:
        with pytest.raises(TimeoutError):
            client.send(request_bytes("GET", "/big?size=500000") * 500_000)
        assert server.get("/").status == 200
    assert peak_megabytes(pid) - before < 20


def test_worker_without_a_free_descriptor_serves_on_when_there_are_some_again(server: Server) -> None:
    allow_descriptors(4096)
    pid = worker_pid(server)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    few = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 20
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, limits[1]))
    try:
        log_start = len(server.log_text())
        with crowd(server.address, 60, b"GET / HTTP/1.1\r\n"):
            log = server.wait_for_log("Can't accept connections", after=log_start)
            assert "open files" in log
        assert good_clients(server, requests=20) == []
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert worker_pid(server) == pid
    assert server.log_text()[log_start:].count("Can't accept connections") < 30, "it says so at each try"

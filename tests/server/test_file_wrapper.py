"""PEP 3333, `wsgi.file_wrapper`: the bytes from the file's position as Python sees it, however they are sent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.apps import numbered_lines
from support.checks import check_closed_or_in_step, check_still_in_step
from support.client import BadAnswer, Client, request_bytes
from support.server import Server, wait_for

KINDS = ["buffered", "raw", "bytesio", "gzip", "custom", "unwrapped"]
SIZE = 300_000
CONTENT = numbered_lines(SIZE)


def target(**given: object) -> str:
    return "/send-file?" + urlencode({"size": SIZE, **given})


@pytest.mark.parametrize("kind", [*KINDS, "pipe"])
def test_whole_file_is_sent(server: Server, kind: str) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", target(kind=kind)))
        assert client.read_answer().body == CONTENT
        check_still_in_step(client)


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="asks the kernel of Linux")
def test_file_of_which_the_kernel_tells_no_size_is_sent_whole(server: Server) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", target(kind="proc")))
        assert client.read_answer().body == Path("/proc/version").read_bytes()
        check_still_in_step(client)


@pytest.mark.parametrize("kind", ["buffered", "raw", "bytesio", "gzip", "unwrapped"])
@pytest.mark.parametrize(
    ("position", "start"),
    [({"read": 10}, 10), ({"seek": 12345}, 12345), ({"seek": 100, "read": 7}, 107), ({"seek": SIZE}, SIZE),
     ({"seek": SIZE - 1}, SIZE - 1), ({"seek": SIZE + 100}, SIZE)],
)  # fmt: skip
def test_file_is_sent_from_its_position_as_python_sees_it(
    server: Server, kind: str, position: dict[str, int], start: int
) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", target(kind=kind, **position)))
        assert client.read_answer().body == CONTENT[start:]
        check_still_in_step(client)


def wait_for_close(server: Server, key: str) -> None:
    """The last byte may be with the client before."""
    wait_for(lambda: json.loads(server.get(f"/is-closed?{key}").body), "the file is closed")


@pytest.mark.parametrize("kind", KINDS)
def test_length_of_the_application_is_kept(server: Server, kind: str) -> None:
    answer = server.get(target(kind=kind, length=SIZE))
    assert (answer.framing, answer.body) == ("sized", CONTENT)


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_sent_than_the_length_says(server: Server, kind: str) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", target(kind=kind, length=1000)))
        answer = client.read_answer()
        assert answer.status == 500 or answer.body in (CONTENT[:1000], CONTENT)
        check_closed_or_in_step(client, answer)


@pytest.mark.parametrize("kind", KINDS)
def test_part_of_a_file_is_sent_by_position_and_length(server: Server, kind: str) -> None:
    """As an answer to a range: the application seeks, and the length ends it."""
    answer = server.get(target(kind=kind, read=5000, length=1000, status="206 Partial Content"))
    assert answer.body == CONTENT[5000:6000]


@pytest.mark.parametrize("kind", KINDS)
def test_file_shorter_than_the_length_is_cut_so_that_the_client_can_tell(server: Server, kind: str) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", target(kind=kind, length=SIZE + 1)))
        try:
            answer = client.read_answer()
        except (BadAnswer, ConnectionResetError):
            return
        assert answer.status == 500 or answer.field("Content-Length") == str(SIZE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 x")])
def test_no_file_is_sent_where_no_body_may_be(server: Server, kind: str, method: str, status: str) -> None:
    with server.connect() as client:
        client.send(request_bytes(method, target(kind=kind, status=status, key=f"none-{kind}")))
        answer = client.read_answer(method)
        check_closed_or_in_step(client, answer)
    if kind != "unwrapped":
        wait_for_close(server, f"none-{kind}")


@pytest.mark.parametrize("kind", ["buffered", "raw", "bytesio", "gzip", "custom"])
def test_file_is_closed_after_it_was_sent(server: Server, kind: str) -> None:
    server.get(target(kind=kind, key=f"closed-{kind}"))
    wait_for_close(server, f"closed-{kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_file_is_sent_to_http10(server: Server, kind: str) -> None:
    assert server.ask(f"GET {target(kind=kind)} HTTP/1.0\r\n\r\n".encode()).body == CONTENT


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193])
@pytest.mark.parametrize("kind", KINDS)
def test_file_of_any_size_is_sent(server: Server, kind: str, size: int) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", target(kind=kind, size=size)))
        assert client.read_answer().body == CONTENT[:size]
        check_still_in_step(client)


@pytest.mark.parametrize("kind", ["buffered", "raw"])
def test_files_are_sent_one_after_the_other(server: Server, kind: str) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", target(kind=kind)) * 3 + request_bytes("GET", "/"))
        assert [client.read_answer().body for _ in range(4)] == [CONTENT] * 3 + [b"ready\n"]


@pytest.mark.parametrize("kind", ["buffered", "raw"])
def test_client_that_goes_within_a_file_harms_nobody(server: Server, log_start: int, kind: str) -> None:
    for number in range(3):
        with server.connect() as client:
            client.send(request_bytes("GET", target(kind=kind, size=12_000_000, key=f"gone-{kind}-{number}")))
            client.read_head()
            client.reset()
        assert server.get("/").status == 200
        wait_for_close(server, f"gone-{kind}-{number}")
    assert "Traceback" not in server.log_text()[log_start:]


def test_large_file_of_a_client_that_reads_nothing_does_not_occupy_the_application(server: Server) -> None:
    with Client(server.address, 30.0, receive_buffer=65536) as sleeper:
        sleeper.send(request_bytes("GET", target(size=15_000_000)))
        sleeper.read_some()
        for _ in range(5):
            assert server.get("/").body == b"ready\n"
        assert sleeper.read_answer().body == numbered_lines(15_000_000)

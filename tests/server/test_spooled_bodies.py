"""`spool_request_body`: bodies are read into a seekable file first, counted, and only then is the application run."""

from __future__ import annotations

import json
import time

import pytest
from support.checks import check_good, check_refused, check_still_in_step, environ_of, events, post
from support.client import chunked, request_bytes
from support.server import Server, serve

SETTINGS = {"spool_request_body": "65536"}
CHUNKED = b"Transfer-Encoding: chunked"
SIZES = [1, 1000, 65_536, 65_537, 500_000]
OPERATIONS = b"seekable&read=3&seek=0&read=5&seek=-2,2&read&tell&read"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_spooled_body_is_seekable(server: Server, size: int, framing: str) -> None:
    body = b"0123456789" * (size // 10 + 1)
    body = body[:size]
    target = b"/read?" + OPERATIONS
    if framing == "sized":
        data = post(b"Content-Length: %d" % size, body=body, target=target)
    else:
        data = post(CHUNKED, body=chunked(body[:1], body[1:] or b"") if size > 1 else chunked(body), target=target)
    with server.connect() as client:
        client.send(data)
        seekable, first, zero, again, end, last, tell, rest = json.loads(client.read_answer().body)
        assert seekable is True
        assert (first, zero, again) == (body[:3].decode(), 0, body[:5].decode())
        assert (end, last, tell, rest) == (max(size - 2, 0), body[-2:].decode(), size, "") or size == 1
        check_still_in_step(client)


@pytest.mark.parametrize("pieces", [(b"hello",), (b"x" * 50_000,) * 5, ()], ids=len)
def test_chunked_body_gets_its_length_and_loses_its_coding(server: Server, pieces: tuple[bytes, ...]) -> None:
    environ = environ_of(server, post(CHUNKED, body=chunked(*pieces), target=b"/environ"))
    assert environ["CONTENT_LENGTH"] == str(sum(map(len, pieces)))
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_application_starts_when_the_body_is_whole(server: Server) -> None:
    with server.connect() as client:
        client.send(post(CHUNKED, target=b"/count?spooled") + b"3\r\nabc\r\n")
        assert server.get("/").status == 200
        assert events(server, "spooled") == []
        client.send(b"3\r\ndef\r\n0\r\n\r\n")
        assert client.read_answer().body == b"6"
    assert events(server, "spooled")[0] == "called"


@pytest.mark.parametrize("size", SIZES)
def test_continue_is_sent_before_spooling(server: Server, size: int) -> None:
    with server.connect() as client:
        client.send(post(b"Expect: 100-continue", b"Content-Length: %d" % size))
        assert client.read_head()[0] == 100
        client.send(b"x" * size)
        assert client.read_answer().body == b"x" * size
        check_still_in_step(client)


def test_continue_is_sent_behind_answers_that_the_client_takes_late(worker_class: str) -> None:
    """They may have filled what the kernel keeps for it to the last byte."""
    settings = {"workers": "1", "worker_class": worker_class, "bind": "unix:{directory}/socket", **SETTINGS}
    with serve(settings=settings) as server:
        for count in range(36, 52):
            with server.connect() as client:
                client.send(request_bytes("GET", "/big?size=3800") * count)
                client.send(request_bytes("PUT", "/echo", [("Content-Length", "5"), ("Expect", "100-continue")]))
                time.sleep(0.05)
                for _ in range(count):
                    client.read_answer()
                assert client.read_head()[0] == 100
                client.send(b"12345")
                assert client.read_answer().body == b"12345"


def test_malformed_chunk_is_refused_before_the_application_runs(server: Server) -> None:
    check_refused(server, post(CHUNKED, body=b"3\r\nabc\r\nx\r\n\r\n", target=b"/count?malformed"), 400)
    assert events(server, "malformed") == []


@pytest.mark.parametrize("ending", ["closed", "half-closed", "reset"])
def test_spooled_body_cut_off_is_never_a_shorter_body(server: Server, ending: str) -> None:
    with server.connect() as client:
        client.send(post(b"Content-Length: 1000000", body=b"x" * 200_000, target=b"/count?cut-" + ending.encode()))
        if ending == "half-closed":
            client.end()
            assert b" 200 " not in client.read_all()
        elif ending == "closed":
            client.close()
        else:
            client.reset()
    assert server.get("/").status == 200
    assert not any("complete" in event for event in events(server, f"cut-{ending}"))


def test_body_of_many_tiny_chunks_is_spooled(server: Server) -> None:
    body = bytes(range(256)) * 40
    data = post(CHUNKED, body=chunked(*[body[n : n + 1] for n in range(len(body))]))
    assert check_good(server, data).body == body

"""The same bytes get the same answers however they arrive; mutated requests never crash, never get a second answer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.checks import get, post
from support.client import Address, BadAnswer, Client, chunked
from support.server import Server, serve

# A client that sends many pieces must not be taken for a slow one.
SETTINGS = {"header_timeout": "30", "keepalive": "30"}
CLOSE = b"Connection: close"
HOST = b"Host: localhost"


@pytest.fixture(scope="module")
def spooling(worker_class: str) -> Iterator[Server]:
    """A server that judges a whole request before the application hears of it."""
    with serve(settings={**SETTINGS, "spool_request_body": "65536", "worker_class": worker_class}) as running:
        yield running


STREAMS = {
    "a GET": (get(HOST, b"Accept: text/html", CLOSE), ["GET"]),
    "pipelined": (get(HOST) + b"\r\n" + get(HOST, method=b"HEAD") + get(HOST, CLOSE), ["GET", "HEAD", "GET"]),
    "a sized body": (post(b"Content-Length: 11", body=b"hello world") + get(HOST, CLOSE), ["POST", "GET"]),
    "a chunked body": (
        post(b"Transfer-Encoding: chunked", body=b"5;a=b\r\nhello\r\n06\r\n world\r\n0\r\nX-T: a\r\n\r\n")
        + get(HOST, CLOSE),
        ["POST", "GET"],
    ),
    "an unread body": (
        post(b"Transfer-Encoding: chunked", body=chunked(b"hello", b" world"), target=b"/ignore") + get(HOST, CLOSE),
        ["POST", "GET"],
    ),
    "HTTP/1.0": (
        get(b"Connection: keep-alive", version=b"HTTP/1.0") + get(version=b"HTTP/1.0"),
        ["GET", "GET"],
    ),
    "a bad field": (get(HOST, b"X Name: a") + get(HOST), ["GET"]),
    "a bad Host": (get(b"Host: a b") + get(HOST), ["GET"]),
    "a bad second request": (get(HOST) + get(HOST, b"X-A: a\0b") + get(HOST), ["GET", "GET"]),
    "a bad chunk": (
        post(b"Transfer-Encoding: chunked", body=b"5\r\nhelloX\r\n0\r\n\r\n") + get(HOST),
        ["POST"],
    ),
    "an unknown method": (get(HOST, method=b"BREW") + get(HOST), ["GET"]),
    "an unknown version": (get(HOST, version=b"HTTP/2.0") + get(HOST), ["GET"]),
    "length and coding": (
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=chunked(b"hello")) + get(HOST),
        ["POST"],
    ),
}


def answers(address: Address, pieces: list[bytes], pause_s: float = 0.0) -> bytes:
    """All that comes back, without what depends on the time."""
    with Client(address, 20.0) as client:
        for piece in pieces:
            try:
                client.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                break  # refused, and closed: what was said before can still be read
            if pause_s:
                time.sleep(pause_s)
        client.end_quietly()
        return normalised(client.read_to_the_last())


def normalised(data: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]*\r\n", b"Date: -\r\n", data)


@pytest.mark.parametrize("name", STREAMS)
def test_answers_are_the_expected_ones(server: Server, name: str) -> None:
    stream, methods = STREAMS[name]
    with server.connect() as client:
        client.send(stream)
        statuses = [client.read_answer(method).status for method in methods]
        client.expect_end()
    assert statuses[:-1] == [200] * (len(methods) - 1)
    assert (statuses[-1] == 200) == (" bad " not in f" {name}" and "unknown" not in name and "coding" not in name)


@pytest.mark.parametrize("name", STREAMS)
def test_request_split_at_any_byte_gets_the_same_answers(server: Server, name: str) -> None:
    stream, _ = STREAMS[name]
    whole = answers(server.address, [stream])
    for at in range(1, len(stream)):
        # The pause makes it likely that the parts arrive apart; nothing is concluded from it.
        split = answers(server.address, [stream[:at], stream[at:]], pause_s=0.002)
        assert split == whole, f"split at {at}: {stream[:at]!r} | {stream[at:]!r}"


@pytest.mark.parametrize("name", STREAMS)
def test_request_in_single_bytes_gets_the_same_answers(server: Server, name: str) -> None:
    stream, _ = STREAMS[name]
    pieces = [stream[at : at + 1] for at in range(len(stream))]
    assert answers(server.address, pieces, pause_s=0.0005) == answers(server.address, [stream])


bounded = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@bounded
@given(name=st.sampled_from(sorted(STREAMS)), cuts=st.sets(st.integers(1, 400), min_size=2, max_size=8))
def test_request_in_several_parts_gets_the_same_answers(server: Server, name: str, cuts: set[int]) -> None:
    stream, _ = STREAMS[name]
    bounds = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    assert answers(server.address, pieces, pause_s=0.001) == answers(server.address, [stream])


INTERESTING = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\x80", b"\xff", b"\r\n\r\n", b"\r\n ",
               b"0", b"-1", b"chunked", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: a\r\n",
               b"GET / HTTP/1.1\r\n", b"HTTP/1.0", b"%", b"#", b"?", b"*", b"0\r\n\r\n", b"[", b"@"]  # fmt: skip
REFUSALS = {400, 408, 413, 414, 417, 431, 501, 505}


@settings(bounded, max_examples=400)
@given(
    name=st.sampled_from(sorted(STREAMS)),
    edits=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 6), st.sampled_from(INTERESTING) | st.binary(max_size=4)),
        min_size=1,
        max_size=3,
    ),
    cut=st.integers(1, 400),
)
def test_mutated_request_gets_the_same_answers_however_split_and_none_after_a_refusal(
    server: Server, spooling: Server, name: str, edits: list[tuple[int, int, bytes]], cut: int
) -> None:
    stream, _ = STREAMS[name]
    for at, removed, inserted in edits:
        at = min(at, len(stream))
        stream = stream[:at] + inserted + stream[at + removed :]
    whole = answers(spooling.address, [stream])
    assert answers(spooling.address, [stream[:cut], stream[cut:]], pause_s=0.001) == whole, stream
    check_nothing_follows_a_refusal(whole, stream)
    # Where bodies are streamed, an application may have answered, without reading, before the body turns out bad:
    # then the status may differ, and nothing else.
    check_nothing_follows_a_refusal(answers(server.address, [stream]), stream)
    check_nothing_follows_a_refusal(answers(server.address, [stream[:cut], stream[cut:]], 0.001), stream)


def check_nothing_follows_a_refusal(data: bytes, stream: bytes) -> None:
    """Answers begin with a status line at the start, or where another one ended; a refusal is the last one."""
    statuses = [int(match) for match in re.findall(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(?:Server|Date|Content)", data)]
    if data and not data.startswith(b"HTTP/1.1 "):
        raise BadAnswer(f"{data!r} for {stream!r}")
    assert 500 not in statuses, (stream, data)
    refused = [status for status in statuses if status in REFUSALS]
    assert len(refused) <= 1, (stream, data)
    if refused:
        assert statuses[-1] == refused[0], (stream, data)


def test_workers_outlived_it_all(server: Server, spooling: Server) -> None:
    for running in (server, spooling):
        assert running.get("/").status == 200
        assert "Traceback" not in running.log_text()
        assert "exit code" not in running.log_text()

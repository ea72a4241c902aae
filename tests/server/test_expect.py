"""RFC 9110 §10.1.1: 100 Continue goes out when the application first reads, and only then."""

from __future__ import annotations

import pytest
from support.checks import check_closed_or_in_step, check_still_in_step, get, post
from support.client import chunked
from support.server import Server

EXPECT = b"Expect: 100-continue"
LENGTH = b"Content-Length: 5"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

FRAMINGS = {
    "sized": (LENGTH, b"hello"),
    "chunked": (b"Transfer-Encoding: chunked", chunked(b"hello")),
    "large": (b"Content-Length: 100000", b"x" * 100_000),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_continue_is_sent_when_the_application_reads(server: Server, name: str) -> None:
    line, body = FRAMINGS[name]
    with server.connect() as client:
        for _ in range(2):
            client.send(post(EXPECT, line))
            assert client.read_exactly(len(CONTINUE)) == CONTINUE
            client.send(body)
            answer = client.read_answer()
            assert (answer.status, answer.hints) == (200, [])
            assert answer.body == (body if name != "chunked" else b"hello")
        check_still_in_step(client)


def test_continue_is_sent_once(server: Server) -> None:
    with server.connect() as client:
        client.send(post(EXPECT, b"Content-Length: 6", target=b"/read?read=2&read=2&read=2"))
        assert client.read_exactly(len(CONTINUE)) == CONTINUE
        for piece in (b"ab", b"cd", b"ef"):
            client.send(piece)
        answer = client.read_answer()
        assert (answer.hints, answer.body) == ([], b'["ab", "cd", "ef"]')


@pytest.mark.parametrize("name", FRAMINGS)
def test_continue_is_not_sent_where_the_application_does_not_read(server: Server, name: str) -> None:
    line, _ = FRAMINGS[name]
    with server.connect() as client:
        client.send(post(EXPECT, line, target=b"/ignore"))
        answer = client.read_answer()
        assert (answer.body, answer.hints) == (b"ignored\n", [])
        # Whether the client will send the body now can't be known (RFC 9110 §10.1.1): the connection can't go on.
        client.expect_end()


def test_continue_is_not_sent_after_the_final_answer_has_begun(server: Server) -> None:
    with server.connect() as client:
        client.send(post(EXPECT, LENGTH, target=b"/write-then-read"))
        status, _, _ = client.read_head()
        assert status == 200
        assert client.read_line() == b"7\r\n"
        assert client.read_exactly(9) == b"before \r\n"
        client.send(b"hello")
        assert client.read_exactly(10) == b"5\r\nhello\r\n"


def test_continue_is_not_sent_to_http10(server: Server) -> None:
    with server.connect() as client:
        client.send(get(EXPECT, LENGTH, version=b"HTTP/1.0", method=b"POST", target=b"/echo"))
        assert client.is_silent()
        client.send(b"hello")
        answer = client.read_answer()
        assert (answer.body, answer.hints) == (b"hello", [])


def test_continue_is_not_sent_without_a_body(server: Server) -> None:
    with server.connect() as client:
        client.send(get(b"Host: localhost", EXPECT, target=b"/echo"))
        answer = client.read_answer()
        assert (answer.status, answer.hints) == (200, [])
        check_closed_or_in_step(client, answer)


@pytest.mark.parametrize("line", [b"Expect: 100-Continue", b"expect: 100-CONTINUE", b"Expect:100-continue "])
def test_expectation_is_known_in_every_spelling(server: Server, line: bytes) -> None:
    with server.connect() as client:
        client.send(post(line, LENGTH))
        assert client.read_exactly(len(CONTINUE)) == CONTINUE
        client.send(b"hello")
        assert client.read_answer().body == b"hello"


def test_client_that_does_not_wait_gets_its_answer(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.send(post(EXPECT, LENGTH, body=b"hello"))
            assert client.read_answer().body == b"hello"


def test_unknown_expectation_is_refused_with_417_or_ignored(server: Server) -> None:
    answer = server.ask(post(b"Expect: a-miracle", LENGTH, body=b"hello"))
    assert answer.status == 417 or (answer.status, answer.body, answer.hints) == (200, b"hello", [])


def test_refused_request_gets_its_refusal_and_no_continue(server: Server) -> None:
    with server.connect() as client:
        client.send(post(EXPECT, b"Content-Length: -5"))
        answer = client.read_answer()
        assert (answer.status, answer.hints) == (400, [])
        client.expect_end()

"""An application may catch what its read raises; what follows on the connection is still nobody's request."""

from __future__ import annotations

import pytest
from support.checks import get, post
from support.server import Server

SETTINGS = {"limit_request_body": "100"}
SMUGGLED = get(b"Host: localhost", target=b"/smuggled")

CASES = {
    "a broken chunk": [b"5\r\nhelloXX\r\n", b"\r\n0\r\n\r\n" + SMUGGLED],
    "too large in the last piece": [b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n" + SMUGGLED[:40], SMUGGLED],
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_served_after_a_body_that_could_not_be_read(server: Server, name: str) -> None:
    with server.connect() as client:
        client.send(post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n", target=b"/swallow"))
        for piece in CASES[name]:
            assert client.is_silent(0.1) or client.received
            client.send(piece)
        answer = client.read_answer()
        assert (answer.status, answer.body, answer.closes) == (200, b"swallowed\n", True)
        client.expect_end()

"""Limits that an ini sets: request line, fields, field size, body; header names with an underscore refused."""

from __future__ import annotations

import pytest
from support.checks import check_good, check_one_refusal, check_refused, get, post
from support.client import chunked
from support.server import Server

SETTINGS = {
    "limit_request_line": "100",
    "limit_request_fields": "5",
    "limit_request_field_size": "60",
    "limit_request_body": "1000",
    "header_map": "refuse",
    "server_header": "",
}
HOST = b"Host: localhost"


def test_longer_request_line_is_refused(server: Server) -> None:
    check_good(server, get(HOST, target=b"/?" + b"a" * 80))
    check_refused(server, get(HOST, target=b"/?" + b"a" * 100), 414)


def test_more_fields_are_refused(server: Server) -> None:
    check_good(server, get(HOST, *[b"X-A: b"] * 4))
    check_refused(server, get(HOST, *[b"X-A: b"] * 5), 431)


def test_longer_field_is_refused(server: Server) -> None:
    check_good(server, get(HOST, b"X-A: " + b"b" * 50))
    check_refused(server, get(HOST, b"X-A: " + b"b" * 70), 431)


@pytest.mark.parametrize("size", [1001, 100_000, 10_000_000])
def test_larger_body_is_refused_with_413_before_it_is_read(server: Server, size: int) -> None:
    check_one_refusal(server, post(b"Content-Length: %d" % size), 413)
    check_one_refusal(server, post(b"Content-Length: %d" % size, b"Expect: 100-continue"), 413)


def test_refusal_of_a_large_body_can_be_read_although_the_body_was_sent(server: Server) -> None:
    check_one_refusal(server, post(b"Content-Length: 200000", body=b"x" * 200_000), 413)


def test_body_as_large_as_the_limit_is_served(server: Server) -> None:
    assert check_good(server, post(b"Content-Length: 1000", body=b"x" * 1000)).body == b"x" * 1000
    body = chunked(b"x" * 500, b"y" * 500)
    assert len(check_good(server, post(b"Transfer-Encoding: chunked", body=body)).body) == 1000


def test_larger_chunked_body_is_refused_with_413_where_it_is_read(server: Server) -> None:
    body = chunked(b"x" * 500, b"y" * 501)
    check_refused(server, post(b"Transfer-Encoding: chunked", body=body), 413)


def test_name_with_an_underscore_is_refused_where_that_is_wanted(server: Server) -> None:
    check_refused(server, get(HOST, b"X_A: b"), 400)


def test_server_header_can_be_left_out(server: Server) -> None:
    assert server.get("/").field("Server") is None

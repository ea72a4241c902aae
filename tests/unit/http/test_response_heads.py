"""What an application gives, to bytes; what it may not give; how the body is delimited."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import h11
import pytest

from paste_unicorn.http import refusals
from paste_unicorn.http.refusals import Refusal
from paste_unicorn.http.response import (
    CHUNKED,
    LAST_CHUNK,
    NO_BODY,
    SIZED,
    UNTIL_CLOSE,
    BadResponse,
    ResponseHeads,
    chunk,
    early_hints,
    frame,
    http_date,
)

HEADS = ResponseHeads("unicorn")


def test_a_head_is_rendered_as_given() -> None:
    prepared = HEADS.begin("200 OK", [("Content-Type", "text/plain"), ("X-A", "b\tc"), ("x-a", "\xe9"), ("Z", "")])
    assert prepared.prefix == (
        b"HTTP/1.1 200 OK\r\nServer: unicorn\r\nContent-Type: text/plain\r\nX-A: b\tc\r\nx-a: \xe9\r\nZ: \r\n"
    )
    assert (prepared.status_code, prepared.content_length, prepared.bodiless) == (200, None, False)
    assert not prepared.has_date
    assert not prepared.has_server


def test_the_same_head_is_found_again() -> None:
    found = [HEADS.begin("201 Created", [("A", "b")]) for _ in range(4)]
    assert found[2] is found[3]
    assert found[0].prefix == found[3].prefix
    assert HEADS.begin("200 Created", [("A", "b")]).status_code == 200


def test_equal_lines_are_found_again_in_other_heads() -> None:
    heads = ResponseHeads("")
    for number in range(700):
        prepared = heads.begin("200 OK", [("A", "b"), ("ETag", str(number)), ("Content-Length", "3")])
        assert prepared.prefix == b"HTTP/1.1 200 OK\r\nA: b\r\nETag: %d\r\nContent-Length: 3\r\n" % number
        assert prepared.content_length == 3


def test_date_and_server_of_the_application_stay() -> None:
    prepared = HEADS.begin("200 OK", [("date", "x"), ("SERVER", "y")])
    assert prepared.prefix == b"HTTP/1.1 200 OK\r\ndate: x\r\nSERVER: y\r\n"
    assert prepared.has_date
    assert prepared.has_server


def test_a_status_without_a_reason_has_its_space() -> None:
    assert ResponseHeads("").begin("200", []).prefix == b"HTTP/1.1 200 \r\n"
    assert ResponseHeads("").begin("200 ", []).prefix == b"HTTP/1.1 200 \r\n"
    assert ResponseHeads("").begin("299 \xe9\t!", []).prefix == b"HTTP/1.1 299 \xe9\t!\r\n"


BAD_STATUSES: list[Any] = [
    "", "OK", "20", "2000", "2000 OK", "200OK", " 200 OK", "200\tOK", "200 OK\r\nA: b", "200 OK\n", "200 \0",
    "200 \x7f",
    "200 \u20ac", "100 Continue", "101 Switching Protocols", "103 Early Hints", "099 A", "000 A", "600 A",
    "999 A", "-200 A",
    "+20 A", "2e2 OK", "\u0662\u0660\u0660 OK", b"200 OK", 200, None, ("200 OK",), ["200 OK"],
]  # fmt: skip


@pytest.mark.parametrize("status", BAD_STATUSES, ids=repr)
def test_an_impossible_status_is_not_sent(status: Any) -> None:
    for _ in range(3):
        with pytest.raises(BadResponse):
            HEADS.begin(status, [])


BAD_FIELDS: list[Any] = [
    ("A", "b\r\nC: d"), ("A", "b\n"), ("A", "\rb"), ("A", "\0"), ("A", "\x7f"), ("A", "\x1b"), ("A", "\u20ac"),
    ("A", None),
    ("A", 1), ("A", b"b"), (b"A", "b"), ("", "b"), ("A ", "b"), ("A:", "b"), ("A\n", "b"), ("A b", "c"),
    ("\xe9", "b"),
    ("A\r\nB", "c"), ("A",), ("A", "b", "c"), ["A", "b"], "Ab", None, 1, ("A", ["b"]), {"A": "b"},
    ("Connection", "close"), ("connection", "keep-alive"), ("Keep-Alive", "a"), ("Transfer-Encoding", "chunked"),
    ("TE", "a"), ("Trailer", "a"), ("Trailers", "a"), ("Upgrade", "a"), ("Proxy-Authenticate", "a"),
    ("Proxy-Authorization", "a"), ("Proxy-Connection", "a"),
    ("Content-Length", ""), ("Content-Length", "-1"), ("Content-Length", "+1"), ("Content-Length", "1.0"),
    ("Content-Length", "1_0"), ("Content-Length", "0x1"), ("Content-Length", " 1"), ("Content-Length", "1, 1"),
    ("content-length", "\xb2"), ("Content-Length", "1" * 19),
]  # fmt: skip


@pytest.mark.parametrize("field", BAD_FIELDS, ids=repr)
def test_a_field_that_cannot_be_is_not_sent(field: Any) -> None:
    for _ in range(3):
        with pytest.raises(BadResponse):
            HEADS.begin("200 OK", [("X", "y"), field])
    with pytest.raises(BadResponse):
        early_hints([field])


def test_content_length_comes_once() -> None:
    with pytest.raises(BadResponse):
        HEADS.begin("200 OK", [("Content-Length", "1"), ("content-length", "1")])


@pytest.mark.parametrize("fields", [None, 1, "ab", b"a"])
def test_fields_are_a_list_of_tuples(fields: Any) -> None:
    with pytest.raises(BadResponse):
        HEADS.begin("200 OK", fields)


def test_the_server_field_can_be_left_out_but_not_forged() -> None:
    assert ResponseHeads("").begin("200 OK", []).prefix == b"HTTP/1.1 200 OK\r\n"
    with pytest.raises(BadResponse):
        ResponseHeads("a\r\nB: c")


CLOSE, ALIVE = b"Connection: close\r\n", b"Connection: keep-alive\r\n"
FRAMINGS = [
    # status, Content-Length of the application, http11, HEAD, keep, length known: how, lines, kept, bytes
    ("200 OK", "5", True, False, True, None, SIZED, b"", True, 5),
    ("200 OK", "5", True, False, False, None, SIZED, CLOSE, False, 5),
    ("200 OK", "5", False, False, True, None, SIZED, ALIVE, True, 5),
    ("200 OK", "5", False, False, False, 5, SIZED, CLOSE, False, 5),
    ("200 OK", None, True, False, True, 7, SIZED, b"Content-Length: 7\r\n", True, 7),
    ("200 OK", None, True, False, True, 0, SIZED, b"Content-Length: 0\r\n", True, 0),
    ("200 OK", None, False, False, True, 7, SIZED, b"Content-Length: 7\r\n" + ALIVE, True, 7),
    ("200 OK", None, True, False, True, None, CHUNKED, b"Transfer-Encoding: chunked\r\n", True, None),
    ("200 OK", None, True, False, False, None, CHUNKED, b"Transfer-Encoding: chunked\r\n" + CLOSE, False, None),
    ("200 OK", None, False, False, True, None, UNTIL_CLOSE, CLOSE, False, None),
    ("200 OK", None, False, False, False, None, UNTIL_CLOSE, CLOSE, False, None),
    ("200 OK", "5", True, True, True, None, NO_BODY, b"", True, None),
    ("200 OK", None, True, True, True, None, NO_BODY, b"", True, None),
    ("200 OK", None, True, True, True, 0, NO_BODY, b"", True, None),
    ("200 OK", None, True, True, True, 9, NO_BODY, b"Content-Length: 9\r\n", True, None),
    ("200 OK", None, False, True, True, None, NO_BODY, ALIVE, True, None),
    ("200 OK", "5", False, True, True, None, NO_BODY, ALIVE, True, None),
    ("204 No Content", None, True, False, True, None, NO_BODY, b"", True, None),
    ("204 No Content", "0", True, False, True, 0, NO_BODY, b"", True, None),
    ("204 No Content", "5", True, False, True, 5, NO_BODY, b"", True, None),
    ("205 Reset Content", "5", True, False, True, 5, NO_BODY, b"Content-Length: 0\r\n", True, None),
    ("304 Not Modified", None, True, False, True, 5, NO_BODY, b"", True, None),
    ("304 Not Modified", "5", True, False, False, 0, NO_BODY, CLOSE, False, None),
    ("404 Not Found", None, True, False, True, 3, SIZED, b"Content-Length: 3\r\n", True, 3),
]


@pytest.mark.parametrize(
    ("status", "said", "http11", "is_head", "keep", "known", "how", "lines", "kept", "count"), FRAMINGS
)
def test_how_a_body_is_delimited(
    status: str, said: str | None, http11: bool, is_head: bool, keep: bool, known: int | None,
    how: int, lines: bytes, kept: bool, count: int | None,
) -> None:  # fmt: skip
    prepared = HEADS.begin(status, [("Content-Length", said)] if said is not None else [])
    assert frame(prepared, http11, is_head, keep, known) == (how, lines + b"\r\n", kept, count)
    head = prepared.prefix + frame(prepared, http11, is_head, keep, known).suffix
    assert head.lower().count(b"content-length") <= 1
    assert not (b"chunked" in head and b"ontent-Length" in head)
    assert (b"ontent-Length" in head) <= (not status.startswith("204"))


@pytest.mark.parametrize(("status", "said", "http11", "is_head", "keep", "known"), [row[:6] for row in FRAMINGS])
def test_a_client_reads_the_body_that_was_sent(
    status: str, said: str | None, http11: bool, is_head: bool, keep: bool, known: int | None
) -> None:
    prepared = HEADS.begin(status, [("Content-Length", said)] if said is not None else [])
    framing = frame(prepared, http11, is_head, keep, known)
    size = framing.length if framing.length is not None else 6
    body = {
        NO_BODY: b"",
        SIZED: b"a" * size,
        CHUNKED: chunk(b"abc") + chunk(b"def") + LAST_CHUNK,
        UNTIL_CLOSE: b"a" * 6,
    }
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="HEAD" if is_head else "GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(prepared.prefix + framing.suffix + body[framing.how])
    response = client.next_event()
    assert isinstance(response, h11.Response)
    received = 0
    if framing.how == UNTIL_CLOSE:
        client.receive_data(b"")
    while isinstance(event := client.next_event(), h11.Data):
        received += len(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert received == (0 if framing.how == NO_BODY else size)
    assert client.trailing_data == (b"", framing.how == UNTIL_CLOSE)


def test_a_wrong_length_can_be_taken_out() -> None:
    prepared = HEADS.begin("200 OK", [("A", "b"), ("CONTENT-length", "5")])
    assert HEADS.without_length(prepared).prefix == b"HTTP/1.1 200 OK\r\nServer: unicorn\r\nA: b\r\n"


def test_chunks_have_their_size_in_hexadecimal() -> None:
    assert chunk(b"a") == b"1\r\na\r\n"
    assert chunk(b"a" * 255) == b"ff\r\n" + b"a" * 255 + b"\r\n"


def test_early_hints_are_a_head_alone() -> None:
    assert early_hints([("Link", "</a>; rel=preload")]) == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    )
    with pytest.raises(BadResponse):
        early_hints([("Content-Length", "0")])


@pytest.mark.parametrize("epoch", [0, 784111777, 951782400, 1709164800, 4102444799, 253402300799])
def test_dates_are_those_of_the_standard_library(epoch: int) -> None:
    assert http_date(epoch).decode() == formatdate(epoch, usegmt=True)


def test_error_pages_are_small_plain_and_close_the_connection() -> None:
    for refusal in (row for row in vars(refusals).values() if isinstance(row, Refusal)):
        page = HEADS.error_page(refusal, http_date(0))
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(page)
        response, body, end = client.next_event(), client.next_event(), client.next_event()
        assert isinstance(response, h11.Response)
        assert (response.status_code, response.reason) == (refusal.status, refusal.reason.encode())
        fields = dict(response.headers)
        assert fields[b"connection"] == b"close"
        assert fields[b"date"] == b"Thu, 01 Jan 1970 00:00:00 GMT"
        assert fields[b"server"] == b"unicorn"
        assert fields[b"content-type"].startswith(b"text/plain")
        assert isinstance(body, h11.Data)
        assert refusal.sentence.encode() in body.data
        assert isinstance(end, h11.EndOfMessage)
        assert len(page) < 400
        assert page == HEADS.error_page(refusal, http_date(0), head_request=True) + bytes(body.data)

"""RFC 9112 §6 and §7: how long a request body is, chunked bodies, and what makes a framing refused."""

from __future__ import annotations

import json

import pytest
from support.checks import (
    check_good,
    check_one_refusal,
    check_refused,
    check_still_in_step,
    environ_of,
    events,
    get,
    post,
)
from support.client import chunked
from support.server import Server, wait_for

CHUNKED = b"Transfer-Encoding: chunked"
HELLO = chunked(b"hello")

REFUSED = {
    "negative length": (b"Content-Length: -5",),
    "length with a sign": (b"Content-Length: +5",),
    "length with a blank in it": (b"Content-Length: 5 5",),
    "hexadecimal length": (b"Content-Length: 0x5",),
    "length with an underscore": (b"Content-Length: 1_0",),
    "length with a point": (b"Content-Length: 5.0",),
    "length with more behind it": (b"Content-Length: 5;",),
    "empty length": (b"Content-Length:",),
    "length of digits beyond ASCII": (b"Content-Length: \xd9\xa5",),
    "length with a vertical tab": (b"Content-Length: \x0b5",),
    "two lengths in a list": (b"Content-Length: 5, 6",),
    "two lengths in two lines": (b"Content-Length: 5", b"Content-Length: 6"),
    "two lengths, one of them wrong": (b"Content-Length: 5", b"Content-Length: x"),
    "length and chunked": (b"Content-Length: 5", CHUNKED),
    "chunked and length": (CHUNKED, b"Content-Length: 5"),
    "length, other fields, chunked": (b"Content-Length: 5", b"Accept: */*", CHUNKED),
    "length 0 and chunked": (b"Content-Length: 0", CHUNKED),
    "name of chunked with a blank": (b"Transfer-Encoding : chunked",),
}


@pytest.mark.parametrize("lines", REFUSED.values(), ids=REFUSED)
def test_ambiguous_length_is_refused_with_400(server: Server, lines: tuple[bytes, ...]) -> None:
    check_refused(server, post(*lines, body=HELLO), 400)


@pytest.mark.parametrize("lines", [(b"Content-Length: 5, 5",), (b"Content-Length: 5", b"Content-Length: 5")])
def test_same_length_twice_is_one_length_or_refused(server: Server, lines: tuple[bytes, ...]) -> None:
    # RFC 9110 §8.6 leaves the choice.
    answer = server.ask(post(*lines, body=b"hello"))
    assert answer.status == 400 or answer.body == b"hello"


@pytest.mark.parametrize("digits", [20, 40, 400])
def test_length_beyond_all_bounds_is_refused(server: Server, digits: int) -> None:
    check_refused(server, post(b"Content-Length: " + b"9" * digits), (400, 413))


@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"br, chunked", b"identity, chunked", b"gzip, br, chunked", b"GZIP,chunked"]
)
def test_transfer_coding_beside_chunked_is_refused_with_501(server: Server, coding: bytes) -> None:
    check_refused(server, post(b"Transfer-Encoding: " + coding, body=HELLO), 501)


@pytest.mark.parametrize("coding", [b"gzip", b"identity", b"deflate", b"x-chunked", b"chunkedx"])
def test_transfer_coding_that_is_not_chunked_is_refused(server: Server, coding: bytes) -> None:
    # Unknown codings are 501 (RFC 9112 §6.1), and 400 where chunked is not the last one (§6.3): both are true here.
    check_refused(server, post(b"Transfer-Encoding: " + coding, body=HELLO), (400, 501))


def test_transfer_coding_in_another_line_than_chunked_is_refused_with_501(server: Server) -> None:
    check_refused(server, post(b"Transfer-Encoding: gzip", CHUNKED, body=HELLO), 501)


@pytest.mark.parametrize(
    "lines",
    [
        (b"Transfer-Encoding: chunked, gzip",),
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: chunked, identity",),
        (b"Transfer-Encoding: chunked;q=1",),
        (b"Transfer-Encoding: chun ked",),
        (b"Transfer-Encoding: \x0bchunked",),
        (b"Transfer-Encoding: chunked\0",),
        (b'Transfer-Encoding: "chunked"',),
        (b"Transfer-Encoding:",),
        (CHUNKED, CHUNKED),
        (CHUNKED, b"Transfer-Encoding: gzip"),
        (CHUNKED, b"Transfer-Encoding: identity"),
    ],
)
def test_malformed_transfer_coding_is_refused(server: Server, lines: tuple[bytes, ...]) -> None:
    check_refused(server, post(*lines, body=HELLO), (400, 501))


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED", b"\tchunked", b"chunked ", b"chunked\t"])
def test_chunked_is_known_in_every_spelling(server: Server, coding: bytes) -> None:
    assert check_good(server, post(b"Transfer-Encoding: " + coding, body=HELLO)).body == b"hello"


def test_transfer_encoding_in_http10_is_refused(server: Server) -> None:
    data = get(b"Host: localhost", CHUNKED, method=b"POST", target=b"/echo", version=b"HTTP/1.0") + HELLO
    check_refused(server, data, 400)


BAD_CHUNKS = {
    "size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "blank before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "no hexadecimal digit": b"g\r\nhello\r\n0\r\n\r\n",
    "empty size": b"\r\nhello\r\n0\r\n\r\n",
    "size beyond all bounds": b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "size that overflows to 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "chunk longer than its size": b"5\r\nhelloX\r\n0\r\n\r\n",
    "chunk without a line end": b"5\r\nhello0\r\n\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    "endless extension": b"5;" + b"a" * 40_000 + b"\r\nhello\r\n0\r\n\r\n",
    "trailer without a colon": b"5\r\nhello\r\n0\r\nTrailer\r\n\r\n",
    "trailer with a blank in its name": b"5\r\nhello\r\n0\r\nX Trailer: a\r\n\r\n",
    "trailer with bare LF": b"5\r\nhello\r\n0\r\nX-T: a\nX-U: b\r\n\r\n",
    "endless trailer": b"5\r\nhello\r\n0\r\nX-T: " + b"a" * 200_000 + b"\r\n\r\n",
    "endless trailers": b"5\r\nhello\r\n0\r\n" + b"X-T: a\r\n" * 20_000 + b"\r\n",
}


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_malformed_chunk_is_refused_where_the_application_reads(server: Server, body: bytes) -> None:
    check_refused(server, post(CHUNKED, body=body), (400, 431) if b"0\r\nX-T" in body else 400)


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_after_a_malformed_chunk_that_nobody_read_the_connection_closes(server: Server, body: bytes) -> None:
    with server.connect() as client:
        client.send(post(CHUNKED, body=body, target=b"/ignore") + get(b"Host: localhost"))
        assert client.read_answer().status in (200, 400, 431)
        client.expect_end()


GOOD_CHUNKS = {
    "one chunk": HELLO,
    "many chunks": chunked(b"h", b"e", b"l", b"l", b"o"),
    "no chunk": b"0\r\n\r\n",
    "leading zeros": b"0005\r\nhello\r\n000\r\n\r\n",
    "extension": b"5;a\r\nhello\r\n0;b=c\r\n\r\n",
    "quoted extension": b'5;a="b;c"\r\nhello\r\n0\r\n\r\n',
    "trailer": b"5\r\nhello\r\n0\r\nX-T: a\r\nX-U: b\r\n\r\n",
    "large chunk in small letters": b"fffe\r\n" + b"x" * 0xFFFE + b"\r\n0\r\n\r\n",
    "large chunk in capitals": b"FFFE\r\n" + b"x" * 0xFFFE + b"\r\n0\r\n\r\n",
    "many bytes": chunked(*((b"x" * 8192,) * 100)),
}
DECODED = {
    "no chunk": b"",
    "many bytes": b"x" * 819_200,
    "large chunk in small letters": b"x" * 0xFFFE,
    "large chunk in capitals": b"x" * 0xFFFE,
}


@pytest.mark.parametrize("name", GOOD_CHUNKS)
def test_chunked_body_is_decoded_and_the_next_request_follows(server: Server, name: str) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.send(post(CHUNKED, body=GOOD_CHUNKS[name]))
            assert client.read_answer().body == DECODED.get(name, b"hello")
        check_still_in_step(client)


def test_trailers_are_dropped(server: Server) -> None:
    body = b"0\r\nX-Trailer: a\r\nAuthorization: forged\r\nContent-Length: 5\r\n\r\n"
    environ = environ_of(server, post(CHUNKED, b"Trailer: X-Trailer", body=body, target=b"/raw-environ"))
    assert not {"HTTP_X_TRAILER", "HTTP_AUTHORIZATION", "CONTENT_LENGTH"} & set(environ)


def test_chunked_request_says_so_in_the_environ(server: Server) -> None:
    environ = environ_of(server, post(CHUNKED, body=HELLO, target=b"/raw-environ"))
    assert environ["HTTP_TRANSFER_ENCODING"] == "chunked"
    assert environ["wsgi.input_terminated"] == "True"
    assert environ.get("CONTENT_LENGTH", "") == ""


def test_application_sees_a_chunk_before_the_next_one_is_sent(server: Server) -> None:
    with server.connect() as client:
        client.send(post(CHUNKED, target=b"/converse"))
        client.send(b"4\r\none\n\r\n")
        assert client.read_head()[0] == 200
        assert client.read_line() == b"4\r\n"
        assert client.read_line() == b"ONE\n"
        client.send(b"4\r\ntwo\n\r\n")
        assert (client.read_line(), client.read_line(), client.read_line()) == (b"\r\n", b"4\r\n", b"TWO\n")
        client.send(b"0\r\n\r\n")
        assert client.read_exactly(7) == b"\r\n0\r\n\r\n"
        check_still_in_step(client)


def test_request_without_length_and_coding_has_no_body(server: Server) -> None:
    with server.connect() as client:
        client.send(post() + get(b"Host: localhost"))
        assert [client.read_answer().body for _ in range(2)] == [b"", b"ready\n"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PROPFIND"])
def test_any_method_may_have_a_body(server: Server, method: bytes) -> None:
    data = get(b"Host: localhost", b"Content-Length: 5", target=b"/echo", method=method) + b"hello"
    with server.connect() as client:
        client.send(data)
        answer = client.read_answer(method.decode())
        assert answer.body == (b"" if method == b"HEAD" else b"hello")
        check_still_in_step(client)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000, 3_000_000])
def test_sized_body_arrives_whole(server: Server, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    answer = check_good(server, post(b"Content-Length: %d" % size, body=body[:size]))
    assert answer.body == body[:size]


# -- bodies that are cut off -------------------------------------------------------------------------------

CUT_OFF = {
    "small and sized": post(b"Content-Length: 100", body=b"x" * 50, target=b"/count?KEY"),
    "large and sized": post(b"Content-Length: 1000000", body=b"x" * 100_000, target=b"/count?KEY"),
    "large and sized, nothing sent": post(b"Content-Length: 1000000", target=b"/count?KEY"),
    "within a chunk": post(CHUNKED, body=b"64\r\nxxx", target=b"/count?KEY"),
    "between chunks": post(CHUNKED, body=b"3\r\nxxx\r\n", target=b"/count?KEY"),
    "within a chunk size": post(CHUNKED, body=b"3\r\nxxx\r\n6", target=b"/count?KEY"),
    "before the end of the trailers": post(CHUNKED, body=b"3\r\nxxx\r\n0\r\n", target=b"/count?KEY"),
}


@pytest.mark.parametrize("name", CUT_OFF)
@pytest.mark.parametrize("ending", ["closed", "half-closed", "reset"])
def test_body_cut_off_is_an_error_in_the_read_and_never_a_shorter_body(server: Server, name: str, ending: str) -> None:
    key = f"cut-{name}-{ending}".replace(" ", "-").replace(",", "")
    with server.connect() as client:
        client.send(CUT_OFF[name].replace(b"KEY", key.encode()))
        if ending == "half-closed":
            client.end()
            assert b" 200 " not in client.read_all().partition(b"\r\n")[0]
        elif ending == "closed":
            client.close()
        else:
            client.reset()

    def over() -> tuple[list[str], ...]:
        recorded = events(server, key)
        return (recorded,) if not recorded or recorded[-1].startswith(("raised", "complete")) else ()

    # The application need not have been called: a small body is waited for outside it, a reset may overtake the head.
    (recorded,) = wait_for(over, f"the application's read of {key} ends")
    assert not any("complete" in event for event in recorded), recorded
    if recorded:
        assert recorded[-1].startswith("raised"), recorded
        assert recorded[-1].endswith("True"), "a broken body is an OSError"
    assert server.get("/").status == 200


def test_body_cut_off_is_reported_without_a_traceback_of_ours(server: Server, log_start: int) -> None:
    with server.connect() as client:
        client.send(post(b"Content-Length: 1000000", body=b"x" * 100_000, target=b"/count?no-trace"))
        client.end()
        client.read_all()
    assert server.get("/").status == 200
    assert "paste_unicorn/" not in server.log_text()[log_start:]


# -- reads after the end, of several framings --------------------------------------------------------------

TEXT = b"one\ntwo\nthree\nlast"
READS: dict[str, list[object]] = {
    "read": [TEXT.decode()],
    "read=-1": [TEXT.decode()],
    "read=0&read": ["", TEXT.decode()],
    "read=5&read=5&read&read": ["one\nt", "wo\nth", "ree\nlast", ""],
    "read=1000&read=1000": [TEXT.decode(), ""],
    "readline&readline=2&readline&readline&readline&readline": ["one\n", "tw", "o\n", "three\n", "last", ""],
    "readline=-1&read": ["one\n", "two\nthree\nlast"],
    "readlines&readlines": [["one\n", "two\n", "three\n", "last"], []],
    "readlines=3&read": [["one\n"], "two\nthree\nlast"],
    "iterate&iterate&read=1": [["one\n", "two\n", "three\n", "last"], [], ""],
    "next&readline&read": ["one\n", "two\n", "three\nlast"],
    "read&readline&readlines&iterate": [TEXT.decode(), "", [], []],
    "terminated": [True],
}
PADDING = b"p" * 100_000


@pytest.mark.parametrize("operations", READS)
@pytest.mark.parametrize("framing", ["sized", "chunked", "chunked in single bytes", "streamed"])
def test_input_reads_like_a_file_and_ends_with_the_body(server: Server, operations: str, framing: str) -> None:
    expected = READS[operations]
    target = b"/read?" + operations.encode()
    if framing == "sized":
        data = post(b"Content-Length: %d" % len(TEXT), body=TEXT, target=target)
    elif framing == "streamed":
        # Larger than what is collected before the application runs.
        data = post(b"Content-Length: %d" % (len(TEXT) + len(PADDING)), target=b"/read?read=100000&" + target[6:])
        data += PADDING + TEXT
        expected = [PADDING.decode(), *expected]
    else:
        pieces: list[bytes] = [TEXT] if framing == "chunked" else [TEXT[n : n + 1] for n in range(len(TEXT))]
        data = post(CHUNKED, target=target, body=chunked(*pieces))
    with server.connect() as client:
        client.send(data)
        answer = client.read_answer()
        assert json.loads(answer.body) == expected
        check_still_in_step(client)


def test_small_body_can_be_read_again(server: Server) -> None:
    """Real applications seek in small bodies (WebDAV, content management)."""
    data = post(b"Content-Length: 5", body=b"hello", target=b"/read?read&seek=0&read=2&tell&seek=-1,2&read&seekable")
    assert json.loads(check_good(server, data).body) == ["hello", 0, "he", 2, 4, "o", True]


def test_input_of_a_request_without_a_body_is_empty(server: Server) -> None:
    answer = check_good(server, get(b"Host: localhost", target=b"/read?read=10&read&readline&readlines&iterate"))
    assert json.loads(answer.body) == ["", "", "", [], []]


def test_read_past_the_body_never_takes_the_next_request(server: Server) -> None:
    with server.connect() as client:
        client.send(post(b"Content-Length: 3", body=b"abc", target=b"/read?read=1000") + get(b"Host: localhost"))
        assert json.loads(client.read_answer().body) == ["abc"]
        assert client.read_answer().body == b"ready\n"


def test_refused_framing_is_not_read_as_a_body(server: Server) -> None:
    check_one_refusal(server, post(b"Content-Length: 5", CHUNKED, body=b"x" * 300_000), 400)

"""Bodies: bytes in pieces to decoded bytes, and where the next request begins."""

from __future__ import annotations

import httptools
import pytest
from http_cases import COUNT, REFUSED_BODIES, SIZE

from paste_unicorn.http import refusals as no
from paste_unicorn.http.body import ChunkedBody, SizedBody
from paste_unicorn.http.refusals import Refusal, Refused

CHUNKED = [
    # coded, decoded
    (b"0\r\n\r\n", b""),
    (b"00000\r\n\r\n", b""),
    (b"5\r\nhallo\r\n0\r\n\r\n", b"hallo"),
    (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    (b"000000000000005\r\nhallo\r\n0\r\n\r\n", b"hallo"),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
    (b"1;a\r\nb\r\n0;c=d;e\r\n\r\n", b"b"),
    (b'1;a="b;c\\"\xe9\t"\r\nb\r\n0\r\n\r\n', b"b"),
    (b"1\r\na\r\n0\r\nA: b\r\nC:\r\nD: \xff\r\n\r\n", b"a"),
    (b"1\r\na\r\n0\r\n" + b"A: b\r\n" * COUNT + b"\r\n", b"a"),
    (b"0\r\nA: " + b"b" * (SIZE - 3) + b"\r\n\r\n", b""),
    (b"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: a\r\nA_B: c\r\n\r\n", b""),
]


def feed_all(body: SizedBody | ChunkedBody, *pieces: bytes) -> tuple[bytes, bytes]:
    """What was decoded, and what was left when the body was at its end."""
    decoded = b""
    for index, piece in enumerate(pieces):
        got, used, done = body.feed(piece)
        decoded += got
        if done:
            return decoded, piece[used:] + b"".join(pieces[index + 1 :])
        assert used == len(piece)
    raise AssertionError("the body is not at its end")


@pytest.mark.parametrize(("coded", "decoded"), CHUNKED)
def test_chunks_are_decoded_alike_however_they_arrive(coded: bytes, decoded: bytes) -> None:
    for rest in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n0\r\n\r\n"):
        data = coded + rest
        assert feed_all(ChunkedBody(COUNT, SIZE), data) == (decoded, rest)
        for at in range(1, len(data)):
            assert feed_all(ChunkedBody(COUNT, SIZE), data[:at], data[at:]) == (decoded, rest)
        assert feed_all(ChunkedBody(COUNT, SIZE), *[bytes([byte]) for byte in data]) == (decoded, rest)


# llhttp judges a trailer that is dropped as if it could still frame the body.
FOR_LLHTTP = [case for case in CHUNKED if b"Content-Length" not in case[0]]


@pytest.mark.parametrize(("coded", "decoded"), FOR_LLHTTP)
def test_llhttp_agrees_with_what_we_accept(coded: bytes, decoded: bytes) -> None:
    llhttp = Llhttp()
    parser = httptools.HttpRequestParser(llhttp)
    parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + coded)
    assert (llhttp.body, llhttp.complete) == (decoded, True)


class Llhttp:
    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


# What llhttp would let through.
STRICTER = [b"1;=a\r\n", b"1000000000000000\r\n"]


@pytest.mark.parametrize(("coded", "refusal"), REFUSED_BODIES)
def test_llhttp_refuses_what_we_refuse(coded: bytes, refusal: Refusal) -> None:
    parser = httptools.HttpRequestParser(None)
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + coded
    if coded in STRICTER or refusal in (no.CHUNK_LINE_TOO_LONG, no.CHUNK_OVERHEAD, no.TRAILER_TOO_LARGE):
        parser.feed_data(data)
    else:
        with pytest.raises(httptools.HttpParserError):
            parser.feed_data(data)


def test_the_first_chunk_is_there_before_the_second_is_sent() -> None:
    body = ChunkedBody(COUNT, SIZE)
    assert body.feed(b"3\r\nab") == (b"ab", 5, False)
    assert body.feed(b"c") == (b"c", 1, False)
    assert body.feed(b"\r") == (b"", 1, False)
    assert body.feed(b"\n1\r\nd") == (b"d", 5, False)
    assert body.feed(b"\r\n0\r\n\r\nGET") == (b"", 7, True)


def test_a_long_upload_may_have_an_extension_on_each_chunk() -> None:
    body = ChunkedBody(COUNT, SIZE)
    for _ in range(5000):
        body.feed(b"64;signature=" + b"a" * 64 + b"\r\n" + b"b" * 100 + b"\r\n")


def test_an_upload_of_single_bytes_is_no_abuse() -> None:
    body = ChunkedBody(COUNT, SIZE)
    for _ in range(20000):
        assert body.feed(b"1\r\na\r\n")[0] == b"a"


def test_limits_of_zero_are_none() -> None:
    trailer = b"A: " + b"b" * 100000 + b"\r\n"
    assert feed_all(ChunkedBody(0, 0), b"0\r\n" + trailer * 3 + b"\r\n") == (b"", b"")


@pytest.mark.parametrize("room", [1, 2, 7, 1000])
def test_what_is_ahead_may_be_taken_past_it(room: int) -> None:
    """The framing is fed byte by byte; of the rest as much is taken as there is room for."""
    for coded, decoded in CHUNKED:
        body, found, at, done = ChunkedBody(COUNT, SIZE), b"", 0, False
        while not done:
            count = min(body.ahead, room)
            if count:
                found += coded[at : at + count]
                done = body.skip(count)
                at += count
            else:
                piece, used, done = body.feed(coded[at : at + 1])
                found += piece
                at += used
        assert (found, coded[at:]) == (decoded, b"")


def test_what_is_between_two_chunks_alike_may_be_taken_too() -> None:
    """With extensions, of which there may be only so many."""
    line = b"4000;" + b"a" * 3000
    body, size = ChunkedBody(COUNT, SIZE), 0x4000
    assert body.feed(line + b"\r\n") == (b"", len(line) + 2, False)
    for _ in range(100):
        assert (body.ahead, body.between) == (size, b"\r\n%b\r\n" % line)
        assert not body.skip(1000)
        assert not body.skip(size - 1000, True)
    assert not body.skip(size)
    assert body.feed(b"\r\n0\r\n\r\n") == (b"", 7, True)


def test_a_sized_body_ends_with_what_was_taken_past_it() -> None:
    body = SizedBody(10)
    assert body.feed(b"abcd") == (b"abcd", 4, False)
    assert body.ahead == 6
    assert not body.skip(5)
    assert body.skip(1)


def test_a_sized_body_takes_what_is_its_own() -> None:
    assert SizedBody(3).feed(b"abc") == (b"abc", 3, True)
    assert SizedBody(3).feed(b"abcGET") == (b"abc", 3, True)
    body = SizedBody(3)
    assert body.feed(b"") == (b"", 0, False)
    assert body.feed(b"a") == (b"a", 1, False)
    assert body.feed(b"b") == (b"b", 1, False)
    assert body.feed(b"cd") == (b"c", 1, True)


def test_a_large_piece_is_not_copied() -> None:
    data = b"a" * 65536
    assert SizedBody(1 << 20).feed(data)[0] is data


@pytest.mark.parametrize("line", [b"1;a\n", b"1\n", b"g", b"1;a" + b"b" * 4096])
def test_a_chunk_line_is_refused_before_it_is_whole(line: bytes) -> None:
    with pytest.raises(Refused):
        ChunkedBody(COUNT, SIZE).feed(line)

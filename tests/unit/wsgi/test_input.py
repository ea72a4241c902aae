"""`wsgi.input` over a body that arrives piece by piece."""

from __future__ import annotations

import io

import pytest

from paste_unicorn.wsgi.input import BodyError, ClientDisconnected, open_body


def body_of(*pieces: bytes | BodyError) -> io.BufferedReader:
    waiting = list(pieces)

    def next_piece() -> bytes:
        piece = waiting.pop(0) if waiting else b""
        if isinstance(piece, BodyError):
            raise piece
        return piece

    return open_body(next_piece)


def test_read_waits_for_as_much_as_was_asked_for() -> None:
    body = body_of(b"ab", b"cd", b"ef")
    assert body.read(3) == b"abc"
    assert body.read() == b"def"
    assert body.read() == b""


def test_read1_gives_what_is_there() -> None:
    body = body_of(b"ab", b"cd")
    assert body.read1(100) == b"ab"
    assert body.read1(100) == b"cd"
    assert body.read1(100) == b""


def test_lines_cross_pieces() -> None:
    assert list(body_of(b"a\nb", b"c\n", b"d")) == [b"a\n", b"bc\n", b"d"]


def test_a_piece_larger_than_the_buffer_is_not_lost() -> None:
    piece = bytes(range(256)) * 1000
    body = body_of(piece, b"end")
    assert body.read() == piece + b"end"


def read_in_pieces(body: io.BufferedReader, size: int | None) -> None:
    while body.read(size):
        pass


@pytest.mark.parametrize("size", [1, 2, 5, None])
def test_a_body_that_is_cut_off_raises_and_keeps_raising(size: int | None) -> None:
    body = body_of(b"abc", ClientDisconnected("gone"))
    with pytest.raises(ClientDisconnected):
        read_in_pieces(body, size)
    with pytest.raises(ClientDisconnected):
        body.read(1)

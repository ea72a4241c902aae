"""The bytes of a request body out of the bytes that arrive, in pieces of any size.

A body is an object with `feed(data) -> (decoded, used, done)`: the body bytes found in `data`, how many bytes
of `data` belonged to the body, and whether that was its end. Until the end all of `data` is used (an
unfinished line is kept inside); at the end `data[used:]` is the beginning of the next request. After Refused,
or after the end, nothing more may be fed. Of what comes next, `ahead` bytes are known to be the body's own: they
may be taken past it, and it is told how many were (`skip`).
"""

from __future__ import annotations

import httptools

from . import grammar
from .refusals import (
    BAD_CHUNK,
    BAD_TRAILER,
    CHUNK_LINE_TOO_LONG,
    CHUNK_OVERHEAD,
    TRAILER_TOO_LARGE,
    Refused,
)

# RFC 9112 §7.1.1: "A server ought to limit the total length of chunk extensions." A line of a chunk is hardly
# ever longer than ten bytes; lines may take so many bytes more than the data has paid for, at two for one.
_CHUNK_LINE_LIMIT = 4096
_FREE_PER_CHUNK = 16
_OVERHEAD_LIMIT = 16384

# What the next byte belongs to.
_SIZE = 0
_DATA = 1
_DATA_END = 2
_TRAILER = 3


class SizedBody:
    """A body of as many bytes as Content-Length says (RFC 9112 §6.3), at least one."""

    __slots__ = ("_remaining",)

    def __init__(self, length: int) -> None:
        self._remaining = length

    def feed(self, data: bytes) -> tuple[bytes, int, bool]:
        size = len(data)
        remaining = self._remaining
        if size < remaining:
            self._remaining = remaining - size
            return data, size, False
        self._remaining = 0
        return data[:remaining], remaining, True

    @property
    def ahead(self) -> int:
        """So many bytes that come next are the body's own."""
        return self._remaining

    between = b""  # see ChunkedBody

    def skip(self, count: int, with_between: bool = False) -> bool:
        """So many of them, at most `ahead`, were taken without `feed`; whether that was the end."""
        self._remaining -= count
        return not self._remaining


class ChunkedBody:
    """A body in chunks (RFC 9112 §7.1). Extensions are judged and ignored, trailer fields judged and dropped.

    The limits are those of header fields, here for the trailer: how many, and how many bytes each. 0 is no
    limit.
    """

    __slots__ = (
        "_field_limit", "_fields_limit", "_held", "_length", "_line", "_overhead", "_remaining", "_state", "_trailers",
        "between",
    )  # fmt: skip

    def __init__(self, limit_request_fields: int, limit_request_field_size: int) -> None:
        self._fields_limit = limit_request_fields or 1 << 40
        self._field_limit = limit_request_field_size or 1 << 40
        self._state = _SIZE
        self._remaining = 0  # of the data of this chunk
        self._held = b""  # the beginning of a line, or of the CRLF after data
        self.between = b""  # what comes after `ahead` bytes, if the next chunk is like the one before
        self._line = b"no line"  # of the chunk before, and its size: most are alike
        self._length = 0
        self._overhead = 0
        self._trailers = 0

    def feed(self, data: bytes) -> tuple[bytes, int, bool]:
        """See the module. Raises Refused at the first byte that can't be right."""
        held = len(self._held)
        if held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes | memoryview] = []
        position = 0
        size = len(data)
        view = memoryview(data)  # its slices are no copies
        while position < size:
            if self._state == _DATA:
                length = min(self._remaining, size - position)
                pieces.append(view[position : position + length])
                position += length
                self._remaining -= length
                if not self._remaining:
                    self._state = _DATA_END
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                self._hold(data[position:])
                break
            if self._state == _DATA_END:
                if end != position:
                    raise Refused(BAD_CHUNK)
                self._state = _SIZE
            elif self._state == _SIZE:
                self._begin_chunk(data, position, end)
            elif end == position:
                return b"".join(pieces), end + 2 - held, True
            else:
                self._judge_trailer(data[position:end])
            position = end + 2
        if len(pieces) == 1 and len(pieces[0]) == size:
            return data, size - held, False
        return b"".join(pieces), size - held, False

    @property
    def ahead(self) -> int:
        """So many bytes that come next are the body's own."""
        return self._remaining if self._state == _DATA else 0

    def skip(self, count: int, with_between: bool = False) -> bool:
        """So many of them, at most `ahead`, were taken without `feed`, and then `between`; whether that was the end."""
        self._remaining -= count
        if not self._remaining:
            if with_between:
                self._count_chunk(self._line, self._length)
            else:
                self._state = _DATA_END
        return False

    def _begin_chunk(self, data: bytes, start: int, end: int) -> None:
        line = data[start:end]
        if line == self._line:
            length = self._length
        else:
            self._check_chunk_line(line)
            match = grammar.CHUNK_LINE.fullmatch(line)
            if match is None:
                raise Refused(BAD_CHUNK)
            length = self._length = int(match[1], 16)
            self._line = line
            self.between = b"\r\n%b\r\n" % line
        self._count_chunk(line, length)
        self._state = _DATA if length else _TRAILER

    def _count_chunk(self, line: bytes, length: int) -> None:
        self._remaining = length
        self._overhead = max(0, self._overhead + len(line) - _FREE_PER_CHUNK - 2 * length)
        if self._overhead > _OVERHEAD_LIMIT:
            raise Refused(CHUNK_OVERHEAD)

    def _hold(self, rest: bytes) -> None:
        """Keep what is not yet a line, unless it can't become one any more."""
        line = rest[:-1] if rest[-1] == 13 else rest
        if self._state == _DATA_END:
            if line:
                raise Refused(BAD_CHUNK)
        elif self._state == _SIZE:
            self._check_chunk_line(line)
            if line and grammar.CHUNK_LINE_BEGIN.match(line) is None:
                raise Refused(BAD_CHUNK)
        else:
            self._check_trailer_size(line)
        self._held = rest

    def _check_chunk_line(self, line: bytes) -> None:
        if grammar.CONTROL.search(line, 0, _CHUNK_LINE_LIMIT + 1):
            raise Refused(BAD_CHUNK)
        if len(line) > _CHUNK_LINE_LIMIT:
            raise Refused(CHUNK_LINE_TOO_LONG)

    def _judge_trailer(self, line: bytes) -> None:
        self._check_trailer_size(line)
        self._trailers += 1
        # As in `parser.py`: under an "x" before its name no field changes the parser's state.
        try:
            httptools.HttpRequestParser(None).feed_data(b"GET / HTTP/1.1\r\nx%b\r\n\r\n" % line)
        except httptools.HttpParserError:
            raise Refused(BAD_TRAILER) from None
        if line[0] == 58:  # a colon: the name is empty
            raise Refused(BAD_TRAILER)

    def _check_trailer_size(self, line: bytes) -> None:
        if not line:
            return
        if self._trailers >= self._fields_limit:
            raise Refused(TRAILER_TOO_LARGE)
        if grammar.CONTROL.search(line, 0, self._field_limit + 1):
            raise Refused(BAD_TRAILER)
        if len(line) > self._field_limit:
            raise Refused(TRAILER_TOO_LARGE)

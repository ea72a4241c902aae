"""`wsgi.input` over a body that may still be arriving (PEP 3333, "Input and Error Streams").

`io.BufferedReader` does the reading; here is only the raw stream below it, and what a read raises when the client
does not keep its word. A body that is cut off is never a shorter body (RFC 9112 §8).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from ..http.refusals import BODY_CUT_OFF, BODY_TIMEOUT, BODY_TOO_LARGE, SERVER_ERROR, Refusal

BUFFER_SIZE = 65536


class BodyError(OSError):
    """The body can't be read to its end; the request has failed, not the server. The client is told `refusal`."""

    refusal: Refusal = BODY_CUT_OFF


class ClientDisconnected(BodyError):
    """The client closed the connection in the middle of its request."""


class BodyTimeout(BodyError):
    """The client sent nothing for longer than `body_timeout`."""

    refusal = BODY_TIMEOUT


class BodyTooLarge(BodyError):
    """The body is larger than `limit_request_body`."""

    refusal = BODY_TOO_LARGE


class BodyMalformed(BodyError):
    """The chunked coding of the body is broken (RFC 9112 §7.1)."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal


class RequestOver(BodyError):
    """The application kept `wsgi.input` beyond its request: the connection is another request's by now."""

    refusal = SERVER_ERROR


class RawBody(io.RawIOBase):
    """The bytes of a body as `next_piece` gives them: decoded, at least one byte a call, b"" at the end.

    `next_piece` waits; what it raises (BodyError) is raised again by every later read, so that an application that
    ignores the first does not take the rest of nothing for a complete body.
    """

    def __init__(
        self, next_piece: Callable[[], bytes], read_into: Callable[[memoryview, bool], int] | None = None
    ) -> None:
        self._next_piece = next_piece
        self._read_into = read_into  # the same without a copy, where it can, and waits if it may; else it gives 0
        self._given = 0  # bytes so far
        self._rest: memoryview = memoryview(b"")
        self._ended = False
        self._error: BodyError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._error is not None:
            raise self._error
        # No further than to the next whole block: what reads by blocks then has nothing left in the buffer above, from
        # which it would be copied.
        room = memoryview(buffer)[: BUFFER_SIZE - self._given % BUFFER_SIZE]
        try:
            count, size = self._read_rest(room), len(room)
            if self._read_into is not None:
                while count < size and (more := self._read_into(room[count:], False)):
                    count += more
        except BodyError as error:
            self._error = error
            raise
        self._given += count
        return count

    def _read_rest(self, room: memoryview) -> int:
        if not self._rest and not self._ended:
            if self._read_into is not None and (count := self._read_into(room, True)):
                return count
            self._rest = memoryview(self._next_piece())
            self._ended = not self._rest
        count = min(len(self._rest), len(room))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def open_body(
    next_piece: Callable[[], bytes], read_into: Callable[[memoryview, bool], int] | None = None
) -> io.BufferedReader:
    """A `wsgi.input` that reads on demand: `read(n)` waits for n bytes or the end, `read1` gives what is there."""
    return io.BufferedReader(RawBody(next_piece, read_into), BUFFER_SIZE)

"""The body of one request on its way in: collected before the application runs, or handed to it as it arrives.

The worker's loop collects (`feed`) what must not occupy the application: small bodies whole, larger ones into a file
where `spool_request_body` says so. Whatever has not arrived when the application starts is read by `next_piece`.
"""

from __future__ import annotations

import contextlib
import tempfile
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Protocol

from ..http.refusals import Refused
from ..http.response import CONTINUE
from ..scoreboard.uploads import UploadState
from ..wsgi.input import BodyMalformed, BodyTimeout, BodyTooLarge, ClientDisconnected, RequestOver
from .connection import RECEIVE_SIZE, ClientGone

if TYPE_CHECKING:
    from ..scoreboard import SlotWriter
    from ..scoreboard.uploads import UploadRow
    from .connection import Connection
STRAIGHT_SIZE = 16384  # bytes of which the framing must know that they are the body's own, or they are read with it
TURNS = 16  # so often may be read without a wait, before others have their turn
OVER = "wsgi.input was read after its request had been answered"
DRAIN_LIMIT = 262144  # bytes of a body that the application left unread which are read to keep the connection
SMALL_BODY = 65536  # bytes: a sized body up to this arrives whole before the application runs


class Decoder(Protocol):
    """A body's framing (`http.body`): from bytes to (decoded, how many were used, whether that was the end).

    `ahead` bytes that come next are the body's own, and may be taken past it: then it is told (`skip`) how many were,
    and whether what it expects behind them (`between`) was there.
    """

    @property
    def ahead(self) -> int: ...

    @property
    def between(self) -> bytes: ...

    def feed(self, data: bytes) -> tuple[bytes, int, bool]: ...

    def skip(self, count: int, with_between: bool = False) -> bool: ...


class Incoming:
    """Owned by the connection's thread until the application runs, then by the thread that runs the application."""

    def __init__(
        self,
        connection: Connection,
        decoder: Decoder,
        *,
        length: int,
        limit: int,
        timeout_s: float,
        continue_expected: bool,
        slot: SlotWriter,
        row: UploadRow | None,
    ) -> None:
        self._connection = connection
        self._decoder = decoder
        self._limit = limit  # decoded bytes that are allowed; 0: any number
        self._timeout_s = timeout_s  # between bytes, while the application waits
        self._slot = slot
        self._row = row  # of the shared page, where the client gave its upload an id; until that has ended
        self._pieces: list[bytes] = []  # decoded, not yet given to anyone
        self._spool: IO[bytes] | None = None  # decoded, where bodies are collected in a file
        self._in_memory = 0  # bytes that need none
        self._directory: str | None = None  # of that file
        self.length = length  # bytes, -1 when the body is chunked
        self.received = 0  # decoded bytes so far
        self.waited_for = 0  # bytes that came while the application waited for them, as they came
        self._at_once = 0  # so often it may be read without having waited
        self.complete = False
        self.broken = False  # what follows on this connection can't be understood any more
        self.cut_off = False  # the client ended its side before the body was complete
        self.continue_expected = continue_expected  # the client may be waiting for 100 (RFC 9110 §10.1.1)
        self.abandoned = False  # it was answered without having been told to go on: it may send its body or not
        self.detached = False  # the request is over: what the application has kept of its input reads nothing any more

    def spool(self, in_memory: int, directory: str | None) -> None:
        """Collect the body in a seekable file, which goes to disk beyond `in_memory` bytes."""
        self._spool, self._in_memory, self._directory = BytesIO(), in_memory, directory

    def feed(self, data: bytes) -> bytes:
        """Decode what has arrived; gives back what follows the body. Raises Refused, BodyTooLarge, OSError (disk)."""
        try:
            decoded, used, complete = self._decoder.feed(data)
        except Refused:
            self.broken = True
            raise
        if decoded:
            self._count(len(decoded))
            if self._spool is not None:
                self._write(self._spool, decoded)
            else:
                self._pieces.append(decoded)
        self.complete = complete
        if complete:
            self._end_row(UploadState.DONE)
        return data[used:]

    def _write(self, spool: IO[bytes], decoded: bytes) -> None:
        """To memory, or to a file as soon as it is too much. Raises OSError.

        (`tempfile.SpooledTemporaryFile` lacks half of what files have, before Python 3.11.)
        """
        if isinstance(spool, BytesIO) and self.received > self._in_memory:
            collected = spool.getvalue()
            self._spool = spool = tempfile.TemporaryFile(dir=self._directory, prefix="unicorn-body-")  # noqa: SIM115
            spool.write(collected)
        spool.write(decoded)

    def _count(self, size: int) -> None:
        """So much of the body has come. Raises BodyTooLarge."""
        self.received += size
        if self._row is not None:
            self._row.receive(self.received)
        if self._limit and self.received > self._limit:
            self.broken = True
            raise BodyTooLarge(f"the request body is larger than limit_request_body ({self._limit} bytes)")

    def whole(self) -> IO[bytes]:
        """The complete body, ready to be read."""
        if self._spool is not None:
            spool, self._spool = self._spool, None
            spool.seek(0)
            return spool
        body = BytesIO(b"".join(self._pieces))
        self._pieces.clear()
        return body

    def next_piece(self) -> bytes:
        """The next decoded bytes, waited for; b"" at the end. Raises BodyError."""
        if self.detached:
            raise RequestOver(OVER)
        connection = self._connection
        while not self._pieces:
            if self.complete:
                return b""
            if self.cut_off:
                if self._spool is not None and (piece := self._spool.read(RECEIVE_SIZE)):
                    return piece
                raise self._disconnected()
            if connection.buffer:
                arrived = bytes(connection.buffer)
                connection.buffer.clear()
            else:
                arrived = self._wait()
            try:
                connection.buffer += self.feed(arrived)
            except Refused as refused:
                raise BodyMalformed(refused.refusal) from None
            self._slot.receive(connection.cell, self.received)
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return piece

    def answer_begins(self, said_all: bool) -> bool:
        """The head of the answer leaves, after which no 100 may; whether the connection can still be kept.

        Where the application has said all, it reads no more.
        """
        if self.continue_expected:
            self.continue_expected = False
            self.abandoned = True
        return not (self.is_unusable or (said_all and self.is_too_long))

    @property
    def is_unusable(self) -> bool:
        """Whether nobody can tell where the next request begins."""
        return self.abandoned or self.broken or self.cut_off

    @property
    def is_too_long(self) -> bool:
        """Whether more is known to come than is read for nobody."""
        return self.length - self.received > DRAIN_LIMIT

    def cut(self) -> None:
        """The client ended its side too early: what came can be read, and then the error."""
        self.cut_off = True
        self.give_up()
        if self._spool is not None:
            self._spool.seek(0)

    def _wait(self) -> bytes:
        while True:
            self._until_readable()
            try:
                arrived = self._connection.receive(RECEIVE_SIZE)
            except BlockingIOError:
                self._at_once = 0
                continue
            except OSError as error:
                raise self._disconnected(f": {error}") from None
            if not arrived:
                self.cut()
                raise self._disconnected()
            self._note_arrival(len(arrived), RECEIVE_SIZE)
            return arrived

    def read_into(self, room: memoryview, may_wait: bool) -> int:
        """The next bytes straight to where the application has its own: how many.

        0 where nothing is there, or `next_piece` must be asked, which tells what is wrong. Raises BodyTimeout,
        BodyTooLarge.
        """
        connection, decoder = self._connection, self._decoder
        ahead = decoder.ahead
        size = min(len(room), ahead)
        if size < STRAIGHT_SIZE or self._pieces or connection.buffer or self.cut_off or self.detached:
            return 0
        if not self._at_once:
            if not may_wait:
                return 0
            self._until_readable()
        between = decoder.between if size == ahead else b""
        beyond = bytearray(len(between))
        into: tuple[Any, ...] = (room[:size], beyond)
        try:
            arrived = connection.sock.recvmsg_into(into)[0]
        except BlockingIOError:
            self._at_once = 0
            return 0
        except OSError:
            arrived = 0
        if not arrived:
            self.cut()
            return 0
        self._note_arrival(arrived, size + len(between))
        count, as_expected = arrived, False
        if arrived > size:
            count, as_expected = size, beyond == between
            if not as_expected:
                connection.buffer += beyond[: arrived - size]
        self._count(count)
        self._slot.receive(connection.cell, self.received)
        if decoder.skip(count, as_expected):
            self.complete = True
            self._end_row(UploadState.DONE)
        return count

    def _until_readable(self) -> None:
        """Wait, unless there is more most likely. Raises BodyTimeout, ClientGone.

        And RequestOver, where a thread waited that the application has left behind: what comes then is not its own.
        """
        connection = self._connection
        try:
            if self.continue_expected:
                self.continue_expected = False
                connection.send(CONTINUE)
            is_readable = self._at_once or connection.wait_readable(self._timeout_s)
        except ClientGone:
            self._note_told()
            raise
        if self.detached:
            raise RequestOver(OVER)
        if not is_readable:
            raise BodyTimeout(f"the client sent nothing of its request body for {self._timeout_s:g} seconds")

    def _note_arrival(self, count: int, most: int) -> None:
        """More may be there if so much came as there was room for. But others have their turn now and then, and what is
        unsent leaves where this waits.
        """
        self.waited_for += count
        if count < most or self._connection.output:
            self._at_once = 0
        else:
            self._at_once = (self._at_once or TURNS) - 1

    def _disconnected(self, why: str = "") -> ClientDisconnected:
        """What the application is told now."""
        self._note_told()
        of = f" of {self.length}" if self.length >= 0 else ""
        return ClientDisconnected(
            f"the client closed the connection after {self.received}{of} bytes of its request body{why}"
        )

    def _note_told(self) -> None:
        if self._connection.response is not None:
            self._connection.response.note_told()

    def drain(self) -> None:
        """From now on the rest is only read to be thrown away, up to a limit."""
        self._limit = self.received + DRAIN_LIMIT

    def give_up(self) -> None:
        """No more of it is read: the shared page says so."""
        self._end_row(UploadState.ERROR)

    def _end_row(self, state: UploadState) -> None:
        if self._row is not None:
            self._row.end(state)
            self._row = None

    def discard(self) -> None:
        """Let go of what was collected."""
        self._pieces.clear()
        if self._spool is not None:
            with contextlib.suppress(OSError):  # it flushes, and the disk may be full
                self._spool.close()
            self._spool = None

"""When a request that has a body starts: as soon as it may no longer occupy the application without need.

A small body of known size is collected whole; any body where `spool_request_body` says so; of others the application
sees the first piece while the rest is still arriving. What it leaves unread is read, and thrown away, up to a bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO, NamedTuple, Protocol

from ..http.body import ChunkedBody, SizedBody
from ..http.parser import Head
from ..http.refusals import BODY_TIMEOUT, BODY_TOO_LARGE, NO_ROOM_FOR_BODY, Refused
from ..http.response import CONTINUE
from ..scoreboard.uploads import UploadState, upload_id
from ..wsgi.input import BodyTooLarge, open_body
from .connection import BODY, ClientGone, Connection
from .deadlines import FIRST_PIECE_S, Deadlines
from .exchange import Exchange
from .incoming import SMALL_BODY, Incoming

monotonic = time.monotonic

RunRequest = Callable[[Connection, Head, IO[bytes], int], None]


class BodyRules(NamedTuple):
    """What may come in as a body, and where it is collected."""

    limit: int  # bytes, 0: any number
    spool: int | None  # collect every body before the application runs; beyond so many bytes in a file
    directory: str | None  # of that file
    trailer_fields: int  # how many a chunked body may have, and of which size in bytes
    trailer_field_size: int


class Keeper(Protocol):
    """Who owns the connections."""

    def refuse(self, connection: Connection, refused: Refused) -> None: ...

    def settle(self, connection: Connection) -> None: ...

    def drop(self, connection: Connection) -> None: ...


class Bodies:
    """Bodies on their way in, of all connections of a worker. Owned by its loop's thread."""

    def __init__(
        self,
        keeper: Keeper,
        exchange: Exchange,
        rules: BodyRules,
        deadlines: Deadlines,
        run_request: RunRequest,
    ) -> None:
        self._keeper = keeper
        self._exchange = exchange
        self._rules = rules
        self._deadlines = deadlines
        self._run_request = run_request

    def run_requests_by(self, run_request: RunRequest) -> None:
        """From now on the application runs by another function."""
        self._run_request = run_request

    def begin(self, connection: Connection, head: Head, rest: bytes) -> None:
        """The head is complete, a body follows."""
        rules, length, slot = self._rules, head.body, self._exchange.slot
        upload = upload_id(head.line.query, head.block.environ.get("HTTP_X_PROGRESS_ID", ""))
        row = slot.begin_upload(upload, length, monotonic()) if upload is not None else None
        if rules.limit and length > rules.limit:
            if row is not None:
                row.end(UploadState.ERROR)
            self._keeper.refuse(connection, Refused(BODY_TOO_LARGE, head.line.raw))
            return
        incoming = Incoming(
            connection,
            SizedBody(length) if length > 0 else ChunkedBody(rules.trailer_fields, rules.trailer_field_size),
            length=length,
            limit=rules.limit,
            timeout_s=self._deadlines.body_s,
            continue_expected=head.block.expect_continue,
            slot=slot,
            row=row,
        )
        connection.head, connection.incoming = head, incoming
        if rules.spool is not None:
            incoming.spool(rules.spool, rules.directory)
            if incoming.continue_expected and not rest:
                incoming.continue_expected = False
                try:
                    connection.send(CONTINUE)
                except ClientGone:
                    self._keeper.drop(connection)
                    return
        self.more(connection, rest)

    def more(self, connection: Connection, data: bytes) -> None:
        """Collect, until the application can start."""
        head, incoming = connection.head, connection.incoming
        assert head is not None
        assert incoming is not None
        try:
            connection.buffer += incoming.feed(data)
            body = incoming.whole() if incoming.complete else None
        except Refused as refused:
            self._keeper.refuse(connection, Refused(refused.refusal, head.line.raw))
            return
        except BodyTooLarge:
            self._keeper.refuse(connection, Refused(BODY_TOO_LARGE, head.line.raw))
            return
        except OSError as error:
            self._exchange.complain("A request body can't be collected (see tmp_upload_dir)", error)
            self._keeper.refuse(connection, Refused(NO_ROOM_FOR_BODY, head.line.raw))
            return
        if incoming.received:
            incoming.continue_expected = False
        spooled = self._rules.spool is not None
        if body is not None:
            connection.head = None
            self._run_request(connection, head, body, incoming.received if spooled else -1)
        elif spooled or (0 < head.body <= SMALL_BODY and not incoming.continue_expected):
            self._deadlines.start(connection, BODY, monotonic())
        elif incoming.received or incoming.continue_expected:
            self.stream(connection)
        else:
            self._deadlines.start(connection, BODY, monotonic())
            connection.deadline = connection.since + FIRST_PIECE_S

    def stream(self, connection: Connection) -> None:
        """Start the application now; it reads the rest by itself."""
        head, incoming = connection.head, connection.incoming
        assert head is not None
        assert incoming is not None
        connection.head = None
        self._run_request(connection, head, open_body(incoming.next_piece, incoming.read_into), -1)

    def discard(self, connection: Connection, data: bytes) -> None:
        """More of a body that nobody wants any more."""
        incoming = connection.incoming
        if incoming is None:
            return
        try:
            connection.buffer += incoming.feed(data)
        except (Refused, OSError):
            # Too much, or nonsense: close, but let the client read its answer before (RFC 9112 §9.6).
            connection.close_when_sent = connection.linger = True
            incoming.complete = True
        incoming.discard()
        if incoming.complete:
            connection.incoming = None
            self._keeper.settle(connection)

    def overdue(self, connection: Connection, head: Head) -> None:
        """The client has sent nothing for too long: refuse what was to be collected, start what is to be streamed."""
        streamed = self._rules.spool is None and not 0 < head.body <= SMALL_BODY
        if streamed:
            self.stream(connection)
        else:
            self._keeper.refuse(connection, Refused(BODY_TIMEOUT, head.line.raw))

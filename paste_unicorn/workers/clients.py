"""Many clients in one thread: reads heads and bodies, writes what is unsent, and keeps the deadlines.

Everything that a loop worker does except running the application: for that it calls `run_request`, and gets the
connection back by `finish`. A slow client costs a descriptor and some memory here, never the application.

Hot: `readable`, `take` and `finish` run once a request; the normal case goes straight through each.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from io import BytesIO

from ..http.parser import HeadParser
from ..http.refusals import HEAD_TIMEOUT, Refused
from ..process.fork import no_fork
from ..wsgi.gateway import Response
from .bodies import Bodies, BodyRules, RunRequest
from .connection import BODY, DRAINING, HEAD, IDLE, LINGERING, RECEIVE_SIZE, WRITING, ClientGone, Connection
from .deadlines import Deadlines
from .exchange import Exchange
from .lingering import Lingering
from .listening import reset_on_close
from .loop import READABLE, WRITABLE, EpollLoop, SelectorLoop
from .switching import Taken
from .waited import Door

monotonic = time.monotonic

# Bytes of an answer that a client may still be reading when we close: unseen bytes of its own would turn a plain
# close into a reset, which takes the rest of the answer along.
LONG_ANSWER = 16384
ALWAYS_PARSE_BELOW = 16384  # a longer unfinished head is looked at again only where its end may have come


def has_enough(connection: Connection) -> bool:
    """Whether so many requests in a row wait for their turn that more of them have to wait with the client."""
    return len(connection.buffer) >= RECEIVE_SIZE


class Clients:
    """The open connections of one worker. Owned by its loop's thread."""

    def __init__(
        self,
        loop: EpollLoop | SelectorLoop,
        parser: HeadParser,
        exchange: Exchange,
        deadlines: Deadlines,
        rules: BodyRules,
        run_request: RunRequest,
    ) -> None:
        self._loop = loop
        self._parse = parser.parse
        self._exchange = exchange
        self._deadlines = deadlines
        self._keepalive_s = deadlines.keepalive_s
        self._bodies = Bodies(self, exchange, rules, deadlines, run_request)
        self._run_request = run_request
        self.lingering = Lingering(deadlines.send_s)
        self.door: Door | None = None  # in front of the application, where requests must not wait for too long
        self.by_fd: dict[int, Connection] = {}
        self.bytes_in = 0
        self.pending: deque[Connection] = deque()  # have their next request in the buffer already

    def run_requests_by(self, run_request: RunRequest) -> None:
        """From now on the application runs by another function."""
        if self.door is not None:
            self.door.run = run_request
            run_request = self.door.enter
        self._run_request = run_request
        self._bodies.run_requests_by(run_request)

    def turn_away_after(self, limit_s: float) -> Door:
        """Refuse requests that have waited for longer."""
        self.door = Door(limit_s, self._exchange, self.refuse)
        self.run_requests_by(self._run_request)
        return self.door

    def add(self, connection: Connection) -> None:
        """A new client, whom the loop does not watch yet."""
        self.by_fd[connection.fd] = connection
        self._deadlines.start(connection, HEAD, connection.since)

    def welcome(self, connection: Connection) -> None:
        """Look whether a new client's request is there already: on a busy server it is, and may need no watching.

        The watcher may have passed it on meanwhile.
        """
        fd, buffer = connection.fd, connection.buffer
        if self.by_fd.get(fd) is not connection:
            return
        if buffer:  # it came from a sibling, with what that had read
            data = bytes(buffer)
            buffer.clear()
            self.take(connection, data)
        else:
            self.readable(connection)
        if not connection.watched and self.by_fd.get(fd) is connection:
            self.watch(connection)

    # -- what arrives ----------------------------------------------------------------------------------------------

    def readable(self, connection: Connection) -> None:
        """Something has arrived, or the client's end."""
        try:
            data = connection.receive(RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            self.drop(connection)
            return
        phase = connection.phase
        self.bytes_in += len(data)
        if not data:
            self._ended(connection)
        elif phase is IDLE:
            if connection.buffer:
                self._more_in_a_row(connection, data)
            else:
                self.take(connection, data)
        elif phase is HEAD:
            if connection.buffer:
                self._more_of_head(connection, data)
            else:
                self.take(connection, data)
        elif phase is BODY:
            self._bodies.more(connection, data)
        elif phase is LINGERING:
            self.lingering.arrived(connection)
        else:
            self._bodies.discard(connection, data)

    def take(self, connection: Connection, data: bytes, seen: int = 0) -> None:
        """Bytes that begin with a request, `seen` of which the parser found incomplete before."""
        try:
            head = self._parse(data, seen)
        except Refused as refused:
            self.refuse(connection, refused)
            return
        if head is None:
            self._wait_for_head(connection, data)
            return
        if head.end < len(data):
            rest = data[head.end :]
            if head.body:
                self._bodies.begin(connection, head, rest)
                return
            connection.buffer += rest
        elif head.body:
            self._bodies.begin(connection, head, b"")
            return
        self._run_request(connection, head, BytesIO(), -1)

    def _wait_for_head(self, connection: Connection, data: bytes) -> None:
        connection.buffer += data
        connection.checked = len(connection.buffer)
        if connection.phase is not HEAD:
            self._deadlines.start(connection, HEAD, monotonic())

    def _more_of_head(self, connection: Connection, data: bytes) -> None:
        """A head that comes in small pieces must not be parsed from its beginning for each of them."""
        buffer = connection.buffer
        searched = max(0, len(buffer) - 3)
        buffer += data
        size = len(buffer)
        if size > ALWAYS_PARSE_BELOW and size < 2 * connection.checked and buffer.find(b"\r\n\r\n", searched) < 0:
            return
        data = bytes(buffer)
        buffer.clear()
        self.take(connection, data, connection.checked)

    def _more_in_a_row(self, connection: Connection, data: bytes) -> None:
        connection.buffer += data
        self._bound_row(connection)

    def _bound_row(self, connection: Connection) -> None:
        """Requests that wait for their turn: beyond a bound they wait with the client, whom TCP tells to."""
        if has_enough(connection) and connection.watched:
            self._loop.remove(connection.fd)
            connection.watched = 0

    def _line_up(self, connection: Connection) -> None:
        """Its next request is here already. (It may have been watched while the one before ran.)"""
        self.pending.append(connection)
        self._bound_row(connection)

    def next_in_a_row(self, connection: Connection) -> None:
        """The turn of a connection whose next request is in its buffer already (RFC 9112 §9.3.2)."""
        buffer = connection.buffer
        if self.by_fd.get(connection.fd) is not connection or connection.phase is not IDLE or not buffer:
            return
        data = bytes(buffer)
        buffer.clear()
        self.take(connection, data)
        waits = connection.phase is IDLE and has_enough(connection)
        if not connection.watched and connection.fd in self.by_fd and not waits:
            self._watch(connection, READABLE)

    def _ended(self, connection: Connection) -> None:
        """The client has closed its side. After a whole request that may be a half-close, which gets its answer."""
        if connection.phase is BODY and connection.incoming is not None:
            connection.incoming.cut()
            self._bodies.stream(connection)
        elif connection.phase is IDLE and connection.buffer:
            return  # pipelined requests are waiting for their turn; the end will be reported again
        elif connection.phase is WRITING:
            connection.close_when_sent = True
            if connection.incoming is not None:
                connection.incoming.give_up()
                connection.incoming = None
            self._watch(connection, WRITABLE)
        else:
            self.drop(connection)

    # -- what leaves -----------------------------------------------------------------------------------------------

    def finish(self, connection: Connection, response: Response) -> None:
        """The application is done with this request: what next on this connection?"""
        incoming = connection.incoming
        if incoming is not None:
            self.bytes_in += incoming.waited_for
            incoming.detached = True
            if incoming.complete:
                incoming.discard()
                incoming = connection.incoming = None
        if response.keep and incoming is None and not connection.output:
            if connection.buffer:
                self._line_up(connection)
            connection.checked = 0
            connection.phase = IDLE
            connection.since = now = self._exchange.now
            connection.deadline = now + self._keepalive_s
            return
        if not response.complete:
            self._cut(connection, response)
            return
        connection.close_when_sent = not response.keep
        if response.body_sent > LONG_ANSWER:
            connection.linger = True
        if incoming is not None:
            incoming.discard()
            if incoming.is_unusable or incoming.is_too_long:
                connection.close_when_sent = True
            elif not connection.close_when_sent:
                incoming.drain()
        self.settle(connection)

    def settle(self, connection: Connection) -> None:
        """Enter the phase that fits what is unsent, unread or already here."""
        if connection.output:
            connection.limits.let_go(connection)
        if connection.fd not in self.by_fd:
            return
        if connection.close_when_sent and not connection.output:
            self._say_goodbye(connection)
            return
        now = monotonic()
        draining = connection.incoming is not None and not connection.close_when_sent
        if connection.output:
            self._watch(connection, WRITABLE | (READABLE if draining else 0))
            self._deadlines.start(connection, WRITING, now)
            return
        self._watch(connection, READABLE)
        if draining:
            self._deadlines.start(connection, DRAINING, now)
            if connection.buffer:
                data = bytes(connection.buffer)
                connection.buffer.clear()
                self._bodies.discard(connection, data)
            return
        self._deadlines.start(connection, IDLE, now)
        connection.checked = 0
        if connection.buffer:
            self._line_up(connection)

    def readable_and_writable(self, connection: Connection) -> None:
        """Both: a client that still sends what nobody wants any more, and takes its answer."""
        self.readable(connection)
        if connection.fd in self.by_fd:
            self.writable(connection)

    def writable(self, connection: Connection) -> None:
        """The kernel takes more of what is unsent."""
        try:
            if connection.flush():
                self.settle(connection)
            else:
                self._deadlines.start(connection, WRITING, monotonic())
        except ClientGone:
            self.drop(connection)

    def refuse(self, connection: Connection, refused: Refused, how: str = "refused") -> None:
        """Answer without the application, then close (RFC 9112 §9.6: after the client could read the answer)."""
        self._exchange.refuse(connection, refused, how)
        connection.close_when_sent = connection.linger = True
        if connection.incoming is not None:
            connection.incoming.give_up()
            connection.incoming.discard()
            connection.incoming = None
        self.settle(connection)

    def _say_goodbye(self, connection: Connection) -> None:
        """All is sent. If the client may still be sending, a plain close would reset what it has not read yet."""
        try:
            connection.sock.shutdown(1)  # SHUT_WR: what waits for the end leaves, where a close might throw it away
        except OSError:
            self.drop(connection)
            return
        if not (connection.linger or connection.buffer or connection.incoming is not None):
            self.drop(connection)
            return
        connection.buffer.clear()
        if connection.incoming is not None:
            connection.incoming.give_up()
        self._watch(connection, READABLE)
        now = monotonic()
        look_at = self.lingering.begin(connection, now)
        self._deadlines.start(connection, LINGERING, now)
        connection.deadline = look_at

    def _cut(self, connection: Connection, response: Response) -> None:
        """The answer can't be completed: the client must be able to tell."""
        if response.ends_with_connection:
            reset_on_close(connection.sock)
        self.drop(connection)

    def _watch(self, connection: Connection, events: int) -> None:
        if not connection.watched:
            self._loop.add(connection.fd, events)
        elif connection.watched != events:
            self._loop.modify(connection.fd, events)
        connection.watched = events

    def watch(self, connection: Connection) -> None:
        """Wait for what the client sends next."""
        self._watch(connection, READABLE)

    def drop(self, connection: Connection) -> None:
        """Close the connection now."""
        with no_fork:
            self.forget(connection)
            connection.close()

    def forget(self, connection: Connection) -> None:
        """It is no longer among ours, nor watched."""
        fd = connection.fd
        if self.by_fd.get(fd) is connection:  # the number may be another one's by now
            del self.by_fd[fd]
            if connection.phase is LINGERING:
                self.lingering.forget(connection)
            if connection.watched:
                self._loop.remove(fd)
                connection.watched = 0

    def abandon(self, connection: Connection) -> None:
        """Nobody waits any longer for its application, which still has it: its client sees the end now."""
        self.forget(connection)
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    def keep(self, connection: Connection, events: int) -> None:
        """It is among ours, and watched for these events, if any."""
        self.by_fd[connection.fd] = connection
        if events:
            self._watch(connection, events)

    def descriptors(self) -> list[int]:
        """All that are the server's, and not an application's that has taken a connection over.

        In a child, where the greenlets of other requests go on: theirs too.
        """
        by_fd = self.by_fd.items()
        return [fd for fd, one in by_fd if one.is_elsewhere or not isinstance(one.sock, Taken)]

    # -- time ------------------------------------------------------------------------------------------------------

    def overdue(self, connection: Connection) -> None:
        """It has been in its phase for too long, or it is time to look."""
        phase = connection.phase
        if self.by_fd.get(connection.fd) is not connection:
            return
        if phase is HEAD and connection.buffer:
            self.refuse_slow_head(connection)
        elif phase is BODY and connection.head is not None:
            self._bodies.overdue(connection, connection.head)
        elif phase is LINGERING and (look_at := self.lingering.look(connection, monotonic())):
            connection.deadline = look_at
        else:
            self.drop(connection)

    def make_room(self, connection: Connection) -> None:
        """It goes, so that another one may come."""
        if connection.phase is HEAD:
            self.refuse_slow_head(connection)
        self.drop(connection)

    def refuse_slow_head(self, connection: Connection) -> None:
        """408 for a client whose request head does not come to an end."""
        self.refuse(connection, Refused(HEAD_TIMEOUT, bytes(connection.buffer[:256]).split(b"\r\n")[0]))

"""One client: its socket, what has arrived and not been used, what has not been sent, and until when it may take.

Owned by the worker's one thread, or by the one that runs its request. What is unsent may be somebody else's to send
while an application goes on (`SendLimits.on_held`): it is taken back before anything is done with it here. `output` is
empty only when the kernel has all of it, so who sees that need take nothing back.

Hot: `send` runs once a request.
"""

from __future__ import annotations

import os
import socket
from _socket import socket as RawSocket
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from select import POLLIN, POLLOUT, poll  # bound before a worker class may replace them
from socket import MSG_PEEK
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from ..wsgi.file_wrapper import FileRegion

if TYPE_CHECKING:
    from ..http.parser import Head
    from ..wsgi.environ import Environ
    from ..wsgi.gateway import Response
    from .incoming import Incoming

RECEIVE_SIZE = 65536
FLUSH_SIZE = 16 << 20  # bytes that one client gets before others have their turn, however fast it reads
# One segment instead of two: a tenth of a short connection's CPU time. The kernel waits for the end for 200 ms at most.
WITH_THE_END = getattr(socket, "MSG_MORE", 0)
GATHERED = 256  # parts that one call sends; the kernel takes 1024 (IOV_MAX)


class Phase(IntEnum):
    """What a connection waits for."""

    HEAD = 1  # the rest of a request head, or the first one
    IDLE = 2  # the next request of a client that was answered before
    BODY = 3  # more of a body, before the application runs
    RUNNING = 4  # the application
    WRITING = 5  # the client, to take what is unsent
    DRAINING = 6  # the rest of a body that the application did not read
    LINGERING = 7  # the client, to close: we have said all that we will


# Under their own names too: to reach a member through its enum costs a tenth of a microsecond (Python 3.11).
HEAD, IDLE, BODY, RUNNING, WRITING, DRAINING, LINGERING = Phase


# What most connections have to send; one of their own would be 760 bytes for each.
_NOTHING: deque[bytes | memoryview | FileRegion] = deque(maxlen=0)


class ClientGone(ConnectionError):
    """The client closed the connection, or takes nothing any more: the rest of the answer has no reader."""


def wait_in_thread(fd: int, readable: bool, writable: bool, timeout_s: float) -> bool:
    """Block this thread until the descriptor is ready; False after `timeout_s`."""
    waiting = poll()
    waiting.register(fd, POLLIN * readable | POLLOUT * writable)
    return bool(waiting.poll(timeout_s * 1000))


class MakesEnvirons(Protocol):
    """For the requests of a listener, or for the one that runs."""

    def make(self, head: Head, peer: dict[str, str]) -> Environ: ...


def _nobody_else(connection: Connection) -> None:
    """Nobody else sends on this connection."""


class SendLimits(NamedTuple):
    """How far the application may run ahead of a client that reads slowly, and how it waits for one."""

    response_buffer: int  # bytes of an answer that may wait here before the application has to
    send_timeout_s: float  # how long the application waits for a client that takes nothing
    wait: Callable[[int, bool, bool, float], bool] = wait_in_thread
    last_flags: int = 0  # of send(2), for what is last: WITH_THE_END where nothing comes between that and the end
    on_held: Callable[[Connection], None] = _nobody_else  # told that something waits here, and the application goes on
    take_back: Callable[[Connection], None] = _nobody_else  # until then, who was told so may send it
    let_go: Callable[[Connection], None] = _nobody_else  # until then for good: the descriptor may be closed


class Connection:
    __slots__ = (
        "buffer",
        "cell",
        "checked",
        "close_when_sent",
        "deadline",
        "environs",
        "fd",
        "half_closed",
        "has_left",
        "head",
        "incoming",
        "limits",
        "linger",
        "output",
        "peer",
        "peer_host",
        "phase",
        "ready_since",
        "receive",
        "response",
        "since",
        "sock",
        "unsent",
        "watched",
    )

    is_elsewhere: ClassVar[bool] = False  # its request is another process's

    def __init__(
        self, sock: RawSocket, peer: dict[str, str], environs: MakesEnvirons, limits: SendLimits, now: float
    ) -> None:
        self.sock = sock  # non-blocking, always
        self.fd = sock.fileno()
        self.receive = sock.recv  # bound once: it is called for each request
        self.peer = peer  # as the environ wants it
        self.peer_host = peer["REMOTE_ADDR"].encode("latin-1", "replace")  # as the scoreboard wants it
        self.limits = limits
        self.environs = environs  # what makes the environs of this listener's requests
        self.buffer = bytearray()  # received, not used yet
        self.checked = 0  # size of the buffer when the parser last looked at it
        self.phase = HEAD
        self.since = now  # when the present phase began
        self.ready_since = 0.0  # when a sibling saw that something can be read; of this phase if not before `since`
        self.deadline = 0.0  # when the phase must be over, in monotonic seconds
        self.head: Head | None = None  # of the request whose body is arriving
        self.incoming: Incoming | None = None  # that body
        self.output: deque[bytes | memoryview | FileRegion] = _NOTHING  # unsent, in order
        self.unsent = 0  # bytes in `output` that are held in memory (file regions are not)
        self.close_when_sent = False
        self.linger = False  # the client may still be sending: read on for a while before closing
        self.watched = 0  # the events that the loop was asked for
        self.cell = 0  # of the scoreboard, for a request that runs
        self.response: Response | None = None  # to a request that runs
        self.half_closed = False  # the client had ended its side when its answer began: it waits for that, or has gone
        self.has_left = False  # nobody waits for the answer of the application that runs

    def send(self, data: bytes, is_last: bool = False) -> None:
        """Give all of `data` to the kernel or, where it takes no more, to `output`. Raises ClientGone."""
        if self.output and not self._flush_own():
            self._hold(data)
            return
        try:
            sent = self.sock.send(data, self.limits.last_flags) if is_last else self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientGone(str(error)) from None
        if sent < len(data):
            self._hold(memoryview(data)[sent:])

    def send_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """The same for parts in a row: to join large ones would be to copy them."""
        if not self.output or self._flush_own():
            try:
                sent = self.sock.sendmsg(parts)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise ClientGone(str(error)) from None
            parts = _behind(parts, sent)
            if not parts:
                return
        self._hold(*parts)

    def _hold(self, *parts: bytes | memoryview) -> None:
        """Keep what the kernel did not take; where that is too much, wait for the client. Raises ClientGone."""
        self.limits.take_back(self)  # who has just sent all that was held may not be done with it
        for part in parts:
            self._append(part)
            self.unsent += len(part)
        while self.unsent > self.limits.response_buffer and not self.flush():
            self._wait_writable()
        if self.output:
            self.limits.on_held(self)

    def _wait_writable(self) -> None:
        if not self.limits.wait(self.fd, False, True, self.limits.send_timeout_s):
            raise ClientGone(f"it took nothing of the answer for {self.limits.send_timeout_s:g} seconds")

    def send_aside(self, data: bytes) -> None:
        """The same from where nobody may wait; for little."""
        self._append(data)
        self.unsent += len(data)
        self.flush()

    def send_file(self, region: FileRegion) -> None:
        """The same for a part of a file; the descriptor is duplicated, since the application may close its own.

        It is the end of an answer: what the kernel does not take is left to the loop.
        """
        self.limits.take_back(self)
        self._append(FileRegion(os.dup(region.fd), region.offset, region.length))
        self.flush()

    def _append(self, part: bytes | memoryview | FileRegion) -> None:
        if self.output is _NOTHING:
            self.output = deque()
        self.output.append(part)

    def _flush_own(self) -> bool:
        self.limits.take_back(self)
        return self.flush()

    def flush(self) -> bool:
        """Send what the kernel takes now, up to FLUSH_SIZE; says whether all is sent. Raises ClientGone.

        By whoever has what is unsent.
        """
        output, room = self.output, FLUSH_SIZE
        try:
            while output and room > 0:
                part = output[0]
                if isinstance(part, FileRegion):
                    room -= self._flush_file(part, room)
                    continue
                sent, was_all = self._flush_memory()
                if not was_all:
                    return False  # the kernel has no more room: it would only say so once more
                room -= sent
        except BlockingIOError:
            return False
        except OSError as error:
            raise ClientGone(str(error)) from None
        return not output

    def flush_all(self) -> None:
        """Wait until all is sent. Raises ClientGone."""
        self.limits.let_go(self)
        while not self.flush():
            self._wait_writable()

    def _flush_memory(self) -> tuple[int, bool]:
        """One `sendmsg`, of what comes before the next part of a file; bytes sent, and whether those were all."""
        output = self.output
        parts: list[bytes | memoryview] = []
        for part in output:
            if isinstance(part, FileRegion) or len(parts) == GATHERED:
                break
            parts.append(part)
        sent = self.sock.sendmsg(parts)
        self.unsent -= sent
        left = _behind(parts, sent)
        count = len(parts) - len(left)
        if left:
            output[count] = left[0]
        for _ in range(count):
            output.popleft()
        return sent, not left

    def _flush_file(self, region: FileRegion, room: int) -> int:
        """One `sendfile`; bytes that were sent. A file that has shrunk meanwhile can't be sent to its end: the client
        must see that.
        """
        sent = os.sendfile(self.fd, region.fd, region.offset, min(region.length, room)) if region.length else 0
        if sent == region.length:
            os.close(region.fd)
            self.output.popleft()
        elif sent == 0:
            raise ClientGone("the file that was being sent became shorter")
        else:
            self.output[0] = FileRegion(region.fd, region.offset + sent, region.length - sent)
        return sent

    def wait_readable(self, timeout_s: float) -> bool:
        """Block until something, or the end, has arrived; False after `timeout_s`.

        What is unsent leaves meanwhile (`SendLimits.on_held`): a client may want to read before it sends more.
        """
        return self.limits.wait(self.fd, True, False, timeout_s)

    def close(self) -> None:
        """End the connection, and let go of the descriptors. Whoever registered the socket with an epoll object
        unregisters it before.
        """
        self.limits.let_go(self)
        for part in self.output:
            if isinstance(part, FileRegion):
                os.close(part.fd)
        self.output = _NOTHING
        self.sock.close()
        if self.incoming is not None:
            self.incoming.give_up()
            self.incoming.discard()
            self.incoming.detached = True
            self.incoming = None

    def release(self) -> None:
        """Close our descriptor of a connection that lives on in another process: no `shutdown`, which would end it."""
        self.limits.let_go(self)
        self.sock.close()

    def has_ended(self) -> bool:
        """Whether the client has closed its side, with nothing before it that was not read."""
        try:
            return not self.sock.recv(1, MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True


def _behind(parts: Sequence[bytes | memoryview], count: int) -> list[bytes | memoryview]:
    """What is left of the parts behind their first `count` bytes."""
    for index, part in enumerate(parts):
        size = len(part)
        if count < size:
            return [memoryview(part)[count:] if count else part, *parts[index + 1 :]]
        count -= size
    return []

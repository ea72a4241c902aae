"""A connection that an application takes over, to go on in another protocol (RFC 9110 §7.8): WebSocket, mostly.

Who asks for that has the connection's socket in the environ, as `gunicorn.socket`. The first call that does something
with it takes the connection over: from then on the server neither reads nor writes there, nor watches it, and sends
nothing of what the application returns. When that has returned the connection is closed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import threading
from collections.abc import Callable, Iterator
from socket import MSG_PEEK, SHUT_RDWR
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..http.parser import Head
    from ..wsgi.environ import Environ
    from ..wsgi.gateway import Response
    from .connection import Connection
    from .exchange import Exchange

KEY = "gunicorn.socket"

# Calls that take a connection over, and need nothing else of us. Those that only ask (getpeername, getsockopt, ...) or
# set an option don't.
_PLAIN = ("makefile", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "sendfile", "sendmsg", "setblocking",
          "settimeout")  # fmt: skip


class Switching:
    """How the requests of one worker run that ask for another protocol. `library`: the class of its sockets."""

    def __init__(self, library: type[Any]) -> None:
        self._socket = make_class(library)

    def run(
        self, exchange: Exchange, connection: Connection, head: Head, body: IO[bytes], length: int
    ) -> Response | None:
        """As `Exchange.run`, which notes responses. None: the connection was taken over, and is to be dropped."""
        offer = Offer(connection, self._socket)
        connection.environs = offer
        try:
            response = exchange.run(connection, head, body, head.keep, length)
        finally:
            connection.environs = offer.environs
            was_taken = offer.end()
        return None if was_taken else response


class Taken:
    """In the place of a connection's socket that was taken over: all that the server does with it is to close it."""

    def __init__(self, sock: Any) -> None:
        self.close = sock.let_go

    def shutdown(self, how: int) -> None:
        """That was done."""

    def recv(self, size: int, flags: int = 0) -> NoReturn:
        """Asked by another thread, which has the loop, and did not know."""
        raise OSError(errno.EBADF, "this connection is the application's")


class Offer:
    """One request's socket. For as long as that runs it stands where the connection has what makes its environs."""

    def __init__(self, connection: Connection, socket_class: type[Any]) -> None:
        self.environs = connection.environs
        self._connection = connection
        self._class = socket_class
        self._socket: Any = None  # kept: the descriptor must not be closed by who throws the environ away

    def make(self, head: Head, peer: dict[str, str]) -> Environ:
        """The environ, with the socket in it. Raises Refused."""
        environ = self.environs.make(head, peer)
        environ[KEY] = self._socket = self._class(self)
        return environ

    @property
    def sock(self) -> Any:
        """The connection's own."""
        return self._connection.sock

    def take(self) -> bytes:
        """From now on the connection is the application's; gives what was read behind the head of its request.

        Raises GatewayError where the answer has begun, ClientGone.
        """
        connection, response = self._connection, self._connection.response
        assert response is not None
        connection.flush_all()  # interim answers
        response.hand_over()
        connection.sock.detach()
        connection.sock = Taken(self._socket)  # type: ignore[assignment]
        arrived = bytes(connection.buffer)
        connection.buffer.clear()
        return arrived

    def sent(self, count: int) -> int:
        """So many more bytes were sent, for the books; how many in all."""
        response = self._connection.response
        if response is None:
            return 0
        response.body_sent += count
        return response.body_sent

    def stay(self) -> None:
        """In a child that the application has forked: no further, where another request than the child's has waited."""
        if self._connection.is_elsewhere:
            self._connection.send(b"")

    def end(self) -> bool:
        """The request is over. Whether the connection was taken over; then that ends too."""
        return self._socket is not None and bool(self._socket.end())


def make_class(library: type[Any]) -> type[Any]:
    """Sockets to be offered: those of the library that waits, with some calls in between."""

    class OfferedSocket(library):  # type: ignore[misc]
        """A connection's socket, blocking as its library does it. What has arrived already can be read first.

        Its descriptor is closed when the server lets go of the connection, even if the application closes it earlier:
        until then the number stands for this connection. Whoever still waits in another thread is woken by `shutdown`,
        and it is the last of them who closes: else the number might be another connection's where they read on.
        """

        def __init__(self, offer: Offer) -> None:
            own = offer.sock
            super().__init__(own.family, own.type, own.proto, fileno=own.fileno())
            self._offer = offer
            self._lock = threading.RLock()  # guards what follows; and some calls call others
            self._take: Callable[[], bytes] | None = offer.take  # None: it was taken, or the request is over
            self._arrived = b""  # before it was taken, and not read yet
            self._users = 0  # threads, or greenlets, in one of its calls
            self._is_over = False  # the request
            self._is_let_go = False  # by the server
            self._is_shared = False  # there is another descriptor of the connection, which is to live on

        def __repr__(self) -> str:
            """Without asking for its number: who prints an environ does not want the connection."""
            state = "over" if self._is_over else "offered" if self._take else "taken over"
            return f"<gunicorn.socket, {state}>"

        @contextlib.contextmanager
        def _used(self) -> Iterator[None]:
            with self._lock:
                self._users += 1
            try:
                if self._take is not None:
                    self._take_over()
                yield
            finally:
                with self._lock:
                    self._users -= 1
                    is_last = self._is_let_go and not self._users
                if is_last:
                    self._close()
                self._offer.stay()

        def _take_over(self) -> None:
            with self._lock:
                if self._take is not None:
                    self._arrived = self._take()
                    self._take = None
                    super().settimeout(super().gettimeout())  # the connection did not block

        def pending(self) -> int:
            """How many bytes can be read without waiting, which no `select` on the descriptor tells of."""
            with self._used():
                return len(self._arrived)

        def recv(self, size: int, flags: int = 0) -> bytes:
            with self._used():
                if not self._arrived:
                    return bytes(super().recv(size, flags))
                data = self._arrived[:size]
                if not flags & MSG_PEEK:
                    self._arrived = self._arrived[size:]
                return data

        def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
            with self._used():
                if not self._arrived:
                    return int(super().recv_into(buffer, size, flags))
                view = memoryview(buffer).cast("B")
                data = self.recv(min(size or len(view), len(view)), flags)
                view[: len(data)] = data
                return len(data)

        def send(self, data: Any, *more: Any, **named: Any) -> int:
            with self._used():
                count = int(super().send(data, *more, **named))
                self._offer.sent(count)
                return count

        def sendall(self, data: Any, *more: Any) -> None:
            with self._used():
                before = self._offer.sent(0)
                super().sendall(data, *more)  # by `send`, or not
                self._offer.sent(before + memoryview(data).nbytes - self._offer.sent(0))

        def fileno(self) -> int:
            with self._used():
                return int(super().fileno())

        def dup(self) -> Any:
            with self._used():
                self._is_shared = True
                copy = library(self.family, self.type, self.proto, fileno=os.dup(super().fileno()))
                copy.settimeout(self.gettimeout())
                return copy

        def detach(self) -> int:
            """Another descriptor of the connection, which is the caller's to close: now, or after the request."""
            with self._used():
                self._is_shared = True
                return os.dup(super().fileno())

        def shutdown(self, how: int) -> None:
            with self._used():
                super().shutdown(how)

        def close(self) -> None:
            """End the connection, unless somebody has another descriptor of it, or a file made of this one."""
            if self._is_over:
                return
            with self._used():
                self._closed = True
                if self._io_refs <= 0:
                    self._shut_down()

        def end(self) -> bool:
            """The request is over. Whether the connection was taken over; then that ends too."""
            with self._lock:
                was_taken, self._take, self._is_over = self._take is None, None, True
            if was_taken:
                self._shut_down()
            else:
                super().detach()
            return was_taken

        def let_go(self) -> None:
            """The server has nothing to do with the descriptor any more: its last user closes it."""
            with self._lock:
                self._is_let_go = True
                is_used = bool(self._users)
            if not is_used:
                self._close()

        def _shut_down(self) -> None:
            if not self._is_shared:
                with contextlib.suppress(OSError):
                    super().shutdown(SHUT_RDWR)

        def _close(self) -> None:
            self._io_refs = 0
            super().close()

    for name in _PLAIN:
        if hasattr(library, name):
            setattr(OfferedSocket, name, _taking(getattr(library, name)))
    return OfferedSocket


def _taking(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *given: Any, **named: Any) -> Any:
        with self._used():
            return method(self, *given, **named)

    return call

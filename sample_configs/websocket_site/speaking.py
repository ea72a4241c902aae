"""A WebSocket on the socket of a request: wsproto knows the protocol, this moves the bytes.

One thread reads, the request's own; another one writes what is in a queue, so that nobody has to wait for somebody
whose network is slow. Whoever lets his queue run over is let go.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

PING_AFTER_S = 20.0  # without anything to say: so proxies don't take the connection for dead
SILENT_S = 50.0  # a client that does not even answer pings has gone
LONGEST_QUEUE = 2000
LONGEST_MESSAGE = 16384


class NotForUs(Exception):
    """The request opens no WebSocket here; the status to be answered."""


def open_websocket(environ: dict[str, Any]) -> WebSocket:
    """The WebSocket that this request opens. Raises NotForUs, as long as the request can be answered as others are."""
    sock = environ.get("gunicorn.socket")
    if sock is None:
        raise NotForUs("426 Upgrade Required")
    # A browser says whose page it is that asks. Cookies would come along, whoever that is (RFC 6455 §10.2).
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and urlsplit(origin).netloc != environ.get("HTTP_HOST"):
        raise NotForUs("403 Forbidden")
    fields = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    protocol = WSConnection(ConnectionType.SERVER)
    try:
        protocol.initiate_upgrade_connection(fields, environ["RAW_URI"])
        if not isinstance(next(protocol.events(), None), Request):
            raise NotForUs("400 Bad Request")
    except (RemoteProtocolError, LocalProtocolError):
        raise NotForUs("400 Bad Request") from None
    return WebSocket(sock, protocol)


class WebSocket:
    """One that is open. Iterating over it gives its messages, until the client goes."""

    def __init__(self, sock: Any, protocol: WSConnection) -> None:
        self._sock = sock
        self._protocol = protocol
        self._lock = threading.Lock()  # of the protocol's state
        self._to_send: queue.Queue[Event | None] = queue.Queue(LONGEST_QUEUE)

    def run(self, use: Callable[[WebSocket], None]) -> None:
        """Answer the request with 101, and call `use`. With the first byte the connection is ours."""
        self._sock.settimeout(SILENT_S)
        self._put(AcceptConnection())
        writer = threading.Thread(target=self._write, daemon=True)
        writer.start()
        try:
            use(self)
        except ValueError:
            self._put(CloseConnection(code=1008, reason="What was that?"))
        finally:
            self._put(None)
            writer.join()

    def send(self, message: object) -> None:
        """As JSON, when its turn comes."""
        self._put(TextMessage(json.dumps(message, separators=(",", ":"))))

    def _put(self, event: Event | None) -> None:
        try:
            self._to_send.put_nowait(event)
        except queue.Full:
            self._hang_up()

    def _hang_up(self) -> None:
        """Whoever waits for the socket is woken."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        try:
            while True:
                try:
                    event = self._to_send.get(timeout=PING_AFTER_S)
                except queue.Empty:
                    event = Ping()
                if event is None:
                    return
                with self._lock:
                    data = self._protocol.send(event)
                self._sock.sendall(data)
                if isinstance(event, CloseConnection):
                    return
        except (OSError, LocalProtocolError):  # the client has gone, or has said goodbye
            self._hang_up()

    def __iter__(self) -> Iterator[str]:
        text = ""
        with contextlib.suppress(OSError, EOFError, RemoteProtocolError):
            while data := self._sock.recv(65536):
                with self._lock:
                    self._protocol.receive_data(data)
                    events = list(self._protocol.events())
                for event in events:
                    if isinstance(event, TextMessage):
                        text += event.data
                        if len(text) > LONGEST_MESSAGE:
                            raise ValueError("a message is too long")
                        if event.message_finished:
                            yield text
                            text = ""
                    elif isinstance(event, Ping):
                        self._put(event.response())
                    elif isinstance(event, CloseConnection):
                        self._put(event.response())
                        return

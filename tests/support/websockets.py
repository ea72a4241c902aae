"""A WebSocket client: wsproto over the client made of raw bytes."""

from __future__ import annotations

from collections.abc import Iterator

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Message, Request, TextMessage

from support.client import Client


class WebSocket:
    """One that is open, on a connection that the caller closes. AssertionError where the server says no."""

    def __init__(self, client: Client, target: str, behind: bytes = b"") -> None:
        """`behind` is sent in one piece with the opening request."""
        self.client = client
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self._events = self._arriving()
        client.send(self.protocol.send(Request(host="localhost", target=target)) + behind)
        event = next(self._events)
        assert isinstance(event, AcceptConnection), event

    def _arriving(self) -> Iterator[Event]:
        while True:
            yield from self.protocol.events()
            data, self.client.received = self.client.received or self.client.read_some(), b""
            self.client.received = b""
            self.protocol.receive_data(data or None)

    def send(self, data: str | bytes) -> None:
        """One message."""
        message: Message = TextMessage(data) if isinstance(data, str) else BytesMessage(data)
        self.client.send(self.protocol.send(message))

    def read(self) -> str | bytes:
        """The next message, whole. AssertionError for anything else."""
        pieces: list[str | bytes] = []
        while True:
            event = next(self._events)
            assert isinstance(event, Message), event
            pieces.append(event.data)
            if event.message_finished:
                return "".join(pieces) if isinstance(event, TextMessage) else b"".join(pieces)  # type: ignore[arg-type]

    def close(self) -> None:
        """Say goodbye, hear it, and see the connection end."""
        self.client.send(self.protocol.send(CloseConnection(code=1000)))
        event = next(self._events)
        assert isinstance(event, CloseConnection), event
        self.client.expect_end()

"""A client made of raw bytes: sends exactly what it is told, and reads answers by the letter of RFC 9112.

`Client.read_answer` raises `BadAnswer` where a server breaks a rule that holds for every answer (CRLF, one
framing, a Date, no body where none may be), so that each test that reads an answer keeps those rules too.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

Address = tuple[str, int] | str  # host and port, or the path of a Unix socket

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\x20-\x7e\x80-\xff\t]*)\r\n\Z")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff][ \t]*)*)\r\n\Z")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)\r\n\Z")


class BadAnswer(AssertionError):
    """What the server sent is no well-formed answer."""


class Closed(BadAnswer):
    """The connection ended where an answer, or more of one, should have come."""


class Answer(NamedTuple):
    """One response."""

    status: int
    reason: str
    fields: list[tuple[str, str]]  # names as sent
    body: bytes  # without its framing
    framing: str  # "sized", "chunked", "until-close", "none"
    chunks: list[bytes]
    hints: list[Answer]  # 1xx responses that came before

    def all(self, name: str) -> list[str]:
        """The values of every field of that name."""
        return [value for known, value in self.fields if known.lower() == name.lower()]

    def field(self, name: str) -> str | None:
        """The value of the only field of that name; None if there is none."""
        values = self.all(name)
        if len(values) > 1:
            raise BadAnswer(f"{name} is there {len(values)} times: {values}")
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        """Whether it says that the connection will be closed."""
        return "close" in tokens(self.all("Connection"))


def tokens(values: Iterable[str]) -> list[str]:
    """The members of a list field, in small letters."""
    return [token.strip().lower() for value in values for token in value.split(",")]


class Client:
    """One connection. Every wait is bounded by `timeout_s`, and what comes too late is a `TimeoutError`."""

    def __init__(self, address: Address, timeout_s: float = 10.0, receive_buffer: int | None = None) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        )  # fmt: skip
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout_s)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.sock.connect(address)
            if family != socket.AF_UNIX:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.sock.close()
            raise
        self.received = b""  # and not used yet
        self.ended = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def end(self) -> None:
        """Half-close: nothing more will be sent, answers are still read."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def read_some(self) -> bytes:
        """One `recv` into `received`; what came, b"" at the end. ConnectionResetError after a reset."""
        data = self.sock.recv(65536)
        if not data:
            self.ended = True
        self.received += data
        return data

    def end_quietly(self) -> None:
        """Half-close, whether or not the server has closed already."""
        with contextlib.suppress(OSError):
            self.end()

    def read_to_the_last(self) -> bytes:
        """Everything until the server closes or resets."""
        with contextlib.suppress(ConnectionResetError):
            while not self.ended:
                self.read_some()
        return self.received

    def read_all(self) -> bytes:
        """Everything until the server closes."""
        while not self.ended:
            self.read_some()
        data, self.received = self.received, b""
        return data

    def is_silent(self, for_s: float = 0.2) -> bool:
        """Whether nothing comes, and no end either, for a while."""
        if self.received or self.ended:
            return False
        timeout_s = self.sock.gettimeout()
        self.sock.settimeout(for_s)
        try:
            self.read_some()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(timeout_s)
        return False

    def expect_end(self) -> None:
        """The server must close now, without a byte more."""
        rest = self.read_all()
        if rest:
            raise BadAnswer(f"more was sent than the answer: {rest[:2000]!r}")

    def read_line(self, what: str = "a line") -> bytes:
        while b"\n" not in self.received:
            if not self.read_some():
                raise Closed(f"the connection ended within {what}: {self.received[:2000]!r}")
        line, newline, self.received = self.received.partition(b"\n")
        return line + newline

    def read_exactly(self, count: int) -> bytes:
        pieces, have = [self.received], len(self.received)
        self.received = b""
        while have < count:
            if not self.read_some():
                raise Closed(f"the connection ended after {have} of {count} bytes of a body")
            pieces.append(self.received)
            have += len(self.received)
            self.received = b""
        data = b"".join(pieces)
        self.received = data[count:]
        return data[:count]

    def read_head(self) -> tuple[int, str, list[tuple[str, str]]]:
        """Status, reason and fields; judged by RFC 9112 §4 and §5."""
        line = self.read_line("a status line")
        match = _STATUS_LINE.match(line)
        if match is None:
            raise BadAnswer(f"no status line: {line[:2000]!r}")
        fields: list[tuple[str, str]] = []
        while (field_line := self.read_line("a header")) != b"\r\n":
            field = _FIELD.match(field_line)
            if field is None:
                raise BadAnswer(f"no field line: {field_line[:2000]!r}")
            fields.append((field[1].decode(), field[2].decode("latin-1").rstrip(" \t")))
        return int(match[1]), match[2].decode("latin-1"), fields

    def read_answer(self, method: str = "GET") -> Answer:
        """The next final response to a request of that method, with the informational ones before it."""
        hints: list[Answer] = []
        while True:
            status, reason, fields = self.read_head()
            if status >= 200:
                break
            hints.append(Answer(status, reason, fields, b"", "none", [], []))
            _check_no_framing(hints[-1])
        answer = self._read_body(Answer(status, reason, fields, b"", "none", [], hints), method)
        _check_answer(answer)
        return answer

    def _read_body(self, answer: Answer, method: str) -> Answer:
        """RFC 9112 §6.3, for responses."""
        if answer.status == 204:
            _check_no_framing(answer)
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        length, coding = answer.field("Content-Length"), answer.field("Transfer-Encoding")
        if coding is not None:
            if length is not None:
                raise BadAnswer("both Transfer-Encoding and Content-Length")
            if coding != "chunked":
                raise BadAnswer(f"Transfer-Encoding: {coding}")
            chunks = self._read_chunks()
            return answer._replace(framing="chunked", chunks=chunks, body=b"".join(chunks))
        if length is not None:
            if not re.fullmatch("[0-9]+", length):
                raise BadAnswer(f"Content-Length: {length}")
            return answer._replace(framing="sized", body=self.read_exactly(int(length)))
        if not answer.closes:
            raise BadAnswer("the body ends with the connection, but no Connection: close says so")
        return answer._replace(framing="until-close", body=self.read_all())

    def _read_chunks(self) -> list[bytes]:
        chunks: list[bytes] = []
        while True:
            line = self.read_line("a chunk size")
            match = _CHUNK_SIZE.match(line)
            if match is None:
                raise BadAnswer(f"no chunk size: {line[:200]!r}")
            size = int(match[1], 16)
            if size == 0:
                if (end := self.read_line("the end of chunks")) != b"\r\n":
                    raise BadAnswer(f"after the last chunk: {end[:200]!r}")
                return chunks
            chunks.append(self.read_exactly(size))
            if (end := self.read_exactly(2)) != b"\r\n":
                raise BadAnswer(f"after a chunk: {end!r}")


def _check_no_framing(answer: Answer) -> None:
    """RFC 9110 §8.6, RFC 9112 §6.1: no Content-Length, no Transfer-Encoding in 1xx and 204."""
    for name in ("Content-Length", "Transfer-Encoding"):
        if answer.all(name):
            raise BadAnswer(f"{name} in a {answer.status}")


def _check_answer(answer: Answer) -> None:
    """RFC 9110 §6.6.1: an origin server with a clock sends Date, once, as an IMF-fixdate."""
    date = answer.field("Date") or ""
    if not re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date):
        raise BadAnswer(f"Date: {date!r}")
    for name in ("Content-Length", "Transfer-Encoding", "Server"):
        answer.field(name)


def request_bytes(method: str, target: str, fields: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """A well-formed HTTP/1.1 request; Content-Length is added where there is a body."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {value}" for name, value in fields),
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes) -> bytes:
    """Pieces as a chunked body, with its last chunk (RFC 9112 §7.1)."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

"""What a request is: a request line and a block of header fields, each parsed once and then shared.

Both live in the parser's caches and belong to many requests at a time: nobody changes them but for
`Head.prepared`, where the next floor keeps what it derives from the same bytes. Nothing that depends on the peer
or the body may go there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# The forms of a request target (RFC 9112 §3.2); the fourth, authority-form, belongs to CONNECT, which we
# refuse.
ORIGIN = "origin"
ABSOLUTE = "absolute"
ASTERISK = "asterisk"


class RequestLine:
    """One valid request line (RFC 9112 §3)."""

    __slots__ = (
        "authority",
        "form",
        "http11",
        "method",
        "path",
        "plain",
        "query",
        "raw",
        "target",
        "version",
    )

    def __init__(
        self,
        raw: bytes,
        method: str,
        target: str,
        path: str,
        query: str,
        http11: bool,
        authority: str | None,
        form: str,
    ) -> None:
        self.raw = raw  # the line without its CRLF
        self.method = method
        self.target = target  # as received
        self.path = path  # percent-decoded bytes as latin-1 (PEP 3333); empty for asterisk-form
        self.query = query  # as received, without the "?"
        self.http11 = http11
        self.version = "HTTP/1.1" if http11 else "HTTP/1.0"
        self.plain = http11 and method != "HEAD"  # the answer is persistent by default, and has its body
        self.authority = authority  # of an absolute-form target: it replaces Host (RFC 9112 §3.2.2)
        self.form = form  # ORIGIN, ABSOLUTE or ASTERISK

    def __repr__(self) -> str:
        return f"<RequestLine {self.method} {self.target} {self.version}>"


class FieldBlock:
    """One valid block of header fields, as it is judged for HTTP/1.1 or for HTTP/1.0."""

    __slots__ = ("_fields", "body", "environ", "expect_continue", "forwarder", "keep", "raw")

    def __init__(
        self,
        raw: bytes,
        environ: dict[str, str],
        forwarder: tuple[tuple[str, str], ...],
        body: int,
        expect_continue: bool,
        keep: bool,
    ) -> None:
        self.raw = raw  # the lines, without the last CRLF
        self.environ = environ  # HTTP_*, CONTENT_TYPE, CONTENT_LENGTH (PEP 3333); no name with an underscore
        self.forwarder = forwarder  # those with an underscore that a trusted proxy may set (forwarder_headers)
        self.body = body  # 0: none; n: so many bytes; -1: chunked
        self.expect_continue = expect_continue  # an HTTP/1.1 client with a body may be waiting for 100
        self.keep = keep  # version and Connection allow a next request (RFC 9112 §9.3)
        self._fields: tuple[tuple[str, str], ...] | None = None

    @property
    def host(self) -> str | None:
        return self.environ.get("HTTP_HOST")

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """All of them: names as received, values latin-1. Made when first asked for: only some logs and hooks
        do."""
        if self._fields is None:
            self._fields = tuple(self.pairs(self.raw.decode("latin-1").split("\r\n"))) if self.raw else ()
        return self._fields

    @staticmethod
    def pairs(lines: list[str]) -> list[tuple[str, str]]:
        """Name and value of each line, without white space around the value (RFC 9112 §5.1)."""
        parts = [line.partition(":") for line in lines]
        return [(name, value.strip(" \t\r")) for name, _, value in parts]


class Head(NamedTuple):
    """A complete request head."""

    line: RequestLine
    block: FieldBlock
    end: int  # index of the first byte after the head
    keep: bool  # version and Connection allow a next request
    body: int  # 0: none; n: so many bytes; -1: chunked
    prepared: dict[Any, dict[str, Any]] | None  # room for what the next floor makes of it, where the head is kept

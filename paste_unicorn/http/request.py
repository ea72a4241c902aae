"""What a request is: a request line and a block of header fields, each parsed once and then shared.

Both live in the parser's caches and belong to many requests at a time: nobody changes them but for
`prepared`, where the next floor keeps what it derives from the same bytes. Nothing that depends on the peer or the
body may go there.
"""

from __future__ import annotations

from typing import Any, ClassVar

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

    asks_to_switch: ClassVar[bool] = False  # to another protocol, and may (RFC 9110 §7.8)

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


class SwitchingBlock(FieldBlock):
    """That of a client which would go on in another protocol."""

    __slots__ = ()

    asks_to_switch = True


class Shape:
    """What many heads have in common that differ in the values of a few fields only (`shapes.py`)."""

    __slots__ = ("begin", "environ", "gaps", "known", "prepared")

    def __init__(self, begin: bytes, gaps: tuple[tuple[str, str], ...], environ: dict[str, str]) -> None:
        self.begin = begin  # what stands between request line and first gap
        self.known = begin.rfind(b"\n") + 1  # the size of the lines in it
        self.gaps = gaps  # the key of each value that differs, and the text between it and the next one
        self.environ = environ  # as in `FieldBlock`; the values that differ are empty
        self.prepared: dict[Any, dict[str, Any]] = {}  # room for what the next floor makes of what they share


class Head:
    """A complete request head."""

    __slots__ = ("_block", "body", "end", "keep", "line", "own", "prepared")

    asks_to_switch: ClassVar[bool] = False  # as in `FieldBlock`

    def __init__(
        self,
        line: RequestLine,
        block: FieldBlock | None,
        end: int,
        keep: bool,
        body: int,
        prepared: dict[Any, dict[str, Any]] | None,
        own: tuple[Shape, dict[str, str], bytes] | None = None,
    ) -> None:
        self.line = line
        self._block = block  # None where it follows from `own`
        self.end = end  # index of the first byte after the head
        self.keep = keep  # version and Connection allow a next request
        self.body = body  # 0: none; n: so many bytes; -1: chunked
        self.prepared = prepared  # room for what the next floor makes of it, or of its shape, where that is kept
        self.own = own  # of a head with a shape: that, its own values by key, its bytes behind the request line

    @property
    def block(self) -> FieldBlock:
        """Of a head with a shape it is made when first asked for: only some logs and hooks do."""
        if self._block is None:
            assert self.own is not None
            shape, fresh, raw = self.own
            self._block = FieldBlock(raw[:-4], {**shape.environ, **fresh}, (), 0, False, True)
        return self._block


class SwitchingHead(Head):
    """One that has a `SwitchingBlock`."""

    __slots__ = ()

    asks_to_switch = True

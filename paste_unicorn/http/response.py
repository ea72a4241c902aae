"""An answer to bytes: status line, fields, how the body is delimited; chunks; small pages for refusals.

Hot. What an application gave as status and fields is judged and rendered once, and found again as a whole
while it stays the same (`ResponseHeads.begin`); a field that stays the same is found again alone. Date,
Connection and the framing depend on more than that, and are put behind it each time:

    prefix (begin) + date line + suffix (frame) + body
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, NamedTuple

from . import grammar
from .head_cache import HeadCache
from .refusals import Refusal

CHUNK_ENDS = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSES = b"Connection: close\r\n\r\n"  # the end of a head

# How a body is delimited (RFC 9112 §6.3).
NO_BODY = 0  # none is sent, whatever the application gives
SIZED = 1
CHUNKED = 2
UNTIL_CLOSE = 3

# PEP 3333, "Other HTTP Features": never the application's. RFC 9110 §7.6.1 and RFC 2616 §13.5.1 list them.
HOP_BY_HOP = frozenset(
    (
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
        "trailer", "trailers", "transfer-encoding", "upgrade",
    )
)  # fmt: skip

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Sizes of the caches: entries and bytes, a generation; bytes of a usual line.
_HEADS = (128, 64 << 10)
_LINES = (512, 64 << 10)
_USUAL_LINE = 64

# What the head of an answer makes of the fields that are noted; others are ordinary.
_ORDINARY = ""
_NOTED = frozenset(("content-length", "date", "server"))


class BadResponse(ValueError):
    """The application gave a status or a field that can't be sent; the text says which."""


class Prepared:
    """The head of an answer as the application gave it, judged and rendered; shared, and changed by its stamp alone."""

    __slots__ = (
        "bodiless",
        "content_length",
        "fields",
        "has_date",
        "has_server",
        "plain_length",
        "prefix",
        "stamp",
        "stamped",
        "status",
        "status_code",
    )

    def __init__(
        self,
        status: str,
        fields: tuple[tuple[str, str], ...],
        prefix: bytes,
        status_code: int,
        content_length: int | None,
        bodiless: bool,
        has_date: bool,
        has_server: bool,
    ) -> None:
        self.status = status  # as the application gave it
        self.fields = fields  # as the application gave them
        self.prefix = prefix  # status line and fields; no Date of ours, no Connection, no framing of ours
        self.status_code = status_code
        self.content_length = content_length  # the application's
        self.bodiless = bodiless  # 204, 205, 304 (RFC 9110 §15)
        self.has_date = has_date  # the application's: ours is not to be added
        self.has_server = has_server
        # For the commonest answer, which needs no framing of ours: its length (-1: the answer is of another kind), and
        # the whole head as it is in the second of the Date line `stamp`.
        self.plain_length = -1 if content_length is None or bodiless or has_date else content_length
        self.stamp = self.stamped = b""

    def stamp_with(self, date_line: bytes) -> None:
        """Make `stamped` anew: the clock has moved on. (In this order, for threads that ask at the same time.)"""
        self.stamped = self.prefix + date_line + b"\r\n"
        self.stamp = date_line


# What an application that has taken the connection over is said to have answered; never sent by us.
SWITCHED = Prepared("101 Switching Protocols", (), b"", 101, None, True, True, True)


class Framing(NamedTuple):
    """How the body of one answer is delimited."""

    how: int  # NO_BODY, SIZED, CHUNKED or UNTIL_CLOSE
    suffix: bytes  # what is still missing of the head (Date aside), with the empty line
    keep: bool  # whether a next request may follow
    length: int | None  # SIZED: bytes to be sent


class ResponseHeads:
    """Judges and renders what applications give; one for each worker."""

    def __init__(self, server_header: str) -> None:
        """`server_header`: the Server field's value; empty for none. Raises BadResponse."""
        if grammar.FIELD_VALUE.fullmatch(server_header) is None:
            raise BadResponse(f"{server_header!r} can't be the value of a Server field")
        self._server_line = f"Server: {server_header}\r\n".encode("latin-1") if server_header else b""
        # The head of the answer before: to compare costs less than to look up.
        # One tuple, since several threads may come through here.
        self._last: tuple[list[Any], str, Any] = ([object()], "", None)  # equal to nothing
        self._heads = HeadCache[tuple[str, tuple[tuple[str, str], ...]], Prepared](*_HEADS)
        self._find_head = self._heads.young.get
        self._lines = HeadCache[tuple[str, str], tuple[str, bytes]](*_LINES)
        self._find_line = self._lines.young.get

    def begin(self, status: str, fields: list[tuple[str, str]]) -> Prepared:
        """What `start_response` was given, ready to be sent. Raises BadResponse."""
        last_fields, last_status, last = self._last
        if fields == last_fields and status == last_status:
            return last  # type: ignore[no-any-return]
        try:
            key = (status, tuple(fields))
            prepared = self._find_head(key)
        except TypeError:  # no list, or something in it that has no hash: then it is no tuple of two strings
            raise BadResponse("the response fields are not a list of tuples of two strings") from None
        if prepared is None:
            prepared = self._prepare(status, key[1])
            self._heads.keep(key, prepared, len(prepared.prefix))
        self._last = list(fields), status, prepared
        return prepared

    def without_length(self, prepared: Prepared) -> Prepared:
        """The same head without the application's Content-Length, which was wrong."""
        fields = [field for field in prepared.fields if field[0].lower() != "content-length"]
        return self.begin(prepared.status, fields)

    def _prepare(self, status: str, fields: tuple[tuple[str, str], ...]) -> Prepared:
        if not isinstance(status, str) or grammar.STATUS.fullmatch(status) is None:
            raise BadResponse(f"{status!r} is not the status of an answer: give one such as '200 OK'")
        status_code = int(status[:3])
        # RFC 9112 §4: the space after the code stands there even when no reason follows.
        status_line = f"HTTP/1.1 {status if len(status) > 3 else status + ' '}\r\n".encode("latin-1")
        lines = [status_line, self._server_line]
        content_length = None
        has_date = has_server = False
        find = self._find_line
        for field in fields:
            noted, line = find(field) or self._line(field)
            if noted:
                if noted == "date":
                    has_date = True
                elif noted == "server":
                    has_server = True
                    lines[1] = b""
                else:
                    if content_length is not None:
                        raise BadResponse("there are several Content-Length fields in the response")
                    content_length = int(field[1])
                    # RFC 9110 §8.6: never in a 204; §15.3.6: in a 205 only 0, and that is ours to say.
                    if status_code in (204, 205):
                        continue
            lines.append(line)
        bodiless = status_code in (204, 205, 304)
        if bodiless and status_code != 304:
            content_length = None
        return Prepared(status, fields, b"".join(lines), status_code, content_length, bodiless, has_date, has_server)

    def _line(self, field: tuple[str, str]) -> tuple[str, bytes]:
        line = self._lines.recall(field, _USUAL_LINE)
        if line is None:
            line = _render(field)
            self._lines.keep(field, line, len(line[1]))
        return line

    def error_page(self, refusal: Refusal, date: bytes, head_request: bool = False, retry_after_s: int = 0) -> bytes:
        """A whole answer that closes the connection. `date` is from `http_date`; `retry_after_s`, if not 0, is for a
        Retry-After field (RFC 9110 §10.2.3).
        """
        text = f"{refusal.status} {refusal.reason}\n\n{refusal.sentence}\n".encode("latin-1")
        retry = b"Retry-After: %d\r\n" % retry_after_s if retry_after_s else b""
        head = (
            b"HTTP/1.1 %d %b\r\n%bDate: %b\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: %d\r\n%bConnection: close\r\n\r\n"
        ) % (refusal.status, refusal.reason.encode("latin-1"), self._server_line, date, len(text), retry)
        return head if head_request else head + text


def _render(field: tuple[str, str]) -> tuple[str, bytes]:
    """The name in lower case where it is noted, and the line. Raises BadResponse."""
    if not (isinstance(field, tuple) and len(field) == 2):
        raise BadResponse(f"the response field {field!r} is not a tuple of name and value")
    name, value = field
    if not (isinstance(name, str) and isinstance(value, str)):
        raise BadResponse(f"the response field {field!r} does not consist of two strings")
    if grammar.TOKEN.fullmatch(name) is None:
        raise BadResponse(f"{name!r} can't be the name of a response field")
    # RFC 9110 §5.5: a CR or LF here would be the application's user writing our head.
    if grammar.FIELD_VALUE.fullmatch(value) is None:
        raise BadResponse(f"the value {value!r} of the response field {name} has a character that can't be sent")
    lower = name.lower()
    if lower in HOP_BY_HOP:
        raise BadResponse(f"the response field {name} is the server's to decide (PEP 3333: hop-by-hop)")
    if lower == "content-length" and (
        grammar.CONTENT_LENGTH.fullmatch(value) is None or len(value) > grammar.LARGEST_LENGTH_DIGITS
    ):
        raise BadResponse(f"the Content-Length {value!r} of the response is not a number of bytes")
    return lower if lower in _NOTED else _ORDINARY, f"{name}: {value}\r\n".encode("latin-1")


def frame(prepared: Prepared, http11: bool, head_request: bool, keep: bool, body_length: int | None) -> Framing:
    """How to delimit the body (RFC 9112 §6.3), and what the head still needs.

    `keep`: the request and the worker allow another one. `body_length`: what the whole body will be, where
    that is known and the application did not say it.
    """
    status_code = prepared.status_code if prepared.bodiless else 200
    return _frame(status_code, prepared.content_length, http11, head_request, keep, body_length)


@lru_cache(maxsize=1024)
def _frame(
    status_code: int,
    length: int | None,
    http11: bool,
    head_request: bool,
    keep: bool,
    body_length: int | None,
) -> Framing:
    line = b""
    if status_code in (204, 205, 304):
        how = NO_BODY
        if status_code == 205:
            line = b"Content-Length: 0\r\n"
    elif head_request:
        # RFC 9110 §8.6: only the length that a GET would have. An empty body of a HEAD says nothing of that.
        how = NO_BODY
        if length is None and body_length:
            line = b"Content-Length: %d\r\n" % body_length
    elif length is not None:
        how = SIZED
    elif body_length is not None:
        how = SIZED
        length = body_length
        line = b"Content-Length: %d\r\n" % body_length
    elif http11:
        how = CHUNKED
        line = b"Transfer-Encoding: chunked\r\n"
    else:
        # RFC 9112 §6.1: no transfer coding to an HTTP/1.0 client.
        how = UNTIL_CLOSE
        keep = False
    if not keep:
        line += b"Connection: close\r\n"
    elif not http11:
        line += b"Connection: keep-alive\r\n"
    return Framing(how, line + b"\r\n", keep, length if how == SIZED else None)


def chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 §7.1). `data` is not empty: an empty chunk would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunk_begins(size: int) -> bytes:
    """What stands before the data of one chunk; behind it comes CHUNK_ENDS."""
    return b"%x\r\n" % size


def early_hints(fields: list[tuple[str, str]]) -> bytes:
    """An interim answer (RFC 8297), for HTTP/1.1 clients only. Raises BadResponse."""
    lines = [_render(field) for field in fields]
    if any(noted == "content-length" for noted, _ in lines):
        raise BadResponse("an interim answer has no Content-Length (RFC 9110 §8.6)")
    return b"".join((b"HTTP/1.1 103 Early Hints\r\n", *(line for _, line in lines), b"\r\n"))


def http_date(epoch: int) -> bytes:
    """The value of a Date field (RFC 9110 §5.6.7) for seconds since 1970."""
    now = datetime.fromtimestamp(epoch, timezone.utc)
    return (
        f"{_DAYS[now.weekday()]}, {now.day:02d} {_MONTHS[now.month - 1]} {now.year:04d} "
        f"{now.hour:02d}:{now.minute:02d}:{now.second:02d} GMT"
    ).encode("ascii")

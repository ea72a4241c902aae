"""A request line to a `RequestLine` (RFC 9112 §3), or to the refusal that names what is wrong with it.

Rules are tried in the order of the bytes that break them as long as the line can still be unfinished
(`check_size`); a complete line is judged as a whole.
"""

from __future__ import annotations

from typing import NoReturn

import httptools

from . import grammar
from .refusals import (
    BAD_METHOD,
    BAD_REQUEST_LINE,
    BAD_TARGET,
    BAD_VERSION,
    CONTROL_IN_LINE,
    FRAGMENT_IN_TARGET,
    LINE_TOO_LONG,
    UNKNOWN_METHOD,
    UNKNOWN_VERSION,
    Refused,
)
from .request import RequestLine
from .target import parse_target

# Registered for HTTP (RFC 9110 §16.1) and known to llhttp, with M-SEARCH, NOTIFY, SUBSCRIBE and UNSUBSCRIBE
# (UPnP), PURGE and QUERY beside. RTSP's, SOURCE and PRI, which llhttp knows too, are of other protocols.
_METHOD_NAMES = (
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "COPY", "LOCK", "MKCOL",
    "MOVE", "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT",
    "MKACTIVITY", "CHECKOUT", "MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE",
    "MKCALENDAR", "LINK", "UNLINK", "QUERY",
)  # fmt: skip
METHODS = {name.encode(): name for name in _METHOD_NAMES}


class RequestLines:
    """Judges request lines of at most `limit` bytes, by our rules and then by llhttp."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # An HTTP/1.1 request without a body leaves llhttp ready for the next one.
        self._judge = httptools.HttpRequestParser(None).feed_data

    def check_size(self, raw: bytes) -> None:
        """Refuse a line, or the beginning of one, that is too long, begins as none, or has what no line may have."""
        if grammar.NO_METHOD.match(raw):
            raise Refused(BAD_METHOD)
        if grammar.CONTROL_OR_TAB.search(raw, 0, self._limit + 1):
            raise Refused(CONTROL_IN_LINE)
        if len(raw) > self._limit:
            raise Refused(LINE_TOO_LONG)

    def parse(self, raw: bytes) -> RequestLine:
        """Raises Refused. `raw` is without its CRLF."""
        match = grammar.REQUEST_LINE.fullmatch(raw)
        if match is None or len(raw) > self._limit:
            self._refuse(raw)
        method_bytes, target_bytes, version = match.groups()
        http11 = version == b"1.1"
        # RFC 9112 §2.3: what another version's message means, we don't know, so this comes first.
        if not http11 and version != b"1.0":
            raise Refused(UNKNOWN_VERSION)
        method = METHODS.get(method_bytes)
        if method is None:
            raise Refused(UNKNOWN_METHOD)
        target = target_bytes.decode("ascii")
        path, query, authority, form = parse_target(method, target)
        judge = self._judge if http11 else httptools.HttpRequestParser(None).feed_data
        try:
            judge(raw + b"\r\n\r\n")
        except httptools.HttpParserError:
            self._judge = httptools.HttpRequestParser(None).feed_data
            raise Refused(BAD_TARGET) from None
        return RequestLine(raw, method, target, path, query, http11, authority, form)

    def _refuse(self, raw: bytes) -> NoReturn:
        """Say what is wrong with a line that is too long or does not have the form of one."""
        self.check_size(raw)
        method, _, rest = raw.partition(b" ")
        if not grammar.TOKEN.fullmatch(method.decode("latin-1")):
            raise Refused(BAD_METHOD)
        target, _, version = rest.partition(b" ")
        if not target or not version or b" " in version:
            raise Refused(BAD_REQUEST_LINE)
        if not grammar.HTTP_VERSION.fullmatch(version):
            raise Refused(BAD_VERSION)
        raise Refused(FRAGMENT_IN_TARGET if b"#" in target else BAD_TARGET)

"""Bytes in, request heads out; judged by llhttp (through httptools, strict) and by what llhttp leaves to us.

Hot. A head that is byte for byte one that came before costs one dictionary lookup; one whose line and
block of fields came before, two finds and two lookups; a new block costs what its new lines cost. llhttp
judges every line before it enters a cache: field lines with an "x" put before their names, so that none of
them changes the state of the one parser that is used again and again (`Connection: close` or `Upgrade`
would end it); fields that frame the body once more under their own names.

The answer does not depend on how the bytes arrive: rules are tried in the order of the bytes that break
them, what is unfinished is judged by the same rules, and only a complete head is judged as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import httptools

from . import grammar
from .fields import CONTENT_LENGTH, TRANSFER_ENCODING, FieldLine, Fields
from .head_cache import HeadCache
from .refusals import (
    BAD_FIELD,
    BAD_METHOD,
    BAD_REQUEST_LINE,
    BAD_TARGET,
    BAD_VERSION,
    CONTROL_IN_FIELD,
    CONTROL_IN_LINE,
    EMPTY_LINES,
    FIELD_TOO_LARGE,
    FOLDED_FIELD,
    FRAGMENT_IN_TARGET,
    HEAD_TOO_LARGE,
    LINE_TOO_LONG,
    TOO_MANY_FIELDS,
    UNKNOWN_METHOD,
    UNKNOWN_VERSION,
    Refused,
)
from .request import FieldBlock, Head, RequestLine
from .target import parse_target

__all__ = ["Head", "HeadParser"]

# Registered for HTTP (RFC 9110 §16.1) and known to llhttp, with M-SEARCH, NOTIFY, SUBSCRIBE and UNSUBSCRIBE
# (UPnP), PURGE and QUERY beside. RTSP's, SOURCE and PRI, which llhttp knows too, are of other protocols.
METHODS = frozenset(
    b"GET HEAD POST PUT DELETE OPTIONS TRACE PATCH CONNECT COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND"
    b" REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE MKCALENDAR LINK"
    b" UNLINK QUERY".split()
)

# RFC 9112 §2.2: at least one empty line before a request is to be ignored.
_EMPTY_LINES = 4
_NO_LIMIT = 1 << 40
_LOGGED_LINE = 1024  # bytes of a refused request line that are kept for logs

# Sizes of the caches of one worker: entries and bytes of keys, a generation.
_HEADS = (512, 256 << 10)
_LINES = (1024, 128 << 10)
_BLOCKS = (256, 256 << 10)
_FIELD_LINES = (1024, 256 << 10)
_LARGEST_HOT_HEAD = 2048  # bytes: to hash more than that would cost more than it saves


class HeadParser:
    """One for each worker: it owns the caches. Limits are in bytes without the CRLFs; 0 is no limit."""

    def __init__(
        self,
        *,
        limit_request_line: int,
        limit_request_fields: int,
        limit_request_field_size: int,
        limit_request_head: int,
        header_map: str = "drop",
        forwarder_headers: Iterable[str] = (),
    ) -> None:
        self._line_limit = limit_request_line or _NO_LIMIT
        self._fields_limit = limit_request_fields or _NO_LIMIT
        self._field_limit = limit_request_field_size or _NO_LIMIT
        self._head_limit = limit_request_head or _NO_LIMIT
        self._fields = Fields(header_map, forwarder_headers)
        self._heads = HeadCache[bytes, Head](*_HEADS)
        self._lines = HeadCache[bytes, RequestLine](*_LINES)
        self._blocks = HeadCache[bytes, FieldBlock](*_BLOCKS)
        self._blocks10 = HeadCache[bytes, FieldBlock](*_BLOCKS)
        self._field_lines = HeadCache[bytes, FieldLine](*_FIELD_LINES)
        self._find_head = self._heads.young.get
        self._find_field = self._field_lines.young.get
        self._judge = httptools.HttpRequestParser(None).feed_data

    def parse(self, data: bytes, seen: int = 0) -> Head | None:
        """The head at the beginning of `data`, or None while it is incomplete. Raises Refused.

        `data` begins with the first byte of a request and may go on behind its head. `seen` bytes of it were
        given before, and the answer was None: they are not judged again.
        """
        if len(data) <= _LARGEST_HOT_HEAD:
            head = self._find_head(data)
            if head is not None:
                return head
        try:
            return self._parse(data, seen)
        except Refused as refused:
            refused.request_line = (
                data.lstrip(b"\r\n")[:_LOGGED_LINE].splitlines()[0] if data.strip() else b""
            )
            raise

    def _parse(self, data: bytes, seen: int) -> Head | None:
        line_end = data.find(b"\r\n")
        if line_end < 0:
            self._check_line_size(data[:-1] if data.endswith(b"\r") else data)
            return None
        if line_end == 0:
            return self._skip_empty_lines(data, seen)
        block_end = data.find(b"\r\n\r\n", max(line_end, seen - 3))
        if block_end < 0:
            self._judge_unfinished(data, line_end, seen)
            return None
        raw = data[:line_end]
        line = self._lines.recall(raw, line_end)
        known = line is not None
        if line is None:
            line = self._judge_line(raw)
        raw_block = data[line_end + 2 : block_end + 2]
        blocks = self._blocks if line.http11 else self._blocks10
        block = blocks.recall(raw_block, block_end - line_end)
        if block_end > self._head_limit:
            # A block that came before with a shorter line.
            self._check_in_order(raw_block.split(b"\r\n")[:-1], 0, line_end)
        if block is None:
            block = self._judge_block(raw_block, line)
            blocks.keep(raw_block, block, block_end - line_end)
            known = False
        end = block_end + 4
        head = Head(line, block, end, block.keep, block.body)
        if known:
            self._heads.keep(data[:end], head, end)
        else:
            self._lines.keep(raw, line, line_end)
        return head

    def _skip_empty_lines(self, data: bytes, seen: int) -> Head | None:
        skipped = 2
        while data.startswith(b"\r\n", skipped):
            skipped += 2
        if skipped > 2 * _EMPTY_LINES:
            raise Refused(EMPTY_LINES)
        if len(data) == skipped:
            return None
        head = self._parse(data[skipped:], max(0, seen - skipped))
        return head and head._replace(end=head.end + skipped)

    # Request lines.

    def _check_line_size(self, raw: bytes) -> None:
        if grammar.CONTROL.search(raw, 0, self._line_limit + 1) or b"\t" in raw[: self._line_limit + 1]:
            raise Refused(CONTROL_IN_LINE)
        if len(raw) > self._line_limit:
            raise Refused(LINE_TOO_LONG)

    def _judge_line(self, raw: bytes) -> RequestLine:
        match = grammar.REQUEST_LINE.fullmatch(raw)
        if match is None or len(raw) > self._line_limit:
            self._refuse_line(raw)
        method_bytes, target_bytes, major, minor = match.groups()
        # RFC 9112 §2.3: what another version's message means, we don't know, so this comes first.
        if major != b"1" or minor not in b"10":
            raise Refused(UNKNOWN_VERSION)
        if method_bytes not in METHODS:
            raise Refused(UNKNOWN_METHOD)
        method = method_bytes.decode("ascii")
        target_text = target_bytes.decode("ascii")
        path, query, authority, form = parse_target(method, target_text)
        try:
            httptools.HttpRequestParser(None).feed_data(raw + b"\r\n\r\n")
        except httptools.HttpParserError:
            raise Refused(BAD_TARGET) from None
        return RequestLine(raw, method, target_text, path, query, minor == b"1", authority, form)

    def _refuse_line(self, raw: bytes) -> NoReturn:
        """Say what is wrong with a line that is too long or does not have the form of one."""
        self._check_line_size(raw)
        method, space, rest = raw.partition(b" ")
        if not grammar.TOKEN.fullmatch(method.decode("latin-1")):
            raise Refused(BAD_METHOD)
        target, space, version = rest.partition(b" ")
        if not space or not target or b" " in version or not version:
            raise Refused(BAD_REQUEST_LINE)
        if not grammar.HTTP_VERSION.fullmatch(version):
            raise Refused(BAD_VERSION)
        raise Refused(FRAGMENT_IN_TARGET if b"#" in target else BAD_TARGET)

    # Fields.

    def _judge_block(self, raw_block: bytes, line: RequestLine) -> FieldBlock:
        raws = raw_block.split(b"\r\n")
        raws.pop()  # what follows the last CRLF
        if len(raws) > self._fields_limit:
            self._check_in_order(raws, 0, len(line.raw))
        fields = list(map(self._find_field, raws))
        new = [index for index, field in enumerate(fields) if field is None]
        if new and self._field_lines.has_old:
            for index in new:
                fields[index] = self._field_lines.recall(raws[index], len(raws[index]))
            new = [index for index in new if fields[index] is None]
        if new:
            self._judge_fields(raws, fields, new, len(line.raw))
        block = self._fields.block(fields, line.http11)  # type: ignore[arg-type]  # no None is left
        if block.body:
            self._judge_framing(raws, fields)  # type: ignore[arg-type]
        for index in new:
            self._field_lines.keep(raws[index], fields[index], len(raws[index]))  # type: ignore[arg-type]
        return block

    def _judge_fields(
        self, raws: list[bytes], fields: list[FieldLine | None], new: list[int], line_size: int
    ) -> None:
        """Fill in what `fields` has not for the `new` ones."""
        lines = [raws[index] for index in new]
        try:
            self._judge(b"GET / HTTP/1.1\r\nx" + b"\r\nx".join(lines) + b"\r\n\r\n")
        except httptools.HttpParserError:
            self._judge = httptools.HttpRequestParser(None).feed_data
            self._check_in_order(raws, 0, line_size)
            raise Refused(BAD_FIELD) from None  # not reached: what llhttp refuses together, it refuses alone
        limit = self._field_limit
        make = self._fields.line
        for index, raw in zip(new, lines, strict=True):
            if len(raw) > limit:
                raise Refused(FIELD_TOO_LARGE)
            fields[index] = make(raw)

    def _judge_framing(self, raws: list[bytes], fields: list[FieldLine]) -> None:
        """llhttp's opinion on the fields that frame the body, beside that of `framing.py`."""
        framing = [
            raw
            for raw, field in zip(raws, fields, strict=True)
            if field[3] in (CONTENT_LENGTH, TRANSFER_ENCODING)
        ]
        try:
            httptools.HttpRequestParser(None).feed_data(
                b"POST / HTTP/1.1\r\n%b\r\n\r\n" % b"\r\n".join(framing)
            )
        except httptools.HttpParserError:
            raise Refused(BAD_FIELD) from None

    def _judge_unfinished(self, data: bytes, line_end: int, seen: int) -> None:
        """Judge the lines that are complete, and the sizes of all; skip what is before `seen`."""
        raw = data[:line_end]
        if seen < line_end + 2 and self._lines.recall(raw, line_end) is None:
            self._judge_line(raw)
        start = line_end + 2
        count = 0
        size = line_end
        if seen > start:
            start = data.rfind(b"\r\n", line_end, seen) + 2
            count = data.count(b"\r\n", line_end + 2, start)
            size = start - 2 * (count + 1)
        raws = data[start:].split(b"\r\n")
        unfinished = raws.pop()
        if unfinished.endswith(b"\r"):
            unfinished = unfinished[:-1]
        size = self._check_in_order(raws, count, size)
        if unfinished:
            self._check_field_size(unfinished, count + len(raws), size)

    def _check_in_order(self, raws: list[bytes], count: int, size: int) -> int:
        """Refuse the first line that is to be refused; `count` lines and `size` bytes are before them."""
        for raw in raws:
            self._check_field_size(raw, count, size)
            if self._field_lines.recall(raw, len(raw)) is None:
                self._judge_field(raw)
            count += 1
            size += len(raw)
        return size

    def _check_field_size(self, raw: bytes, count: int, size: int) -> None:
        if count >= self._fields_limit:
            raise Refused(TOO_MANY_FIELDS)
        room = self._head_limit - size
        allowed = min(self._field_limit, room)
        if grammar.CONTROL.search(raw, 0, allowed + 1):
            raise Refused(CONTROL_IN_FIELD)
        if len(raw) > allowed:
            raise Refused(FIELD_TOO_LARGE if allowed < room else HEAD_TOO_LARGE)

    def _judge_field(self, raw: bytes) -> None:
        if raw[0] in b" \t":
            raise Refused(FOLDED_FIELD)
        try:
            self._judge(b"GET / HTTP/1.1\r\nx%b\r\n\r\n" % raw)
        except httptools.HttpParserError:
            self._judge = httptools.HttpRequestParser(None).feed_data
            raise Refused(BAD_FIELD) from None
        self._fields.line(raw)

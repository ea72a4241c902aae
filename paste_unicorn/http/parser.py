"""Bytes in, request heads out; judged by llhttp (through httptools, strict) and by what llhttp leaves to us.

Hot. A head that is byte for byte one that came before costs one dictionary lookup; one that differs from others
in a few values, what llhttp and these values cost (`shapes.py`); one whose line and block of fields came before,
two finds and two lookups; a new block costs what its new lines cost. llhttp
judges every line before it enters a cache: field lines with an "x" put before their names, so that none of
them changes the state of the one parser that is used again and again (`Connection: close` or `Upgrade`
would end it); fields that frame the body once more under their own names.

The answer does not depend on how the bytes arrive: rules are tried in the order of the bytes that break
them, what is unfinished is judged by the same rules, and only a complete head is judged as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from .fields import Fields
from .head_cache import HeadCache
from .refusals import EMPTY_LINES, Refused
from .request import FieldBlock, Head, RequestLine, SwitchingHead
from .request_line import RequestLines
from .shapes import Shapes

__all__ = ["Head", "HeadParser"]

# RFC 9112 §2.2: at least one empty line before a request is to be ignored.
_EMPTY_LINES = 4
_NO_LIMIT = 1 << 40
_LOGGED_LINE = 1024  # bytes of a refused request line that are kept for logs

# Sizes of the caches of one worker: entries and bytes of keys, a generation.
_HEADS = (512, 256 << 10)
_LINES = (1024, 128 << 10)
_BLOCKS = (256, 256 << 10)
_LARGEST_HOT_HEAD = 2048  # bytes: to hash more than that would cost more than it saves


class HeadParser:
    """One for each worker: it owns the caches. Limits are in bytes without the CRLFs; 0 is no limit.

    `header_map` and `forwarder_headers`: see `Fields`.
    """

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
        self._head_limit = limit_request_head or _NO_LIMIT
        line_size = limit_request_field_size or _NO_LIMIT
        self._heads = HeadCache[bytes, Head](*_HEADS)
        self._lines = HeadCache[bytes, RequestLine](*_LINES)
        self._blocks = HeadCache[bytes, FieldBlock](*_BLOCKS)
        self._blocks10 = HeadCache[bytes, FieldBlock](*_BLOCKS)
        # No limit can be exceeded by a head that is smaller than each of them.
        self._shapes = Shapes(
            self._lines.young, self._read_line, self._heads, min(_LARGEST_HOT_HEAD, self._head_limit, line_size)
        )
        self._request_lines = RequestLines(limit_request_line or _NO_LIMIT)
        self._fields = Fields(
            limit_request_fields or _NO_LIMIT,
            line_size,
            self._head_limit,
            header_map,
            forwarder_headers,
            self._shapes.learn,
        )
        self._of_shape = self._shapes.head
        self._find_head = self._heads.young.get
        self._find_line = self._lines.young.get

    def parse(self, data: bytes, seen: int = 0) -> Head | None:
        """The head at the beginning of `data`, or None while it is incomplete. Raises Refused.

        `data` begins with the first byte of a request and may go on behind its head. `seen` bytes of it were
        given before, and the answer was None: they are not judged again.
        """
        try:
            if len(data) <= _LARGEST_HOT_HEAD:
                head = self._find_head(data) or self._of_shape(data)
                if head is not None:
                    return head
            return self._parse(data, seen)
        except Refused as refused:
            refused.request_line = (data.lstrip(b"\r\n")[:_LOGGED_LINE].splitlines() or [b""])[0]
            raise

    def _parse(self, data: bytes, seen: int) -> Head | None:
        line_end = data.find(b"\r\n")
        if line_end <= 0:
            if line_end == 0:
                return self._skip_empty_lines(data, seen)
            self._request_lines.check_size(data[:-1] if data.endswith(b"\r") else data)
            return None
        head_end = len(data) - 4
        if head_end > _LARGEST_HOT_HEAD or data[-4:] != b"\r\n\r\n" or head_end == line_end + 2:
            # Something follows the head, or it is unfinished.
            head_end = data.find(b"\r\n\r\n", seen - 3 if seen - 3 > line_end else line_end)
            if head_end < 0:
                self._judge_unfinished(data, line_end, seen)
                return None
            data = data[: head_end + 4]
            known = self._find_head(data)
            if known is not None:
                return known
        raw_line = data[:line_end]
        line = self._find_line(raw_line) or self._read_line(raw_line)
        http11 = line.http11
        end = head_end + 4
        blocks = self._blocks if http11 else self._blocks10
        raw_block = data[line_end + 2 : head_end]
        block = blocks.young.get(raw_block) or blocks.recall(raw_block, len(raw_block))
        if block is None:
            block = self._fields.block(raw_block, data, line_end, http11)
            if block is None:
                # There is an earlier end than that of the data: requests in a row, or empty lines.
                head_end = data.find(b"\r\n\r\n", line_end)
                return self._parse(data[: head_end + 4], seen)
            blocks.keep(raw_block, block, len(raw_block))
            return (SwitchingHead if block.asks_to_switch else Head)(line, block, end, block.keep, block.body, None)
        if head_end > self._head_limit:
            # The block may have come before with a shorter line.
            self._fields.check_in_order(raw_block.split(b"\r\n"), 0, line_end)
        head = self._heads.recall(data, end)
        if head is None:
            made = SwitchingHead if block.asks_to_switch else Head
            head = made(line, block, end, block.keep, block.body, {})
            self._heads.keep(data, head, end)
        return head

    def _read_line(self, raw_line: bytes) -> RequestLine:
        """Of one that is not among the young. Raises Refused."""
        line = self._lines.recall(raw_line, len(raw_line))
        if line is None:
            line = self._request_lines.parse(raw_line)
            self._lines.keep(raw_line, line, len(raw_line))
        return line

    def _skip_empty_lines(self, data: bytes, seen: int) -> Head | None:
        skipped = 2
        while data.startswith(b"\r\n", skipped):
            skipped += 2
        if skipped > 2 * _EMPTY_LINES:
            raise Refused(EMPTY_LINES)
        if len(data) == skipped:
            return None
        head = self._parse(data[skipped:], max(0, seen - skipped))
        return head and type(head)(head.line, head.block, head.end + skipped, head.keep, head.body, head.prepared)

    def _judge_unfinished(self, data: bytes, line_end: int, seen: int) -> None:
        """Judge what is there of a head, as far as it was not before."""
        start = line_end + 2
        if seen < start:
            raw_line = data[:line_end]
            if self._lines.recall(raw_line, line_end) is None:
                self._request_lines.parse(raw_line)
            self._fields.check_unfinished(data[start:], 0, line_end)
            return
        # From the beginning of the line that was unfinished then.
        start = data.rfind(b"\r\n", line_end, seen) + 2
        count = data.count(b"\r\n", line_end + 2, start)
        self._fields.check_unfinished(data[start:], count, start - 2 * (count + 1))

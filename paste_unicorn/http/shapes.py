"""Heads that differ from earlier ones in the values of a few fields only: ids, cookies, times.

Hot where a head is new. To cut its lines and to look each up costs more than all the rest. So a few *shapes* are
kept: what many blocks of fields had in common, as one text with gaps where the values differed. A head that fits a
shape is that text with other values, which need no judge where they are printable, and are llhttp's else.

Why nothing can hide in a gap: it begins behind "Name:", of a name that decides nothing; it has no CR, so it ends with
its line; and what follows is the next line of the shape, or the end. So no line is added, left out or folded, and all
that decides (Host, Connection, which lines there are) is byte for byte what was judged before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httptools

from .head_cache import HeadCache
from .request import FieldBlock, Head, RequestLine, Shape

_SHAPES = 4  # each that does not fit costs a comparison
_LOOK = 16  # one head in so many is kept, if it came before: most never did
_ANY_LINE = b"GET / HTTP/1.1\r\n"
_GAPS = 4  # with more of them, to cut all lines costs no more


class Shapes:
    """Those of one parser, for HTTP/1.1 and heads of at most `largest` bytes. What was met last comes first.

    `known_lines` and `read_line` (which may raise Refused) are how that parser reads a request line; `heads` is where
    it keeps those that come again.
    """

    def __init__(
        self,
        known_lines: Mapping[bytes, RequestLine],
        read_line: Callable[[bytes], RequestLine],
        heads: HeadCache[bytes, Head],
        largest: int,
    ) -> None:
        self._find_line = known_lines.get
        self._read_line = read_line
        self._heads = heads
        self._largest = largest
        self._shapes: list[Shape] = []
        self._until_look = _LOOK
        # A head of a shape has no body and no Upgrade: it leaves llhttp ready for the next one.
        self._judge = httptools.HttpRequestParser(None).feed_data

    def head(self, data: bytes) -> Head | None:
        """The head that is the whole of `data`. None: it has no shape, or is not in order. Raises Refused for a request
        line that is not."""
        if not self._shapes or len(data) > self._largest:
            return None
        # Not find, startswith and slices: those parse their arguments slowly.
        raw_line, _, raw_fields = data.partition(b"\r\n")
        for shape in self._shapes:
            raw = raw_fields.removeprefix(shape.begin)
            if raw != raw_fields:
                rest = raw.decode("latin-1")
                fresh = {}
                is_plain = True
                for key, literal in shape.gaps:
                    value, found, rest = rest.partition(literal)
                    # What is printable in latin-1 may stand in a value: VCHAR, obs-text and spaces (RFC 9110 §5.5).
                    if not value.isprintable():
                        if "\r" in value:
                            break
                        is_plain = False
                    if not found:
                        break
                    fresh[key] = value.strip(" \t")
                else:
                    if not rest:
                        break
        else:
            return None
        line = self._find_line(raw_line)
        if line is None:
            if not raw_line:
                return None  # an empty line before the request
            line = self._read_line(raw_line)
        if not line.http11:
            return None
        if not is_plain:
            try:
                # The line and what stands before the first gap were judged before, and leave nothing behind in llhttp.
                self._judge(_ANY_LINE + raw_fields[shape.known :])
            except httptools.HttpParserError:
                # Those who look at each line will say why.
                self._judge = httptools.HttpRequestParser(None).feed_data
                return None
        if shape is not self._shapes[0]:
            self._shapes.remove(shape)
            self._shapes.insert(0, shape)
        head = Head(line, None, len(data), True, 0, shape.prepared, (shape, fresh, raw_fields))
        self._until_look -= 1
        if not self._until_look:
            self._until_look = _LOOK
            self._heads.keep(data, Head(line, head.block, head.end, True, 0, {}), head.end)
        return head

    def learn(self, lines: list[str], gaps: Mapping[str, str], block: FieldBlock) -> None:
        """Keep the shape of a `block` without a body, persistent, whose `lines` have a key of their own each.

        `gaps`: the lines that may differ in value, without deciding anything, with their keys.
        """
        if not 0 < len(gaps) <= _GAPS or len(gaps) == len(lines) or len(block.raw) > self._largest:
            return
        texts = [""]
        for line in lines:
            if line in gaps:
                texts[-1] += line.partition(":")[0] + ":"
                texts.append("\r\n")
            else:
                texts[-1] += line + "\r\n"
        texts[-1] += "\r\n"
        keys = [gaps[line] for line in lines if line in gaps]
        # No value of one client stays in what the heads of others are made of.
        environ = {**block.environ, **dict.fromkeys(keys, "")}
        self._shapes.insert(0, Shape(texts[0].encode("latin-1"), tuple(zip(keys, texts[1:], strict=True)), environ))
        del self._shapes[_SHAPES:]

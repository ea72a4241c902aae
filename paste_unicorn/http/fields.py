"""The header fields of a request, judged line by line and together, to a `FieldBlock`.

Hot where a block is new. The dictionary that becomes the environ is made of all lines in one expression, which
runs Python code only for lines that are new too (`CutLines`), and what the fields decide is read off its keys:
names with an underscore get no key, so that no field can pass for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import httptools

from . import grammar
from .framing import asks_to_switch, body_length, is_continue_expected, is_kept
from .refusals import (
    BAD_FIELD,
    BAD_HOST,
    CONTROL_IN_FIELD,
    FIELD_TOO_LARGE,
    FOLDED_FIELD,
    HEAD_TOO_LARGE,
    NO_HOST,
    REPEATED_CONTENT_TYPE,
    REPEATED_FORWARDER,
    REPEATED_HOST,
    TOO_MANY_FIELDS,
    UNDERSCORE_IN_NAME,
    Refused,
)
from .request import FieldBlock, SwitchingBlock

HOST = "HTTP_HOST"
CONNECTION = "HTTP_CONNECTION"
EXPECT = "HTTP_EXPECT"
TRANSFER_ENCODING = "HTTP_TRANSFER_ENCODING"
UPGRADE = "HTTP_UPGRADE"
CONTENT_LENGTH = "CONTENT_LENGTH"
CONTENT_TYPE = "CONTENT_TYPE"
NO_KEY = ""  # of fields that are not mapped: in an environ "X_Y" could not be told from "X-Y"

# A block with none of these, and Connection only as here, is that of a request without a body, which is kept as its
# version says, and leaves llhttp ready for the next request.
_DECIDING = frozenset((EXPECT, TRANSFER_ENCODING, CONTENT_LENGTH, NO_KEY, UPGRADE, "HTTP_PROXY_CONNECTION"))
_KEPT = frozenset((None, "keep-alive", "Keep-Alive"))
# Never the key of a name with an underscore, whatever `header_map` says: these decide about the request, or PEP 3333
# has them without HTTP_.
_RESERVED = _DECIDING | {HOST, CONNECTION, "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"}

_REMEMBERED = 512  # names, lines, and hosts judged valid: beyond so many it starts anew
_LARGEST_REMEMBERED = 1024  # bytes of a line
# Lines are remembered of one new block in so many: those that come often are soon among them, those that never come
# again (ids, times) cost next to nothing.
_SAMPLE = 16


class CutLines(dict[str, tuple[str, str]]):
    """Lines that came before, each with its key and value. It says how a line is cut, not that it is in order.

    A line that is not there is cut when it is asked for; KeyError where its name is not in `names`.
    """

    __slots__ = ("names",)

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # a name that llhttp has judged to its key

    def __missing__(self, line: str) -> tuple[str, str]:
        name, _, value = line.partition(":")
        return self.names[name], value.strip(" \t")


class Fields:
    """Judges blocks of fields, by llhttp and our rules.

    Limits: `count` lines, `line_size` bytes in each, `head_size` bytes in a whole head. `header_map`: "drop", "refuse"
    or "dangerous" (names with an underscore are mapped like the others). `forwarder_headers`: names with an underscore
    that are kept aside, for trusted peers, under every policy. `learn_shape`: see `Shapes.learn`.
    """

    def __init__(
        self,
        count: int,
        line_size: int,
        head_size: int,
        header_map: str,
        forwarder_headers: Iterable[str],
        learn_shape: Callable[[list[str], dict[str, str], FieldBlock], None],
    ) -> None:
        self._count = count
        self._line_size = line_size
        self._head_size = head_size
        self._header_map = header_map
        self._forwarder = frozenset(name.upper() for name in forwarder_headers)
        self._lines = CutLines()
        self._names = self._lines.names
        self._cut = self._lines.__getitem__
        self._until_sample = 1
        self._hosts: set[str] = set()
        self._learn_shape = learn_shape
        # Plain HTTP/1.1 requests leave llhttp ready for the next one; a parser that can be used again costs
        # less.
        self._judge_plain = httptools.HttpRequestParser(None).feed_data

    def block(self, raw: bytes, head: bytes, line_size: int, http11: bool) -> FieldBlock | None:
        """What the lines in `raw` (without the last CRLF) mean, in the `head` that they are a part of.

        `line_size`: bytes of the request line, which count for the whole head. None: there is an empty line among them,
        where the head ends. Raises Refused.
        """
        lines = raw.decode("latin-1").split("\r\n") if raw else []
        if len(lines) > self._count or len(raw) > self._line_size or len(head) > self._head_size:
            if "" in lines:
                return None
            self.check_in_order(raw.split(b"\r\n"), 0, line_size)
        try:
            try:
                environ = dict(map(self._cut, lines))
            except KeyError:
                if "" in lines:
                    return None
                self._judge(head)
                self._learn(lines)
                environ = dict(map(self._cut, lines))
            if len(environ) != len(lines):
                environ = self._joined(lines)
            if http11 and _DECIDING.isdisjoint(environ) and environ.get(CONNECTION) in _KEPT:
                # What llhttp accepts has the names that we have found, so it keeps no state of this head.
                self._judge_plain(head)
                host = environ.get(HOST)
                if host not in self._hosts:
                    self._check_host(host, http11)
                self._until_sample -= 1
                block = FieldBlock(raw, environ, (), 0, False, True)
                if not self._until_sample:
                    self._remember(lines, block)
                return block
            self._judge(head)
            return self._compose(raw, lines, environ, http11)
        except (Refused, httptools.HttpParserError) as error:
            self._judge_plain = httptools.HttpRequestParser(None).feed_data
            self.check_in_order(raw.split(b"\r\n") if raw else [], 0, line_size)
            if isinstance(error, Refused):
                raise
            # Each line is in order, so it is what they say together. Our rules tell it better than llhttp does.
            self._learn(lines)
            self._compose(raw, lines, self._joined(lines), http11)
            raise Refused(BAD_FIELD) from None

    def _judge(self, head: bytes) -> None:
        """What llhttp says of the head as it came. Raises HttpParserError."""
        if b"\t" in head:
            # RFC 9112 §5.1: white space behind a value is no part of it. llhttp minds a tab behind "chunked".
            head = grammar.SPACE_BEHIND_VALUE.sub(b"", head)
        # RFC 9110 §7.8: a server may ignore Upgrade; as far as the parser goes it is a request like others.
        with suppress(httptools.HttpParserUpgrade):
            httptools.HttpRequestParser(None).feed_data(head)

    def _learn(self, lines: list[str]) -> None:
        """Remember the keys of names that llhttp has judged. Raises Refused."""
        names = self._names
        if len(names) >= _REMEMBERED:
            names.clear()
        for line in lines:
            name = line.partition(":")[0]
            if name not in names:
                names[name] = self._key_of(name)

    def _remember(self, lines: list[str], block: FieldBlock) -> None:
        """Keep how the lines of this plain block are cut, and its shape. llhttp has judged them: nothing that was
        refused is kept."""
        self._until_sample = _SAMPLE
        known = self._lines
        fresh = {line: known[line][0] for line in lines if line not in known}
        if len(block.environ) == len(lines) and _RESERVED.isdisjoint(fresh.values()):
            self._learn_shape(lines, fresh, block)
        if len(known) >= _REMEMBERED:
            known.clear()
        for line in lines:
            if line not in known and len(line) <= _LARGEST_REMEMBERED:
                known[line] = known[line]

    def _key_of(self, name: str) -> str:
        """PEP 3333, "environ Variables"; RFC 3875 §4.1.18. Raises Refused."""
        upper = name.upper()
        key = "HTTP_" + upper.replace("-", "_")
        if "_" in name:
            if upper in self._forwarder:
                return NO_KEY
            if self._header_map == "refuse":
                raise Refused(UNDERSCORE_IN_NAME)
            return NO_KEY if self._header_map == "drop" or key in _RESERVED else key
        return key[len("HTTP_") :] if upper in ("CONTENT-TYPE", "CONTENT-LENGTH") else key

    def _compose(self, raw: bytes, lines: list[str], environ: dict[str, str], http11: bool) -> FieldBlock:
        """The block of a request that may have a body, or not be kept, or is HTTP/1.0."""
        self._check_host(environ.get(HOST), http11)
        length = environ.get(CONTENT_LENGTH)
        body = body_length(length, environ.get(TRANSFER_ENCODING), http11)
        if length is not None:
            environ[CONTENT_LENGTH] = str(body)
        connection = environ.get(CONNECTION)
        keep = http11 if connection is None else is_kept(connection, http11)
        expect = environ.get(EXPECT)
        # RFC 9110 §10.1.1: without content there is nothing to wait with.
        expect_continue = expect is not None and is_continue_expected(expect, http11) and body != 0
        forwarder: tuple[tuple[str, str], ...] = ()
        if environ.pop(NO_KEY, None) is not None and self._forwarder:
            forwarder = self._forwarded(lines)
        switching = asks_to_switch(environ.get(UPGRADE), connection, http11, body)
        return (SwitchingBlock if switching else FieldBlock)(raw, environ, forwarder, body, expect_continue, keep)

    def _joined(self, lines: list[str]) -> dict[str, str]:
        """RFC 9110 §5.3: fields of one name are one list. RFC 6265 §5.4: of cookies the separator is a
        semicolon."""
        environ: dict[str, str] = {}
        for key, value in map(self._cut, lines):
            if key not in environ:
                environ[key] = value
            elif key == HOST:
                # RFC 9112 §3.2: a second line is refused whatever it says, in HTTP/1.0 too.
                raise Refused(REPEATED_HOST)
            elif key == CONTENT_TYPE:
                # RFC 9110 §5.3: not a list. Two types would be two readings of one body.
                raise Refused(REPEATED_CONTENT_TYPE)
            else:
                environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value
        return environ

    def _check_host(self, host: str | None, http11: bool) -> None:
        """RFC 9112 §3.2: exactly one that is valid; HTTP/1.0 had no Host, but sends it mostly."""
        if host is None:
            if http11:
                raise Refused(NO_HOST)
        elif host not in self._hosts:
            if not grammar.is_host(host):
                raise Refused(BAD_HOST)
            if len(self._hosts) >= _REMEMBERED:
                self._hosts.clear()
            self._hosts.add(host)

    def _forwarded(self, lines: list[str]) -> tuple[tuple[str, str], ...]:
        """Fields that a trusted proxy may set. Of one from the client and one from the proxy nobody knows
        which is which."""
        pairs = [pair for pair in FieldBlock.pairs(lines) if pair[0].upper() in self._forwarder]
        if len({name.upper() for name, _ in pairs}) != len(pairs):
            raise Refused(REPEATED_FORWARDER)
        return tuple(pairs)

    def check_unfinished(self, raw: bytes, count: int, size: int) -> None:
        """Judge as far as can be known: `raw` is whole lines and the beginning of one. See
        `check_in_order`."""
        lines = raw.split(b"\r\n")
        last = lines.pop()
        size = self.check_in_order(lines, count, size)
        if last.endswith(b"\r"):
            last = last[:-1]
        if last:
            self._check_size(last, count + len(lines), size)

    def check_in_order(self, lines: list[bytes], count: int, size: int) -> int:
        """Refuse the first line that must be refused by itself; `count` lines and `size` bytes came
        before."""
        for line in lines:
            self._check_size(line, count, size)
            self._judge_alone(line)
            count += 1
            size += len(line)
        return size

    def _check_size(self, line: bytes, count: int, size: int) -> None:
        if count >= self._count:
            raise Refused(TOO_MANY_FIELDS)
        room = self._head_size - size
        allowed = min(self._line_size, room)
        if grammar.CONTROL.search(line, 0, allowed + 1):
            raise Refused(CONTROL_IN_FIELD)
        if len(line) > allowed:
            raise Refused(FIELD_TOO_LARGE if allowed < room else HEAD_TOO_LARGE)

    def _judge_alone(self, line: bytes) -> None:
        """With an "x" before it no field decides anything: the line is judged as one of any name."""
        if line[0] in b" \t":
            raise Refused(FOLDED_FIELD)
        try:
            httptools.HttpRequestParser(None).feed_data(b"GET / HTTP/1.1\r\nx%b\r\n\r\n" % line)
        except httptools.HttpParserError:
            raise Refused(BAD_FIELD) from None
        name = line.partition(b":")[0]
        if not name:
            raise Refused(BAD_FIELD)
        self._key_of(name.decode("ascii"))

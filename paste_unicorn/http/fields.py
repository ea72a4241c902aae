"""Header fields: one line to what it means, the lines of one request to a `FieldBlock`.

Hot where a request has new lines. A line's meaning is a plain tuple (`FieldLine`), since most are made to be
thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import grammar
from .framing import body_length, is_continue_expected, is_kept
from .refusals import (
    BAD_FIELD,
    BAD_HOST,
    NO_HOST,
    REPEATED_CONTENT_TYPE,
    REPEATED_FORWARDER,
    REPEATED_HOST,
    UNDERSCORE_IN_NAME,
    Refused,
)
from .request import FieldBlock

# What a field is to the block, beside a value in the environ.
ORDINARY = 0
HOST = 1
CONTENT_LENGTH = 2
TRANSFER_ENCODING = 3
CONNECTION = 4
EXPECT = 5
CONTENT_TYPE = 6
DROPPED = 7  # a name with an underscore: in an environ it can't be told from the same with a dash
FORWARDER = 8  # the same, but a trusted proxy may set it

_KINDS = {
    "HOST": HOST,
    "CONTENT-LENGTH": CONTENT_LENGTH,
    "TRANSFER-ENCODING": TRANSFER_ENCODING,
    "CONNECTION": CONNECTION,
    "EXPECT": EXPECT,
    "CONTENT-TYPE": CONTENT_TYPE,
}
# Never mapped, whatever `header_map` says: with a dash they decide about the framing, or have no HTTP_ in an
# environ.
_NEVER_MAPPED = frozenset(
    (
        "HTTP_HOST",
        "HTTP_CONTENT_LENGTH",
        "HTTP_CONTENT_TYPE",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_CONNECTION",
        "HTTP_EXPECT",
    )
)

# (name and value as received; key in the environ or ""; value; kind)
FieldLine = tuple[tuple[str, str], str, str, int]

_REMEMBERED = 512  # names, and hosts: beyond that many different ones it starts anew


class Fields:
    """Makes field lines and blocks by one policy for names with an underscore.

    `header_map`: "drop", "refuse" or "dangerous" (mapped like the others). `forwarder_headers`: names with
    an underscore that are kept aside in `FieldBlock.forwarder`, for trusted peers; under every policy.
    """

    def __init__(self, header_map: str, forwarder_headers: Iterable[str]) -> None:
        self._header_map = header_map
        self._forwarder_headers = frozenset(name.upper() for name in forwarder_headers)
        self._names: dict[bytes, tuple[str, str, int]] = {}
        self._hosts: set[str] = set()  # judged valid

    def line(self, raw: bytes) -> FieldLine:
        """What a line means that llhttp has found to be in order. Raises Refused."""
        name, _, value = raw.partition(b":")
        known = self._names.get(name)
        if known is None:
            known = self._learn(name)
        text, key, kind = known
        value_text = value.strip(b" \t").decode("latin-1")
        return (text, value_text), key, value_text, kind

    def _learn(self, name: bytes) -> tuple[str, str, int]:
        text = name.decode("ascii")
        upper = text.upper()
        if not text:
            raise Refused(BAD_FIELD)
        kind = _KINDS.get(upper, ORDINARY)
        key = "HTTP_" + upper.replace("-", "_")
        if "_" in text:
            if upper in self._forwarder_headers:
                kind, key = FORWARDER, ""
            elif self._header_map == "refuse":
                raise Refused(UNDERSCORE_IN_NAME)
            elif self._header_map == "drop" or key in _NEVER_MAPPED:
                kind, key = DROPPED, ""
        elif kind in (CONTENT_TYPE, CONTENT_LENGTH):
            key = key[len("HTTP_") :]
        if len(self._names) >= _REMEMBERED:
            self._names.clear()
        known = self._names[name] = (text, key, kind)
        return known

    def block(self, lines: list[FieldLine], http11: bool) -> FieldBlock:
        """What the lines of one request mean together. Raises Refused."""
        environ = {line[1]: line[2] for line in lines}
        if len(environ) != len(lines):
            environ = _joined(lines)
        host = None
        keep = http11
        lengths = codings = connections = expectations = None
        body = 0
        expect_continue = False
        forwarder: tuple[tuple[str, str], ...] = ()
        for pair, _, value, kind in [line for line in lines if line[3]]:
            if kind == HOST:
                # RFC 9112 §3.2: a second line is refused whatever it says, in HTTP/1.0 too.
                if host is not None:
                    raise Refused(REPEATED_HOST)
                host = value
            elif kind == CONNECTION:
                connections = [*(connections or ()), value]
            elif kind == CONTENT_LENGTH:
                lengths = [*(lengths or ()), value]
            elif kind == TRANSFER_ENCODING:
                codings = [*(codings or ()), value]
            elif kind == EXPECT:
                expectations = [*(expectations or ()), value]
            elif kind == FORWARDER:
                forwarder += (pair,)
        if host is None:
            if http11:
                raise Refused(NO_HOST)
        elif host not in self._hosts:
            self._check_host(host)
        if lengths is not None or codings is not None:
            body = body_length(lengths or [], codings or [], http11)
            if lengths is not None:
                environ["CONTENT_LENGTH"] = str(body)
        if connections is not None:
            keep = is_kept(connections, http11)
        if expectations is not None:
            # RFC 9110 §10.1.1: without content there is nothing to wait with.
            expect_continue = is_continue_expected(expectations, http11) and body != 0
        if "" in environ:
            del environ[""]
        if "CONTENT_TYPE" in environ:
            _check_single_content_type(lines)
        if forwarder:
            _check_forwarder(forwarder)
        fields = tuple([line[0] for line in lines])
        return FieldBlock(fields, environ, forwarder, host, body, expect_continue, keep)

    def _check_host(self, host: str) -> None:
        if not grammar.is_host(host):
            raise Refused(BAD_HOST)
        if len(self._hosts) >= _REMEMBERED:
            self._hosts.clear()
        self._hosts.add(host)


def _joined(lines: list[FieldLine]) -> dict[str, str]:
    """RFC 9110 §5.3: several fields of a name are one list; RFC 6265 §5.4: cookies are parted by
    semicolons."""
    values: dict[str, list[str]] = {}
    for _, key, value, _ in lines:
        values.setdefault(key, []).append(value)
    return {key: ("; " if key == "HTTP_COOKIE" else ",").join(each) for key, each in values.items()}


def _check_single_content_type(lines: list[FieldLine]) -> None:
    """RFC 9110 §5.3: only list fields may come twice. Two types would be two readings of one body."""
    if sum(line[3] == CONTENT_TYPE for line in lines) > 1:
        raise Refused(REPEATED_CONTENT_TYPE)


def _check_forwarder(forwarder: tuple[tuple[str, str], ...]) -> None:
    """One from the client and one from the proxy: nobody could tell them apart."""
    names = {name.upper() for name, _ in forwarder}
    if len(names) != len(forwarder):
        raise Refused(REPEATED_FORWARDER)

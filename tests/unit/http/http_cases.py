"""Requests as bytes, and what becomes of them: tables that several tests read."""

from __future__ import annotations

from typing import Any

from paste_unicorn.http import refusals as no
from paste_unicorn.http.body import ChunkedBody, SizedBody
from paste_unicorn.http.parser import Head, HeadParser
from paste_unicorn.http.refusals import Refusal, Refused

LINE, COUNT, SIZE = 100, 10, 60  # limits of these tests: small, so that examples at their edge can be read


def new_parser(**changes: Any) -> HeadParser:
    limits: dict[str, Any] = {
        "limit_request_line": LINE,
        "limit_request_fields": COUNT,
        "limit_request_field_size": SIZE,
        "limit_request_head": LINE + COUNT * SIZE,
    }
    return HeadParser(**{**limits, **changes})


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    """A request with a Host field and these."""
    return b"\r\n".join([line, b"Host: a", *fields, b"", body])


def bare(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request with these fields alone."""
    return b"\r\n".join([line, *fields, b"", b""])


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return get(*fields, line=b"POST / HTTP/1.1", body=body)


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


REFUSED_LINES: list[tuple[bytes, Refusal]] = [
    # the shape of the line (RFC 9112 §3): one space between three parts
    (b"GET  / HTTP/1.1", no.BAD_REQUEST_LINE),
    (b"GET /  HTTP/1.1", no.BAD_REQUEST_LINE),
    (b"GET / HTTP/1.1 ", no.BAD_REQUEST_LINE),
    (b" GET / HTTP/1.1", no.BAD_METHOD),
    (b"GET", no.BAD_REQUEST_LINE),
    (b"GET /", no.BAD_REQUEST_LINE),
    (b"GET / ", no.BAD_REQUEST_LINE),
    (b"GET HTTP/1.1", no.BAD_REQUEST_LINE),
    (b"GET /a b HTTP/1.1", no.BAD_REQUEST_LINE),
    (b"GET\t/ HTTP/1.1", no.CONTROL_IN_LINE),
    (b"GET /\tHTTP/1.1", no.CONTROL_IN_LINE),
    (b"GET /\x00 HTTP/1.1", no.CONTROL_IN_LINE),
    (b"GET /\x0b HTTP/1.1", no.CONTROL_IN_LINE),
    (b"GET /\x7f HTTP/1.1", no.CONTROL_IN_LINE),
    (b"GET /\r HTTP/1.1", no.CONTROL_IN_LINE),
    (b"GET / HTTP/1.1\r", no.CONTROL_IN_LINE),
    (b"GET / HTTP/1.1\nHost: a", no.CONTROL_IN_LINE),
    (b"\nGET / HTTP/1.1", no.CONTROL_IN_LINE),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", no.CONTROL_IN_LINE),  # TLS on a plain port
    # the method (RFC 9110 §9.1)
    (b"G@T / HTTP/1.1", no.BAD_METHOD),
    (b"G\xc3\x89T / HTTP/1.1", no.BAD_METHOD),
    (b"GET: / HTTP/1.1", no.BAD_METHOD),
    (b'"GET" / HTTP/1.1', no.BAD_METHOD),
    (b"get / HTTP/1.1", no.UNKNOWN_METHOD),
    (b"Get / HTTP/1.1", no.UNKNOWN_METHOD),
    (b"FOO / HTTP/1.1", no.UNKNOWN_METHOD),
    (b"GETT / HTTP/1.1", no.UNKNOWN_METHOD),
    (b"GE / HTTP/1.1", no.UNKNOWN_METHOD),
    (b"!#$%&'*+-.^_`|~ / HTTP/1.1", no.UNKNOWN_METHOD),
    (b"DESCRIBE / HTTP/1.1", no.UNKNOWN_METHOD),
    (b"SOURCE / HTTP/1.1", no.UNKNOWN_METHOD),
    (b"PRI * HTTP/1.1", no.UNKNOWN_METHOD),
    (b"CONNECT a:443 HTTP/1.1", no.CONNECT_METHOD),
    (b"CONNECT [::1]:443 HTTP/1.1", no.CONNECT_METHOD),
    (b"CONNECT a HTTP/1.1", no.BAD_TARGET),
    (b"CONNECT a: HTTP/1.1", no.BAD_TARGET),
    (b"CONNECT [::1] HTTP/1.1", no.BAD_TARGET),
    (b"CONNECT / HTTP/1.1", no.BAD_TARGET),
    (b"CONNECT http://a:80/ HTTP/1.1", no.BAD_TARGET),
    # the version (RFC 9112 §2.3)
    (b"GET / HTTP/2.0", no.UNKNOWN_VERSION),
    (b"GET / HTTP/1.2", no.UNKNOWN_VERSION),
    (b"GET / HTTP/0.9", no.UNKNOWN_VERSION),
    (b"GET / HTTP/3.0", no.UNKNOWN_VERSION),
    (b"PRI * HTTP/2.0", no.UNKNOWN_VERSION),
    (b"FOO / HTTP/2.0", no.UNKNOWN_VERSION),
    (b"GET / HTTP/1", no.BAD_VERSION),
    (b"GET / HTTP/1.", no.BAD_VERSION),
    (b"GET / HTTP/11", no.BAD_VERSION),
    (b"GET / HTTP/1.10", no.BAD_VERSION),
    (b"GET / HTTP/01.1", no.BAD_VERSION),
    (b"GET / http/1.1", no.BAD_VERSION),
    (b"GET / HTTP 1.1", no.BAD_REQUEST_LINE),
    (b"GET / HTTPS/1.1", no.BAD_VERSION),
    (b"GET / RTSP/1.0", no.BAD_VERSION),
    (b"GET / ICE/1.0", no.BAD_VERSION),
    # the target (RFC 9112 §3.2)
    (b"GET a HTTP/1.1", no.BAD_TARGET),
    (b"GET a:80 HTTP/1.1", no.BAD_TARGET),
    (b"GET ?a HTTP/1.1", no.BAD_TARGET),
    (b"GET * HTTP/1.1", no.BAD_TARGET),
    (b"OPTIONS ** HTTP/1.1", no.BAD_TARGET),
    (b"OPTIONS *?a HTTP/1.1", no.BAD_TARGET),
    (b"GET /# HTTP/1.1", no.FRAGMENT_IN_TARGET),
    (b"GET /a?b#c HTTP/1.1", no.FRAGMENT_IN_TARGET),
    (b"GET http://a/#b HTTP/1.1", no.FRAGMENT_IN_TARGET),
    (b"GET /\xc3\xa9 HTTP/1.1", no.BAD_TARGET),
    (b"GET /?\xff HTTP/1.1", no.BAD_TARGET),
    (b"GET /% HTTP/1.1", no.BAD_ESCAPE),
    (b"GET /%4 HTTP/1.1", no.BAD_ESCAPE),
    (b"GET /%zz HTTP/1.1", no.BAD_ESCAPE),
    (b"GET /%%41 HTTP/1.1", no.BAD_ESCAPE),
    (b"GET http://a/%g1 HTTP/1.1", no.BAD_ESCAPE),
    (b"GET ftp://a/ HTTP/1.1", no.BAD_TARGET),
    (b"GET http:/a HTTP/1.1", no.BAD_TARGET),
    (b"GET http:a HTTP/1.1", no.BAD_TARGET),
    (b"GET http:// HTTP/1.1", no.BAD_AUTHORITY),
    (b"GET http:///a HTTP/1.1", no.BAD_AUTHORITY),
    (b"GET http://:80/ HTTP/1.1", no.BAD_AUTHORITY),
    (b"GET http://u@a/ HTTP/1.1", no.BAD_AUTHORITY),
    (b"GET http://u:p@a/ HTTP/1.1", no.BAD_AUTHORITY),
    (b"GET http://a:b/ HTTP/1.1", no.BAD_AUTHORITY),
    (b"GET http://a:65536/ HTTP/1.1", no.BAD_AUTHORITY),
    (b"GET http://[::1/ HTTP/1.1", no.BAD_AUTHORITY),
    (b"GET http://a\\b/ HTTP/1.1", no.BAD_AUTHORITY),
    # the limit
    (b"GET /" + b"a" * (LINE - 13) + b" HTTP/1.1", no.LINE_TOO_LONG),
    (b"a" * (LINE + 1), no.LINE_TOO_LONG),
]

BAD_HOSTS = [
    b"", b" ", b"a b", b"a\tb", b"a,b", b"a, b", b"a/", b"a/b", b"/", b"u@a", b"u:p@a", b"@a", b"a?b", b"a#b",
    b"http://a",
    b"a\\b", b"a:b", b"a:80:80", b"a:-1", b"a:+80", b"a: 80", b"a:8 0", b"a:65536", b"a:999999", b"a:080080",
    b"a:0x50",
    b":80", b":", b"::1", b"[::1", b"::1]", b"[]", b"[:80", b"[a]", b"[::g]", b"[::1]a", b"[::1]:b", b"[1.2.3.4]",
    b"[::1%eth0]", b"[::1%25eth0]", b"[v1.a]", b"[1:2:3:4:5:6:7:8:9]", b"[::1]]", b"[[::1]]", b"a[::1]", b"%",
    b"a%", b"a%4",
    b"a%zz", b"<a>", b'"a"', b"a|b", b"a^b", b"{a}", b"`a`", b"\xc3\xa9", b"\xff", b"a\xa0",
]  # fmt: skip

GOOD_HOSTS = [
    b"a", b"A.Example", b"a.example.", b"a_b.example", b"a-b", b"a~b", b"127.0.0.1", b"127.0.0.1:8080",
    b"a:80", b"a:",
    b"a:00080", b"a:65535", b"[::1]", b"[::1]:80", b"[::ffff:127.0.0.1]", b"[2001:DB8::1]:443", b"a%41b",
    b"xn--bcher-kva.example",
    b"a!$&'()*+;=b",
]  # fmt: skip

REFUSED_HEADS: list[tuple[bytes, Refusal]] = [
    # Host (RFC 9112 §3.2)
    (bare(), no.NO_HOST),
    (bare(b"A: b"), no.NO_HOST),
    (bare(line=b"GET http://a/ HTTP/1.1"), no.NO_HOST),
    (bare(b"Host:", line=b"GET http://a/ HTTP/1.1"), no.BAD_HOST),
    (bare(b"Host: b c", line=b"GET http://a/ HTTP/1.1"), no.BAD_HOST),
    (bare(b"Host: ", line=b"OPTIONS * HTTP/1.1"), no.BAD_HOST),
    (bare(b"Host: b c", line=b"GET / HTTP/1.0"), no.BAD_HOST),
    (bare(b"Host:", line=b"GET / HTTP/1.0"), no.BAD_HOST),
    (bare(b"Host: a", b"Host: a", line=b"GET / HTTP/1.0"), no.REPEATED_HOST),
    (bare(b"Host_: a"), no.NO_HOST),
    (get(b"Host: a"), no.REPEATED_HOST),
    (get(b"HOST: b"), no.REPEATED_HOST),
    (get(b"hOST:"), no.REPEATED_HOST),
    # names and values (RFC 9112 §5)
    (get(b"A : b"), no.BAD_FIELD),
    (get(b"A\t: b"), no.BAD_FIELD),
    (get(b"A B: c"), no.BAD_FIELD),
    (get(b": b"), no.BAD_FIELD),
    (get(b":"), no.BAD_FIELD),
    (get(b"A"), no.BAD_FIELD),
    (get(b"A;b"), no.BAD_FIELD),
    (get(b"A(b): c"), no.BAD_FIELD),
    (get(b"\xc3\xa9: b"), no.BAD_FIELD),
    (get(b"A: b", b" c"), no.FOLDED_FIELD),
    (get(b"A: b", b"\tc"), no.FOLDED_FIELD),
    (bare(b" Host: a"), no.FOLDED_FIELD),
    (get(b"A: b", b" "), no.FOLDED_FIELD),
    (get(b"A: b\nC: d"), no.CONTROL_IN_FIELD),
    (get(b"A: b\rC: d"), no.CONTROL_IN_FIELD),
    (get(b"A: b\r"), no.CONTROL_IN_FIELD),
    (get(b"\rA: b"), no.CONTROL_IN_FIELD),
    (get(b"A: \x00"), no.CONTROL_IN_FIELD),
    (get(b"A: \x7f"), no.CONTROL_IN_FIELD),
    (get(b"A\x00: b"), no.CONTROL_IN_FIELD),
    (get(b"A: b\x0b"), no.CONTROL_IN_FIELD),
    (b"GET / HTTP/1.1\nHost: a\n\n", no.CONTROL_IN_LINE),
    (b"GET / HTTP/1.1\r\nHost: a\n\n", no.CONTROL_IN_FIELD),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", no.CONTROL_IN_FIELD),
    # the limits (RFC 6585 §5)
    (get(*[b"A: b"] * COUNT), no.TOO_MANY_FIELDS),
    (get(b"A: " + b"b" * (SIZE - 2)), no.FIELD_TOO_LARGE),
    (get(b"a" * (SIZE + 1)), no.FIELD_TOO_LARGE),
    (get(*[b"A:"] * COUNT, b"A B: " + b"b" * SIZE), no.TOO_MANY_FIELDS),
    (get(b"A: " + b"b" * SIZE, b"A B: c"), no.FIELD_TOO_LARGE),
    (get(b"A B: c", b"A: " + b"b" * SIZE), no.BAD_FIELD),
    # length and coding (RFC 9112 §6)
    (post(b"Content-Length: 1", b"Content-Length: 1", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: 1", b"content-length: 2", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: 1, 1", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: 1 1", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: +1", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: -1", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: 1_0", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: 0x1", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: 1.0", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: \xb2", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b'Content-Length: "1"', body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length:", body=b"a"), no.BAD_CONTENT_LENGTH),
    (post(b"Content-Length: 1152921504606846977"), no.LENGTH_TOO_LARGE),
    (post(b"Content-Length: 99999999999999999999999999"), no.LENGTH_TOO_LARGE),
    (post(b"Content-Length: 1", b"Transfer-Encoding: chunked"), no.LENGTH_AND_CODING),
    (post(b"Transfer-Encoding: chunked", b"Content-Length: 1"), no.LENGTH_AND_CODING),
    (post(b"Transfer-Encoding: identity", b"Content-Length: 0"), no.LENGTH_AND_CODING),
    (bare(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"), no.CODING_IN_HTTP10),
    (bare(b"Transfer-Encoding: gzip", line=b"POST / HTTP/1.0"), no.CODING_IN_HTTP10),
    (post(b"Transfer-Encoding: gzip"), no.UNKNOWN_CODING),
    (post(b"Transfer-Encoding: identity"), no.UNKNOWN_CODING),
    (post(b"Transfer-Encoding: gzip, chunked"), no.UNKNOWN_CODING),
    (post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), no.UNKNOWN_CODING),
    (post(b"Transfer-Encoding: chunked, gzip"), no.UNKNOWN_CODING),
    (post(b"Transfer-Encoding: xchunked"), no.UNKNOWN_CODING),
    (post(b"Transfer-Encoding: chunked, identity"), no.UNKNOWN_CODING),
    (post(b"Transfer-Encoding: chunked, chunked"), no.BAD_CODING),
    (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), no.BAD_CODING),
    (post(b"Transfer-Encoding:"), no.BAD_CODING),
    (post(b"Transfer-Encoding: ,"), no.BAD_CODING),
    (post(b"Transfer-Encoding: chunked,"), no.BAD_CODING),
    (post(b"Transfer-Encoding: , chunked"), no.BAD_CODING),
    (post(b"Transfer-Encoding: chunked;a=b"), no.BAD_CODING),
    (post(b"Transfer-Encoding: chunked chunked"), no.BAD_CODING),
    (post(b'Transfer-Encoding: "chunked"'), no.BAD_CODING),
    (post(b"Transfer-Encoding: chunked\xa0"), no.BAD_CODING),
    (post(b"Transfer-Encoding: chunked\t", b" ", b"A: b"), no.FOLDED_FIELD),
    (post(b"Transfer-Encoding: chunked\t", b"\t"), no.FOLDED_FIELD),
    (post(b"Transfer-Encoding: chunked", b"A: b\t", b"C \t: d"), no.BAD_FIELD),
    (get(b"A: b\n\r\nC: d"), no.CONTROL_IN_FIELD),
    (get(b"A: b\n\nC: d"), no.CONTROL_IN_FIELD),
    (get(b"A: b\n"), no.CONTROL_IN_FIELD),
    (post(b"Transfer-Encoding: \x0bchunked"), no.CONTROL_IN_FIELD),
    (post(b"Transfer-Encoding : chunked"), no.BAD_FIELD),
    (post(b"Transfer-Encoding:", b" chunked"), no.FOLDED_FIELD),
    # others
    (post(b"Content-Type: a/b", b"Content-Type: a/b"), no.REPEATED_CONTENT_TYPE),
    (get(b"Connection: a b"), no.BAD_CONNECTION),
    (get(b"Connection: close;a"), no.BAD_CONNECTION),
    (post(b"Expect: 100-continue, a"), no.UNKNOWN_EXPECTATION),
    (post(b"Expect: 200-ok"), no.UNKNOWN_EXPECTATION),
    (post(b"Expect: 100-continue;a=b"), no.UNKNOWN_EXPECTATION),
    (b"\r\n" * 5 + get(), no.EMPTY_LINES),
    (b"\r\n\n" + get(), no.CONTROL_IN_LINE),
]

REFUSED_BODIES: list[tuple[bytes, Refusal]] = [
    (b"\r\n", no.BAD_CHUNK),
    (b"g\r\n", no.BAD_CHUNK),
    (b"+1\r\na\r\n", no.BAD_CHUNK),
    (b"-1\r\na\r\n", no.BAD_CHUNK),
    (b"0x1\r\na\r\n", no.BAD_CHUNK),
    (b"1_0\r\n", no.BAD_CHUNK),
    (b" 1\r\na\r\n", no.BAD_CHUNK),
    (b"1 \r\na\r\n", no.BAD_CHUNK),
    (b"1\t\r\na\r\n", no.BAD_CHUNK),
    (b"\xb2\r\n", no.BAD_CHUNK),
    (b"1\na\r\n", no.BAD_CHUNK),
    (b"1\ra\r\n", no.BAD_CHUNK),
    (b"1000000000000000\r\n", no.BAD_CHUNK),
    (b"1\r\nab\r\n", no.BAD_CHUNK),
    (b"1\r\na\n", no.BAD_CHUNK),
    (b"1\r\na0\r\n\r\n", no.BAD_CHUNK),
    (b"1\r\na\r\n\r\n", no.BAD_CHUNK),
    (b"1;\r\n", no.BAD_CHUNK),
    (b"1 ;a\r\n", no.BAD_CHUNK),
    (b"1; a\r\n", no.BAD_CHUNK),
    (b"1;a =b\r\n", no.BAD_CHUNK),
    (b"1;a=b c\r\n", no.BAD_CHUNK),
    (b"1;a\nb\r\n", no.BAD_CHUNK),
    (b"1;a\rb\r\n", no.BAD_CHUNK),
    (b'1;a="b\r\n', no.BAD_CHUNK),
    (b'1;a="b\nc"\r\n', no.BAD_CHUNK),
    (b"1;=a\r\n", no.BAD_CHUNK),
    (b"1;a" + b"b" * 4096 + b"\r\n", no.CHUNK_LINE_TOO_LONG),
    ((b"1;a=" + b"b" * 4000 + b"\r\nc\r\n") * 5, no.CHUNK_OVERHEAD),
    (b"0\r\nA : b\r\n\r\n", no.BAD_TRAILER),
    (b"0\r\nA\r\n\r\n", no.BAD_TRAILER),
    (b"0\r\n:b\r\n\r\n", no.BAD_TRAILER),
    (b"0\r\nA: b\r\n c\r\n\r\n", no.BAD_TRAILER),
    (b"0\r\n A: b\r\n\r\n", no.BAD_TRAILER),
    (b"0\r\nA: b\nC: d\r\n\r\n", no.BAD_TRAILER),
    (b"0\r\nA: \x00\r\n\r\n", no.BAD_TRAILER),
    (b"0\r\n\n", no.BAD_TRAILER),
    (b"0\r\n" + b"A: b\r\n" * (COUNT + 1) + b"\r\n", no.TRAILER_TOO_LARGE),
    (b"0\r\nA: " + b"b" * SIZE + b"\r\n\r\n", no.TRAILER_TOO_LARGE),
]

REFUSED: list[tuple[bytes, Refusal]] = [
    *((line + b"\r\nHost: a\r\n\r\n", refusal) for line, refusal in REFUSED_LINES),
    *((bare(b"Host: " + host), no.CONTROL_IN_FIELD if b"\n" in host else no.BAD_HOST) for host in BAD_HOSTS),
    *REFUSED_HEADS,
    *((chunked(body), refusal) for body, refusal in REFUSED_BODIES),
]

# whole requests in a row, the number of requests, and all their bodies
VALID: list[tuple[bytes, int, list[bytes]]] = [
    (get(), 1, [b""]),
    (bare(line=b"GET / HTTP/1.0"), 1, [b""]),
    (b"\r\n" + get(), 1, [b""]),
    (b"\r\n" * 4 + get(), 1, [b""]),
    (get() + b"\r\n" + get(b"A: b") + get(b"C: d"), 3, [b""] * 3),
    (get(b"A:", b"B: \t", b"C:d ", b"D: e: f", b"E: \xff\xe9"), 1, [b""]),
    (get(b"Upgrade: h2c", b"Connection: Upgrade", b"Content-Length: 2", body=b"ab") + get(), 2, [b"ab", b""]),
    (get(b"Connection: close") + get(), 2, [b"", b""]),
    (post(b"Content-Length: 0") + get(), 2, [b"", b""]),
    (post(b"Content-Length: 0005", body=b"a\r\n\r\n") + get(), 2, [b"a\r\n\r\n", b""]),
    (chunked(b"0\r\n\r\n") + get(), 2, [b"", b""]),
    (chunked(b"1\r\na\r\n002\r\nbc\r\n0\r\n\r\n") * 2, 2, [b"abc"] * 2),
    (chunked(b"A\r\n0123456789\r\n00\r\nA: b\r\nHost: c\r\n\r\n") + get(), 2, [b"0123456789", b""]),
    (chunked(b'1;a;b=c;d="e;\\" "\r\n\n\r\n0;z\r\nContent-Length: 5\r\n\r\n') + get(), 2, [b"\n", b""]),
    (post(b"Expect: 100-continue", b"Content-Length: 1", body=b"a"), 1, [b"a"]),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1, [b""]),
    (b"GET http://b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\n", 1, [b""]),
    (b"GET /" + b"a" * (LINE - 14) + b" HTTP/1.1\r\nHost: a\r\n\r\n", 1, [b""]),
    (get(*[b"A: " + b"b" * (SIZE - 3)] * (COUNT - 1)), 1, [b""]),
]


class Reading:
    """What a server makes of the bytes of one connection, given piece by piece; ends at the first refusal."""

    def __init__(self, parser: HeadParser | None = None) -> None:
        self._parser = parser or new_parser()
        self._buffer = b""
        self._seen = 0
        self._body: SizedBody | ChunkedBody | None = None
        self.heads: list[Head] = []
        self.bodies: list[bytes] = []
        self.refusal: Refusal | None = None

    def feed(self, data: bytes) -> None:
        self._buffer += data
        try:
            while self.refusal is None and self._step():
                pass
        except Refused as refused:
            self.refusal = refused.refusal

    def _step(self) -> bool:
        if self._body is not None:
            if not self._buffer:
                return False
            decoded, used, done = self._body.feed(self._buffer)
            self._buffer = self._buffer[used:]
            self.bodies[-1] += decoded
            if done:
                self._body = None
            return done
        if not self._buffer:
            return False
        head = self._parser.parse(self._buffer, self._seen)
        if head is None:
            self._seen = len(self._buffer)
            return False
        self.heads.append(head)
        self.bodies.append(b"")
        self._buffer, self._seen = self._buffer[head.end :], 0
        if head.body:
            self._body = SizedBody(head.body) if head.body > 0 else ChunkedBody(COUNT, SIZE)
        return True

    @property
    def complete(self) -> bool:
        return self.refusal is None and not self._buffer and self._body is None

    def outcome(self) -> tuple[object, ...]:
        """What must not depend on how the bytes came. (How much of a broken body was decoded before may.)"""
        bodies = self.bodies if self.refusal is None else self.bodies[:-1]
        heads = [(h.line.raw, h.block.environ, h.block.fields, h.keep, h.body) for h in self.heads]
        return heads, bodies, self.refusal


def read(*pieces: bytes, parser: HeadParser | None = None) -> Reading:
    reading = Reading(parser)
    for piece in pieces:
        reading.feed(piece)
    return reading

"""Bytes in, heads out: what a valid request becomes."""

from __future__ import annotations

import pytest
from http_cases import BAD_HOSTS, GOOD_HOSTS, VALID, bare, get, new_parser, post, read

from paste_unicorn.http import grammar
from paste_unicorn.http.parser import Head
from paste_unicorn.http.request_line import METHODS


def head_of(data: bytes, **settings: object) -> Head:
    head = new_parser(**settings).parse(data)
    assert head is not None
    return head


TARGETS = [
    # method, target: path, query, authority, form
    ("GET", "/", "/", "", None, "origin"),
    ("GET", "/?", "/", "", None, "origin"),
    ("GET", "/a/b?c=d?e", "/a/b", "c=d?e", None, "origin"),
    ("GET", "//a//b", "//a//b", "", None, "origin"),
    ("GET", "/a/../b/.", "/a/../b/.", "", None, "origin"),
    ("GET", "/%41%2f%C3%A9+b", "/A/\xc3\xa9+b", "", None, "origin"),
    ("GET", "/a%00b%0d%0a", "/a\0b\r\n", "", None, "origin"),
    ("GET", "/?%41%zz%", "/", "%41%zz%", None, "origin"),
    ("GET", "/a;b=c,d:e@f!$&'()*~_-.", "/a;b=c,d:e@f!$&'()*~_-.", "", None, "origin"),
    ("GET", '/[a]{b}|\\^`"<>?[c]{d}|\\^`"<>', '/[a]{b}|\\^`"<>', '[c]{d}|\\^`"<>', None, "origin"),
    ("GET", "/http://b/", "/http://b/", "", None, "origin"),
    ("GET", "http://b", "/", "", "b", "absolute"),
    ("GET", "HTTP://B:80/c%20d?e", "/c d", "e", "B:80", "absolute"),
    ("GET", "https://[::1]:443/?", "/", "", "[::1]:443", "absolute"),
    ("GET", "http://b?c/d", "/", "c/d", "b", "absolute"),
    ("GET", "http://b//c", "//c", "", "b", "absolute"),
    ("OPTIONS", "*", "", "", None, "asterisk"),
    ("OPTIONS", "http://b", "", "", "b", "asterisk"),
    ("OPTIONS", "http://b/", "/", "", "b", "absolute"),
    ("OPTIONS", "http://b?", "/", "", "b", "absolute"),
    ("OPTIONS", "/a", "/a", "", None, "origin"),
]


@pytest.mark.parametrize(("method", "target", "path", "query", "authority", "form"), TARGETS)
def test_a_target_becomes_path_query_and_authority(
    method: str, target: str, path: str, query: str, authority: str | None, form: str
) -> None:
    for version in ("HTTP/1.1", "HTTP/1.0"):
        line = head_of(get(line=f"{method} {target} {version}".encode())).line
        assert (line.method, line.target, line.version) == (method, target, version)
        assert (line.path, line.query, line.authority, line.form) == (path, query, authority, form)
        assert line.http11 is (version == "HTTP/1.1")


@pytest.mark.parametrize("host", GOOD_HOSTS, ids=repr)
def test_a_valid_host_is_taken_as_it_is(host: bytes) -> None:
    head = head_of(bare(b"Host: " + host + b" \t"))
    assert head.block.host == host.decode("latin-1")
    assert head.block.environ == {"HTTP_HOST": host.decode("latin-1")}
    line = head_of(get(line=b"GET http://" + host + b"/ HTTP/1.1")).line
    assert line.authority == host.decode("latin-1")


def test_host_rules_do_not_depend_on_case_in_the_alphabet_of_hosts() -> None:
    assert not any(grammar.is_host(host.decode("latin-1")) for host in BAD_HOSTS if host != b" ")


@pytest.mark.parametrize("method", sorted(name for name in METHODS.values() if name != "CONNECT"))
def test_a_registered_method_is_served(method: str) -> None:
    assert head_of(get(line=f"{method} / HTTP/1.1".encode())).line.method == method


KEEPS = [
    # version, Connection fields: kept
    ("HTTP/1.1", [], True),
    ("HTTP/1.1", [b"close"], False),
    ("HTTP/1.1", [b"Close"], False),
    ("HTTP/1.1", [b"keep-alive"], True),
    ("HTTP/1.1", [b"a, close ,b"], False),
    ("HTTP/1.1", [b"a", b"b,CLOSE"], False),
    ("HTTP/1.1", [b"close", b"keep-alive"], False),
    ("HTTP/1.1", [b"keep-alive, close"], False),
    ("HTTP/1.1", [b"closed"], True),
    ("HTTP/1.1", [b",, ,"], True),
    ("HTTP/1.1", [b""], True),
    ("HTTP/1.1", [b"Upgrade, HTTP2-Settings"], True),
    ("HTTP/1.0", [], False),
    ("HTTP/1.0", [b"keep-alive"], True),
    ("HTTP/1.0", [b"Keep-Alive"], True),
    ("HTTP/1.0", [b"a", b"b , keep-alive"], True),
    ("HTTP/1.0", [b"keep-alive", b"close"], False),
    ("HTTP/1.0", [b"a"], False),
]


@pytest.mark.parametrize(("version", "fields", "keep"), KEEPS)
def test_connection_is_a_list_over_several_lines(version: str, fields: list[bytes], keep: bool) -> None:
    lines = [b"Connection: " + field for field in fields]
    head = head_of(get(*lines, line=f"GET / {version}".encode()))
    assert head.keep is keep
    assert head.block.environ.get("HTTP_CONNECTION", "") == ",".join(f.decode().strip() for f in fields)


BODIES = [
    ([], 0),
    ([b"Content-Length: 0"], 0),
    ([b"Content-Length: 7"], 7),
    ([b"content-length:\t007 "], 7),
    ([b"Content-Length: 1" + b"0" * 17], 10**17),
    ([b"Content-Length: " + b"0" * 30 + b"1"], 1),
    ([b"Transfer-Encoding: chunked"], -1),
    ([b"TRANSFER-ENCODING: \tChunked "], -1),
    ([b"Transfer-Encoding: chunked\t", b"A: \t", b"B:\t"], -1),
    ([b"Transfer-Encoding: chunked \t \t"], -1),
]


@pytest.mark.parametrize(("fields", "body"), BODIES)
def test_the_length_of_the_body_is_known_with_the_head(fields: list[bytes], body: int) -> None:
    for method in (b"POST", b"GET", b"DELETE", b"HEAD"):
        head = head_of(get(*fields, line=method + b" / HTTP/1.1"))
        assert head.body == head.block.body == body
        if fields and body >= 0:
            assert head.block.environ["CONTENT_LENGTH"] == str(body)
        else:
            assert "CONTENT_LENGTH" not in head.block.environ
        assert "HTTP_CONTENT_LENGTH" not in head.block.environ


@pytest.mark.parametrize(
    ("version", "fields", "expected"),
    [
        (b"HTTP/1.1", [b"Expect: 100-continue", b"Content-Length: 1"], True),
        (b"HTTP/1.1", [b"Expect: 100-Continue, 100-CONTINUE", b"Transfer-Encoding: chunked"], True),
        (b"HTTP/1.1", [b"Expect: 100-continue"], False),
        (b"HTTP/1.1", [b"Expect: 100-continue", b"Content-Length: 0"], False),
        (b"HTTP/1.1", [b"Expect:", b"Content-Length: 1"], False),
        (b"HTTP/1.0", [b"Expect: 100-continue", b"Content-Length: 1"], False),
        (b"HTTP/1.0", [b"Expect: else", b"Content-Length: 1"], False),
    ],
)
def test_only_an_http11_client_with_a_body_waits_for_100(version: bytes, fields: list[bytes], expected: bool) -> None:
    assert head_of(get(*fields, line=b"POST / " + version)).block.expect_continue is expected


def test_fields_become_an_environ() -> None:
    block = head_of(
        get(b"content-TYPE: a/b", b"X-Y: 1", b"x-y:2", b"Cookie: a", b"COOKIE: b", b"Z:", b"E: \xe9", b"W: a  b\t")
    ).block
    assert block.environ == {
        "HTTP_HOST": "a",
        "CONTENT_TYPE": "a/b",
        "HTTP_X_Y": "1,2",
        "HTTP_COOKIE": "a; b",
        "HTTP_Z": "",
        "HTTP_E": "\xe9",
        "HTTP_W": "a  b",
    }
    assert block.fields == (
        ("Host", "a"), ("content-TYPE", "a/b"), ("X-Y", "1"), ("x-y", "2"), ("Cookie", "a"), ("COOKIE", "b"), ("Z", ""),
        ("E", "\xe9"), ("W", "a  b"),
    )  # fmt: skip
    assert block.fields is block.fields


def test_all_of_a_token_may_be_a_name() -> None:
    name = "!#$%&'*+-.^`|~09azAZ"
    assert head_of(get(name.encode() + b": a")).block.environ["HTTP_" + name.upper().replace("-", "_")] == "a"


UNDERSCORES = [b"X_Y: 1", b"Content_Length: 5", b"Transfer_Encoding: chunked", b"_: a", b"Connection_: close"]


def test_names_with_an_underscore_are_dropped() -> None:
    head = head_of(get(*UNDERSCORES))
    assert head.block.environ == {"HTTP_HOST": "a"}
    assert (head.body, head.keep) == (0, True)
    assert len(head.block.fields) == 6


def test_names_with_an_underscore_can_be_mapped_but_never_decide() -> None:
    data = get(*UNDERSCORES, b"X-Y: 2", b"Connection: keep-alive", b"Content_Type: a/b", b"Trans_fer-Encoding: a")
    head = head_of(data, header_map="dangerous")
    assert head.block.environ == {
        "HTTP_HOST": "a",
        "HTTP_X_Y": "1,2",
        "HTTP__": "a",
        "HTTP_CONNECTION_": "close",
        "HTTP_CONNECTION": "keep-alive",
        "HTTP_TRANS_FER_ENCODING": "a",
    }
    assert (head.body, head.keep) == (0, True)


@pytest.mark.parametrize("header_map", ["drop", "refuse", "dangerous"])
def test_forwarder_fields_are_kept_aside(header_map: str) -> None:
    head = head_of(
        get(b"script_name: /a", b"A: b"), header_map=header_map, forwarder_headers=["SCRIPT_NAME", "PATH_INFO"]
    )
    assert head.block.environ == {"HTTP_HOST": "a", "HTTP_A": "b"}
    assert head.block.forwarder == (("script_name", "/a"),)


def test_nothing_of_an_upgrade_is_special() -> None:
    data = post(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 1", body=b"aGET")
    head = head_of(data)
    assert data[head.end :] == b"aGET"
    assert (head.keep, head.body) == (True, 1)


def test_an_http10_request_needs_no_field() -> None:
    head = head_of(b"GET / HTTP/1.0\r\n\r\nabc")
    assert (head.block.environ, head.block.fields, head.end, head.keep) == ({}, (), 18, False)


def test_the_end_is_that_of_the_first_head() -> None:
    for data in (get(), get(b"A: b"), b"GET / HTTP/1.0\r\n\r\n"):
        for rest in (b"", b"\r\n", b"\r\n\r\n", b"\n", b"a", b"a\r\n\r\n", data, data * 3, b"\r\n" + data):
            for leading in (b"", b"\r\n", b"\r\n\r\n"):
                parser = new_parser()
                for _ in range(5):
                    head = parser.parse(leading + data + rest)
                    assert head is not None
                    assert head.end == len(leading + data), rest


@pytest.mark.parametrize(("data", "count", "bodies"), VALID)
def test_requests_in_a_row_are_read_alike_when_split_anywhere(data: bytes, count: int, bodies: list[bytes]) -> None:
    whole = read(data)
    assert whole.complete
    assert (len(whole.heads), whole.bodies) == (count, bodies)
    for at in range(1, len(data)):
        assert read(data[:at], data[at:]).outcome() == whole.outcome(), at
    assert read(*[bytes([byte]) for byte in data]).outcome() == whole.outcome()


def test_what_was_seen_before_may_be_told_or_not() -> None:
    data = get(b"A: b", b"C: d")
    for at in range(1, len(data)):
        for seen in (0, at - 1, at):
            parser = new_parser()
            assert parser.parse(data[:at]) is None
            head = parser.parse(data, seen)
            assert head is not None
            assert head.end == len(data)


ASKING = b"Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    ("data", "asks"),
    [
        (b"GET / HTTP/1.1\r\n" + ASKING + b"\r\n", True),
        (b"\r\nGET / HTTP/1.1\r\n" + ASKING + b"\r\n\x81\x00", True),
        (b"GET / HTTP/1.1\r\n" + ASKING + b"Content-Length: 0\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\n" + ASKING + b"Content-Length: 1\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\n" + ASKING + b"Transfer-Encoding: chunked\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n" + ASKING + b"\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n", False),
    ],
)
def test_who_asks_for_another_protocol_is_known_however_often_it_comes(data: bytes, asks: bool) -> None:
    parser = new_parser()
    for _ in range(4):
        head = parser.parse(data)
        assert head is not None
        assert head.asks_to_switch == asks

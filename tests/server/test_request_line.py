"""RFC 9112 §3: method, target and version; what is malformed is refused, once, and the connection closes."""

from __future__ import annotations

import pytest
from support.checks import check_good, check_one_refusal, check_refused, environ_of, get
from support.server import Server

HOST = b"Host: localhost"

MALFORMED = {
    "bare LF ends the line": b"GET / HTTP/1.1\nHost: localhost\r\n\r\n",
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "bare CR ends the line": b"GET / HTTP/1.1\rHost: localhost\r\n\r\n",
    "two spaces before the target": b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces before the version": b"GET /  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tabs in place of spaces": b"GET\t/\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space before the method": b" GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space after the version": b"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    "no version": b"GET /\r\nHost: localhost\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "method alone": b"GET\r\nHost: localhost\r\n\r\n",
    "version in small letters": get(HOST, version=b"http/1.1"),
    "another protocol": get(HOST, version=b"HTP/1.1"),
    "RTSP": get(HOST, version=b"RTSP/1.0"),
    "version without a dot": get(HOST, version=b"HTTP/11"),
    "version without a minor number": get(HOST, version=b"HTTP/1."),
    "version with two digits": get(HOST, version=b"HTTP/1.01"),
    "version with a sign": get(HOST, version=b"HTTP/+1.1"),
    "version with a space": get(HOST, version=b"HTTP/ 1.1"),
    "version with more behind it": get(HOST, version=b"HTTP/1.1x"),
    "method that is no token": get(HOST, method=b"GE,T"),
    "method with a slash": get(HOST, method=b"G/ET"),
    "method with a NUL": get(HOST, method=b"G\0ET"),
    "method beyond ASCII": get(HOST, method=b"G\xc3\x89T"),
    "target without a slash": get(HOST, target=b"path"),
    "target with a NUL": get(HOST, target=b"/a\0b"),
    "target with a bare CR": get(HOST, target=b"/a\rb"),
    "target with a control character": get(HOST, target=b"/a\x01b"),
    "target with DEL": get(HOST, target=b"/a\x7fb"),
    "target with a space": get(HOST, target=b"/a b"),
    "target with a fragment": get(HOST, target=b"/a#b"),
    "asterisk for another method than OPTIONS": get(HOST, target=b"*"),
    "asterisk with a query": get(HOST, target=b"*?a=b", method=b"OPTIONS"),
    "asterisk with a path": get(HOST, target=b"*/a", method=b"OPTIONS"),
    "absolute target without a host": get(HOST, target=b"http:///path"),
    "absolute target with userinfo": get(HOST, target=b"http://user:secret@localhost/"),
    "absolute target with a wrong port": get(HOST, target=b"http://localhost:8o/"),
    "absolute target with an open bracket": get(HOST, target=b"http://[::1/"),
    "authority target for another method": get(HOST, target=b"localhost:80"),
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_request_line_is_refused_with_400(server: Server, data: bytes) -> None:
    check_refused(server, data, 400)


@pytest.mark.parametrize("method", [b"BREW", b"get", b"GETT", b"X-Y", b"!#$%&'*+-.^_`|~"])
def test_unknown_method_that_is_a_token_is_refused_with_501(server: Server, method: bytes) -> None:
    check_refused(server, get(HOST, method=method), 501)


def test_connect_is_refused_because_this_is_no_proxy(server: Server) -> None:
    check_refused(server, get(HOST, method=b"CONNECT", target=b"localhost:443"), (400, 405, 501))


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.9"])
def test_other_major_version_is_refused_with_505(server: Server, version: bytes) -> None:
    check_refused(server, get(HOST, version=version), 505)


def test_http2_preface_is_refused(server: Server) -> None:
    check_one_refusal(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 501, 505))


def test_higher_minor_version_is_served_as_ours_or_refused_with_505(server: Server) -> None:
    # RFC 9110 §2.5 says SHOULD; a parser that knows no 1.2 may refuse it.
    assert server.ask(get(HOST, version=b"HTTP/1.2")).status in (200, 505)


@pytest.mark.parametrize(
    "method",
    ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "MKCOL", "LOCK", "REPORT", "PURGE"],
)
def test_known_method_reaches_the_application(server: Server, method: str) -> None:
    environ = environ_of(server, get(HOST, target=b"/raw-environ", method=method.encode()))
    assert environ["REQUEST_METHOD"] == method


def test_empty_line_before_the_request_line_is_ignored(server: Server) -> None:
    check_good(server, b"\r\n" + get(HOST))


def test_empty_line_between_pipelined_requests_is_ignored(server: Server) -> None:
    with server.connect() as client:
        client.send(get(HOST) + b"\r\n" + get(HOST))
        assert [client.read_answer().status for _ in range(2)] == [200, 200]


def test_endless_empty_lines_are_refused(server: Server) -> None:
    check_one_refusal(server, b"\r\n" * 5000 + get(HOST), 400)


def test_request_line_as_long_as_the_limit_is_served(server: Server) -> None:
    target = b"/?" + b"a" * (4094 - len(b"GET /? HTTP/1.1"))
    check_good(server, get(HOST, target=target))


@pytest.mark.parametrize("length", [4097, 8192, 100_000])
def test_longer_request_line_is_refused_with_414(server: Server, length: int) -> None:
    target = b"/?" + b"a" * (length - len(b"GET /? HTTP/1.1"))
    check_refused(server, get(HOST, target=target), 414)


def test_unfinished_request_line_is_refused_with_414_as_soon_as_it_is_too_long(server: Server) -> None:
    check_one_refusal(server, b"GET /" + b"a" * 5000, 414)


def test_endless_method_is_refused(server: Server) -> None:
    check_one_refusal(server, b"A" * 5000, (400, 414, 501))


# -- the forms of a target ---------------------------------------------------------------------------------


def test_options_asterisk_reaches_the_application_without_a_path(server: Server) -> None:
    # wsgiref.validate, which stands around the application for "", wants a path that is empty or starts with a slash.
    assert check_good(server, get(HOST, target=b"*", method=b"OPTIONS")).body == b"ready\n"


ABSOLUTE = {
    b"http://other.example/environ?a=b": ("other.example", "/environ", "a=b"),
    b"http://other.example:8080/environ": ("other.example:8080", "/environ", ""),
    b"HTTP://other.example/environ": ("other.example", "/environ", ""),
    b"https://other.example/environ": ("other.example", "/environ", ""),
    b"http://[::1]:8080/environ": ("[::1]:8080", "/environ", ""),
}


@pytest.mark.parametrize(("target", "expected"), ABSOLUTE.items(), ids=[target.decode() for target in ABSOLUTE])
def test_authority_of_an_absolute_target_replaces_host(
    server: Server, target: bytes, expected: tuple[str, str, str]
) -> None:
    environ = environ_of(server, get(b"Host: wrong.example", target=target))
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == expected


@pytest.mark.parametrize("target", [b"http://other.example", b"http://other.example?a=b", b"http://other.example/"])
def test_absolute_target_without_a_path_asks_for_the_root(server: Server, target: bytes) -> None:
    assert check_good(server, get(HOST, target=target)).body == b"ready\n"


def test_absolute_target_makes_no_host_field_superfluous(server: Server) -> None:
    check_refused(server, get(target=b"http://localhost/"), 400)


def test_absolute_target_in_http10_needs_no_host_field(server: Server) -> None:
    data = get(target=b"http://other.example/environ", version=b"HTTP/1.0")
    assert environ_of(server, data)["HTTP_HOST"] == "other.example"


PATHS = {
    b"/environ/a%20b": "/environ/a b",
    b"/environ/caf%C3%A9": "/environ/caf\xc3\xa9",
    b"/environ/a%2Fb%2fc": "/environ/a/b/c",
    b"/environ/a+b": "/environ/a+b",
    b"/environ/%25%32%35": "/environ/%25",
    b"/environ/a;b=c": "/environ/a;b=c",
    b"/environ//a/../b": "/environ//a/../b",
}


@pytest.mark.parametrize(("target", "path"), PATHS.items(), ids=[target.decode() for target in PATHS])
def test_path_info_is_the_decoded_path_and_nothing_else_is_changed(server: Server, target: bytes, path: str) -> None:
    environ = environ_of(server, get(HOST, target=target))
    assert environ["PATH_INFO"] == path
    assert environ["RAW_URI"] == target.decode()


def test_query_string_stays_as_it_was_sent(server: Server) -> None:
    query = "a=%41&b=+&c=%zz&?&/"
    assert environ_of(server, get(HOST, target=b"/environ?" + query.encode()))["QUERY_STRING"] == query


def test_double_slash_at_the_start_is_a_path_and_no_host(server: Server) -> None:
    environ = environ_of(server, get(HOST, target=b"//environ/x"))
    assert (environ["PATH_INFO"], environ["HTTP_HOST"]) == ("//environ/x", "localhost")

"""RFC 9110 §5 and RFC 9112 §5: field lines, their limits, and what of them an application sees."""

from __future__ import annotations

import pytest
from support.checks import check_good, check_one_refusal, check_refused, environ_of, get
from support.server import Server

HOST = b"Host: localhost"

MALFORMED = {
    "space before the colon": b"X-Name : value",
    "tab before the colon": b"X-Name\t: value",
    "no colon": b"X-Name value",
    "no name": b": value",
    "space in the name": b"X Name: value",
    "parenthesis in the name": b"X(Name): value",
    "quote in the name": b'X"Name: value',
    "slash in the name": b"X/Name: value",
    "at in the name": b"X@Name: value",
    "brackets in the name": b"X[Name]: value",
    "NUL in the name": b"X\0Name: value",
    "control character in the name": b"X\x01Name: value",
    "name beyond ASCII": b"X-N\xc3\xa4me: value",
    "NUL in the value": b"X-Name: a\0b",
    "bare CR in the value": b"X-Name: a\rb",
    "bare CR before the end": b"X-Name: a\r\r",
    "bare LF ends the line": b"X-Name: a\nX-Other: b",
    "folded line": b"X-Name: a\r\n b",
    "folded line with a tab": b"X-Name: a\r\n\tb",
    "folded empty line": b"X-Name: a\r\n ",
    "line that starts with a space": b" X-Name: value",
    "line of spaces": b"  ",
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_malformed_field_line_is_refused(server: Server, line: bytes) -> None:
    check_refused(server, get(HOST, line), 400)
    check_refused(server, get(HOST, line, b"Accept: */*"), 400)


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_malformed_field_line_is_refused_in_first_place(server: Server, line: bytes) -> None:
    check_refused(server, get(line, HOST), 400)


def test_field_section_that_ends_with_bare_lf_is_refused(server: Server) -> None:
    check_one_refusal(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\n\r\n\r\n", 400)


def test_every_character_of_a_token_may_be_in_a_name(server: Server) -> None:
    check_good(server, get(HOST, b"!#$%&'*+-.^`|~09azAZ: value"))


VALUES = {
    b"X-Name: value": "value",
    b"X-Name:value": "value",
    b"X-Name: \t value \t ": "value",
    b"X-Name:": "",
    b"X-Name: ": "",
    b"X-Name: a  b": "a  b",
    b"X-Name: a: b": "a: b",
    b'X-Name: "quoted, \\" text"': '"quoted, \\" text"',
    b"X-Name: caf\xc3\xa9": "caf\xc3\xa9",
    b"X-Name: \xff": "\xff",
    b"x-nAmE: value": "value",
}


@pytest.mark.parametrize(("line", "value"), VALUES.items(), ids=[line.decode("latin-1") for line in VALUES])
def test_value_reaches_the_application_without_the_blanks_around_it(server: Server, line: bytes, value: str) -> None:
    assert environ_of(server, get(HOST, line, target=b"/environ"))["HTTP_X_NAME"] == value


def test_repeated_fields_are_joined_in_their_order(server: Server) -> None:
    lines = (b"X-Name: a", b"Accept: */*", b"x-name: b, c", b"X-NAME: d")
    value = environ_of(server, get(HOST, *lines, target=b"/environ"))["HTTP_X_NAME"]
    assert [part.strip() for part in value.split(",")] == ["a", "b", "c", "d"]


def test_several_cookie_fields_are_joined_as_one_cookie(server: Server) -> None:
    data = get(HOST, b"Cookie: a=1", b"Cookie: b=2; c=3", target=b"/environ")
    assert environ_of(server, data)["HTTP_COOKIE"] == "a=1; b=2; c=3"


def test_content_type_and_length_have_no_http_prefix(server: Server) -> None:
    data = get(HOST, b"Content-Type: text/x", b"Content-Length: 0", target=b"/environ")
    environ = environ_of(server, data)
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/x", "0")
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & set(environ)


@pytest.mark.parametrize(
    "line",
    [
        b"X_Forwarded_User: root",
        b"X-Forwarded_User: root",
        b"X_FORWARDED-USER: root",
        b"Content_Length: 5",
        b"Transfer_Encoding: chunked",
        b"Content_Type: text/x",
        b"_: a",
    ],
)
def test_field_whose_name_has_an_underscore_is_dropped(server: Server, line: bytes) -> None:
    plain = set(environ_of(server, get(HOST, target=b"/environ")))
    assert set(environ_of(server, get(HOST, line, target=b"/environ"))) == plain


def test_underscore_does_not_change_the_field_with_a_hyphen(server: Server) -> None:
    lines = (b"X_Name: forged", b"X-Name: true", b"X_Name: forged")
    assert environ_of(server, get(HOST, *lines, target=b"/environ"))["HTTP_X_NAME"] == "true"


def test_wsgi_variables_can_not_be_set_by_a_client(server: Server) -> None:
    lines = (b"Remote-Addr: 6.6.6.6", b"wsgi.url_scheme: https", b"Server-Name: evil", b"Path-Info: /evil")
    environ = environ_of(server, get(HOST, *lines, target=b"/environ"))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["PATH_INFO"] == "/environ"
    assert environ["SERVER_NAME"] != "evil"


# -- limits ------------------------------------------------------------------------------------------------


def test_a_hundred_fields_are_served(server: Server) -> None:
    environ = environ_of(server, get(HOST, *(b"X-%d: %d" % (n, n) for n in range(99)), target=b"/environ"))
    assert environ["HTTP_X_98"] == "98"


def test_more_than_a_hundred_fields_are_refused_with_431(server: Server) -> None:
    check_refused(server, get(HOST, *(b"X-%d: %d" % (n, n) for n in range(100))), 431)


def test_a_hundred_fields_of_a_kilobyte_are_served(server: Server) -> None:
    lines = [b"X-%d: %s" % (n, b"v" * 1024) for n in range(99)]
    environ = environ_of(server, get(HOST, *lines, target=b"/environ"))
    assert environ["HTTP_X_98"] == "v" * 1024


def test_field_as_long_as_the_limit_is_served(server: Server) -> None:
    line = b"X-Long: " + b"v" * (8190 - len(b"X-Long: "))
    assert len(environ_of(server, get(HOST, line, target=b"/environ"))["HTTP_X_LONG"]) == 8182


@pytest.mark.parametrize("length", [8193, 20_000, 200_000])
def test_longer_field_is_refused_with_431(server: Server, length: int) -> None:
    check_refused(server, get(HOST, b"X-Long: " + b"v" * (length - len(b"X-Long: "))), 431)


def test_unfinished_field_is_refused_as_soon_as_it_is_too_long(server: Server) -> None:
    check_one_refusal(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"v" * 9000, 431)


def test_long_field_name_is_refused_with_431(server: Server) -> None:
    check_refused(server, get(HOST, b"N" * 9000 + b": v"), 431)


def test_endless_fields_are_refused_although_the_head_never_ends(server: Server) -> None:
    check_one_refusal(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 300, 431)


def test_head_request_that_is_refused_gets_no_body(server: Server) -> None:
    with server.connect() as client:
        client.send(get(b"Host: a b", method=b"HEAD"))
        answer = client.read_answer("HEAD")
        client.expect_end()
    assert answer.status == 400


@pytest.mark.parametrize(
    "line",
    [b"Upgrade: websocket", b"Upgrade: h2c", b"Upgrade: TLS/1.0"],
)
def test_upgrade_that_we_do_not_speak_is_ignored(server: Server, line: bytes) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.send(get(HOST, b"Connection: Upgrade, HTTP2-Settings", line, b"HTTP2-Settings: AAMAAABk"))
            assert client.read_answer().body == b"ready\n"


def test_upgrade_with_a_body_is_an_ordinary_request(server: Server) -> None:
    lines = (HOST, b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5")
    with server.connect() as client:
        for _ in range(2):
            client.send(get(*lines, method=b"POST", target=b"/echo") + b"hello")
            assert client.read_answer().body == b"hello"

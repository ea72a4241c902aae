"""RFC 9112 §3.2: exactly one valid Host in HTTP/1.1, at most one in HTTP/1.0."""

from __future__ import annotations

import pytest
from support.checks import check_good, check_refused, environ_of, get
from support.server import Server

MALFORMED = [
    b"a b", b"a\tb", b"a/b", b"a?b", b"a#b", b"user@host", b"user:secret@host", b"http://a", b"//a", b"a:b",
    b"a:80:80", b"a:-1", b"a:+80", b"a:8 0", b"a: 80", b"[::1", b"::1", b"[::1]]", b"[::1]x", b"[::1]80", b"[zz]",
    b"[]", b"[", b"]", b"[::1%eth0]", b"[1::2::3]", b"a\\b", b'a"b', b"<a>", b"a%", b"a%zz", b"a\x80b", b"a\xc3\xa9b",
    b"a^b", b"a`b", b"a{b}", b"a|b", b"a\x01b", b"a\x7fb", b":80", b"a, b",
]  # fmt: skip
VALID = [
    b"example.com", b"EXAMPLE.com", b"example.com:8080", b"example.com:", b"localhost", b"127.0.0.1:80", b"[::1]",
    b"[::1]:8080", b"[2001:db8::ff00:42:8329]", b"[::ffff:1.2.3.4]", b"a_b.example", b"xn--bcher-kva.example",
    b"a%20b", b"a-b.c~d", b"example.com.",
]  # fmt: skip


def name(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("host", MALFORMED, ids=name)
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=name)
def test_malformed_host_is_refused(server: Server, host: bytes, version: bytes) -> None:
    check_refused(server, get(b"Host: " + host, version=version), 400)


@pytest.mark.parametrize("host", VALID, ids=name)
def test_valid_host_reaches_the_application_unchanged(server: Server, host: bytes) -> None:
    assert environ_of(server, get(b"Host: " + host, target=b"/environ"))["HTTP_HOST"] == host.decode()


def test_http11_without_host_is_refused(server: Server) -> None:
    check_refused(server, get(), 400)
    check_refused(server, get(b"Accept: */*"), 400)


def test_http10_without_host_is_served(server: Server) -> None:
    check_good(server, get(version=b"HTTP/1.0"))


def test_empty_host_is_refused_or_empty(server: Server) -> None:
    # RFC 9112 §3.2 knows an empty Host for targets without an authority; RFC 9110 §4.2.1 has none such in http.
    answer = server.ask(get(b"Host:", target=b"/raw-environ"))
    assert answer.status == 400 or b'"HTTP_HOST": ["str", ""]' in answer.body


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=name)
@pytest.mark.parametrize(
    "lines",
    [
        (b"Host: a", b"Host: b"),
        (b"Host: a", b"Host: a"),
        (b"Host: a", b"hOST: b"),
        (b"Host: a", b"Accept: */*", b"Host: a"),
        (b"Host: a", b"Host:"),
    ],
)
def test_two_host_fields_are_refused(server: Server, lines: tuple[bytes, ...], version: bytes) -> None:
    check_refused(server, get(*lines, version=version), 400)


def test_two_host_fields_are_refused_beside_an_absolute_target(server: Server) -> None:
    check_refused(server, get(b"Host: a", b"Host: a", target=b"http://a/"), 400)


def test_malformed_host_is_refused_beside_an_absolute_target(server: Server) -> None:
    check_refused(server, get(b"Host: a/b", target=b"http://a/"), 400)


@pytest.mark.parametrize("line", [b"Host : a", b" Host: a", b"Host\t: a", b"Host"])
def test_host_line_that_is_no_field_is_refused(server: Server, line: bytes) -> None:
    check_refused(server, get(line), 400)


def test_blanks_around_host_do_not_belong_to_it(server: Server) -> None:
    assert environ_of(server, get(b"Host: \t a \t ", target=b"/environ"))["HTTP_HOST"] == "a"


def test_good_host_after_a_refused_one_is_served(server: Server) -> None:
    check_refused(server, get(b"Host: a b", b"X-Same: 1"), 400)
    check_good(server, get(b"Host: a", b"X-Same: 1"))

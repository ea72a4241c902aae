"""The environ of a head that fits a shape, or is kept, is that of a head that never came before."""

from __future__ import annotations

from typing import Any

import pytest

from paste_unicorn.http.parser import Head, HeadParser
from paste_unicorn.http.refusals import Refused
from paste_unicorn.wsgi.environ import Environs, peer_environ

TEMPLATES = [
    b"Host: a\r\nA: b\r\nX-Id: @",
    b"Host: a\r\nA: b\r\nX-Forwarded-Proto: https\r\nX-Id: @",
    b"Host: a\r\nA: b\r\nX-Forwarded-Proto: @",
    b"Host: a\r\nA: b\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Ssl: on\r\nX-Id: @",
    b"Host: a\r\nA: b\r\nX-Forwarded-Ssl: off\r\nX-Forwarded-Proto: @",
]
LINES = [b"GET / HTTP/1.1", b"POST /m/x%2fy?z HTTP/1.1", b"GET http://other:81/m HTTP/1.1", b"OPTIONS * HTTP/1.1"]
SECURE = (("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "on"))


def new_parser() -> HeadParser:
    return HeadParser(limit_request_line=0, limit_request_fields=0, limit_request_field_size=0, limit_request_head=0)


def made(environs: Environs, head: Head | None) -> object:
    """The environ, or why there is none."""
    assert head is not None
    try:
        return environs.make(head, peer_environ("1.2.3.4", "5"))
    except Refused as refused:
        return refused.refusal


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("options", [{}, {"prefix": "/m"}, {"trusted": True}, {"prefix": "/m", "trusted": True}])
def test_it_does_not_depend_on_what_came_before(template: bytes, options: dict[str, Any]) -> None:
    environs = Environs({"wsgi.url_scheme": "http", "base": 1}, secure_schemes=SECURE, **options)
    other = Environs({"wsgi.url_scheme": "other"}, secure_schemes=SECURE, trusted=not options.get("trusted"))
    parser = new_parser()
    shapes = 0
    for number in range(100):
        for value in (b"n%d" % number, b"https" + b" " * number):
            line = LINES[number % len(LINES)]
            data = line + b"\r\n" + template.replace(b"@", value) + b"\r\n\r\n"
            head = parser.parse(data)
            assert head is not None
            shapes += head.own is not None
            made(other, head)
            environ = made(environs, head)
            assert environ == made(environs, new_parser().parse(data))
            if isinstance(environ, dict):
                environ.clear()  # it is the application's
    assert shapes > 100

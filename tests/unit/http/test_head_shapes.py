"""Heads that fit a shape: the same answer as from a parser that never saw a head before, and no shape where something
that decides could stand in a gap."""

from __future__ import annotations

import random

import pytest
from http_cases import new_parser, read

from paste_unicorn.http.parser import Head, HeadParser
from paste_unicorn.http.request import Shape

LARGE = {"limit_request_field_size": 1000, "limit_request_head": 4000}
FIRST = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b c\r\n"


def trained(*templates: bytes, **changes: int) -> HeadParser:
    """A parser that has seen each template often, with another number in each request."""
    parser = new_parser(**{**LARGE, **changes})
    for template in templates:
        for number in range(40):
            parser.parse(template.replace(b"@", b"%d-%d" % (templates.index(template), number)))
    return parser


def head_of(parser: HeadParser, data: bytes) -> Head:
    head = parser.parse(data)
    assert head is not None
    return head


def shape_of(parser: HeadParser, data: bytes) -> Shape | None:
    own = head_of(parser, data).own
    return own[0] if own else None


def has_shape(parser: HeadParser, data: bytes) -> bool:
    return shape_of(parser, data) is not None


TEMPLATES = [
    FIRST + b"X-Id: @\r\nCookie: a=@\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Id: @\r\nHost: a\r\nCookie: @\r\nUser-Agent: b c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Id:@\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: @\t \r\nA: b\r\nX-Id: \t@\r\n\r\n",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_head_of_a_shape_is_read_like_any_other(template: bytes) -> None:
    parser = trained(template)
    for value in (b"", b"z", b"a: b", b"\x80\xff", b"x\ty", b" ", b"Host: b", b"@" * 100):
        for line in (b"GET / HTTP/1.1", b"HEAD /x%20y?z HTTP/1.1", b"GET http://other/ HTTP/1.1"):
            data = template.replace(b"@", value).replace(b"GET / HTTP/1.1", line)
            assert has_shape(parser, data)
            for parts in ([data], [b"\r\n\r\n" + data], [data, data], [data + data], [data[:50], data[50:]]):
                assert read(*parts, parser=parser).outcome() == read(*parts, parser=new_parser(**LARGE)).outcome()


def test_another_version_has_no_shape() -> None:
    parser = trained(TEMPLATES[0])
    head = head_of(parser, TEMPLATES[0].replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert head.own is None
    assert not head.keep


INSERTED = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b"\r\n\t", b" ", b"\t", b"\x00", b"\x7f", b"\x80", b":", b"_",
    b"\r\n:",
    b"\r\nHost: b", b"\r\nContent-Length: 3", b"\r\nTransfer-Encoding: chunked", b"\r\nConnection: close",
    b"\r\nX-Id: 2", b"\r\nCookie: 2", b"\r\nX_Id: 2", b"\r\nUpgrade: h2c", b"\r\nExpect: 100-continue", b"\r\nA:",
    b"\r\nUser-Agent: b c", b"Cookie:", b"\r\n\r\nGET / HTTP/1.1\r\n",
]  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_whatever_is_put_in_or_taken_out_the_answer_is_that_of_a_new_parser(template: bytes) -> None:
    parser = trained(template)
    data = template.replace(b"@", b"12")
    changed = [data[:place] + piece + data[place:] for place in range(len(data) + 1) for piece in INSERTED]
    changed += [data[:place] + data[place + size :] for place in range(len(data)) for size in (1, 2, 7)]
    for each in changed:
        expected = read(each, parser=new_parser(**LARGE)).outcome()
        assert read(each, parser=parser).outcome() == expected, each
    assert has_shape(trained(template), data)


def test_many_mutations_of_many_shapes() -> None:
    chance = random.Random(9110)
    parser = trained(*TEMPLATES)
    for _ in range(6000):
        data = bytearray(chance.choice(TEMPLATES).replace(b"@", b"%d" % chance.randrange(1000)))
        for _ in range(chance.randint(0, 3)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.randint(0, 3)] = chance.choice([*INSERTED, bytes([chance.randrange(256)])])
        expected = read(bytes(data), parser=new_parser(**LARGE)).outcome()
        assert read(bytes(data), parser=parser).outcome() == expected, bytes(data)


@pytest.mark.parametrize(
    "template",
    [
        b"GET / HTTP/1.1\r\nHost: @\r\nA: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: @\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: @\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nConnection: @\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: @\r\nUpgrade: h2c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: @\r\nX_Y: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: @\r\nX: c\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nX: @\r\nConnection: keep-alive\r\n\r\n",
    ],
)
def test_what_decides_or_comes_twice_makes_no_shape(template: bytes) -> None:
    assert not has_shape(trained(template), template.replace(b"@", b"new"))


def test_limits_hold_for_what_stands_in_a_gap() -> None:
    for changes in ({"limit_request_field_size": 90}, {"limit_request_head": 120}):
        parser = trained(FIRST + b"X: @\r\n\r\n", **changes)
        for size in range(60, 130):
            data = FIRST + b"X: " + b"y" * size + b"\r\n\r\n"
            expected = read(data, parser=new_parser(**{**LARGE, **changes})).outcome()
            assert read(data, parser=parser).outcome() == expected


def test_a_head_of_a_shape_that_comes_again_and_again_is_kept_whole() -> None:
    parser = trained(FIRST + b"X: @\r\n\r\n")
    heads = [head_of(parser, FIRST + b"X: same\r\n\r\n") for _ in range(60)]
    first, last = heads[0], heads[-1]
    assert first.own is not None
    assert last.own is None
    assert last is heads[-2]
    assert last.block.environ == first.block.environ
    assert last.block.fields == first.block.fields


def test_shapes_are_few_and_the_last_that_was_met_comes_first() -> None:
    templates = [b"GET / HTTP/1.1\r\nHost: a\r\nA-%d: b\r\nX: @\r\n\r\n" % number for number in range(10)]
    parser = trained(*templates)
    shapes = parser._shapes._shapes
    assert len(shapes) == 4
    oldest = shapes[-1]
    assert shape_of(parser, templates[6].replace(b"@", b"new")) is oldest
    assert shapes[0] is oldest
    assert len(set(shapes)) == 4

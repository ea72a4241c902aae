"""What the parser remembers: nothing that was refused, nothing without bound, nothing that changes an answer."""

from __future__ import annotations

import contextlib

import pytest
from http_cases import REFUSED, get, new_parser, post

from paste_unicorn.http.head_cache import HeadCache
from paste_unicorn.http.parser import HeadParser
from paste_unicorn.http.refusals import BAD_FIELD, CODING_IN_HTTP10, NO_HOST, Refused


def caches_of(parser: HeadParser) -> list[HeadCache[bytes, object]]:
    return [cache for cache in vars(parser).values() if isinstance(cache, HeadCache)]


def test_a_value_is_kept_when_it_comes_the_second_time() -> None:
    cache = HeadCache[bytes, int](10, 1000)
    cache.keep(b"a", 1, 1)
    assert cache.recall(b"a", 1) is None
    cache.keep(b"a", 1, 1)
    assert cache.recall(b"a", 1) == 1
    assert cache.young == {b"a": 1}


def test_what_is_in_use_outlives_a_flood() -> None:
    cache = HeadCache[int, int](10, 1000)
    for _ in range(2):
        cache.keep(-1, -1, 1)
    for number in range(1000):
        for _ in range(2):
            cache.keep(number, number, 1)
        assert cache.recall(-1, 1) == -1
        assert len(cache) <= 20
    assert cache.recall(3, 1) is None


def test_keys_are_bounded_in_bytes() -> None:
    cache = HeadCache[bytes, int](1000, 1600)
    for number in range(100):
        key = b"%0100d" % number
        for _ in range(2):
            cache.keep(key, 1, len(key))
        assert sum(map(len, cache.young)) <= 1600
        assert len(cache) <= 32
    for _ in range(2):
        cache.keep(b"a" * 101, 1, 101)
    assert cache.recall(b"a" * 101, 101) is None


def test_a_repeated_head_is_found_as_it_is() -> None:
    parser = new_parser()
    heads = [parser.parse(get(b"A: b")) for _ in range(6)]
    assert heads[-1] is heads[-2]
    assert heads[-1].block.environ == heads[0].block.environ  # type: ignore[union-attr]


def test_line_and_block_are_found_apart() -> None:
    parser = new_parser()
    for number in range(6):
        one = parser.parse(get(b"A: b", line=b"GET /%d HTTP/1.1" % number))
    two = parser.parse(get(b"A: b", line=b"POST /a HTTP/1.1"))
    assert one is not None
    assert two is not None
    assert one.block is two.block


def test_a_flood_of_unique_requests_is_bounded() -> None:
    parser = new_parser()
    for number in range(5000):
        parser.parse(get(b"X-%d: %d" % (number, number), b"B: c", line=b"GET /%d HTTP/1.1" % number))
    assert [len(cache) for cache in caches_of(parser)] == [0, 0, 0, 0]
    assert len(parser._fields._names) <= 512 + 10
    for number in range(5000):
        for _ in range(4):
            parser.parse(get(b"X: %d" % number, line=b"GET /%d HTTP/1.1" % number))
    assert all(len(cache) <= 2048 for cache in caches_of(parser))
    for number in range(2000):
        parser.parse(get(line=b"GET / HTTP/1.1").replace(b"Host: a", b"Host: a%d" % number))
    assert len(parser._fields._hosts) <= 512


def test_nothing_that_was_refused_is_kept() -> None:
    parser = new_parser()
    for data, _ in REFUSED:
        for _ in range(4):
            with contextlib.suppress(Refused):
                parser.parse(data)
    for cache in caches_of(parser):
        for key in cache.young:
            assert not any(key == data for data, _ in REFUSED)
    heads, _, blocks, blocks10 = caches_of(parser)
    # The refused bodies have one head that is in order; of the others there is nothing.
    assert set(heads.young) <= {post(b"Transfer-Encoding: chunked")}
    assert set(blocks.young) <= {b"Host: a\r\nTransfer-Encoding: chunked"}
    assert not blocks10.young


def test_a_block_is_judged_anew_for_the_other_version() -> None:
    parser = new_parser()
    for _ in range(4):
        assert parser.parse(post(b"Transfer-Encoding: chunked")) is not None
        assert parser.parse(b"GET / HTTP/1.0\r\nA: b\r\n\r\n") is not None
    with pytest.raises(Refused) as caught:
        parser.parse(get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"))
    assert caught.value.refusal == CODING_IN_HTTP10
    with pytest.raises(Refused) as caught:
        parser.parse(b"GET / HTTP/1.1\r\nA: b\r\n\r\n")
    assert caught.value.refusal == NO_HOST


def test_the_parser_that_is_used_again_keeps_no_state_of_a_head() -> None:
    # Each of these leaves a parser of llhttp unable to judge another head, if it was given to the one used again.
    leaving = [
        get(b"Connection: close"),
        get(b"Connection: keep-alive"),
        get(b"Connection: close", b"Connection: keep-alive"),
        get(b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: a"),
        get(b"Proxy-Connection: close"),
        get(b"Upgrade: a", b"Connection: upgrade"),
        get(b"Upgrade: a"),
        post(b"Content-Length: 500"),
        post(b"Transfer-Encoding: chunked"),
        get(line=b"GET / HTTP/1.0"),
        get(b"A B: c"),
        b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    for first in leaving:
        for names_known in (False, True):
            parser = new_parser()
            for number in range(3 if names_known else 1):
                with contextlib.suppress(Refused):
                    parser.parse(first)
                assert parser.parse(get(b"X: %d" % number)) is not None
            for bad in (b"A: b\rC: d", b"X Y: z", b"X: \x00"):
                with pytest.raises(Refused):
                    parser.parse(get(bad))
            with pytest.raises(Refused) as caught:
                parser.parse(get(b"X\x80: y"))
            assert caught.value.refusal == BAD_FIELD

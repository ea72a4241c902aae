"""Bytes in, refusal out, however the bytes arrive."""

from __future__ import annotations

import pytest
from http_cases import REFUSED, VALID, Reading, get, new_parser, read

from paste_unicorn.http import refusals
from paste_unicorn.http.refusals import Refusal, Refused


@pytest.mark.parametrize(("data", "refusal"), REFUSED, ids=lambda value: repr(value)[:60])
def test_it_is_refused_for_its_own_reason(data: bytes, refusal: Refusal) -> None:
    assert read(data).refusal == refusal


@pytest.mark.parametrize(("data", "refusal"), REFUSED, ids=lambda value: repr(value)[:60])
def test_it_is_refused_alike_when_split_anywhere(data: bytes, refusal: Refusal) -> None:
    whole = read(data)
    for at in range(1, len(data), 1 if len(data) < 400 else 97):
        assert read(data[:at], data[at:]).outcome() == whole.outcome(), at
    assert read(*[bytes([byte]) for byte in data]).outcome() == whole.outcome()


@pytest.mark.parametrize(("data", "refusal"), REFUSED, ids=lambda value: repr(value)[:60])
def test_it_is_refused_alike_by_a_parser_that_has_seen_much(data: bytes, refusal: Refusal) -> None:
    parser = new_parser()
    for valid, _, _ in VALID * 3:
        read(valid, parser=parser)
    for _ in range(4):
        assert read(data, parser=parser).refusal == refusal
    for valid, count, bodies in VALID:
        reading = read(valid, parser=parser)
        assert (len(reading.heads), reading.bodies) == (count, bodies)


def test_every_refusal_of_the_grammar_has_an_example() -> None:
    rows = {name: row for name, row in vars(refusals).items() if isinstance(row, Refusal)}
    by_others = {
        "HEAD_TOO_LARGE", "UNDERSCORE_IN_NAME", "REPEATED_FORWARDER",  # below, with other settings
        "CONTRADICTING_SCHEMES",  # wsgi/environ.py
        "BODY_TOO_LARGE", "HEAD_TIMEOUT", "BODY_TIMEOUT", "BODY_CUT_OFF", "NO_ROOM_FOR_BODY", "SERVER_ERROR",
        "WAITED_TOO_LONG", "OVERTIME",
         # workers/
    }  # fmt: skip
    shown = {refusal for _, refusal in REFUSED}
    assert {name for name, row in rows.items() if row not in shown} == by_others


def test_refusals_are_told_apart_by_their_names_and_say_nothing_of_the_inside() -> None:
    rows = [row for row in vars(refusals).values() if isinstance(row, Refusal)]
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        assert row.sentence.endswith(".")
        assert 400 <= row.status < 600
        assert row.sentence.isascii()
        assert not any(word in row.sentence.lower() for word in ("python", "llhttp", "worker", "paste"))


def refused_by(data: bytes, seen: int = 0, **settings: object) -> Refused:
    with pytest.raises(Refused) as caught:
        new_parser(**settings).parse(data, seen)
    return caught.value


def test_a_head_that_is_too_large_in_whole_is_refused() -> None:
    data = get(b"A: 34567", b"B: 34567")  # 14 + 7 + 8 + 8 bytes without the CRLFs
    assert new_parser(limit_request_head=37).parse(data) is not None
    assert refused_by(data, limit_request_head=36).refusal == refusals.HEAD_TOO_LARGE
    for at in range(1, len(data)):
        parser = new_parser(limit_request_head=36)
        assert read(data[:at], data[at:], parser=parser).refusal == refusals.HEAD_TOO_LARGE


def test_a_known_block_is_too_large_behind_a_longer_line() -> None:
    parser = new_parser(limit_request_head=37)
    for _ in range(4):
        assert parser.parse(get(b"A: 34567", b"B: 34567")) is not None
    with pytest.raises(Refused) as caught:
        parser.parse(get(b"A: 34567", b"B: 34567", line=b"GET /a HTTP/1.1"))
    assert caught.value.refusal == refusals.HEAD_TOO_LARGE


def test_zero_is_no_limit() -> None:
    parser = new_parser(limit_request_line=0, limit_request_fields=0, limit_request_field_size=0, limit_request_head=0)
    data = get(*[b"A: " + b"b" * 20000] * 200, line=b"GET /" + b"a" * 20000 + b" HTTP/1.1")
    assert parser.parse(data) is not None


def test_the_defaults_of_the_settings_allow_what_they_say() -> None:
    parser = new_parser(
        limit_request_line=4094,
        limit_request_fields=100,
        limit_request_field_size=8190,
        limit_request_head=4094 + 100 * 8190,
    )
    field = b"A: " + b"b" * 8187
    data = get(*[field] * 99, line=b"GET /" + b"a" * (4094 - 14) + b" HTTP/1.1")
    assert parser.parse(data) is not None
    assert read(get(*[field] * 100), parser=parser).refusal == refusals.TOO_MANY_FIELDS
    assert read(get(field + b"b"), parser=parser).refusal == refusals.FIELD_TOO_LARGE


def test_names_with_an_underscore_are_refused_where_that_is_wanted() -> None:
    data = get(b"A_B: c")
    assert refused_by(data, header_map="refuse").refusal == refusals.UNDERSCORE_IN_NAME
    parser = new_parser(header_map="refuse")
    assert read(*[bytes([b]) for b in data], parser=parser).refusal == refusals.UNDERSCORE_IN_NAME


def test_a_forwarder_field_comes_once() -> None:
    data = get(b"SCRIPT_NAME: /a", b"script_name: /b")
    assert refused_by(data, forwarder_headers=["SCRIPT_NAME"]).refusal == refusals.REPEATED_FORWARDER


def test_the_request_line_is_told_to_logs() -> None:
    assert refused_by(get(b"A B: c")).request_line == b"GET / HTTP/1.1"
    assert refused_by(b"GET /\x00").request_line == b"GET /\x00"
    assert refused_by(b"\r\n" * 6).request_line == b""
    assert len(refused_by(b"a" * 5000).request_line) == 1024
    assert refused_by(get(b"A B: c", line=b"HEAD / HTTP/1.1")).head_request
    assert not refused_by(get(b"A B: c")).head_request


def test_a_refusal_comes_as_early_as_it_can_be_known() -> None:
    for data in (
        b"GET / HTTP/1.1\n",
        b"\x16\x03\x01",
        b" ",
        b"\x80",
        b"FOO / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n",
        b"GET / HTTP/1.1\r\nA: b\n",
        b"a" * 101,
        b"GET / HTTP/1.1\r\n" + b"a" * 61,
    ):
        assert Reading().refusal is None
        assert read(data).refusal is not None, data

"""Whatever bytes come, and however they are split: one answer, and no exception but Refused."""

from __future__ import annotations

import random
from itertools import pairwise

from http_cases import REFUSED, VALID, Reading, new_parser, read
from hypothesis import example, given
from hypothesis import strategies as st

from paste_unicorn.http.refusals import Refused

ALL = [data for data, _ in REFUSED] + [data for data, _, _ in VALID]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b",", b";", b"\x00", b"\x7f", b"\x80", b"_",
    b"Host: b\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"HTTP/1.0",
    b"Expect: a\r\n",
    b"0\r\n\r\n", b"1\r\na\r\n", b"GET / HTTP/1.1\r\n", b"A: b\r\n", b"%", b"#", b"=", b'"', b"Upgrade: h2c\r\n",
]  # fmt: skip
WARM = new_parser()  # has seen all that came before


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def check(data: bytes, cuts: list[int]) -> Reading:
    whole = read(data)
    assert read(*split(data, cuts)).outcome() == whole.outcome()
    assert read(*split(data, cuts), parser=WARM).outcome() == whole.outcome()
    assert read(data, parser=WARM).outcome() == whole.outcome()
    return whole


@given(st.sampled_from([data for data, _, _ in VALID]), st.lists(st.integers(0, 2000), max_size=20))
def test_a_valid_request_split_anywhere_is_read_alike(data: bytes, cuts: list[int]) -> None:
    assert check(data, cuts).complete


@given(
    st.sampled_from(ALL),
    st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 3), st.one_of(st.sampled_from(PIECES), st.binary(max_size=3))),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(0, 3000), max_size=10),
)
def test_a_mutated_request_is_answered_alike_however_it_arrives(
    data: bytes, edits: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    for place, removed, added in edits:
        place %= len(data) + 1
        data = data[:place] + added + data[place + removed :]
    check(data, cuts)


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=25), st.lists(st.integers(0, 300)))
@example([b"GET / HTTP/1.1\r\n", b"\r\n", b"\r\n"], [])
def test_a_heap_of_pieces_is_answered_alike_however_it_arrives(pieces: list[bytes], cuts: list[int]) -> None:
    check(b"".join(pieces), cuts)


def test_many_mutations_of_a_fixed_seed() -> None:
    chance = random.Random(9112)
    for _ in range(3000):
        data = bytearray(chance.choice(ALL)[:300])
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.randint(0, 2)] = chance.choice(PIECES)
        check(bytes(data), [chance.randrange(400) for _ in range(3)])


def test_every_byte_at_every_place_of_a_head() -> None:
    data = b"GET /a HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n"
    parser = new_parser()
    for place in range(len(data)):
        for byte in range(256):
            changed = data[:place] + bytes([byte]) + data[place + 1 :]
            try:
                head = parser.parse(changed)
            except Refused:
                continue
            assert head is None or changed[head.end - 4 : head.end] == b"\r\n\r\n"

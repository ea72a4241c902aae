"""The same bytes for h11: every difference is one that docs/requests.md explains."""

from __future__ import annotations

import random
import re

import h11
import pytest
from http_cases import REFUSED, VALID, new_parser, read
from test_http_fuzz import ALL, PIECES
from test_requests_page import PAGE

LIST = PAGE.partition("## A second opinion")[2]
STRICTER = {
    name.strip() for row in re.findall(r"^\| ([^|]+) \| [^|]+ \|$", LIST, re.MULTILINE)[1:] for name in row.split(",")
} - {"---"}  # fmt: skip
# What h11 says of what we accept, and what is in it then. (The page has the reasons.)
LAXER = [
    ("no request line received", b"\r\n"),  # empty lines before a request
    ("Got data when expecting EOF", b""),  # bytes behind a request that is the last one
    (
        "bad Content-Length|conflicting Content-Length|Only Transfer-Encoding|multiple Transfer",
        b"\r\n0",
    ),  # in a trailer
]
PARSER = new_parser()


def by_h11(data: bytes) -> tuple[str, list[bytes]]:
    """ "accepts", "unfinished" or h11's complaint, and the bodies of the requests found."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(data)
    bodies: list[bytes] = []
    try:
        while True:
            event = server.next_event()
            if event is h11.NEED_DATA:
                return "unfinished" if server.trailing_data[0] else "accepts", bodies
            if isinstance(event, h11.Request):
                bodies.append(b"")
            elif isinstance(event, h11.Data):
                bodies[-1] += bytes(event.data)
            elif event is h11.PAUSED:
                server.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                server.send(h11.EndOfMessage())
                if server.our_state is not h11.DONE:
                    return "accepts", bodies
                server.start_next_cycle()
    except h11.RemoteProtocolError as error:
        return str(error), bodies


def compare(data: bytes) -> str | None:
    """The name of the refusal by which we are stricter here, if we are. Fails where we are laxer unexplained."""
    ours = read(data, parser=PARSER)
    # A connection that is not kept ends for us with its request.
    last = next((at for at, head in enumerate(ours.heads) if not head.keep), None)
    if last is not None and last + 1 < len(ours.heads) + (ours.refusal is not None):
        return None
    verdict, bodies = by_h11(data)
    if ours.refusal is not None:
        return ours.refusal.name if verdict == "accepts" else None
    if verdict not in ("accepts", "unfinished"):
        assert any(re.match(pattern, verdict) and where in data for pattern, where in LAXER), (data, verdict)
        return None
    # A head that is not complete yet may already have been found by h11, which takes a bare LF for its end.
    assert bodies[: len(ours.bodies)] == ours.bodies, data
    return None


def test_what_we_refuse_and_h11_accepts_is_listed() -> None:
    assert {compare(data) for data, _ in REFUSED} - {None} == STRICTER


@pytest.mark.parametrize(("data", "count", "bodies"), VALID)
def test_what_we_accept_h11_accepts(data: bytes, count: int, bodies: list[bytes]) -> None:
    assert compare(data) is None


def test_mutated_requests_differ_only_as_listed() -> None:
    chance = random.Random(7230)
    for _ in range(4000):
        data = bytearray(chance.choice(ALL)[:400])
        for _ in range(chance.randint(0, 2)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.randint(0, 2)] = chance.choice(PIECES)
        assert compare(bytes(data)) in STRICTER | {None}, bytes(data)

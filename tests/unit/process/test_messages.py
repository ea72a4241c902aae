"""The vocabulary survives the way."""

from __future__ import annotations

import os
import socket
import typing
from dataclasses import replace

import pytest

from paste_unicorn.process.channel import Channel, report
from paste_unicorn.process.messages import (
    LONGEST_REASON,
    End,
    Equip,
    Exited,
    Failed,
    Fork,
    Forked,
    ForkFailed,
    GoesOn,
    Imported,
    Inherited,
    Load,
    Loaded,
    Message,
    Origin,
    Ready,
    Recipe,
    ReopenLogs,
    Serving,
    Stillborn,
    Stopping,
    Succeed,
    Tired,
    UnknownMessage,
    decode,
    encode,
    shortened,
)

ORIGIN = Origin(
    recipe=Recipe("config:prod.ini#site", None, "/srv", {"port": "80"}),
    server=Recipe("config:prod.ini", "main", "/srv", {"port": "80"}),
    ini_path="/srv/prod.ini",
    section="server:main",
    local_conf={"workers": "2"},
    cwd="/srv",
    umask=0o022,
    sys_path=("", "/srv"),
    environ={"LANG": "C"},
)
LOAD = Load(generation=2, origin=ORIGIN, python_path=None, reloading=False)
LISTENERS = (
    Inherited("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", "80", False, True, "", (0, 0)),
    Inherited("unix:/run/s", "unix:/run/s", "localhost", "80", True, True, "/run/s", (1, 2**40)),
)
MESSAGES: tuple[Message, ...] = (
    LOAD,
    Equip((("127.0.0.1:80", "127.0.0.1", "80", False), ("unix:/run/s", "localhost", "80", True))),
    Succeed(ORIGIN, LISTENERS, ("/run/pid",), "/lib"),
    Fork(1, 7),
    ReopenLogs(),
    End(),
    Loaded({"workers": "2"}),
    Serving(4711, (0, 2)),
    Failed("Traceback …\n  \udcff"),
    Forked(1, 4711),
    ForkFailed(1, "no"),
    Exited(1, 4711, 9),
    Ready(1, 2, 4711),
    Stillborn(4711, "Traceback …"),
    Tired(1, 4711, "it has answered 1000 requests"),
    Imported(("/a.py", "/b.py")),
    Stopping(),
    GoesOn(),
)


def test_there_is_an_example_of_every_message() -> None:
    assert {type(message) for message in MESSAGES} == set(typing.get_args(Message))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_decoded_to_what_was_encoded(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("without", ["recipe", "server"])
def test_an_origin_may_be_known_in_part(without: str) -> None:
    load = replace(LOAD, origin=replace(ORIGIN, **{without: None}))  # type: ignore[arg-type]
    assert decode(encode(load)) == load


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"is":"Nonsense"}',
        b'{"is":"Fork","slot":1}',
        b'{"is":"Fork","slot":1,"age":2,"x":3}',
        b'{"is":"Load","origin":7}',
        b'{"is":"Load","origin":{"recipe":{"uri":"x"}}}',
        b'{"is":"Succeed","listeners":[1]}',
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(UnknownMessage):
        decode(data)


def test_descriptors_travel_beside_a_message_and_are_close_on_exec() -> None:
    one, other = Channel.pair()
    reader, writer = os.pipe()
    one.send(LOAD, [reader])
    received = other.receive()
    assert received is not None
    message, (fd,) = received
    assert message == LOAD
    assert not os.get_inheritable(fd)
    os.write(writer, b"x")
    assert os.read(fd, 1) == b"x"
    for number in (reader, writer, fd):
        os.close(number)
    one.close()
    other.close()


def test_what_is_too_long_for_a_datagram_arrives_whole() -> None:
    """An environment may have megabytes."""
    long = replace(LOAD, origin=replace(LOAD.origin, environ={str(number): "x" * 100_000 for number in range(20)}))
    one, other = Channel.pair()
    reader, writer = os.pipe()
    before = set(os.listdir("/dev/fd"))
    one.send(long, [reader])
    one.send(Fork(1, 1))
    received = other.receive()
    assert received is not None
    message, (fd,) = received
    assert message == long
    assert os.path.sameopenfile(fd, reader)
    os.close(fd)
    assert set(os.listdir("/dev/fd")) <= before
    assert other.receive() == (Fork(1, 1), [])
    for number in (reader, writer):
        os.close(number)
    one.close()
    other.close()


def test_messages_keep_their_borders() -> None:
    one, other = Channel.pair()
    one.send(Fork(1, 1))
    one.send(Fork(2, 2))
    assert other.receive() == (Fork(1, 1), [])
    assert other.receive() == (Fork(2, 2), [])
    one.close()
    other.close()


def test_the_end_of_the_other_side_is_seen_behind_what_it_said() -> None:
    one, other = Channel.pair()
    one.send(Loaded(None))
    one.close()
    assert other.receive() == (Loaded(None), [])
    assert other.receive() is None
    other.close()


def test_a_long_list_of_files_is_reported_in_pieces() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.setblocking(False)
    paths = tuple(f"/{'x' * 2000}/{number}" for number in range(90))
    report(one, Imported(paths))
    one.close()
    received: list[str] = []
    while (message := Channel(other).receive()) is not None:
        assert isinstance(message[0], Imported)
        received += message[0].paths
    assert tuple(received) == paths
    other.close()


@pytest.mark.parametrize("more", [-1, 0])
def test_a_reason_that_is_not_too_long_stays_as_it_is(more: int) -> None:
    reason = "x" * (LONGEST_REASON + more)
    assert shortened(reason) == reason


@pytest.mark.parametrize("length", [LONGEST_REASON + 1, LONGEST_REASON * 2, 10**6, 10**7 + 1])
def test_a_reason_that_is_too_long_has_its_beginning_and_its_end_and_says_how_much_is_left_out(length: int) -> None:
    reason = "begin" + "x" * (length - 8) + "end"
    short = shortened(reason)
    assert len(short) <= LONGEST_REASON
    beginning, said, end = short.splitlines()
    assert reason.startswith(beginning)
    assert reason.endswith(end)
    assert min(len(beginning), len(end)) > LONGEST_REASON // 2 - 100
    assert said == f"[... {length - len(beginning) - len(end):,} characters are left out here ...]"

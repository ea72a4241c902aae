"""The pair through which connections are passed on: what the kernel keeps, and for how long."""

from __future__ import annotations

import array
import contextlib
import os
import socket

import pytest

from paste_unicorn.process.handoff import HandoffPair


def put(pair: HandoffPair, data: bytes, fd: int) -> None:
    pair.into.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def close(pair: HandoffPair) -> None:
    pair.into.close()
    pair.out_of.close()


def test_a_message_comes_whole_or_not_at_all_and_nobody_waits() -> None:
    pair = HandoffPair.create()
    long = bytes(100_000)
    pair.into.send(b"short")
    pair.into.send(long)
    assert pair.out_of.recv(200_000) == b"short"
    assert pair.out_of.recv(200_000) == long
    with pytest.raises(BlockingIOError):
        pair.out_of.recv(1)
    close(pair)


def test_neither_end_reaches_what_the_application_execs() -> None:
    pair = HandoffPair.create()
    copies = HandoffPair.from_fds(*(os.dup(fd) for fd in pair.filenos()))
    for end in (pair.into, pair.out_of, copies.into, copies.out_of):
        assert not end.get_inheritable()
        assert not end.getblocking()
    close(pair)
    close(copies)


def test_what_is_queued_outlives_the_worker_that_put_it_in_as_long_as_anybody_holds_the_pair() -> None:
    arbiter_s = HandoffPair.create()
    worker_s = HandoffPair.from_fds(*(os.dup(fd) for fd in arbiter_s.filenos()))
    client, connection = socket.socketpair()
    put(worker_s, b"x", connection.fileno())
    connection.close()
    close(worker_s)
    data, fds, _, _ = socket.recv_fds(arbiter_s.out_of, 10, 1)
    assert data == b"x"
    with socket.socket(fileno=fds[0]) as received:
        received.sendall(b"still here")
        assert client.recv(100) == b"still here"
    client.close()
    close(arbiter_s)


def test_a_full_queue_refuses_at_once_and_holds_some_hundred_connections() -> None:
    pair = HandoffPair.create()
    client, connection = socket.socketpair()
    queued = 0
    with contextlib.suppress(BlockingIOError):
        while queued < 3000:
            put(pair, bytes(64), connection.fileno())
            queued += 1
    assert 100 < queued < 3000
    for one in (client, connection):
        one.close()
    close(pair)

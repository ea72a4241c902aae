"""What a connection does with an answer that its client does not take at once. Real sockets, both ends here."""

from __future__ import annotations

import socket
import sys
import threading
from _socket import socket as RawSocket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from paste_unicorn.workers import connection as connection_module
from paste_unicorn.workers.connection import ClientGone, Connection, SendLimits
from paste_unicorn.wsgi.environ import Environs, peer_environ
from paste_unicorn.wsgi.file_wrapper import FileRegion

BIG = bytes(range(256)) * 8192  # 2 MiB: more than the kernel takes without a reader


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    raw = RawSocket(ours.family, ours.type, 0, ours.detach())
    raw.setblocking(False)
    limits = SendLimits(response_buffer=8 << 20, send_timeout_s=0.2)
    connection = Connection(raw, peer_environ("192.0.2.1", "4711"), Environs({}), limits, 0.0)
    theirs.settimeout(10)
    yield connection, theirs
    connection.close()
    theirs.close()


def read_all(sock: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        received += sock.recv(1 << 20)
    return bytes(received)


def test_what_the_kernel_takes_leaves_at_once(ends: tuple[Connection, socket.socket]) -> None:
    connection, client = ends
    connection.send(b"hello")
    assert client.recv(100) == b"hello"
    assert not connection.output


def test_the_rest_is_held_in_order(ends: tuple[Connection, socket.socket]) -> None:
    connection, client = ends
    connection.send(BIG)
    connection.send(b"end")
    assert connection.unsent > 0
    assert not connection.flush()
    received = bytearray()
    while not connection.flush():
        received += client.recv(1 << 20)
    received += read_all(client, len(BIG) + 3 - len(received))
    assert bytes(received) == BIG + b"end"
    assert connection.unsent == 0


def test_what_is_held_looks_empty_to_other_threads_only_when_all_is_sent(
    ends: tuple[Connection, socket.socket],
) -> None:
    """At no line, wherever they come in between."""
    connection, client = ends

    def look(frame: FrameType, event: str, argument: object) -> Any:
        seen.append((bool(connection.output), connection.unsent > 0))
        return look

    seen: list[tuple[bool, bool]] = []
    for part in (BIG, b"more", b"", BIG, b"end"):
        connection.send(part)
    before = sys.gettrace()
    sys.settrace(look)
    try:
        while not connection.flush():
            client.recv(1 << 20)
    finally:
        sys.settrace(before)
    assert len(seen) > 100
    assert (False, True) not in seen


def test_parts_leave_as_if_they_were_joined(ends: tuple[Connection, socket.socket]) -> None:
    """Wherever the kernel stops to take them, and behind what waits already."""
    connection, client = ends
    parts = [b"begin", BIG, b"", b"end", BIG[:1000]]
    for _ in range(3):
        connection.send_parts(parts)
    assert connection.unsent > 0
    received, size = bytearray(), 3 * sum(map(len, parts))
    while not connection.flush():
        received += client.recv(1 << 20)
    received += read_all(client, size - len(received))
    assert bytes(received) == b"".join(parts) * 3
    assert connection.unsent == 0


def test_beyond_the_buffer_the_application_waits_for_the_client(
    ends: tuple[Connection, socket.socket],
) -> None:
    connection, client = ends
    connection.limits = SendLimits(response_buffer=1000, send_timeout_s=10)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(client, len(BIG))))
    reader.start()
    connection.send(BIG)
    assert connection.unsent <= 1000
    while not connection.flush():
        pass
    reader.join()
    assert received == [BIG]


def test_a_client_that_takes_nothing_is_given_up(ends: tuple[Connection, socket.socket]) -> None:
    connection, _ = ends
    connection.limits = SendLimits(response_buffer=1000, send_timeout_s=0.05)
    with pytest.raises(ClientGone, match="took nothing"):
        connection.send(BIG)


def test_a_closed_client_is_gone(ends: tuple[Connection, socket.socket]) -> None:
    connection, client = ends
    client.close()
    with pytest.raises(ClientGone):
        connection.send(b"x")


def test_a_file_is_sent_although_its_owner_closes_it(ends: tuple[Connection, socket.socket], tmp_path: Path) -> None:
    connection, client = ends
    path = tmp_path / "file"
    path.write_bytes(BIG)
    with path.open("rb") as file:
        connection.send(b"head")
        connection.send_file(FileRegion(file.fileno(), 256, len(BIG) - 256))
    assert connection.unsent == 0, "a file costs no memory while it waits"
    received = bytearray()
    while not connection.flush():
        received += client.recv(1 << 20)
    received += read_all(client, len(BIG) - 256 + 4 - len(received))
    assert bytes(received) == b"head" + BIG[256:]


def test_a_file_that_became_shorter_cuts_the_connection(ends: tuple[Connection, socket.socket], tmp_path: Path) -> None:
    connection, _ = ends
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with path.open("rb") as file, pytest.raises(ClientGone, match="shorter"):
        connection.send_file(FileRegion(file.fileno(), 0, 100))


def test_a_fast_reader_of_a_large_file_leaves_others_their_turn(
    ends: tuple[Connection, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast it takes what is sent, the loop comes back after a bound."""
    monkeypatch.setattr(connection_module, "FLUSH_SIZE", 10_000)
    connection, client = ends
    path = tmp_path / "file"
    path.write_bytes(BIG[:35_000])
    with path.open("rb") as file:
        connection.send_file(FileRegion(file.fileno(), 0, 35_000))
    left = []
    while connection.output:
        (region,) = connection.output
        assert isinstance(region, FileRegion)
        left.append(region.length)
        assert connection.flush() is not bool(connection.output)
    assert left == [25_000, 15_000, 5_000]
    assert read_all(client, 35_000) == BIG[:35_000]


def test_waiting_for_more_ends(ends: tuple[Connection, socket.socket]) -> None:
    connection, _ = ends
    assert not connection.wait_readable(0.01)

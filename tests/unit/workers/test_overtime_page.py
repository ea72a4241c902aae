"""The 504 of a request whose time is up leaves once, and whole, however much of it the kernel takes at a time."""

from __future__ import annotations

import contextlib
import socket
import time
from _socket import socket as RawSocket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from workbench import REQUEST, Bench, Worker

from paste_unicorn.http.parser import HeadParser
from paste_unicorn.http.refusals import OVERTIME
from paste_unicorn.workers.connection import Connection, SendLimits
from paste_unicorn.workers.overtime import Overtime
from paste_unicorn.wsgi.environ import peer_environ

LIMIT_S = 60.0


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Ours, which does not block, and a client's that has little room."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 40_000)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    return ours, client


def sizes_that_fill(page: int) -> Iterator[list[int]]:
    """What can be sent before a page of which the kernel then takes a part only."""
    for first in range(50_000, 66_000, 97):
        ours, client = tcp_pair()
        with ours, client, contextlib.suppress(BlockingIOError):
            sizes = [first]
            ours.send(bytes(first))
            while (sent := ours.send(bytes(page))) == page:
                sizes.append(page)
            if sent:
                yield sizes


def takes(connection: Connection, sizes: list[int]) -> bool:
    """Whether the kernel takes all of it once more. It does not where it had more time before, and so more room."""
    with contextlib.suppress(BlockingIOError):
        return all(connection.sock.send(bytes(size)) == size for size in sizes)
    return False


def connection_of(worker: Worker, ours: socket.socket) -> Connection:
    raw = RawSocket(ours.family, ours.type, 0, ours.detach())
    raw.setblocking(False)
    limits = SendLimits(1 << 20, 10)
    return Connection(raw, peer_environ("192.0.2.1", "4711"), worker.environs(), limits, time.monotonic())


def run_late(worker: Worker, connection: Connection, meanwhile: Callable[[Overtime], None]) -> None:
    """One request whose time is up; then `meanwhile`, and it comes to its end."""
    exchange = worker.worker._exchange
    overtime = Overtime(LIMIT_S, 60, exchange, worker.slot, lambda why: None, lambda text: None)
    overtime.interrupt = lambda run: None

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        overtime._look(time.monotonic() + LIMIT_S)
        meanwhile(overtime)
        raise ValueError("interrupted")

    exchange._application = application
    exchange.watch_by(overtime)
    parser = HeadParser(
        limit_request_line=4094, limit_request_fields=100, limit_request_field_size=8190, limit_request_head=0
    )
    head = parser.parse(REQUEST, 0)
    assert head is not None
    response = exchange.run(connection, head, None, True)  # type: ignore[arg-type]
    assert (response.complete, response.keep) == (True, False)


def read(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(65536)):
        data += more
    return data


@pytest.mark.parametrize("when", ["by the watch", "at the end"])
def test_a_page_of_which_the_kernel_took_a_part_goes_on_from_there(bench: Bench, when: str) -> None:
    worker = bench.worker()
    page = worker.worker._exchange.page(OVERTIME, False)
    taken: list[int] = []
    for sizes in sizes_that_fill(len(page)):
        ours, client = tcp_pair()
        connection, received = connection_of(worker, ours), bytearray()

        def meanwhile(
            overtime: Overtime, client: socket.socket = client, received: bytearray = received, size: int = sum(sizes)
        ) -> None:
            (run,) = overtime._runs
            taken.append(len(page) - len(run.unsent))
            if when == "by the watch":
                received += read(client, size)
                overtime._look(time.monotonic() + LIMIT_S)
                assert not run.unsent

        with client:
            if not takes(connection, sizes):
                connection.close()
                continue
            run_late(worker, connection, meanwhile)
            while connection.output:
                received += read(client, 1)
                connection.flush()
            connection.close()
            received += read(client, 1 << 20)
        assert received.lstrip(b"\0") == page
        if 0 < taken[-1] < len(page):
            return
    raise AssertionError(f"the kernel always took all or nothing: {taken}")

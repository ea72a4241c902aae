"""Requests that run until they are let through, or for long."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from support.client import Client, request_bytes
from support.server import Server, wait_for


def pid_of(client: Client) -> int:
    """Ask who serves this connection; it must stay open."""
    client.send(request_bytes("GET", "/pid"))
    answer = client.read_answer()
    assert not answer.closes, answer
    return int(answer.body)


class Gate:
    """A request that runs until `open`; `alone`: and nothing else in its worker, whatever its class."""

    def __init__(self, server: Server, name: str = "gate", alone: bool = False) -> None:
        self.path: Path = server.directory / name
        self._waiting = self.path.with_suffix(".waiting")
        self.request = request_bytes("GET", f"/wait-for-file?path={self.path}{'&alone' if alone else ''}")

    def occupy(self, client: Client) -> int:
        """Ask, and wait until the application runs; the worker in which it does."""
        client.send(self.request)
        return self.wait()

    def wait(self) -> int:
        wait_for(self.is_running, "the application runs")
        return int(self._waiting.read_text())

    def is_running(self) -> bool:
        return self._waiting.exists()

    def open(self) -> None:
        self.path.touch()

    def let_through(self, client: Client) -> None:
        """Open it, and read the answer."""
        self.open()
        assert client.read_answer().body == b"it is there\n"


@contextlib.contextmanager
def client_of(server: Server, pid: int) -> Iterator[Client]:
    """A connection to that one of two workers: if the other one takes the first, it is kept busy for a moment."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(server.connect())
        number = 0
        while pid_of(client) != pid:
            number += 1
            gate = Gate(server, f"gate-{pid}-{number}", alone=True)
            client = busy = stack.enter_context(server.connect())
            if gate.occupy(busy) != pid:
                client = stack.enter_context(server.connect())
                pid_of(client)
            gate.let_through(busy)
        yield client


@contextlib.contextmanager
def kept_busy(server: Server, pid: int) -> Iterator[tuple[Client, Gate]]:
    """A client whose request, and nothing else, runs in that one of two workers, until it is let through.

    One that has just answered, and is not ready for more yet, may pass its connection on.
    """
    for number in range(100):
        gate = Gate(server, f"alone-{number}", alone=True)
        with client_of(server, pid) as client:
            if gate.occupy(client) == pid:
                yield client, gate
                return
            gate.let_through(client)
    raise AssertionError(f"worker {pid} runs nothing")


@contextlib.contextmanager
def spinning(server: Server) -> Iterator[None]:
    """A worker, whoever its user, is in a request that listens to nobody (`support.supervised`)."""
    place = server.directory / "place"
    place.mkdir()
    place.chmod(0o777)
    with server.connect() as client:
        client.send(request_bytes("GET", f"/spin?s=60&touch={place}/begun"))
        wait_for((place / "begun").exists, "the request begins")
        yield

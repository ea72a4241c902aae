"""Very many connections at once: crowds that hold a server's connections, and good clients that must not notice.

Works in threads of this process, so it measures nothing: it only counts what failed.
"""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator

from support.client import Address, Client, request_bytes
from support.server import Server

JUST_CONNECTED_S = 1.0  # who has connected, and says nothing for so long, is not waited for by a server that stops


def allow_descriptors(count: int) -> None:
    """Raise our own limit of open files, and that of the servers started from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


@contextlib.contextmanager
def crowd(address: Address, count: int, data: bytes, receive_buffer: int | None = None) -> Iterator[list[Client]]:
    """That many connections on which this was sent, and nothing was read."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(Client(address, 30.0, receive_buffer))
            client.send(data)
            clients.append(client)
        yield clients


def still_open(clients: list[Client]) -> list[Client]:
    """Those on which nothing has come, and no end."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
        spoken = {id(key.data) for key, _ in selector.select(0)}
    return [client for client in clients if id(client) not in spoken]


def good_clients(server: Server, threads: int = 4, requests: int = 100) -> list[str]:
    """Ordinary clients, half of them with a connection a request; what failed first for each, one line each."""
    failures: list[str] = []

    def one_by_one() -> None:
        for number in range(requests):
            try:
                answer = server.get(f"/?{number}")
                if answer.body != b"ready\n":
                    failures.append(f"{answer}")
            except (AssertionError, OSError) as error:
                failures.append(f"a connection a request, number {number}: {error!r}")
                return

    def kept_alive() -> None:
        try:
            with server.connect() as client:
                for number in range(requests):
                    client.send(request_bytes("GET", f"/?{number}"))
                    answer = client.read_answer()
                    if answer.body != b"ready\n":
                        failures.append(f"{answer}")
        except (AssertionError, OSError) as error:
            failures.append(f"kept alive: {error!r}")

    in_threads([one_by_one if number % 2 else kept_alive for number in range(threads)])
    return failures


def in_threads(functions: list[Callable[[], None]], while_running: Callable[[], None] | None = None) -> None:
    """Run them all at once, and wait for all."""
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    if while_running is not None:
        while_running()
    for thread in threads:
        thread.join(60.0)
        assert not thread.is_alive(), "a client never came to its end"


class Hurried:
    """A client that connects as fast as it can, until it is refused; knows how each connection ended."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.answered = 0
        self.lost: list[str] = []
        self.stop = False

    def run(self) -> None:
        give_up = time.monotonic() + 30.0
        while not self.stop and time.monotonic() < give_up:
            sock = socket.socket()
            # A handshake that the server lets hang is no established connection.
            sock.settimeout(1.0)
            began = time.monotonic()
            try:
                sock.connect(self.address)
            except OSError:
                sock.close()
                return
            self._ask(sock, began)
            sock.close()

    def _ask(self, sock: socket.socket, began: float) -> None:
        sock.settimeout(20.0)
        received, how = b"", "closed"
        try:
            try:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            finally:
                silent_s = time.monotonic() - began
            while data := sock.recv(65536):
                received += data
        except OSError as error:
            how = repr(error)
        if received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"\r\n\r\nready\n"):
            self.answered += 1
        elif received or silent_s < JUST_CONNECTED_S:  # else it was we who stood still
            self.lost.append(f"{how} after {received!r}")

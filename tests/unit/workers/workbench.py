"""A loop worker in this process: real sockets, a real loop, a small application. Several share a pair and a board."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from _socket import socket as RawSocket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from paste_unicorn.http.parser import HeadParser
from paste_unicorn.http.response import ResponseHeads
from paste_unicorn.process.handoff import HandoffPair
from paste_unicorn.process.listener import Listener
from paste_unicorn.scoreboard import Scoreboard
from paste_unicorn.workers.bodies import BodyRules
from paste_unicorn.workers.connection import WITH_THE_END, Connection, SendLimits
from paste_unicorn.workers.deadlines import Deadlines
from paste_unicorn.workers.exchange import Exchange
from paste_unicorn.workers.listening import Listening
from paste_unicorn.workers.loop import make_loop
from paste_unicorn.workers.peers import Peers
from paste_unicorn.workers.summaries import RequestHooks
from paste_unicorn.workers.sync import SyncWorker
from paste_unicorn.wsgi.environ import Environs, peer_environ
from paste_unicorn.wsgi.gateway import Answering

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
DEADLINES = Deadlines(header_s=10, keepalive_s=60, body_s=30, send_s=30)


def says_server(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """An application that answers with SERVER_NAME and SERVER_PORT."""
    body = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


class _Logs:
    access = None

    def __init__(self) -> None:
        self.error = logging.getLogger("workbench")


class Bench:
    """What workers share."""

    def __init__(self) -> None:
        self.board = Scoreboard.create(slots=8)
        self.pair = HandoffPair.create()
        self._stack = contextlib.ExitStack()
        self._workers: list[Worker] = []

    def close(self) -> None:
        """At once, not when it is collected: all tests of a process share its descriptors."""
        self._stack.close()
        for worker in self._workers:
            worker.close()
        self.pair.into.close()
        self.pair.out_of.close()
        os.close(self.board.fd)

    def listener(self, server_name: str = "one.example") -> Listener:
        """A new TCP listener."""
        sock = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sock.setblocking(False)
        host, port = sock.getsockname()
        return Listener(sock, f"{host}:{port}", socket.AF_INET, server_name, "80", False)

    def worker(
        self,
        application: Application = says_server,
        *,
        listeners: Iterable[Listener] = (),
        gives: bool = True,
        max_connections: int = 1000,
        trusts: Callable[[str], bool] = lambda host: False,
        graceful_s: float = 0.0,
    ) -> Worker:
        """A worker that does not run yet."""
        slot = len(self._workers) + 1
        worker = Worker(self, slot, application, tuple(listeners), gives, max_connections, trusts, graceful_s)
        self._workers.append(worker)
        return worker


class Worker:
    """A `SyncWorker` with its parts at hand. Slot numbers count up."""

    def __init__(
        self,
        bench: Bench,
        slot: int,
        application: Application,
        listeners: tuple[Listener, ...],
        gives: bool,
        max_connections: int,
        trusts: Callable[[str], bool],
        graceful_s: float,
    ) -> None:
        self.loop = make_loop()
        self.slot = bench.board.writer(slot)
        self.slot.claim(os.getpid(), 1, slot, time.monotonic())
        self._wakeup, self._wake = os.pipe()
        logs = _Logs()
        answering = Answering(ResponseHeads("test"), b"Date: now\r\n", True)

        def make_environs(name: str, port: str, trusted: bool) -> Environs:
            return Environs({"SERVER_NAME": name, "SERVER_PORT": port}, trusted=trusted)

        self.worker = SyncWorker(
            loop=self.loop,
            listening=Listening(self.loop, listeners, bench.board, logs.error),
            pair=bench.pair,
            hands_off=gives,
            peers=Peers(trusts, make_environs, listeners),
            parser=HeadParser(
                limit_request_line=4094, limit_request_fields=100, limit_request_field_size=8190, limit_request_head=0
            ),
            exchange=Exchange(application, answering, self.slot, logs, 1, RequestHooks(None, None)),  # type: ignore[arg-type]
            answering=answering,
            deadlines=DEADLINES,
            bodies=BodyRules(0, None, None, 100, 8190),
            send_limits=SendLimits(1 << 20, 30, last_flags=WITH_THE_END),
            slot=self.slot,
            scoreboard=bench.board,
            log=logs.error,
            max_connections=max_connections,
            drain_s=0.05,
            graceful_s=graceful_s,
            queue_timeout_s=0,
            overtime=None,
            wakeup_fd=self._wakeup,
            each_round=lambda: None,
        )
        self.clients = self.worker._clients
        self.handoff = self.worker._handoff
        self.leaving = self.worker._leaving
        self.watcher = self.worker._watcher
        self.peers = self.worker._peers

    def close(self) -> None:
        for connection in self.clients.by_fd.values():
            connection.sock.close()
        self.clients.by_fd.clear()  # in children of this process their numbers are others' by then
        self.loop.close()
        for fd in (self._wakeup, self._wake):
            os.close(fd)

    def wake(self) -> None:
        """As a signal does it."""
        os.write(self._wake, b"\0")

    def client(
        self, environs: Environs | None = None, watched: bool = True, number: int | None = None
    ) -> tuple[socket.socket, Connection]:
        """A client's socket, and the connection that this worker has to it (descriptor `number`, if given)."""
        if number is not None:
            os.dup2(self._wake, number)  # taken, so that the client does not get it
        ours, theirs = socket.socketpair()
        theirs.settimeout(10)
        fd = ours.detach()
        if number is not None:
            os.dup2(fd, number)
            os.close(fd)
            fd = number
        raw = RawSocket(ours.family, ours.type, 0, fd)
        raw.setblocking(False)
        if environs is None:
            environs = self.environs()
        connection = Connection(
            raw, peer_environ("192.0.2.1", "4711"), environs, SendLimits(1 << 20, 30), time.monotonic()
        )
        self.clients.add(connection)
        if watched:
            self.clients.watch(connection)
        return theirs, connection

    def environs(self, address: str = "nowhere:1", name: str = "else.example", port: str = "81") -> Environs:
        """Those of an entrance that this worker does not have."""
        from paste_unicorn.workers.peers import Entrance

        return self.peers.environs_of(Entrance(address, name, port), "192.0.2.1")

    @contextlib.contextmanager
    def running(self) -> Iterator[threading.Thread]:
        """Serve in a thread, until the `with` ends."""
        thread = threading.Thread(target=self.worker.serve, daemon=True)
        thread.start()
        try:
            yield thread
        finally:
            self.worker.drain()
            self.wake()
            thread.join(10)
            waiting = [(one.phase.name, len(one.buffer)) for one in self.clients.by_fd.values()]
            assert not thread.is_alive(), waiting


def connect(listener: Listener) -> socket.socket:
    """A new client, which waits in the listener's queue by now: its own side is connected a moment before that."""
    client = socket.create_connection(listener.sock.getsockname(), timeout=10)
    wait_for_events(listener.sock, select.POLLIN)
    return client


def wait_for_events(sock: RawSocket, events: int) -> None:
    """Until one of them has arrived: what another end has sent may still be on its way."""
    waiting = select.poll()
    waiting.register(sock, events)
    assert waiting.poll(10_000)


def readable_fds(worker: Worker, timeout_s: float = 0) -> set[int]:
    """What the worker's loop reports now."""
    return {fd for fd, _ in worker.loop.poll(timeout_s)}

"""What is unsent leaves while its application does something else. Real sockets, both ends here, and real threads."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import sys
import threading
import time
from _socket import socket as RawSocket
from collections.abc import Callable, Iterator

import pytest
import workbench
from support.server import wait_for

from paste_unicorn.workers import flusher as flusher_module
from paste_unicorn.workers.connection import ClientGone, Connection, Phase, SendLimits
from paste_unicorn.workers.flusher import NAME, Flusher
from paste_unicorn.wsgi.environ import Environs, peer_environ

BIG = random.Random(1).randbytes(6 << 20)  # more than the kernel takes without a reader
PATIENCE_S = 30.0

End = tuple[Connection, socket.socket]


class Bench:
    """A flusher, and connections whose clients are here."""

    def __init__(self) -> None:
        self.complaints: list[BaseException] = []
        self.flusher = Flusher(lambda _, error: self.complaints.append(error))
        self.clients: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.limits = SendLimits(
            32 << 20,
            PATIENCE_S,
            on_held=self.flusher.hold,
            take_back=self.flusher.take_back,
            let_go=self.flusher.let_go,
        )

    def connect(self, receive_buffer: int = 4096) -> End:
        client = socket.socket()
        client.settimeout(PATIENCE_S)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(self.listener.getsockname())
        self.clients.append(client)
        return self.wrap(self.listener.accept()[0]), client

    def wrap(self, ours: socket.socket) -> Connection:
        raw = RawSocket(ours.family, ours.type, 0, ours.detach())
        raw.setblocking(False)
        return Connection(raw, peer_environ("192.0.2.1", "4711"), Environs({}), self.limits, 0.0)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is held, nor watched, by anybody's account."""
        return not (self.flusher._held or self.flusher._watched or self.flusher._loop.poll(0))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for client in (*bench.clients, bench.listener):
        client.close()
    wait_for(lambda: bench.is_idle, "the flusher has nothing more")
    assert bench.complaints == []


def read_exactly(client: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        received += client.recv(min(1 << 20, count - len(received))) or b"the end" * count
    return bytes(received)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(0.3)
    try:
        return not client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_S)


def threads() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


# -- what it is for ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "send", [lambda one: one.send(BIG), lambda one: one.send_parts([BIG[:9], BIG[9:-9], BIG[-9:]])]
)
def test_what_is_held_leaves_while_nobody_sends_more(bench: Bench, send: Callable[[Connection], None]) -> None:
    connection, client = bench.connect()
    for _ in range(3):
        send(connection)
        assert connection.output
        assert read_exactly(client, len(BIG)) == BIG
        wait_for(lambda: not connection.output, "all is sent")
        assert connection.unsent == 0
    connection.close()


def test_there_is_a_thread_while_somebody_reads_slowly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(lambda: not threads(), "those of other tests have ended")
    monkeypatch.setattr(flusher_module, "IDLE_S", 0.2)
    connection, client = bench.connect()
    connection.send(b"x" * 1000)
    assert read_exactly(client, 1000) == b"x" * 1000
    assert threads() == 0
    for _ in range(2):
        ends = [bench.connect() for _ in range(3)]
        for one, _ in ends:
            one.send(BIG)
        time.sleep(0.5)
        assert threads() == 1
        for one, reader in ends:
            assert read_exactly(reader, len(BIG)) == BIG
            one.close()
        wait_for(lambda: not threads(), "it has ended")
    connection.close()


def test_it_sends_nothing_of_what_was_taken_back(bench: Bench) -> None:
    connection, client = bench.connect()
    connection.send(BIG)
    bench.flusher.take_back(connection)
    size = len(BIG) - connection.unsent
    assert read_exactly(client, size) == BIG[:size]
    assert is_silent(client)
    wait_for(lambda: bench.is_idle, "it does not watch that any more")
    connection.send(b"the end")
    assert read_exactly(client, len(BIG) - size + 7) == BIG[size:] + b"the end"
    connection.close()


def test_what_is_held_anew_waits_until_it_is_done_with_what_was_held_before(bench: Bench) -> None:
    """All of that is sent, as anybody can see, but it may be about to look once more."""
    connection, client = bench.connect()
    application = threading.Thread(target=connection.send, args=(BIG,))
    with bench.flusher._lock:
        bench.flusher._held[connection.fd] = connection
        application.start()
        application.join(0.2)
        assert application.is_alive()
        assert not connection.output
    application.join()
    assert connection.output
    assert read_exactly(client, len(BIG)) == BIG
    connection.close()


def test_a_wait_for_the_client_gives_back_what_it_could_not_send(bench: Bench) -> None:
    """The application has read a piece of the body, or nothing, and goes on with something else."""
    connection, client = bench.connect()
    connection.send(BIG)
    client.send(b"a piece")
    assert connection.wait_readable(PATIENCE_S)
    assert connection.receive(100) == b"a piece"
    assert not connection.wait_readable(0.01)
    assert read_exactly(client, len(BIG)) == BIG
    connection.close()


def test_the_loop_gets_it_back_when_the_application_is_done(bench: Bench) -> None:
    workers = workbench.Bench()
    worker = workers.worker()
    connection, client = bench.connect()
    worker.clients.add(connection)
    connection.send(BIG)
    worker.clients.settle(connection)
    assert connection.phase is Phase.WRITING
    assert bench.is_idle
    size = len(BIG) - connection.unsent
    assert read_exactly(client, size) == BIG[:size]
    assert is_silent(client)
    worker.clients.drop(connection)
    workers.close()


def test_all_that_is_held_is_waited_for(bench: Bench) -> None:
    connection, client = bench.connect()
    connection.send(BIG)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_exactly(client, len(BIG))))
    reader.start()
    connection.flush_all()
    assert (connection.unsent, bench.is_idle) == (0, True)
    reader.join()
    assert received == [BIG]
    connection.close()


# -- clients that go, and descriptors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_is_let_go_and_the_application_learns_it_when_it_sends(bench: Bench, how: str) -> None:
    connection, client = bench.connect()
    connection.send(BIG)
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    wait_for(lambda: bench.is_idle, "it is let go")
    with pytest.raises(ClientGone):
        connection.send(b"more")
    assert bench.is_idle
    connection.close()


def test_a_number_is_free_for_another_connection_when_it_was_closed(bench: Bench) -> None:
    """Whatever is going on at that moment: this one is read by its client, to its end or not."""
    chance = random.Random(2)
    for _ in range(60):
        connection, client = bench.connect()
        fd = connection.fd
        connection.send(BIG[:1_000_000])
        reader = threading.Thread(target=_read_some, args=(client, chance.choice([1000, 300_000, 1_000_000])))
        reader.start()
        time.sleep(chance.choice([0, 0, 0.0005, 0.003]))
        mine, theirs = socket.socketpair()
        connection.close()
        os.dup2(mine.fileno(), fd)
        mine.close()
        other = bench.wrap(socket.socket(fileno=fd))
        assert fd not in bench.flusher._held
        assert fd not in bench.flusher._watched
        other.send(BIG[:600_000])
        theirs.settimeout(PATIENCE_S)
        assert read_exactly(theirs, 600_000) == BIG[:600_000]
        other.close()
        theirs.close()
        reader.join()
        client.close()


def _read_some(client: socket.socket, count: int) -> None:
    with contextlib.suppress(ConnectionResetError):
        while count > 0 and (data := client.recv(65536)):
            count -= len(data)


def test_what_a_child_of_the_application_keeps_open_is_not_watched_for_ever(bench: Bench) -> None:
    connection, client = bench.connect()
    connection.send(BIG)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    connection.close()
    assert len(client.recv(100)) == 100, "what is read makes the socket writable, in the child as well"
    read_exactly(client, 500_000)
    assert bench.is_idle
    os.close(writer)
    os.waitpid(pid, 0)
    os.close(reader)


def test_a_child_of_the_application_is_not_stopped_by_a_thread_that_it_has_not(bench: Bench) -> None:
    """It forks at any moment, and sends: nobody flushes there, and nothing of the parent's is touched."""
    connection, client = bench.connect()
    ends = [bench.connect() for _ in range(4)]
    is_over = threading.Event()

    def make_work(one: Connection, reader: socket.socket) -> None:
        while not is_over.is_set():
            one.send(BIG[:200_000])
            assert read_exactly(reader, 200_000) == BIG[:200_000]

    workers = [threading.Thread(target=make_work, args=end) for end in ends]
    for worker in workers:
        worker.start()
    connection.send(BIG)
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            connection.sock = RawSocket(socket.AF_UNIX, socket.SOCK_STREAM)  # what it says is nobody's matter here
            with contextlib.suppress(ClientGone):
                connection.send(b"of the child")
            connection.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    is_over.set()
    for worker in workers:
        worker.join()
    assert read_exactly(client, len(BIG)) == BIG
    for one in (connection, *(one for one, _ in ends)):
        one.close()


# -- a storm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response_buffer", [2000, 100_000, 1 << 20])
def test_nothing_is_doubled_lost_or_out_of_order_in_a_storm(bench: Bench, response_buffer: int) -> None:
    """Applications send and wait as they like, and their clients read as they like. The kernel holds little, so that
    much happens at once.
    """
    bench.limits = bench.limits._replace(response_buffer=response_buffer)
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        streams = [Stream(bench, seed) for seed in range(16)]
        for stream in streams:
            stream.start()
        for stream in streams:
            stream.join(2 * PATIENCE_S)
            assert not stream.is_alive()
            assert stream.problem == ""
    finally:
        sys.setswitchinterval(interval_s)


class Stream(threading.Thread):
    """One application, and its client in a thread of its own; every fourth client goes before the end."""

    def __init__(self, bench: Bench, seed: int) -> None:
        super().__init__(daemon=True)
        self.chance, self.seed, self.problem = random.Random(seed), seed, ""
        self.connection, self.client = bench.connect(self.chance.choice([0, 4096, 30_000]))
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.chance.choice([4096, 30_000]))
        self.sent, self.received = hashlib.md5(), hashlib.md5()
        self.goes = seed % 4 == 3
        self.reader = threading.Thread(target=self.read, daemon=True)

    def run(self) -> None:
        self.reader.start()
        try:
            self.write()
            self.reader.join(PATIENCE_S)
        except Exception as error:
            self.problem = f"{self.seed}: {error!r}"
        else:
            if self.goes:
                self.problem = f"{self.seed}: was not told"
            elif self.sent.digest() != self.received.digest():
                self.problem = f"{self.seed}: something else arrived"
        if self.goes and "ClientGone" in self.problem:
            self.problem = ""

    def write(self) -> None:
        chance, connection = self.chance, self.connection
        end = time.monotonic() + 3
        try:
            while time.monotonic() < end or self.goes:
                size = int(10 ** chance.uniform(0, 5.5))
                at = chance.randrange(len(BIG) - size)
                data = BIG[at : at + size]
                if chance.random() < 0.5:
                    connection.send(data)
                else:
                    connection.send_parts([data[: size // 3], data[size // 3 :]])
                self.sent.update(data)
                if chance.random() < 0.3:
                    time.sleep(chance.choice([0, 0.0002, 0.002, 0.02]))
                if chance.random() < 0.1:
                    connection.wait_readable(0.001)
            if chance.random() < 0.5:
                connection.flush_all()
            else:  # as the loop does when the application is done
                connection.limits.let_go(connection)
                while not connection.flush():
                    connection.limits.wait(connection.fd, False, True, PATIENCE_S)
        finally:
            connection.close()

    def read(self) -> None:
        chance, client = random.Random(-self.seed), self.client
        rest = chance.randrange(1 << 20) if self.goes else 1 << 40
        while rest > 0:
            data = client.recv(int(10 ** chance.uniform(2, 5.5)))
            if not data:
                return
            rest -= len(data)
            self.received.update(data)
            if chance.random() < 0.2:
                time.sleep(chance.choice([0.0001, 0.001, 0.005]))
        client.close()

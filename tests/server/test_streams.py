"""Bodies and answers as streams: each piece when it is there, and nobody hoards what the other side does not take."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import re
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.checks import get, post
from support.client import Client, chunked, request_bytes
from support.server import Server, serve, wait_for
from support.streaming import BLOCK, MOST_THREADS, item, storm

APPLICATION = "paste.app_factory = support.streaming:make_app"
SETTINGS = {"response_buffer": "1000000", "body_timeout": "120", "send_timeout": "120"}
PATIENCE_S = 60.0
HOST = b"Host: localhost"
CHUNKED = b"Transfer-Encoding: chunked"

PIPE = 24 << 20  # bytes that the kernel may hold between the two sides of a connection here, generously
LARGE = 64 << 20
MEGABYTES = 16  # by which a worker may grow that streams something LARGE

FRAMINGS = ("sized", "chunked")
LINE = b"a line of a body " + b"." * 20_000 + b"\n"


@pytest.fixture
def connection(server: Server) -> Iterator[Client]:
    with server.connect(PATIENCE_S) as client:
        yield client


def head(framing: str, target: str, size: int = 0) -> bytes:
    return post(b"Content-Length: %d" % size if framing == "sized" else CHUNKED, target=target.encode())


def piece(framing: str, data: bytes) -> bytes:
    return data if framing == "sized" else b"%x\r\n%b\r\n" % (len(data), data)


def end(framing: str) -> bytes:
    return b"" if framing == "sized" else b"0\r\n\r\n"


def read_chunk(client: Client) -> bytes:
    """The next chunk of an answer; b"" for the last one."""
    data = client.read_exactly(int(client.read_line("a chunk size"), 16))
    assert client.read_exactly(2) == b"\r\n"
    return data


def read_chunks(client: Client, size: int) -> bytes:
    """Chunks until they make so many bytes."""
    data = b""
    while len(data) < size:
        data += read_chunk(client)
    return data


def worker_pid(server: Server) -> int:
    return int(server.get("/pid").body)


def peak_megabytes(pid: int) -> float:
    """The most memory that the process ever had."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def forget_peak(pid: int) -> float:
    """From now on only what follows counts; what it is now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # man 5 proc_pid_clear_refs
    return peak_megabytes(pid)


def state(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/state").body)
    return found


@contextlib.contextmanager
def sending(client: Client, pieces: Iterator[bytes]) -> Iterator[list[int]]:
    """Send them beside what the test does; how many bytes went, so far. The end is waited for."""
    sent, failures = [0], []

    def send() -> None:
        try:
            for data in pieces:
                client.send(data)
                sent[0] += len(data)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    yield sent
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert failures == []


# -- request bodies: as they arrive ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("how", ["read1", "readline", "readlines", "iterate", "read"])
def test_what_has_arrived_is_read_before_the_client_sends_more(connection: Client, how: str, framing: str) -> None:
    client, count = connection, 5
    size = f"&size={len(LINE)}" if how == "read" else ""
    client.send(head(framing, f"/parrot?how={how}{size}", count * len(LINE)))
    for number in range(count):
        client.send(piece(framing, LINE))
        if not number:
            assert client.read_head()[0] == 200
        assert read_chunks(client, len(LINE)) == LINE
    client.send(end(framing))
    assert read_chunk(client) == b""
    client.send(request_bytes("GET", "/ready"))
    assert client.read_answer().body == b"ready\n"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_echo_of_any_size_answers_while_it_still_reads(server: Server, connection: Client, framing: str) -> None:
    """Client and application both read and write at once, and neither waits for the other's end."""
    pid, client = worker_pid(server), connection
    before = forget_peak(pid)
    data, count = bytes(range(256)) * 256, LARGE // BLOCK
    client.send(head(framing, "/echo", LARGE))
    expected, received, digest = hashlib.md5(), 0, hashlib.md5()
    for _ in range(count):
        expected.update(data)
    with sending(client, iter([*[piece(framing, data)] * count, end(framing)])):
        assert client.read_head()[0] == 200
        while block := read_chunk(client):
            received += len(block)
            digest.update(block)
    assert (received, digest.hexdigest()) == (LARGE, expected.hexdigest())
    assert peak_megabytes(pid) - before < MEGABYTES


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_that_is_not_read_waits_with_its_client(
    server: Server, connection: Client, framing: str, tmp_path: Path
) -> None:
    """TCP tells it to; the server's memory does not grow."""
    pid, client, gate = worker_pid(server), connection, tmp_path / "gate"
    before = forget_peak(pid)
    data, count = b"x" * BLOCK, LARGE // BLOCK
    client.send(head(framing, f"/take?gate={gate}", LARGE))
    with sending(client, iter([*[piece(framing, data)] * count, end(framing)])) as sent:
        seen = -1
        while seen != sent[0]:
            seen = sent[0]
            select.select([client.sock], [], [], 0.5)
        assert sent[0] < PIPE
        assert peak_megabytes(pid) - before < MEGABYTES
        gate.touch()
        answer = client.read_answer()
    assert answer.body == f"{LARGE} {hashlib.md5(data * count).hexdigest()}".encode()
    assert peak_megabytes(pid) - before < MEGABYTES


def test_the_limit_of_a_body_counts_what_was_decoded(worker_class: str) -> None:
    """A thousand chunks of a byte are six thousand bytes on the wire."""
    settings = {"workers": "1", "worker_class": worker_class, "limit_request_body": "1000"}
    target = b"/parrot?how=read&size=2000"
    with serve(settings=settings, app=APPLICATION) as server:
        answer = server.ask(post(CHUNKED, target=target, body=chunked(*[b"x"] * 1000)))
        assert (answer.status, answer.body) == (200, b"x" * 1000)
        answer = server.ask(post(CHUNKED, target=b"/take", body=chunked(*[b"x"] * 1001)))
        assert (answer.status, answer.closes) == (413, True)
        with server.connect() as client:  # also where the application has read a part, and waits for more
            client.send(post(CHUNKED, target=b"/take") + piece("chunked", b"x" * 900))
            assert client.is_silent()
            client.send(piece("chunked", b"x" * 101))
            assert client.read_answer().status == 413
            client.expect_end()
        assert "Traceback" not in server.log_text()


# -- request bodies: clients that go, and applications that don't read -------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("how", ["close", "reset", "end"])
def test_who_goes_within_a_body_is_told_to_the_application_and_is_no_error_of_the_server(
    server: Server, log_start: int, framing: str, how: str, tmp_path: Path
) -> None:
    before = state(server)
    with server.connect() as client:
        client.send(head(framing, f"/take?tell={tmp_path / 'begun'}", 1_000_000) + piece(framing, b"x" * 100_000))
        wait_for((tmp_path / "begun").exists, "it is read")
        getattr(client, how)()
        wait_for(lambda: state(server)["errors"] != before["errors"], "the application is told")
    (error,) = state(server)["errors"][len(before["errors"]) :]
    assert error.startswith("ClientDisconnected: the client closed the connection after "), error
    assert (" of 1000000 bytes" in error) == (framing == "sized"), error
    log = server.log_text()[log_start:]
    assert not re.search("Traceback|ERROR|WARNING", log), log


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("form", ["size=10", "size=3000000", "size=3000000&blocks=1"])
def test_a_rest_that_nobody_reads_is_drained_up_to_a_bound(server: Server, framing: str, form: str) -> None:
    """The connection goes on, and the answer is whole."""
    size = 200_000
    with server.connect() as client:
        for _ in range(3):
            client.send(head(framing, f"/ignore?{form}", size) + piece(framing, b"x" * size) + end(framing))
            answer = client.read_answer()
            assert len(answer.body) == int(form.partition("&")[0][5:])
            assert not answer.closes


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("form", ["size=10", "size=3000000", "size=3000000&blocks=1"])
def test_beyond_the_bound_the_connection_closes_after_the_whole_answer(server: Server, framing: str, form: str) -> None:
    """Although the client goes on sending: a reset would take what it has not read yet."""
    size = LARGE
    with server.connect() as client:
        client.send(head(framing, f"/ignore?{form}", size))
        stop = threading.Event()

        def send() -> None:
            with contextlib.suppress(OSError):  # it is closed at last
                while not stop.is_set():
                    client.send(piece(framing, b"x" * BLOCK))

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        answer = client.read_answer()
        stop.set()
        sender.join(PATIENCE_S)
        assert (answer.status, len(answer.body)) == (200, int(form.partition("&")[0][5:]))
    assert server.get("/ready").body == b"ready\n"


# -- answers: each item at once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_server_sent_events_come_one_by_one(server: Server, tmp_path: Path, version: bytes) -> None:
    gate = tmp_path / "gate"
    target = f"/events?count=4&type=text/event-stream&gate={gate}".encode()
    with server.connect() as client:
        client.send(get(HOST, b"Accept: text/event-stream", target=target, version=version))
        status, _, fields = client.read_head()
        assert (status, ("Content-Type", "text/event-stream") in fields) == (200, True)
        is_chunked = ("Transfer-Encoding", "chunked") in fields
        assert is_chunked == (version == b"HTTP/1.1")
        assert (("Connection", "close") in fields) != is_chunked
        for number in range(4):
            event = f"id: {number}\ndata: event {number}\n\n".encode()
            assert (read_chunk(client) if is_chunked else client.read_exactly(len(event))) == event
            Path(f"{gate}.{number + 1}").touch()
        if is_chunked:
            assert read_chunk(client) == b""
            client.send(request_bytes("GET", "/ready"))
            assert client.read_answer().body == b"ready\n"
        else:
            client.expect_end()


def test_an_answer_that_is_not_read_is_not_made(server: Server, tmp_path: Path) -> None:
    """The application waits for its client; the server's memory does not grow."""
    pid, tell = worker_pid(server), tmp_path / "tell"
    before = forget_peak(pid)
    with Client(server.address, PATIENCE_S, receive_buffer=65536) as client:
        client.send(request_bytes("GET", f"/produce?size={LARGE}&tell={tell}"))
        assert client.read_head()[0] == 200
        received = 0
        while block := read_chunk(client):
            received += len(block)
            if received % (1 << 20) == 0:
                select.select([], [], [], 0.01)  # it has time to run ahead
                assert int(tell.read_bytes()) - received < PIPE
        assert received == LARGE
    assert peak_megabytes(pid) - before < MEGABYTES


ITEM = 8 << 20  # bytes: more than the kernel takes, and less than would keep the application waiting


@pytest.fixture(scope="module")
def patient(worker_class: str) -> Iterator[Server]:
    """Its applications may run far ahead of their clients."""
    settings = {"workers": "1", "worker_class": worker_class, "response_buffer": str(3 * ITEM), "timeout": "120"}
    with serve(settings=settings, app=APPLICATION) as server:
        yield server


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize("pause_s", [0.0, 0.002])
def test_each_item_is_there_whole_while_the_application_waits_before_the_next(
    patient: Server, tmp_path: Path, version: bytes, pause_s: float
) -> None:
    """PEP 3333, "Buffering and Streaming": transmission goes on while the application makes its next block."""
    count, gate = 3, tmp_path / "gate"
    with Client(patient.address, receive_buffer=16_384) as client:
        client.send(get(HOST, target=f"/items?count={count}&size={ITEM}&gate={gate}".encode(), version=version))
        assert client.read_head()[0] == 200
        for number in range(count):
            data = item(number, ITEM)
            expected = data if version == b"HTTP/1.0" else b"%x\r\n%b\r\n" % (ITEM, data)
            received = bytearray()
            while len(received) < len(expected):
                received += client.read_exactly(min(50_000, len(expected) - len(received)))
                time.sleep(pause_s)
            assert received == expected
            assert number == count - 1 or client.is_silent(0.05)
            Path(f"{gate}.{number + 1}").touch()
        if version == b"HTTP/1.1":
            assert read_chunk(client) == b""
            client.send(request_bytes("GET", "/ready"))
            assert client.read_answer().body == b"ready\n"
        else:
            client.expect_end()


def test_what_was_unsent_leaves_when_its_client_reads_again_though_the_application_sleeps(
    patient: Server, tmp_path: Path
) -> None:
    gate, tell = tmp_path / "gate", tmp_path / "tell"
    with Client(patient.address, receive_buffer=16_384) as client:
        client.send(request_bytes("GET", f"/ahead?size={ITEM}&tell={tell}&gate={gate}"))
        assert client.read_head()[0] == 200
        wait_for(tell.exists, "it sleeps", PATIENCE_S)
        assert read_chunks(client, ITEM) == b"x" * ITEM
        assert read_chunk(client) == b"the last word"
        gate.touch()
        assert read_chunk(client) == b""


def read_slowly(client: Client, chance: random.Random) -> Iterator[bytes]:
    """All that comes until the end, by a few bytes or by many, with pauses."""
    while data := client.sock.recv(int(10 ** chance.uniform(2, 5))):
        yield data
        if chance.random() < 0.3:
            time.sleep(chance.choice([0.0001, 0.001, 0.005]))


@pytest.mark.parametrize("response_buffer", ["50000", "30000000"])
def test_nothing_is_doubled_lost_or_out_of_order_for_slow_readers(worker_class: str, response_buffer: str) -> None:
    """Many at a time, of items of all sizes; what they have not taken leaves while others are made."""
    settings = {"workers": "2", "worker_class": worker_class, "response_buffer": response_buffer, "timeout": "120"}
    if worker_class == "threads":
        settings["threads"] = "6"
    count, problems = 10, []

    def ask(seed: int) -> None:
        chance = random.Random(seed)
        expected = b"".join(storm(seed))
        size, head, body = chance.choice([4096, 20_000, None]), b"", b""
        with contextlib.suppress(OSError), Client(server.address, PATIENCE_S, receive_buffer=size) as client:
            client.send(get(HOST, target=f"/storm?seed={seed}".encode(), version=b"HTTP/1.0"))
            head, _, body = b"".join(read_slowly(client, chance)).partition(b"\r\n\r\n")
        if body != expected:
            problems.append(f"{seed}: {len(body)} of {len(expected)} bytes, {head!r}")

    with serve(settings=settings, app=APPLICATION) as server:
        readers = [threading.Thread(target=ask, args=(seed,)) for seed in range(count)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(2 * PATIENCE_S)
        assert problems == []
        assert not any(reader.is_alive() for reader in readers)
        assert not re.search("Traceback|ERROR|WARNING", server.log_text())


def test_a_reader_that_goes_within_an_item_leaves_nothing_behind(
    patient: Server, worker_class: str, tmp_path: Path
) -> None:
    """The application goes on meanwhile, and is told at its next item; or earlier, where it can be."""
    count, before, log_start = 6, state(patient), len(patient.log_text())
    before["threads"] = MOST_THREADS.get(worker_class, before["threads"])
    for number in range(count):
        gate = tmp_path / f"gate{number}"
        with Client(patient.address, receive_buffer=16_384) as client:
            client.send(request_bytes("GET", f"/items?count=3&size={ITEM}&gate={gate}"))
            client.read_exactly(number * ITEM // count)
            if number % 2:
                client.reset()
            else:
                client.close()
        Path(f"{gate}.1").touch()
    wait_for(lambda: state(patient)["closed"] == before["closed"] + count, "all are closed")

    def is_as_before() -> bool:
        after = state(patient)
        return all(after[name] <= before[name] for name in ("descriptors", "threads", "greenlets"))

    wait_for(is_as_before, f"nothing is left beyond {before}")
    log = patient.log_text()[log_start:]
    assert not re.search("Traceback|ERROR|WARNING", log), log

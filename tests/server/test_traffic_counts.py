"""The program that shows that nothing is lost sees what is lost: against servers that lose something on purpose."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from support.changing import APP, Code
from support.ports import free_port
from support.server import serve, wait_for
from support.traffic import STEADY, Load, Traffic, idle

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
ONE_KEPT = Load("kept", 1, every_s=0.02)
ONE_NEW = Load("new", 1, every_s=0.02, kept=False)


@contextlib.contextmanager
def bad_server(serve_one: Callable[[socket.socket, int], None]) -> Iterator[tuple[str, int]]:
    """Accepts, and lets `serve_one(connection, how many there were)` do what it likes, a thread a connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        for number in range(1_000_000):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection, number), daemon=True).start()

    def one(connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            serve_one(connection, number)

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def answer(connection: socket.socket, times: int = 1_000_000, text: bytes = ANSWER) -> bool:
    """Answer that many requests; False when the client has gone."""
    for _ in range(times):
        if not connection.recv(4096):
            return False
        connection.sendall(text)
    return True


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_server_at_rest_loses_nothing(worker_class: str, tmp_path: Path) -> None:
    code = Code(tmp_path)
    settings = {"workers": "2", "worker_class": worker_class, "keepalive": "75"}
    with serve(settings=settings, app=APP, env=code.environ) as server:
        with Traffic(server.address, [*STEADY, idle(50)]) as traffic:
            wait_for(lambda: traffic.counts().answered > 1500, "1,500 requests are answered")
            report = traffic.finish()
        assert report.losses == {}
        assert all(counts.sent == counts.answered for counts in report.loads.values())
        assert report["idle"].answered == 100
        assert {body.partition(" ")[0] for counts in report.loads.values() for body in counts.bodies} == {"v1"}


def test_idle_connections_that_are_closed_are_counted() -> None:
    def close_after_two(connection: socket.socket, number: int) -> None:
        answer(connection, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # so that no request comes before the end
        answer(connection, 1)

    # Each is used once when it connects, and then in its turn, one a half second: it sees the end long before its next
    # request is due.
    slow = Load("kept", 60, every_s=30.0)
    with bad_server(close_after_two) as address, Traffic(address, [slow]) as traffic:
        wait_for(lambda: traffic.counts()["kept"].closed >= 3, "3 closed connections")
        report = traffic.finish()
    counts = report["kept"]
    assert counts.failed == {}
    assert counts.answered - slow.clients - counts.closed in (0, 1)  # one may be about to be closed
    assert counts.events[0].what == "closed: while idle: closed by the server"
    assert counts.events[0].answered == 2


def test_a_request_that_meets_a_closed_connection_has_failed() -> None:
    """Read and then closed without an answer, as when an idle connection closes at the moment of sending."""

    def swallow_the_fourth(connection: socket.socket, number: int) -> None:
        answer(connection, 3)
        connection.recv(4096)

    with bad_server(swallow_the_fourth) as address, Traffic(address, [ONE_KEPT]) as traffic:
        wait_for(lambda: traffic.counts().answered >= 20, "20 answers")
        report = traffic.finish()
    counts = report["kept"]
    assert counts.failed == {"closed by the server": counts.closed}
    assert counts.answered // 3 - counts.closed in (0, 1)  # one may not have been asked a fourth time
    assert counts.sent == counts.answered + counts.closed


def test_a_reset_and_a_cut_answer_are_failures_with_their_reason() -> None:
    def reset_or_cut(connection: socket.socket, number: int) -> None:
        connection.recv(4096)
        if number % 2:
            connection.sendall(ANSWER[:-1])
        else:
            reset(connection)

    with bad_server(reset_or_cut) as address, Traffic(address, [ONE_NEW]) as traffic:
        wait_for(lambda: traffic.counts()["new"].sent >= 10, "10 requests")
        report = traffic.finish()
    counts = report["new"]
    assert set(counts.failed) == {"Connection reset by peer", "closed by the server in an answer"}
    assert sum(counts.failed.values()) == counts.sent
    assert (counts.answered, counts.refused, counts.closed) == (0, 0, 0)


def test_an_error_of_the_server_is_no_answer() -> None:
    def error(connection: socket.socket, number: int) -> None:
        answer(connection, text=b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    with bad_server(error) as address, Traffic(address, [ONE_KEPT]) as traffic:
        wait_for(lambda: traffic.counts()["kept"].sent >= 5, "5 requests")
        report = traffic.finish()
    assert report["kept"].failed == {"status 503, 0 of 0 bytes": report["kept"].sent}


def test_an_answer_that_says_close_counts_as_a_closed_connection() -> None:
    def last_of_two(connection: socket.socket, number: int) -> None:
        answer(connection, 1)
        answer(connection, 1, ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    with bad_server(last_of_two) as address, Traffic(address, [ONE_KEPT]) as traffic:
        wait_for(lambda: traffic.counts().answered >= 10, "10 answers")
        report = traffic.finish()
    assert report["kept"].failed == {}
    assert report["kept"].closed == report["kept"].answered // 2


def test_an_idle_connection_that_was_closed_is_seen_though_nobody_used_it() -> None:
    def close_every_second(connection: socket.socket, number: int) -> None:
        answer(connection, 1 if number % 2 else 1_000_000)

    with bad_server(close_every_second) as address, Traffic(address, [idle(10)]) as traffic:
        wait_for(lambda: traffic.counts()["idle"].closed == 5, "5 closed connections")
        report = traffic.finish()
    assert (report["idle"].closed, report["idle"].failed) == (5, {"its connection was closed": 5})
    assert report["idle"].answered == 15


def test_who_is_not_accepted_is_refused_and_has_not_failed() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:  # nobody else will listen there
        address = listener.getsockname()
        threading.Thread(target=lambda: answer(listener.accept()[0], 1), daemon=True).start()
        traffic = Traffic(address, [ONE_KEPT])
    with traffic:
        wait_for(lambda: traffic.counts()["kept"].refused > 3, "some refused connections")
        report = traffic.finish()
    assert report["kept"].refused == report["kept"].sent - report["kept"].answered - sum(report["kept"].failed.values())
    assert {event.what for event in report["kept"].events[-3:]} == {"refused: Connection refused"}


def test_the_wait_behind_a_slow_answer_is_part_of_the_latency() -> None:
    counted = threading.Event()

    def slow_once(connection: socket.socket, number: int) -> None:
        answer(connection, 5)
        connection.recv(4096)
        time.sleep(0.5)
        connection.sendall(ANSWER)
        answer(connection, 34)
        counted.wait()
        answer(connection)

    with bad_server(slow_once) as address, Traffic(address, [ONE_KEPT]) as traffic:
        wait_for(lambda: traffic.counts().answered == 40, "40 answers")
        counts = traffic.counts()["kept"]
        counted.set()
        traffic.finish()
    assert counts.losses == ({}, 0, 0)
    assert counts.max_s >= 0.5
    # The 25 requests that were due meanwhile have waited too, each a little less: half of all waited longer than this.
    assert counts.p50_s > 0.05

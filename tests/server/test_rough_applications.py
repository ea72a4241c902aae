"""What an application does to its worker costs it nothing, and other clients neither."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.board import MOST_WORKERS, board_of
from support.client import Client, request_bytes
from support.processes import is_alive, send_signal
from support.server import Server, serve, wait_for

APPLICATION = "paste.app_factory = support.rough:make_app"
WATCHER = "paste_unicorn watcher"


@pytest.fixture
def fresh_server(worker_class: str) -> Iterator[Server]:
    """A server that one test may wear out."""
    with serve(settings={"workers": "1", "worker_class": worker_class}, app=APPLICATION) as server:
        yield server


def ask(client: Client, target: str) -> str:
    client.send(request_bytes("GET", target))
    return client.read_answer().body.decode()


# -- the input of a request that is over -----------------------------------------------------------------------


def test_input_that_is_kept_beyond_its_request_reads_nothing_of_the_next(fresh_server: Server) -> None:
    """Its connection is another request's by then."""
    with fresh_server.connect() as client, fresh_server.connect() as other:
        client.send(request_bytes("POST", "/keep-input", [("Transfer-Encoding", "chunked")]) + b"3\r\nabc\r\n")
        assert client.read_answer().body == b"kept"
        client.send(b"0\r\n\r\n")
        assert ask(client, "/pid")  # the one before is over: its answer leaves a moment earlier
        said = ask(other, "/read-kept")
        assert said.startswith("RequestOver"), said
        assert "BodyError" in said
        assert "OSError" in said
        assert ask(client, "/pid") == ask(other, "/pid")


def test_input_that_was_not_read_is_not_a_shorter_body_afterwards(fresh_server: Server) -> None:
    with fresh_server.connect() as client:
        body = b"x" * 100_000
        client.send(request_bytes("POST", "/keep-input", (), body))
        assert client.read_answer().body == b"kept"
        assert ask(client, "/read-kept").startswith("RequestOver")


def test_reading_it_all_the_same_is_the_fault_of_the_request_that_does_it(fresh_server: Server) -> None:
    with fresh_server.connect() as client, fresh_server.connect() as other:
        client.send(request_bytes("POST", "/keep-input", [("Transfer-Encoding", "chunked")]) + b"3\r\nabc\r\n")
        assert client.read_answer().body == b"kept"
        # Who has answered is over a moment later: then the loop reads, and throws away, what else comes of the body.
        client.send(b"%x\r\n%b\r\n" % (50_000, bytes(50_000)))
        with board_of(fresh_server) as board:
            wait_for(
                lambda: sum(board.read(slot).counters["bytes_in"] for slot in range(MOST_WORKERS)) > 50_000,
                "the request to be over",
            )
        other.send(request_bytes("GET", "/read-kept-carelessly"))
        assert other.read_answer().status == 500
        client.send(b"0\r\n\r\n")
        assert ask(client, "/pid")


# -- descriptors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_stray_output_never_reaches_a_client(fresh_server: Server, fd: int) -> None:
    """The application has closed a standard stream: its number must not become a connection's."""
    with fresh_server.connect() as client:
        assert ask(client, f"/close-fd?fd={fd}") == "closed"
        with fresh_server.connect() as victim:
            assert ask(victim, "/pid")
            assert ask(client, f"/write-fd?fd={fd}") == "written"
            assert victim.is_silent()
            assert ask(victim, "/pid")


# -- children --------------------------------------------------------------------------------------------------


def test_connection_ends_although_a_child_of_the_application_holds_it(fresh_server: Server) -> None:
    with fresh_server.connect() as client, fresh_server.connect() as other:
        assert ask(client, "/pid")
        child = int(ask(other, "/fork?s=60"))
        try:
            client.send(request_bytes("GET", "/pid", [("Connection", "close")]))
            assert client.read_answer().closes
            client.expect_end()
            assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


def test_answer_that_is_cut_is_not_taken_for_complete_although_a_child_holds_it(fresh_server: Server) -> None:
    with fresh_server.connect() as client, fresh_server.connect() as other:
        assert ask(client, "/pid")
        child = int(ask(other, "/fork?s=60"))
        try:
            client.send(b"GET /cut HTTP/1.0\r\nHost: localhost\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                client.read_all()
        finally:
            os.kill(child, signal.SIGKILL)


def test_connection_that_was_passed_on_lives_although_the_application_has_forked(worker_class: str) -> None:
    with (
        serve(settings={"workers": "2", "worker_class": worker_class}, app=APPLICATION) as server,
        server.connect() as client,
    ):
        pid = int(ask(client, "/pid"))
        child = int(ask(client, "/fork?s=60"))
        try:
            send_signal(pid, signal.SIGTERM)
            wait_for(lambda: not is_alive(pid), "the worker is gone")
            assert int(ask(client, "/pid")) != pid
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("was_passed_on", [False, True])
def test_clients_of_a_killed_worker_see_the_end_although_a_child_lives(worker_class: str, was_passed_on: bool) -> None:
    """That of the request that has forked, and another one; no worker is left that could tell them."""
    with (
        serve(settings={"workers": "1", "worker_class": worker_class}, app=APPLICATION) as server,
        server.connect() as client,
        server.connect() as other,
    ):
        server.wait_for_log("[INFO] Serving ")
        pid = int(ask(client, "/pid"))
        child = int(ask(other, "/fork?s=60"))
        try:
            if was_passed_on:
                server.signal(signal.SIGHUP)
                wait_for(lambda: not is_alive(pid), "the worker is gone")
                former, pid = pid, int(ask(client, "/pid"))
                assert pid != former
                assert int(ask(other, "/pid")) == pid
            send_signal(pid, signal.SIGKILL)
            client.expect_end()
            other.expect_end()
            assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_that_comes_out_of_a_request_answers_nobody(fresh_server: Server) -> None:
    with fresh_server.connect() as client:
        pid, child = ask(client, "/fork-and-answer").split()
        wait_for(lambda: not is_alive(int(child)), "the child has gone")
        assert ask(client, "/pid") == pid
        assert client.is_silent()


# -- signals and threads ---------------------------------------------------------------------------------------


@pytest.fixture
def in_main_thread(worker_class: str) -> None:
    """For applications that replace a signal's handler, which Python lets no other thread do."""
    if worker_class == "threads":
        pytest.skip("in this class the main thread runs no application")


def test_stop_does_not_hang_on_an_application_that_ignores_term(fresh_server: Server, in_main_thread: None) -> None:
    with fresh_server.connect() as client:
        assert ask(client, "/ignore-term") == "ignored"
    fresh_server.signal(signal.SIGTERM)
    assert fresh_server.wait(10) == 0
    assert "killed" not in fresh_server.log_text()


def test_worker_that_ignores_term_retires_all_the_same(worker_class: str, in_main_thread: None) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "graceful_timeout": "20", "keepalive": "60"}
    with serve(settings=settings, app=APPLICATION) as server, server.connect() as client:
        server.wait_for_log("[INFO] Serving ")
        pid = int(ask(client, "/pid"))
        assert ask(client, "/ignore-term") == "ignored"
        server.signal(signal.SIGHUP)
        wait_for(lambda: not is_alive(pid), "the old worker is gone")
        assert int(ask(client, "/pid")) != pid
        assert "killed" not in server.log_text()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"workers": "1"}, False), ({"workers": "2"}, True), ({"workers": "2", "handoff": "off"}, False)],
    ids=["alone", "two", "off"],
)
def test_a_watcher_is_there_only_where_somebody_could_take(
    worker_class: str, one_at_a_time: None, settings: dict[str, str], expected: bool
) -> None:
    with serve(settings={**settings, "worker_class": worker_class}, app=APPLICATION) as server:
        server.wait_for_log("[INFO] Serving ")
        with server.connect() as client:
            if expected:  # the first worker may not have seen yet that there is a second one
                wait_for(lambda: f"{WATCHER}*" in ask(client, "/threads").split(","), "the watcher")
            names = ask(client, "/threads").split(",")
        assert (f"{WATCHER}*" in names) is expected, names
        assert len(names) == 1 + expected


def test_a_watcher_comes_when_a_second_worker_does(worker_class: str, one_at_a_time: None) -> None:
    settings = {"workers": "1", "worker_class": worker_class}
    with serve(settings=settings, app=APPLICATION) as server, server.connect() as client:
        assert WATCHER not in ask(client, "/threads")
        server.signal(signal.SIGTTIN)
        wait_for(lambda: WATCHER in ask(client, "/threads"), "the watcher")


def test_signals_are_the_main_thread_s(worker_class: str, one_at_a_time: None) -> None:
    """Delivered to the watcher they would not interrupt what the application waits for."""
    settings = {"workers": "2", "worker_class": worker_class}
    with serve(settings=settings, app=APPLICATION) as server, server.connect() as client:
        server.wait_for_log("[INFO] Serving ")
        pid = int(ask(client, "/pid"))
        (watcher,) = wait_for(lambda: set(map(int, os.listdir(f"/proc/{pid}/task"))) - {pid}, "the watcher")

        def blocked(task: int) -> set[int]:
            status = Path(f"/proc/{pid}/task/{task}/status").read_text()
            mask = int(status.partition("SigBlk:")[2].split()[0], 16)
            return {number for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD) if mask >> (number - 1) & 1}

        wait_for(lambda: len(blocked(watcher)) == 3, "none of them is the watcher's")
        # Who starts a thread blocks them for a moment.
        wait_for(lambda: not blocked(pid), "all of them are the main thread's")


def test_a_child_that_the_application_forks_holds_no_end_of_the_pair(worker_class: str) -> None:
    """What it would take from there by chance were lost."""
    settings = {"workers": "2", "worker_class": worker_class}
    with serve(settings=settings, app=APPLICATION) as server, server.connect() as client:
        pid = int(ask(client, "/pid"))
        child = int(ask(client, "/fork?s=60"))
        try:
            lines = Path("/proc/net/unix").read_text().splitlines()[1:]
            seqpackets = {f"socket:[{line.split()[6]}]" for line in lines if line.split()[4] == "0005"}
            assert len(_links(pid) & seqpackets) >= 3
            wait_for(lambda: not _links(child) & seqpackets, "the child has none of them")
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_port_is_nobody_s_but_the_server_s_while_a_child_lives(fresh_server: Server) -> None:
    with fresh_server.connect() as client:
        child = int(ask(client, "/fork?s=60"))
    try:
        fresh_server.signal(signal.SIGTERM)
        assert fresh_server.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", fresh_server.port))
    finally:
        os.kill(child, signal.SIGKILL)


def _links(pid: int) -> set[str]:
    """What the process has open."""
    links = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(path))
    return links

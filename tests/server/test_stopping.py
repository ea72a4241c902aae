"""Every way to end a server: what it finishes, how long it takes, what it says, its exit code."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.board import wait_until_it_leaves
from support.gates import Gate
from support.ports import free_port
from support.processes import wait_until_gone
from support.server import Server, command, environment, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"


def begin(server: Server, path: str, tmp_path: Path) -> object:
    """A connection on which a request is being served."""
    begun = tmp_path / "begun"
    client = server.connect(timeout_s=30.0)
    client.send(f"GET {path}&touch={begun} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_for(begun.exists, "the request to begin")
    return client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop_finishes_what_runs_and_exits_0(number: signal.Signals) -> None:
    with serve(settings={"workers": "2"}) as server, server.connect() as client:
        gate = Gate(server)
        pid = gate.occupy(client)
        server.signal(number)
        wait_until_it_leaves(server, pid)
        gate.open()
        answer = client.read_answer()
        assert answer.body == b"it is there\n"
        assert dict(answer.fields)["Connection"] == "close"
        assert server.wait() == 0
        assert server.log_text().splitlines()[-1].endswith(" 0 lost")


def test_int_that_comes_again_and_again_stays_graceful() -> None:
    with serve(settings={"workers": "2"}) as server, server.connect() as client:
        gate = Gate(server)
        pid = gate.occupy(client)
        for _ in range(6):
            server.signal(signal.SIGINT)
            time.sleep(0.1)
        wait_until_it_leaves(server, pid)
        gate.let_through(client)
        assert server.wait() == 0


def test_quit_finishes_nothing(tmp_path: Path) -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        client = begin(server, "/sleep?s=30", tmp_path)
        began = time.monotonic()
        server.signal(signal.SIGQUIT)
        assert server.wait() == 0
        assert time.monotonic() - began < 10.0
        client.expect_end()  # type: ignore[attr-defined]


def test_quit_ends_also_what_sits_in_c(tmp_path: Path) -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        begin(server, "/grind?", tmp_path)
        began = time.monotonic()
        server.signal(signal.SIGQUIT)
        assert server.wait() == 0
        assert time.monotonic() - began < 10.0
        assert '"GET /grind?' in server.log_text()


def test_quit_hastens_a_graceful_stop(tmp_path: Path) -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        begin(server, "/sleep?s=30", tmp_path)
        server.signal(signal.SIGTERM)
        server.wait_for_log("Got TERM")
        time.sleep(0.5)
        assert server.popen.poll() is None
        server.signal(signal.SIGQUIT)
        assert server.wait(10.0) == 0


def test_what_is_not_finished_after_graceful_timeout_is_named_and_killed(tmp_path: Path) -> None:
    with serve(settings={"workers": "2", "graceful_timeout": "1"}, app=APP) as server:
        begin(server, "/sleep?s=30", tmp_path)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert 0.9 < time.monotonic() - began < 10.0
        log = server.log_text()
        assert "has not finished in time; it is killed" in log
        assert '"GET /sleep?s=30' in log
        assert " 1 lost" in log


def test_without_graceful_timeout_only_a_worker_that_was_running_a_request_is_told_of(tmp_path: Path) -> None:
    with serve(settings={"workers": "2", "graceful_timeout": "0"}, app=APP) as server:
        begin(server, "/sleep?s=30", tmp_path)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        log = server.log_text()
        assert "[WARNING]" not in log
        (said,) = [line for line in log.splitlines() if "[ERROR]" in line]
        assert 'is running "GET /sleep?s=30' in said


def test_idle_connections_are_closed_and_do_not_hold_up_a_stop() -> None:
    with serve(settings={"workers": "2", "keepalive": "60"}, app=APP) as server:
        with server.connect() as client:
            client.send(b"GET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.read_answer("GET").status == 200
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            client.expect_end()
        assert server.wait() == 0
        assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_unix_socket_is_gone_after_a_stop_that_does_not_hang(number: signal.Signals) -> None:
    with serve(settings={"workers": "2", "bind": "unix:{directory}/s"}, app=APP) as server:
        began = time.monotonic()
        server.signal(number)
        assert server.wait() == 0
        assert time.monotonic() - began < 10.0
        assert not (server.directory / "s").exists()


def test_a_stop_says_two_lines() -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        server.wait_for_log("Serving")
        start = len(server.log_text())
        server.signal(signal.SIGTERM)
        server.wait()
        lines = server.log_text()[start:].splitlines()
        assert len(lines) == 2
        assert "Got TERM: finishing what has been accepted, for up to 30 s" in lines[0]
        assert re.search(r"Stopped \(TERM\) after [\d.]+ s: generation 1, 2 workers; ", lines[1])
        assert re.search(r"0 connections handed off, \d+ requests finished, 0 lost$", lines[1])


@pytest.mark.parametrize("runner", ["paster", "pserve", "gearbox"])
@pytest.mark.parametrize("busy", [False, True])
def test_ctrl_c_in_a_terminal_is_one_clean_line_and_exit_code_0(runner: str, busy: bool, tmp_path: Path) -> None:
    port = free_port()
    ini = tmp_path / "test.ini"
    ini.write_text(f"[server:main]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:{port}\nworkers = 2\n[app:main]\n{APP}\n")
    # In a session of its own, with the terminal as its controlling one, as a shell has it.
    pid, terminal = pty.fork()
    if pid == 0:
        argv = command(runner, ini)
        os.chdir(tmp_path)
        os.execve(argv[0], argv, environment("", {}))
    output = b""
    try:
        while not re.search(rb"Serving .*\n", output):
            output += os.read(terminal, 4096)
        if busy:
            begun = tmp_path / "begun"
            with subprocess.Popen(
                ["curl", "-s", f"http://127.0.0.1:{port}/sleep?s=30&touch={begun}"], stdout=subprocess.DEVNULL
            ):
                wait_for(begun.exists, "the request to begin")
                said = _ctrl_c(terminal)
        else:
            said = _ctrl_c(terminal)
        _, status = os.waitpid(pid, 0)
    finally:
        if wait_until_gone([pid], 0.0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    lines = [line for line in said.replace("^C", "").splitlines() if line.strip()]
    assert len(lines) == 1, said
    stopped = re.search(r"Stopped \(Ctrl-C\) after (\d+\.\d+) s", lines[0])
    assert stopped is not None, said
    assert float(stopped[1]) < 10.0


def _ctrl_c(terminal: int) -> str:
    os.write(terminal, b"\x03")
    said = b""
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        if not read:
            break
        said += read
    return said.decode()

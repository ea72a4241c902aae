"""SIGKILL and SIGSTOP at any moment: who is not the victim's client notices nothing, who is sees the end at once."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client import Client, request_bytes
from support.load import in_threads
from support.processes import is_alive, send_signal, standing_still, stop, wait_until_gone
from support.reloads import environ
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
SOON_S = 10.0  # a bound against hanging: the end comes within milliseconds, or never


def pids(server: Server, role: str) -> list[int]:
    return [process.pid for process in server.titled(f"unicorn: {role}")]


def worker_of(client: Client) -> int:
    """Asks on this connection, which stays open."""
    client.send(request_bytes("GET", "/pid"))
    return int(client.read_answer().body)


STATES = {
    "idle": b"",
    "half a head": b"GET /pid HTTP/1.1\r\nHost: local",
    "half a body": b"POST /pid HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nhalf",
    "half a chunk": b"POST /sleep?s=30 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
}


@pytest.mark.parametrize("state", STATES)
def test_every_connection_of_a_killed_worker_ends_at_once_in_whatever_state_it_is(state: str) -> None:
    settings = {"workers": "2", "keepalive": "60", "handoff": "off"}  # each connection stays where it is
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        with server.connect(SOON_S) as client, server.connect(SOON_S) as other:
            victim = worker_of(client)
            while worker_of(other) == victim:  # a connection to the other one, which must not notice
                other.close()
                other.__init__(server.address, SOON_S)  # type: ignore[misc]
            client.send(STATES[state])
            survivor = worker_of(other)
            send_signal(victim, signal.SIGKILL)
            assert client.read_to_the_last() == b""
            assert worker_of(other) == survivor


def test_an_answer_that_a_killed_worker_had_begun_is_cut_and_not_taken_for_whole(worker_class: str) -> None:
    with serve(settings={"workers": "1", "worker_class": worker_class}) as server, server.connect(SOON_S) as client:
        (victim,) = pids(server, "worker")
        client.send(request_bytes("GET", f"/two-parts?path={server.directory}/gate"))
        while b"one " not in client.received:
            client.read_some()
        send_signal(victim, signal.SIGKILL)
        assert not client.read_to_the_last().endswith(b"0\r\n\r\n")


@contextlib.contextmanager
def on_one_processor(server: Server) -> Iterator[None]:
    """The server and the test share it: of both, one runs at a time."""
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    for process in server.processes():
        for thread in threads_of(process.pid):
            os.sched_setaffinity(thread, one)
    os.sched_setaffinity(0, one)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def put_behind(pid: int) -> None:
    """It runs when nobody else wants to."""
    for thread in threads_of(pid):
        os.setpriority(os.PRIO_PROCESS, thread, 19)


def threads_of(pid: int) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def test_who_connects_at_the_moment_of_a_kill_is_answered_by_the_others(worker_class: str) -> None:
    """The kernel wakes one worker for it, be it the one that is about to die; and nobody comes to replace that."""
    settings = {"workers": "16", "worker_class": worker_class}
    with serve(settings=settings) as server:
        server.wait_for_log("[INFO] Serving ")
        with standing_still(pids(server, "template")), on_one_processor(server):
            for _ in range(15):
                victim = int(server.get("/pid").body)
                put_behind(victim)
                os.kill(victim, signal.SIGKILL)
                assert int(server.get("/pid").body) != victim


def test_a_worker_that_is_killed_before_it_is_ready_is_replaced() -> None:
    """By a signal from outside, so that the next one comes at once."""
    settings = {"workers": "1", "post_fork": "support.supervised.waits_at_birth", "raw_env": "GATE={directory}/gate"}
    with serve(settings=settings, app=APP, ready=None) as server:
        for _ in range(5):
            (victim,) = wait_for(lambda: pids(server, "worker"), "a worker that is not ready")
            send_signal(victim, signal.SIGKILL)
            wait_for(lambda victim=victim: not is_alive(victim), "it is gone")  # type: ignore[misc]
        (server.directory / "gate").touch()
        server.wait_for_log("[INFO] Serving ")
        assert server.get("/pid").status == 200


def test_workers_that_are_all_killed_at_birth_come_more_and_more_slowly(tmp_path: Path) -> None:
    """As the kernel does where memory is short: it is theirs, though the signal comes from outside."""
    hook = "import os, signal\ndef is_killed(server, worker):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    (tmp_path / "hooks_of_the_test.py").write_text(hook)
    settings = {"workers": "1", "post_fork": "hooks_of_the_test.is_killed"}
    with serve(settings=settings, app=APP, ready=None, env=environ(tmp_path)) as server:
        log = server.wait_for_log("the next try is in 0.8 s")
        assert log.count("was killed by SIGKILL; it is replaced") == 5
        assert re.findall(r"before it was ready; the next try is in (\S+) s", log)[:4] == ["0.1", "0.2", "0.4", "0.8"]


def test_connections_that_wait_in_the_queue_outlive_their_workers(worker_class: str) -> None:
    """The arbiter holds the listeners: what the kernel has accepted waits for the next worker."""
    with serve(settings={"workers": "1", "worker_class": worker_class}) as server:
        for _ in range(3):
            (victim,) = pids(server, "worker")
            stop([victim])
            clients = [server.connect(30.0) for _ in range(10)]
            for client in clients:
                client.send(request_bytes("GET", "/"))
            send_signal(victim, signal.SIGKILL)
            for client in clients:
                with client:
                    assert client.read_answer().body == b"ready\n"


def test_clients_of_workers_that_are_killed_at_random_never_hang() -> None:
    """Each sees an answer or the end; new connections never fail."""
    with serve(settings={"workers": "3"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        over = threading.Event()
        trouble: list[str] = []

        def client() -> None:
            while not over.is_set():
                try:
                    with server.connect(SOON_S) as connection:
                        for _ in range(20):
                            connection.send(request_bytes("GET", "/pid"))
                            connection.read_answer()
                except (TimeoutError, ConnectionRefusedError) as error:
                    trouble.append(repr(error))
                except (AssertionError, OSError):
                    continue  # its worker was killed

        def kill_some() -> None:
            try:
                for _ in range(30):
                    three = wait_for(
                        lambda: found if len(found := pids(server, "worker")) == 3 else [], "three workers"
                    )
                    send_signal(random.choice(three), signal.SIGKILL)
            finally:
                over.set()

        in_threads([client] * 4, kill_some)
        assert trouble == []
        assert server.get("/pid").status == 200
        assert "Traceback" not in server.log_text()


def test_a_frozen_worker_is_killed_and_replaced(tmp_path: Path) -> None:
    """It can't print its tracebacks; KILL ends also what has been stopped."""
    with serve(settings={"workers": "2", "timeout": "1"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        victim = pids(server, "worker")[0]
        stop([victim])
        server.wait_for_log(f"(pid {victim}) was killed by SIGKILL")
        wait_for(lambda: len(pids(server, "worker")) == 2, "the replacement")


def test_a_frozen_template_is_killed_and_replaced_when_a_worker_is_missing() -> None:
    """It reaps the workers, too: that one is gone is seen when it makes no progress any more."""
    with serve(settings={"workers": "2", "boot_timeout": "5", "timeout": "3"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        before = pids(server, "worker")
        (template,) = pids(server, "template")
        stop([template])
        send_signal(before[0], signal.SIGKILL)
        server.wait_for_log("it is killed", timeout_s=20.0)
        assert server.get("/pid").status == 200
        # The second or, if that one stood still while it was loaded, the one after it.
        server.wait_for_log(" serves (", timeout_s=20.0)
        wait_for(lambda: not is_alive(template) and len(pids(server, "worker")) == 2, "two workers")


def test_a_server_that_was_frozen_as_a_whole_goes_on_with_the_same_workers() -> None:
    """As `docker pause` does it, or a virtual machine that sleeps: nobody has made progress, and nobody is to blame."""
    with (
        serve(settings={"workers": "3", "timeout": "3", "keepalive": "60"}, app=APP) as server,
        server.connect(SOON_S) as client,
    ):
        server.wait_for_log("[INFO] Serving ")
        before = worker_of(client)
        frozen = [process.pid for process in server.processes()]
        with standing_still(frozen):
            assert client.is_silent(3.5)
        assert worker_of(client) == before
        assert client.is_silent(1.5)
        assert [process.pid for process in server.processes()] == frozen
        assert "no progress" not in server.log_text()


@pytest.fixture
def held_open() -> Iterator[list[Client]]:
    """Connections to be closed when the test is over."""
    clients: list[Client] = []
    yield clients
    for client in clients:
        client.close()


@pytest.mark.parametrize("while_loading", [False, True])
def test_when_the_arbiter_is_killed_a_reloaded_generation_is_gone_as_well(
    while_loading: bool, tmp_path: Path, held_open: list[Client]
) -> None:
    """Exec'ed templates, and what they have forked, inherited nothing by fork."""
    hang = tmp_path / "hang"
    with serve(settings={"workers": "2"}, app=f"{APP}\nhang_if = {hang}") as server:
        server.wait_for_log("[INFO] Serving ")
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        if while_loading:
            hang.touch()
            server.signal(signal.SIGHUP)
            wait_for(lambda: server.titled("unicorn: template [test.ini] g3"), "a template that loads")
        for path in ("/spin?s=60", "/hold?s=60"):
            client = server.connect()
            held_open.append(client)
            client.send(request_bytes("GET", f"{path}&touch={tmp_path}/begun"))
            wait_for((tmp_path / "begun").exists, "the request to begin")
            (tmp_path / "begun").unlink()
        all_of_them = [process.pid for process in server.processes()]
        os.kill(server.pid, signal.SIGKILL)
        assert wait_until_gone(all_of_them, SOON_S) == []
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", server.port))
            again.listen()
        server.popen.wait()


def test_after_a_killed_arbiter_the_next_one_takes_its_unix_socket_and_its_pid_file(tmp_path: Path) -> None:
    settings = {"workers": "1", "bind": f"unix:{tmp_path}/socket", "pidfile": f"{tmp_path}/pid"}
    with serve(settings=settings) as server:
        os.kill(server.pid, signal.SIGKILL)
        server.popen.wait()
    assert (tmp_path / "socket").exists()
    with serve(settings=settings) as server:
        assert server.get("/").status == 200
        assert int((tmp_path / "pid").read_text()) == server.pid
    assert not (tmp_path / "socket").exists()

"""No more processes, no more descriptors: what runs goes on, and what is missing comes as soon as there is room."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cgroups import limited
from support.checks import ask_each_worker
from support.client import request_bytes
from support.load import allow_descriptors, good_clients
from support.processes import send_signal
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"


def pids(server: Server, role: str) -> list[int]:
    return [process.pid for process in server.titled(f"unicorn: {role}")]


@contextlib.contextmanager
def few_descriptors(pid: int, spare: int) -> Iterator[None]:
    """Let the process open only so many files more."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    free = [number for number in range(open_now[-1] + 2 + spare) if number not in open_now]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[spare], limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def have_all_threads(server: Server) -> None:
    """Workers that have answered have their threads, too: they start them when they have been called ready."""
    ask_each_worker(server, "/pid")


def tasks(group: Path) -> int:
    """Processes and threads in it."""
    return int((group / "pids.current").read_text())


# -- processes -----------------------------------------------------------------------------------------------------


def test_a_fork_that_fails_is_tried_again_more_and_more_slowly_until_there_is_room() -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        have_all_threads(server)
        everyone = [process.pid for process in server.processes()]
        victim = pids(server, "worker")[0]
        with limited("pids", "max", everyone) as group:
            own = len(os.listdir(f"/proc/{victim}/task"))
            (group / "pids.max").write_text(str(tasks(group) - own))
            send_signal(victim, signal.SIGKILL)
            log = server.wait_for_log("the next try is in 0.8 s")
            tries = [line.partition("[ERROR] ")[2] for line in log.splitlines() if "fork" in line]
            why = "Could not fork a worker (Resource temporarily unavailable); the next try is in"
            assert tries[:4] == [f"{why} {delay} s" for delay in ("0.1", "0.2", "0.4", "0.8")]
            assert server.get("/pid").status == 200
            (group / "pids.max").write_text("max")
            wait_for(lambda: len(pids(server, "worker")) == 2, "the replacement")


def test_a_reload_for_which_there_are_no_processes_leaves_what_serves() -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        have_all_threads(server)
        everyone = [process.pid for process in server.processes()]
        with limited("pids", "max", everyone) as group:
            running = tasks(group)
            (group / "pids.max").write_text(str(running))
            server.signal(signal.SIGHUP)
            server.wait_for_log("it could not be started: Resource temporarily unavailable")
            assert server.get("/pid").status == 200
            assert [process.pid for process in server.processes()] == everyone
            (group / "pids.max").write_text(str(running + 1))  # a template, and none of its workers
            server.signal(signal.SIGHUP)
            server.wait_for_log("Could not fork a worker")
            assert server.get("/pid").status == 200
            (group / "pids.max").write_text("max")
            server.wait_for_log("serves (HUP)")
        assert "[WARNING]" not in server.log_text()


# -- descriptors ---------------------------------------------------------------------------------------------------


def test_a_worker_without_descriptors_finishes_what_runs_and_keeps_what_it_has(tmp_path: Path) -> None:
    allow_descriptors(4096)
    with serve(settings={"workers": "1", "keepalive": "60"}) as server:
        (worker,) = pids(server, "worker")
        with server.connect() as running, server.connect() as idle:
            idle.send(request_bytes("GET", "/"))
            assert idle.read_answer().status == 200
            gate = tmp_path / "gate"
            running.send(request_bytes("GET", f"/wait-for-file?path={gate}"))
            wait_for(gate.with_suffix(".waiting").exists, "the application runs")
            with few_descriptors(worker, spare=0):
                waiting = [server.connect(30.0) for _ in range(5)]
                for client in waiting:
                    client.send(request_bytes("GET", "/"))
                gate.touch()
                assert running.read_answer().body == b"it is there\n"
                server.wait_for_log("Can't accept connections")
                idle.send(request_bytes("GET", "/"))
                assert idle.read_answer().body == b"ready\n"
            for client in waiting:
                with client:
                    assert client.read_answer().body == b"ready\n"
        assert pids(server, "worker") == [worker]
        assert good_clients(server, requests=20) == []


@pytest.mark.parametrize("spare", [0, 1, 2, 3, 4, 6])
def test_an_arbiter_without_descriptors_can_t_reload_and_does_all_else(spare: int) -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        before = set(pids(server, "worker"))
        with few_descriptors(server.pid, spare):
            server.signal(signal.SIGHUP)
            victim = before.pop()
            send_signal(victim, signal.SIGKILL)
            server.wait_for_log(f"(pid {victim}) was killed by SIGKILL")
            wait_for(lambda: len(pids(server, "worker")) >= 2, "the replacement")
            server.signal(signal.SIGTTIN)
            wait_for(lambda: len(pids(server, "worker")) >= 3, "one more worker")
            assert server.get("/pid").status == 200
        server.signal(signal.SIGHUP)
        server.wait_for_log("serves (HUP)")
        assert server.get("/pid").status == 200
        assert "A fault in" not in server.log_text()


@pytest.mark.parametrize("spare", [0, 1, 2, 4, 8])
def test_a_template_without_descriptors_says_why_and_its_workers_come_when_it_has_some(spare: int) -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        (template,) = pids(server, "template")
        victim = pids(server, "worker")[0]
        with few_descriptors(template, spare):
            send_signal(victim, signal.SIGKILL)
            server.wait_for_log(f"(pid {victim}) was killed by SIGKILL")
            assert server.get("/pid").status == 200
        wait_for(lambda: len(pids(server, "worker")) == 2, "the replacement", timeout_s=20.0)
        assert victim not in pids(server, "worker")

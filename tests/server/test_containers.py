"""As the first process of a container: what only pid 1 has to do, and what only pid 1 can't."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client import request_bytes
from support.processes import send_signal, wait_until_gone
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
UNSHARE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]


def can_unshare() -> bool:
    """Whether there may be a process of ours that is pid 1 in a namespace of its own."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError):
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    return False


pytestmark = pytest.mark.skipif(not can_unshare(), reason="needs root, and namespaces of processes")


@contextlib.contextmanager
def container(**settings: str) -> Iterator[tuple[Server, int]]:
    """A server as pid 1, and which pid that is outside."""
    with serve(settings={"workers": "2", **settings}, app=APP, prefix=UNSHARE) as server:
        server.wait_for_log("[INFO] Serving ")
        (arbiter,) = server.titled("unicorn: arbiter")
        try:
            yield server, arbiter.pid
        finally:  # `unshare` takes no notice of TERM
            send_signal(arbiter.pid, signal.SIGTERM)
            server.popen.wait(30)


def zombies(server: Server) -> list[str]:
    """Of all processes that are visible in the container: dead ones that nobody has waited for."""
    (arbiter,) = server.titled("unicorn: arbiter")
    namespace = os.readlink(f"/proc/{arbiter.pid}/ns/pid")
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (path / "stat").read_text()
            if os.readlink(path / "ns/pid") == namespace and stat.rpartition(")")[2].split()[0] == "Z":
                found.append(stat)
    return found


def test_the_stop_of_a_container_finishes_what_runs_and_exits_with_0() -> None:
    with container() as (server, arbiter):
        assert "(arbiter pid 1)" in server.log_text()
        begun = server.directory / "begun"
        with server.connect() as client:
            client.send(request_bytes("GET", f"/sleep?s=1&touch={begun}"))
            wait_for(begun.exists, "the request to begin")
            everyone = [process.pid for process in server.processes()]
            send_signal(arbiter, signal.SIGTERM)
            assert client.read_answer().body == b"slept"
        assert server.wait() == 0
        assert wait_until_gone(everyone, 10.0) == []
        assert server.log_text().rstrip().endswith(" 0 lost")


def test_the_container_ends_with_1_when_the_server_can_t_start() -> None:
    with serve(settings={"wrokers": "2"}, app=APP, prefix=UNSHARE, ready=None) as server:
        assert server.wait() == 1


def test_orphans_of_the_application_are_reaped() -> None:
    with container() as (server, _):
        orphans = [int(server.get("/orphan?s=0.2").body) for _ in range(5)]
        assert len(set(orphans)) == 5
        wait_for(lambda: len(server.processes()) == 5, "unshare, arbiter, template, two workers")
        wait_for(lambda: zombies(server) == [], "all are reaped")
        assert "[WARNING]" not in server.log_text()


def test_zombies_that_a_worker_leaves_behind_are_reaped_when_it_goes() -> None:
    with container() as (server, arbiter):
        for _ in range(10):
            server.get("/fork?s=0")
        wait_for(lambda: zombies(server), "children that the application does not wait for")
        send_signal(arbiter, signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        wait_for(lambda: zombies(server) == [], "all are reaped")


def test_a_killed_template_is_replaced_and_workers_too() -> None:
    with container() as (server, _):
        (template,) = server.titled("unicorn: template")
        workers = server.titled("unicorn: worker")  # before there may be one of the next generation, which would fail
        for process in (template, *workers):
            send_signal(process.pid, signal.SIGKILL)
        server.wait_for_log("Generation 2 serves")
        wait_for(lambda: len(server.titled("unicorn: worker")) == 2, "two workers")
        assert server.get("/pid").status == 200
        wait_for(lambda: zombies(server) == [], "all are reaped")


def test_an_upgrade_is_refused_with_advice() -> None:
    with container() as (server, arbiter):
        send_signal(arbiter, signal.SIGUSR2)
        log = server.wait_for_log("Got USR2")
        assert "pid 1" in log
        assert server.get("/pid").status == 200


def test_a_killed_arbiter_takes_all_with_it() -> None:
    with container() as (server, arbiter):
        everyone = [process.pid for process in server.processes()]
        send_signal(arbiter, signal.SIGKILL)
        assert wait_until_gone(everyone, 10.0) == []
        server.popen.wait()

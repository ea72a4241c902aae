"""Storms of signals end no process that they are not meant to end; blocked ones arrive all the same."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from support.processes import send_signal, standing_still
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
KINDS = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGWINCH, signal.SIGCHLD]


def pids(server: Server, role: str) -> list[int]:
    return [process.pid for process in server.titled(f"unicorn: {role}")]


def test_a_worker_that_is_woken_with_signals_of_many_kinds_pending_ends_as_it_was_told() -> None:
    """All their frames are laid on faulthandler's small stack before the first handler runs; it overflowed."""
    with serve(settings={"workers": "1"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        (worker,) = pids(server, "worker")
        with standing_still([worker]):
            for number in (*KINDS, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTERM):
                os.kill(worker, number)
        server.wait_for_log(f"(pid {worker}) has ended; it is replaced")


@pytest.mark.parametrize("role", ["worker", "template", "arbiter"])
def test_hundreds_of_signals_of_all_kinds_change_nothing(role: str) -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        before = [process.pid for process in server.processes()]
        kinds = [signal.SIGUSR1, signal.SIGCHLD] if role == "arbiter" else KINDS
        for pid in pids(server, role):
            for number in kinds * 100:
                send_signal(pid, number)
        assert server.get("/pid").status == 200
        server.signal(signal.SIGTTIN)
        wait_for(lambda: len(pids(server, "worker")) == 3, "a third worker")
        assert [process.pid for process in server.processes() if process.pid in before] == before


BLOCKED = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); "
BLOCKED += "os.execv(sys.argv[1], sys.argv[1:])"

BLOCKS = """
import os, signal
def make_app(global_conf, **local_conf):
    block()
    return application
def application(environ, start_response):
    if environ.get("paste_unicorn.warmup"):
        block()
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
def block():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
"""


@pytest.mark.parametrize("by", ["the parent", "the application"])
def test_signals_that_somebody_has_blocked_are_heeded_by_all_processes(by: str, tmp_path: Path) -> None:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    app = "paste.app_factory = blocks:make_app" if by == "the application" else APP
    prefix = [sys.executable, "-c", BLOCKED] if by == "the parent" else []
    settings = {"workers": "1", "warmup": "/pid"}
    with serve(settings=settings, app=app, prefix=prefix, env={"PYTHONPATH": str(tmp_path)}) as server:
        server.wait_for_log("[INFO] Serving ")
        for generation in (1, 2):
            (worker,) = pids(server, "worker")
            os.kill(worker, signal.SIGTERM)
            wait_for(lambda gone=worker: pids(server, "worker") not in ([gone], []), "another worker")
            if generation == 1:
                server.signal(signal.SIGHUP)
                server.wait_for_log("Generation 2 serves (HUP)")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "Stopped (TERM)" in server.log_text()

"""Storms of signals end no process that they are not meant to end."""

from __future__ import annotations

import os
import signal

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

"""Stops with both workers busy and the queue full: all that the kernel accepted is answered."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.changing import changing_site
from support.listeners import queue_length
from support.server import Server, command, environment, wait_for
from support.traffic import Load, Traffic

SLOW = 20
SLOW_S = 0.5
BACKLOG = 16
HURRIED = Load("hurried", 100, every_s=0.01, kept=False)


def send_term(server: Server) -> None:
    server.signal(signal.SIGTERM)


def let_paster_stop_it(server: Server) -> None:
    stop = [*command("paster", server.ini), "--stop-daemon", "--pid-file=server.pid"]
    subprocess.run(stop, cwd=server.directory, env=environment(server.mark, {}), timeout=60, check=True)


@pytest.mark.parametrize("stop", [send_term, let_paster_stop_it])
def test_a_stop_answers_all_that_the_kernel_accepted(
    stop: Callable[[Server], None], worker_class: str, tmp_path: Path
) -> None:
    args = ["--pid-file=server.pid"]
    with (
        changing_site(tmp_path, worker_class, args=args, backlog=str(BACKLOG)) as site,
        contextlib.ExitStack() as clients,
    ):
        server = site.server
        slow = [clients.enter_context(server.connect(60.0)) for _ in range(SLOW)]
        wait_for(lambda: queue_length(server.port) == 0, "the slow clients are accepted")
        for client in slow:
            client.send(f"GET /sleep?{SLOW_S} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with Traffic(server.address, [HURRIED]) as traffic:
            # Classes that run the slow requests beside others go on accepting: there it is seldom full, for a moment.
            most = BACKLOG if worker_class == "sync" else 0
            wait_for(lambda: queue_length(server.port) > most, "clients wait in the queue")
            stop(server)
            assert server.wait() == 0
            report = traffic.finish()
        assert [client.read_answer().body.partition(b" ")[0] for client in slow] == [b"v1"] * SLOW
        assert report["hurried"].failed == {}
        assert report["hurried"].answered > most
        assert " 0 lost\n" in server.log_text()

"""More clients than a listener's queue takes, while the only worker is stopped: it is in the log as it happens."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sys
from collections.abc import Iterator

import pytest
from support.processes import send_signal, standing_still
from support.server import Server, serve, wait_for

from paste_unicorn.ops.queues import queue_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems don't tell")

BACKLOG = 4
LINE = "The queue of connections that wait on "


@contextlib.contextmanager
def stopped_worker(**settings: str) -> Iterator[Server]:
    """A server whose only worker accepts nothing; it goes on at the end."""
    with serve(settings={"backlog": str(BACKLOG), "timeout": "0", **settings}) as server:
        server.wait_for_log("[INFO] Serving ")
        (worker,) = server.titled("unicorn: worker")
        with standing_still([worker.pid]):
            yield server


@contextlib.contextmanager
def clients(server: Server, number: int) -> Iterator[None]:
    """They connect and don't wait."""
    with contextlib.ExitStack() as stack:
        family = socket.AF_INET if isinstance(server.address, tuple) else socket.AF_UNIX
        for _ in range(number):
            client = stack.enter_context(socket.socket(family))
            client.setblocking(False)
            client.connect_ex(server.address)
        yield


def test_an_overflow_is_in_the_log_once_with_what_to_change() -> None:
    with stopped_worker() as server:
        with clients(server, 20):
            log = server.wait_for_log(f"{LINE}127.0.0.1:{server.port} overflowed")
            (line,) = [line for line in log.splitlines() if LINE in line]
            assert "[WARNING]" in line
            found = re.search(r"overflowed (\d+) times? within \d+\.\d s \(now (\d+) wait, (\d+) may\)", line)
            assert found is not None, line
            assert int(found[1]) >= 1
            assert (int(found[2]), int(found[3])) == (BACKLOG + 1, BACKLOG)
            assert f"(backlog = {2 * BACKLOG} in the ini, then kill -HUP {server.pid})" in line
        with clients(server, 20):  # and again, less than a minute later
            (worker,) = server.titled("unicorn: worker")
            send_signal(worker.pid, signal.SIGCONT)
            wait_for(lambda: server.get("/").status == 200, "an answer")
        assert server.log_text().count(LINE) == 1


def test_clients_that_find_room_are_nobodys_concern() -> None:
    with stopped_worker() as server, clients(server, BACKLOG):
        at_least_two_looks(server)
        assert LINE not in server.log_text()


def test_an_overflow_of_somebody_else_is_none_of_ours() -> None:
    with stopped_worker() as server, socket.create_server(("127.0.0.1", 0), backlog=1) as other:
        with contextlib.ExitStack() as stack:
            for _ in range(10):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(other.getsockname())
            wait_for(lambda: (queue := queue_of(other)) is not None and queue.dropped, "the other one drops some")
            at_least_two_looks(server)
        assert LINE not in server.log_text()


def test_a_unix_listener_that_is_full_is_in_the_log() -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.bind("")
        probe.listen()
        if queue_of(probe) is None:
            pytest.skip("this kernel has no unix_diag")
    with stopped_worker(bind="unix:{directory}/s") as server, clients(server, BACKLOG + 1):
        log = server.wait_for_log(f"{LINE}unix:{server.directory}/s is full ({BACKLOG + 1} wait, {BACKLOG} may)")
        assert "refused with EAGAIN" in log
        assert log.count(LINE) == 1


def at_least_two_looks(server: Server) -> None:
    """The arbiter looks twice a second; a look is over when it sleeps again, which its context switches count."""

    def switches() -> int:
        with open(f"/proc/{server.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))

    before = switches()
    wait_for(lambda: switches() >= before + 3, "two looks of the arbiter")

"""Between USR2 and the end of the old arbiter there are two: TERM to both at once, as a service manager sends it."""

from __future__ import annotations

import signal

import pytest
from support.load import Hurried, in_threads
from support.processes import send_signal
from support.server import serve, wait_for


@pytest.mark.parametrize("to", ["arbiters", "all processes"])
@pytest.mark.parametrize("first", ["the old one", "the new one"])
def test_two_arbiters_that_stop_at_once_lose_nothing_that_was_accepted(worker_class: str, to: str, first: str) -> None:
    """Each would hand over to the other: the old one to its successor, the new one to whoever is there already."""
    with serve(settings={"workers": "2", "worker_class": worker_class}) as server:
        server.wait_for_log("[INFO] Serving ")
        server.signal(signal.SIGUSR2)
        server.wait_for_log("serves; TERM ends this one", timeout_s=30.0)
        clients = [Hurried(("127.0.0.1", server.port)) for _ in range(12)]

        def term_under_load() -> None:
            wait_for(lambda: sum(client.answered for client in clients) > 300, "300 requests are answered")
            processes = server.processes() if to == "all processes" else server.titled("unicorn: arbiter")
            for process in processes if first == "the old one" else reversed(processes):
                send_signal(process.pid, signal.SIGTERM)

        in_threads([client.run for client in clients], term_under_load)
        assert server.wait() == 0
        wait_for(lambda: server.processes() == [], "all processes are gone", timeout_s=40.0)
        assert [lost for client in clients for lost in client.lost] == []
        with pytest.raises(ConnectionRefusedError):
            server.connect()

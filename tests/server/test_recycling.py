"""Workers that have served long enough are replaced, one after the other, the replacement ready first."""

from __future__ import annotations

import re
import time

import pytest
from support.client import Client, request_bytes
from support.load import in_threads
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
RETIRES = re.compile(r"Worker \d+ \(pid (\d+)\) retires: it has answered (\d+) requests \(max_requests\)")


def workers(server: Server) -> set[int]:
    return {process.pid for process in server.titled("unicorn: worker")}


def ask(client: Client, path: str = "/pid") -> bytes:
    client.send(request_bytes("GET", path, [("Connection", "close")]))
    answer = client.read_answer()
    assert answer.status == 200
    return answer.body


def test_workers_are_replaced_after_max_requests_and_no_request_fails(worker_class: str) -> None:
    settings = {"workers": "2", "worker_class": worker_class, "max_requests": "40", "max_requests_jitter": "20"}
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        failures: list[str] = []
        pids: set[bytes] = set()

        def until_all_are_replaced() -> None:
            give_up = time.monotonic() + 30.0
            while time.monotonic() < give_up:
                try:
                    with server.connect() as client:
                        pids.add(ask(client))
                except (AssertionError, OSError) as error:
                    failures.append(repr(error))
                    return
                if len(pids) >= 6:
                    return

        in_threads([until_all_are_replaced] * 4)
        assert failures == []
        assert len(pids) >= 6
        wait_for(lambda: len(workers(server)) == 2, "two workers")
        retired = RETIRES.findall(server.log_text())
        assert len({pid for pid, _ in retired}) == len(retired) >= 4
        assert {int(limit) for _, limit in retired} <= set(range(40, 61))
        assert "[ERROR]" not in server.log_text()
        assert "[WARNING]" not in server.log_text()


def test_a_worker_that_has_eaten_too_much_memory_is_replaced_and_its_siblings_are_not() -> None:
    with serve(settings={"workers": "2", "max_worker_memory": "150m"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        first = workers(server)
        with server.connect(timeout_s=30.0) as client:
            client.send(request_bytes("GET", "/eat?mb=200"))
            assert client.read_answer().status == 200
        log = server.wait_for_log("of memory (max_worker_memory)", timeout_s=20.0)
        eater = re.search(r"\(pid (\d+)\) retires: it has (\d+)\.\d MiB of memory", log)
        assert eater is not None
        assert int(eater[2]) >= 150
        wait_for(lambda: len(workers(server)) == 2 and int(eater[1]) not in workers(server), "the replacement")
        assert len(first & workers(server)) == 1


@pytest.mark.parametrize("kind", ["private", "rss"])
def test_memory_that_is_shared_with_the_template_counts_as_rss_alone(kind: str) -> None:
    """The interpreter and the application are 20 MiB or more; each worker has written to a few of them."""
    settings = {"workers": "1", "max_worker_memory": "15m", "max_worker_memory_kind": kind}
    with serve(settings=settings, app=APP) as server:
        if kind == "rss":
            server.wait_for_log(" retires: it has ", timeout_s=20.0)
        else:
            server.wait_for_log("[INFO] Serving ")
            (first,) = workers(server)
            assert _private_mib(first) < 15


def _private_mib(pid: int) -> float:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) / 1024


def test_a_worker_that_is_old_enough_is_replaced() -> None:
    settings = {"workers": "2", "max_worker_lifetime": "1", "max_worker_lifetime_jitter": "1"}
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        first = workers(server)
        wait_for(lambda: not first & workers(server), "both are replaced", timeout_s=20.0)
        assert "s old (max_worker_lifetime)" in server.log_text()
        assert "[ERROR]" not in server.log_text()

"""A worker that was ended from outside is reported with what it was doing, and each request gets its access line."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from support.board import requests_answered, requests_that_run, wait_until_it_leaves
from support.cgroups import limited
from support.client import Client, request_bytes
from support.gates import Gate, pid_of
from support.load import allow_descriptors, crowd
from support.processes import send_signal
from support.server import Server, serve, wait_for

from paste_unicorn.ops.last_words import NAMED
from paste_unicorn.scoreboard import CELLS

APP = "paste.app_factory = support.supervised:make_app"
SETTINGS = {"workers": "2", "accesslog": "{directory}/access.log", "access_log_format": "json"}
MEANS = {signal.SIGKILL: "comes from outside", signal.SIGSEGV: "is a fault in C code"}
MEMORY = re.compile(r"had \d+\.\d MiB of memory \(resident\) at its last sign of life, \d+\.\d s ago")


def workers(server: Server) -> list[int]:
    return [process.pid for process in server.titled("unicorn: worker")]


def _generations(server: Server, but: int) -> list[int]:
    """Of all workers but one, without those that end: a title is lost before its process is."""
    told = [one.title.rpartition(" g")[2] for one in server.titled("unicorn: worker") if one.pid != but]
    return [int(generation) for generation in told if generation.isdigit()]


def access_line(server: Server, mark: str) -> dict[str, Any]:
    """The one line with this mark."""

    def whole() -> list[str]:
        lines = (server.directory / "access.log").read_text().splitlines(keepends=True)
        return [line for line in lines if mark in line and line.endswith("\n")]

    (line,) = wait_for(whole, f"an access line with {mark}")
    found: dict[str, Any] = json.loads(line)
    return found


def begin(server: Server, path: str, tmp_path: Path) -> Client:
    """A connection on which a request is being served."""
    begun = tmp_path / "begun"
    client = server.connect(timeout_s=30.0)
    client.send(request_bytes("GET", f"{path}&touch={begun}"))
    wait_for(begun.exists, "the request to begin")
    return client


def busy_worker(server: Server) -> int:
    """Of two, the one that does not answer."""
    free = int(server.get("/pid").body)
    (busy,) = set(workers(server)) - {free}
    return busy


def told_of(server: Server, pid: int, last: str) -> list[str]:
    """What was said about this worker, without the beginnings of the lines."""
    log = server.wait_for_log(last)
    return [line.partition(f"(pid {pid}) ")[2] for line in log.splitlines() if f"(pid {pid})" in line]


@pytest.mark.parametrize("busy", ["/sleep?s=30", "/spin?s=30", "/hold?s=30"])
def test_a_worker_killed_within_a_request_is_reported_with_it_and_its_client_sees_the_end(
    busy: str, tmp_path: Path
) -> None:
    with serve(settings=SETTINGS, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        with begin(server, busy, tmp_path) as client:
            pid = busy_worker(server)
            send_signal(pid, signal.SIGKILL)
            client.expect_end()
        killed, within, last = told_of(server, pid, "SIGKILL comes from outside")
        assert killed == "was killed by SIGKILL; it is replaced"
        assert re.match(
            rf'ended within "GET {re.escape(busy)}&touch=\S+ HTTP/1\.1" since \d+\.\d s, for 127\.0\.0\.1$', within
        )
        assert MEMORY.match(last)
        line = access_line(server, "s=30")
        assert (line["how"], line["pid"]) == ("worker-died", pid)
        wait_for(lambda: len(workers(server)) == 2, "the replacement")


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("told", [signal.SIGHUP, signal.SIGTERM])
def test_one_that_was_to_go_after_its_request_is_reported_just_so(
    told: signal.Signals, by: signal.Signals, tmp_path: Path
) -> None:
    with serve(settings=SETTINGS, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        with begin(server, "/sleep?s=30", tmp_path) as client:
            pid = busy_worker(server)
            server.signal(told)
            new = 2 if told is signal.SIGHUP else 0
            wait_for(lambda: _generations(server, but=pid) == [2] * new, "all others to be new, or gone")
            send_signal(pid, by)
            client.expect_end()
        killed, within, last = told_of(server, pid, f"{by.name} {MEANS[by]}")
        assert killed == f"was killed by {by.name}" + " while it retired" * (told is signal.SIGHUP)
        assert within.startswith('ended within "GET /sleep?s=30&touch=')
        assert MEMORY.match(last)
        assert access_line(server, "s=30")["how"] == "worker-died"
        server.wait_for_log(" requests finished, 1 lost")


@pytest.mark.parametrize(("worker_class", "number"), [("threads", 90), ("gevent", 90), ("gevent", 1100)])
def test_each_of_very_many_requests_has_its_access_line_and_all_that_are_lost_are_counted(
    worker_class: str, number: int
) -> None:
    """What is beyond the cells of a worker is counted, and the error log stays readable."""
    allow_descriptors(4000)
    settings = {**SETTINGS, "workers": "1", "worker_class": worker_class, "worker_connections": "1200"}
    if worker_class == "threads":
        settings["threads"] = str(number)
    celled = min(number, CELLS)
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        pid = int(server.get("/pid").body)
        with crowd(server.address, number, request_bytes("GET", "/sleep?s=600")):
            wait_for(lambda: requests_that_run(server) == number, "all of them to run")
            server.signal(signal.SIGHUP)
            wait_until_it_leaves(server, pid)
            send_signal(pid, signal.SIGKILL)
            server.wait_for_log(f"0 connections handed off, 0 requests finished, {number} lost")
        within = [line for line in told_of(server, pid, "SIGKILL comes from outside") if " within " in line]
        more = [f"ended within {celled - NAMED} requests more, which began later"]
        if beyond := number - celled:
            more.append(f"ended within {beyond} requests more, which found no room in its row of the scoreboard")
        assert within[NAMED:] == more
        lines = (server.directory / "access.log").read_text().splitlines()
        assert sum("/sleep" in line and json.loads(line)["how"] == "worker-died" for line in lines) == celled


def test_what_a_worker_had_answered_before_it_was_to_go_is_not_what_it_has_finished() -> None:
    """Nor does it become less than nothing, although it had no time to count them."""
    with serve(settings={"workers": "1"}) as server, server.connect() as client:
        server.wait_for_log("[INFO] Serving ")
        gate = Gate(server)
        client.send(request_bytes("GET", "/pid") * 20)
        pid = gate.occupy(client)
        server.signal(signal.SIGHUP)
        wait_until_it_leaves(server, pid)
        send_signal(pid, signal.SIGKILL)
        server.wait_for_log("0 connections handed off, 0 requests finished, 1 lost")


@pytest.mark.parametrize("worker_class", ["sync", "threads", "gevent"])
def test_what_a_killed_worker_had_finished_is_counted_beside_what_it_lost(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "handoff": "off"}
    with serve(settings=settings) as server, server.connect() as client, server.connect() as other:
        server.wait_for_log("[INFO] Serving ")
        assert pid_of(other) == pid_of(client)
        first, second = Gate(server, "first"), Gate(server, "second")
        pid = first.occupy(client)
        other.send(second.request)
        server.signal(signal.SIGHUP)
        wait_until_it_leaves(server, pid)
        first.let_through(client)
        assert second.wait() == pid
        wait_for(lambda: requests_answered(server, pid)[1] == 1, "the first one to be counted")
        send_signal(pid, signal.SIGKILL)
        server.wait_for_log("0 connections handed off, 1 requests finished, 1 lost")


def test_a_worker_that_is_killed_before_it_knew_that_it_was_to_go_has_finished_nothing(tmp_path: Path) -> None:
    settings = {"workers": "1", "graceful_timeout": "1"}
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        pid = int(server.get("/pid").body)
        wait_for(lambda: requests_answered(server, pid)[0], "the first one to be counted")
        with begin(server, "/grind?", tmp_path) as client:
            server.signal(signal.SIGHUP)
            client.expect_end()
        server.wait_for_log("0 connections handed off, 0 requests finished, 1 lost")


def test_an_idle_worker_that_is_killed_says_so() -> None:
    with serve(settings=SETTINGS, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        pid = int(server.get("/pid?idle").body)
        access_line(server, "idle")  # its client had the answer a moment before the request was over
        send_signal(pid, signal.SIGKILL)
        _, last = told_of(server, pid, "SIGKILL comes from outside")
        assert MEMORY.match(last)
        assert ", and was serving no request. " in last


def test_a_fault_in_c_code_shows_its_tracebacks_and_its_request() -> None:
    with serve(settings=SETTINGS, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        with server.connect() as client:
            client.send(request_bytes("GET", "/crash?in-c"))
            client.expect_end()
        log = server.wait_for_log("SIGSEGV is a fault in C code")
        assert "Fatal Python error: Segmentation fault" in log
        assert "in do_crash" in log
        assert 'ended within "GET /crash?in-c' in log
        assert access_line(server, "in-c")["how"] == "worker-died"


def test_a_worker_that_ends_itself_within_a_request_is_reported_with_it() -> None:
    with serve(settings=SETTINGS, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        with server.connect() as client:
            client.send(request_bytes("GET", "/exit?code=7"))
            client.expect_end()
        log = server.wait_for_log('ended within "GET /exit?code=7')
        assert "has ended with exit code 7; it is replaced" in log
        assert access_line(server, "code=7")["how"] == "worker-died"


def test_a_signal_without_a_name_ends_a_worker_and_nothing_else() -> None:
    with serve(settings=SETTINGS, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        pid = int(server.get("/pid").body)
        os.kill(pid, signal.SIGRTMIN + 5)
        server.wait_for_log(f"(pid {pid}) was killed by signal {signal.SIGRTMIN + 5}; it is replaced")
        wait_for(lambda: len(workers(server)) == 2, "the replacement")


def test_the_orphan_of_a_killed_template_is_reported_just_so(tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    with serve(settings=SETTINGS, app=f"{APP}\nhang_if = {hang}") as server:
        server.wait_for_log("[INFO] Serving ")
        hang.touch()
        (template,) = server.titled("unicorn: template")
        with begin(server, "/sleep?s=30", tmp_path) as client:
            pid = busy_worker(server)
            send_signal(template.pid, signal.SIGKILL)
            send_signal(pid, signal.SIGKILL)
            client.expect_end()
        told_of(server, pid, "SIGKILL comes from outside")
        assert access_line(server, "/sleep")["how"] == "worker-died"
        hang.unlink()


def test_a_worker_killed_for_want_of_memory_is_told_from_others() -> None:
    with serve(settings=SETTINGS, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        with limited("memory", 200 << 20, [process.pid for process in server.processes()]):
            with server.connect(timeout_s=30.0) as client:
                client.send(request_bytes("GET", "/eat?mb=400"))
                client.expect_end()
            log = server.wait_for_log("The kernel's OOM killer has ended a process of this server's control group")
            assert "(limit 200.0 MiB): this one, most likely" in log
            assert 'ended within "GET /eat?mb=400' in log
            assert "comes from outside" not in log
            wait_for(lambda: len(workers(server)) == 2, "the replacement")
            assert server.get("/pid").status == 200
            # The next kill is somebody's own.
            send_signal(int(server.get("/pid").body), signal.SIGKILL)
            server.wait_for_log("SIGKILL comes from outside")


def test_when_memory_is_short_a_worker_is_taken_and_not_the_arbiter_with_all_that_depends_on_it() -> None:
    """The memory is full of a file that is no process's own; the arbiter is the largest of our processes."""
    with limited("memory", 150 << 20, []) as group:
        prefix = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
        with serve(settings=SETTINGS, app=APP, prefix=prefix) as server:
            server.wait_for_log("[INFO] Serving ")
            for _ in range(2):
                start = len(server.log_text())
                with server.connect(timeout_s=30.0) as client:
                    client.send(request_bytes("GET", "/fill?mb=400"))
                    client.expect_end()
                server.wait_for_log("The kernel's OOM killer has ended a process", after=start)
                assert server.get("/pid").status == 200
                wait_for(lambda: len(workers(server)) == 2, "the replacement")
            assert len(server.titled("unicorn: template [test.ini] g1")) == 1

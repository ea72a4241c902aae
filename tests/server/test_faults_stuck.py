"""An application that hangs everywhere, or never comes up: the server says so, readably, and comes back by itself."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

from support.client import request_bytes
from support.processes import send_signal, standing_still
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"


def cpu_s(pid: int) -> float:
    """Processor time that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def workers(server: Server) -> set[int]:
    return {process.pid for process in server.titled("unicorn: worker")}


def overdue(server: Server) -> list[str]:
    """Paths of the requests whose workers were killed for them, as the access log has them."""
    text = (server.directory / "access.log").read_text()
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return sorted(line["path"] for line in lines if line["how"] == "timeout")


def test_when_all_workers_are_stuck_all_are_reported_and_replaced_and_who_waited_is_served(tmp_path: Path) -> None:
    settings = {
        "workers": "3", "timeout": "4", "accesslog": "{directory}/access.log", "access_log_format": "json",
        "on_starting": "support.supervised.gives_time",
    }  # fmt: skip
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        first = workers(server)
        hung = []
        with standing_still([server.pid]):  # or the first one may be replaced before the last one is stuck
            for kind in ("grind?x=1", "hold?s=60", "spin?s=60"):
                begun = tmp_path / kind.partition("?")[0]
                client = server.connect(timeout_s=30.0)
                client.send(request_bytes("GET", f"/{kind}&touch={begun}"))
                wait_for(begun.exists, "the request to begin")
                hung.append(client)
        waiting = [server.connect(timeout_s=30.0) for _ in range(10)]
        for client in waiting:
            client.send(request_bytes("GET", "/pid"))
        for client in waiting:
            with client:
                assert int(client.read_answer().body) not in first
        for client in hung:
            with client:
                assert b" 200 " not in client.read_to_the_last()
        wait_for(lambda: len(workers(server)) == 3 and not first & workers(server), "three new workers")
        log = server.log_text()
        assert log.count("has made no progress within timeout (4 s)") == 3
        for name in ("do_grind", "do_hold", "do_spin"):
            assert f"in {name}" in log
            assert f'is running "GET /{name[3:]}?' in log
        wait_for(lambda: overdue(server) == ["/grind", "/hold", "/spin"], "the access log to have them as overdue")


def forks_and_log(server: Server, text: str) -> tuple[int, str]:
    """Wait for this text: how many forks there were, and a log that was read after that. The attempts go on meanwhile,
    and each is told after its forks.
    """
    hooks = server.directory / "hooks"

    def found() -> tuple[int, str] | None:
        forks = hooks.read_text().count("pre_fork") if hooks.exists() else 0
        log = server.log_text()
        return (forks, log) if text in log else None

    forks_log = wait_for(found, text, 30.0)
    assert forks_log is not None
    return forks_log


def test_a_crash_loop_forks_and_logs_little_and_costs_nothing() -> None:
    """Counted by attempts, which come at 0.1, 0.2, 0.4 ... seconds: each forks the workers once and says one line."""
    hooks = {"pre_fork": "support.supervised.pre_fork", "post_fork": "support.supervised.never_boots"}
    settings = {"workers": "3", "raw_env": "HOOKS={directory}/hooks", **hooks}
    with serve(settings=settings, app=APP, ready=None) as server:
        forks, log = forks_and_log(server, "(attempt 6 that failed in a row)")
        attempts = [line for line in log.splitlines() if "the next try is in" in line]
        assert [line.partition("the next try is in ")[2][:5] for line in attempts[:6]] == [
            "0.1 s", "0.2 s", "0.4 s", "0.8 s", "1.6 s", "3.2 s",
        ]  # fmt: skip
        assert forks <= 3 * len(attempts)
        assert len(log.splitlines()) <= len(attempts) + 2
        assert "Traceback" not in log
        assert cpu_s(server.pid) < 3.0  # starting the interpreter and loading the application is most of it
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_workers_that_crash_as_soon_as_they_are_ready_come_more_and_more_slowly() -> None:
    hooks = {"pre_fork": "support.supervised.pre_fork", "post_worker_init": "support.supervised.crashes_soon"}
    settings = {"workers": "2", "raw_env": "HOOKS={directory}/hooks", **hooks}
    with serve(settings=settings, app=APP, ready=None) as server:
        forks, log = forks_and_log(server, "(attempt 4 that failed in a row)")
        assert "just after it was ready; the next try is in" in log
        # Who stands still for a second before it crashes has lived, and the row begins anew.
        attempts, lived = log.count("the next try is in"), log.count("; it is replaced")
        assert forks <= 2 * (attempts + 1) + lived
        # The first of each attempt tells what the signal means.
        assert log.count("SIGSEGV is a fault in C code") <= attempts + 1 + lived


def test_an_idle_server_sleeps() -> None:
    """A few looks a second and nothing else, also after a worker was suspected, killed, replaced."""
    with serve(settings={"workers": "2"}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        send_signal(min(workers(server)), signal.SIGKILL)
        server.wait_for_log("is replaced")
        wait_for(lambda: len(workers(server)) == 2, "the replacement")
        everyone = [process.pid for process in server.processes()]
        before = sum(map(cpu_s, everyone))
        with server.connect() as client:
            assert client.is_silent(2.0) or client.ended
        assert sum(map(cpu_s, everyone)) - before < 0.3


def test_a_template_that_crashes_while_it_loads_is_tried_more_and_more_slowly(tmp_path: Path) -> None:
    fail = tmp_path / "fail"
    with serve(settings={"workers": "1"}, app=f"{APP}\nfail_if = {fail}") as server:
        server.wait_for_log("[INFO] Serving ")
        fail.touch()
        (template,) = server.titled("unicorn: template")
        send_signal(template.pid, signal.SIGKILL)
        server.wait_for_log("the next try is in 2.0 s", timeout_s=30.0)
        assert server.get("/pid").status == 200
        fail.unlink()
        log = server.wait_for_log(" serves (", timeout_s=20.0)
        tries = re.findall(r"the next try is in (\d+\.\d) s", log)
        assert tries[:3] == ["0.5", "1.0", "2.0"]
        # Another one may have come before the application was in order again.
        assert len(tries) == log.count("RuntimeError: this application can't")
        assert f"Generation {len(tries) + 2} serves (" in log

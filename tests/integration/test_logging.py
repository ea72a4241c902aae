"""Logs of a running server: rotation, capture, and applications that configure logging for themselves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import pytest
from support.client import request_bytes
from support.processes import standing_still
from support.server import Server, serve, wait_for

HERE = {"PYTHONPATH": str(Path(__file__).parent)}
ECHO = "paste.app_factory = echo_conf:make_app\nname = main"


def test_usr1_reopens_both_logs_in_every_process_and_nothing_is_lost() -> None:
    settings = {"workers": "2", "errorlog": "{directory}/error.log", "accesslog": "{directory}/access.log"}
    with serve(settings=settings, app=ECHO, env=HERE) as server:
        access, error = server.directory / "access.log", server.directory / "error.log"
        for number in range(20):
            server.get(f"/before/{number}")
        wait_for(lambda: len(re.findall("/before/", access.read_text())) == 20, "20 lines")
        for path in (access, error):
            path.rename(path.with_suffix(".log.1"))
        server.signal(signal.SIGUSR1)
        wait_for(access.exists, "a new access log")
        pids = set(wait_for(lambda: found if len(found := _workers(server)) == 2 else [], "two workers"))

        def every_worker_writes_anew() -> bool:
            server.get("/after")
            return all(_opened(pid, access) and _opened(pid, error) for pid in pids)

        wait_for(every_worker_writes_anew, "every worker in the new files")
        server.get("/last")
        wait_for(lambda: "/last" in access.read_text(), "a line in the new file")
        old, new = access.with_suffix(".log.1").read_text(), access.read_text()
        assert len(re.findall("/before/", old)) == 20
        assert "/last" in new
        assert pids == set(_workers(server))


WAITS_TO_FORK = """
import os, time
def pre_fork(server, worker):
    open(os.environ["GATE"] + ".waiting", "w").close()
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
"""


def test_usr1_is_told_to_a_worker_that_was_about_to_be_forked(tmp_path: Path) -> None:
    """Its template had the old files then, and its pid was not known yet."""
    (tmp_path / "waits_to_fork.py").write_text(WAITS_TO_FORK)
    settings = {
        "workers": "1", "errorlog": "{directory}/error.log", "accesslog": "{directory}/access.log",
        "pre_fork": "waits_to_fork.pre_fork", "raw_env": "GATE={directory}/gate",
    }  # fmt: skip
    env = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parent}"}
    with serve(settings=settings, app=ECHO, env=env, ready=None) as server:
        access, error, gate = (server.directory / name for name in ("access.log", "error.log", "gate"))
        wait_for(gate.with_suffix(".waiting").exists, "a worker that is about to be forked")
        for path in (access, error):
            path.rename(path.with_suffix(".log.1"))
        server.signal(signal.SIGUSR1)
        wait_for(lambda: error.exists() and "Reopened the log files" in error.read_text(), "the new error log")
        gate.touch()
        (pid,) = wait_for(lambda: _workers(server), "the worker")
        wait_for(lambda: _opened(pid, access) and _opened(pid, error), "the worker in the new files")
        server.get("/last")
        wait_for(lambda: "/last" in access.read_text(), "a line in the new file")


def _opened(pid: int, path: Path) -> bool:
    """Whether a process has this very file open."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if link.stat().st_ino == path.stat().st_ino and link.readlink() == path:
                return True
        except OSError:
            continue
    return False


def test_json_access_log_of_a_request_that_tries_to_forge_one() -> None:
    settings = {"accesslog": "{directory}/access.log", "access_log_format": "json", "workers": "1"}
    with serve(settings=settings, app=ECHO, env=HERE) as server:
        access = server.directory / "access.log"
        before = len(access.read_text().splitlines())
        server.ask(b'GET /"},{"a":"b HTTP/1.1\r\nHost: x\r\nUser-Agent: "}\t{"status":200}\xe9\r\n\r\n')
        server.ask(b"GET /caf\xc3\xa9%0a HTTP/1.1\r\nHost: x\r\n\r\n")
        server.ask(b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: "/pot" in access.read_text(), "the line of the last request")
        records = [json.loads(line) for line in access.read_text().splitlines()[before:]]
        assert (records[-1]["status"], records[-1]["how"]) == (501, "refused"), records
        assert all(set(record) == set(records[0]) for record in records)


def test_access_log_on_a_full_disk_hurts_no_request() -> None:
    with serve(settings={"accesslog": "/dev/full", "workers": "1"}, app=ECHO, env=HERE) as server:
        for _ in range(50):
            assert server.get("/").status == 200
        assert server.log_text().count("No space left on device") == 1


def test_capture_output_puts_what_is_printed_into_the_error_log() -> None:
    settings = {"errorlog": "{directory}/error.log", "capture_output": "true"}
    with serve(settings=settings, app=ECHO, env=HERE) as server:
        server.get("/print?word")
        error = server.directory / "error.log"
        wait_for(lambda: "printed word" in error.read_text(), "the printed line")
        assert "printed word" not in server.log_text()


def _workers(server: Server) -> list[int]:
    return [process.pid for process in server.titled("unicorn: worker")]


def test_daemon_logs_into_the_file_of_paster_from_every_process() -> None:
    args = ["--daemon", "--pid-file", "site.pid", "--log-file", "site.log"]
    settings = {"workers": "1", "accesslog": "-"}
    with serve(settings=settings, app=ECHO, env=HERE, args=args, daemon=True) as server:
        log = server.directory / "site.log"
        arbiter = int((server.directory / "site.pid").read_text())
        try:
            server.get("/first")
            wait_for(lambda: "Serving " in log.read_text(), "the start")
            wait_for(lambda: '"GET /first' in log.read_text(), "the access line of the first worker")
            (template,) = server.titled("unicorn: template")
            (worker,) = server.titled("unicorn: worker")
            with standing_still([template.pid, worker.pid]):  # the worker is replaced soon after its template
                os.kill(template.pid, signal.SIGKILL)
                wait_for(lambda: "Template of generation 2" in log.read_text(), "a new template")
                os.kill(worker.pid, signal.SIGKILL)
            wait_for(lambda: _workers(server) not in ([], [worker.pid]), "a new worker", 20.0)
            server.get("/print?of-an-execed-template")
            wait_for(lambda: "printed of-an-execed-template" in log.read_text(), "what the new worker prints")
            wait_for(lambda: '"GET /print?of-an-execed-template' in log.read_text(), "its access line")
        finally:
            os.kill(arbiter, signal.SIGTERM)
            wait_for(lambda: not server.processes(), "the end of the daemon", 20.0)


def test_an_application_that_disables_existing_loggers_does_not_silence_the_server(tmp_path: Path) -> None:
    (tmp_path / "own_logging.py").write_text(OWN_LOGGING)
    app = "paste.app_factory = own_logging:make_app"
    settings = {"workers": "1", "accesslog": "-"}
    env = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parent}"}
    with serve(settings=settings, app=app, env=env) as server:
        server.wait_for_log("Serving ")
        server.get("/once")
        log = server.wait_for_log('"GET /once')
        assert len(re.findall(r"\[INFO\] Serving ", log)) == 1
        assert log.count('"GET /once') == 1


def test_a_request_that_configures_logging_takes_no_later_traceback_away(tmp_path: Path) -> None:
    """As Alembic does, whose env.py calls fileConfig."""
    (tmp_path / "late_logging.py").write_text(LATE_LOGGING)
    env = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parent}"}
    with serve(settings={"workers": "1"}, app="paste.app_factory = late_logging:make_app", env=env) as server:
        assert server.get("/configure").status == 200
        assert server.get("/raise").status == 500
        server.wait_for_log("ZeroDivisionError")
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        assert server.get("/configure").status == 200
        before = len(server.log_text())
        assert server.get("/raise").status == 500
        server.wait_for_log("ZeroDivisionError", after=before)


LATE_LOGGING = """
import logging.config
def make_app(global_conf, **local_conf):
    return application
def application(environ, start_response):
    if environ["PATH_INFO"] == "/configure":
        logging.config.dictConfig({"version": 1})
    if environ["PATH_INFO"] == "/raise":
        1 / 0
    start_response("200 OK", [])
    return []
"""


OWN_LOGGING = """
import logging.config
from echo_conf import make_app as make
def make_app(global_conf, **local_conf):
    logging.getLogger("gunicorn.error"), logging.getLogger("gunicorn.access")
    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": True,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"level": "DEBUG", "handlers": ["console"]},
    })
    return make(global_conf, **local_conf)
"""


@pytest.mark.parametrize(("signum", "how"), [(signal.SIGKILL, "worker-died"), (None, "timeout")])
def test_a_request_that_dies_with_its_worker_has_its_line_in_both_logs(
    signum: signal.Signals | None, how: str, tmp_path: Path
) -> None:
    settings = {"workers": "1", "accesslog": "{directory}/access.log", "access_log_format": '{h} "{r}" {s} {X}'}
    if signum is None:
        settings["timeout"] = "1"
    with serve(settings=settings) as server, contextlib.ExitStack() as stack:
        target = f"/wait-for-file?path={tmp_path}/never"
        with standing_still([server.pid]):  # or it kills a worker that stands still before it runs this
            (worker,) = server.titled("unicorn: worker")
            client = stack.enter_context(server.connect())
            client.send(request_bytes("GET", target))
            wait_for((tmp_path / "never.waiting").exists, "the request in the application")
        if signum is not None:
            os.kill(worker.pid, signum)
        access = server.directory / "access.log"
        line = f'127.0.0.1 "GET {target} HTTP/1.1" - {how}\n'
        wait_for(lambda: line in access.read_text(), "its line in the access log")
        assert access.read_text().count(target) == 1
        server.wait_for_log(f'"GET {target} HTTP/1.1" since ')
        assert server.log_text().count(f'"GET {target} HTTP/1.1" since ') == 1

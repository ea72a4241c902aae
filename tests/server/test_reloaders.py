"""`--reload` of paster and of hupper: what changed is live again soon, whatever a worker does, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import wait_until_gone
from support.server import Server, serve, wait_for

INI = (
    "[server:main]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:{port}\nworkers = WORKERS\n"
    "[app:main]\npaste.app_factory = site_of_the_test:make_app\nsaid = first\n"
)
SITE = """
import importlib, time
VALUE = "first"
def make_app(global_conf, said):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        path = environ["PATH_INFO"].strip("/")
        if path == "late":
            return [importlib.import_module("late_of_the_test").VALUE.encode()]
        if path == "busy":
            open(environ["QUERY_STRING"], "w").close()
            time.sleep(60)
        return [(VALUE + " " + said).encode()]
    return app
"""

# hupper kills who has not ended a second after it was told to, and a machine may stand still for that long.
PATIENT = """
from hupper.reloader import Reloader
given = Reloader.__init__
def patient(self, *args, **more):
    given(self, *args, **{**more, "shutdown_interval": 8})
Reloader.__init__ = patient
"""

RUNNERS = ("paster", "pserve", "gearbox")
# How long until a change is live: on a quiet machine 2 s, and 3 s under hupper, which waits for one itself. A stop that
# waits for what runs would take longer.
ALLOWED_S = 20.0
AGAIN_S = 5.0


@contextlib.contextmanager
def reloading(runner: str, tmp_path: Path, workers: str = "2") -> Iterator[Server]:
    (tmp_path / "site_of_the_test.py").write_text(SITE)
    (tmp_path / "late_of_the_test.py").write_text('VALUE = "first late"\n')
    if runner != "paster":
        (tmp_path / "sitecustomize.py").write_text(PATIENT)
    env = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    with serve(INI.replace("WORKERS", workers), runner=runner, args=["--reload"], env=env) as server:
        yield server
        server.signal(signal.SIGINT if runner == "paster" else signal.SIGTERM)
        server.wait()
        # paster's monitor does not wait for its server.
        wait_for(lambda: not server.processes(), "all to be gone")


def change(path: Path, old: str, new: str) -> None:
    """Replace text in a file, in one step: a reloader that looks between two would start what is half written."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(path.read_text().replace(old, new))
    touch(fresh)
    fresh.replace(path)


def touch(path: Path) -> None:
    later = time.time() + 1
    os.utime(path, (later, later))


def wait_until_live(server: Server, target: str, body: bytes, changed: Path) -> None:
    """Wait for this answer, asked for on new connections. On a busy machine the reloader may have missed the change."""
    since = touched = time.monotonic()
    while time.monotonic() - since < ALLOWED_S:
        with contextlib.suppress(OSError, AssertionError):
            if server.get(target).body == body:
                return
        if time.monotonic() - touched > AGAIN_S:
            touch(changed)
            touched = time.monotonic()
        time.sleep(0.02)
    raise AssertionError(f"{body!r} is not live\n{server.report()}")


def settle(runner: str) -> None:
    """A reloader sees a file's first time at its next look, and misses a change before that: paster looks once a
    second, hupper first lists the modules and then looks, once a second each."""
    time.sleep(2.5 if runner == "paster" else 3.0)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_changed_ini_is_live_again(runner: str, tmp_path: Path) -> None:
    with reloading(runner, tmp_path) as server:
        settle(runner)
        change(server.ini, "said = first", "said = second")
        wait_until_live(server, "/", b"first second", server.ini)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_module_that_only_a_worker_imported_is_live_again(runner: str, tmp_path: Path) -> None:
    """One worker: another one would import the changed file when it is asked, without any reload."""
    with reloading(runner, tmp_path, workers="1") as server:
        assert server.get("/late").body == b"first late"
        settle(runner)
        change(tmp_path / "late_of_the_test.py", "first", "second")
        wait_until_live(server, "/late", b"second late", tmp_path / "late_of_the_test.py")


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_changed_module_is_live_again_though_a_worker_is_busy_and_nothing_is_left(
    runner: str, tmp_path: Path
) -> None:
    with reloading(runner, tmp_path) as server:
        settle(runner)
        before = [process.pid for process in server.titled("unicorn:")]
        begun = tmp_path / "begun"
        with server.connect(timeout_s=30.0) as client:
            client.send(f"GET /busy?{begun} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wait_for(begun.exists, "the request to begin")
            change(tmp_path / "site_of_the_test.py", '"first"', '"second"')
            wait_until_live(server, "/", b"second first", tmp_path / "site_of_the_test.py")
        assert wait_until_gone(before, 10.0) == []
        log = server.log_text()
        assert "already in use" not in log
        assert "Traceback" not in log
        assert "Exiting" not in log
        assert "forcefully killing" not in log  # hupper, of a server that does not stop quickly by itself


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_killed_monitor_leaves_no_server_for_ever(runner: str, tmp_path: Path) -> None:
    """hupper tells its child by the end of a pipe; paster tells nobody, and its server can be stopped as any."""
    with reloading(runner, tmp_path) as server:
        wait_for(lambda: len(server.titled("unicorn: worker")) == 2, "workers")
        (arbiter,) = server.titled("unicorn: arbiter")
        os.kill(server.pid, signal.SIGKILL)
        if runner == "paster":
            os.kill(arbiter.pid, signal.SIGTERM)
        wait_for(lambda: not server.processes(), "all to be gone")

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

# How long until a change is live. hupper itself looks once a second, and the old server has to go first.
# On a quiet machine 2 s, and 3 s under hupper, which waits for one itself; a bound against hanging where it is busy.
ALLOWED_S = {"paster": 8.0, "pserve": 9.0, "gearbox": 9.0}
RUNNERS = tuple(ALLOWED_S)


@contextlib.contextmanager
def reloading(runner: str, tmp_path: Path, workers: str = "2") -> Iterator[Server]:
    (tmp_path / "site_of_the_test.py").write_text(SITE)
    (tmp_path / "late_of_the_test.py").write_text('VALUE = "first late"\n')
    env = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    with serve(INI.replace("WORKERS", workers), runner=runner, args=["--reload"], env=env) as server:
        yield server
        server.signal(signal.SIGINT if runner == "paster" else signal.SIGTERM)
        server.wait()
        # paster's monitor does not wait for its server.
        wait_for(lambda: not server.processes(), "all to be gone", 8.0)


def change(path: Path, old: str, new: str) -> float:
    """Replace text in a file; the time at which that was done."""
    path.write_text(path.read_text().replace(old, new))
    later = time.time() + 1
    os.utime(path, (later, later))
    return time.monotonic()


def live_after(server: Server, path: str, body: bytes, since: float) -> float:
    """Seconds until this answer came, asked for on new connections."""
    while time.monotonic() - since < 10.0:
        with contextlib.suppress(OSError, AssertionError):
            if server.get(path).body == body:
                return time.monotonic() - since
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
        since = change(server.ini, "said = first", "said = second")
        assert live_after(server, "/", b"first second", since) < ALLOWED_S[runner]


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_module_that_only_a_worker_imported_is_live_again(runner: str, tmp_path: Path) -> None:
    """One worker: another one would import the changed file when it is asked, without any reload."""
    with reloading(runner, tmp_path, workers="1") as server:
        assert server.get("/late").body == b"first late"
        settle(runner)
        since = change(tmp_path / "late_of_the_test.py", "first", "second")
        assert live_after(server, "/late", b"second late", since) < ALLOWED_S[runner]


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
            since = change(tmp_path / "site_of_the_test.py", '"first"', '"second"')
            assert live_after(server, "/", b"second first", since) < ALLOWED_S[runner]
        assert wait_until_gone(before, 0.5) == []
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
        wait_for(lambda: not server.processes(), "all to be gone", 9.0)

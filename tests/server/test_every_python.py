"""Each Python that is promised: no word too much, requests in each class, an interruption, in half a minute."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

import pytest
from support.client import request_bytes
from support.processes import wait_until_gone
from support.server import serve, wait_for

# Whoever forks beside a thread hears of it from Python, from 3.12 on.
SITE = """
import pathlib, threading, time

PAUSE_S = 0.05
threading.Thread(target=threading.Event().wait, name="sleeper", daemon=True).start()

def make_app(global_conf):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return naps(pathlib.Path(global_conf["here"])) if environ["PATH_INFO"] == "/naps" else [b"hello"]
    return application

def naps(folder):
    yield b"good night"
    try:
        (folder / "asleep").touch()
        while True:
            time.sleep(PAUSE_S)
    finally:
        (folder / "woken").touch()
"""
APP = "paste.app_factory = drowsy:make_app"


@pytest.fixture
def loud(tmp_path: Path) -> dict[str, str]:
    """An environment in which Python says whatever it has to say, and the application is found."""
    (tmp_path / "drowsy.py").write_text(SITE)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "default"}


def warnings_about_us(log: str) -> list[str]:
    return re.findall(r"^.*paste_unicorn/\S+:\d+: \w*Warning.*$", log, re.MULTILINE)


def test_python_warns_of_nothing_that_is_ours(worker_class: str, loud: dict[str, str]) -> None:
    with serve(settings={"workers": "2", "worker_class": worker_class}, app=APP, env=loud) as server:
        server.wait_for_log("[INFO] Serving ")
        assert server.get("/").body == b"hello"
        server.signal(signal.SIGHUP)
        server.wait_for_log("Generation 2 serves")
        assert server.get("/").body == b"hello"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert warnings_about_us(server.log_text()) == []


def test_nor_when_it_goes_to_the_background_and_the_application_hears_that_its_threads_are_gone(
    loud: dict[str, str],
) -> None:
    settings = {"workers": "1", "daemon": "true", "pidfile": "{directory}/pid", "errorlog": "{directory}/error.log"}
    with serve(settings=settings, app=APP, env=loud, daemon=True) as server:
        pid = int((server.directory / "pid").read_text())
        try:
            said = (server.directory / "error.log").read_text()
            assert "(sleeper): they don't exist in the background. Start them in the hook post_fork" in said
            assert warnings_about_us(server.log_text()) == []
        finally:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        assert wait_until_gone([pid], 10.0) == []


@pytest.mark.parametrize("worker_class", ["threads", "gevent", "eventlet"])
def test_who_sleeps_for_a_client_that_has_gone_is_woken(worker_class: str, loud: dict[str, str]) -> None:
    with serve(settings={"workers": "1", "worker_class": worker_class}, app=APP, env=loud) as server:
        with server.connect() as client:
            client.send(request_bytes("GET", "/naps"))
            assert client.read_head()[0] == 200
            wait_for((server.directory / "asleep").exists, "the application to sleep")
            client.reset()
        wait_for((server.directory / "woken").exists, "the application to be woken")
        assert server.get("/").body == b"hello"

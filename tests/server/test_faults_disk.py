"""A disk that is full: logs lose lines, and say how many; visitors lose nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client import request_bytes
from support.processes import send_signal
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="mounts a small file system, as root"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "unicorn-test", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no mount: {mounted.stderr}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path) -> Path:
    """No byte more fits in; the file that is to be removed."""
    path = disk / "filling"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return path


def generations(server: Server) -> list[str]:
    return [process.title.rpartition(" ")[2] for process in server.titled("unicorn: worker")]


def test_requests_go_on_while_the_logs_can_t_be_written_and_lost_lines_are_counted(disk: Path) -> None:
    settings = {
        "workers": "1", "keepalive": "60", "accesslog": f"{disk}/access.log", "errorlog": f"{disk}/error.log",
    }  # fmt: skip
    # One worker: that which has lost lines is the one that will say so.
    with serve(settings=settings, app=APP) as server, server.connect() as client:
        wait_for(lambda: "Serving " in (disk / "error.log").read_text(), "the start")
        filling = fill(disk)
        for number in range(300):  # more lines than fit into what is left of the last page
            client.send(request_bytes("GET", f"/pid?{number}-{'x' * 100}"))
            assert client.read_answer().status == 200
        said = f"Could not write to the access log {disk}/access.log (No space left on device); requests go on"
        server.wait_for_log(said)
        assert server.log_text().count(said) == 1, "once, and not for each line"
        (template,) = server.titled("unicorn: template")
        send_signal(template.pid, signal.SIGKILL)  # the arbiter has something to say as well
        wait_for(lambda: generations(server) == ["g2"], "the worker of a new template, which has the connection")
        for number in range(300):
            client.send(request_bytes("GET", f"/pid?lost-{number}-{'x' * 100}"))
            assert client.read_answer().status == 200
        filling.unlink()
        for number in range(20):
            client.send(request_bytes("GET", f"/pid?again-{number}"))
            assert client.read_answer().status == 200
        wait_for(lambda: "GET /pid?again-19 " in (disk / "access.log").read_text(), "new lines")
        for line in (disk / "access.log").read_text().splitlines():
            assert line.startswith("127.0.0.1 ") or not line or "GET /pid?" not in line, "glued to another line"
        log = server.wait_for_log(f"access log {disk}/access.log can be written again; ")
        assert re.search(r"access log \S+ can be written again; \d+ lines of this process were lost", log)


def test_a_body_that_finds_no_room_is_refused_and_the_next_one_is_not(disk: Path) -> None:
    settings = {"workers": "1", "spool_request_body": "1000", "tmp_upload_dir": str(disk)}
    with serve(settings=settings) as server:
        filling = fill(disk)
        answer = server.get("/echo", method="POST", body=b"x" * 2_000_000)
        assert answer.status == 503
        assert "tmp_upload_dir" in server.wait_for_log("No space left on device")
        assert server.get("/").status == 200
        filling.unlink()
        assert server.get("/echo", method="POST", body=b"x" * 20_000).body == b"x" * 20_000


def test_a_reload_on_a_full_disk_leaves_or_replaces_what_serves(disk: Path) -> None:
    """Whatever comes of it: somebody serves, and the pid file is not half written."""
    settings = {
        "workers": "1", "accesslog": f"{disk}/access.log", "errorlog": f"{disk}/error.log", "pidfile": f"{disk}/pid",
    }  # fmt: skip
    with serve(settings=settings, app=APP) as server:
        wait_for(lambda: "Serving " in (disk / "error.log").read_text(), "the start")
        filling = fill(disk)
        server.signal(signal.SIGHUP)
        wait_for(lambda: server.titled("unicorn: worker 2 [test.ini] g2"), "the new worker")
        wait_for(lambda: len(server.titled("unicorn: worker")) == 1, "the old one has gone")
        assert server.get("/pid").status == 200
        server.signal(signal.SIGUSR1)
        assert server.get("/pid").status == 200
        filling.unlink()
        assert int((disk / "pid").read_text()) == server.pid
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "Stopped (TERM)" in (disk / "error.log").read_text()

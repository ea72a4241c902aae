"""Somebody sets the clock: the Date and the logs show what it shows, and nothing else takes notice."""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from support.client import Client, request_bytes
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
SETTINGS = {
    "workers": "2", "keepalive": "60", "timeout": "60", "accesslog": "{directory}/access.log",
    "max_worker_lifetime": "3600",
}  # fmt: skip
YEAR_S = 365 * 86400

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="needs a C compiler, and Linux"
)


class Clock:
    """What the processes of a server believe."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "wrong-by"
        self.set(0)
        library = directory / "clock.so"
        source = Path(__file__).parents[1] / "support" / "clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_WRONG_BY": str(self.file)}

    def set(self, wrong_by_s: int) -> None:
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("=q", wrong_by_s))


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    return Clock(tmp_path)


def date_of(client: Client) -> float:
    client.send(request_bytes("GET", "/pid"))
    date = client.read_answer().field("Date")
    assert date is not None
    return parsedate_to_datetime(date).timestamp()


def pids(server: Server) -> list[int]:
    return [process.pid for process in server.processes()]


JUMPS = {"an hour forth": 3600, "an hour back": -3600, "beyond 2038": 70 * YEAR_S, "before 1970": -70 * YEAR_S}


@pytest.mark.parametrize("jump", JUMPS)
def test_after_a_jump_the_date_is_the_new_one_and_no_deadline_has_passed(jump: str, clock: Clock) -> None:
    with serve(settings=SETTINGS, app=APP, env=clock.environment) as server, server.connect() as client:
        server.wait_for_log("[INFO] Serving ")
        before = pids(server)
        assert abs(date_of(client) - time.time()) < 60
        clock.set(JUMPS[jump])
        wait_for(lambda: abs(date_of(client) - time.time() - JUMPS[jump]) < 60, "the new date")
        assert client.is_silent(1.0)  # idle for a second, not for years
        asked_at = time.time()
        date_of(client)
        assert pids(server) == before
        hours = [time.strftime("[%d/%b/%Y:%H:", time.localtime(at + JUMPS[jump])) for at in (asked_at, time.time())]
        access_log = server.directory / "access.log"
        wait_for(lambda: any(hour in access_log.read_text() for hour in hours), "a line of that hour")
        clock.set(0)
        wait_for(lambda: abs(date_of(client) - time.time()) < 60, "the old date")
        log = server.log_text()
        assert "[ERROR]" not in log
        assert "[WARNING]" not in log


@pytest.mark.parametrize("jump", ["an hour forth", "an hour back"])
def test_reload_and_stop_take_their_time_whatever_the_clock_does_meanwhile(jump: str, clock: Clock) -> None:
    settings = {**SETTINGS, "graceful_timeout": "30"}
    with serve(settings=settings, app=APP, env=clock.environment) as server:
        server.wait_for_log("[INFO] Serving ")
        begun = server.directory / "begun"
        with server.connect(timeout_s=30.0) as client:
            client.send(request_bytes("GET", f"/sleep?s=2&touch={begun}"))
            wait_for(begun.exists, "the request to begin")
            server.signal(signal.SIGHUP)
            server.wait_for_log("Loading generation 2")
            clock.set(JUMPS[jump])
            assert client.read_answer().body == b"slept"
        server.wait_for_log("Generation 2 serves")
        begun.unlink()
        with server.connect(timeout_s=30.0) as client:
            client.send(request_bytes("GET", f"/sleep?s=1&touch={begun}"))
            wait_for(begun.exists, "the request to begin")
            server.signal(signal.SIGTERM)
            clock.set(0)
            assert client.read_answer().body == b"slept"
        assert server.wait() == 0
        assert server.log_text().rstrip().endswith(" 0 lost")

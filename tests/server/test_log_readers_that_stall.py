"""Whoever reads the log may stand still: a full pipe, a terminal that was stopped. The arbiter goes on all the same."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import request_bytes
from support.server import APPLICATION, Server, serve, wait_for

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fills pipes of Linux")

INTO = "import os, sys; fd = os.open(sys.argv[1], os.O_WRONLY | os.O_NOCTTY); os.dup2(fd, 1); os.dup2(fd, 2); "
INTO += "os.execv(sys.argv[2], sys.argv[2:])"

SERVER = """
[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:{port}
workers = 1
keepalive = 60
{more}
graceful_timeout = 2
accesslog = -
nworkers_changed = builtins:print

[app:main]
"""
LOGGERS = """
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"""
INIS = {"ours": SERVER + APPLICATION, "configured": SERVER + APPLICATION + LOGGERS}


class Pipe:
    """A FIFO, whose reader we are."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "fifo")
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.text = ""

    def stall(self) -> None:
        """Not a byte goes in any more."""
        fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(fd, b"-" * size)
        os.close(fd)

    def go_on(self) -> None:
        pass

    def read(self) -> str:
        """All that was written so far, and that we have taken."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._fd, 65536):
                self.text += data.decode()
        return self.text

    def close(self) -> None:
        os.close(self._fd)


class Terminal(Pipe):
    """Where somebody may type Ctrl-S, and Ctrl-Q."""

    def __init__(self, folder: Path) -> None:
        self._fd, self._inner = pty.openpty()
        tty.setraw(self._inner)
        os.set_blocking(self._fd, False)
        self.path = os.ttyname(self._inner)
        self.text = ""

    def stall(self) -> None:
        termios.tcflow(self._inner, termios.TCOOFF)

    def go_on(self) -> None:
        termios.tcflow(self._inner, termios.TCOON)

    def close(self) -> None:
        super().close()
        os.close(self._inner)


@contextlib.contextmanager
def logging_into(kind: type[Pipe], folder: Path, ini: str) -> Iterator[tuple[Server, Pipe]]:
    log = kind(folder)
    try:
        with serve(ini, prefix=[sys.executable, "-c", INTO, log.path]) as server:
            wait_for(lambda: "Serving " in log.read(), "the start")
            yield server, log
    finally:
        log.close()


def workers(server: Server) -> list[int]:
    return [process.pid for process in server.titled("unicorn: worker")]


LOGS = [(Pipe, "ours"), (Pipe, "configured"), (Terminal, "ours")]


@pytest.mark.parametrize(
    ("kind", "ini", "number"), [*((*log, signal.SIGTERM) for log in LOGS), (Pipe, "configured", signal.SIGQUIT)]
)
def test_the_server_stops_though_nobody_reads_its_log(
    kind: type[Pipe], ini: str, number: signal.Signals, tmp_path: Path
) -> None:
    with logging_into(kind, tmp_path, INIS[ini].replace("{more}", "")) as (server, log):
        log.stall()
        server.signal(signal.SIGTTIN)  # the hook prints
        wait_for(lambda: len(workers(server)) == 2, "a second worker")
        assert server.get("/").status == 200  # whose line holds that worker up
        server.signal(number)
        assert server.wait() == 0


@pytest.mark.parametrize(("kind", "ini"), LOGS)
def test_a_worker_that_waits_for_its_log_is_replaced_and_what_the_arbiter_could_not_say_is_counted(
    kind: type[Pipe], ini: str, tmp_path: Path
) -> None:
    with (
        logging_into(kind, tmp_path, INIS[ini].replace("{more}", "timeout = 2")) as (server, log),
        server.connect() as client,
    ):
        log.stall()
        (worker,) = workers(server)
        client.send(request_bytes("GET", "/"))
        wait_for(lambda: workers(server) not in ([worker], []), "another worker")
        log.go_on()
        log.read()

        def says(text: str) -> Any:
            server.signal(signal.SIGTTIN)
            server.signal(signal.SIGTTOU)
            return text in log.read()

        wait_for(lambda: says("lines of this process were lost"), "what was lost")


def test_a_log_that_a_reload_has_opened_anew_is_not_waited_for_either(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    handler = ("class = StreamHandler\nargs = (sys.stderr,)", f"class = FileHandler\nargs = ({pipe.path!r},)")
    with serve(INIS["configured"].replace(*handler).replace("{more}", "")) as server:
        wait_for(lambda: "Serving " in pipe.read(), "the start")
        server.signal(signal.SIGHUP)
        wait_for(lambda: "Generation 2 serves (HUP)" in pipe.read(), "the reload")
        pipe.stall()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    pipe.close()

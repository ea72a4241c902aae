"""Green workers whose log handlers wait: a line that is logged in the hub's own greenlet, where nobody may wait."""

from __future__ import annotations

import signal

from support.client import request_bytes
from support.server import serve, wait_for

WORKER_CLASSES = ("gevent", "eventlet")
SETTINGS = {"workers": "1", "access_log_format": "common"}
WRONG = b"WRO\x01NG / HTTP/1.1\r\n\r\n"
APPLICATION = """paste.app_factory = support.waiting:make_app

[loggers]
keys = root, access
[handlers]
keys = console, gated
[formatters]
keys =
[logger_root]
level = INFO
handlers = console
[logger_access]
level = INFO
handlers = gated
qualname = gunicorn.access
propagate = 0
[handler_console]
class = StreamHandler
args = (sys.stderr,)
[handler_gated]
class = support.gated_log.Gated
args = ('{directory}',)
"""


def test_a_refusal_does_not_wait_for_its_line_in_the_log(worker_class: str) -> None:
    """Nor does the worker end by it: other lines are being written, and hold the handler's lock."""
    with serve(
        settings={**SETTINGS, "worker_class": worker_class}, app=APPLICATION
    ) as server:  # the line of its first answer waits at the gate
        with server.connect() as client:
            client.send(WRONG)
            assert client.read_answer().status == 400
            client.expect_end()
        with server.connect() as client:
            client.send(request_bytes("GET", "/"))
            assert client.read_answer().status == 200
        log = server.directory / "gated.log"
        assert not log.exists()
        (server.directory / "gate").touch()
        wait_for(lambda: log.exists() and len(log.read_text().splitlines()) >= 3, "three lines")
        assert sorted(line.split()[-2] for line in log.read_text().splitlines()) == ["200", "200", "400"]
        assert "fault" not in server.log_text()


def test_lines_that_still_wait_when_a_worker_ends_are_written(worker_class: str) -> None:
    with serve(settings={**SETTINGS, "worker_class": worker_class}, app=APPLICATION) as server:
        with server.connect() as client:
            client.send(WRONG)
            assert client.read_answer().status == 400
        server.signal(signal.SIGTERM)
        server.wait_for_log("finishing what has been accepted")
        (server.directory / "gate").touch()
        assert server.wait() == 0
        assert (server.directory / "gated.log").read_text().count('" 400 ') == 1

"""A setting that has no effect is said once, whoever reads the settings again: templates do, also for a start."""

from __future__ import annotations

import signal

from support.processes import send_signal
from support.server import serve, wait_for

LOGGERS = """
[loggers]
keys = root, errors
[handlers]
keys = console
[formatters]
keys =
[logger_root]
handlers =
[logger_errors]
qualname = gunicorn.error
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
"""
INI = """
[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:{{port}}
workers = 1
worker_class = {worker_class}
max_requests_jitter = 5
errorlog = {{directory}}/error.log
[app:main]
paste.app_factory = support.supervised:make_app
"""


def test_it_is_said_once_until_the_settings_change(worker_class: str) -> None:
    with serve(INI.format(worker_class=worker_class) + LOGGERS) as server:

        def said() -> tuple[int, int]:
            log = server.log_text()
            return log.count("max_requests_jitter: no effect"), log.count("error.log has no effect")

        server.wait_for_log("Serving ")
        assert said() == (1, 1)
        (template,) = server.titled("unicorn: template")
        send_signal(template.pid, signal.SIGKILL)
        wait_for(lambda: [one.pid for one in server.titled("unicorn: template")] not in ([], [template.pid]), "another")
        server.signal(signal.SIGHUP)
        server.wait_for_log("serves (HUP)")
        assert said() == (1, 1)
        server.ini.write_text(server.ini.read_text().replace("workers = 1", "workers = 1\ntimeout = 9"))
        start = len(server.log_text())
        server.signal(signal.SIGHUP)
        server.wait_for_log("serves (HUP)", after=start)
        assert said() == (2, 1)

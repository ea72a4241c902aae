"""Settings of the logs with their defaults, requests that were served, and a logging module left as it
was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paste_unicorn.ops.access_log import Served
from paste_unicorn.ops.logs import Logs, setup
from paste_unicorn.settings.table.logs import LogSettings

SERVED = Served(
    peer="192.0.2.7",
    request_line="GET /wiki/Page?edit=1 HTTP/1.1",
    environ={"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http"},
    fields=(("Host", "example.org"), ("User-Agent", "curl/8"), ("Referer", "http://example.org/")),
    status=200,
    status_text="200 OK",
    response_fields=[("Content-Type", "text/html"), ("X-Cache", "hit")],
    body_bytes=1234,
    duration_s=0.0123456,
    wall_time=1795525201.5,
    pid=4711,
    generation=3,
    how="ok",
)


@pytest.fixture(scope="session")
def served() -> Served:
    """A request as most are."""
    return SERVED


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Put every logger back, and take away those that the test made."""
    root = logging.getLogger()
    known = dict(logging.Logger.manager.loggerDict)
    before = {
        logger: (logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled)
        for logger in [root, *(entry for entry in known.values() if isinstance(entry, logging.Logger))]
    }
    yield
    for name in ("gunicorn", "gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.filters = [], []
        logger.propagate, logger.disabled = True, False
        logger.setLevel(logging.NOTSET)
    for logger, (level, handlers, filters, propagate, disabled) in before.items():
        logger.setLevel(level)
        logger.handlers, logger.filters = handlers, filters
        logger.propagate, logger.disabled = propagate, disabled


SetUp = Callable[..., Logs]


@pytest.fixture
def set_up(logging_as_before: None, tmp_path: Path) -> Iterator[SetUp]:
    """``set_up(errorlog=…, ini="[loggers]…")``: both loggers as these settings say, undone afterwards."""
    made: list[Logs] = []

    def run(
        *,
        ini: str | None = None,
        stderr_fd: int | None = None,
        variables: dict[str, str] | None = None,
        **changes: Any,
    ) -> Logs:
        root = logging.getLogger()  # pytest's own handler there would look like somebody's configuration
        root.handlers = [handler for handler in root.handlers if "pytest" not in type(handler).__module__]
        path = None
        if ini is not None:
            path = tmp_path / "site.ini"
            path.write_text(ini)
        logs = setup(
            LogSettings(**changes),
            ini_path=None if path is None else str(path),
            ini_has_loggers=ini is not None and "[loggers]" in ini,
            stderr_fd=stderr_fd,
            variables=variables,
        )
        made.append(logs)
        return logs

    yield run
    for logs in made:
        logs.close()

"""Lines that wait for their handlers: how many, and in what order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from greenlet import getcurrent

from paste_unicorn.workers import green_logs
from paste_unicorn.workers.green_logs import HubLogs


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("test_green_logs")
    made.propagate = False
    yield made
    made.handlers, made.filters = [], []


def test_beyond_a_bound_lines_are_counted_instead(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(green_logs, "MOST", 3)
    due: list[Callable[[], object]] = []
    handler = Kept()
    logger.addHandler(handler)
    logger.addFilter(HubLogs(getcurrent(), due.append))  # this greenlet plays the hub's
    for number in range(5):
        logger.error("%d", number)
    assert handler.messages == []
    [begin] = due
    begin()
    assert handler.messages == ["0", "1", "2", "2 lines of the logs were lost: their handlers are too slow"]
    logger.error("again")
    due[-1]()
    assert handler.messages[-1] == "again"

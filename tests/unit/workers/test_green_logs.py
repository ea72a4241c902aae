"""Lines that wait for their handlers: how many, and in what order."""

from __future__ import annotations

import logging
import threading
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
    HubLogs(getcurrent(), due.append).add_to(logger)  # this greenlet plays the hub's
    for number in range(5):
        logger.error("%d", number)
    assert handler.messages == []
    [begin] = due
    begin()
    assert handler.messages == ["0", "1", "2", "2 lines of the logs were lost: their handlers are too slow"]
    logger.error("again")
    due[-1]()
    assert handler.messages[-1] == "again"


def test_lines_of_another_thread_are_left_to_this_one(logger: logging.Logger) -> None:
    """Which has to look, since nobody may call the hub from there; or they are written past the handler's lock."""
    due: list[Callable[[], object]] = []
    logs, handler = HubLogs(getcurrent(), due.append), Kept()
    logger.addHandler(handler)
    logs.add_to(logger)
    in_another_thread(lambda: logger.error("one"))
    assert (handler.messages, due) == ([], [])
    logs.write_soon()
    due[-1]()
    assert handler.messages == ["one"]
    handler.acquire()
    in_another_thread(lambda: logger.error("two"))
    in_another_thread(logs.write_past_locks)
    assert handler.messages == ["one", "two"]
    logs.write_soon()
    assert len(due) == 1


def in_another_thread(step: Callable[[], object]) -> None:
    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    thread.join(20.0)
    assert not thread.is_alive()

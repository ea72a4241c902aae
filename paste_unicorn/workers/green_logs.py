"""What is logged in a hub's own greenlet is written by another one: there nobody may wait, and a handler may (for a
lock, or for a server that takes the lines).
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable

from greenlet import getcurrent, greenlet

from ..ops.logs import Logs

MOST = 10_000  # lines that wait for their handlers
_LOOK_AGAIN_S = 0.01


class HubLogs(logging.Filter):
    """A filter of both loggers, which are asked whether a line is to be handled now."""

    def __init__(self, hub_greenlet: greenlet, soon: Callable[..., None]) -> None:
        super().__init__()
        self._hub_greenlet = hub_greenlet
        self._soon = soon
        self._records: deque[logging.LogRecord] = deque()
        self._lost = 0
        self._is_writing = False

    def look_after(self, logs: Logs) -> None:
        """From now on; behind all filters that are there."""
        logs.error.addFilter(self)
        access = logs.access
        if access is not None and not access.is_direct():
            access.logger.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is handled now."""
        if getcurrent() is not self._hub_greenlet:
            return True
        if len(self._records) >= MOST:
            self._lost += 1
            return False
        self._records.append(record)
        if not self._is_writing:
            self._is_writing = True
            self._soon(greenlet(self._write, self._hub_greenlet).switch)
        return False

    def _write(self) -> None:
        while self._records:
            record = self._records.popleft()
            try:
                logging.getLogger(record.name).callHandlers(record)
            except Exception:
                traceback.print_exc()  # as handlers do it that don't raise
            if self._lost and not self._records:
                lost, self._lost = self._lost, 0
                logging.getLogger(record.name).error(
                    "%d lines of the logs were lost: their handlers are too slow", lost
                )
        self._is_writing = False

    def finish(self) -> None:
        """Wait until all is written; in a greenlet that may wait."""
        while self._is_writing:
            self._soon(getcurrent().switch, _LOOK_AGAIN_S)
            self._hub_greenlet.switch()

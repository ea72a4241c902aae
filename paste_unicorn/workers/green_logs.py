"""What is logged in a hub's own greenlet is written by another one: there nobody may wait, and a handler may (for a
lock, or for a server that takes the lines). So is what is logged by another thread: the locks of handlers are the
library's, which are for the greenlets of one thread.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterator

from greenlet import getcurrent, greenlet

from ..ops.handlers import reached
from ..ops.logs import Logs
from ..process.patching import original

MOST = 10_000  # lines that wait for their handlers
_LOOK_AGAIN_S = 0.01

_get_ident = original("_thread", "get_ident")


class HubLogs(logging.Filter):
    """A filter of both loggers, which are asked whether a line is to be handled now. Made in the hub's thread, whose
    methods these are, but for `filter` and `write_past_locks`.
    """

    def __init__(self, hub_greenlet: greenlet, soon: Callable[..., None]) -> None:
        super().__init__()
        self._hub_greenlet = hub_greenlet
        self._soon = soon
        self._ident = _get_ident()
        self._loggers: dict[str, logging.Logger] = {}  # by name: to ask the library for them takes a lock
        self._records: deque[logging.LogRecord] = deque()
        self._lost = 0
        self._is_writing = False

    def look_after(self, logs: Logs) -> None:
        """From now on; behind all filters that are there."""
        self.add_to(logs.error)
        access = logs.access
        if access is not None and not access.is_direct():
            self.add_to(access.logger)

    def add_to(self, logger: logging.Logger) -> None:
        """Look after this one, too."""
        self._loggers[logger.name] = logger
        logger.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is handled now."""
        is_ours = _get_ident() == self._ident
        if is_ours and getcurrent() is not self._hub_greenlet:
            return True
        if len(self._records) >= MOST:
            self._lost += 1
            return False
        self._records.append(record)
        if is_ours:
            self.write_soon()
        return False

    def write_soon(self) -> None:
        """What waits. Another thread can't call the hub: whoever has the hub's greenlet looks now and then."""
        if self._records and not self._is_writing:
            self._is_writing = True
            self._soon(greenlet(self._write, self._hub_greenlet).switch)

    def _write(self) -> None:
        for record in self._taken():
            try:
                self._logger_of(record).callHandlers(record)
            except Exception:
                traceback.print_exc()  # as handlers do it that don't raise
            if self._lost and not self._records:
                lost, self._lost = self._lost, 0
                self._logger_of(record).error("%d lines of the logs were lost: their handlers are too slow", lost)
        self._is_writing = False

    def write_past_locks(self) -> None:
        """By another thread: what waits, since the hub is blocked. Whoever holds a lock there stands still as well."""
        for record in self._taken():
            for handler in reached(self._logger_of(record)):
                try:
                    if record.levelno >= handler.level and handler.filter(record):
                        handler.emit(record)
                except Exception:
                    traceback.print_exc()

    def _taken(self) -> Iterator[logging.LogRecord]:
        while self._records:
            try:
                yield self._records.popleft()
            except IndexError:  # the other thread has it
                return

    def _logger_of(self, record: logging.LogRecord) -> logging.Logger:
        return self._loggers.get(record.name) or logging.getLogger(record.name)

    def finish(self) -> None:
        """Wait until all is written; in a greenlet that may wait."""
        self.write_soon()
        while self._is_writing:
            self._soon(getcurrent().switch, _LOOK_AGAIN_S)
            self._hub_greenlet.switch()

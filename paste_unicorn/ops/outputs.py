"""Handlers of the standard logging that end in a sink of ours: they format, put, and never raise."""

from __future__ import annotations

import logging

from paste_unicorn.ops.escaping import indented
from paste_unicorn.ops.sink import Sink, stamp
from paste_unicorn.ops.syslog import SyslogSink


class OutputHandler(logging.Handler):
    """A handler with a short cut past records: `put` takes a line that is ready.

    ``close()`` leaves the sink open on purpose: ``logging.config`` closes every handler of the process when
    an application configures logging for itself, and the log of the server must survive that.
    """

    def put(self, level: int, line: str) -> None:
        """Write one line, without newline."""
        raise NotImplementedError

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.put(record.levelno, self.format(record))
        except Exception:  # e.g. arguments that don't fit the message; logging's own way to say so
            self.handleError(record)


class SinkHandler(OutputHandler):
    """Lines to a file or a descriptor."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.sink = sink

    def put(self, level: int, line: str) -> None:
        self.sink.write(line.encode("utf-8", "backslashreplace") + b"\n")


class SyslogHandler(OutputHandler):
    """Lines to the syslog daemon; a record of many lines becomes as many messages, as syslog knows no
    others.
    """

    def __init__(self, sink: SyslogSink) -> None:
        super().__init__()
        self.sink = sink

    def put(self, level: int, line: str) -> None:
        for part in line.split("\n"):
            self.sink.write(level, part)


class NightFormatter(logging.Formatter):
    """``[2026-11-24 13:00:01 +0000] [4711] [INFO] sentence``; further lines, as of a traceback, are
    indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        return f"{stamp(record.created)} [{record.levelname}] {indented(super().format(record))}"


class PlainFormatter(logging.Formatter):
    """The message alone, its further lines indented: syslog adds time and process itself."""

    def format(self, record: logging.LogRecord) -> str:
        return indented(super().format(record))

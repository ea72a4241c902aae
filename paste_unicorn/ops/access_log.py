"""The access log: one line for every request that had a request line, however it ended.

Hot: once a request. The standard logging takes some 8 µs to make, filter and hand on a record, so a line goes
straight to our outputs as long as nobody can tell the difference: the logger ``gunicorn.access`` has exactly
the handlers that we gave it and no filter. As soon as an ini file, an application or a hook adds one, records
are made for it.
"""

from __future__ import annotations

import logging

from paste_unicorn.ops.access_atoms import Served
from paste_unicorn.ops.access_format import AccessLogFormatProblem, atoms, compile_format
from paste_unicorn.ops.outputs import OutputHandler

__all__ = ["NAME", "AccessLog", "AccessLogFormatProblem", "Served"]

NAME = "gunicorn.access"


class AccessLog:
    """Writes the line of a request; used by any thread of a worker, never raises."""

    __slots__ = ("_line", "_ours", "_outputs", "logger")

    def __init__(self, text: str, ours: list[OutputHandler]) -> None:
        """``text`` is the format, ``ours`` the handlers of ``gunicorn.access`` that we made; [] if an ini has
        its own.

        Raises `AccessLogFormatProblem`.
        """
        self._line = compile_format(text)
        self.logger = logging.getLogger(NAME)
        self._ours: list[logging.Handler] = list(ours)  # compared with the logger's, to see what others added
        self._outputs = tuple(handler.put for handler in ours)

    def is_direct(self) -> bool:
        """Whether lines go straight to our outputs, as nobody can tell the difference."""
        logger = self.logger
        return logger.handlers == self._ours and not (logger.filters or logger.propagate) and bool(self._ours)

    def write(self, served: Served) -> None:
        """Write the line of one request."""
        if not self.is_direct():
            self._as_record(served)
            return
        try:
            line = self._line(served)
        except Exception:  # an application may leave anything in its environ, also what can't be made text
            logging.getLogger("gunicorn.error").exception("Could not make a line of the access log.")
            return
        for put in self._outputs:
            put(logging.INFO, line)

    def _as_record(self, served: Served) -> None:
        """Through the standard logging, for handlers and filters of others; ``record.args`` holds the
        atoms.
        """
        if not self.logger.isEnabledFor(logging.INFO):
            return
        try:
            args = atoms(served)
            args["line"] = self._line(served)
            self.logger.info("%(line)s", args)
        except Exception:  # a filter or a handler of the application's: its failure is not the visitor's
            logging.getLogger("gunicorn.error").exception("A handler or filter of %s failed.", NAME)

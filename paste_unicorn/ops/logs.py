"""Where the lines of ``gunicorn.error`` and ``gunicorn.access`` go.

Two loggers of the standard logging, under the names that existing ini files configure. What an operator
configured (``configured.py``) wins; where that leads nowhere, each logger gets a sink of ours. Never both for
one line: a logger with a sink of ours doesn't propagate, so that the root logger's handler can't print the
line a second time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping

from paste_unicorn.ops import access_log, capture, configured
from paste_unicorn.ops.access_format import compile_format
from paste_unicorn.ops.access_log import AccessLog
from paste_unicorn.ops.handlers import descriptor_of, file_handlers, reached, reopen_handler
from paste_unicorn.ops.kept import keep
from paste_unicorn.ops.outputs import (
    NightFormatter,
    OutputHandler,
    PlainFormatter,
    SinkHandler,
    SyslogHandler,
)
from paste_unicorn.ops.sink import Console, LogsProblem, Sink
from paste_unicorn.ops.syslog import SyslogSink
from paste_unicorn.settings.syslog import SYSLOG, parse_syslog
from paste_unicorn.settings.table.logs import LogSettings

__all__ = ["ERROR", "Logs", "LogsProblem", "descriptor_of", "setup"]

ERROR = "gunicorn.error"


class Logs:
    """The logs of one process; children inherit it by fork. Made by `setup`."""

    def __init__(self, console: Console) -> None:
        self.error = logging.getLogger(ERROR)
        self.access: AccessLog | None = None
        self.named: frozenset[str] = frozenset()  # loggers that an operator's configuration names
        self.wording = ""  # of that configuration
        self.error_fd = console.fd  # for faulthandler: a descriptor that stays valid when the logs are reopened
        self._console = console
        self._sinks: list[Sink] = []  # files of ours
        self._syslogs: list[SyslogSink] = []
        self._owner: tuple[int, int] | None = None  # whom the files were given to
        self._captured = False  # standard output and error go into the error log
        self._follow: logging.FileHandler | None = None  # the configured file that error_fd is a duplicate of

    def reopen(self) -> None:
        """After a rotation (USR1): open the files of ours, and of every configured FileHandler, anew; never raises.

        The arbiter calls this before it tells the workers: they may not be allowed to make the files.
        """
        for sink in self._sinks:
            sink.reopen()
            if self._owner is not None:
                with contextlib.suppress(OSError):  # a worker may not, and need not: the arbiter has done it
                    sink.chown(*self._owner)
        for syslog in self._syslogs:
            syslog.reopen()
        for handler in file_handlers():
            reopen_handler(handler, self._console)
        if self._follow is not None and self._follow.stream is not None:
            os.dup2(self._follow.stream.fileno(), self.error_fd, inheritable=False)
        if self._captured:
            capture.lead_to(self.error_fd)

    def chown(self, uid: int, gid: int) -> None:
        """Give the files of ours, and those that replace them later, to the workers' user. Raises OSError."""
        self._owner = (uid, gid)
        for sink in self._sinks:
            sink.chown(uid, gid)

    def close(self) -> None:
        """Take our handlers off and close our files."""
        if self._captured:
            capture.back()
        for name in (ERROR, access_log.NAME):
            _forget(logging.getLogger(name))
        for sink in self._sinks:
            sink.close()
        for syslog in self._syslogs:
            syslog.reopen()
        if self._follow is not None:
            os.close(self.error_fd)
        self._sinks, self._syslogs, self._follow, self.access = [], [], None, None


def setup(
    logs: LogSettings,
    *,
    ini_path: str | None,
    ini_has_loggers: bool,
    stderr_fd: int | None,
    variables: Mapping[str, str] | None = None,
    warns: bool = True,
) -> Logs:
    """Set both loggers up as ``logs`` says.

    ``stderr_fd`` is the descriptor that "-" of errorlog means, where 2 is not it (``--daemon --log-file``);
    ``variables`` are the runner's ``name=value`` for ``%(name)s`` in ``[loggers]``. In the arbiter after the
    runner loaded the application, in an exec'ed template before; what of ``logs`` has no effect is said by the one
    that ``warns``. Raises `LogsProblem`.
    """
    for name in (ERROR, access_log.NAME):
        keep(logging.getLogger(name))
    named = configured.configure(logs, ini_path, ini_has_loggers, variables or {})
    if stderr_fd is None:
        stderr_fd = descriptor_of(sys.stderr)
    result = Logs(Console(2 if stderr_fd is None else stderr_fd))
    result.named, result.wording = named or frozenset(), configured.wording(logs, ini_path)
    try:
        _Plumbing(result, logs, ini_path, named).lay(warns)
    except LogsProblem:
        result.close()
        raise
    return result


class _Plumbing:
    """Lays the way of both loggers' lines, once."""

    def __init__(self, result: Logs, logs: LogSettings, ini_path: str | None, named: frozenset[str] | None) -> None:
        self.result = result
        self.logs = logs
        self.name = logs.syslog_prefix or os.path.splitext(os.path.basename(ini_path or "main"))[0]
        self.named = named
        self.warnings: list[str] = []

    def lay(self, warns: bool) -> None:
        problems = []
        for one in (self._error, self._access):
            try:
                one()
            except LogsProblem as problem:
                problems.append(str(problem))
        if problems:
            raise LogsProblem("\n".join(problems))
        for sentence in self.warnings if warns else ():
            self.result.error.warning(sentence)

    # The two loggers ----------------------------------------------------------------------------------------

    def _error(self) -> None:
        logs, result, logger = self.logs, self.result, self.result.error
        _forget(logger)
        if logger.level == logging.NOTSET and logging.getLogger("gunicorn").level == logging.NOTSET:
            logger.setLevel(logs.loglevel.upper())
            _levels_of_ours.add(ERROR)
        _once(logger)
        theirs = list(reached(logger))
        specific = [handler for handler in theirs if handler not in logging.getLogger().handlers]
        if specific and logs.errorlog != "-":
            self.warnings.append(
                f"errorlog = {logs.errorlog} has no effect: the logging configuration handles {ERROR}."
            )
        # The root's handlers count only if an operator put them there: pserve calls basicConfig() without
        # being asked, and an application may do anything.
        if specific or (theirs and self.named is not None and logs.errorlog == "-"):
            self._follow(theirs)
        else:
            _keep_to_itself(logger)
            logger.addHandler(handler := self._output("errorlog", logs.errorlog, "error"))
            if isinstance(handler, SinkHandler):
                handler.setFormatter(NightFormatter())
                result.error_fd = handler.sink.fd
                if logs.capture_output and handler.sink.path is not None:
                    self._capture()
        if logs.syslog and not logs.errorlog.startswith(SYSLOG):
            logger.addHandler(self._output("syslog_addr", SYSLOG, "error"))
        if logs.capture_output and logs.errorlog != "-" and not result._captured:
            self.warnings.append("capture_output has no effect: errorlog must be a file, and be used.")

    def _access(self) -> None:
        logs = self.logs
        logger = logging.getLogger(access_log.NAME)
        _forget(logger)
        _once(logger)
        named = self.named is not None and access_log.NAME in self.named
        configured_here = (named or bool(logger.handlers)) and any(reached(logger))
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
            _levels_of_ours.add(access_log.NAME)
        ours: list[OutputHandler] = []
        if configured_here and logs.accesslog:
            self.warnings.append(
                f"accesslog = {logs.accesslog} has no effect: the logging configuration handles {access_log.NAME}."
            )
        elif logs.accesslog:
            ours.append(self._output("accesslog", logs.accesslog, "access"))
        if logs.syslog and not logs.disable_redirect_access_to_syslog:
            ours.append(self._output("syslog_addr", SYSLOG, "access"))
        if not configured_here:
            _keep_to_itself(logger)
        for handler in ours:
            logger.addHandler(handler)
        if (ours or configured_here) and logger.isEnabledFor(logging.INFO):
            self.result.access = AccessLog(logs.access_log_format, [] if configured_here else ours)
        else:  # off; but a typing error in the format should not wait until it is switched on
            compile_format(logs.access_log_format)

    # Their outputs ------------------------------------------------------------------------------------------

    def _output(self, setting: str, target: str, what: str) -> OutputHandler:
        """A handler for ``-``, a path, or ``syslog:`` with an address or alone."""
        result = self.result
        if target.startswith(SYSLOG):
            syslog = SyslogSink(
                parse_syslog(target.removeprefix(SYSLOG) or self.logs.syslog_addr),
                self.logs.syslog_facility,
                f"gunicorn.{self.name}.{what}",
                result._console.say,
            )
            result._syslogs.append(syslog)
            handler: OutputHandler = SyslogHandler(syslog)
            handler.setFormatter(PlainFormatter())
            return handler
        if target == "-":
            fd = result._console.fd
            if what == "access":
                found = descriptor_of(sys.stdout)
                fd = fd if found is None else found
            say = None if fd == result._console.fd else result._console.say
            return SinkHandler(Sink("standard output", fd, None, say))
        for sink in result._sinks:  # errorlog and accesslog may be one file
            if os.path.abspath(target) == sink.path:
                return SinkHandler(sink)
        sink = Sink.open(setting, f"{what} log", os.path.abspath(target), result._console.say)
        result._sinks.append(sink)
        return SinkHandler(sink)

    def _follow(self, handlers: list[logging.Handler]) -> None:
        """Find a real descriptor for faulthandler among the configured handlers."""
        for handler in handlers:
            fd = descriptor_of(getattr(handler, "stream", None))
            if fd is None:
                continue
            if isinstance(handler, logging.FileHandler):
                self.result._follow = handler
                fd = os.dup(fd)  # the handler's own number may change when it is reopened
            self.result.error_fd = fd
            return

    def _capture(self) -> None:
        self.result._captured = True
        capture.lead_to(self.result.error_fd)
        # Complaints about the log itself must not go into the log: they keep the standard error that was
        # there.
        self.result._console.fd = capture.without(self.result._console.fd)


_levels_of_ours: set[str] = set()
_kept: set[str] = set()
"""Loggers whose level, and whose ``propagate``, came from us and not from a configuration."""


def _keep_to_itself(logger: logging.Logger) -> None:
    logger.propagate = False
    _kept.add(logger.name)


def _once(logger: logging.Logger) -> None:
    """Where the same handlers stand at a logger and above it, each line would appear twice: stop it there."""
    above = list(reached(logger))[len(logger.handlers) :]
    if above and all(handler in logger.handlers for handler in above):
        _keep_to_itself(logger)


def _forget(logger: logging.Logger) -> None:
    """Undo what an earlier `setup` in this process did to a logger, and nothing else."""
    for handler in [handler for handler in logger.handlers if isinstance(handler, OutputHandler)]:
        logger.removeHandler(handler)
    if logger.name in _kept:
        _kept.discard(logger.name)
        logger.propagate = True
    if logger.name in _levels_of_ours:
        _levels_of_ours.discard(logger.name)
        logger.setLevel(logging.NOTSET)
    logger.disabled = False

"""The rows of logs and of what is counted for others."""
# ruff: noqa: RUF009 - `row` makes a dataclass field, once for each class

from __future__ import annotations

from dataclasses import dataclass

from ..kinds import Choice, MaybeText, Switch, Text
from ..lists import Dictionary
from ..places import LogPath, MaybeLogPath, Path
from ..row import Stage, row
from ..syslog import Syslog
from ..words import Facility

_STATSD = "nothing is sent to StatsD"


@dataclass(frozen=True)
class LogSettings:
    """Logs"""

    accesslog: str | None = row(
        "accesslog", MaybeLogPath(), None,
        "File for a line for each request; `-` is standard output, `syslog:` syslog. Not set: no access "
        "log, unless `[loggers]` has `gunicorn.access`.",
        also=("access_logfile",),
    )  # fmt: skip
    access_log_format: str = row(
        "access_log_format", Text(), "combined",
        "`common`, `combined`, `json`, or a format of atoms: `{h} {l} {u} {t} \"{r}\" {s} {b}`, or as "
        "`%%(h)s` (in an ini each % is doubled).",
        also=("access_logformat",),
    )  # fmt: skip
    errorlog: str = row(
        "errorlog", LogPath(), "-",
        "File for everything else; `-` is standard error.",
        also=("error_logfile", "log_file"),
    )  # fmt: skip
    loglevel: str = row(
        "loglevel", Choice("debug", "info", "warning", "error", "critical", same={"warn": "warning",
        "fatal": "critical"}), "info",
        "How much is written to the error log.",
        also=("log_level",),
    )  # fmt: skip
    logconfig: str | None = row(
        "logconfig", Path(exists="file"), None,
        "Configuration file of the standard `logging`; not set: the ini itself where it has `[loggers]`.",
        also=("log_config",),
    )  # fmt: skip
    logconfig_dict: dict[str, object] | None = row(
        "logconfig_dict", Dictionary(), None,
        "The same as a dictionary; only a `config` .py can give it.",
    )  # fmt: skip
    logconfig_json: str | None = row(
        "logconfig_json", Path(exists="file"), None,
        "The same as a file of JSON.",
        also=("log_config_json",),
    )  # fmt: skip
    syslog: bool = row(
        "syslog", Switch(), False,
        "Send the logs to syslog.",
        also=("log_syslog",),
    )  # fmt: skip
    syslog_addr: str = row(
        "syslog_addr", Syslog(), "udp://localhost:514",
        "Where syslog listens: `udp://host:port`, `tcp://host:port`, `unix:///dev/log` (`#dgram` or "
        "`#stream` after it).",
        also=("log_syslog_to",),
    )  # fmt: skip
    syslog_prefix: str | None = row(
        "syslog_prefix", MaybeText(), None,
        "Name of the program in syslog.",
        also=("log_syslog_prefix",),
    )  # fmt: skip
    syslog_facility: str = row(
        "syslog_facility", Facility(), "user",
        "Facility of the lines in syslog.",
        also=("log_syslog_facility",),
    )  # fmt: skip
    disable_redirect_access_to_syslog: bool = row(
        "disable_redirect_access_to_syslog", Switch(), False,
        "With `syslog`, keep the access log out of it.",
    )  # fmt: skip
    capture_output: bool = row(
        "capture_output", Switch(), False,
        "Send what is printed to the error log.",
    )  # fmt: skip
    enable_stdio_inheritance: bool = row(
        "enable_stdio_inheritance", Switch(), False,
        "Standard output and error are always inherited, and never buffered for long.",
        stage=Stage.IGNORED,
        advice="standard output and error are always inherited here", level="info",
    )  # fmt: skip
    statsd_host: str | None = row(
        "statsd_host", MaybeText(), None,
        "Address of a StatsD server.",
        stage=Stage.LATER, advice=_STATSD,
    )  # fmt: skip
    statsd_prefix: str = row(
        "statsd_prefix", Text(), "",
        "Put before the names of what is sent to StatsD.",
        stage=Stage.LATER, advice=_STATSD,
    )  # fmt: skip
    dogstatsd_tags: str = row(
        "dogstatsd_tags", Text(), "",
        "Tags for what is sent to StatsD.",
        stage=Stage.LATER, advice=_STATSD,
    )  # fmt: skip
    enable_backlog_metric: bool = row(
        "enable_backlog_metric", Switch(), False,
        "Send the length of the accept queue to StatsD.",
        stage=Stage.LATER, advice=_STATSD,
    )  # fmt: skip

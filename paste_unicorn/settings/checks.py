"""What only shows when all settings are known: values that contradict each other, or this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from .problems import Place, Problem
from .surroundings import Surroundings


class Checks:
    """`values` are all values by row name, `places` where those that were said were said."""

    def __init__(self, values: Mapping[str, Any], places: Mapping[str, Place], around: Surroundings) -> None:
        self._values, self._places, self._around = values, places, around

    def problems(self) -> Iterator[Problem]:
        """Everything that is worth a line."""
        yield from self._daemon()
        yield from self._identity()
        yield from self._logs()
        yield from self._threads()
        yield from self._limits()
        yield from self._recycling()

    def _daemon(self) -> Iterator[Problem]:
        if not self._values["daemon"]:
            return
        if self._around.environ.get("NOTIFY_SOCKET"):
            yield self._problem("daemon", "systemd watches over this process, which a daemon would leave; leave it out")
        else:
            yield self._problem(
                "daemon", "`paster serve --daemon` does this better, with a log and a pid file", "warning"
            )

    def _identity(self) -> Iterator[Problem]:
        if self._values["initgroups"] and "user" not in self._places:
            yield self._problem("initgroups", "no effect without user", "warning")
        for name, mine in (("user", os.geteuid()), ("group", os.getegid())):
            wanted = self._values[name]
            if wanted is not None and wanted != mine and os.geteuid() != 0:
                yield self._problem(name, f"only root can become another {name}; start as root, or leave it out")

    def _logs(self) -> Iterator[Problem]:
        sources = [name for name in ("logconfig_dict", "logconfig_json", "logconfig") if self._values[name]]
        for name in sources[1:]:
            yield self._problem(name, f"no effect, because {sources[0]} is set too", "warning")

    def _threads(self) -> Iterator[Problem]:
        name = self._values["worker_class"]
        if self._values["threads"] > 1 and name != "threads":
            yield self._problem("threads", f"no effect with worker_class = {name}", "warning")

    def _limits(self) -> Iterator[Problem]:
        head, line = self._values["limit_request_head"], self._values["limit_request_line"]
        if head and line and head < line:
            yield self._problem(
                "limit_request_head",
                f"{head} is less than limit_request_line, {line}, which so never counts",
                "warning",
            )

    def _recycling(self) -> Iterator[Problem]:
        for base in ("max_requests", "max_worker_lifetime"):
            name = f"{base}_jitter"
            if self._values[name] and not self._values[base]:
                yield self._problem(name, f"no effect without {base}", "warning")

    def _problem(self, name: str, sentence: str, level: str = "error") -> Problem:
        return Problem(self._places.get(name, Place("default")), name, sentence, level)

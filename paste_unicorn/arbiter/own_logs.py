"""The arbiter's own logs: opened as the settings in force say, and given to the user that the workers run as.

Whoever reads them may stand still: the arbiter does not wait for that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..ops import configured
from ..ops.logs import Logs, LogsProblem, setup
from ..ops.stand_ins import never_wait
from ..settings.table.logs import LogSettings

if TYPE_CHECKING:
    from ..process.messages import Origin
    from ..settings.resolve import Settings


def open_logs(settings: Settings, ini_path: str | None, variables: Mapping[str, str]) -> Logs:
    """As these settings say, at the start. Raises LogsProblem."""
    logs = _open(settings, ini_path, variables)
    _give_away(logs, settings)
    return logs


def follow(logs: Logs, before: Settings, after: Settings, origin: Origin) -> Logs:
    """The logs by other settings, or by what the ini says of loggers now; the same ones where neither has changed.

    Raises nothing: whoever has these settings serves already.
    """
    ini_path, variables = origin.ini_path, variables_of(origin)
    if after.logs != before.logs or configured.wording(after.logs, ini_path) != logs.wording:
        logs.close()
        configured.undo(logs.named)
        try:
            logs = _open(after, ini_path, variables)
        except LogsProblem as problem:  # its template could; a disk may have filled up since
            logs = _open_again(before)
            logs.error.error("The arbiter keeps its old logs: %s", problem)
            return logs
    try:
        _give_away(logs, after)
    except LogsProblem as problem:
        logs.error.error("%s", problem)
    return logs


def reopen(logs: Logs) -> None:
    """After a rotation."""
    logs.reopen()
    never_wait()


def _open(settings: Settings, ini_path: str | None, variables: Mapping[str, str]) -> Logs:
    return _set_up(settings.logs, ini_path, configured.has_loggers(ini_path), variables)


def _open_again(before: Settings) -> Logs:
    """Those that were closed a moment ago; standard error where not even that can be done."""
    try:
        return _set_up(before.logs)
    except LogsProblem:
        return _set_up(LogSettings())


def _set_up(
    logs: LogSettings,
    ini_path: str | None = None,
    ini_has_loggers: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Logs:
    made = setup(logs, ini_path=ini_path, ini_has_loggers=ini_has_loggers, stderr_fd=None, variables=variables)
    never_wait()
    return made


def variables_of(origin: Origin) -> Mapping[str, str]:
    """`name=value` of the runner's command line."""
    return origin.recipe.variables if origin.recipe is not None else {}


def _give_away(logs: Logs, settings: Settings) -> None:
    """Workers open the files again after a rotation. Raises LogsProblem."""
    user, group = settings.processes.user, settings.processes.group
    if os.geteuid() == 0 and (user is not None or group is not None):
        try:
            logs.chown(-1 if user is None else user, -1 if group is None else group)
        except OSError as error:
            raise LogsProblem(f"user: the log files can't be given to that user ({error.strerror})") from None

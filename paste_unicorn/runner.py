"""`egg:gunicorn#main`: takes application and ini settings from Paste and hands them to the arbiter.

The order of a start: settings, directory, umask, environment and hooks, or all problems at once; the background, where
that is wanted; then logs, listeners and the pid file; then the arbiter, which never returns. Where only a check is
wanted, all of that but the arbiter is tried in its stead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from . import surroundings
from .arbiter import arbiter, pidfile
from .arbiter.binding import BindProblem
from .arbiter.generations import terms_of
from .arbiter.given import Runner
from .arbiter.listeners import open_listeners
from .arbiter.own_logs import open_logs, variables_of
from .ops.logs import Logs, LogsProblem, descriptor_of
from .process import leave
from .process.daemon import become_daemon, fill_standard_descriptors
from .process.hooks import Hooks
from .process.identity import IdentityProblem, check_user, title_name
from .process.messages import Origin
from .process.patching import GREEN
from .settings.hooks import HookError
from .settings.report import report
from .settings.resolve import Resolved, Source, resolve
from .surroundings import Surroundings
from .template.judging import settle_and_judge
from .template.loading import threads_of_the_application


def serve(application: Callable[..., Any], global_conf: dict[str, str], /, **local_conf: str) -> NoReturn:
    """`paste.server_runner`: serve this application until a signal ends the process.

    By position, as Paste does it: a line of the ini may have any name.
    """
    try:
        _serve(application, surroundings.look_around(application, global_conf), local_conf)
    except Refusal as refusal:
        _print(str(refusal))
        leave.main(1)


class Refusal(Exception):
    """The server does not start; `str()` is what the operator reads, a line a problem."""


def _serve(application: Callable[..., Any], around: Surroundings, local_conf: dict[str, str]) -> NoReturn:
    fill_standard_descriptors()
    runner, origin = _runner(around), _origin(around, local_conf)
    resolved = resolve(local_conf, Source(around.ini_path, around.section), os.environ, around.cwd)
    asked = resolved.readable.processes
    if asked.check_config or asked.print_config:
        _only_check(origin, resolved)
    problems, settings = settle_and_judge(resolved), resolved.settings
    if problems or settings is None:
        raise Refusal("\n".join(str(problem) for problem in problems))
    processes = settings.processes
    # A reloader has threads here; they are not the application's.
    threads = threads_of_the_application() if around.watch_files is None else []
    try:
        check_user(processes)
        if processes.daemon:
            become_daemon(keep_output=settings.logs.enable_stdio_inheritance)
        logs = open_logs(settings, around.ini_path, variables_of(origin))
        hooks = Hooks(settings, logs.error)
        hooks.begin()
        listeners = open_listeners(settings.sockets.bind, terms_of(settings, runner))
        if processes.pidfile is not None:
            pidfile.write(processes.pidfile)
    except (IdentityProblem, LogsProblem, HookError, BindProblem, pidfile.PidFileProblem) as problem:
        raise Refusal(resolved.placed(str(problem))) from None
    for note in resolved.notes:
        (logs.error.warning if note.level == "warning" else logs.error.info)("%s", note)
    _say_what_is_odd(processes.daemon, threads, around, logs)
    arbiter.run(
        arbiter.Inheritance(
            # Too late to patch it: a fresh interpreter loads it again.
            application=None if processes.worker_class in GREEN else application,
            settings=settings,
            logs=logs,
            hooks=hooks,
            listeners=listeners,
            origin=origin,
            runner=runner,
            ini=title_name(processes, around.ini_path),
            told=resolved.notes,
        )
    )


def _only_check(origin: Origin, resolved: Resolved) -> NoReturn:
    """For `check_config` and `print_config`: try what the settings name, and serve nothing."""
    from .check.checking import check_loaded  # whoever serves needs none of it

    if resolved.settings is not None and resolved.settings.processes.print_config:
        sys.stdout.write(report(resolved.settings, resolved.origins) + "\n")
    leave.main(check_loaded(origin, resolved, sys.stdout))


def _origin(around: Surroundings, local_conf: dict[str, str]) -> Origin:
    return Origin(
        recipe=around.recipe,
        server=around.server,
        ini_path=around.ini_path,
        section=around.section,
        local_conf=local_conf,
        cwd=around.cwd,
        umask=around.umask,
        sys_path=around.sys_path,
        environ=around.environ,
    )


def _runner(around: Surroundings) -> Runner:
    return Runner(
        watch_files=around.watch_files,
        release=surroundings.release_descriptors,
        opened=around.opened,
        no_upgrade=_why_no_upgrade(around),
        is_monitored=around.is_monitored,
        pid_files=surroundings.pid_files(),
        keep_pid_files=surroundings.keep_pid_files,
    )


def _why_no_upgrade(around: Surroundings) -> str:
    if around.watch_files is not None:
        return "under a reloader the end of this process means a restart; change a file instead, or send HUP"
    if around.is_monitored:
        return "under --monitor-restart the end of this process means a restart; send HUP, or restart the monitor"
    if os.getpid() == 1:
        return "this is process 1, whose end would end the container; send HUP, or start a new container"
    return ""


def _say_what_is_odd(daemon: bool, threads: list[str], around: Surroundings, logs: Logs) -> None:
    if around.recipe is None:
        logs.error.warning("It is not known where the application came from: a template that dies can't be replaced")
    elif around.recipe_is_guessed:
        logs.error.warning(
            "The application was not loaded by PasteDeploy: a later template will load [app:main] of %s, without "
            "variables of the command line", around.ini_path,
        )  # fmt: skip
    if threads:
        stay = "don't exist in the background" if daemon else "stay in the arbiter and don't exist in workers"
        logs.error.warning(
            "The application started threads while it was loaded (%s): they %s. Start them in the hook post_fork",
            ", ".join(threads), stay,
        )  # fmt: skip


def _print(text: str) -> None:
    """To standard error, as the runner's own messages go; where that leads nowhere, to nobody."""
    stream = sys.stderr
    fd = descriptor_of(stream)
    if fd is None:
        return
    stream.flush()
    os.write(fd, text.encode(errors="backslashreplace") + b"\n")

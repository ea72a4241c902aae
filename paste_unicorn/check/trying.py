"""What the settings name is tried: addresses, logs, pid file, user, folder of bodies. Nothing stays of it."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from typing import Any

from ..arbiter import pidfile
from ..arbiter.binding import Terms, try_address
from ..ops import configured
from ..ops.logs import LogsProblem, setup
from ..process.fork import fork_unwarned
from ..process.identity import IdentityProblem, become_user, check_user
from ..settings.hooks import ARGUMENTS
from ..settings.resolve import Settings
from .holders import Holder, holder_of, holder_with
from .table import OK, SHORT, UNKNOWN, WRONG, Finding


def addresses(settings: Settings, terms: Terms, ini: str) -> Iterator[tuple[Finding, Holder | None]]:
    """A row for each address; beside it who listens there already, where that is a server with this ini."""
    bind = settings.sockets.bind
    for address in bind:
        what = f"bind = {address}"
        if address.kind == "fd":
            why = f"{what}: whoever starts the server has to hand this socket over."
            yield Finding(UNKNOWN, what, more=(why,), untried=f"it is given {address}"), None
            continue
        problem = try_address(address, bind, terms)
        if problem is None:
            yield Finding(OK, what, "free"), None
            continue
        holder = holder_of(address) if problem.is_taken else None
        if holder is not None and holder.is_server_of(ini):
            yield Finding(OK, what, f"this server has it (pid {holder.pid})"), holder
        else:
            said = f"{problem} (pid {holder.pid}: {holder.title})" if holder is not None else str(problem)
            yield Finding(WRONG, what, "taken" if problem.is_taken else "no", more=(f"{what}: {said}",)), None


def logs(settings: Settings, ini_path: str | None, variables: Mapping[str, str]) -> Finding:
    """Open all of them as at a start, in a process of their own; files that were not there are removed again."""

    def open_all() -> str:
        logging.disable()  # nothing is written into them
        logging.FileHandler._open = _open_to_append  # type: ignore[assignment, method-assign]
        fresh = _recorded()
        try:
            setup(
                settings.logs,
                ini_path=ini_path,
                ini_has_loggers=configured.has_loggers(ini_path),
                stderr_fd=None,
                variables=variables,
            )
        except LogsProblem as problem:
            return str(problem)
        finally:
            for path in fresh:
                if os.path.isfile(path) and not os.path.getsize(path):
                    os.unlink(path)
        return ""

    problems = tuple(_aside(open_all).splitlines())
    return Finding(WRONG, "logs", "no", more=problems) if problems else Finding(OK, "logs", "can be written")


def pid_file(path: str, ini: str) -> Finding:
    """Whether the arbiter could make it. That of a server with this ini, which runs, is fine."""
    what = f"pidfile = {path}"
    try:
        pid = pidfile.attempt(path)
    except pidfile.PidFileProblem as problem:
        return Finding(WRONG, what, "no", more=(str(problem),))
    if pid and not holder_with(pid).is_server_of(ini):
        return Finding(WRONG, what, "taken", more=(str(pidfile.taken(path, pid)),))
    return Finding(OK, what, "can be written" if not pid else f"this server has it (pid {pid})")


def code(settings: Settings) -> Iterator[Finding]:
    """What is the application's own, and only to be known by running it."""
    processes = settings.processes
    hooks = [name for name in ARGUMENTS if getattr(processes, name) is not None]
    if hooks:
        yield Finding(OK, f"hooks: {', '.join(hooks)}", "imported, not called", untried="no hook stops it")
    if processes.warmup:
        requests = f"{len(processes.warmup)} request{'s' if len(processes.warmup) > 1 else ''}"
        untried = "it answers the requests of warmup" if processes.warmup_required else ""
        yield Finding(OK, f"warmup: {requests}", "not made", untried=untried)


def user(settings: Settings) -> Finding:
    """Become it, in a process of its own."""
    processes = settings.processes

    names = [f"user = {processes.user_name or processes.user}"] if processes.user is not None else []
    names += [f"group = {processes.group}"] if processes.group is not None else []
    what = ", ".join(names)
    problem = _aside(lambda: _become(settings))
    return Finding(WRONG, what, "no", more=(f"{what}: {problem}",)) if problem else Finding(OK, what, "can be taken on")


def spool(settings: Settings) -> Finding:
    """As the workers' user, make a file where large bodies are collected."""
    folder = settings.requests.tmp_upload_dir

    def write() -> str:
        _become(settings)  # what is wrong with that has a row of its own
        try:
            with tempfile.TemporaryFile(dir=folder, prefix="unicorn-body-"):
                return ""
        except OSError as error:
            return f"no file can be made there: {error.strerror}"

    what = "spool_request_body" if folder is None else f"tmp_upload_dir = {folder}"
    problem = _aside(write)
    if problem:
        return Finding(SHORT, what, "no", more=(f"{what}: {problem}. Requests that need one are answered with 503.",))
    return Finding(OK, what, "can be written")


def _become(settings: Settings) -> str:
    """Take on user and group; "", or why that can't be."""
    try:
        check_user(settings.processes)
        become_user(settings.processes)
    except IdentityProblem as problem:
        return str(problem)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _open_to_append(handler: logging.FileHandler) -> TextIOWrapper:
    """What is there stays, also where a start would empty the file."""
    return open(handler.baseFilename, "a", encoding=handler.encoding)


def _recorded() -> list[str]:
    """Paths of the files that this process makes from now on, as they come."""
    fresh: list[str] = []

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str) and not os.path.lexists(args[0]):
            fresh.append(args[0])

    sys.addaudithook(hear)
    return fresh


def _aside(attempt: Callable[[], str]) -> str:
    """What an attempt says, made in a child: it may change its process as it likes."""
    out_of, into = os.pipe()
    pid = fork_unwarned()  # hooks were imported here, and may have started threads
    if pid == 0:
        try:
            said = attempt()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        with open(into, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(said)
        os._exit(0)
    os.close(into)
    with open(out_of, encoding="utf-8") as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said

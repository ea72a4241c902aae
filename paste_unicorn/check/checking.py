"""The whole check: the sections of the ini, settings, addresses, logs, pid file, user; then the kernel's limits."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TextIO

from paste.deploy import loadwsgi

from ..arbiter import own_logs
from ..arbiter.binding import Terms
from ..ops.kernel import read_kernel
from ..ops.limits import Situation, limits
from ..ops.memory import resident_bytes
from ..ops.queues import Queue, queue_of
from ..process.identity import title_name
from ..process.messages import Origin, Recipe
from ..settings.needs import needs_of
from ..settings.resolve import Resolved, Settings
from ..template.again import AnotherServer, read_local_conf, resolve_again
from ..template.judging import settle_and_judge
from ..template.loading import LoadProblem
from . import sections, trying
from .table import OK, WRONG, Finding, of_limit, table


def check(spec: str, server_name: str | None, app_name: str | None, variables: Mapping[str, str], out: TextIO) -> int:
    """Check the server's section of `prod.ini` or `prod.ini#NAME`; write what was found. 0, or 1 if something is bad.

    This process gets the directory, umask, environment and import path of the settings.
    """
    origin = _origin(spec, server_name, variables)
    shown = spec.partition("#")[0]
    findings = _tell(f"{shown} [{origin.section}]", _findings(origin, app_name), out)
    return int(any(one.is_bad for one in findings))


def check_loaded(origin: Origin, resolved: Resolved, out: TextIO) -> int:
    """The same for settings that a runner has read, which has loaded the application too; 1 if a start would fail.

    What falls short is said, as at a start.
    """
    findings = _tell(str(resolved.place), _judged(origin, resolved, Finding(OK, "application", "loaded")), out)
    return int(any(one.verdict == WRONG for one in findings))


def _tell(title: str, found: Iterable[Finding], out: TextIO) -> list[Finding]:
    findings = list(found)
    out.write(table(title, findings))
    return findings


def variables_of(words: Iterable[str]) -> dict[str, str]:
    """`name=value` of a command line. Raises ValueError."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f'"{word}" is no assignment; give name=value')
        found[name] = value
    return found


def _origin(spec: str, server_name: str | None, variables: Mapping[str, str]) -> Origin:
    file, _, part = spec.removeprefix("config:").partition("#")
    path = os.path.abspath(file)
    uri = f"config:{path}#{part}" if part else f"config:{path}"
    recipe = Recipe(uri, server_name, os.getcwd(), dict(variables))
    return Origin(
        recipe=recipe,
        server=recipe,
        ini_path=path,
        section=f"server:{server_name or part or 'main'}",
        local_conf={},
        cwd=os.getcwd(),
        umask=0,
        sys_path=(),
        environ=dict(os.environ),
    )


def _findings(origin: Origin, app_name: str | None) -> Iterator[Finding]:
    assert origin.recipe is not None
    uri, variables = origin.recipe.uri, dict(origin.recipe.variables)
    try:
        sections.follow(loadwsgi.SERVER, uri, origin.recipe.name, variables)
        resolved = resolve_again(origin, read_local_conf(origin))
    except AnotherServer:
        said = f"[{origin.section}] has no `use = egg:gunicorn#main`: it is for another server."
        yield Finding(WRONG, "settings", "not ours", more=(said,))
        return
    except (sections.Astray, LoadProblem) as problem:
        said = str(problem).strip().rpartition("\n")[2]  # of a traceback, what was raised
        yield Finding(WRONG, "settings", "can't be read", more=(f"[{origin.section}] can't be read: {said}",))
        return
    # With the import path that the runner has when it loads the application.
    yield from _judged(origin, resolved, _application(uri, app_name, variables))


def _judged(origin: Origin, resolved: Resolved, application: Finding) -> Iterator[Finding]:
    problems = settle_and_judge(resolved)
    settings = resolved.settings
    if problems or settings is None:
        yield Finding(WRONG, "settings", f"{len(problems)} wrong", more=tuple(map(str, problems)))
        yield application
        return
    yield Finding(OK, "settings", more=tuple(f"{note.level}, {note}" for note in resolved.notes))
    yield application
    yield from trying.code(settings)
    for finding in _of_this_machine(origin, resolved, settings):
        yield replace(finding, more=tuple(map(resolved.placed, finding.more)))


def _application(uri: str, name: str | None, variables: dict[str, str]) -> Finding:
    try:
        section = sections.follow(loadwsgi.APP, uri, name, variables)
    except sections.Astray as problem:
        return Finding(WRONG, "application", "not there", more=(f"application: {problem}",))
    return Finding(OK, f"application [{section}]", "not loaded", untried="the application loads")


def _of_this_machine(origin: Origin, resolved: Resolved, settings: Settings) -> Iterator[Finding]:
    processes = settings.processes
    ini = title_name(processes, origin.ini_path)
    running = None
    for finding, holder in trying.addresses(settings, _terms(settings), ini):
        running = running or holder
        yield finding
    yield trying.logs(settings, origin.ini_path, own_logs.variables_of(origin))
    if processes.pidfile is not None:
        yield trying.pid_file(processes.pidfile, ini)
    if processes.user is not None or processes.group is not None:
        yield trying.user(settings)
    if settings.requests.spool_request_body is not None:
        yield trying.spool(settings)
    queue = _tried_queue(settings.sockets.backlog)
    situation = Situation(
        pid=running.pid if running is not None else None,
        taken=queue.most if queue is not None else None,
        address="a new listener",
        application=resident_bytes(running.pid) if running is not None else None,
    )
    for limit in limits(read_kernel(situation.pid), needs_of(settings), situation):
        yield of_limit(limit)


def _terms(settings: Settings) -> Terms:
    return Terms(
        backlog=settings.sockets.backlog,
        reuse_port=settings.sockets.reuse_port,
        umask=settings.processes.umask or 0,
        uid=None,
        gid=None,
        wait_s=0.0,
    )


def _tried_queue(backlog: int) -> Queue | None:
    """What the kernel makes of `backlog`, on a port that nobody knows."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(backlog)
        return queue_of(sock)

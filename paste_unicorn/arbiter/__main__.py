"""`python -m paste_unicorn.arbiter`: a new arbiter beside an old one, which tells it over a socket where all is.

It never loads the application itself: its first template is a fresh interpreter too.
"""

from __future__ import annotations

import os
import traceback
from typing import NoReturn

from ..ops.logs import LogsProblem
from ..process import leave
from ..process.channel import Channel
from ..process.handoff import HandoffPair
from ..process.hooks import Hooks
from ..process.identity import title_name
from ..process.messages import Failed, Succeed, shortened
from ..settings.hooks import HookError
from ..settings.resolve import Settings
from ..template.again import read_local_conf, resolve_again, settle_again
from ..template.loading import LoadProblem, restore_interpreter
from ..template.starting import CHANNEL_FD
from . import pidfile
from .arbiter import Inheritance, run
from .binding import BindProblem
from .generations import terms_of
from .given import Runner
from .listeners import OpenListeners
from .own_logs import open_logs, variables_of
from .succession import Predecessor


def main() -> NoReturn:
    """Take over what the first message names."""
    predecessor = Channel.from_fd(CHANNEL_FD)
    try:
        received = predecessor.receive()
        if received is None:
            leave.child(0)
        succeed, fds = received
        if not isinstance(succeed, Succeed):
            raise LoadProblem(f"the first message was {succeed!r}")
        inheritance = _inherit(succeed, fds, predecessor)
    except LoadProblem as problem:
        predecessor.send(Failed(shortened(str(problem))))
        leave.child(1)
    except BaseException:
        predecessor.send(Failed(shortened(traceback.format_exc())))
        leave.child(1)
    run(inheritance)


def _inherit(succeed: Succeed, fds: list[int], predecessor: Channel) -> Inheritance:
    origin = succeed.origin
    restore_interpreter(origin, succeed.python_path)
    local_conf = read_local_conf(origin)
    resolved = resolve_again(origin, local_conf)
    settings = settle_again(resolved)
    try:
        return _with_all_open(succeed, fds, predecessor, settings)
    except (LogsProblem, HookError, BindProblem, pidfile.PidFileProblem) as problem:
        raise LoadProblem(resolved.placed(str(problem))) from None


def _with_all_open(succeed: Succeed, fds: list[int], predecessor: Channel, settings: Settings) -> Inheritance:
    origin = succeed.origin
    path = settings.processes.pidfile
    if path is not None and os.path.abspath(path) not in succeed.pid_files:
        pidfile.check(path)
    logs = open_logs(settings, origin.ini_path, variables_of(origin))
    runner = Runner(
        watch_files=None,
        release=lambda: None,
        opened=(),
        pid_files=succeed.pid_files,
    )
    inherited = OpenListeners.inherit(succeed.listeners, fds[2:])
    listeners = inherited.changed_to(settings.sockets.bind, terms_of(settings, runner))
    inherited.without(listeners).let_go()
    listeners.listen(settings.sockets.backlog)
    predecessor.sock.setblocking(False)
    hooks = Hooks(settings, logs.error)
    hooks.begin()
    return Inheritance(
        application=None,
        settings=settings,
        logs=logs,
        hooks=hooks,
        listeners=listeners,
        origin=origin,
        runner=runner,
        ini=title_name(settings.processes, origin.ini_path),
        predecessor=Predecessor(predecessor, inherited),
        handoff=HandoffPair.from_fds(fds[0], fds[1]),
    )


if __name__ == "__main__":
    main()

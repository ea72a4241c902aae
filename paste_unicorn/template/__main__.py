"""`python -m paste_unicorn.template`: a fresh interpreter, told over a socket what to load."""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from typing import NoReturn

from ..ops import backtraces
from ..ops.configured import has_loggers
from ..ops.logs import Logs, LogsProblem, setup
from ..process import leave, patching
from ..process.channel import Channel
from ..process.handoff import HandoffPair
from ..process.identity import allow_files, set_title, title_name
from ..process.lifeline import Lifeline
from ..process.messages import Failed, Load, shortened
from ..scoreboard import Scoreboard
from ..settings.needs import files_of_worker
from .again import read_local_conf, resolve_again, settle_again
from .forking import Equipment, Template
from .loading import LoadProblem, load_application, restore_interpreter, threads_of_the_application
from .starting import CHANNEL_FD


def main() -> NoReturn:
    """Load what the first message names, then fork workers as told."""
    channel = Channel.from_fd(CHANNEL_FD)
    try:
        received = channel.receive()
        if received is None:
            leave.child(0)
        load, fds = received
        if not isinstance(load, Load):
            raise LoadProblem(f"the first message was {load!r}")
        # Before the application is loaded: a factory that hangs would otherwise outlive the arbiter.
        lifeline = Lifeline(os.getppid(), fds[0])
        lifeline.arm()
        backtraces.arm(2)  # whatever hangs from here on
        restore_interpreter(load.origin, load.python_path)
        local_conf = read_local_conf(load.origin)
        equipment = _equip(load, fds, lifeline, local_conf)
        template = Template(equipment, load.generation, channel)
    except LoadProblem as problem:
        channel.send(Failed(shortened(str(problem))))
        leave.child(1)
    except BaseException:
        channel.send(Failed(shortened(traceback.format_exc())))
        leave.child(1)
    try:
        template.serve(local_conf)
    except BaseException:  # a hook that raises SystemExit
        equipment.logs.error.exception("The template (pid %d) ends by a fault", os.getpid())
    leave.child(1)


def _equip(load: Load, fds: list[int], lifeline: Lifeline, local_conf: dict[str, str]) -> Equipment:
    origin = load.origin
    # What is made before the library patches keeps to the originals.
    reports, handoff = socket.socket(fileno=fds[2]), HandoffPair.from_fds(fds[3], fds[4])
    resolved = resolve_again(origin, local_conf)
    early = _patch(resolved.readable.processes.worker_class)
    settings = settle_again(resolved)
    ini = title_name(settings.processes, origin.ini_path)
    set_title("template", ini, load.generation)
    recipe = origin.recipe
    if recipe is None:
        raise LoadProblem("it is not known where the application came from")
    try:
        logs = setup(
            settings.logs,
            ini_path=origin.ini_path,
            ini_has_loggers=has_loggers(origin.ini_path),
            stderr_fd=None,
            variables=recipe.variables,
            warns=False,  # the arbiter has
        )
    except LogsProblem as problem:
        raise LoadProblem(resolved.placed(str(problem))) from None
    backtraces.arm(logs.error_fd)
    _say_how_it_is_patched(settings.processes.worker_class, early, logs)
    application = load_application(recipe)
    allow_files(files_of_worker(settings))
    if threads := threads_of_the_application():
        logs.error.warning(
            "The application started threads while it was loaded (%s); they don't exist in workers. Start them in the "
            "hook post_fork",
            ", ".join(threads),
        )
    return Equipment(
        application=application,
        settings=settings,
        logs=logs,
        listeners=(),  # they come when the settings have been seen
        scoreboard=Scoreboard.attach(fds[1]),
        lifeline=lifeline,
        reports=reports,
        handoff=handoff,
        ini=ini,
        reloading=load.reloading,
    )


def _patch(worker_class: str) -> tuple[str, ...]:
    """What was imported too early for it. A library that isn't there is told with all other problems."""
    with contextlib.suppress(patching.NoSuchLibrary):
        return patching.patch(worker_class)
    return ()


def _say_how_it_is_patched(worker_class: str, early: tuple[str, ...], logs: Logs) -> None:
    if early:
        logs.error.warning(
            "worker_class = %s: %s was imported before it could be patched (by the config file, or as this interpreter "
            "started): what it does may block all requests of a worker", worker_class, ", ".join(early),
        )  # fmt: skip
    if worker_class == "eventlet":
        logs.error.info(
            "worker_class = eventlet: Eventlet is maintained, but its authors advise against it for what is new; "
            "gevent does the same here"
        )


if __name__ == "__main__":
    main()

"""What each generation was given: its settings, its listeners, the channel to its template.

Nothing is decided here: `perform.py` calls one method an action.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..ops.logs import Logs
from ..process.channel import Channel
from ..process.fork import keep_private
from ..process.identity import set_title, title_name
from ..process.messages import Equip, Load, Loaded, Message, Origin
from ..settings.resolve import Source, resolve
from ..template.forking import Equipment
from ..template.loading import origin_of_now
from ..template.starting import exec_template, fork_template
from . import pidfile
from .binding import BindProblem, Terms
from .events import Event, GenerationEquipped, TemplateFailed, TemplateLoaded, TemplateStarted
from .given import Runner, plan_of
from .limits import KernelLimits
from .listeners import OpenListeners
from .own_logs import follow, reopen
from .state import Plan

if TYPE_CHECKING:
    from ..settings.problems import Problem
    from ..settings.resolve import Resolved, Settings

PREDECESSOR_S = 1.0  # how long a reloader's last server may take to let go of the port


@dataclass(frozen=True)
class Outfit:
    """What a generation is to have that isn't in force yet."""

    settings: Settings
    resolved: Resolved
    listeners: OpenListeners | None = None


class Generations:
    """Owned by the arbiter's main thread. `settings`, `logs`, `listeners` and `equipment` are what is in force."""

    def __init__(
        self,
        equipment: Equipment,
        listeners: OpenListeners,
        origin: Origin,
        runner: Runner,
        close_parents: Callable[[], None],
        told: tuple[Problem, ...],
    ) -> None:
        self.equipment = equipment
        self.listeners = listeners
        self.origin = origin
        self._runner = runner
        self._close_parents = close_parents  # in template 1: descriptors of the arbiter's loop
        self._told = told  # of the settings; another template may read the same ones
        self._coming: dict[int, Outfit] = {}
        self._removed: list[tuple[int, OpenListeners]] = []  # since which generation nobody wants these any more
        self.channels: dict[int, Channel] = {}  # of templates that live; the loop reads them
        self._limits = KernelLimits(lambda: self.logs.error)
        self._keep_private()

    @property
    def settings(self) -> Settings:
        return self.equipment.settings

    @property
    def logs(self) -> Logs:
        return self.equipment.logs

    @property
    def _closing(self) -> OpenListeners:
        """Listeners that are still being drained."""
        return OpenListeners.together(listeners for _, listeners in self._removed)

    @property
    def plan(self) -> Plan:
        """What the settings in force want."""
        return self._plan(self.settings)

    def _plan(self, settings: Settings) -> Plan:
        return plan_of(settings, self._runner, can_load_again=self.origin.recipe is not None)

    # -- templates -------------------------------------------------------------------------------------------

    def start(self, number: int) -> list[Event]:
        """A template: the first by a fork, where the runner has loaded the application; others by exec."""
        try:
            if number == 1 and self.equipment.application is not None:
                pid, channel = fork_template(self.equipment, 1, self._leave_parents)
            else:
                # It opens them in a moment; after a rotation that is another file.
                reopen(self.logs)
                pid, channel = exec_template(self._load(number), self._descriptors(), self.origin.environ)
        except OSError as error:
            return [TemplateFailed(number, f"it could not be started: {error.strerror or error}")]
        self.channels[number] = channel
        return [TemplateStarted(number, pid)]

    def _leave_parents(self) -> None:
        self._close_parents()
        self._runner.release()

    def _load(self, number: int) -> Load:
        return Load(
            generation=number,
            origin=replace(self.whence(), environ={}),  # it has that as its own
            python_path=self.origin.environ.get("PYTHONPATH"),
            reloading=self.equipment.reloading,
        )

    def whence(self) -> Origin:
        """Where all comes from that is loaded now."""
        origin = origin_of_now(self.origin)
        if origin.cwd != self.origin.cwd:
            self.logs.error.warning(
                "The folder that the server was started in is gone (%s): relative names mean the ini's folder now (%s)",
                self.origin.cwd, origin.cwd,
            )  # fmt: skip
        return origin

    def _descriptors(self) -> list[int]:
        equipment = self.equipment
        return [
            equipment.lifeline.read_fd,
            equipment.scoreboard.fd,
            equipment.reports.fileno(),
            *equipment.handoff.filenos(),
        ]

    def tell(self, number: int, message: Message, fds: Sequence[int] = ()) -> bool:
        """Whether the template could be told."""
        channel = self.channels.get(number)
        if channel is None:
            return False
        try:
            channel.send(message, fds)
        except OSError:  # it has gone, or takes nothing in: its exit or its deadline will say so
            return False
        return True

    # -- from loaded to serving ------------------------------------------------------------------------------

    def loaded(self, number: int, message: Loaded) -> Event:
        """The template has the application; what do the settings say that it read?"""
        if message.local_conf is None:
            return TemplateLoaded(number, self.plan)
        origin = origin_of_now(self.origin)
        resolved = resolve(message.local_conf, Source(origin.ini_path, origin.section), origin.environ, origin.cwd)
        if resolved.settings is None:
            return TemplateFailed(number, "\n".join(str(problem) for problem in resolved.problems))
        path = resolved.settings.processes.pidfile
        if path is not None and path != self.settings.processes.pidfile:
            try:
                pidfile.check(path)
            except pidfile.PidFileProblem as problem:
                return TemplateFailed(number, resolved.placed(str(problem)))
        if resolved.notes != self._told:
            self._told = resolved.notes
            for note in resolved.notes:
                (self.logs.error.warning if note.level == "warning" else self.logs.error.info)("%s", note)
        self._coming[number] = Outfit(resolved.settings, resolved)
        return TemplateLoaded(number, self._plan(resolved.settings))

    def equip(self, number: int) -> list[Event]:
        """Open what its settings name and is not open yet; its template gets all of it."""
        outfit = self._coming.get(number)
        if outfit is None:  # forked, with all that it needs
            return [GenerationEquipped(number)]
        settings = outfit.settings
        try:
            terms = terms_of(settings, self._runner)
            listeners = self.listeners.changed_to(settings.sockets.bind, terms, self._closing)
        except BindProblem as problem:
            return [TemplateFailed(number, outfit.resolved.placed(str(problem)))]
        self._coming[number] = replace(outfit, listeners=listeners)
        self._keep_private()
        described = tuple((one.address, one.server_name, one.server_port, one.is_unix) for one in listeners.all)
        if not self.tell(number, Equip(described), [one.sock.fileno() for one in listeners.all]):
            return [TemplateFailed(number, "its template does not answer")]
        return [GenerationEquipped(number)]

    def adopt(self, number: int, not_shared: Callable[[OpenListeners], OpenListeners]) -> None:
        """Its settings and listeners are in force from now on. `not_shared` are those of some listeners that no other
        arbiter has.
        """
        outfit = self._coming.pop(number, None)
        if outfit is None or outfit.listeners is None:
            return
        before = self.settings
        settings = outfit.settings
        removed = self.listeners.without(outfit.listeners)
        closing = not_shared(removed)
        removed.without(closing).let_go()
        # What the kernel has accepted there is still answered, by the workers that retire.
        self.equipment.scoreboard.say_closing()
        closing.stop_handshakes()
        self._removed = [(since, one.without(outfit.listeners)) for since, one in self._removed]
        self._removed.append((number, closing))
        outfit.listeners.without(self.listeners).resume_handshakes()
        self.listeners = outfit.listeners
        self.listeners.listen(settings.sockets.backlog)
        self.equipment = replace(
            self.equipment,
            settings=settings,
            logs=follow(self.logs, before, settings, self.origin),
            listeners=outfit.listeners.all,
            ini=title_name(settings.processes, self.origin.ini_path),
        )
        set_title("arbiter", self.equipment.ini)
        self.check_limits()
        self._move_pidfile(before.processes.pidfile, settings.processes.pidfile)

    def check_limits(self) -> None:
        """Whether the kernel allows what the settings in force want."""
        self._limits.compare(self.settings, self.listeners, self.equipment.application is not None)

    def watch_queues(self, now: float) -> None:
        """Whether connections were dropped because nobody accepted them in time."""
        self._limits.watch_queues(self.listeners, self.settings.sockets.backlog, now)

    def forget(self, number: int) -> None:
        """It will not serve: close what was opened for it alone."""
        outfit = self._coming.pop(number, None)
        if outfit is not None and outfit.listeners is not None:
            outfit.listeners.without(self.listeners).without(self._closing).close()
            self._keep_private()

    def close_removed(self, number: int) -> None:
        """Nobody of an older generation than this one is left: listeners that it doesn't have are closed."""
        for since, listeners in self._removed:
            if since <= number:
                listeners.close()
        self._removed = [one for one in self._removed if one[0] > number]
        self._keep_private()

    def _move_pidfile(self, before: str | None, after: str | None) -> None:
        if before == after:
            return
        try:
            if after is not None:
                pidfile.write(after)
        except pidfile.PidFileProblem as problem:  # it might have been ours when the settings were read
            self.logs.error.error("%s", problem)
        if before is not None:
            pidfile.remove(before)

    def _keep_private(self) -> None:
        listening = [self.listeners, *(one.listeners for one in self._coming.values() if one.listeners is not None)]
        keep_private(
            [
                self.equipment.lifeline.write_fd,
                *self.equipment.handoff.filenos(),
                *(one.sock.fileno() for listeners in listening for one in listeners.all),
            ]
        )

    def let_go(self) -> None:
        """Replace what loading the application opened here by /dev/null: a lock is held by whoever has its file open.

        Replaced, not closed: a finalizer must not close a number that somebody else has got meanwhile.
        """
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in self._runner.opened:
            with contextlib.suppress(OSError):
                os.dup2(null, fd, inheritable=False)
        os.close(null)


def terms_of(settings: Settings, runner: Runner) -> Terms:
    """How its sockets are to be opened."""
    processes, sockets = settings.processes, settings.sockets
    is_root = os.geteuid() == 0
    may_have_predecessor = runner.watch_files is not None or runner.is_monitored
    return Terms(
        backlog=sockets.backlog,
        reuse_port=sockets.reuse_port,
        umask=processes.umask or 0,
        uid=processes.user if is_root else None,
        gid=processes.group if is_root else None,
        wait_s=PREDECESSOR_S if may_have_predecessor else 0.0,
    )


def is_there(pid: int) -> bool:
    """Whether a process has this number, one that nobody has reaped yet included (`man 2 kill`)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process that may have gone a moment ago: the number will not be used again so soon."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)

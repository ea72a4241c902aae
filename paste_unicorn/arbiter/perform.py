"""An action to system calls: one short function an action, found by its type. Nothing is decided here."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ops.access_log import Served
from ..ops.escaping import escaped
from ..process import leave
from ..process.channel import Channel
from ..process.hooks import Hooks
from ..process.messages import End, Fork, Load, Message
from ..process.messages import ReopenLogs as ReopenLogsMessage
from ..scoreboard import CellReading, Scoreboard, SlotReading
from ..template.starting import exec_template, fork_template
from . import pidfile
from .actions import (
    Action,
    AnnounceServing,
    AnnounceWorkers,
    ClearSlot,
    EndTemplate,
    ForkWorker,
    KillTemplate,
    Leave,
    ReopenLogs,
    ReportRunning,
    Say,
    SignalWorker,
    StartTemplate,
    StopListening,
    WatchFiles,
)  # fmt: skip
from .events import Event, ForkFailed, TemplateFailed, TemplateStarted
from .given import Origin, Runner
from .listeners import OpenListeners

if TYPE_CHECKING:
    from ..template.forking import Equipment


class Performer:
    """Owned by the arbiter's main thread."""

    def __init__(
        self,
        *,
        equipment: Equipment,
        origin: Origin,
        runner: Runner,
        listeners: OpenListeners,
        hooks: Hooks,
        close_parents: Callable[[], None],
    ) -> None:
        self._equipment = equipment
        self._origin = origin
        self._runner = runner
        self._listeners = listeners
        self._hooks = hooks
        self._close_parents = close_parents  # in template 1: descriptors of the arbiter's loop
        self._log = equipment.logs.error
        self.scoreboard: Scoreboard = equipment.scoreboard
        self._workers = equipment.settings.processes.workers  # wanted now, for hooks
        self._watched: set[str] = set()
        self._answered = 0  # requests of workers that are gone
        self._lost = 0  # requests that were under way in workers when these ended
        self._overdue: set[int] = set()  # pids of workers whose requests were reported before they are killed
        self.channels: dict[int, Channel] = {}  # of templates that live, by generation; the loop reads them

    def perform(self, action: Action) -> list[Event]:
        """Do it; what is known at once comes back as events. Raises whatever the system says."""
        return _PERFORMERS[type(action)](self, action) or []

    # -- templates -------------------------------------------------------------------------------------------

    def start_template(self, action: StartTemplate) -> list[Event]:
        generation = action.generation
        try:
            if generation == 1:
                pid, channel = fork_template(self._equipment, 1, self._leave_parents)
            else:
                pid, channel = exec_template(self._load(generation), self._descriptors())
        except OSError as error:
            return [TemplateFailed(generation, f"it could not be started: {error.strerror or error}")]
        self.channels[generation] = channel
        return [TemplateStarted(generation, pid)]

    def _leave_parents(self) -> None:
        self._close_parents()
        self._runner.release()

    def _load(self, generation: int) -> Load:
        origin = self._origin
        assert origin.recipe is not None
        return Load(
            generation=generation,
            recipe=origin.recipe,
            ini_path=origin.ini_path,
            section=origin.section,
            local_conf=origin.local_conf,
            listeners=tuple(
                (one.address, one.server_name, one.server_port, one.is_unix) for one in self._listeners.all
            ),
            sys_path=tuple(sys.path),
            python_path=os.environ.get("PYTHONPATH"),
            reloading=self._equipment.reloading,
            ini_has_loggers=origin.ini_has_loggers,
            cwd=origin.cwd,
        )

    def _descriptors(self) -> list[int]:
        equipment = self._equipment
        return [
            equipment.lifeline.read_fd,
            self.scoreboard.fd,
            equipment.reports.fileno(),
            *equipment.handoff.filenos(),
            *(listener.sock.fileno() for listener in self._listeners.all),
        ]

    def end_template(self, action: EndTemplate) -> None:
        self._tell(action.generation, End())

    def kill_template(self, action: KillTemplate) -> None:
        _kill(action.pid, signal.SIGKILL)

    def _tell(self, generation: int, message: Message) -> bool:
        channel = self.channels.get(generation)
        if channel is None:
            return False
        try:
            channel.send(message)
        except OSError:  # it has gone, or takes nothing in: its exit or its deadline will say so
            return False
        return True

    # -- workers ---------------------------------------------------------------------------------------------

    def fork_worker(self, action: ForkWorker) -> list[Event]:
        if self._tell(action.generation, Fork(action.slot, action.age)):
            return []
        return [ForkFailed(action.slot, "its template does not answer")]

    def signal_worker(self, action: SignalWorker) -> None:
        _kill(action.pid, getattr(signal, f"SIG{action.signal}"))

    def report_running(self, action: ReportRunning) -> None:
        reading = self.scoreboard.read(action.slot)
        if reading.pid != action.pid:
            return
        self._overdue.add(action.pid)
        for cell in reading.running:
            self._log.error("Worker %d (pid %d) is running %s", action.slot, action.pid, _describe(cell))

    def clear_slot(self, action: ClearSlot) -> None:
        reading = self.scoreboard.read(action.slot)
        if reading.pid == action.pid:
            self._answered += reading.requests
            self._report_lost(action, reading)
            self.scoreboard.clear(action.slot)
        self._hooks.call("child_exit", self._server(), self._hooks.worker(action.pid, action.age))

    def _report_lost(self, action: ClearSlot, reading: SlotReading) -> None:
        """What a worker was running when it ended, for whatever reason, nobody else can log any more."""
        self._lost += len(reading.running)
        how = "aborted" if self.scoreboard.stopping else "worker-died"
        if action.pid in self._overdue:
            self._overdue.discard(action.pid)
            how = "timeout"
        for cell in reading.running:
            if how == "worker-died":
                self._log.error("Worker %d (pid %d) ended within %s", action.slot, action.pid, _describe(cell))
            if self._equipment.logs.access is not None:
                self._equipment.logs.access.write(_unanswered(cell, reading, how))

    def announce_workers(self, action: AnnounceWorkers) -> None:
        self._workers = action.workers
        self._hooks.call("nworkers_changed", self._server(), action.workers, action.before)

    def announce_serving(self, action: AnnounceServing) -> None:
        addresses = ", ".join(listener.address for listener in self._listeners.all)
        self._log.info(
            "Serving %s on %s with %d %s (arbiter pid %d)", self._equipment.ini, addresses, action.workers,
            "worker" if action.workers == 1 else "workers", os.getpid(),
        )  # fmt: skip
        self._hooks.call("when_ready", self._server())

    def _server(self) -> Any:
        return self._hooks.server(self._listeners.all, workers=self._workers)

    # -- the rest --------------------------------------------------------------------------------------------

    def say(self, action: Say) -> None:
        getattr(self._log, action.level)("%s", action.sentence)

    def reopen_logs(self, action: ReopenLogs) -> None:
        self._equipment.logs.reopen()
        for generation in self.channels:
            self._tell(generation, ReopenLogsMessage())

    def watch_files(self, action: WatchFiles) -> None:
        fresh = tuple(path for path in action.paths if path not in self._watched)
        self._watched.update(fresh)
        if fresh and self._runner.watch_files is not None:
            self._runner.watch_files(fresh)

    def stop_listening(self, action: StopListening) -> None:
        # The flag first: a worker that is told to go must know whether it drains or retires.
        self.scoreboard.stopping = True
        self._listeners.stop_handshakes()

    def leave(self, action: Leave) -> None:
        self._listeners.close()
        path = self._equipment.settings.processes.pidfile
        if path is not None:
            pidfile.remove(path)
        self._hooks.call("on_exit", self._server())
        # Workers publish their counts a few times a second and when they end: what was finished during the stop can't
        # be told from what was finished just before.
        self._log.info(
            "Stopped (%s) after %.2f s: %d requests answered since the start, %d lost", action.reason, action.took_s,
            self._answered, self._lost,
        )  # fmt: skip
        leave.main(0)


def _kill(pid: int, number: int) -> None:
    # A worker's pid is reaped by its template a moment before we hear of it; the number will not be used
    # again so soon.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _describe(cell: CellReading) -> str:
    seconds = time.monotonic() - cell.started
    peer = f", for {cell.peer}" if cell.peer else ""
    return f'"{escaped(cell.request_line)}" since {seconds:.1f} s{peer}'


def _unanswered(cell: CellReading, reading: SlotReading, how: str) -> Served:
    return Served(
        peer=cell.peer,
        request_line=cell.request_line,
        environ=None,
        fields=(),
        status=0,
        status_text="",
        response_fields=[],
        body_bytes=0,
        duration_s=time.monotonic() - cell.started,
        wall_time=time.time(),
        pid=reading.pid,
        generation=reading.generation,
        how=how,
    )


_PERFORMERS: dict[type, Callable[[Performer, Any], list[Event] | None]] = {
    StartTemplate: Performer.start_template,
    EndTemplate: Performer.end_template,
    KillTemplate: Performer.kill_template,
    ForkWorker: Performer.fork_worker,
    SignalWorker: Performer.signal_worker,
    ReportRunning: Performer.report_running,
    ClearSlot: Performer.clear_slot,
    AnnounceWorkers: Performer.announce_workers,
    AnnounceServing: Performer.announce_serving,
    Say: Performer.say,
    ReopenLogs: Performer.reopen_logs,
    WatchFiles: Performer.watch_files,
    StopListening: Performer.stop_listening,
    Leave: Performer.leave,
}

"""An action to system calls: one short function an action, found by its type. Nothing is decided here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ops import backtraces, systemd
from ..process import leave
from ..process.hooks import Hooks
from ..process.identity import ini_name
from ..process.messages import End, Fork
from ..process.messages import ReopenLogs as ReopenLogsMessage
from . import own_logs
from .actions import (
    Action,
    AdoptGeneration,
    AnnounceReload,
    AnnounceServing,
    AnnounceWorkers,
    ClearSlot,
    Conclude,
    EndTemplate,
    EquipGeneration,
    ForgetGeneration,
    ForkWorker,
    KillSuccessor,
    KillTemplate,
    Leave,
    LetGo,
    ReopenLogs,
    ReportRunning,
    Say,
    ShareListening,
    SignalWorker,
    StartSuccessor,
    StartTemplate,
    StopListening,
    TakeOver,
    WatchFiles,
)  # fmt: skip
from .events import Event
from .generations import Generations, kill
from .given import Runner
from .obituary import Obituaries
from .succession import Succession

if TYPE_CHECKING:
    import logging


class Performer:
    """Owned by the arbiter's main thread."""

    def __init__(self, generations: Generations, succession: Succession, runner: Runner, hooks: Hooks) -> None:
        self.generations = generations
        self.succession = succession
        self.scoreboard = generations.equipment.scoreboard
        self._runner = runner
        self._hooks = hooks
        self._obituaries = Obituaries(self.scoreboard, lambda: generations.logs)
        # Wanted now, for hooks and for workers.
        self._workers = self.scoreboard.workers = generations.settings.processes.workers
        self._generation = 1  # that serves
        self._watched: set[str] = set()

    @property
    def _log(self) -> logging.Logger:
        return self.generations.logs.error

    def perform(self, action: Action) -> list[Event]:
        """Do it; what is known at once comes back as events. Raises whatever the system says."""
        return _PERFORMERS[type(action)](self, action) or []

    # -- generations -----------------------------------------------------------------------------------------

    def start_template(self, action: StartTemplate) -> list[Event]:
        return self.generations.start(action.generation)

    def equip_generation(self, action: EquipGeneration) -> list[Event]:
        return self.generations.equip(action.generation)

    def adopt_generation(self, action: AdoptGeneration) -> None:
        self.generations.adopt(action.generation, self.succession.not_shared)
        self._generation = action.generation
        self._hooks.adopt(self.generations.settings)

    def forget_generation(self, action: ForgetGeneration) -> None:
        self.generations.forget(action.generation)

    def let_go(self, action: LetGo) -> None:
        self.generations.let_go()

    def end_template(self, action: EndTemplate) -> None:
        self.generations.tell(action.generation, End())

    def kill_template(self, action: KillTemplate) -> None:
        kill(action.pid, _number(action.signal))

    def conclude(self, action: Conclude) -> None:
        self.generations.close_removed(action.generation)
        self._log.info(
            "Generation %d serves (%s): %s after %.2f s; the older ones have gone: %s",
            action.generation, action.why, _workers(action.workers), action.took_s, self._obituaries.summary(),
        )  # fmt: skip

    # -- workers ---------------------------------------------------------------------------------------------

    def fork_worker(self, action: ForkWorker) -> None:
        # A template that can't be told has gone, or hangs: its exit or its deadline will say so.
        self.generations.tell(action.generation, Fork(action.slot, action.age))

    def signal_worker(self, action: SignalWorker) -> None:
        if action.signal == "TERM" and action.slot and not self.scoreboard.stopping:
            self.scoreboard.dismiss(action.slot)
        kill(action.pid, _number(action.signal))

    def report_running(self, action: ReportRunning) -> None:
        self._obituaries.report_running(action.slot, action.pid)

    def clear_slot(self, action: ClearSlot) -> None:
        self._obituaries.write(action)
        self._hooks.call("child_exit", self._server(), self._hooks.worker(action.pid, action.age))

    def announce_workers(self, action: AnnounceWorkers) -> None:
        self._workers = self.scoreboard.workers = action.workers
        self._hooks.call("nworkers_changed", self._server(), action.workers, action.before)

    def announce_serving(self, action: AnnounceServing) -> None:
        self._log.info(
            "Serving %s on %s with %s (arbiter pid %d)",
            ini_name(self.generations.origin.ini_path), self._addresses(), _workers(action.workers), os.getpid(),
        )  # fmt: skip
        self._hooks.call("when_ready", self._server())
        self.succession.announce()

    def _addresses(self) -> str:
        return ", ".join(listener.address for listener in self.generations.listeners.all)

    def _server(self) -> Any:
        return self._hooks.server(self.generations.listeners.all, workers=self._workers)

    # -- the rest --------------------------------------------------------------------------------------------

    def announce_reload(self, action: AnnounceReload) -> None:
        self._hooks.call("on_reload", self._server())

    def say(self, action: Say) -> None:
        getattr(self._log, action.level)("%s", action.sentence)

    def reopen_logs(self, action: ReopenLogs) -> None:
        own_logs.reopen(self.generations.logs)
        for generation in self.generations.channels:
            self.generations.tell(generation, ReopenLogsMessage())

    def watch_files(self, action: WatchFiles) -> None:
        fresh = tuple(path for path in action.paths if path not in self._watched)
        self._watched.update(fresh)
        if fresh and self._runner.watch_files is not None:
            self._runner.watch_files(fresh)

    def stop_listening(self, action: StopListening) -> None:
        # The flag first: a worker that is told to go must know whether it drains or retires.
        self.scoreboard.stopping = True
        self.scoreboard.say_closing()
        systemd.notify("STOPPING=1")
        self.generations.listeners.stop_handshakes()

    def share_listening(self, action: ShareListening) -> list[Event]:
        # Before the workers are told: they are gone in no time when they have siblings elsewhere.
        if self.succession.other_goes_on():
            self.scoreboard.say_closing()
            self.succession.not_shared(self.generations.listeners).stop_handshakes()
        else:
            self._log.info("The other arbiter stops as well: this one finishes what has been accepted")
            self.stop_listening(StopListening())
        return self.succession.came_meanwhile()

    def leave(self, action: Leave) -> None:
        listeners = self.generations.listeners
        if action.succeeded:
            alone = self.succession.not_shared(listeners)
            alone.close()
            listeners.without(alone).let_go()
            self.succession.hand_over()
        else:
            listeners.close()
            self.succession.remove_pid_files()
        self._hooks.call("on_exit", self._server())
        self._log.info(
            "Stopped (%s) after %.2f s: generation %d, %s; %s",
            action.reason, action.took_s, self._generation, _workers(self._workers), self._obituaries.summary(),
        )  # fmt: skip
        leave.main(action.code)

    # -- succession ------------------------------------------------------------------------------------------

    def start_successor(self, action: StartSuccessor) -> list[Event]:
        self._hooks.call("pre_exec", self._server())
        return self.succession.start()

    def kill_successor(self, action: KillSuccessor) -> None:
        kill(action.pid)

    def take_over(self, action: TakeOver) -> None:
        self.succession.take_over()


def _number(name: str) -> signal.Signals:
    number: signal.Signals = backtraces.ASK if name == "ABRT" else getattr(signal, f"SIG{name}")
    return number


def _workers(number: int) -> str:
    return f"{number} {'worker' if number == 1 else 'workers'}"


_PERFORMERS: dict[type, Callable[[Performer, Any], list[Event] | None]] = {
    StartTemplate: Performer.start_template,
    EquipGeneration: Performer.equip_generation,
    AdoptGeneration: Performer.adopt_generation,
    ForgetGeneration: Performer.forget_generation,
    LetGo: Performer.let_go,
    EndTemplate: Performer.end_template,
    KillTemplate: Performer.kill_template,
    Conclude: Performer.conclude,
    ForkWorker: Performer.fork_worker,
    SignalWorker: Performer.signal_worker,
    ReportRunning: Performer.report_running,
    ClearSlot: Performer.clear_slot,
    AnnounceWorkers: Performer.announce_workers,
    AnnounceServing: Performer.announce_serving,
    AnnounceReload: Performer.announce_reload,
    Say: Performer.say,
    ReopenLogs: Performer.reopen_logs,
    WatchFiles: Performer.watch_files,
    StopListening: Performer.stop_listening,
    ShareListening: Performer.share_listening,
    StartSuccessor: Performer.start_successor,
    KillSuccessor: Performer.kill_successor,
    TakeOver: Performer.take_over,
    Leave: Performer.leave,
}

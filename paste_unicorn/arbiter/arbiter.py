"""The shell: waits for signals, messages and time, asks `decide`, hands the actions on."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ..process.channel import Channel
from ..process.handoff import HandoffPair
from ..process.hooks import Hooks
from ..process.identity import set_title
from ..process.lifeline import Lifeline
from ..process.messages import (
    Exited,
    Failed,
    Forked,
    ForkFailed,
    Imported,
    Loaded,
    Message,
    Origin,
    Ready,
    Stillborn,
    Tired,
    UnknownMessage,
)  # fmt: skip
from ..scoreboard import Scoreboard
from ..template.forking import Equipment
from . import events
from .decide import decide
from .events import Event, FilesImported, ProcessExited, SignalArrived, TimePassed
from .generations import Generations, is_there
from .given import Runner
from .listeners import OpenListeners
from .perform import Performer
from .rules.boot import begin
from .rules.overdue import next_look
from .signals import Signals, signal_name
from .state import Arbiter, SlotPhase
from .succession import Predecessor, Succession
from .weighing import Weighing

if TYPE_CHECKING:
    from ..ops.logs import Logs
    from ..settings.problems import Problem
    from ..settings.resolve import Settings

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>

# Signals that a process brings upon itself, by a fault or by `abort`.
_OWN_FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGSYS,
    signal.SIGTRAP,
}


@dataclass(frozen=True)
class Inheritance:
    """What only whoever starts the arbiter can know."""

    application: Callable[..., Any] | None  # None where only a template will have it
    settings: Settings
    logs: Logs
    hooks: Hooks
    listeners: OpenListeners
    origin: Origin
    runner: Runner
    ini: str  # what stands in titles
    told: tuple[Problem, ...] = ()  # what was said of the settings
    predecessor: Predecessor | None = None
    handoff: HandoffPair | None = None  # whose connections this one's workers take over


def run(given: Inheritance) -> NoReturn:
    """Be the arbiter from now on, until the process ends."""
    become_subreaper()
    set_title("arbiter", given.ini)
    lifeline = Lifeline.create()
    ours, theirs = Channel.pair()
    ours.sock.setblocking(False)
    signals = Signals()

    def close_parents() -> None:
        signals.close()
        ours.close()

    equipment = Equipment(
        application=given.application,
        settings=given.settings,
        logs=given.logs,
        listeners=given.listeners.all,
        scoreboard=Scoreboard.create(),
        lifeline=lifeline,
        reports=theirs.sock,
        handoff=given.handoff or HandoffPair.create(),
        ini=given.ini,
        reloading=given.runner.watch_files is not None,
    )
    generations = Generations(equipment, given.listeners, given.origin, given.runner, close_parents, given.told)
    generations.check_limits()
    succession = Succession(generations, given.runner, given.predecessor)
    performer = Performer(generations, succession, given.runner, given.hooks)
    state, actions = begin(
        generations.plan,
        time.monotonic(),
        has_predecessor=given.predecessor is not None,
        forks_first=given.application is not None,
    )
    Shell(performer, signals, ours).run(state, actions)


class Shell:
    """Owned by the arbiter's main thread. The state is changed in `_handle` alone."""

    def __init__(self, performer: Performer, signals: Signals, reports: Channel) -> None:
        self._performer = performer
        self._generations = performer.generations
        self._succession = performer.succession
        self._signals = signals
        self._reports = reports  # of all workers
        self._log = self._generations.logs.error
        self._scoreboard = performer.scoreboard
        self._events: deque[Event] = deque()
        self._reasons: dict[int, str] = {}  # why workers end before they are ready, by pid, until they are reaped
        self._state: Arbiter
        self._looked_at = time.monotonic()  # for what may be overdue
        self._weighing = Weighing(lambda: self._generations.logs.error)

    def run(self, state: Arbiter, actions: tuple[Any, ...]) -> NoReturn:
        """Go on from this state, for ever."""
        self._state = state
        self._generations.watch_queues(self._looked_at)  # from now on
        self._perform(actions)
        while True:
            try:
                self._one_round()
            except BaseException:
                # Whatever it was, SystemExit in a handler of logs too: the workers serve on; an arbiter that ended
                # would take them all with it.
                self._log.exception("A fault in the arbiter; it goes on")
                time.sleep(0.1)

    def _one_round(self) -> None:
        while self._events:
            self._handle(self._events.popleft())
        look_at = next_look(self._state, self._looked_at)
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._reports, select.POLLIN)
        succession = self._succession
        for channel in (*self._generations.channels.values(), succession.predecessor, succession.successor):
            if channel is not None:
                poll.register(channel, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(max(0.0, look_at - time.monotonic()) * 1000)}
        child_ended = False
        if self._signals.fileno() in ready:
            arrived, child_ended = self._signals.arrived()
            self._events += (SignalArrived(one) for one in arrived)
        if self._reports.fileno() in ready:
            self._read_reports()
        for generation, channel in list(self._generations.channels.items()):
            if channel.fileno() in ready:
                self._read_template(generation, channel)
        if succession.successor is not None and succession.successor.fileno() in ready:
            self._events += succession.read_successor()
        if succession.predecessor is not None and succession.predecessor.fileno() in ready:
            self._events += succession.read_predecessor()
        is_due = time.monotonic() >= look_at
        if is_due:
            self._look_for_lost()
        if child_ended:
            self._reap()
        if is_due:
            self._looked_at = time.monotonic()
            self._events.append(TimePassed(self._progress(), self._weighing.weigh(self._state, self._looked_at)))
            self._generations.watch_queues(self._looked_at)

    def _handle(self, event: Event) -> None:
        try:
            self._state, actions = decide(self._state, event, time.monotonic())
        except Exception:
            self._log.exception("A fault in deciding about %r; nothing is changed by it", event)
            return
        self._perform(actions)

    def _perform(self, actions: tuple[Any, ...]) -> None:
        for action in actions:
            try:
                self._events += self._performer.perform(action)
            except BaseException:
                self._log.exception("Could not do %r", action)

    # -- what arrives ----------------------------------------------------------------------------------------

    def _read_reports(self) -> None:
        while True:
            try:
                received = self._reports.receive()
            except BlockingIOError:
                return
            except UnknownMessage as problem:
                self._log.error("A worker's report is %s", problem)
                continue
            if received is None:
                return
            match received[0]:
                case Ready(slot, generation, pid):
                    self._events.append(events.WorkerReady(slot, generation, pid))
                case Stillborn(pid, reason):
                    self._reasons[pid] = reason
                case Tired(slot, pid, why):
                    self._events.append(events.WorkerTired(slot, pid, why))
                case Imported(paths):
                    self._events.append(FilesImported(paths))

    def _read_template(self, generation: int, channel: Channel) -> None:
        while True:
            try:
                received = channel.receive()
            except (BlockingIOError, UnknownMessage):
                return
            if received is None:
                # Its exit follows, as a child's.
                del self._generations.channels[generation]
                channel.close()
                return
            self._take(generation, received[0])

    def _take(self, generation: int, message: Message) -> None:
        match message:
            case Loaded():
                self._events.append(self._generations.loaded(generation, message))
            case Failed(reason):
                self._events.append(events.TemplateFailed(generation, reason))
            case Forked(slot, pid):
                self._events.append(events.WorkerForked(slot, generation, pid))
            case ForkFailed(slot, reason):
                self._events.append(events.ForkFailed(slot, reason))
            case Exited(_, pid, status):
                self._exited(pid, status)

    def _reap(self) -> None:
        """Our own children, and the orphans of templates that are gone; also what the application left
        behind.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            generation = self._state.template_of_pid(pid)
            if generation is not None and generation.number in self._generations.channels:
                # What it said before it ended comes first.
                self._read_template(generation.number, self._generations.channels[generation.number])
            self._exited(pid, status)

    def _look_for_lost(self) -> None:
        """Workers whose end nobody will report: their template knew of it, and died before it could say so."""
        living = {generation.number for generation in self._state.templates_alive()}
        for slot in self._state.slots:
            if slot.pid and slot.generation not in living and not is_there(slot.pid):
                self._read_reports()
                how = "has ended, and its template before it could say how"
                self._events.append(ProcessExited(slot.pid, how, False, False, self._has_worked(slot.pid)))

    def _exited(self, pid: int, status: int) -> None:
        # A worker that said that it was ready and then ended must be heard in this order.
        self._read_reports()
        reason = self._reasons.pop(pid, "")
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            name = signal_name(number)
            how = f"was killed by {name}"
            self._events.append(ProcessExited(pid, how, False, number in _OWN_FAULTS, self._has_worked(pid), name))
        else:
            code = os.waitstatus_to_exitcode(status)
            how = "has ended" if code == 0 else f"has ended with exit code {code}"
            self._events.append(ProcessExited(pid, how, code == 0, True, self._has_worked(pid), reason=reason))

    def _has_worked(self, pid: int) -> bool:
        slot = self._state.slot_of_pid(pid)
        reading = self._scoreboard.read(slot.number) if slot is not None else None
        return reading is not None and reading.pid == pid and bool(reading.running or reading.requests)

    def _progress(self) -> dict[int, float]:
        """When each ready worker last made progress."""
        told = ((slot, *self._scoreboard.progress(slot.number)) for slot in self._state.in_phase(SlotPhase.READY))
        return {slot.number: alive_at for slot, pid, alive_at in told if pid == slot.pid}


def become_subreaper() -> None:
    """Orphans of a template that died become our children, and are reaped with their status (`man 2 prctl`)."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

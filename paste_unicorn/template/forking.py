"""The template at work: waits for orders, forks workers into slots, reaps them, reports."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from select import POLLIN, poll
from types import FrameType
from typing import Any, NoReturn

from ..ops import backtraces, oom
from ..ops.logs import Logs
from ..process import leave, patching, signal_stack
from ..process.channel import Channel
from ..process.fork import fork, keep_private, unblock_signals
from ..process.handoff import HandoffPair
from ..process.hooks import Hooks
from ..process.identity import become_user, set_title
from ..process.lifeline import Lifeline
from ..process.listener import Listener
from ..process.messages import (
    End,
    Equip,
    Exited,
    Failed,
    Fork,
    Forked,
    ForkFailed,
    Loaded,
    ReopenLogs,
    shortened,
)  # fmt: skip
from ..scoreboard import Scoreboard
from ..settings.resolve import Settings
from ..workers import lifecycle
from .loading import LoadProblem
from .warming import warm_up

Socket = socket.socket  # bound, as `poll` above, before a worker class may replace it

_NOT_OURS = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
    signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip


@dataclass(frozen=True)
class Equipment:
    """What a template holds, and gives to each worker at birth."""

    application: Callable[..., Any] | None  # None where only an exec'ed template will have it
    settings: Settings
    logs: Logs
    listeners: tuple[Listener, ...]
    scoreboard: Scoreboard
    lifeline: Lifeline
    reports: socket.socket
    handoff: HandoffPair
    ini: str  # what stands in titles
    reloading: bool  # a reloader of the runner wants to know which files are imported


class Template:
    """Owned by the template's only thread of ours. `serve` never returns."""

    def __init__(self, equipment: Equipment, generation: int, channel: Channel) -> None:
        self._equipment = equipment
        self._generation = generation
        self._channel = channel  # to the arbiter; blocking, since the arbiter always reads
        self._children: dict[int, int] = {}  # pid to slot, of workers that were not reaped yet
        self._hooks = Hooks(equipment.settings, equipment.logs.error)
        self._signals, self._wakeup = os.pipe()  # becomes readable when a child has ended

    def serve(self, local_conf: dict[str, str] | None) -> NoReturn:
        """Warm up, say that all is loaded, with the settings that were read here, then obey orders until the end."""
        for end in (self._signals, self._wakeup):
            os.set_blocking(end, False)
        backtraces.arm(self._equipment.logs.error_fd)  # a warm-up may hang, or a hook
        signal_stack.widen()
        self._take_signals()
        self._keep_private()
        self._warm_up()
        self._take_signals()
        # Objects that live as long as the application go where the collector doesn't look any more: it would
        # write into their headers, and so copy the pages that workers share.
        gc.collect()
        gc.freeze()
        # The collector puts off full collections until a quarter of what the last one left is new. That was the
        # application; workers would never get there and keep their garbage. This one leaves nothing.
        gc.collect()
        self._channel.send(Loaded(local_conf))
        waiting = poll()
        waiting.register(self._channel, POLLIN)
        waiting.register(self._signals, POLLIN)
        while True:
            ready = {fd for fd, _ in waiting.poll()}
            if self._signals in ready:
                self._drain_signals()
                self._reap()
            if self._channel.fileno() in ready:
                self._obey()

    def _take_signals(self) -> None:
        """Once more whenever code of the application has run, which may have taken or blocked them: event loops do."""
        for number in _NOT_OURS:
            # The arbiter alone says what happens. Not SIG_IGN, which the application's subprocesses would
            # inherit.
            signal.signal(number, _do_nothing)
        signal.signal(signal.SIGCHLD, _do_nothing)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        unblock_signals()
        worker_class = self._equipment.settings.processes.worker_class
        patching.give_up_children(worker_class)
        patching.give_up_hub(worker_class)

    def _warm_up(self) -> None:
        """A warm-up that fails is a load that failed."""
        equipment = self._equipment
        assert equipment.application is not None
        try:
            warm_up(equipment.application, equipment.settings, equipment.logs)
        except LoadProblem as problem:
            reason = str(problem)
        except Exception:  # a border: the application's code ran
            reason = traceback.format_exc()
        else:
            return
        self._channel.send(Failed(shortened(reason)))
        leave.child(1)

    def _obey(self) -> None:
        received = self._channel.receive()
        message, fds = received if received is not None else (End(), [])
        match message:
            case Equip(listeners):
                self._equip(listeners, fds)
            case Fork():
                self._fork(message)
            case ReopenLogs():
                self._equipment.logs.reopen()
            case End():
                leave.child(0)

    def _equip(self, described: tuple[tuple[str, str, str, bool], ...], fds: list[int]) -> None:
        listeners = tuple(
            Listener(sock, address, sock.family, name, port, is_unix)
            for sock, (address, name, port, is_unix) in zip((Socket(fileno=fd) for fd in fds), described, strict=True)
        )
        self._equipment = replace(self._equipment, listeners=listeners)
        self._keep_private()

    def _keep_private(self) -> None:
        keep_private(
            [
                self._channel.fileno(),
                self._equipment.reports.fileno(),
                *self._equipment.handoff.filenos(),
                *(one.sock.fileno() for one in self._equipment.listeners),
            ]
        )

    def _fork(self, order: Fork) -> None:
        hooks, listeners = self._hooks, self._equipment.listeners
        if hooks.get("pre_fork") is not None:
            arbiter_pid = self._equipment.lifeline.arbiter_pid
            hooks.call("pre_fork", hooks.server(listeners, arbiter_pid), hooks.worker(0, order.age))
            self._take_signals()
        try:
            pid = fork()
        except OSError as error:
            self._channel.send(ForkFailed(order.slot, error.strerror or str(error)))
            return
        if pid == 0:
            self._become_worker(order)
        self._children[pid] = order.slot
        self._channel.send(Forked(order.slot, pid))

    def _become_worker(self, order: Fork) -> NoReturn:
        equipment = self._equipment
        assert equipment.application is not None
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGQUIT):
                signal.signal(number, _leave_at_once)  # until the worker's own handlers stand
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._channel.close()
            os.close(self._signals)
            os.close(self._wakeup)
            equipment.lifeline.let_go()
            equipment.lifeline.arm()
            keep_private(
                [
                    equipment.reports.fileno(),
                    *equipment.handoff.filenos(),
                    *(one.sock.fileno() for one in equipment.listeners),
                ]
            )
            oom.be_taken_first()
            become_user(equipment.settings.processes)
            patching.after_fork(equipment.settings.processes.worker_class)
            set_title(f"worker {order.slot}", equipment.ini, self._generation)
            unblock_signals()
            lifecycle.run(
                lifecycle.WorkerOrders(
                    slot=order.slot,
                    generation=self._generation,
                    age=order.age,
                    application=equipment.application,
                    settings=equipment.settings,
                    listeners=equipment.listeners,
                    scoreboard=equipment.scoreboard,
                    reports=equipment.reports,
                    handoff=equipment.handoff,
                    lifeline=equipment.lifeline,
                    logs=equipment.logs,
                    reloading=equipment.reloading,
                )
            )
        except BaseException:  # it must never return into the template, nor into the runner's frames below
            lifecycle.report_stillborn(equipment.reports, equipment.logs, order.slot)
        leave.child(lifecycle.EXIT_NOT_BOOTED)

    def _reap(self) -> None:
        # One by one: what the application's own threads started is theirs to wait for.
        for pid, slot in list(self._children.items()):
            try:
                gone, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # the application waited for it; how it ended is lost
                gone, status = pid, 0
            if gone:
                del self._children[pid]
                self._channel.send(Exited(slot, pid, status))

    def _drain_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._signals, 4096):
                pass


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """A signal that does not concern a template."""


def _leave_at_once(number: int, frame: FrameType | None) -> NoReturn:
    leave.child(0)

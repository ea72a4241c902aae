"""A new arbiter beside an old one, on the same sockets: how it is started, and who has the pid files.

Never by the runner's command line, which would daemonize again, rewrite the pid file and close our descriptors.
`__main__.py` is what the new one does.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from dataclasses import dataclass

from ..ops import systemd
from ..process.channel import Channel
from ..process.messages import Failed, GoesOn, Message, Serving, Stopping, Succeed, UnknownMessage
from ..template.starting import exec_module
from . import pidfile
from .events import Event, PredecessorGone, SuccessorFailed, SuccessorReady, SuccessorStarted
from .generations import Generations
from .given import Runner
from .listeners import OpenListeners

ANSWER_S = 1.0  # of the other arbiter, which is idle as a rule


@dataclass(frozen=True)
class Predecessor:
    """The arbiter that started this one beside itself."""

    channel: Channel
    listeners: OpenListeners  # that it has


class Succession:
    """Both sides of it: an arbiter may have been started by one and start the next. Owned by its main thread."""

    def __init__(self, generations: Generations, runner: Runner, predecessor: Predecessor | None) -> None:
        self._generations = generations
        self._runner = runner
        self._is_heir = predecessor is not None
        self.predecessor = predecessor.channel if predecessor is not None else None
        self.successor: Channel | None = None
        # What the other arbiter has; of one that is not ready yet, what it was given.
        self._shared = predecessor.listeners if predecessor is not None else OpenListeners(())
        self._successor_pid = 0
        self._is_stopping = False
        self._came_meanwhile: list[Message] = []  # from the other one, while we waited for its answer

    # -- the old one -----------------------------------------------------------------------------------------

    def start(self) -> list[Event]:
        """Start a new arbiter; the sockets travel with the first message."""
        generations = self._generations
        origin = generations.whence()
        message = Succeed(
            origin=origin,
            listeners=generations.listeners.described(),
            pid_files=self._pid_files(),
            python_path=origin.environ.get("PYTHONPATH"),
        )
        fds = [
            *generations.equipment.handoff.filenos(),
            *(one.sock.fileno() for one in generations.listeners.all),
        ]
        try:
            pid, self.successor = exec_module("paste_unicorn.arbiter", message, fds, origin.environ)
        except OSError as error:
            return [SuccessorFailed(error.strerror or str(error))]
        self._successor_pid = pid
        self._shared = generations.listeners
        return [SuccessorStarted(pid)]

    def read_successor(self) -> list[Event]:
        """What the new arbiter says; its end follows as a child's."""
        assert self.successor is not None
        try:
            received = self.successor.receive()
        except (BlockingIOError, UnknownMessage):
            return []
        if received is None:
            self.successor.close()
            self.successor = None
            return []
        return self._take(self.successor, received[0])

    def hand_over(self) -> None:
        """At the end: whoever looks for the arbiter finds the new one."""
        if self.successor is None:
            return
        for path in self._pid_files():
            pidfile.hand_over(path, self._successor_pid)
        self._runner.keep_pid_files()
        systemd.notify(f"MAINPID={self._successor_pid}\nREADY=1")

    # -- the new one -----------------------------------------------------------------------------------------

    def announce(self) -> None:
        """All workers are ready."""
        systemd.notify("READY=1")
        if self.predecessor is not None:
            keeps = self._generations.listeners.positions_in(self._shared)
            self.predecessor.send(Serving(os.getpid(), keeps))

    def read_predecessor(self) -> list[Event]:
        """What the old arbiter says; that it has ended shows."""
        assert self.predecessor is not None
        try:
            received = self.predecessor.receive()
        except (BlockingIOError, UnknownMessage):
            return []
        if received is not None:
            return self._take(self.predecessor, received[0])
        self.predecessor.close()
        self.predecessor = None
        return [PredecessorGone()]

    # -- both ------------------------------------------------------------------------------------------------

    def _take(self, other: Channel, message: Message) -> list[Event]:
        match message:
            case Serving(pid, keeps):
                self._shared = self._shared.at(keeps)
                return [SuccessorReady(pid)]
            case Failed(reason):
                return [SuccessorFailed(reason)]
            case Stopping():
                with contextlib.suppress(OSError):
                    other.send(Stopping() if self._is_stopping else GoesOn())
        return []

    def came_meanwhile(self) -> list[Event]:
        """What the other one said while its answer was waited for."""
        other = self.predecessor or self.successor
        came, self._came_meanwhile = self._came_meanwhile, []
        return [event for one in came if other is not None for event in self._take(other, one)]

    def other_goes_on(self) -> bool:
        """When this one is about to stop: asks the other one whether it goes on with the sockets.

        A service manager may send TERM to both at once, and each would leave what waits in the queues to the other.
        One that does not answer is taken to go on.
        """
        self._is_stopping = True
        other = self.predecessor or self.successor
        if other is None:
            return False
        try:
            other.send(Stopping())
        except OSError:  # it has gone
            return False
        poll = select.poll()
        poll.register(other, select.POLLIN)
        deadline = time.monotonic() + ANSWER_S
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            try:
                received = other.receive()
            except (BlockingIOError, UnknownMessage):
                continue
            if received is None or isinstance(received[0], Stopping):
                return False
            if isinstance(received[0], GoesOn):
                return True
            self._came_meanwhile.append(received[0])
        return True

    def not_shared(self, listeners: OpenListeners) -> OpenListeners:
        """Those that no other arbiter has: what is in their queues has nobody else."""
        is_alone = self.predecessor is None and self.successor is None
        return listeners if is_alone else listeners.without(self._shared)

    def take_over(self) -> None:
        """The old arbiter has ended, perhaps without a word."""
        for path in self._pid_files():
            pidfile.take_over(path)

    def remove_pid_files(self) -> None:
        """At the end without a successor. What the runner wrote, the runner removes, where it started us."""
        for path in self._pid_files() if self._is_heir else self._own_pid_files():
            pidfile.remove(path)

    def _own_pid_files(self) -> tuple[str, ...]:
        path = self._generations.settings.processes.pidfile
        return (os.path.abspath(path),) if path is not None else ()

    def _pid_files(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._own_pid_files(), *self._runner.pid_files)))

"""Who may be killed, and when: everybody is asked first, and given the time that the settings give."""

from __future__ import annotations

from paste_unicorn.arbiter import actions as do
from paste_unicorn.arbiter import events as on
from paste_unicorn.arbiter.actions import Action
from paste_unicorn.arbiter.events import Event
from paste_unicorn.arbiter.state import Arbiter, Phase, Policy, SlotPhase

from .books import RUNNING, Books, Broken

_ABORT_S = 1.0  # between tracebacks and KILL
_EPSILON_S = 1e-6


class Force:
    """Owned by one history."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.killed: set[int] = set()  # workers
        self.killed_templates: set[int] = set()  # generations
        self._asked_at: dict[int, float] = {}  # to go
        self._aborted_at: dict[int, float] = {}
        self._stopped_at = 0.0

    def check(self, before: Arbiter, event: Event, actions: tuple[Action, ...], after: Arbiter) -> None:
        """All that a step does to workers. Raises Broken."""
        now = self.books.world.now
        if before.phase is not after.phase and after.phase not in RUNNING:
            self._stopped_at = now
        for action in actions:
            if isinstance(action, do.KillTemplate) and action.signal == "KILL":
                self.killed_templates.add(action.generation)
            if not isinstance(action, do.SignalWorker):
                continue
            match action.signal:
                case "TERM":
                    self._asked_at.setdefault(action.pid, now)
                case "QUIT":
                    if after.phase is not Phase.QUITTING:
                        raise Broken("gives time", f"{action} while the arbiter is {after.phase.value}")
                    self._asked_at.setdefault(action.pid, now)
                case "ABRT":
                    self._abort(before, event, action, actions)
                    self._aborted_at[action.pid] = now
                case "KILL":
                    self._kill(before, action, actions, after)
                    self.killed.add(action.pid)

    def _abort(self, before: Arbiter, event: Event, action: do.SignalWorker, actions: tuple[Action, ...]) -> None:
        now, slot = self.books.world.now, before.slot_of_pid(action.pid)
        if slot is None or not isinstance(event, on.TimePassed):
            raise Broken("gives time", f"{action} at {event}")
        policy = before.policy_of(slot)
        if slot.phase is SlotPhase.STARTING:
            if now - slot.since <= policy.boot_timeout_s:
                raise Broken("gives time", f"{action} after {now - slot.since:.3f} s of booting")
            return
        alive_at = event.alive_at.get(slot.number)
        if slot.phase is not SlotPhase.READY or not policy.timeout_s or alive_at is None:
            raise Broken("gives time", f"{action}, but nothing is known against {slot}")
        if now - alive_at <= policy.timeout_s:
            raise Broken("gives time", f"{action} {now - alive_at:.3f} s after it made progress")
        _reported(action, actions)

    def _kill(self, before: Arbiter, action: do.SignalWorker, actions: tuple[Action, ...], after: Arbiter) -> None:
        now, pid = self.books.world.now, action.pid
        slot = before.slot_of_pid(pid)
        policy = before.policy_of(slot) if slot is not None else before.policy
        if slot is not None and slot.phase is SlotPhase.STARTING and now - slot.since > policy.boot_timeout_s:
            return
        if pid in self._aborted_at and now - self._aborted_at[pid] >= _ABORT_S - _EPSILON_S:
            return
        asked_at = self._asked_at.get(pid, now)
        if now - asked_at < policy.graceful_s - _EPSILON_S and not self._stop_is_over(after):
            raise Broken("gives time", f"{action} {now - asked_at:.3f} s after it was asked to go")
        _reported(action, actions)

    def _stop_is_over(self, after: Arbiter) -> bool:
        if after.phase in RUNNING:
            return False
        allowed_s = _allowed_s(after.policy, after.phase)
        return self.books.world.now >= self._stopped_at + allowed_s - _EPSILON_S

    def check_leave(self) -> None:
        """Whoever is left behind was killed first. Raises Broken."""
        if left := set(self.books.known) - self.killed:
            raise Broken("a stop waits for everybody", f"the workers with pids {left} are there, not even killed")
        living = set(self.books.world.templates) - self.books.templates_gone
        if left := living - self.killed_templates:
            raise Broken("a stop waits for everybody", f"the templates of {left} are there, not even killed")


def _allowed_s(policy: Policy, phase: Phase) -> float:
    return policy.quick_s if phase is Phase.QUITTING else policy.stop_s


def _reported(action: do.SignalWorker, actions: tuple[Action, ...]) -> None:
    if not any(isinstance(one, do.ReportRunning) and one.pid == action.pid for one in actions):
        raise Broken("reports what is ended", f"{action}, and nothing was said of what it was doing")

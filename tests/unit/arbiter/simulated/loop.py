"""The arbiter's loop over the simulated kernel: the same order of reading as `arbiter/arbiter.py`.

Each channel is first in, first out; what comes through different ones may be seen in any order, since more may arrive
between the poll and the reading. What the real loop takes care of is kept: a worker's report is read before its exit,
and what a template said before that of the template.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from paste_unicorn.arbiter import decide as deciding
from paste_unicorn.arbiter.actions import Action
from paste_unicorn.arbiter.events import Event, PredecessorGone, ProcessExited, SignalArrived, TimePassed
from paste_unicorn.arbiter.rules import overdue
from paste_unicorn.arbiter.state import Arbiter, SlotPhase

from .processes import END_OF_FILE, KILLED, Ending, Exited, Template
from .world import World

_LATE, _AGAIN = 50, 51  # kinds of draw
_LOOK_S = 0.5
_CALM_S = 8.0


class Watcher(Protocol):
    def step(self, before: Arbiter, event: Event, actions: tuple[Action, ...], after: Arbiter) -> None: ...


class Loop:
    """Owned by one history. The state is changed in `_handle` alone."""

    def __init__(self, world: World, watcher: Watcher, state: Arbiter, actions: tuple[Action, ...]) -> None:
        self.world = world
        self.state = state
        self.steps = 0
        self._watcher = watcher
        self._events: deque[Event] = deque()
        self._looked_at = 0.0
        self._gap_s = _LOOK_S
        self._perform(actions)

    def run(self, until: float) -> None:
        """Until then, or the arbiter has left."""
        while self.world.now < until and not self.world.is_over:
            self._one_round(until)

    def _one_round(self, until: float) -> None:
        while self._events:
            self._handle(self._events.popleft())
            if self.world.is_over:
                return
        world = self.world
        look_at = max(overdue.next_look(self.state, self._looked_at), self._looked_at + self._gap_s)
        if not world.has_news:
            world.go_on(min(look_at, world.next_at, until))
        self._dawdle(_LATE)
        ready = [number for number, template in world.channels.items() if template.reports]
        signals, reports = bool(world.signals or world.child_ended), bool(world.worker_reports)
        successor, predecessor = bool(world.successor_reports), world.predecessor_ended
        self._dawdle(_AGAIN)
        child_ended = False
        if signals:
            self._events += (SignalArrived(signal) for signal in world.signals)
            child_ended = world.child_ended
            world.signals.clear()
            world.child_ended = False
        if reports:
            self._read_reports()
        for number in ready:
            self._read_template(world.channels[number])
        if successor:
            self._events += world.successor_reports
            world.successor_reports.clear()
        if predecessor:
            world.predecessor_ended = False
            self._events.append(PredecessorGone())
        is_due = world.now >= look_at
        if is_due:
            self._look_for_lost()
        if child_ended:
            self._reap()
        if is_due:
            self._looked_at = world.now
            self._events.append(self._look())

    @property
    def is_idle(self) -> bool:
        """Whether it has heard all that there is to hear."""
        return not self._events and not self.world.has_news

    def _dawdle(self, kind: int) -> None:
        """The machine is busy; more happens meanwhile."""
        late = self.world.draw_next(kind)
        if late > 0.8:
            self.world.go_on(self.world.now + (late - 0.8) ** 2)

    def _handle(self, event: Event) -> None:
        before = self.state
        self.steps += 1
        self.state, actions = deciding.decide(before, event, self.world.now)
        # Where nothing goes on, it is enough to look now and then: a look may always be late.
        calm = type(event) is TimePassed and not actions and self.state == before
        self._gap_s = min(2 * self._gap_s, _CALM_S) if calm else _LOOK_S
        self._watcher.step(before, event, actions, self.state)
        self._perform(actions)

    def _perform(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            self._events += self.world.perform(action)

    # -- what arrives ----------------------------------------------------------------------------------------

    def _read_reports(self) -> None:
        self._events += self.world.worker_reports
        self.world.worker_reports.clear()

    def _read_template(self, template: Template) -> None:
        while template.reports:
            report = template.reports.popleft()
            if report == END_OF_FILE:
                del self.world.channels[template.generation]
            elif isinstance(report, Exited):
                self._exited(report.pid, report.ending)
            else:
                assert not isinstance(report, str)
                self._events.append(report)

    def _reap(self) -> None:
        world = self.world
        while world.zombies:
            zombie = world.zombies.popleft()
            zombie.is_reaped = True
            if isinstance(zombie, Template) and zombie.generation in world.channels:
                self._read_template(zombie)
            assert zombie.ending is not None
            self._exited(zombie.pid, zombie.ending)

    def _exited(self, pid: int, ending: Ending) -> None:
        self._read_reports()
        slot = self.state.slot_of_pid(pid)
        row = self.world.rows.get(slot.number) if slot is not None else None
        has_worked = row is not None and row.pid == pid and row.has_worked
        self._events.append(ProcessExited(pid, ending.how, ending.clean, ending.by_itself, has_worked))

    def _look_for_lost(self) -> None:
        """A template that died may have reaped a worker and not said so."""
        living = {one.number for one in self.state.templates_alive()}
        for slot in self.state.slots:
            if slot.pid and slot.generation not in living and not self.world.exists(slot.pid):
                self._exited(slot.pid, Ending("has ended with its template", KILLED.clean, KILLED.by_itself))

    def _look(self) -> TimePassed:
        alive_at, memory = {}, {}
        for slot in self.state.in_phase(SlotPhase.READY):
            row = self.world.rows.get(slot.number)
            if row is not None and row.pid == slot.pid:
                alive_at[slot.number] = row.alive_at
                if self.state.policy_of(slot).most_memory:
                    memory[slot.number] = row.memory
        return TimePassed(alive_at, memory)

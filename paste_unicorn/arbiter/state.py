"""What the arbiter knows: frozen values, changed only by making new ones.

A generation has two independent states. Its template's is stored; its workers' is read off the slots. A slot
that isn't listed is empty. All times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any


class Phase(Enum):
    """The arbiter's own phase: the columns of the table."""

    STARTING = "starting"  # not all workers have been ready yet
    SERVING = "serving"
    STOPPING = "stopping"  # what was accepted is finished
    QUITTING = "quitting"  # nothing is finished


class TemplatePhase(Enum):
    LOADING = "loading"
    READY = "ready"
    GONE = "gone"


class SlotPhase(Enum):
    ORDERED = "ordered"  # its template was told to fork
    STARTING = "starting"  # forked, not ready
    READY = "ready"
    RETIRING = "retiring"  # told to finish and go
    ABORTING = "aborting"  # stuck: told to print its tracebacks
    KILLED = "killed"


FILLED = frozenset({SlotPhase.ORDERED, SlotPhase.STARTING, SlotPhase.READY})
"""What counts as one of the workers that are wanted."""


class StopStage(Enum):
    """How far a stop has got, each with a deadline after which the next begins."""

    ASKED = "asked"
    WORKERS_KILLED = "workers killed"
    TEMPLATES_KILLED = "templates killed"


@dataclass(frozen=True)
class Policy:
    """What the settings say, as far as a decision needs it; seconds, 0 means never for `timeout_s`."""

    timeout_s: float = 30.0
    graceful_s: float = 30.0  # how long a worker may take to retire
    stop_s: float = 30.0  # how long a graceful stop may take: less under a reloader
    quick_s: float = 1.0  # the same for a quick stop
    boot_timeout_s: float = 60.0
    can_load_again: bool = True  # whether it is known where the application came from
    most_workers: int = 1000


@dataclass(frozen=True)
class Backoff:
    """Attempts that fail come more and more slowly."""

    first_s: float
    most_s: float
    failures: int = 0
    failed_at: float = 0.0
    not_before: float = 0.0

    def after_failure(self, now: float) -> Backoff:
        """One more; failures that come together (all workers of one attempt) count once."""
        if self.failures and now < self.not_before:
            return self
        delay_s = min(self.first_s * 2.0**self.failures, self.most_s)
        return replace(self, failures=self.failures + 1, failed_at=now, not_before=now + delay_s)

    def after_success(self) -> Backoff:
        return Backoff(self.first_s, self.most_s)


@dataclass(frozen=True)
class Generation:
    """A template, and what was forked from it."""

    number: int
    template: TemplatePhase
    since: float  # since when in this phase
    pid: int = 0  # 0: not known yet


@dataclass(frozen=True)
class Suspicion:
    """A worker seemed overdue: the progress that was seen, and since when."""

    alive_at: float
    since: float


@dataclass(frozen=True)
class Slot:
    """A worker, from the order to fork it until it has been reaped."""

    number: int  # its row of the scoreboard
    generation: int
    age: int  # the how manieth worker of this arbiter
    phase: SlotPhase
    since: float
    pid: int = 0
    suspicion: Suspicion | None = None

    def entering(self, phase: SlotPhase, now: float, **changes: Any) -> Slot:
        return replace(self, phase=phase, since=now, **changes)


@dataclass(frozen=True)
class Stop:
    """A stop under way."""

    reason: str
    since: float
    stage: StopStage
    deadline: float
    killed: int = 0


@dataclass(frozen=True)
class Arbiter:
    """Everything. `generations` are in order, oldest first; `slots` by number."""

    phase: Phase
    wanted: int
    policy: Policy
    generations: tuple[Generation, ...] = ()
    slots: tuple[Slot, ...] = ()
    last_generation: int = 0
    last_age: int = 0
    births: Backoff = field(default=Backoff(first_s=0.1, most_s=30.0))
    loads: Backoff = field(default=Backoff(first_s=0.5, most_s=60.0))
    stop: Stop | None = None

    def slot(self, number: int) -> Slot | None:
        return next((slot for slot in self.slots if slot.number == number), None)

    def slot_of_pid(self, pid: int) -> Slot | None:
        return next((slot for slot in self.slots if slot.pid == pid), None) if pid else None

    def filled(self) -> tuple[Slot, ...]:
        """The slots that count as wanted workers."""
        return tuple(slot for slot in self.slots if slot.phase in FILLED)

    def in_phase(self, *phases: SlotPhase) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.phase in phases)

    def free_numbers(self) -> Iterable[int]:
        """Numbers of empty slots, lowest first."""
        taken = {slot.number for slot in self.slots}
        return (number for number in range(1, self.policy.most_workers + 24) if number not in taken)

    def with_slot(self, slot: Slot) -> Arbiter:
        others = tuple(other for other in self.slots if other.number != slot.number)
        return replace(self, slots=tuple(sorted((*others, slot), key=lambda one: one.number)))

    def without_slot(self, number: int) -> Arbiter:
        return replace(self, slots=tuple(slot for slot in self.slots if slot.number != number))

    def generation(self, number: int) -> Generation | None:
        return next((one for one in self.generations if one.number == number), None)

    def template_of_pid(self, pid: int) -> Generation | None:
        return next((one for one in self.generations if one.pid == pid), None) if pid else None

    def with_generation(self, generation: Generation) -> Arbiter:
        others = tuple(one for one in self.generations if one.number != generation.number)
        return replace(self, generations=tuple(sorted((*others, generation), key=lambda one: one.number)))

    def forker(self) -> Generation | None:
        """The newest generation whose template can fork."""
        ready = [one for one in self.generations if one.template is TemplatePhase.READY]
        return ready[-1] if ready else None

    def templates_alive(self) -> tuple[Generation, ...]:
        return tuple(one for one in self.generations if one.template is not TemplatePhase.GONE)

    def tidied(self) -> Arbiter:
        """Without generations of which nothing is left."""
        inhabited = {slot.generation for slot in self.slots}
        left = tuple(
            one for one in self.generations if one.template is not TemplatePhase.GONE or one.number in inhabited
        )
        return replace(self, generations=left) if left != self.generations else self

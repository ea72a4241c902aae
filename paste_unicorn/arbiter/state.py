"""What the arbiter knows: frozen values, changed only by making new ones.

A generation has two independent states. Its template's is stored; its workers' is read off the slots. A slot
that isn't listed is empty. All times are monotonic seconds. What a generation is *for* is its standing: at most one is
coming, at most one serves, all others only retire.
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
    ENDING = "ending"  # told to go, or killed
    GONE = "gone"


class Standing(Enum):
    COMING = "coming"  # its template loads, or not all of its workers are ready yet
    SERVING = "serving"  # the one in charge
    RETIRING = "retiring"  # replaced by a newer one, or it failed: what it has got finishes and goes


class SlotPhase(Enum):
    ORDERED = "ordered"  # its template was told to fork
    STARTING = "starting"  # forked, not ready
    READY = "ready"
    RETIRING = "retiring"  # told to finish and go
    ABORTING = "aborting"  # stuck: told to print its tracebacks
    KILLED = "killed"


FILLED = frozenset({SlotPhase.ORDERED, SlotPhase.STARTING, SlotPhase.READY})
"""What counts as one of the workers that are wanted."""

SLOT_NUMBERS = 2048  # as many rows as the scoreboard has; row 0 is nobody's


class StopStage(Enum):
    """How far a stop has got, each with a deadline after which the next begins."""

    ASKED = "asked"
    WORKERS_KILLED = "workers killed"
    TEMPLATES_KILLED = "templates killed"


@dataclass(frozen=True)
class Policy:
    """What a generation's settings say, as far as a decision needs it; seconds and bytes, 0 means never where it is
    the default, and for `timeout_s`.
    """

    timeout_s: float = 30.0
    graceful_s: float = 30.0  # how long a worker may take to retire
    stop_s: float = 30.0  # how long a graceful stop may take: less under a reloader
    quick_s: float = 1.0  # the same for a quick stop
    boot_timeout_s: float = 60.0
    can_load_again: bool = True  # whether it is known where the application came from
    most_workers: int = 1000
    retire_first: bool = False  # the application can't be loaded beside itself
    lifetime_s: float = 0.0  # age at which a worker is replaced
    lifetime_jitter_s: float = 0.0
    most_memory: int = 0  # of a worker
    memory_kind: str = "private"  # which memory that means
    upgrade_at_once: bool = False  # the successor's readiness ends this arbiter
    no_upgrade: str = ""  # why there can't be a successor, and what to do instead


@dataclass(frozen=True)
class Plan:
    """What a template's settings want."""

    wanted: int
    policy: Policy


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
    standing: Standing = Standing.COMING
    wanted: int = 1  # workers
    policy: Policy = field(default=Policy())
    is_equipped: bool = False  # its listeners are open
    why: str = ""  # what it was started for; "" is the start of the arbiter
    began: float = 0.0


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
    ready_since: float | None = None
    tired: str = ""  # why it is to be replaced, when its turn has come
    suspicion: Suspicion | None = None
    has_old_logs: bool = False  # perhaps: logs were reopened while it was being born

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
    code: int = 0  # of the exit
    is_deserted: bool = False  # nobody has been there yet who answers what the kernel has accepted


@dataclass(frozen=True)
class Change:
    """A generation has taken over; the summary follows when nothing older is left."""

    generation: int
    why: str
    began: float
    workers: int


@dataclass(frozen=True)
class Successor:
    """A new arbiter beside this one."""

    since: float
    pid: int = 0  # 0: not known yet
    is_ready: bool = False


@dataclass(frozen=True)
class Arbiter:
    """Everything. `generations` are in order, oldest first; `slots` by number."""

    phase: Phase
    wanted: int  # workers of the generation that serves, or will
    policy: Policy  # of the generation that serves; before one does, of the start
    generations: tuple[Generation, ...] = ()
    slots: tuple[Slot, ...] = ()
    last_generation: int = 0
    last_age: int = 0
    births: Backoff = field(default=Backoff(first_s=0.1, most_s=30.0))
    killed_newborns: int = 0  # in a row: by a signal from outside, before they were ready
    loads: Backoff = field(default=Backoff(first_s=0.5, most_s=60.0))
    reload_wanted: str = ""  # why; done as soon as no generation is coming
    asked_for: int | None = None  # workers, by signals since the last HUP; None: as many as the settings say
    has_let_go: bool = False  # of what loading the application opened in this process
    changes: tuple[Change, ...] = ()  # not summed up yet
    successor: Successor | None = None
    has_predecessor: bool = False  # another arbiter serves on the same sockets, and goes on if we can't
    stop_wanted: str = ""  # the signal that waits for the successor to be ready
    stop: Stop | None = None

    def slot(self, number: int) -> Slot | None:
        return next((slot for slot in self.slots if slot.number == number), None)

    def slot_of_pid(self, pid: int) -> Slot | None:
        return next((slot for slot in self.slots if slot.pid == pid), None) if pid else None

    def in_phase(self, *phases: SlotPhase, of: int | None = None) -> tuple[Slot, ...]:
        """The slots in these phases; of one generation, or of all."""
        return tuple(slot for slot in self.slots if slot.phase in phases and of in (None, slot.generation))

    def filled(self, generation: int) -> tuple[Slot, ...]:
        """The slots that count as wanted workers of this generation."""
        return self.in_phase(*FILLED, of=generation)

    def free_numbers(self) -> Iterable[int]:
        """Numbers of empty slots, lowest first."""
        taken = {slot.number for slot in self.slots}
        return (number for number in range(1, SLOT_NUMBERS) if number not in taken)

    def with_slot(self, slot: Slot) -> Arbiter:
        others = tuple(other for other in self.slots if other.number != slot.number)
        return replace(self, slots=tuple(sorted((*others, slot), key=lambda one: one.number)))

    def with_stray(self, pid: int, generation: int, now: float) -> Arbiter:
        """With a worker that nobody counts on, told to go, and whose row another may have got: the template that forked
        it died before it could say so. It is remembered under a free number until it has gone.
        """
        stray = Slot(next(iter(self.free_numbers())), generation, 0, SlotPhase.RETIRING, now, pid, ready_since=now)
        return self.with_slot(stray)

    def without_slot(self, number: int) -> Arbiter:
        return replace(self, slots=tuple(slot for slot in self.slots if slot.number != number))

    def generation(self, number: int) -> Generation | None:
        return next((one for one in self.generations if one.number == number), None)

    def template_of_pid(self, pid: int) -> Generation | None:
        return next((one for one in self.generations if one.pid == pid), None) if pid else None

    def with_generation(self, generation: Generation) -> Arbiter:
        others = tuple(one for one in self.generations if one.number != generation.number)
        return replace(self, generations=tuple(sorted((*others, generation), key=lambda one: one.number)))

    @property
    def shares_sockets(self) -> bool:
        """Whether somebody goes on with our listeners: then a stop is a retirement."""
        return self.successor is not None or self.has_predecessor

    def standing(self, standing: Standing) -> Generation | None:
        """The one that stands so; of those that retire, the oldest."""
        return next((one for one in self.generations if one.standing is standing), None)

    @property
    def coming(self) -> Generation | None:
        return self.standing(Standing.COMING)

    @property
    def serving(self) -> Generation | None:
        return self.standing(Standing.SERVING)

    def policy_of(self, slot: Slot) -> Policy:
        """By which a worker is judged: its own generation's."""
        generation = self.generation(slot.generation)
        return generation.policy if generation is not None else self.policy

    def templates_alive(self) -> tuple[Generation, ...]:
        return tuple(one for one in self.generations if one.template is not TemplatePhase.GONE)

    def tidied(self) -> Arbiter:
        """Without generations of which nothing is left."""
        inhabited = {slot.generation for slot in self.slots}
        left = tuple(
            one for one in self.generations if one.template is not TemplatePhase.GONE or one.number in inhabited
        )
        return replace(self, generations=left) if left != self.generations else self

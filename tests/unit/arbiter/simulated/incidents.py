"""What befalls the world from outside: operators, killers, a machine in trouble. Each is one readable line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from paste_unicorn.arbiter.events import Signal, WorkerTired

from .processes import (
    CRASHED,
    ENDED,
    FAILED,
    KILLED,
    Ending,
    Release,
    SuccessorFate,
    WorkerFate,
)
from .world import World

Death = Literal["SIGKILL", "SIGSEGV", "exit code 3", "exit code 0"]
_ENDINGS: dict[Death, Ending] = {"SIGKILL": KILLED, "SIGSEGV": CRASHED, "exit code 3": FAILED, "exit code 0": ENDED}


@dataclass(frozen=True)
class Send:
    signal: Signal

    def befall(self, world: World) -> None:
        world.signals.append(self.signal)

    def __str__(self) -> str:
        return self.signal.value


@dataclass(frozen=True)
class Deploy:
    release: Release

    def befall(self, world: World) -> None:
        world.release = self.release

    def __str__(self) -> str:
        return f"on the disk: {self.release}"


@dataclass(frozen=True)
class WorkerDies:
    which: int  # counted round those that live
    death: Death

    def befall(self, world: World) -> None:
        if living := world.living_workers():
            living[self.which % len(living)].die(_ENDINGS[self.death])

    def __str__(self) -> str:
        return f"living worker {self.which} dies: {self.death}"


@dataclass(frozen=True)
class WorkerHangs:
    which: int

    def befall(self, world: World) -> None:
        if living := world.living_workers():
            worker = living[self.which % len(living)]
            worker.hangs_since = worker.hangs_since or world.now

    def __str__(self) -> str:
        return f"living worker {self.which} hangs"


@dataclass(frozen=True)
class WorkerSticks:
    which: int
    for_s: float

    def befall(self, world: World) -> None:
        if living := world.living_workers():
            worker = living[self.which % len(living)]
            worker.hangs_since = worker.hangs_since or world.now
            worker.sticks_until = world.now + self.for_s

    def __str__(self) -> str:
        return f"living worker {self.which} hangs, in the kernel for {self.for_s:g} s: not even KILL ends it"


@dataclass(frozen=True)
class WorkerTires:
    which: int

    def befall(self, world: World) -> None:
        if living := [worker for worker in world.living_workers() if worker.is_serving]:
            worker = living[self.which % len(living)]
            world.worker_reports.append(WorkerTired(worker.slot, worker.pid, "it has had 1000 requests"))

    def __str__(self) -> str:
        return f"serving worker {self.which} is tired"


@dataclass(frozen=True)
class WorkerGrows:
    which: int

    def befall(self, world: World) -> None:
        if living := world.living_workers():
            living[self.which % len(living)].memory = 10_000

    def __str__(self) -> str:
        return f"living worker {self.which} takes much memory"


@dataclass(frozen=True)
class NextWorkers:
    """Fates of workers that will be born, whatever their release says."""

    count: int
    fate: WorkerFate

    def befall(self, world: World) -> None:
        born = len(world.workers)
        for nth in range(born, born + self.count):
            world.worker_fates[nth] = self.fate

    def __str__(self) -> str:
        return f"the next {self.count} workers: {self.fate}"


@dataclass(frozen=True)
class TemplateDies:
    which: int
    death: Death

    def befall(self, world: World) -> None:
        if living := world.living_templates():
            living[self.which % len(living)].die(_ENDINGS[self.death])

    def __str__(self) -> str:
        return f"living template {self.which} dies: {self.death}"


@dataclass(frozen=True)
class TemplateDiesSilently:
    """Killed between what it does and the report of it."""

    after: Literal["fork", "reaping"]

    def befall(self, world: World) -> None:
        world.next_silent_death = self.after

    def __str__(self) -> str:
        return f"the next template that has done a {self.after} is killed before it can say so"


@dataclass(frozen=True)
class TemplateFreezes:
    which: int
    for_s: float

    def befall(self, world: World) -> None:
        if living := world.living_templates():
            living[self.which % len(living)].frozen_until = world.now + self.for_s

    def __str__(self) -> str:
        return f"living template {self.which} is frozen for {self.for_s:g} s"


@dataclass(frozen=True)
class ForksFail:
    for_s: float

    def befall(self, world: World) -> None:
        world.forks_fail_until = world.now + self.for_s

    def __str__(self) -> str:
        return f"no process can be made for {self.for_s:g} s"


@dataclass(frozen=True)
class NewbornsKilled:
    """As where memory has run out: the kernel ends whoever asks for more."""

    for_s: float

    def befall(self, world: World) -> None:
        world.newborns_killed_until = world.now + self.for_s

    def __str__(self) -> str:
        return f"whatever worker is born within {self.for_s:g} s is killed from outside before it is ready"


@dataclass(frozen=True)
class ClockLeaps:
    by_s: float

    def befall(self, world: World) -> None:
        world.leap(self.by_s)

    def __str__(self) -> str:
        return f"the machine is suspended for {self.by_s:g} s"


@dataclass(frozen=True)
class StrayEnds:
    def befall(self, world: World) -> None:
        world.stray_ends(ENDED)

    def __str__(self) -> str:
        return "a process that only the application knows has ended"


@dataclass(frozen=True)
class NextSuccessor:
    fate: SuccessorFate

    def befall(self, world: World) -> None:
        world.successor_fates.append(self.fate)

    def __str__(self) -> str:
        return f"the next new arbiter: {self.fate}"


@dataclass(frozen=True)
class SuccessorDies:
    def befall(self, world: World) -> None:
        if world.successor is not None:
            world.successor.die(KILLED)

    def __str__(self) -> str:
        return "the new arbiter dies"


@dataclass(frozen=True)
class PredecessorEnds:
    def befall(self, world: World) -> None:
        world.predecessor_ended = world.predecessor_has_ended = True

    def __str__(self) -> str:
        return "the arbiter before ends"


What: TypeAlias = (
    Send | Deploy | WorkerDies | WorkerHangs | WorkerSticks | WorkerTires | WorkerGrows | NextWorkers | TemplateDies
    | TemplateDiesSilently | TemplateFreezes | ForksFail | NewbornsKilled | ClockLeaps | StrayEnds | NextSuccessor
    | SuccessorDies | PredecessorEnds
)  # fmt: skip


@dataclass(frozen=True)
class Incident:
    at: float  # seconds since the start
    what: What

    def __str__(self) -> str:
        return f"{self.at:8.3f} s  {self.what}"

"""Templates, workers and a successor, as the arbiter meets them: they obey late, fail, hang, die, and lie about it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from paste_unicorn.arbiter.actions import EndTemplate, ForkWorker
from paste_unicorn.arbiter.events import (
    Event,
    ForkFailed,
    SuccessorFailed,
    SuccessorReady,
    TemplateFailed,
    TemplateLoaded,
    WorkerForked,
    WorkerReady,
)
from paste_unicorn.arbiter.state import Plan

if TYPE_CHECKING:
    from .world import World


class Ending(NamedTuple):
    """How a process ended, as `waitpid` would tell."""

    how: str
    clean: bool
    by_itself: bool


KILLED = Ending("was killed by SIGKILL", clean=False, by_itself=False)
CRASHED = Ending("was killed by SIGSEGV", clean=False, by_itself=True)
FAILED = Ending("has ended with exit code 3", clean=False, by_itself=True)
ENDED = Ending("has ended", clean=True, by_itself=True)


class Exited(NamedTuple):
    """A template's report of a worker that it has reaped."""

    pid: int
    ending: Ending


END_OF_FILE = "end of file"
Report: TypeAlias = Event | Exited | str

LoadFate = Literal["good", "raises", "hangs", "dies", "wrong settings", "address taken"]
WorkerFate = Literal["good", "dies at birth", "never ready", "ready and dead", "dies young"]
SuccessorFate = Literal["serves", "cannot start", "says why it fails", "dies", "hangs"]


@dataclass(frozen=True)
class Release:
    """What lies on the disk: code and settings, as the next template finds them."""

    number: int
    plan: Plan
    load: LoadFate = "good"
    workers: WorkerFate = "good"

    @property
    def is_good(self) -> bool:
        return self.load == "good" and self.workers == "good"

    def __str__(self) -> str:
        policy = self.plan.policy
        said = [f"release {self.number} with {self.plan.wanted} workers"]
        if self.load != "good":
            said.append(f"loading: {self.load}")
        if self.workers != "good":
            said.append(f"its workers: {self.workers}")
        for name in ("retire_first", "upgrade_at_once", "no_upgrade"):
            if getattr(policy, name):
                said.append(name)
        if not policy.can_load_again:
            said.append("can't be loaded again")
        for name in ("timeout_s", "lifetime_s", "most_memory"):
            if getattr(policy, name):
                said.append(f"{name} {getattr(policy, name):g}")
        return ", ".join(said)


# Kinds of delay, so that each draw has its own number.
_LOAD, _SAY, _FORK, _BOOT, _HEED, _FINISH, _DIE, _ORDER, _WORK, _ABORT, _SUCCEED, _FIRST = range(12)


class Process:
    """Lives from its making to `die`; a zombie until somebody has reaped it."""

    def __init__(self, world: World, pid: int) -> None:
        self.world = world
        self.pid = pid
        self.ending: Ending | None = None
        self.died_at = 0.0
        self.is_reaped = False
        self.sticks_until = 0.0  # in the kernel: not even KILL ends it before

    @property
    def is_alive(self) -> bool:
        return self.ending is None

    def heed_later(self, signal: str) -> None:
        world = self.world
        if signal == "KILL":
            # A process in the middle of a system call may take its time.
            late = world.draw(_DIE, self.pid)
            stuck_s = self.sticks_until - world.now
            world.after(max(0.0 if late < 0.7 else late * 0.01, stuck_s), self.die, KILLED)
        else:
            world.after(world.draw(_HEED, self.pid) ** 3 * 0.01, self.heed, signal)

    def heed(self, signal: str) -> None:
        raise NotImplementedError

    def die(self, ending: Ending) -> None:
        raise NotImplementedError


class Template(Process):
    def __init__(self, world: World, pid: int, generation: int, release: Release) -> None:
        super().__init__(world, pid)
        self.generation = generation
        self.release = release
        self.orders: deque[ForkWorker | EndTemplate] = deque()
        self.reports: deque[Report] = deque()  # its channel to the arbiter
        self.children: dict[int, Worker] = {}  # not reaped yet
        self.has_loaded = False
        self.frozen_until = 0.0
        self._is_busy = False
        world.after(0.05 + 1.5 * world.draw(_LOAD, generation) ** 2, self._load)

    def _load(self) -> None:
        if not self.is_alive or self._waits_for_thaw(self._load):
            return
        match self.release.load:
            case "raises":
                self.reports.append(TemplateFailed(self.generation, "Traceback ...\nValueError: it is broken"))
                self.world.after(self.world.draw(_DIE, self.pid) * 0.05, self.die, FAILED)
                return
            case "hangs":
                return
            case "dies":
                self.die(KILLED if self.world.draw(_FIRST, self.pid) < 0.5 else CRASHED)
                return
            case "wrong settings":  # the arbiter finds that out; the template waits for orders
                self.reports.append(TemplateFailed(self.generation, "prod.ini:14 [server:main] wrokers: unknown"))
            case _:
                self.reports.append(TemplateLoaded(self.generation, self.release.plan))
        self.has_loaded = True
        self.wake()

    def _waits_for_thaw(self, then: object) -> bool:
        left_s = self.frozen_until - self.world.now
        if left_s > 0:
            self.world.after(left_s, then)  # type: ignore[arg-type]
        return left_s > 0

    def wake(self) -> None:
        """There is something to do: an order, or a child to reap."""
        if self.has_loaded and not self._is_busy and self.is_alive:
            self._is_busy = True
            self.world.after(self.world.draw_next(_WORK) ** 4 * 0.01, self._work)

    def _work(self) -> None:
        self._is_busy = False
        if not self.is_alive:
            return
        if self._waits_for_thaw(self._work):
            self._is_busy = True
            return
        dead = next((child for child in self.children.values() if not child.is_alive), None)
        if dead is not None and dead.ending is not None:
            del self.children[dead.pid]
            dead.is_reaped = True
            if not self._dies_silently("reaping"):
                self._report(Exited(dead.pid, dead.ending))
        elif self.orders:
            order = self.orders.popleft()
            if isinstance(order, EndTemplate):
                self.die(ENDED)
            else:
                self._report(self._fork(order))

    def _fork(self, order: ForkWorker) -> Event:
        if not self.world.can_fork:
            return ForkFailed(order.slot, "Resource temporarily unavailable")
        worker = self.world.new_worker(self, order.slot)
        self.children[worker.pid] = worker
        self._dies_silently("fork")
        return WorkerForked(order.slot, self.generation, worker.pid)

    def _dies_silently(self, after: str) -> bool:
        dies = self.world.next_silent_death == after
        if dies:
            self.world.next_silent_death = ""
            self.die(KILLED)
        return dies

    def _report(self, report: Report) -> None:
        """Now, or a moment after what it is about: others may be quicker, and death may come between."""
        if not self.is_alive:
            return
        late = self.world.draw_next(_SAY)
        if late < 0.7:
            self._say(report)
        else:
            self._is_busy = True
            self.world.after((late - 0.7) ** 2, self._say, report)

    def _say(self, report: Report) -> None:
        self._is_busy = False
        if self.is_alive:
            self.reports.append(report)
            self.wake()

    def heed(self, signal: str) -> None:
        # ABRT: the interpreter prints its tracebacks and ends, unless it hangs in C code that blocks it.
        if self.is_alive and self.world.draw(_ABORT, self.pid) < 0.7:
            self.die(FAILED)

    def die(self, ending: Ending) -> None:
        if not self.is_alive:
            return
        world = self.world
        self.ending, self.died_at = ending, world.now
        self.reports.append(END_OF_FILE)
        orphans = [child for child in self.children.values() if not child.is_alive]
        for child in self.children.values():
            child.template = None
        # Where the application has threads, those may go last, and the orphans are seen before their parent.
        first = world.draw(_FIRST, self.pid) < 0.8
        world.add_zombies([self, *orphans] if first else [*orphans, self])


class Worker(Process):
    def __init__(self, world: World, pid: int, slot: int, template: Template, fate: WorkerFate) -> None:
        super().__init__(world, pid)
        self.slot = slot
        self.generation = template.generation
        self.release = template.release
        self.template: Template | None = template  # which reaps it
        self.fate = fate
        self.is_serving = False
        self.is_retiring = False
        self.hangs_since: float | None = None  # deaf to all but KILL
        self.ready_at = 0.0
        self.memory = 10
        boot = world.draw(_BOOT, pid)
        world.after(0.001 + boot**2 * (0.2 if boot < 0.9 else 4.0), self._boot)

    def _boot(self) -> None:
        if not self.is_alive or self.hangs_since is not None:
            return
        world = self.world
        if world.now < world.newborns_killed_until:
            self.die(KILLED)
            return
        if self.fate == "dies at birth":
            self.die(FAILED if world.draw(_FIRST, self.pid) < 0.5 else CRASHED)
            return
        if self.fate == "never ready":
            if world.draw(_FIRST, self.pid) < 0.5:
                self.hangs_since = world.now
            return
        self.is_serving, self.ready_at = True, world.now
        world.worker_reports.append(WorkerReady(self.slot, self.generation, self.pid))
        if world.is_stopping:  # it sees that by itself
            self.heed("TERM")
        if self.fate == "ready and dead":
            self.die(FAILED)
        elif self.fate == "dies young":
            world.after(world.draw(_FINISH, self.pid) * 0.9, self.die, CRASHED)

    @property
    def alive_at(self) -> float:
        """When it last said so on the scoreboard."""
        if not self.is_alive:
            return self.died_at
        return self.hangs_since if self.hangs_since is not None else self.world.now

    @property
    def has_worked(self) -> bool:
        return self.is_serving and self.world.now - self.ready_at > 0.3

    def heed(self, signal: str) -> None:
        if not self.is_alive or self.hangs_since is not None:
            return
        if signal == "ABRT":
            self.die(FAILED)
        elif signal == "QUIT" or not self.is_serving:
            self.die(ENDED)
        elif signal == "TERM" and not self.is_retiring:
            self.is_retiring = True
            finish = self.world.draw(_FINISH, self.pid)
            if finish < 0.97:  # else it is stuck in a request
                self.world.after(finish**6 * 8.0, self.die, ENDED)

    def die(self, ending: Ending) -> None:
        if not self.is_alive:
            return
        self.ending, self.died_at = ending, self.world.now
        if self.template is not None:
            self.template.wake()
        else:
            self.world.add_zombies([self])


class NewArbiter(Process):
    """The successor, seen from outside."""

    def __init__(self, world: World, pid: int, fate: SuccessorFate) -> None:
        super().__init__(world, pid)
        self.fate = fate
        self.is_ready = False
        world.after(0.1 + world.draw(_SUCCEED, pid) ** 2 * 5.0, self._begin)

    def _begin(self) -> None:
        if not self.is_alive:
            return
        world = self.world
        match self.fate:
            case "serves":
                self.is_ready = True
                world.successor_reports.append(SuccessorReady(self.pid))
            case "says why it fails":
                world.successor_reports.append(SuccessorFailed("prod.ini:14 [server:main] wrokers: unknown"))
                world.after(world.draw(_DIE, self.pid) * 0.05, self.die, FAILED)
            case "dies":
                self.die(FAILED)

    def heed(self, signal: str) -> None:
        """Only KILL is ever sent to it."""

    def die(self, ending: Ending) -> None:
        if self.is_alive:
            self.ending, self.died_at = ending, self.world.now
            self.world.add_zombies([self])

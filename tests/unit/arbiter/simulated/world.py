"""The kernel of the simulated world: time, processes, channels, zombies; and what each action of the arbiter does.

Whatever takes time, takes as long as the seed says for this process and this purpose: a history without one of its
incidents goes on as it did otherwise, which is what lets it be shrunk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from paste_unicorn.arbiter.actions import (
    Action,
    ClearSlot,
    EndTemplate,
    EquipGeneration,
    ForkWorker,
    KillSuccessor,
    KillTemplate,
    Leave,
    SignalWorker,
    StartSuccessor,
    StartTemplate,
    StopListening,
)
from paste_unicorn.arbiter.events import (
    Event,
    ForkFailed,
    GenerationEquipped,
    Signal,
    SuccessorFailed,
    SuccessorStarted,
    TemplateFailed,
    TemplateStarted,
)

from .processes import Ending, NewArbiter, Process, Release, SuccessorFate, Template, Worker, WorkerFate

_CHANNEL_HOLDS = 64  # orders that a template has not read


class World:
    """Owned by one history."""

    def __init__(self, seed: int, release: Release) -> None:
        self.seed = seed
        self.now = 0.0
        self.release = release  # what lies on the disk
        self.processes: dict[int, Process] = {}
        self.templates: dict[int, Template] = {}  # of each generation
        self.workers: list[Worker] = []
        self.successor: NewArbiter | None = None
        self.rows: dict[int, Worker] = {}  # of the scoreboard: who wrote there last
        self.forks_fail_until = 0.0
        self.newborns_killed_until = 0.0
        self.next_silent_death = ""  # after what a template dies before it can report it
        self.worker_fates: dict[int, WorkerFate] = {}  # of the n-th worker that is born
        self.successor_fates: deque[SuccessorFate] = deque()
        self.is_stopping = False  # written on the scoreboard
        self.is_over = False  # the arbiter has left
        # What the arbiter's loop can read.
        self.signals: deque[Signal] = deque()
        self.child_ended = False
        self.worker_reports: deque[Event] = deque()
        self.successor_reports: deque[Event] = deque()
        self.predecessor_ended = False
        self.predecessor_has_ended = False
        self.channels: dict[int, Template] = {}  # whose end the arbiter hasn't seen yet
        self.zombies: deque[Process] = deque()  # children of the arbiter, its own or adopted
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = count()
        self._pids = count(1000)
        self._draws = count()

    # -- time and chance -------------------------------------------------------------------------------------

    def draw(self, kind: int, who: int) -> float:
        """From 0 to 1, always the same for the same purpose."""
        return (hash((self.seed, kind, who)) & 0xFFFFFF) / 0x1000000

    def draw_next(self, kind: int) -> float:
        return self.draw(kind, next(self._draws))

    def after(self, seconds: float, do: Callable[..., None], *args: Any) -> None:
        heappush(self._agenda, (self.now + seconds, next(self._serial), do, args))

    @property
    def next_at(self) -> float:
        """When something happens by itself."""
        return self._agenda[0][0] if self._agenda else float("inf")

    def go_on(self, until: float) -> None:
        """All that happens until then."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= until:
            at, _, do, args = heappop(agenda)
            self.now = max(self.now, at)
            do(*args)
        self.now = max(self.now, until)

    def leap(self, seconds: float) -> None:
        """Nobody ran, but the clock did: a machine that was suspended."""
        self.now += seconds

    @property
    def has_news(self) -> bool:
        """Whether there is anything that the arbiter's loop can read."""
        return bool(
            self.signals
            or self.child_ended
            or self.worker_reports
            or self.successor_reports
            or self.predecessor_ended
            or any(template.reports for template in self.channels.values())
        )

    def get_well(self, release: Release) -> None:
        """Whatever was wrong with the machine, and with what lies on the disk, has been corrected."""
        self.release = release
        self.forks_fail_until = self.newborns_killed_until = 0.0
        self.next_silent_death = ""
        self.worker_fates.clear()
        self.successor_fates.clear()

    # -- processes -------------------------------------------------------------------------------------------

    @property
    def can_fork(self) -> bool:
        return self.now >= self.forks_fail_until

    def new_worker(self, template: Template, slot: int) -> Worker:
        fate = self.worker_fates.get(len(self.workers), template.release.workers)
        worker = Worker(self, next(self._pids), slot, template, fate)
        self.processes[worker.pid] = worker
        self.workers.append(worker)
        self.rows[slot] = worker
        return worker

    def add_zombies(self, zombies: list[Process]) -> None:
        if zombies:
            self.zombies.extend(zombies)
            self.child_ended = True

    def exists(self, pid: int) -> bool:
        """Whether it could be sent a signal: alive, or a zombie that nobody has reaped."""
        process = self.processes.get(pid)
        return process is not None and not process.is_reaped

    def living_workers(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_alive]

    def living_templates(self) -> list[Template]:
        return [template for template in self.templates.values() if template.is_alive]

    def stray_ends(self, ending: Ending) -> None:
        """A process of the application's own, which nobody knows."""
        stray = Process(self, next(self._pids))
        stray.ending = ending
        self.add_zombies([stray])

    # -- what the arbiter does -------------------------------------------------------------------------------

    def perform(self, action: Action) -> list[Event]:
        """Do it; what is known at once comes back as events."""
        performer = _PERFORMERS.get(type(action))
        return (performer(self, action) if performer is not None else None) or []

    def start_template(self, action: StartTemplate) -> list[Event]:
        number = action.generation
        if not self.can_fork:
            return [TemplateFailed(number, "it could not be started: Resource temporarily unavailable")]
        template = Template(self, next(self._pids), number, self.release)
        self.processes[template.pid] = template
        self.templates[number] = self.channels[number] = template
        return [TemplateStarted(number, template.pid)]

    def equip_generation(self, action: EquipGeneration) -> list[Event]:
        number = action.generation
        template = self.templates[number]
        if number > 1 and template.release.load == "address taken":
            return [TemplateFailed(number, "127.0.0.1:8080: address already in use")]
        if number > 1 and not self._can_tell(number):
            return [TemplateFailed(number, "its template does not answer")]
        return [GenerationEquipped(number)]

    def _can_tell(self, generation: int) -> bool:
        template = self.channels.get(generation)
        return template is not None and template.is_alive and len(template.orders) < _CHANNEL_HOLDS

    def tell(self, action: ForkWorker | EndTemplate) -> list[Event]:
        if self._can_tell(action.generation):
            template = self.templates[action.generation]
            template.orders.append(action)
            template.wake()
        elif isinstance(action, ForkWorker):
            return [ForkFailed(action.slot, "its template does not answer")]
        return []

    def kill_template(self, action: KillTemplate) -> None:
        self._signal(action.pid, action.signal)

    def signal_worker(self, action: SignalWorker) -> None:
        self._signal(action.pid, action.signal)

    def _signal(self, pid: int, signal: str) -> None:
        process = self.processes.get(pid)
        if process is not None and process.is_alive:
            process.heed_later(signal)

    def clear_slot(self, action: ClearSlot) -> None:
        row = self.rows.get(action.slot)
        if row is not None and row.pid == action.pid:
            del self.rows[action.slot]

    def start_successor(self, action: StartSuccessor) -> list[Event]:
        fate = self.successor_fates.popleft() if self.successor_fates else "serves"
        if fate == "cannot start" or not self.can_fork:
            return [SuccessorFailed("Resource temporarily unavailable")]
        self.successor = NewArbiter(self, next(self._pids), fate)
        self.processes[self.successor.pid] = self.successor
        return [SuccessorStarted(self.successor.pid)]

    def kill_successor(self, action: KillSuccessor) -> None:
        self._signal(action.pid, "KILL")

    def stop_listening(self, action: StopListening) -> None:
        self.is_stopping = True

    def leave(self, action: Leave) -> None:
        self.is_over = True


_PERFORMERS: dict[type, Callable[[World, Any], list[Event] | None]] = {
    StartTemplate: World.start_template,
    EquipGeneration: World.equip_generation,
    EndTemplate: World.tell,
    ForkWorker: World.tell,
    KillTemplate: World.kill_template,
    SignalWorker: World.signal_worker,
    ClearSlot: World.clear_slot,
    StartSuccessor: World.start_successor,
    KillSuccessor: World.kill_successor,
    StopListening: World.stop_listening,
    Leave: World.leave,
}
"""What changes the world; the other actions are for people and files, and `invariants.py` looks at them."""

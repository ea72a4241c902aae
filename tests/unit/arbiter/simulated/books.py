"""What the arbiter was told and what it did, kept from events and actions alone: what it could know.

The rules of `orders.py`, `invariants.py` and `endings.py` measure the arbiter's own state by these.
"""

from __future__ import annotations

from paste_unicorn.arbiter import actions as do
from paste_unicorn.arbiter import events as on
from paste_unicorn.arbiter.actions import Action
from paste_unicorn.arbiter.events import Event, Signal
from paste_unicorn.arbiter.state import FILLED, Arbiter, Phase, SlotPhase, Standing

from .world import World

RUNNING = (Phase.STARTING, Phase.SERVING)
STOPS = (Signal.TERM, Signal.INT, Signal.QUIT, Signal.TYPED_INT)
MOST_KILLED = 5  # so many newborns in a row may be killed from outside, and are replaced at once
_SETTLED_S = 1.0  # a worker that has been ready for so long was not stillborn


class Broken(AssertionError):
    """A rule does not hold."""

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(f"{rule}: {sentence}")
        self.rule = rule
        self.sentence = sentence


class Books:
    """Owned by one history."""

    def __init__(self, world: World, workers: int) -> None:
        self.world = world
        # Processes, by pid; the value is the generation.
        self.known: dict[int, int] = {}  # workers that it was told of, and not that they are gone
        self.ready: dict[int, int] = {}  # those that said so and were not told to go
        self.gone: set[int] = set()  # whatever it was told to be gone
        self.told: set[int] = set()  # workers that were told to go, or killed
        # Templates, by generation.
        self.templates_known: set[int] = set()
        self.templates_loaded: set[int] = set()
        self.templates_gone: set[int] = set()
        self.templates_told: set[int] = set()
        self.equipped: set[int] = set()
        self.successor_since = 0.0
        # What was asked for.
        self.last_hup_at = -1.0  # that was accepted
        self.last_load_at = 0.0
        self.is_resting = False  # WINCH, and neither HUP nor TTIN since
        self.may_rest = False  # WINCH, and no TTIN nor a reload that succeeded since
        self.stop_was_asked = False
        self.announced = workers
        # Attempts that failed.
        self.birth_failed_at: float | None = None  # the first of the last attempt; None when there was another try
        self.birth_failures = 0  # attempts in a row
        self.load_failed_at: float | None = None
        self.killed_newborns = 0  # in a row: from outside, and no other worker was ready in between

    def hear(self, before: Arbiter, event: Event, after: Arbiter) -> None:
        """What happened."""
        match event:
            case on.WorkerForked(_, generation, pid):
                self.known.setdefault(pid, generation)
            case on.WorkerReady(_, generation, pid):
                self.known.setdefault(pid, generation)
                self.killed_newborns = 0
                if pid not in self.told:
                    self.ready[pid] = generation
            case on.ProcessExited(pid):
                self._hear_death(before, event, after)
                self.gone.add(pid)
                self.known.pop(pid, None)
                self.ready.pop(pid, None)
            case on.ForkFailed(slot) if before.slot(slot) is not None and after.slot(slot) is None:
                self._count_failed_birth()
            case on.TemplateStarted(number):
                self.templates_known.add(number)
            case on.TemplateFailed(number) if number not in self.templates_known:
                self.templates_gone.add(number)
            case on.TemplateLoaded(number):
                self.templates_loaded.add(number)
                if before.coming is not None and before.coming.number == number:
                    self.load_failed_at = None
            case on.GenerationEquipped(number):
                self.equipped.add(number)
            case on.SuccessorStarted():
                self.successor_since = self.world.now
            case on.SignalArrived(signal) if before.phase in RUNNING:
                self._hear_signal(before, signal)
        if not after.births.failures:
            self.birth_failures = 0

    def _hear_signal(self, before: Arbiter, signal: Signal) -> None:
        if signal is Signal.HUP and before.policy.can_load_again:
            self.last_hup_at, self.is_resting = self.world.now, False
            # It tries at once.
            self.load_failed_at = self.birth_failed_at = None
            self.birth_failures = self.killed_newborns = 0
        elif signal in STOPS:
            self.stop_was_asked = True
        elif signal is Signal.TTIN:
            self.is_resting = self.may_rest = False
        elif signal is Signal.WINCH and before.phase is Phase.SERVING:
            self.is_resting = self.may_rest = True

    def _hear_death(self, before: Arbiter, event: on.ProcessExited, after: Arbiter) -> None:
        template = before.template_of_pid(event.pid)
        if template is not None:
            self.templates_gone.add(template.number)
        slot = before.slot_of_pid(event.pid)
        if slot is None:
            return
        overdue = slot.ready_since is None and slot.phase in (SlotPhase.ABORTING, SlotPhase.KILLED)
        by_itself = slot.phase in FILLED and event.by_itself
        if slot.phase is SlotPhase.STARTING and not event.by_itself:
            self.killed_newborns += 1
            by_itself = self.killed_newborns > MOST_KILLED
        young = slot.ready_since is None or (not event.has_worked and self.world.now - slot.ready_since < _SETTLED_S)
        generation = after.generation(slot.generation)
        if generation is None:  # the last of one that served, or of one that failed by it
            was = before.generation(slot.generation)
            wanted = was is not None and was.standing is Standing.SERVING
        else:
            wanted = generation.standing is not Standing.RETIRING
        if (overdue or by_itself) and young and wanted:
            self._count_failed_birth()

    def _count_failed_birth(self) -> None:
        if self.birth_failed_at is None:
            self.birth_failed_at = self.world.now
            self.birth_failures += 1

    def enter(self, action: Action) -> None:
        """What was done."""
        match action:
            case do.SignalWorker(pid, signal) if signal != "USR1":
                self.told.add(pid)
                self.ready.pop(pid, None)
            case do.EndTemplate(generation) | do.KillTemplate(generation):
                self.templates_told.add(generation)
            case do.StartTemplate():
                self.last_load_at = self.world.now
            case do.AdoptGeneration():
                self.may_rest = self.is_resting
            case do.AnnounceWorkers(workers):
                self.announced = workers

    def ready_of(self, generation: int) -> int:
        """How many workers of it are ready, as far as the arbiter could know."""
        return sum(one == generation for one in self.ready.values())

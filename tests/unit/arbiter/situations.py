"""Situations that the tables of these tests begin with: built by events, as a real arbiter gets into them."""

from __future__ import annotations

from dataclasses import replace

from paste_unicorn.arbiter.actions import Action, Say
from paste_unicorn.arbiter.decide import decide
from paste_unicorn.arbiter.events import (
    Event,
    GenerationEquipped,
    ProcessExited,
    Signal,
    SignalArrived,
    TemplateLoaded,
    TemplateStarted,
    TimePassed,
    WorkerForked,
    WorkerReady,
)
from paste_unicorn.arbiter.rules.boot import begin
from paste_unicorn.arbiter.state import Arbiter, Generation, Plan, Policy, Slot, SlotPhase

POLICY = Policy(timeout_s=30, graceful_s=20, stop_s=20, quick_s=1, boot_timeout_s=60)
RETIRE_FIRST = replace(POLICY, retire_first=True)
TEMPLATE = 100  # pid of the template of generation 1; that of generation 2 is 200, and so on


def worker_pid(generation: int, slot: int) -> int:
    """Of the first worker in a slot: 101 and 102 are of generation 1, 203 and 204 of generation 2."""
    return 100 * generation + slot


class Story:
    """A state that events are put to, one after the other; keeps what was done last."""

    def __init__(self, state: Arbiter, now: float = 0.0) -> None:
        self.state = state
        self.now = now
        self.actions: tuple[Action, ...] = ()

    def tell(self, event: Event, after_s: float = 0.0) -> tuple[Action, ...]:
        """One event; the actions."""
        self.now += after_s
        self.state, self.actions = decide(self.state, event, self.now)
        return self.actions

    def signal(self, signal: Signal, after_s: float = 0.0) -> tuple[Action, ...]:
        return self.tell(SignalArrived(signal), after_s)

    def dies(self, pid: int, how: str = "was killed by SIGKILL", after_s: float = 0.0) -> tuple[Action, ...]:
        """A process is killed from outside."""
        return self.tell(ProcessExited(pid, how, clean=False, by_itself=False), after_s)

    def fails(self, pid: int, after_s: float = 0.0) -> tuple[Action, ...]:
        """A process ends by a fault of its own."""
        return self.tell(ProcessExited(pid, "has ended with exit code 3", clean=False, by_itself=True), after_s)

    def ends(self, pid: int, after_s: float = 0.0) -> tuple[Action, ...]:
        """A process ends as it should."""
        return self.tell(ProcessExited(pid, "has ended", clean=True, by_itself=True), after_s)

    def loads(self, number: int, workers: int = 2, policy: Policy = POLICY) -> tuple[Action, ...]:
        """The template of a generation loads the application, and its listeners are open; the actions of both."""
        self.tell(TemplateStarted(number, 100 * number))
        loaded = self.tell(TemplateLoaded(number, Plan(workers, policy)))
        self.actions = (*loaded, *self.tell(GenerationEquipped(number)))
        return self.actions

    def come(self, number: int) -> tuple[Action, ...]:
        """All workers that a generation was told to fork are forked and get ready; the actions of it all."""
        actions: list[Action] = []
        while ordered := self.state.in_phase(SlotPhase.ORDERED, of=number):
            for slot in ordered:
                actions += self.tell(WorkerForked(slot.number, number, worker_pid(number, slot.number)))
            for slot in ordered:
                actions += self.tell(WorkerReady(slot.number, number, worker_pid(number, slot.number)))
        self.actions = tuple(actions)
        return self.actions

    def generation(self, number: int) -> Generation:
        """One that is there."""
        generation = self.state.generation(number)
        assert generation is not None
        return generation

    def slot(self, number: int) -> Slot:
        """One that is not empty."""
        slot = self.state.slot(number)
        assert slot is not None
        return slot

    def phases(self, generation: int) -> dict[int, SlotPhase]:
        """Of the workers of a generation, by slot."""
        return {slot.number: slot.phase for slot in self.state.slots if slot.generation == generation}

    def look(
        self, alive_at: dict[int, float] | None = None, after_s: float = 0.0, memory: dict[int, int] | None = None
    ) -> tuple[Action, ...]:
        """Time passes; `alive_at` is now for every slot that it doesn't name."""
        self.now += after_s
        progress = {slot.number: self.now for slot in self.state.slots} | (alive_at or {})
        return self.tell(TimePassed(progress, memory or {}))


def starting(workers: int = 2, policy: Policy = POLICY, *, has_predecessor: bool = False) -> Story:
    """The template has loaded, workers are ordered: slots 1 to `workers`."""
    state, _ = begin(Plan(workers, policy), 0.0, has_predecessor=has_predecessor)
    story = Story(state)
    story.loads(1, workers, policy)
    return story


def serving(workers: int = 2, policy: Policy = POLICY, *, has_predecessor: bool = False) -> Story:
    """All workers are ready, for ten seconds already: slot n has pid 100 + n."""
    story = starting(workers, policy, has_predecessor=has_predecessor)
    story.come(1)
    story.now = 10.0
    return story


def without_template(workers: int = 2, policy: Policy = POLICY) -> Story:
    """As `serving`, but the template was killed; generation 2 is being loaded by pid 200."""
    story = serving(workers, policy)
    story.dies(TEMPLATE)
    story.tell(TemplateStarted(2, 200))
    return story


def reloading(workers: int = 2, policy: Policy = POLICY) -> Story:
    """As `serving`, but HUP has come: generation 2 is being loaded by pid 200."""
    story = serving(workers, policy)
    story.signal(Signal.HUP)
    story.tell(TemplateStarted(2, 200))
    return story


def sentences(actions: tuple[Action, ...], level: str = "") -> str:
    """What was logged, at this level or at any."""
    return "\n".join(one.sentence for one in actions if isinstance(one, Say) and level in {"", one.level})


def doings(actions: tuple[Action, ...], *kinds: type) -> list[Action]:
    """The actions of these kinds; without kinds, all that do more than to log."""
    return [one for one in actions if (isinstance(one, kinds) if kinds else not isinstance(one, Say))]

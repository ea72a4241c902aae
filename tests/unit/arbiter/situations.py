"""Situations that the tables of these tests begin with: built by events, as a real arbiter gets into them."""

from __future__ import annotations

from paste_unicorn.arbiter.actions import Action
from paste_unicorn.arbiter.decide import decide
from paste_unicorn.arbiter.events import (
    Event,
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
from paste_unicorn.arbiter.state import Arbiter, Policy

POLICY = Policy(timeout_s=30, graceful_s=20, stop_s=20, quick_s=1, boot_timeout_s=60)
TEMPLATE = 100  # pid of the template of generation 1; its workers have 101, 102, ...


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

    def look(self, alive_at: dict[int, float] | None = None, after_s: float = 0.0) -> tuple[Action, ...]:
        """Time passes; `alive_at` is now for every slot that it doesn't name."""
        self.now += after_s
        progress = {slot.number: self.now for slot in self.state.slots} | (alive_at or {})
        return self.tell(TimePassed(progress))


def starting(workers: int = 2, policy: Policy = POLICY) -> Story:
    """The template has loaded, workers are ordered: slots 1 to `workers`."""
    state, _ = begin(workers, policy, 0.0)
    story = Story(state)
    story.tell(TemplateStarted(1, TEMPLATE))
    story.tell(TemplateLoaded(1))
    return story


def serving(workers: int = 2, policy: Policy = POLICY) -> Story:
    """All workers are ready, for ten seconds already: slot n has pid 100 + n."""
    story = starting(workers, policy)
    for slot in range(1, workers + 1):
        story.tell(WorkerForked(slot, 1, TEMPLATE + slot))
    for slot in range(1, workers + 1):
        story.tell(WorkerReady(slot, 1, TEMPLATE + slot))
    story.now = 10.0
    return story


def without_template(workers: int = 2, policy: Policy = POLICY) -> Story:
    """As `serving`, but the template was killed; generation 2 is being loaded by pid 200."""
    story = serving(workers, policy)
    story.dies(TEMPLATE)
    story.tell(TemplateStarted(2, 200))
    return story

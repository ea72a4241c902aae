"""From the first template to the last wanted worker."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, AnnounceServing, AnnounceWorkers, Say, SignalWorker, StartTemplate
from ..events import ForkFailed, TemplateFailed, TemplateLoaded, TemplateStarted, WorkerForked, WorkerReady
from ..state import Arbiter, Generation, Phase, Policy, Slot, SlotPhase, TemplatePhase
from .replace import fill


def begin(wanted: int, policy: Policy, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """The state at the start, and the first actions."""
    state = Arbiter(
        phase=Phase.STARTING,
        wanted=wanted,
        policy=policy,
        generations=(Generation(1, TemplatePhase.LOADING, now),),
        last_generation=1,
    )
    return state, (AnnounceWorkers(wanted, None), StartTemplate(1))


def template_started(state: Arbiter, event: TemplateStarted, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Remembers the template's pid."""
    generation = state.generation(event.generation)
    if generation is None:
        return state, ()
    return state.with_generation(replace(generation, pid=event.pid)), ()


def template_loaded(state: Arbiter, event: TemplateLoaded, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Lets the template fork the workers that are missing."""
    generation = state.generation(event.generation)
    if generation is None:
        return state, ()
    state = state.with_generation(replace(generation, template=TemplatePhase.READY, since=now))
    state = replace(state, loads=state.loads.after_success())
    said: tuple[Action, ...] = ()
    if event.generation > 1:
        said = (
            Say("info", f"Template of generation {event.generation} (pid {generation.pid}) has loaded the application"),
        )
    state, actions = fill(state, now)
    return state, said + actions


def template_failed(state: Arbiter, event: TemplateFailed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Logs why; the next try comes later, the workers that are there go on."""
    loads = state.loads.after_failure(now)
    state = replace(state, loads=loads)
    generation = state.generation(event.generation)
    if generation is not None and not generation.pid:  # it never existed
        state = state.with_generation(replace(generation, template=TemplatePhase.GONE, since=now))
    return state, (
        Say(
            "error",
            f"The template of generation {event.generation} could not load the application; the workers that are there "
            f"go on, the next try is in {loads.not_before - now:.1f} s\n{event.reason}",
        ),
    )


def worker_forked(state: Arbiter, event: WorkerForked, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Remembers the worker's pid; orders the next one, if not all could be ordered at once."""
    slot = state.slot(event.slot)
    if slot is None or slot.phase is not SlotPhase.ORDERED or slot.generation != event.generation:
        return state, ()
    return fill(state.with_slot(slot.entering(SlotPhase.STARTING, now, pid=event.pid)), now)


def fork_failed(state: Arbiter, event: ForkFailed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Tries again later, more and more slowly."""
    births = state.births.after_failure(now)
    said: tuple[Action, ...] = ()
    if births is not state.births:
        said = (
            Say(
                "error", f"Could not fork a worker ({event.reason}); the next try is in {births.not_before - now:.1f} s"
            ),
        )
    return replace(state.without_slot(event.slot), births=births), said


def worker_ready(state: Arbiter, event: WorkerReady, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Counts on this worker."""
    slot = state.slot(event.slot)
    if slot is not None and slot.generation == event.generation and slot.pid in {0, event.pid}:
        if slot.phase in {SlotPhase.ORDERED, SlotPhase.STARTING}:
            state = state.with_slot(slot.entering(SlotPhase.READY, now, pid=event.pid))
        return state, ()
    generation = state.generation(event.generation)
    orphaned = generation is None or generation.template is TemplatePhase.GONE
    if slot is None and orphaned:
        # Its template died before it could report it.
        return state.with_slot(Slot(event.slot, event.generation, 0, SlotPhase.READY, now, event.pid)), ()
    return state, (SignalWorker(event.pid, "TERM"),)


def worker_ready_at_start(state: Arbiter, event: WorkerReady, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Counts on this worker; says that we serve, once all are ready."""
    state, actions = worker_ready(state, event, now)
    state, announced = announce(state)
    return state, actions + announced


def announce(state: Arbiter) -> tuple[Arbiter, tuple[Action, ...]]:
    """While starting: are all workers ready now?"""
    ready = len(state.in_phase(SlotPhase.READY))
    if state.phase is Phase.STARTING and ready >= state.wanted:
        return replace(state, phase=Phase.SERVING), (AnnounceServing(ready),)
    return state, ()

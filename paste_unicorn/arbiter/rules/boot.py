"""From a template's start to its last ready worker."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, AnnounceWorkers, EquipGeneration, LetGo, Say, SignalWorker, StartTemplate
from ..events import (
    ForkFailed,
    GenerationEquipped,
    TemplateFailed,
    TemplateLoaded,
    TemplateStarted,
    WorkerForked,
    WorkerReady,
)  # fmt: skip
from ..state import Arbiter, Generation, Phase, Plan, Slot, SlotPhase, Standing, TemplatePhase
from .deserted import is_deserted
from .reload import fail


def begin(
    plan: Plan, now: float, *, has_predecessor: bool, forks_first: bool = True
) -> tuple[Arbiter, tuple[Action, ...]]:
    """The state at the start, and the first actions. Where the first template is not a fork of this process, the
    application is loaded once more, beside what the runner has loaded here.
    """
    lets_go = plan.policy.retire_first and not forks_first
    first = Generation(1, TemplatePhase.LOADING, now, wanted=plan.wanted, policy=plan.policy, began=now)
    state = Arbiter(
        phase=Phase.STARTING,
        wanted=plan.wanted,
        policy=plan.policy,
        generations=(first,),
        last_generation=1,
        has_predecessor=has_predecessor,
        has_let_go=lets_go,
    )
    let_go: tuple[Action, ...] = (LetGo(),) if lets_go else ()
    return state, (AnnounceWorkers(plan.wanted, None), *let_go, StartTemplate(1))


def template_started(state: Arbiter, event: TemplateStarted, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Remembers the template's pid."""
    generation = state.generation(event.generation)
    if generation is None:
        return state, ()
    return state.with_generation(replace(generation, pid=event.pid)), ()


def template_loaded(state: Arbiter, event: TemplateLoaded, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Opens the listeners that its settings name."""
    generation = state.generation(event.generation)
    if generation is None or generation.template is not TemplatePhase.LOADING:
        return state, ()
    generation = replace(generation, template=TemplatePhase.READY, since=now, policy=event.plan.policy)
    if state.asked_for is None:
        generation = replace(generation, wanted=event.plan.wanted)
    state = replace(state.with_generation(generation), loads=state.loads.after_success())
    if generation.standing is Standing.RETIRING:
        return state, ()
    said: tuple[Action, ...] = ()
    if generation.number > 1:
        said = (
            Say(
                "info", f"Template of generation {generation.number} (pid {generation.pid}) has loaded the application"
            ),
        )
    return state, (*said, EquipGeneration(generation.number))


def loaded_late(state: Arbiter, event: TemplateLoaded, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """The same during a stop, where nobody else is there to answer."""
    return template_loaded(state, event, now) if is_deserted(state) else (state, ())


def generation_equipped(state: Arbiter, event: GenerationEquipped, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Notes that its workers can be ordered."""
    generation = state.generation(event.generation)
    if generation is None:
        return state, ()
    return state.with_generation(replace(generation, is_equipped=True)), ()


def template_failed(state: Arbiter, event: TemplateFailed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Logs why and drops the generation; whatever serves goes on. At the start it ends the server with exit code 1."""
    generation = state.generation(event.generation)
    if generation is None:
        return state, ()
    if not generation.pid:  # it never existed
        generation = replace(generation, template=TemplatePhase.GONE, since=now)
        state = state.with_generation(generation)
    if generation.standing is Standing.RETIRING:
        return state, ()
    what = "can't listen" if generation.template is TemplatePhase.READY else "could not be loaded"
    return fail(state, generation, what, event.reason, now)


def worker_forked(state: Arbiter, event: WorkerForked, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Remembers the worker's pid."""
    slot = state.slot(event.slot)
    if slot is None or slot.phase is not SlotPhase.ORDERED or slot.generation != event.generation:
        return state, ()
    return _entered(state, slot.entering(SlotPhase.STARTING, now, pid=event.pid), now)


def fork_failed(state: Arbiter, event: ForkFailed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Tries again later, more and more slowly."""
    slot = state.slot(event.slot)
    if slot is None or slot.phase is not SlotPhase.ORDERED:
        return state, ()
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
    """Counts on this worker; when all of a new generation are ready, it takes over."""
    state = replace(state, killed_newborns=0)
    slot = state.slot(event.slot)
    if slot is not None and slot.generation == event.generation and slot.pid in {0, event.pid}:
        if slot.phase in {SlotPhase.ORDERED, SlotPhase.STARTING}:
            told = (SignalWorker(event.pid, "USR1"),) if slot.has_old_logs else ()
            slot = slot.entering(SlotPhase.READY, now, pid=event.pid, ready_since=now, has_old_logs=False)
            state, actions = _entered(state, slot, now)
            return state, (*told, *actions)
        return state, ()
    if slot is None:
        # Its template died before it could report it.
        born = Slot(event.slot, event.generation, 0, SlotPhase.READY, now, event.pid, ready_since=now)
        return _entered(state, born, now)
    return state.with_stray(event.pid, event.generation, now), (SignalWorker(event.pid, "TERM"),)


def _entered(state: Arbiter, slot: Slot, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    generation = state.generation(slot.generation)
    if generation is not None and generation.standing is not Standing.RETIRING:
        return state.with_slot(slot), ()
    return state.with_slot(slot.entering(SlotPhase.RETIRING, now)), (SignalWorker(slot.pid, "TERM", slot.number),)

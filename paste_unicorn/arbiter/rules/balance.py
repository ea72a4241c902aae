"""What the arbiter has and what is wanted are made to agree, after every event: the one place in which generations
take over from each other, and workers are ordered or told to go.

Rules write down what happened; each step here does one thing about it. Nobody retires before a replacement is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from ..actions import (
    Action,
    AdoptGeneration,
    AnnounceReload,
    AnnounceServing,
    AnnounceWorkers,
    Conclude,
    EndTemplate,
    ForgetGeneration,
    ForkWorker,
    KillTemplate,
    LetGo,
    Say,
    SignalWorker,
    StartTemplate,
)  # fmt: skip
from ..state import Arbiter, Change, Generation, Phase, Slot, SlotPhase, Standing, TemplatePhase

Outcome: TypeAlias = tuple[Arbiter, tuple[Action, ...]]

RUNNING = frozenset({Phase.STARTING, Phase.SERVING})
GONE_TEMPLATE = "the template before it has gone"
ANOTHER_TRY = "another try"

ORDERS_AT_ONCE = 32  # more would fill the queue of a template's socket


def balance(state: Arbiter, now: float) -> Outcome:
    """All steps, in this order."""
    actions: list[Action] = []
    if state.phase in RUNNING:
        for step in STEPS:
            state, done = step(state, now)
            actions += done
    return state, tuple(actions)


def promote(state: Arbiter, now: float) -> Outcome:
    """A generation whose workers are all ready takes over; the one before retires."""
    coming, before = state.coming, state.serving
    if coming is None or not coming.is_equipped:
        return state, ()
    ready = len(state.in_phase(SlotPhase.READY, of=coming.number))
    if ready < coming.wanted:
        return state, ()
    state, adopted = adopt(state, coming)
    actions = [*adopted]
    if before is not None:
        state, told = retire(state, before, now)
        actions += told
    if before is not None or state.phase is Phase.SERVING:
        change = Change(coming.number, coming.why, coming.began, ready)
        state = replace(state, changes=(*state.changes, change))
    return state, tuple(actions)


def adopt(state: Arbiter, generation: Generation) -> Outcome:
    """This one serves from now on, by its own settings."""
    actions: list[Action] = [AdoptGeneration(generation.number)]
    wanted = generation.wanted or state.wanted  # one that rests says nothing of the number
    if wanted != state.wanted:
        actions.append(AnnounceWorkers(wanted, state.wanted))
    state = state.with_generation(replace(generation, standing=Standing.SERVING))
    return replace(state, policy=generation.policy, wanted=wanted), tuple(actions)


def complete_start(state: Arbiter, now: float) -> Outcome:
    """The start is over when all workers are ready for the first time."""
    serving = state.serving
    if state.phase is not Phase.STARTING or serving is None:
        return state, ()
    ready = len(state.in_phase(SlotPhase.READY, of=serving.number))
    if ready < serving.wanted:
        return state, ()
    return replace(state, phase=Phase.SERVING), (AnnounceServing(ready),)


def retire(state: Arbiter, generation: Generation, now: float) -> Outcome:
    """Its workers hand off what is idle, finish what runs, and go; its template follows when they are gone."""
    state = state.with_generation(replace(generation, standing=Standing.RETIRING))
    told: list[Action] = []
    for slot in state.in_phase(SlotPhase.STARTING, SlotPhase.READY, of=generation.number):
        state = state.with_slot(slot.entering(SlotPhase.RETIRING, now))
        told.append(SignalWorker(slot.pid, "TERM", slot.number))
    return state, tuple(told)


def make_way(state: Arbiter, now: float) -> Outcome:
    """A generation that comes alone and has trouble with its workers makes way, where another has been asked for."""
    coming = state.coming
    if coming is None or state.serving is not None or coming.template is TemplatePhase.LOADING:
        return state, ()
    if not state.reload_wanted or not state.births.failures or state.births.failed_at < coming.since:
        return state, ()
    return give_way(state, coming, now)


def give_way(state: Arbiter, coming: Generation, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """A generation that can't be completed makes way for the next one; until that comes it serves with the workers that
    it has, if nobody else does.
    """
    if state.serving is None and has_workers(state, coming):
        return adopt(state, coming)
    return drop(state, coming, now)


def has_workers(state: Arbiter, generation: Generation) -> bool:
    return bool(state.in_phase(SlotPhase.STARTING, SlotPhase.READY, of=generation.number))


def drop(state: Arbiter, generation: Generation, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """It will not serve, and what it has got goes."""
    state, told = retire(state, generation, now)
    actions: list[Action] = [ForgetGeneration(generation.number), *told]
    if generation.template is TemplatePhase.LOADING and generation.pid:
        state = state.with_generation(
            replace(generation, standing=Standing.RETIRING, template=TemplatePhase.ENDING, since=now)
        )
        actions.append(KillTemplate(generation.number, generation.pid))
    return state, tuple(actions)


def start_next(state: Arbiter, now: float) -> Outcome:
    """The next generation is loaded, when somebody has asked for it or there is no template to fork from; with
    `reload_mode = retire_first`, when the one before has gone.
    """
    serving = state.serving
    if state.coming is not None or not state.policy.can_load_again:
        return state, ()
    if not state.reload_wanted:
        lacking = serving is None or serving.template is TemplatePhase.GONE
        if not lacking or now < state.loads.not_before:
            return state, ()
    actions: list[Action] = []
    if state.policy.retire_first:
        if serving is not None:
            state, told = retire(state, serving, now)
            actions += [
                Say("info", f"Generation {serving.number} retires before the next one is loaded (retire_first)"),
                *told,
            ]
        if state.generations or state.slots:
            return state, tuple(actions)
        if not state.has_let_go:
            state = replace(state, has_let_go=True)
            actions.append(LetGo())
    number = state.last_generation + 1
    why = state.reload_wanted or (ANOTHER_TRY if state.loads.failures else GONE_TEMPLATE)
    if state.reload_wanted:
        actions.append(AnnounceReload())
        state = replace(state, reload_wanted="")
    actions.append(Say("info", f"Loading generation {number} in a fresh interpreter ({why})"))
    wanted = 0 if state.asked_for == 0 else state.wanted
    generation = Generation(number, TemplatePhase.LOADING, now, wanted=wanted, policy=state.policy, why=why, began=now)
    state = replace(state.with_generation(generation), last_generation=number)
    return state, (*actions, StartTemplate(number))


def trim(state: Arbiter, now: float) -> Outcome:
    """Surplus workers retire: one that is tired first, then the oldest; none before the wanted number is ready."""
    actions: list[Action] = []
    for generation in _workplaces(state):
        while leaving := _who_leaves(state, generation):
            state = state.with_slot(leaving.entering(SlotPhase.RETIRING, now))
            if leaving.tired:
                sentence = f"Worker {leaving.number} (pid {leaving.pid}) retires: {leaving.tired}"
                actions.append(Say("info", sentence))
            actions.append(SignalWorker(leaving.pid, "TERM", leaving.number))
    return state, tuple(actions)


def _who_leaves(state: Arbiter, generation: Generation) -> Slot | None:
    ready = sorted(state.in_phase(SlotPhase.READY, of=generation.number), key=lambda slot: slot.age)
    if len(ready) > generation.wanted:
        tired = next((slot for slot in ready if slot.tired), None)
        if tired is not None:
            return tired
    if len(state.filled(generation.number)) <= _target(state, generation):
        return None
    if len(ready) > generation.wanted:
        return ready[0]
    starting = state.in_phase(SlotPhase.STARTING, of=generation.number)
    return max(starting, key=lambda slot: slot.age, default=None)


def order(state: Arbiter, now: float) -> Outcome:
    """Missing workers are ordered, and the replacement of one that is tired; after workers that died at birth, when the
    next try is due.
    """
    actions: list[Action] = []
    if now < state.births.not_before:
        return state, ()
    for generation in _workplaces(state):
        if generation.template is not TemplatePhase.READY or not generation.is_equipped:
            continue
        missing = _target(state, generation) - len(state.filled(generation.number))
        room = ORDERS_AT_ONCE - len(state.in_phase(SlotPhase.ORDERED))
        state, ordered = order_workers(state, generation, min(missing, room), now)
        actions += ordered
    return state, tuple(actions)


def order_workers(state: Arbiter, generation: Generation, count: int, now: float) -> Outcome:
    """Has so many forked from this generation's template."""
    actions: list[Action] = []
    for number, _ in zip(state.free_numbers(), range(count), strict=False):
        age = state.last_age + 1
        state = replace(state, last_age=age)
        state = state.with_slot(Slot(number, generation.number, age, SlotPhase.ORDERED, now))
        actions.append(ForkWorker(generation.number, number, age))
    return state, tuple(actions)


def _workplaces(state: Arbiter) -> tuple[Generation, ...]:
    """The generations that are to have workers."""
    return tuple(one for one in state.generations if one.standing is not Standing.RETIRING)


def _target(state: Arbiter, generation: Generation) -> int:
    """How many workers it should have now: one more while one that is tired waits for its replacement."""
    exchanging = (
        generation.wanted > 0
        and state.coming is None
        and any(slot.tired for slot in state.in_phase(SlotPhase.READY, of=generation.number))
    )
    return generation.wanted + int(exchanging)


def end_retired(state: Arbiter, now: float) -> Outcome:
    """Templates of retired generations end, when none of their workers is left."""
    actions: list[Action] = []
    for generation in state.generations:
        loading = generation.template is TemplatePhase.LOADING
        if (
            generation.standing is not Standing.RETIRING
            or not (generation.template is TemplatePhase.READY or (loading and generation.pid))
            or any(slot.generation == generation.number for slot in state.slots)
        ):
            continue
        # One that still loads doesn't listen.
        actions.append(KillTemplate(generation.number, generation.pid) if loading else EndTemplate(generation.number))
        state = state.with_generation(replace(generation, template=TemplatePhase.ENDING, since=now))
    return state, tuple(actions)


def conclude(state: Arbiter, now: float) -> Outcome:
    """A reload is summed up, when nobody is left of what it replaced."""
    oldest = min((slot.generation for slot in state.slots), default=state.last_generation + 1)
    done = [change for change in state.changes if change.generation <= oldest]
    if not done:
        return state, ()
    state = replace(state, changes=tuple(change for change in state.changes if change not in done))
    return state, tuple(Conclude(one.generation, one.why, now - one.began, one.workers) for one in done)


STEPS: tuple[Callable[[Arbiter, float], Outcome], ...] = (
    promote, complete_start, make_way, start_next, trim, order, end_retired, conclude,
)  # fmt: skip

"""What is missing comes back: workers into empty slots, a template when there is none."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, ClearSlot, ForkWorker, Say, StartTemplate
from ..events import ProcessExited
from ..state import Arbiter, Generation, Phase, Slot, SlotPhase, TemplatePhase

_ORDERS_AT_ONCE = 32  # more would fill the queue of the template's socket
_SETTLED_S = 1.0  # a worker that has lived so long was not stillborn


def replace_dead(state: Arbiter, event: ProcessExited, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Replaces the worker, or the template, at once; if it died at birth, more and more slowly."""
    slot = state.slot_of_pid(event.pid)
    if slot is not None:
        state, said = _worker_exited(state, slot, event, now)
    else:
        generation = state.template_of_pid(event.pid)
        if generation is None:
            return state, ()  # the application's own
        state, said = _template_exited(state, generation, event, now)
    state, actions = fill(state, now)
    return state, said + actions


def fill(state: Arbiter, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Order what is missing, as far as it may be ordered now."""
    if state.phase not in {Phase.STARTING, Phase.SERVING}:
        return state, ()
    actions: list[Action] = []
    if not state.templates_alive() and state.policy.can_load_again and now >= state.loads.not_before:
        number = state.last_generation + 1
        state = replace(state, last_generation=number)
        state = state.with_generation(Generation(number, TemplatePhase.LOADING, now))
        actions.append(StartTemplate(number))
    forker = state.forker()
    if forker is None or now < state.births.not_before:
        return state, tuple(actions)
    missing = state.wanted - len(state.filled())
    room = _ORDERS_AT_ONCE - len(state.in_phase(SlotPhase.ORDERED))
    for number, _ in zip(state.free_numbers(), range(min(missing, room)), strict=False):
        age = state.last_age + 1
        state = replace(state, last_age=age)
        state = state.with_slot(Slot(number, forker.number, age, SlotPhase.ORDERED, now))
        actions.append(ForkWorker(forker.number, number, age))
    return state, tuple(actions)


def forgive(state: Arbiter, now: float) -> Arbiter:
    """A worker born after the last failure lives: workers may come at once again."""
    if state.births.failures and any(
        slot.since >= state.births.failed_at and now - slot.since >= _SETTLED_S
        for slot in state.in_phase(SlotPhase.READY)
    ):
        return replace(state, births=state.births.after_success())
    return state


def _worker_exited(state: Arbiter, slot: Slot, event: ProcessExited, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    state = state.without_slot(slot.number)
    cleared = ClearSlot(slot.number, event.pid, slot.age)
    who = f"Worker {slot.number} (pid {event.pid})"
    if slot.phase in {SlotPhase.RETIRING, SlotPhase.ABORTING, SlotPhase.KILLED}:
        level = "info" if event.clean else "warning"
        return state, (Say("info" if level == "info" else "warning", f"{who} {event.how}"), cleared)
    stillborn = event.by_itself and (
        slot.phase is SlotPhase.STARTING or (not event.clean and now - slot.since < _SETTLED_S)
    )
    if not stillborn:
        sentence = f"{who} {event.how}; it is replaced"
        return state, (Say("info" if event.clean else "error", sentence), cleared)
    births = state.births.after_failure(now)
    if births is state.births:  # another one of the same attempt
        return state, (Say("debug", f"{who} {event.how}"), cleared)
    when = "before it was ready" if slot.phase is SlotPhase.STARTING else "just after it was ready"
    sentence = f"{who} {event.how} {when}; the next try is in {births.not_before - now:.1f} s"
    if births.failures > 1:
        sentence += f" (attempt {births.failures} that failed in a row)"
    return replace(state, births=births), (Say("error", sentence), cleared)


def _template_exited(
    state: Arbiter, generation: Generation, event: ProcessExited, now: float
) -> tuple[Arbiter, tuple[Action, ...]]:
    was = generation.template
    state = state.with_generation(replace(generation, template=TemplatePhase.GONE, since=now))
    # What it was told to fork and did not report will not come, or will say by itself that it is ready.
    for slot in state.in_phase(SlotPhase.ORDERED):
        if slot.generation == generation.number:
            state = state.without_slot(slot.number)
    if was is TemplatePhase.LOADING:
        if now >= state.loads.not_before:  # it died without a word
            state = replace(state, loads=state.loads.after_failure(now))
        return state, (Say("debug", f"The template of generation {generation.number} {event.how}"),)
    sentence = f"The template of generation {generation.number} (pid {event.pid}) {event.how}; its workers go on"
    if not state.policy.can_load_again:
        sentence += ". It is not known where the application came from: no worker can be replaced until a restart"
    return state, (Say("error", sentence),)

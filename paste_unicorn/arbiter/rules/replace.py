"""Who has gone: a worker, a template, the successor, or somebody whom only the application knows."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, ClearSlot, Say
from ..events import ProcessExited, WorkerTired
from ..state import Arbiter, Generation, Phase, Slot, SlotPhase, Standing, TemplatePhase
from .balance import give_way, has_workers
from .reload import comes_beside, fail
from .upgrade import successor_exited

_SETTLED_S = 1.0  # a worker that has lived so long was not stillborn
_MOST_KILLED = 5  # newborns in a row that a signal from outside may end; of more it is their own fault
_ENDED_BY_US = frozenset({SlotPhase.RETIRING, SlotPhase.ABORTING, SlotPhase.KILLED})


def replace_dead(state: Arbiter, event: ProcessExited, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Has the worker, or the template, replaced at once; if it died at birth, more and more slowly. A generation that
    is to take over has failed by that, as has a new arbiter that dies; whatever serves goes on. A signal from outside
    does not count, unless it ends one newborn worker after the other.
    """
    slot = state.slot_of_pid(event.pid)
    if slot is not None:
        return _worker_exited(state, slot, event, now)
    generation = state.template_of_pid(event.pid)
    if generation is not None:
        return _template_exited(state, generation, event, now)
    if state.successor is not None and state.successor.pid == event.pid:
        return successor_exited(state, event, now)
    return state, ()  # the application's own


def tired(state: Arbiter, event: WorkerTired, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Replaces the worker when its turn has come: one after the other, the replacement ready first."""
    slot = state.slot(event.slot)
    if slot is None or slot.pid != event.pid or slot.phase is not SlotPhase.READY:
        return state, ()
    return state.with_slot(replace(slot, tired=event.why)), ()


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
    ended_by_us = slot.phase in _ENDED_BY_US
    cleared = ClearSlot(slot.number, event.pid, slot.age, told_to_go=ended_by_us)
    if not ended_by_us or (slot.phase is SlotPhase.RETIRING and not event.clean):
        cleared = replace(cleared, report=True, killed_by=event.killed_by)
    who = f"Worker {slot.number} (pid {event.pid})"
    unborn = slot.ready_since is None
    by_itself = event.by_itself
    if slot.phase is SlotPhase.STARTING and not by_itself:
        # Somebody's KILL; or the kernel's, for want of memory, which the next one will want as well.
        state = replace(state, killed_newborns=state.killed_newborns + 1)
        by_itself = state.killed_newborns > _MOST_KILLED
    blamed = by_itself or slot.phase is not SlotPhase.STARTING
    stillborn = slot.ready_since is None or (now - slot.ready_since < _SETTLED_S and not event.has_worked)
    not_told_to_go = slot.phase is not SlotPhase.RETIRING
    generation = state.generation(slot.generation)
    reason = f"\n{event.reason.rstrip()}" if event.reason else ""
    if generation is not None and comes_beside(state, generation) and stillborn and blamed and not_told_to_go:
        when = "before it was ready" if unborn else "just after it was ready"
        state, failed = fail(state, generation, f"has a worker that died {when}", f"{who} {event.how}{reason}", now)
        return state, (cleared, *failed)
    if ended_by_us:
        wanted = generation is not None and generation.standing is not Standing.RETIRING
        if unborn and wanted and slot.phase is not SlotPhase.RETIRING:
            state = replace(state, births=state.births.after_failure(now))
        if cleared.killed_by:
            return state, (Say("error", f"{who} {event.how} while it retired"), cleared)
        # That something took too long, and was killed for it, has been said.
        return state, (Say("debug" if event.clean else "info", f"{who} {event.how}"), cleared)
    if not stillborn or not by_itself:
        sentence = f"{who} {event.how}; it is replaced"
        return state, (Say("info" if event.clean else "error", sentence), cleared)
    births = state.births.after_failure(now)
    if births is state.births:  # another one of the same attempt
        return state, (Say("debug", f"{who} {event.how}"), replace(cleared, report=False))
    when = "before it was ready" if unborn else "just after it was ready"
    sentence = f"{who} {event.how} {when}; the next try is in {births.not_before - now:.1f} s"
    if births.failures > 1:
        sentence += f" (attempt {births.failures} that failed in a row)"
    return replace(state, births=births), (Say("error", sentence + reason), cleared)


def _template_exited(
    state: Arbiter, generation: Generation, event: ProcessExited, now: float
) -> tuple[Arbiter, tuple[Action, ...]]:
    was = generation.template
    gone = replace(generation, template=TemplatePhase.GONE, since=now)
    state = state.with_generation(gone)
    # What it was told to fork and did not report will not come, or will say by itself that it is ready.
    for slot in state.in_phase(SlotPhase.ORDERED, of=generation.number):
        state = state.without_slot(slot.number)
    if generation.standing is Standing.RETIRING:
        return state, (Say("debug", f"The template of generation {generation.number} {event.how}"),)
    adopted: tuple[Action, ...] = ()
    if generation.standing is Standing.COMING:
        if was is TemplatePhase.LOADING or comes_beside(state, gone) or not has_workers(state, gone):
            when = "while it loaded the application" if was is TemplatePhase.LOADING else "while its workers started"
            return fail(state, gone, f"has lost its template, which {event.how} {when}", "", now)
        state, adopted = give_way(state, gone, now)
    sentence = f"The template of generation {generation.number} (pid {event.pid}) {event.how}; its workers go on"
    if not state.policy.can_load_again:
        sentence += ". It is not known where the application came from: no worker can be replaced until a restart"
    elif state.phase is Phase.SERVING:
        sentence += " until those of a new one are ready"
    return state, (Say("error", sentence), *adopted)

"""Wrong rules, each as a tired programmer might write it, and how each is put in the place of the right one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from paste_unicorn.arbiter import decide as deciding
from paste_unicorn.arbiter.actions import (
    Action,
    EndTemplate,
    ShareListening,
    SignalWorker,
    StartTemplate,
    StopListening,
)
from paste_unicorn.arbiter.events import (
    Event,
    ProcessExited,
    Signal,
    SuccessorFailed,
    TimePassed,
    WorkerForked,
    WorkerReady,
    WorkerTired,
)
from paste_unicorn.arbiter.rules import balance, boot, deserted, overdue, reload, stuck, upgrade
from paste_unicorn.arbiter.rules import replace as replacing
from paste_unicorn.arbiter.state import (
    Arbiter,
    Backoff,
    Generation,
    Phase,
    SlotPhase,
    Standing,
    TemplatePhase,
)

Outcome: TypeAlias = tuple[Arbiter, tuple[Action, ...]]
Patch: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def _row(patch: pytest.MonkeyPatch, event: Signal | type, phase: Phase, rule: Callable[..., Outcome]) -> None:
    """Another rule at one place of the table."""
    row = list(deciding.TABLE[event])
    row[deciding.PHASES.index(phase)] = rule
    patch.setitem(deciding.TABLE, event, tuple(row))  # type: ignore[arg-type]


def _step(patch: pytest.MonkeyPatch, step: str, instead: Callable[[Arbiter, float], Outcome] | None) -> None:
    """Another step of the balance, or none."""
    steps = tuple(instead if one.__name__ == step else one for one in balance.STEPS)
    patch.setattr(balance, "STEPS", tuple(one for one in steps if one is not None))


# -- ready before another retires ----------------------------------------------------------------------------


def _promoting_at(patch: pytest.MonkeyPatch, enough: Callable[[int], int]) -> None:
    """As soon as so many of the wanted workers are ready."""

    def promote(state: Arbiter, now: float) -> Outcome:
        coming, before = state.coming, state.serving
        if coming is None or not coming.is_equipped:
            return state, ()
        if len(state.in_phase(SlotPhase.READY, of=coming.number)) < enough(coming.wanted):
            return state, ()
        state, actions = balance.adopt(state, coming)
        if before is not None:
            state, told = balance.retire(state, before, now)
            actions += told
        return state, actions

    _step(patch, "promote", promote)


def retires_before_ready(patch: pytest.MonkeyPatch) -> None:
    _promoting_at(patch, lambda wanted: 0)


def promotes_with_one_fewer(patch: pytest.MonkeyPatch) -> None:
    _promoting_at(patch, lambda wanted: wanted - 1)


def replaces_a_tired_worker_without_waiting(patch: pytest.MonkeyPatch) -> None:
    def tired(state: Arbiter, event: WorkerTired, now: float) -> Outcome:
        slot = state.slot(event.slot)
        if slot is None or slot.pid != event.pid or slot.phase is not SlotPhase.READY:
            return state, ()
        return state.with_slot(slot.entering(SlotPhase.RETIRING, now)), (SignalWorker(slot.pid, "TERM", slot.number),)

    _row(patch, WorkerTired, Phase.SERVING, tired)


def trims_one_too_many(patch: pytest.MonkeyPatch) -> None:
    def one_fewer(state: Arbiter, event: Event, now: float) -> Outcome:
        after, actions = original(state, event, now)
        leaving = after.in_phase(SlotPhase.READY)[:1] if after.wanted < state.wanted else ()
        for slot in leaving:
            after = after.with_slot(slot.entering(SlotPhase.RETIRING, now))
        return after, (*actions, *(SignalWorker(slot.pid, "TERM", slot.number) for slot in leaving))

    original = deciding.TABLE[Signal.TTOU][1]
    _row(patch, Signal.TTOU, Phase.SERVING, one_fewer)


# -- generations ---------------------------------------------------------------------------------------------


def does_not_hear_a_hup_during_a_reload(patch: pytest.MonkeyPatch) -> None:
    def hup(state: Arbiter, event: Event, now: float) -> Outcome:
        return (state, ()) if state.coming is not None else original(state, event, now)

    original = deciding.TABLE[Signal.HUP][1]
    _row(patch, Signal.HUP, Phase.SERVING, hup)


def forgets_a_hup_that_came_during_a_reload(patch: pytest.MonkeyPatch) -> None:
    def promote(state: Arbiter, now: float) -> Outcome:
        after, actions = original(state, now)
        return (replace(after, reload_wanted="") if after is not state else after), actions

    original = balance.promote
    _step(patch, "promote", promote)


def loads_two_generations(patch: pytest.MonkeyPatch) -> None:
    def start_next(state: Arbiter, now: float) -> Outcome:
        if state.coming is None or not state.reload_wanted:
            return original(state, now)
        number = state.last_generation + 1
        another = Generation(number, TemplatePhase.LOADING, now, wanted=state.wanted, policy=state.policy, why="HUP")
        state = replace(state.with_generation(another), last_generation=number, reload_wanted="")
        return state, (StartTemplate(number),)

    original = balance.start_next
    _step(patch, "start_next", start_next)


def _after_a_failure(patch: pytest.MonkeyPatch, then: Callable[[Arbiter, Generation, float], Outcome]) -> None:
    def fail(state: Arbiter, generation: Generation, what: str, reason: str, now: float) -> Outcome:
        after, actions = original(state, generation, what, reason, now)
        after, more = then(after, generation, now)
        return after, (*actions, *more)

    original = reload.fail
    for module in (reload, boot, overdue, replacing):
        patch.setattr(module, "fail", fail)


def a_failed_reload_ends_the_old_template(patch: pytest.MonkeyPatch) -> None:
    def then(state: Arbiter, generation: Generation, now: float) -> Outcome:
        serving = state.serving
        if serving is None or serving.template is not TemplatePhase.READY:
            return state, ()
        state = state.with_generation(replace(serving, template=TemplatePhase.ENDING, since=now))
        return state, (EndTemplate(serving.number),)

    _after_a_failure(patch, then)


def a_failed_reload_leaves_its_number_of_workers(patch: pytest.MonkeyPatch) -> None:
    def then(state: Arbiter, generation: Generation, now: float) -> Outcome:
        return replace(state, wanted=generation.wanted), ()

    _after_a_failure(patch, then)


def orders_from_a_dead_template(patch: pytest.MonkeyPatch) -> None:
    def exited(state: Arbiter, event: ProcessExited, now: float) -> Outcome:
        template = state.template_of_pid(event.pid)
        after, actions = original(state, event, now)
        if template is not None and (there := after.generation(template.number)) is not None:
            after = after.with_generation(replace(there, template=template.template))
        return after, actions

    original = deciding.TABLE[ProcessExited][1]
    _row(patch, ProcessExited, Phase.SERVING, exited)


def leaves_retired_templates_alone(patch: pytest.MonkeyPatch) -> None:
    _step(patch, "end_retired", None)


def does_not_tell_who_retires(patch: pytest.MonkeyPatch) -> None:
    def retire(state: Arbiter, generation: Generation, now: float) -> Outcome:
        return state.with_generation(replace(generation, standing=Standing.RETIRING)), ()

    patch.setattr(balance, "retire", retire)


def ends_templates_before_their_workers_have_gone(patch: pytest.MonkeyPatch) -> None:
    def end_retired(state: Arbiter, now: float) -> Outcome:
        _, actions = original(replace(state, slots=()), now)
        ended = {one.generation for one in actions if isinstance(one, EndTemplate)}
        for generation in state.generations:
            if generation.number in ended:
                state = state.with_generation(replace(generation, template=TemplatePhase.ENDING, since=now))
        return state, actions

    original = balance.end_retired
    _step(patch, "end_retired", end_retired)


def never_sums_up(patch: pytest.MonkeyPatch) -> None:
    _step(patch, "conclude", None)


def waits_for_a_start_that_has_trouble(patch: pytest.MonkeyPatch) -> None:
    _step(patch, "make_way", None)


def loads_beside_under_retire_first(patch: pytest.MonkeyPatch) -> None:
    def start_next(state: Arbiter, now: float) -> Outcome:
        after, actions = original(replace(state, policy=replace(state.policy, retire_first=False)), now)
        return replace(after, policy=state.policy), actions

    original = balance.start_next
    _step(patch, "start_next", start_next)


# -- workers -------------------------------------------------------------------------------------------------


def never_waits_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    def after_failure(self: Backoff, now: float) -> Backoff:
        return replace(self, failures=self.failures + 1, failed_at=now, not_before=now)

    patch.setattr(Backoff, "after_failure", after_failure)


def never_counts_newborns_that_are_killed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replacing, "_MOST_KILLED", 1_000_000)


def does_not_see_who_is_stuck(patch: pytest.MonkeyPatch) -> None:
    def nobody(state: Arbiter, event: TimePassed, now: float) -> Outcome:
        return state, ()

    patch.setattr(overdue, "end_overdue_workers", nobody)


def looks_for_who_is_stuck_all_the_time(patch: pytest.MonkeyPatch) -> None:
    def next_look(state: Arbiter, last: float) -> float:
        suspected = [slot.suspicion.since + stuck.RECHECK_S for slot in state.slots if slot.suspicion is not None]
        return min([original(state, last), *suspected])

    original = overdue.next_look
    patch.setattr(overdue, "next_look", next_look)


def counts_on_who_was_told_to_go(patch: pytest.MonkeyPatch) -> None:
    def ready(state: Arbiter, event: WorkerReady, now: float) -> Outcome:
        slot = state.slot(event.slot)
        if slot is not None and slot.pid == event.pid and slot.phase is SlotPhase.RETIRING:
            return state.with_slot(slot.entering(SlotPhase.READY, now, ready_since=now)), ()
        return original(state, event, now)

    original = deciding.TABLE[WorkerReady][1]
    _row(patch, WorkerReady, Phase.SERVING, ready)


def forgets_whom_a_dead_template_has_forked(patch: pytest.MonkeyPatch) -> None:
    def with_stray(self: Arbiter, pid: int, generation: int, now: float) -> Arbiter:
        return self

    patch.setattr(Arbiter, "with_stray", with_stray)


def wants_fewer_after_a_death(patch: pytest.MonkeyPatch) -> None:
    def exited(state: Arbiter, event: ProcessExited, now: float) -> Outcome:
        after, actions = original(state, event, now)
        serving = after.serving
        if serving is not None and serving.wanted > 1 and state.slot_of_pid(event.pid) is not None and not event.clean:
            after = after.with_generation(replace(serving, wanted=serving.wanted - 1))
        return after, actions

    original = deciding.TABLE[ProcessExited][1]
    _row(patch, ProcessExited, Phase.SERVING, exited)


def wakes_workers_that_rest(patch: pytest.MonkeyPatch) -> None:
    def start_next(state: Arbiter, now: float) -> Outcome:
        return original(replace(state, asked_for=None), now)

    original = balance.start_next
    _step(patch, "start_next", start_next)


# -- the end -------------------------------------------------------------------------------------------------


def a_stop_forgets_who_was_ordered(patch: pytest.MonkeyPatch) -> None:
    def gracefully(state: Arbiter, event: Event, now: float) -> Outcome:
        for slot in state.in_phase(SlotPhase.ORDERED):
            state = state.without_slot(slot.number)
        return original(state, event, now)

    def ignored(state: Arbiter, event: Event, now: float) -> Outcome:
        return state, ()

    original = deciding.TABLE[Signal.TERM][1]
    _row(patch, Signal.TERM, Phase.SERVING, gracefully)
    _row(patch, WorkerReady, Phase.STOPPING, ignored)


def a_stop_tells_only_who_is_ready(patch: pytest.MonkeyPatch) -> None:
    def gracefully(state: Arbiter, event: Event, now: float) -> Outcome:
        after, actions = original(state, event, now)
        booting = {slot.pid for slot in state.in_phase(SlotPhase.STARTING)}
        return after, tuple(one for one in actions if not (isinstance(one, SignalWorker) and one.pid in booting))

    original = deciding.TABLE[Signal.TERM][1]
    _row(patch, Signal.TERM, Phase.SERVING, gracefully)


def stops_though_nobody_has_answered(patch: pytest.MonkeyPatch) -> None:
    def nobody(state: Arbiter) -> None:
        return None

    patch.setattr(deserted, "source_of_workers", nobody)


def tells_who_comes_to_answer_to_go(patch: pytest.MonkeyPatch) -> None:
    def forked(state: Arbiter, event: WorkerForked, now: float) -> Outcome:
        after, actions = original(state, event, now)
        born = after.slot_of_pid(event.pid)
        comes = born is not None and born.phase is SlotPhase.STARTING
        return after, (*actions, *((SignalWorker(event.pid, "TERM"),) if comes else ()))

    original = deciding.TABLE[WorkerForked][2]
    _row(patch, WorkerForked, Phase.STOPPING, forked)


def a_stop_has_no_deadline(patch: pytest.MonkeyPatch) -> None:
    def patient(state: Arbiter, event: TimePassed, now: float) -> Outcome:
        return stuck.end_overdue_workers(state, event, now)

    _row(patch, TimePassed, Phase.STOPPING, patient)


def a_stop_refuses_connections_though_a_new_arbiter_serves(patch: pytest.MonkeyPatch) -> None:
    def gracefully(state: Arbiter, event: Event, now: float) -> Outcome:
        after, actions = original(state, event, now)
        return after, tuple(StopListening() if isinstance(one, ShareListening) else one for one in actions)

    original = deciding.TABLE[Signal.TERM][1]
    _row(patch, Signal.TERM, Phase.SERVING, gracefully)


def forgets_the_stop_that_waited_for_a_new_arbiter(patch: pytest.MonkeyPatch) -> None:
    def forget(state: Arbiter, event: SuccessorFailed | ProcessExited, now: float) -> Outcome:
        return replace(state, successor=None, stop_wanted=""), ()

    patch.setattr(replacing, "successor_exited", forget)


def a_new_arbiter_that_hangs_is_waited_for(patch: pytest.MonkeyPatch) -> None:
    def started(state: Arbiter, event: Event, now: float) -> Outcome:
        return state, ()

    for phase in (Phase.STARTING, Phase.SERVING):
        _row(patch, upgrade.SuccessorStarted, phase, started)


def a_new_arbiter_that_starts_is_killed(patch: pytest.MonkeyPatch) -> None:
    def end_overdue(state: Arbiter, event: TimePassed, now: float) -> Outcome:
        successor = state.successor
        if successor is not None and successor.pid:
            state = replace(state, successor=replace(successor, since=now - 1000.0))
        return original(state, event, now)

    original = deciding.TABLE[TimePassed][1]
    _row(patch, TimePassed, Phase.SERVING, end_overdue)

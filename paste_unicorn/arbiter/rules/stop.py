"""Stopping for good: workers first, then templates, then the arbiter, each with a deadline."""

from __future__ import annotations

from dataclasses import replace

from ..actions import (
    Action,
    ClearSlot,
    EndTemplate,
    KillTemplate,
    Leave,
    Say,
    ShareListening,
    SignalWorker,
    StopListening,
)  # fmt: skip
from ..events import (
    ForkFailed,
    GenerationEquipped,
    PredecessorGone,
    ProcessExited,
    Signal,
    SignalArrived,
    SuccessorFailed,
    TemplateFailed,
    TimePassed,
    WorkerForked,
    WorkerReady,
)  # fmt: skip
from ..state import Arbiter, Phase, SlotPhase, Standing, Stop, StopStage, TemplatePhase
from . import deserted
from .balance import ORDERS_AT_ONCE, order_workers
from .stuck import end_overdue_workers, kill_late

_KILLED_S = 1.0  # what was killed should be reaped by then


def gracefully(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Stops gracefully: nothing that the kernel has accepted is lost; KILL after `graceful_timeout`. Where no worker is
    there, those that are coming, or can be forked, answer it. While a new arbiter boots (USR2), as soon as that is
    ready to get the connections; a second signal does not wait.
    """
    reason = event.signal.name
    if state.successor is not None and not state.successor.is_ready and not state.stop_wanted:
        said = f"Got {reason}: this arbiter stops as soon as the new one is ready; {reason} again stops it at once"
        return replace(state, stop_wanted=reason), (Say("info", said),)
    return stop(state, f"Got {reason}", now, reason)


def stop(state: Arbiter, why: str, now: float, reason: str = "") -> tuple[Arbiter, tuple[Action, ...]]:
    """A graceful stop begins."""
    reason = reason or why
    is_deserted = deserted.would_desert(state)
    going = () if is_deserted else state.in_phase(SlotPhase.STARTING, SlotPhase.READY)
    told = tuple(SignalWorker(slot.pid, "TERM", slot.number) for slot in going)
    if state.shares_sockets:
        sentence = f"{why}: the other arbiter goes on, this one hands over"
        listening: tuple[Action, ...] = (ShareListening(),)
    else:
        sentence = f"{why}: finishing what has been accepted, for up to {state.policy.stop_s:g} s"
        listening = (StopListening(),)
    started = Stop(reason, now, StopStage.ASKED, now + state.policy.stop_s, is_deserted=is_deserted)
    state, ended = _go_on(replace(state, phase=Phase.STOPPING, stop=started), now)
    return state, (Say("info", sentence), *listening, *told, *ended)


def at_once(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Stops at once: requests under way are not finished."""
    return _quit(state, "Ctrl-C" if event.signal is Signal.TYPED_INT else event.signal.name, 0, now)


def give_up(state: Arbiter, reason: str, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """The server can't start: ends it, with exit code 1."""
    return _quit(state, reason, 1, now)


def _quit(state: Arbiter, reason: str, code: int, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    since = state.stop.since if state.stop else now
    started = Stop(reason, since, StopStage.ASKED, now + state.policy.quick_s, code=code)
    told = tuple(SignalWorker(slot.pid, "QUIT") for slot in state.slots if slot.pid)
    listening: tuple[Action, ...] = () if state.shares_sockets else (StopListening(),)
    state, ended = _go_on(replace(state, phase=Phase.QUITTING, stop=started), now)
    return state, (*listening, *told, *ended)


def born_too_late(state: Arbiter, event: WorkerForked | WorkerReady, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Tells a worker that was born during the stop to go, unless nobody else is there to answer."""
    known = state.slot_of_pid(event.pid)
    if known is not None:  # it has been told, or sees for itself that the server stops
        if isinstance(event, WorkerReady) and known.phase is SlotPhase.STARTING:
            return deserted.not_deserted(state.with_slot(known.entering(SlotPhase.RETIRING, now))), ()
        return state, ()
    signal = SignalWorker(event.pid, "TERM" if state.phase is Phase.STOPPING else "QUIT")
    slot = state.slot(event.slot)
    if slot is None or slot.phase is not SlotPhase.ORDERED or slot.generation != event.generation:
        stop = state.stop
        if stop is not None and stop.stage is StopStage.ASKED:
            # It has as much time as the others had, though only templates may be waited for by now.
            allowed_s = state.policy.stop_s if state.phase is Phase.STOPPING else state.policy.quick_s
            state = replace(state, stop=replace(stop, deadline=max(stop.deadline, stop.since + allowed_s)))
        return state.with_stray(event.pid, event.generation, now), (signal,)
    retiring = slot.entering(SlotPhase.RETIRING, now, pid=event.pid)
    if not deserted.is_deserted(state):
        return state.with_slot(retiring), (signal,)
    if isinstance(event, WorkerForked):
        return state.with_slot(slot.entering(SlotPhase.STARTING, now, pid=event.pid)), ()
    return deserted.not_deserted(state.with_slot(retiring)), ()


def equipped_late(state: Arbiter, event: GenerationEquipped, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Orders its workers, where nobody else is there to answer."""
    generation = state.generation(event.generation)
    if generation is None or not deserted.is_deserted(state):
        return state, ()
    return _go_on(state.with_generation(replace(generation, is_equipped=True)), now)


def count_out(state: Arbiter, event: ProcessExited | ForkFailed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Counts who has gone; ends the templates after the last worker, and leaves after the last template."""
    actions: list[Action] = []
    if isinstance(event, ForkFailed):
        slot = state.slot(event.slot)
        if slot is None or slot.phase is not SlotPhase.ORDERED:
            return state, ()
        state = deserted.gone(state, slot, now)
    elif slot := state.slot_of_pid(event.pid):
        state = deserted.gone(state, slot, now)
        by_us = slot.phase in {SlotPhase.ABORTING, SlotPhase.KILLED} or state.phase is Phase.QUITTING
        expected = event.clean or by_us
        actions += [
            Say(
                "debug" if expected else "error" if event.killed_by else "warning",
                f"Worker {slot.number} (pid {event.pid}) {event.how}",
            ),
            ClearSlot(slot.number, event.pid, slot.age, not expected, "" if expected else event.killed_by),
        ]
    elif generation := state.template_of_pid(event.pid):
        state = state.with_generation(replace(generation, template=TemplatePhase.GONE, since=now))
        for slot in state.in_phase(SlotPhase.ORDERED, of=generation.number):
            state = state.without_slot(slot.number)
    else:
        if state.successor is not None and state.successor.pid == event.pid:
            return _alone(replace(state, successor=None))
        return state, ()
    state, ended = _go_on(state, now)
    return state, (*actions, *ended)


def without_template(state: Arbiter, event: TemplateFailed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Counts out a template that never existed; one whose workers were to answer ends."""
    generation = state.generation(event.generation)
    if generation is None or generation.template is TemplatePhase.GONE:
        return state, ()
    is_missed = deserted.is_deserted(state) and generation.standing is Standing.COMING
    if generation.pid and not is_missed:
        return state, ()
    phase = generation.template if generation.pid else TemplatePhase.GONE
    state = state.with_generation(replace(generation, template=phase, standing=Standing.RETIRING, since=now))
    sentence = f"Generation {generation.number} will not serve\n{event.reason.rstrip()}"
    state, ended = _go_on(state, now)
    return state, ((Say("error", sentence), *ended) if is_missed else ended)


def without_successor(state: Arbiter, event: SuccessorFailed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Notes that nobody goes on after this arbiter: it finishes what the kernel has accepted."""
    return _alone(replace(state, successor=None)) if state.successor is not None else (state, ())


def without_predecessor(state: Arbiter, event: PredecessorGone, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Notes that nobody goes on beside this arbiter: it finishes what the kernel has accepted."""
    return _alone(replace(state, has_predecessor=False))


def _alone(state: Arbiter) -> tuple[Arbiter, tuple[Action, ...]]:
    """Nobody else has the sockets any more: workers that retire drain from now on."""
    if state.shares_sockets:
        return state, ()
    if state.phase is Phase.QUITTING:
        return state, (StopListening(),)
    said = Say("warning", "The other arbiter has gone: this one finishes what has been accepted")
    return state, (said, StopListening())


def end_overdue(state: Arbiter, event: TimePassed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Kills what has not gone by its deadline: workers, then templates; then leaves, whoever is left."""
    state, actions = end_overdue_workers(state, event, now)
    stop = state.stop
    if stop is None or now < stop.deadline:
        return state, actions
    done: list[Action] = [*actions]
    if stop.stage is StopStage.ASKED and state.slots:
        had_time = state.policy.stop_s > 0 or state.phase is Phase.QUITTING
        late = [slot for slot in state.slots if slot.pid and slot.phase is not SlotPhase.KILLED]
        for slot in late:
            slot, killed = kill_late(slot, "has not finished in time", had_time, now)
            state = state.with_slot(slot)
            done += killed
        stop = replace(stop, stage=StopStage.WORKERS_KILLED, killed=stop.killed + len(late))
    elif stop.stage is not StopStage.TEMPLATES_KILLED:
        state, said = deserted.give_up(state)
        done += said
        done += [KillTemplate(one.number, one.pid) for one in state.templates_alive() if one.pid]
        stop = replace(stop, stage=StopStage.TEMPLATES_KILLED, is_deserted=False)
    else:
        return state, (*done, _leave(state, stop, now))
    return replace(state, stop=replace(stop, deadline=now + _KILLED_S)), tuple(done)


def _go_on(state: Arbiter, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """The next step of a stop, once the one before is complete."""
    if state.slots:
        return state, ()
    if deserted.is_deserted(state) and (source := deserted.source_of_workers(state)) is not None:
        if not source.is_equipped:
            return state, ()  # it still loads
        return order_workers(state, source, min(max(state.wanted, 1), ORDERS_AT_ONCE), now)
    state, said = deserted.give_up(state)
    stop, templates = state.stop, state.templates_alive()
    assert stop is not None
    if not templates:
        return state, (*said, _leave(state, stop, now))
    state = replace(state, stop=replace(stop, deadline=min(stop.deadline, now + _KILLED_S)))
    # One that still loads doesn't listen yet.
    ended = (
        KillTemplate(one.number, one.pid)
        if one.template is TemplatePhase.LOADING and one.pid
        else EndTemplate(one.number)
        for one in templates
    )
    return state, (*said, *ended)


def _leave(state: Arbiter, stop: Stop, now: float) -> Leave:
    return Leave(stop.reason, now - stop.since, stop.killed, succeeded=state.shares_sockets, code=stop.code)
